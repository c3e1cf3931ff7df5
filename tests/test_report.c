/* What a program can look at: the HTML report of a compiled function, and the timeline of its calls. */
#include "api_case.h"

#include "base/mem.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <unistd.h>

static sn_tensor *layer(sn_tensor *x, sn_tensor *w) {
    sn_tensor *h = sn_matmul(x, w); /* x & w < everything */
    return sn_softmax(sn_gelu(h, SN_GELU_TANH), 1);
}
typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

static sn_compiled *called(int64_t rows) {
    sn_compiled *c = sn_compile(layer, "tt:t", NULL);
    Binary *fast = SN_FN(c, layer);
    for (int64_t n = 3; n < 3 + rows; n++)
        assert_non_null(
            fast(tensor_random(1, SN_F32, SN_I(n, 4)), tensor_random(2, SN_F32, SN_I(4, 6))));
    return c;
}

static void expect_parts(const char *page, const char *const *parts, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!strstr(page, parts[i])) fail_msg("\"%s\" is not in the page", parts[i]);
}
#define EXPECT_PARTS(page, ...)                                                                    \
    expect_parts(page, (const char *const[]){__VA_ARGS__},                                         \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void the_report_is_one_page_with_everything(void **state) {
    (void)state;
    sn_compiled *c = called(1);
    sn_error error = {.size = sizeof error};
    assert_int_equal(chdir("/"), 0); /* the source is not at hand: the lines' numbers are */
    char *bare = sn_dump(c, "html", &error);
    EXPECT_PARTS(bare, ">Source<", "test_report.c", "kernel 1</span>");
    assert_null(strstr(bare, "everything"));
    sn_text_free(bare);
    assert_int_equal(chdir(SN_TESTS_DIR "/.."), 0);
    char *page = sn_dump(c, "html", &error);
    if (!page) fail_msg("%s", error.text);
    EXPECT_PARTS(page, "<!DOCTYPE html>", "<title>layer</title>", "test_report.c", "</html>",
                 ">Source<", ">Graph<", "What was not fused, and why", "Why it was compiled",
                 "the first call", ">Times of compiling<", "Memory over the steps",
                 "Graphs and guards", ">Kernels<", "kernel IR", "LLVM IR", "machine code", "<svg",
                 "contract", "kernel 0", "kernel 1", "f32[3,4]", ">x</text>", ">w</text>",
                 /* the program's own line, escaped */
                 "sn_tensor *h = sn_matmul(x, w); /* x &amp; w &lt; everything */");
    assert_null(strstr(page, "http")); /* nothing is fetched */
    assert_null(strstr(page, "x & w"));
    sn_text_free(page);
    sn_compiled_release(c);
}

static void a_general_functions_report_names_its_sizes(void **state) {
    (void)state;
    sn_compiled *c = called(4);
    char *page = sn_dump(c, "html", NULL);
    assert_non_null(page);
    EXPECT_PARTS(page, "f32[s0,4]", "s0 is dim 0 of x", "graph 1: 3 ops, general");
    sn_text_free(page);
    sn_compiled_release(c);
}

/* Fifteen kernels, no two alike. */
static sn_tensor *many_kernels(sn_tensor **x, int32_t n) {
    sn_tensor *total = sn_c(0);
    (void)n;
#define ADD(i, op) total = sn_add(total, sn_sum(op(x[i]), SN_I0, false))
    ADD(0, sn_exp), ADD(1, sn_log), ADD(2, sn_sin), ADD(3, sn_cos), ADD(4, sn_tan);
    ADD(5, sn_tanh), ADD(6, sn_sigmoid), ADD(7, sn_sqrt), ADD(8, sn_rsqrt), ADD(9, sn_erf);
    ADD(10, sn_abs), ADD(11, sn_neg), ADD(12, sn_square), ADD(13, sn_floor), ADD(14, sn_relu);
#undef ADD
    return total;
}

/* Machine code takes some ten milliseconds a kernel: the page has that of a dozen. */
static void a_page_has_the_code_of_few_kernels(void **state) {
    (void)state;
    enum { KERNELS = 15, SHOWN = 12 };
    sn_tensor *x[KERNELS];
    sn_compiled *c = sn_compile(many_kernels, "t*:t", NULL);
    for (int i = 0; i < KERNELS; i++) x[i] = tensor_random(1, SN_F32, SN_I(100 + i));
    assert_non_null(SN_FN(c, many_kernels)(x, KERNELS));
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_true(e.kernels >= KERNELS);
    char *page = sn_dump(c, "html", NULL);
    int shown = 0;
    for (const char *at = page; (at = strstr(at, ">machine code<")); at++) shown++;
    assert_int_equal(shown, SHOWN);
    EXPECT_PARTS(page, ">x[3]</text>", ">x[14]</text>");
    sn_text_free(page);
    sn_compiled_release(c);
}

static sn_tensor *reads(sn_tensor *x, sn_tensor *w) {
    if (sn_item(sn_sum(x, SN_I0, false)) > 100) return sn_mul(x, w);
    return sn_add(x, w);
}

static void a_function_with_a_host_read_is_explained(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(reads, "tt:t", NULL);
    Binary *fast = SN_FN(c, reads);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(5));
    for (int i = 0; i < 3; i++) assert_non_null(fast(x, x));
    char *text = sn_explain_text(c);
    EXPECT_PARTS(text, "1 host reads", "run on every call: it reads values on the host",
                 "first host read: ", "test_report.c:", "graph 0: 1 ops", "graph 1: 1 ops");
    sn_text_free(text);
    char *page = sn_dump(c, "html", NULL);
    EXPECT_PARTS(page, "<!DOCTYPE html>", "<b>1</b><span>host read<");
    sn_text_free(page);
    sn_compiled_release(c);
}

