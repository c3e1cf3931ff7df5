/* Bad input: every way to call an op wrongly gives a status and a text that names the op, the argument
 * and the shapes or dtypes at fault; a compiled function gives exactly what eager gives (promise I1);
 * nothing is written, and everything can be used afterwards. */
#include "api_case.h"

#define HUGE_DIM ((int64_t)1 << 40)

/* ---- ops called wrongly ---------------------------------------------------------------------- */

typedef sn_tensor *Wrong(sn_tensor *x, sn_tensor *y, sn_tensor *i);

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
    Wrong *call;          /* does it */
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

static sn_tensor *make_x(void) {
    return tensor_of(SN_F32, SN_I(2, 3), V(1, 2, 3, 4, 5, 6));
}

static sn_tensor *make_y(void) {
    return tensor_random(1, SN_F32, SN_I(4, 5));
}

static sn_tensor *make_i(void) {
    return tensor_of(SN_I64, SN_I(2), V(0, 5));
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
        Wrong *fast = (Wrong *)sn_compiled_fn(c);
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
    assert_null(sn_compile(null_operand, "ttt:t", NULL));
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

static sn_tensor *writes_x(sn_tensor *x, sn_tensor *y, sn_tensor *i) {
    (void)i;
    sn_add_(x, sn_c(1));
    return sn_sum(y, SN_I0, false);
}

static void a_pending_error_stops_compiled_calls(void **state) {
    (void)state;
    sn_tensor *x = make_x(), *y = make_y(), *i = make_i();
    sn_compiled *c = sn_compile(writes_x, "ttt:t", NULL);
    Wrong *fast = SN_FN(c, writes_x);
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

/* ---- data in and out ------------------------------------------------------------------------- */

static void data_in_is_checked(void **state) {
    (void)state;
    double data[8] = {0};
    void *odd = (char *)data + 1;
    assert_null(sn_from_copy(data, 8, SN_I(2), SN_F64));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy: bytes is 8", "16");
    assert_null(sn_from_copy(NULL, 16, SN_I(2), SN_F64));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy", "data is NULL");
    assert_null(sn_from_copy(data, 16, NULL, 1, SN_F64));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy", "dims is NULL");
    assert_null(sn_from_copy(data, 16, SN_I(2), (sn_dtype)10));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy: dtype 10 is no dtype");
    assert_null(sn_from_copy(data, 16, SN_I(2, -1), SN_F64));
    EXPECT_ERROR(SN_ERROR_SHAPE, "from_copy: dims[1] is -1");
    assert_null(sn_from_copy(data, 16, SN_I(1, 1, 1, 1, 1, 1, 1, 1, 2), SN_F64));
    EXPECT_ERROR(SN_ERROR_SHAPE, "from_copy", "9 sizes", "at most 8");
    assert_null(sn_from_copy(data, 16, (const int64_t[]){2}, -1, SN_F64));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_copy", "-1");
    assert_null(sn_from_copy(data, 0, SN_I(HUGE_DIM, HUGE_DIM), SN_F64));
    EXPECT_ERROR(SN_ERROR_MEMORY, "from_copy", "f64[1099511627776,1099511627776]", "too large");
    assert_null(sn_from_copy(data, 0, SN_I((int64_t)1 << 61), SN_F64)); /* 2^64 bytes */
    EXPECT_ERROR(SN_ERROR_MEMORY, "from_copy", "too large");
    assert_null(sn_from_borrow(data, 8, SN_I(2), SN_F64, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_borrow: bytes is 8", "16");
    assert_null(sn_from_borrow(odd, 16, SN_I(2), SN_F64, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_borrow", "not aligned to 8 bytes");
    assert_null(sn_from_borrow(NULL, 16, SN_I(2), SN_F64, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "from_borrow", "data is NULL");
    EXPECT_SHAPE(sn_from_copy(NULL, 0, SN_I(0, 4), SN_F64), SN_F64, SN_I(0, 4));
}

static void data_out_is_checked(void **state) {
    (void)state;
    sn_tensor *x = make_x();
    float values[6] = {9, 9, 9, 9, 9, 9};
    char text[64] = "kept";
    assert_false(sn_read(NULL, SN_F32, values, sizeof values));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: tensor is NULL", "test_errors.c:");
    assert_false(sn_read(SN_NONE, SN_F32, values, sizeof values));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: tensor is SN_NONE");
    assert_false(sn_read(x, SN_F32, values, 20));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: bytes is 20", "6 elements of f32", "24");
    assert_false(sn_read(x, SN_F32, NULL, sizeof values));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: ", "destination is NULL");
    assert_false(sn_read(x, (sn_dtype)33, values, sizeof values));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "read: dtype 33 is no dtype");
    assert_true(values[0] == 9 && values[5] == 9);
    assert_true(sn_item(x) == 0);
    EXPECT_ERROR(SN_ERROR_SHAPE, "item: ", "6 elements", "f32[2,3]");
    assert_true(sn_item_int(NULL) == 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "item: tensor is NULL");
    assert_null(sn_map(SN_NONE));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "map: tensor is SN_NONE");
    sn_unmap(NULL);
    assert_int_equal(sn_format(NULL, text, sizeof text), -1);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "format: tensor is NULL");
    assert_int_equal(sn_format(x, NULL, 5), -1);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "format: buffer is NULL");
    EXPECT_OK();
}

static void shape_questions_are_checked(void **state) {
    (void)state;
    sn_tensor *x = make_x();
    assert_int_equal(sn_rank(NULL), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "rank: tensor is NULL");
    assert_int_equal(sn_rank(SN_NONE), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "rank: tensor is SN_NONE");
    assert_int_equal(sn_size(x, 2), 0);
    EXPECT_ERROR(SN_ERROR_INDEX, "size: axis 2", "f32[2,3]");
    assert_int_equal(sn_size(x, -3), 0);
    EXPECT_ERROR(SN_ERROR_INDEX, "size: axis -3", "f32[2,3]");
    assert_int_equal(sn_stride(x, INT32_MIN), 0);
    EXPECT_ERROR(SN_ERROR_INDEX, "stride: axis -2147483648", "f32[2,3]");
    assert_int_equal(sn_count(NULL), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "count: tensor is NULL");
    assert_int_equal(sn_shape(SN_NONE, NULL, NULL), 0);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "shape: tensor is SN_NONE");
    (void)sn_dtype_of(NULL);
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "dtype_of: tensor is NULL");
    assert_false(sn_is_contiguous(NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "is_contiguous: tensor is NULL");
    assert_true(sn_dtype_size((sn_dtype)99) == 0);
    assert_string_equal(sn_dtype_name((sn_dtype)99), "?");
    assert_non_null(sn_status_name((sn_status)99));
}

static void split_is_checked(void **state) {
    (void)state;
    sn_tensor *x = make_x(), *parts[2] = {x, x};
    assert_false(sn_split(NULL, SN_I(1, 1), 0, parts));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "split: x is NULL");
    assert_true(!parts[0] && !parts[1]);
    assert_false(sn_split(SN_NONE, SN_I(1, 1), 0, parts));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "split: x is SN_NONE");
    assert_false(sn_split(x, SN_I(1, 1), 0, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "split: parts is NULL");
    assert_false(sn_split(x, NULL, 2, 0, parts));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "split: sizes is NULL");
    assert_false(sn_split(x, SN_I(1, 1), 2, parts));
    EXPECT_ERROR(SN_ERROR_INDEX, "split: axis 2 is out of range", "f32[2,3]");
    assert_false(sn_split(x, SN_I(1, 2), 0, parts));
    EXPECT_ERROR(SN_ERROR_SHAPE, "split: the sizes add up to 3", "axis 0", "f32[2,3]");
    assert_false(sn_split(x, SN_I(3, -1), 0, parts));
    EXPECT_ERROR(SN_ERROR_SHAPE, "split: sizes[1] is -1");
    assert_false(sn_split(x, SN_I(INT64_MAX, INT64_MAX), 0, parts));
    EXPECT_ERROR(SN_ERROR_SHAPE, "split", "f32[2,3]");
    assert_false(sn_split(x, SN_I(1), 0, parts));
    EXPECT_ERROR(SN_ERROR_SHAPE, "split: the sizes add up to 1", "f32[2,3]");
    assert_true(!parts[0]);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_beyond_the_limit_is_an_error(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(1000), SN_F32);
    EXPECT_OK();
    sn_memory_set_limit(sn_memory().live_bytes + 1000000);
    assert_null(sn_zeros(SN_I(1 << 20), SN_F32));
    EXPECT_ERROR(SN_ERROR_MEMORY, "zeros", "out of memory", "4194304 bytes");
    assert_null(sn_expand(x, SN_I(2)));
    EXPECT_ERROR(SN_ERROR_SHAPE, "expand");
    assert_null(sn_add(sn_expand(x, SN_I(1000, 1000)), sn_c(1)));
    EXPECT_ERROR(SN_ERROR_MEMORY, "add", "out of memory", "4000000 bytes");
    EXPECT_VALUES(sn_sum(x, SN_I0, false), 1000);
    sn_memory_set_limit(0);
    EXPECT_VALUES(sn_sum(sn_zeros(SN_I(1 << 20), SN_F32), SN_I0, false), 0);
}

