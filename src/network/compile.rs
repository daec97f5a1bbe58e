//! A fused step → its kernel, with weights.
//!
//! Batch norm, y = scale·x + shift, is folded in f64 and rounded to f32 once. In all weight layouts
//! the output channel is innermost, so that folding scales each run of that many weights alike; in
//! a separable convolution those are the pointwise weights, never the depthwise.

use std::borrow::Cow;

use sepconv_kernels::{
    Activation, Arithmetic, Conv, ConvParams, Dense, DenseParams, Depthwise, DepthwiseParams,
    ElementType, Elements, Elementwise, GlobalAveragePool, Level, Options, Plan, Pointwise,
    PointwiseParams, Pool, PoolKind, Separable, SeparableParams, Window, convert,
};

use super::arena::{Unit, elements, elements_mut};
use super::flow::{Flow, ValueId};
use super::fuse::{FusedStep, is_pointwise};
use super::plain::Plain;
use super::shape::{self, Shape};
use super::{Border, Interpolation, Node, Op, tensors};
use crate::resample::Resample;
use crate::weights::Weights;
use crate::{Error, Result};

/// What runs.
#[derive(Debug)]
pub(super) enum Kernel {
    Plan(Box<dyn Plan>),
    /// The kernel crate has none.
    Plain(Plain),
}

/// A step's kernel and the number of weights that it was made of.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) kernel: Kernel,
    pub(super) parameters: usize,
}

/// What all steps have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common {
    pub(super) level: Level,
    /// What the weights of GEMMs are packed in.
    pub(super) weights: ElementType,
    pub(super) arithmetic: Arithmetic,
}

pub(super) fn compile(
    step: &FusedStep,
    flow: &Flow<'_>,
    weights: &Weights,
    common: Common,
    [input_type, output_type]: [ElementType; 2],
    pictures: usize,
) -> Result<Compiled> {
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
    let [_, h, w, c] = step.x_shape(flow);
    let mut compiler = Compiler {
        node: value.node,
        input: [pictures, h, w, c],
        lookup,
        norm,
        depthwise,
        options: Options::default()
            .input_activation(step.input_activation)
            .activation(step.activation)
            .level(common.level)
            .input_type(input_type)
            .output_type(output_type)
            .arithmetic(common.arithmetic),
        weights_type: common.weights,
    };
    Ok(Compiled { kernel: compiler.kernel(value.op)?, parameters: compiler.lookup.parameters })
}

/// All that the kernel of a step depends on besides its operation.
struct Compiler<'a> {
    node: &'a Node,
    input: Shape,
    lookup: Lookup<'a>,
    norm: Option<Affine>,
    /// In front of a pointwise convolution.
    depthwise: Option<Stage<'a>>,
    options: Options,
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

impl<'a> Compiler<'a> {
    fn kernel(&mut self, op: &Op) -> Result<Kernel> {
        let (input, options) = (self.input, self.options);
        let [_, h, w, _] = input;
        let plan = match *op {
            Op::Conv { window, groups, filters, .. } => self.conv(window, groups, filters)?,
            Op::Depthwise { window, multiplier, .. } => self.depthwise(window, multiplier)?,
            Op::Separable { window, multiplier, filters, .. } => {
                self.separable(window, multiplier, filters)?
            }
            Op::Dense { units, .. } => self.dense(units)?,
            Op::BatchNorm { .. } | Op::Rescale { .. } => self.affine()?,
            Op::MaxPool(window) => self.boxed(Pool::new(input, PoolKind::Max, window, &options))?,
            Op::AveragePool(window) => {
                self.boxed(Pool::new(input, PoolKind::Average, window, &options))?
            }
            Op::GlobalPool { kind: PoolKind::Max, .. } => {
                self.boxed(Pool::new(input, PoolKind::Max, Window::new([h, w]), &options))?
            }
            Op::GlobalPool { .. } => self.boxed(GlobalAveragePool::new(input, &options))?,
            Op::Add
            | Op::Activation(_)
            | Op::Identity
            | Op::Flatten { .. }
            | Op::Reshape { .. } => self.boxed(Elementwise::new(input, &options))?,
            Op::Softmax
            | Op::Function(_)
            | Op::PRelu { .. }
            | Op::ZeroPad(_)
            | Op::Crop(_)
            | Op::CenterCrop { .. }
            | Op::Resize { .. } => return self.plain(op).map(Kernel::Plain),
            Op::Input { .. } | Op::Concat => unreachable!("fusion starts no step at these"),
        };
        Ok(Kernel::Plan(plan))
    }

