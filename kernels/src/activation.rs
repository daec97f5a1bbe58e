//! The activations: element-wise functions, and the kernel that applies one to elements in place.
//!
//! ```text
//! for i in 0..count
//!   x[i] = activation(x[i])
//! ```
//!
//! Departures:
//! 1. Elements go by vectors; the last is masked.
//! 2. The activation is looked at once, before the loop, which keeps its constants in registers.
//!
//! Other kernels apply clamps, which are two instructions, themselves, and call this one for the
//! rest: its code is there once for each level.

use crate::error::{Error, Result};
use crate::functions::{
    Clamp, Elu, Exponential, Function, Gelu, GeluTanh, HardSigmoid, HardSwish, Mish, Sigmoid, Silu,
    Softplus, Softsign, Tanh, ThresholdedRelu,
};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// An element-wise function, with the same bits on every level.
///
/// All pass NaN on. A clamp compares: x < lo gives lo, x > hi gives hi, and anything else gives
/// x itself, so that −0 stays −0 under ReLU. Unless stated otherwise, the error bounds hold for
/// every f32, subnormal results included, and the result at ±∞ is the limit.
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
    /// x / (1 + e⁻ˣ), also called swish. Within 4 ULP for x ≥ −88.3. Below that, where the exact
    /// value is above −4e-37, and at −∞ it is −0.
    Silu,
    /// x · (clamp(x + 3, 0, 6) · (1/6)), each step rounded. NaN at −∞ (∞ · 0).
    HardSwish,
    /// 1 / (1 + e⁻ˣ). Within 3 ULP.
    Sigmoid,
    /// clamp(slope·x + offset, 0, 1), where slope·x + offset is rounded once: x/6 + 0.5 in Keras 3
    /// and PyTorch, 0.2·x + 0.5 in Keras 2.
    HardSigmoid {
        /// The slope of the middle part. If it is 0, an infinite x gives NaN.
        slope: f32,
        /// The value at 0.
        offset: f32,
    },
    /// (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ). −0 stays. Within 3 ULP.
    Tanh,
    /// x · Φ(x) = x · (1 + erf(x / √2)) / 2. −0 at −∞. Within 7 ULP.
    Gelu,
    /// x · (1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2, the approximation of [`Activation::Gelu`] that
    /// its authors gave. −0 at −∞. Within 4 ULP.
    GeluTanh,
    /// ln(1 + eˣ). Within 3 ULP.
    Softplus,
    /// x · tanh(ln(1 + eˣ)). −0 at −∞. Within 5 ULP.
    Mish,
    /// x < 0 ? α·x : x. −0 stays; with an α of 0, ReLU. Within 0.5 ULP.
    LeakyRelu {
        /// α.
        alpha: f32,
    },
    /// x < threshold ? slope·(x − threshold) : min(x, max), which covers all parameters of Keras's
    /// layer `ReLU`. With a slope of 0 every x below the threshold gives 0, −∞ included. Both
    /// x − threshold and the product are rounded.
    ThresholdedRelu {
        /// The slope below the threshold.
        slope: f32,
        /// The least x that keeps its value.
        threshold: f32,
        /// The largest value.
        max: f32,
    },
    /// x / (1 + |x|). −0 stays. Within 1.5 ULP.
    Softsign,
    /// eˣ. Within 1.5 ULP.
    Exponential,
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
            Self::LeakyRelu { alpha } if alpha.is_nan() => {
                Err(Error::Activation { what: "the alpha of LeakyReLU is NaN" })
            }
            Self::HardSigmoid { slope, offset } if slope.is_nan() || offset.is_nan() => {
                Err(Error::Activation { what: "the slope or offset of hard sigmoid is NaN" })
            }
            Self::ThresholdedRelu { slope, threshold, max }
                if [slope, threshold, max].iter().any(|v| v.is_nan()) =>
            {
                Err(Error::Activation {
                    what: "the slope, threshold or maximum of thresholded ReLU is NaN",
                })
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
            _ => None,
        }
    }
}

/// `activation(x)`, lane by lane: a clamp here, any other by the kernel of the level.
#[inline(always)]
pub(crate) fn apply<S: Simd>(simd: S, x: S::Vector, activation: Activation) -> S::Vector {
    if let Some((lo, hi)) = activation.bounds() {
        return Clamp { lo, hi }.of(simd, x);
    }
    let mut lanes = [0.0; MAX_LANES];
    let run = ActivateRun { x: lanes.as_mut_ptr(), count: S::LANES, activation };
    // SAFETY: `simd` proves that the CPU has the level; there is room for a vector.
    unsafe {
        simd.store(run.x, x);
        activate::<S::Fused>(&run);
        simd.load(run.x)
    }
}

/// Cold, so that registers are saved around the call, and not in the loops of clamps beside it.
///
/// # Safety
/// That of [`Activate`]; the CPU has the level.
#[cold]
#[inline(never)]
unsafe fn activate<S: Simd>(run: &ActivateRun) {
    // SAFETY: the caller keeps the contract.
    unsafe { S::entry::<Activate>(run) }
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
        let relu = |slope, threshold, max| ThresholdedRelu { slope, threshold, max };
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe {
            match run.activation {
                Activation::None
                | Activation::Relu
                | Activation::Relu6
                | Activation::Clamp { .. } => {
                    let (lo, hi) = run.activation.bounds().unwrap_or(UNBOUNDED);
                    each(simd, run, Clamp { lo, hi });
                }
                Activation::Elu { alpha } => each(simd, run, Elu { alpha }),
                Activation::Silu => each(simd, run, Silu),
                Activation::HardSwish => each(simd, run, HardSwish),
                Activation::Sigmoid => each(simd, run, Sigmoid),
                Activation::HardSigmoid { slope, offset } => {
                    each(simd, run, HardSigmoid { slope, offset });
                }
                Activation::Tanh => each(simd, run, Tanh),
                Activation::Gelu => each(simd, run, Gelu),
                Activation::GeluTanh => each(simd, run, GeluTanh),
                Activation::Softplus => each(simd, run, Softplus),
                Activation::Mish => each(simd, run, Mish),
                Activation::LeakyRelu { alpha } => each(simd, run, relu(alpha, 0.0, f32::INFINITY)),
                Activation::ThresholdedRelu { slope, threshold, max } => {
                    each(simd, run, relu(slope, threshold, max));
                }
                Activation::Softsign => each(simd, run, Softsign),
                Activation::Exponential => each(simd, run, Exponential),
            }
        }
    }
}

/// Makes f(x) of each x.
///
/// # Safety
/// As [`Activate`].
#[inline(always)]
unsafe fn each<S: Simd, F: Function>(simd: S, run: &ActivateRun, f: F) {
    let l = S::LANES;
    for i in (0..run.count).step_by(l) {
        let (whole, mask) = (run.count - i >= l, simd.mem_mask(l.min(run.count - i)));
        // SAFETY: the elements from i on exist: a vector of them, or the mask's.
        unsafe {
            let x = run.x.add(i);
            let v = if whole { simd.load(x) } else { simd.mask_load(mask, x) };
            let v = f.of(simd, v);
            if whole {
                simd.store(x, v);
            } else {
                simd.mask_store(mask, x, v);
            }
        }
    }
}
