/* The oracle has a reference for every op that a program can call, so that a new one cannot pass the
 * fuzzer unjudged. Random draws have none: their values are compared with eager's. */
#include "ir/infer/infer.h"
#include "tests/oracle_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16, SN_I64, SN_U8, SN_BOOL};

/* Attributes that every pointwise op takes. */
static void some_attributes(OpCode op, sn_dtype dtype, AttrList *attrs) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    attrs->count = 0;
    for (int32_t i = 0; i < count; i++) {
        if (params[i].kind == 'd') attr_add_double(attrs, 1);
        if (params[i].kind == 'y') attr_add_int(attrs, (int64_t)dtype);
        if (strchr("leb", params[i].kind)) attr_add_int(attrs, 0);
    }
}

/* True when the op refuses the dtype, or the oracle knows it: of operands with two elements each. */
static bool knows_pointwise(OpCode op, sn_dtype dtype) {
    OracleTensor in[OP_MOST_PARAMS], out = {.rank = -1};
    TensorType types[OP_MOST_PARAMS], type;
    AttrList attrs;
    int64_t two = 2, zero = 0;
    int32_t n = op_operands(op)->count;
    uint64_t element = 1;
    some_attributes(op, dtype, &attrs);
    for (int32_t i = 0; i < n; i++)
        types[i] = (TensorType){.dtype = (uint8_t)dtype, .rank = 1, .dims = {{two}}};
    if (op_infer(NULL, op, types, n, &attrs, &type, NULL) != SN_OK) return true;
    for (int32_t i = 0; i < n; i++)
        assert_true(oracle_load(&in[i], dtype, 1, &two, &zero, &element));
    out = (OracleTensor){.dtype = (sn_dtype)type.dtype, .rank = 1, .dims = {two}};
    assert_true(oracle_alloc(&out));
    bool known = oracle_apply(op, in, n, 0, &attrs, &out) != ORACLE_UNKNOWN;
    for (int32_t i = 0; i < n; i++) oracle_free(&in[i]);
    oracle_free(&out);
    return known;
}

static void every_op_has_a_reference(void **state) {
    (void)state;
    for (OpCode op = 0; op < OP_COUNT; op++)
        if (op_has(op, F_PUBLIC) && !op_is(op, CLASS_RANDOM) && !oracle_rule(op))
            fail_msg("%s has no rule in tests/oracle_*.c", op_info[op].name);
}

static void every_pointwise_op_has_a_reference_for_each_dtype(void **state) {
    (void)state;
    for (OpCode op = 0; op < OP_COUNT; op++) {
        if (!op_has(op, F_PUBLIC) || !op_is(op, CLASS_POINTWISE)) continue;
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
            if (!knows_pointwise(op, dtypes[i]))
                fail_msg("%s of %s has no formula in tests/oracle_pointwise.c", op_info[op].name,
                         sn_dtype_name(dtypes[i]));
    }
}

/* A bound of a clamp, a 0-d operand of maximum: the nearest value of the dtype, not by way of a double. */
static void integers_beside_each_other_are_exact(void **state) {
    (void)state;
    int64_t values[2] = {(INT64_C(1) << 53) + 1, 3};
    OracleTensor in[2], out = {.dtype = SN_I64, .rank = 0};
    for (int32_t i = 0; i < 2; i++)
        assert_true(oracle_load(&in[i], SN_I64, 0, NULL, NULL, &values[i]));
    assert_true(oracle_alloc(&out));
    assert_int_equal(oracle_apply(OP_MAXIMUM, in, 2, 0, &(AttrList){0}, &out), ORACLE_OK);
    assert_int_equal(out.integer[0], values[0]);
    for (int32_t i = 0; i < 2; i++) oracle_free(&in[i]);
    oracle_free(&out);
}

static void what_has_no_reference_is_not_judged(void **state) {
    (void)state;
    OracleTensor out = {.dtype = SN_F32, .rank = 0};
    assert_true(oracle_alloc(&out));
    assert_int_equal(oracle_apply(OP_RAND, NULL, 0, 0, &(AttrList){0}, &out), ORACLE_UNKNOWN);
    oracle_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_reference),
        cmocka_unit_test(every_pointwise_op_has_a_reference_for_each_dtype),
        cmocka_unit_test(integers_beside_each_other_are_exact),
        cmocka_unit_test(what_has_no_reference_is_not_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
