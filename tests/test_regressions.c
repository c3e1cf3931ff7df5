/* Programs that the fuzzer found compiled and eager to disagree about, each cut down and named by the
 * rule that was broken. */
#include "api_case.h"
#include "fuzz_plant.h"
#include "oracle.h"

#include "base/settings.h"
#include "frontend/io/dlpack.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

typedef sn_tensor *Binary(sn_tensor *, sn_tensor *);
typedef sn_tensor *Ternary(sn_tensor *, sn_tensor *, sn_tensor *);

static sn_tensor *dense(uint32_t seed, int64_t rows, int64_t columns) {
    return tensor_random(seed, SN_F32, SN_I(rows, columns));
}

/* A transposed tensor of the same values for the same seed. */
static sn_tensor *column_major(uint32_t seed, int64_t rows, int64_t columns) {
    return sn_transpose(tensor_random(seed, SN_F32, SN_I(columns, rows)), 0, 1);
}

/* Every second column of a wider matrix. */
static sn_tensor *with_gaps(uint32_t seed, int64_t rows, int64_t columns) {
    sn_tensor *wide = tensor_random(seed, SN_F32, SN_I(rows, 2 * columns + 3));
    return sn_index(wide, SN_IX(SN_ALL, SN_STEP(0, 2 * columns, 2)));
}

typedef sn_tensor *Matrix(uint32_t seed, int64_t rows, int64_t columns);

/* Calls both with equal arguments, three times, and compares results and the written argument. */
static void expect_binary(Binary *function, Matrix *matrix, int64_t rows, int64_t inner) {
    sn_compiled *c = sn_compile(function, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    for (int i = 0; i < 3; i++) {
        sn_tensor *x = matrix(5, rows, inner), *again = matrix(5, rows, inner);
        sn_tensor *w = tensor_random(6, SN_F32, SN_I(inner, 9));
        sn_tensor *got = fast(again, w), *want = function(x, w);
        EXPECT_OK();
        EXPECT_SAME(got, want);
        EXPECT_SAME(again, x);
    }
    sn_compiled_release(c);
}

/* ---- layouts of operands of products --------------------------------------------------------- */

static sn_tensor *write_view_and_multiply(sn_tensor *x, sn_tensor *w) {
    sn_tensor *turned = sn_transpose(x, 0, 1);
    sn_mul_(turned, sn_c(1.25));
    return sn_matmul(sn_transpose(sn_contiguous(x), 0, 1), sn_matmul(x, w));
}

static sn_tensor *multiply_written_view(sn_tensor *x, sn_tensor *w) {
    sn_tensor *turned = sn_transpose(x, 0, 1);
    sn_fmod_(turned, sn_c(0.7));
    return sn_matmul(turned, sn_narrow(sn_reshape(w, SN_I(-1)), 0, 0, sn_size(x, 0)));
}

static sn_tensor *multiply_written_argument(sn_tensor *x, sn_tensor *w) {
    sn_sinh_(x);
    return sn_matmul(x, w);
}

static sn_tensor *multiply_written_part(sn_tensor *x, sn_tensor *w) {
    sn_tensor *left = sn_narrow(x, 1, 0, sn_size(w, 0) - 3);
    sn_relu_(left);
    return sn_matmul(left, sn_narrow(w, 0, 0, sn_size(w, 0) - 3));
}

static void a_product_sees_written_memory_in_eagers_layout(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{2, 3}, {9, 9}, {3, 2}, {5, 7}, {33, 18}, {64, 31}};
    Matrix *matrices[] = {dense, column_major, with_gaps};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t j = 0; j < 3; j++) {
            int64_t rows = sizes[i][0], inner = sizes[i][1];
            expect_binary(multiply_written_argument, matrices[j], rows, inner);
            if (inner > 3) expect_binary(multiply_written_part, matrices[j], rows, inner);
            expect_binary(write_view_and_multiply, matrices[j], rows, inner);
            expect_binary(multiply_written_view, matrices[j], rows, inner);
        }
}

