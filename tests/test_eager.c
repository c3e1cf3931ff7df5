/* Eager tensors: data in and out, shapes and views, promotion, writes, and the promise that lengths
 * are not compiled in. Values of the ops themselves are in test_eager_values.c. */
#include "api_case.h"

#include <float.h>
#include <math.h>

/* ---- data in and out ------------------------------------------------------------------------- */

static void from_copy_copies_and_read_converts(void **state) {
    (void)state;
    float data[6] = {1.5f, -2.5f, 3e9f, NAN, -INFINITY, 0.25f};
    sn_tensor *x = sn_from_copy(data, sizeof data, SN_I(2, 3), SN_F32);
    data[0] = 7;
    EXPECT_SHAPE(x, SN_F32, SN_I(2, 3));
    EXPECT_VALUES(x, 1.5, -2.5, 3e9, NAN, -INFINITY, 0.25);
    int32_t integers[6]; /* saturating; NaN becomes 0 */
    assert_true(sn_read(x, SN_I32, integers, sizeof integers));
    const int32_t want[6] = {1, -2, INT32_MAX, 0, INT32_MIN, 0};
    assert_memory_equal(integers, want, sizeof want);
    uint8_t truth[6];
    assert_true(sn_read(x, SN_BOOL, truth, sizeof truth));
    assert_memory_equal(truth, "\1\1\1\1\1\1", 6);
    double column[2];
    assert_true(sn_read(sn_select(x, 1, 1), SN_F64, column, sizeof column));
    assert_true(column[0] == -2.5 && column[1] == -INFINITY);
}

static void every_dtype_goes_in_and_out(void **state) {
    (void)state;
    for (int32_t d = 0; d < SN_DTYPE_COUNT; d++) {
        sn_dtype dtype = (sn_dtype)d;
        sn_tensor *x = tensor_of(dtype, SN_I(3), V(0, 1, 1));
        EXPECT_SHAPE(x, dtype, SN_I(3));
        EXPECT_VALUES(x, 0, 1, 1);
        EXPECT_SAME(sn_zeros(SN_I(2, 0), dtype), sn_ones(SN_I(2, 0), dtype));
        EXPECT_VALUES(sn_ones(SN_I(2), dtype), 1, 1);
        assert_true(sn_item(sn_select(x, 0, 1)) == 1 && sn_item_int(sn_select(x, 0, 0)) == 0);
    }
    int64_t extreme[2] = {INT64_MIN, INT64_MAX}, back[2];
    sn_tensor *x = sn_from_copy(extreme, sizeof extreme, SN_I(2), SN_I64);
    assert_true(sn_read(x, SN_I64, back, sizeof back));
    assert_memory_equal(back, extreme, sizeof back);
    assert_true(sn_item_int(sn_select(x, 0, 1)) == INT64_MAX);
}

static int32_t released;

static void count_release(void *context) {
    assert_ptr_equal(context, &released);
    released++;
}

static void borrowed_memory_is_used_in_place_and_released_once(void **state) {
    (void)state;
    double data[6] = {1, 2, 3, 4, 5, 6};
    released = 0;
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_from_borrow(data, sizeof data, SN_I(2, 3), SN_F64, count_release, &released);
    sn_tensor *row = sn_retain(sn_select(x, 0, 1));
    data[3] = 40;
    EXPECT_VALUES(row, 40, 5, 6);
    sn_fill_(sn_select(x, 1, 2), 9);
    assert_true(data[2] == 9 && data[5] == 9 && data[1] == 2);
    sn_scope_end(scope, NULL);
    assert_int_equal(released, 0);
    sn_release(row);
    assert_int_equal(released, 1);
    assert_null(sn_from_borrow(data, 8, SN_I(2), SN_F64, count_release, &released));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "bytes is 8", "16");
    assert_int_equal(released, 1);
}

