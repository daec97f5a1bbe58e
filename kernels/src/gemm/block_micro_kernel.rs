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
use core::ops::Range;

use crate::epilogue::Extent;
use crate::gemm::micro_kernel::{
    Chain, MicroTiles, MulAndAdd, Product, barrier, finish, is_tight, lane_step, prefetch_row,
    start, step, steps,
};
use crate::gemm::tile::tile_size;
use crate::memory::LINE_BYTES;
use crate::simd::element::Element;
use crate::simd::{Bf16Fma, Bf16FmaKernel, Kernel, MAX_LANES, Simd};

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
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe {
            if const { S::LEVEL.has_fma() } {
                micro_tiles::<S, _, M, N>(simd, Chain::<B>(PhantomData), t);
            } else {
                micro_tiles::<S, _, M, N>(simd, MulAndAdd::<B>(PhantomData), t);
            }
        }
    }
}

/// The micro-kernel of M×N vectors for pairs of bf16.
#[derive(Debug)]
#[allow(dead_code, reason = "of levels with multiply-adds of bf16")]
pub(crate) struct PairMicroKernel<const M: usize, const N: usize>;

impl<const M: usize, const N: usize> Bf16FmaKernel for PairMicroKernel<M, N> {
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
        unsafe { micro_tiles::<T::Simd, Pairs<T>, M, N>(token.simd(), Pairs(token), t) }
    }
}

