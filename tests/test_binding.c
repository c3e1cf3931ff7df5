/* What bindings rely on (sinter/binding.h): who owns what a payload function hands over, numbers as
 * operands, structs of other versions, and an error of the thread that is left alone. */
#include "api_case.h"

#include <sinter/binding.h>

enum { CALLS = 8 };

static const sn_stance stances[] = {SN_STANCE_DEFAULT, SN_STANCE_EAGER};

static sn_value of(sn_tensor *tensor) {
    return (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = tensor};
}

static sn_value of_number(double real) {
    return (sn_value){.kind = SN_VALUE_FLOAT, .as.real = real};
}

/* An op of a binding: an owned reference. */
static sn_tensor *apply2(int32_t op, sn_value x, sn_value y) {
    sn_tensor *out = NULL;
    assert_int_equal(sn_apply(op, (sn_value[]){x, y}, 2, &out, 1, NULL, NULL, NULL), SN_OK);
    return out;
}

/* ---- results --------------------------------------------------------------------------------- */

/* What a function does with its results, and how often it ran. */
typedef struct Closure {
    sn_tensor *weight; /* kept by the binding */
    int32_t runs;      /* of the function */
    int32_t count;     /* outputs.count; -1: it is left alone */
} Closure;

static sn_status hands_over(void *payload, const sn_value *inputs, int32_t n_inputs,
                            sn_outputs *outputs) {
    ((Closure *)payload)->runs++;
    assert_int_equal(n_inputs, 1);
    sn_tensor *twice = apply2(SN_OP_ADD, inputs[0], inputs[0]);
    outputs->tensors[0] = apply2(SN_OP_MUL, of(twice), of_number(3));
    outputs->tensors[1] = sn_retain(twice);
    outputs->count = 2;
    sn_release(twice);
    return SN_OK;
}

/* Calls and returns the function's results in `got`. */
static void call2(sn_compiled *c, sn_tensor *x, sn_tensor **got) {
    sn_value value = of(x);
    int32_t n = 0;
    sn_error error = {.size = sizeof error};
    if (sn_call(c, &value, 1, got, 2, &n, NULL, &error) != SN_OK) fail_msg("%s", error.text);
    assert_int_equal(n, 2);
}

static void owned_results_are_the_calls(void **state) {
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        Closure closure = {.count = -1};
        sn_compile_options options = {.stance = stances[s]};
        sn_compiled *c =
            sn_compile_payload(hands_over, &closure, NULL, "f", "t:tt", &options, NULL);
        sn_tensor *x = sn_retain(tensor_of(SN_F32, SN_I(2), V(1, 2)));
        int64_t live = sn_memory().live_bytes;
        for (int i = 0; i < CALLS; i++) {
            sn_tensor *got[2];
            call2(c, x, got);
            EXPECT_VALUES(got[0], 6, 12);
            EXPECT_VALUES(got[1], 2, 4);
            sn_release(got[0]);
            sn_release(got[1]);
            EXPECT_OK();
        }
        assert_int_equal(sn_memory().live_bytes, live);
        assert_int_equal(closure.runs, stances[s] == SN_STANCE_EAGER ? CALLS : 2); /* guarded */
        sn_release(x);
        EXPECT_OK();
        sn_compiled_release(c);
    }
}

static sn_status gives_back(void *payload, const sn_value *inputs, int32_t n_inputs,
                            sn_outputs *outputs) {
    Closure *closure = payload;
    (void)n_inputs;
    closure->runs++;
    outputs->tensors[0] = inputs[0].as.tensor; /* as it is */
    outputs->tensors[1] = sn_retain(closure->runs % 2 ? closure->weight : inputs[0].as.tensor);
    return SN_OK;
}

static void arguments_and_weights_stay_their_owners(void **state) {
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        Closure closure = {.weight = sn_retain(tensor_of(SN_F32, SN_I(1), V(7)))};
        sn_compile_options options = {.stance = stances[s], .rerun = SN_RERUN_ALWAYS};
        sn_compiled *c =
            sn_compile_payload(gives_back, &closure, NULL, "f", "t:tt", &options, NULL);
        sn_tensor *x = sn_retain(sn_retain(tensor_of(SN_F32, SN_I(1), V(5))));
        int64_t live = sn_memory().live_bytes;
        for (int i = 0; i < CALLS; i++) {
            sn_tensor *got[2];
            call2(c, x, got);
            EXPECT_VALUES(got[0], 5);
            EXPECT_VALUES(got[1], i % 2 ? 5 : 7);
            sn_release(got[0]);
            sn_release(got[1]);
            EXPECT_OK();
        }
        assert_int_equal(sn_memory().live_bytes, live);
        sn_release(x);
        sn_release(x);
        sn_release(closure.weight);
        EXPECT_OK(); /* the references were all there */
        sn_compiled_release(c);
    }
}

static sn_status counts(void *payload, const sn_value *inputs, int32_t n_inputs,
                        sn_outputs *outputs) {
    Closure *closure = payload;
    (void)n_inputs;
    outputs->tensors[0] = inputs[0].as.tensor;
    outputs->tensors[1] = inputs[0].as.tensor;
    if (closure->count >= 0) outputs->count = closure->count;
    return SN_OK;
}

