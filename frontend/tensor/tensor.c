/* Storage and handles; data in and out of tensors; see tensor.h. */
#include "frontend/tensor/tensor.h"

#include "base/lock.h"
#include "base/status.h"
#include "frontend/op/dispatch.h"
#include "frontend/trace/trace.h"
#include "ir/dtype.h"
#include "ir/infer.h"
#include "runtime/memory.h"

#undef sn_from_copy
#undef sn_from_borrow
#undef sn_zeros
#undef sn_ones
#undef sn_read
#undef sn_item
#undef sn_item_int
#undef sn_map

/* Dead handles that a thread keeps. In debug builds they queue up, so that one is not reused before so
 * many others died: what still names it is told so. */
#ifdef NDEBUG
enum { MOST_FREE_HANDLES = 4096, QUARANTINE = 0 };
#else
enum { MOST_FREE_HANDLES = 4096, QUARANTINE = 4095 };
#endif

static const Site no_site = {NULL, 0};

static sn_tensor none_tensor = {.magic = TENSOR_ALIVE, .kind = TENSOR_NONE, .refs = 1};
sn_tensor *const sn_none_tensor = &none_tensor;

/* ---- storage -------------------------------------------------------------------------------------- */

static Storage *storage_make(void *data, size_t bytes) {
    Storage *storage = memory_alloc(sizeof *storage);
    if (!storage) return NULL;
    *storage = (Storage){.data = data, .bytes = bytes};
    atomic_init(&storage->refs, 1);
    return storage;
}

Storage *storage_new(size_t bytes) {
    void *data = memory_alloc(bytes);
    if (!data) return NULL;
    Storage *storage = storage_make(data, bytes);
    if (!storage) memory_free(data, bytes);
    return storage;
}

Storage *storage_borrow(void *data, size_t bytes, void (*release)(void *), void *context) {
    Storage *storage = storage_make(data, bytes);
    if (!storage) return NULL;
    storage->borrowed = true;
    storage->release = release;
    storage->context = context;
    return storage;
}

Storage *storage_retain(Storage *storage) {
    atomic_fetch_add_explicit(&storage->refs, 1, memory_order_relaxed);
    return storage;
}

void storage_release(Storage *storage) {
    SN_ASSERT(may_call_program());
    if (!storage || atomic_fetch_sub_explicit(&storage->refs, 1, memory_order_acq_rel) != 1) return;
    if (!storage->borrowed)
        memory_free(storage->data, storage->bytes);
    else if (storage->release)
        storage->release(storage->context);
    memory_free(storage, sizeof *storage);
}

/* ---- handles --------------------------------------------------------------------------------------- */

static sn_tensor *handle_make(TensorKind kind, const TensorType *type) {
    ThreadState *state = thread_state();
    sn_tensor *tensor = state->free_count > QUARANTINE ? state->free_list : NULL;
    if (tensor && mem_reuse_point()) {
        state->free_list = tensor->next;
        state->free_count--;
    } else {
        tensor = tensor ? NULL : mem_alloc(sizeof *tensor);
    }
    if (!tensor) return NULL;
    tensor->magic = TENSOR_ALIVE;
    tensor->kind = (uint8_t)kind;
    tensor->dtype = type->dtype;
    tensor->rank = type->rank;
    atomic_init(&tensor->refs, 1);
    atomic_init(&tensor->retains, 0);
    memcpy(tensor->dims, type->dims, sizeof tensor->dims); /* a fixed size: few instructions */
    tensor->offset = 0;
    tensor->storage = NULL;
    tensor->trace = NULL;
    tensor->next = tensor->previous = NULL;
    return tensor;
}

bool scope_check(Site site) {
    return thread_state()->depth > 0 ||
           error_raise(
               SN_ERROR_SCOPE, site,
               "no scope is open on this thread: call sn_scope_begin() first, it owns results") !=
               NULL;
}

