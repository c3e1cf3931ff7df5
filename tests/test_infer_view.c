/* Type inference of views, joins, indexing and updates: result types, normalised attributes and the
 * text of refusals. */
#include "tests/infer_cases.h"

/* ---- views ----------------------------------------------------------------------------------- */

static void views_give_pytorchs_shapes(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_RESHAPE, "f32[2,3]", "[3,-1]", "f32[3,2]", "[3,2]"},
        {OP_RESHAPE, "f32[2,3]", "[-1]", "f32[6]", "[6]"},
        {OP_RESHAPE, "f32[1]", "[]", "f32[]", NULL},
        {OP_RESHAPE, "f32[]", "[1,-1,1]", "f32[1,1,1]", "[1,1,1]"},
        {OP_RESHAPE, "f32[0,3]", "[-1,7]", "f32[0,7]", "[0,7]"},
        {OP_RESHAPE, "f32[0]", "[3,0,9]", "f32[3,0,9]", NULL},
        {OP_PERMUTE, "f32[2,3,4]", "[-1,0,1]", "f32[4,2,3]", "[2,0,1]"},
        {OP_PERMUTE, "f32[]", "[]", "f32[]", NULL},
        {OP_TRANSPOSE, "f32[2,3,4]", "-1 0", "f32[4,3,2]", "2 0"},
        {OP_TRANSPOSE, "f32[2,3]", "1 1", "f32[2,3]", NULL},
        {OP_TRANSPOSE, "f32[]", "0 -1", "f32[]", "0 0"},
        {OP_EXPAND, "f32[1,3]", "[5,-1,-1]", "f32[5,1,3]", "[5,1,3]"},
        {OP_EXPAND, "f32[1,3]", "[4,3]", "f32[4,3]", NULL},
        {OP_EXPAND, "f32[1]", "[0]", "f32[0]", NULL},
        {OP_EXPAND, "f32[]", "[2,0]", "f32[2,0]", NULL},
        {OP_SQUEEZE, "f32[1,2,1]", "[]", "f32[2]", "[0,2]"},
        {OP_SQUEEZE, "f32[1,2,1]", "[-1]", "f32[1,2]", "[2]"},
        {OP_SQUEEZE, "f32[1,2,1]", "[1]", "f32[1,2,1]", NULL},
        {OP_SQUEEZE, "f32[2]", "[]", "f32[2]", NULL},
        {OP_SQUEEZE, "f32[]", "[-1]", "f32[]", "[]"},
        {OP_SQUEEZE, "f32[1,0]", "[1,0]", "f32[0]", "[0,1]"},
        {OP_UNSQUEEZE, "f32[2,3]", "-1", "f32[2,3,1]", "2"},
        {OP_UNSQUEEZE, "f32[2,3]", "-3", "f32[1,2,3]", "0"},
        {OP_UNSQUEEZE, "f32[]", "-1", "f32[1]", "0"},
        {OP_SLICE, "f32[10,4]", "[9,0] [-3,2] [4,2]", "f32[4,2]", NULL},
        {OP_SLICE, "f32[10]", "[10] [1] [0]", "f32[0]", NULL},
        {OP_SLICE, "f32[0]", "[0] [5] [0]", "f32[0]", NULL},
        {OP_SLICE, "f32[]", "[] [] []", "f32[]", NULL},
        {OP_SLICE, "f32[3]", "[2] [9223372036854775807] [1]", "f32[1]",
         "[2] [1152921504606846975] [1]"},
        {OP_SELECT, "f32[2,3,4]", "1 -1", "f32[2,4]", "1 2"},
        {OP_SELECT, "f32[2]", "-1 0", "f32[]", "0 0"},
        {OP_SELECT, "f32[0,2]", "1 1", "f32[0]", NULL},
        {OP_FLIP, "f32[2,3]", "[-1,0]", "f32[2,3]", "[0,1]"},
        {OP_FLIP, "f32[2,3]", "[]", "f32[2,3]", NULL},
        {OP_FLIP, "f32[]", "[0]", "f32[]", "[]"},
        {OP_DIAGONAL, "f32[3,4]", "0 0 1", "f32[3]", NULL},
        {OP_DIAGONAL, "f32[3,4]", "1 -2 -1", "f32[3]", "1 0 1"},
        {OP_DIAGONAL, "f32[3,4]", "-1 0 1", "f32[2]", NULL},
        {OP_DIAGONAL, "f32[3,4]", "-1 1 0", "f32[3]", NULL},
        {OP_DIAGONAL, "f32[3,4,5]", "0 0 2", "f32[4,3]", NULL},
        {OP_DIAGONAL, "f32[3,4]", "9223372036854775807 0 1", "f32[0]", "1152921504606846975 0 1"},
        {OP_DIAGONAL, "f32[3,4]", "-9223372036854775808 0 1", "f32[0]", "-1152921504606846975 0 1"},
        {OP_NARROW, "f32[5,2]", "0 -2 2", "f32[2,2]", "0 3 2"},
        {OP_NARROW, "f32[5]", "-1 5 0", "f32[0]", "0 5 0"},
        {OP_NARROW, "f32[0]", "0 0 0", "f32[0]", NULL},
    };
    CHECK_ALL(check_valid, cases);
}

