//! The C interface: `include/sepconv.h` is generated from this file, comments included.
//!
//! Each function checks its pointers and numbers, turns them into the types of `sepconv-kernels`,
//! and turns what comes back into a status and a message. No panic crosses the border. A plan is an
//! opaque pointer, immutable and shared between threads at will; memory for tensors and scratch is
//! the caller's.

#![allow(non_camel_case_types, missing_docs, reason = "the names are C's, and say it")]

mod call;
mod callers;
#[cfg(feature = "threads")]
mod pools;

use std::ffi::{CString, c_char, c_void};

use sepconv_kernels::{
    Binary, Conv, Dense, DepthToSpace, Depthwise, Elementwise, GlobalAveragePool, Level,
    Normalization, Plan, Pointwise, Pool, Resize, Separable, Softmax, TransposedConv,
};

use call::{create, guarded, required};

/// The result of a call: SEPCONV_OK or the kind of error. After an error, sepconv_error() returns a
/// message.
pub type sepconv_status = u32;
pub const SEPCONV_OK: sepconv_status = 0;
/// An argument is invalid: a null pointer, a wrong length, an impossible shape, an unknown type.
/// No tensor was written.
pub const SEPCONV_INVALID: sepconv_status = 1;
/// Memory could not be allocated. No tensor was written.
pub const SEPCONV_NO_MEMORY: sepconv_status = 2;
/// A bug in the library. Outputs may be partly written.
pub const SEPCONV_INTERNAL: sepconv_status = 3;

/// The type of the elements of a tensor. A 16-bit element is passed as its bits, a uint16_t.
pub type sepconv_type = u32;
pub const SEPCONV_F32: sepconv_type = 0;
pub const SEPCONV_F16: sepconv_type = 1;
pub const SEPCONV_BF16: sepconv_type = 2;
/// Integers 0 … 255, uint8_t, which stand for numbers: see sepconv_quantization. Tensors only.
pub const SEPCONV_U8: sepconv_type = 3;
/// Integers −128 … 127, int8_t. Tensors as with SEPCONV_U8; weights with sepconv_quantized_weights,
/// of which none may be −128.
pub const SEPCONV_I8: sepconv_type = 4;

/// An instruction set. The results of a plan have the same bits on each.
pub type sepconv_level = u32;
/// The best that the CPU has, or the one that the environment variable SEPCONV_LEVEL names.
pub const SEPCONV_LEVEL_BEST: sepconv_level = 0;
pub const SEPCONV_LEVEL_SCALAR: sepconv_level = 1;
pub const SEPCONV_LEVEL_NEON: sepconv_level = 2;
pub const SEPCONV_LEVEL_AVX2: sepconv_level = 3;
pub const SEPCONV_LEVEL_AVX512: sepconv_level = 4;
/// SSE2, of every x86-64 CPU. It has no fused multiply-adds: see SEPCONV_ARITHMETIC_UNFUSED.
pub const SEPCONV_LEVEL_SSE: sepconv_level = 5;
/// WebAssembly's simd128. It has no fused multiply-adds, either.
pub const SEPCONV_LEVEL_SIMD128: sepconv_level = 6;
/// WebAssembly's relaxed simd, if the engine's relaxed multiply-add is fused.
pub const SEPCONV_LEVEL_RELAXED_SIMD: sepconv_level = 7;

/// The kind of an activation.
pub type sepconv_activation_kind = u32;
pub const SEPCONV_NONE: sepconv_activation_kind = 0;
/// x < 0 ? 0 : x
pub const SEPCONV_RELU: sepconv_activation_kind = 1;
/// Clamp to 0 … 6.
pub const SEPCONV_RELU6: sepconv_activation_kind = 2;
/// Clamp to a … b.
pub const SEPCONV_CLAMP: sepconv_activation_kind = 3;
/// x > 0 ? x : a·(exp(x) − 1)
pub const SEPCONV_ELU: sepconv_activation_kind = 4;
/// x / (1 + exp(−x))
pub const SEPCONV_SILU: sepconv_activation_kind = 5;
/// x · (clamp(x + 3, 0, 6) · (1/6))
pub const SEPCONV_HARD_SWISH: sepconv_activation_kind = 6;
/// 1 / (1 + exp(−x))
pub const SEPCONV_SIGMOID: sepconv_activation_kind = 7;
/// clamp(a·x + b, 0, 1)
pub const SEPCONV_HARD_SIGMOID: sepconv_activation_kind = 8;
/// The hyperbolic tangent.
pub const SEPCONV_TANH: sepconv_activation_kind = 9;
/// x · (1 + erf(x / √2)) / 2
pub const SEPCONV_GELU: sepconv_activation_kind = 10;
/// x · (1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2
pub const SEPCONV_GELU_TANH: sepconv_activation_kind = 11;
/// ln(1 + exp(x))
pub const SEPCONV_SOFTPLUS: sepconv_activation_kind = 12;
/// x · tanh(ln(1 + exp(x)))
pub const SEPCONV_MISH: sepconv_activation_kind = 13;
/// x < 0 ? a·x : x
pub const SEPCONV_LEAKY_RELU: sepconv_activation_kind = 14;
/// x < b ? a·(x − b) : min(x, c)
pub const SEPCONV_THRESHOLDED_RELU: sepconv_activation_kind = 15;
/// x / (1 + |x|)
pub const SEPCONV_SOFTSIGN: sepconv_activation_kind = 16;
/// exp(x)
pub const SEPCONV_EXPONENTIAL: sepconv_activation_kind = 17;

