/* The check of the op table's rows: each kind of wrong row is named with its line and what is wrong. */
#include "tools/op_rows.h"
#include "tools/op_signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A row that is right, but for what a test changes. */
#define ROW                                                                                        \
    .line = 7, .id = "GLUE", .name = "glue", .signature = "x:t", .about = "x", .elsewhere = "",    \
    .klass = CLASS_POINTWISE

static void assert_faults(const OpRow *rows, int32_t count, const char *wanted) {
    StrBuf faults = {0};
    op_rows_check(rows, count, &faults);
    assert_string_equal(strbuf_text(&faults), wanted);
    strbuf_free(&faults);
}

static void assert_fault(OpRow row, const char *wanted) {
    char line[256];
    snprintf(line, sizeof line, "ir/op/op.def:7: %s: %s\n", row.name, wanted);
    assert_faults(&row, 1, line);
}

static void assert_signature(const char *signature, const char *wanted) {
    OpRow row = {ROW};
    row.signature = signature;
    assert_fault(row, wanted);
}

static void the_table_is_right(void **state) {
    (void)state;
    assert_faults(op_rows, OP_COUNT, "");
}

static void parameters_are_words_with_kinds(void **state) {
    (void)state;
    assert_signature("x:t axis", "parameter \"axis\" has no kind");
    assert_signature("x:t axis:", "parameter \"axis:\" has no kind");
    assert_signature("x:q", "parameter \"x:q\" has a kind that is none of t l L d b y e h r");
    assert_signature("x:t, axis:l", "parameter \"x:t,\" goes on behind its kind");
    assert_signature("x:t,axis:l", "parameter \"x:t,axis:l\" goes on behind its kind");
    assert_signature("x,y:t", "parameter \"x,y:t\" has no name of letters, digits and _");
    assert_signature("X:t", "parameter \"X:t\" has no name of letters, digits and _");
    assert_signature(":t", "parameter \":t\" has no name of letters, digits and _");
    assert_signature("x:t  axis:l", "parameter \"x:t\" is followed by a blank too many");
    assert_signature("x:t ", "parameter \"x:t\" is followed by a blank too many");
}

static void suffixes_belong_to_their_kinds(void **state) {
    (void)state;
    assert_signature("x:t axis:l?", "parameter \"axis:l?\" has ? or *, which only t may have");
    assert_signature("x:t axes:L*", "parameter \"axes:L*\" has ? or *, which only t may have");
    assert_signature("x:t~", "parameter \"x:t~\" has ~, which only l, L, h and d may have");
    assert_signature("x:t?*", "parameter \"x:t?*\" goes on behind its kind");
}

static void nothing_is_dropped(void **state) {
    (void)state;
    assert_signature("x:t a_name_too_long:l",
                     "parameter \"a_name_too_long:l\" has a name of more than 13 characters");
    assert_signature("x:t a:l b:l c:l d:l e:l f:l g:l h:l",
                     "parameter \"h:l\" is one more than an op may have, 8");
    Signature most;
    char fault[OP_MOST_FAULT];
    assert_true(op_signature_parse("x:t a:l b:l c:l d:l e:l f:l name_of_13_ch:l", &most, fault));
    assert_int_equal(most.count, OP_MOST_PARAMS);
    assert_string_equal(most.params[OP_MOST_PARAMS - 1].name, "name_of_13_ch");
}

static void names_are_unique_and_free(void **state) {
    (void)state;
    OpRow rows[2] = {{ROW}, {ROW}};
    rows[1].line = 9;
    assert_faults(rows, 2, "ir/op/op.def:9: glue: line 7 has an op of this name\n");
    assert_signature("x:t x:l", "parameter \"x:l\" has the name of another");
    assert_signature("x:t default:l", "parameter \"default\" has a name that is taken");
    assert_signature("x:t line:l", "parameter \"line\" has a name that is taken");
    assert_signature("x:t xs_count:l xs:L",
                     "parameter \"xs_count\" has the name of the length of \"xs\"");
    OpRow row = {ROW};
    row.name = "glue,";
    assert_fault(row, "\"glue,\" is no name of letters, digits and _");
    row.name = "";
    assert_fault(row, "\"\" is no name of letters, digits and _");
    row.name = "a_name_that_is_longer_than_any_line_takes";
    assert_fault(row, "its name has more than 40 characters");
}

static void operands_suit_class_and_flags(void **state) {
    (void)state;
    OpRow row = {ROW};
    row.klass = CLASS_RANDOM;
    assert_fault(row, "a random op takes one generator");
    row.signature = "generator:r x:t";
    assert_fault(row, "a tensor stands behind the generator");
    assert_signature("x:t generator:r", "only random ops take a generator");
    assert_signature("axis:l x:t", "its first parameter is no tensor");
    assert_signature("xs:t* y:t", "an array of tensors stands beside another tensor");
    row = (OpRow){ROW, .flags = F_COMMUTES};
    assert_fault(row, "it commutes, but has less than two tensors");
    row = (OpRow){ROW, .flags = F_PUBLIC, .dtype_rule = DTYPE_ATTR};
    row.elsewhere = "-, -";
    assert_fault(row, "its dtype is that of an attribute, but it has not one of kind y");
}

static void attributes_say_what_they_take(void **state) {
    (void)state;
    assert_signature("x:t as:y", "parameter \"as\" is of kind y, but not named dtype");
    assert_signature("x:t mood:e", "parameter \"mood\" has no ENUMERATION in ir/op/op_rules.def");
}

static void every_op_says_what_it_computes(void **state) {
    (void)state;
    OpRow row = {ROW};
    row.about = "";
    assert_fault(row, "it does not say what it computes");
    row.about = "x */ y";
    assert_fault(row, "its documentation ends the comment that it stands in");
    row = (OpRow){ROW, .flags = F_PUBLIC};
    assert_fault(row, "\"\" does not say what PyTorch and NumPy call it");
    row.elsewhere = "torch.glue";
    assert_fault(row, "\"torch.glue\" does not say what PyTorch and NumPy call it");
    row.elsewhere = "torch.glue, -";
    assert_faults(&row, 1, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_right),
        cmocka_unit_test(parameters_are_words_with_kinds),
        cmocka_unit_test(suffixes_belong_to_their_kinds),
        cmocka_unit_test(nothing_is_dropped),
        cmocka_unit_test(names_are_unique_and_free),
        cmocka_unit_test(operands_suit_class_and_flags),
        cmocka_unit_test(attributes_say_what_they_take),
        cmocka_unit_test(every_op_says_what_it_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
