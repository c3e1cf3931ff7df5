/* decompose, contractions: matmul in all its rank combinations becomes a contraction of matrices with one or
 * two batch dims; of integers a product and a sum, which the fusion pass makes one kernel. */
#include "passes/rewrite/decompose.h"

enum { LEVELS_MOST = 2 };

/* The operands as matrices: x […, m, k], y […, k, n], each with `levels` batch dims, of which those that
 * it repeats are 1. */
typedef struct Contraction {
    NodeId x, y;    /* operands in the compute type */
    Dim m, n, k;    /* sizes */
    int32_t levels; /* batch dims */
} Contraction;

static bool all_one(const Dim *dims, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (!dim_is(dims[i], 1)) return false;
    return true;
}

/* Batch dims that an operand lacks in front are 1. */
static void aligned_batch(const TensorType *type, int32_t rank, Dim *dims) {
    int32_t own = type->rank - 2;
    for (int32_t i = 0; i < rank; i++)
        dims[i] = i < rank - own ? dim_of(1) : type->dims[i - (rank - own)];
}

/* Dims [first, last) of `own` as one batch level: 1 where all are 1, else those of the result. */
static Dim join_level(DimTable *table, Dim *own, const Dim *result, int32_t first, int32_t last) {
    if (all_one(own + first, last - first)) return dim_of(1);
    memcpy(own + first, result + first, sizeof *own * (size_t)(last - first));
    return dims_count(table, own + first, last - first);
}

/* An operand with at most two batch levels: its last batch dim, and those before as one. */
static NodeId as_batched(GraphBuilder *b, NodeId x, const Dim *batch, int32_t rank,
                         int32_t levels) {
    DimTable *table = b->graph->table;
    TensorType type = gb_type(b, x);
    Dim dims[SN_MAX_RANK], level[LEVELS_MOST + 2];
    aligned_batch(&type, rank, dims);
    int32_t cut = levels == LEVELS_MOST ? rank - 1 : 0, at = 0;
    if (levels == LEVELS_MOST) level[at++] = join_level(table, dims, batch, 0, cut);
    level[at++] = join_level(table, dims, batch, cut, rank);
    for (int32_t i = 0; i < 2; i++) level[at++] = dims[rank + i] = type.dims[type.rank - 2 + i];
    return gb_reshape(b, gb_expand(b, x, dims, rank + 2), level, levels + 2);
}

/* Both repeated to one shape, [batch…, m, k, n], and summed over k. */
static NodeId contract_all(GraphBuilder *b, NodeId x, NodeId y, int32_t levels) {
    TensorType tx = gb_type(b, x), ty = gb_type(b, y);
    Dim dims[LEVELS_MOST + 3];
    for (int32_t i = 0; i < levels + 3; i++)
        dims[i] = dim_is(tx.dims[i], 1) ? ty.dims[i] : tx.dims[i];
    x = gb_expand(b, x, dims, levels + 3);
    return gb_contract(b, x, gb_expand(b, y, dims, levels + 3), levels + 1);
}

/* Sums over k of x […, m, k, 1] times y […, 1, k, n]. */
static NodeId multiply(GraphBuilder *b, const Contraction *c) {
    TensorType tx = gb_type(b, c->x), ty = gb_type(b, c->y);
    Dim x_dims[LEVELS_MOST + 3], y_dims[LEVELS_MOST + 3];
    int32_t levels = c->levels;
    memcpy(x_dims, tx.dims, sizeof *x_dims * (size_t)(levels + 2));
    memcpy(y_dims, ty.dims, sizeof *y_dims * (size_t)levels);
    x_dims[levels + 2] = y_dims[levels] = dim_of(1);
    y_dims[levels + 1] = c->k;
    y_dims[levels + 2] = c->n;
    NodeId x = gb_reshape(b, c->x, x_dims, levels + 3), y = gb_reshape(b, c->y, y_dims, levels + 3);
    sn_dtype dtype = (sn_dtype)tx.dtype;
    if (dtype_is_float(dtype)) return contract_all(b, x, y, levels);
    NodeId products = gb_cast(b, SN_I64, gb_op2(b, OP_MUL, x, y)); /* as sums are */
    return gb_cast(b, dtype, gb_reduce(b, OP_SUM, products, 1u << (levels + 1)));
}

static NodeId contract(GraphBuilder *b, const Contraction *c, NodeId bias) {
    NodeId y = multiply(b, c);
    if (bias == NODE_NONE) return y;
    return gb_op2(b, OP_ADD, gb_reshape(b, y, (Dim[]){{1}, c->m, c->n}, 3), bias);
}