/// How pointwise, separable, standard and dense layers multiply and add.
pub type sepconv_arithmetic = u32;
/// In f32, the same bits on every CPU. CPUs without fused multiply-adds emulate them, slowly.
pub const SEPCONV_ARITHMETIC_EXACT: sepconv_arithmetic = 0;
/// Products of bf16, the same bits on every CPU. Operands of any type are rounded to bf16; each
/// block of 32 products is two chains of multiply-adds of f32. Taps in the padding count as zeros.
pub const SEPCONV_ARITHMETIC_BF16: sepconv_arithmetic = 1;
/// The CPU's bf16 dot products where weights are bf16 and the CPU has some, else as
/// SEPCONV_ARITHMETIC_EXACT: faster, less exact, and different bits on different CPUs.
pub const SEPCONV_ARITHMETIC_FAST: sepconv_arithmetic = 2;
/// In f32, each product rounded before it is added, the same bits on every CPU. It is for CPUs
/// without fused multiply-adds, where it is many times faster. Depthwise layers use it, too.
pub const SEPCONV_ARITHMETIC_UNFUSED: sepconv_arithmetic = 3;

/// The order of a tensor's elements in memory. Shapes are N, H, W, C in either. Results have the
/// same bits in either.
pub type sepconv_tensor_layout = u32;
/// The channels of a pixel lie side by side: Keras, TensorFlow.
pub const SEPCONV_NHWC: sepconv_tensor_layout = 0;
/// Each channel is a plane of H·W elements, without gaps: PyTorch, ONNX.
pub const SEPCONV_NCHW: sepconv_tensor_layout = 1;

/// The order of the dimensions of weights, the last one innermost: kernel height and width (HW),
/// input channels of a group (I), output channels (O). A depthwise convolution is one in groups of
/// one channel: I is 1, and O is C·multiplier. Of pointwise and dense layers height and width are
/// 1. Results have the same bits in each.
pub type sepconv_weight_layout = u32;
/// [kh, kw, I, O]: Keras and TensorFlow; TensorFlow Lite's depthwise convolutions. That is
/// [kh, kw, C, multiplier] for a depthwise convolution, [C, O] for a pointwise one.
pub const SEPCONV_HWIO: sepconv_weight_layout = 0;
/// [O, I, kh, kw]: PyTorch and ONNX.
pub const SEPCONV_OIHW: sepconv_weight_layout = 1;
/// [I, O, kh, kw].
pub const SEPCONV_IOHW: sepconv_weight_layout = 2;
/// [O, kh, kw, I]: TensorFlow Lite, except depthwise convolutions.
pub const SEPCONV_OHWI: sepconv_weight_layout = 3;
/// [kh, kw, O, I]: transposed convolutions of Keras and TensorFlow.
pub const SEPCONV_HWOI: sepconv_weight_layout = 4;

/// The padding of a window. Padding adds nothing to a convolution or to a pool.
pub type sepconv_padding = u32;
/// No padding.
pub const SEPCONV_VALID: sepconv_padding = 0;
/// TensorFlow's SAME: out = ceil(in / stride). An odd padding has one more at the bottom or right.
pub const SEPCONV_SAME: sepconv_padding = 1;
/// The padding is given by `pads`.
pub const SEPCONV_EXPLICIT: sepconv_padding = 2;

/// What a pool computes over its window. All but SEPCONV_AVERAGE_OF_PADDED ignore padding.
pub type sepconv_pool_kind = u32;
pub const SEPCONV_MAX: sepconv_pool_kind = 0;
pub const SEPCONV_AVERAGE: sepconv_pool_kind = 1;
/// The sum over the window divided by the size of the whole window, padding included: PyTorch's
/// count_include_pad.
pub const SEPCONV_AVERAGE_OF_PADDED: sepconv_pool_kind = 2;

/// How sepconv_resize() interpolates between pixels.
pub type sepconv_interpolation = u32;
pub const SEPCONV_NEAREST: sepconv_interpolation = 0;
pub const SEPCONV_BILINEAR: sepconv_interpolation = 1;

/// Where output pixel o of sepconv_resize() lies in the input, along either axis.
pub type sepconv_coordinates = u32;
/// (o + 0.5) · in / out, minus 0.5 if bilinear: TensorFlow 2, Keras; PyTorch's bilinear and
/// nearest-exact.
pub const SEPCONV_HALF_PIXEL: sepconv_coordinates = 0;
/// o · (in − 1) / (out − 1): align_corners.
pub const SEPCONV_ALIGN_CORNERS: sepconv_coordinates = 1;
/// o · in / out: TensorFlow 1; PyTorch's nearest.
pub const SEPCONV_ASYMMETRIC: sepconv_coordinates = 2;

/// The order of the input channels of sepconv_depth_to_space().
pub type sepconv_depth_order = u32;
/// Those of one output pixel are adjacent: TensorFlow, ONNX's DCR.
pub const SEPCONV_BLOCK_FIRST: sepconv_depth_order = 0;
/// Those of one output channel are adjacent: PyTorch's PixelShuffle, ONNX's CRD.
pub const SEPCONV_CHANNEL_FIRST: sepconv_depth_order = 1;

/// What sepconv_binary() makes of an element a of its first operand and b of its second.
pub type sepconv_binary_op = u32;
/// a + b
pub const SEPCONV_ADD: sepconv_binary_op = 0;
/// a − b
pub const SEPCONV_SUBTRACT: sepconv_binary_op = 1;
/// a · b
pub const SEPCONV_MULTIPLY: sepconv_binary_op = 2;
/// b > a ? b : a, NaN if one of them is.
pub const SEPCONV_MAXIMUM: sepconv_binary_op = 3;
/// b < a ? b : a, NaN if one of them is.
pub const SEPCONV_MINIMUM: sepconv_binary_op = 4;
/// a < 0 ? b·a : a, where b is PReLU's α.
pub const SEPCONV_PRELU: sepconv_binary_op = 5;

