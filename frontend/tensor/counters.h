/* What the frontend counts, in all threads together; sn_counters has it for the program. */
#ifndef SN_FRONTEND_TENSOR_COUNTERS_H
#define SN_FRONTEND_TENSOR_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct FrontendCounters {
    _Atomic int64_t traces;       /* functions run on proxies */
    _Atomic int64_t guard_hits;   /* calls that went straight to the kernels */
    _Atomic int64_t guard_misses; /* calls whose key was new */
    _Atomic int64_t recompiles;   /* graphs compiled for a function that had one already */
    _Atomic int64_t fallbacks;    /* graphs that ran node by node */
    _Atomic int64_t host_reads;   /* flushes inside compiled functions */
    _Atomic int64_t reruns;       /* calls that ran an impure function */
    _Atomic int64_t eager_calls;  /* calls that a stance made eager */
    _Atomic int64_t trace_ns;     /* nanoseconds in traces */
    _Atomic int64_t plan_ns;      /* nanoseconds in passes */
} FrontendCounters;
extern FrontendCounters frontend_counters;

/* One more of what the name says. */
#define COUNT(name) atomic_fetch_add_explicit(&frontend_counters.name, 1, memory_order_relaxed)

#endif
