//! Turns a Keras model's JSON configuration into a [`Network`]. Nested models are inlined.

use std::collections::{HashMap, HashSet};

use sepconv_kernels::{Activation, BinaryOp, PoolKind, Window};
use serde_json::Value as Json;

use super::calls::{self, Call, Operand, Reference};
use super::json::{
    Config, InputShape, Result, batch_shape, input_shape, layer_name, parsed_size, text,
};
use super::layers::{self, Activity, Kind, Operator, PaddingName};
use crate::network::{Border, Interpolation, Network, NodeId, Op, Output, Picture, infer_picture};

/// The most layers of a configuration. Each layer counts as often as it is called.
const MAX_LAYERS: usize = 4096;
/// The most operands to look up for all layers. Those of a layer count for each call, and for each
/// time that a call waits for another layer. Inception V3 has a few hundred.
const MAX_OPERANDS: usize = 1 << 20;
/// The most bytes of memory of a parsed configuration. Xception's takes 3 MB.
const MAX_PARSED: usize = 128 << 20;
/// The most unsupported layers that an error lists.
const MAX_LISTED: usize = 12;

/// A model of a configuration: the network, and the tree of layers that a weight file follows.
#[derive(Debug)]
pub(super) struct Architecture {
    pub(super) network: Network,
    pub(super) root: Vec<Entry>,
    /// The names of the model and of all models inside.
    pub(super) models: Vec<String>,
    /// The type that its layers compute in, if it is not f32.
    pub(super) dtype: Option<String>,
}

/// One layer of a model, in the model's order.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its class, e.g. `Conv2D`.
    pub(super) class: String,
    /// Its Keras name.
    pub(super) name: String,
    /// Whether training changes it. Legacy files list layers that don't change last.
    pub(super) trainable: bool,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// The name of the layer in the network: the Keras name unless a nested model's clashes.
    Layer(String),
    /// The layers of a nested model.
    Model(Vec<Entry>),
}

/// Parses a configuration as JSON in bounded memory.
pub(super) fn json(bytes: &[u8]) -> Result<Json> {
    let parsed = parsed_size(bytes);
    if parsed > MAX_PARSED {
        return Err(format!(
            "the JSON takes {parsed} bytes when parsed; at most {MAX_PARSED} are allowed"
        ));
    }
    serde_json::from_slice(bytes).map_err(|e| format!("JSON: {e}"))
}

/// Reads a configuration: a Functional or Sequential model with one input. `keras2` says that Keras
/// 2 wrote it, in which some functions differ.
pub(super) fn parse(json: &Json, keras2: bool) -> Result<Architecture> {
    let config = Layers::new(json)?;
    let mut refused = Vec::new();
    refusals(&config, &mut refused)?;
    match refused.len() {
        0 => {}
        1 => return Err(format!("the layer {} is not supported", refused[0])),
        n => {
            let more = n.saturating_sub(MAX_LISTED);
            refused.truncate(MAX_LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            return Err(format!("{n} layers are not supported: {}{more}", refused.join(", ")));
        }
    }
    let (name, InputShape { size, channels, sequence, steps }) = config.input()?;
    let network = match steps {
        Some(steps) => Network::of_picture_sequences(&config.name, &name, steps, size, channels),
        None if sequence => Network::of_sequences(&config.name, &name, size[1], channels),
        None => Network::new(&config.name, &name, size, channels),
    };
    let size = network.input().0;
    let top = config.layers.iter().filter_map(|layer| layer_name(layer).ok());
    let mut builder = Builder {
        taken: HashSet::from([name.clone()]),
        reserved: top.map(str::to_owned).collect(),
        network,
        layers: 0,
        operands: 0,
        calls: HashMap::new(),
        models: Vec::new(),
        dtype: None,
        keras2,
    };
    let known = size[0].zip(size[1]).map(|(h, w)| [h, w]);
    let mut input = Tensor { node: NodeId::FIRST, size: known, channels, pad: None, apart: None };
    if let Some(steps) = steps {
        let into = Target { name: name.clone(), layer: name };
        builder.apart(&into, &mut input, steps)?;
    }
    let place = Place { prefix: "", training: false, trainable: true, again: None };
    let (outputs, root) = builder.model(&config, &[input], &place)?;
    let names = config.output_names()?;
    let output = |(name, tensor): (String, Tensor)| Output { name, node: tensor.node };
    let outputs = names.into_iter().zip(outputs).map(output).collect();
    builder.network.set_outputs(outputs).map_err(|error| error.to_string())?;
    Ok(Architecture {
        network: builder.network,
        root,
        models: builder.models,
        dtype: builder.dtype,
    })
}

/// Lists the layers of a model and of all models inside that can't be read.
fn refusals(model: &Layers<'_>, refused: &mut Vec<String>) -> Result<()> {
    for layer in model.layers {
        let class = text(layer, "class_name")?;
        let name = layer_name(layer)?;
        if let Some(inner) = model_of_steps(layer)? {
            match layers::refusal(inner, text(inner, "class_name")?, &[]) {
                None => refusals(&Layers::new(inner)?, refused)?,
                Some(why) => refused.push(format!("{name:?} ({class} of a model{why})")),
            }
            continue;
        }
        if layers::kind(class) == Some(Kind::Model) {
            // The class of the model may be user-defined.
            match layers::refusal(layer, class, &[]) {
                None => refusals(&Layers::new(layer)?, refused)?,
                Some(why) => refused.push(format!("{name:?} ({class}{why})")),
            }
            continue;
        }
        let calls = calls::calls(layer).unwrap_or_default();
        if let Some(why) = layers::refusal(layer, class, &calls) {
            refused.push(format!("{name:?} ({class}{why})"));
        }
    }
    Ok(())
}

/// The model that a `TimeDistributed` applies to each step. None for another layer.
fn model_of_steps(layer: &Json) -> Result<Option<&Json>> {
    if text(layer, "class_name").map(layers::kind) != Ok(Some(Kind::TimeDistributed)) {
        return Ok(None);
    }
    let inner = layer.get("config").and_then(|config| config.get("layer"));
    let Some(inner) = inner else { return Ok(None) };
    let is_model = layers::kind(text(inner, "class_name")?) == Some(Kind::Model);
    Ok(is_model.then_some(inner))
}

/// A tensor between layers: the output of a node, and its shape as far as it is known.
#[derive(Debug, Clone)]
struct Tensor {
    node: NodeId,
    /// Height and width; none if they depend on an input that has no fixed size.
    size: Option<[usize; 2]>,
    channels: usize,
    /// If it is the output of zero paddings: the tensor before them, and their sum. A following
    /// window uses these instead.
    pad: Option<(NodeId, Border)>,
    /// Of a sequence whose steps were treated one by one: their number, and the tensor in which
    /// each is a picture of the batch.
    apart: Option<(usize, Box<Tensor>)>,
}

impl Tensor {
    fn elements(&self) -> Option<usize> {
        let [h, w] = self.size?;
        h.checked_mul(w)?.checked_mul(self.channels)
    }
}

/// The layers of a Functional or Sequential model.
struct Layers<'a> {
    name: String,
    sequential: bool,
    config: &'a Json,
    layers: &'a [Json],
}

