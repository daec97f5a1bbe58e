//! The strip micro-kernel: 3×3 depthwise convolution, stride S of 1 or 2, of a rectangle of output pixels,
//! every channel.
//!
//! ```text
//! for c in 0..channels
//!   for r in 0..rows, p in 0..P             // output pixels
//!     acc = bias(c)
//!     for ky in 0..3, kx in 0..3            // taps inside the input only
//!       acc = fma(load(x[r·S + ky][p·S + kx][c]), w[ky][kx][c], acc)
//!     y[r][p][c] = round(clamp(acc + residual[r][p][c]))
//! ```
//!
//! Departures:
//! 1. Channels go by vectors; the last is masked when channels end inside it, and fewer pixels are then
//!    computed at a time ([`tail`]).
//! 2. Input rows are outermost and each is read once. With S = 1 it is the last row of one output row's
//!    window, the middle one of the next and the first of the one after, with S = 2 the last and the first
//!    or a middle one; the accumulators of all of them are alive at a time. Row by row an output vector
//!    takes 3·(P + 2) / P lines from L2 with S = 1, a strip of R rows takes (R + 2)·(P + 2) / (R·P), and
//!    lines are what a depthwise convolution waits for. Each output still has one chain, taps ascending.
//! 3. At the ends of a strip fewer output rows are alive; each case is compiled by itself.
//! 4. Input rows above and below the picture are left out; so are the first and the last column if they
//!    lie outside, which decides once per row what a kernel for single pixels would pay for per pixel.
//! 5. Where two vectors of channels are a line (AVX2, f32), strips of two pixels take two at a time, so that no line
//!    comes twice: with S = 2, where few rows and pixels share what is loaded and a strip reaches more lines than L1
//!    keeps, and with S = 1 if the lines of a strip compete for few sets of L1. Else three pixels share more loads.
//! 6. The input of the strip that comes next is prefetched: a strip reads short pieces of many rows, a
//!    pattern that hardware does not foresee. So is a large output, which else waits for the lines that it
//!    writes: into L2, as one is written by channels, when the lines of a strip compete for few sets of L1.

use core::marker::PhantomData;

use super::kernel::{PLAIN, bounded, clamp, tail};
use crate::element::{Pointer, PointerMut};
use crate::memory::LINE_BYTES;
use crate::simd::element::{Element, with_output};
use crate::simd::{Kernel, Simd};

/// Kernel rows and columns.
pub(crate) const K: usize = 3;
/// The widest strip.
pub(crate) const MAX_PIXELS: usize = 6;
/// Pixels of the strips where two vectors of channels go at a time.
pub(crate) const PAIR: usize = 2;
/// Input columns of the widest strip, stride 2.
const MAX_COLUMNS: usize = (MAX_PIXELS - 1) * 2 + K;

