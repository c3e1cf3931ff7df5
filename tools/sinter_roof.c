/* Peaks of the machine; see sinter_roof.h. Each thread works on its own share of the arrays, repeating
 * it without waiting for the others, so the figure holds no cost of synchronisation: it is a bound, not
 * a competitor. */
#include "sinter_roof.h"

#include "sinter_measure.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { MOST_THREADS = 256, TRIALS = 9, LEAST_BYTES = 4096, ALIGN_FLOATS = 64 };
#define HUGE_BYTES ((size_t)2 << 20)
static const double TRIAL_SECONDS = 6e-3;

/* One thread's share: target[i] = x[i], or x[i] + 3 * y[i]; n is a multiple of ALIGN_FLOATS. */
typedef void Stream(float *target, const float *x, const float *y, int64_t n);

/* ---- the loops -------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#include <immintrin.h>

#define STREAMS(isa, feature, vector, width, op)                                                   \
    __attribute__((target(feature))) static void copy_##isa(float *target, const float *x,         \
                                                            const float *y, int64_t n) {           \
        (void)y;                                                                                   \
        for (int64_t i = 0; i < n; i += (width)) op##_store_ps(target + i, op##_load_ps(x + i));   \
    }                                                                                              \
    __attribute__((target(feature))) static void copy_past_##isa(float *target, const float *x,    \
                                                                 const float *y, int64_t n) {      \
        (void)y;                                                                                   \
        for (int64_t i = 0; i < n; i += (width)) op##_stream_ps(target + i, op##_load_ps(x + i));  \
        _mm_sfence();                                                                              \
    }                                                                                              \
    __attribute__((target(feature))) static void triad_##isa(float *target, const float *x,        \
                                                             const float *y, int64_t n) {          \
        const vector three = op##_set1_ps(3);                                                      \
        for (int64_t i = 0; i < n; i += (width))                                                   \
            op##_store_ps(target + i,                                                              \
                          op##_fmadd_ps(three, op##_load_ps(y + i), op##_load_ps(x + i)));         \
    }                                                                                              \
    __attribute__((target(feature))) static void triad_past_##isa(float *target, const float *x,   \
                                                                  const float *y, int64_t n) {     \
        const vector three = op##_set1_ps(3);                                                      \
        for (int64_t i = 0; i < n; i += (width))                                                   \
            op##_stream_ps(target + i,                                                             \
                           op##_fmadd_ps(three, op##_load_ps(y + i), op##_load_ps(x + i)));        \
        _mm_sfence();                                                                              \
    }                                                                                              \
    /* Twelve chains hide the latency of two units. */                                             \
    __attribute__((target(feature))) static float multiply_add_##isa(int64_t rounds) {             \
        const vector factor = op##_set1_ps(0.999f), term = op##_set1_ps(1e-3f);                    \
        vector sums[12];                                                                           \
        for (int i = 0; i < 12; i++) sums[i] = op##_set1_ps((float)i);                             \
        for (int64_t r = 0; r < rounds; r++) {                                                     \
            _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) sums[i] =                        \
                op##_fmadd_ps(sums[i], factor, term);                                              \
        }                                                                                          \
        for (int i = 1; i < 12; i++) sums[0] = op##_add_ps(sums[0], sums[i]);                      \
        float lanes[width];                                                                        \
        op##_storeu_ps(lanes, sums[0]);                                                            \
        return lanes[0];                                                                           \
    }

STREAMS(avx512, "avx512f", __m512, 16, _mm512)
STREAMS(avx2, "avx2,fma", __m256, 8, _mm256)

static int32_t streams(Stream **copies, Stream **triads) {
    bool wide = __builtin_cpu_supports("avx512f");
    copies[0] = wide ? copy_avx512 : copy_avx2;
    copies[1] = wide ? copy_past_avx512 : copy_past_avx2;
    triads[0] = wide ? triad_avx512 : triad_avx2;
    triads[1] = wide ? triad_past_avx512 : triad_past_avx2;
    return 2;
}

