/* The verifier: every rule that the op table and graph.h state about a graph, checked on what is
 * stored, not on what graph_emit meant to store. Runs after every pass in tests. */
#include "base/small.h"
#include "base/status.h"
#include "ir/graph/graph.h"
#include "ir/infer/infer.h"
#include "ir/op/dtype.h"

enum { FEW_OPERANDS = 16 }; /* operands handled without a heap request */

/* A defect at a node; names it, its op and the rule that it breaks. */
static sn_status defect(sn_error *error, const Graph *graph, NodeId id, const char *rule) {
    uint32_t op = graph_node(graph, id)->op;
    return error_set(error, SN_ERROR_INTERNAL, "verify: %%%u = %s: %s", id,
                     op < OP_COUNT ? op_info[op].name : "?", rule);
}

/* Every offset and index stays inside its array; nothing else may be read before this holds. */
static const char *check_ranges(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    if (node->op >= OP_COUNT || op_is((OpCode)node->op, CLASS_KERNEL)) return "not an op of graphs";
    if (node->dtype >= SN_DTYPE_COUNT) return "no such dtype";
    if (node->rank > SN_MAX_RANK) return "too many dims";
    if (node->n_attrs > ATTR_MOST) return "too many attribute words";
    if ((uint64_t)node->inputs + node->n_inputs > graph->operands.count)
        return "operands outside the graph";
    if ((uint64_t)node->dims + node->rank > graph->words.count) return "dims outside the graph";
    if ((uint64_t)node->attrs + node->n_attrs > graph->words.count)
        return "attributes outside the graph";
    if (node->site >= graph->sites.count) return "source line outside the graph";
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        if (input != NODE_NONE && input >= id) return "an operand that comes later";
    }
    return NULL;
}

static const char *check_dims(const Graph *graph, const Node *node) {
    const Dim *dims = node_dims(graph, node);
    for (uint32_t i = 0; i < node->rank; i++) {
        if (!dim_is_number(dims[i]) && !dims_has(graph->table, dims[i]))
            return "an expression outside the table";
        if (dim_is_number(dims[i]) && dims[i].word < 0) return "a negative size";
    }
    Dim count = dims_count(graph->table, dims, node->rank);
    return dim_is(count, -1) ? "too many elements" : NULL;
}

/* Tensor parameters take one operand each, an array one or more; only `t?` may be absent. */
static const char *check_signature(const Graph *graph, const Node *node) {
    int32_t n_params;
    const OpParam *params = op_params((OpCode)node->op, &n_params);
    const OpOperands *operands = op_operands((OpCode)node->op);
    if (node->n_inputs < operands->count ||
        (operands->array < 0 && node->n_inputs > operands->count))
        return "wrong number of operands";
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const OpParam *param = &params[op_operand_param(operands, i, node->n_inputs)];
        if (node_inputs(graph, node)[i] == NODE_NONE && param->suffix != '?')
            return "an absent operand";
    }
    return NULL;
}

static const char *check_input(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    AttrView attrs = node_attrs(graph, node);
    if (!attr_fits(attrs)) return "wrong number of attribute words";
    int32_t n_strides;
    const Dim *strides = attr_dims(attrs, ATTR_STRIDES, &n_strides);
    if (n_strides && n_strides != node->rank) return "wrong number of strides";
    int64_t number = attr_int(attrs, ATTR_NUMBER);
    if (number < 0 || number >= graph->inputs.count || graph->inputs.data[number] != id)
        return "not the input of its number";
    for (int32_t i = 0; i < n_strides; i++)
        if (!number_is_dim(strides[i].word) && !dims_has(graph->table, strides[i]))
            return "a stride outside the table";
    return NULL;
}

static const char *check_const(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    if (node->rank != 0) return "a constant is a scalar";
    AttrView attrs = node_attrs(graph, node);
    if (!attr_fits(attrs)) return "wrong number of attribute words";
    int64_t word = attr_int(attrs, ATTR_BITS), kind = attr_int(attrs, ATTR_HOIST);
    if (attrs.words[attr_word(attrs, ATTR_WEAK)] & ~(int64_t)1)
        return "a flag that is neither 0 nor 1";
    if (kind < CONST_LITERAL || kind > CONST_REAL) return "no such kind of constant";
    if (kind == CONST_SCALAR || kind == CONST_REAL) return NULL;
    if (kind == CONST_SIZE)
        return dims_has(graph->table, (Dim){word}) ? NULL : "a size that is no expression";
    uint64_t element = 0;
    dtype_store((sn_dtype)node->dtype, &element, (uint64_t)word);
    if (dtype_load((sn_dtype)node->dtype, &element) != (uint64_t)word)
        return "bits that are no value of its dtype";
    return NULL;
}

/* Infers the node again from its operands: the stored type must come out, and the stored attributes
 * must be the normal form. */
