/* What a compiled function reaches by itself: tensors and scalars behind globals, of which it looks at
 * the shape or the elements alone, generators and memory of its own frame, other compiled functions.
 * None of it may go stale, and none of it may be looked for where it no longer is. */
#include "api_case.h"

typedef sn_tensor *Unary(sn_tensor *);
typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);

static sn_tensor *global;

/* Calls the function with each of two globals in turn, each first with a long run of its own. */
static void expect_fresh(Unary *function, sn_tensor *first, sn_tensor *second) {
    sn_compiled *c =
        sn_compile_at((sn_function)function, "function", "t:t", NULL, __FILE__, __LINE__);
    Unary *fast = (Unary *)sn_compiled_fn(c);
    sn_tensor *x = tensor_of(SN_F32, SN_I(3), V(1, 2, 3));
    for (int i = 0; i < 10; i++) {
        global = i == 3 || i > 6 ? second : first;
        EXPECT_SAME(fast(x), function(x));
    }
    sn_explanation e = {.size = sizeof e};
    sn_explain(c, &e);
    assert_true(e.rerun);
    sn_compiled_release(c);
    global = NULL;
}

/* ---- captured tensors that leave no op behind ------------------------------------------------ */

static sn_tensor *by_size(sn_tensor *x) {
    return sn_mul(x, sn_ci(sn_size(global, 0)));
}
static sn_tensor *by_rank(sn_tensor *x) {
    return sn_mul(x, sn_ci(sn_rank(global)));
}
static sn_tensor *by_count(sn_tensor *x) {
    return sn_count(global) > 4 ? sn_neg(x) : sn_exp(x);
}
static sn_tensor *by_shape(sn_tensor *x) {
    int64_t dims[SN_MAX_RANK] = {0};
    sn_shape(global, dims, NULL);
    return sn_add(x, sn_ci(dims[0]));
}
static sn_tensor *by_stride(sn_tensor *x) {
    return sn_mul(x, sn_ci(sn_stride(global, 0)));
}
static sn_tensor *by_layout(sn_tensor *x) {
    return sn_is_contiguous(global) ? sn_neg(x) : sn_exp(x);
}
static sn_tensor *by_dtype(sn_tensor *x) {
    return sn_cast(x, sn_dtype_of(global));
}

static void a_captured_shape_is_never_stale(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 4)), *y = tensor_random(2, SN_F32, SN_I(2, 3));
    Unary *by[] = {by_size, by_count, by_shape, by_stride};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++)
        expect_fresh(by[i], x, sn_narrow(y, 1, 0, 2));
    expect_fresh(by_rank, x, sn_reshape(x, SN_I(12)));
    expect_fresh(by_layout, x, sn_transpose(x, 0, 1));
    expect_fresh(by_dtype, x, sn_cast(x, SN_I32));
}

static sn_tensor *by_item(sn_tensor *x) {
    return sn_mul(x, sn_c(sn_item(global)));
}
static sn_tensor *by_read(sn_tensor *x) {
    double value = 0;
    sn_read(global, SN_F64, &value, sizeof value);
    return sn_mul(x, sn_c(value));
}
static sn_tensor *by_text(sn_tensor *x) {
    char text[32] = "";
    sn_format(global, text, sizeof text);
    return sn_mul(x, sn_ci((int64_t)strlen(text)));
}
static sn_tensor *by_memory(sn_tensor *x) {
    const float *memory = sn_map(global);
    double value = memory ? (double)*memory : 0;
    sn_unmap(global);
    return sn_mul(x, sn_c(value));
}

static void a_captured_value_is_never_stale(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(2)), *y = tensor_of(SN_F32, SN_I(1), V(345.5));
    Unary *by[] = {by_item, by_read, by_text, by_memory};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++) expect_fresh(by[i], x, y);
}

static sn_tensor *by_scalar(sn_tensor *x) {
    return sn_mul(x, global);
}
static sn_tensor *write_scalar(sn_tensor *x) {
    return sn_copy_(sn_clone(x), global);
}

