//! From C's types to Rust's, and from Rust's results to C's.

use std::any::Any;
use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::fmt::Debug;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sepconv_kernels::{
    Activation, Arithmetic, BinaryOp, ConvParams, Coordinates, DenseParams, DepthOrder,
    DepthwiseParams, ElementType, Elements, ElementsMut, Error, Interpolation, Level, NhwcView,
    NhwcViewMut, NormalizationKind, NormalizationParams, Options, Packed, Padding, Plan,
    PointwiseParams, PoolKind, Quantization, QuantizedWeights, SeparableParams, TensorLayout,
    TransposedPadding, TransposedParams, TransposedWindow, WeightLayout, Window,
};

use crate::*;

/// Why a call fails.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// An argument, found here.
    Argument(String),
    Kernels(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Kernels(error)
    }
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

pub(crate) fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(Refusal::Argument(message.into()))
}

/// Room for a message, and the 0 that ends it.
const MESSAGE_BYTES: usize = 512;

thread_local! {
    /// Has no destructor: it is there as long as its thread, in static destructors, too.
    static MESSAGE: Cell<[u8; MESSAGE_BYTES]> = const { Cell::new([0; MESSAGE_BYTES]) };
}

/// See [`sepconv_error`].
pub(crate) fn message() -> *const c_char {
    MESSAGE.with(|message| message.as_ptr().cast())
}

/// Stores the message, of which a long one loses its end.
fn fail(status: sepconv_status, message: &str) -> sepconv_status {
    let mut len = message.len().min(MESSAGE_BYTES - 1);
    while !message.is_char_boundary(len) {
        len -= 1;
    }
    let mut bytes = [0; MESSAGE_BYTES];
    bytes[..len].copy_from_slice(&message.as_bytes()[..len]);
    MESSAGE.set(bytes);
    status
}

/// The value of `body`, or `otherwise` if it panics.
pub(crate) fn value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Runs the body of a function; whatever happens in it ends as a status.
pub(crate) fn guarded(body: impl FnOnce() -> Result<()>) -> sepconv_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => SEPCONV_OK,
        Ok(Err(Refusal::Argument(message))) => fail(SEPCONV_INVALID, &message),
        Ok(Err(Refusal::Kernels(error @ Error::Memory { .. }))) => {
            fail(SEPCONV_NO_MEMORY, &error.to_string())
        }
        Ok(Err(Refusal::Kernels(error))) => fail(SEPCONV_INVALID, &error.to_string()),
        Err(panic) => fail(SEPCONV_INTERNAL, &format!("internal error: {}", text(panic.as_ref()))),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// # Safety
/// `pointer` is null or valid for reading.
pub(crate) unsafe fn required<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    if !pointer.is_null() && !pointer.is_aligned() {
        return refuse(format!("{name} is not aligned to {}", align_of::<T>()));
    }
    // SAFETY: the caller's contract.
    unsafe { pointer.as_ref() }.map_or_else(|| refuse(format!("{name} is null")), Ok)
}

/// Makes a handle and stores it in `place`, which is called `name`.
///
/// # Safety
/// `place` is null or valid.
pub(crate) unsafe fn store<T>(
    place: *mut *mut T,
    name: &str,
    make: impl FnOnce() -> Result<T>,
) -> sepconv_status {
    guarded(|| {
        if place.is_null() {
            return refuse(format!("{name} is null"));
        }
        // SAFETY: the caller's contract.
        unsafe { place.write(std::ptr::null_mut()) };
        let made = Box::into_raw(Box::new(make()?));
        // SAFETY: the caller's contract.
        unsafe { place.write(made) };
        Ok(())
    })
}

/// Makes a plan and stores it.
///
/// # Safety
/// `input` is null or points to four numbers; `options` and `plan` are null or valid.
pub(crate) unsafe fn create(
    input: *const usize,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
    make: impl FnOnce([usize; 4], &Options) -> Result<Box<dyn Plan>>,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        store(plan, "plan", || {
            let shape = *required(input.cast::<[usize; 4]>(), "input")?;
            make(shape, &self::options(options)?).map(sepconv_plan::new)
        })
    }
}

