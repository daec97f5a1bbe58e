//! The GEMM micro-kernel: one tile of pixels × output channels, held in registers.
//!
//! ```text
//! for m in 0..M                            // pixels
//!   for n in 0..columns                    // output channels
//!     acc = start(m, n)                    // bias, or what an earlier K range left in y
//!     for k in 0..depth
//!       acc = fma(a[m][k], b[k][n], acc)
//!     y[m][n] = last ? clamp(acc + residual[m][n]) : acc
//! ```
//!
//! All is f32. Weights of 16 bits were widened before (`widen`), or are here as they are loaded, if
//! there are few pixels. An output of 16 bits has an epilogue of its own (`narrow`).
//!
//! Departures:
//! 1. M×N accumulators live in registers over the whole k loop, which is outermost. Each output
//!    still has one chain, k ascending: no tile size and no vector width can change a bit of it.
//! 2. `b` is packed in panels of NR columns, padded with zeros: its loads need no tail. The
//!    padding's results are never stored.
//! 3. `a` is packed in blocks of as many k as a vector has lanes: `[k / L][MR][k % L]`. A producer
//!    then writes whole vectors of channels, untransposed, while here one pointer and constant
//!    displacements reach all rows, and memory is read strictly forward. Where nothing but copying
//!    would be done to the input, the packing is not worth its traffic: `a` is then the input
//!    itself (`DIRECT`), whose rows are a distance apart that is known only at run time. If a
//!    window has several rows, its k lie in as many runs, which are multiplied one after the other.
//!    Runs are short (the 27 k of a network's first layer are three runs), so they are not split
//!    into blocks of k.
//! 4. While a tile is computed, part of the next B panel is prefetched into L2: B is the one
//!    operand that comes from further away, each panel once per tile of pixels. The lines of y that
//!    are written next are prefetched too, which pays where k is short (block 2 of Xception: k = 64
//!    and 128), and so is the residual, which is read at the end: 24 lines from L3 would take a
//!    tenth of the tile's time. The input of the tile of pixels that comes next is prefetched where
//!    it is large. All this is prefetched row by row in the course of the k loop: at once, 36 lines
//!    would fill the buffers for misses, and the loads of A wait behind them (147²·64→128 on Zen 4,
//!    AVX-512: spread takes 0.83 of the time).
//! 5. Where an FMA takes a lane of a vector as a factor (NEON), a row's L values of a block are
//!    loaded as one vector, in place of L broadcasts.
//! 6. Where a CPU has dot products of bf16, an element of `a` and of `b` can be a pair along k, and
//!    the multiply-add such a product. Nothing else differs: see [`Product`].
//! 7. The last vector of columns is masked when the layer's channels end inside it.

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;

use crate::epilogue::{Extent, add_residual, clamp, store};
use crate::gemm::tile::tile_size;
use crate::memory::{LINE, LINE_BYTES};
use crate::simd::element::{Element, F32};
use crate::simd::int8::{self, Int8, Int8Kernel};
use crate::simd::{Bf16Dot, Bf16Kernel, Kernel, Simd, Vector};

/// One B panel over one block of k, against a column of micro-tiles.
#[derive(Debug)]
pub(crate) struct MicroTiles {
    /// Micro-tiles of M rows each, one A panel for each.
    pub(crate) tiles: usize,
    /// M.
    #[allow(dead_code, reason = "of levels with tile registers")]
    pub(crate) rows: usize,
    /// The first A panel, or the first row if direct, at this block's first k (a multiple of the
    /// lanes).
    pub(crate) a: *const f32,
    /// Elements from one A panel to the next; from one row to the next if direct.
    pub(crate) a_step: usize,
    /// Where the k lie if direct; else they are one run.
    pub(crate) runs: Runs,
    /// The B panel at this block's first k: `[depth][NR]`, of the kernel's elements.
    pub(crate) b: *const u8,
    /// k of the block, of each run of it.
    pub(crate) depth: usize,
    pub(crate) output: Output,
    pub(crate) prefetch: Prefetch,
}

