//! Whole models in safetensors: written, read alike, and refused if they are wrong.
#![cfg(feature = "safetensors")]

use sepconv::kernels::{
    Activation, BinaryOp, NormalizationKind, Padding, PoolKind, Quantization, TransposedPadding,
    TransposedWindow, Window,
};
use sepconv::network::{Border, Interpolation, Network, Op, Output};
use sepconv::weights::{
    self, Int8Tensor, Link, Model, Resize, Scaling, Tensor, Weights, synthetic,
};

/// Every operation that a network can have, whether or not their shapes match.
fn operations() -> Vec<Op> {
    let window = Window::new([3, 2]).stride([2, 1]).padding(Padding::Same);
    let explicit = Padding::Explicit { top: 1, bottom: 0, left: 2, right: 3 };
    let mut dilated = Window::new([2, 2]).padding(explicit);
    dilated.dilation = [2, 3];
    let border = Border { top: 1, bottom: 2, left: 0, right: 4 };
    let padding = TransposedPadding::Explicit { padding: [1, 0], output_padding: [0, 1] };
    let transposed = TransposedWindow::new([3, 2]).stride([2, 1]).padding(padding);
    let mut all = vec![
        Op::Conv { window, groups: 1, filters: 4, bias: true },
        Op::Depthwise { window: dilated, multiplier: 2, bias: false },
        Op::Separable { window, multiplier: 1, filters: 6, bias: true },
        Op::BatchNorm { epsilon: 1e-3, scale: true, center: false },
        Op::Softmax,
        Op::MaxPool(window),
        Op::AveragePool(dilated),
        Op::Rescale { scale: vec![1.0 / 127.5], offset: vec![-1.0] },
        Op::PRelu { shape: vec![6] },
        Op::ZeroPad(border),
        Op::Crop(border),
        Op::CenterCrop { size: [3, 4] },
        Op::Reshape { shape: [4, 3, 6], sequence: false },
        Op::Dense { units: 5, bias: true },
        Op::Identity,
        Op::GlobalPool { kind: PoolKind::Max, keep_dims: true },
        Op::GlobalPool { kind: PoolKind::Average, keep_dims: false },
        Op::Flatten { features: 5 },
        Op::Scale,
        Op::Standardize { invert: true },
        Op::UpSample { factor: [2, 3], how: Interpolation::Nearest },
        Op::ConvTranspose { window: transposed, filters: 3, bias: true },
        Op::ConvTranspose {
            window: transposed.padding(TransposedPadding::Same),
            filters: 3,
            bias: false,
        },
        Op::ConvTranspose {
            window: TransposedWindow::new([3, 2]).dilation([2, 3]),
            filters: 3,
            bias: false,
        },
        Op::Permute { axes: [1, 0, 2], channels: 3 },
        Op::Reshape { shape: [1, 4, 9], sequence: true },
        Op::NormalizeOver {
            axes: vec![0, 2],
            extents: vec![5, 4],
            epsilon: 1e-3,
            scale: true,
            center: false,
        },
    ];
    for (i, kind) in [
        NormalizationKind::Layer,
        NormalizationKind::Rms,
        NormalizationKind::Unit,
        NormalizationKind::Group { groups: 3 },
    ]
    .into_iter()
    .enumerate()
    {
        all.push(Op::Normalize { kind, epsilon: 1e-3, scale: i % 2 == 0, center: i < 2 });
    }
    for how in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic] {
        all.push(Op::Resize { size: [2, 3], how, crop: how == Interpolation::Bilinear });
    }
    all.extend(
        [
            Activation::None,
            Activation::Relu,
            Activation::Relu6,
            Activation::Clamp { lo: f32::NEG_INFINITY, hi: 0.1 },
            Activation::Elu { alpha: 0.7 },
            Activation::Silu,
            Activation::HardSwish,
            Activation::Sigmoid,
            Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
            Activation::Tanh,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Softplus,
            Activation::Mish,
            Activation::LeakyRelu { alpha: 0.3 },
            Activation::ThresholdedRelu { slope: 0.1, threshold: 1.0, max: f32::INFINITY },
            Activation::Softsign,
            Activation::Exponential,
        ]
        .map(Op::Activation),
    );
    all
}