impl<'a> Layers<'a> {
    fn new(model: &'a Json) -> Result<Self> {
        let class = text(model, "class_name")?;
        let config = model.get("config").unwrap_or(&Json::Null);
        let sequential = match class {
            "Functional" | "Model" => false,
            "Sequential" => true,
            _ => {
                return Err(format!(
                    "expected a model of class Functional or Sequential, got {class:?}"
                ));
            }
        };
        // In early Keras 2 the configuration of a Sequential model is the list of its layers.
        let layers = config.as_array().or_else(|| config.get("layers")?.as_array());
        Ok(Self {
            name: config.get("name").and_then(Json::as_str).unwrap_or("model").into(),
            sequential,
            config,
            layers: layers.ok_or("the model has no list of layers")?,
        })
    }

    /// The input layers of a Functional model.
    fn inputs(&self) -> Result<Vec<&'a str>> {
        let ends = calls::endpoints(self.config.get("input_layers"), "inputs")?;
        Ok(ends.into_iter().map(|(_, end)| end.layer).collect())
    }

    /// The input's name and shape.
    fn input(&self) -> Result<(String, InputShape)> {
        if !self.sequential {
            let inputs = self.inputs()?;
            let [name] = inputs[..] else {
                return Err(format!(
                    "model {:?} has {} inputs; only one is supported",
                    self.name,
                    inputs.len()
                ));
            };
            let layer = self.layers.iter().find(|l| layer_name(l).is_ok_and(|n| n == name));
            let layer = layer.ok_or_else(|| format!("there is no input layer {name:?}"))?;
            return Ok((name.into(), batch_shape(input_shape(layer), name)?));
        }
        let first = self.layers.first().ok_or("the model has no layers")?;
        let name = layer_name(first)?;
        let class = text(first, "class_name")?;
        if class == "InputLayer" {
            return Ok((name.into(), batch_shape(input_shape(first), name)?));
        }
        let shape = input_shape(first)
            .or_else(|| self.config.get("build_input_shape"))
            .or_else(|| first.get("build_config")?.get("input_shape"))
            .filter(|shape| shape.is_array());
        let shape = match shape {
            None if layers::kind(class) == Some(Kind::Model) => Layers::new(first)?.input()?.1,
            shape => batch_shape(shape, name)?,
        };
        Ok((format!("{name}_input"), shape))
    }

    /// The names of the outputs: their keys, or those of their layers, each once.
    fn output_names(&self) -> Result<Vec<String>> {
        if self.sequential {
            let last = self.layers.last().ok_or("the model has no layers")?;
            return Ok(vec![layer_name(last)?.into()]);
        }
        let mut names: Vec<String> = Vec::new();
        for (key, end) in calls::endpoints(self.config.get("output_layers"), "outputs")? {
            let name = key.unwrap_or(end.layer);
            let count = names.iter().filter(|n| n.split(':').next() == Some(name)).count();
            names.push(if count == 0 { name.into() } else { format!("{name}:{}", count + 1) });
        }
        Ok(names)
    }
}

/// The place where a model is inlined.
struct Place<'a> {
    /// The prefix for names that exist already.
    prefix: &'a str,
    /// Whether it is called with `training=True`.
    training: bool,
    /// Whether the models around it are trained.
    trainable: bool,
    /// Its layers if it was inlined before. It then shares their weights.
    again: Option<&'a [Entry]>,
}

struct Builder {
    network: Network,
    /// The names of the network's layers so far.
    taken: HashSet<String>,
    /// The names of the outermost model's layers, which are not available to inner layers.
    reserved: HashSet<String>,
    /// The number of layers so far, counting each call.
    layers: usize,
    /// The number of operands looked up so far.
    operands: usize,
    /// How often each layer of the network has been called.
    calls: HashMap<String, usize>,
    models: Vec<String>,
    dtype: Option<String>,
    keras2: bool,
}

/// A layer on its way into the network.
struct Pending<'a> {
    class: &'a str,
    name: &'a str,
    kind: Kind,
    json: &'a Json,
    calls: Vec<Call<'a>>,
    /// The outputs of each call.
    outputs: Vec<Option<Vec<Tensor>>>,
    /// The number by which references name its first call.
    first: usize,
}

impl Pending<'_> {
    fn error(&self, message: &str) -> String {
        format!("layer {:?} ({}): {message}", self.name, self.class)
    }
}

