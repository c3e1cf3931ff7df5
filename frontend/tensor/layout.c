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

void tensor_span(const sn_tensor *t, const char **first, const char **end) {
    int64_t from, to, size = (int64_t)sn_dtype_size((sn_dtype)t->dtype);
    *first = *end = NULL;
    if (!t->storage) return;
    tensor_extent(t, &from, &to);
    const char *data = tensor_data(t);
    if (from == to || !data) return;
    *first = data + from * size;
    *end = data + to * size;
}

bool tensors_overlap(const sn_tensor *x, const sn_tensor *y) {
    const char *x_first, *x_end, *y_first, *y_end;
    tensor_span(x, &x_first, &x_end);
    tensor_span(y, &y_first, &y_end);
    return x_first < y_end && y_first < x_end;
}

bool tensors_same(const sn_tensor *x, const sn_tensor *y) {
    return x->storage == y->storage && x->offset == y->offset && x->dtype == y->dtype &&
           x->rank == y->rank && memcmp(x->dims, y->dims, sizeof(int64_t) * x->rank) == 0 &&
           memcmp(x->strides, y->strides, sizeof(int64_t) * x->rank) == 0;
}
