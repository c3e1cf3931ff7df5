/* Runs generated CUDA C on the CPU. A kernel's text is compiled as C behind
 * `#define CUDA_EMULATOR_KERNEL` and this header; one more file, which defines
 * CUDA_EMULATOR_RUNTIME, gets the machine: the threads of a block are fibers that give way at
 * barriers and exchanges, blocks run one after the other. A barrier or exchange that some threads
 * do not reach, or where they stand at different lines, is an error. */
#ifndef SN_TESTS_CUDA_EMULATOR_H
#define SN_TESTS_CUDA_EMULATOR_H

#include <stdbool.h>
#include <string.h>

typedef struct EmulatorIndex {
    unsigned int x; /* kernels use one dimension */
} EmulatorIndex;

extern EmulatorIndex emulator_thread, emulator_block, emulator_threads, emulator_blocks;

void emulator_barrier(int line);
/* Bits of the thread of this warp whose lane differs in the bits of `distance`. */
unsigned long long emulator_exchange(unsigned long long bits, int distance, int line);

#ifdef CUDA_EMULATOR_KERNEL

/* ---- the language ---------------------------------------------------------------------------- */

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static /* one block runs at a time */
#define __launch_bounds__(threads)

#define threadIdx emulator_thread
#define blockIdx emulator_block
#define blockDim emulator_threads
#define gridDim emulator_blocks

#define __syncthreads() emulator_barrier(__LINE__)

#define EMULATOR_EXCHANGE(name, type)                                                              \
    static inline type emulator_exchange_##name(type value, int distance, int line) {              \
        unsigned long long bits = 0;                                                               \
        memcpy(&bits, &value, sizeof value);                                                       \
        bits = emulator_exchange(bits, distance, line);                                            \
        memcpy(&value, &bits, sizeof value);                                                       \
        return value;                                                                              \
    }
EMULATOR_EXCHANGE(int, int)
EMULATOR_EXCHANGE(long, long long)
EMULATOR_EXCHANGE(float, float)
EMULATOR_EXCHANGE(double, double)
#define __shfl_xor_sync(mask, value, distance)                                                     \
    _Generic((value), int                                                                          \
             : emulator_exchange_int, long long                                                    \
             : emulator_exchange_long, float                                                       \
             : emulator_exchange_float, double                                                     \
             : emulator_exchange_double)(value, distance, __LINE__)

