/* Bad input to what makes, calls and inspects compiled functions, and to the bindings: each is refused in
 * words that name the argument, and structs of older programs are filled as far as they reach. */
#include "errors_case.h"

/* ---- compile --------------------------------------------------------------------------------- */

static void compile_is_checked(void **state) {
    (void)state;
    assert_null(sn_compile_at(NULL, "nothing", "t:t", NULL, "model.c", 4));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "model.c:4: compile nothing: the function is NULL");
    assert_null(sn_compile(grows, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "compile grows: the signature is NULL",
                 "test_errors_functions.c:");
    static const char *const wrong[][2] = {{"", "':'"},
                                           {"t", "':'"},
                                           {"x:t", "unknown letter at character 1"},
                                           {"t:x", "output"},
                                           {"t:t:t", "output"},
                                           {"t??:t", "unknown letter at character 3"},
                                           {"i?:t", "character 2"},
                                           {"*:t", "character 1"},
                                           {"S:t", "no layout"},
                                           {"t t:t", "character 2"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(sn_compile(grows, wrong[i][0], NULL));
        EXPECT_ERROR(SN_ERROR_SIGNATURE, "compile grows: signature", wrong[i][1]);
    }
    char many[80];
    memset(many, 't', 65);
    memcpy(many + 65, ":t", 3);
    assert_null(sn_compile(grows, many, NULL));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "too many parameters");
    sn_compiled_release(NULL);
    assert_null((void *)(uintptr_t)sn_compiled_fn(NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "compiled_fn: the handle is NULL");
}

static int32_t runs;

static sn_tensor *counts_runs(sn_tensor *x) {
    runs++;
    return sn_neg(x);
}

static sn_status counts_too(sn_tensor *x, sn_tensor **y, sn_tensor **z) {
    *y = counts_runs(x);
    *z = sn_abs(x);
    return sn_error_status();
}

/* A program that checks once, at its end, makes and calls its function like any other op. */
static void functions_are_made_and_do_nothing_while_an_error_is_pending(void **state) {
    (void)state;
    assert_null(sn_add(NULL, sn_c(1)));
    assert_null(
        sn_compile(counts_runs, "nonsense", NULL)); /* wrong too, but not the first that is */
    sn_compiled *c = sn_compile(counts_runs, "t:t", NULL);
    sn_compiled *d = sn_compile(counts_too, "t:tt", NULL);
    sn_tensor *y = NULL, *z = NULL;
    runs = 0;
    assert_null(SN_FN(c, counts_runs)(NULL));
    assert_int_equal(SN_FN(d, counts_too)(NULL, &y, &z), SN_ERROR_ARGUMENT);
    assert_int_equal(runs, 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "add: ");
    sn_tensor *x = sn_ones(SN_I(2), SN_F32);
    assert_non_null(SN_FN(c, counts_runs)(x));
    assert_int_equal(SN_FN(d, counts_too)(x, &y, &z), SN_OK);
    assert_true(y && z && runs == 2);
    sn_compiled_release(c);
    sn_compiled_release(d);
}

static void compile_options_are_checked(void **state) {
    (void)state;
    static const sn_watch no_data = {NULL, 4};
    static const sn_dim no_axis = {.axis = -1}, no_room = {.min = 5, .max = 4};
    const struct {
        sn_compile_options options;
        const char *part;
    } wrong[] = {
        {{.size = 8}, "options.size is 8"},
        {{.size = 1 << 20}, "options.size is 1048576"},
        {{.n_watch = 1}, "options.watch is NULL"},
        {{.n_watch = -1}, "options.n_watch is -1"},
        {{.watch = &no_data, .n_watch = 1}, "options.watch[0].data is NULL"},
        {{.rerun = (sn_rerun)2}, "options.rerun is 2"},
        {{.numerics = (sn_numerics)-1}, "options.numerics is -1"},
        {{.n_trees = 1}, "options.trees is NULL"},
        {{.n_trees = -1}, "options.n_trees is -1"},
        {{.shapes = (sn_shapes)3}, "options.shapes is 3"},
        {{.at_limit = (sn_at_limit)4}, "options.at_limit is 4"},
        {{.stance = (sn_stance)6}, "options.stance is 6"},
        {{.most_graphs = -1}, "options.most_graphs is -1"},
        {{.check_every = -2}, "options.check_every is -2"},
        {{.n_dims = 1}, "options.dims is NULL"},
        {{.dims = &no_axis, .n_dims = 1}, "options.dims[0] is dim -1 of tensor 0"},
        {{.dims = &no_room, .n_dims = 1}, "options.dims[0] is bounded by 5 and 4, a multiple of 0"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(sn_compile(grows, "ttt:t", &wrong[i].options));
        EXPECT_ERROR(SN_ERROR_ARGUMENT, "compile grows: ", wrong[i].part);
    }
    /* Size 0, and that of the struct's first version, are fine. */
    const size_t sizes[] = {0, offsetof(sn_compile_options, shapes), sizeof(sn_compile_options)};
    for (int i = 0; i < 3; i++) {
        sn_compiled *c = sn_compile(grows, "ttt:t", &(sn_compile_options){.size = sizes[i]});
        assert_non_null(c);
        sn_compiled_release(c);
    }
}

static void arguments_of_a_compiled_call_are_checked(void **state) {
    (void)state;
    sn_tensor *x = make_x(), *y = make_y(), *i = make_i();
    sn_compiled *c = sn_compile(writes_x, "ttt:t", NULL);
    Called *fast = SN_FN(c, writes_x);
    for (int call = 0; call < 3; call++) {
        assert_null(fast(x, NULL, i));
        EXPECT_ERROR(SN_ERROR_ARGUMENT, "writes_x, compiled at", "argument 2 is NULL");
        assert_null(fast(x, y, SN_NONE));
        EXPECT_ERROR(SN_ERROR_ARGUMENT, "writes_x, compiled at", "argument 3 is SN_NONE",
                     "not optional");
        assert_non_null(fast(x, y, i));
    }
    EXPECT_VALUES(x, 4, 5, 6, 7, 8, 9);
    sn_compiled_release(c);
}

/* ---- bindings -------------------------------------------------------------------------------- */

static sn_value of_tensor(sn_tensor *t) {
    return (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = t};
}

static void sn_call_is_checked(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    sn_value values[3] = {of_tensor(make_x()), of_tensor(make_y()), of_tensor(make_i())};
    sn_tensor *out[1] = {NULL};
    int32_t n = 7;
    sn_error error;
    assert_int_equal(sn_call(NULL, values, 3, out, 1, &n, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "call: the handle is NULL"));
    assert_int_equal(n, 0);
    assert_int_equal(sn_call(c, values, 2, out, 1, &n, NULL, &error), SN_ERROR_SIGNATURE);
    assert_non_null(strstr(error.text, "grows takes 3 arguments (\"ttt:t\"), 2 were given"));
    assert_int_equal(sn_call(c, NULL, 3, out, 1, &n, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "inputs is NULL"));
    assert_int_equal(sn_call(c, values, 3, out, 0, &n, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "room for 0"));
    assert_int_equal(sn_call(c, values, 3, NULL, 1, &n, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "outputs is NULL"));
    sn_call_options options = {.size = 3};
    assert_int_equal(sn_call(c, values, 3, out, 1, &n, &options, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "options.size is 3"));
    options = (sn_call_options){.threads = -1};
    assert_int_equal(sn_call(c, values, 3, out, 1, &n, &options, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "options.threads is -1"));
    values[1] = (sn_value){.kind = SN_VALUE_FLOAT, .as.real = 1};
    assert_int_equal(sn_call(c, values, 3, out, 1, &n, NULL, &error), SN_ERROR_SIGNATURE);
    assert_non_null(strstr(error.text, "argument 2 of grows"));
    assert_int_equal(sn_call(c, values, 3, out, 1, NULL, NULL, NULL), SN_ERROR_SIGNATURE);
    assert_null(out[0]);
    EXPECT_OK();
    sn_compiled_release(c);
}

static int32_t threads_seen;

static sn_tensor *sees_threads(sn_tensor *x) {
    threads_seen = sn_threads();
    return sn_exp(x);
}

static void a_call_has_its_own_number_of_threads(void **state) {
    (void)state;
    int32_t before = sn_threads();
    sn_compiled *c = sn_compile(sees_threads, "t:t", NULL);
    sn_value x = {.kind = SN_VALUE_TENSOR, .as.tensor = sn_zeros(SN_I(3), SN_F32)};
    sn_call_options options = {.size = sizeof options, .threads = before + 3};
    sn_tensor *out;
    assert_int_equal(sn_call(c, &x, 1, &out, 1, NULL, &options, NULL), SN_OK);
    assert_int_equal(threads_seen, before + 3);
    assert_int_equal(sn_threads(), before);
    sn_release(out);
    sn_compiled_release(c);
}

/* A value of the kind that an op's parameter takes. */
static sn_value value_for(const char *kind, sn_tensor *t, sn_rng *rng) {
    static const int64_t two[] = {2};
    static sn_tensor *array[1];
    array[0] = t;
    switch (kind[0]) {
    case 't':
        if (kind[1] == '*')
            return (sn_value){.kind = SN_VALUE_TENSORS, .count = 1, .as.tensors = array};
        return of_tensor(t);
    case 'L':
        return (sn_value){.kind = SN_VALUE_INTS, .count = 1, .as.integers = two};
    case 'd':
        return (sn_value){.kind = SN_VALUE_FLOAT, .as.real = 0.5};
    case 'r':
        return (sn_value){.kind = SN_VALUE_RNG, .as.generator = rng};
    default:
        return (sn_value){.kind = SN_VALUE_INT, .as.integer = 0};
    }
}

/* Parameters of an op's signature that a caller passes; their kinds and how many. */
static int32_t kinds_of(const char *signature, const char **kinds) {
    int32_t n = 0;
    for (const char *colon = strchr(signature, ':'); colon; colon = strchr(colon + 1, ':'))
        if (colon[1] != 'h') kinds[n++] = colon + 1;
    return n;
}

static void expect_refused(int32_t op, const char *name, const sn_value *values, int32_t n) {
    sn_tensor *out[1] = {NULL};
    int32_t n_out = 5;
    sn_error error;
    sn_status status = sn_apply(op, values, n, out, 1, &n_out, NULL, &error);
    if (status == SN_OK || !strstr(error.text, name) || n_out != 0 || out[0])
        fail_msg("%s: status %d, \"%s\", %d results", name, (int)status, error.text, (int)n_out);
    EXPECT_OK();
}

static void sn_apply_checks_every_parameter_of_every_op(void **state) {
    (void)state;
    sn_op_description info;
    sn_tensor *t = make_x();
    sn_rng rng = {1, 5};
    int32_t ops = 0;
    for (int32_t op = 0; sn_op_info(op, &info); op++) {
        if (!info.is_public) continue;
        ops++;
        const char *kinds[16];
        sn_value good[16], values[17];
        int32_t n = kinds_of(info.signature, kinds);
        for (int32_t p = 0; p < n; p++) good[p] = value_for(kinds[p], t, &rng);
        memcpy(values, good, sizeof good);
        values[n] = of_tensor(t);
        if (n) expect_refused(op, info.name, good, n - 1);
        if (n) expect_refused(op, info.name, NULL, n);
        expect_refused(op, info.name, values, n + 1);
        for (int32_t p = 0; p < n; p++) {
            memcpy(values, good, sizeof good);
            values[p] = (sn_value){.kind = SN_VALUE_POINTER, .as.pointer = &rng};
            expect_refused(op, info.name, values, n);
            values[p] = good[p];
            if (strchr("tr", kinds[p][0]) && kinds[p][1] != '*') {
                values[p].as.pointer = NULL; /* tensor or generator */
                expect_refused(op, info.name, values, n);
            } else if (strchr("tL", kinds[p][0])) {
                values[p].as.tensors = NULL; /* tensors or integers */
                expect_refused(op, info.name, values, n);
                values[p] = good[p];
                values[p].count = -1;
                expect_refused(op, info.name, values, n);
                values[p].count = INT32_MAX;
                values[p].as.tensors = NULL;
                expect_refused(op, info.name, values, n);
            }
        }
    }
    assert_true(ops > 100);
    assert_int_equal(rng.counter, 5);
    assert_int_equal(sn_apply(-1, NULL, 0, &t, 1, NULL, NULL, NULL), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_apply(1 << 20, NULL, 0, &t, 1, NULL, NULL, NULL), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_apply(SN_OP_NEG, &(sn_value){0}, 1, NULL, 0, NULL, NULL, NULL),
                     SN_ERROR_ARGUMENT);
    assert_false(sn_op_info(-1, &info));
    assert_false(sn_op_info(0, NULL));
}

static void payload_functions_are_checked(void **state) {
    (void)state;
    sn_error error;
    assert_null(sn_compile_payload(NULL, NULL, NULL, "closure", "t:t", NULL, &error));
    assert_int_equal(error.status, SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "compile closure: the function is NULL"));
    assert_null(sn_compile_payload(NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    EXPECT_OK();
}

/* ---- inspection ------------------------------------------------------------------------------ */

static void inspection_is_checked(void **state) {
    (void)state;
    sn_explanation explanation = {0};
    sn_error error;
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    assert_int_equal(sn_explain(NULL, &explanation), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_explain(c, NULL), SN_ERROR_ARGUMENT);
    assert_null(sn_explain_text(NULL));
    assert_null(sn_dump(NULL, "graph", &error));
    assert_true(error.status == SN_ERROR_ARGUMENT && strstr(error.text, "dump: "));
    assert_null(sn_dump(c, NULL, &error));
    assert_true(error.status == SN_ERROR_ARGUMENT && strstr(error.text, "dump: "));
    assert_null(sn_dump(c, "graph", &error));
    assert_non_null(strstr(error.text, "grows was not called yet"));
    assert_non_null(SN_FN(c, grows)(make_i(), make_y(), make_i()));
    assert_null(sn_dump(c, "bogus", &error));
    assert_non_null(strstr(error.text, "dump: unknown stage \"bogus\""));
    assert_null(sn_dump(c, "bogus", NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "dump: unknown stage \"bogus\"");
    sn_text_free(NULL);
    sn_counters_get(NULL);
    sn_value wrong[3] = {of_tensor(make_x()), of_tensor(NULL), of_tensor(SN_NONE)};
    assert_true(sn_kernel_seconds(NULL, wrong, 1, 1) < 0);
    assert_true(sn_kernel_seconds(c, NULL, 1, 1) < 0);
    assert_true(sn_kernel_seconds(c, wrong, 1, 1) < 0); /* another shape than the kernels' */
    assert_true(sn_kernel_seconds(c, wrong + 1, 1, 1) < 0);
    assert_true(sn_kernel_seconds(c, wrong + 2, 1, 1) < 0);
    assert_true(sn_kernel_seconds(c, wrong, -1, 1) < 0);
    assert_true(sn_kernel_seconds(c, wrong, 1, 0) < 0);
    assert_int_equal(sn_history_end(NULL, 0), 0);
    sn_compiled_release(c);
}

/* Dumps each stage of a list "a, b, c" of one of the two. */
static int32_t dump_listed(sn_compiled *c, const sn_graph *graph, const char *list) {
    char name[32], rest[400];
    int32_t dumped = 0;
    snprintf(rest, sizeof rest, "%s", list);
    for (char *at = rest; sscanf(at, "%31[^,]", name) == 1; dumped++) {
        sn_error error = {0};
        char *text = c ? sn_dump(c, name, &error) : sn_graph_dump(graph, name, &error);
        bool no_nvrtc = strcmp(name, "ptx") == 0 && error.status == SN_ERROR_UNSUPPORTED;
        if (!text && !no_nvrtc) fail_msg("%s: %s", name, error.text);
        sn_text_free(text);
        at = strchr(at, ',');
        if (!at) return dumped + 1;
        at += 2;
    }
    return dumped;
}

static void a_refusal_names_the_stages_there_are(void **state) {
    (void)state;
    static const char text[] = "graph g(%0: f32[2]) {\n  %1 = neg %0 : f32[2]\n  return %1\n}\n";
    sn_error of_function, of_graph;
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    assert_non_null(SN_FN(c, grows)(make_i(), make_y(), make_i()));
    assert_null(sn_dump(c, "bogus", &of_function));
    sn_graph *graph = sn_graph_parse(text, sizeof text - 1, &of_graph);
    if (!graph) fail_msg("%s", of_graph.text);
    assert_null(sn_graph_dump(graph, "html", &of_graph));
    assert_non_null(strstr(of_function.text, "dump: unknown stage \"bogus\"; stages: graph, "));
    assert_non_null(strstr(of_graph.text, "graph_dump: unknown stage \"html\"; stages: graph, "));
    int32_t stages = dump_listed(c, NULL, strstr(of_function.text, "stages: ") + 8);
    assert_int_equal(dump_listed(NULL, graph, strstr(of_graph.text, "stages: ") + 8), stages - 2);
    assert_null(sn_graph_dump(graph, "guards", &of_graph));
    sn_graph_free(graph);
    sn_compiled_release(c);
}

static void small_structs_of_older_programs_are_not_overrun(void **state) {
    (void)state;
    struct {
        sn_counters counters; /* .size says that only its first 24 bytes are there */
    } room;
    memset(&room, 0x5a, sizeof room);
    room.counters.size = 24;
    sn_counters_get(&room.counters);
    assert_int_equal(room.counters.size, 24);
    for (size_t at = 24; at < sizeof room; at++)
        assert_int_equal(((unsigned char *)&room)[at], 0x5a);
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    sn_explanation explanation;
    memset(&explanation, 0x5a, sizeof explanation);
    explanation.size = 16;
    assert_int_equal(sn_explain(c, &explanation), SN_OK);
    for (size_t at = 16; at < sizeof explanation; at++)
        assert_int_equal(((unsigned char *)&explanation)[at], 0x5a);
    sn_compiled_release(c);
}

static void graphs_as_text_are_checked(void **state) {
    (void)state;
    static const char text[] =
        "graph g(%0: f32[2,3]) {\n  %1 = neg %0 : f32[2,3]\n  return %1\n}\n";
    sn_error error;
    sn_tensor *x = make_x(), *y = make_y(), *out[1] = {NULL};
    int32_t n = 3;
    assert_null(sn_graph_parse(NULL, 4, &error));
    assert_non_null(strstr(error.text, "graph_parse: the text is NULL"));
    assert_null(sn_graph_parse("nonsense", 8, &error));
    assert_int_equal(error.status, SN_ERROR_FORMAT);
    assert_null(sn_graph_print(NULL));
    assert_null(sn_graph_dump(NULL, "fuse", &error));
    assert_int_equal(error.status, SN_ERROR_ARGUMENT);
    sn_graph_free(NULL);
    sn_graph *graph = sn_graph_parse(text, sizeof text - 1, &error);
    if (!graph) fail_msg("%s", error.text);
    assert_int_equal(sn_graph_run(NULL, &x, 1, out, 1, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, NULL, 1, out, 1, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, &x, 0, out, 1, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, &x, 1, NULL, 1, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, &x, 1, out, 0, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, &y, 1, out, 1, &n, &error), SN_ERROR_SHAPE);
    assert_non_null(strstr(error.text, "input 0 is f32[4,5], the graph takes f32[2,3]"));
    assert_int_equal(sn_graph_run(graph, (sn_tensor *[]){NULL}, 1, out, 1, &n, &error),
                     SN_ERROR_ARGUMENT);
    assert_int_equal(n, 0);
    assert_null(out[0]);
    assert_int_equal(sn_graph_run(graph, &x, 1, out, 1, &n, &error), SN_OK);
    assert_int_equal(n, 1);
    EXPECT_VALUES(out[0], -1, -2, -3, -4, -5, -6);
    sn_release(out[0]);
    assert_null(sn_graph_dump(graph, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "graph_dump: stage is NULL");
    assert_null(sn_graph_parse("graph", 5, NULL));
    EXPECT_ERROR(SN_ERROR_FORMAT, "graph");
    sn_graph_free(graph);
}

static void process_settings_are_checked(void **state) {
    (void)state;
    int32_t threads = sn_threads();
    sn_set_threads(0);
    assert_true(sn_threads() >= 1);
    sn_set_threads(-5);
    assert_true(sn_threads() >= 1);
    sn_set_threads(INT32_MAX);
    EXPECT_VALUES(sn_sum(sn_ones(SN_I(3), SN_F32), SN_I0, false), 3);
    sn_set_threads(threads);
    sn_memory_set_limit(-1); /* none */
    assert_non_null(sn_zeros(SN_I(4), SN_F32));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(compile_is_checked),
        API_TEST(functions_are_made_and_do_nothing_while_an_error_is_pending),
        API_TEST(compile_options_are_checked),
        API_TEST(arguments_of_a_compiled_call_are_checked),
        API_TEST(sn_call_is_checked),
        API_TEST(a_call_has_its_own_number_of_threads),
        API_TEST(sn_apply_checks_every_parameter_of_every_op),
        API_TEST(payload_functions_are_checked),
        API_TEST(inspection_is_checked),
        API_TEST(a_refusal_names_the_stages_there_are),
        API_TEST(small_structs_of_older_programs_are_not_overrun),
        API_TEST(graphs_as_text_are_checked),
        API_TEST(process_settings_are_checked),
    };
    return cmocka_run_group_tests_name("errors_functions", tests, NULL, NULL);
}
