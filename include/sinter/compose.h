/** @file compose.h
 *  Functions made of ops (ops.h): contractions by labels, batch norm in training. What they give are the
 *  results of those ops, bit for bit, and their dtypes; a compiled function fuses them as if the program had
 *  called them one by one. On bad input they return NULL and record the thread's error (error.h). */
#ifndef SINTER_COMPOSE_H
#define SINTER_COMPOSE_H

#include <sinter/tensor.h>

SN_BEGIN_DECLS

/** @name Contractions
 *  @{ */
/** Sums of products by labels, as torch.einsum: sn_einsum("bij,bjk->bik", SN_T(x, y)) is a batched matmul.
 *
 *  `equation` has a term of labels for each operand, a letter for each axis, separated by commas, and may
 *  have "->" and the labels of the result behind them; spaces do not count. Without "->" the result has
 *  the labels that occur once, in the order of the alphabet, upper case first. A label that occurs twice
 *  in a term is a diagonal; one that the result lacks is summed over. "..." in a term stands for axes
 *  without labels, which are aligned at the last one among operands: without "->" they come first in the
 *  result, and are summed over where "->" is followed by none. Axes of one label have one size, or size 1,
 *  which is repeated.
 *
 *  A label of one operand alone that the result lacks is summed first (sn_sum). Then the operands are
 *  multiplied from the left, two at a time. Labels that both have, and that neither the result nor a later
 *  operand has, are summed with that: one chain along them, in the order in which they first occur in the
 *  equation, as in sn_matmul; where there are none it is a product (sn_mul). Of one operand the result may
 *  be a view.
 *
 *  Dtype: that of the operands promoted; i64 where a label of one operand of integers alone is summed.
 *  Errors: SN_ERROR_ARGUMENT for an equation that is none, or is for another number of operands,
 *  SN_ERROR_SHAPE where ranks or sizes do not fit it, or a product of two operands has more than
 *  SN_MAX_RANK axes, SN_ERROR_DTYPE for sums of products of bool. */
SN_API sn_tensor *sn_einsum_at(const char *equation, sn_tensor *const *operands, int32_t count,
                               const char *file, int32_t line);
SN_API sn_tensor *sn_einsum(const char *equation, sn_tensor *const *operands, int32_t count);
#define sn_einsum(...) sn_einsum_at(__VA_ARGS__, __FILE__, __LINE__)
/** A list of tensors as two arguments, pointer and count. C only. */
#define SN_T(...)                                                                                  \
    ((sn_tensor *const[]){__VA_ARGS__}),                                                           \
        ((int32_t)(sizeof((sn_tensor *const[]){__VA_ARGS__}) / sizeof(sn_tensor *)))

/** Sums of products over n pairs of axes, dims_x[i] of x with dims_y[i] of y (n_y = n_x of them), as
 *  torch.tensordot: one chain along the pairs in their order, as in sn_matmul; without pairs all products
 *  (sn_mul). The result has the other axes of x, then those of y. Axes of a pair have one size, or size 1,
 *  which is repeated; negative ones count from the end. Dtype: promoted. Errors: SN_ERROR_INDEX for an
 *  axis that is none, SN_ERROR_ARGUMENT for one that is named twice or lists of other lengths,
 *  SN_ERROR_SHAPE for sizes. */
SN_API sn_tensor *sn_tensordot_at(sn_tensor *x, sn_tensor *y, const int64_t *dims_x, int32_t n_x,
                                  const int64_t *dims_y, int32_t n_y, const char *file,
                                  int32_t line);
SN_API sn_tensor *sn_tensordot(sn_tensor *x, sn_tensor *y, const int64_t *dims_x, int32_t n_x,
                               const int64_t *dims_y, int32_t n_y);
#define sn_tensordot(...) sn_tensordot_at(__VA_ARGS__, __FILE__, __LINE__)
/** @} */

/** @name Norms
 *  @{ */
/** F.batch_norm in training: sn_batch_norm(x, mean, var, weight, bias, eps) with the statistics of x, of
 *  rank 2 or more, over all axes but axis 1: mean and var are sn_mean and sn_var, correction 0, of x,
 *  which is cast to f32 if it is f16 or bf16. running_mean and running_var, floats [channels], are written
 *  in place: sn_lerp(running_mean, mean, momentum), and the same of sn_var with correction 1; nothing is
 *  where x has no elements. Any tensor but x may be SN_NONE. Errors: SN_ERROR_SHAPE also for one element a
 *  channel, which has no variance. */
SN_API sn_tensor *sn_batch_norm_training_at(sn_tensor *x, sn_tensor *running_mean,
                                            sn_tensor *running_var, sn_tensor *weight,
                                            sn_tensor *bias, double momentum, double eps,
                                            const char *file, int32_t line);
SN_API sn_tensor *sn_batch_norm_training(sn_tensor *x, sn_tensor *running_mean,
                                         sn_tensor *running_var, sn_tensor *weight, sn_tensor *bias,
                                         double momentum, double eps);
#define sn_batch_norm_training(...) sn_batch_norm_training_at(__VA_ARGS__, __FILE__, __LINE__)
/** @} */

SN_END_DECLS

#endif