/// What sepconv_normalization() normalizes, and by what. Means and sums are over the elements x
/// that are normalized together.
pub type sepconv_normalization_kind = u32;
/// The channels of a pixel: (x − mean) / √(mean of (x − mean)² + epsilon).
pub const SEPCONV_LAYER_NORMALIZATION: sepconv_normalization_kind = 0;
/// The channels of a pixel: x / √(mean of x² + epsilon).
pub const SEPCONV_RMS_NORMALIZATION: sepconv_normalization_kind = 1;
/// The channels of a pixel: x / √max(sum of x², epsilon), a vector of length 1.
pub const SEPCONV_UNIT_NORMALIZATION: sepconv_normalization_kind = 2;
/// Groups of C / groups channels of a picture, as SEPCONV_LAYER_NORMALIZATION.
pub const SEPCONV_GROUP_NORMALIZATION: sepconv_normalization_kind = 3;

/// An activation. Zero-initialize it for none. Its kind says which of `a`, `b` and `c` it uses.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_activation {
    pub kind: sepconv_activation_kind,
    pub a: f32,
    pub b: f32,
    pub c: f32,
}

/// A sliding window. Arrays hold height, then width. A stride or dilation of 0 means 1.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: sepconv_padding,
    /// Top, bottom, left, right. Used with SEPCONV_EXPLICIT only.
    pub pads: [usize; 4],
}

/// Weights: `len` elements. The plan or the packed weights keep a packed copy, so the caller may
/// free or change the originals after the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_weights {
    pub data: *const c_void,
    pub len: usize,
    pub element: sepconv_type,
    pub layout: sepconv_weight_layout,
}

/// Biases: `len` floats, one for each output channel. Zero-initialize it for none. The plan or the
/// packed weights keep a copy.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_bias {
    pub data: *const f32,
    pub len: usize,
}

/// What an integer q of a tensor of SEPCONV_U8 or SEPCONV_I8 stands for: scale·(q − zero_point).
/// Zero-initialize it for integers that stand for themselves: scale 1, zero point 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_quantization {
    /// Positive, finite and not subnormal.
    pub scale: f32,
    /// The integer that stands for 0, and for padding; one of the type's.
    pub zero_point: i32,
}

/// What weights of SEPCONV_I8 take: weight w of output channel o stands for `scales[o]`·w. Sums of
/// products are exact, in 32 bits: what can overflow is refused. Zero-initialize it for weights of
/// other types. The plan or the packed weights keep a copy.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_quantized_weights {
    /// One for each output channel: finite, not negative.
    pub scales: *const f32,
    /// One for each output channel, added to its sums: in steps of the input's scale times
    /// `scales[o]`. Null for zeros. It takes the place of the bias of floats, which must be empty.
    pub bias: *const i32,
    /// The number of scales and of biases.
    pub len: usize,
}

/// Options of a plan. Zero-initialize them for the defaults: no activations, the best instruction
/// set, f32 input and output, both NHWC.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_options {
    /// Applied to each input element when it is loaded, not to padding.
    pub input_activation: sepconv_activation,
    /// 1: each input element, after its activation, is multiplied by the factor of its picture and
    /// channel, which comes with the view: sepconv_view.scale. Padding stays 0. It is refused with
    /// integers, and with an input activation that is not a clamp. 0: there are no factors.
    pub input_scale: u32,
    /// Applied last, after the residual is added.
    pub activation: sepconv_activation,
    pub level: sepconv_level,
    pub input_type: sepconv_type,
    /// The type of the output and of the residual.
    pub output_type: sepconv_type,
    pub arithmetic: sepconv_arithmetic,
    pub input_layout: sepconv_tensor_layout,
    /// The layout of the output and of the residual.
    pub output_layout: sepconv_tensor_layout,
    /// Of an input of SEPCONV_U8 or SEPCONV_I8. Layers with weights take such an input with weights
    /// of SEPCONV_I8 and give such an output or SEPCONV_F32. An output is rounded to nearest, ties
    /// to even, and clamped to its type.
    pub input_quantization: sepconv_quantization,
    /// Of an output of these types.
    pub output_quantization: sepconv_quantization,
    /// Of the residual, whose type is the output's. All zero: output_quantization.
    pub residual_quantization: sepconv_quantization,
    /// 1: SEPCONV_ARITHMETIC_BF16, and layers of 8-bit integers, multiply by tile registers (AMX)
    /// where the CPU has them; the bits are the same. Making a plan then asks the operating system
    /// for them, for all threads of the process. From then on sigaltstack() refuses stacks without
    /// room for 8 KiB more. If a thread already has such a stack, the request fails and other
    /// kernels run; sepconv_plan_kernel_name() tells which. 0: no tile registers, unless the
    /// environment variable SEPCONV_AMX is 1.
    pub amx: u32,
}

/// Parameters of a depthwise convolution.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_depthwise_params {
    pub window: sepconv_window,
    /// Output channels for each input channel; 0 means 1. Input channel c gives the output channels
    /// from c·multiplier to c·multiplier + multiplier − 1.
    pub multiplier: usize,
    /// Of shape [kh, kw, C, multiplier], or in the order of their layout.
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
    /// With weights of SEPCONV_I8.
    pub quantized: sepconv_quantized_weights,
}

