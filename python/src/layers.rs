//! Single layers: packed weights, and their plans.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use sepconv::kernels::{
    self, Binary, Conv, ConvParams, Dense, DenseParams, DepthToSpace, Depthwise, DepthwiseParams,
    ElementType, Elements, Elementwise, GlobalAveragePool, NhwcView, NhwcViewMut, Normalization,
    NormalizationParams, Packed, Plan, Pointwise, PointwiseParams, Pool, Quantization,
    QuantizedWeights, Resize, Separable, SeparableParams, Softmax, TensorLayout, TransposedConv,
    TransposedParams, TransposedWindow, WeightLayout, Window,
};

use crate::Shape;
use crate::arguments::{self, ActivationName, PaddingName, TransposedPaddingName};
use crate::arrays::{Array, ArrayMut};
use crate::errors::kernel_error;
use crate::pools::{self, Idle};

/// What all layers have, from a dictionary with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    input_activation: ActivationName,
    activation: ActivationName,
    input_type: String,
    output_type: String,
    input_layout: String,
    output_layout: String,
    /// Scale and zero point.
    input_quantization: (f32, i32),
    output_quantization: (f32, i32),
    residual_quantization: Option<(f32, i32)>,
    level: Option<String>,
    arithmetic: String,
    amx: bool,
    threads: usize,
}

impl Options {
    fn options(&self) -> PyResult<kernels::Options> {
        let mut options = kernels::Options::default()
            .input_activation(self.input_activation.activation()?)
            .activation(self.activation.activation()?)
            .input_type(arguments::element("dtype", &self.input_type)?)
            .output_type(arguments::element("out_dtype", &self.output_type)?)
            .input_layout(arguments::layout("layout", &self.input_layout)?)
            .output_layout(arguments::layout("out_layout", &self.output_layout)?)
            .input_quantization(quantization(self.input_quantization))
            .output_quantization(quantization(self.output_quantization))
            .level(arguments::level(self.level.as_deref())?)
            .arithmetic(arguments::arithmetic(&self.arithmetic)?)
            .amx(self.amx);
        options.residual_quantization = self.residual_quantization.map(quantization);
        Ok(options)
    }
}

fn quantization((scale, zero_point): (f32, i32)) -> Quantization {
    Quantization::new(scale, zero_point)
}

/// From a dictionary with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct WindowOptions {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: PaddingName,
}

impl WindowOptions {
    fn window(&self) -> PyResult<Window> {
        let window = Window::new(self.kernel).stride(self.stride).dilation(self.dilation);
        Ok(window.padding(self.padding.padding()?))
    }
}

/// The same of a transposed convolution.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct TransposedWindowOptions {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: TransposedPaddingName,
}

impl TransposedWindowOptions {
    fn window(&self) -> PyResult<TransposedWindow> {
        let window = TransposedWindow::new(self.kernel).stride(self.stride);
        Ok(window.dilation(self.dilation).padding(self.padding.padding()?))
    }
}

/// Weights and bias, from a dictionary with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Weights<'py> {
    array: Bound<'py, PyAny>,
    element: String,
    layout: String,
    bias: Option<PyReadonlyArray1<'py, f32>>,
    /// Of weights of i8.
    scales: Option<PyReadonlyArray1<'py, f32>>,
    /// Likewise.
    integer_bias: Option<PyReadonlyArray1<'py, i32>>,
}

/// Their array.
struct Borrowed<'py> {
    array: Array<'py>,
    element: ElementType,
    layout: WeightLayout,
}

/// What is packed.
#[derive(Clone, Copy)]
struct Parts<'a> {
    elements: Elements<'a>,
    layout: WeightLayout,
    bias: Option<&'a [f32]>,
    quantized: Option<QuantizedWeights<'a>>,
}

impl<'py> Weights<'py> {
    fn borrow(&self) -> PyResult<Borrowed<'py>> {
        let element = arguments::element("weights", &self.element)?;
        let array = Array::of(&self.array, element)?;
        Ok(Borrowed { array, element, layout: arguments::weight_layout(&self.layout)? })
    }

    fn parts<'a>(&'a self, borrowed: &'a Borrowed<'py>) -> PyResult<Parts<'a>> {
        let scales = self.scales.as_ref().map(PyReadonlyArray1::as_slice).transpose()?;
        let bias = self.integer_bias.as_ref().map(PyReadonlyArray1::as_slice).transpose()?;
        let quantized = scales.map(|scales| {
            let mut quantized = QuantizedWeights::new(scales);
            quantized.bias = bias;
            quantized
        });
        Ok(Parts {
            elements: borrowed.array.elements(borrowed.element)?,
            layout: borrowed.layout,
            bias: self.bias.as_ref().map(PyReadonlyArray1::as_slice).transpose()?,
            quantized,
        })
    }
}

