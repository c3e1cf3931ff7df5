/* The fuzzer's side of the oracle; see fuzz_oracle.h. */
#include "tests/fuzz_oracle.h"

#include "frontend/compiled.h"
#include "ir/dtype.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_JUDGED = 60000 }; /* elements that are multiplied out; more would take too long */

/* ---- steps ---------------------------------------------------------------------------------- */

static bool load_operand(OracleTensor *to, const FuzzOperand *operand, sn_tensor *const *values,
                         sn_dtype weak) {
    *to = (OracleTensor){.rank = -1};
    if (operand->value == FUZZ_NONE) return true;
    if (operand->value >= 0) {
        const sn_tensor *x = values[operand->value];
        if (!x) return true;
        return oracle_load(to, (sn_dtype)x->dtype, x->rank, x->dims, x->strides, tensor_data(x));
    }
    uint64_t bits = operand->value == FUZZ_REAL
                        ? dtype_bits_from_double(SN_F64, operand->real)
                        : dtype_bits_from_int(SN_I64, (int64_t)operand->real);
    unsigned char element[8];
    sn_dtype own = operand->value == FUZZ_REAL ? SN_F64 : SN_I64;
    dtype_store(weak, element, dtype_bits_cast(weak, own, bits));
    return oracle_load(to, weak, 0, NULL, NULL, element);
}

/* The dtype that weak scalars take beside the other operands. */
static sn_dtype weak_dtype(const FuzzStep *step, sn_tensor *const *values) {
    Promotion promotion = {0};
    for (int32_t i = step->op == OP_WHERE ? 1 : 0; i < step->n_operands; i++) {
        int32_t value = step->operands[i].value;
        if (value == FUZZ_REAL) promotion_add(&promotion, SN_F64, STRENGTH_WEAK);
        if (value == FUZZ_INTEGER) promotion_add(&promotion, SN_I64, STRENGTH_WEAK);
        if (value >= 0 && values[value])
            promotion_add(&promotion, (sn_dtype)values[value]->dtype,
                          values[value]->rank ? STRENGTH_FULL : STRENGTH_ZERO_DIM);
    }
    sn_dtype dtype = promotion_result(&promotion);
    bool floats = op_info[step->op].dtype_rule == DTYPE_FLOAT && !dtype_is_float(dtype);
    return floats ? SN_F32 : dtype;
}

static bool is_judged(const FuzzStep *step) {
    return step->kind == FUZZ_OP || step->kind == FUZZ_INPLACE || step->kind == FUZZ_COPY;
}

void oracle_step_begin(OracleStep *oracle, const FuzzStep *step, sn_tensor *const *values) {
    oracle->n_operands = -1;
    if (!is_judged(step)) return;
    sn_dtype weak = weak_dtype(step, values);
    if (step->kind == FUZZ_COPY) weak = step->operands[1].value == FUZZ_INTEGER ? SN_I64 : SN_F64;
    bool ok = true;
    oracle->n_operands = step->n_operands;
    for (int32_t i = 0; i < step->n_operands; i++)
        ok = load_operand(&oracle->operands[i], &step->operands[i], values, weak) && ok;
    if (ok) return;
    for (int32_t i = 0; i < step->n_operands; i++) oracle_free(&oracle->operands[i]);
    oracle->n_operands = -1;
}

static TensorType type_of(const OracleTensor *x) {
    TensorType type = {.rank = RANK_ABSENT};
    if (x->rank < 0) return type;
    type = (TensorType){.dtype = (uint8_t)x->dtype,
                        .rank = (uint8_t)x->rank,
                        .strength = x->rank ? STRENGTH_FULL : STRENGTH_ZERO_DIM};
    memcpy(type.dims, x->dims, sizeof type.dims);
    return type;
}

/* Attributes as the graph would hold them, and the op's own result type. */
static bool infer_step(const OracleStep *oracle, const FuzzStep *step, AttrList *attrs,
                       TensorType *result) {
    TensorType types[FUZZ_MOST_OPERANDS];
    for (int32_t i = 0; i < oracle->n_operands; i++) types[i] = type_of(&oracle->operands[i]);
    attrs->count = step->n_words;
    memcpy(attrs->words, step->words, sizeof(int64_t) * (size_t)step->n_words);
    return op_infer(step->op, types, oracle->n_operands, attrs, result, NULL) == SN_OK;
}

static bool prepare(OracleTensor *to, sn_dtype dtype, int32_t rank, const int64_t *dims) {
    *to = (OracleTensor){.dtype = dtype, .rank = rank};
    memcpy(to->dims, dims, sizeof(int64_t) * (size_t)rank);
    return oracle_alloc(to);
}

