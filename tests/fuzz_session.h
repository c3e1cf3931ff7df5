/* One program of the fuzzer as a function: run eagerly, or compiled and called, with all that each run
 * leaves behind taken in. What is checked about the runs is up to the caller. */
#ifndef SN_TESTS_FUZZ_SESSION_H
#define SN_TESTS_FUZZ_SESSION_H

#include "tests/fuzz_coverage.h"
#include "tests/fuzz_seen.h"

/* A program with its compiled function. The function takes the program's arguments, how many steps it
 * is to run (see fuzz_cut), and a generator. */
typedef struct Session {
    const FuzzProgram *program; /* whose steps the function runs */
    const char *plant;          /* a bug in it, or NULL */
    sn_compiled *compiled;      /* the function */
    sn_compiled *inlined;       /* runs steps that are marked so, in the function's trace */
    FuzzCoverage *coverage;     /* of all programs */
    bool reads;                 /* it reads on the host: it is run on every call */
    bool refused;               /* a kernel of it was refused: it falls back */
    int32_t call;               /* calls so far */
} Session;

/* Makes the handles; false with the error set. To be closed in any case. */
bool session_open(Session *session, const FuzzProgram *program, const char *plant,
                  FuzzCoverage *coverage, sn_error *error);
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
FuzzVerdict session_call(const Session *session, const FuzzProgram *program, int64_t shift,
                         FuzzSpoil *spoil, void *context, Seen *seen);

#endif
