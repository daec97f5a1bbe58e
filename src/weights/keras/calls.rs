//! How layers are called: what `inbound_nodes`, `input_layers` and `output_layers` say, in the
//! dialects of Keras 2 and 3.

use serde_json::Value as Json;

use super::json::{Result, brief, numbers, size};

/// One call of a layer.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) operands: Vec<Operand<'a>>,
    /// Whether it was called with `training=True`.
    pub(super) training: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand<'a> {
    Tensor(Reference<'a>),
    /// One number, or one for each channel.
    Constant(Vec<f64>),
}

/// An output of a call of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reference<'a> {
    pub(super) layer: &'a str,
    pub(super) call: usize,
    pub(super) output: usize,
}

impl<'a> Reference<'a> {
    /// `["layer", call, output, …]`
    fn new(json: &'a Json) -> Option<Self> {
        let number = |i: usize| json.get(i).and_then(size);
        Some(Self { layer: json.get(0)?.as_str()?, call: number(1)?, output: number(2)? })
    }
}

/// Whether this is Keras 2's dialect, whose calls are lists.
pub(super) fn is_keras2(layers: &[Json]) -> bool {
    let calls = layers.iter().filter_map(|layer| layer.get("inbound_nodes")?.get(0));
    calls.into_iter().any(Json::is_array)
}

/// The calls of a layer.
pub(super) fn calls(layer: &Json) -> Result<Vec<Call<'_>>> {
    let calls = layer.get("inbound_nodes").and_then(Json::as_array);
    let calls = calls.filter(|calls| !calls.is_empty()).ok_or("it is not called")?;
    calls.iter().map(call).collect()
}

fn call(json: &Json) -> Result<Call<'_>> {
    let mut call = Call::default();
    match json.get("args") {
        // Keras 3: {"args": [tensor or list of tensors], "kwargs": {…}}.
        Some(args) => {
            for argument in args.as_array().into_iter().flatten() {
                positional(argument, &mut call.operands)?;
            }
            let kwargs = json.get("kwargs").and_then(Json::as_object);
            for (key, value) in kwargs.into_iter().flatten() {
                keyword(key, value, &mut call)?;
            }
        }
        // Keras 2: ["layer", call, output, {…}], a list of such, or a dictionary.
        None => keras2(json, &mut call)?,
    }
    match call.operands.iter().any(|operand| matches!(operand, Operand::Tensor(_))) {
        true => Ok(call),
        false => Err("its operands are not understood".into()),
    }
}

/// Collects the operands of one positional argument.
fn positional<'a>(argument: &'a Json, operands: &mut Vec<Operand<'a>>) -> Result<()> {
    let history = argument.get("config").and_then(|config| config.get("keras_history"));
    if let Some(reference) = history.and_then(Reference::new) {
        operands.push(Operand::Tensor(reference));
        return Ok(());
    }
    let nested = |json: &Json| json.as_array().is_some_and(|list| list.iter().any(Json::is_object));
    if let Some(list) = argument.as_array().filter(|_| nested(argument)) {
        return list.iter().try_for_each(|item| positional(item, operands));
    }
    if let Some(constant) = numbers(argument) {
        operands.push(Operand::Constant(constant));
        return Ok(());
    }
    match argument.as_object().filter(|object| !object.contains_key("class_name")) {
        // A model with an input by name.
        Some(object) => object.values().try_for_each(|item| positional(item, operands)),
        None => Err(format!("its operand {} is not understood", brief(argument))),
    }
}

fn keras2<'a>(json: &'a Json, call: &mut Call<'a>) -> Result<()> {
    if let Some(object) = json.as_object() {
        return object.values().try_for_each(|item| keras2(item, call));
    }
    let list =
        json.as_array().ok_or_else(|| format!("its call {} is not understood", brief(json)))?;
    if !list.first().is_some_and(Json::is_string) {
        return list.iter().try_for_each(|item| keras2(item, call));
    }
    call.operands.push(keras2_operand(json)?);
    for (key, value) in json.get(3).and_then(Json::as_object).into_iter().flatten() {
        // The second operand of an operator.
        if ["y", "bias"].contains(&key.as_str()) {
            call.operands.push(match numbers(value) {
                Some(constant) => Operand::Constant(constant),
                None => keras2_operand(value)?,
            });
        } else {
            keyword(key, value, call)?;
        }
    }
    Ok(())
}

fn keras2_operand(json: &Json) -> Result<Operand<'_>> {
    let constant = json.get(0).and_then(Json::as_str) == Some("_CONSTANT_VALUE");
    let operand = match constant {
        true => json.get(2).and_then(numbers).map(Operand::Constant),
        false => Reference::new(json).map(Operand::Tensor),
    };
    operand.ok_or_else(|| format!("its operand {} is not understood", brief(json)))
}

/// An argument by keyword.
fn keyword<'a>(key: &str, value: &'a Json, call: &mut Call<'a>) -> Result<()> {
    match value {
        value if says_nothing(value) => Ok(()),
        // An operator's name in TensorFlow's graph, and the only layout that is read.
        Json::String(_) if key == "name" => Ok(()),
        Json::String(layout) if key == "data_format" && layout == "NHWC" => Ok(()),
        Json::Bool(true) if key == "training" => {
            call.training = true;
            Ok(())
        }
        Json::Object(_) | Json::Array(_) if ["inputs", "x", "x1", "x2"].contains(&key) => {
            positional(value, &mut call.operands)
        }
        _ => Err(format!("called with {key} {}, which is not supported", brief(value))),
    }
}

/// No mask, no training mode; a list has one for each operand.
fn says_nothing(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::Array(list) => list.iter().all(says_nothing),
        _ => false,
    }
}

/// What `input_layers` or `output_layers` names: `["x", 0, 0]`, a list of such, or a dictionary of
/// them. Each with its key in a dictionary.
pub(super) fn endpoints<'a>(
    json: Option<&'a Json>,
    what: &str,
) -> Result<Vec<(Option<&'a str>, Reference<'a>)>> {
    let missing = || format!("the model's {what} are missing");
    let json = json.ok_or_else(missing)?;
    let one = |json: &'a Json| {
        // A key may hold a list of one.
        let reference = Reference::new(json).or_else(|| match json.as_array()?.as_slice() {
            [inner] => Reference::new(inner),
            _ => None,
        });
        reference.ok_or_else(|| format!("the model's {what} {} are not understood", brief(json)))
    };
    if let Some(object) = json.as_object() {
        return object.iter().map(|(key, end)| Ok((Some(&**key), one(end)?))).collect();
    }
    if let Some(reference) = Reference::new(json) {
        return Ok(vec![(None, reference)]);
    }
    json.as_array().ok_or_else(missing)?.iter().map(|end| Ok((None, one(end)?))).collect()
}
