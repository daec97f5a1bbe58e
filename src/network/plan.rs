//! A network for one input shape, ready to run: kernels packed, every buffer's place known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sepconv_kernels::{Arithmetic, ElementType, Level, Quantization};

use super::compile::compile;
use super::depth_first::{DepthFirst, DepthFirstPlan};
use super::flow::{Flow, ValueId};
use super::fuse::{FusedStep, fuse};
use super::integers::StepQuantizations;
use super::layout::{self, Places};
use super::pack::{Common, Ends, PackedStep, pack};
use super::schedule::Schedule;
use super::shape::Shape;
use super::step::{Step, StepInfo};
use super::{Network, NodeId};
use crate::weights::Weights;
use crate::{Error, Result};

/// Options of [`NetworkPlan::new`].
///
/// ```
/// use sepconv::kernels::{ElementType, Level};
/// use sepconv::models::{MobileNetConfig, mobilenet};
/// use sepconv::network::{NetworkPlan, PlanOptions};
/// use sepconv::weights::synthetic;
///
/// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
/// let weights = synthetic::weights(&network)?;
/// let default = NetworkPlan::new(&network, &weights, [1, 64, 64, 3], &PlanOptions::default())?;
/// let options = PlanOptions::default()
///     .level(Level::Scalar)
///     .outputs(["conv_pw_1_relu"])
///     .weights_type(ElementType::Bf16);
/// let half = NetworkPlan::new(&network, &weights, [1, 64, 64, 3], &options)?;
/// assert_eq!(half.level(), Level::Scalar);
/// assert!(half.weights_bytes() < default.weights_bytes());
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PlanOptions {
    /// The instruction set to use. None: the one that [`Level::from_env`] gives.
    pub level: Option<Level>,
    /// Nodes whose values a session reports in addition to the output. Their values are stored as
    /// the network defines them, so no later operation is fused into their steps.
    pub outputs: Vec<String>,
    /// The type that weights are packed in. 16-bit weights are rounded to nearest, ties to even,
    /// and take half the memory. Depthwise weights, biases and separate batch norms stay f32; they
    /// are about a hundredth of all weights.
    pub weights_type: ElementType,
    /// The type that values between steps are stored in, rounded to nearest, ties to even. The
    /// input, the output and the operand of a softmax stay f32, and so does everything that is
    /// added to or concatenated with one of these. A session reports other nodes as f32 copies of
    /// the rounded values.
    pub activations_type: ElementType,
    /// How convolutions over all channels and dense layers multiply and add. With
    /// [`Arithmetic::Bf16`] weights are rounded to bf16 whatever their type. With
    /// [`PlanOptions::weights_type`] f32 they are packed as f32 on CPUs that multiply in f32, which
    /// takes twice the memory and, in most networks, less time.
    /// Values between steps are as [`PlanOptions::activations_type`] says, best bf16, too.
    pub arithmetic: Arithmetic,
    /// Whether [`Arithmetic::Bf16`], and a network of integers, may multiply by tile registers
    /// (AMX): the same bits, faster. Planning then asks the operating system for them, with the
    /// consequences that [`Amx`](crate::kernels::Amx) states. If there are none, other kernels run;
    /// [`StepInfo::kernel`] tells which.
    pub amx: bool,
    /// Which layers run depth first, a few rows of each at a time. This saves memory, and the
    /// values between the layers are still in the caches when they are read.
    pub depth_first: DepthFirst,
}

impl PlanOptions {
    /// Sets the instruction set.
    #[must_use]
    pub fn level(self, level: Level) -> Self {
        Self { level: Some(level), ..self }
    }