impl<'a> Parts<'a> {
    fn depthwise(self, window: Window, multiplier: usize) -> DepthwiseParams<'a> {
        let Self { elements, layout, bias, quantized } = self;
        let mut params =
            DepthwiseParams::new(window, elements).multiplier(multiplier).layout(layout);
        (params.bias, params.quantized) = (bias, quantized);
        params
    }
}

/// Makes a plan for an input of shape N×H×W×C and, if it has two operands, a second one.
type Make =
    dyn Fn([usize; 4], Option<[usize; 4]>) -> Result<Box<dyn Plan>, kernels::Error> + Send + Sync;

/// A layer, for inputs of any size.
#[pyclass(frozen, module = "sepconv._sepconv")]
pub(crate) struct Layer {
    make: Box<Make>,
    threads: usize,
}

impl Layer {
    /// Packs weights.
    fn packed<L: Plan + 'static>(
        py: Python<'_>,
        options: &Options,
        pack: impl FnOnce(&kernels::Options) -> Result<Packed<L>, kernels::Error> + Send,
    ) -> PyResult<Self> {
        let (threads, options) = (options.threads, options.options()?);
        let packed = pools::on(py, threads, || pack(&options))?.map_err(kernel_error)?;
        let make: Box<Make> =
            Box::new(move |[n, h, w, _], _| Ok(Box::new(packed.plan([n, h, w])?)));
        Ok(Self { make, threads })
    }

    /// One without weights.
    fn simple<L: Plan + 'static>(
        options: &Options,
        plan: impl Fn([usize; 4], &kernels::Options) -> Result<L, kernels::Error>
        + Send
        + Sync
        + 'static,
    ) -> PyResult<Self> {
        let (threads, options) = (options.threads, options.options()?);
        Ok(Self { make: Box::new(move |input, _| Ok(Box::new(plan(input, &options)?))), threads })
    }
}

#[pymethods]
impl Layer {
    /// `channels`: of the input, and the multiplier.
    #[staticmethod]
    fn depthwise(
        py: Python<'_>,
        options: Options,
        window: WindowOptions,
        channels: [usize; 2],
        weights: Weights<'_>,
    ) -> PyResult<Self> {
        let [channels, multiplier] = channels;
        let window = window.window()?;
        let borrowed = weights.borrow()?;
        let params = weights.parts(&borrowed)?.depthwise(window, multiplier);
        Self::packed(py, &options, |options| Depthwise::pack(channels, &params, options))
    }

    /// `channels`: of input and output.
    #[staticmethod]
    fn pointwise(
        py: Python<'_>,
        options: Options,
        stride: [usize; 2],
        channels: [usize; 2],
        weights: Weights<'_>,
    ) -> PyResult<Self> {
        let [channels, channels_out] = channels;
        let borrowed = weights.borrow()?;
        let Parts { elements, layout, bias, quantized } = weights.parts(&borrowed)?;
        let mut params = PointwiseParams::new(channels_out, elements).stride(stride).layout(layout);
        (params.bias, params.quantized) = (bias, quantized);
        Self::packed(py, &options, |options| Pointwise::pack(channels, &params, options))
    }

    /// `channels`: of input and output.
    #[staticmethod]
    fn dense(
        py: Python<'_>,
        options: Options,
        channels: [usize; 2],
        weights: Weights<'_>,
    ) -> PyResult<Self> {
        let [channels, channels_out] = channels;
        let borrowed = weights.borrow()?;
        let Parts { elements, layout, bias, quantized } = weights.parts(&borrowed)?;
        let mut params = DenseParams::new(channels_out, elements).layout(layout);
        (params.bias, params.quantized) = (bias, quantized);
        Self::packed(py, &options, |options| Dense::pack(channels, &params, options))
    }

