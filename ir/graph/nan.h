/* Which NaNs can be told apart. Ops that compute give one NaN, the canonical one, wherever its bits can be
 * told: in results, and in the operands of ops that see a sign. Ops that only move elements leave bits
 * as they are; a product, which is a library's, makes its NaNs of those it is given. docs/numerics.md has
 * the rule. */
#ifndef SN_IR_GRAPH_NAN_H
#define SN_IR_GRAPH_NAN_H

#include "ir/graph/graph.h"

/* Does the op compute floats, so that its NaNs are canonical by definition? */
bool node_computes_float(const Graph *graph, NodeId id);
/* Is every NaN of the node the canonical one? True where it computes, and of what has no NaN. */
bool node_nan_is_canonical(const Graph *graph, NodeId id);
/* Sets told[id] for each node whose NaNs can be told apart; false: only by whether they are NaNs. */
void graph_nans_told(const Graph *graph, bool *told);

#endif
