/* Every integer that a program can give an op (kinds l and L of the op table; h is given by no program)
 * or another public function, at the edges: of int64_t, of the words of expressions (ir/op/dim.h), of 32
 * bits, of the axis; on operands of several shapes and dtypes, alone and in pairs. Eager and compiled, each
 * call twice, agree in bits or in the error, text included; nothing outside of a tensor is touched; and a
 * word that looks like an expression fares as its neighbour that does not. Memory is limited to 1 GiB. Prints
 * how many calls it tried. */
#include "api_case.h"

#include "frontend/op/dispatch.h"
#include "infer_cases.h"

#include <signal.h>
#include <unistd.h>

static const int64_t edges[] = {
    DIM_FIRST - 1, /* first, so that those after it are compared with it */
    DIM_FIRST,
    DIM_FIRST + 1,
    DIM_FIRST + 5,
    DIM_FIRST + DIM_MOST_EXPRESSIONS - 1,
    DIM_FIRST + DIM_MOST_EXPRESSIONS,
    INT64_MIN,
    INT64_MIN + 1,
    -((int64_t)1 << 32),
    -2,
    -1,
    0,
    1,
    2,
    INT32_MAX,
    (int64_t)INT32_MAX + 1,
    (int64_t)INT32_MAX + 2,
    (int64_t)1 << 32,
    INT64_MAX - 1,
    INT64_MAX,
};
enum { N_EDGES = sizeof edges / sizeof edges[0], MOST_SEEN = 1 << 20 };

/* A call that succeeds; the dtype number 8 is f32. */
typedef struct Row {
    OpCode op;            /* the op */
    const char *operands; /* types of its tensors */
    const char *attrs;    /* its attributes */
} Row;