static void a_captured_scalar_is_never_stale(void **state) {
    (void)state;
    Unary *by[] = {by_item, by_scalar, write_scalar};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++) expect_fresh(by[i], sn_c(2), sn_c(3));
}

static sn_tensor *keep_scalar(sn_tensor *x) {
    sn_release(global);
    global = sn_retain(sn_ci(7));
    return sn_neg(x);
}
static sn_tensor *keep_copy(sn_tensor *x) {
    float value = 8;
    sn_release(global);
    global = sn_retain(sn_from_copy(&value, sizeof value, SN_I(1), SN_F32));
    return sn_neg(x);
}
static sn_tensor *use_scalar(sn_tensor *x) {
    sn_tensor *two = sn_retain(sn_ci(2));
    sn_tensor *y = sn_mul(x, two);
    sn_release(two);
    return y;
}

static void what_a_function_keeps_it_keeps_in_every_call(void **state) {
    (void)state;
    Unary *functions[] = {keep_scalar, keep_copy, use_scalar};
    for (int f = 0; f < 3; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(1));
        for (int i = 0; i < 5; i++) {
            EXPECT_VALUES(fast(x), f < 2 ? -1 : 2);
            if (f < 2) assert_true(sn_item(global) == 7 + f);
            sn_release(global); /* the next call makes it anew */
            global = NULL;
        }
        sn_explanation e = {.size = sizeof e};
        sn_explain(c, &e);
        assert_int_equal(e.rerun, f < 2);
        sn_compiled_release(c);
    }
}

/* ---- generators ------------------------------------------------------------------------------ */

static sn_tensor *noise(uint64_t seed) {
    sn_rng generator = {.seed = seed};
    return sn_rand(&generator, SN_I(3), SN_F32);
}

/* Generators that are gone when the graph runs, perhaps one after the other in one place. */
static sn_tensor *add_noise(sn_tensor *x) {
    return sn_add(sn_add(x, noise(42)), sn_mul(noise(42), noise(43)));
}

static sn_rng global_generator;

static sn_tensor *reseed(sn_tensor *x) {
    global_generator = (sn_rng){.seed = 3};
    sn_tensor *y = sn_add(x, sn_rand(&global_generator, SN_I(3), SN_F32));
    global_generator.seed = global_generator.counter;
    return sn_add(y, sn_rand(&global_generator, SN_I(3), SN_F32));
}

static void a_generator_of_the_functions_own_draws_as_in_eager(void **state) {
    (void)state;
    Unary *functions[] = {add_noise, reseed};
    for (int f = 0; f < 2; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        sn_tensor *x = tensor_random(3, SN_F32, SN_I(3));
        for (int i = 0; i < 4; i++) {
            sn_tensor *want = functions[f](x);
            sn_rng end = global_generator;
            EXPECT_SAME(fast(x), want);
            assert_memory_equal(&global_generator, &end, sizeof end);
        }
        sn_compiled_release(c);
    }
}

static sn_tensor *draw_despite_an_error(sn_tensor *x, sn_rng *generator) {
    sn_tensor *refused = sn_dropout(x, 2, generator);
    if (!refused) sn_error_take(NULL);
    return sn_add(x, sn_rand(generator, SN_I(3), SN_F32));
}

