//! ConvNeXt: Liu et al., "A ConvNet for the 2020s", 2022.

use sepconv_kernels::{Activation, Window};

use super::layers::{Layers, divisible};
use crate::Result;
use crate::network::{NodeId, Op};

/// The parameters of a network.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Blocks of each stage.
    depths: [usize; 4],
    /// Channels of each stage.
    channels: [usize; 4],
    stem: Stem,
    /// Whether the layers within blocks are convolutions, 1×1, not dense layers.
    pointwise: bool,
    /// Whether the norm of the head is before its pool.
    norm_first: bool,
}

/// The layers before the first stage.
#[derive(Clone, Copy)]
pub(super) enum Stem {
    /// A convolution of 4×4 patches.
    Patches,
    /// Two convolutions of stride 2.
    Overlapping,
    /// The same; the first has half the channels.
    Tiered,
}

impl Shape {
    const fn new(depths: [usize; 4], width: usize) -> Self {
        let channels = [width, 2 * width, 4 * width, 8 * width];
        Self { depths, channels, stem: Stem::Patches, pointwise: false, norm_first: false }
    }

    pub(super) const fn pointwise(self) -> Self {
        Self { pointwise: true, ..self }
    }

    pub(super) const fn stem(self, stem: Stem) -> Self {
        Self { stem, ..self }
    }

    /// The number of blocks.
    #[cfg(feature = "safetensors")]
    pub(super) fn blocks(&self) -> usize {
        self.depths.iter().sum()
    }

    pub(super) const fn norm_first(self) -> Self {
        Self { norm_first: true, ..self }
    }
}

pub(super) const ATTO: Shape = Shape::new([2, 2, 6, 2], 40).pointwise();
pub(super) const FEMTO: Shape = Shape::new([2, 2, 6, 2], 48).pointwise();
pub(super) const PICO: Shape = Shape::new([2, 2, 6, 2], 64).pointwise();
pub(super) const NANO: Shape = Shape::new([2, 2, 8, 2], 80).pointwise();
pub(super) const TINY: Shape = Shape::new([3, 3, 9, 3], 96);
pub(super) const SMALL: Shape = Shape::new([3, 3, 27, 3], 96);

pub(super) fn build(shape: &Shape, layers: &mut Layers, classes: Option<usize>) -> Result<()> {
    let mut x = stem(shape, layers)?;
    for (i, (&depth, &channels)) in shape.depths.iter().zip(&shape.channels).enumerate() {
        let stage = format!("stages.{i}");
        if i > 0 {
            x = layers.layer_norm(&format!("{stage}.downsample.0"), x)?;
            let window = Window::new([2, 2]).stride([2, 2]);
            x = layers.conv(&format!("{stage}.downsample.1"), window, channels, true, x)?;
        }
        for j in 0..depth {
            x = block(layers, &format!("{stage}.blocks.{j}"), channels, shape.pointwise, x)?;
        }
    }
    if shape.norm_first {
        x = layers.layer_norm("norm_pre", x)?;
        x = layers.pool("head.global_pool", false, x)?;
    } else {
        x = layers.pool("head.global_pool", false, x)?;
        x = layers.layer_norm("head.norm", x)?;
    }
    layers.classes("head.fc", classes, x)
}

fn stem(shape: &Shape, layers: &mut Layers) -> Result<NodeId> {
    let channels = shape.channels[0];
    let first = match shape.stem {
        Stem::Patches => {
            let window = Window::new([4, 4]).stride([4, 4]);
            let x = layers.conv("stem.0", window, channels, true, NodeId::FIRST)?;
            return layers.layer_norm("stem.1", x);
        }
        Stem::Overlapping => channels,
        Stem::Tiered => divisible((channels / 2) as f64, 8, 0.9),
    };
    let window = layers.window(3, 2);
    let x = layers.conv("stem.0", window, first, true, NodeId::FIRST)?;
    let x = layers.conv("stem.1", window, channels, true, x)?;
    layers.layer_norm("stem.2", x)
}

/// Depthwise 7×7, norm, two layers with four times the channels between them, a factor for each
/// channel, and the input.
fn block(
    layers: &mut Layers,
    name: &str,
    channels: usize,
    pointwise: bool,
    input: NodeId,
) -> Result<NodeId> {
    let at = |layer: &str| format!("{name}.{layer}");
    let dense = |layers: &mut Layers, layer: &str, units: usize, x: NodeId| match pointwise {
        true => layers.conv(&at(layer), Window::new([1, 1]), units, true, x),
        false => layers.network.push(&at(layer), Op::Dense { units, bias: true }, &[x]),
    };
    let window = layers.window(7, 1);
    let x = layers.depthwise(&at("conv_dw"), window, true, input)?;
    let x = layers.layer_norm(&at("norm"), x)?;
    let x = dense(layers, "mlp.fc1", 4 * channels, x)?;
    let x = layers.activation(&at("mlp.act"), Activation::Gelu, x)?;
    let x = dense(layers, "mlp.fc2", channels, x)?;
    let x = layers.network.push(&at("gamma"), Op::Scale, &[x])?;
    layers.network.push(name, Op::Add, &[x, input])
}
