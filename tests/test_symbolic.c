/* One graph for many sizes (ir/graph/symbolic.h): which expressions two samples give, which graphs bind
 * and to what, and what keeps others out. */
#include "ir/graph/symbolic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_MOST = 2048, SYMBOLS_MOST = 8, VALUES_MOST = 256 };

/* A family of graphs: text with up to six numbers in it, made of a and b. */
typedef struct Family {
    const char *format;
    void (*numbers)(int a, int b, int *out);
} Family;

static void make(const Family *family, int a, int b, Graph *graph) {
    char text[TEXT_MOST];
    int n[6] = {0};
    sn_error error = {0};
    family->numbers(a, b, n);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, family->format, n[0], n[1], n[2], n[3], n[4], n[5]);
#pragma GCC diagnostic pop
    graph_init(graph, "f");
    if (graph_parse(graph, text, strlen(text), &error) != SN_OK)
        fail_msg("%s in\n%s", error.text, text);
    graph->name = "f"; /* the symbolic graph keeps it */
}

/* General over (a0, b0) and (a1, b1). */
static void make_symbolic(const Family *family, int a0, int b0, int a1, int b1, SymbolicGraph *g) {
    Graph first, latest;
    sn_error error = {0};
    make(family, a0, b0, &first);
    make(family, a1, b1, &latest);
    assert_true(graphs_alike(&first, &latest));
    assert_int_equal(graph_structure_hash(&first), graph_structure_hash(&latest));
    if (!symbolic_make(g, NULL, &first, &latest, NULL, &error)) fail_msg("%s", error.text);
    assert_int_equal(graph_verify(&g->graph, &error), SN_OK);
    graph_free(&first);
    graph_free(&latest);
}

static BindResult bind(const SymbolicGraph *g, const Family *family, int a, int b, int64_t *symbols,
                       uint64_t *scalars) {
    Graph graph;
    int64_t values[VALUES_MOST];
    const DimGuard *failing;
    make(family, a, b, &graph);
    assert_true(g->table.expressions.count <= VALUES_MOST);
    SymbolicBinding binding = {symbols, scalars, values};
    BindResult result = symbolic_bind(g, &graph, &binding, &failing);
    graph_free(&graph);
    return result;
}

static void expect_text(const SymbolicGraph *g, const char *expected) {
    StrBuf text = {0};
    graph_print(&g->graph, &text);
    assert_string_equal(strbuf_text(&text), expected);
    strbuf_free(&text);
}

/* What is printed reads back. */
static void expect_round_trip(const SymbolicGraph *g) {
    StrBuf text = {0}, again = {0};
    DimTable table;
    Graph graph;
    sn_error error = {0};
    graph_print(&g->graph, &text);
    dims_init(&table);
    graph_init(&graph, "f");
    graph.table = &table;
    if (graph_parse(&graph, strbuf_text(&text), text.length, &error) != SN_OK)
        fail_msg("%s in\n%s", error.text, strbuf_text(&text));
    graph_print(&graph, &again);
    assert_string_equal(strbuf_text(&again), strbuf_text(&text));
    assert_true(graph_equal(&graph, &g->graph) || g->n_scalars || g->table.guards.count);
    graph_free(&graph);
    dims_free(&table);
    strbuf_free(&text);
    strbuf_free(&again);
}

/* ---- which expressions ----------------------------------------------------------------------- */

static void rows(int a, int b, int *n) {
    n[0] = n[2] = n[4] = a;
    n[1] = n[3] = n[5] = b;
}
static const Family softmax_rows = {"graph f(%%0: f32[%d,%d]) {\n"
                                    "  %%1 = softmax %%0 {axis=1} : f32[%d,%d]\n"
                                    "  return %%1\n}\n",
                                    rows};

static void sizes_that_differ_are_symbols(void **state) {
    (void)state;
    SymbolicGraph g;
    int64_t symbols[SYMBOLS_MOST];
    make_symbolic(&softmax_rows, 4, 7, 5, 9, &g);
    expect_text(&g, "graph f[s0 = 5 in 0.., s1 = 9 in 0..](%0: f32[s0,s1]) {\n"
                    "  %1 = softmax %0 {axis=1} : f32[s0,s1]\n"
                    "  return %1\n}\n");
    expect_round_trip(&g);
    assert_int_equal(bind(&g, &softmax_rows, 100, 1, symbols, NULL), BIND_OK);
    assert_int_equal(symbols[0], 100);
    assert_int_equal(symbols[1], 1);
    assert_int_equal(bind(&g, &softmax_rows, 0, 3, symbols, NULL), BIND_OK);
    symbolic_free(&g);
    make_symbolic(&softmax_rows, 4, 7, 4, 9, &g); /* what stays the same stays a number */
    expect_text(&g, "graph f[s0 = 9 in 0..](%0: f32[4,s0]) {\n"
                    "  %1 = softmax %0 {axis=1} : f32[4,s0]\n"
                    "  return %1\n}\n");
    assert_int_equal(bind(&g, &softmax_rows, 4, 12, symbols, NULL), BIND_OK);
    assert_int_equal(bind(&g, &softmax_rows, 5, 12, symbols, NULL), BIND_WORDS);
    symbolic_free(&g);
}

