/* The table of functions that a code generator module fills. codegen/cpu (LLVM) and codegen/cuda
 * (CUDA C through NVRTC) are shared objects, loaded by runtime/kernels/backend.c at the first cache miss;
 * each exports `const Backend *sinter_backend(void)`. */
#ifndef SN_CODEGEN_BACKEND_H
#define SN_CODEGEN_BACKEND_H

#include "base/strbuf.h"
#include "ir/kernel/kernel.h"
#include "ir/target.h"

enum { BACKEND_ABI = 2 };

/* Machine code that needs no relocation and no outside symbol: map it, jump to bytes + entry. */
typedef struct CodeBlob {
    uint8_t *bytes; /* text and constants in one piece; freed by Backend.release */
    size_t size;    /* bytes, a multiple of 64 */
    size_t entry;   /* offset of the KernelFn */
} CodeBlob;

typedef enum BackendStage {
    STAGE_SOURCE,  /* LLVM IR, or CUDA C */
    STAGE_ASSEMBLY /* the machine's assembly, or PTX */
} BackendStage;

/* Choices of the launcher that change code but not bits. */
typedef struct Schedule {
    bool stream_stores; /* non-temporal stores: outputs far beyond the cache */
} Schedule;

typedef struct Backend {
    uint32_t abi;     /* BACKEND_ABI */
    const char *name; /* "cpu" or "cuda": see target_backend */
    /* Version of the compiler behind it, "llvm-19.1.7": part of cache keys. */
    const char *(*version)(void);
    /* Compiles a verified kernel. `name` is the symbol (the kernel's hash). Thread-safe. */
    sn_status (*compile)(const Kernel *kernel, const Target *target, const Schedule *schedule,
                         const char *name, CodeBlob *blob, sn_error *error);
    /* Frees what compile filled; the module's allocator is not the library's. */
    void (*release)(CodeBlob *blob);
    /* Prints a stage of the same compilation. */
    sn_status (*print)(const Kernel *kernel, const Target *target, const Schedule *schedule,
                       const char *name, BackendStage stage, StrBuf *out, sn_error *error);
} Backend;

typedef const Backend *BackendEntry(void);

#endif
