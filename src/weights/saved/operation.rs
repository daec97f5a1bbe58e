//! Operations as JSON: an object with the name of the operation as `op`, and its parameters.

use sepconv_kernels::{
    Activation, BinaryOp, NormalizationKind, Padding, PoolKind, TransposedPadding,
    TransposedWindow, Window,
};
use serde_json::{Value as Json, json};

use super::fields::{Fields, Result, single};
use crate::network::{Border, Interpolation, Op};

/// Operations of two tensors by name.
const BINARY: [(&str, BinaryOp); 5] = [
    ("sum", BinaryOp::Add),
    ("difference", BinaryOp::Subtract),
    ("product", BinaryOp::Multiply),
    ("maximum", BinaryOp::Maximum),
    ("minimum", BinaryOp::Minimum),
];

/// The operation as JSON. None if this version of the format has no word for it.
pub(super) fn write(op: &Op) -> Option<Json> {
    let named = |name: &str| json!({"op": name});
    Some(match op {
        Op::Input { .. } => return None,
        Op::Conv { window: w, groups, filters, bias } => json!({
            "op": "conv", "window": window(w)?, "groups": groups, "filters": filters, "bias": bias
        }),
        Op::ConvTranspose { window, filters, bias } => json!({
            "op": "conv_transpose", "kernel": window.kernel, "stride": window.stride,
            "dilation": window.dilation,
            "padding": transposed_padding(window.padding)?, "filters": filters, "bias": bias
        }),
        Op::Permute { axes, channels } => {
            json!({"op": "permute", "axes": axes, "channels": channels})
        }
        Op::Depthwise { window: w, multiplier, bias } => json!({
            "op": "depthwise", "window": window(w)?, "multiplier": multiplier, "bias": bias
        }),
        Op::Separable { window: w, multiplier, filters, bias } => json!({
            "op": "separable", "window": window(w)?, "multiplier": multiplier,
            "filters": filters, "bias": bias
        }),
        Op::BatchNorm { epsilon, scale, center } => json!({
            "op": "batch_norm", "epsilon": epsilon, "scale": scale, "center": center
        }),
        Op::Standardize { invert } => json!({"op": "standardize", "invert": invert}),
        Op::Scale => named("scale"),
        Op::Normalize { kind, epsilon, scale, center } => {
            let (name, groups) = normalization(*kind)?;
            json!({
                "op": "normalize", "kind": name, "groups": groups, "epsilon": epsilon,
                "scale": scale, "center": center
            })
        }
        Op::NormalizeOver { axes, extents, epsilon, scale, center } => json!({
            "op": "normalize_over", "axes": axes, "extents": extents, "epsilon": epsilon,
            "scale": scale, "center": center
        }),
        Op::Dot { axes, channels, normalize } => {
            json!({"op": "dot", "axes": axes, "channels": channels, "normalize": normalize})
        }
        Op::Binary(op) => named(BINARY.iter().find(|(_, binary)| binary == op)?.0),
        Op::Activation(activation) => return self::activation(*activation),
        Op::Softmax => named("softmax"),
        Op::MaxPool(w) => json!({"op": "max_pool", "window": window(w)?}),
        Op::AveragePool(w) => json!({"op": "average_pool", "window": window(w)?}),
        Op::GlobalPool { kind, keep_dims } => {
            let name = match kind {
                PoolKind::Max => "global_max_pool",
                PoolKind::Average => "global_average_pool",
                _ => return None,
            };
            json!({"op": name, "keep_dims": keep_dims})
        }
        Op::Dense { units, bias } => json!({"op": "dense", "units": units, "bias": bias}),
        Op::Add => named("add"),
        Op::Concat => named("concat"),
        Op::Identity => named("identity"),
        Op::Rescale { scale, offset } => {
            json!({"op": "rescale", "scale": scale, "offset": offset})
        }
        Op::PRelu { shape } => json!({"op": "prelu", "shape": shape}),
        Op::ZeroPad(border) => json!({"op": "zero_pad", "border": sides(*border)}),
        Op::Crop(border) => json!({"op": "crop", "border": sides(*border)}),
        Op::CenterCrop { size } => json!({"op": "center_crop", "size": size}),
        Op::Resize { size, how, crop } => {
            json!({"op": "resize", "size": size, "how": interpolation(*how), "crop": crop})
        }
        Op::UpSample { factor, how } => {
            json!({"op": "up_sample", "factor": factor, "how": interpolation(*how)})
        }
        Op::Flatten { features } => json!({"op": "flatten", "features": features}),
        Op::Reshape { shape, sequence } => {
            json!({"op": "reshape", "shape": shape, "sequence": sequence})
        }
        Op::StepsToBatch { steps, rank } => by_steps("steps_to_batch", *steps, *rank),
        Op::BatchToSteps { steps, rank } => by_steps("batch_to_steps", *steps, *rank),
    })
}

