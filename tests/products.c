/* Products by the library's own kernels against a plain C loop of their definition: an element is the sum,
 * left to right, of chunk sums; a chunk is 512 consecutive k, each a chain of fused multiply-adds from +0 in
 * ascending k. One bit pattern: eager and compiled, for its own sizes and for any, with the weight where it
 * lies and packed, with any number of threads, in any layout, behind and before other ops.
 *
 *     products [--seed S] [--count N]
 *
 * prints the first failures, cut down, and exits with 1 where there is one. */
#include "tests/fuzz_program.h"

#include "base/settings.h"
#include "runtime/weights.h"

#include <sinter/sinter.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512, MOST_ELEMENTS = 400000, MOST_STEPS = 3000000, MOST_SHOWN = 5, CALLS = 4 };

static FuzzRandom drawn;

static int64_t below(int64_t bound) {
    return fuzz_below(&drawn, bound);
}

/* Fails for good: it is the test that is wrong, or the library refused. */
static void expect(bool condition) {
    if (condition) return;
    printf("it does not run: %s\n", sn_error_text());
    exit(1);
}

/* ---- the functions --------------------------------------------------------------------------- */

static sn_tensor *same(sn_tensor *x) {
    return x;
}

static sn_tensor *half(sn_tensor *x) {
    return sn_mul(x, sn_c(0.375));
}

static sn_tensor *behind_none(sn_tensor *y, sn_tensor *b) {
    (void)b;
    return y;
}

static sn_tensor *behind_bias(sn_tensor *y, sn_tensor *b) {
    return sn_relu(sn_add(y, b));
}

static sn_tensor *behind_many(sn_tensor *y, sn_tensor *b) {
    return sn_sub(sn_mul(sn_sigmoid(y), b), y);
}

/* What becomes of the operands, and of the product and a vector as long as its rows. */
typedef struct Function {
    const char *name;
    sn_tensor *(*row)(sn_tensor *), *(*column)(sn_tensor *);
    sn_tensor *(*behind)(sn_tensor *, sn_tensor *);
    sn_tensor *(*whole)(sn_tensor *, sn_tensor *, sn_tensor *);
} Function;

static sn_tensor *plain(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return behind_none(sn_matmul(x, w), b);
}
static sn_tensor *biased(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return behind_bias(sn_matmul(x, w), b);
}
static sn_tensor *gated(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return behind_many(sn_matmul(x, w), b);
}
static sn_tensor *rows_made(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return behind_bias(sn_matmul(half(x), w), b);
}
static sn_tensor *columns_made(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return behind_none(sn_matmul(x, half(w)), b);
}
static sn_tensor *both_made(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return behind_many(sn_matmul(half(x), half(w)), b);
}

static const Function functions[] = {{"plain", same, same, behind_none, plain},
                                     {"biased", same, same, behind_bias, biased},
                                     {"gated", same, same, behind_many, gated},
                                     {"rows made", half, same, behind_bias, rows_made},
                                     {"columns made", same, half, behind_none, columns_made},
                                     {"both made", half, half, behind_many, both_made}};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* ---- cases ----------------------------------------------------------------------------------- */

typedef enum Layout {
    DENSE,
    TURNED,   /* the transpose of a dense one */
    APART,    /* every second row and column of a larger one */
    REPEATED, /* one row, many times */
    BACKWARD, /* rows and columns from their ends */
    LAYOUTS
} Layout;
static const char *const layout_names[LAYOUTS] = {"dense", "turned", "apart", "repeated",
                                                  "backward"};

typedef struct Case {
    uint64_t seed; /* of its numbers */
    int32_t function;
    sn_dtype dtype;
    int64_t batch, m, n, k; /* sizes; batch 0: no dim for it */
    bool shared;            /* all of the batch have one w */
    Layout row, column;     /* of x and of w */
    bool special;           /* infinities, NaN, zeros of both signs, subnormals among the numbers */
    int32_t threads[2];     /* that it is run with */
} Case;

