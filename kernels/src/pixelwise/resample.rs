//! The resampling kernel: output pixels of a row, each a weighted sum of up to four input pixels.
//!
//! ```text
//! for p in 0..pixels, c in 0..channels
//!   taps = the row's × those of column p, ascending    // one to four
//!   sum = x[taps[0]][c] · w[0]                         // not multiplied if it is the only one
//!   for t in 1..taps
//!     sum = fma(x[taps[t]][c], w[t], sum)
//!   y[p][c] = round(activation(sum + residual[p][c]))
//! ```
//!
//! Departures:
//! 1. Channels go by vectors; the last one is masked.
//! 2. Channels of the input that lie apart (depth to space) are gathered one by one.
//! 3. Types are looked at for each vector: what these layers wait for is memory.

use crate::activation::{Activation, apply};
use crate::element::{ElementType, Pointer, PointerMut};
use crate::epilogue::{Extent, add_residual, store};
use crate::pixelwise::axis::Taps;
use crate::simd::element::{Bf16, Element, F16, F32};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// The kernel.
#[derive(Debug)]
pub(crate) struct Resample;

/// One call: pixels of an output row.
#[derive(Debug)]
pub(crate) struct ResampleRun {
    pub(crate) x: Pointer,
    /// The row's taps; in place of positions, elements from `x` to the first column.
    pub(crate) row: Taps,
    /// Those of each pixel.
    pub(crate) columns: *const Taps,
    pub(crate) pixels: usize,
    /// Elements from one input column to the next.
    pub(crate) x_pixel: usize,
    /// Elements from one channel that is taken to the next.
    pub(crate) x_channel: usize,
    /// Output channels.
    pub(crate) channels: usize,
    pub(crate) to: PixelsTo,
}

/// Where output pixels go, which lie evenly in a row, and what is done to them before.
#[derive(Debug)]
pub(crate) struct PixelsTo {
    pub(crate) y: PointerMut,
    /// Elements from one pixel to the next.
    pub(crate) pixel: usize,
    /// Of the output's type.
    pub(crate) residual: Option<Pointer>,
    /// Elements from one of its pixels to the next.
    pub(crate) residual_pixel: usize,
    pub(crate) activation: Activation,
}

/// The taps of an output pixel: elements from `x`, and weights.
struct Sources {
    offsets: [usize; 4],
    weights: [f32; 4],
    count: usize,
}

impl Kernel for Resample {
    type Args = ResampleRun;
    type Output = ();

    /// # Safety
    /// - `columns` has taps of `pixels` pixels.
    /// - At each of the row's taps × those of the pixels, from their channels on, `channels`
    ///   elements that lie `x_channel` apart are valid for reading.
    /// - Output and residual, if there is one, are valid for writing and reading the pixels'
    ///   channels; no other thread touches the output.
    /// - This build has kernels for the types of input and output.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &ResampleRun) {
        let l = S::LANES;
        for p in 0..run.pixels {
            // SAFETY: one of the pixels.
            let sources = sources(run, unsafe { &*run.columns.add(p) });
            let whole = run.channels / l * l;
            // SAFETY: the caller's contract; each vector is of channels, the last one masked.
            unsafe {
                let extent = Extent { whole: true, mask: simd.mem_mask(l) };
                for c in (0..whole).step_by(l) {
                    let v = sum(simd, run, &sources, c, (l, &extent));
                    finish(simd, &run.to, (p, c), v, &extent);
                }
                if whole < run.channels {
                    let n = run.channels - whole;
                    let extent = Extent { whole: false, mask: simd.mem_mask(n) };
                    let v = sum(simd, run, &sources, whole, (n, &extent));
                    finish(simd, &run.to, (p, whole), v, &extent);
                }
            }
        }
    }
}

#[inline(always)]
fn sources(run: &ResampleRun, column: &Taps) -> Sources {
    let mut sources = Sources { offsets: [0; 4], weights: [0.0; 4], count: 0 };
    for r in 0..run.row.count {
        for c in 0..column.count {
            let pixel = run.row.positions[r] + column.positions[c] * run.x_pixel;
            sources.offsets[sources.count] = pixel + run.row.channel + column.channel;
            sources.weights[sources.count] = run.row.weights[r] * column.weights[c];
            sources.count += 1;
        }
    }
    sources
}

