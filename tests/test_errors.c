/* Bad input: every way to call an op wrongly gives a status and a text that names the op, the argument
 * and the shapes or dtypes at fault; a compiled function gives exactly what eager gives (promise I1);
 * nothing is written, and everything can be used afterwards. */
#include "errors_case.h"

/* ---- ops called wrongly ---------------------------------------------------------------------- */

/* W(name, expression, status, parts of the text). x is f32[2,3], y is f32[4,5], i is i64[2] = {0, 5}. */
#define WRONG_CALLS                                                                                \
    W(null_operand, sn_neg(NULL), ARGUMENT, "neg: x is NULL")                                      \
    W(null_second, sn_add(x, NULL), ARGUMENT, "add: y is NULL")                                    \
    W(null_third, sn_where(x, x, NULL), ARGUMENT, "where: y is NULL")                              \
    W(null_optional, sn_clamp(x, NULL, SN_NONE), ARGUMENT, "clamp: low is NULL")                   \
    W(null_in_array, sn_cat((sn_tensor *[]){x, NULL}, 2, 0), ARGUMENT, "cat: xs[1] is NULL")       \
    W(null_array, sn_cat(NULL, 2, 0), ARGUMENT, "cat: xs is NULL")                                 \
    W(null_generator, sn_rand(NULL, SN_I(2), SN_F32), ARGUMENT, "rand: generator is NULL")         \
    W(null_dropout, sn_dropout(x, 0.5, NULL), ARGUMENT, "dropout: generator is NULL")              \
    W(null_target, sn_add_(NULL, x), ARGUMENT, "add_: x is NULL")                                  \
    W(null_source, sn_copy_(x, NULL), ARGUMENT, "copy", "source is NULL")                          \
    W(null_filled, sn_fill_(NULL, 1), ARGUMENT, "x is NULL")                                       \
    W(null_indexed, sn_index(NULL, SN_IX(SN_ALL)), ARGUMENT, "index: x is NULL")                   \
    W(null_items, sn_index(x, NULL, 1), ARGUMENT, "index", "items")                                \
    W(null_contiguous, sn_contiguous(NULL), ARGUMENT, "contiguous: x is NULL")                     \
    W(null_axes, sn_sum(x, NULL, 1, false), ARGUMENT, "sum: ", "axes", "NULL")                     \
    W(null_dims, sn_reshape(x, NULL, 2), ARGUMENT, "reshape: ", "dims", "NULL")                    \
    W(negative_count, sn_permute(x, SN_I(0, 1) - 3), ARGUMENT, "permute: ", "axes", "-1")          \
    W(long_list, sn_sum(x, SN_I(0, 0, 0, 0, 0, 0, 0, 0, 0), false), ARGUMENT, "sum: ", "axis 0")   \
    W(none_operand, sn_add(x, SN_NONE), ARGUMENT, "add: y is SN_NONE", "not optional")             \
    W(none_view, sn_transpose(SN_NONE, 0, 1), ARGUMENT, "transpose: x is SN_NONE")                 \
    W(none_target, sn_mul_(SN_NONE, x), ARGUMENT, "mul_: x is SN_NONE")                            \
    W(none_source, sn_copy_(x, SN_NONE), ARGUMENT, "copy", "SN_NONE")                              \
    W(none_index, sn_index(SN_NONE, SN_IX(SN_ALL)), ARGUMENT, "index: x is SN_NONE")               \
    W(none_contiguous, sn_contiguous(SN_NONE), ARGUMENT, "contiguous: x is SN_NONE")               \
    W(both_absent, sn_clamp(x, SN_NONE, SN_NONE), ARGUMENT, "clamp", "low and high")               \
    W(add_shapes, sn_add(x, y), SHAPE, "add: shapes do not broadcast", "f32[2,3]", "f32[4,5]")     \
    W(where_shapes, sn_where(x, x, y), SHAPE, "where", "f32[2,3]", "f32[4,5]")                     \
    W(clamp_shapes, sn_clamp(x, y, SN_NONE), SHAPE, "clamp", "low is f32[4,5]")                    \
    W(matmul_inner, sn_matmul(x, y), SHAPE, "matmul: inner sizes differ", "f32[2,3]", "f32[4,5]")  \
    W(matmul_scalar, sn_matmul(x, sn_c(2)), SHAPE, "matmul: operands must have at least 1 dim")    \
    W(matmul_batch,                                                                                \
      sn_matmul(sn_expand(x, SN_I(3, 2, 3)), sn_expand(sn_transpose(x, 0, 1), SN_I(2, 3, 2))),     \
      SHAPE, "matmul: batch sizes", "f32[3,2,3]", "f32[2,3,2]")                                    \
    W(linear_inner, sn_linear(x, y, SN_NONE), SHAPE, "linear: inner sizes", "weight is f32[4,5]")  \
    W(linear_bias, sn_linear(x, x, y), SHAPE, "linear: bias", "f32[4,5]")                          \
    W(norm_weight, sn_layer_norm(x, y, SN_NONE, 1e-5), SHAPE, "layer_norm", "weight is f32[4,5]")  \
    W(norm_bias, sn_layer_norm(x, sn_ones(SN_I(3), SN_F32), y, 1e-5), SHAPE, "layer_norm", "bias") \
    W(rms_weight, sn_rms_norm(x, y, 1e-5), SHAPE, "rms_norm", "f32[2,3]", "f32[4,5]")              \
    W(softmax_axis, sn_softmax(x, 2), INDEX, "softmax: axis 2 is out of range", "f32[2,3]")        \
    W(softmax_low, sn_softmax(x, -3), INDEX, "softmax: axis -3 is out of range", "f32[2,3]")       \
    W(sum_axis, sn_sum(x, SN_I(0, 2), false), INDEX, "sum: axis 2 is out of range", "f32[2,3]")    \
    W(sum_twice, sn_sum(x, SN_I(0, -2), false), ARGUMENT, "sum: axis", "twice")                    \
    W(sum_far, sn_sum(x, SN_I(INT64_MIN), false), INDEX, "sum: axis -9223372036854775808")         \
    W(cumsum_axis, sn_cumsum(x, INT64_MAX), INDEX, "cumsum: axis 9223372036854775807")             \
    W(max_empty, sn_max(sn_narrow(x, 0, 0, 0), SN_I(0), false), SHAPE, "max", "no elements",       \
      "f32[0,3]")                                                                                  \
    W(argmax_empty, sn_argmax(sn_zeros(SN_I(0), SN_F32), SN_I0, true), SHAPE, "argmax",            \
      "no elements")                                                                               \
    W(reshape_count, sn_reshape(x, SN_I(4, 2)), SHAPE, "reshape: x does not fit", "[4,2]",         \
      "f32[2,3]")                                                                                  \
    W(reshape_unknown, sn_reshape(x, SN_I(-1, -1)), SHAPE, "reshape", "only one", "-1")            \
    W(reshape_zero, sn_reshape(sn_zeros(SN_I(0), SN_F32), SN_I(0, -1)), SHAPE, "reshape", "-1")    \
    W(reshape_negative, sn_reshape(x, SN_I(-2, 3)), SHAPE, "reshape", "-2")                        \
    W(reshape_odd, sn_reshape(x, SN_I(4, -1)), SHAPE, "reshape", "f32[2,3]")                       \
    W(reshape_huge, sn_reshape(x, SN_I(HUGE_DIM, HUGE_DIM)), MEMORY, "reshape", "too large")       \
    W(permute_few, sn_permute(x, SN_I(0)), SHAPE, "permute: axes has length 1", "f32[2,3]")        \
    W(permute_twice, sn_permute(x, SN_I(1, 1)), ARGUMENT, "permute: axis 1 is listed twice")       \
    W(permute_axis, sn_permute(x, SN_I(0, 2)), INDEX, "permute: axis 2", "f32[2,3]")               \
    W(transpose_axis, sn_transpose(x, 0, 2), INDEX, "transpose: axis 2", "f32[2,3]")               \
    W(expand_size, sn_expand(x, SN_I(5, 3)), SHAPE, "expand", "[5,3]", "f32[2,3]")                 \
    W(expand_few, sn_expand(x, SN_I(3)), SHAPE, "expand", "less than x", "f32[2,3]")               \
    W(expand_new, sn_expand(x, SN_I(-1, 2, 3)), SHAPE, "expand")                                   \
    W(expand_huge, sn_expand(sn_c(1), SN_I(HUGE_DIM, HUGE_DIM)), MEMORY, "expand", "too large")    \
    W(expand_bytes, sn_expand(sn_c(1), SN_I((int64_t)1 << 61)), MEMORY, "expand", "too large")     \
    W(nine_expanded, sn_expand(x, SN_I(1, 1, 1, 1, 1, 1, 1, 2, 3)), SHAPE, "expand", "9",          \
      "at most 8")                                                                                 \
    W(squeeze_axis, sn_squeeze(x, SN_I(2)), INDEX, "squeeze: axis 2", "f32[2,3]")                  \
    W(unsqueeze_axis, sn_unsqueeze(x, 4), INDEX, "unsqueeze: axis 4", "f32[2,3]")                  \
    W(nine_unsqueezed, sn_unsqueeze(sn_ones(SN_I(1, 1, 1, 1, 1, 1, 1, 1), SN_F32), 0), SHAPE,      \
      "unsqueeze", "at most 8")                                                                    \
    W(nine_reshaped, sn_reshape(x, SN_I(1, 1, 1, 1, 1, 1, 1, 2, 3)), SHAPE, "reshape", "9 sizes",  \
      "at most 8")                                                                                 \
    W(nine_full, sn_zeros(SN_I(1, 1, 1, 1, 1, 1, 1, 1, 1), SN_F32), SHAPE, "9 sizes", "at most 8") \
    W(nine_drawn, sn_rand(&(sn_rng){1, 0}, SN_I(1, 1, 1, 1, 1, 1, 1, 1, 1), SN_F32), SHAPE,        \
      "rand", "at most 8")                                                                         \
    W(nine_stacked,                                                                                \
      sn_stack((sn_tensor *[]){sn_ones(SN_I(1, 1, 1, 1, 1, 1, 1, 1), SN_F32)}, 1, 0), SHAPE,       \
      "stack", "at most 8")                                                                        \
    W(nine_new, sn_index(x, SN_IX(SN_NEW, SN_NEW, SN_NEW, SN_NEW, SN_NEW, SN_NEW, SN_NEW)), SHAPE, \
      "index", "8 dims")                                                                           \
    W(nine_hot, sn_one_hot(sn_zeros(SN_I(1, 1, 1, 1, 1, 1, 1, 1), SN_I64), 2), SHAPE, "one_hot",   \
      "at most 8")                                                                                 \
    W(select_index, sn_select(x, 1, 3), INDEX, "select: index 3", "axis 1", "f32[2,3]")            \
    W(select_low, sn_select(x, 1, -4), INDEX, "select: index -4", "f32[2,3]")                      \
    W(select_axis, sn_select(x, 5, 0), INDEX, "select: axis 5", "f32[2,3]")                        \
    W(select_scalar, sn_select(sn_c(1), 0, 0), SHAPE, "select: x must have at least 1 dim")        \
    W(narrow_far, sn_narrow(x, 1, 2, 2), INDEX, "narrow: 2 elements from 2", "f32[2,3]")           \
    W(narrow_negative, sn_narrow(x, 1, 0, -1), ARGUMENT, "narrow: length is -1")                   \
    W(narrow_wraps, sn_narrow(x, 1, 1, INT64_MAX), INDEX, "narrow: 9223372036854775807", "from 1") \
    W(flip_axis, sn_flip(x, SN_I(-3)), INDEX, "flip: axis -3", "f32[2,3]")                         \
    W(diagonal_rank, sn_diagonal(sn_select(x, 0, 0), 0, 0, 1), SHAPE, "diagonal", "2 dims",        \
      "f32[3]")                                                                                    \
    W(diagonal_same, sn_diagonal(x, 0, 1, -1), ARGUMENT, "diagonal: axis0 and axis1")              \
    W(index_far, sn_index(x, SN_IX(SN_AT(2))), INDEX, "index: 2 is out of range", "axis 0",        \
      "size 2")                                                                                    \
    W(index_many, sn_index(x, SN_IX(SN_ALL, SN_ALL, SN_ALL)), INDEX, "index: more than 2 axes",    \
      "rank 2")                                                                                    \
    W(index_step, sn_index(x, SN_IX(SN_STEP(0, 2, 0))), ARGUMENT, "index: the step of axis 0")     \
    W(index_kind, sn_index(x, SN_IX({(sn_index_kind)7, 0, 0, 1})), ARGUMENT, "index: ", "kind 7")  \
    W(cat_nothing, sn_cat(NULL, 0, 0), ARGUMENT, "cat: needs at least one tensor")                 \
    W(cat_negative, sn_cat((sn_tensor *[]){x}, -1, 0), ARGUMENT, "cat: xs cannot have -1")         \
    W(cat_shapes, sn_cat((sn_tensor *[]){x, y}, 2, 0), SHAPE, "cat", "xs[0] is f32[2,3]",          \
      "xs[1] is f32[4,5]")                                                                         \
    W(cat_axis, sn_cat((sn_tensor *[]){x, x}, 2, 2), INDEX, "cat: axis 2", "f32[2,3]")             \
    W(cat_scalar, sn_cat((sn_tensor *[]){sn_c(1)}, 1, 0), SHAPE, "cat: ", "at least 1 dim")        \
    W(cat_huge,                                                                                    \
      sn_cat((sn_tensor *[]){sn_expand(sn_c(1), SN_I(HUGE_DIM, 1 << 19)),                          \
                             sn_expand(sn_c(1), SN_I(HUGE_DIM, 1 << 19)),                          \
                             sn_expand(sn_c(1), SN_I(HUGE_DIM, 1 << 19))},                         \
             3, 1),                                                                                \
      MEMORY, "cat", "too large")                                                                  \
    W(stack_shapes, sn_stack((sn_tensor *[]){x, y}, 2, 0), SHAPE, "stack", "f32[2,3]", "f32[4,5]") \
    W(stack_axis, sn_stack((sn_tensor *[]){x, x}, 2, 3), INDEX, "stack: axis 3")                   \
    W(pad_odd, sn_pad(x, SN_I(1), 0), ARGUMENT, "pad", "f32[2,3]")                                 \
    W(pad_many, sn_pad(x, SN_I(1, 1, 1, 1, 1, 1), 0), ARGUMENT, "pad", "f32[2,3]")                 \
    W(pad_crop, sn_pad(x, SN_I(-2, -2), 0), SHAPE, "pad", "crop", "f32[2,3]")                      \
    W(pad_huge, sn_pad(x, SN_I(INT64_MAX, INT64_MAX), 0), MEMORY, "pad", "too large")              \
    W(gather_rank, sn_gather(x, 0, i), SHAPE, "gather", "x is f32[2,3]", "index is i64[2]")        \
    W(gather_dtype, sn_gather(x, 0, x), DTYPE, "gather: index must be i32 or i64, not f32")        \
    W(gather_axis, sn_gather(x, 2, sn_ones(SN_I(1, 1), SN_I64)), INDEX, "gather: axis 2")          \
    W(gather_size, sn_gather(x, 1, sn_ones(SN_I(5, 1), SN_I64)), SHAPE, "gather", "i64[5,1]",      \
      "f32[2,3]")                                                                                  \
    W(select_rank, sn_index_select(x, 0, sn_ones(SN_I(1, 1), SN_I64)), SHAPE, "index_select",      \
      "index must have 1 dim", "i64[1,1]")                                                         \
    W(embedding_rank, sn_embedding(sn_select(x, 0, 0), i), SHAPE, "embedding",                     \
      "weight must have 2 dims", "f32[3]")                                                         \
    W(embedding_dtype, sn_embedding(x, sn_cast(i, SN_U8)), DTYPE, "embedding: index must be",      \
      "u8")                                                                                        \
    W(hot_classes, sn_one_hot(i, 0), ARGUMENT, "one_hot: classes is 0")                            \
    W(hot_huge, sn_one_hot(i, INT64_MAX), MEMORY, "one_hot", "too large")                          \
    W(hot_dtype, sn_one_hot(x, 4), DTYPE, "one_hot: index must be i32 or i64, not f32")            \
    W(scatter_source,                                                                              \
      sn_scatter_add(x, 0, sn_ones(SN_I(2, 3), SN_I64), sn_ones(SN_I(1, 1), SN_F32)), SHAPE,       \
      "scatter_add", "i64[2,3]", "f32[1,1]")                                                       \
    W(scatter_dtype,                                                                               \
      sn_scatter_add(x, 0, sn_ones(SN_I(1, 1), SN_I64), sn_ones(SN_I(1, 1), SN_F64)), DTYPE,       \
      "scatter_add", "f64")                                                                        \
    W(index_copy_source, sn_index_copy(x, 0, i, y), SHAPE, "index_copy", "f32[4,5]")               \
    W(tril_rank, sn_tril(sn_select(x, 0, 0), 0), SHAPE, "tril: x must have at least 2 dims",       \
      "f32[3]")                                                                                    \
    W(arange_step, sn_arange(0, 1, 0, SN_F32), ARGUMENT, "arange: step must not be 0")             \
    W(arange_way, sn_arange(0, 5, -1, SN_F32), ARGUMENT, "arange: step -1 does not lead")          \
    W(arange_infinite, sn_arange(0, 1.0 / 0.0, 1, SN_F32), ARGUMENT, "arange", "finite")           \
    W(arange_huge, sn_arange(0, 1e300, 1, SN_F32), MEMORY, "arange", "too large")                  \
    W(full_negative, sn_full(SN_I(2, -3), 0, SN_F32), SHAPE, "full: dims[1] is -3", "negative")    \
    W(full_huge, sn_full(SN_I(HUGE_DIM, HUGE_DIM), 0, SN_F32), MEMORY, "full", "too large")        \
    W(full_dtype, sn_full(SN_I(2), 0, (sn_dtype)10), ARGUMENT, "full: dtype 10 is no dtype")       \
    W(zeros_null, sn_zeros(NULL, 2, SN_F32), ARGUMENT, "dims", "NULL")                             \
    W(zeros_dtype, sn_zeros(SN_I(2), (sn_dtype)-1), ARGUMENT, "zeros: dtype ", "is no dtype")      \
    W(cast_dtype, sn_cast(x, (sn_dtype)77), ARGUMENT, "cast: dtype 77 is no dtype")                \
    W(gelu_form, sn_gelu(x, (sn_gelu_form)2), ARGUMENT, "gelu: form 2 is not in 0 to 1")           \
    W(rand_dtype, sn_rand(&(sn_rng){1, 0}, SN_I(2), SN_I32), DTYPE, "rand", "i32")                 \
    W(rand_huge, sn_rand(&(sn_rng){1, 0}, SN_I(HUGE_DIM, HUGE_DIM), SN_F32), MEMORY, "rand")       \
    W(dropout_p, sn_dropout(x, 1.5, &(sn_rng){1, 0}), ARGUMENT, "dropout: p is 1.5")               \
    W(dropout_int, sn_dropout(i, 0.5, &(sn_rng){1, 0}), DTYPE, "dropout", "i64[2]")                \
    W(entropy_target, sn_cross_entropy(x, sn_ones(SN_I(5), SN_I64), SN_REDUCTION_MEAN), SHAPE,     \
      "cross_entropy", "f32[2,3]", "i64[5]")                                                       \
    W(entropy_dtype, sn_cross_entropy(x, sn_ones(SN_I(2), SN_F32), SN_REDUCTION_MEAN), DTYPE,      \
      "cross_entropy: target must be i32 or i64")                                                  \
    W(entropy_reduction, sn_cross_entropy(x, i, (sn_reduction)3), ARGUMENT,                        \
      "cross_entropy: reduction 3 is not in 0 to 2")                                               \
    W(attention_rank,                                                                              \
      sn_scaled_dot_product_attention(sn_select(x, 0, 0), x, x, SN_NONE, false, 0), SHAPE,         \
      "scaled_dot_product_attention", "query is f32[3]")                                           \
    W(attention_head, sn_scaled_dot_product_attention(x, y, y, SN_NONE, false, 0), SHAPE,          \
      "scaled_dot_product_attention", "head sizes", "f32[2,3]", "f32[4,5]")                        \
    W(attention_mask, sn_scaled_dot_product_attention(x, x, x, y, false, 0), SHAPE,                \
      "scaled_dot_product_attention: mask", "f32[4,5]")                                            \
    W(attention_both, sn_scaled_dot_product_attention(x, x, x, x, true, 0), ARGUMENT,              \
      "scaled_dot_product_attention: a mask and causal exclude each other")                        \
    W(neg_bool, sn_neg(sn_eq(x, x)), DTYPE, "neg: bool is refused", "bool[2,3]")                   \
    W(sub_bool, sn_sub(sn_eq(x, x), sn_eq(x, x)), DTYPE, "sub: bool is refused")                   \
    W(bits_float, sn_bitwise_and(x, x), DTYPE, "bitwise_and: f32 is refused", "f32[2,3]")          \
    W(bits_scalar, sn_bitwise_or(i, sn_c(0.5)), DTYPE, "bitwise_or", "refused")                    \
    W(shift_float, sn_shift_left(i, x), DTYPE, "shift_left", "f32")                                \
    W(softmax_int, sn_softmax(i, 0), DTYPE, "softmax: i64 is refused", "i64[2]")                   \
    W(mean_int, sn_mean(i, SN_I0, false), DTYPE, "mean: i64 is refused")                           \
    W(silu_int, sn_silu(i), DTYPE, "silu: i64 is refused")                                         \
    W(matmul_bool, sn_matmul(sn_eq(x, x), sn_eq(x, x)), DTYPE, "matmul: bool is refused")          \
    W(add_grows, sn_add_(sn_select(x, 0, 0), x), SHAPE, "add", "f32[2,3]", "f32[3]")               \
    W(add_misfit, sn_add_(x, y), SHAPE, "add", "f32[2,3]", "f32[4,5]")                             \
    W(add_dtype, sn_add_(i, sn_c(0.5)), DTYPE, "add_", "f32", "i64")                               \
    W(exp_dtype, sn_exp_(i), DTYPE, "exp_", "f32", "i64")                                          \
    W(copy_shape, sn_copy_(x, y), SHAPE, "copy_", "f32[4,5]", "f32[2,3]")                          \
    W(write_scalar, sn_add_(sn_c(1), sn_c(2)), ARGUMENT, "add_: a scalar constant")                \
    W(fill_scalar, sn_fill_(sn_c(1), 2), ARGUMENT, "fill_: a scalar constant")                     \
    W(write_expanded, sn_add_(sn_expand(sn_c(1), SN_I(3)), sn_c(1)), ALIAS, "add_: the tensor")    \
    W(copy_expanded, sn_copy_(sn_expand(sn_narrow(x, 0, 0, 1), SN_I(4, 3)), sn_c(1)), ALIAS,       \
      "copy_", "more than once")                                                                   \
    W(data_embedding, sn_embedding(x, i), INDEX, "embedding: index[1] is 5", "size 2")             \
    W(data_select, sn_index_select(x, 1, i), INDEX, "index_select: index[1] is 5", "size 3")       \
    W(data_gather, sn_gather(x, 1, sn_unsqueeze(i, 1)), INDEX, "gather: index[1,0] is 5",          \
      "size 3")                                                                                    \
    W(data_hot, sn_one_hot(i, 4), INDEX, "one_hot: index[1] is 5", "size 4")                       \
    W(data_scatter, sn_scatter_add(x, 1, sn_unsqueeze(i, 1), sn_ones(SN_I(2, 1), SN_F32)), INDEX,  \
      "scatter_add: index[1,0] is 5", "size 3")                                                    \
    W(data_copy, sn_index_copy(x, 0, i, x), INDEX, "index_copy: index[1] is 5", "size 2")          \
    W(data_entropy, sn_cross_entropy(x, i, SN_REDUCTION_SUM), INDEX,                               \
      "cross_entropy: target[1] is 5", "size 3")

