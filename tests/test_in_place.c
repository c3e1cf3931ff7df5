/* Writes in place: a compiled function writes into its arguments what is written, and copies nothing of them
 * beside it; and where an op fails, they hold what eager leaves in them. */
#include "api_case.h"

#include "child.h"

enum { ROWS = 1024, WIDTH = 64, ROUNDS = 3, LOOKED_UP = 8 };
#define WHOLE ((int64_t)ROWS * WIDTH * (int64_t)sizeof(float))

/* `memory` is written, `row` and `indices` are read. */
#define ARGUMENTS sn_tensor *memory, sn_tensor *row, sn_tensor *indices
typedef sn_tensor *Function(ARGUMENTS);

#define LINE(x) sn_reshape(x, SN_I(1, WIDTH))

/* ---- small writes ---------------------------------------------------------------------------- */

static sn_tensor *beside_a_lookup(ARGUMENTS) {
    sn_tensor *found = sn_index_select(row, 0, indices);
    sn_copy_(sn_narrow(memory, 0, 3, 1), LINE(sn_mul(row, sn_c(2))));
    return sn_neg(found);
}
static sn_tensor *of_a_lookup(ARGUMENTS) {
    sn_tensor *found = sn_index_select(row, 0, indices);
    sn_copy_(sn_narrow(sn_select(memory, 0, 3), 0, 0, LOOKED_UP), sn_mul(found, sn_c(2)));
    return sn_neg(found);
}
static sn_tensor *between_lookups(ARGUMENTS) {
    sn_copy_(sn_select(memory, 0, 1), row);
    sn_tensor *first = sn_index_select(row, 0, indices);
    sn_copy_(sn_select(memory, 0, 2), sn_neg(row));
    sn_tensor *second = sn_index_select(sn_neg(row), 0, sn_add(indices, sn_ci(1)));
    sn_copy_(sn_select(memory, 0, 3), row);
    return sn_add(first, second);
}
static sn_tensor *by_narrow_indices(ARGUMENTS) {
    sn_tensor *found = sn_index_select(row, 0, sn_cast(indices, SN_I32));
    sn_copy_(sn_select(memory, 0, 3), sn_exp(row));
    return found;
}
static sn_tensor *by_computed_indices(ARGUMENTS) {
    sn_tensor *sums = sn_cumsum(indices, 0);
    sn_tensor *found = sn_index_select(
        row, 0, sn_sub(sums, sn_mul(sn_cumsum(sn_sub(indices, sn_ci(1)), 0), sn_ci(1))));
    sn_copy_(sn_narrow(sn_select(memory, 0, 3), 0, 0, LOOKED_UP), sn_mul(found, sn_c(2)));
    return found;
}
static sn_tensor *another_part_is_read(ARGUMENTS) {
    (void)indices;
    sn_tensor *y = sn_add(row, sn_mul(sn_select(memory, 0, 500), sn_c(0.5)));
    sn_copy_(sn_select(memory, 0, 0), y);
    return y;
}
static sn_tensor *found_in_itself(ARGUMENTS) {
    sn_tensor *y = sn_add(row, sn_embedding(memory, sn_narrow(indices, 0, 0, 1)));
    sn_copy_(sn_narrow(memory, 0, 0, 1), y);
    return y;
}
static sn_tensor *one_view_to_another(ARGUMENTS) {
    (void)indices;
    sn_copy_(sn_narrow(memory, 0, 0, 7), sn_narrow(memory, 0, 5, 7));
    return sn_neg(row);
}
static sn_tensor *rows_are_exchanged(ARGUMENTS) {
    (void)indices;
    sn_tensor *x = sn_clone(sn_select(memory, 0, 1)), *y = sn_clone(sn_select(memory, 0, 2));
    sn_copy_(sn_select(memory, 0, 1), y);
    sn_copy_(sn_select(memory, 0, 2), x);
    return sn_neg(row);
}
static sn_tensor *an_old_value_is_used_later(ARGUMENTS) {
    (void)indices;
    sn_tensor *old = sn_mul(sn_select(memory, 0, 5), sn_c(2));
    sn_copy_(sn_select(memory, 0, 5), row);
    return sn_add(old, sn_select(memory, 0, 5));
}
static sn_tensor *a_row_is_normalised(ARGUMENTS) {
    (void)indices;
    sn_tensor *part = sn_narrow(memory, 0, 7, 4);
    sn_copy_(part, sn_softmax(part, 1));
    return sn_neg(row);
}

