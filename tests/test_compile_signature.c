/* Each letter of a signature, through the typed function pointer and through sn_call: the compiled
 * function gives what the function itself gives, for every value of its arguments. */
#include "api_case.h"

#include <math.h>

/* Calls with distinct arguments are repeated: the first traces, the second is checked, the third
 * goes straight to the kernels. */
enum { ROUNDS = 3 };

/* ---- t, t?, t* ------------------------------------------------------------------------------- */

static sn_tensor *twice_and_add(sn_tensor *x, sn_tensor *y) {
    return sn_add(sn_mul(x, sn_c(2.0)), y);
}

static void t_takes_tensors_and_returns_one(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2, 3), V(1, 2, 3, 4, 5, 6));
    sn_tensor *y = tensor_of(SN_F32, SN_I(3), V(0.5, -0.5, 100));
    sn_compiled *c = sn_compile(twice_and_add, "tt:t", NULL);
    EXPECT_OK();
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, twice_and_add);
    assert_non_null(fast);
    for (int i = 0; i < ROUNDS; i++) EXPECT_VALUES(fast(x, y), 2.5, 3.5, 106, 8.5, 9.5, 112);
    sn_compiled_release(c);
}

static sn_tensor *maybe_add(sn_tensor *x, sn_tensor *bias) {
    return bias == SN_NONE ? sn_neg(x) : sn_add(x, bias);
}

static void optional_tensor_may_be_none(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2));
    sn_compiled *c = sn_compile(maybe_add, "tt?:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, maybe_add);
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT_VALUES(fast(x, SN_NONE), -1, -2);
        EXPECT_VALUES(fast(x, x), 2, 4);
    }
    sn_compiled_release(c);
}

static sn_tensor *weighted(sn_tensor *x, sn_tensor *bias) {
    return sn_linear(x, x, bias);
}

static void none_reaches_ops_with_optional_operands(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2, 2), V(1, 2, 3, 4));
    sn_compiled *c = sn_compile(weighted, "tt?:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, weighted);
    for (int i = 0; i < ROUNDS; i++) EXPECT_VALUES(fast(x, SN_NONE), 5, 11, 11, 25);
    EXPECT_VALUES(fast(x, tensor_of(SN_F32, SN_I(2), V(1, -1))), 6, 10, 12, 24);
    sn_compiled_release(c);
}

static sn_tensor *total(sn_tensor **xs, int32_t n, sn_tensor *y) {
    for (int32_t i = 0; i < n; i++) y = sn_add(y, xs[i]);
    return y;
}

static void tensor_list_of_any_length(void **state) {
    (void)state;
    sn_tensor *xs[3] = {tensor_of(SN_F32, SN_I(2), V(1, 2)), tensor_of(SN_F32, SN_I(2), V(10, 20)),
                        tensor_of(SN_F32, SN_I(2), V(100, 200))};
    sn_tensor *y = tensor_of(SN_F32, SN_I(2), V(0.5, 0.25));
    sn_compiled *c = sn_compile(total, "t*t:t", NULL);
    sn_tensor *(*fast)(sn_tensor **, int32_t, sn_tensor *) = SN_FN(c, total);
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT_VALUES(fast(xs, 3, y), 111.5, 222.25);
        EXPECT_VALUES(fast(xs, 1, y), 1.5, 2.25);
        EXPECT_VALUES(fast(xs, 0, y), 0.5, 0.25);
    }
    sn_compiled_release(c);
}

/* ---- scalars --------------------------------------------------------------------------------- */

static sn_tensor *of_scalars(bool negate, int32_t power, int64_t axis, float scale, sn_tensor *x,
                             double shift) {
    for (int32_t i = 1; i < power; i++) x = sn_mul(x, x);
    x = sn_add(sn_mul(x, sn_c((double)scale)), sn_c(shift));
    if (negate) x = sn_neg(x);
    return sn_sum(x, &axis, 1, false);
}

