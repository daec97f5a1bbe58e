//! Turns a model's operators into a [`Network`] with weights.
//!
//! Every operator that an output depends on becomes one node, or a few: a fused activation, a
//! flattening before a fully connected layer. Nodes have the names of the tensors that they
//! compute.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::operators;
use super::schema::{Model, Operator, Tensor, dtype};
use crate::network::{Border, Network, NodeId, Op, Output, Picture, infer_picture};
use crate::weights::{self, Int8Tensor, Weights};

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// The most operators that an error lists.
const MAX_LISTED: usize = 12;
/// The most characters of a name.
const MAX_NAME: usize = 200;

/// What an operator has computed.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) node: NodeId,
    pub(super) picture: Picture,
    /// If it is the output of zero paddings: the value before them, and their sum. A following
    /// window uses these instead.
    pub(super) pad: Option<(NodeId, Picture, Border)>,
}

impl Value {
    pub(super) fn channels(&self) -> usize {
        self.picture.channels
    }
}

pub(super) struct Builder<'m, 'f, 'a> {
    pub(super) model: &'m Model<'f, 'a>,
    pub(super) network: Network,
    pub(super) weights: Weights,
    /// What tensors hold so far; none if the operator could not be read.
    values: HashMap<usize, Option<Value>>,
    /// The operator that computes a tensor.
    pub(super) producers: HashMap<usize, usize>,
    /// The number of times that a name was wanted.
    names: HashMap<String, usize>,
    taken: HashSet<String>,
    /// The layers of pairs of weights and biases, which operators may share.
    pub(super) layers: HashMap<(i32, usize, Option<usize>), String>,
    /// The number of elements of constants that may still be read.
    left: usize,
}

/// The network and its weights. The file has so many bytes.
pub(super) fn build(model: &Model<'_, '_>, bytes: usize) -> Result<(Network, Weights)> {
    let mut producers = HashMap::new();
    for (i, operator) in model.operators.iter().enumerate() {
        for &output in &operator.outputs {
            if let Some(other) = producers.insert(output, i) {
                return Err(format!("operators {other} and {i} both compute tensor {output}"));
            }
        }
    }
    let (index, name, size, channels) = input(model)?;
    let mut builder = Builder {
        model,
        network: Network::new(model.name, &name, size, channels),
        weights: Weights::default(),
        values: HashMap::new(),
        producers,
        names: HashMap::new(),
        taken: HashSet::from([name]),
        layers: HashMap::new(),
        left: 2 * bytes,
    };
    builder.types()?;
    let size = size[0].zip(size[1]).map(|(h, w)| [h, w]);
    let picture = Picture { size, channels };
    builder.values.insert(index, Some(Value { node: NodeId::FIRST, picture, pad: None }));
    let quantization = model.tensors[index].quantization();
    let quantization = quantization.map_err(|e| format!("the input: {e}"))?;
    builder.network.set_quantization(NodeId::FIRST, quantization).map_err(|e| e.to_string())?;
    builder.operators()?;
    builder.outputs()?;
    Ok((builder.network, builder.weights))
}

/// The number, name, height, width and channels of the only input.
fn input(model: &Model<'_, '_>) -> Result<(usize, String, [Option<usize>; 2], usize)> {
    let &[index] = &model.inputs[..] else {
        return Err(format!("it has {} inputs; only one is supported", model.inputs.len()));
    };
    let tensor = &model.tensors[index];
    let &[_, height, width, channels] = &tensor.shape[..] else {
        let shape = &tensor.shape;
        return Err(format!(
            "the input {:?} has shape {shape:?}; expected [batch, height, width, channels]",
            short(tensor.name)
        ));
    };
    let side = |axis: usize, side: usize| (!tensor.open[axis]).then_some(side);
    let size = [side(1, height), side(2, width)];
    if tensor.open[3] || channels == 0 || size.contains(&Some(0)) {
        let (name, shape) = (short(tensor.name), &tensor.shape);
        return Err(format!("the input {name:?} has shape {shape:?}; no dimension may be 0"));
    }
    let name = short(tensor.name);
    Ok((index, if name.is_empty() { "input".into() } else { name }, size, channels))
}

/// The first of the names that the converter has joined, cut to a bearable length.
fn short(name: &str) -> String {
    name.split(';').next().unwrap_or_default().chars().take(MAX_NAME).collect()
}