static sn_tensor *grows(sn_tensor *x, sn_tensor *y, sn_tensor *i) {
    (void)y, (void)i;
    return sn_add(sn_unsqueeze(x, 0), sn_unsqueeze(x, 1));
}

static void a_compiled_call_beyond_the_limit_is_an_error(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(1000), SN_F32), *y = make_y(), *i = make_i();
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    Wrong *fast = SN_FN(c, grows);
    for (int call = 0; call < 4; call++) {
        sn_scope scope = sn_scope_begin();
        sn_memory_set_limit(sn_memory().live_bytes + 1000000);
        assert_null(fast(x, y, i));
        EXPECT_ERROR(SN_ERROR_MEMORY, "test_errors.c:", "add: out of memory (4000000 bytes)");
        sn_memory_set_limit(0);
        EXPECT_SAME(fast(x, y, i), grows(x, y, i));
        sn_scope_end(scope, NULL);
    }
    sn_compiled_release(c);
}

/* Results of a million elements, of ops that passes leave as they are, make of others, or view. */
static sn_tensor *adds(sn_tensor *x) {
    return sn_add(sn_unsqueeze(x, 0), sn_unsqueeze(x, 1));
}
static sn_tensor *pads(sn_tensor *x) {
    return sn_pad(x, SN_I(1000000, 0), 0.5);
}
static sn_tensor *fills(sn_tensor *x) {
    return sn_full(SN_I(sn_size(x, 0), 1000), 2, SN_F32);
}
static sn_tensor *joins(sn_tensor *x) {
    sn_tensor *wide = sn_expand(sn_unsqueeze(x, 0), SN_I(500, 1000));
    return sn_cat((sn_tensor *[]){wide, wide}, 2, 0);
}
static sn_tensor *normalizes(sn_tensor *x) {
    return sn_softmax(sn_expand(sn_unsqueeze(x, 0), SN_I(1000, 1000)), 1);
}
static sn_tensor *looks_up(sn_tensor *x) {
    return sn_embedding(sn_unsqueeze(x, 1), sn_expand(sn_zeros(SN_I(1), SN_I64), SN_I(1000000)));
}
static sn_tensor *multiplies(sn_tensor *x) {
    return sn_matmul(sn_unsqueeze(x, 1), sn_unsqueeze(x, 0));
}
static sn_tensor *lies_anew(sn_tensor *x) {
    return sn_reshape(sn_transpose(sn_expand(x, SN_I(1000, 1000)), 0, 1), SN_I(1000000));
}
static sn_tensor *attends(sn_tensor *x) { /* the scores are what is large */
    sn_tensor *query = sn_unsqueeze(x, 1);
    return sn_scaled_dot_product_attention(query, query, query, SN_NONE, false, 0);
}
static sn_tensor *reads_first(sn_tensor *x) {
    sn_tensor *y = sn_exp(sn_expand(x, SN_I(1000, 1000)));
    return sn_item(sn_sum(y, SN_I0, false)) > 0 ? y : NULL;
}

