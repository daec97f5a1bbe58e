//! The Keras layers that are supported, and what each becomes in a network.

use sepconv_kernels::{
    Activation, NormalizationKind, Padding, PoolKind, TransposedPadding, TransposedWindow, Window,
};
use serde_json::Value as Json;

use super::calls::{Call, Operand};
use super::json::{Config, Result, brief, foreign_package, numbers, size};
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
    RepeatVector,
    /// The sums of products of two tensors along an axis.
    Dot,
    /// A layer that is applied to each step of a sequence.
    TimeDistributed,
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
    ("Conv1D", Kind::Conv),
    ("Conv2D", Kind::Conv),
    ("DepthwiseConv1D", Kind::Depthwise),
    ("DepthwiseConv2D", Kind::Depthwise),
    ("SeparableConv1D", Kind::Separable),
    ("SeparableConv2D", Kind::Separable),
    ("Dense", Kind::Dense),
    ("BatchNormalization", Kind::BatchNorm),
    ("Activation", Kind::Activation),
    ("ReLU", Kind::Relu),
    ("LeakyReLU", Kind::LeakyRelu),
    ("PReLU", Kind::PRelu),
    ("ELU", Kind::Elu),
    ("Softmax", Kind::Softmax),
    ("MaxPooling1D", Kind::Pool(PoolKind::Max)),
    ("MaxPooling2D", Kind::Pool(PoolKind::Max)),
    ("AveragePooling1D", Kind::Pool(PoolKind::Average)),
    ("AveragePooling2D", Kind::Pool(PoolKind::Average)),
    ("GlobalMaxPooling1D", Kind::GlobalPool(PoolKind::Max)),
    ("GlobalMaxPooling2D", Kind::GlobalPool(PoolKind::Max)),
    ("GlobalAveragePooling1D", Kind::GlobalPool(PoolKind::Average)),
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
    ("UpSampling1D", Kind::UpSampling),
    ("UpSampling2D", Kind::UpSampling),
    ("Conv1DTranspose", Kind::Transposed),
    ("Conv2DTranspose", Kind::Transposed),
    ("Permute", Kind::Permute),
    ("RepeatVector", Kind::RepeatVector),
    ("Dot", Kind::Dot),
    ("TimeDistributed", Kind::TimeDistributed),
    ("Concatenate", Kind::Concatenate),
    ("Rescaling", Kind::Rescaling),
    ("ZeroPadding1D", Kind::ZeroPadding),
    ("ZeroPadding2D", Kind::ZeroPadding),
    ("Cropping1D", Kind::Cropping),
    ("Cropping2D", Kind::Cropping),
    ("CenterCrop", Kind::CenterCrop),
    ("Resizing", Kind::Resizing),
    ("Flatten", Kind::Flatten),
    ("Reshape", Kind::Reshape),
    ("Identity", Kind::Identity),
    ("Dropout", Kind::Identity),
    ("StochasticDepth", Kind::Identity),
    ("SpatialDropout1D", Kind::Identity),
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

/// The activations that a kernel ends with, by Keras's names and with Keras 3's parameters. (Keras
/// 2 has another `hard_sigmoid`.)
///
/// ```
/// # use sepconv::kernels::Activation;
/// # use sepconv::weights::KERAS_ACTIVATIONS;
/// let named = KERAS_ACTIVATIONS.iter().find(|(name, _)| *name == "silu");
/// assert_eq!(named, Some(&("silu", Activation::Silu)));
/// ```
pub const ACTIVATIONS: [(&str, Activation); 17] = [
    ("linear", Activation::None),
    ("relu", Activation::Relu),
    ("relu6", Activation::Relu6),
    ("elu", Activation::Elu { alpha: 1.0 }),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("hard_silu", Activation::HardSwish),
    ("hard_swish", Activation::HardSwish),
    ("leaky_relu", Activation::LeakyRelu { alpha: 0.2 }),
    ("sigmoid", Activation::Sigmoid),
    ("hard_sigmoid", Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 }),
    ("tanh", Activation::Tanh),
    ("softplus", Activation::Softplus),
    ("gelu", Activation::Gelu),
    ("mish", Activation::Mish),
    ("softsign", Activation::Softsign),
    ("exponential", Activation::Exponential),
];

/// The name of the activation that is a step of its own.
const SOFTMAX: &str = "softmax";

