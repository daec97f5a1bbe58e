// Depthwise-separable convolution on CPUs: plans for layers, made once and run many times.
//
// Zero-initialize the structs, or name the fields that you set: a new version may add fields at the end of a struct,
// and 0 is what the older version did. Compile a program with the header of the library that it runs with.
//
// No function exits or throws. Each may be called from any thread, from destructors of static and of thread-local
// objects, and in a child of fork(). None may be called from a signal handler. Whoever makes a handle (sepconv_plan,
// sepconv_packed) owns it and destroys it; all other memory stays the caller's.


#ifndef SEPCONV_H
#define SEPCONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Packed weights: all of a layer but the size of its input. Plans for inputs of any size share
// them. They do not change after they are made. Several threads may use them at the same time.
typedef struct sepconv_packed sepconv_packed;

// A prepared operation: its shape is checked, its weights are packed, its kernels are chosen. A
// plan does not change after it is made. Several threads may run one plan at the same time, each
// with its own scratch memory.
typedef struct sepconv_plan sepconv_plan;

// An instruction set. The results of a plan have the same bits on each.
typedef uint32_t sepconv_level;

// The result of a call: SEPCONV_OK or the kind of error. After an error, sepconv_error() returns a
// message.
typedef uint32_t sepconv_status;

// The padding of a window. Padding adds nothing to a convolution or to a pool.
typedef uint32_t sepconv_padding;

// A sliding window. Arrays hold height, then width. A stride or dilation of 0 means 1.
typedef struct {
  size_t kernel[2];
  size_t stride[2];
  size_t dilation[2];
  sepconv_padding padding;
  // Top, bottom, left, right. Used with SEPCONV_EXPLICIT only.
  size_t pads[4];
} sepconv_window;

// The type of the elements of a tensor. A 16-bit element is passed as its bits, a uint16_t.
typedef uint32_t sepconv_type;

// The order of the dimensions of weights, the last one innermost: kernel height and width (HW),
// input channels of a group (I), output channels (O). A depthwise convolution is one in groups of
// one channel: I is 1, and O is C·multiplier. Of pointwise and dense layers height and width are
// 1. Results have the same bits in each.
typedef uint32_t sepconv_weight_layout;

// Weights: `len` elements. The plan or the packed weights keep a packed copy, so the caller may
// free or change the originals after the call.
typedef struct {
  const void *data;
  size_t len;
  sepconv_type element;
  sepconv_weight_layout layout;
} sepconv_weights;

// Biases: `len` floats, one for each output channel. Zero-initialize it for none. The plan or the
// packed weights keep a copy.
typedef struct {
  const float *data;
  size_t len;
} sepconv_bias;

// What weights of SEPCONV_I8 take: weight w of output channel o stands for `scales[o]`·w. Sums of
// products are exact, in 32 bits: what can overflow is refused. Zero-initialize it for weights of
// other types. The plan or the packed weights keep a copy.
typedef struct {
  // One for each output channel: finite, not negative.
  const float *scales;
  // One for each output channel, added to its sums: in steps of the input's scale times
  // `scales[o]`. Null for zeros. It takes the place of the bias of floats, which must be empty.
  const int32_t *bias;
  // The number of scales and of biases.
  size_t len;
} sepconv_quantized_weights;

// Parameters of a depthwise convolution.
typedef struct {
  sepconv_window window;
  // Output channels for each input channel; 0 means 1. Input channel c gives the output channels
  // from c·multiplier to c·multiplier + multiplier − 1.
  size_t multiplier;
  // Of shape [kh, kw, C, multiplier], or in the order of their layout.
  sepconv_weights weights;
  sepconv_bias bias;
  // With weights of SEPCONV_I8.
  sepconv_quantized_weights quantized;
} sepconv_depthwise_params;

// The kind of an activation.
typedef uint32_t sepconv_activation_kind;

// An activation. Zero-initialize it for none. Its kind says which of `a`, `b` and `c` it uses.
typedef struct {
  sepconv_activation_kind kind;
  float a;
  float b;
  float c;
} sepconv_activation;

// How pointwise, separable, standard and dense layers multiply and add.
typedef uint32_t sepconv_arithmetic;

// The order of a tensor's elements in memory. Shapes are N, H, W, C in either. Results have the
// same bits in either.
typedef uint32_t sepconv_tensor_layout;

// What an integer q of a tensor of SEPCONV_U8 or SEPCONV_I8 stands for: scale·(q − zero_point).
// Zero-initialize it for integers that stand for themselves: scale 1, zero point 0.
typedef struct {
  // Positive, finite and not subnormal.
  float scale;
  // The integer that stands for 0, and for padding; one of the type's.
  int32_t zero_point;
} sepconv_quantization;

