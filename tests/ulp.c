/* ulp [--stride N] [--count N] [--pairs N] [--below X] [--table] [--hold FILE] [OP...]: the largest
 * errors of the elementary functions in units of the last place. --table prints docs/numerics.md's table,
 * else each error comes with its arguments; --hold fails where one is larger than in the table of that
 * file. f32 over every N-th bit pattern (1 = all of them) against formulas of the C library's double; f64
 * over N arguments, half of them of any bit pattern, half where the function is neither 0 nor infinite
 * nor 1, against long double and, where an error comes near the largest, MPFR; f16 and bf16 over all
 * patterns. Of two operands, N pairs, and all pairs of edges. Status 1 if an error is infinite (NaN or
 * infinity where there is a number, or the other way round) or if a pointwise op of op.def has no row, 2
 * if it is asked for what it does not know. A function named alone is measured alone: a long run goes
 * piece by piece. --below looks at f32 and f64 below X alone: at a function's left tail. */
#include "tests/ulp_functions.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1 << 18, PATTERNS = 1 << 16 };

/* How much is looked at. */
typedef struct Extent {
    int64_t stride; /* of f32's patterns */
    int64_t count;  /* arguments of f64 */
    int64_t pairs;  /* pairs of arguments, in every dtype but half types */
    double
        below; /* arguments of f32 and f64 that are not below it are passed over, unless it is infinite */
} Extent;

/* ---- errors ---------------------------------------------------------------------------------- */

/* A format of floats, narrower than double. */
typedef struct Format {
    int digits; /* of the significand */
    int least;  /* exponent of the least normal number */
    int most;   /* exponent of the largest number */
} Format;

static const Format f32_format = {24, -126, 127}, f16_format = {11, -14, 15},
                    bf16_format = {8, -126, 127};

/* The largest error so far, where, and how many were off by more than half a place. */
typedef struct Worst {
    double ulps;     /* error */
    double x, y;     /* arguments */
    int64_t farther; /* results that are not the nearest */
} Worst;

static void note(Worst *worst, double ulps, double x, double y) {
    worst->farther += ulps > 0.5 + 1e-9;
    if (ulps > worst->ulps) {
        worst->ulps = ulps;
        worst->x = x;
        worst->y = y;
    }
}

static int exponent_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (int)(bits >> 52 & 0x7ff) - 1023;
}

