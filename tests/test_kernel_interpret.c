/* The reference executor: the call's parameter words, grids, blocks, local buffers, predicates,
 * checks, and the order of every reduction and scan against level-by-level models. */
#include "base/mem.h"
#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { MOST_ARGS = 4, MOST_WORDS = KPARAM_STRIDES + SN_MAX_RANK * MOST_ARGS + 8 };

/* One call: parameter words are filled through the functions below. */
typedef struct Call {
    Kernel kernel;             /* parsed and verified */
    int64_t words[MOST_WORDS]; /* parameter words */
    uint64_t error_word;       /* what CHECK writes */
} Call;

static void call_open(Call *c, const char *text) {
    sn_error error = {0};
    *c = (Call){.error_word = UINT64_MAX};
    kernel_init(&c->kernel);
    if (kernel_parse(&c->kernel, text, strlen(text), &error) != SN_OK) fail_msg("%s", error.text);
    if (kernel_verify(&c->kernel, &error) != SN_OK) fail_msg("%s", error.text);
    c->words[KPARAM_BLOCKS] = 1;
}

static void set_param(Call *c, int32_t param, int64_t value) {
    c->words[kernel_param_word(&c->kernel, param)] = value;
}

/* Appends a grid dimension with a stride for each of the first arguments. */
static void add_grid(Call *c, int64_t size, const int64_t *strides, int32_t n_strides) {
    int64_t d = c->words[KPARAM_RANK]++;
    c->words[KPARAM_SIZES + d] = size;
    for (int32_t a = 0; a < n_strides; a++)
        c->words[KPARAM_STRIDES + SN_MAX_RANK * a + d] = strides[a];
}

static void run_items(Call *c, void *const *args, int64_t begin, int64_t end) {
    sn_error error = {0};
    if (kernel_interpret(&c->kernel, args, c->words, begin, end, &c->error_word, &error) != SN_OK)
        fail_msg("%s", error.text);
}

/* ---- items, addresses ------------------------------------------------------------------------ */

#define NEGATE                                                                                     \
    "kernel {\n params 3\n arg a0 f32 in\n arg a1 f32 out\n axis i p0 %s\n"                        \
    " access c0 a0 i*p1 + p2\n access c1 a1 i*1\n loop i vector\n %%0 = load c0 : f32\n"           \
    " %%1 = neg %%0 : f32\n store c1 %%1\n end\n}\n"

static void grid_points_are_in_row_major_order(void **state) {
    (void)state;
    char text[512];
    float x[24], y[24];
    Call c;
    snprintf(text, sizeof text, NEGATE, "");
    call_open(&c, text);
    for (int i = 0; i < 24; i++) x[i] = (float)i, y[i] = 0;
    /* y[2,3,4] = -x with x read as [3,2,4] transposed and every row reversed. */
    add_grid(&c, 2, (const int64_t[]){4, 12}, 2);
    add_grid(&c, 3, (const int64_t[]){8, 4}, 2);
    set_param(&c, 0, 4);
    set_param(&c, 1, -1);
    set_param(&c, 2, 3);
    run_items(&c, (void *[]){x, y}, 1, 5);
    for (int g = 0; g < 6; g++) {
        for (int i = 0; i < 4; i++) {
            float wanted = g >= 1 && g < 5 ? -x[4 * (g / 3) + 8 * (g % 3) + 3 - i] : 0;
            assert_true(y[4 * g + i] == wanted);
        }
    }
    kernel_free(&c.kernel);
}

static void blocks_cut_the_split_axis(void **state) {
    (void)state;
    char text[512];
    float x[22], y[22];
    Call c;
    snprintf(text, sizeof text, NEGATE, "split");
    call_open(&c, text);
    for (int i = 0; i < 22; i++) x[i] = (float)(i + 1), y[i] = 0;
    add_grid(&c, 2, (const int64_t[]){11, 11}, 2);
    c.words[KPARAM_BLOCKS] = 3;
    c.words[KPARAM_BLOCK_SIZE] = 4;
    set_param(&c, 0, 11);
    set_param(&c, 1, 1);
    run_items(&c, (void *[]){x, y}, 1, 6); /* all but the first block of the first row */
    for (int i = 0; i < 22; i++) assert_true(y[i] == (i < 4 ? 0 : -x[i]));
    kernel_free(&c.kernel);
}

