//! Aligned Xception: DeepLab's deeper variant without max pools, with the names of timm's modules.

use sepconv_kernels::{Activation, Window};

use super::builder::{GLOBAL_AVERAGE_POOL, symmetric};
use crate::network::{Network, NodeId, Op};
use crate::{Error, Result};

/// A block of the entry flow.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let entry =
///     vec![EntryBlock { filters: 16, stride: 2 }, EntryBlock { filters: 32, stride: 1 }];
/// let config = AlignedXceptionConfig { entry, classes: None, ..AlignedXceptionConfig::default() };
/// let shapes = aligned_xception(&config)?.shapes([1, 64, 64, 3])?;
/// assert_eq!(shapes.last(), Some(&[1, 8, 8, 2048])); // halved by the stem, one entry block, the exit
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryBlock {
    /// Channels of its three separable convolutions.
    pub filters: usize,
    /// Stride of the third one, 1 or 2.
    pub stride: usize,
}

/// The parameters of an [`aligned_xception`]. The default is Xception-65.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// for (output_stride, side) in [(32, 10), (16, 19), (8, 38)] {
///     let config =
///         AlignedXceptionConfig { output_stride, classes: None, ..AlignedXceptionConfig::default() };
///     let shapes = aligned_xception(&config)?.shapes([1, 299, 299, 3])?;
///     assert_eq!(shapes.last(), Some(&[1, side, side, 2048]));
/// }
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlignedXceptionConfig {
    /// Input height and width; `None` leaves one open. At least 1.
    pub size: [Option<usize>; 2],
    /// Input channels.
    pub channels: usize,
    /// Channels of the two standard convolutions of the stem. The first has stride 2.
    pub stem: [usize; 2],
    /// The blocks of the entry flow; the last one's channels are also those of the middle blocks.
    pub entry: Vec<EntryBlock>,
    /// Number of middle blocks.
    pub middle_blocks: usize,
    /// Channels of the second and third separable convolution of the exit block, which has stride 2
    /// (its first one keeps the middle width).
    pub exit: usize,
    /// Channels of the last block's three separable convolutions.
    pub last: [usize; 3],
    /// Input size ÷ size of the last feature map: 32, 16 or 8. Below 32, the last strided blocks
    /// get stride 1, and the layers after each of them get twice the dilation (atrous convolution).
    /// The weights are the same.
    pub output_stride: usize,
    /// Outputs of the dense layer at the end. If `None`, the output is the feature map of the last
    /// block, N×h×w×`last[2]`.
    pub classes: Option<usize>,
}

impl AlignedXceptionConfig {
    /// Xception-41, timm's `xception41`.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let config = AlignedXceptionConfig::xception41();
    /// assert_eq!(config.middle_blocks, 8);
    /// assert_eq!(count_parameters(&aligned_xception(&config)?)?.trainable, 26_969_560);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn xception41() -> Self {
        Self { middle_blocks: 8, ..Self::xception65() }
    }

    /// Xception-65, timm's `xception65`.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let config = AlignedXceptionConfig::xception65();
    /// assert_eq!(config.middle_blocks, 16);
    /// assert_eq!(count_parameters(&aligned_xception(&config)?)?.trainable, 39_916_312);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn xception65() -> Self {
        let strided = |filters| EntryBlock { filters, stride: 2 };
        Self {
            size: [Some(299); 2],
            channels: 3,
            stem: [32, 64],
            entry: vec![strided(128), strided(256), strided(728)],
            middle_blocks: 16,
            exit: 1024,
            last: [1536, 1536, 2048],
            output_stride: 32,
            classes: Some(1000),
        }
    }

    /// Xception-71, timm's `xception71`.
    ///
    /// ```
    /// # use sepconv::models::*;
    /// # use sepconv::network::Op;
    /// # use sepconv::weights::count_parameters;
    /// let config = AlignedXceptionConfig::xception71();
    /// assert_eq!(config.entry.len(), 5);
    /// assert_eq!(count_parameters(&aligned_xception(&config)?)?.trainable, 42_338_736);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn xception71() -> Self {
        let table = [(128, 2), (256, 1), (256, 2), (728, 1), (728, 2)];
        let entry = table.map(|(filters, stride)| EntryBlock { filters, stride });
        Self { entry: entry.into(), ..Self::xception65() }
    }

    fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::Argument { message });
        let Some(last) = self.entry.last() else {
            return error("expected at least 1 entry block, got 0".into());
        };
        let widths = [self.channels, self.exit, last.filters, self.classes.unwrap_or(1)];
        let entry = self.entry.iter().map(|block| &block.filters);
        let all = widths.iter().chain(&self.stem).chain(&self.last).chain(entry);
        if all.chain(self.size.iter().flatten()).any(|&extent| extent == 0) {
            return error("expected widths and sizes of at least 1, got 0".into());
        }
        if let Some(block) = self.entry.iter().find(|block| !(1..=2).contains(&block.stride)) {
            return error(format!(
                "expected an entry block of stride 1 or 2, got {}",
                block.stride
            ));
        }
        if ![8, 16, 32].contains(&self.output_stride) {
            let stride = self.output_stride;
            return error(format!("expected an output stride of 8, 16 or 32, got {stride}"));
        }
        Ok(())
    }
}

