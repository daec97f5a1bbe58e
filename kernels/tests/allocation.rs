//! `run` allocates nothing, and a plan from packed weights little, counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sepconv_kernels::*;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Held by the test that runs: the others' allocations would be counted with its own.
static RUNNING: Mutex<()> = Mutex::new(());

thread_local! {
    /// Bytes that this thread has allocated.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.set(BYTES.get() + layout.size());
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

/// Layers of integers, if this build has kernels for them.
fn integer_plans() -> Vec<Box<dyn Plan>> {
    if !ElementType::U8.is_available() {
        return Vec::new();
    }
    let input = [1, 19, 19, 40];
    let options = Options::default().input_type(ElementType::U8).output_type(ElementType::U8);
    let window = Window::new([3, 3]).padding(Padding::Same);
    let (dw, pw, full) = (vec![1; 9 * 40], vec![1; 40 * 50], vec![1; 9 * 40 * 50]);
    let quantized = QuantizedWeights::new(&[1.0; 50]);
    let depthwise = DepthwiseParams::new(window, Elements::I8(&dw))
        .quantized(QuantizedWeights::new(&[1.0; 40]));
    let separable = SeparableParams::new(depthwise, 50, Elements::I8(&pw)).quantized(quantized);
    let conv = ConvParams::new(window, 50, Elements::I8(&full)).quantized(quantized);
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
    for plan in plans().into_iter().chain(integer_plans()) {
        let of_integers = plan.input_type() == ElementType::U8;
        let elements = |shape: [usize; 4]| shape.iter().product::<usize>();
        let [inputs, outputs] = [plan.input_shape(), plan.output_shape()].map(elements);
        let (x, x_bytes) = (vec![0.5; inputs], vec![1; inputs]);
        let (residual, residual_bytes) = (vec![0.5; outputs], vec![1; outputs]);
        let (mut y, mut y_bytes) = (vec![0.0; outputs], vec![0; outputs]);
        let mut scratch = vec![0.0; plan.scratch_len(threads)];
        let mut run = || {
            let (x, residual, y) = if of_integers {
                let y = ElementsMut::U8(&mut y_bytes);
                (Elements::U8(&x_bytes), Elements::U8(&residual_bytes), y)
            } else {
                (Elements::F32(&x), Elements::F32(&residual), ElementsMut::F32(&mut y))
            };
            let x = NhwcView::new(x, plan.input_shape()).unwrap();
            let residual = NhwcView::new(residual, plan.output_shape()).unwrap();
            let y = NhwcViewMut::new(y, plan.output_shape()).unwrap();
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
    let _running = RUNNING.lock();
    #[cfg(feature = "rayon")]
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.broadcast(|_| ());
        pool.install(|| count(threads));
    }
    #[cfg(not(feature = "rayon"))]
    count(1);
}

/// The value, and the bytes that making it allocated on this thread.
fn counted<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.get();
    let made = make();
    (made, BYTES.get() - before)
}

#[test]
fn plans_from_packed_weights_allocate_little() {
    let _running = RUNNING.lock();
    let (same, options) = (Padding::Same, Options::default());
    let of_any_weights = |channels: usize| {
        let window = Window::new([3, 3]).padding(same);
        let dw = vec![0.1; 9 * channels];
        let (pw, full) = (vec![0.1; channels * channels], vec![0.1; 9 * channels * channels]);
        let depthwise = DepthwiseParams::new(window, &dw);
        let separable = SeparableParams::new(depthwise, channels, &pw);
        let pointwise = PointwiseParams::new(channels, &pw);
        let conv = ConvParams::new(window, channels, &full);
        let dense = DenseParams::new(channels, &pw);
        let depthwise = Depthwise::pack(channels, &depthwise, &options).unwrap();
        let separable = Separable::pack(channels, &separable, &options).unwrap();
        let pointwise = Pointwise::pack(channels, &pointwise, &options).unwrap();
        let conv = Conv::pack(channels, &conv, &options).unwrap();
        let dense = Dense::pack(channels, &dense, &options).unwrap();
        let size = [1, 19, 19];
        [
            counted(|| depthwise.plan(size)).1,
            counted(|| separable.plan(size)).1,
            counted(|| pointwise.plan(size)).1,
            counted(|| conv.plan(size)).1,
            counted(|| dense.plan(size)).1,
        ]
    };
    let [few, many] = [16, 512].map(of_any_weights);
    // More channels are more blocks of k, of 24 bytes each, in each of the nine regions of a
    // convolution: as many as 768 go into 9 · 512.
    let blocks = [0, 0, 0, 9 * 6 * 24 * 2, 0];
    for (i, (few, many)) in few.into_iter().zip(many).enumerate() {
        println!("layer {i}: {few} bytes with 16 channels, {many} with 512");
        assert!(few < 8 << 10 && many <= few + blocks[i], "layer {i}: {few} bytes, then {many}");
    }
}

#[test]
fn plans_share_packed_weights() {
    let _running = RUNNING.lock();
    let channels = 1024;
    let pw = vec![0.1; channels * channels];
    let dw = vec![0.1; 9 * channels];
    let depthwise = DepthwiseParams::new(Window::new([3, 3]).padding(Padding::Same), &dw);
    let params = SeparableParams::new(depthwise, channels, &pw);
    let pack = || Separable::pack(channels, &params, &Options::default()).unwrap();
    let (packed, bytes) = counted(pack);
    assert!(bytes >= (9 + channels) * channels * size_of::<f32>(), "{bytes} bytes");
    let (plans, bytes) =
        counted(|| (1..=20).map(|h| packed.clone().plan([1, h, 7]).unwrap()).collect::<Vec<_>>());
    println!("20 plans of {} bytes of weights: {bytes} bytes", plans[0].weights_bytes());
    assert!(bytes < 1 << 20, "20 plans allocated {bytes} bytes");
}
