/* Makes random programs. A program is run while it is made: each step is chosen for the values that
 * are there, and one that is refused is dropped, or, now and then, kept as the program's end. */
#ifndef SN_TESTS_FUZZ_MAKE_H
#define SN_TESTS_FUZZ_MAKE_H

#include "tests/fuzz_program.h"

/* The program that follows from a seed. Runs eager ops on this thread; leaves no error pending. */
void fuzz_make(uint64_t seed, FuzzProgram *program);

#endif
