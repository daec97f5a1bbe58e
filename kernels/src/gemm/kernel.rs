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
//! All is f32: weights of 16 bits were made so by `widen`, or are here as they are loaded, for few pixels; an output of
//! 16 bits has its own epilogue, `narrow`.
//!
//! Departures:
//! 1. M×N accumulators live in registers over the whole k loop, which is outermost. Each output still
//!    has one chain, k ascending: no tile size and no vector width can change a bit of it.
//! 2. `b` is packed in panels of NR columns, padded with zeros: its loads need no tail. The padding's
//!    results are never stored.
//! 3. `a` is packed in blocks of as many k as a vector has lanes: `[k / L][MR][k % L]`. A producer then
//!    writes whole vectors of channels, untransposed, while here one pointer and constant
//!    displacements reach all rows, and memory is read strictly forward.
//!    Where nothing but copying would be done to the input, the packing is not worth its traffic: `a` is
//!    then the input itself (`DIRECT`), rows a number of elements apart that is known only at run time.
//! 4. While a tile is computed, part of the next B panel is prefetched into L2: B is the one operand
//!    that comes from further away, each panel once per tile of pixels. The lines of y that are written
//!    next are prefetched too, which pays where k is short (block 2 of Xception: k = 64 and 128), and so
//!    is the residual, which is read at the end: 24 lines from L3 would take a tenth of the tile's time.
//!    The input of the tile of pixels that comes next is prefetched where it is large. All this is asked for row
//!    by row in the course of the k loop: at once, 36 lines would fill the buffers for misses, and the loads of
//!    A wait behind them (147²·64→128 on Zen 4, AVX-512: spread takes 0.83 of the time).
//! 5. Where an FMA takes a lane of a vector as a factor (NEON), a row's L values of a block are loaded as
//!    one vector, in place of L broadcasts.
//! 6. `Pair`: where a CPU has dot products of bf16, an element of `a` and of `b` can be two along k, and the
//!    multiply-add such a product. Nothing else differs.
//! 7. The last vector of columns is masked when the layer's channels end inside it.

use crate::element::PointerMut;
use crate::isa::Isa;
use crate::isa::element::Element;
use crate::memory::{LINE, LINE_BYTES};
use crate::window::kernel::clamp;

/// Steps of k per turn of the inner loop: its own three instructions are then few among 20 per k.
const UNROLL: usize = 4;

/// One B panel over one range of k, against a column of micro-tiles.
#[derive(Debug)]
pub(crate) struct GemmTile {
    /// Micro-tiles of M rows each, one A panel for each.
    pub(crate) tiles: usize,
    /// The first A panel, or the first row if direct, at this range's first k (a multiple of the lanes).
    pub(crate) a: *const f32,
    /// Elements from one A panel to the next; from one row to the next if direct.
    pub(crate) a_step: usize,
    /// The B panel at this range's first k: `[depth][NR]`, of the kernel's elements.
    pub(crate) b: *const u8,
    /// Length of the range.
    pub(crate) depth: usize,
    /// The B panel that comes after this one, of which each micro-tile prefetches a part. Never
    /// dereferenced.
    pub(crate) ahead: *const u8,
    /// Micro-tiles of the same tile of pixels that came before these.
    pub(crate) before: usize,
    /// Output of the first column of the panel; row r (of all tiles) is at `y + y_rows[r]`.
    pub(crate) y: *mut f32,
    /// tiles·M offsets from `y`.
    pub(crate) y_rows: *const usize,
    /// The output's rows that are written next, to be prefetched: tiles·M offsets, or any numbers, from here on.
    /// Never dereferenced.
    pub(crate) written: PointerMut,
    pub(crate) written_rows: *const usize,
    /// Columns that exist, at least (N − 1)·lanes + 1 and at most N·lanes.
    pub(crate) columns: usize,
    /// NR elements that the chains begin with; null to continue from `y`.
    pub(crate) bias: *const f32,
    /// Whether this is the last range: residual and clamp are applied.
    pub(crate) last: bool,
    /// Like `y`, with `residual_rows`; null for none.
    pub(crate) residual: *const f32,
    /// tiles·M offsets from `residual`.
    pub(crate) residual_rows: *const usize,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
    /// What is prefetched for the next tile of pixels: `next_lines` cache lines from here on…
    pub(crate) next: *const u8,
    /// … and each of these tiles·M offsets in bytes (as many if `next_lines` is 0, unused then). Never
    /// dereferenced.
    pub(crate) next_rows: *const usize,
    pub(crate) next_lines: usize,
}

