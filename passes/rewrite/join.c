/* Joins sink: what pointwise ops make of a cat, or of slices of one, is made of its parts and joined
 * afterwards, so that the cat itself need not be written and read again. Padding by edges and what is
 * computed of shifted slices of it becomes one kernel for the middle, and small ones for the edges.
 *
 * Each value that is known as parts is emitted as the cat of them too, for readers that need it whole; where
 * there are none, that stays behind. What is computed otherwise is not cut, nor is what a reduction reads:
 * it would be stored, where it now runs in the kernel that reads it. Sizes are numbers: of others it is not
 * known which part comes first. */
#include "base/assert.h"
#include "base/status.h"
#include "ir/graph/view_graph.h"
#include "passes/rewrite/decompose.h"

enum {
    MOST_PARTS = 8,    /* each is a kernel */
    MOST_OPERANDS = 8, /* of a pointwise op */
    MOST_AGAIN = 4     /* ops on slices, for each node of the graph: what work may be done twice */
};

/* A value as parts along an axis: part i is elements start[i] to start[i + 1] of it. */
typedef struct Joined {
    int32_t axis;                  /* that axis */
    int32_t count;                 /* how many parts */
    NodeId part[MOST_PARTS];       /* they, in the new graph */
    int64_t start[MOST_PARTS + 1]; /* where each begins, and the end */
} Joined;

/* The pass while it runs. */
typedef struct Joins {
    VEC(Joined) all;  /* those found so far */
    VEC(uint32_t) of; /* by node of the new graph: its place in them + 1; 0 = not known as parts */
    const bool *read_whole; /* by node of the old graph; see find_read_whole */
    int64_t budget;         /* ops on slices that may still be made */
} Joins;

static const Joined *joined_of(const Joins *joins, NodeId id) {
    return id < joins->of.count && joins->of.data[id] ? &joins->all.data[joins->of.data[id] - 1]
                                                      : NULL;
}

static bool computes(OpCode op) {
    return op_is(op, CLASS_POINTWISE) && !op_makes_memory(op);
}

static bool add_part(Joined *j, NodeId part, int64_t size) {
    if (j->count == MOST_PARTS) return false;
    j->part[j->count++] = part;
    j->start[j->count] = j->start[j->count - 1] + size;
    return true;
}

/* Elements first to last along the axis of a value in memory. */
static NodeId slice(GraphBuilder *b, NodeId x, int32_t axis, int64_t first, int64_t last) {
    TensorType type = gb_type(b, x);
    Dim starts[SN_MAX_RANK], steps[SN_MAX_RANK];
    for (int32_t i = 0; i < type.rank; i++) {
        starts[i] = dim_of(0);
        steps[i] = dim_of(1);
    }
    starts[axis] = dim_of(first);
    type.dims[axis] = dim_of(last - first);
    return gb_slice(b, x, starts, steps, type.dims);
}

/* The same of any value. A pointwise op is done on slices of its operands: what is computed in parts of other
 * lengths is not stored in between. */
static NodeId slice_through(GraphBuilder *b, NodeId x, int32_t axis, int64_t first, int64_t last,
                            int64_t *budget) {
    const Node *node = graph_node(b->graph, x);
    OpCode op = (OpCode)node->op;
    if (first == 0 && dim_is(node_dims(b->graph, node)[axis], last)) return x;
    if (!computes(op) || node->n_inputs > MOST_OPERANDS || --*budget < 0)
        return slice(b, x, axis, first, last);
    int32_t rank = node->rank, count = node->n_inputs;
    AttrList attrs;
    attr_copy(&attrs, node_attrs(b->graph, node));
    NodeId operands[MOST_OPERANDS];
    memcpy(operands, node_inputs(b->graph, node), sizeof *operands * (size_t)count);
    for (int32_t i = 0; i < count; i++) {
        if (operands[i] == NODE_NONE) continue;
        TensorType type = gb_type(b, operands[i]);
        int32_t own = axis - (rank - type.rank);
        if (own >= 0 && !dim_is(type.dims[own], 1))
            operands[i] = slice_through(b, operands[i], own, first, last, budget);
        if (b->failed) return NODE_NONE;
    }
    return gb_emit(b, op, operands, count, &attrs);
}

/* The value in whole, known as its parts from here on. */
static NodeId join(Rewrite *r, const Joined *j) {
    Joins *joins = r->state;
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, j->axis);
    NodeId whole = j->count == 1 ? j->part[0] : gb_emit(r->b, OP_CAT, j->part, j->count, &attrs);
    if (r->b->failed) return NODE_NONE;
    while (joins->of.count <= whole)
        if (!vec_push(&joins->of, 0)) return gb_fail(r->b, SN_ERROR_MEMORY, "out of memory");
    if (!vec_push(&joins->all, *j)) return gb_fail(r->b, SN_ERROR_MEMORY, "out of memory");
    joins->of.data[whole] = joins->all.count;
    return whole;
}

