/* The scalar evaluator: every primitive on ordinary and extreme values of its dtypes. */
#include "ir/kernel/form.h"
#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint64_t f32(double value) {
    return dtype_bits_from_double(SN_F32, value);
}
static uint64_t f64(double value) {
    return dtype_bits_from_double(SN_F64, value);
}
static uint64_t integer(int64_t value) {
    return (uint64_t)value;
}

static uint64_t eval(OpCode op, sn_dtype dtype, uint64_t x, uint64_t y, uint64_t z) {
    return scalar_eval(op, dtype, dtype, (uint64_t[3]){x, y, z});
}

static bool compare(OpCode op, sn_dtype dtype, uint64_t x, uint64_t y) {
    uint64_t bits = scalar_eval(op, SN_BOOL, dtype, (uint64_t[3]){x, y, 0});
    assert_true(bits <= 1);
    return bits;
}

/* Checks one op on both float dtypes; a NaN result is any NaN. */
static void check_float(OpCode op, double x, double y, double result) {
    for (sn_dtype d = SN_F32; d <= SN_F64; d++) {
        uint64_t bits = eval(op, d, dtype_bits_from_double(d, x), dtype_bits_from_double(d, y), 0);
        double value = dtype_bits_to_double(d, bits);
        if (isnan(result) ? isnan(value) : bits == dtype_bits_from_double(d, result)) continue;
        fail_msg("%s(%a, %a) in %s is %a, not %a", op_info[op].name, x, y, sn_dtype_name(d), value,
                 result);
    }
}

static void check_int(OpCode op, sn_dtype dtype, int64_t x, int64_t y, int64_t result) {
    int64_t value = (int64_t)eval(op, dtype, integer(x), integer(y), 0);
    if (value != result)
        fail_msg("%s(%lld, %lld) in %s is %lld, not %lld", op_info[op].name, (long long)x,
                 (long long)y, sn_dtype_name(dtype), (long long)value, (long long)result);
}

static void float_arithmetic_is_rounded_in_its_own_type(void **state) {
    (void)state;
    assert_int_equal(eval(OP_ADD, SN_F32, f32(16777216), f32(1), 0), f32(16777216));
    assert_int_equal(eval(OP_ADD, SN_F64, f64(16777216), f64(1), 0), f64(16777217));
    assert_int_equal(eval(OP_DIV, SN_F32, f32(1), f32(3), 0), 0x3eaaaaab);
    assert_int_equal(eval(OP_SQRT, SN_F32, f32(2), 0, 0), 0x3fb504f3);
    assert_int_equal(eval(OP_SQRT, SN_F64, f64(2), 0, 0), 0x3ff6a09e667f3bcd);
    assert_int_equal(eval(OP_MUL, SN_F32, 1, f32(0.5), 0), 0); /* subnormal, ties to even */
    assert_int_equal(eval(OP_MUL, SN_F32, 3, f32(0.5), 0), 2);
    assert_int_equal(eval(OP_ADD, SN_F32, 1, 1, 0), 2); /* subnormals are not flushed */
    check_float(OP_ADD, -0.0, -0.0, -0.0);
    check_float(OP_SUB, 1.0, 1.0, 0.0);
    check_float(OP_SUB, INFINITY, INFINITY, NAN);
    check_float(OP_MUL, 0.0, INFINITY, NAN);
    check_float(OP_DIV, -1.0, 0.0, -INFINITY);
    check_float(OP_DIV, 0.0, 0.0, NAN);
    check_float(OP_SQRT, -0.0, 0, -0.0);
    check_float(OP_SQRT, -1.0, 0, NAN);
}

/* Flushing of subnormals, another rounding, traps: a program's, not ours. */
static void the_programs_mode_changes_no_value(void **state) {
    (void)state;
    enum { FLUSH = 0x8040, ROUND_UP = 0x4000, MASKS = 0x1f80 };
    uint32_t before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr((before & ~(uint32_t)MASKS) | FLUSH | ROUND_UP);
    uint64_t sum = eval(OP_ADD, SN_F32, 1, 1, 0), third = eval(OP_DIV, SN_F32, f32(1), f32(3), 0);
    uint64_t nearest = eval(OP_ROUND, SN_F64, f64(0.25), 0, 0);
    uint64_t infinite = eval(OP_DIV, SN_F64, f64(1), 0, 0);
    bool less = compare(OP_LT, SN_F64, 0, 1);
    uint32_t after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before);
    assert_int_equal(sum, 2);
    assert_int_equal(third, 0x3eaaaaab);
    assert_int_equal(nearest, 0);
    assert_int_equal(infinite, f64(INFINITY));
    assert_true(less);
    assert_int_equal(after & ~0x3fu, FLUSH | ROUND_UP);
}

