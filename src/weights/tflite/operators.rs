//! The operators of TensorFlow Lite that are supported, and what each becomes in a network.

use sepconv_kernels::{Activation, Padding, PoolKind, Window};

use super::graph::{Builder, Value};
use super::schema::{Operator, Options};
use crate::network::{Border, Interpolation, Op};

/// Errors are sentences; the caller adds the operator's name in front.
type Result<T> = std::result::Result<T, String>;

/// The number of the operator that makes constants wider.
pub(super) const DEQUANTIZE: i32 = 6;

/// The kinds of operators that are treated differently.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Conv,
    Depthwise,
    FullyConnected,
    Arithmetic(Arithmetic),
    Concatenation,
    Pool(PoolKind),
    /// Over some dimensions.
    Reduce(PoolKind),
    Pad,
    /// With a constant that need not be 0.
    PadWith,
    /// A function without options.
    Function(Activation),
    LeakyRelu,
    PRelu,
    Softmax,
    Resize(Interpolation),
    /// The same elements in another shape.
    Reshape,
    /// The same numbers in another type.
    Convert,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// The activation `RELU_N1_TO_1`.
const RELU_1: Activation = Activation::Clamp { lo: -1.0, hi: 1.0 };

/// The operators that are read: number, kind, and the type of their options, 0 if they need none.
const OPERATORS: &[(i32, Kind, u8)] = &[
    (0, Kind::Arithmetic(Arithmetic::Add), 11),
    (1, Kind::Pool(PoolKind::Average), 5),
    (2, Kind::Concatenation, 10),
    (3, Kind::Conv, 1),
    (4, Kind::Depthwise, 2),
    (DEQUANTIZE, Kind::Convert, 0),
    (9, Kind::FullyConnected, 8),
    (14, Kind::Function(Activation::Sigmoid), 0),
    (17, Kind::Pool(PoolKind::Max), 5),
    (18, Kind::Arithmetic(Arithmetic::Multiply), 21),
    (19, Kind::Function(Activation::Relu), 0),
    (20, Kind::Function(RELU_1), 0),
    (21, Kind::Function(Activation::Relu6), 0),
    (22, Kind::Reshape, 0),
    (23, Kind::Resize(Interpolation::Bilinear), 15),
    (25, Kind::Softmax, 9),
    (28, Kind::Function(Activation::Tanh), 0),
    (34, Kind::Pad, 0),
    (40, Kind::Reduce(PoolKind::Average), 27),
    (41, Kind::Arithmetic(Arithmetic::Subtract), 28),
    (42, Kind::Arithmetic(Arithmetic::Divide), 29),
    (43, Kind::Reshape, 0),
    (54, Kind::PRelu, 0),
    (60, Kind::PadWith, 0),
    (70, Kind::Reshape, 0),
    (82, Kind::Reduce(PoolKind::Max), 27),
    (97, Kind::Resize(Interpolation::Nearest), 74),
    (98, Kind::LeakyRelu, 75),
    (111, Kind::Function(Activation::Elu { alpha: 1.0 }), 0),
    (114, Kind::Convert, 0),
    (117, Kind::Function(Activation::HardSwish), 0),
    (152, Kind::Function(Activation::Clamp { lo: 0.0, hi: 1.0 }), 0),
];

