//! Keras models: `.keras`, `.weights.h5` and legacy `.h5`.
//!
//! The kind of a file is seen from its content, not from its name:
//!
//! | content | network | weights |
//! |---|---|---|
//! | zip (`.keras`) | `config.json` | `model.weights.h5`, Keras 3's paths |
//! | HDF5 with attribute `model_config` | that attribute | group `model_weights`, by order |
//! | HDF5 with attribute `layer_names` | none: Xception is assumed | the file, by order |
//! | HDF5 with group `layers` (`.weights.h5`) | none: Xception is assumed | the file, Keras 3's paths |
//!
//! Memory and time stay within some multiples of the file's size (and 128 MiB for a configuration) whatever
//! the file claims. Nothing outside the file is read: an array that lies in another file, or is a link to
//! one, is refused.

mod archive;
mod config;
mod layout;

use std::io::Read;

use super::bytes::Bytes;
use super::elements::check_finite;
use super::hdf5::{Hdf5, on_deep_stack};
use super::{Model, Tensor, Weights, variables};
use crate::models::{Head, XceptionConfig, xception};
use crate::network::Network;
use archive::Archive;
use config::Entry;

/// Most bytes of JSON in a configuration. Xception's has 140 KB.
const MAX_CONFIG: u64 = 16 << 20;

/// Sentences; the caller puts the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// What a file of Keras is.
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

/// A file's model. Weights alone are taken for a Keras Applications Xception, with the head that they show.
pub(crate) fn load(bytes: Bytes, kind: Kind) -> Result<Model> {
    on_deep_stack(|| load_from(bytes, kind))
}

/// The weights of a network, in a file with an architecture or without.
pub(crate) fn load_weights(bytes: Bytes, kind: Kind, network: &Network) -> Result<Weights> {
    on_deep_stack(|| {
        if let Some(weights) = weights_alone(&bytes, kind, network)? {
            return Ok(weights);
        }
        let model = load_from(bytes, kind)?;
        for variable in variables(network).map_err(|e| e.to_string())? {
            let found = model.weights.get(&variable.layer, variable.name, &variable.shape);
            found.map_err(|e| e.to_string())?;
        }
        Ok(model.weights)
    })
}

fn load_from(bytes: Bytes, kind: Kind) -> Result<Model> {
    match kind {
        Kind::Zip => {
            let mut archive = Archive::open(bytes)?;
            let config = archive.entry("config.json", MAX_CONFIG)?;
            let mut json = Vec::new();
            config.cursor().read_to_end(&mut json).map_err(|e| e.to_string())?;
            let model = config::parse(&json).map_err(|e| format!("config.json: {e}"))?;
            let weights = archive.entry("model.weights.h5", u64::MAX)?;
            let weights =
                Hdf5::open(weights).and_then(|file| read(&file, &model.network, &model.root, ""));
            Ok(Model {
                weights: weights.map_err(|e| format!("model.weights.h5: {e}"))?,
                network: model.network,
            })
        }
        Kind::Hdf5 => {
            let file = Hdf5::open(bytes)?;
            let attributes = file.attributes("")?;
            if attributes.contains("model_config") {
                let json = attributes.string("model_config").unwrap_or_default();
                let model =
                    config::parse(json.as_bytes()).map_err(|e| format!("model_config: {e}"))?;
                let weights = read(&file, &model.network, &model.root, "model_weights")?;
                return Ok(Model { network: model.network, weights });
            }
            let config = XceptionConfig { head: head(&file)?, ..XceptionConfig::default() };
            let network = xception(&config).map_err(|e| e.to_string())?;
            let entries = layout::flat(&network);
            let weights = read(&file, &network, &entries, "");
            Ok(Model {
                weights: weights.map_err(|e| format!("taken for Xception's weights: {e}"))?,
                network,
            })
        }
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

/// The head of a Xception of which only the weights are known: the outputs of its one dense layer.
fn head(file: &Hdf5) -> Result<Head> {
    let path = if layout::is_current(file)? {
        let base = "layers/dense/vars";
        let top = file.groups("layers")?.iter().any(|g| g == "dense");
        top.then(|| format!("{base}/0"))
    } else {
        let last = layout::legacy_arrays(file, "")?.pop();
        let last = last.and_then(|(group, names)| Some(format!("{group}/{}", names.first()?)));
        Some(last.ok_or("neither a group `layers` nor an attribute `layer_names`")?)
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
    for (variable, path) in places {
        let tensor = format!("{}/{}", variable.layer, variable.name);
        let error = |e: String| format!("tensor {tensor:?} ({path}): {e}");
        let data = file.read(&path, &variable.shape).map_err(error)?;
        check_finite(&data).map_err(error)?;
        let shape = variable.shape.clone();
        let inserted = weights.insert(&variable.layer, variable.name, Tensor { shape, data });
        inserted.map_err(|e| e.to_string())?;
    }
    Ok(weights)
}