/// Parameters of a pointwise (1×1) convolution.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_pointwise_params {
    /// Vertical, then horizontal; 0 means 1.
    pub stride: [usize; 2],
    /// Output channels O.
    pub channels_out: usize,
    /// Of shape [C, O], or in the order of their layout.
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
    /// With weights of SEPCONV_I8.
    pub quantized: sepconv_quantized_weights,
}

/// Parameters of a separable convolution: a depthwise convolution, an activation and a pointwise
/// convolution in one.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_separable_params {
    pub depthwise: sepconv_depthwise_params,
    /// Applied between the two convolutions.
    pub mid_activation: sepconv_activation,
    /// Output channels O.
    pub channels_out: usize,
    /// The pointwise weights, of shape [C·multiplier, O], or in the order of their layout. The two
    /// layouts needn't be the same.
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
    /// Of the integers between the two convolutions, which are of the input's type.
    pub mid_quantization: sepconv_quantization,
    /// With pointwise weights of SEPCONV_I8. The depthwise weights are of SEPCONV_I8, too, then.
    pub quantized: sepconv_quantized_weights,
}

/// Parameters of a standard convolution.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_conv_params {
    pub window: sepconv_window,
    /// Must divide C and O; 0 means 1.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// Of shape [kh, kw, C / groups, O], or in the order of their layout.
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
    /// With weights of SEPCONV_I8.
    pub quantized: sepconv_quantized_weights,
}

/// Parameters of a transposed convolution. Arrays hold height, then width.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_transposed_params {
    pub kernel: [usize; 2],
    /// 0 means 1.
    pub stride: [usize; 2],
    /// 0 means 1. The formulas below are those of a kernel of (kernel − 1) · dilation + 1.
    pub dilation: [usize; 2],
    /// SEPCONV_VALID as in Keras: out = in · stride + max(kernel − stride, 0). SEPCONV_SAME as in
    /// Keras: out = in · stride. SEPCONV_EXPLICIT as in PyTorch:
    /// out = (in − 1) · stride − 2 · pads + kernel + output_pads.
    pub padding: sepconv_padding,
    /// Output pixels cut off on either side. Used with SEPCONV_EXPLICIT only.
    pub pads: [usize; 2],
    /// Output pixels added at the bottom and on the right. Used with SEPCONV_EXPLICIT only.
    pub output_pads: [usize; 2],
    /// Must divide C and O. 0 means 1. C groups make it depthwise.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// Of shape [kh, kw, O / groups, C] with SEPCONV_HWOI, or in the order of another layout. I
    /// stands for all C.
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
}

/// Parameters of a dense layer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_dense_params {
    /// Outputs O.
    pub channels_out: usize,
    /// Of shape [C, O], or in the order of their layout.
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
    /// With weights of SEPCONV_I8.
    pub quantized: sepconv_quantized_weights,
}

/// Parameters of a normalization: in each channel, y = scale · normalized(x) + shift.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_normalization_params {
    pub kind: sepconv_normalization_kind,
    /// With SEPCONV_GROUP_NORMALIZATION: a divisor of C. 0 means 1.
    pub groups: usize,
    /// At least 0.
    pub epsilon: f32,
    /// One for each channel. Null for ones.
    pub scale: *const f32,
    /// One for each channel. Null for zeros.
    pub shift: *const f32,
    /// The number of scales and of shifts: C, or 0 if both are null.
    pub len: usize,
}

/// A tensor that a call reads. Element (n, y, x, c) lies at index
/// ((n·H + y)·W + x)·pixel_stride + c of `data` if the layout is NHWC, and at
/// n·picture_stride + (c·H + y)·W + x if it is NCHW. The caller owns the memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_view {
    pub data: *const c_void,
    /// The number of elements at `data`: N·H·W·C if there are no gaps.
    pub len: usize,
    pub element: sepconv_type,
    /// N, H, W, C.
    pub shape: [usize; 4],
    /// The number of elements from one pixel to the next; 0 means C. A larger number selects some
    /// channels of a wider tensor. `len` must then be at least (N·H·W − 1)·pixel_stride + C. It is
    /// 0 if the layout is NCHW.
    pub pixel_stride: usize,
    /// As the plan's options have it.
    pub layout: sepconv_tensor_layout,
    /// The number of elements from one picture to the next if the layout is NCHW; 0 means C·H·W. A
    /// larger number selects some channels of a wider tensor, from the first of their planes on.
    /// `len` must then be at least (N − 1)·picture_stride + C·H·W. It is 0 if the layout is NHWC.
    pub picture_stride: usize,
    /// N·C factors, one for each picture and channel, if this is the input and the options'
    /// input_scale is 1. Otherwise null.
    pub scale: *const f32,
    /// The number of factors.
    pub scale_len: usize,
}

/// A tensor that a call writes. Its layout is that of sepconv_view. The caller owns the memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_view_mut {
    pub data: *mut c_void,
    pub len: usize,
    pub element: sepconv_type,
    pub shape: [usize; 4],
    pub pixel_stride: usize,
    pub layout: sepconv_tensor_layout,
    pub picture_stride: usize,
}

/// The work of a run, which sepconv_threads.run calls with the argument that came with it.
///
/// Any thread may call it. Several may at the same time. Each call computes until no task is left
/// to begin, and then returns. It waits for no other call, allocates nothing, and takes less than
/// 64 KiB of stack.
pub type sepconv_work = Option<unsafe extern "C" fn(argument: *mut c_void)>;