static inline unsigned long long atomicMin(unsigned long long *at, unsigned long long value) {
    unsigned long long old = *at;
    if (value < old) *at = value;
    return old;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

/* Without contraction: -ffp-contract=off. */
#define __fdiv_rn(x, y) ((float)(x) / (float)(y))
#define __ddiv_rn(x, y) ((double)(x) / (double)(y))
#define __fsqrt_rn __builtin_sqrtf
#define __dsqrt_rn __builtin_sqrt
#define __fmaf_rn __builtin_fmaf
#define __fma_rn __builtin_fma
#define floorf __builtin_floorf
#define ceilf __builtin_ceilf
#define truncf __builtin_truncf
#define rintf __builtin_rintf
#define fmodf __builtin_fmodf
#define floor __builtin_floor
#define ceil __builtin_ceil
#define trunc __builtin_trunc
#define rint __builtin_rint
#define fmod __builtin_fmod
#define __stcs(at, value) (*(at) = (value))

#define EMULATOR_BITS(name, to, from)                                                              \
    static inline to name(from x) {                                                                \
        to y;                                                                                      \
        memcpy(&y, &x, sizeof y);                                                                  \
        return y;                                                                                  \
    }
EMULATOR_BITS(__float_as_uint, unsigned int, float)
EMULATOR_BITS(__uint_as_float, float, unsigned int)
EMULATOR_BITS(__double_as_longlong, long long, double)
EMULATOR_BITS(__longlong_as_double, double, long long)

#endif /* CUDA_EMULATOR_KERNEL */

/* ---- launching ------------------------------------------------------------------------------- */

/* What the kernels of this project take. */
typedef void EmulatorKernel(void *const *args, const long long *params, long long begin,
                            long long end, void *scratch, unsigned long long *error);

typedef struct EmulatorLaunch {
    EmulatorKernel *kernel;       /* what runs */
    unsigned int blocks, threads; /* threads: a multiple of 32 */
    int order;         /* in which warps and lanes get their turns: 0 ascending, 1 descending */
    void *const *args; /* the kernel's arguments */
    const long long *params;
    long long begin, end;
    void *scratch;
    unsigned long long *error;
} EmulatorLaunch;

/* 0, or the number of a line of the kernel at which the threads of a block did not meet. */
typedef int EmulatorRun(const EmulatorLaunch *launch);
int emulator_run(const EmulatorLaunch *launch);

/* ---- the machine ----------------------------------------------------------------------------- */

#ifdef CUDA_EMULATOR_RUNTIME

#include <ucontext.h>

enum { EMULATOR_THREADS = 256, EMULATOR_STACK = 1 << 16, EMULATOR_WARP = 32 };

/* Where a group of threads waits for its last member. */
typedef struct EmulatorMeeting {
    unsigned int arrived;  /* threads that wait */
    unsigned int meetings; /* how often all were there */
    int line;              /* where the first one waits */
} EmulatorMeeting;

EmulatorIndex emulator_thread, emulator_block, emulator_threads, emulator_blocks;

static char stacks[EMULATOR_THREADS][EMULATOR_STACK] __attribute__((aligned(64)));
static ucontext_t contexts[EMULATOR_THREADS], scheduler;
static bool finished[EMULATOR_THREADS];
static EmulatorMeeting block_meeting, warp_meetings[EMULATOR_THREADS / EMULATOR_WARP];
static unsigned long long exchanged[EMULATOR_THREADS / EMULATOR_WARP][2][EMULATOR_WARP];
static const EmulatorLaunch *current;
static bool progress;   /* some thread got further in this round */
static int failed_line; /* 0, or where threads failed to meet */

/* The running thread's index changes while others run. */
static void give_way(void) {
    unsigned int me = emulator_thread.x;
    swapcontext(&contexts[me], &scheduler);
}

static void meet(EmulatorMeeting *meeting, unsigned int members, int line) {
    if (meeting->arrived && meeting->line != line) failed_line = line;
    meeting->line = line;
    unsigned int number = meeting->meetings;
    if (++meeting->arrived == members) {
        meeting->arrived = 0;
        meeting->meetings++;
        progress = true;
        return;
    }
    while (meeting->meetings == number) give_way();
}

void emulator_barrier(int line) {
    meet(&block_meeting, emulator_threads.x, line);
}

/* Two sets of slots in turn: nobody can be two meetings ahead of a lane that still reads. */
unsigned long long emulator_exchange(unsigned long long bits, int distance, int line) {
    unsigned int warp = emulator_thread.x / EMULATOR_WARP, lane = emulator_thread.x % EMULATOR_WARP;
    unsigned int set = warp_meetings[warp].meetings & 1;
    exchanged[warp][set][lane] = bits;
    meet(&warp_meetings[warp], EMULATOR_WARP, line);
    return exchanged[warp][set][lane ^ (unsigned int)distance];
}

static void run_thread(void) {
    const EmulatorLaunch *l = current;
    l->kernel(l->args, l->params, l->begin, l->end, l->scratch, l->error);
    finished[emulator_thread.x] = true;
    progress = true;
    give_way();
}

static void start_thread(unsigned int thread) {
    getcontext(&contexts[thread]);
    contexts[thread].uc_stack.ss_sp = stacks[thread];
    contexts[thread].uc_stack.ss_size = EMULATOR_STACK;
    contexts[thread].uc_link = &scheduler;
    makecontext(&contexts[thread], run_thread, 0);
    finished[thread] = false;
}

/* Lets the threads of a warp run until each of them is finished or waits for another warp; how many
 * were not finished. Warps are so far apart as barriers allow, which shows where one is missing. */
static unsigned int run_warp(unsigned int warp) {
    unsigned int running;
    bool any = false;
    do {
        running = 0;
        progress = false;
        for (unsigned int i = 0; i < EMULATOR_WARP && !failed_line; i++) {
            unsigned int lane = current->order ? EMULATOR_WARP - 1 - i : i;
            unsigned int thread = warp * EMULATOR_WARP + lane;
            if (finished[thread]) continue;
            emulator_thread.x = thread;
            swapcontext(&scheduler, &contexts[thread]);
            running++;
        }
        any |= progress;
    } while (progress && !failed_line);
    progress = any;
    return running;
}

/* Every warp once; how many threads were not finished. */
static unsigned int run_round(void) {
    unsigned int running = 0, warps = emulator_threads.x / EMULATOR_WARP;
    bool any = false;
    for (unsigned int w = 0; w < warps && !failed_line; w++) {
        running += run_warp(current->order ? warps - 1 - w : w);
        any |= progress;
    }
    progress = any;
    return running;
}

static void run_block(void) {
    memset(&block_meeting, 0, sizeof block_meeting);
    memset(warp_meetings, 0, sizeof warp_meetings);
    for (unsigned int t = 0; t < emulator_threads.x; t++) start_thread(t);
    do {
        if (run_round() == 0) return;
    } while (progress && !failed_line);
    if (!failed_line) failed_line = block_meeting.arrived ? block_meeting.line : -1;
}

int emulator_run(const EmulatorLaunch *launch) {
    current = launch;
    failed_line = 0;
    emulator_threads.x = launch->threads;
    emulator_blocks.x = launch->blocks;
    if (launch->threads > EMULATOR_THREADS || launch->threads % EMULATOR_WARP) return -1;
    for (unsigned int b = 0; b < launch->blocks && !failed_line; b++) {
        emulator_block.x = b;
        run_block();
    }
    return failed_line;
}

#endif /* CUDA_EMULATOR_RUNTIME */
#endif