/// The runs of a block's k that lie side by side in A and in B, all of one length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs {
    /// At least 1.
    pub(crate) count: usize,
    /// Elements of A from one to the next.
    pub(crate) a: usize,
    /// k of B from one to the next.
    pub(crate) b: usize,
}

impl Runs {
    /// One, of all k.
    pub(crate) const ONE: Self = Self { count: 1, a: 0, b: 0 };
}

/// The outputs of micro-tiles: what their chains begin with, where the sums go, what the chains end
/// with.
#[derive(Debug)]
pub(crate) struct Output {
    /// Columns that exist, at least (N − 1)·lanes + 1 and at most N·lanes.
    pub(crate) columns: usize,
    /// NR elements that the chains begin with; none to continue from `y`.
    pub(crate) bias: Option<NonNull<f32>>,
    /// Output of the first column of the panel; row r (of all tiles) is at `y + y_rows[r]`.
    pub(crate) y: *mut f32,
    /// tiles·M offsets from `y`.
    pub(crate) y_rows: *const usize,
    /// What the chains end with, if this is their last block.
    pub(crate) epilogue: Option<Epilogue>,
}

/// What the chains of micro-tiles end with.
#[derive(Debug)]
pub(crate) struct Epilogue {
    pub(crate) residual: Option<Residual>,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
}

/// A residual, where `y` is.
#[derive(Debug)]
pub(crate) struct Residual {
    /// The first column of the panel; row r (of all tiles) is at `at + rows[r]`.
    pub(crate) at: *const f32,
    /// tiles·M offsets from `at`.
    pub(crate) rows: *const usize,
}

/// What the kernel prefetches. No pointer to data here is ever dereferenced.
#[derive(Debug)]
pub(crate) struct Prefetch {
    /// The B panel that comes after this one, of which each micro-tile prefetches a part.
    pub(crate) next_b: *const u8,
    /// Micro-tiles of the same tile of pixels that came before these.
    pub(crate) before: usize,
    /// The output's rows that are written next: tiles·M offsets in elements, or any numbers, from
    /// here on.
    pub(crate) y: *const u8,
    /// Bytes of an element.
    pub(crate) y_size: usize,
    /// Rows of a micro-tile in the course of each run of k.
    pub(crate) of_run: usize,
    pub(crate) y_rows: *const usize,
    /// The input of the next tile of pixels: `x_lines` cache lines from here on…
    pub(crate) x: *const u8,
    /// … and each of these tiles·M offsets in bytes (as many if `x_lines` is 0, unused then).
    pub(crate) x_rows: *const usize,
    pub(crate) x_lines: usize,
}

/// The micro-kernel of M×N vectors for weights of elements B; DIRECT if A is the input itself.
#[derive(Debug)]
pub(crate) struct MicroKernel<B, const M: usize, const N: usize, const DIRECT: bool>(
    PhantomData<B>,
);

impl<B: Element, const M: usize, const N: usize, const DIRECT: bool> Kernel
    for MicroKernel<B, M, N, DIRECT>
{
    type Args = MicroTiles;
    type Output = ();

    /// # Safety
    /// - Each A panel is valid for reading the blocks of `depth` k of MR rows; if DIRECT, each of
    ///   tiles·M rows for `depth` k of each run.
    /// - `b` is valid for reading `depth`·NR elements B of each run, `bias` NR elements, if there
    ///   is one.
    /// - The tables of rows have tiles·M offsets each.
    /// - At each of its offsets `y` is valid for reading and writing `columns` elements, the
    ///   residual, if there is one, for reading them; no other thread touches those of `y`.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, t: &MicroTiles) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { micro_tiles::<S, Chain<B>, M, N, DIRECT>(simd, Chain(PhantomData), t) }
    }
}

/// The micro-kernel of M×N vectors by dot products of pairs of bf16.
#[derive(Debug)]
pub(crate) struct Bf16MicroKernel<const M: usize, const N: usize>;

impl<const M: usize, const N: usize> Bf16Kernel for Bf16MicroKernel<M, N> {
    type Args = MicroTiles;
    type Output = ();

