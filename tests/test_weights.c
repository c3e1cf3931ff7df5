/* Packed forms of weights: made at the second call that sees them unchanged, dropped from use by any write,
 * never of memory that others may write; the bits are those of calls that read the weights where they lie. */
#include "api_case.h"

#include "base/settings.h"
#include "ir/op/order.h"
#include "runtime/weights.h"

#include <pthread.h>
#include <sinter/binding.h>

static sn_tensor *product(sn_tensor *x, sn_tensor *w) {
    return sn_matmul(x, w);
}

typedef sn_tensor *Product(sn_tensor *x, sn_tensor *w);

static int64_t packs(void) {
    WeightCounters now;
    weights_counters(&now);
    return now.packs;
}

static int64_t bytes(void) {
    WeightCounters now;
    weights_counters(&now);
    return now.bytes;
}

static sn_compiled *compiled;
static Product *call;

static int prepare(void **state) {
    setting_set(SETTING_WEIGHTS_MB, "4096");
    compiled = sn_compile(product, "tt:t", NULL);
    call = SN_FN(compiled, product);
    return api_setup(state);
}

static int finish(void **state) {
    sn_compiled_release(compiled);
    return api_teardown(state);
}

/* A copy of x: weights whose packed form is not there. */
static sn_tensor *fresh(sn_tensor *x) {
    return sn_contiguous(sn_add(x, sn_c(0)));
}

/* Calls it, and says how many matrices were packed for it. */
static int64_t packs_of(sn_tensor *x, sn_tensor *w) {
    int64_t before = packs();
    sn_tensor *got = call(x, w);
    int64_t made = packs() - before;
    EXPECT_SAME(got, call(x, fresh(w)));
    return made;
}

static void the_second_call_packs(void **state) {
    (void)state;
    int64_t before = bytes();
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(5, 700)),
              *w = tensor_random(2, SN_F32, SN_I(700, 70));
    assert_int_equal(packs_of(x, w), 0);
    assert_int_equal(bytes(), before);
    assert_int_equal(packs_of(x, w), 1);
    assert_true(bytes() - before >= 700 * 70 * 4 && bytes() - before <= 700 * 96 * 4);
    assert_int_equal(packs_of(x, w), 0);
    EXPECT_OK();
    sn_scope_end(scope, NULL);
    assert_int_equal(bytes(), before);
}

static void written_weights_are_read_anew(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F64, SN_I(3, 40)),
              *w = tensor_random(2, SN_F64, SN_I(40, 33));
    for (int i = 0; i < 3; i++) packs_of(x, w);
    for (int i = 0; i < 3; i++) {
        sn_add_(w, sn_c(0.5));
        assert_int_equal(packs_of(x, w), 0);
        assert_int_equal(packs_of(x, w), 1);
        sn_mul_(sn_select(w, 1, i), sn_c(0)); /* through a view */
        assert_int_equal(packs_of(x, w), 0);
        assert_int_equal(packs_of(x, w), 1);
    }
}

static void pointers_keep_weights_as_they_are(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 40)),
              *w = tensor_random(2, SN_F32, SN_I(40, 33));
    for (int i = 0; i < 3; i++) packs_of(x, w);
    float *elements = sn_map(w);
    for (int i = 0; i < 3; i++) {
        elements[i] = 7;
        assert_int_equal(packs_of(x, w), 0);
    }
    sn_map(w);
    sn_unmap(w);
    assert_int_equal(packs_of(x, w), 0); /* the first pointer is out */
    assert_int_equal(packs_of(x, w), 0);
    sn_unmap(w);
    assert_int_equal(packs_of(x, w), 0);
    assert_int_equal(packs_of(x, w), 1);
    sn_unmap(w); /* once too often: it may have been written */
    assert_int_equal(packs_of(x, w), 0);
    assert_int_equal(packs_of(x, w), 1);
}

