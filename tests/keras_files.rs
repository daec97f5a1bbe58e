//! Keras files: what `tests/keras/make_fixtures.py` saved, and what a hostile hand makes of it.
#![cfg(feature = "keras")]

use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

use sepconv::models::{XceptionConfig, xception};
use sepconv::network::{Network, NetworkPlan, Op, Output, PlanOptions, Session};
use sepconv::weights::{Model, Scaling, Weights, load, load_bytes, load_weights, synthetic};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

mod common;

use common::entry;

const MODELS: &[u8] = include_bytes!("keras/fixtures/models.zip");

fn fixture(name: &str) -> Vec<u8> {
    entry(MODELS, name)
}

fn open(name: &str) -> Model {
    load_bytes(name, fixture(name)).unwrap()
}

/// The error of loading these bytes.
fn refusal(bytes: Vec<u8>) -> String {
    load_bytes("file", bytes).expect_err("a refusal").to_string()
}

/// Loads weights of `network` through a file on disk.
fn weights_of(bytes: &[u8], network: &Network) -> sepconv::Result<Weights> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    load_weights(file.path(), network)
}

/// A `.keras` file of these two entries.
fn keras_file(config: &[u8], weights: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, data) in [("config.json", config), ("model.weights.h5", weights)] {
        writer.start_file(name, options).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// `every.keras` with a changed configuration.
fn with_config(from: &str, to: &str) -> Vec<u8> {
    let every = fixture("every.keras");
    let config = String::from_utf8(entry(&every, "config.json")).unwrap();
    assert!(config.contains(from), "{from}");
    let config = config.replace(from, to);
    let weights = entry(&every, "model.weights.h5");
    keras_file(config.as_bytes(), &weights, CompressionMethod::Stored)
}

#[test]
fn every_format_gives_the_same_model() {
    let every = open("every.keras");
    assert_eq!(every.weights, synthetic::weights(&every.network).unwrap());
    for name in ["every_deflated.keras", "every.h5", "every_keras2.h5", "every_packed.h5"] {
        assert_eq!(open(name), every, "{name}");
    }
    for name in
        ["every.keras", "every.weights.h5", "every_weights_only.h5", "every_latest.h5", "every.h5"]
    {
        let weights = weights_of(&fixture(name), &every.network).unwrap();
        assert_eq!(weights, every.weights, "{name}");
    }
    let half = open("every_f16.h5");
    assert_eq!(half.network, every.network);
    for ((layer, name, tensor), (_, _, exact)) in half.weights.iter().zip(every.weights.iter()) {
        for (h, x) in tensor.data.iter().zip(&exact.data) {
            assert!((h - x).abs() <= x.abs() / 2048.0 + 3e-8, "{layer}/{name}: {h} for {x}");
        }
    }
}

#[test]
fn nested_models_are_inlined() {
    let nested = open("nested.keras");
    assert_eq!(nested.weights, synthetic::weights(&nested.network).unwrap());
    assert_eq!(open("nested.h5"), nested);
    let names: Vec<&str> = nested.network.nodes().iter().map(|n| n.name.as_str()).collect();
    assert_eq!(
        names[1..9],
        [
            "mix",
            "base/mix",
            "base_norm",
            "base_separable",
            "base_add",
            "pool",
            "tail_hidden/pre",
            "tail_hidden"
        ]
    );
    let network = &nested.network;
    assert_eq!(network.nodes().last().unwrap().op, Op::Softmax);
    assert_eq!(network.output().index(), network.nodes().len() - 2);
}

/// Every layer of the fixtures' models computes what Keras computed, at any number of threads
/// alike.
#[test]
fn every_layer_computes_as_keras_does() {
    let golden: Value = serde_json::from_str(include_str!("keras/fixtures/golden.json")).unwrap();
    let floats = |v: &Value| -> Vec<f64> {
        v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    for case in golden.as_array().unwrap() {
        let name = case["model"].as_str().unwrap();
        let model = open(&format!("{name}.keras"));
        let shape: Vec<usize> = floats(&case["shape"]).iter().map(|&d| d as usize).collect();
        let input: [usize; 4] = shape.try_into().unwrap();
        let x: Vec<f32> = synthetic::uniform(&format!("input/{name}"))
            .take(input.iter().product())
            .map(|u| u as f32)
            .collect();
        let nodes = case["nodes"].as_array().unwrap();
        let mut outputs: Vec<String> =
            nodes.iter().map(|n| n["node"].as_str().unwrap().to_owned()).collect();
        let last = model.network.nodes().last().unwrap().name.clone();
        outputs.push(last.clone());
        let options = PlanOptions::default().outputs(outputs);
        let plan = NetworkPlan::new(&model.network, &model.weights, input, &options).unwrap();
        let mut session = Session::new(plan).unwrap();
        session.run(&x).unwrap();
        for node in nodes {
            let name = node["node"].as_str().unwrap();
            let (values, got_shape) = session.node(name).unwrap();
            let expected: usize = floats(&node["shape"]).iter().map(|&d| d as usize).product();
            assert_eq!(values.len(), expected, "{name}: {got_shape:?}");
            let max = node["max_abs"].as_f64().unwrap();
            for (i, expected) in floats(&node["indices"]).iter().zip(floats(&node["samples"])) {
                let got = f64::from(values[*i as usize]);
                assert!((got - expected).abs() <= 1e-5 * max, "{name}: {got}, Keras {expected}");
            }
        }
        let (probabilities, _) = session.node(&last).unwrap();
        let expected = floats(&case["probabilities"]);
        assert_eq!(probabilities.len(), expected.len());
        for (got, expected) in probabilities.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() <= 1e-6, "{got}, Keras {expected}");
        }
    }
}

