/* Cuts a failing program, or a failing sequence of calls of one, down to a small one that fails in the
 * same way. */
#ifndef SN_TESTS_FUZZ_SHRINK_H
#define SN_TESTS_FUZZ_SHRINK_H

#include "tests/fuzz_sequence.h"

/* Does it fail as before? `context` belongs to the caller. */
typedef bool FuzzStillFails(const FuzzSequence *sequence, void *context);

/* Makes *sequence smaller while `fails` holds: fewer calls, variants, steps, results and inputs,
 * plainer values, smaller dims. At most `budget` trials. Returns the trials made. */
int32_t fuzz_shrink(FuzzSequence *sequence, FuzzStillFails *fails, void *context, int32_t budget);

#endif
