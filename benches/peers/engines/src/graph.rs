//! The ONNX file as a list of steps, for the engines that are libraries of operations.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};
use tract_onnx::prelude::Framework;

#[derive(Clone)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

pub enum Op {
    Conv {
        kernel: Tensor,
        bias: Option<Tensor>,
        stride: [usize; 2],
        pads: [(usize, usize); 2],
        groups: usize,
    },
    Relu,
    MaxPool {
        kernel: [usize; 2],
        stride: [usize; 2],
        pads: [(usize, usize); 2],
    },
    Add,
    /// To N×C×1×1.
    GlobalAveragePool,
    /// Nothing: the output of the pool is taken as it is.
    Flatten,
    /// N×C×1×1 by `kernel`, C×D, to N×D×1×1.
    Gemm {
        kernel: Tensor,
        bias: Tensor,
    },
}

/// One operation. Values are numbered: the input, then the nodes' outputs.
pub struct Node {
    pub op: Op,
    pub inputs: Vec<usize>,
    /// Values that nobody reads after this node.
    pub last: Vec<usize>,
}

pub struct Graph {
    pub nodes: Vec<Node>,
}

impl Graph {
    pub fn read(path: &Path) -> Result<Self> {
        let proto = tract_onnx::onnx().proto_model_for_path(path)?;
        let graph = proto.graph.context("no graph")?;
        let weights: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
        let mut values = HashMap::from([(graph.input[0].name.as_str(), 0)]);
        let mut nodes = Vec::new();
        for node in &graph.node {
            let op = operation(node, &weights).with_context(|| node.name.clone())?;
            let inputs = node.input.iter().filter(|name| !weights.contains_key(name.as_str()));
            let inputs = inputs.map(|name| values.get(name.as_str()).copied().context("order"));
            nodes.push(Node { op, inputs: inputs.collect::<Result<_>>()?, last: Vec::new() });
            values.insert(&node.output[0], nodes.len());
        }
        let mut last = HashMap::new();
        for (i, node) in nodes.iter().enumerate() {
            last.extend(node.inputs.iter().map(|&value| (value, i)));
        }
        for (value, i) in last {
            nodes[i].last.push(value);
        }
        Ok(Self { nodes })
    }
}

fn operation(node: &NodeProto, weights: &HashMap<&str, &TensorProto>) -> Result<Op> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let weight =
        |i: usize| node.input.get(i).map(|name| tensor(weights[name.as_str()])).transpose();
    Ok(match node.op_type.as_str() {
        "Conv" => Op::Conv {
            kernel: weight(1)?.context("no kernel")?,
            bias: weight(2)?,
            stride: pair(attribute("strides"))?,
            pads: pads(attribute("pads"))?,
            groups: attribute("group").map_or(1, |a| a.i as usize),
        },
        "MaxPool" => Op::MaxPool {
            kernel: pair(attribute("kernel_shape"))?,
            stride: pair(attribute("strides"))?,
            pads: pads(attribute("pads"))?,
        },
        "Gemm" => Op::Gemm {
            kernel: weight(1)?.context("no kernel")?,
            bias: weight(2)?.context("no bias")?,
        },
        "Relu" => Op::Relu,
        "Add" => Op::Add,
        "GlobalAveragePool" => Op::GlobalAveragePool,
        "Flatten" => Op::Flatten,
        other => bail!("{other} isn't known"),
    })
}

fn tensor(proto: &TensorProto) -> Result<Tensor> {
    let shape: Vec<_> = proto.dims.iter().map(|&d| d as usize).collect();
    let values = proto.raw_data.chunks_exact(4);
    let data: Vec<_> = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    ensure!(data.len() == shape.iter().product(), "{}: not raw f32", proto.name);
    Ok(Tensor { shape, data })
}

fn pair(attribute: Option<&AttributeProto>) -> Result<[usize; 2]> {
    match attribute.context("missing")?.ints[..] {
        [a, b] => Ok([a as usize, b as usize]),
        ref other => bail!("{other:?} is not a pair"),
    }
}

/// Before and after, of rows and of columns.
fn pads(attribute: Option<&AttributeProto>) -> Result<[(usize, usize); 2]> {
    match attribute.context("missing")?.ints[..] {
        [a, b, c, d] => Ok([(a as usize, c as usize), (b as usize, d as usize)]),
        ref other => bail!("{other:?} are not four"),
    }
}