    /// Sets the nodes that a session reports in addition to the output.
    #[must_use]
    pub fn outputs(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { outputs: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the type that weights are packed in.
    #[must_use]
    pub fn weights_type(self, weights_type: ElementType) -> Self {
        Self { weights_type, ..self }
    }

    /// Sets the type that values between steps are stored in.
    #[must_use]
    pub fn activations_type(self, activations_type: ElementType) -> Self {
        Self { activations_type, ..self }
    }

    /// Sets how layers multiply and add.
    #[must_use]
    pub fn arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// Sets whether layers may multiply by tile registers.
    #[must_use]
    pub fn amx(self, amx: bool) -> Self {
        Self { amx, ..self }
    }

    /// Refuses types that can't be, or do not go with 8-bit integers.
    fn checked(&self, network: &Network) -> Result<()> {
        let quantized = network.is_quantized();
        for (what, element) in
            [("weights", self.weights_type), ("values between layers", self.activations_type)]
        {
            if element.is_quantized() {
                return Err(argument(format!(
                    "{what} of {element} take a network with quantizations; see Calibration"
                )));
            }
            if quantized && element != ElementType::F32 {
                let message = "the network is quantized, which leaves no other type for them";
                return Err(argument(format!("{what}: expected f32, got {element}; {message}")));
            }
        }
        if quantized && self.arithmetic != Arithmetic::Exact {
            let name = self.arithmetic.name();
            return Err(argument(format!(
                "arithmetic: expected exact for a network of integers, got {name}"
            )));
        }
        Ok(())
    }

    /// Sets which layers run depth first.
    #[must_use]
    pub fn depth_first(self, depth_first: DepthFirst) -> Self {
        Self { depth_first, ..self }
    }
}

/// A value that a session reports after a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) value: ValueId,
    pub(super) shape: Shape,
    pub(super) element: ElementType,
    /// Of an element of u8.
    pub(super) quantization: Quantization,
}

/// A network planned for one input shape \[N, H, W, C\]: kernels chosen, weights packed.
///
/// A plan is immutable and `Send + Sync`. Sessions share it through an [`std::sync::Arc`].
///
/// ```
/// use std::sync::Arc;
///
/// use sepconv::models::{MobileNetConfig, mobilenet};
/// use sepconv::network::{NetworkPlan, PlanOptions, Session};
/// use sepconv::weights::synthetic;
///
/// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
/// let weights = synthetic::weights(&network)?;
/// let options = PlanOptions::default();
/// let plan = Arc::new(NetworkPlan::new(&network, weights, [1, 64, 64, 3], &options)?);
/// for step in plan.steps() {
///     println!("{}: {} computes {:?}", step.name, step.kernel, step.nodes);
/// }
/// assert_eq!(plan.parameters(), 475_544);
///
/// // Two sessions share the plan and its weights.
/// let mut sessions = [Session::new(Arc::clone(&plan))?, Session::new(plan)?];
/// for session in &mut sessions {
///     session.run(&synthetic::picture(64).data)?;
/// }
/// assert_eq!(sessions[0].output(), sessions[1].output());
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug)]
pub struct NetworkPlan {
    packed: Arc<PackedNetwork>,
    input: Shape,
    steps: Vec<Step>,
    places: Places,
    depth_first: DepthFirstPlan,
    /// The output, then the nodes asked for.
    reports: Vec<Report>,
}

/// What the plans of a network for several input sizes share.
#[derive(Debug)]
struct PackedNetwork {
    network: Network,
    level: Level,
    /// Of values between steps that are floats.
    values_type: ElementType,
    depth_first: DepthFirst,
    /// The output, then the nodes asked for.
    kept: Vec<NodeId>,
    /// In the order of the plans' steps: fusion does not depend on sizes.
    steps: Vec<PackedStep>,
}

