/* What is missing is done without, or named: no code generator (an empty module folder), no place for
 * the disk cache, no home. Eager ops run from the pack, compiled functions op by op, the cache is
 * silently off; results are the same bits. */
#include "api_case.h"

#include "base/settings.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 4 };

static char empty[] = "/tmp/sinter_degraded_XXXXXX";
static char modules[512];

/* ---- no code generator ----------------------------------------------------------------------- */

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

static sn_tensor *norm_and_gelu(sn_tensor *x, sn_tensor *y) {
    sn_tensor *h = sn_layer_norm(sn_add(x, y), SN_NONE, SN_NONE, 1e-5);
    return sn_gelu(sn_mul(h, sn_c(1.5)), SN_GELU_TANH);
}

static sn_tensor *views(sn_tensor *x, sn_tensor *y) {
    sn_tensor *t = sn_transpose(sn_narrow(x, 1, 1, 3), 0, 1);
    return sn_cat((sn_tensor *[]){sn_reshape(t, SN_I(-1)), sn_reshape(y, SN_I(-1))}, 2, 0);
}

/* The written input comes first, its old value goes elsewhere. */
static sn_tensor *moves(sn_tensor *x, sn_tensor *y) {
    sn_copy_(y, x);
    sn_fill_(x, 7);
    return sn_add(x, y);
}

static sn_tensor *exchanges(sn_tensor *x, sn_tensor *y) {
    sn_tensor *old = sn_clone(x);
    sn_copy_(x, y);
    sn_copy_(y, old);
    return sn_sub(x, y);
}

static sn_tensor *turns(sn_tensor *x, sn_tensor *y) {
    sn_copy_(x, sn_flip(x, SN_I(0, 1))); /* its own memory, in another order */
    sn_add_(sn_select(y, 0, 1), sn_select(x, 0, 0));
    return sn_neg(y);
}

static sn_tensor *reads(sn_tensor *x, sn_tensor *y) {
    sn_mul_(x, sn_ci(2));
    if (sn_item(sn_sum(x, SN_I0, false)) > 0) return sn_add(x, y);
    return sn_sub(x, y);
}

static sn_tensor *input_for(uint32_t seed) {
    return tensor_random(seed, SN_F32, SN_I(4, 5));
}

/* `missing`: the function has a kernel that only a code generator can make. */
static void expect_eager_bits(Binary *function, const char *name, bool missing) {
    sn_compiled *c = sn_compile(function, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        sn_tensor *x = input_for(i + 1), *y = input_for(i + 50), *x1 = sn_clone(x),
                  *y1 = sn_clone(y);
        sn_tensor *got = fast(x, y), *want = function(x1, y1);
        if (!got || !want) print_error("%s:\n", name);
        EXPECT_SAME(got, want);
        EXPECT_SAME(x, x1);
        EXPECT_SAME(y, y1);
    }
    char *text = sn_explain_text(c);
    assert_non_null(text);
    if (missing && (!strstr(text, "not compiled: ") || !strstr(text, "libsinter_cpu.so")))
        fail_msg("%s: %s", name, text);
    sn_text_free(text);
    sn_compiled_release(c);
}

static void without_a_code_generator_compiled_functions_run_op_by_op(void **state) {
    (void)state;
    needs_pack();
    sn_counters before = counters_now();
    expect_eager_bits(norm_and_gelu, "norm_and_gelu", true);
    expect_eager_bits(views, "views", false);
    expect_eager_bits(moves, "moves", false);
    expect_eager_bits(exchanges, "exchanges", false);
    expect_eager_bits(turns, "turns", false);
    expect_eager_bits(reads, "reads", false);
    sn_counters after = counters_now();
    assert_true(after.fallbacks > before.fallbacks);
    assert_int_equal(after.compiles, before.compiles);
    assert_true(after.cache_pack_hits > before.cache_pack_hits);
}

static void without_a_code_generator_eager_runs_from_the_pack(void **state) {
    (void)state;
    needs_pack();
    sn_tensor *x = tensor_of(SN_F32, SN_I(2, 2), V(1, 2, 3, 4));
    EXPECT_VALUES(sn_add(x, sn_c(1)), 2, 3, 4, 5);
    EXPECT_VALUES(sn_sum(x, SN_I(0), false), 4, 6);
    EXPECT_VALUES(sn_transpose(x, 0, 1), 1, 3, 2, 4);
    EXPECT_VALUES(sn_max(x, SN_I0, false), 4);
    sn_tensor *i = tensor_of(SN_I64, SN_I(3), V(1, 0, 1));
    EXPECT_VALUES(sn_embedding(x, i), 3, 4, 1, 2, 3, 4);
    EXPECT_VALUES(sn_mul(i, sn_ci(3)), 3, 0, 3);
    EXPECT_SHAPE(sn_randn(&(sn_rng){1, 2}, SN_I(3, 4), SN_F32), SN_F32, SN_I(3, 4));
}

static sn_tensor *rare(sn_tensor *x, sn_tensor *y) {
    return sn_addcmul(sn_cast(x, SN_I16), sn_cast(y, SN_I16), sn_cast(x, SN_I16), 3);
}

