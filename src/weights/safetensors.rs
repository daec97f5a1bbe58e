//! timm's models in safetensors files.
//!
//! Such a file is a header in JSON, of each tensor's name, type, shape and place, and the tensors'
//! bytes. It holds no architecture: which of timm's networks it is of is seen from names, the rest
//! of it from shapes.
//!
//! The `safetensors` crate checks the header: types, shapes and places fit each other and leave no
//! byte between them out. It is given the header alone, so that tensors are read one by one.

use std::collections::{BTreeMap, HashMap, HashSet};

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::bytes::Bytes;
use super::elements::{Format, check_finite};
use super::metadata::Link;
use super::{Model, Tensor, Variable, Weights, variables};
use crate::models::{
    AlignedXceptionConfig, Flavour, Head, XceptionConfig, aligned_xception, xception,
};
use crate::network::{Network, Op};

/// Most bytes of a header, which takes fifty times as many in memory at worst. That of Xception-71
/// has 100 KB.
const MAX_HEADER: u64 = 1 << 20;
/// Bytes of the header's length, in front of it.
const LENGTH: u64 = 8;

/// Sentences; the caller puts the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// Whether a file is of this kind: behind eight bytes, a header.
pub(crate) fn recognises(bytes: &Bytes) -> bool {
    matches!(bytes.head::<9>(), Ok([.., b'{']))
}

/// The model of a file, of the network that its tensors show.
pub(crate) fn load(bytes: &Bytes) -> Result<Model> {
    let file = File::open(bytes)?;
    let network = recognise(&file.tensors)?;
    let weights = file.weights(&network);
    let weights = weights.map_err(|e| format!("taken for timm's {}: {e}", timm_name(&network)))?;
    let mut model = Model::new(network, weights);
    // Networks without a head end in features.
    if model.network.is_vector(model.network.output()) {
        model.metadata.logits = Some(Link::Softmax);
    }
    Ok(model)
}

/// The weights of a network, whose tensors must be those of the file.
pub(crate) fn load_weights(bytes: &Bytes, network: &Network) -> Result<Weights> {
    File::open(bytes)?.weights(network)
}

/// What timm calls a network.
fn timm_name(network: &Network) -> &str {
    match network.name() {
        "xception" => "legacy_xception",
        name => name,
    }
}

struct File {
    tensors: Metadata,
    data: Bytes,
}

impl File {
    fn open(bytes: &Bytes) -> Result<Self> {
        let length = u64::from_le_bytes(bytes.head().map_err(|e| e.to_string())?);
        if length > MAX_HEADER {
            return Err(format!("a header of {length} bytes, more than {MAX_HEADER}"));
        }
        let start = LENGTH + length;
        let header = bytes.range(LENGTH, length);
        let data = bytes.len().checked_sub(start).and_then(|rest| bytes.range(start, rest));
        let (Some(header), Some(data)) = (header, data) else {
            return Err(format!("a header of {length} bytes in a file of {}", bytes.len()));
        };
        let mut json = vec![0; length as usize];
        header.read_at(0, &mut json).map_err(|e| e.to_string())?;
        let tensors: Metadata =
            serde_json::from_slice(&json).map_err(|e| format!("header: {e}"))?;
        if tensors.data_len() as u64 != data.len() {
            let (claimed, found) = (tensors.data_len(), data.len());
            return Err(format!("tensors of {claimed} bytes where the file has {found}"));
        }
        Ok(Self { tensors, data })
    }

