/* Running what a trace recorded. */
#ifndef SN_FRONTEND_TRACE_FLUSH_H
#define SN_FRONTEND_TRACE_FLUSH_H

#include "frontend/trace/trace.h"

/* Which output of the executable holds a root. */
typedef struct RootOutput {
    uint32_t root;  /* in the trace */
    int32_t output; /* number of the graph's output */
} RootOutput;
typedef VEC(RootOutput) RootOutputs;

/* Declares the trace's results in its graph: the roots of live proxies, then written inputs. */
bool segment_declare(Trace *trace, RootOutputs *roots, sn_error *error);
/* Runs the executable, or the graph node by node where that is NULL, on the trace's inputs, commits writes and generators, and turns live proxies
 * real. */
sn_status segment_run(Trace *trace, const Executable *executable, const RootOutputs *roots,
                      sn_error *error);
/* An op was refused while recording, and the thread's error says so. If one before it fails on its
 * data, eager would have stopped there: what was recorded runs node by node, writing nothing, and the
 * error that comes of it takes the place of the other. */
void segment_check_data(Trace *trace);

#endif
