/* The oracle: values, comparing, and the walk over a graph. See oracle.h. */
#include "tests/oracle.h"

#include "ir/op/dtype.h"
#include "tests/oracle_call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---------------------------------------------------------------------------------- */

bool oracle_alloc(OracleTensor *t) {
    t->count = 1;
    for (int32_t i = 0; i < t->rank; i++) t->count *= t->dims[i];
    size_t n = (size_t)t->count + 1;
    bool real = dtype_is_float(t->dtype);
    t->real = real ? calloc(n, sizeof *t->real) : NULL;
    t->bound = real ? calloc(n, sizeof *t->bound) : NULL;
    t->integer = real ? NULL : calloc(n, sizeof *t->integer);
    t->exact = true;
    if (real ? t->real && t->bound : t->integer != NULL) return true;
    oracle_free(t);
    return false;
}

void oracle_free(OracleTensor *t) {
    free(t->real);
    free(t->bound);
    free(t->integer);
    *t = (OracleTensor){.rank = -1};
}

/* sign · significand · 2^exponent of a binary format with `digits` stored significand bits. */
static long double decode(uint64_t bits, int digits, int exponent_bits) {
    uint64_t fraction = bits & ((UINT64_C(1) << digits) - 1);
    int exponent = (int)(bits >> digits & ((UINT64_C(1) << exponent_bits) - 1));
    int all = (1 << exponent_bits) - 1, bias = all / 2;
    long double sign = bits >> (digits + exponent_bits) & 1 ? -1 : 1;
    if (exponent == all) return copysignl(fraction ? NAN : INFINITY, sign);
    long double significand = (long double)fraction;
    if (exponent) significand += ldexpl(1, digits);
    return sign * ldexpl(significand, (exponent ? exponent : 1) - bias - digits);
}

static OracleNumber read_element(sn_dtype dtype, const void *element) {
    uint64_t bits = 0;
    memcpy(&bits, element, sn_dtype_size(dtype)); /* little-endian, like the formats themselves */
    switch (dtype) {
    case SN_F16:
        return (OracleNumber){decode(bits, 10, 5), 0};
    case SN_BF16:
        return (OracleNumber){decode(bits, 7, 8), 0};
    case SN_F32:
        return (OracleNumber){decode(bits, 23, 8), 0};
    case SN_F64:
        return (OracleNumber){decode(bits, 52, 11), 0};
    default:
        return (OracleNumber){0, oracle_wrap(dtype, bits)};
    }
}

bool oracle_load(OracleTensor *t, sn_dtype dtype, int32_t rank, const int64_t *dims,
                 const int64_t *strides, const void *data) {
    *t = (OracleTensor){.dtype = dtype, .rank = rank};
    if (rank) memcpy(t->dims, dims, sizeof(int64_t) * (size_t)rank); /* a scalar may have none */
    if (!oracle_alloc(t)) return false;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[SN_MAX_RANK], at = 0;
        oracle_unravel(i, dims, rank, index);
        for (int32_t d = 0; d < rank; d++) at += index[d] * strides[d];
        const char *element = (const char *)data + at * (int64_t)sn_dtype_size(dtype);
        oracle_put(t, i, read_element(dtype, element));
    }
    return true;
}

void oracle_round(OracleTensor *t) {
    for (int64_t i = 0; t->real && i < t->count; i++) {
        t->real[i] = oracle_round_to(t->dtype, t->real[i]);
        t->bound[i] = 0;
    }
}

void oracle_cast(OracleTensor *from, OracleTensor *to) {
    to->exact = from->exact;
    for (int64_t i = 0; i < from->count; i++) {
        OracleNumber x = oracle_number(from, i);
        if (from->real) x.real = oracle_round_to(from->dtype, x.real);
        oracle_put(to, i, oracle_convert(to->dtype, from->dtype, x));
        if (!from->real || from->bound[i] == 0 || !to->real) continue;
        /* Rounded to another type in between: its half ulp counts too. */
        to->bound[i] = from->bound[i] + oracle_ulp(from->dtype, from->real[i]);
    }
}