static void each_scalar_letter_arrives_with_its_value(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F64, SN_I(2, 2), V(1, 2, 3, 4));
    sn_compiled *c = sn_compile(of_scalars, "bilftd:t", NULL);
    EXPECT_OK();
    sn_tensor *(*fast)(bool, int32_t, int64_t, float, sn_tensor *, double) = SN_FN(c, of_scalars);
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT_VALUES(fast(false, 1, 0, 1.0f, x, 0.0), 4, 6);
        EXPECT_VALUES(fast(true, 1, 0, 1.0f, x, 0.0), -4, -6);
        EXPECT_VALUES(fast(false, 2, 0, 1.0f, x, 0.0), 10, 20);
        EXPECT_VALUES(fast(false, 1, 1, 1.0f, x, 0.0), 3, 7);
        EXPECT_VALUES(fast(false, 1, 0, 0.5f, x, 0.0), 2, 3);
        EXPECT_VALUES(fast(false, 1, -1, 1.0f, x, 0.125), 3.25, 7.25);
    }
    sn_compiled_release(c);
}

static sn_tensor *times(sn_tensor *x, double d, int64_t l) {
    return sn_add(sn_mul(x, sn_c(d)), sn_ci(l));
}

static void extreme_scalars_are_told_apart(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F64, SN_I(1), V(1));
    sn_tensor *n = tensor_of(SN_I64, SN_I(1), V(0));
    sn_compiled *c = sn_compile(times, "tdl:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, double, int64_t) = SN_FN(c, times);
    const double reals[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, -1.7976931348623157e308};
    const int64_t integers[] = {INT64_MIN, INT64_MAX, 0, -1};
    for (int i = 0; i < ROUNDS; i++) {
        for (size_t r = 0; r < sizeof reals / sizeof reals[0]; r++)
            EXPECT_SAME(sn_copysign(sn_c(1), fast(x, reals[r], 0)),
                        sn_copysign(sn_c(1), times(x, reals[r], 0)));
        for (size_t l = 0; l < sizeof integers / sizeof integers[0]; l++)
            EXPECT_SAME(fast(n, 0, integers[l]), times(n, 0, integers[l]));
    }
    sn_compiled_release(c);
}

/* ---- r --------------------------------------------------------------------------------------- */

static sn_tensor *noise(sn_rng *rng, sn_tensor *x) {
    sn_tensor *unused = sn_rand(rng, SN_I(5), SN_F32);
    (void)unused;
    sn_tensor *normal = sn_randn(rng, SN_I(3, 3), SN_F32);
    return sn_add(sn_dropout(x, 0.4, rng), sn_add(normal, sn_rand(rng, SN_I(3), SN_F32)));
}

static void generators_draw_and_advance_as_in_eager(void **state) {
    (void)state;
    sn_tensor *x = tensor_random(1, SN_F32, SN_I(3, 3));
    sn_rng eager = {.seed = 42, .counter = 7}, compiled = eager;
    sn_compiled *c = sn_compile(noise, "rt:t", NULL);
    sn_tensor *(*fast)(sn_rng *, sn_tensor *) = SN_FN(c, noise);
    for (int i = 0; i < ROUNDS + 2; i++) {
        if (i == ROUNDS) eager.seed = compiled.seed = UINT64_MAX;
        EXPECT_SAME(fast(&compiled, x), noise(&eager, x));
        assert_int_equal(compiled.counter, eager.counter);
        assert_int_equal(compiled.seed, eager.seed);
    }
    assert_int_equal(eager.counter, 7 + (ROUNDS + 2) * (5 + 9 + 9 + 3));
    sn_counters before = counters_now();
    EXPECT_SAME(fast(&compiled, x), noise(&eager, x));
    assert_int_equal(counters_now().traces, before.traces);
    sn_compiled_release(c);
}

static sn_tensor *two_generators(sn_rng *a, sn_rng *b) {
    return sn_sub(sn_rand(a, SN_I(4), SN_F32), sn_rand(b, SN_I(4), SN_F32));
}

static void one_generator_passed_twice_is_one_sequence(void **state) {
    (void)state;
    sn_rng eager[2] = {{1, 0}, {1, 0}}, compiled[2] = {{1, 0}, {1, 0}};
    sn_compiled *c = sn_compile(two_generators, "rr:t", NULL);
    sn_tensor *(*fast)(sn_rng *, sn_rng *) = SN_FN(c, two_generators);
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT_VALUES(fast(&compiled[0], &compiled[1]), 0, 0, 0, 0);
        (void)two_generators(&eager[0], &eager[1]);
        EXPECT_SAME(fast(&compiled[0], &compiled[0]), two_generators(&eager[0], &eager[0]));
        assert_int_equal(compiled[0].counter, eager[0].counter);
        compiled[1] = compiled[0], eager[1] = eager[0];
    }
    sn_compiled_release(c);
}

