/* Plans of packed weights, of each kind of layer and in each layout, give the numbers of a plan that was made at once;
 * they outlive the handle; what is wrong is refused with its numbers.
 */
#include <stdbool.h>

#include "layer.h"

enum { H = 9, W = 7, IN = 4, OUT = 8, K = 3, TAPS = K * K };

static float hwio[TAPS * IN * OUT], other[TAPS * IN * OUT], from_hwio[H * W * OUT], from_other[H * W * OUT];
static float nhwc[H * W * IN], nchw[IN * H * W];

/* Runs a plan and destroys it. `layout` is that of the input. */
static void run_once(sepconv_plan *plan, sepconv_tensor_layout layout, float *out) {
    size_t shape[4];
    check(sepconv_plan_output_shape(plan, shape));
    const size_t len = shape[1] * shape[2] * shape[3], scratch_len = sepconv_plan_scratch_len(plan, 1);
    float *scratch = malloc((scratch_len + 1) * sizeof *scratch);
    sepconv_view from = {.data = layout == SEPCONV_NCHW ? nchw : nhwc, .layout = layout};
    check(sepconv_plan_input_shape(plan, from.shape));
    from.len = from.shape[1] * from.shape[2] * from.shape[3];
    const sepconv_view_mut to = {.data = out, .len = len, .shape = {1, shape[1], shape[2], shape[3]}};
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1));
    free(scratch);
    sepconv_plan_destroy(plan);
}

/* Reorders weights [taps, inputs, outputs]. */
static void reorder(sepconv_weight_layout layout, size_t taps, size_t inputs, size_t outputs) {
    for (size_t t = 0; t < taps; t++) {
        for (size_t i = 0; i < inputs; i++) {
            for (size_t o = 0; o < outputs; o++) {
                size_t at = (t * inputs + i) * outputs + o;
                const float value = hwio[at];
                if (layout == SEPCONV_OIHW)
                    at = (o * inputs + i) * taps + t;
                if (layout == SEPCONV_IOHW)
                    at = (i * outputs + o) * taps + t;
                if (layout == SEPCONV_OHWI)
                    at = (o * taps + t) * inputs + i;
                other[at] = value;
            }
        }
    }
}

/* The kinds of layers. */
enum { DEPTHWISE, POINTWISE, SEPARABLE, CONV, DENSE, KINDS };

static sepconv_packed *pack(int kind, sepconv_weight_layout layout, const sepconv_options *options) {
    const sepconv_window window = {.kernel = {K, K}, .padding = SEPCONV_SAME};
    const sepconv_weights spatial = {.data = other, .len = TAPS * IN, .layout = layout};
    const sepconv_weights matrix = {.data = other, .len = IN * OUT, .layout = layout};
    const sepconv_weights all = {.data = other, .len = TAPS * IN * OUT, .layout = layout};
    const sepconv_depthwise_params depthwise = {.window = window, .weights = spatial};
    const sepconv_pointwise_params pointwise = {.channels_out = OUT, .weights = matrix};
    const sepconv_separable_params separable = {
        .depthwise = {.window = window, .weights = {.data = hwio, .len = TAPS * IN}},
        .channels_out = OUT,
        .weights = matrix};
    const sepconv_conv_params conv = {.window = window, .channels_out = OUT, .weights = all};
    const sepconv_dense_params dense = {.channels_out = OUT, .weights = matrix};
    sepconv_packed *packed = NULL;
    switch (kind) {
    case DEPTHWISE: check(sepconv_depthwise_pack(IN, &depthwise, options, &packed)); break;
    case POINTWISE: check(sepconv_pointwise_pack(IN, &pointwise, options, &packed)); break;
    case SEPARABLE: check(sepconv_separable_pack(IN, &separable, options, &packed)); break;
    case CONV: check(sepconv_conv_pack(IN, &conv, options, &packed)); break;
    default: check(sepconv_dense_pack(IN, &dense, options, &packed)); break;
    }
    return packed;
}

/* The plan that is made at once, of weights in HWIO. */
static sepconv_plan *at_once(int kind, const size_t *input) {
    const sepconv_window window = {.kernel = {K, K}, .padding = SEPCONV_SAME};
    const sepconv_weights spatial = {.data = hwio, .len = TAPS * IN}, matrix = {.data = hwio, .len = IN * OUT};
    const sepconv_depthwise_params depthwise = {.window = window, .weights = spatial};
    const sepconv_pointwise_params pointwise = {.channels_out = OUT, .weights = matrix};
    const sepconv_separable_params separable = {.depthwise = depthwise, .channels_out = OUT, .weights = matrix};
    const sepconv_conv_params conv = {
        .window = window, .channels_out = OUT, .weights = {.data = hwio, .len = TAPS * IN * OUT}};
    const sepconv_dense_params dense = {.channels_out = OUT, .weights = matrix};
    sepconv_plan *plan = NULL;
    switch (kind) {
    case DEPTHWISE: check(sepconv_depthwise(input, &depthwise, NULL, &plan)); break;
    case POINTWISE: check(sepconv_pointwise(input, &pointwise, NULL, &plan)); break;
    case SEPARABLE: check(sepconv_separable(input, &separable, NULL, &plan)); break;
    case CONV: check(sepconv_conv(input, &conv, NULL, &plan)); break;
    default: check(sepconv_dense(input, &dense, NULL, &plan)); break;
    }
    return plan;
}

