/* What a program holds by address and hands to the library: tensors and compiled functions that are gone,
 * or never were. Such a name is told so in words, in every build, whatever took the memory since. */
#include "api_case.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static sn_tensor *negated(sn_tensor *x) {
    return sn_neg(x);
}

static sn_tensor *raised(sn_tensor *x) {
    return sn_exp(x);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static void make_and_drop(int count) {
    for (int i = 0; i < count; i++) {
        sn_scope scope = sn_scope_begin();
        assert_non_null(sn_full(SN_I(2), 99, SN_F32));
        sn_scope_end(scope, NULL);
    }
}

static void a_stale_tensor_is_told_whoever_took_its_place(void **state) {
    (void)state;
    static const int counts[] = {0, 1, 2, 3, 63, 64, 65, 66, 127, 128, 129, 500, 1000, 2047};
    sn_compiled *c = sn_compile(negated, "t:t", NULL);
    assert_non_null(SN_FN(c, negated)(tensor_of(SN_F32, SN_I(2), V(1, 2))));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *stale = tensor_of(SN_F32, SN_I(2), V(1, 2));
        sn_scope_end(scope, NULL);
        make_and_drop(counts[i]);
        sn_tensor *other = sn_full(SN_I(2), 99, SN_F32); /* alive */
        assert_null(sn_neg(stale));
        EXPECT_ERROR(SN_ERROR_HANDLE, "neg: x was released already, or is no tensor");
        assert_null(SN_FN(c, negated)(stale));
        EXPECT_ERROR(SN_ERROR_HANDLE, "negated, compiled at", "argument 1 was released already");
        assert_int_equal(sn_size(stale, 0), 0);
        EXPECT_ERROR(SN_ERROR_HANDLE, "size: tensor was released already");
        sn_release(stale);
        EXPECT_ERROR(SN_ERROR_HANDLE, "release: tensor was released already");
        EXPECT_VALUES(other, 99, 99);
    }
    sn_compiled_release(c);
}

/* An argument of a C function of its own: the compiler lets it pass with a warning. */
static sn_tensor *number(intptr_t value) {
    return (sn_tensor *)value;
}

