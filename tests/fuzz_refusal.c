/* The check of refused programs; see fuzz_refusal.h. */
#include "tests/fuzz_refusal.h"

#include "frontend/tensor/tensor.h"
#include "tests/fuzz_plant.h"
#include "tests/fuzz_session.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_VARIATIONS = 3, FALLBACK_PERCENT = 8 };

/* ---- what eager does ------------------------------------------------------------------------- */

/* What an eager run went through before it was refused. */
typedef struct Past {
    char *blocks[FUZZ_MOST_STEPS + 1][FUZZ_MOST_INPUTS]; /* copies of the inputs' memory: at the
                                                          * start, after each write */
    int32_t n_blocks;                                    /* how many of them */
    uint64_t counters[FUZZ_MOST_STEPS + 1];              /* the generator's: see past_draws */
    int32_t n_counters;                                  /* how many */
    int32_t failed;                                      /* the step that was refused */
} Past;

static bool past_write(Past *past, const FuzzProgram *p, sn_tensor *const *blocks) {
    return seen_take_blocks(p, blocks, 0, past->blocks[past->n_blocks++]);
}

static void past_free(Past *past) {
    for (int32_t i = 0; i < past->n_blocks; i++)
        for (int32_t j = 0; j < FUZZ_MOST_INPUTS; j++) free(past->blocks[i][j]);
}

/* Promise I3: a trace that fails rolls its generators back. So the compiled function leaves the counter
 * where eager had it at the start, or where the trace was run before the failing step: by a host read
 * or, in a program that writes, for the sake of memory that is shared. */
static void past_draws(Past *past, const FuzzProgram *p, int32_t number, const sn_rng *generator) {
    bool runs = number == 0 || p->steps[number - 1].kind == FUZZ_CHOOSE;
    for (int32_t i = 0; i < p->n_steps; i++) runs = runs || fuzz_writes(&p->steps[i]);
    if (runs) past->counters[past->n_counters++] = generator->counter;
}

/* Runs the steps up to the first that is refused; `context` is the past. */
static FuzzVerdict run_steps(const FuzzProgram *p, sn_tensor **values, sn_tensor *const *blocks,
                             sn_rng *generator, void *context) {
    Past *past = context;
    bool ok = past_write(past, p, blocks);
    int32_t i = 0;
    for (; ok && i < p->n_steps; i++) {
        past_draws(past, p, i, generator);
        FuzzStep step = fuzz_bound_step(p, i, values);
        values[FUZZ_MOST_INPUTS + i] = fuzz_run_step(&step, i, values, generator);
        if (sn_error_status() != SN_OK) break;
        ok = !fuzz_writes(&step) || past_write(past, p, blocks);
    }
    past->failed = i;
    return ok ? fuzz_fine() : fuzz_fail(FUZZ_SETUP, "out of memory");
}

/* A program with what eager leaves behind. */
typedef struct Run {
    FuzzProgram program; /* the steps and the arguments */
    Seen eager;          /* what it leaves */
    Past past;           /* how it came to that */
} Run;

static FuzzVerdict run_eager(Run *run, const FuzzProgram *program) {
    *run = (Run){.program = *program};
    return session_eager(&run->program, run_steps, &run->past, &run->eager);
}

static void run_free(Run *run) {
    seen_free(&run->eager);
    past_free(&run->past);
}

/* ---- one call -------------------------------------------------------------------------------- */

/* Is the memory of every input as it was at some point before the failing step? */
static FuzzVerdict check_memory(const Run *run, const Seen *seen, int32_t call) {
    const FuzzProgram *p = &run->program;
    for (int32_t i = 0; i < p->n_blocks; i++) {
        const FuzzBlock *block = &p->blocks[i];
        bool known = false;
        for (int32_t j = 0; !known && j < run->past.n_blocks; j++)
            known = seen_first_difference(block->dtype, run->past.blocks[j][i], seen->blocks[i],
                                          block->count) < 0;
        if (!known)
            return fuzz_fail(FUZZ_WRITTEN, "call %d: block %d is as it never was in eager", call,
                             (int)i);
    }
    return fuzz_fine();
}

