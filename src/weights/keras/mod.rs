//! Reads Keras models: `.keras`, `.weights.h5` and legacy `.h5`.
//!
//! The kind of a file follows from its content, not from its name:
//!
//! | content | network | weights |
//! |---|---|---|
//! | zip (`.keras`) | `config.json` | `model.weights.h5`, Keras 3's paths |
//! | HDF5 with attribute `model_config` | that attribute | group `model_weights`, by order |
//! | HDF5 with attribute `layer_names` | none: Xception is assumed | the file, by order |
//! | HDF5 with group `layers` (`.weights.h5`) | none: Xception is assumed | the file, Keras 3's paths |
//! | text with `modelTopology` | of TensorFlow.js, see [`tfjs`] | |
//!
//! Memory and time stay within a few multiples of the file's size (and 128 MiB for a
//! configuration), whatever the file claims. Nothing outside the file is read but TensorFlow.js's
//! files of weights: an array in another file, or a link to one, is refused.

mod calls;
mod config;
mod json;
mod layers;
mod layout;
pub(crate) mod tfjs;
mod training;

use std::io::Read;

use serde_json::Value as Json;

use super::archive::Archive;
use super::bytes::Bytes;
use super::elements::check_finite;
use super::formats::{PYTORCH, SAVE};
use super::hdf5::{Hdf5, on_deep_stack};
use super::metadata::{self, Link};
use super::variables::check;
use super::{Model, Tensor, Weights};
use crate::models::{Head, XceptionConfig, xception};
use crate::network::{Network, OutputKind};
pub use layers::ACTIVATIONS;

use config::Entry;

/// The most bytes of JSON in a configuration. Xception's has 140 KB.
const MAX_CONFIG: u64 = 16 << 20;

/// The side to assume for an input of any size.
const OPEN_SIDE: usize = 1 << 10;

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// The kind of a Keras file.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Zip,
    Hdf5,
}

/// The kind of a file by its first bytes, if it is one of Keras's.
pub(crate) fn kind(bytes: &Bytes) -> Option<Kind> {
    match bytes.head::<8>() {
        Ok([b'P', b'K', 3, 4, ..]) => Some(Kind::Zip),
        Ok([0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1A, b'\n']) => Some(Kind::Hdf5),
        _ => None,
    }
}

/// Loads a model. A file of weights alone is taken for a Keras Applications Xception, with the head
/// that the weights show.
pub(crate) fn load(bytes: Bytes, kind: Kind) -> Result<Model> {
    on_deep_stack(|| load_from(bytes, kind))
}

/// Loads the weights of a network from a file with or without an architecture.
pub(crate) fn load_weights(bytes: Bytes, kind: Kind, network: &Network) -> Result<Weights> {
    on_deep_stack(|| {
        if let Some(weights) = weights_alone(&bytes, kind, network)? {
            return Ok(weights);
        }
        let model = load_from(bytes, kind)?;
        check(&model.weights, network).map_err(|e| e.to_string())?;
        Ok(model.weights)
    })
}

fn load_from(bytes: Bytes, kind: Kind) -> Result<Model> {
    match kind {
        Kind::Zip => {
            let mut archive = Archive::open(bytes)?;
            if !archive.contains("config.json") {
                return Err(not_keras(&archive));
            }
            let mut json = |name: &str| {
                let mut bytes = Vec::new();
                let mut entry = archive.entry(name, MAX_CONFIG)?.cursor();
                entry.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
                config::json(&bytes).map_err(|e| format!("{name}: {e}"))
            };
            let config = json("config.json")?;
            // Keras itself does without it.
            let metadata = json("metadata.json").unwrap_or_default();
            let version = metadata.get("keras_version").and_then(Json::as_str);
            let training = config.get("compile_config").unwrap_or(&Json::Null);
            let parsed = Parsed::new(&config, training, version);
            let parsed = parsed.map_err(|e| format!("config.json: {e}"))?;
            let weights = archive.entry("model.weights.h5", u64::MAX)?;
            let weights = Hdf5::open(weights).and_then(|file| parsed.read(&file, ""));
            let weights = weights.map_err(|e| format!("model.weights.h5: {e}"))?;
            Ok(parsed.model(weights))
        }
        Kind::Hdf5 => {
            let file = Hdf5::open(bytes)?;
            let attributes = file.attributes("")?;
            if attributes.contains("model_config") {
                let json = |name: &str| {
                    let text = attributes.string(name).unwrap_or_default();
                    config::json(text.as_bytes()).map_err(|e| format!("{name}: {e}"))
                };
                let config = json("model_config")?;
                let training = json("training_config").unwrap_or_default();
                let parsed = Parsed::new(&config, &training, attributes.string("keras_version"));
                let parsed = parsed.map_err(|e| format!("model_config: {e}"))?;
                let weights = parsed.read(&file, "model_weights")?;
                return Ok(parsed.model(weights));
            }
            let config = XceptionConfig { head: head(&file)?, ..XceptionConfig::default() };
            let network = xception(&config).map_err(|e| e.to_string())?;
            let entries = layout::flat(&network);
            let weights = read(&file, &network, &entries, "").map_err(|e| {
                format!(
                    "the file holds weights alone, but not those of Keras's Xception: {e}; name the \
                     architecture (--model, `load_weights`), or {SAVE}"
                )
            });
            Ok(Model::new(network, weights?))
        }
    }
}

