//! Reads and writes whole models as safetensors: the format of `sepconv quantize`.
//!
//! The header's `__metadata__` has `format` = "sepconv", `version` = "1" and `model`, a text of
//! JSON with the network and what else is known of the model. Tensors are called `LAYER/VARIABLE`,
//! in the layout that [`Op`](crate::network::Op) documents: F32, or for kernels I8, with F32 scales
//! by output channel called `LAYER/VARIABLE/scales`. There are no others.

mod fields;
mod operation;

use std::collections::BTreeMap;

use ::safetensors::tensor::{Dtype, TensorInfo};
use serde_json::{Map, Value as Json, json};

use self::fields::{Fields, Result, brief, number, size};
use super::metadata::{Crop, Link, Metadata, Resize, Scaling};
use super::safetensors::{File, MAX_HEADER};
use super::{Int8Tensor, Model, Tensor, Variable, Weights, variables};
use crate::network::{Network, NodeId, Output, output_channels};
use sepconv_kernels::Quantization;

const FORMAT: &str = "sepconv";
const VERSION: &str = "1";

/// Whether the header says that the file is of this format.
pub(super) fn recognises(file: &File) -> bool {
    file.metadata("format") == Some(FORMAT)
}

// ---------------------------------------------------------------- reading

/// Loads a model.
pub(super) fn load(file: &File) -> Result<Model> {
    match file.metadata("version") {
        Some(VERSION) => {}
        other => {
            let got = other.unwrap_or("none");
            return Err(format!("expected version {VERSION} of the format, got {got:?}"));
        }
    }
    let text = file.metadata("model").ok_or("the header has no model")?;
    let json: Json = serde_json::from_str(text).map_err(|e| format!("model: {e}"))?;
    let model = Fields::of(&json, "model")?;
    let network = network(model).map_err(|e| format!("model: {e}"))?;
    let weights = weights(file, &network)?;
    let metadata = metadata(model).map_err(|e| format!("model: {e}"))?;
    Ok(Model { network, weights, metadata })
}

/// Loads the weights of a network. The file must have exactly its tensors.
pub(super) fn weights(file: &File, network: &Network) -> Result<Weights> {
    let mut left = file.tensors();
    let mut weights = Weights::default();
    for variable in variables(network).map_err(|e| e.to_string())? {
        let name = format!("{}/{}", variable.layer, variable.name);
        let inserted = insert(file, &mut left, &variable, &name, &mut weights);
        inserted.map_err(|e| format!("tensor {name:?}: {e}"))?;
    }
    match left.first_key_value() {
        None => Ok(weights),
        Some((name, info)) => {
            let (network, shape) = (network.name(), &info.shape);
            Err(format!("{network:?} has no tensor {name:?} (shape {shape:?})"))
        }
    }
}

fn insert(
    file: &File,
    left: &mut BTreeMap<String, &TensorInfo>,
    variable: &Variable,
    name: &str,
    weights: &mut Weights,
) -> Result<()> {
    let Variable { layer, name: kind, shape, .. } = variable;
    let info = left.remove(name).ok_or_else(|| format!("missing; expected shape {shape:?}"))?;
    let inserted = if info.dtype == Dtype::I8 && kind.ends_with("kernel") {
        let scales = format!("{name}/scales");
        let of_scales = left.remove(&scales).ok_or_else(|| format!("{scales:?} is missing"))?;
        let scales = file.floats(of_scales, &[output_channels(kind, shape)]);
        let scales = scales.map_err(|e| format!("scales: {e}"))?;
        let data = file.integers(info, shape)?;
        weights.insert_int8(layer, kind, Int8Tensor { shape: shape.clone(), data, scales })
    } else {
        let data = file.floats(info, shape)?;
        weights.insert(layer, kind, Tensor { shape: shape.clone(), data })
    };
    inserted.map_err(|e| e.to_string())
}

