//! Builds networks of the Xception family and of timm's separable ones, each from a short table of
//! blocks.

mod aligned_xception;
mod builder;
mod inception_v3;
mod mobilenet;
mod name;
mod spectrum;
mod timm;
mod xception;

pub use aligned_xception::{AlignedXceptionConfig, EntryBlock, aligned_xception};
pub use inception_v3::{InceptionV3Config, inception_v3};
pub use mobilenet::{MobileNetConfig, mobilenet};
pub use name::ModelName;
pub use spectrum::{InceptionModuleConfig, Order, SpectrumConfig, inception_module, spectrum};
pub(crate) use timm::pretrained;
#[cfg(feature = "safetensors")]
pub(crate) use timm::timm_of_blocks;
pub use timm::{TimmConfig, timm, timm_names};
pub use xception::{Flavour, XceptionConfig, xception};

/// The layers after the last block.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let head = Head::Custom { hidden: vec![256], classes: 10 };
/// let network = xception(&XceptionConfig { head, ..XceptionConfig::default() })?;
/// assert_eq!(network.node(network.output()).name, "dense_1");
/// assert_eq!(network.shapes([1, 299, 299, 3])?.last(), Some(&[1, 1, 1, 10]));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// None: the output is the feature map of the last block.
    None,
    /// Keras's top for this number of classes: average pool `avg_pool`, dense layer `predictions`,
    /// softmax. MobileNet's top differs, see [`MobileNetConfig::head`].
    Classes(usize),
    /// A custom head: average pool `global_average_pooling2d`, a dense layer with ReLU for each
    /// element of `hidden`, and a linear dense layer of `classes` outputs. They are called `dense`,
    /// `dense_1`, ….
    Custom {
        /// The outputs of each hidden dense layer.
        hidden: Vec<usize>,
        /// The outputs of the last dense layer.
        classes: usize,
    },
}
