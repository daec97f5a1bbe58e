//! timm's networks: its numbers on synthetic weights (goldens by tests/timm/make_goldens.py), and
//! its safetensors files, written here by code of its own, and what a hostile hand makes of them.
#![cfg(feature = "safetensors")]

mod golden;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use half::{bf16, f16};
use sepconv::models::{
    AlignedXceptionConfig, EntryBlock, Flavour, Head, TimmConfig, XceptionConfig, aligned_xception,
    timm, xception,
};
use sepconv::network::Network;
use sepconv::weights::{
    Crop, Resize, Scaling, Weights, load, load_bytes, load_weights, synthetic, to_bytes,
};

fn legacy() -> XceptionConfig {
    XceptionConfig { flavour: Flavour::Timm, ..XceptionConfig::default() }
}

fn agrees(file: &str, network: &Network) {
    let golden = golden::read(&format!("timm/goldens/{file}.json"));
    golden::agrees("timm", &golden, network, &synthetic::weights(network).unwrap());
}

fn aligned_agrees(file: &str, config: &AlignedXceptionConfig) {
    agrees(file, &aligned_xception(config).unwrap());
}

#[test]
fn xception41_agrees_with_timm() {
    aligned_agrees("xception41_96", &AlignedXceptionConfig::xception41());
}

#[test]
fn xception65_agrees_with_timm() {
    aligned_agrees("xception65_71", &AlignedXceptionConfig::xception65());
}

#[test]
fn xception65_of_output_stride_16_agrees_with_timm() {
    let config = AlignedXceptionConfig { output_stride: 16, ..AlignedXceptionConfig::default() };
    aligned_agrees("xception65_71_os16", &config);
}

#[test]
fn xception65_of_output_stride_8_agrees_with_timm() {
    let config = AlignedXceptionConfig { output_stride: 8, ..AlignedXceptionConfig::default() };
    aligned_agrees("xception65_71_os8", &config);
}

#[test]
fn xception71_agrees_with_timm() {
    aligned_agrees("xception71_71", &AlignedXceptionConfig::xception71());
}

#[test]
fn legacy_xception_agrees_with_timm() {
    let network = xception(&legacy()).unwrap();
    agrees("legacy_xception_75", &network);
    agrees("legacy_xception_96", &network);
}

fn known(name: &str, channels: usize, classes: Option<usize>) -> Network {
    timm(&TimmConfig { channels, classes, ..TimmConfig::new(name).unwrap() }).unwrap()
}

#[test]
fn inverted_residuals_agree_with_timm() {
    for (name, size) in [
        ("mobilenetv2_035", 45),
        ("mobilenetv3_small_050", 45),
        ("tf_mobilenetv3_large_minimal_100", 46),
        ("tf_mobilenetv3_small_075", 45),
        ("mnasnet_small", 48),
        ("mnasnet_050", 33),
        ("semnasnet_050", 45),
        ("efficientnet_lite0", 33),
        ("tf_efficientnet_b0", 46),
        ("tf_efficientnetv2_b0", 45),
    ] {
        agrees(&format!("{name}_{size}"), &known(name, 3, Some(10)));
    }
}

#[test]
fn convnexts_agree_with_timm() {
    for (name, size) in
        [("convnext_atto", 45), ("convnext_pico_ols", 46), ("convnext_tiny_hnf", 32)]
    {
        agrees(&format!("{name}_{size}"), &known(name, 3, Some(10)));
    }
}

#[test]
fn ghostnet_agrees_with_timm() {
    agrees("ghostnet_050_45", &known("ghostnet_050", 3, Some(10)));
}

