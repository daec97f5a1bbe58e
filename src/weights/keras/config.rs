//! A Keras model's JSON configuration as a [`Network`], nested models inlined.

use std::collections::HashMap;

use sepconv_kernels::{Activation, Padding, Window};
use serde_json::{Map, Value as Json};

use crate::network::{Network, NodeId, Op};

/// Most layers that a configuration may have.
const MAX_LAYERS: usize = 4096;
/// Most bytes of memory that a parsed configuration may take. Xception's takes 3 MB.
const MAX_PARSED: usize = 128 << 20;

/// Sentences; the caller puts the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// A model of a configuration: the network, and the tree of layers that a weight file follows.
#[derive(Debug)]
pub(crate) struct Architecture {
    pub(crate) network: Network,
    pub(crate) root: Vec<Entry>,
}

/// One layer of a model, in the model's order.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its class, e.g. `Conv2D`.
    pub(crate) class: String,
    /// Its Keras name.
    pub(crate) name: String,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// The name of the layer in the network: the Keras name unless a nested model's clashes.
    Layer(String),
    /// The layers of a nested model.
    Model(Vec<Entry>),
}

/// Reads a configuration: a Functional or Sequential model with one input and one output.
pub(crate) fn parse(json: &[u8]) -> Result<Architecture> {
    let parsed = parsed_size(json);
    if parsed > MAX_PARSED {
        return Err(format!("JSON that takes {parsed} bytes when parsed, more than {MAX_PARSED}"));
    }
    let json: Json = serde_json::from_slice(json).map_err(|e| format!("JSON: {e}"))?;
    let class = text(&json, "class_name")?;
    let config = Layers::new(class, json.get("config").unwrap_or(&Json::Null))?;
    let (name, size, channels) = config.input()?;
    let mut builder =
        Builder { network: Network::new(&config.name, &name, size, channels), layers: 0 };
    let input = Tensor::from(NodeId(0));
    let (output, root) = builder.model(&config, input, "")?;
    let output = output.plain("the model's output")?;
    let network = &mut builder.network;
    let node = network.node(output);
    // The logits are what a run returns; the softmax stays in the graph.
    let logits = (node.op == Op::Softmax).then(|| node.inputs[0]);
    network.set_output(logits.unwrap_or(output)).map_err(|error| error.to_string())?;
    Ok(Architecture { network: builder.network, root })
}

/// What JSON takes in memory at most, besides its strings. A few bytes of it become a hundred times as many:
/// an object is a node of a tree with room for eleven entries.
fn parsed_size(json: &[u8]) -> usize {
    const VALUE: usize = size_of::<Json>();
    const OBJECT: usize = 12 * (size_of::<String>() + VALUE);
    // Commas and brackets in strings are counted too: an upper bound all the same.
    let cost = |byte: &u8| match byte {
        b'{' => OBJECT,
        // A list has up to twice the room that it needs.
        b',' | b'[' => 2 * VALUE,
        _ => 0,
    };
    json.iter().map(cost).sum()
}

/// A tensor between layers: a node's output, perhaps with a `ZeroPadding2D` still to be folded into
/// the window of its user.
#[derive(Clone)]
struct Tensor {
    node: NodeId,
    /// The padding layer's name, and its top, bottom, left, right.
    pad: Option<(String, [usize; 4])>,
}

impl From<NodeId> for Tensor {
    fn from(node: NodeId) -> Self {
        Self { node, pad: None }
    }
}

