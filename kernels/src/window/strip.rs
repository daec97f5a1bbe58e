//! The strip micro-kernel: 3×3 depthwise convolution, stride 1, of a rectangle of output pixels, every
//! channel.
//!
//! ```text
//! for c in 0..channels
//!   for r in 0..rows, p in 0..P             // output pixels
//!     acc = bias(c)
//!     for ky in 0..3, kx in 0..3            // taps inside the input only
//!       acc = fma(load(x[r + ky][p + kx][c]), w[ky][kx][c], acc)
//!     y[r][p][c] = clamp(acc + residual[r][p][c])
//! ```
//!
//! Departures:
//! 1. Channels go by vectors; the last is masked when channels end inside it.
//! 2. Input rows are outermost and each is read once: it is the last row of one output row's window, the
//!    middle one of the next and the first of the one after, whose 3·P accumulators are alive at a time.
//!    Row by row an output vector takes 3·(P + 2) / P lines from L2, a strip of R rows takes
//!    (R + 2)·(P + 2) / (R·P), and lines are what a depthwise convolution waits for.
//!    Each output still has one chain, taps ascending.
//! 3. At the ends of a strip fewer output rows are alive; each case is compiled by itself.
//! 4. Input rows above and below the picture are left out; so are the first and the last column if they
//!    lie outside, which decides once per row what a kernel for single pixels would pay for per pixel.
//! 5. The input of the strip that comes next is prefetched: a strip reads short pieces of many rows, a
//!    pattern that hardware does not foresee.

use pulp::Simd;

use super::kernel::{RELU, clamp};
use crate::isa::{Isa, V, head, lanes, load, load_head, store, store_head};
use crate::memory::LINE;

/// Kernel rows and columns.
pub(crate) const K: usize = 3;
/// The widest strip.
pub(crate) const MAX_PIXELS: usize = 6;
/// Input columns of the widest strip.
const MAX_COLUMNS: usize = MAX_PIXELS + K - 1;

/// One call of the micro-kernel.
#[derive(Debug)]
pub(crate) struct StripTile {
    /// Channel 0 of the first output pixel's first tap, which may lie outside the input. Only what lies
    /// inside is dereferenced.
    pub(crate) x: *const f32,
    /// Elements from one input row to the next.
    pub(crate) x_row: usize,
    /// Elements from one input column to the next.
    pub(crate) x_column: usize,
    /// Output rows, at least one.
    pub(crate) rows: usize,
    /// Of the rows + 2 input rows those that lie inside the input.
    pub(crate) inside: core::ops::Range<usize>,
    /// Whether the first input column lies outside.
    pub(crate) left: bool,
    /// Whether the last input column lies outside.
    pub(crate) right: bool,
    /// The first of the P input columns that the strip after this one does not share with it, in its first
    /// row; null to prefetch nothing. Never dereferenced.
    pub(crate) ahead: *const f32,
    /// Channels.
    pub(crate) channels: usize,
    /// The weights of the first block of channels: `[ky][kx][lane]`; those of the next follow.
    pub(crate) weights: *const f32,
    /// Biases, padded to whole vectors.
    pub(crate) bias: *const f32,
    /// Channel 0 of the first output row.
    pub(crate) y: *mut f32,
    /// Elements from one output row to the next.
    pub(crate) y_row: usize,
    /// Pixel p of row r is at `y + r·y_row + y_pixels[r·y_pixels_row + p]`.
    pub(crate) y_pixels: *const usize,
    /// See there.
    pub(crate) y_pixels_row: usize,
    /// Elements from one vector of channels to the next.
    pub(crate) y_block: usize,
    /// Channel 0 of the residual; null for none. Its channels are contiguous.
    pub(crate) residual: *const f32,
    /// Elements from one pixel of the residual to the next.
    pub(crate) residual_pixel: usize,
    /// Elements from one row of the residual to the next.
    pub(crate) residual_row: usize,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
}

/// # Safety
/// The level of `I` is available. For `rows` × P pixels and all channels: `residual` is valid for
/// reading, `y` for writing with no other thread touching it. `x` is valid for reading in the rows
/// `inside` and the P + 2 columns without those named by `left` and `right`. `y_pixels` has the elements
/// described. `weights` and `bias` are valid for whole vectors.
#[inline(always)]
pub(crate) unsafe fn strip<I: Isa, const P: usize, const LOAD: u8>(s: I::S, t: &StripTile) {
    let l = const { lanes::<I>() };
    let whole = t.channels / l;
    for block in 0..whole {
        // SAFETY: the caller's contract; all lanes of this block are channels.
        unsafe { channels::<I, P, LOAD, true>(s, t, block, l) };
    }
    if !t.channels.is_multiple_of(l) {
        // SAFETY: the caller's contract; the rest of the channels, masked.
        unsafe { channels::<I, P, LOAD, false>(s, t, whole, t.channels % l) };
    }
}

