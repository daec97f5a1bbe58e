/* Plans a separable layer, runs it on one and on two threads and in two parts, and checks its numbers against plain
 * loops.
 *
 *     cc -o separable separable.c $(pkg-config --cflags --libs sepconv)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sepconv.h>

enum { H = 19, W = 17, C = 40, O = 24, K = 3 };

static float x[H * W * C], depthwise[K * K * C], pointwise[C * O], bias[O];
static float y[H * W * O], again[H * W * O];

static void check(sepconv_status status) {
    if (status != SEPCONV_OK) {
        fprintf(stderr, "error: %s\n", sepconv_error());
        exit(1);
    }
}

/* Numbers that f32 adds and multiplies exactly. */
static void fill(float *data, size_t len, unsigned seed) {
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)(int)(seed >> 29) - 3.0f;
    }
}

static float expected(int row, int column, int o) {
    double sum = bias[o];
    for (int c = 0; c < C; c++) {
        double middle = 0;
        for (int ky = 0; ky < K; ky++) {
            for (int kx = 0; kx < K; kx++) {
                int r = row + ky - K / 2, s = column + kx - K / 2;
                if (r >= 0 && r < H && s >= 0 && s < W)
                    middle += x[(r * W + s) * C + c] * depthwise[(ky * K + kx) * C + c];
            }
        }
        sum += middle * pointwise[c * O + o];
    }
    return sum < 0 ? 0 : (float)sum;
}

int main(void) {
    fill(x, H * W * C, 1);
    fill(depthwise, K * K * C, 2);
    fill(pointwise, C * O, 3);
    fill(bias, O, 4);

    const size_t input[4] = {1, H, W, C};
    sepconv_separable_params params = {
        .depthwise = {.window = {.kernel = {K, K}, .padding = SEPCONV_SAME},
                      .weights = {.data = depthwise, .len = K * K * C}},
        .channels_out = O,
        .weights = {.data = pointwise, .len = C * O},
        .bias = {.data = bias, .len = O},
    };
    sepconv_options options = {.activation = {.kind = SEPCONV_RELU}};
    sepconv_plan *plan;
    check(sepconv_separable(input, &params, &options, &plan));

    size_t shape[4];
    check(sepconv_plan_output_shape(plan, shape));
    const size_t threads = 2, scratch_len = sepconv_plan_scratch_len(plan, threads);
    float *scratch = malloc(scratch_len * sizeof *scratch);
    const sepconv_view from = {.data = x, .len = H * W * C, .shape = {1, H, W, C}};
    sepconv_view_mut to = {.data = y, .len = H * W * O, .shape = {1, H, W, O}};
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1));
    to.data = again;
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, threads));

    for (int row = 0; row < H; row++) {
        for (int column = 0; column < W; column++) {
            for (int o = 0; o < O; o++) {
                float got = y[(row * W + column) * O + o], want = expected(row, column, o);
                if (got != want) {
                    fprintf(stderr, "error: (%d, %d, %d) is %g, not %g\n", row, column, o, got, want);
                    return 1;
                }
            }
        }
    }
    if (memcmp(y, again, sizeof y) != 0) {
        fprintf(stderr, "error: two threads give other bits\n");
        return 1;
    }

    /* The upper rows, then the lower ones, each of the input rows that they take. */
    memset(again, 0, sizeof again);
    for (size_t part = 0; part < 2; part++) {
        const size_t start = part == 0 ? 0 : 8, end = part == 0 ? 8 : H;
        size_t rows[2];
        check(sepconv_plan_input_rows(plan, start, end, rows));
        const size_t from_rows = rows[1] - rows[0], to_rows = end - start;
        const sepconv_view some = {
            .data = x + rows[0] * W * C, .len = from_rows * W * C, .shape = {1, from_rows, W, C}};
        const sepconv_view_mut these = {
            .data = again + start * W * O, .len = to_rows * W * O, .shape = {1, to_rows, W, O}};
        check(sepconv_plan_run_rows(plan, start, end, &some, NULL, &these, scratch, scratch_len, threads));
    }
    if (memcmp(y, again, sizeof y) != 0) {
        fprintf(stderr, "error: two parts give other bits\n");
        return 1;
    }

    /* What is wrong is said, and nothing happens. */
    to.len -= 1;
    if (sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, 1) != SEPCONV_INVALID)
        return 1;
    printf("sepconv %s, %s: %zux%zux%zu are right\nrefused: %s\n", sepconv_version(),
           sepconv_plan_kernel_name(plan), shape[1], shape[2], shape[3], sepconv_error());
    sepconv_plan_destroy(plan);
    free(scratch);
    return 0;
}
