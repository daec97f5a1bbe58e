//! Copies channels of some pixels into A panels, `[k / L][MR][k % L]` (see `micro_kernel.rs`).
//!
//! ```text
//! for p in 0..pixels
//!   for i in 0..length
//!     panel(p)[(k + i) / L][row(p)][(k + i) % L] = clamp(x[p][i])  // · scale[i], if there is one
//! ```
//!
//! Departures: whole blocks are moved as vectors, and what begins or ends within a block as a part
//! of a vector. Lanes beyond the last k are left as they are: no kernel reads them.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::epilogue::clamped;
use crate::simd::element::Element;
use crate::simd::{Kernel, Simd};

/// The kernel for an input of elements X.
#[derive(Debug)]
pub(crate) struct Pack<X>(PhantomData<X>);

/// One call.
#[derive(Debug)]
pub(crate) struct PackRun {
    /// First element of the first pixel.
    pub(crate) x: *const u8,
    /// Elements from one pixel to the next.
    pub(crate) x_pixel: usize,
    /// Pixels.
    pub(crate) pixels: usize,
    /// Elements of each pixel.
    pub(crate) length: usize,
    /// The panels: element (k, p) is at `a + rows[p] + (k / L)·block + k % L`.
    pub(crate) a: *mut f32,
    /// Elements from a block of L k to the next, MR·L.
    pub(crate) block: usize,
    /// As many as pixels.
    pub(crate) rows: *const usize,
    /// First k.
    pub(crate) k: usize,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
    /// A factor for each element of a pixel.
    pub(crate) scale: Option<NonNull<f32>>,
}

impl<X: Element> Kernel for Pack<X> {
    type Args = PackRun;
    type Output = ();

    /// # Safety
    /// - `x` is valid for reading `length` elements of each of the pixels.
    /// - `scale`, if there is one, is valid for reading as many.
    /// - `rows` has an offset for each pixel.
    /// - The panels are valid for writing elements k..k + `length` of each pixel; no other thread
    ///   touches them.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &PackRun) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe {
            match run.scale {
                None => pixels::<S, X, false>(simd, run, core::ptr::null()),
                Some(scale) => pixels::<S, X, true>(simd, run, scale.as_ptr()),
            }
        }
    }
}

/// All pixels; times `scale` if SCALED.
///
/// # Safety
/// As [`Pack`].
#[inline(always)]
unsafe fn pixels<S: Simd, X: Element, const SCALED: bool>(
    simd: S,
    run: &PackRun,
    scale: *const f32,
) {
    let l = S::LANES;
    // The elements up to the next multiple of l, and those after the last.
    let head = run.length.min((l - run.k % l) % l);
    let rest = (run.length - head) % l;
    let (head_mask, rest_mask) = (simd.mem_mask(head.max(1)), simd.mem_mask(rest.max(1)));
    let x = run.x.cast::<X::Bits>();
    for p in 0..run.pixels {
        // SAFETY: pixel p exists in the input, and has an offset, which lies in the panels.
        let (x, a) = unsafe { (x.add(p * run.x_pixel), run.a.add(*run.rows.add(p))) };
        if head > 0 {
            let a = a.wrapping_add(run.k / l * run.block + run.k % l);
            // SAFETY: so many elements exist on both sides, and of the scale.
            unsafe { some::<S, X, SCALED>(simd, run.bounds, head_mask, x, scale, a) };
        }
        for i in (head..run.length - rest).step_by(l) {
            // SAFETY: l elements from i on exist on both sides, and of the scale.
            unsafe {
                let mut v = clamped(simd, X::load(simd, x.add(i)), run.bounds);
                if SCALED {
                    v = simd.mul(v, simd.load(scale.add(i)));
                }
                simd.store(a.add((run.k + i) / l * run.block), v);
            }
        }
        if rest > 0 {
            let i = run.length - rest;
            let a = a.wrapping_add((run.k + i) / l * run.block);
            let (x, scale) = (x.wrapping_add(i), scale.wrapping_add(i));
            // SAFETY: so many elements from i on exist on both sides, and of the scale.
            unsafe { some::<S, X, SCALED>(simd, run.bounds, rest_mask, x, scale, a) };
        }
    }
}

/// The elements of a mask.
///
/// # Safety
/// The mask's elements of `x`, and of `scale` if SCALED, are valid for reading, and those of `a`
/// for writing; no other thread touches them.
#[inline(always)]
unsafe fn some<S: Simd, X: Element, const SCALED: bool>(
    simd: S,
    bounds: (f32, f32),
    mask: S::MemMask,
    x: *const X::Bits,
    scale: *const f32,
    a: *mut f32,
) {
    // SAFETY: the caller keeps the contract.
    unsafe {
        let mut v = clamped(simd, X::mask_load(simd, mask, x), bounds);
        if SCALED {
            v = simd.mul(v, simd.mask_load(mask, scale));
        }
        simd.mask_store(mask, a, v);
    }
}
