//! Looks the weights of a node up, and folds batch norm into those of a linear layer.
//!
//! Batch norm, y = scale·x + shift, is folded into the weights in f64 and rounded to f32 once. The
//! output channel is innermost in every weight layout, so folding multiplies weight i by
//! scale\[i mod channels\].

use std::borrow::Cow;

use super::{Node, Op, tensors};
use crate::weights::{Int8Tensor, Weights};
use crate::{Error, Result};

/// The weights of a linear layer without its bias.
pub(super) enum KernelWeights<'w> {
    F32(Cow<'w, [f32]>),
    Int8(&'w Int8Tensor),
}

impl<'w> KernelWeights<'w> {
    /// The numbers that they are or stand for.
    pub(super) fn numbers(self) -> Cow<'w, [f32]> {
        match self {
            Self::F32(weights) => weights,
            Self::Int8(tensor) => Cow::Owned(tensor.numbers()),
        }
    }
}

/// Weights and bias.
pub(super) type Folded<'w> = (KernelWeights<'w>, Option<Cow<'w, [f32]>>);

/// Looks tensors up and counts their elements.
pub(super) struct Lookup<'w> {
    weights: &'w Weights,
    pub(super) parameters: usize,
}

impl<'w> Lookup<'w> {
    pub(super) fn new(weights: &'w Weights) -> Self {
        Self { weights, parameters: 0 }
    }

    /// A tensor of a node whose operand has `channels` channels. None if the operation has no
    /// tensor of this name.
    fn find(&mut self, node: &Node, channels: usize, name: &str) -> Result<Option<&'w [f32]>> {
        let tensor = tensors::find(self.weights, node, channels, name)?;
        self.parameters += tensor.map_or(0, <[f32]>::len);
        Ok(tensor)
    }

    /// A tensor that the operation has.
    pub(super) fn get(&mut self, node: &Node, channels: usize, name: &str) -> Result<&'w [f32]> {
        let tensor = self.find(node, channels, name)?;
        tensor.ok_or_else(|| absent(node, name))
    }

    /// The weights of a linear layer that are called so.
    pub(super) fn kernel(
        &mut self,
        node: &Node,
        channels: usize,
        name: &str,
    ) -> Result<KernelWeights<'w>> {
        let Some(tensor) = self.weights.find_int8(&node.layer, name) else {
            return Ok(KernelWeights::F32(self.get(node, channels, name)?.into()));
        };
        let expected = tensors::shape(node, channels, name).ok_or_else(|| absent(node, name))?;
        if tensor.shape != expected {
            return Err(Error::Tensor {
                tensor: format!("{}/{name}", node.layer),
                message: format!("expected shape {expected:?}, got {:?}", tensor.shape),
            });
        }
        self.parameters += tensor.data.len();
        Ok(KernelWeights::Int8(tensor))
    }

    /// The weights called `kernel` and the bias of a linear layer that is followed by `norm`.
    pub(super) fn folded(
        &mut self,
        node: &Node,
        channels: usize,
        kernel: &str,
        norm: Option<&Affine>,
    ) -> Result<Folded<'w>> {
        let kernel = self.kernel(node, channels, kernel)?;
        let bias = self.find(node, channels, "bias")?;
        Ok(fold(kernel, bias, norm))
    }
}

fn absent(node: &Node, name: &str) -> Error {
    Error::Tensor {
        tensor: format!("{}/{name}", node.layer),
        message: "no such tensor in this operation".into(),
    }
}

/// The least deviation that Keras's `Normalization` divides by: its `backend.epsilon()`.
const MIN_DEVIATION: f64 = 1e-7;

/// y = scale·x + shift, by channel.
pub(super) struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

/// Combines a sequence of scales and shifts (batch norms, rescalings and the like) into one. Each
/// comes with its channels.
pub(super) fn folded<'n>(
    affines: impl Iterator<Item = (&'n Node, usize)>,
    lookup: &mut Lookup<'_>,
) -> Result<Option<Affine>> {
    let mut norm: Option<Affine> = None;
    for (node, channels) in affines {
        let next = affine(node, channels, lookup)?;
        norm = Some(match norm {
            None => next,
            Some(first) => first.then(&next),
        });
    }
    Ok(norm)
}