/* Overlapping windows of a row, as matrices of a batch. */
static void a_batch_of_overlapping_matrices_is_multiplied(void **state) {
    (void)state;
    sn_tensor *row = tensor_random(3, SN_F32, SN_I(20));
    static const int64_t dims[] = {4, 5, 2}, strides[] = {3, 2, 1};
    static DLManagedTensor managed; /* lives as long as the fixture's scope */
    DLTensor view = {
        .data = sn_map(row), .device = {DLPACK_CPU, 0}, .ndim = 3, .dtype = {DLPACK_FLOAT, 32, 1}};
    view.shape = (int64_t *)(uintptr_t)dims;
    view.strides = (int64_t *)(uintptr_t)strides;
    managed = (DLManagedTensor){.dl_tensor = view};
    sn_tensor *windows = sn_from_dlpack(&managed), *w = tensor_random(4, SN_F32, SN_I(4, 2, 3));
    sn_tensor *apart = sn_clone(windows);
    EXPECT_SAME(sn_matmul(windows, w), sn_matmul(apart, w));
    EXPECT_OK();
    sn_unmap(row);
}

/* The product is of the fresh value, which is dense, wherever else it is written. */
static sn_tensor *multiply_and_store(sn_tensor *x, sn_tensor *y, sn_tensor *w) {
    sn_tensor *z = sn_mul(y, sn_c(0.3));
    sn_tensor *product = sn_matmul(z, w);
    sn_copy_(x, z);
    return product;
}

static void a_value_stored_in_an_argument_is_multiplied_as_it_was(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(multiply_and_store, "ttt:t", NULL);
    Ternary *fast = (Ternary *)sn_compiled_fn(c);
    Matrix *matrices[] = {column_major, with_gaps};
    int64_t fallbacks = counters_now().fallbacks;
    for (size_t i = 0; i < 6; i++) {
        sn_tensor *x = matrices[i % 2](7, 17, 12), *again = matrices[i % 2](7, 17, 12);
        sn_tensor *y = tensor_random(8, SN_F32, SN_I(17, 12));
        sn_tensor *w = tensor_random(9, SN_F32, SN_I(12, 5));
        EXPECT_SAME(fast(again, y, w), multiply_and_store(x, y, w));
        EXPECT_SAME(again, x);
    }
    assert_int_equal(counters_now().fallbacks, fallbacks);
    sn_compiled_release(c);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static sn_tensor *bad_index_then_bad_shape(sn_tensor *x, sn_tensor *index) {
    sn_tensor *rows = sn_index_select(x, 0, index);
    return sn_matmul(rows, rows); /* refused: 3 columns times 2 rows */
}

static void the_first_error_wins_be_it_in_the_data(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(bad_index_then_bad_shape, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(4, 3));
    sn_tensor *good = tensor_of(SN_I64, SN_I(2), V(0, 3));
    sn_tensor *bad = tensor_of(SN_I64, SN_I(2), V(0, 4));
    for (int i = 0; i < 3; i++) {
        assert_null(bad_index_then_bad_shape(x, bad));
        EXPECT_ERROR(SN_ERROR_INDEX, "index_select", "size 4");
        assert_null(fast(x, bad));
        EXPECT_ERROR(SN_ERROR_INDEX, "index_select", "size 4");
        assert_null(fast(x, good));
        EXPECT_ERROR(SN_ERROR_SHAPE, "matmul");
    }
    sn_compiled_release(c);
}

static sn_status lookup_beside_attention(sn_tensor *x, sn_tensor *index, sn_tensor **rows,
                                         sn_tensor **mixed) {
    *rows = sn_embedding(x, index);
    *mixed = sn_scaled_dot_product_attention(x, x, x, SN_NONE, false, 0);
    return sn_error_status();
}

/* Attention takes a second round of decomposing, which must not rename the look-up. */
static void an_error_names_the_op_that_was_written(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(lookup_beside_attention, "tt:tt", NULL);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(4, 3)), *rows, *mixed;
    sn_tensor *bad = tensor_of(SN_I64, SN_I(1), V(4));
    assert_int_equal(SN_FN(c, lookup_beside_attention)(x, bad, &rows, &mixed), SN_ERROR_INDEX);
    EXPECT_ERROR(SN_ERROR_INDEX, "embedding: index[0] is 4, out of range");
    sn_compiled_release(c);
}

static sn_tensor *least_of_unused_lookup(sn_tensor *x, sn_tensor *index) {
    sn_gather(x, 0, index);
    return sn_min(index, SN_I(0), true);
}