/// Packs weights and stores them.
///
/// # Safety
/// `options` and `packed` are null or valid.
pub(crate) unsafe fn pack(
    options: *const sepconv_options,
    packed: *mut *mut sepconv_packed,
    make: impl FnOnce(&Options) -> Result<Box<dyn AnyPacked>>,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        store(packed, "packed", || {
            let packed = make(&self::options(options)?)?;
            Ok(sepconv_packed { packed })
        })
    }
}

/// Packed weights of any layer.
pub(crate) trait AnyPacked: Debug + Send + Sync {
    fn plan(&self, size: [usize; 3]) -> Result<Box<dyn Plan>>;

    fn output_shape(&self, size: [usize; 3]) -> Result<[usize; 4]>;

    fn weights_bytes(&self) -> usize;
}

impl<L: Plan + 'static> AnyPacked for Packed<L> {
    fn plan(&self, size: [usize; 3]) -> Result<Box<dyn Plan>> {
        Ok(Box::new(self.plan(size)?))
    }

    fn output_shape(&self, size: [usize; 3]) -> Result<[usize; 4]> {
        Ok(self.output_shape(size)?)
    }

    fn weights_bytes(&self) -> usize {
        self.weights_bytes()
    }
}

impl sepconv_plan {
    pub(crate) fn new(plan: Box<dyn Plan>) -> Self {
        let name = CString::new(plan.kernel_name()).unwrap_or_default();
        Self { plan, name }
    }
}

/// The options, or the defaults.
///
/// # Safety
/// `options` is null or valid.
unsafe fn options(options: *const sepconv_options) -> Result<Options> {
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: the caller's contract.
    unsafe { required(options, "options")?.read() }
}

/// Stores a shape, which comes of a handle called `name`.
///
/// # Safety
/// `handle` is null or valid, `shape` null or valid for four numbers.
pub(crate) unsafe fn shape<T>(
    handle: *const T,
    name: &str,
    shape: *mut usize,
    of: impl FnOnce(&T) -> Result<[usize; 4]>,
) -> sepconv_status {
    guarded(|| {
        // SAFETY: the caller's contract.
        let handle = unsafe { required(handle, name)? };
        if shape.is_null() {
            return refuse("shape is null");
        }
        let value = of(handle)?;
        // SAFETY: the caller's contract.
        unsafe { shape.cast::<[usize; 4]>().write(value) };
        Ok(())
    })
}

/// Has `go` run a plan on operands that are there and lie apart from each other.
///
/// # Safety
/// As [`super::sepconv_plan_run`].
pub(crate) unsafe fn run(
    plan: *const sepconv_plan,
    x: *const sepconv_view,
    residual: *const sepconv_view,
    y: *const sepconv_view_mut,
    (scratch, scratch_len): (*mut f32, usize),
    go: impl FnOnce(
        &dyn Plan,
        NhwcView<'_>,
        Option<NhwcView<'_>>,
        NhwcViewMut<'_>,
        &mut [f32],
    ) -> Result<()>,
) -> sepconv_status {
    guarded(|| {
        // SAFETY: the caller's contract; that they don't overlap is checked.
        unsafe {
            let plan = required(plan, "plan")?;
            let (x, y) = (required(x, "x")?, required(y, "y")?);
            let residual = residual.as_ref();
            check_apart(x, residual, y, scratch, scratch_len)?;
            let scratch = slice_mut(scratch, scratch_len, "scratch")?;
            let (x, y) = (x.read("x")?, y.read("y")?);
            let residual = residual.map(|residual| residual.read("residual")).transpose()?;
            go(plan.plan.as_ref(), x, residual, y, scratch)
        }
    })
}

/// Runs `f` where plans find so many threads (0 means 1), or on the calling thread alone if the
/// system refuses that many.
pub(crate) fn on_threads(
    threads: usize,
    f: impl FnOnce() -> Result<(), sepconv_kernels::Error> + Send,
) -> Result<()> {
    /// More are of no use on any machine of today, and each takes memory.
    const MOST: usize = 1024;

    if threads > MOST {
        return refuse(format!("expected at most {MOST} threads, got {threads}"));
    }
    #[cfg(feature = "threads")]
    if threads > 1
        && let Some(pool) = crate::pools::of(threads)
    {
        return Ok(pool.install(f)?);
    }
    #[cfg(not(feature = "threads"))]
    if threads > 1 {
        return refuse(format!(
            "can't run on {threads} threads: this library was built without threads"
        ));
    }
    Ok(sepconv_kernels::on_this_thread(f)?)
}

