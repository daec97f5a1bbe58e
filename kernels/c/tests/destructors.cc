// Destructors of thread-local and static objects, before and after the end of main(): plans run on several threads, and
// refused calls come back with a status and its text.
#include <cstdio>
#include <thread>

#include "layer.h"

static void use(const char *when, const sepconv_plan *plan) {
    for (std::size_t threads = 1; threads <= 3; threads++)
        run(plan, threads);
    refuse();
    std::printf("%s: right\n", when);
}

struct Static {
    sepconv_plan *plan = make_plan();
    Static() { use("before main", plan); }
    ~Static() {
        use("destructor of a static object", plan);
        sepconv_release_threads();
        use("after the release of the threads", plan);
        sepconv_plan_destroy(plan);
    }
};

static Static object;

struct Local {
    ~Local() { use("destructor of a thread-local object", object.plan); }
    void touch() {}
};

static thread_local Local local;

int main() {
    // Constructed first, destroyed last: after all that the library has for this thread.
    local.touch();
    use("main", object.plan);
    std::thread([] {
        local.touch();
        use("another thread", object.plan);
    }).join();
    return 0;
}
