/* The fold stage: each rewrite that is made, and beside it the nearest one that would not be exact
 * and must not be made. */
#include "ir/graph/graph.h"
#include "ir/kernel/kernel.h"
#include "ir/op/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const Site nowhere = {0};
static Graph g; /* the graph of the running test */

static int open_graph(void **state) {
    (void)state;
    graph_init(&g, "f");
    return 0;
}

static int close_graph(void **state) {
    (void)state;
    sn_error error = {0};
    int result = graph_verify(&g, &error) == SN_OK ? 0 : -1;
    if (result) print_error("%s\n", error.text);
    graph_free(&g);
    return result;
}

static NodeId input(sn_dtype dtype, int32_t rank, int64_t first, int64_t second) {
    TensorType type = {.dtype = (uint8_t)dtype, .rank = (uint8_t)rank, .dims = {{first}, {second}}};
    NodeId id = graph_input(&g, &type, NULL, nowhere, NULL);
    assert_int_not_equal(id, NODE_NONE);
    return id;
}

static NodeId number(sn_dtype dtype, double value) {
    return graph_const(&g, dtype, dtype_bits_from_double(dtype, value), false, false, nowhere,
                       NULL);
}

static NodeId weak(sn_dtype dtype, double value) {
    return graph_const(&g, dtype, dtype_bits_from_double(dtype, value), false, true, nowhere, NULL);
}

static NodeId hoisted(sn_dtype dtype, double value) {
    return graph_const(&g, dtype, dtype_bits_from_double(dtype, value), true, false, nowhere, NULL);
}

static NodeId emit(OpCode op, NodeId x, NodeId y, const AttrList *attrs) {
    NodeId inputs[2] = {x, y};
    sn_error error = {0};
    NodeId id = graph_emit(&g, op, inputs, 1 + (y != NODE_NONE), attrs, nowhere, &error);
    if (id == NODE_NONE) fail_msg("%s", error.text);
    return id;
}

static NodeId unary(OpCode op, NodeId x) {
    return emit(op, x, NODE_NONE, NULL);
}

static NodeId cast(NodeId x, sn_dtype dtype) {
    AttrList attrs = {.count = 1, .words = {dtype}};
    return emit(OP_CAST, x, NODE_NONE, &attrs);
}

static NodeId list_op(OpCode op, NodeId x, int32_t count, const int64_t *values) {
    AttrList attrs = {.count = 0};
    attr_add_list(&attrs, values, count);
    return emit(op, x, NODE_NONE, &attrs);
}

static NodeId reshape(NodeId x, int64_t rows, int64_t columns) {
    return list_op(OP_RESHAPE, x, 2, (const int64_t[]){rows, columns});
}

/* ---- identities ------------------------------------------------------------------------------ */

static void test_neutral_operands_vanish(void **state) {
    (void)state;
    static const sn_dtype floats[] = {SN_F16, SN_BF16, SN_F32, SN_F64};
    for (size_t i = 0; i < 4; i++) {
        sn_dtype d = floats[i];
        NodeId raw = input(d, 2, 2, 3), x = unary(OP_SQRT, raw);
        assert_int_not_equal(emit(OP_MUL, raw, number(d, 1), NULL), raw); /* any NaN may be there */
        assert_int_not_equal(emit(OP_DIV, raw, number(d, 1), NULL), raw);
        assert_int_not_equal(emit(OP_ADD, raw, number(d, -0.0), NULL), raw);
        assert_int_not_equal(emit(OP_SUB, raw, number(d, 0.0), NULL), raw);
        assert_int_equal(emit(OP_MUL, x, number(d, 1), NULL), x);
        assert_int_equal(emit(OP_MUL, weak(SN_F64, 1), x, NULL), x);
        assert_int_equal(emit(OP_MUL, x, weak(SN_I64, 1), NULL), x);
        assert_int_equal(emit(OP_DIV, x, number(d, 1), NULL), x);
        assert_int_equal(emit(OP_ADD, x, number(d, -0.0), NULL), x);
        assert_int_equal(emit(OP_ADD, number(d, -0.0), x, NULL), x);
        assert_int_equal(emit(OP_SUB, x, number(d, 0.0), NULL), x);
    }
    static const sn_dtype integers[] = {SN_U8, SN_I8, SN_I16, SN_I32, SN_I64};
    for (size_t i = 0; i < 5; i++) {
        sn_dtype d = integers[i];
        NodeId x = input(d, 1, 5, 0);
        assert_int_equal(emit(OP_MUL, number(d, 1), x, NULL), x);
        assert_int_equal(emit(OP_ADD, x, number(d, 0), NULL), x);
        assert_int_equal(emit(OP_SUB, x, number(d, 0), NULL), x);
    }
}