    /// # Safety
    /// Where a pair of bf16 counts as an element:
    /// - Each A panel is valid for reading the blocks of `depth` k of MR rows.
    /// - `b` is valid for reading `depth`·NR elements, `bias` NR f32, if there is one.
    /// - The tables of rows have tiles·M offsets each.
    /// - At each of its offsets `y` is valid for reading and writing `columns` f32, the residual,
    ///   if there is one, for reading them; no other thread touches those of `y`.
    #[inline(always)]
    unsafe fn run<T: Bf16Dot>(token: T, t: &MicroTiles) {
        // SAFETY: the caller keeps the contract, which is the same with pairs for elements.
        unsafe { micro_tiles::<T::Simd, Dot<T>, M, N, false>(token.simd(), Dot(token), t) }
    }
}

/// The micro-kernel of M×N vectors for 8-bit integers.
#[derive(Debug)]
pub(crate) struct Int8MicroKernel<const M: usize, const N: usize>;

impl<const M: usize, const N: usize> Int8Kernel for Int8MicroKernel<M, N> {
    type Args = MicroTiles;
    type Output = ();

    /// # Safety
    /// Where a group of 8-bit integers counts as an element, and a sum of i32 is stored as the f32
    /// of its bits:
    /// - Each A panel is valid for reading the blocks of `depth` k of MR rows.
    /// - `b` is valid for reading `depth`·NR elements, `bias` NR sums, if there is one.
    /// - The tables of rows have tiles·M offsets each.
    /// - At each of its offsets `y` is valid for reading and writing `columns` sums; no other
    ///   thread touches them. There is no epilogue.
    #[inline(always)]
    unsafe fn run<T: Int8>(token: T, t: &MicroTiles) {
        // SAFETY: the caller keeps the contract, which is the same with groups for elements.
        unsafe {
            micro_tiles::<T::Simd, _, M, N, false>(token.simd(), Int8Dot(token), t);
        }
    }
}

/// How elements of A and B are multiplied and added up.
pub(super) trait Product<S: Simd>: Copy {
    /// An element of B, or a group of such.
    type Bits;

    /// A vector of B.
    ///
    /// # Safety
    /// `p` is valid for reading a vector's elements.
    unsafe fn load(self, simd: S, p: *const Self::Bits) -> S::Vector;

    /// c + a·b.
    fn mul_add(self, simd: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector;

    /// The same of one lane of `a`.
    fn mul_add_lane<const LANE: i32>(
        self,
        simd: S,
        a: S::Vector,
        b: S::Vector,
        c: S::Vector,
    ) -> S::Vector;
}

/// As the token accumulates.
pub(super) struct Chain<B>(pub(super) PhantomData<B>);

impl<B> Clone for Chain<B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B> Copy for Chain<B> {}

impl<S: Simd, B: Element> Product<S> for Chain<B> {
    type Bits = B::Bits;

    #[inline(always)]
    unsafe fn load(self, simd: S, p: *const B::Bits) -> S::Vector {
        // SAFETY: a vector's elements are valid for reading.
        unsafe { B::load(simd, p) }
    }

    #[inline(always)]
    fn mul_add(self, simd: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        simd.accumulate(a, b, c)
    }

    #[inline(always)]
    fn mul_add_lane<const LANE: i32>(
        self,
        simd: S,
        a: S::Vector,
        b: S::Vector,
        c: S::Vector,
    ) -> S::Vector {
        simd.accumulate_lane::<LANE>(a, b, c)
    }
}

/// The product, rounded, then the sum, whatever the token does.
pub(super) struct MulAndAdd<B>(pub(super) PhantomData<B>);

impl<B> Clone for MulAndAdd<B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B> Copy for MulAndAdd<B> {}

impl<S: Simd, B: Element> Product<S> for MulAndAdd<B> {
    type Bits = B::Bits;

    #[inline(always)]
    unsafe fn load(self, simd: S, p: *const B::Bits) -> S::Vector {
        // SAFETY: a vector's elements are valid for reading.
        unsafe { B::load(simd, p) }
    }

    #[inline(always)]
    fn mul_add(self, simd: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        simd.add(simd.mul(a, b), c)
    }