/// The error for a zip file that is no Keras model.
fn not_keras(archive: &Archive) -> String {
    let is_torch = archive.names().any(|name| name.ends_with("data.pkl"));
    match is_torch {
        true => PYTORCH.into(),
        false => format!("a zip file without config.json is not a .keras file; {SAVE}"),
    }
}

/// A configuration that has been read.
struct Parsed {
    architecture: config::Architecture,
    logits: Option<Link>,
}

impl Parsed {
    fn new(config: &Json, training: &Json, version: Option<&str>) -> Result<Self> {
        let keras2 = version.is_some_and(|v| v.starts_with("2.") || v.starts_with("1."));
        let architecture = config::parse(config, keras2)?;
        let network = &architecture.network;
        let output = &network.outputs()[0];
        let ([height, width], channels) = network.input();
        let side = |side: Option<usize>| side.unwrap_or(OPEN_SIDE);
        let shapes = network.shapes([1, side(height), side(width), channels]);
        let units = shapes.map_or(0, |shapes| shapes[output.node.index()][3]);
        let logits = match network.kind(output.node) {
            OutputKind::Values => training::logits(training, &output.name, 0, units),
            _ => None,
        };
        Ok(Self { architecture, logits })
    }

    fn read(&self, file: &Hdf5, group: &str) -> Result<Weights> {
        read(file, &self.architecture.network, &self.architecture.root, group)
    }

    fn model(self, weights: Weights) -> Model {
        let config::Architecture { network, models, dtype, .. } = self.architecture;
        let mut model = Model::new(network, weights);
        let names = models.iter().map(String::as_str);
        model.metadata.scaling = metadata::scaling(&model.network, names);
        model.metadata.logits = self.logits;
        let note = |dtype| format!("the model's type is {dtype}; it is computed in float32");
        model.metadata.notes.extend(dtype.map(note));
        model
    }
}

/// The weights of `network` if the file holds weights alone.
fn weights_alone(bytes: &Bytes, kind: Kind, network: &Network) -> Result<Option<Weights>> {
    if kind == Kind::Zip {
        return Ok(None);
    }
    let file = Hdf5::open(bytes.clone())?;
    if file.attributes("")?.contains("model_config") {
        return Ok(None);
    }
    read(&file, network, &layout::flat(network), "").map(Some)
}

/// The head of an Xception whose weights alone are known: the outputs of its only dense layer.
fn head(file: &Hdf5) -> Result<Head> {
    let path = if layout::is_current(file)? {
        let base = "layers/dense/vars";
        let top = file.groups("layers")?.iter().any(|g| g == "dense");
        top.then(|| format!("{base}/0"))
    } else {
        let last = layout::legacy_arrays(file, "")?.pop();
        let last = last.and_then(|(group, names)| Some(format!("{group}/{}", names.first()?)));
        Some(last.ok_or("expected a group `layers` or an attribute `layer_names`, found neither")?)
    };
    let shape = path.map(|path| file.shape(&path)).transpose()?;
    Ok(match shape.as_deref() {
        Some([_, classes]) => Head::Classes(usize::try_from(*classes).map_err(|e| e.to_string())?),
        _ => Head::None,
    })
}

/// Reads every variable of the network.
fn read(file: &Hdf5, network: &Network, entries: &[Entry], group: &str) -> Result<Weights> {
    let layers = layout::by_layer(network).map_err(|e| e.to_string())?;
    let mut places = Vec::new();
    if group.is_empty() && layout::is_current(file)? {
        layout::current(file, group, entries, &layers, &mut places)?;
    } else {
        layout::legacy(file, group, entries, &layers, &mut places)?;
    }
    let mut weights = Weights::default();
    for (variable, path) in places.into_iter().filter(|(v, _)| v.name != layout::COUNT) {
        let tensor = format!("{}/{}", variable.layer, variable.name);
        let error = |e: String| format!("tensor {tensor:?} ({path}): {e}");
        let data = file.read(&path, &layout::stored_shapes(variable)).map_err(error)?;
        check_finite(&data).map_err(error)?;
        let shape = variable.shape.clone();
        let inserted = weights.insert(&variable.layer, variable.name, Tensor { shape, data });
        inserted.map_err(|e| e.to_string())?;
    }
    Ok(weights)
}
