/* Locks across fork; see lock.h. */
#include "runtime/lock.h"

enum { LOCK_MOST = 32 };

static struct {
    pthread_mutex_t *lock;  /* the registered lock */
    void (*in_child)(void); /* repair in the child, or NULL */
} locks[LOCK_MOST];
static int lock_count;
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;

static void hold_all(void) {
    pthread_mutex_lock(&registry);
    for (int i = 0; i < lock_count; i++) pthread_mutex_lock(locks[i].lock);
}

static void release_all(void) {
    for (int i = lock_count; i-- > 0;) pthread_mutex_unlock(locks[i].lock);
    pthread_mutex_unlock(&registry);
}

static void release_in_child(void) {
    for (int i = 0; i < lock_count; i++)
        if (locks[i].in_child) locks[i].in_child();
    release_all();
}

static void watch_fork(void) {
    pthread_atfork(hold_all, release_all, release_in_child);
}

void lock_survive_fork(pthread_mutex_t *lock, void (*in_child)(void)) {
    pthread_once(&watch_once, watch_fork);
    pthread_mutex_lock(&registry);
    if (lock_count < LOCK_MOST) {
        locks[lock_count].lock = lock;
        locks[lock_count].in_child = in_child;
        lock_count++;
    }
    pthread_mutex_unlock(&registry);
}
