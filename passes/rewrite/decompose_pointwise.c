/* decompose, pointwise ops: explicit casts to one dtype, half types computed in f32 and rounded at
 * the op's end, attributes turned into scalars that become kernel arguments. */
#include "passes/rewrite/decompose.h"

#include <math.h>

/* The dtype in which the node's operands meet, before widening. */
static sn_dtype meeting_dtype(const Rewrite *r) {
    OpCode op = (OpCode)r->node->op;
    if (op_info[op].dtype_rule != DTYPE_BOOL) return rewrite_dtype(r);
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

/* Is the integer a constant that a value of `dtype` equals? Then nothing is lost where they meet. */
static bool fits(const Graph *graph, const Node *node, sn_dtype dtype) {
    if (!node_is_const(node) || !dtype_is_int((sn_dtype)node->dtype)) return false;
    GraphConst constant = node_const(graph, node);
    bool known = constant.kind == CONST_LITERAL || constant.kind == CONST_HOISTED;
    return known && dtype_holds_int(dtype, constant.word);
}

/* In which dtype operand i of the node takes part, where they meet in `meet`. */
static sn_dtype operand_dtype(const Rewrite *r, sn_dtype meet, int32_t i) {
    NodeId input = node_inputs(r->from, r->node)[i];
    if (input == NODE_NONE) return meet;
    const Node *node = graph_node(r->from, input);
    if (node->rank > 0 || fits(r->from, node, meet)) return meet;
    return op_scalar_dtype((OpCode)r->node->op, meet, (sn_dtype)node->dtype);
}

/* Integers meet in the widest type in which one of them takes part. */
static sn_dtype widen_integers(const Rewrite *r, sn_dtype meet) {
    sn_dtype dtype = meet;
    if (!dtype_is_int(meet)) return meet;
    for (int32_t i = 0; i < r->node->n_inputs; i++)
        dtype = dtype_promote(dtype, operand_dtype(r, meet, i));
    return dtype;
}

/* x, integers of a wider dtype, in `dtype`: the nearest value there. */
static NodeId saturate(GraphBuilder *b, sn_dtype dtype, NodeId x) {
    sn_dtype wide = gb_dtype(b, x);
    int64_t low = dtype_bits_to_int(dtype, dtype_bits_from_double(dtype, -INFINITY));
    int64_t high = dtype_bits_to_int(dtype, dtype_bits_from_double(dtype, INFINITY));
    x = gb_op2(b, OP_MAXIMUM, x, gb_literal(b, wide, (double)low));
    return gb_cast(b, dtype, gb_op2(b, OP_MINIMUM, x, gb_literal(b, wide, (double)high)));
}

/* Operand i where the operands meet in `dtype`. */
static NodeId operand(Rewrite *r, sn_dtype dtype, int32_t i) {
    GraphBuilder *b = r->b;
    NodeId x = rewrite_input(r, i);
    if (x == NODE_NONE) return x;
    bool wider = dtype_is_int(dtype) && dtype_promote(dtype, gb_dtype(b, x)) != dtype &&
                 !fits(r->from, graph_node(r->from, node_inputs(r->from, r->node)[i]), dtype);
    if (wider && op_has((OpCode)r->node->op, F_PICKS)) return saturate(b, dtype, x);
    return gb_meet(b, operand_dtype(r, dtype, i), x);
}

NodeId rule_pointwise(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId inputs[OP_MOST_PARAMS];
    bool copies = r->node->op == OP_CLONE; /* it moves elements as they are */
    sn_dtype dtype = widen_integers(r, meeting_dtype(r));
    for (int32_t i = 0; i < r->node->n_inputs; i++)
        inputs[i] = copies ? rewrite_input(r, i) : operand(r, dtype, i);
    NodeId y = gb_emit_like(b, node_attrs(r->from, r->node), inputs, r->node->n_inputs);
    return gb_cast(b, rewrite_dtype(r), y);
}

NodeId rule_cast(Rewrite *r) {
    return gb_cast(r->b, rewrite_dtype(r), rewrite_input(r, 0));
}

NodeId rule_where(Rewrite *r) {
    GraphBuilder *b = r->b;
    sn_dtype dtype = rewrite_dtype(r);
    NodeId condition = gb_cast(b, SN_BOOL, rewrite_input(r, 0));
    NodeId x = gb_meet(b, dtype, rewrite_input(r, 1)), y = gb_meet(b, dtype, rewrite_input(r, 2));
    return gb_cast(b, dtype, gb_op3(b, OP_WHERE, condition, x, y));
}

NodeId rule_leaky_relu(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    sn_dtype dtype = gb_dtype(b, x);
    NodeId slope = rewrite_number(r, dtype, ATTR_SLOPE);
    NodeId positive = gb_op2(b, OP_GT, x, gb_literal(b, dtype, 0));
    NodeId y = gb_op3(b, OP_WHERE, positive, x, gb_op2(b, OP_MUL, x, slope));
    return gb_cast(b, rewrite_dtype(r), y);
}

NodeId rule_elu(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    sn_dtype dtype = gb_dtype(b, x);
    NodeId alpha = rewrite_number(r, dtype, ATTR_ALPHA);
    NodeId positive = gb_op2(b, OP_GT, x, gb_literal(b, dtype, 0));
    NodeId below = gb_op2(b, OP_MUL, gb_op1(b, OP_EXPM1, x), alpha);
    return gb_cast(b, rewrite_dtype(r), gb_op3(b, OP_WHERE, positive, x, below));
}

NodeId rule_hardtanh(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    sn_dtype dtype = gb_dtype(b, x);
    NodeId low = rewrite_number(r, dtype, ATTR_LOW);
    NodeId high = rewrite_number(r, dtype, ATTR_HIGH);
    NodeId y = gb_op2(b, OP_MINIMUM, gb_op2(b, OP_MAXIMUM, x, low), high);
    return gb_cast(b, rewrite_dtype(r), y);
}

NodeId rule_softplus(Rewrite *r) {
    GraphBuilder *b = r->b;
    NodeId x = gb_widen(b, rewrite_input(r, 0));
    sn_dtype dtype = gb_dtype(b, x);
    NodeId beta = rewrite_number(r, dtype, ATTR_BETA);
    NodeId threshold = rewrite_number(r, dtype, ATTR_THRESHOLD);
    NodeId scaled = gb_op2(b, OP_MUL, x, beta);
    NodeId soft = gb_op2(b, OP_DIV, gb_op1(b, OP_LOG1P, gb_op1(b, OP_EXP, scaled)), beta);
    NodeId y = gb_op3(b, OP_WHERE, gb_op2(b, OP_GT, scaled, threshold), x, soft);
    return gb_cast(b, rewrite_dtype(r), y);
}

NodeId rule_addcmul(Rewrite *r) {
    GraphBuilder *b = r->b;
    sn_dtype result = rewrite_dtype(r);
    NodeId x = operand(r, result, 0), y = operand(r, result, 1), z = operand(r, result, 2);
    sn_dtype dtype = gb_dtype(b, x);
    NodeId value = rewrite_number(r, dtype_is_int(dtype) ? SN_I64 : dtype, ATTR_VALUE);
    value = gb_cast(b, dtype, value); /* integers wrap, as the product does */
    NodeId product = gb_op2(b, OP_MUL, gb_op2(b, OP_MUL, value, y), z);
    return gb_cast(b, result, gb_op2(b, OP_ADD, x, product));
}