static void fma_rounds_once(void **state) {
    (void)state;
    uint64_t x = f32(1 + 0x1p-12);
    assert_int_equal(eval(OP_FMA, SN_F32, x, x, f32(-1 - 0x1p-11)), f32(0x1p-24));
    uint64_t product = eval(OP_MUL, SN_F32, x, x, 0);
    assert_int_equal(eval(OP_SUB, SN_F32, product, f32(1 + 0x1p-11), 0), f32(0));
    uint64_t y = f64(1 + 0x1p-27);
    assert_int_equal(eval(OP_FMA, SN_F64, y, y, f64(-1 - 0x1p-26)), f64(0x1p-54));
}

static void signs_of_floats_are_bits(void **state) {
    (void)state;
    assert_int_equal(eval(OP_NEG, SN_F32, 0x7fc00001, 0, 0), 0xffc00001);
    assert_int_equal(eval(OP_ABS, SN_F32, 0xff800001, 0, 0), 0x7f800001);
    assert_int_equal(eval(OP_NEG, SN_F64, 0, 0, 0), 0x8000000000000000);
    assert_int_equal(eval(OP_ABS, SN_F64, 0x8000000000000001, 0, 0), 1);
    check_float(OP_COPYSIGN, 2.0, -0.0, -2.0);
    check_float(OP_COPYSIGN, -INFINITY, 1.0, INFINITY);
    assert_int_equal(eval(OP_COPYSIGN, SN_F32, f32(1), 0xffc00000, 0), f32(-1));
}

static void extremes_take_nan_and_order_zeros(void **state) {
    (void)state;
    check_float(OP_MAXIMUM, -0.0, 0.0, 0.0);
    check_float(OP_MAXIMUM, 0.0, -0.0, 0.0);
    check_float(OP_MINIMUM, -0.0, 0.0, -0.0);
    check_float(OP_MINIMUM, 0.0, -0.0, -0.0);
    check_float(OP_MAXIMUM, -0.0, -0.0, -0.0);
    check_float(OP_MAXIMUM, 1.0, 2.0, 2.0);
    check_float(OP_MINIMUM, 1.0, -INFINITY, -INFINITY);
    check_float(OP_MAXIMUM, NAN, INFINITY, NAN);
    check_float(OP_MINIMUM, -INFINITY, NAN, NAN);
    check_int(OP_MAXIMUM, SN_I8, -128, 127, 127);
    check_int(OP_MINIMUM, SN_U8, 255, 1, 1);
    check_int(OP_MINIMUM, SN_I64, INT64_MIN, INT64_MAX, INT64_MIN);
    check_int(OP_MAXIMUM, SN_BOOL, 0, 1, 1);
    check_int(OP_MINIMUM, SN_BOOL, 0, 1, 0);
}