/// Scale and shift of an operation: γ / √(variance + ε) and β − mean·scale of a batch norm.
fn affine(node: &Node, channels: usize, lookup: &mut Lookup<'_>) -> Result<Affine> {
    let mut get = |variable: &str, absent: f64| -> Result<Vec<f64>> {
        let tensor = lookup.find(node, channels, variable)?;
        let wide = |tensor: &[f32]| tensor.iter().map(|&x| f64::from(x)).collect();
        Ok(tensor.map_or_else(|| vec![absent; channels], wide))
    };
    let epsilon = match &node.op {
        Op::BatchNorm { epsilon, .. } => *epsilon,
        Op::Scale => {
            return Ok(Affine { scale: get("gamma", 1.0)?, shift: vec![0.0; channels] });
        }
        Op::Standardize { invert } => {
            let (mean, variance) = (get("mean", 0.0)?, get("variance", 1.0)?);
            let negative = |&(_, &v): &(usize, &f64)| v.is_nan() || v < 0.0;
            if let Some((c, v)) = variance.iter().enumerate().find(negative) {
                return Err(Error::Tensor {
                    tensor: format!("{}/variance", node.layer),
                    message: format!("variance must be at least 0, got {v} at channel {c}"),
                });
            }
            let [scale, shift] = standardization(mean, &variance, *invert);
            return Ok(Affine { scale, shift });
        }
        Op::Rescale { scale, offset } => {
            let each = |numbers: &[f64]| numbers.iter().copied().cycle().take(channels).collect();
            return Ok(Affine { scale: each(scale), shift: each(offset) });
        }
        _ => unreachable!("no other operation is a scale and shift"),
    };
    let gamma = get("gamma", 1.0)?;
    let beta = get("beta", 0.0)?;
    let mean = get("moving_mean", 0.0)?;
    let variance = get("moving_variance", 1.0)?;
    let rootless = |&(_, &v): &(usize, &f64)| v.is_nan() || v + epsilon <= 0.0;
    if let Some((c, v)) = variance.iter().enumerate().find(rootless) {
        return Err(Error::Tensor {
            tensor: format!("{}/moving_variance", node.layer),
            message: format!(
                "variance + epsilon must be above 0, got {v} + {epsilon} at channel {c}"
            ),
        });
    }
    let scale: Vec<f64> =
        (gamma.iter().zip(&variance)).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift = (beta.iter().zip(&mean).zip(&scale)).map(|((b, m), s)| b - m * s).collect();
    Ok(Affine { scale, shift })
}

/// Scale and shift of (x − mean) / max(√variance, 1e-7), or of the inverse. Mean and variance may
/// be one number for all channels.
pub(crate) fn standardization(mut mean: Vec<f64>, variance: &[f64], invert: bool) -> [Vec<f64>; 2] {
    let deviation = variance.iter().map(|v| v.sqrt().max(MIN_DEVIATION));
    if invert {
        return [deviation.collect(), mean];
    }
    let scale: Vec<f64> = deviation.map(|deviation| 1.0 / deviation).collect();
    if mean.len() == 1 {
        mean = vec![mean[0]; scale.len()];
    }
    let each = scale.iter().cycle();
    let shift = mean.iter().zip(each).map(|(mean, scale)| -mean * scale).collect();
    [scale, shift]
}

impl Affine {
    /// `self` followed by `next`.
    fn then(self, next: &Self) -> Self {
        let scale = (self.scale.iter().zip(&next.scale)).map(|(a, b)| a * b);
        let shift = (self.shift.iter().zip(&next.scale).zip(&next.shift))
            .map(|((shift, scale), next)| shift * scale + next);
        Self { scale: scale.collect(), shift: shift.collect() }
    }
}

/// Weights and bias of a linear layer followed by `norm`.
pub(super) fn fold<'w>(
    kernel: KernelWeights<'w>,
    bias: Option<&'w [f32]>,
    norm: Option<&Affine>,
) -> Folded<'w> {
    let Some(Affine { scale, shift }) = norm else {
        return (kernel, bias.map(Cow::from));
    };
    let scaled = (kernel.numbers().iter().zip(scale.iter().cycle()))
        .map(|(&w, s)| (f64::from(w) * s) as f32)
        .collect();
    let shifted = (scale.iter().zip(shift).enumerate())
        .map(|(o, (s, t))| (bias.map_or(0.0, |b| f64::from(b[o])) * s + t) as f32)
        .collect();
    (KernelWeights::F32(Cow::Owned(scaled)), Some(Cow::Owned(shifted)))
}
