//! Loads models and weights from files, and holds weights by name.

#[cfg(any(feature = "keras", feature = "tflite"))]
mod archive;
#[cfg(any(feature = "keras", feature = "safetensors", feature = "tflite"))]
mod bytes;
#[cfg(any(feature = "keras", feature = "safetensors", feature = "tflite"))]
mod elements;
#[cfg(any(feature = "keras", feature = "safetensors", feature = "tflite"))]
mod file;
#[cfg(any(feature = "keras", feature = "safetensors", feature = "tflite"))]
mod formats;
#[cfg(feature = "keras")]
mod hdf5;
#[cfg(feature = "keras")]
mod keras;
mod metadata;
#[cfg(feature = "safetensors")]
mod safetensors;
#[cfg(feature = "safetensors")]
mod saved;
pub mod synthetic;
#[cfg(feature = "tflite")]
mod tflite;
#[cfg(feature = "safetensors")]
mod timm;
mod variables;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::models::ModelName;
use crate::network::{Network, output_channels};
use crate::{Error, Result};

#[cfg(feature = "safetensors")]
pub use file::to_bytes;
#[cfg(any(feature = "keras", feature = "safetensors", feature = "tflite"))]
pub use file::{load, load_bytes, load_weights, load_weights_bytes};
#[cfg(feature = "keras")]
pub use keras::ACTIVATIONS as KERAS_ACTIVATIONS;
pub use metadata::{Crop, Link, Metadata, Resize, Scaling};
pub use variables::{ParameterCount, Variable, count_parameters, variables};

/// A network, its weights, and what else is known of it.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// # use sepconv::models::*;
/// let network = xception(&XceptionConfig::with_width(0.1)?)?;
/// let model = Model::new(network.clone(), synthetic::weights(&network)?);
/// assert_eq!(model.weights.iter().count(), weights::variables(&model.network)?.len());
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Model {
    /// The network.
    pub network: Network,
    /// A tensor for each of its [`variables()`].
    pub weights: Weights,
    /// What the file says about the use of the model.
    pub metadata: Metadata,
}

impl Model {
    /// Makes a model. The network's name or first layers may show how pictures are scaled, and that
    /// of one of timm's the rest, too; nothing else is known.
    ///
    /// ```
    /// # use sepconv::{models::*, weights::*};
    /// let network = xception(&XceptionConfig::default())?;
    /// let model = Model::new(network, Weights::default());
    /// assert_eq!(model.metadata.scaling, Some((Scaling::Tf, "as Keras's xception".into())));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn new(network: Network, weights: Weights) -> Self {
        Self { metadata: Metadata::of(&network), network, weights }
    }

    /// Makes a model of a name, with the weights that `weights` has for its network.
    ///
    /// ```
    /// # use sepconv::{models::*, weights::*};
    /// let model = Model::named("mobilenet-0.25".parse()?, synthetic::weights)?;
    /// assert!(model.weights.find("conv1", "kernel").is_some());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`ModelName::network`] and of `weights`.
    pub fn named(
        name: ModelName,
        weights: impl FnOnce(&Network) -> Result<Weights>,
    ) -> Result<Self> {
        let network = name.network()?;
        let weights = weights(&network)?;
        Ok(Self::new(network, weights))
    }
}

/// A dense f32 tensor.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let tensor = Tensor { shape: vec![2, 3], data: vec![0.0, 0.1, 0.2, 1.0, 1.1, 1.2] };
/// assert_eq!(tensor.data[1 * 3 + 2], 1.2); // row 1, column 2
/// assert_eq!(format!("{tensor:?}"), "Tensor { shape: [2, 3], .. }");
/// ```
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements in row-major order, as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// Shows the shape only, as the elements of a network would fill books.
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

/// Weights of 8-bit integers, with a scale for each output channel.
///
/// ```
/// # use sepconv::weights::*;
/// // of a dense layer from 2 channels to 3
/// let tensor = Int8Tensor { shape: vec![2, 3], data: vec![1, 2, 3, 4, 5, 6], scales: vec![0.5, 1.0, 0.0] };
/// assert_eq!(tensor.numbers(), [0.5, 2.0, 0.0, 2.0, 5.0, 0.0]);
/// ```
#[derive(Clone, PartialEq)]
pub struct Int8Tensor {
    /// Dimensions, outermost first; the output channel is innermost.
    pub shape: Vec<usize>,
    /// Elements in row-major order, as many as the product of `shape`. −128 is as good as others.
    pub data: Vec<i8>,
    /// What 1 stands for in the weights of each output channel: finite, not negative.
    pub scales: Vec<f32>,
}

