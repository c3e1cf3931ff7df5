/* Type inference of pointwise ops, reductions, sources, contractions and composites: result types,
 * normalised attributes, the text of refusals, limits, and random calls. Views: test_infer_view.c. */
#include "tests/infer_cases.h"

/* ---- pointwise ------------------------------------------------------------------------------- */

static void dtype_rules_follow_the_table(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_NEG, "i32[3]", "", "i32[3]", NULL},
        {OP_ABS, "u8[]", "", "u8[]", NULL},
        {OP_SIGN, "bool[2]", "", "bool[2]", NULL},
        {OP_SQUARE, "bool[2]", "", "i64[2]", NULL},
        {OP_SQUARE, "u8[2]", "", "u8[2]", NULL},
        {OP_SQUARE, "bf16[2]", "", "bf16[2]", NULL},
        {OP_EXP, "i64[2]", "", "f32[2]", NULL},
        {OP_EXP, "bool[2]", "", "f32[2]", NULL},
        {OP_EXP, "bf16[2]", "", "bf16[2]", NULL},
        {OP_ISNAN, "f64[2,0]", "", "bool[2,0]", NULL},
        {OP_CAST, "f32[2]", "1", "u8[2]", NULL},
        {OP_GELU, "f16[2]", "1", "f16[2]", NULL},
        {OP_RELU, "u8[2]", "", "u8[2]", NULL},
        {OP_CLONE, "i8[2,1]", "", "i8[2,1]", NULL},
        {OP_HARDTANH, "i32[2]", "d-1 d1", "i32[2]", NULL},
        {OP_BITWISE_NOT, "bool[2]", "", "bool[2]", NULL},
        {OP_ADD, "f16[2] bf16[2]", "", "f32[2]", NULL},
        {OP_ADD, "bool[2] bool[2]", "", "bool[2]", NULL},
        {OP_ADD, "u8[2] i8[2]", "", "i16[2]", NULL},
        {OP_DIV, "i64[2] i64[2]", "", "f32[2]", NULL},
        {OP_DIV, "i64[2] f16[]", "", "f16[2]", NULL},
        {OP_EQ, "f16[2] i64[2]", "", "bool[2]", NULL},
        {OP_POW, "i32[2] u8[2]", "", "i32[2]", NULL},
        {OP_HYPOT, "f16[2] f32[2]", "", "f32[2]", NULL},
        {OP_BITWISE_AND, "bool[2] u8[2]", "", "u8[2]", NULL},
        {OP_SHIFT_LEFT, "i32[2] w:i64", "", "i32[2]", NULL},
        {OP_WHERE, "bool[3] f16[3] f32[]", "", "f16[3]", NULL},
        {OP_WHERE, "f64[3] i8[] u8[]", "", "i16[3]", NULL},
        {OP_LERP, "f32[3] f32[3] w:f64", "", "f32[3]", NULL},
        {OP_ADDCMUL, "i64[3] f32[3] i32[3]", "d0.5", "f32[3]", NULL},
        {OP_XLOGY, "i64[1] i64[1]", "", "f32[1]", NULL},
        {OP_COPYSIGN, "bool[1] f64[1]", "", "f64[1]", NULL},
    };
    CHECK_ALL(check_valid, cases);
}

static void weak_scalars_do_not_promote(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_ADD, "f16[2] w:f64", "", "f16[2]", NULL},
        {OP_ADD, "i8[2] w:i64", "", "i8[2]", NULL},
        {OP_MUL, "i64[2] w:f64", "", "f32[2]", NULL},
        {OP_MUL, "bool[2] w:i32", "", "i64[2]", NULL},
        {OP_MUL, "w:f64 w:i32", "", "f32[]", NULL},
        {OP_CLAMP, "i64[2] w:f64 -", "", "f32[2]", NULL},
        {OP_CLAMP, "u8[2] - w:i64", "", "u8[2]", NULL},
        {OP_CLAMP, "bf16[2] bf16[2,1] w:i64", "", "bf16[2,2]", NULL},
        {OP_WHERE, "bool[2] w:f32 bf16[2]", "", "bf16[2]", NULL},
        {OP_WHERE, "bool[2] w:i64 w:f64", "", "f32[2]", NULL},
        {OP_DIV, "w:i64 f64[]", "", "f64[]", NULL},
    };
    CHECK_ALL(check_valid, cases);
}

static uint8_t strength_of(OpCode op, const char *operands, const char *attrs_text) {
    TensorType inputs[MOST_OPERANDS], result;
    AttrList attrs;
    int32_t n_inputs = read_types(operands, inputs);
    read_attrs(attrs_text, &attrs);
    assert_int_equal(op_infer(NULL, op, inputs, n_inputs, &attrs, &result, NULL), SN_OK);
    return result.strength;
}

