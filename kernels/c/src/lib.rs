//! The C interface: `include/sepconv.h` is generated from this file, comments included.
//!
//! Each function checks its pointers and numbers, turns them into the types of `sepconv-kernels`,
//! and turns what comes back into a status and a message. No panic crosses the border. A plan is an
//! opaque pointer, immutable and shared between threads at will; memory for tensors and scratch is
//! the caller's.

#![allow(non_camel_case_types, missing_docs, reason = "the names are C's, and say it")]

mod call;

use std::ffi::{CString, c_char, c_void};

use sepconv_kernels::{
    Conv, Dense, Depthwise, Elementwise, GlobalAveragePool, Level, Plan, Pointwise, Pool, Separable,
};

use call::{create, guarded, required};

/// What a function returns: SEPCONV_OK or what went wrong. sepconv_error() says more.
pub type sepconv_status = u32;
pub const SEPCONV_OK: sepconv_status = 0;
/// A pointer, number, shape or type that can't be: nothing was written.
pub const SEPCONV_INVALID: sepconv_status = 1;
/// There is no memory for what was asked.
pub const SEPCONV_NO_MEMORY: sepconv_status = 2;
/// A bug of the library. Outputs may be half written.
pub const SEPCONV_INTERNAL: sepconv_status = 3;

/// The type of elements. 16-bit ones are given by their bits.
pub type sepconv_type = u32;
pub const SEPCONV_F32: sepconv_type = 0;
pub const SEPCONV_F16: sepconv_type = 1;
pub const SEPCONV_BF16: sepconv_type = 2;

/// An instruction set.
pub type sepconv_level = u32;
/// The best that the CPU has, or what the environment variable SEPCONV_LEVEL says.
pub const SEPCONV_LEVEL_BEST: sepconv_level = 0;
pub const SEPCONV_LEVEL_SCALAR: sepconv_level = 1;
pub const SEPCONV_LEVEL_NEON: sepconv_level = 2;
pub const SEPCONV_LEVEL_AVX2: sepconv_level = 3;
pub const SEPCONV_LEVEL_AVX512: sepconv_level = 4;

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
/// x · clamp(x + 3, 0, 6) / 6
pub const SEPCONV_HARD_SWISH: sepconv_activation_kind = 6;

/// How a window is padded.
pub type sepconv_padding = u32;
/// Not at all.
pub const SEPCONV_VALID: sepconv_padding = 0;
/// TensorFlow's rule: out = ceil(in / stride), the odd one of the padding behind.
pub const SEPCONV_SAME: sepconv_padding = 1;
/// By `pads`.
pub const SEPCONV_EXPLICIT: sepconv_padding = 2;

/// What a pool computes of its window. Padding takes part in neither.
pub type sepconv_pool_kind = u32;
pub const SEPCONV_MAX: sepconv_pool_kind = 0;
pub const SEPCONV_AVERAGE: sepconv_pool_kind = 1;

/// An activation; all zeros is none.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_activation {
    pub kind: sepconv_activation_kind,
    pub a: f32,
    pub b: f32,
}

/// A sliding window: height, then width. A stride or dilation of 0 stands for 1.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: sepconv_padding,
    /// Top, bottom, left, right; of SEPCONV_EXPLICIT only.
    pub pads: [usize; 4],
}

/// Weights: `len` elements in row-major order. They are packed into the plan and not needed
/// afterwards.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_weights {
    pub data: *const c_void,
    pub len: usize,
    pub element: sepconv_type,
}

/// Biases: f32, one for each output channel; all zeros (a null pointer) for none.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_bias {
    pub data: *const f32,
    pub len: usize,
}

/// What every plan takes besides its shape and weights; all zeros is the default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_options {
    /// Applied to each input element as it is loaded, never to padding.
    pub input_activation: sepconv_activation,
    /// Applied last, after the residual is added.
    pub activation: sepconv_activation,
    pub level: sepconv_level,
    pub input_type: sepconv_type,
    /// Of the output and of the residual.
    pub output_type: sepconv_type,
    /// Whether products may be made by the CPU's dot products of bf16 where weights are bf16:
    /// faster, less exact, not the same on all CPUs.
    pub fast: bool,
}

