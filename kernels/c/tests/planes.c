/* NCHW: layers read some channels of a wider tensor, and write some of another, in place; what is wrong is refused with
 * its numbers.
 */
#include "layer.h"

enum { N = 2, H = 9, W = 7, IN = 4, OUT = 8, WIDE_IN = 7, WIDE_OUT = 11, FIRST_IN = 2, FIRST_OUT = 3, PLANE = H * W };

static float matrix[IN * OUT], dense_in[N * IN * PLANE], wide_in[N * WIDE_IN * PLANE];
static float dense_out[N * OUT * PLANE], wide_out[N * WIDE_OUT * PLANE];

int main(void) {
    for (size_t i = 0; i < IN * OUT; i++)
        matrix[i] = (float)(i * 7 % 13) - 6;
    for (size_t i = 0; i < N * WIDE_IN * PLANE; i++)
        wide_in[i] = (float)(i * 5 % 11) - 5;
    for (size_t n = 0; n < N; n++)
        memcpy(dense_in + n * IN * PLANE, wide_in + (n * WIDE_IN + FIRST_IN) * PLANE, IN * PLANE * sizeof(float));
    for (size_t i = 0; i < N * WIDE_OUT * PLANE; i++)
        wide_out[i] = 100;

    const size_t input[4] = {N, H, W, IN};
    const sepconv_pointwise_params params = {.channels_out = OUT, .weights = {.data = matrix, .len = IN * OUT}};
    const sepconv_options options = {.input_layout = SEPCONV_NCHW, .output_layout = SEPCONV_NCHW};
    sepconv_plan *plan;
    check(sepconv_pointwise(input, &params, &options, &plan));
    const size_t scratch_len = sepconv_plan_scratch_len(plan, 2);
    float *scratch = malloc(scratch_len * sizeof *scratch);

    sepconv_view from = {.data = dense_in, .len = N * IN * PLANE, .shape = {N, H, W, IN}, .layout = SEPCONV_NCHW};
    sepconv_view_mut to = {.data = dense_out, .len = N * OUT * PLANE, .shape = {N, H, W, OUT}, .layout = SEPCONV_NCHW};
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1));

    from.data = wide_in + FIRST_IN * PLANE;
    from.len = (WIDE_IN + IN) * PLANE; /* up to the last plane that is read */
    from.picture_stride = WIDE_IN * PLANE;
    to.data = wide_out + FIRST_OUT * PLANE;
    to.len = (WIDE_OUT + OUT) * PLANE;
    to.picture_stride = WIDE_OUT * PLANE;
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 2));
    for (size_t i = 0; i < N * WIDE_OUT * PLANE; i++) {
        const size_t n = i / (WIDE_OUT * PLANE), c = i / PLANE % WIDE_OUT, p = i % PLANE;
        const int is_written = c >= FIRST_OUT && c < FIRST_OUT + OUT;
        const float want = is_written ? dense_out[(n * OUT + c - FIRST_OUT) * PLANE + p] : 100;
        if (wide_out[i] != want) {
            fprintf(stderr, "error: channel %zu of picture %zu has %g, not %g\n", c, n, wide_out[i], want);
            return 1;
        }
    }

    from.len -= 1;
    refused(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1), "expected 693 elements, got 692");
    from.len += 1;
    from.picture_stride = IN * PLANE - 1;
    refused(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1), "picture stride 251 is smaller than the 252");
    from.picture_stride = WIDE_IN * PLANE;
    from.layout = SEPCONV_NHWC;
    refused(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1), "x: picture_stride is 441, expected 0");
    printf("%d of %d channels are read and %d of %d written in place\n", IN, WIDE_IN, OUT, WIDE_OUT);
    free(scratch);
    sepconv_plan_destroy(plan);
    return 0;
}