// Options of a plan. Zero-initialize them for the defaults: no activations, the best instruction
// set, f32 input and output, both NHWC.
typedef struct {
  // Applied to each input element when it is loaded, not to padding.
  sepconv_activation input_activation;
  // 1: each input element, after its activation, is multiplied by the factor of its picture and
  // channel, which comes with the view: sepconv_view.scale. Padding stays 0. It is refused with
  // integers, and with an input activation that is not a clamp. 0: there are no factors.
  uint32_t input_scale;
  // Applied last, after the residual is added.
  sepconv_activation activation;
  sepconv_level level;
  sepconv_type input_type;
  // The type of the output and of the residual.
  sepconv_type output_type;
  sepconv_arithmetic arithmetic;
  sepconv_tensor_layout input_layout;
  // The layout of the output and of the residual.
  sepconv_tensor_layout output_layout;
  // Of an input of SEPCONV_U8 or SEPCONV_I8. Layers with weights take such an input with weights
  // of SEPCONV_I8 and give such an output or SEPCONV_F32. An output is rounded to nearest, ties
  // to even, and clamped to its type.
  sepconv_quantization input_quantization;
  // Of an output of these types.
  sepconv_quantization output_quantization;
  // Of the residual, whose type is the output's. All zero: output_quantization.
  sepconv_quantization residual_quantization;
  // 1: SEPCONV_ARITHMETIC_BF16, and layers of 8-bit integers, multiply by tile registers (AMX)
  // where the CPU has them; the bits are the same. Making a plan then asks the operating system
  // for them, for all threads of the process. From then on sigaltstack() refuses stacks without
  // room for 8 KiB more. If a thread already has such a stack, the request fails and other
  // kernels run; sepconv_plan_kernel_name() tells which. 0: no tile registers, unless the
  // environment variable SEPCONV_AMX is 1.
  uint32_t amx;
} sepconv_options;

// Parameters of a pointwise (1×1) convolution.
typedef struct {
  // Vertical, then horizontal; 0 means 1.
  size_t stride[2];
  // Output channels O.
  size_t channels_out;
  // Of shape [C, O], or in the order of their layout.
  sepconv_weights weights;
  sepconv_bias bias;
  // With weights of SEPCONV_I8.
  sepconv_quantized_weights quantized;
} sepconv_pointwise_params;

// Parameters of a separable convolution: a depthwise convolution, an activation and a pointwise
// convolution in one.
typedef struct {
  sepconv_depthwise_params depthwise;
  // Applied between the two convolutions.
  sepconv_activation mid_activation;
  // Output channels O.
  size_t channels_out;
  // The pointwise weights, of shape [C·multiplier, O], or in the order of their layout. The two
  // layouts needn't be the same.
  sepconv_weights weights;
  sepconv_bias bias;
  // Of the integers between the two convolutions, which are of the input's type.
  sepconv_quantization mid_quantization;
  // With pointwise weights of SEPCONV_I8. The depthwise weights are of SEPCONV_I8, too, then.
  sepconv_quantized_weights quantized;
} sepconv_separable_params;

// Parameters of a standard convolution.
typedef struct {
  sepconv_window window;
  // Must divide C and O; 0 means 1.
  size_t groups;
  // Output channels O.
  size_t channels_out;
  // Of shape [kh, kw, C / groups, O], or in the order of their layout.
  sepconv_weights weights;
  sepconv_bias bias;
  // With weights of SEPCONV_I8.
  sepconv_quantized_weights quantized;
} sepconv_conv_params;

// Parameters of a dense layer.
typedef struct {
  // Outputs O.
  size_t channels_out;
  // Of shape [C, O], or in the order of their layout.
  sepconv_weights weights;
  sepconv_bias bias;
  // With weights of SEPCONV_I8.
  sepconv_quantized_weights quantized;
} sepconv_dense_params;

// What a pool computes over its window. All but SEPCONV_AVERAGE_OF_PADDED ignore padding.
typedef uint32_t sepconv_pool_kind;

// Parameters of a transposed convolution. Arrays hold height, then width.
typedef struct {
  size_t kernel[2];
  // 0 means 1.
  size_t stride[2];
  // 0 means 1. The formulas below are those of a kernel of (kernel − 1) · dilation + 1.
  size_t dilation[2];
  // SEPCONV_VALID as in Keras: out = in · stride + max(kernel − stride, 0). SEPCONV_SAME as in
  // Keras: out = in · stride. SEPCONV_EXPLICIT as in PyTorch:
  // out = (in − 1) · stride − 2 · pads + kernel + output_pads.
  sepconv_padding padding;
  // Output pixels cut off on either side. Used with SEPCONV_EXPLICIT only.
  size_t pads[2];
  // Output pixels added at the bottom and on the right. Used with SEPCONV_EXPLICIT only.
  size_t output_pads[2];
  // Must divide C and O. 0 means 1. C groups make it depthwise.
  size_t groups;
  // Output channels O.
  size_t channels_out;
  // Of shape [kh, kw, O / groups, C] with SEPCONV_HWOI, or in the order of another layout. I
  // stands for all C.
  sepconv_weights weights;
  sepconv_bias bias;
} sepconv_transposed_params;