fn network(model: Fields<'_>) -> Result<Network> {
    let input = Fields::of(model.get("input").unwrap_or(&Json::Null), "input")?;
    let size = match input.get("size").and_then(Json::as_array).map(|list| &list[..]) {
        Some([height, width]) => [side(height)?, side(width)?],
        _ => return Err("input: size: expected height and width, each a number or null".into()),
    };
    let (name, input_name, channels) =
        (model.text("name")?, input.text("name")?, input.count("channels")?);
    let steps = input.get("steps").filter(|steps| !steps.is_null());
    let steps = steps.map(|_| input.count("steps")).transpose()?;
    let mut network = match (input.flag_or("sequence", false)?, size, steps) {
        (false, [height, width], Some(steps)) => {
            if height.is_some_and(|height| !height.is_multiple_of(steps)) {
                return Err(format!("input: expected {steps} pictures, got a size of {size:?}"));
            }
            let size = [height.map(|height| height / steps), width];
            Network::of_picture_sequences(name, input_name, steps, size, channels)
        }
        (false, _, None) => Network::new(name, input_name, size, channels),
        (true, [Some(1), length], _) => Network::of_sequences(name, input_name, length, channels),
        (true, [height, _], _) => {
            return Err(format!("input: expected a sequence of height 1, got {height:?}"));
        }
    };
    quantize(&mut network, NodeId::FIRST, input).map_err(|e| format!("input: {e}"))?;
    for (i, json) in model.list("nodes")?.iter().enumerate() {
        let pushed = Fields::of(json, "node").and_then(|node| push(&mut network, node));
        pushed.map_err(|e| format!("node {}: {e}", i + 1))?;
    }
    let nodes = network.nodes().len();
    let id = |n: usize| match n < nodes {
        true => Ok(NodeId(n)),
        false => Err(format!("node {n} does not exist: there are {nodes}")),
    };
    let mut outputs = Vec::new();
    for json in model.list("outputs")? {
        let output = Fields::of(json, "output")?;
        let [node] = output.sizes("node", 0)?;
        outputs.push(Output { name: output.text("name")?.into(), node: id(node)? });
    }
    let [returned] = model.sizes("returned", 0)?;
    network.set_ends(outputs, id(returned)?).map_err(|e| e.to_string())?;
    Ok(network)
}

/// A side of the input, null if it may be any.
fn side(json: &Json) -> Result<Option<usize>> {
    match json {
        Json::Null => Ok(None),
        json => match size(json).filter(|&side| side > 0) {
            Some(side) => Ok(Some(side)),
            None => Err(format!("input: size: expected a number above 0, got {}", brief(json))),
        },
    }
}

fn push(network: &mut Network, node: Fields<'_>) -> Result<()> {
    let name = node.text("name")?;
    let layer = if node.get("layer").is_some() { node.text("layer")? } else { name };
    let operands = node.list("operands")?;
    let id = |json: &Json| {
        let id = size(json).filter(|&id| id < network.nodes().len()).map(NodeId);
        id.ok_or_else(|| format!("operands: expected nodes before {name:?}, got {}", brief(json)))
    };
    let operands: Vec<NodeId> = operands.iter().map(id).collect::<Result<_>>()?;
    let op = operation::read(node).map_err(|e| format!("{name:?}: {e}"))?;
    let id = network.push_for_layer(name, layer, op, &operands).map_err(|e| e.to_string())?;
    quantize(network, id, node)
}

/// Reads a node's quantization, \[scale, zero point\].
fn quantize(network: &mut Network, id: NodeId, node: Fields<'_>) -> Result<()> {
    let Some(json) = node.get("quantization") else { return Ok(()) };
    let zero_point = |json: &Json| json.as_i64().and_then(|z| i32::try_from(z).ok());
    let quantization = match json.as_array().map(|list| &list[..]) {
        Some([scale, zero]) => number(scale)
            .zip(zero_point(zero))
            .map(|(scale, zero_point)| Quantization::new(scale as f32, zero_point)),
        _ => None,
    };
    let Some(quantization) = quantization else {
        return Err(format!(
            "quantization: expected a scale and a zero point, got {}",
            brief(json)
        ));
    };
    network.set_quantization(id, Some(quantization)).map_err(|e| e.to_string())
}

fn metadata(model: Fields<'_>) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    if let Some(json) = model.get("pictures") {
        let pictures = Fields::of(json, "pictures")?;
        let named = |name: &str| Scaling::ALL.into_iter().find(|scaling| scaling.name() == name);
        let scaling = pictures.text("scaling")?;
        let known = named(scaling).ok_or_else(|| format!("scaling: {scaling:?} is not known"))?;
        metadata.scaling = Some((known, pictures.text("why")?.into()));
        let numbers = |key: &str| match pictures.get(key) {
            None => Ok(Vec::new()),
            Some(_) => Ok::<_, String>(pictures.numbers(key)?.iter().map(|&x| x as f32).collect()),
        };
        (metadata.mean, metadata.std) = (numbers("mean")?, numbers("std")?);
    }
    if model.get("resize").is_some() {
        let name = model.text("resize")?;
        let known = Resize::ALL.into_iter().find(|resize| resize.name() == name);
        metadata.resize = Some(known.ok_or_else(|| format!("resize: {name:?} is not known"))?);
    }
    if let Some(json) = model.get("crop") {
        let crop = Fields::of(json, "crop")?;
        let share = crop.number("share")?;
        if !(share > 0.0 && share <= 1.0) {
            return Err(format!("crop: expected a share above 0, at most 1, got {share}"));
        }
        metadata.crop = Some(Crop { share, squash: crop.flag("squash")? });
    }
    metadata.logits = match model.get("logits").map(|_| model.text("logits")).transpose()? {
        None => None,
        Some("softmax") => Some(Link::Softmax),
        Some("sigmoid") => Some(Link::Sigmoid),
        Some(other) => return Err(format!("logits: expected softmax or sigmoid, got {other:?}")),
    };
    if model.get("labels").is_some() {
        let label = |json: &Json| json.as_str().map(str::to_owned);
        let labels = model.list("labels")?.iter().map(label).collect::<Option<Vec<_>>>();
        metadata.labels = Some(labels.ok_or("labels: expected strings")?);
    }
    Ok(metadata)
}

