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
    const CpuTarget *host = &target_host()->cpu;
    assert_in_range(host->isa, ISA_NONE, ISA_AVX2);
    assert_int_equal(host->vector_bits, 256);
    assert_true(host->l1_bytes >= 4096 && host->l2_bytes >= host->l1_bytes);
    assert_true(host->l3_bytes > 0);
    assert_ptr_equal(&target_host()->cpu, host);
    assert_int_equal(target_host()->kind, TARGET_CPU);
}

static void targets_differ_in_name_and_width(void **state) {
    (void)state;
    Target none = target_for(ISA_NONE), avx2 = target_for(ISA_AVX2), wide = target_for(ISA_AVX512);
    assert_string_equal(target_isa_name(none.cpu.isa), "none");
    assert_string_equal(target_isa_name(avx2.cpu.isa), "avx2");
    assert_string_equal(target_isa_name(wide.cpu.isa), "avx512");
    assert_int_equal(avx2.cpu.vector_bits, 256);
    assert_int_equal(wide.cpu.vector_bits, 512);
    assert_int_equal(wide.cpu.l2_bytes, target_host()->cpu.l2_bytes);
}

/* What is generated for a target comes from the back end of its kind. */
static void a_target_names_its_back_end(void **state) {
    (void)state;
    assert_string_equal(target_backend(target_host()), "cpu");
    assert_int_equal(target_cuda()->kind, TARGET_CUDA);
    assert_string_equal(target_backend(target_cuda()), "cuda");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_lowers_the_host),
        cmocka_unit_test(targets_differ_in_name_and_width),
        cmocka_unit_test(a_target_names_its_back_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
