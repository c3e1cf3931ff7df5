/* Pages about programs that do not ask for them (SINTER_EXPLAIN), each run as a process of its own: what a
 * reader finds on them, whichever way the process ends; and the times on them. */
#include "api_case.h"
#include "base/sanitizers.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef sn_tensor *Unary(sn_tensor *);
typedef sn_tensor *Scaled(sn_tensor *, double);

/* ---- the programs ---------------------------------------------------------------------------- */

static sn_tensor *activation(sn_tensor *input) {
    return sn_mul(sn_sigmoid(input), sn_add(input, sn_c(1)));
}

static sn_tensor *scaled(sn_tensor *input, double factor) {
    return sn_sum(sn_mul(sn_exp(input), sn_c(factor)), SN_I(0), false);
}

/* A compiled function that ends the process in its midst. */
static sn_tensor *leaves(sn_tensor *input) {
    if (sn_size(input, 0) == 3) exit(3);
    return sn_neg(input);
}

static sn_tensor *ones(int64_t rows) {
    return sn_ones(SN_I(rows, 5000), SN_F32);
}

/* Calls from several threads, each with sizes of its own. */
static void *call_often(void *data) {
    sn_compiled *const *compiled = data;
    sn_scope scope = sn_scope_begin();
    for (int64_t rows = 20; rows < 24; rows++) {
        SN_FN(compiled[0], activation)(ones(rows));
        SN_FN(compiled[1], scaled)(ones(rows), (double)rows);
    }
    sn_scope_end(scope, NULL);
    return data;
}

static int run_threads(void) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    sn_scope scope = sn_scope_begin();
    sn_compiled *compiled[] = {sn_compile(activation, "t:t", NULL),
                               sn_compile(scaled, "td:t", NULL), sn_compile(leaves, "t:t", NULL)};
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, call_often, compiled);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    sn_compiled_release(compiled[0]);
    for (int64_t rows = 1; rows < 4; rows++) SN_FN(compiled[2], leaves)(ones(rows));
    sn_scope_end(scope, NULL);
    return 1; /* it has ended before */
}

static int run_fork(void) {
    sn_scope scope = sn_scope_begin();
    sn_compiled *own = sn_compile(activation, "t:t", NULL);
    SN_FN(own, activation)(ones(20));
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0 && i) exit(0); /* it made nothing: it writes nothing */
        if (child == 0) {
            sn_compiled *other = sn_compile(scaled, "td:t", NULL);
            SN_FN(other, scaled)(ones(20), 2);
            exit(sn_error_status() != SN_OK);
        }
        int status = 1;
        waitpid(child, &status, 0);
        if (status) return 1;
    }
    sn_scope_end(scope, NULL);
    return sn_error_status() != SN_OK;
}

/* Its source is not where it was built. */
static int run_elsewhere(void) {
    if (chdir("/") != 0) return 1;
    sn_scope scope = sn_scope_begin();
    sn_compiled *own = sn_compile(activation, "t:t", NULL);
    SN_FN(own, activation)(ones(20));
    sn_scope_end(scope, NULL);
    return sn_error_status() != SN_OK;
}

/* ---- running them ---------------------------------------------------------------------------- */

static char folder[300]; /* for the pages; not there yet */
static char base[64];    /* the folder that it will be in */

static int open_folder(void **state) {
    (void)state;
    snprintf(base, sizeof base, "/tmp/sinter_pages_XXXXXX");
    if (!mkdtemp(base)) return -1;
    snprintf(folder, sizeof folder, "%s/made/on the way", base);
    return 0;
}

static void remove_all(const char *path) {
    DIR *list = opendir(path);
    for (struct dirent *item; list && (item = readdir(list));) {
        char inner[600];
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        snprintf(inner, sizeof inner, "%s/%s", path, item->d_name);
        if (unlink(inner) != 0) remove_all(inner);
    }
    if (list) closedir(list);
    (void)rmdir(path);
}

static int remove_pages(void **state) {
    (void)state;
    remove_all(base);
    return 0;
}

