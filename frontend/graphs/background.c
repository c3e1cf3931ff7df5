/* Jobs done by one thread of the library, one after the other: compiling while the program goes on.
 * The thread starts with the first job. At the process's end it is waited for, since a code
 * generator that is cut off in the middle, of its own constructors even, would meet its destructors; a
 * forked child has none and starts another. */
#include "frontend/graphs/background.h"

#include "base/status.h"
#include "base/thread/lock.h"
#include "base/thread/process_exit.h"
#include "base/vec.h"
#include "runtime/kernels/backend.h"

#include <sinter/compile.h>

#include <stdlib.h>

typedef struct Job {
    BackgroundJob *run;
    void *context;
} Job;

LOCK_DEFINE(lock, RANK_BACKGROUND);
CONDITION_DEFINE(changed, &lock);
static VEC(Job) jobs;      /* that wait, oldest first */
static bool started, busy; /* the thread is there; it runs a job */
static pthread_t worker;   /* the thread, once started */

/* The parent's thread is not here, nor are the jobs that it will do. */
static void forget_in_child(void) {
    jobs.count = 0;
    started = busy = false;
}
FORK_HOOK(forget_in_child);

/* The compiler's library registers its destructors while it is loaded, and what is registered last runs
 * first. */
static void load_compiler(void) {
    sn_error error;
    error_init(&error);
    backend_load("cpu", &error);
    atexit(sn_compile_wait);
}

/* It may be loading when the program, which need not know of the job, ends. */
__attribute__((constructor)) static void wait_before_exit(void) {
    process_before_exit(sn_compile_wait);
}

static void *work(void *unused) {
    (void)unused;
    load_compiler();
    lock_take(&lock);
    for (;;) {
        while (!jobs.count) condition_wait(&changed);
        Job job = jobs.data[0];
        jobs.count--;
        memmove(jobs.data, jobs.data + 1, sizeof job * jobs.count);
        busy = true;
        lock_give(&lock);
        SN_ASSERT(may_call_program());
        job.run(job.context);
        lock_take(&lock);
        busy = false;
        condition_wake(&changed);
    }
    return NULL;
}

static bool start(void) {
    SN_ASSERT(lock_held(&lock));
    if (started) return true;
    wait_before_exit(); /* a child's main thread is that which forked */
    started = pthread_create(&worker, NULL, work, NULL) == 0;
    if (started) pthread_detach(worker);
    return started;
}

bool background_run(BackgroundJob *job, void *context) {
    Job one = {job, context};
    lock_take(&lock);
    bool taken = vec_reserve(&jobs, 1) && start();
    if (taken) jobs.data[jobs.count++] = one;
    condition_wake(&changed);
    lock_give(&lock);
    return taken;
}

/* A job's callback, or the process's end that it causes, would wait for itself. */
void sn_compile_wait(void) {
    lock_take(&lock);
    bool own = started && pthread_equal(worker, pthread_self());
    while (!own && (jobs.count || busy)) condition_wait(&changed);
    lock_give(&lock);
}
