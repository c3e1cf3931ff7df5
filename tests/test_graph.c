/* The graph container: emitting, value numbering, attributes, equality, the verifier, and what is
 * left after an allocation fails. */
#include "base/status.h"
#include "ir/graph/graph.h"
#include "ir/op/dtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const Site nowhere = {0};

static NodeId input(Graph *g, sn_dtype dtype, int32_t rank, const int64_t *dims) {
    TensorType type = {.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
    for (int32_t i = 0; i < rank; i++) type.dims[i] = dim_of(dims[i]);
    sn_error error = {0};
    NodeId id = graph_input(g, &type, NULL, nowhere, &error);
    assert_int_equal(error.status, SN_OK);
    return id;
}

static NodeId input_2x3(Graph *g) {
    return input(g, SN_F32, 2, (const int64_t[]){2, 3});
}

static NodeId emit(Graph *g, OpCode op, NodeId x, NodeId y, const AttrList *attrs) {
    NodeId inputs[2] = {x, y};
    sn_error error = {0};
    NodeId id = graph_emit(g, op, inputs, 1 + (y != NODE_NONE), attrs, nowhere, &error);
    if (id == NODE_NONE) fail_msg("%s", error.text);
    return id;
}

static AttrList axes_attrs(int64_t axis, bool keepdim) {
    AttrList attrs = {.count = 0};
    attr_add_list(&attrs, &axis, 1);
    attr_add_int(&attrs, keepdim);
    attr_add_int(&attrs, REDUCE_BY_POSITION);
    return attrs;
}

static void assert_valid(const Graph *g) {
    sn_error error = {0};
    if (graph_verify(g, &error) != SN_OK) fail_msg("%s", error.text);
}

/* ---- emitting and value numbering ------------------------------------------------------------ */

static void test_equal_nodes_are_one_node(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "f");
    NodeId x = input_2x3(&g), y = input_2x3(&g);
    assert_int_not_equal(x, y);
    NodeId sub = emit(&g, OP_SUB, x, y, NULL);
    assert_int_equal(emit(&g, OP_SUB, x, y, NULL), sub);
    assert_int_not_equal(emit(&g, OP_SUB, y, x, NULL), sub);
    AttrList first = axes_attrs(0, false), last = axes_attrs(1, false),
             negative = axes_attrs(-1, false);
    NodeId rows = emit(&g, OP_SUM, x, NODE_NONE, &last);
    assert_int_not_equal(emit(&g, OP_SUM, x, NODE_NONE, &first), rows);
    assert_int_equal(emit(&g, OP_SUM, x, NODE_NONE, &negative), rows);
    assert_int_equal(node_attr_int(&g, rows, ATTR_ORDER), REDUCE_ROW);
    assert_valid(&g);
    graph_free(&g);
}

static void test_commutative_ops_find_exchanged_operands_and_keep_the_users_order(void **state) {
    (void)state;
    static const OpCode ops[] = {OP_ADD, OP_MUL, OP_MAXIMUM, OP_MINIMUM, OP_EQ, OP_NE};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        Graph g;
        graph_init(&g, "f");
        NodeId x = input_2x3(&g), y = input_2x3(&g);
        NodeId yx = emit(&g, ops[i], y, x, NULL);
        assert_int_equal(emit(&g, ops[i], x, y, NULL), yx);
        const NodeId *inputs = node_inputs(&g, graph_node(&g, yx));
        assert_int_equal(inputs[0], y);
        assert_int_equal(inputs[1], x);
        graph_free(&g);
    }
}

