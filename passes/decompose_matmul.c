/* decompose, contractions: matmul in all its rank combinations becomes a batched gemm on
 * [batch, m, k] and [batch, k, n] in f32, or, for f64 and integers, a product and a sum in column
 * order, which the fusion pass makes one kernel. */
#include "passes/decompose.h"

#include "base/status.h"

/* The operands as matrices: x [xb…, m, k], y [yb…, k, n]. */
typedef struct Contraction {
    NodeId x, y;          /* operands in the compute type */
    Dim m, n, k;          /* sizes */
    Dim x_batch, y_batch; /* product of the batch dims of each */
    Dim batch;            /* of the result */
} Contraction;

static Dim batch_of(const Rewrite *r, const TensorType *type) {
    return type->rank > 2 ? dims_count(r->to->table, type->dims, type->rank - 2) : dim_of(1);
}

/* One batch axis; batch dims that only one operand lacks are expanded. */
static NodeId as_batched(Rewrite *r, NodeId x, const TensorType *result_batch, Dim rows,
                         Dim columns, Dim *batch) {
    TensorType type = rw_type(r, x);
    *batch = batch_of(r, &type);
    if (!dim_is(*batch, 1)) {
        Dim dims[SN_MAX_RANK];
        int32_t rank = result_batch->rank;
        memcpy(dims, result_batch->dims, sizeof dims);
        dims[rank] = type.dims[type.rank - 2];
        dims[rank + 1] = type.dims[type.rank - 1];
        x = rw_expand(r, x, dims, rank + 2);
        *batch = dims_count(r->to->table, dims, rank);
    }
    return rw_reshape(r, x, (Dim[]){*batch, rows, columns}, 3);
}

static NodeId multiply(Rewrite *r, const Contraction *c) {
    NodeId x = rw_reshape(r, c->x, (Dim[]){c->x_batch, c->m, c->k, {1}}, 4);
    NodeId y = rw_reshape(r, c->y, (Dim[]){c->y_batch, {1}, c->k, c->n}, 4);
    sn_dtype dtype = (sn_dtype)rw_type(r, c->x).dtype;
    NodeId products = rw_op2(r, OP_MUL, x, y);
    if (!dtype_is_float(dtype)) products = rw_cast(r, SN_I64, products); /* as sums are */
    return rw_cast(r, dtype, rw_reduce(r, OP_SUM, products, 1u << 2));
}

static NodeId contract(Rewrite *r, const Contraction *c, NodeId bias) {
    sn_dtype dtype = (sn_dtype)rw_type(r, c->x).dtype;
    if (dtype == SN_F32) {
        AttrList attrs;
        attrs.count = 0;
        attr_int(&attrs, 0);
        return rw_emit(r, OP_GEMM, (NodeId[]){c->x, c->y, bias}, 3, &attrs);
    }
    NodeId y = multiply(r, c);
    if (bias == NODE_NONE) return y;
    NodeId flat = rw_reshape(r, y, (Dim[]){c->batch, c->m, c->n}, 3);
    return rw_op2(r, OP_ADD, flat, bias);
}

/* x [… , k] times y [… , k, n] with NumPy's rules for 1-d operands. */
static NodeId matmul(Rewrite *r, NodeId x, NodeId y, NodeId bias) {
    TensorType tx = rw_type(r, x), ty = rw_type(r, y);
    if (tx.rank == 1) x = rw_reshape(r, x, (Dim[]){{1}, tx.dims[0]}, 2);
    if (ty.rank == 1) y = rw_reshape(r, y, (Dim[]){ty.dims[0], {1}}, 2);
    tx = rw_type(r, x);
    ty = rw_type(r, y);
    Contraction c = {.k = tx.dims[tx.rank - 1], .n = ty.dims[ty.rank - 1]};
    if (ty.rank == 2) { /* all rows of x against one matrix */
        c.m = dims_count(r->to->table, tx.dims, tx.rank - 1);
        c.x_batch = c.y_batch = dim_of(1);
        c.x = rw_reshape(r, x, (Dim[]){{1}, c.m, c.k}, 3);
        c.y = rw_reshape(r, y, (Dim[]){{1}, c.k, c.n}, 3);
    } else {
        TensorType batch = {.rank = 0};
        int32_t rank = (tx.rank > ty.rank ? tx.rank : ty.rank) - 2;
        for (int32_t i = 0; i < rank; i++) {
            int32_t ix = i - (rank - (tx.rank - 2)), iy = i - (rank - (ty.rank - 2));
            Dim dx = ix >= 0 ? tx.dims[ix] : dim_of(1), dy = iy >= 0 ? ty.dims[iy] : dim_of(1);
            batch.dims[i] = dim_is(dx, 1) ? dy : dx;
        }
        batch.rank = (uint8_t)rank;
        c.m = tx.dims[tx.rank - 2];
        c.x = as_batched(r, x, &batch, c.m, c.k, &c.x_batch);
        c.y = as_batched(r, y, &batch, c.k, c.n, &c.y_batch);
    }
    c.batch = dim_is(c.x_batch, 1) ? c.y_batch : c.x_batch;
    if (dim_is(c.x_batch, 0) || dim_is(c.y_batch, 0)) c.batch = dim_of(0);
    return contract(r, &c, bias);
}

static NodeId finish(Rewrite *r, NodeId y) {
    TensorType type = node_type(r->from, r->id);
    y = rw_cast(r, (sn_dtype)type.dtype, y);
    return rw_reshape(r, y, type.dims, type.rank);
}

static NodeId operand(Rewrite *r, int32_t i) {
    NodeId x = rw_input(r, i);
    if (x == NODE_NONE) return x;
    return rw_widen(r, rw_cast(r, (sn_dtype)r->node->dtype, x));
}

NodeId rule_matmul(Rewrite *r) {
    return finish(r, matmul(r, operand(r, 0), operand(r, 1), NODE_NONE));
}

NodeId rule_linear(Rewrite *r) {
    NodeId weight = operand(r, 1);
    if (rw_type(r, weight).rank == 2) weight = rw_transpose(r, weight, 0, 1);
    return finish(r, matmul(r, operand(r, 0), weight, operand(r, 2)));
}
