//! Normalization: the elements of a rectangle of pixels, in some channels, less their mean, over
//! their deviation. A rectangle is one pixel, or a picture.
//!
//! ```text
//! mean = Σ x / n                             // 0 if the rule takes none
//! s = 1 / √(Σ (x − mean)² / n + ε)           // of unit length 1 / √max(Σ x², ε)
//! for each pixel of the rectangle, for c in 0..channels    // and so for all rectangles
//!   y = round(activation(fma((x − mean)·s, scale[c], shift[c]) + residual))
//! ```
//!
//! A sum has one order on all levels. Channel c of each pixel of a row goes to partial sum
//! c mod 32, pixels ascending; the partial sums of each row are added to those of the rows before;
//! at the end the upper half of them is added to the lower, five times.
//!
//! Departures:
//! 1. A vector holds some of the 32 partial sums: as many independent chains as hide the latency of
//!    an addition.
//! 2. Where channels end inside a vector, its other lanes keep their sums.
//! 3. Results of 16 bits wait in f32, at most [`BLOCK`] of them; see
//!    [`stages`](crate::lines::stages).

use core::mem::MaybeUninit;

use crate::activation::Activation;
use crate::element::{Pointer, PointerMut};
use crate::lines::stages::{BLOCK, Finish, waiting};
use crate::simd::element::{Element, ForElement, for_element};
use crate::simd::{Kernel, Simd};

/// Partial sums.
const PARTS: usize = 32;

/// What a rectangle is divided by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// The standard deviation, the mean being taken off before.
    Deviation,
    /// The root of the mean square.
    RootMeanSquare,
    /// The length.
    Length,
}

/// Rectangles side by side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormalizeArgs {
    pub(crate) rectangles: usize,
    pub(crate) x: Pointer,
    /// Elements from one row, and from one pixel, to the next.
    pub(crate) x_strides: [usize; 2],
    pub(crate) y: PointerMut,
    pub(crate) y_strides: [usize; 2],
    pub(crate) residual: Option<(Pointer, [usize; 2])>,
    /// Rows and columns of a rectangle.
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) rule: Rule,
    pub(crate) epsilon: f32,
    /// Of each channel.
    pub(crate) scale: *const f32,
    pub(crate) shift: *const f32,
    pub(crate) activation: Activation,
}

/// The kernel.
#[derive(Debug)]
pub(crate) struct Normalize;

impl Kernel for Normalize {
    type Args = NormalizeArgs;
    type Output = ();

    /// # Safety
    /// - For all pixels and channels the input and the residual, if there is one, are valid for
    ///   reading and the output for writing; no other thread touches it.
    /// - Scale and shift are valid for reading all channels.
    /// - This build has kernels for the types of all three.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, args: &NormalizeArgs) {
        // SAFETY: the caller keeps the contract; the type is that of x.
        unsafe { for_element(args.x.element, Rectangles { simd, args }) }
    }
}

struct Rectangles<'a, S> {
    simd: S,
    args: &'a NormalizeArgs,
}

impl<S: Simd> ForElement for Rectangles<'_, S> {
    /// # Safety
    /// As [`Normalize`]; the input is of elements X.
    #[inline(always)]
    unsafe fn run<X: Element>(self) {
        let Self { simd, args } = self;
        let columns = args.size[1];
        for i in 0..args.rectangles {
            let first = |strides: [usize; 2]| i * columns * strides[1];
            let args = &NormalizeArgs {
                x: args.x.add(first(args.x_strides)),
                y: args.y.add(first(args.y_strides)),
                residual: args.residual.map(|(r, strides)| (r.add(first(strides)), strides)),
                ..*args
            };
            // SAFETY: the caller keeps the contract, of which this is a part.
            unsafe { Rectangle { simd, args }.run::<X>() };
        }
    }
}

struct Rectangle<'a, S> {
    simd: S,
    args: &'a NormalizeArgs,
}

impl<S: Simd> Rectangle<'_, S> {
    /// # Safety
    /// As [`Normalize`]; the input is of elements X.
    #[inline(always)]
    unsafe fn run<X: Element>(self) {
        let Self { simd, args } = self;
        let &NormalizeArgs { size: [rows, columns], channels, epsilon, .. } = args;
        let count = (rows * columns * channels) as f32;
        // SAFETY: the input is valid for reading at all pixels and channels.
        let (mean, scale) = unsafe {
            let mean = match args.rule {
                Rule::Deviation => sum::<S, X, false>(simd, args, 0.0) / count,
                Rule::RootMeanSquare | Rule::Length => 0.0,
            };
            let squares = sum::<S, X, true>(simd, args, mean);
            let square = match args.rule {
                // A NaN stays.
                Rule::Length if squares < epsilon => epsilon,
                Rule::Length => squares,
                Rule::Deviation | Rule::RootMeanSquare => squares / count + epsilon,
            };
            (mean, 1.0 / root(square))
        };
        let mut block = MaybeUninit::uninit();
        for pixel in 0..rows * columns {
            let at = [pixel / columns, pixel % columns];
            let of = |strides: [usize; 2]| at[0] * strides[0] + at[1] * strides[1];
            for c in (0..channels).step_by(BLOCK) {
                let count = BLOCK.min(channels - c);
                let y = args.y.add(of(args.y_strides) + c);
                let residual = args.residual.map(|(r, strides)| r.add(of(strides) + c));
                let values = waiting(y, &mut block);
                let x = args.x.add(of(args.x_strides) + c).at.cast();
                let (factor, shift) = (args.scale.wrapping_add(c), args.shift.wrapping_add(c));
                let line = Scaled::<S, X> {
                    simd,
                    x,
                    values,
                    count,
                    by: [mean, scale],
                    affine: [factor, shift],
                };
                let activation = args.activation;
                // SAFETY: the caller vouches for these channels of the pixel in input, residual and
                // output, and of scale and shift; at most a block of them fits where they wait.
                unsafe {
                    line.run();
                    Finish { values, count, residual, activation, y }.run(simd);
                }
            }
        }
    }
}