static void an_integer_is_no_tensor_and_is_told_the_cure(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    assert_null(sn_mul(x, number(2)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "mul: y is the integer 2: write sn_ci(2)", "test_names.c:");
    assert_null(sn_mul(number(1), x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "mul: x is the integer 1: write sn_ci(1)");
    assert_null(sn_sub(x, number(-3)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "sub: y is the integer -3: write sn_ci(-3)");
    assert_null(sn_add(x, number(65535)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "add: y is the integer 65535");
    assert_null(sn_cat((sn_tensor *[]){x, number(5)}, 2, 0));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "is the integer 5");
    sn_release(number(7));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "release: tensor is the integer 7");
    assert_null(sn_retain(number(7)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "retain: tensor is the integer 7");
    assert_int_equal(sn_rank(number(9)), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "rank: tensor is the integer 9");
    sn_compiled *c = sn_compile(negated, "t:t", NULL);
    assert_null(SN_FN(c, negated)(number(4)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "negated, compiled at",
                 "argument 1 is the integer 4: write sn_ci(4)");
    sn_compiled_release(c);
}

/* ---- compiled functions ---------------------------------------------------------------------- */

static void a_compiled_function_is_released_once(void **state) {
    (void)state;
    for (int released = 0; released < 40; released++) {
        sn_compiled *first = sn_compile(negated, "t:t", NULL);
        sn_compiled_release(first);
        sn_compiled_release(first);
        EXPECT_ERROR(SN_ERROR_HANDLE,
                     "compiled_release: the compiled function was released already");
        sn_compiled *x = sn_compile(negated, "t:t", NULL), *y = sn_compile(raised, "t:t", NULL);
        assert_ptr_not_equal(x, y);
        sn_compiled_release(first); /* neither is meant */
        EXPECT_ERROR(SN_ERROR_HANDLE, "compiled_release");
        EXPECT_VALUES(SN_FN(x, negated)(tensor_of(SN_F32, SN_I(1), V(3))), -3);
        EXPECT_VALUES(SN_FN(y, raised)(tensor_of(SN_F32, SN_I(1), V(0))), 1);
        sn_compiled_release(x);
        sn_compiled_release(y);
    }
}

static void a_stale_compiled_function_is_refused_everywhere(void **state) {
    (void)state;
    sn_compiled *stale = sn_compile(negated, "t:t", NULL);
    sn_compiled_release(stale);
    sn_compiled *taker = sn_compile(negated, "t:t", NULL);
    assert_null(sn_compiled_fn(stale));
    EXPECT_ERROR(SN_ERROR_HANDLE, "compiled_fn: the compiled function was released already");
    sn_set_stance(stale, SN_STANCE_EAGER);
    EXPECT_ERROR(SN_ERROR_HANDLE, "set_stance: the compiled function was released already");
    sn_error error = {.size = sizeof error};
    assert_null(sn_dump(stale, "graph", &error));
    assert_int_equal(error.status, SN_ERROR_HANDLE);
    sn_explanation explanation = {.size = sizeof explanation};
    assert_int_equal(sn_explain(stale, &explanation), SN_ERROR_HANDLE);
    assert_null(sn_explain_text(stale));
    assert_true(sn_kernel_seconds(stale, NULL, 0, 1) < 0);
    sn_value value = {.kind = SN_VALUE_TENSOR, .as.tensor = tensor_of(SN_F32, SN_I(1), V(1))};
    sn_tensor *out;
    assert_int_equal(sn_call(stale, &value, 1, &out, 1, NULL, NULL, &error), SN_ERROR_HANDLE);
    assert_int_equal(sn_set_stance(taker, SN_STANCE_DEFAULT), SN_STANCE_DEFAULT);
    sn_compiled_release(taker);
}

static sn_compiled *in_flight;

static sn_tensor *releases_itself(sn_tensor *x) {
    sn_compiled_release(in_flight);
    for (int i = 0; i < 20; i++) /* whoever takes the memory */
        sn_compiled_release(sn_compile(raised, "t:t", NULL));
    return sn_neg(x);
}

static void a_call_in_flight_ends_on_a_whole_handle(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(3)), *y = NULL;
    in_flight = sn_compile(releases_itself, "t:t", NULL);
    EXPECT_VALUES(SN_FN(in_flight, releases_itself)(x), -3);
    in_flight = sn_compile(releases_itself, "t:t", NULL);
    sn_value value = {.kind = SN_VALUE_TENSOR, .as.tensor = x};
    int32_t n = 0;
    assert_int_equal(sn_call(in_flight, &value, 1, &y, 1, &n, NULL, NULL), SN_OK);
    assert_int_equal(n, 1);
    EXPECT_VALUES(y, -3);
    sn_release(y);
}

/* ---- files, graphs --------------------------------------------------------------------------- */

static void a_file_is_closed_once(void **state) {
    (void)state;
    char path[] = "/tmp/sinter_names_XXXXXX";
    const char *name = "x";
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(1));
    close(mkstemp(path));
    assert_true(sn_safetensors_save(path, &name, &x, 1));
    sn_safetensors *stale = sn_safetensors_open(path);
    sn_safetensors_close(stale);
    sn_safetensors *other = sn_safetensors_open(path);
    sn_safetensors_close(stale);
    EXPECT_ERROR(SN_ERROR_HANDLE, "safetensors_close: file was closed already");
    assert_null(sn_safetensors_get(stale, "x"));
    EXPECT_ERROR(SN_ERROR_HANDLE, "safetensors_get: file was closed already");
    assert_int_equal(sn_safetensors_count(stale), 0);
    EXPECT_ERROR(SN_ERROR_HANDLE, "safetensors_count");
    assert_null(sn_safetensors_name(stale, 0));
    EXPECT_ERROR(SN_ERROR_HANDLE, "safetensors_name");
    EXPECT_VALUES(sn_safetensors_get(other, "x"), 1);
    sn_safetensors_close(other);
    unlink(path);
}

static void a_graph_is_freed_once(void **state) {
    (void)state;
    static const char text[] = "graph g(%0: f32[2]) {\n  %1 = exp %0 : f32[2]\n  return %1\n}\n";
    sn_error error = {.size = sizeof error};
    sn_graph *stale = sn_graph_parse(text, sizeof text - 1, &error);
    assert_non_null(stale);
    sn_graph_free(stale);
    sn_graph *other = sn_graph_parse(text, sizeof text - 1, &error);
    sn_graph_free(stale);
    EXPECT_ERROR(SN_ERROR_HANDLE, "graph_free: the graph was freed already");
    assert_null(sn_graph_dump(stale, "graph", &error));
    assert_int_equal(error.status, SN_ERROR_HANDLE);
    assert_int_equal(sn_graph_run(stale, NULL, 0, NULL, 0, NULL, &error), SN_ERROR_HANDLE);
    assert_null(sn_graph_print(stale));
    char *dump = sn_graph_dump(other, "graph", &error);
    assert_non_null(dump);
    sn_text_free(dump);
    sn_graph_free(other);
}

/* ---- payloads -------------------------------------------------------------------------------- */

typedef struct Payload {
    pthread_t destroyed_by; /* where destroyed */
    _Atomic int destroyed;  /* how often */
} Payload;

static sn_status long_function(void *payload, const sn_value *inputs, int32_t n_inputs,
                               sn_outputs *outputs) {
    (void)payload, (void)n_inputs;
    sn_tensor *y = inputs[0].as.tensor;
    for (int i = 0; i < 300; i++) y = sn_add(sn_sin(y), sn_sum(y, SN_I(0), true));
    outputs->tensors[0] = y;
    outputs->count = 1;
    return SN_OK;
}

static void note_destroy(void *context) {
    Payload *payload = context;
    payload->destroyed_by = pthread_self();
    payload->destroyed++;
}

/* A job in the background needs no payload: it goes with the release, on the thread that releases. */
static void a_payload_does_not_wait_for_the_background(void **state) {
    (void)state;
    Payload payload = {.destroyed = 0};
    sn_compile_options options = {.stance = SN_STANCE_ASYNC};
    sn_compiled *c =
        sn_compile_payload(long_function, &payload, note_destroy, "long", "t:t", &options, NULL);
    sn_value value = {.kind = SN_VALUE_TENSOR, .as.tensor = tensor_of(SN_F32, SN_I(3), V(1, 2, 3))};
    sn_tensor *y;
    assert_int_equal(sn_call(c, &value, 1, &y, 1, NULL, NULL, NULL), SN_OK);
    sn_release(y);
    assert_int_equal(payload.destroyed, 0);
    sn_compiled_release(c);
    assert_int_equal(payload.destroyed, 1);
    assert_true(pthread_equal(payload.destroyed_by, pthread_self()));
    sn_compile_wait();
    assert_int_equal(payload.destroyed, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(a_stale_tensor_is_told_whoever_took_its_place),
        API_TEST(an_integer_is_no_tensor_and_is_told_the_cure),
        API_TEST(a_compiled_function_is_released_once),
        API_TEST(a_stale_compiled_function_is_refused_everywhere),
        API_TEST(a_call_in_flight_ends_on_a_whole_handle),
        API_TEST(a_file_is_closed_once),
        API_TEST(a_graph_is_freed_once),
        API_TEST(a_payload_does_not_wait_for_the_background),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