/// Threads of the caller's, for sepconv_plan_run_on(): a pool, an executor, tasks of an operating
/// system. The caller owns all of it. The library uses it during that call only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_threads {
    /// How many threads can compute at the same time; 0 means 1.
    pub count: usize,
    /// Calls `work(argument)` `count` times, from several threads at the same time, and returns
    /// when all of these calls have returned; `count` is at most the field of that name. The
    /// thread that `run` is called on may make calls, too.
    ///
    /// Outputs do not depend on how it is done. A run stays correct, only slower, if the calls
    /// are made one after the other, or fewer of them. More of them do nothing. No call may begin
    /// or go on after `run` has returned. It must return: neither longjmp() nor a C++ exception may
    /// leave it.
    pub run: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            count: usize,
            work: sepconv_work,
            argument: *mut c_void,
        ),
    >,
    /// Passed to `run`; may be null.
    pub context: *mut c_void,
}

/// Packed weights: all of a layer but the size of its input. Plans for inputs of any size share
/// them. They do not change after they are made. Several threads may use them at the same time.
#[derive(Debug)]
pub struct sepconv_packed {
    packed: Box<dyn call::AnyPacked>,
}

/// A prepared operation: its shape is checked, its weights are packed, its kernels are chosen. A
/// plan does not change after it is made. Several threads may run one plan at the same time, each
/// with its own scratch memory.
#[derive(Debug)]
pub struct sepconv_plan {
    plan: Box<dyn Plan>,
    /// Its kernels' name.
    name: CString,
}

/// Returns the version of the library, such as "0.1.0". The string is static; do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn sepconv_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns the message of the last call that failed on this thread, or an empty string if none has.
/// It has at most 511 bytes, in UTF-8. The library owns the string. It stays valid until another
/// call fails on this thread, or until the thread ends.
#[unsafe(no_mangle)]
pub extern "C" fn sepconv_error() -> *const c_char {
    call::message()
}

/// Returns whether this CPU and this build of the library support an instruction set. False for an
/// unknown number.
#[unsafe(no_mangle)]
pub extern "C" fn sepconv_level_is_available(level: sepconv_level) -> bool {
    call::value(false, || {
        call::level(level).is_ok_and(|level| level.is_none_or(Level::is_available))
    })
}

/// Makes a plan for a depthwise convolution.
///
/// `input` points to the four numbers N, H, W, C of the input's shape. `params` is required.
/// `options` may be null for the defaults. On success `*plan` is a new plan, which the caller owns
/// and must pass to sepconv_plan_destroy(). After an error `*plan` is null. The call copies what it
/// needs from its arguments. Any thread may call it.
///
/// Returns SEPCONV_INVALID if a required pointer is null, or if shape, parameters, types or lengths
/// don't match; SEPCONV_NO_MEMORY if the plan can't be allocated.
///
/// # Safety
/// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
/// pointers. Data pointers inside `params` are null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_depthwise(
    input: *const usize,
    params: *const sepconv_depthwise_params,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Depthwise::new(shape, &params, options)?))
        })
    }
}

/// Makes a plan for a pointwise (1×1) convolution. Arguments and errors are those of
/// sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
/// pointers. Data pointers inside `params` are null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_pointwise(
    input: *const usize,
    params: *const sepconv_pointwise_params,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Pointwise::new(shape, &params, options)?))
        })
    }
}

/// Makes a plan for a separable convolution, whose two steps run as one. Arguments and errors are
/// those of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
/// pointers. Data pointers inside `params` are null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_separable(
    input: *const usize,
    params: *const sepconv_separable_params,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Separable::new(shape, &params, options)?))
        })
    }
}

/// Makes a plan for a standard convolution. Arguments and errors are those of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
/// pointers. Data pointers inside `params` are null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_conv(
    input: *const usize,
    params: *const sepconv_conv_params,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Conv::new(shape, &params, options)?))
        })
    }
}

/// Makes a plan for a dense layer over an input of shape N, 1, 1, C. Arguments and errors are those
/// of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
/// pointers. Data pointers inside `params` are null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_dense(
    input: *const usize,
    params: *const sepconv_dense_params,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Dense::new(shape, &params, options)?))
        })
    }
}

/// Makes a plan for a max or average pool; `window` is required. Arguments and errors are those of
/// sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `window`, `options` and `plan` are null or valid
/// pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_pool(
    input: *const usize,
    kind: sepconv_pool_kind,
    window: *const sepconv_window,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let window = required(window, "window")?.read()?;
            Ok(Box::new(Pool::new(shape, call::pool_kind(kind)?, window, options)?))
        })
    }
}

/// Makes a plan for the mean over height and width; the output has shape N, 1, 1, C. Arguments and
/// errors are those of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_global_average_pool(
    input: *const usize,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            Ok(Box::new(GlobalAveragePool::new(shape, options)?))
        })
    }
}

/// Makes a plan for a transposed convolution, NHWC, of floating-point elements. Arguments and
/// errors are those of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
/// pointers. Data pointers inside `params` are null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_transposed_conv(
    input: *const usize,
    params: *const sepconv_transposed_params,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(TransposedConv::new(shape, &params, options)?))
        })
    }
}

/// Makes a plan that resizes pictures to a height and a width, NHWC, of floating-point elements.
/// Arguments and errors are those of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_resize(
    input: *const usize,
    height: usize,
    width: usize,
    interpolation: sepconv_interpolation,
    coordinates: sepconv_coordinates,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let interpolation = call::interpolation(interpolation)?;
            let coordinates = call::coordinates(coordinates)?;
            let size = [height, width];
            Ok(Box::new(Resize::new(shape, size, interpolation, coordinates, options)?))
        })
    }
}

