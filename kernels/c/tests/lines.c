/* Operations of two tensors and normalizations: numbers to check by hand, and what is refused. */
#include "layer.h"

/* A dense tensor of this shape. */
static sepconv_view view(const float *data, const size_t shape[4]) {
    sepconv_view view;
    memset(&view, 0, sizeof view);
    view.data = data;
    memcpy(view.shape, shape, sizeof view.shape);
    view.len = shape[0] * shape[1] * shape[2] * shape[3];
    return view;
}

/* Runs a plan, destroys it, and aborts if the outputs are others than expected. */
static void gives(sepconv_plan *plan, const float *input, const sepconv_view *second, const float *expected,
                  size_t count) {
    float output[16];
    size_t shape[4];
    check(sepconv_plan_input_shape(plan, shape));
    const sepconv_view from = view(input, shape);
    sepconv_view_mut to;
    memset(&to, 0, sizeof to);
    to.data = output;
    check(sepconv_plan_output_shape(plan, to.shape));
    to.len = to.shape[0] * to.shape[1] * to.shape[2] * to.shape[3];
    if (to.len != count || count > 16) {
        fprintf(stderr, "error: %zu outputs, not %zu\n", to.len, count);
        abort();
    }
    check(sepconv_plan_run(plan, &from, second, &to, NULL, 0, 1));
    for (size_t i = 0; i < count; i++) {
        if (output[i] != expected[i]) {
            fprintf(stderr, "error: output %zu is %g, not %g\n", i, output[i], expected[i]);
            abort();
        }
    }
    sepconv_plan_destroy(plan);
}

static void two_tensors(void) {
    sepconv_plan *plan = NULL;
    const size_t pixels[4] = {1, 1, 2, 3}, line[4] = {1, 1, 1, 3}, column[4] = {1, 2, 1, 1}, odd[4] = {1, 1, 1, 2};
    const float a[6] = {1, -2, 3, -4, 5, -6}, b[3] = {1, 10, 100}, rows[2] = {1, 2};
    const sepconv_view second = view(b, line);
    check(sepconv_binary(SEPCONV_ADD, pixels, line, NULL, &plan));
    gives(plan, a, &second, (const float[]){2, 8, 103, -3, 15, 94}, 6);
    check(sepconv_binary(SEPCONV_SUBTRACT, pixels, line, NULL, &plan));
    gives(plan, a, &second, (const float[]){0, -12, -97, -5, -5, -106}, 6);
    check(sepconv_binary(SEPCONV_MULTIPLY, pixels, line, NULL, &plan));
    gives(plan, a, &second, (const float[]){1, -20, 300, -4, 50, -600}, 6);
    check(sepconv_binary(SEPCONV_MAXIMUM, pixels, line, NULL, &plan));
    gives(plan, a, &second, (const float[]){1, 10, 100, 1, 10, 100}, 6);
    check(sepconv_binary(SEPCONV_MINIMUM, pixels, line, NULL, &plan));
    gives(plan, a, &second, (const float[]){1, -2, 3, -4, 5, -6}, 6);
    check(sepconv_binary(SEPCONV_PRELU, pixels, line, NULL, &plan));
    gives(plan, a, &second, (const float[]){1, -20, 3, -4, 5, -600}, 6);

    /* One row of two columns and two rows of one column make two rows of two. */
    const size_t row[4] = {1, 1, 2, 1};
    const sepconv_view two_rows = view(rows, column);
    sepconv_options options;
    memset(&options, 0, sizeof options);
    options.activation.kind = SEPCONV_RELU;
    check(sepconv_binary(SEPCONV_ADD, row, column, &options, &plan));
    gives(plan, a, &two_rows, (const float[]){2, 0, 3, 0}, 4);

    refused(sepconv_binary(6, pixels, line, NULL, &plan), "unknown sepconv_binary_op: 6");
    refused(sepconv_binary(SEPCONV_ADD, pixels, odd, NULL, &plan), "[1, 1, 2, 3] and [1, 1, 1, 2]");
    refused(sepconv_binary(SEPCONV_ADD, pixels, NULL, NULL, &plan), "second is null");
    check(sepconv_binary(SEPCONV_ADD, line, line, NULL, &plan));
    float y3[3];
    sepconv_view_mut to;
    memset(&to, 0, sizeof to);
    to.data = y3;
    to.len = 3;
    memcpy(to.shape, line, sizeof to.shape);
    refused(sepconv_plan_run(plan, &second, NULL, &to, NULL, 0, 1), "second operand");
    sepconv_plan_destroy(plan);
}

