//! Spot checks: some outputs of a network's layers are computed again by naive loops in f64.

use std::sync::Arc;

use sepconv_kernels::Window;
use sepconv_kernels::naive::{self, Conv, Sum};

use super::{Network, NetworkPlan, Node, Op, PlanOptions, Session, tensors};
use crate::weights::Weights;
use crate::{Error, Result};

/// The outcome of a [`spot_check`].
///
/// ```
/// use sepconv::models::{MobileNetConfig, mobilenet};
/// use sepconv::network::spot_check;
/// use sepconv::weights::synthetic;
///
/// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
/// let (weights, x) = (synthetic::weights(&network)?, synthetic::picture(32).data);
/// let check = spot_check(&network, &weights, [1, 32, 32, 3], &x, &["conv1"], 9)?;
/// assert_eq!(check.outputs, 9);
/// assert!(check.worst <= 1.0, "{}", check.worst);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SpotCheck {
    /// The number of outputs compared.
    pub outputs: usize,
    /// The largest error ÷ bound among them, or NaN if one is NaN. The bound is the rounding error
    /// of the layer's chain of fused multiply-adds. Up to 1 is correct.
    pub worst: f64,
}

/// Runs the network on `x` of shape `input`. Then computes `samples` pseudorandom outputs of each
/// layer in `layers` again, from the input of that layer. Layers may be convolutions, depthwise,
/// separable or dense.
///
/// ```
/// # use sepconv::kernels::{Activation, Padding, Window};
/// # use sepconv::network::*;
/// # use sepconv::weights::{self, *};
/// # use sepconv::models::{XceptionConfig, xception};
/// # let narrow = XceptionConfig { middle_blocks: 1, ..XceptionConfig::with_width(0.03)? };
/// let network = xception(&XceptionConfig { size: [None; 2], entry: vec![16, 32], ..narrow })?;
/// let (weights, x) = (synthetic::weights(&network)?, synthetic::picture(32).data);
/// let layers = ["block1_conv1", "block2_sepconv1", "predictions/logits"];
/// let check = spot_check(&network, &weights, [1, 32, 32, 3], &x, &layers, 20)?;
/// assert!(check.outputs == 60 && check.worst <= 1.0);
/// assert!(spot_check(&network, &weights, [1, 32, 32, 3], &x, &["avg_pool"], 20).is_err());
/// # Ok::<(), sepconv::Error>(())
/// ```
///
/// # Errors
/// Those of [`super::NetworkPlan::new`] and [`super::Session::run`], or [`crate::Error::Network`]
/// for a layer of another kind.
pub fn spot_check(
    network: &Network,
    weights: &Weights,
    input: [usize; 4],
    x: &[f32],
    layers: &[&str],
    samples: usize,
) -> Result<SpotCheck> {
    let mut nodes = Vec::new();
    let mut outputs = Vec::new();
    for &name in layers {
        let id = network.find(name).ok_or_else(|| Error::Argument {
            message: format!("{:?} has no node {name:?}", network.name()),
        })?;
        let node = network.node(id);
        let operand = node.inputs.first().map(|&id| network.node(id));
        let operand = operand.ok_or_else(|| wrong_kind(node))?;
        outputs.extend([node.name.clone(), operand.name.clone()]);
        nodes.push((node, operand.name.as_str()));
    }
    let plan = NetworkPlan::new(
        network,
        weights,
        input,
        &PlanOptions { outputs, ..PlanOptions::default() },
    )?;
    let mut session = Session::new(Arc::new(plan))?;
    session.run(x)?;
    let mut check = SpotCheck { outputs: 0, worst: 0.0 };
    for (node, operand) in nodes {
        let reported = |name: &str| {
            session.node(name).ok_or_else(|| Error::Argument {
                message: format!("node {name:?} was not reported"),
            })
        };
        let (x, x_shape) = reported(operand)?;
        let (y, y_shape) = reported(&node.name)?;
        let layer = Layer::new(node, weights, x, x_shape, y_shape[3])?;
        for i in 0..samples {
            // A stride by the golden ratio visits all regions of the output.
            let at = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % y.len() as u64;
            let (expected, bound) = layer.output(y_shape, at as usize);
            let ratio = (f64::from(y[at as usize]) - expected).abs() / bound;
            check.outputs += 1;
            if check.worst.is_nan() || ratio.is_nan() {
                check.worst = f64::NAN;
            } else {
                check.worst = check.worst.max(ratio);
            }
        }
    }
    Ok(check)
}

