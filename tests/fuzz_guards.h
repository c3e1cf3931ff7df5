/* Are guards sound? One compiled function is called many times with arguments that vary; every call
 * leaves what an eager run on equal data leaves, bit for bit, wherever its guards hold. */
#ifndef SN_TESTS_FUZZ_GUARDS_H
#define SN_TESTS_FUZZ_GUARDS_H

#include "tests/fuzz_coverage.h"
#include "tests/fuzz_sequence.h"
#include "tests/fuzz_verdict.h"

/* Makes all calls of the sequence, up to the first wrong one; `plant` is NULL or a bug to put in. Adds
 * to `coverage` (may be NULL). */
FuzzVerdict guards_check(const FuzzSequence *sequence, const char *plant, FuzzCoverage *coverage);

#endif
