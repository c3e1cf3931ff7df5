/* Storage: memory that tensors share, on a device, with a count of who holds it. */
#ifndef SN_RUNTIME_STORAGE_H
#define SN_RUNTIME_STORAGE_H

#include "base/refs.h"
#include "runtime/device.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Whose memory is borrowed. */
typedef struct StorageOwner {
    void (*release)(void *context); /* called at the end; NULL = nothing to call */
    void *context;                  /* handed to it */
} StorageOwner;

/* One line of a cache, but for borrowed memory. */
typedef struct Storage {
    Refs refs;                           /* handles and executions that hold it */
    const Device *device;                /* where data lies */
    char *data;                          /* first byte; NULL only when bytes is 0 */
    size_t bytes;                        /* size */
    _Atomic uint64_t writes;             /* so far, by the library and by who had pointers */
    _Atomic(struct PackedForm *) packed; /* what was packed of it, newest first: see weights.h */
    _Atomic int32_t maps, exports;       /* pointers that are out, by which it may be written */
    _Atomic bool frozen;                 /* never written again */
    bool borrowed;                       /* the program's memory, not the device's */
    StorageOwner owner[];                /* one, of borrowed memory */
} Storage;

/* Uninitialised memory of the device with one reference; NULL when out of memory. */
Storage *storage_new(const Device *device, size_t bytes);
/* The program's memory, on the CPU; on failure nothing is released. */
Storage *storage_borrow(void *data, size_t bytes, void (*release)(void *), void *context);
Storage *storage_retain(Storage *storage);
/* Its content changed. */
static inline void storage_written(Storage *storage) {
    atomic_fetch_add_explicit(&storage->writes, 1, memory_order_release);
}
static inline bool storage_is_frozen(const Storage *storage) {
    return atomic_load_explicit(&storage->frozen, memory_order_relaxed);
}
/* Does the library know of each change of its content? */
static inline bool storage_is_steady(const Storage *storage) {
    if (storage_is_frozen(storage)) return true;
    return !storage->borrowed && atomic_load_explicit(&storage->maps, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&storage->exports, memory_order_relaxed) == 0;
}
/* A pointer comes back: it may have been written. Where none was handed out, that alone. */
void storage_unmap(Storage *storage);
/* NULL is ignored. The last one gives the memory back, or calls the program's `release`. */
void storage_release(Storage *storage);

#endif