fn wrong_kind(node: &Node) -> Error {
    Error::Network {
        node: node.name.clone(),
        message: "expected a convolution, a depthwise, separable or dense layer".into(),
    }
}

/// A layer as one or two naive convolutions.
struct Layer<'a> {
    first: Conv<'a>,
    /// The pointwise half of a separable layer.
    second: Option<Pointwise<'a>>,
}

struct Pointwise<'a> {
    /// \[C·M, O\].
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    channels_out: usize,
}

impl<'a> Layer<'a> {
    fn new(
        node: &Node,
        weights: &'a Weights,
        x: &'a [f32],
        input: [usize; 4],
        channels_out: usize,
    ) -> Result<Self> {
        let c = input[3];
        let tensor = |name: &str| tensors::find(weights, node, c, name);
        let kernel = |name: &str| tensor(name)?.ok_or_else(|| wrong_kind(node));
        let bias = tensor("bias")?;
        let conv = |window, groups, channels_out, weights, bias| Conv {
            input,
            x,
            window,
            groups,
            channels_out,
            weights,
            bias,
        };
        Ok(match node.op {
            Op::Conv { window, groups, .. } => {
                let kernel = kernel("kernel")?;
                Self { first: conv(window, groups, channels_out, kernel, bias), second: None }
            }
            Op::Dense { .. } => {
                let (window, kernel) = (Window::new([1, 1]), kernel("kernel")?);
                Self { first: conv(window, 1, channels_out, kernel, bias), second: None }
            }
            Op::Depthwise { window, .. } => {
                let kernel = kernel("depthwise_kernel")?;
                Self { first: conv(window, c, channels_out, kernel, bias), second: None }
            }
            Op::Separable { window, multiplier, .. } => {
                let depthwise = kernel("depthwise_kernel")?;
                let weights = kernel("pointwise_kernel")?;
                let second = Some(Pointwise { weights, bias, channels_out });
                Self { first: conv(window, c, c * multiplier, depthwise, None), second }
            }
            _ => return Err(wrong_kind(node)),
        })
    }

    /// The output at index `at`, and how far a correct f32 result may lie from it.
    fn output(&self, shape: [usize; 4], at: usize) -> (f64, f64) {
        let [_, h, w, c] = shape;
        let (o, pixel) = (at % c, at / c);
        let (ox, oy, n) = (pixel % w, pixel / w % h, pixel / w / h);
        let first = &self.first;
        let [kh, kw] = first.window.kernel;
        let chain = kh * kw * first.input[3] / first.groups;
        let Some(Pointwise { weights, bias, channels_out }) = self.second else {
            let Sum { value, magnitude } = naive::conv_at(first, n, oy, ox, o);
            return (value, gamma(chain + 1) * magnitude + f64::MIN_POSITIVE);
        };
        let bias = bias.map_or(0.0, |b| f64::from(b[o]));
        let (mut value, mut magnitude, mut carried) = (bias, bias.abs(), 0.0);
        for c in 0..first.channels_out {
            let middle = naive::conv_at(first, n, oy, ox, c);
            let weight = f64::from(weights[c * channels_out + o]);
            value += middle.value * weight;
            magnitude += (middle.value * weight).abs();
            carried += middle.magnitude * weight.abs();
        }
        let bound = gamma(first.channels_out + 1) * magnitude + gamma(chain + 1) * carried;
        // The depthwise rounding is itself amplified by the second chain: a second-order term.
        (value, bound * (1.0 + gamma(first.channels_out + 1)) + f64::MIN_POSITIVE)
    }
}

/// γ_n = n·u / (1 − n·u) with u = 2⁻²⁴: n roundings (Higham, Accuracy and Stability, §3.1).
fn gamma(n: usize) -> f64 {
    let nu = n as f64 / f64::from(1 << 24);
    nu / (1.0 - nu)
}
