//! The Keras layers that are supported, and what each becomes in a network.

use sepconv_kernels::{
    Activation, NormalizationKind, Padding, PoolKind, TransposedPadding, TransposedWindow, Window,
};
use serde_json::Value as Json;

use super::calls::{Call, Operand};
use super::json::{Config, Result, brief, foreign_package, numbers};
use crate::network::{self, Border, Interpolation, Op};

/// The kinds of layers that are treated differently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A model used as a layer.
    Model,
    Input,
    Conv,
    Depthwise,
    Separable,
    Dense,
    BatchNorm,
    Activation,
    Relu,
    LeakyRelu,
    PRelu,
    Elu,
    Softmax,
    Pool(PoolKind),
    GlobalPool(PoolKind),
    /// An operator on tensors, or on a tensor and a constant.
    Arithmetic(Operator),
    /// The sum of a tensor and another one times a constant, of Keras Applications.
    ScaledSum,
    LayerNorm,
    GroupNorm,
    UnitNorm,
    RmsNorm,
    Normalization,
    /// A factor for each channel, of Keras Applications.
    LayerScale,
    UpSampling,
    Transposed,
    Permute,
    /// A TensorFlow operator. Its function says which.
    TensorFlow,
    Average,
    Concatenate,
    Rescaling,
    ZeroPadding,
    Cropping,
    CenterCrop,
    Resizing,
    Flatten,
    Reshape,
    /// No effect at inference.
    Identity,
    /// A layer whose effect at inference differs between Keras versions.
    RandomCrop,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Minimum,
}

/// The classes of layers that are supported. So is every other class called `Random…`.
pub(super) const CLASSES: &[(&str, Kind)] = &[
    ("Functional", Kind::Model),
    ("Model", Kind::Model),
    ("Sequential", Kind::Model),
    ("InputLayer", Kind::Input),
    ("Conv2D", Kind::Conv),
    ("DepthwiseConv2D", Kind::Depthwise),
    ("SeparableConv2D", Kind::Separable),
    ("Dense", Kind::Dense),
    ("BatchNormalization", Kind::BatchNorm),
    ("Activation", Kind::Activation),
    ("ReLU", Kind::Relu),
    ("LeakyReLU", Kind::LeakyRelu),
    ("PReLU", Kind::PRelu),
    ("ELU", Kind::Elu),
    ("Softmax", Kind::Softmax),
    ("MaxPooling2D", Kind::Pool(PoolKind::Max)),
    ("AveragePooling2D", Kind::Pool(PoolKind::Average)),
    ("GlobalMaxPooling2D", Kind::GlobalPool(PoolKind::Max)),
    ("GlobalAveragePooling2D", Kind::GlobalPool(PoolKind::Average)),
    ("Add", Kind::Arithmetic(Operator::Add)),
    ("Subtract", Kind::Arithmetic(Operator::Subtract)),
    ("Multiply", Kind::Arithmetic(Operator::Multiply)),
    ("TrueDivide", Kind::Arithmetic(Operator::Divide)),
    ("Divide", Kind::Arithmetic(Operator::Divide)),
    ("TFOpLambda", Kind::TensorFlow),
    ("Maximum", Kind::Arithmetic(Operator::Maximum)),
    ("Minimum", Kind::Arithmetic(Operator::Minimum)),
    ("Average", Kind::Average),
    ("CustomScaleLayer", Kind::ScaledSum),
    ("LayerNormalization", Kind::LayerNorm),
    ("GroupNormalization", Kind::GroupNorm),
    ("UnitNormalization", Kind::UnitNorm),
    ("RMSNormalization", Kind::RmsNorm),
    ("Normalization", Kind::Normalization),
    ("LayerScale", Kind::LayerScale),
    ("UpSampling2D", Kind::UpSampling),
    ("Conv2DTranspose", Kind::Transposed),
    ("Permute", Kind::Permute),
    ("Concatenate", Kind::Concatenate),
    ("Rescaling", Kind::Rescaling),
    ("ZeroPadding2D", Kind::ZeroPadding),
    ("Cropping2D", Kind::Cropping),
    ("CenterCrop", Kind::CenterCrop),
    ("Resizing", Kind::Resizing),
    ("Flatten", Kind::Flatten),
    ("Reshape", Kind::Reshape),
    ("Identity", Kind::Identity),
    ("Dropout", Kind::Identity),
    ("StochasticDepth", Kind::Identity),
    ("SpatialDropout2D", Kind::Identity),
    ("GaussianDropout", Kind::Identity),
    ("GaussianNoise", Kind::Identity),
    ("AlphaDropout", Kind::Identity),
    ("ActivityRegularization", Kind::Identity),
    ("RandomCrop", Kind::RandomCrop),
];

