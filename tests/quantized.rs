//! Networks of 8-bit integers.

#[path = "../kernels/tests/common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::digest::{Table, digest};
use sepconv::kernels::{Activation, Arithmetic, ElementType, Padding, PoolKind, Window};
use sepconv::models::{MobileNetConfig, XceptionConfig, mobilenet, xception};
use sepconv::network::{
    Border, DepthFirst, Network, NetworkPlan, Op, PlanOptions, Ranges, Session,
};
use sepconv::weights::{Tensor, Weights, synthetic};

const INPUT: [usize; 4] = [2, 23, 19, 3];

/// Every kind of layer, sums of two and three, a concatenation, an activation on load of either
/// kind, and loops in front of and between kernels.
fn network() -> Network {
    let mut net = Network::new("test", "input", [None, None], 3);
    let x = net.find("input").unwrap();
    let same = |k| Window::new([k, k]).padding(Padding::Same);
    let mut push = |name: &str, op: Op, of: &[_]| net.push(name, op, of).unwrap();
    let conv = |window, filters| Op::Conv { window, groups: 1, filters, bias: true };
    let norm = Op::BatchNorm { epsilon: 1e-3, scale: true, center: true };
    let sep = |filters| Op::Separable { window: same(3), multiplier: 2, filters, bias: true };
    let border = Border { top: 1, bottom: 0, left: 0, right: 2 };
    let x = push("pad", Op::ZeroPad(border), &[x]);
    let x = push("stem", conv(same(3).stride([2, 2]), 21), &[x]);
    let x = push("norm", norm.clone(), &[x]);
    let relu = push("relu", Op::Activation(Activation::Relu), &[x]);
    let dw = push("dw", Op::Depthwise { window: same(3), multiplier: 1, bias: true }, &[relu]);
    let dw = push("dw_norm", norm.clone(), &[dw]);
    let dw = push("dw_relu", Op::Activation(Activation::Relu6), &[dw]);
    let dw = push("dw_pw", conv(Window::new([1, 1]), 21), &[dw]);
    let separable = push("sep", sep(21), &[relu]);
    let sum = push("sum", Op::Add, &[separable, x]);
    let all = push("sum of three", Op::Add, &[sum, dw, x]);
    let pool = push("pool", Op::MaxPool(same(3)), &[all]);
    let silu = push("silu", Op::Activation(Activation::Silu), &[pool]);
    let cat = push("cat", Op::Concat, &[silu, dw, all]);
    let cat = push("cat_norm", norm, &[cat]);
    let pw = push("pw", conv(Window::new([1, 1]), 40), &[cat]);
    let grouped = Op::Conv { window: same(3), groups: 4, filters: 24, bias: false };
    let grouped = push("grouped", grouped, &[pw]);
    let cut = push("cut", Op::Crop(Border { top: 0, bottom: 1, left: 1, right: 0 }), &[grouped]);
    let average = push("average", Op::AveragePool(same(2)), &[cut]);
    let mean = Op::GlobalPool { kind: PoolKind::Average, keep_dims: false };
    let mean = push("mean", mean, &[average]);
    let logits = push("logits", Op::Dense { units: 7, bias: true }, &[mean]);
    push("softmax", Op::Softmax, &[logits]);
    net
}

fn picture(shape: [usize; 4]) -> Vec<f32> {
    synthetic::uniform("x").take(shape.iter().product()).map(|u| u as f32).collect()
}

fn quantized(network: &Network, weights: &Weights, shape: [usize; 4]) -> PlanOptions {
    let ranges = Ranges::measure(network, weights, shape, &picture(shape)).unwrap();
    PlanOptions::default().int8(ranges)
}

fn run(network: &Network, weights: &Weights, shape: [usize; 4], options: &PlanOptions) -> Session {
    run_on(1, NetworkPlan::new(network, weights, shape, options).unwrap())
}

fn run_on(threads: usize, plan: impl Into<Arc<NetworkPlan>>) -> Session {
    let mut session = Session::with_threads(plan, threads).unwrap();
    let x = picture(session.plan().input_shape());
    common::in_pool(threads, &mut || session.run(&x).unwrap());
    session
}

/// Of all nodes, on any number of threads, with layers in turns or not, and for another size.
#[test]
fn every_level_gives_the_same_bits() {
    let network = network();
    let weights = synthetic::weights(&network).unwrap();
    let names: Vec<String> = network.nodes().iter().map(|node| node.name.clone()).collect();
    for outputs in [&names[..], &[]] {
        let options = quantized(&network, &weights, INPUT).outputs(outputs);
        let mut first: Option<Session> = None;
        for level in common::levels() {
            for depth_first in [DepthFirst::default().bytes(0).multiply_adds(1), DepthFirst::NEVER]
            {
                let options = options.clone().level(level).depth_first(depth_first);
                let plan = Arc::new(NetworkPlan::new(&network, &weights, INPUT, &options).unwrap());
                for step in plan.steps().filter(|step| step.kernel.contains("int8")) {
                    common::ledger::ran(level, &step.kernel);
                }
                for threads in [1, 3] {
                    let session = run_on(threads, Arc::clone(&plan));
                    let first = first.get_or_insert_with(|| run_on(1, Arc::clone(&plan)));
                    common::assert_same_bits(level, session.output(), first.output());
                    for name in outputs {
                        let [got, expected] = [&session, first].map(|s| s.node(name).unwrap().0);
                        common::assert_same_bits(format!("{name} on {level}"), got, expected);
                    }
                }
            }
        }
    }
}