/// The names of all operators by their numbers.
const NAMES: &[&str] = &[
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEPTH_TO_SPACE",
    "DEQUANTIZE",
    "EMBEDDING_LOOKUP",
    "FLOOR",
    "FULLY_CONNECTED",
    "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION",
    "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION",
    "LOGISTIC",
    "LSH_PROJECTION",
    "LSTM",
    "MAX_POOL_2D",
    "MUL",
    "RELU",
    "RELU_N1_TO_1",
    "RELU6",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "RNN",
    "SOFTMAX",
    "SPACE_TO_DEPTH",
    "SVDF",
    "TANH",
    "CONCAT_EMBEDDINGS",
    "SKIP_GRAM",
    "CALL",
    "CUSTOM",
    "EMBEDDING_LOOKUP_SPARSE",
    "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "GATHER",
    "BATCH_TO_SPACE_ND",
    "SPACE_TO_BATCH_ND",
    "TRANSPOSE",
    "MEAN",
    "SUB",
    "DIV",
    "SQUEEZE",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "STRIDED_SLICE",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "EXP",
    "TOPK_V2",
    "SPLIT",
    "LOG_SOFTMAX",
    "DELEGATE",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "CAST",
    "PRELU",
    "MAXIMUM",
    "ARG_MAX",
    "MINIMUM",
    "LESS",
    "NEG",
    "PADV2",
    "GREATER",
    "GREATER_EQUAL",
    "LESS_EQUAL",
    "SELECT",
    "SLICE",
    "SIN",
    "TRANSPOSE_CONV",
    "SPARSE_TO_DENSE",
    "TILE",
    "EXPAND_DIMS",
    "EQUAL",
    "NOT_EQUAL",
    "LOG",
    "SUM",
    "SQRT",
    "RSQRT",
    "SHAPE",
    "POW",
    "ARG_MIN",
    "FAKE_QUANT",
    "REDUCE_PROD",
    "REDUCE_MAX",
    "PACK",
    "LOGICAL_OR",
    "ONE_HOT",
    "LOGICAL_AND",
    "LOGICAL_NOT",
    "UNPACK",
    "REDUCE_MIN",
    "FLOOR_DIV",
    "REDUCE_ANY",
    "SQUARE",
    "ZEROS_LIKE",
    "FILL",
    "FLOOR_MOD",
    "RANGE",
    "RESIZE_NEAREST_NEIGHBOR",
    "LEAKY_RELU",
    "SQUARED_DIFFERENCE",
    "MIRROR_PAD",
    "ABS",
    "SPLIT_V",
    "UNIQUE",
    "CEIL",
    "REVERSE_V2",
    "ADD_N",
    "GATHER_ND",
    "COS",
    "WHERE",
    "RANK",
    "ELU",
    "REVERSE_SEQUENCE",
    "MATRIX_DIAG",
    "QUANTIZE",
    "MATRIX_SET_DIAG",
    "ROUND",
    "HARD_SWISH",
    "IF",
    "WHILE",
    "NON_MAX_SUPPRESSION_V4",
    "NON_MAX_SUPPRESSION_V5",
    "SCATTER_ND",
    "SELECT_V2",
    "DENSIFY",
    "SEGMENT_SUM",
    "BATCH_MATMUL",
    "PLACEHOLDER",
    "CUMSUM",
    "CALL_ONCE",
    "BROADCAST_TO",
    "RFFT2D",
    "CONV_3D",
    "IMAG",
    "REAL",
    "COMPLEX_ABS",
    "HASHTABLE",
    "HASHTABLE_FIND",
    "HASHTABLE_IMPORT",
    "HASHTABLE_SIZE",
    "REDUCE_ALL",
    "CONV_3D_TRANSPOSE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "BROADCAST_ARGS",
    "RANDOM_STANDARD_NORMAL",
    "BUCKETIZE",
    "RANDOM_UNIFORM",
    "MULTINOMIAL",
    "GELU",
    "DYNAMIC_UPDATE_SLICE",
    "RELU_0_TO_1",
];

/// The name of an operator.
pub(super) fn name(operator: &Operator<'_, '_>) -> String {
    let known = usize::try_from(operator.code).ok().and_then(|code| NAMES.get(code));
    match known {
        Some(&"CUSTOM") => {
            let name: String = operator.custom.chars().take(80).collect();
            format!("CUSTOM {name}")
        }
        Some(name) => (*name).into(),
        None => format!("operator code {}", operator.code),
    }
}

fn kind(operator: &Operator<'_, '_>) -> Option<(Kind, u8)> {
    let listed = OPERATORS.iter().find(|(code, ..)| *code == operator.code);
    listed.map(|&(_, kind, options)| (kind, options))
}

/// Whether operators of its kind are read.
pub(super) fn is_known(operator: &Operator<'_, '_>) -> bool {
    kind(operator).is_some()
}

/// The operands that an operator computes with; others are constants, or shapes.
pub(super) fn operands(operator: &Operator<'_, '_>) -> impl Iterator<Item = usize> {
    let most = match kind(operator) {
        None | Some((Kind::Concatenation, _)) => usize::MAX,
        Some((Kind::Arithmetic(_), _)) => 2,
        Some(_) => 1,
    };
    operator.inputs.iter().take(most).copied().flatten()
}