/// `b` is of elements W.
///
/// # Safety
/// The level of `I` is available. Each A panel is valid for the blocks of `depth` k of MR rows, or each of
/// tiles·M rows for `depth` k if `DIRECT`, `b` for `depth`·NR, `bias` (unless null) for NR elements,
/// `y_rows`, `written_rows`, `residual_rows` and `next_rows` as described, and each row of `y` and `residual` (unless null)
/// for `columns` elements; no other thread touches those of `y`.
#[inline(always)]
pub(crate) unsafe fn tile<
    I: Isa,
    W: Element,
    const M: usize,
    const N: usize,
    const DIRECT: bool,
>(
    t: &GemmTile,
) {
    for i in 0..t.tiles {
        // SAFETY: the caller's contract, for tile i.
        unsafe { micro_tile::<I, W, M, N, DIRECT>(t, i) };
    }
}

/// Micro-tile `i` of the column.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn micro_tile<I: Isa, W: Element, const M: usize, const N: usize, const DIRECT: bool>(
    t: &GemmTile,
    i: usize,
) {
    let l = I::LANES;
    let nr = const { I::NV * I::LANES };
    let full = t.columns == N * l;
    let head = I::head(t.columns - (N - 1) * l);
    let mut acc = [[I::splat(0.0); N]; M];
    let y_rows = t.y_rows.wrapping_add(i * M);

    // SAFETY (all blocks below): the caller's contract. A lane is read or written only if its column
    // exists: vectors before the last are whole, the last is whole or masked.
    if t.bias.is_null() {
        for (m, row) in acc.iter_mut().enumerate() {
            // SAFETY: see above.
            let y = unsafe { t.y.add(*y_rows.add(m)) };
            for (n, v) in row.iter_mut().enumerate() {
                // SAFETY: see above.
                *v = unsafe {
                    if n + 1 < N || full {
                        I::load(y.add(n * l))
                    } else {
                        I::load_head(head, y.add(n * l))
                    }
                };
            }
        }
    } else {
        for n in 0..N {
            // SAFETY: see above.
            let bias = unsafe { I::load(t.bias.add(n * l)) };
            for row in &mut acc {
                row[n] = bias;
            }
        }
    }

    let (a_row, a_block) = if DIRECT { (t.a_step, l) } else { (l, I::MR * l) };
    let a_tile = if DIRECT { M * t.a_step } else { t.a_step };
    // Of rows whose distance is a variable each keeps its offset in a register: the compiler would add them
    // up anew in each block.
    let rows: [usize; M] =
        core::array::from_fn(|m| if DIRECT { I::opaque(m * a_row) } else { m * a_row });
    let (mut a, mut b) = (t.a.wrapping_add(i * a_tile), t.b.cast::<W::Bits>());
    let mut ahead = (t.ahead.cast::<f32>())
        .wrapping_add((t.before + i) * (t.depth / l) * I::PREFETCH_LINES * LINE);
    // Row m is asked for after m / M of the blocks.
    let blocks = t.depth / l;
    let mut done = 0;
    for m in 0..M {
        // SAFETY: there are offsets for each row of the tiles.
        unsafe { ask::<I, N>(t, i * M + m) };
        done += blocks;
        while done >= M {
            done -= M;
            for _ in 0..I::PREFETCH_LINES {
                I::prefetch(ahead);
                ahead = ahead.wrapping_add(LINE);
            }
            if I::LANE_FMA {
                // SAFETY: see above; this is a whole block.
                unsafe { block::<I, W, M, N>(a, &rows, b, &mut acc) };
            } else {
                let unroll = const { if I::LANES < UNROLL { I::LANES } else { UNROLL } };
                for k in (0..l).step_by(unroll) {
                    for k in k..k + unroll {
                        // SAFETY: see above; this is k of a whole block.
                        unsafe { step::<I, W, M, N>(a.add(k), a_row, b.add(k * nr), &mut acc) };
                        settle::<I, M, N>(&mut acc);
                    }
                }
            }
            (a, b) = (a.wrapping_add(a_block), b.wrapping_add(nr * l));
        }
    }
    for k in 0..t.depth % l {
        // SAFETY: see above; k of the last, partial block.
        unsafe { step::<I, W, M, N>(a.add(k), a_row, b.add(k * nr), &mut acc) };
    }

    if t.last {
        if !t.residual.is_null() {
            for (m, row) in acc.iter_mut().enumerate() {
                // SAFETY: see above.
                let r = unsafe { t.residual.add(*t.residual_rows.add(i * M + m)) };
                for (n, v) in row.iter_mut().enumerate() {
                    // SAFETY: see above.
                    let r = unsafe {
                        if n + 1 < N || full {
                            I::load(r.add(n * l))
                        } else {
                            I::load_head(head, r.add(n * l))
                        }
                    };
                    *v = I::add(*v, r);
                }
            }
        }
        clamp::<I>(acc.as_flattened_mut(), t.bounds);
    }

    for (m, row) in acc.iter().enumerate() {
        // SAFETY: see above.
        let y = unsafe { t.y.add(*y_rows.add(m)) };
        for (n, v) in row.iter().enumerate() {
            // SAFETY: see above.
            unsafe {
                if n + 1 < N || full {
                    I::store(y.add(n * l), *v);
                } else {
                    I::store_head(head, y.add(n * l), *v);
                }
            }
        }
    }
}