fn by_steps(name: &str, steps: usize, rank: usize) -> Json {
    json!({"op": name, "steps": steps, "rank": rank})
}

fn transposed_padding(padding: TransposedPadding) -> Option<Json> {
    Some(match padding {
        TransposedPadding::Valid => json!("valid"),
        TransposedPadding::Same => json!("same"),
        TransposedPadding::Explicit { padding: [top, left], output_padding: [bottom, right] } => {
            json!([top, left, bottom, right])
        }
        _ => return None,
    })
}

/// The name of a normalization, and its groups.
fn normalization(kind: NormalizationKind) -> Option<(&'static str, usize)> {
    Some(match kind {
        NormalizationKind::Layer => ("layer", 1),
        NormalizationKind::Rms => ("rms", 1),
        NormalizationKind::Unit => ("unit", 1),
        NormalizationKind::Group { groups } => ("group", groups),
        _ => return None,
    })
}

fn window(window: &Window) -> Option<Json> {
    let padding = match window.padding {
        Padding::Valid => json!("valid"),
        Padding::Same => json!("same"),
        Padding::Explicit { top, bottom, left, right } => json!([top, bottom, left, right]),
        _ => return None,
    };
    let Window { kernel, stride, dilation, .. } = window;
    Some(json!({
        "kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding
    }))
}

fn activation(activation: Activation) -> Option<Json> {
    Some(match activation {
        Activation::None => json!({"op": "linear"}),
        Activation::Relu => json!({"op": "relu"}),
        Activation::Relu6 => json!({"op": "relu6"}),
        Activation::Clamp { lo, hi } => {
            json!({"op": "clamp", "lo": single(lo), "hi": single(hi)})
        }
        Activation::Elu { alpha } => json!({"op": "elu", "alpha": single(alpha)}),
        Activation::Silu => json!({"op": "silu"}),
        Activation::HardSwish => json!({"op": "hard_swish"}),
        Activation::Sigmoid => json!({"op": "sigmoid"}),
        Activation::HardSigmoid { slope, offset } => {
            json!({"op": "hard_sigmoid", "slope": single(slope), "offset": single(offset)})
        }
        Activation::Tanh => json!({"op": "tanh"}),
        Activation::Gelu => json!({"op": "gelu"}),
        Activation::GeluTanh => json!({"op": "gelu_tanh"}),
        Activation::Softplus => json!({"op": "softplus"}),
        Activation::Mish => json!({"op": "mish"}),
        Activation::LeakyRelu { alpha } => json!({"op": "leaky_relu", "alpha": single(alpha)}),
        Activation::ThresholdedRelu { slope, threshold, max } => json!({
            "op": "thresholded_relu", "slope": single(slope), "threshold": single(threshold),
            "max": single(max)
        }),
        Activation::Softsign => json!({"op": "softsign"}),
        Activation::Exponential => json!({"op": "exponential"}),
        _ => return None,
    })
}

fn sides(Border { top, bottom, left, right }: Border) -> Json {
    json!([top, bottom, left, right])
}

fn interpolation(how: Interpolation) -> &'static str {
    match how {
        Interpolation::Nearest => "nearest",
        Interpolation::Bilinear => "bilinear",
        Interpolation::Bicubic => "bicubic",
    }
}

