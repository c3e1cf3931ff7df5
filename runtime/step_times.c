/* Times of steps; see step_times.h. */
#include "runtime/step_times.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>

struct StepTimes {
    uint32_t steps;        /* how many */
    _Atomic int32_t begun; /* runs that are timed, or were */
    _Atomic int64_t ns[];  /* by step, STEP_TIMES_RUNS of each; 0: not yet */
};

StepTimes *step_times_new(uint32_t steps) {
    StepTimes *times =
        mem_calloc(1, sizeof *times + sizeof times->ns[0] * STEP_TIMES_RUNS * (size_t)steps);
    if (times) times->steps = steps;
    return times;
}

int32_t step_times_begin(StepTimes *times) {
    if (atomic_load_explicit(&times->begun, memory_order_relaxed) >= STEP_TIMES_RUNS) return -1;
    int32_t run = atomic_fetch_add_explicit(&times->begun, 1, memory_order_relaxed);
    return run < STEP_TIMES_RUNS ? run : -1;
}

void step_times_note(StepTimes *times, uint32_t step, int32_t run, int64_t ns) {
    SN_ASSERT(step < times->steps && run >= 0 && run < STEP_TIMES_RUNS);
    _Atomic int64_t *at = &times->ns[(size_t)step * STEP_TIMES_RUNS + (size_t)run];
    atomic_store_explicit(at, ns > 0 ? ns : 1, memory_order_relaxed);
}

int64_t step_times_median(const StepTimes *times, uint32_t step, int32_t *runs) {
    SN_ASSERT(step < times->steps);
    int64_t sorted[STEP_TIMES_RUNS];
    int32_t count = 0;
    for (int32_t i = 0; i < STEP_TIMES_RUNS; i++) {
        size_t at = (size_t)step * STEP_TIMES_RUNS + (size_t)i;
        int64_t ns = atomic_load_explicit(&times->ns[at], memory_order_relaxed);
        int32_t place = count;
        if (!ns) continue;
        for (; place > 0 && sorted[place - 1] > ns; place--) sorted[place] = sorted[place - 1];
        sorted[place] = ns;
        count++;
    }
    if (runs) *runs = count;
    return count ? sorted[count / 2] : 0;
}
