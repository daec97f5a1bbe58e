/* Layers of 8-bit integers give the numbers of plain loops; quantizations of all zeros are the defaults; what is wrong
 * is refused with its numbers. All scales are powers of two, so that nothing is rounded but outputs.
 */
#include "layer.h"

enum { H = 5, W = 6, IN = 3, OUT = 4, K = 3, TAPS = K * K };

static uint8_t from[H * W * IN], residual[H * W * OUT], to[H * W * OUT];
static int8_t spatial[TAPS * IN], matrix[IN * OUT];
static float spatial_scales[IN], scales[OUT];
static int32_t spatial_bias[IN], bias[OUT];

static const sepconv_quantization INPUT = {0.5f, 120}, MID = {2, 128}, OUTPUT = {16, 100}, RESIDUAL = {4, 90};

/* The integer nearest to x / scale, of two the even one, from the zero point on. */
static uint8_t quantize(double x, sepconv_quantization to_quantization) {
    const double steps = x / to_quantization.scale;
    long nearest = (long)steps;
    while (nearest > steps)
        nearest--;
    const double above = steps - nearest;
    if (above > 0.5 || (above == 0.5 && nearest % 2 != 0))
        nearest++;
    nearest += to_quantization.zero_point;
    return (uint8_t)(nearest < 0 ? 0 : nearest > 255 ? 255 : nearest);
}

static double number(uint8_t q, sepconv_quantization quantization) {
    return quantization.scale * (q - quantization.zero_point);
}

/* Output o of the pixel at (row, column): SAME 3×3, then all channels, then the residual, then ReLU. */
static uint8_t expected(int row, int column, int o) {
    double sum = bias[o] * (double)MID.scale * scales[o];
    for (int c = 0; c < IN; c++) {
        double mid = spatial_bias[c] * (double)INPUT.scale * spatial_scales[c];
        for (int ky = 0; ky < K; ky++) {
            for (int kx = 0; kx < K; kx++) {
                const int iy = row + ky - 1, ix = column + kx - 1;
                if (iy >= 0 && iy < H && ix >= 0 && ix < W)
                    mid += number(from[(iy * W + ix) * IN + c], INPUT) *
                           (spatial_scales[c] * spatial[(ky * K + kx) * IN + c]);
            }
        }
        sum += number(quantize(mid, MID), MID) * (scales[o] * matrix[c * OUT + o]);
    }
    sum += number(residual[(row * W + column) * OUT + o], RESIDUAL);
    return quantize(sum < 0 ? 0 : sum, OUTPUT);
}

static void fill(void) {
    for (int i = 0; i < H * W * IN; i++)
        from[i] = (uint8_t)(i * 37 % 256);
    for (int i = 0; i < H * W * OUT; i++)
        residual[i] = (uint8_t)(i * 53 % 256);
    for (int i = 0; i < TAPS * IN; i++)
        spatial[i] = (int8_t)(i * 11 % 255 - 127);
    for (int i = 0; i < IN * OUT; i++)
        matrix[i] = (int8_t)(i * 29 % 255 - 127);
    for (int c = 0; c < IN; c++) {
        spatial_scales[c] = c == 1 ? 1.0f / 64 : 1.0f / 128;
        spatial_bias[c] = 1000 * c - 700;
    }
    for (int o = 0; o < OUT; o++) {
        scales[o] = o == 2 ? 1.0f / 32 : 1.0f / 16;
        bias[o] = 300 - 200 * o;
    }
}

static sepconv_separable_params params(void) {
    const sepconv_separable_params params = {
        .depthwise = {.window = {.kernel = {K, K}, .padding = SEPCONV_SAME},
                      .weights = {.data = spatial, .len = TAPS * IN, .element = SEPCONV_I8},
                      .quantized = {.scales = spatial_scales, .bias = spatial_bias, .len = IN}},
        .channels_out = OUT,
        .weights = {.data = matrix, .len = IN * OUT, .element = SEPCONV_I8},
        .mid_quantization = MID,
        .quantized = {.scales = scales, .bias = bias, .len = OUT}};
    return params;
}

static sepconv_options options(void) {
    const sepconv_options options = {.activation = {.kind = SEPCONV_RELU},
                                     .input_type = SEPCONV_U8,
                                     .output_type = SEPCONV_U8,
                                     .input_quantization = INPUT,
                                     .output_quantization = OUTPUT,
                                     .residual_quantization = RESIDUAL};
    return options;
}

