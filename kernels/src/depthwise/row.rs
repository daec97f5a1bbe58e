//! The depthwise convolution in the row kernel: how it combines the taps of a window.
//!
//! ```text
//! acc = bias(c)
//! for ky in 0..rows, kx in 0..columns
//!   acc = fma(x[ky][p·stride + kx][c], w[ky][kx][c], acc)
//! ```
//!
//! Departures of dense kernels, those whose taps lie side by side (or a dilation apart, and the
//! pixels with them):
//! 1. Input columns are outermost and each is loaded once per kernel row, for all pixels that have
//!    a tap there. Each output's taps still come in ascending order.
//! 2. A column outside the input is left out, for all pixels at once: tiles begin and end in the
//!    padding, where kernels for single pixels would be one chain that waits for itself. That
//!    costs a comparison for each of the K − 1 columns on either side.
//! 3. Of the usual widths K a row's weights stay in registers ([`DenseTaps`]). With K = 5, stride 1
//!    and P pixels that is (P + 4) + 5 loads for 5·P FMAs, 0.46 at P = 7, where one pixel at a time
//!    takes 2.
//! 4. Kernels of any other width, at least P, take their weights as operands from memory
//!    ([`LongTaps`]). Where all P pixels have a tap, no column is compared.

use crate::epilogue::Prologue;
use crate::rows::kernel::{Channels, Combine, Input, PixelOffsets, RowArgs, RowInput, Spans};
use crate::simd::Simd;
use crate::simd::element::Element;

/// Of any kernel width, stride and dilation.
#[derive(Debug)]
pub(crate) struct AnyTaps;

/// Of a kernel K wide and `pixel` = STRIDE·`column`. A kernel of one pixel goes with every stride,
/// and has the STRIDE 1.
#[derive(Debug)]
pub(crate) struct DenseTaps<const K: usize, const STRIDE: usize>;

/// Of a kernel at least as wide as there are pixels, and `pixel` = `column`.
#[derive(Debug)]
pub(crate) struct LongTaps;

/// The biases of a block of channels.
///
/// # Safety
/// Biases are valid for reading a vector of this block.
#[inline(always)]
unsafe fn bias<S: Simd>(simd: S, args: &RowArgs, block: usize) -> S::Vector {
    // SAFETY: a vector of this block is valid for reading.
    unsafe { simd.load(args.weights.bias.add(block * S::LANES)) }
}

/// The weights of a tap and a block of channels.
///
/// # Safety
/// Weights are valid for reading a vector of this block, for tap (ky, kx).
#[inline(always)]
unsafe fn weight<S: Simd>(
    simd: S,
    args: &RowArgs,
    block: usize,
    ky: usize,
    kx: usize,
) -> S::Vector {
    let at = block * args.weights.block + ky * args.weights.row + kx * S::LANES;
    // SAFETY: a vector of this block and tap is valid for reading.
    unsafe { simd.load(args.weights.at.add(at)) }
}

impl Combine for AnyTaps {
    #[inline(always)]
    unsafe fn start<S: Simd>(simd: S, args: &RowArgs, block: usize) -> S::Vector {
        // SAFETY: a depthwise convolution has biases for each block.
        unsafe { bias(simd, args, block) }
    }

    #[inline(always)]
    unsafe fn combine<S: Simd, X: Element, L: Prologue, const P: usize, const WHOLE: bool>(
        input: &Input<'_, S, L, WHOLE>,
        at: &Channels<S>,
        sums: &mut [S::Vector; P],
    ) {
        let Input { simd, args, .. } = *input;
        let RowInput { x, pixel, row, column, rows, ref columns, .. } = args.input;
        let weights = &args.weights;
        let offsets = PixelOffsets::new(simd, pixel);
        for ky in 0..rows {
            let weights = weights.at.wrapping_add(at.block * weights.block + ky * weights.row);
            let row = x.cast::<X::Bits>().wrapping_add(ky * row);
            for kx in columns.clone() {
                let x = row.wrapping_add(kx.wrapping_mul(column));
                // SAFETY: the caller's weights are valid for whole vectors at each tap.
                let w = unsafe { simd.load(weights.add(kx * S::LANES)) };
                for (p, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: a tap inside the input, whose channels exist.
                    let x = unsafe { input.load::<X>(x.wrapping_add(offsets.of(p))) };
                    *sum = simd.accumulate(x, w, *sum);
                }
            }
        }
    }
}

impl<const K: usize, const STRIDE: usize> Combine for DenseTaps<K, STRIDE> {
    const SPANS: Spans = Spans::Padding;

    #[inline(always)]
    unsafe fn start<S: Simd>(simd: S, args: &RowArgs, block: usize) -> S::Vector {
        // SAFETY: a depthwise convolution has biases for each block.
        unsafe { bias(simd, args, block) }
    }