/// The operation of a node.
pub(super) fn read(node: Fields<'_>) -> Result<Op> {
    let window = || read_window(Fields::of(node.get("window").unwrap_or(&Json::Null), "window")?);
    let bias = || node.flag("bias");
    let border = || {
        let [top, bottom, left, right] = node.sizes("border", 0)?;
        Ok::<_, String>(Border { top, bottom, left, right })
    };
    let pool = |kind| {
        let keep_dims = node.flag("keep_dims")?;
        Ok(Op::GlobalPool { kind, keep_dims })
    };
    Ok(match node.text("op")? {
        "conv" => Op::Conv {
            window: window()?,
            groups: node.count("groups")?,
            filters: node.count("filters")?,
            bias: bias()?,
        },
        "depthwise" => Op::Depthwise {
            window: window()?,
            multiplier: node.count("multiplier")?,
            bias: bias()?,
        },
        "separable" => Op::Separable {
            window: window()?,
            multiplier: node.count("multiplier")?,
            filters: node.count("filters")?,
            bias: bias()?,
        },
        "batch_norm" => Op::BatchNorm {
            epsilon: node.number("epsilon")?,
            scale: node.flag("scale")?,
            center: node.flag("center")?,
        },
        "softmax" => Op::Softmax,
        "max_pool" => Op::MaxPool(window()?),
        "average_pool" => Op::AveragePool(window()?),
        "global_max_pool" => return pool(PoolKind::Max),
        "global_average_pool" => return pool(PoolKind::Average),
        "dense" => Op::Dense { units: node.count("units")?, bias: bias()? },
        "add" => Op::Add,
        "concat" => Op::Concat,
        "identity" => Op::Identity,
        "rescale" => Op::Rescale { scale: node.numbers("scale")?, offset: node.numbers("offset")? },
        "prelu" => {
            let shape = match node.list("shape")?.len() {
                1 => node.sizes::<1>("shape", 1)?.to_vec(),
                _ => node.sizes::<3>("shape", 1)?.to_vec(),
            };
            Op::PRelu { shape }
        }
        "zero_pad" => Op::ZeroPad(border()?),
        "crop" => Op::Crop(border()?),
        "center_crop" => Op::CenterCrop { size: node.sizes("size", 1)? },
        "resize" => Op::Resize {
            size: node.sizes("size", 1)?,
            how: read_interpolation(node)?,
            crop: node.flag("crop")?,
        },
        "flatten" => Op::Flatten { features: node.count("features")? },
        "reshape" => Op::Reshape {
            shape: node.sizes("shape", 1)?,
            sequence: node.flag_or("sequence", false)?,
        },
        "steps_to_batch" => {
            Op::StepsToBatch { steps: node.count("steps")?, rank: node.count("rank")? }
        }
        "batch_to_steps" => {
            Op::BatchToSteps { steps: node.count("steps")?, rank: node.count("rank")? }
        }
        name => match BINARY.iter().find(|(binary, _)| *binary == name) {
            Some((_, op)) => Op::Binary(*op),
            None => return read_other(name, node),
        },
    })
}