/* ---- the timeline ---------------------------------------------------------------------------- */

typedef struct Span {
    double begin, end; /* microseconds */
    int count;         /* events of the kind */
} Span;

/* The latest span of a category, and how many there are. */
static Span spans_of(const cJSON *events, const char *what) {
    Span span = {0};
    const cJSON *event;
    cJSON_ArrayForEach(event, events) {
        if (strcmp(cJSON_GetObjectItem(event, "cat")->valuestring, what) != 0) continue;
        assert_string_equal(cJSON_GetObjectItem(event, "ph")->valuestring, "X");
        span.begin = cJSON_GetObjectItem(event, "ts")->valuedouble;
        span.end = span.begin + cJSON_GetObjectItem(event, "dur")->valuedouble;
        span.count++;
    }
    return span;
}

/* Microseconds of the clock that timelines of all threads have. */
static double monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static void expect_inside(Span inner, Span outer) {
    assert_true(inner.count > 0 && inner.begin >= outer.begin && inner.end <= outer.end + 0.01);
}

static void a_timeline_holds_calls_and_what_they_did(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(layer, "tt:t", NULL);
    Binary *fast = SN_FN(c, layer);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(7, 4)), *w = tensor_random(2, SN_F32, SN_I(4, 6));
    for (int call = 0; call < 3; call++) {
        Span around = {.begin = monotonic()};
        sn_timeline_begin();
        assert_non_null(fast(x, w));
        char *text = sn_timeline_end();
        around.end = monotonic();
        assert_non_null(text);
        cJSON *json = cJSON_Parse(text);
        if (!json) fail_msg("no JSON: %s", text);
        const cJSON *events = cJSON_GetObjectItem(json, "traceEvents");
        Span whole = spans_of(events, "call");
        assert_int_equal(whole.count, 1);
        expect_inside(whole, around);
        expect_inside(spans_of(events, "kernel"), whole);
        assert_int_equal(spans_of(events, "kernel").count, 2);
        assert_int_equal(spans_of(events, "trace").count,
                         call < 2); /* the second call is checked */
        assert_int_equal(spans_of(events, "compile").count, call < 1);
        if (call < 2) expect_inside(spans_of(events, "trace"), whole);
        if (call < 1) expect_inside(spans_of(events, "compile"), whole);
        cJSON_Delete(json);
        sn_text_free(text);
    }
    fast(x, w); /* nothing is kept any more */
    sn_timeline_begin();
    char *empty = sn_timeline_end();
    assert_null(strstr(empty, "\"cat\""));
    sn_text_free(empty);
    sn_compiled_release(c);
}

/* Helpers that share kernels have rows of their own, with names. A busy machine may have none to spare, so
 * that it is tried again. */
static bool helpers_are_shown(const char *text) {
    cJSON *json = cJSON_Parse(text);
    if (!json) fail_msg("no JSON: %s", text);
    const cJSON *event, *events = cJSON_GetObjectItem(json, "traceEvents");
    int own = -1, named = 0, shares = 0, lines = 0;
    cJSON_ArrayForEach(event, events) {
        const char *what = cJSON_GetObjectItem(event, "cat")->valuestring;
        int thread = cJSON_GetObjectItem(event, "tid")->valueint;
        const cJSON *args = cJSON_GetObjectItem(event, "args");
        if (strcmp(what, "__metadata") == 0) {
            assert_string_equal(cJSON_GetObjectItem(event, "name")->valuestring, "thread_name");
            const char *name = cJSON_GetObjectItem(args, "name")->valuestring;
            if (named++) assert_non_null(strstr(name, "sinter helper"));
        } else if (strcmp(what, "share") == 0) {
            assert_int_not_equal(thread, own);
            shares++;
        } else {
            if (own < 0) own = thread;
            assert_int_equal(thread, own);
        }
        if (strcmp(what, "kernel") != 0) continue;
        assert_non_null(strstr(cJSON_GetObjectItem(args, "line")->valuestring, "test_report.c:"));
        lines++;
    }
    assert_int_equal(lines, 1);
    if (shares) assert_true(named >= 2);
    cJSON_Delete(json);
    return shares > 0;
}

