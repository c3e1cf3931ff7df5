/* What a call of a compiled function may do: pure functions of stance, limits and what is known.
 * The whole table is tested (tests/test_policy.c). */
#ifndef SN_FRONTEND_GRAPHS_POLICY_H
#define SN_FRONTEND_GRAPHS_POLICY_H

#include <sinter/compile.h>

/* What decisions go by. */
typedef struct PolicyState {
    sn_stance stance;     /* the thread's, or the handle's */
    sn_shapes shapes;     /* option */
    sn_at_limit at_limit; /* option */
    bool called;          /* the function was called before */
    bool compiled;        /* some graph of it was compiled before */
    bool full;            /* it has as many graphs as it may keep */
    bool partner;         /* a graph of the same structure is known, with other words */
    bool declared;        /* dims are declared to vary */
} PolicyState;

/* How a call begins. */
typedef enum CallAction {
    CALL_GUARDED, /* guards, and a trace where they are not met */
    CALL_EAGER    /* the function on real tensors */
} CallAction;
CallAction policy_call(const PolicyState *state);

/* What becomes of a recorded graph that no compiled one serves. */
typedef enum MissAction {
    MISS_COMPILE,    /* now */
    MISS_BACKGROUND, /* on another thread; node by node this time */
    MISS_NODES,      /* node by node, and nothing is kept */
    MISS_FAIL        /* an error */
} MissAction;

typedef struct MissDecision {
    MissAction action;
    bool symbolic; /* COMPILE, BACKGROUND: for other sizes too, where that can be */
} MissDecision;
MissDecision policy_miss(const PolicyState *state);

#endif
