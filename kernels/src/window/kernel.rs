//! The window micro-kernel: some output pixels of one row, every channel, one kernel window each.
//! Depthwise convolution, max pool and average pool differ only in how they combine taps.
//!
//! ```text
//! for c in 0..channels
//!   for p in 0..P                          // output pixels
//!     acc = start(c)                       // bias; −∞ for max; 0 for average
//!     for ky in 0..rows                    // taps inside the input only
//!       for kx in 0..columns
//!         acc = combine(acc, load(x[ky][p·stride + kx][c / multiplier]), w[ky][kx][c])
//!     y[p][c] = round(clamp(finish(acc) + residual[p][c]))
//! ```
//!
//! Departures:
//! 1. Channels go by vectors; the last is masked when channels end inside it, and fewer pixels are then
//!    computed at a time ([`tail`]).
//! 2. P pixels share each weight vector and give P independent chains, which hides the latency of the
//!    FMA. Each output has one chain, taps ascending, whatever P is.
//! 3. Borders cost nothing here: the caller passes the tap range that lies inside the input, the same
//!    for all P pixels.
//! 4. The rows that this output row is the first to use are prefetched one tile ahead: a tile reads a few
//!    short pieces of each row, a pattern that hardware does not foresee. So is the residual.
//! 5. Sliding (K > 0: kernels K wide, stride S, dense): each input column is loaded once per kernel row
//!    and used for all its taps, the row's K weights stay in registers. For 3×3 stride 1 and P pixels
//!    that is (P + 2 + 3) loads for 3·P FMAs, 0.5 at P = 10, where one pixel at a time takes 2.

use core::marker::PhantomData;

use crate::activation::{Activation, apply};
use crate::element::{Pointer, PointerMut};
use crate::simd::element::{Element, with_output};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// acc = fma(x, w, acc).
pub(crate) const DEPTHWISE: u8 = 0;
/// acc = max(acc, x).
pub(crate) const MAX: u8 = 1;
/// acc = acc + x, divided by the count at the end.
pub(crate) const AVERAGE: u8 = 2;

/// The input as it is.
pub(crate) const PLAIN: u8 = 0;
/// ReLU of the input.
pub(crate) const RELU: u8 = 1;
/// Any activation of input and output, any depth multiplier.
pub(crate) const ANY: u8 = 2;
/// The input bounded from below.
pub(crate) const BOUND: u8 = 3;

/// The largest number of pixels in a tile.
pub(crate) const MAX_PIXELS: usize = 8;

/// One call of the micro-kernel.
#[derive(Debug)]
pub(crate) struct WindowTile {
    /// Channel 0 of the first pixel's first tap. Not dereferenced if there are no taps.
    pub(crate) x: *const u8,
    /// Elements from one output pixel's taps to the next one's.
    pub(crate) x_pixel: usize,
    /// Elements from one kernel row to the next.
    pub(crate) x_row: usize,
    /// Elements from one kernel column to the next.
    pub(crate) x_column: usize,
    /// Kernel rows inside the input.
    pub(crate) rows: usize,
    /// How many of them, the last ones, are prefetched for the tile to the right.
    pub(crate) fresh_rows: usize,
    /// Kernel columns, the last ones, that the pixel to the left had no use for.
    pub(crate) fresh_columns: usize,
    /// Kernel columns inside the input.
    pub(crate) columns: usize,
    /// Output channels.
    pub(crate) channels: usize,
    /// Output channels per input channel.
    pub(crate) multiplier: usize,
    /// Depthwise: the first tap's weights of the first block of channels.
    pub(crate) weights: *const f32,
    /// Elements from one kernel row of weights to the next.
    pub(crate) weights_row: usize,
    /// Elements from one block of channels to the next.
    pub(crate) weights_block: usize,
    /// Depthwise: biases, padded to whole vectors.
    pub(crate) bias: *const f32,
    /// Applied to each input element by the kernels for any.
    pub(crate) input_activation: Activation,
    /// By those that bound it: from below, −∞ for not at all.
    pub(crate) input_bound: f32,
    /// Channel 0 of the output: of f32 or of the input's type, but for the kernels for any activation.
    pub(crate) y: PointerMut,
    /// Offsets of the pixels from `y`.
    pub(crate) y_pixels: [usize; MAX_PIXELS],
    /// Elements from one vector of channels to the next.
    pub(crate) y_block: usize,
    /// Channel 0 of the residual, of the output's type; null for none. Its channels are contiguous.
    pub(crate) residual: Pointer,
    /// Elements from one pixel of the residual to the next.
    pub(crate) residual_pixel: usize,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
    /// Applied to each output by the kernels for any, after the clamp.
    pub(crate) activation: Activation,
}

