//! tract reads ONNX and optimises the graph for a fixed input shape.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tract_onnx::prelude::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::{Engine, Picture};

pub struct Tract {
    model: Arc<TypedRunnableModel>,
    x: Tensor,
    executor: Executor,
    logits: Vec<f32>,
}

impl Tract {
    pub fn new(onnx: &Path, x: &Picture, threads: usize) -> Result<Self> {
        let model = tract_onnx::onnx().model_for_path(onnx)?;
        let model = model.into_optimized()?.into_runnable()?;
        let x = Tensor::from_shape(&x.nchw_shape(), &x.nchw())?;
        let executor =
            if threads == 1 { Executor::SingleThread } else { Executor::multithread(threads) };
        Ok(Self { model, x, executor, logits: Vec::new() })
    }
}

impl Engine for Tract {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn version(&self) -> &'static str {
        "0.23.9"
    }

    fn run(&mut self) -> Result<()> {
        let input = tvec!(self.x.clone().into());
        let y = multithread_tract_scope(self.executor.clone(), || self.model.run(input))?;
        self.logits = y[0].to_plain_array_view::<f32>()?.iter().copied().collect();
        Ok(())
    }

    fn logits(&self) -> Result<Vec<f32>> {
        Ok(self.logits.clone())
    }
}
