//! The ONNX file as a list of steps, for the engines that are libraries of operations.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};
use tract_onnx::prelude::Framework;

pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// Weights as ONNX has them; of windows, what concerns rows comes before what concerns columns, and
/// padding is before and after.
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
    GlobalAveragePool,
    Flatten,
    Gemm {
        kernel: Tensor,
        bias: Tensor,
    },
}

/// A value that a node reads. The network's input is value 0, the i-th node's output is i + 1.
#[derive(Clone, Copy)]
pub struct Source {
    pub value: usize,
    /// Nobody reads it later.
    pub last: bool,
}

pub struct Node {
    pub name: String,
    pub op: Op,
    pub inputs: Vec<Source>,
}

/// In the order in which they are to be computed. The last one's output is the network's.
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
            let inputs = inputs.map(|name| {
                let value = values.get(name.as_str()).with_context(|| format!("no {name}"))?;
                Ok(Source { value: *value, last: false })
            });
            let inputs = inputs.collect::<Result<_>>()?;
            nodes.push(Node { name: node.name.clone(), op, inputs });
            values.insert(&node.output[0], nodes.len());
        }
        let mut read = HashSet::new();
        for source in nodes.iter_mut().rev().flat_map(|node| node.inputs.iter_mut().rev()) {
            source.last = read.insert(source.value);
        }
        Ok(Self { nodes })
    }
}

fn operation(node: &NodeProto, weights: &HashMap<&str, &TensorProto>) -> Result<Op> {
    let attribute = |name: &str| {
        let found = node.attribute.iter().find(|a| a.name == name);
        found.with_context(|| format!("no {name}"))
    };
    let weight = |i: usize| {
        let proto = node.input.get(i).and_then(|name| weights.get(name.as_str()));
        proto.map(|proto| tensor(proto)).transpose()
    };
    Ok(match node.op_type.as_str() {
        "Conv" => Op::Conv {
            kernel: weight(1)?.context("no kernel")?,
            bias: weight(2)?,
            stride: pair(attribute("strides")?)?,
            pads: pads(attribute("pads")?)?,
            groups: attribute("group")?.i as usize,
        },
        "MaxPool" => Op::MaxPool {
            kernel: pair(attribute("kernel_shape")?)?,
            stride: pair(attribute("strides")?)?,
            pads: pads(attribute("pads")?)?,
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
    let (values, _) = proto.raw_data.as_chunks();
    let data: Vec<_> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    ensure!(data.len() == shape.iter().product::<usize>(), "{}: not raw f32", proto.name);
    Ok(Tensor { shape, data })
}

fn pair(attribute: &AttributeProto) -> Result<[usize; 2]> {
    match attribute.ints[..] {
        [a, b] => Ok([a as usize, b as usize]),
        ref other => bail!("{}: {other:?}, not two", attribute.name),
    }
}

fn pads(attribute: &AttributeProto) -> Result<[(usize, usize); 2]> {
    match attribute.ints[..] {
        [top, left, bottom, right] => {
            Ok([(top as usize, bottom as usize), (left as usize, right as usize)])
        }
        ref other => bail!("{}: {other:?}, not four", attribute.name),
    }
}
