/* A separable layer with the weights and tensors of PyTorch or ONNX (OIHW, NCHW), whose input has another size at every
 * call: packs the weights once, makes a plan for each size, and checks the numbers against plain loops.
 *
 *     cc -o any_size any_size.c $(pkg-config --cflags --libs sepconv)
 */
#include <stdio.h>
#include <stdlib.h>

#include <sepconv.h>

enum { C = 40, O = 24, K = 3 };

static float depthwise[C * K * K]; /* [C, 1, K, K] */
static float pointwise[O * C];     /* [O, C, 1, 1] */
static float bias[O];

static void check(sepconv_status status) {
    if (status != SEPCONV_OK) {
        fprintf(stderr, "error: %s\n", sepconv_error());
        exit(1);
    }
}

static float *floats(size_t len) {
    float *data = calloc(len > 0 ? len : 1, sizeof *data);
    if (data == NULL)
        exit(1);
    return data;
}

/* Numbers that f32 adds and multiplies exactly. */
static void fill(float *data, size_t len, unsigned seed) {
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)(int)(seed >> 29) - 3.0f;
    }
}

static sepconv_packed *pack(void) {
    const sepconv_separable_params params = {
        .depthwise = {.window = {.kernel = {K, K}, .padding = SEPCONV_EXPLICIT, .pads = {1, 1, 1, 1}},
                      .weights = {.data = depthwise, .len = C * K * K, .layout = SEPCONV_OIHW}},
        .channels_out = O,
        .weights = {.data = pointwise, .len = O * C, .layout = SEPCONV_OIHW},
        .bias = {.data = bias, .len = O},
    };
    const sepconv_options options = {
        .activation = {.kind = SEPCONV_RELU}, .input_layout = SEPCONV_NCHW, .output_layout = SEPCONV_NCHW};
    sepconv_packed *packed;
    check(sepconv_separable_pack(C, &params, &options, &packed));
    return packed;
}

/* Computes y [n, O, h, w] of x [n, C, h, w]. */
static void forward(const sepconv_packed *packed, size_t n, size_t h, size_t w, const float *x, float *y) {
    const size_t size[3] = {n, h, w}, threads = 2;
    sepconv_plan *plan;
    check(sepconv_packed_plan(packed, size, &plan));
    const size_t scratch_len = sepconv_plan_scratch_len(plan, threads);
    float *scratch = floats(scratch_len);
    /* Shapes are N, H, W, C in either layout. */
    const sepconv_view from = {.data = x, .len = n * C * h * w, .shape = {n, h, w, C}, .layout = SEPCONV_NCHW};
    const sepconv_view_mut to = {.data = y, .len = n * O * h * w, .shape = {n, h, w, O}, .layout = SEPCONV_NCHW};
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, threads));
    free(scratch);
    sepconv_plan_destroy(plan);
}

static float expected(const float *x, size_t h, size_t w, size_t row, size_t column, size_t o) {
    double sum = bias[o];
    for (size_t c = 0; c < C; c++) {
        double middle = 0;
        for (size_t ky = 0; ky < K; ky++) {
            for (size_t kx = 0; kx < K; kx++) {
                const size_t r = row + ky, s = column + kx; /* with the padding */
                if (r >= 1 && r <= h && s >= 1 && s <= w)
                    middle += x[(c * h + r - 1) * w + s - 1] * depthwise[(c * K + ky) * K + kx];
            }
        }
        sum += middle * pointwise[o * C + c];
    }
    return sum < 0 ? 0 : (float)sum;
}

int main(void) {
    fill(depthwise, C * K * K, 1);
    fill(pointwise, O * C, 2);
    fill(bias, O, 3);
    sepconv_packed *packed = pack();

    const size_t sizes[][3] = {{1, 19, 17}, {1, 7, 33}, {3, 4, 5}, {1, 1, 1}, {2, 64, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = sizes[i][0], h = sizes[i][1], w = sizes[i][2];
        float *x = floats(n * C * h * w), *y = floats(n * O * h * w);
        fill(x, n * C * h * w, (unsigned)i + 4);
        forward(packed, n, h, w, x, y);
        for (size_t at = 0; at < n * O * h * w; at++) {
            const size_t column = at % w, row = at / w % h, o = at / w / h % O, picture = at / w / h / O;
            const float want = expected(x + picture * C * h * w, h, w, row, column, o);
            if (y[at] != want) {
                fprintf(stderr, "error: %zux%zux%zu at %zu is %g, not %g\n", n, h, w, at, y[at], want);
                return 1;
            }
        }
        free(x);
        free(y);
    }
    printf("inputs of %zu sizes are right, with %zu bytes of packed weights\n", sizeof sizes / sizeof *sizes,
           sepconv_packed_weights_bytes(packed));
    sepconv_packed_destroy(packed);
    return 0;
}
