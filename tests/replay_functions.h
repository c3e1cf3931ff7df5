/* The functions that process replay traces: the workloads of `sinter bench` and what the examples
 * compile. */
#ifndef SN_TESTS_REPLAY_FUNCTIONS_H
#define SN_TESTS_REPLAY_FUNCTIONS_H

#include <stdint.h>
#include <stdio.h>

/* How many there are; a workload counts twice, with exact and with fast numerics. */
int32_t replay_function_count(void);
/* Compiles one, calls it once on zeros, and writes what ran and every stage. */
void replay_function(int32_t number, FILE *out, void *unused);

#endif
