//! Which of timm's networks a safetensors file has, and which module each layer is.
//!
//! timm's files hold no architecture. Its repositories have a `config.json` beside the file, which
//! names it; so may the header. Otherwise the names of the tensors show which of timm's networks it
//! is, and their shapes show the rest.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use ::safetensors::tensor::Metadata as Tensors;
use serde_json::Value as Json;

use super::{Crop, Model, Resize, Scaling, Variable, variables};
use crate::models::{
    AlignedXceptionConfig, Flavour, Head, TimmConfig, XceptionConfig, aligned_xception, timm,
    timm_names, timm_of_blocks, xception,
};
use crate::network::{Network, Op};

/// The key under which the header and `config.json` name the network.
pub(super) const ARCHITECTURE: &str = "architecture";
/// The most bytes of a `config.json`. timm's have 1 KB.
const MAX_CONFIG: u64 = 1 << 16;
/// Those that other functions than [`timm`] build.
const XCEPTIONS: [&str; 5] =
    ["legacy_xception", "xception", "xception41", "xception65", "xception71"];

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// What is said of a model outside of its tensors.
#[derive(Default)]
pub(super) struct Hint {
    /// timm's name, and where it is from.
    name: Option<(String, &'static str)>,
    /// timm's `pretrained_cfg`: what pictures its weights want.
    pretrained: Json,
    note: Option<String>,
}

impl Hint {
    /// From the header's name of the architecture and timm's `config.json` in `folder`.
    pub(super) fn of(header: Option<&str>, folder: Option<&Path>) -> Self {
        let mut hint = Self::default();
        match folder.map(|folder| folder.join("config.json")).filter(|path| path.is_file()) {
            None => {}
            Some(path) => match config(&path) {
                Ok(mut json) => {
                    if let Some(name) = json[ARCHITECTURE].as_str() {
                        hint.name = Some((untagged(name), "the config.json beside the file"));
                        hint.pretrained = json["pretrained_cfg"].take();
                    }
                }
                Err(error) => {
                    hint.note =
                        Some(format!("the config.json beside the file is not read: {error}"));
                }
            },
        }
        // The header is closer to the tensors than a file that may be another one's.
        if let Some(name) = header.map(untagged) {
            if hint.name.as_ref().is_none_or(|(other, _)| *other != name) {
                hint.pretrained = Json::Null;
            }
            hint.name = Some((name, "the header"));
        }
        hint
    }

    /// The beginning of a sentence that ends in a network's name.
    pub(super) fn recognised(&self) -> String {
        match &self.name {
            Some((_, from)) => format!("{from} names"),
            None => "recognised as".into(),
        }
    }

    /// Says what is known of the model's pictures.
    pub(super) fn describe(self, model: &mut Model) {
        let metadata = &mut model.metadata;
        metadata.notes.extend(self.note);
        let numbers = |key: &str| {
            let list = self.pretrained[key].as_array()?;
            let numbers: Option<Vec<f32>> =
                list.iter().map(|x| x.as_f64().map(|x| x as f32)).collect();
            numbers.filter(|numbers| numbers.len() == 3 && numbers.iter().all(|x| x.is_finite()))
        };
        if let (Some(mean), Some(std)) = (numbers("mean"), numbers("std"))
            && std.iter().all(|&x| x > 0.0)
        {
            let why = "as the config.json beside the file says".into();
            (metadata.mean, metadata.std) = (Vec::new(), Vec::new());
            let scaling = if mean == IMAGENET[0] && std == IMAGENET[1] {
                Scaling::Torch
            } else if [mean.as_slice(), &std] == [[0.5; 3]; 2] {
                Scaling::Tf
            } else {
                (metadata.mean, metadata.std) = (mean, std);
                Scaling::Unit
            };
            metadata.scaling = Some((scaling, why));
        }
        let share = self.pretrained["crop_pct"].as_f64();
        match (share.filter(|share| *share > 0.0 && *share <= 1.0), &self.pretrained["crop_mode"]) {
            (None, _) => {}
            (Some(share), Json::Null) => metadata.crop = Some(Crop { share, squash: false }),
            (Some(share), Json::String(mode)) if ["center", "squash"].contains(&mode.as_str()) => {
                metadata.crop = Some(Crop { share, squash: mode == "squash" });
            }
            (Some(_), mode) => metadata.notes.push(format!(
                "the config.json beside the file asks for the crop mode {mode}, which is not known"
            )),
        }
        match self.pretrained["interpolation"].as_str() {
            Some("bicubic") => metadata.resize = Some(Resize::Bicubic),
            Some("bilinear") => metadata.resize = Some(Resize::Bilinear),
            Some("nearest") => metadata.resize = Some(Resize::Nearest),
            Some(other) => metadata.notes.push(format!(
                "the config.json beside the file asks for the interpolation {other:?}, which is \
                 not known"
            )),
            None => {}
        }
    }

