//! The reference: plain loops in f64 that share no code with the kernels, their plans or their
//! geometry.
//!
//! Depthwise, pointwise, standard and dense layers are all one [`conv`]: depthwise weights \[kh,
//! kw, C, M\] are those of a convolution of C groups, [kh, kw, 1, C·M\]; pointwise is 1×1; dense is
//! 1×1 on a 1×1 picture. The loops are slow on purpose and meant for tests and spot checks.

// All of it is `#[inline]`: compiled where it is called, and not in each build of the kernels.

use alloc::vec;
use alloc::vec::Vec;

use crate::activation::Activation;
use crate::element::ElementType;
use crate::geometry::{Padding, TransposedPadding, TransposedWindow, Window};
use crate::int8::quantization::Quantization;
use crate::params::{
    BinaryOp, Coordinates, DepthOrder, Interpolation, NormalizationKind, PoolKind,
};

/// One output element of a sum, and what its rounding error is measured against.
///
/// ```
/// # use sepconv_kernels::*;
/// let window = Window::new([1, 2]);
/// let sums = naive::pool(PoolKind::Average, [1, 1, 2, 1], &[3.0, -4.0], &window);
/// assert_eq!(sums, [naive::Sum { value: -0.5, magnitude: 3.5 }]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    /// bias + Σ x·w over the taps inside the input, in f64.
    pub value: f64,
    /// |bias| + Σ |x|·|w| over the same taps.
    pub magnitude: f64,
}

/// Padding before the first element of an axis, written out again from its definition.
#[inline]
fn pad_before(padding: &Padding, axis: usize, input: usize, k: usize, s: usize, d: usize) -> i64 {
    match padding {
        Padding::Valid => 0,
        Padding::Same => {
            // TensorFlow: as many outputs as ceil(input / stride), the odd element of padding
            // after.
            let (input, k, s, d) = (input as i64, k as i64, s as i64, d as i64);
            let outputs = (input + s - 1) / s;
            let total = ((outputs - 1) * s + (k - 1) * d + 1 - input).max(0);
            total / 2
        }
        Padding::Explicit { top, left, .. } => [*top, *left][axis] as i64,
    }
}

/// Output height and width of a window over a picture of `h` × `w`.
///
/// ```
/// # use sepconv_kernels::*;
/// let window = Window::new([3, 3]).stride([2, 2]);
/// assert_eq!(naive::output_size(&window, 6, 7), [2, 3]);
/// assert_eq!(naive::output_size(&window.padding(Padding::Same), 6, 7), [3, 4]);
/// ```
#[must_use]
#[inline]
pub fn output_size(window: &Window, h: usize, w: usize) -> [usize; 2] {
    let mut out = [0; 2];
    for (axis, input) in [h, w].into_iter().enumerate() {
        let (k, s, d) = (window.kernel[axis], window.stride[axis], window.dilation[axis]);
        out[axis] = match window.padding {
            Padding::Same => input.div_ceil(s),
            Padding::Valid => (input - ((k - 1) * d + 1)) / s + 1,
            Padding::Explicit { top, bottom, left, right } => {
                let padded = input + if axis == 0 { top + bottom } else { left + right };
                (padded - ((k - 1) * d + 1)) / s + 1
            }
        };
    }
    out
}