// How sepconv_resize() interpolates between pixels.
typedef uint32_t sepconv_interpolation;

// Where output pixel o of sepconv_resize() lies in the input, along either axis.
typedef uint32_t sepconv_coordinates;

// The order of the input channels of sepconv_depth_to_space().
typedef uint32_t sepconv_depth_order;

// What sepconv_binary() makes of an element a of its first operand and b of its second.
typedef uint32_t sepconv_binary_op;

// What sepconv_normalization() normalizes, and by what. Means and sums are over the elements x
// that are normalized together.
typedef uint32_t sepconv_normalization_kind;

// Parameters of a normalization: in each channel, y = scale · normalized(x) + shift.
typedef struct {
  sepconv_normalization_kind kind;
  // With SEPCONV_GROUP_NORMALIZATION: a divisor of C. 0 means 1.
  size_t groups;
  // At least 0.
  float epsilon;
  // One for each channel. Null for ones.
  const float *scale;
  // One for each channel. Null for zeros.
  const float *shift;
  // The number of scales and of shifts: C, or 0 if both are null.
  size_t len;
} sepconv_normalization_params;

// A tensor that a call reads. Element (n, y, x, c) lies at index
// ((n·H + y)·W + x)·pixel_stride + c of `data` if the layout is NHWC, and at
// n·picture_stride + (c·H + y)·W + x if it is NCHW. The caller owns the memory.
typedef struct {
  const void *data;
  // The number of elements at `data`: N·H·W·C if there are no gaps.
  size_t len;
  sepconv_type element;
  // N, H, W, C.
  size_t shape[4];
  // The number of elements from one pixel to the next; 0 means C. A larger number selects some
  // channels of a wider tensor. `len` must then be at least (N·H·W − 1)·pixel_stride + C. It is
  // 0 if the layout is NCHW.
  size_t pixel_stride;
  // As the plan's options have it.
  sepconv_tensor_layout layout;
  // The number of elements from one picture to the next if the layout is NCHW; 0 means C·H·W. A
  // larger number selects some channels of a wider tensor, from the first of their planes on.
  // `len` must then be at least (N − 1)·picture_stride + C·H·W. It is 0 if the layout is NHWC.
  size_t picture_stride;
  // N·C factors, one for each picture and channel, if this is the input and the options'
  // input_scale is 1. Otherwise null.
  const float *scale;
  // The number of factors.
  size_t scale_len;
} sepconv_view;

// A tensor that a call writes. Its layout is that of sepconv_view. The caller owns the memory.
typedef struct {
  void *data;
  size_t len;
  sepconv_type element;
  size_t shape[4];
  size_t pixel_stride;
  sepconv_tensor_layout layout;
  size_t picture_stride;
} sepconv_view_mut;

// The work of a run, which sepconv_threads.run calls with the argument that came with it.
//
// Any thread may call it. Several may at the same time. Each call computes until no task is left
// to begin, and then returns. It waits for no other call, allocates nothing, and takes less than
// 64 KiB of stack.
typedef void (*sepconv_work)(void *argument);

// Threads of the caller's, for sepconv_plan_run_on(): a pool, an executor, tasks of an operating
// system. The caller owns all of it. The library uses it during that call only.
typedef struct {
  // How many threads can compute at the same time; 0 means 1.
  size_t count;
  // Calls `work(argument)` `count` times, from several threads at the same time, and returns
  // when all of these calls have returned; `count` is at most the field of that name. The
  // thread that `run` is called on may make calls, too.
  //
  // Outputs do not depend on how it is done. A run stays correct, only slower, if the calls
  // are made one after the other, or fewer of them. More of them do nothing. No call may begin
  // or go on after `run` has returned. It must return: neither longjmp() nor a C++ exception may
  // leave it.
  void (*run)(void *context, size_t count, sepconv_work work, void *argument);
  // Passed to `run`; may be null.
  void *context;
} sepconv_threads;

#define SEPCONV_OK 0

// An argument is invalid: a null pointer, a wrong length, an impossible shape, an unknown type.
// No tensor was written.
#define SEPCONV_INVALID 1

// Memory could not be allocated. No tensor was written.
#define SEPCONV_NO_MEMORY 2

// A bug in the library. Outputs may be partly written.
#define SEPCONV_INTERNAL 3

#define SEPCONV_F32 0

#define SEPCONV_F16 1

#define SEPCONV_BF16 2

