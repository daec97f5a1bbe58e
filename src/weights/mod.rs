//! Named tensors: what a network's nodes look their weights up in.

#[cfg(any(feature = "keras", feature = "safetensors"))]
mod bytes;
#[cfg(any(feature = "keras", feature = "safetensors"))]
mod elements;
#[cfg(any(feature = "keras", feature = "safetensors"))]
mod file;
#[cfg(feature = "keras")]
mod hdf5;
#[cfg(feature = "keras")]
mod keras;
#[cfg(feature = "safetensors")]
mod safetensors;
pub mod synthetic;
mod variables;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::network::Network;
use crate::{Error, Result};

#[cfg(any(feature = "keras", feature = "safetensors"))]
pub use file::{load, load_bytes, load_weights};
pub use variables::{ParameterCount, Variable, count_parameters, variables};

/// A network and its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// A tensor for each of its [`variables()`].
    pub weights: Weights,
}

/// A dense f32 tensor.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements in row-major order, as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// The shape only: a network's weights would fill books.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensor").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl<'a> From<&'a Weights> for Cow<'a, Weights> {
    fn from(weights: &'a Weights) -> Self {
        Cow::Borrowed(weights)
    }
}

impl From<Weights> for Cow<'_, Weights> {
    fn from(weights: Weights) -> Self {
        Cow::Owned(weights)
    }
}

/// Tensors by layer and variable name, e.g. `("block1_conv1", "kernel")`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<(String, String), Tensor>,
}

impl Weights {
    /// Adds or replaces a tensor.
    ///
    /// # Errors
    /// `data` is not as long as the product of `shape`.
    pub fn insert(&mut self, layer: &str, variable: &str, tensor: Tensor) -> Result<()> {
        let elements = tensor.shape.iter().try_fold(1_usize, |p, &d| p.checked_mul(d));
        if elements != Some(tensor.data.len()) {
            return Err(Error::Tensor {
                tensor: format!("{layer}/{variable}"),
                message: format!("shape {:?} with {} elements", tensor.shape, tensor.data.len()),
            });
        }
        self.tensors.insert((layer.into(), variable.into()), tensor);
        Ok(())
    }

    /// The tensor of that name if it exists.
    pub fn find(&self, layer: &str, variable: &str) -> Option<&Tensor> {
        self.tensors.get(&(layer.to_owned(), variable.to_owned()))
    }

    /// The elements of a tensor that must exist with exactly this shape.
    ///
    /// # Errors
    /// [`Error::Tensor`] with the name and both shapes.
    pub fn get(&self, layer: &str, variable: &str, shape: &[usize]) -> Result<&[f32]> {
        let error = |message| Error::Tensor { tensor: format!("{layer}/{variable}"), message };
        let tensor = self
            .find(layer, variable)
            .ok_or_else(|| error(format!("missing (shape {shape:?})")))?;
        if tensor.shape != shape {
            return Err(error(format!("shape {:?} where {shape:?} is needed", tensor.shape)));
        }
        Ok(&tensor.data)
    }

    /// Removes a layer's tensors.
    pub fn remove_layer(&mut self, layer: &str) {
        self.tensors.retain(|(l, _), _| l != layer);
    }

    /// All tensors, ordered by layer and variable.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Tensor)> {
        self.tensors.iter().map(|((l, v), t)| (l.as_str(), v.as_str(), t))
    }
}
