/* The text forms of graphs: I4, parse(print(g)) == g for every op, literals bit for bit, errors
 * with line and column, and text that was written to do harm. */
#include "ir/graph/graph.h"
#include "ir/op/dtype.h"
#include "ir/op/literal.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const Site nowhere = {0};

/* Same sequence on every machine. */
static uint64_t random_state;
static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static sn_status parse(Graph *g, const char *text, sn_error *error) {
    graph_init(g, "parsed");
    *error = (sn_error){0};
    return graph_parse(g, text, strlen(text), error);
}

/* parse(print(g)) == g, and printing that again gives the same text. */
static void assert_round_trip(const Graph *g) {
    StrBuf text = {0}, again = {0};
    graph_print(g, &text);
    assert_false(text.failed);
    Graph parsed;
    sn_error error;
    if (parse(&parsed, strbuf_text(&text), &error) != SN_OK)
        fail_msg("%s\n%s", error.text, strbuf_text(&text));
    if (!graph_equal(g, &parsed)) fail_msg("not equal:\n%s", strbuf_text(&text));
    assert_int_equal(graph_hash(g), graph_hash(&parsed));
    graph_print(&parsed, &again);
    assert_string_equal(strbuf_text(&text), strbuf_text(&again));
    graph_free(&parsed);
    strbuf_free(&text);
    strbuf_free(&again);
}

/* ---- literals -------------------------------------------------------------------------------- */

static void assert_literal(sn_dtype dtype, uint64_t bits, const char *want) {
    StrBuf text = {0};
    literal_print(&text, dtype, bits);
    if (want) assert_string_equal(strbuf_text(&text), want);
    uint64_t back = ~bits;
    if (!literal_parse(strbuf_text(&text), text.length, dtype, &back) || back != bits)
        fail_msg("%s: 0x%llx became %s", sn_dtype_name(dtype), (unsigned long long)bits,
                 strbuf_text(&text));
    strbuf_free(&text);
}

static void test_literals_print_short_and_read_back(void **state) {
    (void)state;
    assert_literal(SN_F32, 0x3f800000, "1.0");
    assert_literal(SN_F32, 0x3dcccccd, "0.1");
    assert_literal(SN_F32, 0x80000000, "-0.0");
    assert_literal(SN_F32, 0x00000001, "1e-45");
    assert_literal(SN_F32, 0x7f7fffff, "3.4028235e+38");
    assert_literal(SN_F32, 0x7f800000, "inf");
    assert_literal(SN_F32, 0xff800000, "-inf");
    assert_literal(SN_F32, 0x7fc00000, "nan");
    assert_literal(SN_F32, 0xffc00000, "-nan");
    assert_literal(SN_F32, 0x7f800001, "nan(0x7f800001)");
    assert_literal(SN_F64, 0x3fb999999999999a, "0.1");
    assert_literal(SN_F64, 1, "5e-324");
    assert_literal(SN_F64, 0xfff8000000000123, "nan(0xfff8000000000123)");
    assert_literal(SN_F16, 0x7bff, NULL);
    assert_literal(SN_BF16, 0x3f80, "1.0");
    assert_literal(SN_I64, (uint64_t)INT64_MIN, "-9223372036854775808");
    assert_literal(SN_I64, INT64_MAX, "9223372036854775807");
    assert_literal(SN_I8, (uint64_t)-128, "-128");
    assert_literal(SN_U8, 255, "255");
    assert_literal(SN_BOOL, 1, "true");
    assert_literal(SN_BOOL, 0, "false");
}

static void test_every_half_and_many_floats_read_back(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits += 1 + bits % 3) {
        assert_literal(SN_F16, bits, NULL);
        assert_literal(SN_BF16, bits, NULL);
    }
    random_state = 1;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = (uint64_t)random_below(UINT32_MAX) << 40 ^
                        (uint64_t)random_below(UINT32_MAX) << 20 ^ random_below(UINT32_MAX);
        assert_literal(SN_F64, bits, NULL);
        assert_literal(SN_F32, (uint32_t)bits, NULL);
        assert_literal(SN_F32, bits % 0x800000, NULL); /* subnormal */
    }
}

