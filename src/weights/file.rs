//! Loads weight files of all kinds, which are told apart by their content.

use std::path::Path;

use super::bytes::Bytes;
use super::formats::{SAVE, unknown};
#[cfg(feature = "keras")]
use super::keras;
#[cfg(feature = "tflite")]
use super::tflite;
use super::{Model, Weights};
#[cfg(feature = "safetensors")]
use super::{safetensors, saved};
use crate::network::Network;
use crate::{Error, Result};

/// Loads a model. The kind of a file follows from its content, not from its name:
///
/// | file | network |
/// |---|---|
/// | Keras's `.keras`, `.h5` with an architecture | the file's |
/// | Keras's `.weights.h5`, `.h5` of weights alone | Keras Applications' Xception, with a head as the weights show: any number of classes, or no head |
/// | `.safetensors` of `sepconv quantize` and [`to_bytes`] | the file's, with quantizations, preprocessing and labels |
/// | TensorFlow.js's `model.json` of a layers model, also as a JavaScript module | the file's; weights are in the files that it names, beside it, or in base64 |
/// | TensorFlow Lite's `.tflite` | the file's, with quantizations, if all of its operators are supported |
/// | timm's `.safetensors` | timm's `xception41`, `xception65`, `xception71`, `legacy_xception` or one of [`timm_names`](crate::models::timm_names), with the tensors' number of input channels and classes, or no head; the output stride is 32 |
///
/// Every tensor must have exactly the shape that the network gives it, and every element must be
/// finite. Elements may be f16, f32 or f64, in safetensors also bf16. They become f32; an f64
/// beyond the range of f32 is refused as infinite. Memory and time are bounded by a few multiples
/// of the file's size, whatever the file claims. No other file is read, but the weights of a
/// TensorFlow.js model, in its own folder, and timm's `config.json` beside a safetensors file.
///
/// Which of timm's networks a file has is what `architecture` in the header's metadata says, or
/// else in `config.json`, or else what the tensors show. If they are those of several networks,
/// which are one with PyTorch's padding and one with TensorFlow's (`tf_`), the first is taken, and
/// a note in [`Metadata`](super::Metadata) says so. The `pretrained_cfg` of `config.json` tells how
/// pictures are resized, cropped and scaled; without one, timm's default for the network does.
///
/// ```
/// # use sepconv::{network::*, weights::{self, *}};
/// # #[cfg(feature = "keras")] {
/// let model = weights::load("assets/digits.keras")?; // of this crate
/// assert_eq!(model.network.input(), ([Some(32), Some(32)], 3));
/// assert_eq!(count_parameters(&model.network)?.total, 15_114);
/// # }
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::File`] with the file's name and, if a layer or tensor is wrong, its name and the
/// numbers.
pub fn load(path: impl AsRef<Path>) -> Result<Model> {
    let path = path.as_ref();
    let model = open(path).and_then(|bytes| model(bytes, path, folder(path)));
    model.map_err(|message| error(path, message))
}

/// Loads a model from memory as [`load`] does. Errors show `name` as the file.
///
/// ```
/// # use sepconv::{network::*, weights::{self, *}};
/// # #[cfg(feature = "keras")] {
/// let bytes = std::fs::read("assets/digits.keras").unwrap(); // or `include_bytes!`
/// let model = weights::load_bytes("digits.keras", bytes)?;
/// assert_eq!(model.network.input(), ([Some(32), Some(32)], 3));
/// # }
/// let error = weights::load_bytes("notes.txt", b"abcdef").unwrap_err();
/// assert!(error.to_string().starts_with("notes.txt: expected a .keras file"));
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// Those of [`load`].
pub fn load_bytes(name: &str, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Model> {
    let name = Path::new(name);
    model(Bytes::memory(bytes), name, None).map_err(|message| error(name, message))
}

/// Loads the weights of a network from a file of any kind that [`load`] reads.
///
/// - A Keras file with an architecture must have layers of the same names as the network.
/// - In a Keras file without one, layers are found by name if the file has names, else by order.
/// - A safetensors file must have exactly the tensors of the network's layers: for an
///   [`aligned_xception`] or a network of [`timm`] by their names, for an [`xception`] as timm's
///   `legacy_xception` names them.
///
/// ```
/// # use sepconv::{network::*, weights::{self, *}};
/// # #[cfg(feature = "keras")] {
/// # let Model { network, .. } = weights::load("assets/digits.keras")?;
/// let tensors = weights::load_weights("assets/digits.keras", &network)?;
/// let wanted = variables(&network)?;
/// assert!(wanted.iter().all(|v| tensors.get(&v.layer, v.name, &v.shape).is_ok()));
/// assert!(weights::load_weights("assets/digits.png", &network).is_err());
/// # }
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// Those of [`load`].
///
/// [`aligned_xception`]: crate::models::aligned_xception
/// [`timm`]: crate::models::timm()
/// [`xception`]: crate::models::xception
pub fn load_weights(path: impl AsRef<Path>, network: &Network) -> Result<Weights> {
    let path = path.as_ref();
    let bytes = open(path);
    let weights = bytes.and_then(|bytes| weights(bytes, path, folder(path), network));
    weights.map_err(|message| error(path, message))
}

/// Loads the weights of a network from memory as [`load_weights`] does. Errors show `name` as the
/// file.
///
/// ```
/// # use sepconv::{network::*, weights::{self, *}};
/// # #[cfg(feature = "keras")] {
/// let bytes = std::fs::read("assets/digits.keras").unwrap();
/// let Model { network, weights, .. } = weights::load_bytes("digits.keras", bytes.clone())?;
/// assert_eq!(weights::load_weights_bytes("digits.keras", bytes, &network)?, weights);
/// # }
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// Those of [`load`].
pub fn load_weights_bytes(
    name: &str,
    bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    network: &Network,
) -> Result<Weights> {
    let name = Path::new(name);
    let weights = weights(Bytes::memory(bytes), name, None, network);
    weights.map_err(|message| error(name, message))
}

/// A file of a model, which [`load`] reads: safetensors with the network, and what else is known of
/// the model, in its header. Weights of 8-bit integers stay so, and all others f32.
///
/// To replace a file by it, write a temporary one next to it and rename that: no reader sees half
/// of it then.
///
/// ```
/// # use sepconv::{models::*, weights::{self, *}};
/// let network = xception(&XceptionConfig::with_width(0.1)?)?;
/// let mut model = Model::new(network.clone(), synthetic::weights(&network)?);
/// model.metadata.labels = Some((0..1000).map(|class| format!("class {class}")).collect());
/// let file = weights::to_bytes(&model)?;
/// assert_eq!(weights::load_bytes("model.safetensors", file)?, model);
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if a tensor is missing or of the wrong shape, or if the description of the
/// network takes more than 1 MiB.
#[cfg(feature = "safetensors")]
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    saved::write(model).map_err(|message| Error::Argument { message })
}