impl Builder {
    /// Inlines a model. Returns its outputs, and its layers in case it is inlined again.
    fn model(
        &mut self,
        model: &Layers<'_>,
        inputs: &[Tensor],
        place: &Place<'_>,
    ) -> Result<(Vec<Tensor>, Vec<Entry>)> {
        if place.again.is_none() {
            self.models.push(model.name.clone());
        }
        let mut layers = pending(model, inputs)?;
        let calls = layers.iter().flat_map(|layer| &layer.calls);
        self.charge(calls.map(|call| call.operands.len()).sum())?;
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (i, layer) in layers.iter().enumerate() {
            if places.insert(layer.name, i).is_some() {
                return Err(format!("two layers are called {:?}", layer.name));
            }
        }
        let mut entries: Vec<Option<Entry>> = layers.iter().map(|_| None).collect();
        // A layer is listed where it is first called. Its other calls may depend on later layers.
        loop {
            let (mut progress, mut stuck) = (false, None);
            for i in 0..layers.len() {
                for call in 0..layers[i].calls.len() {
                    let layer = &layers[i];
                    if layer.outputs[call].is_some() {
                        continue;
                    }
                    self.charge(layer.calls[call].operands.len())?;
                    let operands = operands(&layers, &places, &layer.calls[call]);
                    let operands = match operands.map_err(|e| layer.error(&e))? {
                        Ok(operands) => operands,
                        Err(name) => {
                            let why = format!("its operand {name:?} is not computed before it");
                            stuck.get_or_insert(layer.error(&why));
                            continue;
                        }
                    };
                    progress = true;
                    let before = || place.again?.iter().find(|entry| entry.name == layer.name);
                    let again = entries[i].as_ref().or_else(before);
                    let called = self.call(layer, &layer.calls[call], &operands, place, again);
                    let (outputs, entry) = called.map_err(|e| layer.error(&e))?;
                    entries[i].get_or_insert(entry);
                    layers[i].outputs[call] = Some(outputs);
                }
            }
            match stuck {
                None => break,
                Some(stuck) if !progress => return Err(stuck),
                Some(_) => {}
            }
        }
        let outputs = if model.sequential {
            layers.last().and_then(|layer| layer.outputs[0].clone()).unwrap_or_default()
        } else {
            let ends = calls::endpoints(model.config.get("output_layers"), "outputs")?;
            let output = |(_, end): (_, Reference<'_>)| {
                let missing = || format!("there is no output layer {:?}", end.layer);
                tensor(&layers, &places, &end)?.ok_or_else(missing)
            };
            ends.into_iter().map(output).collect::<Result<_>>()?
        };
        if outputs.is_empty() {
            return Err(format!("model {:?} has no output", model.name));
        }
        Ok((outputs, entries.into_iter().flatten().collect()))
    }

    /// Counts a lookup of operands.
    fn charge(&mut self, operands: usize) -> Result<()> {
        self.operands = self.operands.saturating_add(operands);
        match self.operands <= MAX_OPERANDS {
            true => Ok(()),
            false => Err(format!("it has more than {MAX_OPERANDS} operands")),
        }
    }

    /// Appends one call of a layer. `again` is the layer if it was called before.
    fn call(
        &mut self,
        layer: &Pending<'_>,
        call: &Call<'_>,
        operands: &[Tensor],
        place: &Place<'_>,
        again: Option<&Entry>,
    ) -> Result<(Vec<Tensor>, Entry)> {
        self.layers += 1;
        if self.layers > MAX_LAYERS {
            return Err(format!("the model has more than {MAX_LAYERS} layers"));
        }
        if let Some(inner) = model_of_steps(layer.json)? {
            return self.model_by_steps(layer, inner, operands, place, again);
        }
        let config = layer.json.get("config").unwrap_or(&Json::Null);
        let trains = |config: &Json| config.get("trainable").and_then(Json::as_bool) != Some(false);
        let inner = config.get("layer").filter(|_| layer.kind == Kind::TimeDistributed);
        let inner = inner.and_then(|layer| layer.get("config")).is_none_or(trains);
        let trainable = place.trainable && trains(config) && inner;
        let training = place.training || call.training;
        let entry = |content| Entry {
            class: layer.class.into(),
            name: layer.name.into(),
            trainable,
            content,
        };
        if layer.kind == Kind::Model {
            let inner = Place {
                prefix: &format!("{}{}/", place.prefix, layer.name),
                training,
                trainable,
                again: match again.map(|entry| &entry.content) {
                    Some(Content::Model(entries)) => Some(entries),
                    _ => None,
                },
            };
            let (outputs, entries) = self.model(&Layers::new(layer.json)?, operands, &inner)?;
            return Ok((outputs, entry(Content::Model(entries))));
        }
        let config = Config::new(config.as_object().ok_or("it has no config")?, layer.class);
        let of = match layer.kind {
            Kind::TimeDistributed => Applied::of_steps(config)?,
            kind => Applied { kind, config, is_of_steps: false, rank: 0 },
        };
        if let Some(dtype) = layers::other_dtype(of.config)? {
            self.dtype.get_or_insert_with(|| dtype.into());
        }
        if of.kind == Kind::BatchNorm && training && trainable {
            return Err("it is called with training=True and would normalize by the batch".into());
        }
        let key = match again.map(|entry| &entry.content) {
            Some(Content::Layer(key)) => key.clone(),
            _ => self.key(layer.name, place.prefix),
        };
        let calls = self.calls.entry(key.clone()).or_default();
        *calls += 1;
        let name = if *calls == 1 { key.clone() } else { format!("{key}:{calls}") };
        let into = Target { name, layer: key.clone() };
        let output = self.layer(of, &into, operands, &call.operands)?;
        Ok((vec![output], entry(Content::Layer(key))))
    }

    /// Inlines the model that a `TimeDistributed` applies to each step of its operands.
    fn model_by_steps(
        &mut self,
        layer: &Pending<'_>,
        model: &Json,
        operands: &[Tensor],
        place: &Place<'_>,
        again: Option<&Entry>,
    ) -> Result<(Vec<Tensor>, Entry)> {
        let trains = |json: &Json| {
            let config = json.get("config").unwrap_or(&Json::Null);
            config.get("trainable").and_then(Json::as_bool) != Some(false)
        };
        let trainable = place.trainable && trains(layer.json);
        let key = self.key(layer.name, place.prefix);
        let into = Target { name: key.clone(), layer: key };
        let mut operands = operands.to_vec();
        let (steps, apart) = self.all_apart(&into, &mut operands)?;
        let inner = Place {
            prefix: &format!("{}{}/", place.prefix, layer.name),
            training: place.training,
            trainable,
            again: match again.map(|entry| &entry.content) {
                Some(Content::Model(entries)) => Some(entries),
                _ => None,
            },
        };
        let (outputs, entries) = self.model(&Layers::new(model)?, &apart, &inner)?;
        let mut joined = Vec::with_capacity(outputs.len());
        for (i, output) in outputs.into_iter().enumerate() {
            let name = if i == 0 { into.name.clone() } else { format!("{}/{i}", into.name) };
            let into = Target { name, layer: into.layer.clone() };
            joined.push(self.together(&into, steps, output)?);
        }
        let entry = Entry {
            class: layer.class.into(),
            name: layer.name.into(),
            trainable,
            content: Content::Model(entries),
        };
        Ok((joined, entry))
    }

