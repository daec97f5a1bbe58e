//! Plans and views from any numbers: made or refused, at once, with little memory. Small plans run.
#![no_main]

use arbitrary::{Result, Unstructured};
use common::half::Stored;
use common::{Spaced, run};
use libfuzzer_sys::fuzz_target;
use sepconv_fuzz::types;
use sepconv_kernels::*;

fuzz_target!(|data: &[u8]| {
    // Too few bytes are zeros to `Unstructured`: nothing fails here.
    let _ = plans(&mut Unstructured::new(data));
});

/// Small numbers, the edges of integer types, or any.
fn number(u: &mut Unstructured<'_>) -> Result<usize> {
    const EDGES: [u32; 8] = [8, 15, 16, 31, 32, 61, 62, 63];
    Ok(match u.arbitrary::<u8>()? {
        byte @ 0..160 => usize::from(byte % 20),
        byte @ 160..192 => (1 << EDGES[usize::from(byte % 8)]) - 1,
        byte @ 192..224 => 1 << EDGES[usize::from(byte % 8)],
        byte @ 224..240 => usize::MAX - usize::from(byte % 16),
        _ => u.arbitrary()?,
    })
}

fn numbers<const N: usize>(u: &mut Unstructured<'_>) -> Result<[usize; N]> {
    let mut all = [0; N];
    for n in &mut all {
        *n = number(u)?;
    }
    Ok(all)
}

fn activation(u: &mut Unstructured<'_>) -> Result<Activation> {
    Ok(match u.arbitrary::<u8>()? % 8 {
        0..=2 => Activation::None,
        3 => Activation::Relu,
        4 => Activation::Clamp { lo: u.arbitrary()?, hi: u.arbitrary()? },
        5 => Activation::Elu { alpha: u.arbitrary()? },
        6 => Activation::Silu,
        _ => Activation::HardSwish,
    })
}

/// As long as `length` says if that is not much.
fn ones(length: usize) -> Vec<f32> {
    vec![1.0; length.min(1 << 16)]
}

fn plans(u: &mut Unstructured<'_>) -> Result<()> {
    let kind = u.arbitrary::<u8>()? % 8;
    let input: [usize; 4] = numbers(u)?;
    let [top, bottom, left, right] = numbers(u)?;
    let padding = match u.arbitrary::<u8>()? % 3 {
        0 => Padding::Valid,
        1 => Padding::Same,
        _ => Padding::Explicit { top, bottom, left, right },
    };
    let window =
        Window::new(numbers(u)?).stride(numbers(u)?).dilation(numbers(u)?).padding(padding);
    let [multiplier, groups, channels_out] = numbers(u)?;
    let [input_type, weights_type, output_type] = types(u)?;
    let options = Options::default()
        .input_activation(activation(u)?)
        .input_scale(u.arbitrary()?)
        .activation(activation(u)?)
        .input_type(input_type)
        .output_type(output_type);
    let _ = window.output_size([input[1], input[2]]);
    let product = |dims: &[usize]| dims.iter().fold(1, |p: usize, &d| p.saturating_mul(d));
    let taps = product(&window.kernel);
    let wide = input[3].saturating_mul(multiplier);
    // Right or wrong, with and without a bias.
    let wrong = number(u)?;
    let length = |right: usize| ones(if wrong < 18 { right } else { wrong });
    let weights = |right: usize| Stored::new(weights_type, &length(right));
    let dw = weights(taps.saturating_mul(wide));
    let dw_bias = (wrong % 2 == 0).then(|| length(wide));
    let bias = (wrong % 3 == 0).then(|| length(channels_out));
    let (dw_bias, bias) = (dw_bias.as_deref(), bias.as_deref());
    let mut depthwise = DepthwiseParams::new(window, dw.elements()).multiplier(multiplier);
    depthwise.bias = dw_bias;
    match kind {
        0 => small_run(Depthwise::new(input, &depthwise, &options)),
        1 => {
            let weights = weights(input[3].saturating_mul(channels_out));
            let mut params =
                PointwiseParams::new(channels_out, weights.elements()).stride(window.stride);
            params.bias = bias;
            small_run(Pointwise::new(input, &params, &options));
        }
        2 => {
            let weights = weights(wide.saturating_mul(channels_out));
            let mid_activation = activation(u)?;
            let mut params = SeparableParams::new(depthwise, channels_out, weights.elements())
                .mid_activation(mid_activation);
            params.bias = bias;
            small_run(Separable::new(input, &params, &options));
        }
        3 => {
            let depth = taps.saturating_mul(input[3] / groups.max(1));
            let weights = weights(depth.saturating_mul(channels_out));
            let mut params =
                ConvParams::new(window, channels_out, weights.elements()).groups(groups);
            params.bias = bias;
            small_run(Conv::new(input, &params, &options));
        }
        4 => {
            let weights = weights(input[3].saturating_mul(channels_out));
            let mut params = DenseParams::new(channels_out, weights.elements());
            params.bias = bias;
            small_run(Dense::new(input, &params, &options));
        }
        5 => {
            small_run(Pool::new(input, PoolKind::Max, window, &options));
            small_run(Pool::new(input, PoolKind::Average, window, &options));
        }
        6 => {
            small_run(GlobalAveragePool::new(input, &options));
            small_run(Elementwise::new(input, &options));
        }
        _ => {
            let data = Stored::new(input_type, &ones(number(u)?));
            let stride = number(u)?;
            if let Ok(view) = NhwcView::with_pixel_stride(data.elements(), input, stride) {
                let end = (product(&input[..3]).max(1) - 1) * stride + input[3];
                assert!(product(&input) == 0 || end <= data.elements().len(), "{view:?}");
            }
        }
    }
    Ok(())
}

fn small_run(plan: Result<impl Plan, sepconv_kernels::Error>) {
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let elements = |shape: [usize; 4]| {
        shape.iter().try_fold(1_usize, |p, &d| p.checked_mul(d)).expect("checked by the plan")
    };
    let (input, output) = (elements(plan.input_shape()), elements(plan.output_shape()));
    let scratch = plan.scratch_len(1);
    let _ = (plan.scratch_len(usize::MAX), plan.multiply_adds());
    let small = input <= 4096 && output <= 4096 && scratch < 1 << 20;
    if small && plan.multiply_adds() < 1 << 20 {
        let x = Stored::new(plan.input_type(), &vec![1.0; input]);
        let [n, _, _, c] = plan.input_shape();
        let scale = plan.input_scale().then(|| vec![1.0; n * c]);
        let x = Spaced { scale, ..Spaced::of(plan.input_shape(), 0, &x) };
        run(&plan, &x, None, 0, 0);
    }
}