static void indices_parameters_and_indirect_addresses(void **state) {
    (void)state;
    Call c;
    /* y[g, i] = x[index[i]] where index[i] is in range, else p2; g is also added. */
    call_open(&c,
              "kernel {\n params 5\n arg a0 f64 in\n arg a1 i64 in\n arg a2 f64 out\n axis i p0\n"
              " access c0 a0 %2*p4\n access c1 a1 i*1\n access c2 a2 i*1\n"
              " %0 = param p2 : f64\n %1 = grid_index 0 : i64\n loop i\n"
              " %2 = load c1 : i64\n %3 = param p1 : i64\n %4 = lt %2, %3 : bool\n"
              " check %4 p3\n %5 = load c0 if %4 : f64\n %6 = where %4, %5, %0 : f64\n"
              " %7 = cast %1 : f64\n %8 = add %6, %7 : f64\n store c2 %8\n end\n}\n");
    double x[6] = {10, 0, 20, 0, 30, 0}, y[8], half = 0.5;
    int64_t index[4] = {2, 0, 9, 1}, bits;
    memcpy(&bits, &half, sizeof bits);
    add_grid(&c, 2, (const int64_t[]){0, 0, 4}, 3);
    set_param(&c, 0, 4);
    set_param(&c, 1, 3);
    set_param(&c, 2, bits);
    set_param(&c, 3, 77);
    set_param(&c, 4, 2);
    run_items(&c, (void *[]){x, index, y}, 0, 2);
    static const double wanted[8] = {30, 10, 0.5, 20, 31, 11, 1.5, 21};
    for (int i = 0; i < 8; i++) assert_true(y[i] == wanted[i]);
    assert_int_equal(c.error_word, 77);
    c.error_word = 5; /* a lesser code stays */
    run_items(&c, (void *[]){x, index, y}, 0, 2);
    assert_int_equal(c.error_word, 5);
    kernel_free(&c.kernel);
}

static void predicates_keep_memory_untouched(void **state) {
    (void)state;
    Call c;
    call_open(&c, "kernel {\n params 1\n arg a0 i32 inout\n axis i p0\n access c0 a0 i*1\n loop i\n"
                  " %0 = index i : i64\n %1 = const i64 2\n %2 = lt %0, %1 : bool\n"
                  " %3 = load c0 if %2 : i32\n %4 = const i32 100\n %5 = add %3, %4 : i32\n"
                  " store c0 %5 if %2\n end\n}\n");
    int32_t x[4] = {1, 2, 3, 4};
    set_param(&c, 0, 4);
    run_items(&c, (void *[]){x}, 0, 1);
    assert_int_equal(x[0], 101);
    assert_int_equal(x[1], 102);
    assert_int_equal(x[2], 3);
    assert_int_equal(x[3], 4);
    kernel_free(&c.kernel);
}

static void local_buffers_hold_a_row_and_are_guarded(void **state) {
    (void)state;
    Call c;
    call_open(&c, "kernel {\n params 2\n arg a0 f32 in\n arg a1 f32 local p1\n arg a2 f32 out\n"
                  " arg a3 f32 local 1\n axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n"
                  " access c2 a2 i*1\n access c3 a3 0\n loop i vector\n %0 = load c0 : f32\n"
                  " %1 = mul %0, %0 : f32\n store c1 %1\n %2 = reduce_max %1 free : f32\n end\n"
                  " store c3 %2\n %3 = load c3 : f32\n loop i vector\n %4 = load c1 : f32\n"
                  " %5 = div %4, %3 : f32\n store c2 %5\n end\n}\n");
    float x[6] = {1, -2, 4, 3, 0, -1}, y[6];
    add_grid(&c, 2, (const int64_t[]){3, 0, 3}, 3);
    set_param(&c, 0, 3);
    set_param(&c, 1, 3);
    run_items(&c, (void *[]){x, NULL, y, NULL}, 0, 2);
    for (int i = 0; i < 6; i++) assert_true(y[i] == x[i] * x[i] / (i < 3 ? 16.0f : 9.0f));
    set_param(&c, 1, 2);
    sn_error error = {0};
    assert_int_equal(kernel_interpret(&c.kernel, (void *[]){x, NULL, y, NULL}, c.words, 0, 1,
                                      &c.error_word, &error),
                     SN_ERROR_INTERNAL);
    assert_non_null(strstr(error.text, "leaves a local buffer"));
    kernel_free(&c.kernel);
}

