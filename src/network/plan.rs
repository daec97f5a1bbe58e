//! A network for one input shape, ready to run: kernels packed, every buffer's place known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use sepconv_kernels::{Arithmetic, ElementType, Level};

use super::Network;
use super::arena::Unit;
use super::compile::Common;
use super::flow::Flow;
use super::fuse::{FusedStep, fuse};
use super::layout::{Layout, Target};
use super::shape::Shape;
use super::step::{Step, StepInfo};
use crate::weights::Weights;
use crate::{Error, Result};

/// What [`NetworkPlan::new`] takes besides the network, its weights and the input's shape.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// The level to use; [`Level::from_env`] when none.
    pub level: Option<Level>,
    /// Nodes besides the output whose values a session can report. Each is stored as the network
    /// says it is, so nothing is fused past it.
    pub outputs: Vec<String>,
    /// What weights are rounded to when they are packed, to nearest even; half the memory and half of what is
    /// read with 16 bits. Depthwise kernels, biases and batch norms that stand alone, some hundredth of all,
    /// stay f32. All arithmetic is f32.
    pub weights_type: ElementType,
    /// What values between steps are rounded to when they are stored. The input, the output and what
    /// softmax reads stay f32, and so does what is added to or concatenated with one of these; other
    /// reported nodes are f32 of the rounded values.
    pub activations_type: ElementType,
    /// Whether pointwise, separable and dense layers of bf16 weights may use the CPU's dot products of bf16,
    /// faster and less exact.
    pub arithmetic: Arithmetic,
}

/// A value that can be asked for after a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) range: Range<usize>,
    pub(super) shape: Shape,
    pub(super) element: ElementType,
}

/// A network planned for one input shape \[N, H, W, C\].
///
/// Immutable, `Send + Sync`: share it between sessions with an [`std::sync::Arc`].
#[derive(Debug)]
pub struct NetworkPlan {
    level: Level,
    input: Shape,
    steps: Vec<Step>,
    /// The output, then the nodes asked for.
    reports: Vec<Report>,
    arena_len: usize,
}

impl NetworkPlan {
    /// Plans `network` for inputs of shape \[N, H, W, C\]. Only what the output and the nodes in
    /// `options.outputs` need is looked at.
    ///
    /// `weights` is a `&Weights`, or a `Weights` that is freed layer by layer while the plan packs its own
    /// copy, so that there is little more than one copy in memory at any time.
    ///
    /// # Errors
    /// - [`Error::Network`] or [`Error::Kernel`] with the node: operands that don't fit together,
    ///   impossible windows, dimensions that are 0 or overflow;
    /// - [`Error::Tensor`] with the tensor: missing, of the wrong shape, or a variance that has no root;
    /// - [`Error::Argument`]: a node in `options.outputs` that doesn't exist, a level that is not
    ///   available, more memory than there are addresses.
    pub fn new<'w>(
        network: &Network,
        weights: impl Into<Cow<'w, Weights>>,
        input: [usize; 4],
        options: &PlanOptions,
    ) -> Result<Self> {
        let mut weights = weights.into();
        let level = options
            .level
            .map_or_else(Level::from_env, Level::checked)
            .map_err(|e| argument(e.to_string()))?;
        let mut kept = vec![network.output()];
        for name in &options.outputs {
            let missing = || argument(format!("{:?} has no node {name:?}", network.name()));
            kept.push(network.find(name).ok_or_else(missing)?);
        }

        let flow = Flow::new(network, input, &kept)?;
        let fused = fuse(&flow);
        let layout = Layout::new(&flow, &fused, options.activations_type)
            .ok_or_else(|| argument(format!("input {input:?} needs more memory than there is")))?;
        let layers = |step: &FusedStep| {
            step.members.iter().map(|&v| flow.values[v].node.layer.as_str()).collect::<Vec<_>>()
        };
        let mut last_use = BTreeMap::new();
        for (i, step) in fused.iter().enumerate() {
            last_use.extend(layers(step).into_iter().map(|layer| (layer, i)));
        }
        let common =
            Common { level, weights: options.weights_type, arithmetic: options.arithmetic };
        let mut steps = Vec::with_capacity(fused.len());
        for (i, step) in fused.iter().enumerate() {
            steps.push(Step::new(step, &flow, &layout, &weights, common)?);
            if let Cow::Owned(weights) = &mut weights {
                for layer in layers(step).into_iter().filter(|layer| last_use[layer] == i) {
                    weights.remove_layer(layer);
                }
            }
        }
        let reports = (kept.iter().zip(&flow.kept)).map(|(&id, &v)| {
            let Target { range, shape, element, .. } = layout.target(&flow, v);
            Report { name: network.node(id).name.clone(), range, shape, element }
        });
        let reports = reports.collect();
        Ok(Self { level, input, steps, reports, arena_len: layout.arena_len })
    }

    /// \[N, H, W, C\] of the input.
    pub fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    /// \[N, H, W, C\] of the output.
    pub fn output_shape(&self) -> [usize; 4] {
        self.reports[0].shape
    }

    /// The level whose kernels run.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The steps in the order in which they run.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &StepInfo> {
        self.steps.iter().map(Step::info)
    }

    /// Multiply-adds of all steps.
    pub fn multiply_adds(&self) -> u64 {
        (self.steps().map(|step| step.multiply_adds)).fold(0, u64::saturating_add)
    }

    /// Weights of all steps.
    pub fn parameters(&self) -> usize {
        self.steps().map(|step| step.parameters).sum()
    }

    /// Bytes of the packed weights, which sessions share.
    pub fn weights_bytes(&self) -> usize {
        self.steps.iter().map(Step::weights_bytes).sum()
    }

    /// Bytes in which a session keeps the values between steps.
    pub fn arena_bytes(&self) -> usize {
        self.arena_len * size_of::<Unit>()
    }

    /// Bytes of scratch with which a session's steps use up to `threads` threads.
    pub fn scratch_bytes(&self, threads: usize) -> usize {
        let lens = self.steps.iter().map(|step| step.scratch_len(threads));
        lens.max().unwrap_or(0).saturating_mul(size_of::<f32>())
    }

    /// In units.
    pub(super) fn arena_len(&self) -> usize {
        self.arena_len
    }

    pub(super) fn planned(&self) -> &[Step] {
        &self.steps
    }

    /// The output's report first.
    pub(super) fn reports(&self) -> &[Report] {
        &self.reports
    }
}

fn argument(message: String) -> Error {
    Error::Argument { message }
}
