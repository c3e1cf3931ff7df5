/* The vocabulary for writing nodes in code: what each helper emits, and what is left after one failed. */
#include "base/status.h"
#include "ir/graph/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const Site nowhere = {0};

/* A graph of two inputs that is not folded. */
typedef struct Drawing {
    Graph graph;    /* what is built */
    sn_error error; /* of the builder */
    GraphBuilder b; /* writes to the graph */
    NodeId x;       /* f32[2,3] */
    NodeId index;   /* i64[2,3] */
} Drawing;

static void drawing_open(Drawing *d) {
    graph_init(&d->graph, "g");
    d->graph.no_fold = true;
    d->error = (sn_error){0};
    TensorType type = {.dtype = SN_F32, .rank = 2, .dims = {{2}, {3}}};
    d->x = graph_input(&d->graph, &type, NULL, nowhere, &d->error);
    type.dtype = SN_I64;
    d->index = graph_input(&d->graph, &type, NULL, nowhere, &d->error);
    d->b = gb_at(&d->graph, nowhere, &d->error);
}

/* Compares the nodes, without their types, with these lines, and closes the drawing. */
static void assert_drawn(Drawing *d, const char *expected) {
    StrBuf text = {0}, lines = {0};
    assert_int_equal(graph_verify(&d->graph, &d->error), SN_OK);
    graph_print(&d->graph, &text);
    for (const char *at = strchr(strbuf_text(&text), '\n') + 1; *at == ' ';
         at = strchr(at, '\n') + 1) {
        const char *end = strstr(at, " : ");
        if (!end || end > strchr(at, '\n')) continue; /* return */
        while (end[-1] == ' ') end--;
        strbuf_add_bytes(&lines, at + 2, (size_t)(end - at - 2));
        strbuf_add(&lines, "\n");
    }
    assert_string_equal(strbuf_text(&lines), expected);
    strbuf_free(&text);
    strbuf_free(&lines);
    graph_free(&d->graph);
}

/* ---- what helpers emit ----------------------------------------------------------------------- */

static void test_scalars_are_constants_of_their_kind(void **state) {
    (void)state;
    Drawing d;
    drawing_open(&d);
    gb_literal(&d.b, SN_F32, 0.5);
    gb_hoisted(&d.b, SN_I64, 7);
    gb_size(&d.b, SN_F64, dim_of(6));
    gb_real(&d.b, SN_F32, 3);
    assert_drawn(&d, "%2 = const 0.5\n"
                     "%3 = const 7 {hoist=1}\n"
                     "%4 = const 6.0 {hoist=1}\n"
                     "%5 = const real 3\n");
}

static void test_a_cast_to_the_own_dtype_is_none(void **state) {
    (void)state;
    Drawing d;
    drawing_open(&d);
    assert_int_equal(gb_cast(&d.b, SN_F32, d.x), d.x);
    assert_int_equal(gb_widen(&d.b, d.x), d.x);
    assert_int_equal(gb_cast(&d.b, SN_F16, NODE_NONE), NODE_NONE); /* an absent operand */
    assert_int_equal(gb_meet(&d.b, SN_F16, NODE_NONE), NODE_NONE);
    gb_widen(&d.b, gb_cast(&d.b, SN_BF16, d.x));
    gb_meet(&d.b, SN_F16, d.x);
    assert_drawn(&d, "%2 = cast %0 {dtype=bf16}\n"
                     "%3 = cast %2 {dtype=f32}\n"
                     "%4 = cast %0 {dtype=f16}\n"
                     "%5 = cast %4 {dtype=f32}\n");
}

static void test_tensors_are_made_from_nothing(void **state) {
    (void)state;
    Drawing d;
    drawing_open(&d);
    TensorType type = {.dtype = SN_F64, .rank = 2, .dims = {{4}, {5}}};
    NodeId generator = graph_generator(&d.graph, nowhere, &d.error);
    gb_iota(&d.b, type.dims, 2, 1);
    gb_empty(&d.b, &type);
    gb_zeros(&d.b, &type);
    gb_draw(&d.b, OP_RAND, &type, generator, 11);
    assert_drawn(&d, "%3 = iota {dims=[4,5], axis=1}\n"
                     "%4 = empty {dims=[4,5], dtype=f64}\n"
                     "%5 = const 0.0\n"
                     "%6 = expand %5 {dims=[4,5]}\n"
                     "%7 = rand %2 {dims=[4,5], dtype=f64, offset=11}\n");
}

