/* NVRTC, NVIDIA's run-time compiler, loaded at the first use: CUDA C to machine code (CUBIN) or
 * PTX. Its few functions are declared in nvrtc.c, so that building needs no CUDA. */
#ifndef SN_CODEGEN_CUDA_NVRTC_H
#define SN_CODEGEN_CUDA_NVRTC_H

#include "base/strbuf.h"

#include <sinter/error.h>

typedef enum NvrtcForm {
    NVRTC_CUBIN, /* an ELF file for one architecture */
    NVRTC_PTX    /* text */
} NvrtcForm;

/* "nvrtc-13.0", or "nvrtc-none" where there is none. Static storage. */
const char *nvrtc_version(void);
/* Compiles `source`, called `name` in messages, for architecture sm_`sm` and appends the result to
 * `out`. Thread-safe.
 * SN_ERROR_UNSUPPORTED without NVRTC, SN_ERROR_COMPILE with its log when it refuses the source. */
sn_status nvrtc_compile(const char *source, const char *name, int32_t sm, NvrtcForm form,
                        StrBuf *out, sn_error *error);

#endif
