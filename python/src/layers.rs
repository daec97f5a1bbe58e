//! Single layers: packed weights, and their plans.

use std::sync::{Mutex, PoisonError};

use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use sepconv::kernels::{
    self, Conv, ConvParams, Depthwise, DepthwiseParams, ElementType, Elements, ElementsMut,
    NhwcView, NhwcViewMut, Options, Packed, Plan, Pointwise, PointwiseParams, Separable,
    SeparableParams, Window,
};

use crate::arguments::{self, ActivationName, PaddingName};
use crate::errors::kernel_error;
use crate::{Shape, pools};

/// What a layer computes, from a dictionary with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Description {
    kind: String,
    channels_in: usize,
    channels_out: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: PaddingName,
    multiplier: usize,
    groups: usize,
    input_activation: ActivationName,
    mid_activation: ActivationName,
    activation: ActivationName,
    input_type: String,
    output_type: String,
    /// That of each array of weights.
    weights_type: String,
    level: Option<String>,
    arithmetic: String,
    amx: bool,
    threads: usize,
}

impl Description {
    fn window(&self) -> PyResult<Window> {
        let window = Window::new(self.kernel).stride(self.stride).dilation(self.dilation);
        Ok(window.padding(self.padding.padding()?))
    }

    fn options(&self) -> PyResult<Options> {
        Ok(Options::default()
            .input_activation(self.input_activation.activation()?)
            .activation(self.activation.activation()?)
            .input_type(arguments::float("input_type", &self.input_type)?)
            .output_type(arguments::float("output_type", &self.output_type)?)
            .level(arguments::level(self.level.as_deref())?)
            .arithmetic(arguments::arithmetic(&self.arithmetic)?)
            .amx(self.amx))
    }
}

/// An array of f32, or of the bits of f16 or bf16.
enum Array<'py> {
    Numbers(PyReadonlyArray1<'py, f32>),
    Bits(PyReadonlyArray1<'py, u16>),
}

impl<'py> Array<'py> {
    fn of(array: &Bound<'py, PyAny>, element: ElementType) -> PyResult<Self> {
        match element {
            ElementType::F32 => Ok(Self::Numbers(array.extract()?)),
            _ => Ok(Self::Bits(array.extract()?)),
        }
    }

    fn elements(&self, element: ElementType) -> PyResult<Elements<'_>> {
        Ok(match self {
            Self::Numbers(numbers) => Elements::F32(numbers.as_slice()?),
            Self::Bits(bits) if element == ElementType::F16 => Elements::F16(bits.as_slice()?),
            Self::Bits(bits) => Elements::Bf16(bits.as_slice()?),
        })
    }
}

/// The same, to be written.
enum ArrayMut<'py> {
    Numbers(PyReadwriteArray1<'py, f32>),
    Bits(PyReadwriteArray1<'py, u16>),
}

impl<'py> ArrayMut<'py> {
    fn of(array: &Bound<'py, PyAny>, element: ElementType) -> PyResult<Self> {
        match element {
            ElementType::F32 => Ok(Self::Numbers(array.extract()?)),
            _ => Ok(Self::Bits(array.extract()?)),
        }
    }

    fn elements(&mut self, element: ElementType) -> PyResult<ElementsMut<'_>> {
        Ok(match self {
            Self::Numbers(numbers) => ElementsMut::F32(numbers.as_slice_mut()?),
            Self::Bits(bits) => match element {
                ElementType::F16 => ElementsMut::F16(bits.as_slice_mut()?),
                _ => ElementsMut::Bf16(bits.as_slice_mut()?),
            },
        })
    }
}

enum Weights {
    Depthwise(Packed<Depthwise>),
    Pointwise(Packed<Pointwise>),
    Separable(Packed<Separable>),
    Conv(Packed<Conv>),
}

impl Weights {
    fn plan(&self, size: [usize; 3]) -> Result<Box<dyn Plan>, kernels::Error> {
        Ok(match self {
            Self::Depthwise(packed) => Box::new(packed.plan(size)?),
            Self::Pointwise(packed) => Box::new(packed.plan(size)?),
            Self::Separable(packed) => Box::new(packed.plan(size)?),
            Self::Conv(packed) => Box::new(packed.plan(size)?),
        })
    }
}

/// Packed weights of a layer, for inputs of any size.
#[pyclass(frozen, module = "sepconv._sepconv")]
pub(crate) struct PackedLayer {
    weights: Weights,
    threads: usize,
}

