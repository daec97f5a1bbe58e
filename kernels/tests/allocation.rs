//! `run` allocates nothing, counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sepconv_kernels::*;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn plans() -> Vec<Box<dyn Plan>> {
    let input = [1, 19, 19, 40];
    let options = Options::default().activation(Activation::Silu);
    let window = Window::new([3, 3]).padding(Padding::Same);
    let (dw, pw, full) = (vec![0.1; 9 * 40], vec![0.1; 40 * 50], vec![0.1; 9 * 40 * 50]);
    let depthwise = DepthwiseParams::new(window, &dw);
    let separable = SeparableParams::new(depthwise, 50, &pw).mid_activation(Activation::Relu);
    let conv = ConvParams::new(window, 50, &full);
    vec![
        Box::new(Depthwise::new(input, &depthwise, &options).unwrap()),
        Box::new(Separable::new(input, &separable, &options).unwrap()),
        Box::new(Conv::new(input, &conv, &options).unwrap()),
        Box::new(Pool::new(input, PoolKind::Max, window, &options).unwrap()),
        Box::new(GlobalAveragePool::new(input, &options).unwrap()),
        Box::new(Elementwise::new(input, &options).unwrap()),
    ]
}

fn count(threads: usize) {
    for plan in plans() {
        let x = vec![0.5; plan.input_shape().iter().product()];
        let residual = vec![0.5; plan.output_shape().iter().product()];
        let mut y = vec![0.0; residual.len()];
        let mut scratch = vec![0.0; plan.scratch_len(threads)];
        let mut run = || {
            let x = NhwcView::new(&x, plan.input_shape()).unwrap();
            let residual = NhwcView::new(&residual, plan.output_shape()).unwrap();
            let y = NhwcViewMut::new(&mut y, plan.output_shape()).unwrap();
            plan.run(x, Some(residual), y, &mut scratch).unwrap();
        };
        // What a run itself allocated would show in each window. Rayon's workers each allocate
        // once, when they start and when they first steal, which can be late on a busy machine.
        let mut window = || {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            for _ in 0..20 {
                run();
            }
            ALLOCATIONS.load(Ordering::Relaxed) - before
        };
        let mut windows = Vec::new();
        while windows.last() != Some(&0) {
            windows.push(window());
            let name = plan.kernel_name();
            assert!(windows.len() < 8, "{name} allocated in windows of 20 runs: {windows:?}");
        }
    }
}

#[test]
fn runs_allocate_nothing() {
    #[cfg(feature = "rayon")]
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.broadcast(|_| ());
        pool.install(|| count(threads));
    }
    #[cfg(not(feature = "rayon"))]
    count(1);
}