static void only_weak_operands_give_a_weak_result(void **state) {
    (void)state;
    assert_int_equal(strength_of(OP_ADD, "w:f32 w:i64", ""), STRENGTH_WEAK);
    assert_int_equal(strength_of(OP_NEG, "w:f32", ""), STRENGTH_WEAK);
    assert_int_equal(strength_of(OP_ADD, "w:f32 f32[]", ""), STRENGTH_ZERO_DIM);
    assert_int_equal(strength_of(OP_ADD, "w:f32 f32[1]", ""), STRENGTH_FULL);
    assert_int_equal(strength_of(OP_CLAMP, "w:f32 - w:f32", ""), STRENGTH_WEAK);
    assert_int_equal(strength_of(OP_CAST, "w:f32", "9"), STRENGTH_ZERO_DIM);
    assert_int_equal(strength_of(OP_SUM, "w:f32", "[] 0 0"), STRENGTH_ZERO_DIM);
    assert_int_equal(strength_of(OP_SUM, "f32[3]", "[] 0 0"), STRENGTH_ZERO_DIM);
    assert_int_equal(strength_of(OP_RESHAPE, "w:f32", "[1]"), STRENGTH_FULL);
}

static void a_constant_and_an_input_keep_the_type_they_are_given(void **state) {
    (void)state;
    AttrList attrs = {.count = 3, .words = {0, 0, 5}};
    TensorType type = {.dtype = SN_F64, .rank = 3};
    assert_int_equal(op_infer(NULL, OP_CONST, NULL, 0, &attrs, &type, NULL), SN_OK);
    assert_type(&type, "f64[]");
    assert_int_equal(type.strength, STRENGTH_WEAK);
    assert_true(attr_bool(attr_view(OP_CONST, &attrs), ATTR_WEAK));
    attrs = (AttrList){.count = 2}; /* number 0, no strides */
    type = (TensorType){.dtype = SN_I8, .rank = 2, .dims = {{3}, {0}}};
    assert_int_equal(op_infer(NULL, OP_INPUT, NULL, 0, &attrs, &type, NULL), SN_OK);
    assert_type(&type, "i8[3,0]");
    type.dims[1] = dim_of(-1);
    assert_int_equal(op_infer(NULL, OP_INPUT, NULL, 0, &attrs, &type, NULL), SN_ERROR_SHAPE);
    attrs = (AttrList){.count = 3, .words = {0, 1, 8}};
    type.dims[1] = dim_of(1);
    assert_int_equal(op_infer(NULL, OP_INPUT, NULL, 0, &attrs, &type, NULL), SN_ERROR_ARGUMENT);
}

static void shapes_broadcast_from_the_right(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_ADD, "f32[2,3] f32[3]", "", "f32[2,3]", NULL},
        {OP_ADD, "f32[3] f32[2,1]", "", "f32[2,3]", NULL},
        {OP_ADD, "f32[5,1,7] f32[6,1]", "", "f32[5,6,7]", NULL},
        {OP_ADD, "f32[1] f32[0]", "", "f32[0]", NULL},
        {OP_ADD, "f32[0,1] f32[1,3]", "", "f32[0,3]", NULL},
        {OP_ADD, "f32[] f32[]", "", "f32[]", NULL},
        {OP_ADD, "f32[2,1,1,1,1,1,1,1] f32[2]", "", "f32[2,1,1,1,1,1,1,2]", NULL},
        {OP_WHERE, "bool[2,1] f32[] f32[1,3]", "", "f32[2,3]", NULL},
    };
    CHECK_ALL(check_valid, cases);
}

