/* The table of decisions (frontend/graphs/policy.h): every state has its one answer, written down here in
 * another form than in the code: as rules, of which the first that fits decides. */
#include "frontend/graphs/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { ANY = -1 };

/* A rule: what must hold (ANY: whatever), and what follows. */
typedef struct MissRule {
    int stance, shapes, at_limit;          /* of PolicyState */
    int compiled, full, partner, declared; /* of PolicyState */
    MissDecision decision;                 /* what follows */
} MissRule;

static const MissRule miss_rules[] = {
    /* What is new once something is compiled, where that is refused. */
    {SN_STANCE_FAIL_ON_RECOMPILE, ANY, ANY, 1, ANY, ANY, ANY, {MISS_FAIL, false}},
    {SN_STANCE_EAGER_ON_RECOMPILE, ANY, ANY, 1, ANY, ANY, ANY, {MISS_NODES, false}},
    /* The limit. */
    {ANY, ANY, SN_AT_LIMIT_EAGER, ANY, 1, ANY, ANY, {MISS_NODES, false}},
    {ANY, ANY, SN_AT_LIMIT_ERROR, ANY, 1, ANY, ANY, {MISS_FAIL, false}},
    /* Compiling in the background. */
    {SN_STANCE_ASYNC, ANY, ANY, ANY, ANY, ANY, 1, {MISS_BACKGROUND, true}},
    {SN_STANCE_ASYNC, SN_SHAPES_DYNAMIC, ANY, ANY, ANY, ANY, 0, {MISS_BACKGROUND, true}},
    {SN_STANCE_ASYNC, SN_SHAPES_AUTO, ANY, ANY, ANY, 1, 0, {MISS_BACKGROUND, true}},
    {SN_STANCE_ASYNC,
     SN_SHAPES_STATIC,
     SN_AT_LIMIT_GENERALISE,
     ANY,
     1,
     1,
     0,
     {MISS_BACKGROUND, true}},
    {SN_STANCE_ASYNC, ANY, ANY, ANY, ANY, ANY, 0, {MISS_BACKGROUND, false}},
    /* Compiling now. */
    {ANY, ANY, ANY, ANY, ANY, ANY, 1, {MISS_COMPILE, true}},
    {ANY, SN_SHAPES_DYNAMIC, ANY, ANY, ANY, ANY, 0, {MISS_COMPILE, true}},
    {ANY, SN_SHAPES_AUTO, ANY, ANY, ANY, 1, 0, {MISS_COMPILE, true}},
    {ANY, SN_SHAPES_STATIC, SN_AT_LIMIT_GENERALISE, ANY, 1, 1, 0, {MISS_COMPILE, true}},
    {ANY, ANY, ANY, ANY, ANY, ANY, 0, {MISS_COMPILE, false}},
};

static bool fits(int rule, int value) {
    return rule == ANY || rule == value;
}

static const MissRule *first_rule(const PolicyState *s) {
    for (size_t i = 0; i < sizeof miss_rules / sizeof *miss_rules; i++) {
        const MissRule *r = &miss_rules[i];
        if (fits(r->stance, (int)s->stance) && fits(r->shapes, (int)s->shapes) &&
            fits(r->at_limit, (int)s->at_limit) && fits(r->compiled, s->compiled) &&
            fits(r->full, s->full) && fits(r->partner, s->partner) &&
            fits(r->declared, s->declared))
            return r;
    }
    return NULL;
}

/* Calls `check` on every state there is. */
static int for_all_states(void (*check)(const PolicyState *)) {
    int count = 0;
    for (int stance = 0; stance <= SN_STANCE_ASYNC; stance++)
        for (int shapes = 0; shapes <= SN_SHAPES_DYNAMIC; shapes++)
            for (int limit = 0; limit <= SN_AT_LIMIT_ERROR; limit++)
                for (unsigned bits = 0; bits < 32; bits++, count++) {
                    PolicyState s = {.stance = (sn_stance)stance,
                                     .shapes = (sn_shapes)shapes,
                                     .at_limit = (sn_at_limit)limit,
                                     .called = bits & 1,
                                     .compiled = bits & 2,
                                     .full = bits & 4,
                                     .partner = bits & 8,
                                     .declared = bits & 16};
                    check(&s);
                }
    return count;
}

static void check_miss(const PolicyState *s) {
    MissDecision got = policy_miss(s);
    const MissRule *rule = first_rule(s);
    if (!rule || got.action != rule->decision.action || got.symbolic != rule->decision.symbolic)
        fail_msg("stance %d shapes %d limit %d compiled %d full %d partner %d declared %d: %d %d",
                 (int)s->stance, (int)s->shapes, (int)s->at_limit, s->compiled, s->full, s->partner,
                 s->declared, (int)got.action, got.symbolic);
}

static void every_miss_has_its_answer(void **state) {
    (void)state;
    assert_int_equal(for_all_states(check_miss), 6 * 3 * 4 * 32);
}

static void check_call(const PolicyState *s) {
    bool eager =
        s->stance == SN_STANCE_EAGER || (s->stance == SN_STANCE_EAGER_THEN_COMPILE && !s->called);
    assert_int_equal(policy_call(s), eager ? CALL_EAGER : CALL_GUARDED);
}

static void only_two_stances_skip_the_guards(void **state) {
    (void)state;
    for_all_states(check_call);
}

/* Nothing that was compiled is ever given up for good: no decision but EAGER leaves compiled code. */
static void check_first(const PolicyState *s) {
    if (s->compiled || s->full) return;
    MissAction action = policy_miss(s).action;
    assert_true(action == MISS_COMPILE || action == MISS_BACKGROUND);
}

static void the_first_graph_is_always_compiled(void **state) {
    (void)state;
    for_all_states(check_first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_miss_has_its_answer),
        cmocka_unit_test(only_two_stances_skip_the_guards),
        cmocka_unit_test(the_first_graph_is_always_compiled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
