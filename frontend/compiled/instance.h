/* Compiled graphs, and their instances at the sizes and scalars of one trace. */
#ifndef SN_FRONTEND_COMPILED_INSTANCE_H
#define SN_FRONTEND_COMPILED_INSTANCE_H

#include "frontend/build.h"
#include "ir/generalise.h"

#include <stdatomic.h>

typedef struct CompiledGraph CompiledGraph;

/* A compiled graph at the sizes and scalars of a trace. Immutable. */
typedef struct GraphInstance {
    _Atomic int64_t refs;   /* owners; of a graph's own instance those of the graph count */
    CompiledGraph *graph;   /* a reference is held */
    Executable *executable; /* a reference is held; NULL: run node by node */
    int64_t *symbols;       /* general: by symbol */
    uint64_t *scalars;      /* general: by scalar */
} GraphInstance;

/* What was recorded, for one trace or generalised over several, and what runs it. Immutable but for
 * `used` once it is in the function's list. */
struct CompiledGraph {
    _Atomic int64_t refs;   /* the list's and those of instances */
    uint64_t hash;          /* of the recorded graph */
    uint64_t structure;     /* the same without its words */
    Graph own;              /* recorded, where it is not general */
    GraphInstance fixed;    /* of that */
    GeneralGraph *general;  /* for all sizes that bind it; NULL: for those of `own` */
    Executable *executable; /* NULL: run node by node */
    char *failure;          /* why, or NULL */
    BuildTimes times;       /* of `executable` */
    _Atomic uint64_t used;  /* the function's clock when it was used last */
};

/* As recorded; input layouts included. */
static inline const Graph *compiled_recorded(const CompiledGraph *graph) {
    return graph->general ? &graph->general->recorded : &graph->own;
}

GraphInstance *instance_retain(GraphInstance *instance);
void instance_release(GraphInstance *instance);
/* Is the recorded graph this one, sizes and scalars included? */
bool instance_matches(const GraphInstance *instance, const Graph *recorded);
/* The graph that was recorded, at the instance's sizes, into an initialised empty one; false when out of
 * memory. */
bool instance_recorded(const GraphInstance *instance, Graph *graph);
/* Values of all expressions of a general graph, for dim_value; the caller frees them. NULL where it is
 * not general, or memory is out. */
int64_t *instance_values(const GraphInstance *instance);

#endif
