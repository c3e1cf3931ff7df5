/* Handles and storage behind sn_tensor, and the thread's state: open scopes, pending error, current
 * trace. */
#ifndef SN_FRONTEND_TENSOR_H
#define SN_FRONTEND_TENSOR_H

#include "base/status.h"
#include "base/vec.h"
#include "ir/graph.h"

#include <sinter/compile.h>
#include <sinter/error.h>
#include <sinter/random.h>
#include <sinter/scope.h>
#include <sinter/tensor.h>

#include <stdatomic.h>

typedef struct Trace Trace;

/* Memory that tensors share. */
typedef struct Storage {
    _Atomic int64_t refs;           /* handles and executions that hold it */
    char *data;                     /* first byte; NULL only when bytes is 0 */
    size_t bytes;                   /* size */
    _Atomic uint64_t version;       /* raised by every write */
    void (*release)(void *context); /* borrowed memory: called at the end; NULL = ours */
    void *context;                  /* handed to release */
    bool borrowed;                  /* not from runtime/memory */
} Storage;

typedef enum TensorKind {
    TENSOR_REAL,  /* storage holds the elements */
    TENSOR_WEAK,  /* a scalar of sn_c or sn_ci: bits */
    TENSOR_PROXY, /* a value of a trace */
    TENSOR_NONE   /* SN_NONE */
} TensorKind;

enum { TENSOR_ALIVE = 0x736e7421, TENSOR_DEAD = 0x64656164 };

struct sn_tensor {
    uint32_t magic;               /* TENSOR_ALIVE; TENSOR_DEAD after the last release */
    uint8_t kind;                 /* TensorKind */
    uint8_t dtype;                /* sn_dtype */
    uint8_t rank;                 /* dims in use */
    _Atomic int32_t refs;         /* the scope's (1) and retained ones */
    _Atomic int32_t retains;      /* retained ones alone */
    uint32_t slot;                /* place in the thread's list of held handles */
    int64_t dims[SN_MAX_RANK];    /* sizes */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int64_t offset;               /* elements from the storage's start */
    Storage *storage;             /* REAL: the memory */
    uint64_t bits;                /* WEAK: the value, f64 or i64 by dtype */
    Trace *trace;                 /* PROXY: its trace */
    uint32_t record;              /* PROXY: its row in the trace's table of views */
    sn_tensor *next, *previous;   /* PROXY: list of the trace's live handles; free list */
};

/* The state of a thread. */
typedef struct ThreadState {
    VEC(sn_tensor *) held; /* handles of all open scopes, in order; NULL where one was moved out */
    uint32_t depth;        /* open scopes */
    sn_error error;        /* the pending error */
    Trace *trace;          /* what ops are recorded in; NULL = eager */
    sn_stance stance;      /* sn_set_thread_stance */
    sn_tensor *free_list;  /* dead handles for reuse */
    sn_tensor *free_last;  /* the last of them; only where they queue (debug builds) */
    int32_t free_count;    /* their number */
} ThreadState;

/* The thread's state, from its first call on: one load, also in a library that was loaded late. */
extern _Thread_local ThreadState *thread_own __attribute__((tls_model("initial-exec")));
/* Sets it, and sees to it that what the thread keeps is freed when it ends. */
ThreadState *thread_begin(void);
/* The same for the life of the thread. */
static inline ThreadState *thread_state(void) {
    return thread_own ? thread_own : thread_begin();
}

/* ---- errors (frontend/tensor/thread.c) ------------------------------------------------------------------ */

/* Records `error` with the caller's line in front of its text, unless one is pending. Returns NULL. */
void *error_raise_from(const sn_error *error, Site site);
void *error_raise(sn_status status, Site site, const char *format, ...) SN_PRINTF(3, 4);
static inline bool error_pending(const ThreadState *state) {
    return state->error.status != SN_OK;
}

/* ---- storage and handles (frontend/tensor/tensor.c) ----------------------------------------------------- */

/* Uninitialised memory with one reference; NULL when out of memory. */
Storage *storage_new(size_t bytes);
/* The caller's memory; on failure nothing is released. */
Storage *storage_borrow(void *data, size_t bytes, void (*release)(void *), void *context);
Storage *storage_retain(Storage *storage);
void storage_release(Storage *storage);

/* Is a scope open? Raises. */
bool scope_check(Site site);
/* A new handle of the innermost scope, without storage; NULL with the error raised when no scope is
 * open or memory is out. */
sn_tensor *tensor_new(TensorKind kind, const TensorType *type, Site site);
/* A REAL handle; takes the reference of `storage` (released on failure). strides may be NULL for
 * dense. */
sn_tensor *tensor_real(Storage *storage, const TensorType *type, const int64_t *strides,
                       int64_t offset, Site site);
/* Releases the thread's handles from place `first` of its list on. */
void handles_release(ThreadState *state, uint32_t first);
/* A handle outside any scope, owned by one retain. */
sn_tensor *tensor_detached(Storage *storage, const TensorType *type, const int64_t *strides,
                           int64_t offset);
/* Frees the handle once no reference is left. */
void tensor_unref(sn_tensor *tensor);
TensorType tensor_type(const sn_tensor *tensor);
void tensor_type_to(const sn_tensor *tensor, TensorType *type); /* where speed counts: in place */
static inline char *tensor_data(const sn_tensor *t) {
    return t->storage->data + t->offset * (int64_t)sn_dtype_size((sn_dtype)t->dtype);
}
bool tensor_is_dense(const sn_tensor *tensor);
void dense_strides(const int64_t *dims, int32_t rank, int64_t *strides);
/* First and one past the last element that a handle can touch, from its own element 0. */
void tensor_extent(const sn_tensor *tensor, int64_t *first, int64_t *end);
/* True if writing through the handle would write one element twice. */
bool tensor_overlaps_itself(const sn_tensor *tensor);
/* Do the spans of memory from the first to the last element of each have bytes in common? */
bool tensors_overlap(const sn_tensor *x, const sn_tensor *y);
/* Checks an argument: not NULL, not released, of this thread's trace. Raises. */
bool tensor_check(const sn_tensor *tensor, const char *op, const char *name, Site site);
/* The same, and that it is not SN_NONE. */
bool tensor_check_present(const sn_tensor *tensor, const char *op, const char *name, Site site);
/* Copies the elements of a tensor of equal dtype and dims; memory that overlaps must be the same. */
void tensor_store(sn_tensor *target, const sn_tensor *source);
/* The tensor's memory, computed if it was recorded only (a host read). NULL with the error raised. */
sn_tensor *tensor_realize(sn_tensor *tensor, const char *op, Site site);

/* ---- views (frontend/op/view.c) ---------------------------------------------------------------------- */

/* Dims, strides and offset of a view op with normalised attributes applied to x; `type` is its
 * inferred result. False for a reshape that needs a copy. */
bool view_apply(OpCode op, const AttrList *attrs, const sn_tensor *x, const TensorType *type,
                int64_t *strides, int64_t *offset);

#endif