static bool same_after(Function *compiled, Function *eager, sn_tensor *indices, sn_tensor **got) {
    sn_tensor *start = tensor_random(5, SN_F32, SN_I(ROWS, WIDTH));
    sn_tensor *row = tensor_random(6, SN_F32, SN_I(WIDTH));
    sn_tensor *x = sn_clone(start), *y = sn_clone(start);
    sn_tensor *want = eager(x, row, indices);
    sn_error refused = {.size = sizeof refused};
    sn_status status = sn_error_take(&refused);
    *got = compiled(y, row, indices);
    sn_error also = {.size = sizeof also};
    assert_int_equal(sn_error_take(&also), status);
    if (status == SN_OK) EXPECT_SAME(*got, want);
    EXPECT_SAME(y, x);
    return status == SN_OK;
}

static int64_t bytes_moved(sn_compiled *c) {
    sn_explanation e = {.size = sizeof e};
    assert_int_equal(sn_explain(c, &e), SN_OK);
    return e.bytes;
}

static void what_is_not_written_is_not_moved(void **state) {
    (void)state;
    Function *functions[] = {beside_a_lookup,     of_a_lookup,
                             between_lookups,     by_narrow_indices,
                             by_computed_indices, another_part_is_read,
                             found_in_itself,     one_view_to_another,
                             rows_are_exchanged,  an_old_value_is_used_later,
                             a_row_is_normalised};
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "ttt:t", NULL);
        Function *fast = (Function *)sn_compiled_fn(c);
        sn_tensor *indices = sn_arange(0, LOOKED_UP, 1, SN_I64), *got;
        for (int i = 0; i < ROUNDS; i++) assert_true(same_after(fast, functions[f], indices, &got));
        if (bytes_moved(c) > WHOLE / 4) fail_msg("function %zu moves %d", f, (int)bytes_moved(c));
        sn_compiled_release(c);
    }
}

/* ---- chains of views ------------------------------------------------------------------------- */

enum { LAYERS = 2, HEADS = 4, POSITIONS = 64 };

/* A row for each head is written to the cache, at `layer` and a position. */
#define STEP sn_tensor *cache, sn_tensor *rows, int64_t position
typedef sn_tensor *Step(STEP);
static const int64_t layer = 1;

static sn_tensor *wrote(sn_tensor *view, sn_tensor *rows) {
    sn_copy_(view, rows);
    return sn_sum(rows, SN_I0, false);
}
static sn_tensor *by_selects(STEP) {
    return wrote(sn_select(sn_select(cache, 0, layer), 1, position), rows);
}
static sn_tensor *by_selects_the_other_way(STEP) {
    return wrote(sn_select(sn_select(cache, 2, position), 0, layer), rows);
}
static sn_tensor *by_narrows(STEP) {
    sn_tensor *part = sn_narrow(sn_narrow(cache, 0, layer, 1), 2, position, 1);
    return wrote(part, sn_reshape(rows, SN_I(1, HEADS, 1, WIDTH)));
}
static sn_tensor *by_narrows_of_one_axis(STEP) {
    sn_tensor *part = sn_narrow(sn_narrow(cache, 2, position, 8), 2, 3, 2);
    return wrote(sn_select(sn_narrow(part, 2, 1, 1), 2, 0), sn_unsqueeze(rows, 0));
}
static sn_tensor *by_squeezes(STEP) {
    sn_tensor *part = sn_squeeze(sn_narrow(cache, 0, layer, 1), SN_I(0));
    return wrote(sn_squeeze(sn_narrow(sn_unsqueeze(part, 1), 2, position, 1), SN_I(1, 2)), rows);
}
static sn_tensor *by_indices(STEP) {
    sn_tensor *part = sn_index(cache, SN_IX(SN_AT(layer), SN_NEW, SN_ALL));
    return wrote(sn_index(part, SN_IX(SN_AT(0), SN_ALL, SN_AT(position))), rows);
}
static sn_tensor *by_steps(STEP) {
    sn_tensor *part = sn_index(cache, SN_IX(SN_AT(layer), SN_ALL, SN_STEP(position, SN_END, 3)));
    return wrote(sn_select(part, 1, 2), rows);
}
static sn_tensor *by_axes_that_change_places(STEP) {
    sn_tensor *part = sn_transpose(sn_select(cache, 0, layer), 0, 2);
    return wrote(sn_transpose(sn_select(part, 1, position), 0, 1), rows);
}
static sn_tensor *by_flips(STEP) {
    sn_tensor *part = sn_flip(sn_select(cache, 0, layer), SN_I(1));
    return wrote(sn_flip(sn_select(part, 1, position), SN_I(0)), rows);
}
static sn_tensor *layer_by_layer(STEP) {
    for (int64_t i = 0; i < LAYERS; i++)
        wrote(sn_select(sn_select(cache, 0, i), 1, position), rows);
    return sn_sum(sn_select(sn_select(cache, 0, layer), 1, position), SN_I0, false);
}