/// Appends an operator to the network.
pub(super) fn append(b: &mut Builder<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<Value> {
    let (kind, options) = kind(operator).ok_or("it is not supported")?;
    let options = match options {
        // Operators of these kinds need none.
        0 => Options::NONE,
        kind => operator.options(kind)?,
    };
    let operand = operator.input(0);
    let x = |b: &Builder<'_, '_, '_>| b.value(operand.ok_or("it has no operand")?);
    match kind {
        Kind::Conv | Kind::Depthwise => windowed(b, operator, kind, &options, x(b)?),
        Kind::FullyConnected => fully_connected(b, operator, &options, x(b)?),
        Kind::Arithmetic(what) => arithmetic(b, operator, what, &options),
        Kind::Concatenation => concatenation(b, operator, &options),
        Kind::Pool(pool) => pooled(b, operator, pool, &options, x(b)?),
        Kind::Reduce(pool) => reduced(b, operator, pool, &options, x(b)?),
        Kind::Pad | Kind::PadWith => padded(b, operator, kind, x(b)?),
        Kind::Resize(how) => resized(b, operator, how, &options, x(b)?),
        Kind::Reshape => reshaped(b, operator, x(b)?),
        Kind::PRelu => prelu(b, operator, x(b)?),
        Kind::Function(activation) => {
            let (x, name) = (x(b)?, b.name(operator)?);
            b.push(&name, Op::Activation(activation), &[&x])
        }
        Kind::Convert => {
            let (x, name) = (x(b)?, b.name(operator)?);
            b.push(&name, Op::Identity, &[&x])
        }
        Kind::LeakyRelu => {
            let (x, name) = (x(b)?, b.name(operator)?);
            let relu = Activation::LeakyRelu { alpha: options.float(0)? };
            b.push(&name, Op::Activation(relu), &[&x])
        }
        Kind::Softmax => {
            let (mut x, name) = (x(b)?, b.name(operator)?);
            let beta = options.float(0)?;
            if beta != 1.0 {
                let (scale, inner) = (vec![f64::from(beta)], b.unique(&format!("{name}/scaled")));
                x = b.push(&inner, Op::Rescale { scale, offset: vec![0.0] }, &[&x])?;
            }
            b.push(&name, Op::Softmax, &[&x])
        }
    }
}

/// The function that an operator applies to its result.
fn fused(activation: u8) -> Result<Option<Op>> {
    Ok(Some(match activation {
        0 => return Ok(None),
        1 => Op::Activation(Activation::Relu),
        2 => Op::Activation(RELU_1),
        3 => Op::Activation(Activation::Relu6),
        4 => Op::Activation(Activation::Tanh),
        5 => return Err("its activation SIGN_BIT is not supported".into()),
        other => return Err(format!("its activation {other} is not known")),
    }))
}

/// Appends a node and its activation, which then has the name.
fn activated(
    b: &mut Builder<'_, '_, '_>,
    (name, layer): (&str, &str),
    op: Op,
    operands: &[&Value],
    activation: Option<Op>,
) -> Result<Value> {
    match activation {
        None => b.push_for_layer(name, layer, op, operands),
        Some(activation) => {
            let inner = b.unique(&format!("{name}/pre"));
            let before = b.push_for_layer(&inner, layer, op, operands)?;
            b.push(name, activation, &[&before])
        }
    }
}

/// A number above 0.
fn count(what: &str, n: i32) -> Result<usize> {
    let count = usize::try_from(n).ok().filter(|&n| n > 0);
    count.ok_or_else(|| format!("{what}: expected a number above 0, got {n}"))
}

/// The window of a kernel of this size, whose padding and strides are the first options.
/// `dilations` is the slot of the first of two.
fn window(
    kernel: [usize; 2],
    options: &Options<'_, '_>,
    dilations: Option<usize>,
) -> Result<Window> {
    let stride = |slot: usize| count("stride", options.int(slot, 0)?);
    let dilation = |axis: usize| match dilations {
        None => Ok(1),
        Some(slot) => count("dilation", options.int(slot + axis, 1)?),
    };
    let padding = match options.byte(0)? {
        0 => Padding::Same,
        1 => Padding::Valid,
        other => return Err(format!("padding {other} is neither SAME (0) nor VALID (1)")),
    };
    // Columns come first.
    Ok(Window::new(kernel)
        .stride([stride(2)?, stride(1)?])
        .dilation([dilation(1)?, dilation(0)?])
        .padding(padding))
}

/// The window, with a preceding zero padding made part of it, and the value before that padding. A
/// window that has padding of its own keeps its operand.
fn joined(window: Window, x: &Value) -> (Window, Value) {
    match (window.padding, x.pad) {
        (Padding::Valid, Some((node, picture, Border { top, bottom, left, right }))) => {
            let padding = Padding::Explicit { top, bottom, left, right };
            (window.padding(padding), Value { node, picture, pad: None })
        }
        _ => (window, x.clone()),
    }
}

/// The weights of an operator, and its bias if it has one.
fn parameters(operator: &Operator<'_, '_>) -> Result<(usize, Option<usize>)> {
    let weights = operator.input(1).ok_or("it has no weights")?;
    Ok((weights, operator.input(2)))
}

/// The layer of an operator's weights. If they are new, they are read, as `variable` of this shape,
/// and `bias`.
fn layer(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    name: &str,
    (variable, shape): (&str, Vec<usize>),
    outputs: usize,
) -> Result<String> {
    let (weights, bias) = parameters(operator)?;
    let key = (operator.code, weights, bias);
    if let Some(layer) = b.layers.get(&key) {
        return Ok(layer.clone());
    }
    let depthwise = variable == "depthwise_kernel";
    if let Some((data, scales)) = b.integers(weights, if depthwise { 3 } else { 0 })? {
        let data = if depthwise { data } else { outputs_last(&data, outputs) };
        b.insert_int8(name, variable, shape, (data, scales), outputs)?;
    } else {
        let (data, _) = b.floats(weights)?;
        let data = if depthwise { data } else { outputs_last(&data, outputs) };
        b.insert(name, variable, shape, data)?;
    }
    if let Some(bias) = bias {
        let (elements, shape) = b.floats(bias)?;
        if elements.len() != outputs {
            return Err(format!("expected {outputs} biases, got shape {shape:?}"));
        }
        b.insert(name, "bias", vec![outputs], elements)?;
    }
    b.layers.insert(key, name.into());
    Ok(name.into())
}

/// Weights whose output channels are outermost, with these innermost.
fn outputs_last<T: Copy>(elements: &[T], outputs: usize) -> Vec<T> {
    let inner = elements.len() / outputs.max(1);
    (0..inner).flat_map(|i| (0..outputs).map(move |o| elements[o * inner + i])).collect()
}

/// A convolution, standard or depthwise.
fn windowed(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    kind: Kind,
    options: &Options<'_, '_>,
    x: Value,
) -> Result<Value> {
    let (weights, bias) = parameters(operator)?;
    let shape = &b.model.tensors[weights].shape;
    let &[first, kh, kw, last] = &shape[..] else {
        return Err(format!("weights: expected 4 dimensions, got shape {shape:?}"));
    };
    if shape.contains(&0) {
        return Err(format!("weights: expected no dimension of 0, got shape {shape:?}"));
    }
    let depthwise = kind == Kind::Depthwise;
    let (channels, bias) = (x.channels(), bias.is_some());
    let divisor = if depthwise { channels } else { last };
    let divided = if depthwise { last } else { channels };
    if divided % divisor != 0 || (depthwise && first != 1) {
        return Err(format!("weights of shape {shape:?} don't fit {channels} channels"));
    }
    let (slots, activation) = if depthwise { (5, 4) } else { (4, 3) };
    let (window, x) = joined(window([kh, kw], options, Some(slots))?, &x);
    let activation = fused(options.byte(activation)?)?;
    let name = b.name(operator)?;
    let (variable, outputs, op) = match depthwise {
        true => {
            let multiplier = last / channels;
            let variable = ("depthwise_kernel", vec![kh, kw, channels, multiplier]);
            (variable, last, Op::Depthwise { window, multiplier, bias })
        }
        false => {
            let op = Op::Conv { window, groups: channels / last, filters: first, bias };
            (("kernel", vec![kh, kw, last, first]), first, op)
        }
    };
    let layer = layer(b, operator, &name, variable, outputs)?;
    activated(b, (&name, &layer), op, &[&x], activation)
}

fn fully_connected(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    options: &Options<'_, '_>,
    mut x: Value,
) -> Result<Value> {
    let (weights, bias) = parameters(operator)?;
    let shape = &b.model.tensors[weights].shape;
    let &[units, inputs] = &shape[..] else {
        return Err(format!("weights: expected 2 dimensions, got shape {shape:?}"));
    };
    if options.byte(1)? != 0 {
        return Err("its shuffled weights are not supported".into());
    }
    let activation = fused(options.byte(0)?)?;
    let name = b.name(operator)?;
    if !options.flag(2)? && b.network.rank(x.node) != 2 {
        let inner = b.unique(&format!("{name}/flatten"));
        x = b.push(&inner, Op::Flatten { features: inputs }, &[&x])?;
    }
    if x.channels() != inputs {
        let channels = x.channels();
        return Err(format!("weights of shape {shape:?} don't fit {channels} channels"));
    }
    let layer = layer(b, operator, &name, ("kernel", vec![inputs, units]), units)?;
    let op = Op::Dense { units, bias: bias.is_some() };
    activated(b, (&name, &layer), op, &[&x], activation)
}

/// An operand of an arithmetic operator.
enum Operand {
    Value(Value),
    /// One number, or one for each channel.
    Constant(Vec<f64>),
}

/// A sum, difference, product or quotient, of which one operand may be a constant.
fn arithmetic(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    what: Arithmetic,
    options: &Options<'_, '_>,
) -> Result<Value> {
    let &[Some(first), Some(second)] = &operator.inputs[..] else {
        return Err(format!("expected 2 operands, got {}", operator.inputs.len()));
    };
    let activation = fused(options.byte(0)?)?;
    let operands = [operand(b, first)?, operand(b, second)?];
    let name = b.name(operator)?;
    let (op, x) = match (what, &operands) {
        (_, [Operand::Value(x), Operand::Value(y)]) => {
            return of_two(b, (what, activation), &name, [first, second], [x, y]);
        }
        (_, [Operand::Value(x), Operand::Constant(c)]) => {
            let (scale, offset) = match what {
                Arithmetic::Add => (vec![1.0], c.clone()),
                Arithmetic::Subtract => (vec![1.0], c.iter().map(|c| -c).collect()),
                Arithmetic::Multiply => (c.clone(), vec![0.0]),
                Arithmetic::Divide => (c.iter().map(|c| 1.0 / c).collect(), vec![0.0]),
            };
            if scale.iter().any(|s: &f64| !(*s as f32).is_finite()) {
                return Err("division by 0".into());
            }
            (Op::Rescale { scale, offset }, x)
        }
        (Arithmetic::Divide, [Operand::Constant(_), _]) => {
            return Err("dividing a constant is not supported".into());
        }
        (_, [Operand::Constant(c), Operand::Value(x)]) => {
            let (scale, offset) = match what {
                Arithmetic::Add => (vec![1.0], c.clone()),
                Arithmetic::Subtract => (vec![-1.0], c.clone()),
                _ => (c.clone(), vec![0.0]),
            };
            (Op::Rescale { scale, offset }, x)
        }
        (_, [Operand::Constant(_), Operand::Constant(_)]) => {
            return Err("both operands are constants".into());
        }
    };
    activated(b, (&name, &name), op, &[x], activation)
}

fn operand(b: &mut Builder<'_, '_, '_>, tensor: usize) -> Result<Operand> {
    if b.constant(tensor).is_none() {
        return b.value(tensor).map(Operand::Value);
    }
    let (elements, shape) = b.floats(tensor)?;
    // The elements of the last dimension belong to channels; shape inference compares their number.
    if shape.iter().rev().skip(1).any(|&d| d != 1) {
        return Err(format!("a constant of shape {shape:?} is not one number for each channel"));
    }
    Ok(Operand::Constant(elements.into_iter().map(f64::from).collect()))
}

/// Arithmetic of two computed values.
fn of_two(
    b: &mut Builder<'_, '_, '_>,
    (what, activation): (Arithmetic, Option<Op>),
    name: &str,
    tensors: [usize; 2],
    [x, y]: [&Value; 2],
) -> Result<Value> {
    match what {
        Arithmetic::Add => activated(b, (name, name), Op::Add, &[x, y], activation),
        Arithmetic::Subtract => {
            let op = Op::Rescale { scale: vec![-1.0], offset: vec![0.0] };
            let inner = b.unique(&format!("{name}/negative"));
            let negative = b.push(&inner, op, &[y])?;
            activated(b, (name, name), Op::Add, &[x, &negative], activation)
        }
        // x · sigmoid(x)
        Arithmetic::Multiply if is_sigmoid(b, tensors[1], tensors[0]) => {
            activated(b, (name, name), Op::Activation(Activation::Silu), &[x], activation)
        }
        Arithmetic::Multiply if is_sigmoid(b, tensors[0], tensors[1]) => {
            activated(b, (name, name), Op::Activation(Activation::Silu), &[y], activation)
        }
        Arithmetic::Multiply | Arithmetic::Divide => {
            Err("products and quotients of two tensors are not supported".into())
        }
    }
}

/// Whether `tensor` is the sigmoid of `x`.
fn is_sigmoid(b: &Builder<'_, '_, '_>, tensor: usize, x: usize) -> bool {
    let operator = b.producers.get(&tensor).map(|&i| &b.model.operators[i]);
    operator.is_some_and(|operator| {
        operator.inputs == [Some(x)]
            && matches!(kind(operator), Some((Kind::Function(Activation::Sigmoid), _)))
    })
}

fn concatenation(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    options: &Options<'_, '_>,
) -> Result<Value> {
    let operands: Vec<Value> =
        self::operands(operator).map(|tensor| b.value(tensor)).collect::<Result<_>>()?;
    let axis = options.int(0, 0)?;
    let rank = rank(b, operator.outputs.first().copied())?;
    if axis != -1 && usize::try_from(axis).ok() != rank.checked_sub(1) {
        return Err(format!("axis {axis} of {rank} dimensions is not the channels"));
    }
    let activation = fused(options.byte(1)?)?;
    let name = b.name(operator)?;
    let op = match operands.len() {
        0 => return Err("it has no operand".into()),
        1 => Op::Identity,
        _ => Op::Concat,
    };
    activated(b, (&name, &name), op, &operands.iter().collect::<Vec<_>>(), activation)
}

/// The number of a tensor's dimensions.
fn rank(b: &Builder<'_, '_, '_>, tensor: Option<usize>) -> Result<usize> {
    let tensor = tensor.ok_or("it has too few operands or outputs")?;
    Ok(b.model.tensors[tensor].shape.len())
}

fn pooled(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    pool: PoolKind,
    options: &Options<'_, '_>,
    x: Value,
) -> Result<Value> {
    let side = |slot: usize| count("kernel", options.int(slot, 0)?);
    let window = window([side(4)?, side(3)?], options, None)?;
    // The padding before is zeros, but a pool ignores its own. A maximum is the same if x ≥ 0.
    let positive = x.pad.is_some_and(|(node, ..)| {
        let op = &b.network.node(node).op;
        matches!(op, Op::Activation(Activation::Relu | Activation::Relu6))
    });
    let (window, x) = match pool {
        PoolKind::Max if positive => joined(window, &x),
        _ => (window, x),
    };
    let activation = fused(options.byte(5)?)?;
    let name = b.name(operator)?;
    let op = match pool {
        PoolKind::Max => Op::MaxPool(window),
        _ => Op::AveragePool(window),
    };
    activated(b, (&name, &name), op, &[&x], activation)
}

/// A mean or maximum over height and width.
fn reduced(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    kind: PoolKind,
    options: &Options<'_, '_>,
    x: Value,
) -> Result<Value> {
    let axes = b.indices(operator.input(1))?;
    let rank = rank(b, operator.inputs[0])?;
    let positive = |&axis: &i64| if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    let mut sorted: Vec<i64> = axes.iter().map(positive).collect();
    sorted.sort_unstable();
    if rank != 4 || sorted != [1, 2] {
        return Err(format!("axes {axes:?} of {rank} dimensions are not height and width"));
    }
    let keep_dims = options.flag(0)?;
    let name = b.name(operator)?;
    b.push(&name, Op::GlobalPool { kind, keep_dims }, &[&x])
}

/// A padding with zeros. Convolutions after it use the value before it and pad that themselves.
fn padded(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    kind: Kind,
    x: Value,
) -> Result<Value> {
    let sides = b.indices(operator.input(1))?;
    let own: Option<Vec<usize>> = sides.iter().map(|&n| usize::try_from(n).ok()).collect();
    let Some([0, 0, top, bottom, left, right, 0, 0]) = own.as_deref() else {
        return Err(format!("paddings {sides:?} are not of height and width alone"));
    };
    if kind == Kind::PadWith {
        let with = operator.input(2).ok_or("it has no value to pad with")?;
        let (with, _) = b.floats(with)?;
        if with != [0.0] {
            return Err(format!("padding with {with:?} and not 0 is not supported"));
        }
    }
    let own = Border { top: *top, bottom: *bottom, left: *left, right: *right };
    let (node, picture, before) = x.pad.unwrap_or((x.node, x.picture, Border::default()));
    let sum = |a: usize, b: usize| a.checked_add(b).ok_or("the padding overflows");
    let all = Border {
        top: sum(own.top, before.top)?,
        bottom: sum(own.bottom, before.bottom)?,
        left: sum(own.left, before.left)?,
        right: sum(own.right, before.right)?,
    };
    let name = b.name(operator)?;
    let padded = b.push(&name, Op::ZeroPad(own), &[&x])?;
    Ok(Value { pad: Some((node, picture, all)), ..padded })
}

fn resized(
    b: &mut Builder<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    how: Interpolation,
    options: &Options<'_, '_>,
    x: Value,
) -> Result<Value> {
    let sides = b.indices(operator.input(1))?;
    let size: Option<Vec<usize>> = sides.iter().map(|&n| usize::try_from(n).ok()).collect();
    let Some(&[height, width]) = size.as_deref() else {
        return Err(format!("expected a height and a width, got {sides:?}"));
    };
    let first = if how == Interpolation::Nearest { 0 } else { 2 };
    let [corners, centres] = [options.flag(first)?, options.flag(first + 1)?];
    // Repeating pixels is the same in both.
    let repeats = how == Interpolation::Nearest
        && x.picture.size.is_some_and(|[h, w]| height % h == 0 && width % w == 0);
    if corners || !(centres || repeats) {
        let what = if corners { "aligned corners" } else { "pixels at their corners" };
        return Err(format!("resizing with {what} is not supported; use half_pixel_centers"));
    }
    let name = b.name(operator)?;
    b.push(&name, Op::Resize { size: [height, width], how, crop: false }, &[&x])
}

/// The same elements in the shape that the file gives the output.
fn reshaped(b: &mut Builder<'_, '_, '_>, operator: &Operator<'_, '_>, x: Value) -> Result<Value> {
    let &output = operator.outputs.first().ok_or("it has no output")?;
    let model = b.model;
    let tensor = &model.tensors[output];
    let (shape, batch) = (&tensor.shape, model.tensors[model.inputs[0]].shape[0]);
    if tensor.open.iter().skip(1).any(|&open| open) {
        return Err(format!("its shape {shape:?} depends on the size of the input"));
    }
    let op = match shape[..] {
        [n, features] if n == batch => Op::Flatten { features },
        // The converter drops a batch of one.
        [features] if batch == 1 => Op::Flatten { features },
        [n, h, w, c] if n == batch => Op::Reshape { shape: [h, w, c], sequence: false },
        _ => return Err(format!("shape {shape:?} is not that of {batch} vectors or pictures")),
    };
    let name = b.name(operator)?;
    b.push(&name, op, &[&x])
}

fn prelu(b: &mut Builder<'_, '_, '_>, operator: &Operator<'_, '_>, x: Value) -> Result<Value> {
    let alpha = operator.input(1).ok_or("it has no slopes")?;
    let (elements, shape) = b.floats(alpha)?;
    let name = b.name(operator)?;
    b.insert(&name, "alpha", shape.clone(), elements)?;
    b.push(&name, Op::PRelu { shape }, &[&x])
}

#[cfg(test)]
mod tests {
    use super::{DEQUANTIZE, NAMES, OPERATORS};

    /// The page lists exactly the operators of this file.
    #[test]
    fn page_lists_what_is_read() {
        let page = include_str!("../../../docs/models.md");
        let section = page.split_once("## TensorFlow Lite operators").expect("the section").1;
        let section = section.split_once("\n- ").expect("a list").1;
        let section = section.split_once("\n## ").expect("a section after it").0;
        let spans: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
        let name = |code: i32| NAMES[code as usize];
        let read: Vec<&str> = OPERATORS.iter().map(|&(code, ..)| name(code)).collect();
        for name in &read {
            assert!(spans.contains(name), "{name} is missing in docs/models.md");
        }
        let unknown: Vec<_> = spans.iter().filter(|span| !read.contains(span)).collect();
        assert!(unknown.is_empty(), "{unknown:?} in docs/models.md are not read");
    }

    #[test]
    fn names_are_at_their_numbers() {
        for (code, name) in [
            (0, "ADD"),
            (DEQUANTIZE, "DEQUANTIZE"),
            (40, "MEAN"),
            (114, "QUANTIZE"),
            (152, "RELU_0_TO_1"),
        ] {
            assert_eq!(NAMES[code as usize], name);
        }
        assert!(OPERATORS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