static void mapped_memory_is_the_views_own(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(3, 4), V(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    sn_tensor *view = sn_transpose(sn_narrow(x, 1, 1, 2), 0, 1);
    float *p = sn_map(view);
    assert_true(p[0] == 1 && p[sn_stride(view, 0)] == 2 && p[sn_stride(view, 1)] == 5);
    p[sn_stride(view, 1)] = 50;
    sn_unmap(view);
    EXPECT_VALUES(sn_select(x, 0, 1), 4, 50, 6, 7);
}

static void format_prints_like_numpy(void **state) {
    (void)state;
    char text[200];
    sn_tensor *x = tensor_of(SN_I64, SN_I(2, 2), V(1, 2, 3, 4));
    assert_int_equal(sn_format(x, text, sizeof text), (int32_t)strlen("[[1, 2], [3, 4]]"));
    assert_string_equal(text, "[[1, 2], [3, 4]]");
    assert_int_equal(sn_format(x, text, 5), (int32_t)strlen("[[1, 2], [3, 4]]"));
    assert_string_equal(text, "[[1,");
    assert_int_equal(sn_format(x, NULL, 0), (int32_t)strlen("[[1, 2], [3, 4]]"));
    sn_format(tensor_of(SN_F32, SN_I(2), V(1.5, -2.5)), text, sizeof text);
    assert_string_equal(text, "[ 1.5, -2.5]");
}

/* ---- shapes and views ------------------------------------------------------------------------ */

static sn_tensor *counted(const int64_t *dims, int32_t rank) {
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) count *= dims[i];
    return sn_reshape(sn_arange(0, (double)count, 1, SN_F32), dims, rank);
}

static void views_share_memory_and_have_numpys_shapes(void **state) {
    (void)state;
    sn_tensor *x = counted(SN_I(2, 3, 4));
    int64_t strides[SN_MAX_RANK];
    assert_int_equal(sn_shape(x, NULL, strides), 3);
    assert_true(strides[0] == 12 && strides[1] == 4 && strides[2] == 1);
    EXPECT_SHAPE(sn_reshape(x, SN_I(4, -1)), SN_F32, SN_I(4, 6));
    EXPECT_SHAPE(sn_permute(x, SN_I(2, 0, 1)), SN_F32, SN_I(4, 2, 3));
    EXPECT_SHAPE(sn_expand(sn_narrow(x, 1, 0, 1), SN_I(5, -1, 7, -1)), SN_F32, SN_I(5, 2, 7, 4));
    EXPECT_SHAPE(sn_squeeze(sn_narrow(x, 1, 0, 1), SN_I0), SN_F32, SN_I(2, 4));
    EXPECT_SHAPE(sn_unsqueeze(x, -1), SN_F32, SN_I(2, 3, 4, 1));
    EXPECT_VALUES(sn_diagonal(x, 1, 1, 2), 1, 6, 11, 13, 18, 23);
    EXPECT_VALUES(sn_diagonal(counted(SN_I(3, 3)), -1, 0, 1), 3, 7);
    EXPECT_VALUES(sn_select(sn_flip(x, SN_I(0, -1)), 1, -1), 23, 22, 21, 20, 11, 10, 9, 8);
    EXPECT_VALUES(
        sn_index(x, SN_IX(SN_AT(-1), SN_STEP(SN_END, SN_END, -2), SN_RANGE(1, 3), SN_NEW)), 21, 22,
        13, 14);
    EXPECT_SHAPE(sn_index(x, SN_IX(SN_ALL, SN_RANGE(2, 1), SN_NEW)), SN_F32, SN_I(2, 0, 1, 4));
    EXPECT_SHAPE(sn_index(x, SN_IX(SN_RANGE(-100, 100))), SN_F32, SN_I(2, 3, 4));
    sn_tensor *parts[3];
    assert_true(sn_split(x, SN_I(1, 0, 3), -1, parts));
    EXPECT_VALUES(sn_select(parts[2], 0, 0), 1, 2, 3, 5, 6, 7, 9, 10, 11);
    EXPECT_SHAPE(parts[1], SN_F32, SN_I(2, 3, 0));
    sn_fill_(sn_reshape(sn_permute(parts[0], SN_I(0, 1, 2)), SN_I(6)), -1); /* every 4th: a view */
    EXPECT_VALUES(sn_select(x, 0, 1), -1, 13, 14, 15, -1, 17, 18, 19, -1, 21, 22, 23);
    assert_true(sn_contiguous(x) == x && sn_is_contiguous(x));
    sn_tensor *turned = sn_transpose(x, 0, 2);
    assert_false(sn_is_contiguous(turned));
    EXPECT_SAME(sn_contiguous(turned), turned);
    assert_true(sn_is_contiguous(sn_contiguous(turned)));
}