sn_tensor *tensor_new(TensorKind kind, const TensorType *type, Site site) {
    ThreadState *state = thread_state();
    if (!scope_check(site)) return NULL;
    if (!vec_reserve(&state->held, 1)) return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    sn_tensor *tensor = handle_make(kind, type);
    if (!tensor) return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    tensor->slot = state->held.count;
    state->held.data[state->held.count++] = tensor;
    return tensor;
}

void dense_strides(const int64_t *dims, int32_t rank, int64_t *strides) {
    int64_t stride = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= dims[i] > 1 ? dims[i] : 1;
    }
}

static void set_layout(sn_tensor *tensor, Storage *storage, const int64_t *strides,
                       int64_t offset) {
    tensor->storage = storage;
    tensor->offset = offset;
    if (strides)
        memcpy(tensor->strides, strides, sizeof(int64_t) * tensor->rank);
    else
        dense_strides(tensor->dims, tensor->rank, tensor->strides);
}

sn_tensor *tensor_real(Storage *storage, const TensorType *type, const int64_t *strides,
                       int64_t offset, Site site) {
    sn_tensor *tensor = tensor_new(TENSOR_REAL, type, site);
    if (tensor)
        set_layout(tensor, storage, strides, offset);
    else
        storage_release(storage);
    return tensor;
}

sn_tensor *tensor_detached(Storage *storage, const TensorType *type, const int64_t *strides,
                           int64_t offset) {
    sn_tensor *tensor = handle_make(TENSOR_REAL, type);
    if (!tensor) return NULL;
    atomic_store_explicit(&tensor->retains, 1, memory_order_relaxed);
    set_layout(tensor, storage, strides, offset);
    return tensor;
}

static void keep_dead(ThreadState *state, sn_tensor *tensor) {
    if (state->free_count >= MOST_FREE_HANDLES) {
        mem_free(tensor);
        return;
    }
    state->free_count++;
    if (QUARANTINE > 0 && state->free_list) { /* at the end of the queue */
        tensor->next = NULL;
        state->free_last->next = tensor;
        state->free_last = tensor;
        return;
    }
    tensor->next = state->free_list;
    state->free_list = state->free_last = tensor;
}

