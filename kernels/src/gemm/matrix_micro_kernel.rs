//! The micro-kernel of 8-bit integers by products of matrices (Arm's FEAT_I8MM).
//!
//! ```text
//! for m in 0..M                            // pixels
//!   for n in 0..NR                         // output channels
//!     sum = start(m, n)                    // bias, or what an earlier K range left in y
//!     for k in 0..depth
//!       sum = sum + a[m][k] · b[k][n]
//!     y[m][n] = sum
//! ```
//!
//! Departures: those of `micro_kernel.rs`, except that
//! 1. one instruction multiplies two pixels of eight k by two output channels, twice what a dot
//!    product does: a register holds the sums of two pixels and two channels. The sums begin as
//!    vectors of one pixel each. Zipping the halves of two of them gives two vectors of two pixels;
//!    at the end the same zip undoes this;
//! 2. the rows of `a` are in pairs (`pair_rows.rs`), and of `b` eight k of a channel lie side by
//!    side, `[k / 8][NR][8]`. Beyond the last k weights are zeros;
//! 3. an odd M has a last row whose partner in the panel is another's, or nobody's. Its sums are
//!    dropped;
//! 4. there are instances of whole panels alone, N·lanes = NR, and no epilogue.

use crate::epilogue::Extent;
use crate::gemm::micro_kernel::{
    MicroTiles, barrier, finish, is_tight, prefetch_lines, prefetch_row, start,
};
use crate::gemm::tile::tile_size;
use crate::memory::LINE;
use crate::simd::Simd;
use crate::simd::int8::{Int8Matrix, Int8MatrixKernel};

/// Vectors of sums, by row. While two rows are multiplied, the even one holds both rows' sums of
/// the first half of each vector's columns, and the odd one those of the second half.
type Sums<T, const ROWS: usize, const N: usize> =
    [[<<T as Int8Matrix>::Simd as Simd>::Vector; N]; ROWS];

/// The micro-kernel of M×N vectors, which takes ROWS rows of A: M, or one more if that is odd.
#[derive(Debug)]
pub(crate) struct MatrixMicroKernel<const M: usize, const ROWS: usize, const N: usize>;

impl<const M: usize, const ROWS: usize, const N: usize> Int8MatrixKernel
    for MatrixMicroKernel<M, ROWS, N>
{
    type Args = MicroTiles;
    type Output = ();

    /// # Safety
    /// Where a group of four 8-bit integers counts as an element, and a sum of i32 is stored as the
    /// f32 of its bits:
    /// - `a` begins with an even row of a panel. Each A panel is valid for reading the blocks of
    ///   `depth` k of MR rows.
    /// - `b` is valid for reading `depth`·NR elements, in whole steps of two k of these, `bias` NR
    ///   sums, if there is one.
    /// - The tables of rows have tiles·M offsets each.
    /// - N·lanes is NR. At each of its offsets `y` is valid for reading and writing so many sums;
    ///   no other thread touches them. There is no epilogue.
    #[inline(always)]
    unsafe fn run<T: Int8Matrix>(token: T, t: &MicroTiles) {
        const { assert!(ROWS == M.next_multiple_of(2), "rows in pairs") };
        const { assert!(<T::Simd as Simd>::LANES == 4, "for vectors of 128 bits") };
        let simd = token.simd();
        let columns = Extent::<T::Simd> { whole: true, mask: simd.mem_mask(4) };
        for i in 0..t.tiles {
            let y_rows = t.output.y_rows.wrapping_add(i * M);
            // SAFETY: the rows i·M.. of the tables are this tile's, M of each; the columns are N
            // whole vectors; the caller keeps the contract of the panels.
            unsafe {
                let mut of_rows = start::<T::Simd, M, N>(simd, &t.output, y_rows, &columns);
                let mut sums = [[simd.splat(0.0); N]; ROWS];
                for m in 0..M {
                    sums[m] = of_rows[m];
                }
                zip_rows::<T, ROWS, N>(token, &mut sums);
                add_products::<T, M, ROWS, N>(token, t, i, &mut sums);
                zip_rows::<T, ROWS, N>(token, &mut sums);
                for m in 0..M {
                    of_rows[m] = sums[m];
                }
                finish::<T::Simd, M, N>(simd, t, i, &mut of_rows, &columns);
            }
        }
    }
}

