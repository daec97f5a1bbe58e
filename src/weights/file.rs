//! Weight files of all kinds, told apart by their content.

use std::path::Path;

use super::bytes::Bytes;
use super::formats::{SAVE, unknown};
#[cfg(feature = "keras")]
use super::keras;
#[cfg(feature = "safetensors")]
use super::safetensors;
use super::{Model, Weights};
use crate::network::Network;
use crate::{Error, Result};

/// Loads a model. What a file is is seen from its content, not from its name:
///
/// | file | network |
/// |---|---|
/// | Keras's `.keras`, `.h5` with an architecture | the file's |
/// | Keras's `.weights.h5`, `.h5` of weights alone | Keras Applications' Xception, with the head that the weights show: of any number of classes, or none |
/// | timm's `.safetensors` | that of timm's `xception41`, `xception65`, `xception71` and `legacy_xception` whose tensors they are, with their number of input channels and classes, or no head; of output stride 32 |
///
/// Every tensor must have exactly the shape that the network gives it, and be finite: a file with a
/// NaN or an infinity among its weights is refused. Elements of f16, f32 and f64, in safetensors
/// also bf16, are read as f32; what f32 has no room for is an infinity. Memory and time are bounded
/// by some multiples of the file's size, whatever the file claims, and no other file is read.
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
/// [`Error::File`] with the file's name, and the layer or tensor and the numbers where one is at
/// fault.
pub fn load(path: impl AsRef<Path>) -> Result<Model> {
    let path = path.as_ref();
    open(path).and_then(|bytes| model(bytes, path)).map_err(|message| error(path, message))
}

/// [`load`] from memory; `name` stands for the file in errors.
///
/// ```
/// # use sepconv::{network::*, weights::{self, *}};
/// # #[cfg(feature = "keras")] {
/// let bytes = std::fs::read("assets/digits.keras").unwrap(); // or `include_bytes!`
/// let model = weights::load_bytes("digits.keras", bytes)?;
/// assert_eq!(model.network.input(), ([Some(32), Some(32)], 3));
/// # }
/// let error = weights::load_bytes("notes.txt", b"abcdef").unwrap_err();
/// assert!(error.to_string().starts_with("notes.txt: not "));
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// Those of [`load`].
pub fn load_bytes(name: &str, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Model> {
    let name = Path::new(name);
    model(Bytes::memory(bytes), name).map_err(|message| error(name, message))
}

/// Loads the weights of a network from a file of any of the kinds. In a Keras file without an
/// architecture, layers are found by name where the file says names, by order otherwise; a file
/// with an architecture must have the network's layers by name. A safetensors file must have the
/// tensors of timm's modules that the network's layers are, those of an [`aligned_xception`] by
/// name, those of an [`xception`] as in timm's `legacy_xception`, and no others.
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
/// [`xception`]: crate::models::xception
pub fn load_weights(path: impl AsRef<Path>, network: &Network) -> Result<Weights> {
    let path = path.as_ref();
    let bytes = open(path);
    let weights = bytes.and_then(|bytes| weights(bytes, path, network));
    weights.map_err(|message| error(path, message))
}

fn model(bytes: Bytes, name: &Path) -> std::result::Result<Model, String> {
    #[cfg(feature = "keras")]
    if let Some(kind) = keras::kind(&bytes) {
        return keras::load(bytes, kind);
    }
    #[cfg(feature = "safetensors")]
    if safetensors::recognises(&bytes) {
        return safetensors::load(&bytes);
    }
    Err(unknown(&bytes, name))
}

fn weights(bytes: Bytes, name: &Path, network: &Network) -> std::result::Result<Weights, String> {
    #[cfg(feature = "keras")]
    if let Some(kind) = keras::kind(&bytes) {
        return keras::load_weights(bytes, kind, network);
    }
    #[cfg(feature = "safetensors")]
    if safetensors::recognises(&bytes) {
        return safetensors::load_weights(&bytes, network);
    }
    Err(unknown(&bytes, name))
}

fn open(path: &Path) -> std::result::Result<Bytes, String> {
    if path.join("saved_model.pb").exists() {
        return Err(format!("a SavedModel of TensorFlow, which is not read: {SAVE}"));
    }
    Bytes::open(path).map_err(|e| e.to_string())
}

fn error(path: &Path, message: String) -> Error {
    Error::File { path: path.into(), message }
}
