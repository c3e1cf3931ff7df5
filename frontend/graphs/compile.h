/* Compiling what a function recorded: for the sizes that were recorded, or for all that are like
 * them. */
#ifndef SN_FRONTEND_GRAPHS_COMPILE_H
#define SN_FRONTEND_GRAPHS_COMPILE_H

#include "frontend/graphs/graphs.h"

/* For whom a graph is compiled. */
typedef struct CompileRequest {
    const char *name; /* the function's */
    bool fast;        /* SN_NUMERICS_FAST */
    Lookup *lookup;   /* what was recorded, and what is known beside it */
} CompileRequest;

/* One graph for the sizes seen so far and those between and beyond; NULL where there can be
 * none. */
CompiledGraph *compile_symbolic(const CompileRequest *request, const SymbolicOptions *options);
/* The graph for its own sizes. One that cannot be compiled has no executable, says why in
 * `failure`, and is as good for the next time; `transient` where memory was out, and it is not.
 * NULL with the error set when out of memory altogether. */
CompiledGraph *compile_static(const CompileRequest *request, bool *transient, sn_error *error);
/* The graph as it is, to be run node by node for the reason `why`. NULL with the error set when out
 * of memory. */
CompiledGraph *compile_nothing(const CompileRequest *request, const char *why, sn_error *error);

#endif