/// One call of the micro-kernel.
#[derive(Debug)]
pub(crate) struct StripTile {
    /// Channel 0 of the first output pixel's first tap, which may lie outside the input. Only what lies
    /// inside is dereferenced.
    pub(crate) x: *const u8,
    /// Elements from one input row to the next.
    pub(crate) x_row: usize,
    /// Elements from one input column to the next.
    pub(crate) x_column: usize,
    /// Output rows, at least one.
    pub(crate) rows: usize,
    /// Of the (rows − 1)·S + 3 input rows those that lie inside the input.
    pub(crate) inside: core::ops::Range<usize>,
    /// Whether the first input column lies outside.
    pub(crate) left: bool,
    /// Whether the last input column lies outside.
    pub(crate) right: bool,
    /// The first of the S·P input columns that the strip after this one does not share with the one to its
    /// left, in its first row; null to prefetch nothing. Never dereferenced.
    pub(crate) ahead: *const u8,
    /// By which the kernels that do so bound the input from below, −∞ for not at all.
    pub(crate) input_bound: f32,
    /// Channels.
    pub(crate) channels: usize,
    /// The weights of the first block of channels: `[ky][kx][lane]`; those of the next follow.
    pub(crate) weights: *const f32,
    /// Biases, padded to whole vectors.
    pub(crate) bias: *const f32,
    /// Channel 0 of the first output row; of f32 or of the input's type.
    pub(crate) y: PointerMut,
    /// Elements from one output row to the next.
    pub(crate) y_row: usize,
    /// Pixel p of row r is at `y + r·y_row + y_pixels[r·y_pixels_row + p]`.
    pub(crate) y_pixels: *const usize,
    /// See there.
    pub(crate) y_pixels_row: usize,
    /// Elements from an output pixel to the one in its place in the strip after this one, whose channels are prefetched
    /// as one piece; 0 for none.
    pub(crate) y_ahead: usize,
    /// Elements from one vector of channels to the next.
    pub(crate) y_block: usize,
    /// Channel 0 of the residual, of the output's type; null for none. Its channels are contiguous.
    pub(crate) residual: Pointer,
    /// Elements from one pixel of the residual to the next.
    pub(crate) residual_pixel: usize,
    /// Elements from one row of the residual to the next.
    pub(crate) residual_row: usize,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
}

/// The kernel of P columns of output pixels for an input of elements X, loaded as LOAD says.
#[derive(Debug)]
pub(crate) struct Strip<X, const P: usize, const STRIDE: usize, const LOAD: u8>(PhantomData<X>);

impl<X: Element, const P: usize, const STRIDE: usize, const LOAD: u8> Kernel
    for Strip<X, P, STRIDE, LOAD>
{
    type Args = StripTile;
    type Output = ();

    /// # Safety
    /// For `rows` × P pixels and all channels:
    /// - `residual` is valid for reading, `y` for writing; no other thread touches `y`.
    /// - `x` is valid for reading in the rows `inside` and the (P − 1)·STRIDE + 3 columns without those named
    ///   by `left` and `right`.
    /// - `y_pixels` has the elements described.
    /// - `weights` and `bias` are valid for whole vectors.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, t: &StripTile) {
        let l = S::LANES;
        let whole = t.channels / l;
        let all = Pixels { first: 0, left: t.left, right: t.right };
        let mut paired = 0;
        if const { P == PAIR && pairs::<S, X>() } {
            paired = whole - whole % 2;
            for block in (0..paired).step_by(2) {
                if const { prefetches_output::<S, STRIDE, LOAD>() } && t.y_ahead > 0 {
                    prefetch_output::<S, X, P>(simd, t, block * l);
                }
                // SAFETY: the caller's contract; all lanes of both blocks are channels.
                unsafe { channels::<S, X, P, STRIDE, LOAD, true, 2>(simd, t, all, block, l) };
            }
        }
        for block in paired..whole {
            if const { prefetches_output::<S, STRIDE, LOAD>() }
                && t.y_ahead > 0
                && (block * l).is_multiple_of(X::LINE)
            {
                prefetch_output::<S, X, P>(simd, t, block * l);
            }
            // SAFETY: the caller's contract; all lanes of this block are channels.
            unsafe { channels::<S, X, P, STRIDE, LOAD, true, 1>(simd, t, all, block, l) };
        }
        let rest = t.channels % l;
        if rest > 0 {
            let pixels = const { tail::<S>(P) };
            for first in (0..P).step_by(pixels) {
                let left = t.left && first == 0;
                let right = t.right && first + pixels == P;
                let at = Pixels { first, left, right };
                // SAFETY: the caller's contract; the rest of the channels, masked, of pixels up to P, which
                // `pixels` divides.
                unsafe {
                    match const { tail::<S>(P) } {
                        2 => channels::<S, X, 2, STRIDE, LOAD, false, 1>(simd, t, at, whole, rest),
                        _ => channels::<S, X, 1, STRIDE, LOAD, false, 1>(simd, t, at, whole, rest),
                    }
                }
            }
        }
    }
}