/* Runs a program, with standard error in `said` (4096 bytes); returns its exit status. */
static int run(const char *program, const char *kind, const char *pages, char *said) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        char own[600];
        ssize_t length = readlink(program, own, sizeof own - 1);
        snprintf(own + (length > 0 ? length : 0), 600 - (size_t)(length > 0 ? length : 0), "%s",
                 length > 0 ? "" : program);
        dup2(ends[1], 2);
        close(ends[0]);
        setenv("SINTER_EXPLAIN", pages, 1);
        char *path = realpath(own, NULL);
        if (!path || chdir(SN_TESTS_DIR "/..") != 0) _exit(126);
        execl(path, path, kind, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(ends[0], said + got, 4095 - got)) > 0;) got += (size_t)n;
    said[got] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static char *read_page(const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("there is no %s", path);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static int count_files(const char *path) {
    int count = 0;
    DIR *list = opendir(path);
    for (struct dirent *item; list && (item = readdir(list));) count += item->d_name[0] != '.';
    if (list) closedir(list);
    return count;
}

/* ---- reading them ---------------------------------------------------------------------------- */

/* The number in the next cell of that label. */
static double cell(const char **at, const char *end, const char *label) {
    char mark[64], *behind;
    snprintf(mark, sizeof mark, "data-l=\"%s\">", label);
    const char *found = strstr(*at, mark);
    if (!found || found > end) fail_msg("a kernel has no %s: %.*s", label, (int)(end - *at), *at);
    *at = found + strlen(mark);
    double value = strtod(*at, &behind);
    if (behind == *at) fail_msg("no number of %s: %.40s", label, *at);
    return value;
}

/* Each kernel of the first table has a time, a rate, a share of the roof and source lines. Returns how many
 * there are. */
static int expect_kernels(const char *page, const char *line) {
    const char *at = strstr(page, ">Kernels<");
    assert_non_null(at);
    const char *end = strstr(at, "</table>");
    int kernels = 0;
    while ((at = strstr(at, "<tr><td class=\"all\"><span class=\"k\"")) && at < end) {
        const char *row_end = strstr(at, "</tr>");
        const char *source = strstr(at, line);
        if (!source || source > row_end) fail_msg("no source line: %.*s", (int)(row_end - at), at);
        assert_true(cell(&at, row_end, "ms") > 0);
        assert_true(cell(&at, row_end, "GB/s") >= 0);
        double share = cell(&at, row_end, "of the roof");
        if (share < 0 || share > 105) fail_msg("%.0f %% of the roof", share);
        assert_true(cell(&at, row_end, "moves") > 0);
        kernels++;
    }
    return kernels;
}

static void expect_parts(const char *page, const char *const *parts) {
    for (; *parts; parts++)
        if (!strstr(page, *parts)) fail_msg("\"%s\" is not in the page", *parts);
}
#define EXPECT_PARTS(page, ...) expect_parts(page, (const char *const[]){__VA_ARGS__, NULL})

/* ---- the tests ------------------------------------------------------------------------------- */

static void an_example_leaves_an_index_and_a_page(void **state) {
    (void)state;
    char said[4096];
    if (run("../examples/hello", NULL, folder, said) != 0) fail_msg("%s", said);
    assert_string_equal(said, "");
    char *index = read_page("index.html"), *page = read_page("layer.html");
    EXPECT_PARTS(index, "<!DOCTYPE html>", "Compiled functions of hello", "href=\"layer.html\"",
                 "examples/hello.c:", "the first call", "</html>");
    assert_int_equal(expect_kernels(page, "hello.c:6"), 1);
    EXPECT_PARTS(page, "href=\"index.html\"", "sn_matmul(x, w), b)", ">x</text>", ">w</text>",
                 ">b</text>", "prefers-color-scheme:dark", "max-width:640px", " KB</b>",
                 "ms</b><span>in kernels, a call", "kernel IR", "</html>");
    assert_null(strstr(page, "http")); /* nothing is fetched … */
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "machine code")); /* … and no code generator started at the exit */
    assert_int_equal(count_files(folder), 2);
    free(index);
    free(page);
}