/// The kernel of P pixels for an input of elements X, combined by COMBINE and loaded as LOAD says. K is 0 for any
/// kernel width, stride and dilation; else the kernel is K wide, all of it inside the input, and `x_pixel` =
/// STRIDE·`x_column`. A kernel of one pixel goes with every stride, and has the STRIDE 1.
#[derive(Debug)]
pub(crate) struct Windows<
    X,
    const P: usize,
    const COMBINE: u8,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(PhantomData<X>);

impl<
    X: Element,
    const P: usize,
    const COMBINE: u8,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
> Kernel for Windows<X, P, COMBINE, LOAD, K, STRIDE>
{
    type Args = WindowTile;
    type Output = ();

    /// # Safety
    /// For P pixels, `rows` × `columns` taps and all channels:
    /// - `x` and `residual` are valid for reading.
    /// - `y` is valid for writing; no other thread touches it.
    /// - Depthwise: `weights` and `bias` are valid for whole vectors.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, t: &WindowTile) {
        let l = S::LANES;
        if LOAD == ANY {
            // The slow path, which would be twice as much code with one for whole vectors.
            for block in 0..t.channels.div_ceil(l) {
                let n = l.min(t.channels - block * l);
                let at = Channels { first: 0, block, mask: simd.mem_mask(n), count: n };
                // SAFETY: the caller's contract; n channels of this block exist.
                unsafe { channels::<S, X, P, COMBINE, LOAD, K, STRIDE, false>(simd, t, &at) };
            }
            return;
        }
        let whole = t.channels / l;
        for block in 0..whole {
            if (block * l).is_multiple_of(X::LINE) {
                prefetch_next::<S, X, P>(simd, t, block * l);
            }
            let at = Channels { first: 0, block, mask: simd.mem_mask(l), count: l };
            // SAFETY: the caller's contract; all lanes of this block are channels.
            unsafe { channels::<S, X, P, COMBINE, LOAD, K, STRIDE, true>(simd, t, &at) };
        }
        let rest = t.channels % l;
        if S::LANES > 1 && rest > 0 {
            let pixels = const { tail::<S>(P) };
            for first in (0..P).step_by(pixels) {
                let at = Channels { first, block: whole, mask: simd.mem_mask(rest), count: rest };
                // SAFETY: the caller's contract; the rest of the channels, masked, of pixels up to P, which
                // `pixels` divides. (One pixel slides nowhere.)
                unsafe {
                    match const { tail::<S>(P) } {
                        2 => channels::<S, X, 2, COMBINE, LOAD, K, STRIDE, false>(simd, t, &at),
                        _ => channels::<S, X, 1, COMBINE, LOAD, K, STRIDE, false>(simd, t, &at),
                    }
                }
            }
        }
    }
}

/// One vector of channels of some pixels.
struct Channels<S: Simd> {
    /// The first pixel.
    first: usize,
    /// The number of the vector.
    block: usize,
    /// The lanes that are channels.
    mask: S::MemMask,
    /// Their number.
    count: usize,
}

