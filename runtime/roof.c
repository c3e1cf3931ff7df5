/* Measuring the roof; see roof.h. Each thread works on its own share of the arrays, pass after pass, so that
 * figures hold no cost of starting and waiting: they are bounds. Vectors are of the compiler's making: what
 * they become is said by each function's target. */
#include "runtime/roof.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread/parallel.h"

#include <stdatomic.h>

#ifdef __x86_64__
#include <immintrin.h>
#define TARGET(feature) FAST __attribute__((target(feature)))
#define HAS_WIDE __builtin_cpu_supports("avx512f")
#define HAS_VECTORS __builtin_cpu_supports("avx2")
#else
#define TARGET(feature) FAST
#define HAS_WIDE false
#define HAS_VECTORS false
#endif

enum {
    SIZES = 7,       /* footprints that are told apart … */
    SIZE_LEAST = 14, /* … the least is so many powers of two … */
    SIZE_STEP = 2,   /* … and each so many above the one before */
    ARRAYS = 3,      /* of a stream at most */
    LANES = 16,      /* floats of a vector */
    CHAINS = 12,     /* that hide the latency of two units */
    ROUNDS = 6,      /* of which the fastest counts; the first wakes the helpers */
    TRIES = 4,       /* more, where work was faster */
    LENGTH = 4096    /* of a chain */
};
#define ROUND_NS 1000000 /* that a round takes at least: far above the clock's grain */

typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), aligned(64)));

/* A pass over arrays of n vectors, n a multiple of 4. */
typedef void Stream(Vector *target, const Vector *x, const Vector *y, int64_t n);

/* ---- the loops ------------------------------------------------------------------------------- */

/* Kernels are fast whatever this build is; so are these. */
#ifdef __clang__
#define FAST __attribute__((no_sanitize("address", "undefined", "thread")))
#else
#define FAST __attribute__((optimize("O3"), no_sanitize("address", "undefined", "thread")))
#endif

#define EACH_CHAIN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define CHAIN_OPEN(i) Vector c##i = x[i % 4] + (float)(i);
#define CHAIN_STEP(i) c##i *= factor;
#define CHAIN_CLOSE(i) sum += c##i;

#define LOOPS(isa, target)                                                                         \
    target static void read_##isa(Vector *to, const Vector *x, const Vector *y, int64_t n) {       \
        Vector a = x[0], b = a, c = a, d = a;                                                      \
        (void)y;                                                                                   \
        for (int64_t i = 0; i < n; i += 4) {                                                       \
            a += x[i];                                                                             \
            b += x[i + 1];                                                                         \
            c += x[i + 2];                                                                         \
            d += x[i + 3];                                                                         \
        }                                                                                          \
        to[0] = a + b + c + d;                                                                     \
    }                                                                                              \
    target static void copy_##isa(Vector *to, const Vector *x, const Vector *y, int64_t n) {       \
        (void)y;                                                                                   \
        for (int64_t i = 0; i < n; i++) to[i] = x[i];                                              \
    }                                                                                              \
    target static void triad_##isa(Vector *to, const Vector *x, const Vector *y, int64_t n) {      \
        for (int64_t i = 0; i < n; i++) to[i] = x[i] + 3 * y[i];                                   \
    }                                                                                              \
    /* A product takes the unit that a multiply-add does, and as long. The factor is 1. */         \
    target static void multiply_##isa(Vector *to, const Vector *x, const Vector *y, int64_t n) {   \
        const Vector factor = y[0];                                                                \
        Vector sum = factor;                                                                       \
        EACH_CHAIN(CHAIN_OPEN)                                                                     \
        for (int64_t r = 0; r < n; r++) {                                                          \
            EACH_CHAIN(CHAIN_STEP)                                                                 \
        }                                                                                          \
        EACH_CHAIN(CHAIN_CLOSE)                                                                    \
        to[0] = sum;                                                                               \
    }

LOOPS(plain, FAST)
#ifdef __x86_64__
LOOPS(avx2, TARGET("avx2"))
LOOPS(avx512, TARGET("avx512f"))