static void steps_move_slices(Step *function, const char *signature, sn_tensor *rows) {
    const int64_t slices = LAYERS * HEADS * WIDTH * (int64_t)sizeof(float);
    sn_compiled *c = sn_compile(function, signature, NULL);
    Step *fast = (Step *)sn_compiled_fn(c);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(LAYERS, HEADS, POSITIONS, WIDTH)),
              *y = sn_clone(x);
    for (int64_t at = 0; at < 7; at++) {
        EXPECT_SAME(fast(y, rows, at), function(x, rows, at));
        EXPECT_SAME(y, x);
        if (bytes_moved(c) > 3 * slices) fail_msg("%s: %d", signature, (int)bytes_moved(c));
    }
    sn_compiled_release(c);
}

static void of_a_chain_of_views_the_slice_is_written(void **state) {
    (void)state;
    Step *const functions[] = {by_selects,  by_selects_the_other_way,
                               by_narrows,  by_narrows_of_one_axis,
                               by_squeezes, by_indices,
                               by_steps,    by_axes_that_change_places,
                               by_flips,    layer_by_layer};
    sn_tensor *rows = tensor_random(2, SN_F32, SN_I(HEADS, WIDTH));
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        steps_move_slices(functions[i], "ttl:t", rows);
        steps_move_slices(functions[i], "ttl~:t", rows);
    }
}

/* What the next functions do follows from it. */
static unsigned drawn;

static int64_t draw(int64_t below) {
    return (int64_t)random_next(&drawn) % below;
}

/* Axis 0 as two. */
static sn_tensor *halves(sn_tensor *x) {
    int64_t dims[8] = {2, sn_size(x, 0) / 2};
    int32_t rank = sn_rank(x);
    for (int32_t i = 1; i < rank; i++) dims[i + 1] = sn_size(x, i);
    return sn_reshape(x, dims, rank + 1);
}

static sn_tensor *some_view(sn_tensor *x) {
    int32_t rank = sn_rank(x), axis = (int32_t)(rank ? draw(rank) : 0);
    int64_t size = rank ? sn_size(x, axis) : 0;
    int64_t first = size ? draw(size) : 0, step = 1 + draw(3);
    switch (rank ? draw(10) : 5) {
    case 0:
        return size ? sn_select(x, axis, first) : x;
    case 1:
        return sn_narrow(x, axis, first, size ? draw(size - first + 1) : 0);
    case 2:
        return sn_flip(x, SN_I(axis));
    case 3:
        return sn_transpose(x, axis, draw(rank));
    case 4:
        return sn_squeeze(x, SN_I(axis));
    case 5:
        return rank < 6 ? sn_unsqueeze(x, draw(rank + 1)) : x;
    case 6:
        return sn_index(x, SN_IX(SN_STEP(first, SN_END, step)));
    case 7:
        return rank < 6 ? sn_index(x, SN_IX(SN_STEP(SN_END, draw(2), -step), SN_NEW)) : x;
    case 8:
        return rank > 1 ? sn_diagonal(x, draw(3) - 1, 0, rank - 1) : x;
    default:
        return rank < 6 && sn_size(x, 0) % 2 == 0 ? halves(x) : x;
    }
}

static sn_tensor *writes_some_views(sn_tensor *x) {
    for (int64_t write = 0; write < 2; write++) {
        sn_tensor *view = x;
        for (int64_t n = 2 + draw(5); n > 0; n--) view = some_view(view);
        sn_add_(view, sn_exp(view));
    }
    return sn_neg(x);
}

