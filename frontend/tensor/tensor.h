/* Handles behind sn_tensor: what they know of their tensor, who holds them, and how the memory that they
 * name may overlap. */
#ifndef SN_FRONTEND_TENSOR_TENSOR_H
#define SN_FRONTEND_TENSOR_TENSOR_H

#include "frontend/tensor/thread.h"
#include "ir/graph/view_graph.h"
#include "ir/op/dtype.h"
#include "runtime/storage.h"

#include <sinter/scope.h>
#include <sinter/tensor.h>

#include <stdatomic.h>

typedef enum TensorKind {
    TENSOR_REAL,  /* storage holds the elements */
    TENSOR_WEAK,  /* a scalar of sn_c or sn_ci: bits */
    TENSOR_PROXY, /* a value that a recorder knows */
    TENSOR_NONE   /* SN_NONE */
} TensorKind;

enum { TENSOR_ALIVE = 0x736e7421, TENSOR_DEAD = 0x64656164 };

struct sn_tensor {
    uint32_t magic;          /* TENSOR_ALIVE; TENSOR_DEAD after the last release; see slots.h */
    uint8_t kind;            /* TensorKind */
    uint8_t dtype;           /* sn_dtype */
    uint8_t rank;            /* dims in use */
    _Atomic int32_t refs;    /* the scope's (1) and retained ones */
    _Atomic int32_t retains; /* retained ones alone */
    _Atomic uint32_t slot;   /* place in a thread's list of held handles, which looks there first */
    int64_t dims[SN_MAX_RANK];    /* sizes */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int64_t offset;               /* elements from the storage's start */
    Storage *storage;             /* REAL: the memory */
    uint64_t bits;                /* WEAK: the value, f64 or i64 by dtype */
    Recorder *recorder;           /* PROXY: who made it; NULL once it has no value */
    uint32_t record;              /* PROXY: its row in the recorder's table of values */
    sn_tensor *next, *previous;   /* PROXY: list of the recorder's live handles */
};

/* ---- handles (frontend/tensor/handle.c) ------------------------------------------------------ */

/* A new handle of the innermost scope, without storage; NULL with the error raised when no scope is
 * open or memory is out. */
sn_tensor *tensor_new(TensorKind kind, const TensorType *type, Site site);
/* A REAL handle; takes the reference of `storage` (released on failure). strides may be NULL for
 * dense. */
sn_tensor *tensor_real(Storage *storage, const TensorType *type, const int64_t *strides,
                       int64_t offset, Site site);
/* A handle outside any scope, owned by one retain. */
sn_tensor *tensor_detached(Storage *storage, const TensorType *type, const int64_t *strides,
                           int64_t offset);
/* A reference to the handle is the innermost scope's; there is room for it. A handle may be held more than
 * once, by several threads, too: `slot` names one place. */
static inline void tensor_hold(ThreadState *state, sn_tensor *tensor) {
    SN_ASSERT(state->held.count < state->held.capacity);
    atomic_store_explicit(&tensor->slot, state->held.count, memory_order_relaxed);
    state->held.data[state->held.count++] = tensor;
}
/* Frees the handle once no reference is left. */
void tensor_unref(sn_tensor *tensor);
/* Releases the thread's handles from place `first` of its list on. */
void handles_release(ThreadState *state, uint32_t first);
/* A new proxy is one of the recorder's live ones … */
void proxy_link(Recorder *recorder, sn_tensor *proxy);
/* … until its last reference goes or it turns real; until then it has a value. */
void proxy_unlink(sn_tensor *proxy);
TensorType tensor_type(const sn_tensor *tensor);
void tensor_type_to(const sn_tensor *tensor, TensorType *type); /* where speed counts: in place */
/* No handle has a lower address: an integer that was passed as a tensor has, or is negative. */
extern _Atomic uintptr_t tensor_lowest;
static inline bool tensor_is_address(const sn_tensor *tensor) {
    uintptr_t lowest = atomic_load_explicit(&tensor_lowest, memory_order_relaxed);
    return ((uintptr_t)tensor - lowest) >> (sizeof(uintptr_t) * 8 - 17) == 0;
}
/* Is it a tensor, as far as its address and what lies there can tell? */
static inline bool tensor_is_alive(const sn_tensor *tensor) {
    return tensor_is_address(tensor) && tensor->magic == TENSOR_ALIVE;
}
/* May the calling thread use it now? */
static inline bool tensor_is_usable(const sn_tensor *tensor) {
    return tensor_is_alive(tensor) &&
           (tensor->kind != TENSOR_PROXY ||
            (tensor->recorder && tensor->recorder == thread_state()->recorder));
}
/* Checks an argument: not NULL, not released, of this thread's recorder. Raises. */
bool tensor_check(const sn_tensor *tensor, const char *op, const char *name, Site site);
/* The same, and that it is not SN_NONE. */
bool tensor_check_present(const sn_tensor *tensor, const char *op, const char *name, Site site);

/* ---- where elements lie (frontend/tensor/layout.c) ------------------------------------------- */

static inline char *tensor_data(const sn_tensor *t) {
    return t->storage->data + t->offset * (int64_t)dtype_size((sn_dtype)t->dtype);
}
bool tensor_is_dense(const sn_tensor *tensor);
/* First and one past the last element that a handle can touch, from its own element 0. */
void tensor_extent(const sn_tensor *tensor, int64_t *first, int64_t *end);
/* The bytes of those, first and one past the last; of no element none. */
void tensor_span(const sn_tensor *tensor, const char **first, const char **end);
/* True if writing through the handle would write one element twice. */
bool tensor_overlaps_itself(const sn_tensor *tensor);
/* Do the spans of memory from the first to the last element of each have bytes in common? */
bool tensors_overlap(const sn_tensor *x, const sn_tensor *y);
/* Do both name the same elements of the same memory, in the same order? */
bool tensors_same(const sn_tensor *x, const sn_tensor *y);

/* ---- elements (frontend/tensor/data.c) ------------------------------------------------------- */

/* The tensor's memory, computed if it was recorded only (a host read). NULL with the error raised. */
sn_tensor *tensor_realize(sn_tensor *tensor, const char *op, Site site);
/* Copies the elements of a tensor of equal dtype and dims; memory that overlaps must be the same. */
void tensor_store(sn_tensor *target, const sn_tensor *source);

#endif
