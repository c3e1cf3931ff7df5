/* The fuzzer's side of the oracle; see fuzz_oracle.h. */
#include "tests/fuzz_oracle.h"

#include "frontend/tensor/tensor.h"
#include "ir/infer/infer.h"
#include "ir/op/dtype.h"
#include "tests/fuzz_text.h"
#include "tests/oracle_call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_JUDGED = 60000 }; /* elements that are multiplied out; more would take too long */

const char *const oracle_verdict_names[ORACLE_VERDICT_COUNT] = {
    [ORACLE_AGREES] = "agree",
    [ORACLE_DIFFERS] = "differ",
    [ORACLE_DRAWN] = "random, range checked",
    [ORACLE_REFUSED] = "refused by eager",
    [ORACLE_TOO_LARGE] = "too large",
    [ORACLE_UNJUDGED] = "not known",
};

/* ---- steps ----------------------------------------------------------------------------------- */

static bool load_operand(OracleTensor *to, const FuzzOperand *operand, sn_tensor *const *values,
                         sn_dtype weak) {
    *to = (OracleTensor){.rank = -1};
    if (operand->value == FUZZ_NONE) return true;
    if (operand->value >= 0) {
        const sn_tensor *x = values[operand->value];
        if (!x) return true;
        return oracle_load(to, (sn_dtype)x->dtype, x->rank, x->dims, x->strides, tensor_data(x));
    }
    unsigned char element[8];
    sn_dtype own = operand->value == FUZZ_REAL ? SN_F64 : SN_I64;
    uint64_t bits = dtype_bits_cast(own, SN_F64, dtype_bits_from_double(SN_F64, operand->real));
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

/* Operand 0 as it is in memory: what a write must leave alone is seen afterwards. */
static char *copy_storage(const sn_tensor *target) {
    char *copy = target ? malloc(target->storage->bytes + 1) : NULL;
    if (copy) memcpy(copy, target->storage->data, target->storage->bytes);
    return copy;
}

static void oracle_step_free(OracleStep *oracle) {
    for (int32_t i = 0; i < oracle->n_operands; i++) oracle_free(&oracle->operands[i]);
    free(oracle->before);
    oracle->before = NULL;
    oracle->n_operands = -1;
}

static bool is_scalar(const FuzzStep *step, int32_t i) {
    return step->operands[i].value == FUZZ_REAL || step->operands[i].value == FUZZ_INTEGER;
}

/* Operands that are weak scalars to the op: in the others they have the dtype of the other operands. */
static uint32_t weak_scalars(const FuzzStep *step) {
    uint32_t weak = 0;
    bool computes = step->kind == FUZZ_OP || step->kind == FUZZ_INPLACE;
    if (!computes || !op_is(step->op, CLASS_POINTWISE) || op_promotes_from(step->op) < 0) return 0;
    for (int32_t i = 0; i < step->n_operands; i++)
        if (is_scalar(step, i)) weak |= 1u << i;
    return weak;
}

/* Weak scalars, those in front of operands that meet, and what is cast keep their own dtype. */
static sn_dtype operand_dtype(const FuzzStep *step, int32_t i, sn_dtype meet) {
    bool cast = step->kind == FUZZ_OP && step->op == OP_CAST;
    if (i >= op_promotes_from(step->op) && !(weak_scalars(step) >> i & 1) && !cast) return meet;
    return step->operands[i].value == FUZZ_INTEGER ? SN_I64 : SN_F64;
}

void oracle_step_begin(OracleStep *oracle, const FuzzStep *step, sn_tensor *const *values) {
    sn_dtype weak = weak_dtype(step, values);
    if (step->kind == FUZZ_COPY) weak = step->operands[1].value == FUZZ_INTEGER ? SN_I64 : SN_F64;
    bool ok = true;
    *oracle = (OracleStep){.n_operands = step->n_operands};
    for (int32_t i = 0; i < step->n_operands; i++)
        ok = load_operand(&oracle->operands[i], &step->operands[i], values,
                          operand_dtype(step, i, weak)) &&
             ok;
    if (fuzz_writes(step)) oracle->before = copy_storage(values[step->operands[0].value]);
    if (!ok) oracle_step_free(oracle);
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
    for (int32_t i = 0; i < oracle->n_operands; i++) {
        types[i] = type_of(&oracle->operands[i]);
        if (weak_scalars(step) >> i & 1) types[i].strength = STRENGTH_WEAK;
    }
    attr_copy(attrs, fuzz_view(step));
    return op_infer(NULL, step->op, types, oracle->n_operands, attrs, result, NULL) == SN_OK;
}

static bool prepare(OracleTensor *to, sn_dtype dtype, int32_t rank, const int64_t *dims) {
    *to = (OracleTensor){.dtype = dtype, .rank = rank};
    memcpy(to->dims, dims, sizeof(int64_t) * (size_t)rank);
    return oracle_alloc(to);
}

/* Start and step of a range over an axis of this size: Python's slice.indices. */
static int64_t range_start(const int64_t *item, int64_t size) {
    int64_t start = item[1], least = item[3] < 0 ? -1 : 0, most = item[3] < 0 ? size - 1 : size;
    if (start < 0) start += size;
    return start < least ? least : start > most ? most : start;
}

/* Where element `index` of x[items…] lies in x. */
static int64_t indexed_element(const OracleTensor *x, const FuzzStep *step, const int64_t *index) {
    int64_t from[SN_MAX_RANK] = {0};
    int32_t axis = 0, at = 0;
    for (int32_t i = 0; i < step->n_words; i += 4) {
        const int64_t *item = step->words + i;
        if (item[0] == SN_INDEX_NEW) {
            at++;
            continue;
        }
        int64_t size = x->dims[axis];
        if (item[0] == SN_INDEX_AT)
            from[axis] = item[1] < 0 ? item[1] + size : item[1];
        else if (item[0] == SN_INDEX_ALL)
            from[axis] = index[at++];
        else
            from[axis] = range_start(item, size) + index[at++] * item[3];
        axis++;
    }
    for (; axis < x->rank; axis++) from[axis] = index[at++];
    for (int32_t d = 0; d < x->rank; d++)
        if (from[d] < 0 || from[d] >= x->dims[d]) return -1;
    return oracle_ravel(from, x->dims, x->rank);
}

static int64_t split_element(const OracleTensor *x, const FuzzStep *step, const int64_t *index) {
    int64_t from[SN_MAX_RANK];
    memcpy(from, index, sizeof(int64_t) * (size_t)x->rank);
    for (int64_t i = 0; i < step->words[1]; i++) from[step->words[0]] += step->words[2 + i];
    return oracle_ravel(from, x->dims, x->rank);
}

/* Steps that only move elements, or write a number. */
static OracleStatus moved(const OracleStep *oracle, const FuzzStep *step, OracleTensor *value) {
    int32_t chosen = 0;
    double filled = 0;
    if (step->kind == FUZZ_CHOOSE) {
        const OracleTensor *condition = &oracle->operands[0];
        bool above =
            condition->count > 0 && oracle_real(condition->dtype, oracle_number(condition, 0)) > 0;
        chosen = above ? 1 : 2;
    }
    if (step->kind == FUZZ_FILL) memcpy(&filled, step->words, sizeof filled);
    const OracleTensor *x = &oracle->operands[chosen];
    bool as_it_is = step->kind == FUZZ_CHOOSE || step->kind == FUZZ_CONTIGUOUS;
    if (as_it_is && value->count != x->count) return ORACLE_UNKNOWN;
    for (int64_t i = 0; i < value->count; i++) {
        int64_t index[SN_MAX_RANK], from = i;
        oracle_unravel(i, value->dims, value->rank, index);
        if (step->kind == FUZZ_INDEX_VIEW) from = indexed_element(x, step, index);
        if (step->kind == FUZZ_SPLIT) from = split_element(x, step, index);
        if (step->kind == FUZZ_FILL)
            oracle_put(value, i, oracle_of_double(value->dtype, filled));
        else if (from < 0)
            return ORACLE_UNKNOWN;
        else
            oracle_put(value, i, oracle_number(x, from));
    }
    return ORACLE_OK;
}

/* What a step computes, before it is converted to the dtype of what is written. */
static OracleStatus computed(const OracleStep *oracle, const FuzzStep *step,
                             const sn_tensor *result, OracleTensor *value) {
    AttrList attrs = {.count = 0};
    TensorType type;
    if (step->kind == FUZZ_OP || step->kind == FUZZ_INPLACE) {
        if (!infer_step(oracle, step, &attrs, &type)) return ORACLE_UNKNOWN;
        if (!prepare(value, (sn_dtype)type.dtype, type.rank, type_sizes(&type)))
            return ORACLE_NO_MEMORY;
        return oracle_apply(step->op, oracle->operands, oracle->n_operands, weak_scalars(step),
                            &attrs, value);
    }
    const OracleTensor *source = &oracle->operands[1];
    bool copies = step->kind == FUZZ_COPY;
    sn_dtype dtype = copies ? source->dtype : (sn_dtype)result->dtype;
    if (!prepare(value, dtype, result->rank, result->dims)) return ORACLE_NO_MEMORY;
    if (!copies) return moved(oracle, step, value);
    attr_add_list(&attrs, result->dims, result->rank);
    return oracle_apply(OP_EXPAND, source, 1, 0, &attrs, value);
}

/* The wanted content of the result. */
static OracleStatus wanted_value(const OracleStep *oracle, const FuzzStep *step,
                                 const sn_tensor *result, OracleTensor *wanted) {
    OracleTensor value = {.rank = -1};
    OracleStatus status = computed(oracle, step, result, &value);
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
    const OracleTensor *x = &oracle->operands[0];
    if (op == OP_BILINEAR) return work * (1 + oracle->operands[2].count / 8);
    if (op != OP_MATMUL && op != OP_LINEAR) return work;
    return x->rank ? work * (1 + x->dims[x->rank - 1] / 8) : work;
}

/* A write must leave what lies beside its target as it was. */
static bool others_untouched(const OracleStep *oracle, const sn_tensor *target, OracleReport *r,
                             int used) {
    size_t bytes = target->storage->bytes, size = sn_dtype_size((sn_dtype)target->dtype);
    char *expected = oracle->before;
    if (!expected) return true;
    for (int64_t i = 0; i < sn_count(target); i++) { /* the target itself may differ */
        int64_t at = 0, rest = i;
        for (int32_t d = target->rank - 1; d >= 0; d--) {
            at += rest % target->dims[d] * target->strides[d];
            rest /= target->dims[d];
        }
        const char *now = tensor_data(target) + at * (int64_t)size;
        memcpy(expected + (now - (const char *)target->storage->data), now, size);
    }
    if (memcmp(expected, target->storage->data, bytes) == 0) return true;
    snprintf(r->text + used, sizeof r->text - (size_t)used,
             "the write changed memory beside its target");
    return false;
}

/* Random numbers: in [0, 1), finite, and for dropout either 0 or what is left of x. */
static bool in_range(const OracleStep *oracle, const FuzzStep *step, const sn_tensor *result,
                     OracleReport *r) {
    OracleTensor is;
    if (!oracle_load(&is, (sn_dtype)result->dtype, result->rank, result->dims, result->strides,
                     tensor_data(result)))
        return true;
    double p = 0;
    if (step->op == OP_DROPOUT) memcpy(&p, step->words, sizeof p);
    bool ok = true;
    for (int64_t i = 0; i < is.count && ok; i++) {
        long double x = is.real[i];
        if (step->op == OP_RAND) ok = x >= 0 && x < 1;
        if (step->op == OP_RANDN) ok = fabsl(x) < 12;
        if (step->op != OP_DROPOUT || (x == 0 && p > 0)) continue;
        long double kept = oracle->operands[0].real[i] / (1 - p);
        ok = (isnan(kept) && isnan(x)) || x == kept ||
             fabsl(x - kept) <= 2 * oracle_ulp(is.dtype, kept) || !isfinite(kept) ||
             (isinf(x) && fabsl(kept) >= oracle_format(is.dtype).largest);
        ok = ok && p < 1;
    }
    if (!ok) snprintf(r->text, sizeof r->text, "%s is out of range", op_info[step->op].name);
    oracle_free(&is);
    return ok;
}

static void count_elements(const OracleTensor *wanted, OracleReport *r) {
    for (int64_t i = 0; i < wanted->count; i++) {
        long double bound = wanted->real ? wanted->bound[i] : 0;
        r->exact += bound == 0;
        r->free += bound > 0 && isinf(bound);
        r->bounded += bound > 0 && !isinf(bound);
    }
}

static void judge(const OracleStep *oracle, const FuzzStep *step, const sn_tensor *result,
                  OracleReport *r) {
    OracleTensor wanted = {.rank = -1};
    OracleStatus status = wanted_value(oracle, step, result, &wanted);
    char name[48];
    fuzz_step_name(step, name, sizeof name);
    int used = snprintf(r->text, sizeof r->text, "%s: ", name);
    size_t left = sizeof r->text - (size_t)used;
    if (status == ORACLE_DATA_ERROR) { /* an empty result reads nothing, so no index is wrong */
        snprintf(r->text + used, left, "an index is out of range, but no error");
        r->verdict = sn_count(result) > 0 ? ORACLE_DIFFERS : ORACLE_AGREES;
    } else if (status == ORACLE_OK) {
        bool same = agrees(&wanted, tensor_data(result), result->strides, r->text + used, left);
        r->verdict =
            same && others_untouched(oracle, result, r, used) ? ORACLE_AGREES : ORACLE_DIFFERS;
        count_elements(&wanted, r);
    }
    oracle_free(&wanted);
}

void oracle_step_end(OracleStep *oracle, const FuzzStep *step, const sn_tensor *result,
                     OracleReport *report) {
    *report = (OracleReport){.verdict = ORACLE_UNJUDGED};
    if (!result)
        report->verdict = ORACLE_REFUSED;
    else if (oracle->n_operands < 0 || work_of(oracle, result, step->op) >= MOST_JUDGED)
        report->verdict = ORACLE_TOO_LARGE;
    else if (fuzz_draws(step))
        report->verdict = in_range(oracle, step, result, report) ? ORACLE_DRAWN : ORACLE_DIFFERS;
    else if (result->kind == TENSOR_REAL)
        judge(oracle, step, result, report);
    oracle_step_free(oracle);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

/* A recorded graph, its inputs, and what it gives. */
typedef struct GraphCase {
    Graph graph;                             /* parsed from the dump */
    bool has_graph;                          /* it was initialised */
    OracleTensor *values;                    /* by node */
    sn_tensor *inputs[FUZZ_MOST_INPUTS + 1]; /* of the graph */
    int32_t n_inputs;                        /* how many */
} GraphCase;

/* Graph inputs are the arguments without repetition, then the generator. */
static bool case_inputs(GraphCase *c, const FuzzProgram *p) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *inputs[FUZZ_MOST_INPUTS];
    if (!fuzz_make_inputs(p, 0, blocks, inputs)) return false;
    for (int32_t i = 0; i < p->n_inputs; i++) {
        bool known = false;
        for (int32_t j = 0; j < i; j++)
            known = known || fuzz_same_input(&p->inputs[i], &p->inputs[j]);
        if (!known) c->inputs[c->n_inputs++] = inputs[i];
    }
    if ((int32_t)c->graph.inputs.count == c->n_inputs + 1) {
        int64_t state[2] = {(int64_t)p->seed, (int64_t)p->counter}, two = 2;
        c->inputs[c->n_inputs++] = sn_from_copy(state, sizeof state, &two, 1, SN_I64);
    }
    bool same = (int32_t)c->graph.inputs.count == c->n_inputs;
    for (int32_t i = 0; i < c->n_inputs && same; i++) {
        TensorType is = node_type(&c->graph, c->graph.inputs.data[i]);
        const sn_tensor *x = c->inputs[i];
        int32_t count;
        const int64_t *strides =
            node_attr_list(&c->graph, c->graph.inputs.data[i], ATTR_STRIDES, &count);
        same = is.dtype == x->dtype && is.rank == x->rank &&
               memcmp(is.dims, x->dims, sizeof(int64_t) * is.rank) == 0 &&
               memcmp(strides, x->strides, sizeof(int64_t) * (size_t)count) == 0;
    }
    return same;
}

static bool case_load(GraphCase *c) {
    c->values = calloc((size_t)c->graph.nodes.count + 1, sizeof *c->values);
    if (!c->values) return false;
    int64_t total = 0;
    for (NodeId i = 0; i < c->graph.nodes.count; i++) total += node_count(&c->graph, i).word;
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
