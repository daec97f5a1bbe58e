//! A loaded model, and its plans.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use sepconv::image::{Channels, Transform};
use sepconv::kernels::{Arithmetic, ElementType};
use sepconv::models::ModelName;
use sepconv::network::{NetworkPlan, NodeId, OutputKind, PlanOptions, Session, StepInfo};
use sepconv::weights::{self, Crop, Link, Metadata, Model, Resize, Scaling, synthetic};

use crate::errors::{file_error, value_error};
use crate::pictures::Picture;
use crate::pools::{self, Idle};
use crate::{Shape, arguments};

/// A network, its weights, and what else its file says.
#[pyclass(frozen, module = "sepconv._sepconv")]
pub(crate) struct Core(Model);

/// Options of a plan, from a dictionary with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    level: Option<String>,
    arithmetic: String,
    weights_type: Option<String>,
    activations_type: Option<String>,
    amx: bool,
    threads: usize,
}

impl Options {
    fn plan(&self, nodes: &[String]) -> PyResult<PlanOptions> {
        let arithmetic = arguments::arithmetic(&self.arithmetic)?;
        // As on the command line.
        let unnamed = match arithmetic {
            Arithmetic::Bf16 => ElementType::Bf16,
            _ => ElementType::F32,
        };
        let float = |what, name: &Option<String>| match name {
            Some(name) => arguments::float(what, name),
            None => Ok(unnamed),
        };
        let mut options = PlanOptions::default()
            .outputs(nodes)
            .arithmetic(arithmetic)
            .weights_type(float("weights_type", &self.weights_type)?)
            .activations_type(float("activations_type", &self.activations_type)?)
            .amx(self.amx);
        options.level = arguments::level(self.level.as_deref())?;
        Ok(options)
    }
}

/// What is said otherwise than a model's file does of its pictures, from a dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PictureOptions {
    resize: Option<String>,
    /// The share of a picture that is used, with its proportions; 0 for all of it, without.
    crop: Option<f64>,
    scaling: Option<String>,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl PictureOptions {
    fn transform(&self, file: &Metadata) -> PyResult<Transform> {
        let mut said = Metadata::default();
        said.resize = match &self.resize {
            Some(name) => Some(arguments::resize(name)?),
            None => file.resize,
        };
        said.crop = match self.crop {
            Some(share) => (share != 0.0).then_some(Crop { share, squash: false }),
            None => file.crop,
        };
        let Self { mean, std, .. } = self;
        if self.scaling.is_some() || !mean.is_empty() || !std.is_empty() {
            let scaling = self.scaling.as_deref().map_or(Ok(Scaling::Unit), arguments::scaling)?;
            said.scaling = Some((scaling, String::new()));
            (said.mean, said.std) = (mean.clone(), std.clone());
        } else {
            said.scaling = file.scaling.clone();
            (said.mean, said.std) = (file.mean.clone(), file.std.clone());
        }
        Transform::of(&said).map_err(value_error)
    }
}

fn model_name(architecture: &str) -> PyResult<ModelName> {
    architecture
        .parse()
        .map_err(|e| PyValueError::new_err(format!("architecture: got {architecture:?}; {e}")))
}

impl Core {
    /// A model whose inputs are arrays of up to four dimensions.
    fn of(model: Model) -> PyResult<Self> {
        match model.network.input_steps() {
            None => Ok(Self(model)),
            Some(steps) => Err(PyValueError::new_err(format!(
                "the model takes sequences of {steps} pictures, which this package does not run; \
                 the command line's `sepconv run` does"
            ))),
        }
    }
}