static void writes_through_any_chain_are_those_of_eager(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        sn_compiled *c = sn_compile(writes_some_views, "t:t", NULL);
        sn_tensor *(*fast)(sn_tensor *) = SN_FN(c, writes_some_views);
        sn_tensor *x = tensor_random(3, SN_F32, SN_I(4, 3, 1, 6)), *y = sn_clone(x);
        drawn = seed;
        sn_tensor *want = writes_some_views(x);
        EXPECT_OK();
        drawn = seed;
        EXPECT_SAME(fast(y), want);
        EXPECT_SAME(y, x);
        sn_compiled_release(c);
    }
}

/* ---- failures -------------------------------------------------------------------------------- */

static void writes_behind_an_op_that_fails_are_left_out(void **state) {
    (void)state;
    Function *functions[] = {beside_a_lookup, of_a_lookup, between_lookups, by_narrow_indices,
                             by_computed_indices};
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "ttt:t", NULL);
        Function *fast = (Function *)sn_compiled_fn(c);
        for (int64_t start = 0; start < 3; start++) {
            /* the last index, and then the last but one, is out of range */
            int64_t first = start ? WIDTH - LOOKED_UP + start - 1 : 0;
            sn_tensor *indices = sn_arange((double)first, (double)(first + LOOKED_UP), 1, SN_I64);
            sn_tensor *got;
            same_after(fast, functions[f], indices, &got);
            same_after(fast, functions[f], sn_arange(0, LOOKED_UP, 1, SN_I64), &got);
        }
        sn_compiled_release(c);
    }
}

/* ---- writes by index ------------------------------------------------------------------------- */

static bool apart; /* by an op that is not in place, of copies */

static sn_tensor *put(sn_tensor *x, sn_tensor *at, sn_tensor *source) {
    return apart ? sn_copy_(x, sn_index_copy(x, 0, at, sn_clone(source)))
                 : sn_index_copy_(x, 0, at, source);
}
static sn_tensor *add(sn_tensor *x, sn_tensor *at, sn_tensor *source) {
    return apart ? sn_copy_(x, sn_scatter_add(x, 0, at, sn_clone(source)))
                 : sn_scatter_add_(x, 0, at, source);
}

static sn_tensor *puts_rows(ARGUMENTS) {
    return put(memory, indices, sn_expand(LINE(row), SN_I(LOOKED_UP, WIDTH)));
}
static sn_tensor *puts_in_a_view(ARGUMENTS) {
    return put(sn_select(memory, 0, 3), indices, sn_narrow(row, 0, 0, LOOKED_UP));
}
static sn_tensor *adds_by_index(ARGUMENTS) {
    return add(sn_select(memory, 0, 7), indices, sn_narrow(row, 0, 0, LOOKED_UP));
}
static sn_tensor *adds_itself(ARGUMENTS) {
    sn_tensor *part = sn_narrow(sn_select(memory, 0, 1), 0, 0, LOOKED_UP);
    (void)row;
    return add(part, sn_remainder(indices, sn_ci(3)), part);
}
static sn_tensor *shifts_itself(ARGUMENTS) {
    sn_tensor *part = sn_narrow(memory, 0, 0, LOOKED_UP);
    (void)row;
    return put(part, sn_remainder(sn_add(indices, sn_ci(1)), sn_ci(LOOKED_UP)), part);
}
static sn_tensor *puts_what_is_beside(ARGUMENTS) {
    sn_tensor *beside = sn_narrow(memory, 0, 0, LOOKED_UP);
    (void)row;
    return put(sn_narrow(memory, 0, 1, ROWS - 1), indices, beside);
}

