//! One kernel and its operands: the unit of running.

use sepconv_kernels::{Elements, ElementsMut, NhwcView, NhwcViewMut, Threads};

use super::Op;
use super::arena::{self, Unit};
use super::compile::Kernel;
use super::flow::{Flow, ValueId};
use super::fuse::FusedStep;
use super::layout::{Layout, Source, Target};
use super::shape::Shape;
use super::turns::Turn;
use crate::{Error, Result};

/// A description of a step.
///
/// ```
/// use sepconv::models::{MobileNetConfig, mobilenet};
/// use sepconv::network::{NetworkPlan, PlanOptions};
/// use sepconv::weights::synthetic;
///
/// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
/// let weights = synthetic::weights(&network)?;
/// let plan = NetworkPlan::new(&network, weights, [1, 64, 64, 3], &PlanOptions::default())?;
/// // A 3×3 depthwise and a pointwise convolution, each with batch norm and ReLU6, are one step.
/// let step = plan.steps().find(|step| step.name == "conv_pw_1_relu").unwrap();
/// assert_eq!((step.input, step.output), ([1, 32, 32, 8], [1, 32, 32, 16]));
/// assert_eq!(step.nodes.first().unwrap(), "conv_dw_1");
/// assert_eq!(step.multiply_adds, 32 * 32 * 8 * (9 + 16));
/// assert_eq!(step.parameters, (9 + 4) * 8 + (8 + 4) * 16);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepInfo {
    /// The node whose value the step stores. A step that copies an operand into a concatenation,
    /// copies the input into an output, or makes a partial sum has the name of the node that needs
    /// it.
    pub name: String,
    /// All nodes that the step computes, in order.
    pub nodes: Vec<String>,
    /// The names of its kernels.
    pub kernel: String,
    /// The shape \[N, H, W, C\] of the first operand.
    pub input: [usize; 4],
    /// The shape \[N, H, W, C\] of the result.
    pub output: [usize; 4],
    /// The multiply-adds of convolutions and dense layers, those on padding included.
    pub multiply_adds: u64,
    /// The number of weights of the nodes, moving statistics included.
    pub parameters: usize,
}

/// A step of a plan.
#[derive(Debug)]
pub(super) struct Step {
    kernel: Kernel,
    x: ValueId,
    /// With its shape: that of the result, unless it is the second operand of a binary operation.
    residual: Option<(ValueId, Shape)>,
    /// With its shape, \[N, 1, 1, C\].
    scale: Option<(ValueId, Shape)>,
    result: ValueId,
    info: StepInfo,
}

/// Where the operands of a step lie.
#[derive(Debug)]
pub(super) struct Operands {
    x: Source,
    residual: Option<Source>,
    scale: Option<Source>,
    y: Target,
}

impl Step {
    pub(super) fn new(
        fused: &FusedStep,
        flow: &Flow<'_>,
        kernel: Kernel,
        parameters: usize,
    ) -> Self {
        let input = fused.x_shape(flow);
        let (kernel_name, multiply_adds) = match &kernel {
            Kernel::Plain(plain) => (plain.name(), 0),
            Kernel::Plan(plan) if is_counted(flow.values[fused.kernel].op) => {
                let pictures = input[0] / plan.input_shape()[0];
                (plan.kernel_name(), plan.multiply_adds().saturating_mul(pictures as u64))
            }
            Kernel::Plan(plan) | Kernel::Weighted(plan, ..) => (plan.kernel_name(), 0),
        };
        let name = |v: ValueId| flow.values[v].node.name.clone();
        let info = StepInfo {
            name: name(fused.result),
            nodes: fused.members.iter().map(|&v| name(v)).collect(),
            kernel: kernel_name.into(),
            input,
            output: flow.values[fused.result].shape,
            multiply_adds,
            parameters,
        };
        let FusedStep { x, scale, residual, result, .. } = *fused;
        let [residual, scale] = [residual, scale].map(|v| v.map(|v| (v, flow.values[v].shape)));
        Self { x, residual, scale, result, kernel, info }
    }

    /// Where its operands lie in a layout of the arena.
    pub(super) fn operands(&self, layout: &Layout<'_>) -> Operands {
        Operands {
            x: layout.source(self.x, self.info.input),
            residual: self.residual.map(|(v, shape)| layout.source(v, shape)),
            scale: self.scale.map(|(v, shape)| layout.source(v, shape)),
            y: layout.target(self.result),
        }
    }

