/* Scalars (sn_c, sn_ci) as operands: what they are beside tensors of each dtype, in eager and compiled
 * alike. */
#include "api_case.h"

#include <math.h>

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

/* The function's result for x and y, which a compiled call gives, too. */
static sn_tensor *both_ways(Binary *function, sn_tensor *x, sn_tensor *y) {
    sn_compiled *c =
        sn_compile_at((sn_function)function, "function", "tt:t", NULL, __FILE__, __LINE__);
    sn_tensor *eager = function(x, y);
    for (int i = 0; i < 3; i++) EXPECT_SAME(((Binary *)sn_compiled_fn(c))(x, y), eager);
    sn_compiled_release(c);
    return eager;
}

/* ---- conditions ------------------------------------------------------------------------------ */

static sn_tensor *where_tenth(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_c(0.1), x, y);
}
static sn_tensor *where_256(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_ci(256), x, y);
}
static sn_tensor *where_tiny(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_c(1e-300), x, y);
}
static sn_tensor *where_zero(sn_tensor *x, sn_tensor *y) {
    return sn_where(sn_c(-0.0), y, x);
}

/* In the dtype of x and y 0.1 may be 0, as may 256 and 1e-300. */
static void a_condition_is_true_in_its_own_dtype(void **state) {
    (void)state;
    Binary *functions[] = {where_tenth, where_256, where_tiny, where_zero};
    for (int dtype = 0; dtype < SN_DTYPE_COUNT; dtype++) {
        sn_tensor *x = tensor_of((sn_dtype)dtype, SN_I(3), V(1, 1, 0));
        sn_tensor *y = tensor_of((sn_dtype)dtype, SN_I(3), V(0, 1, 1));
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            EXPECT_VALUES(both_ways(functions[i], x, y), 1, 1, 0);
    }
}

/* ---- a scalar that the tensor's dtype does not hold -------------------------------------------- */

/* An op of a tensor and a scalar, which is an integer beside integers. */
typedef struct ScalarCase {
    Binary *op;
    sn_dtype dtype;
    double x[3];
    double scalar;
    double result[3];
    bool reversed; /* the scalar comes first */
} ScalarCase;

static const ScalarCase *the_case;

static sn_tensor *apply(sn_tensor *x, sn_tensor *scalar) {
    return the_case->reversed ? the_case->op(scalar, x) : the_case->op(x, scalar);
}
static sn_tensor *apply_integer(sn_tensor *x, int64_t scalar) {
    return apply(x, sn_ci(scalar));
}
static sn_tensor *apply_real(sn_tensor *x, double scalar) {
    return apply(x, sn_c(scalar));
}
static sn_tensor *apply_constant(sn_tensor *x) {
    bool integral = the_case->dtype <= SN_I64;
    return integral ? apply_integer(x, (int64_t)the_case->scalar) : apply_real(x, the_case->scalar);
}

/* Compiled for any scalar: it was another one when the function was recorded. */
static void expect_any_scalar(sn_tensor *x, sn_tensor *eager) {
    bool integral = the_case->dtype <= SN_I64;
    sn_compiled *c =
        integral ? sn_compile(apply_integer, "tl~:t", NULL) : sn_compile(apply_real, "td~:t", NULL);
    for (int64_t i = 2; i < 6; i++) {
        if (integral)
            EXPECT_SAME(SN_FN(c, apply_integer)(x, i), apply_integer(x, i));
        else
            EXPECT_SAME(SN_FN(c, apply_real)(x, (double)i), apply_real(x, (double)i));
    }
    EXPECT_SAME(integral ? SN_FN(c, apply_integer)(x, (int64_t)the_case->scalar)
                         : SN_FN(c, apply_real)(x, the_case->scalar),
                eager);
    sn_compiled_release(c);
}

/* The case for x of one axis and of none, eager and compiled. */
static void expect_case(const ScalarCase *scalar_case) {
    the_case = scalar_case;
    for (int32_t rank = 0; rank < 2; rank++) {
        sn_tensor *x = tensor_of(the_case->dtype, (int64_t[]){3}, rank, the_case->x);
        sn_tensor *eager = apply_constant(x);
        expect_values_at(eager, the_case->result, rank ? 3 : 1, __FILE__, __LINE__);
        sn_compiled *c = sn_compile(apply_constant, "t:t", NULL);
        EXPECT_SAME(SN_FN(c, apply_constant)(x), eager);
        sn_compiled_release(c);
        expect_any_scalar(x, eager);
    }
}

