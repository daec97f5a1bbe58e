//! The executor against a reference that evaluates a network node by node, fusing nothing.

use std::sync::Arc;

use proptest::prelude::*;
use sepconv::kernels::{
    self, Activation, BinaryOp, NormalizationKind, Padding, PoolKind, TransposedPadding,
    TransposedWindow, Window, naive,
};
use sepconv::network::{
    Border, DepthFirst, Interpolation, Network, NetworkPlan, NodeId, Op, PlanOptions, Session,
    StepTime, ThreadTime,
};
use sepconv::weights::{Tensor, Weights};
use sepconv::{Error, Result};

type Shape = [usize; 4];

// ---------------------------------------------------------------- reference

/// The value of a node and its shape.
#[derive(Debug, Clone)]
struct Value {
    shape: Shape,
    data: Vec<f32>,
}

/// Every node's value, each computed in f64 from its operands' and rounded to f32.
fn reference(network: &Network, weights: &Weights, input: &Value) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    for node in network.nodes() {
        let operands: Vec<&Value> = node.inputs.iter().map(|id| &values[id.index()]).collect();
        let get = |variable| weights.find(&node.layer, variable).map(|t| &t.data[..]);
        let value = match node.op {
            Op::Input { .. } => input.clone(),
            Op::Conv { window, groups, filters, bias } => conv(
                operands[0],
                window,
                groups,
                filters,
                get("kernel").unwrap(),
                bias.then(|| get("bias").unwrap()),
            ),
            Op::Depthwise { window, multiplier, bias } => {
                let c = operands[0].shape[3];
                let kernel = get("depthwise_kernel").unwrap();
                let bias = bias.then(|| get("bias").unwrap());
                conv(operands[0], window, c, c * multiplier, kernel, bias)
            }
            Op::Separable { window, multiplier, filters, bias } => {
                let c = operands[0].shape[3];
                let kernel = get("depthwise_kernel").unwrap();
                let middle = conv(operands[0], window, c, c * multiplier, kernel, None);
                let kernel = get("pointwise_kernel").unwrap();
                let bias = bias.then(|| get("bias").unwrap());
                conv(&middle, Window::new([1, 1]), 1, filters, kernel, bias)
            }
            Op::Dense { units, bias } => conv(
                operands[0],
                Window::new([1, 1]),
                1,
                units,
                get("kernel").unwrap(),
                bias.then(|| get("bias").unwrap()),
            ),
            Op::BatchNorm { epsilon, scale, center } => map(operands[0], |c, x| {
                let at = |variable| f64::from(get(variable).unwrap()[c]);
                let gamma = if scale { at("gamma") } else { 1.0 };
                let beta = if center { at("beta") } else { 0.0 };
                let deviation = (at("moving_variance") + epsilon).sqrt();
                (x - at("moving_mean")) / deviation * gamma + beta
            }),
            Op::Activation(a) => map(operands[0], |_, x| naive::activate(a, x)),
            Op::Identity => operands[0].clone(),
            Op::Flatten { features } => {
                Value { shape: [operands[0].shape[0], 1, 1, features], ..operands[0].clone() }
            }
            Op::Softmax => softmax(operands[0]),
            Op::MaxPool(window) => pool(operands[0], PoolKind::Max, window),
            Op::AveragePool(window) => pool(operands[0], PoolKind::Average, window),
            Op::GlobalPool { kind, .. } => {
                let [_, h, w, _] = operands[0].shape;
                pool(operands[0], kind, Window::new([h, w]))
            }
            Op::Reshape { shape: [h, w, c], .. } => {
                Value { shape: [operands[0].shape[0], h, w, c], ..operands[0].clone() }
            }
            Op::StepsToBatch { .. } | Op::BatchToSteps { .. } => {
                let shape = network.shapes(input.shape).unwrap()[values.len()];
                Value { shape, ..operands[0].clone() }
            }
            Op::Rescale { ref scale, ref offset } => {
                map(operands[0], |c, x| x * scale[c % scale.len()] + offset[c % offset.len()])
            }
            Op::PRelu { ref shape } => {
                let alpha = get("alpha").unwrap();
                let [ah, aw, ac] = match shape[..] {
                    [c] => [1, 1, c],
                    [h, w, c] => [h, w, c],
                    _ => panic!("{shape:?}"),
                };
                picture_of(operands[0].shape, |[n, y, x, c]| {
                    let v = operands[0].at([n, y, x, c]);
                    let alpha = alpha[(y % ah * aw + x % aw) * ac + c % ac];
                    if v < 0.0 { v * f64::from(alpha) } else { v }
                })
            }
            Op::ZeroPad(Border { top, bottom, left, right }) => {
                let [n, h, w, c] = operands[0].shape;
                picture_of([n, h + top + bottom, w + left + right, c], |[n, y, x, c]| {
                    let inside = (top..top + h).contains(&y) && (left..left + w).contains(&x);
                    if inside { operands[0].at([n, y - top, x - left, c]) } else { 0.0 }
                })
            }
            Op::Crop(border) => crop(operands[0], border),
            Op::CenterCrop { size: [th, tw] } => {
                let [_, h, w, _] = operands[0].shape;
                match th <= h && tw <= w {
                    true => {
                        let (top, left) = ((h - th) / 2, (w - tw) / 2);
                        let (bottom, right) = (h - th - top, w - tw - left);
                        crop(operands[0], Border { top, bottom, left, right })
                    }
                    false => resize(
                        &proportioned(operands[0], [th, tw]),
                        [th, tw],
                        Interpolation::Bilinear,
                    ),
                }
            }
            Op::Resize { size, how, crop: false } => resize(operands[0], size, how),
            Op::Resize { size, how, crop: true } => {
                resize(&proportioned(operands[0], size), size, how)
            }
            Op::Add => add(&operands),
            Op::Concat => concat(&operands),
            Op::Scale => map(operands[0], |c, x| x * f64::from(get("gamma").unwrap()[c])),
            Op::Standardize { invert } => map(operands[0], |c, x| {
                let at = |variable| f64::from(get(variable).unwrap()[c]);
                let deviation = at("variance").sqrt().max(1e-7);
                if invert { at("mean") + x * deviation } else { (x - at("mean")) / deviation }
            }),
            Op::Normalize { kind, epsilon, scale, center } => {
                let Value { shape, data } = operands[0];
                let values = naive::normalize(kind, epsilon, *shape, data);
                let of = |present: bool, variable, i: usize, default: f64| match present {
                    true => f64::from(get(variable).unwrap()[i % shape[3]]),
                    false => default,
                };
                let affine = |(i, x): (usize, &f64)| {
                    (x * of(scale, "gamma", i, 1.0) + of(center, "beta", i, 0.0)) as f32
                };
                Value { shape: *shape, data: values.iter().enumerate().map(affine).collect() }
            }
            Op::NormalizeOver { ref axes, epsilon, scale, center, .. } => {
                let array = |present: bool, variable| present.then(|| get(variable).unwrap());
                let affine = [array(scale, "gamma"), array(center, "beta")];
                normalize_over(operands[0], axes, epsilon, affine)
            }
            Op::Dot { axes, normalize, .. } => dot(operands[0], operands[1], axes, normalize),
            Op::Binary(op) => binary(op, operands[0], operands[1]),
            Op::UpSample { factor, how } => {
                let [_, h, w, _] = operands[0].shape;
                resize(operands[0], [h * factor[0], w * factor[1]], how)
            }
            Op::ConvTranspose { window, filters, bias } => {
                let bias = bias.then(|| get("bias").unwrap());
                transposed(operands[0], window, filters, get("kernel").unwrap(), bias)
            }
            Op::Permute { axes, .. } => {
                let [n, shape @ ..] = operands[0].shape;
                let [h, w, c] = axes.map(|axis| shape[axis]);
                picture_of([n, h, w, c], |[n, index @ ..]| {
                    let mut from = [n, 0, 0, 0];
                    axes.iter().zip(index).for_each(|(axis, i)| from[axis + 1] = i);
                    operands[0].at(from)
                })
            }
            _ => panic!("the reference lacks {:?}", node.op),
        };
        values.push(value);
    }
    values
}

fn conv(
    x: &Value,
    window: Window,
    groups: usize,
    channels_out: usize,
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Value {
    let [h, w] = naive::output_size(&window, x.shape[1], x.shape[2]);
    let sums = naive::conv(&naive::Conv {
        input: x.shape,
        x: &x.data,
        window,
        groups,
        channels_out,
        weights,
        bias,
    });
    Value {
        shape: [x.shape[0], h, w, channels_out],
        data: sums.iter().map(|s| s.value as f32).collect(),
    }
}

fn pool(x: &Value, kind: PoolKind, window: Window) -> Value {
    let [h, w] = naive::output_size(&window, x.shape[1], x.shape[2]);
    let sums = naive::pool(kind, x.shape, &x.data, &window);
    Value {
        shape: [x.shape[0], h, w, x.shape[3]],
        data: sums.iter().map(|s| s.value as f32).collect(),
    }
}

fn map(x: &Value, f: impl Fn(usize, f64) -> f64) -> Value {
    let c = x.shape[3];
    let data = x.data.iter().enumerate();
    Value { shape: x.shape, data: data.map(|(i, &x)| f(i % c, x.into()) as f32).collect() }
}

impl Value {
    fn at(&self, [n, y, x, c]: [usize; 4]) -> f64 {
        let [_, h, w, channels] = self.shape;
        f64::from(self.data[((n * h + y) * w + x) * channels + c])
    }
}

fn picture_of(shape: Shape, f: impl Fn([usize; 4]) -> f64) -> Value {
    let [n, h, w, c] = shape;
    let all =
        (0..n * h * w * c).map(|i| f([i / (h * w * c), i / (w * c) % h, i / c % w, i % c]) as f32);
    Value { shape, data: all.collect() }
}

fn crop(x: &Value, Border { top, bottom, left, right }: Border) -> Value {
    let [n, h, w, c] = x.shape;
    picture_of([n, h - top - bottom, w - left - right, c], |[n, y, xx, c]| {
        x.at([n, y + top, xx + left, c])
    })
}

/// The middle of a picture with the proportions of `size`.
fn proportioned(x: &Value, [th, tw]: [usize; 2]) -> Value {
    let [_, h, w, _] = x.shape;
    let (ch, cw) = ((w * th / tw).clamp(1, h), (h * tw / th).clamp(1, w));
    let (top, left) = ((h - ch) / 2, (w - cw) / 2);
    crop(x, Border { top, bottom: h - ch - top, left, right: w - cw - left })
}

/// By the interpolation's kernel over all pixels, normalized: what TensorFlow's tables and cases
/// come to.
fn resize(x: &Value, [th, tw]: [usize; 2], how: Interpolation) -> Value {
    let [n, h, w, c] = x.shape;
    let kernel = |d: f64| match how {
        Interpolation::Bilinear => (1.0 - d).max(0.0),
        Interpolation::Bicubic if d < 1.0 => 1.5 * d.powi(3) - 2.5 * d * d + 1.0,
        Interpolation::Bicubic if d < 2.0 => -0.5 * d.powi(3) + 2.5 * d * d - 4.0 * d + 2.0,
        _ => 0.0,
    };
    let weights = |i: usize, from: usize, to: usize| -> Vec<f64> {
        let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        // TensorFlow rounds the place between two pixels to 1024ths for cubic weights.
        let at = match how {
            Interpolation::Bicubic => (at * 1024.0).round() / 1024.0,
            // Beyond the outermost centres it takes these.
            _ => at.clamp(0.0, (from - 1) as f64),
        };
        let all: Vec<f64> = (0..from).map(|j| kernel((at - j as f64).abs())).collect();
        let sum: f64 = all.iter().sum();
        all.iter().map(|weight| weight / sum).collect()
    };
    picture_of([n, th, tw, c], |[n, y, xx, c]| {
        let (rows, columns) = (weights(y, h, th), weights(xx, w, tw));
        let mut sum = 0.0;
        for (y, a) in rows.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            for (xx, b) in columns.iter().enumerate().filter(|(_, b)| **b != 0.0) {
                sum += a * b * x.at([n, y, xx, c]);
            }
        }
        sum
    })
}

