/* Between the fuzzer and the oracle: judges single eager steps, each from the values it really had,
 * and whole recorded graphs, each op of which is exact. */
#ifndef SN_TESTS_FUZZ_ORACLE_H
#define SN_TESTS_FUZZ_ORACLE_H

#include "tests/fuzz_program.h"
#include "tests/oracle.h"

/* What the oracle said about a step. */
typedef enum OracleVerdict {
    ORACLE_AGREES,
    ORACLE_DIFFERS,
    ORACLE_DRAWN,     /* random numbers: only their range was checked */
    ORACLE_REFUSED,   /* the step ended in an error */
    ORACLE_TOO_LARGE, /* it would take too long */
    ORACLE_UNJUDGED,  /* it does not know the op */
    ORACLE_VERDICT_COUNT
} OracleVerdict;
extern const char *const oracle_verdict_names[ORACLE_VERDICT_COUNT];

/* The same with details. */
typedef struct OracleReport {
    OracleVerdict verdict;        /* what it said */
    int64_t exact, bounded, free; /* elements with one allowed value, with a bound, with none */
    char text[480];               /* DIFFERS: how */
} OracleReport;

/* What a step starts from. */
typedef struct OracleStep {
    OracleTensor operands[FUZZ_MOST_OPERANDS]; /* values before it; rank -1 where absent */
    int32_t n_operands;                        /* how many; -1: out of memory */
    char *before;                              /* of a write: its target's whole storage */
} OracleStep;

/* `step` is bound: see fuzz_bound_step. */
void oracle_step_begin(OracleStep *oracle, const FuzzStep *step, sn_tensor *const *values);
/* Judges the result, and that a write left all other elements alone; frees what begin took. */
void oracle_step_end(OracleStep *oracle, const FuzzStep *step, const sn_tensor *result,
                     OracleReport *report);
/* Interprets the graph that was recorded last and compares what it computes exactly with what the
 * graph, compiled anew from its text, gives: 1 agrees, 0 not judged, -1 differs, then `text` says how. */
int oracle_graph_check(const FuzzProgram *program, sn_compiled *compiled, char *text, size_t size);

#endif
