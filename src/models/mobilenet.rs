//! MobileNetV1 (arXiv 1704.04861): one table of blocks, with Keras's layer names.

use sepconv_kernels::{Activation, Padding, Window};

use super::Head;
use super::builder::{Builder, GLOBAL_AVERAGE_POOL, check};
use crate::network::{Network, NodeId, Op, Output};
use crate::{Error, Result};

/// Output channels and stride of each block: a depthwise convolution, then a pointwise one.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// The parameters of a [`mobilenet`]. The default is Keras Applications' MobileNet 1.0 for
/// ImageNet.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let config = MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() };
/// let network = mobilenet(&config)?;
/// assert_eq!(network.shapes([1, 224, 224, 3])?[1], [1, 112, 112, 8]); // a quarter of 32 channels
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MobileNetConfig {
    /// Input height and width, at least 32; `None` leaves one open.
    pub size: [Option<usize>; 2],
    /// Input channels.
    pub channels: usize,
    /// The width multiplier α. Every layer has its channels times α, rounded down.
    pub alpha: f64,
    /// Output channels of a depthwise layer for each input channel.
    pub depth_multiplier: usize,
    /// The layers after the last block. [`Head::Classes`] is Keras's top:
    /// `global_average_pooling2d`, `dropout`, a 1×1 convolution `conv_preds`, `reshape_2`, softmax
    /// `predictions`.
    pub head: Head,
}

impl Default for MobileNetConfig {
    fn default() -> Self {
        Self {
            size: [Some(224); 2],
            channels: 3,
            alpha: 1.0,
            depth_multiplier: 1,
            head: Head::Classes(1000),
        }
    }
}

/// Builds the network. With [`Head::Classes`] the output is `reshape_2`, the logits.
///
/// ```
/// # use sepconv::models::*;
/// # use sepconv::network::Op;
/// # use sepconv::weights::count_parameters;
/// let network = mobilenet(&MobileNetConfig::default())?;
/// assert_eq!(network.node(network.output()).name, "reshape_2");
/// assert_eq!(count_parameters(&network)?.trainable, 4_231_976); // as Keras says
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if α is not finite and above 0 or leaves a layer without channels, another
/// width is 0, or the input is too small.
pub fn mobilenet(config: &MobileNetConfig) -> Result<Network> {
    let MobileNetConfig { size, channels, alpha, depth_multiplier, ref head } = *config;
    if !(alpha.is_finite() && alpha > 0.0) {
        let message = format!("expected a finite width multiplier above 0, got {alpha}");
        return Err(Error::Argument { message });
    }
    // A float to integer cast saturates; absurd widths are refused where shapes are multiplied.
    let wide = |width: usize| (width as f64 * alpha) as usize;
    let widths = [channels, wide(32), wide(64), depth_multiplier];
    check(&format!("MobileNet of width {alpha}"), widths, head, size, 32)?;

    let mut b = Builder::new("mobilenet", size, channels);
    let window = Window::new([3, 3]).stride([2, 2]).padding(Padding::Same);
    let x = b.conv("conv1", window, wide(32), NodeId(0))?;
    let x = b.norm("conv1_bn", true, x)?;
    let mut x = b.activation("conv1_relu", Activation::Relu6, x)?;
    for (i, (filters, stride)) in (1..).zip(BLOCKS) {
        // Keras pads at the bottom and right, whatever the size, by a separate layer.
        let padding = match stride {
            1 => Padding::Same,
            _ => Padding::Explicit { top: 0, bottom: 1, left: 0, right: 1 },
        };
        let window = Window::new([3, 3]).stride([stride, stride]).padding(padding);
        let op = Op::Depthwise { window, multiplier: depth_multiplier, bias: false };
        x = b.push(&format!("conv_dw_{i}"), op, &[x])?;
        x = b.norm(&format!("conv_dw_{i}_bn"), true, x)?;
        x = b.activation(&format!("conv_dw_{i}_relu"), Activation::Relu6, x)?;
        x = b.conv(&format!("conv_pw_{i}"), Window::new([1, 1]), wide(filters), x)?;
        x = b.norm(&format!("conv_pw_{i}_bn"), true, x)?;
        x = b.activation(&format!("conv_pw_{i}_relu"), Activation::Relu6, x)?;
    }
    b.head(head, x, |b, classes| {
        let x = b.push("global_average_pooling2d", GLOBAL_AVERAGE_POOL, &[x])?;
        let x = b.push("dropout", Op::Identity, &[x])?;
        let window = Window::new([1, 1]);
        let op = Op::Conv { window, groups: 1, filters: classes, bias: true };
        let x = b.push("conv_preds", op, &[x])?;
        let logits = b.push("reshape_2", Op::Flatten { features: classes }, &[x])?;
        let node = b.push("predictions", Op::Softmax, &[logits])?;
        b.network.set_outputs(vec![Output { name: "predictions".into(), node }])
    })?;
    Ok(b.network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::count_parameters;

    #[test]
    fn parameter_counts_are_keras() {
        for (alpha, trainable, total) in [
            (0.25, 470_072, 475_544),
            (0.5, 1_331_592, 1_342_536),
            (0.75, 2_585_560, 2_601_976),
            (1.0, 4_231_976, 4_253_864),
        ] {
            let config = MobileNetConfig { alpha, ..MobileNetConfig::default() };
            let count = count_parameters(&mobilenet(&config).unwrap()).unwrap();
            assert_eq!((count.trainable, count.total), (trainable, total), "{alpha}");
        }
    }

    #[test]
    fn refusals() {
        let full = MobileNetConfig::default();
        for (bad, part) in [
            (MobileNetConfig { alpha: f64::NAN, ..full.clone() }, "NaN"),
            (MobileNetConfig { alpha: -1.0, ..full.clone() }, "-1"),
            (MobileNetConfig { alpha: 0.02, ..full.clone() }, "0 channels"),
            (MobileNetConfig { size: [None, Some(31)], ..full.clone() }, "31"),
            (MobileNetConfig { head: Head::Classes(0), ..full }, "0 channels"),
        ] {
            let error = mobilenet(&bad).unwrap_err().to_string();
            assert!(error.contains(part), "{bad:?}: {error}");
        }
    }
}