/// One picture, row, column or channel for all of the other operand's.
fn binary(op: BinaryOp, a: &Value, b: &Value) -> Value {
    let shape: Shape = std::array::from_fn(|axis| a.shape[axis].max(b.shape[axis]));
    let of = |value: &Value, index: [usize; 4]| {
        value.at(std::array::from_fn(|axis| if value.shape[axis] == 1 { 0 } else { index[axis] }))
    };
    picture_of(shape, |index| naive::binary(op, of(a, index), of(b, index)))
}

/// Each element by the mean and variance of all that differ from it along these axes alone.
fn normalize_over(
    x: &Value,
    axes: &[usize],
    epsilon: f64,
    [gamma, beta]: [Option<&[f32]>; 2],
) -> Value {
    let [_, sides @ ..] = x.shape;
    picture_of(x.shape, |index| {
        let mut alike = Vec::new();
        let mut place = 0;
        for i in 0..sides.iter().product() {
            let other = [i / sides[2] / sides[1], i / sides[2] % sides[1], i % sides[2]];
            if (0..3).all(|axis| axes.contains(&axis) || other[axis] == index[axis + 1]) {
                if other == index[1..] {
                    place = alike.len();
                }
                alike.push(x.at([index[0], other[0], other[1], other[2]]));
            }
        }
        let count = alike.len() as f64;
        let mean = alike.iter().sum::<f64>() / count;
        let variance = alike.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
        let of = |array: Option<&[f32]>, or: f64| array.map_or(or, |array| array[place].into());
        (x.at(index) - mean) / (variance + epsilon).sqrt() * of(gamma, 1.0) + of(beta, 0.0)
    })
}

fn dot(a: &Value, b: &Value, axes: [usize; 2], normalize: Option<f64>) -> Value {
    let [rows, columns] = [a.shape[4 - axes[0]], b.shape[4 - axes[1]]];
    picture_of([a.shape[0], 1, rows, columns], |[n, _, i, j]| {
        let line = |value: &Value, axis: usize, i: usize| -> Vec<f64> {
            let at = |k| if axis == 1 { [n, 0, k, i] } else { [n, 0, i, k] };
            let line: Vec<f64> = (0..value.shape[axis + 1]).map(|k| value.at(at(k))).collect();
            let length = line.iter().map(|v| v * v).sum::<f64>().sqrt();
            let by = normalize.map_or(1.0, |epsilon| length.max(epsilon));
            line.iter().map(|v| v / by).collect()
        };
        line(a, axes[0], i).iter().zip(line(b, axes[1], j)).map(|(a, b)| a * b).sum()
    })
}

fn transposed(
    x: &Value,
    window: TransposedWindow,
    channels_out: usize,
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Value {
    let [h, w] = [0, 1].map(|axis| {
        let more = match window.padding {
            TransposedPadding::Same => 0,
            _ => {
                let extent = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
                extent.saturating_sub(window.stride[axis])
            }
        };
        x.shape[1 + axis] * window.stride[axis] + more
    });
    let sums = naive::transposed_conv(&naive::TransposedConv {
        input: x.shape,
        x: &x.data,
        window,
        groups: 1,
        channels_out,
        weights,
        bias,
    });
    Value {
        shape: [x.shape[0], h, w, channels_out],
        data: sums.iter().map(|s| s.value as f32).collect(),
    }
}

fn softmax(x: &Value) -> Value {
    let mut data = Vec::new();
    for pixel in x.data.chunks(x.shape[3]) {
        // Shifted by the mean: the shift cancels, and values here are small.
        let mean = pixel.iter().map(|&v| f64::from(v)).sum::<f64>() / pixel.len() as f64;
        let exps: Vec<f64> = pixel.iter().map(|&v| (f64::from(v) - mean).exp()).collect();
        let sum: f64 = exps.iter().sum();
        data.extend(exps.iter().map(|e| (e / sum) as f32));
    }
    Value { shape: x.shape, data }
}

fn add(operands: &[&Value]) -> Value {
    let at = |i: usize| operands.iter().map(|v| f64::from(v.data[i])).sum::<f64>() as f32;
    Value { shape: operands[0].shape, data: (0..operands[0].data.len()).map(at).collect() }
}

fn concat(operands: &[&Value]) -> Value {
    let [n, h, w, _] = operands[0].shape;
    let mut data = Vec::new();
    for pixel in 0..n * h * w {
        for v in operands {
            let c = v.shape[3];
            data.extend_from_slice(&v.data[pixel * c..(pixel + 1) * c]);
        }
    }
    let channels = operands.iter().map(|v| v.shape[3]).sum();
    Value { shape: [n, h, w, channels], data }
}

// ---------------------------------------------------------------- building

/// Numbers in [−1, 1) from a seed.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn picture(shape: Shape, seed: u64) -> Value {
    let mut noise = noise(seed);
    let data = (0..shape.iter().product()).map(|_| noise()).collect();
    Value { shape, data }
}

/// A network under construction with random weights, and the channels of each node.
struct Builder {
    network: Network,
    weights: Weights,
    channels: Vec<usize>,
}

impl Builder {
    fn new(channels: usize) -> Self {
        Self {
            network: Network::new("test", "input", [None, None], channels),
            weights: Weights::default(),
            channels: vec![channels],
        }
    }

    fn input(&self) -> NodeId {
        self.network.find("input").unwrap()
    }

    fn tensor(&mut self, layer: &str, variable: &str, shape: &[usize]) {
        let mut noise = noise(self.channels.len() as u64 * 31 + variable.len() as u64);
        let len: usize = shape.iter().product();
        let fan_in = (len / shape.last().unwrap()).max(1) as f32;
        let value = |x: f32| match variable {
            "moving_variance" | "variance" => 1.1 + 0.9 * x,
            "gamma" => x.signum() * (1.0 + 0.5 * x),
            "bias" | "beta" | "moving_mean" | "mean" => 0.5 * x,
            _ => x * 1.5 / fan_in.sqrt(),
        };
        let data = (0..len).map(|_| value(noise())).collect();
        let shape = shape.to_vec();
        let tensor = Tensor { shape, data };
        self.weights.insert(layer, variable, tensor).unwrap();
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        let c = self.channels[inputs[0].index()];
        let (out, has_bias) = match op {
            Op::Conv { window, groups, filters, bias } => {
                let [kh, kw] = window.kernel;
                self.tensor(name, "kernel", &[kh, kw, c / groups, filters]);
                (filters, bias)
            }
            Op::Depthwise { window, multiplier, bias } => {
                let [kh, kw] = window.kernel;
                self.tensor(name, "depthwise_kernel", &[kh, kw, c, multiplier]);
                (c * multiplier, bias)
            }
            Op::Separable { window, multiplier, filters, bias } => {
                let [kh, kw] = window.kernel;
                self.tensor(name, "depthwise_kernel", &[kh, kw, c, multiplier]);
                let shape = [1, 1, c * multiplier, filters];
                self.tensor(name, "pointwise_kernel", &shape);
                (filters, bias)
            }
            Op::Dense { units, bias } => {
                self.tensor(name, "kernel", &[c, units]);
                (units, bias)
            }
            Op::BatchNorm { .. } => {
                for variable in ["gamma", "beta", "moving_mean", "moving_variance"] {
                    self.tensor(name, variable, &[c]);
                }
                (c, false)
            }
            Op::Scale => {
                self.tensor(name, "gamma", &[c]);
                (c, false)
            }
            Op::Standardize { .. } => {
                ["mean", "variance"].iter().for_each(|variable| self.tensor(name, variable, &[c]));
                (c, false)
            }
            Op::Normalize { .. } => {
                ["gamma", "beta"].iter().for_each(|variable| self.tensor(name, variable, &[c]));
                (c, false)
            }
            Op::NormalizeOver { ref extents, .. } => {
                ["gamma", "beta"].iter().for_each(|variable| self.tensor(name, variable, extents));
                (c, false)
            }
            Op::Dot { channels, .. } => (channels, false),
            Op::Binary(_) => {
                (inputs.iter().map(|id| self.channels[id.index()]).max().unwrap(), false)
            }
            Op::ConvTranspose { window, filters, bias } => {
                let [kh, kw] = window.kernel;
                self.tensor(name, "kernel", &[kh, kw, filters, c]);
                (filters, bias)
            }
            Op::Permute { channels, .. } => (channels, false),
            Op::Concat => (inputs.iter().map(|id| self.channels[id.index()]).sum(), false),
            Op::Flatten { features } => (features, false),
            Op::Reshape { shape, .. } => (shape[2], false),
            Op::PRelu { ref shape } => {
                self.tensor(name, "alpha", shape);
                (c, false)
            }
            _ => (c, false),
        };
        if has_bias {
            self.tensor(name, "bias", &[out]);
        }
        self.channels.push(out);
        self.network.push(name, op, inputs).unwrap()
    }
}

