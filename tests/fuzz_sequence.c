/* Sequences of calls; see fuzz_sequence.h. */
#include "tests/fuzz_sequence.h"

#include "tests/fuzz_adapt.h"
#include "tests/fuzz_make.h"
#include "tests/fuzz_session.h"
#include "tests/fuzz_text.h"
#include "tests/fuzz_vary.h"

enum {
    MOST_TRIES = 6,
    NESTED_PERCENT = 15,
    REFUSED_PERCENT = 12,
    MOST_ELEMENTS = 60000,
    MOST_BYTES = 1 << 25
};

/* ---- making ---------------------------------------------------------------------------------- */

/* What a program comes to with its arguments. */
typedef enum Outcome { RUNS, REFUSED, TOO_LARGE } Outcome;

static Outcome try_program(const FuzzProgram *program) {
    sn_tensor *blocks[FUZZ_MOST_INPUTS], *values[FUZZ_MOST_VALUES] = {0};
    sn_tensor *outputs[FUZZ_MOST_OUTPUTS];
    sn_rng generator = {program->seed, program->counter};
    FuzzState state = {.generator = &generator};
    Outcome outcome = RUNS;
    sn_memory_set_limit(sn_memory().live_bytes + MOST_BYTES);
    sn_scope scope = sn_scope_begin();
    if (!fuzz_make_inputs(program, 0, blocks, values) ||
        fuzz_run(program, values, &state, outputs) != SN_OK)
        outcome = sn_error_status() == SN_ERROR_MEMORY ? TOO_LARGE : REFUSED;
    sn_error_take(NULL);
    for (int32_t i = 0; i < FUZZ_MOST_VALUES; i++)
        if (values[i] && values[i] != SN_NONE && sn_count(values[i]) > MOST_ELEMENTS)
            outcome = TOO_LARGE;
    fuzz_state_settle(&state, false);
    sn_scope_end(scope, NULL);
    sn_memory_set_limit(0);
    return outcome;
}

/* Mostly other sizes. */
static FuzzVariation random_variation(const FuzzProgram *program, FuzzRandom *random) {
    static const FuzzVariation others[] = {
        FUZZ_VARY_DATA,    FUZZ_VARY_INDEX,   FUZZ_VARY_RANK,   FUZZ_VARY_DTYPE, FUZZ_VARY_STRIDES,
        FUZZ_VARY_STRIDES, FUZZ_VARY_PRESENT, FUZZ_VARY_LAYOUT, FUZZ_VARY_ALIAS, FUZZ_VARY_ALIAS};
    if (program->n_scalars && fuzz_chance(random, 20)) return FUZZ_VARY_SCALAR;
    if (fuzz_chance(random, 70)) return FUZZ_VARY_SIZES;
    return others[fuzz_below(random, sizeof others / sizeof *others)];
}

/* Arguments unlike the first ones, or unlike those of another variant; now and then such as the
 * function refuses. */
static void add_variant(FuzzSequence *s, FuzzRandom *random) {
    FuzzProgram *to = &s->variants[s->n_variants];
    for (int32_t i = 0; i < MOST_TRIES; i++) {
        int64_t from = fuzz_chance(random, 50) ? 0 : fuzz_below(random, s->n_variants);
        FuzzVariation variation = random_variation(&s->variants[from], random);
        if (!fuzz_vary(&s->variants[from], variation, random, to)) continue;
        Outcome outcome = try_program(to);
        if (outcome == TOO_LARGE) continue;
        if (outcome == REFUSED && !fuzz_chance(random, REFUSED_PERCENT)) continue;
        s->n_variants++;
        return;
    }
}

/* First a few variants by turns, then more and more of them. */
static void choose_calls(FuzzSequence *s, FuzzRandom *random) {
    bool nested = fuzz_chance(random, NESTED_PERCENT);
    for (; s->n_calls < FUZZ_MOST_CALLS; s->n_calls++) {
        int64_t known = 2 + s->n_calls / 3;
        if (known > s->n_variants || fuzz_chance(random, 20)) known = s->n_variants;
        s->calls[s->n_calls] = (FuzzCall){
            .variant = (int32_t)fuzz_below(random, known),
            .shift = fuzz_chance(random, 30) ? (int32_t)fuzz_below(random, 4) : 0,
            .through = nested && fuzz_chance(random, 60),
        };
    }
}

static FuzzPolicy random_policy(FuzzRandom *random) {
    static const sn_shapes shapes[] = {SN_SHAPES_AUTO,  SN_SHAPES_AUTO,    SN_SHAPES_AUTO,
                                       SN_SHAPES_AUTO,  SN_SHAPES_DYNAMIC, SN_SHAPES_DYNAMIC,
                                       SN_SHAPES_STATIC};
    static const sn_at_limit limits[] = {SN_AT_LIMIT_EVICT, SN_AT_LIMIT_GENERALISE,
                                         SN_AT_LIMIT_EAGER};
    static const sn_stance stances[] = {SN_STANCE_EAGER_ON_RECOMPILE, SN_STANCE_EAGER_THEN_COMPILE,
                                        SN_STANCE_ASYNC};
    FuzzPolicy policy = {.shapes = shapes[fuzz_below(random, 7)]};
    if (fuzz_chance(random, 15)) {
        policy.most_graphs = 1 + (int32_t)fuzz_below(random, 3);
        policy.at_limit = limits[fuzz_below(random, 3)];
    }
    if (fuzz_chance(random, 10)) policy.stance = stances[fuzz_below(random, 3)];
    if (fuzz_chance(random, 10)) policy.check_every = 2 + (int32_t)fuzz_below(random, 4);
    return policy;
}

void fuzz_sequence_make(uint64_t seed, FuzzSequence *s) {
    FuzzRandom random = {fuzz_seed_number(seed) ^ 0x6a11};
    *s = (FuzzSequence){.n_variants = 1};
    fuzz_make(seed, &s->variants[0]);
    fuzz_adapt(&s->variants[0], &random);
    for (int32_t i = 1; i < FUZZ_MOST_VARIANTS; i++) add_variant(s, &random);
    choose_calls(s, &random);
    s->policy = random_policy(&random);
}

/* ---- text ------------------------------------------------------------------------------------ */

void fuzz_sequence_print(const FuzzSequence *s, FILE *out) {
    bool shown[FUZZ_MOST_VARIANTS] = {false};
    fprintf(out, "program of seed %d:%llu:\n", (int)s->variants[0].ops,
            (unsigned long long)s->variants[0].seed);
    fuzz_print_steps(&s->variants[0], out);
    const FuzzPolicy *policy = &s->policy;
    fprintf(out, "policy: shapes %d, most graphs %d, at the limit %d, stance %d, check every %d\n",
            (int)policy->shapes, (int)policy->most_graphs, (int)policy->at_limit,
            (int)policy->stance, (int)policy->check_every);
    for (int32_t i = 0; i < s->n_calls; i++) {
        const FuzzCall *call = &s->calls[i];
        fprintf(out, "call %d: arguments %d", (int)i, (int)call->variant);
        if (call->shift) fprintf(out, ", %d elements later", (int)call->shift);
        fprintf(out, call->through ? ", through another function\n" : "\n");
        if (!shown[call->variant]) fuzz_print_arguments(&s->variants[call->variant], out);
        shown[call->variant] = true;
    }
}