static void test_draws_and_empty_memory_are_never_numbered(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "f");
    NodeId x = input_2x3(&g), generator = input(&g, SN_I64, 1, (const int64_t[]){2});
    AttrList attrs = {.count = 0};
    attr_add_double(&attrs, 0.5);
    attr_add_int(&attrs, 0);
    assert_int_not_equal(emit(&g, OP_DROPOUT, x, generator, &attrs),
                         emit(&g, OP_DROPOUT, x, generator, &attrs));
    AttrList empty = {.count = 0};
    attr_add_list(&empty, (const int64_t[]){4}, 1);
    attr_add_int(&empty, SN_F16);
    sn_error error = {0};
    NodeId a = graph_emit(&g, OP_EMPTY, NULL, 0, &empty, nowhere, &error);
    NodeId b = graph_emit(&g, OP_EMPTY, NULL, 0, &empty, nowhere, &error);
    assert_int_not_equal(a, NODE_NONE);
    assert_int_not_equal(a, b);
    assert_valid(&g);
    graph_free(&g);
}

static NodeId constant(Graph *g, sn_dtype dtype, uint64_t bits, bool hoist, bool weak) {
    sn_error error = {0};
    NodeId id = graph_const(g, dtype, bits, hoist, weak, nowhere, &error);
    assert_int_not_equal(id, NODE_NONE);
    return id;
}

static void test_constants_are_numbered_by_bits_and_recorded_hoisted_ones_stay_apart(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "f");
    NodeId zero = constant(&g, SN_F32, 0, false, false);
    assert_int_equal(constant(&g, SN_F32, 0, false, false), zero);
    assert_int_not_equal(constant(&g, SN_F32, 0x80000000u, false, false), zero);
    assert_int_not_equal(constant(&g, SN_I32, 0, false, false), zero);
    assert_int_not_equal(constant(&g, SN_F32, 0, false, true), zero);
    NodeId hoisted = constant(&g, SN_F32, 0, true, false);
    assert_int_not_equal(hoisted, zero);
    assert_int_equal(constant(&g, SN_F32, 0, true, false), hoisted);
    g.no_fold = true; /* of a record, where they may differ in the next */
    assert_int_not_equal(constant(&g, SN_F32, 0, true, false), hoisted);
    g.no_fold = false;
    /* Bits above the element's are not part of the value. */
    assert_int_equal(constant(&g, SN_I8, (uint64_t)-1, false, false),
                     constant(&g, SN_I8, 0xff, false, false));
    assert_int_equal(node_type(&g, zero).strength, STRENGTH_ZERO_DIM);
    assert_int_equal(node_type(&g, constant(&g, SN_F32, 0, false, true)).strength, STRENGTH_WEAK);
    assert_valid(&g);
    graph_free(&g);
}

static void test_types_and_counts_are_those_of_the_inputs(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "f");
    NodeId x = input(&g, SN_BF16, 3, (const int64_t[]){7, 0, 5});
    TensorType type = node_type(&g, x);
    assert_int_equal(type.dtype, SN_BF16);
    assert_int_equal(type.rank, 3);
    assert_int_equal(type.dims[2].word, 5);
    assert_int_equal(type.strength, STRENGTH_FULL);
    assert_int_equal(node_count(&g, x).word, 0);
    assert_int_equal(node_count(&g, input(&g, SN_I8, 0, NULL)).word, 1);
    assert_int_equal(node_count(&g, input_2x3(&g)).word, 6);
    assert_int_equal(g.inputs.count, 3);
    graph_free(&g);
}

