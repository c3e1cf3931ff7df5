/* sn_format: the text of tensors of every dtype, rank and layout, and snprintf's contract. */
#include "base/mem.h"
#include "frontend/tensor/tensor.h"
#include "ir/op/dtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int setup(void **state) {
    sn_scope *scope = malloc(sizeof *scope);
    if (scope) *scope = sn_scope_begin();
    *state = scope;
    return scope ? 0 : -1;
}

static int teardown(void **state) {
    sn_error_take(NULL);
    sn_scope_end(*(sn_scope *)*state, NULL);
    free(*state);
    return 0;
}

static void expect_text_at(sn_tensor *tensor, const char *wanted, int line) {
    char text[8192];
    int32_t length = sn_format(tensor, text, sizeof text);
    if (strcmp(text, wanted) != 0)
        fail_msg("line %d: wanted\n%s\ngot\n%s\n%s", line, wanted, text, sn_error_text());
    assert_int_equal(length, strlen(wanted));
}
#define expect_text(tensor, wanted) expect_text_at(tensor, wanted, __LINE__)

/* A tensor of these values, converted. */
static sn_tensor *make(sn_dtype dtype, const double *values, const int64_t *dims, int32_t rank) {
    static char bytes[1 << 16];
    int64_t count = sizes_count(dims, rank);
    size_t size = sn_dtype_size(dtype);
    for (int64_t i = 0; i < count; i++)
        dtype_store(dtype, bytes + (size_t)i * size, dtype_bits_from_double(dtype, values[i]));
    return sn_from_copy(bytes, (size_t)count * size, dims, rank, dtype);
}

#define ROW(dtype, ...)                                                                            \
    make(dtype, (const double[]){__VA_ARGS__},                                                     \
         SN_I(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))

/* 0, 1, 2, … */
static sn_tensor *count_up(sn_dtype dtype, const int64_t *dims, int32_t rank) {
    static double values[8192];
    for (int i = 0; i < 8192; i++) values[i] = i;
    return make(dtype, values, dims, rank);
}

/* ---- elements -------------------------------------------------------------------------------- */

static void integers_are_aligned(void **state) {
    (void)state;
    expect_text(count_up(SN_I64, SN_I(5)), "[0, 1, 2, 3, 4]");
    expect_text(ROW(SN_I32, 1, -20, 300), "[  1, -20, 300]");
    expect_text(ROW(SN_U8, 255, 0), "[255,   0]");
    expect_text(ROW(SN_I8, -128, 127), "[-128,  127]");
    int64_t extremes[] = {INT64_MIN, INT64_MAX};
    expect_text(sn_from_copy(extremes, sizeof extremes, SN_I(2), SN_I64),
                "[-9223372036854775808,  9223372036854775807]");
    expect_text(ROW(SN_BOOL, 1, 0), "[ true, false]");
}

static void floats_have_one_number_of_decimals(void **state) {
    (void)state;
    expect_text(ROW(SN_F32, 1, 2.5, 3), "[1.0, 2.5, 3.0]");
    expect_text(ROW(SN_F64, 1, -2, 3), "[ 1., -2.,  3.]");
    expect_text(ROW(SN_F32, 0.1, 0.25, 100), "[  0.10,   0.25, 100.00]");
    expect_text(ROW(SN_F64, 1.0 / 3), "[0.33333333]");
    expect_text(ROW(SN_F32, 3.14159265358979), "[3.1415927]");
    expect_text(ROW(SN_F64, 99999999), "[99999999.]");
    expect_text(ROW(SN_F64, 0.0001), "[0.0001]");
    expect_text(ROW(SN_F64, 1000.5, 0.12345678), "[1000.50000000,    0.12345678]");
}

static void digits_are_those_of_the_dtype(void **state) {
    (void)state;
    expect_text(ROW(SN_F64, 0.1), "[0.1]");
    expect_text(ROW(SN_F32, 0.1), "[0.1]");
    expect_text(ROW(SN_F16, 0.1), "[0.1]");
    expect_text(ROW(SN_BF16, 0.1), "[0.1]");
    expect_text(ROW(SN_F16, 65504, 1.0 / 3), "[65504.0000,     0.3333]");
    expect_text(ROW(SN_BF16, 3.14159265358979), "[3.14]");
    float fine[] = {0.1f, nextafterf(0.1f, 1)};
    expect_text(sn_from_copy(fine, sizeof fine, SN_I(2), SN_F32), "[0.10000000, 0.10000001]");
}