// Integers 0 … 255, uint8_t, which stand for numbers: see sepconv_quantization. Tensors only.
#define SEPCONV_U8 3

// Integers −128 … 127, int8_t. Tensors as with SEPCONV_U8; weights with sepconv_quantized_weights,
// of which none may be −128.
#define SEPCONV_I8 4

// The best that the CPU has, or the one that the environment variable SEPCONV_LEVEL names.
#define SEPCONV_LEVEL_BEST 0

#define SEPCONV_LEVEL_SCALAR 1

#define SEPCONV_LEVEL_NEON 2

#define SEPCONV_LEVEL_AVX2 3

#define SEPCONV_LEVEL_AVX512 4

// SSE2, of every x86-64 CPU. It has no fused multiply-adds: see SEPCONV_ARITHMETIC_UNFUSED.
#define SEPCONV_LEVEL_SSE 5

// WebAssembly's simd128. It has no fused multiply-adds, either.
#define SEPCONV_LEVEL_SIMD128 6

// WebAssembly's relaxed simd, if the engine's relaxed multiply-add is fused.
#define SEPCONV_LEVEL_RELAXED_SIMD 7

#define SEPCONV_NONE 0

// x < 0 ? 0 : x
#define SEPCONV_RELU 1

// Clamp to 0 … 6.
#define SEPCONV_RELU6 2

// Clamp to a … b.
#define SEPCONV_CLAMP 3

// x > 0 ? x : a·(exp(x) − 1)
#define SEPCONV_ELU 4

// x / (1 + exp(−x))
#define SEPCONV_SILU 5

// x · (clamp(x + 3, 0, 6) · (1/6))
#define SEPCONV_HARD_SWISH 6

// 1 / (1 + exp(−x))
#define SEPCONV_SIGMOID 7

// clamp(a·x + b, 0, 1)
#define SEPCONV_HARD_SIGMOID 8

// The hyperbolic tangent.
#define SEPCONV_TANH 9

// x · (1 + erf(x / √2)) / 2
#define SEPCONV_GELU 10

// x · (1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2
#define SEPCONV_GELU_TANH 11

// ln(1 + exp(x))
#define SEPCONV_SOFTPLUS 12

// x · tanh(ln(1 + exp(x)))
#define SEPCONV_MISH 13

// x < 0 ? a·x : x
#define SEPCONV_LEAKY_RELU 14

// x < b ? a·(x − b) : min(x, c)
#define SEPCONV_THRESHOLDED_RELU 15

// x / (1 + |x|)
#define SEPCONV_SOFTSIGN 16

// exp(x)
#define SEPCONV_EXPONENTIAL 17

// In f32, the same bits on every CPU. CPUs without fused multiply-adds emulate them, slowly.
#define SEPCONV_ARITHMETIC_EXACT 0

// Products of bf16, the same bits on every CPU. Operands of any type are rounded to bf16; each
// block of 32 products is two chains of multiply-adds of f32. Taps in the padding count as zeros.
#define SEPCONV_ARITHMETIC_BF16 1

// The CPU's bf16 dot products where weights are bf16 and the CPU has some, else as
// SEPCONV_ARITHMETIC_EXACT: faster, less exact, and different bits on different CPUs.
#define SEPCONV_ARITHMETIC_FAST 2

// In f32, each product rounded before it is added, the same bits on every CPU. It is for CPUs
// without fused multiply-adds, where it is many times faster. Depthwise layers use it, too.
#define SEPCONV_ARITHMETIC_UNFUSED 3

// The channels of a pixel lie side by side: Keras, TensorFlow.
#define SEPCONV_NHWC 0

// Each channel is a plane of H·W elements, without gaps: PyTorch, ONNX.
#define SEPCONV_NCHW 1

// [kh, kw, I, O]: Keras and TensorFlow; TensorFlow Lite's depthwise convolutions. That is
// [kh, kw, C, multiplier] for a depthwise convolution, [C, O] for a pointwise one.
#define SEPCONV_HWIO 0

// [O, I, kh, kw]: PyTorch and ONNX.
#define SEPCONV_OIHW 1

// [I, O, kh, kw].
#define SEPCONV_IOHW 2

// [O, kh, kw, I]: TensorFlow Lite, except depthwise convolutions.
#define SEPCONV_OHWI 3

// [kh, kw, O, I]: transposed convolutions of Keras and TensorFlow.
#define SEPCONV_HWOI 4

// No padding.
#define SEPCONV_VALID 0

// TensorFlow's SAME: out = ceil(in / stride). An odd padding has one more at the bottom or right.
#define SEPCONV_SAME 1

// The padding is given by `pads`.
#define SEPCONV_EXPLICIT 2

#define SEPCONV_MAX 0

#define SEPCONV_AVERAGE 1

