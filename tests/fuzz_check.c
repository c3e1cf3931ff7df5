/* The differential check; see fuzz_check.h. */
#include "tests/fuzz_check.h"

#include "frontend/compiled.h"
#include "ir/dtype.h"
#include "tests/fuzz_oracle.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = 4, SHIFTED_CALL = 3 };

const char *const fuzz_failure_names[FUZZ_FAILURE_COUNT] = {
    [FUZZ_FINE] = "fine",
    [FUZZ_CRASH] = "crash",
    [FUZZ_HANG] = "hang",
    [FUZZ_SETUP] = "setup",
    [FUZZ_STATUS] = "status",
    [FUZZ_LAYOUT] = "layout",
    [FUZZ_BITS] = "bits",
    [FUZZ_WRITTEN] = "written",
    [FUZZ_GENERATOR] = "generator",
    [FUZZ_FELL_BACK] = "fell back",
    [FUZZ_NO_HIT] = "no hit",
    [FUZZ_ORACLE] = "oracle",
    [FUZZ_ORACLE_GRAPH] = "oracle graph",
};

/* ---- planted bugs --------------------------------------------------------------------------- */

static const struct {
    const char *name; /* of the op that is replaced */
    OpCode from, to;  /* what the compiled function runs instead */
} plants[] = {
    {"lt", OP_LT, OP_LE},
    {"maximum", OP_MAXIMUM, OP_MINIMUM},
    {"add", OP_ADD, OP_MUL},
    {"max", OP_MAX, OP_MIN},
    {"floor", OP_FLOOR, OP_CEIL},
    {"tril", OP_TRIL, OP_TRIU},
    {"argmax", OP_ARGMAX, OP_ARGMIN},
};

static int32_t find_plant(const char *name) {
    for (size_t i = 0; name && i < sizeof plants / sizeof *plants; i++)
        if (strcmp(plants[i].name, name) == 0) return (int32_t)i;
    return -1;
}

bool fuzz_is_plant(const char *name) {
    return find_plant(name) >= 0;
}

const char *fuzz_plants(void) {
    return "lt maximum add max floor tril argmax";
}

/* ---- one run -------------------------------------------------------------------------------- */

/* A result as it came back. */
typedef struct SeenOutput {
    sn_dtype dtype;               /* of its elements */
    int32_t rank;                 /* dims in use */
    int64_t dims[SN_MAX_RANK];    /* sizes */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int32_t shares; /* block, or FUZZ_MOST_INPUTS + first result, whose memory it is */
    int64_t offset; /* in the block; 0 in other memory */
    char *data;     /* elements in row-major order */
    int64_t count;  /* how many */
} SeenOutput;

/* All that a run leaves behind. */
typedef struct Seen {
    sn_status status;                      /* of the call */
    char text[480];                        /* of its error */
    SeenOutput outputs[FUZZ_MOST_OUTPUTS]; /* results */
    int32_t n_outputs;                     /* how many came back */
    char *blocks[FUZZ_MOST_INPUTS];        /* memory of the inputs afterwards */
    sn_rng generator;                      /* afterwards */
} Seen;

static void seen_free(Seen *seen) {
    for (int32_t i = 0; i < seen->n_outputs; i++) free(seen->outputs[i].data);
    for (int32_t i = 0; i < FUZZ_MOST_INPUTS; i++) free(seen->blocks[i]);
}

/* Elements in row-major order; NULL when out of memory. */
static char *gather_elements(const sn_tensor *x) {
    size_t size = sn_dtype_size((sn_dtype)x->dtype);
    int64_t count = dims_count(x->dims, x->rank), index[SN_MAX_RANK] = {0};
    char *data = malloc((size_t)count * size + 1);
    if (!data) return NULL;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = 0;
        for (int32_t d = 0; d < x->rank; d++) at += index[d] * x->strides[d];
        memcpy(data + (size_t)i * size, tensor_data(x) + at * (int64_t)size, size);
        for (int32_t d = x->rank - 1; d >= 0 && ++index[d] == x->dims[d]; d--) index[d] = 0;
    }
    return data;
}

