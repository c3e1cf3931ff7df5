/* ulp [--stride N] [--count N] [OP...]: the largest errors of the elementary functions in units of the
 * last place, as the table of docs/numerics.md. f32 over every N-th bit pattern (1 = all of them)
 * against the C library's double, f64 over N random arguments, half of them of any bit pattern,
 * half where the function is neither 0 nor infinite nor 1, against its long double. Status 1 if an
 * error is infinite: NaN or infinity where there is a number, or the other way round. */
#include <sinter/sinter.h>

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1 << 18, STRIDE = 97, ARGUMENTS = 4000000 };

typedef sn_tensor *Unary(sn_tensor *x);
typedef sn_tensor *Binary(sn_tensor *x, sn_tensor *y);

/* One function. */
typedef struct Function {
    const char *name;                                 /* of the op */
    Unary *unary;                                     /* the op, or NULL */
    Binary *binary;                                   /* the op of two operands, or NULL */
    double (*wide)(double);                           /* reference for f32 */
    long double (*widest)(long double);               /* reference for f64 */
    long double (*widest2)(long double, long double); /* the same of two operands */
    double low, high; /* where half of the f64 arguments lie; of powers, exponents */
} Function;

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static long double sigmoidl(long double x) {
    return 1 / (1 + expl(-x));
}

