//! Folds batch norms into the layers before them, and splits separable layers into two nodes each,
//! so that every value that can be stored belongs to a node.
//!
//! A folded layer takes the name of the last norm, whose value it computes; its weights keep their
//! name. The depthwise half of a separable layer `NAME` is called `NAME/depthwise`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sepconv_kernels::Window;

use super::affine::{self, Folded, Lookup};
use super::fuse::is_affine;
use super::shape::Shape;
use super::{Network, Node, NodeId, Op, Output, tensors};
use crate::Result;
use crate::weights::{Tensor, Weights};

/// The folded network and its weights. `input` is a shape that the network takes.
pub(super) fn fold(
    network: &Network,
    weights: &Weights,
    input: Shape,
) -> Result<(Network, Weights)> {
    let shapes = network.shapes(input)?;
    let live = live(network);
    let chains = chains(network, &live);
    let ([height, width], channels) = network.input();
    let first = &network.nodes()[0].name;
    let mut folder = Folder {
        nodes: network.nodes(),
        channels: shapes.iter().map(|&[.., c]| c).collect(),
        lookup: Lookup::new(weights),
        source: weights,
        network: Network::new(network.name(), first, [height, width], channels),
        weights: Weights::default(),
        layers: layer_uses(network, &live),
        ids: vec![NodeId::FIRST; shapes.len()],
    };
    for (i, _) in live.iter().enumerate().skip(1).filter(|&(_, live)| *live) {
        match chains.get(&i) {
            None => folder.copy(i)?,
            // It takes the place of its last norm.
            Some(chain) if chain[chain.len() - 1] != i => {}
            Some(chain) => folder.linear(chain)?,
        }
    }
    let Folder { network: mut folded, weights, ids, .. } = folder;
    let outputs = network
        .outputs()
        .iter()
        .map(|output| Output { name: output.name.clone(), node: ids[output.node.index()] });
    folded.set_ends(outputs.collect(), ids[network.output().index()])?;
    Ok((folded, weights))
}

/// The nodes that the outputs depend on.
pub(super) fn live(network: &Network) -> Vec<bool> {
    let nodes = network.nodes();
    let mut live = vec![false; nodes.len()];
    let outputs = network.outputs().iter().map(|output| output.node);
    outputs.chain([network.output()]).for_each(|id| live[id.index()] = true);
    for (i, node) in nodes.iter().enumerate().rev() {
        if live[i] {
            node.inputs.iter().for_each(|id| live[id.index()] = true);
        }
    }
    live
}

/// By each member: a linear layer and the norms behind it that are folded into it.
fn chains(network: &Network, live: &[bool]) -> BTreeMap<usize, Vec<usize>> {
    let nodes = network.nodes();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        node.inputs.iter().for_each(|id| users[id.index()].push(i));
    }
    let outputs = network.outputs().iter().map(|output| output.node);
    let kept: BTreeSet<usize> = outputs.chain([network.output()]).map(NodeId::index).collect();
    let mut chains = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        if !is_linear(&node.op) {
            continue;
        }
        let (mut chain, mut last) = (vec![i], i);
        while let ([user], false) = (&users[last][..], kept.contains(&last))
            && is_affine(&nodes[*user].op)
        {
            chain.push(*user);
            last = *user;
        }
        for &member in &chain {
            chains.insert(member, chain.clone());
        }
    }
    chains
}

fn is_linear(op: &Op) -> bool {
    matches!(op, Op::Conv { .. } | Op::Depthwise { .. } | Op::Separable { .. } | Op::Dense { .. })
}

/// How often each layer that has weights is called.
fn layer_uses(network: &Network, live: &[bool]) -> BTreeMap<String, usize> {
    let mut uses = BTreeMap::new();
    for node in network.nodes().iter().zip(live).filter_map(|(node, live)| live.then_some(node)) {
        *uses.entry(node.layer.clone()).or_insert(0) += usize::from(is_linear(&node.op));
    }
    uses
}