static void views_refuse_what_lies_outside(void **state) {
    (void)state;
    static const Invalid cases[] = {
        {OP_RESHAPE, "f32[2,3]", "[4]", SN_ERROR_SHAPE,
         "reshape: x does not fit f32[4]: x is f32[2,3]"},
        {OP_RESHAPE, "f32[2,3]", "[4,-1]", SN_ERROR_SHAPE,
         "reshape: x does not fit f32[4,-1]: x is f32[2,3]"},
        {OP_RESHAPE, "f32[2]", "[]", SN_ERROR_SHAPE, "reshape: x does not fit f32[]: x is f32[2]"},
        {OP_RESHAPE, "f32[6]", "[-1,-1]", SN_ERROR_SHAPE, "reshape: only one of dims can be -1"},
        {OP_RESHAPE, "f32[6]", "[-2]", SN_ERROR_SHAPE, "reshape: dims[0] is -2, a negative size"},
        {OP_RESHAPE, "f32[0]", "[0,-1]", SN_ERROR_SHAPE,
         "reshape: the size -1 could be any beside a 0"},
        {OP_RESHAPE, "f32[1]", "[1,1,1,1,1,1,1,1,1]", SN_ERROR_SHAPE,
         "reshape: dims has 9 sizes, but a tensor has at most 8"},
        {OP_RESHAPE, "f32[0]", "[0,4611686018427387904,4611686018427387904]", SN_ERROR_MEMORY,
         "reshape: dims are too large"},
        {OP_PERMUTE, "f32[2,3]", "[0]", SN_ERROR_SHAPE,
         "permute: axes has length 1, but names each axis once: x is f32[2,3]"},
        {OP_PERMUTE, "f32[2,3]", "[0,-2]", SN_ERROR_ARGUMENT, "permute: axis 0 is listed twice"},
        {OP_PERMUTE, "f32[2,3]", "[0,2]", SN_ERROR_INDEX,
         "permute: axis 2 is out of range for x, which is f32[2,3]"},
        {OP_TRANSPOSE, "f32[2,3]", "0 2", SN_ERROR_INDEX,
         "transpose: axis 2 is out of range for x, which is f32[2,3]"},
        {OP_EXPAND, "f32[2]", "[3]", SN_ERROR_SHAPE,
         "expand: x does not expand to f32[3]: x is f32[2]"},
        {OP_EXPAND, "f32[2]", "[-1,2]", SN_ERROR_SHAPE, "expand: dims[0] is -1, a negative size"},
        {OP_EXPAND, "f32[1]", "[-2]", SN_ERROR_SHAPE, "expand: dims[0] is -2, a negative size"},
        {OP_EXPAND, "f32[2,3]", "[3]", SN_ERROR_SHAPE,
         "expand: dims has length 1, less than x: x is f32[2,3]"},
        {OP_EXPAND, "f32[1]", "[1,1,1,1,1,1,1,1,1]", SN_ERROR_SHAPE,
         "expand: dims has 9 sizes, but a tensor has at most 8"},
        {OP_EXPAND, "f32[1,1]", "[4294967296,4294967296]", SN_ERROR_MEMORY,
         "expand: the result f32[4294967296,4294967296] is too large"},
        {OP_SQUEEZE, "f32[1,1]", "[0,-2]", SN_ERROR_ARGUMENT, "squeeze: axis 0 is listed twice"},
        {OP_UNSQUEEZE, "f32[2]", "2", SN_ERROR_INDEX,
         "unsqueeze: axis 2 is out of range for x, which is f32[2]"},
        {OP_UNSQUEEZE, "f32[1,1,1,1,1,1,1,1]", "0", SN_ERROR_SHAPE,
         "unsqueeze: the result would have 9 dims, but a tensor has at most 8: "
         "x is f32[1,1,1,1,1,1,1,1]"},
        {OP_SLICE, "f32[4]", "[2] [1] [3]", SN_ERROR_INDEX,
         "slice: 3 elements from 2 by 1 leave axis 0: x is f32[4]"},
        {OP_SLICE, "f32[4]", "[1] [-1] [3]", SN_ERROR_INDEX,
         "slice: 3 elements from 1 by -1 leave axis 0: x is f32[4]"},
        {OP_SLICE, "f32[4]", "[4] [1] [1]", SN_ERROR_INDEX,
         "slice: 1 elements from 4 by 1 leave axis 0: x is f32[4]"},
        {OP_SLICE, "f32[4]", "[1] [9223372036854775807] [3]", SN_ERROR_INDEX,
         "slice: 3 elements from 1 by 9223372036854775807 leave axis 0: x is f32[4]"},
        {OP_SLICE, "f32[4]", "[0] [0] [3]", SN_ERROR_ARGUMENT,
         "slice: step of axis 0 must not be 0"},
        {OP_SLICE, "f32[4]", "[0] [1] [-1]", SN_ERROR_SHAPE,
         "slice: dims[0] is -1, a negative size"},
        {OP_SLICE, "f32[4]", "[0,0] [1] [1]", SN_ERROR_ARGUMENT,
         "slice: starts and steps must have an entry for each axis: x is f32[4]"},
        {OP_SLICE, "f32[4]", "[0] [1] []", SN_ERROR_ARGUMENT,
         "slice: dims must have an entry for each axis: x is f32[4]"},
        {OP_SELECT, "f32[2,3]", "1 3", SN_ERROR_INDEX,
         "select: index 3 is out of range for axis 1: x is f32[2,3]"},
        {OP_SELECT, "f32[]", "0 0", SN_ERROR_SHAPE,
         "select: x must have at least 1 dim: x is f32[]"},
        {OP_FLIP, "f32[2]", "[0,0]", SN_ERROR_ARGUMENT, "flip: axis 0 is listed twice"},
        {OP_DIAGONAL, "f32[2,2]", "0 1 -1", SN_ERROR_ARGUMENT,
         "diagonal: axis0 and axis1 are both 1"},
        {OP_DIAGONAL, "f32[2]", "0 0 1", SN_ERROR_SHAPE,
         "diagonal: x must have at least 2 dims: x is f32[2]"},
        {OP_NARROW, "f32[5]", "0 4 2", SN_ERROR_INDEX,
         "narrow: 2 elements from 4 leave axis 0: x is f32[5]"},
        {OP_NARROW, "f32[5]", "0 -6 1", SN_ERROR_INDEX,
         "narrow: 1 elements from -6 leave axis 0: x is f32[5]"},
        {OP_NARROW, "f32[5]", "0 0 -1", SN_ERROR_ARGUMENT, "narrow: length is -1"},
        {OP_NARROW, "f32[5]", "0 2 9223372036854775807", SN_ERROR_INDEX,
         "narrow: 9223372036854775807 elements from 2 leave axis 0: x is f32[5]"},
    };
    CHECK_ALL(check_invalid, cases);
}

