/* split_reductions: a reduction with few results and a long way to go is cut in blocks, so that all
 * threads share it. The cut follows the tree that the op's order defines (ir/op/order.h): a block is a
 * power of two of its chunks, and the blocks' results are joined as a tree, so the bits stay. What is
 * missing to whole blocks is padded with the operation's identity (-0.0, 1), which changes nothing.
 *
 *   row     [A, K] → [A, blocks, steps, 32] → column sum over steps → tree over blocks → row over 32
 *   column  [A, K, B] → [A, blocks, steps, B] → column sum over steps → tree over blocks
 *   free    [A, K, B] → [A, blocks, steps, B] → steps, then blocks */
#include "base/status.h"
#include "ir/op/dtype.h"
#include "passes/rewrite/decompose.h"

#include <math.h>

enum {
    SPLIT_ELEMENTS = 1 << 16, /* below, one thread is as fast */
    COLUMNS_PER_ITEM = 256,   /* of a column kernel's item */
    BLOCKS_PER_THREAD = 4
};

/* A reduction [a, k, b] → [a, 1, b] and how it is cut. */
typedef struct Split {
    Dim a, k, b;       /* sizes */
    Dim blocks;        /* of the cut */
    int64_t steps;     /* steps × lanes elements a block */
    int64_t lanes;     /* ORDER_LANES for a row order, else 1 */
    ReduceOrder order; /* of the whole */
} Split;

/* What elements that are missing count as, by kind of dtype. */
typedef struct Neutral {
    bool joins;                  /* results of parts, reduced alike, are the result of the whole */
    double real, whole, natural; /* of floats, integers with and without sign */
} Neutral;

/* The limits of integers saturate to those of the dtype. */
static Neutral neutral_of(OpCode op) {
    switch (op) {
    case OP_SUM:
        return (Neutral){true, -0.0, 0, 0};
    case OP_PROD:
        return (Neutral){true, 1, 1, 1};
    case OP_MAX:
        return (Neutral){true, -INFINITY, -ldexp(1, 63), 0};
    case OP_MIN:
        return (Neutral){true, INFINITY, ldexp(1, 63), ldexp(1, 63)};
    default:
        return (Neutral){.joins = false};
    }
}

static bool find_split(const Rewrite *r, int32_t threads, Split *s) {
    const Node *node = r->node;
    if (!neutral_of((OpCode)node->op).joins) return false;
    TensorType type = node_type(r->from, node_inputs(r->from, node)[0]);
    int32_t count;
    const int64_t *axes = node_attr_list(r->from, r->id, ATTR_AXES, &count);
    if (!count) return false;
    int32_t first = (int32_t)axes[0], last = (int32_t)axes[count - 1] + 1;
    DimTable *t = r->from->table;
    s->lanes = 1;
    s->a = dims_count(t, type.dims, first);
    s->k = dims_count(t, type.dims + first, last - first);
    s->b = dims_count(t, type.dims + last, type.rank - last);
    s->order = node_order(r->from, r->id);
    /* Where to cut is a matter of speed alone, so the sizes at hand may decide. */
    int64_t a = dim_hint(t, s->a), k = dim_hint(t, s->k), b = dim_hint(t, s->b);
    if (s->order == REDUCE_TREE || a * b == 0) return false;
    if (s->order == REDUCE_ROW) s->lanes = ORDER_LANES;
    int64_t items = a * (b > 1 ? (b + COLUMNS_PER_ITEM - 1) / COLUMNS_PER_ITEM : 1);
    if (items >= 2 * (int64_t)threads || a * k * b < SPLIT_ELEMENTS) return false;
    int64_t wanted = ((int64_t)threads * BLOCKS_PER_THREAD + items - 1) / items;
    s->steps = ORDER_STEPS;
    while (s->steps * s->lanes * wanted < k) s->steps *= 2;
    Dim block = dim_of(s->steps * s->lanes);
    s->blocks = dim_quotient(t, dim_add(t, s->k, dim_sub(t, block, dim_of(1))), block);
    return dim_hint(t, s->blocks) > 1;
}