static void pointwise_refusals_name_operands_and_types(void **state) {
    (void)state;
    static const Invalid cases[] = {
        {OP_ADD, "f32[2,3] f32[4]", "", SN_ERROR_SHAPE,
         "add: shapes do not broadcast: x is f32[2,3], y is f32[4]"},
        {OP_ADD, "f32[2,0] f32[2]", "", SN_ERROR_SHAPE,
         "add: shapes do not broadcast: x is f32[2,0], y is f32[2]"},
        {OP_ATAN2, "f32[2] f32[3]", "", SN_ERROR_SHAPE,
         "atan2: shapes do not broadcast: y is f32[2], x is f32[3]"},
        {OP_WHERE, "bool[2] f32[3] f32[]", "", SN_ERROR_SHAPE,
         "where: shapes do not broadcast: condition is bool[2], x is f32[3], y is f32[]"},
        {OP_SUB, "bool[2] bool[2]", "", SN_ERROR_DTYPE,
         "sub: bool is refused (numbers only; sn_cast converts): x is bool[2], y is bool[2]"},
        {OP_SUB, "f32[2] bool[2]", "", SN_ERROR_DTYPE,
         "sub: bool is refused (numbers only; sn_cast converts): x is f32[2], y is bool[2]"},
        {OP_NEG, "bool[2]", "", SN_ERROR_DTYPE,
         "neg: bool is refused (numbers only; sn_cast converts): x is bool[2]"},
        {OP_POW, "bool[] bool[]", "", SN_ERROR_DTYPE,
         "pow: bool is refused (numbers only; sn_cast converts): x is bool[], y is bool[]"},
        {OP_FRAC, "i32[2]", "", SN_ERROR_DTYPE,
         "frac: i32 is refused (floats only; sn_cast converts): x is i32[2]"},
        {OP_HYPOT, "i64[2] i64[2]", "", SN_ERROR_DTYPE,
         "hypot: i64 is refused (floats only; sn_cast converts): x is i64[2], y is i64[2]"},
        {OP_LERP, "i64[2] i64[2] i64[2]", "", SN_ERROR_DTYPE,
         "lerp: i64 is refused (floats only; sn_cast converts): x is i64[2], y is i64[2], weight "
         "is i64[2]"},
        {OP_BITWISE_OR, "i64[2] w:f32", "", SN_ERROR_DTYPE,
         "bitwise_or: f32 is refused (integers and bool only; sn_cast converts): x is i64[2], y is "
         "f32[]"},
        {OP_SHIFT_RIGHT, "bool[2] bool[2]", "", SN_ERROR_DTYPE,
         "shift_right: bool is refused (integers only; sn_cast converts): x is bool[2], y is "
         "bool[2]"},
        {OP_CLAMP, "f32[2] - -", "", SN_ERROR_ARGUMENT, "clamp: low and high are both absent"},
        {OP_GELU, "f32[2]", "2", SN_ERROR_ARGUMENT, "gelu: form 2 is not in 0 to 1"},
        {OP_CAST, "f32[2]", "10", SN_ERROR_ARGUMENT, "cast: dtype 10 is no dtype"},
        {OP_DROPOUT, "f32[2] i64[2]", "d1.5 0", SN_ERROR_ARGUMENT,
         "dropout: p is 1.5, which is no probability"},
        {OP_DROPOUT, "f32[2] i64[2]", "dnan 0", SN_ERROR_ARGUMENT,
         "dropout: p is nan, which is no probability"},
        {OP_DROPOUT, "f32[2] i64[3]", "d0.5 0", SN_ERROR_ARGUMENT,
         "dropout: a generator's state is i64[2], not i64[3]"},
    };
    CHECK_ALL(check_invalid, cases);
}

static void calls_that_break_the_signature_are_refused(void **state) {
    (void)state;
    static const Invalid cases[] = {
        {OP_ADD, "f32[2]", "", SN_ERROR_ARGUMENT, "add: takes 2 tensors, got 1"},
        {OP_ADD, "f32[2] f32[2] f32[2]", "", SN_ERROR_ARGUMENT, "add: takes 2 tensors, got 3"},
        {OP_ADD, "f32[2] -", "", SN_ERROR_ARGUMENT, "add: y is absent"},
        {OP_CAT, "", "0", SN_ERROR_ARGUMENT, "cat: needs at least one tensor"},
        {OP_CAT, "f32[2] -", "0", SN_ERROR_ARGUMENT, "cat: xs[1] is absent"},
        {OP_ADD, "f32[2] f32[2]", "1", SN_ERROR_ARGUMENT, "add: 1 attribute words too many"},
        {OP_SUM, "f32[2]", "[0] 0", SN_ERROR_ARGUMENT,
         "sum: attribute order is missing or cut off"},
        {OP_SUM, "f32[2]", "9 0 0", SN_ERROR_ARGUMENT, "sum: attribute axes is missing or cut off"},
        {OP_SUM, "f32[2]", "-1 0 0", SN_ERROR_ARGUMENT,
         "sum: attribute axes is missing or cut off"},
        {OP_SUM, "f32[2]", "0x7fffffffffffffff 0 0", SN_ERROR_ARGUMENT,
         "sum: attribute axes is missing or cut off"},
        {OP_SUM, "f32[2]", "[0] 0 9", SN_ERROR_ARGUMENT, "sum: no reduction order has number 9"},
        {OP_LOAD, "", "0", SN_ERROR_ARGUMENT, "load: belongs to kernels, not to graphs"},
    };
    CHECK_ALL(check_invalid, cases);
    AttrList attrs = {.count = ATTR_MOST + 1};
    TensorType x = {.dtype = SN_F32}, result;
    assert_int_equal(op_infer(NULL, OP_NEG, &x, 1, &attrs, &result, NULL), SN_ERROR_ARGUMENT);
    attrs.count = 0;
    assert_int_equal(op_infer(NULL, OP_COUNT, &x, 1, &attrs, &result, NULL), SN_ERROR_ARGUMENT);
    AttrList scalar = {.count = 1,
                       .words = {attr_scalar(0)}}; /* a slope may vary, a scale may not */
    assert_int_equal(op_infer(NULL, OP_LEAKY_RELU, &x, 1, &scalar, &result, NULL), SN_OK);
    scalar = (AttrList){.count = 3, .words = {0, 0, attr_scalar(0)}};
    assert_int_equal(op_infer(NULL, OP_VAR, &x, 1, &scalar, &result, NULL), SN_ERROR_ARGUMENT);
    x.dtype = SN_DTYPE_COUNT;
    assert_int_equal(op_infer(NULL, OP_NEG, &x, 1, &attrs, &result, NULL), SN_ERROR_ARGUMENT);
    x = (TensorType){.rank = SN_MAX_RANK + 1};
    assert_int_equal(op_infer(NULL, OP_SIGN, &x, 1, &attrs, &result, NULL), SN_ERROR_ARGUMENT);
}

