/* The entry of the CUDA code generator: its table of functions. Kernels are printed as CUDA C,
 * which needs no CUDA, and compiled by NVRTC. A compiled kernel is a CUBIN, whose entry is the
 * function called `name`; how it is launched stands in emit.h. */
#include "codegen/cuda/emit.h"
#include "codegen/cuda/nvrtc.h"

#include "base/status.h"

#include <string.h>

enum { BLOB_ALIGNMENT = 64 };

static sn_status print_source(const Kernel *kernel, const Schedule *schedule, const char *name,
                              StrBuf *out, sn_error *error) {
    Emit e = {.kernel = kernel, .schedule = schedule};
    sn_status status = emit_kernel(&e, name, out, error);
    arena_free(&e.arena);
    return status;
}

static sn_status compile_to(const Kernel *kernel, const Target *target, const Schedule *schedule,
                            const char *name, NvrtcForm form, StrBuf *out, sn_error *error) {
    StrBuf source = {0};
    SN_ASSERT(target->kind == TARGET_CUDA);
    sn_status status = print_source(kernel, schedule, name, &source, error);
    if (status == SN_OK)
        status = nvrtc_compile(strbuf_text(&source), name, target->cuda.sm, form, out, error);
    strbuf_free(&source);
    return status;
}

static sn_status cuda_compile(const Kernel *kernel, const Target *target, const Schedule *schedule,
                              const char *name, CodeBlob *blob, sn_error *error) {
    StrBuf cubin = {0};
    *blob = (CodeBlob){0};
    sn_status status = compile_to(kernel, target, schedule, name, NVRTC_CUBIN, &cubin, error);
    if (status == SN_OK) {
        size_t size = (cubin.length + BLOB_ALIGNMENT - 1) / BLOB_ALIGNMENT * BLOB_ALIGNMENT;
        blob->bytes = mem_calloc(1, size);
        if (blob->bytes) {
            memcpy(blob->bytes, cubin.text, cubin.length);
            blob->size = size;
        } else {
            status = error_memory(error);
        }
    }
    strbuf_free(&cubin);
    return status;
}

static sn_status cuda_print(const Kernel *kernel, const Target *target, const Schedule *schedule,
                            const char *name, BackendStage stage, StrBuf *out, sn_error *error) {
    if (stage == STAGE_SOURCE) return print_source(kernel, schedule, name, out, error);
    return compile_to(kernel, target, schedule, name, NVRTC_PTX, out, error);
}

static void cuda_release(CodeBlob *blob) {
    mem_free(blob->bytes);
    *blob = (CodeBlob){0};
}

static const Backend backend = {
    .abi = BACKEND_ABI,
    .name = "cuda",
    .version = nvrtc_version,
    .compile = cuda_compile,
    .release = cuda_release,
    .print = cuda_print,
};

SN_API const Backend *sinter_backend(void);

const Backend *sinter_backend(void) {
    return &backend;
}
