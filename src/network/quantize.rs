//! What 8-bit integers stand for in a network: the ranges of its values, measured, and the scales
//! and zero points that follow.
//!
//! A value of range \[lo, hi\], 0 included, is stored in u8 with scale (hi − lo) / 255 and the zero
//! point nearest to −lo / scale. Weights are stored in i8, with a scale per output channel: the
//! largest magnitude over 127. Biases are i32, in steps of the input's scale times the weights'.

use std::collections::BTreeMap;

use sepconv_kernels::{Depthwise, DepthwiseParams, Level, NhwcView, NhwcViewMut, Plan};
use sepconv_kernels::{Options, Quantization, QuantizedWeights};

use super::flow::{Flow, ValueId};
use super::fuse::FusedStep;
use super::{Network, NetworkPlan, Node, Op, PlanOptions, Session, shape, tensors};
use crate::weights::Weights;
use crate::{Error, Result};

/// The least and the largest number of each value of a network, by which
/// [`PlanOptions::int8`] quantizes them.
///
/// ```
/// use sepconv::models::{MobileNetConfig, mobilenet};
/// use sepconv::network::{NetworkPlan, PlanOptions, Ranges, Session};
/// use sepconv::weights::synthetic;
///
/// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
/// let (weights, x) = (synthetic::weights(&network)?, synthetic::picture(64).data);
/// let ranges = Ranges::measure(&network, &weights, [1, 64, 64, 3], &x)?;
/// let [least, largest] = ranges.of("conv1_relu").unwrap();
/// assert!(least == 0.0 && largest > 0.0 && largest <= 6.0); // of a ReLU6
///
/// let options = PlanOptions::default().int8(ranges);
/// let mut session = Session::new(NetworkPlan::new(&network, &weights, [1, 64, 64, 3], &options)?)?;
/// session.run(&x)?; // f32 in and out
/// assert_eq!(session.output().len(), 1000);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranges {
    /// By the name of a node.
    values: BTreeMap<String, [f32; 2]>,
    /// Between the two steps of a node that is a separable convolution.
    mids: BTreeMap<String, [f32; 2]>,
}

impl Ranges {
    /// Runs the network in f32 on `x`, of shape `input` \[N, H, W, C\], and records the range of
    /// each value that an output depends on. The ranges hold for inputs like this one: numbers
    /// beyond them are clamped.
    ///
    /// Every value is kept until the end, which takes the memory of all of them together.
    ///
    /// ```
    /// use sepconv::kernels::{Activation, Window};
    /// use sepconv::network::{Network, Op, Ranges};
    /// use sepconv::weights::Weights;
    ///
    /// let mut network = Network::new("one layer", "input", [None, None], 1);
    /// let input = network.find("input").unwrap();
    /// network.push("relu", Op::Activation(Activation::Relu), &[input])?;
    /// let ranges = Ranges::measure(&network, &Weights::default(), [1, 1, 2, 1], &[-3.0, 2.0])?;
    /// assert_eq!(ranges.of("input"), Some([-3.0, 2.0]));
    /// assert_eq!(ranges.of("relu"), Some([0.0, 2.0]));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`NetworkPlan::new`] and [`Session::run`]; [`Error::Network`] if a value is not
    /// finite.
    pub fn measure(
        network: &Network,
        weights: &Weights,
        input: [usize; 4],
        x: &[f32],
    ) -> Result<Self> {
        let nodes = needed(network);
        let names = nodes.iter().map(|node| node.name.as_str());
        let options = PlanOptions::default().outputs(names);
        let plan = NetworkPlan::new(network, weights, input, &options)?;
        let level = plan.level();
        let mut session = Session::new(plan)?;
        session.run(x)?;
        let value = |name: &str| session.node(name).expect("it is an output of the plan");
        let mut ranges = Self::default();
        for node in nodes {
            let (numbers, _) = value(&node.name);
            ranges.values.insert(node.name.clone(), range(node, numbers)?);
            if let Op::Separable { .. } = node.op {
                let operand = value(&network.node(node.inputs[0]).name);
                let mid = depthwise(node, weights, operand, level)?;
                ranges.mids.insert(node.name.clone(), range(node, &mid)?);
            }
        }
        Ok(ranges)
    }

