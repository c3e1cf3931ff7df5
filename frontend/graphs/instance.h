/* Compiled graphs, and their instances at the sizes and scalars of one trace.
 *
 * A static graph serves the sizes that it was recorded with, and is its own only instance. A
 * symbolic one serves all sizes that bind it: each binding makes an instance, whose executable
 * shares kernels and program with the others.
 *
 * From a call to machine code: guard key → Entry → GraphInstance → CompiledGraph (→ SymbolicGraph)
 * → Executable → Program → kernels. Each is bound to less than the one before: to one key, to sizes
 * and scalars, to a structure, to nothing but a text (docs/architecture.md). */
#ifndef SN_FRONTEND_GRAPHS_INSTANCE_H
#define SN_FRONTEND_GRAPHS_INSTANCE_H

#include "base/refs.h"
#include "frontend/build.h"
#include "ir/graph/symbolic.h"

#include <stdatomic.h>

typedef struct CompiledGraph CompiledGraph;

/* A compiled graph at the sizes and scalars of a trace. Immutable. */
typedef struct GraphInstance {
    Refs refs;              /* owners; of a static graph's instance those of the graph count */
    CompiledGraph *graph;   /* a reference is held, but by the graph's own instance */
    Executable *executable; /* a reference is held, likewise; NULL: run node by node */
    int64_t *symbols;       /* symbolic: values by symbol */
    uint64_t *scalars;      /* symbolic: bits by scalar */
} GraphInstance;

/* What was recorded, once or made symbolic from several records, and what runs it. Immutable but
 * for `used` once it is in the function's list. */
struct CompiledGraph {
    Refs refs;                     /* the list's and those of instances */
    uint64_t hash;                 /* of the recorded graph */
    uint64_t structure;            /* the same without its words */
    Graph own;                     /* static: as recorded */
    GraphInstance static_instance; /* static: of that */
    SymbolicGraph *symbolic;       /* for all sizes that bind it; NULL: static */
    Executable *executable;        /* NULL: run node by node */
    char *failure;                 /* why, or NULL */
    char *labels;          /* of its inputs, a line each, for explanations; NULL: none are known */
    BuildTimes times;      /* of `executable` */
    _Atomic uint64_t used; /* the list's clock when it was used last */
};

/* With one reference, the caller's; NULL when out of memory. */
CompiledGraph *compiled_graph_new(uint64_t hash, uint64_t structure);
CompiledGraph *compiled_graph_retain(CompiledGraph *graph);
void compiled_graph_release(CompiledGraph *graph);
/* As recorded; input layouts included. */
static inline const Graph *compiled_graph_recorded(const CompiledGraph *graph) {
    return graph->symbolic ? &graph->symbolic->recorded : &graph->own;
}

/* ---- bindings of a symbolic graph ------------------------------------------------------------ */

/* Binds the recorded graph, which is alike, to `symbolic`. On BIND_OK the caller closes the
 * binding; else `failing` (may be NULL) receives the guard that is not met, or NULL. Out of memory
 * is BIND_WORDS. */
BindResult binding_open(const SymbolicGraph *symbolic, const Graph *recorded,
                        SymbolicBinding *binding, const DimGuard **failing);
/* Also one that is zero. */
void binding_close(SymbolicBinding *binding);

/* ---- instances ------------------------------------------------------------------------------- */

/* Has what an instance runs timed, if pages are to be written (SINTER_EXPLAIN). */
void instance_measure(Executable *executable);
/* The instance of a static graph, whose reference it takes over. */
GraphInstance *instance_static(CompiledGraph *graph);
/* An instance of a symbolic graph. Takes over the executable and, on success, the binding's symbols
 * and scalars; NULL when out of memory. */
GraphInstance *instance_new(CompiledGraph *graph, Executable *executable, SymbolicBinding *binding);
GraphInstance *instance_retain(GraphInstance *instance);
void instance_release(GraphInstance *instance);
/* Is it of this graph, at these sizes and scalars? */
bool instance_is(const GraphInstance *instance, const CompiledGraph *graph,
                 const SymbolicBinding *binding);
/* Is the recorded graph this one, sizes and scalars included? */
bool instance_matches(const GraphInstance *instance, const Graph *recorded);
/* The graph that was recorded, at the instance's sizes, into an uninitialised one, which the caller
 * frees in any case; false when out of memory. */
bool instance_recorded(const GraphInstance *instance, Graph *graph);
/* Values of all expressions of a symbolic graph, for dim_value; the caller frees them. NULL where
 * it is static, or memory is out. */
int64_t *instance_values(const GraphInstance *instance);

#endif