/// A tensor of a file: type, shape, bytes.
#[derive(Clone)]
struct Stored {
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A file, in the order of the names.
type Tensors = BTreeMap<String, Stored>;

fn stored(dtype: &'static str, shape: &[usize], values: &[f32]) -> Stored {
    let bytes = match dtype {
        "F32" => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        "F64" => values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
        "F16" => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        "BF16" => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        "I64" => values.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect(),
        other => panic!("{other}"),
    };
    Stored { dtype, shape: shape.to_vec(), bytes }
}

/// The synthetic weights of a network as timm has them: by the rules of timm's names and PyTorch's
/// layouts.
fn of(network: &Network, dtype: &'static str) -> Tensors {
    let mut tensors = Tensors::new();
    for (layer, variable, tensor) in synthetic::weights(network).unwrap().iter() {
        let module = module(network, layer);
        if let Some(module) = module.strip_suffix(".gamma") {
            // A parameter of a block of ConvNeXt.
            let tensor = stored(dtype, &tensor.shape, &tensor.data);
            tensors.insert(format!("{module}.gamma"), tensor);
            continue;
        }
        let depthwise = network.nodes().iter().any(|node| {
            node.layer == layer && matches!(node.op, sepconv::network::Op::Depthwise { .. })
        });
        let (suffix, axes): (&str, &[usize]) = match (variable, tensor.shape.len()) {
            ("gamma", _) => ("weight", &[0]),
            ("beta" | "bias", _) => ("bias", &[0]),
            ("moving_mean", _) => ("running_mean", &[0]),
            ("moving_variance", _) => ("running_var", &[0]),
            ("kernel", 2) => ("weight", &[1, 0]),
            ("kernel", _) => ("weight", &[3, 2, 0, 1]),
            ("depthwise_kernel", _) if depthwise => ("weight", &[2, 3, 0, 1]),
            ("depthwise_kernel", _) => ("conv1.weight", &[2, 3, 0, 1]),
            ("pointwise_kernel", _) => ("pointwise.weight", &[3, 2, 0, 1]),
            other => panic!("{other:?}"),
        };
        let (shape, values) = permuted(&tensor.shape, &tensor.data, axes);
        tensors.insert(format!("{module}.{suffix}"), stored(dtype, &shape, &values));
        if variable == "moving_mean" {
            let count = stored("I64", &[], &[1.0]);
            tensors.insert(format!("{module}.num_batches_tracked"), count);
        }
    }
    tensors
}

/// numpy's transpose.
fn permuted(shape: &[usize], values: &[f32], axes: &[usize]) -> (Vec<usize>, Vec<f32>) {
    let to: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
    let value = |mut at: usize| {
        let mut index = vec![0; shape.len()];
        for (&axis, extent) in axes.iter().zip(&to).rev() {
            index[axis] = at % extent;
            at /= extent;
        }
        values[index.iter().zip(shape).fold(0, |flat, (i, extent)| flat * extent + i)]
    };
    (to.clone(), (0..values.len()).map(value).collect())
}

/// The module of a layer: its own name, or in Xception one of this table, which has all entry
/// blocks, all middle blocks, the exit block and the last, for any number of them.
fn module(network: &Network, layer: &str) -> String {
    if network.find("block1_conv1").is_none() {
        return layer.into();
    }
    let has = |name: &str| network.find(name).is_some();
    let blocks = (2..).take_while(|b| has(&format!("block{b}_sepconv1"))).count() + 1;
    let strided: Vec<usize> = (2..blocks).filter(|b| has(&format!("block{b}_pool"))).collect();
    let mut table = vec![("predictions".to_owned(), "fc".to_owned())];
    for (n, block) in strided.iter().enumerate() {
        let number = if n == 0 { String::new() } else { format!("_{n}") };
        table.push((format!("conv2d{number}"), format!("block{}.skip", block - 1)));
        table.push((format!("batch_normalization{number}"), format!("block{}.skipbn", block - 1)));
    }
    let mut convolution = |ours: String, conv: String, norm: String| {
        table.push((format!("{ours}_bn"), norm));
        table.push((ours, conv));
    };
    for i in [1, 2] {
        convolution(format!("block1_conv{i}"), format!("conv{i}"), format!("bn{i}"));
        let [conv, norm] = [format!("conv{}", i + 2), format!("bn{}", i + 2)];
        convolution(format!("block{blocks}_sepconv{i}"), conv, norm);
    }
    for block in 2..blocks {
        let first = if block == 2 { [0, 3, 6] } else { [1, 4, 7] };
        let count = if strided.contains(&block) { 2 } else { 3 };
        for (i, at) in (1..=count).zip(first) {
            let rep = |at: usize| format!("block{}.rep.{at}", block - 1);
            convolution(format!("block{block}_sepconv{i}"), rep(at), rep(at + 1));
        }
    }
    let found = table.into_iter().find(|(ours, _)| ours == layer);
    found.unwrap_or_else(|| panic!("{layer} is in no table")).1
}

/// The bytes of a file.
fn file(tensors: &Tensors) -> Vec<u8> {
    file_with(r#"{"format":"pt"}"#, tensors)
}

fn file_with(metadata: &str, tensors: &Tensors) -> Vec<u8> {
    let mut data = Vec::new();
    let mut entries = vec![format!(r#""__metadata__":{metadata}"#)];
    for (name, tensor) in tensors {
        let (start, end) = (data.len(), data.len() + tensor.bytes.len());
        let (dtype, shape) = (tensor.dtype, &tensor.shape);
        entries.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
        data.extend(&tensor.bytes);
    }
    with_header(&format!("{{{}}}", entries.join(",")), &data)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Loads weights of `network` through a file on disk.
fn weights_of(bytes: &[u8], network: &Network) -> sepconv::Result<Weights> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    load_weights(file.path(), network)
}

fn refusal(bytes: &[u8], network: &Network) -> String {
    weights_of(bytes, network).expect_err("a refusal").to_string()
}

fn tiny_aligned() -> Network {
    aligned_xception(&AlignedXceptionConfig {
        channels: 2,
        stem: [3, 4],
        entry: vec![EntryBlock { filters: 5, stride: 2 }, EntryBlock { filters: 6, stride: 1 }],
        middle_blocks: 1,
        exit: 7,
        last: [8, 9, 10],
        classes: Some(3),
        ..AlignedXceptionConfig::default()
    })
    .unwrap()
}

fn tiny_legacy() -> Network {
    xception(&XceptionConfig {
        size: [None, None],
        channels: 2,
        stem: [3, 4],
        entry: vec![5, 6],
        middle_blocks: 2,
        exit: 7,
        last: [8, 9],
        head: Head::Classes(3),
        ..legacy()
    })
    .unwrap()
}

#[test]
fn tiny_networks_are_read() {
    for network in [tiny_aligned(), tiny_legacy()] {
        let exact = synthetic::weights(&network).unwrap();
        for dtype in ["F32", "F64"] {
            let read = weights_of(&file(&of(&network, dtype)), &network).unwrap();
            assert_eq!(read, exact, "{dtype}");
        }
        for (dtype, round) in [
            ("F16", (|v| f16::from_f32(v).to_f32()) as fn(f32) -> f32),
            ("BF16", |v| bf16::from_f32(v).to_f32()),
        ] {
            let read = weights_of(&file(&of(&network, dtype)), &network).unwrap();
            for ((_, _, read), (layer, name, exact)) in read.iter().zip(exact.iter()) {
                let rounded: Vec<f32> = exact.data.iter().map(|&v| round(v)).collect();
                assert_eq!(read.data, rounded, "{layer}/{name} of {dtype}");
            }
        }
    }
}

/// What timm calls them is seen from names and shapes: the network, input channels and classes.
#[test]
fn networks_are_recognised() {
    let aligned = [
        (AlignedXceptionConfig::xception41(), 3, Some(1000)),
        (AlignedXceptionConfig::xception65(), 1, None),
        (AlignedXceptionConfig::xception71(), 4, Some(7)),
    ];
    // Of 27 to 40 million weights each. With less effort not all.
    let count = if common::effort() < 100.0 { 1 } else { aligned.len() };
    for (config, channels, classes) in aligned.into_iter().take(count) {
        let config = AlignedXceptionConfig { channels, classes, ..config };
        let network = aligned_xception(&config).unwrap();
        let model = load_bytes("file", file(&of(&network, "F16"))).unwrap();
        assert!(model.network == network, "{config:?}");
    }
    for (channels, head) in [(3, Head::Classes(1000)), (4, Head::None)] {
        let config = XceptionConfig { channels, head, ..legacy() };
        let network = xception(&config).unwrap();
        let model = load_bytes("file", file(&of(&network, "F32"))).unwrap();
        assert!(model.network == network, "{config:?}");
        assert!(model.weights == synthetic::weights(&network).unwrap(), "{config:?}");
    }
}

/// Small ones of each family, also with other input channels and classes, and without classes.
#[test]
fn networks_are_recognised_by_their_tensors() {
    for (name, channels, classes) in [
        ("mobilenetv2_035", 3, Some(1000)),
        ("mobilenetv2_050", 1, Some(4)),
        ("mobilenetv3_small_050", 3, None),
        // All of its tensors are some of efficientnet_b0's.
        ("efficientnet_lite0", 3, Some(4)),
        ("tf_mobilenetv3_small_minimal_100", 3, Some(4)),
        ("mnasnet_small", 4, None),
        ("mnasnet_050", 3, Some(4)),
        ("semnasnet_050", 3, Some(4)),
        ("tf_efficientnetv2_b0", 3, Some(4)),
        ("convnext_atto", 2, Some(4)),
        ("convnext_atto_ols", 3, None),
        ("ghostnet_050", 3, Some(4)),
    ] {
        let network = known(name, channels, classes);
        let model = load_bytes("file", file(&of(&network, "F32"))).unwrap();
        assert!(model.network == network, "{name}");
        assert!(model.weights == synthetic::weights(&network).unwrap(), "{name}");
        let twins = model.metadata.notes.iter().all(|note| note.contains(&format!("tf_{name}")));
        assert!(twins, "{name}: {:?}", model.metadata.notes);
        assert_eq!(model.metadata.logits.is_some(), classes.is_some(), "{name}");
        let mut again = load_bytes("again", to_bytes(&model).unwrap()).unwrap();
        again.metadata.notes = model.metadata.notes.clone();
        assert!(again == model, "{name}");
    }
}

/// Networks with the same tensors are told apart by the header or timm's `config.json`.
#[test]
fn networks_are_recognised_by_their_names() {
    let names = ["mobilenetv3_small_075", "tf_mobilenetv3_small_075"];
    let [plain, tensorflow] = names.map(|name| known(name, 3, Some(4)));
    let tensors = of(&plain, "F16");
    let model = load_bytes("file", file(&tensors)).unwrap();
    assert!(model.network == plain);
    let [note] = &model.metadata.notes[..] else { panic!("{:?}", model.metadata.notes) };
    assert!(names.iter().all(|name| note.contains(name)), "{note}");
    assert_eq!(model.metadata.scaling.unwrap().0, Scaling::Torch);

    let named = |name: &str| file_with(&format!(r#"{{"architecture":"{name}"}}"#), &tensors);
    let model = load_bytes("file", named("tf_mobilenetv3_small_075.in1k")).unwrap();
    assert!(model.network == tensorflow && model.metadata.notes.is_empty());
    assert_eq!(model.metadata.scaling.unwrap().0, Scaling::Tf);
    assert_eq!(model.metadata.resize, Some(Resize::Bilinear));
    let error = load_bytes("file", named("resnet50")).unwrap_err().to_string();
    assert!(error.contains("the header names a network: \"resnet50\" is none of"), "{error}");
    let error = load_bytes("file", named("mobilenetv2_035")).unwrap_err().to_string();
    let parts =
        ["the header names timm's mobilenetv2_035: tensor ", "expected shape [8, 16, 1, 1]"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let write = |header: &[u8], config: &str| {
        std::fs::write(&path, header).unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        load(&path)
    };
    let config = r#"{"architecture": "tf_mobilenetv3_small_075", "num_classes": 1000,
        "pretrained_cfg": {"tag": "in1k", "input_size": [3, 96, 160], "mean": [0.1, 0.2, 0.3],
        "std": [1, 1, 2], "interpolation": "nearest", "crop_pct": 0.5, "crop_mode": "squash"}}"#;
    let model = write(&file(&tensors), config).unwrap();
    assert_eq!(model.network.name(), "tf_mobilenetv3_small_075");
    assert_eq!(model.network.input(), ([Some(96), Some(160)], 3));
    let metadata = model.metadata;
    assert_eq!(metadata.scaling.unwrap().0, Scaling::Unit);
    assert_eq!((metadata.mean, metadata.std), (vec![0.1, 0.2, 0.3], vec![1.0, 1.0, 2.0]));
    assert_eq!(metadata.resize, Some(Resize::Nearest));
    assert_eq!(metadata.crop, Some(Crop { share: 0.5, squash: true }));
    // The header is nearer, and a foreign or damaged config.json says nothing.
    let model = write(&named(names[0]), config).unwrap();
    assert!(model.network == plain && model.metadata.resize == Some(Resize::Bicubic));
    assert!(write(&file(&tensors), r#"{"architectures": [1]}"#).unwrap().network == plain);
    let notes = write(&file(&tensors), "{").unwrap().metadata.notes.join("\n");
    assert!(notes.contains("config.json beside the file is not read"), "{notes}");
    let error = write(&file(&tensors), r#"{"architecture": "vit"}"#).unwrap_err().to_string();
    assert!(error.contains("the config.json beside the file names a network: \"vit\""), "{error}");
}

#[test]
fn wrong_tensors_of_a_recognised_network_are_refused_by_name() {
    let sound = of(&known("mobilenetv3_small_050", 3, Some(4)), "F16");
    let refused = |change: &dyn Fn(&mut Tensors), parts: &[&str]| {
        let mut tensors = sound.clone();
        change(&mut tensors);
        let error = load_bytes("file", file(&tensors)).unwrap_err().to_string();
        let known = error.contains("recognised as timm's mobilenetv3_small_050: ");
        assert!(known && parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let zeros = |shape: &[usize]| stored("F32", shape, &vec![0.0; shape.iter().product()]);
    let name = "blocks.1.0.conv_dw.weight";
    refused(&|t| drop(t.remove(name)), &[name, "missing; expected shape [40, 1, 3, 3]"]);
    let parts = [name, "expected shape [40, 1, 3, 3], got [40, 1, 5, 5]"];
    refused(&|t| drop(t.insert(name.into(), zeros(&[40, 1, 5, 5]))), &parts);
    let name = "conv_stem.weight";
    let parts = [name, "expected shape [16, 3, 3, 3], got [16, 27]"];
    refused(&|t| drop(t.insert(name.into(), zeros(&[16, 27]))), &parts);
    let name = "classifier.weight";
    let parts = [name, "expected shape [4, 1024], got [4, 1024, 1, 1]"];
    refused(&|t| drop(t.insert(name.into(), zeros(&[4, 1024, 1, 1]))), &parts);
    let parts = ["has no tensor \"blocks.1.1.gamma\" (shape [16])"];
    refused(&|t| drop(t.insert("blocks.1.1.gamma".into(), zeros(&[16]))), &parts);
}

#[test]
fn other_families_are_refused() {
    let refused = |tensors: &Tensors, parts: &[&str]| {
        let error = load_bytes("some.safetensors", file(tensors)).err().unwrap().to_string();
        assert!(error.starts_with("some.safetensors: "), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let one = |name: &str, shape: &[usize]| {
        let zeros = vec![0.0; shape.iter().product()];
        Tensors::from([(name.to_owned(), stored("F32", shape, &zeros))])
    };
    let parts = [
        "legacy_xception",
        "mobilenetv2_100",
        "\"conv1.weight\" of shape [64, 3, 7, 7]",
        "1 tensors",
    ];
    refused(&one("conv1.weight", &[64, 3, 7, 7]), &parts);
    refused(&Tensors::new(), &["0 tensors", "none"]);
    // Another one with such a stem.
    refused(&one("stem.0.conv.weight", &[24, 3, 3, 3]), &["[24, 3, 3, 3]", "0 blocks"]);
    refused(&of(&tiny_aligned(), "F32"), &["[3, 2, 3, 3]", "5 blocks", "xception41"]);
    let parts = [
        "timm's legacy_xception: ",
        "\"conv1.weight\"",
        "expected shape [32, 2, 3, 3], got [3, 2, 3, 3]",
    ];
    refused(&of(&tiny_legacy(), "F32"), &parts);
    // With blocks that start with a norm: timm's xception41p.
    let mut preact = one("stem.0.conv.weight", &[32, 3, 3, 3]);
    for i in 0..13 {
        preact.extend(one(&format!("blocks.{i}.stack.conv1.conv_dw.weight"), &[8, 1, 3, 3]));
    }
    refused(
        &preact,
        &["timm's xception41: ", "\"stem.0.bn.weight\": missing; expected shape [32]"],
    );
}

#[test]
fn wrong_tensors_are_refused_by_name() {
    let network = tiny_aligned();
    let sound = of(&network, "F32");
    let name = "blocks.1.stack.conv2.conv_dw.weight";
    let refused = |change: &dyn Fn(&mut Tensors), parts: &[&str]| {
        let mut tensors = sound.clone();
        change(&mut tensors);
        let error = refusal(&file(&tensors), &network);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let put = |tensor: Stored| {
        move |tensors: &mut Tensors| drop(tensors.insert(name.into(), tensor.clone()))
    };
    refused(&|t| drop(t.remove(name)), &[name, "missing; expected shape [6, 1, 3, 3]"]);
    let parts = [name, "expected shape [6, 1, 3, 3], got [6, 1, 3, 2]"];
    refused(&put(stored("F32", &[6, 1, 3, 2], &[0.5; 36])), &parts);
    refused(&put(stored("F32", &[54], &[0.5; 54])), &[name, "got [54]"]);
    refused(&put(stored("I64", &[6, 1, 3, 3], &[1.0; 54])), &[name, "I64"]);
    for dtype in ["F16", "BF16", "F32", "F64"] {
        for (value, word) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
            let mut values = [0.5; 54];
            values[17] = value;
            let parts = [name, "at element 17", word, "finite"];
            refused(&put(stored(dtype, &[6, 1, 3, 3], &values)), &parts);
        }
    }
    // Of f64, what f32 has no room for.
    let mut large = stored("F64", &[6, 1, 3, 3], &[0.5; 54]);
    large.bytes[..8].copy_from_slice(&1e300_f64.to_le_bytes());
    refused(&put(large), &[name, "got inf at element 0"]);
    for (extra, shape) in [("blocks.9.x", vec![2, 1]), ("head.fc.num_batches_tracked", vec![1])] {
        let tensor = stored("F32", &shape, &vec![0.0; shape.iter().product()]);
        let parts = [&format!("xception17 has no tensor {extra:?} (shape {shape:?})")[..]];
        refused(&|t| drop(t.insert(extra.into(), tensor.clone())), &parts);
    }
}

#[test]
fn hostile_headers_are_refused() {
    let network = tiny_legacy();
    let intact = file(&of(&network, "F32"));
    let start = intact.iter().position(|&b| b == b'{').unwrap();
    let length = u64::from_le_bytes(intact[..8].try_into().unwrap()) as usize;
    let (header, data) = intact[start..].split_at(length);
    let header = std::str::from_utf8(header).unwrap();
    let refused = |bytes: Vec<u8>, part: &str| {
        let before = Instant::now();
        let error = refusal(&bytes, &network);
        assert!(before.elapsed() < Duration::from_secs(5), "{error}");
        assert!(error.contains(part), "{part}: {error}");
    };
    let changed = |from: &str, to: &str| {
        assert!(header.contains(from), "{from}");
        with_header(&header.replacen(from, to, 1), data)
    };
    for (length, part) in [
        (u64::MAX, "the header has 18446744073709551615 bytes; at most 1048576 are read"),
        (intact.len() as u64, &format!("the file has {}", intact.len())),
        (length as u64 - 1, "header: "),
    ] {
        let mut bytes = intact.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        refused(bytes, part);
    }
    refused(intact[..8].to_vec(), "8 bytes");
    refused(intact[..intact.len() - 1].to_vec(), "bytes, the file has");
    refused([&intact[..], &[0]].concat(), "bytes, the file has");
    // Places that leave a gap, overlap, lie outside, run backwards or overflow, and a shape that
    // does.
    let place = "\"data_offsets\":[0,144]";
    let most = "\"data_offsets\":[0,18446744073709551615]";
    for to in [
        "\"data_offsets\":[4,144]",
        "\"data_offsets\":[0,148]",
        "\"data_offsets\":[144,0]",
        "\"data_offsets\":[-1,144]",
        most,
    ] {
        refused(changed(place, to), "header: ");
    }
    let huge = "\"shape\":[4294967296,4294967296,4294967296]";
    refused(changed("\"shape\":[3]", huge), "header: ");
    refused(changed("\"F32\"", "\"Q32\""), "header: ");
    refused(changed("\"F32\"", "\"F64\""), "header: ");
    refused(changed("\"format\":\"pt\"", "\"format\":1"), "header: ");
    // Nested and repeated as far as a header may go.
    let room = (1 << 20) - 100;
    let nested = format!("{{\"x\":{}", "[".repeat(room));
    refused(with_header(&nested, &[]), "recursion limit");
    let many = format!("{{\"x\":[{}0]}}", "0,".repeat(room / 2));
    refused(with_header(&many, &[]), "header: ");
    let same = format!("{{{}\"x\":0}}", "\"x\":0,".repeat(room / 6));
    refused(with_header(&same, &[]), "header: ");
}

/// Every truncation and many seeded mutations: an error or weights, soon, and no panic.
#[test]
fn damaged_files_end_in_errors() {
    for network in [tiny_aligned(), tiny_legacy()] {
        let intact = file(&of(&network, "BF16"));
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let check = |bytes: &[u8]| {
            let before = Instant::now();
            let weights = weights_of(bytes, &network);
            let _ = load_bytes("file", bytes.to_vec()).map(|_| panic!("far from a whole network"));
            assert!(before.elapsed() < Duration::from_secs(5));
            weights.ok()
        };
        for i in 0..60 {
            assert!(check(&intact[..intact.len() * i / 60]).is_none());
        }
        for i in 0..400 {
            let mut bytes = intact.clone();
            let range = if i % 2 == 0 { bytes.len() } else { 4096 };
            for _ in 0..1 + next(4) {
                let at = next(range);
                match next(3) {
                    0 => bytes[at] ^= 1 << next(8),
                    1 => bytes[at] = next(256) as u8,
                    _ => {
                        let end = (at + 1 + next(8)).min(bytes.len());
                        bytes[at..end].fill([b'0', b'9', b','][next(3)]);
                    }
                }
            }
            if let Some(weights) = check(&bytes) {
                let mut values = weights.iter().flat_map(|(_, _, tensor)| &tensor.data);
                assert!(values.all(|v| v.is_finite()));
            }
        }
    }
}
