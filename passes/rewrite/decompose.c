/* decompose: replaces composite ops by simpler ones and makes every conversion and rounding an
 * explicit cast, so that what follows sees a small set of ops on equal dtypes:
 *   pointwise ops on f32, f64, integers and bool (never on half types)
 *   reductions over one run of adjacent axes, kept as size 1
 *   views reshape, permute, expand, slice, diagonal
 *   pad, gather, index_select, one_hot, updates, gemm, rand, randn, cumsum. */
#include "passes/rewrite/decompose.h"

#include "ir/graph/view_graph.h"

RewriteRule *const decompose_rules[OP_COUNT] = {
    [OP_CAST] = rule_cast,
    [OP_WHERE] = rule_where,
    [OP_LEAKY_RELU] = rule_leaky_relu,
    [OP_ELU] = rule_elu,
    [OP_HARDTANH] = rule_hardtanh,
    [OP_SOFTPLUS] = rule_softplus,
    [OP_ADDCMUL] = rule_addcmul,
    [OP_SUM] = rule_sum,
    [OP_PROD] = rule_prod,
    [OP_MEAN] = rule_mean,
    [OP_MAX] = rule_extremum,
    [OP_MIN] = rule_extremum,
    [OP_ARGMAX] = rule_arg,
    [OP_ARGMIN] = rule_arg,
    [OP_ANY] = rule_any,
    [OP_ALL] = rule_all,
    [OP_VAR] = rule_var,
    [OP_LOGSUMEXP] = rule_logsumexp,
    [OP_CUMSUM] = rule_cumsum,
    [OP_CAT] = rule_cat,
    [OP_STACK] = rule_stack,
    [OP_PAD] = rule_pad,
    [OP_GATHER] = rule_gather,
    [OP_INDEX_SELECT] = rule_index_select,
    [OP_EMBEDDING] = rule_embedding,
    [OP_TRIL] = rule_tri,
    [OP_TRIU] = rule_tri,
    [OP_ARANGE] = rule_arange,
    [OP_FULL] = rule_full,
    [OP_ONE_HOT] = rule_one_hot,
    [OP_SCATTER_ADD] = rule_scatter,
    [OP_INDEX_COPY] = rule_scatter,
    [OP_MATMUL] = rule_matmul,
    [OP_LINEAR] = rule_linear,
    [OP_RAND] = rule_random,
    [OP_RANDN] = rule_random,
    [OP_DROPOUT] = rule_dropout,
    [OP_SOFTMAX] = rule_softmax,
    [OP_LOG_SOFTMAX] = rule_log_softmax,
    [OP_LAYER_NORM] = rule_layer_norm,
    [OP_RMS_NORM] = rule_rms_norm,
    [OP_CROSS_ENTROPY] = rule_cross_entropy,
    [OP_ATTENTION] = rule_attention,
};

static NodeId decompose_node(Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    RewriteRule *rule = decompose_rules[op];
    if (!rule && op_is(op, CLASS_POINTWISE)) rule = rule_pointwise;
    if (!rule && op_is(op, CLASS_VIEW) && !view_is_basic(op)) rule = rule_view;
    return rule ? rule(r) : rewrite_keep(r);
}

/* True while a rule has emitted an op that is itself to be replaced (attention emits a softmax). */
static bool holds_composites(const Graph *graph) {
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        OpCode op = (OpCode)graph_node(graph, i)->op;
        if (op == OP_MATMUL || (op_is(op, CLASS_COMPOSITE) && op != OP_ONE_HOT)) return true;
    }
    return false;
}

sn_status pass_decompose(PassContext *context) {
    static const RewritePass decompose = {
        .name = "decompose", .rule = decompose_node, .result = rewrite_own_memory};
    sn_status status = rewrite_graph(context, &decompose);
    while (status == SN_OK && holds_composites(&context->graph))
        status = rewrite_graph(context, &decompose);
    return status;
}
