/* Sharing memory with other tensor libraries by DLPack; see sinter/binding.h for the contract.
 *
 * In: the memory is borrowed, its deleter is the storage's release. What must not be written, is not
 * aligned to its elements, or has none, is copied instead. Out: the managed struct holds a reference of
 * the storage. A consumer that writes to it tells so with sn_unmap, as after sn_map. */
#include "frontend/io/dlpack.h"

#include "frontend/tensor/tensor.h"

#include <sinter/binding.h>

static const Site no_site = {0};

static const DLDataType dlpack_types[SN_DTYPE_COUNT] = {
    [SN_BOOL] = {DLPACK_BOOL, 8, 1},  [SN_U8] = {DLPACK_UINT, 8, 1},
    [SN_I8] = {DLPACK_INT, 8, 1},     [SN_I16] = {DLPACK_INT, 16, 1},
    [SN_I32] = {DLPACK_INT, 32, 1},   [SN_I64] = {DLPACK_INT, 64, 1},
    [SN_F16] = {DLPACK_FLOAT, 16, 1}, [SN_BF16] = {DLPACK_BFLOAT, 16, 1},
    [SN_F32] = {DLPACK_FLOAT, 32, 1}, [SN_F64] = {DLPACK_FLOAT, 64, 1},
};

/* ---- in: checks ------------------------------------------------------------------------------ */

/* A managed tensor of either version on its way in. */
typedef struct Import {
    const char *op;               /* for errors */
    const DLTensor *source;       /* what is shared */
    bool read_only;               /* it must not be written */
    void *managed;                /* handed to release */
    void (*release)(void *);      /* calls its deleter */
    TensorType type;              /* dtype and dims of the source */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int64_t first, end;           /* elements that it reaches, from its element 0: [first, end) */
} Import;

static bool refuse(const Import *in, sn_status status, const char *defect, long long value) {
    return error_refuse(status, no_site, "%s: %s (%lld)", in->op, defect, value);
}

static bool import_dtype(Import *in) {
    DLDataType wanted = in->source->dtype;
    for (uint8_t d = 0; d < SN_DTYPE_COUNT; d++) {
        DLDataType own = dlpack_types[d];
        if (own.code != wanted.code || own.bits != wanted.bits || own.lanes != wanted.lanes)
            continue;
        in->type.dtype = d;
        return true;
    }
    return error_refuse(SN_ERROR_DTYPE, no_site,
                        "%s: Sinter has no elements of code %d, %d bits, %d lanes", in->op,
                        wanted.code, wanted.bits, wanted.lanes);
}

static bool import_dims(Import *in) {
    const DLTensor *source = in->source;
    if (source->ndim < 0 || source->ndim > SN_MAX_RANK)
        return refuse(in, SN_ERROR_SHAPE, "the rank is not in 0 … 8", source->ndim);
    if (source->ndim && !source->shape) return refuse(in, SN_ERROR_ARGUMENT, "shape is NULL", 0);
    in->type.rank = (uint8_t)source->ndim;
    for (int32_t i = 0; i < source->ndim; i++) {
        if (source->shape[i] < 0)
            return refuse(in, SN_ERROR_SHAPE, "a negative size", (long long)source->shape[i]);
        in->type.dims[i] = dim_of(source->shape[i]);
    }
    if (type_count(&in->type) >= 0) return true;
    return refuse(in, SN_ERROR_MEMORY, "too many elements, rank", source->ndim);
}

/* Strides, and how far they reach. Those of an axis of one element, or of no elements, mean nothing
 * and may be anything; such an axis gets its dense stride where a product or sum of given ones could
 * overflow. The limit leaves room for a step beyond the last element. */
