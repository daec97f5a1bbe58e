//! Normalizations by the values themselves.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::geometry::{Window, check_input};
use crate::layers::layer::{HasLayer, Layer};
use crate::layers::packed::{Common, Packed, Packing};
use crate::layers::plan::Plan;
use crate::lines::normalize::Rule;
use crate::lines::plan::{self, Affine, LinesPlan, Operation};
use crate::options::Options;
use crate::params::{NormalizationKind, NormalizationParams};

/// γ·normalized(x) + β: layer, RMS, unit or group normalization.
///
/// y = activation(fma((x − mean)·s, γ, β) + residual), where s is 1 / √(…), rounded twice; the mean
/// is 0 if the kind takes none. Sums over elements have 32 partial sums in one order on all levels:
/// channel c of each pixel of a row is added to number c mod 32 (squares by one fused
/// multiply-add); those of each row are added to those of the rows before; at the end the upper
/// half of them is added to the lower, five times.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let params = NormalizationParams::new(NormalizationKind::Layer, 0.0).shift(&[0.0, 100.0]);
/// let plan = Normalization::new([1, 1, 2, 2], &params, &Options::default())?;
/// let mut y = [0.0; 4];
/// let x = NhwcView::new(&[1.0, 7.0, 5.0, 3.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [-1.0, 101.0, 1.0, 99.0]); // means 4 and 4, deviations 3 and 1
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Normalization(Layer);

impl Normalization {
    /// Checks and copies scale and shift, for inputs of `channels` channels and any size.
    ///
    /// # Errors
    /// - [`Error::Length`]: scale or shift has other than `channels` elements.
    /// - [`Error::Groups`]: the groups do not divide the channels.
    /// - [`Error::Unsupported`]: ε is below 0 or NaN; integers, NCHW, an activation or a scale of
    ///   the input.
    /// - Zero or overflowing dimensions, an activation that makes no sense, an unavailable level.
    pub fn pack(
        channels: usize,
        params: &NormalizationParams<'_>,
        options: &Options,
    ) -> Result<Packed<Self>> {
        let common = Common::new(channels, channels, Window::new([1, 1]), options)?;
        options.check_plain()?;
        let &NormalizationParams { kind, epsilon, scale, shift } = params;
        if epsilon.is_nan() || epsilon < 0.0 {
            return Err(Error::Unsupported { what: "epsilon: expected a number of at least 0" });
        }
        let (rule, groups) = match kind {
            NormalizationKind::Layer => (Rule::Deviation, None),
            NormalizationKind::Rms => (Rule::RootMeanSquare, None),
            NormalizationKind::Unit => (Rule::Length, None),
            NormalizationKind::Group { groups } => (Rule::Deviation, Some(groups)),
        };
        if let Some(groups) = groups
            && channels.checked_rem(groups) != Some(0)
        {
            return Err(Error::Groups { groups, channels_in: channels, channels_out: channels });
        }
        let of = |what, given: Option<&[f32]>, default: f32| match given {
            None => Ok(vec![default; channels]),
            Some(given) if given.len() == channels => Ok(Vec::from(given)),
            Some(given) => Err(Error::Length { what, expected: channels, actual: given.len() }),
        };
        let affine = Affine { scale: of("scale", scale, 1.0)?, shift: of("shift", shift, 0.0)? };
        let normalization = plan::Normalization { rule, epsilon, groups, affine: Arc::new(affine) };
        Ok(Packed::new(PackedNormalization { common, normalization }, Self))
    }

    /// [`Normalization::pack`] and a plan for an input of shape \[N, H, W, C\].
    ///
    /// # Errors
    /// Those of [`Normalization::pack`].
    pub fn new(
        input: [usize; 4],
        params: &NormalizationParams<'_>,
        options: &Options,
    ) -> Result<Self> {
        let [n, h, w, channels] = input;
        Self::pack(channels, params, options)?.plan([n, h, w])
    }
}

impl HasLayer for Normalization {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Normalization {}

#[derive(Debug)]
struct PackedNormalization {
    common: Common,
    normalization: plan::Normalization,
}

impl Packing for PackedNormalization {
    fn common(&self) -> &Common {
        &self.common
    }

    fn weights_bytes(&self) -> usize {
        let Affine { scale, shift } = &*self.normalization.affine;
        size_of::<f32>() * (scale.len() + shift.len())
    }

    fn plan(&self, [n, h, w]: [usize; 3]) -> Result<Layer> {
        let Common { kernels, channels_in, ref options, .. } = self.common;
        let input = [n, h, w, channels_in];
        check_input(input)?;
        let plan = LinesPlan {
            kernels: &kernels.lines,
            input,
            output: input,
            activation: options.activation,
            operation: Operation::Normalize(self.normalization.clone()),
        };
        Ok(Layer::lines(kernels, plan, options))
    }
}
