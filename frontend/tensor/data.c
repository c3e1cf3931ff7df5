/* Data into tensors and out of them: copies, borrowed memory, scalars, reads, maps. */
#include "frontend/tensor/tensor.h"

#include "ir/op/dtype.h"
#include "ir/op/type.h"

#undef sn_c
#undef sn_ci
#undef sn_from_copy
#undef sn_from_borrow
#undef sn_read
#undef sn_item
#undef sn_item_int
#undef sn_map
#undef sn_freeze

/* ---- data in --------------------------------------------------------------------------------- */

static bool make_type(const int64_t *dims, int32_t rank, sn_dtype dtype, const char *op,
                      TensorType *type, Site site) {
    if (rank < 0 || (rank && !dims))
        return error_refuse(SN_ERROR_ARGUMENT, site, "%s: dims %s %d entries", op,
                            dims ? "cannot have" : "is NULL, but has", (int)rank);
    if (rank > SN_MAX_RANK)
        return error_refuse(SN_ERROR_SHAPE, site,
                            "%s: dims has %d sizes, but a tensor has at most %d", op, (int)rank,
                            SN_MAX_RANK);
    if ((uint32_t)dtype >= SN_DTYPE_COUNT)
        return error_refuse(SN_ERROR_ARGUMENT, site, "%s: dtype %d is no dtype", op, (int)dtype);
    *type = (TensorType){.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
    for (int32_t i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return error_refuse(SN_ERROR_SHAPE, site, "%s: dims[%d] is %lld, a negative size", op,
                                (int)i, (long long)dims[i]);
        type->dims[i] = dim_of(dims[i]);
    }
    return sizes_count(dims, rank) >= 0 ||
           error_refuse(SN_ERROR_MEMORY, site, "%s: %s is too large", op, type_text(type).text);
}

static size_t type_bytes(const TensorType *type) {
    return (size_t)type_count(type) * sn_dtype_size((sn_dtype)type->dtype);
}

/* Too few bytes, or too many, or none. NULL. */
static sn_tensor *refuse_bytes(const char *op, const void *data, size_t bytes,
                               const TensorType *type, Site site) {
    if (!data) return error_raise(SN_ERROR_ARGUMENT, site, "%s: data is NULL", op);
    return error_raise(SN_ERROR_ARGUMENT, site, "%s: bytes is %zu, but %s takes %zu", op, bytes,
                       type_text(type).text, type_bytes(type));
}

sn_tensor *sn_from_copy_at(const void *data, size_t bytes, const int64_t *dims, int32_t rank,
                           sn_dtype dtype, const char *file, int32_t line) {
    Site site = site_at(file, line);
    TensorType type;
    if (error_pending(thread_state()) || !make_type(dims, rank, dtype, "from_copy", &type, site))
        return NULL;
    size_t wanted = type_bytes(&type);
    if (bytes != wanted || (bytes && !data))
        return refuse_bytes("from_copy", data, bytes, &type, site);
    Storage *storage = storage_new(&device_cpu, wanted);
    if (!storage)
        return error_raise(SN_ERROR_MEMORY, site, "from_copy: out of memory (%zu bytes)", wanted);
    if (wanted) memcpy(storage->data, data, wanted);
    return tensor_real(storage, &type, NULL, 0, site);
}

sn_tensor *sn_from_copy(const void *data, size_t bytes, const int64_t *dims, int32_t rank,
                        sn_dtype dtype) {
    return sn_from_copy_at(data, bytes, dims, rank, dtype, NULL, 0);
}

sn_tensor *sn_from_borrow_at(void *data, size_t bytes, const int64_t *dims, int32_t rank,
                             sn_dtype dtype, void (*release)(void *context), void *context,
                             const char *file, int32_t line) {
    Site site = site_at(file, line);
    TensorType type;
    if (error_pending(thread_state()) || !make_type(dims, rank, dtype, "from_borrow", &type, site))
        return NULL;
    size_t wanted = type_bytes(&type);
    if (bytes < wanted || (wanted && !data))
        return refuse_bytes("from_borrow", data, bytes, &type, site);
    if ((uintptr_t)data % sn_dtype_size(dtype))
        return error_raise(SN_ERROR_ARGUMENT, site, "from_borrow: data is not aligned to %zu bytes",
                           sn_dtype_size(dtype));
    Storage *storage = storage_borrow(data, wanted, NULL, NULL);
    if (!storage) return error_raise(SN_ERROR_MEMORY, site, "from_borrow: out of memory");
    sn_tensor *tensor = tensor_real(storage, &type, NULL, 0, site);
    if (!tensor) return NULL;
    storage->owner[0] = (StorageOwner){release, context};
    return tensor;
}

sn_tensor *sn_from_borrow(void *data, size_t bytes, const int64_t *dims, int32_t rank,
                          sn_dtype dtype, void (*release)(void *context), void *context) {
    return sn_from_borrow_at(data, bytes, dims, rank, dtype, release, context, NULL, 0);
}

static sn_tensor *scalar(sn_dtype dtype, uint64_t bits, Site site) {
    if (error_pending(thread_state())) return NULL;
    TensorType type = {.dtype = (uint8_t)dtype, .rank = 0};
    sn_tensor *tensor = tensor_new(TENSOR_WEAK, &type, site);
    if (tensor) tensor->bits = bits;
    return tensor;
}

sn_tensor *sn_c_at(double value, const char *file, int32_t line) {
    return scalar(SN_F64, dtype_bits_from_double(SN_F64, value), site_at(file, line));
}

sn_tensor *sn_c(double value) {
    return sn_c_at(value, NULL, 0);
}

sn_tensor *sn_ci_at(int64_t value, const char *file, int32_t line) {
    return scalar(SN_I64, (uint64_t)value, site_at(file, line));
}

sn_tensor *sn_ci(int64_t value) {
    return sn_ci_at(value, NULL, 0);
}

/* ---- data out -------------------------------------------------------------------------------- */

sn_tensor *tensor_realize(sn_tensor *tensor, const char *op, Site site) {
    if (error_pending(thread_state()) || !tensor_check(tensor, op, "tensor", site)) return NULL;
    if (tensor->kind == TENSOR_NONE)
        return error_raise(SN_ERROR_ARGUMENT, site, "%s: tensor is SN_NONE", op);
    record_look(tensor);
    if (tensor->kind == TENSOR_WEAK) {
        TensorType type = {.dtype = tensor->dtype, .rank = 0};
        Storage *storage = storage_new(&device_cpu, sizeof(uint64_t));
        if (!storage) return error_raise(SN_ERROR_MEMORY, site, "%s: out of memory", op);
        dtype_store((sn_dtype)tensor->dtype, storage->data, tensor->bits);
        return tensor_real(storage, &type, NULL, 0, site);
    }
    return record_read(tensor, false, op, site) ? tensor : NULL;
}

/* Walks all elements in row-major order. */
typedef struct Walker {
    const sn_tensor *tensor;    /* what is walked */
    int64_t index[SN_MAX_RANK]; /* where it is */
    const char *at;             /* the element there */
} Walker;

static void walker_next(Walker *w) {
    const sn_tensor *t = w->tensor;
    int64_t size = (int64_t)sn_dtype_size((sn_dtype)t->dtype);
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        w->at += t->strides[d] * size;
        if (++w->index[d] < t->dims[d]) return;
        w->at -= t->strides[d] * t->dims[d] * size;
        w->index[d] = 0;
    }
}