impl Default for AlignedXceptionConfig {
    fn default() -> Self {
        Self::xception65()
    }
}

/// Builds the network. Nodes have the names of timm's modules, such as
/// `blocks.3.stack.conv1.conv_dw`. The sum of a block has the block's name, `blocks.3`. The output
/// is `head.fc`, the logits. The network is named after the number of its convolutions:
/// `xception65`.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let network = aligned_xception(&AlignedXceptionConfig::default())?;
/// assert_eq!(network.name(), "xception65");
/// assert_eq!(network.node(network.output()).name, "head.fc");
/// assert!(network.find("blocks.3.stack.conv1.conv_dw").is_some());
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if a width or size is 0, there is no entry block, or a stride is not one of
/// the documented ones.
pub fn aligned_xception(config: &AlignedXceptionConfig) -> Result<Network> {
    config.check()?;
    let blocks = config.entry.len() + config.middle_blocks + 2;
    let name = format!("xception{}", config.stem.len() + 3 * blocks);
    let network = Network::new(&name, "input", config.size, config.channels);
    let mut b = Builder {
        network,
        blocks: 0,
        channels: config.stem[1],
        stride: 2,
        dilation: 1,
        output_stride: config.output_stride,
    };
    let mut x = NodeId(0);

    for (i, stride, filters) in [(0, 2, config.stem[0]), (1, 1, config.stem[1])] {
        let name = format!("stem.{i}");
        x = b.conv(&format!("{name}.conv"), symmetric(3, stride, 1), filters, x)?;
        x = b.norm(&format!("{name}.bn"), x)?;
        x = b.relu(&format!("{name}.bn.act"), x)?;
    }
    for block in &config.entry {
        x = b.block([block.filters; 3], block.stride, true, x)?;
    }
    let middle = b.channels;
    for _ in 0..config.middle_blocks {
        x = b.block([middle; 3], 1, true, x)?;
    }
    x = b.block([middle, config.exit, config.exit], 2, true, x)?;
    x = b.block(config.last, 1, false, x)?;
    if let Some(units) = config.classes {
        x = b.network.push("head.global_pool", GLOBAL_AVERAGE_POOL, &[x])?;
        b.network.push("head.fc", Op::Dense { units, bias: true }, &[x])?;
    }
    Ok(b.network)
}

struct Builder {
    network: Network,
    /// Blocks so far.
    blocks: usize,
    /// Channels of the last block's output.
    channels: usize,
    /// Input size ÷ its size.
    stride: usize,
    /// The dilation of the next block.
    dilation: usize,
    output_stride: usize,
}

impl Builder {
    fn conv(&mut self, name: &str, window: Window, filters: usize, x: NodeId) -> Result<NodeId> {
        let op = Op::Conv { window, groups: 1, filters, bias: false };
        self.network.push(name, op, &[x])
    }

    fn norm(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let op = Op::BatchNorm { epsilon: 1e-3, scale: true, center: true };
        self.network.push(name, op, &[x])
    }

    fn relu(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.network.push(name, Op::Activation(Activation::Relu), &[x])
    }

