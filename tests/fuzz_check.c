/* The differential check; see fuzz_check.h. */
#include "tests/fuzz_check.h"

#include "tests/fuzz_oracle.h"
#include "tests/fuzz_plant.h"
#include "tests/fuzz_session.h"

#include <stdlib.h>
#include <string.h>

enum { VARIED_PERCENT = 40, REFUSED_PERCENT = 2 };

/* What a call should do with the guards. */
typedef enum Expect { EXPECT_ANY, EXPECT_HIT, EXPECT_MISS } Expect;

/* ---- eager ----------------------------------------------------------------------------------- */

/* Runs the steps, each of which the oracle judges; `context` is the coverage, or NULL. */
static FuzzVerdict run_steps(const FuzzProgram *p, sn_tensor **values, sn_tensor *const *blocks,
                             sn_rng *generator, void *context) {
    FuzzCoverage *coverage = context;
    (void)blocks;
    FuzzVerdict verdict = fuzz_fine();
    for (int32_t i = 0; i < p->n_steps && sn_error_status() == SN_OK; i++) {
        OracleStep oracle;
        OracleReport report = {.verdict = ORACLE_AGREES};
        FuzzStep step = fuzz_bound_step(p, i, values);
        oracle_step_begin(&oracle, &step, values);
        sn_tensor *result = fuzz_run_step(&step, i, values, generator);
        values[FUZZ_MOST_INPUTS + i] = result;
        if (coverage) coverage_step(coverage, p, i, result);
        oracle_step_end(&oracle, &step, result, &report);
        if (coverage) {
            bool judged = report.verdict <= ORACLE_DIFFERS;
            coverage->oracle[report.verdict]++;
            coverage->oracle_exact += report.exact;
            coverage->oracle_bounded += report.bounded;
            coverage->oracle_free += report.free;
            if (step.kind == FUZZ_OP) coverage->oracle_ops[step.op] += judged;
        }
        if (report.verdict == ORACLE_DIFFERS && !verdict.failure)
            verdict = fuzz_fail(FUZZ_ORACLE, "step %%%d: %s", FUZZ_MOST_INPUTS + i, report.text);
    }
    return verdict;
}

static FuzzVerdict run_eager(const FuzzProgram *p, Seen *seen, FuzzCoverage *coverage) {
    FuzzVerdict verdict = session_eager(p, run_steps, coverage, seen);
    verdict.digest = seen_digest(p, seen);
    return verdict;
}

uint64_t fuzz_digest(const FuzzProgram *program) {
    Seen seen = {.status = SN_OK};
    FuzzVerdict verdict = run_eager(program, &seen, NULL);
    seen_free(&seen);
    return verdict.digest;
}

/* ---- compiled -------------------------------------------------------------------------------- */

/* May two elements of the input be one in memory? */
static bool overlaps_itself(const FuzzInput *input) {
    int64_t reach = 0;
    int32_t order[SN_MAX_RANK];
    fuzz_order_axes(input, order);
    for (int32_t i = 0; i < input->rank; i++) {
        int64_t stride = llabs(input->strides[order[i]]), dim = input->dims[order[i]];
        if (dim > 1 && stride <= reach) return true;
        reach += dim > 1 ? (dim - 1) * stride : 0;
    }
    return false;
}

/* Does the program write memory that two inputs name differently, or that names one element twice?
 * Then the design runs it node by node. Behind a host read, views made before it are inputs too. */
static bool may_fall_back(const FuzzProgram *p) {
    bool writes = false, repeats = false;
    for (int32_t i = 0; i < p->n_steps; i++) {
        writes = writes || fuzz_writes(&p->steps[i]);
        repeats = repeats || p->steps[i].kind == FUZZ_CHOOSE;
        repeats = repeats || (p->steps[i].kind == FUZZ_OP && p->steps[i].op == OP_EXPAND);
    }
    for (int32_t i = 0; i < p->n_inputs; i++) {
        const FuzzInput *input = &p->inputs[i];
        for (int32_t j = 0; j < i; j++) repeats = repeats || p->inputs[j].block == input->block;
        repeats = repeats || overlaps_itself(input);
    }
    return writes && repeats;
}