/// Pixels that are computed at a time where channels end inside a vector: a divisor of the tile's P. Few, as each
/// number is code of its own and most layers have whole vectors; yet of 728 channels half of the last 16 are missing.
pub(crate) const fn tail<S: Simd>(pixels: usize) -> usize {
    if S::LANES == 16 && pixels.is_multiple_of(2) { 2 } else { 1 }
}

/// Prefetches a cache line of each input pixel that the next tile is the first to use, and of its residual.
#[inline(always)]
fn prefetch_next<S: Simd, X: Element, const P: usize>(simd: S, t: &WindowTile, c: usize) {
    let old = t.columns - t.fresh_columns;
    // Steps beyond the picture may be any number: see `WindowPlan::run`.
    let x = t.x.cast::<X::Bits>();
    let next = x.wrapping_add(P.wrapping_mul(t.x_pixel)).wrapping_add(old * t.x_column + c);
    for ky in t.rows - t.fresh_rows..t.rows {
        let row = next.wrapping_add(ky * t.x_row);
        for p in 0..P {
            for kx in 0..t.fresh_columns {
                simd.prefetch_l2(row.wrapping_add(p * t.x_pixel + kx * t.x_column));
            }
        }
    }
    if t.fresh_rows > 0 && !t.residual.at.is_null() {
        for p in 0..P {
            simd.prefetch_l2(t.residual.add((P + p) * t.residual_pixel + c).at);
        }
    }
}

/// One vector of channels, all of them if FULL, of P pixels.
///
/// # Safety
/// As [`Windows`], for these channels and pixels.
#[inline(always)]
unsafe fn channels<
    S: Simd,
    X: Element,
    const P: usize,
    const COMBINE: u8,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
    const FULL: bool,
>(
    simd: S,
    t: &WindowTile,
    at: &Channels<S>,
) {
    let l = S::LANES;
    let Channels { first, block, mask, count } = *at;
    let c = block * l;
    let start = match COMBINE {
        // SAFETY: biases are padded to whole vectors.
        DEPTHWISE => unsafe { simd.load(t.bias.add(c)) },
        MAX => simd.splat(f32::NEG_INFINITY),
        _ => simd.splat(0.0),
    };
    let mut acc = [start; P];
    // Max pool: lanes that have seen no NaN.
    let mut ordered = [simd.is_ordered(start); P];
    let repeated = if LOAD == ANY && t.multiplier > 1 {
        Some(Repeated::new(simd, c, count, t.multiplier))
    } else {
        None
    };
    let input = Input::<S, LOAD, FULL> { simd, t, c, mask, repeated };
    let weight = |ky: usize, kx: usize| {
        let at = block * t.weights_block + ky * t.weights_row + kx * l;
        // SAFETY: weights are padded to whole vectors.
        unsafe { simd.load(t.weights.add(at)) }
    };
    for ky in 0..t.rows {
        let row = t.x.cast::<X::Bits>().wrapping_add(first * t.x_pixel + ky * t.x_row);
        if K > 0 {
            let mut weights = [start; K];
            for (kx, w) in weights.iter_mut().enumerate() {
                *w = weight(ky, kx);
            }
            // The K columns of the current pixel; of the next, K − STRIDE are the same.
            let mut columns = [start; K];
            for (i, x) in columns[STRIDE..].iter_mut().enumerate() {
                // SAFETY: a tap inside the input, of which n channels from c on exist.
                *x = unsafe { input.load::<X>(row.wrapping_add(i * t.x_column)) };
            }
            for (p, acc) in acc.iter_mut().enumerate() {
                for i in 0..K {
                    columns[i] = if i + STRIDE < K {
                        columns[i + STRIDE]
                    } else {
                        // SAFETY: as above.
                        unsafe { input.load::<X>(row.wrapping_add((p * STRIDE + i) * t.x_column)) }
                    };
                }
                for (&x, &w) in columns.iter().zip(&weights) {
                    *acc = simd.mul_add(x, w, *acc);
                }
                // Otherwise the columns of all pixels are loaded at once and spill, where beside accumulators,
                // weights and columns there is no room for a bound and two columns on their way.
                if const { P + 2 * K + 3 > S::REGISTERS } {
                    *acc = simd.barrier(*acc);
                }
            }
        } else {
            for kx in 0..t.columns {
                let x = row.wrapping_add(kx * t.x_column);
                let w = if COMBINE == DEPTHWISE { weight(ky, kx) } else { start };
                for (p, (acc, ordered)) in acc.iter_mut().zip(&mut ordered).enumerate() {
                    // SAFETY: as above.
                    let x = unsafe { input.load::<X>(x.wrapping_add(p * t.x_pixel)) };
                    match COMBINE {
                        DEPTHWISE => *acc = simd.mul_add(x, w, *acc),
                        MAX => {
                            *acc = simd.clamp_min(x, *acc);
                            *ordered = simd.and(*ordered, simd.is_ordered(x));
                        }
                        _ => *acc = simd.add(*acc, x),
                    }
                }
            }
        }
    }
    if COMBINE == MAX {
        for (acc, ordered) in acc.iter_mut().zip(ordered) {
            *acc = simd.select(ordered, *acc, simd.splat(f32::NAN));
        }
    }
    if COMBINE == AVERAGE {
        for acc in &mut acc {
            *acc = simd.div(*acc, simd.splat((t.rows * t.columns).max(1) as f32));
        }
    }
    if !t.residual.at.is_null() {
        // SAFETY: n channels of these pixels of the residual exist.
        unsafe {
            with_output!(
                X,
                LOAD == ANY,
                t.y.element,
                add_residual::<S, P, FULL>(simd, t, at, &mut acc)
            );
        }
    }
    clamp(simd, &mut acc, t.bounds);
    if LOAD == ANY {
        for v in &mut acc {
            *v = apply(simd, *v, t.activation);
        }
    }
    // SAFETY: n channels of these pixels of the output exist.
    unsafe {
        with_output!(X, LOAD == ANY, t.y.element, store::<S, P, LOAD, FULL>(simd, t, at, &acc));
    }
}