// ---------------------------------------------------------------- memory

/// That `len` elements of T can lie there.
fn check_data<T>(data: *const T, len: usize, name: &str) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    if data.is_null() {
        return refuse(format!("{name} is null, expected {len} elements"));
    }
    if !data.is_aligned() {
        return refuse(format!("{name} is not aligned to {} bytes", align_of::<T>()));
    }
    let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize);
    if bytes.is_none_or(|bytes| data.addr().checked_add(bytes).is_none()) {
        return refuse(format!("{name} has {len} elements, more than memory can address"));
    }
    Ok(())
}

/// # Safety
/// `data` is null or valid for reading `len` elements while the slice lives.
unsafe fn slice<'a, T>(data: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    check_data(data, len, name)?;
    // SAFETY: the caller's contract; not null, aligned and small enough.
    Ok(if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, len) } })
}

/// # Safety
/// `data` is null or valid for `len` elements, which nobody else uses while the slice lives.
unsafe fn slice_mut<'a, T>(data: *mut T, len: usize, name: &str) -> Result<&'a mut [T]> {
    check_data(data, len, name)?;
    // SAFETY: the caller's contract; not null, aligned and small enough.
    Ok(if len == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(data, len) } })
}

/// # Safety
/// `data` is null or valid for reading `len` elements while the slice lives.
unsafe fn elements<'a>(
    data: *const c_void,
    len: usize,
    element: sepconv_type,
    name: &str,
) -> Result<Elements<'a>> {
    // SAFETY: the caller's contract.
    unsafe {
        Ok(match element_type(element)? {
            ElementType::F16 => Elements::F16(slice(data.cast(), len, name)?),
            ElementType::Bf16 => Elements::Bf16(slice(data.cast(), len, name)?),
            ElementType::U8 => Elements::U8(slice(data.cast(), len, name)?),
            ElementType::I8 => Elements::I8(slice(data.cast(), len, name)?),
            _ => Elements::F32(slice(data.cast(), len, name)?),
        })
    }
}

/// The addresses of so many elements; none of elements that can't be there.
fn addresses(data: *const c_void, len: usize, size: usize) -> Range<usize> {
    let start = data.addr();
    start..start.saturating_add(len.saturating_mul(size))
}

/// That the output and the scratch overlap nothing else.
pub(crate) fn check_apart(
    x: &sepconv_view,
    residual: Option<&sepconv_view>,
    y: &sepconv_view_mut,
    scratch: *const f32,
    scratch_len: usize,
) -> Result<()> {
    let view = |view: &sepconv_view| -> Result<Range<usize>> {
        Ok(addresses(view.data, view.len, element_type(view.element)?.size()))
    };
    let scale = addresses(x.scale.cast(), x.scale_len, size_of::<f32>());
    let output = addresses(y.data, y.len, element_type(y.element)?.size());
    let scratch = addresses(scratch.cast(), scratch_len, size_of::<f32>());
    let residual = residual.map(view).transpose()?;
    let read = [("x", Some(view(x)?)), ("x->scale", Some(scale)), ("residual", residual)];
    let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    for (name, read) in read.iter().filter_map(|(name, range)| Some((name, range.as_ref()?))) {
        for (other, written) in [("y", &output), ("scratch", &scratch)] {
            if meet(read, written) {
                return refuse(format!("{name} and {other} overlap"));
            }
        }
    }
    if meet(&output, &scratch) { refuse("y and scratch overlap") } else { Ok(()) }
}

// ---------------------------------------------------------------- values

fn unknown<T>(what: &str, value: u32) -> Result<T> {
    refuse(format!("unknown {what}: {value}"))
}

fn element_type(element: sepconv_type) -> Result<ElementType> {
    match element {
        SEPCONV_F32 => Ok(ElementType::F32),
        SEPCONV_F16 => Ok(ElementType::F16),
        SEPCONV_BF16 => Ok(ElementType::Bf16),
        SEPCONV_U8 => Ok(ElementType::U8),
        SEPCONV_I8 => Ok(ElementType::I8),
        _ => unknown("sepconv_type", element),
    }
}

