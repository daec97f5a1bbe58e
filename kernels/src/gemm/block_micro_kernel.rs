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
//! 1. registers hold both chains of R of the M rows, and the sums lie on the stack: R rows after R
//!    rows, each block is multiplied and added to its sums, which costs a load and a store of M·N
//!    vectors for 32·M·N FMAs. B's block stays in L1 meanwhile. (With one chain of all rows in
//!    registers, the even chains are stored as well, as soon as their last FMAs are done. That took
//!    1.1 times as long at 19²·728→728 on an Intel CPU, Emerald Rapids);
//! 2. there are instances of whole panels alone, N·lanes = NR. What is in a panel beyond the
//!    layer's last channel goes to scratch;
//! 3. where there is no FMA, products are rounded before they are added, and micro-tiles whose sums
//!    come out infinite or NaN are computed again with emulated FMAs. The bits are the same: a
//!    product of two bf16 has 16 significant bits and is 0 or of 2⁻¹¹² or more (`round.rs`), so
//!    that it is an f32, unless it is 2¹²⁸ or more. Then it becomes infinite, and so does or NaN
//!    all that it is added to;
//! 4. where a CPU multiplies bf16 and adds to f32 with one rounding (Arm's FEAT_BF16), an element
//!    of `a` and of `b` can be a pair of bf16 along k. Of each pair of `b` an instruction takes the
//!    even one or the odd one, for the chain it is for: nothing is widened.

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use crate::epilogue::Extent;
use crate::gemm::micro_kernel::{
    Chain, MicroTiles, MulAndAdd, Output, Product, barrier, finish, lane_step, prefetch_row, step,
    steps,
};
use crate::gemm::tile::tile_size;
use crate::memory::LINE_BYTES;
use crate::simd::element::Element;
use crate::simd::{Bf16Fma, Bf16FmaKernel, Kernel, MAX_LANES, Simd};

/// k of a block.
pub(crate) const BLOCK: usize = 32;

/// The micro-kernel of M×N vectors, R rows of them at a time, for weights of elements B, of which
/// each is a bf16.
#[derive(Debug)]
pub(crate) struct BlockMicroKernel<B, const M: usize, const N: usize, const R: usize>(
    PhantomData<B>,
);

impl<B: Element, const M: usize, const N: usize, const R: usize> Kernel
    for BlockMicroKernel<B, M, N, R>
{
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
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe {
            if const { S::LEVEL.has_fma() } {
                micro_tiles::<S, _, M, N, R>(simd, Chain::<B>(PhantomData), t);
            } else {
                micro_tiles::<S, _, M, N, R>(simd, MulAndAdd::<B>(PhantomData), t);
            }
        }
    }
}

/// The micro-kernel of M×N vectors, R rows of them at a time, for pairs of bf16.
#[derive(Debug)]
#[allow(dead_code, reason = "of levels with multiply-adds of bf16")]
pub(crate) struct PairMicroKernel<const M: usize, const N: usize, const R: usize>;

impl<const M: usize, const N: usize, const R: usize> Bf16FmaKernel for PairMicroKernel<M, N, R> {
    type Args = MicroTiles;
    type Output = ();

    /// # Safety
    /// - Each A panel is valid for reading the blocks of `depth` k of MR rows, in pairs.
    /// - `b` is valid for reading `depth`·NR bf16, in pairs along k, `bias` NR f32, if there is
    ///   one.
    /// - The tables of rows have tiles·M offsets each.
    /// - N·lanes is NR. At each of its offsets `y` is valid for reading and writing so many f32,
    ///   the residual, if there is one, for reading them; no other thread touches those of `y`.
    #[inline(always)]
    unsafe fn run<T: Bf16Fma>(token: T, t: &MicroTiles) {
        // SAFETY: the caller keeps the contract, which is the same with pairs for elements.
        unsafe { micro_tiles::<T::Simd, Pairs<T>, M, N, R>(token.simd(), Pairs(token), t) }
    }
}