static void an_op_outside_the_pack_is_an_error_that_says_what_is_missing(void **state) {
    (void)state;
    needs_pack();
    sn_tensor *x = input_for(1), *y = input_for(2), *y0 = sn_clone(y);
    assert_null(rare(x, y));
    EXPECT_ERROR(SN_ERROR_UNSUPPORTED, "test_degraded.c:", "cannot load module", "libsinter_cpu.so",
                 "generated at build time still run");
    sn_compiled *c = sn_compile(rare, "tt:t", NULL);
    for (int i = 0; i < 3; i++) {
        assert_null(SN_FN(c, rare)(x, y));
        EXPECT_ERROR(SN_ERROR_UNSUPPORTED, "cannot load module", "libsinter_cpu.so");
    }
    EXPECT_VALUES(sn_sub(y, y0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_null(sn_dump(c, "llvm", NULL));
    EXPECT_ERROR(SN_ERROR_UNSUPPORTED, "cannot load module", "libsinter_cpu.so");
    char *graph = sn_dump(c, "graph", NULL);
    assert_non_null(graph);
    sn_text_free(graph);
    sn_compiled_release(c);
}

static void a_code_generator_that_comes_later_is_found(void **state) {
    (void)state;
    sn_tensor *x = input_for(1), *y = input_for(2);
    assert_null(rare(x, y));
    EXPECT_ERROR(SN_ERROR_UNSUPPORTED, "libsinter_cpu.so");
    setting_set(SETTING_MODULE_DIR, modules);
    sn_tensor *want = rare(x, y);
    EXPECT_SHAPE(want, SN_I16, SN_I(4, 5));
    assert_non_null(sn_matmul(x, sn_transpose(y, 0, 1)));
    sn_compiled *c = sn_compile(rare, "tt:t", NULL);
    sn_counters before = counters_now();
    for (int i = 0; i < 3; i++) EXPECT_SAME(SN_FN(c, rare)(x, y), want);
    assert_int_equal(counters_now().fallbacks, before.fallbacks);
    sn_compiled_release(c);
    setting_set(SETTING_MODULE_DIR, empty);
}

/* ---- no place for the cache ------------------------------------------------------------------ */

/* Runs in a process of its own: the cache is opened once. True if compiling gave eager's bits. */
static bool compiles_like_eager(void) {
    setting_set(SETTING_MODULE_DIR, modules);
    sn_scope scope = sn_scope_begin();
    sn_counters before = counters_now();
    sn_compiled *c = sn_compile(norm_and_gelu, "tt:t", NULL);
    Binary *fast = SN_FN(c, norm_and_gelu);
    bool same = fast != NULL;
    for (uint32_t i = 0; same && i < 3; i++) {
        sn_tensor *x = input_for(i), *y = input_for(i + 9);
        float got[20], want[20];
        same = sn_read(fast(x, y), SN_F32, got, sizeof got) &&
               sn_read(norm_and_gelu(x, y), SN_F32, want, sizeof want) &&
               memcmp(got, want, sizeof got) == 0;
    }
    if (sn_error_status() != SN_OK) printf("%s\n", sn_error_text());
    sn_compiled_release(c);
    sn_scope_end(scope, NULL);
    return same && counters_now().compiles > before.compiles && sn_error_take(NULL) == SN_OK;
}

/* Silence is nothing on standard error, which the child has in a file. */
static void expect_silence_and_bits(const char *what) {
    char path[600];
    snprintf(path, sizeof path, "%s/stderr", empty);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool caught = freopen(path, "w", stderr) != NULL;
        bool same = compiles_like_eager();
        fflush(NULL);
        _exit(!caught ? 3 : same ? 0 : 1);
    }
    int status;
    struct stat info;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(stat(path, &info), 0);
    unlink(path);
    if (status || info.st_size)
        fail_msg("%s: the child ended with %d, %lld bytes printed", what, status,
                 (long long)info.st_size);
}

static void a_cache_folder_that_cannot_be_is_silently_off(void **state) {
    (void)state;
    static const char *const folders[] = {
        "/dev/null/below/a/file", "/proc/sinter", "/proc/self/fd",
        "/sys/kernel/no/such",    "/proc/1/task",
    };
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        setting_set(SETTING_CACHE_DIR, folders[i]);
        expect_silence_and_bits(folders[i]);
    }
}

static void without_a_home_the_cache_is_silently_off(void **state) {
    (void)state;
    setting_set(SETTING_CACHE_DIR, "");
    setting_set(SETTING_XDG_CACHE_HOME, "");
    setting_set(SETTING_HOME, "");
    expect_silence_and_bits("no home");
}

static int begin(void **state) {
    (void)state;
    snprintf(modules, sizeof modules, "%s", setting_text(SETTING_MODULE_DIR));
    if (!mkdtemp(empty)) return -1;
    setting_set(SETTING_MODULE_DIR, empty);
    return 0;
}

static int end(void **state) {
    (void)state;
    return rmdir(empty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        /* first: what this process loads, its children have too */
        cmocka_unit_test(a_cache_folder_that_cannot_be_is_silently_off),
        cmocka_unit_test(without_a_home_the_cache_is_silently_off),
        API_TEST(without_a_code_generator_compiled_functions_run_op_by_op),
        API_TEST(without_a_code_generator_eager_runs_from_the_pack),
        API_TEST(an_op_outside_the_pack_is_an_error_that_says_what_is_missing),
        API_TEST(a_code_generator_that_comes_later_is_found),
    };
    return cmocka_run_group_tests_name("degraded", tests, begin, end);
}
