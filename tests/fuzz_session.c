/* Running programs eagerly and compiled; see fuzz_session.h. */
#include "tests/fuzz_session.h"

#include "base/settings.h"
#include "frontend/tensor/tensor.h"
#include "tests/fuzz_plant.h"

#include <stddef.h>
#include <string.h>

enum { MOST_KEPT = 256 };

FuzzFallbacks session_fallbacks;

/* The log is the only place that has all reasons. */
static void see_log(void *context, const char *topic, const char *text) {
    (void)context;
    if (strcmp(topic, "fallback") != 0) return;
    if (strstr(text, "a write to memory that another input shares")) {
        session_fallbacks.overlaps++;
        return;
    }
    session_fallbacks.others++;
    snprintf(session_fallbacks.text, sizeof session_fallbacks.text, "%s", text);
}

static void watch_log(void) {
    static bool done;
    if (done) return;
    setting_set(SETTING_LOG, "fallback");
    sn_set_log(see_log, NULL);
    done = true;
}

/* ---- steps inside a compiled function of their own ------------------------------------------- */

/* The step that the inlined function runs: C state, which only an inlined call may depend on. */
static _Thread_local struct {
    const FuzzStep *step; /* bound */
    int32_t number;       /* its place in the program */
} inlined;

/* The values that the step names come in the order in which it names them. */
static sn_tensor *run_inlined(sn_tensor *const *tensors, int32_t count, sn_rng *generator) {
    sn_tensor *values[FUZZ_MOST_VALUES] = {0};
    for (int32_t i = 0, at = 0; i < inlined.step->n_operands && at < count; i++)
        if (inlined.step->operands[i].value >= 0)
            values[inlined.step->operands[i].value] = tensors[at++];
    return fuzz_run_step(inlined.step, inlined.number, values, generator);
}

typedef sn_tensor *Inlined(sn_tensor *const *tensors, int32_t count, sn_rng *generator);

static sn_tensor *call_inlined(sn_compiled *compiled, const FuzzStep *step, int32_t number,
                               sn_tensor *const *values, sn_rng *generator) {
    Inlined *function = (Inlined *)sn_compiled_fn(compiled);
    sn_tensor *tensors[FUZZ_MOST_OPERANDS];
    int32_t count = 0;
    for (int32_t i = 0; i < step->n_operands; i++)
        if (step->operands[i].value >= 0) tensors[count++] = values[step->operands[i].value];
    inlined.step = step;
    inlined.number = number;
    return function ? function(tensors, count, generator) : NULL;
}

/* ---- all steps ------------------------------------------------------------------------------- */

/* Large ones are not kept: they would meet others that no call alone has. */
static sn_tensor *run_exchange(sn_tensor *x, int32_t number, FuzzState *state) {
    bool keeps = x && sn_error_status() == SN_OK && x->kind != TENSOR_NONE &&
                 x->kind != TENSOR_WEAK && sn_count(x) <= MOST_KEPT;
    if (!keeps) return x;
    sn_tensor *before = state->kept[number];
    state->kept[number] = sn_retain(x);
    if (before) state->spent[state->n_spent++] = before;
    return before ? before : x;
}

void fuzz_state_settle(FuzzState *state, bool keeps) {
    while (state->n_spent) sn_release(state->spent[--state->n_spent]);
    for (int32_t i = 0; i < FUZZ_MOST_STEPS && !keeps; i++) {
        sn_release(state->kept[i]);
        state->kept[i] = NULL;
    }
}

static sn_tensor *run_any(const FuzzStep *step, int32_t number, sn_tensor *const *values,
                          FuzzState *state) {
    if (step->kind == FUZZ_EXCHANGE)
        return run_exchange(values[step->operands[0].value], number, state);
    if (step->inlined && step->kind != FUZZ_PASS && state->inlined)
        return call_inlined(state->inlined, step, number, values, state->generator);
    return fuzz_run_step(step, number, values, state->generator);
}