fn same(kernel: usize, stride: usize) -> Window {
    Window::new([kernel; 2]).stride([stride; 2]).padding(Padding::Same)
}

fn plain_conv(window: Window, filters: usize) -> Op {
    Op::Conv { window, groups: 1, filters, bias: false }
}

fn separable(filters: usize) -> Op {
    Op::Separable { window: same(3, 1), multiplier: 1, filters, bias: false }
}

const NORM: Op = Op::BatchNorm { epsilon: 1e-3, scale: true, center: true };
const GLOBAL_AVERAGE_POOL: Op = Op::GlobalPool { kind: PoolKind::Average, keep_dims: false };
const RELU: Op = Op::Activation(Activation::Relu);

/// Xception's structure with few channels and one middle block.
fn mini_xception() -> Builder {
    let mut b = Builder::new(3);
    let mut x = b.input();
    for (i, stride) in [2, 1].into_iter().enumerate() {
        let name = |part: &str| format!("block1_conv{}{part}", i + 1);
        let window = Window::new([3, 3]).stride([stride; 2]);
        x = b.push(&name(""), plain_conv(window, 4 + i), &[x]);
        x = b.push(&name("_bn"), NORM, &[x]);
        x = b.push(&name("_act"), RELU, &[x]);
    }
    for (block, widths) in
        [(2, [6, 6]), (3, [8, 8]), (4, [9, 9]), (5, [9, 9]), (13, [9, 10]), (14, [11, 12])]
    {
        x = mini_block(&mut b, block, widths, x);
    }
    x = b.push("avg_pool", GLOBAL_AVERAGE_POOL, &[x]);
    let dense = Op::Dense { units: 7, bias: true };
    x = b.push("predictions", dense, &[x]);
    b.push("softmax", Op::Softmax, &[x]);
    b
}

fn mini_block(b: &mut Builder, block: usize, widths: [usize; 2], input: NodeId) -> NodeId {
    let strided = matches!(block, 2..=4 | 13);
    let projection = strided.then(|| {
        let conv = plain_conv(same(1, 2), widths[1]);
        let x = b.push(&format!("block{block}_projection"), conv, &[input]);
        b.push(&format!("block{block}_projection_bn"), NORM, &[x])
    });
    let convs = if block == 5 { 3 } else { 2 };
    let mut x = input;
    for i in 0..convs {
        let name = |part: &str| format!("block{block}_sepconv{}{part}", i + 1);
        if block != 14 && (block != 2 || i > 0) {
            x = b.push(&name("_act"), RELU, &[x]);
        }
        x = b.push(&name(""), separable(widths[i.min(1)]), &[x]);
        x = b.push(&name("_bn"), NORM, &[x]);
        if block == 14 {
            x = b.push(&name("_act"), RELU, &[x]);
        }
    }
    if strided {
        x = b.push(&format!("block{block}_pool"), Op::MaxPool(same(3, 2)), &[x]);
    }
    match (projection, block) {
        (Some(projection), _) => b.push(&format!("block{block}_add"), Op::Add, &[x, projection]),
        (None, 5) => b.push("block5_add", Op::Add, &[x, input]),
        _ => x,
    }
}

// ---------------------------------------------------------------- comparing

fn plan(b: &Builder, input: Shape, outputs: &[&str]) -> Result<NetworkPlan> {
    plan_with(b, input, outputs, DepthFirst::default())
}

fn plan_with(
    b: &Builder,
    input: Shape,
    outputs: &[&str],
    depth_first: DepthFirst,
) -> Result<NetworkPlan> {
    let options = PlanOptions::default().outputs(outputs.iter().copied()).depth_first(depth_first);
    NetworkPlan::new(&b.network, &b.weights, input, &options)
}

/// Runs depth first in bands of so many multiply-adds, and demands the bits of `whole`.
fn check_depth_first(
    b: &Builder,
    x: &Value,
    outputs: &[&str],
    whole: &Session,
    multiply_adds: u64,
) {
    let depth_first = DepthFirst::default().bytes(0).multiply_adds(multiply_adds);
    let plan = plan_with(b, x.shape, outputs, depth_first).unwrap();
    assert_eq!(plan.multiply_adds(), whole.plan().multiply_adds());
    let what = format!("in bands of {multiply_adds}");
    check_bits(b, x, outputs, plan, whole, &what);
}

/// Runs a plan, and demands the bits of `expected`.
fn check_bits(
    b: &Builder,
    x: &Value,
    outputs: &[&str],
    plan: NetworkPlan,
    expected: &Session,
    what: &str,
) {
    let mut session = Session::new(plan).unwrap();
    // Twice: what the first run left must not matter.
    for _ in 0..2 {
        session.run(&x.data).unwrap();
        for &name in outputs.iter().chain([&&*b.network.node(b.network.output()).name]) {
            let [one, other] = [&session, expected].map(|s| s.node(name).unwrap().0);
            let same = one.iter().zip(other).all(|(a, b)| a.to_bits() == b.to_bits());
            let steps = steps(session.plan());
            assert!(same, "{name} {what}\n{:#?}\n{steps:#?}", b.network);
        }
    }
}

/// Plans with the weights of plans for another batch and another size have the bits of `own`.
fn check_resized(b: &Builder, x: &Value, outputs: &[&str], own: &Session) {
    let [n, h, w, c] = x.shape;
    for other in [[n + 1, h, w, c], [n, h + 1, w + 2, c]] {
        // A network may have layers for one size.
        if let Ok(plan) = plan(b, other, outputs) {
            let resized = plan.resized(x.shape).unwrap();
            assert_eq!(resized.weights_bytes(), own.plan().weights_bytes());
            check_bits(b, x, outputs, resized, own, &format!("resized from {other:?}"));
        }
    }
}

fn session(b: &Builder, input: Shape, outputs: &[&str]) -> Session {
    Session::new(plan(b, input, outputs).unwrap()).unwrap()
}

/// Whether `got` is `expected` within 1e-4 of its largest element.
fn compare(name: &str, got: (&[f32], Shape), expected: &Value) -> std::result::Result<(), String> {
    if got.1 != expected.shape || got.0.len() != expected.data.len() {
        return Err(format!("{name}: shape {:?}, not {:?}", got.1, expected.shape));
    }
    let largest = expected.data.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    for (i, (&g, &e)) in got.0.iter().zip(&expected.data).enumerate() {
        // Written so that a NaN fails.
        let close = (g - e).abs() <= 1e-4 * largest + 1e-6;
        if !close {
            return Err(format!(
                "{name}[{i}]: {g}, not {e} (largest {largest}, shape {:?})",
                got.1
            ));
        }
    }
    Ok(())
}

/// Runs with the nodes `outputs` reported and compares each of them and the output.
fn check(b: &Builder, x: &Value, outputs: &[&str]) -> std::result::Result<(), String> {
    let plan = plan_with(b, x.shape, outputs, DepthFirst::NEVER).unwrap();
    let mut session = Session::new(plan).unwrap();
    session.run(&x.data).unwrap();
    for multiply_adds in [1, 500, 5000] {
        check_depth_first(b, x, outputs, &session, multiply_adds);
    }
    check_resized(b, x, outputs, &session);
    let expected = reference(&b.network, &b.weights, x);
    let output = b.network.output();
    compare("output", (session.output(), session.output_shape()), &expected[output.index()])?;
    for &name in outputs.iter().chain([&&*b.network.node(output).name]) {
        let node = b.network.find(name).unwrap();
        compare(name, session.node(name).unwrap(), &expected[node.index()])?;
    }
    Ok(())
}

/// The nodes of each step, in order, joined by "+".
fn steps(plan: &NetworkPlan) -> Vec<String> {
    plan.steps().map(|s| s.nodes.join("+")).collect()
}

// ---------------------------------------------------------------- random networks

/// One node of a random network: what it is and what it takes, as far as that is possible.
type Gene = [u8; 7];

/// An operation on a tensor of `shape`, and its output's height and width.
fn random_op(gene: Gene, [_, h, w, c]: Shape) -> Option<(Op, [usize; 2])> {
    let [kind, _, _, p, q, r, s] = gene.map(usize::from);
    let bias = s % 2 == 0;
    let filters = 1 + r % 6;
    let window = Window::new([1 + p % 3, 1 + p / 3 % 3])
        .stride([1 + q % 2, 1 + q / 2 % 2])
        .dilation([1 + q / 4 % 2, 1 + q / 8 % 2])
        .padding(match p / 9 % 3 {
            0 => Padding::Valid,
            1 => Padding::Same,
            _ => Padding::Explicit {
                top: q / 16 % 2,
                bottom: q / 32 % 2,
                left: q / 64 % 2,
                right: q / 128 % 2,
            },
        });
    // Each pool window holds an input element, so that no maximum is −∞.
    let pool =
        Window::new(window.kernel.map(|k| k.max(2))).stride(window.stride).padding(window.padding);
    let groups = (1 + s / 2 % 3).min(c);
    let groups = if c % groups == 0 { groups } else { 1 };
    let activations = [
        Activation::Relu,
        Activation::Relu6,
        Activation::Clamp { lo: -0.4, hi: 0.7 },
        Activation::Elu { alpha: 0.8 },
        Activation::Silu,
        Activation::HardSwish,
        Activation::None,
    ];
    let op = match kind {
        0 => Op::Conv { window, groups, filters: filters.next_multiple_of(groups), bias },
        1 => Op::Depthwise { window, multiplier: 1 + s / 2 % 2, bias },
        2 | 3 => Op::Separable { window, multiplier: 1 + s / 2 % 2, filters, bias },
        4 => plain_conv(Window::new([1, 1]).stride(window.stride), filters),
        5..=7 => Op::BatchNorm { epsilon: 1e-3, scale: p % 2 == 0, center: q % 2 == 0 },
        8 => Op::Activation(activations[r % activations.len()]),
        9 => RELU,
        10 => Op::MaxPool(pool),
        11 => Op::AveragePool(pool),
        12 if r % 3 == 0 && h * w * c <= 64 => Op::Flatten { features: h * w * c },
        12 => Op::Identity,
        13 => Op::Softmax,
        14 => Op::GlobalPool {
            kind: if p % 2 == 0 { PoolKind::Average } else { PoolKind::Max },
            keep_dims: q % 2 == 0,
        },
        15 => Op::Dense { units: filters, bias },
        _ => plain_op(gene, [h, w, c])?,
    };
    let size = match &op {
        Op::Conv { window, .. }
        | Op::Depthwise { window, .. }
        | Op::Separable { window, .. }
        | Op::MaxPool(window)
        | Op::AveragePool(window) => window.output_size([h, w]).ok()?,
        Op::GlobalPool { .. } | Op::Flatten { .. } => [1, 1],
        Op::Reshape { shape: [h, w, _], .. } => [*h, *w],
        Op::ZeroPad(Border { top, bottom, left, right }) => [h + top + bottom, w + left + right],
        Op::Crop(Border { top, bottom, left, right }) => [h - top - bottom, w - left - right],
        Op::CenterCrop { size } | Op::Resize { size, .. } => *size,
        Op::UpSample { factor, .. } => [h * factor[0], w * factor[1]],
        Op::ConvTranspose { window, .. } => window.output_size([h, w]).ok()?,
        Op::Permute { axes, .. } => [0, 1].map(|axis| [h, w, c][axes[axis]]),
        _ => [h, w],
    };
    Some((op, size))
}

