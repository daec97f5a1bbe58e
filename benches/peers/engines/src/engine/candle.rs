//! candle: its convolution pads all sides alike and has no bias, its max pool doesn't pad.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

use super::Library;
use crate::graph::{self, Op};

pub struct Candle;

pub enum Layer {
    Conv { kernel: Tensor, bias: Option<Tensor>, stride: usize, pad: usize, groups: usize },
    Relu,
    MaxPool { kernel: (usize, usize), stride: (usize, usize), pads: [(usize, usize); 2] },
    Add,
    Mean,
    Flatten,
    Dense { kernel: Tensor, bias: Tensor },
}

fn tensor(t: &graph::Tensor) -> Result<Tensor> {
    Ok(Tensor::from_slice(&t.data, t.shape.clone(), &Device::Cpu)?)
}

impl Library for Candle {
    const NAME: &'static str = "candle";
    const VERSION: &'static str = "0.11.1";
    type Tensor = Tensor;
    type Layer = Layer;

    fn tensor(&self, shape: [usize; 4], data: Vec<f32>) -> Result<Tensor> {
        let [n, c, h, w] = shape;
        Ok(Tensor::from_vec(data, (n, c, h, w), &Device::Cpu)?)
    }

    fn layer(&self, op: &Op) -> Result<Layer> {
        Ok(match op {
            Op::Conv { kernel, bias, stride, pads, groups } => {
                let pad = pads[0].0;
                ensure!(stride[0] == stride[1] && *pads == [(pad, pad); 2], "not even");
                let bias = bias
                    .as_ref()
                    .map(|b| -> Result<_> { Ok(tensor(b)?.reshape((1, b.data.len(), 1, 1))?) });
                Layer::Conv {
                    kernel: tensor(kernel)?,
                    bias: bias.transpose()?,
                    stride: stride[0],
                    pad,
                    groups: *groups,
                }
            }
            Op::Relu => Layer::Relu,
            Op::MaxPool { kernel, stride, pads } => {
                // A copy of the edge changes no maximum of a window that holds the edge itself.
                ensure!(pads.iter().all(|&(a, b)| a < 2 && b < 2), "wide padding");
                Layer::MaxPool { kernel: (*kernel).into(), stride: (*stride).into(), pads: *pads }
            }
            Op::Add => Layer::Add,
            Op::GlobalAveragePool => Layer::Mean,
            Op::Flatten => Layer::Flatten,
            Op::Gemm { kernel, bias } => {
                Layer::Dense { kernel: tensor(kernel)?, bias: tensor(bias)? }
            }
        })
    }

    fn apply(&self, layer: &Layer, inputs: &[&Tensor]) -> Result<Tensor> {
        let x = inputs[0];
        Ok(match layer {
            Layer::Conv { kernel, bias, stride, pad, groups } => {
                let y = x.conv2d(kernel, *pad, *stride, 1, *groups)?;
                match bias {
                    Some(bias) => y.broadcast_add(bias)?,
                    None => y,
                }
            }
            Layer::Relu => x.relu()?,
            Layer::MaxPool { kernel, stride, pads: [rows, columns] } => x
                .pad_with_same(2, rows.0, rows.1)?
                .pad_with_same(3, columns.0, columns.1)?
                .max_pool2d_with_stride(*kernel, *stride)?,
            Layer::Add => (x + inputs[1])?,
            Layer::Mean => x.mean((2, 3))?,
            Layer::Flatten => x.clone(),
            Layer::Dense { kernel, bias } => x.matmul(kernel)?.broadcast_add(bias)?,
        })
    }

    fn values(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        Ok(tensor.flatten_all()?.to_vec1()?)
    }
}