// ---------------------------------------------------------------- writing

/// The file of a model.
pub(super) fn write(model: &Model) -> Result<Vec<u8>> {
    let Model { network, weights, .. } = model;
    let text = describe(model)?.to_string();
    let mut header = Map::new();
    let metadata = json!({"format": FORMAT, "version": VERSION, "model": text});
    header.insert("__metadata__".into(), metadata);
    let mut data: Vec<u8> = Vec::new();
    let mut add =
        |name: String, dtype: &str, shape: &[usize], bytes: &mut dyn Iterator<Item = u8>| {
            let start = data.len();
            data.extend(bytes);
            let place = [start, data.len()];
            header.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": place}));
        };
    // Those of four bytes first, so that all are aligned.
    let mut integers: Vec<(String, &Int8Tensor)> = Vec::new();
    for Variable { layer, name: kind, shape, .. } in
        variables(network).map_err(|e| e.to_string())?
    {
        let name = format!("{layer}/{kind}");
        let wrong =
            |got: &[usize]| format!("tensor {name:?}: expected shape {shape:?}, got {got:?}");
        match weights.find_int8(&layer, kind) {
            Some(tensor) if tensor.shape != shape => return Err(wrong(&tensor.shape)),
            Some(tensor) => {
                let mut bytes = tensor.scales.iter().flat_map(|x| x.to_le_bytes());
                add(format!("{name}/scales"), "F32", &[tensor.scales.len()], &mut bytes);
                integers.push((name, tensor));
            }
            None => {
                let numbers = weights.get(&layer, kind, &shape).map_err(|e| e.to_string())?;
                let mut bytes = numbers.iter().flat_map(|x| x.to_le_bytes());
                add(name, "F32", &shape, &mut bytes);
            }
        }
    }
    for (name, tensor) in integers {
        let mut bytes = tensor.data.iter().map(|&x| x as u8);
        add(name, "I8", &tensor.shape, &mut bytes);
    }
    let mut header = Json::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > MAX_HEADER {
        let bytes = header.len();
        return Err(format!("the header would have {bytes} bytes; at most {MAX_HEADER} are read"));
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.reserve_exact(header.len() + data.len());
    file.append(&mut header);
    file.append(&mut data);
    Ok(file)
}

/// The network and what else is known of the model.
fn describe(model: &Model) -> Result<Json> {
    let Model { network, metadata, .. } = model;
    let quantization = |id: usize| {
        let quantization = network.nodes()[id].quantization;
        quantization.map(|q| json!([q.scale, q.zero_point]))
    };
    let (size, channels) = network.input();
    let mut nodes = Vec::new();
    for (i, node) in network.nodes().iter().enumerate().skip(1) {
        let unknown = || format!("node {:?}: the format has no word for {:?}", node.name, node.op);
        let mut json = operation::write(&node.op).ok_or_else(unknown)?;
        json["name"] = json!(node.name);
        if node.layer != node.name {
            json["layer"] = json!(node.layer);
        }
        json["operands"] = node.inputs.iter().map(|id| id.index()).collect();
        if let Some(quantization) = quantization(i) {
            json["quantization"] = quantization;
        }
        nodes.push(json);
    }
    let output = |output: &Output| json!({"name": output.name, "node": [output.node.index()]});
    let mut json = json!({
        "name": network.name(),
        "input": {
            "name": network.nodes()[0].name, "size": size, "channels": channels,
            "sequence": network.is_of_sequences(),
            "steps": network.input_steps(),
            "quantization": quantization(0),
        },
        "nodes": nodes,
        "outputs": network.outputs().iter().map(output).collect::<Vec<_>>(),
        "returned": [network.output().index()],
    });
    let Metadata { scaling, logits, labels, mean, std, resize, crop, .. } = metadata;
    if let Some((scaling, why)) = scaling {
        json["pictures"] = json!({"scaling": scaling.name(), "why": why, "mean": mean, "std": std});
    }
    if let Some(resize) = resize {
        json["resize"] = json!(resize.name());
    }
    if let Some(Crop { share, squash }) = crop {
        json["crop"] = json!({"share": share, "squash": squash});
    }
    if let Some(link) = logits {
        json["logits"] = json!(if *link == Link::Sigmoid { "sigmoid" } else { "softmax" });
    }
    if let Some(labels) = labels {
        json["labels"] = json!(labels);
    }
    Ok(json)
}
