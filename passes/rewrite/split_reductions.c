/* split_reductions: a reduction with few results and a long way to go is cut in blocks, so that all
 * threads share it. The cut follows the tree that the op's order defines (ir/op/order.h): a block is a
 * power of two of its chunks, and the blocks' results are joined as a tree, so the bits stay. What is
 * missing to whole blocks is padded with the operation's identity (-0.0, 1), which changes nothing. Where
 * order cannot matter, blocks are of any length, and the few elements left over are reduced beside them.
 *
 *   row     [A, K] → [A, blocks, steps, 32] → column sum over steps → tree over blocks → row over 32
 *   column  [A, K, B] → [A, blocks, steps, B] → column sum over steps → tree over blocks
 *   free    [A, K, B] → [A, blocks, steps, B] → steps, then blocks; with [A, rest, B] */
#include "ir/kernel/form.h"
#include "passes/rewrite/rewrite.h"

enum {
    SPLIT_ELEMENTS = 1 << 16, /* below, one thread is as fast */
    COLUMNS_PER_ITEM = 256,   /* of a column kernel's item */
    BLOCKS_PER_THREAD = 4
};

/* A reduction [a, k, b] → [a, 1, b] and how it is cut. */
typedef struct Split {
    Dim a, k, b;       /* sizes */
    Dim blocks;        /* of the cut */
    Dim steps;         /* steps × lanes elements a block */
    Dim rest;          /* elements of K left over; 0 where the last block is padded */
    int64_t lanes;     /* ORDER_LANES for a row order, else 1 */
    ReduceOrder order; /* of the whole */
} Split;

/* Whole blocks of a power of two of chunks; the last is padded. */
static void cut_tree(DimTable *t, int64_t k, int64_t wanted, Split *s) {
    int64_t steps = ORDER_STEPS;
    while (steps * s->lanes * wanted < k) steps *= 2;
    Dim block = dim_of(steps * s->lanes);
    s->blocks = dim_quotient(t, dim_add(t, s->k, dim_sub(t, block, dim_of(1))), block);
    s->steps = dim_of(steps);
    s->rest = dim_of(0);
}

/* As many blocks as are wanted, with less than that left over. */
static void cut_freely(DimTable *t, int64_t wanted, Split *s) {
    s->blocks = dim_of(wanted);
    s->steps = dim_quotient(t, s->k, s->blocks);
    s->rest = dim_sub(t, s->k, dim_mul(t, s->blocks, s->steps));
}

/* Parts of no elements are reduced too: for some sizes there may be none. */
static bool may_be_empty(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    bool number = true;
    const Node *x = graph_node(graph, node_inputs(graph, node)[0]);
    for (int32_t i = 0; i < x->rank; i++) number = number && dim_is_number(node_dims(graph, x)[i]);
    return number || op_info[node->op].shape_rule == SHAPE_REDUCE;
}

static bool find_split(const Graph *graph, NodeId id, int32_t threads, Split *s) {
    const Node *node = graph_node(graph, id);
    if (!op_is((OpCode)node->op, CLASS_REDUCE)) return false;
    if (!kop_joins_parts(kop_of_reduction((OpCode)node->op))) return false;
    TensorType type = node_type(graph, node_inputs(graph, node)[0]);
    int32_t count;
    const int64_t *axes = node_attr_list(graph, id, ATTR_AXES, &count);
    if (!count) return false;
    int32_t first = (int32_t)axes[0], last = (int32_t)axes[count - 1] + 1;
    DimTable *t = graph->table;
    s->lanes = 1;
    s->a = dims_count(t, type.dims, first);
    s->k = dims_count(t, type.dims + first, last - first);
    s->b = dims_count(t, type.dims + last, type.rank - last);
    s->order = node_order(graph, id);
    /* Where to cut is a matter of speed alone, so the sizes at hand may decide. */
    int64_t a = dim_hint(t, s->a), k = dim_hint(t, s->k), b = dim_hint(t, s->b);
    if (s->order == REDUCE_TREE || a * b == 0) return false;
    if (s->order == REDUCE_ROW) s->lanes = ORDER_LANES;
    int64_t items = a * (b > 1 ? (b + COLUMNS_PER_ITEM - 1) / COLUMNS_PER_ITEM : 1);
    if (items >= 2 * (int64_t)threads || a * k * b < SPLIT_ELEMENTS) return false;
    int64_t wanted = ((int64_t)threads * BLOCKS_PER_THREAD + items - 1) / items;
    if (s->order == REDUCE_FREE && may_be_empty(graph, id))
        cut_freely(t, wanted, s);
    else
        cut_tree(t, k, wanted, s);
    return dim_hint(t, s->blocks) > 1 && dim_hint(t, s->steps) > 0;
}