/// Parameters of a depthwise convolution.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_depthwise_params {
    pub window: sepconv_window,
    /// Output channels per input channel, 0 for 1: output channel c·multiplier + m is made of input
    /// channel c.
    pub multiplier: usize,
    /// [kh, kw, C, multiplier]
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
}

/// Parameters of a pointwise (1×1) convolution.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_pointwise_params {
    /// Vertical, horizontal; 0 for 1.
    pub stride: [usize; 2],
    /// Output channels O.
    pub channels_out: usize,
    /// [C, O]
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
}

/// Parameters of a separable convolution: a depthwise one, an activation, a pointwise one, as one.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_separable_params {
    pub depthwise: sepconv_depthwise_params,
    /// Between the two.
    pub mid_activation: sepconv_activation,
    /// Output channels O.
    pub channels_out: usize,
    /// Of the pointwise convolution, [C·multiplier, O].
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
}

/// Parameters of a standard convolution.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_conv_params {
    pub window: sepconv_window,
    /// 0 for 1; must divide C and O.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// [kh, kw, C / groups, O]
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
}

/// Parameters of a dense layer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_dense_params {
    /// Outputs O.
    pub channels_out: usize,
    /// [C, O]
    pub weights: sepconv_weights,
    pub bias: sepconv_bias,
}

/// A tensor to be read, NHWC: element (n, y, x, c) lies at ((n·H + y)·W + x)·pixel_stride + c.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_view {
    pub data: *const c_void,
    /// Elements at `data`: with dense pixels N·H·W·C.
    pub len: usize,
    pub element: sepconv_type,
    /// N, H, W, C.
    pub shape: [usize; 4],
    /// Elements from one pixel to the next, 0 for C. More than C addresses part of the channels of
    /// a wider tensor; `len` is then at least (N·H·W − 1)·pixel_stride + C.
    pub pixel_stride: usize,
}

/// A tensor to be written, laid out as sepconv_view's.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sepconv_view_mut {
    pub data: *mut c_void,
    pub len: usize,
    pub element: sepconv_type,
    pub shape: [usize; 4],
    pub pixel_stride: usize,
}

/// A prepared operation: shape checked, weights packed, kernels chosen. Immutable: one plan may run
/// on several threads at a time, each with its own scratch.
#[derive(Debug)]
pub struct sepconv_plan {
    plan: Box<dyn Plan>,
    /// Its kernels' name.
    name: CString,
}

/// The library's version, e.g. "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn sepconv_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What the last function that failed on this thread has to say. Valid until the next one fails.
#[unsafe(no_mangle)]
pub extern "C" fn sepconv_error() -> *const c_char {
    call::message()
}

/// Whether this CPU has an instruction set and this library its kernels.
#[unsafe(no_mangle)]
pub extern "C" fn sepconv_level_is_available(level: sepconv_level) -> bool {
    call::level(level).is_ok_and(|level| level.is_none_or(Level::is_available))
}

/// Plans a depthwise convolution over inputs of shape N, H, W, C (`input`). `options` may be null
/// for the default. The plan is stored in `plan`, to be given to sepconv_plan_destroy(); null if
/// there is an error.
///
/// # Safety
/// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
/// what `params` points to is null or valid for its length.
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

/// Plans a pointwise convolution; see sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
/// what `params` points to is null or valid for its length.
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

/// Plans a separable convolution, whose two steps run as one; see sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
/// what `params` points to is null or valid for its length.
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

/// Plans a standard convolution; see sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
/// what `params` points to is null or valid for its length.
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

/// Plans a dense layer over inputs N, 1, 1, C; see sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
/// what `params` points to is null or valid for its length.
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

/// Plans a max or average pool; see sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers; `window`, `options` and `plan` are null or valid.
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

/// Plans the mean over height and width, to N, 1, 1, C; see sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers; `options` and `plan` are null or valid.
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

