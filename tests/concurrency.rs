//! Sessions under concurrency: many of one plan, inside other pools, after panics of the caller's.
//! The same bits as alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use sepconv::models::{Head, XceptionConfig, xception};
use sepconv::network::{DepthFirst, NetworkPlan, PlanOptions, Session};
use sepconv::weights::synthetic;

const SIZE: usize = 47;

/// A small Xception.
fn config() -> XceptionConfig {
    XceptionConfig {
        size: [Some(SIZE); 2],
        stem: [8, 16],
        entry: vec![24, 40],
        middle_blocks: 2,
        exit: 48,
        last: [56, 64],
        head: Head::Classes(10),
        ..XceptionConfig::default()
    }
}

/// Its plan, its picture, and the output of one thread alone.
fn network() -> (Arc<NetworkPlan>, Vec<f32>, Vec<f32>) {
    let network = xception(&config()).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    let options = PlanOptions::default().outputs(["block3_pool"]);
    let plan = NetworkPlan::new(&network, &weights, [1, SIZE, SIZE, 3], &options).unwrap();
    let plan = Arc::new(plan);
    let picture = synthetic::picture(SIZE).data;
    let mut session = Session::with_threads(plan.clone(), 1).unwrap();
    session.run(&picture).unwrap();
    let output = session.output().to_vec();
    (plan, picture, output)
}

#[test]
fn sessions_of_one_plan_run_at_a_time() {
    let (plan, picture, expected) = network();
    std::thread::scope(|scope| {
        for threads in 1..=16 {
            let (plan, picture, expected) = (&plan, &picture, &expected);
            scope.spawn(move || {
                let mut session = Session::with_threads(plan.clone(), threads).unwrap();
                for _ in 0..10 {
                    session.run(picture).unwrap();
                    assert_eq!(session.output(), expected);
                }
            });
        }
    });
    println!("16 sessions of one plan, 10 runs each: the same bits");
}

/// Plans of one model for several sizes and batches share its weights, and sessions of them run at a
/// time on several threads: the bits of plans that pack weights of their own.
#[test]
fn sessions_of_one_model_run_at_several_sizes() {
    let config = XceptionConfig { size: [None; 2], ..config() };
    let network = xception(&config).unwrap();
    let weights = synthetic::weights(&network).unwrap();
    // Depth first where sizes are large enough: the decision is made for each size.
    let depth_first = DepthFirst::default().bytes(200_000).multiply_adds(100_000);
    let options = PlanOptions::default().depth_first(depth_first);
    let own = |input| Arc::new(NetworkPlan::new(&network, &weights, input, &options).unwrap());
    let model = own([1, 47, 47, 3]);
    let inputs = [[1, 47, 47, 3], [1, 95, 64, 3], [3, 47, 47, 3], [2, 150, 150, 3]];
    let turns = inputs.map(|input| own(input).turns(1).iter().filter(|&&n| n > 0).count());
    assert!(turns[0] == 0 && turns[3] > turns[1], "{turns:?} steps run depth first");
    std::thread::scope(|scope| {
        for (i, input) in inputs.into_iter().enumerate() {
            let (model, own) = (&model, &own);
            for threads in [1, 2] {
                scope.spawn(move || {
                    let len = input.iter().product();
                    let x: Vec<f32> = synthetic::uniform("x").take(len).map(|u| u as f32).collect();
                    let run = |plan| {
                        let mut session = Session::with_threads(plan, threads).unwrap();
                        session.run(&x).unwrap();
                        session.output().to_vec()
                    };
                    let resized = Arc::new(model.resized(input).unwrap());
                    let expected = own(input);
                    assert_eq!(resized.turns(threads), expected.turns(threads));
                    assert_eq!(resized.weights_bytes(), expected.weights_bytes());
                    assert_eq!(run(resized), run(expected), "input {i} on {threads} threads");
                });
            }
        }
    });
    println!("8 sessions of one model, {turns:?} steps of each size depth first: the same bits");
}

#[test]
fn what_does_not_fit_a_model_is_refused_at_other_sizes() {
    let (plan, ..) = network();
    let error = plan.resized([1, 3, 3, 3]).unwrap_err().to_string();
    assert!(error.contains("block1_conv"), "{error}");
    let error = plan.resized([1, SIZE, SIZE, 4]).unwrap_err().to_string();
    assert!(error.contains("expected an input of 3 channels, got 4"), "{error}");
    let error = plan.resized([usize::MAX / 8, SIZE, SIZE, 3]).unwrap_err().to_string();
    assert!(error.contains("overflow"), "{error}");
}

/// The caller's closure ends the run in the middle, at each of its steps: the next run is right.
#[test]
fn a_session_outlives_panics_of_the_caller() {
    let (plan, picture, expected) = network();
    let mut session = Session::new(plan.clone()).unwrap();
    for last in 0..plan.steps().count() {
        let run = catch_unwind(AssertUnwindSafe(|| {
            session.run_timed(&picture, |time| {
                if time.step == last {
                    resume_unwind(Box::new("on purpose")); // prints nothing
                }
            })
        }));
        assert!(run.is_err());
        session.run(&picture).unwrap();
        assert_eq!(session.output(), expected, "after a panic at step {last}");
    }
    println!("{} runs after a panic at each step: the same bits", plan.steps().count());
}

#[cfg(feature = "rayon")]
#[test]
fn pools_may_be_nested() {
    use rayon::prelude::*;

    let (plan, picture, expected) = network();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (outer, inner, single) = (pool(4), pool(3), pool(1));
    let run = |threads| {
        let mut session = Session::with_threads(plan.clone(), threads).unwrap();
        session.run(&picture).unwrap();
        assert_eq!(session.output(), expected);
    };
    outer.install(|| (0..40).into_par_iter().for_each(|_| run(4)));
    outer.install(|| (0..40).into_par_iter().for_each(|_| inner.install(|| run(3))));
    outer.install(|| (0..40).into_par_iter().for_each(|_| single.install(|| run(5))));
    single.install(|| (0..10).into_par_iter().for_each(|_| run(1)));
    println!("130 runs in parallel loops of their own pool and of others: the same bits");
}

/// A session behind a lock, run by tasks of the pool that it uses: in `on_this_thread` no task waits
/// for the pool while it has the lock, so that no other task, which wants the lock, runs meanwhile
/// on the same thread.
#[cfg(feature = "rayon")]
#[test]
fn a_session_behind_a_lock_in_tasks_of_its_pool() {
    use std::sync::Mutex;

    use rayon::prelude::*;
    use sepconv::kernels::on_this_thread;

    let (plan, picture, expected) = network();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    pool.install(|| {
        let session = Mutex::new(Session::new(plan).unwrap());
        (0..200).into_par_iter().for_each(|_| {
            let mut session = session.lock().unwrap();
            on_this_thread(|| session.run(&picture)).unwrap();
            assert_eq!(session.output(), expected);
        });
    });
    println!("200 tasks that share a session: the same bits");
}