/* Past the caches, as kernels store what is larger than they are. */
TARGET("avx2") static void stream_avx2(Vector *to, const Vector *x, const Vector *y, int64_t n) {
    (void)y;
    for (int64_t i = 0; i < n; i++) {
        const float *from = (const float *)&x[i];
        _mm256_stream_ps((float *)&to[i], _mm256_load_ps(from));
        _mm256_stream_ps((float *)&to[i] + LANES / 2, _mm256_load_ps(from + LANES / 2));
    }
    _mm_sfence();
}
#else
#define read_avx2 read_plain
#define copy_avx2 copy_plain
#define triad_avx2 triad_plain
#define multiply_avx2 multiply_plain
#define stream_avx2 copy_plain
#define read_avx512 read_plain
#define copy_avx512 copy_plain
#define triad_avx512 triad_plain
#define multiply_avx512 multiply_plain
#endif

/* A loop for each width, and the arrays that it moves. */
typedef struct StreamKind {
    Stream *plain, *avx2, *avx512; /* the same loop for less and more of a machine */
    int32_t arrays;                /* 0: it computes */
} StreamKind;

static const StreamKind read_kind = {read_plain, read_avx2, read_avx512, 1};
static const StreamKind copy_kind = {copy_plain, copy_avx2, copy_avx512, 2};
static const StreamKind past_kind = {copy_plain, stream_avx2, stream_avx2, 2};
static const StreamKind triad_kind = {triad_plain, triad_avx2, triad_avx512, 3};
static const StreamKind multiply_kind = {multiply_plain, multiply_avx2, multiply_avx512, 0};

/* ---- measuring ------------------------------------------------------------------------------- */

/* One measurement, as its threads see it. */
typedef struct Trial {
    Stream *stream;         /* what they run */
    Vector *arrays[ARRAYS]; /* on what */
    int64_t share;          /* vectors from one thread's to the next one's */
    int64_t n;              /* of a pass */
    int64_t passes;         /* over a share */
} Trial;

static void run_shares(void *context, int64_t begin, int64_t end, int32_t thread) {
    const Trial *trial = context;
    (void)thread;
    for (int64_t share = begin; share < end; share++) {
        int64_t at = share * trial->share;
        for (int64_t pass = 0; pass < trial->passes; pass++)
            trial->stream(trial->arrays[0] + at, trial->arrays[1] + at, trial->arrays[2] + at,
                          trial->n);
    }
}

static int64_t run_round(Trial *trial, int32_t threads) {
    int64_t begin = clock_ns();
    parallel_for(threads, threads, run_shares, trial);
    return clock_ns() - begin;
}

/* Nanoseconds of a pass, in the fastest of a few rounds. */
static double best_pass(Trial *trial, int32_t threads) {
    trial->passes = 1;
    int64_t ns = run_round(trial, threads);
    if (ns < ROUND_NS) trial->passes = ROUND_NS / (ns / 4 + 1) + 1;
    double best = 0;
    for (int32_t i = 0; i < ROUNDS; i++) {
        double pass = (double)run_round(trial, threads) / (double)trial->passes;
        if (i == 0 || pass < best) best = pass;
    }
    return best;
}

static Stream *stream_of(const StreamKind *kind) {
    return HAS_WIDE ? kind->avx512 : HAS_VECTORS ? kind->avx2 : kind->plain;
}

/* Bytes a second of one kind, in this memory. */
static double measure_kind(const StreamKind *kind, Vector *memory, int64_t bytes, int32_t threads) {
    int64_t n = bytes / kind->arrays / (int64_t)sizeof(Vector) / threads / 4 * 4;
    if (n < 4) n = 4;
    Trial trial = {.stream = stream_of(kind), .share = n, .n = n};
    for (int32_t i = 0; i < ARRAYS; i++) trial.arrays[i] = memory + i % kind->arrays * n * threads;
    double moved = (double)(n * threads * kind->arrays) * (double)sizeof(Vector);
    return moved / best_pass(&trial, threads) * 1e9;
}

/* Ones; NULL when out of memory. */
static Vector *room_for(int64_t bytes, int32_t threads) {
    size_t size = (size_t)bytes + sizeof(Vector) * 4 * ARRAYS * (size_t)threads;
    float *memory = mem_alloc_aligned(sizeof(Vector), size);
    for (size_t i = 0; memory && i < size / sizeof *memory; i++) memory[i] = 1;
    return (Vector *)(void *)memory;
}

static double measure_bandwidth(int64_t bytes, int32_t threads) {
    static const StreamKind *const kinds[] = {&read_kind, &copy_kind, &past_kind, &triad_kind};
    Vector *memory = room_for(bytes, threads);
    double best = 0;
    for (size_t i = 0; memory && i < sizeof kinds / sizeof *kinds; i++) {
        double rate = measure_kind(kinds[i], memory, bytes, threads);
        if (rate > best) best = rate;
    }
    mem_free(memory);
    return best;
}

