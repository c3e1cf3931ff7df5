/* Ownership: scopes own results, a reference is retained and released, marks unwind jumps, and what
 * was released is told apart from what lives. Every test ends with the memory that it began with. */
#include "api_case.h"

#include "base/mem.h"

#include <pthread.h>

static int32_t freed;

static void count_free(void *context) {
    (void)context;
    freed++;
}

/* A tensor whose death is counted. */
static sn_tensor *watched(void) {
    static float data[4] = {1, 2, 3, 4};
    sn_tensor *t = sn_from_borrow(data, sizeof data, SN_I(4), SN_F32, count_free, NULL);
    assert_non_null(t);
    return t;
}

/* ---- scopes ---------------------------------------------------------------------------------- */

static void a_result_dies_with_its_scope(void **state) {
    (void)state;
    freed = 0;
    sn_scope scope = sn_scope_begin();
    watched();
    sn_tensor *view = sn_select(watched(), 0, 1);
    EXPECT_VALUES(view, 2);
    assert_int_equal(freed, 0);
    assert_null(sn_scope_end(scope, NULL));
    assert_int_equal(freed, 2);
}

static void a_returned_tensor_moves_to_the_parent(void **state) {
    (void)state;
    freed = 0;
    sn_scope outer = sn_scope_begin();
    sn_scope inner = sn_scope_begin();
    sn_tensor *t = watched();
    watched();
    assert_ptr_equal(sn_scope_end(inner, t), t);
    assert_int_equal(freed, 1);
    EXPECT_VALUES(t, 1, 2, 3, 4);
    assert_null(sn_scope_end(outer, NULL));
    assert_int_equal(freed, 2);
}

static void a_tensor_of_an_outer_scope_may_be_returned(void **state) {
    (void)state;
    freed = 0;
    sn_scope outer = sn_scope_begin();
    sn_tensor *t = watched();
    for (int i = 0; i < 3; i++) {
        sn_scope inner = sn_scope_begin();
        assert_ptr_equal(sn_scope_end(inner, t), t); /* stays where it is */
    }
    assert_int_equal(freed, 0);
    sn_scope_end(outer, NULL);
    assert_int_equal(freed, 1);
}

static void a_tensor_goes_up_through_many_scopes(void **state) {
    (void)state;
    freed = 0;
    enum { DEPTH = 200 };
    sn_scope scopes[DEPTH];
    for (int i = 0; i < DEPTH; i++) {
        scopes[i] = sn_scope_begin();
        watched();
    }
    sn_tensor *t = watched();
    for (int i = DEPTH; i-- > 0;) assert_ptr_equal(sn_scope_end(scopes[i], t), t);
    assert_int_equal(freed, DEPTH);
    EXPECT_VALUES(t, 1, 2, 3, 4);
}

static sn_tensor *returns_early(sn_tensor *x, bool early) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *y = sn_neg(x);
    sn_scope deeper = sn_scope_begin();
    sn_tensor *z = sn_neg(watched());
    if (early) return sn_scope_end(scope, z); /* closes `deeper` as well */
    return sn_scope_end(scope, sn_scope_end(deeper, y));
}

static void closing_a_scope_closes_those_inside(void **state) {
    (void)state;
    freed = 0;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    EXPECT_VALUES(returns_early(x, true), -1, -2, -3, -4);
    assert_int_equal(freed, 1);
    EXPECT_VALUES(returns_early(x, false), -1, -2);
    assert_int_equal(freed, 2);
}

static void ending_a_scope_that_is_not_open_is_an_error(void **state) {
    (void)state;
    sn_scope scope = sn_scope_begin();
    sn_tensor *t = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_scope inner = sn_scope_begin();
    sn_scope_end(inner, NULL);
    assert_null(sn_scope_end(inner, t)); /* twice */
    EXPECT_ERROR(SN_ERROR_SCOPE, "scope_end", "not open on this thread");
    assert_null(sn_scope_end((sn_scope){1000, 0}, t));
    EXPECT_ERROR(SN_ERROR_SCOPE, "scope_end");
    assert_null(sn_scope_end((sn_scope){0, UINT32_MAX}, t));
    EXPECT_ERROR(SN_ERROR_SCOPE, "scope_end");
    EXPECT_VALUES(t, 1, 2);
    sn_scope_end(scope, NULL);
}