static const Row rows[] = {
    {OP_SUM, "f32[3,4]", "[0] 0 0"},
    {OP_PROD, "f32[3,4]", "[0] 0 0"},
    {OP_MEAN, "f32[3,4]", "[0] 0"},
    {OP_MAX, "f32[3,4]", "[0] 0"},
    {OP_MIN, "f32[3,4]", "[0] 0"},
    {OP_ARGMAX, "f32[3,4]", "[0] 0"},
    {OP_ARGMIN, "f32[3,4]", "[0] 0"},
    {OP_ANY, "f32[3,4]", "[0] 0"},
    {OP_ALL, "f32[3,4]", "[0] 0"},
    {OP_VAR, "f32[3,4]", "[0] 0 d1"},
    {OP_LOGSUMEXP, "f32[3,4]", "[0] 0"},
    {OP_CUMSUM, "f32[3,4]", "0"},
    {OP_RESHAPE, "f32[3,4]", "[4,3]"},
    {OP_PERMUTE, "f32[3,4]", "[1,0]"},
    {OP_TRANSPOSE, "f32[3,4]", "0 1"},
    {OP_EXPAND, "f32[3,1]", "[2,3,4]"},
    {OP_SQUEEZE, "f32[3,1]", "[1]"},
    {OP_UNSQUEEZE, "f32[3,4]", "1"},
    {OP_SELECT, "f32[3,4]", "0 1"},
    {OP_FLIP, "f32[3,4]", "[0,1]"},
    {OP_DIAGONAL, "f32[3,4]", "0 0 1"},
    {OP_NARROW, "f32[3,4]", "0 1 2"},
    {OP_CAT, "f32[3,4] f32[3,4]", "0"},
    {OP_STACK, "f32[3,4] f32[3,4]", "0"},
    {OP_PAD, "f32[3,4]", "[1,1,0,1] d0.5"},
    {OP_GATHER, "f32[3,4] i64[2,4]", "0"},
    {OP_INDEX_SELECT, "f32[3,4] i64[2]", "0"},
    {OP_TRIL, "f32[3,4]", "0"},
    {OP_TRIU, "f32[3,4]", "0"},
    {OP_FULL, "", "[3,4] d1.5 8"},
    {OP_ONE_HOT, "i64[3]", "5"},
    {OP_SCATTER_ADD, "f32[3,4] i64[2,4] f32[2,4]", "0"},
    {OP_INDEX_COPY, "f32[3,4] i64[2] f32[2,4]", "0"},
    {OP_RAND, "", "[3,4] 8 0"},
    {OP_RANDN, "", "[3,4] 8 0"},
    {OP_SOFTMAX, "f32[3,4]", "0"},
    {OP_LOG_SOFTMAX, "f32[3,4]", "0"},
    {OP_CONV1D, "f32[1,2,5] f32[2,2,2] f32[2]", "[1] [1] [1] 1"},
    {OP_CONV2D, "f32[1,1,3,4] f32[2,1,2,2] f32[2]", "[1,2] [1,0] [1,1] 1"},
    {OP_CONV3D, "f32[1,1,2,2,3] f32[1,1,2,2,2] f32[1]", "[1] [0,1,0] [1] 1"},
    {OP_CONV_TRANSPOSE1D, "f32[1,2,5] f32[2,2,2] f32[2]", "[2] [1] [0] 1 [1]"},
    {OP_CONV_TRANSPOSE2D, "f32[1,1,3,4] f32[1,2,2,2] f32[2]", "[1,2] [1,0] [0,1] 1 [1]"},
    {OP_CONV_TRANSPOSE3D, "f32[1,1,2,2,3] f32[1,1,2,2,2] f32[1]", "[1] [0,1,0] [0] 1 [1]"},
    {OP_MAX_POOL1D, "f32[1,2,5]", "[2] [2] [1] [1] 0"},
    {OP_MAX_POOL2D, "f32[1,1,3,4]", "[2,2] [1,2] [1,0] [1] 1"},
    {OP_MAX_POOL3D, "f32[1,1,2,2,3]", "[2] [1] [0,1,0] [1] 0"},
    {OP_AVG_POOL1D, "f32[1,2,5]", "[2] [2] [1] 0 1 3"},
    {OP_AVG_POOL2D, "f32[1,1,3,4]", "[2,2] [1,2] [1,0] 1 0 0"},
    {OP_AVG_POOL3D, "f32[1,1,2,2,3]", "[2] [1] [0,1,0] 0 1 -2"},
    {OP_MAX_POOL1D_INDICES, "f32[1,2,5]", "[2] [2] [1] [1] 0"},
    {OP_MAX_POOL2D_INDICES, "f32[1,1,3,4]", "[2,2] [1,2] [1,0] [1] 1"},
    {OP_MAX_POOL3D_INDICES, "f32[1,1,2,2,3]", "[2] [1] [0,1,0] [1] 0"},
    {OP_ADAPTIVE_AVG_POOL1D, "f32[1,2,5]", "[3]"},
    {OP_ADAPTIVE_AVG_POOL2D, "f32[1,1,3,4]", "[2,2]"},
    {OP_ADAPTIVE_AVG_POOL3D, "f32[1,1,2,2,3]", "[1,2,2]"},
    {OP_ADAPTIVE_MAX_POOL1D, "f32[1,2,5]", "[3]"},
    {OP_ADAPTIVE_MAX_POOL2D, "f32[1,1,3,4]", "[2,2]"},
    {OP_ADAPTIVE_MAX_POOL3D, "f32[1,1,2,2,3]", "[1,2,2]"},
    {OP_ADAPTIVE_MAX_POOL1D_INDICES, "f32[1,2,5]", "[3]"},
    {OP_ADAPTIVE_MAX_POOL2D_INDICES, "f32[1,1,3,4]", "[2,2]"},
    {OP_ADAPTIVE_MAX_POOL3D_INDICES, "f32[1,1,2,2,3]", "[1,2,2]"},
    {OP_UNFOLD, "f32[1,1,3,4]", "[2] [1] [1,0] [1]"},
    {OP_FOLD, "f32[1,4,3]", "[2,4] [2] [1] [0] [1]"},
    {OP_GROUP_NORM, "f32[2,2,3] f32[2] f32[2]", "2 d1e-05"},
    {OP_LOCAL_RESPONSE_NORM, "f32[1,3,4]", "2 d0.0001 d0.75 d1"},
};

static bool is_integer(const OpParam *param) {
    return param->kind == 'l' || param->kind == 'L';
}

static bool takes_integers(OpCode op) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    for (int32_t i = 0; i < count; i++)
        if (is_integer(&params[i])) return true;
    return false;
}

static void every_op_that_takes_integers_is_tried(void **state) {
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        bool found = false;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) found |= rows[i].op == (OpCode)op;
        bool wanted = op_has((OpCode)op, F_PUBLIC) && takes_integers((OpCode)op);
        if (found != wanted) fail_msg("%s has %s row", op_info[op].name, found ? "a" : "no");
    }
}

/* ---- one call -------------------------------------------------------------------------------- */

enum { GUARD = 1024, MOST_ELEMENTS = 15 };

/* The first tensor of a call, between elements that nothing may touch. */
static float memory[GUARD + MOST_ELEMENTS + GUARD];

static sn_tensor *guarded(const TensorType *type) {
    for (int32_t i = 0; i < GUARD + MOST_ELEMENTS + GUARD; i++) memory[i] = (float)i;
    return sn_from_borrow(memory + GUARD, sizeof *memory * (size_t)type_count(type),
                          type_sizes(type), type->rank, SN_F32, NULL, NULL);
}

static void check_guards(const Row *row) {
    for (int32_t i = 0; i < GUARD + MOST_ELEMENTS + GUARD; i++)
        if ((i < GUARD || i >= GUARD + MOST_ELEMENTS) && memory[i] != (float)i)
            fail_msg("%s wrote element %d of its operand", op_info[row->op].name, (int)i - GUARD);
}

