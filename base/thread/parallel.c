/* parallel_for; see parallel.h. */
#include "base/thread/parallel.h"

#include "base/assert.h"
#include "base/settings.h"
#include "base/thread.h"
#include "base/thread/cpus.h"
#include "base/thread/lock.h"
#include "base/thread/pool.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { MOST_THREADS = 256 };

static _Atomic int32_t default_threads;
static _Atomic bool forked;

static void mark_forked(void) {
    atomic_store(&forked, true);
}
FORK_HOOK(mark_forked);

bool parallel_forked(void) {
    return atomic_load_explicit(&forked, memory_order_relaxed);
}

/* As many as a region may have, so that memory for each of them is memory that is needed. */
static int32_t at_most(int32_t threads) {
    return threads < MOST_THREADS ? threads : MOST_THREADS;
}

int32_t parallel_own_threads(int32_t threads) {
    SN_ASSERT(threads >= 0);
    int32_t before = base_thread.threads;
    base_thread.threads = at_most(threads);
    return before;
}

int32_t parallel_threads(void) {
    if (base_thread.threads) return base_thread.threads;
    int32_t threads = atomic_load_explicit(&default_threads, memory_order_relaxed);
    if (threads) return threads;
    threads = (int32_t)setting_int(SETTING_THREADS, 0);
    if (threads < 1) threads = cpus_available();
    threads = at_most(threads);
    atomic_store_explicit(&default_threads, threads, memory_order_relaxed);
    return threads;
}

void parallel_set_threads(int32_t threads) {
    atomic_store_explicit(&default_threads, threads < 1 ? 1 : at_most(threads),
                          memory_order_relaxed);
}

/* ---- shares ---------------------------------------------------------------------------------- */

enum { PIECES = 8 };

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

static void region_join(void *context, int32_t number) {
    region_work(context, number);
}

void parallel_for(int32_t threads, int64_t count, ParallelBody *body, void *context) {
    SN_ASSERT(count >= 0);
    int32_t shares = count < threads ? (int32_t)count : threads;
    if (shares > MOST_THREADS) shares = MOST_THREADS;
    if (shares > 1 && !base_thread.in_region) shares = 1 + pool_helpers(shares - 1);
    if (shares <= 1 || base_thread.in_region) {
        if (count > 0) body(context, 0, count, 0);
        return;
    }
    Region region;
    region_open(&region, shares, count, body, context);
    PoolOffer *offer = pool_offer(region_join, &region, shares - 1);
    region_work(&region, 0);
    if (offer) pool_withdraw(offer);
}
