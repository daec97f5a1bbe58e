/* A plan runs on the calling thread where no thread may be started. Linux. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "layer.h"

/* The system refuses threads from now on, as with `ulimit -u` or in a sandbox. */
static void allow_no_threads(void) {
    struct sock_filter refuse_clone[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof refuse_clone / sizeof *refuse_clone, refuse_clone};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("error: seccomp");
        abort();
    }
}

static void *nothing(void *unused) {
    return unused;
}

int main(void) {
    sepconv_plan *plan = make_plan();
    run(plan, 2);
    allow_no_threads();
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) != EAGAIN) {
        fprintf(stderr, "error: threads can still be started\n");
        return 1;
    }
    run(plan, 2); /* by the pool that is there */
    run(plan, 5);
    sepconv_release_threads();
    run(plan, 2);
    sepconv_plan_destroy(plan);
    puts("right without threads");
    return 0;
}