/* ---- joins, indexing, updates ---------------------------------------------------------------- */

static void joins_and_pads_give_pytorchs_shapes(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_CAT, "f32[2,3] f32[2,4]", "-1", "f32[2,7]", "1"},
        {OP_CAT, "f32[2]", "0", "f32[2]", NULL},
        {OP_CAT, "f16[0] f32[2,3] f32[0] f32[1,3]", "-2", "f32[3,3]", "0"},
        {OP_CAT, "i64[0] f16[0]", "0", "f16[0]", NULL},
        {OP_CAT, "f32[2,0] f32[2,3]", "1", "f32[2,3]", NULL},
        {OP_STACK, "f32[2,3] bf16[2,3]", "-1", "f32[2,3,2]", "2"},
        {OP_STACK, "f32[] f64[] f32[]", "0", "f64[3]", NULL},
        {OP_PAD, "f32[2,3]", "[1,2] d0.5", "f32[2,6]", NULL},
        {OP_PAD, "f32[2,3]", "[0,-1,4,0] d0", "f32[6,2]", NULL},
        {OP_PAD, "f32[2,3]", "[] d0", "f32[2,3]", NULL},
        {OP_PAD, "f32[0]", "[2,0] d1", "f32[2]", NULL},
        {OP_PAD, "f32[3]", "[-3,1] d1", "f32[1]", NULL},
        {OP_TRIL, "bool[2,3,0]", "-1", "bool[2,3,0]", NULL},
        {OP_ONE_HOT, "i32[2,3]", "5", "i64[2,3,5]", NULL},
    };
    static const Invalid refused[] = {
        {OP_CAT, "f32[2,3] f32[0] f32[3,3]", "1", SN_ERROR_SHAPE,
         "cat: sizes differ outside the axis: xs[0] is f32[2,3], xs[2] is f32[3,3]"},
        {OP_CAT, "f32[2,3] f32[3]", "0", SN_ERROR_SHAPE,
         "cat: ranks differ: xs[0] is f32[2,3], xs[1] is f32[3]"},
        {OP_CAT, "f32[2] f32[]", "0", SN_ERROR_SHAPE, "cat: xs[1] must have at least 1 dim"},
        {OP_CAT, "f32[0] f32[2,3]", "2", SN_ERROR_INDEX,
         "cat: axis 2 is out of range for xs[1], which is f32[2,3]"},
        {OP_STACK, "f32[2] f32[2,1]", "0", SN_ERROR_SHAPE,
         "stack: shapes differ: xs[0] is f32[2], xs[1] is f32[2,1]"},
        {OP_STACK, "f32[2]", "2", SN_ERROR_INDEX,
         "stack: axis 2 is out of range for xs[0], which is f32[2]"},
        {OP_PAD, "f32[2]", "[1] d0", SN_ERROR_ARGUMENT,
         "pad: pads has length 1, not 2 for each of the last axes: x is f32[2]"},
        {OP_PAD, "f32[2]", "[1,1,1,1] d0", SN_ERROR_ARGUMENT,
         "pad: pads has length 4, not 2 for each of the last axes: x is f32[2]"},
        {OP_PAD, "f32[2]", "[-3,9] d0", SN_ERROR_SHAPE,
         "pad: pads crop more than axis 0 holds: x is f32[2]"},
        {OP_PAD, "f32[2]", "[9223372036854775807,9] d0", SN_ERROR_MEMORY,
         "pad: the result is too large"},
        {OP_PAD, "f32[2]", "[-9223372036854775808,-9] d0", SN_ERROR_SHAPE,
         "pad: pads crop more than axis 0 holds: x is f32[2]"},
        {OP_TRIU, "f32[2]", "0", SN_ERROR_SHAPE, "triu: x must have at least 2 dims: x is f32[2]"},
        {OP_ONE_HOT, "i64[2]", "0", SN_ERROR_ARGUMENT,
         "one_hot: classes is 0, but must be at least 1"},
        {OP_ONE_HOT, "u8[2]", "3", SN_ERROR_DTYPE,
         "one_hot: index must be i32 or i64, not u8 (sn_cast converts)"},
    };
    CHECK_ALL(check_valid, cases);
    CHECK_ALL(check_invalid, refused);
}

