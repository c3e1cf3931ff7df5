/* decompose: replaces composite ops by simpler ones and makes every conversion and rounding an
 * explicit cast, so that what follows sees a small set of ops on equal dtypes:
 *   pointwise ops on f32, f64, integers and bool (never on half types)
 *   reductions over one run of adjacent axes, kept as size 1
 *   views reshape, permute, expand, slice, diagonal
 *   pad, gather, index_select, one_hot, updates, gemm, rand, randn, cumsum. */
#include "passes/rewrite/decompose.h"

#include "base/assert.h"
#include "base/status.h"
#include "ir/graph/view_graph.h"

NodeId rw_input(const Rewrite *r, int32_t i) {
    SN_ASSERT(i >= 0 && i < r->node->n_inputs);
    NodeId input = node_inputs(r->from, r->node)[i];
    return input == NODE_NONE ? NODE_NONE : r->map[input];
}

TensorType rw_type(const Rewrite *r, NodeId x) {
    if (x == NODE_NONE) return (TensorType){.rank = 0, .dtype = SN_F32};
    return node_type(r->to, x);
}

/* The type of a look-up that has no elements: no index is read, and none can be out of range. In a
 * kernel with other ops, whose loops are not empty, or in one that reads the index outside its empty
 * loop, it would be: so sizes that vary have to stay on the side where they are. */
static bool looks_nothing_up(const Rewrite *r, OpCode op, const NodeId *inputs,
                             const AttrList *attrs, TensorType *type) {
    if (op == OP_GATHER) {
        *type = rw_type(r, inputs[1]);
        type->dtype = rw_type(r, inputs[0]).dtype;
    } else if (op == OP_INDEX_SELECT) {
        *type = rw_type(r, inputs[0]);
        type->dims[attr_int(attr_view(op, attrs), ATTR_AXIS)] = rw_type(r, inputs[1]).dims[0];
    } else if (op == OP_ONE_HOT) {
        *type = rw_type(r, inputs[0]);
        type->dtype = SN_I64;
        type->dims[type->rank++] = attr_dim(attr_view(op, attrs), ATTR_CLASSES);
    } else {
        return false;
    }
    DimTable *table = r->to->table;
    return dim_equal(table, dims_count(table, type->dims, type->rank), dim_of(0));
}

NodeId rw_emit(Rewrite *r, OpCode op, const NodeId *inputs, int32_t n, const AttrList *attrs) {
    static const AttrList none = {0};
    TensorType type;
    if (r->error && r->error->status != SN_OK) return NODE_NONE;
    if (looks_nothing_up(r, op, inputs, attrs, &type))
        return rw_expand(r, rw_literal(r, (sn_dtype)type.dtype, 0), type.dims, type.rank);
    return graph_emit(r->to, op, inputs, n, attrs ? attrs : &none, r->site, r->error);
}

NodeId rw_op1(Rewrite *r, OpCode op, NodeId x) {
    return rw_emit(r, op, &x, 1, NULL);
}

NodeId rw_op2(Rewrite *r, OpCode op, NodeId x, NodeId y) {
    return rw_emit(r, op, (NodeId[]){x, y}, 2, NULL);
}

NodeId rw_op3(Rewrite *r, OpCode op, NodeId x, NodeId y, NodeId z) {
    return rw_emit(r, op, (NodeId[]){x, y, z}, 3, NULL);
}

NodeId rw_cast(Rewrite *r, sn_dtype dtype, NodeId x) {
    if (x == NODE_NONE || rw_type(r, x).dtype == dtype) return x;
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, dtype);
    return rw_emit(r, OP_CAST, &x, 1, &attrs);
}

NodeId rw_widen(Rewrite *r, NodeId x) {
    if (x == NODE_NONE) return x;
    return rw_cast(r, dtype_compute((sn_dtype)rw_type(r, x).dtype), x);
}

static NodeId scalar(Rewrite *r, sn_dtype dtype, double value, bool hoist) {
    if (r->error && r->error->status != SN_OK) return NODE_NONE;
    uint64_t bits = dtype_bits_from_double(dtype, value);
    return graph_const(r->to, dtype, bits, hoist, false, r->site, r->error);
}

NodeId rw_literal(Rewrite *r, sn_dtype dtype, double value) {
    return scalar(r, dtype, value, false);
}

NodeId rw_hoisted(Rewrite *r, sn_dtype dtype, double value) {
    return scalar(r, dtype, value, true);
}

NodeId rw_number(Rewrite *r, sn_dtype dtype, AttrName name) {
    uint32_t number;
    if (!node_attr_scalar(r->from, r->id, name, &number))
        return rw_hoisted(r, dtype, node_attr_double(r->from, r->id, name));
    if (r->error && r->error->status != SN_OK) return NODE_NONE;
    return graph_real(r->to, dtype, number, r->site, r->error);
}

NodeId rw_size(Rewrite *r, sn_dtype dtype, Dim size) {
    if (dim_is_number(size)) return rw_hoisted(r, dtype, (double)size.word);
    if (r->error && r->error->status != SN_OK) return NODE_NONE;
    return graph_size(r->to, dtype, size, r->site, r->error);
}

static NodeId with_list(Rewrite *r, OpCode op, NodeId x, const int64_t *list, int32_t count) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, list, count);
    return rw_emit(r, op, &x, 1, &attrs);
}

NodeId rw_reshape(Rewrite *r, NodeId x, const Dim *dims, int32_t rank) {
    TensorType type = rw_type(r, x);
    if (type.rank == rank && memcmp(type.dims, dims, sizeof *dims * (size_t)rank) == 0) return x;
    return with_list(r, OP_RESHAPE, x, words_of_dims(dims), rank);
}

