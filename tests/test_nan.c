/* NaNs: an op that computes gives the canonical one, whatever NaN it was given and in whatever company it
 * runs; one that moves elements leaves them as they are; signs of NaNs are those rules' (docs/numerics.md).
 * Each op of the table that takes one or two tensors, alone and in front of ops that are sensitive to
 * the order of operands. */
#include "api_case.h"

#include <math.h>

enum { COUNT = 36 /* pairs of the values below */ };

/* ---- NaNs of all kinds ----------------------------------------------------------------------- */

static int mantissa(sn_dtype dtype) {
    return dtype == SN_F64 ? 52 : dtype == SN_F32 ? 23 : dtype == SN_F16 ? 10 : 7;
}

static uint64_t exponent(sn_dtype dtype) {
    int width = 8 * (int)sn_dtype_size(dtype);
    return ((UINT64_C(1) << (width - 1)) - 1) >> mantissa(dtype) << mantissa(dtype);
}

static uint64_t canonical(sn_dtype dtype) {
    return exponent(dtype) | UINT64_C(1) << (mantissa(dtype) - 1);
}

static uint64_t sign(sn_dtype dtype) {
    return UINT64_C(1) << (8 * sn_dtype_size(dtype) - 1);
}

static uint64_t bits_of(sn_dtype dtype, const char *data, int64_t i) {
    uint64_t bits = 0;
    memcpy(&bits, data + (size_t)i * sn_dtype_size(dtype), sn_dtype_size(dtype));
    return bits;
}

static bool is_nan(sn_dtype dtype, uint64_t bits) {
    return (bits & ~sign(dtype)) > exponent(dtype);
}

/* Three NaNs and two others, some negative, in each place before each other. */
static sn_tensor *nans(sn_dtype dtype, bool second) {
    uint64_t e = exponent(dtype), s = sign(dtype), c = canonical(dtype);
    const uint64_t values[6] = {c | s, c + 5, e | 1, (c - 1) | s, 0, e | s};
    char data[COUNT * 8];
    for (int64_t i = 0; i < COUNT; i++)
        memcpy(data + (size_t)i * sn_dtype_size(dtype), &values[second ? i % 6 : i / 6],
               sn_dtype_size(dtype));
    return sn_from_copy(data, COUNT * sn_dtype_size(dtype), SN_I(COUNT), dtype);
}

/* Is every NaN of the tensor the canonical one? */
static bool all_canonical(sn_tensor *t) {
    char data[COUNT * 8];
    sn_dtype dtype = sn_dtype_of(t);
    int64_t size = sn_count(t);
    if (!sn_read(t, dtype, data, (size_t)size * sn_dtype_size(dtype))) return false;
    for (int64_t i = 0; i < size; i++) {
        uint64_t bits = bits_of(dtype, data, i);
        if (is_nan(dtype, bits) && bits != canonical(dtype)) return false;
    }
    return true;
}

static bool same_bits(sn_tensor *a, sn_tensor *b) {
    char x[COUNT * 8], y[COUNT * 8];
    size_t bytes = (size_t)sn_count(a) * sn_dtype_size(sn_dtype_of(a));
    return sn_dtype_of(a) == sn_dtype_of(b) && sn_count(a) == sn_count(b) &&
           sn_read(a, sn_dtype_of(a), x, bytes) && sn_read(b, sn_dtype_of(b), y, bytes) &&
           memcmp(x, y, bytes) == 0;
}

/* ---- every op -------------------------------------------------------------------------------- */

static int32_t applied; /* the op below */
static bool takes_two;

static sn_tensor *apply(sn_tensor *x, sn_tensor *y) {
    sn_value inputs[2] = {{.kind = SN_VALUE_TENSOR, .as.tensor = x},
                          {.kind = SN_VALUE_TENSOR, .as.tensor = y}};
    sn_tensor *out = NULL;
    sn_error error;
    sn_status status = sn_apply(applied, inputs, takes_two ? 2 : 1, &out, 1, NULL, NULL, &error);
    if (status == SN_ERROR_DTYPE) return NULL; /* an op of integers */
    if (status != SN_OK) fail_msg("%s", error.text);
    sn_tensor *held = sn_reshape(out, SN_I(COUNT)); /* of the scope */
    sn_release(out);
    return held;
}