static void ordered_adds_round_each_time(void **state) {
    (void)state;
    Call c;
    call_open(&c, "kernel {\n params 1\n arg a0 f16 inout\n arg a1 f32 in\n axis i p0\n"
                  " access c0 a0 0\n access c1 a1 i*1\n loop i\n %0 = load c1 : f32\n"
                  " store_add c0 %0\n end\n}\n");
    uint16_t sum = half_from_float(2048);
    float x[4] = {1, 1, 3, 1}; /* 2048 + 1 ties to 2048, + 3 gives 2051, which ties to 2052 */
    set_param(&c, 0, 4);
    run_items(&c, (void *[]){&sum, x}, 0, 1);
    assert_true(half_to_float(sum) == 2052);
    kernel_free(&c.kernel);
}

/* ---- reductions ------------------------------------------------------------------------------ */

enum { MOST = 8 * 1024 + 1 };

static const int lengths[] = {
    1,    2,    3,    31,   32,   33,       63,           64,   65,   95,   96,   1000,
    1023, 1024, 1025, 2047, 2049, 3 * 1024, 3 * 1024 + 5, 5000, 6144, 7168, 7169, MOST};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* Values of very different sizes, so that every order of addition shows in the bits. */
static void fill(float *x, int n) {
    uint64_t random = 99;
    for (int i = 0; i < n; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        int power = (int)(random >> 20 & 15) - 8;
        x[i] = ldexpf((float)(int32_t)(random >> 32) * 0x1p-31f, power);
    }
}

/* Runs `op order` over x in f32 as a loop of one item. */
static float reduce_text(const char *op_and_order, float *x, int n) {
    char text[512];
    float y = 123;
    Call c;
    char op[32], order[16];
    sscanf(op_and_order, "%31s %15s", op, order);
    snprintf(text, sizeof text,
             "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n axis i p0\n"
             " access c0 a0 i*1\n access c1 a1 0\n loop i\n %%0 = load c0 : f32\n"
             " %%1 = %s %%0 %s : f32\n end\n store c1 %%1\n}\n",
             op, order);
    call_open(&c, text);
    set_param(&c, 0, n);
    run_items(&c, (void *[]){x, &y}, 0, 1);
    kernel_free(&c.kernel);
    return y;
}

/* The tree as it is defined: level by level, adjacent pairs, the odd one passes up. */
static void model_tree(float (*vectors)[32], int count, int lanes) {
    for (; count > 1; count = (count + 1) / 2) {
        for (int i = 0; i < count; i += 2) {
            for (int l = 0; l < lanes; l++) {
                vectors[i / 2][l] =
                    i + 1 < count ? vectors[i][l] + vectors[i + 1][l] : vectors[i][l];
            }
        }
    }
}

static float vectors[MOST][32]; /* chunks of the model under work */

static float model_row(const float *x, int n) {
    int chunks = (n + 1023) / 1024;
    for (int c = 0; c < chunks; c++) {
        for (int l = 0; l < 32; l++) {
            vectors[c][l] = -0.0f;
            for (int i = c * 1024 + l; i < n && i < (c + 1) * 1024; i += 32) vectors[c][l] += x[i];
        }
    }
    model_tree(vectors, chunks, 32);
    for (int half = 16; half; half /= 2)
        for (int l = 0; l < half; l++) vectors[0][l] += vectors[0][l + half];
    return vectors[0][0];
}

static float model_chunks(const float *x, int n, int width) {
    int chunks = (n + width - 1) / width;
    for (int c = 0; c < chunks; c++) {
        vectors[c][0] = -0.0f;
        for (int i = c * width; i < n && i < (c + 1) * width; i++) vectors[c][0] += x[i];
    }
    model_tree(vectors, chunks, 1);
    return vectors[0][0];
}

static void assert_same_bits(float x, float y, const char *what, int n) {
    if (memcmp(&x, &y, sizeof x) != 0) fail_msg("%s of %d: %a is not %a", what, n, x, y);
}

