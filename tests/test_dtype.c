/* Data types: names, promotion against PyTorch's table and rules, and conversions of single values:
 * every half value, rounding once to nearest even, saturation, wrapping, NaN, ±0 and subnormals. */
#include "ir/op/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint64_t f64_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint32_t f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double f64_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* xorshift64*, so that failures repeat. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void names_and_sizes_are_those_of_the_abi(void **state) {
    (void)state;
    static const struct {
        const char *name; /* as printed */
        size_t size;      /* bytes */
    } expected[SN_DTYPE_COUNT] = {{"bool", 1}, {"u8", 1},  {"i8", 1},   {"i16", 2}, {"i32", 4},
                                  {"i64", 8},  {"f16", 2}, {"bf16", 2}, {"f32", 4}, {"f64", 8}};
    for (uint32_t d = 0; d < SN_DTYPE_COUNT; d++) {
        assert_string_equal(sn_dtype_name((sn_dtype)d), expected[d].name);
        assert_int_equal(sn_dtype_size((sn_dtype)d), expected[d].size);
        sn_dtype parsed = SN_BOOL;
        assert_true(dtype_parse(expected[d].name, strlen(expected[d].name), &parsed));
        assert_int_equal(parsed, d);
    }
    assert_string_equal(sn_dtype_name((sn_dtype)SN_DTYPE_COUNT), "?");
    assert_string_equal(sn_dtype_name((sn_dtype)-1), "?");
    assert_int_equal(sn_dtype_size((sn_dtype)SN_DTYPE_COUNT), 0);
    assert_int_equal(sn_dtype_size((sn_dtype)-1), 0);
}

static void text_that_is_no_dtype_does_not_parse(void **state) {
    (void)state;
    sn_dtype d = SN_I8;
    assert_false(dtype_parse("f3", 2, &d));
    assert_false(dtype_parse("f322", 4, &d));
    assert_false(dtype_parse("", 0, &d));
    assert_false(dtype_parse("F32", 3, &d));
    assert_int_equal(d, SN_I8);
    assert_true(dtype_parse("f32[2]", 3, &d)); /* only `length` bytes count */
    assert_int_equal(d, SN_F32);
}

static void version_matches_the_header(void **state) {
    (void)state;
    assert_int_equal(sn_version(), 100);
    assert_string_equal(sn_version_text(), "0.1.0");
}

static void promotion_is_a_commutative_idempotent_table(void **state) {
    (void)state;
    for (uint32_t a = 0; a < SN_DTYPE_COUNT; a++) {
        assert_int_equal(dtype_promote((sn_dtype)a, (sn_dtype)a), a);
        assert_int_equal(dtype_promote(SN_BOOL, (sn_dtype)a), a);
        for (uint32_t b = 0; b < SN_DTYPE_COUNT; b++) {
            sn_dtype ab = dtype_promote((sn_dtype)a, (sn_dtype)b);
            assert_int_equal(ab, dtype_promote((sn_dtype)b, (sn_dtype)a));
            assert_int_equal(dtype_promote(ab, (sn_dtype)a), ab);
            if (dtype_is_float((sn_dtype)a)) assert_true(dtype_is_float(ab));
            if (dtype_is_float((sn_dtype)a) && !dtype_is_float((sn_dtype)b))
                assert_int_equal(ab, a);
        }
    }
    assert_int_equal(dtype_promote(SN_U8, SN_I8), SN_I16);
    assert_int_equal(dtype_promote(SN_U8, SN_I16), SN_I16);
    assert_int_equal(dtype_promote(SN_I8, SN_I16), SN_I16);
    assert_int_equal(dtype_promote(SN_I64, SN_F16), SN_F16);
    assert_int_equal(dtype_promote(SN_F16, SN_BF16), SN_F32);
    assert_int_equal(dtype_promote(SN_BF16, SN_F64), SN_F64);
}

static sn_dtype result2(sn_dtype a, DtypeStrength strength_a, sn_dtype b,
                        DtypeStrength strength_b) {
    const sn_dtype dtypes[] = {a, b};
    const uint8_t strengths[] = {(uint8_t)strength_a, (uint8_t)strength_b};
    sn_dtype result = dtype_result(dtypes, strengths, 2);
    const sn_dtype swapped[] = {b, a};
    const uint8_t swapped_strengths[] = {(uint8_t)strength_b, (uint8_t)strength_a};
    assert_int_equal(dtype_result(swapped, swapped_strengths, 2), result);
    return result;
}