/// Whether strips of [`PAIR`] pixels take two vectors of channels at a time: where these are a line and registers so scarce
/// that strips are narrow anyway.
pub(crate) const fn pairs<S: Simd, X: Element>() -> bool {
    S::REGISTERS < 32 && S::LANES * 2 == X::LINE
}

/// Whether strips prefetch outputs: not of stride 2, which write a quarter of what they read, nor where registers
/// are scarce and bounds take one, as an accumulator would be in memory then.
const fn prefetches_output<S: Simd, const STRIDE: usize, const LOAD: u8>() -> bool {
    STRIDE == 1 && (LOAD == PLAIN || S::REGISTERS >= 32)
}

/// Prefetches a part of what the strip after this one writes: P lines of each row, for the line of channels here that
/// begins with `c`.
#[inline(always)]
fn prefetch_output<S: Simd, X: Element, const P: usize>(simd: S, t: &StripTile, c: usize) {
    let mut y = t.y.add(t.y_ahead + c * P);
    for _ in 0..t.rows {
        for at in (0..P * X::LINE * y.element.size()).step_by(LINE_BYTES) {
            simd.prefetch_l2(y.at.wrapping_add(at));
        }
        y = y.add(t.y_row);
    }
}

/// Some of a strip's columns of output pixels.
#[derive(Clone, Copy)]
struct Pixels {
    first: usize,
    /// Whether their first input column lies outside.
    left: bool,
    /// Whether their last one does.
    right: bool,
}

/// B vectors of channels, of which `n` channels exist, all if `FULL` (as it is if B > 1), of P columns of pixels.
///
/// # Safety
/// As [`Strip`], for these channels and pixels.
#[inline(always)]
unsafe fn channels<
    S: Simd,
    X: Element,
    const P: usize,
    const STRIDE: usize,
    const LOAD: u8,
    const FULL: bool,
    const B: usize,
