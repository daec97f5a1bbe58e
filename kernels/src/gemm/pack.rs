//! Copies channels of some pixels into A panels, `[k / L][MR][k % L]` (see `micro_kernel.rs`).
//!
//! ```text
//! for p in 0..pixels
//!   for i in 0..length
//!     panel(p)[(k + i) / L][row(p)][(k + i) % L] = clamp(x[p][i])
//! ```
//!
//! Departures: where k is a multiple of the lanes L, whole blocks are moved as vectors; only the
//! rest goes element by element. Lanes beyond the last k are left as they are: no kernel reads
//! them.

use core::marker::PhantomData;

use crate::gemm::tile::tile_size;
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
    /// The panels: element (k, p) is at `a + rows[p] + (k / L)·MR·L + k % L`.
    pub(crate) a: *mut f32,
    /// As many as pixels.
    pub(crate) rows: *const usize,
    /// First k.
    pub(crate) k: usize,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
}

impl<X: Element> Kernel for Pack<X> {
    type Args = PackRun;
    type Output = ();

    /// # Safety
    /// `x` is valid for reading, the panels for writing the elements named; no other thread touches
    /// these.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &PackRun) {
        let l = S::LANES;
        let mr = const { tile_size::<S>().mr };
        let whole = if run.k.is_multiple_of(l) { run.length / l } else { 0 };
        let x = run.x.cast::<X::Bits>();
        let (lo, hi) = (simd.splat(run.bounds.0), simd.splat(run.bounds.1));
        for p in 0..run.pixels {
            // SAFETY: the caller's contract, for this pixel.
            let (x, a) = unsafe { (x.add(p * run.x_pixel), run.a.add(*run.rows.add(p))) };
            for block in 0..whole {
                // SAFETY: l elements from block·l on exist on both sides.
                unsafe {
                    let v = X::load(simd, x.add(block * l));
                    let v = simd.clamp_max(hi, simd.clamp_min(lo, v));
                    simd.store(a.add((run.k / l + block) * mr * l), v);
                }
            }
            for i in whole * l..run.length {
                let k = run.k + i;
                // SAFETY: element i exists on both sides.
                unsafe {
                    let v = X::widen(*x.add(i));
                    let v = if run.bounds.0 > v { run.bounds.0 } else { v };
                    let v = if run.bounds.1 < v { run.bounds.1 } else { v };
                    *a.add(k / l * mr * l + k % l) = v;
                }
            }
        }
    }
}
