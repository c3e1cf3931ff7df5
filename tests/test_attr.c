/* Attributes of ops: accessors and the walk find the same words for every op, whatever its lists are
 * long; what an op does not have cannot be read; lists that are built too long stay so. */
#include "ir/op/attr.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Words for every attribute of an op, each with another value; lists of 0, 1, 2, … words from `length`
 * on. */
static AttrList numbered_words(OpCode op, int32_t length) {
    AttrList attrs = {.count = 0};
    int32_t n_params;
    const OpParam *params = op_params(op, &n_params);
    int64_t value = 100;
    for (int32_t i = 0; i < n_params; i++) {
        if (!params[i].attr) continue;
        int64_t values[8];
        for (int32_t k = 0; k < 8; k++) values[k] = value++;
        if (params[i].kind == 'L')
            attr_add_list(&attrs, values, length++ % 8);
        else
            attr_add_int(&attrs, values[0]);
    }
    return attrs;
}

static void accessors_and_walk_find_the_same_words(void **state) {
    (void)state;
    for (int32_t op = 0; op < OP_COUNT; op++) {
        for (int32_t length = 0; length < 4; length++) {
            AttrList attrs = numbered_words((OpCode)op, length);
            AttrView view = attr_view((OpCode)op, &attrs);
            AttrWalk at = attr_walk(view);
            int32_t found = 0, known = 0;
            for (; attr_next(&at); found++) {
                AttrName name = (AttrName)at.param->attr;
                assert_int_equal(attr_word(view, name), at.first);
                assert_int_equal(attr_places[op][name].kind, at.param->kind);
                assert_int_equal(at.count, at.param->kind == 'L' ? 1 + view.words[at.first] : 1);
            }
            assert_int_equal(at.first, attrs.count);
            for (int32_t name = 0; name < ATTR_COUNT; name++)
                known += op_has_attr((OpCode)op, (AttrName)name);
            assert_int_equal(found, known);
        }
    }
}

static void attributes_are_read_by_kind(void **state) {
    (void)state;
    AttrList attrs = {.count = 0};
    int32_t count;
    attr_add_list(&attrs, (const int64_t[]){4, 7}, 2); /* var: axes, keepdim, correction */
    attr_add_int(&attrs, 1);
    attr_add_double(&attrs, 0.25);
    AttrView var = attr_view(OP_VAR, &attrs);
    const int64_t *axes = attr_list(var, ATTR_AXES, &count);
    assert_int_equal(count, 2);
    assert_int_equal(axes[1], 7);
    assert_true(attr_bool(var, ATTR_KEEPDIM));
    assert_true(attr_double(var, ATTR_CORRECTION) == 0.25);
    attrs.count = 0;
    attr_add_int(&attrs, 2); /* narrow: axis, start, length */
    attr_add_int(&attrs, 5);
    attr_add_int(&attrs, 3);
    assert_int_equal(attr_int(attr_view(OP_NARROW, &attrs), ATTR_AXIS), 2);
    assert_int_equal(attr_dim(attr_view(OP_NARROW, &attrs), ATTR_LENGTH).word, 3);
}

static void the_walk_tells_what_is_missing_or_cut_off(void **state) {
    (void)state;
    AttrList attrs = {.count = 2, .words = {2, 0}}; /* a list of two, of which one is there */
    AttrWalk at = attr_walk(attr_view(OP_MEAN, &attrs));
    assert_true(attr_next(&at));
    assert_int_equal(at.count, 0);
    attrs.words[0] = -1;
    at = attr_walk(attr_view(OP_MEAN, &attrs));
    assert_true(attr_next(&at));
    assert_int_equal(at.count, 0);
    attrs.words[0] = 1; /* the list is whole, keepdim is missing */
    at = attr_walk(attr_view(OP_MEAN, &attrs));
    assert_true(attr_next(&at));
    assert_int_equal(at.count, 2);
    assert_true(attr_next(&at));
    assert_int_equal(at.count, 0);
    assert_false(attr_next(&at));
    assert_int_equal(at.first, 2);
}

static void overlong_lists_stay_overlong(void **state) {
    (void)state;
    AttrList attrs = {.count = 0};
    int64_t values[ATTR_MOST] = {0};
    attr_add_list(&attrs, values, ATTR_MOST - 1);
    assert_int_equal(attrs.count, ATTR_MOST);
    attr_add_int(&attrs, 1);
    assert_int_equal(attrs.count, ATTR_MOST + 1);
    attr_add_list(&attrs, values, 0);
    attr_add_double(&attrs, 1);
    assert_int_equal(attrs.count, ATTR_MOST + 1);
}

static void scalars_of_the_call_stand_in_the_place_of_numbers(void **state) {
    (void)state;
    uint32_t number = 0;
    assert_true(attr_is_scalar(attr_scalar(7), &number));
    assert_int_equal(number, 7);
    AttrList attrs = {.count = 0};
    attr_add_double(&attrs, NAN);
    assert_false(attr_is_scalar(attrs.words[0], &number));
}

#ifndef NDEBUG
static int64_t read_axis(AttrView view) {
    return attr_int(view, ATTR_AXIS);
}
static int64_t read_axes_as_a_number(AttrView view) {
    return attr_int(view, ATTR_AXES);
}
static int64_t read_keepdim(AttrView view) {
    return attr_bool(view, ATTR_KEEPDIM);
}

/* Does that end the program? */
static bool aborts(int64_t (*read)(AttrView), AttrView view) {
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        close(STDERR_FILENO);
        _exit((int)read(view) & 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void what_an_op_does_not_have_cannot_be_read(void **state) {
    (void)state;
    AttrList attrs = {.count = 0};
    attr_add_list(&attrs, (const int64_t[]){0}, 1);
    attr_add_int(&attrs, 0);
    AttrView mean = attr_view(OP_MEAN, &attrs);
    assert_false(aborts(read_keepdim, mean));
    assert_true(aborts(read_axis, mean));             /* a name that mean has not */
    assert_true(aborts(read_axes_as_a_number, mean)); /* another kind */
    mean.count = 1;
    assert_true(aborts(read_keepdim, mean)); /* words that are not there */
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accessors_and_walk_find_the_same_words),
        cmocka_unit_test(attributes_are_read_by_kind),
        cmocka_unit_test(the_walk_tells_what_is_missing_or_cut_off),
        cmocka_unit_test(overlong_lists_stay_overlong),
        cmocka_unit_test(scalars_of_the_call_stand_in_the_place_of_numbers),
#ifndef NDEBUG
        cmocka_unit_test(what_an_op_does_not_have_cannot_be_read),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