static void *without_a_scope(void *unused) {
    (void)unused;
    static const float data[2] = {1, 2};
    sn_error error;
    if (sn_zeros(SN_I(2), SN_F32)) return "zeros";
    if (sn_error_take(&error) != SN_ERROR_SCOPE || !strstr(error.text, "sn_scope_begin()"))
        return "zeros's error does not name the cure";
    if (sn_from_copy(data, sizeof data, SN_I(2), SN_F32)) return "from_copy";
    if (sn_error_take(&error) != SN_ERROR_SCOPE) return "from_copy's error";
    if (sn_c(1)) return "c";
    if (sn_error_take(&error) != SN_ERROR_SCOPE) return "c's error";
    sn_rng rng = {1, 4};
    if (sn_rand(&rng, SN_I(2), SN_F32) || rng.counter != 4) return "rand advanced";
    if (sn_error_take(&error) != SN_ERROR_SCOPE) return "rand's error";
    return NULL;
}

static void without_a_scope_the_error_names_the_cure(void **state) {
    (void)state;
    pthread_t thread; /* the fixture has a scope open on this one */
    void *failure;
    assert_int_equal(pthread_create(&thread, NULL, without_a_scope, NULL), 0);
    pthread_join(thread, &failure);
    if (failure) fail_msg("%s", (const char *)failure);
}

static sn_tensor *doubles_in_place(sn_tensor *x) {
    sn_add_(x, x);
    return sn_neg(x);
}

/* Runs with an outermost scope of its own: the first result is the caller's, the call after it has no
 * scope for its result, and so must write nothing. */
static void *compiled_without_a_scope(void *handle) {
    sn_compiled *c = handle;
    sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, doubles_in_place);
    for (int call = 0; call < 4; call++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = sn_scope_end(scope, sn_ones(SN_I(3), SN_F32)); /* now the caller's */
        float values[3] = {0};
        sn_error error;
        if (fast(x)) return "a result without a scope";
        if (sn_error_take(&error) != SN_ERROR_SCOPE || !strstr(error.text, "sn_scope_begin()"))
            return "the error does not name the cure";
        if (!sn_read(x, SN_F32, values, sizeof values) || values[2] != 1) return "x was written";
        scope = sn_scope_begin();
        sn_tensor *y = fast(x);
        if (!sn_read(y, SN_F32, values, sizeof values) || values[2] != -2) return "a wrong result";
        sn_scope_end(scope, NULL);
        sn_release(x);
        if (sn_error_take(&error) != SN_OK) return "an error at the end";
    }
    return NULL;
}

static void a_compiled_call_without_a_scope_writes_nothing(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(doubles_in_place, "t:t", NULL);
    pthread_t thread;
    void *failure;
    assert_int_equal(pthread_create(&thread, NULL, compiled_without_a_scope, c), 0);
    pthread_join(thread, &failure);
    if (failure) fail_msg("%s", (const char *)failure);
    sn_compiled_release(c);
}

static void a_scope_block_closes_however_it_is_left(void **state) {
    (void)state;
    freed = 0;
    for (int i = 0; i < 4; i++) {
        SN_SCOPE {
            watched();
            if (i == 2) break; /* out of the block alone */
        }
        assert_int_equal(freed, i + 1);
    }
}

static void *leaves_scopes_open(void *unused) {
    (void)unused;
    sn_scope_begin();
    watched();
    sn_scope_begin();
    sn_neg(watched());
    sn_error_raise(SN_ERROR_IO, NULL, 0, "pending at the thread's end");
    return NULL;
}

static void a_thread_that_ends_leaves_nothing(void **state) {
    (void)state;
    freed = 0;
    int64_t live = sn_memory().live_bytes;
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, leaves_scopes_open, NULL), 0);
        pthread_join(thread, NULL);
    }
    assert_int_equal(freed, 6);
    assert_int_equal(sn_memory().live_bytes, live);
}

/* ---- retain, release ------------------------------------------------------------------------- */

static void what_is_retained_outlives_its_scope(void **state) {
    (void)state;
    freed = 0;
    sn_scope scope = sn_scope_begin();
    sn_tensor *t = watched();
    assert_ptr_equal(sn_retain(t), t);
    sn_retain(t);
    sn_scope_end(scope, NULL);
    assert_int_equal(freed, 0);
    sn_release(t);
    EXPECT_VALUES(t, 1, 2, 3, 4);
    assert_int_equal(freed, 0);
    sn_release(t);
    assert_int_equal(freed, 1);
}

