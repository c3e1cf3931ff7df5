/* The differential check of a random program: eager and compiled runs give the same bits, layouts,
 * aliases, written inputs, generator and errors; eager results agree with the oracle. */
#ifndef SN_TESTS_FUZZ_CHECK_H
#define SN_TESTS_FUZZ_CHECK_H

#include "tests/fuzz_program.h"

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
    FUZZ_ORACLE,       /* an eager result is outside the oracle's bound */
    FUZZ_ORACLE_GRAPH, /* a compiled result differs from the recorded graph's, interpreted */
    FUZZ_FAILURE_COUNT
} FuzzFailure;
extern const char *const fuzz_failure_names[FUZZ_FAILURE_COUNT];

/* What was seen, over many programs. */
typedef struct FuzzCoverage {
    int64_t programs;               /* checked */
    int64_t refused;                /* of them, those that end in an error */
    int64_t ops[OP_COUNT];          /* steps by op */
    int64_t inplace[OP_COUNT];      /* steps by in-place op */
    int64_t kinds[FUZZ_KIND_COUNT]; /* steps by kind */
    int64_t dtypes[SN_DTYPE_COUNT]; /* results of steps by dtype */
    int64_t writes_to_inputs;       /* steps that write an input or a view of one */
    int64_t writes_through_views;   /* steps that write part of a storage */
    int64_t aliases_returned;       /* results that share memory with an input or another result */
    int64_t shared_inputs;          /* programs with two inputs in one block */
    int64_t odd_inputs;             /* inputs that are not dense */
    int64_t empty_values;           /* results of steps without elements */
    int64_t draws;                  /* steps that draw numbers */
    int64_t fallbacks;              /* graphs run node by node */
    int64_t expected_fallbacks;     /* of them, where inputs overlap and are written */
    int64_t oracle_steps;           /* steps that the oracle judged */
    int64_t oracle_graphs;          /* recorded graphs that it interpreted */
    int64_t kernels_compiled;       /* by LLVM */
} FuzzCoverage;

/* A verdict. */
typedef struct FuzzVerdict {
    FuzzFailure failure; /* FINE, or the first thing that went wrong */
    char text[700];      /* about it */
} FuzzVerdict;

/* Bugs that can be put in: the compiled function runs another op in place of the one named. */
bool fuzz_is_plant(const char *name);
/* Names of all, separated by spaces. */
const char *fuzz_plants(void);

/* Checks a program; `plant` is NULL or one of fuzz_plants. Adds to `coverage` (may be NULL). */
FuzzVerdict fuzz_check(const FuzzProgram *program, const char *plant, FuzzCoverage *coverage);
/* Prints a stage of compiling it (see sn_dump); calls it once. */
void fuzz_dump(const FuzzProgram *program, const char *stage, FILE *out);

#endif