static bool see_output(Seen *seen, sn_tensor *const *outputs, int32_t number,
                       sn_tensor *const *blocks, int32_t n_blocks, int64_t shift) {
    const sn_tensor *x = outputs[number];
    SeenOutput *out = &seen->outputs[number];
    *out = (SeenOutput){.dtype = (sn_dtype)x->dtype, .rank = x->rank, .shares = -1};
    memcpy(out->dims, x->dims, sizeof out->dims);
    memcpy(out->strides, x->strides, sizeof out->strides);
    for (int32_t i = 0; i < n_blocks && out->shares < 0; i++)
        if (blocks[i]->storage == x->storage) out->shares = i;
    if (out->shares >= 0) out->offset = x->offset - shift;
    for (int32_t i = 0; i < number && out->shares < 0; i++)
        if (outputs[i]->storage == x->storage) out->shares = FUZZ_MOST_INPUTS + i;
    out->count = dims_count(x->dims, x->rank);
    out->data = gather_elements(x);
    seen->n_outputs = number + 1;
    return out->data != NULL;
}

static bool see(const FuzzProgram *p, Seen *seen, sn_tensor *const *outputs,
                sn_tensor *const *blocks, int64_t shift, const sn_rng *generator) {
    bool ok = true;
    for (int32_t i = 0; ok && seen->status == SN_OK && i < p->n_outputs; i++)
        ok = see_output(seen, outputs, i, blocks, p->n_blocks, shift);
    for (int32_t i = 0; ok && i < p->n_blocks; i++) {
        size_t size = sn_dtype_size(p->blocks[i].dtype);
        seen->blocks[i] = malloc((size_t)p->blocks[i].count * size + 1);
        ok = seen->blocks[i] != NULL;
        if (ok)
            memcpy(seen->blocks[i], blocks[i]->storage->data + (size_t)shift * size,
                   (size_t)p->blocks[i].count * size);
    }
    seen->generator = *generator;
    return ok;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool is_nan(sn_dtype dtype, uint64_t bits) {
    return dtype_is_float(dtype) && isnan(dtype_bits_to_double(dtype, bits));
}

/* Position of the first element whose bits differ, two NaNs being equal; -1. */
static int64_t first_difference(sn_dtype dtype, const char *a, const char *b, int64_t count) {
    size_t size = sn_dtype_size(dtype);
    if (memcmp(a, b, (size_t)count * size) == 0) return -1;
    for (int64_t i = 0; i < count; i++) {
        uint64_t x = dtype_load(dtype, a + (size_t)i * size);
        uint64_t y = dtype_load(dtype, b + (size_t)i * size);
        bool same = memcmp(a + (size_t)i * size, b + (size_t)i * size, size) == 0;
        if (!same && !(is_nan(dtype, x) && is_nan(dtype, y))) return i;
    }
    return -1;
}

static double element(sn_dtype dtype, const char *data, int64_t i) {
    uint64_t bits = dtype_load(dtype, data + (size_t)i * sn_dtype_size(dtype));
    return dtype_is_float(dtype) ? dtype_bits_to_double(dtype, bits)
                                 : (double)dtype_bits_to_int(dtype, bits);
}

static FuzzVerdict fine(void) {
    return (FuzzVerdict){.failure = FUZZ_FINE};
}

SN_PRINTF(2, 3) static FuzzVerdict fail(FuzzFailure failure, const char *format, ...) {
    FuzzVerdict verdict = {.failure = failure};
    va_list args;
    va_start(args, format);
    vsnprintf(verdict.text, sizeof verdict.text, format, args);
    va_end(args);
    return verdict;
}

static FuzzVerdict compare_output(const SeenOutput *e, const SeenOutput *c, int32_t number,
                                  int32_t call) {
    size_t bytes = sizeof(int64_t) * (size_t)e->rank;
    if (e->dtype != c->dtype || e->rank != c->rank || memcmp(e->dims, c->dims, bytes) != 0)
        return fail(FUZZ_LAYOUT, "call %d, result %d: %s of rank %d, eager %s of rank %d (or dims)",
                    call, number, sn_dtype_name(c->dtype), c->rank, sn_dtype_name(e->dtype),
                    e->rank);
    for (int32_t i = 0; i < e->rank; i++)
        if (e->strides[i] != c->strides[i])
            return fail(FUZZ_LAYOUT, "call %d, result %d: stride %d is %lld, eager %lld", call,
                        number, i, (long long)c->strides[i], (long long)e->strides[i]);
    if (e->shares != c->shares || e->offset != c->offset)
        return fail(FUZZ_LAYOUT, "call %d, result %d: shares %d at %lld, eager %d at %lld", call,
                    number, c->shares, (long long)c->offset, e->shares, (long long)e->offset);
    int64_t at = first_difference(e->dtype, e->data, c->data, e->count);
    if (at < 0) return fine();
    return fail(FUZZ_BITS, "call %d, result %d (%s), element %lld of %lld: %.17g, eager %.17g",
                call, number, sn_dtype_name(e->dtype), (long long)at, (long long)e->count,
                element(c->dtype, c->data, at), element(e->dtype, e->data, at));
}

static FuzzVerdict compare_blocks(const FuzzProgram *p, const Seen *e, const Seen *c,
                                  int32_t call) {
    for (int32_t i = 0; i < p->n_blocks; i++) {
        sn_dtype dtype = p->blocks[i].dtype;
        int64_t at = first_difference(dtype, e->blocks[i], c->blocks[i], p->blocks[i].count);
        if (at < 0) continue;
        return fail(FUZZ_WRITTEN, "call %d, block %d (%s), element %lld: %.17g, eager %.17g", call,
                    i, sn_dtype_name(dtype), (long long)at, element(dtype, c->blocks[i], at),
                    element(dtype, e->blocks[i], at));
    }
    return fine();
}

static FuzzVerdict compare(const FuzzProgram *p, const Seen *e, const Seen *c, int32_t call) {
    if (e->status != c->status)
        return fail(FUZZ_STATUS, "call %d: %s (%s), eager %s (%s)", call, sn_status_name(c->status),
                    c->text, sn_status_name(e->status), e->text);
    if (strcmp(e->text, c->text) != 0)
        return fail(FUZZ_STATUS, "call %d: \"%s\", eager \"%s\"", call, c->text, e->text);
    if (e->status != SN_OK) return fine(); /* what was written before the error is not promised */
    for (int32_t i = 0; i < p->n_outputs; i++) {
        FuzzVerdict verdict = compare_output(&e->outputs[i], &c->outputs[i], i, call);
        if (verdict.failure) return verdict;
    }
    if (e->generator.counter != c->generator.counter)
        return fail(FUZZ_GENERATOR, "call %d: the counter is %llu, eager %llu", call,
                    (unsigned long long)c->generator.counter,
                    (unsigned long long)e->generator.counter);
    return compare_blocks(p, e, c, call);
}

/* ---- runs ----------------------------------------------------------------------------------- */

static bool is_write(const FuzzStep *step) {
    return step->kind == FUZZ_INPLACE || step->kind == FUZZ_COPY || step->kind == FUZZ_FILL;
}

static void cover_step(FuzzCoverage *c, const FuzzStep *step, sn_tensor *const *values,
                       sn_tensor *const *blocks, int32_t n_blocks, const sn_tensor *result) {
    c->kinds[step->kind]++;
    if (step->kind == FUZZ_OP) c->ops[step->op]++;
    if (step->kind == FUZZ_INPLACE) c->inplace[step->op]++;
    if (op_is(step->op, CLASS_RANDOM)) c->draws++;
    if (!result) return;
    c->dtypes[result->dtype]++;
    c->empty_values += sn_count(result) == 0;
    if (!is_write(step)) return;
    const sn_tensor *target = values[step->operands[0].value];
    for (int32_t i = 0; i < n_blocks; i++)
        c->writes_to_inputs += blocks[i]->storage == target->storage;
    c->writes_through_views +=
        target->storage->bytes != (size_t)sn_count(target) * sn_dtype_size((sn_dtype)target->dtype);
}

static FuzzVerdict run_eager(const FuzzProgram *p, Seen *seen, FuzzCoverage *coverage) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *values[FUZZ_MOST_VALUES] = {0};
    sn_tensor *outputs[FUZZ_MOST_OUTPUTS] = {0};
    sn_rng generator = {p->seed, 5};
    FuzzVerdict verdict = fine();
    if (!fuzz_make_inputs(p, 0, blocks, values)) return fail(FUZZ_SETUP, "%s", sn_error_text());
    for (int32_t i = 0; i < p->n_steps && sn_error_status() == SN_OK; i++) {
        OracleStep oracle;
        const FuzzStep *step = &p->steps[i];
        oracle_step_begin(&oracle, step, values);
        sn_tensor *result = fuzz_run_step(step, i, values, &generator);
        values[FUZZ_MOST_INPUTS + i] = result;
        if (coverage) cover_step(coverage, step, values, blocks, p->n_blocks, result);
        char text[480];
        int judged = oracle_step_end(&oracle, step, result, text, sizeof text);
        if (coverage) coverage->oracle_steps += judged != 0;
        if (judged < 0 && !verdict.failure)
            verdict = fail(FUZZ_ORACLE, "step %%%d: %s", FUZZ_MOST_INPUTS + i, text);
    }
    for (int32_t i = 0; i < p->n_outputs; i++) outputs[i] = values[p->outputs[i]];
    sn_error error = {0};
    seen->status = sn_error_take(&error);
    memcpy(seen->text, error.text, sizeof seen->text);
    if (!see(p, seen, outputs, blocks, 0, &generator)) return fail(FUZZ_SETUP, "out of memory");
    return verdict;
}

