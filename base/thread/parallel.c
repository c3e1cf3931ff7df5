/* parallel_for on OpenMP or pthreads; see parallel.h. */
#include "base/thread/parallel.h"

#include "base/assert.h"
#include "base/settings.h"
#include "base/thread.h"
#include "base/thread/lock.h"

#ifdef SN_PARALLEL_PTHREADS
#include <pthread.h>
#endif
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static _Atomic int32_t default_threads;
static _Atomic bool pool_busy;
static _Atomic bool forked;

static void mark_forked(void) {
    atomic_store(&forked, true);
    atomic_store(&pool_busy, false);
}
FORK_HOOK(mark_forked);

bool parallel_forked(void) {
    return atomic_load_explicit(&forked, memory_order_relaxed);
}

int32_t parallel_own_threads(int32_t threads) {
    SN_ASSERT(threads >= 0);
    int32_t before = base_thread.threads;
    base_thread.threads = threads;
    return before;
}

int32_t parallel_threads(void) {
    if (base_thread.threads) return base_thread.threads;
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

/* ---- shares ---------------------------------------------------------------------------------- */

enum { MOST_THREADS = 256, PIECES = 8 };

/* What is left of one thread's share. It takes pieces from the front; threads that are done with
 * their own take on with others', so one that the machine holds up holds nobody else up. */
typedef struct Share {
    _Alignas(64) _Atomic int64_t next; /* first item that nobody has taken */
    int64_t end;                       /* one past the last item */
    int64_t piece;                     /* items taken at a time */
} Share;

typedef struct Region {
    ParallelBody *body;
    void *context;              /* the body's */
    int32_t count;              /* of shares */
    Share shares[MOST_THREADS]; /* contiguous; the first ones may be an item longer */
} Region;

static void region_open(Region *region, int32_t shares, int64_t count, ParallelBody *body,
                        void *context) {
    SN_ASSERT(shares > 1 && shares <= MOST_THREADS && count >= shares);
    region->body = body;
    region->context = context;
    region->count = shares;
    int64_t begin = 0;
    for (int32_t i = 0; i < shares; i++) {
        int64_t size = count / shares + (i < count % shares ? 1 : 0);
        Share *share = &region->shares[i];
        atomic_store_explicit(&share->next, begin, memory_order_relaxed);
        share->end = begin += size;
        share->piece = (size + PIECES - 1) / PIECES;
        SN_ASSERT(share->piece > 0);
    }
    SN_ASSERT(begin == count);
}

static void finish_share(Region *region, Share *share, int32_t thread) {
    for (;;) {
        int64_t begin = atomic_fetch_add_explicit(&share->next, share->piece, memory_order_relaxed);
        if (begin >= share->end) return;
        int64_t end = begin + share->piece;
        region->body(region->context, begin, end < share->end ? end : share->end, thread);
    }
}

/* One thread's part: its own share, then what is left of the others'. */
static void region_work(Region *region, int32_t thread) {
    SN_ASSERT(thread >= 0 && thread < region->count && !base_thread.in_region);
    base_thread.in_region = true;
    for (int32_t i = 0; i < region->count; i++)
        finish_share(region, &region->shares[(thread + i) % region->count], thread);
    base_thread.in_region = false;
}

/* ---- threads --------------------------------------------------------------------------------- */

#ifdef SN_PARALLEL_PTHREADS

typedef struct Member {
    Region *region;
    int32_t thread; /* its number in the region */
} Member;

static void *member_main(void *data) {
    const Member *member = data;
    region_work(member->region, member->thread);
    return NULL;
}

static void run_region(Region *region) {
    pthread_t ids[MOST_THREADS];
    Member members[MOST_THREADS];
    bool started[MOST_THREADS];
    for (int32_t i = 1; i < region->count; i++) {
        members[i] = (Member){region, i};
        started[i] = pthread_create(&ids[i], NULL, member_main, &members[i]) == 0;
    }
    region_work(region, 0);
    for (int32_t i = 1; i < region->count; i++)
        if (started[i]) pthread_join(ids[i], NULL);
}

#else

#include <omp.h>

/* The runtime may grant fewer threads; those do all the work. */
static void run_region(Region *region) {
#pragma omp parallel num_threads(region->count)
    region_work(region, omp_get_thread_num());
}

#endif

void parallel_for(int32_t threads, int64_t count, ParallelBody *body, void *context) {
    SN_ASSERT(count >= 0);
    int32_t shares = count < threads ? (int32_t)count : threads;
    if (shares > MOST_THREADS) shares = MOST_THREADS;
    bool serial = shares <= 1 || base_thread.in_region || parallel_forked();
    if (!serial) serial = atomic_exchange_explicit(&pool_busy, true, memory_order_acquire);
    if (serial) {
        if (count > 0) body(context, 0, count, 0);
        return;
    }
    Region region;
    region_open(&region, shares, count, body, context);
    run_region(&region);
    atomic_store_explicit(&pool_busy, false, memory_order_release);
}