// The sum over the window divided by the size of the whole window, padding included: PyTorch's
// count_include_pad.
#define SEPCONV_AVERAGE_OF_PADDED 2

#define SEPCONV_NEAREST 0

#define SEPCONV_BILINEAR 1

// (o + 0.5) · in / out, minus 0.5 if bilinear: TensorFlow 2, Keras; PyTorch's bilinear and
// nearest-exact.
#define SEPCONV_HALF_PIXEL 0

// o · (in − 1) / (out − 1): align_corners.
#define SEPCONV_ALIGN_CORNERS 1

// o · in / out: TensorFlow 1; PyTorch's nearest.
#define SEPCONV_ASYMMETRIC 2

// Those of one output pixel are adjacent: TensorFlow, ONNX's DCR.
#define SEPCONV_BLOCK_FIRST 0

// Those of one output channel are adjacent: PyTorch's PixelShuffle, ONNX's CRD.
#define SEPCONV_CHANNEL_FIRST 1

// a + b
#define SEPCONV_ADD 0

// a − b
#define SEPCONV_SUBTRACT 1

// a · b
#define SEPCONV_MULTIPLY 2

// b > a ? b : a, NaN if one of them is.
#define SEPCONV_MAXIMUM 3

// b < a ? b : a, NaN if one of them is.
#define SEPCONV_MINIMUM 4

// a < 0 ? b·a : a, where b is PReLU's α.
#define SEPCONV_PRELU 5

// The channels of a pixel: (x − mean) / √(mean of (x − mean)² + epsilon).
#define SEPCONV_LAYER_NORMALIZATION 0

// The channels of a pixel: x / √(mean of x² + epsilon).
#define SEPCONV_RMS_NORMALIZATION 1

// The channels of a pixel: x / √max(sum of x², epsilon), a vector of length 1.
#define SEPCONV_UNIT_NORMALIZATION 2

// Groups of C / groups channels of a picture, as SEPCONV_LAYER_NORMALIZATION.
#define SEPCONV_GROUP_NORMALIZATION 3

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the version of the library, such as "0.1.0". The string is static; do not free it.
const char *sepconv_version(void);

// Returns the message of the last call that failed on this thread, or an empty string if none has.
// It has at most 511 bytes, in UTF-8. The library owns the string. It stays valid until another
// call fails on this thread, or until the thread ends.
const char *sepconv_error(void);

// Returns whether this CPU and this build of the library support an instruction set. False for an
// unknown number.
bool sepconv_level_is_available(sepconv_level level);

// Makes a plan for a depthwise convolution.
//
// `input` points to the four numbers N, H, W, C of the input's shape. `params` is required.
// `options` may be null for the defaults. On success `*plan` is a new plan, which the caller owns
// and must pass to sepconv_plan_destroy(). After an error `*plan` is null. The call copies what it
// needs from its arguments. Any thread may call it.
//
// Returns SEPCONV_INVALID if a required pointer is null, or if shape, parameters, types or lengths
// don't match; SEPCONV_NO_MEMORY if the plan can't be allocated.
//
// # Safety
// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
// pointers. Data pointers inside `params` are null or valid for their `len` elements.
sepconv_status sepconv_depthwise(const size_t *input,
                                 const sepconv_depthwise_params *params,
                                 const sepconv_options *options,
                                 sepconv_plan **plan);

// Makes a plan for a pointwise (1×1) convolution. Arguments and errors are those of
// sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
// pointers. Data pointers inside `params` are null or valid for their `len` elements.
sepconv_status sepconv_pointwise(const size_t *input,
                                 const sepconv_pointwise_params *params,
                                 const sepconv_options *options,
                                 sepconv_plan **plan);

// Makes a plan for a separable convolution, whose two steps run as one. Arguments and errors are
// those of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
// pointers. Data pointers inside `params` are null or valid for their `len` elements.
sepconv_status sepconv_separable(const size_t *input,
                                 const sepconv_separable_params *params,
                                 const sepconv_options *options,
                                 sepconv_plan **plan);

// Makes a plan for a standard convolution. Arguments and errors are those of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
// pointers. Data pointers inside `params` are null or valid for their `len` elements.
sepconv_status sepconv_conv(const size_t *input,
                            const sepconv_conv_params *params,
                            const sepconv_options *options,
                            sepconv_plan **plan);

// Makes a plan for a dense layer over an input of shape N, 1, 1, C. Arguments and errors are those
// of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
// pointers. Data pointers inside `params` are null or valid for their `len` elements.
sepconv_status sepconv_dense(const size_t *input,
                             const sepconv_dense_params *params,
                             const sepconv_options *options,
                             sepconv_plan **plan);