/* Runs fused multiply-adds; returns how many operations that were. */
static double run_multiply_add(int64_t rounds, float *result) {
    bool wide = __builtin_cpu_supports("avx512f");
    *result = wide ? multiply_add_avx512(rounds) : multiply_add_avx2(rounds);
    return 2.0 * 12 * (wide ? 16 : 8) * (double)rounds;
}

#else

static void copy_plain(float *target, const float *x, const float *y, int64_t n) {
    (void)y;
    for (int64_t i = 0; i < n; i++) target[i] = x[i];
}

static void triad_plain(float *target, const float *x, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) target[i] = x[i] + 3 * y[i];
}

static int32_t streams(Stream **copies, Stream **triads) {
    copies[0] = copy_plain;
    triads[0] = triad_plain;
    return 1;
}

static double run_multiply_add(int64_t rounds, float *result) {
    float sums[64];
    for (int i = 0; i < 64; i++) sums[i] = (float)i;
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < 64; i++) sums[i] = __builtin_fmaf(sums[i], 0.999f, 1e-3f);
    *result = sums[rounds % 64];
    return 2.0 * 64 * (double)rounds;
}

#endif

/* ---- threads ---------------------------------------------------------------------------------- */

/* What the threads of one measurement share. */
typedef struct Team {
    pthread_mutex_t gate;        /* held while the threads are being started */
    bool complete;               /* all threads were started */
    _Atomic int32_t arrived;     /* threads that reached meetings, over all of them */
    int32_t threads;             /* how many */
    Stream *stream;              /* NULL: fused multiply-adds */
    float *target, *x, *y;       /* arrays of n floats */
    int64_t n;                   /* see above */
    int64_t rounds;              /* of a trial */
    int32_t trials;              /* how many */
    double begins[MOST_THREADS]; /* of the trial, by thread */
    double ends[MOST_THREADS];   /* the same */
    double seconds[TRIALS];      /* from the first begin to the last end */
    volatile float sink;         /* keeps the arithmetic alive */
} Team;

typedef struct Member {
    Team *team;    /* the thread's */
    int32_t index; /* in it */
} Member;

static void work_share(Team *team, int32_t index) {
    int64_t units = team->n / ALIGN_FLOATS;
    int64_t begin = units * index / team->threads * ALIGN_FLOATS;
    int64_t end = units * (index + 1) / team->threads * ALIGN_FLOATS;
    for (int64_t r = 0; r < team->rounds; r++)
        team->stream(team->target + begin, team->x + begin, team->y + begin, end - begin);
}

static double span(const Team *team) {
    double first = team->begins[0], last = team->ends[0];
    for (int32_t i = 1; i < team->threads; i++) {
        if (team->begins[i] < first) first = team->begins[i];
        if (team->ends[i] > last) last = team->ends[i];
    }
    return last - first;
}

/* Waits for all threads. Nobody sleeps: who is woken starts on the core of the one who wakes it. */
static void meet(Team *team) {
    int32_t threads = team->threads;
    int32_t place = atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel);
    int32_t wanted = (place / threads + 1) * threads;
    while (atomic_load_explicit(&team->arrived, memory_order_acquire) < wanted) sched_yield();
}

static void run_trials(Team *team, int32_t index) {
    for (int32_t i = 0; i < team->trials; i++) {
        meet(team);
        team->begins[index] = now_seconds();
        if (team->stream) {
            work_share(team, index);
        } else {
            float result;
            run_multiply_add(team->rounds, &result);
            if (index == 0) team->sink = result;
        }
        team->ends[index] = now_seconds();
        meet(team);
        if (index == 0) team->seconds[i] = span(team);
        meet(team);
    }
}

static void *member_main(void *data) {
    const Member *member = data;
    pthread_mutex_lock(&member->team->gate); /* until all threads are there, or one is not */
    bool complete = member->team->complete;
    pthread_mutex_unlock(&member->team->gate);
    if (complete) run_trials(member->team, member->index);
    return NULL;
}

/* Seconds of the team's shortest trial: a peak is what the machine can do when nothing holds it up.
 * Negative when a thread could not be started. */
