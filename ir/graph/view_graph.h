/* Views and updates in graphs: coordinates of nodes, writes through views, chains of views as strides
 * of the memory at their end. */
#ifndef SN_IR_GRAPH_VIEW_GRAPH_H
#define SN_IR_GRAPH_VIEW_GRAPH_H

#include "ir/graph/build.h"
#include "ir/infer/update.h"

/* Coordinates in the input of a view node from those in its result. */
void view_map_of(const Graph *graph, NodeId view, ViewMap *map);

/* The content of `base` after `value` was written over the part of it that the map names (see view_compose);
 * emits nodes. */
NodeId view_put(GraphBuilder *b, const ViewMap *map, NodeId base, NodeId value);
/* The same through one view that is no slice: the inverse of a view, so to say. */
NodeId view_write(GraphBuilder *b, AttrView view, NodeId base, NodeId value);

/* ---- updates, indices from data -------------------------------------------------------------- */

/* The operand in whose shape the node is computed: its own for ops that are no updates. */
NodeId update_space(const Graph *graph, NodeId id);
/* Of an op that can fail on data, the operand whose values are indices; OP_MOST_PARAMS: there is none. */
int32_t op_index_operand(OpCode op);
/* Of an op that fails on data, as decompose leaves it: the operand whose values are indices, and the size
 * that they must be below. */
NodeId node_checked_index(const Graph *graph, NodeId id, Dim *size);
/* Of an update without an index: coordinates that are written, from those in the value. */
void update_map(const Graph *graph, NodeId id, ViewMap *map);

/* ---- chains of views (ir/graph/view_chain.c) ------------------------------------------------- */

/* The node under a chain of views. */
NodeId view_base(const Graph *graph, NodeId node);
/* Can the node fail on data? Not where the numbers that its index, seen through views, was cast from are all
 * within. */
bool node_can_fail(const Graph *graph, NodeId id);
/* Strides of a node that is a chain of views of `base`, whose own strides are given. False when
 * no strides describe it. */
bool view_strides(const Graph *graph, NodeId node, NodeId base, const Dim *base_strides,
                  Dim *strides, Dim *offset);
/* Strides of a source of memory: an input's own, else dense. */
void base_strides(const Graph *graph, NodeId base, Dim *strides);
void row_major_strides(DimTable *table, const Dim *dims, int32_t rank, Dim *strides);
/* Strides of a value in memory that belonged to `owner` first: those of an input of the same rank,
 * which it then overwrote element by element, else dense. */
void memory_strides(const Graph *graph, NodeId owner, NodeId node, Dim *strides);

#endif