static void reshape_copies_only_where_strides_forbid_a_view(void **state) {
    (void)state;
    sn_tensor *x = counted(SN_I(4, 6));
    sn_tensor *view = sn_reshape(sn_narrow(x, 1, 0, 3), SN_I(2, 2, 3, 1));
    sn_fill_(view, -1);
    EXPECT_VALUES(sn_select(x, 0, 3), -1, -1, -1, 21, 22, 23);
    sn_tensor *copy = sn_reshape(sn_transpose(x, 0, 1), SN_I(24));
    sn_fill_(copy, 5);
    EXPECT_VALUES(sn_select(x, 0, 3), -1, -1, -1, 21, 22, 23);
}

static void zero_dims_and_empty_tensors_work(void **state) {
    (void)state;
    sn_tensor *scalar = tensor_of(SN_F32, SN_I0, V(3));
    assert_int_equal(sn_rank(scalar), 0);
    EXPECT_VALUES(sn_add(scalar, scalar), 6);
    EXPECT_VALUES(sn_sum(scalar, SN_I0, false), 3);
    EXPECT_SHAPE(sn_softmax(tensor_of(SN_F32, SN_I(1), V(3)), 0), SN_F32, SN_I(1));
    sn_tensor *empty = sn_zeros(SN_I(0, 3), SN_F32);
    EXPECT_SHAPE(sn_exp(empty), SN_F32, SN_I(0, 3));
    EXPECT_SHAPE(sn_add(empty, sn_ones(SN_I(1, 3), SN_F64)), SN_F64, SN_I(0, 3));
    EXPECT_VALUES(sn_sum(empty, SN_I(0), false), 0, 0, 0);
    EXPECT_VALUES(sn_prod(empty, SN_I0, false), 1);
    EXPECT_VALUES(sn_all(empty, SN_I0, false), 1);
    EXPECT_VALUES(sn_any(empty, SN_I0, false), 0);
    EXPECT_SHAPE(sn_matmul(sn_ones(SN_I(2, 0), SN_F32), empty), SN_F32, SN_I(2, 3));
    EXPECT_VALUES(sn_matmul(sn_ones(SN_I(2, 0), SN_F32), empty), 0, 0, 0, 0, 0, 0);
    EXPECT_SHAPE(sn_softmax(empty, 1), SN_F32, SN_I(0, 3));
    EXPECT_SHAPE(sn_cumsum(empty, 0), SN_F32, SN_I(0, 3));
    sn_tensor *both[2] = {empty, sn_ones(SN_I(1, 3), SN_F32)};
    EXPECT_VALUES(sn_cat(both, 2, 0), 1, 1, 1);
    assert_int_equal(sn_stride(sn_flip(empty, SN_I(0)), 0), -3); /* as that of a step of -1 */
    assert_null(sn_max(empty, SN_I0, false));
    EXPECT_ERROR(SN_ERROR_SHAPE, "max");
}

