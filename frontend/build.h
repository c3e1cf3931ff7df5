/* The one bridge from a graph to what runs it: graph → passes → program → executable. Eager ops,
 * compiled functions and graphs from text all cross here. */
#ifndef SN_FRONTEND_BUILD_H
#define SN_FRONTEND_BUILD_H

#include "runtime/executable.h"

/* How a graph is built. */
typedef struct BuildOptions {
    bool fast;    /* SN_NUMERICS_FAST */
    bool explain; /* keep notes of what did not fuse, and why */
} BuildOptions;

/* Nanoseconds that building took. */
typedef struct BuildTimes {
    int64_t plan_ns; /* in passes */
    int64_t load_ns; /* loading or compiling kernels */
} BuildTimes;

/* `out` receives a reference. `times` may be NULL; it is set after a failure too. */
sn_status graph_build(const Graph *graph, const BuildOptions *options, Executable **out,
                      BuildTimes *times, sn_error *error);

#endif