static void indexing_gives_pytorchs_shapes(void **state) {
    (void)state;
    static const Valid cases[] = {
        {OP_GATHER, "f32[3,4] i64[2,9]", "-1", "f32[2,9]", "1"},
        {OP_GATHER, "f32[3,4] i32[7,4]", "0", "f32[7,4]", NULL},
        {OP_GATHER, "f32[3] i64[0]", "0", "f32[0]", NULL},
        {OP_GATHER, "f32[3,4] i64[9,0]", "1", "f32[9,0]", NULL},
        {OP_GATHER, "f32[3] u8[0]", "0", "f32[0]", NULL},
        {OP_GATHER, "f32[3,4] f32[9,0]", "1", "f32[9,0]", NULL},
        {OP_GATHER, "f32[] i64[]", "-1", "f32[]", "0"},
        {OP_GATHER, "f32[] i64[5]", "0", "f32[5]", NULL},
        {OP_INDEX_SELECT, "f32[3,4] i64[7]", "-2", "f32[7,4]", "0"},
        {OP_INDEX_SELECT, "f32[3,4] i32[]", "1", "f32[3,1]", NULL},
        {OP_INDEX_SELECT, "f32[] i64[1]", "0", "f32[]", NULL},
        {OP_EMBEDDING, "f16[9,4] i64[2,3]", "", "f16[2,3,4]", NULL},
        {OP_EMBEDDING, "f16[9,4] i32[]", "", "f16[4]", NULL},
        {OP_SCATTER_ADD, "f32[3,4] i64[2,4] f32[2,5]", "0", "f32[3,4]", NULL},
        {OP_SCATTER_ADD, "i8[3] i64[9] i8[9]", "-1", "i8[3]", "0"},
        {OP_SCATTER_ADD, "f32[3] i64[0] f32[2]", "0", "f32[3]", NULL},
        {OP_SCATTER_ADD, "f32[] i64[] f32[]", "0", "f32[]", NULL},
        {OP_INDEX_COPY, "f32[3,4] i64[2] f32[3,2]", "-1", "f32[3,4]", "1"},
        {OP_INDEX_COPY, "f32[3] i32[] f32[1]", "0", "f32[3]", NULL},
        {OP_INDEX_COPY, "f32[] i64[1] f32[]", "0", "f32[]", NULL},
        {OP_PUT_SLICE, "f32[5,4] f32[2,4]", "[4,0] [-2,1]", "f32[5,4]", NULL},
        {OP_PUT_SLICE, "f32[5] f32[0]", "[5] [1]", "f32[5]", NULL},
        {OP_PUT_DIAGONAL, "f32[2,3,4] f32[3,2]", "1 0 -1", "f32[2,3,4]", "1 0 2"},
    };
    CHECK_ALL(check_valid, cases);
}