    /// Makes the steps of a sequence pictures of the batch, in `x.apart`.
    fn apart(&mut self, into: &Target, x: &mut Tensor, steps: usize) -> Result<()> {
        let rank = self.network.rank(x.node) - 1;
        let whole = Tensor { apart: None, ..x.clone() };
        let apart = self.push(&into.inner("steps"), Op::StepsToBatch { steps, rank }, &[&whole])?;
        x.apart = Some((steps, Box::new(apart)));
        Ok(())
    }

    /// The number of steps that these tensors have, and the steps of each.
    fn all_apart(&mut self, into: &Target, tensors: &mut [Tensor]) -> Result<(usize, Vec<Tensor>)> {
        let mut all = Vec::with_capacity(tensors.len());
        let mut number = None;
        for (i, x) in tensors.iter_mut().enumerate() {
            if x.apart.is_none() {
                let rank = self.network.rank(x.node);
                let steps = match (rank, x.size) {
                    (3, Some([_, width])) => width,
                    (4, Some([height, _])) => height,
                    (3 | 4, None) => {
                        return Err("it takes a sequence whose length is open".into());
                    }
                    _ => return Err(format!("expected a sequence, got {rank} dimensions")),
                };
                let name = if i == 0 { "of".into() } else { format!("of{i}") };
                self.apart(&into.inner(&name), x, steps)?;
            }
            let Some((steps, apart)) = &x.apart else {
                return Err("it takes no sequence".into());
            };
            let expected = *number.get_or_insert(*steps);
            if expected != *steps {
                return Err(format!("operands have {expected} and {steps} steps"));
            }
            all.push(apart.as_ref().clone());
        }
        Ok((number.ok_or("it has no operand")?, all))
    }

    /// The sequence of these steps.
    fn together(&mut self, into: &Target, steps: usize, apart: Tensor) -> Result<Tensor> {
        let rank = self.network.rank(apart.node);
        if rank > 4 {
            return Err("its steps are sequences of pictures".into());
        }
        let whole = self.push(into, Op::BatchToSteps { steps, rank }, &[&apart])?;
        Ok(Tensor { apart: Some((steps, Box::new(apart))), ..whole })
    }

