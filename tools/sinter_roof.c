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

enum { MOST_THREADS = 256, TRIALS = 3, LEAST_BYTES = 4096, ALIGN_FLOATS = 64 };
#define HUGE_BYTES ((size_t)2 << 20)
static const double TRIAL_SECONDS = 5e-3;

/* One thread's share: target[i] = x[i], or x[i] + 3 * y[i], or all of x is read; n is a multiple of
 * ALIGN_FLOATS. */
typedef void Stream(float *target, const float *x, const float *y, int64_t n);

/* ---- the loops ------------------------------------------------------------------------------- */

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
    __attribute__((target(feature))) static void read_##isa(float *target, const float *x,         \
                                                            const float *y, int64_t n) {           \
        vector sums[4] = {op##_setzero_ps(), op##_setzero_ps(), op##_setzero_ps(),                 \
                          op##_setzero_ps()};                                                      \
        (void)y;                                                                                   \
        for (int64_t i = 0; i < n; i += 4 * (width))                                               \
            for (int j = 0; j < 4; j++)                                                            \
                sums[j] = op##_add_ps(sums[j], op##_load_ps(x + i + j * (width)));                 \
        sums[0] = op##_add_ps(op##_add_ps(sums[0], sums[1]), op##_add_ps(sums[2], sums[3]));       \
        op##_store_ps(target, sums[0]); /* over what was read: sixty-four floats are no pass */    \
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

/* By kind: copies, triads, reads; then the same with stores past the caches. */
static void list_streams(Stream *streams[ROOF_STREAMS]) {
    bool wide = __builtin_cpu_supports("avx512f");
    streams[0] = wide ? copy_avx512 : copy_avx2;
    streams[1] = wide ? triad_avx512 : triad_avx2;
    streams[2] = wide ? read_avx512 : read_avx2;
    streams[3] = wide ? copy_past_avx512 : copy_past_avx2;
    streams[4] = wide ? triad_past_avx512 : triad_past_avx2;
    streams[5] = streams[2];
}

/* Runs fused multiply-adds; returns how many that were. */
static double run_multiply_add(int64_t rounds, float *result) {
    bool wide = __builtin_cpu_supports("avx512f");
    *result = wide ? multiply_add_avx512(rounds) : multiply_add_avx2(rounds);
    return 12.0 * (wide ? 16 : 8) * (double)rounds;
}

#else

static void copy_plain(float *target, const float *x, const float *y, int64_t n) {
    (void)y;
    for (int64_t i = 0; i < n; i++) target[i] = x[i];
}

static void triad_plain(float *target, const float *x, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) target[i] = x[i] + 3 * y[i];
}

static void read_plain(float *target, const float *x, const float *y, int64_t n) {
    float sums[64] = {0};
    (void)y;
    for (int64_t i = 0; i < n; i += 64)
        for (int64_t j = 0; j < 64; j++) sums[j] += x[i + j];
    for (int j = 0; j < 64; j++) target[j] = sums[j];
}

static void list_streams(Stream *streams[ROOF_STREAMS]) {
    streams[0] = streams[3] = copy_plain;
    streams[1] = streams[4] = triad_plain;
    streams[2] = streams[5] = read_plain;
}

static double run_multiply_add(int64_t rounds, float *result) {
    float sums[64];
    for (int i = 0; i < 64; i++) sums[i] = (float)i;
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < 64; i++) sums[i] = __builtin_fmaf(sums[i], 0.999f, 1e-3f);
    *result = sums[rounds % 64];
    return 64.0 * (double)rounds;
}

#endif

/* ---- threads --------------------------------------------------------------------------------- */

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
    int32_t trials;              /* how many; at most TRIALS */
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

/* Seconds of the team's trials, the shorter of the last two: in the first one threads of other teams
 * may still be spinning. Negative when a thread could not be started. */
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
    return team->seconds[1] < team->seconds[2] ? team->seconds[1] : team->seconds[2];
}

/* Seconds of a round, from trials that take about TRIAL_SECONDS each. */
static double seconds_a_round(Team *team) {
    team->rounds = 1;
    double seconds = run_team(team);
    while (seconds >= 0 && seconds < TRIAL_SECONDS / 4) {
        double more = TRIAL_SECONDS / (seconds > 1e-6 ? seconds : 1e-6);
        team->rounds *= more > 16 ? 16 : (int64_t)more + 1;
        seconds = run_team(team);
    }
    return seconds / (double)team->rounds;
}