/* ops.h has a macro over each function, which takes the name's place only before a parenthesis. */
#define UNARY(name, low, high)                                                                     \
    { #name, sn_##name, NULL, name, name##l, NULL, low, high }
#define BINARY(name, low, high)                                                                    \
    { #name, NULL, sn_##name, NULL, NULL, name##l, low, high }

static const Function functions[] = {
    UNARY(exp, -745, 710), UNARY(exp2, -1075, 1024), UNARY(expm1, -40, 710), UNARY(log, 0, 4),
    UNARY(log2, 0, 4),     UNARY(log10, 0, 4),       UNARY(log1p, -1, 4),    UNARY(sin, -100, 100),
    UNARY(cos, -100, 100), UNARY(tan, -100, 100),    UNARY(asin, -1, 1),     UNARY(acos, -1, 1),
    UNARY(atan, -10, 10),  UNARY(sinh, -711, 711),   UNARY(cosh, -711, 711), UNARY(tanh, -20, 20),
    UNARY(asinh, -10, 10), UNARY(acosh, 1, 10),      UNARY(atanh, -1, 1),    UNARY(erf, -6, 6),
    UNARY(erfc, -6, 27),   UNARY(sigmoid, -745, 40), BINARY(pow, -8, 8),     BINARY(atan2, -8, 8),
    BINARY(hypot, -8, 8),
};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

/* ---- errors ---------------------------------------------------------------------------------- */

/* The largest error so far, and where. */
typedef struct Worst {
    double ulps; /* error */
    double x, y; /* arguments */
} Worst;

/* Distance of two neighbours of the format near `value`. */
static long double spacing(long double value, int digits, int least_exponent) {
    int exponent;
    frexpl(value, &exponent);
    if (value == 0 || exponent < least_exponent) exponent = least_exponent;
    return ldexpl(1, exponent - digits);
}

static double error_in_ulps(double got, long double want, bool single) {
    int digits = single ? FLT_MANT_DIG : DBL_MANT_DIG;
    int least = single ? FLT_MIN_EXP : DBL_MIN_EXP, most = single ? FLT_MAX_EXP : DBL_MAX_EXP;
    long double beyond = ldexpl(1, most);
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want) ? 0 : INFINITY;
    if (got == 0 && want == 0) return !signbit(got) == !signbit(want) ? 0 : INFINITY;
    /* Infinity counts as the power of two at which the format ends. */
    long double value = isinf(got) ? copysignl(beyond, got) : got;
    if (fabsl(want) > beyond) want = copysignl(beyond, want);
    long double unit = spacing(fabsl(want) < beyond ? want : beyond / 2, digits, least);
    long double error = fabsl(value - want) / unit;
    return error > 1e6L ? (double)INFINITY : (double)error;
}

static void note(Worst *worst, double ulps, double x, double y) {
    if (ulps > worst->ulps) *worst = (Worst){ulps, x, y};
}

/* ---- arguments ------------------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64* (Vigna 2016). */
static uint64_t next_random(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static double random_between(double low, double high) {
    return low + (high - low) * ((double)(next_random() >> 11) * 0x1p-53);
}

static double any_double(void) {
    uint64_t bits = next_random();
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double argument(const Function *f, int64_t i) {
    if (i % 2) return any_double();
    double x = random_between(f->low, f->high);
    if (f->binary) x = copysign(exp2(x), any_double());
    return i % 8 ? x : ldexp(x, (int)(next_random() % 64) - 60);
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Values of the op; false and a message on error. */
static bool apply(const Function *f, sn_dtype dtype, const void *x, const void *y, int64_t count,
                  void *values) {
    size_t bytes = (size_t)count * sn_dtype_size(dtype);
    sn_scope scope = sn_scope_begin();
    sn_tensor *a = sn_from_copy(x, bytes, &count, 1, dtype);
    sn_tensor *b = f->binary ? sn_from_copy(y, bytes, &count, 1, dtype) : NULL;
    sn_tensor *result = f->binary ? f->binary(a, b) : f->unary(a);
    bool ok = sn_read(result, dtype, values, bytes);
    if (!ok) fprintf(stderr, "ulp: %s\n", sn_error_text());
    sn_scope_end(scope, NULL);
    return ok;
}

static bool run_f32(const Function *f, int64_t stride, Worst *worst) {
    static float x[BATCH], values[BATCH];
    for (int64_t first = 0; first < INT64_C(1) << 32;) {
        int64_t count = 0;
        for (; count < BATCH && first < INT64_C(1) << 32; first += stride) {
            uint32_t bits = (uint32_t)first;
            memcpy(&x[count++], &bits, sizeof bits);
        }
        if (!apply(f, SN_F32, x, NULL, count, values)) return false;
        for (int64_t i = 0; i < count; i++)
            note(worst, error_in_ulps((double)values[i], (long double)f->wide((double)x[i]), true),
                 (double)x[i], 0);
    }
    return true;
}

/* Pairs of f32: random ones. */
static bool run_pairs_f32(const Function *f, int64_t total, Worst *worst) {
    static float x[BATCH], y[BATCH], values[BATCH];
    for (int64_t done = 0; done < total; done += BATCH) {
        for (int64_t i = 0; i < BATCH; i++) {
            uint64_t bits = next_random();
            memcpy(&x[i], &bits, sizeof x[i]);
            bits >>= 32;
            memcpy(&y[i], &bits, sizeof y[i]);
            if (i % 4 == 0) continue;
            x[i] = (float)argument(f, 2);
            y[i] = (float)argument(f, 2);
        }
        if (!apply(f, SN_F32, x, y, BATCH, values)) return false;
        for (int64_t i = 0; i < BATCH; i++)
            note(worst,
                 error_in_ulps((double)values[i], f->widest2((long double)x[i], (long double)y[i]),
                               true),
                 (double)x[i], (double)y[i]);
    }
    return true;
}

static bool run_f64(const Function *f, int64_t total, Worst *worst) {
    static double x[BATCH], y[BATCH], values[BATCH];
    for (int64_t done = 0; done < total; done += BATCH) {
        for (int64_t i = 0; i < BATCH; i++) {
            x[i] = argument(f, i);
            y[i] = argument(f, i);
        }
        if (!apply(f, SN_F64, x, y, BATCH, values)) return false;
        for (int64_t i = 0; i < BATCH; i++) {
            long double want = f->binary ? f->widest2(x[i], y[i]) : f->widest(x[i]);
            note(worst, error_in_ulps(values[i], want, false), x[i], y[i]);
        }
    }
    return true;
}

static void print_worst(const Function *f, const Worst *worst) {
    printf(" %.2f | ", worst->ulps);
    if (worst->ulps == 0)
        printf("- |");
    else if (f->binary)
        printf("%a, %a |", worst->x, worst->y);
    else
        printf("%a |", worst->x);
}

static bool measure(const Function *f, int64_t stride, int64_t total) {
    Worst single = {0}, twice = {0};
    bool ok = f->binary ? run_pairs_f32(f, total, &single) : run_f32(f, stride, &single);
    ok = ok && run_f64(f, total, &twice);
    printf("| %s |", f->name);
    print_worst(f, &single);
    print_worst(f, &twice);
    printf("\n");
    fflush(stdout);
    return ok && isfinite(single.ulps) && isfinite(twice.ulps);
}

static bool is_asked(const char *name, char **names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return count == 0;
}

int main(int argc, char **argv) {
    int64_t stride = STRIDE, total = ARGUMENTS;
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--stride") == 0) stride = strtoll(argv[at + 1], NULL, 10);
        if (strcmp(argv[at], "--count") == 0) total = strtoll(argv[at + 1], NULL, 10);
    }
    if (stride < 1 || total < 1) {
        fprintf(stderr, "usage: ulp [--stride N] [--count N] [OP...]\n");
        return 2;
    }
    printf("| op | f32 | at | f64 | at |\n| --- | --- | --- | --- | --- |\n");
    bool ok = true;
    for (int i = 0; i < N_FUNCTIONS; i++)
        if (is_asked(functions[i].name, argv + at, argc - at))
            ok = measure(&functions[i], stride, total) && ok;
    return ok ? 0 : 1;
}