/// What [`conv_at`] convolves: dense NHWC input of shape `input`, weights \[kh, kw, C/groups, O\].
///
/// ```
/// # use sepconv_kernels::*;
/// // Depthwise, as a convolution in C = 2 groups: a column of two taps for each channel.
/// let conv = naive::Conv {
///     input: [1, 2, 1, 2], x: &[1.0, 2.0, 3.0, 4.0],
///     window: Window::new([2, 1]), groups: 2, channels_out: 2,
///     weights: &[10.0, 100.0, 1.0, 1.0], bias: None,
/// };
/// let values: Vec<_> = naive::conv(&conv).iter().map(|sum| sum.value).collect();
/// assert_eq!(values, [13.0, 204.0]); // 1·10 + 3·1, 2·100 + 4·1
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Conv<'a> {
    /// \[N, H, W, C\].
    pub input: [usize; 4],
    /// The input, N·H·W·C elements.
    pub x: &'a [f32],
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Groups; C for depthwise.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// \[kh, kw, C/groups, O\].
    pub weights: &'a [f32],
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Output element (n, oy, ox, o) of a convolution. Taps outside the input are left out.
///
/// ```
/// # use sepconv_kernels::*;
/// let conv = naive::Conv {
///     input: [1, 1, 3, 1], x: &[1.0, 2.0, 3.0],
///     window: Window::new([1, 3]).padding(Padding::Same), groups: 1, channels_out: 1,
///     weights: &[1.0, 10.0, 100.0], bias: Some(&[0.5]),
/// };
/// assert_eq!(naive::conv_at(&conv, 0, 0, 1, 0).value, 321.5);
/// assert_eq!(naive::conv_at(&conv, 0, 0, 2, 0).value, 32.5); // the third tap is outside
/// ```
#[must_use]
#[inline]
pub fn conv_at(p: &Conv<'_>, n: usize, oy: usize, ox: usize, o: usize) -> Sum {
    let bias = p.bias.map_or(0.0, |b| f64::from(b[o]));
    let mut sum = Sum { value: bias, magnitude: bias.abs() };
    each_product(p, [n, oy, ox, o], |x, w| {
        if let Some(x) = x {
            let product = f64::from(x) * f64::from(w);
            sum.value += product;
            sum.magnitude += product.abs();
        }
    });
    sum
}

/// Calls `f(x, w)` for each tap and input channel of output element (n, oy, ox, o): taps (ky, kx),
/// then channels ascending. There is no x in the padding.
#[inline]
fn each_product(p: &Conv<'_>, [n, oy, ox, o]: [usize; 4], mut f: impl FnMut(Option<f32>, f32)) {
    let [_, h, w, c] = p.input;
    let (in_group, out_group) = (c / p.groups, p.channels_out / p.groups);
    let first = o / out_group * in_group;
    let [kh, kw] = p.window.kernel;
    let [sy, sx] = p.window.stride;
    let [dy, dx] = p.window.dilation;
    let top = pad_before(&p.window.padding, 0, h, kh, sy, dy);
    let left = pad_before(&p.window.padding, 1, w, kw, sx, dx);
    for ky in 0..kh {
        for kx in 0..kw {
            let iy = (oy * sy + ky * dy) as i64 - top;
            let ix = (ox * sx + kx * dx) as i64 - left;
            let outside = iy < 0 || ix < 0 || iy >= h as i64 || ix >= w as i64;
            for i in 0..in_group {
                let weight = p.weights[((ky * kw + kx) * in_group + i) * p.channels_out + o];
                if outside {
                    f(None, weight);
                } else {
                    let pixel = (n * h + iy as usize) * w + ix as usize;
                    f(Some(p.x[pixel * c + first + i]), weight);
                }
            }
        }
    }
}

/// All output elements of a convolution, NHWC.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let (x, weights) = ([1.0, 2.0, 3.0, 4.0], [1.0, -1.0, 0.5, 2.0]);
/// # let params =
/// #     PointwiseParams::new(2, &weights);
/// # let plan = Pointwise::new([1, 1, 2, 2], &params, &Options::default())?;
/// # let (mut y, mut scratch) = ([0.0; 4], vec![0.0; plan.scratch_len(1)]);
/// # let input = NhwcView::new(&x, plan.input_shape())?;
/// # plan.run(input, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// let sums = naive::conv(&naive::Conv {
///     input: [1, 1, 2, 2], x: &x,
///     window: Window::new([1, 1]), groups: 1, channels_out: 2,
///     weights: &weights, bias: None,
/// });
/// // y is what a Pointwise plan made of the same operands.
/// assert!(sums.iter().zip(y).all(|(sum, y)| sum.value == f64::from(y)));
/// # Ok(())
/// # }
/// ```
#[must_use]
#[inline]
pub fn conv(p: &Conv<'_>) -> Vec<Sum> {
    each_output(p, conv_at)
}

/// `at` for each output element (n, oy, ox, o), in the order of NHWC.
#[inline]
fn each_output<T>(p: &Conv<'_>, at: impl Fn(&Conv<'_>, usize, usize, usize, usize) -> T) -> Vec<T> {
    let [oh, ow] = output_size(&p.window, p.input[1], p.input[2]);
    let mut out = Vec::new();
    for n in 0..p.input[0] {
        for oy in 0..oh {
            for ox in 0..ow {
                for o in 0..p.channels_out {
                    out.push(at(p, n, oy, ox, o));
                }
            }
        }
    }
    out
}