static void test_operands_that_are_not_neutral_stay(void **state) {
    (void)state;
    NodeId x = input(SN_F32, 2, 2, 3), n = input(SN_I32, 1, 4, 0), b = input(SN_BF16, 1, 4, 0);
    assert_int_not_equal(emit(OP_ADD, x, number(SN_F32, 0.0), NULL), x);
    assert_int_not_equal(emit(OP_ADD, x, weak(SN_I64, 0), NULL), x);
    assert_int_not_equal(emit(OP_SUB, x, number(SN_F32, -0.0), NULL), x);
    assert_int_not_equal(emit(OP_SUB, number(SN_F32, 0), x, NULL), x);
    assert_int_not_equal(emit(OP_DIV, number(SN_F32, 1), x, NULL), x);
    assert_int_not_equal(emit(OP_MUL, x, hoisted(SN_F32, 1), NULL), x);
    assert_int_not_equal(emit(OP_ADD, x, hoisted(SN_F32, -0.0), NULL), x);
    /* 1 + 2^-20 is 1 in bf16 and may still change a product. */
    assert_int_not_equal(emit(OP_MUL, b, weak(SN_F64, 1.00000095367431640625), NULL), b);
    /* The result has another dtype, so the operand cannot stand for it. */
    assert_int_equal(node_type(&g, emit(OP_MUL, n, weak(SN_F64, 1), NULL)).dtype, SN_F32);
    assert_int_equal(node_type(&g, emit(OP_DIV, n, number(SN_I32, 1), NULL)).dtype, SN_F32);
}

static void test_a_weak_constant_does_not_stand_for_a_strong_result(void **state) {
    (void)state;
    NodeId w = weak(SN_F32, 3);
    NodeId product = emit(OP_MUL, w, weak(SN_F32, 1), NULL);
    assert_int_equal(node_type(&g, product).strength, STRENGTH_ZERO_DIM);
    assert_int_equal(node_type(&g, cast(w, SN_F32)).strength, STRENGTH_ZERO_DIM);
    assert_int_equal(node_type(&g, unary(OP_NEG, unary(OP_NEG, w))).strength, STRENGTH_ZERO_DIM);
}

static void test_double_negation_vanishes(void **state) {
    (void)state;
    static const sn_dtype dtypes[] = {SN_F16, SN_F64, SN_I8, SN_I64};
    for (size_t i = 0; i < 4; i++) {
        NodeId raw = input(dtypes[i], 1, 3, 0), x = unary(OP_ABS, raw);
        NodeId minus = unary(OP_NEG, x), twice = unary(OP_NEG, unary(OP_NEG, raw));
        assert_int_not_equal(minus, x);
        assert_int_equal(unary(OP_NEG, minus), x);
        assert_int_equal(twice == raw, !dtype_is_float(dtypes[i])); /* any NaN may be there */
    }
}

