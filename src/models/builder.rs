//! Shared by the builders of networks: layers as Keras makes and names them, in Keras's order.

use std::collections::BTreeMap;

use sepconv_kernels::{Activation, Padding, PoolKind, Window};

use super::Head;
use crate::network::{Network, NodeId, Op, Output};
use crate::{Error, Result};

/// To a vector.
pub(super) const GLOBAL_AVERAGE_POOL: Op =
    Op::GlobalPool { kind: PoolKind::Average, keep_dims: false };

/// A k×k window padded as in PyTorch, equally on both sides.
pub(super) fn symmetric(k: usize, stride: usize, dilation: usize) -> Window {
    let pad = dilation * (k / 2);
    let padding = Padding::Explicit { top: pad, bottom: pad, left: pad, right: pad };
    Window::new([k, k]).stride([stride, stride]).dilation([dilation, dilation]).padding(padding)
}

pub(super) struct Builder {
    pub(super) network: Network,
    /// ε of the batch normalizations.
    pub(super) epsilon: f64,
    /// The number of layers with automatic names so far, by kind.
    counts: BTreeMap<&'static str, usize>,
}

impl Builder {
    /// Starts a network that has only its input, with Keras's ε.
    pub(super) fn new(name: &str, size: [Option<usize>; 2], channels: usize) -> Self {
        let network = Network::new(name, "input_layer", size, channels);
        Self { network, epsilon: 1e-3, counts: BTreeMap::new() }
    }

    /// Keras's automatic name of the next layer of a kind: `conv2d`, `conv2d_1`, ….
    pub(super) fn automatic(&mut self, kind: &'static str) -> String {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        match *count - 1 {
            0 => kind.into(),
            n => format!("{kind}_{n}"),
        }
    }

    pub(super) fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        self.network.push(name, op, inputs)
    }

    /// A standard convolution without bias.
    pub(super) fn conv(
        &mut self,
        name: &str,
        window: Window,
        filters: usize,
        x: NodeId,
    ) -> Result<NodeId> {
        self.push(name, Op::Conv { window, groups: 1, filters, bias: false }, &[x])
    }

    /// A batch normalization, with or without γ.
    pub(super) fn norm(&mut self, name: &str, scale: bool, x: NodeId) -> Result<NodeId> {
        self.push(name, Op::BatchNorm { epsilon: self.epsilon, scale, center: true }, &[x])
    }

    pub(super) fn relu(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.activation(name, Activation::Relu, x)
    }

    /// An activation; [`Activation::None`] is no layer.
    pub(super) fn activation(
        &mut self,
        name: &str,
        activation: Activation,
        x: NodeId,
    ) -> Result<NodeId> {
        match activation {
            Activation::None => Ok(x),
            _ => self.push(name, Op::Activation(activation), &[x]),
        }
    }

    /// Appends a head: Keras Applications' own for the network (`top`), or a custom one.
    pub(super) fn head(
        &mut self,
        head: &Head,
        x: NodeId,
        top: impl FnOnce(&mut Self, usize) -> Result<()>,
    ) -> Result<()> {
        match head {
            Head::None => Ok(()),
            Head::Classes(classes) => top(self, *classes),
            Head::Custom { hidden, classes } => {
                let name = "global_average_pooling2d";
                let mut x = self.push(name, GLOBAL_AVERAGE_POOL, &[x])?;
                let dense = |units| Op::Dense { units, bias: true };
                for &units in hidden {
                    let name = self.automatic("dense");
                    let inner = format!("{name}/pre");
                    x = self.network.push_for_layer(&inner, &name, dense(units), &[x])?;
                    x = self.relu(&name, x)?;
                }
                let name = self.automatic("dense");
                self.push(&name, dense(*classes), &[x]).map(|_| ())
            }
        }
    }

    /// Keras's top of Xception and Inception V3: average pool `avg_pool`, dense `predictions`,
    /// softmax. The logits, `predictions/logits`, are the output.
    pub(super) fn predictions(&mut self, classes: usize, x: NodeId) -> Result<()> {
        let x = self.push("avg_pool", GLOBAL_AVERAGE_POOL, &[x])?;
        let op = Op::Dense { units: classes, bias: true };
        let logits = self.network.push_for_layer("predictions/logits", "predictions", op, &[x])?;
        let node = self.push("predictions", Op::Softmax, &[logits])?;
        self.network.set_outputs(vec![Output { name: "predictions".into(), node }])
    }
}

/// Orders a network's nodes as Keras lists the layers of a Functional model: nodes further from the
/// end first, and nodes at the same distance as they were made. Files without layer names list
/// weights in this order.
pub(super) fn in_keras_order(network: &Network) -> Result<Network> {
    let nodes = network.nodes();
    // The length of the longest path to the end.
    let mut depths = vec![0_usize; nodes.len()];
    for (i, node) in nodes.iter().enumerate().rev() {
        let behind = depths[i] + 1;
        for input in &node.inputs {
            let depth = &mut depths[input.index()];
            *depth = behind.max(*depth);
        }
    }
    let mut order: Vec<usize> = (1..nodes.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(depths[i]));
    let (size, channels) = network.input();
    let mut sorted = Network::new(network.name(), &nodes[0].name, size, channels);
    let mut ids = vec![NodeId(0); nodes.len()];
    for i in order {
        let node = &nodes[i];
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| ids[input.index()]).collect();
        ids[i] = sorted.push_for_layer(&node.name, &node.layer, node.op.clone(), &inputs)?;
    }
    let output = |output: &Output| Output { node: ids[output.node.index()], ..output.clone() };
    sorted.set_outputs(network.outputs().iter().map(output).collect())?;
    Ok(sorted)
}

/// Checks that no width is 0 and that an input size, if given, is at least `least`.
pub(super) fn check(
    what: &str,
    widths: impl IntoIterator<Item = usize>,
    head: &Head,
    size: [Option<usize>; 2],
    least: usize,
) -> Result<()> {
    let error = |message: String| Err(Error::Argument { message });
    let head = match head {
        Head::None => Vec::new(),
        Head::Classes(classes) => vec![*classes],
        Head::Custom { hidden, classes } => [hidden.as_slice(), &[*classes]].concat(),
    };
    if widths.into_iter().chain(head).any(|width| width == 0) {
        return error(format!("{what} has a layer of 0 channels; expected at least 1"));
    }
    match size.into_iter().flatten().find(|&extent| extent < least) {
        Some(extent) => {
            error(format!("{what} expects an input size of at least {least}, got {extent}"))
        }
        None => Ok(()),
    }
}
