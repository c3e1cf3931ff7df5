/* parallel_for on OpenMP or pthreads; see parallel.h. */
#include "base/parallel.h"

#include "base/settings.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static _Atomic int32_t default_threads;
static _Atomic bool pool_busy;
static _Atomic bool forked;
static _Thread_local bool in_region;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void mark_forked(void) {
    atomic_store(&forked, true);
    atomic_store(&pool_busy, false);
}

static void watch_fork(void) {
    pthread_atfork(NULL, NULL, mark_forked);
}

int32_t parallel_threads(void) {
    int32_t threads = atomic_load_explicit(&default_threads, memory_order_relaxed);
    if (threads) return threads;
    threads = (int32_t)setting_int(SETTING_THREADS, 0);
    if (threads < 1) {
        cpu_set_t set;
        threads = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    }
    atomic_store_explicit(&default_threads, threads, memory_order_relaxed);
    return threads;
}

void parallel_set_threads(int32_t threads) {
    atomic_store_explicit(&default_threads, threads < 1 ? 1 : threads, memory_order_relaxed);
}

int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Share `index` of `shares`: the first count % shares of them are one item longer. */
static void run_share(int32_t index, int32_t shares, int64_t count, ParallelBody *body,
                      void *context) {
    int64_t base = count / shares, longer = count % shares;
    int64_t begin = index * base + (index < longer ? index : longer);
    int64_t end = begin + base + (index < longer ? 1 : 0);
    in_region = true;
    if (begin < end) body(context, begin, end, index);
    in_region = false;
}

#ifdef SN_PARALLEL_PTHREADS

enum { MOST_THREADS = 64 };

typedef struct Share {
    int32_t index, shares;
    int64_t count;
    ParallelBody *body;
    void *context;
} Share;

static void *share_main(void *data) {
    Share *share = data;
    run_share(share->index, share->shares, share->count, share->body, share->context);
    return NULL;
}

static void run_shares(int32_t shares, int64_t count, ParallelBody *body, void *context) {
    pthread_t ids[MOST_THREADS];
    Share work[MOST_THREADS];
    bool started[MOST_THREADS];
    if (shares > MOST_THREADS) shares = MOST_THREADS;
    for (int32_t i = 1; i < shares; i++) {
        work[i] = (Share){i, shares, count, body, context};
        started[i] = pthread_create(&ids[i], NULL, share_main, &work[i]) == 0;
    }
    run_share(0, shares, count, body, context);
    for (int32_t i = 1; i < shares; i++) {
        if (started[i])
            pthread_join(ids[i], NULL);
        else
            run_share(i, shares, count, body, context);
    }
}

#else

#include <omp.h>

static void run_shares(int32_t shares, int64_t count, ParallelBody *body, void *context) {
#pragma omp parallel num_threads(shares)
    {
        /* The runtime may grant fewer threads; each then takes several shares. */
        int32_t team = omp_get_num_threads();
        for (int32_t i = omp_get_thread_num(); i < shares; i += team)
            run_share(i, shares, count, body, context);
    }
}

#endif

void parallel_for(int32_t threads, int64_t count, ParallelBody *body, void *context) {
    int32_t shares = count < threads ? (int32_t)count : threads;
    bool serial = shares <= 1 || in_region || atomic_load_explicit(&forked, memory_order_relaxed);
    if (!serial) {
        pthread_once(&fork_once, watch_fork);
        serial = atomic_exchange_explicit(&pool_busy, true, memory_order_acquire);
    }
    if (serial) {
        if (count > 0) body(context, 0, count, 0);
        return;
    }
    run_shares(shares, count, body, context);
    atomic_store_explicit(&pool_busy, false, memory_order_release);
}