void tensor_store(sn_tensor *target, const sn_tensor *source) {
    size_t size = sn_dtype_size((sn_dtype)target->dtype);
    Walker to = {.tensor = target, .at = tensor_data(target)};
    Walker from = {.tensor = source, .at = tensor_data(source)};
    storage_written(target->storage);
    for (int64_t count = sizes_count(target->dims, target->rank); count > 0; count--) {
        memmove((char *)(uintptr_t)to.at, from.at, size);
        walker_next(&to);
        walker_next(&from);
    }
}

bool sn_read_at(sn_tensor *tensor, sn_dtype dtype, void *destination, size_t bytes,
                const char *file, int32_t line) {
    Site site = site_at(file, line);
    sn_tensor *real = tensor_realize(tensor, "read", site);
    if (!real) return false;
    int64_t count = sizes_count(real->dims, real->rank);
    size_t wanted = (size_t)count * sn_dtype_size(dtype);
    if ((uint32_t)dtype >= SN_DTYPE_COUNT)
        return error_refuse(SN_ERROR_ARGUMENT, site, "read: dtype %d is no dtype", (int)dtype);
    if (bytes != wanted)
        return error_refuse(SN_ERROR_ARGUMENT, site,
                            "read: bytes is %zu, but %lld elements of %s take %zu", bytes,
                            (long long)count, sn_dtype_name(dtype), wanted);
    if (wanted && !destination)
        return error_refuse(SN_ERROR_ARGUMENT, site, "read: destination is NULL");
    if (count == 0) return true;
    if (dtype == real->dtype && tensor_is_dense(real)) {
        memcpy(destination, tensor_data(real), wanted);
        return true;
    }
    Walker walker = {.tensor = real, .at = tensor_data(real)};
    char *out = destination;
    for (int64_t i = 0; i < count; i++, walker_next(&walker)) {
        uint64_t bits = dtype_load((sn_dtype)real->dtype, walker.at);
        dtype_store(dtype, out, dtype_bits_cast(dtype, (sn_dtype)real->dtype, bits));
        out += sn_dtype_size(dtype);
    }
    return true;
}