struct Folder<'a> {
    nodes: &'a [Node],
    /// Of each node's value.
    channels: Vec<usize>,
    lookup: Lookup<'a>,
    source: &'a Weights,
    network: Network,
    weights: Weights,
    layers: BTreeMap<String, usize>,
    /// What each node became.
    ids: Vec<NodeId>,
}

impl Folder<'_> {
    fn operands(&self, node: &Node) -> Vec<NodeId> {
        node.inputs.iter().map(|id| self.ids[id.index()]).collect()
    }

    /// A node that stays as it is.
    fn copy(&mut self, i: usize) -> Result<()> {
        let node = &self.nodes[i];
        let channels = self.channels[node.inputs[0].index()];
        for (name, shape) in tensors::tensors(&node.op, channels).unwrap_or_default() {
            let data = self.source.get(&node.layer, name, &shape)?.to_vec();
            self.weights.insert(&node.layer, name, Tensor { shape, data })?;
        }
        let operands = self.operands(node);
        self.ids[i] =
            self.network.push_for_layer(&node.name, &node.layer, node.op.clone(), &operands)?;
        Ok(())
    }

    /// A linear layer with the norms behind it.
    fn linear(&mut self, chain: &[usize]) -> Result<()> {
        let (node, last) = (&self.nodes[chain[0]], chain[chain.len() - 1]);
        let channels = self.channels[node.inputs[0].index()];
        let norms = chain[1..].iter().map(|&i| (&self.nodes[i], self.channels[i]));
        let norm = affine::folded(norms, &mut self.lookup)?;
        let (name, layer) = (&self.nodes[last].name, self.layer(node));
        let mut operands = self.operands(node);
        let (variable, mut op) = match node.op {
            Op::Depthwise { .. } => ("depthwise_kernel", node.op.clone()),
            Op::Separable { window, multiplier, filters, .. } => {
                let depthwise = self.lookup.kernel(node, channels, "depthwise_kernel")?;
                let op = Op::Depthwise { window, multiplier, bias: false };
                let ([name, layer], folded) = (
                    [&node.name, &layer].map(|name| format!("{name}/depthwise")),
                    (depthwise, None),
                );
                self.insert(&layer, channels, &op, folded)?;
                operands = vec![self.network.push_for_layer(&name, &layer, op, &operands)?];
                let window = Window::new([1, 1]);
                ("pointwise_kernel", Op::Conv { window, groups: 1, filters, bias: false })
            }
            _ => ("kernel", node.op.clone()),
        };
        let folded = self.lookup.folded(node, channels, variable, norm.as_ref())?;
        if let Op::Conv { bias, .. } | Op::Depthwise { bias, .. } | Op::Dense { bias, .. } = &mut op
        {
            *bias = folded.1.is_some();
        }
        let channels = match node.op {
            Op::Separable { multiplier, .. } => channels * multiplier,
            _ => channels,
        };
        self.insert(&layer, channels, &op, folded)?;
        self.ids[last] = self.network.push_for_layer(name, &layer, op, &operands)?;
        for &member in chain {
            self.ids[member] = self.ids[last];
        }
        Ok(())
    }

    /// The name under which the weights of a node are stored: its own if others share its layer,
    /// whose norms differ.
    fn layer(&self, node: &Node) -> String {
        match self.layers.get(&node.layer) {
            Some(0 | 1) => node.layer.clone(),
            _ => node.name.clone(),
        }
    }

    /// Stores the weights of an operation on `channels` channels.
    fn insert(
        &mut self,
        layer: &str,
        channels: usize,
        op: &Op,
        (kernel, bias): Folded<'_>,
    ) -> Result<()> {
        let data = [Some(kernel.numbers()), bias].into_iter().flatten().map(Cow::into_owned);
        for ((name, shape), data) in
            tensors::tensors(op, channels).unwrap_or_default().into_iter().zip(data)
        {
            self.weights.insert(layer, name, Tensor { shape, data })?;
        }
        Ok(())
    }
}