// Makes a plan for a max or average pool; `window` is required. Arguments and errors are those of
// sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `window`, `options` and `plan` are null or valid
// pointers.
sepconv_status sepconv_pool(const size_t *input,
                            sepconv_pool_kind kind,
                            const sepconv_window *window,
                            const sepconv_options *options,
                            sepconv_plan **plan);

// Makes a plan for the mean over height and width; the output has shape N, 1, 1, C. Arguments and
// errors are those of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
sepconv_status sepconv_global_average_pool(const size_t *input,
                                           const sepconv_options *options,
                                           sepconv_plan **plan);

// Makes a plan for a transposed convolution, NHWC, of floating-point elements. Arguments and
// errors are those of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
// pointers. Data pointers inside `params` are null or valid for their `len` elements.
sepconv_status sepconv_transposed_conv(const size_t *input,
                                       const sepconv_transposed_params *params,
                                       const sepconv_options *options,
                                       sepconv_plan **plan);

// Makes a plan that resizes pictures to a height and a width, NHWC, of floating-point elements.
// Arguments and errors are those of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
sepconv_status sepconv_resize(const size_t *input,
                              size_t height,
                              size_t width,
                              sepconv_interpolation interpolation,
                              sepconv_coordinates coordinates,
                              const sepconv_options *options,
                              sepconv_plan **plan);

// Makes a plan that turns channels into pixels, NHWC, of floating-point elements: N, H, W, C to N,
// H·block, W·block, C / block². Arguments and errors are those of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
sepconv_status sepconv_depth_to_space(const size_t *input,
                                      size_t block,
                                      sepconv_depth_order order,
                                      const sepconv_options *options,
                                      sepconv_plan **plan);

// Makes a plan for the softmax of each pixel over its channels, NHWC, of floating-point elements.
// Arguments and errors are those of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
sepconv_status sepconv_softmax(const size_t *input, const sepconv_options *options, sepconv_plan **plan);

// Makes a plan that copies x. With a residual it adds, with an activation it applies that
// activation, with different types it converts. Arguments and errors are those of
// sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `options` and `plan` are null or valid pointers.
sepconv_status sepconv_elementwise(const size_t *input, const sepconv_options *options, sepconv_plan **plan);

// Makes a plan for an operation of two tensors, element by element, NHWC, of floating-point
// elements: y = activation(a ∘ b). Where one of them has a dimension of 1, its one picture, row,
// column or channel goes with each of the other's.
//
// `input` points to the shape N, H, W, C of the first operand, `second` to that of the second. A
// run takes the first as `x` and the second as `residual`, which is required and has the type of
// the output. Other arguments and errors are those of sepconv_depthwise().
//
// # Safety
// `input` and `second` are null or point to four numbers. `options` and `plan` are null or valid
// pointers.
sepconv_status sepconv_binary(sepconv_binary_op op,
                              const size_t *input,
                              const size_t *second,
                              const sepconv_options *options,
                              sepconv_plan **plan);

// Makes a plan for a layer, RMS, unit or group normalization, NHWC, of floating-point elements.
// (Constant scales and shifts by channel without a normalization are a depthwise convolution with
// a kernel of one tap.) Arguments and errors are those of sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers. `params`, `options` and `plan` are null or valid
// pointers. Scales and shifts in `params` are null or valid for `len` floats.
sepconv_status sepconv_normalization(const size_t *input,
                                     const sepconv_normalization_params *params,
                                     const sepconv_options *options,
                                     sepconv_plan **plan);

// Packs the weights of a depthwise convolution of `channels_in` input channels, for inputs of any
// size.
//
// `params` is required. `options` may be null for the defaults. On success `*packed` holds new
// packed weights, which the caller owns and must pass to sepconv_packed_destroy(). After an error
// `*packed` is null. The call copies what it needs from its arguments. It takes time and memory in
// proportion to the weights. Any thread may call it.
//
// Returns SEPCONV_INVALID if a required pointer is null, or if parameters, types or lengths don't
// match; SEPCONV_NO_MEMORY if the packed weights can't be allocated.
//
// # Safety
// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
// null or valid for their `len` elements.
sepconv_status sepconv_depthwise_pack(size_t channels_in,
                                      const sepconv_depthwise_params *params,
                                      const sepconv_options *options,
                                      sepconv_packed **packed);

// Packs the weights of a pointwise (1×1) convolution. Arguments and errors are those of
// sepconv_depthwise_pack().
//
// # Safety
// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
// null or valid for their `len` elements.
sepconv_status sepconv_pointwise_pack(size_t channels_in,
                                      const sepconv_pointwise_params *params,
                                      const sepconv_options *options,
                                      sepconv_packed **packed);

// Packs the weights of a separable convolution. Arguments and errors are those of
// sepconv_depthwise_pack().
//
// # Safety
// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
// null or valid for their `len` elements.
sepconv_status sepconv_separable_pack(size_t channels_in,
                                      const sepconv_separable_params *params,
                                      const sepconv_options *options,
                                      sepconv_packed **packed);