static int64_t draw_size(int64_t most) {
    static const int64_t edges[] = {0,   1,   2,   3,   4,   5,   6,    7,    8,   11,
                                    12,  13,  16,  17,  24,  31,  32,   33,   48,  63,
                                    64,  65,  96,  128, 191, 192, 193,  203,  204, 205,
                                    255, 256, 257, 511, 512, 513, 1024, 1025, 1537};
    int64_t size = below(3) ? edges[below((int64_t)(sizeof edges / sizeof *edges))] : below(70);
    return size <= most ? size : 1 + below(most);
}

static Case make_case(uint64_t seed) {
    static const sn_dtype dtypes[] = {SN_F32, SN_F32, SN_F32, SN_F64, SN_BF16, SN_F16};
    static const int32_t threads[] = {1, 2, 3, 5, 8};
    drawn = (FuzzRandom){seed};
    Case c = {.seed = seed, .function = (int32_t)below(FUNCTIONS)};
    c.dtype = dtypes[below(6)];
    c.batch = below(3) ? 0 : below(5);
    c.k = draw_size(1600);
    c.n = draw_size(1600);
    int64_t most = MOST_STEPS / ((c.k + 1) * (c.n + 1) * (c.batch ? c.batch : 1));
    c.m = draw_size(most < 1 ? 1 : most > 1600 ? 1600 : most);
    c.shared = below(2);
    c.row = (Layout)below(LAYOUTS);
    c.column = (Layout)below(LAYOUTS);
    c.special = below(4) == 0;
    c.threads[0] = 1;
    c.threads[1] = threads[below(5)];
    return c;
}

static void print_case(const Case *c) {
    printf("seed %llu: %s, %s, batch %lld%s, m %lld, n %lld, k %lld, x %s, w %s%s, threads %d\n",
           (unsigned long long)c->seed, functions[c->function].name, sn_dtype_name(c->dtype),
           (long long)c->batch, c->shared ? " of one w" : "", (long long)c->m, (long long)c->n,
           (long long)c->k, layout_names[c->row], layout_names[c->column],
           c->special ? ", special numbers" : "", (int)c->threads[1]);
}

static double draw_number(bool special) {
    static const double specials[] = {0.0,  -0.0,     INFINITY,  -INFINITY, NAN,
                                      -NAN, 0x1p-149, -0x1p-130, 0x1p-1074, 65504};
    if (special && below(40) == 0) return specials[below(10)];
    return ldexp((double)(below(1 << 24) - (1 << 23)), (int)below(8) - 26);
}

/* A dense tensor of random numbers, [batch, rows, columns]. */
static sn_tensor *numbers(const Case *c, int64_t batch, int64_t rows, int64_t columns) {
    int64_t count = batch * rows * columns;
    double *data = malloc(sizeof *data * (size_t)(count + 1));
    expect(data != NULL);
    for (int64_t i = 0; i < count; i++) data[i] = draw_number(c->special);
    sn_tensor *x =
        sn_from_copy(data, sizeof *data * (size_t)count, SN_I(batch, rows, columns), SN_F64);
    free(data);
    return sn_cast(x, c->dtype);
}

static sn_tensor *matrices(const Case *c, int64_t batch, int64_t rows, int64_t columns,
                           Layout layout) {
    switch (layout) {
    case TURNED:
        return sn_transpose(numbers(c, batch, columns, rows), 1, 2);
    case APART: {
        sn_tensor *x = numbers(c, batch, 2 * rows, 2 * columns);
        x = sn_reshape(x, SN_I(batch, rows, 2, columns, 2));
        return sn_select(sn_select(x, 4, 1), 2, 0);
    }
    case REPEATED:
        return sn_expand(numbers(c, batch, 1, columns), SN_I(batch, rows, columns));
    case BACKWARD:
        return sn_flip(numbers(c, batch, rows, columns), SN_I(1, 2));
    default:
        return numbers(c, batch, rows, columns);
    }
}

