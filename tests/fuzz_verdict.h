/* What the fuzzer finds: kinds of failure, and a verdict with words about the first one. */
#ifndef SN_TESTS_FUZZ_VERDICT_H
#define SN_TESTS_FUZZ_VERDICT_H

#include <sinter/base.h>

#include <stdint.h>

/* What went wrong. */
typedef enum FuzzFailure {
    FUZZ_FINE,
    FUZZ_CRASH,        /* the process died */
    FUZZ_HANG,         /* it did not come back */
    FUZZ_SETUP,        /* the check itself failed */
    FUZZ_STATUS,       /* eager and compiled disagree about an error, or its text */
    FUZZ_LAYOUT,       /* dtype, dims, strides or memory shared by results */
    FUZZ_BITS,         /* elements of a result */
    FUZZ_WRITTEN,      /* memory of an input after the call */
    FUZZ_GENERATOR,    /* numbers drawn */
    FUZZ_FELL_BACK,    /* a graph was run node by node for no known reason */
    FUZZ_NO_HIT,       /* the guards did not hold although nothing changed */
    FUZZ_NO_MISS,      /* the guards held although something changed */
    FUZZ_ORACLE,       /* an eager result is outside the oracle's bound */
    FUZZ_ORACLE_GRAPH, /* a compiled result differs from the recorded graph's, interpreted */
    FUZZ_LEFT_BEHIND,  /* a refused call left an entry, a handle or memory */
    FUZZ_ISA,          /* another instruction set gives other bits */
    FUZZ_FAILURE_COUNT
} FuzzFailure;
extern const char *const fuzz_failure_names[FUZZ_FAILURE_COUNT];

/* A verdict. */
typedef struct FuzzVerdict {
    FuzzFailure failure; /* FINE, or the first thing that went wrong */
    char text[700];      /* about it */
    uint64_t digest;     /* of all that the eager run left behind; 0 = none */
} FuzzVerdict;

FuzzVerdict fuzz_fine(void);
FuzzVerdict fuzz_fail(FuzzFailure failure, const char *format, ...) SN_PRINTF(2, 3);

#endif
