//! The layers that the families share.

use sepconv_kernels::{Activation, BinaryOp, NormalizationKind, Padding, PoolKind, Window};

use crate::Result;
use crate::models::builder::symmetric;
use crate::network::{Network, NodeId, Op};

/// PyTorch's hard sigmoid.
pub(super) const HARD_SIGMOID: Activation =
    Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };

/// A network that grows, and the rules of all its layers.
pub(super) struct Layers {
    pub(super) network: Network,
    /// Whether padding and ε are TensorFlow's.
    tensorflow: bool,
}

/// What happens between the two layers of a squeeze and excitation.
#[derive(Clone, Copy)]
pub(super) struct SqueezeExcite {
    /// Channels of the first layer.
    pub(super) reduced: usize,
    /// Channels of the second layer, and of the map.
    pub(super) channels: usize,
    pub(super) activation: Activation,
    pub(super) gate: Activation,
}

impl Layers {
    pub(super) fn new(network: Network, tensorflow: bool) -> Self {
        Self { network, tensorflow }
    }

    /// A k×k window, padded as the network pads.
    pub(super) fn window(&self, k: usize, stride: usize) -> Window {
        let window = symmetric(k, stride, 1);
        if self.tensorflow { window.padding(Padding::Same) } else { window }
    }

    /// A standard convolution.
    pub(super) fn conv(
        &mut self,
        name: &str,
        window: Window,
        filters: usize,
        bias: bool,
        x: NodeId,
    ) -> Result<NodeId> {
        self.network.push(name, Op::Conv { window, groups: 1, filters, bias }, &[x])
    }

    /// A depthwise convolution.
    pub(super) fn depthwise(
        &mut self,
        name: &str,
        window: Window,
        bias: bool,
        x: NodeId,
    ) -> Result<NodeId> {
        self.network.push(name, Op::Depthwise { window, multiplier: 1, bias }, &[x])
    }

    /// A batch normalization.
    pub(super) fn norm(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let epsilon = if self.tensorflow { 1e-3 } else { 1e-5 };
        self.network.push(name, Op::BatchNorm { epsilon, scale: true, center: true }, &[x])
    }

    /// A batch normalization and the activation in its module.
    pub(super) fn norm_act(
        &mut self,
        name: &str,
        activation: Activation,
        x: NodeId,
    ) -> Result<NodeId> {
        let x = self.norm(name, x)?;
        self.activation(&format!("{name}.act"), activation, x)
    }

    /// A layer normalization, with the ε of ConvNeXt.
    pub(super) fn layer_norm(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let kind = NormalizationKind::Layer;
        self.network.push(
            name,
            Op::Normalize { kind, epsilon: 1e-6, scale: true, center: true },
            &[x],
        )
    }

    pub(super) fn activation(
        &mut self,
        name: &str,
        activation: Activation,
        x: NodeId,
    ) -> Result<NodeId> {
        self.network.push(name, Op::Activation(activation), &[x])
    }

    /// The average over a map, as a vector or as a map of one pixel.
    pub(super) fn pool(&mut self, name: &str, keep_dims: bool, x: NodeId) -> Result<NodeId> {
        self.network.push(name, Op::GlobalPool { kind: PoolKind::Average, keep_dims }, &[x])
    }

    /// x times a gate for each channel, which is made of the averages of all channels.
    pub(super) fn squeeze_excite(
        &mut self,
        name: &str,
        squeeze: SqueezeExcite,
        x: NodeId,
    ) -> Result<NodeId> {
        let SqueezeExcite { reduced, channels, activation, gate } = squeeze;
        let pointwise = Window::new([1, 1]);
        let y = self.pool(&format!("{name}.pool"), true, x)?;
        let y = self.conv(&format!("{name}.conv_reduce"), pointwise, reduced, true, y)?;
        let y = self.activation(&format!("{name}.act1"), activation, y)?;
        let y = self.conv(&format!("{name}.conv_expand"), pointwise, channels, true, y)?;
        let y = self.activation(&format!("{name}.gate"), gate, y)?;
        self.network.push(name, Op::Binary(BinaryOp::Multiply), &[x, y])
    }

    /// The dense layer at the end, if there is one.
    pub(super) fn classes(&mut self, name: &str, classes: Option<usize>, x: NodeId) -> Result<()> {
        match classes {
            Some(units) => {
                self.network.push(name, Op::Dense { units, bias: true }, &[x]).map(|_| ())
            }
            None => Ok(()),
        }
    }

    /// The head of MobileNetV3 and GhostNet, which pools before its last convolution.
    pub(super) fn pool_first(
        &mut self,
        features: usize,
        activation: Activation,
        classes: Option<usize>,
        x: NodeId,
    ) -> Result<()> {
        let x = self.pool("global_pool", true, x)?;
        let x = self.conv("conv_head", Window::new([1, 1]), features, true, x)?;
        let x = self.activation("act2", activation, x)?;
        let x = self.network.push("flatten", Op::Flatten { features }, &[x])?;
        self.classes("classifier", classes, x)
    }
}

/// `value` as a multiple of `divisor`, at least one of it: the nearest, or the next one if that is
/// below `limit` times the value.
pub(super) fn divisible(value: f64, divisor: usize, limit: f64) -> usize {
    let nearest = (value + divisor as f64 / 2.0) as usize / divisor * divisor;
    let rounded = nearest.max(divisor);
    if (rounded as f64) < limit * value { rounded + divisor } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples() {
        assert_eq!(divisible(28.0, 8, 0.9), 32);
        assert_eq!(divisible(27.0, 8, 0.9), 24 + 8); // 24 is less than 0.9 · 27
        assert_eq!(divisible(27.0, 8, 0.0), 24);
        assert_eq!(divisible(26.0, 8, 0.9), 24);
        assert_eq!(divisible(1.0, 8, 0.9), 8);
        assert_eq!(divisible(6.0, 4, 0.9), 8);
    }
}
