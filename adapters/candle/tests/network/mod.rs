//! A network of an ONNX file, step by step: by candle's own operations, or with sepconv's in their
//! place where they can be.

use anyhow::{Result, ensure};
use candle_core::{Device, Module, Tensor};
use sepconv_candle::SepConv;
use sepconv_kernels::{Activation, Options, Padding, Window};
use sepconv_measure::onnx::{Constant, Op, Step};

/// The network's input is value 0, the i-th step of the file makes value i + 1.
pub(crate) struct Network {
    nodes: Vec<Node>,
}

struct Node {
    layer: Layer,
    inputs: Vec<usize>,
    output: usize,
}

enum Layer {
    Sepconv(SepConv),
    Conv { weights: Tensor, bias: Tensor, stride: usize, pad: usize, groups: usize },
    Clip { hi: Option<f32> },
    MaxPool { kernel: usize, stride: usize, pad: usize },
    Add,
    Mean,
    Flatten,
    Dense { weights: Tensor, bias: Tensor },
}

fn tensor(constant: &Constant) -> Result<Tensor> {
    Ok(Tensor::from_slice(&constant.data, constant.shape.clone(), &Device::Cpu)?)
}

/// `f` of channels-last tensors, as tensors that are dense in that order.
fn channels_last(x: &Tensor, f: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<Tensor> {
    Ok(f(&x.permute((0, 2, 3, 1))?)?.permute((0, 3, 1, 2))?)
}

impl Network {
    /// candle's own operations.
    pub(crate) fn own(steps: &[Step]) -> Result<Self> {
        let node = |(i, step): (usize, &Step)| {
            Ok(Node { layer: own(&step.op)?, inputs: step.inputs.clone(), output: i + 1 })
        };
        Ok(Self { nodes: steps.iter().enumerate().map(node).collect::<Result<_>>()? })
    }

    /// sepconv's convolutions, each with what is around it.
    pub(crate) fn sepconv(steps: &[Step]) -> Result<Self> {
        let mut fusion = Fusion { steps, done: vec![false; steps.len()], nodes: Vec::new() };
        for i in 0..steps.len() {
            if !fusion.done[i] {
                fusion.step(i)?;
            }
        }
        Ok(Self { nodes: fusion.nodes })
    }

    pub(crate) fn run(&self, x: &Tensor) -> Result<Tensor> {
        let values = self.nodes.iter().map(|node| node.output).max().unwrap_or(0) + 1;
        let mut last = vec![0; values];
        for (i, node) in self.nodes.iter().enumerate() {
            for &input in &node.inputs {
                last[input] = i;
            }
        }
        let mut values = vec![None; values];
        values[0] = Some(x.clone());
        let mut output = x.clone();
        for (i, node) in self.nodes.iter().enumerate() {
            let inputs = node.inputs.iter().map(|&input| {
                if last[input] == i { values[input].take() } else { values[input].clone() }
            });
            let inputs: Vec<_> = inputs.flatten().collect();
            ensure!(inputs.len() == node.inputs.len(), "a value is missing");
            output = node.layer.run(&inputs)?;
            values[node.output] = Some(output.clone());
        }
        Ok(output)
    }
}

fn own(op: &Op) -> Result<Layer> {
    Ok(match op {
        Op::Conv { weights, bias, stride, pad, groups } => Layer::Conv {
            weights: tensor(weights)?,
            bias: tensor(bias)?.reshape((1, (), 1, 1))?,
            stride: *stride,
            pad: *pad,
            groups: *groups,
        },
        &Op::Clip { hi } => Layer::Clip { hi },
        &Op::MaxPool { kernel, stride, pad } => {
            // `run` pads with copies of the edge, which must be in the window as well.
            ensure!(pad < 2, "wide padding");
            Layer::MaxPool { kernel, stride, pad }
        }
        Op::Add => Layer::Add,
        Op::GlobalAveragePool => Layer::Mean,
        Op::Flatten => Layer::Flatten,
        Op::Gemm { weights, bias } => {
            Layer::Dense { weights: tensor(weights)?, bias: tensor(bias)? }
        }
    })
}

impl Layer {
    fn run(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let x = &inputs[0];
        Ok(match self {
            Self::Sepconv(layer) => match inputs.get(1) {
                Some(residual) => layer.forward_add(x, residual)?,
                None => layer.forward(x)?,
            },
            Self::Conv { weights, bias, stride, pad, groups } => {
                x.conv2d(weights, *pad, *stride, 1, *groups)?.broadcast_add(bias)?
            }
            // As candle-nn's ReLU and ReLU6.
            Self::Clip { hi: None } => x.relu()?,
            Self::Clip { hi: Some(hi) } => x.clamp(0f32, *hi)?,
            Self::MaxPool { kernel, stride, pad } => x
                .pad_with_same(2, *pad, *pad)?
                .pad_with_same(3, *pad, *pad)?
                .max_pool2d_with_stride(*kernel, *stride)?,
            Self::Add if x.is_contiguous() => (x + &inputs[1])?,
            Self::Add => {
                let other = inputs[1].permute((0, 2, 3, 1))?;
                channels_last(x, |x| x + &other)?
            }
            Self::Mean => x.mean_keepdim((2, 3))?,
            Self::Flatten => x.flatten_from(1)?,
            Self::Dense { weights, bias } => x.matmul(weights)?.broadcast_add(bias)?,
        })
    }
}

/// What a convolution takes with it is done when its turn comes.
struct Fusion<'a> {
    steps: &'a [Step],
    done: Vec<bool>,
    nodes: Vec<Node>,
}