static bool has_numbers(const TensorType *type) {
    return dims_are_numbers(type->dims, type->rank);
}

/* A cat of parts of its own dtype and rank, none of them empty. */
static bool parts_of_cat(const Rewrite *r, Joined *j) {
    TensorType type = node_type(r->from, r->id);
    *j = (Joined){.axis = (int32_t)node_attr_int(r->from, r->id, ATTR_AXIS)};
    if (!has_numbers(&type) || r->node->n_inputs < 2) return false;
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId part = rewrite_input(r, i);
        TensorType own = gb_type(r->b, part);
        if (own.rank != type.rank || own.dtype != type.dtype || !has_numbers(&own) ||
            dim_is(own.dims[j->axis], 0) || !add_part(j, part, own.dims[j->axis].word))
            return false;
    }
    return true;
}

/* A part of a joined value, of all its axes: which parts of it are in it. */
static bool parts_of_view(Rewrite *r, const Joined *whole, Joined *j) {
    TensorType type = node_type(r->from, r->id);
    ViewMap map;
    view_map_of(r->from, r->id, &map);
    if (map.regroups || map.rank != type.rank || !has_numbers(&type)) return false;
    for (int32_t i = 0; i < map.rank; i++) {
        bool kept = map.axes[i].from == i && dim_is(map.axes[i].step, 1) && !map.axes[i].inner;
        bool all =
            dim_is(map.axes[i].start, 0) &&
            dim_same(type.dims[i],
                     node_dims(r->from, graph_node(r->from, node_inputs(r->from, r->node)[0]))[i]);
        if (!kept || (i != whole->axis && !all)) return false;
    }
    if (!dim_is_number(map.axes[whole->axis].start)) return false;
    int64_t first = map.axes[whole->axis].start.word;
    int64_t last = first + type.dims[whole->axis].word;
    *j = (Joined){.axis = whole->axis};
    for (int32_t i = 0; i < whole->count; i++) {
        int64_t from = whole->start[i] > first ? whole->start[i] : first;
        int64_t to = whole->start[i + 1] < last ? whole->start[i + 1] : last;
        if (from >= to) continue;
        NodeId part = whole->part[i];
        /* slices may overlap: what is computed is not computed again */
        if (to - from < whole->start[i + 1] - whole->start[i])
            part = slice(r->b, part, whole->axis, from - whole->start[i], to - whole->start[i]);
        if (part == NODE_NONE || !add_part(j, part, to - from)) return false;
    }
    return j->count > 0;
}

/* An operand that is known as parts along this axis of the result; NULL. */
static const Joined *joined_along(const Rewrite *r, NodeId id, int32_t axis) {
    const Joined *j = id == NODE_NONE ? NULL : joined_of(r->state, id);
    if (!j || j->axis + r->node->rank - gb_type(r->b, id).rank != axis) return NULL;
    return dim_is(node_dims(r->from, r->node)[axis], j->start[j->count]) ? j : NULL;
}

/* The part that holds this element. */
static int32_t part_at(const Joined *j, int64_t at) {
    int32_t part = 0;
    while (j->start[part + 1] <= at) part++;
    SN_ASSERT(part < j->count);
    return part;
}

/* The least end of a part behind `at` of any operand. */
static int64_t next_end(const Rewrite *r, int32_t axis, int64_t at, int64_t size) {
    int64_t end = size;
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        const Joined *j = joined_along(r, rewrite_input(r, i), axis);
        if (!j) continue;
        int64_t own = j->start[part_at(j, at) + 1];
        if (own < end) end = own;
    }
    return end;
}

/* Is this in memory whoever reads it, so that a slice of it costs nothing? */
static bool is_in_memory(const GraphBuilder *b, NodeId id) {
    OpCode op = (OpCode)graph_node(b->graph, view_base(b->graph, id))->op;
    return op_is(op, CLASS_SOURCE) || op == OP_CAT;
}

static bool spans(const Rewrite *r, NodeId id, int32_t axis) {
    TensorType type = gb_type(r->b, id);
    int32_t own = axis - (r->node->rank - type.rank);
    return own >= 0 && !dim_is(type.dims[own], 1);
}

/* Elements first to last of an operand, along that axis of the result. */
static NodeId operand_part(Rewrite *r, NodeId id, int32_t axis, int64_t first, int64_t last) {
    if (!spans(r, id, axis)) return id;
    Joins *joins = r->state;
    int32_t own = axis - (r->node->rank - gb_type(r->b, id).rank);
    const Joined *j = joined_along(r, id, axis);
    if (!j) return slice(r->b, id, own, first, last);
    int32_t part = part_at(j, first);
    return slice_through(r->b, j->part[part], own, first - j->start[part], last - j->start[part],
                         &joins->budget);
}

/* Can all operands be cut along the axis? */
static bool can_be_cut(const Rewrite *r, int32_t axis) {
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId id = rewrite_input(r, i);
        if (id != NODE_NONE && spans(r, id, axis) && !joined_along(r, id, axis) &&
            !is_in_memory(r->b, id))
            return false;
    }
    return true;
}