impl Tensor {
    /// The node, for a user that can't take padding.
    fn plain(&self, user: &str) -> Result<NodeId> {
        match &self.pad {
            None => Ok(self.node),
            Some((name, _)) => Err(format!(
                "layer {name:?} (ZeroPadding2D) is supported only in front of a valid convolution, \
                 or of a valid max pool of ReLU's output, not of {user}"
            )),
        }
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
    fn new(class: &str, config: &'a Json) -> Result<Self> {
        let sequential = match class {
            "Functional" | "Model" => false,
            "Sequential" => true,
            _ => {
                return Err(format!("model class {class:?} is not Functional or Sequential"));
            }
        };
        // Early Keras 2 wrote a Sequential model's layers as the configuration itself.
        let layers = config.as_array().or_else(|| config.get("layers")?.as_array());
        Ok(Self {
            name: config.get("name").and_then(Json::as_str).unwrap_or("model").into(),
            sequential,
            config,
            layers: layers.ok_or("a model without a list of layers")?,
        })
    }

    /// The one input layer of a Functional model.
    fn input_name(&self) -> Result<Option<&'a str>> {
        if self.sequential {
            return Ok(None);
        }
        match endpoints(self.config.get("input_layers")).as_slice() {
            [name] => Ok(Some(name)),
            names => Err(format!(
                "model {:?} has {} inputs where one is supported",
                self.name,
                names.len()
            )),
        }
    }

    /// The input's name, size and channels.
    fn input(&self) -> Result<(String, [Option<usize>; 2], usize)> {
        if let Some(name) = self.input_name()? {
            let layer = self.layers.iter().find(|l| layer_name(l).is_ok_and(|n| n == name));
            let layer = layer.ok_or_else(|| format!("there is no input layer {name:?}"))?;
            let (size, channels) = batch_shape(input_shape(layer), name)?;
            return Ok((name.into(), size, channels));
        }
        let first = self.layers.first().ok_or("a model without layers")?;
        let name = layer_name(first)?;
        let class = text(first, "class_name")?;
        if class == "InputLayer" {
            let (size, channels) = batch_shape(input_shape(first), name)?;
            return Ok((name.into(), size, channels));
        }
        let config = first.get("config").unwrap_or(&Json::Null);
        let shape = input_shape(first)
            .or_else(|| self.config.get("build_input_shape"))
            .or_else(|| first.get("build_config")?.get("input_shape"))
            .filter(|shape| shape.is_array());
        let (size, channels) = match shape {
            None if is_model(class) => {
                let (_, size, channels) = Layers::new(class, config)?.input()?;
                (size, channels)
            }
            shape => batch_shape(shape, name)?,
        };
        Ok((format!("{name}_input"), size, channels))
    }
}

fn is_model(class: &str) -> bool {
    matches!(class, "Functional" | "Model" | "Sequential")
}

struct Builder {
    network: Network,
    /// Layers so far.
    layers: usize,
}

impl Builder {
    /// Inlines a model applied to `input`; `prefix` is put before names that exist already.
    fn model(
        &mut self,
        model: &Layers<'_>,
        input: Tensor,
        prefix: &str,
    ) -> Result<(Tensor, Vec<Entry>)> {
        let mut entries = Vec::new();
        let mut tensors: HashMap<&str, Tensor> = HashMap::new();
        let mut last = input.clone();
        for layer in model.layers {
            self.layers += 1;
            if self.layers > MAX_LAYERS {
                return Err(format!("more than {MAX_LAYERS} layers"));
            }
            let class = text(layer, "class_name")?;
            let name = layer_name(layer)?;
            if tensors.contains_key(name) {
                return Err(format!("two layers are called {name:?}"));
            }
            let error = |e: String| format!("layer {name:?} ({class}): {e}");
            known_package(layer).map_err(error)?;
            if class == "InputLayer" {
                tensors.insert(name, input.clone());
                continue;
            }
            let operands = if model.sequential {
                vec![last.clone()]
            } else {
                let names = operands(layer).map_err(error)?;
                let find = |name: &&str| {
                    let missing = || error(format!("its operand {name:?} is not an earlier layer"));
                    tensors.get(name).cloned().ok_or_else(missing)
                };
                names.iter().map(find).collect::<Result<_>>()?
            };
            let config = layer.get("config").unwrap_or(&Json::Null);
            let (output, content) = if is_model(class) {
                let [operand] = operands.as_slice() else {
                    return Err(error(format!("{} operands", operands.len())));
                };
                let inner = Layers::new(class, config).map_err(error)?;
                inner.input_name().map_err(error)?;
                let prefix = format!("{prefix}{name}/");
                let (output, entries) = self.model(&inner, operand.clone(), &prefix)?;
                (output, Content::Model(entries))
            } else {
                let taken = self.network.find(name).is_some();
                let unique = if taken { format!("{prefix}{name}") } else { name.into() };
                let config = Config(config.as_object().ok_or_else(|| error("no config".into()))?);
                let output = self.layer(class, &unique, &config, &operands);
                (output.map_err(error)?, Content::Layer(unique))
            };
            entries.push(Entry { class: class.into(), name: name.into(), content });
            tensors.insert(name, output.clone());
            last = output;
        }
        if !model.sequential {
            let outputs = endpoints(model.config.get("output_layers"));
            let [name] = outputs.as_slice() else {
                return Err(format!(
                    "model {:?} has {} outputs where one is supported",
                    model.name,
                    outputs.len()
                ));
            };
            let output = tensors.get(name);
            last = output.ok_or_else(|| format!("there is no output layer {name:?}"))?.clone();
        }
        Ok((last, entries))
    }