/* The wanted content of the result; false when the step cannot be judged. */
static OracleStatus wanted_value(const OracleStep *oracle, const FuzzStep *step,
                                 const sn_tensor *result, OracleTensor *wanted) {
    OracleTensor value = {.rank = -1};
    AttrList attrs = {.count = 0};
    TensorType type;
    OracleStatus status = ORACLE_UNKNOWN;
    if (step->kind == FUZZ_COPY) {
        const OracleTensor *source = &oracle->operands[1];
        if (!prepare(&value, source->dtype, result->rank, result->dims)) return ORACLE_NO_MEMORY;
        attr_list(&attrs, result->dims, result->rank);
        status = oracle_apply(OP_EXPAND, source, 1, 0, &attrs, &value);
    } else if (infer_step(oracle, step, &attrs, &type) &&
               prepare(&value, (sn_dtype)type.dtype, type.rank, type.dims)) {
        status = oracle_apply(step->op, oracle->operands, oracle->n_operands, 0, &attrs, &value);
    }
    bool same = value.rank == result->rank &&
                memcmp(value.dims, result->dims, sizeof(int64_t) * result->rank) == 0;
    if (status == ORACLE_OK && !same) status = ORACLE_UNKNOWN;
    if (status == ORACLE_OK && value.dtype == (sn_dtype)result->dtype) {
        *wanted = value;
        return status;
    }
    if (status == ORACLE_OK) {
        if (prepare(wanted, (sn_dtype)result->dtype, result->rank, result->dims))
            oracle_cast(&value, wanted);
        else
            status = ORACLE_NO_MEMORY;
    }
    oracle_free(&value);
    return status;
}

static double shown(const OracleTensor *x, int64_t i) {
    return x->real ? (double)x->real[i] : (double)x->integer[i];
}

/* Compares strided memory with what is wanted; false with a message. */
static bool agrees(const OracleTensor *wanted, const char *data, const int64_t *strides, char *text,
                   size_t size) {
    size_t bytes = sn_dtype_size(wanted->dtype);
    for (int64_t i = 0; i < wanted->count; i++) {
        int64_t at = 0, rest = i;
        for (int32_t d = wanted->rank - 1; d >= 0; d--) {
            at += rest % wanted->dims[d] * strides[d];
            rest /= wanted->dims[d];
        }
        const char *element = data + at * (int64_t)bytes;
        if (oracle_allows(wanted, i, element)) continue;
        uint64_t bits = dtype_load(wanted->dtype, element);
        double is = wanted->real ? dtype_bits_to_double(wanted->dtype, bits)
                                 : (double)dtype_bits_to_int(wanted->dtype, bits);
        snprintf(text, size, "%s, element %lld of %lld is %.17g, should be %.17g within %.3g",
                 sn_dtype_name(wanted->dtype), (long long)i, (long long)wanted->count, is,
                 shown(wanted, i), wanted->real ? (double)wanted->bound[i] : 0);
        return false;
    }
    return true;
}

static int64_t work_of(const OracleStep *oracle, const sn_tensor *result, OpCode op) {
    int64_t work = sn_count(result);
    if (op != OP_MATMUL && op != OP_LINEAR) return work;
    const OracleTensor *x = &oracle->operands[0];
    return x->rank ? work * (1 + x->dims[x->rank - 1] / 8) : work;
}

int oracle_step_end(OracleStep *oracle, const FuzzStep *step, sn_tensor *result, char *text,
                    size_t size) {
    if (oracle->n_operands < 0) return 0;
    int judged = 0;
    bool fits =
        result && result->kind == TENSOR_REAL && work_of(oracle, result, step->op) < MOST_JUDGED;
    if (fits) {
        OracleTensor wanted = {.rank = -1};
        OracleStatus status = wanted_value(oracle, step, result, &wanted);
        char name[48];
        fuzz_step_name(step, name, sizeof name);
        int used = snprintf(text, size, "%s: ", name);
        if (status == ORACLE_DATA_ERROR &&
            sn_count(result) > 0) { /* an empty result reads nothing */
            snprintf(text + used, size - (size_t)used, "an index is out of range, but no error");
            judged = -1;
        } else if (status == ORACLE_OK) {
            judged = agrees(&wanted, tensor_data(result), result->strides, text + used,
                            size - (size_t)used)
                         ? 1
                         : -1;
        }
        oracle_free(&wanted);
    }
    for (int32_t i = 0; i < oracle->n_operands; i++) oracle_free(&oracle->operands[i]);
    return judged;
}

/* ---- graphs --------------------------------------------------------------------------------- */

/* A recorded graph, its inputs, and what it gives. */
typedef struct GraphCase {
    Graph graph;                             /* parsed from the dump */
    bool has_graph;                          /* it was initialised */
    OracleTensor *values;                    /* by node */
    sn_tensor *inputs[FUZZ_MOST_INPUTS + 1]; /* of the graph */
    int32_t n_inputs;                        /* how many */
} GraphCase;