static bool import_strides(Import *in) {
    const TensorType *type = &in->type;
    int64_t size = (int64_t)sn_dtype_size((sn_dtype)type->dtype), most = INT64_MAX / 4 / size;
    dense_strides(type_sizes(type), type->rank, in->strides);
    in->first = 0;
    in->end = type_count(type) ? 1 : 0;
    for (int32_t i = 0; i < type->rank && in->source->strides && in->end; i++) {
        int64_t stride = in->source->strides[i];
        bool fits = stride <= most / SN_MAX_RANK && stride >= -most / SN_MAX_RANK;
        if (fits || type->dims[i].word > 1) in->strides[i] = stride;
    }
    for (int32_t i = 0; i < type->rank && in->end; i++) {
        int64_t reach, *side = in->strides[i] < 0 ? &in->first : &in->end;
        if (__builtin_mul_overflow(type->dims[i].word - 1, in->strides[i], &reach) ||
            reach > most || reach < -most || __builtin_add_overflow(*side, reach, side) ||
            in->end > most + in->first)
            return refuse(in, SN_ERROR_ARGUMENT, "a stride is too large",
                          (long long)in->strides[i]);
    }
    return true;
}

static bool import_check(Import *in) {
    int32_t device = in->source->device.device_type;
    if (device != DLPACK_CPU && device != DLPACK_CUDA_HOST)
        return refuse(in, SN_ERROR_UNSUPPORTED, "the memory is not the CPU's: device type", device);
    if (!import_dtype(in) || !import_dims(in) || !import_strides(in)) return false;
    if (in->source->data &&
        (uint64_t)(uintptr_t)in->source->data > UINT64_MAX - in->source->byte_offset)
        return refuse(in, SN_ERROR_ARGUMENT, "byte_offset is too large",
                      (long long)in->source->byte_offset);
    return in->source->data || in->end == 0 || refuse(in, SN_ERROR_ARGUMENT, "data is NULL", 0);
}

/* ---- in: memory ------------------------------------------------------------------------------ */

/* Element 0 of the source. */
static char *import_data(const Import *in) {
    return in->source->data ? (char *)in->source->data + in->source->byte_offset : NULL;
}

static Storage *import_copy(const Import *in) {
    const TensorType *type = &in->type;
    size_t size = sn_dtype_size((sn_dtype)type->dtype);
    int64_t count = type_count(type), index[SN_MAX_RANK] = {0}, at = 0;
    Storage *storage = storage_new(&device_cpu, (size_t)count * size);
    for (int64_t done = 0; storage && done < count; done++) {
        memcpy(storage->data + (size_t)done * size, import_data(in) + at * (int64_t)size, size);
        for (int32_t d = type->rank - 1; d >= 0; d--) {
            at += in->strides[d];
            if (++index[d] < type->dims[d].word) break;
            at -= in->strides[d] * type->dims[d].word;
            index[d] = 0;
        }
    }
    return storage;
}

/* The storage spans all elements that the strides reach, so that overlap with others is seen. */
static Storage *import_borrow(const Import *in) {
    int64_t size = (int64_t)sn_dtype_size((sn_dtype)in->type.dtype);
    return storage_borrow(import_data(in) + in->first * size,
                          (size_t)((in->end - in->first) * size), in->release, in->managed);
}

/* Whatever happens, the deleter is called exactly once: here, or by the storage's last reference. */
static sn_tensor *import(Import *in) {
    if (error_pending(thread_state()) || !import_check(in)) {
        in->release(in->managed);
        return NULL;
    }
    size_t size = sn_dtype_size((sn_dtype)in->type.dtype);
    bool copies = in->read_only || in->end == 0 || (uintptr_t)import_data(in) % size != 0;
    Storage *storage = copies ? import_copy(in) : import_borrow(in);
    if (!storage) error_raise(SN_ERROR_MEMORY, no_site, "%s: out of memory", in->op);
    if (!storage || copies) in->release(in->managed);
    if (!storage) return NULL;
    return copies ? tensor_real(storage, &in->type, NULL, 0, no_site)
                  : tensor_real(storage, &in->type, in->strides, -in->first, no_site);
}

static void release_plain(void *context) {
    DLManagedTensor *managed = context;
    if (managed->deleter) managed->deleter(managed);
}

static void release_versioned(void *context) {
    DLManagedTensorVersioned *managed = context;
    if (managed->deleter) managed->deleter(managed);
}

