/* What users read: every row of wrong_calls.def gives its message word for word, with the row's line, eager
 * and compiled. With the argument --table they are printed as a table. */
#include "api_case.h"

/* What the calls are about. */
typedef struct Objects {
    sn_tensor *x, *y, *i, *b; /* see wrong_calls.def */
    sn_rng *rng;              /* a generator */
} Objects;

typedef sn_tensor *Wrong(sn_tensor *x, sn_tensor *y, sn_tensor *i, sn_tensor *b, sn_rng *rng);

typedef enum Kind { KIND_OP, KIND_LOOK, KIND_HOST, KIND_CALL } Kind;

/* ---- what the calls use ---------------------------------------------------------------------- */

typedef sn_tensor *Scale(sn_tensor *x, sn_tensor *factor);

static sn_tensor *scale(sn_tensor *x, sn_tensor *factor) {
    return sn_mul(x, factor);
}

static sn_tensor *forgets(sn_tensor *x, sn_tensor *factor) {
    (void)x, (void)factor;
    return NULL;
}

static sn_status sets_one(sn_tensor *x, sn_tensor **first, sn_tensor **second) {
    (void)second;
    *first = sn_neg(x);
    return SN_OK;
}

/* Calls a function that was compiled elsewhere. */
static void call_compiled(Scale *function, sn_tensor *x, sn_tensor *factor) {
    sn_compiled *c = sn_compile_at((sn_function)function, "scale", "tt:t", NULL, "model.c", 12);
    Scale *fast = (Scale *)sn_compiled_fn(c);
    fast(x, factor);
    sn_compiled_release(c);
}

static void call_two_outputs(sn_tensor *x) {
    sn_compiled *c = sn_compile_at((sn_function)sets_one, "pair", "t:tt", NULL, "model.c", 20);
    sn_status (*fast)(sn_tensor *, sn_tensor **, sn_tensor **) =
        (sn_status(*)(sn_tensor *, sn_tensor **, sn_tensor **))sn_compiled_fn(c);
    sn_tensor *first, *second;
    fast(x, &first, &second);
    sn_compiled_release(c);
}

static void call_where_dim_is_wrong(sn_tensor *x) {
    const sn_dim rows = {.tensor = 0, .axis = 0, .name = "rows", .min = 4};
    const sn_compile_options options = {.dims = &rows, .n_dims = 1};
    sn_compiled *c = sn_compile_at((sn_function)scale, "scale", "tt:t", &options, "model.c", 12);
    Scale *fast = (Scale *)sn_compiled_fn(c);
    fast(x, x);
    sn_compiled_release(c);
}

static sn_compiled *released(void) {
    sn_compiled *c = sn_compile(scale, "tt:t", NULL);
    sn_compiled_release(c);
    return c;
}

static sn_scope ended(void) {
    sn_scope scope = sn_scope_begin();
    sn_scope_end(scope, NULL);
    return scope;
}

static sn_tensor *dead(void) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *t = sn_ones(SN_I(2), SN_F32);
    sn_scope_end(scope, NULL);
    return t;
}