    pub(super) fn info(&self) -> &StepInfo {
        &self.info
    }

    /// Bytes of its packed weights.
    pub(super) fn weights_bytes(&self) -> usize {
        self.kernel.plan().map_or(0, |plan| plan.weights_bytes())
    }

    /// The elements of scratch that it needs to use `threads` threads.
    pub(super) fn scratch_len(&self, threads: usize) -> usize {
        self.kernel.plan().map_or(0, |plan| plan.scratch_len(threads.max(1)))
    }

    /// Computes the result from `input` and the arena, into the arena, on these threads. With a
    /// turn, computes only the rows of the turn, for one picture.
    pub(super) fn run(
        &self,
        threads: &dyn Threads,
        operands: &Operands,
        turn: Option<(&Turn, usize)>,
        input: &[f32],
        arena: &mut [Unit],
        scratch: &mut [f32],
    ) -> Result<()> {
        if let Some((turn, picture)) = turn.filter(|(turn, _)| !turn.kept.is_empty()) {
            let (kept, _) = operands.y.rows(picture, &turn.kept, 0);
            arena.copy_within(kept, operands.y.range.start);
        }
        // The first, second or third operand: x, the residual, the result.
        let part = |place: &Target, operand: usize| match turn {
            None => (place.range.clone(), place.shape),
            Some((turn, picture)) => {
                let rows = if operand == 0 { &turn.x } else { &turn.rows };
                place.rows(picture, rows, turn.tops[operand])
            }
        };
        let (result, y_shape) = part(&operands.y, 2);
        let (before, rest) = arena.split_at_mut(result.start);
        let (y, after) = rest.split_at_mut(result.len());
        let read = |source: &Source, operand: usize| {
            let place = match source {
                Source::Input(place) | Source::Arena(place) => place,
            };
            let (range, shape) = part(place, operand);
            let units = match source {
                Source::Input(_) => &bytemuck::cast_slice(input)[range],
                // An operand lives while the result does, so it lies on one side of it.
                Source::Arena(_) if range.end <= result.start => &before[range],
                Source::Arena(_) => &after[range.start - result.end..range.end - result.end],
            };
            (arena::elements(place.element, units), shape)
        };
        let (x, x_shape) = read(&operands.x, 0);
        let y = arena::elements_mut(operands.y.element, y);
        let residual = operands.residual.as_ref().map(|residual| read(residual, 1));
        let (plan, residual) = match &self.kernel {
            Kernel::Plan(plan) => (plan, residual),
            Kernel::Weighted(plan, weights, shape) => {
                (plan, Some((Elements::F32(weights), *shape)))
            }
            Kernel::Plain(plain) => {
                let (Elements::F32(x), ElementsMut::F32(y)) = (x, y) else {
                    unreachable!("plain loops have f32 on both sides")
                };
                let second = residual.map(|(data, shape)| match data {
                    Elements::F32(data) => (data, shape),
                    _ => unreachable!("plain loops have f32 on both sides"),
                });
                plain.run((x, x_shape), second, (y, y_shape), operands.y.stride);
                return Ok(());
            }
        };
        // Steps with factors never run by turns.
        let scale = operands.scale.as_ref().map(|scale| match read(scale, 1) {
            (Elements::F32(scale), _) => scale,
            _ => unreachable!("factors are stored as f32"),
        });
        let run = || {
            let mut x = NhwcView::new(x, x_shape)?;
            if let Some(scale) = scale {
                x = x.scaled(scale)?;
            }
            let residual = residual.map(|(data, shape)| NhwcView::new(data, shape)).transpose()?;
            let y = NhwcViewMut::with_pixel_stride(y, y_shape, operands.y.stride)?;
            let rows = turn.map_or(0..plan.output_shape()[1], |(turn, _)| turn.rows.clone());
            plan.run_on(threads, rows, x, residual, y, scratch.into())
        };
        run().map_err(|source| Error::Kernel { node: self.info.name.clone(), source })
    }
}

/// Whether a layer's multiply-adds are counted, as papers count them.
fn is_counted(op: &Op) -> bool {
    matches!(op, Op::Conv { .. } | Op::Depthwise { .. } | Op::Separable { .. } | Op::Dense { .. })
}