/// What has no kernel, and rescaling.
fn plain_op(gene: Gene, [h, w, c]: [usize; 3]) -> Option<Op> {
    let [kind, _, _, p, q, r, s] = gene.map(usize::from);
    let size = [1 + p % 6, 1 + q % 6];
    let constants = |seed: usize| -> Vec<f64> {
        let mut noise = noise(seed as u64);
        (0..if seed.is_multiple_of(2) { 1 } else { c }).map(|_| noise().into()).collect()
    };
    let border = |sides: [usize; 4]| {
        let [top, bottom, left, right] = sides;
        Border { top, bottom, left, right }
    };
    Some(match kind {
        16 | 17 => Op::Rescale { scale: constants(p), offset: constants(q) },
        18 => Op::Activation(match p % 7 {
            0 => Activation::Sigmoid,
            1 => Activation::HardSigmoid { slope: 0.2, offset: 0.5 },
            2 => Activation::Tanh,
            3 => Activation::Softplus,
            4 => Activation::LeakyRelu { alpha: 0.3 },
            5 => Activation::ThresholdedRelu { slope: 0.1, threshold: 0.0, max: 0.4 },
            _ => Activation::Gelu,
        }),
        19 => Op::PRelu {
            shape: match p % 3 {
                0 => vec![c],
                1 => vec![1, w, c],
                _ => vec![h, w, 1],
            },
        },
        20 => Op::ZeroPad(border([p, q, r, s].map(|side| side % 3))),
        21 if h > 2 && w > 2 => Op::Crop(border([p, q, r, s].map(|side| side % 2))),
        22 => Op::CenterCrop { size },
        23 => {
            let how = if r % 2 == 0 { Interpolation::Bilinear } else { Interpolation::Bicubic };
            Op::Resize { size, how, crop: s % 2 == 0 }
        }
        24 => Op::Reshape { shape: [w, h, c], sequence: false },
        29 => Op::Normalize {
            kind: match p % 4 {
                0 => NormalizationKind::Layer,
                1 => NormalizationKind::Rms,
                2 => NormalizationKind::Unit,
                _ => NormalizationKind::Group { groups: if c % 2 == 0 { 2 } else { 1 } },
            },
            epsilon: 0.1,
            scale: q % 2 == 0,
            center: r % 2 == 0,
        },
        30 if p % 3 == 0 => Op::Scale,
        30 => Op::Standardize { invert: p % 3 == 1 },
        31 if h * w <= 64 => {
            let how = if r % 2 == 0 { Interpolation::Bilinear } else { Interpolation::Bicubic };
            Op::UpSample { factor: [1 + p % 3, 1 + q % 2], how }
        }
        32 | 33 if h * w <= 64 => {
            let padding =
                if s / 2 % 2 == 0 { TransposedPadding::Same } else { TransposedPadding::Valid };
            let stride = [1 + q % 3, 1 + q / 3 % 2];
            let window = TransposedWindow::new([1 + p % 4, 1 + p / 4 % 4])
                .stride(stride)
                .dilation(stride.map(|stride| if stride == 1 { 1 + q / 6 % 3 } else { 1 }))
                .padding(padding);
            Op::ConvTranspose { window, filters: 1 + r % 3, bias: s % 2 == 0 }
        }
        34 => {
            let axes = [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][p % 5];
            Op::Permute { axes, channels: [h, w, c][axes[2]] }
        }
        37 => {
            let all = [&[0, 1, 2][..], &[0, 1], &[1, 2], &[0, 2], &[0], &[1], &[2]];
            let axes = all[p % all.len()].to_vec();
            let extents = axes.iter().map(|&axis| [h, w, c][axis]).collect();
            let (scale, center) = (q % 2 == 0, r % 2 == 0);
            Op::NormalizeOver { axes, extents, epsilon: 0.1, scale, center }
        }
        _ => return None,
    })
}

fn random_network(input: Shape, genes: &[Gene], output: u8) -> Builder {
    let mut b = Builder::new(input[3]);
    let mut ids = vec![b.input()];
    let mut shapes = vec![input];
    for &gene in genes {
        // Mostly the latest node, else any.
        let pick = |g: u8, of: &[usize]| {
            of[of.len() - 1 - (usize::from(g / 2) * usize::from(g % 2)) % of.len()]
        };
        let all: Vec<usize> = (0..ids.len()).collect();
        let a = pick(gene[1], &all);
        let alike = |sizes: usize| -> Vec<usize> {
            (all.iter().copied()).filter(|&i| shapes[i][..sizes] == shapes[a][..sizes]).collect()
        };
        let others = |of: &[usize]| {
            let mut operands = vec![a, pick(gene[2].rotate_left(3), of)];
            if gene[3] % 3 == 0 {
                operands.push(pick(gene[4], of));
            }
            operands
        };
        let (op, operands, [h, w]) = match gene[0] % 39 {
            38 => {
                let fits = |i: &usize| {
                    let [n, h, w, c] = shapes[*i];
                    [n, h] == [shapes[a][0], 1] && w.max(c) <= 32
                };
                let some: Vec<usize> = all.iter().copied().filter(fits).collect();
                let axes = [[1, 1], [1, 2], [2, 1], [2, 2]][usize::from(gene[3]) % 4];
                if !some.contains(&a) {
                    continue;
                }
                let b = pick(gene[2].rotate_left(3), &some);
                if shapes[a][axes[0] + 1] != shapes[b][axes[1] + 1] {
                    continue;
                }
                let (rows, channels) = (shapes[a][4 - axes[0]], shapes[b][4 - axes[1]]);
                let normalize = (gene[4] % 2 == 0).then_some(1e-3);
                (Op::Dot { axes, channels, normalize }, vec![a, b], [1, rows])
            }
            35 | 36 => {
                let fits = |i: &usize| {
                    let pairs = shapes[*i].iter().zip(&shapes[a]);
                    pairs.clone().all(|(b, a)| a == b || *a == 1 || *b == 1)
                        && pairs.map(|(b, a)| a.max(b)).product::<usize>() <= 2048
                };
                let some: Vec<usize> = all.iter().copied().filter(fits).collect();
                if some.is_empty() {
                    continue;
                }
                let ops = [
                    BinaryOp::Add,
                    BinaryOp::Subtract,
                    BinaryOp::Multiply,
                    BinaryOp::Maximum,
                    BinaryOp::Minimum,
                ];
                let b = pick(gene[2].rotate_left(3), &some);
                let size = [1, 2].map(|axis| shapes[a][axis].max(shapes[b][axis]));
                (Op::Binary(ops[usize::from(gene[3]) % 5]), vec![a, b], size)
            }
            25 | 26 => (Op::Add, others(&alike(4)), [shapes[a][1], shapes[a][2]]),
            27 | 28 => {
                let operands = others(&alike(3));
                if operands.iter().map(|&i| shapes[i][3]).sum::<usize>() > 16 {
                    continue;
                }
                (Op::Concat, operands, [shapes[a][1], shapes[a][2]])
            }
            kind => {
                let mut gene = gene;
                gene[0] = kind;
                match random_op(gene, shapes[a]) {
                    Some((op, size)) => (op, vec![a], size),
                    None => continue,
                }
            }
        };
        let operands: Vec<NodeId> = operands.into_iter().map(|i| ids[i]).collect();
        ids.push(b.push(&format!("n{}", ids.len()), op, &operands));
        shapes.push([input[0], h, w, *b.channels.last().unwrap()]);
    }
    // Mostly the last node, else any.
    let output = match usize::from(output) {
        g if g % 3 > 0 => ids.len() - 1,
        g => g / 3 % ids.len(),
    };
    b.network.set_output(ids[output]).unwrap();
    b
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(common::scaled(4000)))]

    #[test]
    fn random_networks_agree_with_the_reference(
        (n, h, w, c) in (1_usize..=3, 1_usize..=8, 1_usize..=8, 1_usize..=6),
        genes in prop::collection::vec(any::<Gene>(), 0..14),
        output in any::<u8>(),
        // As often as not nothing is asked for: that is where most is fused.
        asked in prop_oneof![Just(0_u16), any::<u16>(), Just(u16::MAX)],
        seed in any::<u64>(),
    ) {
        let b = random_network([n, h, w, c], &genes, output);
        let names: Vec<&str> = (b.network.nodes().iter().enumerate())
            .filter(|(i, _)| asked >> i & 1 == 1)
            .map(|(_, node)| &*node.name)
            .collect();
        let x = picture([n, h, w, c], seed);
        if let Err(message) = check(&b, &x, &names) {
            let steps = steps(&plan(&b, x.shape, &names).unwrap());
            prop_assert!(false, "{message}\n{:#?}\n{steps:#?}", b.network);
        }
    }
}

