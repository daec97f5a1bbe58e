//! Xception: one table of blocks, with Keras's layer names in Keras's order.

use sepconv_kernels::{Padding, Window};

use super::Head;
use super::builder::{Builder, check};
use crate::network::{Network, NodeId, Op};
use crate::{Error, Result};

/// The library that trained the weights. Its conventions do not show in the shapes of the weights.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let config = XceptionConfig { flavour: Flavour::Timm, ..XceptionConfig::default() };
/// let network = xception(&config)?;
/// let norm = network.node(network.find("block1_conv1_bn").unwrap());
/// assert_eq!(norm.op, Op::BatchNorm { epsilon: 1e-5, scale: true, center: true });
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Flavour {
    /// Keras: batch normalization with ε = 1e-3, max pools padded by TensorFlow's rule (SAME).
    #[default]
    Keras,
    /// timm's `legacy_xception`: ε = 1e-5, max pools padded by 1 on each side, as in PyTorch. The
    /// two rules differ if the input of a pool has an even height or width.
    Timm,
}

impl Flavour {
    /// ε of the batch normalizations.
    fn epsilon(self) -> f64 {
        match self {
            Self::Keras => 1e-3,
            Self::Timm => 1e-5,
        }
    }

    /// Padding of the 3×3 max pools of stride 2.
    fn pool_padding(self) -> Padding {
        match self {
            Self::Keras => Padding::Same,
            Self::Timm => Padding::Explicit { top: 1, bottom: 1, left: 1, right: 1 },
        }
    }
}

/// The parameters of an [`xception`]. The default is Keras Applications' Xception for ImageNet.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let config = XceptionConfig {
///     size: [Some(32); 2],
///     entry: vec![32, 64],
///     middle_blocks: 2,
///     head: Head::None,
///     ..XceptionConfig::default()
/// };
/// assert_eq!(xception(&config)?.shapes([1, 32, 32, 3])?.last(), Some(&[1, 2, 2, 2048]));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XceptionConfig {
    /// Input height and width; `None` leaves one open. At least 71 for the full depth (three or
    /// more `entry` blocks), as Keras demands, and at least 7 otherwise, which the stem needs.
    pub size: [Option<usize>; 2],
    /// Input channels.
    pub channels: usize,
    /// Channels of block 1's two standard convolutions.
    pub stem: [usize; 2],
    /// Channels of the strided entry blocks 2, 3, …; the last is also the width of the middle
    /// blocks.
    pub entry: Vec<usize>,
    /// Number of middle blocks.
    pub middle_blocks: usize,
    /// Channels of the strided exit block (its first separable convolution keeps the middle width).
    pub exit: usize,
    /// Channels of the last block's two separable convolutions.
    pub last: [usize; 2],
    /// Whether the input of each block is added to its output, through a projection if the block is
    /// strided. If not, there are no projections and no sums: the paper's Figure 9.
    pub residuals: bool,
    /// The library that trained the weights.
    pub flavour: Flavour,
    /// The layers after the last block.
    pub head: Head,
}

impl Default for XceptionConfig {
    fn default() -> Self {
        Self {
            size: [Some(299); 2],
            channels: 3,
            stem: [32, 64],
            entry: vec![128, 256, 728],
            middle_blocks: 8,
            exit: 1024,
            last: [1536, 2048],
            residuals: true,
            flavour: Flavour::Keras,
            head: Head::Classes(1000),
        }
    }
}

impl XceptionConfig {
    /// The default with every width times `multiplier`, rounded to the nearest integer and at least
    /// 1.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let half = XceptionConfig::with_width(0.5)?;
    /// assert_eq!((half.stem, half.entry, half.last), ([16, 32], vec![64, 128, 364], [768, 1024]));
    /// assert!(XceptionConfig::with_width(-1.0).is_err());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// `multiplier` is not a finite number above 0.
    pub fn with_width(multiplier: f64) -> Result<Self> {
        if !(multiplier.is_finite() && multiplier > 0.0) {
            return Err(Error::Argument {
                message: format!("expected a finite width multiplier above 0, got {multiplier}"),
            });
        }
        // A float to integer cast saturates; absurd widths are refused where shapes are multiplied.
        let scale = |width: usize| ((width as f64 * multiplier).round() as usize).max(1);
        let full = Self::default();
        Ok(Self {
            stem: full.stem.map(scale),
            entry: full.entry.into_iter().map(scale).collect(),
            exit: scale(full.exit),
            last: full.last.map(scale),
            ..Self::default()
        })
    }

