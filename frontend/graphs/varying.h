/* Sizes that vary: the dims that the program declared, and those of arguments that were seen to.
 * Both are what a symbolic graph is made for at once, before two records show it. */
#ifndef SN_FRONTEND_GRAPHS_VARYING_H
#define SN_FRONTEND_GRAPHS_VARYING_H

#include "frontend/graphs/graphs.h"
#include "frontend/trace/trace.h"

#include <sinter/compile.h>

enum { VARYING_MOST = SN_MAX_RANK }; /* dims learned that a graph is made for; more are too many */

/* How often `n_dims` declared dims are inputs of the graph at most. */
size_t varying_most_declared(int32_t n_dims, const Trace *trace);
/* What `shapes` and the declared dims say of the graph: those that are its inputs go to `out`, which has
 * room for them. */
SymbolicOptions varying_declared(sn_shapes shapes, const sn_dim *dims, int32_t n_dims,
                                 const Trace *trace, DeclaredDim *out);
/* Dims of arguments vary that differ from those of the latest graph with such inputs, of whatever
 * structure. */
void varying_learn(GraphCache *cache, const Trace *trace);
/* The dims that were seen to vary, and are more than 1 now, in `dims`, which has room for
 * VARYING_MOST. */
SymbolicOptions varying_learned(GraphCache *cache, const Trace *trace, DeclaredDim *dims);

#endif
