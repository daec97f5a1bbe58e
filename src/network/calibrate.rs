//! Quantizes a trained network: measures the ranges of its values on inputs like those to come, and
//! chooses by them what its 8-bit integers stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sepconv_kernels::Quantization;

use super::assign::{Assignment, Layer};
use super::fold::fold;
use super::integers::{Int8Weights, quantization};
use super::noise::{Alone, Noise};
use super::observe::{Observer, RangeRule};
use super::sensitivity::{Loss, worst};
use super::shape::Shape;
use super::{Network, NetworkPlan, Node, Op, OutputKind, PlanOptions, Session, tensors};
use crate::weights::{Tensor, Weights};
use crate::{Error, Result};

/// How a [`Calibration`] quantizes.
///
/// ```
/// use sepconv::network::{QuantizeOptions, RangeRule};
///
/// let options = QuantizeOptions::default().range(RangeRule::Percentile(99.99)).keep(["conv1"]);
/// assert_eq!(options.keep, ["conv1"]);
/// assert_eq!(options.keep_below, None);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QuantizeOptions {
    /// How the ranges of values follow from what was measured.
    pub range: RangeRule,
    /// Layers, or nodes, that stay f32. A layer stays so with all that is computed in one step with
    /// it.
    pub keep: Vec<String>,
    /// Layers whose own signal to noise is below this many decibels stay f32, too.
    pub keep_below: Option<f64>,
    /// Layers are kept in f32 until the output's signal to noise is this many decibels. The layers
    /// that add the most noise for their multiply-adds are kept first. The ratio is estimated: each
    /// layer alone computes with integers, on the first eight inputs, and the noise is added up.
    /// For an output whose mean is 0, 27 dB are a correlation of 0.999.
    pub keep_until: Option<f64>,
    /// The largest share of all multiply-adds that `keep_until` keeps in f32: by default 0.15.
    pub keep_share: f64,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        let (range, keep) = (RangeRule::default(), Vec::new());
        Self { range, keep, keep_below: None, keep_until: None, keep_share: 0.15 }
    }
}

impl QuantizeOptions {
    /// Sets how ranges follow from what was measured.
    #[must_use]
    pub fn range(self, range: RangeRule) -> Self {
        Self { range, ..self }
    }