#[test]
fn another_run_and_another_thread_count_give_the_same_bits() {
    for seed in 0..40 {
        let mut noise = noise(seed + 1);
        let mut byte = || (noise() * 128.0) as i8 as u8;
        let genes: Vec<Gene> = (0..12).map(|_| std::array::from_fn(|_| byte())).collect();
        let shape = [2, 6, 5, 3];
        let b = random_network(shape, &genes, 1);
        let (x, other) = (picture(shape, 1), picture(shape, 2));
        let plan = Arc::new(plan(&b, shape, &[]).unwrap());
        let bits = |s: &Session| s.output().iter().map(|v| v.to_bits()).collect::<Vec<_>>();

        let mut first = Session::new(plan.clone()).unwrap();
        first.run(&x.data).unwrap();
        let expected = bits(&first);
        first.run(&other.data).unwrap();
        first.run(&x.data).unwrap();
        assert_eq!(bits(&first), expected, "{:#?}", b.network);

        let mut second = Session::with_threads(plan, 1).unwrap();
        second.run(&x.data).unwrap();
        assert_eq!(bits(&second), expected, "{:#?}", b.network);
    }
}

// ---------------------------------------------------------------- depth first

/// Compares, after a check that so many steps take turns.
fn check_turns(b: &Builder, shape: Shape, expected: usize) {
    let depth_first = DepthFirst::default().bytes(0).multiply_adds(1);
    let plan = plan_with(b, shape, &[], depth_first).unwrap();
    let turning = plan.turns(1);
    assert_eq!(turning.iter().filter(|&&turns| turns > 0).count(), expected, "{turning:?}");
    check(b, &picture(shape, 3), &[]).unwrap();
}

#[test]
fn a_residual_waits_until_three_windows_have_passed() {
    let mut b = Builder::new(3);
    let x = b.input();
    let shortcut = b.push("shortcut", separable(4), &[x]);
    let mut x = shortcut;
    for name in ["a", "b", "c"] {
        x = b.push(name, separable(4), &[x]);
    }
    let x = b.push("add", Op::Add, &[x, shortcut]);
    b.push("pool", Op::MaxPool(same(3, 2)), &[x]);
    check_turns(&b, [2, 41, 3, 3], 5);
}

#[test]
fn a_concatenation_is_complete_before_it_is_read() {
    let mut b = Builder::new(3);
    let x = b.input();
    let stem = b.push("stem", separable(6), &[x]);
    let [left, right] = ["left", "right"].map(|name| b.push(name, separable(2), &[stem]));
    let x = b.push("concat", Op::Concat, &[left, right]);
    let x = b.push("after", separable(6), &[x]);
    b.push("pool", Op::MaxPool(same(3, 2)), &[x]);
    // Those before it, those behind it.
    check_turns(&b, [1, 41, 3, 3], 5);
}

#[test]
fn what_others_read_is_whole() {
    let mut b = Builder::new(3);
    let x = b.input();
    let stem = b.push("stem", separable(8), &[x]);
    let x = b.push("wide", separable(8), &[stem]);
    let x = b.push("narrow", Op::MaxPool(same(3, 2)), &[x]);
    let mean = b.push("mean", GLOBAL_AVERAGE_POOL, &[stem]);
    let other = b.push("other mean", GLOBAL_AVERAGE_POOL, &[x]);
    b.push("add", Op::Add, &[mean, other]);
    check_turns(&b, [2, 41, 3, 3], 2);
}

/// Blocks of separable layers at a size where one thread makes several bands of rows.
fn blocks_of_several_bands() -> Builder {
    let mut b = Builder::new(3);
    let mut x = b.input();
    for name in ["a", "b", "c", "d"] {
        x = b.push(name, separable(48), &[x]);
    }
    b.push("pool", Op::MaxPool(same(3, 2)), &[x]);
    b
}

#[test]
fn sessions_of_one_plan_choose_bands_by_their_threads() {
    let b = blocks_of_several_bands();
    for pictures in [1, 2] {
        let x = picture([pictures, 160, 160, 3], 5);
        let depth_first = DepthFirst::default().bytes(0);
        let plan = Arc::new(plan_with(&b, x.shape, &[], depth_first).unwrap());
        let [one, two] = [1, 2].map(|threads| plan.turns(threads));
        assert!(one.iter().sum::<usize>() > two.iter().sum(), "{one:?} {two:?}");
        assert!(plan.arena_bytes(1) < plan.arena_bytes(2));
        // So many threads that no band has enough work: a picture has one turn, or none.
        assert!(plan.turns(1000).iter().all(|&turns| turns < pictures));

        let mut expected: Option<Vec<u32>> = None;
        for threads in [1, 2, 4, 7, 1000] {
            let mut session = Session::with_threads(Arc::clone(&plan), threads).unwrap();
            session.run(&x.data).unwrap();
            let bits: Vec<u32> = session.output().iter().map(|y| y.to_bits()).collect();
            assert_eq!(expected.get_or_insert_with(|| bits.clone()), &bits, "{threads} threads");
        }
    }
}

#[test]
fn a_plan_does_not_depend_on_the_pool_it_was_made_in() {
    let b = blocks_of_several_bands();
    let x = picture([1, 160, 160, 3], 5);
    let depth_first = DepthFirst::default().bytes(0);
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let plans = [1, 4]
        .map(|threads| pool(threads).install(|| plan_with(&b, x.shape, &[], depth_first).unwrap()));
    let [one, four] = plans;
    for threads in [1, 4] {
        assert_eq!(one.turns(threads), four.turns(threads));
        assert_eq!(one.arena_bytes(threads), four.arena_bytes(threads));
    }
    let [one, four] = [one, four].map(|plan| {
        pool(4).install(|| {
            let mut session = Session::new(plan).unwrap();
            session.run(&x.data).unwrap();
            session.output().to_vec()
        })
    });
    assert!(one.iter().zip(&four).all(|(a, b)| a.to_bits() == b.to_bits()));
}

// ---------------------------------------------------------------- Xception's structure

#[test]
fn mini_xception_agrees_with_the_reference() {
    let b = mini_xception();
    let all: Vec<&str> = b.network.nodes().iter().map(|n| &*n.name).collect();
    // Odd and even feature maps, and not square: SAME at stride 2 pads each differently.
    for shape in [[2, 75, 71, 3], [1, 64, 83, 3]] {
        let x = picture(shape, 7);
        check(&b, &x, &[]).unwrap();
        check(&b, &x, &all).unwrap();
        check(&b, &x, &["block2_pool", "block5_sepconv2_act", "block13_add"]).unwrap();
    }
}

#[test]
fn mini_xception_becomes_one_step_for_each_kernel() {
    let b = mini_xception();
    let plan = plan(&b, [1, 71, 71, 3], &[]).unwrap();
    let strided = |block: usize, first: &str| {
        [
            format!("block{block}_projection+block{block}_projection_bn"),
            format!(
                "{first}block{block}_sepconv1+block{block}_sepconv1_bn+block{block}_sepconv2_act"
            ),
            format!("block{block}_sepconv2+block{block}_sepconv2_bn"),
            format!("block{block}_pool+block{block}_add"),
        ]
    };
    let mut expected: Vec<String> = vec![
        "block1_conv1+block1_conv1_bn+block1_conv1_act".into(),
        "block1_conv2+block1_conv2_bn+block1_conv2_act".into(),
    ];
    expected.extend(strided(2, ""));
    expected.extend(strided(3, "block3_sepconv1_act+"));
    expected.extend(strided(4, "block4_sepconv1_act+"));
    expected.extend(
        [
            "block5_sepconv1_act+block5_sepconv1+block5_sepconv1_bn+block5_sepconv2_act",
            "block5_sepconv2+block5_sepconv2_bn+block5_sepconv3_act",
            "block5_sepconv3+block5_sepconv3_bn+block5_add",
        ]
        .map(String::from),
    );
    expected.extend(strided(13, "block13_sepconv1_act+"));
    expected.extend(
        [
            "block14_sepconv1+block14_sepconv1_bn+block14_sepconv1_act",
            "block14_sepconv2+block14_sepconv2_bn+block14_sepconv2_act",
            "avg_pool",
            "predictions",
            "softmax",
        ]
        .map(String::from),
    );
    assert_eq!(steps(&plan), expected);

    let elements: usize = b.weights.iter().map(|(_, _, t)| t.data.len()).sum();
    assert_eq!(plan.parameters(), elements);
    let stored: usize = plan.steps().map(|s| s.output.iter().product::<usize>()).sum();
    assert!(plan.arena_bytes(1) < stored * 4 / 2, "{}", plan.arena_bytes(1));
    // 35² × 3·9·4 + 33² × 4·9·5 of the stem, and so on; pools and batch norms count nothing.
    let adds = |name: &str| plan.steps().find(|s| s.name == name).unwrap().multiply_adds;
    assert_eq!(adds("block1_conv1_act"), 35 * 35 * 27 * 4);
    assert_eq!(adds("block2_projection_bn"), 17 * 17 * 5 * 6);
    assert_eq!(adds("block2_sepconv2_act"), 33 * 33 * (9 * 5 + 5 * 6));
    assert_eq!(adds("block2_add"), 0);
    assert_eq!(adds("predictions"), 12 * 7);
    let sum: u64 = plan.steps().map(|s| s.multiply_adds).sum();
    assert_eq!(plan.multiply_adds(), sum);
}

#[test]
fn asking_for_a_node_does_not_change_the_output() {
    let b = mini_xception();
    let x = picture([1, 73, 74, 3], 3);
    let expected = {
        let mut s = session(&b, x.shape, &[]);
        s.run(&x.data).unwrap();
        Value { shape: s.output_shape(), data: s.output().into() }
    };
    for node in b.network.nodes() {
        let mut s = session(&b, x.shape, &[&node.name]);
        s.run(&x.data).unwrap();
        compare(&node.name, (s.output(), s.output_shape()), &expected).unwrap();
    }
}

// ---------------------------------------------------------------- traps

fn set(b: &mut Builder, layer: &str, variable: &str, value: f32) {
    let mut tensor = b.weights.find(layer, variable).unwrap().clone();
    tensor.data.fill(value);
    b.weights.insert(layer, variable, tensor).unwrap();
}

fn run(b: &Builder, x: &Value) -> Vec<f32> {
    let mut session = session(b, x.shape, &[]);
    session.run(&x.data).unwrap();
    session.output().into()
}

