/* Runs a separable layer on a thread pool of the program's own, for engines that have one: with 1, 2 and 5 threads, and
 * compares the bits with those of the library's threads.
 *
 *     cc -pthread -o own_threads own_threads.c $(pkg-config --cflags --libs sepconv)
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sepconv.h>

enum { H = 30, W = 31, C = 64, O = 96, K = 3, MOST = 5 };

static float x[H * W * C], depthwise[K * K * C], pointwise[C * O];
static float y[H * W * O], expected[H * W * O];

static void check(sepconv_status status) {
    if (status != SEPCONV_OK) {
        fprintf(stderr, "error: %s\n", sepconv_error());
        exit(1);
    }
}

static void fill(float *data, size_t len, unsigned seed) {
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)seed / 4294967296.0f - 0.5f;
    }
}

/* Threads that wait for calls to make. */
typedef struct {
    pthread_t threads[MOST - 1];
    size_t count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sepconv_work work;
    void *argument;
    size_t to_begin, running;
    bool ends;
} pool;

static void *wait_for_calls(void *argument) {
    pool *self = argument;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        while (self->to_begin == 0 && !self->ends)
            pthread_cond_wait(&self->changed, &self->lock);
        if (self->to_begin == 0)
            break;
        self->to_begin--;
        self->running++;
        pthread_mutex_unlock(&self->lock);
        self->work(self->argument);
        pthread_mutex_lock(&self->lock);
        self->running--;
        pthread_cond_broadcast(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* What sepconv_threads asks for: `count` calls of the work, one of which is made here. */
static void run_on_pool(void *context, size_t count, sepconv_work work, void *argument) {
    pool *self = context;
    pthread_mutex_lock(&self->lock);
    self->work = work;
    self->argument = argument;
    self->to_begin = count - 1;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    work(argument);
    pthread_mutex_lock(&self->lock);
    /* When a call has returned, no task is left to begin: those that have not begun need not. */
    self->to_begin = 0;
    while (self->running > 0)
        pthread_cond_wait(&self->changed, &self->lock);
    pthread_mutex_unlock(&self->lock);
}

/* A pool of `count` threads, of which the calling one is the first. */
static void start(pool *self, size_t count) {
    memset(self, 0, sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    for (self->count = 1; self->count < count; self->count++) {
        if (pthread_create(&self->threads[self->count - 1], NULL, wait_for_calls, self) != 0) {
            fprintf(stderr, "error: thread %zu can't be started\n", self->count);
            exit(1);
        }
    }
}

static void end(pool *self) {
    pthread_mutex_lock(&self->lock);
    self->ends = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    for (size_t i = 0; i + 1 < self->count; i++)
        pthread_join(self->threads[i], NULL);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
}

int main(void) {
    fill(x, H * W * C, 1);
    fill(depthwise, K * K * C, 2);
    fill(pointwise, C * O, 3);
    const size_t input[4] = {1, H, W, C};
    const sepconv_separable_params params = {
        .depthwise = {.window = {.kernel = {K, K}, .padding = SEPCONV_SAME},
                      .weights = {.data = depthwise, .len = K * K * C}},
        .channels_out = O,
        .weights = {.data = pointwise, .len = C * O},
    };
    sepconv_plan *plan;
    check(sepconv_separable(input, &params, NULL, &plan));

    const size_t scratch_len = sepconv_plan_scratch_len(plan, MOST);
    float *scratch = malloc(scratch_len * sizeof *scratch);
    if (scratch == NULL)
        return 1;
    const sepconv_view from = {.data = x, .len = H * W * C, .shape = {1, H, W, C}};
    const sepconv_view_mut want = {.data = expected, .len = H * W * O, .shape = {1, H, W, O}};
    check(sepconv_plan_run(plan, &from, NULL, &want, scratch, scratch_len, 1));

    const size_t counts[] = {1, 2, MOST};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        pool pool;
        start(&pool, counts[i]);
        const sepconv_threads threads = {.count = counts[i], .run = run_on_pool, .context = &pool};
        for (int again = 0; again < 10; again++) {
            memset(y, 0, sizeof y);
            const sepconv_view_mut to = {.data = y, .len = H * W * O, .shape = {1, H, W, O}};
            check(sepconv_plan_run_on(plan, &threads, 0, H, &from, NULL, &to, scratch, scratch_len));
            if (memcmp(y, expected, sizeof y) != 0) {
                fprintf(stderr, "error: %zu threads give other bits\n", counts[i]);
                return 1;
            }
        }
        end(&pool);
    }
    printf("1, 2 and %d threads of a pool give the same bits\n", MOST);
    sepconv_plan_destroy(plan);
    free(scratch);
    return 0;
}