static void what_is_written_by_index_is_what_its_op_gives(void **state) {
    (void)state;
    Function *functions[] = {puts_rows,   puts_in_a_view, adds_by_index,
                             adds_itself, shifts_itself,  puts_what_is_beside};
    sn_tensor *indices = sn_arange(0, LOOKED_UP, 1, SN_I64), *got;
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_tensor *x = tensor_random(5, SN_F32, SN_I(ROWS, WIDTH)), *y = sn_clone(x);
        sn_tensor *row = tensor_random(6, SN_F32, SN_I(WIDTH));
        int64_t before = sn_memory().live_bytes;
        sn_memory_reset_peak();
        assert_non_null(functions[f](x, row, indices));
        if (sn_memory().peak_bytes - before > WHOLE / 4) fail_msg("function %zu copies", f);
        apart = true;
        assert_non_null(functions[f](y, row, indices));
        apart = false;
        EXPECT_SAME(x, y);
        sn_compiled *c = sn_compile(functions[f], "ttt:t", NULL);
        Function *fast = (Function *)sn_compiled_fn(c);
        for (int i = 0; i < ROUNDS; i++) assert_true(same_after(fast, functions[f], indices, &got));
        bool moves_slices = functions[f] != puts_what_is_beside; /* of which the target is copied */
        if (moves_slices && bytes_moved(c) > WHOLE / 4)
            fail_msg("function %zu moves %d", f, (int)bytes_moved(c));
        sn_compiled_release(c);
    }
}

static sn_tensor *overwrites(sn_tensor *x, sn_tensor *at, sn_tensor *rows) {
    sn_index_copy_(x, 0, at, rows);
    return sn_fill_(x, 2);
}

/* Whether or not what was to be written is written over, and whichever form of the op it is. */
static void an_index_is_looked_at_where_something_is_written(void **state) {
    (void)state;
    static const char text[] = "index_copy: index[0] is 7, out of range for an axis of size 3";
    sn_tensor *at = sn_full(SN_I(1), 7, SN_I64);
    sn_compiled *c = sn_compile(overwrites, "ttt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *) = SN_FN(c, overwrites);
    for (int64_t width = 0; width < 3; width++) {
        sn_tensor *x = sn_zeros(SN_I(3, width), SN_F32), *rows = sn_ones(SN_I(1, width), SN_F32);
        for (int call = 0; call < 4; call++) {
            sn_tensor *y = call == 0   ? overwrites(x, at, rows)
                           : call == 1 ? sn_index_copy_(x, 0, at, rows)
                           : call == 2 ? sn_index_copy(x, 0, at, rows)
                                       : fast(x, at, rows);
            if (width == 0)
                assert_non_null(y);
            else
                EXPECT_ERROR(SN_ERROR_INDEX, text);
        }
    }
    sn_compiled_release(c);
}

/* ---- training -------------------------------------------------------------------------------- */

static sn_tensor *train(sn_tensor *x, sn_tensor *labels, sn_tensor *w, sn_tensor *b) {
    sn_tensor *logits = sn_add(sn_matmul(x, w), b);
    sn_tensor *wrong = sn_sub(sn_softmax(logits, 1), sn_one_hot(labels, WIDTH));
    sn_sub_(w, sn_mul(sn_matmul(sn_transpose(x, 0, 1), wrong), sn_c(0.125)));
    sn_sub_(b, sn_mul(sn_sum(wrong, SN_I(0), false), sn_c(0.125)));
    return sn_cross_entropy(logits, labels, SN_REDUCTION_MEAN);
}

static void a_training_step_copies_nothing(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(train, "tttt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *, sn_tensor *) = SN_FN(c, train);
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(16, 256));
    sn_tensor *labels = sn_arange(0, 16, 1, SN_I64);
    sn_tensor *w = tensor_random(2, SN_F32, SN_I(256, WIDTH)), *v = sn_clone(w);
    sn_tensor *b = tensor_random(3, SN_F32, SN_I(WIDTH)), *a = sn_clone(b);
    for (int i = 0; i < ROUNDS; i++) EXPECT_SAME(fast(x, labels, w, b), train(x, labels, v, a));
    EXPECT_SAME(w, v);
    EXPECT_SAME(b, a);
    char *program = sn_dump(c, "program", NULL);
    assert_non_null(program);
    assert_null(strstr(program, "copy"));
    sn_text_free(program);
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(what_is_not_written_is_not_moved),
        API_TEST(of_a_chain_of_views_the_slice_is_written),
        API_TEST(writes_through_any_chain_are_those_of_eager),
        API_TEST(writes_behind_an_op_that_fails_are_left_out),
        API_TEST(what_is_written_by_index_is_what_its_op_gives),
        API_TEST(an_index_is_looked_at_where_something_is_written),
        API_TEST(a_training_step_copies_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
