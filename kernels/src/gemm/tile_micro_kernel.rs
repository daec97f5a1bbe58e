//! The micro-kernels by tile registers (AMX), of the arithmetic `bf16` and of 8-bit integers: pairs
//! of A panels × 32 output channels.
//!
//! ```text
//! for m in 0..panels·rows                  // pixels
//!   for n in 0..32                         // output channels
//!     sum = first block ? bias[n] : sums[m][n]
//!     for step in 0..ceil(depth / 32)      // k ascending; of integers, depth / 64
//!       sum = sum + (chain over even k + chain over odd k)     // tdpbf16ps
//!       sum = sum + a[m][k]·b[k][n] + … for the step's k       // of integers, tdpbusd
//!     sums[m][n] = sum
//! ```
//!
//! Of bf16 this is what `block_micro_kernel.rs` computes, to the bit: tile units read subnormal
//! numbers as zeros and write none, but none arise (see `round.rs`); k beyond the last are zeros in
//! both operands. Sums of integers are exact in any order; k beyond the last are zeros in B. An A
//! panel of VNNI's integers with as many rows as a tile is tiles already: a block is a row of 64.
//!
//! Departures:
//! 1. Four tiles of sums: two panels of up to 16 rows by two tiles of 16 columns, so that each tile
//!    that is loaded is multiplied twice, and four products are under way.
//! 2. The rows of all panels are equally many, as few as hold the tile's pixels: one configuration
//!    does for the whole tile. What the last rows hold beyond the last pixel nobody reads.
//! 3. Sums go to scratch, which stays in L1, and never to the output, whose rows lie too far apart.
//!    Residual, activation and rounding follow from there.
//! 4. Prefetched are the next panel of B, the output's rows, and the input of the next tile of
//!    pixels, as in `micro_kernel.rs`.

use crate::gemm::block_micro_kernel::BLOCK;
use crate::gemm::micro_kernel::MicroTiles;
use crate::gemm::tile::TILE_ROWS;
use crate::memory::LINE_BYTES;
use crate::simd::amx::{MAX_STEPS, Multiply, TILE, multiply};
use crate::simd::{Kernel, Simd};

/// Output channels of a micro-tile.
pub(crate) const TILE_NR: usize = 2 * TILE;

const _: () = assert!(TILE_ROWS == TILE && BLOCK == 2 * TILE);

/// The micro-kernel of bf16; INTEGERS: of 8-bit integers, unsigned in A, signed in B.
#[derive(Debug)]
pub(crate) struct TileMicroKernel<const INTEGERS: bool>;

impl<const INTEGERS: bool> Kernel for TileMicroKernel<INTEGERS> {
    type Args = MicroTiles;
    type Output = ();

    /// # Safety
    /// Where of integers a group of four along k counts as one k, 16 of which are a step, and a sum
    /// of i32 is stored as the f32 of its bits:
    /// - The thread's tiles are configured for `rows` rows; the panels are an even number.
    /// - 1 ≤ `depth` ≤ [`MAX_STEPS`] steps of 32 k, and there is no epilogue.
    /// - Each A panel is valid for reading tiles of `rows` rows for `depth` k.
    /// - `b` is valid for reading `depth` k, in whole steps, of pairs of [`TILE_NR`] columns, of
    ///   integers of groups; `bias` [`TILE_NR`] elements, if there is one.
    /// - `y` is valid for reading and writing [`TILE_NR`] elements for each row, side by side from
    ///   the first offset on; no other thread touches them.
    /// - The tables of rows have tiles·`rows` offsets each, that of what is prefetched of y as many
    ///   as two more panels of 16 rows had behind the last pair's first.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, t: &MicroTiles) {
        let steps = t.depth.div_ceil(if INTEGERS { TILE } else { BLOCK });
        debug_assert!((1..=MAX_STEPS).contains(&steps) && t.tiles.is_multiple_of(2));
        let (prefetch, output) = (&t.prefetch, &t.output);
        for pair in 0..t.tiles / 2 {
            let first = 2 * pair * t.rows;
            let a = t.a.wrapping_add(2 * pair * t.a_step);
            // SAFETY: the tables have offsets for the rows of this pair, of which there are
            // 2·`rows`; the caller keeps the contract of the operands.
            unsafe {
                // What the loop over k is too short for.
                for row in first..first + 2 * t.rows {
                    if row >= first + 2 * steps {
                        let y = (*prefetch.y_rows.add(row)).wrapping_mul(prefetch.y_size);
                        simd.prefetch_write(prefetch.y.wrapping_add(y));
                    }
                    let x = prefetch.x.wrapping_add(*prefetch.x_rows.add(row));
                    for line in 0..prefetch.x_lines {
                        simd.prefetch_l2(x.wrapping_add(line * LINE_BYTES));
                    }
                }
                let sums = output.y.add(*output.y_rows.add(first));
                let sums = [sums, sums.add(t.rows * TILE_NR)];
                let bias = output.bias.map(|bias| [bias.as_ptr().cast_const(); 2]);
                let run = Multiply {
                    a: [a.cast(), a.wrapping_add(t.a_step).cast()],
                    b: t.b,
                    steps,
                    start: bias.unwrap_or(sums.map(<*mut f32>::cast_const)),
                    start_is_of_rows: bias.is_none(),
                    sums,
                    next_b: prefetch.next_b.wrapping_add(pair * steps * 8 * LINE_BYTES),
                    y: prefetch.y,
                    y_rows: prefetch.y_rows.add(first),
                };
                match prefetch.y_size {
                    1 => multiply::<1, INTEGERS>(&run),
                    2 => multiply::<2, INTEGERS>(&run),
                    _ => multiply::<4, INTEGERS>(&run),
                }
            }
        }
    }
}