/* ---- S --------------------------------------------------------------------------------------- */

typedef struct Norm {
    sn_tensor *weight; /* multiplied */
    double eps;        /* added */
} Norm;

typedef struct Model {
    sn_tensor *bias;      /* added last */
    Norm norm;            /* a nested struct */
    float scale;          /* a scalar */
    int32_t n_layers;     /* how many of layers are used */
    sn_tensor *layers[4]; /* a counted array */
    int32_t sizes[3];     /* a fixed array of scalars */
    const char *note;     /* ignored */
} Model;

static const sn_field norm_fields[] = {
    {.name = "weight",
     .kind = SN_FIELD_TENSOR,
     .offset = offsetof(Norm, weight),
     .bytes = sizeof(sn_tensor *)},
    {.name = "eps", .kind = SN_FIELD_SCALAR, .offset = offsetof(Norm, eps), .bytes = 8},
};
static const sn_tree norm_tree = {sizeof(Norm), norm_fields, 2};

static const sn_field model_fields[] = {
    {.name = "bias",
     .kind = SN_FIELD_TENSOR,
     .offset = offsetof(Model, bias),
     .bytes = sizeof(sn_tensor *)},
    {.name = "norm",
     .kind = SN_FIELD_STRUCT,
     .offset = offsetof(Model, norm),
     .bytes = sizeof(Norm),
     .nested = &norm_tree},
    {.name = "scale", .kind = SN_FIELD_SCALAR, .offset = offsetof(Model, scale), .bytes = 4},
    {.name = "n_layers", .kind = SN_FIELD_SCALAR, .offset = offsetof(Model, n_layers), .bytes = 4},
    {.name = "layers",
     .kind = SN_FIELD_TENSOR,
     .offset = offsetof(Model, layers),
     .bytes = sizeof(sn_tensor *),
     .count = 4,
     .counted = true,
     .count_offset = offsetof(Model, n_layers)},
    {.name = "sizes",
     .kind = SN_FIELD_SCALAR,
     .offset = offsetof(Model, sizes),
     .bytes = 4,
     .count = 3},
    {.name = "(padding)",
     .kind = SN_FIELD_IGNORED,
     .offset = offsetof(Model, sizes) + 3 * sizeof(int32_t),
     .bytes = offsetof(Model, note) - offsetof(Model, sizes) - 3 * sizeof(int32_t)},
    {.name = "note",
     .kind = SN_FIELD_IGNORED,
     .offset = offsetof(Model, note),
     .bytes = sizeof(const char *)},
};
static const sn_tree model_tree = {sizeof(Model), model_fields,
                                   sizeof model_fields / sizeof model_fields[0]};

static sn_tensor *run_model(Model *m, sn_tensor *x) {
    x = sn_mul(sn_add(x, sn_c(m->norm.eps)), m->norm.weight);
    for (int32_t i = 0; i < m->n_layers; i++) x = sn_mul(x, m->layers[i]);
    x = sn_mul(x, sn_c((double)m->scale));
    return sn_add(sn_add(x, m->bias), sn_ci(m->sizes[2]));
}

static sn_tensor *one_value(double value) {
    return tensor_of(SN_F64, SN_I(1), &value);
}