/* Memory that an op cannot have is told alike by eager, by a trace and by an entry. */
static void out_of_memory_is_told_as_in_eager(void **state) {
    (void)state;
    typedef sn_tensor *Large(sn_tensor *);
    static Large *const functions[] = {adds,     pads,       fills,     joins,   normalizes,
                                       looks_up, multiplies, lies_anew, attends, reads_first};
    sn_tensor *x = sn_ones(SN_I(1000), SN_F32);
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        sn_compiled *c = sn_compile(functions[f], "t:t", NULL);
        for (int call = 0; call < 4; call++) {
            sn_error want, got;
            sn_scope scope = sn_scope_begin();
            sn_memory_set_limit(call == 2 ? 0 : sn_memory().live_bytes + 1000000);
            bool done = functions[f](x) != NULL;
            assert_int_equal(sn_error_take(&want), call == 2 ? SN_OK : SN_ERROR_MEMORY);
            assert_int_equal(SN_FN(c, functions[f])(x) != NULL, done);
            sn_error_take(&got);
            assert_string_equal(got.text, want.text);
            assert_int_equal(got.status, want.status);
            assert_int_equal(got.line, want.line);
            sn_memory_set_limit(0);
            sn_scope_end(scope, NULL);
        }
        sn_compiled_release(c);
    }
}

static sn_rng reached = {.seed = 5};

static sn_tensor *draws(sn_tensor *x) {
    return sn_mul(sn_unsqueeze(x, 0), sn_rand(&reached, SN_I(1000, 1000), SN_F32));
}