static void test_where_with_a_constant_condition_is_a_choice(void **state) {
    (void)state;
    NodeId x = input(SN_F32, 2, 2, 3), y = input(SN_F32, 2, 2, 3), row = input(SN_F32, 1, 3, 0);
    NodeId yes = number(SN_BOOL, 1), no = number(SN_BOOL, 0), maybe = hoisted(SN_BOOL, 1);
    assert_int_equal(graph_emit(&g, OP_WHERE, (NodeId[]){yes, x, y}, 3, NULL, nowhere, NULL), x);
    assert_int_equal(graph_emit(&g, OP_WHERE, (NodeId[]){no, x, y}, 3, NULL, nowhere, NULL), y);
    NodeId kept = graph_emit(&g, OP_WHERE, (NodeId[]){maybe, x, y}, 3, NULL, nowhere, NULL);
    assert_int_equal(graph_node(&g, kept)->op, OP_WHERE);
    kept = graph_emit(&g, OP_WHERE, (NodeId[]){no, x, row}, 3, NULL, nowhere, NULL);
    assert_int_equal(graph_node(&g, kept)->op, OP_WHERE); /* row is broadcast */
}

/* ---- casts ----------------------------------------------------------------------------------- */

/* Values where conversions part ways, as bits of `dtype`. */
static uint64_t sample(sn_dtype dtype, int i) {
    static const double values[] = {0,
                                    -0.0,
                                    1,
                                    -1,
                                    2.5,
                                    -3.5,
                                    127,
                                    128,
                                    -129,
                                    255,
                                    256,
                                    300,
                                    32767,
                                    -32769,
                                    65504,
                                    65520,
                                    16777217,
                                    2147483647,
                                    4294967296,
                                    -2147483649.0,
                                    9.2e18,
                                    1e-45,
                                    6e-8,
                                    1e-40,
                                    1e39,
                                    -1e300,
                                    INFINITY,
                                    -INFINITY,
                                    NAN,
                                    1.00390625,
                                    3.3895313892515355e38};
    static const int64_t integers[] = {0,
                                       1,
                                       -1,
                                       127,
                                       128,
                                       -128,
                                       -129,
                                       255,
                                       256,
                                       32767,
                                       32768,
                                       -32769,
                                       65535,
                                       16777217,
                                       INT32_MAX,
                                       (int64_t)INT32_MAX + 1,
                                       INT32_MIN,
                                       (int64_t)1 << 53,
                                       ((int64_t)1 << 53) + 1,
                                       INT64_MAX,
                                       INT64_MIN};
    if (dtype_is_float(dtype)) return dtype_bits_from_double(dtype, values[i % 31]);
    return dtype_bits_from_int(dtype, integers[i % 21]);
}

/* The value that a chain of cast nodes gives for an input, and how long it is. */
static uint64_t run_casts(NodeId id, uint64_t bits, int *length) {
    const Node *node = graph_node(&g, id);
    if (node->op == OP_INPUT) return bits;
    assert_int_equal(node->op, OP_CAST);
    ++*length;
    NodeId x = node_inputs(&g, node)[0];
    uint64_t before = run_casts(x, bits, length);
    return dtype_bits_cast((sn_dtype)node->dtype, (sn_dtype)graph_node(&g, x)->dtype, before);
}

static bool is_nan(sn_dtype dtype, uint64_t bits) {
    return dtype_is_float(dtype) && isnan(dtype_bits_to_double(dtype, bits));
}

static void test_cast_chains_give_the_same_bits_folded(void **state) {
    (void)state;
    int folded = 0;
    for (int a = 0; a < SN_DTYPE_COUNT; a++) {
        NodeId x = input((sn_dtype)a, 1, 7, 0);
        assert_int_equal(cast(x, (sn_dtype)a), x);
        for (int b = 0; b < SN_DTYPE_COUNT; b++) {
            NodeId y = cast(x, (sn_dtype)b);
            for (int c = 0; c < SN_DTYPE_COUNT; c++) {
                NodeId z = cast(y, (sn_dtype)c);
                for (int i = 0; i < 31; i++) {
                    uint64_t bits = sample((sn_dtype)a, i);
                    uint64_t middle = dtype_bits_cast((sn_dtype)b, (sn_dtype)a, bits);
                    uint64_t want = dtype_bits_cast((sn_dtype)c, (sn_dtype)b, middle);
                    int length = 0;
                    uint64_t got = run_casts(z, bits, &length);
                    folded += i == 0 && length < 1 + (b != a) - (c == b);
                    if (is_nan((sn_dtype)c, want))
                        assert_true(is_nan((sn_dtype)c, got));
                    else if (got != want)
                        fail_msg("%d to %d to %d, sample %d", a, b, c, i);
                }
            }
        }
    }
    assert_true(folded > 30);
}