static void threads_a_release_and_an_exit_in_the_midst(void **state) {
    (void)state;
    char said[4096];
    if (run("/proc/self/exe", "threads", folder, said) != 3) fail_msg("%s", said);
    char *index = read_page("index.html");
    char *released = read_page("activation.html"), *other = read_page("scaled.html");
    EXPECT_PARTS(index, "href=\"activation.html\"", "href=\"scaled.html\"", "href=\"leaves.html\"",
                 "input is f32[", ",5000], was f32[", "factor is ", "compiled for other sizes too");
    assert_int_equal(expect_kernels(released, "test_pages.c:"), 1);
    assert_true(expect_kernels(other, "test_pages.c:") >= 1);
    EXPECT_PARTS(released, "s0 is dim 0 of input", "sn_mul(sn_sigmoid(input)");
    char *left = read_page("leaves.html");
    EXPECT_PARTS(left, "exit(3)", "the first call");
    free(index);
    free(released);
    free(other);
    free(left);
}

static void a_forked_child_writes_of_its_own_functions(void **state) {
    (void)state;
    if (THREAD_SANITIZER) skip(); /* it allows a child no threads */
    char said[4096], name[600];
    if (run("/proc/self/exe", "fork", folder, said) != 0) fail_msg("%s", said);
    char *page = read_page("activation.html");
    assert_int_equal(expect_kernels(page, "test_pages.c:"), 1);
    free(page);
    int children = 0;
    DIR *list = opendir(folder);
    for (struct dirent *item; list && (item = readdir(list));) {
        if (strncmp(item->d_name, "child-", 6) != 0) continue;
        children++;
        snprintf(name, sizeof name, "%s/%s", folder, item->d_name);
        assert_int_equal(count_files(name), 2); /* scaled, and the index */
        snprintf(name, sizeof name, "%s/scaled.html", item->d_name);
        page = read_page(name);
        assert_true(expect_kernels(page, "test_pages.c:") >= 1);
        free(page);
    }
    closedir(list);
    assert_int_equal(children, 1);
    assert_int_equal(count_files(folder), 3);
}

static void without_the_source_lines_have_their_ops(void **state) {
    (void)state;
    char said[4096];
    if (run("/proc/self/exe", "elsewhere", folder, said) != 0) fail_msg("%s", said);
    char *page = read_page("activation.html");
    assert_int_equal(expect_kernels(page, "test_pages.c:"), 1);
    EXPECT_PARTS(page, "is not at hand", "sigmoid f32[20,5000], ", ">t0</text>");
    free(page);
}