static size_t compare_all(void) {
    const size_t taps[KINDS] = {TAPS, 1, 1, TAPS, 1}, inputs[KINDS] = {1, IN, IN, IN, IN};
    const size_t outputs[KINDS] = {IN, OUT, OUT, OUT, OUT};
    size_t count = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        const size_t h = kind == DENSE ? 1 : H, w = kind == DENSE ? 1 : W;
        const size_t size[3] = {1, h, w}, input[4] = {1, h, w, IN};
        run_once(at_once(kind, input), SEPCONV_NHWC, from_hwio);
        for (sepconv_weight_layout layout = SEPCONV_HWIO; layout <= SEPCONV_OHWI; layout++) {
            reorder(layout, taps[kind], inputs[kind], outputs[kind]);
            for (sepconv_tensor_layout tensor = SEPCONV_NHWC; tensor <= SEPCONV_NCHW; tensor++) {
                /* Of one pixel both layouts are the same. */
                for (size_t p = 0; p < h * w; p++)
                    for (size_t c = 0; c < IN; c++)
                        nchw[c * h * w + p] = nhwc[p * IN + c];
                const sepconv_options options = {.input_layout = tensor};
                sepconv_packed *packed = pack(kind, layout, &options);
                memset(other, 0xff, sizeof other); /* the weights were copied */
                size_t shape[4] = {0};
                check(sepconv_packed_output_shape(packed, size, shape));
                sepconv_plan *plan;
                check(sepconv_packed_plan(packed, size, &plan));
                const bool weighs = sepconv_packed_weights_bytes(packed) >= taps[kind] * outputs[kind] * sizeof(float);
                sepconv_packed_destroy(packed); /* the plan outlives it */
                memset(from_other, 0, sizeof from_other);
                run_once(plan, tensor, from_other);
                const bool fits = shape[1] == h && shape[2] == w && shape[3] == outputs[kind];
                if (!weighs || !fits || memcmp(from_hwio, from_other, h * w * shape[3] * sizeof(float)) != 0) {
                    fprintf(stderr, "error: kind %d, weights %u, tensor %u\n", kind, layout, tensor);
                    abort();
                }
                reorder(layout, taps[kind], inputs[kind], outputs[kind]);
                count++;
            }
        }
    }
    return count;
}

static void refuse_all(void) {
    const size_t size[3] = {1, H, W}, zero[3] = {1, 0, W};
    sepconv_pointwise_params params = {.channels_out = OUT, .weights = {.data = hwio, .len = IN * OUT}};
    sepconv_options options = {.input_layout = SEPCONV_NCHW};
    sepconv_packed *packed = (sepconv_packed *)&params;
    refused(sepconv_pointwise_pack(IN, NULL, NULL, &packed), "params is null");
    if (packed != NULL)
        abort();
    refused(sepconv_pointwise_pack(IN, &params, NULL, NULL), "packed is null");
    refused(sepconv_pointwise_pack(IN + 1, &params, NULL, &packed), "expected 40 elements, got 32");
    params.weights.layout = 5;
    refused(sepconv_pointwise_pack(IN, &params, NULL, &packed), "unknown sepconv_weight_layout: 5");
    params.weights.layout = SEPCONV_HWIO;
    options.output_layout = 2;
    refused(sepconv_pointwise_pack(IN, &params, &options, &packed), "unknown sepconv_tensor_layout: 2");
    options.output_layout = SEPCONV_NHWC;
    options.arithmetic = 4;
    refused(sepconv_pointwise_pack(IN, &params, &options, &packed), "unknown sepconv_arithmetic: 4");
    options.arithmetic = SEPCONV_ARITHMETIC_BF16;
    options.amx = 2;
    refused(sepconv_pointwise_pack(IN, &params, &options, &packed), "unknown sepconv_options.amx: 2");
    for (options.amx = 0; options.amx < 2; ++options.amx) {
        check(sepconv_pointwise_pack(IN, &params, &options, &packed));
        sepconv_packed_destroy(packed);
    }
    options.amx = 0;
    options.arithmetic = SEPCONV_ARITHMETIC_EXACT;
    check(sepconv_pointwise_pack(IN, &params, &options, &packed));

    sepconv_plan *plan;
    size_t shape[4];
    refused(sepconv_packed_plan(NULL, size, &plan), "packed is null");
    refused(sepconv_packed_plan(packed, NULL, &plan), "size is null");
    refused(sepconv_packed_plan(packed, size, NULL), "plan is null");
    refused(sepconv_packed_plan(packed, zero, &plan), "is 0");
    refused(sepconv_packed_output_shape(packed, zero, shape), "is 0");
    refused(sepconv_packed_output_shape(packed, size, NULL), "shape is null");
    check(sepconv_packed_plan(packed, size, &plan));

    const size_t scratch_len = sepconv_plan_scratch_len(plan, 1);
    float *scratch = malloc((scratch_len + 1) * sizeof *scratch);
    sepconv_view from = {.data = nhwc, .len = H * W * IN, .shape = {1, H, W, IN}};
    const sepconv_view_mut to = {.data = from_hwio, .len = H * W * OUT, .shape = {1, H, W, OUT}};
    refused(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1), "expected layout NCHW, got NHWC");
    from.layout = SEPCONV_NCHW;
    from.pixel_stride = IN;
    refused(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1), "x: pixel_stride is 4, expected 0");
    from.pixel_stride = 0;
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1));
    refused(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1025), "at most 1024 threads, got 1025");
    free(scratch);
    sepconv_plan_destroy(plan);
    sepconv_packed_destroy(packed);
    sepconv_packed_destroy(NULL);
    if (sepconv_packed_weights_bytes(NULL) != 0)
        abort();
}

int main(void) {
    for (size_t i = 0; i < TAPS * IN * OUT; i++)
        hwio[i] = (float)(i * 7 % 13) - 6;
    for (size_t i = 0; i < H * W * IN; i++)
        nhwc[i] = (float)(i * 5 % 11) - 5;
    const size_t count = compare_all();
    refuse_all();
    printf("%zu packed layers are right\n", count);
    return 0;
}