/* Behind the op, where it can be fused and exchanged: everything that an order of operands can show in. */
static sn_tensor *in_company(sn_tensor *x, sn_tensor *y) {
    sn_tensor *z = apply(x, y);
    sn_tensor *both = sn_add(sn_mul(z, x), sn_neg(sn_mul(x, z)));
    return sn_add(both, sn_copysign(sn_c(1), sn_sub(y, z)));
}

static bool moves(const char *name) {
    return strcmp(name, "clone") == 0 || strcmp(name, "contiguous") == 0;
}

static void check_op(const char *name, sn_dtype dtype) {
    sn_tensor *x = nans(dtype, false), *y = nans(dtype, true);
    sn_tensor *eager = apply(x, y);
    if (!eager || sn_dtype_of(eager) < SN_F16 || moves(name)) return;
    if (!all_canonical(eager)) fail_msg("%s of %s", name, sn_dtype_name(dtype));
    sn_compiled *alone = sn_compile(apply, "tt:t", NULL);
    sn_compiled *company = sn_compile(in_company, "tt:t", NULL);
    if (!same_bits(SN_FN(alone, apply)(x, y), eager))
        fail_msg("%s of %s: compiled", name, sn_dtype_name(dtype));
    if (dtype == SN_F32 && !same_bits(SN_FN(company, in_company)(x, y), in_company(x, y)))
        fail_msg("%s of %s: in company", name, sn_dtype_name(dtype));
    sn_compiled_release(alone);
    sn_compiled_release(company);
}

static void what_is_computed_has_one_nan(void **state) {
    (void)state;
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    sn_op_description op;
    int ops = 0;
    for (applied = 0; sn_op_info(applied, &op); applied++) {
        takes_two = strcmp(op.signature, "x:t y:t") == 0;
        bool one = strcmp(op.signature, "x:t") == 0;
        if (!op.is_public || (!one && !takes_two) || strcmp(op.name, "matmul") == 0) continue;
        ops++;
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
            sn_scope scope = sn_scope_begin();
            check_op(op.name, dtypes[i]);
            sn_scope_end(scope, NULL);
        }
    }
    assert_true(ops > 60);
}

static void reductions_and_scans_have_one_nan(void **state) {
    (void)state;
    sn_tensor *x = sn_reshape(nans(SN_F32, false), SN_I(6, 6));
    assert_true(all_canonical(sn_sum(x, SN_I(1), false)));
    assert_true(all_canonical(sn_sum(x, SN_I(0), false)));
    assert_true(all_canonical(sn_prod(x, SN_I(1), false)));
    assert_true(all_canonical(sn_max(x, SN_I(1), false)));
    assert_true(all_canonical(sn_min(x, SN_I(0), false)));
    assert_true(all_canonical(sn_mean(x, SN_I0, false)));
    assert_true(all_canonical(sn_cumsum(x, 1)));
    assert_true(all_canonical(sn_softmax(x, 1)));
    assert_true(all_canonical(sn_clamp(x, sn_c(-1), sn_c(1))));
    sn_tensor *index = tensor_of(SN_I64, SN_I(6), V(0, 1, 2, 3, 4, 5));
    sn_tensor *target = sn_zeros(SN_I(6, 6), SN_F32);
    assert_true(all_canonical(
        sn_scatter_add(target, 0, sn_expand(sn_reshape(index, SN_I(6, 1)), SN_I(6, 6)), x)));
}

/* ---- what is moved, and signs ---------------------------------------------------------------- */

static sn_tensor *moved(sn_tensor *x, sn_tensor *y) {
    sn_tensor *picked = sn_where(sn_signbit(y), sn_flip(x, SN_I(0)), sn_clone(x));
    return sn_cat(((sn_tensor *[]){picked, sn_index_select(x, 0, sn_arange(0, 3, 1, SN_I64))}), 2,
                  0);
}