/// All output elements of a convolution in the arithmetic unfused, NHWC, to the bit, but for
/// residual and activation: the definition of [`Arithmetic::Unfused`](crate::Arithmetic::Unfused).
///
/// ```
/// # use sepconv_kernels::*;
/// let third = 1.0_f32 / 3.0;
/// let conv = naive::Conv {
///     input: [1, 1, 1, 1], x: &[third],
///     window: Window::new([1, 1]), groups: 1, channels_out: 1,
///     weights: &[third], bias: Some(&[-1.0 / 9.0]),
/// };
/// assert_eq!(naive::conv_unfused(&conv), [third * third - 1.0 / 9.0]);
/// assert_ne!(third * third - 1.0 / 9.0, third.mul_add(third, -1.0 / 9.0));
/// ```
#[must_use]
#[inline]
pub fn conv_unfused(p: &Conv<'_>) -> Vec<f32> {
    each_output(p, conv_unfused_at)
}

/// Output element (n, oy, ox, o).
#[inline]
fn conv_unfused_at(p: &Conv<'_>, n: usize, oy: usize, ox: usize, o: usize) -> f32 {
    let mut sum = p.bias.map_or(0.0, |b| b[o]);
    each_product(p, [n, oy, ox, o], |x, w| {
        if let Some(x) = x {
            let product = x * w;
            sum += product;
        }
    });
    sum
}

/// All output elements of a convolution in the arithmetic bf16, NHWC, to the bit, but for residual
/// and activation: the definition in [`Arithmetic::Bf16`](crate::Arithmetic::Bf16), point by point.
///
/// ```
/// # use sepconv_kernels::*;
/// let conv = naive::Conv {
///     input: [1, 1, 1, 3], x: &[257.0, 1.0, 1e-20],
///     window: Window::new([1, 1]), groups: 1, channels_out: 1,
///     weights: &[1.0, 3.0, 1e20], bias: Some(&[0.5]),
/// };
/// // 257 becomes 256 = 1.0000000₂·2⁸, and 1e-20 < 2⁻⁵⁶ becomes 0.
/// assert_eq!(naive::conv_bf16(&conv), [256.0 + 3.0 + 0.5]);
/// ```
#[must_use]
#[inline]
pub fn conv_bf16(p: &Conv<'_>) -> Vec<f32> {
    each_output(p, conv_bf16_at)
}

/// Output element (n, oy, ox, o).
#[inline]
fn conv_bf16_at(p: &Conv<'_>, n: usize, oy: usize, ox: usize, o: usize) -> f32 {
    let [kh, kw] = p.window.kernel;
    let count = kh * kw * (p.input[3] / p.groups);
    let bias = p.bias.map_or(0.0, |b| b[o]);
    let mut sum = if f64::from(bias).abs() < power_of_two(-103) { 0.0 } else { bias };
    let (mut chains, mut k) = ([0.0_f32; 2], 0);
    each_product(p, [n, oy, ox, o], |x, w| {
        let x = x.unwrap_or(0.0);
        chains[k % 2] = libm::fmaf(operand(x), operand(w), chains[k % 2]);
        k += 1;
        if k % 32 == 0 || k == count {
            sum += chains[0] + chains[1];
            chains = [0.0; 2];
        }
    });
    sum
}

/// An operand of the arithmetic bf16: 0 below 2⁻⁵⁶, else the nearest number of 8 significant bits.
#[inline]
fn operand(v: f32) -> f32 {
    if !v.is_finite() {
        return v;
    }
    let magnitude = f64::from(v).abs();
    if magnitude < power_of_two(-56) {
        return 0.0;
    }
    let exponent = (v.to_bits() >> 23 & 0xff) as i64 - 127;
    let last_place = power_of_two(exponent - 7);
    // Beyond the largest number, too: 2¹²⁸ as f32 is ∞.
    (libm::rint(f64::from(v) / last_place) * last_place) as f32
}

