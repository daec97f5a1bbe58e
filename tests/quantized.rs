//! Networks of 8-bit integers.

use std::collections::BTreeSet;
use std::sync::Arc;

use common::digest::{Table, digest};
use sepconv::kernels::{
    Activation, Arithmetic, ElementType, Padding, PoolKind, Quantization, Window,
};
use sepconv::models::{MobileNetConfig, XceptionConfig, mobilenet, xception};
use sepconv::network::{
    Border, Calibration, DepthFirst, Network, NetworkPlan, Op, PlanOptions, QuantizeOptions,
    Quantized, RangeRule, Session,
};
use sepconv::weights::{Int8Tensor, Tensor, Weights, synthetic};

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

/// By the least and the largest numbers.
fn quantized(network: &Network, weights: &Weights, shape: [usize; 4]) -> Quantized {
    let mut calibration = Calibration::new(network, weights, shape).unwrap();
    calibration.add(&picture(shape)).unwrap();
    calibration.quantize(&QuantizeOptions::default().range(RangeRule::MinMax)).unwrap()
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

/// What a network computes of `x`.
fn output(network: &Network, weights: &Weights, shape: [usize; 4], x: &[f32]) -> Vec<f32> {
    let plan = NetworkPlan::new(network, weights, shape, &PlanOptions::default()).unwrap();
    let mut session = Session::new(plan).unwrap();
    session.run(x).unwrap();
    session.output().to_vec()
}

/// Of all nodes, on any number of threads, with layers in turns or not, and for another size.
#[test]
fn every_level_gives_the_same_bits() {
    let network = network();
    let weights = synthetic::weights(&network).unwrap();
    let Quantized { network, weights, .. } = quantized(&network, &weights, INPUT);
    let names: Vec<String> = network.nodes().iter().map(|node| node.name.clone()).collect();
    for outputs in [&names[..], &[]] {
        let options = PlanOptions::default().outputs(outputs);
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

/// What is rounded has at most 256 numbers, as far apart as its range says, which correlate with
/// those of f32; and the layers with weights are those of integers.
#[test]
fn values_and_weights_are_integers() {
    let float = network();
    let float_weights = synthetic::weights(&float).unwrap();
    let Quantized { network, weights, .. } = quantized(&float, &float_weights, INPUT);
    let names: Vec<&str> = (network.nodes().iter())
        .filter(|node| node.quantization.is_some())
        .map(|node| node.name.as_str())
        .collect();
    let expected = [
        "input",
        "pad",
        "relu",
        "norm",
        "dw_relu",
        "dw_pw",
        "sum",
        "all",
        "sum of three",
        "pool",
        "silu",
        "cat",
        "cat_norm",
        "pw",
        "cut",
        "average",
        "mean",
    ];
    for name in names.iter().filter(|name| !name.contains("/depthwise")) {
        assert!(expected.contains(name), "{name}");
    }
    let known = names.iter().copied().filter(|&name| float.find(name).is_some());
    let known: Vec<&str> = known.collect();
    let options = PlanOptions::default().outputs(known.iter().copied());
    let session = run(&network, &weights, INPUT, &options);
    let float = run(&float, &float_weights, INPUT, &options);
    for name in known {
        let (numbers, _) = session.node(name).unwrap();
        let exact = float.node(name).unwrap().0;
        let similar = correlation(numbers, exact);
        println!("{name}: correlation {similar:.5}");
        assert!(similar >= 0.99, "{name}: {similar}");
        let node = network.node(network.find(name).unwrap());
        let scale = f64::from(node.quantization.unwrap().scale);
        let distinct: BTreeSet<i64> =
            numbers.iter().map(|&x| (f64::from(x) / scale).round() as i64).collect();
        for &x in numbers {
            let steps = f64::from(x) / scale;
            assert!((steps - steps.round()).abs() < 1e-3, "{name}: {x} is {steps} steps");
        }
        assert!((2..=256).contains(&distinct.len()), "{name}: {} numbers", distinct.len());
    }
    let plan = NetworkPlan::new(&network, &weights, INPUT, &PlanOptions::default()).unwrap();
    for step in plan.steps().filter(|step| step.multiply_adds > 0) {
        assert!(step.kernel.contains("int8"), "{}: {}", step.name, step.kernel);
    }
    let of = |name: &str| network.node(network.find(name).unwrap()).quantization;
    assert_eq!(of("silu"), of("cat")); // a part that lies in the whole
    assert_ne!(of("dw_pw"), of("cat")); // one that others read, too
    assert_eq!(of("relu"), of("norm")); // a clamp on load
}

/// With any of the nodes rounded and others not, a plan is made, and the output stays near.
#[test]
fn any_mixture_of_integers_and_numbers_runs() {
    let float = network();
    let float_weights = synthetic::weights(&float).unwrap();
    let exact = run(&float, &float_weights, INPUT, &PlanOptions::default());
    let folded = quantized(&float, &float_weights, INPUT);
    // Of all nodes that both have, the range; batch norms are in both.
    let names: Vec<&str> = float.nodes().iter().map(|node| node.name.as_str()).collect();
    let values = run(&float, &float_weights, INPUT, &PlanOptions::default().outputs(names));
    let rounding = |name: &str| {
        let numbers = values.node(name)?.0;
        let [lo, hi] = [f32::min, f32::max].map(|f| numbers.iter().copied().fold(0.0, f));
        let scale = (hi - lo) / 255.0;
        Some(Quantization::new(scale, (-lo / scale).round() as i32))
    };
    let mut bits = synthetic::uniform("mixtures");
    for case in 0..60 {
        let share = f64::from(case % 6) / 2.5 - 1.0; // of nodes in f32: none to all
        let (mut network, weights) = match case % 2 {
            0 => (float.clone(), &float_weights),
            _ => (folded.network.clone(), &folded.weights),
        };
        for name in network.nodes().iter().map(|n| n.name.clone()).collect::<Vec<_>>() {
            let quantization = rounding(&name).filter(|_| bits.next().unwrap() >= share);
            network.set_quantization(network.find(&name).unwrap(), quantization).unwrap();
        }
        let names: Vec<String> = network.nodes().iter().map(|n| n.name.clone()).collect();
        for outputs in [&names[..0], &names] {
            let options = PlanOptions::default().outputs(outputs);
            let session = run(&network, weights, INPUT, &options);
            let similar = correlation(session.output(), exact.output());
            assert!(similar >= 0.98, "case {case}: {similar}");
            for name in outputs {
                let node = network.node(network.find(name).unwrap());
                let Some(quantization) = node.quantization else { continue };
                for &x in session.node(name).unwrap().0 {
                    let steps = x / quantization.scale;
                    assert!((steps - steps.round()).abs() < 1e-3, "case {case}: {name}: {x}");
                }
            }
        }
    }
}

/// The parts of a concatenation are rounded by their own scales first, then by that of the
/// concatenation.
#[test]
fn parts_of_a_concatenation_have_scales_of_their_own() {
    let mut net = Network::new("test", "input", [None, None], 1);
    let input = net.output();
    let relu = net.push("relu", Op::Activation(Activation::Relu), &[input]).unwrap();
    let relu6 = net.push("relu6", Op::Activation(Activation::Relu6), &[input]).unwrap();
    let cat = net.push("cat", Op::Concat, &[relu, relu6]).unwrap();
    for (node, scale, zero_point) in [(relu, 0.5, 0), (relu6, 0.25, 10), (cat, 1.0, 3)] {
        net.set_quantization(node, Some(Quantization::new(scale, zero_point))).unwrap();
    }
    let y = output(&net, &Weights::default(), [1, 1, 3, 1], &[-1.0, 1.2, 3.3]);
    // 1.2 is 1 and 1.25, then 1; 3.3 is 3.5 and 3.25, then 4, the even one of 3 and 4, and 3.
    assert_eq!(y, [0.0, 0.0, 1.0, 1.0, 4.0, 3.0]);
}

/// Kept layers, and those that lose too much, multiply f32; the output is nearer then.
#[test]
fn layers_stay_f32_on_request() {
    let float = network();
    let weights = synthetic::weights(&float).unwrap();
    let exact = run(&float, &weights, INPUT, &PlanOptions::default());
    let mut calibration = Calibration::new(&float, &weights, INPUT).unwrap();
    calibration.add(&picture(INPUT)).unwrap();
    let mut similar = |options: &QuantizeOptions, kept: &[&str]| {
        let Quantized { network, weights, layers, .. } = calibration.quantize(options).unwrap();
        let plan = NetworkPlan::new(&network, &weights, INPUT, &PlanOptions::default()).unwrap();
        for step in plan.steps().filter(|step| step.multiply_adds > 0) {
            let is_kept = step.nodes.iter().any(|node| kept.contains(&node.as_str()));
            let has_integers = step.kernel.contains("int8");
            assert_eq!(has_integers, !is_kept, "{}: {}", step.name, step.kernel);
        }
        for layer in layers.iter().filter(|layer| !layer.kept) {
            let (name, own, total) = (&layer.name, layer.own, layer.total);
            assert!(own > 25.0 && total > 20.0 && own.is_finite(), "{name}: {own} {total}");
        }
        correlation(
            run(&network, &weights, INPUT, &PlanOptions::default()).output(),
            exact.output(),
        )
    };
    let all = similar(&QuantizeOptions::default(), &[]);
    let some = ["sep", "dw_pw", "pw"];
    let kept = similar(&QuantizeOptions::default().keep(["sep", "dw", "pw"]), &some);
    assert!(kept > all, "{kept} {all}");
    let names = ["norm", "dw_pw", "sep", "pw", "grouped", "logits"];
    let none = similar(&QuantizeOptions::default().keep_below(1000.0), &names);
    assert!(none >= all && none > 0.999, "{none}");
}

/// Integers that can't be multiplied as they are become others for the same numbers.
#[test]
fn weights_may_be_any_integers() {
    let mut net = Network::new("dense", "input", [None, None], 3000);
    let x = net.find("input").unwrap();
    net.push("dense", Op::Dense { units: 3, bias: true }, &[x]).unwrap();
    let shape = [1, 1, 1, 3000];
    let x: Vec<f32> = (0..3000).map(|i| (i % 256) as f32).collect();
    let bias = Tensor { shape: vec![3], data: vec![1.0, -5.0, 1e5] };
    // With −128 and without; the second channel's bias is beyond an i32 of its steps.
    let integers: [fn(usize) -> i8; 2] =
        [|i| if i % 3 == 0 { -128 } else { (i % 200) as i8 }, |i| (i % 120) as i8];
    for (of, quantization) in
        integers.into_iter().flat_map(|of| [(of, None), (of, Some(Quantization::new(1.0, 0)))])
    {
        let data: Vec<i8> = (0..9000).map(of).collect();
        let int8 = Int8Tensor { shape: vec![3000, 3], data, scales: vec![0.5, 1e-20, 0.25] };
        let numbers = int8.numbers();
        let exact = (0..3).map(|o| {
            let terms = (0..3000).map(|i| f64::from(x[i]) * f64::from(numbers[3 * i + o]));
            f64::from(bias.data[o]) + terms.sum::<f64>()
        });
        let mut weights = Weights::default();
        weights.insert_int8("dense", "kernel", int8).unwrap();
        weights.insert("dense", "bias", bias.clone()).unwrap();
        net.set_quantization(net.find("input").unwrap(), quantization).unwrap();
        for (got, expected) in output(&net, &weights, shape, &x).iter().zip(exact) {
            let error = (f64::from(*got) - expected).abs() / expected.abs();
            assert!(error < 0.01, "{quantization:?}: {got}, {expected}");
        }
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
        let int8 = quantized(&network, &weights, shape);
        let int8 = run(&int8.network, &int8.weights, shape, &never);
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
    let both = [(&network, &weights), (&int8.network, &int8.weights)];
    let [float, int8] = both.map(|(network, weights)| {
        let options = PlanOptions::default();
        let plan = NetworkPlan::new(network, weights, [1, 299, 299, 3], &options).unwrap();
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
    let Quantized { network, weights, .. } = quantized(&network, &weights, shape);
    for level in common::levels() {
        let options = PlanOptions::default().level(level);
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
    let mut calibration = Calibration::new(&net, &weights, shape).unwrap();
    calibration.add(&x).unwrap();
    let Quantized { network, weights, .. } =
        calibration.quantize(&QuantizeOptions::default()).unwrap();
    let y = output(&network, &weights, shape, &x);
    for (got, expected) in y.iter().zip([-3.5, 1000.0, 0.375]) {
        assert!((got - expected).abs() <= expected.abs() * 0.01, "{got}, {expected}");
    }
}

/// Rounded weights shift the mean of a result; biases make up for it.
#[test]
fn biases_take_mean_errors() {
    let mut net = Network::new("means", "input", [None, None], 32);
    let x = net.find("input").unwrap();
    let window = Window::new([1, 1]);
    net.push("pw", Op::Conv { window, groups: 1, filters: 8, bias: true }, &[x]).unwrap();
    let (weights, shape) = (synthetic::weights(&net).unwrap(), [1, 32, 32, 32]);
    let x: Vec<f32> = picture(shape).iter().map(|x| x.abs()).collect();
    let mut calibration = Calibration::new(&net, &weights, shape).unwrap();
    calibration.add(&x).unwrap();
    let int8 = calibration.quantize(&QuantizeOptions::default()).unwrap();
    let exact = output(&net, &weights, shape, &x);
    let rounded = output(&int8.network, &int8.weights, shape, &x);
    for channel in 0..8 {
        let errors = exact.iter().zip(&rounded).skip(channel).step_by(8);
        let errors: Vec<f64> = errors.map(|(&y, &z)| f64::from(z) - f64::from(y)).collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        let square = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
        assert!(square > 0.0 && mean.abs() < 0.1 * square.sqrt(), "{channel}: {mean}, {square}");
    }
    // A layer in f32 has no such error.
    let kept = calibration.quantize(&QuantizeOptions::default().keep(["pw"])).unwrap();
    let bias = |weights: &Weights| weights.find("pw", "bias").cloned();
    assert_eq!(bias(&kept.weights), bias(&weights));
    assert_ne!(bias(&int8.weights), bias(&weights));
}

/// Layers are kept in f32 until the output is as near as wanted, and no longer.
#[test]
fn layers_are_kept_until_the_output_is_near() {
    let float = network();
    let weights = synthetic::weights(&float).unwrap();
    let mut calibration = Calibration::new(&float, &weights, INPUT).unwrap();
    calibration.add(&picture(INPUT)).unwrap();
    let mut kept = |options: QuantizeOptions| {
        let made = calibration.quantize(&options).unwrap();
        let names = made.layers.iter().filter(|layer| layer.kept).map(|layer| layer.name.clone());
        let names: Vec<String> = names.collect();
        // A kept layer has its original bias, the others corrected ones.
        let pw = made.weights.find("pw", "bias") == weights.find("pw", "bias");
        assert_eq!(pw, names.contains(&"pw".into()), "{names:?}");
        run(&made.network, &made.weights, INPUT, &PlanOptions::default());
        names.len()
    };
    let options = QuantizeOptions::default;
    let all = kept(options().keep_until(1000.0).keep_share(1.0));
    assert_eq!(kept(options().keep_until(0.0)), 0);
    assert_eq!(kept(options().keep_until(1000.0).keep_share(0.0)), 0);
    let some = kept(options().keep_until(1000.0).keep_share(0.5));
    assert!(0 < some && some < all, "{some} of {all}");
    let error = calibration.quantize(&options().keep_share(1.5)).unwrap_err().to_string();
    assert!(error.contains("expected 0 to 1, got 1.5"), "{error}");
}

/// A plan for another size has the same integers.
#[test]
fn resized_plans_share_the_quantization() {
    let network = network();
    let weights = synthetic::weights(&network).unwrap();
    let Quantized { network, weights, .. } = quantized(&network, &weights, INPUT);
    let options = PlanOptions::default().outputs(["pool"]);
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
    let float = network();
    let weights = synthetic::weights(&float).unwrap();
    let quantized = quantized(&float, &weights, INPUT);
    let refused = |network: &Network, options: &PlanOptions, parts: &[&str]| {
        let error = NetworkPlan::new(network, &weights, INPUT, options).unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "{part:?} is not in {error}"));
    };
    let (network, options) = (&quantized.network, PlanOptions::default());
    refused(network, &options.clone().weights_type(ElementType::Bf16), &["weights", "f32", "bf16"]);
    refused(
        network,
        &options.clone().arithmetic(Arithmetic::Bf16),
        &["arithmetic", "exact", "bf16"],
    );
    refused(
        network,
        &options.clone().activations_type(ElementType::F16),
        &["values", "f32", "f16"],
    );
    for element in [ElementType::U8, ElementType::I8] {
        let values = options.clone().activations_type(element);
        refused(&float, &values, &["values", element.name(), "quantizations"]);
        refused(&float, &options.clone().weights_type(element), &["weights", element.name()]);
    }
    // Its layers have no batch norms any more, but biases.
    refused(network, &options, &["tensor \"stem/bias\"", "missing"][1..]);

    let mut calibration = Calibration::new(&float, &weights, INPUT).unwrap();
    let error = calibration.quantize(&QuantizeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("nothing was measured"), "{error}");
    let mut x = picture(INPUT);
    calibration.add(&x).unwrap();
    for (options, parts) in [
        (QuantizeOptions::default().keep(["pw", "nowhere"]), ["test", "nowhere"]),
        (QuantizeOptions::default().range(RangeRule::Percentile(0.0)), ["percentile", "got 0"]),
        (QuantizeOptions::default().range(RangeRule::Percentile(100.1)), ["percentile", "100.1"]),
        (QuantizeOptions::default().range(RangeRule::Percentile(f64::NAN)), ["percentile", "NaN"]),
    ] {
        let error = calibration.quantize(&options).unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "{part:?} is not in {error}"));
    }
    x[100] = f32::NAN;
    let error = calibration.add(&x).unwrap_err().to_string();
    assert!(error.contains("\"pad\"") && error.contains("got NaN at element"), "{error}");
    let error = Calibration::new(network, &quantized.weights, INPUT).unwrap_err().to_string();
    assert!(error.contains("quantized already"), "{error}");
}