static NodeId pad_rows(Rewrite *r, NodeId x, const Split *s) {
    Dim padded = dim_mul(r->to->table, s->blocks, dim_of(s->steps * s->lanes));
    Dim missing = dim_sub(r->to->table, padded, s->k);
    x = rw_reshape(r, x, (Dim[]){s->a, s->k, s->b}, 3);
    if (dim_is(missing, 0)) return x;
    Neutral neutral = neutral_of((OpCode)r->node->op);
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    AttrList attrs;
    attrs.count = 0;
    attr_add_dims(&attrs, (Dim[]){{0}, {0}, {0}, missing}, 4);
    attr_add_double(&attrs, dtype_is_float(dtype)    ? neutral.real
                            : dtype_is_signed(dtype) ? neutral.whole
                                                     : neutral.natural);
    return rw_emit(r, OP_PAD, &x, 1, &attrs);
}

static NodeId reduce_axis(Rewrite *r, NodeId x, int64_t axis, ReduceOrder order) {
    OpCode op = (OpCode)r->node->op;
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, &axis, 1);
    attr_add_int(&attrs, 1);
    if (op_has_attr(op, ATTR_ORDER)) attr_add_int(&attrs, order);
    return rw_emit(r, op, &x, 1, &attrs);
}

static NodeId split(Rewrite *r, const Split *s) {
    TensorType type = node_type(r->from, r->id);
    NodeId x = pad_rows(r, rw_input(r, 0), s);
    bool free_order = s->order == REDUCE_FREE;
    /* b is 1 for a row order, so one form serves: lanes and columns lie in the same place. */
    Dim inner = dim_mul(r->to->table, dim_of(s->lanes), s->b);
    x = rw_reshape(r, x, (Dim[]){s->a, s->blocks, {s->steps}, inner}, 4);
    x = reduce_axis(r, x, 2, free_order ? REDUCE_FREE : REDUCE_COLUMN);
    x = reduce_axis(r, x, 1, free_order ? REDUCE_FREE : REDUCE_TREE);
    if (s->lanes > 1) x = reduce_axis(r, x, 3, REDUCE_ROW);
    return rw_reshape(r, x, type.dims, type.rank);
}

sn_status pass_split_reductions(PassContext *context) {
    const Graph *from = &context->graph;
    Split cut;
    Graph to;
    Rewrite r = {.from = from, .to = &to, .error = context->error};
    bool any = false;
    for (NodeId i = 0; i < from->nodes.count && !any; i++) {
        r.id = i;
        r.node = graph_node(from, i);
        any = find_split(&r, context->threads, &cut);
    }
    if (!any) return SN_OK;
    NodeId *map = arena_alloc(&context->arena, sizeof(NodeId) * (from->nodes.count + 1));
    if (!map) return error_memory(context->error);
    graph_init_like(&to, from);
    r.map = map;
    sn_status status = SN_OK;
    for (NodeId i = 0; i < from->nodes.count && status == SN_OK; i++) {
        r.id = i;
        r.node = graph_node(from, i);
        r.site = from->sites.data[r.node->site];
        map[i] = find_split(&r, context->threads, &cut)
                     ? split(&r, &cut)
                     : graph_copy_node(from, i, &to, map, context->error);
        if (map[i] == NODE_NONE)
            status = context->error->status ? context->error->status : error_memory(context->error);
    }
    for (uint32_t i = 0; i < from->outputs.count && status == SN_OK; i++) {
        GraphOutput output = from->outputs.data[i];
        if (!graph_output(&to, map[output.node], output.writes_input))
            status = error_memory(context->error);
    }
    if (status != SN_OK) {
        graph_free(&to);
        return status;
    }
    graph_replace(&context->graph, &to);
    return pass_simplify(context);
}
