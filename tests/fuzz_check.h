/* The differential check of a random program: eager and compiled runs give the same bits, layouts,
 * aliases, written inputs, generator and errors, for its arguments and for variations of them; the
 * guards hold where they should; eager results agree with the oracle. */
#ifndef SN_TESTS_FUZZ_CHECK_H
#define SN_TESTS_FUZZ_CHECK_H

#include "tests/fuzz_coverage.h"
#include "tests/fuzz_verdict.h"

/* Checks a program; `plant` is NULL or a bug to put in (fuzz_plant.h). Adds to `coverage` (may be
 * NULL). */
FuzzVerdict fuzz_check(const FuzzProgram *program, const char *plant, FuzzCoverage *coverage);
/* Runs it eagerly only and returns the digest of what it leaves. */
uint64_t fuzz_digest(const FuzzProgram *program);
/* Prints a stage of compiling it (see sn_dump); calls it once. */
void fuzz_dump(const FuzzProgram *program, const char *stage, FILE *out);

#endif
