//! The operands of the arithmetic `bf16`: A and B rounded to bf16, and the biases.
//!
//! ```text
//! for i in 0..count
//!   panels[i] = |panels[i]| < 2⁻⁵⁶ ? 0 : f32(bf16(panels[i]))
//! ```
//!
//! Why these bounds: an operand that is left is a multiple of 2⁻⁶³, since a bf16 has 8 significant
//! bits. Products, and sums of them, are then multiples of 2⁻¹²⁶, the least normal f32, and so are
//! biases of 2⁻¹⁰³ and more. No subnormal number arises, so that units that flush them (AMX) give
//! the same bits.
//!
//! Departures: A is rounded in its panels after it was produced, as vectors. They stay f32.

use crate::element::{bf16_to_f32, f32_to_bf16};
use crate::simd::{Kernel, Simd};

/// 2⁻⁵⁶: operands of a smaller magnitude become zero.
const LEAST_OPERAND: f32 = bf16_to_f32((127 - 56) << 7);
/// 2⁻¹⁰³: biases of a smaller magnitude become zero.
const LEAST_BIAS: f32 = bf16_to_f32((127 - 103) << 7);

/// An operand, rounded to the nearest bf16, ties to even.
pub(crate) fn rounded(operand: f32) -> u16 {
    if operand.abs() < LEAST_OPERAND { 0 } else { f32_to_bf16(operand) }
}

/// A bias.
pub(crate) fn flushed_bias(bias: f32) -> f32 {
    if bias.abs() < LEAST_BIAS { 0.0 } else { bias }
}

/// Elements of A before they are rounded.
#[inline(always)]
pub(super) fn flushed<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let is_small = simd.less_than(simd.splat(-LEAST_OPERAND), simd.neg_abs(x));
    simd.select(is_small, simd.splat(0.0), x)
}

/// The kernel.
#[derive(Debug)]
pub(crate) struct Round;

/// One call.
#[derive(Debug)]
pub(crate) struct RoundRun {
    pub(crate) panels: *mut f32,
    /// A multiple of the lanes.
    pub(crate) count: usize,
}

impl Kernel for Round {
    type Args = RoundRun;
    type Output = ();

    /// # Safety
    /// `count` elements are valid for reading and writing at `panels`; no other thread touches
    /// them.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &RoundRun) {
        for i in (0..run.count).step_by(S::LANES) {
            // SAFETY: `count` is a multiple of the lanes, so that a vector's elements from i on
            // exist.
            unsafe {
                let x = flushed(simd, simd.load(run.panels.add(i)));
                let rounded = simd.bf16_to_f32(simd.f32_to_bf16(x));
                simd.store(run.panels.add(i), rounded);
            }
        }
    }
}