static void releasing_what_was_not_retained_is_an_error(void **state) {
    (void)state;
    sn_tensor *t = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_release(t);
    EXPECT_ERROR(SN_ERROR_HANDLE, "release", "not retained", "scope owns it");
    EXPECT_VALUES(t, 1, 2);
    sn_retain(t);
    sn_release(t);
    EXPECT_OK();
    sn_release(t);
    EXPECT_ERROR(SN_ERROR_HANDLE, "release");
    EXPECT_VALUES(t, 1, 2);
}

static void null_and_none_are_not_counted(void **state) {
    (void)state;
    sn_release(NULL);
    assert_null(sn_retain(NULL));
    assert_ptr_equal(sn_retain(SN_NONE), SN_NONE);
    sn_release(SN_NONE);
    sn_release(SN_NONE);
    sn_scope scope = sn_scope_begin();
    assert_ptr_equal(sn_scope_end(scope, SN_NONE), SN_NONE);
    EXPECT_OK();
}

static void views_keep_the_memory(void **state) {
    (void)state;
    freed = 0;
    sn_scope scope = sn_scope_begin();
    sn_tensor *view = sn_retain(sn_narrow(watched(), 0, 1, 2));
    sn_scope_end(scope, NULL);
    EXPECT_VALUES(view, 2, 3);
    assert_int_equal(freed, 0);
    sn_release(view);
    assert_int_equal(freed, 1);
}

static void *releases(void *tensor) {
    sn_release(tensor);
    return NULL;
}

static void another_thread_may_release(void **state) {
    (void)state;
    freed = 0;
    for (int i = 0; i < 20; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *t = sn_retain(watched());
        sn_scope_end(scope, NULL);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, releases, t), 0);
        pthread_join(thread, NULL);
        assert_int_equal(freed, i + 1);
    }
}

static void a_pending_error_does_not_keep_memory(void **state) {
    (void)state;
    freed = 0;
    sn_scope scope = sn_scope_begin();
    sn_tensor *t = sn_retain(watched());
    watched();
    assert_null(sn_select(t, 0, 9));
    sn_release(t);
    assert_null(sn_scope_end(scope, NULL));
    assert_int_equal(freed, 2);
    EXPECT_ERROR(SN_ERROR_INDEX, "select");
}

/* ---- what was released ----------------------------------------------------------------------- */

static void a_released_handle_is_named_where_it_is_used(void **state) {
    (void)state;
    sn_scope scope = sn_scope_begin();
    sn_tensor *dead = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_scope_end(scope, NULL);
    sn_tensor *others[64];
    for (int i = 0; i < 64; i++) others[i] = tensor_of(SN_F32, SN_I(2), V(1, 2));
    assert_null(sn_add(others[0], dead));
    EXPECT_ERROR(SN_ERROR_HANDLE, "add: y was released already", "test_scope.c:");
    assert_null(sn_select(dead, 0, 0));
    EXPECT_ERROR(SN_ERROR_HANDLE, "select: x was released already");
    assert_null(sn_add_(dead, others[0]));
    EXPECT_ERROR(SN_ERROR_HANDLE, "add_: x was released already");
    assert_null(sn_copy_(others[0], dead));
    EXPECT_ERROR(SN_ERROR_HANDLE, "copy_: source was released already");
    float values[2];
    assert_false(sn_read(dead, SN_F32, values, sizeof values));
    EXPECT_ERROR(SN_ERROR_HANDLE, "read: tensor was released already");
    assert_int_equal(sn_rank(dead), 0);
    EXPECT_ERROR(SN_ERROR_HANDLE, "rank: tensor was released already");
    sn_release(dead);
    EXPECT_ERROR(SN_ERROR_HANDLE, "release", "released already");
    assert_null(sn_retain(dead));
    EXPECT_ERROR(SN_ERROR_HANDLE, "retain", "released already");
    scope = sn_scope_begin();
    assert_null(sn_scope_end(scope, dead));
    EXPECT_ERROR(SN_ERROR_HANDLE, "scope_end", "released already");
    sn_compiled *c = sn_compile(doubles_in_place, "t:t", NULL);
    for (int call = 0; call < 3; call++) {
        assert_null(SN_FN(c, doubles_in_place)(dead));
        EXPECT_ERROR(SN_ERROR_HANDLE, "doubles_in_place, compiled at",
                     "argument 1 was released already");
        assert_non_null(SN_FN(c, doubles_in_place)(others[0]));
    }
    sn_compiled_release(c);
}

