/* decompose: replaces composite ops by simpler ones and makes every conversion and rounding an
 * explicit cast, so that what follows sees a small set of ops on equal dtypes:
 *   pointwise ops on f32, f64, integers and bool (never on half types)
 *   reductions over one run of adjacent axes, kept as size 1
 *   views reshape, permute, expand, slice, diagonal
 *   pad, gather, index_select, one_hot, updates, contract, rand, randn, cumsum. */
#include "passes/rewrite/decompose.h"

#include "ir/graph/view_graph.h"

const DecomposeRow decompose_rows[OP_COUNT] = {
    [OP_CAST] = {.rule = rule_cast, .leaves_op = true},
    [OP_WHERE] = {.rule = rule_where, .leaves_op = true},
    [OP_LEAKY_RELU] = {.rule = rule_leaky_relu},
    [OP_ELU] = {.rule = rule_elu},
    [OP_HARDTANH] = {.rule = rule_hardtanh},
    [OP_SOFTPLUS] = {.rule = rule_softplus},
    [OP_ADDCMUL] = {.rule = rule_addcmul},
    [OP_SUM] = {.rule = rule_sum, .leaves_op = true},
    [OP_PROD] = {.rule = rule_prod, .leaves_op = true},
    [OP_MEAN] = {.rule = rule_mean},
    [OP_MAX] = {.rule = rule_extremum, .leaves_op = true},
    [OP_MIN] = {.rule = rule_extremum, .leaves_op = true},
    [OP_ARGMAX] = {.rule = rule_arg, .leaves_op = true},
    [OP_ARGMIN] = {.rule = rule_arg, .leaves_op = true},
    [OP_ANY] = {.rule = rule_any},
    [OP_ALL] = {.rule = rule_all},
    [OP_VAR] = {.rule = rule_var},
    [OP_LOGSUMEXP] = {.rule = rule_logsumexp},
    [OP_CUMSUM] = {.rule = rule_cumsum, .leaves_op = true},
    [OP_CAT] = {.rule = rule_cat},
    [OP_STACK] = {.rule = rule_stack},
    [OP_PAD] = {.rule = rule_pad, .leaves_op = true},
    [OP_GATHER] = {.rule = rule_gather, .leaves_op = true},
    [OP_INDEX_SELECT] = {.rule = rule_index_select, .leaves_op = true},
    [OP_EMBEDDING] = {.rule = rule_embedding},
    [OP_TRIL] = {.rule = rule_tri},
    [OP_TRIU] = {.rule = rule_tri},
    [OP_ARANGE] = {.rule = rule_arange},
    [OP_FULL] = {.rule = rule_full},
    [OP_ONE_HOT] = {.rule = rule_one_hot, .leaves_op = true},
    [OP_SCATTER_ADD] = {.rule = rule_scatter, .leaves_op = true},
    [OP_INDEX_COPY] = {.rule = rule_scatter, .leaves_op = true},
    [OP_MATMUL] = {.rule = rule_matmul},
    [OP_LINEAR] = {.rule = rule_linear},
    [OP_BILINEAR] = {.rule = rule_bilinear},
    [OP_RAND] = {.rule = rule_random, .leaves_op = true},
    [OP_RANDN] = {.rule = rule_random, .leaves_op = true},
    [OP_DROPOUT] = {.rule = rule_dropout},
    [OP_SOFTMAX] = {.rule = rule_softmax},
    [OP_LOG_SOFTMAX] = {.rule = rule_log_softmax},
    [OP_LAYER_NORM] = {.rule = rule_layer_norm},
    [OP_RMS_NORM] = {.rule = rule_rms_norm},
    [OP_CROSS_ENTROPY] = {.rule = rule_cross_entropy},
    [OP_ATTENTION] = {.rule = rule_attention},
    [OP_GROUP_NORM] = {.rule = rule_group_norm},
    [OP_INSTANCE_NORM] = {.rule = rule_group_norm},
    [OP_LOCAL_RESPONSE_NORM] = {.rule = rule_local_response_norm},
};

static NodeId decompose_node(Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    RewriteRule *rule = decompose_rows[op].rule;
    if (!rule && op_is(op, CLASS_POINTWISE)) rule = rule_pointwise;
    if (!rule && op_is(op, CLASS_VIEW) && !view_is_basic(op)) rule = rule_view;
    return rule ? rule(r) : rewrite_keep(r);
}

/* An op that is never left. */
static bool is_replaced(OpCode op) {
    const DecomposeRow *row = &decompose_rows[op];
    return row->rule ? !row->leaves_op : op_is(op, CLASS_VIEW) && !view_is_basic(op);
}

/* True while a rule has emitted an op that is itself to be replaced (attention emits a softmax). */
static bool is_unfinished(const Graph *graph) {
    for (NodeId i = 0; i < graph->nodes.count; i++)
        if (is_replaced((OpCode)graph_node(graph, i)->op)) return true;
    return false;
}

sn_status pass_decompose(PassContext *context) {
    static const RewritePass decompose = {
        .name = "decompose", .rule = decompose_node, .result = rewrite_own_memory};
    sn_status status = sink_joins(context);
    if (status == SN_OK) status = decompose_windows(context);
    if (status == SN_OK) status = rewrite_graph(context, &decompose);
    while (status == SN_OK && is_unfinished(&context->graph))
        status = rewrite_graph(context, &decompose);
    return status;
}
