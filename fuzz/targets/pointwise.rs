//! Pointwise, dense and separable convolutions against the naive loops, and separable ones against
//! their two halves run apart.
#![no_main]

use common::half::Stored;
use common::{Expected, Mode, Random, Spaced};
use libfuzzer_sys::{Corpus, fuzz_target};
use sepconv_fuzz::{Case, Data};
use sepconv_kernels::naive::Conv as Reference;
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
    case.check_conv("pointwise", window, 1, channels_out, &|case, data, level| {
        let (weights, bias) = (data.weights.elements(), data.bias.as_deref());
        let mut params = PointwiseParams::new(channels_out, weights).stride(stride);
        params.bias = bias;
        Box::new(Pointwise::new(case.input, &params, &case.options(level)).unwrap())
    })
}

fn dense(case: &Case) -> bool {
    let [_, rows, _, channels] = case.input;
    let case = Case { input: [rows, 1, 1, channels], ..case.clone() };
    let channels_out = case.channels_out;
    case.check_conv("dense", Window::new([1, 1]), 1, channels_out, &|case, data, level| {
        let (weights, bias) = (data.weights.elements(), data.bias.as_deref());
        let mut params = DenseParams::new(channels_out, weights);
        params.bias = bias;
        Box::new(Dense::new(case.input, &params, &case.options(level)).unwrap())
    })
}

fn depthwise<'a>(case: &Case, data: &'a Data) -> DepthwiseParams<'a> {
    let (window, multiplier) = (case.window, case.multiplier);
    let (weights, bias) = (data.weights.elements(), data.bias.as_deref());
    let mut params = DepthwiseParams::new(window, weights).multiplier(multiplier);
    params.bias = bias;
    params
}

fn separable(case: &Case) -> bool {
    let (window, multiplier, channels_out) = (case.window, case.multiplier, case.channels_out);
    let middle = case.input[3] * multiplier;
    let taps = window.kernel[0] * window.kernel[1];
    let Some(output) = case.output(&window, channels_out, middle) else { return false };
    let Some(middle_shape) = case.output(&window, middle, taps) else { return false };
    let mut data = case.data(middle_shape, taps * middle);
    let mut random = Random(case.seed ^ 1);
    let mut fill = |len| case.mode.fill(&mut random, len);
    let [_, weights_type, output_type] = case.types;
    data.pointwise = Stored::new(weights_type, &fill(middle * channels_out));
    data.pointwise_bias = case.bias.then(|| fill(channels_out));
    data.residual = case.residual.then(|| Stored::new(output_type, &fill(output.iter().product())));
    let data = data;

    // What the fused one keeps is of f32.
    let options =
        case.options(Level::best()).activation(case.mid_activation).output_type(ElementType::F32);
    let first = Depthwise::new(case.input, &depthwise(case, &data), &options).unwrap();
    let mid = common::run(&first, &data.spaced(case.input, 0), None, 0, 1);
    let (weights, bias) = (data.pointwise.elements(), data.pointwise_bias.as_deref());
    let mut params = PointwiseParams::new(channels_out, weights);
    params.bias = bias;
    let options = case.options(Level::best()).input_activation(Activation::None);
    let options = options.input_scale(false).input_type(ElementType::F32);
    let second = Pointwise::new(middle_shape, &params, &options).unwrap();
    let spaced = data.residual.as_ref().map(|r| Spaced::of(output, 0, r));
    let apart = common::run(&second, &Spaced::new(middle_shape, 0, &mid), spaced.as_ref(), 0, 1);

    // The depthwise half has a target of its own; the pointwise half is checked from its very
    // result.
    let (sums, chain) = case.sums(&Reference {
        input: middle_shape,
        x: &mid,
        window: Window::new([1, 1]),
        groups: 1,
        channels_out,
        weights: &data.pointwise.values(),
        bias,
    });
    let exact = common::is_exact(case.mid_activation) && common::is_exact(case.input_activation);
    // 8·8·64 taps of a depthwise result may leave the integers that f32 holds.
    let factor = if case.input_scale { 8 } else { 1 };
    let small = taps * middle * 8 * 8 * 8 * factor < 1 << 24;
    let mode = match case.mode {
        Mode::Integers if !exact || !small => Mode::Reals,
        mode => mode,
    };
    let expected =
        Expected { mode, input_activation: Activation::None, ..case.expected(sums, chain) };
    let fused = case.run_all("separable", &data, &expected, &|case, data, level| {
        let mut params =
            SeparableParams::new(depthwise(case, data), channels_out, data.pointwise.elements())
                .mid_activation(case.mid_activation);
        params.bias = data.pointwise_bias.as_deref();
        Box::new(Separable::new(case.input, &params, &case.options(level)).unwrap())
    });
    common::assert_same_bits("separable, fused against apart", &fused, &apart);
    true
}
