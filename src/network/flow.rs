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
//! - If values are quantized, kernels read copies of the input and of the results of plain loops,
//!   which stay f32: a copy is where they become integers.

use sepconv_kernels::Activation;

use super::fuse::is_plain;
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
    /// The flow that computes the nodes `kept` from an input of shape `input`, of values that are
    /// `quantized` or not.
    pub(super) fn new(
        network: &'n Network,
        input: Shape,
        kept: &[NodeId],
        quantized: bool,
    ) -> Result<Self> {
        let nodes = network.nodes();
        let facts = Facts::new(nodes, kept);
        let mut flow = Self { values: Vec::new(), kept: Vec::new() };
        let shape = shape::infer_input(&nodes[0], network.input().1, input)?;
        flow.push(&nodes[0], &nodes[0].op, Vec::new(), shape, false);

        let mut value_of = vec![0; nodes.len()];
        if quantized && facts.uses[0] > 0 {
            value_of[0] = flow.push(&nodes[0], COPY, vec![0], shape, false);
        }
        for (i, node) in nodes.iter().enumerate().skip(1) {
            if !facts.live[i] {
                continue;
            }
            let operands: Vec<_> = node.inputs.iter().map(|id| value_of[id.index()]).collect();
            if is_identity(&node.op) {
                value_of[i] = operands[0];
                continue;
            }
            let shapes: Vec<_> = operands.iter().map(|&v| flow.values[v].shape).collect();
            let shape = shape::infer(node, &shapes)?;
            let operands = match node.op {
                Op::Add => flow.sum_all_but_last(node, &operands),
                Op::Concat => {
                    let shared = node.inputs.iter().map(|&id| facts.is_shared(id));
                    flow.copy_shared(node, &operands, shared)
                }
                _ => operands,
            };
            value_of[i] = flow.push(node, &node.op, operands, shape, facts.kept[i]);
            if quantized && is_plain(&node.op) && facts.uses[i] > 0 && !facts.kept[i] {
                value_of[i] = flow.push(node, COPY, vec![value_of[i]], shape, false);
            }
        }
        if facts.kept[0] {
            value_of[0] = flow.push(&nodes[0], COPY, vec![0], shape, true);
        }
        flow.kept = kept.iter().map(|&id| value_of[facts.origin[id.index()]]).collect();
        Ok(flow)
    }

    fn push(
        &mut self,
        node: &'n Node,
        op: &'n Op,
        operands: Vec<ValueId>,
        shape: Shape,
        kept: bool,
    ) -> ValueId {
        let id = self.values.len();
        for &operand in &operands {
            self.values[operand].users.push(id);
        }
        self.values.push(Value { node, op, operands, shape, users: Vec::new(), kept });
        id
    }

    /// The two operands of a sum's last addition.
    fn sum_all_but_last(&mut self, node: &'n Node, operands: &[ValueId]) -> Vec<ValueId> {
        let shape = self.values[operands[0]].shape;
        let mut sum = operands[0];
        for &operand in &operands[1..operands.len() - 1] {
            sum = self.push(node, &node.op, vec![sum, operand], shape, false);
        }
        vec![sum, operands[operands.len() - 1]]
    }

    fn copy_shared(
        &mut self,
        node: &'n Node,
        operands: &[ValueId],
        shared: impl Iterator<Item = bool>,
    ) -> Vec<ValueId> {
        let mut copy = |v: ValueId| self.push(node, COPY, vec![v], self.values[v].shape, false);
        operands.iter().zip(shared).map(|(&v, shared)| if shared { copy(v) } else { v }).collect()
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
            if is_identity(&node.op) {
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
                if !is_identity(&node.op) {
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

fn is_identity(op: &Op) -> bool {
    matches!(op, Op::Identity | Op::Activation(Activation::None))
}