static void test_text_that_is_no_literal_is_refused(void **state) {
    (void)state;
    static const struct {
        sn_dtype dtype;
        const char *text;
    } bad[] = {
        {SN_F32, ""},
        {SN_F32, "."},
        {SN_F32, "1.0.0"},
        {SN_F32, "0x10"},
        {SN_F32, " 1"},
        {SN_F32, "1e"},
        {SN_F32, "infx"},
        {SN_F32, "nan(0x0)"},
        {SN_F32, "--1"},
        {SN_F32, "1,5"},
        {SN_F16, "nan(0x17c01)"},
        {SN_F32, "nan(0x7f800001"},
        {SN_F64, "nan(0x17ff8000000000001)"},
        {SN_I8, "128"},
        {SN_I8, "-129"},
        {SN_U8, "-1"},
        {SN_U8, "256"},
        {SN_I64, "9223372036854775808"},
        {SN_I64, "-9223372036854775809"},
        {SN_I64, "1.0"},
        {SN_I64, "+"},
        {SN_BOOL, "1"},
        {SN_BOOL, "truly"},
    };
    uint64_t bits;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (literal_parse(bad[i].text, strlen(bad[i].text), bad[i].dtype, &bits))
            fail_msg("'%s' was read", bad[i].text);
}

static void test_the_locale_does_not_show(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    bool found = false;
    for (size_t i = 0; !found && i < 4; i++) found = setlocale(LC_NUMERIC, names[i]) != NULL;
    assert_literal(SN_F32, 0x3fc00000, "1.5");
    setlocale(LC_NUMERIC, "C");
    if (!found) skip();
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static const char sample[] =
    "graph mlp(%0: f32[2,3], %1: f32[3,4], %2: i64[2], %9: f32[2,4]) {\n"
    "  %3 = const 0.1 {weak=1}                          : f32[]\n"
    "  %4 = matmul %0, %1                               : f32[2,4]  ; mlp.c:12\n"
    "  %5 = mul %4, %3                                  : f32[2,4]  ; mlp.c:12\n"
    "  %6 = gelu %5 {form=1}                            : f32[2,4]  ; src/my model.c:13\n"
    "  %7 = dropout %6, %2 {p=0.25}                     : f32[2,4]\n"
    "  %8 = clamp %7, none, %3                          : f32[2,4]\n"
    "  %10 = add %8, %9                                 : f32[2,4]\n"
    "  %11 = sum %10 {axes=[1], keepdim=1, order=1}     : f32[2,1]  ; mlp.c:14\n"
    "  %12 = cast %11 {dtype=bool}                      : bool[2,1]\n"
    "  %13 = slice %10 {starts=[1,3], steps=[-1,-2], dims=[2,2]} : f32[2,2]\n"
    "  return %12, %13, %10 -> %9\n"
    "}\n";

static void test_a_graph_prints_in_columns_and_reads_back(void **state) {
    (void)state;
    static const char want[] =
        "graph mlp(%0: f32[2,3], %1: f32[3,4], %2: i64[2], %9: f32[2,4]) {\n"
        "  %3 = const 0.1 {weak=1}                                   : f32[]\n"
        "  %4 = matmul %0, %1                                        : f32[2,4]   ; mlp.c:12\n"
        "  %5 = mul %4, %3                                           : f32[2,4]   ; mlp.c:12\n"
        "  %6 = gelu %5 {form=1}                                     : f32[2,4]   ; src/my "
        "model.c:13\n"
        "  %7 = dropout %6, %2 {p=0.25}                              : f32[2,4]\n"
        "  %8 = clamp %7, none, %3                                   : f32[2,4]\n"
        "  %10 = add %8, %9                                          : f32[2,4]\n"
        "  %11 = sum %10 {axes=[1], keepdim=1, order=1}              : f32[2,1]   ; mlp.c:14\n"
        "  %12 = cast %11 {dtype=bool}                               : bool[2,1]\n"
        "  %13 = slice %10 {starts=[1,3], steps=[-1,-2], dims=[2,2]} : f32[2,2]\n"
        "  return %12, %13, %10 -> %9\n"
        "}\n";
    Graph g;
    sn_error error;
    if (parse(&g, sample, &error) != SN_OK) fail_msg("%s", error.text);
    assert_string_equal(g.name, "mlp");
    assert_int_equal(g.nodes.count, 14);
    assert_int_equal(g.inputs.data[3], 9);
    assert_int_equal(g.outputs.data[2].writes_input, 3);
    Site site = g.sites.data[graph_node(&g, 6)->site];
    assert_string_equal(site.file, "src/my model.c");
    assert_int_equal(site.line, 13);
    StrBuf text = {0};
    graph_print(&g, &text);
    assert_string_equal(strbuf_text(&text), want);
    strbuf_free(&text);
    assert_round_trip(&g);
    graph_free(&g);
}

/* Of sizes that vary those at hand: the expressions may be others. */
static void test_a_write_has_the_sizes_of_its_input(void **state) {
    (void)state;
    for (int t = 4; t <= 5; t++) {
        Graph g;
        DimTable table;
        sn_error error = {0};
        char text[128];
        snprintf(text, sizeof text,
                 "graph f[S = 4 in .., T = %d in ..](%%0: f32[S], %%1: f32[T]) {\n"
                 "  %%2 = neg %%0 : f32[S]\n  return %%2 -> %%1\n}\n",
                 t);
        graph_init(&g, "f");
        dims_init(&table);
        g.table = &table;
        assert_int_equal(graph_parse(&g, text, strlen(text), &error),
                         t == 4 ? SN_OK : SN_ERROR_FORMAT);
        if (t != 4) assert_non_null(strstr(error.text, "writes an input of another type"));
        graph_free(&g);
        dims_free(&table);
    }
}

static void test_gaps_comments_and_defaults_are_allowed(void **state) {
    (void)state;
    Graph g, same;
    sn_error error;
    static const char loose[] =
        "; a comment\ngraph f(\n  %3: f32[4,5],\n  %7: f32\n) {   ; more\n"
        "\n%10=mul %3,%7 : f32[4,5] ; not a source line\r\n"
        "  %20 = sum %10 {axes=[-1]} : f32[4]\n  return %20->%7, %3\n}\n;end";
    /* The write does not fit its input, which the verifier says. */
    assert_int_equal(parse(&g, loose, &error), SN_ERROR_FORMAT);
    assert_non_null(strstr(error.text, "writes an input of another type"));
    static const char good[] = "graph f(\n  %3: f32[4,5],\n  %7: f32\n) {\n"
                               "%10=mul %3,%7 : f32[4,5] ; not a source line\r\n"
                               "  %20 = sum %10 {axes=[-1]} : f32[4]\n  return %20\n}\n;end";
    if (parse(&g, good, &error) != SN_OK) fail_msg("%s", error.text);
    static const char tidy[] = "graph f(%0: f32[4,5], %1: f32[]) { %2 = mul %0, %1 : f32[4,5]\n"
                               "%3 = sum %2 {order=1, axes=[1]} : f32[4]\nreturn %3 }";
    if (parse(&same, tidy, &error) != SN_OK) fail_msg("%s", error.text);
    assert_true(graph_equal(&g, &same));
    assert_null(g.sites.data[graph_node(&g, 2)->site].file);
    graph_free(&g);
    graph_free(&same);
}

static void test_a_graph_without_anything_reads_back(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, NULL);
    assert_round_trip(&g);
    graph_free(&g);
}