bool sn_read(sn_tensor *tensor, sn_dtype dtype, void *destination, size_t bytes) {
    return sn_read_at(tensor, dtype, destination, bytes, NULL, 0);
}

static bool item_bits(sn_tensor *tensor, sn_dtype dtype, uint64_t *bits, Site site) {
    *bits = 0;
    if (tensor_is_alive(tensor) && tensor->kind == TENSOR_WEAK) {
        record_look(tensor);
        *bits = dtype_bits_cast(dtype, (sn_dtype)tensor->dtype, tensor->bits);
        return true;
    }
    sn_tensor *real = tensor_realize(tensor, "item", site);
    if (!real) return false;
    if (sizes_count(real->dims, real->rank) != 1) {
        TensorType type = tensor_type(real);
        return error_refuse(SN_ERROR_SHAPE, site,
                            "item: tensor is %s: it has %lld elements, not one",
                            type_text(&type).text, (long long)sizes_count(real->dims, real->rank));
    }
    uint64_t own = dtype_load((sn_dtype)real->dtype, tensor_data(real));
    *bits = dtype_bits_cast(dtype, (sn_dtype)real->dtype, own);
    return true;
}

double sn_item_at(sn_tensor *tensor, const char *file, int32_t line) {
    uint64_t bits;
    Site site = site_at(file, line);
    return item_bits(tensor, SN_F64, &bits, site) ? dtype_bits_to_double(SN_F64, bits) : 0;
}

double sn_item(sn_tensor *tensor) {
    return sn_item_at(tensor, NULL, 0);
}

int64_t sn_item_int_at(sn_tensor *tensor, const char *file, int32_t line) {
    uint64_t bits;
    Site site = site_at(file, line);
    return item_bits(tensor, SN_I64, &bits, site) ? (int64_t)bits : 0;
}

int64_t sn_item_int(sn_tensor *tensor) {
    return sn_item_int_at(tensor, NULL, 0);
}

void *sn_map_at(sn_tensor *tensor, const char *file, int32_t line) {
    Site site = site_at(file, line);
    sn_tensor *real = tensor_realize(tensor, "map", site);
    if (!real || !record_read(real, true, "map", site)) return NULL;
    if (storage_is_frozen(real->storage))
        return error_raise(SN_ERROR_ARGUMENT, site, "map: the tensor is frozen; sn_read copies it");
    atomic_fetch_add(&real->storage->maps, 1);
    return tensor_data(real);
}

void *sn_map(sn_tensor *tensor) {
    return sn_map_at(tensor, NULL, 0);
}

bool sn_freeze_at(sn_tensor *tensor, const char *file, int32_t line) {
    Site site = site_at(file, line);
    sn_tensor *real = tensor_realize(tensor, "freeze", site);
    if (!real) return false;
    if (atomic_load(&real->storage->maps) > 0 || atomic_load(&real->storage->exports) > 0)
        return error_refuse(SN_ERROR_ARGUMENT, site,
                            "freeze: a pointer to the tensor's memory is out; sn_unmap, or the "
                            "deleter of what was exported, gives it back");
    atomic_store(&real->storage->frozen, true);
    return true;
}

bool sn_freeze(sn_tensor *tensor) {
    return sn_freeze_at(tensor, NULL, 0);
}

void sn_unmap(sn_tensor *tensor) {
    if (tensor_is_alive(tensor) && tensor->kind == TENSOR_REAL) storage_unmap(tensor->storage);
}
