/* Joins: what is computed of a cat is computed of its parts and joined afterwards, and padding is not stored
 * and read again. With the bits of eager, whoever reads the cat, whatever its parts are, and however they
 * vary. */
#include "api_case.h"

#include <math.h>

enum { WIDTH = 9 };

/* x is read and may be written; k varies from call to call. */
typedef sn_tensor *Function(sn_tensor *x, int64_t k);

#define CAT(axis, ...)                                                                             \
    sn_cat(((sn_tensor *[]){__VA_ARGS__}),                                                         \
           (int32_t)(sizeof((sn_tensor *[]){__VA_ARGS__}) / sizeof(sn_tensor *)), (axis))

/* ---- padding by edges ------------------------------------------------------------------------ */

static sn_tensor *padded(sn_tensor *x, int64_t axis, int64_t by) {
    int64_t n = sn_size(x, (int32_t)axis);
    return CAT(axis, sn_narrow(x, axis, 0, by), x, sn_narrow(x, axis, n - by, by));
}
/* Three taps along an axis whose ends are repeated. */
static sn_tensor *taps(sn_tensor *x, int64_t axis) {
    int64_t n = sn_size(x, (int32_t)axis);
    sn_tensor *wide = padded(x, axis, 1);
    sn_tensor *sum = sn_mul(sn_narrow(wide, axis, 0, n), sn_c(0.25));
    sum = sn_add(sum, sn_mul(sn_narrow(wide, axis, 1, n), sn_c(0.5)));
    return sn_add(sum, sn_mul(sn_narrow(wide, axis, 2, n), sn_c(0.25)));
}
static sn_tensor *blurred(sn_tensor *x, int64_t k) {
    (void)k;
    return taps(taps(x, 0), 1);
}
static sn_tensor *blurred_in_place(sn_tensor *x, int64_t k) {
    (void)k;
    sn_copy_(x, taps(x, 0));
    sn_copy_(x, taps(x, 1));
    return sn_neg(x);
}
static sn_tensor *inside_is_blurred_in_place(sn_tensor *x, int64_t k) {
    (void)k;
    sn_tensor *inside = sn_narrow(x, 0, 1, sn_size(x, 0) - 2);
    sn_tensor *wide = padded(x, 1, 2);
    sn_copy_(inside, taps(inside, 1));
    sn_mul_(sn_narrow(x, 1, 0, 2), sn_c(2));
    return sn_add(sn_narrow(wide, 1, 1, WIDTH), taps(x, 0));
}
static sn_tensor *padded_by_varying(sn_tensor *x, int64_t k) {
    sn_tensor *wide = padded(x, 1, k);
    return sn_sub(sn_narrow(wide, 1, 0, WIDTH), sn_narrow(wide, 1, k, WIDTH));
}

/* ---- parts ----------------------------------------------------------------------------------- */

static sn_tensor *rolled(sn_tensor *x, int64_t k) {
    sn_tensor *y = CAT(1, sn_narrow(x, 1, k, WIDTH - k), sn_narrow(x, 1, 0, k));
    return sn_sub(sn_mul(y, sn_c(3)), x);
}
static sn_tensor *from_a_varying_place(sn_tensor *x, int64_t k) {
    sn_tensor *y = sn_narrow(CAT(1, x, sn_exp(x)), 1, k, WIDTH);
    return sn_add(sn_mul(y, sn_c(2)), x);
}
static sn_tensor *empty_parts(sn_tensor *x, int64_t k) {
    sn_tensor *none = sn_narrow(x, 0, 0, 0);
    sn_tensor *y = sn_mul(CAT(0, none, sn_neg(x), none, x), sn_c((double)k));
    return CAT(1, y, sn_narrow(sn_exp(y), 1, 3, 0));
}
static sn_tensor *all_is_empty(sn_tensor *x, int64_t k) {
    sn_tensor *one = sn_narrow(CAT(0, sn_neg(x), x), 0, sn_size(x, 0), 1);
    sn_tensor *none = sn_add(sn_narrow(x, 0, 0, 0), one);
    sn_tensor *flat = sn_narrow(x, 1, 0, 0);
    return sn_add(sn_sum(sn_mul(CAT(0, flat, sn_neg(flat)), sn_c((double)k)), SN_I0, false),
                  sn_sum(sn_exp(none), SN_I0, false));
}
static sn_tensor *one_part_thrice(sn_tensor *x, int64_t k) {
    sn_tensor *part = sn_exp(sn_mul(x, sn_c((double)k)));
    sn_tensor *y = sn_add(CAT(0, part, part, part), sn_narrow(part, 0, 0, 1));
    return CAT(1, sn_log(y), sn_mul(y, CAT(0, sn_neg(part), x, part)));
}
static sn_tensor *many_parts(sn_tensor *x, int64_t k) {
    sn_tensor *y = CAT(1, x, sn_neg(x), x, x, sn_abs(x), x, x, sn_neg(x), x);
    return sn_mul(sn_add(y, sn_c((double)k)), sn_narrow(y, 0, 0, 1));
}
static sn_tensor *parts_of_other_dtypes(sn_tensor *x, int64_t k) {
    sn_tensor *y = CAT(1, x, sn_cast(x, SN_F16), sn_cast(x, SN_F64), sn_gt(x, sn_c(0)));
    sn_tensor *z =
        sn_cast(CAT(0, sn_cast(x, SN_I8), sn_cast(sn_mul(x, sn_c((double)k)), SN_I8)), SN_BF16);
    return sn_add(sn_sum(y, SN_I(1), true), sn_sum(sn_mul(z, z), SN_I0, false));
}

