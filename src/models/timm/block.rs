//! Blocks as a row of numbers, which a family's table lists and a network's width and depth scale.

use sepconv_kernels::Activation;

/// The layers of a block.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Standard convolution (timm's `cn`).
    Conv,
    /// Depthwise, pointwise (`ds`).
    Separable,
    /// Pointwise, depthwise, pointwise (`ir`).
    Inverted,
    /// Standard, pointwise (`er`).
    Fused,
}

/// Blocks of one kind, one behind the other. The first has the stride.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) repeats: usize,
    /// Rows and columns of the spatial layer.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Channels of its spatial layer ÷ those of the block's input.
    pub(super) expansion: f64,
    /// Output channels, unscaled.
    pub(super) channels: usize,
    /// Channels between the two layers of squeeze and excitation ÷ those around it; 0 for none.
    pub(super) squeeze: f64,
    /// If it is not that of the network.
    pub(super) activation: Option<Activation>,
    /// Whether the input is added where shapes allow.
    pub(super) residual: bool,
}

/// timm's `cn_r_k_s_c`.
pub(super) const fn cn(repeats: usize, kernel: usize, stride: usize, channels: usize) -> Block {
    Block {
        kind: Kind::Conv,
        repeats,
        kernel,
        stride,
        expansion: 1.0,
        channels,
        squeeze: 0.0,
        activation: None,
        residual: false,
    }
}

/// timm's `ds_r_k_s_c`.
pub(super) const fn ds(repeats: usize, kernel: usize, stride: usize, channels: usize) -> Block {
    let conv = cn(repeats, kernel, stride, channels);
    Block { kind: Kind::Separable, residual: true, ..conv }
}

/// timm's `ir_r_k_s_e_c`.
pub(super) const fn ir(
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: f64,
    channels: usize,
) -> Block {
    let conv = cn(repeats, kernel, stride, channels);
    Block { kind: Kind::Inverted, expansion, residual: true, ..conv }
}

/// timm's `er_r_k_s_e_c`.
pub(super) const fn er(
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: f64,
    channels: usize,
) -> Block {
    let inverted = ir(repeats, kernel, stride, expansion, channels);
    Block { kind: Kind::Fused, ..inverted }
}

impl Block {
    /// timm's `se`.
    pub(super) const fn se(self, squeeze: f64) -> Self {
        Self { squeeze, ..self }
    }

    /// timm's `nre`.
    pub(super) const fn relu(self) -> Self {
        Self { activation: Some(Activation::Relu), ..self }
    }

    /// timm's `skip` and `noskip`.
    pub(super) const fn residual(self, residual: bool) -> Self {
        Self { residual, ..self }
    }
}

/// The blocks of a stage one by one, `depth` times as many, rounded up. The last rows are scaled
/// first.
pub(super) fn repeated(stage: &[Block], depth: f64) -> Vec<Block> {
    let mut left: usize = stage.iter().map(|block| block.repeats).sum();
    let mut wanted = (left as f64 * depth).ceil();
    let mut blocks = Vec::new();
    for block in stage.iter().rev() {
        let share = block.repeats as f64 / left as f64 * wanted;
        let repeats = share.round_ties_even().max(1.0);
        left -= block.repeats;
        wanted -= repeats;
        blocks.extend(std::iter::repeat_n(*block, repeats as usize));
    }
    blocks.reverse();
    // Only the first block of a stage has a stride.
    blocks.iter_mut().skip(1).for_each(|block| block.stride = 1);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths() {
        let stage = [ir(1, 3, 2, 6.0, 80), ir(1, 3, 1, 2.5, 80), ir(2, 3, 1, 2.3, 80)];
        let repeats = |depth: f64| {
            let blocks = repeated(&stage, depth);
            stage.map(|row| blocks.iter().filter(|b| b.expansion == row.expansion).count())
        };
        assert_eq!(repeats(1.0), [1, 1, 2]);
        assert_eq!(repeats(1.2), [1, 2, 2]); // 5, half of it 2, then half of 3
        let strides: Vec<_> = repeated(&stage, 1.4).iter().map(|block| block.stride).collect();
        assert_eq!(strides, [2, 1, 1, 1, 1, 1]);
    }
}