static void sums_follow_their_order_to_the_bit(void **state) {
    (void)state;
    static float x[MOST];
    fill(x, MOST);
    int differ = 0;
    for (int i = 0; i < LENGTHS; i++) {
        int n = lengths[i];
        float row = reduce_text("reduce_sum row", x, n);
        float column = reduce_text("reduce_sum column", x, n);
        assert_same_bits(row, model_row(x, n), "row sum", n);
        assert_same_bits(column, model_chunks(x, n, 32), "column sum", n);
        assert_same_bits(reduce_text("reduce_sum tree", x, n), model_chunks(x, n, 1), "tree", n);
        differ += row != column;
    }
    assert_true(differ > LENGTHS / 2); /* the data tell the orders apart */
}

static void products_follow_their_order_to_the_bit(void **state) {
    (void)state;
    static float x[2100];
    float lanes[2][32];
    uint64_t random = 7;
    for (int i = 0; i < 2100; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        x[i] = 1 + (float)(random >> 40) * 0x1p-34f;
    }
    for (int n = 2000; n < 2048; n += 13) {
        for (int c = 0; c < 2; c++) {
            for (int l = 0; l < 32; l++) {
                lanes[c][l] = 1;
                for (int i = c * 1024 + l; i < n && i < c * 1024 + 1024; i += 32)
                    lanes[c][l] *= x[i];
            }
        }
        for (int l = 0; l < 32; l++) lanes[0][l] *= lanes[1][l];
        for (int half = 16; half; half /= 2)
            for (int l = 0; l < half; l++) lanes[0][l] *= lanes[0][l + half];
        assert_same_bits(reduce_text("reduce_prod row", x, n), lanes[0][0], "row product", n);
    }
}

/* Sums of products: f32 and f64 in one loop, beside a sum whose chunks end elsewhere. */
static void chains_follow_their_order_to_the_bit(void **state) {
    (void)state;
    static float x[MOST], y[MOST];
    static const int sizes[] = {0, 1, 2, 511, 512, 513, 1023, 1024, 1025, 1536, 2000, 5120};
    Call c;
    fill(x, MOST);
    for (int i = 0; i < MOST; i++) y[i] = x[MOST - 1 - i];
    call_open(&c, "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 in\n arg a2 f32 out\n"
                  " arg a3 f64 out\n axis i p0\n access c0 a0 i*1\n access c1 a1 i*1\n"
                  " access c2 a2 0\n access c3 a3 0\n access c4 a2 1\n loop i\n"
                  " %0 = load c0 : f32\n %1 = load c1 : f32\n"
                  " %2 = reduce_fma %0, %1 chain : f32\n %3 = cast %0 : f64\n"
                  " %4 = cast %1 : f64\n %5 = mul %3, %3 : f64\n"
                  " %6 = reduce_fma %5, %4 chain : f64\n %7 = reduce_sum %0 column : f32\n end\n"
                  " store c2 %2\n store c3 %6\n store c4 %7\n}\n");
    int differ = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s];
        float narrow[2], sum = 0, link = 0, one = 0;
        double wide, wide_sum = 0, wide_link = 0;
        set_param(&c, 0, n);
        run_items(&c, (void *[]){x, y, narrow, &wide}, 0, 1);
        for (int i = 0; i < n; i++) {
            one = fmaf(x[i], y[i], one);
            link = fmaf(x[i], y[i], i % 512 ? link : 0.0f);
            wide_link = fma((double)x[i] * x[i], y[i], i % 512 ? wide_link : 0.0);
            if (i % 512 != 511 && i + 1 != n) continue;
            sum = i < 512 ? link : sum + link;
            wide_sum = i < 512 ? wide_link : wide_sum + wide_link;
        }
        assert_same_bits(narrow[0], sum, "chain", n);
        assert_true(memcmp(&wide, &wide_sum, sizeof wide) == 0);
        if (n) assert_same_bits(narrow[1], model_chunks(x, n, 32), "column sum", n);
        differ += one != sum;
    }
    assert_true(differ > 3); /* the data tell chunks from one chain */
    float zeros[2] = {-0.0f, -0.0f}, ones[2] = {1, 1}, narrow[2];
    double wide;
    for (int n = 0; n < 3; n++) {
        set_param(&c, 0, n);
        run_items(&c, (void *[]){zeros, ones, narrow, &wide}, 0, 1);
        assert_same_bits(narrow[0], 0.0f, "chain of -0", n); /* each begins at +0 */
    }
    kernel_free(&c.kernel);
}