>(
    simd: S,
    t: &StripTile,
    at: Pixels,
    block: usize,
    n: usize,
) {
    let l = S::LANES;
    let c = block * l;
    let mask = simd.mem_mask(n);
    // (Loops, and not `map`, for the sake of the time in which this compiles.)
    let mut start = [[simd.splat(0.0); P]; B];
    for (b, start) in start.iter_mut().enumerate() {
        // SAFETY: biases are padded to whole vectors.
        *start = [unsafe { simd.load(t.bias.add(c + b * l)) }; P];
    }
    let weights = t.weights.wrapping_add(block * (K * K * l));
    // What is left of the channels lies in lines asked for with the others, or nearly.
    let prefetch = FULL && !t.ahead.is_null() && c.is_multiple_of(X::LINE);
    let mut acc = [start; K];
    // In each row the strip ahead lies in one piece unless pixels have gaps between them. Line after line
    // of it, P per vector of channels, hardware sees the stream and runs ahead of it in turn.
    let (ahead_column, ahead_c) =
        if t.x_column == t.channels { (X::LINE, c * STRIDE * P) } else { (t.x_column, c) };
    let first = t.x.cast::<X::Bits>().wrapping_add(at.first * STRIDE * t.x_column);
    let mut x = first.wrapping_add(c);
    // From there to what is prefetched.
    let ahead = (t.ahead.cast::<X::Bits>().wrapping_add(ahead_c).addr()).wrapping_sub(x.addr());
    let mut output = Output::<FULL> {
        y: t.y.add(block * t.y_block),
        y_pixels: t.y_pixels.wrapping_add(at.first),
        residual: t.residual.add(at.first * t.residual_pixel + c),
    };
    // The next input row, if it lies inside.
    let mut row = |v: usize| {
        let row = Row::<S, X, P, STRIDE, LOAD, FULL> {
            simd,
            x,
            mask,
            weights,
            left: at.left,
            right: at.right,
        };
        let inside = t.inside.contains(&v);
        if inside && prefetch {
            let ahead = x.wrapping_byte_add(ahead);
            for i in 0..STRIDE * P {
                simd.prefetch_l2(ahead.wrapping_add(i * ahead_column));
            }
        }
        x = x.wrapping_add(t.x_row);
        inside.then_some(row)
    };
    if STRIDE == 1 {
        // acc: the output rows v − 2, v − 1 and v, for which input row v is the last, middle and first.
        for v in 0..t.rows + K - 1 {
            if let Some(row) = row(v) {
                // SAFETY: this row lies inside the input, of which n channels from c on exist.
                unsafe {
                    match (v < 2, v < 1, v + 1 > t.rows, v > t.rows) {
                        (false, _, false, _) => row.apply::<0, 3, B>(t, &mut acc, 2),
                        (_, true, false, _) => row.apply::<2, 3, B>(t, &mut acc, 0),
                        (true, _, false, _) => row.apply::<1, 3, B>(t, &mut acc, 1),
                        (_, _, _, true) => row.apply::<0, 1, B>(t, &mut acc, 2),
                        (false, ..) => row.apply::<0, 2, B>(t, &mut acc, 2),
                        (true, ..) => row.apply::<1, 2, B>(t, &mut acc, 1),
                    }
                }
            }
            if v + 1 >= K {
                // SAFETY: n channels of the pixels of output row v − 2 exist.
                unsafe { output.store::<S, X, P, B>(simd, t, mask, &acc[0]) };
            }
            if B > 1 {
                // Not kept from row to row, as registers are scarce.
                for (b, start) in start.iter_mut().enumerate() {
                    // SAFETY: biases are padded to whole vectors.
                    *start = [unsafe { simd.load(t.bias.add(c + b * l)) }; P];
                }
            }
            acc = [acc[1], acc[2], start];
        }
    } else {
        // acc: the output rows r − 1 and r, for which input row 2·r is the last and the first.
        for r in 0..=t.rows {
            if let Some(row) = row(2 * r) {
                // SAFETY: as above.
                unsafe {
                    match (r > 0, r < t.rows) {
                        (true, true) => row.apply::<0, 2, B>(t, &mut acc, 2),
                        (true, false) => row.apply::<0, 1, B>(t, &mut acc, 2),
                        (false, _) => row.apply::<1, 2, B>(t, &mut acc, 0),
                    }
                }
            }
            if r > 0 {
                // SAFETY: n channels of the pixels of output row r − 1 exist.
                unsafe { output.store::<S, X, P, B>(simd, t, mask, &acc[0]) };
            }
            acc = [acc[1], start, acc[2]];
            if r < t.rows
                && let Some(row) = row(2 * r + 1)
            {
                // SAFETY: as above.
                unsafe { row.apply::<0, 1, B>(t, &mut acc, 1) };
            }
        }
    }
}

/// Where the next output row goes, the first vector of channels of it.
struct Output<const FULL: bool> {
    y: PointerMut,
    y_pixels: *const usize,
    residual: Pointer,
}

impl<const FULL: bool> Output<FULL> {
    /// Finishes and stores a row and moves on to the next.
    ///
    /// # Safety
    /// The row exists in the tile, and so do the channels.
    #[inline(always)]
    unsafe fn store<S: Simd, X: Element, const P: usize, const B: usize>(
        &mut self,
        simd: S,
        t: &StripTile,
        mask: S::MemMask,
        acc: &[[S::Vector; P]; B],
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            with_output!(
                X,
                false,
                self.y.element,
                finish::<S, P, FULL, B>(simd, self, t, mask, acc)
            );
        }
        self.y = self.y.add(t.y_row);
        self.y_pixels = self.y_pixels.wrapping_add(t.y_pixels_row);
        self.residual = self.residual.add(t.residual_row);
    }
}