/* x[:, start:start + count] of [A, K, B]. */
static NodeId part_of(GraphBuilder *b, NodeId x, const Split *s, Dim start, Dim count) {
    const Dim one = dim_of(1), zero = dim_of(0);
    return gb_slice(b, x, (Dim[]){zero, start, zero}, (Dim[]){one, one, one},
                    (Dim[]){s->a, count, s->b});
}

/* The elements in whole blocks, [A, K, B]: padded, or without the rest. */
static NodeId whole_blocks(GraphBuilder *b, OpCode op, NodeId x, const Split *s) {
    DimTable *table = b->graph->table;
    Dim whole = dim_mul(table, dim_mul(table, s->blocks, s->steps), dim_of(s->lanes));
    Dim missing = dim_sub(table, whole, s->k);
    if (!dim_is(s->rest, 0)) return part_of(b, x, s, dim_of(0), whole);
    if (dim_is(missing, 0)) return x;
    sn_dtype dtype = gb_dtype(b, x);
    KStart identity = (KStart)kop_row(kop_of_reduction(op))->start;
    double value = dtype_bits_to_double(dtype, kstart_bits(identity, dtype));
    return gb_pad(b, x, (Dim[]){{0}, {0}, {0}, missing}, 4, value);
}

/* The result of the blocks, [A, 1, 1, B], with that of what is left over. */
static NodeId with_rest(GraphBuilder *b, OpCode op, NodeId x, NodeId all, const Split *s) {
    NodeId rest = part_of(b, all, s, dim_sub(b->graph->table, s->k, s->rest), s->rest);
    rest = gb_reduce_run(b, op, rest, 1, 1, REDUCE_FREE);
    x = gb_reshape(b, x, (Dim[]){s->a, dim_of(1), s->b}, 3);
    return gb_op2(b, (OpCode)kop_row(kop_of_reduction(op))->merge, x, rest);
}

static NodeId split(Rewrite *r, const Split *s) {
    GraphBuilder *b = r->b;
    OpCode op = (OpCode)r->node->op;
    NodeId all = gb_reshape(b, rewrite_input(r, 0), (Dim[]){s->a, s->k, s->b}, 3);
    NodeId x = whole_blocks(b, op, all, s);
    bool free_order = s->order == REDUCE_FREE;
    /* Lanes, of a row order, are before columns. */
    Dim inner = dim_mul(b->graph->table, dim_of(s->lanes), s->b);
    x = gb_reshape(b, x, (Dim[]){s->a, s->blocks, s->steps, inner}, 4);
    x = gb_reduce_run(b, op, x, 2, 2, free_order ? REDUCE_FREE : REDUCE_COLUMN);
    x = gb_reduce_run(b, op, x, 1, 1, free_order ? REDUCE_FREE : REDUCE_TREE);
    bool columns = s->lanes > 1 && !dim_is(s->b, 1);
    if (columns) x = gb_reshape(b, x, (Dim[]){s->a, dim_of(1), dim_of(s->lanes), s->b}, 4);
    if (s->lanes > 1) x = gb_reduce_run(b, op, x, 3 - columns, 3 - columns, REDUCE_ROW);
    if (!dim_is(s->rest, 0)) x = with_rest(b, op, x, all, s);
    return rewrite_finish(r, x);
}

