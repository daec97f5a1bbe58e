//! The `gemm` crate as a second oracle, beside the naive loops: a pointwise layer is a product of
//! matrices, a standard convolution im2row and a product. Two libraries that share no code must
//! agree.

use common::{Mode, Random, Spaced, gamma, levels, run};
use sepconv_kernels::*;

/// a·b of row-major matrices \[m, k\] and \[k, n\].
fn product([m, k, n]: [usize; 3], a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!((a.len(), b.len()), (m * k, k * n));
    let mut c = vec![f32::NAN; m * n];
    // SAFETY: m·k, k·n and m·n elements with these strides, all initialised; c is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            1,
            k as isize,
            b.as_ptr(),
            1,
            n as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    c
}

/// The taps of each output pixel as a row, zeros for padding.
fn im2row(x: &[f32], [n, h, w, c]: [usize; 4], window: &Window, [oh, ow]: [usize; 2]) -> Vec<f32> {
    let [kh, kw] = window.kernel;
    let total = |out: usize, k: usize, extent: usize, axis: usize| {
        let reach = (out - 1) * window.stride[axis] + (k - 1) * window.dilation[axis] + 1;
        reach.saturating_sub(extent)
    };
    let (top, left) = match window.padding {
        Padding::Same => (total(oh, kh, h, 0) / 2, total(ow, kw, w, 1) / 2),
        _ => (0, 0),
    };
    let mut rows = Vec::new();
    for pixel in 0..n * oh * ow {
        let (picture, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
        for tap in 0..kh * kw {
            let iy = oy * window.stride[0] + tap / kw * window.dilation[0];
            let ix = ox * window.stride[1] + tap % kw * window.dilation[1];
            let inside = iy >= top && iy < h + top && ix >= left && ix < w + left;
            match inside {
                false => rows.resize(rows.len() + c, 0.0),
                true => {
                    let at = ((picture * h + iy - top) * w + ix - left) * c;
                    rows.extend_from_slice(&x[at..at + c]);
                }
            }
        }
    }
    rows
}

/// Compares on each level: integers exactly, reals within the rounding of both.
fn compare(
    what: &str,
    mode: Mode,
    input: [usize; 4],
    x: &[f32],
    [rows, weights]: [&[f32]; 2],
    [m, k, n]: [usize; 3],
    plan: impl Fn(&Options) -> Box<dyn Plan>,
) {
    let expected = product([m, k, n], rows, weights);
    let [rows, weights] = [rows, weights].map(|v| v.iter().map(|x| x.abs()).collect::<Vec<_>>());
    let magnitudes = product([m, k, n], &rows, &weights);
    for level in levels() {
        let plan = plan(&Options::default().level(level));
        let y = run(&*plan, &Spaced::new(input, 0, x), None, 0, 1);
        assert_eq!(y.len(), expected.len(), "{what}");
        for ((y, expected), magnitude) in y.iter().zip(&expected).zip(&magnitudes) {
            let error = (f64::from(*y) - f64::from(*expected)).abs();
            let bound = match mode {
                Mode::Integers => 0.0,
                _ => 2.0 * gamma(k + 1) * f64::from(*magnitude) * (1.0 + gamma(k + 1)),
            };
            assert!(error <= bound, "{what} on {level}: {y}, gemm {expected}, bound {bound:e}");
        }
    }
}

#[test]
fn pointwise_is_a_product() {
    for seed in 0..common::scaled(1000) {
        let random = &mut Random(seed.into());
        let mode = if seed % 2 == 0 { Mode::Integers } else { Mode::Reals };
        let [h, w] = [1 + random.below(9), 1 + random.below(9)];
        let [k, n] = [1 + random.below(300), 1 + random.below(90)];
        let input = [1 + random.below(2), h, w, k];
        let x = mode.fill(random, input.iter().product());
        let weights = mode.fill(random, k * n);
        let what = format!("pointwise {input:?} to {n}");
        let shape = [input[0] * h * w, k, n];
        compare(&what, mode, input, &x, [&x, &weights], shape, |options| {
            let params = PointwiseParams::new(n, &weights);
            Box::new(Pointwise::new(input, &params, options).unwrap())
        });
    }
}

#[test]
fn standard_is_im2row_and_a_product() {
    for seed in 0..common::scaled(1000) {
        let random = &mut Random(seed.into());
        let mode = if seed % 2 == 0 { Mode::Integers } else { Mode::Reals };
        let kernel = [1 + random.below(3), 1 + random.below(3)];
        let padding = if random.below(2) == 0 { Padding::Same } else { Padding::Valid };
        let window = Window::new(kernel)
            .stride([1 + random.below(2), 1 + random.below(2)])
            .dilation([1 + random.below(2), 1 + random.below(2)])
            .padding(padding);
        let [h, w] = [5 + random.below(6), 5 + random.below(6)];
        let [c, n] = [1 + random.below(40), 1 + random.below(50)];
        let input = [1 + random.below(2), h, w, c];
        let output = common::output(&window, input).expect("a kernel that fits");
        let x = mode.fill(random, input.iter().product());
        let k = kernel[0] * kernel[1] * c;
        let weights = mode.fill(random, k * n);
        let rows = im2row(&x, input, &window, output);
        let what = format!("{window:?} of {input:?} to {n}");
        let shape = [input[0] * output[0] * output[1], k, n];
        compare(&what, mode, input, &x, [&rows, &weights], shape, |options| {
            let params = ConvParams::new(window, n, &weights);
            Box::new(Conv::new(input, &params, options).unwrap())
        });
    }
}