    /// Sets the layers that stay f32.
    #[must_use]
    pub fn keep(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { keep: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the signal to noise, in decibels, below which layers stay f32.
    #[must_use]
    pub fn keep_below(self, decibels: f64) -> Self {
        Self { keep_below: Some(decibels), ..self }
    }

    /// Sets the signal to noise of the output, in decibels, until which layers are kept in f32.
    #[must_use]
    pub fn keep_until(self, decibels: f64) -> Self {
        Self { keep_until: Some(decibels), ..self }
    }

    /// Sets the largest share of multiply-adds that `keep_until` keeps in f32.
    #[must_use]
    pub fn keep_share(self, share: f64) -> Self {
        Self { keep_share: share, ..self }
    }
}

/// What [`Calibration::quantize`] makes.
///
/// ```
/// # use sepconv::kernels::Activation;
/// # use sepconv::network::*;
/// # use sepconv::weights::{Weights, synthetic};
/// let mut network = Network::new("small", "input", [None; 2], 3);
/// network.push("dense", Op::Dense { units: 2, bias: true }, &[network.output()])?;
/// let weights = synthetic::weights(&network)?;
/// let mut calibration = Calibration::new(&network, &weights, [1, 1, 1, 3])?;
/// calibration.add(&[0.5, 1.5, -0.5])?;
/// let Quantized { network, weights, layers, .. } = calibration.quantize(&QuantizeOptions::default())?;
/// assert!(network.is_quantized());
/// assert!(weights.find_int8("dense", "kernel").is_some());
/// assert!(layers[0].name == "dense" && !layers[0].kept && layers[0].own > 30.0);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Quantized {
    /// The network without batch norms behind layers, with quantizations.
    pub network: Network,
    /// Its weights, of 8-bit integers where layers multiply these.
    pub weights: Weights,
    /// Each layer with weights, in the order in which they are computed.
    pub layers: Vec<QuantizedLayer>,
}

/// A convolution or dense layer, or a depthwise and a pointwise convolution in one, and what it
/// lost. Ratios are of sums of squares, in decibels, over the first inputs of a calibration.
///
/// ```
/// # use sepconv::network::*;
/// # use sepconv::weights::synthetic;
/// # let mut network = Network::new("small", "input", [None; 2], 3);
/// # network.push("dense", Op::Dense { units: 2, bias: true }, &[network.output()])?;
/// # let weights = synthetic::weights(&network)?;
/// # let mut calibration = Calibration::new(&network, &weights, [1, 1, 1, 3])?;
/// # calibration.add(&[0.5, 1.5, -0.5])?;
/// # let quantized = calibration.quantize(&QuantizeOptions::default())?;
/// for QuantizedLayer { name, own, total, .. } in &quantized.layers {
///     println!("{name}: {own:.1} dB by itself, {total:.1} dB with what came before");
/// }
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QuantizedLayer {
    /// The node whose value is stored.
    pub name: String,
    /// Whether it stays f32.
    pub kept: bool,
    /// Signal to noise of the layer by itself, on exact operands. Infinite if it computes in f32.
    pub own: f64,
    /// Signal to noise of its value in the quantized network. NaN if the value is all zeros.
    pub total: f64,
}

/// The number of inputs that are kept, for the mean errors of layers.
const SAMPLES: usize = 32;

/// The number of them that signal to noise is measured on, the first ones.
const FEWER: usize = 8;

/// The fewest pixels that give a mean error. That of fewer is chance.
const PIXELS: u64 = 16;

/// Quantizes a trained network to 8-bit integers.
///
/// Batch norms are folded first, in f64. The inputs that are [added](Calibration::add) run in f32;
/// their values decide what the integers stand for that are stored between layers. Weights become
/// i8, with a scale for each output channel: the largest magnitude over 127. The output stays f32.
///
/// Rounding weights and cutting ranges shifts the means of channels. Biases are corrected by the
/// mean error of their channel, which is measured for each layer by itself on the first 32 inputs.
/// (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
/// section 4.2.) This costs no time in a run.
///
/// ```
/// use sepconv::models::{MobileNetConfig, mobilenet};
/// use sepconv::network::{Calibration, NetworkPlan, PlanOptions, QuantizeOptions, Session};
/// use sepconv::weights::synthetic;
///
/// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
/// let (weights, input) = (synthetic::weights(&network)?, [1, 64, 64, 3]);
/// let mut calibration = Calibration::new(&network, &weights, input)?;
/// calibration.add(&synthetic::picture(64).data)?; // better a few hundred pictures
/// let quantized = calibration.quantize(&QuantizeOptions::default())?;
///
/// let plan = NetworkPlan::new(&quantized.network, quantized.weights, input, &PlanOptions::default())?;
/// let mut session = Session::new(plan)?;
/// session.run(&synthetic::picture(64).data)?; // f32 in and out
/// assert_eq!(session.output().len(), 1000);
/// # Ok::<(), sepconv::Error>(())
/// ```
pub struct Calibration {
    /// Folded.
    network: Network,
    weights: Weights,
    input: Shape,
    session: Session,
    /// By node.
    observers: BTreeMap<usize, Observer>,
    /// The first of the inputs.
    samples: Vec<Vec<f32>>,
    inputs: usize,
}

/// Shows the network's name only.
impl fmt::Debug for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calibration").field("network", &self.network.name()).finish_non_exhaustive()
    }
}

impl Calibration {
    /// Folds batch norms and prepares runs for inputs of shape `input` \[N, H, W, C\]. A session
    /// keeps all values that are measured, which takes the memory of all of them together.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// # use sepconv::weights::Weights;
    /// let network = Network::new("empty", "input", [None; 2], 3);
    /// let calibration = Calibration::new(&network, &Weights::default(), [1, 8, 8, 3])?;
    /// assert_eq!(calibration.inputs(), 0);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`NetworkPlan::new`], and [`Error::Argument`] if the network is quantized already.
    pub fn new(network: &Network, weights: &Weights, input: [usize; 4]) -> Result<Self> {
        if network.is_quantized() || weights.iter_int8().next().is_some() {
            let message = format!("{:?} is quantized already", network.name());
            return Err(Error::Argument { message });
        }
        let (network, weights) = fold(network, weights, input)?;
        let sources = Assignment::new(&network, input, &BTreeSet::new())?.sources();
        let names = sources.iter().map(|&node| network.nodes()[node].name.as_str());
        let options = PlanOptions::default().outputs(names);
        let session = Session::new(NetworkPlan::new(&network, &weights, input, &options)?)?;
        let observers = sources.into_iter().map(|node| (node, Observer::new())).collect();
        Ok(Self { network, weights, input, session, observers, samples: Vec::new(), inputs: 0 })
    }