impl NetworkPlan {
    /// Plans `network` for inputs of shape \[N, H, W, C\]. Nodes that neither the output nor
    /// `options.outputs` depend on are ignored.
    ///
    /// `weights` is a `&Weights` or a `Weights`. The plan packs its own copy. A `Weights` passed by
    /// value is freed layer by layer meanwhile, so that memory holds little more than one copy.
    ///
    /// ```
    /// use sepconv::models::{MobileNetConfig, mobilenet};
    /// use sepconv::network::{NetworkPlan, PlanOptions};
    /// use sepconv::weights::synthetic;
    ///
    /// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
    /// let weights = synthetic::weights(&network)?;
    /// let options = PlanOptions::default();
    /// let plan = NetworkPlan::new(&network, &weights, [8, 64, 64, 3], &options)?; // eight pictures
    /// assert_eq!(plan.output_shape(), [8, 1, 1, 1000]);
    ///
    /// let error = NetworkPlan::new(&network, weights, [1, 64, 64, 4], &options).unwrap_err();
    /// let message = "expected an input of 3 channels, got 4 in [1, 64, 64, 4]";
    /// assert_eq!(error.to_string(), format!(r#"node "input_layer": {message}"#));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// - [`Error::Network`] or [`Error::Kernel`], with the node: the shapes of operands don't
    ///   match, a window does not fit, a dimension is 0 or overflows.
    /// - [`Error::Tensor`], with the tensor: it is missing or has the wrong shape, or a variance
    ///   plus epsilon is not above 0.
    /// - [`Error::Argument`]: a node in `options.outputs` does not exist, the level is not
    ///   available, other types or arithmetics are asked for than those of a network of integers,
    ///   or the values need more memory than a computer can address.
    pub fn new<'w>(
        network: &Network,
        weights: impl Into<Cow<'w, Weights>>,
        input: [usize; 4],
        options: &PlanOptions,
    ) -> Result<Self> {
        options.checked(network)?;
        let level = options
            .level
            .map_or_else(Level::from_env, Level::checked)
            .map_err(|e| argument(e.to_string()))?;
        let mut kept = vec![network.output()];
        for name in &options.outputs {
            let missing = || argument(format!("{:?} has no node {name:?}", network.name()));
            kept.push(network.find(name).ok_or_else(missing)?);
        }
        let values_type = options.activations_type;
        let flow = Flow::new(network, input, &kept)?;
        let common = Common {
            level,
            weights: options.weights_type,
            arithmetic: options.arithmetic,
            amx: options.amx,
        };
        let steps = pack_all(&flow, weights.into(), common, values_type)?;
        let packed = PackedNetwork {
            network: network.clone(),
            level,
            values_type,
            depth_first: options.depth_first,
            kept,
            steps,
        };
        Self::sized(Arc::new(packed), input)
    }

    /// The plan of the same network and options for inputs of another shape \[N, H, W, C\]: the
    /// same as [`NetworkPlan::new`] makes, bits included, but without packing. Both plans share the
    /// one packed copy of the weights, which is freed with the last of them.
    ///
    /// ```
    /// use sepconv::models::{MobileNetConfig, mobilenet};
    /// use sepconv::network::{NetworkPlan, PlanOptions, Session};
    /// use sepconv::weights::synthetic;
    ///
    /// let config = MobileNetConfig { alpha: 0.25, size: [None; 2], ..MobileNetConfig::default() };
    /// let network = mobilenet(&config)?;
    /// let weights = synthetic::weights(&network)?;
    /// let options = PlanOptions::default();
    /// let small = NetworkPlan::new(&network, weights, [1, 64, 64, 3], &options)?;
    /// let large = small.resized([2, 96, 128, 3])?; // two pictures, 96 high and 128 wide
    /// assert_eq!(large.output_shape(), [2, 1, 1, 1000]);
    ///
    /// let mut sessions = [Session::new(small)?, Session::new(large)?]; // of one model
    /// sessions[0].run(&synthetic::picture(64).data)?;
    /// sessions[1].run(&vec![0.5; 2 * 96 * 128 * 3])?;
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`NetworkPlan::new`] that concern shapes and memory.
    pub fn resized(&self, input: [usize; 4]) -> Result<Self> {
        Self::sized(Arc::clone(&self.packed), input)
    }

    fn sized(packed: Arc<PackedNetwork>, input: Shape) -> Result<Self> {
        let PackedNetwork { network, kept, values_type, .. } = &*packed;
        let flow = Flow::new(network, input, kept)?;
        let fused = fuse(&flow, true);
        let elements = layout::element_types(&flow, &fused, *values_type);
        let places = Places::new(&flow, &fused, &elements);
        let depth_first =
            DepthFirstPlan::new(&flow, &fused, &places, &elements, &packed.depth_first);
        let mut steps = Vec::with_capacity(fused.len());
        for (i, (step, packed)) in fused.iter().zip(&packed.steps).enumerate() {
            let [n, ..] = step.x_shape(&flow);
            // By turns they compute one picture at a time.
            let pictures = if depth_first.contains(i) { 1 } else { n };
            let kernel = compile(step, &flow, packed, pictures)?;
            steps.push(Step::new(step, &flow, kernel, packed.parameters));
        }
        let reports = (kept.iter().zip(&flow.kept)).map(|(&id, &value)| Report {
            name: network.node(id).name.clone(),
            value,
            shape: places.shape(value),
            element: places.element(value),
            quantization: flow.values[value].quantization.unwrap_or_default(),
        });
        let reports = reports.collect();
        let plan = Self { packed, input, steps, places, depth_first, reports };
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

    /// The shape \[N, H, W, C\] of the input.
    pub fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    /// The shape \[N, H, W, C\] of the output.
    pub fn output_shape(&self) -> [usize; 4] {
        self.reports[0].shape
    }

    /// The instruction set in use.
    pub fn level(&self) -> Level {
        self.packed.level
    }

    /// The steps in the order in which they run.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &StepInfo> {
        self.steps.iter().map(Step::info)
    }

    /// The multiply-adds of all steps.
    pub fn multiply_adds(&self) -> u64 {
        (self.steps().map(|step| step.multiply_adds)).fold(0, u64::saturating_add)
    }

    /// The number of weights of all steps, moving statistics included.
    pub fn parameters(&self) -> usize {
        self.steps().map(|step| step.parameters).sum()
    }

    /// The size of the packed weights in bytes. Sessions share them, and so do the plans that
    /// [`NetworkPlan::resized`] makes.
    pub fn weights_bytes(&self) -> usize {
        self.steps.iter().map(Step::weights_bytes).sum()
    }

    /// The size in bytes of the memory in which a session of `threads` threads keeps the values
    /// between steps.
    pub fn arena_bytes(&self, threads: usize) -> usize {
        self.schedule(threads).map_or(usize::MAX, |schedule| schedule.arena_bytes())
    }

    /// How often each step runs for a picture in a session of `threads` threads: more than once if
    /// it runs depth first ([`DepthFirst`]), a few rows of its result at a time; 0 if it runs as a
    /// whole, once for all pictures.
    pub fn turns(&self, threads: usize) -> Vec<usize> {
        self.schedule(threads).map_or_else(|_| vec![0; self.steps.len()], |s| s.turns())
    }

    /// The size in bytes of the scratch memory of a session of `threads` threads.
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