/// What is stored in u8 has at most 256 numbers, as far apart as its range says, which correlate
/// with those of f32; and the layers with weights are those of integers.
#[test]
fn values_and_weights_are_integers() {
    let network = network();
    let weights = synthetic::weights(&network).unwrap();
    let ranges = Ranges::measure(&network, &weights, INPUT, &picture(INPUT)).unwrap();
    let float = ["input", "pad", "grouped", "cut", "logits", "softmax"];
    let nodes = network.nodes().iter().map(|node| node.name.as_str());
    let names: Vec<&str> = nodes.filter(|name| !float.contains(name)).collect();
    let options = PlanOptions::default().int8(ranges.clone()).outputs(names.iter().copied());
    let session = run(&network, &weights, INPUT, &options);
    let float =
        run(&network, &weights, INPUT, &PlanOptions::default().outputs(names.iter().copied()));
    for name in names {
        let (numbers, _) = session.node(name).unwrap();
        let similar = correlation(numbers, float.node(name).unwrap().0);
        println!("{name}: correlation {similar:.5}");
        assert!(similar >= 0.99, "{name}: {similar}");
        let [lo, hi] = ranges.of(name).unwrap();
        let scale = (f64::from(hi.max(0.0)) - f64::from(lo.min(0.0))) / 255.0;
        let distinct: BTreeSet<i64> =
            numbers.iter().map(|&x| (f64::from(x) / scale).round() as i64).collect();
        for &x in numbers {
            let steps = f64::from(x) / scale;
            assert!((steps - steps.round()).abs() < 1e-3, "{name}: {x} is {steps} steps");
        }
        assert!((2..=256).contains(&distinct.len()), "{name}: {} numbers", distinct.len());
    }
    let plan = NetworkPlan::new(&network, &weights, INPUT, &quantized(&network, &weights, INPUT));
    for step in plan.unwrap().steps().filter(|step| step.multiply_adds > 0) {
        assert!(step.kernel.contains("int8"), "{}: {}", step.name, step.kernel);
    }
}

/// The correlation coefficient.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let moment = |x: &[f32], mean_x: f64, y: &[f32], mean_y: f64| -> f64 {
        x.iter().zip(y).map(|(&x, &y)| (f64::from(x) - mean_x) * (f64::from(y) - mean_y)).sum()
    };
    let variances = moment(a, mean_a, a, mean_a) * moment(b, mean_b, b, mean_b);
    moment(a, mean_a, b, mean_b) / variances.sqrt()
}

/// Logits correlate by 0.99 or more, and memory is 0.30 or less of f32's.
#[test]
fn networks_are_near_those_of_f32() {
    let mobilenet = mobilenet(&MobileNetConfig { alpha: 0.5, ..MobileNetConfig::default() });
    for (network, size) in [
        (xception(&XceptionConfig::with_width(0.5).unwrap()).unwrap(), 71),
        (mobilenet.unwrap(), 64),
        (network(), 40),
    ] {
        let shape = [1, size, size, 3];
        let weights = synthetic::weights(&network).unwrap();
        let never = PlanOptions::default().depth_first(DepthFirst::NEVER);
        let float = run(&network, &weights, shape, &never);
        let int8 = quantized(&network, &weights, shape).depth_first(DepthFirst::NEVER);
        let int8 = run(&network, &weights, shape, &int8);
        let similar = correlation(float.output(), int8.output());
        println!("{}: correlation {similar:.5}", network.name());
        assert!(similar >= 0.99, "{}: {similar}", network.name());
        if network.name() == "test" {
            continue; // Most of its values are operands of loops.
        }
        let bytes =
            |session: &Session| session.plan().weights_bytes() + session.plan().arena_bytes(1);
        let [float, int8] = [&float, &int8].map(bytes);
        println!("{}: {int8} of {float} bytes", network.name());
        assert!(int8 * 100 <= float * 30, "{}: {int8} of {float} bytes", network.name());
    }
}

