/* Programs of the fuzzer as text for people. */
#ifndef SN_TESTS_FUZZ_TEXT_H
#define SN_TESTS_FUZZ_TEXT_H

#include "tests/fuzz_program.h"

/* Name of a step for people: "add", "add_", "copy_", "index". */
void fuzz_step_name(const FuzzStep *step, char *text, size_t size);
/* Inputs and scalars; steps and results; both. */
void fuzz_print_arguments(const FuzzProgram *program, FILE *out);
void fuzz_print_steps(const FuzzProgram *program, FILE *out);
void fuzz_print(const FuzzProgram *program, FILE *out);

#endif
