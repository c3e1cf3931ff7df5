/* decompose, pointwise ops: explicit casts to one dtype, half types computed in f32 and rounded at
 * the op's end, attributes turned into scalars that become kernel arguments. */
#include "passes/rewrite/decompose.h"

#include "base/status.h"

/* The dtype in which the node's operands meet, before widening. */
static sn_dtype meeting_dtype(const Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    if (op_info[op].dtype_rule != DTYPE_BOOL) return (sn_dtype)r->node->dtype;
    sn_dtype dtypes[OP_MOST_PARAMS];
    uint8_t strengths[OP_MOST_PARAMS];
    int32_t n = r->node->n_inputs;
    for (int32_t i = 0; i < n; i++) {
        TensorType type = node_type(r->from, node_inputs(r->from, r->node)[i]);
        dtypes[i] = (sn_dtype)type.dtype;
        strengths[i] = type.strength;
    }
    return dtype_result(dtypes, strengths, n);
}

static NodeId meet(Rewrite *r, sn_dtype dtype, NodeId x) {
    return rw_widen(r, rw_cast(r, dtype, x));
}

NodeId rule_pointwise(Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    sn_dtype result = (sn_dtype)r->node->dtype;
    /* A copy moves elements as they are. */
    sn_dtype dtype = meeting_dtype(r);
    NodeId inputs[OP_MOST_PARAMS];
    for (int32_t i = 0; i < r->node->n_inputs; i++)
        inputs[i] = op == OP_CLONE ? rw_input(r, i) : meet(r, dtype, rw_input(r, i));
    AttrList attrs;
    attr_copy(&attrs, node_attrs(r->from, r->node));
    return rw_cast(r, result, rw_emit(r, op, inputs, r->node->n_inputs, &attrs));
}

NodeId rule_cast(Rewrite *r) {
    return rw_cast(r, (sn_dtype)r->node->dtype, rw_input(r, 0));
}

NodeId rule_where(Rewrite *r) {
    sn_dtype dtype = (sn_dtype)r->node->dtype;
    NodeId condition = rw_cast(r, SN_BOOL, rw_input(r, 0));
    NodeId x = meet(r, dtype, rw_input(r, 1)), y = meet(r, dtype, rw_input(r, 2));
    return rw_cast(r, dtype, rw_op3(r, OP_WHERE, condition, x, y));
}

NodeId rule_leaky_relu(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    NodeId slope = rw_number(r, dtype, ATTR_SLOPE);
    NodeId positive = rw_op2(r, OP_GT, x, rw_literal(r, dtype, 0));
    NodeId y = rw_op3(r, OP_WHERE, positive, x, rw_op2(r, OP_MUL, x, slope));
    return rw_cast(r, (sn_dtype)r->node->dtype, y);
}

NodeId rule_elu(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    NodeId alpha = rw_number(r, dtype, ATTR_ALPHA);
    NodeId positive = rw_op2(r, OP_GT, x, rw_literal(r, dtype, 0));
    NodeId below = rw_op2(r, OP_MUL, rw_op1(r, OP_EXPM1, x), alpha);
    return rw_cast(r, (sn_dtype)r->node->dtype, rw_op3(r, OP_WHERE, positive, x, below));
}

NodeId rule_hardtanh(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    NodeId low = rw_number(r, dtype, ATTR_LOW);
    NodeId high = rw_number(r, dtype, ATTR_HIGH);
    NodeId y = rw_op2(r, OP_MINIMUM, rw_op2(r, OP_MAXIMUM, x, low), high);
    return rw_cast(r, (sn_dtype)r->node->dtype, y);
}

NodeId rule_softplus(Rewrite *r) {
    NodeId x = rw_widen(r, rw_input(r, 0));
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    NodeId beta = rw_number(r, dtype, ATTR_BETA);
    NodeId threshold = rw_number(r, dtype, ATTR_THRESHOLD);
    NodeId scaled = rw_op2(r, OP_MUL, x, beta);
    NodeId soft = rw_op2(r, OP_DIV, rw_op1(r, OP_LOG1P, rw_op1(r, OP_EXP, scaled)), beta);
    NodeId y = rw_op3(r, OP_WHERE, rw_op2(r, OP_GT, scaled, threshold), x, soft);
    return rw_cast(r, (sn_dtype)r->node->dtype, y);
}

NodeId rule_addcmul(Rewrite *r) {
    sn_dtype result = (sn_dtype)r->node->dtype;
    NodeId x = meet(r, result, rw_input(r, 0)), y = meet(r, result, rw_input(r, 1));
    NodeId z = meet(r, result, rw_input(r, 2));
    sn_dtype dtype = (sn_dtype)rw_type(r, x).dtype;
    NodeId value = rw_number(r, dtype, ATTR_VALUE);
    NodeId product = rw_op2(r, OP_MUL, rw_op2(r, OP_MUL, value, y), z);
    return rw_cast(r, result, rw_op2(r, OP_ADD, x, product));
}