static double measure_operations(int32_t threads) {
    Vector *memory = room_for(0, threads);
    if (!memory) return 0;
    Trial trial = {.stream = stream_of(&multiply_kind), .share = 4, .n = LENGTH};
    for (int32_t i = 0; i < ARRAYS; i++) trial.arrays[i] = memory + i * 4 * threads;
    double operations = (double)CHAINS * LANES * LENGTH * threads;
    double rate = operations / best_pass(&trial, threads) * 1e9;
    mem_free(memory);
    return rate;
}

/* ---- what is known --------------------------------------------------------------------------- */

/* Figures of one number of threads. Two threads that ask at once both measure. */
typedef struct Known {
    _Atomic int32_t threads;         /* how many; 0: nothing is known */
    _Atomic double bandwidth[SIZES]; /* by footprint; 0: not measured */
    _Atomic double operations;       /* 0: not measured */
} Known;

/* Of one thread, and of as many as were asked for last. */
static Known *known_of(int32_t threads) {
    static Known known[2];
    Known *k = &known[threads > 1];
    if (atomic_load(&k->threads) == threads) return k;
    for (int32_t i = 0; i < SIZES; i++) atomic_store(&k->bandwidth[i], 0);
    atomic_store(&k->operations, 0);
    atomic_store(&k->threads, threads);
    return k;
}

/* Keeps the better of what is known and what is measured now. */
static double keep_best(_Atomic double *known, double measured) {
    double best = atomic_load(known);
    if (measured > best) best = measured;
    atomic_store(known, best);
    return best;
}

static int32_t size_of(int64_t bytes) {
    int32_t size = 0;
    while (size + 1 < SIZES && bytes >> (SIZE_LEAST + SIZE_STEP * (size + 1))) size++;
    return size;
}

static double try_bandwidth(int64_t bytes, int32_t threads) {
    int32_t size = size_of(bytes);
    int64_t measured = (int64_t)1 << (SIZE_LEAST + SIZE_STEP * size);
    return keep_best(&known_of(threads)->bandwidth[size], measure_bandwidth(measured, threads));
}

static double try_operations(int32_t threads) {
    return keep_best(&known_of(threads)->operations, measure_operations(threads));
}

double roof_bandwidth(int64_t bytes, int32_t threads) {
    double rate = atomic_load(&known_of(threads)->bandwidth[size_of(bytes)]);
    return rate > 0 ? rate : try_bandwidth(bytes, threads);
}

double roof_operations(int32_t threads) {
    double rate = atomic_load(&known_of(threads)->operations);
    return rate > 0 ? rate : try_operations(threads);
}

double roof_seconds(const RoofWork *work, bool *by_memory) {
    double bandwidth = roof_bandwidth(work->bytes, work->threads);
    double operations = roof_operations(work->threads) * work->lanes;
    if (bandwidth <= 0 || operations <= 0) return 0;
    double moving = (double)work->bytes / bandwidth;
    double computing = (double)work->instructions / operations;
    if (by_memory) *by_memory = moving >= computing;
    return moving > computing ? moving : computing;
}

/* Notes that work was done at this rate: so the machine can do that. A measurement that other programs held
 * up may have seen half of it; what is beyond is no work that was done, but miscounted. */
static void learn(const RoofWork *work, double seconds, bool memory) {
    Known *known = known_of(work->threads);
    _Atomic double *rate = memory ? &known->bandwidth[size_of(work->bytes)] : &known->operations;
    double done = memory ? (double)work->bytes : (double)work->instructions / work->lanes;
    if (done / seconds <= 2 * atomic_load(rate)) keep_best(rate, done / seconds);
}

double roof_seconds_below(const RoofWork *work, double seconds, bool *by_memory) {
    bool memory = false;
    double least = roof_seconds(work, &memory);
    for (int32_t i = 0; i < TRIES && least > seconds; i++) {
        if (memory)
            try_bandwidth(work->bytes, work->threads);
        else
            try_operations(work->threads);
        least = roof_seconds(work, &memory);
    }
    if (least > seconds) {
        learn(work, seconds, memory);
        least = roof_seconds(work, &memory);
    }
    if (by_memory) *by_memory = memory;
    return least;
}
