//! GhostNet: Han et al., "GhostNet: More Features from Cheap Operations", 2020.

use sepconv_kernels::{Activation, Window};

use super::layers::{HARD_SIGMOID, Layers, SqueezeExcite, divisible};
use crate::Result;
use crate::network::{NodeId, Op};

/// A block: rows and columns of its depthwise layers, channels between its halves, output channels,
/// share of squeeze and excitation (0 for none), stride.
type Row = (usize, usize, usize, f64, usize);

const STAGES: [&[Row]; 9] = [
    &[(3, 16, 16, 0.0, 1)],
    &[(3, 48, 24, 0.0, 2)],
    &[(3, 72, 24, 0.0, 1)],
    &[(5, 72, 40, 0.25, 2)],
    &[(5, 120, 40, 0.25, 1)],
    &[(3, 240, 80, 0.0, 2)],
    &[
        (3, 200, 80, 0.0, 1),
        (3, 184, 80, 0.0, 1),
        (3, 184, 80, 0.0, 1),
        (3, 480, 112, 0.25, 1),
        (3, 672, 112, 0.25, 1),
    ],
    &[(5, 672, 160, 0.25, 2)],
    &[(5, 960, 160, 0.0, 1), (5, 960, 160, 0.25, 1), (5, 960, 160, 0.0, 1), (5, 960, 160, 0.25, 1)],
];
const STEM: usize = 16;
/// Of the last convolution before the pool.
const LAST: usize = 960;
const FEATURES: usize = 1280;

/// The number of blocks.
#[cfg(feature = "safetensors")]
pub(super) fn blocks() -> usize {
    STAGES.iter().map(|stage| stage.len()).sum::<usize>() + 1
}

pub(super) fn build(width: f64, layers: &mut Layers, classes: Option<usize>) -> Result<()> {
    let wide = |channels: usize| divisible(channels as f64 * width, 4, 0.9);
    let mut channels = wide(STEM);
    let window = layers.window(3, 2);
    let x = layers.conv("conv_stem", window, channels, false, NodeId::FIRST)?;
    let x = layers.norm("bn1", x)?;
    let mut x = layers.activation("act1", Activation::Relu, x)?;
    for (i, stage) in STAGES.iter().enumerate() {
        for (j, &(kernel, between, filters, squeeze, stride)) in stage.iter().enumerate() {
            let block = Block {
                name: format!("blocks.{i}.{j}"),
                kernel,
                stride,
                channels,
                between: wide(between),
                filters: wide(filters),
                squeeze,
            };
            x = block.build(layers, x)?;
            channels = block.filters;
        }
    }
    let last = format!("blocks.{}.0", STAGES.len());
    let pointwise = Window::new([1, 1]);
    x = layers.conv(&format!("{last}.conv"), pointwise, wide(LAST), false, x)?;
    x = layers.norm_act(&format!("{last}.bn1"), Activation::Relu, x)?;
    layers.pool_first(FEATURES, Activation::Relu, classes, x)
}

struct Block {
    name: String,
    kernel: usize,
    stride: usize,
    channels: usize,
    between: usize,
    filters: usize,
    squeeze: f64,
}

impl Block {
    fn build(&self, layers: &mut Layers, input: NodeId) -> Result<NodeId> {
        let at = |layer: &str| format!("{}.{layer}", self.name);
        let window = layers.window(self.kernel, self.stride);
        let mut x = ghost(layers, &at("ghost1"), self.between, Some(Activation::Relu), input)?;
        if self.stride > 1 {
            x = layers.depthwise(&at("conv_dw"), window, false, x)?;
            x = layers.norm(&at("bn_dw"), x)?;
        }
        if self.squeeze > 0.0 {
            let squeeze = SqueezeExcite {
                reduced: divisible(self.between as f64 * self.squeeze, 4, 0.9),
                channels: self.between,
                activation: Activation::Relu,
                gate: HARD_SIGMOID,
            };
            x = layers.squeeze_excite(&at("se"), squeeze, x)?;
        }
        x = ghost(layers, &at("ghost2"), self.filters, None, x)?;
        let mut side = input;
        if self.stride > 1 || self.channels != self.filters {
            side = layers.depthwise(&at("shortcut.0"), window, false, side)?;
            side = layers.norm(&at("shortcut.1"), side)?;
            let pointwise = Window::new([1, 1]);
            side = layers.conv(&at("shortcut.2"), pointwise, self.filters, false, side)?;
            side = layers.norm(&at("shortcut.3"), side)?;
        }
        layers.network.push(&self.name, Op::Add, &[x, side])
    }
}

/// Half of the channels by a pointwise layer, and the other half by a depthwise one on these.
/// `filters` is even, as a multiple of 4.
fn ghost(
    layers: &mut Layers,
    name: &str,
    filters: usize,
    activation: Option<Activation>,
    x: NodeId,
) -> Result<NodeId> {
    let ended = |layers: &mut Layers, part: &str, x: NodeId| {
        let x = layers.norm(&format!("{name}.{part}.1"), x)?;
        match activation {
            Some(activation) => layers.activation(&format!("{name}.{part}.2"), activation, x),
            None => Ok(x),
        }
    };
    let pointwise = Window::new([1, 1]);
    let x = layers.conv(&format!("{name}.primary_conv.0"), pointwise, filters / 2, false, x)?;
    let x = ended(layers, "primary_conv", x)?;
    let window = layers.window(3, 1);
    let y = layers.depthwise(&format!("{name}.cheap_operation.0"), window, false, x)?;
    let y = ended(layers, "cheap_operation", y)?;
    layers.network.push(name, Op::Concat, &[x, y])
}