static void products(int a, int b, int *n) {
    n[0] = a;
    n[1] = b;
    n[2] = n[3] = a * b;
    n[4] = n[5] = b / 2;
}
static const Family reshaped = {"graph f(%%0: f32[%d,%d,8]) {\n"
                                "  %%1 = reshape %%0 {dims=[%d,8]} : f32[%d,8]\n"
                                "  %%2 = narrow %%0 {axis=1, length=%d} : f32[4,%d,8]\n"
                                "  return %%1, %%2\n}\n",
                                products};

static void products_and_parts_are_found(void **state) {
    (void)state;
    SymbolicGraph g;
    int64_t symbols[SYMBOLS_MOST];
    make_symbolic(&reshaped, 4, 6, 4, 10, &g);
    expect_text(&g, "graph f[s0 = 10 in 0..](%0: f32[4,s0,8]) {\n"
                    "  %1 = reshape %0 {dims=[s0*4,8]}      : f32[s0*4,8]\n"
                    "  %2 = narrow %0 {axis=1, length=s0/2} : f32[4,s0/2,8]\n"
                    "  return %1, %2\n}\n");
    expect_round_trip(&g);
    assert_int_equal(bind(&g, &reshaped, 4, 9, symbols, NULL), BIND_OK); /* 9 / 2 is 4 in C too */
    symbolic_free(&g);
}

static void positions(int a, int b, int *n) {
    n[0] = a;
    n[1] = n[2] = a + 1;
    n[3] = b;
}
static const Family growing = {
    "graph f(%%0: f32[64,8], %%1: f32[1,8]) {\n"
    "  %%2 = put_slice %%0, %%1 {starts=[%d,0], steps=[1,1]} : f32[64,8]\n"
    "  %%3 = narrow %%2 {length=%d} : f32[%d,8]\n"
    "  %%4 = const %d {hoist=1} : f32[]\n"
    "  %%5 = mul %%3, %%4 : f32[%3$d,8]\n"
    "  return %%5, %%2 -> %%0\n}\n",
    positions};

static void a_position_and_one_more_are_one_symbol(void **state) {
    (void)state;
    SymbolicGraph g;
    int64_t symbols[SYMBOLS_MOST];
    uint64_t scalars[SYMBOLS_MOST];
    make_symbolic(&growing, 5, 1, 6, 1, &g);
    expect_text(&g, "graph f[s0 = 6 in 0..](%0: f32[64,8], %1: f32[1,8]) {\n"
                    "  %2 = put_slice %0, %1 {starts=[s0,0], steps=[1,1]} : f32[64,8]\n"
                    "  %3 = narrow %2 {length=s0 + 1}                     : f32[s0 + 1,8]\n"
                    "  %4 = const scalar 0                                : f32[]\n"
                    "  %5 = mul %3, %4                                    : f32[s0 + 1,8]\n"
                    "  return %5, %2 -> %0\n"
                    "}\n");
    expect_round_trip(&g);
    assert_int_equal(bind(&g, &growing, 0, 3, symbols, scalars), BIND_OK);
    assert_int_equal(symbols[0], 0);
    float three = 3;
    assert_memory_equal(&scalars[0], &three, sizeof three);
    assert_int_equal(bind(&g, &growing, 63, 1, symbols, scalars), BIND_OK);
    symbolic_free(&g);
}

static void slopes(int a, int b, int *n) {
    n[0] = a;
    n[1] = b;
}
static const Family bent = {"graph f(%%0: f32[8]) {\n"
                            "  %%1 = leaky_relu %%0 {slope=%d} : f32[8]\n"
                            "  %%2 = softplus %%1 {beta=1.0, threshold=%d} : f32[8]\n"
                            "  return %%2\n}\n",
                            slopes};