/* ---- readers --------------------------------------------------------------------------------- */

static sn_tensor *whole_and_in_parts(sn_tensor *x, int64_t k) {
    sn_tensor *rows = CAT(0, x, sn_mul(x, sn_c((double)k)));
    sn_tensor *columns = CAT(1, sn_narrow(rows, 1, 0, 1), sn_exp(rows));
    sn_tensor *bias = sn_narrow(columns, 0, 0, 1);
    return sn_add(sn_sub(columns, bias), sn_sum(sn_relu(rows), SN_I0, false));
}
static sn_tensor *reduced(sn_tensor *x, int64_t k) {
    sn_tensor *y = sn_exp(CAT(1, x, sn_mul(x, sn_c((double)k))));
    return sn_add(sn_softmax(y, 1), sn_mean(sn_narrow(y, 1, 2, WIDTH), SN_I(1), true));
}
static sn_tensor *normalised(sn_tensor *x, int64_t k) {
    sn_tensor *y = CAT(1, x, sn_mul(x, sn_c((double)k)));
    return sn_mul(y, sn_rsqrt(sn_mean(sn_mul(y, y), SN_I(1), true)));
}
static sn_tensor *summed_twice(sn_tensor *x, int64_t k) {
    sn_tensor *y = CAT(1, x, sn_mul(x, sn_c((double)k)));
    return sn_add(sn_sum(sn_exp(y), SN_I(1), false), sn_sum(sn_sin(y), SN_I(1), false));
}
static sn_tensor *widened(sn_tensor *x, int64_t k) {
    sn_tensor *narrow = sn_cast(x, SN_U8), *y = sn_cast(CAT(0, narrow, narrow), SN_F32);
    return sn_sum(sn_mul(y, sn_c((double)k)), SN_I(1), false);
}
static sn_tensor *broadcast(sn_tensor *x, int64_t k) {
    sn_tensor *line = sn_reshape(sn_sum(x, SN_I(0), false), SN_I(-1));
    sn_tensor *y = sn_mul(CAT(0, line, sn_narrow(line, 0, 0, k)), sn_c(0.5));
    return sn_add(sn_narrow(y, 0, 0, WIDTH), sn_where(sn_gt(x, sn_c(0)), x, sn_select(x, 0, 0)));
}
static sn_tensor *turned(sn_tensor *x, int64_t k) {
    sn_tensor *y = sn_neg(CAT(0, x, sn_mul(x, sn_c((double)k))));
    sn_tensor *flat = sn_flip(sn_reshape(sn_transpose(y, 0, 1), SN_I(-1)), SN_I(0));
    return sn_add(sn_sum(flat, SN_I0, false), sn_index(y, SN_IX(SN_STEP(0, 3, 2), SN_ALL)));
}
static sn_tensor *not_numbers(sn_tensor *x, int64_t k) {
    sn_tensor *nan = sn_div(sn_sub(x, x), sn_c(0));
    sn_tensor *y = CAT(1, sn_neg(nan), x, sn_copysign(nan, x));
    sn_tensor *z = sn_copysign(sn_c((double)k), sn_neg(y));
    return CAT(1, z, sn_cast(sn_signbit(sn_narrow(y, 1, 1, WIDTH)), SN_F32));
}
static sn_tensor *drawn(sn_tensor *x, int64_t k) {
    sn_rng rng = {.seed = (uint64_t)k};
    sn_tensor *noise = sn_rand(&rng, SN_I(sn_size(x, 0), WIDTH), SN_F32);
    sn_tensor *y = sn_mul(CAT(0, noise, x), sn_c(2));
    return sn_add(sn_narrow(y, 0, 1, 2), sn_narrow(noise, 0, 0, 2));
}

static sn_tensor *rows_of(uint32_t seed, int64_t rows) {
    return tensor_random(seed, SN_F32, SN_I(rows, WIDTH));
}

static Function *const functions[] = {
    blurred,
    blurred_in_place,
    inside_is_blurred_in_place,
    rolled,
    from_a_varying_place,
    padded_by_varying,
    empty_parts,
    all_is_empty,
    one_part_thrice,
    many_parts,
    parts_of_other_dtypes,
    whole_and_in_parts,
    reduced,
    broadcast,
    turned,
    not_numbers,
    drawn,
    normalised,
    summed_twice,
    widened,
};