    /// Runs the network in f32 on `x`, of the shape of the calibration, and counts its values. The
    /// more alike the inputs are to those to come, the better. Their order makes no difference,
    /// with two exceptions: biases are corrected by the first 32, and signal to noise is that of
    /// the first eight.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// # use sepconv::weights::synthetic;
    /// let mut network = Network::new("small", "input", [None; 2], 3);
    /// network.push("dense", Op::Dense { units: 2, bias: true }, &[network.output()])?;
    /// let mut calibration = Calibration::new(&network, &synthetic::weights(&network)?, [1, 1, 1, 3])?;
    /// calibration.add(&[0.5, 1.5, -0.5])?;
    /// calibration.add(&[0.25, 1.25, -1.5])?;
    /// assert_eq!(calibration.inputs(), 2);
    /// let error = calibration.add(&[0.5, f32::NAN, 0.0]).unwrap_err();
    /// let message = "expected finite numbers to quantize, got NaN at element 1";
    /// assert_eq!(error.to_string(), format!(r#"node "input": {message}"#));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Session::run`]; [`Error::Network`] if a value is not finite: the calibration is
    /// of no use then.
    pub fn add(&mut self, x: &[f32]) -> Result<()> {
        self.session.run(x)?;
        for (&node, observer) in &mut self.observers {
            let name = &self.network.nodes()[node].name;
            let (numbers, _) = self.session.node(name).expect("it is an output of the plan");
            observer.add(numbers).map_err(|i| Error::Network {
                node: name.clone(),
                message: format!(
                    "expected finite numbers to quantize, got {} at element {i}",
                    numbers[i]
                ),
            })?;
        }
        self.inputs += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(x.into());
        }
        Ok(())
    }

    /// The output of the last run in f32, as [`Session::output`].
    pub fn output(&self) -> &[f32] {
        self.session.output()
    }

    /// The number of inputs that were added.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Quantizes the network.
    ///
    /// ```
    /// # use sepconv::network::*;
    /// # use sepconv::weights::synthetic;
    /// let mut network = Network::new("small", "input", [None; 2], 3);
    /// network.push("dense", Op::Dense { units: 2, bias: true }, &[network.output()])?;
    /// let mut calibration = Calibration::new(&network, &synthetic::weights(&network)?, [1, 1, 1, 3])?;
    /// assert!(calibration.quantize(&QuantizeOptions::default()).is_err()); // nothing was measured
    /// calibration.add(&[0.5, 1.5, -0.5])?;
    /// let quantized = calibration.quantize(&QuantizeOptions::default().range(RangeRule::MinMax))?;
    /// let input = quantized.network.nodes()[0].quantization.unwrap();
    /// assert_eq!((input.scale, input.zero_point), (2.0 / 255.0, 64)); // −0.5 to 1.5
    /// let kept = calibration.quantize(&QuantizeOptions::default().keep(["dense"]))?;
    /// assert!(kept.layers[0].kept && !kept.network.is_quantized());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if no input was added, a name of `options.keep` is no layer, a
    /// percentile is not above 0 and at most 100, or a share is not from 0 to 1; those of
    /// [`NetworkPlan::new`].
    pub fn quantize(&mut self, options: &QuantizeOptions) -> Result<Quantized> {
        self.check(options)?;
        let quantizations: BTreeMap<usize, Quantization> = (self.observers.iter())
            .map(|(&node, observer)| (node, quantization(observer.range(options.range))))
            .collect();
        let mut keep: BTreeSet<String> = options.keep.iter().cloned().collect();
        let assignment = Assignment::new(&self.network, self.input, &keep)?;
        let biases = self.biases(&assignment, &quantizations)?;
        let mut kept: Vec<bool> = assignment.layers.iter().map(|layer| layer.kept).collect();
        let mut own = self.own(&assignment, &quantizations, &self.moved(&biases, &kept)?)?;
        if let Some(limit) = options.keep_below {
            kept.iter_mut().zip(&own).for_each(|(kept, &own)| *kept |= own < limit);
        }
        if let Some(decibels) = options.keep_until {
            let losses = self.losses(&assignment, &quantizations, (&biases, &kept))?;
            let limit = 10.0_f64.powf(-decibels / 10.0);
            worst(&losses, limit, options.keep_share).into_iter().for_each(|i| kept[i] = true);
        }
        for (i, layer) in assignment.layers.iter().enumerate().filter(|&(i, _)| kept[i]) {
            keep.extend(self.names(layer));
            own[i] = f64::INFINITY;
        }
        let assignment = Assignment::new(&self.network, self.input, &keep)?;
        let network = assignment.apply(&self.network, &quantizations)?;
        let weights = integers(&network, &self.moved(&biases, &kept)?)?;
        let layers = self.report(&assignment, &own, &network, &weights)?;
        Ok(Quantized { network, weights, layers })
    }

    /// The names of the nodes that a layer computes.
    fn names(&self, layer: &Layer) -> impl Iterator<Item = String> {
        layer.members.iter().map(|&node| self.network.nodes()[node].name.clone())
    }

    fn check(&self, options: &QuantizeOptions) -> Result<()> {
        let argument = |message: String| Err(Error::Argument { message });
        if self.samples.is_empty() {
            return argument(
                "nothing was measured: add inputs before the network is quantized".into(),
            );
        }
        if let RangeRule::Percentile(percent) = options.range
            && !(percent > 0.0 && percent <= 100.0)
        {
            return argument(format!(
                "percentile: expected above 0 and at most 100, got {percent}"
            ));
        }
        let share = options.keep_share;
        if !(0.0..=1.0).contains(&share) {
            return argument(format!("share of multiply-adds: expected 0 to 1, got {share}"));
        }
        let knows = |name: &String| {
            let mut nodes = self.network.nodes().iter();
            nodes.any(|node| node.name == *name || node.layer == *name)
        };
        match options.keep.iter().find(|name| !knows(name)) {
            Some(name) => {
                argument(format!("{:?} has no layer {name:?} to keep", self.network.name()))
            }
            None => Ok(()),
        }
    }

    /// By layer: the bias of its last node that has one, corrected by the mean error of the layer
    /// by itself.
    fn biases(&mut self, assignment: &Assignment, quantizations: &Quantizations) -> Result<Biases> {
        let has_bias = |&node: &usize| {
            let Node { layer, op, .. } = &self.network.nodes()[node];
            matches!(op, Op::Conv { .. } | Op::Depthwise { .. } | Op::Dense { .. })
                && self.weights.find(layer, "bias").is_some()
        };
        let members = |layer: &Layer| {
            let last = layer.members.iter().rposition(has_bias)?;
            Some(members(assignment, layer, quantizations, last))
        };
        let members: Vec<_> = assignment.layers.iter().map(members).collect();
        let weights = self.weights.clone();
        let alone = self.alone(assignment, quantizations, (&weights, SAMPLES), &members)?;
        let moved = |(alone, members): (Option<Alone>, Option<Members>)| {
            let (node, _) = members?.pop()?;
            let layer = &self.network.nodes()[node].layer;
            let bias = self.weights.find(layer, "bias")?;
            let alone = alone?;
            let pairs = bias.data.iter().zip(alone.mean_errors(PIXELS)?);
            let data = pairs.map(|(&b, error)| (f64::from(b) - error) as f32).collect();
            Some((layer.clone(), Tensor { shape: bias.shape.clone(), data }))
        };
        Ok(alone.into_iter().zip(members).map(moved).collect())
    }

    /// The weights, with corrected biases in layers that are not kept.
    fn moved(&self, biases: &Biases, kept: &[bool]) -> Result<Weights> {
        let mut weights = self.weights.clone();
        for (bias, _) in biases.iter().zip(kept).filter(|(_, kept)| !**kept) {
            if let Some((layer, bias)) = bias {
                weights.insert(layer, "bias", bias.clone())?;
            }
        }
        Ok(weights)
    }

    /// What the output loses if only one layer computes with integers, by layer. Nothing for kept
    /// ones.
    fn losses(
        &mut self,
        assignment: &Assignment,
        quantizations: &Quantizations,
        (biases, kept): (&Biases, &[bool]),
    ) -> Result<Vec<Loss>> {
        let output = match self.network.kind(self.network.output()) {
            OutputKind::Softmax { logits } | OutputKind::Sigmoid { logits } => logits,
            _ => self.network.output(),
        };
        let name = self.network.node(output).name.clone();
        let options = PlanOptions::default().outputs([&name]);
        let session = |network: &Network, weights| -> Result<Session> {
            Session::new(NetworkPlan::new(network, weights, self.input, &options)?)
        };
        let values = |session: &mut Session, x: &[f32]| -> Result<Vec<f32>> {
            session.run(x)?;
            Ok(session.node(&name).map_or(Vec::new(), |(numbers, _)| numbers.to_vec()))
        };
        let mut float = session(&self.network, self.weights.clone())?;
        let samples = &self.samples[..self.samples.len().min(FEWER)];
        let exact: Vec<_> = samples.iter().map(|x| values(&mut float, x)).collect::<Result<_>>()?;
        let all = float.plan().multiply_adds().max(1) as f64;
        let mut losses = Vec::new();
        for (i, layer) in assignment.layers.iter().enumerate() {
            let mine: BTreeSet<String> = self.names(layer).collect();
            let steps = float.plan().steps();
            let steps = steps.filter(|step| step.nodes.iter().any(|node| mine.contains(node)));
            let work = steps.map(|step| step.multiply_adds).sum::<u64>() as f64 / all;
            let mut noise = Noise::default();
            if !kept[i] {
                let mut others = vec![true; kept.len()];
                others[i] = false;
                let layers = assignment.layers.iter().zip(&others).filter(|(_, kept)| **kept);
                let keep = layers.flat_map(|(layer, _)| self.names(layer)).collect();
                let network = Assignment::new(&self.network, self.input, &keep)?
                    .apply(&self.network, quantizations)?;
                let weights = integers(&network, &self.moved(biases, &others)?)?;
                let mut rounded = session(&network, weights)?;
                for (x, exact) in samples.iter().zip(&exact) {
                    noise.add(exact, &values(&mut rounded, x)?);
                }
            }
            losses.push(Loss { noise: noise.ratio(), work });
        }
        Ok(losses)
    }

    /// The own signal to noise of each layer, with these weights rounded to integers.
    fn own(
        &mut self,
        assignment: &Assignment,
        quantizations: &Quantizations,
        weights: &Weights,
    ) -> Result<Vec<f64>> {
        let whole = |layer: &Layer| {
            let mut members = members(assignment, layer, quantizations, usize::MAX);
            if let (true, Some((_, rounded))) = (layer.is_cut, members.last_mut()) {
                *rounded = None;
            }
            Some(members)
        };
        let members: Vec<_> = assignment.layers.iter().map(whole).collect();
        let alone = self.alone(assignment, quantizations, (weights, FEWER), &members)?;
        let decibels = |alone: &Option<Alone>| {
            alone.as_ref().map_or(f64::INFINITY, |alone| alone.noise.decibels())
        };
        Ok(alone.iter().map(decibels).collect())
    }

    /// Runs each layer by itself on this many samples, with these weights rounded to integers. None
    /// for a layer that is kept, that has no members here, or whose operand is not rounded.
    fn alone(
        &mut self,
        assignment: &Assignment,
        quantizations: &Quantizations,
        (weights, samples): (&Weights, usize),
        members: &[Option<Members>],
    ) -> Result<Vec<Option<Alone>>> {
        let nodes = self.network.nodes();
        let shapes = self.network.shapes(self.input)?;
        let both = [&self.weights, weights];
        let mut all = Vec::new();
        for (layer, members) in assignment.layers.iter().zip(members) {
            let operand = layer.operand.filter(|_| !layer.kept);
            let rounded = operand.and_then(|node| rounded_as(assignment, quantizations, node));
            all.push(match (operand, rounded, members) {
                (Some(operand), Some(rounded), Some(members)) => {
                    Some(Alone::new(nodes, both, (shapes[operand], rounded), members)?)
                }
                _ => None,
            });
        }
        for x in self.samples.iter().take(samples) {
            self.session.run(x)?;
            for (layer, alone) in assignment.layers.iter().zip(&mut all) {
                let operand = layer.operand.map(|operand| nodes[operand].name.as_str());
                let operand = operand.and_then(|name| self.session.node(name));
                if let (Some(alone), Some((operand, _))) = (alone, operand) {
                    alone.add(operand)?;
                }
            }
        }
        Ok(all)
    }

    /// The layers, with the signal to noise of their values in the quantized network.
    fn report(
        &mut self,
        assignment: &Assignment,
        own: &[f64],
        network: &Network,
        weights: &Weights,
    ) -> Result<Vec<QuantizedLayer>> {
        let nodes = self.network.nodes();
        let name = |layer: &Layer| {
            let node = layer.result.or(layer.members.last().copied());
            node.map_or(String::new(), |node| nodes[node].name.clone())
        };
        let names: Vec<String> = assignment.layers.iter().map(name).collect();
        let options = PlanOptions::default().outputs(&names);
        let session = |network, weights: &Weights| {
            Session::new(NetworkPlan::new(network, weights, self.input, &options)?)
        };
        let mut sessions = [session(&self.network, &self.weights)?, session(network, weights)?];
        let mut noises = vec![Noise::default(); names.len()];
        for x in self.samples.iter().take(FEWER) {
            sessions.iter_mut().try_for_each(|session| session.run(x))?;
            for (noise, name) in noises.iter_mut().zip(&names) {
                if let [Some((exact, _)), Some((rounded, _))] =
                    sessions.each_ref().map(|s| s.node(name))
                {
                    noise.add(exact, rounded);
                }
            }
        }
        let layers = names.into_iter().zip(&assignment.layers).zip(own).zip(noises);
        let layer = |(((name, layer), &own), noise): (((String, &Layer), &f64), Noise)| {
            QuantizedLayer { name, kept: layer.kept, own, total: noise.decibels() }
        };
        Ok(layers.map(layer).collect())
    }
}

