/* Where the elements of a tensor lie: dense strides, the span that a handle can touch, overlaps. */
#include "frontend/tensor/tensor.h"

bool tensor_is_dense(const sn_tensor *tensor) {
    int64_t stride = 1;
    for (int32_t i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->dims[i] == 0) return true;
        if (tensor->dims[i] != 1 && tensor->strides[i] != stride) return false;
        stride *= tensor->dims[i];
    }
    return true;
}

void tensor_extent(const sn_tensor *tensor, int64_t *first, int64_t *end) {
    *first = 0;
    *end = 1;
    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] == 0) *end = *first;
        if (tensor->dims[i] == 0) return;
        int64_t reach = (tensor->dims[i] - 1) * tensor->strides[i];
        if (reach < 0)
            *first += reach;
        else
            *end += reach;
    }
}

bool tensor_overlaps_itself(const sn_tensor *tensor) {
    /* Enough for what views can make: expanded axes, or axes (by falling stride) that do not nest. */
    int64_t strides[SN_MAX_RANK], dims[SN_MAX_RANK];
    int32_t n = 0;
    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] == 0) return false;
        if (tensor->dims[i] == 1) continue;
        int64_t stride = tensor->strides[i] < 0 ? -tensor->strides[i] : tensor->strides[i];
        int32_t at = n++;
        for (; at > 0 && strides[at - 1] > stride; at--) {
            strides[at] = strides[at - 1];
            dims[at] = dims[at - 1];
        }
        strides[at] = stride;
        dims[at] = tensor->dims[i];
    }
    int64_t reach = 0;
    for (int32_t i = 0; i < n; i++) {
        if (strides[i] <= reach) return true;
        reach += strides[i] * (dims[i] - 1);
    }
    return false;
}

bool tensors_overlap(const sn_tensor *x, const sn_tensor *y) {
    int64_t first, end;
    if (!x->storage || !y->storage) return false;
    int64_t sx = (int64_t)sn_dtype_size((sn_dtype)x->dtype),
            sy = (int64_t)sn_dtype_size((sn_dtype)y->dtype);
    tensor_extent(x, &first, &end);
    const char *x_first = tensor_data(x) + first * sx, *x_end = tensor_data(x) + end * sx;
    tensor_extent(y, &first, &end);
    const char *y_first = tensor_data(y) + first * sy, *y_end = tensor_data(y) + end * sy;
    return x_first < y_end && y_first < x_end && x_first != x_end && y_first != y_end;
}

bool tensors_same(const sn_tensor *x, const sn_tensor *y) {
    return x->storage == y->storage && x->offset == y->offset && x->dtype == y->dtype &&
           x->rank == y->rank && memcmp(x->dims, y->dims, sizeof(int64_t) * x->rank) == 0 &&
           memcmp(x->strides, y->strides, sizeof(int64_t) * x->rank) == 0;
}