/* A number that varies is a scalar of the call; one that does not stays what it was. */
static void a_number_that_varies_is_a_scalar(void **state) {
    (void)state;
    SymbolicGraph g;
    int64_t symbols[SYMBOLS_MOST];
    uint64_t scalars[SYMBOLS_MOST];
    make_symbolic(&bent, 5, 20, 6, 20, &g);
    expect_text(&g, "graph f(%0: f32[8]) {\n"
                    "  %1 = leaky_relu %0 {slope=scalar 0}          : f32[8]\n"
                    "  %2 = softplus %1 {beta=1.0, threshold=2e+01} : f32[8]\n"
                    "  return %2\n"
                    "}\n");
    expect_round_trip(&g);
    assert_int_equal(bind(&g, &bent, 3, 20, symbols, scalars), BIND_OK);
    double three = 3;
    assert_memory_equal(&scalars[0], &three, sizeof three);
    assert_int_equal(bind(&g, &bent, 3, 21, symbols, scalars), BIND_WORDS);
    symbolic_free(&g);
}

static void literals(int a, int b, int *n) {
    n[0] = n[1] = a;
    n[2] = b;
}
static const Family equal = {"graph f(%%0: f32[8]) {\n"
                             "  %%1 = const %d {hoist=1} : f32[]\n"
                             "  %%2 = mul %%0, %%1 : f32[8]\n"
                             "  %%3 = const %d {hoist=1} : f32[]\n"
                             "  %%4 = add %%2, %%3 : f32[8]\n"
                             "  %%5 = const %d {hoist=1} : f32[]\n"
                             "  %%6 = mul %%4, %%5 : f32[8]\n"
                             "  return %%6\n}\n",
                             literals};
static void unequal_literals(int a, int b, int *n) {
    n[0] = a;
    n[1] = n[2] = b;
}

