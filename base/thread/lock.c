/* Locks, condition variables and forks; see lock.h. */
#include "base/thread/lock.h"

#include "base/thread.h"

#include <stddef.h>
#include <stdint.h>

static Lock *locks;           /* all, by rank */
static Condition *conditions; /* all */
static Section *sections;     /* all */
static ForkHook *hooks;       /* all */

void lock_register(Lock *lock) {
    Lock **at = &locks;
    while (*at && (*at)->rank <= lock->rank) at = &(*at)->next;
    lock->next = *at;
    *at = lock;
}

void condition_register(Condition *condition) {
    condition->next = conditions;
    conditions = condition;
}

void section_register(Section *section) {
    section->next = sections;
    sections = section;
}

void fork_hook_register(ForkHook *hook) {
    hook->next = hooks;
    hooks = hook;
}

/* ---- what this thread holds ------------------------------------------------------------------ */

#ifndef NDEBUG

bool lock_held(const Lock *lock) {
    const HeldLocks *held = &base_thread.held;
    for (int32_t i = 0; i < held->count; i++)
        if (held->all[i].lock == lock) return true;
    return held->forking;
}

bool lock_none_held(void) {
    const HeldLocks *held = &base_thread.held;
    for (int32_t i = 0; i < held->count; i++)
        if (held->all[i].lock) return false;
    return !held->forking;
}

bool may_call_program(void) {
    return !base_thread.held.count && !base_thread.held.forking;
}

/* May this thread take a lock of that rank? */
static bool in_order(LockRank rank) {
    const HeldLocks *held = &base_thread.held;
    return !held->forking && (!held->count || held->all[held->count - 1].rank < rank);
}

static bool in_flight(LockRank rank) {
    const HeldLocks *held = &base_thread.held;
    for (int32_t i = 0; i < held->count; i++)
        if (!held->all[i].lock && held->all[i].rank == rank) return true;
    return false;
}

static void note_taken(const Lock *lock, LockRank rank) {
    HeldLocks *held = &base_thread.held;
    SN_ASSERT((size_t)held->count < sizeof held->all / sizeof *held->all);
    held->all[held->count++] = (HeldLock){lock, rank};
}

static void note_given(const Lock *lock, LockRank rank) {
    HeldLocks *held = &base_thread.held;
    int32_t at = 0;
    while (held->all[at].lock != lock || held->all[at].rank != rank) at++;
    held->count--;
    for (; at < held->count; at++) held->all[at] = held->all[at + 1];
}

static void note_forking(bool forking) {
    base_thread.held.forking = forking;
}

#else

static bool in_order(LockRank rank) {
    (void)rank;
    return true;
}
static bool in_flight(LockRank rank) {
    (void)rank;
    return true;
}
static void note_taken(const Lock *lock, LockRank rank) {
    (void)lock, (void)rank;
}
static void note_given(const Lock *lock, LockRank rank) {
    (void)lock, (void)rank;
}
static void note_forking(bool forking) {
    (void)forking;
}

#endif

/* A thread that is cancelled would take what it holds with it. */
void thread_stay(void) {
    if (base_thread.stays++ == 0)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &base_thread.cancel_state);
}

void thread_may_go(void) {
    SN_ASSERT(base_thread.stays > 0);
    if (--base_thread.stays == 0) pthread_setcancelstate(base_thread.cancel_state, NULL);
}

void lock_enter(LockRank rank) {
    SN_ASSERT(in_order(rank));
    thread_stay();
    note_taken(NULL, rank);
}

void lock_leave(LockRank rank) {
    SN_ASSERT(in_flight(rank));
    note_given(NULL, rank);
    thread_may_go();
}

/* ---- forks ----------------------------------------------------------------------------------- */

/* Sections first: what others do meanwhile needs locks, and it may take long until a section is empty. */
static void hold_all(void) {
    SN_ASSERT(may_call_program());
    thread_stay();
    for (Section *section = sections; section; section = section->next)
        pthread_rwlock_wrlock(&section->lock);
    for (Lock *lock = locks; lock; lock = lock->next) pthread_mutex_lock(&lock->mutex);
    note_forking(true);
}

static void give_all(void) {
    note_forking(false);
    for (Lock *lock = locks; lock; lock = lock->next) pthread_mutex_unlock(&lock->mutex);
    for (Section *section = sections; section; section = section->next)
        pthread_rwlock_unlock(&section->lock);
    thread_may_go();
}

/* Threads that waited are not here, yet they are counted in what they waited for. */
static void begin_child(void) {
    for (Condition *c = conditions; c; c = c->next)
        c->cond = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    for (ForkHook *hook = hooks; hook; hook = hook->next) hook->in_child();
    give_all();
    for (Section *section = sections; section; section = section->next)
        section->lock = (pthread_rwlock_t)SECTION_LOCK_INITIALISER;
}

/* When the library is loaded: a fork that another thread has begun knows nothing of handlers that come
 * later. */
__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(hold_all, give_all, begin_child);
}

/* ---- taking and waiting ---------------------------------------------------------------------- */

void lock_take(Lock *lock) {
    SN_ASSERT(in_order(lock->rank));
    thread_stay();
    pthread_mutex_lock(&lock->mutex);
    note_taken(lock, lock->rank);
}

void lock_give(Lock *lock) {
    SN_ASSERT(lock_held(lock));
    note_given(lock, lock->rank);
    pthread_mutex_unlock(&lock->mutex);
    thread_may_go();
}

void condition_wait(Condition *condition) {
    Lock *lock = condition->lock;
    SN_ASSERT(lock_held(lock));
    note_given(lock, lock->rank);
    SN_ASSERT(lock_none_held());
    pthread_cond_wait(&condition->cond, &lock->mutex);
    note_taken(lock, lock->rank);
}

void condition_wake(Condition *condition) {
    pthread_cond_broadcast(&condition->cond);
}

void section_enter(Section *section) {
    SN_ASSERT(lock_none_held());
    lock_enter(RANK_SECTION);
    pthread_rwlock_rdlock(&section->lock);
}

void section_leave(Section *section) {
    pthread_rwlock_unlock(&section->lock);
    lock_leave(RANK_SECTION);
}
