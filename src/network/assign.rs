//! Which values of a folded network are rounded to integers, and which node's range each takes.
//!
//! A value is rounded if a step stores it, or if it lies between a depthwise and a pointwise
//! convolution that are one step. A value stays f32 if no step that computes with integers reads
//! it: the output, and the operands of plain loops and of steps that are kept in f32.

use std::collections::{BTreeMap, BTreeSet};

use sepconv_kernels::{Activation, Quantization};

use super::flow::{Flow, ValueId};
use super::fuse::{FusedStep, fuse, is_clamp, is_of_numbers};
use super::shape::Shape;
use super::{Network, NodeId, Op};
use crate::Result;

/// The node whose range a value is rounded by.
#[derive(Debug, Clone, Copy)]
enum Role {
    Own,
    /// That of another node: a part of a concatenation, a clamp as a step loads its operand.
    As(usize),
}

/// A step with weights. Nodes are by index.
#[derive(Debug)]
pub(super) struct Layer {
    /// The nodes that it computes, in order, up to a sum.
    pub(super) members: Vec<usize>,
    /// Whether a sum follows, at which `members` end.
    pub(super) is_cut: bool,
    /// The operand, if it is a node's value.
    pub(super) operand: Option<usize>,
    /// The node whose value is stored.
    pub(super) result: Option<usize>,
    /// Whether it computes in f32.
    pub(super) kept: bool,
}

/// The roles of a network's nodes. Nodes are by index.
#[derive(Debug)]
pub(super) struct Assignment {
    roles: BTreeMap<usize, Role>,
    /// Nodes of steps kept in f32: their operands become floats.
    dequantized: BTreeSet<usize>,
    pub(super) layers: Vec<Layer>,
}

impl Assignment {
    /// For a folded network. A step is kept in f32 if one of its nodes, or its weights, has a name
    /// in `keep`.
    pub(super) fn new(network: &Network, input: Shape, keep: &BTreeSet<String>) -> Result<Self> {
        let outputs = network.outputs().iter().map(|output| output.node);
        let kept: Vec<NodeId> = [network.output()].into_iter().chain(outputs).collect();
        let flow = Flow::new(network, input, &kept)?;
        // Products are rounded to integers, not what they are made of.
        let steps = fuse(&flow, false);
        let planner = Planner::new(network, &flow, &steps, keep);
        let roles = planner.roles();
        let mut assignment = Self { roles, dequantized: BTreeSet::new(), layers: planner.layers() };
        for (i, node) in network.nodes().iter().enumerate() {
            if let Op::Identity | Op::Activation(Activation::None) = node.op {
                assignment.roles.insert(i, Role::As(node.inputs[0].index()));
            }
        }
        for step in steps.iter().filter(|step| planner.is_kept(step)) {
            let on_load = usize::from(step.input_activation != Activation::None);
            let operand = flow.values[step.members[on_load]].operands[0];
            let rounded = planner.node(operand).is_some_and(|n| assignment.source(n).is_some());
            if let (true, Some(node)) = (rounded, planner.node(step.members[on_load])) {
                assignment.dequantized.insert(node);
            }
        }
        Ok(assignment)
    }

    /// The node whose range a node's value takes, if it is rounded.
    pub(super) fn source(&self, node: usize) -> Option<usize> {
        match self.roles.get(&node)? {
            Role::Own => Some(node),
            // To an earlier operand, or to a later concatenation: never in a circle, as a clamp or
            // an identity is no part of what it takes its range from.
            Role::As(other) => self.source(*other),
        }
    }

    /// All nodes whose ranges are taken.
    pub(super) fn sources(&self) -> BTreeSet<usize> {
        self.roles.keys().filter_map(|&node| self.source(node)).collect()
    }

    /// The network with quantizations, given those of [`Assignment::sources`].
    pub(super) fn apply(
        &self,
        network: &Network,
        quantizations: &BTreeMap<usize, Quantization>,
    ) -> Result<Network> {
        let ([height, width], channels) = network.input();
        let nodes = network.nodes();
        let mut quantized = Network::new(network.name(), &nodes[0].name, [height, width], channels);
        let mut ids = vec![NodeId::FIRST];
        for (i, node) in nodes.iter().enumerate() {
            if i > 0 {
                let mut operands: Vec<_> = node.inputs.iter().map(|id| ids[id.index()]).collect();
                if self.dequantized.contains(&i) {
                    let mut name = format!("{}/operand", node.name);
                    while network.find(&name).is_some() {
                        name.push('_');
                    }
                    operands[0] = quantized.push(&name, Op::Identity, &operands[..1])?;
                }
                ids.push(quantized.push_for_layer(
                    &node.name,
                    &node.layer,
                    node.op.clone(),
                    &operands,
                )?);
            }
            let source = self.source(i).and_then(|source| quantizations.get(&source));
            quantized.set_quantization(ids[i], source.copied())?;
        }
        let outputs = network.outputs().iter().map(|output| super::Output {
            name: output.name.clone(),
            node: ids[output.node.index()],
        });
        quantized.set_ends(outputs.collect(), ids[network.output().index()])?;
        Ok(quantized)
    }
}