#[test]
fn batch_norm_uses_the_epsilon_of_its_node() {
    // Folded, and on its own (the input is no layer to fold it into).
    for (folded, epsilon) in [(true, 1e-3), (false, 1e-3), (true, 0.25), (false, 0.25)] {
        let mut b = Builder::new(1);
        let mut x = b.input();
        if folded {
            x = b.push("conv", plain_conv(Window::new([1, 1]), 1), &[x]);
            set(&mut b, "conv", "kernel", 1.0);
        }
        b.push("bn", Op::BatchNorm { epsilon, scale: true, center: true }, &[x]);
        for (variable, value) in
            [("gamma", 1.0), ("beta", 0.25), ("moving_mean", 0.5), ("moving_variance", 0.0)]
        {
            set(&mut b, "bn", variable, value);
        }
        let x = picture([1, 2, 2, 1], 1);
        for (got, x) in run(&b, &x).iter().zip(&x.data) {
            let expected = (f64::from(*x) - 0.5) / epsilon.sqrt() + 0.25;
            assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} {expected}");
        }
    }
}

#[test]
fn a_padded_1x1_convolution_is_no_pointwise_one() {
    let mut b = Builder::new(3);
    let x = b.input();
    let padding = Padding::Explicit { top: 1, bottom: 0, left: 2, right: 1 };
    let window = Window::new([1, 1]).padding(padding);
    b.push("conv", Op::Conv { window, groups: 1, filters: 5, bias: true }, &[x]);
    check(&b, &picture([2, 4, 3, 3], 7), &[]).unwrap();
}

/// As in Keras's ConvNeXt.
#[test]
fn a_convolution_of_one_channel_a_group_is_depthwise() {
    for filters in [4, 12] {
        let mut b = Builder::new(4);
        let op = Op::Conv { window: same(7, 1), groups: 4, filters, bias: true };
        let x = b.push("conv", op, &[b.input()]);
        b.push("norm", NORM, &[x]);
        let x = picture([2, 9, 8, 4], 3);
        check(&b, &x, &[]).unwrap();
        let plan = plan_with(&b, [2, 9, 8, 4], &[], DepthFirst::NEVER).unwrap();
        let step = plan.steps().next().unwrap();
        assert!(step.kernel.starts_with("dw_"), "{}", step.kernel);
        assert_eq!(step.multiply_adds, 2 * 9 * 8 * 49 * filters as u64);
    }
}

#[test]
fn max_pool_padding_never_wins() {
    let mut b = Builder::new(2);
    let x = b.push("sep", separable(3), &[b.input()]);
    let x = b.push("bn", NORM, &[x]);
    set(&mut b, "bn", "beta", -50.0);
    b.push("pool", Op::MaxPool(same(3, 2)), &[x]);
    let x = picture([1, 6, 7, 2], 1);
    check(&b, &x, &[]).unwrap();
    assert!(run(&b, &x).iter().all(|&v| v < -1.0));
}

/// x → ReLU → separable → + x, and a projection of x.
fn pre_activation_block(activation: Activation) -> Builder {
    let mut b = Builder::new(2);
    let stem = b.push("stem", plain_conv(same(3, 1), 4), &[b.input()]);
    let act = b.push("act", Op::Activation(activation), &[stem]);
    let sep = b.push("sep", separable(4), &[act]);
    let projection = b.push("projection", plain_conv(Window::new([1, 1]), 4), &[stem]);
    let sum = b.push("sum", Op::Add, &[sep, stem]);
    b.push("add", Op::Add, &[sum, projection]);
    b
}

#[test]
fn residual_and_projection_take_the_tensor_before_the_activation() {
    let x = picture([2, 5, 4, 2], 5);
    let mut b = pre_activation_block(Activation::Relu);
    check(&b, &x, &[]).unwrap();
    check(&b, &x, &["stem", "act"]).unwrap();

    set(&mut b, "sep", "pointwise_kernel", 0.0);
    set(&mut b, "projection", "kernel", 0.0);
    set(&mut b, "stem", "kernel", -1.0);
    let ones = Value { shape: [1, 1, 1, 2], data: vec![1.0; 2] };
    assert_eq!(run(&b, &ones), [-2.0; 4], "the stem's output is negative");
}

#[test]
fn only_a_clamp_is_applied_at_each_tap() {
    let shape = [1, 5, 4, 2];
    let relu = plan(&pre_activation_block(Activation::Relu), shape, &[]).unwrap();
    assert!(steps(&relu).contains(&"act+sep+sum".into()), "{relu:?}");
    let silu = plan(&pre_activation_block(Activation::Silu), shape, &[]).unwrap();
    assert!(steps(&silu).contains(&"act".into()), "{silu:?}");
}

#[test]
fn block_2_has_no_leading_activation() {
    let mut b = Builder::new(1);
    let x = b.push("sep", separable(1), &[b.input()]);
    set(&mut b, "sep", "depthwise_kernel", 1.0);
    set(&mut b, "sep", "pointwise_kernel", 1.0);
    b.push("bn", NORM, &[x]);
    for (variable, value) in [("gamma", 1.0), ("beta", 0.0), ("moving_mean", 0.0)] {
        set(&mut b, "bn", variable, value);
    }
    let minus = Value { shape: [1, 1, 1, 1], data: vec![-1.0] };
    assert!(run(&b, &minus)[0] < 0.0);
}

// ---------------------------------------------------------------- graphs of other shapes

#[test]
fn concatenated_operands_are_written_in_place_where_nobody_else_needs_them() {
    let mut b = Builder::new(3);
    let x = b.input();
    let left = b.push("left", plain_conv(same(3, 1), 2), &[x]);
    let right = b.push("right", separable(4), &[x]);
    let inner = b.push("inner", Op::Concat, &[left, right]);
    let pool = b.push("pool", Op::MaxPool(same(3, 1)), &[x]);
    let outer = b.push("outer", Op::Concat, &[pool, inner]);
    b.push("act", Op::Activation(Activation::Silu), &[outer]);

    let x = picture([2, 4, 5, 3], 9);
    check(&b, &x, &[]).unwrap();
    let fused = steps(&plan(&b, x.shape, &[]).unwrap());
    assert_eq!(fused, ["left", "right", "pool", "act"]);

    check(&b, &x, &["right", "inner"]).unwrap();
    let copied = steps(&plan(&b, x.shape, &["right", "inner"]).unwrap());
    assert_eq!(copied, ["left", "right", "inner", "pool", "outer", "act"]);
}

#[test]
fn dense_blocks_copy_what_later_layers_also_read() {
    let mut b = Builder::new(2);
    let mut x = b.input();
    for i in 0..3 {
        let y = b.push(&format!("bn{i}"), NORM, &[x]);
        let y = b.push(&format!("act{i}"), RELU, &[y]);
        let y = b.push(&format!("conv{i}"), plain_conv(same(3, 1), 2), &[y]);
        x = b.push(&format!("concat{i}"), Op::Concat, &[x, y]);
    }
    check(&b, &picture([2, 3, 4, 2], 1), &[]).unwrap();
    check(&b, &picture([1, 1, 1, 2], 1), &["concat1", "act2"]).unwrap();
}

#[test]
fn input_and_aliases_can_be_reported() {
    let mut b = Builder::new(2);
    let x = b.push("dropout", Op::Identity, &[b.input()]);
    let twice = b.push("twice", Op::Add, &[x, x]);
    let more = b.push("more", Op::Add, &[twice, x, twice, b.input()]);
    let linear = b.push("linear", Op::Activation(Activation::None), &[more]);
    b.push("both", Op::Concat, &[linear, linear]);
    let x = picture([1, 2, 3, 2], 4);
    check(&b, &x, &[]).unwrap();
    check(&b, &x, &["input", "dropout", "linear", "more", "linear"]).unwrap();
    b.network.set_output(b.input()).unwrap();
    check(&b, &x, &[]).unwrap();
    check(&b, &x, &["dropout", "twice"]).unwrap();
}

/// MobileNet's block: one kernel, in which the tensor in the middle never reaches memory, and the
/// same bits as by two.
#[test]
fn a_pointwise_layer_behind_a_depthwise_one_is_one_step() {
    let relu6 = Op::Activation(Activation::Relu6);
    let depthwise = |multiplier| Op::Depthwise { window: same(3, 2), multiplier, bias: true };
    for (multiplier, middle) in
        [(1, relu6.clone()), (2, RELU), (1, Op::Activation(Activation::Silu))]
    {
        let mut b = Builder::new(3);
        let x = b.push("in_act", RELU, &[b.input()]);
        let x = b.push("dw", depthwise(multiplier), &[x]);
        let x = b.push("dw_bn", NORM, &[x]);
        let x = b.push("dw_act", middle, &[x]);
        let x = b.push("pw", plain_conv(Window::new([1, 1]), 5), &[x]);
        let x = b.push("pw_bn", NORM, &[x]);
        let y = b.push("pw_act", relu6.clone(), &[x]);
        // Not behind a pointwise layer that has a stride, nor where others see the tensor in the
        // middle.
        let z = b.push("dw_2", depthwise(1), &[y]);
        b.push("pw_2", plain_conv(Window::new([1, 1]).stride([2, 2]), 4), &[z]);
        let x = picture([2, 21, 18, 3], 5);
        check(&b, &x, &[]).unwrap();
        let fused = plan(&b, x.shape, &[]).unwrap();
        assert_eq!(steps(&fused), ["in_act+dw+dw_bn+dw_act+pw+pw_bn+pw_act", "dw_2", "pw_2"]);
        assert_eq!(fused.multiply_adds(), plan(&b, x.shape, &["dw_act"]).unwrap().multiply_adds());
        check(&b, &x, &["dw_act"]).unwrap();
        let seen = plan(&b, x.shape, &["dw_act"]).unwrap();
        assert_eq!(steps(&seen), ["in_act+dw+dw_bn+dw_act", "pw+pw_bn+pw_act", "dw_2", "pw_2"]);
        let [one, two] = [fused, seen].map(|plan| {
            let mut session = Session::new(plan).unwrap();
            session.run(&x.data).unwrap();
            session.output().to_vec()
        });
        common::assert_same_bits("fused and not", &one, &two);
    }
}

