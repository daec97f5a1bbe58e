/* How many threads the library keeps, and that it ends them on request. Linux. */
#define _GNU_SOURCE
#include <dirent.h>
#include <unistd.h>

#include "layer.h"

/* Threads of this process. */
static size_t threads(void) {
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;)
        count += task->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* A thread that was joined is listed until the kernel has taken it down. */
static size_t threads_after_a_while(size_t most) {
    for (int i = 0; i < 1000 && threads() > most; i++)
        usleep(10000);
    return threads();
}

static void expect(const char *when, size_t most) {
    const size_t count = threads_after_a_while(most);
    printf("%s: %zu threads\n", when, count);
    fflush(stdout);
    if (count > most) {
        fprintf(stderr, "error: expected at most %zu threads\n", most);
        abort();
    }
}

int main(void) {
    sepconv_plan *plan = make_plan();
    const size_t before = threads();
    sepconv_release_threads(); /* of which there are none */
    for (size_t i = 1; i <= 64; i++)
        run(plan, i);
    expect("after runs on 1 to 64 threads", before + 64 + 63 + 62 + 61);
    for (int i = 0; i < 4; i++)
        run(plan, 2 + i % 2);
    expect("after runs on 2 and 3", before + 64 + 63 + 2 + 3);
    sepconv_release_threads();
    expect("after their release", before);
    run(plan, 2);
    expect("after a run on 2", before + 2);
    sepconv_plan_destroy(plan);
    sepconv_release_threads();
    return 0;
}