/// The activation of this name.
fn named(name: &str) -> Option<Activity> {
    if name == SOFTMAX {
        return Some(Activity::Softmax);
    }
    let listed = ACTIVATIONS.iter().find(|(known, _)| *known == name);
    listed.map(|(_, activation)| Activity::Kernel(*activation))
}

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
    let config = layer.get("config").and_then(Json::as_object).map(|map| Config::new(map, class));
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
        Some(Kind::TimeDistributed) => {
            let inner = config?.get("layer")?;
            let class = inner.get("class_name")?.as_str()?;
            match kind(class) {
                None | Some(Kind::TimeDistributed) => Some(format!(" of {class}")),
                _ => refusal(inner, class, &[]).map(|why| format!(" of {class}{why}")),
            }
        }
        Some(_) => None,
    }
}

/// Whether `TimeDistributed` can have this kind of layer, for each of whose operands there are so
/// many dimensions: those that treat pixels, or rows, by themselves.
pub(super) fn is_of_steps(kind: Kind, rank: usize) -> bool {
    match kind {
        Kind::Dense
        | Kind::BatchNorm
        | Kind::Activation
        | Kind::Relu
        | Kind::LeakyRelu
        | Kind::PRelu
        | Kind::Elu
        | Kind::Softmax
        | Kind::LayerNorm
        | Kind::UnitNorm
        | Kind::RmsNorm
        | Kind::Normalization
        | Kind::LayerScale
        | Kind::Rescaling
        | Kind::Flatten
        | Kind::Reshape
        | Kind::Identity => rank == 2 || rank == 3,
        Kind::Conv
        | Kind::Depthwise
        | Kind::Separable
        | Kind::Transposed
        | Kind::Pool(_)
        | Kind::GlobalPool(_)
        | Kind::ZeroPadding
        | Kind::Cropping
        | Kind::UpSampling
        | Kind::Permute => rank == 3,
        _ => false,
    }
}

/// Whether this kind of layer treats each pixel by itself, or each tensor's in the same place, so
/// that it can have operands of any number of dimensions.
pub(super) fn is_of_pixels(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Dense
            | Kind::BatchNorm
            | Kind::Activation
            | Kind::Relu
            | Kind::LeakyRelu
            | Kind::Elu
            | Kind::Softmax
            | Kind::Rescaling
            | Kind::LayerScale
            | Kind::Identity
            | Kind::Arithmetic(_)
            | Kind::Average
            | Kind::ScaledSum
            | Kind::Concatenate
            | Kind::TensorFlow
    )
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
    named(name).filter(|_| is_function)
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
        let inner = Config::new(inner, class);
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
    if keras2 && name == Some("hard_sigmoid") {
        return Ok(Activity::Kernel(Activation::HardSigmoid { slope: 0.2, offset: 0.5 }));
    }
    name.and_then(named).ok_or_else(unsupported)
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

/// The window of a convolution or pool, and its padding. `pad` is a zero padding before it, which
/// can't be combined with SAME.
pub(super) fn window(
    config: Config<'_>,
    kernel: &str,
    padding: PaddingName,
    pad: Option<Border>,
) -> Result<Window> {
    let size = config.pair(kernel)?;
    let stride = if kernel == "pool_size" { size } else { [1, 1] };
    let dilation = config.pair_or("dilation_rate", [1, 1])?;
    let explicit = |Border { top, bottom, left, right }| {
        Ok::<_, String>(Padding::Explicit { top, bottom, left, right })
    };
    let padding = match (padding, pad) {
        (PaddingName::Same, _) => Padding::Same,
        (PaddingName::Valid, None) => Padding::Valid,
        (PaddingName::Valid, Some(pad)) => explicit(pad)?,
        (PaddingName::Causal, pad) => {
            let pad = pad.unwrap_or_default();
            let left = (size[1] - 1).checked_mul(dilation[1]);
            let left = left.and_then(|left| left.checked_add(pad.left));
            let left = left.ok_or_else(|| {
                format!("a kernel of {} with dilation {} overflows", size[1], dilation[1])
            })?;
            explicit(Border { left, ..pad })?
        }
    };
    let window = Window::new(size).stride(config.pair_or("strides", stride)?);
    Ok(window.dilation(dilation).padding(padding))
}

/// What a layer's `padding` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum PaddingName {
    Valid,
    Same,
    /// So many zeros before a sequence that no output is made of inputs after it.
    Causal,
}

/// The padding of a layer of this kind.
pub(super) fn padding(kind: Kind, config: Config<'_>) -> Result<PaddingName> {
    let can_be_causal = config.axes == Some(1) && matches!(kind, Kind::Conv | Kind::Separable);
    match config.get("padding").map_or(Some("valid"), Json::as_str) {
        Some(p) if p.eq_ignore_ascii_case("valid") => Ok(PaddingName::Valid),
        Some(p) if p.eq_ignore_ascii_case("same") => Ok(PaddingName::Same),
        Some(p) if p.eq_ignore_ascii_case("causal") && can_be_causal => Ok(PaddingName::Causal),
        _ => Err(format!("padding {} is not supported", config.show("padding"))),
    }
}