#[pymethods]
impl Core {
    /// Loads a file: of a whole model, or of the weights of the architecture of this name.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf, architecture: Option<&str>) -> PyResult<Self> {
        let name = architecture.map(model_name).transpose()?;
        let model = py.detach(|| match name {
            None => weights::load(&path),
            Some(name) => Model::named(name, |network| weights::load_weights(&path, network)),
        });
        Self::of(model.map_err(|e| file_error(py, &path, e))?)
    }

    /// Loads a file from memory, where it lies; errors show `name` as the file.
    #[staticmethod]
    fn from_bytes(
        py: Python<'_>,
        name: &str,
        data: PyBackedBytes,
        architecture: Option<&str>,
    ) -> PyResult<Self> {
        let architecture = architecture.map(model_name).transpose()?;
        let model = py.detach(|| match architecture {
            None => weights::load_bytes(name, data),
            Some(architecture) => Model::named(architecture, |network| {
                weights::load_weights_bytes(name, data, network)
            }),
        });
        Self::of(model.map_err(value_error)?)
    }

    /// The architecture of a name, with pseudorandom weights.
    #[staticmethod]
    fn random(py: Python<'_>, architecture: &str) -> PyResult<Self> {
        let name = model_name(architecture)?;
        py.detach(|| Model::named(name, synthetic::weights)).map(Self).map_err(value_error)
    }

    /// A file that `from_bytes` loads.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| weights::to_bytes(&self.0)).map_err(value_error)?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn name(&self) -> &str {
        self.0.network.name()
    }

    /// The height and width, if known, the channels, and whether inputs are sequences.
    fn input(&self) -> (Option<usize>, Option<usize>, usize, bool) {
        let ([height, width], channels) = self.0.network.input();
        (height, width, channels, self.0.network.is_of_sequences())
    }

    /// Scale and zero point, if the model's input is of integers.
    fn input_quantization(&self) -> Option<(f32, i32)> {
        let quantization = self.0.network.nodes()[0].quantization?;
        Some((quantization.scale, quantization.zero_point))
    }

    /// The name and node of each output.
    fn outputs(&self) -> Vec<(&str, &str)> {
        let network = &self.0.network;
        let outputs = network.outputs().iter();
        outputs.map(|o| (o.name.as_str(), network.node(o.node).name.as_str())).collect()
    }

    fn nodes(&self) -> Vec<&str> {
        self.0.network.nodes().iter().map(|node| node.name.as_str()).collect()
    }

    /// The number of dimensions that a node has in Keras.
    fn rank(&self, node: &str) -> PyResult<usize> {
        Ok(self.0.network.rank(self.find(node)?))
    }

    /// What a node's last function is applied to: its name and that of the operand. The operand is
    /// missing for a mean of softmaxes, the function for a value that is none of these.
    fn logits(&self, node: &str) -> PyResult<(Option<&'static str>, Option<&str>)> {
        let network = &self.0.network;
        Ok(match network.kind(self.find(node)?) {
            OutputKind::Softmax { logits } => (Some("softmax"), Some(&network.node(logits).name)),
            OutputKind::Sigmoid { logits } => (Some("sigmoid"), Some(&network.node(logits).name)),
            OutputKind::Probabilities => (Some("mean of softmaxes"), None),
            _ => (None, None),
        })
    }

    fn labels(&self) -> Option<Vec<String>> {
        self.0.metadata.labels.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.0.metadata.notes.clone()
    }

    /// How pixels become the input: the name of the scaling, mean and standard deviation.
    fn scaling(&self) -> (Option<&'static str>, Vec<f32>, Vec<f32>) {
        let metadata = &self.0.metadata;
        let name = metadata.scaling.as_ref().map(|(scaling, _)| Scaling::name(*scaling));
        (name, metadata.mean.clone(), metadata.std.clone())
    }

    /// How pictures are resized: the rule's name, the share of the picture that is used, and
    /// whether it is squashed.
    fn resizing(&self) -> (Option<&'static str>, Option<(f64, bool)>) {
        let metadata = &self.0.metadata;
        (metadata.resize.map(Resize::name), metadata.crop.map(|crop| (crop.share, crop.squash)))
    }

    /// Writes a picture as the model's input to `x`, of this height and width.
    fn preprocess<'py>(
        &self,
        py: Python<'py>,
        picture: &Picture,
        size: (usize, usize),
        options: PictureOptions,
        mut x: PyReadwriteArray1<'py, f32>,
    ) -> PyResult<()> {
        let transform = options.transform(&self.0.metadata)?;
        let x = x.as_slice_mut()?;
        let input = py.detach(|| {
            let channels = Channels::new(self.0.network.input().1)?;
            transform.apply(&picture.picture, size.into(), channels)
        });
        let input = input.map_err(value_error)?;
        if input.len() != x.len() {
            let (expected, got) = (input.len(), x.len());
            let message = format!("x: expected {expected} elements, got {got}");
            return Err(PyValueError::new_err(message));
        }
        x.copy_from_slice(&input);
        Ok(())
    }

    /// The function that turns the first output into probabilities, if it is known to be logits.
    fn link(&self) -> Option<&'static str> {
        self.0.metadata.logits.map(|link| match link {
            Link::Sigmoid => "sigmoid",
            _ => "softmax",
        })
    }

    /// Trainable parameters, and all.
    fn parameters(&self) -> PyResult<(usize, usize)> {
        let count = weights::count_parameters(&self.0.network).map_err(value_error)?;
        Ok((count.trainable, count.total))
    }

    /// A plan for inputs N×H×W×C that reports these nodes.
    fn plan(
        &self,
        py: Python<'_>,
        shape: [usize; 4],
        nodes: Vec<String>,
        options: Options,
    ) -> PyResult<Plan> {
        let Model { network, weights, .. } = &self.0;
        let (plan_options, threads) = (options.plan(&nodes)?, options.threads);
        let plan = pools::on(py, threads, || {
            Ok(Arc::new(NetworkPlan::new(network, weights, shape, &plan_options)?))
        })?;
        Plan::new(py, plan.map_err(value_error)?, nodes, threads)
    }
}

