/* The worker of the tests of the shared cache folder: a process that compiles many functions, each
 * unlike the others, and compares every result with eager's. */
#ifndef TESTS_CACHE_WORKER_H
#define TESTS_CACHE_WORKER_H

#include "child.h"

#include <stdint.h>

/* What a worker does: the functions 0 … count − 1, beginning at `first`, `step` apart (coprime to
 * the count). */
typedef struct WorkerTask {
    const char *folder; /* SINTER_CACHE_DIR; "off" = none */
    int megabytes;      /* SINTER_CACHE_MB */
    int count;          /* functions */
    int first;          /* the first of them */
    int step;           /* from one to the next */
} WorkerTask;

/* What it saw. */
typedef struct WorkerReport {
    uint64_t bits;     /* hash of all results, the same for any order */
    int64_t compiles;  /* kernels compiled */
    int64_t hits;      /* kernels found on disk */
    int64_t misses;    /* not found there, bad ones included */
    int64_t corrupt;   /* bad entries */
    int64_t fallbacks; /* graphs that were not compiled at all */
    int32_t wrong;     /* functions whose bits were not eager's, or that failed */
    int32_t leaked;    /* file descriptors left open */
} WorkerReport;

/* Starts a worker; fails the test when that is not possible. */
Child worker_start(const WorkerTask *task);
/* Waits for one that must come to its end with nothing wrong and nothing leaked. */
WorkerReport worker_finish(Child *child);
/* The same for one that may have been killed: false then. */
bool worker_ended(Child *child, WorkerReport *report);
/* Start and finish. */
WorkerReport worker_run(const WorkerTask *task);
/* If the arguments are a worker's, its exit status, else −1. */
int worker_main(int argc, char **argv);

#endif
