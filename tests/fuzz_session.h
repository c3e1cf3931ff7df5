/* One program of the fuzzer as a function: run eagerly, or compiled and called, with all that each run
 * leaves behind taken in. What is checked about the runs is up to the caller. */
#ifndef SN_TESTS_FUZZ_SESSION_H
#define SN_TESTS_FUZZ_SESSION_H

#include "tests/fuzz_coverage.h"
#include "tests/fuzz_seen.h"

/* What a function has besides its arguments. */
typedef struct FuzzState {
    sn_rng *generator;                 /* of random ops */
    sn_compiled *inlined;              /* runs steps that are marked so; NULL: they run as all do */
    sn_tensor *kept[FUZZ_MOST_STEPS];  /* EXCHANGE: retained in an earlier call */
    sn_tensor *spent[FUZZ_MOST_STEPS]; /* taken out in this call; released behind it */
    int32_t n_spent;                   /* how many */
} FuzzState;

/* Runs all steps on `values`, which hold the inputs, and puts the results into `outputs`: NULL where an
 * error is pending. */
sn_status fuzz_run(const FuzzProgram *program, sn_tensor **values, FuzzState *state,
                   sn_tensor **outputs);
/* Behind a call: releases what was taken out, and, where nothing is to be kept, all. */
void fuzz_state_settle(FuzzState *state, bool keeps);

/* How the function is compiled; no policy changes a result. */
typedef struct FuzzPolicy {
    sn_shapes shapes;     /* how sizes that vary are met */
    int32_t most_graphs;  /* graphs kept; 0 = as many as usual */
    sn_at_limit at_limit; /* what happens then: no error */
    sn_stance stance;     /* what may be compiled: no error */
    int32_t check_every;  /* calls from check to check; 0 = the second one only */
} FuzzPolicy;

/* A program with its compiled function. The function takes the program's arguments, how many steps it
 * is to run (see fuzz_cut), and a generator. */
typedef struct Session {
    const FuzzProgram *program; /* whose steps the function runs */
    const char *plant;          /* a bug in it, or NULL */
    FuzzPolicy policy;          /* how it is compiled */
    sn_compiled *compiled;      /* the function */
    sn_compiled *inlined;       /* runs steps that are marked so, in the function's trace */
    sn_compiled *outer;         /* calls the function, once it was made */
    bool through;               /* calls go to `outer` */
    sn_tensor *captured[FUZZ_MOST_INPUTS]; /* of the call: tensors that are not passed */
    double declared[FUZZ_MOST_SCALARS];    /* of the call: declared memory */
    FuzzState state;                       /* what its exchanges keep */
    FuzzCoverage *coverage;                /* of all programs */
    bool reads;                            /* it reads on the host: it is run on every call */
    bool refused;                          /* a kernel of it was refused: it falls back */
    int32_t call;                          /* calls so far */
} Session;

/* Makes the handles; false with the error set. To be closed in any case. `policy` may be NULL. */
bool session_open(Session *session, const FuzzProgram *program, const char *plant,
                  const FuzzPolicy *policy, FuzzCoverage *coverage, sn_error *error);
/* Makes `outer`. */
bool session_nest(Session *session, sn_error *error);
void session_close(Session *session);

/* Runs the steps on `values`, which hold the inputs, until one is refused. */
typedef FuzzVerdict FuzzSteps(const FuzzProgram *program, sn_tensor **values,
                              sn_tensor *const *blocks, sn_rng *generator, void *context);
/* Runs a program eagerly, its steps by `steps`. The thread's error goes into `seen`. */
FuzzVerdict session_eager(const FuzzProgram *program, FuzzSteps *steps, void *context, Seen *seen);

/* Spoils the values of a call. */
typedef void FuzzSpoil(sn_value *values, int32_t *n_values, void *context);
/* Calls the function with the arguments of `program`, whose blocks begin `shift` elements late, for
 * as many steps as it has. `spoil` may be NULL. */
FuzzVerdict session_call(Session *session, const FuzzProgram *program, int64_t shift,
                         FuzzSpoil *spoil, void *context, Seen *seen);

/* Graphs that were run node by node since the first session of this process. */
typedef struct FuzzFallbacks {
    int64_t overlaps; /* for a write to memory that is shared or named twice */
    int64_t others;   /* for other reasons */
    char text[200];   /* the last of the others */
} FuzzFallbacks;
extern FuzzFallbacks session_fallbacks;

#endif