    /// One layer; `name` is unique.
    fn layer(
        &mut self,
        class: &str,
        name: &str,
        config: &Config<'_>,
        operands: &[Tensor],
    ) -> Result<Tensor> {
        config.check_dtype()?;
        let operand = operands.first().ok_or("it has no operand")?;
        if operands.len() != 1 && !matches!(class, "Add" | "Concatenate") {
            return Err(format!("{} operands where one is needed", operands.len()));
        }
        let windowed = matches!(
            class,
            "Conv2D" | "DepthwiseConv2D" | "SeparableConv2D" | "MaxPooling2D" | "AveragePooling2D"
        );
        if windowed || class == "GlobalAveragePooling2D" || class == "ZeroPadding2D" {
            config.check_layout()?;
        }
        if class == "ZeroPadding2D" {
            return pad(name, config, operand);
        }
        let x =
            if windowed { operand.node } else { operand.plain(&format!("{name:?} ({class})"))? };
        let op = match class {
            "Conv2D" => Op::Conv {
                window: config.window("kernel_size", Some(operand))?,
                groups: config.count_or("groups", 1)?,
                filters: config.count("filters")?,
                bias: config.flag("use_bias", true)?,
            },
            "DepthwiseConv2D" => Op::Depthwise {
                window: config.window("kernel_size", Some(operand))?,
                multiplier: config.count_or("depth_multiplier", 1)?,
                bias: config.flag("use_bias", true)?,
            },
            "SeparableConv2D" => Op::Separable {
                window: config.window("kernel_size", Some(operand))?,
                multiplier: config.count_or("depth_multiplier", 1)?,
                filters: config.count("filters")?,
                bias: config.flag("use_bias", true)?,
            },
            "Dense" => {
                Op::Dense { units: config.count("units")?, bias: config.flag("use_bias", true)? }
            }
            "BatchNormalization" => {
                config.channel_axis()?;
                Op::BatchNorm {
                    epsilon: config.number("epsilon", 1e-3)?,
                    scale: config.flag("scale", true)?,
                    center: config.flag("center", true)?,
                }
            }
            "Activation" => return self.activation(name, config.activation()?, x),
            "ReLU" => return self.activation(name, config.relu()?, x),
            "ELU" => {
                let alpha = config.number("alpha", 1.0)? as f32;
                Op::Activation(Activation::Elu { alpha })
            }
            "Softmax" => {
                config.channel_axis()?;
                Op::Softmax
            }
            "MaxPooling2D" => {
                let positive = matches!(
                    self.network.node(x).op,
                    Op::Activation(Activation::Relu | Activation::Relu6)
                );
                // The padding is zeros, and a pool here leaves padded taps out: the same where x ≥ 0.
                if !positive {
                    operand.plain(&format!("{name:?} ({class})"))?;
                }
                Op::MaxPool(config.window("pool_size", Some(operand))?)
            }
            "AveragePooling2D" => {
                operand.plain(&format!("{name:?} ({class})"))?;
                Op::AveragePool(config.window("pool_size", None)?)
            }
            "GlobalAveragePooling2D" => Op::GlobalAveragePool,
            "Reshape" => Op::Flatten { features: config.vector()? },
            "Dropout" | "SpatialDropout2D" => Op::Identity,
            "Add" | "Concatenate" => {
                if class == "Concatenate" {
                    config.channel_axis()?;
                }
                let user = format!("{name:?} ({class})");
                let nodes = operands.iter().map(|t| t.plain(&user));
                let nodes = nodes.collect::<Result<Vec<_>>>()?;
                let op = if class == "Add" { Op::Add } else { Op::Concat };
                return self.push(name, name, op, &nodes);
            }
            _ => return Err("this kind of layer is not supported".into()),
        };
        // These four may carry an activation, which becomes the node of the layer's name.
        let function = match op {
            Op::Conv { .. } | Op::Depthwise { .. } | Op::Separable { .. } | Op::Dense { .. } => {
                config.activation()?
            }
            _ => Function::Plain(Activation::None),
        };
        match function {
            Function::Plain(Activation::None) => self.push(name, name, op, &[x]),
            Function::Plain(activation) => {
                let inner = self.push(&format!("{name}/pre"), name, op, &[x])?;
                self.push(name, name, Op::Activation(activation), &[inner.node])
            }
            Function::Softmax => {
                let inner = self.push(&format!("{name}/logits"), name, op, &[x])?;
                self.push(name, name, Op::Softmax, &[inner.node])
            }
        }
    }