static void test_strides_of_inputs_read_back(void **state) {
    (void)state;
    static const char text[] = "graph f(%0: f32[2,3]{1,2}, %1: i8[], %2: u8[4]{-1}) {\n"
                               "  return %0\n}\n";
    Graph g, dense;
    sn_error error;
    if (parse(&g, text, &error) != SN_OK) fail_msg("%s", error.text);
    int32_t count;
    const int64_t *strides = node_attr_list(&g, 0, ATTR_STRIDES, &count);
    assert_int_equal(count, 2);
    assert_int_equal(strides[1], 2);
    node_attr_list(&g, 1, ATTR_STRIDES, &count);
    assert_int_equal(count, 0);
    assert_int_equal(*node_attr_list(&g, 2, ATTR_STRIDES, &count), -1);
    StrBuf out = {0};
    graph_print(&g, &out);
    assert_string_equal(strbuf_text(&out), text);
    strbuf_free(&out);
    static const char flat[] = "graph f(%0: f32[2,3], %1: i8[], %2: u8[4]{-1}) { return %0 }";
    assert_int_equal(parse(&dense, flat, &error), SN_OK);
    assert_false(graph_equal(&g, &dense));
    graph_free(&g);
    graph_free(&dense);
}

static void test_folding_is_off_while_parsing(void **state) {
    (void)state;
    Graph g;
    sn_error error;
    static const char text[] = "graph f(%0: f32[2]) {\n %1 = const 1.0 : f32[]\n"
                               " %2 = mul %0, %1 : f32[2]\n return %2\n}\n";
    assert_int_equal(parse(&g, text, &error), SN_OK);
    assert_int_equal(g.nodes.count, 3);
    assert_false(g.no_fold);
    assert_round_trip(&g);
    graph_free(&g);
}