static void test_inexact_cast_chains_stay(void **state) {
    (void)state;
    static const sn_dtype chains[][3] = {
        {SN_F32, SN_BF16, SN_F32}, {SN_F64, SN_F32, SN_F64}, {SN_F16, SN_BF16, SN_F32},
        {SN_BF16, SN_F16, SN_F32}, {SN_I64, SN_F64, SN_I64}, {SN_I32, SN_F32, SN_F64},
        {SN_I32, SN_F64, SN_I8},   {SN_I8, SN_U8, SN_I16},   {SN_I16, SN_BOOL, SN_I16},
        {SN_F32, SN_I32, SN_F32},  {SN_U8, SN_F32, SN_I8}};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        NodeId x = input(chains[i][0], 1, 7, 0);
        NodeId y = cast(x, chains[i][1]);
        NodeId z = cast(y, chains[i][2]);
        assert_int_equal(node_inputs(&g, graph_node(&g, z))[0], y);
    }
    static const sn_dtype exact[][3] = {{SN_BF16, SN_F32, SN_BF16}, {SN_F16, SN_F64, SN_F16},
                                        {SN_I32, SN_F64, SN_I32},   {SN_U8, SN_I16, SN_U8},
                                        {SN_BOOL, SN_I8, SN_BOOL},  {SN_U8, SN_BF16, SN_U8}};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        NodeId raw = input(exact[i][0], 1, 7, 0);
        NodeId x = dtype_is_float(exact[i][0]) ? unary(OP_SQRT, raw) : raw;
        assert_int_equal(cast(cast(x, exact[i][1]), exact[i][2]), x);
        if (x != raw) assert_int_not_equal(cast(cast(raw, exact[i][1]), exact[i][2]), raw);
    }
}

/* ---- views ----------------------------------------------------------------------------------- */

/* `rows` rows of a matrix with 6 columns, from `start` on. */
static NodeId slice_rows(NodeId x, int64_t start, int64_t step, int64_t rows) {
    AttrList attrs = {.count = 0};
    attr_add_list(&attrs, (int64_t[]){start, 0}, 2);
    attr_add_list(&attrs, (int64_t[]){step, 1}, 2);
    attr_add_list(&attrs, (int64_t[]){rows, 6}, 2);
    return emit(OP_SLICE, x, NODE_NONE, &attrs);
}

static void test_views_that_change_nothing_vanish(void **state) {
    (void)state;
    NodeId x = input(SN_I8, 2, 4, 6);
    static const int64_t dims[] = {4, 6}, same[] = {-1, 6}, axes[] = {0, 1}, swap[] = {1, 0};
    assert_int_equal(list_op(OP_RESHAPE, x, 2, dims), x);
    assert_int_equal(list_op(OP_RESHAPE, x, 2, same), x);
    assert_int_equal(list_op(OP_EXPAND, x, 2, same), x);
    assert_int_equal(list_op(OP_PERMUTE, x, 2, axes), x);
    assert_int_not_equal(list_op(OP_PERMUTE, x, 2, swap), x);
    assert_int_equal(slice_rows(x, 0, 1, 4), x);
    assert_int_not_equal(slice_rows(x, 3, -1, 4), x); /* the same dims in reverse */
    NodeId row = input(SN_F32, 2, 1, 6), none = input(SN_F32, 2, 0, 6);
    assert_int_equal(slice_rows(row, 0, -1, 1), row);
    assert_int_equal(slice_rows(none, 0, -1, 0), none);
}

