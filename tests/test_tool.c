/* The `sinter` command as a user meets it: its output, its messages, its exit statuses. Runs the
 * program of this build, which lies at ../tools/sinter from the folder that tests run in. */
#include <sinter/sinter.h>

#include <cjson/cJSON.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SINTER "../tools/sinter "

/* What a run of the program gave. */
typedef struct Run {
    char *text; /* standard output, and standard error where the command line says 2>&1 */
    int status; /* exit status */
} Run;

static Run run(const char *arguments) {
    char line[1024];
    snprintf(line, sizeof line, SINTER "%s", arguments);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t capacity = 1 << 20, used = 0;
    Run result = {malloc(capacity), 0};
    assert_non_null(result.text);
    for (size_t got = 1; got && used + 1 < capacity; used += got)
        got = fread(result.text + used, 1, capacity - 1 - used, pipe);
    result.text[used] = 0;
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    result.status = WEXITSTATUS(status);
    return result;
}

static void expect(const char *arguments, int status, const char *part) {
    Run result = run(arguments);
    if (!strstr(result.text, part)) fail_msg("no \"%s\" in: %s", part, result.text);
    assert_int_equal(result.status, status);
    free(result.text);
}

static void help_and_version_succeed(void **state) {
    (void)state;
    expect("--version", 0, "sinter 0.");
    expect("--help", 0, "bench");
    expect("bench --help", 0, "--threads N");
    expect("dump --help", 0, "--stage NAME");
    expect("dump --list-stages", 0, "llvm");
    expect("explain --help", 0, "--html FILE");
    expect("explain 2>&1", 2, "one WORKLOAD or FILE is needed");
    expect("explain tiny_2", 0, "ms (median of");
    expect("explain tiny 2>&1", 2, "nor one alone whose name begins so");
    expect("explain " SN_TESTS_DIR "/../examples/rms.graph", 0, "kernel 0: sum+div+rsqrt");
    expect("explain --html x " SN_TESTS_DIR "/../examples/rms.graph 2>&1", 2, "not of a FILE");
    expect("explain /nowhere/x.graph 2>&1", 1, "sinter explain: /nowhere/x.graph: No such file");
    expect("dump --stage explain " SN_TESTS_DIR "/../examples/rms.graph", 0, "peak memory");
    expect("explain fly 2>&1", 2, "there is no workload \"fly\"");
    expect("explain tiny_2args", 0, "guards");
    expect("explain --html /dev/stdout tiny_2args", 0, "<!DOCTYPE html>");
    expect("explain --timeline /dev/stdout tiny_2args", 0, "traceEvents");
    expect("explain --html /nowhere/x tiny_2args 2>&1", 1, "/nowhere/x: No such file");
}

static void wrong_command_lines_are_refused(void **state) {
    (void)state;
    expect("2>&1", 2, "usage: sinter");
    expect("fly 2>&1", 2, "there is no command \"fly\"");
    expect("bench --fly 2>&1", 2, "sinter bench: unrecognized option '--fly'");
    expect("bench fly 2>&1", 2, "there is no workload \"fly\"");
    expect("bench --threads 0 2>&1", 2, "--threads is a number from 1 to 1024, not \"0\"");
    expect("bench --threads 2x 2>&1", 2, "not \"2x\"");
    expect("bench --seconds -1 2>&1", 2, "--seconds is a positive number");
    expect("bench --mode slow 2>&1", 2, "--mode is exact or fast, not \"slow\"");
    expect("dump 2>&1", 2, "one FILE or one --workload is needed");
    expect("dump --workload fly 2>&1", 2, "there is no workload \"fly\"");
    expect("dump --stage fly - 2>&1", 2, "there is no stage \"fly\"");
    expect("dump --stage guards - 2>&1 </dev/null", 1, "sinter dump: -: ");
    expect("dump /nonexistent.graph 2>&1", 1, "/nonexistent.graph: No such file");
}

static void every_workload_is_listed(void **state) {
    (void)state;
    static const char *const names[] = {
        "pointwise_4K",      "pointwise_1M",       "pointwise_16M",
        "softmax_4096x1024", "layernorm_4096x768", "xent_512x32000",
        "matmul_1024",       "mlp_128x768x3072",   "rmsnorm_silu_4096x2048",
        "mlp_1x768x3072",    "block_1x256",        "attention_4x12x256x64",
        "gpt2_1x128",        "tiny_2args",         "tiny_8args",
        "tiny_16args",
    };
    Run list = run("bench --list");
    assert_int_equal(list.status, 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strstr(list.text, names[i])) fail_msg("%s is not listed", names[i]);
    free(list.text);
}

