//! The blocks between a standard and a depthwise separable convolution: Figures 1 to 4 of the
//! Xception paper (arXiv 1610.02357, sections 1.1 and 1.2).
//!
//! A convolution maps correlations across channels and in space at once. An Inception module maps
//! them separately: 1×1 convolutions map the channels into a few smaller spaces, then 3×3
//! convolutions map each of these spaces. With S such segments the spatial step is a convolution in
//! S groups:
//!
//! ```text
//! S = 1            a standard convolution behind a 1×1 one
//! 1 < S < C        the simplified Inception module
//! S = C            the "extreme" one: a depthwise convolution behind a 1×1 one
//! ```
//!
//! A depthwise separable convolution differs from the last row in two ways. Both are options here:
//! the spatial step comes first, and there is no activation between the steps.

use sepconv_kernels::{Activation, Padding, Window};

use super::Head;
use super::builder::{Builder, check};
use crate::network::{Network, NodeId, Op};
use crate::{Error, Result};

/// The order of the two steps of a block.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let names = |order| -> sepconv::Result<Vec<String>> {
///     let network = spectrum(&SpectrumConfig { order, segments: 2, ..SpectrumConfig::default() })?;
///     Ok(network.nodes()[1..].iter().map(|node| node.name.clone()).collect())
/// };
/// assert_eq!(names(Order::PointwiseFirst)?, ["pointwise", "spatial"]);
/// assert_eq!(names(Order::SpatialFirst)?, ["spatial", "pointwise"]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Across channels, then in space: Inception.
    #[default]
    PointwiseFirst,
    /// In space, then across channels: separable convolution.
    SpatialFirst,
}

/// The parameters of a [`spectrum`] block.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let shape = SpectrumConfig { channels: 16, filters: 16, ..SpectrumConfig::default() };
/// for segments in [1, 4, 16] {
///     let network = spectrum(&SpectrumConfig { segments, ..shape.clone() })?;
///     let spatial = 3 * 3 * 16 / segments * 16; // a filter sees its segment's channels
///     assert_eq!(count_parameters(&network)?.total, 16 * 16 + spatial + 16);
/// }
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SpectrumConfig {
    /// Input height and width; `None` leaves one open.
    pub size: [Option<usize>; 2],
    /// Input channels C.
    pub channels: usize,
    /// Output channels F.
    pub filters: usize,
    /// Kernel height and width of the spatial step, which is SAME and of stride 1.
    pub kernel: [usize; 2],
    /// Segments S of the spatial step. Must divide its channels: F if it comes last, C if it comes
    /// first.
    pub segments: usize,
    /// The order of the two steps.
    pub order: Order,
    /// The activation between the two steps. The paper's Figure 10 compares none, ReLU and ELU.
    pub between: Activation,
    /// Whether each segment is a tower with its own 1×1 convolution (Figure 2). Otherwise all
    /// segments share one (Figure 3), which computes the same function. Requires
    /// [`Order::PointwiseFirst`].
    pub towers: bool,
}

impl Default for SpectrumConfig {
    /// The extreme module at the shape of Xception's middle flow.
    fn default() -> Self {
        Self {
            size: [Some(19); 2],
            channels: 728,
            filters: 728,
            kernel: [3, 3],
            segments: 728,
            order: Order::default(),
            between: Activation::None,
            towers: false,
        }
    }
}

/// Builds a block as a network. The steps are called `pointwise` and `spatial`, in towers
/// `pointwise_0`, `spatial_0`, …. The activation is called `between`. The output is the last step
/// or the concatenation `towers`. If S = C, the spatial step comes first and there is no
/// activation, the block is one layer, `separable`. The last step has a bias.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let config = SpectrumConfig { order: Order::SpatialFirst, ..SpectrumConfig::default() };
/// let network = spectrum(&config)?; // one segment per channel and nothing between
/// assert!(matches!(network.node(network.output()).op, Op::Separable { filters: 728, .. }));
/// let error = spectrum(&SpectrumConfig { segments: 5, ..config }).unwrap_err();
/// assert_eq!(error.to_string(), "can't divide 728 input channels into 5 segments");
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if a width is 0, the segments don't divide the channels, or towers are
/// combined with [`Order::SpatialFirst`].
pub fn spectrum(config: &SpectrumConfig) -> Result<Network> {
    let SpectrumConfig { size, channels, filters, kernel, segments, order, between, towers } =
        *config;
    check("a block", [channels, filters, segments], &Head::None, size, 1)?;
    let (spatial, what) = match order {
        Order::PointwiseFirst => (filters, "output"),
        Order::SpatialFirst => (channels, "input"),
    };
    let error = |message: String| Err(Error::Argument { message });
    if !spatial.is_multiple_of(segments) {
        return error(format!("can't divide {spatial} {what} channels into {segments} segments"));
    }
    if towers && order == Order::SpatialFirst {
        return error(
            "towers begin with a pointwise convolution; the spatial one can't come first".into(),
        );
    }

    let window = Window::new(kernel).padding(Padding::Same);
    let pointwise =
        |filters, bias| Op::Conv { window: Window::new([1, 1]), groups: 1, filters, bias };
    let grouped = |filters, groups, bias| {
        if groups == filters {
            return Op::Depthwise { window, multiplier: 1, bias };
        }
        Op::Conv { window, groups, filters, bias }
    };
    let mut b = Builder::new("spectrum", size, channels);
    let input = NodeId(0);
    match order {
        Order::SpatialFirst if segments == channels && between == Activation::None => {
            let op = Op::Separable { window, multiplier: 1, filters, bias: true };
            b.push("separable", op, &[input])?;
        }
        Order::SpatialFirst => {
            let x = b.push("spatial", grouped(channels, segments, false), &[input])?;
            let x = b.activation("between", between, x)?;
            b.push("pointwise", pointwise(filters, true), &[x])?;
        }
        Order::PointwiseFirst if !towers => {
            let x = b.push("pointwise", pointwise(filters, false), &[input])?;
            let x = b.activation("between", between, x)?;
            b.push("spatial", grouped(filters, segments, true), &[x])?;
        }
        Order::PointwiseFirst => {
            let width = filters / segments;
            let mut ends = Vec::new();
            for i in 0..segments {
                let x = b.push(&format!("pointwise_{i}"), pointwise(width, false), &[input])?;
                let x = b.activation(&format!("between_{i}"), between, x)?;
                ends.push(b.push(&format!("spatial_{i}"), grouped(width, 1, true), &[x])?);
            }
            if segments > 1 {
                b.push("towers", Op::Concat, &ends)?;
            }
        }
    }
    Ok(b.network)
}