    #[inline(always)]
    fn mul_add_lane<const LANE: i32>(
        self,
        simd: S,
        a: S::Vector,
        b: S::Vector,
        c: S::Vector,
    ) -> S::Vector {
        self.mul_add(simd, simd.splat_lane::<LANE>(a), b, c)
    }
}

/// A pair at a time, rounded as the CPU rounds.
#[derive(Clone, Copy)]
struct Dot<T>(T);

impl<T: Bf16Dot> Product<T::Simd> for Dot<T> {
    // Pairs, of the size of an f32.
    type Bits = f32;

    #[inline(always)]
    unsafe fn load(self, simd: T::Simd, p: *const f32) -> Vector<T> {
        // SAFETY: a vector's elements are valid for reading.
        unsafe { simd.load(p) }
    }

    #[inline(always)]
    fn mul_add(self, _: T::Simd, a: Vector<T>, b: Vector<T>, c: Vector<T>) -> Vector<T> {
        self.0.dot(a, b, c)
    }

    #[inline(always)]
    fn mul_add_lane<const LANE: i32>(
        self,
        _: T::Simd,
        a: Vector<T>,
        b: Vector<T>,
        c: Vector<T>,
    ) -> Vector<T> {
        self.0.dot_lane::<LANE>(a, b, c)
    }
}

/// A group of 8-bit integers at a time, exactly.
#[derive(Clone, Copy)]
struct Int8Dot<T>(T);

impl<T: Int8> Product<T::Simd> for Int8Dot<T> {
    type Bits = T::Weights;

    #[inline(always)]
    unsafe fn load(self, _: T::Simd, p: *const T::Weights) -> int8::Vector<T> {
        // SAFETY: a group for each lane is valid for reading.
        unsafe { self.0.load_weights(p) }
    }

    #[inline(always)]
    fn mul_add(
        self,
        _: T::Simd,
        a: int8::Vector<T>,
        b: int8::Vector<T>,
        c: int8::Vector<T>,
    ) -> int8::Vector<T> {
        self.0.dot_in_order(a, b, c)
    }

