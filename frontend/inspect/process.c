/* What a program asks of the process: threads, memory, log and test hooks (sinter/runtime.h), counters
 * (sinter/inspect.h). */
#include "base/mem.h"
#include "base/thread/log.h"
#include "base/thread/parallel.h"
#include "frontend/tensor/counters.h"
#include "runtime/executable.h"
#include "runtime/kernels/pack.h"
#include "runtime/memory.h"

#include <sinter/inspect.h>
#include <sinter/runtime.h>

#include <string.h>

void sn_set_threads(int32_t threads) {
    parallel_set_threads(threads);
}

int32_t sn_threads(void) {
    return parallel_threads();
}

sn_memory_info sn_memory(void) {
    MemoryStats stats;
    memory_stats(&stats);
    return (sn_memory_info){(int64_t)stats.live, (int64_t)stats.peak, (int64_t)stats.cached};
}

void sn_memory_reset_peak(void) {
    memory_reset_peak();
}

void sn_memory_trim(void) {
    memory_trim();
}

void sn_memory_set_limit(int64_t bytes) {
    memory_set_limit(bytes > 0 ? (size_t)bytes : 0);
}

void sn_set_log(void (*sink)(void *context, const char *topic, const char *text), void *context) {
    log_set_sink(sink, context);
}

void sn_test_fail_allocation(int64_t n, bool sticky) {
    mem_fail_after(n, sticky);
}

int64_t sn_test_allocations(void) {
    return mem_request_count();
}

void sn_counters_get(sn_counters *out) {
    if (!out) return;
    CacheCounters cache;
    LaunchCounters launches;
    kernel_cache_counters(&cache);
    launch_counters(&launches);
    size_t size = out->size ? out->size : sizeof *out;
    sn_counters c = {
        .size = size,
        .traces = frontend_counters.traces,
        .guard_hits = frontend_counters.guard_hits,
        .guard_misses = frontend_counters.guard_misses,
        .recompiles = frontend_counters.recompiles,
        .fallbacks = frontend_counters.fallbacks,
        .eager_calls = frontend_counters.eager_calls,
        .host_reads = frontend_counters.host_reads,
        .reruns = frontend_counters.reruns,
        .kernels = launches.kernels,
        .compiles = cache.compiles,
        .cache_memory_hits = cache.memory_hits,
        .cache_pack_hits = cache.pack_hits,
        .cache_disk_hits = cache.disk_hits,
        .cache_disk_misses = cache.disk_misses,
        .cache_corrupt = cache.corrupt_entries,
        .trace_ns = frontend_counters.trace_ns,
        .plan_ns = frontend_counters.plan_ns,
        .compile_ns = cache.compile_ns,
        .llvm_load_ns = cache.llvm_load_ns,
        .disk_load_ns = cache.disk_load_ns,
        .pack_bytes = pack_bytes(),
    };
    memcpy(out, &c, size < sizeof c ? size : sizeof c);
}