/// Makes a plan that turns channels into pixels, NHWC, of floating-point elements: N, H, W, C to N,
/// H·block, W·block, C / block². Arguments and errors are those of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_depth_to_space(
    input: *const usize,
    block: usize,
    order: sepconv_depth_order,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            Ok(Box::new(DepthToSpace::new(shape, block, call::depth_order(order)?, options)?))
        })
    }
}

/// Makes a plan for the softmax of each pixel over its channels, NHWC, of floating-point elements.
/// Arguments and errors are those of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_softmax(
    input: *const usize,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| Ok(Box::new(Softmax::new(shape, options)?)))
    }
}

/// Makes a plan that copies x. With a residual it adds, with an activation it applies that
/// activation, with different types it converts. Arguments and errors are those of
/// sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_elementwise(
    input: *const usize,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            Ok(Box::new(Elementwise::new(shape, options)?))
        })
    }
}

/// Makes a plan for an operation of two tensors, element by element, NHWC, of floating-point
/// elements: y = activation(a ∘ b). Where one of them has a dimension of 1, its one picture, row,
/// column or channel goes with each of the other's.
///
/// `input` points to the shape N, H, W, C of the first operand, `second` to that of the second. A
/// run takes the first as `x` and the second as `residual`, which is required and has the type of
/// the output. Other arguments and errors are those of sepconv_depthwise().
///
/// # Safety
/// `input` and `second` are null or point to four numbers. `options` and `plan` are null or valid
/// pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_binary(
    op: sepconv_binary_op,
    input: *const usize,
    second: *const usize,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let second = *required(second.cast::<[usize; 4]>(), "second")?;
            Ok(Box::new(Binary::new(call::binary_op(op)?, shape, second, options)?))
        })
    }
}

/// Makes a plan for a layer, RMS, unit or group normalization, NHWC, of floating-point elements.
/// (Constant scales and shifts by channel without a normalization are a depthwise convolution with
/// a kernel of one tap.) Arguments and errors are those of sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
/// pointers. Scales and shifts in `params` are null or valid for `len` floats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_normalization(
    input: *const usize,
    params: *const sepconv_normalization_params,
    options: *const sepconv_options,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        create(input, options, plan, |shape, options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Normalization::new(shape, &params, options)?))
        })
    }
}

/// Packs the weights of a depthwise convolution of `channels_in` input channels, for inputs of any
/// size.
///
/// `params` is required. `options` may be null for the defaults. On success `*packed` holds new
/// packed weights, which the caller owns and must pass to sepconv_packed_destroy(). After an error
/// `*packed` is null. The call copies what it needs from its arguments. It takes time and memory in
/// proportion to the weights. Any thread may call it.
///
/// Returns SEPCONV_INVALID if a required pointer is null, or if parameters, types or lengths don't
/// match; SEPCONV_NO_MEMORY if the packed weights can't be allocated.
///
/// # Safety
/// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
/// null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_depthwise_pack(
    channels_in: usize,
    params: *const sepconv_depthwise_params,
    options: *const sepconv_options,
    packed: *mut *mut sepconv_packed,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::pack(options, packed, |options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Depthwise::pack(channels_in, &params, options)?))
        })
    }
}

/// Packs the weights of a pointwise (1×1) convolution. Arguments and errors are those of
/// sepconv_depthwise_pack().
///
/// # Safety
/// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
/// null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_pointwise_pack(
    channels_in: usize,
    params: *const sepconv_pointwise_params,
    options: *const sepconv_options,
    packed: *mut *mut sepconv_packed,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::pack(options, packed, |options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Pointwise::pack(channels_in, &params, options)?))
        })
    }
}

/// Packs the weights of a separable convolution. Arguments and errors are those of
/// sepconv_depthwise_pack().
///
/// # Safety
/// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
/// null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_separable_pack(
    channels_in: usize,
    params: *const sepconv_separable_params,
    options: *const sepconv_options,
    packed: *mut *mut sepconv_packed,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::pack(options, packed, |options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Separable::pack(channels_in, &params, options)?))
        })
    }
}

/// Packs the weights of a standard convolution. Arguments and errors are those of
/// sepconv_depthwise_pack().
///
/// # Safety
/// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
/// null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_conv_pack(
    channels_in: usize,
    params: *const sepconv_conv_params,
    options: *const sepconv_options,
    packed: *mut *mut sepconv_packed,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::pack(options, packed, |options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Conv::pack(channels_in, &params, options)?))
        })
    }
}

/// Packs the weights of a dense layer. Arguments and errors are those of sepconv_depthwise_pack().
///
/// # Safety
/// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
/// null or valid for their `len` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_dense_pack(
    channels_in: usize,
    params: *const sepconv_dense_params,
    options: *const sepconv_options,
    packed: *mut *mut sepconv_packed,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::pack(options, packed, |options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Dense::pack(channels_in, &params, options)?))
        })
    }
}

/// Copies the scales and shifts of a normalization. Arguments and errors are those of
/// sepconv_depthwise_pack().
///
/// # Safety
/// `params`, `options` and `packed` are null or valid pointers. Scales and shifts in `params` are
/// null or valid for `len` floats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_normalization_pack(
    channels: usize,
    params: *const sepconv_normalization_params,
    options: *const sepconv_options,
    packed: *mut *mut sepconv_packed,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::pack(options, packed, |options| {
            let params = required(params, "params")?.read()?;
            Ok(Box::new(Normalization::pack(channels, &params, options)?))
        })
    }
}