static void test_a_view_with_the_same_dims_is_none(void **state) {
    (void)state;
    Drawing d;
    drawing_open(&d);
    const Dim dims[] = {{2}, {3}}, flat = {6}, grown[] = {{4}, {2}, {3}};
    assert_int_equal(gb_reshape(&d.b, d.x, dims, 2), d.x);
    assert_int_equal(gb_expand(&d.b, d.x, dims, 2), d.x);
    gb_reshape(&d.b, d.x, &flat, 1);
    gb_expand(&d.b, d.x, grown, 3);
    gb_regroup(&d.b, d.x, dims, 2); /* but what is recorded */
    gb_permute(&d.b, d.x, (int64_t[]){0, 1}, 2);
    gb_exchange(&d.b, d.x, 0, 1);
    assert_drawn(&d, "%2 = reshape %0 {dims=[6]}\n"
                     "%3 = expand %0 {dims=[4,2,3]}\n"
                     "%4 = reshape %0 {dims=[2,3]}\n"
                     "%5 = permute %0 {axes=[0,1]}\n"
                     "%6 = permute %0 {axes=[1,0]}\n");
}

static void test_elements_are_moved(void **state) {
    (void)state;
    Drawing d;
    drawing_open(&d);
    const Dim starts[] = {{1}, {0}}, steps[] = {{1}, {2}}, dims[] = {{1}, {2}};
    const Dim pads[] = {{0}, {1}, {2}, {0}};
    NodeId part = gb_slice(&d.b, d.x, starts, steps, dims);
    gb_put_slice(&d.b, d.x, part, starts, steps);
    gb_pad(&d.b, d.x, pads, 4, 0.5);
    gb_look_up(&d.b, OP_GATHER, d.x, 1, d.index);
    gb_one_hot(&d.b, d.index, dim_of(9));
    gb_scatter(&d.b, OP_SCATTER_ADD, d.x, 1, d.index, d.x);
    assert_drawn(&d, "%2 = slice %0 {starts=[1,0], steps=[1,2], dims=[1,2]}\n"
                     "%3 = put_slice %0, %2 {starts=[1,0], steps=[1,2]}\n"
                     "%4 = pad %0 {pads=[0,1,2,0], value=0.5}\n"
                     "%5 = gather %0, %1 {axis=1}\n"
                     "%6 = one_hot %1 {classes=9}\n"
                     "%7 = scatter_add %0, %1, %0 {axis=1}\n");
}

static void test_a_reduction_is_a_node_for_each_run_of_axes(void **state) {
    (void)state;
    Drawing d;
    drawing_open(&d);
    const Dim dims[] = {{1}, {2}, {1}, {3}};
    NodeId x = gb_reshape(&d.b, d.x, dims, 4);
    assert_int_equal(gb_reduced_count(&d.b, x, 0xb).word, 6);
    assert_int_equal(gb_count(&d.b, x).word, 6);
    gb_reduce(&d.b, OP_SUM, x, 0xb); /* axes 0, 1 and 3 */
    gb_reduce(&d.b, OP_MAX, x, 1);
    gb_reduce_run(&d.b, OP_PROD, x, 1, 2, REDUCE_TREE);
    gb_along(&d.b, OP_CUMSUM, x, 1);
    assert_drawn(&d, "%2 = reshape %0 {dims=[1,2,1,3]}\n"
                     "%3 = sum %2 {axes=[3], keepdim=1, order=1}\n"
                     "%4 = sum %3 {axes=[0,1], keepdim=1, order=2}\n"
                     "%5 = max %2 {axes=[0], keepdim=1}\n"
                     "%6 = prod %2 {axes=[1,2], keepdim=1, order=3}\n"
                     "%7 = cumsum %2 {axis=1}\n");
}

/* A graph that is copied node by node is the same graph. */
static void test_copies_of_nodes_make_the_same_graph(void **state) {
    (void)state;
    static const char text[] =
        "graph g(%0: f32[2,3]{1,2}, %1: f32[3]) {\n"
        "  %2 = const 0.5 {weak=1} : f32[]\n"
        "  %3 = const 2.0 {hoist=1} : f32[]\n"
        "  %4 = mul %0, %2 : f32[2,3]\n"
        "  %5 = clamp %4, none, %3 : f32[2,3]\n"
        "  %6 = sum %5 {axes=[1], order=1} : f32[2]\n"
        "  %7 = cat %1, %1, %1, %1, %1, %1, %1, %1, %1, %1, %1, %1, %1, %1, %1, "
        "%1, %1, %1 {axis=0} : f32[54]\n"
        "  return %6\n"
        "}\n";
    Graph graph, copy;
    NodeId map[8];
    sn_error error = {0};
    graph_init(&graph, NULL);
    graph_init(&copy, NULL);
    copy.no_fold = true;
    if (graph_parse(&graph, text, strlen(text), &error) != SN_OK) fail_msg("%s", error.text);
    GraphBuilder b = gb_at(&copy, nowhere, &error);
    for (NodeId i = 0; i < graph.nodes.count; i++) map[i] = gb_copy(&b, &graph, i, map);
    graph_output(&copy, map[6], -1);
    assert_true(graph_equal(&graph, &copy));
    graph_free(&graph);
    graph_free(&copy);
}