/* What is looked up is not used, but the index is wrong all the same. */
static void an_unused_lookup_is_checked_beside_a_reduction(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(least_of_unused_lookup, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(2));
    for (int i = 0; i < 3; i++) {
        EXPECT_VALUES(fast(x, tensor_of(SN_I64, SN_I(2), V(1, 0))), 0);
        assert_null(fast(x, tensor_of(SN_I64, SN_I(2), V(0, 2))));
        EXPECT_ERROR(SN_ERROR_INDEX, "gather", "size 2");
    }
    sn_compiled_release(c);
}

/* An eager op keeps its plan for the next one like it, but not the line. */
static void an_eager_error_names_its_own_line(void **state) {
    (void)state;
    sn_tensor *bad = tensor_of(SN_I64, SN_I(2), V(0, 4));
    for (int i = 0; i < 2; i++) {
        sn_error first = {0}, second = {0};
        sn_one_hot(bad, 3);
        sn_error_take(&first);
        sn_one_hot(bad, 3);
        sn_error_take(&second);
        assert_int_equal(second.line, first.line + 2);
    }
}

static sn_tensor *on_two_lines(sn_tensor *x, sn_tensor *index, bool first) {
    if (first) return sn_index_select(x, 0, index);
    return sn_index_select(x, 0, index);
}