static void test_a_refused_node_leaves_the_graph_as_it_was(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "f");
    NodeId x = input_2x3(&g), y = input(&g, SN_F32, 1, (const int64_t[]){2});
    uint64_t before = graph_hash(&g);
    AttrList overlong = {.count = 0};
    int64_t values[ATTR_MOST] = {0};
    attr_add_list(&overlong, values, ATTR_MOST);
    const struct {
        OpCode op;
        NodeId inputs[2];
        int32_t n_inputs;
        const AttrList *attrs;
    } bad[] = {
        {OP_ADD, {x, y}, 2, NULL}, {OP_ADD, {x, 99}, 2, NULL}, {OP_ADD, {x, NODE_NONE}, 2, NULL},
        {OP_ADD, {x}, 1, NULL},    {OP_ADD, {x, x}, -1, NULL}, {OP_SUM, {x}, 1, &overlong},
        {OP_INPUT, {x}, 0, NULL},  {OP_CONST, {x}, 0, NULL},   {OP_LOAD, {x}, 0, NULL},
        {OP_COUNT, {x}, 0, NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sn_error error = {0};
        assert_int_equal(graph_emit(&g, bad[i].op, bad[i].inputs, bad[i].n_inputs, bad[i].attrs,
                                    nowhere, &error),
                         NODE_NONE);
        assert_int_not_equal(error.status, SN_OK);
        assert_true(error.text[0] != 0);
    }
    TensorType huge = {.dtype = SN_F64, .rank = 2, .dims = {{INT64_MAX}, {2}}};
    TensorType negative = {.dtype = SN_F64, .rank = 1, .dims = {{-1}}};
    assert_int_equal(graph_input(&g, &huge, NULL, nowhere, NULL), NODE_NONE);
    assert_int_equal(graph_input(&g, &negative, NULL, nowhere, NULL), NODE_NONE);
    assert_int_equal(graph_const(&g, (sn_dtype)77, 0, false, false, nowhere, NULL), NODE_NONE);
    assert_int_equal(graph_hash(&g), before);
    assert_int_equal(g.nodes.count, 2);
    assert_int_equal(g.inputs.count, 2);
    assert_valid(&g);
    graph_free(&g);
}

static void test_many_operands_and_operands_that_lie_in_the_graph(void **state) {
    (void)state;
    enum { MANY = 300 };
    Graph g;
    graph_init(&g, "f");
    NodeId ids[MANY];
    for (int i = 0; i < MANY; i++) ids[i] = input_2x3(&g);
    AttrList attrs = {.count = 0};
    attr_add_int(&attrs, -1);
    sn_error error = {0};
    NodeId cat = graph_emit(&g, OP_CAT, ids, MANY, &attrs, nowhere, &error);
    assert_int_not_equal(cat, NODE_NONE);
    assert_int_equal(node_type(&g, cat).dims[1].word, 3 * MANY);
    assert_int_equal(node_attr_int(&g, cat, ATTR_AXIS), 1);
    /* The operand array moves while the new node is made. */
    for (int i = MANY; i > 1; i--) {
        NodeId shorter = graph_emit(&g, OP_CAT, node_inputs(&g, graph_node(&g, cat)), i - 1, &attrs,
                                    nowhere, &error);
        assert_int_equal(node_type(&g, shorter).dims[1].word, 3 * (i - 1));
    }
    assert_valid(&g);
    graph_free(&g);
}

static void test_an_absent_operand_is_kept(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "f");
    NodeId x = input_2x3(&g), high = constant(&g, SN_F32, 0, false, true);
    NodeId inputs[3] = {x, NODE_NONE, high};
    NodeId clamp = graph_emit(&g, OP_CLAMP, inputs, 3, NULL, nowhere, NULL);
    assert_int_not_equal(clamp, NODE_NONE);
    assert_int_equal(node_inputs(&g, graph_node(&g, clamp))[1], NODE_NONE);
    NodeId swapped[3] = {x, high, NODE_NONE};
    assert_int_not_equal(graph_emit(&g, OP_CLAMP, swapped, 3, NULL, nowhere, NULL), clamp);
    assert_valid(&g);
    graph_free(&g);
}

