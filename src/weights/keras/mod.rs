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
//! Every tensor must have exactly the shape that the network gives it, and be finite: a file with a NaN or
//! an infinity among its weights is refused. Arrays of f16, f32 and f64 are read, as f32; what f32 has no
//! room for is an infinity. Memory and time stay within some multiples of the file's size (and 128 MiB for a
//! configuration) whatever the file claims. Nothing outside the file is read: an array that lies in
//! another file, or is a link to one, is refused.

mod archive;
mod config;
mod layout;

use std::io::Read;
use std::path::{Path, PathBuf};

use super::bytes::Bytes;
use super::hdf5::{Hdf5, on_deep_stack};
use super::{Tensor, Weights, variables};
use crate::models::{Head, XceptionConfig, xception};
use crate::network::Network;
use crate::{Error, Result};
use archive::Archive;
use config::Entry;

/// Most bytes of JSON in a configuration. Xception's has 140 KB.
const MAX_CONFIG: u64 = 16 << 20;

/// A network and its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// A tensor for each of its [`variables()`].
    pub weights: Weights,
}

/// Loads a model. A file of weights alone is taken for a Keras Applications Xception, with the head that
/// its weights show: of any number of classes, or none.
///
/// # Errors
/// [`Error::File`] with the file's name, and the layer or tensor and the numbers where one is at fault.
pub fn load(path: impl AsRef<Path>) -> Result<Model> {
    let path = path.as_ref();
    let bytes = open(path)?;
    on_deep_stack(|| load_from(bytes)).map_err(|message| file_error(path, message))
}

/// [`load`] from memory; `name` stands for the file in errors.
///
/// # Errors
/// Those of [`load`].
pub fn load_bytes(name: &str, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Model> {
    let bytes = Bytes::memory(bytes);
    on_deep_stack(|| load_from(bytes)).map_err(|message| file_error(Path::new(name), message))
}

/// Loads the weights of a network from a file of any of the kinds. In a file without an architecture,
/// layers are found by name where the file says names, by order otherwise; a file with an architecture
/// must have the network's layers by name.
///
/// # Errors
/// Those of [`load`], or [`Error::Tensor`] where a tensor is missing or has another shape.
pub fn load_weights(path: impl AsRef<Path>, network: &Network) -> Result<Weights> {
    let path = path.as_ref();
    let bytes = open(path)?;
    let alone = on_deep_stack(|| weights_alone(&bytes, network));
    if let Some(weights) = alone.map_err(|message| file_error(path, message))? {
        return Ok(weights);
    }
    let model = on_deep_stack(|| load_from(bytes)).map_err(|message| file_error(path, message))?;
    for variable in variables(network)? {
        model.weights.get(&variable.layer, variable.name, &variable.shape)?;
    }
    Ok(model.weights)
}

fn file_error(path: &Path, message: String) -> Error {
    Error::File { path: PathBuf::from(path), message }
}

fn open(path: &Path) -> Result<Bytes> {
    Bytes::open(path).map_err(|e| file_error(path, e.to_string()))
}

/// What a file is.
#[derive(PartialEq)]
enum Kind {
    Zip,
    Hdf5,
}

fn kind(bytes: &Bytes) -> std::result::Result<Kind, String> {
    match bytes.head::<8>() {
        Ok([b'P', b'K', 3, 4, ..]) => Ok(Kind::Zip),
        Ok([0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1A, b'\n']) => Ok(Kind::Hdf5),
        _ => Err(format!("neither a .keras file (zip) nor HDF5, in {} bytes", bytes.len())),
    }
}

fn load_from(bytes: Bytes) -> std::result::Result<Model, String> {
    match kind(&bytes)? {
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
fn weights_alone(bytes: &Bytes, network: &Network) -> std::result::Result<Option<Weights>, String> {
    if kind(bytes)? == Kind::Zip {
        return Ok(None);
    }
    let file = Hdf5::open(bytes.clone())?;
    if file.attributes("")?.contains("model_config") {
        return Ok(None);
    }
    read(&file, network, &layout::flat(network), "").map(Some)
}

/// The head of a Xception of which only the weights are known: the outputs of its one dense layer.
fn head(file: &Hdf5) -> std::result::Result<Head, String> {
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
fn read(
    file: &Hdf5,
    network: &Network,
    entries: &[Entry],
    group: &str,
) -> std::result::Result<Weights, String> {
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
        if let Some(i) = data.iter().position(|x| !x.is_finite()) {
            return Err(error(format!("element {i} is {}: weights must be finite", data[i])));
        }
        let shape = variable.shape.clone();
        let inserted = weights.insert(&variable.layer, variable.name, Tensor { shape, data });
        inserted.map_err(|e| e.to_string())?;
    }
    Ok(weights)
}
