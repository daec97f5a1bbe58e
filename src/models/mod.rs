//! Architectures as short tables of blocks.

mod aligned_xception;
mod builder;
mod inception_v3;
mod mobilenet;
mod spectrum;
mod xception;

pub use aligned_xception::{AlignedXceptionConfig, EntryBlock, aligned_xception};
pub use inception_v3::{InceptionV3Config, inception_v3};
pub use mobilenet::{MobileNetConfig, mobilenet};
pub use spectrum::{InceptionModuleConfig, Order, SpectrumConfig, inception_module, spectrum};
pub use xception::{Flavour, XceptionConfig, xception};

/// What follows the last block.
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
    /// Nothing: the output is the last block's feature map.
    None,
    /// Keras's top for so many classes: average pool `avg_pool`, dense `predictions`, softmax;
    /// MobileNet has another.
    Classes(usize),
    /// A head of one's own: average pool `global_average_pooling2d`, a ReLU dense layer per element
    /// of `hidden` and a linear one of `classes` outputs, called `dense`, `dense_1`, ….
    Custom {
        /// Outputs of the hidden dense layers.
        hidden: Vec<usize>,
        /// Outputs of the last dense layer.
        classes: usize,
    },
}
