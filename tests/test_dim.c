/* Expressions of sizes (ir/op/dim.h): equal polynomials are one Dim, values and bounds are those of plain
 * arithmetic, and a decision that the hints took is met by just the bindings that decide alike. */
#include "ir/op/dim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { SYMBOLS = 4 };

static uint64_t random_state = 88172645463325252u;

static int64_t random_below(int64_t n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state % (uint64_t)n);
}

/* Symbols B, T, C, n with hints 4, 66, 768, 3, none below 0. */
static void open_table(DimTable *table, Dim *s) {
    static const char *const names[SYMBOLS] = {"B", "T", "C", NULL};
    static const int64_t hints[SYMBOLS] = {4, 66, 768, 3};
    dims_init(table);
    for (int i = 0; i < SYMBOLS; i++) s[i] = dim_symbol(table, names[i], hints[i], 0, INT64_MAX);
}

static void assert_text(const DimTable *table, Dim d, const char *text) {
    StrBuf out = {0};
    dim_print(&out, table, d);
    assert_string_equal(strbuf_text(&out), text);
    strbuf_free(&out);
}

static void test_equal_polynomials_are_one(void **state) {
    (void)state;
    DimTable t;
    Dim s[SYMBOLS];
    open_table(&t, s);
    Dim left = dim_mul(&t, dim_add(&t, s[0], s[1]), s[2]);
    Dim right = dim_add(&t, dim_mul(&t, s[2], s[1]), dim_mul(&t, s[2], s[0]));
    assert_true(dim_same(left, right));
    Dim square = dim_mul(&t, dim_sub(&t, s[0], s[1]), dim_add(&t, s[0], s[1]));
    Dim parts = dim_sub(&t, dim_mul(&t, s[0], s[0]), dim_mul(&t, s[1], s[1]));
    assert_true(dim_same(square, parts));
    assert_true(dim_is(dim_sub(&t, left, right), 0));
    assert_true(dim_same(dim_add(&t, dim_sub(&t, s[3], dim_of(1)), dim_of(1)), s[3]));
    assert_true(dim_is(dim_mul(&t, left, dim_of(0)), 0));
    assert_int_equal(t.guards.count, 0);
    assert_false(t.failed);
    dims_free(&t);
}

static void test_exact_quotients(void **state) {
    (void)state;
    DimTable t;
    Dim s[SYMBOLS];
    open_table(&t, s);
    Dim all = dim_mul(&t, dim_mul(&t, s[0], s[1]), dim_of(768));
    assert_true(dim_is(dim_quotient(&t, all, dim_mul(&t, s[1], s[0])), 768));
    assert_true(dim_same(dim_quotient(&t, all, dim_of(768)), dim_mul(&t, s[0], s[1])));
    assert_true(dim_same(dim_quotient(&t, all, dim_mul(&t, s[0], dim_of(64))),
                         dim_mul(&t, s[1], dim_of(12))));
    assert_true(dim_is(dim_remainder(&t, all, dim_of(12)), 0));
    Dim sum = dim_add(&t, s[0], s[1]);
    assert_true(
        dim_is(dim_quotient(&t, dim_mul(&t, sum, dim_of(6)), dim_mul(&t, sum, dim_of(3))), 2));
    /* (16 T + 35) / 16 = T + 2, for 35 = 2 × 16 + 3. */
    Dim shifted = dim_add(&t, dim_mul(&t, s[1], dim_of(16)), dim_of(35));
    assert_true(dim_same(dim_quotient(&t, shifted, dim_of(16)), dim_add(&t, s[1], dim_of(2))));
    assert_true(dim_is(dim_remainder(&t, shifted, dim_of(16)), 3));
    assert_int_equal(t.guards.count, 0);
    dims_free(&t);
}

static void test_text(void **state) {
    (void)state;
    DimTable t;
    Dim s[SYMBOLS];
    open_table(&t, s);
    assert_text(&t, dim_of(-7), "-7");
    assert_text(&t, s[1], "T");
    assert_text(&t, s[3], "s3");
    Dim sum = dim_add(&t, dim_mul(&t, dim_mul(&t, s[0], s[1]), dim_of(768)), dim_of(1));
    assert_text(&t, sum, "B*T*768 + 1");
    assert_text(&t, dim_sub(&t, dim_of(3), s[1]), "-T + 3");
    assert_text(&t, dim_quotient(&t, dim_add(&t, s[1], dim_of(15)), dim_of(16)), "(T + 15)/16");
    assert_text(&t, dim_remainder(&t, s[1], s[0]), "T%B");
    assert_text(&t, dim_larger(&t, dim_sub(&t, s[1], s[0]), dim_of(0)), "max(-B + T, 0)");
    dims_free(&t);
}

