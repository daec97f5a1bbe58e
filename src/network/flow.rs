//! The values to compute, in topological order.
//!
//! A [`Flow`] is the network's computation in a normal form, which leaves [`super::fuse`] few
//! cases:
//! - It contains only values that the kept nodes depend on.
//! - It contains no identities: their users use the operand.
//! - Every sum has two operands. A longer sum becomes a chain, in the order of its operands.
//! - An operand of a concatenation has no other user, so that it can be written in place. If it has
//!   one in the network, a copy is inserted.
//! - The input is never kept. If the caller asks for it, a copy is.
//! - Of a network with integers, an operation that rounds its result to integers is one whose
//!   kernel can: its operand is of integers, or it is a sum, an activation or a change of shape.
//!   Behind any other, a copy rounds. These read and write f32: plain loops, other operations
//!   without a kernel for integers, and sums and separable layers without a quantization. In front
//!   of them, a copy turns integers into floats.

use sepconv_kernels::{Activation, Quantization};

use super::fuse::is_of_numbers;
use super::shape::{self, Shape};
use super::{Network, Node, NodeId, Op};
use crate::Result;

/// Index of a value in its [`Flow`]. Operands have smaller indices than their users.
pub(super) type ValueId = usize;

/// The operation of an inserted copy. (Identities of the network never become values.)
const COPY: &Op = &Op::Identity;

/// One tensor.
#[derive(Debug)]
pub(super) struct Value<'n> {
    /// The node it belongs to; partial sums and copies belong to the node that needs them.
    pub(super) node: &'n Node,
    /// The node's operation, or [`Op::Identity`] for an inserted copy.
    pub(super) op: &'n Op,
    pub(super) operands: Vec<ValueId>,
    pub(super) shape: Shape,
    /// The values that use this one as an operand, once for each use.
    pub(super) users: Vec<ValueId>,
    /// Whether the caller reads it after the run. It is dense then.
    pub(super) kept: bool,
    /// What the integers stand for to which it is rounded, None if it is not.
    pub(super) quantization: Option<Quantization>,
}

impl Value<'_> {
    /// Whether it need not be stored: it has one user and is not kept.
    pub(super) fn is_private(&self) -> bool {
        self.users.len() == 1 && !self.kept
    }
}

/// All values; value 0 is the network's input.
#[derive(Debug)]
pub(super) struct Flow<'n> {
    pub(super) values: Vec<Value<'n>>,
    /// The values of the kept nodes, in the caller's order.
    pub(super) kept: Vec<ValueId>,
}

impl<'n> Flow<'n> {
    /// The flow that computes the nodes `kept` from an input of shape `input`.
    pub(super) fn new(network: &'n Network, input: Shape, kept: &[NodeId]) -> Result<Self> {
        let nodes = network.nodes();
        let facts = Facts::new(nodes, kept);
        let mut flow = Self { values: Vec::new(), kept: Vec::new() };
        let shape = shape::infer_input(&nodes[0], network.input().1, input)?;
        flow.push(&nodes[0], &nodes[0].op, Vec::new(), shape);

        let mut value_of = vec![0; nodes.len()];
        if nodes[0].quantization.is_some() {
            value_of[0] = flow.rounded(&nodes[0], 0);
            flow.values[value_of[0]].kept = facts.kept[0];
        }
        for (i, node) in nodes.iter().enumerate().skip(1) {
            if !facts.live[i] {
                continue;
            }
            let operands: Vec<_> = node.inputs.iter().map(|id| value_of[id.index()]).collect();
            if facts.origin[i] != i {
                value_of[i] = operands[0];
                continue;
            }
            let shapes: Vec<_> = operands.iter().map(|&v| flow.values[v].shape).collect();
            let shape = shape::infer(node, &shapes)?;
            let shared = node.inputs.iter().map(|&id| facts.is_shared(id));
            value_of[i] = flow.compute(node, operands, shared, shape);
            flow.values[value_of[i]].kept = facts.kept[i];
        }
        if facts.kept[0] && value_of[0] == 0 {
            value_of[0] = flow.push(&nodes[0], COPY, vec![0], shape);
            flow.values[value_of[0]].kept = true;
        }
        flow.kept = kept.iter().map(|&id| value_of[facts.origin[id.index()]]).collect();
        Ok(flow)
    }

