//! Packs the weights of a fused step, once for inputs of any size.
//!
//! Batch norm, y = scale·x + shift, is folded into the weights in f64 and rounded to f32 once. The
//! output channel is innermost in every weight layout, so folding multiplies weight i by
//! scale\[i mod channels\]. In a separable convolution the pointwise weights are folded, not the
//! depthwise.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sepconv_kernels::{
    Activation, Arithmetic, Conv, ConvParams, Dense, DenseParams, Depthwise, DepthwiseParams,
    ElementType, Elements, ElementsMut, Level, Options, Packed, Plan, Pointwise, PointwiseParams,
    Quantization, QuantizedWeights, Separable, SeparableParams, Window, convert,
};

use super::flow::{Flow, ValueId};
use super::fuse::{FusedStep, is_pointwise};
use super::quantize::{Int8Weights, StepQuantizations};
use super::{Node, Op, shape, tensors};
use crate::weights::Weights;
use crate::{Error, Result};

/// Of the kernel crate, without the node that its error concerns.
pub(super) type KernelResult<T> = std::result::Result<T, sepconv_kernels::Error>;

/// A step for inputs of any size.
#[derive(Debug)]
pub(super) struct PackedStep {
    pub(super) weights: PackedWeights,
    /// Those of the step's kernel.
    pub(super) options: Options,
    /// The number of its weights.
    pub(super) parameters: usize,
}

/// The weights of a step.
#[derive(Debug)]
pub(super) enum PackedWeights {
    /// Those of a layer with a kernel.
    Layer(Box<dyn PackedLayer>),
    /// The α of a PReLU.
    Alpha(Arc<[f32]>),
    None,
}

/// A [`Packed`] of any layer.
pub(super) trait PackedLayer: fmt::Debug + Send + Sync {
    /// The layer for an input of `size` \[N, H, W\], which shares the weights.
    fn plan(&self, size: [usize; 3]) -> KernelResult<Box<dyn Plan>>;
}

impl<L: Plan + 'static> PackedLayer for Packed<L> {
    fn plan(&self, size: [usize; 3]) -> KernelResult<Box<dyn Plan>> {
        Ok(Box::new(Packed::plan(self, size)?))
    }
}

/// What all steps have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common {
    pub(super) level: Level,
    /// The type in which the weights of GEMMs are packed.
    pub(super) weights: ElementType,
    pub(super) arithmetic: Arithmetic,
    /// Whether by tile registers, if there are any.
    pub(super) amx: bool,
}

/// How the operand and the result of a step are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) input_type: ElementType,
    /// Of the result and the residual.
    pub(super) output_type: ElementType,
    pub(super) quantizations: StepQuantizations,
}

/// Packs a step. Its weights are of i8 if its operand is of u8.
pub(super) fn pack(
    step: &FusedStep,
    flow: &Flow<'_>,
    weights: &Weights,
    common: Common,
    ends: Ends,
) -> Result<PackedStep> {
    let value = &flow.values[step.kernel];
    let mut lookup = Lookup { weights, parameters: 0 };
    let norm = folded(&step.affines, flow, &mut lookup)?;
    let depthwise = match &step.depthwise {
        None => None,
        Some(stage) => {
            let value = &flow.values[stage.kernel];
            let &Op::Depthwise { window, multiplier, .. } = value.op else {
                unreachable!("the stage is a depthwise convolution");
            };
            let norm = folded(&stage.affines, flow, &mut lookup)?;
            let [.., channels] = flow.values[step.x].shape;
            let (weights, bias) =
                lookup.folded(value.node, channels, "depthwise_kernel", norm.as_ref())?;
            Some(Stage { window, multiplier, weights, bias, activation: stage.activation })
        }
    };
    let [.., channels] = step.x_shape(flow);
    let Ends { input_type, output_type, quantizations } = ends;
    let mut options = Options::default()
        .input_activation(step.input_activation)
        .activation(step.activation)
        .level(common.level)
        .input_type(input_type)
        .output_type(output_type)
        .input_quantization(quantizations.x)
        .output_quantization(quantizations.result)
        .arithmetic(common.arithmetic)
        .amx(common.amx);
    options.residual_quantization = quantizations.residual;
    let mut packer = Packer {
        node: value.node,
        channels,
        lookup,
        norm,
        depthwise,
        options,
        mid_quantization: quantizations.mid,
        weights_type: common.weights,
    };
    let weights = packer.weights(value.op)?;
    Ok(PackedStep { weights, options, parameters: packer.lookup.parameters })
}

