//! Reads TensorFlow.js layers models: a Keras configuration and weights in another envelope.
//!
//! | content | configuration | weights |
//! |---|---|---|
//! | `model.json` | its `modelTopology` | the files that its `weightsManifest` names, beside it |
//! | JSON of `modelTopology` and `weightData` | the former | the latter, in base64 |
//! | a JavaScript module with either | its object | the same; modules of files, in base64 |
//!
//! A file of weights called `shard` may be there as `shard`, `shard.bin`, `shard.js` or
//! `shard.min.js`. Weights may be f32, f16, or 8- or 16-bit integers with a scale and a least
//! value.

mod base64;
mod javascript;

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;

use super::json::{brief, size, text};
use super::{Parsed, config, layout};
use crate::network::Network;
use crate::weights::bytes::Bytes;
use crate::weights::elements::{Format, check_finite};
use crate::weights::variables::check;
use crate::weights::{Model, Tensor, Weights};

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// The key of the configuration.
const TOPOLOGY: &str = "modelTopology";
/// How far from a file's start the key is looked for, to tell what it is.
const HEAD: u64 = 1 << 16;
/// The most bytes of a model's text. With weights in base64 it is large.
const MAX_TEXT: u64 = 1 << 30;

/// Whether a file is of this kind: text with the key of a configuration near its start.
pub(crate) fn recognises(bytes: &Bytes) -> bool {
    let mut head = vec![0; bytes.len().min(HEAD) as usize];
    let read = bytes.read_at(0, &mut head).is_ok();
    let found = || head.windows(TOPOLOGY.len()).any(|window| window == TOPOLOGY.as_bytes());
    read && !head[..head.len().min(8)].contains(&0) && found()
}

/// Loads a model. Files of weights are looked for in `folder`.
pub(crate) fn load(bytes: &Bytes, folder: Option<&Path>) -> Result<Model> {
    if bytes.len() > MAX_TEXT {
        return Err(format!("{} bytes of text; at most {MAX_TEXT} are read", bytes.len()));
    }
    let mut data = vec![0; bytes.len() as usize];
    bytes.read_at(0, &mut data).map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(&data).map_err(|e| format!("the text is no UTF-8: {e}"))?;
    let text = text.trim_start_matches('\u{feff}');
    let json = match text.trim_start().starts_with('{') {
        true => config::json(text.as_bytes()),
        false => javascript::object(text, TOPOLOGY).and_then(|json| config::json(json.as_bytes())),
    }?;
    let topology = json.get(TOPOLOGY).unwrap_or(&Json::Null);
    if topology.get("node").is_some() || topology.get("library").is_some() {
        return Err("TensorFlow.js graph models are not supported; convert the Keras model with \
                    tensorflowjs_converter --output_format tfjs_layers_model"
            .into());
    }
    let model = topology.get("model_config").unwrap_or(topology);
    let training = ["training_config", "trainingConfig"];
    let training = training.iter().find_map(|key| topology.get(*key).or_else(|| json.get(*key)));
    // What TensorFlow.js wrote itself follows Keras 2.
    let version = topology.get("keras_version").and_then(Json::as_str);
    let version = version.map(|v| if v.starts_with("tfjs") { "2.0" } else { v });
    let parsed = Parsed::new(model, training.unwrap_or(&Json::Null), version);
    let parsed = parsed.map_err(|e| format!("{TOPOLOGY}: {e}"))?;
    let weights = weights(&json, &parsed, folder)?;
    Ok(parsed.model(weights))
}

/// One array of a manifest.
struct Array {
    name: String,
    shape: Vec<usize>,
    stored: Stored,
    /// Its elements' bytes.
    bytes: std::ops::Range<usize>,
    /// The number of its file or group.
    group: usize,
}

/// How the elements of an array are stored.
enum Stored {
    Real(Format),
    /// `scale`·integer + `min`, of integers of this width.
    Integer {
        width: usize,
        scale: f64,
        min: f64,
    },
}

impl Stored {
    fn width(&self) -> usize {
        match self {
            Self::Real(format) => format.width(),
            Self::Integer { width, .. } => *width,
        }
    }

    fn decode(&self, raw: &[u8]) -> Vec<f32> {
        match *self {
            Self::Real(format) => {
                let mut data = Vec::with_capacity(raw.len() / format.width());
                format.decode(raw, false, &mut data);
                data
            }
            Self::Integer { width, scale, min } => {
                let integer =
                    |bytes: &[u8]| bytes.iter().rev().fold(0, |n, &b| n << 8 | u32::from(b));
                let number = |bytes: &[u8]| (scale * f64::from(integer(bytes)) + min) as f32;
                raw.chunks_exact(width).map(number).collect()
            }
        }
    }
}

/// Reads every variable of the network.
fn weights(json: &Json, parsed: &Parsed, folder: Option<&Path>) -> Result<Weights> {
    let (arrays, data) = match (json.get("weightsManifest"), json.get("weightSpecs")) {
        (Some(manifest), _) => manifest_arrays(manifest, folder)?,
        (None, Some(specs)) => {
            let base64 = json.get("weightData").and_then(Json::as_str);
            let data = base64::decode(base64.ok_or("weightData is missing or not in base64")?)?;
            (listed(specs, 0, data.len())?, vec![data])
        }
        (None, None) => return Err("weightsManifest is missing".into()),
    };
    let network = &parsed.architecture.network;
    let layers = layout::by_layer(network).map_err(|e| e.to_string())?;
    let names: Vec<String> = arrays.iter().map(|array| array.name.clone()).collect();
    let variables = layout::listed(&parsed.architecture.root, &layers, &names)?;
    let mut weights = Weights::default();
    let pairs = arrays.iter().zip(variables).filter(|(_, v)| v.name != layout::COUNT);
    for (array, variable) in pairs {
        let Array { name, shape, stored, bytes, group } = array;
        if !layout::stored_shapes(variable).contains(&&shape[..]) {
            let expected = &variable.shape;
            return Err(format!("array {name:?}: expected shape {expected:?}, got {shape:?}"));
        }
        let data = stored.decode(&data[*group][bytes.clone()]);
        check_finite(&data).map_err(|e| format!("array {name:?}: {e}"))?;
        let tensor = Tensor { shape: variable.shape.clone(), data };
        let inserted = weights.insert(&variable.layer, variable.name, tensor);
        inserted.map_err(|e| e.to_string())?;
    }
    Ok(weights)
}