static void what_is_moved_keeps_its_bits(void **state) {
    (void)state;
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        sn_tensor *x = nans(dtypes[i], false), *y = nans(dtypes[i], true);
        assert_true(same_bits(sn_clone(x), x));
        assert_true(same_bits(sn_flip(sn_clone(sn_flip(x, SN_I(0))), SN_I(0)), x));
        sn_compiled *c = sn_compile(moved, "tt:t", NULL);
        sn_tensor *both = SN_FN(c, moved)(x, y), *eager = moved(x, y);
        assert_true(same_bits(sn_narrow(both, 0, 0, COUNT), sn_narrow(eager, 0, 0, COUNT)));
        assert_true(same_bits(sn_narrow(both, 0, COUNT, 3), sn_narrow(x, 0, 0, 3)));
        sn_compiled_release(c);
    }
}

static void signs_of_nans_are_seen_where_they_were_given(void **state) {
    (void)state;
    static const sn_dtype dtypes[] = {SN_F32, SN_F64, SN_F16, SN_BF16};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        sn_tensor *x = sn_narrow(nans(dtypes[i], true), 0, 0, 4); /* -, +, +, - */
        EXPECT_VALUES(sn_signbit(x), 1, 0, 0, 1);
        EXPECT_VALUES(sn_copysign(sn_c(1), x), -1, 1, 1, -1);
        EXPECT_VALUES(sn_signbit(sn_neg(x)), 0, 0, 0, 0); /* computed: the canonical one */
        EXPECT_VALUES(sn_signbit(sn_sub(sn_c(INFINITY), sn_c(INFINITY))), 0);
    }
}

enum { LONG = 75 /* several vectors of any width, and some elements */ };

static sn_tensor *doubled(sn_tensor *x, sn_tensor *rows) {
    return sn_add(sn_add(x, x), rows);
}

/* Vectors that are settled together: the one NaN among them, wherever it is. */
static void a_nan_is_found_at_any_place(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(doubled, "tt:t", NULL);
    sn_tensor *rows = sn_zeros(SN_I(1, LONG), SN_F32);
    for (int place = 0; place < 2 * LONG; place++) {
        SN_SCOPE {
            float values[2 * LONG], got[2 * LONG];
            uint32_t bits = UINT32_C(0xffc00123), canonical_bits = UINT32_C(0x7fc00000);
            for (int i = 0; i < 2 * LONG; i++) values[i] = (float)i;
            memcpy(&values[place], &bits, sizeof bits);
            sn_tensor *x = sn_from_copy(values, sizeof values, SN_I(2, LONG), SN_F32);
            assert_true(sn_read(SN_FN(c, doubled)(x, rows), SN_F32, got, sizeof got));
            for (int i = 0; i < 2 * LONG; i++)
                if (i != place) assert_true(got[i] == 2 * (float)i);
            assert_memory_equal(&got[place], &canonical_bits, sizeof canonical_bits);
        }
    }
    sn_compiled_release(c);
}

/* A sign behind a product is that of the canonical NaN, whatever the machine makes of the factors'. */
static sn_tensor *sign_of_a_product(sn_tensor *x, sn_tensor *weight) {
    sn_tensor *product = sn_matmul(sn_leaky_relu(x, 0), weight);
    return sn_cat(((sn_tensor *[]){sn_cast(sn_signbit(product), SN_F32), product}), 2, 0);
}

static void signs_behind_products_are_those_of_eager(void **state) {
    (void)state;
    float values[] = {-INFINITY, INFINITY, 2, -3}; /* of 0 * -inf x86 makes a NaN with a sign */
    sn_tensor *x = sn_from_copy(values, sizeof values, SN_I(4, 1), SN_F32);
    sn_tensor *weight = sn_full(SN_I(1, 1), 0.5, SN_F32);
    sn_compiled *c = sn_compile(sign_of_a_product, "tt:t", NULL);
    sn_tensor *eager = sign_of_a_product(x, weight);
    EXPECT_VALUES(sn_reshape(sn_narrow(eager, 0, 0, 4), SN_I(4)), 0, 0, 0, 0);
    assert_true(same_bits(SN_FN(c, sign_of_a_product)(x, weight), eager));
    sn_compiled_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(what_is_computed_has_one_nan),
        API_TEST(reductions_and_scans_have_one_nan),
        API_TEST(what_is_moved_keeps_its_bits),
        API_TEST(signs_of_nans_are_seen_where_they_were_given),
        API_TEST(a_nan_is_found_at_any_place),
        API_TEST(signs_behind_products_are_those_of_eager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