static FuzzVerdict check_fallbacks(Session *s, const FuzzProgram *p, const FuzzFallbacks *before) {
    int64_t overlaps = session_fallbacks.overlaps - before->overlaps;
    int64_t others = session_fallbacks.others - before->others;
    FuzzCoverage *c = s->coverage;
    if (c) {
        c->fallbacks += overlaps + others;
        c->overlap_fallbacks += overlaps;
        c->planted_fallbacks += s->refused ? others : 0;
    }
    if (others && !s->refused)
        return fuzz_fail(FUZZ_FELL_BACK, "call %d: %.600s", s->call, session_fallbacks.text);
    if (overlaps && !may_fall_back(p))
        return fuzz_fail(FUZZ_FELL_BACK, "call %d, for overlapping memory, but there is none",
                         s->call);
    return fuzz_fine();
}

static FuzzVerdict check_guards(Session *s, const FuzzProgram *p, const sn_counters *before,
                                const sn_counters *now, Expect expect, sn_status status) {
    FuzzCoverage *c = s->coverage;
    bool hit = now->guard_hits > before->guard_hits,
         miss = now->guard_misses > before->guard_misses;
    if (c) c->reruns += now->reruns - before->reruns;
    if (s->reads || s->refused || status != SN_OK || may_fall_back(p)) return fuzz_fine();
    if (expect == EXPECT_HIT && !hit)
        return fuzz_fail(FUZZ_NO_HIT, "call %d did not go straight to the kernels", s->call);
    if (expect == EXPECT_MISS && !miss)
        return fuzz_fail(FUZZ_NO_MISS, "call %d took an entry for other arguments", s->call);
    if (c) {
        c->guard_hits += expect == EXPECT_HIT;
        c->guard_misses += expect == EXPECT_MISS;
    }
    return fuzz_fine();
}

/* A call of the function with the arguments of `p`, whose eager run left `eager`. */
static FuzzVerdict check_call(Session *s, const FuzzProgram *p, const Seen *eager, int64_t shift,
                              Expect expect) {
    Seen seen = {.status = SN_OK};
    sn_counters before = {.size = sizeof before}, now = before;
    FuzzFallbacks fallbacks = session_fallbacks;
    sn_counters_get(&before);
    FuzzVerdict verdict = session_call(s, p, shift, NULL, NULL, &seen);
    sn_counters_get(&now);
    if (s->coverage) {
        s->coverage->calls++;
        s->coverage->threads[sn_threads() < 6 ? sn_threads() : 0]++;
        s->coverage->kernels_compiled += now.compiles - before.compiles;
    }
    if (!verdict.failure) verdict = seen_compare(p, eager, &seen, s->call);
    if (!verdict.failure) verdict = check_fallbacks(s, p, &fallbacks);
    if (!verdict.failure) verdict = check_guards(s, p, &before, &now, expect, seen.status);
    seen_free(&seen);
    s->call++;
    return verdict;
}

/* ---- one program ----------------------------------------------------------------------------- */

static FuzzVerdict check_graph(Session *s) {
    char text[480];
    int judged = oracle_graph_check(s->program, s->compiled, text, sizeof text);
    if (s->coverage) s->coverage->oracle_graphs += judged != 0;
    return judged < 0 ? fuzz_fail(FUZZ_ORACLE_GRAPH, "%s", text) : fuzz_fine();
}

/* A call with another number of threads, which changes no bits. */
static FuzzVerdict check_threads(Session *s, const Seen *eager) {
    static const int32_t threads[] = {1, 2, 5};
    int32_t usual = sn_threads();
    sn_set_threads(threads[s->program->seed % 3]);
    FuzzVerdict verdict = check_call(s, s->program, eager, 0, EXPECT_HIT);
    sn_set_threads(usual);
    return verdict;
}

/* The first call traces, the second one checks the trace, the others hit: one with another number of
 * threads, one with inputs that are aligned differently. */
static FuzzVerdict check_calls(Session *s, const Seen *eager, bool refuse) {
    bool planted = refuse && plant_refusal();
    s->refused = planted;
    FuzzVerdict verdict = check_call(s, s->program, eager, 0, EXPECT_MISS);
    if (planted) s->refused = plant_refused();
    if (s->coverage && planted) s->coverage->plants += s->refused;
    bool whole = !may_fall_back(s->program) && !s->reads && eager->status == SN_OK;
    if (!verdict.failure && whole) verdict = check_graph(s);
    if (!verdict.failure) verdict = check_call(s, s->program, eager, 0, EXPECT_ANY);
    if (!verdict.failure) verdict = check_threads(s, eager);
    if (!verdict.failure) verdict = check_call(s, s->program, eager, 1, EXPECT_HIT);
    return verdict;
}

