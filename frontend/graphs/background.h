/* Work for a thread of the library's own, while the program goes on. */
#ifndef SN_FRONTEND_GRAPHS_BACKGROUND_H
#define SN_FRONTEND_GRAPHS_BACKGROUND_H

#include <stdint.h>

/* One of `run` and `drop` is called, on any thread, and frees what the context holds. */
typedef struct BackgroundJob {
    void (*run)(void *context);  /* does it */
    void (*drop)(void *context); /* it is not wanted any more */
    void *context;               /* for both */
    const void *owner;           /* who asked for it, for background_forget */
    uint64_t key;                /* what it makes: the owner asks for it once */
} BackgroundJob;

enum { BACKGROUND_MOST = 256 }; /* jobs that wait */

typedef enum BackgroundState {
    BACKGROUND_FREE,  /* a job can be handed over */
    BACKGROUND_ASKED, /* this one was, and waits or runs */
    BACKGROUND_FULL,  /* as many wait as may */
    BACKGROUND_NONE   /* there can be no thread, or no memory is left */
} BackgroundState;

/* How it stands with the owner's job of that key. */
BackgroundState background_state(const void *owner, uint64_t key);
/* Runs the job on a thread of its own, one job after the other. Takes it over where it was free to. */
BackgroundState background_run(const BackgroundJob *job);
/* Drops the owner's jobs that wait. */
void background_forget(const void *owner);

#endif
