//! Inception V3 (arXiv 1512.00567): one table of modules, with Keras's layer names in Keras's
//! order.

use sepconv_kernels::{Padding, Window};

use super::Head;
use super::builder::{Builder, check, in_keras_order};
use crate::Result;
use crate::network::{Network, NodeId, Op};

/// A layer of a tower.
#[derive(Clone, Copy)]
enum Layer {
    /// Convolution with this number of filters and this kernel, SAME, stride 1, with batch norm and
    /// ReLU.
    Conv(usize, [usize; 2]),
    /// The same with VALID and stride 2.
    Down(usize, [usize; 2]),
    /// 1×3 and 3×1 convolutions side by side, concatenated.
    Fork(usize),
    /// 3×3 average pool, SAME, stride 1.
    Average,
    /// 3×3 max pool, VALID, stride 2.
    Max,
}
use Layer::{Average, Conv, Down, Fork, Max};

/// Towers side by side, concatenated.
type Module<'a> = &'a [&'a [Layer]];

const ONE: [usize; 2] = [1, 1];
const THREE: [usize; 2] = [3, 3];
const ROW: [usize; 2] = [1, 7];
const COLUMN: [usize; 2] = [7, 1];

/// 35×35, `pool` filters after the average pool.
macro_rules! module_35 {
    ($pool:literal) => {
        &[
            &[Conv(64, ONE)],
            &[Conv(48, ONE), Conv(64, [5, 5])],
            &[Conv(64, ONE), Conv(96, THREE), Conv(96, THREE)],
            &[Average, Conv($pool, ONE)],
        ]
    };
}

/// 17×17, `width` filters inside the towers.
macro_rules! module_17 {
    ($width:literal) => {
        &[
            &[Conv(192, ONE)],
            &[Conv($width, ONE), Conv($width, ROW), Conv(192, COLUMN)],
            &[
                Conv($width, ONE),
                Conv($width, COLUMN),
                Conv($width, ROW),
                Conv($width, COLUMN),
                Conv(192, ROW),
            ],
            &[Average, Conv(192, ONE)],
        ]
    };
}

const MODULE_8: Module<'static> = &[
    &[Conv(320, ONE)],
    &[Conv(384, ONE), Fork(384)],
    &[Conv(448, ONE), Conv(384, THREE), Fork(384)],
    &[Average, Conv(192, ONE)],
];

/// `mixed0` to `mixed10`.
const MODULES: [Module<'static>; 11] = [
    module_35!(32),
    module_35!(64),
    module_35!(64),
    &[&[Down(384, THREE)], &[Conv(64, ONE), Conv(96, THREE), Down(96, THREE)], &[Max]],
    module_17!(128),
    module_17!(160),
    module_17!(160),
    module_17!(192),
    &[
        &[Conv(192, ONE), Down(320, THREE)],
        &[Conv(192, ONE), Conv(192, ROW), Conv(192, COLUMN), Down(192, THREE)],
        &[Max],
    ],
    MODULE_8,
    MODULE_8,
];

/// The parameters of an [`inception_v3`]. The default is Keras Applications' Inception V3 for
/// ImageNet.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let config = InceptionV3Config { head: Head::None, ..InceptionV3Config::default() };
/// let shapes = inception_v3(&config)?.shapes([1, 299, 299, 3])?;
/// assert_eq!(shapes.last(), Some(&[1, 8, 8, 2048]));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InceptionV3Config {
    /// Input height and width, at least 75; `None` leaves one open.
    pub size: [Option<usize>; 2],
    /// Input channels.
    pub channels: usize,
    /// What follows the last module.
    pub head: Head,
}

impl Default for InceptionV3Config {
    fn default() -> Self {
        Self { size: [Some(299); 2], channels: 3, head: Head::Classes(1000) }
    }
}

