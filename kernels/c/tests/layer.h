/* A pointwise layer, each of whose outputs is 32, for the programs here. */
#ifndef LAYER_H
#define LAYER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sepconv.h>

enum { PIXELS = 56 * 56, C = 64, O = 128 };

static float weights[C * O], x[PIXELS * C], y[PIXELS * O];

static inline void check(sepconv_status status) {
    if (status != SEPCONV_OK) {
        fprintf(stderr, "error: %s\n", sepconv_error());
        abort();
    }
}

static inline sepconv_plan *make_plan(void) {
    for (size_t i = 0; i < C * O; i++)
        weights[i] = 0.5f;
    for (size_t i = 0; i < PIXELS * C; i++)
        x[i] = 1;
    sepconv_pointwise_params params;
    memset(&params, 0, sizeof params);
    params.channels_out = O;
    params.weights.data = weights;
    params.weights.len = C * O;
    const size_t input[4] = {1, 56, 56, C};
    sepconv_plan *plan = NULL;
    check(sepconv_pointwise(input, &params, NULL, &plan));
    return plan;
}

/* Runs the plan on so many threads and aborts if an output is wrong. */
static inline void run(const sepconv_plan *plan, size_t threads) {
    const size_t scratch_len = sepconv_plan_scratch_len(plan, threads);
    float *scratch = (float *)malloc(scratch_len * sizeof *scratch);
    sepconv_view from;
    memset(&from, 0, sizeof from);
    from.data = x;
    from.len = PIXELS * C;
    sepconv_view_mut to;
    memset(&to, 0, sizeof to);
    to.data = y;
    to.len = PIXELS * O;
    check(sepconv_plan_input_shape(plan, from.shape));
    check(sepconv_plan_output_shape(plan, to.shape));
    memset(y, 0, sizeof y);
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, scratch_len, threads));
    free(scratch);
    for (size_t i = 0; i < PIXELS * O; i++) {
        if (y[i] != 32) {
            fprintf(stderr, "error: output %zu is %g on %zu threads, not 32\n", i, y[i], threads);
            abort();
        }
    }
}

/* The call was refused, for the reason that the text names. */
static inline void refused(sepconv_status status, const char *text) {
    if (status != SEPCONV_INVALID || strstr(sepconv_error(), text) == NULL) {
        fprintf(stderr, "error: status %u, \"%s\", expected \"%s\"\n", status, sepconv_error(), text);
        abort();
    }
}

/* The call is refused, with a text. */
static inline void refuse(void) {
    const size_t input[4] = {1, 0, 0, 0};
    sepconv_pointwise_params params;
    memset(&params, 0, sizeof params);
    sepconv_plan *none = NULL;
    if (sepconv_pointwise(input, &params, NULL, &none) != SEPCONV_INVALID || none != NULL) {
        fprintf(stderr, "error: a layer without channels isn't refused\n");
        abort();
    }
    if (strlen(sepconv_error()) == 0) {
        fprintf(stderr, "error: a refused call has no text\n");
        abort();
    }
}

#endif