    #[inline(always)]
    fn mul_add_lane<const LANE: i32>(
        self,
        _: T::Simd,
        a: int8::Vector<T>,
        b: int8::Vector<T>,
        c: int8::Vector<T>,
    ) -> int8::Vector<T> {
        self.0.dot_lane::<LANE>(a, b, c)
    }
}

/// All micro-tiles of the column.
///
/// # Safety
/// - Each A panel is valid for reading the blocks of `depth` k of MR rows; if DIRECT, each of
///   tiles·M rows for `depth` k of each run.
/// - `b` is valid for reading `depth`·NR elements B of each run, `bias` NR elements, if there
///   is one.
/// - The tables of rows have tiles·M offsets each.
/// - At each of its offsets `y` is valid for reading and writing `columns` elements, the residual,
///   if there is one, for reading them; no other thread touches those of `y`.
#[inline(always)]
unsafe fn micro_tiles<
    S: Simd,
    P: Product<S>,
    const M: usize,
    const N: usize,
    const DIRECT: bool,
>(
    simd: S,
    product: P,
    t: &MicroTiles,
) {
    for i in 0..t.tiles {
        // SAFETY: the caller keeps the contract, and i is one of the tiles.
        unsafe { micro_tile::<S, P, M, N, DIRECT>(simd, product, t, i) };
    }
}

/// Micro-tile `i` of the column.
///
/// # Safety
/// - `i` < `tiles`.
/// - Each A panel is valid for reading the blocks of `depth` k of MR rows; if DIRECT, each of
///   tiles·M rows for `depth` k of each run.
/// - `b` is valid for reading `depth`·NR elements B of each run, `bias` NR elements, if there
///   is one.
/// - The tables of rows have tiles·M offsets each.
/// - At each of its offsets `y` is valid for reading and writing `columns` elements, the residual,
///   if there is one, for reading them; no other thread touches those of `y`.
#[inline(always)]
unsafe fn micro_tile<S: Simd, P: Product<S>, const M: usize, const N: usize, const DIRECT: bool>(
    simd: S,
    product: P,
    t: &MicroTiles,
    i: usize,
) {
    let columns = Extent::<S> {
        whole: t.output.columns == N * S::LANES,
        mask: simd.mem_mask(t.output.columns - (N - 1) * S::LANES),
    };
    let y_rows = t.output.y_rows.wrapping_add(i * M);
    // SAFETY: the rows i·M.. of the tables are this tile's, M of each; `columns` elements from the
    // first on are within its rows of y and of the residual, and N vectors hold these columns.
    unsafe {
        let mut acc = start::<S, M, N>(simd, &t.output, y_rows, &columns);
        add_products::<S, P, M, N, DIRECT>(simd, product, t, i, &mut acc);
        finish::<S, M, N>(simd, t, i, &mut acc, &columns);
    }
}

/// The accumulators' first values: the biases, or what an earlier block left in `y`.
///
/// # Safety
/// - `bias`, if there is one, is valid for reading N vectors.
/// - Else `y_rows` has M offsets, and at each of them `y` is valid for reading the lanes of
///   `columns`.
#[inline(always)]
pub(super) unsafe fn start<S: Simd, const M: usize, const N: usize>(
    simd: S,
    output: &Output,
    y_rows: *const usize,
    columns: &Extent<S>,
) -> [[S::Vector; N]; M] {
    let l = S::LANES;
    let mut acc = [[simd.splat(0.0); N]; M];
    if let Some(biases) = output.bias {
        for n in 0..N {
            // SAFETY: vector n of the N biases.
            let bias = unsafe { simd.load(biases.as_ptr().add(n * l)) };
            for row in &mut acc {
                row[n] = bias;
            }
        }
    } else {
        for (m, row) in acc.iter_mut().enumerate() {
            // SAFETY: there are M offsets, which lead to rows of y.
            let y = unsafe { output.y.add(*y_rows.add(m)) };
            for (n, v) in row.iter_mut().enumerate() {
                // SAFETY: all vectors but the last are whole, and of the last the mask's lanes
                // exist.
                *v = unsafe {
                    if n + 1 < N || columns.whole {
                        simd.load(y.add(n * l))
                    } else {
                        simd.mask_load(columns.mask, y.add(n * l))
                    }
                };
            }
        }
    }
    acc
}

/// Ends the chains of micro-tile `i`, if this is their last block, and stores.
///
/// # Safety
/// - The tables of rows have (i + 1)·M offsets.
/// - At each of the last M of them `y` is valid for writing the lanes of `columns`, the residual,
///   if there is one, for reading them; no other thread touches those of `y`.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd, const M: usize, const N: usize>(
    simd: S,
    t: &MicroTiles,
    i: usize,
    acc: &mut [[S::Vector; N]; M],
    columns: &Extent<S>,
) {
    // SAFETY: the rows i·M.. of the tables are this tile's; the caller keeps the contract.
    unsafe {
        if let Some(epilogue) = &t.output.epilogue {
            if let Some(residual) = &epilogue.residual {
                for (m, row) in acc.iter_mut().enumerate() {
                    let r = residual.at.add(*residual.rows.add(i * M + m));
                    add_residual::<S, F32, N>(simd, row, r, columns);
                }
            }
            clamp(simd, acc.as_flattened_mut(), epilogue.bounds);
        }
        for (m, row) in acc.iter().enumerate() {
            let y = t.output.y.add(*t.output.y_rows.add(i * M + m));
            store::<S, F32, N, false>(simd, row, y, columns);
        }
    }
}

/// Cache lines of the next B panel that are prefetched per block of L k: with eight micro-tiles or
/// more to a tile of pixels, all of it.
pub(super) const fn prefetch_lines<S: Simd>() -> usize {
    let block = S::LANES * tile_size::<S>().nr / LINE;
    if block < 8 { 1 } else { block / 8 }
}

