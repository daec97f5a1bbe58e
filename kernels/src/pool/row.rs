//! Pools in the row kernel: how they combine the taps of a window.
//!
//! ```text
//! acc = −∞                                          acc = 0
//! for ky in 0..rows, kx in 0..columns               for ky in 0..rows, kx in 0..columns
//!   acc = max(acc, x[ky][p·stride + kx][c])           acc = acc + x[ky][p·stride + kx][c]
//! NaN if any of them is                             acc / count  // of taps
//! ```

use crate::epilogue::Prologue;
use crate::rows::kernel::{Channels, Combine, Input, PixelOffsets, RowArgs};
use crate::simd::Simd;
use crate::simd::element::Element;

/// The largest tap.
#[derive(Debug)]
pub(crate) struct Max;

/// The sum of the taps, divided by a number.
#[derive(Debug)]
pub(crate) struct Average;

impl Combine for Max {
    #[inline(always)]
    unsafe fn start<S: Simd>(simd: S, _: &RowArgs, _: usize) -> S::Vector {
        simd.splat(f32::NEG_INFINITY)
    }

    #[inline(always)]
    unsafe fn combine<S: Simd, X: Element, L: Prologue, const P: usize, const WHOLE: bool>(
        input: &Input<'_, S, L, WHOLE>,
        _: &Channels<S>,
        maxima: &mut [S::Vector; P],
    ) {
        let Input { simd, args, .. } = *input;
        let from = &args.input;
        let offsets = PixelOffsets::new(simd, from.pixel);
        // Lanes that have seen no NaN.
        let mut ordered = [simd.is_ordered(simd.splat(0.0)); P];
        for ky in 0..from.rows {
            let row = from.x.cast::<X::Bits>().wrapping_add(ky * from.row);
            for kx in from.columns.clone() {
                let x = row.wrapping_add(kx.wrapping_mul(from.column));
                for (p, (max, ordered)) in maxima.iter_mut().zip(&mut ordered).enumerate() {
                    // SAFETY: a tap inside the input, whose channels exist.
                    let x = unsafe { input.load::<X>(x.wrapping_add(offsets.of(p))) };
                    *max = simd.clamp_min(x, *max);
                    *ordered = simd.and(*ordered, simd.is_ordered(x));
                }
            }
        }
        for (max, ordered) in maxima.iter_mut().zip(ordered) {
            *max = simd.select(ordered, *max, simd.splat(f32::NAN));
        }
    }
}

impl Combine for Average {
    #[inline(always)]
    unsafe fn start<S: Simd>(simd: S, _: &RowArgs, _: usize) -> S::Vector {
        simd.splat(0.0)
    }

    #[inline(always)]
    unsafe fn combine<S: Simd, X: Element, L: Prologue, const P: usize, const WHOLE: bool>(
        input: &Input<'_, S, L, WHOLE>,
        _: &Channels<S>,
        sums: &mut [S::Vector; P],
    ) {
        let Input { simd, args, .. } = *input;
        let from = &args.input;
        let offsets = PixelOffsets::new(simd, from.pixel);
        for ky in 0..from.rows {
            let row = from.x.cast::<X::Bits>().wrapping_add(ky * from.row);
            for kx in from.columns.clone() {
                let x = row.wrapping_add(kx.wrapping_mul(from.column));
                for (p, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: a tap inside the input, whose channels exist.
                    let x = unsafe { input.load::<X>(x.wrapping_add(offsets.of(p))) };
                    *sum = simd.add(*sum, x);
                }
            }
        }
        let count = simd.splat(from.count);
        for sum in sums {
            *sum = simd.div(*sum, count);
        }
    }
}
