//! Networks whose weights and values are stored in 16 bits.

use std::sync::Arc;

use common::digest::{Table, digest};
use common::half::Stored;
use sepconv::kernels::{Activation, Arithmetic, ElementType, Level, Padding, PoolKind, Window};
use sepconv::models::{XceptionConfig, xception};
use sepconv::network::{Network, NetworkPlan, Op, PlanOptions, Session};
use sepconv::weights::{Tensor, Weights, synthetic};

const GLOBAL_AVERAGE_POOL: Op = Op::GlobalPool { kind: PoolKind::Average, keep_dims: false };

const HALVES: [ElementType; 2] = [ElementType::F16, ElementType::Bf16];

/// Every kind of layer, sums, and concatenations whose parts begin at odd channels.
fn network() -> Network {
    let mut net = Network::new("test", "input", [None, None], 3);
    let x = net.find("input").unwrap();
    let same = |k| Window::new([k, k]).padding(Padding::Same);
    let mut push = |name: &str, op: Op, of: &[_]| net.push(name, op, of).unwrap();
    let conv = |window, filters| Op::Conv { window, groups: 1, filters, bias: true };
    let x = push("stem", conv(same(3).stride([2, 2]), 21), &[x]);
    let relu = push("relu", Op::Activation(Activation::Relu), &[x]);
    let dw = push("dw", Op::Depthwise { window: same(3), multiplier: 1, bias: true }, &[relu]);
    let sep = Op::Separable { window: same(3), multiplier: 1, filters: 21, bias: true };
    let sep = push("sep", sep, &[relu]);
    let sum = push("sum", Op::Add, &[sep, x]);
    let pool = push("pool", Op::MaxPool(same(3)), &[sum]);
    let silu = push("silu", Op::Activation(Activation::Silu), &[pool]);
    let cat = push("cat", Op::Concat, &[silu, dw, sum]);
    let pw = push("pw", conv(Window::new([1, 1]), 40), &[cat]);
    let average = push("average", Op::AveragePool(same(2)), &[pw]);
    let mean = push("mean", GLOBAL_AVERAGE_POOL, &[average]);
    let logits = push("logits", Op::Dense { units: 7, bias: true }, &[mean]);
    push("softmax", Op::Softmax, &[logits]);
    net
}

fn run(network: &Network, weights: &Weights, input: [usize; 4], options: &PlanOptions) -> Session {
    let x: Vec<f32> =
        synthetic::uniform("x").take(input.iter().product()).map(|u| u as f32).collect();
    let plan = NetworkPlan::new(network, weights, input, options).unwrap();
    // Softmax is none of the kernels.
    for step in plan.steps().filter(|step| step.kernel != "softmax") {
        common::ledger::ran(plan.level(), &step.kernel);
    }
    let mut session = Session::new(plan).unwrap();
    session.run(&x).unwrap();
    session
}

const INPUT: [usize; 4] = [2, 23, 19, 3];

/// As if they had been rounded before; but those of depthwise layers, and biases, are left as they
/// are.
#[test]
fn weights_are_rounded_when_packed() {
    let network = network();
    let weights = synthetic::weights(&network).unwrap();
    for weights_type in HALVES {
        let mut rounded = Weights::default();
        for (layer, variable, Tensor { shape, data }) in weights.iter() {
            let data = match variable {
                "kernel" | "pointwise_kernel" => Stored::new(weights_type, data).values(),
                _ => data.clone(),
            };
            rounded.insert(layer, variable, Tensor { shape: shape.clone(), data }).unwrap();
        }
        assert_ne!(rounded, weights);
        for level in common::levels() {
            let options = PlanOptions::default().level(level);
            let wanted = run(&network, &rounded, INPUT, &options);
            let got = run(&network, &weights, INPUT, &options.clone().weights_type(weights_type));
            let what = format!("{weights_type} on {level}");
            common::assert_same_bits(&what, got.output(), wanted.output());
        }
    }
}