fn arithmetic(arithmetic: sepconv_arithmetic) -> Result<Arithmetic> {
    match arithmetic {
        SEPCONV_ARITHMETIC_EXACT => Ok(Arithmetic::Exact),
        SEPCONV_ARITHMETIC_BF16 => Ok(Arithmetic::Bf16),
        SEPCONV_ARITHMETIC_FAST => Ok(Arithmetic::Fast),
        SEPCONV_ARITHMETIC_UNFUSED => Ok(Arithmetic::Unfused),
        _ => unknown("sepconv_arithmetic", arithmetic),
    }
}

fn tensor_layout(layout: sepconv_tensor_layout) -> Result<TensorLayout> {
    match layout {
        SEPCONV_NHWC => Ok(TensorLayout::Nhwc),
        SEPCONV_NCHW => Ok(TensorLayout::Nchw),
        _ => unknown("sepconv_tensor_layout", layout),
    }
}

fn weight_layout(layout: sepconv_weight_layout) -> Result<WeightLayout> {
    match layout {
        SEPCONV_HWIO => Ok(WeightLayout::Hwio),
        SEPCONV_OIHW => Ok(WeightLayout::Oihw),
        SEPCONV_IOHW => Ok(WeightLayout::Iohw),
        SEPCONV_OHWI => Ok(WeightLayout::Ohwi),
        SEPCONV_HWOI => Ok(WeightLayout::Hwoi),
        _ => unknown("sepconv_weight_layout", layout),
    }
}

/// None for the best.
pub(crate) fn level(level: sepconv_level) -> Result<Option<Level>> {
    match level {
        SEPCONV_LEVEL_BEST => Ok(None),
        SEPCONV_LEVEL_SCALAR => Ok(Some(Level::Scalar)),
        SEPCONV_LEVEL_NEON => Ok(Some(Level::Neon)),
        SEPCONV_LEVEL_AVX2 => Ok(Some(Level::Avx2)),
        SEPCONV_LEVEL_AVX512 => Ok(Some(Level::Avx512)),
        SEPCONV_LEVEL_SSE => Ok(Some(Level::Sse)),
        SEPCONV_LEVEL_SIMD128 => Ok(Some(Level::Simd128)),
        SEPCONV_LEVEL_RELAXED_SIMD => Ok(Some(Level::RelaxedSimd)),
        _ => unknown("sepconv_level", level),
    }
}

pub(crate) fn pool_kind(kind: sepconv_pool_kind) -> Result<PoolKind> {
    match kind {
        SEPCONV_MAX => Ok(PoolKind::Max),
        SEPCONV_AVERAGE => Ok(PoolKind::Average),
        SEPCONV_AVERAGE_OF_PADDED => Ok(PoolKind::AverageOfPadded),
        _ => unknown("sepconv_pool_kind", kind),
    }
}

pub(crate) fn interpolation(interpolation: sepconv_interpolation) -> Result<Interpolation> {
    match interpolation {
        SEPCONV_NEAREST => Ok(Interpolation::Nearest),
        SEPCONV_BILINEAR => Ok(Interpolation::Bilinear),
        _ => unknown("sepconv_interpolation", interpolation),
    }
}

pub(crate) fn coordinates(coordinates: sepconv_coordinates) -> Result<Coordinates> {
    match coordinates {
        SEPCONV_HALF_PIXEL => Ok(Coordinates::HalfPixel),
        SEPCONV_ALIGN_CORNERS => Ok(Coordinates::AlignCorners),
        SEPCONV_ASYMMETRIC => Ok(Coordinates::Asymmetric),
        _ => unknown("sepconv_coordinates", coordinates),
    }
}

pub(crate) fn depth_order(order: sepconv_depth_order) -> Result<DepthOrder> {
    match order {
        SEPCONV_BLOCK_FIRST => Ok(DepthOrder::BlockFirst),
        SEPCONV_CHANNEL_FIRST => Ok(DepthOrder::ChannelFirst),
        _ => unknown("sepconv_depth_order", order),
    }
}

