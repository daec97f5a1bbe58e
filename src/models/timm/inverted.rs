//! Networks of inverted residuals: MobileNetV2 and V3, MnasNet, EfficientNet.
//!
//! Sandler et al., "MobileNetV2", 2018; Tan et al., "MnasNet", 2018; Howard et al., "Searching for
//! MobileNetV3", 2019; Tan, Le, "EfficientNet", 2019, and "EfficientNetV2", 2021.

use sepconv_kernels::{Activation, Window};

use super::block::{Block, Kind, cn, ds, er, ir, repeated};
use super::layers::{HARD_SIGMOID, Layers, SqueezeExcite, divisible};
use crate::Result;
use crate::network::{NodeId, Op};

/// Networks that differ by width and depth.
pub(super) struct Family {
    /// The rows of each stage.
    stages: &'static [&'static [Block]],
    /// Channels of the first layer.
    stem: usize,
    activation: Activation,
    /// Channels are not rounded below this share of their exact number.
    limit: f64,
    squeeze: Squeeze,
    head: Head,
}

/// The kind of squeeze and excitation.
#[derive(Clone, Copy, PartialEq)]
enum Squeeze {
    /// Of the block's input channels, with the block's activation and a sigmoid.
    OfInput,
    /// Of the channels around it, in multiples of 8, with ReLU and a hard sigmoid.
    OfExpanded,
}

/// The layers behind the last stage.
enum Head {
    /// Convolution to so many channels, norm, activation, pool.
    Features(Features),
    /// Pool, convolution with bias to so many channels, activation.
    PoolFirst(usize),
}

/// Channels of the last convolution.
#[derive(Clone, Copy)]
enum Features {
    Fixed(usize),
    /// Scaled with the width.
    Scaled(usize),
    /// Scaled with the width if it is above 1, unless the head is fixed.
    AtLeast(usize),
}

const RELATED: Family = Family {
    stages: &[],
    stem: 32,
    activation: Activation::Relu,
    limit: 0.9,
    squeeze: Squeeze::OfInput,
    head: Head::Features(Features::Fixed(1280)),
};

pub(super) static MOBILENET_V2: Family = Family {
    stages: &[
        &[ds(1, 3, 1, 16)],
        &[ir(2, 3, 2, 6.0, 24)],
        &[ir(3, 3, 2, 6.0, 32)],
        &[ir(4, 3, 2, 6.0, 64)],
        &[ir(3, 3, 1, 6.0, 96)],
        &[ir(3, 3, 2, 6.0, 160)],
        &[ir(1, 3, 1, 6.0, 320)],
    ],
    activation: Activation::Relu6,
    head: Head::Features(Features::AtLeast(1280)),
    ..RELATED
};

pub(super) static MNASNET_A1: Family = Family {
    stages: &[
        &[ds(1, 3, 1, 16).residual(false)],
        &[ir(2, 3, 2, 6.0, 24)],
        &[ir(3, 5, 2, 3.0, 40).se(0.25)],
        &[ir(4, 3, 2, 6.0, 80)],
        &[ir(2, 3, 1, 6.0, 112).se(0.25)],
        &[ir(3, 5, 2, 6.0, 160).se(0.25)],
        &[ir(1, 3, 1, 6.0, 320)],
    ],
    ..RELATED
};

pub(super) static MNASNET_B1: Family = Family {
    stages: &[
        &[ds(1, 3, 1, 16).residual(false)],
        &[ir(3, 3, 2, 3.0, 24)],
        &[ir(3, 5, 2, 3.0, 40)],
        &[ir(3, 5, 2, 6.0, 80)],
        &[ir(2, 3, 1, 6.0, 96)],
        &[ir(4, 5, 2, 6.0, 192)],
        &[ir(1, 3, 1, 6.0, 320).residual(false)],
    ],
    ..RELATED
};

