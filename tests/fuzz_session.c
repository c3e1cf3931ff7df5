/* Running programs eagerly and compiled; see fuzz_session.h. */
#include "tests/fuzz_session.h"

#include "tests/fuzz_plant.h"

#include <string.h>

/* ---- steps inside a compiled function of their own ------------------------------------------ */

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

/* ---- eager ---------------------------------------------------------------------------------- */

FuzzVerdict session_eager(const FuzzProgram *p, FuzzSteps *steps, void *context, Seen *seen) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *values[FUZZ_MOST_VALUES] = {0};
    sn_tensor *outputs[FUZZ_MOST_OUTPUTS] = {0};
    sn_rng generator = {p->seed, 5};
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

/* ---- compiled ------------------------------------------------------------------------------- */

static void run_steps(const Session *session, const FuzzProgram *p, sn_tensor **values,
                      sn_rng *generator) {
    for (int32_t i = 0; i < p->n_steps; i++) {
        FuzzStep step = fuzz_bound_step(p, i);
        values[FUZZ_MOST_INPUTS + i] =
            step.inlined ? call_inlined(session->inlined, &step, i, values, generator)
                         : fuzz_run_step(&step, i, values, generator);
    }
}

/* The function: the session's steps on the arguments of the call. */
static sn_status run_on_arguments(void *payload, const sn_value *inputs, int32_t n_inputs,
                                  sn_outputs *outputs) {
    const Session *session = payload;
    FuzzProgram program = fuzz_cut(session->program, (int32_t)inputs[n_inputs - 2].as.integer);
    sn_tensor *values[FUZZ_MOST_VALUES] = {0};
    int32_t at = program.as_array ? 1 : program.n_inputs;
    for (int32_t i = 0; i < program.n_inputs; i++)
        values[i] = program.as_array ? inputs[0].as.tensors[i] : inputs[i].as.tensor;
    for (int32_t i = 0; i < program.n_scalars; i++, at++)
        program.scalars[i].value =
            program.scalars[i].real ? inputs[at].as.real : (double)inputs[at].as.integer;
    plant_into(&program, session->plant);
    run_steps(session, &program, values, inputs[n_inputs - 1].as.generator);
    outputs->count = program.n_outputs;
    for (int32_t i = 0; i < program.n_outputs; i++)
        outputs->tensors[i] = values[program.outputs[i]];
    return sn_error_status();
}

/* Arguments in the order of the signature; their number. */
static int32_t arguments(const FuzzProgram *p, sn_tensor **tensors, sn_rng *generator,
                         sn_value *values) {
    int32_t at = 0;
    if (p->as_array) values[at++] = (sn_value){SN_VALUE_TENSORS, p->n_inputs, {.tensors = tensors}};
    for (int32_t i = 0; i < p->n_inputs && !p->as_array; i++)
        values[at++] = (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = tensors[i]};
    for (int32_t i = 0; i < p->n_scalars; i++) {
        const FuzzScalar *scalar = &p->scalars[i];
        values[at] = (sn_value){.kind = SN_VALUE_INT, .as.integer = (int64_t)scalar->value};
        if (scalar->real) values[at] = (sn_value){.kind = SN_VALUE_FLOAT, .as.real = scalar->value};
        at++;
    }
    values[at++] = (sn_value){.kind = SN_VALUE_INT, .as.integer = p->n_steps};
    values[at++] = (sn_value){.kind = SN_VALUE_RNG, .as.generator = generator};
    return at;
}

FuzzVerdict session_call(const Session *session, const FuzzProgram *p, int64_t shift,
                         FuzzSpoil *spoil, void *context, Seen *seen) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *inputs[FUZZ_MOST_INPUTS];
    sn_tensor *outputs[FUZZ_MOST_OUTPUTS + 1] = {0};
    sn_value values[FUZZ_MOST_INPUTS + FUZZ_MOST_SCALARS + 2];
    sn_rng generator = {p->seed, 5};
    sn_error error = {0};
    int32_t made = 0;
    bool ok = true;
    SN_SCOPE {
        if (!fuzz_make_inputs(p, shift, blocks, inputs))
            return fuzz_fail(FUZZ_SETUP, "inputs: %s", sn_error_text());
        int32_t n_values = arguments(p, inputs, &generator, values);
        if (spoil) spoil(values, &n_values, context);
        sn_call(session->compiled, values, n_values, outputs, FUZZ_MOST_OUTPUTS, &made, NULL,
                &error);
        ok = seen_take(p, seen, outputs, blocks, shift, &generator, &error);
        for (int32_t i = 0; i < made; i++) sn_release(outputs[i]);
    }
    if (sn_error_take(&error) != SN_OK)
        return fuzz_fail(FUZZ_STATUS, "sn_call left a pending error: %s", error.text);
    return ok ? fuzz_fine() : fuzz_fail(FUZZ_SETUP, "out of memory");
}

/* ---- handles -------------------------------------------------------------------------------- */

bool session_open(Session *s, const FuzzProgram *p, const char *plant, FuzzCoverage *coverage,
                  sn_error *error) {
    char signature[FUZZ_MOST_INPUTS + FUZZ_MOST_SCALARS + FUZZ_MOST_OUTPUTS + 6];
    bool inlines = false;
    *s = (Session){.program = p, .plant = plant, .coverage = coverage};
    for (int32_t i = 0; i < p->n_steps; i++) {
        s->reads = s->reads || p->steps[i].kind == FUZZ_CHOOSE;
        inlines = inlines || p->steps[i].inlined;
    }
    if (inlines) {
        s->inlined = sn_compile(run_inlined, "t*r:t", NULL);
        if (!s->inlined) return sn_error_take(error), false;
    }
    fuzz_signature(p, signature);
    s->compiled = sn_compile_payload(run_on_arguments, s, NULL, "program", signature, NULL, error);
    return s->compiled != NULL;
}

void session_close(Session *s) {
    sn_compiled_release(s->compiled);
    sn_compiled_release(s->inlined);
}