/// Plans x itself: with a residual an addition, with an activation that activation, with other
/// types a conversion; see sepconv_depthwise().
///
/// # Safety
/// `input` is null or points to four numbers; `options` and `plan` are null or valid.
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

/// Destroys a plan; null is ignored. No thread may be using it.
///
/// # Safety
/// `plan` is null or was made by this library and not destroyed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_destroy(plan: *mut sepconv_plan) {
    if !plan.is_null() {
        // SAFETY: the caller's contract: it is a box that `create` made.
        drop(unsafe { Box::from_raw(plan) });
    }
}

/// Stores the shape N, H, W, C of a plan's input.
///
/// # Safety
/// `plan` is null or a plan, `shape` null or valid for four numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_input_shape(
    plan: *const sepconv_plan,
    shape: *mut usize,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe { call::shape(plan, shape, |plan| plan.input_shape()) }
}

/// Stores the shape N, H, W, C of a plan's output, which is also its residual's.
///
/// # Safety
/// `plan` is null or a plan, `shape` null or valid for four numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_output_shape(
    plan: *const sepconv_plan,
    shape: *mut usize,
) -> sepconv_status {
    // SAFETY: the caller's contract.
    unsafe { call::shape(plan, shape, |plan| plan.output_shape()) }
}

/// The floats of scratch with which a plan runs on up to `threads` threads (0 for 1). 0 for a null
/// plan.
///
/// # Safety
/// `plan` is null or a plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_scratch_len(
    plan: *const sepconv_plan,
    threads: usize,
) -> usize {
    // SAFETY: the caller's contract.
    let plan = unsafe { required(plan, "plan") };
    plan.map_or(0, |plan| plan.plan.scratch_len(threads.max(1)))
}

/// The kernels that run, e.g. "dw_f32_3x3s1_3_avx2+gemm_f32_6x16_avx2". Valid as long as the plan;
/// null for null.
///
/// # Safety
/// `plan` is null or a plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sepconv_plan_kernel_name(plan: *const sepconv_plan) -> *const c_char {
    // SAFETY: the caller's contract.
    let plan = unsafe { required(plan, "plan") };
    plan.map_or(std::ptr::null(), |plan| plan.name.as_ptr())
}

/// y = activation(operation(input_activation(x)) + residual).
///
/// `residual` may be null. Runs on up to `threads` threads (0 for 1), as many as `scratch` has room
/// for: with 1 on the calling thread, else on that thread pool of the library which has so many.
/// The contents of `scratch` are irrelevant before and unspecified after. `y` must not overlap
/// anything else. The same operands give the same bits on any number of threads.
///
/// # Safety
/// `plan` is null or a plan; `x`, `residual` and `y` are null or valid; their data is null or valid
/// for `len` elements, `scratch` for `scratch_len` floats; nobody else writes to any of it
/// meanwhile, or reads `y` or `scratch`.
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
        call::run(
            plan,
            x,
            residual,
            y,
            (scratch, scratch_len),
            threads,
            |plan, x, residual, y, scratch| plan.run(x, residual, y, scratch),
        )
    }
}

/// Stores the first of the input rows of which `sepconv_plan_run_rows` computes the output rows
/// from `start` to before `end`, and the row behind the last of them: all that their windows cover,
/// padding left out.
///
/// # Safety
/// `plan` is null or a plan, `rows` null or valid for two numbers.
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

/// `sepconv_plan_run` for the output rows from `start` to before `end` of each picture alone: `x`
/// holds just the input rows that `sepconv_plan_input_rows` tells, `residual` and `y` just these
/// output rows. The same bits.
///
/// For running layers depth first, some rows of each by turns, so that what lies between them stays
/// small.
///
/// # Safety
/// As for `sepconv_plan_run`.
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
        call::run(
            plan,
            x,
            residual,
            y,
            (scratch, scratch_len),
            threads,
            |plan, x, residual, y, scratch| plan.run_rows(start..end, x, residual, y, scratch),
        )
    }
}