/* Two branches record the same graph, but not on the same line. */
static void an_error_names_the_line_of_its_branch(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(on_two_lines, "ttb:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, bool) = SN_FN(c, on_two_lines);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(4, 3));
    sn_tensor *good = tensor_of(SN_I64, SN_I(1), V(3)), *bad = tensor_of(SN_I64, SN_I(1), V(4));
    for (int i = 0; i < 4; i++) {
        sn_error wanted = {0}, got = {0};
        fast(x, good, i % 2);
        on_two_lines(x, bad, i % 2);
        sn_error_take(&wanted);
        fast(x, bad, i % 2);
        sn_error_take(&got);
        assert_string_equal(got.text, wanted.text);
    }
    sn_compiled_release(c);
}

static sn_tensor *scaled_rows(sn_tensor *weight, sn_tensor *index) {
    return sn_embedding(sn_log1p(sn_mul(weight, sn_c(1.0625))), index);
}

/* The line of an error stands in its text once, also where the graph runs node by node. */
static void a_fallback_names_the_line_once(void **state) {
    (void)state;
    sn_tensor *weight = tensor_random(1, SN_I16, SN_I(4, 3));
    sn_tensor *bad = tensor_of(SN_I64, SN_I(2), V(0, 4));
    sn_error wanted = {0}, got = {0};
    scaled_rows(weight, bad);
    assert_int_equal(sn_error_take(&wanted), SN_ERROR_INDEX);
    sn_compiled *c = sn_compile(scaled_rows, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    int64_t fallbacks = counters_now().fallbacks;
    if (!plant_refusal()) skip(); /* no code generator here */
    assert_null(fast(weight, bad));
    assert_true(plant_refused());
    assert_int_equal(counters_now().fallbacks, fallbacks + 1);
    assert_int_equal(sn_error_take(&got), SN_ERROR_INDEX);
    assert_string_equal(got.text, wanted.text);
    sn_compiled_release(c);
}

/* ---- nothing to compute ---------------------------------------------------------------------- */

static sn_status empty_lookup(sn_tensor *x, sn_tensor *index, sn_tensor **mean, sn_tensor **rows) {
    sn_tensor *none = sn_narrow(x, 1, 0, 0);
    *mean = sn_mean(none, SN_I(1), true);
    *rows = sn_gather(none, 0, index);
    return sn_error_status();
}

static sn_tensor *sum_of_empty_rows(sn_tensor *x, sn_tensor *index) {
    return sn_sum(sn_index_select(x, 0, index), SN_I(1), false);
}

static sn_tensor *sum_of_empty_columns(sn_tensor *x, sn_tensor *index) {
    return sn_sum(sn_index_select(x, 1, index), SN_I(0), false);
}

static sn_tensor *look_and_store(sn_tensor *x, sn_tensor *index) {
    sn_tensor *y = sn_relu(x), *z = sn_neg(x);
    sn_tensor *looked = sn_index_select(x, 0, index);
    sn_copy_(x, z);
    sn_copy_(index, sn_ci(0));
    return sn_add(looked, sn_item(sn_sum(y, SN_I0, false)) > 1000 ? y : z);
}

static sn_tensor *look_and_rectify(sn_tensor *x, sn_tensor *index) {
    sn_tensor *y = sn_relu(x);
    sn_tensor *looked = sn_index_select(x, 0, index);
    sn_relu_(x);
    return sn_add(looked, y);
}

/* Values that were there before the op that fails, but are written after it. */
static void what_is_written_behind_a_failing_op_is_not(void **state) {
    (void)state;
    Binary *functions[] = {look_and_store, look_and_rectify};
    for (int f = 0; f < 2; f++) {
        sn_compiled *c = sn_compile(functions[f], "tt:t", NULL);
        Binary *fast = (Binary *)sn_compiled_fn(c);
        for (int i = 0; i < 4; i++) {
            sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(-1, 2));
            sn_tensor *index = tensor_of(SN_I64, SN_I(2), V(1, i % 2 ? 1 : 5));
            sn_tensor *twin = sn_clone(x), *twins = sn_clone(index);
            sn_tensor *want = functions[f](twin, twins), *got = NULL;
            bool refused = sn_error_take(NULL) != SN_OK;
            got = fast(x, index);
            assert_int_equal(sn_error_take(NULL) != SN_OK, refused);
            if (!refused) EXPECT_SAME(got, want);
            EXPECT_SAME(x, twin);
            EXPECT_SAME(index, twins);
        }
        sn_compiled_release(c);
    }
}

static sn_tensor *look_write_look_and_read(sn_tensor *x, sn_tensor *index) {
    sn_tensor *first = sn_index_select(x, 0, index);
    sn_add_(index, sn_ci(2));
    sn_tensor *second = sn_index_select(x, 0, index);
    return sn_mul(first, sn_c(sn_item(sn_sum(second, SN_I0, false))));
}

/* The run that failed had written the index already: judged once more, it is out of range everywhere. */
static void an_error_at_a_host_read_is_not_looked_for_again(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(3), V(1, 2, 3));
    sn_compiled *c = sn_compile(look_write_look_and_read, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    sn_error eager, compiled;
    assert_null(look_write_look_and_read(x, tensor_of(SN_I64, SN_I(2), V(1, 2))));
    assert_int_equal(sn_error_take(&eager), SN_ERROR_INDEX);
    for (int i = 0; i < 3; i++) {
        assert_null(fast(x, tensor_of(SN_I64, SN_I(2), V(1, 2))));
        sn_error_take(&compiled);
        assert_string_equal(compiled.text, eager.text);
        assert_int_equal(compiled.line, eager.line);
    }
    sn_compiled_release(c);
}

/* In a kernel with an op that has elements, an index that no element has must not be read. */
static void an_empty_lookup_checks_no_index(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(empty_lookup, "tt:tt", NULL);
    sn_compiled *d = sn_compile(sum_of_empty_rows, "tt:t", NULL);
    sn_compiled *e = sn_compile(sum_of_empty_columns, "tt:t", NULL);
    sn_status (*lookup)(sn_tensor *, sn_tensor *, sn_tensor **, sn_tensor **) =
        SN_FN(c, empty_lookup);
    Binary *sums = (Binary *)sn_compiled_fn(d), *column_sums = (Binary *)sn_compiled_fn(e);
    /* memory where an index would be 99 */
    sn_tensor *wide = tensor_of(SN_I64, SN_I(1, 2), V(99, 99)), *index = sn_narrow(wide, 1, 1, 0);
    for (int i = 0; i < 3; i++) {
        sn_tensor *x = tensor_random(1, SN_F32, SN_I(1, 3)), *mean, *rows;
        assert_int_equal(lookup(x, index, &mean, &rows), SN_OK);
        EXPECT_VALUES(mean, NAN);
        EXPECT_SHAPE(rows, SN_F32, SN_I(1, 0));
        sn_tensor *empty = sn_zeros(SN_I(5, 0), SN_F32);
        EXPECT_VALUES(sn_sum(sn_index_select(empty, 0, sn_reshape(wide, SN_I(-1))), SN_I(1), false),
                      0, 0);
        EXPECT_VALUES(sums(empty, sn_reshape(wide, SN_I(-1))), 0, 0);
        sn_tensor *turned = sn_zeros(SN_I(0, 1), SN_BF16), *one = sn_select(wide, 0, 0);
        EXPECT_VALUES(column_sums(turned, sn_narrow(one, 0, 0, 1)), 0);
        EXPECT_OK();
    }
    sn_compiled_release(c);
    sn_compiled_release(d);
    sn_compiled_release(e);
}

/* Memory that cannot be read, as that of an empty tensor may be. */
static void the_memory_of_an_empty_tensor_is_not_read(void **state) {
    (void)state;
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    const int64_t dims[][3] = {{1, 0, 1}, {3, 1, 0}, {0, 1, 1}, {2, 0, 3}};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        sn_tensor *x = sn_from_borrow(page, 0, dims[i], 3, SN_F32, NULL, NULL);
        EXPECT_VALUES(sn_sum(x, SN_I0, false), 0);
        EXPECT_VALUES(sn_prod(sn_exp(x), SN_I(0, 1, 2), false), 1);
        assert_int_equal(sn_item_int(sn_any(x, SN_I0, false)), 0);
        EXPECT_VALUES(sn_logsumexp(x, SN_I0, false), -INFINITY);
        sn_tensor *sums = sn_sum(sn_mul(x, x), SN_I(1, 2), false);
        for (int64_t j = 0; j < sn_count(sums); j++)
            assert_true(sn_item(sn_select(sums, 0, j)) == 0);
    }
    EXPECT_OK();
    munmap(page, bytes);
}

