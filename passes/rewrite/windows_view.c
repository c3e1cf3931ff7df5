/* The rewrite of windows, what its rules share: channels last, and views by windows; see windows.c. */
#include "passes/rewrite/windows.h"

/* ---- channels last --------------------------------------------------------------------------- */

/* The axes of [n, spatial…, channels] in the order of [n, channels, spatial…], and back. */
static void order_first(int32_t rank, int64_t *order) {
    order[0] = 0;
    order[1] = rank - 1;
    for (int32_t i = 2; i < rank; i++) order[i] = i - 1;
}
static void order_last(int32_t rank, int64_t *order) {
    order[0] = 0;
    order[rank - 1] = 1;
    for (int32_t i = 1; i < rank - 1; i++) order[i] = i + 1;
}

NodeId channels_first(GraphBuilder *b, NodeId x) {
    int64_t order[SN_MAX_RANK];
    int32_t rank = gb_type(b, x).rank;
    order_first(rank, order);
    return gb_permute(b, x, order, rank);
}

NodeId channels_last(GraphBuilder *b, NodeId x) {
    int64_t order[SN_MAX_RANK];
    int32_t rank = gb_type(b, x).rank;
    order_last(rank, order);
    return gb_permute(b, x, order, rank);
}

bool windows_last(const Rewrite *r, NodeId x) {
    const LastChannels *last = r->state;
    return x != NODE_NONE && x < last->views.count && last->views.data[x];
}

/* What the view is of. */
NodeId windows_under(const Rewrite *r, NodeId view) {
    return node_inputs(r->b->graph, graph_node(r->b->graph, view))[0];
}

/* y, [n, spatial…, channels], as the program sees it. */
NodeId windows_view(Rewrite *r, NodeId y) {
    LastChannels *last = r->state;
    NodeId view = channels_first(r->b, y);
    if (view == NODE_NONE) return view;
    while (last->views.count <= view)
        if (!vec_push(&last->views, false)) return gb_fail(r->b, SN_ERROR_MEMORY, "out of memory");
    last->views.data[view] = true;
    return view;
}

/* ---- groups ---------------------------------------------------------------------------------- */

NodeId windows_groups(const Rewrite *r, NodeId x) {
    const LastChannels *last = r->state;
    return x != NODE_NONE && x < last->grouped.count ? last->grouped.data[x] : NODE_NONE;
}

NodeId windows_groups_last(GraphBuilder *b, NodeId y) {
    int32_t axes = gb_type(b, y).rank - 3;
    int64_t order[SN_MAX_RANK] = {0};
    for (int32_t i = 0; i < axes; i++) order[1 + i] = 2 + i;
    order[axes + 1] = 1;
    order[axes + 2] = axes + 2;
    return gb_permute(b, y, order, axes + 3);
}

NodeId windows_view_groups(Rewrite *r, NodeId y) {
    LastChannels *last = r->state;
    GraphBuilder *b = r->b;
    int32_t axes = gb_type(b, y).rank - 3;
    NodeId x = gb_op1(b, OP_CLONE, windows_groups_last(b, y));
    TensorType type = gb_type(b, x);
    type.dims[axes + 1] = dim_mul(b->graph->table, type.dims[axes + 1], type.dims[axes + 2]);
    NodeId view = windows_view(r, gb_reshape(b, x, type.dims, axes + 2));
    if (view == NODE_NONE) return view;
    while (last->grouped.count <= view)
        if (!vec_push(&last->grouped, NODE_NONE))
            return gb_fail(b, SN_ERROR_MEMORY, "out of memory");
    last->grouped.data[view] = y;
    return view;
}

NodeId windows_split(GraphBuilder *b, NodeId x, Dim groups, Dim channels) {
    TensorType type = gb_type(b, x);
    int32_t axes = type.rank - 2;
    bool repeats = dim_is(type.dims[axes + 1], 1);
    type.dims[axes + 1] = repeats ? dim_of(1) : groups;
    type.dims[axes + 2] = repeats ? dim_of(1) : channels;
    x = gb_reshape(b, x, type.dims, axes + 3);
    int64_t order[SN_MAX_RANK] = {0, axes + 1};
    for (int32_t i = 0; i < axes; i++) order[2 + i] = 1 + i;
    order[axes + 2] = axes + 2;
    return gb_permute(b, x, order, axes + 3);
}

/* x with axes of size 1 in front, so many in all. */
NodeId windows_rank(GraphBuilder *b, NodeId x, int32_t rank) {
    TensorType type = gb_type(b, x);
    Dim dims[SN_MAX_RANK];
    for (int32_t i = 0; i < rank; i++)
        dims[i] = i < rank - type.rank ? dim_of(1) : type.dims[i - (rank - type.rank)];
    return gb_reshape(b, x, dims, rank);
}

/* ---- windows --------------------------------------------------------------------------------- */

/* x, padded, by windows of its axes from `first` on: their elements are new axes behind all others. */
NodeId windows_of_axes(GraphBuilder *b, NodeId x, const Windows *w, int32_t first, double padding) {
    int32_t rank = gb_type(b, x).rank, count = 2 * (rank - first);
    Dim pads[2 * SN_MAX_RANK];
    for (int32_t i = 0; i < 2 * SN_MAX_RANK; i++) pads[i] = dim_of(0);
    for (int32_t i = 0; i < w->axes; i++) {
        int32_t at = 2 * (rank - 1 - (first + i));
        pads[at] = dim_of(w->axis[i].padding);
        pads[at + 1] = w->axis[i].behind;
    }
    if (w->padded) x = gb_pad(b, x, pads, count, padding);
    for (int32_t i = 0; i < w->axes; i++) {
        const WindowAxis *a = &w->axis[i];
        x = gb_windows(b, x, first + i, a->length, a->step, a->dilation);
    }
    return x;
}

Dim windows_taps(DimTable *table, const Windows *w) {
    Dim taps = dim_of(1);
    for (int32_t i = 0; i < w->axes; i++) taps = dim_mul(table, taps, w->axis[i].length);
    return taps;
}