    fn check(&self) -> Result<()> {
        if self.entry.is_empty() {
            let message = "expected at least 1 strided entry block, got 0".into();
            return Err(Error::Argument { message });
        }
        let widths = [self.channels, self.exit].into_iter();
        let widths = widths.chain(self.stem).chain(self.entry.iter().copied()).chain(self.last);
        let least = if self.entry.len() >= 3 { 71 } else { 7 };
        let what = format!("Xception with {} entry blocks", self.entry.len());
        check(&what, widths, &self.head, self.size, least)
    }
}

/// Builds the network. Nodes have the names of the Keras layers; automatic names start with
/// `conv2d`, `batch_normalization` and `add`. With [`Head::Classes`] the output is the dense
/// layer's node `predictions/logits`, and the softmax after it is `predictions`.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let network = xception(&XceptionConfig::default())?;
/// assert_eq!(network.nodes().len(), 135);
/// assert!(network.find("block14_sepconv2_act").is_some());
/// let small = XceptionConfig { size: [Some(70); 2], ..XceptionConfig::default() };
/// assert!(xception(&small).is_err()); // at least 71
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if a width is 0, there is no entry block, or the input is too small.
pub fn xception(config: &XceptionConfig) -> Result<Network> {
    config.check()?;
    let mut b = Builder::new("xception", config.size, config.channels);
    b.epsilon = config.flavour.epsilon();
    let mut x = NodeId(0);

    for (i, stride, filters) in [(1, 2, config.stem[0]), (2, 1, config.stem[1])] {
        let window = Window::new([3, 3]).stride([stride, stride]);
        let name = format!("block1_conv{i}");
        x = b.conv(&name, window, filters, x)?;
        x = b.norm(&format!("{name}_bn"), true, x)?;
        x = b.relu(&format!("{name}_act"), x)?;
    }
    let mut block = 1;
    for (i, &width) in config.entry.iter().enumerate() {
        block += 1;
        // Only block 2 starts without a ReLU: block 1 ends in one.
        x = strided(&mut b, config, block, [width, width], i > 0, x)?;
    }
    let middle = config.entry[config.entry.len() - 1];
    for _ in 0..config.middle_blocks {
        block += 1;
        let input = x;
        for i in 1..=3 {
            x = b.relu(&format!("block{block}_sepconv{i}_act"), x)?;
            x = separable(&mut b, block, i, middle, x)?;
        }
        if config.residuals {
            x = join(&mut b, x, input)?;
        }
    }
    block += 1;
    x = strided(&mut b, config, block, [middle, config.exit], true, x)?;
    block += 1;
    for (i, width) in (1..).zip(config.last) {
        x = separable(&mut b, block, i, width, x)?;
        x = b.relu(&format!("block{block}_sepconv{i}_act"), x)?;
    }
    b.head(&config.head, x, |b, classes| b.predictions(classes, x))?;
    Ok(b.network)
}

/// A 3×3 SAME separable convolution and its batch normalization.
fn separable(b: &mut Builder, block: usize, i: usize, filters: usize, x: NodeId) -> Result<NodeId> {
    let name = format!("block{block}_sepconv{i}");
    let window = Window::new([3, 3]).padding(Padding::Same);
    let x = b.push(&name, Op::Separable { window, multiplier: 1, filters, bias: false }, &[x])?;
    b.norm(&format!("{name}_bn"), true, x)
}

/// The sum of a block's output and its input.
fn join(b: &mut Builder, x: NodeId, side: NodeId) -> Result<NodeId> {
    let name = b.automatic("add");
    b.push(&name, Op::Add, &[x, side])
}

