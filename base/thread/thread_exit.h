/* What a thread does when it ends, in a written order: pthread keys leave the order of their
 * destructors open, and what ends first may need what ends later. One key serves the process. */
#ifndef SN_BASE_THREAD_THREAD_EXIT_H
#define SN_BASE_THREAD_THREAD_EXIT_H

#include <stdbool.h>

/* The order of ends; each may use what comes behind it. */
typedef enum ThreadExitRank {
    EXIT_FRONTEND,  /* handles, entries, plans and traces: frees tensors, lets executables go */
    EXIT_OBSERVERS, /* who watches this thread's runs and what it gathered */
    EXIT_MEMORY,    /* the allocator's cache of free blocks */
    EXIT_RANKS
} ThreadExitRank;

/* One end. It belongs to who asks for it, lives until it has run, in memory of the thread
 * (thread-local or from the heap), and is waited for by no other thread. */
typedef struct ThreadExit {
    ThreadExitRank rank;     /* when */
    void (*end)(void *);     /* called once, with `context`; the record is its owner's again */
    void *context;           /* what for */
    struct ThreadExit *next; /* of this thread, by rank; kept by thread_at_exit */
} ThreadExit;

/* Runs the record when the calling thread ends, unless that is the end of the process. A record waits
 * at most once at a time. One that is added by an end runs too, in its turn among those left. False
 * where the system has no key or no memory: then nothing will run. */
bool thread_at_exit(ThreadExit *record);
/* Takes back a record of this thread, if it waits. */
void thread_exit_cancel(ThreadExit *record);

#endif
