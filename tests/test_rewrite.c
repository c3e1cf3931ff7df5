/* The driver of graph → graph passes: what a rule replaces, what is left behind, and what a failure leaves
 * as it was. */
#include "base/mem.h"
#include "base/status.h"
#include "passes/rewrite/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void context_open(PassContext *context, sn_error *error, const char *text) {
    *error = (sn_error){0};
    *context = (PassContext){.error = error};
    graph_init(&context->graph, NULL);
    if (graph_parse(&context->graph, text, strlen(text), error) != SN_OK)
        fail_msg("%s", error->text);
}

static void assert_graph(const PassContext *context, const char *expected) {
    Graph wanted;
    StrBuf text = {0};
    sn_error error = {0};
    graph_init(&wanted, NULL);
    if (graph_parse(&wanted, expected, strlen(expected), &error) != SN_OK)
        fail_msg("%s", error.text);
    graph_print(&context->graph, &text);
    if (!graph_equal(&context->graph, &wanted))
        fail_msg("%s\nis not\n%s", strbuf_text(&text), expected);
    strbuf_free(&text);
    graph_free(&wanted);
}

static void context_close(PassContext *context) {
    graph_free(&context->graph);
    arena_free(&context->arena);
}

/* ---- what becomes of nodes ------------------------------------------------------------------- */

/* exp(x) → exp2(x * 1.5). */
static NodeId exp_by_exp2(Rewrite *r) {
    if (r->node->op != OP_EXP) return rewrite_keep(r);
    NodeId factor = gb_literal(r->b, rewrite_dtype(r), 1.5);
    return gb_op1(r->b, OP_EXP2, gb_op2(r->b, OP_MUL, rewrite_input(r, 0), factor));
}

static void test_a_rule_replaces_nodes_and_their_readers_see_it(void **state) {
    (void)state;
    static const RewritePass pass = {
        .name = "pass", .rule = exp_by_exp2, .result = rewrite_own_memory};
    PassContext context;
    sn_error error;
    context_open(&context, &error,
                 "graph f(%0: f32[4]) {\n"
                 "  %1 = exp %0 : f32[4] ; model.c:3\n"
                 "  %2 = neg %1 : f32[4] ; model.c:4\n"
                 "  return %2, %1 -> %0\n"
                 "}\n");
    assert_int_equal(rewrite_graph(&context, &pass), SN_OK);
    assert_graph(&context, "graph f(%0: f32[4]) {\n"
                           "  %1 = const 1.5 : f32[]\n"
                           "  %2 = mul %0, %1 : f32[4]\n"
                           "  %3 = exp2 %2 : f32[4]\n"
                           "  %4 = neg %3 : f32[4]\n"
                           "  return %4, %3 -> %0\n"
                           "}\n");
    const Graph *graph = &context.graph;
    for (NodeId id = 1; id < graph->nodes.count; id++)
        assert_int_equal(graph->sites.data[graph_node(graph, id)->site].line, id < 4 ? 3 : 4);
    context_close(&context);
}

static void test_only_what_is_dead_and_cannot_fail_is_dropped(void **state) {
    (void)state;
    static const char text[] = "graph f(%0: f32[4], %1: i64[2], %2: f32[3]) {\n"
                               "  %3 = exp %0 : f32[4]\n"
                               "  %4 = neg %3 : f32[4]\n"
                               "  %5 = index_select %0, %1 {axis=0} : f32[2]\n"
                               "  %6 = abs %0 : f32[4]\n"
                               "  return %6\n"
                               "}\n";
    PassContext context;
    sn_error error;
    context_open(&context, &error, text);
    RewritePass pass = rewrite_live;
    pass.drops_dead = false;
    assert_int_equal(rewrite_graph(&context, &pass), SN_OK);
    assert_graph(&context, text);
    assert_int_equal(rewrite_graph(&context, &rewrite_live), SN_OK);
    assert_graph(&context, "graph f(%0: f32[4], %1: i64[2], %2: f32[3]) {\n"
                           "  %3 = index_select %0, %1 {axis=0} : f32[2]\n"
                           "  %4 = abs %0 : f32[4]\n"
                           "  return %4\n"
                           "}\n");
    context_close(&context);
}

static void test_each_result_gets_memory_of_its_own(void **state) {
    (void)state;
    PassContext context;
    sn_error error;
    context_open(&context, &error,
                 "graph f(%0: f32[4], %1: f32[4]) {\n"
                 "  %2 = exp %0 : f32[4]\n"
                 "  %3 = reshape %2 {dims=[2,2]} : f32[2,2]\n"
                 "  return %2, %3, %0, %1 -> %1\n"
                 "}\n");
    assert_int_equal(rewrite_graph(&context, &rewrite_live), SN_OK);
    assert_graph(&context, "graph f(%0: f32[4], %1: f32[4]) {\n"
                           "  %2 = exp %0 : f32[4]\n"
                           "  %3 = reshape %2 {dims=[2,2]} : f32[2,2]\n"
                           "  %4 = clone %3 : f32[2,2]\n"
                           "  %5 = clone %0 : f32[4]\n"
                           "  return %2, %4, %5, %1 -> %1\n"
                           "}\n");
    context_close(&context);
}