sn_status fuzz_run(const FuzzProgram *p, sn_tensor **values, FuzzState *state,
                   sn_tensor **outputs) {
    for (int32_t i = 0; i < p->n_steps; i++) {
        bool tries = p->steps[i].tries && sn_error_status() == SN_OK;
        FuzzStep step = fuzz_bound_step(p, i, values);
        sn_tensor *result = run_any(&step, i, values, state);
        if (tries && sn_error_take(NULL) != SN_OK) result = values[step.operands[0].value];
        values[FUZZ_MOST_INPUTS + i] = result;
    }
    for (int32_t i = 0; i < p->n_outputs; i++) {
        outputs[i] = values[p->outputs[i]];
        if (outputs[i] == SN_NONE)
            sn_error_raise(SN_ERROR_ARGUMENT, "step", 0, "result %d is absent", (int)i);
    }
    return sn_error_status();
}

/* ---- eager ----------------------------------------------------------------------------------- */

FuzzVerdict session_eager(const FuzzProgram *p, FuzzSteps *steps, void *context, Seen *seen) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *values[FUZZ_MOST_VALUES] = {0};
    sn_tensor *outputs[FUZZ_MOST_OUTPUTS] = {0};
    sn_rng generator = {p->seed, p->counter};
    sn_error error = {0};
    FuzzVerdict verdict;
    SN_SCOPE {
        if (!fuzz_make_inputs(p, 0, blocks, values))
            return fuzz_fail(FUZZ_SETUP, "inputs: %s", sn_error_text());
        verdict = steps(p, values, blocks, &generator, context);
        for (int32_t i = 0; i < p->n_outputs; i++) outputs[i] = values[p->outputs[i]];
        sn_error_take(&error);
        if (!seen_take(p, seen, outputs, blocks, 0, &generator, &error))
            return fuzz_fail(FUZZ_SETUP, "out of memory");
    }
    return verdict;
}

/* ---- a described struct ---------------------------------------------------------------------- */

typedef struct StructScalar {
    double value; /* of a scalar, whatever its letter */
} StructScalar;

/* All arguments but the generator. */
typedef struct FuzzStruct {
    int32_t n_tensors;                       /* tensors in use */
    int32_t n_scalars;                       /* scalars in use */
    sn_tensor *tensors[FUZZ_MOST_INPUTS];    /* arguments; SN_NONE where absent */
    StructScalar scalars[FUZZ_MOST_SCALARS]; /* those that are not declared memory */
} FuzzStruct;

static const sn_field scalar_field = {"value", SN_FIELD_SCALAR, 0,   sizeof(double), 0,
                                      0,       false,           NULL};
static const sn_field hidden_field = {"value", SN_FIELD_IGNORED, 0, sizeof(double), 0, 0, false,
                                      NULL};