#define W(name, expression, ...)                                                                   \
    static sn_tensor *name(sn_tensor *x, sn_tensor *y, sn_tensor *i) {                             \
        (void)x, (void)y, (void)i;                                                                 \
        return expression;                                                                         \
    }
WRONG_CALLS
#undef W

/* A wrong call and the error that it is to give. */
typedef struct WrongCall {
    const char *name;     /* for messages */
    Called *call;         /* does it */
    sn_status status;     /* of its error */
    const char *parts[4]; /* of the text; NULL where there are fewer */
} WrongCall;

#define W(name, expression, status, ...) {#name, name, SN_ERROR_##status, {__VA_ARGS__}},
static const WrongCall wrong_calls[] = {WRONG_CALLS};
#undef W

enum { WRONG_COUNT = sizeof wrong_calls / sizeof wrong_calls[0] };

/* Does the error say what it should? Counted, so that one run shows all that do not. */
static int check_error(const WrongCall *wrong, const sn_error *error, const char *how) {
    int bad = error->status != wrong->status;
    for (int p = 0; p < 4; p++) bad |= wrong->parts[p] && !strstr(error->text, wrong->parts[p]);
    bad |= !strstr(error->text, "test_errors.c:") || error->line <= 0 ||
           !strstr(error->file ? error->file : "", "test_errors.c");
    if (bad)
        print_error("%s, %s: %s: %s\n", wrong->name, how, sn_status_name(error->status),
                    error->text);
    return bad;
}

