/* Executable memory: code runs, is never writable where it runs, survives fork, and a denial is an
 * error. */
#include "runtime/kernels/code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_backend.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Maps code of `size` bytes that writes `number`. */
static sn_status map_number(uint64_t number, size_t size, Code *code, sn_error *error) {
    uint8_t *bytes = malloc(size);
    if (!bytes) return SN_ERROR_MEMORY;
    fake_code(bytes, size, number);
    sn_status status = code_map(bytes, size, code, error);
    free(bytes);
    return status;
}

/* Runs it; what it wrote. */
static uint64_t run(const Code *code) {
    KernelFn *fn;
    uint64_t word = 0;
    memcpy(&fn, &code->bytes, sizeof fn);
    fn(NULL, NULL, 0, 0, NULL, &word);
    return word;
}

/* Mappings of this process with the permissions `flags`, such as "rwx". */
static int count_mappings(const char *flags) {
    char line[1024], found[8];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps) return -1;
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%*s %4s", found) == 1 && memcmp(found, flags, 3) == 0) count++;
    fclose(maps);
    return count;
}

static void code_of_all_sizes_runs(void **state) {
    (void)state;
    enum { COUNT = 400 };
    static Code codes[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 50 == 49 ? 64 * 1024 * (i / 50 + 1) : 64 * (i % 37 + 1);
        assert_int_equal(map_number(i, size, &codes[i], NULL), SN_OK);
        assert_int_equal(codes[i].size, size);
        assert_int_equal((uintptr_t)codes[i].bytes % 64, 0);
    }
    assert_int_equal(count_mappings("rwx"), 0);
    assert_int_equal(count_mappings("-wx"), 0);
    for (size_t i = 0; i < COUNT; i++) assert_int_equal(run(&codes[i]), i);
    for (size_t i = 0; i < COUNT; i += 2) code_free(&codes[i]);
    for (size_t i = 1; i < COUNT; i += 2) assert_int_equal(run(&codes[i]), i);
    for (size_t i = 1; i < COUNT; i += 2) code_free(&codes[i]);
    assert_null(codes[1].bytes);
    code_free(&codes[1]); /* again: nothing */
}

static void freed_regions_go_back_to_the_system(void **state) {
    (void)state;
    int before = count_mappings("r-x");
    for (size_t round = 0; round < 200; round++) {
        Code codes[8];
        for (size_t i = 0; i < 8; i++)
            assert_int_equal(map_number(i, 16384, &codes[i], NULL), SN_OK);
        for (size_t i = 0; i < 8; i++) code_free(&codes[i]);
    }
    assert_in_range(count_mappings("r-x"), before, before + 2);
}

static void empty_code_is_refused(void **state) {
    (void)state;
    Code code;
    sn_error error = {0};
    assert_int_equal(code_map("", 0, &code, &error), SN_ERROR_ARGUMENT);
}

static void failed_allocations_are_errors(void **state) {
    (void)state;
    int64_t live = mem_live_count();
    for (size_t size = 64; size <= 1 << 17; size <<= 11) {
        Code code;
        sn_error error = {0};
        mem_fail_after(1, true);
        sn_status status = map_number(1, size, &code, &error);
        mem_fail_after(0, false);
        if (status == SN_OK)
            code_free(&code);
        else
            assert_int_equal(status, SN_ERROR_MEMORY);
        assert_true(mem_live_count() <= live + 1); /* the region being filled */
    }
}

/* Exit code of `body` in a child. */
static int in_child(int (*body)(void)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(body());
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static Code before_fork;

static int map_many_in_child(void) {
    for (uint64_t i = 0; i < 50; i++) {
        Code code;
        if (map_number(1000 + i, 64, &code, NULL) != SN_OK || run(&code) != 1000 + i) return 1;
    }
    return run(&before_fork) == 7 ? 0 : 2;
}

static void child_and_parent_do_not_share_what_they_add(void **state) {
    (void)state;
    Code after;
    assert_int_equal(map_number(7, 64, &before_fork, NULL), SN_OK);
    assert_int_equal(in_child(map_many_in_child), 0);
    assert_int_equal(map_number(8, 64, &after, NULL), SN_OK);
    assert_int_equal(run(&before_fork), 7);
    assert_int_equal(run(&after), 8);
    code_free(&after);
    code_free(&before_fork);
}

enum { CANNOT_TRY = 100 };

/* From now on no memory of this process may gain the right to execute (Linux 6.3). */
static bool refuse_gaining_exec(void) {
    const int set_mdwe = 65, refuse = 1;
    return prctl(set_mdwe, refuse, 0, 0, 0) == 0;
}

/* From now on memfd_create fails. */
static bool refuse_memory_files(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int map_without_gaining_exec(void) {
    Code small, large;
    if (!refuse_gaining_exec()) return CANNOT_TRY;
    if (map_number(3, 64, &small, NULL) != SN_OK || run(&small) != 3) return 1;
    if (map_number(4, 1 << 18, &large, NULL) != SN_OK || run(&large) != 4) return 2;
    return 0;
}

static int map_without_memory_files(void) {
    Code small, large;
    if (!refuse_memory_files()) return CANNOT_TRY;
    if (map_number(3, 64, &small, NULL) != SN_OK || run(&small) != 3) return 1;
    if (map_number(4, 1 << 18, &large, NULL) != SN_OK || run(&large) != 4) return 2;
    return 0;
}

static int map_without_either(void) {
    Code code;
    sn_error error = {0};
    if (!refuse_gaining_exec() || !refuse_memory_files()) return CANNOT_TRY;
    if (map_number(3, 64, &code, &error) != SN_ERROR_UNSUPPORTED) return 1;
    return strstr(error.text, "denies executable memory") ? 0 : 2;
}

static void hardened_systems_run_code_or_give_an_error(void **state) {
    (void)state;
    static int (*const bodies[])(void) = {map_without_gaining_exec, map_without_memory_files,
                                          map_without_either};
    for (size_t i = 0; i < 3; i++) {
        int code = in_child(bodies[i]);
        if (code == CANNOT_TRY)
            print_message("this kernel cannot deny it; case %zu not tried\n", i);
        else
            assert_int_equal(code, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_of_all_sizes_runs),
        cmocka_unit_test(freed_regions_go_back_to_the_system),
        cmocka_unit_test(empty_code_is_refused),
        cmocka_unit_test(failed_allocations_are_errors),
        cmocka_unit_test(child_and_parent_do_not_share_what_they_add),
        cmocka_unit_test(hardened_systems_run_code_or_give_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
