/* Locks, their order, and what becomes of them in a forked child.
 *
 * Each lock has a rank. A thread that holds one may only take locks of higher ranks: where all do, none
 * waits in a circle. Debug builds check it at each taking. No function of the program is called while a
 * lock is held, since it may call the library: see may_call_program.
 *
 * Locks and condition variables are static objects, known from the program's start. A fork waits until
 * all locks are free and holds them meanwhile, so that a child finds them free and what they guard
 * whole. There, what threads waited on is made anew, as they are not in the child, and FORK_HOOKs see to
 * what such threads had in hand.
 *
 * A library that has locks and half-made tables of its own, such as a compiler, is called within a Section:
 * any number of threads are in it at once, and a fork waits until none is.
 *
 * Modules have a copy of base of their own, of which no fork of the library knows: they have no locks. */
#ifndef SN_BASE_THREAD_LOCK_H
#define SN_BASE_THREAD_LOCK_H

#include "base/assert.h"

#include <pthread.h>
#include <stdbool.h>

/* All ranks, outermost first. */
typedef enum LockRank {
    RANK_TURN,       /* a flight: one thread compiles for a function, others wait (frontend) */
    RANK_HANDLE,     /* graphs and entries of a compiled function (frontend) */
    RANK_CLOSURES,   /* libffi's heap of closures (frontend) */
    RANK_BACKGROUND, /* jobs that wait for the library's thread (frontend) */
    RANK_PAGES,      /* pages that are written at the end (frontend) */
    RANK_FETCH,      /* a flight: one thread gets a kernel, others wait (runtime) */
    RANK_BACKENDS,   /* loaded code generators; held while one is loaded (runtime) */
    RANK_PLUGINS,    /* held while a module is loaded: no child finds one by halves (runtime) */
    RANK_KERNELS,    /* kernels in memory (runtime) */
    RANK_CODE,       /* the region of executable memory that is being filled (runtime) */
    RANK_SLOTS,      /* memory of what programs name (base) */
    RANK_MEMORY,     /* free blocks of the process (runtime) */
    RANK_LOG,        /* the log's sink (base) */
    RANK_SECTION,    /* a section: no lock is taken in one (base) */
    RANK_COUNT
} LockRank;

/* What a thread holds; kept in debug builds. */
typedef struct HeldLock {
    const struct Lock *lock; /* NULL: a flight */
    LockRank rank;           /* of either */
} HeldLock;
typedef struct HeldLocks {
    HeldLock all[RANK_COUNT]; /* in the order of their taking, hence of ranks */
    int count;                /* how many */
    bool forking;             /* it holds all locks */
} HeldLocks;

/* A lock; defined by LOCK_DEFINE. */
typedef struct Lock {
    pthread_mutex_t mutex; /* the lock itself */
    LockRank rank;         /* its place in the order */
    struct Lock *next;     /* of all locks, by rank */
} Lock;

/* Where threads wait that hold the lock; defined by CONDITION_DEFINE. */
typedef struct Condition {
    pthread_cond_t cond;    /* the condition variable itself */
    Lock *lock;             /* held by who waits */
    struct Condition *next; /* of all */
} Condition;

/* What no fork may cut in two; defined by SECTION_DEFINE. */
typedef struct Section {
    pthread_rwlock_t lock; /* read by who is in it, written by who forks */
    struct Section *next;  /* of all */
} Section;

/* What is called in a forked child, before any lock is given back; defined by FORK_HOOK. */
typedef struct ForkHook {
    void (*in_child)(void); /* takes no lock */
    struct ForkHook *next;  /* of all */
} ForkHook;

#define LOCK_INITIALISER(its_rank)                                                                 \
    { .mutex = PTHREAD_MUTEX_INITIALIZER, .rank = (its_rank) }
#define CONDITION_INITIALISER(its_lock)                                                            \
    { .cond = PTHREAD_COND_INITIALIZER, .lock = (its_lock) }

/* Defines a static object and makes it known when the program, or the library, is loaded. */
#define LOCK_DEFINE(name, its_rank)                                                                \
    static Lock name;                                                                              \
    __attribute__((constructor)) static void name##_is_known(void) {                               \
        lock_register(&name);                                                                      \
    }                                                                                              \
    static Lock name = LOCK_INITIALISER(its_rank)
#define CONDITION_DEFINE(name, its_lock)                                                           \
    static Condition name;                                                                         \
    __attribute__((constructor)) static void name##_is_known(void) {                               \
        condition_register(&name);                                                                 \
    }                                                                                              \
    static Condition name = CONDITION_INITIALISER(its_lock)
/* Who forks comes before who enters: else threads that take turns in it would keep a fork waiting. */
#define SECTION_LOCK_INITIALISER PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
#define SECTION_DEFINE(name)                                                                       \
    static Section name;                                                                           \
    __attribute__((constructor)) static void name##_is_known(void) {                               \
        section_register(&name);                                                                   \
    }                                                                                              \
    static Section name = {.lock = SECTION_LOCK_INITIALISER}
#define FORK_HOOK(function)                                                                        \
    static ForkHook function##_hook;                                                               \
    __attribute__((constructor)) static void function##_is_known(void) {                           \
        fork_hook_register(&function##_hook);                                                      \
    }                                                                                              \
    static ForkHook function##_hook = {.in_child = (function)}

void lock_take(Lock *lock);
void lock_give(Lock *lock);
/* Waits, with the lock given back meanwhile, until woken or for no reason. No other lock is held. */
void condition_wait(Condition *condition);
/* Wakes all who wait. */
void condition_wake(Condition *condition);

/* With no lock held, since a fork that waits for the section lets none but those in it finish; they take
 * no lock and enter no section. */
void section_enter(Section *section);
void section_leave(Section *section);

/* For static objects of which there are several, before any thread uses them. */
void lock_register(Lock *lock);
void condition_register(Condition *condition);
void section_register(Section *section);
void fork_hook_register(ForkHook *hook);

/* What others wait for without a lock has a rank too; see flight.h, which calls these. */
void lock_enter(LockRank rank);
void lock_leave(LockRank rank);

/* From thread_stay to thread_may_go a cancellation of this thread waits. They nest; locks and flights do
 * it. */
void thread_stay(void);
void thread_may_go(void);

/* For assertions, in builds that have them: does this thread hold the lock; does it hold none; is it
 * moreover in no flight, so that a function of the program may be called: a callback, a log sink? */
bool lock_held(const Lock *lock);
bool lock_none_held(void);
bool may_call_program(void);

#endif
