/* Process-wide counters of the frontend. */
#ifndef SN_FRONTEND_TRACE_COUNTERS_H
#define SN_FRONTEND_TRACE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Process-wide counters of the frontend. */
typedef struct FrontendCounters {
    _Atomic int64_t traces, guard_hits, guard_misses, recompiles, fallbacks, host_reads, reruns;
    _Atomic int64_t eager_calls;
    _Atomic int64_t trace_ns, plan_ns;
} FrontendCounters;
extern FrontendCounters frontend_counters;
#define COUNT(name) atomic_fetch_add_explicit(&frontend_counters.name, 1, memory_order_relaxed)

#endif
