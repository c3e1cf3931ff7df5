/* Handles: made in a scope or outside of any, counted, checked, and kept for reuse when dead. */
#include "frontend/tensor/tensor.h"

#include "base/assert.h"
#include "ir/op/dtype.h"

#undef sn_retain
#undef sn_release

/* Dead handles that a thread keeps, and how many of them wait at least: with SLOT_PLACES, no address is
 * given a second time before 2,048 handles of the thread died. */
enum { MOST_DEAD_HANDLES = 4096, LEAST_DEAD_HANDLES = 64 };

static sn_tensor none_tensor = {.magic = TENSOR_ALIVE, .kind = TENSOR_NONE, .refs = 1};
sn_tensor *const sn_none_tensor = &none_tensor;

/* What open scopes hold is released, and dead handles are freed. */
static void end_thread(void *data) {
    ThreadState *state = data;
    handles_release(state, 0);
    vec_free(&state->held);
    while (state->dead.count) mem_free(slots_pop(&state->dead));
}

/* Whatever a thread holds was made by it, or died in it. */
static void note_thread(ThreadState *state) {
    if (!state->rooms[ROOM_TENSOR].data) thread_keep(ROOM_TENSOR, state, end_thread);
}

_Atomic uintptr_t tensor_lowest = (uintptr_t)&none_tensor;