    /// Three separable convolutions, the last one strided. A residual block has a ReLU before each
    /// and adds its input, projected if shapes differ. The other kind has a ReLU after each
    /// depthwise and each pointwise step.
    fn block(
        &mut self,
        widths: [usize; 3],
        stride: usize,
        residual: bool,
        input: NodeId,
    ) -> Result<NodeId> {
        let name = format!("blocks.{}", self.blocks);
        self.blocks += 1;
        let dilation = self.dilation;
        let stride = if self.stride * stride > self.output_stride {
            self.dilation *= stride;
            1
        } else {
            self.stride *= stride;
            stride
        };
        let mut x = input;
        for (i, filters) in (1..).zip(widths) {
            if residual {
                x = self.relu(&format!("{name}.stack.act{i}"), x)?;
            }
            let window = symmetric(3, if i == 3 { stride } else { 1 }, dilation);
            let name = format!("{name}.stack.conv{i}");
            let op = Op::Depthwise { window, multiplier: 1, bias: false };
            x = self.network.push(&format!("{name}.conv_dw"), op, &[x])?;
            x = self.norm(&format!("{name}.bn_dw"), x)?;
            if !residual {
                x = self.relu(&format!("{name}.act_dw"), x)?;
            }
            x = self.conv(&format!("{name}.conv_pw"), Window::new([1, 1]), filters, x)?;
            x = self.norm(&format!("{name}.bn_pw"), x)?;
            if !residual {
                x = self.relu(&format!("{name}.act_pw"), x)?;
            }
        }
        if residual {
            let mut side = input;
            if stride != 1 || widths[2] != self.channels {
                let conv = format!("{name}.shortcut.conv");
                side = self.conv(&conv, symmetric(1, stride, 1), widths[2], side)?;
                side = self.norm(&format!("{name}.shortcut.bn"), side)?;
            }
            x = self.network.push(&name, Op::Add, &[x, side])?;
        }
        self.channels = widths[2];
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::count_parameters;

    #[test]
    fn parameter_counts_are_timms() {
        for (config, name, trainable) in [
            (AlignedXceptionConfig::xception41(), "xception41", 26_969_560),
            (AlignedXceptionConfig::xception65(), "xception65", 39_916_312),
            (AlignedXceptionConfig::xception71(), "xception71", 42_338_736),
        ] {
            let network = aligned_xception(&config).unwrap();
            assert_eq!(network.name(), name);
            assert_eq!(count_parameters(&network).unwrap().trainable, trainable, "{name}");
        }
    }

    /// Strides and dilations of the depthwise steps by block: timm's `curr_stride` and
    /// `curr_dilation`.
    #[test]
    fn output_strides() {
        for (output_stride, strides, dilations) in [
            (32, [2, 2, 2, 1, 2, 1], [1, 1, 1, 1, 1, 1]),
            (16, [2, 2, 2, 1, 1, 1], [1, 1, 1, 1, 1, 2]),
            (8, [2, 2, 1, 1, 1, 1], [1, 1, 1, 2, 2, 4]),
        ] {
            let config = AlignedXceptionConfig {
                middle_blocks: 1,
                output_stride,
                ..AlignedXceptionConfig::default()
            };
            let network = aligned_xception(&config).unwrap();
            for block in 0..6 {
                for i in 1..=3 {
                    let name = format!("blocks.{block}.stack.conv{i}.conv_dw");
                    let Op::Depthwise { window, .. } =
                        network.node(network.find(&name).unwrap()).op
                    else {
                        panic!("{name}")
                    };
                    let stride = if i == 3 { strides[block] } else { 1 };
                    assert_eq!(window.stride, [stride; 2], "{name} at {output_stride}");
                    assert_eq!(window.dilation, [dilations[block]; 2], "{name} at {output_stride}");
                }
            }
        }
    }

    #[test]
    fn names_are_timms() {
        let network = aligned_xception(&AlignedXceptionConfig::xception41()).unwrap();
        let names: Vec<&str> = network.nodes().iter().map(|n| n.name.as_str()).collect();
        assert_eq!(
            names[4..13],
            [
                "stem.1.conv",
                "stem.1.bn",
                "stem.1.bn.act",
                "blocks.0.stack.act1",
                "blocks.0.stack.conv1.conv_dw",
                "blocks.0.stack.conv1.bn_dw",
                "blocks.0.stack.conv1.conv_pw",
                "blocks.0.stack.conv1.bn_pw",
                "blocks.0.stack.act2",
            ]
        );
        assert!(names.contains(&"blocks.11.shortcut.bn") && !names.contains(&"blocks.12"));
        assert_eq!(
            names[names.len() - 3..],
            ["blocks.12.stack.conv3.act_pw", "head.global_pool", "head.fc"]
        );
        assert_eq!(network.node(network.output()).name, "head.fc");
    }

    #[test]
    fn refusals() {
        let full = AlignedXceptionConfig::default();
        let entry = |filters, stride| vec![EntryBlock { filters, stride }];
        for (bad, part) in [
            (AlignedXceptionConfig { entry: vec![], ..full.clone() }, "entry block"),
            (AlignedXceptionConfig { entry: entry(0, 2), ..full.clone() }, "at least 1"),
            (AlignedXceptionConfig { entry: entry(8, 3), ..full.clone() }, "got 3"),
            (AlignedXceptionConfig { size: [Some(0), None], ..full.clone() }, "at least 1"),
            (AlignedXceptionConfig { classes: Some(0), ..full.clone() }, "at least 1"),
            (AlignedXceptionConfig { output_stride: 4, ..full.clone() }, "got 4"),
        ] {
            let error = aligned_xception(&bad).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
