/* Timing and comparison; see sinter_measure.h. */
#include "sinter_measure.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

enum { MOST_SAMPLES = 501, LEAST_SAMPLES = 5 };
/* Least length of a sample: far above the clock's grain, and long enough that a function works on
 * what its own calls left in the caches, as the peaks of sinter_roof.h do. */
static const double SAMPLE_SECONDS = 5e-3;

double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Results go here, so that no compiler can argue that they are not needed. */
static sn_tensor *volatile sink;

double time_calls(const Subject *subject, int64_t calls) {
    const Inputs *inputs = subject->inputs;
    double begin = now_seconds();
    for (int64_t i = 0; i < calls; i++) {
        sn_scope scope = sn_scope_begin();
        sink = subject->invoke(subject->function, inputs->tensors, inputs->count, i);
        sn_scope_end(scope, NULL);
    }
    double seconds = (now_seconds() - begin) / (double)calls;
    return sn_error_status() == SN_OK ? seconds : -1;
}

/* The shortest of a few, which another process did not hold up. */
static double least_time(const Subject *subject, int64_t calls) {
    double least = time_calls(subject, calls);
    for (int i = 0; i < 2 && least >= 0; i++) {
        double seconds = time_calls(subject, calls);
        if (seconds < least) least = seconds;
    }
    return least;
}

int64_t calls_for(const Subject *subject, double seconds) {
    int64_t calls = 1;
    for (;;) {
        double one = least_time(subject, calls);
        if (one < 0 || one * (double)calls >= seconds) return calls;
        double wanted = seconds / (one > 1e-9 ? one : 1e-9);
        calls = wanted > 4 * (double)calls ? 4 * calls : (int64_t)wanted + 1;
    }
}

