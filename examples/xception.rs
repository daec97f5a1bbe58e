//! Xception with weights from a file, or with synthetic ones, on a gray picture.
//!
//! cargo run --release --example xception [FILE]

use sepconv::models::{XceptionConfig, xception};
use sepconv::network::{NetworkPlan, PlanOptions, Session};
use sepconv::weights::{self, Model, synthetic};

fn main() -> sepconv::Result<()> {
    let model = match std::env::args_os().nth(1) {
        Some(path) => weights::load(path)?,
        None => {
            let network = xception(&XceptionConfig::default())?;
            let weights = synthetic::weights(&network)?;
            Model::new(network, weights)
        }
    };
    let ([height, width], channels) = model.network.input();
    let input = [1, height.unwrap_or(299), width.unwrap_or(299), channels];
    // The weights are freed as the plan packs its own.
    let plan = NetworkPlan::new(&model.network, model.weights, input, &PlanOptions::default())?;
    println!("{}: {} steps, level {}", model.network.name(), plan.steps().len(), plan.level());

    let mut session = Session::new(plan)?;
    session.run(&vec![0.0; input.iter().product()])?;
    let logits = session.output().iter().enumerate();
    if let Some((class, logit)) = logits.max_by(|a, b| a.1.total_cmp(b.1)) {
        println!("class {class}, logit {logit}");
    }
    Ok(())
}