    /// The least and the largest number of a node's value. None if no output depends on the node.
    pub fn of(&self, node: &str) -> Option<[f32; 2]> {
        self.values.get(node).copied()
    }
}

/// The nodes that the outputs depend on, in the network's order.
fn needed(network: &Network) -> Vec<&Node> {
    let nodes = network.nodes();
    let mut needed = vec![false; nodes.len()];
    for output in network.outputs() {
        needed[output.node.index()] = true;
    }
    needed[network.output().index()] = true;
    for (i, node) in nodes.iter().enumerate().rev().filter(|(i, _)| *i > 0) {
        if needed[i] {
            node.inputs.iter().for_each(|id| needed[id.index()] = true);
        }
    }
    needed[0] = true;
    nodes.iter().zip(needed).filter_map(|(node, needed)| needed.then_some(node)).collect()
}

/// What a separable convolution has between its two steps.
fn depthwise(
    node: &Node,
    weights: &Weights,
    (x, input): (&[f32], [usize; 4]),
    level: Level,
) -> Result<Vec<f32>> {
    let Op::Separable { window, multiplier, .. } = node.op else {
        unreachable!("only separable convolutions have a middle");
    };
    let kernel = tensors::find(weights, node, input[3], "depthwise_kernel")?;
    let params = DepthwiseParams::new(window, kernel.unwrap_or_default()).multiplier(multiplier);
    let run = || {
        let plan = Depthwise::new(input, &params, &Options::default().level(level))?;
        let mut y = vec![0.0; plan.output_shape().iter().product()];
        let mut scratch = vec![0.0; plan.scratch_len(1)];
        let to = NhwcViewMut::new(&mut y, plan.output_shape())?;
        plan.run(NhwcView::new(x, input)?, None, to, &mut scratch)?;
        Ok(y)
    };
    run().map_err(|source| shape::kernel(node, source))
}

/// The least and the largest number.
fn range(node: &Node, numbers: &[f32]) -> Result<[f32; 2]> {
    if let Some((i, x)) = numbers.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        return Err(Error::Network {
            node: node.name.clone(),
            message: format!("expected finite numbers to quantize, got {x} at element {i}"),
        });
    }
    let least = numbers.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Ok([least, largest])
}

/// What u8 stands for if it covers the range and 0.
fn quantization([lo, hi]: [f32; 2]) -> Quantization {
    let (lo, hi) = (f64::from(lo.min(0.0)), f64::from(hi.max(0.0)));
    // The difference of two f32 over 255 is an f32.
    let scale = ((hi - lo) / 255.0) as f32;
    if !scale.is_normal() {
        return Quantization::default();
    }
    let zero_point = (-lo / f64::from(scale)).round_ties_even().clamp(0.0, 255.0);
    Quantization::new(scale, zero_point as i32)
}

/// What the integers of each value of a flow stand for.
#[derive(Debug)]
pub(super) struct Quantizations {
    values: Vec<Quantization>,
    /// Between the two steps of separable convolutions.
    mids: BTreeMap<ValueId, Quantization>,
}

/// What the integers of a step's tensors stand for, those of them that are integers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StepQuantizations {
    pub(super) x: Quantization,
    /// Between the depthwise and the pointwise step.
    pub(super) mid: Quantization,
    pub(super) residual: Option<Quantization>,
    pub(super) result: Quantization,
}