static void test_chains_of_views_merge(void **state) {
    (void)state;
    NodeId x = input(SN_F64, 2, 4, 6);
    NodeId a = reshape(x, 8, 3);
    NodeId b = reshape(a, 2, 12);
    assert_int_equal(node_inputs(&g, graph_node(&g, b))[0], x);
    assert_int_equal(node_type(&g, b).dims[1].word, 12);
    assert_int_equal(reshape(b, 4, 6), x);

    NodeId cube = list_op(OP_RESHAPE, x, 3, (const int64_t[]){2, 3, 4});
    static const int64_t turn[] = {1, 2, 0}, back[] = {2, 0, 1};
    NodeId once = list_op(OP_PERMUTE, cube, 3, turn);
    NodeId twice = list_op(OP_PERMUTE, once, 3, turn);
    assert_int_equal(node_inputs(&g, graph_node(&g, twice))[0], cube);
    int32_t count;
    const int64_t *axes = node_attr_list(&g, twice, ATTR_AXES, &count);
    assert_memory_equal(axes, back, sizeof back);
    static const int64_t dims[] = {4, 2, 3};
    assert_memory_equal(node_dims(&g, graph_node(&g, twice)), dims, sizeof dims);
    assert_int_equal(list_op(OP_PERMUTE, twice, 3, turn), cube);
}

static NodeId slice(NodeId x, int64_t start, int64_t step, int64_t size) {
    AttrList attrs = {.count = 6, .words = {1, start, 1, step, 1, size}};
    return emit(OP_SLICE, x, NODE_NONE, &attrs);
}

/* A slice of a slice is one slice, for every start and step that fit; the elements are the same. */
static void test_slices_of_slices_merge(void **state) {
    (void)state;
    enum { SIZE = 6 };
    NodeId x = input(SN_I32, 1, SIZE, 0);
    int merged = 0;
    for (int64_t i = 0; i < 1 << 14; i++) {
        int64_t start = i % 6, step = i / 6 % 4 - 2, size = i / 24 % 6;
        int64_t from = i / 144 % 5, by = i / 720 % 4 - 2, count = i / 2880 % 6;
        step += step >= 0; /* never 0 */
        by += by >= 0;
        int64_t last = start + (size - 1) * step, end = from + (count - 1) * by;
        if (size && (last < 0 || last >= SIZE)) continue;
        if (from > size || (count && (from >= size || end < 0 || end >= size))) continue;
        NodeId once = slice(x, start, step, size), twice = slice(once, from, by, count);
        const Node *node = graph_node(&g, twice);
        assert_int_equal(node_dims(&g, node)[0].word, count);
        merged++;
        if (twice == x) {
            assert_int_equal(count, SIZE);
            continue;
        }
        if (twice == once) continue;
        assert_int_equal(node_inputs(&g, node)[0], x);
        const int64_t *attrs = node_attrs(&g, node).words; /* 1 start 1 step 1 size */
        for (int64_t at = 0; at < count; at++)
            assert_int_equal(attrs[1] + at * attrs[3], start + (from + at * by) * step);
    }
    assert_true(merged > 500);
    assert_int_equal(slice(slice(x, 5, -1, 6), 5, -1, 6), x);
}

/* ---- constants ------------------------------------------------------------------------------- */

static void assert_const(NodeId id, sn_dtype dtype, double value) {
    const Node *node = graph_node(&g, id);
    assert_int_equal(node->op, OP_CONST);
    assert_int_equal(node->dtype, dtype);
    GraphConst constant = node_const(&g, node);
    assert_int_equal((uint64_t)constant.word, dtype_bits_from_double(dtype, value));
    assert_int_equal(constant.kind, CONST_LITERAL);
    assert_false(constant.weak);
}