/// What the weights of a step depend on, except for its operation.
struct Packer<'a> {
    node: &'a Node,
    /// Channels of the operand.
    channels: usize,
    lookup: Lookup<'a>,
    norm: Option<Affine>,
    /// In front of a pointwise convolution.
    depthwise: Option<Stage<'a>>,
    options: Options,
    mid_quantization: Quantization,
    /// Of GEMMs, if the operand is of f32.
    weights_type: ElementType,
}

/// A depthwise convolution and an activation, batch norm folded.
struct Stage<'a> {
    window: Window,
    multiplier: usize,
    weights: Cow<'a, [f32]>,
    bias: Option<Cow<'a, [f32]>>,
    activation: Activation,
}

impl<'a> Packer<'a> {
    fn weights(&mut self, op: &Op) -> Result<PackedWeights> {
        let layer = match *op {
            Op::Conv { window, groups, filters, .. } => self.conv(window, groups, filters)?,
            Op::Depthwise { window, multiplier, .. } => self.depthwise(window, multiplier)?,
            Op::Separable { window, multiplier, filters, .. } => {
                self.separable(window, multiplier, filters)?
            }
            Op::Dense { units, .. } => self.dense(units)?,
            Op::BatchNorm { .. } | Op::Rescale { .. } => self.affine()?,
            Op::PRelu { .. } => {
                let alpha = self.lookup.get(self.node, self.channels, "alpha")?;
                return Ok(PackedWeights::Alpha(alpha.into()));
            }
            _ => return Ok(PackedWeights::None),
        };
        Ok(PackedWeights::Layer(layer))
    }

