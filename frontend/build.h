/* The one bridge from a graph to what runs it: graph → passes → program → executable. Eager ops,
 * compiled functions and graphs from text all cross here, and who looks at programs alone goes half of
 * it. */
#ifndef SN_FRONTEND_BUILD_H
#define SN_FRONTEND_BUILD_H

#include "passes/pass.h"
#include "runtime/executable.h"

/* How a graph is built. */
typedef struct BuildOptions {
    bool fast;              /* SN_NUMERICS_FAST */
    bool explain;           /* keep notes of what did not fuse, and why */
    PassObserver *observer; /* sees what each pass leaves, or NULL */
    void *user;             /* handed to it */
} BuildOptions;

/* Nanoseconds that building took. */
typedef struct BuildTimes {
    int64_t plan_ns; /* in passes */
    int64_t load_ns; /* loading or compiling kernels */
} BuildTimes;

/* The first half: what the passes make of the graph for this machine and its threads, into an initialised,
 * empty program. */
sn_status graph_plan(const Graph *graph, const BuildOptions *options, Program *program,
                     sn_error *error);
/* Both. `out` receives a reference. `times` may be NULL; it is set after a failure too. */
sn_status graph_build(const Graph *graph, const BuildOptions *options, Executable **out,
                      BuildTimes *times, sn_error *error);

#endif