/// One vector of channels, of which `n` exist; all if `FULL`.
///
/// # Safety
/// As [`strip`], for these channels.
#[inline(always)]
unsafe fn channels<I: Isa, const P: usize, const LOAD: u8, const FULL: bool>(
    s: I::S,
    t: &StripTile,
    block: usize,
    n: usize,
) {
    let l = const { lanes::<I>() };
    let c = block * l;
    let mask = head::<I>(s, n);
    // SAFETY: biases are padded to whole vectors.
    let bias = unsafe { load::<I>(t.bias.add(c)) };
    let weights = t.weights.wrapping_add(block * (K * K * l));
    let prefetch = !t.ahead.is_null() && c.is_multiple_of(LINE);
    // The output rows v − 2, v − 1 and v, for which input row v is the last, middle and first one.
    let mut acc = [[bias; P]; K];
    let (mut x, mut ahead) = (t.x.wrapping_add(c), t.ahead.wrapping_add(c));
    let mut y = t.y.wrapping_add(block * t.y_block);
    let mut y_pixels = t.y_pixels;
    let mut residual = t.residual.wrapping_add(c);
    for v in 0..t.rows + K - 1 {
        if t.inside.contains(&v) {
            if prefetch {
                for i in 0..P {
                    I::prefetch(ahead.wrapping_add(i * t.x_column));
                }
            }
            let row = Row::<I, LOAD, FULL> { x, mask, weights };
            // SAFETY: row v lies inside the input, of which n channels from c on exist.
            unsafe {
                match (v < 2, v < 1, v + 1 > t.rows, v > t.rows) {
                    (false, _, false, _) => row.apply::<P, 0, 3>(s, t, &mut acc),
                    (_, true, false, _) => row.apply::<P, 2, 3>(s, t, &mut acc),
                    (true, _, false, _) => row.apply::<P, 1, 3>(s, t, &mut acc),
                    (_, _, _, true) => row.apply::<P, 0, 1>(s, t, &mut acc),
                    (false, ..) => row.apply::<P, 0, 2>(s, t, &mut acc),
                    (true, ..) => row.apply::<P, 1, 2>(s, t, &mut acc),
                }
            }
        }
        x = x.wrapping_add(t.x_row);
        ahead = ahead.wrapping_add(t.x_row);
        if v + 1 >= K {
            for (p, &acc) in acc[0].iter().enumerate() {
                let mut out = acc;
                if !t.residual.is_null() {
                    let r = residual.wrapping_add(p * t.residual_pixel);
                    // SAFETY: n channels of this pixel of the residual exist.
                    let r = unsafe { if FULL { load::<I>(r) } else { load_head::<I>(s, mask, r) } };
                    out = s.add_f32s(out, r);
                }
                out = clamp::<I>(s, out, t.bounds);
                // SAFETY: n channels of this pixel of the output exist, and P offsets of this row.
                unsafe {
                    let y = y.add(*y_pixels.add(p));
                    if FULL { store::<I>(y, out) } else { store_head::<I>(s, mask, y, out) }
                }
            }
            y = y.wrapping_add(t.y_row);
            y_pixels = y_pixels.wrapping_add(t.y_pixels_row);
            residual = residual.wrapping_add(t.residual_row);
        }
        acc = [acc[1], acc[2], [bias; P]];
    }
}

/// One input row of one vector of channels.
struct Row<I: Isa, const LOAD: u8, const FULL: bool> {
    /// At the first column.
    x: *const f32,
    mask: pulp::MemMask<<I::S as Simd>::m32s>,
    weights: *const f32,
}

impl<I: Isa, const LOAD: u8, const FULL: bool> Row<I, LOAD, FULL> {
    /// Adds the row's taps to the output rows `FIRST..END` that are alive.
    ///
    /// # Safety
    /// The row lies inside the input; the channels and weights exist.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "`skip` compiles to a call and memory traffic")]
    unsafe fn apply<const P: usize, const FIRST: usize, const END: usize>(
        &self,
        s: I::S,
        t: &StripTile,
        acc: &mut [[V<I>; P]; K],
    ) {
        let l = const { lanes::<I>() };
        let zero = s.splat_f32s(0.0);
        let input = |column: usize| {
            let x = self.x.wrapping_add(column * t.x_column);
            // SAFETY: the caller's contract.
            let x = unsafe { if FULL { load::<I>(x) } else { load_head::<I>(s, self.mask, x) } };
            if LOAD == RELU { I::at_least(s, zero, x) } else { x }
        };
        // SAFETY: the caller's contract.
        let weight =
            |ky: usize, kx: usize| unsafe { load::<I>(self.weights.add((ky * K + kx) * l)) };
        let mut columns = [zero; MAX_COLUMNS];
        for i in 1..=P {
            columns[i] = input(i);
        }
        if !t.left {
            let x = input(0);
            for j in FIRST..END {
                acc[j][0] = s.mul_add_f32s(x, weight(K - 1 - j, 0), acc[j][0]);
            }
        }
        for j in FIRST..END {
            for kx in 0..K {
                let w = weight(K - 1 - j, kx);
                // Without the first and the last column.
                for p in usize::from(kx == 0)..P - usize::from(kx == 2) {
                    acc[j][p] = s.mul_add_f32s(columns[p + kx], w, acc[j][p]);
                }
            }
        }
        if !t.right {
            let x = input(P + 1);
            for j in FIRST..END {
                acc[j][P - 1] = s.mul_add_f32s(x, weight(K - 1 - j, 2), acc[j][P - 1]);
            }
        }
    }
}