static void every_wrong_call_names_op_argument_and_line(void **state) {
    (void)state;
    sn_tensor *x = make_x(), *y = make_y(), *i = make_i();
    sn_tensor *x0 = sn_clone(x), *y0 = sn_clone(y), *i0 = sn_clone(i);
    int bad = 0;
    for (int w = 0; w < WRONG_COUNT; w++) {
        sn_error error;
        bool null = wrong_calls[w].call(x, y, i) == NULL;
        sn_error_take(&error);
        bad += check_error(&wrong_calls[w], &error, "eager");
        if (!null) print_error("%s returned a tensor\n", wrong_calls[w].name);
        bad += !null;
    }
    EXPECT_SAME(x, x0);
    EXPECT_SAME(y, y0);
    EXPECT_SAME(i, i0);
    EXPECT_VALUES(sn_sum(x, SN_I0, false), 21);
    assert_int_equal(bad, 0);
}

static void a_compiled_function_gives_the_same_status_text_and_line(void **state) {
    (void)state;
    int bad = 0;
    for (int w = 0; w < WRONG_COUNT; w++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = make_x(), *y = make_y(), *i = make_i(), *x0 = sn_clone(x);
        sn_error eager, compiled;
        (void)wrong_calls[w].call(x, y, i);
        sn_error_take(&eager);
        sn_compiled *c = sn_compile(wrong_calls[w].call, "ttt:t", NULL);
        Called *fast = (Called *)sn_compiled_fn(c);
        assert_non_null(fast);
        for (int call = 0; call < 3; call++) {
            bool null = fast(x, y, i) == NULL;
            sn_error_take(&compiled);
            bool same = null && compiled.status == eager.status && compiled.line == eager.line &&
                        strcmp(compiled.text, eager.text) == 0;
            if (!same)
                print_error("%s, call %d: %s: %s\n    eager: %s: %s\n", wrong_calls[w].name, call,
                            sn_status_name(compiled.status), compiled.text,
                            sn_status_name(eager.status), eager.text);
            bad += !same;
        }
        sn_compiled_release(c);
        EXPECT_SAME(x, x0);
        sn_scope_end(scope, NULL);
    }
    assert_int_equal(bad, 0);
}

