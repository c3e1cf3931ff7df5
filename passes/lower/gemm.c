/* Lowering a contraction: a step of its own, one call of the matrix library on strided operands. */
#include "base/status.h"
#include "ir/graph/view_graph.h"
#include "passes/lower/lower.h"

static ArgRef operand_ref(const Lower *l, NodeId node, Dim *strides) {
    NodeId base = view_base(l->graph, node);
    Dim own[SN_MAX_RANK], offset;
    uint32_t buffer = (uint32_t)l->plan->buffer_of[base]; /* that of no value is out of bounds */
    memory_strides(l->graph, program_buffer(l->program, buffer)->node, base, own);
    view_strides(l->graph, node, base, own, strides, &offset);
    return (ArgRef){buffer, program_sizes(l->program, l->graph->table, &offset, 1)};
}

/* Bytes and operations of C[batch][m][n] = A B. */
static void gemm_costs(const Lower *l, NodeId id, Dim *costs) {
    const Node *node = graph_node(l->graph, id);
    const NodeId *inputs = node_inputs(l->graph, node);
    DimTable *table = l->graph->table;
    Dim results = node_count(l->graph, id),
        size = dim_of((int64_t)sn_dtype_size((sn_dtype)node->dtype));
    Dim read = dim_add(table, node_count(l->graph, inputs[0]), node_count(l->graph, inputs[1]));
    Dim k = node_dims(l->graph, graph_node(l->graph, inputs[0]))[node->rank - 1];
    costs[COST_BYTES] = dim_mul(table, dim_add(table, read, results), size);
    costs[COST_BYTES_STORED] = dim_mul(table, results, size);
    costs[COST_INSTRUCTIONS] = dim_mul(table, results, k);
    costs[COST_FLOPS] = dim_mul(table, costs[COST_INSTRUCTIONS], dim_of(2));
}

/* Strides of a matrix with `rank` dims, for two batch levels; a level that is repeated has stride 0. */
static void gemm_strides(const Dim *dims, const Dim *strides, int32_t rank, Dim *out) {
    out[0] = out[1] = dim_of(0);
    for (int32_t i = 0; i < rank; i++) {
        bool repeats = i < rank - 2 && dim_is(dims[i], 1);
        out[4 - rank + i] = repeats ? dim_of(0) : strides[i];
    }
}

static ArgRef gemm_operand(const Lower *l, NodeId id, Dim *out) {
    const Node *node = graph_node(l->graph, id);
    Dim strides[SN_MAX_RANK];
    ArgRef ref = operand_ref(l, id, strides);
    gemm_strides(node_dims(l->graph, node), strides, node->rank, out);
    return ref;
}

sn_status lower_gemm(Lower *l, NodeId id) {
    const Node *node = graph_node(l->graph, id);
    const NodeId *inputs = node_inputs(l->graph, node);
    const Dim *dims = node_dims(l->graph, node), none = {0};
    int32_t rank = node->rank;
    if (node_is_empty(l->graph, id)) return SN_OK;
    DimTable *table = l->graph->table;
    Step step = {
        .kind = STEP_GEMM, .site = node->site, .label = "gemm", .group = (int32_t)l->step->group};
    GemmStep *gemm = &step.gemm;
    Dim numbers[GEMM_NUMBERS], costs[STEP_COSTS], strides[SN_MAX_RANK];
    Dim *sizes = numbers + GEMM_SIZES;
    sizes[0] = rank == 4 ? dims[0] : dim_of(1);
    memcpy(sizes + 1, dims + rank - 3, sizeof *sizes * 3);
    sizes[4] = node_dims(l->graph, graph_node(l->graph, inputs[0]))[rank - 1];
    gemm->relu = node_attr_bool(l->graph, id, ATTR_RELU);
    gemm->dtype = node->dtype;
    gemm->a = gemm_operand(l, inputs[0], numbers + GEMM_A_STRIDES);
    gemm->b = gemm_operand(l, inputs[1], numbers + GEMM_B_STRIDES);
    gemm->bias = (ArgRef){UINT32_MAX, PLACE_NONE};
    if (inputs[2] != NODE_NONE) gemm->bias = operand_ref(l, inputs[2], strides);
    gemm->c.buffer = (uint32_t)l->plan->buffer_of[id];
    gemm->c.offset = program_sizes(l->program, table, &none, 1);
    base_strides(l->graph, id, strides);
    gemm_strides(dims, strides, rank, numbers + GEMM_C_STRIDES);
    gemm->numbers = program_sizes(l->program, table, numbers, GEMM_NUMBERS);
    gemm_costs(l, id, costs);
    step.costs = program_sizes(l->program, table, costs, STEP_COSTS);
    bool ok = gemm->a.offset != PLACE_NONE && gemm->b.offset != PLACE_NONE &&
              (inputs[2] == NODE_NONE || gemm->bias.offset != PLACE_NONE) &&
              gemm->c.offset != PLACE_NONE && gemm->numbers != PLACE_NONE &&
              step.costs != PLACE_NONE && vec_push(&l->program->steps, step) &&
              vec_push(&l->context->rows, (StepRows){.alone = true});
    return ok ? SN_OK : error_memory(l->context->error);
}
