//! What happens to a value as it is loaded and before it is stored.

use crate::error::{Error, Result};

/// An element-wise function, with the same bits on every level.
///
/// All let NaN through. The clamping ones compare: x < lo gives lo, x > hi gives hi, anything else is
/// x itself, so that −0 stays −0 under ReLU.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let options = Options { activation: Activation::Relu, ..Options::default() };
/// let plan = Elementwise::new([1, 1, 1, 3], &options)?;
/// let mut y = [f32::NAN; 3];
/// let x = NhwcView::new(&[-2.0, -0.0, 3.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y.map(f32::to_bits), [0.0_f32, -0.0, 3.0].map(f32::to_bits));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
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
    /// x / (1 + e⁻ˣ), also called swish. Within 4 ULP for x ≥ −87, −0 below (where the exact value is
    /// above −1.5e-36) and at −∞.
    Silu,
    /// x · (clamp(x + 3, 0, 6) / 6). NaN at −∞ (∞ · 0).
    HardSwish,
}

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
            Self::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Relu6 => Some((0.0, 6.0)),
            Self::Clamp { lo, hi } => Some((lo, hi)),
            Self::Elu { .. } | Self::Silu | Self::HardSwish => None,
        }
    }
}