static void test_constants_of_every_dtype_read_back(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "constants");
    random_state = 7;
    for (int i = 0; i < 400; i++) {
        sn_dtype dtype = (sn_dtype)random_below(SN_DTYPE_COUNT);
        uint64_t bits = (uint64_t)random_below(UINT32_MAX) << 33 ^ random_below(UINT32_MAX);
        if (i % 5 == 0) bits = i % 2 ? UINT64_MAX : 0; /* NaN with every bit set, -1, true */
        NodeId id = graph_const(&g, dtype, bits, random_below(2), random_below(2), nowhere, NULL);
        assert_true(graph_output(&g, id, -1));
    }
    assert_round_trip(&g);
    graph_free(&g);
}

/* ---- every op -------------------------------------------------------------------------------- */

/* Shapes among which each op of the table finds operands that it accepts. */
static const struct {
    sn_dtype dtype;
    const char *dims; /* one digit a dim */
} pool[] = {{SN_F32, "333"}, {SN_F32, "33"},  {SN_F32, "3"},     {SN_F32, ""},
            {SN_I64, "3"},   {SN_I64, "2"},   {SN_I64, "33"},    {SN_BOOL, "33"},
            {SN_F64, "133"}, {SN_I64, "333"}, {SN_BF16, "3333"}, {SN_F32, "33333"}};
enum { POOL = sizeof pool / sizeof *pool };

static void add_pool(Graph *g) {
    for (int i = 0; i < POOL; i++) {
        TensorType type = {.dtype = (uint8_t)pool[i].dtype, .rank = (uint8_t)strlen(pool[i].dims)};
        for (int j = 0; j < type.rank; j++) type.dims[j] = dim_of(pool[i].dims[j] - '0');
        /* The first is transposed memory, the others are dense. */
        const Dim *strides = i ? NULL : (const Dim[]){{1}, {3}, {-9}};
        assert_int_not_equal(graph_input(g, &type, strides, nowhere, NULL), NODE_NONE);
    }
}

static void random_attr(AttrList *attrs, char kind) {
    static const double doubles[] = {0, 1, -0.0, 0.1, 3, 1e300, 0.3333333333333333};
    int64_t values[4] = {0};
    int32_t count;
    switch (kind) {
    case 'L':
        count = (int32_t)random_below(5);
        for (int32_t i = 0; i < count; i++) values[i] = (int64_t)random_below(6) - 2;
        attr_add_list(attrs, values, count);
        break;
    case 'd':
        attr_add_double(attrs, doubles[random_below(7)]);
        break;
    case 'y':
        attr_add_int(attrs, random_below(SN_DTYPE_COUNT));
        break;
    default:
        attr_add_int(attrs, (int64_t)random_below(5) - 1);
        break;
    }
}

/* One attempt at a node of this op with random operands and attributes. */
static NodeId random_node(Graph *g, OpCode op) {
    int32_t n_params, n_inputs = 0;
    const OpParam *params = op_params(op, &n_params);
    NodeId inputs[16];
    AttrList attrs = {.count = 0};
    for (int32_t i = 0; i < n_params; i++) {
        if (params[i].attr) {
            random_attr(&attrs, params[i].kind);
            continue;
        }
        uint32_t span = params[i].suffix == '*' ? 1 + random_below(4) : 1;
        for (uint32_t j = 0; j < span; j++)
            inputs[n_inputs++] = params[i].suffix == '?' && random_below(2)
                                     ? NODE_NONE
                                     : random_below(g->nodes.count);
    }
    Site site = site_at(random_below(2) ? "dir/a file.c" : "b.c", (int32_t)random_below(100));
    return graph_emit(g, op, inputs, n_inputs, &attrs, random_below(3) ? site : nowhere, NULL);
}