/* Scalars that were equal in all samples are one; a record in which they are not is none of this graph. */
static void scalars_that_were_equal_are_one(void **state) {
    (void)state;
    Family other = equal;
    other.numbers = unequal_literals;
    SymbolicGraph g;
    int64_t symbols[SYMBOLS_MOST];
    uint64_t scalars[SYMBOLS_MOST];
    make_symbolic(&equal, 5, 5, 6, 7, &g);
    assert_int_equal(g.n_scalars, 2);
    expect_text(&g, "graph f(%0: f32[8]) {\n"
                    "  %1 = const scalar 0 : f32[]\n"
                    "  %2 = mul %0, %1     : f32[8]\n"
                    "  %3 = add %2, %1     : f32[8]\n"
                    "  %4 = const scalar 1 : f32[]\n"
                    "  %5 = mul %3, %4     : f32[8]\n"
                    "  return %5\n"
                    "}\n");
    float nine = 9, four = 4;
    assert_int_equal(bind(&g, &equal, 9, 4, symbols, scalars), BIND_OK);
    assert_memory_equal(&scalars[0], &nine, sizeof nine);
    assert_memory_equal(&scalars[1], &four, sizeof four);
    assert_int_equal(bind(&g, &equal, 4, 4, symbols, scalars), BIND_OK);
    assert_int_equal(bind(&g, &other, 9, 4, symbols, scalars), BIND_WORDS);
    symbolic_free(&g);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static void bounds(int a, int b, int *n) {
    n[0] = a;
    n[1] = b;
    n[2] = n[3] = b > a ? b - a : 0;
}
static const Family range = {"graph f() {\n"
                             "  %%0 = arange {start=%d, end=%d, step=1.0, dtype=f32} : f32[%d]\n"
                             "  return %%0\n}\n",
                             bounds};

static void a_range_is_an_index_and_its_start(void **state) {
    (void)state;
    SymbolicGraph g;
    int64_t symbols[SYMBOLS_MOST];
    make_symbolic(&range, 0, 7, 0, 9, &g);
    expect_text(&g, "graph f[s0 = 9 in 0..]() {\n"
                    "  %0 = iota {dims=[s0]}    : i64[s0]\n"
                    "  %1 = cast %0 {dtype=f64} : f64[s0]\n"
                    "  %2 = const 0.0 {hoist=1} : f64[]\n"
                    "  %3 = add %2, %1          : f64[s0]\n"
                    "  %4 = cast %3 {dtype=f32} : f32[s0]\n"
                    "  return %4\n"
                    "}\n");
    assert_int_equal(bind(&g, &range, 0, 100, symbols, NULL), BIND_OK);
    assert_int_equal(bind(&g, &range, 1, 100, symbols, NULL), BIND_WORDS);
    symbolic_free(&g);
    make_symbolic(&range, 3, 4, 8, 9, &g);
    expect_text(&g, "graph f[s0 = 8 in 0..]() {\n"
                    "  %0 = iota {dims=[1]}     : i64[1]\n"
                    "  %1 = cast %0 {dtype=f64} : f64[1]\n"
                    "  %2 = const size s0       : f64[]\n"
                    "  %3 = add %2, %1          : f64[1]\n"
                    "  %4 = cast %3 {dtype=f32} : f32[1]\n"
                    "  return %4\n"
                    "}\n");
    assert_int_equal(bind(&g, &range, 100, 101, symbols, NULL), BIND_OK);
    assert_int_equal(bind(&g, &range, 100, 102, symbols, NULL), BIND_WORDS);
    symbolic_free(&g);
}

/* ---- coincidences ---------------------------------------------------------------------------- */

static void pair(int a, int b, int *n) {
    n[0] = n[2] = a;
    n[1] = n[3] = b;
}
static const Family two = {"graph f(%%0: f32[%d], %%1: f32[%d]) {\n"
                           "  %%2 = exp %%0 : f32[%d]\n"
                           "  %%3 = exp %%1 : f32[%d]\n"
                           "  return %%2, %%3\n}\n",
                           pair};

static void what_only_seemed_equal_becomes_two_symbols(void **state) {
    (void)state;
    SymbolicGraph g, better;
    Graph latest;
    sn_error error = {0};
    int64_t symbols[SYMBOLS_MOST];
    make_symbolic(&two, 4, 4, 9, 9, &g);
    assert_int_equal(g.symbol_words.count, 1);
    assert_int_equal(bind(&g, &two, 5, 5, symbols, NULL), BIND_OK);
    assert_int_equal(bind(&g, &two, 5, 6, symbols, NULL), BIND_WORDS);
    make(&two, 5, 6, &latest);
    assert_true(symbolic_make(&better, &g, NULL, &latest, NULL, &error));
    assert_int_equal(better.symbol_words.count, 2);
    for (int a = 1; a < 12; a++)
        for (int b = 1; b < 12; b++)
            assert_int_equal(bind(&better, &two, a, b, symbols, NULL), BIND_OK);
    graph_free(&latest);
    symbolic_free(&g);
    symbolic_free(&better);
}

/* ---- what cannot be symbolic ----------------------------------------------------------------- */

static void axes(int a, int b, int *n) {
    n[0] = n[1] = b;
    n[2] = a;
}
static const Family flipped = {"graph f(%%0: f32[%d,%d]) {\n"
                               "  %%1 = softmax %%0 {axis=%d} : f32[%1$d,%2$d]\n"
                               "  return %%1\n}\n",
                               axes};

static void an_axis_does_not_vary(void **state) {
    (void)state;
    SymbolicGraph g;
    Graph first, latest;
    sn_error error = {0};
    make(&flipped, 0, 4, &first);
    make(&flipped, 1, 4, &latest);
    assert_true(graphs_alike(&first, &latest));
    assert_false(symbolic_make(&g, NULL, &first, &latest, NULL, &error));
    assert_string_equal(error.text, "softmax: an attribute varies that is no size");
    graph_free(&first);
    graph_free(&latest);
}

static void broadcasts(int a, int b, int *n) {
    n[0] = n[2] = a;
    n[1] = b;
}
static const Family added = {"graph f(%%0: f32[%d], %%1: f32[%d]) {\n"
                             "  %%2 = add %%0, %%1 : f32[%d]\n"
                             "  return %%2\n}\n",
                             broadcasts};

static void equal_sizes_bind_equal_sizes_only(void **state) {
    (void)state;
    SymbolicGraph g;
    int64_t symbols[SYMBOLS_MOST];
    make_symbolic(&added, 4, 4, 9, 9, &g);
    assert_int_equal(bind(&g, &added, 5, 5, symbols, NULL), BIND_OK);
    assert_int_equal(bind(&g, &added, 5, 1, symbols, NULL), BIND_WORDS); /* that would broadcast */
    symbolic_free(&g);
    make_symbolic(&added, 4, 1, 9, 1, &g);
    assert_int_equal(bind(&g, &added, 1, 1, symbols, NULL), BIND_OK);
    assert_int_equal(bind(&g, &added, 5, 5, symbols, NULL), BIND_WORDS);
    symbolic_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_differ_are_symbols),
        cmocka_unit_test(products_and_parts_are_found),
        cmocka_unit_test(a_position_and_one_more_are_one_symbol),
        cmocka_unit_test(a_number_that_varies_is_a_scalar),
        cmocka_unit_test(scalars_that_were_equal_are_one),
        cmocka_unit_test(a_range_is_an_index_and_its_start),
        cmocka_unit_test(what_only_seemed_equal_becomes_two_symbols),
        cmocka_unit_test(an_axis_does_not_vary),
        cmocka_unit_test(equal_sizes_bind_equal_sizes_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