struct Planner<'a, 'n> {
    flow: &'a Flow<'n>,
    steps: &'a [FusedStep],
    keep: &'a BTreeSet<String>,
    /// By name.
    indices: BTreeMap<&'n str, usize>,
    /// By value: whether the step that computes it reads integers.
    of_integers: Vec<bool>,
}

impl<'a, 'n> Planner<'a, 'n> {
    fn new(
        network: &'n Network,
        flow: &'a Flow<'n>,
        steps: &'a [FusedStep],
        keep: &'a BTreeSet<String>,
    ) -> Self {
        let names = network.nodes().iter().enumerate().map(|(i, node)| (node.name.as_str(), i));
        let of_integers = vec![false; flow.values.len()];
        let mut planner = Self { flow, steps, keep, indices: names.collect(), of_integers };
        for step in steps {
            if !planner.is_kept(step) && !is_of_numbers(flow.values[step.kernel].op) {
                step.members.iter().for_each(|&v| planner.of_integers[v] = true);
            }
        }
        // Users first.
        for (v, value) in flow.values.iter().enumerate().rev() {
            if *value.op == Op::Concat {
                planner.of_integers[v] = planner.is_read(v);
            }
        }
        planner
    }

    fn is_kept(&self, step: &FusedStep) -> bool {
        step.members.iter().any(|&v| {
            let node = self.flow.values[v].node;
            self.keep.contains(&node.name) || self.keep.contains(&node.layer)
        })
    }

    /// Whether any step that reads the value can read integers.
    fn is_read(&self, v: ValueId) -> bool {
        self.flow.values[v].users.iter().any(|&u| self.of_integers[u])
    }

    /// The node with this value; none for copies and partial sums.
    fn node(&self, v: ValueId) -> Option<usize> {
        let value = &self.flow.values[v];
        let same = |&u: &ValueId| std::ptr::eq(self.flow.values[u].node, value.node);
        let is_partial = *value.op == Op::Add && value.users.iter().any(same);
        let is_copy = !std::ptr::eq(value.op, &value.node.op);
        (!is_copy && !is_partial).then(|| self.indices[value.node.name.as_str()])
    }

    fn roles(&self) -> BTreeMap<usize, Role> {
        let mut roles = BTreeMap::new();
        let flow = self.flow;
        let mut own = |v: ValueId| {
            if let Some(node) = self.node(v) {
                roles.insert(node, Role::Own);
            }
        };
        let results = self.steps.iter().map(|step| step.result);
        [0].into_iter().chain(results).filter(|&v| self.is_read(v)).for_each(&mut own);
        for step in self.steps.iter().filter(|step| !self.is_kept(step)) {
            if step.depthwise.is_some() {
                own(flow.values[step.kernel].operands[0]);
            }
        }
        for step in self.steps.iter().filter(|step| !self.is_kept(step)) {
            let loaded = (step.input_activation != Activation::None).then_some(step.members[0]);
            if let Some(node) = loaded.and_then(|v| self.node(v)) {
                let same = self.node(step.x).filter(|_| is_clamp(step.input_activation));
                roles.insert(node, same.map_or(Role::Own, Role::As));
            }
        }
        let concats = flow.values.iter().enumerate().filter(|(_, value)| *value.op == Op::Concat);
        for (v, value) in concats.filter(|&(v, _)| self.is_read(v)) {
            let Some(node) = self.node(v) else { continue };
            // A concatenation around it comes later, and says so itself.
            roles.entry(node).or_insert(Role::Own);
            for part in value.operands.iter().filter_map(|&operand| self.node(operand)) {
                roles.insert(part, Role::As(node));
            }
        }
        roles
    }

    fn layers(&self) -> Vec<Layer> {
        let is_layer = |step: &&FusedStep| {
            let op = self.flow.values[step.kernel].op;
            matches!(op, Op::Conv { .. } | Op::Depthwise { .. } | Op::Dense { .. })
        };
        let layer = |step: &FusedStep| {
            let whole: Vec<Option<usize>> = step.members.iter().map(|&v| self.node(v)).collect();
            let is_sum = |v: &&ValueId| *self.flow.values[**v].op == Op::Add;
            let end = step.members.iter().take_while(|v| !is_sum(v)).count();
            let members: Vec<usize> = whole[..end].iter().map_while(|node| *node).collect();
            Layer {
                is_cut: members.len() < whole.len(),
                members,
                operand: self.node(step.x),
                result: self.node(step.result),
                kept: self.is_kept(step),
            }
        };
        self.steps.iter().filter(is_layer).map(layer).collect()
    }
}