impl<'m, 'a> Builder<'m, '_, 'a> {
    /// Checks the types of the input and of all tensors of operators that an output depends on. The
    /// error names each unsupported type, and the operators that aren't supported either.
    fn types(&self) -> Result<()> {
        let needed = self.needed();
        let operators = self.model.operators.iter().zip(needed);
        let operators: Vec<_> = operators.filter_map(|(o, needed)| needed.then_some(o)).collect();
        let tensors = operators.iter().flat_map(|operator| {
            operator.inputs.iter().copied().flatten().chain(operator.outputs.iter().copied())
        });
        let mut types: BTreeMap<u8, BTreeSet<usize>> = BTreeMap::new();
        for tensor in tensors.chain(self.model.inputs.iter().copied()) {
            types.entry(self.model.tensors[tensor].dtype).or_default().insert(tensor);
        }
        types.retain(|dtype, _| !dtype::READ.contains(dtype));
        if types.is_empty() {
            return Ok(());
        }
        let each = types.iter().map(|(&dtype, tensors)| {
            let first = tensors.first().map(|&tensor| short(self.model.tensors[tensor].name));
            let (name, count) = (dtype::name(dtype), tensors.len());
            format!("{name} ({count}, first {:?})", first.unwrap_or_default())
        });
        let each: Vec<String> = each.collect();
        let mut message = format!("tensors of {} are not supported", each.join(" and "));
        let unknown = operators.iter().filter(|operator| !operators::is_known(operator));
        let unknown: BTreeSet<String> = unknown.map(|o| operators::name(o)).collect();
        if !unknown.is_empty() {
            let listed: Vec<_> = unknown.iter().take(MAX_LISTED).map(String::as_str).collect();
            let more = unknown.len() - listed.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            message += &format!("; nor are the operators {}{more}", listed.join(", "));
        }
        Err(message)
    }

    /// Appends all operators that an output depends on. The error names each one that can't be
    /// read.
    fn operators(&mut self) -> Result<()> {
        let needed = self.needed();
        let model = self.model;
        let mut errors = Vec::new();
        for (i, operator) in model.operators.iter().enumerate().filter(|(i, _)| needed[*i]) {
            if operator.outputs.iter().any(|&output| self.constant(output).is_some()) {
                continue;
            }
            let value = match self.unreadable(operator) {
                true if operators::is_known(operator) => Ok(None),
                true => Err("it is not supported".into()),
                false => self.append(operator).map(Some),
            };
            let value = value.unwrap_or_else(|why: String| {
                let kind = operators::name(operator);
                let name = operator.outputs.first().map(|&o| short(model.tensors[o].name));
                errors
                    .push(format!("operator {i} ({kind}, {:?}): {why}", name.unwrap_or_default()));
                None
            });
            for &output in &operator.outputs {
                self.values.insert(output, value.clone());
            }
        }
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            n => {
                let more = n.saturating_sub(MAX_LISTED);
                errors.truncate(MAX_LISTED);
                let more = if more > 0 { format!("; and {more} more") } else { String::new() };
                Err(format!("{n} operators can't be read: {}{more}", errors.join("; ")))
            }
        }
    }

    /// Appends an operator, whose value is rounded to integers if its tensor has them.
    fn append(&mut self, operator: &Operator<'_, '_>) -> Result<Value> {
        let &output = operator.outputs.first().ok_or("it has no output")?;
        let quantization = self.model.tensors[output].quantization()?;
        let value = operators::append(self, operator)?;
        let set = self.network.set_quantization(value.node, quantization);
        set.map_err(|e| e.to_string())?;
        Ok(value)
    }

    /// The operators that an output depends on. Shapes are known without the operators that compute
    /// them.
    fn needed(&self) -> Vec<bool> {
        let mut needed = vec![false; self.model.operators.len()];
        let mut open: Vec<usize> = self.model.outputs.clone();
        while let Some(tensor) = open.pop() {
            if let Some(&i) = self.producers.get(&tensor)
                && !std::mem::replace(&mut needed[i], true)
            {
                open.extend(operators::operands(&self.model.operators[i]));
            }
        }
        needed
    }

    /// Whether an operand depends on an operator that can't be read.
    fn unreadable(&self, operator: &Operator<'_, '_>) -> bool {
        operators::operands(operator).any(|tensor| matches!(self.values.get(&tensor), Some(None)))
    }

    /// Sets the network's outputs, each once.
    fn outputs(&mut self) -> Result<()> {
        let mut outputs: Vec<Output> = Vec::new();
        for &tensor in &self.model.outputs {
            let node = self.value(tensor)?.node;
            if outputs.iter().all(|output| output.node != node) {
                let signed = self.model.signature.iter().find(|&&(_, signed)| signed == tensor);
                let signed = signed.map(|&(name, _)| short(name)).filter(|name| {
                    !name.is_empty() && outputs.iter().all(|output| output.name != *name)
                });
                let name = signed.unwrap_or_else(|| self.network.node(node).name.clone());
                outputs.push(Output { name, node });
            }
        }
        self.network.set_outputs(outputs).map_err(|e| e.to_string())
    }

    /// What a tensor holds.
    pub(super) fn value(&self, tensor: usize) -> Result<Value> {
        let value = self.values.get(&tensor).cloned().flatten();
        value.ok_or_else(|| {
            let name = short(self.model.tensors[tensor].name);
            match self.constant(tensor) {
                Some(_) => format!("its operand {name:?} is a constant"),
                None => format!("its operand {name:?} is not computed before it"),
            }
        })
    }

    /// A tensor that is a constant, also one that an operator makes wider.
    pub(super) fn constant(&self, tensor: usize) -> Option<(usize, &'m Tensor<'a>)> {
        let model = self.model;
        let mut index = tensor;
        if let Some(&i) = self.producers.get(&tensor) {
            let operator = &model.operators[i];
            let &[Some(source)] = &operator.inputs[..] else { return None };
            if operator.code != operators::DEQUANTIZE || self.producers.contains_key(&source) {
                return None;
            }
            index = source;
        }
        let tensor = &model.tensors[index];
        (!tensor.data.is_empty()).then_some((index, tensor))
    }

    /// The elements of a constant, and its shape.
    pub(super) fn floats(&mut self, tensor: usize) -> Result<(Vec<f32>, Vec<usize>)> {
        let (name, found) = (short(self.model.tensors[tensor].name), self.constant(tensor));
        let (_, constant) = found.ok_or_else(|| format!("its operand {name:?} is no constant"))?;
        let error = |e: String| format!("tensor {name:?}: {e}");
        self.charge(constant.elements().map_err(error)?)?;
        Ok((constant.floats().map_err(error)?, constant.shape.clone()))
    }

    /// Counts elements of constants that are read, which are limited.
    fn charge(&mut self, elements: usize) -> Result<()> {
        let left = self.left.checked_sub(elements);
        self.left = left.ok_or("the model's operators share too many constants")?;
        Ok(())
    }

    /// A constant of 8-bit integers around 0 and their scales, if it is of such, with one scale or
    /// one for each index of dimension `axis`.
    pub(super) fn integers(
        &mut self,
        tensor: usize,
        axis: usize,
    ) -> Result<Option<(Vec<i8>, Vec<f32>)>> {
        let Some((_, constant)) = self.constant(tensor) else { return Ok(None) };
        if constant.scales.len() > 1 && constant.axis != axis {
            return Ok(None);
        }
        let name = short(constant.name);
        let error = |e: String| format!("tensor {name:?}: {e}");
        let integers = constant.int8().map_err(error)?;
        if let Some(integers) = &integers {
            self.charge(integers.len())?;
        }
        Ok(integers.map(|data| (data, constant.scales.clone())))
    }

    /// The elements of a constant that are indices.
    pub(super) fn indices(&self, tensor: Option<usize>) -> Result<Vec<i64>> {
        let tensor = tensor.ok_or("it has too few operands")?;
        let name = short(self.model.tensors[tensor].name);
        let (_, constant) =
            self.constant(tensor).ok_or_else(|| format!("its operand {name:?} is no constant"))?;
        constant.integers().map_err(|e| format!("tensor {name:?}: {e}"))
    }

    /// A name for what an operator computes.
    pub(super) fn name(&mut self, operator: &Operator<'_, '_>) -> Result<String> {
        let &output = operator.outputs.first().ok_or("it has no output")?;
        let tensor = &self.model.tensors[output];
        let mut name = short(tensor.name);
        if name.is_empty() {
            name = operators::name(operator).to_lowercase();
        }
        Ok(self.unique(&name))
    }

    /// A name that no node has.
    pub(super) fn unique(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        while !self.taken.insert(name.clone()) {
            let count = self.names.entry(base.into()).or_insert(1);
            *count += 1;
            name = format!("{base}:{count}");
        }
        name
    }

    /// Appends a node without weights.
    pub(super) fn push(&mut self, name: &str, op: Op, operands: &[&Value]) -> Result<Value> {
        self.push_for_layer(name, name, op, operands)
    }

    pub(super) fn push_for_layer(
        &mut self,
        name: &str,
        layer: &str,
        op: Op,
        operands: &[&Value],
    ) -> Result<Value> {
        let inputs: Vec<NodeId> = operands.iter().map(|value| value.node).collect();
        let node = self.network.push_for_layer(name, layer, op, &inputs);
        let node = node.map_err(|e| e.to_string())?;
        let pictures: Vec<Picture> = operands.iter().map(|value| value.picture).collect();
        let picture = infer_picture(self.network.node(node), &pictures);
        Ok(Value { node, picture: picture.map_err(|e| e.to_string())?, pad: None })
    }

    /// Adds a kernel of 8-bit integers, whose scales are one, or one for each output.
    pub(super) fn insert_int8(
        &mut self,
        layer: &str,
        variable: &str,
        shape: Vec<usize>,
        (data, mut scales): (Vec<i8>, Vec<f32>),
        outputs: usize,
    ) -> Result<()> {
        if let [scale] = scales[..] {
            scales = vec![scale; outputs];
        }
        let inserted =
            self.weights.insert_int8(layer, variable, Int8Tensor { shape, data, scales });
        inserted.map_err(|e| e.to_string())
    }

    /// Adds a tensor of weights.
    pub(super) fn insert(
        &mut self,
        layer: &str,
        variable: &str,
        shape: Vec<usize>,
        data: Vec<f32>,
    ) -> Result<()> {
        let inserted = self.weights.insert(layer, variable, weights::Tensor { shape, data });
        inserted.map_err(|e| e.to_string())
    }
}