/// By node: what the integers of its value stand for.
type Quantizations = BTreeMap<usize, Quantization>;

/// Nodes of a layer in order, each with what its integers stand for if it is rounded.
type Members = Vec<(usize, Option<Quantization>)>;

/// By layer: the name of its weights, and their corrected bias.
type Biases = Vec<Option<(String, Tensor)>>;

/// The members of a layer up to index `last`, whose result is not rounded; the others are rounded
/// as in the network.
fn members(
    assignment: &Assignment,
    layer: &Layer,
    quantizations: &Quantizations,
    last: usize,
) -> Members {
    let rounded = |node| rounded_as(assignment, quantizations, node);
    let members = layer.members.iter().enumerate().take_while(|&(i, _)| i <= last);
    members.map(|(i, &node)| (node, rounded(node).filter(|_| i != last))).collect()
}

/// What the integers of a node's value stand for, if it is rounded.
fn rounded_as(
    assignment: &Assignment,
    quantizations: &Quantizations,
    node: usize,
) -> Option<Quantization> {
    assignment.source(node).and_then(|source| quantizations.get(&source)).copied()
}

/// The weights of a quantized network. Those of layers whose operand is rounded become integers.
fn integers(network: &Network, weights: &Weights) -> Result<Weights> {
    let mut integers = weights.clone();
    for Node { layer, op, inputs, .. } in network.nodes().iter().skip(1) {
        let Some(of_operand) = network.node(inputs[0]).quantization else { continue };
        let variable = match op {
            Op::Conv { .. } | Op::Dense { .. } => "kernel",
            Op::Depthwise { .. } => "depthwise_kernel",
            _ => continue,
        };
        let Some(tensor) = weights.find(layer, variable) else { continue };
        let bias = weights.find(layer, "bias").map(|bias| &bias.data[..]);
        let channels = tensors::output_channels(variable, &tensor.shape);
        let int8 = Int8Weights::new(&tensor.data, bias, channels, of_operand.scale);
        integers.insert_int8(layer, variable, int8.into_tensor(tensor.shape.clone()))?;
    }
    Ok(integers)
}