/* ---- reductions ------------------------------------------------------------------------------ */

static void reductions_normalise_axes_and_choose_their_order(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_SUM, "f32[2,3,4]", "[] 0 0", "f32[]", "[0,1,2] 0 1"},
        {OP_SUM, "f32[2,3,4]", "[-1] 0 0", "f32[2,3]", "[2] 0 1"},
        {OP_SUM, "f32[2,3,4]", "[1,0] 0 0", "f32[4]", "[0,1] 0 2"},
        {OP_SUM, "f32[2,3,4]", "[-1,0] 1 0", "f32[1,3,1]", "[0,2] 1 1"},
        {OP_SUM, "f32[2,1]", "[1] 0 0", "f32[2]", "[1] 0 1"},
        {OP_SUM, "f32[]", "[] 0 0", "f32[]", "[] 0 1"},
        {OP_SUM, "f32[]", "[-1] 1 0", "f32[]", "[] 1 1"},
        {OP_SUM, "f32[2,3]", "[0] 0 3", "f32[3]", "[0] 0 3"},
        {OP_SUM, "f32[2,3]", "[1] 7 2", "f32[2,1]", "[1] 1 2"},
        {OP_SUM, "u8[2]", "[] 0 0", "i64[]", "[0] 0 4"},
        {OP_PROD, "bool[2,3]", "[0] 0 0", "i64[3]", "[0] 0 4"},
        {OP_PROD, "f16[0,3]", "[0] 0 0", "f16[3]", "[0] 0 2"},
        {OP_MEAN, "bf16[2,3]", "[] 1", "bf16[1,1]", "[0,1] 1"},
        {OP_MAX, "bool[2,3]", "[1] 0", "bool[2]", NULL},
        {OP_MIN, "f32[0,3]", "[-1] 0", "f32[0]", "[1] 0"},
        {OP_ARGMAX, "f32[2,3]", "[] 0", "i64[]", "[0,1] 0"},
        {OP_ARGMIN, "bool[2,3]", "[0] 1", "i64[1,3]", NULL},
        {OP_ANY, "f32[0]", "[] 0", "bool[]", "[0] 0"},
        {OP_ALL, "u8[2,3]", "[0] 0", "bool[3]", NULL},
        {OP_VAR, "f64[2,3]", "[-2] 0 d1", "f64[3]", "[0] 0 d1"},
        {OP_LOGSUMEXP, "f32[2,3]", "[1] 0", "f32[2]", NULL},
        {OP_LOGSUMEXP, "i64[2,3]", "[1] 0", "f32[2]", NULL},
        {OP_SUM, "f32[1,1,1,1,1,1,1,2]", "[7,6,5,4,3,2,1,0] 0 0", "f32[]", "[0,1,2,3,4,5,6,7] 0 1"},
        {OP_CUMSUM, "i8[2,3]", "-1", "i64[2,3]", "1"},
        {OP_CUMSUM, "f32[]", "-1", "f32[]", "0"},
        {OP_SOFTMAX, "f32[2,3]", "-2", "f32[2,3]", "0"},
        {OP_LOG_SOFTMAX, "f16[0]", "0", "f16[0]", NULL},
    };
    CHECK_ALL(check_valid, cases);
}

static void reductions_refuse_axes_they_cannot_reduce(void **state) {
    (void)state;
    static const Invalid cases[] = {
        {OP_SUM, "f32[2,3]", "[3] 0 0", SN_ERROR_INDEX,
         "sum: axis 3 is out of range for x, which is f32[2,3]"},
        {OP_SUM, "f32[2,3]", "[-3] 0 0", SN_ERROR_INDEX,
         "sum: axis -3 is out of range for x, which is f32[2,3]"},
        {OP_SUM, "f32[]", "[1] 0 0", SN_ERROR_INDEX,
         "sum: axis 1 is out of range for x, which is f32[]"},
        {OP_SUM, "f32[2,3]", "[1,-1] 0 0", SN_ERROR_ARGUMENT, "sum: axis 1 is listed twice"},
        {OP_SUM, "f32[2]", "[-9223372036854775808] 0 0", SN_ERROR_INDEX,
         "sum: axis -9223372036854775808 is out of range for x, which is f32[2]"},
        {OP_MAX, "f32[2,0]", "[1] 0", SN_ERROR_SHAPE, "max: axis 1 has no elements: x is f32[2,0]"},
        {OP_ARGMAX, "f32[0]", "[] 0", SN_ERROR_SHAPE,
         "argmax: axis 0 has no elements: x is f32[0]"},
        {OP_MEAN, "i64[2]", "[] 0", SN_ERROR_DTYPE,
         "mean: i64 is refused (floats only; sn_cast converts): x is i64[2]"},
        {OP_VAR, "bool[2]", "[] 0 d1", SN_ERROR_DTYPE,
         "var: bool is refused (floats only; sn_cast converts): x is bool[2]"},
        {OP_SOFTMAX, "i32[2]", "0", SN_ERROR_DTYPE,
         "softmax: i32 is refused (floats only; sn_cast converts): x is i32[2]"},
        {OP_SOFTMAX, "f32[2]", "1", SN_ERROR_INDEX,
         "softmax: axis 1 is out of range for x, which is f32[2]"},
    };
    CHECK_ALL(check_invalid, cases);
}