    fn boxed<L: Plan + 'static>(
        &self,
        packed: KernelResult<Packed<L>>,
    ) -> Result<Box<dyn PackedLayer>> {
        match packed {
            Ok(packed) => Ok(Box::new(packed)),
            Err(source) => Err(shape::kernel(self.node, source)),
        }
    }

    fn conv(
        &mut self,
        window: Window,
        groups: usize,
        filters: usize,
    ) -> Result<Box<dyn PackedLayer>> {
        let channels = self.channels * self.depthwise.as_ref().map_or(1, |stage| stage.multiplier);
        let folded = self.folded("kernel", channels)?;
        if let Some(stage) = self.depthwise.take() {
            return self.both(stage, filters, folded);
        }
        let stored = self.stored(folded, self.weights_type, filters, self.input())?;
        if is_pointwise(&window, groups) {
            let mut params = PointwiseParams::new(filters, stored.elements()).stride(window.stride);
            (params.bias, params.quantized) = (stored.bias(), stored.quantized());
            return self.boxed(Pointwise::pack(self.channels, &params, &self.options));
        }
        let mut params = ConvParams::new(window, filters, stored.elements()).groups(groups);
        (params.bias, params.quantized) = (stored.bias(), stored.quantized());
        self.boxed(Conv::pack(self.channels, &params, &self.options))
    }

    fn depthwise(&mut self, window: Window, multiplier: usize) -> Result<Box<dyn PackedLayer>> {
        let folded = self.folded("depthwise_kernel", self.channels)?;
        self.channelwise(window, multiplier, folded)
    }

    /// A depthwise convolution of these weights.
    fn channelwise(
        &self,
        window: Window,
        multiplier: usize,
        folded: Folded<'_>,
    ) -> Result<Box<dyn PackedLayer>> {
        let channels = self.channels * multiplier;
        let stored = self.stored(folded, ElementType::F32, channels, self.input())?;
        let mut params = DepthwiseParams::new(window, stored.elements()).multiplier(multiplier);
        (params.bias, params.quantized) = (stored.bias(), stored.quantized());
        self.boxed(Depthwise::pack(self.channels, &params, &self.options))
    }

    /// A depthwise and a pointwise convolution of these weights.
    fn both(
        &self,
        Stage { window, multiplier, weights, bias, activation }: Stage<'_>,
        filters: usize,
        pointwise: Folded<'_>,
    ) -> Result<Box<dyn PackedLayer>> {
        let (mid, channels) = (self.mid_quantization, self.channels * multiplier);
        let first = self.stored((weights, bias), ElementType::F32, channels, self.input())?;
        let second = self.stored(pointwise, self.weights_type, filters, mid)?;
        let mut depthwise = DepthwiseParams::new(window, first.elements()).multiplier(multiplier);
        (depthwise.bias, depthwise.quantized) = (first.bias(), first.quantized());
        let mut params = SeparableParams::new(depthwise, filters, second.elements())
            .mid_activation(activation)
            .mid_quantization(mid);
        (params.bias, params.quantized) = (second.bias(), second.quantized());
        self.boxed(Separable::pack(self.channels, &params, &self.options))
    }

    fn separable(
        &mut self,
        window: Window,
        multiplier: usize,
        filters: usize,
    ) -> Result<Box<dyn PackedLayer>> {
        let weights = self.lookup.get(self.node, self.channels, "depthwise_kernel")?.into();
        let activation = Activation::None;
        let stage = Stage { window, multiplier, weights, bias: None, activation };
        let folded = self.folded("pointwise_kernel", self.channels)?;
        self.both(stage, filters, folded)
    }

    fn dense(&mut self, units: usize) -> Result<Box<dyn PackedLayer>> {
        let folded = self.folded("kernel", self.channels)?;
        let stored = self.stored(folded, self.weights_type, units, self.input())?;
        let mut params = DenseParams::new(units, stored.elements());
        (params.bias, params.quantized) = (stored.bias(), stored.quantized());
        self.boxed(Dense::pack(self.channels, &params, &self.options))
    }

    /// The weights called `kernel` and the bias of the node, whose operand has `channels` channels.
    fn folded(&mut self, kernel: &str, channels: usize) -> Result<Folded<'a>> {
        self.lookup.folded(self.node, channels, kernel, self.norm.as_ref())
    }

    /// What the integers of the operand stand for.
    fn input(&self) -> Quantization {
        self.options.input_quantization
    }

    /// Weights to so many output channels in the type in which they are packed: `float`, or i8 for
    /// `input`s that are integers.
    fn stored<'w>(
        &self,
        (weights, bias): Folded<'w>,
        float: ElementType,
        channels: usize,
        input: Quantization,
    ) -> Result<Stored<'w>> {
        if self.options.input_type.is_quantized() {
            let int8 = Int8Weights::new(&weights, bias.as_deref(), channels, input.scale);
            return Ok(Stored::Int8(int8));
        }
        let mut bits = match float {
            ElementType::F32 => return Ok(Stored::F32(weights, bias)),
            _ => vec![0; weights.len()],
        };
        let to = match float {
            ElementType::F16 => ElementsMut::F16(&mut bits),
            _ => ElementsMut::Bf16(&mut bits),
        };
        convert((&*weights).into(), to, self.options.level)
            .map_err(|source| shape::kernel(self.node, source))?;
        Ok(Stored::Half(bits, float, bias))
    }

    /// A batch norm without a linear layer: a 1×1 depthwise convolution of weights 1, into which
    /// the norm is folded.
    fn affine(&self) -> Result<Box<dyn PackedLayer>> {
        let ones = vec![1.0; self.channels];
        self.channelwise(Window::new([1, 1]), 1, fold(&ones, None, self.norm.as_ref()))
    }
}

/// Weights in the type in which they are packed, and their bias.
enum Stored<'w> {
    F32(Cow<'w, [f32]>, Option<Cow<'w, [f32]>>),
    Half(Vec<u16>, ElementType, Option<Cow<'w, [f32]>>),
    Int8(Int8Weights),
}

impl Stored<'_> {
    fn elements(&self) -> Elements<'_> {
        match self {
            Self::F32(weights, _) => Elements::F32(weights),
            Self::Half(bits, ElementType::F16, _) => Elements::F16(bits),
            Self::Half(bits, ..) => Elements::Bf16(bits),
            Self::Int8(int8) => Elements::I8(&int8.weights),
        }
    }

    fn bias(&self) -> Option<&[f32]> {
        match self {
            Self::F32(_, bias) | Self::Half(_, _, bias) => bias.as_deref(),
            Self::Int8(_) => None,
        }
    }

    /// The scales and biases of weights of i8.
    fn quantized(&self) -> Option<QuantizedWeights<'_>> {
        match self {
            Self::Int8(int8) => Some(int8.quantized()),
            _ => None,
        }
    }
}

/// Looks tensors up and counts their elements.
struct Lookup<'w> {
    weights: &'w Weights,
    parameters: usize,
}