pub(super) static MNASNET_SMALL: Family = Family {
    stages: &[
        &[ds(1, 3, 1, 8)],
        &[ir(1, 3, 2, 3.0, 16)],
        &[ir(2, 3, 2, 6.0, 16)],
        &[ir(4, 5, 2, 6.0, 32).se(0.25)],
        &[ir(3, 3, 1, 6.0, 32).se(0.25)],
        &[ir(3, 5, 2, 6.0, 88).se(0.25)],
        &[ir(1, 3, 1, 6.0, 144)],
    ],
    stem: 8,
    ..RELATED
};

pub(super) static EFFICIENTNET: Family = Family {
    stages: &[
        &[ds(1, 3, 1, 16).se(0.25)],
        &[ir(2, 3, 2, 6.0, 24).se(0.25)],
        &[ir(2, 5, 2, 6.0, 40).se(0.25)],
        &[ir(3, 3, 2, 6.0, 80).se(0.25)],
        &[ir(3, 5, 1, 6.0, 112).se(0.25)],
        &[ir(4, 5, 2, 6.0, 192).se(0.25)],
        &[ir(1, 3, 1, 6.0, 320).se(0.25)],
    ],
    activation: Activation::Silu,
    head: Head::Features(Features::Scaled(1280)),
    ..RELATED
};

pub(super) static EFFICIENTNET_LITE: Family = Family {
    stages: &[
        &[ds(1, 3, 1, 16)],
        &[ir(2, 3, 2, 6.0, 24)],
        &[ir(2, 5, 2, 6.0, 40)],
        &[ir(3, 3, 2, 6.0, 80)],
        &[ir(3, 5, 1, 6.0, 112)],
        &[ir(4, 5, 2, 6.0, 192)],
        &[ir(1, 3, 1, 6.0, 320)],
    ],
    activation: Activation::Relu6,
    ..RELATED
};

pub(super) static EFFICIENTNET_V2_B: Family = Family {
    stages: &[
        &[cn(1, 3, 1, 16).residual(true)],
        &[er(2, 3, 2, 4.0, 32)],
        &[er(2, 3, 2, 4.0, 48)],
        &[ir(3, 3, 2, 4.0, 96).se(0.25)],
        &[ir(5, 3, 1, 6.0, 112).se(0.25)],
        &[ir(8, 3, 2, 6.0, 192).se(0.25)],
    ],
    activation: Activation::Silu,
    limit: 0.0,
    head: Head::Features(Features::Scaled(1280)),
    ..RELATED
};

pub(super) static EFFICIENTNET_V2_S: Family = Family {
    stages: &[
        &[cn(2, 3, 1, 24).residual(true)],
        &[er(4, 3, 2, 4.0, 48)],
        &[er(4, 3, 2, 4.0, 64)],
        &[ir(6, 3, 2, 4.0, 128).se(0.25)],
        &[ir(9, 3, 1, 6.0, 160).se(0.25)],
        &[ir(15, 3, 2, 6.0, 256).se(0.25)],
    ],
    stem: 24,
    activation: Activation::Silu,
    head: Head::Features(Features::Scaled(1280)),
    ..RELATED
};

pub(super) static MOBILENET_V3_LARGE: Family = Family {
    stages: &[
        &[ds(1, 3, 1, 16).relu()],
        &[ir(1, 3, 2, 4.0, 24).relu(), ir(1, 3, 1, 3.0, 24).relu()],
        &[ir(3, 5, 2, 3.0, 40).se(0.25).relu()],
        &[ir(1, 3, 2, 6.0, 80), ir(1, 3, 1, 2.5, 80), ir(2, 3, 1, 2.3, 80)],
        &[ir(2, 3, 1, 6.0, 112).se(0.25)],
        &[ir(3, 5, 2, 6.0, 160).se(0.25)],
        &[cn(1, 1, 1, 960)],
    ],
    stem: 16,
    activation: Activation::HardSwish,
    squeeze: Squeeze::OfExpanded,
    head: Head::PoolFirst(1280),
    ..RELATED
};

