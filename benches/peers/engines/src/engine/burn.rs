//! burn: operations of `burn-tensor` on its CPU backend flex.

use anyhow::Result;
use burn_tensor::activation::relu;
use burn_tensor::module::{adaptive_avg_pool2d, conv2d, linear, max_pool2d};
use burn_tensor::ops::{ConvOptions, MaxPoolOptions};
use burn_tensor::{Device, Tensor, TensorData};

use super::steps::Library;
use crate::graph::{self, Op};

pub struct Burn(Device);

pub enum Layer {
    Conv { kernel: Tensor<4>, bias: Option<Tensor<1>>, options: ConvOptions<2> },
    Relu,
    MaxPool(MaxPoolOptions<2>),
    Add,
    Mean,
    Flatten,
    Dense { kernel: Tensor<2>, bias: Tensor<1> },
}

impl Burn {
    pub fn new() -> Self {
        Self(Device::flex())
    }

    fn weight<const D: usize>(&self, t: &graph::Tensor) -> Tensor<D> {
        Tensor::from_data(TensorData::new(t.data.clone(), t.shape.clone()), &self.0)
    }
}

impl Library for Burn {
    type Tensor = Tensor<4>;
    type Layer = Layer;

    fn tensor(&self, shape: [usize; 4], data: Vec<f32>) -> Result<Tensor<4>> {
        Ok(Tensor::from_data(TensorData::new(data, shape), &self.0))
    }

    fn layer(&self, op: &Op) -> Result<Layer> {
        Ok(match op {
            Op::Conv { kernel, bias, stride, pads, groups } => Layer::Conv {
                kernel: self.weight(kernel),
                bias: bias.as_ref().map(|bias| self.weight(bias)),
                options: ConvOptions::new_with_padding(*stride, *pads, [1, 1], *groups),
            },
            Op::Relu => Layer::Relu,
            Op::MaxPool { kernel, stride, pads } => Layer::MaxPool(
                MaxPoolOptions::new(*kernel).with_stride(*stride).with_padding_pairs(*pads),
            ),
            Op::Add => Layer::Add,
            Op::GlobalAveragePool => Layer::Mean,
            Op::Flatten => Layer::Flatten,
            Op::Gemm { kernel, bias } => {
                Layer::Dense { kernel: self.weight(kernel), bias: self.weight(bias) }
            }
        })
    }

    fn apply(&self, layer: &Layer, inputs: Vec<Tensor<4>>) -> Result<Tensor<4>> {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many as ONNX says");
        let x = next();
        Ok(match layer {
            Layer::Conv { kernel, bias, options } => {
                conv2d(x, kernel.clone(), bias.clone(), options.clone())
            }
            Layer::Relu => relu(x),
            Layer::MaxPool(options) => max_pool2d(x, options.clone()),
            Layer::Add => x + next(),
            Layer::Mean => adaptive_avg_pool2d(x, [1, 1]),
            // The number of dimensions is part of the type, which is the same for all values.
            Layer::Flatten => x,
            Layer::Dense { kernel, bias } => {
                let x: Tensor<2> = x.flatten(1, 3);
                linear(x, kernel.clone(), Some(bias.clone())).unsqueeze_dims(&[2, 3])
            }
        })
    }

    fn values(&self, tensor: Tensor<4>) -> Result<Vec<f32>> {
        Ok(tensor.into_data().try_to_vec()?)
    }
}