static void a_weaker_operand_counts_only_with_a_higher_category(void **state) {
    (void)state;
    const DtypeStrength W = STRENGTH_WEAK, Z = STRENGTH_ZERO_DIM, F = STRENGTH_FULL;
    /* weak scalars never promote within their category */
    assert_int_equal(result2(SN_F16, F, SN_F64, W), SN_F16);
    assert_int_equal(result2(SN_F16, Z, SN_F64, W), SN_F16);
    assert_int_equal(result2(SN_U8, F, SN_I64, W), SN_U8);
    assert_int_equal(result2(SN_U8, Z, SN_I32, W), SN_U8);
    assert_int_equal(result2(SN_I32, F, SN_BOOL, W), SN_I32);
    /* but bring in theirs: floats as f32, integers as i64 */
    assert_int_equal(result2(SN_I64, F, SN_F64, W), SN_F32);
    assert_int_equal(result2(SN_BOOL, F, SN_F64, W), SN_F32);
    assert_int_equal(result2(SN_BOOL, F, SN_I32, W), SN_I64);
    assert_int_equal(result2(SN_I16, Z, SN_F64, W), SN_F32);
    /* 0-d tensors likewise, with their own dtype */
    assert_int_equal(result2(SN_F16, F, SN_F64, Z), SN_F16);
    assert_int_equal(result2(SN_I8, F, SN_I64, Z), SN_I8);
    assert_int_equal(result2(SN_I64, F, SN_F16, Z), SN_F16);
    assert_int_equal(result2(SN_BOOL, F, SN_U8, Z), SN_U8);
    assert_int_equal(result2(SN_F16, F, SN_BF16, Z), SN_F16);
    /* equals promote */
    assert_int_equal(result2(SN_F16, F, SN_BF16, F), SN_F32);
    assert_int_equal(result2(SN_U8, Z, SN_I8, Z), SN_I16);
    assert_int_equal(result2(SN_F64, W, SN_I64, W), SN_F32);
    assert_int_equal(result2(SN_BOOL, W, SN_BOOL, W), SN_BOOL);
    assert_int_equal(result2(SN_BOOL, W, SN_I8, W), SN_I64);
}

static void three_strengths_combine_from_the_weakest(void **state) {
    (void)state;
    const uint8_t strengths[] = {STRENGTH_FULL, STRENGTH_ZERO_DIM, STRENGTH_WEAK};
    assert_int_equal(dtype_result((const sn_dtype[]){SN_I32, SN_F16, SN_F64}, strengths, 3),
                     SN_F16);
    assert_int_equal(dtype_result((const sn_dtype[]){SN_I32, SN_I64, SN_F64}, strengths, 3),
                     SN_F32);
    assert_int_equal(dtype_result((const sn_dtype[]){SN_BOOL, SN_U8, SN_I64}, strengths, 3), SN_U8);
    assert_int_equal(dtype_result((const sn_dtype[]){SN_BF16, SN_F64, SN_F64}, strengths, 3),
                     SN_BF16);
}

