/* Who watches what a thread does: the steps that it runs, and spans of time that code above names.
 * The launch history and the timeline are such observers. */
#ifndef SN_RUNTIME_OBSERVE_H
#define SN_RUNTIME_OBSERVE_H

#include "base/clock.h"
#include "base/thread.h"
#include "ir/op/site.h"

/* What one thread did of a step that several shared. */
typedef struct LaunchPart {
    int32_t thread;   /* as the system numbers it */
    int64_t begin_ns; /* on the monotonic clock; 0: it did not come */
    int64_t end_ns;
} LaunchPart;

/* A step of an executable that was run. */
typedef struct LaunchRecord {
    const char *name;  /* the kernel's */
    const char *label; /* its ops; lives as long as the executable */
    Site site;         /* a source line it came from; lives likewise */
    int64_t items;     /* items */
    int64_t bytes;     /* bytes moved */
    int64_t begin_ns;  /* on the monotonic clock */
    int64_t end_ns;
    const LaunchPart *parts; /* of threads that may have shared it; live during the notice */
    int32_t n_parts;         /* 0: this thread alone */
} LaunchRecord;

/* A span of time around such steps. */
typedef struct SpanRecord {
    const char *what; /* static: "call", "trace", "compile" */
    const char *name; /* of whom, the function's; lives during the notice */
    int64_t begin_ns; /* on the monotonic clock */
    int64_t end_ns;
} SpanRecord;

/* The first field of what an observer keeps. It is told when a step or a span has ended. */
typedef struct Observer Observer;
typedef void LaunchSeen(Observer *observer, const LaunchRecord *record);
typedef void SpanSeen(Observer *observer, const SpanRecord *span);
struct Observer {
    LaunchSeen *launch; /* of steps; also what it is found by */
    SpanSeen *span;     /* of spans; NULL: it is not told */
    Observer *next;     /* of this thread */
};

/* From now on it is told, until observe_end on the same thread. */
void observe_begin(Observer *observer);
void observe_end(Observer *observer);
/* This thread's observer with that function, or NULL. */
static inline Observer *observer_find(LaunchSeen *launch) {
    Observer *observer = base_thread.observers;
    while (observer && observer->launch != launch) observer = observer->next;
    return observer;
}

/* Is this thread watched? */
static inline bool observe_on(void) {
    return base_thread.observers != NULL;
}
/* Nanoseconds now, where it is; else 0. */
static inline int64_t observe_now(void) {
    return observe_on() ? clock_ns() : 0;
}
/* Tells the observers of a step. */
void observe_launch(const LaunchRecord *record);
/* Tells them of what began at `begin_ns` (0: nothing) and ends now. */
void observe_span(const char *what, const char *name, int64_t begin_ns);

#endif
