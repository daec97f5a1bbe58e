//! One kernel and where its operands lie: the unit of running.

use sepconv_kernels::{Elements, ElementsMut, NhwcView, NhwcViewMut, Plan};

use super::Op;
use super::arena::{self, Unit};
use super::compile::{Common, Compiled, Kernel, compile};
use super::flow::{Flow, ValueId};
use super::fuse::FusedStep;
use super::layout::{Layout, Source, Target};
use super::shape::Shape;
use crate::weights::Weights;
use crate::{Error, Result};

/// What a step does, for reports.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// # let mut network = Network::new("small", "input", [None, None], 3);
/// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
/// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
/// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
/// # let weights = synthetic::weights(&network)?;
/// # let options = PlanOptions::default();
/// // network: a 3×3 convolution of 3 to 8 channels with biases, then ReLU
/// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
/// let step: &StepInfo = plan.steps().next().unwrap();
/// assert_eq!((step.name.as_str(), &step.nodes[..]), ("relu", &["conv".into(), "relu".into()][..]));
/// assert_eq!((step.input, step.output), ([1, 8, 8, 3], [1, 6, 6, 8]));
/// assert_eq!(step.parameters, 9 * 3 * 8 + 8);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StepInfo {
    /// The node whose value it stores. A step that copies an operand into a concatenation, or the
    /// input into an output, and one that makes a partial sum, bear the name of the node in need.
    pub name: String,
    /// All nodes it computes, in order.
    pub nodes: Vec<String>,
    /// The kernels that run.
    pub kernel: String,
    /// \[N, H, W, C\] of the (first) operand.
    pub input: [usize; 4],
    /// \[N, H, W, C\] of the result.
    pub output: [usize; 4],
    /// Multiply-adds of convolutions and dense layers, padding included.
    pub multiply_adds: u64,
    /// Elements of the nodes' weight tensors, moving statistics included.
    pub parameters: usize,
}

/// A step of a plan.
#[derive(Debug)]
pub(super) struct Step {
    kernel: Kernel,
    x: (Source, Shape),
    residual: Option<(Source, Shape)>,
    y: Target,
    info: StepInfo,
}

impl Step {
    pub(super) fn new(
        fused: &FusedStep,
        flow: &Flow<'_>,
        layout: &Layout,
        weights: &Weights,
        common: Common,
    ) -> Result<Self> {
        let x = (layout.source(flow, fused.x), fused.x_shape(flow));
        let y = layout.target(flow, fused.result);
        let ends = [x.0.element(), y.element];
        let Compiled { kernel, parameters } = compile(fused, flow, weights, common, ends)?;
        let (kernel_name, multiply_adds) = match &kernel {
            Kernel::Softmax => ("softmax", 0),
            Kernel::Plan(plan) if is_counted(flow.values[fused.kernel].op) => {
                (plan.kernel_name(), plan.multiply_adds())
            }
            Kernel::Plan(plan) => (plan.kernel_name(), 0),
        };
        let name = |v: ValueId| flow.values[v].node.name.clone();
        let info = StepInfo {
            name: name(fused.result),
            nodes: fused.members.iter().map(|&v| name(v)).collect(),
            kernel: kernel_name.into(),
            input: x.1,
            output: flow.values[fused.result].shape,
            multiply_adds,
            parameters,
        };
        let residual = fused.residual.map(|v| (layout.source(flow, v), flow.values[v].shape));
        Ok(Self { x, residual, y, kernel, info })
    }

    pub(super) fn info(&self) -> &StepInfo {
        &self.info
    }

    /// Bytes of its packed weights.
    pub(super) fn weights_bytes(&self) -> usize {
        match &self.kernel {
            Kernel::Plan(plan) => plan.weights_bytes(),
            Kernel::Softmax => 0,
        }
    }

    /// Elements of scratch with which it uses up to `threads` threads, at least one.
    pub(super) fn scratch_len(&self, threads: usize) -> usize {
        match &self.kernel {
            Kernel::Plan(plan) => plan.scratch_len(threads.max(1)),
            Kernel::Softmax => 0,
        }
    }

    /// Computes its result from `input` and the arena, into the arena. Both have the plan's lengths.
    pub(super) fn run(&self, input: &[f32], arena: &mut [Unit], scratch: &mut [f32]) -> Result<()> {
        let (before, rest) = arena.split_at_mut(self.y.range.start);
        let (y, after) = rest.split_at_mut(self.y.range.len());
        // An operand lives while the result does, so it lies on one side of it.
        let read = |source: &Source| {
            let (range, element) = match source {
                Source::Input => return Elements::F32(input),
                Source::Arena(range, element) => (range, *element),
            };
            let units = if range.start < self.y.range.start {
                &before[range.clone()]
            } else {
                &after[range.start - self.y.range.end..range.end - self.y.range.end]
            };
            arena::elements(element, units)
        };
        let x = read(&self.x.0);
        let y = arena::elements_mut(self.y.element, y);
        match &self.kernel {
            Kernel::Softmax => {
                let (Elements::F32(x), ElementsMut::F32(y)) = (x, y) else {
                    unreachable!("softmax has f32 on both sides")
                };
                softmax(x, y, self.y.shape[3], self.y.stride);
                Ok(())
            }
            Kernel::Plan(plan) => {
                let residual = self.residual.as_ref().map(|(s, shape)| (read(s), *shape));
                run_plan(plan.as_ref(), (x, self.x.1), residual, y, &self.y, scratch)
                    .map_err(|source| Error::Kernel { node: self.info.name.clone(), source })
            }
        }
    }
}

/// Whether literature counts the layer's multiply-adds.
fn is_counted(op: &Op) -> bool {
    matches!(op, Op::Conv { .. } | Op::Depthwise { .. } | Op::Separable { .. } | Op::Dense { .. })
}

fn run_plan(
    plan: &dyn Plan,
    x: (Elements<'_>, Shape),
    residual: Option<(Elements<'_>, Shape)>,
    y: ElementsMut<'_>,
    target: &Target,
    scratch: &mut [f32],
) -> sepconv_kernels::Result<()> {
    fn view((data, shape): (Elements<'_>, Shape)) -> sepconv_kernels::Result<NhwcView<'_>> {
        NhwcView::new(data, shape)
    }
    plan.run(
        view(x)?,
        residual.map(view).transpose()?,
        NhwcViewMut::with_pixel_stride(y, target.shape, target.stride)?,
        scratch,
    )
}

/// exp(x − max) / Σ over each pixel's `channels`, in f64. A NaN makes its pixel NaN.
fn softmax(x: &[f32], y: &mut [f32], channels: usize, stride: usize) {
    for (x, y) in x.chunks_exact(channels).zip(y.chunks_mut(stride)) {
        let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp = |v: f32| (f64::from(v) - f64::from(max)).exp();
        let sum: f64 = x.iter().map(|&v| exp(v)).sum();
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (exp(x) / sum) as f32;
        }
    }
}