/// # Safety
/// As [`Output::store`]; output and residual are of elements Y.
#[inline(always)]
unsafe fn finish<S: Simd, Y: Element, const P: usize, const FULL: bool, const B: usize>(
    simd: S,
    output: &Output<FULL>,
    t: &StripTile,
    mask: S::MemMask,
    acc: &[[S::Vector; P]; B],
) {
    for (b, &acc) in acc.iter().enumerate() {
        let mut out = acc;
        if !t.residual.at.is_null() {
            let residual = output.residual.at.cast::<Y::Bits>().wrapping_add(b * S::LANES);
            for (p, out) in out.iter_mut().enumerate() {
                let r = residual.wrapping_add(p * t.residual_pixel);
                // SAFETY: the caller's contract.
                let r =
                    unsafe { if FULL { Y::load(simd, r) } else { Y::mask_load(simd, mask, r) } };
                *out = simd.add(*out, r);
            }
        }
        // Looked at as bits in each row, and read only then: kept, bounds would take up registers that rows need.
        // SAFETY: references.
        let read = |bound: &f32| unsafe { core::ptr::from_ref(bound).read_volatile() };
        if t.bounds.0.to_bits() != f32::NEG_INFINITY.to_bits() {
            clamp(simd, &mut out, (read(&t.bounds.0), f32::INFINITY));
        }
        if t.bounds.1.to_bits() != f32::INFINITY.to_bits() {
            clamp(simd, &mut out, (f32::NEG_INFINITY, read(&t.bounds.1)));
        }
        for (p, &out) in out.iter().enumerate() {
            // SAFETY: the caller's contract; there are P offsets for the row.
            unsafe {
                let y = output.y.at.cast::<Y::Bits>().add(*output.y_pixels.add(p) + b * t.y_block);
                if FULL {
                    Y::store_sum(simd, y, out)
                } else {
                    Y::mask_store_sum(simd, mask, y, out)
                }
            }
        }
    }
}

/// One input row, of the first vector of channels.
struct Row<
    S: Simd,
    X: Element,
    const P: usize,
    const STRIDE: usize,
    const LOAD: u8,
    const FULL: bool,
> {
    /// At the first column.
    x: *const X::Bits,
    simd: S,
    mask: S::MemMask,
    weights: *const f32,
    left: bool,
    right: bool,
}

