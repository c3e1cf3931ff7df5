/* Makes a random program fit for other arguments than those that it was made for: attributes come to
 * follow sizes and scalars, steps come to depend on conditions, tensors and scalars are handed over in
 * other ways. For the arguments at hand it computes, nearly always, what it did before. */
#ifndef SN_TESTS_FUZZ_ADAPT_H
#define SN_TESTS_FUZZ_ADAPT_H

#include "tests/fuzz_program.h"

/* Runs the program eagerly on this thread; leaves no error pending. */
void fuzz_adapt(FuzzProgram *program, FuzzRandom *random);

#endif