    /// Appends a layer of sequences of pictures: it treats each picture by itself.
    fn layer_by_steps(
        &mut self,
        of: Applied<'_>,
        into: &Target,
        tensors: &[Tensor],
        operands: &[Operand<'_>],
    ) -> Result<Tensor> {
        let ranks: Vec<usize> = tensors.iter().map(|x| self.network.rank(x.node)).collect();
        if let Some(other) = ranks.iter().find(|&&rank| rank != 5) {
            return Err(format!("operands have 5 and {other} dimensions"));
        }
        if !of.is_of_steps && !layers::is_of_pixels(of.kind) {
            return Err("it is not supported on an operand of 5 dimensions".into());
        }
        let (steps, apart) = self.all_apart(into, &mut tensors.to_vec())?;
        let of = Applied { is_of_steps: false, rank: 5 - usize::from(of.is_of_steps), ..of };
        let y = self.layer(of, &into.inner("step"), &apart, operands)?;
        self.together(into, steps, y)
    }

    /// The name in the network for a layer that is called for the first time.
    fn key(&mut self, name: &str, prefix: &str) -> String {
        let is_top = prefix.is_empty();
        let mut key = name.to_owned();
        if !is_top && (self.reserved.contains(name) || self.taken.contains(name)) {
            key = format!("{prefix}{name}");
        }
        while !self.taken.insert(key.clone()) || (!is_top && self.reserved.contains(&key)) {
            key.push('_');
        }
        key
    }

    /// Appends one layer.
    fn layer(
        &mut self,
        of: Applied<'_>,
        into: &Target,
        tensors: &[Tensor],
        operands: &[Operand<'_>],
    ) -> Result<Tensor> {
        let Applied { mut kind, config, is_of_steps, .. } = of;
        let x = tensors.first().ok_or("it has no operand")?;
        if tensors.iter().any(|x| self.network.rank(x.node) == 5) {
            return self.layer_by_steps(of, into, tensors, operands);
        }
        if matches!(
            kind,
            Kind::Conv
                | Kind::Depthwise
                | Kind::Separable
                | Kind::Pool(_)
                | Kind::GlobalPool(_)
                | Kind::ZeroPadding
                | Kind::Cropping
                | Kind::Flatten
        ) {
            layers::check_layout(config)?;
        }
        if kind == Kind::TensorFlow {
            kind = match (layers::operator(config), layers::function(config)) {
                (Some(operator), _) => Kind::Arithmetic(operator),
                (None, Some(activity)) if tensors.len() == 1 => {
                    return self.activity(into, activity, x);
                }
                _ => return Err(format!("function {} is not supported", config.show("function"))),
            };
        }
        let rank = match of.rank {
            0 => self.network.rank(x.node) - usize::from(is_of_steps),
            rank => rank,
        };
        if !is_of_steps
            && let Some(merged) = self.merged(Applied { kind, rank, ..of }, into, tensors, operands)
        {
            return merged;
        }
        if tensors.len() != 1 {
            return Err(format!("expected 1 operand, got {}", tensors.len()));
        }
        if let Some(axes) = config.axes.filter(|axes| axes + 2 != rank) {
            let expected = axes + 2 + usize::from(is_of_steps);
            let got = rank + usize::from(is_of_steps);
            return Err(format!("expected an operand of {expected} dimensions, got {got}"));
        }
        if is_of_steps && let Some(steps) = self.steps(kind, config, into, x) {
            return steps;
        }
        match kind {
            Kind::Conv | Kind::Depthwise | Kind::Separable | Kind::Dense => {
                self.linear(kind, config, into, x)
            }
            Kind::Transposed => self.transposed(config, into, x),
            Kind::Activation => {
                let activity = layers::activity(config, self.keras2)?;
                if activity == Activity::Softmax {
                    layers::check_channel_axis(config, rank)?;
                }
                self.activity(into, activity, x)
            }
            Kind::Relu => self.activity(into, layers::relu(config)?, x),
            Kind::LeakyRelu => self.activity(into, layers::leaky_relu(config)?, x),
            Kind::Elu => self.activity(into, layers::elu(config)?, x),
            Kind::ZeroPadding => self.zero_padding(config, into, x),
            Kind::Pool(pool) => self.pool(pool, config, into, x),
            Kind::RepeatVector => self.repeated(config, into, x, rank),
            _ => {
                let op = self.plain(kind, config, x, rank)?;
                self.push(into, op, &[x])
            }
        }
    }

    /// Appends a layer of several operands, or of a tensor and a constant. None if it is no such
    /// kind.
    fn merged(
        &mut self,
        Applied { kind, config, rank, .. }: Applied<'_>,
        into: &Target,
        tensors: &[Tensor],
        operands: &[Operand<'_>],
    ) -> Option<Result<Tensor>> {
        Some(match kind {
            Kind::Arithmetic(operator) if operands.len() > tensors.len() => {
                let op = layers::with_constant(operator, operands);
                op.and_then(|op| self.push(into, op, &[&tensors[0]]))
            }
            Kind::Arithmetic(operator) => self.combine(operator, into, tensors),
            Kind::Average => {
                let sum = self.combine(Operator::Add, &into.inner("sum"), tensors);
                let scale = vec![1.0 / tensors.len() as f64];
                sum.and_then(|x| self.push(into, Op::Rescale { scale, offset: vec![0.0] }, &[&x]))
            }
            Kind::ScaledSum => self.scaled_sum(config, into, tensors),
            Kind::Concatenate => {
                let op = if tensors.len() == 1 { Op::Identity } else { Op::Concat };
                layers::check_channel_axis(config, rank)
                    .and_then(|()| self.push(into, op, &tensors.iter().collect::<Vec<_>>()))
            }
            Kind::Dot => self.dot(config, into, tensors),
            _ => return None,
        })
    }

    /// Appends a `Dot` layer.
    fn dot(&mut self, config: Config<'_>, into: &Target, tensors: &[Tensor]) -> Result<Tensor> {
        let [a, b] = tensors else {
            return Err(format!("expected 2 operands, got {}", tensors.len()));
        };
        let ranks = [a, b].map(|x| self.network.rank(x.node));
        let sides = |x: &Tensor| [x.size.map(|[_, width]| width), Some(x.channels)];
        let operands = [(ranks[0], sides(a)), (ranks[1], sides(b))];
        let (op, rows) = layers::dot(config, operands, self.keras2)?;
        if ranks != [3, 2] {
            return self.push(into, op, &[a, b]);
        }
        // A number for each index of the first operand: a vector.
        let column = self.push(&into.inner("column"), op, &[a, b])?;
        let features = rows.ok_or("it takes a sequence whose length is open")?;
        self.push(into, Op::Flatten { features }, &[&column])
    }

    /// Appends a `RepeatVector` layer.
    fn repeated(
        &mut self,
        config: Config<'_>,
        into: &Target,
        x: &Tensor,
        rank: usize,
    ) -> Result<Tensor> {
        if rank != 2 {
            return Err(format!("expected an operand of 2 dimensions, got {rank}"));
        }
        let op = Op::Reshape { shape: [1, 1, x.channels], sequence: true };
        let one = self.push(&into.inner("one"), op, &[x])?;
        let factor = [1, config.count("n")?];
        self.push(into, Op::UpSample { factor, how: Interpolation::Nearest }, &[&one])
    }

    /// Appends a layer that `TimeDistributed` applies to each step of `x`. None if that is the same
    /// as applying it to the whole. Steps are the pixels of a sequence, or the rows of a picture.
    fn steps(
        &mut self,
        kind: Kind,
        config: Config<'_>,
        into: &Target,
        x: &Tensor,
    ) -> Option<Result<Tensor>> {
        let rank = self.network.rank(x.node);
        if !layers::is_of_steps(kind, rank - 1) {
            return Some(Err(format!("it is not supported on an operand of {rank} dimensions")));
        }
        let reshapes = matches!(kind, Kind::GlobalPool(_) | Kind::Flatten | Kind::Reshape);
        reshapes.then(|| self.reshaped_steps(kind, config, into, x))
    }

    fn reshaped_steps(
        &mut self,
        kind: Kind,
        config: Config<'_>,
        into: &Target,
        x: &Tensor,
    ) -> Result<Tensor> {
        let [height, width] = x.size.ok_or("it takes a sequence whose length is open")?;
        let is_picture = self.network.rank(x.node) == 4;
        let (steps, elements) = match is_picture {
            true => (height, width.checked_mul(x.channels)),
            false => (width, Some(x.channels)),
        };
        let elements = elements.ok_or("its elements overflow")?;
        let sequence = |channels| Op::Reshape { shape: [1, steps, channels], sequence: true };
        let op = match kind {
            Kind::GlobalPool(pool) => {
                let window = Window::new([1, width]);
                let op = match pool {
                    PoolKind::Max => Op::MaxPool(window),
                    _ => Op::AveragePool(window),
                };
                if config.flag("keepdims", false)? {
                    return self.push(into, op, &[x]);
                }
                let column = self.push(&into.inner("column"), op, &[x])?;
                return self.push(into, sequence(x.channels), &[&column]);
            }
            Kind::Reshape => match layers::target_shape(config, Some(elements))?[..] {
                [channels] => sequence(channels),
                [length, channels] => {
                    Op::Reshape { shape: [steps, length, channels], sequence: false }
                }
                _ => {
                    let shape = config.show("target_shape");
                    return Err(format!("target_shape {shape} of each step is not supported"));
                }
            },
            _ => sequence(elements),
        };
        self.push(into, op, &[x])
    }

    /// Appends a layer with weights. If it has an activation, that becomes the node with the
    /// layer's name.
    fn linear(
        &mut self,
        kind: Kind,
        config: Config<'_>,
        into: &Target,
        x: &Tensor,
    ) -> Result<Tensor> {
        let padding = match kind {
            Kind::Dense => PaddingName::Same,
            kind => layers::padding(kind, config)?,
        };
        let (source, border) = match x.pad.filter(|_| padding != PaddingName::Same) {
            Some((source, border)) => (source, Some(border)),
            None => (x.node, None),
        };
        let window = || layers::window(config, "kernel_size", padding, border);
        let bias = config.flag("use_bias", true)?;
        let multiplier = || config.count_or("depth_multiplier", 1);
        let op = match kind {
            Kind::Conv => Op::Conv {
                window: window()?,
                groups: config.count_or("groups", 1)?,
                filters: config.count("filters")?,
                bias,
            },
            Kind::Depthwise => Op::Depthwise { window: window()?, multiplier: multiplier()?, bias },
            Kind::Separable => Op::Separable {
                window: window()?,
                multiplier: multiplier()?,
                filters: config.count("filters")?,
                bias,
            },
            _ => Op::Dense { units: config.count("units")?, bias },
        };
        let x = Tensor { node: source, size: self.size_before(x, border), ..x.clone() };
        self.activated(op, config, into, &x)
    }

    /// Appends a transposed convolution, cropped if Keras leaves out more on one side.
    fn transposed(&mut self, config: Config<'_>, into: &Target, x: &Tensor) -> Result<Tensor> {
        match layers::transposed(config)? {
            (op, crop) if crop == Border::default() => self.activated(op, config, into, x),
            (op, crop) => {
                let whole = self.push(&into.inner("whole"), op, &[x])?;
                self.activated(Op::Crop(crop), config, into, &whole)
            }
        }
    }

    /// Appends a layer's operation, and its activation as the node with the layer's name if it has
    /// one.
    fn activated(
        &mut self,
        op: Op,
        config: Config<'_>,
        into: &Target,
        x: &Tensor,
    ) -> Result<Tensor> {
        match layers::activity(config, self.keras2)? {
            Activity::Kernel(Activation::None) => self.push(into, op, &[x]),
            activity => {
                let sigmoid = Activity::Kernel(Activation::Sigmoid);
                let logits = activity == Activity::Softmax || activity == sigmoid;
                let inner = into.inner(if logits { "logits" } else { "pre" });
                let before = self.push(&inner, op, &[x])?;
                self.activity(into, activity, &before)
            }
        }
    }

    /// The size of the tensor before the padding `border` of `x`.
    fn size_before(&self, x: &Tensor, border: Option<Border>) -> Option<[usize; 2]> {
        let Border { top, bottom, left, right } = border.unwrap_or_default();
        let [h, w] = x.size?;
        Some([h.checked_sub(top)?.checked_sub(bottom)?, w.checked_sub(left)?.checked_sub(right)?])
    }

    fn activity(&mut self, into: &Target, activity: Activity, x: &Tensor) -> Result<Tensor> {
        let op = match activity {
            Activity::Kernel(Activation::None) => Op::Identity,
            Activity::Kernel(activation) => Op::Activation(activation),
            Activity::Softmax => Op::Softmax,
        };
        self.push(into, op, &[x])
    }

    /// Appends the sum x + constant·y of two tensors.
    fn scaled_sum(
        &mut self,
        config: Config<'_>,
        into: &Target,
        tensors: &[Tensor],
    ) -> Result<Tensor> {
        let [x, y] = tensors else {
            return Err(format!("expected 2 operands, got {}", tensors.len()));
        };
        let op = Op::Rescale { scale: vec![config.number("scale", 1.0)?], offset: vec![0.0] };
        let scaled = self.push(&into.inner("scaled"), op, &[y])?;
        self.combine(Operator::Add, into, &[x.clone(), scaled])
    }

    /// Appends an arithmetic operation of tensors.
    fn combine(&mut self, operator: Operator, into: &Target, tensors: &[Tensor]) -> Result<Tensor> {
        let same = tensors.iter().all(|x| is_same_shape(x, &tensors[0]));
        let binary = match operator {
            Operator::Add => BinaryOp::Add,
            Operator::Subtract => BinaryOp::Subtract,
            Operator::Multiply => BinaryOp::Multiply,
            Operator::Maximum => BinaryOp::Maximum,
            Operator::Minimum => BinaryOp::Minimum,
            Operator::Divide => return Err("the quotient of tensors is not supported".into()),
        };
        match (operator, tensors) {
            (Operator::Add, [_, _, ..]) if same => {
                self.push(into, Op::Add, &tensors.iter().collect::<Vec<_>>())
            }
            (Operator::Subtract, [a, b]) if same => {
                let op = Op::Rescale { scale: vec![-1.0], offset: vec![0.0] };
                let negative = self.push(&into.inner("negative"), op, &[b])?;
                self.push(into, Op::Add, &[a, &negative])
            }
            (Operator::Subtract, [_, _, _, ..]) => {
                Err(format!("expected 2 operands, got {}", tensors.len()))
            }
            (_, [first, rest @ .., last]) => {
                let mut all = first.clone();
                for (i, x) in rest.iter().enumerate() {
                    let part = into.inner(&format!("{i}"));
                    all = self.push(&part, Op::Binary(binary), &[&all, x])?;
                }
                self.push(into, Op::Binary(binary), &[&all, last])
            }
            _ => Err(format!("expected 2 operands, got {}", tensors.len())),
        }
    }

    /// Appends a padding. Convolutions after it use the tensor before it and pad that themselves.
    fn zero_padding(&mut self, config: Config<'_>, into: &Target, x: &Tensor) -> Result<Tensor> {
        let [top, bottom, left, right] = config.sides("padding", 1)?;
        let own = Border { top, bottom, left, right };
        let (source, before) = x.pad.unwrap_or((x.node, Border::default()));
        let sum = |a: usize, b: usize| a.checked_add(b).ok_or("the padding overflows");
        let all = Border {
            top: sum(top, before.top)?,
            bottom: sum(bottom, before.bottom)?,
            left: sum(left, before.left)?,
            right: sum(right, before.right)?,
        };
        let padded = self.push(into, Op::ZeroPad(own), &[x])?;
        Ok(Tensor { pad: Some((source, all)), ..padded })
    }

    fn pool(
        &mut self,
        pool: PoolKind,
        config: Config<'_>,
        into: &Target,
        x: &Tensor,
    ) -> Result<Tensor> {
        // The padding is zeros, but a pool here ignores padding. A maximum is the same if x ≥ 0.
        let positive = |&(source, _): &(NodeId, Border)| {
            matches!(
                self.network.node(source).op,
                Op::Activation(Activation::Relu | Activation::Relu6)
            )
        };
        let padding = layers::padding(Kind::Pool(pool), config)?;
        let foldable = pool == PoolKind::Max && padding == PaddingName::Valid;
        let (source, border) = match x.pad.filter(positive).filter(|_| foldable) {
            Some((source, border)) => (source, Some(border)),
            None => (x.node, None),
        };
        let window = layers::window(config, "pool_size", padding, border)?;
        let op = match pool {
            PoolKind::Max => Op::MaxPool(window),
            _ => Op::AveragePool(window),
        };
        let x = Tensor { node: source, size: self.size_before(x, border), ..x.clone() };
        self.push(into, op, &[&x])
    }

    /// The operation of a layer of one operand that always becomes one node. `rank` is the number
    /// of dimensions that the layer sees.
    fn plain(&self, kind: Kind, config: Config<'_>, x: &Tensor, rank: usize) -> Result<Op> {
        let open = || "it takes a picture whose size is open".to_owned();
        Ok(match kind {
            Kind::BatchNorm => {
                layers::check_channel_axis(config, rank)?;
                Op::BatchNorm {
                    epsilon: config.number("epsilon", 1e-3)?,
                    scale: config.flag("scale", true)?,
                    center: config.flag("center", true)?,
                }
            }
            Kind::Softmax => {
                layers::check_channel_axis(config, rank)?;
                Op::Softmax
            }
            Kind::PRelu => Op::PRelu { shape: prelu_shape(config, x, rank)? },
            Kind::GlobalPool(kind) => {
                Op::GlobalPool { kind, keep_dims: config.flag("keepdims", false)? }
            }
            Kind::Rescaling => layers::rescaling(config)?,
            Kind::LayerNorm | Kind::GroupNorm | Kind::UnitNorm | Kind::RmsNorm => {
                let [height, width] = [0, 1].map(|axis| x.size.map(|size| size[axis]));
                let sides = [height, width, Some(x.channels)];
                layers::normalization(kind, config, sides, rank, self.keras2)?
            }
            Kind::Normalization => layers::standardization(config, rank)?,
            Kind::LayerScale => Op::Scale,
            Kind::UpSampling => layers::up_sampling(config)?,
            Kind::Permute => {
                let [h, w] = x.size.ok_or_else(open)?;
                layers::permute(config, [h, w, x.channels], rank)?
            }
            Kind::Cropping => {
                let [top, bottom, left, right] = config.sides("cropping", 0)?;
                Op::Crop(Border { top, bottom, left, right })
            }
            Kind::CenterCrop => {
                Op::CenterCrop { size: [config.count("height")?, config.count("width")?] }
            }
            Kind::RandomCrop => {
                let size = [config.count("height")?, config.count("width")?];
                if x.size != Some(size) {
                    return Err(format!(
                        "versions of Keras differ in what it does at inference with a picture that is \
                         not {}×{}; use CenterCrop or Resizing",
                        size[0], size[1]
                    ));
                }
                Op::Identity
            }
            Kind::Resizing => layers::resizing(config)?,
            Kind::Flatten => Op::Flatten { features: flattened(x)? },
            Kind::Reshape => match layers::target_shape(config, x.elements())?[..] {
                [h, w, c] => Op::Reshape { shape: [h, w, c], sequence: false },
                [length, c] => Op::Reshape { shape: [1, length, c], sequence: true },
                [features] => Op::Flatten { features },
                _ => return Err("its target_shape is not understood".into()),
            },
            Kind::Identity => Op::Identity,
            _ => return Err("this kind of layer is not supported here".into()),
        })
    }

    /// Appends a node and infers its shape as far as possible.
    fn push(&mut self, into: &Target, op: Op, x: &[&Tensor]) -> Result<Tensor> {
        let inputs: Vec<NodeId> = x.iter().map(|x| x.node).collect();
        let node = self.network.push_for_layer(&into.name, &into.layer, op, &inputs);
        let node = node.map_err(|e| e.to_string())?;
        let picture = |x: &&Tensor| Picture { size: x.size, channels: x.channels };
        let pictures: Vec<Picture> = x.iter().map(picture).collect();
        let inferred = infer_picture(self.network.node(node), &pictures);
        let Picture { size, channels } = inferred.map_err(|e| e.to_string())?;
        Ok(Tensor { node, size, channels, pad: None, apart: None })
    }
}

/// What a layer applies to its operand.
#[derive(Clone, Copy)]
struct Applied<'a> {
    kind: Kind,
    config: Config<'a>,
    /// Whether to each step of the operand, as `TimeDistributed` does.
    is_of_steps: bool,
    /// How many dimensions the layer sees, if they are others than those of its operand, else 0.
    rank: usize,
}

impl<'a> Applied<'a> {
    /// The layer that a `TimeDistributed` has.
    fn of_steps(config: Config<'a>) -> Result<Self> {
        let inner = config.get("layer").ok_or("it has no layer")?;
        let class = text(inner, "class_name")?;
        let kind = layers::kind(class).ok_or_else(|| format!("{class} is not supported"))?;
        let config =
            inner.get("config").and_then(Json::as_object).ok_or("its layer has no config")?;
        Ok(Self { kind, config: Config::new(config, class), is_of_steps: true, rank: 0 })
    }
}

/// The names of a node and of the layer whose weights it has.
struct Target {
    name: String,
    layer: String,
}

impl Target {
    /// The name of a node before the layer's last.
    fn inner(&self, part: &str) -> Self {
        Self { name: format!("{}/{part}", self.name), layer: self.layer.clone() }
    }
}

/// The layers of a model with their calls. The outputs of its input layers are known.
fn pending<'a>(model: &Layers<'a>, inputs: &[Tensor]) -> Result<Vec<Pending<'a>>> {
    let names = if model.sequential { vec![""] } else { model.inputs()? };
    if names.len() != inputs.len() {
        let (wanted, given) = (names.len(), inputs.len());
        return Err(format!("model {:?} expects {wanted} inputs, got {given}", model.name));
    }
    let keras2 = calls::is_keras2(model.layers);
    let mut layers: Vec<Pending<'a>> = Vec::new();
    let input = |class, name, json, outputs: &Tensor| Pending {
        class,
        name,
        kind: Kind::Input,
        json,
        calls: vec![Call::default()],
        outputs: vec![Some(vec![outputs.clone()])],
        first: 0,
    };
    if model.sequential {
        // Some models have an input layer, others don't.
        layers.push(input("InputLayer", "", &Json::Null, &inputs[0]));
    }
    for json in model.layers {
        let class = text(json, "class_name")?;
        let name = layer_name(json)?;
        let kind = layers::kind(class).ok_or_else(|| format!("{class} is not supported"))?;
        if kind == Kind::Input {
            let place = names.iter().position(|n| *n == name);
            if model.sequential || place.is_some() {
                layers.push(input(class, name, json, &inputs[place.unwrap_or(0)]));
            }
            continue;
        }
        let calls = match layers.last().filter(|_| model.sequential) {
            Some(before) => {
                let operand = Reference { layer: before.name, call: 0, output: 0 };
                vec![Call { operands: vec![Operand::Tensor(operand)], training: false }]
            }
            None => calls::calls(json).map_err(|e| format!("layer {name:?} ({class}): {e}"))?,
        };
        let mut first = 0;
        // In Keras 2, making a model that starts with an input layer counts as its first call.
        if keras2 && kind == Kind::Model {
            let inner = Layers::new(json)?.layers.first();
            let class = inner.and_then(|layer| layer.get("class_name")).and_then(Json::as_str);
            first = usize::from(class == Some("InputLayer"));
        }
        let outputs = vec![None; calls.len()];
        layers.push(Pending { class, name, kind, json, calls, outputs, first });
    }
    Ok(layers)
}

