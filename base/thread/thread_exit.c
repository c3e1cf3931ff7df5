/* Ends of threads; see thread_exit.h. The key's value is the list of the thread's records. */
#include "base/thread/thread_exit.h"

#include "base/assert.h"

#include <pthread.h>
#include <stddef.h>

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool no_key; /* the system has none left */

/* Takes records off the list, not the list off the key: an end may add some. */
static void run_all(void *list) {
    for (ThreadExit *record = list; record; record = pthread_getspecific(key)) {
        pthread_setspecific(key, record->next);
        record->end(record->context);
    }
}

static void make_key(void) {
    no_key = pthread_key_create(&key, run_all) != 0;
}

bool thread_at_exit(ThreadExit *record) {
    SN_ASSERT(record->rank < EXIT_RANKS && record->end);
    pthread_once(&once, make_key);
    if (no_key) return false;
    ThreadExit *head = pthread_getspecific(key), **at = &head;
    for (; *at && (*at)->rank <= record->rank; at = &(*at)->next) SN_ASSERT(*at != record);
    record->next = *at;
    *at = record;
    return pthread_setspecific(key, head) == 0;
}

void thread_exit_cancel(ThreadExit *record) {
    pthread_once(&once, make_key);
    if (no_key) return;
    ThreadExit *head = pthread_getspecific(key), **at = &head;
    while (*at && *at != record) at = &(*at)->next;
    if (*at) *at = record->next;
    pthread_setspecific(key, head);
}
