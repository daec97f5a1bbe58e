/* Threads of the caller's, whatever they do of what they may do: all give the bits of one thread, for each kind of
 * layer, whole and by rows. What is wrong is refused before they are asked.
 */
#include <pthread.h>

#include "layer.h"

enum { SIDE = 40, WIDTH = 24, MOST = 5 };

static float image[2 * SIDE * SIDE * WIDTH], taps[9 * WIDTH], matrix[WIDTH * WIDTH];
static float got[sizeof image / sizeof *image], expected[sizeof image / sizeof *image];

/* What a pool was asked for. */
typedef struct {
    pthread_t caller;
    size_t count, runs, calls;
} asked;

static void note(asked *asked, size_t count, size_t calls) {
    if (!pthread_equal(pthread_self(), asked->caller) || count < 2 || count > asked->count) {
        fprintf(stderr, "error: %zu calls of %zu are asked for\n", count, asked->count);
        abort();
    }
    asked->runs++;
    asked->calls += calls;
}

static void never(void *context, size_t count, sepconv_work work, void *argument) {
    (void)work, (void)argument;
    note(context, count, 0);
}

static void once(void *context, size_t count, sepconv_work work, void *argument) {
    note(context, count, 1);
    work(argument);
}

static void one_after_the_other(void *context, size_t count, sepconv_work work, void *argument) {
    note(context, count, count);
    for (size_t i = 0; i < count; i++)
        work(argument);
}

typedef struct {
    sepconv_work work;
    void *argument;
} call;

static void *make(void *argument) {
    const call *call = argument;
    call->work(call->argument);
    return NULL;
}

/* So many calls on new threads, of a small stack. */
static void on_threads(size_t calls, sepconv_work work, void *argument) {
    pthread_t threads[2 * MOST];
    call call = {work, argument};
    pthread_attr_t small;
    pthread_attr_init(&small);
    /* What the header says that the work takes, and what the C library wants for itself. */
    if (pthread_attr_setstacksize(&small, (64 + 32) << 10) != 0)
        abort();
    for (size_t i = 0; i < calls; i++) {
        if (pthread_create(&threads[i], &small, make, &call) != 0)
            abort();
    }
    for (size_t i = 0; i < calls; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&small);
}

static void at_the_same_time(void *context, size_t count, sepconv_work work, void *argument) {
    note(context, count, count);
    on_threads(count, work, argument);
}

static void fewer(void *context, size_t count, sepconv_work work, void *argument) {
    note(context, count, count / 2);
    on_threads(count / 2, work, argument);
}

static void more(void *context, size_t count, sepconv_work work, void *argument) {
    note(context, count, 2 * count);
    on_threads(2 * count, work, argument);
}

static void (*const POOLS[])(void *, size_t, sepconv_work, void *) = {
    never, once, one_after_the_other, at_the_same_time, fewer, more};

/* A layer of each machine of the kernels, in each layout. */
static sepconv_plan *make_layer(int kind, sepconv_tensor_layout layout) {
    const size_t input[4] = {2, SIDE, SIDE, WIDTH};
    const sepconv_window window = {.kernel = {3, 3}, .padding = SEPCONV_SAME};
    const sepconv_depthwise_params depthwise = {.window = window, .weights = {.data = taps, .len = 9 * WIDTH}};
    const sepconv_separable_params separable = {
        .depthwise = depthwise, .channels_out = WIDTH, .weights = {.data = matrix, .len = WIDTH * WIDTH}};
    const sepconv_options options = {.input_layout = layout, .output_layout = layout};
    sepconv_plan *plan = NULL;
    switch (kind) {
    case 0: check(sepconv_depthwise(input, &depthwise, &options, &plan)); break;
    case 1: check(sepconv_separable(input, &separable, &options, &plan)); break;
    default: check(sepconv_pool(input, SEPCONV_MAX, &window, &options, &plan)); break;
    }
    return plan;
}

static size_t compare(const sepconv_plan *plan, sepconv_tensor_layout layout) {
    const size_t len = sizeof image / sizeof *image;
    const sepconv_view from = {.data = image, .len = len, .shape = {2, SIDE, SIDE, WIDTH}, .layout = layout};
    sepconv_view_mut to = {.data = expected, .len = len, .shape = {2, SIDE, SIDE, WIDTH}, .layout = layout};
    const size_t most = sepconv_plan_scratch_len(plan, MOST);
    float *scratch = malloc((most + 1) * sizeof *scratch);
    check(sepconv_plan_run(plan, &from, NULL, &to, scratch, most, 1));
    to.data = got;
    size_t runs = 0;
    const size_t counts[] = {0, 1, 2, MOST};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (size_t p = 0; p < sizeof POOLS / sizeof *POOLS; p++) {
            asked asked = {.caller = pthread_self(), .count = counts[i]};
            const sepconv_threads threads = {.count = counts[i], .run = POOLS[p], .context = &asked};
            memset(got, 0xff, sizeof got);
            check(sepconv_plan_run_on(plan, &threads, 0, SIDE, &from, NULL, &to, scratch, most));
            if (memcmp(got, expected, sizeof got) != 0 || (asked.runs > 0) != (counts[i] > 1)) {
                fprintf(stderr, "error: pool %zu of %zu threads, layout %u, %zu runs\n", p, counts[i], layout,
                        asked.runs);
                abort();
            }
            runs++;
        }
    }
    /* Scratch for one thread: no other is asked. */
    asked asked = {.count = 0};
    const sepconv_threads threads = {.count = MOST, .run = never, .context = &asked};
    const size_t least = sepconv_plan_scratch_len(plan, 1);
    if (least > 0) {
        memset(got, 0xff, sizeof got);
        check(sepconv_plan_run_on(plan, &threads, 0, SIDE, &from, NULL, &to, scratch, least));
        if (memcmp(got, expected, sizeof got) != 0)
            abort();
        runs++;
    }
    free(scratch);
    return runs;
}