/// The arrays of all groups of a manifest, and each group's bytes.
fn manifest_arrays(manifest: &Json, folder: Option<&Path>) -> Result<(Vec<Array>, Vec<Vec<u8>>)> {
    let groups = manifest.as_array().ok_or("weightsManifest is no list")?;
    let (mut arrays, mut data) = (Vec::new(), Vec::new());
    // Each file once: a manifest can't claim more weights than there are.
    let mut read = HashSet::new();
    for (i, group) in groups.iter().enumerate() {
        let paths = group.get("paths").and_then(Json::as_array);
        let mut bytes = Vec::new();
        for path in paths.ok_or_else(|| format!("group {i} of weightsManifest has no paths"))? {
            let path = path.as_str().ok_or_else(|| format!("path {} is no text", brief(path)))?;
            if !read.insert(path) {
                return Err(format!("weightsManifest lists {path:?} twice"));
            }
            bytes
                .extend(shard(path, folder).map_err(|e| format!("file of weights {path:?}: {e}"))?);
        }
        let specs = group.get("weights").unwrap_or(&Json::Null);
        arrays.extend(listed(specs, i, bytes.len())?);
        data.push(bytes);
    }
    Ok((arrays, data))
}

/// The bytes of a file of weights.
fn shard(path: &str, folder: Option<&Path>) -> Result<Vec<u8>> {
    let folder = folder.ok_or("a model in memory can't have weights in files")?;
    let inside = |path: &Path| path.components().all(|c| matches!(c, Component::Normal(_)));
    if !inside(Path::new(path)) {
        return Err("it is not in the model's folder".into());
    }
    let stem = path.strip_suffix(".bin").unwrap_or(path);
    let names =
        [path.to_owned(), format!("{stem}.bin"), format!("{stem}.js"), format!("{stem}.min.js")];
    let places: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let place = places.iter().find(|place| place.is_file()).ok_or("it does not exist")?;
    let bytes = fs::read(place).map_err(|e| e.to_string())?;
    if place.extension().is_none_or(|extension| extension != "js") {
        return Ok(bytes);
    }
    let text = std::str::from_utf8(&bytes).map_err(|e| format!("the text is no UTF-8: {e}"))?;
    base64::decode(javascript::longest_string(text))
}

/// The arrays of a group, which follow each other in its bytes.
fn listed(specs: &Json, group: usize, len: usize) -> Result<Vec<Array>> {
    let specs = specs.as_array().ok_or_else(|| format!("group {group} has no list of weights"))?;
    let mut end = 0_usize;
    let mut arrays = Vec::with_capacity(specs.len());
    for spec in specs {
        let name = text(spec, "name").map_err(|e| format!("group {group} of weights: {e}"))?;
        let error = |e: String| format!("array {name:?}: {e}");
        let shape = spec.get("shape").and_then(Json::as_array);
        let shape = shape.and_then(|shape| shape.iter().map(size).collect::<Option<Vec<_>>>());
        let shape = shape.ok_or_else(|| error("it has no shape".into()))?;
        let stored = stored(spec).map_err(error)?;
        let bytes = shape.iter().try_fold(stored.width(), |p, &d| p.checked_mul(d));
        let start = end;
        end =
            bytes.and_then(|bytes| start.checked_add(bytes)).filter(|&end| end <= len).ok_or_else(
                || error(format!("shape {shape:?} at byte {start} does not fit into {len} bytes")),
            )?;
        arrays.push(Array { name: name.into(), shape, stored, bytes: start..end, group });
    }
    match end == len {
        true => Ok(arrays),
        false => Err(format!("the arrays of group {group} have {end} bytes, its files {len}")),
    }
}

/// How an array is stored.
fn stored(spec: &Json) -> Result<Stored> {
    let dtype = text(spec, "dtype")?;
    let Some(quantization) = spec.get("quantization").filter(|q| !q.is_null()) else {
        return match dtype {
            "float32" => Ok(Stored::Real(Format::F32)),
            other => Err(format!("type {other} is not supported; expected float32")),
        };
    };
    let number = |key: &str| {
        let number = quantization.get(key).and_then(Json::as_f64);
        number.ok_or_else(|| format!("quantization: {key} is missing or not a number"))
    };
    let width = match text(quantization, "dtype")? {
        "float16" => return Ok(Stored::Real(Format::F16)),
        "uint8" => 1,
        "uint16" => 2,
        other => return Err(format!("quantization to {other} is not supported")),
    };
    Ok(Stored::Integer { width, scale: number("scale")?, min: number("min")? })
}

/// Loads the weights of a network, whose layers must have the names of the model's.
pub(crate) fn load_weights(
    bytes: &Bytes,
    folder: Option<&Path>,
    network: &Network,
) -> Result<Weights> {
    let model = load(bytes, folder)?;
    check(&model.weights, network).map_err(|e| e.to_string())?;
    Ok(model.weights)
}
