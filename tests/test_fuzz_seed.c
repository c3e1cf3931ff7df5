/* The program of a seed stays what it was when ops are added to the table: it draws from the ops that the
 * seed names. */
#include "tests/fuzz_break.h"
#include "tests/fuzz_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { PROGRAMS = 15 };

static FuzzProgram made, again;

static void a_seed_is_a_number_and_how_many_ops(void **state) {
    (void)state;
    assert_int_equal(fuzz_seed_ops(fuzz_seed(170, 5)), 170);
    assert_int_equal(fuzz_seed_number(fuzz_seed(170, 5)), 5);
    assert_int_equal(fuzz_seed_ops(5), FUZZ_FIRST_OPS);
    assert_true((int)OP_COUNT >= (int)FUZZ_FIRST_OPS);
}

static void a_number_alone_stands_for_the_first_ops(void **state) {
    (void)state;
    for (uint64_t number = 1; number <= 20; number++) {
        fuzz_make(number, &made);
        fuzz_make(fuzz_seed(FUZZ_FIRST_OPS, number), &again);
        assert_memory_equal(&made, &again, sizeof made);
    }
}

/* Programs of a table that ends before layer_norm, whole and broken, have no later op in them; those of
 * all ops have. */
static void a_program_draws_from_the_ops_of_its_seed(void **state) {
    (void)state;
    const OpCode end = OP_LAYER_NORM;
    int32_t later = 0;
    for (uint64_t number = 1; number <= PROGRAMS; number++) {
        fuzz_make(fuzz_seed((int32_t)end, number), &made);
        if (number % 2) fuzz_break(&made);
        for (int32_t i = 0; i < made.n_steps; i++) assert_true(made.steps[i].op < end);
        fuzz_make(number, &made);
        for (int32_t i = 0; i < made.n_steps; i++) later += made.steps[i].op >= end;
    }
    assert_true(later > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_a_number_and_how_many_ops),
        cmocka_unit_test(a_number_alone_stands_for_the_first_ops),
        cmocka_unit_test(a_program_draws_from_the_ops_of_its_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
