//! TensorFlow Lite files: those that `tests/keras/make_tflite.py` converted, and damaged ones.
#![cfg(feature = "tflite")]

use sepconv::network::{NetworkPlan, Op, PlanOptions, Session};
use sepconv::weights::{Model, Scaling, load_bytes};

/// The operators of integers in the fixtures.
const SINGLE: [&str; 18] = [
    "conv",
    "grouped",
    "pointwise",
    "depthwise",
    "multiplier",
    "dense",
    "max_pool",
    "average_pool",
    "mean",
    "add",
    "concat",
    "pad",
    "hard_swish",
    "sigmoid",
    "tanh",
    "leaky_relu",
    "softmax",
    "resize",
];

mod common;

const MODELS: &[u8] = include_bytes!("keras/fixtures/tflite.zip");

fn entry(name: &str) -> Vec<u8> {
    common::entry(MODELS, name)
}

fn floats(name: &str) -> Vec<f32> {
    entry(name).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn open(name: &str) -> Model {
    load_bytes(name, entry(name)).unwrap()
}

/// The probabilities of a model for its input.
fn outputs(model: &Model, x: &[f32]) -> Vec<f32> {
    let ([height, width], channels) = model.network.input();
    let input = [1, height.unwrap(), width.unwrap(), channels];
    let last = &model.network.node(model.network.outputs()[0].node).name;
    let options = PlanOptions::default().outputs([last.as_str()]);
    let plan = NetworkPlan::new(&model.network, &model.weights, input, &options).unwrap();
    let mut session = Session::new(plan).unwrap();
    session.run(x).unwrap();
    session.node(last).unwrap().0.to_vec()
}

/// The largest difference, of the largest number.
fn difference(y: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(y.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    y.iter().zip(expected).fold(0.0_f32, |m, (y, e)| m.max((y - e).abs())) / largest
}

#[test]
fn every_operator_computes_as_litert_does() {
    for name in ["every", "every_f16"] {
        let model = open(&format!("{name}.tflite"));
        let y = outputs(&model, &floats(&format!("{name}.x")));
        let difference = difference(&y, &floats(&format!("{name}.y")));
        assert!(difference <= 1e-5, "{name}: {difference:e}");
    }
    let ops = open("every.tflite").network;
    for wanted in ["Conv", "Depthwise", "Dense", "PRelu", "Silu", "HardSwish", "Resize", "Concat"] {
        let found = |op: &Op| format!("{op:?}").contains(wanted);
        assert!(ops.nodes().iter().any(|node| found(&node.op)), "{wanted}");
    }
}

/// LiteRT rounds the inputs of each layer to 8 bits, too; here they stay real numbers.
#[test]
fn weights_of_8_bits_become_real_numbers() {
    let model = open("every_weights8.tflite");
    let y = outputs(&model, &floats("every_weights8.x"));
    let difference = difference(&y, &floats("every_weights8.y"));
    assert!(difference <= 0.05, "{difference:e}");
}

/// Every integer is at most one beside LiteRT's.
#[test]
fn operators_of_integers_are_within_a_step() {
    let names = SINGLE.map(|name| format!("int8_{name}"));
    for name in &names {
        let model = open(&format!("{name}.tflite"));
        assert!(model.network.is_quantized(), "{name}");
        let y = outputs(&model, &floats(&format!("{name}.x")));
        let (expected, step) = (floats(&format!("{name}.y")), floats(&format!("{name}.step"))[0]);
        assert_eq!(y.len(), expected.len(), "{name}");
        let steps = y.iter().zip(&expected).map(|(y, e)| (y - e).abs() / step);
        let most = steps.clone().fold(0.0_f32, f32::max);
        let others = steps.filter(|&steps| steps > 0.5).count();
        println!("{name}: {others} of {} differ, by {most} at most", y.len());
        assert!(most < 1.001, "{name}: {most} steps");
    }
}

/// Operators of integers, and others of real numbers between them.
#[test]
fn a_network_of_both_computes_as_litert_does() {
    let model = open("every_int8.tflite");
    let y = outputs(&model, &floats("every_int8.x"));
    let expected = floats("every_int8.y");
    // Of the softmax, before it becomes real numbers.
    let step = 1.0 / 256.0;
    let steps: Vec<f32> = y.iter().zip(&expected).map(|(y, e)| (y - e).abs() / step).collect();
    assert!(steps.iter().all(|&steps| steps < 1.001), "{steps:?}");
}

#[test]
fn all_unsupported_operators_are_named_at_once() {
    let error = load_bytes("m.tflite", entry("unsupported.tflite")).unwrap_err().to_string();
    for part in ["m.tflite: 3 operators", "MUL", "TRANSPOSE", "COS", "of two tensors"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn all_unsupported_types_are_named_at_once() {
    let error = load_bytes("m.tflite", entry("int16.tflite")).unwrap_err().to_string();
    for part in ["m.tflite: tensors of int16 (", "are not supported", "TRANSPOSE"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Metadata: how pixels become the input, and the names of classes, in the plain language.
#[test]
fn metadata_describes_input_and_output() {
    let file = entry("described.tflite");
    let Model { network, metadata, .. } = load_bytes("m.tflite", file.clone()).unwrap();
    let (scaling, why) = metadata.scaling.unwrap();
    assert_eq!((scaling, why.as_str()), (Scaling::None, "as the file's metadata says"));
    assert_eq!(metadata.mean, [100.0, 110.0, 120.0]);
    assert_eq!(metadata.std, [50.0, 60.0, 70.0]);
    let labels: Vec<String> = (0..5).map(|i| format!("class {i}")).collect();
    assert_eq!(metadata.labels, Some(labels));
    assert_eq!(metadata.notes, [""; 0]);
    assert_eq!(network.outputs()[0].name, "output_0"); // of the signature

    // Without the archive there are no names, which a note says.
    let archive = file.windows(4).position(|bytes| bytes == b"PK\x03\x04").unwrap();
    let cut = load_bytes("m.tflite", file[..archive].to_vec()).unwrap().metadata;
    assert_eq!(cut.labels, None);
    assert!(cut.notes[0].contains("labels \"labels.txt\" are not used"), "{:?}", cut.notes);
    // Nor if there is another number of them, or the archive is damaged.
    for change in [b"class 3\n", b"class 4\n"] {
        let mut other = file.clone();
        let at = other.windows(8).position(|bytes| bytes == change).unwrap();
        other[at + 7] = b' ';
        let metadata = load_bytes("m.tflite", other).unwrap().metadata;
        assert_eq!((metadata.labels, metadata.notes.len()), (None, 1));
    }
    for at in (0..archive).step_by(7) {
        let mut changed = file.clone();
        changed[at] ^= 0xFF;
        match load_bytes("changed", changed) {
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn every_cut_is_refused() {
    let file = entry("every.tflite");
    for end in (0..file.len()).step_by(97) {
        let error = load_bytes("cut", file[..end].to_vec()).unwrap_err().to_string();
        assert!(!error.contains("panicked"), "{end}: {error}");
    }
}

/// Each byte of the structure, which lies around the buffers, is changed.
#[test]
fn changed_files_are_errors_or_models() {
    let file = entry("every.tflite");
    let (mut models, mut errors) = (0, 0);
    for at in (0..file.len()).step_by(3) {
        for change in [0xFF, 0x80] {
            let mut changed = file.clone();
            changed[at] ^= change;
            match load_bytes("changed", changed) {
                Ok(_) => models += 1,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    errors += 1;
                }
            }
        }
    }
    assert!(models > 100 && errors > 100, "{models} models, {errors} errors");
}
