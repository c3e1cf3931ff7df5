/* Spans of memory, against looking at all of them: base/spans.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/spans.h"

enum { SPANS = 300, BYTES = 4000, QUESTIONS = 3000 };

static char memory[BYTES];

static uint32_t draw(uint32_t *seed, uint32_t below) {
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

static void a_span_is_found_as_by_looking_at_all(void **state) {
    (void)state;
    Spans spans = {0};
    uint32_t first[SPANS], end[SPANS], seed = 7;
    for (uint32_t n = 0; n < SPANS; n++) {
        first[n] = draw(&seed, BYTES - 40);
        end[n] = first[n] + draw(&seed, n % 10 ? 12 : 40);
        assert_true(spans_add(&spans, memory + first[n], memory + end[n], n));
        for (uint32_t i = 0; i < QUESTIONS / SPANS; i++) {
            uint32_t from = draw(&seed, BYTES - 20), to = from + draw(&seed, 20);
            uint32_t but = draw(&seed, 2) ? draw(&seed, n + 1) : UINT32_MAX;
            bool any = false;
            for (uint32_t k = 0; k <= n; k++)
                any = any || (k != but && first[k] < to && from < end[k] && from < to &&
                              first[k] < end[k]);
            int64_t found = spans_find(&spans, memory + from, memory + to, but);
            assert_int_equal(found != SPANS_NONE, any);
            if (!any) continue;
            assert_true(found != but && first[found] < to && from < end[found]);
        }
    }
    spans_clear(&spans);
    assert_int_equal(spans_find(&spans, memory, memory + BYTES, UINT32_MAX), SPANS_NONE);
    spans_free(&spans);
}

/* In order, which would make a list of a tree without balance, a question takes the logarithm: this test
 * would need minutes. */
static void spans_in_order_are_found_as_fast(void **state) {
    (void)state;
    enum { MANY = 1 << 20 };
    static char wide[2 * MANY];
    Spans spans = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        assert_true(spans_add(&spans, wide + 2 * i, wide + 2 * i + 1, i));
        assert_int_equal(spans_find(&spans, wide + 2 * i, wide + 2 * i + 2, UINT32_MAX), i);
        assert_int_equal(spans_find(&spans, wide + 2 * i, wide + 2 * i + 2, i), SPANS_NONE);
    }
    spans_free(&spans);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_is_found_as_by_looking_at_all),
        cmocka_unit_test(spans_in_order_are_found_as_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