#[test]
fn xception_has_keras_layers() {
    let network = xception(&XceptionConfig::default()).unwrap();
    let names = network.nodes().iter().map(|n| n.name.as_str());
    let names: Vec<&str> = names.filter(|n| *n != "predictions/logits").collect();
    let keras: Vec<&str> = include_str!("keras/fixtures/xception_layers.txt").lines().collect();
    assert_eq!(names[1..], keras[1..]);
}

#[test]
fn unsupported_models_are_refused_by_name() {
    for (from, to, part) in [
        (
            "\"class_name\": \"ELU\"",
            "\"class_name\": \"Attention\"",
            "(Attention) is not supported",
        ),
        ("channels_last", "channels_first", "\"conv\" (Conv2D): data format"),
        ("\"float32\"", "\"int8\"", "dtype \"int8\" is not a floating-point type"),
        (
            "\"activation\": \"silu\"",
            "\"activation\": \"selu\"",
            "the layer \"act_silu\" (Activation with activation \"selu\") is not supported",
        ),
        ("\"axis\": -1", "\"axis\": 1", "axis 1"),
        (
            "\"filters\": 8",
            "\"filters\": -8",
            "\"conv\" (Conv2D): filters: expected a whole number above 0, got -8",
        ),
        ("\"filters\": 8", "\"filters\": 18446744073709551615", "\"conv/pre\": elements overflow"),
        (
            "\"registered_name\": null",
            "\"registered_name\": \"custom>Conv2D\"",
            "of the package \"custom>Conv2D\"",
        ),
        (
            "\"keras_history\": [\"pad\"",
            "\"keras_history\": [\"classes\"",
            "is not computed before it",
        ),
        ("\"keras_history\": [\"pad\"", "\"keras_history\": [\"nobody\"", "no layer \"nobody\""),
        (
            "\"padding\": [[0, 1], [2, 1]]",
            "\"padding\": [[0, 1], 2.5]",
            "\"pad\" (ZeroPadding2D): padding",
        ),
    ] {
        let error = refusal(with_config(from, to));
        assert!(error.contains(part), "{from} -> {to}: {error}");
    }
}