/// Loads a model. TensorFlow.js's have more files, which are in `folder`, as timm's `config.json`.
fn model(
    bytes: Bytes,
    name: &Path,
    #[cfg_attr(not(any(feature = "keras", feature = "safetensors")), expect(unused))]
    folder: Option<&Path>,
) -> std::result::Result<Model, String> {
    #[cfg(feature = "keras")]
    if let Some(kind) = keras::kind(&bytes) {
        return keras::load(bytes, kind);
    }
    #[cfg(feature = "keras")]
    if keras::tfjs::recognises(&bytes) {
        return keras::tfjs::load(&bytes, folder);
    }
    #[cfg(feature = "safetensors")]
    if safetensors::recognises(&bytes) {
        return safetensors::load(&bytes, folder);
    }
    #[cfg(feature = "tflite")]
    if tflite::recognises(&bytes) {
        return tflite::load(&bytes);
    }
    Err(unknown(&bytes, name))
}

fn weights(
    bytes: Bytes,
    name: &Path,
    #[cfg_attr(not(feature = "keras"), expect(unused))] folder: Option<&Path>,
    network: &Network,
) -> std::result::Result<Weights, String> {
    #[cfg(feature = "keras")]
    if let Some(kind) = keras::kind(&bytes) {
        return keras::load_weights(bytes, kind, network);
    }
    #[cfg(feature = "keras")]
    if keras::tfjs::recognises(&bytes) {
        return keras::tfjs::load_weights(&bytes, folder, network);
    }
    #[cfg(feature = "safetensors")]
    if safetensors::recognises(&bytes) {
        return safetensors::load_weights(&bytes, network);
    }
    #[cfg(feature = "tflite")]
    if tflite::recognises(&bytes) {
        return tflite::load_weights(&bytes, network);
    }
    Err(unknown(&bytes, name))
}

/// The folder of a file.
fn folder(path: &Path) -> Option<&Path> {
    path.parent()
}

fn open(path: &Path) -> std::result::Result<Bytes, String> {
    if path.join("saved_model.pb").exists() {
        return Err(format!("TensorFlow SavedModels are not supported; {SAVE}"));
    }
    if path.is_dir() {
        return Err("expected a file, got a folder".into());
    }
    Bytes::open(path).map_err(|e| e.to_string())
}

fn error(path: &Path, message: String) -> Error {
    Error::File { path: path.into(), message }
}
