//! The softmax of pixels over their channels.
//!
//! ```text
//! for p in 0..pixels
//!   max = the largest x[p][c], NaNs left out
//!   s[0..16] = 0
//!   for c in 0..channels
//!     s[c % 16] = s[c % 16] + exp(x[p][c] − max)
//!   sum = s[0] + s[1] + … + s[15], in this order
//!   for c in 0..channels
//!     y[p][c] = round(activation(exp(x[p][c] − max) / sum + residual[p][c]))
//! ```
//!
//! Departures:
//! 1. Channels go by vectors; as many of these as make 16 lanes are the partial sums, so that the
//!    order does not depend on their width. Lanes without a channel add 0.
//! 2. Exponentials are computed a second time rather than stored: in 16 bits they would be rounded.

use crate::element::Pointer;
use crate::epilogue::Extent;
use crate::functions::{Exponential, Function};
use crate::pixelwise::resample::{PixelsTo, finish, load_pixel};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// The kernel.
#[derive(Debug)]
pub(crate) struct Softmax;

/// One call: pixels of a row.
#[derive(Debug)]
pub(crate) struct SoftmaxRun {
    pub(crate) x: Pointer,
    /// Elements from one pixel to the next.
    pub(crate) x_pixel: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    pub(crate) to: PixelsTo,
}

impl Kernel for Softmax {
    type Args = SoftmaxRun;
    type Output = ();

    /// # Safety
    /// - Input, output and residual, if there is one, are valid for reading and writing the pixels'
    ///   channels, of which there is at least one; no other thread touches the output.
    /// - This build has kernels for the types of input and output.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &SoftmaxRun) {
        for p in 0..run.pixels {
            let x = run.x.add(p * run.x_pixel);
            // SAFETY: a pixel's channels.
            unsafe {
                let max = simd.splat(max(simd, run, x));
                let sum = simd.splat(sum(simd, run, x, max));
                for c in (0..run.channels).step_by(S::LANES) {
                    let (x, extent) = channels(simd, run, x, c, 0.0);
                    let e = Exponential.of(simd, simd.sub(x, max));
                    finish(simd, &run.to, (p, c), simd.div(e, sum), &extent);
                }
            }
        }
    }
}

/// A vector of channels from c on; lanes without one are `rest`.
///
/// # Safety
/// x is channel 0 of a pixel that is valid for reading, and has channel c.
#[inline(always)]
unsafe fn channels<S: Simd>(
    simd: S,
    run: &SoftmaxRun,
    x: Pointer,
    c: usize,
    rest: f32,
) -> (S::Vector, Extent<S>) {
    let n = (run.channels - c).min(S::LANES);
    let extent = Extent { whole: n == S::LANES, mask: simd.mem_mask(n) };
    // SAFETY: n channels from c on.
    let mut x = unsafe { load_pixel(simd, x.add(c), &extent) };
    if n < S::LANES {
        x = simd.select(simd.first_lanes(n), x, simd.splat(rest));
    }
    (x, extent)
}

/// # Safety
/// x is channel 0 of a pixel that is valid for reading.
#[inline(always)]
unsafe fn max<S: Simd>(simd: S, run: &SoftmaxRun, x: Pointer) -> f32 {
    let mut max = simd.splat(f32::NEG_INFINITY);
    for c in (0..run.channels).step_by(S::LANES) {
        // SAFETY: the pixel has channel c.
        let (x, _) = unsafe { channels(simd, run, x, c, f32::NEG_INFINITY) };
        max = simd.clamp_min(x, max);
    }
    let mut lanes = [f32::NEG_INFINITY; MAX_LANES];
    // SAFETY: there is room for a vector.
    unsafe { simd.store(lanes.as_mut_ptr(), max) };
    let mut max = f32::NEG_INFINITY;
    for lane in lanes {
        max = if lane > max { lane } else { max };
    }
    max
}

/// The sum of the exponentials.
///
/// # Safety
/// x is channel 0 of a pixel that is valid for reading.
#[inline(always)]
unsafe fn sum<S: Simd>(simd: S, run: &SoftmaxRun, x: Pointer, max: S::Vector) -> f32 {
    let mut partial = [simd.splat(0.0); MAX_LANES];
    for first in (0..run.channels).step_by(MAX_LANES) {
        for (i, partial) in partial[..MAX_LANES / S::LANES].iter_mut().enumerate() {
            let c = first + i * S::LANES;
            if c < run.channels {
                // SAFETY: the pixel has channel c.
                let (x, _) = unsafe { channels(simd, run, x, c, f32::NEG_INFINITY) };
                *partial = simd.add(*partial, Exponential.of(simd, simd.sub(x, max)));
            }
        }
    }
    let mut lanes = [0.0; MAX_LANES];
    for (i, partial) in partial[..MAX_LANES / S::LANES].iter().enumerate() {
        // SAFETY: there is room for so many vectors.
        unsafe { simd.store(lanes.as_mut_ptr().add(i * S::LANES), *partial) };
    }
    lanes.iter().skip(1).fold(lanes[0], |sum, lane| sum + lane)
}