impl<'w> Lookup<'w> {
    /// A tensor of a node whose operand has `channels` channels. None if the operation has no
    /// tensor of this name.
    fn find(&mut self, node: &Node, channels: usize, name: &str) -> Result<Option<&'w [f32]>> {
        let tensor = tensors::find(self.weights, node, channels, name)?;
        self.parameters += tensor.map_or(0, <[f32]>::len);
        Ok(tensor)
    }

    /// A tensor that the operation has.
    fn get(&mut self, node: &Node, channels: usize, name: &str) -> Result<&'w [f32]> {
        let tensor = self.find(node, channels, name)?;
        tensor.ok_or_else(|| Error::Tensor {
            tensor: format!("{}/{name}", node.layer),
            message: "no such tensor in this operation".into(),
        })
    }

    /// The weights called `kernel` and the bias of a linear layer that is followed by `norm`.
    fn folded(
        &mut self,
        node: &Node,
        channels: usize,
        kernel: &str,
        norm: Option<&Affine>,
    ) -> Result<Folded<'w>> {
        let kernel = self.get(node, channels, kernel)?;
        let bias = self.find(node, channels, "bias")?;
        Ok(fold(kernel, bias, norm))
    }
}

/// y = scale·x + shift, by channel.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

/// Combines a sequence of batch norms and rescalings into one.
fn folded(affines: &[ValueId], flow: &Flow<'_>, lookup: &mut Lookup<'_>) -> Result<Option<Affine>> {
    let mut norm: Option<Affine> = None;
    for &v in affines {
        let next = affine(flow, v, lookup)?;
        norm = Some(match norm {
            None => next,
            Some(first) => first.then(&next),
        });
    }
    Ok(norm)
}

/// Scale and shift of a batch norm, γ / √(variance + ε) and β − mean·scale, or of a rescaling.
fn affine(flow: &Flow<'_>, v: ValueId, lookup: &mut Lookup<'_>) -> Result<Affine> {
    let value = &flow.values[v];
    let channels = value.shape[3];
    let epsilon = match value.op {
        Op::BatchNorm { epsilon, .. } => *epsilon,
        Op::Rescale { scale, offset } => {
            let each = |numbers: &[f64]| numbers.iter().copied().cycle().take(channels).collect();
            return Ok(Affine { scale: each(scale), shift: each(offset) });
        }
        _ => unreachable!("only batch norms and rescalings are folded"),
    };
    let mut get = |variable: &str, absent: f64| -> Result<Vec<f64>> {
        let tensor = lookup.find(value.node, channels, variable)?;
        let wide = |tensor: &[f32]| tensor.iter().map(|&x| f64::from(x)).collect();
        Ok(tensor.map_or_else(|| vec![absent; channels], wide))
    };
    let gamma = get("gamma", 1.0)?;
    let beta = get("beta", 0.0)?;
    let mean = get("moving_mean", 0.0)?;
    let variance = get("moving_variance", 1.0)?;
    let rootless = |&(_, &v): &(usize, &f64)| v.is_nan() || v + epsilon <= 0.0;
    if let Some((c, v)) = variance.iter().enumerate().find(rootless) {
        return Err(Error::Tensor {
            tensor: format!("{}/moving_variance", value.node.layer),
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

impl Affine {
    /// `self` followed by `next`.
    fn then(self, next: &Self) -> Self {
        let scale = (self.scale.iter().zip(&next.scale)).map(|(a, b)| a * b);
        let shift = (self.shift.iter().zip(&next.scale).zip(&next.shift))
            .map(|((shift, scale), next)| shift * scale + next);
        Self { scale: scale.collect(), shift: shift.collect() }
    }
}

/// Weights and bias.
type Folded<'w> = (Cow<'w, [f32]>, Option<Cow<'w, [f32]>>);

/// Weights and bias of a linear layer followed by `norm`.
fn fold<'w>(weights: &'w [f32], bias: Option<&'w [f32]>, norm: Option<&Affine>) -> Folded<'w> {
    let Some(Affine { scale, shift }) = norm else {
        return (weights.into(), bias.map(Cow::from));
    };
    let scaled = (weights.iter().zip(scale.iter().cycle()))
        .map(|(&w, s)| (f64::from(w) * s) as f32)
        .collect();
    let shifted = (scale.iter().zip(shift).enumerate())
        .map(|(o, (s, t))| (bias.map_or(0.0, |b| f64::from(b[o])) * s + t) as f32)
        .collect();
    (Cow::Owned(scaled), Some(Cow::Owned(shifted)))
}