static void the_count_of_outputs_is_believed(void **state) {
    (void)state;
    Closure closure = {.count = -1};
    sn_compiled *c = sn_compile_payload(counts, &closure, NULL, "f", "t:tt", NULL, NULL);
    sn_value value = of(tensor_of(SN_F32, SN_I(1), V(5)));
    sn_tensor *got[2];
    sn_error error = {.size = sizeof error};
    closure.count = 1;
    assert_int_equal(sn_call(c, &value, 1, got, 2, NULL, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "f: output 2 was not set"));
    closure.count = 3;
    assert_int_equal(sn_call(c, &value, 1, got, 2, NULL, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "f: outputs.count is 3, the signature has 2"));
    closure.count = -1;
    call2(c, value.as.tensor, got);
    sn_release(got[0]);
    sn_release(got[1]);
    sn_compiled_release(c);
}

static sn_status fails(void *payload, const sn_value *inputs, int32_t n_inputs,
                       sn_outputs *outputs) {
    (void)payload, (void)n_inputs;
    sn_tensor *twice = apply2(SN_OP_ADD, inputs[0], inputs[0]);
    outputs->tensors[0] = twice;
    sn_release(twice); /* its own still */
    return SN_ERROR_IO;
}

static void a_function_that_fails_hands_over_nothing(void **state) {
    (void)state;
    sn_compiled *c = sn_compile_payload(fails, NULL, NULL, "f", "t:t", NULL, NULL);
    sn_value value = of(tensor_of(SN_F32, SN_I(1), V(5)));
    sn_tensor *got;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sn_call(c, &value, 1, &got, 1, NULL, NULL, NULL), SN_ERROR_IO);
    EXPECT_OK();
    sn_compiled_release(c);
}

/* ---- operands -------------------------------------------------------------------------------- */

static void numbers_are_weak_scalars(void **state) {
    (void)state;
    sn_value x = of(tensor_of(SN_F16, SN_I(2), V(1, 2)));
    sn_value i = of(tensor_of(SN_I32, SN_I(2), V(1, 2)));
    const sn_value three = {.kind = SN_VALUE_INT, .as.integer = 3},
                   yes = {.kind = SN_VALUE_BOOL, .as.integer = 1};
    const struct {
        sn_tensor *got, *want;
    } cases[] = {
        {apply2(SN_OP_MUL, x, of_number(0.5)), sn_mul(x.as.tensor, sn_c(0.5))},
        {apply2(SN_OP_SUB, three, x), sn_sub(sn_ci(3), x.as.tensor)},
        {apply2(SN_OP_ADD, i, of_number(0.5)), sn_add(i.as.tensor, sn_c(0.5))},
        {apply2(SN_OP_MUL, i, three), sn_mul(i.as.tensor, sn_ci(3))},
        {apply2(SN_OP_ADD, i, yes), sn_add(i.as.tensor, sn_ci(1))},
        {apply2(SN_OP_ADD, of_number(2), three), sn_add(sn_c(2), sn_ci(3))},
    };
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        EXPECT_SAME(cases[n].got, cases[n].want);
        sn_release(cases[n].got);
    }
}

/* ---- the thread's error, structs of other versions ------------------------------------------- */

static void a_pending_error_is_no_business_of_a_call(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(1), V(5)), *y = NULL;
    assert_int_equal(sn_size(x, 3), 0); /* raises */
    y = apply2(SN_OP_ADD, of(x), of_number(1));
    Closure closure = {.count = -1};
    sn_compiled *c = sn_compile_payload(hands_over, &closure, NULL, "f", "t:tt", NULL, NULL);
    assert_non_null(c);
    sn_tensor *got[2];
    call2(c, x, got);
    EXPECT_ERROR(SN_ERROR_INDEX, "size"); /* is there still */
    EXPECT_VALUES(y, 6);
    EXPECT_VALUES(got[0], 30);
    sn_release(y);
    sn_release(got[0]);
    sn_release(got[1]);
    sn_compiled_release(c);
}

/* Options of a version that has more of them. */
typedef struct NewerCall {
    sn_call_options known; /* what this one has */
    int64_t more;          /* what it has not */
} NewerCall;
typedef struct NewerCompile {
    sn_compile_options known; /* what this one has */
    int64_t more;             /* what it has not */
} NewerCompile;

static void newer_structs_are_taken_if_what_is_new_is_not_used(void **state) {
    (void)state;
    sn_value inputs[] = {of(tensor_of(SN_F32, SN_I(1), V(5))), of_number(1)};
    sn_tensor *y;
    sn_error error = {.size = sizeof error};
    NewerCall call = {.known = {.size = sizeof call}};
    assert_int_equal(sn_apply(SN_OP_ADD, inputs, 2, &y, 1, NULL, &call.known, &error), SN_OK);
    sn_release(y);
    call.more = 1;
    assert_int_equal(sn_apply(SN_OP_ADD, inputs, 2, &y, 1, NULL, &call.known, &error),
                     SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "and the rest is not zero"));
    NewerCompile compile = {.known = {.size = sizeof compile, .rerun = SN_RERUN_ALWAYS}};
    sn_compiled *c =
        sn_compile_payload(counts, &(Closure){0}, NULL, "f", "t:tt", &compile.known, &error);
    assert_non_null(c);
    sn_compiled_release(c);
    compile.more = INT64_C(1) << 62;
    assert_null(
        sn_compile_payload(counts, &(Closure){0}, NULL, "f", "t:tt", &compile.known, &error));
    assert_int_equal(error.status, SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "compile f: options.size is"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(owned_results_are_the_calls),
        API_TEST(arguments_and_weights_stay_their_owners),
        API_TEST(the_count_of_outputs_is_believed),
        API_TEST(a_function_that_fails_hands_over_nothing),
        API_TEST(numbers_are_weak_scalars),
        API_TEST(a_pending_error_is_no_business_of_a_call),
        API_TEST(newer_structs_are_taken_if_what_is_new_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