pub(super) static MOBILENET_V3_LARGE_MINIMAL: Family = Family {
    stages: &[
        &[ds(1, 3, 1, 16)],
        &[ir(1, 3, 2, 4.0, 24), ir(1, 3, 1, 3.0, 24)],
        &[ir(3, 3, 2, 3.0, 40)],
        &[ir(1, 3, 2, 6.0, 80), ir(1, 3, 1, 2.5, 80), ir(2, 3, 1, 2.3, 80)],
        &[ir(2, 3, 1, 6.0, 112)],
        &[ir(3, 3, 2, 6.0, 160)],
        &[cn(1, 1, 1, 960)],
    ],
    stem: 16,
    head: Head::PoolFirst(1280),
    ..RELATED
};

pub(super) static MOBILENET_V3_SMALL: Family = Family {
    stages: &[
        &[ds(1, 3, 2, 16).se(0.25).relu()],
        &[ir(1, 3, 2, 4.5, 24).relu(), ir(1, 3, 1, 3.67, 24).relu()],
        &[ir(1, 5, 2, 4.0, 40).se(0.25), ir(2, 5, 1, 6.0, 40).se(0.25)],
        &[ir(2, 5, 1, 3.0, 48).se(0.25)],
        &[ir(3, 5, 2, 6.0, 96).se(0.25)],
        &[cn(1, 1, 1, 576)],
    ],
    stem: 16,
    activation: Activation::HardSwish,
    squeeze: Squeeze::OfExpanded,
    head: Head::PoolFirst(1024),
    ..RELATED
};

pub(super) static MOBILENET_V3_SMALL_MINIMAL: Family = Family {
    stages: &[
        &[ds(1, 3, 2, 16)],
        &[ir(1, 3, 2, 4.5, 24), ir(1, 3, 1, 3.67, 24)],
        &[ir(1, 3, 2, 4.0, 40), ir(2, 3, 1, 6.0, 40)],
        &[ir(2, 3, 1, 3.0, 48)],
        &[ir(3, 3, 2, 6.0, 96)],
        &[cn(1, 1, 1, 576)],
    ],
    stem: 16,
    head: Head::PoolFirst(1024),
    ..RELATED
};

/// A family at a width and a depth.
pub(super) struct Scaled {
    pub(super) family: &'static Family,
    pub(super) width: f64,
    pub(super) depth: f64,
    /// Whether stem, head, and the depth of the first and last stage are the family's.
    pub(super) fixed: bool,
}

impl Scaled {
    pub(super) fn build(&self, layers: &mut Layers, classes: Option<usize>) -> Result<()> {
        let Family { stem, activation, ref head, .. } = *self.family;
        let mut channels = if self.fixed { stem } else { self.wide(stem) };
        let window = layers.window(3, 2);
        let x = layers.conv("conv_stem", window, channels, false, NodeId::FIRST)?;
        let mut x = layers.norm_act("bn1", activation, x)?;
        for (i, stage) in self.stages().enumerate() {
            for (j, block) in stage.into_iter().enumerate() {
                let (name, input) = (format!("blocks.{i}.{j}"), x);
                let filters = self.wide(block.channels);
                x = self.block(layers, &name, &block, [channels, filters], x)?;
                if block.residual && block.stride == 1 && channels == filters {
                    x = layers.network.push(&name, Op::Add, &[x, input])?;
                }
                channels = filters;
            }
        }
        match *head {
            Head::Features(features) => {
                let filters = self.features(features);
                let x = layers.conv("conv_head", Window::new([1, 1]), filters, false, x)?;
                let x = layers.norm_act("bn2", activation, x)?;
                let x = layers.pool("global_pool", false, x)?;
                layers.classes("classifier", classes, x)
            }
            Head::PoolFirst(features) => layers.pool_first(features, activation, classes, x),
        }
    }