/// The operands of a call, or the name of a layer that must be called first.
fn operands<'a>(
    layers: &[Pending<'_>],
    places: &HashMap<&str, usize>,
    call: &Call<'a>,
) -> Result<std::result::Result<Vec<Tensor>, &'a str>> {
    let mut tensors = Vec::new();
    for operand in &call.operands {
        let Operand::Tensor(reference) = operand else {
            continue;
        };
        match tensor(layers, places, reference)? {
            Some(tensor) => tensors.push(tensor),
            None => return Ok(Err(reference.layer)),
        }
    }
    Ok(Ok(tensors))
}

/// The tensor that a reference names. None if its layer has not been called yet.
fn tensor(
    layers: &[Pending<'_>],
    places: &HashMap<&str, usize>,
    reference: &Reference<'_>,
) -> Result<Option<Tensor>> {
    let Reference { layer: name, call, output } = *reference;
    let place = places.get(name).ok_or_else(|| format!("there is no layer {name:?}"))?;
    let layer = &layers[*place];
    // The number of the only call of a layer does not matter, and files differ in it.
    let call = match layer.calls.len() {
        1 => 0,
        _ => call.checked_sub(layer.first).filter(|&call| call < layer.calls.len()).ok_or_else(
            || format!("it takes call {call} of {name:?}, which has {} calls", layer.calls.len()),
        )?,
    };
    let Some(outputs) = &layer.outputs[call] else {
        return Ok(None);
    };
    let missing =
        || format!("it takes output {output} of {name:?}, which has {} outputs", outputs.len());
    outputs.get(output).cloned().map(Some).ok_or_else(missing)
}

/// Whether two tensors have the same shape, as far as it is known.
fn is_same_shape(a: &Tensor, b: &Tensor) -> bool {
    a.size == b.size && a.channels == b.channels
}

/// The number of elements of a picture that is flattened.
fn flattened(x: &Tensor) -> Result<usize> {
    x.elements().ok_or_else(|| "it flattens a picture whose size is open".into())
}

/// The shape of α: that of the picture, with 1 along shared axes. The layer sees `rank` dimensions.
fn prelu_shape(config: Config<'_>, x: &Tensor, rank: usize) -> Result<Vec<usize>> {
    if rank == 2 {
        return Ok(vec![x.channels]);
    }
    let shared: Vec<u64> = match config.get("shared_axes").map(|axes| (axes, axes.as_array())) {
        None => Vec::new(),
        Some((axes, None)) => axes.as_u64().into_iter().collect(),
        Some((_, Some(axes))) => axes.iter().filter_map(Json::as_u64).collect(),
    };
    let open = || "it has an alpha for each pixel of a picture whose size is open".to_owned();
    let side = |axis: usize| x.size.map(|size| size[axis]).ok_or_else(open);
    let mut shape = vec![1; 4 - rank];
    for axis in 1..rank {
        shape.push(match axis + 3 - rank {
            _ if shared.contains(&(axis as u64)) => 1,
            2 => x.channels,
            axis => side(axis)?,
        });
    }
    Ok(shape)
}
