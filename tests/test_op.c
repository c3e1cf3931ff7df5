/* The op table: signatures rebuild from what was made of them, names are found, numbers stay. */
#include "ir/op/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void signatures_rebuild_from_their_parameters(void **state) {
    (void)state;
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        int32_t count;
        const OpParam *params = op_params((OpCode)op, &count);
        char rebuilt[256] = "";
        for (int32_t i = 0; i < count; i++) {
            size_t used = strlen(rebuilt);
            snprintf(rebuilt + used, sizeof rebuilt - used, "%s%s:%c%.1s%s", i ? " " : "",
                     params[i].name, params[i].kind, &params[i].suffix,
                     params[i].is_size || params[i].is_real ? "~" : "");
        }
        assert_string_equal(rebuilt, op_info[op].signature);
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

/* What is wrong with a list of numbers given out, a public op's name and number a line; "" = nothing. */
static const char *numbers_fault(FILE *list) {
    static char fault[128];
    bool listed[OP_COUNT] = {false};
    char name[64];
    unsigned number;
    int read = 0;
    fault[0] = 0;
    while (!fault[0] && (read = fscanf(list, "%63s %u", name, &number)) == 2) {
        OpCode op = op_find(name, strlen(name));
        if (op == OP_COUNT)
            snprintf(fault, sizeof fault, "%s, number %u, is no op any more", name, number);
        else if (op != number)
            snprintf(fault, sizeof fault, "%s was number %u, and is %u now", name, number, op);
        else
            listed[op] = true;
    }
    if (!fault[0] && read != EOF)
        snprintf(fault, sizeof fault, "a line is not a name and a number");
    for (uint32_t op = 0; op < OP_COUNT && !fault[0]; op++)
        if (op_has((OpCode)op, F_PUBLIC) && !listed[op])
            snprintf(fault, sizeof fault, "%s is not in tests/op_numbers.txt: append \"%s %u\"",
                     op_info[op].name, op_info[op].name, op);
    fclose(list);
    return fault;
}

static void numbers_given_out_stay(void **state) {
    (void)state;
    FILE *list = fopen(SN_TESTS_DIR "/op_numbers.txt", "r");
    assert_non_null(list);
    assert_string_equal(numbers_fault(list), "");
}

static const char *fault_of(const char *text) {
    FILE *list = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_non_null(list);
    return numbers_fault(list);
}

static void a_number_that_no_op_has_is_named(void **state) {
    (void)state;
    char vanished[64];
    snprintf(vanished, sizeof vanished, "neg 4\nvanished %d\n", (int)OP_COUNT);
    assert_string_equal(fault_of("neg 4\nvanished 7\n"), "vanished, number 7, is no op any more");
    assert_non_null(strstr(fault_of(vanished), "vanished, number "));
    assert_string_equal(fault_of("neg 4\nabs 6\n"), "abs was number 6, and is 5 now");
    assert_string_equal(fault_of("neg 4\nabs\n"), "a line is not a name and a number");
    assert_string_equal(fault_of("neg 4\n"),
                        "abs is not in tests/op_numbers.txt: append \"abs 5\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_rebuild_from_their_parameters),
        cmocka_unit_test(ops_are_found_by_their_exact_name),
        cmocka_unit_test(numbers_given_out_stay),
        cmocka_unit_test(a_number_that_no_op_has_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