/* Layout of the struct; `hides`, planted: scalars are declared as if the function did not read them. */
static const sn_tree *struct_tree(bool hides) {
    static sn_tree scalar = {sizeof(StructScalar), NULL, 1};
    static const sn_field fields[] = {
        {"n_tensors", SN_FIELD_SCALAR, offsetof(FuzzStruct, n_tensors), sizeof(int32_t), 0, 0,
         false, NULL},
        {"n_scalars", SN_FIELD_SCALAR, offsetof(FuzzStruct, n_scalars), sizeof(int32_t), 0, 0,
         false, NULL},
        {"tensors", SN_FIELD_TENSOR, offsetof(FuzzStruct, tensors), sizeof(sn_tensor *),
         FUZZ_MOST_INPUTS, offsetof(FuzzStruct, n_tensors), true, NULL},
        {"scalars", SN_FIELD_STRUCT, offsetof(FuzzStruct, scalars), sizeof(StructScalar),
         FUZZ_MOST_SCALARS, offsetof(FuzzStruct, n_scalars), true, &scalar},
    };
    static const sn_tree tree = {sizeof(FuzzStruct), fields, 4};
    scalar.fields = hides ? &hidden_field : &scalar_field;
    return &tree;
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* The tensors that are passed, in order; a list may end early where they are absent. */
static int32_t tensors_to_pass(const FuzzProgram *p, sn_tensor *const *inputs, sn_tensor **passed) {
    int32_t count = 0;
    for (int32_t i = 0; i < p->n_inputs; i++)
        if (p->inputs[i].place != FUZZ_CAPTURED) passed[count++] = inputs[i];
    while (p->passing != FUZZ_EACH && count && passed[count - 1] == SN_NONE) count--;
    return count;
}

/* Memory of the arguments of a call. */
typedef struct Arguments {
    sn_value values[FUZZ_MOST_INPUTS + FUZZ_MOST_SCALARS + 2]; /* by the signature */
    int32_t n_values;                                          /* how many */
    sn_tensor *tensors[FUZZ_MOST_INPUTS];                      /* of an array */
    FuzzStruct packed;                                         /* a struct */
} Arguments;

static sn_value scalar_value(const FuzzScalar *scalar) {
    if (fuzz_is_real(scalar)) return (sn_value){.kind = SN_VALUE_FLOAT, .as.real = scalar->value};
    bool top = scalar->value >= 0x1p63; /* no int64_t */
    return (sn_value){.kind = scalar->letter == 'b' ? SN_VALUE_BOOL : SN_VALUE_INT,
                      .as.integer = top ? INT64_MAX : (int64_t)scalar->value};
}

static void make_arguments(const FuzzProgram *p, sn_tensor *const *inputs, sn_rng *generator,
                           Arguments *a) {
    *a = (Arguments){.n_values = 0};
    sn_value *next = a->values;
    int32_t count = tensors_to_pass(p, inputs, a->tensors);
    if (p->passing == FUZZ_ARRAY)
        *next++ = (sn_value){SN_VALUE_TENSORS, count, {.tensors = a->tensors}};
    for (int32_t i = 0; i < count && p->passing == FUZZ_EACH; i++)
        *next++ = (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = a->tensors[i]};
    if (p->passing == FUZZ_STRUCT) {
        a->packed.n_tensors = count;
        memcpy(a->packed.tensors, a->tensors, sizeof a->tensors);
        *next++ = (sn_value){.kind = SN_VALUE_POINTER, .as.pointer = &a->packed};
    }
    for (int32_t i = 0; i < p->n_scalars; i++) {
        if (p->scalars[i].letter == 'w') continue;
        if (p->passing == FUZZ_STRUCT)
            a->packed.scalars[a->packed.n_scalars++].value = p->scalars[i].value;
        else
            *next++ = scalar_value(&p->scalars[i]);
    }
    *next++ = (sn_value){.kind = SN_VALUE_INT, .as.integer = p->n_steps};
    *next++ = (sn_value){.kind = SN_VALUE_RNG, .as.generator = generator};
    a->n_values = (int32_t)(next - a->values);
}

/* "tt?dlr:tt", "t*dlr:tt" or "Slr:tt", the l being the number of steps to run. */
static void make_signature(const FuzzProgram *p, char *text) {
    for (int32_t i = 0; i < p->n_inputs && p->passing == FUZZ_EACH; i++) {
        if (p->inputs[i].place != FUZZ_CAPTURED) *text++ = 't';
        if (p->inputs[i].place == FUZZ_OPTIONAL) *text++ = '?';
    }
    if (p->passing == FUZZ_ARRAY) *text++ = 't', *text++ = '*';
    if (p->passing == FUZZ_STRUCT) *text++ = 'S';
    for (int32_t i = 0; i < p->n_scalars && p->passing != FUZZ_STRUCT; i++)
        if (p->scalars[i].letter != 'w') *text++ = p->scalars[i].letter;
    *text++ = 'l';
    *text++ = 'r';
    *text++ = ':';
    for (int32_t i = 0; i < p->n_outputs; i++) *text++ = 't';
    *text = 0;
}

/* ---- the functions --------------------------------------------------------------------------- */

static void take_tensors(const Session *s, const sn_value *inputs, sn_tensor **values) {
    const FuzzProgram *p = s->program;
    const FuzzStruct *packed = p->passing == FUZZ_STRUCT ? inputs[0].as.pointer : NULL;
    sn_tensor *const *list = packed ? packed->tensors : inputs[0].as.tensors;
    int32_t count = packed ? packed->n_tensors : inputs[0].count, at = 0;
    for (int32_t i = 0; i < p->n_inputs; i++) {
        if (p->inputs[i].place == FUZZ_CAPTURED)
            values[i] = s->captured[i];
        else if (p->passing == FUZZ_EACH)
            values[i] = inputs[at++].as.tensor;
        else
            values[i] = at < count ? list[at] : SN_NONE, at++;
    }
}

static void take_scalars(const Session *s, const sn_value *inputs, int32_t n_inputs,
                         FuzzProgram *program) {
    const FuzzStruct *packed = program->passing == FUZZ_STRUCT ? inputs[0].as.pointer : NULL;
    int32_t at = n_inputs - 2, taken = 0;
    for (int32_t i = 0; i < program->n_scalars; i++) at -= program->scalars[i].letter != 'w';
    for (int32_t i = 0; i < program->n_scalars; i++) {
        FuzzScalar *scalar = &program->scalars[i];
        if (scalar->letter == 'w')
            scalar->value = s->declared[i];
        else if (packed)
            scalar->value = packed->scalars[taken++].value;
        else
            scalar->value =
                fuzz_is_real(scalar) ? inputs[at].as.real : (double)inputs[at].as.integer,
            at++;
    }
}

/* The function: the session's steps on the arguments of the call. */
static sn_status run_on_arguments(void *payload, const sn_value *inputs, int32_t n_inputs,
                                  sn_outputs *outputs) {
    Session *s = payload;
    FuzzProgram program = fuzz_cut(s->program, (int32_t)inputs[n_inputs - 2].as.integer);
    sn_tensor *values[FUZZ_MOST_VALUES] = {0};
    take_tensors(s, inputs, values);
    take_scalars(s, inputs, n_inputs, &program);
    plant_into(&program, s->plant);
    s->state.generator = inputs[n_inputs - 1].as.generator;
    outputs->count = program.n_outputs;
    sn_status status = fuzz_run(&program, values, &s->state, outputs->tensors);
    /* What the session keeps for the next call is its own: a result is one more reference. */
    for (int32_t i = 0; status == SN_OK && i < outputs->count; i++) sn_retain(outputs->tensors[i]);
    return status;
}

/* The outer function: the compiled one, whose results it returns as views that are all of them. */
static sn_status call_compiled(void *payload, const sn_value *inputs, int32_t n_inputs,
                               sn_outputs *outputs) {
    Session *s = payload;
    sn_error error = {0};
    sn_tensor *made[FUZZ_MOST_OUTPUTS + 1];
    sn_status status = sn_call(s->compiled, inputs, n_inputs, made, FUZZ_MOST_OUTPUTS,
                               &outputs->count, NULL, &error);
    if (status != SN_OK) sn_error_raise(status, NULL, 0, "%s", error.text);
    for (int32_t i = 0; i < outputs->count; i++) {
        outputs->tensors[i] = sn_index(made[i], NULL, 0);
        sn_release(made[i]);
    }
    return status;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* What the function reaches by itself. */
static void set_surroundings(Session *s, const FuzzProgram *p, sn_tensor *const *inputs) {
    for (int32_t i = 0; i < p->n_inputs; i++) s->captured[i] = inputs[i];
    for (int32_t i = 0; i < p->n_scalars; i++)
        if (p->scalars[i].letter == 'w') s->declared[i] = p->scalars[i].value;
}

FuzzVerdict session_call(Session *s, const FuzzProgram *p, int64_t shift, FuzzSpoil *spoil,
                         void *context, Seen *seen) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *inputs[FUZZ_MOST_INPUTS];
    sn_tensor *outputs[FUZZ_MOST_OUTPUTS + 1] = {0};
    Arguments arguments;
    sn_rng generator = {p->seed, p->counter};
    sn_error error = {0};
    int32_t made = 0;
    bool ok = true;
    SN_SCOPE {
        if (!fuzz_make_inputs(p, shift, blocks, inputs))
            return fuzz_fail(FUZZ_SETUP, "inputs: %s", sn_error_text());
        set_surroundings(s, p, inputs);
        make_arguments(p, inputs, &generator, &arguments);
        if (spoil) spoil(arguments.values, &arguments.n_values, context);
        sn_call(s->through ? s->outer : s->compiled, arguments.values, arguments.n_values, outputs,
                FUZZ_MOST_OUTPUTS, &made, NULL, &error);
        ok = seen_take(p, seen, outputs, blocks, shift, &generator, &error);
        for (int32_t i = 0; i < made; i++) sn_release(outputs[i]);
        fuzz_state_settle(&s->state, seen->status == SN_OK);
    }
    if (sn_error_take(&error) != SN_OK)
        return fuzz_fail(FUZZ_STATUS, "sn_call left a pending error: %s", error.text);
    return ok ? fuzz_fine() : fuzz_fail(FUZZ_SETUP, "out of memory");
}

/* ---- handles --------------------------------------------------------------------------------- */

static sn_compiled *compile(Session *s, sn_payload_function *function, const char *name,
                            sn_error *error) {
    char signature[2 * FUZZ_MOST_INPUTS + FUZZ_MOST_SCALARS + FUZZ_MOST_OUTPUTS + 4];
    const FuzzProgram *p = s->program;
    bool hides = plant_hides_scalars(s->plant);
    const sn_tree *trees[] = {struct_tree(hides)};
    sn_watch watch = {s->declared, sizeof s->declared};
    sn_compile_options options = {.trees = trees,
                                  .watch = &watch,
                                  .shapes = s->policy.shapes,
                                  .most_graphs = s->policy.most_graphs,
                                  .at_limit = s->policy.at_limit,
                                  .stance = s->policy.stance,
                                  .check_every = s->policy.check_every};
    options.n_trees = p->passing == FUZZ_STRUCT;
    for (int32_t i = 0; i < p->n_scalars; i++)
        if (p->scalars[i].letter == 'w' && !hides) options.n_watch = 1;
    make_signature(p, signature);
    return sn_compile_payload(function, s, NULL, name, signature, &options, error);
}

bool session_open(Session *s, const FuzzProgram *p, const char *plant, const FuzzPolicy *policy,
                  FuzzCoverage *coverage, sn_error *error) {
    bool inlines = false;
    watch_log();
    *s = (Session){.program = p, .plant = plant, .coverage = coverage};
    if (policy) s->policy = *policy;
    for (int32_t i = 0; i < p->n_steps; i++) {
        s->reads = s->reads || p->steps[i].kind == FUZZ_CHOOSE;
        inlines = inlines || p->steps[i].inlined;
    }
    if (inlines) {
        s->inlined = sn_compile(run_inlined, "t*r:t", NULL);
        if (!s->inlined) return sn_error_take(error), false;
    }
    s->state.inlined = s->inlined;
    s->compiled = compile(s, run_on_arguments, "program", error);
    return s->compiled != NULL;
}

bool session_nest(Session *s, sn_error *error) {
    s->outer = compile(s, call_compiled, "outer", error);
    return s->outer != NULL;
}

void session_close(Session *s) {
    fuzz_state_settle(&s->state, false);
    sn_compiled_release(s->outer);
    sn_compiled_release(s->compiled);
    sn_compiled_release(s->inlined);
}
