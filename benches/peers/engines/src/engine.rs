//! The engines, each behind the same three functions.

mod burn;
mod candle;
pub mod ours;
mod rten;
mod tract;

use std::path::Path;

use anyhow::{Result, bail};

use crate::graph::{Graph, Op};

/// One picture, NHWC.
pub struct Picture {
    pub height: usize,
    pub width: usize,
    pub nhwc: Vec<f32>,
}

impl Picture {
    pub fn nchw(&self) -> Vec<f32> {
        (0..3).flat_map(|c| self.nhwc.chunks_exact(3).map(move |pixel| pixel[c])).collect()
    }

    pub fn nchw_shape(&self) -> [usize; 4] {
        [1, 3, self.height, self.width]
    }
}

/// A network loaded, with its input.
pub trait Engine {
    fn name(&self) -> &'static str;
    fn version(&self) -> &'static str;
    fn run(&mut self) -> Result<()>;
    /// Of the last run.
    fn logits(&self) -> Result<Vec<f32>>;
}

pub fn make(
    name: &str,
    onnx: &Path,
    graph: &Graph,
    x: &Picture,
    threads: usize,
) -> Result<Box<dyn Engine>> {
    Ok(match name {
        "rten" => Box::new(rten::Rten::new(onnx, x, threads)?),
        "tract" => Box::new(tract::Tract::new(onnx, x, threads)?),
        "candle" => Box::new(Steps::new(candle::Candle, graph, x)?),
        "burn" => Box::new(Steps::new(burn::Burn::new(), graph, x)?),
        _ => bail!("not one of rten, tract, candle, burn"),
    })
}

/// A library of tensor operations, which has no ONNX reader to be used here.
trait Library {
    const NAME: &'static str;
    const VERSION: &'static str;
    type Tensor: Clone;
    /// An operation with its weights as the library likes them.
    type Layer;

    fn tensor(&self, shape: [usize; 4], data: Vec<f32>) -> Result<Self::Tensor>;
    fn layer(&self, op: &Op) -> Result<Self::Layer>;
    fn apply(&self, layer: &Self::Layer, inputs: &[&Self::Tensor]) -> Result<Self::Tensor>;
    fn values(&self, tensor: &Self::Tensor) -> Result<Vec<f32>>;
}

/// A library, led through the graph step by step.
struct Steps<L: Library> {
    library: L,
    layers: Vec<(L::Layer, Vec<usize>, Vec<usize>)>,
    input: L::Tensor,
    output: Option<L::Tensor>,
}

impl<L: Library> Steps<L> {
    fn new(library: L, graph: &Graph, x: &Picture) -> Result<Self> {
        let layers = graph
            .nodes
            .iter()
            .map(|node| Ok((library.layer(&node.op)?, node.inputs.clone(), node.last.clone())));
        let layers = layers.collect::<Result<_>>()?;
        let input = library.tensor(x.nchw_shape(), x.nchw())?;
        Ok(Self { library, layers, input, output: None })
    }
}

impl<L: Library> Engine for Steps<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn version(&self) -> &'static str {
        L::VERSION
    }

    fn run(&mut self) -> Result<()> {
        let mut values = vec![Some(self.input.clone())];
        for (layer, inputs, last) in &self.layers {
            let inputs: Vec<_> =
                inputs.iter().map(|&i| values[i].as_ref().expect("not used up")).collect();
            let y = self.library.apply(layer, &inputs)?;
            for &i in last {
                values[i] = None;
            }
            values.push(Some(y));
        }
        self.output = values.pop().flatten();
        Ok(())
    }

    fn logits(&self) -> Result<Vec<f32>> {
        self.library.values(self.output.as_ref().expect("run before"))
    }
}
