//! burn on its CPU backend flex.

use anyhow::{Result, anyhow};
use burn::tensor::module::{adaptive_avg_pool2d, conv2d, linear, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};

use super::Library;
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
    const NAME: &'static str = "burn";
    const VERSION: &'static str = "0.22.1";
    type Tensor = Tensor<4>;
    type Layer = Layer;

    fn tensor(&self, shape: [usize; 4], data: Vec<f32>) -> Result<Tensor<4>> {
        Ok(Tensor::from_data(TensorData::new(data, shape), &self.0))
    }

    fn layer(&self, op: &Op) -> Result<Layer> {
        Ok(match op {
            Op::Conv { kernel, bias, stride, pads, groups } => {
                let mut options = ConvOptions::new(*stride, [0, 0], [1, 1], *groups);
                options.padding = *pads;
                let bias = bias.as_ref().map(|bias| self.weight(bias));
                Layer::Conv { kernel: self.weight(kernel), bias, options }
            }
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

    fn apply(&self, layer: &Layer, inputs: &[&Tensor<4>]) -> Result<Tensor<4>> {
        let x = inputs[0].clone();
        Ok(match layer {
            Layer::Conv { kernel, bias, options } => {
                conv2d(x, kernel.clone(), bias.clone(), options.clone())
            }
            Layer::Relu => x.relu(),
            Layer::MaxPool(options) => max_pool2d(x, options.clone()),
            Layer::Add => x + inputs[1].clone(),
            Layer::Mean => adaptive_avg_pool2d(x, [1, 1]),
            Layer::Flatten => x,
            Layer::Dense { kernel, bias } => {
                let [n, c, _, _] = x.dims();
                let y = linear(x.reshape([n, c]), kernel.clone(), Some(bias.clone()));
                let [n, d] = y.dims();
                y.reshape([n, d, 1, 1])
            }
        })
    }

    fn values(&self, tensor: &Tensor<4>) -> Result<Vec<f32>> {
        tensor.to_data().to_vec().map_err(|e| anyhow!("{e:?}"))
    }
}