    fn activation(&mut self, name: &str, function: Function, x: NodeId) -> Result<Tensor> {
        let op = match function {
            Function::Plain(Activation::None) => Op::Identity,
            Function::Plain(activation) => Op::Activation(activation),
            Function::Softmax => Op::Softmax,
        };
        self.push(name, name, op, &[x])
    }

    fn push(&mut self, name: &str, layer: &str, op: Op, inputs: &[NodeId]) -> Result<Tensor> {
        let node = self.network.push_for_layer(name, layer, op, inputs);
        node.map(Tensor::from).map_err(|e| e.to_string())
    }
}

/// A zero padding on top of what the tensor carries already.
fn pad(name: &str, config: &Config<'_>, operand: &Tensor) -> Result<Tensor> {
    let [rows, columns] = match config.0.get("padding").map(|p| (p, p.as_array())) {
        Some((_, Some(pair))) => match pair.as_slice() {
            [rows, columns] => [sides(rows), sides(columns)],
            _ => [None, None],
        },
        Some((one, None)) => [sides(one), sides(one)],
        None => [Some((1, 1)), Some((1, 1))],
    };
    let (Some((top, bottom)), Some((left, right))) = (rows, columns) else {
        return Err(format!("padding {} is not understood", config.show("padding")));
    };
    let mut sides = [top, bottom, left, right];
    if let Some((_, before)) = &operand.pad {
        for (side, before) in sides.iter_mut().zip(before) {
            *side = side.checked_add(*before).ok_or("padding overflows")?;
        }
    }
    Ok(Tensor { node: operand.node, pad: Some((name.into(), sides)) })
}

/// The two sides of one axis: one number for both, or a pair.
fn sides(json: &Json) -> Option<(usize, usize)> {
    match json.as_array() {
        Some(pair) => match pair.as_slice() {
            [before, after] => Some((size(before)?, size(after)?)),
            _ => None,
        },
        None => size(json).map(|n| (n, n)),
    }
}

/// What an activation's name stands for.
enum Function {
    Plain(Activation),
    Softmax,
}

/// A layer's parameters.
struct Config<'a>(&'a Map<String, Json>);

