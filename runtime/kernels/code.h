/* Executable memory for compiled kernels. No page is ever writable and executable in one mapping.
 * Small pieces of code share a region: a memfd mapped twice, one view to write while it fills, one
 * to run. Where that is not allowed, each piece gets a mapping of its own. */
#ifndef SN_RUNTIME_KERNELS_CODE_H
#define SN_RUNTIME_KERNELS_CODE_H

#include <sinter/error.h>

typedef struct CodeRegion CodeRegion;

/* Code that was made executable. */
typedef struct Code {
    const uint8_t *bytes; /* first byte, 64-byte aligned; read and execute only */
    size_t size;          /* bytes */
    CodeRegion *region;   /* what holds it */
} Code;

/* Copies `size` bytes of position-independent code to executable memory. SN_ERROR_UNSUPPORTED when
 * the system denies executable memory. Thread-safe, and safe in a forked child. */
sn_status code_map(const void *bytes, size_t size, Code *code, sn_error *error);
/* Gives the code back; the memory returns to the system with the last code of its region. */
void code_free(Code *code);

#endif