/* What the compiled function is a closure over. */
typedef struct Closure {
    const FuzzProgram *program; /* what it runs */
    int32_t plant;              /* row of plants; -1 = none */
} Closure;

static sn_status closure_run(void *payload, const sn_value *inputs, int32_t n_inputs,
                             sn_outputs *outputs) {
    const Closure *closure = payload;
    FuzzProgram program = *closure->program;
    sn_tensor *values[FUZZ_MOST_VALUES] = {0};
    for (int32_t i = 0; i + 1 < n_inputs; i++) values[i] = inputs[i].as.tensor;
    for (int32_t i = 0; i < program.n_steps && closure->plant >= 0; i++)
        if (program.steps[i].op == plants[closure->plant].from)
            program.steps[i].op = plants[closure->plant].to;
    outputs->count = program.n_outputs;
    return fuzz_run(&program, values, inputs[n_inputs - 1].as.generator, outputs->tensors);
}

static FuzzVerdict call_once(const FuzzProgram *p, sn_compiled *compiled, int64_t shift,
                             Seen *seen) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *inputs[FUZZ_MOST_INPUTS];
    sn_tensor *outputs[FUZZ_MOST_OUTPUTS + 1] = {0};
    sn_value values[FUZZ_MOST_INPUTS + 1];
    sn_rng generator = {p->seed, 5};
    sn_error error = {0};
    int32_t made = 0;
    if (!fuzz_make_inputs(p, shift, blocks, inputs)) return fail(FUZZ_SETUP, "%s", sn_error_text());
    for (int32_t i = 0; i < p->n_inputs; i++)
        values[i] = (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = inputs[i]};
    values[p->n_inputs] = (sn_value){.kind = SN_VALUE_RNG, .as.generator = &generator};
    seen->status =
        sn_call(compiled, values, p->n_inputs + 1, outputs, FUZZ_MOST_OUTPUTS, &made, NULL, &error);
    if (seen->status != SN_OK) memcpy(seen->text, error.text, sizeof seen->text);
    bool ok = see(p, seen, outputs, blocks, shift, &generator);
    for (int32_t i = 0; i < made; i++) sn_release(outputs[i]);
    if (sn_error_take(&error) != SN_OK)
        return fail(FUZZ_STATUS, "sn_call left a pending error: %s", error.text);
    return ok ? fine() : fail(FUZZ_SETUP, "out of memory");
}