/* ---- the roof -------------------------------------------------------------------------------- */

/* Copies have two arrays, triads three, reads one. */
static int32_t arrays_of(int32_t kind) {
    static const int32_t arrays[ROOF_KINDS] = {2, 3, 1};
    return arrays[kind];
}

static bool allocate(Roof *roof, int32_t kind) {
    size_t size = (size_t)roof->n[kind] * sizeof(float);
    for (int32_t i = 0; i < arrays_of(kind); i++) {
        void *memory = NULL;
        if (posix_memalign(&memory, size < HUGE_BYTES ? 4096 : HUGE_BYTES, size) != 0) return false;
        roof->memory[kind][i] = memory;
        if (size >= HUGE_BYTES) madvise(memory, size, MADV_HUGEPAGE);
        for (int64_t j = 0; j < roof->n[kind]; j++) roof->memory[kind][i][j] = (float)(j % 64);
    }
    return true;
}

bool roof_open(Roof *roof, int64_t bytes, int32_t threads) {
    int64_t unit = (int64_t)sizeof(float) * ALIGN_FLOATS;
    *roof = (Roof){.threads = threads < MOST_THREADS ? threads : MOST_THREADS};
    roof->bytes = bytes < LEAST_BYTES * threads ? LEAST_BYTES * threads : bytes;
    bool ok = true;
    for (int32_t kind = 0; kind < ROOF_KINDS && ok; kind++) {
        roof->n[kind] = (roof->bytes / arrays_of(kind) + unit - 1) / unit * ALIGN_FLOATS;
        ok = allocate(roof, kind);
    }
    if (!ok) roof_close(roof);
    return ok;
}

void roof_close(Roof *roof) {
    for (int32_t kind = 0; kind < ROOF_KINDS; kind++)
        for (int32_t i = 0; i < 3; i++) free(roof->memory[kind][i]);
    *roof = (Roof){0};
}

static double pass_seconds(const Roof *roof, int32_t stream, Stream *function) {
    int32_t kind = stream % ROOF_KINDS;
    float *const *memory = roof->memory[kind];
    Team team = {.threads = roof->threads,
                 .trials = TRIALS,
                 .stream = function,
                 .target = memory[0],
                 .x = memory[arrays_of(kind) > 1],
                 .y = memory[arrays_of(kind) - 1],
                 .n = roof->n[kind]};
    return seconds_a_round(&team);
}

void roof_round(Roof *roof) {
    if (roof->rounds == ROOF_ROUNDS) return;
    Stream *streams[ROOF_STREAMS];
    list_streams(streams);
    for (int32_t i = 0; i < ROOF_STREAMS; i++)
        roof->passes[i][roof->rounds] = pass_seconds(roof, i, streams[i]);
    float unused;
    Team team = {.threads = roof->threads, .trials = TRIALS};
    roof->multiply_adds[roof->rounds] =
        run_multiply_add(1, &unused) * roof->threads / seconds_a_round(&team);
    roof->rounds++;
}

/* A copy stores half of what it moves, a triad a third, a read nothing. */
static int32_t kind_like(double stored) {
    if (stored < 1.0 / 6) return 2;
    return stored < (1.0 / 2 + 1.0 / 3) / 2;
}

/* What the machine did once it can do: a round that other programs held up says nothing. */
double roof_bandwidth(const Roof *roof, double stored) {
    double best = 0;
    int32_t kind = kind_like(stored);
    double moved = (double)(roof->n[kind] * arrays_of(kind)) * sizeof(float);
    for (int32_t i = kind; i < ROOF_STREAMS; i += ROOF_KINDS)
        for (int32_t r = 0; r < roof->rounds; r++)
            if (roof->passes[i][r] > 0 && moved / roof->passes[i][r] > best)
                best = moved / roof->passes[i][r];
    return best;
}

double roof_multiply_adds(const Roof *roof) {
    double best = 0;
    for (int32_t r = 0; r < roof->rounds; r++)
        if (roof->multiply_adds[r] > best) best = roof->multiply_adds[r];
    return best;
}