static void a_call_that_fails_draws_nothing(void **state) {
    (void)state;
    sn_tensor *x = sn_ones(SN_I(1000), SN_F32);
    sn_compiled *c = sn_compile(draws, "t:t", NULL);
    for (int call = 0; call < 3; call++) {
        sn_scope scope = sn_scope_begin();
        uint64_t before = reached.counter;
        sn_memory_set_limit(sn_memory().live_bytes + 1000000);
        assert_null(SN_FN(c, draws)(x));
        EXPECT_ERROR(SN_ERROR_MEMORY, "test_errors.c:", "mul: out of memory (4000000 bytes)");
        assert_true(reached.counter == before);
        sn_memory_set_limit(0);
        assert_non_null(SN_FN(c, draws)(x));
        assert_true(reached.counter == before + 1000000);
        sn_scope_end(scope, NULL);
    }
    sn_compiled_release(c);
}

static void a_huge_shape_that_does_not_overflow_is_out_of_memory(void **state) {
    (void)state;
    assert_null(sn_zeros(SN_I(HUGE_DIM, 1 << 10), SN_F32)); /* 2^52 bytes */
    EXPECT_ERROR(SN_ERROR_MEMORY, "zeros", "out of memory", "4503599627370496 bytes");
    sn_tensor *wide = sn_expand(sn_ones(SN_I(1), SN_F32), SN_I(HUGE_DIM, 1 << 10));
    EXPECT_SHAPE(wide, SN_F32, SN_I(HUGE_DIM, 1 << 10));
    assert_null(sn_neg(wide));
    EXPECT_ERROR(SN_ERROR_MEMORY, "neg", "out of memory");
    assert_null(sn_contiguous(wide));
    EXPECT_ERROR(SN_ERROR_MEMORY, "out of memory");
}

/* ---- compile --------------------------------------------------------------------------------- */

