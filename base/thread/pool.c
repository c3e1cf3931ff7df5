/* Helpers and what they are offered; see pool.h.
 *
 * An offer is a slot of a fixed array, and its life is one word: claimed by the caller, open as long as
 * helpers may come, then waited for until those that came have gone. The count of offers made is the
 * word that helpers watch, and sleep on. */
#include "base/thread/pool.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    OFFERS = 64,           /* open at once */
    MOST_HELPERS = 1023,   /* a process has */
    STACK_BYTES = 1 << 18, /* of a helper, besides what the system takes of it */
    LOOKS = 64             /* between two looks at the clock */
};

#define LOOK_NS 100000 /* without work, before a helper sleeps: longer than a program's own steps */
#define WAIT_NS 20000  /* for helpers that are about to be done, before the caller sleeps */
#define REFUSED_NS 1000000000 /* after a thread was refused, before one is asked for again */

/* The word of an offer: flags, helpers that may still come, helpers that are at work. */
enum {
    CLAIMED = 1, /* it is some caller's */
    OPEN = 2,    /* helpers may come */
    WAITING = 4, /* the caller sleeps until the last one goes */
    PLACE = 1 << 4,
    PLACES = 1023 << 4,
    AT_WORK = 1 << 16
};

struct PoolOffer {
    _Alignas(64) _Atomic uint32_t word; /* as above */
    int32_t helpers;                    /* that may come in all */
    PoolPart *part;                     /* what they do */
    void *context;                      /* its argument */
};

static PoolOffer offers[OFFERS];
static _Atomic int32_t offers_used;               /* no slot from here on was ever claimed */
static _Alignas(64) _Atomic uint32_t made;        /* offers made so far: what helpers watch */
static _Atomic uint32_t sleepers;                 /* helpers that sleep, or are about to */
static _Alignas(64) _Atomic int32_t helper_count; /* threads there are */
static _Atomic bool growing;                      /* a thread makes more */
static _Atomic int64_t refused_ns; /* when the system last refused one; 0: it did not */

/* The child has one thread: helpers and whoever had made offers are its parent's. */
static void forget_helpers(void) {
    for (int32_t i = 0; i < OFFERS; i++) atomic_store(&offers[i].word, 0);
    atomic_store(&sleepers, 0);
    atomic_store(&helper_count, 0);
    atomic_store(&growing, false);
    atomic_store(&refused_ns, 0);
}
FORK_HOOK(forget_helpers);

/* ---- waiting --------------------------------------------------------------------------------- */

static void pause_cpu(void) {
    __builtin_ia32_pause();
}

static void sleep_on(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word, int32_t most) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
}

/* Until the word has another value, or time is up. */
static bool watch(_Atomic uint32_t *word, uint32_t value, int64_t ns) {
    int64_t end = 0;
    for (int32_t i = 0;; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
        pause_cpu();
        if (i % LOOKS != LOOKS - 1) continue;
        int64_t now = clock_ns();
        if (!end) end = now + ns;
        if (now >= end) return false;
    }
}

/* ---- helpers --------------------------------------------------------------------------------- */

static bool join_offer(PoolOffer *offer) {
    uint32_t word = atomic_load_explicit(&offer->word, memory_order_relaxed);
    do {
        if (!(word & OPEN) || !(word & PLACES)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&offer->word, &word, word - PLACE + AT_WORK,
                                                    memory_order_acquire, memory_order_relaxed));
    /* The caller waits for who is at work, so the offer stays what it is. */
    int32_t places = (int32_t)((word & PLACES) / PLACE);
    SN_ASSERT(places > 0 && places <= offer->helpers);
    offer->part(offer->context, offer->helpers - places + 1);
    word = atomic_fetch_sub_explicit(&offer->word, AT_WORK, memory_order_acq_rel) - AT_WORK;
    if ((word & WAITING) && word < AT_WORK) wake(&offer->word, 1);
    return true;
}

/* Joins one, looking first where there was work last. */
static bool join_any(int32_t *last) {
    int32_t used = atomic_load_explicit(&offers_used, memory_order_relaxed);
    for (int32_t i = 0; i < used; i++) {
        int32_t at = *last + i < used ? *last + i : *last + i - used;
        if (!join_offer(&offers[at])) continue;
        *last = at;
        return true;
    }
    return false;
}