/* ---- sources, contractions, composites ------------------------------------------------------- */

static void sources_take_their_dims_from_attributes(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_FULL, "", "[2,0] d1.5 4", "i32[2,0]", NULL},
        {OP_FULL, "", "[] d1.5 0", "bool[]", NULL},
        {OP_EMPTY, "", "[3] 6", "f16[3]", NULL},
        {OP_IOTA, "", "[2,3] -1", "i64[2,3]", "[2,3] 1"},
        {OP_RAND, "i64[2]", "[2] 8 0", "f32[2]", NULL},
        {OP_RANDN, "i64[2]", "[] 6 17", "f16[]", NULL},
        {OP_DROPOUT, "bf16[2] i64[2]", "d1 0", "bf16[2]", NULL},
        {OP_ARANGE, "", "d0 d5 d1 5", "i64[5]", NULL},
        {OP_ARANGE, "", "d0 d1 d0.3 8", "f32[4]", NULL},
        {OP_ARANGE, "", "d5 d0 d-2 8", "f32[3]", NULL},
        {OP_ARANGE, "", "d1 d1 d-1 8", "f32[0]", NULL},
        {OP_ARANGE, "", "d2.1 d-2.9 d-1 5", "i64[5]", NULL}, /* fractions count */
    };
    static const Invalid refused[] = {
        {OP_FULL, "", "[2,-1] d0 8", SN_ERROR_SHAPE, "full: dims[1] is -1, a negative size"},
        {OP_FULL, "", "[1,1,1,1,1,1,1,1,1] d0 8", SN_ERROR_SHAPE,
         "full: dims has 9 sizes, but a tensor has at most 8"},
        {OP_FULL, "", "[2147483648,2147483648] d0 1", SN_ERROR_MEMORY,
         "full: the result u8[2147483648,2147483648] is too large"},
        {OP_FULL, "", "[0,4611686018427387904,4] d0 8", SN_ERROR_MEMORY,
         "full: the result f32[0,4611686018427387904,4] is too large"},
        {OP_IOTA, "", "[2] 1", SN_ERROR_INDEX, "iota: axis 1 is out of range for i64[2]"},
        {OP_RANDN, "i64[2]", "[2] 5 0", SN_ERROR_DTYPE,
         "randn: dtype i64 is refused (floats only)"},
        {OP_ARANGE, "", "d0 d5 d0 8", SN_ERROR_ARGUMENT, "arange: step must not be 0"},
        {OP_ARANGE, "", "d0 d5 d-1 8", SN_ERROR_ARGUMENT,
         "arange: step -1 does not lead from 0 to 5"},
        {OP_ARANGE, "", "d0 dinf d1 8", SN_ERROR_ARGUMENT,
         "arange: start, end and step must be finite"},
        {OP_ARANGE, "", "d0 d1 d1e-300 8", SN_ERROR_MEMORY,
         "arange: the result of 1e+300 elements is too large"},
        {OP_ARANGE, "", "d-1e308 d1e308 d1 8", SN_ERROR_MEMORY,
         "arange: the result of inf elements is too large"},
        {OP_ARANGE, "", "d0 d5 d1 0", SN_ERROR_DTYPE,
         "arange: dtype bool is refused (numbers only)"},
    };
    CHECK_ALL(check_valid, cases);
    CHECK_ALL(check_invalid, refused);
}

