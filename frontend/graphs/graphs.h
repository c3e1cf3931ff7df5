/* The compiled graphs of a function: where one that serves a recorded graph is found, and the least
 * recently used one goes when there are too many. */
#ifndef SN_FRONTEND_GRAPHS_GRAPHS_H
#define SN_FRONTEND_GRAPHS_GRAPHS_H

#include "base/refs.h"
#include "base/thread/lock.h"
#include "frontend/graphs/instance.h"

/* A dim of a tensor argument. */
typedef struct VaryingDim {
    int32_t argument; /* number of the tensor */
    int32_t axis;     /* of it */
} VaryingDim;

/* The graphs of a function at one time. Immutable: they are compared and bound without a lock,
 * which other functions have too. */
typedef struct GraphList {
    Refs refs;               /* the cache's, and of who walks it */
    uint32_t count;          /* of graphs */
    CompiledGraph *graphs[]; /* oldest first; a reference to each */
} GraphList;

typedef struct GraphCache {
    Lock *lock;      /* of what follows, but for the clock */
    GraphList *list; /* a reference; NULL while there are none. In its turn a thread replaces it */
    int64_t compilations;    /* graphs added so far, dropped ones included */
    VEC(VaryingDim) varying; /* dims of arguments that were seen to vary */
    _Atomic uint64_t clock;  /* counts uses; the order of the LRU */
} GraphCache;

/* What a recorded graph is looked up by, and what was found on the way to one that serves it. */
typedef struct Lookup {
    const Graph *recorded;       /* the graph */
    uint64_t hash;               /* of it */
    uint64_t structure;          /* the same without words; see lookup_structure */
    bool has_structure;          /* it was computed */
    CompiledGraph *symbolic;     /* symbolic, but other words do not fit it; a reference */
    CompiledGraph *static_graph; /* static, which no symbolic one covers; a reference */
    bool guarded;                /* a symbolic one fits but for a guard */
    char reason[160];            /* why the one looked at last does not serve */
} Lookup;

void lookup_open(Lookup *lookup, const Graph *recorded);
/* Forgets what was found; the lookup may be used again. */
void lookup_close(Lookup *lookup);
/* The hash of the graph without its words. Most lookups need none: they end at an equal graph. */
uint64_t lookup_structure(Lookup *lookup);

/* The graph that was recorded equal, or a symbolic one that binds this one, the latest made first;
 * then the caller closes `binding`. A reference, or NULL. */
CompiledGraph *graphs_find(GraphCache *cache, Lookup *lookup, SymbolicBinding *binding);

/* What is known at a miss. */
typedef struct GraphCounts {
    uint32_t count;       /* graphs in the list */
    int64_t compilations; /* made so far */
} GraphCounts;
/* The latest graph that a new one can be compared with to make a symbolic one of both: into the
 * lookup, with the reason for which what there is does not serve. */
GraphCounts graphs_find_partner(GraphCache *cache, Lookup *lookup);

/* Adds a reference to the list, from which the graph that was not used for longest goes where it
 * has `most`. In the function's turn (turns.h): nobody else adds. False with the error set when out
 * of memory. */
bool graphs_add(GraphCache *cache, CompiledGraph *graph, uint32_t most, sn_error *error);
/* The list as it is now, for graph_list_release; NULL while there are no graphs. */
GraphList *graphs_list(GraphCache *cache);
void graph_list_release(GraphList *list);
uint32_t graphs_count(GraphCache *cache);
/* Lets go of all graphs; nobody else uses the cache any more. */
void graphs_close(GraphCache *cache);

#endif