/* ---- the definition -------------------------------------------------------------------------- */

static double chain(const double *x, const double *w, int64_t apart, int64_t k, bool wide) {
    double sum = 0;
    for (int64_t first = 0; first < k; first += CHUNK) {
        double part = 0;
        for (int64_t i = first; i < k && i < first + CHUNK; i++)
            part = wide ? fma(x[i], w[i * apart], part)
                        : (double)fmaf((float)x[i], (float)w[i * apart], (float)part);
        if (first == 0)
            sum = part;
        else
            sum = wide ? sum + part : (double)((float)sum + (float)part);
    }
    return sum;
}

/* The product of dense [batch, m, k] and [batch, k, n]. */
static sn_tensor *define(const Case *c, sn_tensor *x, sn_tensor *w, int64_t batch) {
    int64_t m = c->m, n = c->n, k = c->k;
    size_t x_bytes = sizeof(double) * (size_t)(batch * m * k);
    size_t w_bytes = sizeof(double) * (size_t)(batch * k * n);
    size_t y_bytes = sizeof(double) * (size_t)(batch * m * n);
    double *a = malloc(x_bytes + 8), *b = malloc(w_bytes + 8), *y = malloc(y_bytes + 8);
    expect(a && b && y && sn_read(x, SN_F64, a, x_bytes) && sn_read(w, SN_F64, b, w_bytes));
    for (int64_t i = 0; i < batch * m; i++)
        for (int64_t j = 0; j < n; j++)
            y[i * n + j] = chain(a + i * k, b + i / m * k * n + j, n, k, c->dtype == SN_F64);
    sn_tensor *product = sn_from_copy(y, y_bytes, SN_I(batch, m, n), SN_F64);
    free(a), free(b), free(y);
    return sn_cast(product, c->dtype);
}

/* ---- checks ---------------------------------------------------------------------------------- */