/// The function of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Activity {
    Kernel(Activation),
    Softmax,
}

/// The activations that are supported by name. Keras 2 has a different `hard_sigmoid`.
pub(super) const ACTIVATIONS: &[(&str, Activity)] = &[
    ("linear", Activity::Kernel(Activation::None)),
    ("relu", Activity::Kernel(Activation::Relu)),
    ("relu6", Activity::Kernel(Activation::Relu6)),
    ("elu", Activity::Kernel(Activation::Elu { alpha: 1.0 })),
    ("silu", Activity::Kernel(Activation::Silu)),
    ("swish", Activity::Kernel(Activation::Silu)),
    ("hard_silu", Activity::Kernel(Activation::HardSwish)),
    ("hard_swish", Activity::Kernel(Activation::HardSwish)),
    ("leaky_relu", Activity::Kernel(Activation::LeakyRelu { alpha: 0.2 })),
    ("sigmoid", Activity::Kernel(Activation::Sigmoid)),
    ("hard_sigmoid", Activity::Kernel(Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 })),
    ("tanh", Activity::Kernel(Activation::Tanh)),
    ("softplus", Activity::Kernel(Activation::Softplus)),
    ("gelu", Activity::Kernel(Activation::Gelu)),
    ("mish", Activity::Kernel(Activation::Mish)),
    ("softsign", Activity::Kernel(Activation::Softsign)),
    ("exponential", Activity::Kernel(Activation::Exponential)),
    ("softmax", Activity::Softmax),
];

/// The kind of a layer's class.
pub(super) fn kind(class: &str) -> Option<Kind> {
    let listed = CLASSES.iter().find(|(name, _)| *name == class).map(|(_, kind)| *kind);
    listed.or_else(|| class.starts_with("Random").then_some(Kind::Identity))
}

/// Why a layer is not supported because of its class, operator or activation. Empty if the class
/// alone is the reason.
pub(super) fn refusal(layer: &Json, class: &str, calls: &[Call<'_>]) -> Option<String> {
    if let Some(package) = foreign_package(layer) {
        return Some(format!(" of the package {package:?}"));
    }
    let config = layer.get("config").and_then(Json::as_object).map(Config);
    let tensors = |call: &Call<'_>| {
        call.operands.iter().filter(|operand| matches!(operand, Operand::Tensor(_))).count()
    };
    match kind(class) {
        None => Some(String::new()),
        Some(Kind::TensorFlow) => match config.and_then(operator) {
            Some(Operator::Divide) if calls.iter().any(|call| tensors(call) > 1) => {
                Some(" of two tensors".into())
            }
            Some(_) => None,
            None if config.and_then(function).is_some() => None,
            None => Some(config.map_or(String::new(), |c| format!(" {}", c.show("function")))),
        },
        Some(Kind::Arithmetic(Operator::Divide)) if calls.iter().any(|call| tensors(call) > 1) => {
            Some(" of two tensors".into())
        }
        Some(
            Kind::Conv
            | Kind::Depthwise
            | Kind::Separable
            | Kind::Transposed
            | Kind::Dense
            | Kind::Activation,
        ) => {
            let config = config?;
            let activation = activity(config, false).err();
            activation.map(|_| format!(" with activation {}", config.show("activation")))
        }
        Some(_) => None,
    }
}

/// The operator of a `TFOpLambda`.
pub(super) fn operator(config: Config<'_>) -> Option<Operator> {
    match config.get("function")?.as_str()? {
        "math.add" | "__operators__.add" | "nn.bias_add" => Some(Operator::Add),
        "math.subtract" | "__operators__.sub" => Some(Operator::Subtract),
        "math.multiply" | "__operators__.mul" => Some(Operator::Multiply),
        "math.maximum" | "__operators__.maximum" => Some(Operator::Maximum),
        "math.minimum" | "__operators__.minimum" => Some(Operator::Minimum),
        "math.truediv" | "math.divide" | "__operators__.truediv" => Some(Operator::Divide),
        _ => None,
    }
}