/// Builds the network, without the auxiliary classifier, as Keras does. With [`Head::Classes`] the
/// output is `predictions/logits`.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let network = inception_v3(&InceptionV3Config::default())?;
/// assert_eq!(network.node(network.output()).name, "predictions/logits");
/// assert_eq!(count_parameters(&network)?.trainable, 23_817_352); // as Keras says
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for a width of 0 or an input that is too small.
pub fn inception_v3(config: &InceptionV3Config) -> Result<Network> {
    let InceptionV3Config { size, channels, ref head } = *config;
    check("Inception V3", [channels], head, size, 75)?;
    let mut b = Builder::new("inception_v3", size, channels);
    let mut x = NodeId(0);
    let valid = Window::new(THREE);
    let same = valid.padding(Padding::Same);
    for (window, filters) in [(valid.stride([2, 2]), 32), (valid, 32), (same, 64)] {
        x = unit(&mut b, window, filters, x)?;
    }
    x = layer(&mut b, Max, "", x)?;
    for (window, filters) in [(Window::new(ONE), 80), (valid, 192)] {
        x = unit(&mut b, window, filters, x)?;
    }
    x = layer(&mut b, Max, "", x)?;
    for (i, towers) in MODULES.into_iter().enumerate() {
        let mut outputs = Vec::new();
        for (t, tower) in towers.iter().enumerate() {
            // Keras names one of the two forks of a module; the other gets an automatic name.
            let fork =
                if t == 1 { format!("mixed9_{}", i.saturating_sub(9)) } else { String::new() };
            let end = tower.iter().try_fold(x, |x, &step| layer(&mut b, step, &fork, x))?;
            outputs.push(end);
        }
        x = b.push(&format!("mixed{i}"), Op::Concat, &outputs)?;
    }
    b.head(head, x, |b, classes| b.predictions(classes, x))?;
    in_keras_order(&b.network)
}

/// One layer of a tower; `fork` is the name of a fork's concatenation if it has one.
fn layer(b: &mut Builder, layer: Layer, fork: &str, x: NodeId) -> Result<NodeId> {
    let same = |kernel| Window::new(kernel).padding(Padding::Same);
    match layer {
        Conv(filters, kernel) => unit(b, same(kernel), filters, x),
        Down(filters, kernel) => unit(b, Window::new(kernel).stride([2, 2]), filters, x),
        Fork(filters) => {
            let ends = [unit(b, same([1, 3]), filters, x)?, unit(b, same([3, 1]), filters, x)?];
            let name = if fork.is_empty() { b.automatic("concatenate") } else { fork.into() };
            b.push(&name, Op::Concat, &ends)
        }
        Average => {
            let name = b.automatic("average_pooling2d");
            b.push(&name, Op::AveragePool(same(THREE)), &[x])
        }
        Max => {
            let name = b.automatic("max_pooling2d");
            b.push(&name, Op::MaxPool(Window::new(THREE).stride([2, 2])), &[x])
        }
    }
}

/// Convolution, batch norm without γ, ReLU.
fn unit(b: &mut Builder, window: Window, filters: usize, x: NodeId) -> Result<NodeId> {
    let [conv, norm, activation] =
        ["conv2d", "batch_normalization", "activation"].map(|kind| b.automatic(kind));
    let x = b.conv(&conv, window, filters, x)?;
    let x = b.norm(&norm, false, x)?;
    b.relu(&activation, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::count_parameters;

    #[test]
    fn parameter_counts_are_keras() {
        let mut config = InceptionV3Config::default();
        let count = count_parameters(&inception_v3(&config).unwrap()).unwrap();
        assert_eq!((count.trainable, count.total), (23_817_352, 23_851_784));
        config.head = Head::None;
        let count = count_parameters(&inception_v3(&config).unwrap()).unwrap();
        assert_eq!(count.total, 21_802_784);
    }

    #[test]
    fn refusals() {
        let small = InceptionV3Config { size: [Some(74), None], ..InceptionV3Config::default() };
        assert!(inception_v3(&small).unwrap_err().to_string().contains("74"));
        let none = InceptionV3Config { channels: 0, ..InceptionV3Config::default() };
        assert!(inception_v3(&none).is_err());
    }
}