/* Kernels that a workload launches, as `sinter explain` says in its first line. */
static int launches_of(const char *workload) {
    char line[128];
    int ops = 0, kernels = 0;
    snprintf(line, sizeof line, "explain %s", workload);
    Run result = run(line);
    assert_int_equal(result.status, 0);
    const char *colon = strchr(result.text, ':');
    assert_true(colon && sscanf(colon, ": %d ops, %d kernels", &ops, &kernels) == 2);
    free(result.text);
    return kernels;
}

/* A convolution with its norm, residual and relu is one, and so is an attention. Of resnet50 there are the
 * copy of the image besides, the pool, the mean and the classifier; of a block of gpt2 two norms, four
 * products and the attention. */
static void models_take_few_launches(void **state) {
    (void)state;
    setenv("SINTER_THREADS", "2", 1);
    assert_true(launches_of("resnet50_b1") <= 53 + 4);
    assert_int_equal(launches_of("block_1x256"), 7);
    assert_int_equal(launches_of("mlp_128x768x3072"), 2);
    assert_int_equal(launches_of("attention_4x12x256x64"), 1);
    unsetenv("SINTER_THREADS");
}

/* ---- bench ----------------------------------------------------------------------------------- */

static cJSON *bench(const char *arguments) {
    char line[256];
    snprintf(line, sizeof line, "bench --json --seconds 0.01 %s", arguments);
    Run result = run(line);
    assert_int_equal(result.status, 0);
    cJSON *object = cJSON_Parse(result.text);
    if (!object) fail_msg("not JSON: %s", result.text);
    free(result.text);
    return object;
}

static double number(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void a_bench_line_has_the_promised_fields(void **state) {
    (void)state;
    static const char *const names[] = {
        "workload",
        "device",
        "mode",
        "threads",
        "eager_s",
        "compiled_s",
        "speedup",
        "eager_kernels",
        "compiled_kernels",
        "extern_calls",
        "reorders",
        "phases",
        "fallbacks",
        "cold_compile_s",
        "llvm_load_s",
        "warm_load_s",
        "dispatch_s",
        "bytes",
        "flops",
        "instructions",
        "roofline_share",
        "bitwise_equal",
        "output_hash",
        "max_ulp",
        "peak_bytes_eager",
        "peak_bytes_compiled",
    };
    enum { COUNT = sizeof names / sizeof names[0] };
    cJSON *object = bench("pointwise_4K");
    assert_int_equal(cJSON_GetArraySize(object), COUNT);
    const cJSON *item = object->child;
    for (int i = 0; i < COUNT; i++, item = item->next) assert_string_equal(item->string, names[i]);
    assert_int_equal((int)number(object, "bytes"), 5 * 4096 * 4);
    assert_int_equal((int)number(object, "compiled_kernels"), 1);
    assert_int_equal((int)number(object, "eager_kernels"), 9);
    assert_int_equal((int)number(object, "phases"), 1);
    assert_int_equal((int)number(object, "fallbacks"), 0);
    assert_int_equal((int)number(object, "max_ulp"), 0);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "bitwise_equal")));
    assert_true(number(object, "peak_bytes_compiled") <= number(object, "peak_bytes_eager"));
    assert_true(number(object, "eager_s") > 0 && number(object, "compiled_s") > 0);
    assert_true(number(object, "cold_compile_s") >= 0 && number(object, "warm_load_s") > 0);
    assert_true(number(object, "roofline_share") > 0);
    cJSON_Delete(object);
}

static void the_output_does_not_depend_on_threads(void **state) {
    (void)state;
    static const char *const runs[] = {"--threads 1 tiny_16args", "--threads 2 tiny_16args",
                                       "--threads 5 tiny_16args"};
    char hashes[3][17];
    for (int i = 0; i < 3; i++) {
        cJSON *object = bench(runs[i]);
        snprintf(hashes[i], sizeof hashes[i], "%s",
                 cJSON_GetObjectItemCaseSensitive(object, "output_hash")->valuestring);
        assert_int_equal((int)strlen(hashes[i]), 16);
        cJSON_Delete(object);
    }
    assert_string_equal(hashes[0], hashes[1]);
    assert_string_equal(hashes[0], hashes[2]);
}