/// The function of a `TFOpLambda` of one tensor.
pub(super) fn function(config: Config<'_>) -> Option<Activity> {
    let (module, name) = config.get("function")?.as_str()?.split_once('.')?;
    let is_function = matches!(module, "nn" | "math") && !name.starts_with("hard_");
    let listed = ACTIVATIONS.iter().find(|(known, _)| is_function && *known == name);
    listed.map(|(_, activity)| *activity)
}

/// The `activation` parameter. If absent, it is linear. A function object is a dictionary with a
/// name, a layer is one with a class.
pub(super) fn activity(config: Config<'_>, keras2: bool) -> Result<Activity> {
    let Some(value) = config.get("activation") else {
        return Ok(Activity::Kernel(Activation::None));
    };
    let unsupported = || format!("activation {} is not supported", brief(value));
    let class = value.get("class_name").and_then(Json::as_str);
    let inner = value.get("config");
    if let (Some(class), Some(Json::Object(inner))) = (class, inner) {
        let inner = Config(inner);
        return match kind(class) {
            Some(Kind::Relu) => relu(inner),
            Some(Kind::LeakyRelu) => leaky_relu(inner),
            Some(Kind::Elu) => elu(inner),
            Some(Kind::Softmax) => Ok(Activity::Softmax),
            Some(Kind::Activation) if inner.get("activation").is_some_and(Json::is_string) => {
                activity(inner, keras2)
            }
            _ => Err(unsupported()),
        };
    }
    let name = match class {
        Some("function") => inner.and_then(Json::as_str),
        _ => value.as_str(),
    };
    match ACTIVATIONS.iter().find(|(known, _)| Some(*known) == name) {
        Some(("hard_sigmoid", _)) if keras2 => {
            Ok(Activity::Kernel(Activation::HardSigmoid { slope: 0.2, offset: 0.5 }))
        }
        Some((_, activity)) => Ok(*activity),
        None => Err(unsupported()),
    }
}

/// The function of a `ReLU` layer.
pub(super) fn relu(config: Config<'_>) -> Result<Activity> {
    let slope = config.number("negative_slope", 0.0)? as f32;
    let threshold = config.number("threshold", 0.0)? as f32;
    let max = config.number("max_value", f64::INFINITY)? as f32;
    if max < 0.0 || threshold < 0.0 || slope < 0.0 {
        return Err(format!(
            "max_value {max}, threshold {threshold}, negative_slope {slope}: none may be below 0"
        ));
    }
    Ok(match (slope, threshold, max) {
        (0.0, 0.0, f32::INFINITY) => Activity::Kernel(Activation::Relu),
        (0.0, 0.0, 6.0) => Activity::Kernel(Activation::Relu6),
        (0.0, 0.0, hi) => Activity::Kernel(Activation::Clamp { lo: 0.0, hi }),
        (alpha, 0.0, f32::INFINITY) => Activity::Kernel(Activation::LeakyRelu { alpha }),
        _ => Activity::Kernel(Activation::ThresholdedRelu { slope, threshold, max }),
    })
}

/// Keras 2 calls the slope `alpha`.
pub(super) fn leaky_relu(config: Config<'_>) -> Result<Activity> {
    let key = if config.get("negative_slope").is_some() { "negative_slope" } else { "alpha" };
    let alpha = config.number(key, 0.3)? as f32;
    Ok(Activity::Kernel(Activation::LeakyRelu { alpha }))
}

pub(super) fn elu(config: Config<'_>) -> Result<Activity> {
    let alpha = config.number("alpha", 1.0)? as f32;
    Ok(Activity::Kernel(Activation::Elu { alpha }))
}

/// The window of a convolution or pool. `pad` is a zero padding before it, which can't be combined
/// with SAME.
pub(super) fn window(config: Config<'_>, kernel: &str, pad: Option<Border>) -> Result<Window> {
    let size = config.pair(kernel)?;
    let stride = if kernel == "pool_size" { size } else { [1, 1] };
    let padding = match (is_same(config)?, pad) {
        (true, _) => Padding::Same,
        (false, None) => Padding::Valid,
        (false, Some(Border { top, bottom, left, right })) => {
            Padding::Explicit { top, bottom, left, right }
        }
    };
    Ok(Window::new(size)
        .stride(config.pair_or("strides", stride)?)
        .dilation(config.pair_or("dilation_rate", [1, 1])?)
        .padding(padding))
}