/* The last reference needs no atomic subtraction: nobody is left who could add one. */
void tensor_unref(sn_tensor *tensor) {
    if (atomic_load_explicit(&tensor->refs, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&tensor->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (tensor->kind == TENSOR_PROXY) trace_forget(tensor);
    storage_release(tensor->storage);
    tensor->storage = NULL;
    tensor->magic = TENSOR_DEAD;
    keep_dead(thread_state(), tensor);
}

sn_tensor *sn_retain(sn_tensor *tensor) {
    if (!tensor || tensor->kind == TENSOR_NONE) return tensor;
    if (tensor->magic != TENSOR_ALIVE)
        return error_raise(SN_ERROR_HANDLE, no_site, "retain: the tensor was released already");
    atomic_fetch_add_explicit(&tensor->retains, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&tensor->refs, 1, memory_order_relaxed);
    trace_keep(tensor, 1);
    return tensor;
}

void sn_release(sn_tensor *tensor) {
    if (!tensor || tensor->kind == TENSOR_NONE) return;
    if (tensor->magic != TENSOR_ALIVE) {
        error_raise(SN_ERROR_HANDLE, no_site, "release: the tensor was released already");
        return;
    }
    if (atomic_fetch_sub_explicit(&tensor->retains, 1, memory_order_relaxed) <= 0) {
        atomic_fetch_add_explicit(&tensor->retains, 1, memory_order_relaxed);
        error_raise(SN_ERROR_HANDLE, no_site,
                    "release: the tensor was not retained; its scope owns it");
        return;
    }
    trace_keep(tensor, -1);
    tensor_unref(tensor);
}

void tensor_type_to(const sn_tensor *tensor, TensorType *type) {
    type->dtype = tensor->dtype;
    type->rank = tensor->rank;
    type->strength = (uint8_t)(tensor->kind == TENSOR_WEAK ? STRENGTH_WEAK
                               : tensor->rank == 0         ? STRENGTH_ZERO_DIM
                                                           : STRENGTH_FULL);
    memcpy(type->dims, tensor->dims, sizeof type->dims);
}

TensorType tensor_type(const sn_tensor *tensor) {
    TensorType type;
    tensor_type_to(tensor, &type);
    return type;
}

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

bool tensor_check(const sn_tensor *tensor, const char *op, const char *name, Site site) {
    if (!tensor) {
        error_raise(SN_ERROR_ARGUMENT, site, "%s: %s is NULL", op, name);
        return false;
    }
    if (tensor->magic != TENSOR_ALIVE) {
        error_raise(SN_ERROR_HANDLE, site, "%s: %s was released already, or is no tensor", op,
                    name);
        return false;
    }
    if (tensor->kind == TENSOR_PROXY && !tensor->trace) {
        error_raise(SN_ERROR_HANDLE, site, "%s: %s has no value: the function that made it failed",
                    op, name);
        return false;
    }
    if (tensor->kind == TENSOR_PROXY && tensor->trace != thread_state()->trace) {
        error_raise(SN_ERROR_HANDLE, site,
                    "%s: %s belongs to a function that is being traced elsewhere", op, name);
        return false;
    }
    return true;
}

bool tensor_check_present(const sn_tensor *tensor, const char *op, const char *name, Site site) {
    if (!tensor_check(tensor, op, name, site)) return false;
    return tensor->kind != TENSOR_NONE ||
           error_raise(SN_ERROR_ARGUMENT, site, "%s: %s is SN_NONE", op, name) != NULL;
}

sn_tensor *tensor_realize(sn_tensor *tensor, const char *op, Site site) {
    if (error_pending(thread_state()) || !tensor_check(tensor, op, "tensor", site)) return NULL;
    if (tensor->kind == TENSOR_NONE)
        return error_raise(SN_ERROR_ARGUMENT, site, "%s: tensor is SN_NONE", op);
    trace_look(tensor);
    if (tensor->kind == TENSOR_WEAK) {
        TensorType type = {.dtype = tensor->dtype, .rank = 0};
        Storage *storage = storage_new(sizeof(uint64_t));
        if (!storage) return error_raise(SN_ERROR_MEMORY, site, "%s: out of memory", op);
        dtype_store((sn_dtype)tensor->dtype, storage->data, tensor->bits);
        return tensor_real(storage, &type, NULL, 0, site);
    }
    if (tensor->kind == TENSOR_PROXY && !trace_host_read(tensor->trace, op, site)) return NULL;
    return trace_settle_memory(tensor, false, op, site) ? tensor : NULL;
}

/* ---- data in ------------------------------------------------------------------------------------------ */

static bool make_type(const int64_t *dims, int32_t rank, sn_dtype dtype, const char *op,
                      TensorType *type, Site site) {
    if (rank < 0 || (rank && !dims))
        return error_raise(SN_ERROR_ARGUMENT, site, "%s: dims %s %d entries", op,
                           dims ? "cannot have" : "is NULL, but has", (int)rank) != NULL;
    if (rank > SN_MAX_RANK)
        return error_raise(SN_ERROR_SHAPE, site,
                           "%s: dims has %d sizes, but a tensor has at most %d", op, (int)rank,
                           SN_MAX_RANK) != NULL;
    if ((uint32_t)dtype >= SN_DTYPE_COUNT)
        return error_raise(SN_ERROR_ARGUMENT, site, "%s: dtype %d is no dtype", op, (int)dtype) !=
               NULL;
    *type = (TensorType){.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
    for (int32_t i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return error_raise(SN_ERROR_SHAPE, site, "%s: dims[%d] is %lld, a negative size", op,
                               (int)i, (long long)dims[i]) != NULL;
        type->dims[i] = dim_of(dims[i]);
    }
    return sizes_count(dims, rank) >= 0 || error_raise(SN_ERROR_MEMORY, site, "%s: %s is too large",
                                                       op, type_text(type).text) != NULL;
}

static size_t type_bytes(const TensorType *type) {
    return (size_t)type_count(type) * sn_dtype_size((sn_dtype)type->dtype);
}

sn_tensor *sn_from_copy_at(const void *data, size_t bytes, const int64_t *dims, int32_t rank,
                           sn_dtype dtype, const char *file, int32_t line) {
    Site site = {file, line};
    TensorType type;
    if (error_pending(thread_state()) || !make_type(dims, rank, dtype, "from_copy", &type, site))
        return NULL;
    size_t wanted = type_bytes(&type);
    if (bytes != wanted || (bytes && !data))
        return error_raise(SN_ERROR_ARGUMENT, site,
                           "from_copy: %zu bytes given, the shape needs %zu%s", bytes, wanted,
                           data ? "" : " (data is NULL)");
    Storage *storage = storage_new(wanted);
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
    Site site = {file, line};
    TensorType type;
    if (error_pending(thread_state()) || !make_type(dims, rank, dtype, "from_borrow", &type, site))
        return NULL;
    size_t wanted = type_bytes(&type);
    if (bytes < wanted || (wanted && !data))
        return error_raise(SN_ERROR_ARGUMENT, site,
                           "from_borrow: %zu bytes given, the shape needs %zu%s", bytes, wanted,
                           data ? "" : " (data is NULL)");
    if ((uintptr_t)data % sn_dtype_size(dtype))
        return error_raise(SN_ERROR_ARGUMENT, site, "from_borrow: data is not aligned to %zu bytes",
                           sn_dtype_size(dtype));
    Storage *storage = storage_borrow(data, wanted, NULL, NULL);
    if (!storage) return error_raise(SN_ERROR_MEMORY, site, "from_borrow: out of memory");
    sn_tensor *tensor = tensor_real(storage, &type, NULL, 0, site);
    if (!tensor) return NULL;
    storage->release = release;
    storage->context = context;
    return tensor;
}

sn_tensor *sn_from_borrow(void *data, size_t bytes, const int64_t *dims, int32_t rank,
                          sn_dtype dtype, void (*release)(void *context), void *context) {
    return sn_from_borrow_at(data, bytes, dims, rank, dtype, release, context, NULL, 0);
}

static sn_tensor *scalar(sn_dtype dtype, uint64_t bits) {
    if (error_pending(thread_state())) return NULL;
    TensorType type = {.dtype = (uint8_t)dtype, .rank = 0};
    sn_tensor *tensor = tensor_new(TENSOR_WEAK, &type, no_site);
    if (tensor) tensor->bits = bits;
    return tensor;
}

sn_tensor *sn_c(double value) {
    return scalar(SN_F64, dtype_bits_from_double(SN_F64, value));
}

sn_tensor *sn_ci(int64_t value) {
    return scalar(SN_I64, (uint64_t)value);
}

sn_tensor *sn_zeros_at(const int64_t *dims, int32_t rank, sn_dtype dtype, const char *file,
                       int32_t line) {
    return sn_full_at(dims, rank, 0, dtype, file, line);
}

sn_tensor *sn_zeros(const int64_t *dims, int32_t rank, sn_dtype dtype) {
    return sn_zeros_at(dims, rank, dtype, NULL, 0);
}

sn_tensor *sn_ones_at(const int64_t *dims, int32_t rank, sn_dtype dtype, const char *file,
                      int32_t line) {
    return sn_full_at(dims, rank, 1, dtype, file, line);
}

sn_tensor *sn_ones(const int64_t *dims, int32_t rank, sn_dtype dtype) {
    return sn_ones_at(dims, rank, dtype, NULL, 0);
}

/* ---- data out ------------------------------------------------------------------------------------------ */

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
    for (int64_t count = sizes_count(target->dims, target->rank); count > 0; count--) {
        memmove((char *)(uintptr_t)to.at, from.at, size);
        walker_next(&to);
        walker_next(&from);
    }
}

bool sn_read_at(sn_tensor *tensor, sn_dtype dtype, void *destination, size_t bytes,
                const char *file, int32_t line) {
    Site site = {file, line};
    sn_tensor *real = tensor_realize(tensor, "read", site);
    if (!real) return false;
    int64_t count = sizes_count(real->dims, real->rank);
    size_t wanted = (size_t)count * sn_dtype_size(dtype);
    if ((uint32_t)dtype >= SN_DTYPE_COUNT)
        return error_raise(SN_ERROR_ARGUMENT, site, "read: dtype %d is no dtype", (int)dtype) !=
               NULL;
    if (bytes != wanted)
        return error_raise(SN_ERROR_ARGUMENT, site,
                           "read: %zu bytes given for %lld elements of %s, %zu are needed", bytes,
                           (long long)count, sn_dtype_name(dtype), wanted) != NULL;
    if (wanted && !destination)
        return error_raise(SN_ERROR_ARGUMENT, site, "read: destination is NULL") != NULL;
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
    if (tensor && tensor->magic == TENSOR_ALIVE && tensor->kind == TENSOR_WEAK) {
        trace_look(tensor);
        *bits = dtype_bits_cast(dtype, (sn_dtype)tensor->dtype, tensor->bits);
        return true;
    }
    sn_tensor *real = tensor_realize(tensor, "item", site);
    if (!real) return false;
    if (sizes_count(real->dims, real->rank) != 1) {
        TensorType type = tensor_type(real);
        error_raise(SN_ERROR_SHAPE, site, "item: the tensor is %s: it has %lld elements, not one",
                    type_text(&type).text, (long long)sizes_count(real->dims, real->rank));
        return false;
    }
    uint64_t own = dtype_load((sn_dtype)real->dtype, tensor_data(real));
    *bits = dtype_bits_cast(dtype, (sn_dtype)real->dtype, own);
    return true;
}

double sn_item_at(sn_tensor *tensor, const char *file, int32_t line) {
    uint64_t bits;
    Site site = {file, line};
    return item_bits(tensor, SN_F64, &bits, site) ? dtype_bits_to_double(SN_F64, bits) : 0;
}

double sn_item(sn_tensor *tensor) {
    return sn_item_at(tensor, NULL, 0);
}

int64_t sn_item_int_at(sn_tensor *tensor, const char *file, int32_t line) {
    uint64_t bits;
    Site site = {file, line};
    return item_bits(tensor, SN_I64, &bits, site) ? (int64_t)bits : 0;
}

int64_t sn_item_int(sn_tensor *tensor) {
    return sn_item_int_at(tensor, NULL, 0);
}

void *sn_map_at(sn_tensor *tensor, const char *file, int32_t line) {
    Site site = {file, line};
    sn_tensor *real = tensor_realize(tensor, "map", site);
    return real && trace_settle_memory(real, true, "map", site) ? tensor_data(real) : NULL;
}

void *sn_map(sn_tensor *tensor) {
    return sn_map_at(tensor, NULL, 0);
}

void sn_unmap(sn_tensor *tensor) {
    if (tensor && tensor->magic == TENSOR_ALIVE && tensor->storage)
        atomic_fetch_add_explicit(&tensor->storage->version, 1, memory_order_relaxed);
}

/* ---- shape --------------------------------------------------------------------------------------------- */

static bool readable(const sn_tensor *tensor, const char *op) {
    if (!tensor_check(tensor, op, "tensor", no_site)) return false;
    if (tensor->kind != TENSOR_NONE) {
        trace_look(tensor);
        return true;
    }
    error_raise(SN_ERROR_ARGUMENT, no_site, "%s: tensor is SN_NONE", op);
    return false;
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
    error_raise(SN_ERROR_INDEX, no_site, "%s: axis %d is out of range for tensor, which is %s", op,
                (int)axis, type_text(&type).text);
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