/// All micro-tiles of the column.
///
/// # Safety
/// That of the kernels, of which `chains` knows the elements.
#[inline(always)]
unsafe fn micro_tiles<S: Simd, C: Chains<S>, const M: usize, const N: usize, const R: usize>(
    simd: S,
    chains: C,
    t: &MicroTiles,
) {
    const { assert!(M.is_multiple_of(R), "as many rows each time") };
    let columns = Extent::<S> { whole: true, mask: simd.mem_mask(S::LANES) };
    for i in 0..t.tiles {
        let mut sums = MaybeUninit::<[[S::Vector; N]; M]>::uninit();
        // SAFETY: the rows i·M.. of the tables are this tile's, M of each; the columns are N whole
        // vectors; the caller keeps the contract of the panels.
        unsafe {
            begin::<S, M, N>(simd, t, i, sums.as_mut_ptr());
            let sums = sums.assume_init_mut();
            add_blocks::<S, C, M, N, R>(simd, chains, t, i, sums);
            if let Some(fused) = chains.fused()
                && !are_finite(simd, sums)
            {
                begin::<S, M, N>(simd, t, i, sums);
                add_blocks_again::<S, C::Fused, M, N, R>(simd, fused, t, i, sums);
            }
            for (pass, rows) in sums.as_chunks_mut::<R>().0.iter_mut().enumerate() {
                finish::<S, R, N>(simd, t, i * (M / R) + pass, rows, &columns);
            }
        }
    }
}

/// Writes what the sums of micro-tile `i` begin with: bias, or what is in y.
///
/// # Safety
/// - Those of [`micro_tiles`].
/// - `sums` is valid for writing.
#[inline(always)]
unsafe fn begin<S: Simd, const M: usize, const N: usize>(
    simd: S,
    t: &MicroTiles,
    i: usize,
    sums: *mut [[S::Vector; N]; M],
) {
    let Output { bias, y, y_rows, .. } = &t.output;
    for m in 0..M {
        // SAFETY: the table has M rows from i·M on; bias or y have N vectors there, and so has the
        // row of `sums`.
        unsafe {
            let from = match bias {
                Some(bias) => bias.as_ptr(),
                None => y.add(*y_rows.add(i * M + m)),
            };
            let to = sums.cast::<S::Vector>().add(m * N);
            for n in 0..N {
                to.add(n).write(simd.load(from.add(n * S::LANES)));
            }
        }
    }
}

/// What A and B hold.
trait Chains<S: Simd>: Copy {
    /// An element of B, or several.
    type Bits;

    /// k of an element of A and of B.
    const K: usize;

    /// The same by fused multiply-adds.
    type Fused: Chains<S>;

    /// It, if these chains are only right where all are finite.
    #[inline(always)]
    fn fused(self) -> Option<Self::Fused> {
        None
    }

    /// The chains of a block, over the even k and over the odd ones, of R rows.
    ///
    /// # Safety
    /// - `a` is valid for reading blocks of `depth` k of R rows, where a panel has MR.
    /// - `b` is valid for reading `depth` k of NR columns.
    unsafe fn chains<const R: usize, const N: usize>(
        self,
        simd: S,
        a: *const f32,
        b: *const Self::Bits,
        depth: usize,
    ) -> [[[S::Vector; N]; R]; 2];
}

/// Pairs of bf16.
#[derive(Clone, Copy)]
struct Pairs<T>(T);

/// Whether no lane is infinite or NaN.
#[inline(always)]
fn are_finite<S: Simd, const M: usize, const N: usize>(
    simd: S,
    sums: &[[S::Vector; N]; M],
) -> bool {
    let mut zeros = simd.splat(0.0);
    for &v in sums.as_flattened() {
        // NaN of what is not finite, and then for good.
        zeros = simd.add(zeros, simd.sub(v, v));
    }
    let mut lanes = [0.0_f32; MAX_LANES];
    // SAFETY: that many elements are at least a vector.
    unsafe { simd.store(lanes.as_mut_ptr(), zeros) };
    lanes.iter().all(|&lane| lane == 0.0)
}

/// [`add_blocks`], where it is seldom called. It need not be inlined: levels without FMA are those
/// that every CPU of the compilation target has.
///
/// # Safety
/// That of [`add_blocks`].
#[cold]
#[inline(never)]
unsafe fn add_blocks_again<
    S: Simd,
    C: Chains<S>,
    const M: usize,
    const N: usize,
    const R: usize,
>(
    simd: S,
    chains: C,
    t: &MicroTiles,
    i: usize,
    sums: &mut [[S::Vector; N]; M],
) {
    // SAFETY: the caller keeps the contract, which is the same.
    unsafe { add_blocks::<S, C, M, N, R>(simd, chains, t, i, sums) }
}