/// Makes a plan of packed weights. `size` points to the three numbers N, H, W of the input's size.
///
/// On success `*plan` is a new plan, which the caller owns and must pass to sepconv_plan_destroy().
/// It is the plan that sepconv_depthwise() and the others make for that shape, but takes only
/// microseconds and a few KiB, however large the weights are. The plan shares the packed weights:
/// they are freed when the handle and all its plans have been destroyed, in any order. After an
/// error `*plan` is null. Any thread may call it.
///
/// Returns SEPCONV_INVALID if a pointer is null, a number is 0, or the kernel is larger than the
/// padded input.
///
/// # Safety
/// `packed` is null or packed weights. `size` is null or points to three numbers. `plan` is null or
/// a valid pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_packed_plan(
    packed: *const sepconv_packed,
    size: *const usize,
    plan: *mut *mut sepconv_plan,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::store(plan, "plan", || {
            let packed = required(packed, "packed")?;
            let size = *required(size.cast::<[usize; 3]>(), "size")?;
            packed.packed.plan(size).map(sepconv_plan::new)
        })
    }
}

/// Writes to `shape`, which has room for four numbers, the shape N, H, W, C of the output for an
/// input of size N, H, W. `size` points to these three numbers. Errors are those of
/// sepconv_packed_plan(). Any thread may call it.
///
/// # Safety
/// `packed` is null or packed weights. `size` is null or points to three numbers. `shape` is null
/// or valid for four numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_packed_output_shape(
    packed: *const sepconv_packed,
    size: *const usize,
    shape: *mut usize,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::shape(packed, "packed", shape, |packed| {
            packed.packed.output_shape(*required(size.cast::<[usize; 3]>(), "size")?)
        })
    }
}

/// Returns the number of bytes of the packed weights and biases. Returns 0 if `packed` is null. Any
/// thread may call it.
///
/// # Safety
/// `packed` is null or packed weights.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_packed_weights_bytes(packed: *const sepconv_packed) -> usize {
    call::value(0, || {
        // SAFETY: the caller's contract.
        let packed = unsafe { required(packed, "packed") };
        packed.map_or(0, |packed| packed.packed.weights_bytes())
    })
}

/// Destroys a handle of packed weights. Does nothing if `packed` is null. Plans that were made of
/// it go on working; the memory is freed with the last of them. No thread may use the handle during
/// the call or after it.
///
/// # Safety
/// `packed` is null, or packed weights that this library made and that were not destroyed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_packed_destroy(packed: *mut sepconv_packed) {
    if !packed.is_null() {
        // SAFETY: the caller's contract: it is a box that `store` made.
        call::value((), || drop(unsafe { Box::from_raw(packed) }));
    }
}

/// Destroys a plan and frees its memory. Does nothing if `plan` is null. No thread may use the plan
/// during the call or after it.
///
/// # Safety
/// `plan` is null, or a plan that this library made and that was not destroyed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_destroy(plan: *mut sepconv_plan) {
    if !plan.is_null() {
        // SAFETY: the caller's contract: it is a box that `store` made.
        call::value((), || drop(unsafe { Box::from_raw(plan) }));
    }
}

/// Writes the shape N, H, W, C of a plan's input to `shape`, which has room for four numbers.
/// Returns SEPCONV_INVALID if `plan` or `shape` is null.
///
/// # Safety
/// `plan` is null or a plan. `shape` is null or valid for four numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_input_shape(
    plan: *const sepconv_plan,
    shape: *mut usize,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe { call::shape(plan, "plan", shape, |plan| Ok(plan.plan.input_shape())) }
}

/// Writes the shape N, H, W, C of a plan's output and residual to `shape`, which has room for four
/// numbers. (The second operand of sepconv_binary() has the shape that was given.) Returns
/// SEPCONV_INVALID if `plan` or `shape` is null.
///
/// # Safety
/// `plan` is null or a plan. `shape` is null or valid for four numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_output_shape(
    plan: *const sepconv_plan,
    shape: *mut usize,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe { call::shape(plan, "plan", shape, |plan| Ok(plan.plan.output_shape())) }
}

/// Returns how many floats of scratch memory a plan needs to run on `threads` threads (0 means 1).
/// Returns 0 if `plan` is null.
///
/// # Safety
/// `plan` is null or a plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_scratch_len(
    plan: *const sepconv_plan,
    threads: usize,
) -> usize {
    call::value(0, || {
        // SAFETY: the caller's contract.
        let plan = unsafe { required(plan, "plan") };
        plan.map_or(0, |plan| plan.plan.scratch_len(threads.max(1)))
    })
}

/// Returns the names of the kernels that a plan runs, such as
/// "dw_f32_3x3s1_3_avx2+gemm_f32_6x16_avx2". The plan owns the string. Returns null if `plan` is
/// null.
///
/// # Safety
/// `plan` is null or a plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_kernel_name(plan: *const sepconv_plan) -> *const c_char {
    call::value(std::ptr::null(), || {
        // SAFETY: the caller's contract.
        let plan = unsafe { required(plan, "plan") };
        plan.map_or(std::ptr::null(), |plan| plan.name.as_ptr())
    })
}

