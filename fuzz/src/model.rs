//! What the targets that read models share.

use sepconv::network::{NetworkPlan, PlanOptions, Session};
use sepconv::weights::{Model, variables};

/// What is promised of an error.
pub fn refused(error: &sepconv::Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains("panicked"), "{text}");
}

/// What is promised of a model that was loaded; and its plan, if it has one, runs.
pub fn check(model: &Model) {
    let Ok(variables) = variables(&model.network) else { panic!("loaded without variables") };
    for v in variables {
        if let Some(tensor) = model.weights.find_int8(&v.layer, v.name) {
            assert_eq!(tensor.shape, v.shape);
            continue;
        }
        let tensor = model.weights.get(&v.layer, v.name, &v.shape).expect("loaded");
        assert!(tensor.iter().all(|w| w.is_finite()));
    }
    plan_and_run(model);
}

/// Plans a model, or is refused; runs it if it is small.
pub fn plan_and_run(model: &Model) {
    let (size, channels) = model.network.input();
    let [h, w] = size.map(|side| side.unwrap_or(9));
    let options = PlanOptions::default();
    let plan = match NetworkPlan::new(&model.network, &model.weights, [1, h, w, channels], &options)
    {
        Ok(plan) => plan,
        Err(error) => return refused(&error),
    };
    let elements: usize = plan.input_shape().iter().product();
    let small = plan.arena_bytes(1) < 1 << 20 && plan.scratch_bytes(1) < 1 << 22;
    let steps = || plan.steps().all(|s| s.output.iter().product::<usize>() < 1 << 14);
    if elements < 1 << 12 && small && plan.multiply_adds() < 1 << 20 && steps() {
        let mut session = Session::with_threads(plan, 1).expect("little memory");
        session.run(&vec![0.5; elements]).expect("planned for it");
        assert_eq!(session.output().len(), session.output_shape().iter().product::<usize>());
    }
}