/// Vectors of single rows become such of two, and the other way round.
#[inline(always)]
fn zip_rows<T: Int8Matrix, const ROWS: usize, const N: usize>(
    token: T,
    sums: &mut Sums<T, ROWS, N>,
) {
    for row in (0..ROWS).step_by(2) {
        for n in 0..N {
            [sums[row][n], sums[row + 1][n]] = token.zip_halves(sums[row][n], sums[row + 1][n]);
        }
    }
}

/// The k loop of micro-tile `i`.
///
/// # Safety
/// - The tile's A panel is valid for reading the blocks of `depth` groups of k of MR rows.
/// - `b` is valid for reading `depth` groups, in whole steps, of NR columns.
/// - The tables of rows, of what is prefetched and of the residual, have (i + 1)·M offsets.
#[inline(always)]
unsafe fn add_products<T: Int8Matrix, const M: usize, const ROWS: usize, const N: usize>(
    token: T,
    t: &MicroTiles,
    i: usize,
    sums: &mut Sums<T, ROWS, N>,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let size = const { tile_size::<T::Simd>() };
    let mut a = t.a.wrapping_add(i * t.a_step);
    let mut b = t.b.cast::<f32>();
    // A step is eight k, two groups.
    let b_step = 2 * size.nr;
    let (blocks, last) = (t.depth / l, (t.depth % l).div_ceil(2));
    let ahead = (t.prefetch.before + i) * blocks * prefetch_lines::<T::Simd>() * LINE;
    let mut next_b = t.prefetch.next_b.cast::<f32>().wrapping_add(ahead);
    // Row m is prefetched after m / M of the blocks.
    let mut done = 0;
    for m in 0..M {
        // SAFETY: there are offsets up to row (i + 1)·M.
        unsafe { prefetch_row::<T::Simd, N>(simd, t, i * M + m) };
        done += blocks;
        while done >= M {
            done -= M;
            for _ in 0..prefetch_lines::<T::Simd>() {
                simd.prefetch_l2(next_b);
                next_b = next_b.wrapping_add(LINE);
            }
            // SAFETY: this is one of the whole blocks, of two steps, of A and B.
            unsafe {
                step::<T, ROWS, N>(token, a, b, sums);
                step::<T, ROWS, N>(token, a.add(l), b.add(b_step), sums);
            }
            (a, b) = (a.wrapping_add(size.mr * l), b.wrapping_add(2 * b_step));
        }
    }
    for _ in 0..last {
        // SAFETY: a step of the block after the whole ones.
        unsafe { step::<T, ROWS, N>(token, a, b, sums) };
        (a, b) = (a.wrapping_add(l), b.wrapping_add(b_step));
    }
}

/// Eight k: of each pair of rows a vector, against 2·N pairs of columns.
///
/// # Safety
/// - `a` is valid for reading a vector at every other one of ROWS / 2.
/// - `b` is valid for reading 2·N vectors.
#[inline(always)]
unsafe fn step<T: Int8Matrix, const ROWS: usize, const N: usize>(
    token: T,
    a: *const f32,
    b: *const f32,
    sums: &mut Sums<T, ROWS, N>,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let mut pairs = [simd.splat(0.0); ROWS];
    for row in (0..ROWS).step_by(2) {
        // SAFETY: a pair of rows has two vectors in a block, of which this is one.
        pairs[row] = unsafe { simd.load(a.add(row * l)) };
    }
    for n in 0..N {
        for half in 0..2 {
            // SAFETY: one of the 2·N.
            let columns = unsafe { simd.load(b.add((2 * n + half) * l)) };
            for row in (0..ROWS).step_by(2) {
                let sum = &mut sums[row + half][n];
                *sum = token.multiply(pairs[row], columns, *sum);
            }
        }
        // Or all vectors of B would be loaded first.
        if const { is_tight::<T::Simd, ROWS, N>() } {
            barrier(simd, sums);
        }
    }
}