/// Squeeze and excitation: the layer behind multiplies as it loads, with the same bits as a product
/// that is stored.
#[test]
fn a_product_with_factors_is_left_to_the_layer_behind() {
    let one = Window::new([1, 1]);
    for swapped in [false, true] {
        let mut b = Builder::new(3);
        let x = b.push("conv", plain_conv(same(3, 1), 6), &[b.input()]);
        let pool = Op::GlobalPool { kind: PoolKind::Average, keep_dims: true };
        let gate = b.push("pool", pool, &[x]);
        let gate = b.push("squeeze", plain_conv(one, 2), &[gate]);
        let gate = b.push("excite", plain_conv(one, 6), &[gate]);
        let gate = b.push("gate", Op::Activation(Activation::Sigmoid), &[gate]);
        let operands = if swapped { [gate, x] } else { [x, gate] };
        let x = b.push("product", Op::Binary(BinaryOp::Multiply), &operands);
        b.push("pw", plain_conv(one, 5), &[x]);
        let x = picture([2, 9, 8, 3], 7);
        check(&b, &x, &[]).unwrap();
        let fused = plan(&b, x.shape, &[]).unwrap();
        assert_eq!(steps(&fused).last().unwrap(), "product+pw");
        check(&b, &x, &["product"]).unwrap();
        let seen = plan(&b, x.shape, &["product"]).unwrap();
        assert_eq!(steps(&seen).last().unwrap(), "pw");
        let [one, two] = [fused, seen].map(|plan| {
            let mut session = Session::new(plan).unwrap();
            session.run(&x.data).unwrap();
            session.output().to_vec()
        });
        common::assert_same_bits("fused and not", &one, &two);
    }
}

#[test]
fn only_what_is_needed_is_planned() {
    let mut b = Builder::new(2);
    let stem = b.push("stem", separable(3), &[b.input()]);
    b.push("huge", Op::MaxPool(Window::new([99, 99])), &[stem]);
    b.network.set_output(stem).unwrap();
    let plan = plan(&b, [1, 4, 4, 2], &[]).unwrap();
    assert_eq!(steps(&plan), ["stem"]);
}

#[test]
fn batch_norms_in_a_row_are_folded_as_one() {
    let mut b = Builder::new(3);
    let conv = Op::Depthwise { window: same(3, 1), multiplier: 2, bias: true };
    let x = b.push("conv", conv, &[b.input()]);
    let x = b.push("bn1", NORM, &[x]);
    b.push("bn2", NORM, &[x]);
    let x = picture([1, 4, 4, 3], 2);
    check(&b, &x, &[]).unwrap();
    assert_eq!(steps(&plan(&b, x.shape, &[]).unwrap()), ["conv+bn1+bn2"]);
    check(&b, &x, &["bn1"]).unwrap();
    let blocked = plan(&b, x.shape, &["bn1"]).unwrap();
    assert_eq!(steps(&blocked), ["conv+bn1", "bn2"]);
}

/// Folded into the weights of a step with a residual it would leave the residual as it was.
#[test]
fn a_batch_norm_behind_a_sum_is_a_step_of_its_own() {
    let mut b = Builder::new(3);
    let stem = b.push("stem", plain_conv(same(3, 1), 4), &[b.input()]);
    let conv = b.push("conv", plain_conv(same(3, 1), 4), &[stem]);
    let sum = b.push("sum", Op::Add, &[stem, conv]);
    b.push("bn", NORM, &[sum]);
    let x = picture([1, 5, 4, 3], 3);
    check(&b, &x, &[]).unwrap();
    assert_eq!(steps(&plan(&b, x.shape, &[]).unwrap()), ["stem", "conv+sum", "bn"]);
}

#[test]
fn softmax_survives_large_logits_and_shows_nan() {
    let mut b = Builder::new(3);
    b.push("softmax", Op::Softmax, &[b.input()]);
    let x = Value {
        shape: [1, 2, 2, 3],
        data: [
            [1e30, 0.0, -1e30],
            [700.0, 700.0, 0.0],
            [-2000.0, -9000.0, -2000.0],
            [f32::NAN, 0.0, 1.0],
        ]
        .concat(),
    };
    let y = run(&b, &x);
    assert_eq!(y[..9], [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.5, 0.0, 0.5]);
    assert!(y[9..].iter().all(|v| v.is_nan()));
}

// ---------------------------------------------------------------- refusals

fn refusal(b: &Builder, input: Shape) -> String {
    plan(b, input, &[]).unwrap_err().to_string()
}

#[test]
fn operands_that_do_not_fit_name_the_node() {
    let mut b = Builder::new(2);
    let wide = b.push("wide", plain_conv(same(3, 1), 3), &[b.input()]);
    b.push("sum", Op::Add, &[b.input(), wide]);
    let message = refusal(&b, [1, 4, 4, 2]);
    assert!(message.contains("\"sum\"") && message.contains("[1, 4, 4, 3]"), "{message}");

    let mut b = Builder::new(2);
    let small = b.push("small", Op::MaxPool(same(3, 2)), &[b.input()]);
    b.push("cat", Op::Concat, &[b.input(), small]);
    let message = refusal(&b, [1, 4, 4, 2]);
    assert!(message.contains("\"cat\"") && message.contains("[1, 2, 2]"), "{message}");

    let mut b = Builder::new(2);
    let units = 1;
    b.push("fc", Op::Dense { units, bias: false }, &[b.input()]);
    assert!(plan(&b, [3, 1, 1, 2], &[]).is_ok());
    assert!(refusal(&b, [1, 1, 1, 3]).contains("\"input\""));

    let border = |top, left| Border { top, left, ..Border::default() };
    for (op, part) in [
        (Op::Crop(border(4, 0)), "cropping 4 + 0 rows and 0 + 0 columns from 4×3 leaves nothing"),
        (Op::Crop(border(0, usize::MAX)), "from 4×3 leaves nothing"),
        (Op::ZeroPad(border(usize::MAX, 0)), "padded height or width"),
        (
            Op::Reshape { shape: [4, 3, 3], sequence: false },
            "can't reshape 4×3×2 elements to 4×3×3",
        ),
        (Op::Reshape { shape: [usize::MAX, 2, 1], sequence: false }, "can't reshape"),
        (
            Op::Rescale { scale: vec![1.0; 3], offset: vec![0.0] },
            "expected 1 or 2 numbers to rescale 2 channels, got 3",
        ),
        (
            Op::PRelu { shape: vec![3, 3, 2] },
            "alpha of shape [3, 3, 2] does not match 4×3×2 elements",
        ),
        (
            Op::NormalizeOver {
                axes: vec![0, 2],
                extents: vec![4, 3],
                epsilon: 0.0,
                scale: true,
                center: true,
            },
            "axes [0, 2]: expected extents [4, 3], got [4, 2]",
        ),
        (
            Op::NormalizeOver {
                axes: vec![2, 1],
                extents: vec![2, 3],
                epsilon: 0.0,
                scale: false,
                center: true,
            },
            "expected some of the axes 0, 1 and 2 in this order, got [2, 1]",
        ),
        (Op::CenterCrop { size: [0, 1] }, "height"),
        (Op::Resize { size: [1, 0], how: Interpolation::Nearest, crop: false }, "width"),
        (
            Op::Resize { size: [1, 1 << 20], how: Interpolation::Bilinear, crop: false },
            "expected to resize to at most 65536 rows and columns, got 1×1048576",
        ),
    ] {
        let mut network = Network::new("test", "input", [None; 2], 2);
        network.push("odd", op, &[network.output()]).unwrap();
        let weights = Weights::default();
        let plan = NetworkPlan::new(&network, &weights, [1, 4, 3, 2], &PlanOptions::default());
        let message = plan.unwrap_err().to_string();
        assert!(message.contains("\"odd\"") && message.contains(part), "{message}");
    }
}

#[test]
fn products_that_do_not_fit_are_refused() {
    for (axes, channels, part) in [
        ([0, 1], 3, "expected axes 1 or 2, got [0, 1]"),
        ([1, 2], 3, "operands don't match along axes [1, 2]: [1, 1, 3, 2] and [1, 1, 3, 2]"),
        ([2, 2], 2, "expected 2 channels by axes [2, 2], got 3"),
    ] {
        let mut network = Network::of_sequences("test", "input", None, 2);
        let input = network.output();
        network.push("dot", Op::Dot { axes, channels, normalize: None }, &[input; 2]).unwrap();
        let message = network.shapes([1, 1, 3, 2]).unwrap_err().to_string();
        assert!(message.contains("\"dot\"") && message.contains(part), "{message}");
        let message = network.shapes([1, 2, 3, 2]).unwrap_err().to_string();
        assert!(message.contains("expected sequences, whose height is 1, got [1, 2, 3, 2]"));
    }
}

/// Values of few dimensions: what ranks follow from what.
#[test]
fn ranks_are_those_of_keras() {
    let mut network = Network::of_sequences("test", "input", Some(6), 2);
    let x = network.output();
    let dot = Op::Dot { axes: [2, 2], channels: 6, normalize: None };
    let reshape = |shape, sequence| Op::Reshape { shape, sequence };
    let average = |keep_dims| Op::GlobalPool { kind: PoolKind::Average, keep_dims };
    for (op, operands, rank) in [
        (plain_conv(Window::new([1, 3]), 4), vec![x], 3),
        (Op::Permute { axes: [0, 2, 1], channels: 6 }, vec![x], 3),
        (average(true), vec![x], 3),
        (average(false), vec![x], 2),
        (Op::Flatten { features: 12 }, vec![x], 2),
        (reshape([3, 2, 2], false), vec![x], 4),
        (reshape([1, 3, 4], true), vec![x], 3),
        (dot, vec![x, x], 3),
        (Op::Binary(BinaryOp::Add), vec![x, x], 3),
    ] {
        let name = format!("{op:?}");
        let node = network.push(&name, op, &operands).unwrap();
        assert_eq!(network.rank(node), rank, "{name}");
    }
}