/// The weighted sum of n channels from c on.
///
/// # Safety
/// They are valid for reading in all sources.
#[inline(always)]
unsafe fn sum<S: Simd>(
    simd: S,
    run: &ResampleRun,
    sources: &Sources,
    c: usize,
    (n, extent): (usize, &Extent<S>),
) -> S::Vector {
    let at = |t: usize| run.x.add(sources.offsets[t] + c * run.x_channel);
    // SAFETY: n channels from c on of the first source.
    let mut v = unsafe { load(simd, at(0), (run.x_channel, n), extent) };
    if sources.count > 1 {
        v = simd.mul(v, simd.splat(sources.weights[0]));
        for t in 1..sources.count {
            // SAFETY: likewise of another one.
            let x = unsafe { load(simd, at(t), (run.x_channel, n), extent) };
            v = simd.mul_add(x, simd.splat(sources.weights[t]), v);
        }
    }
    v
}

/// n elements, `step` apart.
///
/// # Safety
/// They are valid for reading, and those of `extent`; this build has kernels for their type.
#[inline(always)]
unsafe fn load<S: Simd>(
    simd: S,
    x: Pointer,
    (step, n): (usize, usize),
    extent: &Extent<S>,
) -> S::Vector {
    // SAFETY: the caller's word.
    unsafe {
        match x.element {
            ElementType::F16 if cfg!(feature = "f16-bf16") => {
                load_as::<S, F16>(simd, x.at.cast(), (step, n), extent)
            }
            ElementType::Bf16 if cfg!(feature = "f16-bf16") => {
                load_as::<S, Bf16>(simd, x.at.cast(), (step, n), extent)
            }
            _ => load_as::<S, F32>(simd, x.at.cast(), (step, n), extent),
        }
    }
}

/// # Safety
/// As [`load`], of elements X.
#[inline(always)]
unsafe fn load_as<S: Simd, X: Element>(
    simd: S,
    x: *const X::Bits,
    (step, n): (usize, usize),
    extent: &Extent<S>,
) -> S::Vector {
    // SAFETY: n elements, `step` apart, are valid for reading; those of the extent are n.
    unsafe {
        if step != 1 {
            let mut lanes = [0.0; MAX_LANES];
            for (i, lane) in lanes[..n].iter_mut().enumerate() {
                *lane = X::widen(*x.add(i * step));
            }
            simd.load(lanes.as_ptr())
        } else if extent.whole {
            X::load(simd, x)
        } else {
            X::mask_load(simd, extent.mask, x)
        }
    }
}

/// Loads a vector of channels of a pixel.
///
/// # Safety
/// The extent's elements are valid for reading.
#[inline(always)]
pub(crate) unsafe fn load_pixel<S: Simd>(simd: S, x: Pointer, extent: &Extent<S>) -> S::Vector {
    // SAFETY: the caller's word; a step of 1 takes none but the extent's.
    unsafe { load(simd, x, (1, 0), extent) }
}

/// Adds the residual, activates, rounds and stores a vector of channels from c on of pixel p.
///
/// # Safety
/// Output and residual, if there is one, are valid for writing and reading them; no other thread
/// touches the output. This build has kernels for the output's type.
#[inline(always)]
pub(crate) unsafe fn finish<S: Simd>(
    simd: S,
    to: &PixelsTo,
    (p, c): (usize, usize),
    v: S::Vector,
    extent: &Extent<S>,
) {
    // SAFETY: the caller's word, for the output's type.
    unsafe {
        match to.y.element {
            ElementType::F16 if cfg!(feature = "f16-bf16") => {
                finish_as::<S, F16>(simd, to, (p, c), v, extent)
            }
            ElementType::Bf16 if cfg!(feature = "f16-bf16") => {
                finish_as::<S, Bf16>(simd, to, (p, c), v, extent)
            }
            _ => finish_as::<S, F32>(simd, to, (p, c), v, extent),
        }
    }
}

/// # Safety
/// As [`finish`], of elements Y.
#[inline(always)]
unsafe fn finish_as<S: Simd, Y: Element>(
    simd: S,
    to: &PixelsTo,
    (p, c): (usize, usize),
    v: S::Vector,
    extent: &Extent<S>,
) {
    let mut v = [v];
    // SAFETY: the caller vouches for these channels of output and residual.
    unsafe {
        if let Some(residual) = to.residual {
            let residual = residual.add(p * to.residual_pixel + c).at.cast::<Y::Bits>();
            add_residual::<S, Y, 1>(simd, &mut v, residual, extent);
        }
        v[0] = apply(simd, v[0], to.activation);
        let y = to.y.add(p * to.pixel + c).at.cast::<Y::Bits>();
        store::<S, Y, 1, false>(simd, &v, y, extent);
    }
}
