/* Cuts a failing program down to a small one that fails in the same way. */
#ifndef SN_TESTS_FUZZ_SHRINK_H
#define SN_TESTS_FUZZ_SHRINK_H

#include "tests/fuzz_check.h"

/* Does a program fail as before? `context` belongs to the caller. */
typedef bool FuzzStillFails(const FuzzProgram *program, void *context);

/* Makes *program smaller while `fails` holds: fewer steps, results and inputs, plainer values,
 * smaller dims. At most `budget` trials. Returns the trials made. */
int32_t fuzz_shrink(FuzzProgram *program, FuzzStillFails *fails, void *context, int32_t budget);

#endif