static bool of_graphs(OpCode op) {
    return op != OP_INPUT && op != OP_CONST && !op_is(op, CLASS_KERNEL) &&
           op_info[op].shape_rule != SHAPE_RETIRED;
}

static void test_every_op_reads_back_and_verifies(void **state) {
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        if (!of_graphs((OpCode)op)) continue;
        Graph g;
        graph_init(&g, op_info[op].name);
        g.no_fold = true;
        add_pool(&g);
        random_state = (uint64_t)op;
        int made = 0;
        for (int tries = 0; made < 12 && tries < 300000; tries++) {
            uint32_t count = g.nodes.count;
            NodeId id = random_node(&g, (OpCode)op);
            if (id == NODE_NONE) assert_int_equal(g.nodes.count, count);
            made += id != NODE_NONE && g.nodes.count > count;
        }
        if (!made) fail_msg("no operands found for %s", op_info[op].name);
        for (NodeId id = POOL; id < g.nodes.count; id++) assert_true(graph_output(&g, id, -1));
        sn_error error = {0};
        if (graph_verify(&g, &error) != SN_OK) fail_msg("%s", error.text);
        assert_round_trip(&g);
        graph_free(&g);
    }
}

static void test_random_graphs_read_back(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        Graph g;
        graph_init(&g, "random");
        g.no_fold = seed % 2;
        random_state = seed * 77 + 5;
        add_pool(&g);
        for (int i = 0; i < 3000 && g.nodes.count < 150; i++) {
            OpCode op = (OpCode)random_below(OP_COUNT);
            if (of_graphs(op)) random_node(&g, op);
            if (i % 500 == 250) add_pool(&g);
        }
        assert_true(g.nodes.count > 100);
        assert_true(graph_output(&g, g.nodes.count - 1, -1));
        assert_true(graph_output(&g, g.inputs.data[2], 2));
        sn_error error = {0};
        if (graph_verify(&g, &error) != SN_OK) fail_msg("%s", error.text);
        assert_round_trip(&g);
        graph_free(&g);
    }
}

/* ---- bad text -------------------------------------------------------------------------------- */

