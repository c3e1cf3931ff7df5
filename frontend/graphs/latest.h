/* What the latest trace of a function came to: for explanations, and since what ran last is often
 * what runs next. */
#ifndef SN_FRONTEND_GRAPHS_LATEST_H
#define SN_FRONTEND_GRAPHS_LATEST_H

#include "base/thread/lock.h"
#include "frontend/graphs/instance.h"

/* What became of one trace. */
typedef struct TraceNote {
    GraphInstance *instance; /* what ran; a reference; NULL before the first */
    int64_t trace_ns;        /* nanoseconds spent in the function */
    int32_t host_reads;      /* of it */
    Site read_site;          /* of the first of them */
} TraceNote;

typedef struct Latest {
    Lock *lock;     /* of the note */
    TraceNote note; /* of the latest trace */
} Latest;

/* Takes over the reference. */
void latest_set(Latest *latest, TraceNote note);
/* The note, with a reference of the caller's to its instance. */
TraceNote latest_get(Latest *latest);
/* Lets go of it; nobody else uses it any more. */
void latest_close(Latest *latest);

#endif