static void memory_of_others_is_not_packed(void **state) {
    (void)state;
    static float elements[40 * 33];
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 40));
    sn_tensor *w = sn_from_borrow(elements, sizeof elements, SN_I(40, 33), SN_F32, NULL, NULL);
    for (int i = 0; i < 4; i++) {
        elements[i] = 3;
        assert_int_equal(packs_of(x, w), 0);
    }
}

/* A step of training: the weight is read and written. */
static sn_tensor *train(sn_tensor *x, sn_tensor *w) {
    sn_tensor *y = sn_matmul(x, w);
    sn_sub_(w, sn_mul(w, sn_c(0.25)));
    return sn_add(y, sn_matmul(x, w));
}

static void a_function_that_writes_its_weights_reads_them(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(train, "tt:t", NULL);
    Product *step = SN_FN(c, train);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 40)),
              *w = tensor_random(2, SN_F32, SN_I(40, 33));
    sn_tensor *other = fresh(w);
    for (int i = 0; i < 4; i++) {
        EXPECT_SAME(step(x, w), train(x, other));
        EXPECT_SAME(call(x, w), call(x, fresh(other)));
        EXPECT_SAME(call(x, w), call(x, fresh(other)));
    }
    sn_compiled_release(c);
}

static void any_layout_and_number_of_threads(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},    {1, 300, 513}, {2, 33, 512}, {12, 31, 1030},
                                       {97, 65, 64}, {5, 1000, 40}, {200, 20, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int form = 0; form < 8; form++) {
            sn_scope scope = sn_scope_begin();
            int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            sn_dtype dtype = form & 1 ? SN_F64 : SN_F32;
            sn_tensor *x = tensor_random(1, dtype, SN_I(m, k)), *w = NULL;
            if (form >> 1 == 0) w = tensor_random(2, dtype, SN_I(k, n));
            if (form >> 1 == 1) w = sn_transpose(tensor_random(2, dtype, SN_I(n, k)), 0, 1);
            if (form >> 1 == 2) w = sn_select(tensor_random(2, dtype, SN_I(k, n, 2)), 2, 1);
            if (form >> 1 == 3) w = sn_expand(tensor_random(2, dtype, SN_I(k, 1)), SN_I(k, n));
            for (int32_t threads = 1; threads < 6; threads += 2) {
                sn_set_threads(threads);
                sn_tensor *want = call(x, fresh(w));
                for (int j = 0; j < 3; j++) EXPECT_SAME(call(x, w), want);
            }
            sn_set_threads(0);
            sn_scope_end(scope, NULL);
        }
    EXPECT_OK();
}

static void views_of_one_weight_are_packed_apart(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 40));
    sn_tensor *all = tensor_random(2, SN_F32, SN_I(40, 99));
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i++)
            assert_int_equal(packs_of(x, sn_narrow(all, 1, 33 * i, 33)), round == 1);
}

/* A view whose size is another at each call, as a cache's that grows. */
static void views_that_change_are_not_kept(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 40));
    sn_tensor *all = tensor_random(2, SN_F32, SN_I(40, 99));
    int64_t before = packs();
    for (int i = 1; i < 90; i++) call(x, sn_narrow(all, 1, 0, i));
    assert_int_equal(packs(), before);
    EXPECT_OK();
}

static void the_budget_is_kept(void **state) {
    (void)state;
    int64_t before = bytes();
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 512)), *w[4];
    setting_set(SETTING_WEIGHTS_MB, "0");
    w[0] = tensor_random(2, SN_F32, SN_I(512, 256));
    for (int i = 0; i < 3; i++) assert_int_equal(packs_of(x, w[0]), 0);
    setting_set(SETTING_WEIGHTS_MB, "2"); /* each takes half a MiB */
    int64_t made = 0;
    for (int i = 0; i < 4; i++) {
        w[i] = tensor_random(2, SN_F32, SN_I(512, 256));
        for (int j = 0; j < 3; j++) made += packs_of(x, w[i]);
    }
    assert_in_range(made, 3, 4);
    assert_in_range(bytes() - before, 3 << 19, 4 << 19);
}