// Packs the weights of a standard convolution. Arguments and errors are those of
// sepconv_depthwise_pack().
//
// # Safety
// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
// null or valid for their `len` elements.
sepconv_status sepconv_conv_pack(size_t channels_in,
                                 const sepconv_conv_params *params,
                                 const sepconv_options *options,
                                 sepconv_packed **packed);

// Packs the weights of a dense layer. Arguments and errors are those of sepconv_depthwise_pack().
//
// # Safety
// `params`, `options` and `packed` are null or valid pointers. Data pointers inside `params` are
// null or valid for their `len` elements.
sepconv_status sepconv_dense_pack(size_t channels_in,
                                  const sepconv_dense_params *params,
                                  const sepconv_options *options,
                                  sepconv_packed **packed);

// Copies the scales and shifts of a normalization. Arguments and errors are those of
// sepconv_depthwise_pack().
//
// # Safety
// `params`, `options` and `packed` are null or valid pointers. Scales and shifts in `params` are
// null or valid for `len` floats.
sepconv_status sepconv_normalization_pack(size_t channels,
                                          const sepconv_normalization_params *params,
                                          const sepconv_options *options,
                                          sepconv_packed **packed);

// Makes a plan of packed weights. `size` points to the three numbers N, H, W of the input's size.
//
// On success `*plan` is a new plan, which the caller owns and must pass to sepconv_plan_destroy().
// It is the plan that sepconv_depthwise() and the others make for that shape, but takes only
// microseconds and a few KiB, however large the weights are. The plan shares the packed weights:
// they are freed when the handle and all its plans have been destroyed, in any order. After an
// error `*plan` is null. Any thread may call it.
//
// Returns SEPCONV_INVALID if a pointer is null, a number is 0, or the kernel is larger than the
// padded input.
//
// # Safety
// `packed` is null or packed weights. `size` is null or points to three numbers. `plan` is null or
// a valid pointer.
sepconv_status sepconv_packed_plan(const sepconv_packed *packed, const size_t *size, sepconv_plan **plan);

// Writes to `shape`, which has room for four numbers, the shape N, H, W, C of the output for an
// input of size N, H, W. `size` points to these three numbers. Errors are those of
// sepconv_packed_plan(). Any thread may call it.
//
// # Safety
// `packed` is null or packed weights. `size` is null or points to three numbers. `shape` is null
// or valid for four numbers.
sepconv_status sepconv_packed_output_shape(const sepconv_packed *packed, const size_t *size, size_t *shape);

// Returns the number of bytes of the packed weights and biases. Returns 0 if `packed` is null. Any
// thread may call it.
//
// # Safety
// `packed` is null or packed weights.
size_t sepconv_packed_weights_bytes(const sepconv_packed *packed);

// Destroys a handle of packed weights. Does nothing if `packed` is null. Plans that were made of
// it go on working; the memory is freed with the last of them. No thread may use the handle during
// the call or after it.
//
// # Safety
// `packed` is null, or packed weights that this library made and that were not destroyed before.
void sepconv_packed_destroy(sepconv_packed *packed);

// Destroys a plan and frees its memory. Does nothing if `plan` is null. No thread may use the plan
// during the call or after it.
//
// # Safety
// `plan` is null, or a plan that this library made and that was not destroyed before.
void sepconv_plan_destroy(sepconv_plan *plan);

// Writes the shape N, H, W, C of a plan's input to `shape`, which has room for four numbers.
// Returns SEPCONV_INVALID if `plan` or `shape` is null.
//
// # Safety
// `plan` is null or a plan. `shape` is null or valid for four numbers.
sepconv_status sepconv_plan_input_shape(const sepconv_plan *plan, size_t *shape);

// Writes the shape N, H, W, C of a plan's output and residual to `shape`, which has room for four
// numbers. (The second operand of sepconv_binary() has the shape that was given.) Returns
// SEPCONV_INVALID if `plan` or `shape` is null.
//
// # Safety
// `plan` is null or a plan. `shape` is null or valid for four numbers.
sepconv_status sepconv_plan_output_shape(const sepconv_plan *plan, size_t *shape);

// Returns how many floats of scratch memory a plan needs to run on `threads` threads (0 means 1).
// Returns 0 if `plan` is null.
//
// # Safety
// `plan` is null or a plan.
size_t sepconv_plan_scratch_len(const sepconv_plan *plan, size_t threads);

// Returns the names of the kernels that a plan runs, such as
// "dw_f32_3x3s1_3_avx2+gemm_f32_6x16_avx2". The plan owns the string. Returns null if `plan` is
// null.
//
// # Safety
// `plan` is null or a plan.
const char *sepconv_plan_kernel_name(const sepconv_plan *plan);

