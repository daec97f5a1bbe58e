/* Children of a process that has run a plan in parallel, as multiprocessing and preforking servers have them, run it in
 * parallel, too; so do theirs; also when the parent has a second thread that runs plans while it forks. Linux.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layer.h"

static atomic_int over;

/* A child that hangs is ended by its alarm clock. */
static void in_a_child(const sepconv_plan *plan, int generations) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        run(plan, 1);
        run(plan, 2);
        run(plan, 3);
        if (generations > 1)
            in_a_child(plan, generations - 1);
        sepconv_release_threads();
        run(plan, 2);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "error: a child ended with status %#x\n", (unsigned)status);
        abort();
    }
}

/* Makes and ends pools, so that forks find their lock taken now and then. */
static void *others(void *plan) {
    const size_t len = sepconv_plan_scratch_len(plan, 3);
    float *scratch = malloc(len * sizeof *scratch), *out = malloc(sizeof y);
    const sepconv_view from = {.data = x, .len = PIXELS * C, .shape = {1, 56, 56, C}};
    const sepconv_view_mut to = {.data = out, .len = PIXELS * O, .shape = {1, 56, 56, O}};
    while (!over) {
        check(sepconv_plan_run(plan, &from, NULL, &to, scratch, len, 3));
        sepconv_release_threads();
    }
    free(scratch);
    free(out);
    return NULL;
}

int main(void) {
    sepconv_plan *plan = make_plan();
    in_a_child(plan, 1);
    run(plan, 2);
    in_a_child(plan, 3);
    pthread_t other;
    if (pthread_create(&other, NULL, others, plan) != 0)
        return 1;
    for (int i = 0; i < 20; i++)
        in_a_child(plan, 1);
    over = 1;
    pthread_join(other, NULL);
    run(plan, 2);
    sepconv_plan_destroy(plan);
    sepconv_release_threads();
    puts("24 children have run on 1, 2 and 3 threads");
    return 0;
}