pub(crate) fn binary_op(op: sepconv_binary_op) -> Result<BinaryOp> {
    match op {
        SEPCONV_ADD => Ok(BinaryOp::Add),
        SEPCONV_SUBTRACT => Ok(BinaryOp::Subtract),
        SEPCONV_MULTIPLY => Ok(BinaryOp::Multiply),
        SEPCONV_MAXIMUM => Ok(BinaryOp::Maximum),
        SEPCONV_MINIMUM => Ok(BinaryOp::Minimum),
        SEPCONV_PRELU => Ok(BinaryOp::PRelu),
        _ => unknown("sepconv_binary_op", op),
    }
}

/// What C leaves 0 where 0 makes no sense.
fn or_one<const N: usize>(values: [usize; N]) -> [usize; N] {
    values.map(|value| value.max(1))
}

impl sepconv_activation {
    fn read(&self) -> Result<Activation> {
        let Self { kind, a, b, c } = *self;
        Ok(match kind {
            SEPCONV_NONE => Activation::None,
            SEPCONV_RELU => Activation::Relu,
            SEPCONV_RELU6 => Activation::Relu6,
            SEPCONV_CLAMP => Activation::Clamp { lo: a, hi: b },
            SEPCONV_ELU => Activation::Elu { alpha: a },
            SEPCONV_SILU => Activation::Silu,
            SEPCONV_HARD_SWISH => Activation::HardSwish,
            SEPCONV_SIGMOID => Activation::Sigmoid,
            SEPCONV_HARD_SIGMOID => Activation::HardSigmoid { slope: a, offset: b },
            SEPCONV_TANH => Activation::Tanh,
            SEPCONV_GELU => Activation::Gelu,
            SEPCONV_GELU_TANH => Activation::GeluTanh,
            SEPCONV_SOFTPLUS => Activation::Softplus,
            SEPCONV_MISH => Activation::Mish,
            SEPCONV_LEAKY_RELU => Activation::LeakyRelu { alpha: a },
            SEPCONV_THRESHOLDED_RELU => {
                Activation::ThresholdedRelu { slope: a, threshold: b, max: c }
            }
            SEPCONV_SOFTSIGN => Activation::Softsign,
            SEPCONV_EXPONENTIAL => Activation::Exponential,
            _ => return unknown("sepconv_activation_kind", kind),
        })
    }
}

impl sepconv_window {
    pub(crate) fn read(&self) -> Result<Window> {
        let [top, bottom, left, right] = self.pads;
        let padding = match self.padding {
            SEPCONV_VALID => Padding::Valid,
            SEPCONV_SAME => Padding::Same,
            SEPCONV_EXPLICIT => Padding::Explicit { top, bottom, left, right },
            other => return unknown("sepconv_padding", other),
        };
        Ok(Window::new(self.kernel)
            .stride(or_one(self.stride))
            .dilation(or_one(self.dilation))
            .padding(padding))
    }
}

impl sepconv_quantization {
    /// None if all is zero.
    fn read(&self) -> Option<Quantization> {
        let Self { scale, zero_point } = *self;
        (scale != 0.0 || zero_point != 0).then(|| Quantization::new(scale, zero_point))
    }
}

impl sepconv_quantized_weights {
    /// # Safety
    /// Scales and biases are null or valid for `len` elements.
    unsafe fn read<'a>(&self) -> Result<Option<QuantizedWeights<'a>>> {
        let Self { scales, bias, len } = *self;
        if scales.is_null() && bias.is_null() && len == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's contract.
        unsafe {
            let mut quantized = QuantizedWeights::new(slice(scales, len, "quantized.scales")?);
            if !bias.is_null() {
                quantized.bias = Some(slice(bias, len, "quantized.bias")?);
            }
            Ok(Some(quantized))
        }
    }
}

impl sepconv_options {
    fn read(&self) -> Result<Options> {
        let mut options = Options::default();
        options.residual_quantization = self.residual_quantization.read();
        Ok(options
            .input_quantization(self.input_quantization.read().unwrap_or_default())
            .output_quantization(self.output_quantization.read().unwrap_or_default())
            .input_activation(self.input_activation.read()?)
            .input_scale(match self.input_scale {
                0 => false,
                1 => true,
                other => return unknown("sepconv_options.input_scale", other),
            })
            .activation(self.activation.read()?)
            .level(level(self.level)?)
            .input_type(element_type(self.input_type)?)
            .output_type(element_type(self.output_type)?)
            .input_layout(tensor_layout(self.input_layout)?)
            .output_layout(tensor_layout(self.output_layout)?)
            .arithmetic(arithmetic(self.arithmetic)?)
            .amx(match self.amx {
                0 => false,
                1 => true,
                other => return unknown("sepconv_options.amx", other),
            }))
    }
}

