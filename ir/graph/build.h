/* A vocabulary for writing nodes in code, over graph_emit: for passes, for the tracer, for whoever makes
 * one graph of another. A helper is named after what it emits and lays out the op's attributes.
 *
 * An emit that fails gives NODE_NONE, and so does every later one; the first error stays. So nothing is
 * checked in between, only at the end. No call has two arguments that emit: C leaves open which comes
 * first, and nodes are numbered as they come. */
#ifndef SN_IR_GRAPH_BUILD_H
#define SN_IR_GRAPH_BUILD_H

#include "ir/graph/graph.h"

typedef struct GraphBuilder {
    Graph *graph;    /* where nodes go */
    Site site;       /* source line of what is emitted next */
    sn_error *error; /* the first error; may be NULL */
    bool failed;     /* an emit failed, and so will all that follow */
} GraphBuilder;

static inline GraphBuilder gb_at(Graph *graph, Site site, sn_error *error) {
    return (GraphBuilder){.graph = graph, .site = site, .error = error};
}

/* Gives up with this error, if it is the first. */
NodeId gb_fail(GraphBuilder *b, sn_status status, const char *format, ...) SN_PRINTF(3, 4);

/* ---- asking ---------------------------------------------------------------------------------- */

/* Of NODE_NONE, after a failure: f32 with all axes that a rule may ask for, each of size 1. */
TensorType gb_type(const GraphBuilder *b, NodeId x);
sn_dtype gb_dtype(const GraphBuilder *b, NodeId x);
/* Elements; those that are reduced into one; none? */
Dim gb_count(const GraphBuilder *b, NodeId x);
Dim gb_reduced_count(const GraphBuilder *b, NodeId x, uint32_t mask);
bool gb_is_empty(const GraphBuilder *b, NodeId x);

/* ---- any op ---------------------------------------------------------------------------------- */

/* attrs may be NULL. */
NodeId gb_emit(GraphBuilder *b, OpCode op, const NodeId *inputs, int32_t n, const AttrList *attrs);
/* The op that the attributes are of. */
NodeId gb_emit_like(GraphBuilder *b, AttrView attrs, const NodeId *inputs, int32_t n);
NodeId gb_op1(GraphBuilder *b, OpCode op, NodeId x);
NodeId gb_op2(GraphBuilder *b, OpCode op, NodeId x, NodeId y);
NodeId gb_op3(GraphBuilder *b, OpCode op, NodeId x, NodeId y, NodeId z);
/* An op of one operand whose one attribute is an axis. */
NodeId gb_along(GraphBuilder *b, OpCode op, NodeId x, int64_t axis);
/* A node of another graph; `map` has the nodes of this one that its operands are. */
NodeId gb_copy(GraphBuilder *b, const Graph *from, NodeId id, const NodeId *map);
/* The same of an op, neither input nor constant, with other attributes. */
NodeId gb_copy_op(GraphBuilder *b, const Graph *from, NodeId id, const NodeId *map,
                  const AttrList *attrs);

/* ---- scalars --------------------------------------------------------------------------------- */

/* One that belongs to an op's definition; one that the program passed (a kernel argument). */
NodeId gb_literal(GraphBuilder *b, sn_dtype dtype, double value);
NodeId gb_hoisted(GraphBuilder *b, sn_dtype dtype, double value);
/* A number that each call brings, as scalar `number`; a size. */
NodeId gb_real(GraphBuilder *b, sn_dtype dtype, uint32_t number);
NodeId gb_size(GraphBuilder *b, sn_dtype dtype, Dim size);

/* ---- dtypes ---------------------------------------------------------------------------------- */

/* x itself where it has the dtype, or is an absent operand. */
NodeId gb_cast(GraphBuilder *b, sn_dtype dtype, NodeId x);
/* The same to the type that arithmetic on x's dtype is done in. */
NodeId gb_widen(GraphBuilder *b, NodeId x);
/* As an operand of arithmetic in `dtype`: of its precision, in the type that it is done in. */
NodeId gb_meet(GraphBuilder *b, sn_dtype dtype, NodeId x);

/* ---- tensors from nothing -------------------------------------------------------------------- */

/* Index i64 along `axis` of `dims`. */
NodeId gb_iota(GraphBuilder *b, const Dim *dims, int32_t rank, int32_t axis);
/* Memory for updates to write; a literal 0 everywhere. */
NodeId gb_empty(GraphBuilder *b, const TensorType *type);
NodeId gb_zeros(GraphBuilder *b, const TensorType *type);
/* Random numbers, from `offset` numbers behind the generator's state on. */
NodeId gb_draw(GraphBuilder *b, OpCode op, const TensorType *type, NodeId state, int64_t offset);

/* ---- views ----------------------------------------------------------------------------------- */

/* x itself where it has these dims. */
NodeId gb_reshape(GraphBuilder *b, NodeId x, const Dim *dims, int32_t rank);
NodeId gb_expand(GraphBuilder *b, NodeId x, const Dim *dims, int32_t rank);
/* A reshape in any case: what is recorded does not depend on sizes that happen to agree. */
NodeId gb_regroup(GraphBuilder *b, NodeId x, const Dim *dims, int32_t rank);
NodeId gb_permute(GraphBuilder *b, NodeId x, const int64_t *axes, int32_t rank);
/* A permute that exchanges two axes. */
NodeId gb_exchange(GraphBuilder *b, NodeId x, int32_t axis0, int32_t axis1);
/* x[start + i * step], i < dim, along every axis. */
NodeId gb_slice(GraphBuilder *b, NodeId x, const Dim *starts, const Dim *steps, const Dim *dims);

/* Windows of an axis: see the op. */
NodeId gb_windows(GraphBuilder *b, NodeId x, int32_t axis, Dim length, int64_t step,
                  int64_t dilation);

/* ---- moving elements ------------------------------------------------------------------------- */

/* `count` pads: before and after each axis, the last axis first. */
NodeId gb_pad(GraphBuilder *b, NodeId x, const Dim *pads, int32_t count, double value);
/* whole, with `part` in the place of a slice of it. */
NodeId gb_put_slice(GraphBuilder *b, NodeId whole, NodeId part, const Dim *starts,
                    const Dim *steps);
/* gather or index_select. */
NodeId gb_look_up(GraphBuilder *b, OpCode op, NodeId x, int64_t axis, NodeId index);
NodeId gb_one_hot(GraphBuilder *b, NodeId index, Dim classes);
/* scatter_add or index_copy. */
NodeId gb_scatter(GraphBuilder *b, OpCode op, NodeId x, int64_t axis, NodeId index, NodeId source);

/* ---- reductions, contractions ---------------------------------------------------------------- */

/* One node over adjacent axes, kept as size 1; max and min have no order. */
NodeId gb_reduce_run(GraphBuilder *b, OpCode op, NodeId x, int32_t first, int32_t last,
                     ReduceOrder order);
/* Over the axes with bits set in `mask`, kept as size 1: a node for each run of adjacent axes, innermost
 * first. */
NodeId gb_reduce(GraphBuilder *b, OpCode op, NodeId x, uint32_t mask);
/* Sum of x · y along axis k of both, which stays with size 1. */
NodeId gb_contract(GraphBuilder *b, NodeId x, NodeId y, int32_t k);

#endif