fn model() -> Model {
    let mut network = Network::new("all", "in", [Some(20), None], 3);
    for (i, op) in operations().into_iter().enumerate() {
        network
            .push_for_layer(&format!("{i}"), &format!("layer {i}"), op, &[network.output()])
            .unwrap();
    }
    let last = network.output();
    let sum = network.push("sum", Op::Add, &[last, last, last]).unwrap();
    let both = network.push("both", Op::Concat, &[sum, last]).unwrap();
    for (name, op) in [
        ("sum of two", BinaryOp::Add),
        ("difference", BinaryOp::Subtract),
        ("product", BinaryOp::Multiply),
        ("maximum", BinaryOp::Maximum),
        ("minimum", BinaryOp::Minimum),
    ] {
        network.push(name, Op::Binary(op), &[sum, last]).unwrap();
    }
    for (name, normalize) in [("dot", None), ("cosine", Some(1e-7))] {
        let op = Op::Dot { axes: [2, 1], channels: 8, normalize };
        network.push(name, op, &[sum, last]).unwrap();
    }
    for (i, scale) in [(0, 0.1), (3, 1.0 / 3.0), (7, f32::MIN_POSITIVE), (20, 1e30)] {
        let id = network.find(&network.nodes()[i].name.clone()).unwrap();
        network.set_quantization(id, Some(Quantization::new(scale, i as i32 * 12))).unwrap();
    }
    let output = |name: &str, node| Output { name: name.into(), node };
    network.set_outputs(vec![output("both", both), output("features", sum)]).unwrap();
    let mut weights = synthetic::weights(&network).unwrap();
    let kernel = weights.get("layer 0", "kernel", &[3, 2, 3, 4]).unwrap();
    let data = kernel.iter().map(|&x| (x * 100.0) as i8).collect();
    let int8 =
        Int8Tensor { shape: vec![3, 2, 3, 4], data, scales: vec![0.01, 0.0, 1.0 / 3.0, 7.0] };
    weights.insert_int8("layer 0", "kernel", int8).unwrap();
    let int8 = Int8Tensor { shape: vec![2, 2, 4, 2], data: vec![-128; 32], scales: vec![0.5; 8] };
    weights.insert_int8("layer 1", "depthwise_kernel", int8).unwrap();
    let mut model = Model::new(network, weights);
    model.metadata.scaling = Some((Scaling::Unit, "as \"requested\"\n".into()));
    (model.metadata.mean, model.metadata.std) = (vec![0.485, 0.456, 0.406], vec![1.0 / 3.0]);
    model.metadata.resize = Some(Resize::TfBicubic);
    model.metadata.logits = Some(Link::Sigmoid);
    model.metadata.labels = Some(vec!["Löffel".into(), String::new()]);
    model
}

#[test]
fn sequences_are_read_as_they_were_written() {
    let mut network = Network::of_sequences("sound", "samples", None, 2);
    network.push("pool", Op::MaxPool(Window::new([1, 4])), &[network.output()]).unwrap();
    let model = Model::new(network, Weights::default());
    let bytes = weights::to_bytes(&model).unwrap();
    assert_eq!(weights::load_bytes("file", bytes).unwrap(), model);
}

#[test]
fn models_are_read_as_they_were_written() {
    for model in [model(), Model::new(Network::new("", "", [None; 2], 1), Weights::default())] {
        let file = weights::to_bytes(&model).unwrap();
        assert_eq!(weights::load_bytes("file", file.clone()).unwrap(), model);
        assert_eq!(weights::to_bytes(&model).unwrap(), file);
    }
}