/* The line, and the op there: what a pass makes at a node's place is of the op that the program wrote. */
static void test_calls_are_kept_by_node(void **state) {
    (void)state;
    static const char file[] = "model.c";
    Site site;
    Graph g;
    graph_init(&g, "f");
    NodeId x = input_2x3(&g), made = x;
    assert_int_equal(graph_node(&g, x)->site, 0);
    assert_null(g.sites.data[0].file);
    for (int32_t line = 10; line < 14; line++) {
        OpCode op = (OpCode)(OP_SIN + line - 10);
        made = graph_emit(&g, op, &x, 1, NULL, site_at(file, line), NULL);
        site = node_call(&g, graph_node(&g, made));
        assert_ptr_equal(site.file, file);
        assert_int_equal(site.line, line);
        assert_int_equal(site.op, op);
    }
    uint32_t count = g.sites.count;
    NodeId again = graph_emit(&g, (OpCode)site.op, &made, 1, NULL, site, NULL);
    assert_int_equal(g.sites.count, count);
    assert_int_equal(graph_node(&g, again)->site, graph_node(&g, made)->site);
    NodeId other = graph_emit(&g, OP_NEG, &made, 1, NULL, site, NULL);
    assert_int_equal(node_call(&g, graph_node(&g, other)).op, site.op);
    assert_int_equal(node_call(&g, graph_node(&g, other)).line, 13);
    graph_free(&g);
}

/* ---- attributes ------------------------------------------------------------------------------ */

static void test_attributes_are_read_by_name(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "f");
    NodeId x = input_2x3(&g);
    AttrList attrs = {.count = 0};
    attr_add_list(&attrs, (const int64_t[]){-1, 0}, 2);
    attr_add_int(&attrs, 1);
    attr_add_double(&attrs, 0.25);
    NodeId var = emit(&g, OP_VAR, x, NODE_NONE, &attrs);
    int32_t count;
    const int64_t *axes = node_attr_list(&g, var, ATTR_AXES, &count);
    assert_int_equal(count, 2);
    assert_int_equal(axes[0] + axes[1], 1);
    assert_true(node_attr_bool(&g, var, ATTR_KEEPDIM));
    assert_true(node_attr_double(&g, var, ATTR_CORRECTION) == 0.25);
    graph_free(&g);
}

/* ---- equality and reuse ---------------------------------------------------------------------- */

/* Mean square of x - c·y, a graph with every kind of array in use. */
static bool build(Graph *g, double c, int64_t axis, Site site) {
    sn_error error = {0};
    TensorType type = {.dtype = SN_F32, .rank = 2, .dims = {{2}, {3}}};
    AttrList attrs = axes_attrs(axis, false);
    attrs.count--; /* mean has no order */
    NodeId x = graph_input(g, &type, NULL, site, &error),
           y = graph_input(g, &type, NULL, site, &error);
    NodeId k = graph_const(g, SN_F32, dtype_bits_from_double(SN_F32, c), false, true, site, &error);
    if (x == NODE_NONE || y == NODE_NONE || k == NODE_NONE) return false;
    NodeId scaled = graph_emit(g, OP_MUL, (const NodeId[]){y, k}, 2, NULL, site, &error);
    if (scaled == NODE_NONE) return false;
    NodeId less = graph_emit(g, OP_SUB, (const NodeId[]){x, scaled}, 2, NULL, site, &error);
    if (less == NODE_NONE) return false;
    NodeId square = graph_emit(g, OP_SQUARE, &less, 1, NULL, site, &error);
    if (square == NODE_NONE) return false;
    NodeId mean = graph_emit(g, OP_MEAN, &square, 1, &attrs, site, &error);
    return mean != NODE_NONE && graph_output(g, mean, -1) && graph_output(g, less, 1);
}

static void test_equality_and_hash_see_everything_but_source_lines(void **state) {
    (void)state;
    Graph a, b;
    graph_init(&a, "f");
    graph_init(&b, "g");
    assert_true(build(&a, 0.5, 1, nowhere));
    assert_true(build(&b, 0.5, -1, site_at("x.c", 3)));
    assert_true(graph_equal(&a, &b));
    assert_int_equal(graph_hash(&a), graph_hash(&b));
    uint64_t same = graph_hash(&a);
    for (int i = 0; i < 4; i++) {
        graph_clear(&b);
        assert_true(build(&b, i == 0 ? -0.5 : 0.5, i == 1 ? 0 : 1, nowhere));
        if (i == 2) assert_true(graph_output(&b, 0, -1));
        if (i == 3) b.outputs.data[1].writes_input = 0;
        assert_false(graph_equal(&a, &b));
        assert_int_not_equal(graph_hash(&b), same);
    }
    graph_free(&a);
    graph_free(&b);
}

