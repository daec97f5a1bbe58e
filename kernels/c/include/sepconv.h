#ifndef SEPCONV_H
#define SEPCONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A prepared operation: shape checked, weights packed, kernels chosen. Immutable: one plan may run
// on several threads at a time, each with its own scratch.
typedef struct sepconv_plan sepconv_plan;

// An instruction set.
typedef uint32_t sepconv_level;

// What a function returns: SEPCONV_OK or what went wrong. sepconv_error() says more.
typedef uint32_t sepconv_status;

// How a window is padded.
typedef uint32_t sepconv_padding;

// A sliding window: height, then width. A stride or dilation of 0 stands for 1.
typedef struct {
  size_t kernel[2];
  size_t stride[2];
  size_t dilation[2];
  sepconv_padding padding;
  // Top, bottom, left, right; of SEPCONV_EXPLICIT only.
  size_t pads[4];
} sepconv_window;

// The type of elements. 16-bit ones are given by their bits.
typedef uint32_t sepconv_type;

// Weights: `len` elements in row-major order. They are packed into the plan and not needed
// afterwards.
typedef struct {
  const void *data;
  size_t len;
  sepconv_type element;
} sepconv_weights;

// Biases: f32, one for each output channel; all zeros (a null pointer) for none.
typedef struct {
  const float *data;
  size_t len;
} sepconv_bias;

// Parameters of a depthwise convolution.
typedef struct {
  sepconv_window window;
  // Output channels per input channel, 0 for 1: output channel c·multiplier + m is made of input
  // channel c.
  size_t multiplier;
  // [kh, kw, C, multiplier]
  sepconv_weights weights;
  sepconv_bias bias;
} sepconv_depthwise_params;

// The kind of an activation.
typedef uint32_t sepconv_activation_kind;

// An activation; all zeros is none.
typedef struct {
  sepconv_activation_kind kind;
  float a;
  float b;
} sepconv_activation;

// What every plan takes besides its shape and weights; all zeros is the default.
typedef struct {
  // Applied to each input element as it is loaded, never to padding.
  sepconv_activation input_activation;
  // Applied last, after the residual is added.
  sepconv_activation activation;
  sepconv_level level;
  sepconv_type input_type;
  // Of the output and of the residual.
  sepconv_type output_type;
  // Whether products may be made by the CPU's dot products of bf16 where weights are bf16:
  // faster, less exact, not the same on all CPUs.
  bool fast;
} sepconv_options;

// Parameters of a pointwise (1×1) convolution.
typedef struct {
  // Vertical, horizontal; 0 for 1.
  size_t stride[2];
  // Output channels O.
  size_t channels_out;
  // [C, O]
  sepconv_weights weights;
  sepconv_bias bias;
} sepconv_pointwise_params;

// Parameters of a separable convolution: a depthwise one, an activation, a pointwise one, as one.
typedef struct {
  sepconv_depthwise_params depthwise;
  // Between the two.
  sepconv_activation mid_activation;
  // Output channels O.
  size_t channels_out;
  // Of the pointwise convolution, [C·multiplier, O].
  sepconv_weights weights;
  sepconv_bias bias;
} sepconv_separable_params;

// Parameters of a standard convolution.
typedef struct {
  sepconv_window window;
  // 0 for 1; must divide C and O.
  size_t groups;
  // Output channels O.
  size_t channels_out;
  // [kh, kw, C / groups, O]
  sepconv_weights weights;
  sepconv_bias bias;
} sepconv_conv_params;

// Parameters of a dense layer.
typedef struct {
  // Outputs O.
  size_t channels_out;
  // [C, O]
  sepconv_weights weights;
  sepconv_bias bias;
} sepconv_dense_params;

// What a pool computes of its window. Padding takes part in neither.
typedef uint32_t sepconv_pool_kind;