static void eight_dims_broadcast(void **state) {
    (void)state;
    sn_tensor *x = counted(SN_I(2, 1, 2, 1, 2, 1, 2, 1)),
              *y = counted(SN_I(1, 2, 1, 2, 1, 2, 1, 2));
    sn_tensor *z = sn_add(sn_mul(x, sn_ci(16)), y);
    EXPECT_SHAPE(z, SN_F32, SN_I(2, 2, 2, 2, 2, 2, 2, 2));
    float values[256];
    assert_true(sn_read(z, SN_F32, values, sizeof values));
    for (int i = 0; i < 256; i++) {
        int a = 0, b = 0;
        for (int k = 7; k >= 0; k--) {
            if (k % 2)
                a = 2 * a + (i >> k & 1);
            else
                b = 2 * b + (i >> k & 1);
        }
        assert_true(values[i] == (float)(16 * a + b));
    }
    EXPECT_SAME(
        sn_permute(sn_permute(z, SN_I(7, 6, 5, 4, 3, 2, 1, 0)), SN_I(7, 6, 5, 4, 3, 2, 1, 0)), z);
    EXPECT_SAME(sn_sum(z, SN_I(0, 2, 4, 6), false),
                sn_sum(sn_permute(z, SN_I(1, 3, 5, 7, 0, 2, 4, 6)), SN_I(4, 5, 6, 7), false));
}

/* ---- promotion ------------------------------------------------------------------------------- */

/* PyTorch's table: rows and columns in the order of sn_dtype. */
static const char promotion[SN_DTYPE_COUNT][SN_DTYPE_COUNT + 1] = {
    "b12345hfsd", /* bool */
    "1133 5hfsd", /* u8: with i8 i16 */
    "2323 5hfsd", /* i8 */
    "3333 5hfsd", /* i16 */
    "4   45hfsd", /* i32 */
    "555555hfsd", /* i64 */
    "hhhhhhhssd", /* f16: with bf16 f32 */
    "ffffffsfsd", /* bf16 */
    "sssssssssd", /* f32 */
    "dddddddddd", /* f64 */
};

static sn_dtype promoted(sn_dtype a, sn_dtype b) {
    char letter = promotion[a][b];
    static const char letters[] = "b12345hfsd";
    if (letter == ' ') return SN_I32; /* the smaller integers with i32 */
    return (sn_dtype)(strchr(letters, letter) - letters);
}

static void two_tensors_promote_like_pytorchs(void **state) {
    (void)state;
    for (int32_t a = 0; a < SN_DTYPE_COUNT; a++)
        for (int32_t b = 0; b < SN_DTYPE_COUNT; b++) {
            sn_tensor *x = tensor_of((sn_dtype)a, SN_I(2), V(1, 0));
            sn_tensor *y = tensor_of((sn_dtype)b, SN_I(2), V(1, 1));
            sn_dtype want = promoted((sn_dtype)a, (sn_dtype)b);
            EXPECT_SHAPE(sn_add(x, y), want, SN_I(2));
            EXPECT_SHAPE(sn_div(x, y), want < SN_F16 ? SN_F32 : want, SN_I(2));
            EXPECT_SHAPE(sn_lt(x, y), SN_BOOL, SN_I(2));
            EXPECT_SHAPE(sn_where(sn_lt(x, y), x, y), want, SN_I(2));
            /* a zero-dimensional tensor counts by its category only */
            sn_tensor *scalar = tensor_of((sn_dtype)b, SN_I0, V(1));
            int class_a = a == SN_BOOL ? 0
                          : a < SN_F16 ? 1
                                       : 2,
                class_b = b == SN_BOOL ? 0
                          : b < SN_F16 ? 1
                                       : 2;
            EXPECT_SHAPE(sn_add(x, scalar), class_b > class_a ? (sn_dtype)b : (sn_dtype)a, SN_I(2));
        }
}

static void weak_scalars_never_widen_within_a_category(void **state) {
    (void)state;
    for (int32_t a = 0; a < SN_DTYPE_COUNT; a++) {
        sn_dtype dtype = (sn_dtype)a;
        sn_tensor *x = tensor_of(dtype, SN_I(1), V(1));
        EXPECT_SHAPE(sn_mul(x, sn_c(0.5)), dtype < SN_F16 ? SN_F32 : dtype, SN_I(1));
        EXPECT_SHAPE(sn_mul(x, sn_ci(2)), dtype == SN_BOOL ? SN_I64 : dtype, SN_I(1));
    }
    EXPECT_VALUES(sn_add(tensor_of(SN_U8, SN_I(1), V(250)), sn_ci(10)), 4);
    EXPECT_SHAPE(sn_add(sn_c(1), sn_c(2)), SN_F32, SN_I0);
    EXPECT_SHAPE(sn_add(sn_ci(1), sn_ci(2)), SN_I64, SN_I0);
    EXPECT_SHAPE(sn_exp(sn_ci(1)), SN_F32, SN_I0);
}

