/* Declared and learned dims; see varying.h. */
#include "frontend/graphs/varying.h"

size_t varying_most_declared(int32_t n_dims, const Trace *trace) {
    return (size_t)n_dims * trace->inputs.count;
}

static DeclaredDim declared_dim(const sn_dim *d, uint32_t input) {
    SN_ASSERT(d->axis >= 0 && d->axis < SN_MAX_RANK && d->min >= 0);
    return (DeclaredDim){.name = d->name,
                         .input = input,
                         .axis = d->axis,
                         .least = d->min,
                         .most = d->max ? d->max : INT64_MAX,
                         .multiple_of = d->multiple_of > 1 ? d->multiple_of : 1};
}

SymbolicOptions varying_declared(sn_shapes shapes, const sn_dim *dims, int32_t n_dims,
                                 const Trace *trace, DeclaredDim *out) {
    SymbolicOptions declared = {.dims = out, .all = shapes == SN_SHAPES_DYNAMIC};
    for (int32_t i = 0; i < n_dims; i++)
        for (uint32_t j = 0; j < trace->inputs.count; j++)
            if (trace->inputs.data[j].source == dims[i].tensor)
                out[declared.n_dims++] = declared_dim(&dims[i], j);
    return declared;
}

/* ---- learning -------------------------------------------------------------------------------- */

/* Have both inputs of the same types but for sizes? */
static bool inputs_alike(const Graph *a, const Graph *b) {
    if (a->inputs.count != b->inputs.count) return false;
    for (uint32_t i = 0; i < a->inputs.count; i++) {
        const Node *x = graph_node(a, a->inputs.data[i]), *y = graph_node(b, b->inputs.data[i]);
        if (x->dtype != y->dtype || x->rank != y->rank) return false;
    }
    return true;
}

static void add_varying(GraphCache *cache, int32_t argument, int32_t axis) {
    SN_ASSERT(lock_held(cache->lock));
    for (uint32_t i = 0; i < cache->varying.count; i++) {
        const VaryingDim *known = &cache->varying.data[i];
        if (known->argument == argument && known->axis == axis) return;
    }
    VaryingDim dim = {argument, axis};
    (void)vec_push(&cache->varying, dim); /* else it is learned another time */
}

/* The latest graph whose inputs are like these. */
static const Graph *find_alike(const GraphList *list, const Graph *now) {
    for (uint32_t i = list ? list->count : 0; i-- > 0;) {
        const Graph *known = compiled_graph_recorded(list->graphs[i]);
        if (inputs_alike(known, now)) return known;
    }
    return NULL;
}

void varying_learn(GraphCache *cache, const Trace *trace) {
    const Graph *now = &trace->graph;
    SN_ASSERT(now->inputs.count == trace->inputs.count);
    GraphList *list = graphs_list(cache);
    const Graph *known = find_alike(list, now);
    lock_take(cache->lock);
    for (uint32_t i = 0; known && i < trace->inputs.count; i++) {
        const Node *node = graph_node(now, now->inputs.data[i]);
        const Dim *dims = node_dims(now, node),
                  *before = node_dims(known, graph_node(known, known->inputs.data[i]));
        int32_t source = trace->inputs.data[i].source;
        for (int32_t axis = 0; source >= 0 && axis < node->rank; axis++)
            if (dims[axis].word != before[axis].word) add_varying(cache, source, axis);
    }
    lock_give(cache->lock);
    graph_list_release(list);
}

/* Is it a dim of this input, and more than 1? */
static bool varies(const VaryingDim *d, const TraceInput *input) {
    return input->source == d->argument && d->axis < input->tensor->rank &&
           input->tensor->dims[d->axis] > 1;
}

SymbolicOptions varying_learned(GraphCache *cache, const Trace *trace, DeclaredDim *dims) {
    SymbolicOptions learned = {.dims = dims};
    lock_take(cache->lock);
    for (uint32_t i = 0; i < cache->varying.count; i++)
        for (uint32_t j = 0; j < trace->inputs.count && learned.n_dims < VARYING_MOST; j++) {
            const VaryingDim *d = &cache->varying.data[i];
            if (varies(d, &trace->inputs.data[j]))
                dims[learned.n_dims++] =
                    (DeclaredDim){.input = j, .axis = d->axis, .most = INT64_MAX, .multiple_of = 1};
        }
    lock_give(cache->lock);
    return learned;
}
