//! The names and shapes of each operation's weight tensors. No other file states them.

use sepconv_kernels::Window;

use super::{Node, Op};
use crate::Result;
use crate::weights::Weights;

/// The names and shapes of the tensors of an operation on `channels` channels, in Keras's order.
/// None if channels times a multiplier overflows, or if groups do not divide the channels.
pub(crate) fn tensors(op: &Op, channels: usize) -> Option<Vec<(&'static str, Vec<usize>)>> {
    let bias = |present: bool, length: usize| present.then(|| ("bias", vec![length]));
    Some(match *op {
        Op::Conv { window: Window { kernel: [kh, kw], .. }, groups, filters, bias: present } => {
            let divides = |n: usize| n.checked_rem(groups) == Some(0);
            if !divides(channels) || !divides(filters) {
                return None;
            }
            let kernel = ("kernel", vec![kh, kw, channels / groups, filters]);
            [Some(kernel), bias(present, filters)].into_iter().flatten().collect()
        }
        Op::ConvTranspose { window, filters, bias: present } => {
            let [kh, kw] = window.kernel;
            let kernel = ("kernel", vec![kh, kw, filters, channels]);
            [Some(kernel), bias(present, filters)].into_iter().flatten().collect()
        }
        Op::Depthwise { window: Window { kernel: [kh, kw], .. }, multiplier, bias: present } => {
            let kernel = ("depthwise_kernel", vec![kh, kw, channels, multiplier]);
            let bias = bias(present, channels.checked_mul(multiplier)?);
            [Some(kernel), bias].into_iter().flatten().collect()
        }
        Op::Separable {
            window: Window { kernel: [kh, kw], .. },
            multiplier,
            filters,
            bias: present,
        } => {
            let depthwise = ("depthwise_kernel", vec![kh, kw, channels, multiplier]);
            let between = channels.checked_mul(multiplier)?;
            let pointwise = ("pointwise_kernel", vec![1, 1, between, filters]);
            [Some(depthwise), Some(pointwise), bias(present, filters)]
                .into_iter()
                .flatten()
                .collect()
        }
        Op::Dense { units, bias: present } => {
            let kernel = ("kernel", vec![channels, units]);
            [Some(kernel), bias(present, units)].into_iter().flatten().collect()
        }
        Op::BatchNorm { scale, center, .. } => {
            let all = [
                ("gamma", scale),
                ("beta", center),
                ("moving_mean", true),
                ("moving_variance", true),
            ];
            let present = all.into_iter().filter(|&(_, present)| present);
            present.map(|(name, _)| (name, vec![channels])).collect()
        }
        Op::Standardize { .. } => ["mean", "variance"].map(|name| (name, vec![channels])).to_vec(),
        Op::Scale => vec![("gamma", vec![channels])],
        Op::Normalize { scale, center, .. } => {
            let present = [("gamma", scale), ("beta", center)].into_iter().filter(|&(_, p)| p);
            present.map(|(name, _)| (name, vec![channels])).collect()
        }
        Op::NormalizeOver { ref extents, scale, center, .. } => {
            let present = [("gamma", scale), ("beta", center)].into_iter().filter(|&(_, p)| p);
            present.map(|(name, _)| (name, extents.clone())).collect()
        }
        Op::PRelu { ref shape } => vec![("alpha", shape.clone())],
        _ => Vec::new(),
    })
}

/// The output channels of weights of this shape.
pub(crate) fn output_channels(name: &str, shape: &[usize]) -> usize {
    // Those of a depthwise kernel [kh, kw, C, M] are C·M.
    let axes = if name == "depthwise_kernel" { 2 } else { 1 };
    shape.iter().rev().take(axes).product()
}

/// A tensor of a node on `channels` channels. None if the operation has no tensor of this name.
pub(super) fn find<'w>(
    weights: &'w Weights,
    node: &Node,
    channels: usize,
    name: &str,
) -> Result<Option<&'w [f32]>> {
    let shape = shape(node, channels, name);
    shape.map(|shape| weights.get(&node.layer, name, &shape)).transpose()
}

/// The shape of a tensor of a node, if its operation has it.
pub(super) fn shape(node: &Node, channels: usize, name: &str) -> Option<Vec<usize>> {
    // Shapes have been inferred, so that nothing overflows.
    let tensors = tensors(&node.op, channels).unwrap_or_default();
    tensors.into_iter().find(|(n, _)| *n == name).map(|(_, shape)| shape)
}