static FuzzVerdict check_refused(const Run *run, const Seen *seen, int32_t call) {
    const Seen *eager = &run->eager;
    FuzzVerdict verdict = seen_compare(&run->program, eager, seen, call);
    if (!verdict.failure && eager->line != seen->line)
        verdict = fuzz_fail(FUZZ_STATUS, "call %d: line %d, eager %d", call, (int)seen->line,
                            (int)eager->line);
    bool known = false;
    for (int32_t i = 0; i < run->past.n_counters; i++)
        known = known || run->past.counters[i] == seen->generator.counter;
    if (!verdict.failure && !known)
        verdict = fuzz_fail(FUZZ_GENERATOR, "call %d: the counter is %llu, eager %llu", call,
                            (unsigned long long)seen->generator.counter,
                            (unsigned long long)eager->generator.counter);
    return verdict.failure ? verdict : check_memory(run, seen, call);
}

static int32_t entries_of(sn_compiled *compiled) {
    sn_explanation explanation = {.size = sizeof explanation};
    return sn_explain(compiled, &explanation) == SN_OK ? explanation.entries : -1;
}

static void count_call(FuzzCoverage *c, const sn_counters *before, bool refused) {
    sn_counters now = {.size = sizeof now};
    sn_counters_get(&now);
    if (!c) return;
    c->calls++;
    c->kernels_compiled += now.compiles - before->compiles;
    c->refused_hits += refused && now.guard_hits > before->guard_hits;
}

static FuzzVerdict check_call(Session *s, const Run *run) {
    Seen seen = {.status = SN_OK};
    int32_t entries = entries_of(s->compiled);
    sn_counters counters = {.size = sizeof counters};
    sn_counters_get(&counters);
    sn_mark_t before = sn_mark();
    FuzzVerdict verdict = session_call(s, &run->program, 0, NULL, NULL, &seen);
    sn_mark_t after = sn_mark();
    bool refused = run->eager.status != SN_OK;
    count_call(s->coverage, &counters, refused);
    if (!verdict.failure && refused) verdict = check_refused(run, &seen, s->call);
    if (!verdict.failure && !refused)
        verdict = seen_compare(&run->program, &run->eager, &seen, s->call);
    if (!verdict.failure && refused && entries_of(s->compiled) != entries)
        verdict = fuzz_fail(FUZZ_LEFT_BEHIND, "call %d left an entry behind", s->call);
    if (!verdict.failure && memcmp(&before, &after, sizeof before) != 0)
        verdict =
            fuzz_fail(FUZZ_LEFT_BEHIND, "call %d left a scope, handle or trace open", s->call);
    seen_free(&seen);
    s->call++;
    return verdict;
}

/* ---- calls with bad values ------------------------------------------------------------------- */

/* Values of a call that do not fit the signature, or are no tensors. */
typedef enum BadCall {
    BAD_COUNT,     /* one value too few */
    BAD_KIND,      /* a value of another kind */
    BAD_NULL,      /* NULL for a tensor, or for the array of them */
    BAD_ABSENT,    /* SN_NONE for one that is not optional */
    BAD_RELEASED,  /* a released tensor */
    BAD_GENERATOR, /* NULL for the generator */
    BAD_CALL_COUNT
} BadCall;

static void spoil(sn_value *values, int32_t *n_values, void *context) {
    BadCall bad = *(const BadCall *)context;
    sn_tensor **tensor = &values->as.tensor;
    if (values->kind == SN_VALUE_TENSORS) tensor = (sn_tensor **)(uintptr_t)values->as.tensors;
    switch (bad) {
    case BAD_COUNT:
        --*n_values;
        return;
    case BAD_KIND:
        values[*n_values - 2].kind = SN_VALUE_FLOAT;
        return;
    case BAD_NULL:
        values->as.tensor = NULL;
        return;
    case BAD_ABSENT:
        *tensor = SN_NONE;
        return;
    case BAD_GENERATOR:
        values[*n_values - 1].as.generator = NULL;
        return;
    default:
        *tensor = fuzz_released();
    }
}