static void compile_is_checked(void **state) {
    (void)state;
    assert_null(sn_compile_at(NULL, "nothing", "t:t", NULL, "model.c", 4));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "model.c:4: compile nothing: the function is NULL");
    assert_null(sn_compile(grows, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "compile grows: the signature is NULL", "test_errors.c:");
    static const char *const wrong[][2] = {{"", "':'"},
                                           {"t", "':'"},
                                           {"x:t", "unknown letter at character 1"},
                                           {"t:x", "output"},
                                           {"t:t:t", "output"},
                                           {"t??:t", "unknown letter at character 3"},
                                           {"i?:t", "character 2"},
                                           {"*:t", "character 1"},
                                           {"S:t", "no layout"},
                                           {"t t:t", "character 2"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(sn_compile(grows, wrong[i][0], NULL));
        EXPECT_ERROR(SN_ERROR_SIGNATURE, "compile grows: signature", wrong[i][1]);
    }
    char many[80];
    memset(many, 't', 65);
    memcpy(many + 65, ":t", 3);
    assert_null(sn_compile(grows, many, NULL));
    EXPECT_ERROR(SN_ERROR_SIGNATURE, "too many parameters");
    sn_compiled_release(NULL);
    assert_null((void *)(uintptr_t)sn_compiled_fn(NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "compiled_fn: the handle is NULL");
}

static void compile_options_are_checked(void **state) {
    (void)state;
    static const sn_watch no_data = {NULL, 4};
    static const sn_dim no_axis = {.axis = -1}, no_room = {.min = 5, .max = 4};
    const struct {
        sn_compile_options options;
        const char *part;
    } wrong[] = {
        {{.size = 8}, "options.size is 8"},
        {{.size = 1 << 20}, "options.size is 1048576"},
        {{.n_watch = 1}, "options.watch is NULL"},
        {{.n_watch = -1}, "options.n_watch is -1"},
        {{.watch = &no_data, .n_watch = 1}, "options.watch[0].data is NULL"},
        {{.rerun = (sn_rerun)2}, "options.rerun is 2"},
        {{.numerics = (sn_numerics)-1}, "options.numerics is -1"},
        {{.n_trees = 1}, "options.trees is NULL"},
        {{.n_trees = -1}, "options.n_trees is -1"},
        {{.shapes = (sn_shapes)3}, "options.shapes is 3"},
        {{.at_limit = (sn_at_limit)4}, "options.at_limit is 4"},
        {{.stance = (sn_stance)6}, "options.stance is 6"},
        {{.most_graphs = -1}, "options.most_graphs is -1"},
        {{.check_every = -2}, "options.check_every is -2"},
        {{.n_dims = 1}, "options.dims is NULL"},
        {{.dims = &no_axis, .n_dims = 1}, "options.dims[0] is dim -1 of tensor 0"},
        {{.dims = &no_room, .n_dims = 1}, "options.dims[0] is bounded by 5 and 4, a multiple of 0"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(sn_compile(grows, "ttt:t", &wrong[i].options));
        EXPECT_ERROR(SN_ERROR_ARGUMENT, "compile grows: ", wrong[i].part);
    }
    /* Size 0, and that of the struct's first version, are fine. */
    const size_t sizes[] = {0, offsetof(sn_compile_options, shapes), sizeof(sn_compile_options)};
    for (int i = 0; i < 3; i++) {
        sn_compiled *c = sn_compile(grows, "ttt:t", &(sn_compile_options){.size = sizes[i]});
        assert_non_null(c);
        sn_compiled_release(c);
    }
}

static void arguments_of_a_compiled_call_are_checked(void **state) {
    (void)state;
    sn_tensor *x = make_x(), *y = make_y(), *i = make_i();
    sn_compiled *c = sn_compile(writes_x, "ttt:t", NULL);
    Wrong *fast = SN_FN(c, writes_x);
    for (int call = 0; call < 3; call++) {
        assert_null(fast(x, NULL, i));
        EXPECT_ERROR(SN_ERROR_ARGUMENT, "writes_x, compiled at", "argument 2 is NULL");
        assert_null(fast(x, y, SN_NONE));
        EXPECT_ERROR(SN_ERROR_ARGUMENT, "writes_x, compiled at", "argument 3 is SN_NONE",
                     "not optional");
        assert_non_null(fast(x, y, i));
    }
    EXPECT_VALUES(x, 4, 5, 6, 7, 8, 9);
    sn_compiled_release(c);
}

/* ---- bindings -------------------------------------------------------------------------------- */

static sn_value of_tensor(sn_tensor *t) {
    return (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = t};
}

static void sn_call_is_checked(void **state) {
    (void)state;
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    sn_value values[3] = {of_tensor(make_x()), of_tensor(make_y()), of_tensor(make_i())};
    sn_tensor *out[1] = {NULL};
    int32_t n = 7;
    sn_error error;
    assert_int_equal(sn_call(NULL, values, 3, out, 1, &n, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "call: the handle is NULL"));
    assert_int_equal(n, 0);
    assert_int_equal(sn_call(c, values, 2, out, 1, &n, NULL, &error), SN_ERROR_SIGNATURE);
    assert_non_null(strstr(error.text, "grows takes 3 arguments (\"ttt:t\"), 2 were given"));
    assert_int_equal(sn_call(c, NULL, 3, out, 1, &n, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "inputs is NULL"));
    assert_int_equal(sn_call(c, values, 3, out, 0, &n, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "room for 0"));
    assert_int_equal(sn_call(c, values, 3, NULL, 1, &n, NULL, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "outputs is NULL"));
    sn_call_options options = {.size = 3};
    assert_int_equal(sn_call(c, values, 3, out, 1, &n, &options, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "options.size is 3"));
    options = (sn_call_options){.threads = -1};
    assert_int_equal(sn_call(c, values, 3, out, 1, &n, &options, &error), SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "options.threads is -1"));
    values[1] = (sn_value){.kind = SN_VALUE_FLOAT, .as.real = 1};
    assert_int_equal(sn_call(c, values, 3, out, 1, &n, NULL, &error), SN_ERROR_SIGNATURE);
    assert_non_null(strstr(error.text, "argument 2 of grows"));
    assert_int_equal(sn_call(c, values, 3, out, 1, NULL, NULL, NULL), SN_ERROR_SIGNATURE);
    assert_null(out[0]);
    EXPECT_OK();
    sn_compiled_release(c);
}

static int32_t threads_seen;

static sn_tensor *sees_threads(sn_tensor *x) {
    threads_seen = sn_threads();
    return sn_exp(x);
}

static void a_call_has_its_own_number_of_threads(void **state) {
    (void)state;
    int32_t before = sn_threads();
    sn_compiled *c = sn_compile(sees_threads, "t:t", NULL);
    sn_value x = {.kind = SN_VALUE_TENSOR, .as.tensor = sn_zeros(SN_I(3), SN_F32)};
    sn_call_options options = {.size = sizeof options, .threads = before + 3};
    sn_tensor *out;
    assert_int_equal(sn_call(c, &x, 1, &out, 1, NULL, &options, NULL), SN_OK);
    assert_int_equal(threads_seen, before + 3);
    assert_int_equal(sn_threads(), before);
    sn_release(out);
    sn_compiled_release(c);
}

/* A value of the kind that an op's parameter takes. */
static sn_value value_for(const char *kind, sn_tensor *t, sn_rng *rng) {
    static const int64_t two[] = {2};
    static sn_tensor *array[1];
    array[0] = t;
    switch (kind[0]) {
    case 't':
        if (kind[1] == '*')
            return (sn_value){.kind = SN_VALUE_TENSORS, .count = 1, .as.tensors = array};
        return of_tensor(t);
    case 'L':
        return (sn_value){.kind = SN_VALUE_INTS, .count = 1, .as.integers = two};
    case 'd':
        return (sn_value){.kind = SN_VALUE_FLOAT, .as.real = 0.5};
    case 'r':
        return (sn_value){.kind = SN_VALUE_RNG, .as.generator = rng};
    default:
        return (sn_value){.kind = SN_VALUE_INT, .as.integer = 0};
    }
}

/* Parameters of an op's signature that a caller passes; their kinds and how many. */
static int32_t kinds_of(const char *signature, const char **kinds) {
    int32_t n = 0;
    for (const char *colon = strchr(signature, ':'); colon; colon = strchr(colon + 1, ':'))
        if (colon[1] != 'h') kinds[n++] = colon + 1;
    return n;
}

static void expect_refused(int32_t op, const char *name, const sn_value *values, int32_t n) {
    sn_tensor *out[1] = {NULL};
    int32_t n_out = 5;
    sn_error error;
    sn_status status = sn_apply(op, values, n, out, 1, &n_out, NULL, &error);
    if (status == SN_OK || !strstr(error.text, name) || n_out != 0 || out[0])
        fail_msg("%s: status %d, \"%s\", %d results", name, (int)status, error.text, (int)n_out);
    EXPECT_OK();
}

static void sn_apply_checks_every_parameter_of_every_op(void **state) {
    (void)state;
    sn_op_description info;
    sn_tensor *t = make_x();
    sn_rng rng = {1, 5};
    int32_t ops = 0;
    for (int32_t op = 0; sn_op_info(op, &info); op++) {
        if (!info.is_public) continue;
        ops++;
        const char *kinds[16];
        sn_value good[16], values[17];
        int32_t n = kinds_of(info.signature, kinds);
        for (int32_t p = 0; p < n; p++) good[p] = value_for(kinds[p], t, &rng);
        memcpy(values, good, sizeof good);
        values[n] = of_tensor(t);
        if (n) expect_refused(op, info.name, good, n - 1);
        if (n) expect_refused(op, info.name, NULL, n);
        expect_refused(op, info.name, values, n + 1);
        for (int32_t p = 0; p < n; p++) {
            memcpy(values, good, sizeof good);
            values[p] = (sn_value){.kind = SN_VALUE_POINTER, .as.pointer = &rng};
            expect_refused(op, info.name, values, n);
            values[p] = good[p];
            if (strchr("tr", kinds[p][0]) && kinds[p][1] != '*') {
                values[p].as.pointer = NULL; /* tensor or generator */
                expect_refused(op, info.name, values, n);
            } else if (strchr("tL", kinds[p][0])) {
                values[p].as.tensors = NULL; /* tensors or integers */
                expect_refused(op, info.name, values, n);
                values[p] = good[p];
                values[p].count = -1;
                expect_refused(op, info.name, values, n);
                values[p].count = INT32_MAX;
                values[p].as.tensors = NULL;
                expect_refused(op, info.name, values, n);
            }
        }
    }
    assert_true(ops > 100);
    assert_int_equal(rng.counter, 5);
    assert_int_equal(sn_apply(-1, NULL, 0, &t, 1, NULL, NULL, NULL), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_apply(1 << 20, NULL, 0, &t, 1, NULL, NULL, NULL), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_apply(SN_OP_NEG, &(sn_value){0}, 1, NULL, 0, NULL, NULL, NULL),
                     SN_ERROR_ARGUMENT);
    assert_false(sn_op_info(-1, &info));
    assert_false(sn_op_info(0, NULL));
}

static void payload_functions_are_checked(void **state) {
    (void)state;
    sn_error error;
    assert_null(sn_compile_payload(NULL, NULL, NULL, "closure", "t:t", NULL, &error));
    assert_int_equal(error.status, SN_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "compile closure: the function is NULL"));
    assert_null(sn_compile_payload(NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    EXPECT_OK();
}

/* ---- inspection ------------------------------------------------------------------------------ */

static void inspection_is_checked(void **state) {
    (void)state;
    sn_explanation explanation = {0};
    sn_error error;
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    assert_int_equal(sn_explain(NULL, &explanation), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_explain(c, NULL), SN_ERROR_ARGUMENT);
    assert_null(sn_explain_text(NULL));
    assert_null(sn_dump(NULL, "graph", &error));
    assert_true(error.status == SN_ERROR_ARGUMENT && strstr(error.text, "dump: "));
    assert_null(sn_dump(c, NULL, &error));
    assert_true(error.status == SN_ERROR_ARGUMENT && strstr(error.text, "dump: "));
    assert_null(sn_dump(c, "graph", &error));
    assert_non_null(strstr(error.text, "grows was not called yet"));
    assert_non_null(SN_FN(c, grows)(make_i(), make_y(), make_i()));
    assert_null(sn_dump(c, "bogus", &error));
    assert_non_null(strstr(error.text, "dump: unknown stage \"bogus\""));
    assert_null(sn_dump(c, "bogus", NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "dump: unknown stage \"bogus\"");
    sn_text_free(NULL);
    sn_counters_get(NULL);
    sn_value wrong[3] = {of_tensor(make_x()), of_tensor(NULL), of_tensor(SN_NONE)};
    assert_true(sn_kernel_seconds(NULL, wrong, 1, 1) < 0);
    assert_true(sn_kernel_seconds(c, NULL, 1, 1) < 0);
    assert_true(sn_kernel_seconds(c, wrong, 1, 1) < 0); /* another shape than the kernels' */
    assert_true(sn_kernel_seconds(c, wrong + 1, 1, 1) < 0);
    assert_true(sn_kernel_seconds(c, wrong + 2, 1, 1) < 0);
    assert_true(sn_kernel_seconds(c, wrong, -1, 1) < 0);
    assert_true(sn_kernel_seconds(c, wrong, 1, 0) < 0);
    assert_int_equal(sn_history_end(NULL, 0), 0);
    sn_compiled_release(c);
}

/* Dumps each stage of a list "a, b, c" of one of the two. */
static int32_t dump_listed(sn_compiled *c, const sn_graph *graph, const char *list) {
    char name[32], rest[400];
    int32_t dumped = 0;
    snprintf(rest, sizeof rest, "%s", list);
    for (char *at = rest; sscanf(at, "%31[^,]", name) == 1; dumped++) {
        sn_error error = {0};
        char *text = c ? sn_dump(c, name, &error) : sn_graph_dump(graph, name, &error);
        bool no_nvrtc = strcmp(name, "ptx") == 0 && error.status == SN_ERROR_UNSUPPORTED;
        if (!text && !no_nvrtc) fail_msg("%s: %s", name, error.text);
        sn_text_free(text);
        at = strchr(at, ',');
        if (!at) return dumped + 1;
        at += 2;
    }
    return dumped;
}

static void a_refusal_names_the_stages_there_are(void **state) {
    (void)state;
    static const char text[] = "graph g(%0: f32[2]) {\n  %1 = neg %0 : f32[2]\n  return %1\n}\n";
    sn_error of_function, of_graph;
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    assert_non_null(SN_FN(c, grows)(make_i(), make_y(), make_i()));
    assert_null(sn_dump(c, "bogus", &of_function));
    sn_graph *graph = sn_graph_parse(text, sizeof text - 1, &of_graph);
    if (!graph) fail_msg("%s", of_graph.text);
    assert_null(sn_graph_dump(graph, "html", &of_graph));
    assert_non_null(strstr(of_function.text, "dump: unknown stage \"bogus\"; stages: graph, "));
    assert_non_null(strstr(of_graph.text, "graph_dump: unknown stage \"html\"; stages: graph, "));
    int32_t stages = dump_listed(c, NULL, strstr(of_function.text, "stages: ") + 8);
    assert_int_equal(dump_listed(NULL, graph, strstr(of_graph.text, "stages: ") + 8), stages - 2);
    assert_null(sn_graph_dump(graph, "guards", &of_graph));
    sn_graph_free(graph);
    sn_compiled_release(c);
}

static void small_structs_of_older_programs_are_not_overrun(void **state) {
    (void)state;
    struct {
        sn_counters counters; /* .size says that only its first 24 bytes are there */
    } room;
    memset(&room, 0x5a, sizeof room);
    room.counters.size = 24;
    sn_counters_get(&room.counters);
    assert_int_equal(room.counters.size, 24);
    for (size_t at = 24; at < sizeof room; at++)
        assert_int_equal(((unsigned char *)&room)[at], 0x5a);
    sn_compiled *c = sn_compile(grows, "ttt:t", NULL);
    sn_explanation explanation;
    memset(&explanation, 0x5a, sizeof explanation);
    explanation.size = 16;
    assert_int_equal(sn_explain(c, &explanation), SN_OK);
    for (size_t at = 16; at < sizeof explanation; at++)
        assert_int_equal(((unsigned char *)&explanation)[at], 0x5a);
    sn_compiled_release(c);
}

static void graphs_as_text_are_checked(void **state) {
    (void)state;
    static const char text[] =
        "graph g(%0: f32[2,3]) {\n  %1 = neg %0 : f32[2,3]\n  return %1\n}\n";
    sn_error error;
    sn_tensor *x = make_x(), *y = make_y(), *out[1] = {NULL};
    int32_t n = 3;
    assert_null(sn_graph_parse(NULL, 4, &error));
    assert_non_null(strstr(error.text, "graph_parse: the text is NULL"));
    assert_null(sn_graph_parse("nonsense", 8, &error));
    assert_int_equal(error.status, SN_ERROR_FORMAT);
    assert_null(sn_graph_print(NULL));
    assert_null(sn_graph_dump(NULL, "fuse", &error));
    assert_int_equal(error.status, SN_ERROR_ARGUMENT);
    sn_graph_free(NULL);
    sn_graph *graph = sn_graph_parse(text, sizeof text - 1, &error);
    if (!graph) fail_msg("%s", error.text);
    assert_int_equal(sn_graph_run(NULL, &x, 1, out, 1, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, NULL, 1, out, 1, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, &x, 0, out, 1, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, &x, 1, NULL, 1, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, &x, 1, out, 0, &n, &error), SN_ERROR_ARGUMENT);
    assert_int_equal(sn_graph_run(graph, &y, 1, out, 1, &n, &error), SN_ERROR_SHAPE);
    assert_non_null(strstr(error.text, "input 0 is f32[4,5], the graph takes f32[2,3]"));
    assert_int_equal(sn_graph_run(graph, (sn_tensor *[]){NULL}, 1, out, 1, &n, &error),
                     SN_ERROR_ARGUMENT);
    assert_int_equal(n, 0);
    assert_null(out[0]);
    assert_int_equal(sn_graph_run(graph, &x, 1, out, 1, &n, &error), SN_OK);
    assert_int_equal(n, 1);
    EXPECT_VALUES(out[0], -1, -2, -3, -4, -5, -6);
    sn_release(out[0]);
    assert_null(sn_graph_dump(graph, NULL, NULL));
    EXPECT_ERROR(SN_ERROR_ARGUMENT, "graph_dump: stage is NULL");
    assert_null(sn_graph_parse("graph", 5, NULL));
    EXPECT_ERROR(SN_ERROR_FORMAT, "graph");
    sn_graph_free(graph);
}

static void process_settings_are_checked(void **state) {
    (void)state;
    int32_t threads = sn_threads();
    sn_set_threads(0);
    assert_true(sn_threads() >= 1);
    sn_set_threads(-5);
    assert_true(sn_threads() >= 1);
    sn_set_threads(INT32_MAX);
    EXPECT_VALUES(sn_sum(sn_ones(SN_I(3), SN_F32), SN_I0, false), 3);
    sn_set_threads(threads);
    sn_memory_set_limit(-1); /* none */
    assert_non_null(sn_zeros(SN_I(4), SN_F32));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        API_TEST(every_wrong_call_names_op_argument_and_line),
        API_TEST(a_compiled_function_gives_the_same_status_text_and_line),
        API_TEST(a_pending_error_stops_every_op_and_write),
        API_TEST(a_pending_error_stops_compiled_calls),
        API_TEST(errors_of_the_program_travel_like_ours),
        API_TEST(data_in_is_checked),
        API_TEST(data_out_is_checked),
        API_TEST(shape_questions_are_checked),
        API_TEST(split_is_checked),
        API_TEST(memory_beyond_the_limit_is_an_error),
        API_TEST(a_compiled_call_beyond_the_limit_is_an_error),
        API_TEST(out_of_memory_is_told_as_in_eager),
        API_TEST(a_call_that_fails_draws_nothing),
        API_TEST(a_huge_shape_that_does_not_overflow_is_out_of_memory),
        API_TEST(compile_is_checked),
        API_TEST(compile_options_are_checked),
        API_TEST(arguments_of_a_compiled_call_are_checked),
        API_TEST(sn_call_is_checked),
        API_TEST(sn_apply_checks_every_parameter_of_every_op),
        API_TEST(payload_functions_are_checked),
        API_TEST(inspection_is_checked),
        API_TEST(a_refusal_names_the_stages_there_are),
        API_TEST(small_structs_of_older_programs_are_not_overrun),
        API_TEST(graphs_as_text_are_checked),
        API_TEST(a_call_has_its_own_number_of_threads),
        API_TEST(process_settings_are_checked),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