impl Config<'_> {
    fn show(&self, key: &str) -> String {
        self.0.get(key).map_or("(absent)".into(), brief)
    }

    /// A whole number of 1 or more.
    fn count(&self, key: &str) -> Result<usize> {
        let value = self.0.get(key).and_then(size).filter(|&n| n > 0);
        value.ok_or_else(|| format!("{key} is {}, not a whole number above 0", self.show(key)))
    }

    fn count_or(&self, key: &str, default: usize) -> Result<usize> {
        match self.0.get(key) {
            None | Some(Json::Null) => Ok(default),
            Some(_) => self.count(key),
        }
    }

    /// One whole number above 0 for both axes, or two.
    fn pair(&self, key: &str) -> Result<[usize; 2]> {
        let value = match self.0.get(key) {
            Some(Json::Array(pair)) => match pair.as_slice() {
                [y, x] => size(y).zip(size(x)),
                _ => None,
            },
            Some(one) => size(one).map(|n| (n, n)),
            None => None,
        };
        match value {
            Some((y, x)) if y > 0 && x > 0 => Ok([y, x]),
            _ => Err(format!("{key} is {}, not two whole numbers above 0", self.show(key))),
        }
    }

    fn pair_or(&self, key: &str, default: [usize; 2]) -> Result<[usize; 2]> {
        match self.0.get(key) {
            None | Some(Json::Null) => Ok(default),
            Some(_) => self.pair(key),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.0.get(key) {
            None | Some(Json::Null) => Ok(default),
            Some(value) => {
                value.as_bool().ok_or_else(|| format!("{key} is {}, not a boolean", self.show(key)))
            }
        }
    }

    fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.0.get(key) {
            None | Some(Json::Null) => Ok(default),
            Some(value) => {
                value.as_f64().ok_or_else(|| format!("{key} is {}, not a number", self.show(key)))
            }
        }
    }

    /// The window of a convolution or pool; a zero padding that `operand` carries is folded in.
    fn window(&self, kernel: &str, operand: Option<&Tensor>) -> Result<Window> {
        let size = self.pair(kernel)?;
        let stride = if kernel == "pool_size" { size } else { [1, 1] };
        let same = match self.0.get("padding").and_then(Json::as_str).unwrap_or("valid") {
            p if p.eq_ignore_ascii_case("valid") => false,
            p if p.eq_ignore_ascii_case("same") => true,
            _ => return Err(format!("padding {} is not supported", self.show("padding"))),
        };
        let padding = match operand.and_then(|t| t.pad.as_ref()) {
            None if same => Padding::Same,
            None => Padding::Valid,
            Some((name, _)) if same => {
                return Err(format!(
                    "SAME padding behind the ZeroPadding2D {name:?} is not supported"
                ));
            }
            Some((_, [top, bottom, left, right])) => {
                Padding::Explicit { top: *top, bottom: *bottom, left: *left, right: *right }
            }
        };
        Ok(Window::new(size)
            .stride(self.pair_or("strides", stride)?)
            .dilation(self.pair_or("dilation_rate", [1, 1])?)
            .padding(padding))
    }

    /// The `activation` parameter; absent is linear.
    fn activation(&self) -> Result<Function> {
        let value = match self.0.get("activation") {
            None | Some(Json::Null) => return Ok(Function::Plain(Activation::None)),
            Some(value) => value,
        };
        // A function object is written as a dictionary that holds its name.
        let name = value.as_str().or_else(|| match value.get("class_name")?.as_str()? {
            "function" => value.get("config")?.as_str(),
            _ => None,
        });
        let function = match name {
            Some("linear") => Activation::None,
            Some("relu") => Activation::Relu,
            Some("relu6") => Activation::Relu6,
            Some("elu") => Activation::Elu { alpha: 1.0 },
            Some("silu" | "swish") => Activation::Silu,
            Some("hard_silu" | "hard_swish") => Activation::HardSwish,
            Some("softmax") => return Ok(Function::Softmax),
            _ => {
                return Err(format!("activation {} is not supported", self.show("activation")));
            }
        };
        Ok(Function::Plain(function))
    }

    /// The function of a `ReLU` layer.
    fn relu(&self) -> Result<Function> {
        let zero = |key: &str| -> Result<()> {
            // Some Keras versions wrapped these numbers in a dictionary or a list of one.
            let value = self.0.get(key).map(|v| v.get("value").or_else(|| v.get(0)).unwrap_or(v));
            match value {
                None | Some(Json::Null) => Ok(()),
                Some(v) if v.as_f64() == Some(0.0) => Ok(()),
                Some(_) => Err(format!("{key} {} is not supported", self.show(key))),
            }
        };
        zero("negative_slope")?;
        zero("threshold")?;
        let activation = match self.number("max_value", f64::INFINITY)? {
            f64::INFINITY => Activation::Relu,
            6.0 => Activation::Relu6,
            hi if hi >= 0.0 => Activation::Clamp { lo: 0.0, hi: hi as f32 },
            hi => return Err(format!("max_value {hi} is below 0")),
        };
        Ok(Function::Plain(activation))
    }

    /// `target_shape`: the length of a vector, or of the channels of one pixel.
    fn vector(&self) -> Result<usize> {
        let shape = self.0.get("target_shape").and_then(Json::as_array);
        let vector = shape.and_then(|shape| match shape.as_slice() {
            [n] => size(n),
            [h, w, n] if [size(h), size(w)] == [Some(1); 2] => size(n),
            _ => None,
        });
        vector.filter(|&n| n > 0).ok_or_else(|| {
            format!("target_shape {} is not the length of a vector", self.show("target_shape"))
        })
    }

    /// `axis` must be the channels.
    fn channel_axis(&self) -> Result<()> {
        let axis = self.0.get("axis").map(|v| v.get(0).unwrap_or(v));
        match axis.map(Json::as_i64) {
            None | Some(Some(-1 | 3)) => Ok(()),
            _ => Err(format!("axis {} is not the channels (-1 or 3)", self.show("axis"))),
        }
    }

    fn check_layout(&self) -> Result<()> {
        match self.0.get("data_format") {
            None | Some(Json::Null) => Ok(()),
            Some(value) if value.as_str() == Some("channels_last") => Ok(()),
            Some(_) => {
                Err(format!("data format {} is not channels_last", self.show("data_format")))
            }
        }
    }

    fn check_dtype(&self) -> Result<()> {
        let dtype = self.0.get("dtype").unwrap_or(&Json::Null);
        let policy = dtype.get("config").and_then(|c| c.get("name")).unwrap_or(dtype);
        match policy {
            Json::Null => Ok(()),
            value if value.as_str() == Some("float32") => Ok(()),
            value => Err(format!("dtype {} is not float32", brief(value))),
        }
    }
}

