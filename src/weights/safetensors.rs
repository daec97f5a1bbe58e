//! Reads timm's models from safetensors files, and passes files of this crate's own format on.
//!
//! A file has a JSON header with the name, type, shape and place of each tensor, followed by the
//! bytes of the tensors. It holds no architecture: the names of the tensors show which of timm's
//! networks it is, and their shapes show the rest.
//!
//! The `safetensors` crate checks that types, shapes and places in the header match and leave no
//! gaps. It gets the header only, so that tensors can be read one by one.

use std::collections::{BTreeMap, HashMap, HashSet};

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::bytes::Bytes;
use super::elements::{Format, check_finite};
use super::metadata::Link;
use super::{Model, Tensor, Variable, Weights, saved, variables};
use crate::models::{
    AlignedXceptionConfig, Flavour, Head, XceptionConfig, aligned_xception, xception,
};
use crate::network::{Network, Op};

/// The most bytes of a header. It takes up to fifty times as much memory. Xception-71's has 100 KB.
pub(super) const MAX_HEADER: u64 = 1 << 20;
/// The number of bytes that hold the header's length, before the header.
const LENGTH: u64 = 8;

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// Whether a file is of this kind: a header follows after eight bytes.
pub(crate) fn recognises(bytes: &Bytes) -> bool {
    matches!(bytes.head::<9>(), Ok([.., b'{']))
}

/// Loads a model. The tensors show its network.
pub(crate) fn load(bytes: &Bytes) -> Result<Model> {
    let file = File::open(bytes)?;
    if saved::recognises(&file) {
        return saved::load(&file);
    }
    let network = recognise(&file.tensors)?;
    let weights = file.weights(&network);
    let weights =
        weights.map_err(|e| format!("recognised as timm's {}: {e}", timm_name(&network)))?;
    let mut model = Model::new(network, weights);
    // Networks without a head end in features.
    if model.network.rank(model.network.output()) == 2 {
        model.metadata.logits = Some(Link::Softmax);
    }
    Ok(model)
}

/// Loads the weights of a network. The file must have exactly its tensors.
pub(crate) fn load_weights(bytes: &Bytes, network: &Network) -> Result<Weights> {
    let file = File::open(bytes)?;
    match saved::recognises(&file) {
        true => saved::weights(&file, network),
        false => file.weights(network),
    }
}

/// What timm calls a network.
fn timm_name(network: &Network) -> &str {
    match network.name() {
        "xception" => "legacy_xception",
        name => name,
    }
}

pub(super) struct File {
    tensors: Metadata,
    data: Bytes,
}

impl File {
    /// What the header says under a key.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.tensors.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// All tensors by name.
    pub(super) fn tensors(&self) -> BTreeMap<String, &TensorInfo> {
        self.tensors.tensors().into_iter().collect()
    }

    /// The elements of a tensor of F32 and of this shape, which must be finite.
    pub(super) fn floats(&self, info: &TensorInfo, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.values(info, shape, Dtype::F32)?;
        let data = Format::F32.read(&values, false).map_err(|e| e.to_string())?;
        check_finite(&data)?;
        Ok(data)
    }

    /// The elements of a tensor of I8 and of this shape.
    pub(super) fn integers(&self, info: &TensorInfo, shape: &[usize]) -> Result<Vec<i8>> {
        let values = self.values(info, shape, Dtype::I8)?;
        // As many as the file has.
        let mut bytes = vec![0; values.len() as usize];
        values.read_at(0, &mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes.into_iter().map(|byte| byte as i8).collect())
    }

    fn values(&self, info: &TensorInfo, shape: &[usize], dtype: Dtype) -> Result<Bytes> {
        if info.shape != shape {
            return Err(format!("expected shape {shape:?}, got {:?}", info.shape));
        }
        if info.dtype != dtype {
            return Err(format!("expected elements of {dtype}, got {}", info.dtype));
        }
        self.place(info)
    }

    /// The bytes of a tensor.
    fn place(&self, info: &TensorInfo) -> Result<Bytes> {
        let (start, end) = info.data_offsets;
        let values = self.data.range(start as u64, (end - start) as u64);
        values.ok_or_else(|| {
            format!("bytes {start}..{end} lie outside the {} of all tensors", self.data.len())
        })
    }