sn_tensor *sn_from_dlpack(DLManagedTensor *managed) {
    static const char op[] = "from_dlpack";
    if (!managed) return error_raise(SN_ERROR_ARGUMENT, no_site, "%s: managed is NULL", op);
    Import in = {
        .op = op, .source = &managed->dl_tensor, .managed = managed, .release = release_plain};
    return import(&in);
}

sn_tensor *sn_from_dlpack_versioned(DLManagedTensorVersioned *managed) {
    static const char op[] = "from_dlpack_versioned";
    if (!managed) return error_raise(SN_ERROR_ARGUMENT, no_site, "%s: managed is NULL", op);
    if (managed->version.major != DLPACK_VERSION_MAJOR) {
        error_raise(SN_ERROR_UNSUPPORTED, no_site, "%s: version %u.%u of DLPack, not %d.x", op,
                    (unsigned)managed->version.major, (unsigned)managed->version.minor,
                    DLPACK_VERSION_MAJOR);
        release_versioned(managed);
        return NULL;
    }
    Import in = {.op = op,
                 .source = &managed->dl_tensor,
                 .read_only = managed->flags & DLPACK_FLAG_READ_ONLY,
                 .managed = managed,
                 .release = release_versioned};
    return import(&in);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* What we hand out: the struct, the arrays that it points to, and our reference. */
typedef struct Export {
    union {
        DLManagedTensor plain;              /* 0.x */
        DLManagedTensorVersioned versioned; /* 1.x */
    } managed;                              /* its manager_ctx is the Export */
    Storage *storage;                       /* keeps the memory */
    int64_t dims[SN_MAX_RANK];              /* managed's shape */
    int64_t strides[SN_MAX_RANK];           /* managed's strides */
} Export;

static void export_free(Export *out) {
    storage_written(out->storage);
    atomic_fetch_sub(&out->storage->exports, 1);
    storage_release(out->storage);
    mem_free(out);
}

static void delete_plain(DLManagedTensor *self) {
    if (self) export_free(self->manager_ctx);
}

static void delete_versioned(DLManagedTensorVersioned *self) {
    if (self) export_free(self->manager_ctx);
}

/* Fills *view, which points into the result, with what is shared. */
static Export *export_make(sn_tensor *tensor, const char *op, DLTensor *view) {
    sn_tensor *real = tensor_realize(tensor, op, no_site);
    if (!real) return NULL;
    if (storage_is_frozen(real->storage))
        return error_raise(SN_ERROR_ARGUMENT, no_site,
                           "%s: the tensor is frozen; a copy of it (sn_clone) is not", op);
    Export *out = mem_calloc(1, sizeof *out);
    if (!out) return error_raise(SN_ERROR_MEMORY, no_site, "%s: out of memory", op);
    out->storage = storage_retain(real->storage);
    atomic_fetch_add(&out->storage->exports, 1);
    memcpy(out->dims, real->dims, sizeof(int64_t) * real->rank);
    memcpy(out->strides, real->strides, sizeof(int64_t) * real->rank);
    *view = (DLTensor){
        .data = out->storage->data ? tensor_data(real) : NULL,
        .device = {DLPACK_CPU, 0},
        .ndim = real->rank,
        .dtype = dlpack_types[real->dtype],
        .shape = out->dims,
        .strides = out->strides,
    };
    return out;
}

DLManagedTensor *sn_to_dlpack(sn_tensor *tensor) {
    DLTensor view;
    Export *out = export_make(tensor, "to_dlpack", &view);
    if (!out) return NULL;
    out->managed.plain = (DLManagedTensor){view, out, delete_plain};
    return &out->managed.plain;
}

DLManagedTensorVersioned *sn_to_dlpack_versioned(sn_tensor *tensor) {
    DLTensor view;
    Export *out = export_make(tensor, "to_dlpack_versioned", &view);
    if (!out) return NULL;
    out->managed.versioned = (DLManagedTensorVersioned){
        .version = {DLPACK_VERSION_MAJOR, DLPACK_VERSION_MINOR},
        .manager_ctx = out,
        .deleter = delete_versioned,
        .dl_tensor = view,
    };
    return &out->managed.versioned;
}
