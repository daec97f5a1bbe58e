//! Planning a model for another size packs and copies no weights, counted by the resident memory of
//! the process: this is its only test.
#![cfg(target_os = "linux")]

use sepconv::models::{XceptionConfig, xception};
use sepconv::network::{NetworkPlan, PlanOptions};
use sepconv::weights::synthetic;

/// Resident memory in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() << 10
}

#[test]
fn plans_for_more_sizes_take_little_memory() {
    let network = xception(&XceptionConfig::default()).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    let options = PlanOptions::default();
    let plan = NetworkPlan::new(&network, weights, [1, 299, 299, 3], &options).unwrap();
    assert!(plan.weights_bytes() > 90_000_000, "{} bytes of weights", plan.weights_bytes());

    let before = resident();
    let sizes = (0..20).map(|i| [1 + i % 3, 150 + i, 224, 3]);
    let more: Vec<_> = sizes.map(|input| plan.resized(input).unwrap()).collect();
    let each = resident().saturating_sub(before) / more.len();
    assert!(each < plan.weights_bytes() / 100, "{each} bytes for each further size");

    // The weights live as long as any of the plans.
    drop(plan);
    assert_eq!(more[0].multiply_adds(), more[0].resized([1, 150, 224, 3]).unwrap().multiply_adds());
    println!("{} plans for other sizes: {each} bytes each", more.len());
}