/// Adds one vector of channels of the pixels' residual, or the masked ones unless FULL.
///
/// # Safety
/// As [`Windows`], for these channels; the residual is of elements Y.
#[inline(always)]
unsafe fn add_residual<S: Simd, Y: Element, const P: usize, const FULL: bool>(
    simd: S,
    t: &WindowTile,
    &Channels { first, block, mask, .. }: &Channels<S>,
    acc: &mut [S::Vector; P],
) {
    let c = block * S::LANES;
    for (p, v) in acc.iter_mut().enumerate() {
        let r = t.residual.at.cast::<Y::Bits>().wrapping_add((first + p) * t.residual_pixel + c);
        // SAFETY: the caller's contract.
        let r = unsafe { if FULL { Y::load(simd, r) } else { Y::mask_load(simd, mask, r) } };
        *v = simd.add(*v, r);
    }
}

/// Rounds and stores one vector of channels of the pixels, or the masked ones unless FULL.
///
/// # Safety
/// As [`Windows`], for these channels; the output is of elements Y.
#[inline(always)]
unsafe fn store<S: Simd, Y: Element, const P: usize, const LOAD: u8, const FULL: bool>(
    simd: S,
    t: &WindowTile,
    &Channels { first, block, mask, .. }: &Channels<S>,
    acc: &[S::Vector; P],
) {
    for (p, &v) in acc.iter().enumerate() {
        // SAFETY: the caller's contract.
        unsafe {
            let y = t.y.at.cast::<Y::Bits>().add(t.y_pixels[first + p] + block * t.y_block);
            match (LOAD, FULL) {
                // From elements of another type, or an activation.
                (ANY, true) => Y::store(simd, y, v),
                (ANY, false) => Y::mask_store(simd, mask, y, v),
                (_, true) => Y::store_sum(simd, y, v),
                (_, false) => Y::mask_store_sum(simd, mask, y, v),
            }
        }
    }
}