/// Packs all steps. Weights passed by value are freed after the last step that uses them.
fn pack_all(
    flow: &Flow<'_>,
    mut weights: Cow<'_, Weights>,
    common: Common,
    values_type: ElementType,
) -> Result<Vec<PackedStep>> {
    let fused = fuse(flow, true);
    let elements = layout::element_types(flow, &fused, values_type);
    let layers = |step: &FusedStep| {
        step.members.iter().map(|&v| flow.values[v].node.layer.as_str()).collect::<Vec<_>>()
    };
    let mut last_use = BTreeMap::new();
    for (i, step) in fused.iter().enumerate() {
        last_use.extend(layers(step).into_iter().map(|layer| (layer, i)));
    }
    let mut packed = Vec::with_capacity(fused.len());
    for (i, step) in fused.iter().enumerate() {
        let ends = Ends {
            input_type: elements[step.x],
            output_type: elements[step.result],
            quantizations: StepQuantizations::of(flow, step),
        };
        packed.push(pack(step, flow, &weights, common, ends)?);
        if let Cow::Owned(weights) = &mut weights {
            for layer in layers(step).into_iter().filter(|layer| last_use[layer] == i) {
                weights.remove_layer(layer);
            }
        }
    }
    Ok(packed)
}

fn argument(message: String) -> Error {
    Error::Argument { message }
}