// A tensor to be read, NHWC: element (n, y, x, c) lies at ((n·H + y)·W + x)·pixel_stride + c.
typedef struct {
  const void *data;
  // Elements at `data`: with dense pixels N·H·W·C.
  size_t len;
  sepconv_type element;
  // N, H, W, C.
  size_t shape[4];
  // Elements from one pixel to the next, 0 for C. More than C addresses part of the channels of
  // a wider tensor; `len` is then at least (N·H·W − 1)·pixel_stride + C.
  size_t pixel_stride;
} sepconv_view;

// A tensor to be written, laid out as sepconv_view's.
typedef struct {
  void *data;
  size_t len;
  sepconv_type element;
  size_t shape[4];
  size_t pixel_stride;
} sepconv_view_mut;

#define SEPCONV_OK 0

// A pointer, number, shape or type that can't be: nothing was written.
#define SEPCONV_INVALID 1

// There is no memory for what was asked.
#define SEPCONV_NO_MEMORY 2

// A bug of the library. Outputs may be half written.
#define SEPCONV_INTERNAL 3

#define SEPCONV_F32 0

#define SEPCONV_F16 1

#define SEPCONV_BF16 2

// The best that the CPU has, or what the environment variable SEPCONV_LEVEL says.
#define SEPCONV_LEVEL_BEST 0

#define SEPCONV_LEVEL_SCALAR 1

#define SEPCONV_LEVEL_NEON 2

#define SEPCONV_LEVEL_AVX2 3

#define SEPCONV_LEVEL_AVX512 4

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

// x · clamp(x + 3, 0, 6) / 6
#define SEPCONV_HARD_SWISH 6

// Not at all.
#define SEPCONV_VALID 0

// TensorFlow's rule: out = ceil(in / stride), the odd one of the padding behind.
#define SEPCONV_SAME 1

// By `pads`.
#define SEPCONV_EXPLICIT 2

#define SEPCONV_MAX 0

#define SEPCONV_AVERAGE 1

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, e.g. "0.1.0".
const char *sepconv_version(void);

// What the last function that failed on this thread has to say. Valid until the next one fails.
const char *sepconv_error(void);

// Whether this CPU has an instruction set and this library its kernels.
bool sepconv_level_is_available(sepconv_level level);

// Plans a depthwise convolution over inputs of shape N, H, W, C (`input`). `options` may be null
// for the default. The plan is stored in `plan`, to be given to sepconv_plan_destroy(); null if
// there is an error.
//
// # Safety
// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
// what `params` points to is null or valid for its length.
sepconv_status sepconv_depthwise(const size_t *input,
                                 const sepconv_depthwise_params *params,
                                 const sepconv_options *options,
                                 sepconv_plan **plan);

// Plans a pointwise convolution; see sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
// what `params` points to is null or valid for its length.
sepconv_status sepconv_pointwise(const size_t *input,
                                 const sepconv_pointwise_params *params,
                                 const sepconv_options *options,
                                 sepconv_plan **plan);

// Plans a separable convolution, whose two steps run as one; see sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
// what `params` points to is null or valid for its length.
sepconv_status sepconv_separable(const size_t *input,
                                 const sepconv_separable_params *params,
                                 const sepconv_options *options,
                                 sepconv_plan **plan);

// Plans a standard convolution; see sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
// what `params` points to is null or valid for its length.
sepconv_status sepconv_conv(const size_t *input,
                            const sepconv_conv_params *params,
                            const sepconv_options *options,
                            sepconv_plan **plan);

// Plans a dense layer over inputs N, 1, 1, C; see sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers; `params`, `options` and `plan` are null or valid;
// what `params` points to is null or valid for its length.
sepconv_status sepconv_dense(const size_t *input,
                             const sepconv_dense_params *params,
                             const sepconv_options *options,
                             sepconv_plan **plan);

// Plans a max or average pool; see sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers; `window`, `options` and `plan` are null or valid.
sepconv_status sepconv_pool(const size_t *input,
                            sepconv_pool_kind kind,
                            const sepconv_window *window,
                            const sepconv_options *options,
                            sepconv_plan **plan);

