//! Ends the chains of outputs that go into planes.
//!
//! ```text
//! for c in 0..channels
//!   for p in 0..pixels
//!     y[c][p] = round(activation(sums[p][c] + residual[c][p]))
//! ```
//!
//! Departures: L pixels of L channels go at once, as L vectors of channels that are transposed in
//! registers. The last vector of pixels is masked; channels that do not exist are not stored.

use core::marker::PhantomData;

use crate::activation::{Activation, apply};
use crate::epilogue::{Extent, add_residual, clamp, store};
use crate::simd::element::Element;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// The kernel for planes of elements Y.
#[derive(Debug)]
pub(crate) struct ToPlanes<Y>(PhantomData<Y>);

/// One call.
#[derive(Debug)]
pub(crate) struct ToPlanesRun {
    /// The sums of the first pixel.
    pub(crate) sums: *const f32,
    /// Elements from one pixel's sums to the next one's.
    pub(crate) sums_pixel: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    /// The first pixel in the plane of the first channel. Pixels lie side by side.
    pub(crate) y: *mut u8,
    /// Elements from one plane to the next.
    pub(crate) y_channel: usize,
    /// Likewise, where `y` is in the output.
    pub(crate) residual: Option<*const u8>,
    pub(crate) activation: Activation,
    /// The activation as a clamp, if it is one.
    pub(crate) bounds: Option<(f32, f32)>,
}

impl<Y: Element> Kernel for ToPlanes<Y> {
    type Args = ToPlanesRun;
    type Output = ();

    /// # Safety
    /// - The sums of each pixel are valid for reading `channels` elements, rounded up to whole
    ///   vectors.
    /// - The residual is valid for reading, `y` for writing `pixels` elements of each plane.
    /// - No other thread touches those of `y`.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &ToPlanesRun) {
        let l = S::LANES;
        for c in (0..run.channels).step_by(l) {
            let channels = l.min(run.channels - c);
            for p in (0..run.pixels).step_by(l) {
                let pixels = l.min(run.pixels - p);
                // SAFETY: the caller vouches for all pixels and channels; these are L of each at
                // most.
                unsafe { square::<S, Y>(simd, run, p, pixels, c, channels) };
            }
        }
    }
}

/// `pixels` ≤ L pixels from `p` on × `channels` ≤ L channels from `c` on.
///
/// # Safety
/// As [`ToPlanes`], for these.
#[inline(always)]
unsafe fn square<S: Simd, Y: Element>(
    simd: S,
    run: &ToPlanesRun,
    p: usize,
    pixels: usize,
    c: usize,
    channels: usize,
) {
    let l = S::LANES;
    let sums = run.sums.wrapping_add(p * run.sums_pixel + c);
    let mut square = [simd.splat(0.0); MAX_LANES];
    for (i, v) in square[..l].iter_mut().enumerate() {
        if i < pixels {
            // SAFETY: pixel p + i has sums for whole vectors of channels.
            *v = unsafe { simd.load(sums.add(i * run.sums_pixel)) };
        }
    }
    simd.transpose(&mut square);
    let extent = Extent { whole: pixels == l, mask: simd.mem_mask(pixels) };
    let at = |i: usize| (c + i).wrapping_mul(run.y_channel).wrapping_add(p);
    if let Some(residual) = run.residual {
        for (i, v) in square[..l].iter_mut().enumerate() {
            if i < channels {
                let residual = residual.cast::<Y::Bits>().wrapping_add(at(i));
                let v = core::array::from_mut(v);
                // SAFETY: the residual is valid for reading the extent, pixels from p on of channel
                // c + i.
                unsafe { add_residual::<S, Y, 1>(simd, v, residual, &extent) };
            }
        }
    }
    match run.bounds {
        Some(bounds) => clamp(simd, &mut square[..l], bounds),
        // A number of turns that the compiler does not know: unrolled, exponentials would be L
        // times the code.
        None => {
            for v in &mut square[..channels] {
                *v = apply(simd, *v, run.activation);
            }
        }
    }
    let y = run.y.cast::<Y::Bits>();
    for (i, v) in square[..l].iter().enumerate() {
        if i < channels {
            let v = core::array::from_ref(v);
            // SAFETY: y is valid for writing the extent, pixels from p on of channel c + i, by this
            // thread alone.
            unsafe { store::<S, Y, 1, false>(simd, v, y.wrapping_add(at(i)), &extent) };
        }
    }
}