impl Int8Tensor {
    /// The numbers that the integers stand for.
    ///
    /// ```
    /// # use sepconv::weights::*;
    /// let tensor = Int8Tensor { shape: vec![1, 2], data: vec![-128, 127], scales: vec![1.0, 0.5] };
    /// assert_eq!(tensor.numbers(), [-128.0, 63.5]);
    /// ```
    pub fn numbers(&self) -> Vec<f32> {
        let pairs = self.data.iter().zip(self.scales.iter().cycle());
        pairs.map(|(&integer, scale)| f32::from(integer) * scale).collect()
    }

    /// What is wrong with it as a layer's variable.
    fn check(&self, variable: &str) -> std::result::Result<(), String> {
        let Self { shape, data, scales } = self;
        let elements = shape.iter().try_fold(1_usize, |p, &d| p.checked_mul(d));
        if elements != Some(data.len()) {
            return Err(format!("shape {shape:?} does not match {} elements", data.len()));
        }
        let channels = output_channels(variable, shape);
        if scales.len() != channels {
            return Err(format!("expected {channels} scales, got {}", scales.len()));
        }
        match scales.iter().position(|s| !(s.is_finite() && *s >= 0.0)) {
            Some(i) => {
                Err(format!("scales must be finite and not negative, got {} at {i}", scales[i]))
            }
            None => Ok(()),
        }
    }
}

/// Shows the shape only, as [`Tensor`] does.
impl fmt::Debug for Int8Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Int8Tensor").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// Tensors by layer and variable name, e.g. `("block1_conv1", "kernel")`.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// let mut network = Network::new("small", "input", [None, None], 2);
/// let dense = Op::Dense { units: 1, bias: false };
/// network.push("dense", dense, &[network.find("input").unwrap()])?;
/// let mut weights = Weights::default();
/// weights.insert("dense", "kernel", Tensor { shape: vec![2, 1], data: vec![1.0, 10.0] })?;
/// let plan = NetworkPlan::new(&network, weights, [1, 1, 1, 2], &PlanOptions::default())?;
/// let mut session = Session::new(plan)?;
/// session.run(&[3.0, 4.0])?;
/// assert_eq!(session.output(), [43.0]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<(String, String), Tensor>,
    /// None of them is among `tensors`.
    int8: BTreeMap<(String, String), Int8Tensor>,
}

/// Storing and finding tensors:
///
/// ```
/// # use sepconv::weights::*;
/// let mut weights = Weights::default();
/// weights.insert("dense", "bias", Tensor { shape: vec![2], data: vec![0.5, 1.5] })?;
/// assert_eq!(weights.get("dense", "bias", &[2])?, [0.5, 1.5]);
/// # Ok::<(), sepconv::Error>(())
/// ```
impl Weights {
    /// Adds or replaces a tensor.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// let mut weights = Weights::default();
    /// weights.insert("dense", "bias", Tensor { shape: vec![2], data: vec![0.5, 1.5] })?;
    /// let short = Tensor { shape: vec![3], data: vec![0.5, 1.5] };
    /// let error = weights.insert("dense", "bias", short).unwrap_err();
    /// assert_eq!(error.to_string(), r#"tensor "dense/bias": shape [3] does not match 2 elements"#);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Tensor`] if `shape` does not match the length of `data`.
    pub fn insert(&mut self, layer: &str, variable: &str, tensor: Tensor) -> Result<()> {
        let elements = tensor.shape.iter().try_fold(1_usize, |p, &d| p.checked_mul(d));
        if elements != Some(tensor.data.len()) {
            return Err(Error::Tensor {
                tensor: format!("{layer}/{variable}"),
                message: format!(
                    "shape {:?} does not match {} elements",
                    tensor.shape,
                    tensor.data.len()
                ),
            });
        }
        let key = (layer.into(), variable.into());
        self.int8.remove(&key);
        self.tensors.insert(key, tensor);
        Ok(())
    }

    /// Adds or replaces a kernel of 8-bit integers. A layer whose operand is of integers multiplies
    /// them as they are if their sums fit in an i32; elsewhere they are the numbers that they stand
    /// for. Biases and all else are numbers.
    ///
    /// ```
    /// # use sepconv::weights::*;
    /// let mut weights = Weights::default();
    /// let kernel = Int8Tensor { shape: vec![1, 2], data: vec![3, -4], scales: vec![0.5, 0.25] };
    /// weights.insert_int8("dense", "kernel", kernel.clone())?;
    /// assert_eq!(weights.find_int8("dense", "kernel"), Some(&kernel));
    /// let short = Int8Tensor { scales: vec![0.5], ..kernel };
    /// let error = weights.insert_int8("dense", "kernel", short).unwrap_err();
    /// assert_eq!(error.to_string(), r#"tensor "dense/kernel": expected 2 scales, got 1"#);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Tensor`] if `shape` does not match the length of `data`, if there is not a scale
    /// for each output channel, or if one is negative or not finite.
    pub fn insert_int8(&mut self, layer: &str, variable: &str, tensor: Int8Tensor) -> Result<()> {
        tensor
            .check(variable)
            .map_err(|message| Error::Tensor { tensor: format!("{layer}/{variable}"), message })?;
        let key = (layer.into(), variable.into());
        self.tensors.remove(&key);
        self.int8.insert(key, tensor);
        Ok(())
    }