#[test]
fn wrong_tensors_are_refused_by_name() {
    let every = open("every.keras");
    let error = refusal(with_config("\"units\": 8", "\"units\": 9"));
    assert!(
        error.contains("\"hidden/kernel\"")
            && error.contains("expected shape [16, 9], got [16, 8]"),
        "{error}"
    );
    let error = refusal(with_config("\"scale\": false", "\"scale\": true"));
    assert!(
        error.contains(
            "\"norm_center\": expected 4 arrays (gamma, beta, moving_mean, moving_variance), got 3"
        ),
        "{error}"
    );

    let weights = fixture("every.weights.h5");
    let error = weights_of(&weights, &open("nested.keras").network).err().unwrap().to_string();
    assert!(error.contains("\"base_norm\": expected 4 arrays"), "{error}");
    let error = refusal(weights.clone());
    assert!(
        error.contains("weights alone") && error.contains("save the model in Keras"),
        "{error}"
    );

    // A NaN in the place of one element.
    let target = every.weights.find("hidden", "kernel").unwrap().data[17].to_le_bytes();
    for (nan, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let mut bytes = weights.clone();
        let at = bytes.windows(4).position(|w| w == target).unwrap();
        bytes[at..at + 4].copy_from_slice(&nan.to_le_bytes());
        let error = weights_of(&bytes, &every.network).err().unwrap().to_string();
        let found = ["\"hidden/kernel\"", "element 17", word].iter().all(|p| error.contains(p));
        assert!(found, "{error}");
    }
    let missing = load("no such file").err().unwrap().to_string();
    assert!(missing.contains("no such file"), "{missing}");
}

#[test]
fn hostile_archives_are_refused() {
    let every = fixture("every.keras");
    let config = entry(&every, "config.json");
    let weights = entry(&every, "model.weights.h5");

    // A bit of a stored tensor flipped: the checksum shows it.
    let mut bytes = every.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    assert!(refusal(bytes).contains("model.weights.h5"));

    // Bombs: 40 MB of zeros as weights and as configuration.
    let zeros = vec![0; 40 << 20];
    let error = refusal(keras_file(&config, &zeros, CompressionMethod::Deflated));
    assert!(error.contains("unpack to 41943040"), "{error}");
    let error = refusal(keras_file(&zeros, &weights, CompressionMethod::Deflated));
    assert!(error.contains("at most 16777216"), "{error}");

    // Nesting beyond what is parsed, in JSON and in models.
    let deep = "[".repeat(100_000);
    let error = refusal(keras_file(deep.as_bytes(), &weights, CompressionMethod::Stored));
    assert!(error.contains("recursion limit"), "{error}");
    // Objects of 7 bytes that would take hundreds each, and numbers of 2 that would take 64.
    for (item, count) in [("{\"\":0},", 1 << 20), ("0,", 3 << 20)] {
        let many = format!("[{}0]", item.repeat(count));
        let error = refusal(keras_file(many.as_bytes(), &weights, CompressionMethod::Stored));
        assert!(error.contains("config.json: the JSON takes"), "{error}");
    }
    let error = refusal(keras_file(b"{}", &weights, CompressionMethod::Stored));
    assert!(error.contains("class_name"), "{error}");

    // Sizes in the central directory that the file does not have.
    let signature = every.windows(4).rposition(|w| w == *b"PK\x01\x02").unwrap();
    for offset in [20, 24] {
        let mut bytes = every.clone();
        bytes[signature + offset..][..4].copy_from_slice(&0xFFFF_FFF0_u32.to_le_bytes());
        assert!(!refusal(bytes).is_empty());
    }
    // Datatypes nested deeper than a thread's usual stack.
    assert!(refusal(fixture("deep_type.h5")).contains("HDF5"));

    assert!(
        refusal(b"hello, world".to_vec())
            .contains("expected a .keras file (zip), HDF5, a TensorFlow.js layers model")
    );
    assert!(refusal(Vec::new()).contains("0 bytes"));
}

