/* Sampled calls inside and outside of guards; see fuzz_guards.h. */
#include "tests/fuzz_guards.h"

#include "tests/fuzz_plant.h"
#include "tests/fuzz_session.h"

#include <string.h>

/* The same C function, eagerly; its exchanges keep in `context`, a state. */
static FuzzVerdict run_steps(const FuzzProgram *p, sn_tensor **values, sn_tensor *const *blocks,
                             sn_rng *generator, void *context) {
    FuzzState *state = context;
    sn_tensor *outputs[FUZZ_MOST_OUTPUTS];
    (void)blocks;
    state->generator = generator;
    fuzz_run(p, values, state, outputs);
    return fuzz_fine();
}

static FuzzVerdict run_eager(const FuzzProgram *p, FuzzState *state, Seen *seen) {
    FuzzVerdict verdict = session_eager(p, run_steps, state, seen);
    fuzz_state_settle(state, seen->status == SN_OK);
    return verdict;
}

/* What the counters say that a call did. */
static void count_call(FuzzCoverage *c, const sn_counters *before, const sn_counters *now,
                       const FuzzFallbacks *fallbacks, const Seen *seen) {
    bool hit = now->guard_hits > before->guard_hits,
         miss = now->guard_misses > before->guard_misses;
    bool reruns = now->reruns > before->reruns;
    c->calls++;
    c->sampled_hits += hit;
    c->sampled_misses += miss;
    c->sampled_reruns += reruns;
    c->sampled_eager += now->eager_calls > before->eager_calls;
    c->sampled_checks += !hit && !miss && !reruns && now->eager_calls == before->eager_calls;
    c->sampled_refused += seen->status != SN_OK;
    c->graphs_compiled += now->recompiles - before->recompiles;
    c->kernels_compiled += now->compiles - before->compiles;
    c->overlap_fallbacks += session_fallbacks.overlaps - fallbacks->overlaps;
}

static FuzzVerdict check_call(Session *session, const FuzzProgram *p, const FuzzCall *call,
                              const Seen *eager, int32_t number, FuzzCoverage *coverage) {
    Seen seen = {.status = SN_OK};
    FuzzFallbacks fallbacks = session_fallbacks;
    sn_counters before = {.size = sizeof before}, now = before;
    sn_counters_get(&before);
    session->through = call->through;
    FuzzVerdict verdict = session_call(session, p, call->shift, NULL, NULL, &seen);
    sn_counters_get(&now);
    if (coverage) count_call(coverage, &before, &now, &fallbacks, &seen);
    if (!verdict.failure) verdict = seen_compare(p, eager, &seen, number);
    bool may_fall_back = session->policy.most_graphs || session->policy.stance;
    if (!verdict.failure && session_fallbacks.others > fallbacks.others && !may_fall_back)
        verdict = fuzz_fail(FUZZ_FELL_BACK, "call %d: %.600s", number, session_fallbacks.text);
    seen_free(&seen);
    return verdict;
}

static FuzzVerdict check_calls(const FuzzSequence *s, Session *session, FuzzState *state,
                               FuzzCoverage *coverage) {
    FuzzVerdict verdict = fuzz_fine();
    for (int32_t i = 0; i < s->n_calls && !verdict.failure; i++) {
        const FuzzProgram *p = &s->variants[s->calls[i].variant];
        Seen eager = {.status = SN_OK};
        verdict = run_eager(p, state, &eager);
        if (!verdict.failure) verdict = check_call(session, p, &s->calls[i], &eager, i, coverage);
        plant_into_guards(session->compiled, session->plant);
        seen_free(&eager);
    }
    return verdict;
}

static bool same_sizes(const FuzzProgram *p, const FuzzProgram *q) {
    for (int32_t i = 0; i < p->n_inputs; i++) {
        const FuzzInput *x = &p->inputs[i], *y = &q->inputs[i];
        size_t bytes = sizeof(int64_t) * (size_t)x->rank;
        if (x->rank == y->rank && memcmp(x->dims, y->dims, bytes) != 0) return false;
    }
    return true;
}

static bool shares_memory(const FuzzProgram *p) {
    for (int32_t i = 0; i < p->n_inputs; i++)
        for (int32_t j = 0; j < i; j++)
            if (p->inputs[i].block == p->inputs[j].block) return true;
    return false;
}

static void count_sequence(FuzzCoverage *c, const FuzzSequence *s, bool nested) {
    const FuzzProgram *p = &s->variants[0];
    bool captures = false, declares = false, asks = false, follows = false, optional = false;
    for (int32_t i = 0; i < p->n_inputs; i++) {
        captures = captures || p->inputs[i].place == FUZZ_CAPTURED;
        optional = optional || p->inputs[i].place == FUZZ_OPTIONAL;
    }
    for (int32_t i = 0; i < p->n_scalars; i++) declares = declares || p->scalars[i].letter == 'w';
    for (int32_t i = 0; i < p->n_steps; i++) {
        c->kinds[p->steps[i].kind]++;
        asks = asks || p->steps[i].asks;
        follows = follows || p->steps[i].n_follows;
    }
    c->programs++;
    c->steps += p->n_steps;
    c->inputs += p->n_inputs;
    c->scalars += p->n_scalars;
    c->passings[p->passing]++;
    c->capturing += captures;
    c->declaring += declares;
    c->asking += asks;
    c->following += follows;
    c->with_optional += optional;
    c->nested += nested;
    c->shapes[s->policy.shapes]++;
    c->limited += s->policy.most_graphs > 0;
    c->with_stance += s->policy.stance != SN_STANCE_DEFAULT;
    c->variants += s->n_variants;
    for (int32_t i = 0; i < s->n_variants; i++) {
        c->sized += !same_sizes(p, &s->variants[i]);
        c->sharing += shares_memory(&s->variants[i]);
    }
}

FuzzVerdict guards_check(const FuzzSequence *s, const char *plant, FuzzCoverage *coverage) {
    Session session;
    FuzzState state = {.n_spent = 0};
    sn_error error = {0};
    bool nested = false;
    for (int32_t i = 0; i < s->n_calls; i++) nested = nested || s->calls[i].through;
    if (coverage) count_sequence(coverage, s, nested);
    bool ok = session_open(&session, &s->variants[0], plant, &s->policy, coverage, &error) &&
              (!nested || session_nest(&session, &error));
    FuzzVerdict verdict =
        ok ? check_calls(s, &session, &state, coverage) : fuzz_fail(FUZZ_SETUP, "%s", error.text);
    session_close(&session);
    fuzz_state_settle(&state, false);
    return verdict;
}