    /// Finds a kernel of 8-bit integers.
    ///
    /// ```
    /// # use sepconv::weights::*;
    /// assert_eq!(Weights::default().find_int8("dense", "kernel"), None);
    /// ```
    pub fn find_int8(&self, layer: &str, variable: &str) -> Option<&Int8Tensor> {
        self.int8.get(&(layer.to_owned(), variable.to_owned()))
    }

    /// Finds a tensor.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut weights = Weights::default();
    /// # weights.insert("dense", "bias", Tensor { shape: vec![2], data: vec![0.5, 1.5] })?;
    /// // weights: `bias` [0.5, 1.5] of the layer `dense`
    /// assert_eq!(weights.find("dense", "bias").map(|tensor| &tensor.shape), Some(&vec![2]));
    /// assert_eq!(weights.find("dense", "kernel"), None);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn find(&self, layer: &str, variable: &str) -> Option<&Tensor> {
        self.tensors.get(&(layer.to_owned(), variable.to_owned()))
    }

    /// Returns the elements of a tensor, which must have exactly this shape.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut weights = Weights::default();
    /// # weights.insert("dense", "bias", Tensor { shape: vec![2], data: vec![0.5, 1.5] })?;
    /// // weights: `bias` [0.5, 1.5] of the layer `dense`
    /// assert_eq!(weights.get("dense", "bias", &[2])?, [0.5, 1.5]);
    /// let error = weights.get("dense", "bias", &[3]).unwrap_err();
    /// assert_eq!(error.to_string(), r#"tensor "dense/bias": expected shape [3], got [2]"#);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Tensor`] if the tensor is missing or has another shape.
    pub fn get(&self, layer: &str, variable: &str, shape: &[usize]) -> Result<&[f32]> {
        let error = |message| Error::Tensor { tensor: format!("{layer}/{variable}"), message };
        let tensor = self.find(layer, variable).ok_or_else(|| {
            error(match self.find_int8(layer, variable) {
                Some(_) => format!("expected f32 of shape {shape:?}, got 8-bit integers"),
                None => format!("missing; expected shape {shape:?}"),
            })
        })?;
        if tensor.shape != shape {
            return Err(error(format!("expected shape {shape:?}, got {:?}", tensor.shape)));
        }
        Ok(&tensor.data)
    }

    /// Removes a layer's tensors.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut weights = Weights::default();
    /// # weights.insert("dense", "bias", Tensor { shape: vec![2], data: vec![0.5, 1.5] })?;
    /// // weights: `bias` [0.5, 1.5] of the layer `dense`
    /// weights.remove_layer("dense");
    /// assert_eq!(weights, Weights::default());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn remove_layer(&mut self, layer: &str) {
        self.tensors.retain(|(l, _), _| l != layer);
        self.int8.retain(|(l, _), _| l != layer);
    }

    /// All tensors of f32, ordered by layer and variable.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut weights = Weights::default();
    /// # weights.insert("dense", "bias", Tensor { shape: vec![2], data: vec![0.5, 1.5] })?;
    /// // weights: `bias` [0.5, 1.5] of the layer `dense`
    /// for (layer, variable, tensor) in weights.iter() {
    ///     assert_eq!((layer, variable, &tensor.data[..]), ("dense", "bias", &[0.5, 1.5][..]));
    /// }
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Tensor)> {
        self.tensors.iter().map(|((l, v), t)| (l.as_str(), v.as_str(), t))
    }

    /// All kernels of 8-bit integers, ordered by layer and variable.
    ///
    /// ```
    /// # use sepconv::weights::*;
    /// # let mut weights = Weights::default();
    /// # let kernel = Int8Tensor { shape: vec![1, 1], data: vec![3], scales: vec![0.5] };
    /// # weights.insert_int8("dense", "kernel", kernel)?;
    /// // weights: `kernel` [3], which stands for 1.5, of the layer `dense`
    /// for (layer, variable, tensor) in weights.iter_int8() {
    ///     assert_eq!((layer, variable, &tensor.numbers()[..]), ("dense", "kernel", &[1.5][..]));
    /// }
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn iter_int8(&self) -> impl Iterator<Item = (&str, &str, &Int8Tensor)> {
        self.int8.iter().map(|((l, v), t)| (l.as_str(), v.as_str(), t))
    }
}
