/* Shared by the files of the decompose pass: a small vocabulary for emitting replacement nodes.
 * A failed emit gives NODE_NONE and every later one too, so a rule checks nothing in between. No call
 * has two arguments that emit: C leaves open which comes first, and nodes are numbered as they come. */
#ifndef SN_PASSES_REWRITE_DECOMPOSE_H
#define SN_PASSES_REWRITE_DECOMPOSE_H

#include "ir/op/dtype.h"
#include "passes/pass.h"

typedef struct Rewrite {
    const Graph *from; /* the graph being replaced */
    NodeId id;         /* the node being replaced */
    const Node *node;  /* the same */
    Graph *to;         /* the new graph */
    const NodeId *map; /* old ids → new ids */
    Site site;         /* source line of the node */
    bool fast;         /* numerics mode */
    sn_error *error;   /* first error */
} Rewrite;

typedef NodeId RewriteRule(Rewrite *r);

/* Input `i` of the node, in the new graph; NODE_NONE when absent. */
NodeId rw_input(const Rewrite *r, int32_t i);
/* Type of a new node. */
TensorType rw_type(const Rewrite *r, NodeId x);
/* Any op; attrs may be NULL. */
NodeId rw_emit(Rewrite *r, OpCode op, const NodeId *inputs, int32_t n, const AttrList *attrs);
NodeId rw_op1(Rewrite *r, OpCode op, NodeId x);
NodeId rw_op2(Rewrite *r, OpCode op, NodeId x, NodeId y);
NodeId rw_op3(Rewrite *r, OpCode op, NodeId x, NodeId y, NodeId z);
NodeId rw_cast(Rewrite *r, sn_dtype dtype, NodeId x);
/* Cast to the type that arithmetic on x's dtype is done in. */
NodeId rw_widen(Rewrite *r, NodeId x);
/* A scalar that belongs to the op's definition; one that the program passed (a kernel argument). */
NodeId rw_literal(Rewrite *r, sn_dtype dtype, double value);
NodeId rw_hoisted(Rewrite *r, sn_dtype dtype, double value);
/* A number attribute of the node, as such a scalar: of this recording, or (d~) of each call. */
NodeId rw_number(Rewrite *r, sn_dtype dtype, AttrName name);
NodeId rw_reshape(Rewrite *r, NodeId x, const Dim *dims, int32_t rank);
NodeId rw_expand(Rewrite *r, NodeId x, const Dim *dims, int32_t rank);
NodeId rw_permute(Rewrite *r, NodeId x, const int64_t *axes, int32_t rank);
/* Exchange of two axes. */
NodeId rw_transpose(Rewrite *r, NodeId x, int32_t axis0, int32_t axis1);
/* Index i64 along `axis` of `dims`. */
NodeId rw_iota(Rewrite *r, const Dim *dims, int32_t rank, int32_t axis);
/* Reduction over the axes with bits set in `mask`, kept as size 1: one node for each run of
 * adjacent axes, innermost first. */
NodeId rw_reduce(Rewrite *r, OpCode op, NodeId x, uint32_t mask);
/* Elements that are reduced into one. */
Dim rw_reduced_count(const Rewrite *r, NodeId x, uint32_t mask);
/* A size as a scalar of this dtype. */
NodeId rw_size(Rewrite *r, sn_dtype dtype, Dim size);
/* Elements of a node in the new graph. */
Dim rw_count(const Rewrite *r, NodeId x);

/* Rules by op; NULL where a node is kept or a generic rule applies. */
extern RewriteRule *const rewrite_rules[OP_COUNT];

/* ---- rules in decompose_*.c ------------------------------------------------------------------ */
RewriteRule rule_sum, rule_prod, rule_mean, rule_extremum, rule_any, rule_all, rule_arg, rule_var;
RewriteRule rule_logsumexp, rule_cumsum, rule_softmax, rule_log_softmax, rule_layer_norm;
RewriteRule rule_rms_norm, rule_cross_entropy, rule_attention;
RewriteRule rule_view, rule_cat, rule_stack;
RewriteRule rule_pad, rule_gather, rule_index_select, rule_embedding, rule_tri, rule_arange;
RewriteRule rule_full, rule_scatter, rule_matmul, rule_linear, rule_random, rule_dropout;
RewriteRule rule_one_hot;
RewriteRule rule_pointwise, rule_cast, rule_where, rule_leaky_relu, rule_elu, rule_hardtanh;
RewriteRule rule_softplus, rule_addcmul;

#endif