/// An input element as PLAIN, RELU and BOUND want it.
#[inline(always)]
pub(crate) fn bounded<S: Simd, const LOAD: u8>(simd: S, x: S::Vector, bound: f32) -> S::Vector {
    match LOAD {
        RELU => simd.clamp_min(simd.splat(0.0), x),
        BOUND => simd.clamp_min(simd.splat(bound), x),
        _ => x,
    }
}

/// Compares only with bounds that exist: a comparison takes the place of an FMA. (Loop by loop: one for both is too long to
/// be unrolled for a GEMM's tile on NEON, and accumulators that a loop indexes live in memory, from the first k on.)
#[inline(always)]
pub(crate) fn clamp<S: Simd>(simd: S, values: &mut [S::Vector], (lo, hi): (f32, f32)) {
    if lo > f32::NEG_INFINITY {
        for v in &mut *values {
            *v = simd.clamp_min(simd.splat(lo), *v);
        }
    }
    if hi < f32::INFINITY {
        for v in values {
            *v = simd.clamp_max(simd.splat(hi), *v);
        }
    }
}

/// How one vector of channels, or the masked ones unless FULL, is loaded.
struct Input<'a, S: Simd, const LOAD: u8, const FULL: bool> {
    simd: S,
    t: &'a WindowTile,
    c: usize,
    mask: S::MemMask,
    repeated: Option<Repeated<S>>,
}

impl<S: Simd, const LOAD: u8, const FULL: bool> Input<'_, S, LOAD, FULL> {
    /// (Not a closure, which can't be `inline(always)`.)
    ///
    /// # Safety
    /// `x` is a tap inside the input, whose channels exist.
    #[inline(always)]
    unsafe fn load<X: Element>(&self, x: *const X::Bits) -> S::Vector {
        let simd = self.simd;
        // SAFETY: the caller's contract.
        let x = unsafe {
            match &self.repeated {
                Some(repeated) if LOAD == ANY => repeated.load::<X>(simd, x),
                _ if FULL => X::load(simd, x.add(self.c)),
                _ => X::mask_load(simd, self.mask, x.add(self.c)),
            }
        };
        if LOAD == ANY {
            apply(simd, x, self.t.input_activation)
        } else {
            bounded::<S, LOAD>(simd, x, self.t.input_bound)
        }
    }
}

/// Of one vector of output channels, several to an input channel: which input channels, and which lane each goes to.
struct Repeated<S: Simd> {
    first: usize,
    mask: S::MemMask,
    indices: S::Indices,
}

impl<S: Simd> Repeated<S> {
    /// For the output channels c..c + n, 1 ≤ n ≤ lanes, and a multiplier of at least 2. Input channel i has the output
    /// channels i·multiplier and on, so that no more than a vector of them is needed.
    #[inline(always)]
    fn new(simd: S, c: usize, n: usize, multiplier: usize) -> Self {
        let (first, mut phase) = (c / multiplier, c % multiplier);
        let mut lanes = [0; MAX_LANES];
        let mut input = 0;
        for lane in &mut lanes[..n] {
            if phase == multiplier {
                (input, phase) = (input + 1, 0);
            }
            *lane = input;
            phase += 1;
        }
        Self { first, mask: simd.mem_mask(input as usize + 1), indices: simd.indices(lanes) }
    }

    /// # Safety
    /// The input channels are valid for reading at `x`.
    #[inline(always)]
    unsafe fn load<X: Element>(&self, simd: S, x: *const X::Bits) -> S::Vector {
        // SAFETY: the caller's contract.
        simd.permute(unsafe { X::mask_load(simd, self.mask, x.add(self.first)) }, self.indices)
    }
}
