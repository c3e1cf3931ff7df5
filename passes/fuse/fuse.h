/* Shared by fusion, planning and lowering: walking from a node to the values it reads through
 * views and inlined nodes, and the geometry of a group. */
#ifndef SN_PASSES_FUSE_FUSE_H
#define SN_PASSES_FUSE_FUSE_H

#include "ir/graph/index.h"
#include "ir/graph/view_graph.h"
#include "passes/pass.h"

/* Symbols of a group's flat axes, in this order in its space. */
enum { AXIS_A, AXIS_K, AXIS_B };

/* FULL: one element for each point of [A, K, B]; ROW: for each point of [A, B]. */
typedef enum Level { LEVEL_FULL, LEVEL_ROW, LEVEL_NONE } Level;

/* Level of a value with this many elements in the group. */
Level group_level(DimTable *table, const Group *group, Dim count);
/* True when the group reduces or scans. */
bool group_has_k(const Group *group);

/* A value that a node reads: reached through views and inlined nodes. */
typedef struct Read {
    NodeId node;     /* a member, or an input */
    IndexExpr index; /* its row-major position */
} Read;
typedef VEC(Read) ReadList;

/* Appends what `consumer` (a member) reads at the point of the group's flat space where it is
 * computed. Operands that are read at a place of their own (the source of a gather, the base of an
 * update) come with an overflowed index. False when out of memory. */
bool reads_of(const Graph *graph, const Fusion *fusion, const Group *group, NodeId consumer,
              IndexSpace *space, ReadList *reads);
/* First loop over K of the group's kernel in which a value can be computed: 0 for what is not its own. */
int32_t group_stage(const Graph *graph, const Fusion *fusion, int32_t group, NodeId id);
/* The row-major position of a value of this level in the group's flat space. */
IndexExpr level_position(DimTable *table, const Group *group, Level level);
/* Where an update writes, as a row-major position in its base, or a node that is none in itself; overflowed
 * when that is not known. `space` is the group's flat one. */
IndexExpr written_position(const Graph *graph, const Group *group, NodeId id, IndexSpace *space);
/* A space that holds the three flat axes. */
bool flat_space(const Group *group, IndexSpace *space);

/* What a clone copies with its dims in another order, but for the last longer than 1; `from`, of SN_MAX_RANK,
 * becomes by dim of the clone that of the source, −1 where it is of size 1. False where the node is none
 * such. */
bool turned_source(const Graph *graph, NodeId clone, NodeId *source, int32_t *from);

/* Why two groups were not fused: (identifier, text). */
#define FUSE_REFUSALS(R)                                                                           \
    R(NONE, "fused")                                                                               \
    R(INDEX, "a value is read at other indices than it is computed at")                            \
    R(SPACE, "the iteration spaces differ")                                                        \
    R(ORDER, "their reductions run in different orders")                                           \
    R(CYCLE, "one depends on the other through a third kernel")                                    \
    R(PRODUCT, "a product's loop is fast by itself, beside no other reduction")                    \
    R(SIZE, "the kernel would become too large")                                                   \
    R(CLOSED, "ordered writes stand alone")                                                        \
    R(OVERWRITES, "one reads elsewhere in memory that the other overwrites")                       \
    R(FAILS, "one is left out where an op before it fails, the other is needed there")
typedef enum Refusal {
#define R(id, text) REFUSE_##id,
    FUSE_REFUSALS(R)
#undef R
} Refusal;

/* One group reads what another computes. */
typedef struct GroupEdge {
    uint32_t from; /* the group that computes */
    uint32_t to;   /* the group that reads */
} GroupEdge;
typedef VEC(GroupEdge) GroupEdgeList;

/* Fills the roles of context->fusion. */
sn_status fuse_roles(PassContext *context);
/* Fills the write order of context->fusion; values that would be computed too late lie in memory. */
sn_status fuse_writes(PassContext *context);
/* Fills the order of the live groups of context->fusion: every group after those it reads from. */
sn_status fuse_order(PassContext *context, const GroupEdgeList *edges);

/* What computing an element of the op once more costs, in steps of arithmetic: 1, 12, 24 or 60. Counted
 * when the library is built, in the op's scalar definition, by tools/gen_costs.c. */
extern const uint8_t op_costs[OP_COUNT];
static inline int32_t op_cost(OpCode op) {
    return op_costs[op];
}

#endif
