//! Copies channels of some pixels into rows of bf16 tiles (AMX): what `pack.rs` and `tile_rows.rs`
//! would give one after the other. Rounds as `round.rs` does.
//!
//! ```text
//! for p in 0..pixels
//!   for i in 0..length
//!     tiles(p)[(k + i) / 32][row(p)][(k + i) % 32] = rounded(clamp(x[p][i]))
//! ```
//!
//! Departures: those of `pack.rs`. An input of bf16 has no NaN with bits that rounding would drop,
//! and takes the shorter way.

use core::marker::PhantomData;

use crate::element::ElementType;
use crate::epilogue::clamped;
use crate::gemm::block_micro_kernel::BLOCK;
use crate::gemm::pack::PackRun;
use crate::gemm::round::{flushed, rounded};
use crate::simd::element::{Bf16, Element};
use crate::simd::scalar::Scalar;
use crate::simd::{Kernel, Simd};

/// The kernel for an input of elements X.
#[derive(Debug)]
#[allow(dead_code, reason = "of levels with tile registers")]
pub(crate) struct PackTiles<X>(PhantomData<X>);

impl<X: Element> Kernel for PackTiles<X> {
    type Args = PackRun;
    type Output = ();

    /// # Safety
    /// - `x` is valid for reading `length` elements of each of the pixels.
    /// - `rows` has an offset for each pixel.
    /// - The panels are valid for writing elements k..k + `length` of each pixel; no other thread
    ///   touches them.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &PackRun) {
        let l = S::LANES;
        let whole = if run.k.is_multiple_of(l) { run.length / l } else { 0 };
        let x = run.x.cast::<X::Bits>();
        // A tile of 32 k takes the place of a block of 16 k of f32.
        let tile = 2 * run.block;
        for p in 0..run.pixels {
            // SAFETY: pixel p exists in the input, and has an offset, which lies in the panels.
            let (x, row) =
                unsafe { (x.add(p * run.x_pixel), run.a.add(*run.rows.add(p)).cast::<u16>()) };
            for i in (0..whole * l).step_by(l) {
                let k = run.k + i;
                // SAFETY: l elements from i on exist on both sides, where they are of one tile.
                unsafe {
                    let v = clamped(simd, X::load(simd, x.add(i)), run.bounds);
                    let (v, to) = (flushed(simd, v), row.add(k / BLOCK * tile + k % BLOCK));
                    if const { matches!(X::TYPE, ElementType::Bf16) } {
                        Bf16::store_sum(simd, to, v);
                    } else {
                        Bf16::store(simd, to, v);
                    }
                }
            }
            for i in whole * l..run.length {
                let k = run.k + i;
                // SAFETY: element i exists on both sides.
                unsafe {
                    let v = clamped(Scalar::<true>, X::widen(*x.add(i)), run.bounds);
                    *row.add(k / BLOCK * tile + k % BLOCK) = rounded(v);
                }
            }
        }
    }
}
