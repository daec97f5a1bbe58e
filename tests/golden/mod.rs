//! What other people's executors compute of synthetic weights, by `make_goldens.py` in the folders
//! of `tests`.

use std::path::Path;

use sepconv::network::{Network, NetworkPlan, PlanOptions, Session};
use sepconv::weights::{Weights, synthetic};
use serde_json::Value;

/// A golden file of the folder `tests`.
pub(crate) fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn top5(logits: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order.truncate(5);
    order
}

/// max|Δ| ≤ 1e-4·max|ref| of samples and logits, statistics alike, the same top 5.
pub(crate) fn agrees(whose: &str, golden: &Value, network: &Network, weights: &Weights) {
    const TOLERANCE: f64 = 1e-4;
    let size = golden["size"].as_u64().unwrap() as usize;
    let blocks = golden["blocks"].as_array().unwrap();
    let names: Vec<&str> = blocks.iter().map(|b| b["node"].as_str().unwrap()).collect();
    let options = PlanOptions::default().outputs(names.iter().copied());
    let plan = NetworkPlan::new(network, weights, [1, size, size, 3], &options).unwrap();
    let mut session = Session::new(plan).unwrap();
    session.run(&synthetic::picture(size).data).unwrap();

    let mut worst = 0.0_f64;
    for (block, name) in blocks.iter().zip(names) {
        let (values, shape) = session.node(name).unwrap();
        let expected_shape = floats(&block["shape"]);
        assert_eq!(shape.map(|d| d as f64).to_vec(), expected_shape, "{name} at {size}");
        let max = block["max_abs"].as_f64().unwrap();
        let close = |what: &str, got: f64, expected: f64| {
            let error = (got - expected).abs() / max;
            assert!(
                error <= TOLERANCE,
                "{name} at {size}: {what} is {got}, {whose} has {expected}"
            );
            error
        };
        let indices = floats(&block["indices"]);
        for (i, expected) in indices.iter().zip(floats(&block["samples"])) {
            worst = worst.max(close("a sample", f64::from(values[*i as usize]), expected));
        }
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let square = |&v: &f32| (f64::from(v) - mean).powi(2);
        let deviation = (values.iter().map(square).sum::<f64>() / count).sqrt();
        let largest = values.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
        close("the mean", mean, block["mean"].as_f64().unwrap());
        close("the deviation", deviation, block["std"].as_f64().unwrap());
        close("the largest magnitude", largest.into(), max);
    }
    let expected = floats(&golden["logits"]);
    let logits: Vec<f64> = session.output().iter().map(|&v| v.into()).collect();
    assert_eq!(logits.len(), expected.len());
    let max = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    for (got, expected) in logits.iter().zip(&expected) {
        let error = (got - expected).abs() / max;
        assert!(error <= TOLERANCE, "a logit at {size} is {got}, {whose} has {expected}");
        worst = worst.max(error);
    }
    assert_eq!(top5(&logits), top5(&expected), "top 5 at {size}");
    let blocks = blocks.len();
    println!(
        "{} at {size}: {blocks} blocks and logits within {worst:.1e} of {whose}'s largest",
        network.name()
    );
}