/// Files of `tests/keras/make_hostile.py`, whose one tensor is `dense0/kernel` of 256×256.
#[test]
fn hostile_hdf5_files_are_refused_by_tensor() {
    const HOSTILE: &[u8] = include_bytes!("keras/fixtures/hostile.zip");
    for (name, parts) in [
        ("soft_cycle.h5", &["HDF5"][..]),
        ("repeated.h5", &["claims 262144 bytes", "more than a file of this size can hold"]),
        ("external.h5", &["external"]),
        ("link_out.h5", &["HDF5"]),
        ("bomb.h5", &["HDF5"]),
        ("zeros.h5", &["claims 1073741824 bytes, more than a file of this size can hold"]),
        // Of f64, what f32 has no room for is an infinity, and as such refused.
        ("overflow.h5", &["finite, got inf at element 775"]),
    ] {
        let start = Instant::now();
        let error = refusal(entry(HOSTILE, name));
        let time = start.elapsed();
        assert!(time < Duration::from_secs(5), "{name}: {time:?}");
        println!("{name}: {error}");
        assert!(error.contains("tensor \"dense") && error.contains("/kernel\""), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{name}: {error}");
    }
    // Groups that hold themselves: nobody walks them.
    let model = load_bytes("file", entry(HOSTILE, "hard_cycle.h5")).unwrap();
    let kernel = model.weights.get("dense0", "kernel", &[256, 256]).unwrap();
    assert!(kernel.iter().all(|&w| w == 0.5));
}

/// Every truncation and many seeded mutations: an error or a model, soon, and no panic.
#[test]
fn damaged_files_end_in_errors() {
    let network = open("every.keras").network;
    let files = [
        ("every.keras", true),
        ("every_deflated.keras", true),
        ("nested.h5", true),
        ("every_packed.h5", true),
        ("every.weights.h5", false),
        ("every_latest.h5", false),
    ];
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (name, full) in files {
        let intact = fixture(name);
        let check = |what: &str, bytes: Vec<u8>| {
            let start = Instant::now();
            let weights = match full {
                true => load_bytes("file", bytes).map(|model| model.weights),
                false => weights_of(&bytes, &network),
            };
            let time = start.elapsed();
            assert!(time < Duration::from_secs(5), "{name}, {what}: {time:?}");
            if let Err(error) = &weights {
                let text = error.to_string();
                assert!(!text.contains("panicked"), "{name}, {what}: {text}");
            }
            weights.ok()
        };
        let whole = check("whole", intact.clone());
        assert!(whole.is_some(), "{name}");
        for i in 0..60 {
            let length = intact.len() * i / 60;
            let weights = check("truncated", intact[..length].to_vec());
            // The last bytes of an HDF5 file may be unused.
            assert!(weights.is_none() || weights == whole, "{name} cut to {length} bytes");
        }
        for i in 0..400 {
            let mut bytes = intact.clone();
            // Half of the mutations go where the directories are: to the front.
            let range = if i % 2 == 0 { bytes.len() } else { bytes.len().min(4096) };
            for _ in 0..1 + next(4) {
                let at = next(range);
                match next(3) {
                    0 => bytes[at] ^= 1 << next(8),
                    1 => bytes[at] = next(256) as u8,
                    _ => {
                        let end = (at + 1 + next(8)).min(bytes.len());
                        bytes[at..end].fill([0, 0xFF, 0x7F][next(3)]);
                    }
                }
            }
            check(&format!("mutation {i}"), bytes);
        }
    }
}

/// What a case of `tests/keras/make_cases.py` computes, and what Keras says of it.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    files: Vec<String>,
    /// N×H×W×C, N×L×C or N×T×H×W×C.
    shape: Vec<usize>,
    /// Whether the pictures have numbers of 0 to 255.
    pixels: bool,
    tolerance: f32,
    outputs: Vec<Expected>,
}

