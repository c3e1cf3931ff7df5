/* The rewrite of windows, unfold and fold: windows as columns, and what such columns add up to; see
 * windows.c. */
#include "passes/rewrite/windows.h"

/* A plane's windows: [n, channels, rows, columns] by windows is [n, channels, windows, taps]. */
typedef struct Planes {
    Windows windows; /* of two axes */
    Dim n, channels; /* sizes */
    Dim taps, count; /* elements of a window; windows of a plane */
} Planes;

static Planes planes_of(Rewrite *r, const TensorType *x, Dim channels, Dim n) {
    Planes p = {.n = n, .channels = channels};
    DimTable *table = r->b->graph->table;
    windows_of(table, node_attrs(r->from, r->node), x, NULL, &p.windows);
    p.taps = windows_taps(table, &p.windows);
    p.count = dim_mul(table, p.windows.axis[0].count, p.windows.axis[1].count);
    return p;
}

NodeId rule_unfold(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = windows_rank(b, rewrite_input(r, 0), 4);
    TensorType type = gb_type(b, x);
    Planes p = planes_of(r, &type, type.dims[1], type.dims[0]);
    x = windows_of_axes(b, x, &p.windows, 2, 0);
    x = gb_permute(b, x, (int64_t[]){0, 1, 4, 5, 2, 3}, 6);
    return gb_op1(b, OP_CLONE, gb_reshape(b, x, node_dims(r->from, r->node), r->node->rank));
}

/* i64 [taps, windows]: the row-major position of each element in the padded plane. */
static NodeId positions_of(GraphBuilder *b, const Planes *p, Dim width) {
    NodeId at[2];
    for (int32_t i = 0; i < 2; i++) {
        const WindowAxis *a = &p->windows.axis[i];
        NodeId tap = gb_op2(b, OP_MUL, gb_iota(b, &a->length, 1, 0),
                            gb_literal(b, SN_I64, (double)a->dilation));
        NodeId first =
            gb_op2(b, OP_MUL, gb_iota(b, &a->count, 1, 0), gb_literal(b, SN_I64, (double)a->step));
        Dim taps[4] = {{1}, {1}, {1}, {1}}, places[4] = {{1}, {1}, {1}, {1}};
        taps[i] = a->length;
        places[2 + i] = a->count;
        tap = gb_reshape(b, tap, taps, 4);
        at[i] = gb_op2(b, OP_ADD, tap, gb_reshape(b, first, places, 4));
    }
    NodeId all = gb_op2(b, OP_MUL, at[0], gb_size(b, SN_I64, width));
    return gb_op2(b, OP_ADD, all, at[1]);
}

/* Every element is added where it came from, in the order of taps, then windows; what came from padding is
 * left out at the end. */
NodeId rule_fold(Rewrite *r) {
    GraphBuilder *b = r->b;
    DimTable *table = b->graph->table;
    NodeId x = windows_rank(b, rewrite_input(r, 0), 3);
    TensorType type = gb_type(b, x);
    const Dim *out = node_dims(r->from, r->node) + r->node->rank - 3;
    Planes p = planes_of(r, &type, out[0], type.dims[0]);
    Dim dims[4] = {p.n, p.channels, {0}, {0}}, all[3] = {p.n, p.channels, {0}};
    for (int32_t i = 0; i < 2; i++)
        dims[2 + i] = dim_add(table, out[1 + i], dim_of(2 * p.windows.axis[i].padding));
    all[2] = dim_mul(table, p.taps, p.count);
    NodeId index = gb_reshape(b, positions_of(b, &p, dims[3]), (Dim[]){{1}, {1}, all[2]}, 3);
    index = gb_op1(b, OP_CLONE, gb_expand(b, index, all, 3));
    type.rank = 3;
    type.dims[1] = p.channels;
    type.dims[2] = dim_mul(table, dims[2], dims[3]);
    NodeId plane = gb_op1(b, OP_CLONE, gb_zeros(b, &type));
    NodeId source = gb_reshape(b, x, all, 3);
    NodeId y = gb_scatter(b, OP_SCATTER_ADD, plane, 2, index, source);
    Dim starts[4] = {
        {0}, {0}, dim_of(p.windows.axis[0].padding), dim_of(p.windows.axis[1].padding)};
    Dim steps[4] = {{1}, {1}, {1}, {1}}, kept[4] = {p.n, p.channels, out[1], out[2]};
    y = gb_slice(b, gb_reshape(b, y, dims, 4), starts, steps, kept);
    return gb_reshape(b, y, node_dims(r->from, r->node), r->node->rank);
}
