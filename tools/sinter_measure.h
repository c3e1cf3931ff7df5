/* Timing for `sinter bench`: calls of a function, eager or compiled, medians of alternating samples,
 * and comparison of results. */
#ifndef SINTER_MEASURE_H
#define SINTER_MEASURE_H

#include "sinter_roof.h"
#include "sinter_workloads.h"

/* A function with its arguments: what one call is. */
typedef struct Subject {
    sn_function function; /* eager or compiled */
    Invoke *invoke;       /* calls it */
    const Inputs *inputs; /* its arguments */
} Subject;

/* Seconds of a monotonic clock. */
double now_seconds(void);
/* Makes `calls` calls, each in a scope of its own; returns the seconds of one, negative on error. */
double time_calls(const Subject *subject, int64_t calls);
/* Calls that take at least `seconds`, and not many times that. */
int64_t calls_for(const Subject *subject, double seconds);
/* The median; sorts `values`. */
double median(double *values, int32_t count);

/* Medians of one call of each, from samples that alternate for about `budget` seconds. False on
 * error. */
bool time_pair(const Subject *x, const Subject *y, double budget, double *x_s, double *y_s);
/* The machine's least time for the bytes and the instructions of a compiled call, as a share of the time
 * that it takes, measured in turn; 0 where there is no memory to measure in. Every arithmetic instruction
 * takes the place of a fused multiply-add. False on error. */
bool roof_share(const Subject *subject, sn_compiled *compiled, double *share);
/* Median over samples of a compiled call less a direct entry into its kernels; -1 where there are
 * none. False on error. */
bool time_dispatch(const Subject *subject, sn_compiled *compiled, double budget,
                   double *dispatch_s);

/* A result, read back. */
typedef struct Result {
    sn_dtype dtype; /* of the elements */
    void *data;     /* row-major; freed by result_free */
    size_t bytes;   /* its size */
} Result;

/* One call's result. False on error. */
bool result_of(const Subject *subject, Result *result);
void result_free(Result *result);
/* XXH3 of its bytes. */
uint64_t result_hash(const Result *result);
bool result_equal(const Result *x, const Result *y);
/* Largest distance in units in the last place, of two f32 results; two NaN are equal. */
int64_t result_max_ulp(const Result *x, const Result *y);

#endif