#define EXPECT_CASES(...)                                                                          \
    do {                                                                                           \
        static const ScalarCase cases[] = {__VA_ARGS__};                                           \
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_case(&cases[i]);          \
    } while (0)

static sn_tensor *clamp_low(sn_tensor *x, sn_tensor *low) {
    return sn_clamp(x, low, SN_NONE);
}
static sn_tensor *clamp_high(sn_tensor *x, sn_tensor *high) {
    return sn_clamp(x, SN_NONE, high);
}

/* Sums, products and bits are those of exact integers, reduced. As in PyTorch 2.15. */
static void arithmetic_of_integers_wraps_the_scalar(void **state) {
    (void)state;
    EXPECT_CASES({sn_add, SN_I8, {-100, 3, 100}, 300, {-56, 47, -112}, false},
                 {sn_sub, SN_I8, {-100, 3, 100}, -1000, {-124, -21, 76}, false},
                 {sn_sub, SN_U8, {0, 3, 200}, -1000, {24, 21, 80}, true},
                 {sn_mul, SN_I8, {-100, 3, 100}, 300, {-48, -124, 48}, false},
                 {sn_add, SN_I32, {1, -1, 0}, 4294967297, {2, 0, 1}, false},
                 {sn_bitwise_and, SN_U8, {0, 3, 200}, 300, {0, 0, 8}, false},
                 {sn_bitwise_or, SN_U8, {0, 3, 200}, 300, {44, 47, 236}, false});
}

/* What is chosen by order is the nearest value of the dtype. */
static void a_bound_beyond_the_dtype_bounds_nothing(void **state) {
    (void)state;
    EXPECT_CASES({clamp_low, SN_I8, {-100, 3, 100}, -1000, {-100, 3, 100}, false},
                 {clamp_high, SN_I8, {-100, 3, 100}, 1000, {-100, 3, 100}, false},
                 {clamp_low, SN_I8, {-100, 3, 100}, 300, {127, 127, 127}, false},
                 {clamp_high, SN_U8, {0, 3, 200}, -1, {0, 0, 0}, false},
                 {sn_minimum, SN_U8, {0, 3, 200}, 1000, {0, 3, 200}, false},
                 {sn_maximum, SN_I16, {0, 3, -32768}, -9e15, {0, 3, -32768}, true},
                 {sn_minimum, SN_I32, {0, 3, INT32_MAX}, 4294967296, {0, 3, INT32_MAX}, false});
}

/* As in NumPy 2; PyTorch wraps 300 to 44. */
static void integers_are_compared_exactly(void **state) {
    (void)state;
    EXPECT_CASES({sn_lt, SN_I8, {-100, 3, 100}, 300, {1, 1, 1}, false},
                 {sn_lt, SN_I8, {-100, 3, 100}, 300, {0, 0, 0}, true},
                 {sn_eq, SN_U8, {44, 3, 200}, 300, {0, 0, 0}, false},
                 {sn_ne, SN_U8, {255, 3, 200}, -1, {1, 1, 1}, false},
                 {sn_ge, SN_U8, {255, 0, 200}, -1, {1, 1, 1}, false},
                 {sn_gt, SN_I32, {1, 0, INT32_MAX}, 4294967296, {0, 0, 0}, false},
                 {sn_le, SN_I64, {1, 0, -1}, 9e15, {1, 1, 1}, false});
}