static void *helper_main(void *data) {
    int32_t last = 0;
    for (;;) {
        uint32_t seen = atomic_load_explicit(&made, memory_order_acquire);
        if (join_any(&last) || watch(&made, seen, LOOK_NS)) continue;
        /* Either who makes an offer sees the sleeper, or the sleeper the offer. */
        atomic_fetch_add(&sleepers, 1);
        sleep_on(&made, seen);
        atomic_fetch_sub(&sleepers, 1);
    }
    return data;
}

static bool make_helper(const pthread_attr_t *attributes) {
    pthread_t id;
    if (pthread_create(&id, attributes, helper_main, NULL) != 0) return false;
    pthread_setname_np(id, "sinter");
    return true;
}

static bool stack_of_helpers(pthread_attr_t *attributes) {
    long least = sysconf(_SC_THREAD_STACK_MIN);
    return pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED) == 0 &&
           pthread_attr_setstacksize(attributes, STACK_BYTES + (size_t)(least > 0 ? least : 0)) ==
               0;
}

static void make_helpers(int32_t wanted) {
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool more = stack_of_helpers(&attributes);
    while (more && atomic_load_explicit(&helper_count, memory_order_relaxed) < wanted) {
        more = make_helper(&attributes);
        if (more) atomic_fetch_add_explicit(&helper_count, 1, memory_order_relaxed);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!more) atomic_store_explicit(&refused_ns, clock_ns(), memory_order_relaxed);
}

int32_t pool_helpers(int32_t wanted) {
    if (wanted > MOST_HELPERS) wanted = MOST_HELPERS;
    int32_t count = atomic_load_explicit(&helper_count, memory_order_relaxed);
    if (count >= wanted) return wanted;
    int64_t refused = atomic_load_explicit(&refused_ns, memory_order_relaxed);
    if (refused && clock_ns() - refused < REFUSED_NS) return count;
    if (atomic_exchange_explicit(&growing, true, memory_order_acquire)) return count;
    make_helpers(wanted);
    atomic_store_explicit(&growing, false, memory_order_release);
    count = atomic_load_explicit(&helper_count, memory_order_relaxed);
    return count < wanted ? count : wanted;
}

/* ---- offers ---------------------------------------------------------------------------------- */

static void note_used(int32_t count) {
    int32_t used = atomic_load_explicit(&offers_used, memory_order_relaxed);
    while (used < count &&
           !atomic_compare_exchange_weak_explicit(&offers_used, &used, count, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

/* A free slot; threads that offer at once find different ones. */
static PoolOffer *claim(void) {
    for (int32_t i = 0; i < OFFERS; i++) {
        uint32_t word = 0;
        if (atomic_load_explicit(&offers[i].word, memory_order_relaxed) ||
            !atomic_compare_exchange_strong_explicit(&offers[i].word, &word, CLAIMED,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        note_used(i + 1);
        return &offers[i];
    }
    return NULL;
}

PoolOffer *pool_offer(PoolPart *part, void *context, int32_t helpers) {
    SN_ASSERT(helpers > 0 && helpers <= MOST_HELPERS);
    PoolOffer *offer = claim();
    if (!offer) return NULL;
    offer->part = part;
    offer->context = context;
    offer->helpers = helpers;
    uint32_t word = CLAIMED | OPEN | (uint32_t)helpers * PLACE;
    atomic_store_explicit(&offer->word, word, memory_order_release);
    atomic_fetch_add(&made, 1);
    if (atomic_load(&sleepers)) wake(&made, helpers);
    return offer;
}

void pool_withdraw(PoolOffer *offer) {
    uint32_t word = atomic_fetch_and_explicit(&offer->word, ~(uint32_t)OPEN, memory_order_acq_rel);
    SN_ASSERT((word & CLAIMED) && (word & OPEN));
    word &= ~(uint32_t)OPEN;
    while (word >= AT_WORK) {
        if (!watch(&offer->word, word, WAIT_NS)) {
            word = atomic_fetch_or_explicit(&offer->word, WAITING, memory_order_acquire) | WAITING;
            if (word >= AT_WORK) sleep_on(&offer->word, word);
        }
        word = atomic_load_explicit(&offer->word, memory_order_acquire);
    }
    atomic_store_explicit(&offer->word, 0, memory_order_release);
}