static void a_refused_draw_draws_nothing(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(draw_despite_an_error, "tr:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_rng *) = SN_FN(c, draw_despite_an_error);
    sn_tensor *x = tensor_random(3, SN_F32, SN_I(3));
    for (int i = 0; i < 4; i++) {
        sn_rng own = {1, 0}, other = {1, 0};
        EXPECT_SAME(fast(x, &own), draw_despite_an_error(x, &other));
        assert_int_equal(own.counter, 3);
        assert_int_equal(other.counter, 3);
    }
    sn_compiled_release(c);
}

/* ---- memory of the function's own ------------------------------------------------------------ */

static sn_tensor *borrow_frame(sn_tensor *x) {
    float memory[3] = {1, 2, 3};
    sn_tensor *y = sn_from_borrow(memory, sizeof memory, SN_I(3), SN_F32, NULL, NULL);
    sn_tensor *z = sn_add(x, sn_narrow(y, 0, 0, 1));
    memory[0] = 50;
    sn_add_(sn_narrow(y, 0, 1, 1), x);
    z = sn_add(z, sn_mul(y, sn_c((double)memory[1])));
    memory[0] = 70;
    return z;
}

static void memory_that_was_borrowed_in_the_function_is_read_at_once(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(borrow_frame, "t:t", NULL);
    Unary *fast = SN_FN(c, borrow_frame);
    for (int i = 1; i < 5; i++) {
        sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(i));
        EXPECT_SAME(fast(x), borrow_frame(x));
    }
    sn_compiled_release(c);
}

static sn_tensor *copy_backwards(sn_tensor *x) {
    return sn_copy_(global, sn_flip(x, SN_I(0)));
}

/* What is written and what is read lie in one memory, and the trace knew neither before. */
static sn_tensor *reverse(sn_tensor *x) {
    sn_tensor *backwards = sn_flip(x, SN_I(0));
    if (sn_item(sn_sum(x, SN_I0, false)) < 0) return x; /* from here on both are real tensors */
    return sn_copy_(backwards, x);
}

static void a_write_sees_that_its_source_is_the_same_memory(void **state) {
    (void)state;
    Unary *functions[] = {reverse, copy_backwards};
    for (int f = 0; f < 2; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int i = 0; i < 4; i++) {
            sn_tensor *x = sn_square(tensor_random(4, SN_F64, SN_I(37))), *y = sn_clone(x);
            global = y;
            sn_tensor *want = functions[f](y);
            global = x;
            EXPECT_SAME(fast(x), want);
            EXPECT_SAME(x, y);
        }
        sn_compiled_release(c);
    }
    global = NULL;
}

/* ---- compiled in compiled -------------------------------------------------------------------- */

static Binary *inner;

static sn_tensor *multiply(sn_tensor *x, sn_tensor *y) {
    return y == SN_NONE ? sn_c(0.5) : sn_mul(x, y);
}
static sn_tensor *pass_scalar(sn_tensor *x) {
    return inner(x, sn_c(0.5));
}
static sn_tensor *pass_none(sn_tensor *x) {
    return sn_mul(x, inner(x, SN_NONE));
}

/* A compiled function called in another is what it is called alone, whatever is passed or returned. */
static void an_inlined_call_is_like_one_of_its_own(void **state) {
    (void)state;
    static const struct {
        const char *signature; /* of the function that is called … */
        Unary *outer;          /* … by this one */
    } cases[] = {
        {"tt:t", pass_scalar},
        {"tt?:t", pass_none},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sn_compiled *c_inner = sn_compile(multiply, cases[i].signature, NULL);
        inner = SN_FN(c_inner, multiply);
        sn_compiled *c = sn_compile(cases[i].outer, "t:t", NULL);
        Unary *fast = (Unary *)sn_compiled_fn(c);
        for (int dtype = 0; dtype < SN_DTYPE_COUNT; dtype++) {
            sn_tensor *x = tensor_of((sn_dtype)dtype, SN_I(2), V(1, 0));
            for (int k = 0; k < 3; k++) EXPECT_SAME(fast(x), cases[i].outer(x));
        }
        sn_compiled_release(c);
        sn_compiled_release(c_inner);
    }
}