    fn open(bytes: &Bytes) -> Result<Self> {
        let length = u64::from_le_bytes(bytes.head().map_err(|e| e.to_string())?);
        if length > MAX_HEADER {
            return Err(format!("the header has {length} bytes; at most {MAX_HEADER} are read"));
        }
        let start = LENGTH + length;
        let header = bytes.range(LENGTH, length);
        let data = bytes.len().checked_sub(start).and_then(|rest| bytes.range(start, rest));
        let (Some(header), Some(data)) = (header, data) else {
            return Err(format!("the header claims {length} bytes, the file has {}", bytes.len()));
        };
        let mut json = vec![0; length as usize];
        header.read_at(0, &mut json).map_err(|e| e.to_string())?;
        let tensors: Metadata =
            serde_json::from_slice(&json).map_err(|e| format!("header: {e}"))?;
        if tensors.data_len() as u64 != data.len() {
            let (claimed, found) = (tensors.data_len(), data.len());
            return Err(format!(
                "the header claims tensors of {claimed} bytes, the file has {found}"
            ));
        }
        Ok(Self { tensors, data })
    }

    /// Reads a tensor for each of the network's variables. No tensor of the file may be left over.
    fn weights(&self, network: &Network) -> Result<Weights> {
        let modules = modules(network);
        let mut left = self.tensors();
        let mut norms = HashSet::new();
        let mut weights = Weights::default();
        for variable in variables(network).map_err(|e| e.to_string())? {
            let module = &modules[variable.layer.as_str()];
            let name = module.tensor(&variable);
            let place = Place::of(&variable);
            let Some(info) = left.remove(&name) else {
                return Err(format!("tensor {name:?}: missing; expected shape {:?}", place.shape));
            };
            let data = self.read(info, &place).map_err(|e| format!("tensor {name:?}: {e}"))?;
            if variable.name == "moving_mean" {
                norms.insert(module.name.as_str());
            }
            let tensor = Tensor { shape: variable.shape.clone(), data };
            let inserted = weights.insert(&variable.layer, variable.name, tensor);
            inserted.map_err(|e| e.to_string())?;
        }
        // The count of training steps next to the statistics of a norm.
        left.retain(|name, _| {
            !name.strip_suffix(".num_batches_tracked").is_some_and(|norm| norms.contains(norm))
        });
        match left.first_key_value() {
            None => Ok(weights),
            Some((name, info)) => {
                let (network, shape) = (timm_name(network), &info.shape);
                Err(format!("{network} has no tensor {name:?} (shape {shape:?})"))
            }
        }
    }

    fn read(&self, info: &TensorInfo, place: &Place) -> Result<Vec<f32>> {
        if info.shape != place.shape {
            return Err(format!("expected shape {:?}, got {:?}", place.shape, info.shape));
        }
        let format = match info.dtype {
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::Bf16,
            Dtype::F32 => Format::F32,
            Dtype::F64 => Format::F64,
            other => {
                return Err(format!("expected elements of F16, BF16, F32 or F64, got {other}"));
            }
        };
        let values = self.place(info)?;
        let data = format.read(&values, false).map_err(|e| e.to_string())?;
        check_finite(&data)?;
        Ok(place.transpose(data))
    }
}

/// How a variable lies in a file.
struct Place {
    /// Its shape there.
    shape: Vec<usize>,
    /// The axes here, \[taps, inputs, outputs\]; the file has them in reverse order.
    axes: [usize; 3],
}

impl Place {
    fn of(variable: &Variable) -> Self {
        match (variable.name, &variable.shape[..]) {
            ("depthwise_kernel", &[h, w, c, m]) => {
                Self { shape: vec![c * m, 1, h, w], axes: [h * w, 1, c * m] }
            }
            (_, &[h, w, i, o]) => Self { shape: vec![o, i, h, w], axes: [h * w, i, o] },
            (_, &[i, o]) => Self { shape: vec![o, i], axes: [1, i, o] },
            (_, shape) => Self { shape: shape.into(), axes: [1, 1, variable.elements()] },
        }
    }

    fn transpose(&self, data: Vec<f32>) -> Vec<f32> {
        let [taps, inputs, outputs] = self.axes;
        if taps * inputs == 1 {
            return data;
        }
        let mut transposed = Vec::with_capacity(data.len());
        for t in 0..taps {
            for i in 0..inputs {
                transposed.extend((0..outputs).map(|o| data[(o * inputs + i) * taps + t]));
            }
        }
        transposed
    }
}