static sn_tensor *operand(const TensorType *type, int32_t number) {
    if (number == 0 && type->dtype == SN_F32) return guarded(type);
    double values[MOST_ELEMENTS];
    for (int32_t i = 0; i < MOST_ELEMENTS; i++) values[i] = i % 2;
    return tensor_of((sn_dtype)type->dtype, type_sizes(type), type->rank, values);
}

static int64_t n_calls; /* of ops and of other functions, so far */

/* What the traced function runs. */
typedef struct Call {
    const Row *row;   /* the op */
    const char *type; /* of its first operand; NULL: as the row says */
    AttrList attrs;   /* its attributes, edges included */
    bool writes;      /* through the view that comes out, into the operand */
    sn_rng generator; /* of a random op */
} Call;
static Call the_call;

static sn_tensor *run(sn_tensor *const *xs, int32_t count, int64_t edge) {
    (void)edge; /* stands in the attributes; here it is part of the key */
    OpCode op = the_call.row->op;
    sn_rng *generator = op_is(op, CLASS_RANDOM) ? &the_call.generator : NULL;
    sn_tensor *y = dispatch_op(op, xs, count, &the_call.attrs, generator, site_at("edge.c", 1));
    if (!the_call.writes) return y;
    sn_copy_at_(y, sn_ci(7), "edge.c", 2);
    return sn_clone(xs[0]);
}
typedef sn_tensor *Run(sn_tensor *const *, int32_t, int64_t);

typedef struct Outcome {
    sn_status status; /* of the call */
    char text[512];   /* of its error */
    int32_t rank;     /* of the result */
    int64_t dims[SN_MAX_RANK];
    bool seen;     /* the elements were few enough to be compared */
    int64_t bytes; /* in data */
    uint8_t *data; /* the elements */
} Outcome;

static void look(sn_tensor *y, Outcome *out) {
    sn_error error;
    *out = (Outcome){.rank = 0};
    if (y) {
        out->rank = sn_shape(y, out->dims, NULL);
        int64_t count = sn_count(y);
        out->seen = count <= MOST_SEEN;
        out->bytes = out->seen ? count * (int64_t)sn_dtype_size(sn_dtype_of(y)) : 0;
        out->data = malloc((size_t)out->bytes + 1);
        if (out->seen) sn_read(y, sn_dtype_of(y), out->data, (size_t)out->bytes);
    }
    out->status = sn_error_take(&error);
    snprintf(out->text, sizeof out->text, "%s", error.text);
    assert_true(y || out->status != SN_OK);
}

/* The types of the operands. */
static int32_t read_call_types(TensorType *types) {
    int32_t count = read_types(the_call.row->operands, types);
    if (count && the_call.type) read_type(the_call.type, &types[0]);
    return count;
}

/* ---- calls that do not come back ------------------------------------------------------------- */

enum { MOST_SECONDS = 300 }; /* of one call, of which none has much to do */

static int64_t tried_edge; /* of the call that is under way */
static bool trying;        /* one is */

static int name_the_call(void **state) {
    if (trying)
        print_error("%s did not come back; operands \"%s\" (%s), the edge is %lld\n",
                    op_info[the_call.row->op].name, the_call.row->operands,
                    the_call.type ? the_call.type : "as they are", (long long)tried_edge);
    trying = false;
    return api_teardown(state);
}

static void give_up(int signal) {
    (void)signal;
    const char *name = op_info[the_call.row->op].name;
    ssize_t written = write(STDERR_FILENO, name, strlen(name));
    (void)written;
    _exit(1);
}

/* A test of many calls: one that crashes, or goes on and on, is named. */
#define CALLS_TEST(function) cmocka_unit_test_setup_teardown(function, api_setup, name_the_call)

static void attempt(Run *function, int64_t edge, Outcome *out) {
    TensorType types[MOST_OPERANDS];
    sn_tensor *xs[MOST_OPERANDS];
    sn_scope scope = sn_scope_begin();
    int32_t count = read_call_types(types);
    n_calls++;
    for (int32_t i = 0; i < count; i++) xs[i] = operand(&types[i], i);
    the_call.generator = (sn_rng){.seed = 5};
    look(function(xs, count, edge), out);
    check_guards(the_call.row);
    sn_scope_end(scope, NULL);
}

static void expect_equal(const Outcome *got, const Outcome *want, int64_t edge, const char *how) {
    const char *name = op_info[the_call.row->op].name;
    if (got->status != want->status || strcmp(got->text, want->text) != 0)
        fail_msg("%s with %lld, %s: status %d, \"%s\"; eager: %d, \"%s\"", name, (long long)edge,
                 how, got->status, got->text, want->status, want->text);
    if (got->rank != want->rank || memcmp(got->dims, want->dims, sizeof got->dims) != 0 ||
        got->bytes != want->bytes ||
        (want->bytes && memcmp(got->data, want->data, (size_t)want->bytes)))
        fail_msg("%s with %lld, %s: another result", name, (long long)edge, how);
}