/// All values are of the type but for the output and what softmax reads; on every level the same;
/// and near those of f32.
#[test]
fn values_between_layers_are_rounded() {
    let network = network();
    let weights = synthetic::weights(&network).unwrap();
    let names: Vec<String> =
        (network.nodes().iter().map(|n| n.name.clone())).filter(|name| name != "input").collect();
    let options = PlanOptions::default().outputs(&names);
    let wide = run(&network, &weights, INPUT, &options);
    for activations_type in HALVES {
        let mut first: Option<Session> = None;
        for level in common::levels() {
            let options = options.clone().activations_type(activations_type).level(level);
            let session = run(&network, &weights, INPUT, &options);
            for name in &names {
                let what = format!("{name} in {activations_type} on {level}");
                let (values, _) = session.node(name).unwrap();
                let rounded = Stored::new(activations_type, values).values();
                let is_rounded = rounded == values;
                assert_eq!(is_rounded, !["logits", "softmax"].contains(&&**name), "{what}");
                let (exact, _) = wide.node(name).unwrap();
                let largest = exact.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                for (i, (got, exact)) in values.iter().zip(exact).enumerate() {
                    // A dozen roundings of 8 or 11 bits, of which few add up.
                    let bound =
                        f64::from(largest) * 4.0 * common::half::roundoff(activations_type).0;
                    common::assert_close(&what, i, *got, f64::from(*exact), bound);
                }
                if let Some(first) = &first {
                    common::assert_same_bits(&what, values, first.node(name).unwrap().0);
                }
            }
            first.get_or_insert(session);
        }
    }
}

/// Where a sum has an f32 operand or must be f32, its other operand is f32 as well, back to where
/// it comes from.
#[test]
fn sums_that_begin_or_end_a_network() {
    let window = Window::new([3, 3]).padding(Padding::Same);
    let conv = || Op::Conv { window, groups: 1, filters: 3, bias: true };
    // A sum with the input; a chain of sums; what the network ends in.
    type End = fn(&mut dyn FnMut(&str, Op, &[&str]));
    let ends: [(&str, End, &[&str]); 4] = [
        ("sum", |_| (), &["first", "second", "sum", "late"]),
        (
            "softmax",
            |push| push("softmax", Op::Softmax, &["sum"]),
            &["first", "second", "sum", "late"],
        ),
        ("pool", |push| push("pool", GLOBAL_AVERAGE_POOL, &["sum"]), &["first"]),
        ("cat", |push| push("cat", Op::Concat, &["sum", "b"]), &["first"]),
    ];
    for (name, end, f32s) in ends {
        let mut net = Network::new(name, "input", [None, None], 3);
        let mut push = |name: &str, op: Op, of: &[&str]| {
            let of: Vec<_> = of.iter().map(|&name| net.find(name).unwrap()).collect();
            net.push(name, op, &of).unwrap();
        };
        push("a", conv(), &["input"]);
        push("first", Op::Add, &["a", "input"]);
        push("early", conv(), &["first"]);
        push("b", conv(), &["early"]);
        push("late", conv(), &["b"]);
        push("second", Op::Add, &["b", "late"]);
        push("c", conv(), &["second"]);
        push("sum", Op::Add, &["c", "late"]);
        end(&mut push);
        let weights = synthetic::weights(&net).unwrap();
        let outputs: Vec<String> = (net.nodes()[1..].iter()).map(|n| n.name.clone()).collect();
        let options = PlanOptions::default().outputs(&outputs);
        let exact = run(&net, &weights, [2, 7, 6, 3], &options);
        for activations_type in HALVES {
            // What is not fused when all nodes are reported is in the second.
            for outputs in [outputs.clone(), vec![]] {
                let options =
                    PlanOptions::default().activations_type(activations_type).outputs(outputs);
                let session = run(&net, &weights, [2, 7, 6, 3], &options);
                let roundoff = common::half::roundoff(activations_type).0;
                for node in options.outputs.iter().map(String::as_str).chain([name]) {
                    let what = format!("{node} of {name} in {activations_type}");
                    let (values, _) = session.node(node).unwrap();
                    let rounded = Stored::new(activations_type, values).values() == values;
                    // Of reported parts, which are of 16 bits, a concatenation holds copies.
                    let copies = node == "cat" && !options.outputs.is_empty();
                    let wide = node == name && !copies || f32s.contains(&node);
                    assert_eq!(rounded, !wide, "{what}");
                    let (exact, _) = exact.node(node).unwrap();
                    let largest = exact.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                    for (i, (got, exact)) in values.iter().zip(exact).enumerate() {
                        let bound = f64::from(largest) * 4.0 * roundoff;
                        common::assert_close(&what, i, *got, f64::from(*exact), bound);
                    }
                }
            }
        }
    }
}