/// The blocks of micro-tile `i`.
///
/// # Safety
/// - The tile's A panel is valid for reading the blocks of `depth` k of MR rows.
/// - `b` is valid for reading `depth`·NR elements.
/// - The tables of rows, of what is prefetched and of the residual, have (i + 1)·M offsets.
#[inline(always)]
unsafe fn add_blocks<S: Simd, C: Chains<S>, const M: usize, const N: usize, const R: usize>(
    simd: S,
    chains: C,
    t: &MicroTiles,
    i: usize,
    sums: &mut [[S::Vector; N]; M],
) {
    let size = const { tile_size::<S>() };
    let mut a = t.a.wrapping_add(i * t.a_step);
    let mut b = t.b.cast::<C::Bits>();
    let blocks = t.depth.div_ceil(BLOCK);
    // A block of the next B panel has NR cache lines: with eight micro-tiles or more to a tile of
    // pixels, all of them are prefetched.
    let lines = size.nr.div_ceil(8);
    let ahead = (t.prefetch.before + i) * blocks * lines;
    let mut next_b = t.prefetch.next_b.wrapping_add(ahead * LINE_BYTES);
    let mut rows = Rows { row: i * M, done: 0, passes: M / R * blocks };
    for block in 0..blocks {
        for _ in 0..lines {
            simd.prefetch_l2(next_b);
            next_b = next_b.wrapping_add(LINE_BYTES);
        }
        let depth = BLOCK.min(t.depth - block * BLOCK);
        for (pass, sums) in sums.as_chunks_mut::<R>().0.iter_mut().enumerate() {
            let a = a.wrapping_add(pass * R * S::LANES);
            // SAFETY: so many k are left of A and B from here on, of these R rows, too; M rows are
            // prefetched in all.
            let [even, odd] = unsafe {
                rows.prefetch::<S, M, N>(simd, t);
                chains.chains::<R, N>(simd, a, b, depth)
            };
            for m in 0..R {
                for n in 0..N {
                    sums[m][n] = simd.add(sums[m][n], simd.add(even[m][n], odd[m][n]));
                }
            }
        }
        let elements = BLOCK / C::K;
        (a, b) = (a.wrapping_add(elements * size.mr), b.wrapping_add(elements * size.nr));
    }
}

/// What is prefetched row by row, evenly over the passes: R rows of a block each.
struct Rows {
    /// The next one.
    row: usize,
    /// Rows times passes that are due.
    done: usize,
    passes: usize,
}

impl Rows {
    /// Prefetches what is due with the next pass.
    ///
    /// # Safety
    /// The tables of `t`, of what is prefetched and of the residual, have M offsets from the first
    /// row on, and this is called once for each of the passes.
    #[inline(always)]
    unsafe fn prefetch<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        t: &MicroTiles,
    ) {
        self.done += M;
        while self.done >= self.passes {
            self.done -= self.passes;
            // SAFETY: one of the M rows.
            unsafe { prefetch_row::<S, N>(simd, t, self.row) };
            self.row += 1;
        }
    }
}

/// No chains: there is no value. [`add_blocks_again`] of it has no instructions that want a
/// function's `target_feature`.
#[derive(Clone, Copy)]
enum NoChains {}

impl<S: Simd> Chains<S> for NoChains {
    type Bits = f32;
    type Fused = Self;

    const K: usize = 1;

    #[inline(always)]
    unsafe fn chains<const R: usize, const N: usize>(
        self,
        _: S,
        _: *const f32,
        _: *const f32,
        _: usize,
    ) -> [[[S::Vector; N]; R]; 2] {
        match self {}
    }
}

// f32 in A, elements B in B.
impl<S: Simd, B: Element> Chains<S> for Chain<B> {
    type Bits = B::Bits;
    type Fused = NoChains;

    const K: usize = 1;

    #[inline(always)]
    unsafe fn chains<const R: usize, const N: usize>(
        self,
        simd: S,
        a: *const f32,
        b: *const B::Bits,
        depth: usize,
    ) -> [[[S::Vector; N]; R]; 2] {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { chains_of::<S, _, R, N>(simd, self, a, b, depth) }
    }
}

// The same, of products that are f32.
impl<S: Simd, B: Element> Chains<S> for MulAndAdd<B> {
    type Bits = B::Bits;
    type Fused = Chain<B>;

    const K: usize = 1;

