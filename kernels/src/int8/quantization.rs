//! What 8-bit integers stand for, and how sums of their products become 8-bit integers again.

use alloc::vec;
use alloc::vec::Vec;

use crate::activation::Activation;
use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::layout::Strides;
use crate::simd::int8::Bytes;
use crate::simd::scalar::Scalar;

/// What the integers q of a tensor stand for: scale · (q − zero_point).
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default()
///     .output_type(ElementType::U8)
///     .output_quantization(Quantization::new(0.5, 128));
/// let plan = Elementwise::new([1, 1, 1, 4], &options)?;
/// let x = NhwcView::new(&[-1.0, 0.0, 0.75, 100.0], plan.input_shape())?;
/// let mut y = [0; 4];
/// plan.run(x, None, NhwcViewMut::new(ElementsMut::U8(&mut y), plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [126, 128, 130, 255]); // 0.75 / 0.5 = 1.5, ties to even; the last is clamped
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Quantization {
    /// The distance of neighbouring values; positive, finite and not subnormal.
    pub scale: f32,
    /// The integer that stands for 0; one of the type's.
    pub zero_point: i32,
}

impl Default for Quantization {
    /// Integers that stand for themselves.
    fn default() -> Self {
        Self::new(1.0, 0)
    }
}

impl Quantization {
    /// Of this scale and zero point.
    #[must_use]
    pub const fn new(scale: f32, zero_point: i32) -> Self {
        Self { scale, zero_point }
    }

    /// The quantization itself if it makes sense for integers of a type; `what` has it.
    pub(crate) fn checked(self, what: &'static str, element: ElementType) -> Result<Self> {
        let Self { scale, zero_point } = self;
        let (least, largest) = element.integers();
        let fits = (least..=largest).contains(&zero_point);
        if !(scale.is_normal() && scale > 0.0 && fits) {
            return Err(Error::Quantization { what, scale, zero_point });
        }
        Ok(self)
    }
}

/// The scales and biases of weights of i8: weight w of output channel o stands for scales\[o\]·w.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let (weights, scales) = ([1, -3], [0.25]); // 2 channels to 1
/// let quantized = QuantizedWeights::new(&scales).bias(&[10]);
/// let params = DenseParams::new(1, Elements::I8(&weights)).quantized(quantized);
/// let options = Options::default()
///     .input_type(ElementType::U8)
///     .input_quantization(Quantization::new(0.5, 100));
/// let plan = Dense::new([1, 1, 1, 2], &params, &options)?; // to f32
/// let (mut y, mut scratch) = ([0.0; 1], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::new(Elements::U8(&[104, 101]), plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// assert_eq!(y, [1.375]); // 0.5 · 0.25 · (4·1 + 1·(−3) + 10)
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct QuantizedWeights<'a> {
    /// The scale of each output channel's weights: not negative, finite.
    pub scales: &'a [f32],
    /// Of each output channel, in steps of the input's scale times the weights'; none for zeros.
    pub bias: Option<&'a [i32]>,
}

impl<'a> QuantizedWeights<'a> {
    /// Without a bias.
    #[must_use]
    pub const fn new(scales: &'a [f32]) -> Self {
        Self { scales, bias: None }
    }

    /// Sets the bias.
    #[must_use]
    pub const fn bias(mut self, bias: &'a [i32]) -> Self {
        self.bias = Some(bias);
        self
    }
}

/// How sums become outputs: see [`requantize`](crate::naive::requantize), which says the same for
/// one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requantization {
    /// The type of output and residual.
    pub(crate) output: ElementType,
    /// Of the output; of f32 it is that of numbers themselves.
    pub(crate) quantization: Quantization,
    /// What a step of the residual's is in steps of the output's, and the residual's zero point.
    pub(crate) residual: Quantization,
    /// If it is no clamp.
    pub(crate) activation: Option<Activation>,
    /// The clamp, in steps of the output's, counted from its zero point.
    pub(crate) bounds: (f32, f32),
    /// The zero point and the clamp's bounds, rounded, in unsigned integers: with 128 added to
    /// those of i8.
    pub(crate) zero_point: i32,
    pub(crate) byte_bounds: [u8; 2],
}

impl Requantization {
    /// What comes after the sums of a plan: `residual` is the residual's quantization, none for the
    /// output's.
    pub(crate) fn new(
        output: ElementType,
        quantization: Quantization,
        residual: Option<Quantization>,
        activation: Activation,
    ) -> Result<Self> {
        let activation = activation.checked()?;
        let quantized = output.is_quantized();
        let quantization = if quantized {
            quantization.checked("output", output)?
        } else {
            Quantization::default()
        };
        let residual = match residual {
            Some(residual) if quantized => residual.checked("residual", output)?,
            _ => quantization,
        };
        let step = f64::from(residual.scale) / f64::from(quantization.scale);
        let residual = Quantization { scale: rescale("residual", step)?, ..residual };
        let (mut lo, mut hi) = activation.bounds().unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        if quantized {
            let Quantization { scale, zero_point } = quantization;
            let (least, largest) = output.integers();
            let [least, largest] = [least, largest].map(|limit| (limit - zero_point) as f32);
            // A bound beyond what the type holds becomes what it holds.
            (lo, hi) = ((lo / scale).clamp(least, largest), (hi / scale).clamp(least, largest));
        }
        let activation = Some(activation).filter(|activation| activation.bounds().is_none());
        // Rounding keeps order, so that it may come before the clamp as well as after it.
        let zero_point = quantization.zero_point - output.integers().0;
        let byte = |bound: f32| (Scalar.to_i32(bound).to_bits() as i32 + zero_point) as u8;
        let byte_bounds = if quantized { [byte(lo), byte(hi)] } else { [0, 255] };
        let bounds = (lo, hi);
        Ok(Self { output, quantization, residual, activation, bounds, zero_point, byte_bounds })
    }

