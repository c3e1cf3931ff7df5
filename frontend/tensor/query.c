/* What a program asks of a handle: dtype, rank, sizes, strides. */
#include "frontend/tensor/tensor.h"

#include "ir/op/type.h"

static bool readable(const sn_tensor *tensor, const char *op) {
    if (!tensor_check(tensor, op, "tensor", (Site){0})) return false;
    if (tensor->kind != TENSOR_NONE) {
        record_look(tensor);
        return true;
    }
    return error_refuse(SN_ERROR_ARGUMENT, (Site){0}, "%s: tensor is SN_NONE", op);
}

sn_dtype sn_dtype_of(const sn_tensor *tensor) {
    return readable(tensor, "dtype_of") ? (sn_dtype)tensor->dtype : SN_BOOL;
}

int32_t sn_rank(const sn_tensor *tensor) {
    return readable(tensor, "rank") ? tensor->rank : 0;
}

static int32_t find_axis(const sn_tensor *tensor, int32_t axis, const char *op) {
    if (!readable(tensor, op)) return -1;
    int32_t own = axis < 0 ? axis + tensor->rank : axis;
    if (own >= 0 && own < tensor->rank) return own;
    TensorType type = tensor_type(tensor);
    error_raise(SN_ERROR_INDEX, (Site){0}, "%s: axis %d is out of range for tensor, which is %s",
                op, (int)axis, type_text(&type).text);
    return -1;
}

int64_t sn_size(const sn_tensor *tensor, int32_t axis) {
    int32_t own = find_axis(tensor, axis, "size");
    return own < 0 ? 0 : tensor->dims[own];
}

int64_t sn_stride(const sn_tensor *tensor, int32_t axis) {
    int32_t own = find_axis(tensor, axis, "stride");
    return own < 0 ? 0 : tensor->strides[own];
}

int64_t sn_count(const sn_tensor *tensor) {
    return readable(tensor, "count") ? sizes_count(tensor->dims, tensor->rank) : 0;
}

int32_t sn_shape(const sn_tensor *tensor, int64_t *dims, int64_t *strides) {
    if (!readable(tensor, "shape")) return 0;
    if (dims) memcpy(dims, tensor->dims, sizeof(int64_t) * tensor->rank);
    if (strides) memcpy(strides, tensor->strides, sizeof(int64_t) * tensor->rank);
    return tensor->rank;
}

bool sn_is_contiguous(const sn_tensor *tensor) {
    return readable(tensor, "is_contiguous") && tensor_is_dense(tensor);
}
