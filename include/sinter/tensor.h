/** @file tensor.h
 *  Tensors: making them from the program's data, reading them back, asking for their shape.
 *
 *  A tensor is a handle on (storage, dtype, shape, strides, offset). Views share storage. Shapes and
 *  strides are counted in elements, row-major by default. Every function that returns a tensor gives
 *  it to the innermost open scope (scope.h); on bad input it returns NULL and records the thread's
 *  error (error.h). */
#ifndef SINTER_TENSOR_H
#define SINTER_TENSOR_H

#include <sinter/base.h>

SN_BEGIN_DECLS

typedef struct sn_tensor sn_tensor;
typedef struct sn_rng sn_rng;

/** Where an optional tensor is absent. NULL never means that. */
SN_API extern sn_tensor *const sn_none_tensor;
#define SN_NONE sn_none_tensor

/** A list of integers as two arguments, pointer and count: sn_reshape(x, SN_I(2, -1)). C only. */
#define SN_I(...)                                                                                  \
    ((const int64_t[]){__VA_ARGS__}),                                                              \
        ((int32_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
/** The empty list: no axes given, or the shape of a scalar. */
#define SN_I0 ((const int64_t *)0), 0

/** A weak scalar operand: takes part in dtype promotion only by its category, so that
 *  sn_mul(x_f16, sn_c(0.5)) stays f16. A value that the tensor's dtype does not hold counts in full where
 *  an op computes or compares; where it is stored integers wrap (300 is 44 in u8), and where the larger or
 *  smaller is chosen it is the nearest one (255). Number parameters (double) saturate: docs/numerics.md. */
SN_API sn_tensor *sn_c_at(double value, const char *file, int32_t line);
SN_API sn_tensor *sn_c(double value);
#define sn_c(...) sn_c_at(__VA_ARGS__, __FILE__, __LINE__)
/** The same for an integer. */
SN_API sn_tensor *sn_ci_at(int64_t value, const char *file, int32_t line);
SN_API sn_tensor *sn_ci(int64_t value);
#define sn_ci(...) sn_ci_at(__VA_ARGS__, __FILE__, __LINE__)

/** @name Data in
 *  @{ */
/** Copies `bytes` bytes of row-major elements; `bytes` must be exactly the shape's. */
SN_API sn_tensor *sn_from_copy_at(const void *data, size_t bytes, const int64_t *dims, int32_t rank,
                                  sn_dtype dtype, const char *file, int32_t line);
SN_API sn_tensor *sn_from_copy(const void *data, size_t bytes, const int64_t *dims, int32_t rank,
                               sn_dtype dtype);
#define sn_from_copy(...) sn_from_copy_at(__VA_ARGS__, __FILE__, __LINE__)
/** Uses the caller's memory in place: `bytes` is at least the shape's, aligned to the element.
 *  `release(context)` (may be NULL) is called once, from any thread, when the last view is gone. On
 *  failure NULL is returned and the memory stays the caller's. */
SN_API sn_tensor *sn_from_borrow_at(void *data, size_t bytes, const int64_t *dims, int32_t rank,
                                    sn_dtype dtype, void (*release)(void *context), void *context,
                                    const char *file, int32_t line);
SN_API sn_tensor *sn_from_borrow(void *data, size_t bytes, const int64_t *dims, int32_t rank,
                                 sn_dtype dtype, void (*release)(void *context), void *context);
#define sn_from_borrow(...) sn_from_borrow_at(__VA_ARGS__, __FILE__, __LINE__)
/** New memory, zeroed; filled with ones. */
SN_API sn_tensor *sn_zeros_at(const int64_t *dims, int32_t rank, sn_dtype dtype, const char *file,
                              int32_t line);
SN_API sn_tensor *sn_zeros(const int64_t *dims, int32_t rank, sn_dtype dtype);
#define sn_zeros(...) sn_zeros_at(__VA_ARGS__, __FILE__, __LINE__)
SN_API sn_tensor *sn_ones_at(const int64_t *dims, int32_t rank, sn_dtype dtype, const char *file,
                             int32_t line);
SN_API sn_tensor *sn_ones(const int64_t *dims, int32_t rank, sn_dtype dtype);
#define sn_ones(...) sn_ones_at(__VA_ARGS__, __FILE__, __LINE__)
/** @} */

/** @name Data out
 *  Host reads: inside a compiled function they run what was recorded so far.
 *  @{ */
/** Copies all elements in row-major order to `destination` as `dtype`, converting like sn_cast;
 *  `bytes` must be exactly theirs. False on error (see error.h): also the errors in data (an index
 *  out of range) of the ops before it. */
SN_API bool sn_read_at(sn_tensor *tensor, sn_dtype dtype, void *destination, size_t bytes,
                       const char *file, int32_t line);
SN_API bool sn_read(sn_tensor *tensor, sn_dtype dtype, void *destination, size_t bytes);
#define sn_read(...) sn_read_at(__VA_ARGS__, __FILE__, __LINE__)
/** The one element of a tensor of one element. 0 on error. As an int64_t: of a float the fraction is cut off,
 *  NaN gives 0, what is out of range the nearest int64_t. */
SN_API double sn_item_at(sn_tensor *tensor, const char *file, int32_t line);
SN_API double sn_item(sn_tensor *tensor);
#define sn_item(tensor) sn_item_at(tensor, __FILE__, __LINE__)
SN_API int64_t sn_item_int_at(sn_tensor *tensor, const char *file, int32_t line);
SN_API int64_t sn_item_int(sn_tensor *tensor);
#define sn_item_int(tensor) sn_item_int_at(tensor, __FILE__, __LINE__)
/** Pointer to element 0 of the tensor's storage view, for direct access by sn_stride; NULL on
 *  error. Writable; sn_unmap tells Sinter that the content may have changed. Until then products read it
 *  where it lies: no packed form of a weight is made or used. */
SN_API void *sn_map_at(sn_tensor *tensor, const char *file, int32_t line);
SN_API void *sn_map(sn_tensor *tensor);
#define sn_map(tensor) sn_map_at(tensor, __FILE__, __LINE__)
SN_API void sn_unmap(sn_tensor *tensor);
/** Promises that the memory of the tensor, all of it and through whatever view, is never written again:
 *  products then pack a weight at their first call, borrowed and mapped memory too, in place of the second
 *  call that sees it unchanged. Writing to it from now on is SN_ERROR_ARGUMENT, and so are sn_map and
 *  sn_to_dlpack, whose pointers can be written by. False on error: SN_ERROR_ARGUMENT while such a pointer is
 *  out. There is no way back. */
SN_API bool sn_freeze_at(sn_tensor *tensor, const char *file, int32_t line);
SN_API bool sn_freeze(sn_tensor *tensor);
#define sn_freeze(tensor) sn_freeze_at(tensor, __FILE__, __LINE__)
/** Prints like NumPy ("[[1, 2], [3, 4]]"), snprintf-style: at most n bytes with the NUL, long axes
 *  abbreviated; returns the length that the whole text needs, -1 on error. */
SN_API int32_t sn_format_at(sn_tensor *tensor, char *buffer, size_t n, const char *file,
                            int32_t line);
SN_API int32_t sn_format(sn_tensor *tensor, char *buffer, size_t n);
#define sn_format(...) sn_format_at(__VA_ARGS__, __FILE__, __LINE__)
/** @} */

/** @name Shape
 *  Inside a compiled function the compiled code is valid for the shapes it saw; a new shape runs
 *  the function again, so any C code may use these numbers.
 *  @{ */
SN_API sn_dtype sn_dtype_of_at(const sn_tensor *tensor, const char *file, int32_t line);
SN_API sn_dtype sn_dtype_of(const sn_tensor *tensor);
#define sn_dtype_of(tensor) sn_dtype_of_at(tensor, __FILE__, __LINE__)
SN_API int32_t sn_rank_at(const sn_tensor *tensor, const char *file, int32_t line);
SN_API int32_t sn_rank(const sn_tensor *tensor);
#define sn_rank(tensor) sn_rank_at(tensor, __FILE__, __LINE__)
/** Size of an axis; a negative axis counts from the end. 0 and the thread's error if there is none. */
SN_API int64_t sn_size_at(const sn_tensor *tensor, int32_t axis, const char *file, int32_t line);
SN_API int64_t sn_size(const sn_tensor *tensor, int32_t axis);
#define sn_size(...) sn_size_at(__VA_ARGS__, __FILE__, __LINE__)
/** Elements between neighbours along an axis. */
SN_API int64_t sn_stride_at(const sn_tensor *tensor, int32_t axis, const char *file, int32_t line);
SN_API int64_t sn_stride(const sn_tensor *tensor, int32_t axis);
#define sn_stride(...) sn_stride_at(__VA_ARGS__, __FILE__, __LINE__)
/** Number of elements. */
SN_API int64_t sn_count_at(const sn_tensor *tensor, const char *file, int32_t line);
SN_API int64_t sn_count(const sn_tensor *tensor);
#define sn_count(tensor) sn_count_at(tensor, __FILE__, __LINE__)
/** Copies sizes, strides (each may be NULL) of up to SN_MAX_RANK axes; returns the rank. */
SN_API int32_t sn_shape_at(const sn_tensor *tensor, int64_t *dims, int64_t *strides,
                           const char *file, int32_t line);
SN_API int32_t sn_shape(const sn_tensor *tensor, int64_t *dims, int64_t *strides);
#define sn_shape(...) sn_shape_at(__VA_ARGS__, __FILE__, __LINE__)
SN_API bool sn_is_contiguous_at(const sn_tensor *tensor, const char *file, int32_t line);
SN_API bool sn_is_contiguous(const sn_tensor *tensor);
#define sn_is_contiguous(tensor) sn_is_contiguous_at(tensor, __FILE__, __LINE__)
/** @} */

/** @name Indexing
 *  sn_index(x, SN_IX(SN_ALL, SN_AT(3), SN_RANGE(0, 10), SN_NEW)) is NumPy's x[:, 3, 0:10, None].
 *  @{ */
typedef enum sn_index_kind {
    SN_INDEX_ALL = 0,   /**< the whole axis */
    SN_INDEX_AT = 1,    /**< one index; the axis goes */
    SN_INDEX_RANGE = 2, /**< start, stop, step with NumPy's clamping */
    SN_INDEX_NEW = 3    /**< a new axis of size 1 */
} sn_index_kind;
typedef struct sn_index_item {
    sn_index_kind kind; /**< what is done with the axis */
    int64_t start;      /**< AT: the index; RANGE: first; negative counts from the end */
    int64_t stop;       /**< RANGE: one past the last */
    int64_t step;       /**< RANGE: not 0; negative walks backwards */
} sn_index_item;
/** Stop of a range that goes on to the end (or, with a negative step, to the beginning). */
#define SN_END INT64_MAX
#define SN_ALL                                                                                     \
    { SN_INDEX_ALL, 0, SN_END, 1 }
#define SN_AT(index)                                                                               \
    { SN_INDEX_AT, (index), 0, 1 }
#define SN_RANGE(start, stop)                                                                      \
    { SN_INDEX_RANGE, (start), (stop), 1 }
#define SN_STEP(start, stop, step)                                                                 \
    { SN_INDEX_RANGE, (start), (stop), (step) }
#define SN_NEW                                                                                     \
    { SN_INDEX_NEW, 0, 0, 1 }
#define SN_IX(...)                                                                                 \
    ((const sn_index_item[]){__VA_ARGS__}),                                                        \
        ((int32_t)(sizeof((const sn_index_item[]){__VA_ARGS__}) / sizeof(sn_index_item)))
/** A view of x; axes that are not named stay whole. */
SN_API sn_tensor *sn_index_at(sn_tensor *x, const sn_index_item *items, int32_t count,
                              const char *file, int32_t line);
SN_API sn_tensor *sn_index(sn_tensor *x, const sn_index_item *items, int32_t count);
#define sn_index(...) sn_index_at(__VA_ARGS__, __FILE__, __LINE__)
/** Splits an axis into pieces of `sizes`, which add up to it; fills `parts` (count of them) with
 *  views. False on error, all of `parts` NULL. */
SN_API bool sn_split_at(sn_tensor *x, const int64_t *sizes, int32_t count, int64_t axis,
                        sn_tensor **parts, const char *file, int32_t line);
SN_API bool sn_split(sn_tensor *x, const int64_t *sizes, int32_t count, int64_t axis,
                     sn_tensor **parts);
#define sn_split(...) sn_split_at(__VA_ARGS__, __FILE__, __LINE__)
/** x itself if it is dense row-major, else a copy. */
SN_API sn_tensor *sn_contiguous_at(sn_tensor *x, const char *file, int32_t line);
SN_API sn_tensor *sn_contiguous(sn_tensor *x);
#define sn_contiguous(...) sn_contiguous_at(__VA_ARGS__, __FILE__, __LINE__)
/** @} */

/** @name Sizes that depend on data
 *  Host reads, as above: inside a compiled function they run what was recorded so far, and recording
 *  goes on with results of the size found. Numbers of elements n are found on the calling thread.
 *  @{ */
/** Where x is not 0 (NaN is not 0): the indices along each axis, in row-major order, i64[n, rank]. */
SN_API sn_tensor *sn_nonzero_at(sn_tensor *x, const char *file, int32_t line);
SN_API sn_tensor *sn_nonzero(sn_tensor *x);
#define sn_nonzero(...) sn_nonzero_at(__VA_ARGS__, __FILE__, __LINE__)
/** The elements of x where mask is not 0, in row-major order, [n]; x and mask broadcast. */
SN_API sn_tensor *sn_masked_select_at(sn_tensor *x, sn_tensor *mask, const char *file,
                                      int32_t line);
SN_API sn_tensor *sn_masked_select(sn_tensor *x, sn_tensor *mask);
#define sn_masked_select(...) sn_masked_select_at(__VA_ARGS__, __FILE__, __LINE__)
/** The distinct elements of x in ascending order, [n]. NaNs come last, each distinct from all others;
 *  of -0 and +0, which are equal, the first in x is given. `inverse` (may be NULL) is set to the
 *  place of each element of x in the result, i64 of x's shape, and `counts` (may be NULL) to how
 *  often each is in x, i64[n]; NULL on error. */
SN_API sn_tensor *sn_unique_at(sn_tensor *x, sn_tensor **inverse, sn_tensor **counts,
                               const char *file, int32_t line);
SN_API sn_tensor *sn_unique(sn_tensor *x, sn_tensor **inverse, sn_tensor **counts);
#define sn_unique(...) sn_unique_at(__VA_ARGS__, __FILE__, __LINE__)
/** @} */

/** @name Writing
 *  @{ */
/** Writes source, broadcast and converted, over the elements of x, which may be a view; returns x.
 *  sn_copy_(sn_index(x, SN_IX(SN_AT(0))), y) writes row 0 of x. */
SN_API sn_tensor *sn_copy_at_(sn_tensor *x, sn_tensor *source, const char *file, int32_t line);
SN_API sn_tensor *sn_copy_(sn_tensor *x, sn_tensor *source);
#define sn_copy_(...) sn_copy_at_(__VA_ARGS__, __FILE__, __LINE__)
/** Writes one value over all elements of x; returns x. */
SN_API sn_tensor *sn_fill_at_(sn_tensor *x, double value, const char *file, int32_t line);
SN_API sn_tensor *sn_fill_(sn_tensor *x, double value);
#define sn_fill_(...) sn_fill_at_(__VA_ARGS__, __FILE__, __LINE__)
/** @} */

SN_END_DECLS

#endif
