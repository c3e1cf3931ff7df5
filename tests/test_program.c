/* The numbers of a program for other sizes: what follows from them, and sizes of which no program can
 * be. */
#include "ir/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { BUFFERS = 9 };

/* `count` buffers of n * n elements each, all alive at once, and a launch over n * n points. */
typedef struct Fixture {
    DimTable table;       /* of n */
    Dim n;                /* the symbol */
    Program program;      /* the buffers */
    int64_t values[8];    /* by expression */
    int64_t numbers[512]; /* of the program */
} Fixture;

static void fixture_open(Fixture *f, BufferKind kind, uint32_t count) {
    dims_init(&f->table);
    f->n = dim_symbol(&f->table, "n", 4, 0, INT64_MAX);
    Dim square = dim_mul(&f->table, f->n, f->n);
    program_init(&f->program);
    f->program.threads = 2;
    for (uint32_t i = 0; i < count; i++) {
        Buffer buffer = {.kind = (uint8_t)kind, .dtype = SN_F32, .number = (int32_t)i};
        buffer.elements = program_sizes(&f->program, &f->table, &square, 1);
        buffer.offset = program_zeros(&f->program, 1);
        assert_true(vec_push(&f->program.buffers, buffer));
    }
}

static sn_status bind(Fixture *f, int64_t n, sn_error *error) {
    assert_true(dims_evaluate(&f->table, &n, f->values)); /* n * n is a number yet */
    assert_true(f->program.numbers.count <= 512);
    *error = (sn_error){0};
    return program_bind(&f->program, f->values, NULL, f->numbers, error);
}

static void fixture_close(Fixture *f) {
    program_free(&f->program);
    dims_free(&f->table);
}

static void temporaries_are_placed_for_the_sizes_of_a_call(void **state) {
    (void)state;
    Fixture f;
    sn_error error;
    fixture_open(&f, BUFFER_TEMP, BUFFERS);
    assert_int_equal(bind(&f, 16, &error), SN_OK);
    assert_int_equal(f.numbers[PROGRAM_TEMP_BYTES], BUFFERS * (16 * 16 * 4 + 64));
    assert_int_equal(f.numbers[PROGRAM_PEAK_BYTES], f.numbers[PROGRAM_TEMP_BYTES]);
    fixture_close(&f);
}

/* 2^31 squared is a number, its bytes are 2^64; of 2^29.5 squared eight sum up to that. */
static void sizes_whose_bytes_are_no_number_are_refused(void **state) {
    (void)state;
    static const BufferKind kinds[] = {BUFFER_TEMP, BUFFER_OUTPUT};
    static const int64_t sizes[] = {(int64_t)1 << 31, 3037000499, 759250125, 1 << 30};
    for (int32_t i = 0; i < 8; i++) {
        Fixture f;
        sn_error error;
        fixture_open(&f, kinds[i % 2], BUFFERS);
        assert_int_equal(bind(&f, 4, &error), SN_OK);
        assert_int_equal(bind(&f, sizes[i / 2], &error), SN_ERROR_MEMORY);
        assert_string_equal(error.text, "values between the ops are too large");
        assert_int_equal(bind(&f, 5, &error), SN_OK);
        fixture_close(&f);
    }
}

/* A launch over n * n * 4 points, with a row buffer of n elements of each thread. */
static void add_launch(Fixture *f, bool has_row) {
    Step step = {0};
    const Dim words[] = {[KPARAM_RANK] = {3}, [KPARAM_SIZES] = f->n, f->n, dim_of(4)};
    Launch *launch = &step.launch;
    launch->params = program_sizes(&f->program, &f->table, words, KPARAM_SIZES + 3);
    program_zeros(&f->program, KPARAM_STRIDES);
    launch->b_param = -1;
    launch->k = program_sizes(&f->program, &f->table, &f->n, 1);
    launch->items = program_zeros(&f->program, 1);
    launch->streams = program_zeros(&f->program, 1);
    step.costs = program_zeros(&f->program, STEP_COSTS);
    if (has_row) assert_true(vec_push(&launch->locals, SN_F64));
    assert_true(vec_push(&f->program.steps, step));
}

static void launches_of_more_points_than_a_number_are_refused(void **state) {
    (void)state;
    Fixture f;
    sn_error error;
    fixture_open(&f, BUFFER_TEMP, 0);
    add_launch(&f, false);
    assert_int_equal(bind(&f, 10, &error), SN_OK);
    assert_int_equal(f.numbers[f.program.steps.data[0].launch.items], 400);
    assert_int_equal(bind(&f, (int64_t)1 << 31, &error), SN_ERROR_MEMORY);
    fixture_close(&f);
}

static void rows_too_long_for_a_thread_are_refused(void **state) {
    (void)state;
    Fixture f;
    sn_error error;
    dims_init(&f.table);
    f.n = dim_symbol(&f.table, "n", 4, 0, INT64_MAX);
    program_init(&f.program);
    add_launch(&f, true);
    f.program.numbers.data[f.program.steps.data[0].launch.params + KPARAM_RANK] = 0;
    assert_int_equal(bind(&f, 10, &error), SN_OK);
    assert_int_equal(f.numbers[PROGRAM_SCRATCH_BYTES], 128 + 64);
    assert_int_equal(bind(&f, (int64_t)1 << 60, &error), SN_ERROR_MEMORY);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(temporaries_are_placed_for_the_sizes_of_a_call),
        cmocka_unit_test(sizes_whose_bytes_are_no_number_are_refused),
        cmocka_unit_test(launches_of_more_points_than_a_number_are_refused),
        cmocka_unit_test(rows_too_long_for_a_thread_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
