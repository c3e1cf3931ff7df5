/* Results own their memory: an op that leaves its operand as it is still makes a tensor of its own,
 * and equal results of a compiled function lie apart, as they do in eager. */
#include "api_case.h"

enum { ROUNDS = 3 };

typedef sn_tensor *Unary(sn_tensor *);

static sn_tensor *same_dtype(sn_tensor *x) {
    return sn_cast(x, sn_dtype_of(x));
}
static sn_tensor *sum_of_one(sn_tensor *x) {
    return sn_sum(x, SN_I0, false);
}
static sn_tensor *product_of_one(sn_tensor *x) {
    return sn_prod(x, SN_I0, false);
}
static sn_tensor *largest_of_one(sn_tensor *x) {
    return sn_max(x, SN_I0, false);
}
static sn_tensor *least_of_one(sn_tensor *x) {
    return sn_min(x, SN_I0, true);
}
static sn_tensor *running_sum_of_one(sn_tensor *x) {
    return sn_cumsum(x, 0);
}
static sn_tensor *any_of_one(sn_tensor *x) {
    return sn_any(x, SN_I0, false);
}

/* Changing the result must not reach x. */
static void check_apart(Unary *function, sn_tensor *x) {
    sn_tensor *before = sn_clone(x), *result = function(x);
    EXPECT_SAME(result, before);
    sn_fill_(result, 0);
    EXPECT_SAME(x, before);
    EXPECT_OK();
}

static void an_op_that_changes_nothing_still_makes_a_new_tensor(void **state) {
    (void)state;
    Unary *functions[] = {same_dtype,     sum_of_one,   product_of_one,
                          largest_of_one, least_of_one, running_sum_of_one};
    const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_I64};
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
            check_apart(functions[f], tensor_of(dtypes[d], SN_I0, V(7)));
            for (int i = 0; i < ROUNDS; i++)
                check_apart(fast, tensor_of(dtypes[d], SN_I0, V(i + 1)));
        }
        sn_compiled_release(c);
    }
    check_apart(any_of_one, tensor_of(SN_BOOL, SN_I0, V(1)));
    check_apart(same_dtype, tensor_of(SN_BF16, SN_I(3), V(1, 2, 3)));
}

static sn_status equal_results(sn_tensor *x, sn_tensor **a, sn_tensor **b) {
    *a = sn_add(x, sn_ci(1));
    *b = sn_add(x, sn_ci(1));
    return sn_error_status();
}

static void equal_results_lie_apart(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(equal_results, "t:tt", NULL);
    sn_status (*fast)(sn_tensor *, sn_tensor **, sn_tensor **) = SN_FN(c, equal_results);
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *a, *b;
        assert_int_equal(fast(x, &a, &b), SN_OK);
        sn_fill_(a, 9);
        EXPECT_VALUES(b, 2, 3);
    }
    sn_compiled_release(c);
}

/* The result is also what is written into the argument. */
static sn_tensor *result_and_argument(sn_tensor *x) {
    sn_tensor *y = sn_add(x, sn_ci(1));
    sn_add_(x, sn_ci(1));
    return y;
}

static sn_tensor *argument_and_result(sn_tensor *x) {
    sn_tensor *old = sn_clone(x);
    sn_add_(x, sn_ci(1));
    return sn_add(old, sn_ci(1));
}

static void a_result_and_a_written_argument_lie_apart(void **state) {
    (void)state;
    Unary *functions[] = {result_and_argument, argument_and_result};
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int i = 0; i < ROUNDS; i++) {
            sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2)), *y = fast(x);
            EXPECT_VALUES(x, 2, 3);
            EXPECT_VALUES(y, 2, 3);
            sn_fill_(x, 9);
            EXPECT_VALUES(y, 2, 3);
        }
        sn_compiled_release(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(an_op_that_changes_nothing_still_makes_a_new_tensor),
        API_TEST(equal_results_lie_apart),
        API_TEST(a_result_and_a_written_argument_lie_apart),
    };
    return cmocka_run_group_tests_name("results", tests, NULL, NULL);
}