/// Xception's logits, at full effort on every level and in several parts: the digests of the
/// committed table. After a change that is meant to change bits: `SEPCONV_BLESS=1 cargo test
/// --release --test element_types digests`.
#[test]
fn digests_of_types_at_71() {
    let network = xception(&XceptionConfig::default()).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/xception_71_types.txt");
    let mut table = Table::new(file, include_str!("digests/xception_71_types.txt"));
    let x = synthetic::picture(71).data;
    for (weights_type, activations_type, arithmetic) in [
        (ElementType::F16, ElementType::F16, Arithmetic::Exact),
        (ElementType::Bf16, ElementType::Bf16, Arithmetic::Exact),
        (ElementType::Bf16, ElementType::F32, Arithmetic::Exact),
        (ElementType::Bf16, ElementType::Bf16, Arithmetic::Bf16),
        (ElementType::F32, ElementType::F32, Arithmetic::Bf16),
    ] {
        for level in common::fast_levels() {
            let options = PlanOptions::default()
                .weights_type(weights_type)
                .activations_type(activations_type)
                .arithmetic(arithmetic)
                .level(level);
            let plan = NetworkPlan::new(&network, &weights, [1, 71, 71, 3], &options).unwrap();
            let plan = Arc::new(plan);
            for step in plan.steps() {
                common::ledger::ran(level, &step.kernel);
            }
            let parts: &[usize] =
                if level == Level::Scalar || common::effort() < 100.0 { &[2] } else { &[1, 3, 16] };
            for &parts in parts {
                let mut session = Session::with_threads(Arc::clone(&plan), parts).unwrap();
                common::in_pool(parts, &mut || session.run(&x).unwrap());
                let mut name = format!("weights {weights_type}, activations {activations_type}");
                if arithmetic != Arithmetic::Exact {
                    name += &format!(", arithmetic {arithmetic}");
                }
                let entered = table.enter(&name, digest(session.output()));
                common::holds(entered.is_ok(), || format!("{level}, {parts} parts: {entered:?}"));
            }
        }
    }
    table.close();
}

/// At the size of ImageNet's pictures: weights, values between steps and scratch together, for two
/// threads.
#[test]
fn sixteen_bits_take_half_the_memory() {
    let network = xception(&XceptionConfig::default()).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    let parts = |weights_type, activations_type| {
        let options =
            PlanOptions::default().weights_type(weights_type).activations_type(activations_type);
        let plan = NetworkPlan::new(&network, &weights, [1, 299, 299, 3], &options).unwrap();
        [plan.weights_bytes(), plan.arena_bytes(2), plan.scratch_bytes(2)]
    };
    let (wide, bf16) = (ElementType::F32, ElementType::Bf16);
    let all = |parts: [usize; 3]| parts.iter().sum::<usize>();
    let f32 = parts(wide, wide);
    println!("weights, arena, scratch: {f32:?} bytes in f32");
    // With weights alone in 16 bits, the bands of two threads stay as large as in f32: 10 MB.
    for (weights, activations, percent) in [(bf16, wide, 57), (bf16, bf16, 55)] {
        let half = parts(weights, activations);
        let share = all(half) as f64 / all(f32) as f64;
        println!("{half:?} with weights of {weights}, values of {activations}: {share:.3}");
        assert!(half[0] * 100 <= f32[0] * 51, "{half:?} of {f32:?}");
        assert!(all(half) * 100 <= all(f32) * percent, "{half:?} of {f32:?}");
    }
}
