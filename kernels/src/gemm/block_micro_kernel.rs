//! The micro-kernel of the arithmetic `bf16`: one tile of pixels × output channels, in blocks of 32
//! k.
//!
//! ```text
//! for m in 0..M                            // pixels
//!   for n in 0..NR                         // output channels
//!     sum = start(m, n)                    // bias, or what an earlier K range left in y
//!     for block in 0..ceil(depth / 32)     // k ascending
//!       for odd in 0..2
//!         chain[odd] = +0
//!         for k in (block·32 + odd..min(depth, block·32 + 32)).step_by(2)
//!           chain[odd] = fma(a[m][k], b[k][n], chain[odd])
//!       sum = sum + (chain[0] + chain[1])
//!     y[m][n] = last ? clamp(sum + residual[m][n]) : sum
//! ```
//!
//! This is what tile units do (Intel's `tdpbf16ps`, where k beyond the last are zeros: a chain that
//! begins with +0 is never −0, so that adding zeros would change nothing).
//!
//! Departures: those of `micro_kernel.rs`, except that
//! 1. the M×N registers hold one chain of each output at a time. The even chains of a block are put
//!    aside on the stack while the odd ones run, the sums for both: twice M·N stores and loads for
//!    32·M·N FMAs;
//! 2. there are instances of whole panels alone, N·lanes = NR. What is in a panel beyond the
//!    layer's last channel goes to scratch.

use core::marker::PhantomData;
use core::ops::Range;

use crate::epilogue::Extent;
use crate::gemm::micro_kernel::{
    Chain, MicroTiles, UNROLL, barrier, finish, is_tight, lane_step, prefetch_row, start, step,
};
use crate::gemm::tile::tile_size;
use crate::memory::LINE_BYTES;
use crate::simd::element::Element;
use crate::simd::{Kernel, Simd};

/// k of a block.
pub(crate) const BLOCK: usize = 32;

/// The micro-kernel of M×N vectors for weights of elements B, of which each is a bf16.
#[derive(Debug)]
pub(crate) struct BlockMicroKernel<B, const M: usize, const N: usize>(PhantomData<B>);

impl<B: Element, const M: usize, const N: usize> Kernel for BlockMicroKernel<B, M, N> {
    type Args = MicroTiles;
    type Output = ();

    /// # Safety
    /// - Each A panel is valid for reading the blocks of `depth` k of MR rows.
    /// - `b` is valid for reading `depth`·NR elements B, `bias` NR elements, if there is one.
    /// - The tables of rows have tiles·M offsets each.
    /// - N·lanes is NR. At each of its offsets `y` is valid for reading and writing so many
    ///   elements, the residual, if there is one, for reading them; no other thread touches those
    ///   of `y`.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, t: &MicroTiles) {
        let columns = Extent::<S> { whole: true, mask: simd.mem_mask(S::LANES) };
        for i in 0..t.tiles {
            let y_rows = t.output.y_rows.wrapping_add(i * M);
            // SAFETY: the rows i·M.. of the tables are this tile's, M of each; the columns are N
            // whole vectors; the caller keeps the contract of the panels.
            unsafe {
                let mut sums = start::<S, M, N>(simd, &t.output, y_rows, &columns);
                add_blocks::<S, B, M, N>(simd, t, i, &mut sums);
                finish::<S, M, N>(simd, t, i, &mut sums, &columns);
            }
        }
    }
}

/// The blocks of micro-tile `i`.
///
/// # Safety
/// - The tile's A panel is valid for reading the blocks of `depth` k of MR rows.
/// - `b` is valid for reading `depth`·NR elements.
/// - The tables of rows, of what is prefetched and of the residual, have (i + 1)·M offsets.
#[inline(always)]
unsafe fn add_blocks<S: Simd, B: Element, const M: usize, const N: usize>(
    simd: S,
    t: &MicroTiles,
    i: usize,
    sums: &mut [[S::Vector; N]; M],
) {
    let size = const { tile_size::<S>() };
    let mut a = t.a.wrapping_add(i * t.a_step);
    let mut b = t.b.cast::<B::Bits>();
    let blocks = t.depth.div_ceil(BLOCK);
    // A block of the next B panel has NR cache lines: with eight micro-tiles or more to a tile of
    // pixels, all of them are prefetched.
    let lines = size.nr.div_ceil(8);
    let ahead = (t.prefetch.before + i) * blocks * lines;
    let mut next_b = t.prefetch.next_b.wrapping_add(ahead * LINE_BYTES);
    let mut rows = Rows { row: i * M, done: 0, chains: 2 * blocks };
    for block in 0..blocks {
        for _ in 0..lines {
            simd.prefetch_l2(next_b);
            next_b = next_b.wrapping_add(LINE_BYTES);
        }
        let depth = BLOCK.min(t.depth - block * BLOCK);
        // SAFETY: so many k are left of A and B from here on; M rows are prefetched in all.
        let (even, odd) = unsafe {
            rows.prefetch::<S, M, N>(simd, t);
            let even = chain::<S, B, M, N, 0>(simd, a, b, depth);
            rows.prefetch::<S, M, N>(simd, t);
            (even, chain::<S, B, M, N, 1>(simd, a, b, depth))
        };
        for m in 0..M {
            for n in 0..N {
                sums[m][n] = simd.add(sums[m][n], simd.add(even[m][n], odd[m][n]));
            }
        }
        (a, b) = (a.wrapping_add(BLOCK * size.mr), b.wrapping_add(BLOCK * size.nr));
    }
}