static void contractions_follow_numpys_rules(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_MATMUL, "f32[2,3] f32[3,4]", "", "f32[2,4]", NULL},
        {OP_MATMUL, "f32[3] f32[3]", "", "f32[]", NULL},
        {OP_MATMUL, "f32[3] f32[5,3,4]", "", "f32[5,4]", NULL},
        {OP_MATMUL, "f32[5,2,3] f32[3]", "", "f32[5,2]", NULL},
        {OP_MATMUL, "f32[6,1,2,3] f32[5,3,4]", "", "f32[6,5,2,4]", NULL},
        {OP_MATMUL, "f16[2,0] f32[0,4]", "", "f32[2,4]", NULL},
        {OP_MATMUL, "i64[2,3] i8[3,1]", "", "i64[2,1]", NULL},
        {OP_CONTRACT, "f64[2,3,4] f64[2,3,4]", "[1] 1 0", "f64[2,1,4]", "[1] 1 5"},
        {OP_CONTRACT, "f32[2,3] f32[2,3]", "[-1] 0 5", "f32[2]", "[1] 0 5"},
        {OP_LINEAR, "f32[7,2,3] f32[4,3] f32[4]", "", "f32[7,2,4]", NULL},
        {OP_LINEAR, "f32[3] f32[4,3] -", "", "f32[4]", NULL},
        {OP_BILINEAR, "f32[7,2,3] f32[7,2,5] f32[4,3,5] f32[4]", "", "f32[7,2,4]", NULL},
        {OP_BILINEAR, "i8[3] i16[5] i8[4,3,5] -", "", "i16[4]", NULL},
    };
    static const Invalid refused[] = {
        {OP_MATMUL, "f32[32,768] f32[512,3072]", "", SN_ERROR_SHAPE,
         "matmul: inner sizes differ: x is f32[32,768], y is f32[512,3072]"},
        {OP_MATMUL, "f32[] f32[2]", "", SN_ERROR_SHAPE,
         "matmul: operands must have at least 1 dim: x is f32[], y is f32[2]"},
        {OP_MATMUL, "f32[2,3,4] f32[3,4,5]", "", SN_ERROR_SHAPE,
         "matmul: batch sizes do not broadcast: x is f32[2,3,4], y is f32[3,4,5]"},
        {OP_MATMUL, "bool[2,2] bool[2,2]", "", SN_ERROR_DTYPE,
         "matmul: bool is refused (numbers only; sn_cast converts): x is bool[2,2], y is "
         "bool[2,2]"},
        {OP_MATMUL, "f32[4294967296,1] f32[1,4294967296]", "", SN_ERROR_MEMORY,
         "matmul: the result f32[4294967296,4294967296] is too large"},
        {OP_GEMM, "", "", SN_ERROR_ARGUMENT, "gemm: it is no op any more"},
        {OP_CONTRACT, "f32[2,3] f32[2,1]", "[1] 1 0", SN_ERROR_SHAPE,
         "contract: the operands differ in shape: x is f32[2,3], y is f32[2,1]"},
        {OP_CONTRACT, "f32[2,3] f64[2,3]", "[1] 1 0", SN_ERROR_DTYPE,
         "contract: y must have the dtype of x (sn_cast converts): x is f32[2,3], y is f64[2,3]"},
        {OP_CONTRACT, "f32[2,3] f32[2,3]", "[1] 1 2", SN_ERROR_ARGUMENT,
         "contract: no reduction order has number 2"},
        {OP_SUM, "f32[2,3]", "[1] 1 5", SN_ERROR_ARGUMENT, "sum: no reduction order has number 5"},
        {OP_LINEAR, "f32[3] f32[4,3] f32[3]", "", SN_ERROR_SHAPE,
         "linear: bias must have 4 elements in 1 dim: x is f32[3], weight is f32[4,3], "
         "bias is f32[3]"},
        {OP_LINEAR, "f32[3] f32[3] -", "", SN_ERROR_SHAPE,
         "linear: x must have at least 1 dim and weight must have 2: x is f32[3], "
         "weight is f32[3]"},
        {OP_BILINEAR, "f32[2,3] f32[1,5] f32[4,3,5] -", "", SN_ERROR_SHAPE,
         "bilinear: x1 and x2 must have the same dims but for the last: x1 is f32[2,3], "
         "x2 is f32[1,5], weight is f32[4,3,5]"},
        {OP_BILINEAR, "f32[2,3] f32[2,5] f32[4,5,3] -", "", SN_ERROR_SHAPE,
         "bilinear: inner sizes differ: x1 is f32[2,3], x2 is f32[2,5], weight is f32[4,5,3]"},
        {OP_BILINEAR, "f32[] f32[2,5] f32[4,5,3] -", "", SN_ERROR_SHAPE,
         "bilinear: x1 must have at least 1 dim and weight must have 3: x1 is f32[], "
         "x2 is f32[2,5], weight is f32[4,5,3]"},
        {OP_BILINEAR, "f32[3] f32[5] f32[4,3,5] f32[3]", "", SN_ERROR_SHAPE,
         "bilinear: bias must have 4 elements in 1 dim: x1 is f32[3], x2 is f32[5], "
         "weight is f32[4,3,5], bias is f32[3]"},
        {OP_LINEAR, "f32[2,4] f32[4,3] -", "", SN_ERROR_SHAPE,
         "linear: inner sizes differ: x is f32[2,4], weight is f32[4,3]"},
    };
    CHECK_ALL(check_valid, cases);
    CHECK_ALL(check_invalid, refused);
}