    #[inline(always)]
    fn fused(self) -> Option<Chain<B>> {
        Some(Chain(PhantomData))
    }

    #[inline(always)]
    unsafe fn chains<const R: usize, const N: usize>(
        self,
        simd: S,
        a: *const f32,
        b: *const B::Bits,
        depth: usize,
    ) -> [[[S::Vector; N]; R]; 2] {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { chains_of::<S, _, R, N>(simd, self, a, b, depth) }
    }
}

/// [`Chains::chains`] of f32 in A.
///
/// # Safety
/// - `a` is valid for reading blocks of `depth` k of R rows, where a panel has MR.
/// - `b` is valid for reading `depth`·NR elements.
#[inline(always)]
unsafe fn chains_of<S: Simd, P: Product<S>, const R: usize, const N: usize>(
    simd: S,
    product: P,
    mut a: *const f32,
    mut b: *const P::Bits,
    depth: usize,
) -> [[[S::Vector; N]; R]; 2] {
    let (l, size) = (S::LANES, const { tile_size::<S>() });
    let mut acc = [[[simd.splat(0.0); N]; R]; 2];
    if l == 1 || depth < BLOCK {
        let [even, odd] = &mut acc;
        for k in (0..depth).step_by(2) {
            // SAFETY: k < `depth`, and so is k + 1 where it is multiplied.
            unsafe {
                let (a, b) = (a.add(k / l * size.mr * l + k % l), b.add(k * size.nr));
                step::<S, P, R, N>(simd, product, a, l, b, even);
                if k + 1 < depth {
                    // L is 1 or even.
                    let a = if l == 1 { a.add(size.mr) } else { a.add(1) };
                    step::<S, P, R, N>(simd, product, a, l, b.add(size.nr), odd);
                }
            }
        }
        return acc;
    }
    let steps = steps(simd);
    let unroll = const { if S::UNROLL < 2 { 2 } else { S::UNROLL } };
    for _ in 0..BLOCK / l {
        if S::BY_LANES {
            // SAFETY: L k of A and B are left from here on.
            unsafe { lanes::<S, P, R, N>(simd, product, a, b, &mut acc) };
        } else {
            for first in (0..steps).step_by(unroll) {
                for k in 0..unroll {
                    let acc = &mut acc[k % 2];
                    let k = first + k;
                    // SAFETY: k < L, which is a multiple of `unroll`; so many are left from here
                    // on.
                    unsafe {
                        let (a, b) = (a.add(k), b.add(k * size.nr));
                        step::<S, P, R, N>(simd, product, a, l, b, acc);
                    }
                    barrier(simd, acc);
                }
            }
        }
        (a, b) = (a.wrapping_add(l * size.mr), b.wrapping_add(l * size.nr));
    }
    acc
}

/// Keeps the compiler from beginning the next step early where registers are scarce: then
/// accumulators would spill.
#[inline(always)]
fn separate<S: Simd, const R: usize, const N: usize>(
    simd: S,
    even: &mut [[S::Vector; N]; R],
    odd: &mut [[S::Vector; N]; R],
) {
    // Both chains, a vector of A per row, those of B, and one that is being widened.
    if const { 2 * R * N + R + N + 1 >= S::REGISTERS } {
        barrier(simd, even);
        barrier(simd, odd);
    }
}

/// L = 4 k, if an FMA takes a lane as a factor.
///
/// # Safety
/// - `a` is valid for reading L k of R rows.
/// - `b` is valid for reading L·NR elements.
#[inline(always)]
unsafe fn lanes<S: Simd, P: Product<S>, const R: usize, const N: usize>(
    simd: S,
    product: P,
    a: *const f32,
    b: *const P::Bits,
    [even, odd]: &mut [[[S::Vector; N]; R]; 2],
) {
    let nr = const { tile_size::<S>().nr };
    let mut block = [simd.splat(0.0); R];
    for (m, v) in block.iter_mut().enumerate() {
        // SAFETY: row m < R has L elements, a vector.
        *v = unsafe { simd.load(a.add(m * S::LANES)) };
    }
    // Not a loop: a lane is part of the instruction.
    const { assert!(!S::BY_LANES || S::LANES == 4) };
    // SAFETY: L is 4 where this is compiled, and each of four k of B has NR elements.
    unsafe {
        lane_step::<S, P, R, N, 0>(simd, product, 0..R, &block, b, even);
        separate(simd, even, odd);
        lane_step::<S, P, R, N, 1>(simd, product, 0..R, &block, b.add(nr), odd);
        separate(simd, even, odd);
        lane_step::<S, P, R, N, 2>(simd, product, 0..R, &block, b.add(2 * nr), even);
        separate(simd, even, odd);
        lane_step::<S, P, R, N, 3>(simd, product, 0..R, &block, b.add(3 * nr), odd);
        separate(simd, even, odd);
    }
}