impl Core {
    fn find(&self, node: &str) -> PyResult<NodeId> {
        let network = &self.0.network;
        network.find(node).ok_or_else(|| {
            PyValueError::new_err(format!("{:?} has no node {node:?}", network.name()))
        })
    }
}

/// A plan for one shape, and the memory of its runs.
#[pyclass(frozen, module = "sepconv._sepconv")]
pub(crate) struct Plan {
    plan: Arc<NetworkPlan>,
    /// Those that it reports, in the order of `run`'s outputs.
    nodes: Vec<String>,
    shapes: Vec<[usize; 4]>,
    threads: usize,
    idle: Idle<Session>,
}

#[pymethods]
impl Plan {
    /// A plan for another shape that shares the weights.
    fn resized(&self, py: Python<'_>, shape: [usize; 4]) -> PyResult<Self> {
        let plan = pools::on(py, self.threads, || self.plan.resized(shape))?;
        let plan = Arc::new(plan.map_err(value_error)?);
        Self::new(py, plan, self.nodes.clone(), self.threads)
    }

    /// The shape N×H×W×C of each reported node.
    fn shapes(&self) -> Vec<Shape> {
        self.shapes.iter().map(|&shape| shape.into()).collect()
    }

    fn level(&self) -> &'static str {
        self.plan.level().name()
    }

    fn multiply_adds(&self) -> u64 {
        self.plan.multiply_adds()
    }

    /// Bytes of the packed weights, of the values between layers, and of the kernels' scratch.
    fn bytes(&self) -> (usize, usize, usize) {
        let Self { plan, threads, .. } = self;
        (plan.weights_bytes(), plan.arena_bytes(*threads), plan.scratch_bytes(*threads))
    }

    /// Of each step: name, kernel, shape of the first operand and of the result, multiply-adds.
    fn steps(&self) -> Vec<(&str, &str, Shape, Shape, u64)> {
        let steps = self.plan.steps();
        let shapes = |s: &StepInfo| (s.input.into(), s.output.into());
        let described = steps.map(|s| (&*s.name, &*s.kernel, shapes(s), s.multiply_adds));
        described.map(|(name, kernel, (x, y), count)| (name, kernel, x, y, count)).collect()
    }

    /// Computes the reported nodes from `x` into `outputs`.
    fn run<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray1<'py, f32>,
        mut outputs: Vec<PyReadwriteArray1<'py, f32>>,
    ) -> PyResult<()> {
        let x = x.as_slice()?;
        let slices = outputs.iter_mut().map(PyReadwriteArray1::as_slice_mut);
        let mut outputs = slices.collect::<Result<Vec<&mut [f32]>, _>>()?;
        self.check(&outputs)?;
        let mut session = match self.idle.take() {
            Some(session) => session,
            None => self.session(py)?,
        };
        let done = pools::on(py, self.threads, || {
            session.run(x)?;
            for (node, output) in self.nodes.iter().zip(&mut outputs) {
                if let Some((values, _)) = session.node(node) {
                    output.copy_from_slice(values);
                }
            }
            Ok(())
        })?;
        self.idle.put(session);
        done.map_err(value_error)
    }
}

impl Plan {
    fn new(
        py: Python<'_>,
        plan: Arc<NetworkPlan>,
        nodes: Vec<String>,
        threads: usize,
    ) -> PyResult<Self> {
        let mut new = Self { plan, nodes, shapes: Vec::new(), threads, idle: Idle::default() };
        let session = new.session(py)?;
        let shape = |node: &String| session.node(node).map(|(_, shape)| shape);
        new.shapes = new.nodes.iter().filter_map(shape).collect();
        new.idle.put(session);
        Ok(new)
    }

    fn session(&self, py: Python<'_>) -> PyResult<Session> {
        let plan = Arc::clone(&self.plan);
        py.detach(|| Session::with_threads(plan, self.threads)).map_err(value_error)
    }

    fn check(&self, outputs: &[&mut [f32]]) -> PyResult<()> {
        if outputs.len() != self.shapes.len() {
            let (expected, got) = (self.shapes.len(), outputs.len());
            let message = format!("out: expected {expected} arrays, got {got}");
            return Err(PyValueError::new_err(message));
        }
        for ((node, shape), output) in self.nodes.iter().zip(&self.shapes).zip(outputs) {
            let (expected, got) = (shape.iter().product::<usize>(), output.len());
            if expected != got {
                return Err(PyValueError::new_err(format!(
                    "out: expected {expected} elements for {node:?} of shape {shape:?}, got {got}"
                )));
            }
        }
        Ok(())
    }
}