    fn plain(&mut self, op: &Op) -> Result<Plain> {
        let [_, h, w, _] = self.input;
        // Below what memory holds, as shapes are checked.
        let signed = |a: usize, b: usize| a as isize - b as isize;
        Ok(match *op {
            Op::Function(function) => Plain::Function(function),
            Op::PRelu { ref shape } => Plain::PRelu {
                shape: match shape[..] {
                    [ah, aw, ac] => [ah, aw, ac],
                    _ => [1, 1, self.input[3]],
                },
                alpha: self.lookup.get(self.node, self.input[3], "alpha")?.into(),
            },
            Op::ZeroPad(Border { top, left, .. }) => {
                Plain::Shift { down: signed(top, 0), right: signed(left, 0) }
            }
            Op::Crop(Border { top, left, .. }) => {
                Plain::Shift { down: signed(0, top), right: signed(0, left) }
            }
            Op::CenterCrop { size: [height, width] } if height <= h && width <= w => {
                Plain::Shift { down: signed(height, h) / 2, right: signed(width, w) / 2 }
            }
            Op::CenterCrop { size } => {
                Plain::Resample(Resample::new([h, w], size, Interpolation::Bilinear, true))
            }
            Op::Resize { size, how, crop } => {
                Plain::Resample(Resample::new([h, w], size, how, crop))
            }
            Op::Softmax => Plain::Softmax,
            _ => unreachable!("`kernel` sends plain operations here alone"),
        })
    }

    fn boxed<P: Plan + 'static>(
        &self,
        plan: std::result::Result<P, sepconv_kernels::Error>,
    ) -> Result<Box<dyn Plan>> {
        match plan {
            Ok(plan) => Ok(Box::new(plan)),
            Err(source) => Err(shape::kernel(self.node, source)),
        }
    }

    fn conv(&mut self, window: Window, groups: usize, filters: usize) -> Result<Box<dyn Plan>> {
        let channels = self.input[3] * self.depthwise.as_ref().map_or(1, |stage| stage.multiplier);
        let (weights, bias) = self.folded("kernel", channels)?;
        let weights = self.rounded(weights)?;
        if let Some(stage) = &self.depthwise {
            let mut depthwise =
                DepthwiseParams::new(stage.window, &*stage.weights).multiplier(stage.multiplier);
            depthwise.bias = stage.bias.as_deref();
            let mut params = SeparableParams::new(depthwise, filters, weights.elements())
                .mid_activation(stage.activation);
            params.bias = bias.as_deref();
            return self.boxed(Separable::new(self.input, &params, &self.options));
        }
        if is_pointwise(&window, groups) {
            let mut params =
                PointwiseParams::new(filters, weights.elements()).stride(window.stride);
            params.bias = bias.as_deref();
            return self.boxed(Pointwise::new(self.input, &params, &self.options));
        }
        let mut params = ConvParams::new(window, filters, weights.elements()).groups(groups);
        params.bias = bias.as_deref();
        self.boxed(Conv::new(self.input, &params, &self.options))
    }

    fn depthwise(&mut self, window: Window, multiplier: usize) -> Result<Box<dyn Plan>> {
        let (weights, bias) = self.folded("depthwise_kernel", self.input[3])?;
        let mut params = DepthwiseParams::new(window, &*weights).multiplier(multiplier);
        params.bias = bias.as_deref();
        self.boxed(Depthwise::new(self.input, &params, &self.options))
    }

    fn separable(
        &mut self,
        window: Window,
        multiplier: usize,
        filters: usize,
    ) -> Result<Box<dyn Plan>> {
        let weights = self.lookup.get(self.node, self.input[3], "depthwise_kernel")?;
        let depthwise = DepthwiseParams::new(window, weights).multiplier(multiplier);
        let (weights, bias) = self.folded("pointwise_kernel", self.input[3])?;
        let weights = self.rounded(weights)?;
        let mut params = SeparableParams::new(depthwise, filters, weights.elements());
        params.bias = bias.as_deref();
        self.boxed(Separable::new(self.input, &params, &self.options))
    }

    fn dense(&mut self, units: usize) -> Result<Box<dyn Plan>> {
        let (weights, bias) = self.folded("kernel", self.input[3])?;
        let weights = self.rounded(weights)?;
        let (weights, bias) = (weights.elements(), bias.as_deref());
        if self.input[1..3] != [1, 1] {
            let mut params = PointwiseParams::new(units, weights);
            params.bias = bias;
            return self.boxed(Pointwise::new(self.input, &params, &self.options));
        }
        let mut params = DenseParams::new(units, weights);
        params.bias = bias;
        self.boxed(Dense::new(self.input, &params, &self.options))
    }

    /// The kernel of that name and the bias of the node, which takes so many channels.
    fn folded(&mut self, kernel: &str, channels: usize) -> Result<Folded<'a>> {
        self.lookup.folded(self.node, channels, kernel, self.norm.as_ref())
    }

    /// The weights of a GEMM in the type in which they are packed.
    fn rounded<'w>(&self, weights: Cow<'w, [f32]>) -> Result<Rounded<'w>> {
        let mut bits = match self.weights_type {
            ElementType::F32 => return Ok(Rounded::F32(weights)),
            _ => vec![0; weights.len()],
        };
        let to = elements_mut(self.weights_type, &mut bits);
        convert((&*weights).into(), to, self.options.level)
            .map_err(|source| shape::kernel(self.node, source))?;
        Ok(Rounded::Half(bits, self.weights_type))
    }

    /// On its own it is a 1×1 depthwise convolution, of weights 1 into which it is folded.
    fn affine(&self) -> Result<Box<dyn Plan>> {
        let ones = vec![1.0; self.input[3]];
        let (weights, bias) = fold(&ones, None, self.norm.as_ref());
        let mut params = DepthwiseParams::new(Window::new([1, 1]), &*weights);
        params.bias = bias.as_deref();
        self.boxed(Depthwise::new(self.input, &params, &self.options))
    }
}

