/* The op table: signatures parse and rebuild, names are found, numbers stay, first use from many
 * threads. */
#include "ir/op.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_op_table_is_well_formed(void **state) {
    (void)state;
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        const OpInfo *info = &op_info[op];
        int32_t count;
        const OpParam *params = op_params((OpCode)op, &count);
        assert_true(count <= OP_MOST_PARAMS);
        assert_true(info->shape_rule < SHAPE_RULE_COUNT);
        char rebuilt[256] = "";
        int32_t generators = 0;
        for (int32_t i = 0; i < count; i++) {
            assert_non_null(strchr("tlLdbyehr", params[i].kind));
            assert_true(params[i].suffix == 0 || params[i].kind == 't');
            size_t used = strlen(rebuilt);
            assert_true(!params[i].is_size || strchr("lLh", params[i].kind));
            assert_true(!params[i].is_real || params[i].kind == 'd');
            snprintf(rebuilt + used, sizeof rebuilt - used, "%s%s:%c%.1s%s", i ? " " : "",
                     params[i].name, params[i].kind, &params[i].suffix,
                     params[i].is_size || params[i].is_real ? "~" : "");
            for (int32_t k = 0; k < i; k++) assert_string_not_equal(params[i].name, params[k].name);
            generators += params[i].kind == 'r';
            /* The generator's state is the last operand, wherever it stands in the signature. */
            for (int32_t k = i + 1; params[i].kind == 'r' && k < count; k++)
                assert_int_not_equal(params[k].kind, 't');
        }
        assert_string_equal(rebuilt, info->signature);
        assert_int_equal(generators, op_is((OpCode)op, CLASS_RANDOM));
        assert_true(info->about[0] != 0);
    }
}

static void ops_are_found_by_their_exact_name(void **state) {
    (void)state;
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        const char *name = op_info[op].name;
        assert_int_equal(op_find(name, strlen(name)), op);
        assert_int_equal(op_find(name, strlen(name) - 1) == (OpCode)op, 0);
    }
    assert_int_equal(op_find("add(", 3), OP_ADD);
    assert_int_equal(op_find("adds", 4), OP_COUNT);
    assert_int_equal(op_find("", 0), OP_COUNT);
    assert_int_equal(op_find("sum\0x", 5), OP_COUNT);
}

/* op_numbers.txt: a public op's name and number a line. */
static void numbers_given_out_stay(void **state) {
    (void)state;
    FILE *file = fopen(SN_TESTS_DIR "/op_numbers.txt", "r");
    assert_non_null(file);
    bool listed[OP_COUNT] = {false};
    char name[64];
    unsigned number;
    while (fscanf(file, "%63s %u", name, &number) == 2) {
        assert_int_equal(op_find(name, strlen(name)), number);
        listed[number] = true;
    }
    assert_true(feof(file));
    fclose(file);
    for (uint32_t op = 0; op < OP_COUNT; op++)
        if (op_has((OpCode)op, F_PUBLIC) && !listed[op])
            fail_msg("%s is not in tests/op_numbers.txt: append \"%s %u\"", op_info[op].name,
                     op_info[op].name, op);
}

static void *find_in_thread(void *arg) {
    (void)arg;
    int32_t count;
    op_params(OP_ADD, &count);
    return (void *)(intptr_t)(count == 2 && op_find("stack", 5) == OP_STACK);
}

static void the_table_may_be_first_used_by_many_threads(void **state) {
    (void)state;
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_in_thread, NULL), 0);
    for (int i = 0; i < 8; i++) {
        void *right = NULL;
        pthread_join(threads[i], &right);
        assert_true(right != NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_may_be_first_used_by_many_threads),
        cmocka_unit_test(the_op_table_is_well_formed),
        cmocka_unit_test(ops_are_found_by_their_exact_name),
        cmocka_unit_test(numbers_given_out_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