static void a_timeline_shows_the_helpers_that_share_a_kernel(void **state) {
    (void)state;
    sn_set_threads(2);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(1 << 20));
    bool shown = false;
    for (int attempt = 0; attempt < 200 && !shown; attempt++) {
        sn_scope scope = sn_scope_begin();
        sn_timeline_begin();
        assert_non_null(sn_exp(x));
        char *text = sn_timeline_end();
        sn_scope_end(scope, NULL);
        assert_non_null(text);
        shown = helpers_are_shown(text);
        sn_text_free(text);
    }
    assert_true(shown);
}

/* A name of many characters of several bytes is cut between two of them. */
static void labels_are_cut_between_characters(void **state) {
    (void)state;
    char name[200] = "x";
    for (int i = 0; i < 40; i++) strcat(name, "\xc3\xa9");
    sn_compiled *c = sn_compile_at((sn_function)layer, name, "tt:t", NULL, __FILE__, __LINE__);
    Binary *fast = SN_FN(c, layer);
    sn_timeline_begin();
    assert_non_null(
        fast(tensor_random(1, SN_F32, SN_I(7, 4)), tensor_random(2, SN_F32, SN_I(4, 6))));
    char *text = sn_timeline_end();
    const char *at = strstr(text, "\"x\xc3");
    assert_non_null(at);
    size_t length = strcspn(at + 1, "\"");
    assert_true(length > 40 && length < 60);
    assert_int_equal(length % 2, 1); /* the x, and whole characters */
    sn_text_free(text);
    sn_compiled_release(c);
}

static void a_timeline_and_a_history_do_not_disturb_each_other(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(7, 4));
    for (int order = 0; order < 4; order++) {
        sn_launch_record records[4];
        (order & 1 ? sn_timeline_begin : sn_history_begin)();
        (order & 1 ? sn_history_begin : sn_timeline_begin)();
        assert_non_null(sn_exp(x));
        int32_t count = order & 2 ? sn_history_end(records, 4) : 0;
        char *text = sn_timeline_end();
        if (!(order & 2)) count = sn_history_end(records, 4);
        assert_int_equal(count, 1);
        assert_string_equal(records[0].label, "exp");
        assert_non_null(strstr(text, "\"name\": \"exp\", \"cat\": \"kernel\""));
        sn_text_free(text);
        assert_int_equal(sn_history_end(records, 4), 0);
    }
}

/* An op on a thread of its own, which watches itself, or not, to its end. */
static void *run_watched(void *data) {
    const bool *watched = data;
    if (*watched) {
        sn_history_begin();
        sn_timeline_begin();
    }
    sn_scope scope = sn_scope_begin();
    bool ran = sn_exp(sn_ones(SN_I(3), SN_F32)) != NULL;
    sn_scope_end(scope, NULL);
    return ran ? data : NULL;
}

static void a_thread_that_ends_takes_its_timeline_and_history_along(void **state) {
    (void)state;
    bool watched = false; /* the first one leaves kernels in the process */
    for (int i = 0; i < 2; i++, watched = true) {
        int64_t before = mem_live_count();
        pthread_t thread;
        void *ran;
        assert_int_equal(pthread_create(&thread, NULL, run_watched, &watched), 0);
        pthread_join(thread, &ran);
        assert_non_null(ran);
        if (watched) assert_int_equal(mem_live_count(), before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(the_report_is_one_page_with_everything),
        API_TEST(a_general_functions_report_names_its_sizes),
        API_TEST(a_page_has_the_code_of_few_kernels),
        API_TEST(a_function_with_a_host_read_is_explained),
        API_TEST(a_timeline_holds_calls_and_what_they_did),
        API_TEST(a_timeline_shows_the_helpers_that_share_a_kernel),
        API_TEST(labels_are_cut_between_characters),
        API_TEST(a_timeline_and_a_history_do_not_disturb_each_other),
        API_TEST(a_thread_that_ends_takes_its_timeline_and_history_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
