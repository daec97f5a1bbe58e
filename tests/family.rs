//! The networks beside Xception: Keras's numbers (goldens by tests/keras/make_goldens.py), Keras's
//! layers, and the equalities between the blocks from standard to separable convolution.

mod golden;

use sepconv::kernels::Activation;
use sepconv::models::{
    InceptionModuleConfig, InceptionV3Config, MobileNetConfig, Order, SpectrumConfig,
    XceptionConfig, inception_module, inception_v3, mobilenet, spectrum, xception,
};
use sepconv::network::{Network, NetworkPlan, PlanOptions, Session};
use sepconv::weights::{Tensor, Weights, count_parameters, synthetic};

fn agrees_with_keras(name: &str, network: &Network) {
    let golden = golden::read(&format!("keras/goldens/{name}.json"));
    assert_eq!(golden["blocks"].as_array().unwrap().len(), 14);
    golden::agrees("Keras", &golden, network, &synthetic::weights(network).unwrap());
}

#[test]
fn mobilenet_agrees_with_keras() {
    for (name, size, alpha) in
        [("mobilenet_224", 224, 1.0), ("mobilenet_97", 97, 1.0), ("mobilenet-0.25_160", 160, 0.25)]
    {
        let size = [Some(size); 2];
        let network = mobilenet(&MobileNetConfig { size, alpha, ..Default::default() }).unwrap();
        agrees_with_keras(name, &network);
    }
}

#[test]
fn inception_v3_agrees_with_keras() {
    for size in [299, 150] {
        let config = InceptionV3Config { size: [Some(size); 2], ..Default::default() };
        let network = inception_v3(&config).unwrap();
        agrees_with_keras(&format!("inception-v3_{size}"), &network);
    }
}

/// The paper's Figure 9: Keras's layers in a row.
#[test]
fn xception_without_residuals_agrees_with_keras() {
    let network = xception(&XceptionConfig { residuals: false, ..Default::default() }).unwrap();
    agrees_with_keras("xception-without-residuals_96", &network);
}

/// Files that name no layers list weights in this order.
#[test]
fn layers_are_those_of_keras() {
    let mobilenet = mobilenet(&MobileNetConfig::default()).unwrap();
    let inception = inception_v3(&InceptionV3Config::default()).unwrap();
    // Keras's padding layers are part of the windows here, its `predictions` two nodes.
    let own = |network: &Network| -> Vec<String> {
        let names = network.nodes()[1..].iter().map(|n| n.name.clone());
        names.filter(|name| name != "predictions/logits").collect()
    };
    for (network, layers) in [
        (mobilenet, include_str!("keras/fixtures/mobilenet_layers.txt")),
        (inception, include_str!("keras/fixtures/inception-v3_layers.txt")),
    ] {
        let keras = layers.lines().skip(1).filter(|layer| !layer.starts_with("conv_pad"));
        assert_eq!(own(&network), keras.collect::<Vec<_>>());
    }
}

const INPUT: [usize; 4] = [1, 9, 8, 12];

fn small(segments: usize) -> SpectrumConfig {
    SpectrumConfig {
        size: [Some(INPUT[1]), Some(INPUT[2])],
        channels: INPUT[3],
        filters: 24,
        segments,
        ..SpectrumConfig::default()
    }
}

fn run(network: &Network, weights: &Weights) -> Vec<f32> {
    let plan = NetworkPlan::new(network, weights, INPUT, &PlanOptions::default()).unwrap();
    let mut session = Session::new(plan).unwrap();
    let x: Vec<f32> =
        synthetic::uniform("x").take(INPUT.iter().product()).map(|u| u as f32).collect();
    session.run(&x).unwrap();
    session.output().to_vec()
}

/// Columns `range` of a tensor whose last dimension is `width`.
fn columns(tensor: &Tensor, range: std::ops::Range<usize>) -> Tensor {
    let width = tensor.shape[tensor.shape.len() - 1];
    let mut shape = tensor.shape.clone();
    *shape.last_mut().unwrap() = range.len();
    let data = tensor.data.chunks(width).flat_map(|row| &row[range.clone()]).copied().collect();
    Tensor { shape, data }
}

