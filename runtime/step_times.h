/* How long each step of an executable took in its first timed runs, which may be of several threads. Two
 * readings of the clock a step, a few times; then nothing. */
#ifndef SN_RUNTIME_STEP_TIMES_H
#define SN_RUNTIME_STEP_TIMES_H

#include <stdint.h>

enum { STEP_TIMES_RUNS = 15 }; /* that are timed */

typedef struct StepTimes StepTimes;

/* For so many steps; NULL when out of memory. Free with mem_free. */
StepTimes *step_times_new(uint32_t steps);
/* The number of a run that is to be timed; -1: enough were. */
int32_t step_times_begin(StepTimes *times);
/* What a step took in that run. */
void step_times_note(StepTimes *times, uint32_t step, int32_t run, int64_t ns);
/* Nanoseconds of a step, the median; 0: it was not timed. `runs` (may be NULL) receives of how many. */
int64_t step_times_median(const StepTimes *times, uint32_t step, int32_t *runs);

#endif