/// What is prefetched row by row, evenly over the chains.
struct Rows {
    /// The next one.
    row: usize,
    /// Rows times chains that are due.
    done: usize,
    chains: usize,
}

impl Rows {
    /// Prefetches what is due with the next chain.
    ///
    /// # Safety
    /// The tables of `t`, of what is prefetched and of the residual, have M offsets from the first
    /// row on, and this is called once for each of the chains.
    #[inline(always)]
    unsafe fn prefetch<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        t: &MicroTiles,
    ) {
        self.done += M;
        while self.done >= self.chains {
            self.done -= self.chains;
            // SAFETY: one of the M rows.
            unsafe { prefetch_row::<S, N>(simd, t, self.row) };
            self.row += 1;
        }
    }
}

/// The chains over the even k of a block, or the odd ones: of all k that are `ODD` modulo 2.
///
/// # Safety
/// - `a` is valid for reading blocks of `depth` k of MR rows.
/// - `b` is valid for reading `depth`·NR elements.
#[inline(always)]
unsafe fn chain<S: Simd, B: Element, const M: usize, const N: usize, const ODD: usize>(
    simd: S,
    mut a: *const f32,
    mut b: *const B::Bits,
    depth: usize,
) -> [[S::Vector; N]; M] {
    let (l, size) = (S::LANES, const { tile_size::<S>() });
    let chain = Chain::<B>(PhantomData);
    let mut acc = [[simd.splat(0.0); N]; M];
    if l == 1 || depth < BLOCK {
        for k in (ODD..depth).step_by(2) {
            // SAFETY: k < `depth`.
            unsafe {
                let a = a.add(k / l * size.mr * l + k % l);
                step::<S, _, M, N>(simd, chain, a, l, b.add(k * size.nr), &mut acc);
            }
        }
        return acc;
    }
    for _ in 0..BLOCK / l {
        if S::BY_LANES {
            // SAFETY: L k of A and B are left from here on.
            unsafe { lanes::<S, B, M, N, ODD>(simd, a, b, &mut acc) };
        } else {
            for first in (ODD..l).step_by(2 * UNROLL) {
                for k in 0..UNROLL {
                    let k = first + 2 * k;
                    // SAFETY: k < L, which is a multiple of 2·UNROLL; so many are left from here
                    // on.
                    unsafe {
                        step::<S, _, M, N>(simd, chain, a.add(k), l, b.add(k * size.nr), &mut acc);
                    }
                    barrier(simd, &mut acc);
                }
            }
        }
        (a, b) = (a.wrapping_add(l * size.mr), b.wrapping_add(l * size.nr));
    }
    acc
}

/// Two of L = 4 k, if an FMA takes a lane as a factor: all rows at once if there are registers for
/// that; else one half after the other, and B twice.
///
/// # Safety
/// - `a` is valid for reading a block of L k of MR rows.
/// - `b` is valid for reading L·NR elements.
#[inline(always)]
unsafe fn lanes<S: Simd, B: Element, const M: usize, const N: usize, const ODD: usize>(
    simd: S,
    a: *const f32,
    b: *const B::Bits,
    acc: &mut [[S::Vector; N]; M],
) {
    let rows = const { if is_tight::<S, M, N>() { M.div_ceil(2) } else { M } };
    // SAFETY: the caller keeps the contract, and both ranges lie in 0..M.
    unsafe {
        lanes_of_rows::<S, B, M, N, ODD>(simd, 0..rows, a, b, acc);
        if rows < M {
            lanes_of_rows::<S, B, M, N, ODD>(simd, rows..M, a, b, acc);
        }
    }
}

/// Some rows of two of L = 4 k.
///
/// # Safety
/// - `a` is valid for reading a block of L k of MR rows.
/// - `b` is valid for reading L·NR elements.
#[inline(always)]
unsafe fn lanes_of_rows<S: Simd, B: Element, const M: usize, const N: usize, const ODD: usize>(
    simd: S,
    rows: Range<usize>,
    a: *const f32,
    b: *const B::Bits,
    acc: &mut [[S::Vector; N]; M],
) {
    let nr = const { tile_size::<S>().nr };
    let chain = Chain::<B>(PhantomData);
    let mut block = [simd.splat(0.0); M];
    for m in rows.clone() {
        // SAFETY: row m < MR has L elements, a vector.
        block[m] = unsafe { simd.load(a.add(m * S::LANES)) };
    }
    // Not a loop: a lane is part of the instruction.
    const { assert!(!S::BY_LANES || S::LANES == 4) };
    // SAFETY: L is 4 where this is compiled, and each of four k of B has NR elements.
    unsafe {
        if ODD == 0 {
            lane_step::<S, _, M, N, 0>(simd, chain, rows.clone(), &block, b, acc);
            lane_step::<S, _, M, N, 2>(simd, chain, rows, &block, b.add(2 * nr), acc);
        } else {
            lane_step::<S, _, M, N, 1>(simd, chain, rows.clone(), &block, b.add(nr), acc);
            lane_step::<S, _, M, N, 3>(simd, chain, rows, &block, b.add(3 * nr), acc);
        }
    }
}