/// Whether the padding is SAME. Otherwise it is VALID.
pub(super) fn is_same(config: Config<'_>) -> Result<bool> {
    match config.get("padding").map_or(Some("valid"), Json::as_str) {
        Some(p) if p.eq_ignore_ascii_case("valid") => Ok(false),
        Some(p) if p.eq_ignore_ascii_case("same") => Ok(true),
        _ => Err(format!("padding {} is not supported", config.show("padding"))),
    }
}

/// Checks that `axis` is the channels: the last of 2 or 4 dimensions.
pub(super) fn check_channel_axis(config: Config<'_>, vector: bool) -> Result<()> {
    let axis = config.get("axis").map(|v| v.get(0).unwrap_or(v));
    let last = if vector { 1 } else { 3 };
    match axis.map(Json::as_i64) {
        None => Ok(()),
        Some(Some(axis)) if axis == -1 || axis == last => Ok(()),
        _ => Err(format!("axis {} is not the channels (-1 or {last})", config.show("axis"))),
    }
}

pub(super) fn check_layout(config: Config<'_>) -> Result<()> {
    match config.get("data_format") {
        None => Ok(()),
        Some(value) if value.as_str() == Some("channels_last") => Ok(()),
        Some(_) => Err(format!("data format {} is not channels_last", config.show("data_format"))),
    }
}

/// The type that a layer computes in, or that of its policy, if it is not f32.
pub(super) fn other_dtype(config: Config<'_>) -> Result<Option<&str>> {
    let Some(dtype) = config.get("dtype") else {
        return Ok(None);
    };
    let policy = dtype.get("config").and_then(|c| c.get("name")).unwrap_or(dtype);
    match policy.as_str() {
        Some("float32") => Ok(None),
        Some(name @ ("mixed_float16" | "mixed_bfloat16" | "float16" | "bfloat16" | "float64")) => {
            Ok(Some(name))
        }
        _ => Err(format!("dtype {} is not a floating-point type", brief(policy))),
    }
}

