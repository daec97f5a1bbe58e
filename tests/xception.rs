//! The full Xception on synthetic weights: Keras's numbers after every block at four sizes (goldens
//! by tests/keras/make_goldens.py), and the same bits on every level, for any number of threads.

mod golden;

use std::sync::Arc;

use common::digest::{Table, digest};
use sepconv::kernels::{Level, Window};
use sepconv::models::{Head, XceptionConfig, xception};
use sepconv::network::{
    DepthFirst, Network, NetworkPlan, NodeId, Op, PlanOptions, Session, spot_check,
};
use sepconv::weights::{Weights, count_parameters, synthetic};

fn network() -> (Network, Weights) {
    let network = xception(&XceptionConfig::default()).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    (network, weights)
}

fn agrees_with_keras(size: usize) {
    let golden = golden::read(&format!("keras/goldens/xception_{size}.json"));
    assert_eq!(golden["blocks"].as_array().unwrap().len(), 14);
    let (network, weights) = network();
    golden::agrees("Keras", &golden, &network, &weights);
}

#[test]
fn agrees_with_keras_at_299() {
    agrees_with_keras(299);
}

#[test]
fn agrees_with_keras_at_224() {
    agrees_with_keras(224);
}

#[test]
fn agrees_with_keras_at_150() {
    agrees_with_keras(150);
}

#[test]
fn agrees_with_keras_at_71() {
    agrees_with_keras(71);
}

/// The network with each separable convolution as a depthwise one and a pointwise one.
fn apart(network: &Network, weights: &Weights) -> (Network, Weights) {
    let (size, channels) = network.input();
    let nodes = network.nodes();
    let mut split = Network::new(network.name(), &nodes[0].name, size, channels);
    let mut ids = vec![split.output()];
    let mut split_weights = Weights::default();
    for node in &nodes[1..] {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|id| ids[id.index()]).collect();
        let Op::Separable { window, multiplier, filters, bias } = node.op else {
            let op = node.op.clone();
            ids.push(split.push_for_layer(&node.name, &node.layer, op, &inputs).unwrap());
            continue;
        };
        let first = format!("{}/depthwise", node.name);
        let op = Op::Depthwise { window, multiplier, bias: false };
        let id = split.push(&first, op, &inputs).unwrap();
        let op = Op::Conv { window: Window::new([1, 1]), groups: 1, filters, bias };
        ids.push(split.push(&node.name, op, &[id]).unwrap());
        let tensor = |variable| weights.find(&node.layer, variable).unwrap().clone();
        let kernel = tensor("depthwise_kernel");
        split_weights.insert(&first, "depthwise_kernel", kernel).unwrap();
        split_weights.insert(&node.name, "kernel", tensor("pointwise_kernel")).unwrap();
        if bias {
            split_weights.insert(&node.name, "bias", tensor("bias")).unwrap();
        }
    }
    for (layer, variable, tensor) in weights.iter() {
        let separable = matches!(network.find(layer), Some(id)
            if matches!(network.node(id).op, Op::Separable { .. }));
        if !separable {
            split_weights.insert(layer, variable, tensor.clone()).unwrap();
        }
    }
    split.set_output(ids[network.output().index()]).unwrap();
    (split, split_weights)
}

/// Runs a plan in so many parts; what its reported nodes and its output give is entered.
fn enter(table: &mut Table, plan: &Arc<NetworkPlan>, names: &[String], parts: usize) {
    let x = synthetic::picture(plan.input_shape()[1]).data;
    let mut session = Session::with_threads(Arc::clone(plan), parts).unwrap();
    let run = |session: &mut Session| session.run(&x).unwrap();
    #[cfg(feature = "rayon")]
    let pool = rayon::ThreadPoolBuilder::new().num_threads(parts).build().unwrap();
    #[cfg(feature = "rayon")]
    pool.install(|| run(&mut session));
    #[cfg(not(feature = "rayon"))]
    run(&mut session);
    for step in plan.steps() {
        common::ledger::ran(plan.level(), &step.kernel);
    }
    let nodes = names.iter().map(|name| (name.as_str(), session.node(name).unwrap().0));
    for (name, values) in nodes.chain([("logits", session.output())]) {
        let entered = table.enter(name, digest(values));
        let level = plan.level();
        common::holds(entered.is_ok(), || format!("{level}, {parts} parts: {entered:?}"));
    }
}

