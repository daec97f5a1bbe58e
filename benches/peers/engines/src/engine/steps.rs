//! Libraries of tensor operations, led through the graph of the ONNX file step by step.

use anyhow::{Context, Result};

use super::{Engine, Picture};
use crate::graph::{Graph, Op, Source};

pub trait Library {
    type Tensor: Clone;
    /// An operation with its weights as the library likes them.
    type Layer;

    fn tensor(&self, shape: [usize; 4], data: Vec<f32>) -> Result<Self::Tensor>;
    fn layer(&self, op: &Op) -> Result<Self::Layer>;
    /// Takes its inputs, so that a library may compute in place on what nobody else holds.
    fn apply(&self, layer: &Self::Layer, inputs: Vec<Self::Tensor>) -> Result<Self::Tensor>;
    fn values(&self, tensor: Self::Tensor) -> Result<Vec<f32>>;
}

pub struct Steps<L: Library> {
    library: L,
    steps: Vec<(L::Layer, Vec<Source>)>,
    x: L::Tensor,
}

impl<L: Library> Steps<L> {
    pub fn new(library: L, graph: &Graph, x: &Picture) -> Result<Self> {
        let steps = graph.nodes.iter().map(|node| {
            let layer = library.layer(&node.op).with_context(|| node.name.clone())?;
            Ok((layer, node.inputs.clone()))
        });
        let steps = steps.collect::<Result<_>>()?;
        let x = library.tensor(x.nchw_shape(), x.nchw())?;
        Ok(Self { library, steps, x })
    }
}

impl<L: Library> Engine for Steps<L> {
    fn run(&mut self) -> Result<Vec<f32>> {
        let mut values = vec![Some(self.x.clone())];
        for (layer, sources) in &self.steps {
            let inputs = sources.iter().map(|source| {
                let slot = &mut values[source.value];
                if source.last { slot.take() } else { slot.clone() }
            });
            let inputs =
                inputs.collect::<Option<_>>().expect("no value is read after its last use");
            values.push(Some(self.library.apply(layer, inputs)?));
        }
        self.library.values(values.pop().flatten().expect("the input or a step's output"))
    }
}