static void composites_check_their_operands(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_LAYER_NORM, "f32[2,3,4] f32[3,4] f32[3,4]", "d1e-05", "f32[2,3,4]", NULL},
        {OP_LAYER_NORM, "f32[2,3] - f32[3]", "d0", "f32[2,3]", NULL},
        {OP_RMS_NORM, "bf16[3] -", "d0", "bf16[3]", NULL},
        {OP_CROSS_ENTROPY, "f32[5] i64[]", "0", "f32[]", NULL},
        {OP_CROSS_ENTROPY, "f32[2,5] i32[2]", "1", "f32[]", NULL},
        {OP_CROSS_ENTROPY, "f16[2,5,7,1] i64[2,7,1]", "2", "f16[2,7,1]", NULL},
        {OP_ATTENTION, "f32[2,8,5,16] f32[2,8,7,16] f32[2,8,7,4] -", "1 d0", "f32[2,8,5,4]", NULL},
        {OP_ATTENTION, "f32[5,16] f32[7,16] f32[7,4] bool[7]", "0 d0.5", "f32[5,4]", NULL},
        {OP_ATTENTION, "f32[3,5,2] f32[3,7,2] f32[3,7,2] f32[1,5,1]", "0 d0", "f32[3,5,2]", NULL},
    };
    static const Invalid refused[] = {
        {OP_LAYER_NORM, "f32[2,3] f32[2] -", "d0", SN_ERROR_SHAPE,
         "layer_norm: weight must have the shape of the normalised last dims of x: "
         "x is f32[2,3], weight is f32[2]"},
        {OP_LAYER_NORM, "f32[2,3] f32[3] f32[2,3]", "d0", SN_ERROR_SHAPE,
         "layer_norm: bias must have the shape of the normalised last dims of x: "
         "x is f32[2,3], weight is f32[3], bias is f32[2,3]"},
        {OP_LAYER_NORM, "f16[2,3] f32[3] -", "d0", SN_ERROR_DTYPE,
         "layer_norm: weight must have the dtype of x (sn_cast converts): x is f16[2,3], weight is "
         "f32[3]"},
        {OP_RMS_NORM, "f32[] -", "d0", SN_ERROR_SHAPE,
         "rms_norm: x must have at least 1 dim: x is f32[]"},
        {OP_RMS_NORM, "f32[2] f32[]", "d0", SN_ERROR_SHAPE,
         "rms_norm: weight must have the shape of the normalised last dims of x: "
         "x is f32[2], weight is f32[]"},
        {OP_CROSS_ENTROPY, "f32[2,5] i64[5]", "0", SN_ERROR_SHAPE,
         "cross_entropy: target must have the shape of x without axis 1: x is f32[2,5], "
         "target is i64[5]"},
        {OP_CROSS_ENTROPY, "f32[] i64[]", "0", SN_ERROR_SHAPE,
         "cross_entropy: x must have an axis of classes: x is f32[], target is i64[]"},
        {OP_CROSS_ENTROPY, "f32[2,5] f32[2]", "0", SN_ERROR_DTYPE,
         "cross_entropy: target must be i32 or i64, not f32 (sn_cast converts)"},
        {OP_CROSS_ENTROPY, "f32[5] i64[]", "3", SN_ERROR_ARGUMENT,
         "cross_entropy: reduction 3 is not in 0 to 2"},
        {OP_ATTENTION, "f32[5,16] f32[7,16] f32[7,4] bool[5,7]", "1 d0", SN_ERROR_ARGUMENT,
         "scaled_dot_product_attention: a mask and causal exclude each other"},
        {OP_ATTENTION, "f32[2,2] f32[2,2] f32[2,2] bool[1,2,2]", "0 d0", SN_ERROR_SHAPE,
         "scaled_dot_product_attention: mask does not broadcast to the scores: query is f32[2,2], "
         "key is f32[2,2], value is f32[2,2], mask is bool[1,2,2]"},
        {OP_ATTENTION, "f32[1,2] f32[2,2] f32[2,2] bool[5,2]", "0 d0", SN_ERROR_SHAPE,
         "scaled_dot_product_attention: mask does not broadcast to the scores: query is f32[1,2], "
         "key is f32[2,2], value is f32[2,2], mask is bool[5,2]"},
        {OP_ATTENTION, "f32[2,2] f32[2,2] f32[2,2] f64[2,2]", "0 d0", SN_ERROR_DTYPE,
         "scaled_dot_product_attention: mask must be bool or have query's dtype: "
         "query is f32[2,2], key is f32[2,2], value is f32[2,2], mask is f64[2,2]"},
        {OP_ATTENTION, "f32[2,2] f16[2,2] f32[2,2] -", "0 d0", SN_ERROR_DTYPE,
         "scaled_dot_product_attention: key must have the dtype of query (sn_cast converts): query "
         "is f32[2,2], "
         "key is f16[2,2], value is f32[2,2]"},
        {OP_ATTENTION, "f32[3,2,2] f32[1,2,2] f32[3,2,2] -", "0 d0", SN_ERROR_SHAPE,
         "scaled_dot_product_attention: batch sizes differ: query is f32[3,2,2], "
         "key is f32[1,2,2], value is f32[3,2,2]"},
    };
    CHECK_ALL(check_valid, cases);
    CHECK_ALL(check_invalid, refused);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void counts_of_elements_do_not_overflow(void **state) {
    (void)state;
    const int64_t most = INT64_MAX / 8;
    assert_int_equal(sizes_count(NULL, 0), 1);
    assert_int_equal(sizes_count((const int64_t[]){most}, 1), most);
    assert_int_equal(sizes_count((const int64_t[]){most + 1}, 1), -1);
    assert_int_equal(sizes_count((const int64_t[]){3, 0, 5}, 3), 0);
    assert_int_equal(sizes_count((const int64_t[]){most, 0, 2}, 3), -1);
    assert_int_equal(sizes_count((const int64_t[]){0, INT64_MAX, INT64_MAX}, 3), -1);
    assert_int_equal(sizes_count((const int64_t[]){2, -1}, 2), -1);
    assert_int_equal(sizes_count((const int64_t[]){0, -1}, 2), -1);
}