static int compare_doubles(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

double median(double *values, int32_t count) {
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

/* Samples of `seconds` each that fit a budget; an odd number. */
static int32_t samples_for(double budget, double seconds) {
    double fit = budget / seconds;
    if (fit >= (double)MOST_SAMPLES) return MOST_SAMPLES;
    return fit <= (double)LEAST_SAMPLES ? LEAST_SAMPLES : (int32_t)fit | 1;
}

/* Seconds of a call after one that is not counted: it finds what another function left behind. */
static double sample(const Subject *subject, int64_t calls) {
    return time_calls(subject, 1) < 0 ? -1 : time_calls(subject, calls);
}

bool time_pair(const Subject *x, const Subject *y, double budget, double *x_s, double *y_s) {
    double xs[MOST_SAMPLES], ys[MOST_SAMPLES];
    int64_t x_calls = calls_for(x, SAMPLE_SECONDS), y_calls = calls_for(y, SAMPLE_SECONDS);
    double begin = now_seconds();
    if (sample(x, x_calls) < 0 || sample(y, y_calls) < 0) return false;
    int32_t samples = samples_for(budget, now_seconds() - begin);
    for (int32_t i = 0; i < samples; i++) {
        if (i % 2) ys[i] = sample(y, y_calls);
        xs[i] = sample(x, x_calls);
        if (i % 2 == 0) ys[i] = sample(y, y_calls);
        if (xs[i] < 0 || ys[i] < 0) return false;
    }
    *x_s = median(xs, samples);
    *y_s = median(ys, samples);
    return true;
}

/* Seconds of one call, sampled in turn with the rounds of a roof, which are all done then; the median.
 * Negative on error. */
static double time_under_roof(const Subject *subject, Roof *roof) {
    double seconds[ROOF_ROUNDS];
    int64_t calls = calls_for(subject, SAMPLE_SECONDS);
    for (int32_t i = 0; i < ROOF_ROUNDS; i++) {
        double first = sample(subject, calls), second = time_calls(subject, calls);
        if (first < 0 || second < 0) return -1;
        seconds[i] = first < second ? first : second; /* as the roof takes its own */
        roof_round(roof);
    }
    return median(seconds, ROOF_ROUNDS);
}

bool roof_share(const Subject *subject, sn_compiled *compiled, double *share) {
    sn_explanation cost = {.size = sizeof cost};
    Roof roof;
    *share = 0;
    if (sn_explain(compiled, &cost) != SN_OK) return false;
    if (!roof_open(&roof, cost.bytes, sn_threads())) return true;
    double taken = time_under_roof(subject, &roof);
    double stored = cost.bytes ? (double)cost.bytes_stored / (double)cost.bytes : 0;
    double moving = (double)cost.bytes / roof_bandwidth(&roof, stored);
    double computing = (double)cost.instructions / roof_multiply_adds(&roof);
    roof_close(&roof);
    if (taken > 0) *share = (moving > computing ? moving : computing) / taken;
    return taken > 0;
}

bool time_dispatch(const Subject *subject, sn_compiled *compiled, double budget,
                   double *dispatch_s) {
    double differences[MOST_SAMPLES];
    sn_value values[MOST_INPUTS];
    int32_t count = subject->inputs->count;
    for (int32_t i = 0; i < count; i++)
        values[i] = (sn_value){SN_VALUE_TENSOR, 0, {.tensor = subject->inputs->tensors[i]}};
    int64_t calls = calls_for(subject, SAMPLE_SECONDS);
    double once = time_calls(subject, calls) * (double)calls * 2;
    if (once < 0) return false;
    int32_t samples = samples_for(budget, once);
    for (int32_t i = 0; i < samples; i++) {
        double call = time_calls(subject, calls);
        double kernels = sn_kernel_seconds(compiled, values, count, (int32_t)calls);
        if (call < 0) return false;
        if (kernels < 0) samples = 0; /* run node by node: there are no kernels to enter */
        differences[i] = call - kernels;
    }
    *dispatch_s = -1;
    if (!samples) return true;
    *dispatch_s = median(differences, samples);
    return true;
}

/* ---- results --------------------------------------------------------------------------------- */

bool result_of(const Subject *subject, Result *result) {
    *result = (Result){0};
    sn_scope scope = sn_scope_begin();
    sn_tensor *tensor =
        subject->invoke(subject->function, subject->inputs->tensors, subject->inputs->count, 0);
    bool ok = tensor != NULL && sn_error_status() == SN_OK;
    if (ok) {
        result->dtype = sn_dtype_of(tensor);
        result->bytes = (size_t)sn_count(tensor) * sn_dtype_size(result->dtype);
        result->data = malloc(result->bytes + 1);
        if (!result->data) sn_error_raise(SN_ERROR_MEMORY, NULL, 0, "bench: out of memory");
        ok = result->data && sn_read(tensor, result->dtype, result->data, result->bytes);
    }
    sn_scope_end(scope, NULL);
    if (!ok) result_free(result);
    return ok;
}

void result_free(Result *result) {
    free(result->data);
    *result = (Result){0};
}

uint64_t result_hash(const Result *result) {
    return XXH3_64bits(result->data, result->bytes);
}

bool result_equal(const Result *x, const Result *y) {
    return x->dtype == y->dtype && x->bytes == y->bytes && memcmp(x->data, y->data, x->bytes) == 0;
}

/* Place of a float on the line of all floats, -0 and +0 both at 0. */
static int64_t place(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >= 0 ? bits : (int64_t)INT32_MIN - bits;
}

int64_t result_max_ulp(const Result *x, const Result *y) {
    const float *a = x->data, *b = y->data;
    int64_t most = 0;
    if (x->dtype != SN_F32 || y->dtype != SN_F32 || x->bytes != y->bytes) return INT64_MAX;
    for (size_t i = 0; i < x->bytes / sizeof *a; i++) {
        bool a_nan = a[i] != a[i], b_nan = b[i] != b[i];
        if (a_nan && b_nan) continue;
        if (a_nan || b_nan) return INT64_MAX;
        int64_t distance = llabs(place(a[i]) - place(b[i]));
        if (distance > most) most = distance;
    }
    return most;
}
