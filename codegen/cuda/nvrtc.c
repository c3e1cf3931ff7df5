/* Loading and calling NVRTC; see nvrtc.h. */
#include "codegen/cuda/nvrtc.h"

#include "base/mem.h"
#include "base/status.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct Program Program; /* nvrtcProgram points to one */

/* Results are 0 for success. */
typedef struct Nvrtc {
    int (*version)(int *major, int *minor);
    int (*create)(Program **program, const char *source, const char *name, int n_headers,
                  const char *const *headers, const char *const *names);
    int (*destroy)(Program **program);
    int (*compile)(Program *program, int n_options, const char *const *options);
    int (*cubin_size)(Program *program, size_t *size);
    int (*cubin)(Program *program, char *bytes);
    int (*ptx_size)(Program *program, size_t *size);
    int (*ptx)(Program *program, char *text);
    int (*log_size)(Program *program, size_t *size);
    int (*log)(Program *program, char *text);
    const char *(*error_text)(int result);
} Nvrtc;

static pthread_once_t once = PTHREAD_ONCE_INIT; /* guards what follows */
static Nvrtc nvrtc;
static bool loaded;
static char version_text[32] = "nvrtc-none";

/* ---- loading --------------------------------------------------------------------------------- */

static void *open_library(void) {
    static const char *const paths[] = {
        "libnvrtc.so.13",
        "libnvrtc.so.12",
        "libnvrtc.so",
        "/usr/local/cuda/lib64/libnvrtc.so.13",
        "/usr/local/cuda/lib64/libnvrtc.so.12",
        "/usr/local/cuda/lib64/libnvrtc.so",
    };
    void *library = NULL;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && !library; i++)
        library = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

static bool find(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

/* The library stays loaded until the process ends. */
static void load(void) {
    int major = 0, minor = 0;
    void *library = open_library();
    if (!library) return;
    bool all = find(library, "nvrtcVersion", &nvrtc.version) &&
               find(library, "nvrtcCreateProgram", &nvrtc.create) &&
               find(library, "nvrtcDestroyProgram", &nvrtc.destroy) &&
               find(library, "nvrtcCompileProgram", &nvrtc.compile) &&
               find(library, "nvrtcGetCUBINSize", &nvrtc.cubin_size) &&
               find(library, "nvrtcGetCUBIN", &nvrtc.cubin) &&
               find(library, "nvrtcGetPTXSize", &nvrtc.ptx_size) &&
               find(library, "nvrtcGetPTX", &nvrtc.ptx) &&
               find(library, "nvrtcGetProgramLogSize", &nvrtc.log_size) &&
               find(library, "nvrtcGetProgramLog", &nvrtc.log) &&
               find(library, "nvrtcGetErrorString", &nvrtc.error_text);
    if (!all || nvrtc.version(&major, &minor) != 0) return;
    snprintf(version_text, sizeof version_text, "nvrtc-%d.%d", major, minor);
    loaded = true;
}

const char *nvrtc_version(void) {
    pthread_once(&once, load);
    return version_text;
}

/* ---- compiling ------------------------------------------------------------------------------- */

static sn_status report(Program *program, int result, sn_error *error) {
    char *log = NULL;
    size_t size = 0;
    if (nvrtc.log_size(program, &size) == 0 && size) log = mem_calloc(1, size + 1);
    if (log && nvrtc.log(program, log) != 0) log[0] = '\0';
    error_set(error, SN_ERROR_COMPILE, "NVRTC: %s\n%s", nvrtc.error_text(result), log ? log : "");
    mem_free(log);
    return SN_ERROR_COMPILE;
}

static sn_status append_result(Program *program, NvrtcForm form, StrBuf *out, sn_error *error) {
    size_t size = 0;
    bool cubin = form == NVRTC_CUBIN;
    int result = cubin ? nvrtc.cubin_size(program, &size) : nvrtc.ptx_size(program, &size);
    if (result != 0) return report(program, result, error);
    char *bytes = mem_alloc(size + 1);
    if (!bytes) return error_memory(error);
    result = cubin ? nvrtc.cubin(program, bytes) : nvrtc.ptx(program, bytes);
    size_t used = cubin ? size : strnlen(bytes, size); /* PTX counts its NUL */
    if (result == 0) strbuf_add_bytes(out, bytes, used);
    mem_free(bytes);
    if (result != 0) return report(program, result, error);
    return out->failed ? error_memory(error) : SN_OK;
}

sn_status nvrtc_compile(const char *source, const char *name, int32_t sm, NvrtcForm form,
                        StrBuf *out, sn_error *error) {
    char file[128], architecture[64];
    /* No contraction, no flushing of subnormals, IEEE division and square root. */
    const char *const options[] = {architecture, "--fmad=false", "--ftz=false", "--prec-div=true",
                                   "--prec-sqrt=true"};
    Program *program = NULL;
    pthread_once(&once, load);
    if (!loaded)
        return error_set(error, SN_ERROR_UNSUPPORTED,
                         "CUDA kernels are compiled by NVRTC, but no libnvrtc.so can be loaded");
    snprintf(file, sizeof file, "%s.cu", name);
    snprintf(architecture, sizeof architecture, "--gpu-architecture=sm_%d", (int)sm);
    int result = nvrtc.create(&program, source, file, 0, NULL, NULL);
    if (result != 0)
        return error_set(error, SN_ERROR_COMPILE, "NVRTC: %s", nvrtc.error_text(result));
    result = nvrtc.compile(program, (int)(sizeof options / sizeof *options), options);
    sn_status status =
        result == 0 ? append_result(program, form, out, error) : report(program, result, error);
    nvrtc.destroy(&program);
    return status;
}