    /// A tensor for each of the network's variables. None may be left over.
    fn weights(&self, network: &Network) -> Result<Weights> {
        let modules = modules(network);
        let mut left: BTreeMap<String, &TensorInfo> = self.tensors.tensors().into_iter().collect();
        let mut norms = HashSet::new();
        let mut weights = Weights::default();
        for variable in variables(network).map_err(|e| e.to_string())? {
            let module = &modules[variable.layer.as_str()];
            let name = module.tensor(&variable);
            let place = Place::of(&variable);
            let Some(info) = left.remove(&name) else {
                return Err(format!("tensor {name:?} is missing (shape {:?})", place.shape));
            };
            let data = self.read(info, &place).map_err(|e| format!("tensor {name:?}: {e}"))?;
            if variable.name == "moving_mean" {
                norms.insert(module.name.as_str());
            }
            let tensor = Tensor { shape: variable.shape.clone(), data };
            let inserted = weights.insert(&variable.layer, variable.name, tensor);
            inserted.map_err(|e| e.to_string())?;
        }
        // A count of training steps beside a norm's statistics.
        left.retain(|name, _| {
            !name.strip_suffix(".num_batches_tracked").is_some_and(|norm| norms.contains(norm))
        });
        match left.first_key_value() {
            None => Ok(weights),
            Some((name, info)) => {
                let (network, shape) = (timm_name(network), &info.shape);
                Err(format!("tensor {name:?} of shape {shape:?} is none of {network}'s"))
            }
        }
    }

    fn read(&self, info: &TensorInfo, place: &Place) -> Result<Vec<f32>> {
        if info.shape != place.shape {
            return Err(format!("shape {:?} where {:?} is needed", info.shape, place.shape));
        }
        let format = match info.dtype {
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::Bf16,
            Dtype::F32 => Format::F32,
            Dtype::F64 => Format::F64,
            other => return Err(format!("elements are {other}, not F16, BF16, F32 or F64")),
        };
        let (start, end) = info.data_offsets;
        let values = self.data.range(start as u64, (end - start) as u64);
        let values = values.ok_or_else(|| {
            format!("bytes {start} to {end} of the {} of all tensors", self.data.len())
        })?;
        let data = format.read(&values, false).map_err(|e| e.to_string())?;
        check_finite(&data)?;
        Ok(place.transpose(data))
    }
}

/// How a variable lies in a file.
struct Place {
    /// Its shape there.
    shape: Vec<usize>,
    /// Here it is \[taps, inputs, outputs\], there the reverse.
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

/// The network that the tensors are of.
fn recognise(tensors: &Metadata) -> Result<Network> {
    // What another rank than expected would say, the comparison of shapes says better.
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
                    "{aligned:?} of shape {:?}, as in timm's Aligned Xceptions, but {blocks} blocks \
                     (\"blocks.{blocks}.stack.conv1.conv_dw.weight\" is missing) where xception41 has \
                     13, xception65 has 21, xception71 has 23",
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
            "none of timm's Xceptions: neither {aligned:?} (xception41, 65, 71) nor {legacy:?} \
             (legacy_xception) is among the {} tensors, the first of which is {first}",
            all.len()
        ));
    };
    network.map_err(|e| e.to_string())
}

/// A layer as timm has it.
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

/// timm's modules by the network's layers: those of the same names, but for Xception's.
fn modules(network: &Network) -> HashMap<&str, Module> {
    let xception = network.find("block1_conv1").is_some();
    let blocks = network.nodes().iter().filter_map(|node| block_of(&node.layer));
    let last = blocks.max().unwrap_or(0);
    let mut modules = HashMap::new();
    let mut block = 0;
    for node in network.nodes() {
        let layer = node.layer.as_str();
        // Projections stand among the layers of their block, whose number their own names lack.
        block = block_of(layer).unwrap_or(block);
        let name = if xception { legacy(layer, block, last) } else { None };
        let name = name.unwrap_or_else(|| layer.into());
        let separable = matches!(node.op, Op::Separable { .. });
        modules.insert(layer, Module { name, separable });
    }
    modules
}

/// The number in the name of a layer of a block of Xception's.
fn block_of(layer: &str) -> Option<usize> {
    layer.strip_prefix("block")?.split_once('_')?.0.parse().ok()
}

/// The module in `legacy_xception` of a layer of Xception's in that block. The numbers of blocks
/// are one lower there; the layers of the first and of the `last` one are in none.
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
    // ReLU, convolution, norm, and so on; the first of these blocks lacks its first ReLU.
    let relu = usize::from(inner > 1);
    let at = i.checked_sub(1)?.checked_mul(3)? + relu + usize::from(kind == "bn");
    Some(format!("block{inner}.rep.{at}"))
}
