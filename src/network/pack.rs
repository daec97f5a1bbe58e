//! Packs the weights of a fused step, once for inputs of any size.
//!
//! In a separable convolution batch norm is folded into the pointwise weights, not the depthwise.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sepconv_kernels::{
    Activation, Arithmetic, Conv, ConvParams, Dense, DenseParams, Depthwise, DepthwiseParams,
    ElementType, Elements, ElementsMut, Level, Normalization, NormalizationKind,
    NormalizationParams, Options, Packed, Plan, Pointwise, PointwiseParams, Quantization,
    QuantizedWeights, Separable, SeparableParams, TransposedConv, TransposedParams,
    TransposedWindow, Window, convert,
};

use super::affine::{Affine, Folded, KernelWeights, Lookup, fold, folded};
use super::flow::{Flow, ValueId};
use super::fuse::{FusedStep, is_affine, is_pointwise};
use super::integers::{Int8Weights, StepQuantizations};
use super::{Node, Op, shape};
use crate::Result;
use crate::weights::Weights;

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
    /// The γ and β of a normalization without a kernel.
    Affine([Option<Arc<[f32]>>; 2]),
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
    let mut lookup = Lookup::new(weights);
    let affine = |&v: &ValueId| (flow.values[v].node, flow.values[v].shape[3]);
    let norm = folded(step.affines.iter().map(affine), &mut lookup)?;
    let depthwise = match &step.depthwise {
        None => None,
        Some(stage) => {
            let value = &flow.values[stage.kernel];
            let &Op::Depthwise { window, multiplier, .. } = value.op else {
                unreachable!("the stage is a depthwise convolution");
            };
            let norm = folded(stage.affines.iter().map(affine), &mut lookup)?;
            let [.., channels] = flow.values[step.x].shape;
            let folded = lookup.folded(value.node, channels, "depthwise_kernel", norm.as_ref())?;
            Some(Stage { window, multiplier, folded, activation: stage.activation })
        }
    };
    let [.., channels] = step.x_shape(flow);
    let Ends { input_type, output_type, quantizations } = ends;
    let mut options = Options::default()
        .input_activation(step.input_activation)
        .input_scale(step.scale.is_some())
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
    folded: Folded<'a>,
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
            Op::ConvTranspose { window, filters, .. } => self.transposed(window, filters)?,
            Op::Normalize { kind, epsilon, scale, center } => {
                self.normalization(kind, epsilon, [scale, center])?
            }
            ref op if is_affine(op) => self.affine()?,
            Op::PRelu { .. } => {
                let alpha = self.lookup.get(self.node, self.channels, "alpha")?;
                return Ok(PackedWeights::Alpha(alpha.into()));
            }
            Op::NormalizeOver { scale, center, .. } => {
                let mut get = |present: bool, name: &str| match present {
                    false => Ok(None),
                    true => {
                        let array = self.lookup.get(self.node, self.channels, name)?;
                        Ok::<_, crate::Error>(Some(array.into()))
                    }
                };
                return Ok(PackedWeights::Affine([get(scale, "gamma")?, get(center, "beta")?]));
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
        if groups > 1 && groups == self.channels && filters.is_multiple_of(groups) {
            // A depthwise convolution, whose weights lie in the same order.
            return self.channelwise(window, filters / groups, folded);
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
        Stage { window, multiplier, folded, activation }: Stage<'_>,
        filters: usize,
        pointwise: Folded<'_>,
    ) -> Result<Box<dyn PackedLayer>> {
        let (mid, channels) = (self.mid_quantization, self.channels * multiplier);
        let first = self.stored(folded, ElementType::F32, channels, self.input())?;
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
        let kernel = self.lookup.kernel(self.node, self.channels, "depthwise_kernel")?;
        let activation = Activation::None;
        let stage = Stage { window, multiplier, folded: (kernel, None), activation };
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

    fn transposed(
        &mut self,
        window: TransposedWindow,
        filters: usize,
    ) -> Result<Box<dyn PackedLayer>> {
        let folded = self.folded("kernel", self.channels)?;
        let stored = self.stored(folded, self.weights_type, filters, self.input())?;
        let mut params = TransposedParams::new(window, filters, stored.elements());
        params.bias = stored.bias();
        // There is no other.
        let options = self.options.arithmetic(Arithmetic::Exact);
        self.boxed(TransposedConv::pack(self.channels, &params, &options))
    }

    fn normalization(
        &mut self,
        kind: NormalizationKind,
        epsilon: f64,
        present: [bool; 2],
    ) -> Result<Box<dyn PackedLayer>> {
        let mut params = NormalizationParams::new(kind, epsilon as f32);
        if present[0] {
            params.scale = Some(self.lookup.get(self.node, self.channels, "gamma")?);
        }
        if present[1] {
            params.shift = Some(self.lookup.get(self.node, self.channels, "beta")?);
        }
        self.boxed(Normalization::pack(self.channels, &params, &self.options))
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
        (kernel, bias): Folded<'w>,
        float: ElementType,
        channels: usize,
        input: Quantization,
    ) -> Result<Stored<'w>> {
        if self.options.input_type.is_quantized() {
            let (bias, input) = (bias.as_deref(), input.scale);
            return Ok(Stored::Int8(match kernel {
                KernelWeights::Int8(given) => Int8Weights::given(given, bias, channels, input),
                KernelWeights::F32(weights) => Int8Weights::new(&weights, bias, channels, input),
            }));
        }
        let weights = kernel.numbers();
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
        let folded = fold(KernelWeights::F32(Cow::Owned(ones)), None, self.norm.as_ref());
        self.channelwise(Window::new([1, 1]), 1, folded)
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
