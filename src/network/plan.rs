//! A network for one input shape, ready to run: kernels packed, every buffer's place known.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sepconv_kernels::{Arithmetic, ElementType, Level};

use super::Network;
use super::compile::{Common, compile};
use super::depth_first::{DepthFirst, DepthFirstPlan};
use super::flow::{Flow, ValueId};
use super::fuse::{FusedStep, fuse};
use super::layout::{self, Places};
use super::schedule::Schedule;
use super::shape::Shape;
use super::step::{Step, StepInfo};
use crate::weights::Weights;
use crate::{Error, Result};

/// What [`NetworkPlan::new`] takes besides the network, its weights and the input's shape.
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
/// # use sepconv::kernels::ElementType;
/// // network: a 3×3 convolution of 3 to 8 channels with biases, then ReLU
///
/// let half = PlanOptions { weights_type: ElementType::Bf16, ..PlanOptions::default() };
/// let [plan, half] = [PlanOptions::default(), half]
///     .map(|options| NetworkPlan::new(&network, &weights, [1, 8, 8, 3], &options));
/// assert!(half?.weights_bytes() < plan?.weights_bytes());
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// The level to use; [`Level::from_env`] when none.
    pub level: Option<Level>,
    /// Nodes besides the output whose values a session can report. Each is stored as the network
    /// says it is, so nothing is fused past it.
    pub outputs: Vec<String>,
    /// What weights are rounded to when they are packed (to nearest, ties to even): half the memory
    /// and half of what is read with 16 bits. Depthwise kernels, biases and batch norms that stand
    /// alone, some hundredth of all, stay f32. All arithmetic is f32.
    pub weights_type: ElementType,
    /// What values between steps are rounded to when they are stored. The input, the output and
    /// what softmax reads stay f32, and so does what is added to or concatenated with one of these;
    /// other reported nodes are f32 of the rounded values.
    pub activations_type: ElementType,
    /// Whether pointwise, separable and dense layers of bf16 weights may use the CPU's dot products
    /// of bf16, faster and less exact.
    pub arithmetic: Arithmetic,
    /// Which layers run depth first, some rows of each by turns: less memory, and what lies between
    /// them is still in the caches when it is needed.
    pub depth_first: DepthFirst,
}

/// A value that can be asked for after a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) value: ValueId,
    pub(super) shape: Shape,
    pub(super) element: ElementType,
}

/// A network planned for one input shape \[N, H, W, C\].
///
/// Immutable, `Send + Sync`: share it between sessions with an [`std::sync::Arc`].
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
/// # use std::sync::Arc;
/// let plan = Arc::new(NetworkPlan::new(&network, &weights, [1, 8, 8, 3], &options)?);
/// let mut sessions = [Session::new(Arc::clone(&plan))?, Session::new(plan)?];
/// let x = synthetic::picture(8).data;
/// for session in &mut sessions {
///     session.run(&x)?;
/// }
/// assert_eq!(sessions[0].output(), sessions[1].output());
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug)]
pub struct NetworkPlan {
    level: Level,
    input: Shape,
    steps: Vec<Step>,
    places: Places,
    depth_first: DepthFirstPlan,
    /// The output, then the nodes asked for.
    reports: Vec<Report>,
}

