//! rten reads ONNX. Weights are prepacked, which is an option of its loader.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rten::{Model, ModelOptions, RunOptions, ThreadPool};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use super::{Engine, Picture};

pub struct Rten {
    model: Model,
    x: NdTensor<f32, 4>,
    options: RunOptions,
    logits: Vec<f32>,
}

impl Rten {
    pub fn new(onnx: &Path, x: &Picture, threads: usize) -> Result<Self> {
        let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(onnx)?;
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        Ok(Self {
            model,
            x: NdTensor::from_data(x.nchw_shape(), x.nchw()),
            options: RunOptions::default().with_thread_pool(Some(pool)),
            logits: Vec::new(),
        })
    }
}

impl Engine for Rten {
    fn name(&self) -> &'static str {
        "rten"
    }

    fn version(&self) -> &'static str {
        "0.27.0"
    }

    fn run(&mut self) -> Result<()> {
        let y = self.model.run_one(self.x.view().into(), Some(self.options.clone()))?;
        let y: NdTensor<f32, 2> = y.try_into().ok().context("not N×classes")?;
        self.logits = y.to_vec();
        Ok(())
    }

    fn logits(&self) -> Result<Vec<f32>> {
        Ok(self.logits.clone())
    }
}