static void indexing_refuses_what_does_not_fit(void **state) {
    (void)state;
    static const Invalid cases[] = {
        {OP_GATHER, "f32[3,4] i64[4,4]", "1", SN_ERROR_SHAPE,
         "gather: index does not fit inside x: x is f32[3,4], index is i64[4,4]"},
        {OP_GATHER, "f32[3,4] i64[3]", "1", SN_ERROR_SHAPE,
         "gather: index does not fit inside x: x is f32[3,4], index is i64[3]"},
        {OP_GATHER, "f32[3] f32[3]", "0", SN_ERROR_DTYPE,
         "gather: index must be i32 or i64, not f32 (sn_cast converts)"},
        {OP_GATHER, "f32[3] i64[3]", "1", SN_ERROR_INDEX,
         "gather: axis 1 is out of range for x, which is f32[3]"},
        {OP_INDEX_SELECT, "f32[3] i64[1,1]", "0", SN_ERROR_SHAPE,
         "index_select: index must have 1 dim: x is f32[3], index is i64[1,1]"},
        {OP_INDEX_SELECT, "f32[] i64[2]", "0", SN_ERROR_SHAPE,
         "index_select: a 0-d x takes one index: x is f32[], index is i64[2]"},
        {OP_EMBEDDING, "f32[3] i64[2]", "", SN_ERROR_SHAPE,
         "embedding: weight must have 2 dims: weight is f32[3], index is i64[2]"},
        {OP_EMBEDDING, "f32[3,4] i64[1,1,1,1,1,1,1,1]", "", SN_ERROR_SHAPE,
         "embedding: the result would have 9 dims, but a tensor has at most 8: "
         "weight is f32[3,4], index is i64[1,1,1,1,1,1,1,1]"},
        {OP_SCATTER_ADD, "f32[3] i64[2] f64[2]", "0", SN_ERROR_DTYPE,
         "scatter_add: source must have the dtype of x (sn_cast converts): x is f32[3], index is "
         "i64[2], "
         "source is f64[2]"},
        {OP_SCATTER_ADD, "f32[3] i64[3] f32[2]", "0", SN_ERROR_SHAPE,
         "scatter_add: index does not fit inside source: x is f32[3], index is i64[3], "
         "source is f32[2]"},
        {OP_INDEX_COPY, "f32[3,4] i64[2] f32[2,3]", "0", SN_ERROR_SHAPE,
         "index_copy: source must have x's dims, with one slice for each index: x is f32[3,4], "
         "index is i64[2], source is f32[2,3]"},
        {OP_INDEX_COPY, "f32[3] i16[2] f32[2]", "0", SN_ERROR_DTYPE,
         "index_copy: index must be i32 or i64, not i16 (sn_cast converts)"},
        {OP_PUT_SLICE, "f32[5] f32[3]", "[3] [1]", SN_ERROR_INDEX,
         "put_slice: 3 elements from 3 by 1 leave axis 0: x is f32[5], value is f32[3]"},
        {OP_PUT_SLICE, "f32[5] f32[]", "[3] [1]", SN_ERROR_SHAPE,
         "put_slice: value must have as many dims as x: x is f32[5], value is f32[]"},
        {OP_PUT_SLICE, "f32[5] i32[1]", "[3] [1]", SN_ERROR_DTYPE,
         "put_slice: value must have the dtype of x (sn_cast converts): x is f32[5], value is "
         "i32[1]"},
        {OP_PUT_DIAGONAL, "f32[2,3] f32[3]", "0 0 1", SN_ERROR_SHAPE,
         "put_diagonal: value must be f32[2]: x is f32[2,3], value is f32[3]"},
    };
    CHECK_ALL(check_invalid, cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_give_pytorchs_shapes),
        cmocka_unit_test(views_refuse_what_lies_outside),
        cmocka_unit_test(joins_and_pads_give_pytorchs_shapes),
        cmocka_unit_test(indexing_gives_pytorchs_shapes),
        cmocka_unit_test(indexing_refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