/* ---- after a failure ------------------------------------------------------------------------- */

/* Everything once more; nothing may be emitted. */
static void emit_in_vain(GraphBuilder *b, NodeId x) {
    const TensorType type = gb_type(b, x);
    const Dim *dims = type.dims;
    const int64_t axes[SN_MAX_RANK] = {0};
    assert_int_equal(gb_literal(b, SN_F32, 1), NODE_NONE);
    assert_int_equal(gb_real(b, SN_F32, 0), NODE_NONE);
    assert_int_equal(gb_size(b, SN_F32, dim_of(1)), NODE_NONE);
    assert_int_equal(gb_zeros(b, &type), NODE_NONE);
    assert_int_equal(gb_widen(b, gb_cast(b, SN_F64, x)), NODE_NONE);
    assert_int_equal(gb_reshape(b, x, dims, 1), NODE_NONE);
    assert_int_equal(gb_expand(b, x, dims, 1), NODE_NONE);
    assert_int_equal(gb_permute(b, x, axes, type.rank), NODE_NONE);
    assert_int_equal(gb_exchange(b, x, type.rank - 2, type.rank - 1), NODE_NONE);
    assert_int_equal(gb_slice(b, x, dims, dims, dims), NODE_NONE);
    assert_int_equal(gb_put_slice(b, x, x, dims, dims), NODE_NONE);
    assert_int_equal(gb_reduce(b, OP_SUM, x, 3), NODE_NONE);
    assert_int_equal(gb_op2(b, OP_ADD, x, x), NODE_NONE);
    assert_int_equal(gb_count(b, x).word, 1);
    assert_int_equal(gb_reduced_count(b, x, 3).word, 1);
    assert_false(gb_is_empty(b, x));
}

static void test_after_a_failure_nothing_is_emitted_and_the_error_stays(void **state) {
    (void)state;
    Drawing d;
    drawing_open(&d);
    const Dim five = {5};
    NodeId bad = gb_reshape(&d.b, d.x, &five, 1);
    assert_int_equal(bad, NODE_NONE);
    assert_true(d.b.failed);
    assert_int_equal(d.error.status, SN_ERROR_SHAPE);
    char first[sizeof d.error.text];
    memcpy(first, d.error.text, sizeof first);
    uint32_t nodes = d.graph.nodes.count;
    emit_in_vain(&d.b, bad);
    assert_int_equal(gb_fail(&d.b, SN_ERROR_INTERNAL, "another"), NODE_NONE);
    assert_int_equal(gb_op1(&d.b, OP_EXP, d.x), NODE_NONE); /* of a node that there is */
    assert_int_equal(d.graph.nodes.count, nodes);
    assert_int_equal(d.error.status, SN_ERROR_SHAPE);
    assert_string_equal(d.error.text, first);
    graph_free(&d.graph);
}

static void test_a_builder_need_not_have_an_error(void **state) {
    (void)state;
    Drawing d;
    drawing_open(&d);
    GraphBuilder b = gb_at(&d.graph, nowhere, NULL);
    assert_int_equal(gb_op2(&b, OP_BITWISE_AND, d.x, d.x), NODE_NONE);
    assert_true(b.failed);
    assert_int_equal(gb_op1(&b, OP_EXP, d.x), NODE_NONE);
    graph_free(&d.graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_are_constants_of_their_kind),
        cmocka_unit_test(test_a_cast_to_the_own_dtype_is_none),
        cmocka_unit_test(test_tensors_are_made_from_nothing),
        cmocka_unit_test(test_a_view_with_the_same_dims_is_none),
        cmocka_unit_test(test_elements_are_moved),
        cmocka_unit_test(test_a_reduction_is_a_node_for_each_run_of_axes),
        cmocka_unit_test(test_copies_of_nodes_make_the_same_graph),
        cmocka_unit_test(test_after_a_failure_nothing_is_emitted_and_the_error_stays),
        cmocka_unit_test(test_a_builder_need_not_have_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