/// The k loop of micro-tile `i`.
///
/// # Safety
/// - The tile's A panel is valid for reading the blocks of `depth` k of MR rows; if DIRECT, each of
///   its M rows for `depth` k of each run.
/// - `b` is valid for reading `depth`·NR elements of each run.
/// - The tables of rows, of what is prefetched and of the residual, have (i + 1)·M offsets.
#[inline(always)]
unsafe fn add_products<
    S: Simd,
    P: Product<S>,
    const M: usize,
    const N: usize,
    const DIRECT: bool,
>(
    simd: S,
    product: P,
    t: &MicroTiles,
    i: usize,
    acc: &mut [[S::Vector; N]; M],
) {
    if DIRECT && t.runs.count > 1 {
        // SAFETY: the caller keeps the contract, which is the same.
        return unsafe { add_runs::<S, P, M, N>(simd, product, t, i, acc) };
    }
    let l = S::LANES;
    let size = const { tile_size::<S>() };
    let (a_row, a_block) = if DIRECT { (t.a_step, l) } else { (l, size.mr * l) };
    let a_tile = if DIRECT { M * t.a_step } else { t.a_step };
    // Of rows whose distance is a variable each keeps its offset in a register, where there are as
    // many (NEON): the compiler would add them up anew in each block.
    // (A loop, and not `from_fn`, for the sake of the time in which this compiles.)
    let mut rows = [0; M];
    for (m, row) in rows.iter_mut().enumerate() {
        *row = m * a_row;
        if DIRECT && S::BY_LANES && S::REGISTERS >= 32 {
            *row = simd.black_box(*row);
        }
    }
    let mut a = t.a.wrapping_add(i * a_tile);
    let mut b = t.b.cast::<P::Bits>();
    let ahead = (t.prefetch.before + i) * (t.depth / l) * prefetch_lines::<S>() * LINE;
    let mut next_b = t.prefetch.next_b.cast::<f32>().wrapping_add(ahead);
    let steps = steps(simd);
    // Row m is prefetched after m / M of the blocks.
    let blocks = t.depth / l;
    let mut done = 0;
    for m in 0..M {
        // SAFETY: there are offsets up to row (i + 1)·M.
        unsafe { prefetch_row::<S, N>(simd, t, i * M + m) };
        done += blocks;
        while done >= M {
            done -= M;
            for _ in 0..prefetch_lines::<S>() {
                simd.prefetch_l2(next_b);
                next_b = next_b.wrapping_add(LINE);
            }
            if S::BY_LANES {
                // SAFETY: this is one of the depth / L whole blocks of A and B.
                unsafe { block::<S, P, M, N>(simd, product, a, &rows, b, acc) };
            } else {
                let unroll = const { if S::LANES < S::UNROLL { S::LANES } else { S::UNROLL } };
                for k in (0..steps).step_by(unroll) {
                    for k in k..k + unroll {
                        // SAFETY: k < L, of one of the depth / L whole blocks of A and B.
                        unsafe {
                            let b = b.add(k * size.nr);
                            step::<S, P, M, N>(simd, product, a.add(k), a_row, b, acc);
                        }
                        barrier(simd, acc);
                    }
                }
            }
            (a, b) = (a.wrapping_add(a_block), b.wrapping_add(size.nr * l));
        }
    }
    for k in 0..t.depth % l {
        // SAFETY: k < depth % L, of the block after the whole ones.
        unsafe { step::<S, P, M, N>(simd, product, a.add(k), a_row, b.add(k * size.nr), acc) };
    }
}