/// By default values between steps have as little room as those of f32 for their number: of
/// a session, weights, values and scratch together take 0.30 of f32's.
#[test]
fn sessions_take_less_memory() {
    let network = xception(&XceptionConfig::with_width(0.5).unwrap()).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    let int8 = quantized(&network, &weights, [1, 71, 71, 3]);
    let [float, int8] = [PlanOptions::default(), int8].map(|options| {
        let plan = NetworkPlan::new(&network, &weights, [1, 299, 299, 3], &options).unwrap();
        assert!(plan.turns(1).iter().any(|&turns| turns > 1), "no step runs depth first");
        let parts = [plan.weights_bytes(), plan.arena_bytes(1), plan.scratch_bytes(1)];
        println!("weights, values, scratch: {parts:?} bytes");
        parts.iter().sum::<usize>()
    });
    assert!(int8 * 100 <= float * 30, "{int8} of {float} bytes");
}

/// The logits of quantized Xception on every level, on several threads: the digest of the committed
/// table. After a change that is meant to change bits: `SEPCONV_BLESS=1 cargo test --release --test
/// quantized digests`.
#[test]
fn digests_of_integers_at_71() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/xception_71_int8.txt");
    let mut table = Table::new(file, include_str!("digests/xception_71_int8.txt"));
    let network = xception(&XceptionConfig::default()).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    let shape = [1, 71, 71, 3];
    let options = quantized(&network, &weights, shape);
    for level in common::levels() {
        let options = options.clone().level(level);
        let plan = Arc::new(NetworkPlan::new(&network, &weights, shape, &options).unwrap());
        plan.steps().for_each(|step| common::ledger::ran(level, &step.kernel));
        let entered = table.enter("output", digest(run_on(2, plan).output()));
        common::holds(entered.is_ok(), || format!("{level}: {entered:?}"));
    }
    table.close();
}

/// A channel of weights 0 has its bias, and one of tiny weights a bias that is far larger.
#[test]
fn biases_are_kept() {
    let mut net = Network::new("biases", "input", [None, None], 2);
    let x = net.find("input").unwrap();
    net.push("dense", Op::Dense { units: 3, bias: true }, &[x]).unwrap();
    let mut weights = Weights::default();
    let data = vec![0.0, 1e-12, 0.5, 0.0, -1e-12, 0.25];
    weights.insert("dense", "kernel", Tensor { shape: vec![2, 3], data }).unwrap();
    let data = vec![-3.5, 1000.0, 0.125];
    weights.insert("dense", "bias", Tensor { shape: vec![3], data }).unwrap();
    let (shape, x) = ([1, 1, 1, 2], [1.0, -1.0]);
    let ranges = Ranges::measure(&net, &weights, shape, &x).unwrap();
    let plan = NetworkPlan::new(&net, &weights, shape, &PlanOptions::default().int8(ranges));
    let mut session = Session::new(plan.unwrap()).unwrap();
    session.run(&x).unwrap();
    for (got, expected) in session.output().iter().zip([-3.5, 1000.0, 0.375]) {
        assert!((got - expected).abs() <= expected.abs() * 0.01, "{got}, {expected}");
    }
}

/// A plan for another size has the same integers.
#[test]
fn resized_plans_share_the_quantization() {
    let network = network();
    let weights = synthetic::weights(&network).unwrap();
    let options = quantized(&network, &weights, INPUT).outputs(["pool"]);
    let shape = [1, 31, 40, 3];
    let plan = NetworkPlan::new(&network, &weights, INPUT, &options).unwrap();
    let resized = run_on(1, plan.resized(shape).unwrap());
    let direct = run(&network, &weights, shape, &options);
    common::assert_same_bits("output", resized.output(), direct.output());
    let [resized, direct] = [&resized, &direct].map(|s| s.node("pool").unwrap().0);
    common::assert_same_bits("pool", resized, direct);
}

#[test]
fn refusals() {
    let network = network();
    let weights = synthetic::weights(&network).unwrap();
    let options = quantized(&network, &weights, INPUT);
    let refused = |options: &PlanOptions, parts: &[&str]| {
        let error = NetworkPlan::new(&network, &weights, INPUT, options).unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "{part:?} is not in {error}"));
    };
    refused(&options.clone().weights_type(ElementType::Bf16), &["weights", "f32", "bf16"]);
    refused(&options.clone().arithmetic(Arithmetic::Bf16), &["arithmetic", "exact", "bf16"]);
    refused(&options.activations_type(ElementType::F16), &["values", "f32", "f16"]);
    for element in [ElementType::U8, ElementType::I8] {
        let options = PlanOptions::default().activations_type(element);
        refused(&options, &["values", element.name(), "PlanOptions::int8"]);
        let options = PlanOptions::default().weights_type(element);
        refused(&options, &["weights", element.name(), "PlanOptions::int8"]);
    }
    refused(&PlanOptions::default().int8(Ranges::default()), &["input", "no measured range"]);

    let mut x = picture(INPUT);
    x[100] = f32::NAN;
    let error = Ranges::measure(&network, &weights, INPUT, &x).unwrap_err().to_string();
    assert!(error.contains("\"input\"") && error.contains("NaN at element 100"), "{error}");
}