/* As if all were i64, and the result reduced. */
static void integers_are_divided_exactly(void **state) {
    (void)state;
    EXPECT_CASES({sn_floor_divide, SN_I8, {-100, 3, 100}, 300, {-1, 0, 0}, false},
                 {sn_floor_divide, SN_I8, {-100, 3, 100}, 300, {-3, 100, 3}, true},
                 {sn_fmod, SN_U8, {0, 3, 200}, 300, {0, 3, 200}, false},
                 {sn_remainder, SN_U8, {7, 3, 200}, 300, {6, 0, 100}, true},
                 {sn_shift_left, SN_I8, {1, 3, 100}, 256, {0, 0, 0}, false},
                 {sn_shift_right, SN_I8, {-1, 3, -100}, 4294967296, {-1, 0, -1}, false},
                 {sn_pow, SN_U8, {3, 1, 0}, -1, {0, 1, 0}, false},
                 {sn_pow, SN_I8, {3, 1, -1}, 257, {3, 1, -1}, false},
                 {sn_logical_and, SN_U8, {3, 1, 0}, 256, {1, 1, 0}, false});
}

/* Beside a half type the scalar counts in f32, and the result is rounded once: f16 has neither 1e5 nor
 * 0.0004884, bf16 no 1.01. PyTorch 2.15 does so in mul and div by a scalar, and rounds it in others. */
static void a_scalar_takes_part_in_the_precision_of_half_arithmetic(void **state) {
    (void)state;
    EXPECT_CASES({sn_mul, SN_F16, {0.5, -0.25, 0}, 1e5, {49984, -24992, 0}, false},
                 {sn_div, SN_F16, {3, 30, 10}, 1e5, {33344, 3334, 10000}, true},
                 {sn_div, SN_F16, {3, 1, 0}, 1e5, {0x1.f7p-16, 0x1.5p-17, 0}, false},
                 {sn_add, SN_F16, {1, 0, 2}, 0.0004884, {1.0009765625, 0x1p-11, 2}, false},
                 {sn_sub, SN_F16, {65504, 60000, 0}, 1e5, {-34496, -40000, -INFINITY}, false},
                 {sn_mul, SN_BF16, {100, 128, 0}, 1.01, {101, 129, 0}, false},
                 {sn_maximum, SN_F16, {1, 0, 2}, 1e5, {INFINITY, INFINITY, INFINITY}, false},
                 {clamp_high, SN_F16, {1, 0, INFINITY}, 1e5, {1, 0, INFINITY}, false},
                 {sn_logical_or, SN_F16, {1, 0, 2}, 1e-10, {1, 1, 1}, false});
}

/* 0.1 is no f16: what was set to it equals it. As in PyTorch and NumPy. */
static void comparisons_round_the_scalar(void **state) {
    (void)state;
    EXPECT_CASES({sn_eq, SN_F16, {0.1, 0.2, 1}, 0.1, {1, 0, 0}, false},
                 {sn_lt, SN_BF16, {0.1, 0.05, 1}, 0.1, {0, 1, 0}, false},
                 {sn_ge, SN_BF16, {0.1, 0.05, 1}, 0.1, {1, 1, 0}, true});
}

static void operands_without_axes_count_as_scalars(void **state) {
    (void)state;
    sn_tensor *half = tensor_of(SN_F16, SN_I(2), V(0.5, 2)),
              *byte = tensor_of(SN_U8, SN_I(2), V(255, 7));
    sn_tensor *large = tensor_of(SN_F32, SN_I0, V(1e5)), *wide = tensor_of(SN_I32, SN_I0, V(300));
    EXPECT_VALUES(both_ways(sn_mul, half, large), 49984, INFINITY);
    EXPECT_VALUES(both_ways(sn_mul, half, tensor_of(SN_I64, SN_I0, V(100000))), 49984, INFINITY);
    EXPECT_VALUES(both_ways(sn_minimum, byte, wide), 255, 7);
    EXPECT_VALUES(both_ways(sn_maximum, byte, wide), 255, 255);
    EXPECT_VALUES(both_ways(sn_lt, byte, wide), 1, 1);
    EXPECT_VALUES(both_ways(sn_add, byte, wide), 43, 51);
    /* A tensor with axes is converted before: 100,000 is no f16. */
    EXPECT_VALUES(both_ways(sn_mul, half, tensor_of(SN_I32, SN_I(2), V(100000, 3))), INFINITY, 6);
}