/* Eager, then a function that has seen other values, then one of its own; each twice. */
static void check_call(Run *shared, int64_t edge, Outcome *eager) {
    Outcome got;
    tried_edge = edge;
    trying = true;
    alarm(MOST_SECONDS);
    attempt(run, edge, eager);
    sn_compiled *own = sn_compile(run, "t*l:t", NULL);
    Run *const functions[] = {shared, shared, SN_FN(own, run), SN_FN(own, run)};
    static const char *const names[] = {"compiled", "compiled, again", "alone", "alone, again"};
    int32_t n_functions = eager->status == SN_OK ? 4 : 2;
    for (int32_t i = 0; i < n_functions; i++) {
        attempt(functions[i], edge, &got);
        expect_equal(&got, eager, edge, names[i]);
        free(got.data);
    }
    sn_compiled_release(own);
    trying = false;
    alarm(0);
}

/* The text with N in the place of a number. */
static void blank_number(const char *text, int64_t number, char *out) {
    char digits[32];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)number);
    while (*text) {
        bool here = strncmp(text, digits, length) == 0;
        *out++ = here ? 'N' : *text;
        text += here ? length : 1;
    }
    *out = 0;
}

/* A word of an expression is refused, or taken, like the number just below them all. */
static void expect_like_neighbour(const Outcome *got, int64_t edge, const Outcome *neighbour) {
    char mine[512], its[512];
    if (edge < DIM_FIRST || edge >= DIM_FIRST + DIM_MOST_EXPRESSIONS) return;
    blank_number(got->text, edge, mine);
    blank_number(neighbour->text, DIM_FIRST - 1, its);
    assert_string_equal(mine, its);
    assert_int_equal(got->status, neighbour->status);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Tries all edges in `count` words from `at` on. */
static void try_words(int32_t at, int32_t count) {
    Outcome first = {.rank = 0};
    sn_compiled *c = sn_compile(run, "t*l:t", NULL);
    for (int32_t e = 0; e < N_EDGES; e++) {
        AttrList given = the_call.attrs;
        for (int32_t i = 0; i < count; i++) the_call.attrs.words[at + i] = edges[e];
        Outcome out;
        check_call(SN_FN(c, run), edges[e], &out);
        if (e == 0) first = out;
        expect_like_neighbour(&out, edges[e], &first);
        if (e > 0) free(out.data);
        the_call.attrs = given;
    }
    free(first.data);
    sn_compiled_release(c);
}

/* Each word of a list alone, and the list of it alone. */
static void try_list(int32_t at) {
    int32_t count = (int32_t)the_call.attrs.words[at];
    for (int32_t i = 0; i < count; i++) try_words(at + 1 + i, 1);
    try_words(at + 1, count);
}

static void try_row(const Row *row) {
    the_call.row = row;
    read_attrs(row->attrs, &the_call.attrs);
    for (AttrWalk at = attr_walk(attr_view(row->op, &the_call.attrs)); attr_next(&at);) {
        if (at.param->kind == 'L') try_list(at.first);
        if (at.param->kind == 'l') try_words(at.first, 1);
    }
}

static void ops_agree_at_the_edges(void **state) {
    (void)state;
    sn_memory_set_limit((int64_t)1 << 30);
    the_call.writes = false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) try_row(&rows[i]);
    sn_memory_set_limit(0);
}

/* The edges on a number, on none, on one, on more, and in other dtypes: also where the call is refused with
 * any. */
static void ops_agree_on_operands_of_any_type(void **state) {
    (void)state;
    static const char *const types[] = {"f32",   "f32[0]",  "f32[1]",    "f32[0,4]", "f32[3,5]",
                                        "i64[]", "u8[3,5]", "bf16[3,4]", "f64[2]"};
    sn_memory_set_limit((int64_t)1 << 30);
    the_call.writes = false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t k = 0; *rows[i].operands && k < sizeof types / sizeof types[0]; k++) {
            the_call.type = types[k];
            try_row(&rows[i]);
        }
    the_call.type = NULL;
    sn_memory_set_limit(0);
}

/* F1 */
static void writes_through_views_stay_inside_at_the_edges(void **state) {
    (void)state;
    the_call.writes = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (op_is(rows[i].op, CLASS_VIEW)) try_row(&rows[i]);
}

/* All pairs of edges in two words. */
static void try_pair(int32_t first, int32_t second) {
    AttrList given = the_call.attrs;
    sn_compiled *c = sn_compile(run, "t*l:t", NULL);
    for (int32_t i = 0; i < N_EDGES * N_EDGES; i++) {
        Outcome out;
        the_call.attrs.words[first] = edges[i / N_EDGES];
        the_call.attrs.words[second] = edges[i % N_EDGES];
        check_call(SN_FN(c, run), i, &out);
        free(out.data);
    }
    the_call.attrs = given;
    sn_compiled_release(c);
}