static double power_of_two(int exponent) {
    uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Whether NaN, or a zero with its sign, decides; the error then. */
static bool decides(double got, bool want_nan, bool want_zero, bool want_negative, double *error) {
    if (isnan(got) || want_nan) {
        *error = isnan(got) && want_nan ? 0 : INFINITY;
        return true;
    }
    if (got != 0 || !want_zero) return false;
    *error = !signbit(got) == !want_negative ? 0 : INFINITY;
    return true;
}

/* Infinity counts as the power of two at which the format ends. */
static double error_of(double got, double want, const Format *f) {
    double error;
    if (decides(got, isnan(want), want == 0, signbit(want), &error)) return error;
    double beyond = power_of_two(f->most + 1);
    if (isinf(got)) got = copysign(beyond, got);
    if (fabs(want) > beyond) want = copysign(beyond, want);
    int exponent = exponent_of(want);
    if (exponent > f->most) exponent = f->most;
    if (exponent < f->least) exponent = f->least;
    return fabs(got - want) * power_of_two(f->digits - 1 - exponent);
}

static double error_f64(double got, long double want) {
    double error;
    if (decides(got, isnan(want), want == 0, signbit(want), &error)) return error;
    long double beyond = ldexpl(1, DBL_MAX_EXP), value = got;
    if (isinf(got)) value = copysignl(beyond, value);
    if (fabsl(want) > beyond) want = copysignl(beyond, want);
    int exponent;
    frexpl(fabsl(want) < beyond ? want : beyond / 2, &exponent);
    if (want == 0 || exponent < DBL_MIN_EXP) exponent = DBL_MIN_EXP;
    return (double)ldexpl(fabsl(value - want), DBL_MANT_DIG - exponent);
}

#ifdef ULP_MPFR
static double exact_error_f64(const UlpFunction *f, double got, double x, double y) {
    mpfr_t a, b, want;
    mpfr_inits2(ULP_PRECISION, a, b, want, (mpfr_ptr)0);
    mpfr_set_d(a, x, MPFR_RNDN);
    mpfr_set_d(b, y, MPFR_RNDN);
    f->exact(want, a, b);
    double error;
    if (!decides(got, mpfr_nan_p(want), mpfr_zero_p(want), mpfr_signbit(want), &error)) {
        mpfr_set_ui_2exp(b, 1, DBL_MAX_EXP, MPFR_RNDN); /* at which the format ends */
        bool beyond = mpfr_cmpabs(want, b) >= 0;
        if (beyond) mpfr_copysign(want, b, want, MPFR_RNDN);
        mpfr_copysign(b, b, want, MPFR_RNDN);
        mpfr_set_d(a, got, MPFR_RNDN);
        if (isinf(got)) mpfr_setsign(a, b, got < 0, MPFR_RNDN);
        mpfr_exp_t exponent = beyond ? DBL_MAX_EXP : DBL_MIN_EXP;
        if (!beyond && mpfr_regular_p(want) && mpfr_get_exp(want) > exponent)
            exponent = mpfr_get_exp(want);
        mpfr_sub(want, a, want, MPFR_RNDN);
        mpfr_mul_2si(want, want, DBL_MANT_DIG - (long)exponent, MPFR_RNDN);
        error = fabs(mpfr_get_d(want, MPFR_RNDN));
    }
    mpfr_clears(a, b, want, (mpfr_ptr)0);
    return error;
}
#endif

/* long double's own errors are below a quarter of a place of f64: nearer to the largest, MPFR decides. */
#define DOUBT 0.25
#ifdef ULP_MPFR
static const double f64_doubt = 0; /* of what is told */
#else
static const double f64_doubt = DOUBT;
#endif

static void note_f64(const UlpFunction *f, Worst *worst, double got, double x, double y) {
    double error = error_f64(got, f->widest((long double)x, (long double)y));
#ifdef ULP_MPFR
    if (error > worst->ulps - DOUBT) error = exact_error_f64(f, got, x, y);
#endif
    note(worst, error, x, y);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static uint64_t random_state;

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

static float any_float(void) {
    uint32_t bits = (uint32_t)(next_random() >> 32);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Where the function is neither 0 nor infinite; one in four is small. */
static double usual(const UlpFunction *f, int64_t i) {
    double x = random_between(f->low, f->high);
    if (f->is_binary) x = copysign(exp2(x), any_double());
    return i % 8 ? x : ldexp(x, (int)(next_random() % 64) - 60);
}

static const double edges[] = {
    0,           0x1p-1074,   0x1p-1022, 0x1p-149,    0x1p-126,    0x1p-60,    0x1p-24, 0.5,
    1 - 0x1p-53, 1 - 0x1p-24, 1,         1 + 0x1p-52, 1 + 0x1p-23, 1.5,        2,       2.5,
    3,           10,          0x1p23,    0x1p24 - 1,  0x1p52,      0x1p53 - 1, 0x1p64,  FLT_MAX,
    0x1p127,     0x1p128,     DBL_MAX,   0x1p1023,    INFINITY,    NAN,
};
enum { N_EDGES = 2 * sizeof edges / sizeof *edges, EDGE_PAIRS = N_EDGES * N_EDGES };

static double edge(int64_t i) {
    double x = edges[i / 2 % (N_EDGES / 2)];
    return i % 2 ? -x : x;
}

/* The i-th pair of f64: all pairs of edges, then half of any bits. */
static void draw_f64(const UlpFunction *f, int64_t i, double *x, double *y) {
    bool at_edges = f->is_binary ? i < EDGE_PAIRS : i < N_EDGES;
    if (at_edges) {
        *x = edge(i);
        *y = edge(i / N_EDGES);
        return;
    }
    *x = i % 2 ? any_double() : usual(f, i);
    *y = !f->is_binary ? 0 : i % 2 ? any_double() : usual(f, i);
}

static void draw_f32(const UlpFunction *f, int64_t i, float *x, float *y) {
    if (i < EDGE_PAIRS) {
        *x = (float)edge(i);
        *y = (float)edge(i / N_EDGES);
        return;
    }
    *x = i % 4 == 0 ? any_float() : (float)usual(f, i);
    *y = i % 4 == 0 ? any_float() : (float)usual(f, i);
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Values of the op, read as `as`; false and a message on error. */
static bool apply(const UlpFunction *f, sn_dtype dtype, const void *x, const void *y, int64_t count,
                  sn_dtype as, void *values) {
    size_t bytes = (size_t)count * sn_dtype_size(dtype);
    sn_scope scope = sn_scope_begin();
    sn_tensor *a = sn_from_copy(x, bytes, &count, 1, dtype);
    sn_tensor *b = f->is_binary ? sn_from_copy(y, bytes, &count, 1, dtype) : NULL;
    bool ok = sn_read(f->apply(a, b), as, values, (size_t)count * sn_dtype_size(as));
    if (!ok) fprintf(stderr, "ulp: %s\n", sn_error_text());
    sn_scope_end(scope, NULL);
    return ok;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Most results are the nearest number, which needs no error to be told. */
static void note_f32(const UlpFunction *f, Worst *worst, float got, float x, float y) {
    double want = f->wide((double)x, (double)y);
    float nearest = (float)want;
    if (memcmp(&nearest, &got, sizeof got) == 0) return;
    note(worst, error_of((double)got, want, &f32_format), (double)x, (double)y);
}

static bool is_passed_over(const Extent *extent, double x) {
    return isfinite(extent->below) && !(x < extent->below);
}

static bool run_f32(const UlpFunction *f, const Extent *extent, Worst *worst) {
    static float x[BATCH], values[BATCH];
    for (int64_t first = 0; first < INT64_C(1) << 32;) {
        int64_t count = 0;
        for (; count < BATCH && first < INT64_C(1) << 32; first += extent->stride) {
            uint32_t bits = (uint32_t)first;
            memcpy(&x[count], &bits, sizeof bits);
            count += !is_passed_over(extent, (double)x[count]);
        }
        if (!apply(f, SN_F32, x, NULL, count, SN_F32, values)) return false;
        for (int64_t i = 0; i < count; i++) note_f32(f, worst, values[i], x[i], 0);
    }
    return true;
}

static bool run_pairs_f32(const UlpFunction *f, int64_t total, Worst *worst) {
    static float x[BATCH], y[BATCH], values[BATCH];
    for (int64_t done = 0; done < total; done += BATCH) {
        int64_t count = smaller(BATCH, total - done);
        for (int64_t i = 0; i < count; i++) draw_f32(f, done + i, &x[i], &y[i]);
        if (!apply(f, SN_F32, x, y, count, SN_F32, values)) return false;
        for (int64_t i = 0; i < count; i++) note_f32(f, worst, values[i], x[i], y[i]);
    }
    return true;
}

static bool run_f64(const UlpFunction *f, const Extent *extent, Worst *worst) {
    int64_t total = f->is_binary ? extent->pairs : extent->count;
    static double x[BATCH], y[BATCH], values[BATCH];
    for (int64_t done = 0; done < total; done += BATCH) {
        int64_t count = smaller(BATCH, total - done);
        for (int64_t i = 0; i < count; i++) draw_f64(f, done + i, &x[i], &y[i]);
        if (!apply(f, SN_F64, x, y, count, SN_F64, values)) return false;
        for (int64_t i = 0; i < count; i++)
            if (!is_passed_over(extent, x[i])) note_f64(f, worst, values[i], x[i], y[i]);
    }
    return true;
}

/* What the patterns of a half type are. */
static bool widen(const uint16_t *patterns, sn_dtype dtype, double *values) {
    sn_scope scope = sn_scope_begin();
    int64_t count = PATTERNS;
    sn_tensor *x = sn_from_copy(patterns, PATTERNS * sizeof *patterns, &count, 1, dtype);
    bool ok = sn_read(x, SN_F64, values, PATTERNS * sizeof *values);
    sn_scope_end(scope, NULL);
    return ok;
}

/* All patterns; of two operands, each with a random one. */
static bool run_half(const UlpFunction *f, sn_dtype dtype, Worst *worst) {
    static uint16_t x[PATTERNS], y[PATTERNS];
    static double wide_x[PATTERNS], wide_y[PATTERNS], values[PATTERNS];
    const Format *format = dtype == SN_F16 ? &f16_format : &bf16_format;
    for (int64_t i = 0; i < PATTERNS; i++) {
        x[i] = (uint16_t)i;
        y[i] = (uint16_t)(next_random() >> 48);
    }
    if (!widen(x, dtype, wide_x) || !widen(y, dtype, wide_y)) return false;
    if (!apply(f, dtype, x, y, PATTERNS, SN_F64, values)) return false;
    for (int64_t i = 0; i < PATTERNS; i++) {
        double want = f->wide(wide_x[i], wide_y[i]);
        note(worst, error_of(values[i], want, format), wide_x[i], wide_y[i]);
    }
    return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* All of one function. */
typedef struct Errors {
    Worst f32, f64, f16, bf16;
} Errors;

/* Rounded up to hundredths: no result is farther off than the table says. */
static double as_told(double ulps) {
    return ulps <= 0.5 + 1e-6 ? 0.5 : ceil(ulps * 100) / 100;
}

/* Beyond 1000 places the power of ten. */
static void print_error(double ulps) {
    printf(ulps >= 1000 ? " %.0e |" : " %.2f |", as_told(ulps));
}

static void print_worst(const UlpFunction *f, const Worst *worst, bool with_arguments) {
    print_error(worst->ulps);
    if (!with_arguments) return;
    if (f->is_binary)
        printf(" %a, %a |", worst->x, worst->y);
    else
        printf(" %a |", worst->x);
}

static void print_heading(bool table) {
    if (table)
        printf("| op | f32 | f64 | f16 not nearest | f16 | bf16 not nearest | bf16 |\n"
               "| --- | --- | --- | --- | --- | --- | --- |\n");
    else
        printf("| op | f32 | at | f64 | at | f16 not nearest | f16 | at | bf16 not nearest | bf16 "
               "| at "
               "|\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
}

/* ---- the table as it was --------------------------------------------------------------------- */

/* What a file's table says of a function. */
typedef struct Held {
    double f32, f64, f16, bf16;        /* largest errors */
    int64_t f16_farther, bf16_farther; /* results that are not the nearest */
} Held;

static bool read_held(const char *path, const char *label, Held *held) {
    FILE *file = fopen(path, "r");
    if (!file) return false;
    char line[512], row[64];
    size_t length = (size_t)snprintf(row, sizeof row, "| %s |", label);
    bool found = false;
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, row, length) == 0 &&
                sscanf(line + length, "%lf | %lf | %" SCNd64 " | %lf | %" SCNd64 " | %lf |",
                       &held->f32, &held->f64, &held->f16_farther, &held->f16, &held->bf16_farther,
                       &held->bf16) == 6;
    fclose(file);
    return found;
}

static bool is_within(const char *label, const char *column, const Worst *found, double ulps,
                      int64_t farther) {
    if (as_told(found->ulps) <= ulps + 1e-6 && found->farther <= farther) return true;
    fprintf(stderr,
            "ulp: %s of %s is off by %.3f, %" PRId64
            " are not the nearest: more than it was held to\n",
            column, label, found->ulps, found->farther);
    return false;
}

/* Without MPFR an error of f64 has one of its own. */
static bool are_within(const char *path, const char *label, const Errors *e) {
    Held held;
    if (!read_held(path, label, &held)) {
        fprintf(stderr, "ulp: %s has no row of %s\n", path, label);
        return false;
    }
    bool ok = is_within(label, "f32", &e->f32, held.f32, INT64_MAX);
    ok &= is_within(label, "f64", &e->f64, held.f64 + f64_doubt, INT64_MAX);
    ok &= is_within(label, "f16", &e->f16, held.f16, held.f16_farther);
    return is_within(label, "bf16", &e->bf16, held.bf16, held.bf16_farther) && ok;
}

/* ---- the program ----------------------------------------------------------------------------- */

/* How it is told, and held. */
typedef struct Report {
    bool table;       /* without arguments */
    const char *hold; /* a file whose table says how large errors may be, or NULL */
} Report;

static void print_row(const UlpFunction *f, const Errors *e, bool table) {
    printf("| %s |", f->label);
    print_worst(f, &e->f32, !table);
    print_worst(f, &e->f64, !table);
    printf(" %" PRId64 " |", e->f16.farther);
    print_worst(f, &e->f16, !table);
    printf(" %" PRId64 " |", e->bf16.farther);
    print_worst(f, &e->bf16, !table);
    printf("\n");
    fflush(stdout);
}

/* A function's arguments do not hang on which came before it, those of a short run are among a long run's. */
static bool measure(const UlpFunction *f, const Extent *extent, const Report *report) {
    Errors e = {0};
    random_state = 0x9e3779b97f4a7c15;
    bool ok = f->is_binary ? run_pairs_f32(f, extent->pairs, &e.f32) : run_f32(f, extent, &e.f32);
    random_state = 0xbf58476d1ce4e5b9;
    ok = ok && run_f64(f, extent, &e.f64);
    random_state = 0x94d049bb133111eb;
    ok = ok && run_half(f, SN_F16, &e.f16) && run_half(f, SN_BF16, &e.bf16);
    print_row(f, &e, report->table);
    ok = ok && isfinite(e.f32.ulps) && isfinite(e.f64.ulps) && isfinite(e.f16.ulps) &&
         isfinite(e.bf16.ulps);
    return (!report->hold || are_within(report->hold, f->label, &e)) && ok;
}

static bool is_asked(const char *name, char **names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return count == 0;
}

static bool are_known(char **names, int count) {
    bool known = true;
    for (int n = 0; n < count; n++) {
        bool found = false;
        for (int i = 0; i < ulp_function_count; i++)
            found |= strcmp(ulp_functions[i].op, names[n]) == 0;
        if (!found)
            fprintf(stderr, "ulp: %s is none of the functions that are measured:", names[n]);
        for (int i = 0; !found && i < ulp_function_count; i++)
            if (i == 0 || strcmp(ulp_functions[i].op, ulp_functions[i - 1].op) != 0)
                fprintf(stderr, " %s", ulp_functions[i].op);
        if (!found) fprintf(stderr, "\n");
        known &= found;
    }
    return known;
}

/* A positive number of one of the options; false if it is none. */
static bool take_number(const char *option, const char *text, Extent *extent) {
    int64_t *number = NULL;
    if (strcmp(option, "--stride") == 0) number = &extent->stride;
    if (strcmp(option, "--count") == 0) number = &extent->count;
    if (strcmp(option, "--pairs") == 0) number = &extent->pairs;
    char *end;
    if (!number) {
        extent->below = strtod(text, &end);
        return strcmp(option, "--below") == 0 && end != text && !*end;
    }
    *number = strtoll(text, &end, 10);
    return *number > 0 && !*end;
}

int main(int argc, char **argv) {
    Extent extent = {97, 1000000, 4000000, INFINITY};
    Report report = {false, NULL};
    bool understood = true;
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0 && understood; at++) {
        if (strcmp(argv[at], "--table") == 0)
            report.table = true;
        else if ((understood = at + 1 < argc) && strcmp(argv[at], "--hold") == 0)
            report.hold = argv[++at];
        else if (understood)
            understood = take_number(argv[at], argv[at + 1], &extent) && ++at;
    }
    if (!understood) {
        fprintf(
            stderr,
            "usage: ulp [--stride N] [--count N] [--pairs N] [--below X] [--table] [--hold FILE] "
            "[OP...]\n");
        return 2;
    }
    if (!are_known(argv + at, argc - at)) return 2;
#ifndef ULP_MPFR
    fprintf(stderr, "ulp: built without MPFR: f64 is checked with long double alone\n");
#endif
    bool ok = ulp_functions_are_complete();
    print_heading(report.table);
    for (int i = 0; i < ulp_function_count; i++)
        if (is_asked(ulp_functions[i].op, argv + at, argc - at))
            ok = measure(&ulp_functions[i], &extent, &report) && ok;
    return ok ? 0 : 1;
}