static void test_a_cleared_graph_is_recorded_again_without_a_request(void **state) {
    (void)state;
    Graph a, b;
    graph_init(&a, "f");
    graph_init(&b, "f");
    assert_true(build(&a, 2, 0, nowhere));
    assert_true(build(&b, 3, 1, nowhere));
    graph_clear(&b);
    int64_t requests = mem_request_count();
    assert_true(build(&b, 2, 0, nowhere));
    assert_int_equal(mem_request_count(), requests);
    assert_true(graph_equal(&a, &b));
    assert_string_equal(b.name, "f");
    graph_free(&a);
    graph_free(&b);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void test_every_failed_allocation_is_survived(void **state) {
    (void)state;
    int64_t live = mem_live_count(), n = 1;
    for (bool done = false; !done; n++) {
        Graph g;
        graph_init(&g, "f");
        mem_fail_after(n, false);
        done = build(&g, 0.5, 1, site_at("x.c", 1));
        mem_fail_after(0, false);
        sn_error error = {0};
        assert_int_equal(graph_verify(&g, &error), SN_OK);
        graph_free(&g);
        assert_int_equal(mem_live_count(), live);
        assert_true(n < 1000);
    }
    assert_true(n > 5);
}

static void test_outputs_that_name_nothing_are_refused(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "f");
    NodeId x = input_2x3(&g);
    assert_false(graph_output(&g, x + 1, -1));
    assert_false(graph_output(&g, NODE_NONE, -1));
    assert_false(graph_output(&g, x, 1));
    assert_false(graph_output(&g, x, -2));
    assert_true(graph_output(&g, x, 0));
    graph_free(&g);
}

/* ---- verifier -------------------------------------------------------------------------------- */

typedef void Damage(Graph *g);

static Node *node_at(Graph *g, uint32_t id) {
    return &g->nodes.data[id];
}
static void damage_op(Graph *g) {
    node_at(g, 4)->op = OP_COUNT;
}
static void damage_kernel_op(Graph *g) {
    node_at(g, 4)->op = OP_LOAD;
}
static void damage_arity(Graph *g) {
    node_at(g, 4)->n_inputs = 1;
}
static void damage_order(Graph *g) {
    g->operands.data[node_at(g, 3)->inputs] = 4;
}
static void damage_absent(Graph *g) {
    g->operands.data[node_at(g, 3)->inputs] = NODE_NONE;
}
static void damage_dtype(Graph *g) {
    node_at(g, 4)->dtype = SN_F16;
}
static void damage_no_dtype(Graph *g) {
    node_at(g, 4)->dtype = SN_DTYPE_COUNT;
}
static void damage_dims(Graph *g) {
    g->words.data[node_at(g, 4)->dims] = 1;
}
static void damage_negative(Graph *g) {
    g->words.data[node_at(g, 0)->dims] = -1;
}
static void damage_rank(Graph *g) {
    node_at(g, 4)->rank = SN_MAX_RANK + 1;
}
static void damage_attrs(Graph *g) {
    g->words.data[node_at(g, 6)->attrs + 1] = -1;
}
static void damage_n_attrs(Graph *g) {
    node_at(g, 6)->n_attrs = 2;
}
static void damage_site(Graph *g) {
    node_at(g, 6)->site = 77;
}
static void damage_operands(Graph *g) {
    node_at(g, 6)->inputs = 77;
}
static void damage_number(Graph *g) {
    g->words.data[node_at(g, 1)->attrs] = 0;
}
static void damage_inputs(Graph *g) {
    g->inputs.data[1] = 2;
}
static void damage_bits(Graph *g) {
    g->words.data[node_at(g, 2)->attrs] |= (int64_t)1 << 40;
}
static void damage_flag(Graph *g) {
    g->words.data[node_at(g, 2)->attrs + 2] = 2;
}
static void damage_kind(Graph *g) {
    g->words.data[node_at(g, 2)->attrs + 1] = CONST_REAL + 1;
}
static void damage_size(Graph *g) {
    g->words.data[node_at(g, 2)->attrs + 1] = CONST_SIZE; /* there are no expressions */
}
static void damage_output(Graph *g) {
    g->outputs.data[0].node = 77;
}
static void damage_write_type(Graph *g) {
    g->outputs.data[1].node = 6;
}
static void damage_write_number(Graph *g) {
    g->outputs.data[1].writes_input = 2;
}
static void damage_write_order(Graph *g) {
    g->outputs.data[0] = (GraphOutput){5, 0};
    g->outputs.data[1].writes_input = -1;
}
static void damage_write_twice(Graph *g) {
    g->outputs.data[0] = (GraphOutput){5, 1};
}

