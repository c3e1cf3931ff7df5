/* Jobs done by one thread of the library, one after the other: compiling while the program goes on.
 * The thread starts with the first job. At the process's end the job that it is at is waited for, since a
 * code generator that is cut off in the middle, of its own constructors even, would meet its destructors;
 * those that wait are dropped. A forked child has no thread and starts another. */
#include "frontend/graphs/background.h"

#include "base/status.h"
#include "base/thread/lock.h"
#include "base/thread/process_exit.h"
#include "runtime/kernels/backend.h"

#include <sinter/compile.h>

#include <stdlib.h>
#include <string.h>

LOCK_DEFINE(lock, RANK_BACKGROUND);
CONDITION_DEFINE(changed, &lock);
static struct {
    BackgroundJob jobs[BACKGROUND_MOST]; /* oldest first */
    int32_t count;                       /* of them */
} waiting;
static BackgroundJob current; /* what the thread is at; .run is NULL while it waits */
static bool started, loading; /* the thread is there; it loads the compiler */
static pthread_t worker;      /* it, once started */

/* The parent's thread is not here, nor are the jobs that it will do. */
static void forget_in_child(void) {
    waiting.count = 0;
    current.run = NULL;
    started = loading = false;
}
FORK_HOOK(forget_in_child);

/* ---- dropping what waits --------------------------------------------------------------------- */

/* Takes the oldest job of the owner, of anybody with NULL, out of those that wait. */
static bool take_oldest(const void *owner, BackgroundJob *job) {
    SN_ASSERT(lock_held(&lock));
    for (int32_t i = 0; i < waiting.count; i++) {
        if (owner && waiting.jobs[i].owner != owner) continue;
        *job = waiting.jobs[i];
        waiting.count--;
        memmove(&waiting.jobs[i], &waiting.jobs[i + 1], sizeof *job * (size_t)(waiting.count - i));
        return true;
    }
    return false;
}

static void drop_all(const void *owner) {
    BackgroundJob job;
    for (;;) {
        lock_take(&lock);
        bool taken = take_oldest(owner, &job);
        if (taken) condition_wake(&changed);
        lock_give(&lock);
        if (!taken) return;
        job.drop(job.context);
    }
}

void background_forget(const void *owner) {
    SN_ASSERT(owner);
    drop_all(owner);
}

static void end(void) {
    drop_all(NULL);
    sn_compile_wait();
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* The compiler's library registers its destructors while it is loaded, and what is registered last runs
 * first. Under a lock, for which a fork waits: the C library's own in atexit a child would inherit taken. */
static void load_compiler(void) {
    sn_error error;
    error_init(&error);
    backend_load("cpu", &error);
    lock_take(&lock);
    atexit(end);
    loading = false;
    condition_wake(&changed);
    lock_give(&lock);
}

/* It may be loading when the program, which need not know of the job, ends. */
__attribute__((constructor)) static void wait_before_exit(void) {
    process_before_exit(end);
}

static void *work(void *unused) {
    (void)unused;
    load_compiler();
    lock_take(&lock);
    for (;;) {
        while (!take_oldest(NULL, &current)) condition_wait(&changed);
        BackgroundJob job = current;
        lock_give(&lock);
        SN_ASSERT(may_call_program());
        job.run(job.context);
        lock_take(&lock);
        current.run = NULL;
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
    loading = started;
    return started;
}

static bool is_job(const BackgroundJob *job, const void *owner, uint64_t key) {
    return job->run && job->owner == owner && job->key == key;
}

static BackgroundState find_state(const void *owner, uint64_t key) {
    SN_ASSERT(lock_held(&lock));
    if (is_job(&current, owner, key)) return BACKGROUND_ASKED;
    for (int32_t i = 0; i < waiting.count; i++)
        if (is_job(&waiting.jobs[i], owner, key)) return BACKGROUND_ASKED;
    if (waiting.count == BACKGROUND_MOST) return BACKGROUND_FULL;
    return start() ? BACKGROUND_FREE : BACKGROUND_NONE;
}

BackgroundState background_state(const void *owner, uint64_t key) {
    lock_take(&lock);
    BackgroundState state = find_state(owner, key);
    lock_give(&lock);
    return state;
}

BackgroundState background_run(const BackgroundJob *job) {
    SN_ASSERT(job->run && job->drop && job->owner);
    lock_take(&lock);
    BackgroundState state = find_state(job->owner, job->key);
    if (state == BACKGROUND_FREE) {
        waiting.jobs[waiting.count++] = *job;
        condition_wake(&changed);
    }
    lock_give(&lock);
    return state;
}

/* A job's callback, or the process's end that it causes, would wait for itself. */
void sn_compile_wait(void) {
    lock_take(&lock);
    bool own = started && pthread_equal(worker, pthread_self());
    while (!own && (waiting.count || current.run || loading)) condition_wait(&changed);
    lock_give(&lock);
}