impl NetworkPlan {
    /// Plans `network` for inputs of shape \[N, H, W, C\]. Only what the output and the nodes in
    /// `options.outputs` need is looked at.
    ///
    /// `weights` is a `&Weights`, or a `Weights` that is freed layer by layer while the plan packs
    /// its own copy, so that there is little more than one copy in memory at any time.
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
    ///
    /// let plan = NetworkPlan::new(&network, &weights, [1, 8, 8, 3], &options)?;
    /// assert_eq!(plan.steps().len(), 1); // fused
    /// let error = NetworkPlan::new(&network, weights, [1, 8, 2, 3], &options).unwrap_err();
    /// let message = "kernel width 3 (dilated) is larger than the padded input's 2";
    /// assert_eq!(error.to_string(), format!(r#"node "conv": {message}"#));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
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
        let elements = layout::element_types(&flow, &fused, options.activations_type);
        let places = Places::new(&flow, &fused, &elements);
        let depth_first =
            DepthFirstPlan::new(&flow, &fused, &places, &elements, &options.depth_first);
        let layers = |step: &FusedStep| {
            step.members.iter().map(|&v| flow.values[v].node.layer.as_str()).collect::<Vec<_>>()
        };
        let mut last_use = BTreeMap::new();
        for (i, step) in fused.iter().enumerate() {
            last_use.extend(layers(step).into_iter().map(|layer| (layer, i)));
        }
        let common =
            Common { level, weights: options.weights_type, arithmetic: options.arithmetic };
        let mut compiled = Vec::with_capacity(fused.len());
        for (i, step) in fused.iter().enumerate() {
            let [n, ..] = flow.values[step.x].shape;
            // By turns they compute one picture at a time.
            let pictures = if depth_first.contains(i) { 1 } else { n };
            let ends = [elements[step.x], elements[step.result]];
            compiled.push(compile(step, &flow, &weights, common, ends, pictures)?);
            if let Cow::Owned(weights) = &mut weights {
                for layer in layers(step).into_iter().filter(|layer| last_use[layer] == i) {
                    weights.remove_layer(layer);
                }
            }
        }
        let steps = fused.iter().zip(compiled);
        let steps = steps.map(|(step, compiled)| Step::new(step, &flow, compiled)).collect();
        let reports = (kept.iter().zip(&flow.kept)).map(|(&id, &value)| Report {
            name: network.node(id).name.clone(),
            value,
            shape: places.shape(value),
            element: places.element(value),
        });
        let reports = reports.collect();
        let plan = Self { level, input, steps, places, depth_first, reports };
        // So that an input beyond all memory is refused here.
        plan.schedule(1)?;
        Ok(plan)
    }

    /// How a session with so many threads runs.
    pub(super) fn schedule(&self, threads: usize) -> Result<Schedule> {
        let reports = self.reports.iter().map(|report| report.value);
        Schedule::new(&self.steps, &self.places, &self.depth_first, reports, threads).ok_or_else(
            || {
                argument(format!(
                    "an input of shape {:?} needs more memory than any computer \
                                 can address",
                    self.input
                ))
            },
        )
    }

    /// \[N, H, W, C\] of the input.
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
    /// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// assert_eq!(plan.input_shape(), [1, 8, 8, 3]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    /// \[N, H, W, C\] of the output.
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
    /// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// assert_eq!(plan.output_shape(), [1, 6, 6, 8]); // behind a 3×3 convolution of 8 filters
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn output_shape(&self) -> [usize; 4] {
        self.reports[0].shape
    }

    /// The level whose kernels run.
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
    /// # use sepconv::kernels::Level;
    /// let options = PlanOptions { level: Some(Level::Scalar), ..PlanOptions::default() };
    /// let plan = NetworkPlan::new(&network, &weights, [1, 8, 8, 3], &options)?;
    /// assert_eq!(plan.level(), Level::Scalar);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn level(&self) -> Level {
        self.level
    }

    /// The steps in the order in which they run.
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
    /// for step in plan.steps() {
    ///     println!("{}: {} computes {:?}", step.name, step.kernel, step.nodes);
    /// }
    /// assert!(plan.steps().all(|step| step.name == "relu" && step.nodes == ["conv", "relu"]));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &StepInfo> {
        self.steps.iter().map(Step::info)
    }

    /// Multiply-adds of all steps.
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
    /// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// // 6×6 outputs of 8 channels, each of 3×3 taps of 3 channels
    /// assert_eq!(plan.multiply_adds(), 6 * 6 * 8 * 9 * 3);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn multiply_adds(&self) -> u64 {
        (self.steps().map(|step| step.multiply_adds)).fold(0, u64::saturating_add)
    }

    /// Weights of all steps.
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
    /// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// // a 3×3 convolution of 3 to 8 channels with biases
    /// assert_eq!(plan.parameters(), 9 * 3 * 8 + 8);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn parameters(&self) -> usize {
        self.steps().map(|step| step.parameters).sum()
    }

    /// Bytes of the packed weights, which sessions share.
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
    /// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// assert!(plan.weights_bytes() >= plan.parameters() * size_of::<f32>()); // more where columns are padded
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn weights_bytes(&self) -> usize {
        self.steps.iter().map(Step::weights_bytes).sum()
    }

    /// Bytes in which a session of `threads` threads keeps the values between steps.
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
    /// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// assert!(plan.arena_bytes(1) >= 6 * 6 * 8 * size_of::<f32>()); // the output
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn arena_bytes(&self, threads: usize) -> usize {
        self.schedule(threads).map_or(usize::MAX, |schedule| schedule.arena_bytes())
    }

    /// How often each step runs for a picture in a session of `threads` threads: more than once if
    /// it runs depth first ([`DepthFirst`]), a few rows of its result at a time; 0 if it runs as a
    /// whole, once for all pictures.
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
    /// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// assert_eq!(plan.turns(1), [0]); // one step, and it is small
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn turns(&self, threads: usize) -> Vec<usize> {
        self.schedule(threads).map_or_else(|_| vec![0; self.steps.len()], |s| s.turns())
    }

    /// Bytes of scratch that a session of `threads` threads has.
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
    /// let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// assert!(plan.scratch_bytes(1) <= plan.scratch_bytes(8));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn scratch_bytes(&self, threads: usize) -> usize {
        let lens = self.steps.iter().map(|step| step.scratch_len(threads));
        lens.max().unwrap_or(0).saturating_mul(size_of::<f32>())
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