static void wide_ranges_are_scientific(void **state) {
    (void)state;
    expect_text(ROW(SN_F64, 1e8), "[1e+08]");
    expect_text(ROW(SN_F32, 1.5e10, -2), "[ 1.5e+10, -2.0e+00]");
    expect_text(ROW(SN_F64, 9.9e-5, 1), "[9.9e-05, 1.0e+00]");
    expect_text(ROW(SN_F64, 10000.5, 0.12345678), "[1.0000500e+04, 1.2345678e-01]");
    expect_text(ROW(SN_F64, DBL_MAX, -5e-324, 0),
                "[ 1.7976931e+308, -4.9406565e-324,   0.0000000e+00]");
    float least = FLT_TRUE_MIN;
    expect_text(sn_from_copy(&least, 4, SN_I(1), SN_F32), "[1e-45]");
}

static void special_values_have_names(void **state) {
    (void)state;
    expect_text(ROW(SN_F32, NAN, 1, INFINITY, -INFINITY), "[ nan,   1.,  inf, -inf]");
    expect_text(ROW(SN_F64, -0.0, 0), "[-0.,  0.]");
    expect_text(ROW(SN_F16, NAN, -NAN), "[nan, nan]");
    expect_text(ROW(SN_F64, INFINITY, 1e9), "[  inf, 1e+09]");
}

static void rank_0_is_its_element(void **state) {
    (void)state;
    expect_text(make(SN_F32, (const double[]){1.5}, SN_I0), "1.5");
    expect_text(make(SN_BOOL, (const double[]){1}, SN_I0), "true");
    expect_text(sn_c(-3), "-3.");
    expect_text(sn_ci(-3), "-3");
}

static void no_elements_are_brackets(void **state) {
    (void)state;
    expect_text(count_up(SN_F32, SN_I(0)), "[]");
    expect_text(count_up(SN_I8, SN_I(3, 0)), "[]");
    expect_text(count_up(SN_I8, SN_I(0, 1000000000, 1000)), "[]");
}

/* ---- layout ---------------------------------------------------------------------------------- */

static void short_tensors_are_one_line(void **state) {
    (void)state;
    expect_text(ROW(SN_I64, 1), "[1]");
    double values[] = {1, 2, 3, 4};
    expect_text(make(SN_I64, values, SN_I(2, 2)), "[[1, 2], [3, 4]]");
    expect_text(make(SN_I64, values, SN_I(2, 1, 2)), "[[[1, 2]], [[3, 4]]]");
    expect_text(make(SN_I64, values, SN_I(1, 1, 1, 1, 1, 1, 1, 2)), "[[[[[[[[1, 2]]]]]]]]");
}

static void long_tensors_have_a_line_for_each_row(void **state) {
    (void)state;
    expect_text(count_up(SN_I64, SN_I(4, 8)), "[[ 0,  1,  2,  3,  4,  5,  6,  7],\n"
                                              " [ 8,  9, 10, 11, 12, 13, 14, 15],\n"
                                              " [16, 17, 18, 19, 20, 21, 22, 23],\n"
                                              " [24, 25, 26, 27, 28, 29, 30, 31]]");
    expect_text(count_up(SN_F32, SN_I(2, 3, 3)), "[[[ 0.,  1.,  2.],\n"
                                                 "  [ 3.,  4.,  5.],\n"
                                                 "  [ 6.,  7.,  8.]],\n"
                                                 "\n"
                                                 " [[ 9., 10., 11.],\n"
                                                 "  [12., 13., 14.],\n"
                                                 "  [15., 16., 17.]]]");
}

static void lines_have_at_most_80_columns(void **state) {
    (void)state;
    char text[8192];
    for (int64_t n = 15; n < 200; n++) {
        assert_true(sn_format(count_up(SN_F32, SN_I(n)), text, sizeof text) > 0);
        for (char *line = text; *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL)) {
            assert_true(strcspn(line, "\n") <= 80);
            assert_true(line == text ? line[0] == '[' : line[0] == ' ');
        }
    }
    expect_text(count_up(SN_I64, SN_I(30)),
                "[ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,\n"
                " 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]");
}

static void more_than_1000_elements_are_abbreviated(void **state) {
    (void)state;
    expect_text(count_up(SN_I64, SN_I(1001)), "[   0,    1,    2, ...,  998,  999, 1000]");
    expect_text(count_up(SN_I64, SN_I(2, 3, 1000)),
                "[[[   0,    1,    2, ...,  997,  998,  999],\n"
                "  [1000, 1001, 1002, ..., 1997, 1998, 1999],\n"
                "  [2000, 2001, 2002, ..., 2997, 2998, 2999]],\n"
                "\n"
                " [[3000, 3001, 3002, ..., 3997, 3998, 3999],\n"
                "  [4000, 4001, 4002, ..., 4997, 4998, 4999],\n"
                "  [5000, 5001, 5002, ..., 5997, 5998, 5999]]]");
    expect_text(count_up(SN_I16, SN_I(500, 6)), "[[   0,    1,    2,    3,    4,    5],\n"
                                                " [   6,    7,    8,    9,   10,   11],\n"
                                                " [  12,   13,   14,   15,   16,   17],\n"
                                                " ...,\n"
                                                " [2982, 2983, 2984, 2985, 2986, 2987],\n"
                                                " [2988, 2989, 2990, 2991, 2992, 2993],\n"
                                                " [2994, 2995, 2996, 2997, 2998, 2999]]");
    char text[16];
    assert_true(sn_format(count_up(SN_I64, SN_I(1000)), text, sizeof text) > 4000);
}