static uint64_t bits_of(double x) {
    uint64_t bits;
    if (isnan(x)) return UINT64_MAX;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static bool same_bits(sn_tensor *got, sn_tensor *want, const char *who, bool loud) {
    expect(got != NULL);
    int64_t count = sn_count(want);
    size_t bytes = sizeof(double) * (size_t)count;
    double *x = malloc(bytes + 8), *y = malloc(bytes + 8);
    expect(x && y && sn_read(got, SN_F64, x, bytes) && sn_read(want, SN_F64, y, bytes));
    int64_t at = 0;
    while (at < count && bits_of(x[at]) == bits_of(y[at])) at++;
    if (at < count && loud)
        printf("%s: element %lld is %a, should be %a\n", who, (long long)at, x[at], y[at]);
    free(x), free(y);
    return at == count;
}

static sn_compiled *any_sizes[FUNCTIONS]; /* for sizes that vary */
static int64_t packed;                    /* matrices that were packed */

static sn_compiled *compile(int32_t function, sn_shapes shapes) {
    sn_compile_options options = {.shapes = shapes};
    sn_compiled *c = sn_compile_at((sn_function)functions[function].whole, functions[function].name,
                                   "ttt:t", &options, NULL, 0);
    expect(c != NULL);
    return c;
}

static bool check_calls(const Case *c, sn_tensor *const *args, sn_tensor *want, bool loud) {
    const Function *f = &functions[c->function];
    bool fine = same_bits(f->whole(args[0], args[1], args[2]), want, "eager", loud);
    sn_compiled *own = compile(c->function, SN_SHAPES_STATIC);
    if (!any_sizes[c->function]) any_sizes[c->function] = compile(c->function, SN_SHAPES_DYNAMIC);
    for (int32_t i = 0; fine && i < 2 * CALLS; i++) {
        char who[64];
        sn_scope scope = sn_scope_begin();
        sn_compiled *compiled = i < CALLS ? own : any_sizes[c->function];
        int32_t threads = c->threads[i % 2];
        snprintf(who, sizeof who, "compiled for %s, call %d, %d threads",
                 i < CALLS ? "its sizes" : "any", i % CALLS + 1, (int)threads);
        sn_set_threads(threads);
        fine = same_bits(SN_FN(compiled, f->whole)(args[0], args[1], args[2]), want, who, loud);
        sn_scope_end(scope, NULL);
    }
    sn_set_threads(0);
    sn_compiled_release(own);
    return fine;
}

static bool check(const Case *c, bool loud) {
    drawn = (FuzzRandom){~c->seed};
    WeightCounters before, after;
    weights_counters(&before);
    sn_scope scope = sn_scope_begin();
    const Function *f = &functions[c->function];
    int64_t batch = c->batch ? c->batch : 1;
    sn_tensor *x = matrices(c, batch, c->m, c->k, c->row);
    sn_tensor *w = matrices(c, c->shared ? 1 : batch, c->k, c->n, c->column);
    sn_tensor *b = sn_select(sn_select(numbers(c, 1, 1, c->n), 0, 0), 0, 0);
    sn_tensor *all = sn_expand(w, SN_I(batch, c->k, c->n));
    sn_tensor *want = define(c, f->row(x), f->column(all), batch);
    if (!c->batch) {
        x = sn_select(x, 0, 0);
        want = sn_select(want, 0, 0);
    }
    if (!c->batch || c->shared) w = sn_select(w, 0, 0);
    want = f->behind(want, b);
    expect(x && w && b && want);
    bool fine = check_calls(c, (sn_tensor *[]){x, w, b}, want, loud);
    sn_scope_end(scope, NULL);
    weights_counters(&after);
    packed += after.packs - before.packs;
    return fine;
}

/* One part less, or a size cut; false where there is none. */
static bool reduce(Case *c, int32_t way) {
    Case before = *c;
    int64_t *const sizes[] = {&c->batch, &c->m, &c->n, &c->k};
    if (way < 4)
        *sizes[way] /= 2;
    else if (way < 8)
        *sizes[way - 4] -= *sizes[way - 4] > 0;
    else if (way == 8)
        c->row = DENSE;
    else if (way == 9)
        c->column = DENSE;
    else if (way == 10)
        c->special = false;
    else if (way == 11)
        c->function = 0;
    else if (way == 12)
        c->threads[1] = 1;
    return memcmp(&before, c, sizeof before) != 0;
}

static void shrink(Case *c) {
    bool shrunk = true;
    for (int32_t rounds = 0; shrunk && rounds < 100; rounds++) {
        shrunk = false;
        for (int32_t way = 0; way < 13; way++) {
            Case less = *c;
            if (!reduce(&less, way) || check(&less, false)) continue;
            *c = less;
            shrunk = true;
        }
    }
}

int main(int argc, char **argv) {
    uint64_t seed = 1, count = 1000, failed = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--count") == 0) count = strtoull(argv[i + 1], NULL, 10);
    }
    for (uint64_t i = 0; i < count; i++) {
        Case c = make_case(seed + i);
        if (check(&c, false)) continue;
        if (failed++ >= MOST_SHOWN) continue;
        printf("FAILED ");
        print_case(&c);
        check(&c, true);
        shrink(&c);
        printf("cut down: ");
        print_case(&c);
        check(&c, true);
    }
    for (int32_t i = 0; i < FUNCTIONS; i++)
        if (any_sizes[i]) sn_compiled_release(any_sizes[i]);
    printf("%llu products from seed %llu, %lld matrices packed, %llu failed\n",
           (unsigned long long)count, (unsigned long long)seed, (long long)packed,
           (unsigned long long)failed);
    return failed != 0 || (count >= 100 && !packed); /* then weights were not tried */
}