static void described_struct_is_read_field_by_field(void **state) {
    (void)state;
    Model m = {.bias = one_value(100),
               .norm = {one_value(2), 0.5},
               .scale = 4,
               .n_layers = 2,
               .layers = {one_value(3), one_value(5), NULL, NULL},
               .sizes = {0, 0, 1000}};
    const sn_tree *trees[] = {&model_tree};
    sn_compile_options options = {.size = sizeof options, .trees = trees, .n_trees = 1};
    sn_compiled *c = sn_compile(run_model, "St:t", &options);
    EXPECT_OK();
    sn_tensor *(*fast)(Model *, sn_tensor *) = SN_FN(c, run_model);
    sn_tensor *x = one_value(1.5);
    for (int i = 0; i < ROUNDS; i++) EXPECT_VALUES(fast(&m, x), 2.0 * 2 * 15 * 4 + 1100);
    m.norm.eps = 1.5;
    for (int i = 0; i < ROUNDS; i++) EXPECT_VALUES(fast(&m, x), 3.0 * 2 * 15 * 4 + 1100);
    m.norm.weight = one_value(1);
    EXPECT_VALUES(fast(&m, x), 3.0 * 15 * 4 + 1100);
    m.n_layers = 3, m.layers[2] = one_value(7);
    for (int i = 0; i < ROUNDS; i++) EXPECT_VALUES(fast(&m, x), 3.0 * 105 * 4 + 1100);
    m.n_layers = 0;
    for (int i = 0; i < ROUNDS; i++) EXPECT_VALUES(fast(&m, x), 3.0 * 4 + 1100);
    m.sizes[2] = -1;
    for (int i = 0; i < ROUNDS; i++) EXPECT_VALUES(fast(&m, x), 3.0 * 4 + 99);
    sn_counters before = counters_now();
    m.note = "the function does not read this";
    EXPECT_VALUES(fast(&m, x), 3.0 * 4 + 99);
    assert_int_equal(counters_now().traces, before.traces);
    m.n_layers = 5;
    assert_null(fast(&m, x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "run_model", "layers", "5", "room for 4");
    sn_compiled_release(c);
}

static void undescribed_bytes_of_a_struct_are_named(void **state) {
    (void)state;
    sn_field fields[2] = {norm_fields[0], norm_fields[1]};
    sn_tree tree = {sizeof(Norm), fields, 1};
    const sn_tree *trees[] = {&tree};
    sn_compile_options options = {.trees = trees, .n_trees = 1};
    assert_null(sn_compile(run_model, "St:t", &options));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "run_model", "8", "16");
    tree.n_fields = 2;
    fields[1].bytes = 4;
    assert_null(sn_compile(run_model, "St:t", &options));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "12", "16");
    fields[1].bytes = 16;
    assert_null(sn_compile(run_model, "St:t", &options));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "eps");
    fields[1].bytes = 8;
    fields[0].counted = true;
    fields[0].count_offset = SIZE_MAX - 1; /* with the count's bytes it is 2 */
    assert_null(sn_compile(run_model, "St:t", &options));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "the count of weight is outside");
    options.n_trees = 0;
    assert_null(sn_compile(run_model, "St:t", &options));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "S");
}

static void layouts_of_structs_are_copied(void **state) {
    (void)state;
    char name[] = "a name that goes";
    sn_field inner[2], outer[sizeof model_fields / sizeof model_fields[0]];
    memcpy(inner, norm_fields, sizeof inner);
    memcpy(outer, model_fields, sizeof outer);
    sn_tree nested = norm_tree, tree = model_tree;
    nested.fields = inner;
    tree.fields = outer;
    outer[1].nested = &nested;
    outer[4].name = name;
    const sn_tree *trees[] = {&tree};
    sn_compile_options options = {.trees = trees, .n_trees = 1};
    sn_compiled *c = sn_compile(run_model, "St:t", &options);
    EXPECT_OK();
    memset(name, '?', sizeof name - 1);
    memset(inner, 0x5a, sizeof inner);
    memset(outer, 0x5a, sizeof outer);
    memset(&nested, 0x5a, sizeof nested);
    memset(&tree, 0x5a, sizeof tree);
    trees[0] = NULL;
    sn_tensor *(*fast)(Model *, sn_tensor *) = SN_FN(c, run_model);
    Model m = {.bias = one_value(100), .norm = {one_value(2), 0.5}, .scale = 4};
    for (int i = 0; i < ROUNDS; i++) EXPECT_VALUES(fast(&m, one_value(1.5)), 2.0 * 2 * 4 + 100);
    m.n_layers = 5;
    assert_null(fast(&m, one_value(1.5)));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "a name that goes");
    sn_compiled_release(c);
}