/* Eager has no such call: it has to fail in one way whatever the handle went through. */
static FuzzVerdict check_bad_call(Session *s, const Run *run, BadCall bad, Seen *first) {
    Seen seen = {.status = SN_OK}, *into = first->status == SN_OK ? first : &seen;
    int32_t entries = entries_of(s->compiled);
    FuzzVerdict verdict = session_call(s, &run->program, 0, spoil, &bad, into);
    if (!verdict.failure && into->status == SN_OK)
        verdict = fuzz_fail(FUZZ_STATUS, "call %d with bad values (%d) went well", s->call, bad);
    if (!verdict.failure && into != first)
        verdict = seen_compare(&run->program, first, into, s->call);
    if (!verdict.failure && entries_of(s->compiled) != entries)
        verdict = fuzz_fail(FUZZ_LEFT_BEHIND, "call %d with bad values left an entry", s->call);
    seen_free(&seen);
    s->call++;
    return verdict;
}

/* ---- orders of calls ------------------------------------------------------------------------- */

/* What all calls of a check have in common. */
typedef struct Test {
    const char *plant;      /* a bug in the compiled function, or NULL */
    FuzzCoverage *coverage; /* may be NULL */
} Test;

/* One handle: 'x' calls it for the refused program, 'v' for the valid one, 'b' with bad values. Now and
 * then the valid graph's kernel does not compile, so that it runs node by node. */
static FuzzVerdict check_order(const Test *test, const Run *refused, const Run *valid,
                               const char *order) {
    Session s;
    sn_error error = {0};
    Seen first = {.status = SN_OK};
    BadCall bad = (BadCall)(refused->program.seed % BAD_CALL_COUNT);
    if (!session_open(&s, &refused->program, test->plant, NULL, test->coverage, &error)) {
        session_close(&s);
        return fuzz_fail(FUZZ_SETUP, "%s", error.text);
    }
    FuzzVerdict verdict = fuzz_fine();
    FuzzRandom random = {refused->program.seed ^ 0xfa11};
    bool plants = fuzz_chance(&random, FALLBACK_PERCENT);
    for (const char *c = order; *c && !verdict.failure; c++) {
        bool planted = plants && *c == 'v' && plant_refusal();
        verdict = *c == 'b' ? check_bad_call(&s, valid, bad, &first)
                            : check_call(&s, *c == 'x' ? refused : valid);
        if (planted && plant_refused() && s.coverage) s.coverage->plants++;
        plants = plants && !planted; /* the first valid call compiles the graph */
    }
    seen_free(&first);
    session_close(&s);
    if (verdict.failure) {
        char text[sizeof verdict.text];
        snprintf(text, sizeof text, "calls %s: %.600s", order, verdict.text);
        memcpy(verdict.text, text, sizeof text);
    }
    return verdict;
}

/* The same steps on other arguments, which eager refuses: later calls of a handle that has entries. */
static FuzzVerdict check_arguments(const Test *test, const Run *valid) {
    static const FuzzVariation ways[] = {FUZZ_VARY_INDEX, FUZZ_VARY_SIZE, FUZZ_VARY_RANK,
                                         FUZZ_VARY_DTYPE};
    FuzzRandom random = {valid->program.seed ^ 0xa12e};
    FuzzVerdict verdict = fuzz_fine();
    bool found = false;
    for (int32_t i = 0; i < MOST_VARIATIONS && !found && !verdict.failure; i++) {
        Run refused;
        FuzzProgram varied;
        if (!fuzz_vary(&valid->program, ways[fuzz_below(&random, 4)], &random, &varied)) continue;
        verdict = run_eager(&refused, &varied);
        found = refused.eager.status != SN_OK && !strstr(refused.eager.text, "out of memory");
        if (!verdict.failure && found) verdict = check_order(test, &refused, valid, "vvvxxvxv");
        run_free(&refused);
    }
    if (test->coverage) test->coverage->argument_refusals += found;
    return verdict;
}

