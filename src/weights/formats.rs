//! Files of other formats: what their users should do instead.

use std::path::Path;

use super::bytes::Bytes;

/// What to do instead with a file that is none of those that are read.
pub(super) fn unknown(bytes: &Bytes, name: &Path) -> String {
    let head = bytes.head::<8>().unwrap_or_default();
    let extension = name.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let what = match (head, extension) {
        ([_, _, _, _, b'T', b'F', b'L', b'3'], _) | (_, "tflite") => "a TensorFlow Lite file",
        (_, "onnx") => "an ONNX file",
        (_, "pb") => "a graph of TensorFlow",
        // A pickle of protocol 2 or more.
        ([0x80, 2..=5, ..], _) | (_, "pt" | "pth") => return PYTORCH.into(),
        _ => {
            let mut kinds = Vec::new();
            if cfg!(feature = "keras") {
                kinds.extend(["a .keras file (zip)", "HDF5"]);
            }
            if cfg!(feature = "safetensors") {
                kinds.push("safetensors");
            }
            return format!("not {}, in {} bytes", kinds.join(" or "), bytes.len());
        }
    };
    format!("{what}, which is not read: {SAVE}")
}

/// What people who have a Keras model should do.
pub(super) const SAVE: &str = "save the model in Keras by model.save(\"model.keras\")";

/// What a file of PyTorch is told.
pub(super) const PYTORCH: &str = "a PyTorch file, which is not read: save timm's Xceptions by \
    safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")";
