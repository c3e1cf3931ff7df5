/* The one parallel loop, worked off by the caller and by helpers of the process (pool.h). */
#ifndef SN_BASE_THREAD_PARALLEL_H
#define SN_BASE_THREAD_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

/* A contiguous piece [begin, end) of the items, on the region's thread of that number. */
typedef void ParallelBody(void *context, int64_t begin, int64_t end, int32_t thread);

/* Splits [0, count) in at most `threads` contiguous shares of nearly equal size, each of which its
 * thread works off in pieces; who is done helps the others, and takes the share of a thread that does
 * not come. Serial, in one piece, when threads ≤ 1, where no thread is to be had, and when called
 * inside a parallel region. Returns when all are done. */
void parallel_for(int32_t threads, int64_t count, ParallelBody *body, void *context);
/* Is this a forked child? */
bool parallel_forked(void);
/* Threads of this thread's regions: its own number, else the default, which is SINTER_THREADS, else the
 * CPUs this process may use. */
int32_t parallel_threads(void);
/* Changes the default; the nearest of 1 to 256. */
void parallel_set_threads(int32_t threads);
/* Gives this thread a number of its own (0: the default) and returns what it had. */
int32_t parallel_own_threads(int32_t threads);
#endif