bool oracle_allows(const OracleTensor *t, int64_t i, const void *element) {
    OracleNumber x = read_element(t->dtype, element);
    if (!t->real) return x.integer == t->integer[i];
    long double wanted = t->real[i], bound = t->bound[i];
    if (isinf(bound)) return true;
    if (isnan(wanted) || isnan(x.real)) return isnan(wanted) && isnan(x.real);
    if (bound > 0)
        return x.real >= oracle_round_to(t->dtype, wanted - bound) &&
               x.real <= oracle_round_to(t->dtype, wanted + bound);
    wanted = oracle_round_to(t->dtype, wanted);
    return x.real == wanted && (wanted != 0 || signbit(x.real) == signbit(wanted));
}

/* ---- ops ------------------------------------------------------------------------------------- */

OracleRule *oracle_rule(OpCode op) {
    OracleRule *rule = oracle_move_rule(op);
    if (!rule) rule = oracle_pointwise_rule(op);
    if (!rule) rule = oracle_reduce_rule(op);
    return rule ? rule : oracle_window_rule(op);
}

/* Are NaNs of the result those of operands? What is computed is the canonical one, whose sign is +. */
static bool moves_nans(const OracleCall *call) {
    bool converts = call->op == OP_CAST; /* as oracle_convert has it */
    return converts || call->op == OP_WHERE || call->op == OP_CLONE || oracle_move_rule(call->op);
}

static void unite_nans(OracleTensor *t) {
    for (int64_t i = 0; t->real && i < t->count; i++)
        if (isnan(t->real[i])) t->real[i] = NAN;
}

OracleStatus oracle_apply(OpCode op, const OracleTensor *inputs, int32_t n_inputs, uint32_t weak,
                          const AttrList *attrs, OracleTensor *result) {
    OracleCall call = {op, inputs, n_inputs, weak, attrs, result};
    OracleRule *rule = oracle_rule(op);
    OracleStatus status = rule ? rule(&call) : ORACLE_UNKNOWN;
    if (!moves_nans(&call)) unite_nans(result);
    return status;
}

static OracleStatus constant(const Graph *graph, NodeId id, OracleTensor *value) {
    uint64_t bits = (uint64_t)node_const(graph, graph_node(graph, id)).word;
    oracle_put(value, 0, read_element(value->dtype, &bits));
    return ORACLE_OK;
}

/* Operands of a node side by side; a result that came of an inexact operand is not exact. */
static OracleStatus interpret(const Graph *graph, NodeId id, OracleTensor *values) {
    const Node *node = graph_node(graph, id);
    OracleTensor *value = &values[id];
    *value = (OracleTensor){.dtype = (sn_dtype)node->dtype, .rank = node->rank};
    memcpy(value->dims, node_dims(graph, node), sizeof(int64_t) * node->rank);
    if (!oracle_alloc(value)) return ORACLE_NO_MEMORY;
    if (node->op == OP_CONST) return constant(graph, id, value);
    OracleTensor *operands = calloc((size_t)node->n_inputs + 1, sizeof *operands);
    if (!operands) return ORACLE_NO_MEMORY;
    bool exact = true;
    uint32_t weak = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        operands[i] = input == NODE_NONE ? (OracleTensor){.rank = -1} : values[input];
        if (input == NODE_NONE) continue;
        exact = exact && operands[i].exact;
        if (node_type(graph, input).strength == STRENGTH_WEAK) weak |= 1u << i;
    }
    AttrList attrs;
    attr_copy(&attrs, node_attrs(graph, node));
    OracleStatus status =
        oracle_apply((OpCode)node->op, operands, node->n_inputs, weak, &attrs, value);
    value->exact = value->exact && exact;
    oracle_round(value);
    free(operands);
    return status;
}

OracleStatus oracle_graph(const Graph *graph, OracleTensor *values) {
    OracleStatus status = ORACLE_OK;
    for (NodeId i = 0; i < graph->nodes.count && status == ORACLE_OK; i++)
        if (graph_node(graph, i)->op != OP_INPUT) status = interpret(graph, i, values);
    return status;
}
