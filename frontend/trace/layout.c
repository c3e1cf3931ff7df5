/* Operands of matrix products in the layout that eager finds in memory: the bits of an extern call
 * depend on it. A value that was written through a view, or into an input that is not dense, has no
 * memory in the graph yet; here it gets one with eager's strides. */
#include "frontend/trace/trace.h"

/* How the strides of a node compare with those of the handle it is the value of. */
typedef enum LayoutMatch {
    LAYOUT_SAME,
    LAYOUT_COPIED, /* they differ, but a dense copy, perhaps of permuted axes, has eager's */
    LAYOUT_OTHER   /* the handle's have gaps that a call can take */
} LayoutMatch;

/* Is the operand one that may reach an extern call, in other memory than its node has? */
static bool was_written(const Trace *trace, const sn_tensor *x) {
    return x->kind == TENSOR_PROXY && x->dtype == SN_F32 &&
           trace->roots.data[trace->views.data[x->record].root].version > 0;
}

/* Axes from the longest stride to the shortest; true when the strides are dense in that order. */
static bool packed_order(const sn_tensor *x, int64_t *axes) {
    int64_t reach = 1;
    for (int32_t i = 0; i < x->rank; i++) {
        int32_t at = i;
        for (; at > 0 && x->strides[axes[at - 1]] < x->strides[i]; at--) axes[at] = axes[at - 1];
        axes[at] = i;
    }
    bool packed = true;
    for (int32_t i = x->rank - 1; i >= 0; i--) {
        packed = packed && (x->dims[axes[i]] == 1 || x->strides[axes[i]] == reach);
        reach *= x->dims[axes[i]];
    }
    return packed;
}

/* Does eager copy the operand into dense memory, since the call cannot take its strides? */
static bool eager_copies(const sn_tensor *x) {
    bool runs = false;
    for (int32_t i = 0; i < x->rank; i++) {
        if (x->dims[i] > 1 && x->strides[i] < 0) return true;
        runs = runs || (i + 2 >= x->rank && x->dims[i] > 1 && x->strides[i] == 1);
    }
    return !runs;
}

static LayoutMatch compare(const Trace *trace, const sn_tensor *x, NodeId node, int64_t *axes) {
    Dim own[SN_MAX_RANK], strides[SN_MAX_RANK], offset;
    NodeId base = view_base(&trace->graph, node);
    base_strides(&trace->graph, base, own);
    bool same = view_strides(&trace->graph, node, base, own, strides, &offset);
    for (int32_t i = 0; i < x->rank; i++)
        same = same && (x->dims[i] == 1 || dim_is(strides[i], x->strides[i]));
    if (same || sizes_count(x->dims, x->rank) == 0) return LAYOUT_SAME;
    if (packed_order(x, axes)) return LAYOUT_COPIED;
    for (int32_t i = 0; i < x->rank; i++) axes[i] = i;
    return eager_copies(x) ? LAYOUT_COPIED : LAYOUT_OTHER;
}

bool trace_flush_layouts(Trace *trace, const OpCall *call) {
    int64_t axes[SN_MAX_RANK];
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const sn_tensor *x = call->inputs[i];
        if (!was_written(trace, x)) continue;
        sn_error error;
        error_init(&error);
        NodeId node = trace_derive(trace, x->record, call->site, &error);
        if (node == NODE_NONE) {
            error_raise_from(&error, call->site);
            return false;
        }
        if (compare(trace, x, node, axes) == LAYOUT_OTHER) return trace_flush(trace, call->site);
    }
    return true;
}

/* A dense copy of the axes in this order, seen in the order they had. */
static NodeId copy_in_order(GraphBuilder *b, NodeId node, const int64_t *axes, int32_t rank) {
    int64_t inverse[SN_MAX_RANK];
    for (int32_t i = 0; i < rank; i++) inverse[axes[i]] = i;
    NodeId copy = gb_op1(b, OP_CLONE, gb_permute(b, node, axes, rank));
    return gb_permute(b, copy, inverse, rank);
}

NodeId trace_laid_out(Trace *trace, const sn_tensor *x, NodeId node, Site site) {
    if (!was_written(trace, x)) return node;
    int64_t axes[SN_MAX_RANK];
    sn_error error;
    error_init(&error);
    GraphBuilder b = gb_at(&trace->graph, site, &error);
    node = trace_derive(trace, x->record, site, &error);
    LayoutMatch match = node == NODE_NONE ? LAYOUT_SAME : compare(trace, x, node, axes);
    if (match != LAYOUT_SAME) trace->strided = true;
    if (match == LAYOUT_COPIED) node = copy_in_order(&b, node, axes, x->rank);
    if (node == NODE_NONE) error_raise_from(&error, site);
    return node;
}
