//! The activations as vector code. Every step is an IEEE operation that all levels have, in one order,
//! so that all levels give the same bits.

use crate::Activation;
use crate::isa::{Isa, MAX_LANES};

/// `activation(x)`, lane by lane.
#[inline(always)]
pub(crate) fn apply<I: Isa>(x: I::V, activation: Activation) -> I::V {
    let c = |v| I::splat(v);
    let clamp = |x, lo, hi| I::at_most(c(hi), I::at_least(c(lo), x));
    match activation {
        Activation::None => x,
        Activation::Relu => I::at_least(c(0.0), x),
        Activation::Relu6 => clamp(x, 0.0, 6.0),
        Activation::Clamp { lo, hi } => clamp(x, lo, hi),
        Activation::Elu { alpha } => {
            // Below −25, eˣ − 1 rounds to −1.
            let (e, scale) = exp_m1_parts::<I>(clamp(x, -25.0, 0.0));
            let negative = I::mul_add(scale, e, I::sub(scale, c(1.0)));
            I::select(I::less(c(0.0), x), x, I::mul(c(alpha), negative))
        }
        Activation::Silu => {
            // With e = e^−|x| ≤ 1 nothing overflows: x / (1 + e) above 0, x·e / (1 + e) below.
            // Below −87, where e leaves the normal range, the result is −0 (exact: above −1.5e-36).
            let x = I::at_least(c(-88.0), x);
            let z = I::minus_abs(x);
            let (e, scale) = exp_m1_parts::<I>(I::at_least(c(-87.0), z));
            let e = I::mul_add(scale, e, scale);
            let e = I::select(I::less(z, c(-87.0)), c(0.0), e);
            let factor = I::select(I::less(x, c(0.0)), e, c(1.0));
            I::div(I::mul(x, factor), I::add(c(1.0), e))
        }
        Activation::HardSwish => {
            let gate = clamp(I::add(x, c(3.0)), 0.0, 6.0);
            I::mul(x, I::div(gate, c(6.0)))
        }
    }
}

/// For −87 ≤ x ≤ 0 or NaN: (eʳ − 1, 2ⁿ) with x = n·ln 2 + r, |r| ≤ ln 2 / 2.
///
/// ln 2 is split in a part of few bits and a rest (Cody and Waite) so that r is accurate; eʳ − 1 is its
/// Taylor series to r⁷, whose remainder |r|⁸/8! is below a tenth of an ULP.
#[inline(always)]
fn exp_m1_parts<I: Isa>(x: I::V) -> (I::V, I::V) {
    let c = |v| I::splat(v);
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits of the sum.
    let magic = c(12_582_912.0);
    let rounded = I::mul_add(x, c(core::f32::consts::LOG2_E), magic);
    let n = I::sub(rounded, magic);
    let r = I::mul_add(n, c(-0.693_359_4), x);
    let r = I::mul_add(n, c(2.121_944_4e-4), r);
    let mut q = c(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        q = I::mul_add(q, r, c(coefficient));
    }
    let e = I::mul_add(I::mul(r, r), q, r);
    (e, I::power_of_two(rounded))
}

/// `x[i] = activation(x[i])`.
#[inline(always)]
pub(crate) fn apply_slice<I: Isa>(x: &mut [f32], activation: Activation) {
    let l = I::LANES;
    let mut chunks = x.chunks_exact_mut(l);
    for chunk in &mut chunks {
        // SAFETY: the chunk has l elements.
        unsafe {
            let v = apply::<I>(I::load(chunk.as_ptr()), activation);
            I::store(chunk.as_mut_ptr(), v);
        }
    }
    let rest = chunks.into_remainder();
    let mut lanes = [0.0_f32; MAX_LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    // SAFETY: that many elements are at least a vector.
    unsafe {
        let v = apply::<I>(I::load(lanes.as_ptr()), activation);
        I::store(lanes.as_mut_ptr(), v);
    }
    rest.copy_from_slice(&lanes[..rest.len()]);
}
