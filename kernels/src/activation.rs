//! The activations: element-wise functions, and their vector code. Every step of it is an IEEE
//! operation that all levels have, in one order, so that all levels give the same bits.

use crate::error::{Error, Result};
use crate::simd::{Kernel, Simd};

/// An element-wise function, with the same bits on every level.
///
/// All pass NaN on. A clamp compares: x < lo gives lo, x > hi gives hi, and anything else gives
/// x itself, so that −0 stays −0 under ReLU.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default().activation(Activation::Relu);
/// let plan = Elementwise::new([1, 1, 1, 3], &options)?;
/// let mut y = [f32::NAN; 3];
/// let x = NhwcView::new(&[-2.0, -0.0, 3.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y.map(f32::to_bits), [0.0_f32, -0.0, 3.0].map(f32::to_bits));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// x.
    #[default]
    None,
    /// x < 0 ? 0 : x.
    Relu,
    /// Clamp to \[0, 6\].
    Relu6,
    /// Clamp to \[lo, hi\]; infinite bounds are allowed.
    Clamp {
        /// Lower bound.
        lo: f32,
        /// Upper bound, not below `lo`.
        hi: f32,
    },
    /// x > 0 ? x : α·(eˣ − 1). Accurate near 0; within 3 ULP.
    Elu {
        /// α.
        alpha: f32,
    },
    /// x / (1 + e⁻ˣ), also called swish. Within 4 ULP for x ≥ −87, −0 below (where the exact value
    /// is above −1.5e-36) and at −∞.
    Silu,
    /// x · (clamp(x + 3, 0, 6) / 6). NaN at −∞ (∞ · 0).
    HardSwish,
}

/// The bounds of a clamp that does nothing.
pub(crate) const UNBOUNDED: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

impl Activation {
    /// The activation itself if its parameters make sense.
    pub(crate) fn checked(self) -> Result<Self> {
        match self {
            Self::Clamp { lo, hi } if lo.is_nan() || hi.is_nan() => {
                Err(Error::Activation { what: "a bound of clamp is NaN" })
            }
            Self::Clamp { lo, hi } if lo > hi => {
                Err(Error::Activation { what: "the lower bound of clamp exceeds the upper" })
            }
            Self::Elu { alpha } if alpha.is_nan() => {
                Err(Error::Activation { what: "the alpha of ELU is NaN" })
            }
            other => Ok(other),
        }
    }

    /// The bounds if this is a clamp of some kind; (−∞, ∞) for none.
    pub(crate) fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Self::None => Some(UNBOUNDED),
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Relu6 => Some((0.0, 6.0)),
            Self::Clamp { lo, hi } => Some((lo, hi)),
            Self::Elu { .. } | Self::Silu | Self::HardSwish => None,
        }
    }
}

/// `activation(x)`, lane by lane.
#[inline(always)]
pub(crate) fn apply<S: Simd>(simd: S, x: S::Vector, activation: Activation) -> S::Vector {
    let c = |v| simd.splat(v);
    let clamp = |x, lo, hi| simd.clamp_max(c(hi), simd.clamp_min(c(lo), x));
    match activation {
        Activation::None => x,
        Activation::Relu => simd.clamp_min(c(0.0), x),
        Activation::Relu6 => clamp(x, 0.0, 6.0),
        Activation::Clamp { lo, hi } => clamp(x, lo, hi),
        Activation::Elu { alpha } => {
            // Below −25, eˣ − 1 rounds to −1.
            let (e, scale) = exp_m1_parts(simd, clamp(x, -25.0, 0.0));
            let negative = simd.mul_add(scale, e, simd.sub(scale, c(1.0)));
            simd.select(simd.less_than(c(0.0), x), x, simd.mul(c(alpha), negative))
        }
        Activation::Silu => {
            // With e = e^−|x| ≤ 1 nothing overflows: x / (1 + e) above 0, x·e / (1 + e) below.
            // Below −87, where e leaves the normal range, the result is −0 (exact: above −1.5e-36).
            let x = simd.clamp_min(c(-88.0), x);
            let z = simd.neg_abs(x);
            let (e, scale) = exp_m1_parts(simd, simd.clamp_min(c(-87.0), z));
            let e = simd.mul_add(scale, e, scale);
            let e = simd.select(simd.less_than(z, c(-87.0)), c(0.0), e);
            let factor = simd.select(simd.less_than(x, c(0.0)), e, c(1.0));
            simd.div(simd.mul(x, factor), simd.add(c(1.0), e))
        }
        Activation::HardSwish => {
            let gate = clamp(simd.add(x, c(3.0)), 0.0, 6.0);
            simd.mul(x, simd.div(gate, c(6.0)))
        }
    }
}

/// For −87 ≤ x ≤ 0 or NaN: (eʳ − 1, 2ⁿ) with x = n·ln 2 + r, |r| ≤ ln 2 / 2.
///
/// ln 2 is split in a part of few bits and a rest (Cody and Waite) so that r is accurate; eʳ − 1 is
/// its Taylor series to r⁷, whose remainder |r|⁸/8! is below a tenth of an ULP.
#[inline(always)]
fn exp_m1_parts<S: Simd>(simd: S, x: S::Vector) -> (S::Vector, S::Vector) {
    let c = |v| simd.splat(v);
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits of the sum.
    let magic = c(12_582_912.0);
    let rounded = simd.mul_add(x, c(core::f32::consts::LOG2_E), magic);
    let n = simd.sub(rounded, magic);
    let r = simd.mul_add(n, c(-0.693_359_4), x);
    let r = simd.mul_add(n, c(2.121_944_4e-4), r);
    let mut q = c(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        q = simd.mul_add(q, r, c(coefficient));
    }
    let e = simd.mul_add(simd.mul(r, r), q, r);
    (e, simd.power_of_two(rounded))
}

/// eˣ of an x ≤ 0, within 3 ULP; 0 below −87, near the end of the normal range; NaN of NaN.
#[inline(always)]
pub(crate) fn exp_negative<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let least = simd.splat(-87.0);
    let (e, scale) = exp_m1_parts(simd, simd.clamp_min(least, x));
    let e = simd.mul_add(scale, e, scale);
    simd.select(simd.less_than(x, least), simd.splat(0.0), e)
}

/// The kernel that applies an activation to elements in place.
#[derive(Debug)]
pub(crate) struct Activate;

/// One call.
#[derive(Debug)]
pub(crate) struct ActivateRun {
    pub(crate) x: *mut f32,
    pub(crate) count: usize,
    pub(crate) activation: Activation,
}

impl Kernel for Activate {
    type Args = ActivateRun;
    type Output = ();

    /// # Safety
    /// `count` elements are valid for reading and writing at `x`; no other thread touches them.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &ActivateRun) {
        let l = S::LANES;
        let whole = run.count / l * l;
        for i in (0..whole).step_by(l) {
            // SAFETY: l elements from i on exist.
            unsafe {
                let x = run.x.add(i);
                simd.store(x, apply(simd, simd.load(x), run.activation));
            }
        }
        let rest = run.count - whole;
        if rest > 0 {
            let mask = simd.mem_mask(rest);
            // SAFETY: the mask's elements exist.
            unsafe {
                let x = run.x.add(whole);
                simd.mask_store(mask, x, apply(simd, simd.mask_load(mask, x), run.activation));
            }
        }
    }
}
