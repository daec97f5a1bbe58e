//! Plans in a child of a process that has run them in parallel.
#![cfg(all(feature = "rayon", target_os = "linux"))]

use rayon::{ThreadPool, ThreadPoolBuilder};
use sepconv_kernels::*;

const SHAPE: [usize; 4] = [1, 40, 40, 16];

fn pool() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

/// The output for an input of ones. Each is 16 · 0.5.
fn run(plan: &Pointwise) -> Vec<f32> {
    let (x, mut y) = (vec![1.0; 40 * 40 * 16], vec![0.0; 40 * 40 * 32]);
    let mut scratch = vec![0.0; plan.scratch_len(2)];
    let from = NhwcView::new(&x, plan.input_shape()).unwrap();
    let to = NhwcViewMut::new(&mut y, plan.output_shape()).unwrap();
    plan.run(from, None, to, &mut scratch).unwrap();
    y
}

/// Whether `f` was true in a child of this process, which ends by a signal if that takes a minute.
fn in_a_child(f: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child calls `f`, which takes no lock but those of the allocator, which libc has
    // ready in children, and ends by _exit: nothing of the parent's is dropped or written twice.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(60);
            let right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(false);
            libc::_exit(if right { 0 } else { 1 });
        }
        let mut status = -1;
        assert!(child > 0 && libc::waitpid(child, &raw mut status, 0) == child);
        status == 0
    }
}

#[test]
fn a_child_runs_plans_on_its_own_thread_or_in_its_own_pool() {
    let params = [0.5; 16 * 32];
    let params = PointwiseParams::new(32, &params);
    let plan = Pointwise::new(SHAPE, &params, &Options::default()).unwrap();
    let pools = [pool(), pool()];
    for parent in &pools {
        assert_eq!(parent.install(|| run(&plan)), vec![8.0; 40 * 40 * 32]);
        assert!(in_a_child(|| on_this_thread(|| run(&plan)) == vec![8.0; 40 * 40 * 32]));
        assert!(in_a_child(|| pool().install(|| run(&plan)) == vec![8.0; 40 * 40 * 32]));
    }
}