static void test_errors_name_line_and_column(void **state) {
    (void)state;
    static const struct {
        const char *body;  /* lines between header and return */
        const char *error; /* beginning of the error's text */
    } cases[] = {
        {"  %2 = frobnicate %0 : f32[2]\n", "line 2, column 8: no op 'frobnicate'"},
        {"  %2 = add %0, %7 : f32[2]\n", "line 2, column 16: %7 is not defined"},
        {"  %2 = add %0, %2 : f32[2]\n", "line 2, column 16: %2 is not defined"},
        {"  %1 = neg %0 : f32[2]\n", "line 2, column 3: %1 is an input"},
        {"  %2 = add %0, %1 : f32[2]\n", "line 2, column 8: add: "},
        {"  %2 = neg %0 : f32[3]\n", "line 2, column 8: the type of this neg is f32[2]"},
        {"  %2 = neg %0 : f32\n", "line 2, column 8: the type of this neg is f32[2]"},
        {"  %2 = neg %0 : f33[2]\n", "line 2, column 17: 'f33' is no dtype"},
        {"  %2 = neg %0 {axis=1} : f32[2]\n", "line 2, column 16: neg has no attribute 'axis'"},
        {"  %2 = sum %0 {axes=[0], axes=[0]} : f32[]\n",
         "line 2, column 26: 'axes' is given twice"},
        {"  %2 = sum %0 {axes=0} : f32[]\n", "line 2, column 21: expected '['"},
        {"  %2 = sum %0 {axes=[3]} : f32[]\n", "line 2, column 8: sum: "},
        {"  %2 = sum %0 {axes=[99999999999999999999]} : f32[]\n", "line 2, column 22: expected an"},
        {"  %2 = const 300 : u8[]\n", "line 2, column 14: '300' is no u8"},
        {"  %2 = const 300 {bits=1} : u8[]\n", "line 2, column 19: const has no attribute 'bits'"},
        {"  %2 = const 1.0 : f32[1]\n", "line 2, column 8: the type of this const is f32[]"},
        {"  %2 = input {number=3} : f32[1]\n", "line 2, column 8: input: not an op"},
        {"  %2 = neg %0 : f32[2] %1\n", "line 2, column 24: expected the end of the line"},
        {"  %2 = neg %0\n", "line 2, column 14: expected ':'"},
        {"  %2 = neg none : f32[2]\n", "line 2, column 8: neg: "},
        {"  %2 = neg %0 : f32[-2]\n", "line 2, column 21: a size is negative"},
        {"  %2 = neg %0 : f32[1,1,1,1,1,1,1,1,1]\n", "line 2, column 37: more than 8 dims"},
        {"  %4294967296 = neg %0 : f32[2]\n", "line 2, column 4: expected a node's number"},
        {"  %5 = neg %0 : f32[2]\n  %4 = neg %1 : f32[3]\n", "line 3, column 3: %4 comes after %5"},
        {"  nonsense\n", "line 2, column 3: expected 'return'"},
        {"  return %0 -> %0 }\n x", "line 3, column 2: text behind the graph"},
        {"  %2 = neg %0 : f32[2]\n  return %0 -> %2 }", "line 3, column 16: only inputs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400];
        snprintf(text, sizeof text, "graph f(%%0: f32[2], %%1: f32[3]) {\n%s  return %%0\n}\n",
                 cases[i].body);
        Graph g;
        sn_error error;
        assert_int_equal(parse(&g, text, &error), SN_ERROR_FORMAT);
        if (strncmp(error.text, cases[i].error, strlen(cases[i].error)) != 0)
            fail_msg("%s\n%s", text, error.text);
        /* What was read before the error is gone. */
        assert_int_equal(g.nodes.count, 0);
        assert_string_equal(g.name, "parsed");
        graph_free(&g);
    }
}

static void test_headers_are_checked(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "graph",
        "graph (",
        "graph f",
        "graph f(%0 f32[2]) { return }",
        "graph f(%0: f32[2]",
        "graph f(%1: f32[2], %0: f32[2]) { return }",
        "graph f(%0: f32[2], %0: f32[2]) { return }",
        "graph f(%0: f64[4611686018427387904,4]) { return }",
        "graph f() { return",
        "graph f() {",
        "graph f() { return %0 }",
        "graph f(x: f32[2]) { return }",
        "graph f(%0: f32[2],) { return }",
        "graph f(%0: f32[2]{}) { return }",
        "graph f(%0: f32[2]{1,2}) { return }",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Graph g;
        sn_error error;
        if (parse(&g, bad[i], &error) != SN_ERROR_FORMAT) fail_msg("read: %s", bad[i]);
        assert_memory_equal(error.text, "line ", 5);
        graph_free(&g);
    }
}

/* Characters that occur in the language are likelier to get past the first check. */
static void mutate(char *text, size_t *length, size_t room) {
    static const char alphabet[] = "%0123456789,:;=()[]{}->. \nnonefi32r\0\x80\xff";
    size_t at = random_below((uint32_t)*length);
    size_t run = 1 + random_below(12);
    switch (random_below(4)) {
    case 0:
        text[at] = alphabet[random_below(sizeof alphabet - 1)];
        break;
    case 1: /* remove a run */
        if (run > *length - at) run = *length - at;
        memmove(text + at, text + at + run, *length - at - run);
        *length -= run;
        break;
    case 2: /* repeat a run */
        if (run > *length - at) run = *length - at;
        if (*length + run > room) break;
        memmove(text + at + run, text + at, *length - at);
        *length += run;
        break;
    default: /* a number beyond all bounds */
        if (*length + 19 > room) break;
        memmove(text + at + 19, text + at, *length - at);
        memcpy(text + at, "9223372036854775807", 19);
        *length += 19;
    }
    if (*length == 0) text[(*length)++] = ' ';
}

static void test_mutated_text_is_read_or_refused_and_nothing_is_lost(void **state) {
    (void)state;
    enum { ROOM = 4096 };
    int64_t live = mem_live_count();
    random_state = 11;
    int accepted = 0;
    for (int i = 0; i < 20000; i++) {
        size_t length = sizeof sample - 1;
        char *text = mem_alloc(ROOM);
        assert_non_null(text);
        memcpy(text, sample, length);
        for (uint32_t n = 1 + random_below(4); n; n--) mutate(text, &length, ROOM);
        char *exact = mem_realloc(text, length); /* so that reading past the end is seen */
        Graph g;
        graph_init(&g, "f");
        sn_error error = {0};
        sn_status status = graph_parse(&g, exact, length, &error);
        if (status == SN_OK) {
            accepted++;
            assert_round_trip(&g);
        } else {
            assert_int_equal(status, SN_ERROR_FORMAT);
            assert_memory_equal(error.text, "line ", 5);
        }
        graph_free(&g);
        mem_free(exact);
    }
    assert_true(accepted > 100);
    assert_int_equal(mem_live_count(), live);
}

