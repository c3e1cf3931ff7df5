/* Code generators on demand: the table of functions of a module (codegen/backend.h), loaded at the
 * first kernel that no cache holds. */
#ifndef SN_RUNTIME_KERNELS_BACKEND_H
#define SN_RUNTIME_KERNELS_BACKEND_H

#include "codegen/backend.h"

/* The back end "cpu" or "cuda", loaded at the first call and kept. NULL with SN_ERROR_UNSUPPORTED
 * when its module is missing or does not load (usually: libLLVM is not installed); a failure is
 * remembered as long as SINTER_MODULE_DIR stays the same. Thread-safe. */
const Backend *backend_load(const char *name, sn_error *error);
/* The back end's functions of these names, for a process that forks: a fork by another thread waits until
 * they are through, since a compiler's tables and locks, in mid-change, are of no use to a child. With no
 * lock held. */
sn_status backend_compile(const Backend *backend, const Kernel *kernel, const Target *target,
                          const Schedule *schedule, const char *name, CodeBlob *blob,
                          sn_error *error);
sn_status backend_print(const Backend *backend, const Kernel *kernel, const Target *target,
                        const Schedule *schedule, const char *name, BackendStage stage, StrBuf *out,
                        sn_error *error);
/* Uses this table for its name from now on, in place of a module: linked-in back ends and tests.
 * `backend` must live as long as the process. False when too many are registered. */
bool backend_register(const Backend *backend);
/* Nanoseconds spent on loading modules so far, libLLVM and relocation included. */
int64_t backend_load_ns(void);

#endif
