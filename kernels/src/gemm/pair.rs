//! Makes pairs of bf16 of the f32 of an A panel, in place: what dot products of bf16 multiply.
//!
//! ```text
//! for row in 0..MR
//!   for k in 0..depth / 2
//!     panel'[k][row] = (bf16(panel[2·k][row]), bf16(panel[2·k + 1][row]))
//! ```
//!
//! In the arithmetic bf16 operands are rounded as `round.rs` does.
//!
//! Departures: two blocks of L k of a row (`[k / L][MR][k % L]`) become one of L pairs at a time.
//! It lies no further on than what it is made of, so that nothing is overwritten that is still to
//! be read.

use crate::gemm::round::flushed;
use crate::gemm::tile::tile_size;
use crate::simd::{Bf16Dot, Bf16Kernel, MAX_LANES, Simd, Vector};

/// The kernel; of the arithmetic bf16 if FLUSH.
#[derive(Debug)]
pub(crate) struct Pair<const FLUSH: bool>;

/// One call.
#[derive(Debug)]
pub(crate) struct PairRun {
    /// The panel, in whole blocks of `depth` k of MR rows.
    pub(crate) panel: *mut f32,
    /// k; beyond them pairs are made of zeros.
    pub(crate) depth: usize,
}

impl<const FLUSH: bool> Bf16Kernel for Pair<FLUSH> {
    type Args = PairRun;
    type Output = ();

    /// # Safety
    /// The panel is valid for reading and writing; no other thread touches it.
    #[inline(always)]
    unsafe fn run<T: Bf16Dot>(token: T, run: &PairRun) {
        let l = <T::Simd as Simd>::LANES;
        let block = tile_size::<T::Simd>().mr * l;
        for i in 0..run.depth.div_ceil(2 * l) {
            for row in (0..block).step_by(l) {
                let of_block = |block_of: usize| run.panel.wrapping_add(block_of * block + row);
                let rest = run.depth - 2 * i * l;
                // SAFETY: the panel has the blocks that hold these k, and is valid for reading and
                // writing.
                unsafe {
                    let mut first = first_of(token, of_block(2 * i), rest);
                    let mut second = first_of(token, of_block(2 * i + 1), rest.saturating_sub(l));
                    if FLUSH {
                        first = flushed(token.simd(), first);
                        second = flushed(token.simd(), second);
                    }
                    token.simd().store(of_block(i), token.pairs(first, second));
                }
            }
        }
    }
}

/// The first `n` elements at `p`, or as many as there are lanes; zeros beyond.
///
/// # Safety
/// `p` is valid for reading so many elements.
#[inline(always)]
unsafe fn first_of<T: Bf16Dot>(token: T, p: *const f32, n: usize) -> Vector<T> {
    let l = <T::Simd as Simd>::LANES;
    let mut lanes = [0.0; MAX_LANES];
    // SAFETY: as many elements as are read or copied are valid at `p`, and `lanes` holds at least a
    // vector's.
    unsafe {
        if n >= l {
            return token.simd().load(p);
        }
        core::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
        token.simd().load(lanes.as_ptr())
    }
}