static bool same_input(const FuzzInput *a, const FuzzInput *b) {
    size_t bytes = sizeof(int64_t) * (size_t)a->rank;
    return a->block == b->block && a->offset == b->offset && a->rank == b->rank &&
           memcmp(a->dims, b->dims, bytes) == 0 && memcmp(a->strides, b->strides, bytes) == 0;
}

/* Graph inputs are the arguments without repetition, then the generator. */
static bool case_inputs(GraphCase *c, const FuzzProgram *p) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *inputs[FUZZ_MOST_INPUTS];
    if (!fuzz_make_inputs(p, 0, blocks, inputs)) return false;
    for (int32_t i = 0; i < p->n_inputs; i++) {
        bool known = false;
        for (int32_t j = 0; j < i; j++) known = known || same_input(&p->inputs[i], &p->inputs[j]);
        if (!known) c->inputs[c->n_inputs++] = inputs[i];
    }
    if ((int32_t)c->graph.inputs.count == c->n_inputs + 1) {
        int64_t state[2] = {(int64_t)p->seed, 5}, two = 2;
        c->inputs[c->n_inputs++] = sn_from_copy(state, sizeof state, &two, 1, SN_I64);
    }
    return (int32_t)c->graph.inputs.count == c->n_inputs;
}

static bool case_load(GraphCase *c) {
    c->values = calloc((size_t)c->graph.nodes.count + 1, sizeof *c->values);
    if (!c->values) return false;
    int64_t total = 0;
    for (NodeId i = 0; i < c->graph.nodes.count; i++) total += node_count(&c->graph, i);
    if (total > MOST_JUDGED) return false;
    for (int32_t i = 0; i < c->n_inputs; i++) {
        const sn_tensor *x = c->inputs[i];
        if (!oracle_load(&c->values[c->graph.inputs.data[i]], (sn_dtype)x->dtype, x->rank, x->dims,
                         x->strides, tensor_data(x)))
            return false;
    }
    return true;
}

/* Runs the text anew and compares its results, new and written ones, where they are exact. */
static int case_compare(GraphCase *c, const sn_graph *graph, char *text, size_t size) {
    sn_tensor *outputs[FUZZ_MOST_VALUES] = {0};
    int32_t made = 0, at = 0;
    sn_error error = {0};
    if (sn_graph_run(graph, c->inputs, c->n_inputs, outputs, FUZZ_MOST_VALUES, &made, &error) !=
        SN_OK) {
        snprintf(text, size, "the graph's text cannot be run: %.400s", error.text);
        return -1;
    }
    int judged = 1;
    for (uint32_t i = 0; i < c->graph.outputs.count && judged == 1; i++) {
        GraphOutput output = c->graph.outputs.data[i];
        const sn_tensor *is =
            output.writes_input >= 0 ? c->inputs[output.writes_input] : outputs[at++];
        const OracleTensor *wanted = &c->values[output.node];
        int used = snprintf(text, size, "graph output %u: ", i);
        if (wanted->exact && is &&
            !agrees(wanted, tensor_data(is), is->strides, text + used, size - (size_t)used))
            judged = -1;
    }
    for (int32_t i = 0; i < made; i++) sn_release(outputs[i]);
    return judged;
}

static int judge_graph(GraphCase *c, const FuzzProgram *program, const char *dump, char *text,
                       size_t size) {
    sn_error error = {0};
    graph_init(&c->graph, "oracle");
    c->has_graph = true;
    c->graph.no_fold = true;
    if (graph_parse(&c->graph, dump, strlen(dump), &error) != SN_OK) {
        snprintf(text, size, "the recorded graph does not parse: %.400s", error.text);
        return -1;
    }
    if (!case_inputs(c, program) || !case_load(c)) return 0;
    if (oracle_graph(&c->graph, c->values) != ORACLE_OK) return 0;
    sn_graph *graph = sn_graph_parse(dump, strlen(dump), &error);
    int judged = graph ? case_compare(c, graph, text, size) : 0;
    sn_graph_free(graph);
    return judged;
}

int oracle_graph_check(const FuzzProgram *program, sn_compiled *compiled, char *text, size_t size) {
    GraphCase c = {.n_inputs = 0};
    sn_error error = {0};
    char *dump = sn_dump(compiled, "graph", &error);
    if (!dump) return 0;
    int judged = 0;
    SN_SCOPE {
        judged = judge_graph(&c, program, dump, text, size);
    }
    sn_text_free(dump);
    for (NodeId i = 0; c.values && i < c.graph.nodes.count; i++) oracle_free(&c.values[i]);
    free(c.values);
    if (c.has_graph) graph_free(&c.graph);
    return judged;
}
