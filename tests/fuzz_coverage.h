/* What the programs of a run have in them, counted: ops, writes, views, dtypes, what the oracle saw,
 * what the guards did. */
#ifndef SN_TESTS_FUZZ_COVERAGE_H
#define SN_TESTS_FUZZ_COVERAGE_H

#include "tests/fuzz_break.h"
#include "tests/fuzz_oracle.h"
#include "tests/fuzz_vary.h"

/* Counters; all are int64_t, so that two can be added. */
typedef struct FuzzCoverage {
    int64_t programs;               /* checked */
    int64_t refused;                /* of them, those that end in an error */
    int64_t steps;                  /* run eagerly */
    int64_t ops[OP_COUNT];          /* steps by op */
    int64_t inplace[OP_COUNT];      /* steps by in-place op */
    int64_t kinds[FUZZ_KIND_COUNT]; /* steps by kind */
    int64_t dtypes[SN_DTYPE_COUNT]; /* results of steps by dtype */
    int64_t ranks[SN_MAX_RANK + 1]; /* results of steps by rank */
    int64_t empty_values;           /* results of steps without elements */
    int64_t inputs;                 /* tensor arguments */
    int64_t odd_inputs;             /* of them, not dense */
    int64_t shared_inputs;          /* programs with two inputs in one block */
    int64_t arrays;                 /* programs whose tensors are one argument */
    int64_t scalars;                /* scalar arguments */
    int64_t outputs;                /* results of programs */
    int64_t several_outputs;        /* programs with more than one */
    int64_t aliases_returned;       /* results that share memory with an input or another result */

    int64_t writes_to_inputs;             /* steps that write an input or a view of one */
    int64_t writes_to_own;                /* steps that write what the program made */
    int64_t write_views[OP_COUNT];        /* writes through a view made by this op … */
    int64_t write_kinds[FUZZ_KIND_COUNT]; /* … or by a step of this kind */
    int64_t reads_after_write;            /* steps that read memory that was written before */

    int64_t oracle[ORACLE_VERDICT_COUNT]; /* steps by what the oracle said */
    int64_t oracle_ops[OP_COUNT];         /* steps that it judged, by op */
    int64_t oracle_exact;                 /* elements that had to be one value */
    int64_t oracle_bounded;               /* elements within a bound */
    int64_t oracle_free;                  /* elements with no bound: overflow on the way */
    int64_t oracle_graphs;                /* recorded graphs that it interpreted */

    int64_t fallbacks;         /* graphs run node by node */
    int64_t overlap_fallbacks; /* of them, where memory that overlaps itself is written */
    int64_t planted_fallbacks; /* of them, where compiling was made to fail */
    int64_t plants;            /* programs where it was */
    int64_t variations[FUZZ_VARIATION_COUNT]; /* calls with other arguments */
    int64_t guard_hits;                       /* calls that had to hit, and did */
    int64_t guard_misses;                     /* calls that had to miss, and did */
    int64_t reruns;                           /* calls of functions that are always run */
    int64_t calls;                            /* of compiled functions */
    int64_t threads[6];                       /* of them, by number of threads */
    int64_t kernels_compiled;                 /* by LLVM */
    int64_t second_isa; /* programs whose bits were compared with another set's */

    int64_t refusals[SN_ERROR_INTERNAL + 1]; /* refused programs by status */
    int64_t breaks[BREAK_COUNT];             /* by how the step was broken that failed first */
    int64_t refused_ops[OP_COUNT];           /* by the op of that step */
    int64_t refused_kinds[FUZZ_KIND_COUNT];  /* by the kind of that step, where it is no op */
    int64_t refused_inlined;                 /* where it stands in an inlined function */
    int64_t refused_after_read;              /* where it stands behind a host read */
    int64_t argument_refusals;               /* programs that other arguments made invalid too */
    int64_t data_refusals;                   /* where data alone was wrong, so that calls … */
    int64_t refused_hits; /* … which are refused may find an entry: that many did */

    int64_t sampled_hits;                 /* sampled calls inside guards */
    int64_t sampled_misses;               /* outside of all */
    int64_t sampled_checks;               /* inside, for the second time: traced and compared */
    int64_t sampled_reruns;               /* of functions that are always run */
    int64_t sampled_eager;                /* that a policy made eager */
    int64_t sampled_refused;              /* that ended in an error */
    int64_t graphs_compiled;              /* for functions that had one */
    int64_t variants;                     /* different arguments */
    int64_t sized;                        /* of them, with other sizes than the first ones */
    int64_t sharing;                      /* of them, with inputs in one block */
    int64_t passings[FUZZ_PASSING_COUNT]; /* programs by how they take their arguments */
    int64_t capturing;                    /* programs that reach a tensor by themselves */
    int64_t declaring;                    /* with declared memory */
    int64_t asking;                       /* with host branches */
    int64_t following;                    /* with attributes that follow sizes or scalars */
    int64_t with_optional;                /* with optional tensors */
    int64_t nested;                       /* called by another compiled function too */
    int64_t shapes[3];                    /* by how sizes that vary are met (sn_shapes) */
    int64_t limited;                      /* that keep few graphs */
    int64_t with_stance;                  /* that may not always compile */
} FuzzCoverage;

void coverage_add(FuzzCoverage *to, const FuzzCoverage *from);
/* A step of a program that is being run; `result` NULL where it was refused. */
void coverage_step(FuzzCoverage *c, const FuzzProgram *program, int32_t number,
                   const sn_tensor *result);
void coverage_program(FuzzCoverage *c, const FuzzProgram *program);
void coverage_print(const FuzzCoverage *c);
/* Of sequences of calls. */
void coverage_print_guards(const FuzzCoverage *c);
/* Of programs that were made to be refused. */
void coverage_print_refusals(const FuzzCoverage *c);

#endif