/* ---- frozen weights -------------------------------------------------------------------------- */

static void frozen_weights_are_packed_at_the_first_call(void **state) {
    (void)state;
    static float elements[40 * 33];
    for (int i = 0; i < 40 * 33; i++) elements[i] = (float)(i % 17) - 8;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 40));
    sn_tensor *w = sn_from_borrow(elements, sizeof elements, SN_I(40, 33), SN_F32, NULL, NULL);
    sn_tensor *other = tensor_random(2, SN_F32, SN_I(40, 33));
    assert_true(sn_freeze(w) && sn_freeze(sn_narrow(other, 0, 1, 3)) && sn_freeze(w));
    assert_int_equal(packs_of(x, w), 1);
    assert_int_equal(packs_of(x, w), 0);
    assert_int_equal(packs_of(x, other), 1);
    EXPECT_OK();
}

static void expect_frozen(const char *op, sn_tensor *w, sn_tensor *want) {
    EXPECT_ERROR(SN_ERROR_ARGUMENT, op, "frozen");
    EXPECT_SAME(w, want);
}

static sn_tensor *write_later(sn_tensor *x, sn_tensor *w) {
    sn_tensor *y = sn_matmul(x, w);
    sn_mul_(sn_select(w, 0, 1), sn_c(2));
    return y;
}

static void frozen_weights_are_not_written(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 40)),
              *w = tensor_random(2, SN_F32, SN_I(40, 33));
    sn_tensor *want = fresh(w), *open = fresh(w);
    sn_compiled *c = sn_compile(write_later, "tt:t", NULL);
    assert_true(sn_freeze(w));
    assert_null(sn_add_(w, sn_c(1)));
    expect_frozen("add_", w, want);
    assert_null(sn_copy_(sn_select(w, 1, 0), sn_c(1)));
    expect_frozen("copy_", w, want);
    for (int i = 0; i < 3; i++) { /* traced, and by its graph */
        assert_null(SN_FN(c, write_later)(x, w));
        expect_frozen("frozen", w, want);
        assert_non_null(SN_FN(c, write_later)(x, open));
    }
    assert_null(SN_FN(c, write_later)(x, w));
    expect_frozen("frozen", w, want);
    assert_null(sn_map(w));
    expect_frozen("map", w, want);
    assert_null(sn_to_dlpack(w));
    expect_frozen("to_dlpack", w, want);
    sn_compiled_release(c);
}

static void what_a_pointer_may_write_is_not_frozen(void **state) {
    (void)state;
    sn_tensor *w = tensor_random(2, SN_F32, SN_I(40, 33));
    assert_non_null(sn_map(w));
    assert_false(sn_freeze(w));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "freeze", "sn_unmap");
    sn_unmap(w);
    assert_true(sn_freeze(w));
    assert_false(sn_freeze(NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "freeze");
}

static sn_tensor *shared_x, *shared_w, *shared_want;

static void *call_often(void *failed) {
    sn_scope scope = sn_scope_begin();
    for (int i = 0; i < 200; i++) {
        sn_scope inner = sn_scope_begin();
        sn_tensor *same = sn_all(sn_eq(call(shared_x, shared_w), shared_want), SN_I0, false);
        if (!sn_item_int(same)) *(_Atomic int *)failed = 1;
        sn_scope_end(inner, NULL);
    }
    sn_scope_end(scope, NULL);
    return NULL;
}

static void threads_meet_the_same_weights(void **state) {
    (void)state;
    _Atomic int failed = 0;
    pthread_t threads[4];
    shared_x = tensor_random(1, SN_F32, SN_I(3, 600));
    shared_w = tensor_random(2, SN_F32, SN_I(600, 99));
    shared_want = call(shared_x, fresh(shared_w));
    int64_t before = packs();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &failed), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(failed, 0);
    assert_int_equal(packs() - before, 1);
}