static void a_folder_that_cannot_be_is_told_in_a_line(void **state) {
    (void)state;
    char said[4096], file[400];
    snprintf(file, sizeof file, "%s/file", base);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    snprintf(file, sizeof file, "%s/file/folder", base);
    assert_int_equal(run("/proc/self/exe", "threads", file, said), 3);
    assert_non_null(strstr(said, "SINTER_EXPLAIN: "));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void times_are_had_by_asking_too(void **state) {
    (void)state;
    sn_scope scope = sn_scope_begin();
    sn_compiled *c = sn_compile(activation, "t:t", NULL);
    sn_tensor *x = ones(20);
    assert_non_null(SN_FN(c, activation)(x));
    char *page = sn_dump(c, "html", NULL), *text = sn_explain_text(c);
    EXPECT_PARTS(page, "Not timed");
    assert_null(strstr(text, "median"));
    sn_text_free(page);
    sn_text_free(text);
    assert_true(sn_kernel_seconds(c, &(sn_value){SN_VALUE_TENSOR, 0, {.tensor = x}}, 1, 20) > 0);
    page = sn_dump(c, "html", NULL);
    text = sn_explain_text(c);
    assert_int_equal(expect_kernels(page, "test_pages.c:"), 1);
    EXPECT_PARTS(text, "ms (median of 15)", "test_pages.c:");
    sn_text_free(page);
    sn_text_free(text);
    sn_compiled_release(c);
    sn_scope_end(scope, NULL);
}

/* ---- explanations ---------------------------------------------------------------------------- */

static void a_function_that_was_not_called_says_so(void **state) {
    (void)state;
    sn_error error = {.size = sizeof error};
    sn_compiled *c = sn_compile(scaled, "td:t", NULL);
    char *text = sn_explain_text(c);
    assert_string_equal(text, "scaled: no call was compiled yet: there is nothing to explain\n");
    sn_text_free(text);
    assert_null(sn_dump(c, "nostage", NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "dump: ");
    assert_null(sn_dump(c, "html", &error));
    assert_non_null(strstr(error.text, "scaled was not called yet"));
    EXPECT_OK();
    sn_compiled_release(c);
}

static void each_compilation_has_its_cause(void **state) {
    (void)state;
    assert_int_equal(chdir(SN_TESTS_DIR "/.."), 0);
    sn_compile_options options = {.size = sizeof options, .shapes = SN_SHAPES_STATIC};
    sn_compiled *c = sn_compile(scaled, "td:t", &options);
    Scaled *fast = SN_FN(c, scaled);
    sn_tensor *wide = ones(3);
    assert_non_null(fast(ones(2), 1));
    assert_non_null(fast(ones(2), 4));
    assert_non_null(fast(ones(3), 4));
    assert_non_null(fast(sn_transpose(sn_ones(SN_I(5000, 3), SN_F32), 0, 1), 4));
    assert_non_null(fast(sn_cast(wide, SN_F64), 4));
    char *text = sn_explain_text(c);
    EXPECT_PARTS(text, "1: the first call",
                 "factor is 4, was 1: ", "input is f32[3,5000], was f32[2,5000]",
                 "input has strides [1,3], had [5000,1]", "input is f64[3,5000], was f32[3,5000]",
                 "; factor is 1;", "; factor is 4;");
    sn_text_free(text);
    sn_compiled_release(c);
}

static sn_tensor *adds(sn_tensor *left, sn_tensor *right) {
    sn_add_(left, right);
    return sn_mul(left, right);
}

/* Arguments that begin at one element, and then do not: not the ops that this brings along. */
static void sharing_is_named_as_a_cause(void **state) {
    (void)state;
    assert_int_equal(chdir(SN_TESTS_DIR "/.."), 0);
    sn_compiled *c = sn_compile(adds, "tt:t", NULL);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(8)), *y = tensor_random(2, SN_F32, SN_I(8));
    assert_non_null(SN_FN(c, adds)(x, sn_reshape(x, SN_I(8))));
    assert_non_null(SN_FN(c, adds)(x, y));
    char *text = sn_explain_text(c);
    EXPECT_PARTS(text, "right and left no longer begin at one element");
    sn_text_free(text);
    sn_compiled_release(c);
}

/* Refusals of one kind are one line, with their source lines. */
static sn_tensor *layers(sn_tensor *x, sn_tensor *w) {
    for (int i = 0; i < 20; i++) x = sn_relu(sn_matmul(x, w));
    return sn_neg(sn_matmul(x, w));
}

static void refusals_are_told_by_kind(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(layers, "tt:t", NULL);
    assert_non_null(SN_FN(c, layers)(ones(4), tensor_random(1, SN_F32, SN_I(5000, 5000))));
    char *text = sn_explain_text(c);
    int lines = 0;
    for (const char *at = text; (at = strstr(at, "not fused: ")); at++) lines++;
    assert_true(lines >= 1 && lines <= 3);
    EXPECT_PARTS(text, " times: ", "test_pages.c:");
    sn_text_free(text);
    sn_compiled_release(c);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "threads") == 0) return run_threads();
    if (argc == 2 && strcmp(argv[1], "fork") == 0) return run_fork();
    if (argc == 2 && strcmp(argv[1], "elsewhere") == 0) return run_elsewhere();
#define PAGES_TEST(test) cmocka_unit_test_setup_teardown(test, open_folder, remove_pages)
    const struct CMUnitTest tests[] = {
        PAGES_TEST(an_example_leaves_an_index_and_a_page),
        PAGES_TEST(threads_a_release_and_an_exit_in_the_midst),
        PAGES_TEST(a_forked_child_writes_of_its_own_functions),
        PAGES_TEST(without_the_source_lines_have_their_ops),
        PAGES_TEST(a_folder_that_cannot_be_is_told_in_a_line),
        cmocka_unit_test(times_are_had_by_asking_too),
        API_TEST(a_function_that_was_not_called_says_so),
        API_TEST(each_compilation_has_its_cause),
        API_TEST(sharing_is_named_as_a_cause),
        API_TEST(refusals_are_told_by_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