    /// Whether integers come of sums by a multiplication and a clamp.
    pub(crate) fn is_clamp(&self) -> bool {
        self.output.is_quantized() && self.activation.is_none()
    }

    /// Whether i32 holds what sums of up to `magnitude`, of either sign, become with a residual.
    pub(crate) fn in_i32(&self, magnitude: u64, multiplier: f32) -> bool {
        [(magnitude, multiplier), (255, self.residual.scale)]
            .iter()
            .all(|&(steps, step)| steps as f64 * f64::from(step) <= MOST_STEPS)
    }

    /// What a unit of a sum is in steps of the output's, `scale` being what it stands for.
    pub(crate) fn multiplier(&self, scale: f64) -> Result<f32> {
        rescale("output", scale / f64::from(self.quantization.scale))
    }
}

/// The most steps of the output's, of either sign, that a sum and a residual may each have for i32
/// to hold both together, rounded.
const MOST_STEPS: f64 = (1 << 29) as f64;

/// What weights of i8 take besides.
#[derive(Debug)]
pub(crate) struct Int8Weights<'a> {
    /// The k of a group.
    pub(crate) group: usize,
    /// The k of a channel that lie side by side in the panels of a GEMM: a group, or more.
    pub(crate) side_by_side: usize,
    /// What the k of a GEMM's panels are padded to multiples of.
    pub(crate) unit_of_k: usize,
    /// Of the inputs, in the integers that are multiplied.
    pub(crate) zero_point: i32,
    /// The inputs' scale.
    pub(crate) scale: f32,
    pub(crate) quantized: QuantizedWeights<'a>,
    pub(crate) epilogue: &'a Requantization,
}

/// What each output channel's sums begin with and are multiplied by.
#[derive(Debug)]
pub(crate) struct ChannelSums {
    /// The bias, less what the inputs' zero point adds to each sum; an i32, modulo 2³² as the sums,
    /// as the f32 of its bits.
    pub(crate) biases: Vec<f32>,
    pub(crate) multipliers: Vec<f32>,
    /// Whether i32 holds what they become.
    pub(crate) in_i32: bool,
}

impl ChannelSums {
    /// Of weights that lie by `strides`, of so many taps, input channels of a group, and output
    /// channels.
    pub(crate) fn new(
        weights: &[i8],
        strides: Strides,
        [taps, inputs, channels]: [usize; 3],
        int8: &Int8Weights<'_>,
    ) -> Result<Self> {
        let Int8Weights { zero_point, scale, quantized, epilogue, .. } = *int8;
        if let Some(index) = weights.iter().position(|&w| w == i8::MIN) {
            return Err(Error::Weight { index });
        }
        let QuantizedWeights { scales, bias } = quantized;
        for (what, actual) in
            [("scales", scales.len()), ("bias", bias.map_or(channels, <[_]>::len))]
        {
            if actual != channels {
                return Err(Error::Length { what, expected: channels, actual });
            }
        }
        let (mut sums, mut magnitudes) = (vec![0_i64; channels], vec![0_u64; channels]);
        for tap in 0..taps {
            for input in 0..inputs {
                let from = tap * strides.tap + input * strides.input;
                for channel in 0..channels {
                    let weight = weights[from + channel * strides.output];
                    sums[channel] += i64::from(weight);
                    magnitudes[channel] += u64::from(weight.unsigned_abs());
                }
            }
        }
        let (mut biases, mut multipliers, mut in_i32) = (Vec::new(), Vec::new(), true);
        for channel in 0..channels {
            let bias = bias.map_or(0, |bias| bias[channel]);
            // An input is at most 255 from its zero point.
            let magnitude = (255 * magnitudes[channel]).saturating_add(bias.unsigned_abs().into());
            if magnitude > i32::MAX as u64 {
                return Err(Error::Sums { channel, magnitude });
            }
            let bias = i64::from(bias) - i64::from(zero_point) * sums[channel];
            biases.push(f32::from_bits(bias as u32));
            let of_weights = scales[channel];
            if !(of_weights.is_finite() && of_weights >= 0.0) {
                return Err(Error::Quantization {
                    what: "weights",
                    scale: of_weights,
                    zero_point: 0,
                });
            }
            let multiplier = epilogue.multiplier(f64::from(scale) * f64::from(of_weights))?;
            in_i32 &= epilogue.in_i32(magnitude, multiplier);
            multipliers.push(multiplier);
        }
        Ok(Self { biases, multipliers, in_i32 })
    }
}

/// The integer that a byte of A is.
pub(crate) fn operand(signed: bool, byte: u8) -> i32 {
    if signed { (byte as i8).into() } else { byte.into() }
}

/// Integer weights where there are none of the kind, or numbers where integers belong.
pub(crate) const NO_INTEGERS: Error = Error::Unsupported {
    what: "layers of integers take an input of u8 or i8 and weights of i8 with scales, without a \
           bias of f32",
};

/// A ratio of scales, rounded once, if an f32 holds it.
fn rescale(what: &'static str, ratio: f64) -> Result<f32> {
    let ratio = ratio as f32;
    if ratio.is_finite() { Ok(ratio) } else { Err(Error::Rescale { what, ratio }) }
}
