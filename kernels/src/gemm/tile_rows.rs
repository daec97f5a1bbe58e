//! Turns the f32 of an A panel into rows of bf16 tiles, which tile registers multiply, in place.
//! Rounds as `round.rs` does.
//!
//! ```text
//! for k in 0..ceil(depth / 32)·32
//!   for row in 0..rows
//!     tiles[k / 32][row][k % 32] = k < depth ? rounded(panel[k / L][row][k % L]) : 0
//! ```
//!
//! Departures: 32 / L blocks of a row become one row of a tile at a time. With L of 16 it lies no
//! further on than what it is made of, so that nothing is overwritten that is still to be read.
//! (What lies beyond the last k was never written. In B there are zeros, but 0·NaN is NaN.)

use crate::gemm::block_micro_kernel::BLOCK;
use crate::gemm::round::flushed;
use crate::gemm::tile::TILE_ROWS;
use crate::simd::element::{Bf16, Element};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// The number of each lane.
static NUMBERS: [f32; MAX_LANES] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// The kernel.
#[derive(Debug)]
#[allow(dead_code, reason = "of levels with tile registers")]
pub(crate) struct TileRows;

/// One call.
#[derive(Debug)]
pub(crate) struct TileRowsRun {
    /// A panel of [`TILE_ROWS`] rows, in whole blocks of `depth` k.
    pub(crate) panel: *mut f32,
    /// Rows that are used.
    pub(crate) rows: usize,
    pub(crate) depth: usize,
}

impl Kernel for TileRows {
    type Args = TileRowsRun;
    type Output = ();

    /// # Safety
    /// - The panel is valid for reading and writing `depth` k, in whole blocks of 32, of its rows;
    ///   no other thread touches it.
    /// - `rows` ≤ [`TILE_ROWS`].
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &TileRowsRun) {
        const { assert!(2 * S::LANES == BLOCK, "for vectors of 16 lanes") };
        let block = TILE_ROWS * S::LANES;
        for step in 0..run.depth.div_ceil(BLOCK) {
            let rest = run.depth - step * BLOCK;
            for row in 0..run.rows {
                let from = run.panel.wrapping_add(2 * step * block + row * S::LANES);
                let to = run.panel.wrapping_add(step * block + row * S::LANES).cast::<u16>();
                // SAFETY: the panel has the two blocks that hold these k of the row, and a row of
                // a tile is as long as a row of one block.
                unsafe {
                    let (mut first, mut second) = (simd.load(from), simd.load(from.add(block)));
                    if rest < BLOCK {
                        first = first_lanes(simd, first, rest, 0);
                        second = first_lanes(simd, second, rest, S::LANES);
                    }
                    Bf16::store(simd, to, flushed(simd, first));
                    Bf16::store(simd, to.add(S::LANES), flushed(simd, second));
                }
            }
        }
    }
}

/// `v` with zeros in the lanes whose k, from `k` on, are not among the first `count`.
#[inline(always)]
fn first_lanes<S: Simd>(simd: S, v: S::Vector, count: usize, k: usize) -> S::Vector {
    // SAFETY: as many numbers as there are lanes, or more.
    let numbers = unsafe { simd.load(NUMBERS.as_ptr()) };
    let is_first = simd.less_than(numbers, simd.splat(count as f32 - k as f32));
    simd.select(is_first, v, simd.splat(0.0))
}
