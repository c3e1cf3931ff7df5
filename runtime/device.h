/* Devices: where tensors lie and kernels run. A device is a table of functions; a storage knows its
 * device, so that memory goes back where it came from. */
#ifndef SN_RUNTIME_DEVICE_H
#define SN_RUNTIME_DEVICE_H

#include <stddef.h>

typedef struct Device {
    const char *name; /* "cpu": how programs and messages call it */
    /* Uninitialised memory for `bytes` bytes (0 is allowed), aligned for any kernel; NULL when there is
     * none. */
    void *(*alloc)(size_t bytes);
    /* Takes it back, from any thread; `bytes` as in alloc. */
    void (*free)(void *data, size_t bytes);
} Device;

/* The processor that the program runs on. */
extern const Device device_cpu;

#endif
