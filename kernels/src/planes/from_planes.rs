//! Copies some channels of some pixels out of planes, widened to f32.
//!
//! ```text
//! for p in 0..pixels
//!   for c in 0..channels
//!     y[rows[p] + (k + c) / L · block + (k + c) % L] = clamp(x[c][p])  // · scale[c]
//! ```
//!
//! With a block of MR·L this is an A panel of the GEMM, with one of L it is a row of channels.
//!
//! Departures: L pixels of L channels go at once, as L vectors along the planes that are transposed
//! in registers. The last vector of pixels is masked, and channels that do not exist come out as
//! zeros. Pixels that do not lie side by side (a stride), and k that is no multiple of L, go
//! element by element.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::simd::element::Element;
use crate::simd::scalar::Scalar;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// The kernel for planes of elements X.
#[derive(Debug)]
pub(crate) struct FromPlanes<X>(PhantomData<X>);

/// Where the rows of pixels begin, in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    /// As many offsets as pixels.
    Table(*const usize),
    /// So many elements apart.
    Step(usize),
}

impl Rows {
    /// That of pixel p.
    ///
    /// # Safety
    /// A table has an offset for it.
    #[inline(always)]
    unsafe fn of(self, p: usize) -> usize {
        match self {
            // SAFETY: the caller says that the table has an offset for pixel p.
            Self::Table(table) => unsafe { *table.add(p) },
            Self::Step(step) => p * step,
        }
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct FromPlanesRun {
    /// The first pixel in the plane of the first channel.
    pub(crate) x: *const u8,
    /// Elements from one pixel to the next.
    pub(crate) x_pixel: usize,
    /// Elements from one plane to the next.
    pub(crate) x_channel: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    /// Where the pixels go: element k of pixel p to `y + rows[p] + k / L · block + k % L`.
    pub(crate) y: *mut f32,
    pub(crate) rows: Rows,
    /// Elements from one vector of channels to the next.
    pub(crate) block: usize,
    /// The k of the first channel.
    pub(crate) k: usize,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
    /// A factor for each channel, if there are some.
    pub(crate) scale: Option<NonNull<f32>>,
}

impl<X: Element> Kernel for FromPlanes<X> {
    type Args = FromPlanesRun;
    type Output = ();

    /// # Safety
    /// - Each channel of each pixel is valid for reading, and so is its factor.
    /// - Each row is valid for writing its channels; if `k` is a multiple of L, rounded up to whole
    ///   vectors.
    /// - No other thread touches these.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &FromPlanesRun) {
        let l = S::LANES;
        // SAFETY: each call is for some pixels and channels of those that the caller vouches for.
        // `square` is for pixels that lie side by side and a k that is a multiple of L, where rows
        // are valid for whole vectors of channels.
        unsafe {
            if run.x_pixel != 1 || !run.k.is_multiple_of(l) {
                return elements::<S, X>(run);
            }
            let whole = run.channels / l * l;
            for p in (0..run.pixels).step_by(l) {
                let pixels = l.min(run.pixels - p);
                for c in (0..whole).step_by(l) {
                    square::<S, X>(simd, run, p, pixels, c, l);
                }
                if whole < run.channels {
                    square::<S, X>(simd, run, p, pixels, whole, run.channels - whole);
                }
            }
        }
    }
}

/// `pixels` ≤ L pixels from `p` on × `channels` ≤ L channels from `c` on.
///
/// # Safety
/// As [`FromPlanes`], for these; pixels lie side by side and k is a multiple of L.
#[inline(always)]
unsafe fn square<S: Simd, X: Element>(
    simd: S,
    run: &FromPlanesRun,
    p: usize,
    pixels: usize,
    c: usize,
    channels: usize,
) {
    let l = S::LANES;
    let x = run.x.cast::<X::Bits>().wrapping_add(p);
    let mut square = [simd.splat(0.0); MAX_LANES];
    for (i, v) in square[..l].iter_mut().enumerate() {
        let x = x.wrapping_add((c + i).wrapping_mul(run.x_channel));
        // SAFETY: channel c + i, which exists where it is loaded, is valid for reading L pixels
        // from p on, or those of the mask.
        unsafe {
            if pixels == l && channels == l {
                *v = X::load(simd, x);
            } else if i < channels {
                *v = X::mask_load(simd, simd.mem_mask(pixels), x);
            }
        }
    }
    simd.transpose(&mut square);
    let (lo, hi) = (simd.splat(run.bounds.0), simd.splat(run.bounds.1));
    let scale = match run.scale {
        None => None,
        // SAFETY: channels c..c + `channels` have factors.
        Some(scale) => unsafe {
            Some(simd.mask_load(simd.mem_mask(channels), scale.as_ptr().add(c)))
        },
    };
    let y = run.y.wrapping_add((run.k + c) / l * run.block);
    for (i, &v) in square[..l].iter().enumerate() {
        if i < pixels {
            let mut v = simd.clamp_max(hi, simd.clamp_min(lo, v));
            if let Some(scale) = scale {
                v = simd.mul(v, scale);
            }
            // SAFETY: the row of pixel p + i is valid for writing whole vectors of channels.
            unsafe { simd.store(y.add(run.rows.of(p + i)), v) };
        }
    }
}

/// All of it, element by element.
///
/// # Safety
/// As [`FromPlanes`].
#[inline(always)]
unsafe fn elements<S: Simd, X: Element>(run: &FromPlanesRun) {
    let l = S::LANES;
    let x = run.x.cast::<X::Bits>();
    for p in 0..run.pixels {
        // SAFETY: each pixel has a row.
        let y = run.y.wrapping_add(unsafe { run.rows.of(p) });
        let x = x.wrapping_add(p.wrapping_mul(run.x_pixel));
        for c in 0..run.channels {
            let k = run.k + c;
            // SAFETY: channel c of pixel p is valid for reading, its place in the row for writing.
            unsafe {
                let v = X::widen(*x.wrapping_add(c.wrapping_mul(run.x_channel)));
                let (scalar, (lo, hi)) = (Scalar::<true>, run.bounds);
                let mut v = scalar.clamp_max(hi, scalar.clamp_min(lo, v));
                if let Some(scale) = run.scale {
                    v *= *scale.as_ptr().add(c);
                }
                *y.add(k / l * run.block + k % l) = v;
            }
        }
    }
}
