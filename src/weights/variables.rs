//! The variables of a network and their shapes, inferred by following its channels.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::network::{Network, Node, Op, tensors};
use crate::{Error, Result};

/// One variable of a layer.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::weights::*;
/// let network = xception(&XceptionConfig::default())?;
/// let Variable { layer, name, shape, trainable } = variables(&network)?.swap_remove(0);
/// assert_eq!((layer.as_str(), name, trainable), ("block1_conv1", "kernel", true));
/// assert_eq!(shape, [3, 3, 3, 32]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name of the layer, as in [`crate::network::Node::layer`].
    pub layer: String,
    /// The name within the layer, such as `kernel`.
    pub name: &'static str,
    /// The shape, in the layout that [`Op`] documents.
    pub shape: Vec<usize>,
    /// Whether training changes it by gradient. False for moving statistics.
    pub trainable: bool,
}

impl Variable {
    /// The number of elements, which [`variables()`] has checked to fit.
    ///
    /// ```
    /// # use sepconv::weights::*;
    /// let kernel = Variable {
    ///     layer: "conv".into(),
    ///     name: "kernel",
    ///     shape: vec![3, 3, 3, 32],
    ///     trainable: true,
    /// };
    /// assert_eq!(kernel.elements(), 864);
    /// ```
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The number of parameters of a network.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let mut network = Network::new("small", "input", [None, None], 16);
/// let norm = Op::BatchNorm { epsilon: 1e-3, scale: true, center: true };
/// network.push("norm", norm, &[network.find("input").unwrap()])?;
/// let count = count_parameters(&network)?;
/// assert_eq!(count.trainable, 2 * 16); // γ, β
/// assert_eq!(count.total, 4 * 16); // and mean, variance
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ParameterCount {
    /// Kernels, biases, γ and β.
    pub trainable: usize,
    /// The same plus the moving statistics.
    pub total: usize,
}

/// Lists the network's variables in the order of its nodes, and within a layer in Keras's order.
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
/// let variables = weights::variables(&network)?;
/// let names: Vec<_> = variables.iter().map(|v| (v.layer.as_str(), v.name)).collect();
/// assert_eq!(names, [("conv", "kernel"), ("conv", "bias")]);
/// assert_eq!(variables[0].shape, [3, 3, 3, 8]);
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Network`], with the node, if operands have different channels, if groups don't divide
/// the channels, or if a shape has more elements than memory can hold.
pub fn variables(network: &Network) -> Result<Vec<Variable>> {
    let mut channels: Vec<usize> = Vec::with_capacity(network.nodes().len());
    let mut variables: Vec<Variable> = Vec::new();
    // The range of `variables` that belongs to each layer.
    let mut layers: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    for node in network.nodes() {
        let input = node.inputs.first().map_or(0, |id| channels[id.index()]);
        let shapes = match (tensors(&node.op, input), &node.op) {
            (Some(shapes), _) => shapes,
            (None, Op::Conv { groups, filters, .. }) => {
                let what = format!("{input} input and {filters} output channels");
                return Err(error(node, format!("can't divide {what} into {groups} groups")));
            }
            (None, _) => return Err(overflow(node)),
        };
        channels.push(output_channels(node, input, &channels)?);
        // A layer that is called several times has its variables once.
        if let Some(own) = layers.get(node.layer.as_str()).filter(|_| !shapes.is_empty()) {
            let known = variables[own.clone()].iter().map(|v| (v.name, &v.shape));
            if !known.eq(shapes.iter().map(|(name, shape)| (*name, shape))) {
                let what = format!("layer {:?} is called with operands", node.layer);
                return Err(error(node, format!("{what} of different channels")));
            }
            continue;
        }
        let first = variables.len();
        for (name, shape) in shapes {
            let bytes = shape.iter().try_fold(size_of::<f32>(), |p, &d| p.checked_mul(d));
            if bytes.is_none_or(|b| b > isize::MAX as usize) {
                return Err(overflow(node));
            }
            variables.push(Variable {
                layer: node.layer.clone(),
                name,
                shape,
                trainable: !name.starts_with("moving_") && !["mean", "variance"].contains(&name),
            });
        }
        if first < variables.len() {
            layers.insert(&node.layer, first..variables.len());
        }
    }
    Ok(variables)
}

/// The channels of a node's output, of which the first operand has `input`; `channels` are those of
/// the nodes before it.
fn output_channels(node: &Node, input: usize, channels: &[usize]) -> Result<usize> {
    Ok(match &node.op {
        Op::Input { channels, .. } => *channels,
        Op::Conv { filters, .. }
        | Op::Separable { filters, .. }
        | Op::ConvTranspose { filters, .. } => *filters,
        Op::Permute { channels, .. } => *channels,
        // The product fits: the shapes contain it.
        Op::Depthwise { multiplier, .. } => input * multiplier,
        Op::Dense { units, .. } => *units,
        Op::Flatten { features } => *features,
        Op::Reshape { shape: [.., channels], .. } => *channels,
        Op::Dot { channels, .. } => *channels,
        Op::Add => {
            for id in &node.inputs {
                let other = channels[id.index()];
                if other != input {
                    let what = format!("operands of {input} and {other} channels");
                    return Err(error(node, format!("can't add {what}")));
                }
            }
            input
        }
        Op::Binary(_) => {
            let mut most = input;
            for id in &node.inputs {
                let other = channels[id.index()];
                if other != most && other != 1 && most != 1 {
                    let what = format!("operands of {input} and {other} channels");
                    return Err(error(node, format!("can't combine {what}")));
                }
                most = most.max(other);
            }
            most
        }
        Op::Concat => {
            let mut parts = node.inputs.iter().map(|id| channels[id.index()]);
            let sum = parts.try_fold(0_usize, |sum, c| sum.checked_add(c));
            sum.ok_or_else(|| overflow(node))?
        }
        Op::BatchNorm { .. }
        | Op::Standardize { .. }
        | Op::Scale
        | Op::Normalize { .. }
        | Op::NormalizeOver { .. }
        | Op::UpSample { .. }
        | Op::PRelu { .. }
        | Op::Activation(_)
        | Op::Softmax
        | Op::MaxPool(_)
        | Op::AveragePool(_)
        | Op::GlobalPool { .. }
        | Op::Rescale { .. }
        | Op::ZeroPad(_)
        | Op::Crop(_)
        | Op::CenterCrop { .. }
        | Op::Resize { .. }
        | Op::StepsToBatch { .. }
        | Op::BatchToSteps { .. }
        | Op::Identity => input,
    })
}

fn error(node: &Node, message: String) -> Error {
    Error::Network { node: node.name.clone(), message }
}

fn overflow(node: &Node) -> Error {
    error(node, "it has more channels or weights than memory can hold".into())
}

/// Checks that there are weights for every variable of the network.
#[cfg(any(feature = "keras", feature = "tflite"))]
pub(super) fn check(weights: &super::Weights, network: &Network) -> Result<()> {
    let missing = |v: &Variable| match weights.find_int8(&v.layer, v.name) {
        Some(tensor) if tensor.shape == v.shape => None,
        _ => weights.get(&v.layer, v.name, &v.shape).err(),
    };
    variables(network)?.iter().find_map(missing).map_or(Ok(()), Err)
}

/// Counts a network's parameters.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let count = count_parameters(&xception(&XceptionConfig::default())?)?;
/// assert_eq!((count.trainable, count.total), (22_855_952, 22_910_480)); // as Keras says
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// Those of [`variables()`], or [`Error::Argument`] if the sum overflows.
pub fn count_parameters(network: &Network) -> Result<ParameterCount> {
    let mut count = ParameterCount::default();
    for variable in variables(network)? {
        let elements = variable.elements();
        let total = count.total.checked_add(elements);
        count.total = total.ok_or_else(|| Error::Argument {
            message: format!("the network has more than {} parameters", usize::MAX),
        })?;
        if variable.trainable {
            count.trainable += elements;
        }
    }
    Ok(count)
}
