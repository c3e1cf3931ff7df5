/* What a program asks of a handle: dtype, rank, sizes, strides. */
#include "frontend/tensor/tensor.h"

#include "ir/op/type.h"

#undef sn_dtype_of
#undef sn_rank
#undef sn_size
#undef sn_stride
#undef sn_count
#undef sn_shape
#undef sn_is_contiguous

static bool readable(const sn_tensor *tensor, const char *op, Site site) {
    if (!tensor_check_present(tensor, op, "tensor", site)) return false;
    record_look(tensor);
    return true;
}

sn_dtype sn_dtype_of_at(const sn_tensor *tensor, const char *file, int32_t line) {
    bool ok = readable(tensor, "dtype_of", site_at(file, line));
    return ok ? (sn_dtype)tensor->dtype : SN_BOOL;
}

sn_dtype sn_dtype_of(const sn_tensor *tensor) {
    return sn_dtype_of_at(tensor, NULL, 0);
}

int32_t sn_rank_at(const sn_tensor *tensor, const char *file, int32_t line) {
    return readable(tensor, "rank", site_at(file, line)) ? tensor->rank : 0;
}

int32_t sn_rank(const sn_tensor *tensor) {
    return sn_rank_at(tensor, NULL, 0);
}

static int32_t find_axis(const sn_tensor *tensor, int32_t axis, const char *op, Site site) {
    if (!readable(tensor, op, site)) return -1;
    int32_t own = axis < 0 ? axis + tensor->rank : axis;
    if (own >= 0 && own < tensor->rank) return own;
    TensorType type = tensor_type(tensor);
    error_raise(SN_ERROR_INDEX, site, "%s: axis %d is out of range: tensor is %s", op, (int)axis,
                type_text(&type).text);
    return -1;
}

int64_t sn_size_at(const sn_tensor *tensor, int32_t axis, const char *file, int32_t line) {
    int32_t own = find_axis(tensor, axis, "size", site_at(file, line));
    return own < 0 ? 0 : tensor->dims[own];
}

int64_t sn_size(const sn_tensor *tensor, int32_t axis) {
    return sn_size_at(tensor, axis, NULL, 0);
}

int64_t sn_stride_at(const sn_tensor *tensor, int32_t axis, const char *file, int32_t line) {
    int32_t own = find_axis(tensor, axis, "stride", site_at(file, line));
    return own < 0 ? 0 : tensor->strides[own];
}

int64_t sn_stride(const sn_tensor *tensor, int32_t axis) {
    return sn_stride_at(tensor, axis, NULL, 0);
}

int64_t sn_count_at(const sn_tensor *tensor, const char *file, int32_t line) {
    bool ok = readable(tensor, "count", site_at(file, line));
    return ok ? sizes_count(tensor->dims, tensor->rank) : 0;
}

int64_t sn_count(const sn_tensor *tensor) {
    return sn_count_at(tensor, NULL, 0);
}

int32_t sn_shape_at(const sn_tensor *tensor, int64_t *dims, int64_t *strides, const char *file,
                    int32_t line) {
    if (!readable(tensor, "shape", site_at(file, line))) return 0;
    if (dims) memcpy(dims, tensor->dims, sizeof(int64_t) * tensor->rank);
    if (strides) memcpy(strides, tensor->strides, sizeof(int64_t) * tensor->rank);
    return tensor->rank;
}

int32_t sn_shape(const sn_tensor *tensor, int64_t *dims, int64_t *strides) {
    return sn_shape_at(tensor, dims, strides, NULL, 0);
}

bool sn_is_contiguous_at(const sn_tensor *tensor, const char *file, int32_t line) {
    return readable(tensor, "is_contiguous", site_at(file, line)) && tensor_is_dense(tensor);
}

bool sn_is_contiguous(const sn_tensor *tensor) {
    return sn_is_contiguous_at(tensor, NULL, 0);
}