static void test_bounds_decide_without_guards(void **state) {
    (void)state;
    DimTable t;
    dims_init(&t);
    Dim n = dim_symbol(&t, "n", 10, 1, 100), m = dim_symbol(&t, "m", 500, 200, INT64_MAX);
    assert_true(dim_less(&t, n, m));
    assert_false(dim_less(&t, m, n));
    assert_false(dim_equal(&t, n, dim_of(0)));
    assert_false(dim_equal(&t, n, m));
    assert_false(dim_equal(&t, dim_mul(&t, n, dim_of(8)), dim_of(4)));
    assert_true(dim_same(dim_larger(&t, n, m), m));
    assert_true(dim_divides(&t, dim_of(4), dim_mul(&t, n, dim_of(8))));
    assert_true(dim_always_less(&t, n, m));
    assert_false(dim_always_less(&t, n, dim_of(50)));
    assert_true(dim_always_divides(&t, n, dim_mul(&t, n, m)));
    assert_false(dim_always_divides(&t, dim_of(2), n));
    assert_int_equal(dim_least(&t, dim_sub(&t, m, n)), 100);
    assert_int_equal(dim_most(&t, dim_sub(&t, n, m)), -100);
    assert_int_equal(dim_most(&t, dim_remainder(&t, m, dim_of(16))), 15);
    assert_int_equal(t.guards.count, 0);
    dims_free(&t);
}

/* What needs a number takes the hint, and binds all to it. */
static void test_a_fixed_size_is_a_guard(void **state) {
    (void)state;
    DimTable t;
    Dim s[SYMBOLS];
    open_table(&t, s);
    assert_int_equal(dim_fixed(&t, s[2]), 768);
    assert_int_equal(dim_fixed(&t, dim_of(5)), 5);
    assert_int_equal(t.guards.count, 1);
    int64_t symbols[SYMBOLS] = {1, 1, 768, 1}, values[16];
    assert_true(dims_evaluate(&t, symbols, values));
    assert_null(dims_failing(&t, values));
    symbols[2] = 767;
    assert_true(dims_evaluate(&t, symbols, values));
    const DimGuard *failing = dims_failing(&t, values);
    assert_non_null(failing);
    StrBuf out = {0};
    dim_print_guard(&out, &t, failing);
    assert_string_equal(strbuf_text(&out), "C - 768 == 0");
    strbuf_free(&out);
    dims_free(&t);
}

/* Questions about products, multiples and signs come down to what their factors are. */
static void test_guards_that_say_the_same_are_one(void **state) {
    (void)state;
    DimTable t;
    Dim s[SYMBOLS];
    open_table(&t, s);
    Dim product = dim_mul(&t, s[0], s[1]);
    assert_false(dim_equal(&t, product, dim_of(0)));
    assert_false(dim_equal(&t, dim_mul(&t, s[0], dim_of(512)), dim_of(0)));
    assert_false(dim_equal(&t, dim_mul(&t, product, dim_of(-2)), dim_of(0)));
    assert_false(dim_less(&t, s[1], dim_of(1)));
    assert_true(dim_less(&t, dim_of(0), s[0]));
    assert_int_equal(t.guards.count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        StrBuf text = {0};
        dim_print_guard(&text, &t, &t.guards.data[i]);
        assert_string_equal(strbuf_text(&text), i ? "T != 0" : "B != 0");
        strbuf_free(&text);
    }
    dims_free(&t);
}

/* One question decided by hints: the guard must accept just the values that give that answer. */
static void test_guards_hold_where_the_answer_does(void **state) {
    (void)state;
    for (int round = 0; round < 3000; round++) {
        DimTable t;
        dims_init(&t);
        int64_t hints[2] = {random_below(6), random_below(6)};
        Dim x = dim_symbol(&t, "x", hints[0], 0, INT64_MAX);
        Dim y = dim_symbol(&t, "y", hints[1], 0, INT64_MAX);
        int64_t k = random_below(5) - 2, question = random_below(3);
        Dim z = dim_add(&t, dim_mul(&t, y, dim_of(k)), dim_of(random_below(4)));
        bool answer = question == 0   ? dim_equal(&t, x, z)
                      : question == 1 ? dim_less(&t, x, z)
                                      : dim_divides(&t, dim_of(3), dim_add(&t, x, z));
        int64_t values[64];
        for (int64_t a = 0; a < 7; a++) {
            for (int64_t b = 0; b < 7; b++) {
                int64_t symbols[] = {a, b};
                assert_true(dims_evaluate(&t, symbols, values));
                int64_t vz = dim_value(values, z);
                bool truth = question == 0 ? a == vz : question == 1 ? a < vz : (a + vz) % 3 == 0;
                bool met = dims_failing(&t, values) == NULL;
                assert_true(met == (truth == answer));
            }
        }
        assert_false(t.failed);
        dims_free(&t);
    }
}

static int64_t floor_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