/// JSON quoted in an error, kept short.
fn brief(json: &Json) -> String {
    json.to_string().chars().take(80).collect()
}

/// A whole number.
fn size(json: &Json) -> Option<usize> {
    json.as_u64().and_then(|n| usize::try_from(n).ok())
}

fn text<'a>(json: &'a Json, key: &str) -> Result<&'a str> {
    json.get(key).and_then(Json::as_str).ok_or_else(|| format!("{key} is missing or not a string"))
}

/// A layer's name: beside its class, or in its config.
fn layer_name(layer: &Json) -> Result<&str> {
    let inner = layer.get("config").and_then(|c| c.get("name"));
    let name = layer.get("name").or(inner).and_then(Json::as_str);
    name.ok_or_else(|| "a layer without a name".into())
}

/// A class of one's own may be called like one of Keras's: only Keras's packages will do.
fn known_package(layer: &Json) -> Result<()> {
    for key in ["module", "registered_name"] {
        let value = layer.get(key).and_then(Json::as_str);
        let foreign = value.is_some_and(|v| match key {
            "module" => {
                !["keras", "tf_keras", "tensorflow"].contains(&v.split('.').next().unwrap_or(v))
            }
            _ => v.contains('>'),
        });
        if foreign {
            return Err(format!("{key} {value:?} is not Keras's own"));
        }
    }
    Ok(())
}

/// The batch shape of an input layer, or of a layer that states its input.
fn input_shape(layer: &Json) -> Option<&Json> {
    let config = layer.get("config")?;
    config.get("batch_shape").or_else(|| config.get("batch_input_shape"))
}