/// Prefetches what is to be read and written after the sums of this micro-tile: the residual of row `row` of all
/// tiles, the output's row that is written then, and a pixel of the next tile of pixels.
///
/// # Safety
/// There are offsets for this row.
#[inline(always)]
unsafe fn ask<I: Isa, const N: usize>(t: &GemmTile, row: usize) {
    let l = I::LANES;
    // SAFETY: the caller's contract.
    let [written, residual, next] =
        unsafe { [*t.written_rows.add(row), *t.residual_rows.add(row), *t.next_rows.add(row)] };
    let size = t.written.element.size();
    let y = t.written.at.wrapping_add(written.wrapping_mul(size));
    for at in (0..N * l * size).step_by(LINE_BYTES) {
        I::prefetch_write(y.wrapping_add(at).cast());
    }
    if t.last && !t.residual.is_null() {
        let r = t.residual.wrapping_add(residual);
        for at in (0..N * l).step_by(LINE) {
            I::prefetch_near(r.wrapping_add(at));
        }
        // It need not begin on a line.
        I::prefetch_near(r.wrapping_add(N * l - 1));
    }
    let x = t.next.wrapping_add(next);
    for line in 0..t.next_lines {
        I::prefetch(x.wrapping_add(line * LINE_BYTES).cast());
    }
}

/// A block of L = 4 k, if an FMA takes a lane as a factor: A is loaded once per row, not once per row and k.
/// All rows at once if there are registers for that; else one half after the other, and B twice.
///
/// # Safety
/// `a` is valid for L elements at each of `a_rows`, `b` for L·NR.
#[inline(always)]
unsafe fn block<I: Isa, W: Element, const M: usize, const N: usize>(
    a: *const f32,
    a_rows: &[usize; M],
    b: *const W::Bits,
    acc: &mut [[I::V; N]; M],
) {
    let rows = const { if is_tight::<I, M, N>() { M.div_ceil(2) } else { M } };
    // SAFETY: the caller's contract.
    unsafe {
        rows_of_block::<I, W, M, N>(0..rows, a, a_rows, b, acc);
        if rows < M {
            rows_of_block::<I, W, M, N>(rows..M, a, a_rows, b, acc);
        }
    }
}

