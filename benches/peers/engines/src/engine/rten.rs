//! rten: reads the ONNX file, with prepacked weights, which it leaves off unless asked.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rten::{Model, ModelOptions, RunOptions, ThreadPool};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use super::{Engine, Picture};

pub struct Rten {
    model: Model,
    options: RunOptions,
    x: NdTensor<f32, 4>,
}

impl Rten {
    pub fn load(onnx: &Path, x: &Picture, threads: usize) -> Result<Self> {
        let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(onnx)?;
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        let options = RunOptions::default().with_thread_pool(Some(pool));
        Ok(Self { model, options, x: NdTensor::from_data(x.nchw_shape(), x.nchw()) })
    }
}

impl Engine for Rten {
    fn run(&mut self) -> Result<Vec<f32>> {
        let y = self.model.run_one(self.x.view().into(), Some(self.options.clone()))?;
        let y: NdTensor<f32, 2> = y.try_into()?;
        Ok(y.to_vec())
    }
}