/// Two separable convolutions and a max pool, plus, with residuals, a strided 1×1 projection of the
/// block's input (taken before the leading ReLU).
fn strided(
    b: &mut Builder,
    config: &XceptionConfig,
    block: usize,
    widths: [usize; 2],
    lead: bool,
    input: NodeId,
) -> Result<NodeId> {
    let mut x = input;
    for (i, width) in (1..).zip(widths) {
        if i > 1 || lead {
            x = b.relu(&format!("block{block}_sepconv{i}_act"), x)?;
        }
        x = separable(b, block, i, width, x)?;
    }
    let pool = Window::new([3, 3]).stride([2, 2]).padding(config.flavour.pool_padding());
    let pool = |b: &mut Builder, x| b.push(&format!("block{block}_pool"), Op::MaxPool(pool), &[x]);
    if !config.residuals {
        return pool(b, x);
    }
    let projection = Window::new([1, 1]).stride([2, 2]).padding(Padding::Same);
    let name = b.automatic("conv2d");
    let side = b.conv(&name, projection, widths[1], input)?;
    let x = pool(b, x)?;
    let name = b.automatic("batch_normalization");
    let side = b.norm(&name, true, side)?;
    join(b, x, side)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::count_parameters;

    #[test]
    fn parameter_counts_are_keras() {
        let mut config = XceptionConfig::default();
        let count = count_parameters(&xception(&config).unwrap()).unwrap();
        assert_eq!((count.trainable, count.total), (22_855_952, 22_910_480));
        config.head = Head::None;
        let count = count_parameters(&xception(&config).unwrap()).unwrap();
        assert_eq!(count.total, 20_861_480);
    }

    #[test]
    fn order_is_keras() {
        let network = xception(&XceptionConfig::default()).unwrap();
        let names: Vec<&str> = network.nodes().iter().map(|n| n.name.as_str()).collect();
        assert_eq!(
            names[7..18],
            [
                "block2_sepconv1",
                "block2_sepconv1_bn",
                "block2_sepconv2_act",
                "block2_sepconv2",
                "block2_sepconv2_bn",
                "conv2d",
                "block2_pool",
                "batch_normalization",
                "add",
                "block3_sepconv1_act",
                "block3_sepconv1",
            ]
        );
        assert_eq!(names.len(), 135);
        let output = network.node(network.output());
        assert_eq!(
            (output.name.as_str(), output.layer.as_str()),
            ("predictions/logits", "predictions")
        );
        assert_eq!(names[134], "predictions");
        assert!(network.find("add_11").is_some() && network.find("add_12").is_none());
        assert!(network.find("conv2d_3").is_some() && network.find("conv2d_4").is_none());
    }

    #[test]
    fn small_and_scaled() {
        let small = XceptionConfig {
            size: [Some(32); 2],
            stem: [8, 16],
            entry: vec![32, 64],
            middle_blocks: 2,
            exit: 96,
            last: [96, 128],
            head: Head::Classes(10),
            ..XceptionConfig::default()
        };
        let network = xception(&small).unwrap();
        assert!(network.find("block7_sepconv2_act").is_some());
        assert!(network.find("block8_sepconv1").is_none());
        let half = XceptionConfig::with_width(0.5).unwrap();
        assert_eq!((half.stem, half.entry[2], half.last), ([16, 32], 364, [768, 1024]));
        assert!(XceptionConfig::with_width(f64::NAN).is_err());
    }

    #[test]
    fn without_residuals() {
        let config = XceptionConfig { residuals: false, ..XceptionConfig::default() };
        let network = xception(&config).unwrap();
        let residual = |op: &Op| {
            matches!(op, Op::Add | Op::Conv { window: Window { kernel: [1, 1], .. }, .. })
        };
        assert!(!network.nodes().iter().any(|n| residual(&n.op)));
        // 12 sums, 4 projections with their norms.
        assert_eq!(network.nodes().len(), 135 - 20);
        let projections = [[64, 128], [128, 256], [256, 728], [728, 1024]];
        let lost: usize = projections.iter().map(|[i, o]| i * o + 2 * o).sum();
        let count = count_parameters(&network).unwrap();
        assert_eq!(count.trainable, 22_855_952 - lost);
    }

    #[test]
    fn flavours_differ_in_norms_and_pools() {
        let keras = xception(&XceptionConfig::default()).unwrap();
        let config = XceptionConfig { flavour: Flavour::Timm, ..XceptionConfig::default() };
        let timm = xception(&config).unwrap();
        let mut differ = 0;
        for (a, b) in keras.nodes().iter().zip(timm.nodes()) {
            assert_eq!((&a.name, &a.inputs), (&b.name, &b.inputs));
            if a.op != b.op {
                assert!(matches!(a.op, Op::BatchNorm { .. } | Op::MaxPool(_)), "{}", a.name);
                differ += 1;
            }
        }
        assert_eq!(differ, 40 + 4);
    }

    #[test]
    fn refusals() {
        let full = XceptionConfig::default();
        for bad in [
            XceptionConfig { size: [Some(70), None], ..full.clone() },
            XceptionConfig { entry: vec![], ..full.clone() },
            XceptionConfig { exit: 0, ..full.clone() },
            XceptionConfig { head: Head::Classes(0), ..full.clone() },
        ] {
            assert!(xception(&bad).is_err(), "{bad:?}");
        }
    }
}