/// Runs a plan: y = activation(operation(input_activation(x)) + residual).
///
/// `plan`, `x` and `y` are required; `residual` may be null, except as the second operand of
/// sepconv_binary(). Shapes and types must be those of the plan. `y` and `scratch` must not overlap
/// each other or any other operand.
///
/// The call returns when the output is complete. It uses up to `threads` threads (0 means 1; the
/// most is 1024), but no more than `scratch` has room for; sepconv_plan_scratch_len() says how much
/// they need. With one thread it runs on the calling thread. With more it runs on a pool of that
/// many threads. The library starts the pool at the first such call and keeps it for later ones. It
/// keeps the four pools that were used last; sepconv_release_threads() ends them. If the system
/// refuses so many threads (a limit, a sandbox), the call runs on the calling thread alone.
///
/// The same operands give the same bits on any number of threads, if the threads have the default
/// floating-point environment: round to nearest, subnormal numbers kept. Several threads may run
/// one plan at the same time with different `y` and `scratch`.
///
/// A child of fork() may run its parent's plans on any number of threads; it starts its own pools.
/// Destructors of static and of thread-local objects may call any function of the library.
///
/// The contents of `scratch` don't matter before the call and are unspecified after it. The library
/// keeps no pointer to any operand.
///
/// Returns SEPCONV_INVALID if an argument is wrong (nothing is written), SEPCONV_INTERNAL after a
/// bug in the library (`y` may be partly written).
///
/// # Safety
/// `plan` is null or a plan. `x`, `residual` and `y` are null or valid pointers, and their data is
/// null or valid for `len` elements. `scratch` is null or valid for `scratch_len` floats. During
/// the call no other thread writes to any of this memory, or reads `y` or `scratch`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_run(
    plan: *const sepconv_plan,
    x: *const sepconv_view,
    residual: *const sepconv_view,
    y: *const sepconv_view_mut,
    scratch: *mut f32,
    scratch_len: usize,
    threads: usize,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::run(plan, x, residual, y, (scratch, scratch_len), |plan, x, residual, y, scratch| {
            call::on_threads(threads, || plan.run(x, residual, y, scratch))
        })
    }
}

/// Writes to `rows` the input rows that sepconv_plan_run_rows() needs for the output rows `start`
/// to `end` − 1: the first row, and one past the last. They are the rows that the windows cover,
/// without padding. `rows` has room for two numbers. Returns SEPCONV_INVALID if `plan` or `rows` is
/// null.
///
/// # Safety
/// `plan` is null or a plan. `rows` is null or valid for two numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_input_rows(
    plan: *const sepconv_plan,
    start: usize,
    end: usize,
    rows: *mut usize,
) -> sepconv_status {
    guarded(|| {
        // SAFETY: the caller's contract.
        let plan = unsafe { required(plan, "plan")? };
        if rows.is_null() {
            return call::refuse("rows is null");
        }
        let needed = plan.plan.input_rows(start..end);
        // SAFETY: the caller's contract.
        unsafe { rows.cast::<[usize; 2]>().write([needed.start, needed.end]) };
        Ok(())
    })
}

/// Runs a plan for the output rows `start` to `end` − 1 of each picture.
///
/// `x` holds exactly the input rows that sepconv_plan_input_rows() gives. `residual` and `y` hold
/// exactly these output rows; an operand of sepconv_binary() that has one row has it here, too.
/// All else is as in sepconv_plan_run(), and the rows have the same bits.
///
/// An engine can use this to run layers depth first, a few rows of each at a time, which keeps the
/// values between them small.
///
/// # Safety
/// As for sepconv_plan_run().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_run_rows(
    plan: *const sepconv_plan,
    start: usize,
    end: usize,
    x: *const sepconv_view,
    residual: *const sepconv_view,
    y: *const sepconv_view_mut,
    scratch: *mut f32,
    scratch_len: usize,
    threads: usize,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::run(plan, x, residual, y, (scratch, scratch_len), |plan, x, residual, y, scratch| {
            call::on_threads(threads, || plan.run_rows(start..end, x, residual, y, scratch))
        })
    }
}

/// Runs a plan for the output rows `start` to `end` − 1 of each picture on the caller's threads.
///
/// All is as in sepconv_plan_run_rows(), bits included, but the library starts and uses no threads
/// of its own. `threads` is required. For all rows, `x` may be the whole input, as for
/// sepconv_plan_run(). The call uses as many threads as threads->count says, but no more than
/// `scratch` has room for, nor more than the layer has tasks for. If these are two or more, it
/// calls threads->run on the thread that it was called on. What threads->run leaves undone, that
/// thread does afterwards.
///
/// Returns SEPCONV_INVALID if `threads` or threads->run is null, and for what is wrong with the
/// other arguments; then threads->run was not called.
///
/// # Safety
/// As for sepconv_plan_run_rows(). `threads` is null or a valid pointer; threads->run does what
/// sepconv_threads says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_run_on(
    plan: *const sepconv_plan,
    threads: *const sepconv_threads,
    start: usize,
    end: usize,
    x: *const sepconv_view,
    residual: *const sepconv_view,
    y: *const sepconv_view_mut,
    scratch: *mut f32,
    scratch_len: usize,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe {
        call::run(plan, x, residual, y, (scratch, scratch_len), |plan, x, residual, y, scratch| {
            let threads = required(threads, "threads")?.read()?;
            Ok(plan.run_on(&threads, start..end, x, residual, y, scratch.into())?)
        })
    }
}

/// Ends the threads that the library keeps for later runs. Those that no run uses have ended when
/// the call returns; the others end with their runs. A later run on more than one thread starts new
/// ones. Any thread may call it.
///
/// A program may call this before it forks, unloads the library, or is idle for a long time.
#[unsafe(no_mangle)]
pub extern "C" fn sepconv_release_threads() {
    #[cfg(feature = "threads")]
    call::value((), pools::release);
}
