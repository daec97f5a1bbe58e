/* Resizing, depth to space, softmax, averages that count padding, transposed convolutions: numbers
 * to check by hand, and what is refused.
 */
#include "layer.h"

/* Runs a plan, destroys it, and aborts if the outputs are others than expected. */
static void gives(sepconv_plan *plan, const float *input, const float *expected, size_t count) {
    float output[16], scratch[4096];
    sepconv_view from;
    memset(&from, 0, sizeof from);
    from.data = input;
    sepconv_view_mut to;
    memset(&to, 0, sizeof to);
    to.data = output;
    check(sepconv_plan_input_shape(plan, from.shape));
    check(sepconv_plan_output_shape(plan, to.shape));
    from.len = from.shape[0] * from.shape[1] * from.shape[2] * from.shape[3];
    to.len = to.shape[0] * to.shape[1] * to.shape[2] * to.shape[3];
    if (to.len != count || count > 16) {
        fprintf(stderr, "error: %zu outputs, not %zu\n", to.len, count);
        abort();
    }
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, 4096, 1));
    sepconv_plan_destroy(plan);
    for (size_t i = 0; i < count; i++) {
        if (output[i] != expected[i]) {
            fprintf(stderr, "error: output %zu is %g, not %g\n", i, output[i], expected[i]);
            abort();
        }
    }
}

int main(void) {
    sepconv_plan *plan = NULL;
    const size_t row[4] = {1, 1, 2, 1}, pixel[4] = {1, 1, 1, 8};
    const float x[2] = {1, 5};
    check(sepconv_resize(row, 1, 4, SEPCONV_NEAREST, SEPCONV_HALF_PIXEL, NULL, &plan));
    gives(plan, x, (const float[]){1, 1, 5, 5}, 4);
    check(sepconv_resize(row, 1, 4, SEPCONV_BILINEAR, SEPCONV_HALF_PIXEL, NULL, &plan));
    gives(plan, x, (const float[]){1, 2, 4, 5}, 4);
    check(sepconv_resize(row, 1, 3, SEPCONV_BILINEAR, SEPCONV_ALIGN_CORNERS, NULL, &plan));
    gives(plan, x, (const float[]){1, 3, 5}, 3);
    check(sepconv_resize(row, 1, 4, SEPCONV_BILINEAR, SEPCONV_ASYMMETRIC, NULL, &plan));
    gives(plan, x, (const float[]){1, 3, 5, 5}, 4);
    refused(sepconv_resize(row, 1, 4, 7, SEPCONV_ASYMMETRIC, NULL, &plan), "7");
    refused(sepconv_resize(row, 0, 4, SEPCONV_NEAREST, SEPCONV_ASYMMETRIC, NULL, &plan), "height is 0");

    const float channels[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    check(sepconv_depth_to_space(pixel, 2, SEPCONV_BLOCK_FIRST, NULL, &plan));
    gives(plan, channels, channels, 8);
    check(sepconv_depth_to_space(pixel, 2, SEPCONV_CHANNEL_FIRST, NULL, &plan));
    gives(plan, channels, (const float[]){0, 4, 1, 5, 2, 6, 3, 7}, 8);
    refused(sepconv_depth_to_space(pixel, 3, SEPCONV_BLOCK_FIRST, NULL, &plan), "3 x 3, got 8");

    check(sepconv_softmax(pixel, NULL, &plan));
    gives(plan, (const float[]){3, 3, 3, 3, 3, 3, 3, 3},
          (const float[]){0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125}, 8);

    sepconv_window window;
    memset(&window, 0, sizeof window);
    window.kernel[0] = 1;
    window.kernel[1] = 2;
    window.padding = SEPCONV_EXPLICIT;
    window.pads[2] = 1;
    check(sepconv_pool(row, SEPCONV_AVERAGE_OF_PADDED, &window, NULL, &plan));
    gives(plan, x, (const float[]){0.5, 3}, 2);

    const float kernel[3] = {1, 10, 100}, bias[1] = {0.5};
    sepconv_transposed_params params;
    memset(&params, 0, sizeof params);
    params.kernel[0] = 1;
    params.kernel[1] = 3;
    params.stride[1] = 2;
    params.channels_out = 1;
    params.weights.data = kernel;
    params.weights.len = 3;
    params.weights.layout = SEPCONV_HWOI;
    params.bias.data = bias;
    params.bias.len = 1;
    check(sepconv_transposed_conv(row, &params, NULL, &plan));
    gives(plan, x, (const float[]){1.5, 10.5, 105.5, 50.5, 500.5}, 5);
    params.padding = SEPCONV_EXPLICIT;
    params.pads[1] = 1;
    params.output_pads[1] = 1;
    check(sepconv_transposed_conv(row, &params, NULL, &plan));
    gives(plan, x, (const float[]){10.5, 105.5, 50.5, 500.5}, 4);
    params.padding = SEPCONV_VALID;
    params.stride[1] = 0;
    params.dilation[1] = 2;
    check(sepconv_transposed_conv(row, &params, NULL, &plan));
    gives(plan, x, (const float[]){1.5, 5.5, 10.5, 50.5, 100.5, 500.5}, 6);
    params.dilation[1] = 1;
    params.stride[1] = 65;
    refused(sepconv_transposed_conv(row, &params, NULL, &plan), "at most 64, got 65");
    puts("pixels: right");
    return 0;
}