#[pymethods]
impl PackedLayer {
    /// Packs `weights`: one array, or for a separable layer two, with elements in the order HWIO.
    #[new]
    fn new(
        py: Python<'_>,
        description: Description,
        weights: Vec<Bound<'_, PyAny>>,
        bias: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<Self> {
        let description = &description;
        let element = arguments::float("weights_type", &description.weights_type)?;
        let arrays = weights.iter().map(|array| Array::of(array, element));
        let arrays = arrays.collect::<PyResult<Vec<_>>>()?;
        let elements = arrays.iter().map(|array| array.elements(element));
        let elements = elements.collect::<PyResult<Vec<_>>>()?;
        let bias = bias.as_ref().map(PyReadonlyArray1::as_slice).transpose()?;
        let threads = description.threads;
        let weights = pools::on(py, threads, || pack(description, &elements, bias))??;
        Ok(Self { weights, threads })
    }

    /// A plan for inputs N×H×W×C.
    fn plan(&self, py: Python<'_>, size: [usize; 3]) -> PyResult<LayerPlan> {
        let plan = pools::on(py, self.threads, || self.weights.plan(size))?;
        let plan = plan.map_err(kernel_error)?;
        Ok(LayerPlan { plan, threads: self.threads, idle: Mutex::new(Vec::new()) })
    }
}

fn pack(
    description: &Description,
    weights: &[Elements<'_>],
    bias: Option<&[f32]>,
) -> PyResult<Weights> {
    let Description { channels_in, channels_out, multiplier, groups, .. } = *description;
    let (window, options) = (description.window()?, description.options()?);
    let depthwise = |weights| DepthwiseParams::new(window, weights).multiplier(multiplier);
    let packed = match (description.kind.as_str(), weights) {
        ("depthwise", &[weights]) => {
            let mut params = depthwise(weights);
            params.bias = bias;
            Depthwise::pack(channels_in, &params, &options).map(Weights::Depthwise)
        }
        ("pointwise", &[weights]) => {
            let mut params = PointwiseParams::new(channels_out, weights).stride(window.stride);
            params.bias = bias;
            Pointwise::pack(channels_in, &params, &options).map(Weights::Pointwise)
        }
        ("separable", &[first, second]) => {
            let mut params = SeparableParams::new(depthwise(first), channels_out, second)
                .mid_activation(description.mid_activation.activation()?);
            params.bias = bias;
            Separable::pack(channels_in, &params, &options).map(Weights::Separable)
        }
        ("conv", &[weights]) => {
            let mut params = ConvParams::new(window, channels_out, weights).groups(groups);
            params.bias = bias;
            Conv::pack(channels_in, &params, &options).map(Weights::Conv)
        }
        (kind, weights) => {
            let count = weights.len();
            return Err(PyTypeError::new_err(format!("no layer {kind:?} of {count} weights")));
        }
    };
    packed.map_err(kernel_error)
}

/// A plan for one shape, and the scratch of its runs.
#[pyclass(frozen, module = "sepconv._sepconv")]
pub(crate) struct LayerPlan {
    plan: Box<dyn Plan>,
    threads: usize,
    /// As many as have run at once. Locked only while Python's global lock is held.
    idle: Mutex<Vec<Vec<f32>>>,
}

#[pymethods]
impl LayerPlan {
    fn input_shape(&self) -> Shape {
        self.plan.input_shape().into()
    }

    fn output_shape(&self) -> Shape {
        self.plan.output_shape().into()
    }

    fn level(&self) -> &'static str {
        self.plan.level().name()
    }

    fn kernel_name(&self) -> &str {
        self.plan.kernel_name()
    }

    fn multiply_adds(&self) -> u64 {
        self.plan.multiply_adds()
    }

    fn weights_bytes(&self) -> usize {
        self.plan.weights_bytes()
    }

    /// Computes `y` from `x` and `residual`, dense arrays of the plan's types and shapes.
    fn run<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        residual: Option<&Bound<'py, PyAny>>,
        y: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let Self { plan, threads, idle } = self;
        let (input, output) = (plan.input_type(), plan.output_type());
        let x = Array::of(x, input)?;
        let residual = residual.map(|residual| Array::of(residual, output)).transpose()?;
        let mut y = ArrayMut::of(y, output)?;
        let x = NhwcView::new(x.elements(input)?, plan.input_shape()).map_err(kernel_error)?;
        let residual = match &residual {
            Some(array) => Some(array.elements(output)?),
            None => None,
        };
        let residual = residual.map(|r| NhwcView::new(r, plan.output_shape())).transpose();
        let residual = residual.map_err(kernel_error)?;
        let y = NhwcViewMut::new(y.elements(output)?, plan.output_shape()).map_err(kernel_error)?;
        let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = idle().pop();
        let mut scratch = scratch.unwrap_or_else(|| vec![0.0; plan.scratch_len(*threads)]);
        let done = pools::on(py, *threads, || plan.run(x, residual, y, &mut scratch))?;
        idle().push(scratch);
        done.map_err(kernel_error)
    }
}