/* ---- sums by index ----------------------------------------------------------------------- */

/* x with a long source added at its indices, one axis all of them, in blocks that threads share: each adds to
 * zeros of its own. The order of additions is that of the op, but to integers it does not matter. */
static bool find_blocks(const Graph *graph, NodeId id, int32_t threads, Split *s) {
    const Node *node = graph_node(graph, id);
    if (node->op != OP_SCATTER_ADD || node->rank != 1 || dtype_is_float((sn_dtype)node->dtype))
        return false;
    s->a = s->b = dim_of(1);
    s->k = node_dims(graph, graph_node(graph, node_inputs(graph, node)[1]))[0];
    cut_freely(graph->table, threads, s);
    int64_t own = dim_hint(graph->table, node_dims(graph, node)[0]);
    return threads > 1 && own <= SPLIT_ELEMENTS &&
           dim_hint(graph->table, s->steps) > SPLIT_ELEMENTS &&
           dim_hint(graph->table, s->steps) / 4 > own;
}

/* [blocks, steps] of a vector. */
static NodeId block_rows(GraphBuilder *b, NodeId x, const Split *s) {
    Dim whole = dim_mul(b->graph->table, s->blocks, s->steps);
    x = gb_slice(b, x, (Dim[]){{0}}, (Dim[]){dim_of(1)}, &whole);
    return gb_reshape(b, x, (Dim[]){s->blocks, s->steps}, 2);
}

static NodeId rest_of(GraphBuilder *b, NodeId x, const Split *s) {
    Dim start = dim_sub(b->graph->table, s->k, s->rest);
    return gb_slice(b, x, &start, (Dim[]){dim_of(1)}, &s->rest);
}

static NodeId split_scatter(Rewrite *r, const Split *s) {
    GraphBuilder *b = r->b;
    NodeId x = rewrite_input(r, 0), index = rewrite_input(r, 1), source = rewrite_input(r, 2);
    TensorType type = gb_type(b, x);
    if (!dim_is(s->rest, 0))
        x = gb_scatter(b, OP_SCATTER_ADD, x, 0, rest_of(b, index, s), rest_of(b, source, s));
    TensorType own = {.dtype = type.dtype, .rank = 2, .dims = {s->blocks, type.dims[0]}};
    NodeId sums = gb_scatter(b, OP_SCATTER_ADD, gb_zeros(b, &own), 1, block_rows(b, index, s),
                             block_rows(b, source, s));
    sums = gb_reduce_run(b, OP_SUM, sums, 0, 0, REDUCE_FREE);
    return gb_op2(b, OP_ADD, x, gb_reshape(b, sums, type.dims, 1));
}

static bool is_split(const Graph *graph, NodeId id, int32_t threads) {
    Split cut;
    return find_split(graph, id, threads, &cut) || find_blocks(graph, id, threads, &cut);
}

static NodeId split_node(Rewrite *r) {
    Split cut;
    if (find_blocks(r->from, r->id, r->context->threads, &cut)) return split_scatter(r, &cut);
    return find_split(r->from, r->id, r->context->threads, &cut) ? split(r, &cut) : rewrite_keep(r);
}

sn_status pass_split_reductions(PassContext *context) {
    static const RewritePass split_reductions = {
        .name = "split_reductions", .rule = split_node, .result = rewrite_own_memory};
    const Graph *graph = &context->graph;
    NodeId id = 0;
    while (id < graph->nodes.count && !is_split(graph, id, context->threads)) id++;
    if (id == graph->nodes.count) return SN_OK;
    sn_status status = rewrite_graph(context, &split_reductions);
    return status == SN_OK ? pass_simplify(context) : status;
}