/// [batch, height, width, channels]: height and width may be open.
fn batch_shape(shape: Option<&Json>, name: &str) -> Result<([Option<usize>; 2], usize)> {
    let shape = shape.unwrap_or(&Json::Null);
    let error = || {
        let shown = brief(shape);
        format!("the input of {name:?} has shape {shown}, not [batch, height, width, channels]")
    };
    let open = |v: &Json| match v {
        Json::Null => Some(None),
        v => size(v).map(Some),
    };
    match shape.as_array().map(Vec::as_slice) {
        Some([_, height, width, channels]) => {
            let size_ = open(height).zip(open(width)).ok_or_else(error)?;
            let channels = size(channels).filter(|&c| c > 0).ok_or_else(error)?;
            Ok(([size_.0, size_.1], channels))
        }
        _ => Err(error()),
    }
}

/// The layers named by `input_layers` or `output_layers`: `["x", 0, 0]`, or a list of such.
fn endpoints(json: Option<&Json>) -> Vec<&str> {
    let Some(list) = json.and_then(Json::as_array) else {
        return Vec::new();
    };
    match list.first().and_then(Json::as_str) {
        Some(name) => vec![name],
        None => list.iter().filter_map(|e| e.get(0)?.as_str()).collect(),
    }
}

/// The layers whose outputs a layer takes.
fn operands(layer: &Json) -> Result<Vec<&str>> {
    let calls = layer.get("inbound_nodes").and_then(Json::as_array);
    let call = match calls.map(Vec::as_slice) {
        Some([call]) => call,
        Some(calls) if calls.len() > 1 => {
            return Err(format!("shared: it is called {} times", calls.len()));
        }
        _ => return Err("it is not called".into()),
    };
    let mut names = Vec::new();
    if let Some(call) = call.as_object() {
        // Keras 3: {"args": [tensor or list of tensors], "kwargs": {…}}.
        for argument in call.get("args").and_then(Json::as_array).into_iter().flatten() {
            keras_tensors(argument, &mut names)?;
        }
        let kwargs = call.get("kwargs").and_then(Json::as_object);
        for (key, value) in kwargs.into_iter().flatten() {
            keyword(key, value)?;
        }
    } else if let Some(tensors) = call.as_array() {
        // Keras 2: ["layer", node, tensor, {…}], or a list of such.
        let one = tensors.first().is_some_and(Json::is_string);
        let tensors = if one { std::slice::from_ref(call) } else { tensors.as_slice() };
        for tensor in tensors {
            names.push(history(tensor)?);
            for (key, value) in tensor.get(3).and_then(Json::as_object).into_iter().flatten() {
                keyword(key, value)?;
            }
        }
    }
    if names.is_empty() {
        return Err("its operands are not understood".into());
    }
    Ok(names)
}

/// Collects the tensors of one positional argument.
fn keras_tensors<'a>(argument: &'a Json, names: &mut Vec<&'a str>) -> Result<()> {
    if let Some(list) = argument.as_array() {
        return list.iter().try_for_each(|item| keras_tensors(item, names));
    }
    let tensor = argument.get("config").and_then(|c| c.get("keras_history"));
    names.push(history(tensor.unwrap_or(&Json::Null))?);
    Ok(())
}

/// The layer of `["layer", node, tensor, …]`. The node index is of no interest: layers are called once.
fn history(tensor: &Json) -> Result<&str> {
    let name = tensor.get(0).and_then(Json::as_str);
    match (name, tensor.get(2).and_then(Json::as_u64)) {
        (Some(name), Some(0)) => Ok(name),
        (Some(name), Some(n)) => Err(format!("it takes output {n} of {name:?}")),
        _ => Err("its operands are not understood".into()),
    }
}

/// An argument by keyword must say nothing: no mask, no training mode.
fn keyword(key: &str, value: &Json) -> Result<()> {
    match value {
        Json::Null | Json::Bool(false) => Ok(()),
        _ => Err(format!("called with {key}, which is not supported")),
    }
}
