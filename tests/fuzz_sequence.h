/* Calls of one compiled function in turn, with arguments that vary. All variants have the same steps
 * and results; a program alone is a sequence of one variant and no calls. */
#ifndef SN_TESTS_FUZZ_SEQUENCE_H
#define SN_TESTS_FUZZ_SEQUENCE_H

#include "tests/fuzz_session.h"

enum { FUZZ_MOST_VARIANTS = 10, FUZZ_MOST_CALLS = 40 };

/* One call. */
typedef struct FuzzCall {
    int32_t variant; /* whose arguments */
    int32_t shift;   /* elements by which blocks begin late */
    bool through;    /* by way of a compiled function that calls this one */
} FuzzCall;

/* What is called, and how. */
typedef struct FuzzSequence {
    FuzzPolicy policy;                        /* of the compiled function */
    int32_t n_variants;                       /* variants in use */
    FuzzProgram variants[FUZZ_MOST_VARIANTS]; /* the first one's steps are all the others' */
    int32_t n_calls;                          /* calls in use */
    FuzzCall calls[FUZZ_MOST_CALLS];          /* in order */
} FuzzSequence;

/* The sequence that follows from a seed: a program of fuzz_make, adapted to other sizes, called
 * FUZZ_MOST_CALLS times. Runs eager ops on this thread; leaves no error pending. */
void fuzz_sequence_make(uint64_t seed, FuzzSequence *sequence);
/* Steps once, then the calls, the arguments of each variant at its first. */
void fuzz_sequence_print(const FuzzSequence *sequence, FILE *out);

#endif