/* Rows 3 to 7 of the first picture's planes or rows. */
static void compare_rows(void) {
    const size_t input[4] = {1, SIDE, SIDE, WIDTH}, row = SIDE * WIDTH;
    const sepconv_depthwise_params params = {
        .window = {.kernel = {3, 3}, .padding = SEPCONV_SAME}, .weights = {.data = taps, .len = 9 * WIDTH}};
    sepconv_plan *plan;
    check(sepconv_depthwise(input, &params, NULL, &plan));
    const sepconv_view all = {.data = image, .len = SIDE * row, .shape = {1, SIDE, SIDE, WIDTH}};
    const sepconv_view_mut to = {.data = expected, .len = SIDE * row, .shape = {1, SIDE, SIDE, WIDTH}};
    check(sepconv_plan_run(plan, &all, NULL, &to, NULL, 0, 1));
    size_t rows[2];
    check(sepconv_plan_input_rows(plan, 3, 8, rows));
    const size_t count = rows[1] - rows[0];
    const sepconv_view some = {.data = image + rows[0] * row, .len = count * row, .shape = {1, count, SIDE, WIDTH}};
    const sepconv_view_mut five = {.data = got, .len = 5 * row, .shape = {1, 5, SIDE, WIDTH}};
    asked asked = {.caller = pthread_self(), .count = 2};
    const sepconv_threads threads = {.count = 2, .run = at_the_same_time, .context = &asked};
    check(sepconv_plan_run_on(plan, &threads, 3, 8, &some, NULL, &five, NULL, 0));
    if (memcmp(got, expected + 3 * row, 5 * row * sizeof *got) != 0 || asked.runs == 0)
        abort();
    sepconv_plan_destroy(plan);
}

static void refuse_all(void) {
    sepconv_plan *plan = make_layer(1, SEPCONV_NHWC);
    const size_t len = sizeof image / sizeof *image, scratch_len = sepconv_plan_scratch_len(plan, 2);
    float *scratch = malloc(scratch_len * sizeof *scratch);
    const sepconv_view from = {.data = image, .len = len, .shape = {2, SIDE, SIDE, WIDTH}};
    sepconv_view_mut to = {.data = got, .len = len, .shape = {2, SIDE, SIDE, WIDTH}};
    asked asked = {.count = 0}; /* any call of `never` would abort */
    sepconv_threads threads = {.count = 2, .context = &asked};
    refused(sepconv_plan_run_on(plan, NULL, 0, SIDE, &from, NULL, &to, scratch, scratch_len), "threads is null");
    refused(sepconv_plan_run_on(plan, &threads, 0, SIDE, &from, NULL, &to, scratch, scratch_len), "threads->run is null");
    threads.run = never;
    refused(sepconv_plan_run_on(NULL, &threads, 0, SIDE, &from, NULL, &to, scratch, scratch_len), "plan is null");
    refused(sepconv_plan_run_on(plan, &threads, 0, SIDE + 1, &from, NULL, &to, scratch, scratch_len), "41");
    refused(sepconv_plan_run_on(plan, &threads, 0, SIDE, &from, NULL, &to, scratch, 1), "got 1");
    to.len -= 1;
    refused(sepconv_plan_run_on(plan, &threads, 0, SIDE, &from, NULL, &to, scratch, scratch_len), "76799");
    free(scratch);
    sepconv_plan_destroy(plan);
}

int main(void) {
    for (size_t i = 0; i < sizeof image / sizeof *image; i++)
        image[i] = (float)(i * 7 % 31) * 0.37f - 5;
    for (size_t i = 0; i < sizeof taps / sizeof *taps; i++)
        taps[i] = (float)(i * 5 % 11) * 0.3f - 1.5f;
    for (size_t i = 0; i < sizeof matrix / sizeof *matrix; i++)
        matrix[i] = (float)(i * 3 % 17) * 0.1f - 0.8f;
    size_t runs = 0;
    for (int kind = 0; kind < 3; kind++) {
        for (sepconv_tensor_layout layout = SEPCONV_NHWC; layout <= SEPCONV_NCHW; layout++) {
            sepconv_plan *plan = make_layer(kind, layout);
            runs += compare(plan, layout);
            sepconv_plan_destroy(plan);
        }
    }
    compare_rows();
    refuse_all();
    printf("%zu runs on threads of the caller's give the same bits\n", runs);
    return 0;
}
