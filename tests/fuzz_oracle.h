/* Between the fuzzer and the oracle: judges single eager steps, each from the values it really had,
 * and whole recorded graphs, each op of which is exact. */
#ifndef SN_TESTS_FUZZ_ORACLE_H
#define SN_TESTS_FUZZ_ORACLE_H

#include "tests/fuzz_program.h"
#include "tests/oracle.h"

/* Operands of a step as they were before it. */
typedef struct OracleStep {
    OracleTensor operands[FUZZ_MOST_OPERANDS]; /* values; rank -1 where absent */
    int32_t n_operands;                        /* how many; -1: out of memory */
} OracleStep;

void oracle_step_begin(OracleStep *oracle, const FuzzStep *step, sn_tensor *const *values);
/* Judges the result and frees what begin took: 1 agrees, 0 not judged, -1 differs, then `text` says
 * how. */
int oracle_step_end(OracleStep *oracle, const FuzzStep *step, sn_tensor *result, char *text,
                    size_t size);
/* Interprets the graph that was recorded last and compares what it computes exactly with what the
 * graph, compiled anew from its text, gives. The same verdicts. */
int oracle_graph_check(const FuzzProgram *program, sn_compiled *compiled, char *text, size_t size);

#endif
