//! The activations as vector code. Every step is an IEEE operation that all levels have, in one order,
//! so that all levels give the same bits.

use pulp::Simd;

use crate::Activation;
use crate::isa::{Isa, V, lanes, load, store};

/// `activation(x)`, lane by lane.
#[inline(always)]
pub(crate) fn apply<I: Isa>(s: I::S, x: V<I>, activation: Activation) -> V<I> {
    let c = |v| s.splat_f32s(v);
    let clamp = |x, lo, hi| I::at_most(s, c(hi), I::at_least(s, c(lo), x));
    match activation {
        Activation::None => x,
        Activation::Relu => I::at_least(s, c(0.0), x),
        Activation::Relu6 => clamp(x, 0.0, 6.0),
        Activation::Clamp { lo, hi } => clamp(x, lo, hi),
        Activation::Elu { alpha } => {
            // Below −25, eˣ − 1 rounds to −1.
            let (e, scale) = exp_m1_parts::<I>(s, clamp(x, -25.0, 0.0));
            let negative = s.mul_add_f32s(scale, e, s.sub_f32s(scale, c(1.0)));
            s.select_f32s(s.greater_than_f32s(x, c(0.0)), x, s.mul_f32s(c(alpha), negative))
        }
        Activation::Silu => {
            // With e = e^−|x| ≤ 1 nothing overflows: x / (1 + e) above 0, x·e / (1 + e) below.
            // Below −87, where e leaves the normal range, the result is −0 (exact: above −1.5e-36).
            let x = I::at_least(s, c(-88.0), x);
            let z = s.neg_f32s(s.abs_f32s(x));
            let (e, scale) = exp_m1_parts::<I>(s, I::at_least(s, c(-87.0), z));
            let e = s.mul_add_f32s(scale, e, scale);
            let e = s.select_f32s(s.less_than_f32s(z, c(-87.0)), c(0.0), e);
            let factor = s.select_f32s(s.less_than_f32s(x, c(0.0)), e, c(1.0));
            s.div_f32s(s.mul_f32s(x, factor), s.add_f32s(c(1.0), e))
        }
        Activation::HardSwish => {
            let gate = clamp(s.add_f32s(x, c(3.0)), 0.0, 6.0);
            s.mul_f32s(x, s.div_f32s(gate, c(6.0)))
        }
    }
}

/// For −87 ≤ x ≤ 0 or NaN: (eʳ − 1, 2ⁿ) with x = n·ln 2 + r, |r| ≤ ln 2 / 2.
///
/// ln 2 is split in a part of few bits and a rest (Cody and Waite) so that r is accurate; eʳ − 1 is its
/// Taylor series to r⁷, whose remainder |r|⁸/8! is below a tenth of an ULP.
#[inline(always)]
fn exp_m1_parts<I: Isa>(s: I::S, x: V<I>) -> (V<I>, V<I>) {
    let c = |v| s.splat_f32s(v);
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits of the sum.
    let magic = c(12_582_912.0);
    let rounded = s.mul_add_f32s(x, c(core::f32::consts::LOG2_E), magic);
    let n = s.sub_f32s(rounded, magic);
    let r = s.mul_add_f32s(n, c(-0.693_359_4), x);
    let r = s.mul_add_f32s(n, c(2.121_944_4e-4), r);
    let mut q = c(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        q = s.mul_add_f32s(q, r, c(coefficient));
    }
    let e = s.mul_add_f32s(s.mul_f32s(r, r), q, r);
    // n moved to the exponent field, plus the exponent of 1.
    let bits = s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(rounded), s.splat_u32s(23));
    let scale = s.transmute_f32s_u32s(s.add_u32s(bits, s.splat_u32s(0x3f80_0000)));
    (e, scale)
}

/// `x[i] = activation(x[i])`.
#[inline(always)]
pub(crate) fn apply_slice<I: Isa>(s: I::S, x: &mut [f32], activation: Activation) {
    let l = const { lanes::<I>() };
    let mut chunks = x.chunks_exact_mut(l);
    for chunk in &mut chunks {
        // SAFETY: the chunk has l elements.
        unsafe {
            let v = apply::<I>(s, load::<I>(chunk.as_ptr()), activation);
            store::<I>(chunk.as_mut_ptr(), v);
        }
    }
    let rest = chunks.into_remainder();
    // As many as the widest vector has.
    let mut lanes = [0.0_f32; 16];
    lanes[..rest.len()].copy_from_slice(rest);
    // SAFETY: 16 elements are at least a vector.
    unsafe {
        let v = apply::<I>(s, load::<I>(lanes.as_ptr()), activation);
        store::<I>(lanes.as_mut_ptr(), v);
    }
    rest.copy_from_slice(&lanes[..rest.len()]);
}