    /// Pushes the value of a node, with the copies that its operands and its result need.
    fn compute(
        &mut self,
        node: &'n Node,
        mut operands: Vec<ValueId>,
        shared: impl Iterator<Item = bool>,
        shape: Shape,
    ) -> ValueId {
        let is_quantized = |flow: &Self, v: ValueId| flow.values[v].quantization.is_some();
        let mut rounds = node.quantization.is_some();
        match node.op {
            Op::Identity | Op::Activation(Activation::None) => {
                return self.rounded(node, operands[0]);
            }
            Op::Concat => operands = self.copy_shared(node, &operands, shared),
            Op::Add => {
                operands = self.sum_all_but_last(node, &operands);
                rounds &= operands.iter().any(|&v| is_quantized(self, v));
                if !rounds {
                    operands.iter_mut().for_each(|v| *v = self.number(*v));
                }
            }
            Op::Activation(_)
            | Op::Flatten { .. }
            | Op::Reshape { .. }
            | Op::StepsToBatch { .. }
            | Op::BatchToSteps { .. } => {}
            Op::Separable { .. } => {
                operands[0] = self.number(operands[0]);
                rounds = false;
            }
            ref op if is_of_numbers(op) => {
                operands.iter_mut().for_each(|v| *v = self.number(*v));
                rounds = false;
            }
            _ => rounds &= is_quantized(self, operands[0]),
        }
        let v = self.push(node, &node.op, operands, shape);
        if rounds {
            self.values[v].quantization = node.quantization;
        }
        if rounds || node.quantization.is_none() { v } else { self.rounded(node, v) }
    }

    fn push(
        &mut self,
        node: &'n Node,
        op: &'n Op,
        operands: Vec<ValueId>,
        shape: Shape,
    ) -> ValueId {
        let id = self.values.len();
        for &operand in &operands {
            self.values[operand].users.push(id);
        }
        let (users, kept, quantization) = (Vec::new(), false, None);
        self.values.push(Value { node, op, operands, shape, users, kept, quantization });
        id
    }

    /// A copy, rounded as the node's value is.
    fn rounded(&mut self, node: &'n Node, v: ValueId) -> ValueId {
        let copy = self.push(node, COPY, vec![v], self.values[v].shape);
        self.values[copy].quantization = node.quantization;
        copy
    }

    /// A value of f32: the value itself, or a copy.
    fn number(&mut self, v: ValueId) -> ValueId {
        match self.values[v].quantization {
            None => v,
            Some(_) => self.push(self.values[v].node, COPY, vec![v], self.values[v].shape),
        }
    }

    /// The two operands of a sum's last addition.
    fn sum_all_but_last(&mut self, node: &'n Node, operands: &[ValueId]) -> Vec<ValueId> {
        let shape = self.values[operands[0]].shape;
        let (mut sum, last) = (operands[0], operands.len() - 1);
        for &operand in &operands[1..last] {
            let both = vec![self.number(sum), self.number(operand)];
            sum = self.push(node, &node.op, both, shape);
        }
        vec![sum, operands[last]]
    }

    /// The operands of a concatenation, each of which is used there alone and of its quantization.
    fn copy_shared(
        &mut self,
        node: &'n Node,
        operands: &[ValueId],
        shared: impl Iterator<Item = bool>,
    ) -> Vec<ValueId> {
        let mut own = |(&v, shared): (&ValueId, bool)| {
            let differs = self.values[v].quantization != node.quantization;
            if shared || differs { self.rounded(node, v) } else { v }
        };
        operands.iter().zip(shared).map(&mut own).collect()
    }
}

/// Facts about each node, collected before any value is made.
struct Facts {
    /// The node itself, or for an identity the node whose value it passes on.
    origin: Vec<usize>,
    /// Whether a kept node depends on it.
    live: Vec<bool>,
    /// Whether it, or an identity of it, is kept.
    kept: Vec<bool>,
    /// How often live nodes other than identities take its value as an operand.
    uses: Vec<usize>,
}

impl Facts {
    fn new(nodes: &[Node], kept: &[NodeId]) -> Self {
        let mut facts = Self {
            origin: (0..nodes.len()).collect(),
            live: vec![false; nodes.len()],
            kept: vec![false; nodes.len()],
            uses: vec![0; nodes.len()],
        };
        for (i, node) in nodes.iter().enumerate() {
            if is_identity(node, nodes) {
                facts.origin[i] = facts.origin[node.inputs[0].index()];
            }
        }
        for id in kept {
            facts.live[id.index()] = true;
            facts.kept[facts.origin[id.index()]] = true;
        }
        for (i, node) in nodes.iter().enumerate().rev() {
            if !facts.live[i] {
                continue;
            }
            for id in &node.inputs {
                facts.live[id.index()] = true;
                if facts.origin[i] == i {
                    facts.uses[facts.origin[id.index()]] += 1;
                }
            }
        }
        facts
    }

    /// Whether a node's value is used elsewhere than in the concatenation that takes it.
    fn is_shared(&self, id: NodeId) -> bool {
        let origin = self.origin[id.index()];
        origin == 0 || self.kept[origin] || self.uses[origin] > 1
    }
}

/// Whether a node passes its operand on, rounded no further.
fn is_identity(node: &Node, nodes: &[Node]) -> bool {
    matches!(node.op, Op::Identity | Op::Activation(Activation::None))
        && node.quantization == nodes[node.inputs[0].index()].quantization
}
