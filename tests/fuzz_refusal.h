/* The check of programs that eager refuses (promise I1): the compiled function refuses them with the same
 * status, text and line, on its first call and on later ones; it writes nothing that comes after the
 * failing step, draws what eager drew, leaves no entry behind, and is usable again afterwards. */
#ifndef SN_TESTS_FUZZ_REFUSAL_H
#define SN_TESTS_FUZZ_REFUSAL_H

#include "tests/fuzz_coverage.h"
#include "tests/fuzz_verdict.h"

/* Checks a program; one that eager takes passes. `plant` is NULL or a bug to put in (fuzz_plant.h). Adds to
 * `coverage` (may be NULL). */
FuzzVerdict fuzz_check_refusal(const FuzzProgram *program, const char *plant,
                               FuzzCoverage *coverage);

#endif
