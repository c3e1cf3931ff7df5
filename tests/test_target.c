/* The description of the machine: lowered on request, never raised, complete. */
#include "base/settings.h"
#include "ir/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void setting_lowers_the_host(void **state) {
    (void)state;
    setting_set(SETTING_ISA, "avx2"); /* before the host is first asked for */
    const Target *host = target_host();
    assert_in_range(host->isa, ISA_NONE, ISA_AVX2);
    assert_int_equal(host->vector_bits, 256);
    assert_true(host->l1_bytes >= 4096 && host->l2_bytes >= host->l1_bytes);
    assert_true(host->l3_bytes > 0);
    assert_ptr_equal(target_host(), host);
}

static void targets_differ_in_name_and_width(void **state) {
    (void)state;
    Target none = target_for(ISA_NONE), avx2 = target_for(ISA_AVX2), wide = target_for(ISA_AVX512);
    assert_string_equal(target_name(&none), "none");
    assert_string_equal(target_name(&avx2), "avx2");
    assert_string_equal(target_name(&wide), "avx512");
    assert_int_equal(avx2.vector_bits, 256);
    assert_int_equal(wide.vector_bits, 512);
    assert_int_equal(wide.l2_bytes, target_host()->l2_bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_lowers_the_host),
        cmocka_unit_test(targets_differ_in_name_and_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