impl sepconv_weights {
    /// # Safety
    /// The data is null or valid for `len` elements.
    unsafe fn read<'a>(&self) -> Result<Elements<'a>> {
        // SAFETY: the caller's contract.
        unsafe { elements(self.data, self.len, self.element, "weights.data") }
    }
}

impl sepconv_bias {
    /// # Safety
    /// The data is null or valid for `len` floats.
    unsafe fn read<'a>(&self) -> Result<Option<&'a [f32]>> {
        if self.data.is_null() && self.len == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's contract.
        unsafe { slice(self.data, self.len, "bias.data").map(Some) }
    }
}

macro_rules! params {
    ($name:ident to $params:ident, |$this:ident, $weights:ident| $made:expr) => {
        impl $name {
            /// # Safety
            /// Weights and biases are null or valid for their lengths.
            pub(crate) unsafe fn read<'a>(&self) -> Result<$params<'a>> {
                // SAFETY: the caller's contract.
                unsafe {
                    let ($this, $weights) = (self, self.weights.read()?);
                    let mut params = $made;
                    params.layout = weight_layout(self.weights.layout)?;
                    params.bias = self.bias.read()?;
                    params.quantized = self.quantized.read()?;
                    Ok(params)
                }
            }
        }
    };
}

params!(sepconv_depthwise_params to DepthwiseParams, |this, weights| {
    DepthwiseParams::new(this.window.read()?, weights).multiplier(this.multiplier.max(1))
});
params!(sepconv_pointwise_params to PointwiseParams, |this, weights| {
    PointwiseParams::new(this.channels_out, weights).stride(or_one(this.stride))
});
params!(sepconv_separable_params to SeparableParams, |this, weights| {
    SeparableParams::new(this.depthwise.read()?, this.channels_out, weights)
        .mid_activation(this.mid_activation.read()?)
        .mid_quantization(this.mid_quantization.read().unwrap_or_default())
});
params!(sepconv_conv_params to ConvParams, |this, weights| {
    ConvParams::new(this.window.read()?, this.channels_out, weights).groups(this.groups.max(1))
});
params!(sepconv_dense_params to DenseParams, |this, weights| {
    DenseParams::new(this.channels_out, weights)
});

impl sepconv_transposed_params {
    /// # Safety
    /// Weights and biases are null or valid for their lengths.
    pub(crate) unsafe fn read<'a>(&self) -> Result<TransposedParams<'a>> {
        let padding = match self.padding {
            SEPCONV_VALID => TransposedPadding::Valid,
            SEPCONV_SAME => TransposedPadding::Same,
            SEPCONV_EXPLICIT => {
                TransposedPadding::Explicit { padding: self.pads, output_padding: self.output_pads }
            }
            other => return unknown("sepconv_padding", other),
        };
        let window = TransposedWindow::new(self.kernel)
            .stride(or_one(self.stride))
            .dilation(or_one(self.dilation))
            .padding(padding);
        // SAFETY: the caller's contract.
        unsafe {
            let weights = self.weights.read()?;
            let mut params = TransposedParams::new(window, self.channels_out, weights)
                .groups(self.groups.max(1))
                .layout(weight_layout(self.weights.layout)?);
            params.bias = self.bias.read()?;
            Ok(params)
        }
    }
}

impl sepconv_normalization_params {
    /// # Safety
    /// Scales and shifts are null or valid for `len` floats.
    pub(crate) unsafe fn read<'a>(&self) -> Result<NormalizationParams<'a>> {
        let Self { kind, groups, epsilon, scale, shift, len } = *self;
        let kind = match kind {
            SEPCONV_LAYER_NORMALIZATION => NormalizationKind::Layer,
            SEPCONV_RMS_NORMALIZATION => NormalizationKind::Rms,
            SEPCONV_UNIT_NORMALIZATION => NormalizationKind::Unit,
            SEPCONV_GROUP_NORMALIZATION => NormalizationKind::Group { groups: groups.max(1) },
            other => return unknown("sepconv_normalization_kind", other),
        };
        if len > 0 && scale.is_null() && shift.is_null() {
            return refuse(format!("scale and shift are null, expected {len} elements"));
        }
        let mut params = NormalizationParams::new(kind, epsilon);
        // SAFETY: the caller's contract.
        unsafe {
            if !scale.is_null() {
                params.scale = Some(slice(scale, len, "scale")?);
            }
            if !shift.is_null() {
                params.shift = Some(slice(shift, len, "shift")?);
            }
        }
        Ok(params)
    }
}