/* Sizes and the number are the first's, then vary alone and together. */
static void what_is_computed_of_joins_has_eagers_bits(void **state) {
    (void)state;
    static const int64_t calls[][2] = {{4, 2}, {4, 2}, {4, 3},  {4, 1},
                                       {4, 5}, {7, 5}, {37, 2}, {3, 4}};
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "tl:t", NULL);
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            sn_tensor *x = rows_of((uint32_t)i, calls[i][0]),
                      *again = rows_of((uint32_t)i, calls[i][0]);
            sn_tensor *want = functions[f](x, calls[i][1]);
            sn_tensor *got = SN_FN(c, blurred)(again, calls[i][1]);
            EXPECT_OK();
            EXPECT_SAME(got, want);
            EXPECT_SAME(again, x);
        }
        sn_explanation e = {.size = sizeof e};
        assert_int_equal(sn_explain(c, &e), SN_OK);
        if (e.fallbacks) fail_msg("function %zu runs node by node", f);
        sn_compiled_release(c);
    }
}

/* ---- errors ---------------------------------------------------------------------------------- */

static sn_tensor *looked_up(sn_tensor *x, int64_t k) {
    sn_tensor *at = sn_add(sn_arange(0, 3, 1, SN_I64), sn_ci(k));
    sn_tensor *y = sn_mul(CAT(0, sn_index_select(x, 0, at), x), sn_c(2));
    sn_copy_(sn_narrow(x, 0, 0, 2), sn_narrow(y, 0, 0, 2));
    return sn_narrow(y, 0, 4, 1);
}

/* A part that fails is an error of the call though nothing reads it, and what comes behind it is not
 * written. */
static void a_part_that_fails_is_an_error(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(looked_up, "tl:t", NULL);
    for (int64_t k = 0; k < 4; k++) {
        sn_tensor *x = rows_of(1, 5), *again = rows_of(1, 5);
        sn_tensor *want = looked_up(x, k);
        if (k == 3) EXPECT_ERROR(SN_ERROR_INDEX, "index[2] is 5, out of range");
        sn_tensor *got = SN_FN(c, looked_up)(again, k);
        if (k == 3) EXPECT_ERROR(SN_ERROR_INDEX, "index[2] is 5, out of range");
        if (k < 3) EXPECT_SAME(got, want);
        EXPECT_SAME(again, x);
    }
    sn_compiled_release(c);
}

/* ---- what it saves --------------------------------------------------------------------------- */

static int64_t bytes_of(Function *function, sn_tensor *x, int64_t *kernels) {
    sn_compiled *c = sn_compile(function, "tl:t", NULL);
    assert_non_null(SN_FN(c, blurred)(x, 1));
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    sn_compiled_release(c);
    *kernels = e.kernels;
    return e.bytes;
}

static void padding_is_not_stored(void **state) {
    (void)state;
    int64_t kernels;
    int64_t bytes = bytes_of(blurred, tensor_random(1, SN_F32, SN_I(256, 256)), &kernels);
    /* each direction reads three taps and writes one value */
    assert_in_range(bytes, 1, (int64_t)(2 * 4.2 * 256 * 256 * 4));
    assert_in_range(kernels, 1, 6);
}

/* What a reduction reads is computed in its kernel, of the cat: it is not stored for it. */
static void what_reductions_read_is_not_stored(void **state) {
    (void)state;
    static const struct {
        Function *function;
        double sizes; /* of x, at most: what is read and written */
    } cases[] = {{normalised, 8.1}, {summed_twice, 6.1}, {widened, 3.1}};
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(256, 256));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t kernels, bytes = bytes_of(cases[i].function, x, &kernels);
        assert_in_range(bytes, 1, (int64_t)(cases[i].sizes * 256 * 256 * 4));
        assert_in_range(kernels, 1, 3);
    }
}

/* Slices of what was computed of slices, again and again. */
static sn_tensor *deep(sn_tensor *x, int64_t k) {
    sn_tensor *y = sn_exp(padded(x, 1, 40));
    for (int i = 0; i < 30; i++) {
        int64_t n = sn_size(y, 1) - 2;
        y = sn_add(sn_mul(sn_narrow(y, 1, 0, n), sn_c(0.5)), sn_narrow(y, 1, 2, n));
        y = sn_add(y, sn_c((double)k));
    }
    return y;
}

/* What work is done twice does not grow with how deep it lies. */
static void work_done_twice_is_bounded(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(deep, "tl:t", NULL);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 200));
    EXPECT_SAME(SN_FN(c, deep)(x, 1), deep(x, 1));
    sn_compiled_release(c);
    int64_t kernels;
    bytes_of(deep, x, &kernels);
    assert_in_range(kernels, 1, 8 * 31);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(what_is_computed_of_joins_has_eagers_bits),
        API_TEST(a_part_that_fails_is_an_error),
        API_TEST(padding_is_not_stored),
        API_TEST(what_reductions_read_is_not_stored),
        API_TEST(work_done_twice_is_bounded),
    };
    return cmocka_run_group_tests_name("joins", tests, NULL, NULL);
}
