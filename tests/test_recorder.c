/* The thread's recorder (frontend/tensor/recorder.h): whoever it is, all that a program does goes by its
 * table. This one notes what came, and has the ops run at once. */
#include "tests/api_case.h"

#include "frontend/op/eager.h"

/* A recorder that counts. */
typedef struct Counting {
    Recorder recorder; /* first, so that it is this */
    int32_t ops;       /* of each slot, how often it was called */
    int32_t views;
    int32_t inplace;
    int32_t looks;
    int32_t kept; /* references kept, by their sign */
    int32_t reads;
    int32_t calls;
} Counting;

static Counting *counting(Recorder *recorder) {
    return (Counting *)(void *)recorder;
}

static sn_tensor *count_op(Recorder *recorder, const OpCall *call) {
    counting(recorder)->ops++;
    return eager_op(NULL, call);
}

static sn_tensor *count_view(Recorder *recorder, const OpCall *call) {
    counting(recorder)->views++;
    return eager_view(NULL, call);
}

static sn_tensor *count_inplace(Recorder *recorder, const OpCall *call) {
    counting(recorder)->inplace++;
    return eager_inplace(NULL, call);
}

static void count_look(Recorder *recorder, const sn_tensor *tensor) {
    (void)tensor;
    counting(recorder)->looks++;
}

static void count_keep(Recorder *recorder, const sn_tensor *tensor, int32_t references) {
    (void)tensor;
    counting(recorder)->kept += references;
}

static bool count_read(Recorder *recorder, const sn_tensor *tensor, bool writes, const char *op,
                       Site site) {
    (void)tensor, (void)writes, (void)op, (void)site;
    counting(recorder)->reads++;
    return true;
}

/* A compiled function is to this recorder what it returns: its argument. */
static sn_status count_call(Recorder *recorder, sn_compiled *callee, const sn_value *values,
                            sn_tensor **outputs, bool owned) {
    (void)callee;
    counting(recorder)->calls++;
    outputs[0] = owned ? sn_retain(values[0].as.tensor) : values[0].as.tensor;
    return SN_OK;
}

static void pop(Recorder *recorder) {
    thread_state()->recorder = recorder->outer;
}

static const RecorderTable counting_table = {
    .ops = {.op = count_op, .view = count_view, .inplace = count_inplace},
    .look = count_look,
    .keep = count_keep,
    .read = count_read,
    .call = count_call,
    .abandon = pop};

static Counting begin(void) {
    return (Counting){.recorder = {.table = &counting_table}};
}

static sn_tensor *twice(sn_tensor *x) {
    return sn_add(x, x);
}

static void ops_and_what_is_seen_of_tensors_go_to_the_recorder(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(1, 2), V(1, 2));
    Counting c = begin();
    thread_state()->recorder = &c.recorder;
    sn_tensor *y = sn_reshape(sn_add(x, x), SN_I(2));
    sn_add_(y, y);
    assert_int_equal(sn_rank(y), 1);
    sn_release(sn_retain(y));
    sn_retain(y);
    float values[2];
    assert_true(sn_read(y, SN_F32, values, sizeof values));
    pop(&c.recorder);
    sn_release(y);
    assert_true(values[0] == 4 && values[1] == 8);
    assert_int_equal(c.ops, 1);
    assert_int_equal(c.views, 1);
    assert_int_equal(c.inplace, 1);
    assert_int_equal(c.looks, 2); /* sn_rank and sn_read */
    assert_int_equal(c.kept, 1);
    assert_int_equal(c.reads, 1);
}

static void what_becomes_of_a_compiled_function_is_the_recorders_to_say(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(3));
    sn_compiled *compiled = sn_compile(twice, "t:t", NULL);
    sn_tensor *(*fast)(sn_tensor *) = SN_FN(compiled, twice);
    Counting c = begin();
    thread_state()->recorder = &c.recorder;
    sn_tensor *y = fast(x);
    pop(&c.recorder);
    assert_ptr_equal(y, x);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.ops, 0);
    EXPECT_VALUES(fast(x), 6); /* without one it runs */
    assert_int_equal(c.calls, 1);
    sn_compiled_release(compiled);
}

static void unwinding_abandons_recorders_that_began_since(void **state) {
    (void)state;
    Counting outer = begin(), inner = begin();
    thread_state()->recorder = &outer.recorder;
    sn_mark_t mark = sn_mark();
    inner.recorder.outer = &outer.recorder;
    thread_state()->recorder = &inner.recorder;
    sn_unwind(mark);
    assert_ptr_equal(thread_state()->recorder, &outer.recorder);
    pop(&outer.recorder);
    assert_null(thread_state()->recorder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(ops_and_what_is_seen_of_tensors_go_to_the_recorder),
        API_TEST(what_becomes_of_a_compiled_function_is_the_recorders_to_say),
        API_TEST(unwinding_abandons_recorders_that_began_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