/* The valid program is the refused one without what comes from the failing step on. */
static FuzzVerdict check_cut(const Test *test, const Run *refused) {
    Run valid;
    FuzzProgram cut = fuzz_cut(&refused->program, refused->past.failed);
    FuzzVerdict verdict = run_eager(&valid, &cut);
    if (!verdict.failure && valid.eager.status != SN_OK)
        verdict = fuzz_fail(FUZZ_SETUP, "without the failing step: %s", valid.eager.text);
    if (!verdict.failure) verdict = check_order(test, refused, &valid, "xxbvvvxvb");
    if (!verdict.failure) verdict = check_order(test, refused, &valid, "vbvvxxbv");
    if (!verdict.failure) verdict = check_arguments(test, &valid);
    run_free(&valid);
    return verdict;
}

/* Where data alone is wrong, the valid program is the same one on other data: the calls that are refused
 * find its entry. */
static FuzzVerdict check_data(const Test *test, const Run *refused) {
    Run valid = {.program = refused->program}, same = {.past = {.n_blocks = 0}};
    FuzzProgram healed = refused->program;
    bool any = false;
    for (int32_t i = 0; i < healed.n_blocks; i++) {
        any = any || healed.blocks[i].fill == FUZZ_BAD_INDEX;
        if (healed.blocks[i].fill == FUZZ_BAD_INDEX) healed.blocks[i].fill = FUZZ_INDEX;
    }
    if (!any) return fuzz_fine();
    FuzzVerdict verdict = run_eager(&valid, &healed);
    int32_t steps = valid.past.failed; /* what else is wrong stays out */
    run_free(&valid);
    if (verdict.failure || steps <= refused->past.failed) return verdict;
    healed = fuzz_cut(&healed, steps);
    FuzzProgram cut = fuzz_cut(&refused->program, steps);
    verdict = run_eager(&valid, &healed);
    if (!verdict.failure) verdict = run_eager(&same, &cut);
    if (!verdict.failure) verdict = check_order(test, &same, &valid, "vvvxvxxv");
    if (test->coverage) test->coverage->data_refusals++;
    run_free(&valid);
    run_free(&same);
    return verdict;
}

static void count_refusal(const Run *run, FuzzCoverage *c) {
    const FuzzStep *step = &run->program.steps[run->past.failed];
    c->programs++;
    c->refused += run->eager.status != SN_OK;
    c->steps += run->past.failed;
    if (run->eager.status == SN_OK) return;
    c->refusals[run->eager.status]++;
    c->breaks[step->broken]++;
    if (step->kind == FUZZ_OP || step->kind == FUZZ_INPLACE)
        c->refused_ops[step->op]++;
    else
        c->refused_kinds[step->kind]++;
    c->refused_inlined += step->inlined;
    for (int32_t i = 0; i < run->past.failed; i++)
        if (run->program.steps[i].kind == FUZZ_CHOOSE) {
            c->refused_after_read++;
            break;
        }
}

FuzzVerdict fuzz_check_refusal(const FuzzProgram *program, const char *plant,
                               FuzzCoverage *coverage) {
    Test test = {plant, coverage};
    Run refused;
    int64_t live = sn_memory().live_bytes;
    FuzzVerdict verdict = run_eager(&refused, program);
    if (coverage) count_refusal(&refused, coverage);
    if (!verdict.failure && refused.eager.status != SN_OK) {
        verdict = check_cut(&test, &refused);
        if (!verdict.failure) verdict = check_data(&test, &refused);
    }
    run_free(&refused);
    if (!verdict.failure && sn_memory().live_bytes != live)
        verdict = fuzz_fail(FUZZ_LEFT_BEHIND, "%lld bytes of tensors are left",
                            (long long)(sn_memory().live_bytes - live));
    return verdict;
}