static void signs_of_zero_and_empty_loops(void **state) {
    (void)state;
    float zeros[3] = {-0.0f, -0.0f, -0.0f};
    static const char *const orders[] = {"row", "column", "tree"};
    for (int i = 0; i < 3; i++) {
        char sum[32], product[32];
        snprintf(sum, sizeof sum, "reduce_sum %s", orders[i]);
        snprintf(product, sizeof product, "reduce_prod %s", orders[i]);
        assert_same_bits(reduce_text(sum, zeros, 3), -0.0f, sum, 3);
        assert_same_bits(reduce_text(sum, zeros, 0), 0.0f, sum, 0);
        assert_same_bits(reduce_text(product, zeros, 0), 1.0f, product, 0);
    }
    assert_same_bits(reduce_text("reduce_max free", zeros, 0), -INFINITY, "max", 0);
    assert_same_bits(reduce_text("reduce_min free", zeros, 0), INFINITY, "min", 0);
}

static void maximum_takes_nan_and_positive_zero(void **state) {
    (void)state;
    float x[4] = {-0.0f, 0.0f, -0.0f, -1.0f};
    assert_same_bits(reduce_text("reduce_max free", x, 4), 0.0f, "max", 4);
    assert_same_bits(reduce_text("reduce_min free", x, 3), -0.0f, "min", 3);
    x[1] = NAN;
    assert_true(isnan(reduce_text("reduce_max free", x, 4)));
    assert_true(isnan(reduce_text("reduce_min row", x, 4)));
}

static int64_t arg_of(const char *op, float *x, int n) {
    char text[512];
    int64_t y = 123;
    Call c;
    snprintf(text, sizeof text,
             "kernel {\n params 1\n arg a0 f32 in\n arg a1 i64 out\n axis i p0\n"
             " access c0 a0 i*1\n access c1 a1 0\n loop i\n %%0 = load c0 : f32\n"
             " %%1 = %s %%0 free : i64\n end\n store c1 %%1\n}\n",
             op);
    call_open(&c, text);
    set_param(&c, 0, n);
    run_items(&c, (void *[]){x, &y}, 0, 1);
    kernel_free(&c.kernel);
    return y;
}

static void argmax_takes_the_first(void **state) {
    (void)state;
    float x[6] = {-INFINITY, 3, 1, 3, -5, -5};
    assert_int_equal(arg_of("reduce_argmax", x, 6), 1);
    assert_int_equal(arg_of("reduce_argmin", x + 1, 5), 3);
    assert_int_equal(arg_of("reduce_argmax", x, 1), 0);
    assert_int_equal(arg_of("reduce_argmax", x, 0), 0);
    float zeros[2] = {-0.0f, 0.0f};
    assert_int_equal(arg_of("reduce_argmax", zeros, 2), 0);
    x[2] = x[4] = NAN;
    assert_int_equal(arg_of("reduce_argmax", x, 6), 2);
    assert_int_equal(arg_of("reduce_argmin", x, 6), 2);
}

static void integers_reduce_with_wrap(void **state) {
    (void)state;
    Call c;
    call_open(&c, "kernel {\n params 1\n arg a0 i8 in\n arg a1 i8 out\n axis i p0\n"
                  " access c0 a0 i*1\n access c1 a1 0\n access c2 a1 1\n access c3 a1 p0\n"
                  " loop i\n %0 = load c0 : i8\n %1 = reduce_sum %0 free : i8\n"
                  " %2 = reduce_max %0 free : i8\n %3 = reduce_min %0 free : i8\n end\n"
                  " store c1 %1\n store c2 %2\n store c3 %3\n}\n");
    int8_t x[3] = {-100, -100, 40}, y[4] = {0};
    set_param(&c, 0, 3);
    run_items(&c, (void *[]){x, y}, 0, 1);
    assert_int_equal(y[0], 96);
    assert_int_equal(y[1], 40);
    assert_int_equal(y[3], -100);
    kernel_free(&c.kernel);
}

static void a_reduction_starts_anew_in_every_trip_around_it(void **state) {
    (void)state;
    Call c;
    call_open(&c,
              "kernel {\n params 2\n arg a0 f32 in\n arg a1 f32 out\n axis i p0\n axis j p1\n"
              " access c0 a0 i*p1 + j*1\n access c1 a1 i*1\n access c2 a1 p0\n loop i\n loop j\n"
              " %0 = load c0 : f32\n %1 = reduce_sum %0 row : f32\n end\n store c1 %1\n"
              " %2 = reduce_max %1 free : f32\n end\n store c2 %2\n}\n");
    float x[6] = {1, 2, 3, 4, 5, 6}, y[4];
    set_param(&c, 0, 3);
    set_param(&c, 1, 2);
    run_items(&c, (void *[]){x, y}, 0, 1);
    assert_true(y[0] == 3 && y[1] == 7 && y[2] == 11 && y[3] == 11);
    kernel_free(&c.kernel);
}