    /// The blocks of each stage.
    fn stages(&self) -> impl Iterator<Item = Vec<Block>> {
        let last = self.family.stages.len() - 1;
        self.family.stages.iter().enumerate().map(move |(i, stage)| {
            let fixed = self.fixed && [0, last].contains(&i);
            repeated(stage, if fixed { 1.0 } else { self.depth })
        })
    }

    /// The number of blocks.
    #[cfg(feature = "safetensors")]
    pub(super) fn blocks(&self) -> usize {
        self.stages().map(|stage| stage.len()).sum()
    }

    /// Channels at this width.
    fn wide(&self, channels: usize) -> usize {
        divisible(channels as f64 * self.width, 8, self.family.limit)
    }

    fn features(&self, features: Features) -> usize {
        match features {
            Features::Scaled(channels) => self.wide(channels),
            Features::AtLeast(channels) if !self.fixed => self.wide(channels).max(channels),
            Features::Fixed(channels) | Features::AtLeast(channels) => channels,
        }
    }

    /// The layers of a block from `channels[0]` to `channels[1]` channels, up to the sum.
    fn block(
        &self,
        layers: &mut Layers,
        name: &str,
        block: &Block,
        [channels, filters]: [usize; 2],
        x: NodeId,
    ) -> Result<NodeId> {
        let activation = block.activation.unwrap_or(self.family.activation);
        let window = layers.window(block.kernel, block.stride);
        let pointwise = Window::new([1, 1]);
        let at = |layer: &str| format!("{name}.{layer}");
        let expanded = divisible(channels as f64 * block.expansion, 8, 0.9);
        match block.kind {
            Kind::Conv => {
                let x = layers.conv(&at("conv"), window, filters, false, x)?;
                layers.norm_act(&at("bn1"), activation, x)
            }
            Kind::Separable => {
                let x = layers.depthwise(&at("conv_dw"), window, false, x)?;
                let x = layers.norm_act(&at("bn1"), activation, x)?;
                let x = self.squeeze(layers, &at("se"), block, channels, x)?;
                let x = layers.conv(&at("conv_pw"), pointwise, filters, false, x)?;
                layers.norm(&at("bn2"), x)
            }
            Kind::Inverted => {
                let x = layers.conv(&at("conv_pw"), pointwise, expanded, false, x)?;
                let x = layers.norm_act(&at("bn1"), activation, x)?;
                let x = layers.depthwise(&at("conv_dw"), window, false, x)?;
                let x = layers.norm_act(&at("bn2"), activation, x)?;
                let x = self.squeeze(layers, &at("se"), block, expanded, x)?;
                let x = layers.conv(&at("conv_pwl"), pointwise, filters, false, x)?;
                layers.norm(&at("bn3"), x)
            }
            Kind::Fused => {
                let x = layers.conv(&at("conv_exp"), window, expanded, false, x)?;
                let x = layers.norm_act(&at("bn1"), activation, x)?;
                let x = layers.conv(&at("conv_pwl"), pointwise, filters, false, x)?;
                layers.norm(&at("bn2"), x)
            }
        }
    }

    /// The squeeze and excitation of a block, on `channels` channels, if it has one.
    fn squeeze(
        &self,
        layers: &mut Layers,
        name: &str,
        block: &Block,
        channels: usize,
        x: NodeId,
    ) -> Result<NodeId> {
        if block.squeeze == 0.0 {
            return Ok(x);
        }
        let exact = channels as f64 * block.squeeze;
        let squeeze = match self.family.squeeze {
            Squeeze::OfInput => SqueezeExcite {
                // In timm's order of operations, as it decides how a half is rounded.
                reduced: (channels as f64 * (block.squeeze / block.expansion)).round_ties_even()
                    as usize,
                channels,
                activation: block.activation.unwrap_or(self.family.activation),
                gate: Activation::Sigmoid,
            },
            Squeeze::OfExpanded => SqueezeExcite {
                reduced: divisible(exact, 8, 0.9),
                channels,
                activation: Activation::Relu,
                gate: HARD_SIGMOID,
            },
        };
        layers.squeeze_excite(name, squeeze, x)
    }
}