/// How the elements of a view lie.
enum Lies {
    Nhwc { pixel_stride: usize },
    Nchw { shape: [usize; 4], picture_stride: usize },
}

impl Lies {
    /// Reads the fields of a view that is called `name`; 0 stands for a dense tensor.
    fn new(
        layout: sepconv_tensor_layout,
        [n, h, w, c]: [usize; 4],
        [pixel, picture]: [usize; 2],
        name: &str,
    ) -> Result<Self> {
        let none = |field, value: usize, layout| {
            let what = format!("{name}: {field} is {value}, expected 0 with {layout}");
            if value == 0 { Ok(()) } else { refuse(what) }
        };
        match tensor_layout(layout)? {
            TensorLayout::Nhwc => {
                none("picture_stride", picture, "SEPCONV_NHWC")?;
                Ok(Self::Nhwc { pixel_stride: if pixel == 0 { c } else { pixel } })
            }
            TensorLayout::Nchw => {
                none("pixel_stride", pixel, "SEPCONV_NCHW")?;
                // If it overflows, the view is refused for it.
                let dense = c.saturating_mul(h).saturating_mul(w);
                let picture_stride = if picture == 0 { dense } else { picture };
                Ok(Self::Nchw { shape: [n, c, h, w], picture_stride })
            }
        }
    }
}

impl sepconv_view {
    /// # Safety
    /// The data is null or valid for `len` elements while the view lives, `scale` likewise.
    pub(crate) unsafe fn read<'a>(&self, name: &str) -> Result<NhwcView<'a>> {
        // SAFETY: the caller's contract.
        let data =
            unsafe { elements(self.data, self.len, self.element, &format!("{name}->data"))? };
        let strides = [self.pixel_stride, self.picture_stride];
        let view = match Lies::new(self.layout, self.shape, strides, name)? {
            Lies::Nhwc { pixel_stride } => {
                NhwcView::with_pixel_stride(data, self.shape, pixel_stride)?
            }
            Lies::Nchw { shape, picture_stride } => {
                NhwcView::nchw_with_picture_stride(data, shape, picture_stride)?
            }
        };
        if self.scale.is_null() && self.scale_len == 0 {
            return Ok(view);
        }
        // SAFETY: the caller's contract.
        let scale = unsafe { slice(self.scale, self.scale_len, &format!("{name}->scale"))? };
        Ok(view.scaled(scale)?)
    }
}

impl sepconv_view_mut {
    /// # Safety
    /// The data is null or valid for `len` elements, which nobody else uses while the view lives.
    pub(crate) unsafe fn read<'a>(&self, name: &str) -> Result<NhwcViewMut<'a>> {
        let (data, len, what) = (self.data, self.len, &format!("{name}->data"));
        // SAFETY: the caller's contract.
        let data = unsafe {
            match element_type(self.element)? {
                ElementType::F16 => ElementsMut::F16(slice_mut(data.cast(), len, what)?),
                ElementType::Bf16 => ElementsMut::Bf16(slice_mut(data.cast(), len, what)?),
                ElementType::U8 => ElementsMut::U8(slice_mut(data.cast(), len, what)?),
                ElementType::I8 => ElementsMut::I8(slice_mut(data.cast(), len, what)?),
                _ => ElementsMut::F32(slice_mut(data.cast(), len, what)?),
            }
        };
        let strides = [self.pixel_stride, self.picture_stride];
        Ok(match Lies::new(self.layout, self.shape, strides, name)? {
            Lies::Nhwc { pixel_stride } => {
                NhwcViewMut::with_pixel_stride(data, self.shape, pixel_stride)?
            }
            Lies::Nchw { shape, picture_stride } => {
                NhwcViewMut::nchw_with_picture_stride(data, shape, picture_stride)?
            }
        })
    }
}