/* ---- jumps ----------------------------------------------------------------------------------- */

static jmp_buf landing;

static void opens_and_jumps(int scopes) {
    for (int i = 0; i < scopes; i++) {
        sn_scope_begin();
        sn_neg(watched());
    }
    longjmp(landing, 1);
}

static void a_mark_unwinds_scopes_after_a_jump(void **state) {
    (void)state;
    sn_tensor *volatile x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    for (volatile int i = 0; i < 3; i++) {
        freed = 0;
        sn_mark_t mark = sn_mark();
        if (setjmp(landing) == 0) opens_and_jumps(6);
        assert_int_equal(freed, 0);
        sn_unwind(mark);
        assert_int_equal(freed, 6);
        sn_unwind(mark); /* there is nothing left */
        EXPECT_VALUES(sn_add(x, x), 2, 4);
    }
}

static void unwinding_keeps_what_is_older_than_the_mark(void **state) {
    (void)state;
    freed = 0;
    sn_scope scope = sn_scope_begin();
    sn_tensor *t = watched();
    sn_mark_t mark = sn_mark();
    sn_scope_begin();
    sn_tensor *kept = sn_retain(watched());
    sn_unwind(mark);
    assert_int_equal(freed, 0);
    EXPECT_VALUES(t, 1, 2, 3, 4);
    sn_release(kept);
    assert_int_equal(freed, 1);
    sn_scope_end(scope, NULL);
    assert_int_equal(freed, 2);
}

/* ---- scopes inside traced functions ---------------------------------------------------------- */

static sn_tensor *many_scopes(sn_tensor *x) {
    for (int i = 0; i < 3; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *next = sn_add(sn_neg(x), sn_c(i));
        sn_mul(next, next); /* dies unused */
        x = sn_scope_end(scope, next);
    }
    sn_scope_begin(); /* left open: the call closes it */
    return sn_scope_end(sn_scope_begin(), sn_neg(x));
}

static void a_traced_function_may_use_scopes(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_compiled *c = sn_compile(many_scopes, "t:t", NULL);
    for (int call = 0; call < 4; call++) {
        sn_scope scope = sn_scope_begin();
        EXPECT_VALUES(SN_FN(c, many_scopes)(x), -0.0, 1);
        sn_scope_end(scope, NULL);
    }
    sn_compiled_release(c);
}

static sn_tensor *closes_too_much(sn_tensor *x) {
    sn_scope_end((sn_scope){0, 0}, NULL); /* the program's outermost scope */
    return sn_neg(x);
}

static void a_traced_function_cannot_close_its_callers_scope(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_compiled *c = sn_compile(closes_too_much, "t:t", NULL);
    for (int call = 0; call < 3; call++) {
        assert_null(SN_FN(c, closes_too_much)(x));
        EXPECT_ERROR(SN_ERROR_SCOPE, "scope_end");
        EXPECT_VALUES(x, 1, 2);
    }
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_result_dies_with_its_scope),
        API_TEST(a_returned_tensor_moves_to_the_parent),
        API_TEST(a_tensor_of_an_outer_scope_may_be_returned),
        API_TEST(a_tensor_goes_up_through_many_scopes),
        API_TEST(closing_a_scope_closes_those_inside),
        API_TEST(ending_a_scope_that_is_not_open_is_an_error),
        API_TEST(without_a_scope_the_error_names_the_cure),
        API_TEST(a_compiled_call_without_a_scope_writes_nothing),
        API_TEST(a_scope_block_closes_however_it_is_left),
        API_TEST(a_thread_that_ends_leaves_nothing),
        API_TEST(what_is_retained_outlives_its_scope),
        API_TEST(releasing_what_was_not_retained_is_an_error),
        API_TEST(null_and_none_are_not_counted),
        API_TEST(views_keep_the_memory),
        API_TEST(another_thread_may_release),
        API_TEST(a_pending_error_does_not_keep_memory),
        API_TEST(a_released_handle_is_named_where_it_is_used),
        API_TEST(a_mark_unwinds_scopes_after_a_jump),
        API_TEST(unwinding_keeps_what_is_older_than_the_mark),
        API_TEST(a_traced_function_may_use_scopes),
        API_TEST(a_traced_function_cannot_close_its_callers_scope),
    };
    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