#[derive(serde::Deserialize)]
struct Expected {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Models as people save them, from Keras 2 and 3: every output has Keras's name, shape and
/// numbers.
#[test]
fn models_as_people_save_them_compute_as_keras_does() {
    const CASES: &[u8] = include_bytes!("keras/fixtures/cases.zip");
    let cases: Vec<Case> = serde_json::from_str(include_str!("keras/fixtures/cases.json")).unwrap();
    let (mut files, mut worst) = (0, 0.0_f32);
    for Case { name, files: names, shape, pixels, tolerance, outputs } in cases {
        let x = synthetic::uniform(&format!("input/{name}")).take(shape.iter().product());
        let x: Vec<f32> = match pixels {
            true => {
                x.map(|u| (f64::from(u as f32) * 127.5 + 127.5).round_ties_even() as f32).collect()
            }
            false => x.map(|u| u as f32).collect(),
        };
        for file in names {
            let Model { network, weights, metadata, .. } =
                load_bytes(&file, entry(CASES, &file)).unwrap();
            assert_eq!(metadata.notes.is_empty(), !name.contains("policy"), "{file}");
            let scaled = metadata.scaling.is_some_and(|(scaling, _)| scaling == Scaling::None);
            assert_eq!(scaled, pixels, "{file}");
            let found = network.outputs().to_vec();
            let node = |output: &Output| network.node(output.node).name.clone();
            let options = PlanOptions::default().outputs(found.iter().map(node));
            let input = match shape[..] {
                [n, l, c] => [n, 1, l, c],
                [n, t, h, w, c] => [n, t * h, w, c],
                _ => shape[..].try_into().unwrap(),
            };
            let plan = NetworkPlan::new(&network, weights, input, &options).unwrap();
            let mut session = Session::new(plan).unwrap();
            session.run(&x).unwrap();
            assert_eq!(found.len(), outputs.len(), "{file}");
            for (output, expected) in found.iter().zip(&outputs) {
                // A model inside names the output, in Keras 3 by the layer that it ends in.
                let (values, [n, h, w, c]) = session.node(&node(output)).unwrap();
                let shape = match network.rank(output.node) {
                    5 => {
                        let steps = network.steps(output.node).unwrap();
                        vec![n, steps, h / steps, w, c]
                    }
                    2 => vec![n, c],
                    3 => vec![n, h * w, c],
                    _ => vec![n, h, w, c],
                };
                assert_eq!(shape, expected.shape, "{file}: {}", output.name);
                let largest = expected.values.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
                for (value, expected) in values.iter().zip(&expected.values) {
                    let error = (value - expected).abs() / largest;
                    assert!(error <= tolerance, "{file}: {value}, Keras {expected}");
                    if tolerance == 1e-5 {
                        worst = worst.max(error);
                    }
                }
            }
            if outputs.len() > 1 {
                let names = found.iter().map(|output| &output.name);
                assert!(names.eq(outputs.iter().map(|output| &output.name)), "{file}");
            }
            files += 1;
        }
    }
    println!("{files} files, largest difference {worst:.1e}");
    assert!(files > 120);
}

/// A Functional model of these layers, from its input `input`, as JSON.
fn functional(name: &str, layers: &[String], output: &str) -> String {
    let input = r#"{"class_name": "InputLayer", "name": "input", "config": {"batch_shape": [null, 4, 4, 2]}}"#;
    let layers = [&[input.to_owned()], layers].concat().join(", ");
    format!(
        r#"{{"class_name": "Functional", "name": "{name}", "config": {{"name": "{name}", "layers": [{layers}],
        "input_layers": ["input", 0, 0], "output_layers": ["{output}", 0, 0]}}"#
    )
}

