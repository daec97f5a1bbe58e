//! The depthwise convolution in the row kernel: how it combines the taps of a window.
//!
//! ```text
//! acc = bias(c)
//! for ky in 0..rows, kx in 0..columns
//!   acc = fma(x[ky][p·stride + kx][c], w[ky][kx][c], acc)
//! ```
//!
//! Departure: a dense kernel of the usual widths K loads each input column once per kernel row and
//! uses it for all its taps ([`DenseTaps`]); the row's K weights stay in registers. For K = 3,
//! stride 1 and P pixels that is (P + 2 + 3) loads for 3·P FMAs, 0.5 at P = 10, where one pixel at
//! a time takes 2.

use crate::epilogue::Prologue;
use crate::rows::kernel::{Channels, Combine, Input, PixelOffsets, RowArgs, RowInput};
use crate::simd::Simd;
use crate::simd::element::Element;

/// Of any kernel width, stride and dilation.
#[derive(Debug)]
pub(crate) struct AnyTaps;

/// Of a kernel K wide, dense, all of it inside the input, and `pixel` = STRIDE·`column`. A kernel
/// of one pixel goes with every stride, and has the STRIDE 1.
#[derive(Debug)]
pub(crate) struct DenseTaps<const K: usize, const STRIDE: usize>;

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
        let RowInput { x, pixel, row, column, rows, columns, .. } = args.input;
        let weights = &args.weights;
        let offsets = PixelOffsets::new(simd, pixel);
        for ky in 0..rows {
            let weights = weights.at.wrapping_add(at.block * weights.block + ky * weights.row);
            let row = x.cast::<X::Bits>().wrapping_add(ky * row);
            for kx in 0..columns {
                let x = row.wrapping_add(kx * column);
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
        // For vectors that are set before they are used.
        let any = sums[0];
        for ky in 0..from.rows {
            let row = from.x.cast::<X::Bits>().wrapping_add(ky * from.row);
            let mut weights = [any; K];
            for (kx, w) in weights.iter_mut().enumerate() {
                // SAFETY: the caller's weights are valid for whole vectors at each tap.
                *w = unsafe { weight(simd, args, at.block, ky, kx) };
            }
            // The K columns of the current pixel; of the next, K − STRIDE are the same.
            let mut columns = [any; K];
            for (i, x) in columns[STRIDE..].iter_mut().enumerate() {
                // SAFETY: a tap inside the input, whose channels exist.
                *x = unsafe { input.load::<X>(row.wrapping_add(i * from.column)) };
            }
            for (p, sum) in sums.iter_mut().enumerate() {
                for i in 0..K {
                    columns[i] = if i + STRIDE < K {
                        columns[i + STRIDE]
                    } else {
                        let x = row.wrapping_add((p * STRIDE + i) * from.column);
                        // SAFETY: a tap inside the input, whose channels exist.
                        unsafe { input.load::<X>(x) }
                    };
                }
                for (&x, &w) in columns.iter().zip(&weights) {
                    *sum = simd.accumulate(x, w, *sum);
                }
                // Otherwise the columns of all pixels are loaded at once and spill, where beside
                // accumulators, weights and columns there is no room for a bound and two columns on
                // their way.
                if const { P + 2 * K + 3 > S::REGISTERS } {
                    *sum = simd.barrier(*sum);
                }
            }
        }
    }
}