/* ---- sticky errors --------------------------------------------------------------------------- */

static void a_pending_error_stops_every_op_and_write(void **state) {
    (void)state;
    sn_tensor *x = make_x(), *y = make_y(), *x0 = sn_clone(x);
    sn_rng rng = {3, 7};
    assert_null(sn_add(x, y));
    char first[480];
    snprintf(first, sizeof first, "%s", sn_error_text());
    assert_null(sn_neg(x));
    assert_null(sn_add_(x, sn_c(1)));
    assert_null(sn_fill_(x, 9));
    assert_null(sn_copy_(x, x0));
    assert_null(sn_rand(&rng, SN_I(2), SN_F32));
    assert_null(sn_select(x, 7, 7)); /* a second error does not replace the first */
    assert_null(sn_index(x, SN_IX(SN_ALL)));
    assert_null(sn_contiguous(x));
    assert_null(sn_c(1));
    assert_null(sn_zeros(SN_I(2), SN_F32));
    assert_null(sn_from_copy(&rng, 16, SN_I(2), SN_I64));
    assert_null(sn_from_borrow(&rng, 16, SN_I(2), SN_I64, NULL, NULL));
    assert_null(sn_map(x));
    sn_tensor *parts[2] = {x, x};
    assert_false(sn_split(x, SN_I(1, 1), 0, parts));
    assert_true(!parts[0] && !parts[1]);
    float values[6] = {-1, -1, -1, -1, -1, -1};
    assert_false(sn_read(x, SN_F32, values, sizeof values));
    assert_true(values[0] == -1 && sn_item(x) == 0 && sn_item_int(x) == 0);
    assert_int_equal(sn_format(x, NULL, 0), -1);
    assert_true(sn_rank(x) == 2 && sn_size(x, 0) == 2); /* shapes can still be asked for */
    assert_null(sn_error_raise(SN_ERROR_IO, "f.c", 3, "another"));
    assert_int_equal(rng.counter, 7);
    assert_int_equal(sn_error_status(), SN_ERROR_SHAPE);
    assert_string_equal(sn_error_text(), first);
    sn_error error;
    assert_int_equal(sn_error_take(&error), SN_ERROR_SHAPE);
    assert_string_equal(error.text, first);
    assert_int_equal(sn_error_take(&error), SN_OK);
    assert_string_equal(sn_error_text(), "");
    EXPECT_SAME(x, x0);
}

