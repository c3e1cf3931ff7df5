/* Locks that survive fork. A lock registered here is held across fork(), so that a child never
 * inherits one in the hands of a thread it does not have. Rule of the runtime: a module takes no
 * second lock while it holds one, hence any order of taking them all is safe. */
#ifndef SN_RUNTIME_LOCK_H
#define SN_RUNTIME_LOCK_H

#include <pthread.h>

/* Registers a lock of static lifetime; call once for each, from a pthread_once. `in_child`, if not
 * NULL, runs in the child with the lock held, to drop state that belonged to other threads. */
void lock_survive_fork(pthread_mutex_t *lock, void (*in_child)(void));

#endif