static void updates_in_place_take_scalars_alike(void **state) {
    (void)state;
    sn_tensor *half = tensor_of(SN_F16, SN_I(2), V(0.5, 2)),
              *byte = tensor_of(SN_U8, SN_I0, V(200));
    sn_addcmul_(half, sn_c(1e5), half, 0.5);
    EXPECT_VALUES(half, 25008, INFINITY);
    sn_maximum_(byte, sn_ci(300));
    EXPECT_VALUES(byte, 255);
    sn_floor_divide_(byte, sn_ci(-256));
    EXPECT_VALUES(byte, 255);
    sn_add_(byte, sn_ci(257));
    EXPECT_VALUES(byte, 0);
}

/* ---- results --------------------------------------------------------------------------------- */

static sn_tensor *handed_through(sn_tensor *x, sn_tensor *scalar) {
    (void)x;
    return scalar;
}

/* A scalar that is returned becomes a tensor of no axes, and loses nothing. */
static void a_scalar_that_is_returned_keeps_its_value(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(handed_through, "tt:t", NULL);
    Binary *fast = SN_FN(c, handed_through);
    sn_tensor *x = tensor_of(SN_F64, SN_I(2), V(0, 1));
    for (int i = 0; i < 3; i++) {
        EXPECT_SHAPE(fast(x, sn_c(0.1)), SN_F64, SN_I0);
        EXPECT_VALUES(fast(x, sn_c(0.1)), 0.1);
        EXPECT_VALUES(fast(x, sn_c(1e300)), 1e300);
        EXPECT_VALUES(sn_add(x, fast(x, sn_c(0.1))), 0.1, 1.1);
        EXPECT_VALUES(fast(x, sn_ci(INT64_C(1) << 40)), 0x1p40);
        EXPECT_SHAPE(fast(x, sn_ci(1)), SN_I64, SN_I0);
    }
    EXPECT_VALUES(sn_cast(sn_c(0.1), SN_F64), 0.1);
    sn_compiled_release(c);
}

/* ---- indices --------------------------------------------------------------------------------- */

static sn_tensor *row_two(sn_tensor *x, sn_tensor *y) {
    (void)y;
    return sn_embedding(x, sn_ci(2));
}
/* An index is an integer, whatever the dtype of what it is an index into. */
static void a_scalar_is_an_index(void **state) {
    (void)state;
    sn_tensor *table = tensor_of(SN_F16, SN_I(3, 2), V(1, 2, 3, 4, 5, 6));
    EXPECT_VALUES(both_ways(row_two, table, table), 5, 6);
    assert_null(sn_embedding(table, sn_ci(3)));
    EXPECT_ERROR(SN_ERROR_INDEX, "embedding", "is 3, out of range");
    assert_null(sn_embedding(table, sn_c(1)));
    EXPECT_ERROR(SN_ERROR_DTYPE, "index must be i32 or i64, not f64");
}

static void numbers_of_ops_saturate_where_they_are_stored(void **state) {
    (void)state;
    sn_tensor *byte = sn_full(SN_I(2), 300, SN_U8);
    EXPECT_VALUES(byte, 255, 255);
    EXPECT_VALUES(sn_full(SN_I(1), -1e30, SN_I32), INT32_MIN);
    EXPECT_VALUES(sn_pad(byte, SN_I(1, 0), -300), 0, 255, 255);
    EXPECT_VALUES(sn_hardtanh(byte, -1000, 1000), 255, 255);
    EXPECT_VALUES(sn_addcmul(byte, byte, byte, 300), 43, 43);
    EXPECT_VALUES(sn_arange(299, 301, 1, SN_U8), 43, 44);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_condition_is_true_in_its_own_dtype),
        API_TEST(arithmetic_of_integers_wraps_the_scalar),
        API_TEST(a_bound_beyond_the_dtype_bounds_nothing),
        API_TEST(integers_are_compared_exactly),
        API_TEST(integers_are_divided_exactly),
        API_TEST(a_scalar_takes_part_in_the_precision_of_half_arithmetic),
        API_TEST(comparisons_round_the_scalar),
        API_TEST(operands_without_axes_count_as_scalars),
        API_TEST(updates_in_place_take_scalars_alike),
        API_TEST(a_scalar_that_is_returned_keeps_its_value),
        API_TEST(a_scalar_is_an_index),
        API_TEST(numbers_of_ops_saturate_where_they_are_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