static void an_inlined_call_refuses_what_one_of_its_own_refuses(void **state) {
    (void)state;
    sn_compiled *c_inner = sn_compile(multiply, "tt:t", NULL);
    inner = SN_FN(c_inner, multiply);
    sn_compiled *c = sn_compile(pass_none, "t:t", NULL);
    Unary *fast = SN_FN(c, pass_none);
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(1));
    assert_null(pass_none(x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "multiply, compiled at tests/test_compile_captures.c:",
                 "argument 2 is SN_NONE, but is not optional");
    assert_null(fast(x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "multiply, compiled at tests/test_compile_captures.c:",
                 "argument 2 is SN_NONE, but is not optional");
    sn_compiled_release(c);
    sn_compiled_release(c_inner);
}

/* ---- keys ------------------------------------------------------------------------------------ */

typedef struct Item {
    int64_t value; /* compared */
} Item;

typedef struct Lists {
    int32_t n_tensors, n_items; /* in use */
    sn_tensor *tensors[4];      /* may be SN_NONE */
    Item items[4];              /* with them */
} Lists;

static sn_tensor *use_lists(const Lists *lists) {
    sn_tensor *sum = sn_ci(10 * lists->n_tensors + lists->n_items);
    for (int32_t i = 0; i < lists->n_tensors; i++)
        if (lists->tensors[i] != SN_NONE) sum = sn_add(sum, lists->tensors[i]);
    for (int32_t i = 0; i < lists->n_items; i++) sum = sn_add(sum, sn_ci(lists->items[i].value));
    return sum;
}

/* Three tensors and four numbers against four tensors, the last one absent, and three numbers: word
 * for word the same key, were the counts not where they can be told from what they count. */
static void a_count_cannot_be_taken_for_a_tensor(void **state) {
    (void)state;
    static const sn_field item_field = {"value", SN_FIELD_SCALAR, 0, 8, 0, 0, false, NULL};
    static const sn_tree item = {sizeof(Item), &item_field, 1};
    static const sn_field fields[] = {
        {"n_tensors", SN_FIELD_SCALAR, offsetof(Lists, n_tensors), 4, 0, 0, false, NULL},
        {"n_items", SN_FIELD_SCALAR, offsetof(Lists, n_items), 4, 0, 0, false, NULL},
        {"tensors", SN_FIELD_TENSOR, offsetof(Lists, tensors), sizeof(sn_tensor *), 4,
         offsetof(Lists, n_tensors), true, NULL},
        {"items", SN_FIELD_STRUCT, offsetof(Lists, items), sizeof(Item), 4,
         offsetof(Lists, n_items), true, &item},
    };
    static const sn_tree tree = {sizeof(Lists), fields, 4}, *trees[] = {&tree};
    sn_compile_options options = {.trees = trees, .n_trees = 1};
    sn_compiled *c = sn_compile(use_lists, "S:t", &options);
    sn_tensor *(*fast)(const Lists *) = SN_FN(c, use_lists);
    sn_tensor *x = tensor_of(SN_F32, SN_I0, V(100));
    Lists three = {3, 4, {x, x, x, NULL}, {{3}, {5}, {6}, {7}}};
    Lists four = {4, 3, {x, x, x, SN_NONE}, {{5}, {6}, {7}, {0}}};
    for (int i = 0; i < 4; i++) EXPECT_SAME(fast(&three), use_lists(&three));
    for (int i = 0; i < 4; i++) EXPECT_SAME(fast(&four), use_lists(&four));
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_captured_shape_is_never_stale),
        API_TEST(a_captured_value_is_never_stale),
        API_TEST(a_captured_scalar_is_never_stale),
        API_TEST(what_a_function_keeps_it_keeps_in_every_call),
        API_TEST(a_generator_of_the_functions_own_draws_as_in_eager),
        API_TEST(a_refused_draw_draws_nothing),
        API_TEST(memory_that_was_borrowed_in_the_function_is_read_at_once),
        API_TEST(a_write_sees_that_its_source_is_the_same_memory),
        API_TEST(an_inlined_call_is_like_one_of_its_own),
        API_TEST(an_inlined_call_refuses_what_one_of_its_own_refuses),
        API_TEST(a_count_cannot_be_taken_for_a_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