/// The same where A is the input and its k lie in several runs, which are short: step by step. A
/// part of the rows is prefetched before each run.
///
/// # Safety
/// - Each of the tile's M rows of A is valid for reading `depth` k of each run.
/// - `b` is valid for reading `depth`·NR elements of each run.
/// - The tables of rows, of what is prefetched and of the residual, have (i + 1)·M offsets.
#[inline(always)]
unsafe fn add_runs<S: Simd, P: Product<S>, const M: usize, const N: usize>(
    simd: S,
    product: P,
    t: &MicroTiles,
    i: usize,
    acc: &mut [[S::Vector; N]; M],
) {
    let nr = const { tile_size::<S>().nr };
    let mut a = t.a.wrapping_add(i * M * t.a_step);
    let mut b = t.b.cast::<P::Bits>();
    let (mut row, end) = (i * M, (i + 1) * M);
    for _ in 0..t.runs.count {
        let of_run = end.min(row + t.prefetch.of_run);
        while row < of_run {
            // SAFETY: there are offsets up to row (i + 1)·M.
            unsafe { prefetch_row::<S, N>(simd, t, row) };
            row += 1;
        }
        for k in 0..t.depth {
            // SAFETY: k < depth, of one of the runs of A and B.
            unsafe { step::<S, P, M, N>(simd, product, a.add(k), t.a_step, b.add(k * nr), acc) };
        }
        (a, b) = (a.wrapping_add(t.runs.a), b.wrapping_add(t.runs.b * nr));
    }
}

/// L, the k of a block. Where a turn of the loop has one step, the value is hidden from the
/// compiler, which would otherwise unroll the loop.
#[inline(always)]
pub(super) fn steps<S: Simd>(simd: S) -> usize {
    if const { S::UNROLL == 1 } { simd.black_box(S::LANES) } else { S::LANES }
}

/// Prefetches what is to be read and written after the sums of this micro-tile: the residual of row
/// `row` of all tiles, the output's row that is written then, and a pixel of the next tile of
/// pixels.
///
/// # Safety
/// `prefetch.y_rows`, `prefetch.x_rows` and, if there is one, the residual's `rows` have more than
/// `row` offsets.
#[inline(always)]
pub(super) unsafe fn prefetch_row<S: Simd, const N: usize>(simd: S, t: &MicroTiles, row: usize) {
    let l = S::LANES;
    let prefetch = &t.prefetch;
    // SAFETY: both tables have an offset for this row.
    let (y_row, x_row) = unsafe { (*prefetch.y_rows.add(row), *prefetch.x_rows.add(row)) };
    let y = prefetch.y.wrapping_add(y_row.wrapping_mul(prefetch.y_size));
    for at in (0..N * l).step_by(LINE) {
        // Shorter elements than f32 have one line at most.
        if at == 0 || prefetch.y_size == size_of::<f32>() {
            simd.prefetch_write(y.wrapping_add(at * size_of::<f32>()));
        }
    }
    if let Some(Epilogue { residual: Some(residual), .. }) = &t.output.epilogue {
        // SAFETY: the residual has an offset for this row.
        let r = residual.at.wrapping_add(unsafe { *residual.rows.add(row) });
        for at in (0..N * l).step_by(LINE) {
            simd.prefetch_l1(r.wrapping_add(at));
        }
        // It need not begin on a line.
        simd.prefetch_l1(r.wrapping_add(N * l - 1));
    }
    let x = prefetch.x.wrapping_add(x_row);
    for line in 0..prefetch.x_lines {
        simd.prefetch_l2(x.wrapping_add(line * LINE_BYTES));
    }
}

/// A block of L = 4 k, if an FMA takes a lane as a factor: A is loaded once per row, not once per
/// row and k. All rows at once if there are registers for that; else one half after the other, and
/// B twice.
///
/// # Safety
/// - `a` is valid for reading L elements at each of `a_rows`.
/// - `b` is valid for reading L·NR elements.
#[inline(always)]
unsafe fn block<S: Simd, P: Product<S>, const M: usize, const N: usize>(
    simd: S,
    product: P,
    a: *const f32,
    a_rows: &[usize; M],
    b: *const P::Bits,
    acc: &mut [[S::Vector; N]; M],
) {
    let rows = const { if is_tight::<S, M, N>() { M.div_ceil(2) } else { M } };
    // SAFETY: the caller keeps the contract, and both ranges lie in 0..M.
    unsafe {
        rows_of_block::<S, P, M, N>(simd, product, 0..rows, a, a_rows, b, acc);
        if rows < M {
            rows_of_block::<S, P, M, N>(simd, product, rows..M, a, a_rows, b, acc);
        }
    }
}

/// Whether accumulators, a vector of A per row and those of B don't fit the registers.
pub(super) const fn is_tight<S: Simd, const M: usize, const N: usize>() -> bool {
    M * N + M + N >= S::REGISTERS
}

