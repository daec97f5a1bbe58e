//! An ONNX file as a list of steps, for an engine that is a library of operations. It knows what
//! `export.py` writes.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rten_onnx::onnx::{AttributeProto, ModelProto, NodeProto, TensorProto};

/// A constant.
#[derive(Debug, Clone)]
pub struct Constant {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// Padding is the same on all sides, and both axes have one stride.
#[derive(Debug, Clone)]
pub enum Op {
    /// Weights are \[O, I / groups, kh, kw\].
    Conv {
        weights: Constant,
        bias: Constant,
        stride: usize,
        pad: usize,
        groups: usize,
    },
    /// min(hi, max(0, x)).
    Clip {
        hi: Option<f32>,
    },
    MaxPool {
        kernel: usize,
        stride: usize,
        pad: usize,
    },
    Add,
    GlobalAveragePool,
    Flatten,
    /// Weights are \[I, O\].
    Gemm {
        weights: Constant,
        bias: Constant,
    },
}

/// A step. The network's input is value 0, the i-th step's output is i + 1.
#[derive(Debug, Clone)]
pub struct Step {
    pub op: Op,
    pub inputs: Vec<usize>,
}

/// Reads the steps, in the order in which they are computed. The last one's output is the
/// network's.
///
/// # Errors
/// The file can't be read, or has what `export.py` doesn't write.
pub fn read(path: &Path) -> Result<Vec<Step>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let graph = ModelProto::parse_file(file)?.graph.context("no graph")?;
    let mut constants = HashMap::new();
    for proto in &graph.initializer {
        constants.insert(proto.name.as_deref().context("no name")?, constant(proto)?);
    }
    let input = graph.input.first().context("no input")?;
    let mut values = HashMap::from([(input.name.as_deref().context("no name")?, 0)]);
    let mut steps = Vec::new();
    for node in &graph.node {
        let op = operation(node, &constants).with_context(|| format!("{:?}", node.name))?;
        let inputs = node.input.iter().filter(|name| !constants.contains_key(name.as_str()));
        let inputs = inputs.map(|name| {
            values.get(name.as_str()).copied().with_context(|| format!("no value {name}"))
        });
        steps.push(Step { op, inputs: inputs.collect::<Result<_>>()? });
        values.insert(&node.output[0], steps.len());
    }
    Ok(steps)
}

fn operation(node: &NodeProto, constants: &HashMap<&str, Constant>) -> Result<Op> {
    let attribute = |name: &str| {
        let found = node.attribute.iter().find(|a| a.name.as_deref() == Some(name));
        found.with_context(|| format!("no {name}"))
    };
    let constant = |i: usize| {
        let found = node.input.get(i).and_then(|name| constants.get(name.as_str()));
        found.cloned().with_context(|| format!("operand {i} isn't constant"))
    };
    Ok(match node.op_type.as_deref() {
        Some("Conv") => Op::Conv {
            weights: constant(1)?,
            bias: constant(2)?,
            stride: same(attribute("strides")?)?,
            pad: same(attribute("pads")?)?,
            groups: usize::try_from(attribute("group")?.i.context("no number")?)?,
        },
        Some("MaxPool") => Op::MaxPool {
            kernel: same(attribute("kernel_shape")?)?,
            stride: same(attribute("strides")?)?,
            pad: same(attribute("pads")?)?,
        },
        Some("Gemm") => Op::Gemm { weights: constant(1)?, bias: constant(2)? },
        Some("Relu") => Op::Clip { hi: None },
        Some("Clip") => {
            ensure!(constant(1)?.data == [0.0], "the lower bound isn't 0");
            Op::Clip { hi: constant(2)?.data.first().copied() }
        }
        Some("Add") => Op::Add,
        Some("GlobalAveragePool") => Op::GlobalAveragePool,
        Some("Flatten") => Op::Flatten,
        other => bail!("{other:?} isn't known"),
    })
}

fn constant(proto: &TensorProto) -> Result<Constant> {
    let shape = proto.dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>()?;
    let raw = proto.raw_data.as_ref().context("no raw data")?.borrow();
    let (values, _) = raw.as_chunks();
    let data: Vec<_> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    ensure!(data.len() == shape.iter().product::<usize>(), "{:?}: not raw f32", proto.name);
    Ok(Constant { shape, data })
}

/// The number that all elements of the attribute are.
fn same(attribute: &AttributeProto) -> Result<usize> {
    let first = *attribute.ints.first().context("empty")?;
    ensure!(attribute.ints.iter().all(|&i| i == first), "{:?}: not all equal", attribute.ints);
    Ok(usize::try_from(first)?)
}