/// The paper's Figures 2 and 3: towers of 1×1 and 3×3 are one 1×1 convolution and a 3×3 in
/// segments. To the bit, as the chains of additions are the same.
#[test]
fn towers_are_segments() {
    for between in [Activation::None, Activation::Relu, Activation::Elu { alpha: 1.0 }] {
        for segments in [1, 2, 3, 8, 12] {
            let shared = SpectrumConfig { between, ..small(segments) };
            let network = spectrum(&shared).unwrap();
            let weights = synthetic::weights(&network).unwrap();
            let towers = spectrum(&SpectrumConfig { towers: true, ..shared }).unwrap();
            let mut own = Weights::default();
            let width = 24 / segments;
            for i in 0..segments {
                for (layer, variable) in
                    [("pointwise", "kernel"), ("spatial", "kernel"), ("spatial", "bias")]
                {
                    let tensor = weights.find(layer, variable).unwrap();
                    let part = columns(tensor, i * width..(i + 1) * width);
                    own.insert(&format!("{layer}_{i}"), variable, part).unwrap();
                }
            }
            let what = format!("{segments} segments, {between:?}");
            common::assert_same_bits(&what, &run(&towers, &own), &run(&network, &weights));
            let counts =
                [&towers, &network].map(|network| count_parameters(network).unwrap().total);
            assert_eq!(counts[0], counts[1], "{what}");
        }
    }
}

/// One segment is a standard convolution: of as many multiply-adds and parameters, and any other S
/// of fewer.
#[test]
fn fewer_parameters_with_each_segment() {
    let cost = |segments| {
        let network = spectrum(&small(segments)).unwrap();
        count_parameters(&network).unwrap().total
    };
    for segments in [1, 2, 3, 4, 6, 8, 12, 24] {
        let spatial = 9 * 24 * 24 / segments;
        assert_eq!(cost(segments), 12 * 24 + spatial + 24, "{segments} segments");
    }
}

/// S = C with the spatial step first and nothing between is the separable convolution, to the bit.
#[test]
fn the_end_of_the_spectrum_is_separable() {
    let config = SpectrumConfig { order: Order::SpatialFirst, ..small(12) };
    let separable = spectrum(&config).unwrap();
    let weights = synthetic::weights(&separable).unwrap();
    // An activation keeps the two steps apart; one without bounds leaves every finite number as it
    // is.
    let between = Activation::Clamp { lo: f32::MIN, hi: f32::MAX };
    let steps = spectrum(&SpectrumConfig { between, ..config }).unwrap();
    let mut own = Weights::default();
    for (from, layer, variable) in [
        ("depthwise_kernel", "spatial", "depthwise_kernel"),
        ("pointwise_kernel", "pointwise", "kernel"),
        ("bias", "pointwise", "bias"),
    ] {
        own.insert(layer, variable, weights.find("separable", from).unwrap().clone()).unwrap();
    }
    common::assert_same_bits("separable", &run(&steps, &own), &run(&separable, &weights));
}

/// The order of the two steps and the activation between them are different functions; segments of
/// the input must divide its channels.
#[test]
fn switches_of_the_spectrum() {
    let mut outputs: Vec<Vec<f32>> = Vec::new();
    for order in [Order::PointwiseFirst, Order::SpatialFirst] {
        for between in [Activation::None, Activation::Relu, Activation::Elu { alpha: 1.0 }] {
            let network = spectrum(&SpectrumConfig { order, between, ..small(4) }).unwrap();
            let output = run(&network, &synthetic::weights(&network).unwrap());
            assert_eq!(output.len(), 9 * 8 * 24);
            assert!(outputs.iter().all(|other| *other != output), "{order:?}, {between:?}");
            outputs.push(output);
        }
    }
    for (bad, part) in [
        (SpectrumConfig { segments: 5, ..small(1) }, "5 segments"),
        (SpectrumConfig { order: Order::SpatialFirst, ..small(24) }, "24 segments"),
        (SpectrumConfig { order: Order::SpatialFirst, towers: true, ..small(2) }, "towers"),
        (SpectrumConfig { segments: 0, ..small(1) }, "0 channels"),
    ] {
        let error = spectrum(&bad).unwrap_err().to_string();
        assert!(error.contains(part), "{bad:?}: {error}");
    }
}

/// Figure 1's module is the first of Inception V3 but for its 5×5 convolution.
#[test]
fn the_canonical_module() {
    let config = InceptionModuleConfig { channels: 12, size: [None; 2], ..Default::default() };
    let network = inception_module(&config).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    let output = run(&network, &weights);
    assert_eq!(output.len(), 9 * 8 * (64 + 64 + 96 + 32));
    assert!(output.iter().all(|x| x.is_finite() && *x >= 0.0));
    let none = InceptionModuleConfig { double: [1, 0, 1], ..config };
    assert!(inception_module(&none).unwrap_err().to_string().contains("0 channels"));
}