/// 2ⁿ.
#[inline]
fn power_of_two(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// Max or average pool of a dense NHWC input. Padding is left out, but for the count of
/// [`PoolKind::AverageOfPadded`].
/// The maximum of a window that holds a NaN is NaN. A window without any input has the maximum −∞
/// and the average 0.
///
/// ```
/// # use sepconv_kernels::*;
/// let window = Window::new([1, 3]).padding(Padding::Same);
/// let pool = |kind| naive::pool(kind, [1, 1, 3, 1], &[1.0, 2.0, 6.0], &window).into_iter();
/// assert!(pool(PoolKind::Max).map(|sum| sum.value).eq([2.0, 6.0, 6.0]));
/// assert!(pool(PoolKind::Average).map(|sum| sum.value).eq([1.5, 3.0, 4.0]));
/// ```
#[must_use]
#[inline]
pub fn pool(kind: PoolKind, input: [usize; 4], x: &[f32], window: &Window) -> Vec<Sum> {
    let [n, h, w, c] = input;
    let [kh, kw] = window.kernel;
    let [sy, sx] = window.stride;
    let [dy, dx] = window.dilation;
    let top = pad_before(&window.padding, 0, h, kh, sy, dy);
    let left = pad_before(&window.padding, 1, w, kw, sx, dx);
    let [oh, ow] = output_size(window, h, w);
    let mut out = Vec::new();
    for b in 0..n {
        for oy in 0..oh {
            for ox in 0..ow {
                for ch in 0..c {
                    let (mut sum, mut magnitude, mut count) = (0.0_f64, 0.0_f64, 0.0_f64);
                    let (mut max, mut nan) = (f64::NEG_INFINITY, false);
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let iy = (oy * sy + ky * dy) as i64 - top;
                            let ix = (ox * sx + kx * dx) as i64 - left;
                            if iy < 0 || ix < 0 || iy >= h as i64 || ix >= w as i64 {
                                continue;
                            }
                            let v =
                                f64::from(x[((b * h + iy as usize) * w + ix as usize) * c + ch]);
                            nan |= v.is_nan();
                            if v > max {
                                max = v;
                            }
                            sum += v;
                            magnitude += v.abs();
                            count += 1.0;
                        }
                    }
                    out.push(match kind {
                        PoolKind::Max if nan => Sum { value: f64::NAN, magnitude: 0.0 },
                        PoolKind::Max => Sum { value: max, magnitude: 0.0 },
                        PoolKind::Average => {
                            let count = if count == 0.0 { 1.0 } else { count };
                            Sum { value: sum / count, magnitude: magnitude / count }
                        }
                        PoolKind::AverageOfPadded => {
                            let count = kh as f64 * kw as f64;
                            Sum { value: sum / count, magnitude: magnitude / count }
                        }
                    });
                }
            }
        }
    }
    out
}

/// a ∘ b in f64. Of a maximum or minimum a NaN is passed on, whichever operand it is.
///
/// ```
/// # use sepconv_kernels::*;
/// assert_eq!(naive::binary(BinaryOp::Subtract, 1.0, 3.0), -2.0);
/// assert!(naive::binary(BinaryOp::Maximum, 1.0, f64::NAN).is_nan());
/// ```
#[must_use]
#[inline]
pub fn binary(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Maximum | BinaryOp::Minimum if a.is_nan() || b.is_nan() => f64::NAN,
        BinaryOp::Maximum => {
            if b > a {
                b
            } else {
                a
            }
        }
        BinaryOp::Minimum => {
            if b < a {
                b
            } else {
                a
            }
        }
        BinaryOp::PRelu => {
            if a < 0.0 {
                b * a
            } else {
                a
            }
        }
    }
}