static double run_team(Team *team) {
    pthread_t ids[MOST_THREADS];
    Member members[MOST_THREADS];
    int32_t started = 1;
    pthread_mutex_init(&team->gate, NULL);
    atomic_store(&team->arrived, 0);
    pthread_mutex_lock(&team->gate);
    for (; started < team->threads; started++) {
        members[started] = (Member){team, started};
        if (pthread_create(&ids[started], NULL, member_main, &members[started]) != 0) break;
    }
    team->complete = started == team->threads;
    pthread_mutex_unlock(&team->gate);
    if (team->complete) run_trials(team, 0);
    for (int32_t i = 1; i < started; i++) pthread_join(ids[i], NULL);
    pthread_mutex_destroy(&team->gate);
    if (!team->complete) return -1;
    double least = team->seconds[0];
    for (int32_t i = 1; i < team->trials; i++)
        if (team->seconds[i] < least) least = team->seconds[i];
    return least;
}

/* Seconds of a round, from trials that take about TRIAL_SECONDS each. */
static double seconds_a_round(Team *team) {
    team->rounds = 1;
    team->trials = 3; /* the first one touches the memory */
    double least = run_team(team);
    while (least >= 0 && least < TRIAL_SECONDS / 4) {
        double more = TRIAL_SECONDS / (least > 1e-6 ? least : 1e-6);
        team->rounds *= more > 16 ? 16 : (int64_t)more + 1;
        least = run_team(team);
    }
    team->trials = TRIALS;
    least = least < 0 ? least : run_team(team);
    return least / (double)team->rounds;
}

/* ---- peaks ------------------------------------------------------------------------------------ */

/* Best bytes per second of `stream` over `arrays` arrays of `bytes` in all. */
static double stream_bandwidth(Stream *stream, int32_t arrays, int64_t bytes, int32_t threads) {
    int64_t unit = (int64_t)sizeof(float) * ALIGN_FLOATS;
    int64_t n = (bytes / arrays + unit - 1) / unit * ALIGN_FLOATS;
    size_t size = (size_t)n * sizeof(float);
    float *memory[3] = {NULL, NULL, NULL};
    bool ok = true;
    for (int32_t i = 0; i < 3 && ok; i++) {
        if (i >= arrays) continue;
        ok = posix_memalign((void **)&memory[i], size < HUGE_BYTES ? 4096 : HUGE_BYTES, size) == 0;
        if (ok && size >= HUGE_BYTES) madvise(memory[i], size, MADV_HUGEPAGE);
        for (int64_t j = 0; ok && j < n; j++) memory[i][j] = (float)(j % 64);
    }
    double seconds = -1;
    if (ok) {
        Team team = {.threads = threads,
                     .stream = stream,
                     .target = memory[0],
                     .x = memory[1],
                     .y = memory[arrays - 1],
                     .n = n};
        seconds = seconds_a_round(&team);
    }
    for (int32_t i = 0; i < 3; i++) free(memory[i]);
    return seconds > 0 ? (double)size * arrays / seconds : 0;
}

double roof_bandwidth(int64_t bytes, int32_t threads) {
    Stream *copies[2], *triads[2];
    int32_t kinds = streams(copies, triads);
    double best = 0;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (bytes < LEAST_BYTES * threads) bytes = LEAST_BYTES * threads;
    for (int32_t i = 0; i < kinds; i++) {
        double copy = stream_bandwidth(copies[i], 2, bytes, threads);
        double triad = stream_bandwidth(triads[i], 3, bytes, threads);
        if (copy > best) best = copy;
        if (triad > best) best = triad;
    }
    return best;
}

double roof_flops(int32_t threads) {
    enum { TEAMS = 4 }; /* the threads of one may happen to share a core */
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    float unused;
    double best = 0, operations = run_multiply_add(1, &unused) * threads;
    for (int32_t i = 0; i < TEAMS; i++) {
        Team team = {.threads = threads};
        double seconds = seconds_a_round(&team);
        if (seconds > 0 && operations / seconds > best) best = operations / seconds;
    }
    return best;
}