/* A pointwise op on parts. */
static bool parts_of_pointwise(Rewrite *r, int32_t axis, Joined *j) {
    TensorType type = node_type(r->from, r->id);
    *j = (Joined){.axis = axis};
    if (!has_numbers(&type) || r->node->n_inputs > MOST_OPERANDS || !can_be_cut(r, axis))
        return false;
    int64_t size = type.dims[axis].word;
    for (int64_t at = 0, end; at < size; at = end) {
        end = next_end(r, axis, at, size);
        if (j->count == MOST_PARTS) return false;
        NodeId operands[MOST_OPERANDS];
        for (int32_t i = 0; i < r->node->n_inputs; i++) {
            operands[i] = rewrite_input(r, i);
            if (operands[i] != NODE_NONE) operands[i] = operand_part(r, operands[i], axis, at, end);
        }
        NodeId part = gb_emit_like(r->b, node_attrs(r->from, r->node), operands, r->node->n_inputs);
        if (part == NODE_NONE || !add_part(j, part, end - at)) return false;
    }
    return j->count > 0;
}

/* What is read whole lies in memory: what is computed of it may as well read it there. */
static void forget(Joins *joins, NodeId id) {
    if (id != NODE_NONE && id < joins->of.count) joins->of.data[id] = 0;
}

/* What runs in the kernel of a reader that goes over all of it, such as a reduction, through other ops too.
 * Results and what products read are in memory whoever else reads them. */
static void find_read_whole(const Graph *graph, bool *read_whole, bool *in_memory) {
    for (uint32_t i = 0; i < graph->outputs.count; i++)
        in_memory[graph->outputs.data[i].node] = true;
    for (NodeId i = graph->nodes.count; i-- > 0;) {
        const Node *node = graph_node(graph, i);
        OpCode op = (OpCode)node->op;
        bool passes_on = computes(op) || op_is(op, CLASS_VIEW);
        if (passes_on ? !read_whole[i] : op == OP_CAT || op_has(op, F_CONTRACTS)) continue;
        for (int32_t j = 0; j < node->n_inputs; j++) {
            NodeId id = node_inputs(graph, node)[j];
            if (id != NODE_NONE) read_whole[id] = !in_memory[id];
        }
    }
}

/* The first operand that is known as parts, those of `joined`; NODE_NONE. */
static NodeId joined_operand(const Rewrite *r, Joined *joined) {
    const Joins *joins = r->state;
    for (int32_t i = 0; i < r->node->n_inputs; i++) {
        NodeId id = rewrite_input(r, i);
        const Joined *found = id == NODE_NONE ? NULL : joined_of(joins, id);
        if (!found) continue;
        *joined = *found;
        return id;
    }
    return NODE_NONE;
}

static bool parts_of(Rewrite *r, Joined *j) {
    OpCode op = (OpCode)r->node->op;
    const Joins *joins = r->state;
    if (op == OP_CAT) return parts_of_cat(r, j);
    bool view = op_is(op, CLASS_VIEW);
    if (!view && (!computes(op) || joins->read_whole[r->id])) return false;
    Joined operand;
    NodeId id = joined_operand(r, &operand);
    if (id == NODE_NONE) return false;
    if (view) return parts_of_view(r, &operand, j) && (j->count == 1 || !joins->read_whole[r->id]);
    return parts_of_pointwise(r, operand.axis + r->node->rank - gb_type(r->b, id).rank, j);
}

static NodeId sink(Rewrite *r) {
    Joined j;
    if (parts_of(r, &j)) return join(r, &j);
    if (r->b->failed) return NODE_NONE;
    for (int32_t i = 0; i < r->node->n_inputs; i++) forget(r->state, rewrite_input(r, i));
    return rewrite_keep(r);
}

sn_status sink_joins(PassContext *context) {
    const Graph *graph = &context->graph;
    size_t count = graph->nodes.count;
    bool any = false;
    for (NodeId i = 0; i < count; i++) any = any || graph_node(graph, i)->op == OP_CAT;
    if (!any) return SN_OK;
    bool *read_whole = arena_zalloc(&context->arena, sizeof *read_whole * 2 * count);
    if (!read_whole) return error_memory(context->error);
    find_read_whole(graph, read_whole, read_whole + count);
    Joins joins = {.read_whole = read_whole, .budget = MOST_AGAIN * (int64_t)count};
    const RewritePass pass = {
        .name = "decompose", .rule = sink, .result = rewrite_own_memory, .state = &joins};
    context->graph.no_fold = true; /* rules are for what decompose leaves */
    sn_status status = rewrite_graph(context, &pass);
    vec_free(&joins.all);
    vec_free(&joins.of);
    if (status == SN_OK) status = rewrite_graph(context, &rewrite_live);
    context->graph.no_fold = false;
    return status;
}