/* Adds to the words what is different, and all sizes. */
static void name_variation(const FuzzProgram *p, FuzzVariation variation, FuzzVerdict *verdict) {
    char text[sizeof verdict->text];
    int at = snprintf(text, sizeof text, "with other %s: %.400s; sizes",
                      fuzz_variation_names[variation], verdict->text);
    for (int32_t i = 0; i < p->n_inputs && at < (int)sizeof text - 100; i++) {
        at += snprintf(text + at, sizeof text - (size_t)at, " [");
        for (int32_t d = 0; d < p->inputs[i].rank; d++)
            at += snprintf(text + at, sizeof text - (size_t)at, d ? ",%lld" : "%lld",
                           (long long)p->inputs[i].dims[d]);
        at += snprintf(text + at, sizeof text - (size_t)at, "]");
    }
    memcpy(verdict->text, text, sizeof text);
}

/* The same function with other arguments, twice, and once more with the first ones. */
static FuzzVerdict check_variation(Session *s, const Seen *eager, FuzzVariation variation,
                                   FuzzRandom *random, bool first) {
    FuzzProgram varied;
    if (!fuzz_vary(s->program, variation, random, &varied)) return fuzz_fine();
    Seen other = {.status = SN_OK};
    Expect expect = first ? EXPECT_MISS : EXPECT_ANY; /* another variation may have been the same */
    if (fuzz_same_guards(s->program, &varied)) expect = EXPECT_HIT;
    if (variation == FUZZ_VARY_ALIAS) expect = EXPECT_ANY;
    if (s->coverage) s->coverage->variations[variation]++;
    FuzzVerdict verdict = run_eager(&varied, &other, NULL);
    for (int32_t call = 0; call < 2 && !verdict.failure; call++)
        verdict = check_call(s, &varied, &other, 0, call == 0 ? expect : EXPECT_ANY);
    if (!verdict.failure) verdict = check_call(s, s->program, eager, 0, EXPECT_HIT);
    if (verdict.failure) name_variation(&varied, variation, &verdict);
    seen_free(&other);
    return verdict;
}

static FuzzVerdict check_compiled(Session *s, const Seen *eager) {
    FuzzRandom random = {s->program->seed ^ 0x5eed};
    bool refuse = fuzz_chance(&random, REFUSED_PERCENT);
    FuzzVerdict verdict = check_calls(s, eager, refuse);
    bool varies = eager->status == SN_OK && fuzz_chance(&random, VARIED_PERCENT);
    for (int32_t i = 0; i < 2 && varies && !verdict.failure; i++) {
        bool scalar = s->program->n_scalars && fuzz_chance(&random, 30);
        FuzzVariation variation =
            scalar ? FUZZ_VARY_SCALAR : (FuzzVariation)fuzz_below(&random, FUZZ_VARIATION_COUNT);
        verdict = check_variation(s, eager, variation, &random, i == 0);
    }
    return verdict;
}

FuzzVerdict fuzz_check(const FuzzProgram *program, const char *plant, FuzzCoverage *coverage) {
    Seen eager = {.status = SN_OK};
    Session session;
    sn_error error = {0};
    FuzzVerdict verdict = run_eager(program, &eager, coverage);
    uint64_t digest = verdict.digest;
    if (coverage) {
        coverage_program(coverage, program);
        coverage->refused += eager.status != SN_OK;
        for (int32_t i = 0; i < eager.n_outputs; i++)
            coverage->aliases_returned += eager.outputs[i].shares >= 0;
    }
    if (!verdict.failure) {
        verdict = session_open(&session, program, plant, NULL, coverage, &error)
                      ? check_compiled(&session, &eager)
                      : fuzz_fail(FUZZ_SETUP, "%s", error.text);
        session_close(&session);
    }
    seen_free(&eager);
    verdict.digest = digest;
    return verdict;
}

void fuzz_dump(const FuzzProgram *program, const char *stage, FILE *out) {
    Session session;
    Seen seen = {.status = SN_OK};
    if (session_open(&session, program, NULL, NULL, NULL, NULL))
        session_call(&session, program, 0, NULL, NULL, &seen);
    seen_free(&seen);
    sn_error error = {.size = sizeof error};
    char *text = session.compiled ? sn_dump(session.compiled, stage, &error) : NULL;
    fprintf(out, "%s\n", text ? text : "(no such stage)");
    sn_text_free(text);
    session_close(&session);
}