/* Only the elements that are shown decide on the digits. */
static void hidden_elements_do_not_count(void **state) {
    (void)state;
    static double values[2000];
    values[1000] = 1e30;
    expect_text(make(SN_F64, values, SN_I(2000)), "[0., 0., 0., ..., 0., 0., 0.]");
}

static void views_are_shown_by_their_strides(void **state) {
    (void)state;
    sn_tensor *x = count_up(SN_I64, SN_I(2, 3));
    TensorType type = {.dtype = SN_I64, .rank = 2, .dims = {{3}, {2}}};
    expect_text(
        tensor_real(storage_retain(x->storage), &type, (const int64_t[]){-1, -3}, 5, (Site){0}),
        "[[5, 2], [4, 1], [3, 0]]");
    expect_text(
        tensor_real(storage_retain(x->storage), &type, (const int64_t[]){0, 1}, 4, (Site){0}),
        "[[4, 5], [4, 5], [4, 5]]");
}

/* ---- contract -------------------------------------------------------------------------------- */

static void text_is_cut_at_the_buffers_end(void **state) {
    (void)state;
    sn_tensor *x = ROW(SN_I64, 1, 2, 3);
    char text[16];
    assert_int_equal(sn_format(x, NULL, 0), 9);
    for (size_t n = 1; n <= sizeof text; n++) {
        memset(text, '#', sizeof text);
        assert_int_equal(sn_format(x, text, n), 9);
        assert_int_equal(strlen(text), n - 1 < 9 ? n - 1 : 9);
        assert_memory_equal(text, "[1, 2, 3]", strlen(text));
        if (n < sizeof text) assert_int_equal(text[n], '#');
    }
}

static void errors_are_minus_1_and_an_empty_text(void **state) {
    (void)state;
    char text[8] = "old";
    assert_int_equal(sn_format(NULL, text, sizeof text), -1);
    assert_int_equal(sn_error_take(NULL), SN_ERROR_ARGUMENT);
    assert_string_equal(text, "");
    sn_tensor *x = ROW(SN_I64, 1, 2, 3);
    assert_int_equal(sn_format(x, NULL, 4), -1);
    assert_int_equal(sn_error_take(NULL), SN_ERROR_ARGUMENT);
    sn_error_raise(SN_ERROR_CANCELLED, NULL, 0, "first");
    assert_int_equal(sn_format(x, text, sizeof text), -1);
    assert_int_equal(sn_error_take(NULL), SN_ERROR_CANCELLED);
    int64_t live = mem_live_count();
    mem_fail_after(1, false);
    assert_int_equal(sn_format(x, text, sizeof text), -1);
    mem_fail_after(0, false);
    assert_int_equal(sn_error_take(NULL), SN_ERROR_MEMORY);
    assert_int_equal(mem_live_count(), live);
}

static void the_point_is_a_point_in_every_locale(void **state) {
    (void)state;
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "fr_FR"};
    bool found = false;
    for (int i = 0; i < 4 && !found; i++) found = setlocale(LC_NUMERIC, locales[i]) != NULL;
    if (!found) skip();
    sn_tensor *x = ROW(SN_F64, 1.5, 0.25), *y = ROW(SN_F64, 1.5e20);
    char text[64], scientific[64];
    sn_format(x, text, sizeof text);
    sn_format(y, scientific, sizeof scientific);
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "[1.50, 0.25]");
    assert_string_equal(scientific, "[1.5e+20]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(integers_are_aligned),
        TEST(floats_have_one_number_of_decimals),
        TEST(digits_are_those_of_the_dtype),
        TEST(wide_ranges_are_scientific),
        TEST(special_values_have_names),
        TEST(rank_0_is_its_element),
        TEST(no_elements_are_brackets),
        TEST(short_tensors_are_one_line),
        TEST(long_tensors_have_a_line_for_each_row),
        TEST(lines_have_at_most_80_columns),
        TEST(more_than_1000_elements_are_abbreviated),
        TEST(hidden_elements_do_not_count),
        TEST(views_are_shown_by_their_strides),
        TEST(text_is_cut_at_the_buffers_end),
        TEST(errors_are_minus_1_and_an_empty_text),
        TEST(the_point_is_a_point_in_every_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