static void *handle_begin(ThreadState *state) {
    note_thread(state);
    void *memory = mem_alloc(slot_bytes(sizeof(sn_tensor)));
    if (!memory) return NULL;
    sn_tensor *tensor = slot_begin(memory);
    uintptr_t lowest = atomic_load_explicit(&tensor_lowest, memory_order_relaxed);
    while ((uintptr_t)tensor < lowest &&
           !atomic_compare_exchange_weak_explicit(&tensor_lowest, &lowest, (uintptr_t)tensor,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return tensor;
}

__attribute__((always_inline)) static inline sn_tensor *handle_make(TensorKind kind,
                                                                    const TensorType *type) {
    SN_ASSERT(type->dtype < SN_DTYPE_COUNT && type->rank <= SN_MAX_RANK);
    SN_ASSERT(dims_are_numbers(type->dims, type->rank));
    ThreadState *state = thread_state();
    sn_tensor *tensor;
    if (state->dead.count <= LEAST_DEAD_HANDLES)
        tensor = handle_begin(state);
    else
        tensor = mem_reuse_point() ? slots_take(&state->dead) : NULL;
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
    tensor->recorder = NULL;
    tensor->next = tensor->previous = NULL;
    return tensor;
}

sn_tensor *tensor_new(TensorKind kind, const TensorType *type, Site site) {
    ThreadState *state = thread_state();
    if (!scope_check(site)) return NULL;
    if (!vec_reserve(&state->held, 1)) return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    sn_tensor *tensor = handle_make(kind, type);
    if (!tensor) return error_raise(SN_ERROR_MEMORY, site, "out of memory");
    tensor_hold(state, tensor);
    return tensor;
}

/* Is every element that the handle names in the storage? */
static bool lies_in_storage(const sn_tensor *tensor) {
    int64_t first, end, size = (int64_t)sn_dtype_size((sn_dtype)tensor->dtype);
    tensor_extent(tensor, &first, &end);
    if (first == end) return true;
    return tensor->offset + first >= 0 &&
           (tensor->offset + end) * size <= (int64_t)tensor->storage->bytes;
}

static void set_layout(sn_tensor *tensor, Storage *storage, const int64_t *strides,
                       int64_t offset) {
    tensor->storage = storage;
    tensor->offset = offset;
    if (strides)
        memcpy(tensor->strides, strides, sizeof(int64_t) * tensor->rank);
    else
        dense_strides(tensor->dims, tensor->rank, tensor->strides);
    SN_ASSERT(numbers_are_dims(tensor->strides, tensor->rank));
    SN_ASSERT(lies_in_storage(tensor));
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
    if (state->dead.count >= MOST_DEAD_HANDLES) {
        mem_free(slot_holding(tensor));
        return;
    }
    if (!state->dead.count) note_thread(state);
    slots_put(&state->dead, tensor);
}

void proxy_link(Recorder *recorder, sn_tensor *proxy) {
    SN_ASSERT(proxy->kind == TENSOR_PROXY && !proxy->recorder);
    proxy->recorder = recorder;
    proxy->previous = NULL;
    proxy->next = recorder->live;
    if (recorder->live) recorder->live->previous = proxy;
    recorder->live = proxy;
}

void proxy_unlink(sn_tensor *proxy) {
    Recorder *recorder = proxy->recorder;
    if (!recorder) return;
    if (proxy->previous)
        proxy->previous->next = proxy->next;
    else
        recorder->live = proxy->next;
    if (proxy->next) proxy->next->previous = proxy->previous;
    proxy->next = proxy->previous = NULL;
    proxy->recorder = NULL;
}

/* The last reference needs no atomic subtraction: nobody is left who could add one. */
void tensor_unref(sn_tensor *tensor) {
    if (atomic_load_explicit(&tensor->refs, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&tensor->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (tensor->kind == TENSOR_PROXY) proxy_unlink(tensor);
    storage_release(tensor->storage);
    tensor->storage = NULL;
    tensor->magic = TENSOR_DEAD;
    keep_dead(thread_state(), tensor);
}

void handles_release(ThreadState *state, uint32_t first) {
    while (state->held.count > first) {
        sn_tensor *tensor = state->held.data[--state->held.count];
        if (tensor) tensor_unref(tensor);
    }
}

/* Why what was passed as a tensor is none. */
__attribute__((cold)) static bool refuse_dead(const sn_tensor *tensor, const char *op,
                                              const char *name, Site site) {
    intptr_t number = (intptr_t)tensor;
    if (!tensor) return error_refuse(SN_ERROR_ARGUMENT, site, "%s: %s is NULL", op, name);
    if (!tensor_is_address(tensor) && number == (int32_t)number)
        return error_refuse(SN_ERROR_ARGUMENT, site, "%s: %s is the integer %d: write sn_ci(%d)",
                            op, name, (int)number, (int)number);
    return error_refuse(SN_ERROR_HANDLE, site, "%s: %s was released already, or is no tensor", op,
                        name);
}

sn_tensor *sn_retain_at(sn_tensor *tensor, const char *file, int32_t line) {
    if (!tensor || tensor == sn_none_tensor) return tensor;
    if (!tensor_is_alive(tensor)) {
        refuse_dead(tensor, "retain", "tensor", site_at(file, line));
        return NULL;
    }
    atomic_fetch_add_explicit(&tensor->retains, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&tensor->refs, 1, memory_order_relaxed);
    record_keep(tensor, 1);
    return tensor;
}

sn_tensor *sn_retain(sn_tensor *tensor) {
    return sn_retain_at(tensor, NULL, 0);
}

void sn_release_at(sn_tensor *tensor, const char *file, int32_t line) {
    if (!tensor || tensor == sn_none_tensor) return;
    if (!tensor_is_alive(tensor)) {
        refuse_dead(tensor, "release", "tensor", site_at(file, line));
        return;
    }
    if (atomic_fetch_sub_explicit(&tensor->retains, 1, memory_order_relaxed) <= 0) {
        atomic_fetch_add_explicit(&tensor->retains, 1, memory_order_relaxed);
        error_raise(SN_ERROR_HANDLE, site_at(file, line),
                    "release: tensor was not retained: its scope owns it, and releases it");
        return;
    }
    record_keep(tensor, -1);
    tensor_unref(tensor);
}

void sn_release(sn_tensor *tensor) {
    sn_release_at(tensor, NULL, 0);
}

void tensor_type_to(const sn_tensor *tensor, TensorType *type) {
    type->dtype = tensor->dtype;
    type->rank = tensor->rank;
    type->strength = (uint8_t)(tensor->kind == TENSOR_WEAK ? STRENGTH_WEAK
                               : tensor->rank == 0         ? STRENGTH_ZERO_DIM
                                                           : STRENGTH_FULL);
    SN_ASSERT(tensor->magic == TENSOR_ALIVE && numbers_are_dims(tensor->dims, tensor->rank));
    memcpy(type->dims, tensor->dims, sizeof type->dims);
}

TensorType tensor_type(const sn_tensor *tensor) {
    TensorType type;
    tensor_type_to(tensor, &type);
    return type;
}

bool tensor_check(const sn_tensor *tensor, const char *op, const char *name, Site site) {
    if (tensor_is_usable(tensor)) return true;
    if (!tensor_is_alive(tensor)) return refuse_dead(tensor, op, name, site);
    return error_refuse(SN_ERROR_HANDLE, site,
                        tensor->recorder
                            ? "%s: %s belongs to a function that is being traced elsewhere"
                            : "%s: %s has no value: the function that made it failed",
                        op, name);
}

bool tensor_check_present(const sn_tensor *tensor, const char *op, const char *name, Site site) {
    if (!tensor_check(tensor, op, name, site)) return false;
    return tensor->kind != TENSOR_NONE ||
           error_refuse(SN_ERROR_ARGUMENT, site, "%s: %s is SN_NONE", op, name);
}