/* The first two numbers of each list, and each two neighbours that are numbers. */
static void try_pairs(const Row *row) {
    int32_t before = -1;
    the_call.row = row;
    read_attrs(row->attrs, &the_call.attrs);
    for (AttrWalk at = attr_walk(attr_view(row->op, &the_call.attrs)); attr_next(&at);) {
        bool pair = at.param->kind == 'L' && the_call.attrs.words[at.first] > 1;
        if (pair) try_pair(at.first + 1, at.first + 2);
        if (at.param->kind == 'l' && before >= 0) try_pair(before, at.first);
        before = at.param->kind == 'l' ? at.first : -1;
    }
}

static void pairs_of_numbers_agree(void **state) {
    (void)state;
    sn_memory_set_limit((int64_t)1 << 30);
    the_call.writes = false;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) try_pairs(&rows[i]);
    sn_memory_set_limit(0);
}

/* F3 */
static void triangles_are_those_of_the_diagonal(void **state) {
    (void)state;
    for (int32_t e = 0; e < N_EDGES; e++) {
        double lower[12], upper[12];
        for (int32_t i = 0; i < 12; i++) {
            int64_t beyond = i % 4 - i / 4; /* column - row */
            lower[i] = beyond <= edges[e];
            upper[i] = beyond >= edges[e];
        }
        expect_values_at(sn_tril(sn_ones(SN_I(3, 4), SN_F32), edges[e]), lower, 12, __FILE__,
                         __LINE__);
        expect_values_at(sn_triu(sn_ones(SN_I(3, 4), SN_F32), edges[e]), upper, 12, __FILE__,
                         __LINE__);
    }
}

static int64_t diagonals[2];

static sn_tensor *two_triangles(sn_tensor *x) {
    return sn_add(sn_tril(x, diagonals[0]), sn_tril(x, diagonals[1]));
}

/* F2: one number is taken to follow from another. */
static void numbers_that_vary_together_agree(void **state) {
    (void)state;
    for (int32_t i = 0; i < N_EDGES * N_EDGES; i++) {
        sn_scope scope = sn_scope_begin();
        sn_compiled *c = sn_compile(two_triangles, "t:t", NULL);
        for (int32_t k = 0; k < 3; k++) {
            sn_tensor *x = tensor_random(1, SN_F32, SN_I(3 + k, 3 + k));
            diagonals[0] = edges[i % N_EDGES] + (k && edges[i % N_EDGES] < 0 ? k : -k);
            diagonals[1] = edges[i / N_EDGES] + (k && edges[i / N_EDGES] < 0 ? k : -k);
            EXPECT_SAME(SN_FN(c, two_triangles)(x), two_triangles(x));
        }
        sn_compiled_release(c);
        sn_scope_end(scope, NULL);
    }
}

/* ---- sizes of what lies between the ops ------------------------------------------------------ */

static sn_tensor *attend(sn_tensor *query, sn_tensor *key) {
    return sn_scaled_dot_product_attention(query, key, key, SN_NONE, false, 0);
}

static sn_tensor *repeated(int64_t count) {
    return sn_expand(sn_ones(SN_I(1, 1), SN_F32), SN_I(count, 2));
}

/* The scores have n * n elements, whatever the operands: too many where that is no number, where its
 * bytes are none, and where no memory has as many. */
static void values_too_large_between_ops_are_refused_as_in_eager(void **state) {
    (void)state;
    static const int64_t sizes[] = {3, 4, 5, (int64_t)1 << 31, 6, 3037000500, 1518500250, 7};
    sn_error want, got;
    sn_compiled *c = sn_compile(attend, "tt:t", NULL);
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        int64_t n = sizes[i / 2];
        sn_tensor *eager = attend(repeated(n), repeated(n));
        sn_error_take(&want);
        sn_tensor *compiled = SN_FN(c, attend)(repeated(n), repeated(n));
        sn_error_take(&got);
        assert_int_equal(want.status, n < 10 ? SN_OK : SN_ERROR_MEMORY);
        assert_int_equal(got.status, want.status);
        assert_string_equal(got.text, want.text);
        if (eager) EXPECT_SAME(compiled, eager);
    }
    sn_compiled_release(c);
}

/* ---- sn_index -------------------------------------------------------------------------------- */

/* An index of Python: the positions of start:stop:step in an axis of `size`. */
static int32_t positions_of(int64_t start, int64_t stop, int64_t step, int32_t size,
                            int32_t *positions) {
    __extension__ typedef __int128 Wide;
    Wide low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    Wide from = start < 0 ? (Wide)start + size : start, to = stop < 0 ? (Wide)stop + size : stop;
    if (stop == SN_END) to = step > 0 ? size : -1;
    from = from < low ? low : from > high ? high : from;
    to = to < low ? low : to > high ? high : to;
    int32_t count = 0;
    for (Wide at = from; step > 0 ? at < to : at > to; at += step) positions[count++] = (int32_t)at;
    return count;
}