static void test_constants_are_computed(void **state) {
    (void)state;
    assert_const(emit(OP_ADD, number(SN_F32, 0.1), number(SN_F32, 0.2), NULL), SN_F32, 0.1f + 0.2f);
    assert_const(emit(OP_DIV, number(SN_F64, 1), number(SN_F64, -0.0), NULL), SN_F64, -INFINITY);
    assert_const(emit(OP_MUL, number(SN_I8, 100), number(SN_I8, 3), NULL), SN_I8, 44);
    assert_const(emit(OP_SUB, number(SN_U8, 1), number(SN_U8, 2), NULL), SN_U8, 255);
    assert_const(emit(OP_LT, number(SN_I64, 1), number(SN_I64, 2), NULL), SN_BOOL, 1);
    assert_const(emit(OP_NE, number(SN_F32, NAN), number(SN_F32, NAN), NULL), SN_BOOL, 1);
    assert_const(emit(OP_MAXIMUM, number(SN_F32, -0.0), number(SN_F32, 0), NULL), SN_F32, 0.0);
    assert_const(unary(OP_NEG, number(SN_F32, 0)), SN_F32, -0.0);
    assert_const(unary(OP_SQRT, number(SN_F64, 2)), SN_F64, sqrt(2));
    assert_const(unary(OP_ROUND, number(SN_F32, 2.5)), SN_F32, 2);
    assert_const(cast(number(SN_F32, 300.7), SN_U8), SN_U8, 255);
    assert_const(cast(number(SN_F64, NAN), SN_I32), SN_I32, 0);
    assert_const(cast(weak(SN_F64, 0.1), SN_F16), SN_F16, 0.1);
    /* Rounded to bf16 after the sum: 256 + 1 has no place in 8 digits and goes to even. */
    assert_const(emit(OP_ADD, number(SN_BF16, 256), number(SN_BF16, 1), NULL), SN_BF16, 256);
    assert_const(emit(OP_ADD, number(SN_F16, 60000), number(SN_F16, 60000), NULL), SN_F16,
                 INFINITY);
}

static void test_constants_that_are_not_computed(void **state) {
    (void)state;
    NodeId one = number(SN_F32, 1);
    NodeId kept[] = {
        emit(OP_ADD, one, hoisted(SN_F32, 2), NULL),
        unary(OP_NEG, hoisted(SN_F32, 2)),
        cast(hoisted(SN_F32, 2), SN_I8),
        emit(OP_ADD, one, number(SN_F64, 2), NULL), /* two dtypes */
        emit(OP_ADD, weak(SN_F64, 1), weak(SN_F64, 2), NULL),
        unary(OP_EXP, one), /* no primitive */
    };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_int_not_equal(graph_node(&g, kept[i])->op, OP_CONST);
}

static void test_folding_can_be_switched_off_and_numbering_stays(void **state) {
    (void)state;
    g.no_fold = true;
    NodeId x = input(SN_F32, 2, 2, 3), one = number(SN_F32, 1);
    NodeId product = emit(OP_MUL, x, one, NULL);
    assert_int_not_equal(product, x);
    assert_int_equal(emit(OP_MUL, x, one, NULL), product);
    assert_int_not_equal(cast(x, SN_F32), x);
    assert_int_not_equal(reshape(x, 2, 3), x);
    assert_int_not_equal(graph_node(&g, unary(OP_NEG, one))->op, OP_CONST);
}

#define WITH_GRAPH(test) cmocka_unit_test_setup_teardown(test, open_graph, close_graph)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_GRAPH(test_neutral_operands_vanish),
        WITH_GRAPH(test_operands_that_are_not_neutral_stay),
        WITH_GRAPH(test_a_weak_constant_does_not_stand_for_a_strong_result),
        WITH_GRAPH(test_double_negation_vanishes),
        WITH_GRAPH(test_where_with_a_constant_condition_is_a_choice),
        WITH_GRAPH(test_cast_chains_give_the_same_bits_folded),
        WITH_GRAPH(test_inexact_cast_chains_stay),
        WITH_GRAPH(test_views_that_change_nothing_vanish),
        WITH_GRAPH(test_chains_of_views_merge),
        WITH_GRAPH(test_slices_of_slices_merge),
        WITH_GRAPH(test_constants_are_computed),
        WITH_GRAPH(test_constants_that_are_not_computed),
        WITH_GRAPH(test_folding_can_be_switched_off_and_numbering_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