/* The batch dims of the result; how many. */
static int32_t common_batch(const TensorType *x, const TensorType *y, Dim *batch) {
    int32_t rank = (x->rank > y->rank ? x->rank : y->rank) - 2;
    Dim dx[SN_MAX_RANK], dy[SN_MAX_RANK];
    aligned_batch(x, rank, dx);
    aligned_batch(y, rank, dy);
    for (int32_t i = 0; i < rank; i++) batch[i] = dim_is(dx[i], 1) ? dy[i] : dx[i];
    return rank;
}

/* x [… , k] times y [… , k, n] with NumPy's rules for 1-d operands. */
static NodeId matmul(GraphBuilder *b, NodeId x, NodeId y, NodeId bias) {
    TensorType tx = gb_type(b, x), ty = gb_type(b, y);
    if (tx.rank == 1) x = gb_reshape(b, x, (Dim[]){{1}, tx.dims[0]}, 2);
    if (ty.rank == 1) y = gb_reshape(b, y, (Dim[]){ty.dims[0], {1}}, 2);
    tx = gb_type(b, x);
    ty = gb_type(b, y);
    Contraction c = {.k = tx.dims[tx.rank - 1], .n = ty.dims[ty.rank - 1], .levels = 1};
    if (ty.rank == 2) { /* all rows of x against one matrix */
        c.m = dims_count(b->graph->table, tx.dims, tx.rank - 1);
        c.x = gb_reshape(b, x, (Dim[]){{1}, c.m, c.k}, 3);
        c.y = gb_reshape(b, y, (Dim[]){{1}, c.k, c.n}, 3);
    } else {
        Dim batch[SN_MAX_RANK];
        int32_t rank = common_batch(&tx, &ty, batch);
        c.levels = rank < LEVELS_MOST ? rank : LEVELS_MOST;
        c.m = tx.dims[tx.rank - 2];
        c.x = as_batched(b, x, batch, rank, c.levels);
        c.y = as_batched(b, y, batch, rank, c.levels);
    }
    return contract(b, &c, bias);
}

static NodeId operand(Rewrite *r, int32_t i) {
    return gb_meet(r->b, rewrite_dtype(r), rewrite_input(r, i));
}

NodeId rule_matmul(Rewrite *r) {
    NodeId y = operand(r, 1), x = operand(r, 0);
    return rewrite_finish(r, matmul(r->b, x, y, NODE_NONE));
}

NodeId rule_linear(Rewrite *r) {
    NodeId weight = operand(r, 1);
    if (gb_type(r->b, weight).rank == 2) weight = gb_exchange(r->b, weight, 0, 1);
    NodeId bias = operand(r, 2), x = operand(r, 0);
    return rewrite_finish(r, matmul(r->b, x, weight, bias));
}

/* x, [rows, size], once for each pair of i and j: at `place` of (row, i, j). */
static NodeId for_pairs(GraphBuilder *b, NodeId x, const Dim *pairs, int32_t place) {
    Dim dims[3] = {pairs[0], {1}, {1}}, all[2] = {pairs[0]};
    dims[place] = pairs[place];
    all[1] = dim_mul(b->graph->table, pairs[1], pairs[2]);
    return gb_reshape(b, gb_expand(b, gb_reshape(b, x, dims, 3), pairs, 3), all, 2);
}

/* A linear layer of all products x1[i] x2[j]: (i, j) is its inner axis. */
NodeId rule_bilinear(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId bias = operand(r, 3), weight = operand(r, 2), x2 = operand(r, 1), x1 = operand(r, 0);
    TensorType t1 = gb_type(b, x1), t2 = gb_type(b, x2);
    Dim rows = dims_count(b->graph->table, t1.dims, t1.rank - 1), out = gb_type(b, weight).dims[0];
    Dim pairs[3] = {rows, t1.dims[t1.rank - 1], t2.dims[t2.rank - 1]};
    x1 = for_pairs(b, x1, pairs, 1);
    x2 = for_pairs(b, x2, pairs, 2);
    NodeId products = gb_op2(b, OP_MUL, x1, x2);
    Dim dims[2] = {out, gb_type(b, products).dims[1]};
    weight = gb_exchange(b, gb_reshape(b, weight, dims, 2), 0, 1);
    return rewrite_finish(r, matmul(b, products, weight, bias));
}