/// Weights in the type in which they are packed.
enum Rounded<'w> {
    F32(Cow<'w, [f32]>),
    Half(Vec<Unit>, ElementType),
}

impl Rounded<'_> {
    fn elements(&self) -> Elements<'_> {
        match self {
            Self::F32(weights) => Elements::F32(weights),
            Self::Half(bits, element) => elements(*element, bits),
        }
    }
}

/// Looks tensors up and counts their elements.
struct Lookup<'w> {
    weights: &'w Weights,
    parameters: usize,
}

impl<'w> Lookup<'w> {
    /// A tensor of a node that takes so many channels; none if the node has none of that name.
    fn find(&mut self, node: &Node, channels: usize, name: &str) -> Result<Option<&'w [f32]>> {
        let tensor = tensors::find(self.weights, node, channels, name)?;
        self.parameters += tensor.map_or(0, <[f32]>::len);
        Ok(tensor)
    }

    /// One that the node has.
    fn get(&mut self, node: &Node, channels: usize, name: &str) -> Result<&'w [f32]> {
        let tensor = self.find(node, channels, name)?;
        tensor.ok_or_else(|| Error::Tensor {
            tensor: format!("{}/{name}", node.layer),
            message: "no such tensor in this operation".into(),
        })
    }

    /// The kernel of that name and the bias of a linear layer behind which is `norm`.
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

/// Batch norms and rescalings, one after another, as one.
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

/// γ / √(variance + ε) and β − mean·scale of a batch norm; the numbers of a rescaling.
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
            message: format!("{v} at channel {c}: with epsilon {epsilon} not above 0"),
        });
    }
    let scale: Vec<f64> =
        (gamma.iter().zip(&variance)).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift = (beta.iter().zip(&mean).zip(&scale)).map(|((b, m), s)| b - m * s).collect();
    Ok(Affine { scale, shift })
}

impl Affine {
    /// This one, then `next`.
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