/// All elements of a dense NHWC tensor, normalized in f64, without scale and shift.
///
/// ```
/// # use sepconv_kernels::*;
/// // two pixels of two channels, each channel of the picture by itself
/// let kind = NormalizationKind::Group { groups: 2 };
/// let y = naive::normalize(kind, 0.0, [1, 1, 2, 2], &[1.0, 10.0, 3.0, 50.0]);
/// assert_eq!(y, [-1.0, -1.0, 1.0, 1.0]);
/// ```
#[must_use]
#[inline]
pub fn normalize(kind: NormalizationKind, epsilon: f64, shape: [usize; 4], x: &[f32]) -> Vec<f64> {
    let [n, h, w, c] = shape;
    let mut out = vec![0.0; x.len()];
    // The places of what is normalized together.
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for b in 0..n {
        if let NormalizationKind::Group { groups } = kind {
            let size = c / groups;
            for group in 0..groups {
                let mut set = Vec::new();
                for pixel in 0..h * w {
                    for ch in group * size..(group + 1) * size {
                        set.push((b * h * w + pixel) * c + ch);
                    }
                }
                sets.push(set);
            }
        } else {
            for pixel in 0..h * w {
                sets.push(((b * h * w + pixel) * c..(b * h * w + pixel + 1) * c).collect());
            }
        }
    }
    for set in sets {
        let (mut mean, mut square) = (0.0, 0.0);
        if matches!(kind, NormalizationKind::Layer | NormalizationKind::Group { .. }) {
            for &i in &set {
                mean += f64::from(x[i]) / set.len() as f64;
            }
        }
        for &i in &set {
            let d = f64::from(x[i]) - mean;
            square += d * d;
        }
        if kind == NormalizationKind::Unit {
            if square < epsilon {
                square = epsilon;
            }
        } else {
            square = square / set.len() as f64 + epsilon;
        }
        for i in set {
            out[i] = (f64::from(x[i]) - mean) / libm::sqrt(square);
        }
    }
    out
}

