/* Which groups must run before which, while they are merged: held against a matrix of who reaches whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "passes/fuse/precedence.h"

enum { GROUPS = 60 };

/* Who reads from whom, and which groups are there. */
typedef struct Model {
    bool reads[GROUPS][GROUPS]; /* [after][before] */
    bool live[GROUPS];          /* not merged into another */
} Model;

static bool reaches(const Model *m, int32_t from, int32_t to) {
    if (m->reads[to][from]) return true;
    for (int32_t i = 0; i < GROUPS; i++)
        if (m->live[i] && m->reads[to][i] && reaches(m, from, i)) return true;
    return false;
}

static bool third_between(const Model *m, int32_t from, int32_t to) {
    for (int32_t i = 0; i < GROUPS; i++)
        if (m->live[i] && i != from && m->reads[to][i] && reaches(m, from, i)) return true;
    return false;
}

static bool parted(const Model *m, int32_t x, int32_t y) {
    return third_between(m, x, y) || third_between(m, y, x);
}

static void merge(Model *m, int32_t into, int32_t from) {
    for (int32_t i = 0; i < GROUPS; i++) {
        m->reads[into][i] = m->reads[into][i] || m->reads[from][i];
        m->reads[i][into] = m->reads[i][into] || m->reads[i][from];
        m->reads[from][i] = m->reads[i][from] = false;
    }
    m->reads[into][into] = false;
    m->live[from] = false;
}

static int32_t drawn(uint32_t *seed, int32_t below) {
    *seed = *seed * 1664525u + 1013904223u;
    return (int32_t)((*seed >> 8) % (uint32_t)below);
}

/* A group that reads from a few, all that are there being asked for, and some merged. */
static void add_group(Precedence *p, Model *m, int32_t group, uint32_t *seed) {
    assert_true(precedence_add(p, (uint32_t)group));
    m->live[group] = true;
    for (int32_t i = drawn(seed, 3); i-- > 0 && group > 0;) {
        int32_t before = drawn(seed, group);
        if (!m->live[before]) continue;
        m->reads[group][before] = true;
        assert_true(precedence_link(p, before, group));
    }
    for (int32_t x = 0; x <= group; x++)
        for (int32_t y = 0; y <= group; y++)
            if (x != y && m->live[x] && m->live[y])
                assert_int_equal(precedence_parted(p, x, y), parted(m, x, y));
    int32_t x = drawn(seed, group + 1), y = drawn(seed, group + 1);
    if (x == y || !m->live[x] || !m->live[y] || parted(m, x, y)) return;
    merge(m, x, y);
    assert_true(precedence_merge(p, x, y));
}

static void groups_are_parted_where_a_third_lies_between(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed < 30; seed++) {
        Precedence p = {0};
        Model m = {0};
        uint32_t draws = seed;
        for (int32_t i = 0; i < GROUPS; i++) add_group(&p, &m, i, &draws);
        precedence_free(&p);
    }
}

/* A group that is merged while nothing comes after it leaves its number free. */
static void the_latest_group_leaves_no_trace(void **state) {
    (void)state;
    Precedence p = {0};
    assert_true(precedence_add(&p, 0) && precedence_add(&p, 1));
    for (uint32_t place = 2; place < 1000; place++) {
        assert_true(precedence_add(&p, place));
        assert_true(precedence_link(&p, 0, 2) && precedence_link(&p, 1, 2));
        assert_true(precedence_merge(&p, 1, 2));
        assert_true(precedence_drop_last(&p));
        assert_int_equal(p.groups.count, 2);
        assert_false(precedence_parted(&p, 0, 1));
    }
    assert_int_equal(p.groups.data[1].after.count, 0);
    precedence_free(&p);
}

/* Not so one that others came after, though its number is the last. */
static void a_group_that_others_come_after_keeps_its_number(void **state) {
    (void)state;
    Precedence p = {0};
    assert_true(precedence_add(&p, 0) && precedence_add(&p, 1) && precedence_add(&p, 2));
    assert_true(precedence_link(&p, 1, 2) && precedence_merge(&p, 0, 2));
    assert_true(precedence_drop_last(&p)); /* the first comes after the second now */
    assert_true(precedence_merge(&p, 0, 1));
    assert_false(precedence_drop_last(&p));
    assert_true(precedence_add(&p, 3) && precedence_link(&p, 0, 2));
    assert_false(precedence_parted(&p, 0, 2));
    precedence_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_parted_where_a_third_lies_between),
        cmocka_unit_test(the_latest_group_leaves_no_trace),
        cmocka_unit_test(a_group_that_others_come_after_keeps_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