/// After each block and at the end, on every level, in several parts, separable layers fused and
/// not, depth first: the digests of the committed table. After a change that is meant to change
/// bits: `SEPCONV_BLESS=1 cargo test --release --test xception digests`.
fn digests(size: usize, file: &'static str, text: &str) {
    let mut table = Table::new(file, text);
    let fused = network();
    let apart = apart(&fused.0, &fused.1);
    let nodes = fused.0.nodes().iter().map(|node| node.name.clone());
    // Each block ends in an addition, but for the first and the last.
    let ends = ["block1_conv2_act", "block14_sepconv2_act"];
    let names: Vec<String> =
        nodes.filter(|n| n.starts_with("add") || ends.contains(&n.as_str())).collect();
    assert_eq!(names.len(), 14);
    // At 71 on every level in short runs, too.
    for level in if size == 150 { common::fast_levels() } else { common::levels() } {
        // Fused, with the halves of separable layers apart, and with some rows by turns, which is
        // the same on all CPUs. With less effort not all.
        let never = DepthFirst::NEVER;
        let always = DepthFirst::default().bytes(0).multiply_adds(1_000_000);
        let cases = [(&fused, never), (&apart, never), (&fused, always)];
        let cases = cases.iter().take(match (level, common::effort()) {
            (_, 100.0..) => 3,
            (Level::Scalar, _) | (_, ..2.0) => 1,
            _ => 2,
        });
        for (i, ((network, weights), depth_first)) in cases.enumerate() {
            let options =
                PlanOptions::default().outputs(&names).level(level).depth_first(*depth_first);
            let input = [1, size, size, 3];
            let plan = Arc::new(NetworkPlan::new(network, weights, input, &options).unwrap());
            assert_eq!(plan.turns(1).iter().any(|&turns| turns > 0), i == 2);
            let parts: &[usize] = match (level, size) {
                (Level::Scalar, _) | (_, 150) => &[16],
                _ if common::effort() < 100.0 => &[2],
                _ if i == 0 => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
                _ => &[1, 5],
            };
            for &parts in parts {
                enter(&mut table, &plan, &names, parts);
            }
        }
    }
    table.close();
}

#[test]
fn digests_at_71() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/xception_71.txt");
    digests(71, file, include_str!("digests/xception_71.txt"));
}

#[test]
fn digests_at_150() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/xception_150.txt");
    digests(150, file, include_str!("digests/xception_150.txt"));
}

/// A batch gives what its pictures give one by one, to the bit; and so do pictures that are not
/// square.
#[test]
fn batches_are_pictures() {
    let (network, weights) = network();
    let one = 80 * 95 * 3;
    let x: Vec<f32> = synthetic::uniform("a batch").take(3 * one).map(|u| u as f32).collect();
    let plan =
        |n| NetworkPlan::new(&network, &weights, [n, 80, 95, 3], &PlanOptions::default()).unwrap();
    let mut batch = Session::new(plan(3)).unwrap();
    batch.run(&x).unwrap();
    assert_eq!(batch.output_shape(), [3, 1, 1, 1000]);
    let mut single = Session::new(plan(1)).unwrap();
    for (picture, expected) in x.chunks(one).zip(batch.output().chunks(1000)) {
        single.run(picture).unwrap();
        assert_eq!(single.output(), expected);
    }
}

/// The published counts.
#[test]
fn counts_are_those_of_the_paper() {
    let (network, weights) = network();
    let count = count_parameters(&network).unwrap();
    assert_eq!((count.trainable, count.total), (22_855_952, 22_910_480));
    let options = PlanOptions::default();
    let plan = NetworkPlan::new(&network, &weights, [1, 299, 299, 3], &options).unwrap();
    assert_eq!(plan.multiply_adds(), 8_357_403_496);
    assert_eq!(plan.parameters(), 22_910_480);
    let headless = XceptionConfig { head: Head::None, ..XceptionConfig::default() };
    let count = count_parameters(&xception(&headless).unwrap()).unwrap();
    assert_eq!(count.total, 20_861_480);
}

/// Each convolution is one fused step with a vector kernel; nothing of a block runs by itself.
#[test]
fn every_layer_is_fused() {
    let (network, weights) = network();
    let options = PlanOptions::default();
    let plan = NetworkPlan::new(&network, &weights, [1, 299, 299, 3], &options).unwrap();
    let steps: Vec<_> = plan.steps().collect();
    // 34 separable, 6 standard (4 of them 1×1), 4 pools that add, global pool, dense.
    assert_eq!(steps.len(), 46);
    let count = |kind: &str| steps.iter().filter(|s| s.kernel.starts_with(kind)).count();
    assert_eq!((count("dw_"), count("gemm_"), count("max_"), count("average_")), (34, 7, 4, 1));
    assert!(steps.iter().all(|s| s.kernel.ends_with(plan.level().name())));
}

#[test]
fn sampled_outputs_agree_with_the_naive_loops() {
    let (network, weights) = network();
    let layers =
        ["block1_conv1", "block1_conv2", "conv2d", "block4_sepconv2", "predictions/logits"];
    let picture = synthetic::picture(71).data;
    let check = spot_check(&network, &weights, [1, 71, 71, 3], &picture, &layers, 40).unwrap();
    assert_eq!(check.outputs, 200);
    assert!(check.worst <= 1.0, "{check:?}");
    println!("largest error {:.3} of the bound", check.worst);
    assert!(spot_check(&network, &weights, [1, 71, 71, 3], &picture, &["avg_pool"], 1).is_err());
    assert!(spot_check(&network, &weights, [1, 71, 71, 3], &picture, &["nobody"], 1).is_err());
}
