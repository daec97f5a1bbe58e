//! Error messages for files of other formats, with what to do instead.

use std::path::Path;

use super::bytes::Bytes;

/// The message for a file of an unsupported format.
pub(super) fn unknown(bytes: &Bytes, name: &Path) -> String {
    let head = bytes.head::<8>().unwrap_or_default();
    let extension = name.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let what = match (head, extension) {
        ([_, _, _, _, b'T', b'F', b'L', b'3'], _) => "TensorFlow Lite files",
        (_, "onnx") => "ONNX files",
        (_, "pb") => "TensorFlow graphs",
        // A pickle of protocol 2 or more.
        ([0x80, 2..=5, ..], _) | (_, "pt" | "pth") => return PYTORCH.into(),
        _ => {
            let mut kinds = Vec::new();
            if cfg!(feature = "keras") {
                kinds.extend(["a .keras file (zip)", "HDF5", "a TensorFlow.js layers model"]);
            }
            if cfg!(feature = "safetensors") {
                kinds.push("safetensors");
            }
            if cfg!(feature = "tflite") {
                kinds.push("TensorFlow Lite");
            }
            let (last, others) = kinds.split_last().unwrap_or((&"a model", &[]));
            let or = if others.is_empty() { "" } else { " or " };
            let (others, len) = (others.join(", "), bytes.len());
            return format!(
                "expected {others}{or}{last}; this file of {len} bytes is none of these"
            );
        }
    };
    format!("{what} are not supported; {SAVE}")
}

/// The advice to owners of a Keras model.
pub(super) const SAVE: &str = "save the model in Keras with model.save(\"model.keras\")";

/// The message for a PyTorch file.
pub(super) const PYTORCH: &str = "PyTorch files are not supported; save timm's networks with \
    safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")";