/* Do two inputs, or two elements of one, share memory, in a program that writes? Then the design runs
 * the graph node by node. */
static bool may_fall_back(const FuzzProgram *p, bool *shared) {
    bool writes = false;
    *shared = false;
    for (int32_t i = 0; i < p->n_steps; i++) writes = writes || is_write(&p->steps[i]);
    for (int32_t i = 0; i < p->n_inputs; i++)
        for (int32_t j = 0; j < i; j++)
            *shared = *shared || p->inputs[i].block == p->inputs[j].block;
    bool repeats = false;
    for (int32_t i = 0; i < p->n_inputs; i++)
        for (int32_t d = 0; d < p->inputs[i].rank; d++)
            repeats = repeats || (p->inputs[i].strides[d] == 0 && p->inputs[i].dims[d] > 1);
    for (int32_t i = 0; i < p->n_steps; i++)
        repeats = repeats || (p->steps[i].kind == FUZZ_OP && p->steps[i].op == OP_EXPAND);
    return writes && (*shared || repeats);
}

static FuzzVerdict check_counters(const FuzzProgram *p, const sn_compiled *compiled,
                                  const sn_counters *before, int32_t call, const Seen *seen,
                                  FuzzCoverage *coverage) {
    sn_counters now = {.size = sizeof now};
    bool shared, excused = may_fall_back(p, &shared);
    sn_counters_get(&now);
    int64_t fallbacks = now.fallbacks - before->fallbacks;
    if (coverage) {
        coverage->fallbacks += fallbacks;
        coverage->kernels_compiled += now.compiles - before->compiles;
        if (excused) coverage->expected_fallbacks += fallbacks;
    }
    const char *why = compiled->graphs.count ? vec_last(&compiled->graphs)->failure : NULL;
    if (fallbacks && !excused)
        return fail(FUZZ_FELL_BACK, "call %d ran node by node: %s", call, why ? why : "?");
    if (call >= 2 && seen->status == SN_OK && !excused && now.guard_hits == before->guard_hits)
        return fail(FUZZ_NO_HIT, "call %d did not go straight to the kernels", call);
    return fine();
}

