/* Decisions of calls; see policy.h. */
#include "frontend/graphs/policy.h"

CallAction policy_call(const PolicyState *s) {
    bool eager =
        s->stance == SN_STANCE_EAGER || (s->stance == SN_STANCE_EAGER_THEN_COMPILE && !s->called);
    return eager ? CALL_EAGER : CALL_GUARDED;
}

/* Is one graph for several sizes wanted? */
static bool wants_symbolic(const PolicyState *s) {
    if (s->declared || s->shapes == SN_SHAPES_DYNAMIC) return true;
    if (!s->partner) return false;
    return s->shapes == SN_SHAPES_AUTO || (s->full && s->at_limit == SN_AT_LIMIT_GENERALISE);
}

MissDecision policy_miss(const PolicyState *s) {
    MissDecision compile = {s->stance == SN_STANCE_ASYNC ? MISS_BACKGROUND : MISS_COMPILE,
                            wants_symbolic(s)};
    if (s->compiled && s->stance == SN_STANCE_FAIL_ON_RECOMPILE)
        return (MissDecision){MISS_FAIL, false};
    if (s->compiled && s->stance == SN_STANCE_EAGER_ON_RECOMPILE)
        return (MissDecision){MISS_NODES, false};
    if (!s->full) return compile;
    switch (s->at_limit) {
    case SN_AT_LIMIT_EAGER:
        return (MissDecision){MISS_NODES, false};
    case SN_AT_LIMIT_ERROR:
        return (MissDecision){MISS_FAIL, false};
    default:
        return compile;
    }
}