/// Some rows of a block.
///
/// # Safety
/// - `a` is valid for reading L elements at each of `a_rows` that is in `rows`.
/// - `b` is valid for reading L·NR elements.
#[inline(always)]
unsafe fn rows_of_block<S: Simd, P: Product<S>, const M: usize, const N: usize>(
    simd: S,
    product: P,
    rows: Range<usize>,
    a: *const f32,
    a_rows: &[usize; M],
    b: *const P::Bits,
    acc: &mut [[S::Vector; N]; M],
) {
    let nr = const { tile_size::<S>().nr };
    let mut block = [simd.splat(0.0); M];
    for m in rows.clone() {
        // SAFETY: L elements, a vector, are valid at the offset of a row in `rows`.
        block[m] = unsafe { simd.load(a.add(a_rows[m])) };
    }
    // Not a loop: a lane is part of the instruction.
    const { assert!(!S::BY_LANES || S::LANES == 4) };
    // SAFETY: L is 4 where this is compiled, and each of four k of B has NR elements, N vectors or
    // more.
    unsafe {
        lane_step::<S, P, M, N, 0>(simd, product, rows.clone(), &block, b, acc);
        lane_step::<S, P, M, N, 1>(simd, product, rows.clone(), &block, b.add(nr), acc);
        lane_step::<S, P, M, N, 2>(simd, product, rows.clone(), &block, b.add(2 * nr), acc);
        lane_step::<S, P, M, N, 3>(simd, product, rows, &block, b.add(3 * nr), acc);
    }
}

/// One k: N vectors of B against one lane of M vectors of A.
///
/// # Safety
/// `b` is valid for reading N vectors.
#[inline(always)]
pub(super) unsafe fn lane_step<
    S: Simd,
    P: Product<S>,
    const M: usize,
    const N: usize,
    const LANE: i32,
>(
    simd: S,
    product: P,
    rows: Range<usize>,
    a: &[S::Vector; M],
    b: *const P::Bits,
    acc: &mut [[S::Vector; N]; M],
) {
    let l = S::LANES;
    let mut bs = [simd.splat(0.0); N];
    for (n, v) in bs.iter_mut().enumerate() {
        // SAFETY: vector n of the N.
        *v = unsafe { product.load(simd, b.add(n * l)) };
    }
    for m in rows {
        for (v, b) in acc[m].iter_mut().zip(bs) {
            *v = product.mul_add_lane::<LANE>(simd, a[m], b, *v);
        }
    }
    if const { is_tight::<S, M, N>() } {
        barrier(simd, acc);
    }
}

/// Between two steps: otherwise the next one's loads are hoisted into this one and accumulators
/// spill.
#[inline(always)]
pub(super) fn barrier<S: Simd, const M: usize, const N: usize>(
    simd: S,
    acc: &mut [[S::Vector; N]; M],
) {
    for v in acc.as_flattened_mut() {
        *v = simd.barrier(*v);
    }
}

/// One k: N vectors of B against M broadcasts of A.
///
/// # Safety
/// - `a` is valid for reading an element at m·`a_row` for each m < M.
/// - `b` is valid for reading N vectors.
#[inline(always)]
pub(super) unsafe fn step<S: Simd, P: Product<S>, const M: usize, const N: usize>(
    simd: S,
    product: P,
    a: *const f32,
    a_row: usize,
    b: *const P::Bits,
    acc: &mut [[S::Vector; N]; M],
) {
    let l = S::LANES;
    let mut bs = [simd.splat(0.0); N];
    for (n, v) in bs.iter_mut().enumerate() {
        // SAFETY: vector n of the N.
        *v = unsafe { product.load(simd, b.add(n * l)) };
    }
    for (m, row) in acc.iter_mut().enumerate() {
        // SAFETY: row m < M has an element here.
        let a = simd.splat(unsafe { *a.add(m * a_row) });
        for (v, b) in row.iter_mut().zip(bs) {
            *v = product.mul_add(simd, a, b, *v);
        }
    }
}
