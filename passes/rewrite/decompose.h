/* Shared by the files of the decompose pass: the rules, by files. */
#ifndef SN_PASSES_REWRITE_DECOMPOSE_H
#define SN_PASSES_REWRITE_DECOMPOSE_H

#include "ir/infer/infer.h"
#include "ir/op/dtype.h"
#include "passes/rewrite/rewrite.h"

/* What becomes of an op. */
typedef struct DecomposeRow {
    RewriteRule *rule; /* NULL: the node is kept, or a rule of its class applies */
    bool leaves_op;    /* the rule may make the op itself, in the one form that is left of it */
} DecomposeRow;
extern const DecomposeRow decompose_rows[OP_COUNT];

/* decompose_pointwise.c */
RewriteRule rule_pointwise, rule_cast, rule_where, rule_leaky_relu, rule_elu, rule_hardtanh;
RewriteRule rule_softplus, rule_addcmul;

/* decompose_reduce.c */
RewriteRule rule_sum, rule_prod, rule_mean, rule_extremum, rule_any, rule_all, rule_arg, rule_var;
RewriteRule rule_logsumexp, rule_cumsum, rule_softmax, rule_log_softmax, rule_layer_norm;
RewriteRule rule_rms_norm, rule_cross_entropy, rule_attention, rule_group_norm;
RewriteRule rule_local_response_norm;
/* Numbers of channels, axis 1 of `rank`, as what meets the others. */
NodeId per_channel(GraphBuilder *b, NodeId x, sn_dtype dtype, int32_t rank);

/* decompose_shape.c */
RewriteRule rule_view, rule_cat, rule_stack, rule_pad, rule_gather, rule_index_select;
RewriteRule rule_embedding, rule_tri, rule_arange, rule_full, rule_one_hot, rule_scatter;
RewriteRule rule_random, rule_dropout;
/* x at an index of any integer dtype, as gather has it. */
NodeId decompose_gather(Rewrite *r, NodeId x, int64_t axis, NodeId index);

/* join.c: what is computed of a cat is computed of its parts. */
sn_status sink_joins(PassContext *context);

/* windows.c: convolutions, pools and batch norms. */
sn_status decompose_windows(PassContext *context);

/* decompose_matmul.c */
RewriteRule rule_matmul, rule_linear, rule_bilinear;

#endif
