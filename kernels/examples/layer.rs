//! One separable layer of Xception's middle flow: planned once, run many times.
//!
//! cargo run --release -p sepconv-kernels --example layer

use std::time::Instant;

use sepconv_kernels::{
    Activation, DepthwiseParams, Error, NhwcView, NhwcViewMut, Options, Padding, Plan, Separable,
    SeparableParams, Window,
};

fn main() -> Result<(), Error> {
    let (channels, threads) = (728, 1);
    let weights = |len: usize| (0..len).map(|i| (i % 13) as f32 - 6.0).collect::<Vec<_>>();
    let (depthwise, pointwise) = (weights(9 * channels), weights(channels * channels));
    let window = Window::new([3, 3]).padding(Padding::Same);
    let plan = Separable::new(
        [1, 19, 19, channels],
        &SeparableParams::new(DepthwiseParams::new(window, &depthwise), channels, &pointwise),
        &Options::default().activation(Activation::Relu),
    )?;

    let x = vec![1.0; 19 * 19 * channels];
    let mut y = vec![0.0; 19 * 19 * channels];
    let mut scratch = vec![0.0; plan.scratch_len(threads)];
    let runs = 200;
    let start = Instant::now();
    for _ in 0..runs {
        let (from, to) = (plan.input_shape(), plan.output_shape());
        plan.run(NhwcView::new(&x, from)?, None, NhwcViewMut::new(&mut y, to)?, &mut scratch)?;
    }
    let seconds = start.elapsed().as_secs_f64() / f64::from(runs);
    let gflops = 2.0 * plan.multiply_adds() as f64 / seconds / 1e9;
    println!("{}: {:.3} ms, {gflops:.1} GFLOP/s", plan.kernel_name(), seconds * 1e3);
    Ok(())
}