/// The parameters of an [`inception_module`]. The default is the first module of Inception V3,
/// `mixed0`, with a 3×3 convolution instead of its 5×5.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let config = InceptionModuleConfig { pool: 64, ..InceptionModuleConfig::default() };
/// let shapes = inception_module(&config)?.shapes([1, 35, 35, 192])?;
/// assert_eq!(shapes.last(), Some(&[1, 35, 35, 64 + 64 + 96 + 64]));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct InceptionModuleConfig {
    /// Input height and width; `None` leaves one open.
    pub size: [Option<usize>; 2],
    /// Input channels.
    pub channels: usize,
    /// Filters of the tower of one 1×1 convolution.
    pub pointwise: usize,
    /// Filters of the tower 1×1, 3×3.
    pub single: [usize; 2],
    /// Filters of the tower 1×1, 3×3, 3×3.
    pub double: [usize; 3],
    /// Filters of the 1×1 convolution after the 3×3 average pool.
    pub pool: usize,
    /// The activation after each convolution.
    pub activation: Activation,
}

impl Default for InceptionModuleConfig {
    fn default() -> Self {
        Self {
            size: [Some(35); 2],
            channels: 192,
            pointwise: 64,
            single: [48, 64],
            double: [64, 96, 96],
            pool: 32,
            activation: Activation::Relu,
        }
    }
}

/// Builds a canonical Inception module (Figure 1) as a network: four towers and their concatenation
/// `towers`. Convolutions have biases and are named after their tower: `pointwise`, `single_0`,
/// `single_1`, `double_0` to `double_2`, `pool_0`. The activation after each is `<name>_act`.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let network = inception_module(&InceptionModuleConfig::default())?;
/// let towers = network.node(network.output());
/// assert_eq!((towers.name.as_str(), towers.inputs.len()), ("towers", 4));
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for a width of 0.
pub fn inception_module(config: &InceptionModuleConfig) -> Result<Network> {
    let InceptionModuleConfig { size, channels, pointwise, single, double, pool, activation } =
        *config;
    let widths = [channels, pointwise, pool].into_iter().chain(single).chain(double);
    check("an Inception module", widths, &Head::None, size, 1)?;
    let mut b = Builder::new("inception_module", size, channels);
    let conv = |b: &mut Builder, name: &str, kernel: usize, filters: usize, x: NodeId| {
        let window = Window::new([kernel, kernel]).padding(Padding::Same);
        let op = Op::Conv { window, groups: 1, filters, bias: true };
        let x = b.push(name, op, &[x])?;
        b.activation(&format!("{name}_act"), activation, x)
    };
    let input = NodeId(0);
    let mut ends = vec![conv(&mut b, "pointwise", 1, pointwise, input)?];
    for (tower, filters) in [("single", &single[..]), ("double", &double[..])] {
        let mut x = input;
        for (i, &filters) in filters.iter().enumerate() {
            let kernel = if i == 0 { 1 } else { 3 };
            x = conv(&mut b, &format!("{tower}_{i}"), kernel, filters, x)?;
        }
        ends.push(x);
    }
    let window = Window::new([3, 3]).padding(Padding::Same);
    let x = b.push("pool", Op::AveragePool(window), &[input])?;
    ends.push(conv(&mut b, "pool_0", 1, pool, x)?);
    b.push("towers", Op::Concat, &ends)?;
    Ok(b.network)
}