static void test_every_failed_allocation_is_reported(void **state) {
    (void)state;
    int64_t live = mem_live_count(), n = 1;
    for (bool done = false; !done; n++) {
        Graph g;
        sn_error error;
        mem_fail_after(n, false);
        sn_status status = parse(&g, sample, &error);
        mem_fail_after(0, false);
        done = status == SN_OK;
        if (!done) assert_int_equal(status, SN_ERROR_MEMORY);
        graph_free(&g);
        assert_int_equal(mem_live_count(), live);
    }
    assert_true(n > 10);
    Graph g;
    sn_error error;
    assert_int_equal(parse(&g, sample, &error), SN_OK);
    StrBuf text = {0};
    mem_fail_after(1, true);
    graph_print(&g, &text);
    mem_fail_after(0, false);
    assert_true(text.failed);
    strbuf_free(&text);
    graph_free(&g);
}

/* ---- Graphviz -------------------------------------------------------------------------------- */

static void test_graphviz_has_a_record_a_node_and_escapes_names(void **state) {
    (void)state;
    Graph g;
    graph_init(&g, "a\"b");
    TensorType type = {.dtype = SN_F32, .rank = 1, .dims = {{2}}};
    NodeId x = graph_input(&g, &type, NULL, nowhere, NULL);
    NodeId k = graph_const(&g, SN_F32, 0x3f000000, false, false, nowhere, NULL);
    NodeId y =
        graph_emit(&g, OP_MUL, (const NodeId[]){x, k}, 2, NULL, site_at("q\"{x}.c", 4), NULL);
    assert_true(graph_output(&g, y, 0));
    StrBuf text = {0};
    graph_print_dot(&g, &text);
    assert_string_equal(strbuf_text(&text),
                        "digraph \"a\\\"b\" {\n"
                        "  node [shape=record, fontname=\"monospace\"];\n"
                        "  n0 [shape=ellipse, label=\"%0 input 0\\nf32[2]\"];\n"
                        "  n1 [label=\"{%1 const 0.5|f32[]}\"];\n"
                        "  n2 [label=\"{%2 mul|f32[2]|q\\\"\\{x\\}.c:4}\"];\n"
                        "  n0 -> n2 [headlabel=\"0\"];\n"
                        "  n1 -> n2 [headlabel=\"1\"];\n"
                        "  out0 [shape=box, peripheries=2, label=\"output 0\\nwrites input 0\"];\n"
                        "  n2 -> out0;\n"
                        "}\n");
    strbuf_free(&text);
    graph_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals_print_short_and_read_back),
        cmocka_unit_test(test_every_half_and_many_floats_read_back),
        cmocka_unit_test(test_text_that_is_no_literal_is_refused),
        cmocka_unit_test(test_the_locale_does_not_show),
        cmocka_unit_test(test_a_graph_prints_in_columns_and_reads_back),
        cmocka_unit_test(test_a_write_has_the_sizes_of_its_input),
        cmocka_unit_test(test_gaps_comments_and_defaults_are_allowed),
        cmocka_unit_test(test_a_graph_without_anything_reads_back),
        cmocka_unit_test(test_strides_of_inputs_read_back),
        cmocka_unit_test(test_folding_is_off_while_parsing),
        cmocka_unit_test(test_constants_of_every_dtype_read_back),
        cmocka_unit_test(test_every_op_reads_back_and_verifies),
        cmocka_unit_test(test_random_graphs_read_back),
        cmocka_unit_test(test_errors_name_line_and_column),
        cmocka_unit_test(test_headers_are_checked),
        cmocka_unit_test(test_mutated_text_is_read_or_refused_and_nothing_is_lost),
        cmocka_unit_test(test_every_failed_allocation_is_reported),
        cmocka_unit_test(test_graphviz_has_a_record_a_node_and_escapes_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
