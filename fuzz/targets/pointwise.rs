//! Pointwise, dense and separable convolutions against the naive loops, and fused against unfused.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use sepconv_fuzz::Case;
use sepconv_fuzz::common::{self, Expected, Mode, Random, Spaced};
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::*;

fuzz_target!(|case: Case| -> Corpus {
    // The number of groups says which layer it is.
    let kept = match case.groups {
        1 | 2 => pointwise(&case),
        3 => dense(&case),
        _ => separable(&case),
    };
    if kept { Corpus::Keep } else { Corpus::Reject }
});

fn pointwise(case: &Case) -> bool {
    let (stride, channels_out) = (case.window.stride, case.channels_out);
    let window = Window::new([1, 1]).stride(stride);
    case.check_conv("pointwise", window, 1, channels_out, |data, level| {
        let (weights, bias) = (&data.weights[..], data.bias.as_deref());
        let params = PointwiseParams { stride, channels_out, weights: weights.into(), bias };
        Box::new(Pointwise::new(case.input, &params, &case.options(level)).unwrap())
    })
}

fn dense(case: &Case) -> bool {
    let [_, rows, _, channels] = case.input;
    let case = Case { input: [rows, 1, 1, channels], ..case.clone() };
    let channels_out = case.channels_out;
    case.check_conv("dense", Window::new([1, 1]), 1, channels_out, |data, level| {
        let (weights, bias) = (&data.weights[..], data.bias.as_deref());
        let params = DenseParams { channels_out, weights: weights.into(), bias };
        Box::new(Dense::new(case.input, &params, &case.options(level)).unwrap())
    })
}

fn separable(case: &Case) -> bool {
    let (window, multiplier, channels_out) = (case.window, case.multiplier, case.channels_out);
    let middle = case.input[3] * multiplier;
    let taps = window.kernel[0] * window.kernel[1];
    let Some(output) = case.output(&window, channels_out, middle) else { return false };
    let Some(middle_shape) = case.output(&window, middle, taps) else { return false };
    let data = case.data(middle_shape, taps * middle);
    let mut random = Random(case.seed ^ 1);
    let mut fill = |len| case.mode.fill(&mut random, len);
    let weights = fill(middle * channels_out);
    let bias = case.bias.then(|| fill(channels_out));
    let residual = case.residual.then(|| fill(output.iter().product()));
    let (depthwise_bias, bias) = (data.bias.as_deref(), bias.as_deref());
    let depthwise = DepthwiseParams {
        window,
        multiplier,
        weights: (&data.weights).into(),
        bias: depthwise_bias,
    };

    let level = Some(Level::best());
    let (input_activation, activation) = (case.input_activation, case.mid_activation);
    let options = Options { input_activation, activation, level, ..Options::default() };
    let first = Depthwise::new(case.input, &depthwise, &options).unwrap();
    let mid = common::run(&first, &Spaced::new(case.input, 0, &data.x), None, 0, 1);
    let params = PointwiseParams { stride: [1, 1], channels_out, weights: (&weights).into(), bias };
    let options = Options { activation: case.activation, level, ..Options::default() };
    let second = Pointwise::new(middle_shape, &params, &options).unwrap();
    let spaced = residual.as_ref().map(|r| Spaced::new(output, 0, r));
    let unfused = common::run(&second, &Spaced::new(middle_shape, 0, &mid), spaced.as_ref(), 0, 1);

    // The depthwise half has a target of its own; the pointwise half is checked from its very result.
    let sums = naive::conv(&Reference {
        input: middle_shape,
        x: &mid,
        window: Window::new([1, 1]),
        groups: 1,
        channels_out,
        weights: &common::flushed(&weights),
        bias: bias.map(common::flushed).as_deref(),
    });
    let exact = common::is_exact(case.mid_activation) && common::is_exact(case.input_activation);
    // 8·8·64 taps of a depthwise result may leave the integers that f32 holds.
    let small = taps * middle * 8 * 8 * 8 < 1 << 24;
    let mode = match case.mode {
        Mode::Integers if !exact || !small => Mode::Reals,
        mode => mode,
    };
    let expected =
        Expected { mode, input_activation: Activation::None, ..case.expected(sums, middle) };
    let fused = case.run_all("separable", &data.x, residual.as_deref(), &expected, |level| {
        let params = SeparableParams {
            depthwise,
            mid_activation: case.mid_activation,
            channels_out,
            weights: (&weights).into(),
            bias,
        };
        Box::new(Separable::new(case.input, &params, &case.options(level)).unwrap())
    });
    common::assert_same_bits("separable, fused against unfused", &fused, &unfused);
    true
}