static size_t compare(size_t threads) {
    const size_t input[4] = {1, H, W, IN};
    const sepconv_separable_params layer = params();
    const sepconv_options how = options();
    sepconv_plan *plan;
    check(sepconv_separable(input, &layer, &how, &plan));
    const size_t scratch_len = sepconv_plan_scratch_len(plan, threads);
    float *scratch = malloc((scratch_len + 1) * sizeof *scratch);
    const sepconv_view x_view = {.data = from, .len = H * W * IN, .element = SEPCONV_U8, .shape = {1, H, W, IN}};
    const sepconv_view added = {.data = residual, .len = H * W * OUT, .element = SEPCONV_U8, .shape = {1, H, W, OUT}};
    const sepconv_view_mut y_view = {.data = to, .len = H * W * OUT, .element = SEPCONV_U8, .shape = {1, H, W, OUT}};
    memset(to, 0, sizeof to);
    check(sepconv_plan_run(plan, &x_view, &added, &y_view, scratch, scratch_len, threads));
    size_t clamped = 0;
    for (int row = 0; row < H; row++) {
        for (int column = 0; column < W; column++) {
            for (int o = 0; o < OUT; o++) {
                const uint8_t got = to[(row * W + column) * OUT + o], wanted = expected(row, column, o);
                clamped += wanted == OUTPUT.zero_point || wanted == 255;
                if (got != wanted) {
                    fprintf(stderr, "error: pixel (%d, %d), channel %d: expected %d, got %d\n", row, column, o, wanted,
                            got);
                    abort();
                }
            }
        }
    }
    if (clamped > H * W * OUT * 3 / 4)
        abort(); /* most outputs would be right whatever the sums are */
    free(scratch);
    sepconv_plan_destroy(plan);
    return H * W * OUT;
}

/* Weights of i8 to floats, and integers that stand for themselves. */
static void defaults(void) {
    const size_t input[4] = {1, 1, 1, 2};
    const uint8_t two[2] = {4, 1};
    const int8_t row[2] = {1, -3};
    const float quarter = 0.25f;
    const sepconv_dense_params dense = {.channels_out = 1,
                                        .weights = {.data = row, .len = 2, .element = SEPCONV_I8},
                                        .quantized = {.scales = &quarter, .len = 1}};
    const sepconv_options how = {.input_type = SEPCONV_U8};
    sepconv_plan *plan;
    check(sepconv_dense(input, &dense, &how, &plan));
    const size_t scratch_len = sepconv_plan_scratch_len(plan, 1);
    float out = 0, *scratch = malloc((scratch_len + 1) * sizeof *scratch);
    const sepconv_view x_view = {.data = two, .len = 2, .element = SEPCONV_U8, .shape = {1, 1, 1, 2}};
    const sepconv_view_mut y_view = {.data = &out, .len = 1, .shape = {1, 1, 1, 1}};
    check(sepconv_plan_run(plan, &x_view, NULL, &y_view, scratch, scratch_len, 1));
    free(scratch);
    sepconv_plan_destroy(plan);
    if (out != 0.25f) {
        fprintf(stderr, "error: expected 0.25 · (4·1 − 1·3) = 0.25, got %g\n", out);
        abort();
    }
}

static void refuse_all(void) {
    const size_t input[4] = {1, H, W, IN};
    sepconv_separable_params layer = params();
    sepconv_options how = options();
    sepconv_plan *plan;
    how.input_quantization.scale = -1;
    refused(sepconv_separable(input, &layer, &how, &plan), "-1");
    how = options();
    how.output_quantization.zero_point = 256;
    refused(sepconv_separable(input, &layer, &how, &plan), "256");
    how = options();
    layer.quantized.scales = NULL;
    refused(sepconv_separable(input, &layer, &how, &plan), "quantized.scales is null, expected 4 elements");
    layer.quantized.scales = scales;
    layer.quantized.len = 3;
    refused(sepconv_separable(input, &layer, &how, &plan), "expected 4 elements, got 3");
    layer = params();
    memset(&layer.quantized, 0, sizeof layer.quantized);
    refused(sepconv_separable(input, &layer, &how, &plan), "weights of i8 with scales");
    layer = params();
    how.input_type = 5;
    refused(sepconv_separable(input, &layer, &how, &plan), "unknown sepconv_type: 5");
}

int main(void) {
    fill();
    const size_t count = compare(1) + compare(2);
    defaults();
    refuse_all();
    printf("%zu outputs of 8-bit integers are right\n", count);
    return 0;
}