/// The operation of a tensor and a constant.
pub(super) fn with_constant(operator: Operator, operands: &[Operand<'_>]) -> Result<Op> {
    let op = |scale: Vec<f64>, offset: Vec<f64>| Ok(Op::Rescale { scale, offset });
    let negative = |c: &[f64]| c.iter().map(|x| -x).collect();
    match (operator, operands) {
        (Operator::Add, [Operand::Tensor(_), Operand::Constant(c)])
        | (Operator::Add, [Operand::Constant(c), Operand::Tensor(_)]) => op(vec![1.0], c.clone()),
        (Operator::Subtract, [Operand::Tensor(_), Operand::Constant(c)]) => {
            op(vec![1.0], negative(c))
        }
        (Operator::Subtract, [Operand::Constant(c), Operand::Tensor(_)]) => {
            op(vec![-1.0], c.clone())
        }
        (Operator::Multiply, [Operand::Tensor(_), Operand::Constant(c)])
        | (Operator::Multiply, [Operand::Constant(c), Operand::Tensor(_)]) => {
            op(c.clone(), vec![0.0])
        }
        (Operator::Divide, [Operand::Tensor(_), Operand::Constant(c)]) => {
            let scale: Vec<f64> = c.iter().map(|x| 1.0 / x).collect();
            match scale.iter().all(|x| (*x as f32).is_finite()) {
                true => op(scale, vec![0.0]),
                false => Err("division by 0".into()),
            }
        }
        (Operator::Maximum, [Operand::Tensor(_), Operand::Constant(c)])
        | (Operator::Maximum, [Operand::Constant(c), Operand::Tensor(_)]) => {
            bounded(c, |bound| [bound, f32::INFINITY])
        }
        (Operator::Minimum, [Operand::Tensor(_), Operand::Constant(c)])
        | (Operator::Minimum, [Operand::Constant(c), Operand::Tensor(_)]) => {
            bounded(c, |bound| [f32::NEG_INFINITY, bound])
        }
        (Operator::Divide, [Operand::Constant(_), Operand::Tensor(_)]) => {
            Err("dividing a constant by a tensor is not supported".into())
        }
        _ => Err(format!("expected 2 operands, got {}", operands.len())),
    }
}

/// The clamp of a maximum or minimum with a constant; `bounds` are those of the clamp.
fn bounded(constant: &[f64], bounds: impl Fn(f32) -> [f32; 2]) -> Result<Op> {
    let &[constant] = constant else {
        return Err(format!("expected one number as a bound, got {}", constant.len()));
    };
    let [lo, hi] = bounds(constant as f32);
    Ok(Op::Activation(Activation::Clamp { lo, hi }))
}

/// The operation of a layer that normalizes by its operand's own statistics.
pub(super) fn normalization(
    kind: Kind,
    config: Config<'_>,
    channels: usize,
    (vector, keras2): (bool, bool),
) -> Result<Op> {
    let axes = config.get("axis").and_then(Json::as_array).map_or(1, Vec::len);
    if axes != 1 {
        return Err(format!("axis {} is not the channels alone", config.show("axis")));
    }
    check_channel_axis(config, vector)?;
    let kind = match kind {
        Kind::GroupNorm if config.get("groups").and_then(Json::as_i64) == Some(-1) => {
            NormalizationKind::Group { groups: channels }
        }
        Kind::GroupNorm => NormalizationKind::Group { groups: config.count_or("groups", 32)? },
        Kind::UnitNorm => {
            // Keras 3 bounds the length, Keras 2 its square.
            let epsilon = if keras2 { 1e-12 } else { 1e-24 };
            let kind = NormalizationKind::Unit;
            return Ok(Op::Normalize { kind, epsilon, scale: false, center: false });
        }
        Kind::RmsNorm => {
            let epsilon = config.number("epsilon", 1e-6)?;
            let kind = NormalizationKind::Rms;
            return Ok(Op::Normalize { kind, epsilon, scale: true, center: false });
        }
        _ if config.flag("rms_scaling", false)? => {
            return Err("rms_scaling is not supported; use RMSNormalization".into());
        }
        _ => NormalizationKind::Layer,
    };
    Ok(Op::Normalize {
        kind,
        epsilon: config.number("epsilon", 1e-3)?,
        scale: config.flag("scale", true)?,
        center: config.flag("center", true)?,
    })
}

/// The operation of a `Normalization` layer. Its mean and variance are in the configuration, or
/// weights that `adapt` has set.
pub(super) fn standardization(config: Config<'_>, vector: bool) -> Result<Op> {
    check_channel_axis(config, vector)?;
    let invert = config.flag("invert", false)?;
    let [mean, variance] = ["mean", "variance"].map(|key| config.get(key));
    let (Some(mean), Some(variance)) = (mean, variance) else {
        return Ok(Op::Standardize { invert });
    };
    let numbers = |json: &Json, key: &str| {
        numbers(json).ok_or_else(|| format!("{key} {} is not a list of numbers", config.show(key)))
    };
    let (mean, variance) = (numbers(mean, "mean")?, numbers(variance, "variance")?);
    if let Some(v) = variance.iter().find(|v| **v < 0.0) {
        return Err(format!("variance: expected numbers of at least 0, got {v}"));
    }
    let [scale, offset] = network::standardization(mean, &variance, invert);
    Ok(Op::Rescale { scale, offset })
}

/// The operation of a `Conv2DTranspose` layer.
pub(super) fn transposed(config: Config<'_>) -> Result<Op> {
    check_layout(config)?;
    if config.pair_or("dilation_rate", [1, 1])? != [1, 1] {
        return Err("dilation_rate of a transposed convolution is not supported".into());
    }
    if config.get("output_padding").is_some() {
        return Err("output_padding is not supported".into());
    }
    if config.count_or("groups", 1)? != 1 {
        return Err("groups of a transposed convolution are not supported".into());
    }
    let padding = if is_same(config)? { TransposedPadding::Same } else { TransposedPadding::Valid };
    let window = TransposedWindow::new(config.pair("kernel_size")?)
        .stride(config.pair_or("strides", [1, 1])?)
        .padding(padding);
    let bias = config.flag("use_bias", true)?;
    Ok(Op::ConvTranspose { window, filters: config.count("filters")?, bias })
}

/// The operation of a `Permute` layer on pictures of this height, width and channels.
pub(super) fn permute(config: Config<'_>, shape: [usize; 3]) -> Result<Op> {
    let dims = config.get("dims").and_then(Json::as_array).map(Vec::as_slice);
    let axes = match dims {
        Some([a, b, c]) => {
            [a, b, c].map(|axis| axis.as_u64().filter(|axis| (1..=3).contains(axis)))
        }
        _ => [None; 3],
    };
    match axes {
        [Some(a), Some(b), Some(c)] => {
            let axes = [a, b, c].map(|axis| axis as usize - 1);
            Ok(Op::Permute { axes, channels: shape[axes[2]] })
        }
        _ => Err(format!("dims: expected 1, 2 and 3 in some order, got {}", config.show("dims"))),
    }
}

/// The operation of an `UpSampling2D` layer.
pub(super) fn up_sampling(config: Config<'_>) -> Result<Op> {
    check_layout(config)?;
    let how = match config.get("interpolation").map_or(Some("nearest"), Json::as_str) {
        Some("nearest") => Interpolation::Nearest,
        Some("bilinear") => Interpolation::Bilinear,
        Some("bicubic") => Interpolation::Bicubic,
        _ => {
            let shown = config.show("interpolation");
            return Err(format!("interpolation {shown} is not nearest, bilinear or bicubic"));
        }
    };
    Ok(Op::UpSample { factor: config.pair_or("size", [2, 2])?, how })
}

/// `target_shape` with its −1 replaced: one length for a vector, or height, width and channels.
pub(super) fn target_shape(config: Config<'_>, elements: Option<usize>) -> Result<Vec<usize>> {
    let unsupported =
        || format!("target_shape {} is not a vector or a picture", config.show("target_shape"));
    let list = config.get("target_shape").and_then(Json::as_array).ok_or_else(unsupported)?;
    let numbers: Option<Vec<i64>> = list.iter().map(Json::as_i64).collect();
    let numbers = numbers.filter(|n| matches!(n.len(), 1 | 3)).ok_or_else(unsupported)?;
    let known = numbers.iter().filter(|&&n| n != -1);
    let product = known.clone().try_fold(1_usize, |product, &n| {
        let n = usize::try_from(n).ok().filter(|&n| n > 0)?;
        product.checked_mul(n)
    });
    let product = product.ok_or_else(unsupported)?;
    let rest = match numbers.len() - known.count() {
        0 => None,
        1 => {
            let elements = elements.ok_or_else(|| {
                format!("target_shape {} needs an input of fixed size", config.show("target_shape"))
            })?;
            if !elements.is_multiple_of(product) {
                return Err(format!(
                    "target_shape {} does not divide {elements} elements",
                    config.show("target_shape")
                ));
            }
            Some(elements / product)
        }
        _ => return Err(unsupported()),
    };
    Ok(numbers.iter().map(|&n| if n == -1 { rest.unwrap_or(1) } else { n as usize }).collect())
}

/// The operation of a `Resizing` layer.
pub(super) fn resizing(config: Config<'_>) -> Result<Op> {
    let how = match config.get("interpolation").map_or(Some("bilinear"), Json::as_str) {
        Some("nearest") => Interpolation::Nearest,
        Some("bilinear") => Interpolation::Bilinear,
        Some("bicubic") => Interpolation::Bicubic,
        _ => {
            let shown = config.show("interpolation");
            return Err(format!("interpolation {shown} is not nearest, bilinear or bicubic"));
        }
    };
    for key in ["antialias", "pad_to_aspect_ratio"] {
        if config.flag(key, false)? {
            return Err(format!("{key} is not supported"));
        }
    }
    let crop = config.flag("crop_to_aspect_ratio", false)?;
    Ok(Op::Resize { size: [config.count("height")?, config.count("width")?], how, crop })
}

/// The operation of a `Rescaling` layer.
pub(super) fn rescaling(config: Config<'_>) -> Result<Op> {
    let scale = config.get("scale").and_then(numbers);
    Ok(Op::Rescale {
        scale: scale.ok_or_else(|| format!("scale {} is not a number", config.show("scale")))?,
        offset: config.numbers("offset", 0.0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{ACTIVATIONS, CLASSES};

    /// The README lists exactly the layers of this file.
    #[test]
    fn readme_lists_what_is_read() {
        let readme = include_str!("../../../README.md");
        let section = readme.split_once("### Keras layers").expect("the section").1;
        let section = section.split_once("\n#").expect("a section after it").0;
        let spans = section.split('`').skip(1).step_by(2);
        let words: Vec<&str> = spans.flat_map(str::split_whitespace).collect();
        for name in CLASSES.iter().map(|(name, _)| name).chain(ACTIVATIONS.iter().map(|(n, _)| n)) {
            assert!(words.contains(name), "{name} is missing in the README");
        }
        let known = |word: &&str| {
            CLASSES.iter().any(|(name, _)| name == word)
                || ACTIVATIONS.iter().any(|(name, _)| name == word)
                || *word == "Random…"
        };
        let unknown: Vec<&&str> = words.iter().filter(|word| !known(word)).collect();
        assert!(unknown.is_empty(), "{unknown:?} in the README are not read");
    }
}