static void normalizations(void) {
    sepconv_plan *plan = NULL;
    const size_t pixels[4] = {1, 1, 2, 2};
    const float values[4] = {1, 7, 5, 3}, scale[2] = {1, 10}, shift[2] = {0, 100};
    sepconv_normalization_params params;
    memset(&params, 0, sizeof params);
    check(sepconv_normalization(pixels, &params, NULL, &plan));
    gives(plan, values, NULL, (const float[]){-1, 1, 1, -1}, 4);
    params.shift = shift;
    params.len = 2;
    check(sepconv_normalization(pixels, &params, NULL, &plan));
    gives(plan, values, NULL, (const float[]){-1, 101, 1, 99}, 4);
    params.scale = scale;
    check(sepconv_normalization(pixels, &params, NULL, &plan));
    const sepconv_view residual = view((const float[]){1, 2, 3, 4}, pixels);
    gives(plan, values, &residual, (const float[]){0, 112, 4, 94}, 4);
    params.shift = NULL;
    params.kind = SEPCONV_RMS_NORMALIZATION;
    check(sepconv_normalization(pixels, &params, NULL, &plan));
    gives(plan, (const float[]){1, 7, 7, -1}, NULL, (const float[]){0.2f, 14, 1.4f, -2}, 4);
    params.kind = SEPCONV_UNIT_NORMALIZATION;
    check(sepconv_normalization(pixels, &params, NULL, &plan));
    gives(plan, (const float[]){3, 4, 0, 2}, NULL, (const float[]){3 * 0.2f, 40 * 0.2f, 0, 10}, 4);

    /* A group of one channel of a picture: 1 and 5 about 3, 7 and 3 about 5. Of any size. */
    params.kind = SEPCONV_GROUP_NORMALIZATION;
    params.groups = 2;
    sepconv_packed *packed = NULL;
    check(sepconv_normalization_pack(2, &params, NULL, &packed));
    const size_t size[3] = {1, 2, 1};
    check(sepconv_packed_plan(packed, size, &plan));
    sepconv_packed_destroy(packed);
    gives(plan, values, NULL, (const float[]){-1, 10, 1, -10}, 4);

    params.groups = 3;
    refused(sepconv_normalization(pixels, &params, NULL, &plan), "into 3 groups");
    params.kind = 4;
    refused(sepconv_normalization(pixels, &params, NULL, &plan), "unknown sepconv_normalization_kind: 4");
    params.kind = SEPCONV_LAYER_NORMALIZATION;
    params.len = 1;
    refused(sepconv_normalization(pixels, &params, NULL, &plan), "scale: expected 2 elements, got 1");
    params.scale = NULL;
    refused(sepconv_normalization(pixels, &params, NULL, &plan), "scale and shift are null, expected 1 elements");
    params.len = 0;
    params.epsilon = -1;
    refused(sepconv_normalization(pixels, &params, NULL, &plan), "epsilon");
}

/* Scales and shifts by channel, without a normalization. */
static void affine(void) {
    sepconv_plan *plan = NULL;
    const size_t pixels[4] = {1, 1, 2, 2};
    const float factors[2] = {2, -3}, shift[2] = {0.5f, 10};
    sepconv_depthwise_params params;
    memset(&params, 0, sizeof params);
    params.window.kernel[0] = params.window.kernel[1] = 1;
    params.weights.data = factors;
    params.weights.len = 2;
    params.bias.data = shift;
    params.bias.len = 2;
    check(sepconv_depthwise(pixels, &params, NULL, &plan));
    gives(plan, (const float[]){1, 2, 3, 4}, NULL, (const float[]){2.5f, 4, 6.5f, -2}, 4);
}

int main(void) {
    two_tensors();
    normalizations();
    affine();
    puts("lines: right");
    return 0;
}