impl Quantizations {
    /// Of values whose ranges are known.
    pub(super) fn new(flow: &Flow<'_>, ranges: &Ranges) -> Result<Self> {
        let mut known: Vec<[f32; 2]> = Vec::with_capacity(flow.values.len());
        let mut mids = BTreeMap::new();
        for (v, value) in flow.values.iter().enumerate() {
            let Node { name, .. } = value.node;
            let unknown = || Error::Network {
                node: name.clone(),
                message: "its value has no measured range".into(),
            };
            let is_partial_sum = *value.op == Op::Add
                && value.users.iter().any(|&u| std::ptr::eq(flow.values[u].node, value.node));
            known.push(match value.op {
                // A copy.
                Op::Identity => known[value.operands[0]],
                Op::Add if is_partial_sum => {
                    let [a, b] = [0, 1].map(|i| known[value.operands[i]]);
                    [(a[0] + b[0]).max(f32::MIN), (a[1] + b[1]).min(f32::MAX)]
                }
                _ => ranges.of(name).ok_or_else(unknown)?,
            });
            if let Op::Separable { .. } = value.op {
                let mid = ranges.mids.get(name).copied().ok_or_else(unknown)?;
                mids.insert(v, quantization(mid));
            }
        }
        let mut values: Vec<Quantization> = known.into_iter().map(quantization).collect();
        // The parts of a concatenation lie in it. Users first: it may itself be a part.
        for (v, value) in flow.values.iter().enumerate().rev() {
            if *value.op == Op::Concat {
                value.operands.iter().for_each(|&operand| values[operand] = values[v]);
            }
        }
        Ok(Self { values, mids })
    }

    /// Of one value.
    pub(super) fn of(&self, v: ValueId) -> Quantization {
        self.values[v]
    }

    /// Of a step's tensors.
    pub(super) fn of_step(&self, flow: &Flow<'_>, step: &FusedStep) -> StepQuantizations {
        let mid = match &step.depthwise {
            Some(_) => Some(self.values[flow.values[step.kernel].operands[0]]),
            None => self.mids.get(&step.kernel).copied(),
        };
        StepQuantizations {
            x: self.values[step.x],
            mid: mid.unwrap_or_default(),
            residual: step.residual.map(|v| self.values[v]),
            result: self.values[step.result],
        }
    }
}

/// The number that an integer stands for.
pub(super) fn number(quantization: Quantization, integer: u8) -> f32 {
    quantization.scale * (i32::from(integer) - quantization.zero_point) as f32
}

/// Weights of i8 and what belongs to them.
#[derive(Debug)]
pub(super) struct Int8Weights {
    pub(super) weights: Vec<i8>,
    scales: Vec<f32>,
    bias: Option<Vec<i32>>,
}

/// The largest bias, and the largest sum of products, in steps of their scale. Together they fit
/// in an i32, with room for what is rounded.
const LARGEST: f64 = (1 << 29) as f64;

impl Int8Weights {
    /// Of a linear layer whose inputs have scale `input`. The output channel is innermost.
    pub(super) fn new(weights: &[f32], bias: Option<&[f32]>, channels: usize, input: f32) -> Self {
        let (mut largest, mut sums) = (vec![0.0_f64; channels], vec![0.0_f64; channels]);
        for row in weights.chunks_exact(channels) {
            for ((largest, sum), &w) in largest.iter_mut().zip(&mut sums).zip(row) {
                let magnitude = f64::from(w.abs());
                *largest = largest.max(magnitude);
                *sum += magnitude;
            }
        }
        let scale = |o: usize| {
            let bias = bias.map_or(0.0, |bias| f64::from(bias[o].abs())) / f64::from(input);
            // An input is at most 255 from its zero point.
            let products = 255.0 * sums[o];
            (largest[o] / 127.0).max(bias / LARGEST).max(products / LARGEST) as f32
        };
        let scales: Vec<f32> = (0..channels).map(scale).collect();
        let steps = |x: f32, scale: f64| match scale {
            0.0 => 0.0,
            _ => (f64::from(x) / scale).round_ties_even(),
        };
        let of = weights.iter().zip(scales.iter().cycle());
        let weights = of.map(|(&w, &s)| steps(w, s.into()).clamp(-127.0, 127.0) as i8).collect();
        let bias = bias.map(|bias| {
            let scale = |&s: &f32| f64::from(input) * f64::from(s);
            bias.iter().zip(&scales).map(|(&b, s)| steps(b, scale(s)) as i32).collect()
        });
        Self { weights, scales, bias }
    }

    pub(super) fn quantized(&self) -> QuantizedWeights<'_> {
        let mut quantized = QuantizedWeights::new(&self.scales);
        quantized.bias = self.bias.as_deref();
        quantized
    }
}
