/* Locks, their order, and what becomes of them in a forked child.
 *
 * Each lock has a rank. A thread that holds one may only take locks of higher ranks: where all do, none
 * waits in a circle. Debug builds check it at each taking. No function of the program is called and no
 * line given to its log sink while a lock is held, since it may call the library: debug builds check
 * that too.
 *
 * Locks and condition variables are static objects, known from the program's start. A fork waits until
 * all locks are free and holds them meanwhile, so that a child finds them free and what they guard
 * whole. There, condition variables are made anew, as threads that waited are not in the child, and
 * FORK_HOOKs see to what such threads had in hand.
 *
 * The library and each module that it loads have a copy of this file, whose locks the order does not
 * compare: no lock is held while a module's functions are called. */
#ifndef SN_BASE_LOCK_H
#define SN_BASE_LOCK_H

#include "base/assert.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* All ranks, outermost first. */
typedef enum LockRank {
    RANK_NONE,     /* no lock's */
    RANK_HANDLE,   /* frontend: graphs and entries of a compiled function; several have one lock */
    RANK_CLOSURES, /* frontend: libffi's heap of closures */
    RANK_BACKGROUND, /* frontend: jobs that wait for the library's thread */
    RANK_BACKENDS,   /* runtime: loaded code generators; held while one is loaded */
    RANK_KERNELS,    /* runtime: kernels in memory */
    RANK_GEMM,       /* runtime: prepared matrix products */
    RANK_CODE,       /* runtime: the region of executable memory that is being filled */
    RANK_MACHINES,   /* codegen/cpu, a module: LLVM's idle target machines */
    RANK_MEMORY,     /* runtime: free blocks of the process */
    RANK_LOG,        /* base: the log's sink */
    RANK_COUNT
} LockRank;

typedef struct Condition Condition;

/* A lock; defined by LOCK_DEFINE. */
typedef struct Lock {
    pthread_mutex_t mutex; /* the lock itself */
    LockRank rank;         /* its place in the order */
    struct Lock *next;     /* of all locks, by rank */
} Lock;

/* Where threads wait that hold the lock; defined by CONDITION_DEFINE. */
struct Condition {
    pthread_cond_t cond; /* the condition variable itself */
    Lock *lock;          /* held by who waits */
    Condition *next;     /* of all */
};

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

/* For static objects of which there are several, before any thread uses them. */
void lock_register(Lock *lock);
void condition_register(Condition *condition);
void fork_hook_register(ForkHook *hook);
/* From now on forks do as said above. The first lock_take sees to it; hooks without a lock must. */
void fork_watch(void);

/* For assertions, in builds that have them: does this thread hold the lock; does it hold any? */
bool lock_held(const Lock *lock);
bool lock_none_held(void);

#endif
