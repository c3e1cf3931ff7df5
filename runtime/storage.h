/* Storage: memory that tensors share, on a device, with a count of who holds it. */
#ifndef SN_RUNTIME_STORAGE_H
#define SN_RUNTIME_STORAGE_H

#include "base/refs.h"
#include "runtime/device.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Storage {
    Refs refs;                      /* handles and executions that hold it */
    const Device *device;           /* where data lies */
    char *data;                     /* first byte; NULL only when bytes is 0 */
    size_t bytes;                   /* size */
    void (*release)(void *context); /* borrowed memory: called at the end; NULL = nothing to call */
    void *context;                  /* handed to release */
    bool borrowed;                  /* the program's memory, not the device's */
} Storage;

/* Uninitialised memory of the device with one reference; NULL when out of memory. */
Storage *storage_new(const Device *device, size_t bytes);
/* The program's memory, on the CPU; on failure nothing is released. */
Storage *storage_borrow(void *data, size_t bytes, void (*release)(void *), void *context);
Storage *storage_retain(Storage *storage);
/* NULL is ignored. The last one gives the memory back, or calls the program's `release`. */
void storage_release(Storage *storage);

#endif