/// A small file, as header and data.
fn parts() -> (String, Vec<u8>) {
    let mut network = Network::new("small", "in", [None; 2], 2);
    let input = network.output();
    network.push("dense", Op::Dense { units: 2, bias: true }, &[input]).unwrap();
    network.set_quantization(input, Some(Quantization::new(0.5, 3))).unwrap();
    let mut weights = Weights::default();
    let int8 = Int8Tensor { shape: vec![2, 2], data: vec![1, 2, 3, 4], scales: vec![0.25, 0.5] };
    weights.insert_int8("dense", "kernel", int8).unwrap();
    weights.insert("dense", "bias", Tensor { shape: vec![2], data: vec![1.0, 2.0] }).unwrap();
    let mut model = Model::new(network, weights);
    model.metadata.scaling = Some((Scaling::Tf, "why".into()));
    model.metadata.labels = Some(vec!["a".into(), "b".into()]);
    let file = weights::to_bytes(&model).unwrap();
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let header = std::str::from_utf8(&file[8..8 + length]).unwrap().trim_end().to_owned();
    (header, file[8 + length..].to_vec())
}

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn wrong_files_are_errors() {
    let (header, data) = parts();
    weights::load_bytes("file", file(&header, &data)).unwrap();
    // In the text of the model, whose quotes are escaped.
    let changes: [(&str, &str, &[&str]); 27] = [
        (r#""version":"1""#, r#""version":"2""#, &["version 1", "\"2\""]),
        (r#""version":"1""#, r#""versio":"1""#, &["version 1", "none"]),
        (r#""model":"#, r#""mode":"#, &["the header has no model"]),
        (r#"{\"input\""#, r#"[\"input\""#, &["model: "]),
        (r#"\"nodes\":["#, r#"\"nodes\":[7,"#, &["node 1", "object", "7"]),
        (r#"\"name\":\"dense\",\"op"#, r#"\"name\":\"in\",\"op"#, &["\"in\"", "another node"]),
        (r#"\"operands\":[0]"#, r#"\"operands\":[1]"#, &["operands", "before", "got 1"]),
        (r#"\"operands\":[0]"#, r#"\"operands\":[-1]"#, &["operands", "got -1"]),
        (r#"\"operands\":[0]"#, r#"\"operands\":[0,0]"#, &["1 operand", "got 2"]),
        (r#"\"op\":\"dense\""#, r#"\"op\":\"dents\""#, &["\"dents\" is not known"]),
        (r#"\"units\":2"#, r#"\"units\":0"#, &["units", "above 0", "got 0"]),
        (r#"\"units\":2"#, r#"\"units\":2.5"#, &["units", "2.5"]),
        (r#"\"units\":2"#, r#"\"units\":3"#, &["dense/kernel", "[3]", "[2]"]),
        (r#"\"units\":2"#, r#"\"units\":9007199254740993"#, &["dense/kernel", "9007199254740993"]),
        (r#"\"bias\":true"#, r#"\"bias\":1"#, &["bias", "true or false", "got 1"]),
        (r#"\"bias\":true"#, r#"\"bias\":false"#, &["no tensor", "dense/bias", "[2]"]),
        (r#"\"channels\":2"#, r#"\"channels\":0"#, &["channels", "above 0"]),
        (r#"\"size\":[null,null]"#, r#"\"size\":[null]"#, &["size"]),
        (r#"\"quantization\":[0.5,3]"#, r#"\"quantization\":[0.5,256]"#, &["0.5", "256"]),
        (r#"\"quantization\":[0.5,3]"#, r#"\"quantization\":[-0.5,3]"#, &["above 0", "-0.5"]),
        (r#"\"quantization\":[0.5,3]"#, r#"\"quantization\":[1e99,3]"#, &["scale", "1e+99"]),
        (r#"\"node\":[1]"#, r#"\"node\":[2]"#, &["node 2 does not exist", "2"]),
        (r#"\"returned\":[1]"#, r#"\"returned\":[9]"#, &["node 9 does not exist"]),
        (r#"\"scaling\":\"tf\""#, r#"\"scaling\":\"tg\""#, &["\"tg\" is not known"]),
        (r#"\"labels\":["#, r#"\"labels\":[1,"#, &["labels", "strings"]),
        (r#""dense/kernel/scales""#, r#""dense/kernel/scale""#, &["scales", "missing"]),
        (r#""dense/bias""#, r#""dense/bia""#, &["dense/bias", "missing", "[2]"]),
    ];
    for (old, new, parts) in changes {
        assert_eq!(header.matches(old).count(), 1, "{old} in {header}");
        let error = weights::load_bytes("file", file(&header.replace(old, new), &data));
        let error = error.expect_err(new).to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }
    let mut wrong = data.clone();
    let at = |x: f32| data.windows(4).position(|w| w == x.to_le_bytes()).unwrap();
    wrong[at(0.25)..][..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let error = weights::load_bytes("file", file(&header, &wrong)).unwrap_err().to_string();
    assert!(error.contains("finite") && error.contains("inf"), "{error}");
    wrong[at(0.25)..][..4].copy_from_slice(&(-1.0_f32).to_le_bytes());
    let error = weights::load_bytes("file", file(&header, &wrong)).unwrap_err().to_string();
    assert!(error.contains("negative") && error.contains("-1"), "{error}");
    for cut in [0, 8, 9, 100, header.len() + 8, header.len() + 9] {
        let cut = file(&header, &data)[..cut].to_vec();
        assert!(weights::load_bytes("file", cut).is_err());
    }
}

#[test]
fn what_can_not_be_written_is_an_error() {
    let model = model();
    let error = weights::to_bytes(&Model::new(model.network.clone(), Weights::default()));
    assert!(error.unwrap_err().to_string().contains("layer 0/kernel"));
    let mut wrong = model;
    let int8 = Int8Tensor { shape: vec![1, 4], data: vec![0; 4], scales: vec![0.0; 4] };
    wrong.weights.insert_int8("layer 0", "kernel", int8).unwrap();
    let error = weights::to_bytes(&wrong).unwrap_err().to_string();
    assert!(error.contains("[3, 2, 3, 4]") && error.contains("[1, 4]"), "{error}");
    wrong.metadata.labels = Some(vec!["x".repeat(1 << 21)]);
    let mut large = Model::new(Network::new("large", "in", [None; 2], 1), Weights::default());
    large.metadata = wrong.metadata;
    assert!(weights::to_bytes(&large).unwrap_err().to_string().contains("at most 1048576"));
}