/* The form is what weights.h says. */
static void panels_hold_the_matrix(void **state) {
    (void)state;
    static float from[1100 * 80];
    static float packed[1100 * 96];
    for (int i = 0; i < 1100 * 80; i++) from[i] = (float)i + 1;
    const Columns cases[] = {{1, 0, 70, 1030, 1, 80, 1030, 0, 32, 4},
                             {1, 0, 70, 1030, 1100, 1, 1030, 0, 32, 4},
                             {1, 0, 16, 5, 0, 3, 5, 0, 16, 4},
                             {1, 0, 1, 700, 1, 1, 700, 0, 32, 4},
                             {1, 0, 33, 512, -2, 80, 512, 0, 16, 4},
                             {1, 0, 70, 9 * 100, 9 * 100, 9, 100, 1, 32, 4},
                             {1, 0, 33, 7 * 80, 1, 30, 7, 300, 16, 4},
                             {3, 1000, 20, 520, 1, 20, 520, 0, 32, 4},
                             {4, 9 * 50, 12, 9 * 50, 1800, 9, 50, 1, 16, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Columns *c = &cases[i];
        const float *first = from + (c->column_step < 0 ? -c->column_step * c->columns : 0);
        int64_t panels = (c->columns + c->panel - 1) / c->panel, all = panels * c->panel * c->k;
        assert_int_equal(columns_bytes(c), c->matrices * all * 4);
        columns_pack(c, (const char *)first, (char *)packed, 3);
        for (int64_t at_k = 0; at_k < c->matrices * c->k; at_k++)
            for (int64_t j = 0; j < panels * c->panel; j++) {
                int64_t matrix = at_k / c->k, k = at_k % c->k;
                int64_t chunk = k / ORDER_CHAIN * ORDER_CHAIN;
                int64_t steps = c->k - chunk < ORDER_CHAIN ? c->k - chunk : ORDER_CHAIN;
                int64_t at = matrix * all + chunk * panels * c->panel +
                             j / c->panel * steps * c->panel + (k - chunk) * c->panel +
                             j % c->panel;
                int64_t from_k = k / c->segment * c->segment_step + k % c->segment * c->k_step;
                from_k += matrix * c->matrix_step;
                float want = j < c->columns ? first[j * c->column_step + from_k] : 0;
                assert_true(packed[at] == want);
            }
    }
    Columns huge = {1, 0, INT64_MAX / 2, INT64_MAX / 2, 1, 1, 1, 0, 32, 4};
    assert_int_equal(columns_bytes(&huge), 0);
    Columns many = {INT64_MAX / 2, 0, 33, 7, 1, 1, 1, 0, 32, 4};
    assert_int_equal(columns_bytes(&many), 0);
}

#define WEIGHTS_TEST(function) cmocka_unit_test_setup_teardown(function, prepare, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        WEIGHTS_TEST(the_second_call_packs),
        WEIGHTS_TEST(written_weights_are_read_anew),
        WEIGHTS_TEST(pointers_keep_weights_as_they_are),
        WEIGHTS_TEST(memory_of_others_is_not_packed),
        WEIGHTS_TEST(a_function_that_writes_its_weights_reads_them),
        WEIGHTS_TEST(any_layout_and_number_of_threads),
        WEIGHTS_TEST(views_of_one_weight_are_packed_apart),
        WEIGHTS_TEST(views_that_change_are_not_kept),
        WEIGHTS_TEST(the_budget_is_kept),
        WEIGHTS_TEST(frozen_weights_are_packed_at_the_first_call),
        WEIGHTS_TEST(frozen_weights_are_not_written),
        WEIGHTS_TEST(what_a_pointer_may_write_is_not_frozen),
        WEIGHTS_TEST(threads_meet_the_same_weights),
        WEIGHTS_TEST(panels_hold_the_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