/// Whether accumulators, a vector of A per row and those of B don't fit the registers.
const fn is_tight<I: Isa, const M: usize, const N: usize>() -> bool {
    M * N + M + N >= I::REGISTERS
}

/// # Safety
/// As [`block`].
#[inline(always)]
unsafe fn rows_of_block<I: Isa, W: Element, const M: usize, const N: usize>(
    rows: core::ops::Range<usize>,
    a: *const f32,
    a_rows: &[usize; M],
    b: *const W::Bits,
    acc: &mut [[I::V; N]; M],
) {
    let nr = const { I::NV * I::LANES };
    let mut block = [I::splat(0.0); M];
    for m in rows.clone() {
        // SAFETY: the caller's contract.
        block[m] = unsafe { I::load(a.add(a_rows[m])) };
    }
    // Not a loop: a lane is part of the instruction.
    const { assert!(!I::LANE_FMA || I::LANES == 4) };
    // SAFETY: the caller's contract.
    unsafe {
        lane_step::<I, W, M, N, 0>(rows.clone(), &block, b, acc);
        lane_step::<I, W, M, N, 1>(rows.clone(), &block, b.add(nr), acc);
        lane_step::<I, W, M, N, 2>(rows.clone(), &block, b.add(2 * nr), acc);
        lane_step::<I, W, M, N, 3>(rows, &block, b.add(3 * nr), acc);
    }
}

/// One k: N vectors of B against one lane of M vectors of A.
///
/// # Safety
/// `b` is valid for N vectors.
#[inline(always)]
unsafe fn lane_step<I: Isa, W: Element, const M: usize, const N: usize, const LANE: i32>(
    rows: core::ops::Range<usize>,
    a: &[I::V; M],
    b: *const W::Bits,
    acc: &mut [[I::V; N]; M],
) {
    let l = I::LANES;
    let mut bs = [I::splat(0.0); N];
    for (n, v) in bs.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        *v = unsafe { W::load::<I>(b.add(n * l)) };
    }
    for m in rows {
        for (v, b) in acc[m].iter_mut().zip(bs) {
            *v = if W::PAIR {
                I::dot_lane::<LANE>(a[m], b, *v)
            } else {
                I::mul_add_lane::<LANE>(a[m], b, *v)
            };
        }
    }
    if const { is_tight::<I, M, N>() } {
        settle::<I, M, N>(acc);
    }
}

/// Between two steps: otherwise the next one's loads are hoisted into this one and accumulators spill.
#[inline(always)]
fn settle<I: Isa, const M: usize, const N: usize>(acc: &mut [[I::V; N]; M]) {
    for v in acc.as_flattened_mut() {
        *v = I::settle(*v);
    }
}

/// One k: N vectors of B against M broadcasts of A.
///
/// # Safety
/// `a` is valid at m·`a_row` for m < M, `b` for N vectors.
#[inline(always)]
unsafe fn step<I: Isa, W: Element, const M: usize, const N: usize>(
    a: *const f32,
    a_row: usize,
    b: *const W::Bits,
    acc: &mut [[I::V; N]; M],
) {
    let l = I::LANES;
    let mut bs = [I::splat(0.0); N];
    for (n, v) in bs.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        *v = unsafe { W::load::<I>(b.add(n * l)) };
    }
    for (m, row) in acc.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        let a = I::splat(unsafe { *a.add(m * a_row) });
        for (v, b) in row.iter_mut().zip(bs) {
            *v = if W::PAIR { I::dot(a, b, *v) } else { I::mul_add(a, b, *v) };
        }
    }
}