static void sums_of_integers_are_i64(void **state) {
    (void)state;
    for (int32_t a = SN_BOOL; a <= SN_I64; a++) {
        sn_tensor *x = sn_ones(SN_I(300), (sn_dtype)a);
        EXPECT_SHAPE(sn_sum(x, SN_I0, false), SN_I64, SN_I0);
        EXPECT_VALUES(sn_sum(x, SN_I0, false), 300);
        EXPECT_SHAPE(sn_cumsum(x, 0), SN_I64, SN_I(300));
        EXPECT_SHAPE(sn_argmax(x, SN_I0, false), SN_I64, SN_I0);
    }
    EXPECT_SHAPE(sn_sum(sn_ones(SN_I(3), SN_BF16), SN_I0, false), SN_BF16, SN_I0);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void in_place_ops_keep_dtype_shape_and_memory(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F16, SN_I(2, 3), V(1, 2, 3, 4, 5, 6));
    sn_tensor *row = sn_select(x, 0, 1);
    assert_ptr_equal(sn_mul_(x, tensor_of(SN_F64, SN_I(3), V(1, 10, 100))), x);
    EXPECT_SHAPE(x, SN_F16, SN_I(2, 3));
    EXPECT_VALUES(row, 4, 50, 600);
    sn_neg_(row);
    EXPECT_VALUES(x, 1, 20, 300, -4, -50, -600);
    sn_clamp_(x, sn_c(-5), SN_NONE);
    EXPECT_VALUES(x, 1, 20, 300, -4, -5, -5);
    sn_copy_(row, sn_c(0.5));
    sn_copy_(sn_select(x, 1, 0), tensor_of(SN_I64, SN_I(2), V(7, 8)));
    EXPECT_VALUES(x, 7, 20, 300, 8, 0.5, 0.5);
    sn_tensor *n = tensor_of(SN_I32, SN_I(2), V(5, 6));
    sn_add_(n, sn_ones(SN_I(2), SN_I64));
    EXPECT_VALUES(n, 6, 7);
    assert_null(sn_add_(n, sn_c(0.5)));
    EXPECT_ERROR(SN_ERROR_DTYPE, "add_", "i32");
    assert_null(sn_add_(n, sn_ones(SN_I(3, 2), SN_I32)));
    EXPECT_ERROR(SN_ERROR_SHAPE, "add", "i32[3,2]");
    EXPECT_VALUES(n, 6, 7);
}

static void writes_from_overlapping_memory_read_the_old_values(void **state) {
    (void)state;
    sn_tensor *x = sn_arange(0, 300, 1, SN_F32), *want = sn_arange(0, 299, 1, SN_F32);
    sn_copy_(sn_narrow(x, 0, 1, 299), sn_narrow(x, 0, 0, 299));
    EXPECT_SAME(sn_narrow(x, 0, 1, 299), want);
    sn_tensor *y = sn_arange(0, 300, 1, SN_F32);
    sn_add_(y, sn_flip(y, SN_I(0)));
    EXPECT_SAME(y, sn_full(SN_I(300), 299, SN_F32));
    sn_tensor *square = counted(SN_I(17, 17));
    sn_sub_(square, sn_transpose(square, 0, 1));
    EXPECT_SAME(sn_add(square, sn_transpose(square, 0, 1)), sn_zeros(SN_I(17, 17), SN_F32));
    sn_copy_(square, sn_sum(square, SN_I(0), true));
    EXPECT_SAME(sn_select(square, 0, 16), sn_select(square, 0, 0));
}

/* ---- compile nothing ------------------------------------------------------------------------- */