static sn_status check_inferred(const Graph *graph, NodeId id, TensorType *types, sn_error *error) {
    const Node *node = graph_node(graph, id);
    AttrList attrs;
    attr_copy(&attrs, node_attrs(graph, node));
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        types[i] = input == NODE_NONE ? (TensorType){.rank = RANK_ABSENT} : node_type(graph, input);
    }
    TensorType type;
    sn_error inner = {0};
    if (op_infer(graph->table, (OpCode)node->op, types, node->n_inputs, &attrs, &type, &inner) !=
        SN_OK)
        return defect(error, graph, id, inner.text);
    if (type.dtype != node->dtype) return defect(error, graph, id, "not the inferred dtype");
    if (!node_has_dims(graph, node, type.dims, type.rank))
        return defect(error, graph, id, "not the inferred shape");
    if (attrs.count != node->n_attrs ||
        memcmp(attrs.words, node_attrs(graph, node).words, sizeof(int64_t) * node->n_attrs) != 0)
        return defect(error, graph, id, "attributes not in normal form");
    return SN_OK;
}

sn_status graph_verify_node(const Graph *graph, NodeId id, sn_error *error) {
    SMALL(TensorType, FEW_OPERANDS) types;
    if (!small_open(&types, graph_node(graph, id)->n_inputs)) return error_memory(error);
    sn_status status = check_inferred(graph, id, types.data, error);
    small_close(&types);
    return status;
}

static sn_status check_node(const Graph *graph, NodeId id, sn_error *error) {
    const Node *node = graph_node(graph, id);
    const char *broken = check_ranges(graph, id);
    if (!broken) broken = check_dims(graph, node);
    if (!broken) broken = check_signature(graph, node);
    if (!broken && node_is_input(node)) broken = check_input(graph, id);
    if (!broken && node_is_const(node)) broken = check_const(graph, id);
    if (broken) return defect(error, graph, id, broken);
    if (op_is_given_type((OpCode)node->op)) return SN_OK;
    return graph_verify_node(graph, id, error);
}

/* Sizes that are different expressions may be equal whenever the graph is run, as those of a write are;
 * for the sizes at hand they must be. */
static bool sizes_agree(const Graph *graph, const Node *x, const Node *y) {
    bool agree = x->rank == y->rank;
    for (int32_t i = 0; agree && i < x->rank; i++)
        agree = dim_hint(graph->table, node_dims(graph, x)[i]) ==
                dim_hint(graph->table, node_dims(graph, y)[i]);
    return agree;
}

/* A write comes behind all results, one an input, and fills that input exactly. `written` has a
 * byte for each input. */
static const char *check_write(const Graph *graph, GraphOutput output, uint8_t *written) {
    if (output.writes_input < 0 || (uint32_t)output.writes_input >= graph->inputs.count)
        return "writes no input";
    if (written[output.writes_input]) return "writes an input a second time";
    written[output.writes_input] = 1;
    const Node *value = graph_node(graph, output.node);
    const Node *input = graph_node(graph, graph->inputs.data[output.writes_input]);
    bool same = value->dtype == input->dtype && sizes_agree(graph, value, input);
    return same ? NULL : "writes an input of another type";
}

static sn_status check_outputs(const Graph *graph, sn_error *error) {
    uint8_t *written = mem_calloc(graph->inputs.count, 1);
    if (!written) return error_memory(error);
    const char *broken = NULL;
    bool writes = false;
    uint32_t i = 0;
    for (; i < graph->outputs.count && !broken; i++) {
        GraphOutput output = graph->outputs.data[i];
        if (output.node >= graph->nodes.count) {
            broken = "no node of the graph";
        } else if (output.writes_input == -1) {
            broken = writes ? "a result behind a write" : NULL;
        } else {
            broken = check_write(graph, output, written);
            writes = true;
        }
    }
    mem_free(written);
    if (!broken) return SN_OK;
    return error_set(error, SN_ERROR_INTERNAL, "verify: output %u: %s", i - 1, broken);
}

static sn_status check_inputs(const Graph *graph, sn_error *error) {
    for (uint32_t i = 0; i < graph->inputs.count; i++) {
        NodeId id = graph->inputs.data[i];
        if (id >= graph->nodes.count || !node_is_input(graph_node(graph, id)))
            return error_set(error, SN_ERROR_INTERNAL, "verify: input %u is no INPUT node", i);
        if (i && id <= graph->inputs.data[i - 1])
            return error_set(error, SN_ERROR_INTERNAL, "verify: input %u is out of order", i);
    }
    return SN_OK;
}

sn_status graph_verify(const Graph *graph, sn_error *error) {
    sn_status status = check_inputs(graph, error);
    for (NodeId id = 0; status == SN_OK && id < graph->nodes.count; id++)
        status = check_node(graph, id, error);
    return status == SN_OK ? check_outputs(graph, error) : status;
}