static sn_tensor *ranged(sn_tensor *x, int64_t start, int64_t stop, int64_t step) {
    return sn_index_at(x, SN_IX(SN_STEP(start, stop, step)), "edge.c", 1);
}

static sn_tensor *fill_range(sn_tensor *x, int64_t start, int64_t stop, int64_t step) {
    sn_copy_at_(ranged(x, start, stop, step), sn_ci(-1), "edge.c", 2);
    return sn_clone(x);
}

static void check_range(int64_t start, int64_t stop, int64_t step) {
    int32_t positions[4];
    sn_scope scope = sn_scope_begin();
    sn_tensor *y = ranged(tensor_of(SN_I64, SN_I(4), V(0, 1, 2, 3)), start, stop, step);
    if (step == 0 || step == INT64_MIN) {
        EXPECT_ERROR(SN_ERROR_ARGUMENT, "index: the step of axis 0");
    } else {
        int32_t count = positions_of(start, stop, step, 4, positions);
        double want[4];
        for (int32_t i = 0; i < count; i++) want[i] = positions[i];
        expect_values_at(y, want, count, __FILE__, __LINE__);
    }
    sn_scope_end(scope, NULL);
}

static void ranges_are_those_of_python(void **state) {
    (void)state;
    for (int32_t i = 0; i < N_EDGES * N_EDGES * N_EDGES; i++)
        check_range(edges[i % N_EDGES], edges[i / N_EDGES % N_EDGES], edges[i / N_EDGES / N_EDGES]);
}

typedef sn_tensor *Ranged(sn_tensor *, int64_t, int64_t, int64_t);

static void attempt_range(Ranged *function, const int64_t *range, Outcome *out) {
    static const Row row = {OP_SLICE, "", ""};
    sn_scope scope = sn_scope_begin();
    TensorType type = {.rank = 1, .dims = {{4}}};
    the_call.row = &row; /* for messages */
    look(function(guarded(&type), range[0], range[1], range[2]), out);
    check_guards(&row);
    sn_scope_end(scope, NULL);
}

static void compiled_ranges_agree(void **state) {
    (void)state;
    Ranged *functions[] = {ranged, fill_range};
    for (int32_t f = 0; f < 2; f++) {
        sn_compiled *c = sn_compile(functions[f], "tlll:t", NULL);
        for (int32_t i = 0; i < 3 * N_EDGES * 2; i++) {
            int64_t range[] = {1, SN_END, 2};
            range[i / 2 % 3] = edges[i / 6];
            Outcome want, got;
            attempt_range(functions[f], range, &want);
            attempt_range((Ranged *)sn_compiled_fn(c), range, &got);
            expect_equal(&got, &want, edges[i / 6], "compiled");
            free(want.data), free(got.data);
        }
        sn_compiled_release(c);
    }
}

/* ---- other ways in --------------------------------------------------------------------------- */

static sn_tensor *positive_parts(sn_tensor *x) {
    return sn_relu(x);
}

/* Bounds that no size keeps are refused when the function is made or when it is called. */
static void declared_dims_take_any_number(void **state) {
    (void)state;
    for (int32_t i = 0; i < N_EDGES * 3; i++) {
        int64_t edge = edges[i / 3];
        sn_dim dim = {
            "n", 0, 0, i % 3 == 0 ? edge : 0, i % 3 == 1 ? edge : 0, i % 3 == 2 ? edge : 0};
        sn_compiled *c =
            sn_compile(positive_parts, "t:t", &(sn_compile_options){.dims = &dim, .n_dims = 1});
        sn_error error;
        if (!c) assert_int_equal(sn_error_take(&error), SN_ERROR_ARGUMENT);
        for (int32_t size = 3; c && size < 6; size++) {
            sn_tensor *x = tensor_random(1, SN_F32, SN_I(size)), *y = SN_FN(c, positive_parts)(x);
            if (y)
                EXPECT_SAME(y, positive_parts(x));
            else
                assert_int_equal(sn_error_take(&error), SN_ERROR_SHAPE);
        }
        if (c) sn_compiled_release(c);
    }
}

static void sources_and_queries_take_any_number(void **state) {
    (void)state;
    float data[4] = {0};
    sn_error error;
    sn_tensor *parts[2];
    for (int32_t i = 0; i < N_EDGES; i++) {
        int64_t edge = edges[i];
        bool small = edge >= 0 && edge <= 2;
        size_t bytes = small ? (size_t)edge * sizeof *data : sizeof data;
        assert_true(!sn_from_copy(data, bytes, SN_I(edge), SN_F32) == !small);
        assert_true((sn_error_take(&error) == SN_OK) == small);
        assert_true(!sn_from_borrow(data, bytes, SN_I(edge), SN_F32, NULL, NULL) == !small);
        assert_true((sn_error_take(&error) == SN_OK) == small);
        sn_tensor *x = tensor_random(1, SN_F32, SN_I(2));
        assert_true(sn_split(x, (int64_t[]){edge, 0}, 2, 0, parts) == (edge == 2));
        assert_true((sn_error_take(&error) == SN_OK) == (edge == 2));
        assert_true(sn_split(x, (int64_t[]){2, edge}, 2, 0, parts) == (edge == 0));
        sn_error_take(&error);
        sn_split(x, (int64_t[]){2, 0}, 2, edge, parts);
        assert_true((sn_error_take(&error) == SN_OK) == (edge == 0 || edge == -1));
    }
}