    #[inline(always)]
    unsafe fn combine<S: Simd, X: Element, L: Prologue, const P: usize, const WHOLE: bool>(
        input: &Input<'_, S, L, WHOLE>,
        at: &Channels<S>,
        sums: &mut [S::Vector; P],
    ) {
        let Input { simd, args, .. } = *input;
        let from = &args.input;
        let (start, end) = (from.columns.start, from.columns.end);
        // For vectors that are set before they are used.
        let any = sums[0];
        for ky in 0..from.rows {
            let row = from.x.cast::<X::Bits>().wrapping_add(ky * from.row);
            let mut weights = [any; K];
            for (kx, w) in weights.iter_mut().enumerate() {
                // SAFETY: the caller's weights are valid for whole vectors at each tap.
                *w = unsafe { weight(simd, args, at.block, ky, kx) };
            }
            // Column i = q·STRIDE + r, of taps kx = t·STRIDE + r and pixels q − t.
            for q in 0..P + (K - 1) / STRIDE {
                for r in 0..STRIDE {
                    let i = q * STRIDE + r;
                    let last = const { (P - 1) * STRIDE + K - 1 };
                    // Each pixel has a column inside: those in the middle are.
                    let outside = (i < K - 1 && i < start) || (i > last - (K - 1) && i >= end);
                    if i > last || outside {
                        continue;
                    }
                    let x = row.wrapping_add(i.wrapping_mul(from.column));
                    // SAFETY: a column inside the input, whose channels exist.
                    let x = unsafe { input.load::<X>(x) };
                    for t in 0..K.div_ceil(STRIDE) {
                        if t * STRIDE + r < K && t <= q && q - t < P {
                            let w = weights[t * STRIDE + r];
                            sums[q - t] = simd.accumulate(x, w, sums[q - t]);
                        }
                    }
                }
            }
        }
    }
}

impl Combine for LongTaps {
    const SPANS: Spans = Spans::PaddingOfLong;

    #[inline(always)]
    unsafe fn start<S: Simd>(simd: S, args: &RowArgs, block: usize) -> S::Vector {
        // SAFETY: a depthwise convolution has biases for each block.
        unsafe { bias(simd, args, block) }
    }

    #[inline(always)]
    unsafe fn combine<S: Simd, X: Element, L: Prologue, const P: usize, const WHOLE: bool>(
        input: &Input<'_, S, L, WHOLE>,
        at: &Channels<S>,
        sums: &mut [S::Vector; P],
    ) {
        let Input { simd, args, .. } = *input;
        let from = &args.input;
        let (start, end, kernel) = (from.columns.start, from.columns.end, from.kernel);
        for ky in 0..from.rows {
            let row = from.x.cast::<X::Bits>().wrapping_add(ky * from.row);
            let weights = &args.weights;
            let weights = weights.at.wrapping_add(at.block * weights.block + ky * weights.row);
            // Columns up to which the first pixel alone, the first two … have taps.
            for i in 0..P - 1 {
                if i >= start && i < end {
                    let w = weights.wrapping_add(i * S::LANES);
                    // SAFETY: a column inside the input; the first i + 1 pixels have taps there.
                    unsafe {
                        let x = input.load::<X>(row.wrapping_add(i.wrapping_mul(from.column)));
                        for (p, sum) in sums.iter_mut().enumerate() {
                            if p <= i {
                                add_tap(simd, x, w, p, sum);
                            }
                        }
                    }
                }
            }
            // Those where all have.
            for i in start.max(P - 1)..end.min(kernel) {
                let w = weights.wrapping_add(i * S::LANES);
                // SAFETY: a column inside the input, where all pixels have taps.
                unsafe {
                    let x = input.load::<X>(row.wrapping_add(i.wrapping_mul(from.column)));
                    for (p, sum) in sums.iter_mut().enumerate() {
                        add_tap(simd, x, w, p, sum);
                    }
                }
            }
            // Those from which on all but the first have, all but the first two …
            for j in 0..P - 1 {
                let i = kernel + j;
                if i >= start && i < end {
                    let w = weights.wrapping_add(i * S::LANES);
                    // SAFETY: a column inside the input; the pixels after the j-th have taps there.
                    unsafe {
                        let x = input.load::<X>(row.wrapping_add(i.wrapping_mul(from.column)));
                        for (p, sum) in sums.iter_mut().enumerate() {
                            if p > j {
                                add_tap(simd, x, w, p, sum);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Adds a tap of pixel p: a column of the input times the weight that is p before `w`.
///
/// # Safety
/// That is a vector of weights.
#[inline(always)]
unsafe fn add_tap<S: Simd>(simd: S, x: S::Vector, w: *const f32, p: usize, sum: &mut S::Vector) {
    // SAFETY: the caller's word.
    let w = unsafe { simd.load(w.wrapping_sub(p * S::LANES)) };
    *sum = simd.accumulate(x, w, *sum);
}