static void a_pending_error_stops_compiled_calls(void **state) {
    (void)state;
    sn_tensor *x = make_x(), *y = make_y(), *i = make_i();
    sn_compiled *c = sn_compile(writes_x, "ttt:t", NULL);
    Called *fast = SN_FN(c, writes_x);
    for (int call = 0; call < 4; call++) {
        sn_tensor *before = sn_clone(x);
        assert_null(sn_neg(NULL));
        assert_null(fast(x, y, i));
        EXPECT_ERROR(SN_ERROR_ARGUMENT, "neg: x is NULL");
        EXPECT_SAME(x, before);
        EXPECT_SAME(fast(x, y, i), sn_sum(y, SN_I0, false));
        EXPECT_SAME(x, sn_add(before, sn_c(1)));
    }
    sn_compiled_release(c);
}

static void errors_of_the_program_travel_like_ours(void **state) {
    (void)state;
    sn_error error;
    assert_null(sn_error_raise(SN_ERROR_FORMAT, "model.c", 12, "model: %d heads, not %s", 7, "8"));
    assert_int_equal(sn_error_take(&error), SN_ERROR_FORMAT);
    assert_string_equal(error.text, "model.c:12: model: 7 heads, not 8");
    assert_string_equal(error.file, "model.c");
    assert_int_equal(error.line, 12);
    assert_null(sn_error_raise(SN_OK, NULL, 0, "no status"));
    EXPECT_ERROR(SN_ERROR_INTERNAL, "no status");
    char text[2000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    assert_null(sn_error_raise(SN_ERROR_IO, "model.c", 1, "%s", text)); /* cut, not overrun */
    sn_error_take(&error);
    assert_true(strlen(error.text) < sizeof error.text && strlen(error.text) > 300);
    assert_int_equal(sn_error_take(NULL), SN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(every_wrong_call_names_op_argument_and_line),
        API_TEST(a_compiled_function_gives_the_same_status_text_and_line),
        API_TEST(a_pending_error_stops_every_op_and_write),
        API_TEST(a_pending_error_stops_compiled_calls),
        API_TEST(errors_of_the_program_travel_like_ours),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