// Plans the mean over height and width, to N, 1, 1, C; see sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers; `options` and `plan` are null or valid.
sepconv_status sepconv_global_average_pool(const size_t *input,
                                           const sepconv_options *options,
                                           sepconv_plan **plan);

// Plans x itself: with a residual an addition, with an activation that activation, with other
// types a conversion; see sepconv_depthwise().
//
// # Safety
// `input` is null or points to four numbers; `options` and `plan` are null or valid.
sepconv_status sepconv_elementwise(const size_t *input, const sepconv_options *options, sepconv_plan **plan);

// Destroys a plan; null is ignored. No thread may be using it.
//
// # Safety
// `plan` is null or was made by this library and not destroyed before.
void sepconv_plan_destroy(sepconv_plan *plan);

// Stores the shape N, H, W, C of a plan's input.
//
// # Safety
// `plan` is null or a plan, `shape` null or valid for four numbers.
sepconv_status sepconv_plan_input_shape(const sepconv_plan *plan, size_t *shape);

// Stores the shape N, H, W, C of a plan's output, which is also its residual's.
//
// # Safety
// `plan` is null or a plan, `shape` null or valid for four numbers.
sepconv_status sepconv_plan_output_shape(const sepconv_plan *plan, size_t *shape);

// The floats of scratch with which a plan runs on up to `threads` threads (0 for 1). 0 for a null
// plan.
//
// # Safety
// `plan` is null or a plan.
size_t sepconv_plan_scratch_len(const sepconv_plan *plan, size_t threads);

// The kernels that run, e.g. "dw_f32_3x3s1_3_avx2+gemm_f32_6x16_avx2". Valid as long as the plan;
// null for null.
//
// # Safety
// `plan` is null or a plan.
const char *sepconv_plan_kernel_name(const sepconv_plan *plan);

// y = activation(operation(input_activation(x)) + residual).
//
// `residual` may be null. Runs on up to `threads` threads (0 for 1), as many as `scratch` has room
// for: with 1 on the calling thread, else on that thread pool of the library which has so many.
// The contents of `scratch` are irrelevant before and unspecified after. `y` must not overlap
// anything else. The same operands give the same bits on any number of threads.
//
// # Safety
// `plan` is null or a plan; `x`, `residual` and `y` are null or valid; their data is null or valid
// for `len` elements, `scratch` for `scratch_len` floats; nobody else writes to any of it
// meanwhile, or reads `y` or `scratch`.
sepconv_status sepconv_plan_run(const sepconv_plan *plan,
                                const sepconv_view *x,
                                const sepconv_view *residual,
                                const sepconv_view_mut *y,
                                float *scratch,
                                size_t scratch_len,
                                size_t threads);

// Stores the first of the input rows of which `sepconv_plan_run_rows` computes the output rows
// from `start` to before `end`, and the row behind the last of them: all that their windows cover,
// padding left out.
//
// # Safety
// `plan` is null or a plan, `rows` null or valid for two numbers.
sepconv_status sepconv_plan_input_rows(const sepconv_plan *plan, size_t start, size_t end, size_t *rows);

// `sepconv_plan_run` for the output rows from `start` to before `end` of each picture alone: `x`
// holds just the input rows that `sepconv_plan_input_rows` tells, `residual` and `y` just these
// output rows. The same bits.
//
// For running layers depth first, some rows of each by turns, so that what lies between them stays
// small.
//
// # Safety
// As for `sepconv_plan_run`.
sepconv_status sepconv_plan_run_rows(const sepconv_plan *plan,
                                     size_t start,
                                     size_t end,
                                     const sepconv_view *x,
                                     const sepconv_view *residual,
                                     const sepconv_view_mut *y,
                                     float *scratch,
                                     size_t scratch_len,
                                     size_t threads);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SEPCONV_H */