/// All micro-tiles of the column.
///
/// # Safety
/// That of the kernels, of which `chains` knows the elements.
#[inline(always)]
unsafe fn micro_tiles<S: Simd, C: Chains<S>, const M: usize, const N: usize>(
    simd: S,
    chains: C,
    t: &MicroTiles,
) {
    let columns = Extent::<S> { whole: true, mask: simd.mem_mask(S::LANES) };
    for i in 0..t.tiles {
        let y_rows = t.output.y_rows.wrapping_add(i * M);
        // SAFETY: the rows i·M.. of the tables are this tile's, M of each; the columns are N whole
        // vectors; the caller keeps the contract of the panels.
        unsafe {
            let mut sums = start::<S, M, N>(simd, &t.output, y_rows, &columns);
            add_blocks::<S, C, M, N>(simd, chains, t, i, &mut sums);
            if let Some(fused) = chains.fused()
                && !are_finite(simd, &sums)
            {
                sums = start::<S, M, N>(simd, &t.output, y_rows, &columns);
                add_blocks_again::<S, C::Fused, M, N>(simd, fused, t, i, &mut sums);
            }
            finish::<S, M, N>(simd, t, i, &mut sums, &columns);
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

    /// The chains over the even k of a block, or the odd ones: of all k that are `ODD` modulo 2.
    ///
    /// # Safety
    /// - `a` is valid for reading blocks of `depth` k of MR rows.
    /// - `b` is valid for reading `depth` k of NR columns.
    unsafe fn chain<const M: usize, const N: usize, const ODD: usize>(
        self,
        simd: S,
        a: *const f32,
        b: *const Self::Bits,
        depth: usize,
    ) -> [[S::Vector; N]; M];
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
unsafe fn add_blocks_again<S: Simd, C: Chains<S>, const M: usize, const N: usize>(
    simd: S,
    chains: C,
    t: &MicroTiles,
    i: usize,
    sums: &mut [[S::Vector; N]; M],
) {
    // SAFETY: the caller keeps the contract, which is the same.
    unsafe { add_blocks::<S, C, M, N>(simd, chains, t, i, sums) }
}

/// The blocks of micro-tile `i`.
///
/// # Safety
/// - The tile's A panel is valid for reading the blocks of `depth` k of MR rows.
/// - `b` is valid for reading `depth`·NR elements.
/// - The tables of rows, of what is prefetched and of the residual, have (i + 1)·M offsets.
#[inline(always)]
unsafe fn add_blocks<S: Simd, C: Chains<S>, const M: usize, const N: usize>(
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
            let even = chains.chain::<M, N, 0>(simd, a, b, depth);
            rows.prefetch::<S, M, N>(simd, t);
            (even, chains.chain::<M, N, 1>(simd, a, b, depth))
        };
        for m in 0..M {
            for n in 0..N {
                sums[m][n] = simd.add(sums[m][n], simd.add(even[m][n], odd[m][n]));
            }
        }
        let elements = BLOCK / C::K;
        (a, b) = (a.wrapping_add(elements * size.mr), b.wrapping_add(elements * size.nr));
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

/// No chains: there is no value. [`add_blocks_again`] of it has no instructions that want a
/// function's `target_feature`.
#[derive(Clone, Copy)]
enum NoChains {}

impl<S: Simd> Chains<S> for NoChains {
    type Bits = f32;
    type Fused = Self;

    const K: usize = 1;

    #[inline(always)]
    unsafe fn chain<const M: usize, const N: usize, const ODD: usize>(
        self,
        _: S,
        _: *const f32,
        _: *const f32,
        _: usize,
    ) -> [[S::Vector; N]; M] {
        match self {}
    }
}

// f32 in A, elements B in B.
impl<S: Simd, B: Element> Chains<S> for Chain<B> {
    type Bits = B::Bits;
    type Fused = NoChains;

    const K: usize = 1;

    #[inline(always)]
    unsafe fn chain<const M: usize, const N: usize, const ODD: usize>(
        self,
        simd: S,
        a: *const f32,
        b: *const B::Bits,
        depth: usize,
    ) -> [[S::Vector; N]; M] {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { chain_of::<S, _, M, N, ODD>(simd, self, a, b, depth) }
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
    unsafe fn chain<const M: usize, const N: usize, const ODD: usize>(
        self,
        simd: S,
        a: *const f32,
        b: *const B::Bits,
        depth: usize,
    ) -> [[S::Vector; N]; M] {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { chain_of::<S, _, M, N, ODD>(simd, self, a, b, depth) }
    }
}

/// [`Chains::chain`] of f32 in A.
///
/// # Safety
/// - `a` is valid for reading blocks of `depth` k of MR rows.
/// - `b` is valid for reading `depth`·NR elements.
#[inline(always)]
unsafe fn chain_of<S: Simd, P: Product<S>, const M: usize, const N: usize, const ODD: usize>(
    simd: S,
    product: P,
    mut a: *const f32,
    mut b: *const P::Bits,
    depth: usize,
) -> [[S::Vector; N]; M] {
    let (l, size) = (S::LANES, const { tile_size::<S>() });
    let mut acc = [[simd.splat(0.0); N]; M];
    if l == 1 || depth < BLOCK {
        for k in (ODD..depth).step_by(2) {
            // SAFETY: k < `depth`.
            unsafe {
                let a = a.add(k / l * size.mr * l + k % l);
                step::<S, P, M, N>(simd, product, a, l, b.add(k * size.nr), &mut acc);
            }
        }
        return acc;
    }
    let steps = steps(simd);
    let unroll = const { if S::LANES < 2 * S::UNROLL { S::LANES.div_ceil(2) } else { S::UNROLL } };
    for _ in 0..BLOCK / l {
        if S::BY_LANES {
            // SAFETY: L k of A and B are left from here on.
            unsafe { lanes::<S, P, M, N, ODD>(simd, product, a, b, &mut acc) };
        } else {
            for first in (ODD..steps).step_by(2 * unroll) {
                for k in 0..unroll {
                    let k = first + 2 * k;
                    // SAFETY: k < L, which is a multiple of 2·`unroll`; so many are left from here
                    // on.
                    unsafe {
                        let (a, b) = (a.add(k), b.add(k * size.nr));
                        step::<S, P, M, N>(simd, product, a, l, b, &mut acc);
                    }
                    barrier(simd, &mut acc);
                }
            }
        }
        (a, b) = (a.wrapping_add(l * size.mr), b.wrapping_add(l * size.nr));
    }
    acc
}

impl<T: Bf16Fma> Chains<T::Simd> for Pairs<T> {
    // A pair, of the size of an f32.
    type Bits = f32;
    type Fused = NoChains;

    const K: usize = 2;

    #[inline(always)]
    unsafe fn chain<const M: usize, const N: usize, const ODD: usize>(
        self,
        simd: T::Simd,
        mut a: *const f32,
        mut b: *const f32,
        depth: usize,
    ) -> [[<T::Simd as Simd>::Vector; N]; M] {
        let (l, size) = (<T::Simd as Simd>::LANES, const { tile_size::<T::Simd>() });
        const { assert!(<T::Simd as Simd>::LANES == 4, "for vectors of 128 bits") };
        let mut acc = [[simd.splat(0.0); N]; M];
        if depth < BLOCK {
            for pair in 0..(depth + 1 - ODD) / 2 {
                // SAFETY: the pair holds k = 2·pair + ODD < `depth`.
                unsafe {
                    let a = a.add(pair / l * size.mr * l + pair % l);
                    let b = b.add(pair * size.nr);
                    let mut pairs = [simd.splat(0.0); M];
                    for (m, v) in pairs.iter_mut().enumerate() {
                        *v = simd.splat(*a.add(m * l));
                    }
                    if ODD == 0 {
                        element_step::<T, M, N, 0>(self.0, 0..M, &pairs, b, &mut acc);
                    } else {
                        element_step::<T, M, N, 1>(self.0, 0..M, &pairs, b, &mut acc);
                    }
                }
            }
            return acc;
        }
        let rows = const { if is_tight::<T::Simd, M, N>() { M.div_ceil(2) } else { M } };
        for _ in 0..BLOCK / (2 * l) {
            // SAFETY: L pairs of A and B are left from here on; both ranges lie in 0..M.
            unsafe {
                pairs_of_rows::<T, M, N, ODD>(self.0, 0..rows, a, b, &mut acc);
                if rows < M {
                    pairs_of_rows::<T, M, N, ODD>(self.0, rows..M, a, b, &mut acc);
                }
            }
            (a, b) = (a.wrapping_add(l * size.mr), b.wrapping_add(l * size.nr));
        }
        acc
    }
}

/// Some rows of L = 4 pairs.
///
/// # Safety
/// - `a` is valid for reading a block of L pairs of MR rows.
/// - `b` is valid for reading L·NR pairs.
#[inline(always)]
unsafe fn pairs_of_rows<T: Bf16Fma, const M: usize, const N: usize, const ODD: usize>(
    token: T,
    rows: Range<usize>,
    a: *const f32,
    b: *const f32,
    acc: &mut [[<T::Simd as Simd>::Vector; N]; M],
) {
    let (simd, nr) = (token.simd(), const { tile_size::<T::Simd>().nr });
    let mut block = [simd.splat(0.0); M];
    for m in rows.clone() {
        // SAFETY: row m < MR has L pairs, a vector.
        block[m] = unsafe { simd.load(a.add(m * <T::Simd as Simd>::LANES)) };
    }
    // Not a loop: an element's number is part of the instruction.
    // SAFETY: each of four pairs of B has NR columns.
    unsafe {
        if ODD == 0 {
            element_step::<T, M, N, 0>(token, rows.clone(), &block, b, acc);
            element_step::<T, M, N, 2>(token, rows.clone(), &block, b.add(nr), acc);
            element_step::<T, M, N, 4>(token, rows.clone(), &block, b.add(2 * nr), acc);
            element_step::<T, M, N, 6>(token, rows, &block, b.add(3 * nr), acc);
        } else {
            element_step::<T, M, N, 1>(token, rows.clone(), &block, b, acc);
            element_step::<T, M, N, 3>(token, rows.clone(), &block, b.add(nr), acc);
            element_step::<T, M, N, 5>(token, rows.clone(), &block, b.add(2 * nr), acc);
            element_step::<T, M, N, 7>(token, rows, &block, b.add(3 * nr), acc);
        }
    }
}

/// One k: N vectors of pairs of B against one element of M vectors of A.
///
/// # Safety
/// `b` is valid for reading N vectors.
#[inline(always)]
unsafe fn element_step<T: Bf16Fma, const M: usize, const N: usize, const ELEMENT: i32>(
    token: T,
    rows: Range<usize>,
    a: &[<T::Simd as Simd>::Vector; M],
    b: *const f32,
    acc: &mut [[<T::Simd as Simd>::Vector; N]; M],
) {
    let simd = token.simd();
    let mut bs = [simd.splat(0.0); N];
    for (n, v) in bs.iter_mut().enumerate() {
        // SAFETY: vector n of the N.
        *v = unsafe { simd.load(b.add(n * <T::Simd as Simd>::LANES)) };
    }
    for m in rows {
        for (v, b) in acc[m].iter_mut().zip(bs) {
            *v = token.mul_add_element::<ELEMENT>(a[m], b, *v);
        }
    }
    if const { is_tight::<T::Simd, M, N>() } {
        barrier(simd, acc);
    }
}

/// Two of L = 4 k, if an FMA takes a lane as a factor: all rows at once if there are registers for
/// that; else one half after the other, and B twice.
///
/// # Safety
/// - `a` is valid for reading a block of L k of MR rows.
/// - `b` is valid for reading L·NR elements.
#[inline(always)]
unsafe fn lanes<S: Simd, P: Product<S>, const M: usize, const N: usize, const ODD: usize>(
    simd: S,
    product: P,
    a: *const f32,
    b: *const P::Bits,
    acc: &mut [[S::Vector; N]; M],
) {
    let rows = const { if is_tight::<S, M, N>() { M.div_ceil(2) } else { M } };
    // SAFETY: the caller keeps the contract, and both ranges lie in 0..M.
    unsafe {
        lanes_of_rows::<S, P, M, N, ODD>(simd, product, 0..rows, a, b, acc);
        if rows < M {
            lanes_of_rows::<S, P, M, N, ODD>(simd, product, rows..M, a, b, acc);
        }
    }
}

/// Some rows of two of L = 4 k.
///
/// # Safety
/// - `a` is valid for reading a block of L k of MR rows.
/// - `b` is valid for reading L·NR elements.
#[inline(always)]
unsafe fn lanes_of_rows<
    S: Simd,
    P: Product<S>,
    const M: usize,
    const N: usize,
    const ODD: usize,
>(
    simd: S,
    product: P,
    rows: Range<usize>,
    a: *const f32,
    b: *const P::Bits,
    acc: &mut [[S::Vector; N]; M],
) {
    let nr = const { tile_size::<S>().nr };
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
            lane_step::<S, P, M, N, 0>(simd, product, rows.clone(), &block, b, acc);
            lane_step::<S, P, M, N, 2>(simd, product, rows, &block, b.add(2 * nr), acc);
        } else {
            lane_step::<S, P, M, N, 1>(simd, product, rows.clone(), &block, b.add(nr), acc);
            lane_step::<S, P, M, N, 3>(simd, product, rows, &block, b.add(3 * nr), acc);
        }
    }
}