    /// The input's height and width.
    fn size(&self) -> Option<[usize; 2]> {
        let list = self.pretrained["input_size"].as_array()?;
        let side = |at: usize| {
            let side = list.get(at)?.as_u64().and_then(|side| usize::try_from(side).ok());
            side.filter(|&side| side > 0)
        };
        Some([side(1)?, side(2)?])
    }
}

/// ImageNet's mean and standard deviation.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// `tf_efficientnet_b0` of `tf_efficientnet_b0.in1k`.
fn untagged(name: &str) -> String {
    name.split('.').next().unwrap_or_default().to_owned()
}

fn config(path: &Path) -> Result<Json> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(MAX_CONFIG + 1).read_to_end(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(format!("it has more than {MAX_CONFIG} bytes"));
    }
    serde_json::from_slice(&text).map_err(|e| e.to_string())
}

/// The network that the tensors belong to, with a note if another one has the same tensors.
pub(super) fn recognise(tensors: &Tensors, hint: &Hint) -> Result<(Network, Option<String>)> {
    match &hint.name {
        Some((name, _)) if timm_names().any(|known| known == name) => {
            let network = named(name, tensors, hint).map_err(|e| e.to_string())?;
            return Ok((network, None));
        }
        Some((name, from)) if !XCEPTIONS.contains(&name.as_str()) => {
            let error = TimmConfig::new(name).err();
            let message = error.map_or_else(String::new, |e| e.to_string());
            return Err(format!("{from} names a network: {message}, {}", XCEPTIONS.join(", ")));
        }
        _ => {}
    }
    if let Some(network) = recognise_xception(tensors)? {
        return Ok((network, None));
    }
    let counts = |name: &&String| !name.ends_with(".num_batches_tracked");
    let there = tensors.tensors().keys().filter(counts).count();
    let mut best: Vec<(&str, Network)> = Vec::new();
    let mut least = usize::MAX;
    for name in timm_of_blocks(blocks(tensors)) {
        let network = named(name, tensors, hint).map_err(|e| e.to_string())?;
        let (found, all) = matches(&network, tensors).map_err(|e| e.to_string())?;
        // A file with a few wrong tensors is reported by these: half of a network's are enough.
        let wrong = (all - found) + (there - found);
        if 2 * found < all || wrong > least {
            continue;
        }
        if wrong < least {
            best.clear();
        }
        least = wrong;
        best.push((name, network));
    }
    let mut best = best.into_iter();
    let Some((name, network)) = best.next() else {
        return Err(unknown(tensors));
    };
    let others: Vec<&str> = best.map(|(name, _)| name).collect();
    let note = (!others.is_empty()).then(|| {
        let others = others.join(" and ");
        format!(
            "taken for timm's {name}; {others} has the same tensors, but other padding and \
             \u{3b5}: its name in the header's {ARCHITECTURE:?}, timm's config.json beside the \
             file, or --model tells them apart"
        )
    });
    Ok((network, note))
}

/// One of timm's networks, with the input channels and classes of the tensors.
fn named(name: &str, tensors: &Tensors, hint: &Hint) -> crate::Result<Network> {
    let mut config = TimmConfig::new(name)?;
    let first = extent(tensors, "conv_stem.weight", 4, 1);
    let first = first.or_else(|| extent(tensors, "stem.0.weight", 4, 1));
    // Zero is no number of either; shapes are compared later.
    config.channels = first.filter(|&channels| channels > 0).unwrap_or(config.channels);
    let heads = ["classifier.weight", "head.fc.weight"];
    let head = heads.iter().find_map(|head| tensors.info(head)?.shape.first());
    config.classes = head.copied().filter(|&classes| classes > 0);
    if let Some(size) = hint.size() {
        config.size = size.map(Some);
    }
    timm(&config)
}