// Runs a plan: y = activation(operation(input_activation(x)) + residual).
//
// `plan`, `x` and `y` are required; `residual` may be null, except as the second operand of
// sepconv_binary(). Shapes and types must be those of the plan. `y` and `scratch` must not overlap
// each other or any other operand.
//
// The call returns when the output is complete. It uses up to `threads` threads (0 means 1; the
// most is 1024), but no more than `scratch` has room for; sepconv_plan_scratch_len() says how much
// they need. With one thread it runs on the calling thread. With more it runs on a pool of that
// many threads. The library starts the pool at the first such call and keeps it for later ones. It
// keeps the four pools that were used last; sepconv_release_threads() ends them. If the system
// refuses so many threads (a limit, a sandbox), the call runs on the calling thread alone.
//
// The same operands give the same bits on any number of threads, if the threads have the default
// floating-point environment: round to nearest, subnormal numbers kept. Several threads may run
// one plan at the same time with different `y` and `scratch`.
//
// A child of fork() may run its parent's plans on any number of threads; it starts its own pools.
// Destructors of static and of thread-local objects may call any function of the library.
//
// The contents of `scratch` don't matter before the call and are unspecified after it. The library
// keeps no pointer to any operand.
//
// Returns SEPCONV_INVALID if an argument is wrong (nothing is written), SEPCONV_INTERNAL after a
// bug in the library (`y` may be partly written).
//
// # Safety
// `plan` is null or a plan. `x`, `residual` and `y` are null or valid pointers, and their data is
// null or valid for `len` elements. `scratch` is null or valid for `scratch_len` floats. During
// the call no other thread writes to any of this memory, or reads `y` or `scratch`.
sepconv_status sepconv_plan_run(const sepconv_plan *plan,
                                const sepconv_view *x,
                                const sepconv_view *residual,
                                const sepconv_view_mut *y,
                                float *scratch,
                                size_t scratch_len,
                                size_t threads);

// Writes to `rows` the input rows that sepconv_plan_run_rows() needs for the output rows `start`
// to `end` − 1: the first row, and one past the last. They are the rows that the windows cover,
// without padding. `rows` has room for two numbers. Returns SEPCONV_INVALID if `plan` or `rows` is
// null.
//
// # Safety
// `plan` is null or a plan. `rows` is null or valid for two numbers.
sepconv_status sepconv_plan_input_rows(const sepconv_plan *plan, size_t start, size_t end, size_t *rows);

// Runs a plan for the output rows `start` to `end` − 1 of each picture.
//
// `x` holds exactly the input rows that sepconv_plan_input_rows() gives. `residual` and `y` hold
// exactly these output rows; an operand of sepconv_binary() that has one row has it here, too.
// All else is as in sepconv_plan_run(), and the rows have the same bits.
//
// An engine can use this to run layers depth first, a few rows of each at a time, which keeps the
// values between them small.
//
// # Safety
// As for sepconv_plan_run().
sepconv_status sepconv_plan_run_rows(const sepconv_plan *plan,
                                     size_t start,
                                     size_t end,
                                     const sepconv_view *x,
                                     const sepconv_view *residual,
                                     const sepconv_view_mut *y,
                                     float *scratch,
                                     size_t scratch_len,
                                     size_t threads);

// Runs a plan for the output rows `start` to `end` − 1 of each picture on the caller's threads.
//
// All is as in sepconv_plan_run_rows(), bits included, but the library starts and uses no threads
// of its own. `threads` is required. For all rows, `x` may be the whole input, as for
// sepconv_plan_run(). The call uses as many threads as threads->count says, but no more than
// `scratch` has room for, nor more than the layer has tasks for. If these are two or more, it
// calls threads->run on the thread that it was called on. What threads->run leaves undone, that
// thread does afterwards.
//
// Returns SEPCONV_INVALID if `threads` or threads->run is null, and for what is wrong with the
// other arguments; then threads->run was not called.
//
// # Safety
// As for sepconv_plan_run_rows(). `threads` is null or a valid pointer; threads->run does what
// sepconv_threads says.
sepconv_status sepconv_plan_run_on(const sepconv_plan *plan,
                                   const sepconv_threads *threads,
                                   size_t start,
                                   size_t end,
                                   const sepconv_view *x,
                                   const sepconv_view *residual,
                                   const sepconv_view_mut *y,
                                   float *scratch,
                                   size_t scratch_len);

// Ends the threads that the library keeps for later runs. Those that no run uses have ended when
// the call returns; the others end with their runs. A later run on more than one thread starts new
// ones. Any thread may call it.
//
// A program may call this before it forks, unloads the library, or is idle for a long time.
void sepconv_release_threads(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SEPCONV_H */