/// A call of a layer in Keras 3's words.
fn call(operands: &[&str]) -> String {
    let tensor = |name: &&str| {
        format!(
            r#"{{"class_name": "__keras_tensor__", "config": {{"keras_history": ["{name}", 0, 0]}}}}"#
        )
    };
    let tensors: Vec<String> = operands.iter().map(tensor).collect();
    format!(r#"{{"args": [[{}]], "kwargs": {{}}}}"#, tensors.join(", "))
}

/// Layers that can't be as they are: the error names the layer and the numbers.
#[test]
fn impossible_layers_are_refused_with_their_numbers() {
    let weights = entry(&fixture("every.keras"), "model.weights.h5");
    let conv = r#""filters": 3, "kernel_size": 2"#;
    let steps = |class: &str, config: &str| {
        format!(r#""layer": {{"class_name": "{class}", "config": {{"name": "inner", {config}}}}}"#)
    };
    let group = steps("GroupNormalization", r#""groups": 2"#);
    let (lstm, lines) = (steps("LSTM", r#""units": 2"#), steps("Conv1D", conv));
    let dot = steps("Dot", r#""axes": 1"#);
    let picture = "[null, 4, 4, 2]";
    let sequence = "[null, 8, 2]";
    let not = "is not supported";
    for (shape, class, config, operands, part) in [
        (picture, "Conv1D", conv, 1, "expected an operand of 3 dimensions, got 4"),
        (sequence, "Conv2D", conv, 1, "expected an operand of 4 dimensions, got 3"),
        (
            sequence,
            "Conv1D",
            r#""filters": 3, "kernel_size": [2, 2]"#,
            1,
            "kernel_size: expected one whole number of at least 1, got [2,2]",
        ),
        (
            picture,
            "Conv2D",
            r#""filters": 3, "kernel_size": [0, 2]"#,
            1,
            "kernel_size: expected two whole numbers of at least 1, got [0,2]",
        ),
        (
            sequence,
            "Conv1D",
            r#""filters": 3, "kernel_size": 9, "padding": "causal", "dilation_rate": 4611686018427387904"#,
            1,
            "a kernel of 9 with dilation 4611686018427387904 overflows",
        ),
        (
            sequence,
            "DepthwiseConv1D",
            r#""kernel_size": 2, "padding": "causal""#,
            1,
            "padding \"causal\" is not supported",
        ),
        (sequence, "RepeatVector", r#""n": 3"#, 1, "expected an operand of 2 dimensions, got 3"),
        (sequence, "TimeDistributed", &lstm, 1, "(TimeDistributed of LSTM) is not supported"),
        (sequence, "TimeDistributed", &group, 1, "not supported on an operand of 3 dimensions"),
        (sequence, "TimeDistributed", &lines, 1, "expected an operand of 4 dimensions, got 3"),
        (sequence, "TimeDistributed", &dot, 1, "not supported on an operand of 3 dimensions"),
        (sequence, "TimeDistributed", r#""x": 1"#, 1, "it has no layer"),
        (sequence, "Permute", r#""dims": [3, 1]"#, 1, "expected the numbers 1 to 2 in some order"),
        (sequence, "LayerNormalization", r#""axis": [0, 1]"#, 1, "numbers of 1 to 2, got [0,1]"),
        (sequence, "LayerNormalization", r#""axis": [1, 1]"#, 1, "in this order, got [1, 1]"),
        (sequence, "RMSNormalization", r#""axis": 1"#, 1, "axis 1 is not the channels alone"),
        (
            sequence,
            "Dot",
            r#""axes": 0"#,
            2,
            "axes: expected one of 1 to 2 and one of 1 to 2, got 0",
        ),
        (sequence, "Dot", r#""axes": [1, 2]"#, 2, "operands don't match along axes [1, 2]"),
        (sequence, "Dot", r#""axes": 1"#, 1, "expected 2 operands, got 1"),
        (picture, "Dot", r#""axes": 1"#, 2, "expected operands of 2 or 3 dimensions, got 4 and 4"),
        (
            sequence,
            "Conv1DTranspose",
            r#""filters": 3, "kernel_size": 2, "strides": 2, "output_padding": 2"#,
            1,
            "output_padding: expected less than the strides [1, 2], got [0, 2]",
        ),
        (
            picture,
            "Conv2DTranspose",
            r#""filters": 3, "kernel_size": 2, "groups": 2"#,
            1,
            "expected 1 group of a transposed convolution, got 2",
        ),
        ("[null, null, 2]", "Dot", r#""axes": 1"#, 2, "it takes a sequence whose length is open"),
        ("[null, null, 2]", "LayerNormalization", r#""axis": 1"#, 1, "axis 1 of an open size"),
        ("[null, 8]", "Dense", r#""units": 3"#, 1, "[batch, length, channels] for sequences"),
        (sequence, "GRU", r#""units": 3"#, 1, not),
    ] {
        let call = call(&vec!["input"; operands]);
        let layer = format!(
            r#"{{"class_name": "{class}", "name": "odd", "config": {{{config}}}, "inbound_nodes": [{call}]}}"#
        );
        let model = functional("odd", &[layer], "odd").replace("[null, 4, 4, 2]", shape) + "}";
        let bytes = keras_file(model.as_bytes(), &weights, CompressionMethod::Stored);
        let error = refusal(bytes);
        assert!(error.contains(part), "{class} {config}: {error}");
    }
    // A vector may be repeated too often.
    let layers = [
        (r#"{"class_name": "Flatten", "name": "flat", "config": {}"#, "input"),
        (r#"{"class_name": "RepeatVector", "name": "odd", "config": {"n": 1048576}"#, "flat"),
    ];
    let layers =
        layers.map(|(text, of)| format!(r#"{text}, "inbound_nodes": [{}]}}"#, call(&[of])));
    let model = functional("odd", &layers, "odd") + "}";
    let bytes = keras_file(model.as_bytes(), &weights, CompressionMethod::Stored);
    let error = refusal(bytes);
    assert!(error.contains("at most 65536 rows and columns, got 1×1048576"), "{error}");
}

/// Graphs that grow when they are read: refused soon, whatever they claim.
#[test]
fn graphs_that_explode_are_refused() {
    let weights = entry(&fixture("every.keras"), "model.weights.h5");
    let refusal = |config: String| {
        let start = Instant::now();
        let bytes = keras_file(config.as_bytes(), &weights, CompressionMethod::Stored);
        let error = refusal(bytes);
        let time = start.elapsed();
        assert!(time < Duration::from_secs(5), "{error}: {time:?}");
        error
    };
    // Each model calls the one inside twice, 24 deep: 16 million layers.
    let mut model = functional("inner", &[], "input");
    for depth in 0..24 {
        let twice =
            format!(r#"{model}, "inbound_nodes": [{}, {}]}}"#, call(&["input"]), call(&["input"]));
        let inner = if depth == 0 { "inner".to_owned() } else { format!("m{}", depth - 1) };
        model = functional(&format!("m{depth}"), &[twice], &inner);
    }
    assert!(refusal(model + "}").contains("more than 4096 layers"));
    // Sums of many operands, listed backwards, so that each waits for the next.
    let layers: Vec<String> = (0..300)
        .map(|i| {
            let next = format!("sum{}", i + 1);
            let mut operands = vec!["input"; 100];
            operands.push(if i == 299 { "input" } else { &next });
            format!(
                r#"{{"class_name": "Add", "name": "sum{i}", "config": {{}}, "inbound_nodes": [{}]}}"#,
                call(&operands)
            )
        })
        .collect();
    let error = refusal(functional("sums", &layers, "sum0") + "}");
    assert!(error.contains("more than 1048576 operands"), "{error}");
    // Layers that wait for each other.
    let circle = ["a", "b"].map(|name| {
        let other = if name == "a" { "b" } else { "a" };
        format!(
            r#"{{"class_name": "Dropout", "name": "{name}", "config": {{}}, "inbound_nodes": [{}]}}"#,
            call(&[other])
        )
    });
    let error = refusal(functional("circle", &circle, "a") + "}");
    assert!(
        error.contains("\"a\" (Dropout): its operand \"b\" is not computed before it"),
        "{error}"
    );
}