/// How many of a network's tensors are there, in their shapes, and how many it has.
fn matches(network: &Network, tensors: &Tensors) -> crate::Result<(usize, usize)> {
    let modules = modules(network);
    let variables = variables(network)?;
    let found = variables.iter().filter(|variable| {
        let name = modules[variable.layer.as_str()].tensor(variable);
        let shape = super::safetensors::shape(variable);
        tensors.info(&name).is_some_and(|info| info.shape == shape)
    });
    Ok((found.count(), variables.len()))
}

/// The number of blocks, `blocks.1.0` or `stages.1.blocks.0`.
fn blocks(tensors: &Tensors) -> usize {
    let names = tensors.tensors();
    let block = |name: &'_ String| {
        let mut parts = name.split('.');
        let numbers = match (parts.next()?, parts.next()?, parts.next()?) {
            ("blocks", stage, block) => [stage, block],
            ("stages", stage, "blocks") => [stage, parts.next()?],
            _ => return None,
        };
        let [stage, block] = numbers.map(|number| number.parse::<usize>().ok());
        Some([stage?, block?])
    };
    names.keys().filter_map(block).collect::<BTreeSet<_>>().len()
}

fn unknown(tensors: &Tensors) -> String {
    let all = tensors.tensors();
    let first = all.iter().min_by_key(|(_, info)| info.data_offsets);
    let first =
        first.map_or("none".into(), |(name, info)| format!("{name:?} of shape {:?}", info.shape));
    let names: Vec<&str> = XCEPTIONS.into_iter().chain(timm_names()).collect();
    format!(
        "expected the tensors of one of timm's {}; got {} tensors in {} blocks, the first is \
         {first}",
        names.join(", "),
        all.len(),
        blocks(tensors)
    )
}

/// A tensor's extent along an axis. One of unexpected rank is reported later, when shapes are
/// compared.
fn extent(tensors: &Tensors, name: &str, rank: usize, axis: usize) -> Option<usize> {
    let info = tensors.info(name)?;
    (info.shape.len() == rank).then(|| info.shape[axis])
}

/// The Xception that the tensors belong to.
fn recognise_xception(tensors: &Tensors) -> Result<Option<Network>> {
    let extent = |name: &str, rank: usize, axis: usize| extent(tensors, name, rank, axis);
    let has = |name: &str| tensors.info(name).is_some();
    let aligned = "stem.0.conv.weight";
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
    } else if has("block1.rep.0.conv1.weight") {
        let config = XceptionConfig::default();
        xception(&XceptionConfig {
            channels: extent("conv1.weight", 4, 1).unwrap_or(config.channels),
            head: extent("fc.weight", 2, 0).map_or(Head::None, Head::Classes),
            flavour: Flavour::Timm,
            ..config
        })
    } else {
        return Ok(None);
    };
    network.map(Some).map_err(|e| e.to_string())
}

/// What timm calls a network.
pub(super) fn timm_name(network: &Network) -> &str {
    match network.name() {
        "xception" => "legacy_xception",
        name => name,
    }
}

/// A layer as a module of timm.
pub(super) struct Module {
    pub(super) name: String,
    form: Form,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// A module with a `weight`.
    Plain,
    /// Two convolutions, `conv1` and `pointwise`.
    Separable,
    /// A tensor by itself.
    Tensor,
}

impl Module {
    /// The name of a variable's tensor.
    pub(super) fn tensor(&self, variable: &Variable) -> String {
        if self.form == Form::Tensor {
            return self.name.clone();
        }
        let name = match variable.name {
            "bias" | "beta" => "bias",
            "moving_mean" => "running_mean",
            "moving_variance" => "running_var",
            "pointwise_kernel" => "pointwise.weight",
            "depthwise_kernel" if self.form == Form::Separable => "conv1.weight",
            _ => "weight",
        };
        format!("{}.{name}", self.name)
    }
}

/// timm's module for each layer of the network. Names are the same, except for Xception's.
pub(super) fn modules(network: &Network) -> HashMap<&str, Module> {
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
        let form = match node.op {
            Op::Separable { .. } => Form::Separable,
            Op::Scale => Form::Tensor,
            _ => Form::Plain,
        };
        modules.insert(layer, Module { name, form });
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