impl<S: Simd, X: Element, const P: usize, const STRIDE: usize, const LOAD: u8, const FULL: bool>
    Row<S, X, P, STRIDE, LOAD, FULL>
{
    /// A column of the b-th vector. (Not a closure, which can't be `inline(always)`.)
    ///
    /// # Safety
    /// It lies inside the input.
    #[inline(always)]
    unsafe fn input(&self, t: &StripTile, column: usize, b: usize) -> S::Vector {
        let simd = self.simd;
        let x = self.x.wrapping_add(column * t.x_column + b * S::LANES);
        // SAFETY: the caller's contract.
        let x = unsafe { if FULL { X::load(simd, x) } else { X::mask_load(simd, self.mask, x) } };
        bounded::<S, LOAD>(simd, x, t.input_bound)
    }

    /// [`Row::apply`] for two pixels and stride 1 where registers are scarce: 12 accumulators leave room for two columns and
    /// a weight. Weights that one pixel has a use for come from memory; at once, or the compiler would load them ahead.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "as there")]
    unsafe fn apply_pair<const FIRST: usize, const END: usize, const B: usize>(
        &self,
        t: &StripTile,
        acc: &mut [[[S::Vector; P]; B]; K],
        ky: usize,
    ) {
        let simd = self.simd;
        for b in 0..B {
            let weights = self.weights.wrapping_add(b * K * K * S::LANES);
            let weight = |j: usize, kx: usize| {
                let ky = ky - (j - FIRST);
                // SAFETY: the caller's contract.
                unsafe { simd.load(weights.add((ky * K + kx) * S::LANES)) }
            };
            // SAFETY (all blocks below): the caller's contract.
            if !self.left {
                // SAFETY: see above.
                let x = unsafe { self.input(t, 0, b) };
                for j in FIRST..END {
                    acc[j][b][0] = simd.barrier(simd.mul_add(x, weight(j, 0), acc[j][b][0]));
                }
            }
            // SAFETY: see above.
            let x = unsafe { self.input(t, 1, b) };
            for j in FIRST..END {
                acc[j][b][1] = simd.barrier(simd.mul_add(x, weight(j, 0), acc[j][b][1]));
            }
            // SAFETY: see above.
            let next = unsafe { self.input(t, 2, b) };
            for j in FIRST..END {
                let w = weight(j, 1);
                acc[j][b][0] = simd.barrier(simd.mul_add(x, w, acc[j][b][0]));
                acc[j][b][1] = simd.barrier(simd.mul_add(next, w, acc[j][b][1]));
            }
            for j in FIRST..END {
                acc[j][b][0] = simd.barrier(simd.mul_add(next, weight(j, 2), acc[j][b][0]));
            }
            if !self.right {
                // SAFETY: see above.
                let x = unsafe { self.input(t, 3, b) };
                for j in FIRST..END {
                    acc[j][b][1] = simd.barrier(simd.mul_add(x, weight(j, 2), acc[j][b][1]));
                }
            }
        }
    }

    /// Adds the row's taps to the accumulators `FIRST..END`: for the first it is row `ky` of the window, for
    /// each other one S rows less.
    ///
    /// # Safety
    /// The row lies inside the input; the channels and weights exist.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "`skip` compiles to a call and memory traffic")]
    unsafe fn apply<const FIRST: usize, const END: usize, const B: usize>(
        &self,
        t: &StripTile,
        acc: &mut [[[S::Vector; P]; B]; K],
        ky: usize,
    ) {
        let simd = self.simd;
        let l = S::LANES;
        let right = const { (P - 1) * STRIDE + K - 1 };
        let zero = simd.splat(0.0);
        if STRIDE == 1 && B > 1 {
            // SAFETY: the caller's contract.
            unsafe { self.apply_pair::<FIRST, END, B>(t, acc, ky) };
            return;
        }
        for b in 0..B {
            let weight = |j: usize, kx: usize| {
                let ky = ky - (j - FIRST) * STRIDE;
                // SAFETY: the caller's contract.
                unsafe { simd.load(self.weights.add((b * K * K + ky * K + kx) * l)) }
            };
            let mut columns = [zero; MAX_COLUMNS];
            for i in 1..right {
                // SAFETY: the caller's contract.
                columns[i] = unsafe { self.input(t, i, b) };
                // Bounded one after the other: all comparisons first would want as many registers again.
                if STRIDE > 1 && LOAD != PLAIN {
                    columns[i] = simd.barrier(columns[i]);
                }
            }
            if !self.left {
                // SAFETY: the caller's contract.
                let x = unsafe { self.input(t, 0, b) };
                for j in FIRST..END {
                    acc[j][b][0] = simd.mul_add(x, weight(j, 0), acc[j][b][0]);
                }
            }
            for j in FIRST..END {
                for kx in 0..K {
                    let w = weight(j, kx);
                    // Without the first and the last column.
                    for p in usize::from(kx == 0)..P - usize::from(kx == K - 1) {
                        acc[j][b][p] = simd.mul_add(columns[p * STRIDE + kx], w, acc[j][b][p]);
                    }
                    // Where registers are scarce weights must not be loaded ahead.
                    if STRIDE > 1 && S::REGISTERS < 32 {
                        for acc in &mut acc[j][b] {
                            *acc = simd.barrier(*acc);
                        }
                    }
                }
            }
            if !self.right {
                // SAFETY: the caller's contract.
                let x = unsafe { self.input(t, right, b) };
                for j in FIRST..END {
                    acc[j][b][P - 1] = simd.mul_add(x, weight(j, K - 1), acc[j][b][P - 1]);
                }
            }
        }
    }
}