fn read_other(name: &str, node: Fields<'_>) -> Result<Op> {
    Ok(match name {
        "conv_transpose" => {
            let padding = match node.get("padding").and_then(Json::as_str) {
                Some("valid") => TransposedPadding::Valid,
                Some("same") => TransposedPadding::Same,
                _ => {
                    let [top, left, bottom, right] = node.sizes("padding", 0)?;
                    let (padding, output_padding) = ([top, left], [bottom, right]);
                    TransposedPadding::Explicit { padding, output_padding }
                }
            };
            let window = TransposedWindow::new(node.sizes("kernel", 1)?);
            let dilation = match node.get("dilation") {
                None => [1, 1],
                Some(_) => node.sizes("dilation", 1)?,
            };
            let window =
                window.stride(node.sizes("stride", 1)?).dilation(dilation).padding(padding);
            Op::ConvTranspose { window, filters: node.count("filters")?, bias: node.flag("bias")? }
        }
        "permute" => {
            Op::Permute { axes: node.sizes("axes", 0)?, channels: node.count("channels")? }
        }
        "standardize" => Op::Standardize { invert: node.flag("invert")? },
        "scale" => Op::Scale,
        "normalize" => Op::Normalize {
            kind: match node.text("kind")? {
                "layer" => NormalizationKind::Layer,
                "rms" => NormalizationKind::Rms,
                "unit" => NormalizationKind::Unit,
                "group" => NormalizationKind::Group { groups: node.count("groups")? },
                other => return Err(format!("kind: expected a normalization, got {other:?}")),
            },
            epsilon: node.number("epsilon")?,
            scale: node.flag("scale")?,
            center: node.flag("center")?,
        },
        "normalize_over" => Op::NormalizeOver {
            axes: some_sizes(node, "axes", 0)?,
            extents: some_sizes(node, "extents", 1)?,
            epsilon: node.number("epsilon")?,
            scale: node.flag("scale")?,
            center: node.flag("center")?,
        },
        "dot" => Op::Dot {
            axes: node.sizes("axes", 1)?,
            channels: node.count("channels")?,
            normalize: node.get("normalize").map(|_| node.number("normalize")).transpose()?,
        },
        "up_sample" => {
            Op::UpSample { factor: node.sizes("factor", 1)?, how: read_interpolation(node)? }
        }
        _ => return read_elementwise(name, node),
    })
}

/// One to three whole numbers.
fn some_sizes(node: Fields<'_>, key: &str, least: usize) -> Result<Vec<usize>> {
    Ok(match node.list(key)?.len() {
        1 => node.sizes::<1>(key, least)?.to_vec(),
        2 => node.sizes::<2>(key, least)?.to_vec(),
        _ => node.sizes::<3>(key, least)?.to_vec(),
    })
}

fn read_interpolation(node: Fields<'_>) -> Result<Interpolation> {
    Ok(match node.text("how")? {
        "nearest" => Interpolation::Nearest,
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        other => return Err(format!("how: expected an interpolation, got {other:?}")),
    })
}

fn read_elementwise(name: &str, node: Fields<'_>) -> Result<Op> {
    let activation = match name {
        "linear" => Activation::None,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "clamp" => {
            let (lo, hi) = (node.single("lo")?, node.single("hi")?);
            if lo > hi {
                return Err(format!("clamp: the lower bound {lo} exceeds the upper {hi}"));
            }
            Activation::Clamp { lo, hi }
        }
        "elu" => Activation::Elu { alpha: node.single("alpha")? },
        "silu" => Activation::Silu,
        "hard_swish" => Activation::HardSwish,
        "sigmoid" => Activation::Sigmoid,
        "hard_sigmoid" => {
            Activation::HardSigmoid { slope: node.single("slope")?, offset: node.single("offset")? }
        }
        "tanh" => Activation::Tanh,
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "softplus" => Activation::Softplus,
        "mish" => Activation::Mish,
        "leaky_relu" => Activation::LeakyRelu { alpha: node.single("alpha")? },
        "thresholded_relu" => Activation::ThresholdedRelu {
            slope: node.single("slope")?,
            threshold: node.single("threshold")?,
            max: node.single("max")?,
        },
        "softsign" => Activation::Softsign,
        "exponential" => Activation::Exponential,
        other => return Err(format!("op: {other:?} is not known")),
    };
    Ok(Op::Activation(activation))
}

fn read_window(fields: Fields<'_>) -> Result<Window> {
    let padding = match fields.get("padding").and_then(Json::as_str) {
        Some("valid") => Padding::Valid,
        Some("same") => Padding::Same,
        _ => {
            let [top, bottom, left, right] = fields.sizes("padding", 0)?;
            Padding::Explicit { top, bottom, left, right }
        }
    };
    let mut window =
        Window::new(fields.sizes("kernel", 1)?).stride(fields.sizes("stride", 1)?).padding(padding);
    window.dilation = fields.sizes("dilation", 1)?;
    Ok(window)
}