/* ---- p --------------------------------------------------------------------------------------- */

typedef struct Opaque {
    double factor;     /* a C value nobody declared */
    sn_tensor *weight; /* a tensor reached through the pointer */
} Opaque;

static sn_tensor *through_pointer(sn_tensor *x, void *pointer) {
    const Opaque *opaque = pointer;
    return sn_mul(sn_mul(x, sn_c(opaque->factor)), opaque->weight);
}

static void what_lies_behind_an_opaque_pointer_is_never_stale(void **state) {
    (void)state;
    Opaque a = {2, one_value(3)}, b = {5, one_value(7)};
    sn_compiled *c = sn_compile(through_pointer, "tp:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, void *) = SN_FN(c, through_pointer);
    sn_tensor *x = one_value(1);
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT_VALUES(fast(x, &a), a.factor * 3);
        EXPECT_VALUES(fast(x, &b), 35);
        a.factor += 1;
    }
    a.weight = one_value(-1);
    EXPECT_VALUES(fast(x, &a), -5);
    sn_compiled_release(c);
}

/* ---- outputs --------------------------------------------------------------------------------- */

static sn_status both(sn_tensor *x, sn_tensor *y, sn_tensor **sum, sn_tensor **difference) {
    *sum = sn_add(x, y);
    *difference = sn_sub(x, y);
    return sn_error_status();
}

static void several_outputs_come_through_trailing_pointers(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_F32, SN_I(2), V(1, 2)), *y = tensor_of(SN_F32, SN_I(2), V(5, 5));
    sn_compiled *c = sn_compile(both, "tt:tt", NULL);
    sn_status (*fast)(sn_tensor *, sn_tensor *, sn_tensor **, sn_tensor **) = SN_FN(c, both);
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *sum = NULL, *difference = NULL;
        assert_int_equal(fast(x, y, &sum, &difference), SN_OK);
        EXPECT_VALUES(sum, 6, 7);
        EXPECT_VALUES(difference, -4, -3);
    }
    sn_tensor *sum = x, *difference = x, *z = tensor_of(SN_F32, SN_I(3), V(1, 2, 3));
    assert_int_equal(fast(x, z, &sum, &difference), SN_ERROR_SHAPE);
    assert_null(sum);
    assert_null(difference);
    EXPECT_ERROR(SN_ERROR_SHAPE, "f32[2]", "f32[3]", "test_compile_signature.c");
    sn_compiled_release(c);
}

static sn_status add_one(sn_tensor *x) {
    sn_add_(x, sn_ci(1));
    return sn_error_status();
}

static void a_function_without_outputs_returns_a_status(void **state) {
    (void)state;
    sn_tensor *x = tensor_of(SN_I32, SN_I(2), V(1, 2));
    sn_compiled *c = sn_compile(add_one, "t:", NULL);
    EXPECT_OK();
    sn_status (*fast)(sn_tensor *) = SN_FN(c, add_one);
    for (int i = 0; i < ROUNDS; i++) assert_int_equal(fast(x), SN_OK);
    EXPECT_VALUES(x, 1 + ROUNDS, 2 + ROUNDS);
    sn_compiled_release(c);
}

static void sn_sig_derives_an_all_tensor_signature(void **state) {
    (void)state;
    assert_string_equal(SN_SIG(&twice_and_add), "tt:t");
    assert_string_equal(SN_SIG(weighted), "tt:t");
    sn_compiled *c = sn_compile(twice_and_add, SN_SIG(twice_and_add), NULL);
    sn_tensor *x = one_value(1);
    EXPECT_VALUES(SN_FN(c, twice_and_add)(x, x), 3);
    sn_compiled_release(c);
}

#define EXPECT_SIG(type, text) assert_string_equal(SN_SIG((type)NULL), text)