/* ---- counts, axes and numbers of 32 bits ----------------------------------------------------- */

static const int32_t small_edges[] = {
    INT32_MIN, INT32_MIN + 1, -SN_MAX_RANK - 1, -2, -1, 0, 1, 2, SN_MAX_RANK + 1,
    17,        INT32_MAX - 1, INT32_MAX};
enum { N_SMALL = sizeof small_edges / sizeof small_edges[0] };

/* A call that may fail, in words. */
static void expect_words(bool done) {
    sn_error error;
    n_calls++;
    sn_status status = sn_error_take(&error);
    if (done != (status == SN_OK) || (status != SN_OK && !error.text[0]))
        fail_msg("%s with status %d: \"%s\"", done ? "done" : "failed", status, error.text);
}

static void ranks_and_axes_take_any_number(void **state) {
    (void)state;
    int64_t dims[17] = {1, 1}; /* as many as the largest count that is read at all */
    float data = 0;
    for (int32_t i = 0; i < N_SMALL; i++) {
        int32_t edge = small_edges[i];
        bool axis = edge >= -2 && edge < 2;
        sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 5));
        expect_words(sn_zeros(dims, edge, SN_F32) != NULL);
        expect_words(sn_ones(dims, edge, SN_F32) != NULL);
        expect_words(sn_reshape(x, dims, edge) != NULL);
        expect_words(sn_permute(x, dims, edge) != NULL);
        expect_words(sn_einsum("ij,ij", (sn_tensor *[]){x, x}, edge) != NULL);
        expect_words(sn_tensordot(x, x, dims, edge, dims, edge) != NULL);
        expect_words(sn_tensordot(x, x, SN_I(edge), SN_I(edge)) != NULL);
        expect_words(sn_from_copy(&data, sizeof data, dims, edge, SN_F32) != NULL);
        expect_words(sn_from_borrow(&data, sizeof data, dims, edge, SN_F32, NULL, NULL) != NULL);
        assert_true((sn_size(x, edge) > 0) == axis);
        expect_words(axis);
        assert_true((sn_stride(x, edge) > 0) == axis);
        expect_words(axis);
    }
}

static void numbers_of_a_binding_are_checked(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3)), *y;
    sn_value value = {.kind = SN_VALUE_TENSOR, .as = {.tensor = x}};
    sn_op_description description;
    for (int32_t i = 0; i < N_SMALL * 2; i++) {
        sn_error error = {.size = sizeof error};
        int32_t edge = small_edges[i / 2], count = 0;
        int32_t op = i % 2 ? OP_NEG : edge, capacity = i % 2 ? edge : 1;
        y = NULL;
        n_calls += 2;
        sn_status status = sn_apply(op, &value, 1, &y, capacity, &count, NULL, &error);
        assert_int_equal(count, status == SN_OK);
        assert_true(status == SN_OK || error.text[0]);
        if (status == SN_OK) sn_release(y);
        assert_true(sn_op_info(edge, &description) == (edge >= 0 && edge < OP_COUNT));
    }
}

static void options_take_any_number(void **state) {
    (void)state;
    sn_dim dim = {.name = "n"};
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3));
    for (int32_t i = 0; i < N_SMALL * 4; i++) {
        int32_t edge = small_edges[i / 4];
        sn_compile_options options = {.dims = &dim, .n_dims = i % 4 < 2};
        dim.tensor = i % 4 == 0 ? edge : 0;
        dim.axis = i % 4 == 1 ? edge : 0;
        if (i % 4 == 2) options.most_graphs = edge;
        if (i % 4 == 3) options.check_every = edge;
        sn_compiled *c = sn_compile(positive_parts, "t:t", &options);
        expect_words(c != NULL);
        if (!c) continue;
        expect_words(SN_FN(c, positive_parts)(x) != NULL);
        sn_compiled_release(c);
    }
}

static void sizes_of_reads_are_checked(void **state) {
    (void)state;
    float data[3];
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3));
    for (int32_t i = 0; i < N_EDGES; i++) expect_words(sn_read(x, SN_F32, data, (size_t)edges[i]));
}

/* ---- counts of calls, threads, records ------------------------------------------------------- */