static void roundings(void **state) {
    (void)state;
    static const struct {
        double x, floor, ceil, trunc, round;
    } rows[] = {
        {0.5, 0, 1, 0, 0},
        {-0.5, -1, -0.0, -0.0, -0.0},
        {1.5, 1, 2, 1, 2},
        {2.5, 2, 3, 2, 2},
        {-2.5, -3, -2, -2, -2},
        {-0.0, -0.0, -0.0, -0.0, -0.0},
        {0x1p30, 0x1p30, 0x1p30, 0x1p30, 0x1p30},
        {INFINITY, INFINITY, INFINITY, INFINITY, INFINITY},
        {NAN, NAN, NAN, NAN, NAN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_float(OP_FLOOR, rows[i].x, 0, rows[i].floor);
        check_float(OP_CEIL, rows[i].x, 0, rows[i].ceil);
        check_float(OP_TRUNC, rows[i].x, 0, rows[i].trunc);
        check_float(OP_ROUND, rows[i].x, 0, rows[i].round);
    }
}

static void float_remainder_is_exact(void **state) {
    (void)state;
    check_float(OP_FMOD, 5.5, 2.0, 1.5);
    check_float(OP_FMOD, -5.5, 2.0, -1.5);
    check_float(OP_FMOD, -4.0, 2.0, -0.0);
    check_float(OP_FMOD, 0x1p100, 3.0, 1.0);
    check_float(OP_FMOD, 1.0, 0.0, NAN);
    check_float(OP_FMOD, INFINITY, 2.0, NAN);
    check_float(OP_FMOD, 1.0, INFINITY, 1.0);
}

static void integers_wrap_at_their_width(void **state) {
    (void)state;
    check_int(OP_ADD, SN_I8, 127, 1, -128);
    check_int(OP_ADD, SN_U8, 255, 1, 0);
    check_int(OP_ADD, SN_I64, INT64_MAX, 1, INT64_MIN);
    check_int(OP_SUB, SN_U8, 0, 1, 255);
    check_int(OP_SUB, SN_I32, INT32_MIN, 1, INT32_MAX);
    check_int(OP_MUL, SN_I16, 300, 300, (int16_t)90000);
    check_int(OP_MUL, SN_I64, INT64_MIN, -1, INT64_MIN);
    check_int(OP_NEG, SN_I32, INT32_MIN, 0, INT32_MIN);
    check_int(OP_NEG, SN_U8, 1, 0, 255);
    check_int(OP_ABS, SN_I8, -128, 0, -128);
    check_int(OP_ABS, SN_I64, -5, 0, 5);
    check_int(OP_ADD, SN_BOOL, 1, 1, 1);
    check_int(OP_MUL, SN_BOOL, 1, 0, 0);
}

static void integer_division_is_total(void **state) {
    (void)state;
    check_int(OP_INT_DIV, SN_I32, -7, 2, -3);
    check_int(OP_INT_DIV, SN_I32, 7, 0, 0);
    check_int(OP_INT_DIV, SN_I8, -128, -1, -128);
    check_int(OP_INT_DIV, SN_I64, INT64_MIN, -1, INT64_MIN);
    check_int(OP_INT_DIV, SN_U8, 200, 7, 28);
    check_int(OP_FMOD, SN_I32, -7, 2, -1);
    check_int(OP_FMOD, SN_I32, 7, 0, 0);
    check_int(OP_FMOD, SN_I64, INT64_MIN, -1, 0);
    check_int(OP_FMOD, SN_U8, 255, 16, 15);
}

static void bits_and_shifts(void **state) {
    (void)state;
    check_int(OP_BITWISE_AND, SN_I8, -1, 0x55, 0x55);
    check_int(OP_BITWISE_OR, SN_U8, 0xf0, 0x0f, 0xff);
    check_int(OP_BITWISE_XOR, SN_I64, -1, 1, -2);
    check_int(OP_BITWISE_XOR, SN_BOOL, 1, 1, 0);
    check_int(OP_SHIFT_LEFT, SN_I8, 1, 7, -128);
    check_int(OP_SHIFT_LEFT, SN_I8, 1, 8, 0);
    check_int(OP_SHIFT_LEFT, SN_I32, 1, -1, 0);
    check_int(OP_SHIFT_LEFT, SN_I64, 3, 63, INT64_MIN);
    check_int(OP_SHIFT_LEFT, SN_I64, 1, 64, 0);
    check_int(OP_SHIFT_RIGHT, SN_I8, -128, 3, -16);
    check_int(OP_SHIFT_RIGHT, SN_I8, -128, 100, -1);
    check_int(OP_SHIFT_RIGHT, SN_I32, 64, -1, 0);
    check_int(OP_SHIFT_RIGHT, SN_U8, 200, 2, 50);
    check_int(OP_SHIFT_RIGHT, SN_U8, 200, 8, 0);
    check_int(OP_SHIFT_RIGHT, SN_U8, 200, 7, 1);
    check_int(OP_SHIFT_RIGHT, SN_I64, INT64_MIN, 64, -1);
    check_int(OP_SHIFT_RIGHT_LOGICAL, SN_I8, -1, 1, 127);
    check_int(OP_SHIFT_RIGHT_LOGICAL, SN_I32, INT32_MIN, 31, 1);
    check_int(OP_SHIFT_RIGHT_LOGICAL, SN_I64, -1, 63, 1);
    check_int(OP_SHIFT_RIGHT_LOGICAL, SN_I64, -1, 0, -1);
}

static void comparisons_are_false_on_nan_but_for_ne(void **state) {
    (void)state;
    static const struct {
        OpCode op;
        bool less, equal, greater, unordered;
    } rows[] = {
        {OP_EQ, false, true, false, false}, {OP_NE, true, false, true, true},
        {OP_LT, true, false, false, false}, {OP_LE, true, true, false, false},
        {OP_GT, false, false, true, false}, {OP_GE, false, true, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OpCode op = rows[i].op;
        assert_int_equal(compare(op, SN_F32, f32(-INFINITY), f32(1)), rows[i].less);
        assert_int_equal(compare(op, SN_F64, f64(-0.0), f64(0.0)), rows[i].equal);
        assert_int_equal(compare(op, SN_F32, 1, 0), rows[i].greater);
        assert_int_equal(compare(op, SN_F64, f64(NAN), f64(NAN)), rows[i].unordered);
        assert_int_equal(compare(op, SN_F32, f32(1), f32(NAN)), rows[i].unordered);
        assert_int_equal(compare(op, SN_I64, integer(INT64_MAX - 1), INT64_MAX), rows[i].less);
        assert_int_equal(compare(op, SN_U8, 200, 100), rows[i].greater);
        assert_int_equal(compare(op, SN_I8, integer(-1), 1), rows[i].less);
        assert_int_equal(compare(op, SN_BOOL, 1, 1), rows[i].equal);
    }
}

static void choice_and_conversion(void **state) {
    (void)state;
    uint64_t in[3] = {1, f32(2), f32(3)};
    assert_int_equal(scalar_eval(OP_WHERE, SN_F32, SN_BOOL, in), f32(2));
    in[0] = 0;
    assert_int_equal(scalar_eval(OP_WHERE, SN_F32, SN_BOOL, in), f32(3));
    in[0] = f32(300.7);
    assert_int_equal(scalar_eval(OP_CAST, SN_U8, SN_F32, in), 255);
    assert_int_equal(scalar_eval(OP_CAST, SN_BOOL, SN_F32, in), 1);
    in[0] = f32(NAN);
    assert_int_equal(scalar_eval(OP_CAST, SN_I64, SN_F32, in), 0);
    in[0] = f32(-0.0);
    assert_int_equal(scalar_eval(OP_BITCAST, SN_I32, SN_F32, in), integer(INT32_MIN));
    in[0] = integer(-1);
    assert_int_equal(scalar_eval(OP_BITCAST, SN_F32, SN_I32, in), 0xffffffff);
    assert_int_equal(scalar_eval(OP_BITCAST, SN_U8, SN_I8, in), 255);
    assert_int_equal(scalar_eval(OP_BITCAST, SN_F16, SN_I16, in), 0xffff);
}

/* Every F_PRIM row has a form here, and results are in canonical representation. */
static void every_primitive_has_a_value(void **state) {
    (void)state;
    for (OpCode op = 0; op < OP_COUNT; op++) {
        const KOpRow *row = kop_row(op);
        assert_int_equal(op_has(op, F_PRIM), row->form == KFORM_PRIM);
        if (row->form != KFORM_PRIM || row->result == KRESULT_OWN) continue;
        for (sn_dtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++) {
            if (!(row->inputs >> d & 1)) continue;
            sn_dtype result = row->result == KRESULT_BOOL ? SN_BOOL : d;
            uint64_t one = dtype_bits_from_int(d, 1), in[3] = {one, one, one};
            uint64_t bits = scalar_eval(op, result, op == OP_WHERE ? SN_BOOL : d, in);
            assert_int_equal(bits, scalar_canonical(result, bits));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float_arithmetic_is_rounded_in_its_own_type),
        cmocka_unit_test(the_programs_mode_changes_no_value),
        cmocka_unit_test(fma_rounds_once),
        cmocka_unit_test(signs_of_floats_are_bits),
        cmocka_unit_test(extremes_take_nan_and_order_zeros),
        cmocka_unit_test(roundings),
        cmocka_unit_test(float_remainder_is_exact),
        cmocka_unit_test(integers_wrap_at_their_width),
        cmocka_unit_test(integer_division_is_total),
        cmocka_unit_test(bits_and_shifts),
        cmocka_unit_test(comparisons_are_false_on_nan_but_for_ne),
        cmocka_unit_test(choice_and_conversion),
        cmocka_unit_test(every_primitive_has_a_value),
    };
    return cmocka_run_group_tests_name("scalar_eval", tests, NULL, NULL);
}
