//! tract: reads the ONNX file and optimises its graph for the input's shape.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tract_onnx::prelude::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::{Engine, Picture};

pub struct Tract {
    model: Arc<TypedRunnableModel>,
    executor: Executor,
    x: TValue,
}

impl Tract {
    pub fn load(onnx: &Path, x: &Picture, threads: usize) -> Result<Self> {
        let model = tract_onnx::onnx().model_for_path(onnx)?.into_optimized()?.into_runnable()?;
        let executor =
            if threads == 1 { Executor::SingleThread } else { Executor::multithread(threads) };
        let x = Tensor::from_shape(&x.nchw_shape(), &x.nchw())?.into_tvalue();
        Ok(Self { model, executor, x })
    }
}

impl Engine for Tract {
    fn run(&mut self) -> Result<Vec<f32>> {
        let inputs = tvec![self.x.clone()];
        let y = multithread_tract_scope(self.executor.clone(), || self.model.run(inputs))?;
        Ok(y[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}