/// A dense NHWC picture of another size \[H, W\]: each pixel by its definition.
///
/// ```
/// # use sepconv_kernels::*;
/// let (bilinear, half_pixel) = (Interpolation::Bilinear, Coordinates::HalfPixel);
/// let sums = naive::resize([1, 1, 2, 1], &[1.0, 5.0], [1, 4], bilinear, half_pixel);
/// assert!(sums.iter().map(|sum| sum.value).eq([1.0, 2.0, 4.0, 5.0]));
/// ```
#[must_use]
#[inline]
pub fn resize(
    input: [usize; 4],
    x: &[f32],
    size: [usize; 2],
    interpolation: Interpolation,
    coordinates: Coordinates,
) -> Vec<Sum> {
    let [n, h, w, c] = input;
    let mut out = Vec::new();
    for b in 0..n {
        for oy in 0..size[0] {
            for ox in 0..size[1] {
                let ys = sources(oy, h, size[0], interpolation, coordinates);
                let xs = sources(ox, w, size[1], interpolation, coordinates);
                for ch in 0..c {
                    let mut sum = Sum { value: 0.0, magnitude: 0.0 };
                    for (iy, wy) in ys {
                        for (ix, wx) in xs {
                            if wy == 0.0 || wx == 0.0 {
                                continue;
                            }
                            let v = f64::from(x[((b * h + iy) * w + ix) * c + ch]);
                            sum.value += v * f64::from(wy) * f64::from(wx);
                            sum.magnitude += v.abs() * f64::from(wy) * f64::from(wx);
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

/// The two positions of an axis that an output is made of, and their weights.
#[inline]
fn sources(
    o: usize,
    input: usize,
    output: usize,
    interpolation: Interpolation,
    coordinates: Coordinates,
) -> [(usize, f32); 2] {
    let o = o as f32;
    let mut source = match coordinates {
        Coordinates::HalfPixel => (o + 0.5) * (input as f32 / output as f32),
        Coordinates::Asymmetric => o * (input as f32 / output as f32),
        Coordinates::AlignCorners if output == 1 => 0.0,
        Coordinates::AlignCorners => o * ((input - 1) as f32 / (output - 1) as f32),
    };
    let last = input as i64 - 1;
    if interpolation == Interpolation::Nearest {
        let nearest = match coordinates {
            Coordinates::AlignCorners => libm::roundf(source),
            _ => libm::floorf(source),
        };
        let nearest = (nearest as i64).min(last) as usize;
        return [(nearest, 1.0), (nearest, 0.0)];
    }
    if coordinates == Coordinates::HalfPixel {
        source -= 0.5;
    }
    if source <= 0.0 {
        return [(0, 1.0), (0, 0.0)];
    }
    let floor = libm::floorf(source);
    let fraction = source - floor;
    let below = floor as i64;
    if below >= last {
        return [(last as usize, 1.0), (last as usize, 0.0)];
    }
    [(below as usize, 1.0 - fraction), (below as usize + 1, fraction)]
}

/// What [`transposed_conv`] convolves: dense NHWC input of shape `input`, weights \[kh, kw,
/// O/groups, C\].
///
/// ```
/// # use sepconv_kernels::*;
/// let conv = naive::TransposedConv {
///     input: [1, 1, 2, 1], x: &[3.0, 4.0],
///     window: TransposedWindow::new([1, 2]), groups: 1, channels_out: 1,
///     weights: &[1.0, 10.0], bias: None,
/// };
/// assert!(naive::transposed_conv(&conv).iter().map(|sum| sum.value).eq([3.0, 34.0, 40.0]));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TransposedConv<'a> {
    /// \[N, H, W, C\].
    pub input: [usize; 4],
    /// The input, N·H·W·C elements.
    pub x: &'a [f32],
    /// Kernel, stride, dilation, padding.
    pub window: TransposedWindow,
    /// Groups; C for depthwise.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// \[kh, kw, O/groups, C\].
    pub weights: &'a [f32],
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// All output elements of a transposed convolution, NHWC: each input pixel is scattered.
///
/// ```
/// # use sepconv_kernels::*;
/// let conv = naive::TransposedConv {
///     input: [1, 1, 2, 1], x: &[3.0, 4.0],
///     window: TransposedWindow::new([1, 1]).stride([1, 2]), groups: 1, channels_out: 1,
///     weights: &[1.0], bias: Some(&[0.5]),
/// };
/// let values: Vec<_> = naive::transposed_conv(&conv).iter().map(|sum| sum.value).collect();
/// assert_eq!(values, [3.5, 0.5, 4.5, 0.5]);
/// ```
#[must_use]
#[inline]
pub fn transposed_conv(p: &TransposedConv<'_>) -> Vec<Sum> {
    let [n, h, w, c] = p.input;
    let [kh, kw] = p.window.kernel;
    let [sy, sx] = p.window.stride;
    let [dy, dx] = p.window.dilation;
    let (in_group, out_group) = (c / p.groups, p.channels_out / p.groups);
    let sides = [(h, (kh - 1) * dy + 1, sy, 0), (w, (kw - 1) * dx + 1, sx, 1)];
    let [(oh, top), (ow, left)] = sides.map(|(input, k, s, axis)| {
        let more = k.saturating_sub(s);
        match p.window.padding {
            TransposedPadding::Valid => (input * s + more, 0),
            TransposedPadding::Same => (input * s, more / 2),
            TransposedPadding::Explicit { padding, output_padding } => {
                let all = (input - 1) * s + k + output_padding[axis];
                (all - 2 * padding[axis], padding[axis])
            }
        }
    });
    let mut out = Vec::new();
    for i in 0..n * oh * ow * p.channels_out {
        let bias = p.bias.map_or(0.0, |bias| f64::from(bias[i % p.channels_out]));
        out.push(Sum { value: bias, magnitude: bias.abs() });
    }
    for i in 0..n * h * w * kh * kw {
        let (tap, pixel) = (i % (kh * kw), i / (kh * kw));
        let (b, iy, ix) = (pixel / (h * w), pixel / w % h, pixel % w);
        let oy = (iy * sy + tap / kw * dy) as i64 - top as i64;
        let ox = (ix * sx + tap % kw * dx) as i64 - left as i64;
        if oy < 0 || ox < 0 || oy >= oh as i64 || ox >= ow as i64 {
            continue;
        }
        let to = ((b * oh + oy as usize) * ow + ox as usize) * p.channels_out;
        for o in 0..p.channels_out {
            for k in 0..in_group {
                let input = o / out_group * in_group + k;
                let x = f64::from(p.x[pixel * c + input]);
                let v = f64::from(p.weights[(tap * out_group + o % out_group) * c + input]);
                out[to + o].value += x * v;
                out[to + o].magnitude += (x * v).abs();
            }
        }
    }
    out
}

/// Depth to space of a dense NHWC input, whose channels a block's pixels divide.
///
/// ```
/// # use sepconv_kernels::*;
/// let (x, shape) = ([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 4]);
/// assert_eq!(naive::depth_to_space(shape, &x, 2, DepthOrder::BlockFirst), x); // two rows of two
/// ```
#[must_use]
#[inline]
pub fn depth_to_space(input: [usize; 4], x: &[f32], block: usize, order: DepthOrder) -> Vec<f32> {
    let [n, h, w, channels] = input;
    let c = channels / (block * block);
    let mut out = Vec::new();
    for b in 0..n {
        for oy in 0..h * block {
            for ox in 0..w * block {
                let (i, j) = (oy % block, ox % block);
                for ch in 0..c {
                    let from = match order {
                        DepthOrder::BlockFirst => (i * block + j) * c + ch,
                        DepthOrder::ChannelFirst => (ch * block + i) * block + j,
                    };
                    out.push(x[((b * h + oy / block) * w + ox / block) * channels + from]);
                }
            }
        }
    }
    out
}

/// The softmax of each pixel of `channels` channels.
///
/// ```
/// # use sepconv_kernels::*;
/// assert_eq!(naive::softmax(&[2.0, 2.0, 0.0, f32::NEG_INFINITY], 2), [0.5, 0.5, 1.0, 0.0]);
/// ```
#[must_use]
#[inline]
pub fn softmax(x: &[f32], channels: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for pixel in x.chunks(channels) {
        let max = pixel.iter().fold(f64::NEG_INFINITY, |max, &x| f64::from(x).max(max));
        let exps: Vec<f64> = pixel.iter().map(|&x| libm::exp(f64::from(x) - max)).collect();
        let sum: f64 = exps.iter().sum();
        out.extend(exps.iter().map(|e| e / sum));
    }
    out
}

/// What [`requantize`] makes of sums of integers.
///
/// ```
/// # use sepconv_kernels::*;
/// let to_u8 = naive::Requantize {
///     multiplier: 0.25,
///     residual: Quantization::new(1.0, 0),
///     activation: Activation::Relu,
///     output: ElementType::U8,
///     quantization: Quantization::new(1.0, 10),
/// };
/// assert_eq!(naive::requantize(10, None, &to_u8), 12.0); // 10 / 4 = 2.5, ties to even, + 10
/// assert_eq!(naive::requantize(-8, None, &to_u8), 10.0);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Requantize {
    /// What a unit of the sum is in steps of the output's: the scales of input and weights over the
    /// output's, in f64, rounded to f32. An output of f32 has steps of 1.
    pub multiplier: f32,
    /// What the integers of the residual stand for.
    pub residual: Quantization,
    /// Applied last.
    pub activation: Activation,
    /// Type of the output and the residual.
    pub output: ElementType,
    /// What the integers of the output stand for.
    pub quantization: Quantization,
}

/// The output that a sum of integers, bias included, becomes: an integer, or a number if the output
/// is of f32. This is the definition of requantization; each step is rounded to nearest, ties to
/// even:
///
/// 1. t = f32(sum) · multiplier
/// 2. with a residual, t = t + f32(r − z) · s, where z is its zero point and s its scale over the
///    output's, in f64, rounded to f32
/// 3. t is clamped to \[lo / scale, hi / scale\], the bounds of the activation, and to what the
///    type holds, less the zero point. An activation that is no clamp comes first, as activation(t
///    · scale) / scale.
/// 4. the integer nearest to t, plus the zero point
///
/// ```
/// # use sepconv_kernels::*;
/// let to_i8 = naive::Requantize {
///     multiplier: 0.5,
///     residual: Quantization::new(0.25, 4),
///     activation: Activation::None,
///     output: ElementType::I8,
///     quantization: Quantization::new(1.0, -3),
/// };
/// // 7 / 2 + (10 − 4) / 4 = 5, and −3
/// assert_eq!(naive::requantize(7, Some(10.0), &to_i8), 2.0);
/// assert_eq!(naive::requantize(1000, None, &to_i8), 127.0);
/// ```
#[must_use]
#[inline]
pub fn requantize(sum: i32, residual: Option<f32>, p: &Requantize) -> f32 {
    let quantized = p.output == ElementType::U8 || p.output == ElementType::I8;
    let (scale, zero) = if quantized {
        (p.quantization.scale, p.quantization.zero_point as f32)
    } else {
        (1.0, 0.0)
    };
    let mut t = sum as f32 * p.multiplier;
    if let Some(r) = residual {
        let (r_scale, r_zero) =
            if quantized { (p.residual.scale, p.residual.zero_point as f32) } else { (1.0, 0.0) };
        let step = (f64::from(r_scale) / f64::from(scale)) as f32;
        t += (r - r_zero) * step;
    }
    let (lo, hi) = match p.activation {
        Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
        Activation::Relu => (0.0, f32::INFINITY),
        Activation::Relu6 => (0.0, 6.0),
        Activation::Clamp { lo, hi } => (lo, hi),
        other => {
            t = (activate(other, f64::from(t * scale)) / f64::from(scale)) as f32;
            (f32::NEG_INFINITY, f32::INFINITY)
        }
    };
    if !quantized {
        return if t < lo {
            lo
        } else if t > hi {
            hi
        } else {
            t
        };
    }
    let (least, largest) = if p.output == ElementType::U8 {
        (0.0 - zero, 255.0 - zero)
    } else {
        (-128.0 - zero, 127.0 - zero)
    };
    let bound = |b: f32| (b / scale).max(least).min(largest);
    let t = t.max(bound(lo)).min(bound(hi));
    // In f64 both neighbours of t and their distances are exact.
    let t = f64::from(t);
    let below = (t as i64 - i64::from(t < 0.0)) as f64;
    let up = t - below > 0.5 || (t - below == 0.5 && below as i64 % 2 != 0);
    (below + f64::from(up) + f64::from(zero)) as f32
}

/// An activation in f64, from its definition. NaN stays NaN.
///
/// ```
/// # use sepconv_kernels::*;
/// assert_eq!(naive::activate(Activation::Relu6, 9.0), 6.0);
/// assert_eq!(naive::activate(Activation::HardSwish, -1.0), -1.0 / 3.0); // −1 · 2 / 6
/// ```
#[must_use]
#[inline]
pub fn activate(activation: Activation, x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Clamp { lo, hi } => x.clamp(f64::from(lo), f64::from(hi)),
        Activation::Elu { alpha } => {
            if x > 0.0 {
                x
            } else {
                f64::from(alpha) * libm::expm1(x)
            }
        }
        // The limit at −∞, where the formula gives ∞ / ∞.
        Activation::Silu if x == f64::NEG_INFINITY => -0.0,
        Activation::Silu => x / (1.0 + libm::exp(-x)),
        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
        Activation::HardSigmoid { slope, offset } => {
            (f64::from(slope) * x + f64::from(offset)).clamp(0.0, 1.0)
        }
        Activation::Tanh => libm::tanh(x),
        Activation::Gelu | Activation::GeluTanh | Activation::Mish if x == f64::NEG_INFINITY => {
            -0.0
        }
        Activation::Gelu => x * libm::erfc(-x / core::f64::consts::SQRT_2) / 2.0,
        Activation::GeluTanh => {
            let u = libm::sqrt(2.0 / core::f64::consts::PI) * (x + 0.044715 * x * x * x);
            x / (1.0 + libm::exp(-2.0 * u))
        }
        Activation::Softplus if x > 0.0 => x + libm::log1p(libm::exp(-x)),
        Activation::Softplus => libm::log1p(libm::exp(x)),
        Activation::Mish => x * libm::tanh(activate(Activation::Softplus, x)),
        Activation::LeakyRelu { alpha: 0.0 } if x < 0.0 => 0.0,
        Activation::LeakyRelu { alpha } if x < 0.0 => f64::from(alpha) * x,
        Activation::LeakyRelu { .. } => x,
        Activation::ThresholdedRelu { threshold, max, .. } if x >= f64::from(threshold) => {
            x.min(f64::from(max))
        }
        Activation::ThresholdedRelu { slope: 0.0, .. } => 0.0,
        Activation::ThresholdedRelu { slope, threshold, .. } => {
            f64::from(slope) * (x - f64::from(threshold))
        }
        // The limits.
        Activation::Softsign if x.is_infinite() => x.signum(),
        Activation::Softsign => x / (1.0 + x.abs()),
        Activation::Exponential => libm::exp(x),
    }
}