/// Layers of each step run on N·T pictures, depth first, too; what follows runs on N sequences.
#[test]
fn steps_are_pictures_of_the_batch() {
    let mut b = Builder::new(3);
    let apart = |rank| Op::StepsToBatch { steps: 4, rank };
    let together = |rank| Op::BatchToSteps { steps: 4, rank };
    let conv = Op::Conv { window: same(3, 1), groups: 1, filters: 8, bias: true };
    let frames = b.push("frames", apart(4), &[b.input()]);
    let first = b.push("first", conv, &[frames]);
    let relu = b.push("relu", Op::Activation(Activation::Relu), &[first]);
    let second = b.push("second", separable(8), &[relu]);
    let sum = b.push("sum", Op::Add, &[second, first]);
    let maps = b.push("maps", together(4), &[sum]);
    let pooled = b.push("pooled", GLOBAL_AVERAGE_POOL, &[sum]);
    let sequence = b.push("sequence", together(2), &[pooled]);
    let vectors = b.push("vectors", apart(2), &[sequence]);
    let dense = b.push("dense", Op::Dense { units: 5, bias: true }, &[vectors]);
    let again = b.push("again", together(2), &[dense]);
    let window = Window::new([1, 2]);
    let conv = Op::Conv { window, groups: 1, filters: 6, bias: false };
    let across = b.push("across", conv, &[again]);
    b.push("mean", GLOBAL_AVERAGE_POOL, &[across]);
    let ranks = [frames, sum, maps, pooled, sequence, vectors, across];
    assert_eq!(ranks.map(|node| b.network.rank(node)), [4, 4, 5, 2, 3, 2, 3]);
    assert_eq!([sum, maps, across].map(|node| b.network.steps(node)), [None, Some(4), None]);
    for (batch, rows) in [(1, 7), (3, 12)] {
        let x = picture([batch, 4 * rows, 9, 3], 21);
        check(&b, &x, &["maps", "sum", "sequence", "across"]).unwrap();
    }
    assert_eq!(
        refusal(&b, [1, 7, 9, 3]),
        "node \"frames\": can't divide 7×9×3 elements into 4 steps of 4 dimensions"
    );
    let mut b = Builder::new(3);
    b.push("together", together(4), &[b.input()]);
    let message = "node \"together\": can't join 4 steps of 4 dimensions of [2, 5, 6, 3]";
    assert_eq!(refusal(&b, [2, 5, 6, 3]), message);

    let mut film = Network::of_picture_sequences("film", "frames", 4, [Some(5), None], 3);
    film.push("relu", Op::Activation(Activation::Relu), &[film.output()]).unwrap();
    assert_eq!((film.input_steps(), film.steps(film.output())), (Some(4), Some(4)));
    assert_eq!(
        film.shapes([1, 21, 6, 3]).unwrap_err().to_string(),
        "node \"frames\": expected 4 pictures one above the other, got [1, 21, 6, 3]"
    );
}

#[test]
fn impossible_dimensions_are_refused() {
    let mut b = Builder::new(2);
    b.push("pool", Op::MaxPool(Window::new([3, 3])), &[b.input()]);
    for input in [
        [0, 4, 4, 2],
        [1, 0, 4, 2],
        [1, 4, 0, 2],
        [1, 2, 4, 2],
        [usize::MAX, 4, 4, 2],
        [1, usize::MAX, 4, 2],
        [1 << 31, 1 << 31, 4, 2],
        [1, 1 << 31, 1 << 31, 2],
    ] {
        assert!(plan(&b, input, &[]).is_err(), "{input:?}");
    }

    let window = Window::new([1, 1]);
    let wide = |groups, filters| Op::Conv { window, groups, filters, bias: false };
    let deep = |multiplier, filters| Op::Separable { window, multiplier, filters, bias: false };
    let zero = |kernel, stride, dilation| {
        Op::AveragePool(
            Window::new(kernel).stride(stride).dilation(dilation).padding(Padding::Same),
        )
    };
    let far = Window::new([3, 3]).padding(Padding::Explicit {
        top: usize::MAX,
        bottom: 1,
        left: 0,
        right: 0,
    });
    for op in [
        wide(0, 2),
        wide(3, 3),
        wide(2, 3),
        wide(1, 0),
        wide(1, usize::MAX),
        wide(usize::MAX, usize::MAX),
        deep(0, 2),
        deep(usize::MAX, 2),
        deep(1, 0),
        zero([0, 1], [1, 1], [1, 1]),
        zero([1, 1], [1, 0], [1, 1]),
        zero([2, 1], [1, 1], [0, 1]),
        zero([usize::MAX, 1], [1, 1], [usize::MAX, 1]),
        Op::MaxPool(far),
    ] {
        let mut network = Network::new("test", "input", [None, None], 2);
        let input = network.find("input").unwrap();
        network.push("odd", op.clone(), &[input]).unwrap();
        let weights = Weights::default();
        let refused = NetworkPlan::new(&network, &weights, [1, 4, 4, 2], &PlanOptions::default());
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("odd"), "{op:?}: {message}");
    }
}

#[test]
fn weights_may_be_given_away() {
    // The first layer's weights are used again by the last node: they must live until then.
    let mut b = Builder::new(4);
    let op = Op::Conv { window: Window::new([1, 1]), groups: 1, filters: 4, bias: true };
    let input = b.input();
    let x = b.push("twice", op.clone(), &[input]);
    let x = b.push("norm", NORM, &[x]);
    let x = b.push("once", op.clone(), &[x]);
    b.network.push_for_layer("again", "twice", op, &[x]).unwrap();
    let options = PlanOptions::default();
    let run = |plan: Result<NetworkPlan>| {
        let mut session = Session::new(plan.unwrap()).unwrap();
        session.run(&[0.5, -1.0, 2.0, 0.25]).unwrap();
        session.output().to_vec()
    };
    let lent = run(NetworkPlan::new(&b.network, &b.weights, [1, 1, 1, 4], &options));
    let given = run(NetworkPlan::new(&b.network, b.weights.clone(), [1, 1, 1, 4], &options));
    assert!(lent.iter().all(|x| x.is_finite()));
    assert_eq!(given, lent);
}

#[test]
fn more_memory_than_addresses_is_refused() {
    let mut b = Builder::new(1);
    let x = b.input();
    let left = b.push("left", RELU, &[x]);
    let right = b.push("right", Op::Activation(Activation::Silu), &[x]);
    b.push("add", Op::Add, &[left, right]);
    let largest = isize::MAX as usize / 4;
    let plan = |height| plan_with(&b, [1, height, 1, 1], &[], DepthFirst::NEVER);
    assert!(matches!(plan(largest), Err(Error::Argument { .. })));
    // Addresses for three, memory for none.
    let plan = plan(largest / 8).unwrap();
    assert!(matches!(Session::new(plan), Err(Error::Argument { .. })));
}

#[test]
fn tensors_that_are_missing_or_wrong_are_named() {
    let whole = mini_xception();
    for (layer, variable, tensor) in whole.weights.iter() {
        let mut wrong = tensor.shape.clone();
        wrong.push(1);
        for replacement in [None, Some(wrong)] {
            let mut b = mini_xception();
            b.weights = Weights::default();
            for (l, v, t) in whole.weights.iter() {
                let mut t = t.clone();
                if (l, v) == (layer, variable) {
                    match &replacement {
                        None => continue,
                        Some(shape) => t.shape.clone_from(shape),
                    }
                }
                b.weights.insert(l, v, t).unwrap();
            }
            match plan(&b, [1, 71, 71, 3], &[]) {
                Err(Error::Tensor { tensor, .. }) => {
                    assert_eq!(tensor, format!("{layer}/{variable}"));
                }
                other => panic!("{layer}/{variable}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_variance_without_a_root_is_refused() {
    for bad in [-1.0, -1e-3, f32::NAN, f32::NEG_INFINITY] {
        let mut b = mini_xception();
        set(&mut b, "block14_sepconv2_bn", "moving_variance", bad);
        let message = refusal(&b, [1, 71, 71, 3]);
        assert!(message.contains("block14_sepconv2_bn/moving_variance"), "{message}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let b = mini_xception();
    let missing = plan(&b, [1, 71, 71, 3], &["block15"]);
    assert!(missing.unwrap_err().to_string().contains("block15"));

    if let Some(level) = (kernels::Level::ALL.into_iter()).find(|l| !l.is_available()) {
        let options = PlanOptions::default().level(level);
        let refused = NetworkPlan::new(&b.network, &b.weights, [1, 71, 71, 3], &options);
        assert!(refused.unwrap_err().to_string().contains(level.name()));
    }

    let mut session = session(&b, [1, 71, 71, 3], &["block1_conv1"]);
    assert!(session.output().iter().all(|v| v.is_nan()));
    let message = session.run(&[0.0; 9]).unwrap_err().to_string();
    assert!(message.contains('9') && message.contains("15123"), "{message}");
    assert!(session.node("block1_conv1").is_some());
    assert!(session.node("block1_conv2").is_none());
}

#[test]
fn timed_runs_report_each_step() {
    let b = mini_xception();
    let x = vec![0.5; 2 * 71 * 71 * 3];
    for depth_first in [DepthFirst::NEVER, DepthFirst::default().bytes(0).multiply_adds(100_000)] {
        let plan = plan_with(&b, [2, 71, 71, 3], &[], depth_first).unwrap();
        let turns = plan.turns(1);
        assert_eq!(turns.iter().any(|&n| n > 1), depth_first != DepthFirst::NEVER);
        let mut session = Session::with_threads(plan, 1).unwrap();
        let mut times = Vec::new();
        session.run_timed(&x, |time| times.push(time)).unwrap();
        assert!(times.is_sorted_by(|a, b| a.start + a.time <= b.start), "{times:?}");
        let is_inside = |time: &StepTime| {
            let end = time.start + time.time;
            let inside = |thread: &ThreadTime| {
                thread.start >= time.start && thread.start + thread.time <= end
            };
            !time.threads.is_empty() && time.threads.iter().all(inside)
        };
        assert!(times.iter().all(is_inside), "{times:?}");
        for (i, step) in session.plan().steps().enumerate() {
            let of_step: Vec<_> = times.iter().filter(|time| time.step == i).collect();
            let runs = if turns[i] == 0 { 1 } else { 2 * turns[i] };
            assert_eq!(of_step.len(), runs, "{step:?}");
            // All rows of all pictures, each once.
            let rows = of_step.iter().map(|time| time.rows.len() * time.pictures.len());
            assert_eq!(rows.sum::<usize>(), step.output[0] * step.output[1], "{step:?}");
        }
        let timed = session.output().to_vec();
        session.run(&x).unwrap();
        assert_eq!(session.output(), timed);
        assert!(session.run_timed(&x[1..], |time| panic!("{time:?}")).is_err());
    }
}

#[test]
fn plans_and_sessions_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<NetworkPlan>();
    check::<Session>();
}