/// √x, rounded once.
#[inline(always)]
fn root(x: f32) -> f32 {
    #[cfg(feature = "std")]
    return x.sqrt();
    #[cfg(not(feature = "std"))]
    return libm::sqrtf(x);
}

/// The sum of the elements of a rectangle, or of the squares of their distances from `center`.
///
/// # Safety
/// The input is of elements X, and valid for reading at all pixels and channels.
#[inline(always)]
unsafe fn sum<S: Simd, X: Element, const SQUARES: bool>(
    simd: S,
    args: &NormalizeArgs,
    center: f32,
) -> f32 {
    let [l, vectors] = [S::LANES, PARTS / S::LANES];
    let &NormalizeArgs { size: [rows, columns], channels, x_strides: [row, pixel], .. } = args;
    let (x, center) = (args.x.at.cast::<X::Bits>(), simd.splat(center));
    let whole = channels - channels % PARTS;
    let mut total = [simd.splat(0.0); PARTS];
    for y in 0..rows {
        let mut sums = [simd.splat(0.0); PARTS];
        for column in 0..columns {
            let line = x.wrapping_add(y * row + column * pixel);
            for c in (0..whole).step_by(PARTS) {
                for (v, sum) in sums.iter_mut().enumerate().take(vectors) {
                    // SAFETY: a vector's channels from there on exist.
                    let x = unsafe { X::load(simd, line.add(c + v * l)) };
                    *sum = added::<S, SQUARES>(simd, *sum, x, center);
                }
            }
            for (v, sum) in sums.iter_mut().enumerate().take(vectors) {
                let c = whole + v * l;
                if c < channels {
                    let n = l.min(channels - c);
                    // SAFETY: n channels from there on exist.
                    let x = unsafe { X::mask_load(simd, simd.mem_mask(n), line.add(c)) };
                    let added = added::<S, SQUARES>(simd, *sum, x, center);
                    *sum = simd.select(simd.first_lanes(n), added, *sum);
                }
            }
        }
        for (total, sum) in total.iter_mut().zip(&sums).take(vectors) {
            *total = simd.add(*total, *sum);
        }
    }
    let mut parts = [0.0_f32; PARTS];
    for (v, &total) in total.iter().enumerate().take(vectors) {
        // SAFETY: the vectors have as many lanes as there are partial sums.
        unsafe { simd.store(parts.as_mut_ptr().add(v * l), total) };
    }
    let mut half = PARTS / 2;
    while half > 0 {
        for i in 0..half {
            parts[i] += parts[i + half];
        }
        half /= 2;
    }
    parts[0]
}

#[inline(always)]
fn added<S: Simd, const SQUARES: bool>(
    simd: S,
    sum: S::Vector,
    x: S::Vector,
    center: S::Vector,
) -> S::Vector {
    if SQUARES {
        let distance = simd.sub(x, center);
        simd.mul_add(distance, distance, sum)
    } else {
        simd.add(sum, x)
    }
}

/// Part of a line.
struct Scaled<S, X: Element> {
    simd: S,
    x: *const X::Bits,
    values: *mut f32,
    count: usize,
    /// The mean, and what the distance from it is multiplied by.
    by: [f32; 2],
    /// Scale and shift of each channel.
    affine: [*const f32; 2],
}

impl<S: Simd, X: Element> Scaled<S, X> {
    /// # Safety
    /// `count` elements of the input, scales and shifts are valid for reading and values for
    /// writing.
    #[inline(always)]
    unsafe fn run(self) {
        let Self { simd, x, values, count, by, affine: [factors, shifts], .. } = self;
        let [mean, scale] = by;
        let (mean, scale) = (simd.splat(mean), simd.splat(scale));
        for i in (0..count).step_by(S::LANES) {
            let n = S::LANES.min(count - i);
            // SAFETY: n elements from i on exist in all of them.
            unsafe {
                let (x, factors, shifts) = (x.add(i), factors.add(i), shifts.add(i));
                if n == S::LANES {
                    let x = simd.mul(simd.sub(X::load(simd, x), mean), scale);
                    let y = simd.mul_add(x, simd.load(factors), simd.load(shifts));
                    simd.store(values.add(i), y);
                } else {
                    let mask = simd.mem_mask(n);
                    let x = simd.mul(simd.sub(X::mask_load(simd, mask, x), mean), scale);
                    let factors = simd.mask_load(mask, factors);
                    let y = simd.mul_add(x, factors, simd.mask_load(mask, shifts));
                    simd.mask_store(mask, values.add(i), y);
                }
            }
        }
    }
}