static void the_server_measures_on_request(void **state) {
    (void)state;
    Run result = run("bench --serve 2>&1 <<'END'\n"
                     "run eager 0.01\nload fly\nload tiny_2args\nrun eager 0.01\n"
                     "run compiled 0.01\nroof\nsave no_such_folder/file\nquit\nEND\n");
    char *line = strtok(result.text, "\n");
    static const char *const starts[] = {"error ", "error ", "ok", "ok ", "ok ", "ok ", "error "};
    for (int i = 0; i < 7; i++, line = strtok(NULL, "\n")) {
        assert_non_null(line);
        assert_memory_equal(line, starts[i], strlen(starts[i]));
        if (starts[i][2] == ' ') assert_true(strtod(line + 3, NULL) > 0);
    }
    assert_int_equal(result.status, 0);
    free(result.text);
}

/* What another program computes on, and has to come to. */
static void the_server_saves_inputs_and_result(void **state) {
    (void)state;
    expect("bench --serve <<'END'\nload tiny_2args\nsave served.safetensors\nEND\n", 0, "ok\nok\n");
    sn_scope scope = sn_scope_begin();
    sn_safetensors *file = sn_safetensors_open("served.safetensors");
    assert_int_equal(sn_safetensors_count(file), 3);
    sn_tensor *x0 = sn_safetensors_get(file, "x0"), *x1 = sn_safetensors_get(file, "x1");
    sn_tensor *y = sn_safetensors_get(file, "y");
    assert_true(sn_item(sn_all(sn_eq(y, sn_add(sn_mul(x0, x1), sn_c(1))), SN_I0, false)) == 1);
    sn_safetensors_close(file);
    sn_scope_end(scope, NULL);
    remove("served.safetensors");
}

/* ---- dump ------------------------------------------------------------------------------------ */

#define GRAPH                                                                                      \
    "<<'END'\n"                                                                                    \
    "graph scale(%%0: f32[7,3], %%1: f32[3]) {\n"                                                  \
    "  %%2 = mul %%0, %%1 : f32[7,3]\n"                                                            \
    "  %%3 = softmax %%2 {axis=1} : f32[7,3]\n"                                                    \
    "  return %%3\n"                                                                               \
    "}\nEND\n"

static void expect_stage(const char *option, const char *part) {
    char line[512];
    snprintf(line, sizeof line, "dump %s - " GRAPH, option);
    expect(line, 0, part);
}

static void every_stage_of_a_graph_prints(void **state) {
    (void)state;
    expect_stage("--stage graph", "softmax %2 {axis=1}");
    expect_stage("--stage decompose", "exp ");
    expect_stage("--stage program", "step 0: kernel");
    expect_stage("--stage kernels", "reduce_max");
    expect_stage("--stage llvm", "define ");
    expect_stage("--stage llvm", "llvm.prefetch"); /* a row that several loops read */
    expect_stage("--stage asm", ".text");
    expect_stage("--stage cuda", "__global__");
    expect_stage("--dot", "digraph");
    expect_stage("", "==== asm: ");
}

static void guards_need_a_workload(void **state) {
    (void)state;
    expect("dump --workload tiny_2args --stage guards", 0, "f32[16]");
    char line[512];
    snprintf(line, sizeof line, "dump --stage guards - 2>&1 " GRAPH);
    expect(line, 2, "needs --workload");
}

static void a_malformed_graph_is_named_with_its_line(void **state) {
    (void)state;
    expect("dump - 2>&1 <<'END'\ngraph g(%0: f32[4]) {\n  %1 = fly %0 : f32[4]\nEND\n", 1,
           "sinter dump: -: line 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_version_succeed),
        cmocka_unit_test(wrong_command_lines_are_refused),
        cmocka_unit_test(every_workload_is_listed),
        cmocka_unit_test(models_take_few_launches),
        cmocka_unit_test(a_bench_line_has_the_promised_fields),
        cmocka_unit_test(the_output_does_not_depend_on_threads),
        cmocka_unit_test(the_server_measures_on_request),
        cmocka_unit_test(the_server_saves_inputs_and_result),
        cmocka_unit_test(every_stage_of_a_graph_prints),
        cmocka_unit_test(guards_need_a_workload),
        cmocka_unit_test(a_malformed_graph_is_named_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
