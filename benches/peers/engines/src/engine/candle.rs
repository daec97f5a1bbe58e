//! candle: operations of `candle-core` on the CPU. Its convolution has no bias and pads all sides
//! alike; its max pool doesn't pad.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

use super::steps::Library;
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

fn weight(t: &graph::Tensor) -> Result<Tensor> {
    Ok(Tensor::from_slice(&t.data, t.shape.clone(), &Device::Cpu)?)
}

impl Library for Candle {
    type Tensor = Tensor;
    type Layer = Layer;

    fn tensor(&self, shape: [usize; 4], data: Vec<f32>) -> Result<Tensor> {
        Ok(Tensor::from_vec(data, shape.to_vec(), &Device::Cpu)?)
    }

    fn layer(&self, op: &Op) -> Result<Layer> {
        Ok(match op {
            Op::Conv { kernel, bias, stride, pads, groups } => {
                let pad = pads[0].0;
                ensure!(*stride == [stride[0]; 2] && *pads == [(pad, pad); 2], "not even");
                let mut layer_bias = None;
                if let Some(bias) = bias {
                    layer_bias = Some(weight(bias)?.reshape((1, (), 1, 1))?);
                }
                Layer::Conv {
                    kernel: weight(kernel)?,
                    bias: layer_bias,
                    stride: stride[0],
                    pad,
                    groups: *groups,
                }
            }
            Op::Relu => Layer::Relu,
            Op::MaxPool { kernel, stride, pads } => {
                // `apply` pads with copies of the edge, which must be in the window as well.
                ensure!(pads.iter().all(|&(a, b)| a < 2 && b < 2), "wide padding");
                Layer::MaxPool { kernel: (*kernel).into(), stride: (*stride).into(), pads: *pads }
            }
            Op::Add => Layer::Add,
            Op::GlobalAveragePool => Layer::Mean,
            Op::Flatten => Layer::Flatten,
            Op::Gemm { kernel, bias } => {
                Layer::Dense { kernel: weight(kernel)?, bias: weight(bias)? }
            }
        })
    }

    fn apply(&self, layer: &Layer, inputs: Vec<Tensor>) -> Result<Tensor> {
        let x = &inputs[0];
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
            Layer::Add => (x + &inputs[1])?,
            Layer::Mean => x.mean_keepdim((2, 3))?,
            Layer::Flatten => x.flatten_from(1)?,
            Layer::Dense { kernel, bias } => x.matmul(kernel)?.broadcast_add(bias)?,
        })
    }

    fn values(&self, tensor: Tensor) -> Result<Vec<f32>> {
        Ok(tensor.flatten_all()?.to_vec1()?)
    }
}
