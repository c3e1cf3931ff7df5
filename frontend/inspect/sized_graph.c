/* Graphs with sizes; see sized_graph.h. */
#include "frontend/inspect/sized_graph.h"

bool sized_open(const GraphInstance *instance, SizedGraph *sized) {
    const CompiledGraph *graph = instance->graph;
    sized->graph = graph->symbolic ? &graph->symbolic->graph : &graph->own;
    sized->values = instance_values(instance);
    return sized->values || !graph->symbolic;
}

void sized_close(SizedGraph *sized) {
    mem_free(sized->values);
}

static int64_t sized_dim(const SizedGraph *sized, Dim dim) {
    return sized->values ? dim_value(sized->values, dim) : dim_hint(sized->graph->table, dim);
}

TensorType sized_type(const SizedGraph *sized, NodeId id) {
    TensorType type = node_type(sized->graph, id);
    for (int32_t i = 0; i < type.rank; i++) type.dims[i] = dim_of(sized_dim(sized, type.dims[i]));
    return type;
}

bool sized_fits(const SizedGraph *sized, uint32_t input, const sn_tensor *t) {
    if (!tensor_is_alive(t) || t->kind != TENSOR_REAL) return false;
    SN_ASSERT(input < sized->graph->inputs.count);
    NodeId id = sized->graph->inputs.data[input];
    TensorType wanted = sized_type(sized, id);
    int32_t n;
    const Dim *dims = node_attr_dims(sized->graph, id, ATTR_STRIDES, &n);
    int64_t strides[SN_MAX_RANK];
    for (int32_t i = 0; i < n; i++) strides[i] = sized_dim(sized, dims[i]);
    size_t bytes = sizeof(int64_t) * t->rank;
    return t->dtype == wanted.dtype && t->rank == wanted.rank &&
           memcmp(t->dims, wanted.dims, bytes) == 0 &&
           (n ? memcmp(t->strides, strides, bytes) == 0 : tensor_is_dense(t));
}