static void test_the_verifier_finds_every_kind_of_damage(void **state) {
    (void)state;
    static const struct {
        Damage *apply;
        const char *text; /* part of the error */
    } cases[] = {
        {damage_op, "not an op"},
        {damage_kernel_op, "not an op"},
        {damage_arity, "wrong number of operands"},
        {damage_order, "comes later"},
        {damage_absent, "absent operand"},
        {damage_dtype, "not the inferred dtype"},
        {damage_no_dtype, "no such dtype"},
        {damage_dims, "not the inferred shape"},
        {damage_negative, "negative size"},
        {damage_rank, "too many dims"},
        {damage_attrs, "normal form"},
        {damage_n_attrs, "mean"},
        {damage_site, "source line"},
        {damage_operands, "operands outside"},
        {damage_number, "not the input of its number"},
        {damage_inputs, "no INPUT node"},
        {damage_bits, "no value of its dtype"},
        {damage_flag, "neither 0 nor 1"},
        {damage_kind, "no such kind of constant"},
        {damage_size, "no expression"},
        {damage_output, "no node of the graph"},
        {damage_write_type, "another type"},
        {damage_write_number, "writes no input"},
        {damage_write_order, "behind a write"},
        {damage_write_twice, "second time"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Graph g;
        graph_init(&g, "f");
        assert_true(build(&g, 0.5, 1, nowhere));
        assert_valid(&g);
        cases[i].apply(&g);
        sn_error error = {0};
        assert_int_equal(graph_verify(&g, &error), SN_ERROR_INTERNAL);
        if (!strstr(error.text, cases[i].text)) fail_msg("%zu: %s", i, error.text);
        graph_free(&g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_nodes_are_one_node),
        cmocka_unit_test(test_commutative_ops_find_exchanged_operands_and_keep_the_users_order),
        cmocka_unit_test(test_draws_and_empty_memory_are_never_numbered),
        cmocka_unit_test(test_constants_are_numbered_by_bits_and_recorded_hoisted_ones_stay_apart),
        cmocka_unit_test(test_types_and_counts_are_those_of_the_inputs),
        cmocka_unit_test(test_a_refused_node_leaves_the_graph_as_it_was),
        cmocka_unit_test(test_many_operands_and_operands_that_lie_in_the_graph),
        cmocka_unit_test(test_an_absent_operand_is_kept),
        cmocka_unit_test(test_calls_are_kept_by_node),
        cmocka_unit_test(test_attributes_are_read_by_name),
        cmocka_unit_test(test_equality_and_hash_see_everything_but_source_lines),
        cmocka_unit_test(test_a_cleared_graph_is_recorded_again_without_a_request),
        cmocka_unit_test(test_every_failed_allocation_is_survived),
        cmocka_unit_test(test_outputs_that_name_nothing_are_refused),
        cmocka_unit_test(test_the_verifier_finds_every_kind_of_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