static FuzzVerdict run_compiled(const FuzzProgram *p, const char *plant, const Seen *eager,
                                FuzzCoverage *coverage) {
    char signature[FUZZ_MOST_INPUTS + FUZZ_MOST_OUTPUTS + 3];
    Closure closure = {p, find_plant(plant)};
    sn_error error = {0};
    fuzz_signature(p, signature);
    sn_compiled *compiled =
        sn_compile_payload(closure_run, &closure, NULL, "program", signature, NULL, &error);
    if (!compiled) return fail(FUZZ_SETUP, "%s", error.text);
    FuzzVerdict verdict = fine();
    int32_t threads = sn_threads();
    for (int32_t call = 0; call < CALLS && !verdict.failure; call++) {
        Seen seen = {.status = SN_OK};
        sn_counters before = {.size = sizeof before};
        sn_counters_get(&before);
        SN_SCOPE {
            if (call == 2) sn_set_threads(1 + (int32_t)(p->seed % 5));
            verdict = call_once(p, compiled, call == SHIFTED_CALL, &seen);
            if (call == 2) sn_set_threads(threads);
        }
        if (!verdict.failure) verdict = compare(p, eager, &seen, call);
        if (!verdict.failure) verdict = check_counters(p, compiled, &before, call, &seen, coverage);
        bool shared,
            whole = !may_fall_back(p, &shared); /* the recorded graph is all of the function */
        if (!verdict.failure && call == 0 && seen.status == SN_OK && whole) {
            char text[480];
            int judged = oracle_graph_check(p, compiled, text, sizeof text);
            if (coverage) coverage->oracle_graphs += judged != 0;
            if (judged < 0) verdict = fail(FUZZ_ORACLE_GRAPH, "%s", text);
        }
        seen_free(&seen);
    }
    sn_compiled_release(compiled);
    return verdict;
}

static void cover_program(FuzzCoverage *c, const FuzzProgram *p, const Seen *eager) {
    bool shared;
    may_fall_back(p, &shared);
    c->programs++;
    c->refused += eager->status != SN_OK;
    c->shared_inputs += shared;
    for (int32_t i = 0; i < p->n_inputs; i++) {
        int64_t strides[SN_MAX_RANK];
        dense_strides(p->inputs[i].dims, p->inputs[i].rank, strides);
        c->odd_inputs +=
            memcmp(strides, p->inputs[i].strides, sizeof(int64_t) * (size_t)p->inputs[i].rank) != 0;
    }
    for (int32_t i = 0; i < eager->n_outputs; i++)
        c->aliases_returned += eager->outputs[i].shares >= 0;
}

FuzzVerdict fuzz_check(const FuzzProgram *program, const char *plant, FuzzCoverage *coverage) {
    Seen eager = {.status = SN_OK};
    FuzzVerdict verdict = fine();
    SN_SCOPE {
        verdict = run_eager(program, &eager, coverage);
    }
    if (coverage) cover_program(coverage, program, &eager);
    if (!verdict.failure) verdict = run_compiled(program, plant, &eager, coverage);
    seen_free(&eager);
    return verdict;
}

void fuzz_dump(const FuzzProgram *program, const char *stage, FILE *out) {
    char signature[FUZZ_MOST_INPUTS + FUZZ_MOST_OUTPUTS + 3];
    Closure closure = {program, -1};
    Seen seen = {.status = SN_OK};
    fuzz_signature(program, signature);
    sn_compiled *compiled =
        sn_compile_payload(closure_run, &closure, NULL, "program", signature, NULL, NULL);
    SN_SCOPE {
        if (compiled) call_once(program, compiled, 0, &seen);
    }
    seen_free(&seen);
    char *text = compiled ? sn_dump(compiled, stage, NULL) : NULL;
    fprintf(out, "%s\n", text ? text : "(no such stage)");
    sn_text_free(text);
    sn_compiled_release(compiled);
}