/* Random expressions, evaluated beside plain arithmetic for the hints and for other values. */
static void test_values_are_those_of_arithmetic(void **state) {
    (void)state;
    enum { STEPS = 24, TRIALS = 4 };
    for (int round = 0; round < 2000; round++) {
        DimTable t;
        Dim d[SYMBOLS + STEPS];
        int64_t plain[TRIALS][SYMBOLS + STEPS];
        open_table(&t, d);
        for (int trial = 0; trial < TRIALS; trial++)
            for (int i = 0; i < SYMBOLS; i++)
                plain[trial][i] = trial ? random_below(40) : dim_hint(&t, d[i]);
        int count = SYMBOLS;
        for (; count < SYMBOLS + STEPS; count++) {
            int a = (int)random_below(count), b = (int)random_below(count);
            int64_t by = 1 + random_below(9), op = random_below(7);
            bool large = false;
            for (int trial = 0; trial < TRIALS; trial++) {
                int64_t x = plain[trial][a], y = plain[trial][b], *r = &plain[trial][count];
                large |= x > 1000000 || x < -1000000 || y > 1000000 || y < -1000000;
                *r = op == 0   ? x + y
                     : op == 1 ? x - y
                     : op == 2 ? (large ? 0 : x * y)
                     : op == 3 ? floor_div(x, by)
                     : op == 4 ? x - by * floor_div(x, by)
                     : op == 5 ? (x > y ? x : y)
                               : (large ? 0 : x * by);
            }
            if (large) break;
            Dim u = d[a], v = d[b], w = dim_of(by);
            d[count] = op == 0   ? dim_add(&t, u, v)
                       : op == 1 ? dim_sub(&t, u, v)
                       : op == 2 ? dim_mul(&t, u, v)
                       : op == 3 ? dim_quotient(&t, u, w)
                       : op == 4 ? dim_remainder(&t, u, w)
                       : op == 5 ? dim_larger(&t, u, v)
                                 : dim_mul(&t, u, w);
            if (t.failed) break; /* too long a sum: said, not wrong */
        }
        int64_t *values = test_malloc((t.expressions.count + 1) * sizeof *values);
        for (int trial = 0; trial < TRIALS; trial++) {
            assert_true(dims_evaluate(&t, plain[trial], values));
            for (int i = 0; i < count; i++) {
                assert_int_equal(dim_value(values, d[i]), plain[trial][i]);
                assert_true(dim_least(&t, d[i]) <= plain[trial][i]);
                assert_true(dim_most(&t, d[i]) >= plain[trial][i]);
                if (trial == 0) assert_int_equal(dim_hint(&t, d[i]), plain[trial][i]);
            }
        }
        test_free(values);
        dims_free(&t);
    }
}

static void test_overflow_fails(void **state) {
    (void)state;
    DimTable t;
    dims_init(&t);
    Dim n = dim_symbol(&t, "n", INT64_C(1) << 40, 0, INT64_MAX);
    dim_mul(&t, n, n);
    assert_true(t.failed);
    dims_free(&t);
    dims_init(&t);
    n = dim_symbol(&t, "n", 8, 0, INT64_MAX);
    Dim square = dim_mul(&t, n, n), part = dim_quotient(&t, dim_of(100), n);
    int64_t symbol = 10, values[8];
    assert_true(dims_evaluate(&t, &symbol, values));
    assert_int_equal(dim_value(values, square), 100);
    assert_int_equal(dim_value(values, part), 10);
    symbol = INT64_C(1) << 40;
    assert_false(dims_evaluate(&t, &symbol, values));
    symbol = 0; /* would divide by zero */
    assert_false(dims_evaluate(&t, &symbol, values));
    symbol = -1; /* out of bounds */
    assert_false(dims_evaluate(&t, &symbol, values));
    dims_free(&t);
}

/* A value that nobody asked for may not exist. */
static void test_only_what_is_wanted_is_evaluated(void **state) {
    (void)state;
    DimTable t;
    dims_init(&t);
    Dim a = dim_symbol(&t, "a", 6, 0, INT64_MAX), b = dim_symbol(&t, "b", 4, 0, INT64_MAX);
    Dim part = dim_quotient(&t, a, b), sum = dim_add(&t, dim_mul(&t, a, b), dim_of(2));
    assert_true(dim_less(&t, dim_of(1), sum)); /* a guard */
    const int64_t symbols[] = {5, 0};
    int64_t values[8];
    assert_false(dims_evaluate(&t, symbols, values)); /* 5 / 0 */
    assert_true(dims_limit(&t, NULL, 0));
    assert_true(dims_evaluate(&t, symbols, values));
    assert_null(dims_failing(&t, values));
    assert_int_equal(dim_value(values, a), 5);
    assert_true(dims_limit(&t, &part, 1));
    assert_false(dims_evaluate(&t, symbols, values));
    dims_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_polynomials_are_one),
        cmocka_unit_test(test_exact_quotients),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_bounds_decide_without_guards),
        cmocka_unit_test(test_a_fixed_size_is_a_guard),
        cmocka_unit_test(test_guards_that_say_the_same_are_one),
        cmocka_unit_test(test_guards_hold_where_the_answer_does),
        cmocka_unit_test(test_values_are_those_of_arithmetic),
        cmocka_unit_test(test_overflow_fails),
        cmocka_unit_test(test_only_what_is_wanted_is_evaluated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