static sn_tensor *logsumexp_of_zeros(sn_tensor *x) {
    return sn_logsumexp(sn_signbit(x), SN_I0, false);
}

/* What a row loop computes may fold to a constant; that serves behind the loop too. */
static void a_constant_of_a_loop_serves_behind_it(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(logsumexp_of_zeros, "t:t", NULL);
    sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, logsumexp_of_zeros);
    int64_t fallbacks = counters_now().fallbacks;
    sn_tensor *x = tensor_random(2, SN_U8, SN_I(1, 1, 2));
    for (int i = 0; i < 3; i++) EXPECT_SAME(fast(x), logsumexp_of_zeros(x));
    assert_int_equal(counters_now().fallbacks, fallbacks);
    sn_compiled_release(c);
}

static sn_tensor *norm_of_empty_parts(sn_tensor *x, sn_tensor *weight) {
    return sn_rms_norm(sn_cat((sn_tensor *[]){x, x}, 2, 1), weight, 0.1);
}

static void a_join_of_empty_parts_has_a_value(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(norm_of_empty_parts, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    int64_t fallbacks = counters_now().fallbacks;
    sn_tensor *x = sn_zeros(SN_I(0, 1), SN_F32), *weight = sn_zeros(SN_I(0, 2), SN_F32);
    EXPECT_SHAPE(fast(x, weight), SN_F32, SN_I(0, 2));
    assert_int_equal(counters_now().fallbacks, fallbacks);
    sn_compiled_release(c);
}

static void cross_entropy_needs_a_class(void **state) {
    (void)state;
    assert_null(sn_cross_entropy(sn_zeros(SN_I(2, 0), SN_F32), sn_zeros(SN_I(2), SN_I64), 2));
    EXPECT_ERROR(SN_ERROR_SHAPE, "cross_entropy", "no classes", "f32[2,0]");
}

/* ---- updates --------------------------------------------------------------------------------- */

static sn_tensor *overwrite_argmax(sn_tensor *x, sn_tensor *y) {
    sn_tensor *best = sn_argmax(x, SN_I(0, 1), true);
    sn_copy_(sn_select(best, 0, 0), y);
    return best;
}

/* One element, whose place is known: it must lie in memory all the same to be replaced there. */
static void an_update_finds_its_base_in_memory(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(overwrite_argmax, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    int64_t fallbacks = counters_now().fallbacks;
    for (int i = 0; i < 3; i++)
        EXPECT_VALUES(fast(sn_ones(SN_I(1, 1), SN_U8), tensor_of(SN_F64, SN_I0, V(7.5))), 7);
    assert_int_equal(counters_now().fallbacks, fallbacks);
    sn_compiled_release(c);
}

static sn_tensor *add_up(sn_tensor *x, sn_tensor *index, sn_tensor *source) {
    return sn_scatter_add(x, 0, index, source);
}

/* A 0-d tensor counts as one with one element, to which any number can be added. */
static void many_values_are_added_to_a_scalar(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(add_up, "ttt:t", NULL);
    Ternary *functions[] = {add_up, (Ternary *)sn_compiled_fn(c)};
    for (int i = 0; i < 4; i++) {
        Ternary *add = functions[i > 0];
        sn_tensor *x = tensor_of(SN_F32, SN_I0, V(1)), *index = sn_zeros(SN_I(2), SN_I64);
        EXPECT_VALUES(add(x, index, tensor_of(SN_F32, SN_I(3), V(10, 20, 40))), 31);
        EXPECT_VALUES(add(x, sn_select(index, 0, 0), tensor_of(SN_F32, SN_I0, V(10))), 11);
        assert_null(add(x, index, tensor_of(SN_F32, SN_I(1), V(10))));
        EXPECT_ERROR(SN_ERROR_SHAPE, "scatter_add: index does not fit inside source");
    }
    sn_compiled_release(c);
}

/* ---- host reads ------------------------------------------------------------------------------ */

static sn_tensor *read_what_was_written(sn_tensor *x, sn_tensor *y) {
    if (sn_item(x) > 1000) return y; /* from here on x is a real tensor */
    sn_fill_(x, 100);
    double seen = sn_item(x);
    sn_mul_(x, sn_c(2));
    double *mapped = sn_map(x), before = mapped ? *mapped : NAN;
    sn_tensor *z = sn_add(x, y);
    mapped = sn_map(x);
    if (mapped) *mapped = -1; /* after it was added */
    sn_unmap(x);
    return sn_add(z, sn_c(seen * 1000 + before));
}

static void a_host_read_sees_writes_that_were_recorded(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(read_what_was_written, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    for (int i = 0; i < 3; i++) {
        sn_tensor *x = tensor_of(SN_F64, SN_I(1), V(5)), *y = tensor_of(SN_F64, SN_I(1), V(0.5));
        EXPECT_VALUES(fast(x, y), 100 * 1000 + 200 + 200.5);
        EXPECT_VALUES(x, -1);
    }
    sn_compiled_release(c);
}

static sn_tensor *write_backwards(sn_tensor *x, sn_tensor *y) {
    sn_tensor *back = sn_flip(x, SN_I(0));
    if (sn_item(y) > 1000) return y; /* from here on both are real tensors, on the same memory */
    return sn_mul_(back, x);
}

/* The write must be seen to overlap an operand that the op is the first to name. */
static void a_write_after_a_host_read_does_not_disturb_its_operands(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(write_backwards, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    for (int i = 0; i < 3; i++) {
        sn_tensor *x = tensor_random(1, SN_F64, SN_I(99)), *twin = sn_clone(x);
        sn_tensor *y = tensor_of(SN_F64, SN_I(1), V(7));
        EXPECT_SAME(fast(x, y), write_backwards(twin, y));
        EXPECT_SAME(x, twin);
    }
    sn_compiled_release(c);
}

/* ---- guards ---------------------------------------------------------------------------------- */

static sn_tensor *add_into(sn_tensor *x, sn_tensor *y) {
    sn_add_(x, y);
    return sn_mul(x, sn_ci(2));
}

/* One call with arguments that overlap runs node by node; others are none the worse for it. */
static void overlapping_arguments_cost_only_their_own_call(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(add_into, "tt:t", NULL);
    Binary *fast = (Binary *)sn_compiled_fn(c);
    sn_tensor *x = tensor_random(1, SN_F64, SN_I(6)), *y = tensor_random(2, SN_F64, SN_I(6));
    for (int i = 0; i < 3; i++) fast(x, y);
    sn_tensor *memory = tensor_random(3, SN_F64, SN_I(7)), *twin = sn_clone(memory);
    int64_t fallbacks = counters_now().fallbacks;
    sn_tensor *got = fast(sn_narrow(memory, 0, 0, 6), sn_narrow(memory, 0, 1, 6));
    EXPECT_SAME(got, add_into(sn_narrow(twin, 0, 0, 6), sn_narrow(twin, 0, 1, 6)));
    EXPECT_SAME(memory, twin);
    assert_int_equal(counters_now().fallbacks, fallbacks + 1);
    int64_t hits = counters_now().guard_hits;
    fast(x, y);
    assert_int_equal(counters_now().guard_hits, hits + 1);
    sn_compiled_release(c);
}

/* ---- scalars as arguments -------------------------------------------------------------------- */

static sn_tensor *sum_of(sn_tensor *x, sn_tensor *y) {
    return sn_add(x, y);
}

/* They were made tensors of their own dtype, which counts more than a scalar's. */
static void a_scalar_argument_stays_weak(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(sum_of, "tt:t", NULL);
    Binary *fast = SN_FN(c, sum_of);
    sn_tensor *whole = tensor_of(SN_I32, SN_I(2), V(1, 2));
    sn_tensor *half = tensor_of(SN_F16, SN_I0, V(1));
    for (int i = 0; i < 4; i++) {
        EXPECT_SAME(fast(whole, sn_c(0.5 + i)), sum_of(whole, sn_c(0.5 + i)));
        EXPECT_SAME(fast(half, sn_c(0.25)), sum_of(half, sn_c(0.25)));
        EXPECT_SAME(fast(whole, sn_ci(i)), sum_of(whole, sn_ci(i)));
    }
    sn_compiled_release(c);
}

/* ---- random numbers -------------------------------------------------------------------------- */

static void uniform_halves_stay_below_one(void **state) {
    (void)state;
    sn_dtype halves[] = {SN_F16, SN_BF16};
    for (int i = 0; i < 2; i++) {
        sn_rng generator = {11, 0};
        sn_tensor *x = sn_rand(&generator, SN_I(40000), halves[i]);
        assert_true(sn_item(sn_max(x, SN_I0, false)) < 1);
        assert_true(sn_item(sn_min(x, SN_I0, false)) >= 0);
        double mean = sn_item(sn_mean(sn_cast(x, SN_F64), SN_I0, false));
        assert_true(mean > 0.49 && mean < 0.51);
    }
}

/* ---- what the oracle allows ------------------------------------------------------------------ */

/* A dense matrix as a value of the oracle. */
static void load(OracleTensor *to, sn_tensor *x) {
    int64_t dims[2] = {sn_size(x, 0), sn_size(x, 1)}, strides[2] = {dims[1], 1};
    assert_true(oracle_load(to, sn_dtype_of(x), 2, dims, strides, sn_map(x)));
}

/* Attention to three keys, of which two have these masks: is the result one that the oracle allows? True
 * if it would not allow any. */
static bool expect_attention(sn_dtype dtype, double first, double second) {
    sn_tensor *q = tensor_of(dtype, SN_I(1, 2), V(1, 2));
    sn_tensor *k = tensor_of(dtype, SN_I(3, 2), V(1, 0, 0, 1, 0.5, 0.25));
    sn_tensor *v = tensor_of(dtype, SN_I(3, 1), V(2, -1, 0.5));
    sn_tensor *mask = tensor_of(dtype, SN_I(1, 3), V(first, second, 0));
    sn_tensor *got = sn_scaled_dot_product_attention(q, k, v, mask, false, 0);
    EXPECT_OK();
    OracleTensor in[4] = {{0}}, want = {.dtype = dtype, .rank = 2, .dims = {1, 1}};
    AttrList attrs = {0};
    load(&in[0], q), load(&in[1], k), load(&in[2], v), load(&in[3], mask);
    attr_add_int(&attrs, 0);
    attr_add_double(&attrs, 0);
    assert_true(oracle_alloc(&want));
    assert_int_equal(oracle_apply(OP_ATTENTION, in, 4, 0, &attrs, &want), ORACLE_OK);
    if (!oracle_allows(&want, 0, sn_map(got)))
        fail_msg("%s, masks %g and %g: the oracle has %Lg, within %Lg", sn_dtype_name(dtype), first,
                 second, want.real[0], want.bound[0]);
    bool judged = want.bound[0] < 1;
    for (int i = 0; i < 4; i++) oracle_free(&in[i]);
    oracle_free(&want);
    return judged;
}

/* Scores are rounded behind the mask: a large number leaves nothing of a small difference, and the
 * softmax of what is left is far from the softmax of the exact scores. One that is far below the others
 * has no weight, however it is rounded. */
static void attention_rounds_its_scores_behind_the_mask(void **state) {
    (void)state;
    static const double masks[] = {
        0,    -0.0,  1e-45,  1e-38,   0.5,   -3,     1e4,     -1e4,     -6e4,      1e8,      -1e8,
        1e30, -1e30, 3.4e38, -3.4e38, 1e300, -1e300, 1.7e308, -1.7e308, -INFINITY, INFINITY, NAN};
    enum { COUNT = sizeof masks / sizeof *masks };
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    for (int d = 0; d < 4; d++) {
        int judged = 0;
        for (int i = 0; i < COUNT; i++)
            for (int j = 0; j < COUNT; j++)
                judged += expect_attention(dtypes[d], masks[i], masks[j]);
        assert_true(judged > COUNT * COUNT / 4);
    }
}

/* Long reductions in which order cannot matter are cut in blocks of any length: nothing is lost between. */
static void long_reductions_of_integers_take_every_element_once(void **state) {
    (void)state;
    for (int64_t n = 100000; n < 100020; n += 3) {
        sn_tensor *x = sn_remainder(sn_arange(0, (double)n, 1, SN_I64), sn_ci(101));
        int64_t sum = 0;
        for (int64_t i = 0; i < n; i++) sum += i % 101;
        EXPECT_VALUES(sn_sum(sn_cast(x, SN_U8), SN_I0, false), (double)sum);
        EXPECT_VALUES(sn_sum(sn_cast(x, SN_I8), SN_I0, false), (double)sum);
        EXPECT_VALUES(sn_sum(x, SN_I0, false), (double)sum);
        for (int64_t at = n - 3; at < n; at++) { /* among those left over */
            sn_tensor *spike = sn_clone(sn_cast(x, SN_F32));
            sn_copy_(sn_select(spike, 0, at), sn_c(1000));
            EXPECT_VALUES(sn_max(spike, SN_I0, false), 1000);
            EXPECT_VALUES(sn_min(sn_neg(spike), SN_I0, false), -1000);
            EXPECT_VALUES(sn_any(sn_gt(spike, sn_c(900)), SN_I0, false), 1);
        }
    }
}

static sn_tensor *histogram(sn_tensor *x) {
    sn_tensor *ones = sn_ones(SN_I(sn_count(x)), SN_I64);
    return sn_scatter_add(sn_zeros(SN_I(300), SN_I64), 0, sn_cast(x, SN_I64), ones);
}

/* Sums by index are shared by threads, and bytes are not checked against an axis that holds all of them. */
static void histograms_count_every_element_once(void **state) {
    (void)state;
    enum { COUNT = 150001 };
    double counts[300] = {0};
    for (int i = 0; i < COUNT; i++) counts[i % 255]++;
    sn_compiled *c = sn_compile(histogram, "t:t", NULL);
    sn_tensor *x = sn_remainder(sn_arange(0, COUNT, 1, SN_I64), sn_ci(255));
    for (int i = 0; i < 2; i++) {
        expect_values_at(histogram(x), counts, 300, __FILE__, __LINE__);
        expect_values_at(SN_FN(c, histogram)(x), counts, 300, __FILE__, __LINE__);
        x = sn_cast(x, SN_U8);
    }
    sn_compiled_release(c);
}

int main(void) {
    setting_set(SETTING_CACHE_DIR, "off"); /* a kernel on disk would not have to be compiled */
    const struct CMUnitTest tests[] = {
        API_TEST(a_scalar_argument_stays_weak),
        API_TEST(a_product_sees_written_memory_in_eagers_layout),
        API_TEST(a_batch_of_overlapping_matrices_is_multiplied),
        API_TEST(a_value_stored_in_an_argument_is_multiplied_as_it_was),
        API_TEST(the_first_error_wins_be_it_in_the_data),
        API_TEST(an_error_names_the_op_that_was_written),
        API_TEST(an_unused_lookup_is_checked_beside_a_reduction),
        API_TEST(an_eager_error_names_its_own_line),
        API_TEST(an_error_names_the_line_of_its_branch),
        API_TEST(a_fallback_names_the_line_once),
        API_TEST(what_is_written_behind_a_failing_op_is_not),
        API_TEST(an_error_at_a_host_read_is_not_looked_for_again),
        API_TEST(an_empty_lookup_checks_no_index),
        API_TEST(the_memory_of_an_empty_tensor_is_not_read),
        API_TEST(a_constant_of_a_loop_serves_behind_it),
        API_TEST(a_join_of_empty_parts_has_a_value),
        API_TEST(cross_entropy_needs_a_class),
        API_TEST(an_update_finds_its_base_in_memory),
        API_TEST(many_values_are_added_to_a_scalar),
        API_TEST(a_host_read_sees_writes_that_were_recorded),
        API_TEST(a_write_after_a_host_read_does_not_disturb_its_operands),
        API_TEST(overlapping_arguments_cost_only_their_own_call),
        API_TEST(uniform_halves_stay_below_one),
        API_TEST(attention_rounds_its_scores_behind_the_mask),
        API_TEST(long_reductions_of_integers_take_every_element_once),
        API_TEST(histograms_count_every_element_once),
    };
    return cmocka_run_group_tests_name("regressions", tests, NULL, NULL);
}