static void a_long_message_is_cut_not_overrun(void **state) {
    (void)state;
    TensorType inputs[4], result;
    AttrList attrs = {.count = 2};
    for (int i = 0; i < 4; i++) {
        inputs[i] = (TensorType){.dtype = SN_BF16, .rank = 8, .strength = STRENGTH_FULL};
        for (int k = 0; k < 8; k++) inputs[i].dims[k] = dim_of(INT64_MAX - i);
    }
    sn_error error = {0};
    assert_int_equal(op_infer(NULL, OP_ATTENTION, inputs, 4, &attrs, &result, &error),
                     SN_ERROR_SHAPE);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
}

/* A number in [0, count), the same at every run. */
static int32_t pick(uint64_t *random, int32_t count) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)(*random >> 33) % count;
}

static TensorType pick_type(uint64_t *random) {
    TensorType type = {.dtype = (uint8_t)pick(random, SN_DTYPE_COUNT)};
    type.rank = (uint8_t)pick(random, pick(random, 9) ? 5 : SN_MAX_RANK + 1);
    type.strength = STRENGTH_FULL;
    if (type.rank == 0) type.strength = (uint8_t)pick(random, 2);
    if (pick(random, 12) == 0) type.rank = RANK_ABSENT;
    for (int k = 0; k < SN_MAX_RANK; k++) type.dims[k] = dim_of(pick(random, 4));
    return type;
}

static int64_t pick_word(uint64_t *random) {
    static const int64_t odd[] = {
        0, 1, 2, 3, 4, 7, -1, -2, INT64_MIN, INT64_MAX, INT64_MAX / 8, 1,
    };
    return odd[pick(random, sizeof odd / sizeof odd[0])];
}

/* Attributes that follow the signature, seldom with one word spoilt; returns the operands it takes. */
static int32_t pick_attrs(uint64_t *random, OpCode op, AttrList *attrs) {
    int32_t n_params, n_inputs = 0;
    const OpParam *params = op_params(op, &n_params);
    attrs->count = 0;
    for (int32_t i = 0; i < n_params; i++) {
        int32_t words = params[i].kind == 'L' ? pick(random, 5) : 1;
        if (params[i].kind == 'L') attrs->words[attrs->count++] = words;
        if (!params[i].attr) {
            n_inputs++;
            continue;
        }
        while (words--) attrs->words[attrs->count++] = pick_word(random);
    }
    if (attrs->count && pick(random, 20) == 0) {
        int32_t spoilt = pick(random, attrs->count);
        attrs->words[spoilt] = pick_word(random);
    }
    return n_inputs;
}

/* Whatever a caller puts in: a refusal, or a type that comes out again. */
static void random_calls_fail_or_give_a_sound_type(void **state) {
    (void)state;
    uint64_t random = 1;
    int taken = 0;
    for (int round = 0; round < 300000; round++) {
        TensorType inputs[OP_MOST_PARAMS], result, again;
        AttrList attrs;
        OpCode op = (OpCode)pick(&random, OP_COUNT);
        if (op == OP_INPUT || op == OP_CONST) continue;
        int32_t n_inputs = pick_attrs(&random, op, &attrs);
        for (int i = 0; i < n_inputs; i++) inputs[i] = pick_type(&random);
        if (op_infer(NULL, op, inputs, n_inputs, &attrs, &result, NULL) != SN_OK) continue;
        taken++;
        assert_true(result.dtype < SN_DTYPE_COUNT && result.rank <= SN_MAX_RANK);
        assert_true(type_count(&result) >= 0);
        AttrList normal = attrs;
        assert_int_equal(op_infer(NULL, op, inputs, n_inputs, &attrs, &again, NULL), SN_OK);
        assert_int_equal(attrs.count, normal.count);
        assert_memory_equal(attrs.words, normal.words, (size_t)normal.count * sizeof(int64_t));
        assert_int_equal(again.rank, result.rank);
        assert_memory_equal(again.dims, result.dims, result.rank * sizeof(int64_t));
    }
    assert_true(taken > 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtype_rules_follow_the_table),
        cmocka_unit_test(weak_scalars_do_not_promote),
        cmocka_unit_test(only_weak_operands_give_a_weak_result),
        cmocka_unit_test(a_constant_and_an_input_keep_the_type_they_are_given),
        cmocka_unit_test(shapes_broadcast_from_the_right),
        cmocka_unit_test(pointwise_refusals_name_operands_and_types),
        cmocka_unit_test(calls_that_break_the_signature_are_refused),
        cmocka_unit_test(reductions_normalise_axes_and_choose_their_order),
        cmocka_unit_test(reductions_refuse_axes_they_cannot_reduce),
        cmocka_unit_test(sources_take_their_dims_from_attributes),
        cmocka_unit_test(contractions_follow_numpys_rules),
        cmocka_unit_test(composites_check_their_operands),
        cmocka_unit_test(counts_of_elements_do_not_overflow),
        cmocka_unit_test(a_long_message_is_cut_not_overrun),
        cmocka_unit_test(random_calls_fail_or_give_a_sound_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