static void sn_sig_derives_scalars_arrays_and_outputs(void **state) {
    (void)state;
    EXPECT_SIG(sn_tensor * (*)(sn_tensor *, float), "tf:t");
    EXPECT_SIG(sn_tensor * (*)(sn_tensor *, sn_tensor *, int64_t), "ttl:t");
    EXPECT_SIG(sn_tensor * (*)(sn_tensor *, sn_tensor *, sn_tensor *, bool), "tttb:t");
    EXPECT_SIG(sn_tensor * (*)(sn_tensor *, sn_rng *), "tr:t");
    EXPECT_SIG(sn_tensor * (*)(sn_tensor *, double, double), "tdd:t");
    EXPECT_SIG(sn_tensor * (*)(sn_tensor **, int32_t), "t*:t");
    EXPECT_SIG(sn_status(*)(sn_tensor *, sn_tensor **, sn_tensor **), "t:tt");
    assert_null(SN_SIG_OF((sn_tensor * (*)(sn_tensor *, float, int32_t)) NULL));
}

/* ---- wrong ----------------------------------------------------------------------------------- */

static void another_functions_signature_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"t:t", "ttt:t", "tf:t", "tt:tt", "tt:", "t*:t", "?tt:t"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(sn_compile(twice_and_add, bad[i], NULL));
        EXPECT_ERROR(SN_ERROR_SIGNATURE, "twice_and_add", bad[i], "test_compile_signature.c");
    }
    assert_null(sn_compile(twice_and_add, "t:t", NULL));
    EXPECT_ERROR(SN_ERROR_SIGNATURE,
                 "compile twice_and_add: signature \"t:t\" is not the function's, \"tt:t\"");
    sn_compiled *c =
        sn_compile(twice_and_add, "t?t?:t", NULL); /* what is optional, no type tells */
    EXPECT_OK();
    sn_compiled_release(c);
}

static sn_tensor *by_float(sn_tensor *x, float factor) {
    return sn_mul(x, sn_c((double)factor));
}

static void a_scalar_of_another_type_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"ti:t", "td:t", "t:t", "tff:t", "tt:t", "tb:t", "tl:t"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(sn_compile(by_float, bad[i], NULL));
        EXPECT_ERROR(SN_ERROR_SIGNATURE, bad[i], "is not the function's, \"tf:t\"");
    }
    sn_compiled *c = sn_compile(by_float, "tf:t", NULL);
    EXPECT_VALUES(SN_FN(c, by_float)(one_value(2), 3), 6);
    sn_compiled_release(c);
}

static void malformed_signatures_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",     "tt",   "q:t",  "t:q",   "t**:t", "?t:t",
                                      "t::t", "t:t?", "b?:t", "t t:t", "t:i"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sn_compiled *c = sn_compile(twice_and_add, bad[i], NULL);
        if (c) print_error("signature \"%s\" was taken\n", bad[i]);
        assert_null(c);
        EXPECT_ERROR(SN_ERROR_SIGNATURE, "twice_and_add", "test_compile_signature.c");
    }
    assert_null(sn_compile(twice_and_add, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "signature is NULL");
    assert_null(sn_compile_at(NULL, "nothing", "t:t", NULL, __FILE__, __LINE__));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "nothing");
}