/// The network that the tensors belong to.
fn recognise(tensors: &Metadata) -> Result<Network> {
    // A tensor of unexpected rank is reported later, when shapes are compared.
    let extent = |name: &str, rank: usize, axis: usize| {
        tensors.info(name).and_then(|info| (info.shape.len() == rank).then(|| info.shape[axis]))
    };
    let has = |name: &str| tensors.info(name).is_some();
    let aligned = "stem.0.conv.weight";
    let legacy = "block1.rep.0.conv1.weight";
    let network = if has(aligned) {
        let block = |i: &usize| has(&format!("blocks.{i}.stack.conv1.conv_dw.weight"));
        let config = match (0..).take_while(block).count() {
            13 => AlignedXceptionConfig::xception41(),
            21 => AlignedXceptionConfig::xception65(),
            23 => AlignedXceptionConfig::xception71(),
            blocks => {
                return Err(format!(
                    "{aligned:?} has shape {:?}, as in timm's Aligned Xceptions, but the file has \
                     {blocks} blocks; expected 13 (xception41), 21 (xception65) or 23 (xception71)",
                    tensors.info(aligned).map_or(&[][..], |info| &info.shape)
                ));
            }
        };
        aligned_xception(&AlignedXceptionConfig {
            channels: extent(aligned, 4, 1).unwrap_or(config.channels),
            classes: extent("head.fc.weight", 2, 0),
            ..config
        })
    } else if has(legacy) {
        let config = XceptionConfig::default();
        xception(&XceptionConfig {
            channels: extent("conv1.weight", 4, 1).unwrap_or(config.channels),
            head: extent("fc.weight", 2, 0).map_or(Head::None, Head::Classes),
            flavour: Flavour::Timm,
            ..config
        })
    } else {
        let all = tensors.tensors();
        let first = all.iter().min_by_key(|(_, info)| info.data_offsets);
        let first = first
            .map_or("none".into(), |(name, info)| format!("{name:?} of shape {:?}", info.shape));
        return Err(format!(
            "expected a tensor {aligned:?} (timm's xception41, 65, 71) or {legacy:?} \
             (legacy_xception), got {} tensors, the first is {first}",
            all.len()
        ));
    };
    network.map_err(|e| e.to_string())
}

/// A layer as a module of timm.
struct Module {
    name: String,
    /// Whether it consists of two convolutions, `conv1` and `pointwise`.
    separable: bool,
}

impl Module {
    /// The name of a variable's tensor.
    fn tensor(&self, variable: &Variable) -> String {
        let name = match variable.name {
            "bias" | "beta" => "bias",
            "moving_mean" => "running_mean",
            "moving_variance" => "running_var",
            "pointwise_kernel" => "pointwise.weight",
            "depthwise_kernel" if self.separable => "conv1.weight",
            _ => "weight",
        };
        format!("{}.{name}", self.name)
    }
}

/// timm's module for each layer of the network. Names are the same, except for Xception.
fn modules(network: &Network) -> HashMap<&str, Module> {
    let xception = network.find("block1_conv1").is_some();
    let blocks = network.nodes().iter().filter_map(|node| block_of(&node.layer));
    let last = blocks.max().unwrap_or(0);
    let mut modules = HashMap::new();
    let mut block = 0;
    for node in network.nodes() {
        let layer = node.layer.as_str();
        // The names of projections lack the number of their block, which the layers around them
        // have.
        block = block_of(layer).unwrap_or(block);
        let name = if xception { legacy(layer, block, last) } else { None };
        let name = name.unwrap_or_else(|| layer.into());
        let separable = matches!(node.op, Op::Separable { .. });
        modules.insert(layer, Module { name, separable });
    }
    modules
}

/// The block number in the name of an Xception layer.
fn block_of(layer: &str) -> Option<usize> {
    layer.strip_prefix("block")?.split_once('_')?.0.parse().ok()
}

/// The module of `legacy_xception` for a layer of an Xception block. Block numbers are one lower
/// there, and the layers of the first and the `last` block are in no block.
fn legacy(layer: &str, block: usize, last: usize) -> Option<String> {
    let inner = block.checked_sub(1)?;
    if layer == "predictions" {
        return Some("fc".into());
    } else if layer.starts_with("conv2d") {
        return Some(format!("block{inner}.skip"));
    } else if layer.starts_with("batch_normalization") {
        return Some(format!("block{inner}.skipbn"));
    }
    let (name, kind) = match layer.strip_suffix("_bn") {
        Some(name) => (name, "bn"),
        None => (layer, "conv"),
    };
    let (_, name) = name.split_once('_')?;
    if let Some(i) = name.strip_prefix("conv") {
        return Some(format!("{kind}{i}"));
    }
    let i: usize = name.strip_prefix("sepconv")?.parse().ok()?;
    if block == last {
        return Some(format!("{kind}{}", i.checked_add(2)?));
    }
    // ReLU, convolution, norm, and so on. The first of these blocks has no first ReLU.
    let relu = usize::from(inner > 1);
    let at = i.checked_sub(1)?.checked_mul(3)? + relu + usize::from(kind == "bn");
    Some(format!("block{inner}.rep.{at}"))
}
