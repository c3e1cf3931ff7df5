/* The processor as a device; see device.h. */
#include "runtime/device.h"

#include "runtime/memory.h"

const Device device_cpu = {.name = "cpu", .alloc = memory_alloc, .free = memory_free};