impl<T: Bf16Fma> Chains<T::Simd> for Pairs<T> {
    // A pair, of the size of an f32.
    type Bits = f32;
    type Fused = NoChains;

    const K: usize = 2;

    #[inline(always)]
    unsafe fn chains<const R: usize, const N: usize>(
        self,
        simd: T::Simd,
        mut a: *const f32,
        mut b: *const f32,
        depth: usize,
    ) -> [[[<T::Simd as Simd>::Vector; N]; R]; 2] {
        let (l, size) = (<T::Simd as Simd>::LANES, const { tile_size::<T::Simd>() });
        const { assert!(<T::Simd as Simd>::LANES == 4, "for vectors of 128 bits") };
        let mut acc = [[[simd.splat(0.0); N]; R]; 2];
        let [even, odd] = &mut acc;
        let mut block = [simd.splat(0.0); R];
        if depth < BLOCK {
            for pair in 0..depth.div_ceil(2) {
                // SAFETY: the pair holds k = 2·pair < `depth`, and the next one where it is
                // multiplied.
                unsafe {
                    let a = a.add(pair / l * size.mr * l + pair % l);
                    let b = b.add(pair * size.nr);
                    for (m, v) in block.iter_mut().enumerate() {
                        *v = simd.splat(*a.add(m * l));
                    }
                    element_step::<T, R, N, 0>(self.0, &block, b, even);
                    if 2 * pair + 1 < depth {
                        element_step::<T, R, N, 1>(self.0, &block, b, odd);
                    }
                }
            }
            return acc;
        }
        for _ in 0..BLOCK / (2 * l) {
            // Not a loop: an element's number is part of the instruction.
            // SAFETY: L pairs of A and B are left from here on, of R rows and NR columns.
            unsafe {
                for (m, v) in block.iter_mut().enumerate() {
                    *v = simd.load(a.add(m * l));
                }
                element_step::<T, R, N, 0>(self.0, &block, b, even);
                separate(simd, even, odd);
                element_step::<T, R, N, 1>(self.0, &block, b, odd);
                separate(simd, even, odd);
                element_step::<T, R, N, 2>(self.0, &block, b.add(size.nr), even);
                separate(simd, even, odd);
                element_step::<T, R, N, 3>(self.0, &block, b.add(size.nr), odd);
                separate(simd, even, odd);
                element_step::<T, R, N, 4>(self.0, &block, b.add(2 * size.nr), even);
                separate(simd, even, odd);
                element_step::<T, R, N, 5>(self.0, &block, b.add(2 * size.nr), odd);
                separate(simd, even, odd);
                element_step::<T, R, N, 6>(self.0, &block, b.add(3 * size.nr), even);
                separate(simd, even, odd);
                element_step::<T, R, N, 7>(self.0, &block, b.add(3 * size.nr), odd);
                separate(simd, even, odd);
            }
            (a, b) = (a.wrapping_add(l * size.mr), b.wrapping_add(l * size.nr));
        }
        acc
    }
}

/// One k: N vectors of pairs of B against one element of R vectors of A.
///
/// # Safety
/// `b` is valid for reading N vectors.
#[inline(always)]
unsafe fn element_step<T: Bf16Fma, const R: usize, const N: usize, const ELEMENT: i32>(
    token: T,
    a: &[<T::Simd as Simd>::Vector; R],
    b: *const f32,
    acc: &mut [[<T::Simd as Simd>::Vector; N]; R],
) {
    let simd = token.simd();
    let mut bs = [simd.splat(0.0); N];
    for (n, v) in bs.iter_mut().enumerate() {
        // SAFETY: vector n of the N.
        *v = unsafe { simd.load(b.add(n * <T::Simd as Simd>::LANES)) };
    }
    for (row, &a) in acc.iter_mut().zip(a) {
        for (v, b) in row.iter_mut().zip(bs) {
            *v = token.mul_add_element::<ELEMENT>(a, b, *v);
        }
    }
}