    /// `channels`: of the input, the multiplier, those of the output. `middle`: activation and
    /// quantization between the two.
    #[staticmethod]
    fn separable(
        py: Python<'_>,
        options: Options,
        window: WindowOptions,
        channels: [usize; 3],
        depthwise: Weights<'_>,
        pointwise: Weights<'_>,
        middle: (ActivationName, (f32, i32)),
    ) -> PyResult<Self> {
        let [channels, multiplier, channels_out] = channels;
        let window = window.window()?;
        let (first, second) = (depthwise.borrow()?, pointwise.borrow()?);
        let first = depthwise.parts(&first)?.depthwise(window, multiplier);
        let Parts { elements, layout, bias, quantized } = pointwise.parts(&second)?;
        let mut params = SeparableParams::new(first, channels_out, elements)
            .layout(layout)
            .mid_activation(middle.0.activation()?)
            .mid_quantization(quantization(middle.1));
        (params.bias, params.quantized) = (bias, quantized);
        Self::packed(py, &options, |options| Separable::pack(channels, &params, options))
    }

    /// `channels`: of input and output.
    #[staticmethod]
    fn conv(
        py: Python<'_>,
        options: Options,
        window: WindowOptions,
        channels: [usize; 2],
        groups: usize,
        weights: Weights<'_>,
    ) -> PyResult<Self> {
        let [channels, channels_out] = channels;
        let window = window.window()?;
        let borrowed = weights.borrow()?;
        let Parts { elements, layout, bias, quantized } = weights.parts(&borrowed)?;
        let mut params =
            ConvParams::new(window, channels_out, elements).groups(groups).layout(layout);
        (params.bias, params.quantized) = (bias, quantized);
        Self::packed(py, &options, |options| Conv::pack(channels, &params, options))
    }

    /// `channels`: of input and output.
    #[staticmethod]
    fn transposed(
        py: Python<'_>,
        options: Options,
        window: TransposedWindowOptions,
        channels: [usize; 2],
        groups: usize,
        weights: Weights<'_>,
    ) -> PyResult<Self> {
        let [channels, channels_out] = channels;
        let window = window.window()?;
        let borrowed = weights.borrow()?;
        let Parts { elements, layout, bias, .. } = weights.parts(&borrowed)?;
        let mut params =
            TransposedParams::new(window, channels_out, elements).groups(groups).layout(layout);
        params.bias = bias;
        Self::packed(py, &options, |options| TransposedConv::pack(channels, &params, options))
    }

    #[staticmethod]
    fn pool(options: Options, window: WindowOptions, kind: &str) -> PyResult<Self> {
        let (window, kind) = (window.window()?, arguments::pool(kind)?);
        Self::simple(&options, move |input, options| Pool::new(input, kind, window, options))
    }

    #[staticmethod]
    fn global_average_pool(options: Options) -> PyResult<Self> {
        Self::simple(&options, GlobalAveragePool::new)
    }

    #[staticmethod]
    fn elementwise(options: Options) -> PyResult<Self> {
        Self::simple(&options, Elementwise::new)
    }

    #[staticmethod]
    fn binary(options: Options, operation: &str) -> PyResult<Self> {
        let (threads, options) = (options.threads, options.options()?);
        let operation = arguments::binary(operation)?;
        let make: Box<Make> = Box::new(move |a, b| {
            Ok(Box::new(Binary::new(operation, a, b.unwrap_or(a), &options)?))
        });
        Ok(Self { make, threads })
    }

    /// `groups` counts if the kind is `group`.
    #[staticmethod]
    fn normalization(
        options: Options,
        kind: &str,
        groups: usize,
        epsilon: f32,
        scale: Option<PyReadonlyArray1<'_, f32>>,
        shift: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<Self> {
        let kind = arguments::normalization(kind, groups)?;
        let owned = |array: Option<PyReadonlyArray1<'_, f32>>| {
            array.map(|array| array.as_slice().map(<[f32]>::to_vec)).transpose()
        };
        let (scale, shift) = (owned(scale)?, owned(shift)?);
        Self::simple(&options, move |input, options| {
            let mut params = NormalizationParams::new(kind, epsilon);
            (params.scale, params.shift) = (scale.as_deref(), shift.as_deref());
            Normalization::new(input, &params, options)
        })
    }

    /// To the height and width `size`.
    #[staticmethod]
    fn resize(
        options: Options,
        size: [usize; 2],
        interpolation: &str,
        coordinates: &str,
    ) -> PyResult<Self> {
        let interpolation = arguments::interpolation(interpolation)?;
        let coordinates = arguments::coordinates(coordinates)?;
        Self::simple(&options, move |input, options| {
            Resize::new(input, size, interpolation, coordinates, options)
        })
    }