NodeId rw_expand(Rewrite *r, NodeId x, const Dim *dims, int32_t rank) {
    TensorType type = rw_type(r, x);
    if (type.rank == rank && memcmp(type.dims, dims, sizeof *dims * (size_t)rank) == 0) return x;
    return with_list(r, OP_EXPAND, x, words_of_dims(dims), rank);
}

NodeId rw_permute(Rewrite *r, NodeId x, const int64_t *axes, int32_t rank) {
    return with_list(r, OP_PERMUTE, x, axes, rank);
}

NodeId rw_transpose(Rewrite *r, NodeId x, int32_t axis0, int32_t axis1) {
    int64_t axes[SN_MAX_RANK];
    int32_t rank = rw_type(r, x).rank;
    SN_ASSERT(x == NODE_NONE || (axis0 < rank && axis1 < rank));
    for (int32_t i = 0; i < rank; i++) axes[i] = i;
    axes[axis0] = axis1;
    axes[axis1] = axis0;
    return rw_permute(r, x, axes, rank);
}

NodeId rw_iota(Rewrite *r, const Dim *dims, int32_t rank, int32_t axis) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, dims, rank);
    attr_add_int(&attrs, axis);
    return rw_emit(r, OP_IOTA, NULL, 0, &attrs);
}

NodeId rw_reduce(Rewrite *r, OpCode op, NodeId x, uint32_t mask) {
    int32_t rank = rw_type(r, x).rank;
    for (int32_t last = rank - 1; last >= 0; last--) {
        if (!(mask >> last & 1)) continue;
        int32_t first = last;
        while (first > 0 && (mask >> (first - 1) & 1)) first--;
        int64_t axes[SN_MAX_RANK];
        for (int32_t i = first; i <= last; i++) axes[i - first] = i;
        AttrList attrs;
        attrs.count = 0;
        attr_add_list(&attrs, axes, last - first + 1);
        attr_add_int(&attrs, 1);
        if (op_has_attr(op, ATTR_ORDER)) attr_add_int(&attrs, REDUCE_BY_POSITION);
        x = rw_emit(r, op, &x, 1, &attrs);
        last = first;
    }
    return x;
}

Dim rw_reduced_count(const Rewrite *r, NodeId x, uint32_t mask) {
    TensorType type = rw_type(r, x);
    Dim count = dim_of(1);
    for (int32_t i = 0; i < type.rank; i++)
        if (mask >> i & 1) count = dim_mul(r->to->table, count, type.dims[i]);
    return count;
}

Dim rw_count(const Rewrite *r, NodeId x) {
    TensorType type = rw_type(r, x);
    return dims_count(r->to->table, type.dims, type.rank);
}

/* A node that stays as it is, in the new graph. */
static NodeId keep(Rewrite *r) {
    return graph_copy_node(r->from, r->id, r->to, r->map, r->error);
}

static NodeId replace(Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    RewriteRule *rule = rewrite_rules[op];
    if (!rule && op_is(op, CLASS_POINTWISE)) rule = rule_pointwise;
    if (!rule && op_is(op, CLASS_VIEW) && !view_is_basic(op)) rule = rule_view;
    return rule ? rule(r) : keep(r);
}

/* The replacement must have the type of what it replaces; the rules are only as good as this. */
static bool same_type(const Rewrite *r, NodeId id) {
    TensorType was = node_type(r->from, r->id), is = node_type(r->to, id);
    return was.dtype == is.dtype && was.rank == is.rank &&
           memcmp(was.dims, is.dims, sizeof(int64_t) * was.rank) == 0;
}

static sn_status decompose_into(PassContext *context, Graph *to, NodeId *map) {
    const Graph *from = &context->graph;
    Rewrite r = {
        .from = from, .to = to, .map = map, .fast = context->fast, .error = context->error};
    for (NodeId i = 0; i < from->nodes.count; i++) {
        r.id = i;
        r.node = graph_node(from, i);
        r.site = from->sites.data[r.node->site];
        map[i] = replace(&r);
        if (map[i] == NODE_NONE)
            return context->error->status ? context->error->status : error_memory(context->error);
        if (!same_type(&r, map[i]))
            return error_set(context->error, SN_ERROR_INTERNAL, "decompose: %s changes its type",
                             op_info[r.node->op].name);
    }
    for (uint32_t i = 0; i < from->outputs.count; i++) {
        GraphOutput output = from->outputs.data[i];
        output.node = map[output.node];
        sn_status status = graph_own_memory(to, &output, context->error);
        if (status != SN_OK) return status;
        if (!graph_output(to, output.node, output.writes_input))
            return error_memory(context->error);
    }
    return SN_OK;
}

/* True while a rule has emitted an op that is itself to be replaced (attention emits a softmax). */
static bool holds_composites(const Graph *graph) {
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        OpCode op = (OpCode)graph_node(graph, i)->op;
        if (op == OP_MATMUL || (op_is(op, CLASS_COMPOSITE) && op != OP_ONE_HOT)) return true;
    }
    return false;
}

static sn_status decompose_once(PassContext *context) {
    Graph simple;
    graph_init_like(&simple, &context->graph);
    NodeId *map = arena_alloc(&context->arena, sizeof(NodeId) * (context->graph.nodes.count + 1));
    sn_status status = map ? decompose_into(context, &simple, map) : error_memory(context->error);
    if (status != SN_OK) {
        graph_free(&simple);
        return status;
    }
    graph_replace(&context->graph, &simple);
    return SN_OK;
}

sn_status pass_decompose(PassContext *context) {
    sn_status status = decompose_once(context);
    while (status == SN_OK && holds_composites(&context->graph)) status = decompose_once(context);
    return status;
}

RewriteRule *const rewrite_rules[OP_COUNT] = {
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