/* ---- failures -------------------------------------------------------------------------------- */

static NodeId give_up(Rewrite *r) {
    return r->node->op == OP_EXP ? gb_fail(r->b, SN_ERROR_SHAPE, "no exp") : rewrite_keep(r);
}

static NodeId change_type(Rewrite *r) {
    return r->node->op == OP_EXP ? gb_cast(r->b, SN_F64, rewrite_input(r, 0)) : rewrite_keep(r);
}

static void test_a_failure_leaves_the_graph(void **state) {
    (void)state;
    static const char text[] = "graph f(%0: f32[4]) {\n"
                               "  %1 = exp %0 : f32[4]\n"
                               "  %2 = neg %1 : f32[4]\n"
                               "  return %2\n"
                               "}\n";
    static const struct {
        RewriteRule *rule; /* what fails */
        sn_status status;  /* with what */
        const char *words; /* in which words */
    } cases[] = {
        {give_up, SN_ERROR_SHAPE, "no exp"},
        {change_type, SN_ERROR_INTERNAL, "pass: exp changes its type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PassContext context;
        sn_error error;
        RewritePass pass = {.name = "pass", .rule = cases[i].rule, .result = rewrite_own_memory};
        context_open(&context, &error, text);
        assert_int_equal(rewrite_graph(&context, &pass), cases[i].status);
        assert_string_equal(error.text, cases[i].words);
        assert_graph(&context, text);
        context_close(&context);
    }
}

/* Ops whose rules look at what they have emitted. */
static const char *const calls[] = {
    "softmax %0 {axis=1} : f16[4,6]",
    "log_softmax %0 {axis=1} : f16[4,6]",
    "logsumexp %0 {axes=[0,1]} : f16[]",
    "any %0 {axes=[1]} : bool[4]",
    "argmax %0 {axes=[1]} : i64[4]",
    "var %0 {axes=[1], correction=1.0} : f16[4]",
    "layer_norm %0, none, none {eps=1e-05} : f16[4,6]",
    "rms_norm %0, none {eps=1e-05} : f16[4,6]",
    "cumsum %0 {axis=0} : f16[4,6]",
    "tril %0 : f16[4,6]",
    "pad %0 {pads=[1,-1]} : f16[4,6]",
    "cat %0, %0 {axis=0} : f16[8,6]",
    "stack %0, %0 {axis=1} : f16[4,2,6]",
    "linear %0, %0, none : f16[4,4]",
    "scaled_dot_product_attention %0, %0, %0, none {causal=1} : f16[4,6]",
    "cross_entropy %0, %1 : f16[]",
    "one_hot %1 {classes=9} : i64[4,9]",
    "embedding %0, %1 : f16[4,6]",
    "index_select %0, %1 {axis=0} : f16[4,6]",
};

static sn_status run(const char *text, sn_error *error) {
    Graph graph;
    Program program;
    *error = (sn_error){0};
    graph_init(&graph, NULL);
    program_init(&program);
    PipelineOptions options = {.target = target_host(), .threads = 2};
    sn_status status = graph_parse(&graph, text, strlen(text), error);
    if (status == SN_OK) status = pipeline_run(&graph, &options, &program, error);
    program_free(&program);
    graph_free(&graph);
    return status;
}

/* Memory may be out at any emit of a rule: where it is depends on how many nodes there are before. */
static void test_every_rule_survives_an_emit_that_fails(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (int inputs = 2; inputs < 10; inputs++) {
            StrBuf text = {0};
            strbuf_add(&text, "graph f(%0: f16[4,6], %1: i32[4]");
            for (int j = 2; j < inputs; j++) strbuf_addf(&text, ", %%%d: f32[1]", j);
            strbuf_addf(&text, ") {\n  %%%d = %s\n  return %%%d\n}\n", inputs, calls[i], inputs);
            sn_error error;
            sn_status status = run(strbuf_text(&text), &error);
            if (status != SN_OK) fail_msg("%s: %s", calls[i], error.text);
            for (int n = 1; n == 1 || status != SN_OK; n++) {
                mem_fail_after(n, true);
                status = run(strbuf_text(&text), &error);
                mem_fail_after(0, false);
                if (status != SN_OK && status != SN_ERROR_MEMORY)
                    fail_msg("%s: %s", calls[i], error.text);
            }
            strbuf_free(&text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rule_replaces_nodes_and_their_readers_see_it),
        cmocka_unit_test(test_only_what_is_dead_and_cannot_fail_is_dropped),
        cmocka_unit_test(test_each_result_gets_memory_of_its_own),
        cmocka_unit_test(test_a_failure_leaves_the_graph),
        cmocka_unit_test(test_every_rule_survives_an_emit_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