static void use_length(int64_t n) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_arange(0, (double)n, 1, SN_F32);
    sn_tensor *y = sn_add(sn_mul(x, sn_c(0.5)), x);
    y = sn_exp(sn_neg(sn_relu(y)));
    sn_tensor *pair[2] = {x, y};
    sn_tensor *both = sn_stack(pair, 2, 0);
    sn_tensor *row = sn_softmax(both, 1);
    (void)sn_sum(sn_transpose(both, 0, 1), SN_I(1), false);
    (void)sn_add(sn_transpose(both, 0, 1), sn_unsqueeze(x, 1));
    (void)sn_layer_norm(row, x, y, 1e-5);
    (void)sn_cast(sn_gt(row, sn_c(0.1)), SN_F32);
    (void)sn_add_(row, sn_index(row, SN_IX(SN_ALL, SN_STEP(SN_END, SN_END, -1))));
    if (n) (void)sn_argmax(row, SN_I(1), false);
    EXPECT_OK();
    sn_scope_end(scope, NULL);
}

static void a_sweep_over_1000_lengths_compiles_nothing(void **state) {
    (void)state;
    static const int64_t warm[] = {5, 64, 1000, 1, 0, 2, 3000};
    for (size_t i = 0; i < sizeof warm / sizeof warm[0]; i++) use_length(warm[i]);
    sn_counters before = counters_now();
    for (int64_t n = 0; n < 1000; n++) use_length(n);
    sn_counters after = counters_now();
    assert_int_equal(after.compiles, before.compiles);
    assert_int_equal(after.cache_disk_misses, before.cache_disk_misses);
    assert_int_equal(after.traces, before.traces);
}

/* A number of an op is no part of its plan: what a call costs does not depend on whether it is new. */
static void a_sweep_over_numbers_looks_up_no_kernel(void **state) {
    (void)state;
    static const float x[] = {1.5f, -2, 0.1f}, y[] = {3, 0.7f, -1e30f}, z[] = {-0.3f, 1e-3f, 8};
    sn_tensor *tx = sn_from_copy(x, sizeof x, SN_I(3), SN_F32);
    sn_tensor *ty = sn_from_copy(y, sizeof y, SN_I(3), SN_F32);
    sn_tensor *tz = sn_from_copy(z, sizeof z, SN_I(3), SN_F32);
    sn_counters before = {.size = 0};
    for (int i = -1; i < 300; i++) {
        sn_scope scope = sn_scope_begin();
        double value = i % 7 == 6 ? 0.1 : 1.0 / (3 + i);
        float got[3], filled[2];
        sn_tensor *sum = sn_addcmul(tx, ty, tz, value);
        assert_true(sn_read(sum, SN_F32, got, sizeof got));
        for (int j = 0; j < 3; j++) assert_true(got[j] == x[j] + (float)value * y[j] * z[j]);
        assert_true(sn_read(sn_full(SN_I(2), value, SN_F32), SN_F32, filled, sizeof filled));
        assert_true(filled[0] == (float)value && filled[1] == (float)value);
        if (i < 0) before = counters_now();
        sn_scope_end(scope, NULL);
    }
    assert_int_equal(counters_now().cache_memory_hits, before.cache_memory_hits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(from_copy_copies_and_read_converts),
        API_TEST(every_dtype_goes_in_and_out),
        API_TEST(borrowed_memory_is_used_in_place_and_released_once),
        API_TEST(mapped_memory_is_the_views_own),
        API_TEST(format_prints_like_numpy),
        API_TEST(views_share_memory_and_have_numpys_shapes),
        API_TEST(reshape_copies_only_where_strides_forbid_a_view),
        API_TEST(zero_dims_and_empty_tensors_work),
        API_TEST(eight_dims_broadcast),
        API_TEST(two_tensors_promote_like_pytorchs),
        API_TEST(weak_scalars_never_widen_within_a_category),
        API_TEST(sums_of_integers_are_i64),
        API_TEST(in_place_ops_keep_dtype_shape_and_memory),
        API_TEST(writes_from_overlapping_memory_read_the_old_values),
        API_TEST(a_sweep_over_1000_lengths_compiles_nothing),
        API_TEST(a_sweep_over_numbers_looks_up_no_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