static void counts_of_arguments_are_checked(void **state) {
    (void)state;
    static const char text[] = "graph f(%0: f32[3]) {\n  %1 = neg %0 : f32[3]\n  return %1\n}\n";
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3)), *y;
    sn_value value = {.kind = SN_VALUE_TENSOR, .as = {.tensor = x}};
    sn_compiled *c = sn_compile(positive_parts, "t:t", NULL);
    sn_graph *graph = sn_graph_parse(text, sizeof text - 1, NULL);
    assert_non_null(SN_FN(c, positive_parts)(x));
    for (int32_t i = 0; i < N_SMALL * 4; i++) {
        sn_error error = {.size = sizeof error};
        int32_t edge = small_edges[i / 4], count = 0;
        int32_t n_inputs = i % 2 ? 1 : edge, capacity = i % 2 ? edge : 1;
        y = NULL;
        n_calls++;
        sn_status status = i % 4 < 2
                               ? sn_call(c, &value, n_inputs, &y, capacity, &count, NULL, &error)
                               : sn_graph_run(graph, &x, n_inputs, &y, capacity, &count, &error);
        assert_int_equal(count, status == SN_OK);
        assert_int_equal(status == SN_OK, i % 2 ? edge >= 1 : edge == 1);
        assert_true(status == SN_OK || error.text[0]);
        if (status == SN_OK) sn_release(y);
        assert_true((sn_kernel_seconds(c, &value, edge, 1) >= 0) == (edge == 1));
        if (edge < INT32_MAX - 1)
            assert_true((sn_kernel_seconds(c, &value, 1, edge) >= 0) == (edge >= 1));
        n_calls += 2;
    }
    sn_graph_free(graph);
    sn_compiled_release(c);
}

static void any_number_of_threads_can_be_asked_for(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(300, 900)), *want = sn_softmax(x, 0);
    sn_value values[] = {{.kind = SN_VALUE_TENSOR, .as = {.tensor = x}},
                         {.kind = SN_VALUE_INT, .as = {.integer = 0}}};
    int32_t before = sn_threads();
    for (int32_t i = 0; i < N_SMALL; i++) {
        sn_error error = {.size = sizeof error};
        int32_t edge = small_edges[i], count;
        sn_set_threads(edge);
        assert_int_equal(sn_threads(), edge < 1 ? 1 : edge > 256 ? 256 : edge);
        EXPECT_SAME(sn_softmax(x, 0), want);
        sn_set_threads(before);
        sn_tensor *y = NULL;
        sn_status status = sn_apply(OP_SOFTMAX, values, 2, &y, 1, &count,
                                    &(sn_call_options){.threads = edge}, &error);
        assert_int_equal(status, edge < 0 ? SN_ERROR_ARGUMENT : SN_OK);
        if (status == SN_OK) EXPECT_SAME(y, want);
        sn_release(y);
        n_calls += 2;
    }
}

static void any_limit_of_memory_can_be_set(void **state) {
    (void)state;
    for (int32_t i = 0; i < N_EDGES; i++) {
        bool room = edges[i] <= 0 || edges[i] > 1 << 20; /* 0 and below: none is set */
        sn_memory_set_limit(edges[i]);
        expect_words(sn_zeros(SN_I(1000), SN_F32) != NULL);
        sn_memory_set_limit(edges[i]);
        assert_true((sn_zeros(SN_I(1000), SN_F32) != NULL) == room);
        sn_error_take(NULL);
        sn_memory_set_limit(0);
    }
}

static void counts_of_records_are_checked(void **state) {
    (void)state;
    sn_launch_record records[2];
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3));
    for (int32_t i = 0; i < N_SMALL; i++) {
        sn_history_begin();
        sn_neg(x);
        n_calls++;
        assert_int_equal(sn_history_end(records, small_edges[i] > 2 ? 2 : small_edges[i]), 1);
    }
}

static int say_how_many(void **state) {
    (void)state;
    printf("%lld calls were tried\n", (long long)n_calls);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_that_takes_integers_is_tried),
        CALLS_TEST(ops_agree_at_the_edges),
        CALLS_TEST(ops_agree_on_operands_of_any_type),
        CALLS_TEST(writes_through_views_stay_inside_at_the_edges),
        CALLS_TEST(pairs_of_numbers_agree),
        API_TEST(values_too_large_between_ops_are_refused_as_in_eager),
        API_TEST(triangles_are_those_of_the_diagonal),
        API_TEST(numbers_that_vary_together_agree),
        API_TEST(ranges_are_those_of_python),
        API_TEST(compiled_ranges_agree),
        API_TEST(declared_dims_take_any_number),
        API_TEST(sources_and_queries_take_any_number),
        API_TEST(ranks_and_axes_take_any_number),
        API_TEST(numbers_of_a_binding_are_checked),
        API_TEST(options_take_any_number),
        API_TEST(sizes_of_reads_are_checked),
        API_TEST(counts_of_arguments_are_checked),
        API_TEST(any_number_of_threads_can_be_asked_for),
        API_TEST(any_limit_of_memory_can_be_set),
        API_TEST(counts_of_records_are_checked),
    };
    signal(SIGALRM, give_up);
    return cmocka_run_group_tests(tests, NULL, say_how_many);
}
