/* Costs of ops, as the build counted them: which kernels a program becomes depends on each of them. */
#include "passes/fuse/fuse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Ops that were there when costs were counted first. */
enum { FIRST_OPS = 162 };

/* Ops that cost more than arithmetic, by cost; OP_INPUT ends a row. */
static const struct {
    int32_t cost;   /* of each */
    OpCode ops[24]; /* which */
} dear[] = {
    {12, {OP_EXP, OP_EXP2, OP_SIGMOID, OP_LOG, OP_LOG2, OP_RSQRT, OP_SQRT, OP_DIV, OP_RECIPROCAL}},
    {24,
     {OP_TANH, OP_ERF, OP_SIN, OP_COS, OP_GELU, OP_SILU, OP_EXPM1, OP_LOG1P, OP_LOG10, OP_FMOD,
      OP_MISH, OP_REMAINDER, OP_FLOOR_DIVIDE}},
    {60,
     {OP_TAN, OP_ASIN, OP_ACOS, OP_ATAN, OP_SINH, OP_COSH, OP_ASINH, OP_ACOSH, OP_ATANH, OP_ERFC,
      OP_POW, OP_ATAN2, OP_HYPOT, OP_LOGSIGMOID, OP_XLOGY, OP_RAND, OP_RANDN}},
};

static int32_t expected_cost(OpCode op) {
    for (size_t i = 0; i < sizeof dear / sizeof *dear; i++)
        for (const OpCode *known = dear[i].ops; *known != OP_INPUT; known++)
            if (*known == op) return dear[i].cost;
    return 1;
}

static void test_each_op_costs_what_kernels_were_chosen_with(void **state) {
    (void)state;
    for (int32_t op = 0; op < FIRST_OPS; op++) {
        int32_t expected = expected_cost((OpCode)op), cost = op_cost((OpCode)op);
        if (cost != expected)
            fail_msg("%s costs %d, was %d", op_info[op].name, (int)cost, (int)expected);
    }
}

static void test_an_op_that_is_new_is_of_a_known_class(void **state) {
    (void)state;
    for (int32_t op = 0; op < OP_COUNT; op++) {
        int32_t cost = op_cost((OpCode)op);
        assert_true(cost == 1 || cost == 12 || cost == 24 || cost == 60);
        if (!op_is((OpCode)op, CLASS_POINTWISE) && !op_is((OpCode)op, CLASS_RANDOM))
            assert_int_equal(cost, 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_op_costs_what_kernels_were_chosen_with),
        cmocka_unit_test(test_an_op_that_is_new_is_of_a_known_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
