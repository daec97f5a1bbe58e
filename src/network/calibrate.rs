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
use super::shape::Shape;
use super::{Network, NetworkPlan, Node, Op, PlanOptions, Session, tensors};
use crate::weights::Weights;
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
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct QuantizeOptions {
    /// How the ranges of values follow from what was measured.
    pub range: RangeRule,
    /// Layers, or nodes, that stay f32. A layer stays so with all that is computed in one step with
    /// it.
    pub keep: Vec<String>,
    /// Layers whose own signal to noise is below this many decibels stay f32, too.
    pub keep_below: Option<f64>,
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

/// Inputs that are kept for the layers' signal to noise.
const SAMPLES: usize = 8;

/// Quantizes a trained network to 8-bit integers.
///
/// Batch norms are folded first, in f64. The inputs that are [added](Calibration::add) run in f32;
/// their values decide what the integers stand for that are stored between layers. Weights become
/// i8, with a scale for each output channel: the largest magnitude over 127. The output stays f32.
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
    /// more alike the inputs are to those to come, the better; their order makes no difference but
    /// to the reported signal to noise, which is that of the first eight.
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
    /// [`Error::Argument`] if no input was added, a name of `options.keep` is no layer, or a
    /// percentile is not above 0 and at most 100; those of [`NetworkPlan::new`].
    pub fn quantize(&mut self, options: &QuantizeOptions) -> Result<Quantized> {
        self.check(options)?;
        let quantizations: BTreeMap<usize, Quantization> = (self.observers.iter())
            .map(|(&node, observer)| (node, quantization(observer.range(options.range))))
            .collect();
        let mut keep: BTreeSet<String> = options.keep.iter().cloned().collect();
        let mut assignment = Assignment::new(&self.network, self.input, &keep)?;
        let mut own = self.own(&assignment, &quantizations)?;
        if let Some(limit) = options.keep_below {
            let noisy = |(layer, &own): (usize, &f64)| (own < limit).then_some(layer);
            let noisy: Vec<usize> = own.iter().enumerate().filter_map(noisy).collect();
            for layer in noisy {
                let members = &assignment.layers[layer].members;
                keep.extend(members.iter().map(|&node| self.network.nodes()[node].name.clone()));
                own[layer] = f64::INFINITY;
            }
            assignment = Assignment::new(&self.network, self.input, &keep)?;
        }
        let network = assignment.apply(&self.network, &quantizations)?;
        let weights = integers(&network, &self.weights)?;
        let layers = self.report(&assignment, &own, &network, &weights)?;
        Ok(Quantized { network, weights, layers })
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

    /// The own signal to noise of each layer.
    fn own(
        &mut self,
        assignment: &Assignment,
        quantizations: &BTreeMap<usize, Quantization>,
    ) -> Result<Vec<f64>> {
        let nodes = self.network.nodes();
        let shapes = self.network.shapes(self.input)?;
        let mut alone = Vec::new();
        for layer in &assignment.layers {
            let shape = layer.operand.map_or(self.input, |operand| shapes[operand]);
            alone.push(match layer.kept {
                true => None,
                false => {
                    let layer = (assignment, layer);
                    Alone::new(&self.network, &self.weights, shape, layer, quantizations)?
                }
            });
        }
        for x in &self.samples {
            self.session.run(x)?;
            for (layer, alone) in assignment.layers.iter().zip(&mut alone) {
                let operand = layer.operand.map(|operand| nodes[operand].name.as_str());
                let operand = operand.and_then(|name| self.session.node(name));
                if let (Some(alone), Some((operand, _))) = (alone, operand) {
                    alone.add(operand)?;
                }
            }
        }
        let decibels = |alone: &Option<Alone>| {
            alone.as_ref().map_or(f64::INFINITY, |alone| alone.noise.decibels())
        };
        Ok(alone.iter().map(decibels).collect())
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
        for x in &self.samples {
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

/// The weights of a quantized network, of integers where a layer's operand is.
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