/* ---- scans ----------------------------------------------------------------------------------- */

static void model_scan(const float *x, float *y, int n) {
    double before_chunk = -0.0;
    for (int chunk = 0; chunk < n; chunk += 1024) {
        float before_run = -0.0f, total = -0.0f;
        for (int run = chunk; run < n && run < chunk + 1024; run += 32) {
            float sum = -0.0f;
            for (int i = run; i < n && i < run + 32; i++) {
                sum += x[i];
                y[i] = (float)before_chunk + before_run + sum;
            }
            total = before_run + sum;
            before_run += sum;
        }
        before_chunk += (double)total;
    }
}

static void prefix_sums_follow_their_order_to_the_bit(void **state) {
    (void)state;
    static float x[MOST], y[MOST], model[MOST];
    Call c;
    fill(x, MOST);
    x[0] = -0.0f;
    call_open(&c, "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n axis i p0\n"
                  " access c0 a0 i*1\n access c1 a1 i*1\n loop i\n %0 = load c0 : f32\n"
                  " %1 = scan_sum %0 : f32\n store c1 %1\n end\n}\n");
    for (int i = 0; i < LENGTHS; i++) {
        set_param(&c, 0, lengths[i]);
        run_items(&c, (void *[]){x, y}, 0, 1);
        model_scan(x, model, lengths[i]);
        for (int k = 0; k < lengths[i]; k++) assert_same_bits(y[k], model[k], "scan", k);
    }
    kernel_free(&c.kernel);
}

static void a_failed_allocation_is_an_error(void **state) {
    (void)state;
    Call c;
    float x[4] = {1, 2, 3, 4}, y = 0;
    call_open(&c, "kernel {\n params 1\n arg a0 f32 in\n arg a1 f32 out\n arg a2 f32 local 1\n"
                  " axis i p0\n access c0 a0 i*1\n access c1 a1 0\n loop i\n %0 = load c0 : f32\n"
                  " %1 = reduce_sum %0 row : f32\n end\n store c1 %1\n}\n");
    set_param(&c, 0, 4);
    int64_t live = mem_live_count(), before = mem_request_count();
    run_items(&c, (void *[]){x, &y, NULL}, 0, 1);
    int64_t requests = mem_request_count() - before;
    assert_true(requests > 0 && y == 10);
    for (int64_t n = 1; n <= requests; n++) {
        sn_error error = {0};
        mem_fail_after(n, false);
        sn_status status = kernel_interpret(&c.kernel, (void *[]){x, &y, NULL}, c.words, 0, 1,
                                            &c.error_word, &error);
        mem_fail_after(0, false);
        assert_int_equal(status, SN_ERROR_MEMORY);
        assert_int_equal(mem_live_count(), live);
    }
    kernel_free(&c.kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grid_points_are_in_row_major_order),
        cmocka_unit_test(blocks_cut_the_split_axis),
        cmocka_unit_test(indices_parameters_and_indirect_addresses),
        cmocka_unit_test(predicates_keep_memory_untouched),
        cmocka_unit_test(local_buffers_hold_a_row_and_are_guarded),
        cmocka_unit_test(ordered_adds_round_each_time),
        cmocka_unit_test(sums_follow_their_order_to_the_bit),
        cmocka_unit_test(products_follow_their_order_to_the_bit),
        cmocka_unit_test(chains_follow_their_order_to_the_bit),
        cmocka_unit_test(signs_of_zero_and_empty_loops),
        cmocka_unit_test(maximum_takes_nan_and_positive_zero),
        cmocka_unit_test(argmax_takes_the_first),
        cmocka_unit_test(integers_reduce_with_wrap),
        cmocka_unit_test(a_reduction_starts_anew_in_every_trip_around_it),
        cmocka_unit_test(prefix_sums_follow_their_order_to_the_bit),
        cmocka_unit_test(a_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests_name("kernel_interpret", tests, NULL, NULL);
}