impl Fusion<'_> {
    fn step(&mut self, i: usize) -> Result<()> {
        let Step { op, inputs } = &self.steps[i];
        if matches!(op, Op::Clip { .. })
            && let Some(reader) = self.only_reader(i + 1)
            && matches!(self.steps[reader].op, Op::Conv { .. })
        {
            self.done[i] = true;
            return self.conv(reader, inputs[0], activation(op));
        }
        if matches!(op, Op::Conv { .. }) {
            return self.conv(i, inputs[0], Activation::None);
        }
        self.nodes.push(Node { layer: own(op)?, inputs: inputs.clone(), output: i + 1 });
        Ok(())
    }

    /// Step `i` on value `x`.
    fn conv(&mut self, i: usize, x: usize, input_activation: Activation) -> Result<()> {
        self.done[i] = true;
        let Op::Conv { weights, bias, stride, pad, groups } = &self.steps[i].op else {
            unreachable!("a convolution")
        };
        let pad = *pad;
        let window = Window::new([weights.shape[2], weights.shape[3]]).stride([*stride; 2]);
        let window = match pad {
            0 => window,
            _ => window.padding(Padding::Explicit { top: pad, bottom: pad, left: pad, right: pad }),
        };
        let (mut output, mut inputs) = (i + 1, vec![x]);
        let mid_activation = self.clip_behind(&mut output);
        let pointwise = self.pointwise_behind(output).filter(|_| *groups > 1);
        let mut options = Options::new().input_activation(input_activation);
        let (weights, bias) = (tensor(weights)?, tensor(bias)?);
        let layer = if let Some(reader) = pointwise {
            self.done[reader] = true;
            output = reader + 1;
            if let Some(add) = self.only_reader(output)
                && matches!(self.steps[add].op, Op::Add)
                && let Some(&other) = self.steps[add].inputs.iter().find(|&&v| v != output)
                && other <= i
            {
                self.done[add] = true;
                inputs.push(other);
                output = add + 1;
            }
            options.activation = self.clip_behind(&mut output);
            let Op::Conv { weights: across, bias: across_bias, .. } = &self.steps[reader].op else {
                unreachable!("a convolution")
            };
            let across = (&tensor(across)?, &tensor(across_bias)?);
            SepConv::separable((&weights, &bias), window, mid_activation, across, &options)?
        } else {
            options.activation = mid_activation;
            SepConv::conv2d((&weights, &bias), window, *groups, &options)?
        };
        self.nodes.push(Node { layer: Layer::Sepconv(layer), inputs, output });
        Ok(())
    }

    fn only_reader(&self, value: usize) -> Option<usize> {
        let mut readers = (0..self.steps.len()).filter(|&i| self.steps[i].inputs.contains(&value));
        readers.next().filter(|_| readers.next().is_none())
    }

    fn clip_behind(&mut self, output: &mut usize) -> Activation {
        match self.only_reader(*output) {
            Some(reader) if matches!(self.steps[reader].op, Op::Clip { .. }) => {
                self.done[reader] = true;
                *output = reader + 1;
                activation(&self.steps[reader].op)
            }
            _ => Activation::None,
        }
    }

    fn pointwise_behind(&self, output: usize) -> Option<usize> {
        self.only_reader(output).filter(|&reader| match &self.steps[reader].op {
            Op::Conv { weights, stride: 1, pad: 0, groups: 1, .. } => weights.shape[2..] == [1, 1],
            _ => false,
        })
    }
}

fn activation(op: &Op) -> Activation {
    match op {
        Op::Clip { hi: None } => Activation::Relu,
        Op::Clip { hi: Some(hi) } => Activation::Clamp { lo: 0.0, hi: *hi },
        _ => unreachable!("a clip"),
    }
}