static sn_compiled *compile_with(const char *signature, sn_compile_options options) {
    return sn_compile_at((sn_function)scale, "scale", signature, &options, "model.c", 12);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define JOINED(a, b) a##b
#define NAME(line) JOINED(row_, line)
#define ARGUMENTS sn_tensor *x, sn_tensor *y, sn_tensor *i, sn_tensor *b, sn_rng *rng

#define OP(call, status, text)                                                                     \
    static sn_tensor *NAME(__LINE__)(ARGUMENTS) {                                                  \
        (void)x, (void)y, (void)i, (void)b, (void)rng;                                             \
        return call;                                                                               \
    }
#define LOOK(call, status, text)                                                                   \
    static sn_tensor *NAME(__LINE__)(ARGUMENTS) {                                                  \
        (void)x, (void)y, (void)i, (void)b, (void)rng;                                             \
        (void)(call);                                                                              \
        return NULL;                                                                               \
    }
#define HOST LOOK
#define CALL LOOK
#include "wrong_calls.def"
#undef OP
#undef LOOK
#undef HOST
#undef CALL

typedef struct Row {
    Kind kind;        /* of the call */
    int line;         /* of the row */
    const char *call; /* as it is written */
    Wrong *function;  /* does it */
    sn_status status; /* of its error */
    const char *text; /* the message, behind the line but for KIND_CALL */
} Row;

#define ROW(kind, written, status, text) {kind, __LINE__, written, NAME(__LINE__), status, text},
#define OP(call, status, text) ROW(KIND_OP, #call, SN_ERROR_##status, text)
#define LOOK(call, status, text) ROW(KIND_LOOK, #call, SN_ERROR_##status, text)
#define HOST(call, status, text) ROW(KIND_HOST, #call, SN_ERROR_##status, text)
#define CALL(call, status, text) ROW(KIND_CALL, #call, SN_ERROR_##status, text)
static const Row rows[] = {
#include "wrong_calls.def"
};

enum { ROWS = sizeof rows / sizeof rows[0] };

/* ---- the test -------------------------------------------------------------------------------- */

static Objects make_objects(sn_rng *rng) {
    *rng = (sn_rng){1, 0};
    return (Objects){tensor_of(SN_F32, SN_I(2, 3), V(1, 2, 3, 4, 5, 6)),
                     tensor_random(1, SN_F32, SN_I(4, 5)), tensor_of(SN_I64, SN_I(2), V(0, 5)),
                     tensor_of(SN_BOOL, SN_I(2, 3), V(1, 0, 1, 0, 1, 0)), rng};
}

/* The whole message. */
static void wanted_text(const Row *row, char *out, size_t room) {
    if (row->kind == KIND_CALL)
        snprintf(out, room, "%s", row->text);
    else
        snprintf(out, room, "tests/wrong_calls.def:%d: %s", row->line, row->text);
}

/* Is it the row's error? Counted, so that one run shows all that are not. */
static int check(const Row *row, const sn_error *error, const char *how) {
    char wanted[600];
    wanted_text(row, wanted, sizeof wanted);
    if (error->status == row->status && strcmp(error->text, wanted) == 0) return 0;
    print_error("%s, %s: (%s)\n  is     %s\n  wanted %s\n", row->call, how,
                sn_status_name(error->status), error->text, wanted);
    return 1;
}

static void every_wrong_call_says_what_its_row_says(void **state) {
    (void)state;
    int bad = 0;
    for (int r = 0; r < ROWS; r++) {
        sn_scope scope = sn_scope_begin();
        sn_rng rng;
        sn_error error;
        Objects o = make_objects(&rng);
        rows[r].function(o.x, o.y, o.i, o.b, o.rng);
        sn_error_take(&error);
        bad += check(&rows[r], &error, "eager");
        sn_scope_end(scope, NULL);
    }
    assert_int_equal(bad, 0);
    assert_true(ROWS >= 60);
}

static void compiled_functions_say_the_same(void **state) {
    (void)state;
    int bad = 0;
    for (int r = 0; r < ROWS; r++) {
        if (rows[r].kind >= KIND_HOST) continue;
        sn_scope scope = sn_scope_begin();
        sn_rng rng;
        Objects o = make_objects(&rng);
        sn_compiled *c = sn_compile(rows[r].function, "ttttr:t", NULL);
        Wrong *fast = (Wrong *)sn_compiled_fn(c);
        assert_non_null(fast);
        for (int call = 0; call < 2; call++) {
            sn_error error;
            assert_null(fast(o.x, o.y, o.i, o.b, o.rng));
            sn_error_take(&error);
            bad += check(&rows[r], &error, "compiled");
        }
        sn_compiled_release(c);
        sn_scope_end(scope, NULL);
    }
    assert_int_equal(bad, 0);
}

/* An index in data is named also where only kernels saw it: on a guard hit, in a graph of any size, and where
 * it was computed. */
static sn_tensor *looks_up(sn_tensor *table, sn_tensor *index) {
    return sn_embedding(table, sn_mul(sn_add(index, sn_ci(1)), sn_ci(2)));
}

static void an_index_in_data_is_named_on_every_path(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(looks_up, "tt:t", NULL);
    Scale *fast = (Scale *)sn_compiled_fn(c);
    for (int64_t length = 3; length < 7; length++) {
        sn_tensor *table = tensor_random(1, SN_F32, SN_I(8, 4));
        sn_tensor *good = sn_zeros((int64_t[]){length}, 1, SN_I64);
        sn_tensor *bad = sn_add(good, sn_ci(0));
        sn_fill_(sn_select(bad, 0, 2), 7);
        for (int call = 0; call < 4; call++) EXPECT_SAME(fast(table, good), looks_up(table, good));
        assert_null(fast(table, bad));
        EXPECT_ERROR(SN_ERROR_INDEX, "tests/test_messages.c:", "embedding: index[2] is 16,",
                     "out of range for an axis of size 8");
    }
    sn_compiled_release(c);
}

/* The indices are computed of x, of which one row was written before, and another would have been after. */
static sn_tensor *looks_up_what_is_written(sn_tensor *x, sn_tensor *table) {
    sn_copy_(sn_select(x, 0, 0), sn_c(1));
    sn_tensor *y = sn_embedding(table, sn_cast(x, SN_I64));
    sn_copy_(sn_select(x, 0, 1), sn_c(100));
    return y;
}

/* What is in memory need not be what the indices were: it was written, or was to be. */
static sn_tensor *looks_up_what_it_filled(sn_tensor *x, sn_tensor *table) {
    sn_fill_(x, 9);
    return sn_index_copy_(table, 0, sn_cast(sn_select(x, 1, 0), SN_I64),
                          sn_zeros(SN_I(3, 4), SN_F32));
}

static sn_tensor *rows_to(sn_tensor *table, sn_tensor *x) {
    sn_tensor *at = sn_cast(sn_select(x, 1, 0), SN_I64);
    return sn_index_copy_(table, 0, at, sn_zeros(SN_I(3, 4), SN_F32));
}

/* Two ops of one line, the first of which does not fail. */
static sn_tensor *looks_up_twice(sn_tensor *x, sn_tensor *table) {
    rows_to(sn_reshape(sn_arange(0, 24, 1, SN_F32), SN_I(6, 4)), x);
    sn_add_(x, sn_c(4));
    return rows_to(table, x);
}

static void an_index_is_named_where_it_is_known(void **state) {
    (void)state;
    static const struct {
        Scale *function;
        const char *text;
    } cases[] = {
        {looks_up_what_is_written,
         "embedding: index[2,1] is 8, out of range for an axis of size 8"},
        {looks_up_what_it_filled, "index_copy: index[0] is 9, out of range for an axis of size 8"},
        {looks_up_twice, "index_copy: an index is out of range for an axis of size 8"},
    };
    for (size_t r = 0; r < sizeof cases / sizeof *cases; r++) {
        sn_compiled *c = sn_compile(cases[r].function, "tt:t", NULL);
        Scale *fast = (Scale *)sn_compiled_fn(c);
        sn_tensor *table = tensor_random(1, SN_F32, SN_I(8, 4));
        for (int call = 0; call < 4; call++) {
            sn_tensor *x = tensor_of(SN_F32, SN_I(3, 2), V(5, 70, 1, 2, 3, 8));
            assert_null(fast(x, table));
            EXPECT_ERROR(SN_ERROR_INDEX, cases[r].text);
        }
        sn_compiled_release(c);
    }
}

static void print_table(void) {
    printf("| call | status | message |\n| --- | --- | --- |\n");
    for (int r = 0; r < ROWS; r++) {
        char text[600];
        wanted_text(&rows[r], text, sizeof text);
        printf("| `%s` | %s | %s |\n", rows[r].call, sn_status_name(rows[r].status), text);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--table") == 0) {
        print_table();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        API_TEST(every_wrong_call_says_what_its_row_says),
        API_TEST(compiled_functions_say_the_same),
        API_TEST(an_index_in_data_is_named_on_every_path),
        API_TEST(an_index_is_named_where_it_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
