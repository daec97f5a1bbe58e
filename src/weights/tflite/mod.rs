//! Reads TensorFlow Lite models (`.tflite`): the network, what integers stand for in its values,
//! and weights in f32, f16, f64, or in 8-bit integers with scales.
//!
//! Its int8 is u8 here, with a zero point that is 128 more. Kernels of integers around another
//! integer than 0, in old files of uint8, become the real numbers that they stand for.
//!
//! | file | contents |
//! |---|---|
//! | `flatbuffer` | tables, vectors and strings, by checked accesses |
//! | `schema` | the parts of a model as plain structs |
//! | `constants` | the elements of constants |
//! | `graph` | operators in order, names of nodes, errors |
//! | `operators` | what each operator becomes |
//! | `metadata` | how pixels become the input, names of classes |
//!
//! Memory and time stay within a few multiples of the file's size, whatever the file claims.

mod constants;
mod flatbuffer;
mod graph;
mod metadata;
mod operators;
mod schema;

use super::bytes::Bytes;
use super::variables::check;
use super::{Model, Weights};
use crate::network::Network;

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// Whether a file is of this kind: it has TensorFlow Lite's identifier.
pub(crate) fn recognises(bytes: &Bytes) -> bool {
    matches!(bytes.head::<8>(), Ok([_, _, _, _, b'T', b'F', b'L', b'3']))
}

/// Loads a model.
pub(crate) fn load(bytes: &Bytes) -> Result<Model> {
    let len = usize::try_from(bytes.len()).map_err(|e| e.to_string())?;
    let mut data = vec![0; len];
    bytes.read_at(0, &mut data).map_err(|e| e.to_string())?;
    let file = flatbuffer::File::new(&data);
    let parts = schema::Model::new(&file)?;
    let (network, weights) = graph::build(&parts, len)?;
    check(&weights, &network).map_err(|e| e.to_string())?;
    let mut model = Model::new(network, weights);
    // The converter puts the model's name in front of the names of its tensors.
    let names = parts.tensors.iter().filter_map(|tensor| tensor.name.split('/').next());
    model.metadata.scaling = super::metadata::scaling(&model.network, names);
    if let Some(described) = parts.metadata {
        let channels = parts.outputs.first().and_then(|&output| parts.tensors[output].shape.last());
        metadata::read(described, bytes, channels.copied().unwrap_or(0), &mut model.metadata)
            .map_err(|e| format!("metadata: {e}"))?;
    }
    Ok(model)
}

/// Loads the weights of a network, whose layers must have the names of the file's nodes.
pub(crate) fn load_weights(bytes: &Bytes, network: &Network) -> Result<Weights> {
    let model = load(bytes)?;
    check(&model.weights, network).map_err(|e| e.to_string())?;
    Ok(model.weights)
}