static void wrong_calls_are_errors_that_name_the_function(void **state) {
    (void)state;
    sn_tensor *x = one_value(1);
    sn_compiled *c = sn_compile(twice_and_add, "tt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(c, twice_and_add);
    assert_null(fast(x, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "twice_and_add", "NULL");
    assert_null(fast(SN_NONE, x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "twice_and_add");
    EXPECT_VALUES(fast(x, x), 3);
    sn_error_raise(SN_ERROR_IO, "here.c", 3, "a pending one");
    assert_null(fast(x, x));
    EXPECT_ERROR(SN_ERROR_IO, "here.c:3: a pending one");
    EXPECT_VALUES(fast(x, x), 3);
    sn_compiled_release(c);
    sn_compiled *list = sn_compile(total, "t*t:t", NULL);
    sn_tensor *(*fast_list)(sn_tensor **, int32_t, sn_tensor *) = SN_FN(list, total);
    assert_null(fast_list(NULL, 2, x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "total");
    sn_tensor *holes[2] = {x, NULL};
    assert_null(fast_list(holes, 2, x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "total", "NULL");
    assert_null(fast_list(holes, -1, x));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "total", "-1");
    sn_compiled_release(list);
    sn_compiled_release(NULL);
}

/* ---- sn_call and payloads -------------------------------------------------------------------- */

static sn_value value_of_tensor(sn_tensor *t) {
    return (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = t};
}

static void sn_call_returns_owned_references(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(both, "tt:tt", NULL);
    sn_tensor *x = one_value(5), *y = one_value(3);
    sn_value inputs[2] = {value_of_tensor(x), value_of_tensor(y)};
    for (int i = 0; i < ROUNDS; i++) {
        sn_tensor *outputs[2] = {NULL, NULL};
        int32_t count = -1;
        sn_error error;
        assert_int_equal(sn_call(c, inputs, 2, outputs, 2, &count, NULL, &error), SN_OK);
        assert_int_equal(count, 2);
        EXPECT_VALUES(outputs[0], 8);
        EXPECT_VALUES(outputs[1], 2);
        sn_release(outputs[0]), sn_release(outputs[1]);
    }
    EXPECT_OK();
    sn_compiled_release(c);
}

static void sn_call_reports_to_the_callers_error_alone(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(both, "tt:tt", NULL);
    sn_tensor *x = one_value(5), *y = tensor_of(SN_F64, SN_I(2, 3), V(1, 2, 3, 4, 5, 6));
    sn_value inputs[3] = {value_of_tensor(x), value_of_tensor(tensor_of(SN_F64, SN_I(2), V(1, 2))),
                          value_of_tensor(y)};
    sn_tensor *outputs[2] = {x, x};
    int32_t count = -1;
    sn_error error = {.size = sizeof error};
    assert_int_equal(sn_call(c, inputs + 1, 2, outputs, 2, &count, NULL, &error), SN_ERROR_SHAPE);
    assert_int_equal(error.status, SN_ERROR_SHAPE);
    assert_non_null(strstr(error.text, "f64[2,3]"));
    assert_int_equal(count, 0);
    assert_null(outputs[0]);
    EXPECT_OK();
    assert_int_equal(sn_call(c, inputs, 1, outputs, 2, &count, NULL, &error), SN_ERROR_SIGNATURE);
    assert_non_null(strstr(error.text, "both"));
    assert_int_equal(sn_call(c, inputs, 3, outputs, 2, &count, NULL, NULL), SN_ERROR_SIGNATURE);
    assert_int_equal(sn_call(c, inputs, 2, outputs, 1, &count, NULL, &error), SN_ERROR_ARGUMENT);
    inputs[1] = (sn_value){.kind = SN_VALUE_FLOAT, .as.real = 1};
    assert_int_equal(sn_call(c, inputs, 2, outputs, 2, &count, NULL, &error), SN_ERROR_SIGNATURE);
    assert_int_equal(sn_call(NULL, inputs, 2, outputs, 2, &count, NULL, &error), SN_ERROR_ARGUMENT);
    EXPECT_OK();
    sn_compiled_release(c);
}

static void sn_call_takes_every_kind_of_value(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(of_scalars, "bilftd:t", NULL);
    sn_value inputs[6] = {{.kind = SN_VALUE_BOOL, .as.integer = 1},
                          {.kind = SN_VALUE_INT, .as.integer = 2},
                          {.kind = SN_VALUE_INT, .as.integer = 0},
                          {.kind = SN_VALUE_FLOAT, .as.real = 0.5},
                          value_of_tensor(tensor_of(SN_F64, SN_I(2, 2), V(1, 2, 3, 4))),
                          {.kind = SN_VALUE_FLOAT, .as.real = 1}};
    sn_tensor *y = NULL;
    int32_t count = 0;
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(sn_call(c, inputs, 6, &y, 1, &count, NULL, NULL), SN_OK);
        EXPECT_VALUES(y, -7, -12);
        sn_release(y);
    }
    inputs[1].as.integer = INT64_C(1) << 40;
    assert_int_equal(sn_call(c, inputs, 6, &y, 1, &count, NULL, NULL), SN_ERROR_SIGNATURE);
    sn_compiled_release(c);
    c = sn_compile(total, "t*t:t", NULL);
    sn_tensor *xs[2] = {one_value(1), one_value(2)};
    sn_value list[2] = {{.kind = SN_VALUE_TENSORS, .count = 2, .as.tensors = xs},
                        value_of_tensor(one_value(4))};
    assert_int_equal(sn_call(c, list, 2, &y, 1, &count, NULL, NULL), SN_OK);
    EXPECT_VALUES(y, 7);
    sn_release(y);
    sn_compiled_release(c);
    c = sn_compile(maybe_add, "tt?:t", NULL);
    sn_value none[2] = {value_of_tensor(one_value(1)), {.kind = SN_VALUE_NONE}};
    assert_int_equal(sn_call(c, none, 2, &y, 1, &count, NULL, NULL), SN_OK);
    EXPECT_VALUES(y, -1);
    sn_release(y);
    sn_compiled_release(c);
}

typedef struct Payload {
    double factor;     /* what the closure multiplies by */
    int32_t runs;      /* times it was run */
    int32_t destroyed; /* times the destructor was */
} Payload;

static sn_status payload_scale(void *payload, const sn_value *inputs, int32_t n_inputs,
                               sn_outputs *out) {
    Payload *p = payload;
    p->runs++;
    assert_int_equal(n_inputs, 1);
    assert_true(out->capacity >= 1);
    out->tensors[0] = sn_mul(inputs[0].as.tensor, sn_c(p->factor));
    out->count = 1;
    return sn_error_status();
}

static void payload_destroy(void *payload) {
    ((Payload *)payload)->destroyed++;
}

static void payload_function_compiles_and_is_destroyed_once(void **state) {
    (void)state;
    Payload payload = {.factor = 3};
    sn_error error = {.size = sizeof error};
    sn_compiled *c =
        sn_compile_payload(payload_scale, &payload, payload_destroy, "scale", "t:t", NULL, &error);
    assert_non_null(c);
    sn_value input = value_of_tensor(one_value(2));
    for (int i = 0; i < 5; i++) {
        sn_tensor *y = NULL;
        int32_t count = 0;
        assert_int_equal(sn_call(c, &input, 1, &y, 1, &count, NULL, &error), SN_OK);
        EXPECT_VALUES(y, 6);
        sn_release(y);
    }
    assert_int_equal(payload.runs, 2);
    assert_int_equal(payload.destroyed, 0);
    sn_compiled_release(c);
    assert_int_equal(payload.destroyed, 1);
}

static void payload_is_destroyed_when_compile_fails(void **state) {
    (void)state;
    Payload payload = {.factor = 3};
    sn_error error = {.size = sizeof error};
    assert_null(
        sn_compile_payload(payload_scale, &payload, payload_destroy, "scale", "bad", NULL, &error));
    assert_int_equal(error.status, SN_ERROR_SIGNATURE);
    assert_int_equal(payload.destroyed, 1);
    EXPECT_OK();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(t_takes_tensors_and_returns_one),
        API_TEST(optional_tensor_may_be_none),
        API_TEST(none_reaches_ops_with_optional_operands),
        API_TEST(tensor_list_of_any_length),
        API_TEST(each_scalar_letter_arrives_with_its_value),
        API_TEST(extreme_scalars_are_told_apart),
        API_TEST(generators_draw_and_advance_as_in_eager),
        API_TEST(one_generator_passed_twice_is_one_sequence),
        API_TEST(described_struct_is_read_field_by_field),
        API_TEST(undescribed_bytes_of_a_struct_are_named),
        API_TEST(layouts_of_structs_are_copied),
        API_TEST(what_lies_behind_an_opaque_pointer_is_never_stale),
        API_TEST(several_outputs_come_through_trailing_pointers),
        API_TEST(a_function_without_outputs_returns_a_status),
        API_TEST(sn_sig_derives_an_all_tensor_signature),
        API_TEST(sn_sig_derives_scalars_arrays_and_outputs),
        API_TEST(a_scalar_of_another_type_is_refused),
        API_TEST(another_functions_signature_is_refused),
        API_TEST(malformed_signatures_are_refused),
        API_TEST(wrong_calls_are_errors_that_name_the_function),
        API_TEST(sn_call_returns_owned_references),
        API_TEST(sn_call_reports_to_the_callers_error_alone),
        API_TEST(sn_call_takes_every_kind_of_value),
        API_TEST(payload_function_compiles_and_is_destroyed_once),
        API_TEST(payload_is_destroyed_when_compile_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