/* Value of a half pattern by its definition, without the code under test. */
static double value_of(int mantissa_bits, int exponent_bits, uint32_t bits) {
    uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    int exponent = (int)((bits >> mantissa_bits) & ((1u << exponent_bits) - 1));
    int bias = (1 << (exponent_bits - 1)) - 1;
    double sign = (bits >> (mantissa_bits + exponent_bits)) & 1 ? -1.0 : 1.0;
    if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp((double)mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp((double)(mantissa | 1u << mantissa_bits), exponent - bias - mantissa_bits);
}

static void every_half_value_survives_a_round_trip(void **state) {
    (void)state;
    static const struct {
        sn_dtype dtype;    /* the format */
        int mantissa_bits; /* of it */
        int exponent_bits; /* of it */
    } formats[] = {{SN_F16, 10, 5}, {SN_BF16, 7, 8}};
    for (int k = 0; k < 2; k++) {
        for (uint32_t bits = 0; bits < 65536; bits++) {
            sn_dtype d = formats[k].dtype;
            double expected = value_of(formats[k].mantissa_bits, formats[k].exponent_bits, bits);
            double value = dtype_bits_to_double(d, bits);
            float single =
                d == SN_F16 ? half_to_float((uint16_t)bits) : bfloat_to_float((uint16_t)bits);
            if (isnan(expected)) {
                assert_true(isnan(value) && isnan(single));
                assert_true(isnan(dtype_bits_to_double(d, dtype_bits_from_double(d, value))));
                continue;
            }
            assert_int_equal(f64_bits(value), f64_bits(expected));
            assert_int_equal(f64_bits((double)single), f64_bits(expected));
            assert_int_equal(dtype_bits_from_double(d, value), bits);
            assert_int_equal(dtype_bits_cast(d, SN_F32, f32_bits(single)), bits);
            uint16_t back = d == SN_F16 ? half_from_float(single) : bfloat_from_float(single);
            assert_int_equal(back, bits);
        }
    }
}

/* `bits` is the pattern nearest to `value` ≥ 0, the even one of two equally near. */
static void assert_nearest(int mantissa_bits, int exponent_bits, uint32_t bits, double value) {
    uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
    assert_true(bits <= infinity);
    /* above the largest the next step decides: infinity stands at that value */
    double at = bits == infinity
                    ? 2 * value_of(mantissa_bits, exponent_bits, infinity - (1u << mantissa_bits))
                    : value_of(mantissa_bits, exponent_bits, bits);
    if (bits == infinity && value >= at) return;
    double distance = fabs(value - at);
    if (bits > 0) {
        double below = value - value_of(mantissa_bits, exponent_bits, bits - 1);
        assert_true(distance < fabs(below) || (distance == fabs(below) && bits % 2 == 0));
    }
    if (bits + 1 < infinity) {
        double above = value - value_of(mantissa_bits, exponent_bits, bits + 1);
        assert_true(distance < fabs(above) || (distance == fabs(above) && bits % 2 == 0));
    }
}

static void doubles_round_once_to_the_nearest_half(void **state) {
    (void)state;
    uint64_t random = 42;
    for (int i = 0; i < 200000; i++) {
        /* near a midpoint of two f16, by a hair that f32 cannot see */
        uint32_t bits = (uint32_t)(next_random(&random) % 0x7bff);
        double middle = (value_of(10, 5, bits) + value_of(10, 5, bits + 1)) / 2;
        double hair = (double)((int)(next_random(&random) % 3) - 1);
        double value = f64_of(f64_bits(middle) + (uint64_t)(int64_t)hair);
        assert_nearest(10, 5, (uint32_t)dtype_bits_from_double(SN_F16, value), value);
        assert_int_equal(dtype_bits_from_double(SN_F16, -value),
                         dtype_bits_from_double(SN_F16, value) | 0x8000);
        bits = (uint32_t)(next_random(&random) % 0x7f7f);
        middle = (value_of(7, 8, bits) + value_of(7, 8, bits + 1)) / 2;
        value = f64_of(f64_bits(middle) + (uint64_t)(int64_t)hair);
        assert_nearest(7, 8, (uint32_t)dtype_bits_from_double(SN_BF16, value), value);
        assert_int_equal(dtype_bits_cast(SN_BF16, SN_F64, f64_bits(value)),
                         dtype_bits_from_double(SN_BF16, value));
    }
    /* through f32 these would go the other way */
    assert_int_equal(dtype_bits_from_double(SN_F16, 1.0 + 0x1p-11 + 0x1p-40), 0x3c01);
    assert_int_equal(dtype_bits_from_double(SN_BF16, 1.0 + 0x1p-8 + 0x1p-40), 0x3f81);
}

static void random_doubles_and_floats_agree_with_the_machine(void **state) {
    (void)state;
    uint64_t random = 7;
    for (int i = 0; i < 200000; i++) {
        double value = f64_of(next_random(&random));
        if (isnan(value)) continue;
        assert_int_equal(dtype_bits_from_double(SN_F32, value), f32_bits((float)value));
        int64_t integer = (int64_t)next_random(&random) >> (next_random(&random) % 64);
        assert_int_equal(dtype_bits_from_int(SN_F32, integer), f32_bits((float)integer));
        assert_int_equal(dtype_bits_from_int(SN_F64, integer), f64_bits((double)integer));
        assert_int_equal(f64_bits(dtype_bits_to_double(SN_I64, (uint64_t)integer)),
                         f64_bits((double)integer));
        float narrow = (float)ldexp((double)integer, -(int)(next_random(&random) % 160));
        assert_int_equal(f64_bits(dtype_bits_to_double(SN_F32, f32_bits(narrow))),
                         f64_bits((double)narrow));
        assert_nearest(10, 5, half_from_float(fabsf(narrow)), (double)fabsf(narrow));
        assert_nearest(7, 8, bfloat_from_float(fabsf(narrow)), (double)fabsf(narrow));
    }
}

static void halves_handle_their_limits(void **state) {
    (void)state;
    assert_int_equal(half_from_float(65504.0f), 0x7bff);
    assert_int_equal(half_from_float(65519.996f), 0x7bff);
    assert_int_equal(half_from_float(65520.0f), 0x7c00);
    assert_int_equal(half_from_float(-INFINITY), 0xfc00);
    assert_int_equal(half_from_float(-0.0f), 0x8000);
    assert_int_equal(half_from_float(0x1p-24f), 1);
    assert_int_equal(half_from_float(0x1p-25f), 0); /* tie, to even */
    assert_int_equal(half_from_float(nextafterf(0x1p-25f, 1)), 1);
    assert_int_equal(half_from_float(0x1.8p-24f), 2);        /* tie, to even */
    assert_int_equal(half_from_float(0x1.ffcp-15f), 0x0400); /* up to the least normal */
    assert_int_equal(half_from_float(0x1p-149f), 0);
    assert_true(half_from_float(NAN) > 0x7c00 && half_from_float(NAN) < 0x8000);
    assert_int_equal(bfloat_from_float(0x1p-149f), 0);
    assert_int_equal(bfloat_from_float(0x1p-133f), 1);
    assert_int_equal(bfloat_from_float(-0x1p-133f), 0x8001);
    assert_int_equal(bfloat_from_float(3.4028235e38f), 0x7f80);
    assert_int_equal(bfloat_from_float(0x1.fep127f), 0x7f7f);
    assert_int_equal(dtype_bits_from_double(SN_F64, 5e-324), 1);
    assert_int_equal(dtype_bits_from_double(SN_F32, 5e-324), 0);
    assert_int_equal(dtype_bits_from_double(SN_F32, -0x1p-149), 0x80000001u);
}

static void a_signalling_nan_becomes_quiet_never_infinite(void **state) {
    (void)state;
    assert_int_equal(dtype_bits_cast(SN_F16, SN_F32, 0x7f800001u) & 0x7e00, 0x7e00);
    assert_int_equal(dtype_bits_cast(SN_BF16, SN_F32, 0xff800001u) & 0xffc0, 0xffc0);
    assert_int_equal(dtype_bits_cast(SN_F32, SN_F64, UINT64_C(0x7ff0000000000001)) & 0x7fc00000u,
                     0x7fc00000u);
}

static void floats_saturate_on_their_way_to_integers(void **state) {
    (void)state;
    static const struct {
        sn_dtype to;      /* the target */
        double value;     /* what is cast */
        int64_t expected; /* the result */
    } cases[] = {
        {SN_U8, 255.9, 255},
        {SN_U8, 256, 255},
        {SN_U8, -0.9, 0},
        {SN_U8, -1, 0},
        {SN_U8, NAN, 0},
        {SN_U8, INFINITY, 255},
        {SN_I8, -128.9, -128},
        {SN_I8, -1e300, -128},
        {SN_I8, 127.99, 127},
        {SN_I8, -INFINITY, -128},
        {SN_I16, 32768, 32767},
        {SN_I16, -1.9999, -1},
        {SN_I32, 2147483648.0, INT32_MAX},
        {SN_I32, -2147483649.0, INT32_MIN},
        {SN_I32, 2147483647.5, INT32_MAX},
        {SN_I64, 0x1p63, INT64_MAX},
        {SN_I64, -0x1p63, INT64_MIN},
        {SN_I64, -0x1.8p63, INT64_MIN},
        {SN_I64, 0x1.fffffffffffffp62, INT64_MAX - 1023},
        {SN_I64, NAN, 0},
        {SN_I64, INFINITY, INT64_MAX},
        {SN_I64, 0.999, 0},
        {SN_I64, -0.0, 0},
        {SN_I64, 5e-324, 0},
        {SN_I64, -3.7, -3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bits = dtype_bits_cast(cases[i].to, SN_F64, f64_bits(cases[i].value));
        assert_int_equal((int64_t)bits, cases[i].expected);
        assert_int_equal(dtype_bits_from_double(cases[i].to, cases[i].value), bits);
    }
    assert_int_equal(dtype_bits_to_int(SN_F16, 0xfc00), INT64_MIN);
    assert_int_equal(dtype_bits_to_int(SN_BF16, 0x7fc0), 0);
    assert_int_equal(dtype_bits_to_int(SN_F16, 0xc500), -5);
}

static void integers_wrap_and_bool_is_not_zero(void **state) {
    (void)state;
    assert_int_equal(dtype_bits_cast(SN_U8, SN_I64, (uint64_t)-1), 255);
    assert_int_equal((int64_t)dtype_bits_cast(SN_I8, SN_U8, 200), -56);
    assert_int_equal((int64_t)dtype_bits_cast(SN_I16, SN_I64, 0x18000), -32768);
    assert_int_equal((int64_t)dtype_bits_cast(SN_I32, SN_I64, UINT64_C(0x180000000)), INT32_MIN);
    assert_int_equal((int64_t)dtype_bits_cast(SN_I64, SN_I8, (uint64_t)-128), -128);
    assert_int_equal(dtype_bits_cast(SN_BOOL, SN_I64, UINT64_C(0x100000000)), 1);
    assert_int_equal(dtype_bits_cast(SN_BOOL, SN_I64, 0), 0);
    assert_int_equal(dtype_bits_cast(SN_BOOL, SN_F64, f64_bits(-0.0)), 0);
    assert_int_equal(dtype_bits_cast(SN_BOOL, SN_F64, f64_bits(NAN)), 1);
    assert_int_equal(dtype_bits_cast(SN_BOOL, SN_F32, 1), 1); /* the least subnormal */
    assert_int_equal(dtype_bits_cast(SN_BOOL, SN_F16, 0xfc00), 1);
    assert_int_equal(dtype_bits_cast(SN_F16, SN_BOOL, 1), 0x3c00);
}

static void integers_round_once_to_halves(void **state) {
    (void)state;
    assert_int_equal(dtype_bits_from_int(SN_BF16, 0x1010001), 0x4b81); /* by f32: 0x4b80 */
    assert_int_equal(dtype_bits_from_int(SN_BF16, 0x1010000), 0x4b80); /* a true tie */
    assert_int_equal(dtype_bits_from_int(SN_F16, 2049), 0x6800);
    assert_int_equal(dtype_bits_from_int(SN_F16, 2051), 0x6802);
    assert_int_equal(dtype_bits_from_int(SN_F16, 65519), 0x7bff);
    assert_int_equal(dtype_bits_from_int(SN_F16, -65520), 0xfc00);
    assert_int_equal(dtype_bits_from_int(SN_F64, INT64_MIN), f64_bits(-0x1p63));
    assert_int_equal(dtype_bits_from_int(SN_F32, INT64_MAX), f32_bits(0x1p63f));
}

static void elements_load_sign_extended_and_store_what_was_loaded(void **state) {
    (void)state;
    for (uint32_t d = 0; d < SN_DTYPE_COUNT; d++) {
        unsigned char memory[16], copy[16];
        size_t size = sn_dtype_size((sn_dtype)d);
        memset(memory, d == SN_BOOL ? 1 : 0xc5, sizeof memory);
        memset(copy, 0x11, sizeof copy);
        uint64_t bits = dtype_load((sn_dtype)d, memory + 1); /* unaligned on purpose */
        dtype_store((sn_dtype)d, copy + 1, bits);
        assert_memory_equal(copy + 1, memory + 1, size);
        assert_int_equal(copy[0], 0x11);
        assert_int_equal(copy[1 + size], 0x11);
        if (dtype_is_int((sn_dtype)d) && dtype_is_signed((sn_dtype)d))
            assert_true((int64_t)bits < 0);
        if (!dtype_is_int((sn_dtype)d) && size < 8) assert_true(bits >> (8 * size) == 0);
    }
    assert_int_equal(dtype_load(SN_U8, &(unsigned char){200}), 200);
    assert_int_equal((int64_t)dtype_load(SN_I8, &(unsigned char){200}), -56);
    assert_int_equal(dtype_load(SN_BOOL, &(unsigned char){7}), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_sizes_are_those_of_the_abi),
        cmocka_unit_test(text_that_is_no_dtype_does_not_parse),
        cmocka_unit_test(version_matches_the_header),
        cmocka_unit_test(promotion_is_a_commutative_idempotent_table),
        cmocka_unit_test(a_weaker_operand_counts_only_with_a_higher_category),
        cmocka_unit_test(three_strengths_combine_from_the_weakest),
        cmocka_unit_test(every_half_value_survives_a_round_trip),
        cmocka_unit_test(doubles_round_once_to_the_nearest_half),
        cmocka_unit_test(random_doubles_and_floats_agree_with_the_machine),
        cmocka_unit_test(halves_handle_their_limits),
        cmocka_unit_test(a_signalling_nan_becomes_quiet_never_infinite),
        cmocka_unit_test(floats_saturate_on_their_way_to_integers),
        cmocka_unit_test(integers_wrap_and_bool_is_not_zero),
        cmocka_unit_test(integers_round_once_to_halves),
        cmocka_unit_test(elements_load_sign_extended_and_store_what_was_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