/// Checks that `axis` is the channels: the last of so many dimensions.
pub(super) fn check_channel_axis(config: Config<'_>, rank: usize) -> Result<()> {
    let axis = config.get("axis").map(|v| v.get(0).unwrap_or(v));
    let last = rank as i64 - 1;
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

/// The operation of a layer that normalizes by its operand's own statistics. The operand has this
/// height, width and channels, and `rank` dimensions.
pub(super) fn normalization(
    kind: Kind,
    config: Config<'_>,
    sides: [Option<usize>; 3],
    rank: usize,
    keras2: bool,
) -> Result<Op> {
    let axes = normalized_axes(config, rank)?;
    if axes != [2] {
        if kind != Kind::LayerNorm || config.flag("rms_scaling", false)? {
            return Err(format!("axis {} is not the channels alone", config.show("axis")));
        }
        let open = || format!("axis {} of an open size", config.show("axis"));
        let extents = axes.iter().map(|&axis| sides[axis]).collect::<Option<Vec<_>>>();
        return Ok(Op::NormalizeOver {
            axes,
            extents: extents.ok_or_else(open)?,
            epsilon: config.number("epsilon", 1e-3)?,
            scale: config.flag("scale", true)?,
            center: config.flag("center", true)?,
        });
    }
    let channels = sides[2].unwrap_or(1);
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

/// Those of the axes 0 (height), 1 (width) and 2 (channels) that `axis` says. An operand of `rank`
/// dimensions has the last of them.
fn normalized_axes(config: Config<'_>, rank: usize) -> Result<Vec<usize>> {
    let axis = match config.get("axis") {
        None => return Ok(vec![2]),
        Some(axis) => axis,
    };
    let list = axis.as_array().map_or(std::slice::from_ref(axis), |list| list);
    let place = |axis: &Json| {
        let axis = axis.as_i64()?;
        let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
        usize::try_from(axis).ok().filter(|axis| (1..rank).contains(axis)).map(|a| a + 3 - rank)
    };
    let axes = list.iter().map(place).collect::<Option<Vec<_>>>();
    let mut axes = axes.filter(|axes| !axes.is_empty()).ok_or_else(|| {
        format!("axis: expected numbers of 1 to {}, got {}", rank - 1, config.show("axis"))
    })?;
    axes.sort_unstable();
    Ok(axes)
}

/// The operation of a `Normalization` layer. Its mean and variance are in the configuration, or
/// weights that `adapt` has set.
pub(super) fn standardization(config: Config<'_>, rank: usize) -> Result<Op> {
    check_channel_axis(config, rank)?;
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

/// The operation of a transposed convolution, and what must be cropped of its result.
pub(super) fn transposed(config: Config<'_>) -> Result<(Op, Border)> {
    check_layout(config)?;
    if config.count_or("groups", 1)? != 1 {
        let groups = config.show("groups");
        return Err(format!("expected 1 group of a transposed convolution, got {groups}"));
    }
    let kernel = config.pair("kernel_size")?;
    let stride = config.pair_or("strides", [1, 1])?;
    let dilation = config.pair_or("dilation_rate", [1, 1])?;
    let is_same = padding(Kind::Transposed, config)? == PaddingName::Same;
    let mut padding = if is_same { TransposedPadding::Same } else { TransposedPadding::Valid };
    let mut crop = Border::default();
    if config.get("output_padding").is_some() {
        let more = config.pair_from("output_padding", 0)?;
        let (mut before, mut after, mut odd) = ([0; 2], [0; 2], [0; 2]);
        for axis in [0, 1] {
            if more[axis] >= stride[axis] {
                return Err(format!(
                    "output_padding: expected less than the strides {stride:?}, got {more:?}"
                ));
            }
            // With SAME Keras leaves out 2·⌊k/2⌋ outputs, one more after than before if that is
            // odd less the output padding.
            let extent = (kernel[axis] - 1).saturating_mul(dilation[axis]).saturating_add(1);
            let cut = if is_same { extent / 2 * 2 } else { 0 };
            match cut.checked_sub(more[axis]) {
                Some(cut) => (before[axis], odd[axis]) = (cut / 2, cut % 2),
                None => after[axis] = more[axis] - cut,
            }
        }
        padding = TransposedPadding::Explicit { padding: before, output_padding: after };
        (crop.bottom, crop.right) = (odd[0], odd[1]);
    }
    let window = TransposedWindow::new(kernel).stride(stride).dilation(dilation).padding(padding);
    let bias = config.flag("use_bias", true)?;
    Ok((Op::ConvTranspose { window, filters: config.count("filters")?, bias }, crop))
}

/// The operation of a `Permute` layer on operands of `rank` dimensions, of this height, width and
/// channels.
pub(super) fn permute(config: Config<'_>, sides: [usize; 3], rank: usize) -> Result<Op> {
    let dims = config.get("dims").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let place =
        |axis: &Json| size(axis).filter(|axis| (1..rank).contains(axis)).map(|a| a + 3 - rank);
    let last = dims.iter().map(place).collect::<Option<Vec<_>>>();
    let all = last.map(|last| [(0..4 - rank).collect(), last].concat());
    match all.as_deref() {
        Some(&[a, b, c]) => Ok(Op::Permute { axes: [a, b, c], channels: sides[c] }),
        _ => {
            let (last, dims) = (rank - 1, config.show("dims"));
            Err(format!("dims: expected the numbers 1 to {last} in some order, got {dims}"))
        }
    }
}

/// The operation of a `Dot` layer on two operands of these ranks, each of this width and channels;
/// and the extent of the first one's other axis.
pub(super) fn dot(
    config: Config<'_>,
    operands: [(usize, [Option<usize>; 2]); 2],
    keras2: bool,
) -> Result<(Op, Option<usize>)> {
    let ranks = operands.map(|(rank, _)| rank);
    if ranks.iter().any(|rank| !(2..=3).contains(rank)) {
        let [a, b] = ranks;
        return Err(format!("expected operands of 2 or 3 dimensions, got {a} and {b}"));
    }
    let open = "it takes a sequence whose length is open";
    if operands.iter().any(|(_, sides)| sides.contains(&None)) {
        return Err(open.into());
    }
    let given = config.get("axes");
    let of = |i: usize| given.and_then(|axes| axes.get(i).or(Some(axes).filter(|a| !a.is_array())));
    let axis = |i: usize| {
        let axis = of(i)?.as_i64()?;
        let axis = if axis < 0 { axis.checked_add(ranks[i] as i64)? } else { axis };
        let axis = usize::try_from(axis).ok().filter(|axis| (1..ranks[i]).contains(axis))?;
        Some(axis + 3 - ranks[i])
    };
    let (Some(a), Some(b)) = (axis(0), axis(1)) else {
        return Err(format!(
            "axes: expected one of 1 to {} and one of 1 to {}, got {}",
            ranks[0] - 1,
            ranks[1] - 1,
            config.show("axes")
        ));
    };
    let other = |i: usize, axis: usize| operands[i].1[2 - axis];
    let channels = other(1, b).ok_or(open)?;
    // Keras 2 bounds the square of a length.
    let shortest = if keras2 { 1e-6 } else { 1e-7 };
    let normalize = config.flag("normalize", false)?.then_some(shortest);
    Ok((Op::Dot { axes: [a, b], channels, normalize }, other(0, a)))
}

/// The operation of an up-sampling layer.
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

/// `target_shape` with its −1 replaced: one length for a vector, length and channels for a
/// sequence, or height, width and channels.
pub(super) fn target_shape(config: Config<'_>, elements: Option<usize>) -> Result<Vec<usize>> {
    let unsupported =
        || format!("target_shape {} has not 1 to 3 numbers above 0", config.show("target_shape"));
    let list = config.get("target_shape").and_then(Json::as_array).ok_or_else(unsupported)?;
    let numbers: Option<Vec<i64>> = list.iter().map(Json::as_i64).collect();
    let numbers = numbers.filter(|n| matches!(n.len(), 1..=3)).ok_or_else(unsupported)?;
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
    use super::{ACTIVATIONS, CLASSES, SOFTMAX};

    /// The page lists exactly the layers of this file.
    #[test]
    fn page_lists_what_is_read() {
        let page = include_str!("../../../docs/models.md");
        let section = page.split_once("## Keras layers").expect("the section").1;
        let section = section.split_once("\n## ").expect("a section after it").0;
        let spans = section.split('`').skip(1).step_by(2);
        let words: Vec<&str> = spans.flat_map(str::split_whitespace).collect();
        let activations = ACTIVATIONS.iter().map(|(name, _)| *name).chain([SOFTMAX]);
        let names: Vec<&str> = CLASSES.iter().map(|(name, _)| *name).chain(activations).collect();
        for name in &names {
            assert!(words.contains(name), "{name} is missing in docs/models.md");
        }
        let known = |word: &&str| names.contains(word) || *word == "Random…";
        let unknown: Vec<&&str> = words.iter().filter(|word| !known(word)).collect();
        assert!(unknown.is_empty(), "{unknown:?} in docs/models.md are not read");
    }
}
