/** @file runtime.h
 *  The process: threads, memory, the kernel cache, logging, test hooks. */
#ifndef SINTER_RUNTIME_H
#define SINTER_RUNTIME_H

#include <sinter/base.h>

SN_BEGIN_DECLS

/** Threads of a parallel region from now on, 1 to 256: any other number counts as the nearest. Results of
 *  our own kernels do not depend on it. */
SN_API void sn_set_threads(int32_t threads);
SN_API int32_t sn_threads(void);

/** Memory of tensors. */
typedef struct sn_memory_info {
    int64_t live_bytes;   /**< in use */
    int64_t peak_bytes;   /**< most in use since the last reset */
    int64_t cached_bytes; /**< free, kept for reuse */
} sn_memory_info;
SN_API sn_memory_info sn_memory(void);
SN_API void sn_memory_reset_peak(void);
/** Gives cached memory back to the system. */
SN_API void sn_memory_trim(void);
/** Most bytes in use; an allocation beyond fails with SN_ERROR_MEMORY. 0 = no limit. */
SN_API void sn_memory_set_limit(int64_t bytes);

/** Log lines of SINTER_LOG topics go to `sink`, without a newline; NULL restores standard error. The sink
 *  is called by the thread that logs and may use the library: lines of work that other threads wait for
 *  come at its end. */
SN_API void sn_set_log(void (*sink)(void *context, const char *topic, const char *text),
                       void *context);

/** @name For tests of programs
 *  @{ */
/** The n-th allocation of the library from now on fails, and, if sticky, every later one. 0 = off. */
SN_API void sn_test_fail_allocation(int64_t n, bool sticky);
/** Allocations made so far. */
SN_API int64_t sn_test_allocations(void);
/** @} */

SN_END_DECLS

#endif