    #[staticmethod]
    fn depth_to_space(options: Options, block: usize, order: &str) -> PyResult<Self> {
        let order = arguments::depth_order(order)?;
        Self::simple(&options, move |input, options| {
            DepthToSpace::new(input, block, order, options)
        })
    }

    #[staticmethod]
    fn softmax(options: Options) -> PyResult<Self> {
        Self::simple(&options, Softmax::new)
    }

    /// A plan for an input N×H×W×C, and a second operand if it takes two.
    #[pyo3(signature = (input, second=None))]
    fn plan(
        &self,
        py: Python<'_>,
        input: [usize; 4],
        second: Option<[usize; 4]>,
    ) -> PyResult<LayerPlan> {
        let plan = pools::on(py, self.threads, || (self.make)(input, second))?;
        let plan = plan.map_err(kernel_error)?;
        let second = second.unwrap_or(plan.output_shape());
        Ok(LayerPlan { plan, second, threads: self.threads, idle: Idle::default() })
    }
}

/// A plan for one shape, and the scratch of its runs.
#[pyclass(frozen, module = "sepconv._sepconv")]
pub(crate) struct LayerPlan {
    plan: Box<dyn Plan>,
    /// The shape of the residual, or the second operand.
    second: [usize; 4],
    threads: usize,
    idle: Idle<Vec<f32>>,
}

/// An array, and the elements from one pixel to the next if it is not dense.
type Strided<'py> = (Bound<'py, PyAny>, Option<usize>);

#[pymethods]
impl LayerPlan {
    /// N×H×W×C of the input.
    fn input_shape(&self) -> Shape {
        self.plan.input_shape().into()
    }

    /// N×H×W×C of the output.
    fn output_shape(&self) -> Shape {
        self.plan.output_shape().into()
    }

    /// The instruction-set level whose kernels run.
    fn level(&self) -> &'static str {
        self.plan.level().name()
    }

    /// The kernels that run.
    fn kernel_name(&self) -> &str {
        self.plan.kernel_name()
    }

    /// Multiply-adds of one run.
    fn multiply_adds(&self) -> u64 {
        self.plan.multiply_adds()
    }

    /// Bytes of the packed weights and biases.
    fn weights_bytes(&self) -> usize {
        self.plan.weights_bytes()
    }

    /// Computes `y` from `x` and `residual`, arrays of the plan's types and shapes. Those of NCHW,
    /// and `y`, are dense.
    fn run<'py>(
        &self,
        py: Python<'py>,
        x: Strided<'py>,
        residual: Option<Strided<'py>>,
        y: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let Self { plan, second, threads, idle } = self;
        let (input, output) = (plan.input_type(), plan.output_type());
        let (x_array, residual_array) = (
            Array::of(&x.0, input)?,
            residual.as_ref().map(|(array, _)| Array::of(array, output)).transpose()?,
        );
        let mut y = ArrayMut::of(y, output)?;
        let x = view(x_array.elements(input)?, plan.input_shape(), plan.input_layout(), x.1)?;
        let layout = plan.output_layout();
        let residual = match (&residual_array, &residual) {
            (Some(array), Some((_, stride))) => {
                Some(view(array.elements(output)?, *second, layout, *stride)?)
            }
            _ => None,
        };
        let [n, h, w, c] = plan.output_shape();
        let y = match layout {
            TensorLayout::Nhwc => NhwcViewMut::new(y.elements(output)?, [n, h, w, c]),
            TensorLayout::Nchw => NhwcViewMut::nchw(y.elements(output)?, [n, c, h, w]),
        };
        let y = y.map_err(kernel_error)?;
        let scratch = idle.take();
        let mut scratch = scratch.unwrap_or_else(|| vec![0.0; plan.scratch_len(*threads)]);
        let done = pools::on(py, *threads, || plan.run(x, residual, y, &mut scratch))?;
        idle.put(scratch);
        done.map_err(kernel_error)
    }
}

fn view<'a>(
    elements: Elements<'a>,
    shape: [usize; 4],
    layout: TensorLayout,
    stride: Option<usize>,
) -> PyResult<NhwcView<'a>> {
    let [n, h, w, c] = shape;
    let view = match layout {
        TensorLayout::Nhwc => NhwcView::with_pixel_stride(elements, shape, stride.unwrap_or(c)),
        TensorLayout::Nchw => NhwcView::nchw(elements, [n, c, h, w]),
    };
    view.map_err(kernel_error)
}
