/* The differential fuzzer: random programs, eager against compiled against the oracle.
 *
 *   fuzz [--invalid | --guards] [--count N] [--seconds T] [--seed S] [--jobs N] [--plant NAME]…
 *        [--expect-finding STEPS] [--dump STAGE] [--no-shrink] [--show]
 *
 * With --invalid the programs are broken, and what is compared is how they are refused. With --guards
 * each program's compiled function is called FUZZ_MOST_CALLS times with arguments that vary
 * (fuzz_guards.h); --count counts calls then, and calls are cut down too.
 *
 * Programs run in child processes, so that a crash is one more finding. A failing program is cut down
 * and printed with its seed; `--seed S --count 1` runs it again, also when the table has got more ops
 * since (see fuzz_seed). `--expect-finding` turns the exit status round: a bug must be found, and cut
 * down to so many steps. The first programs of each batch run once more with AVX2 only, and must leave
 * the same bits. */
#include "base/settings.h"
#include "tests/fuzz_check.h"
#include "tests/fuzz_guards.h"
#include "tests/fuzz_make.h"
#include "tests/fuzz_plant.h"
#include "tests/fuzz_refusal.h"
#include "tests/fuzz_shrink.h"
#include "tests/fuzz_text.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 400,
    SECOND_ISA = 40, /* programs of a batch that run with another instruction set too */
    MOST_JOBS = 16,
    MOST_PLANTS = 8,
    MOST_PRINTED = 12,
    FEW = 50, /* programs below which coverage says nothing */
    TRIAL_SECONDS = 20,
    INVALID_MOST_BYTES = 1 << 28, /* of tensors: broken sizes must not use up the machine */
    PROGRAM_SECONDS = 60,
    SHRINK_TRIALS = 600
};

/* What the command line says. */
typedef struct Options {
    int64_t count;                   /* programs to run; with --guards on the command line: calls */
    double seconds;                  /* stop after so long; 0 = no limit */
    uint64_t seed;                   /* number of the first program's seed */
    int32_t ops;                     /* ops that programs draw from: those with numbers below */
    int32_t jobs;                    /* processes at a time */
    const char *plants[MOST_PLANTS]; /* bugs to put in, one program after the other */
    int32_t n_plants;                /* how many */
    bool shrink;                     /* cut failing programs down */
    const char *dump;                /* stage that is printed of them, or NULL */
    bool show;                       /* print the program of `seed` and stop */
    bool invalid;                    /* break the programs */
    bool guards;                     /* sample calls inside and outside of guards */
    int32_t finding;                 /* a bug must be found, of so few steps; 0 = none must */
} Options;

/* A child's slot in memory shared with the parent. */
typedef struct Slot {
    pid_t child;                  /* 0 = free */
    uint64_t first;               /* program it began with */
    volatile uint64_t now;        /* program it is at */
    int64_t count;                /* programs of the batch */
    volatile int64_t done;        /* of them finished */
    FuzzCoverage coverage;        /* of the batch */
    volatile time_t since;        /* when `now` began */
    FuzzVerdict verdict;          /* why the child ended early */
    uint64_t digests[SECOND_ISA]; /* of the batch's first programs; 0 = none */
    bool second;                  /* the batch is run for the second time, with AVX2 */
} Slot;

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *plant_for(const Options *o, uint64_t seed) {
    return o->n_plants ? o->plants[seed % (uint64_t)o->n_plants] : NULL;
}

static void make(const Options *o, uint64_t number, FuzzSequence *subject) {
    uint64_t seed = fuzz_seed(o->ops, number);
    if (o->guards) {
        fuzz_sequence_make(seed, subject);
        return;
    }
    subject->n_variants = 1;
    subject->n_calls = 0;
    fuzz_make(seed, &subject->variants[0]);
    if (o->invalid) fuzz_break(&subject->variants[0]);
}

static FuzzVerdict check(const Options *o, const FuzzSequence *subject, FuzzCoverage *coverage) {
    const FuzzProgram *program = &subject->variants[0];
    const char *plant = plant_for(o, program->seed);
    return o->guards    ? guards_check(subject, plant, coverage)
           : o->invalid ? fuzz_check_refusal(program, plant, coverage)
                        : fuzz_check(program, plant, coverage);
}

static void print(const Options *o, const FuzzSequence *subject) {
    if (o->guards)
        fuzz_sequence_print(subject, stdout);
    else
        fuzz_print(&subject->variants[0], stdout);
}

/* ---- children -------------------------------------------------------------------------------- */

/* Runs a program once more, with the other instruction set. */
static FuzzVerdict compare_digest(const FuzzProgram *program, uint64_t wanted,
                                  FuzzCoverage *coverage) {
    uint64_t digest = wanted ? fuzz_digest(program) : 0;
    coverage->second_isa += digest != 0;
    if (digest == 0 || digest == wanted) return fuzz_fine();
    return fuzz_fail(FUZZ_ISA, "with AVX2 only, eager leaves other bits");
}

/* Runs a batch up to its first failure; the exit status is the failure. */
static int run_batch(const Options *o, Slot *slot) {
    static FuzzSequence subject;
    if (slot->second) setting_set(SETTING_ISA, "avx2");
    for (int64_t i = slot->done; i < slot->count; i++) {
        slot->now = slot->first + (uint64_t)i;
        slot->since = time(NULL);
        make(o, slot->now, &subject);
        FuzzVerdict verdict =
            slot->second ? compare_digest(&subject.variants[0], slot->digests[i], &slot->coverage)
                         : check(o, &subject, &slot->coverage);
        slot->done = i + 1;
        if (!slot->second && i < SECOND_ISA) slot->digests[i] = verdict.digest;
        if (!verdict.failure) continue;
        slot->verdict = verdict;
        return (int)verdict.failure;
    }
    return 0;
}

static void start(const Options *o, Slot *slot) {
    fflush(NULL);
    slot->since = time(NULL);
    pid_t child = fork();
    if (child == 0) {
        int status = run_batch(o, slot);
        fflush(NULL);
        _exit(status);
    }
    slot->child = child > 0 ? child : 0; /* by the parent alone: the memory is shared */
}

/* ---- shrinking ------------------------------------------------------------------------------- */

/* Memory that shrinking shares with the parent. */
typedef struct Shared {
    FuzzVerdict verdict; /* of the last trial that failed */
    int32_t steps;       /* of the program that is left; -1 = it was not cut down */
} Shared;

typedef struct Trial {
    FuzzFailure failure;    /* the one to keep */
    const Options *options; /* of the run */
    int32_t threads;        /* as many as the program failed with */
    Shared *shared;         /* the verdict of the last trial comes from the child */
} Trial;

static FuzzFailure failure_of(int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) < FUZZ_FAILURE_COUNT)
        return (FuzzFailure)WEXITSTATUS(status);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? FUZZ_HANG : FUZZ_CRASH;
}

static bool still_fails(const FuzzSequence *subject, void *context) {
    const Trial *trial = context;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(TRIAL_SECONDS);
        sn_set_threads(trial->threads);
        FuzzVerdict verdict = check(trial->options, subject, NULL);
        if (verdict.failure == trial->failure) trial->shared->verdict = verdict;
        _exit((int)verdict.failure);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return failure_of(status) == trial->failure;
}

/* In a process of its own: the programs that it runs may crash it. */
static void shrink_and_print(const Options *o, uint64_t seed, FuzzFailure failure, Shared *shared) {
    shared->steps = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        static FuzzSequence subject;
        const FuzzProgram *program = &subject.variants[0];
        Trial trial = {failure, o, sn_threads(), shared};
        sn_set_threads(1); /* so that the trials, which are forked off, may start threads */
        make(o, seed, &subject);
        int32_t steps = program->n_steps, calls = subject.n_calls;
        int32_t trials = fuzz_shrink(&subject, still_fails, &trial, SHRINK_TRIALS);
        printf("reduced from %d to %d steps", (int)steps, (int)program->n_steps);
        if (calls) printf(" and from %d to %d calls", (int)calls, (int)subject.n_calls);
        printf(" in %d trials: %s\n", (int)trials, shared->verdict.text);
        shared->steps = program->n_steps;
        print(o, &subject);
        if (o->dump) fuzz_dump(program, o->dump, stdout);
        fflush(NULL);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (status) printf("(the program cannot be cut down: making it ends the process)\n");
}

/* ---- the parent ------------------------------------------------------------------------------ */

typedef struct Totals {
    FuzzCoverage coverage;               /* of all programs */
    int64_t passed, failed;              /* programs */
    int64_t by_kind[FUZZ_FAILURE_COUNT]; /* failures by kind */
    int32_t largest;                     /* steps of the longest that was cut down */
} Totals;

static void report(const Options *o, Totals *totals, uint64_t seed, FuzzFailure failure,
                   Shared *shared) {
    const char *text = shared->verdict.text;
    totals->failed++;
    totals->by_kind[failure]++;
    printf("FAILED seed %d:%llu: %s%s%s\n", (int)o->ops, (unsigned long long)seed,
           fuzz_failure_names[failure], text[0] ? ": " : "", text);
    if (o->shrink && totals->failed <= MOST_PRINTED && failure != FUZZ_ISA) {
        shrink_and_print(o, seed, failure, shared);
        int32_t steps = shared->steps < 0 ? FUZZ_MOST_STEPS : shared->steps;
        if (steps > totals->largest) totals->largest = steps;
    }
    fflush(stdout);
}

/* A child ended: its results, and the rest of its batch after a failure. */
static void collect(const Options *o, Totals *totals, Slot *slot, int status, Shared *shared) {
    FuzzFailure failure = failure_of(status);
    bool died = failure == FUZZ_CRASH || failure == FUZZ_HANG;
    if (died) slot->done++;
    shared->verdict = slot->verdict;
    if (died) shared->verdict.text[0] = 0;
    coverage_add(&totals->coverage, &slot->coverage);
    slot->coverage = (FuzzCoverage){.programs = 0};
    slot->verdict = (FuzzVerdict){.failure = FUZZ_FINE};
    if (failure) report(o, totals, slot->now, failure, shared);
    slot->child = 0;
}

static void kill_if_stuck(Slot *slots, int32_t jobs) {
    for (int32_t i = 0; i < jobs; i++)
        if (slots[i].child && time(NULL) - slots[i].since > PROGRAM_SECONDS)
            kill(slots[i].child, SIGALRM);
}

static void print_totals(const Options *o, const Totals *totals, double seconds) {
    const FuzzCoverage *c = &totals->coverage;
    if (o->guards)
        coverage_print_guards(c);
    else if (c->programs >= FEW)
        (o->invalid ? coverage_print_refusals : coverage_print)(c);
    printf("programs: %lld (%lld of them refused by eager too), %lld steps, %lld kernels compiled, "
           "%.1f s, %.1f programs/s\n",
           (long long)c->programs, (long long)c->refused, (long long)c->steps,
           (long long)c->kernels_compiled, seconds, (double)c->programs / seconds);
    for (int32_t i = 1; i < FUZZ_FAILURE_COUNT; i++)
        if (totals->by_kind[i])
            printf("failures of kind %s: %lld\n", fuzz_failure_names[i],
                   (long long)totals->by_kind[i]);
}

static void next_batch(const Options *o, Slot *slot, uint64_t *next) {
    uint64_t end = o->seed + (uint64_t)o->count;
    if (slot->done >= slot->count && slot->count > 0 && !slot->second && !o->invalid &&
        !o->guards) {
        slot->second = true; /* the same once more */
        slot->done = 0;
        if (slot->count > SECOND_ISA) slot->count = SECOND_ISA;
    } else if (slot->done >= slot->count && *next < end) {
        slot->second = false;
        slot->first = *next;
        slot->done = 0;
        slot->count = (int64_t)(end - *next < BATCH ? end - *next : BATCH);
        *next += (uint64_t)slot->count;
        memset(slot->digests, 0, sizeof slot->digests);
    }
    if (slot->done < slot->count) start(o, slot);
}

static void run_all(const Options *o, Totals *totals) {
    size_t bytes = sizeof(Slot) * MOST_JOBS + sizeof(Shared);
    Slot *slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) return;
    Shared *shared = (Shared *)(slots + MOST_JOBS);
    double begin = now_seconds();
    uint64_t next = o->seed;
    bool over = false;
    for (;;) {
        int32_t running = 0;
        over = over || (o->seconds > 0 && now_seconds() - begin > o->seconds) ||
               (o->finding && totals->failed);
        for (int32_t i = 0; i < o->jobs; i++) {
            if (!slots[i].child && !over) next_batch(o, &slots[i], &next);
            running += slots[i].child != 0;
        }
        if (!running) break;
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        for (int32_t i = 0; ended > 0 && i < o->jobs; i++)
            if (slots[i].child == ended) collect(o, totals, &slots[i], status, shared);
        if (ended > 0) continue;
        kill_if_stuck(slots, o->jobs);
        for (int32_t i = 0; over && i < o->jobs; i++)
            if (slots[i].child && slots[i].done < slots[i].count)
                slots[i].count = slots[i].done + 1;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    totals->passed = totals->coverage.programs - totals->failed + totals->by_kind[FUZZ_CRASH] +
                     totals->by_kind[FUZZ_HANG];
    print_totals(o, totals, now_seconds() - begin);
    munmap(slots, bytes);
}

/* ---- the command line ------------------------------------------------------------------------ */

static int usage(void) {
    fprintf(stderr,
            "usage: fuzz [--invalid | --guards] [--count N] [--seconds T] [--seed S] [--jobs N]\n"
            "            [--plant NAME]... [--expect-finding STEPS] [--dump STAGE] [--no-shrink]\n"
            "            [--show]\n"
            "plants: %s\n",
            plant_names());
    return 2;
}

/* "NUMBER", or "OPS:NUMBER" as a seed is printed. */
static bool parse_seed(const char *text, Options *o) {
    char *end;
    o->seed = strtoull(text, &end, 10);
    if (*end == ':') {
        o->ops = (int32_t)o->seed;
        o->seed = strtoull(end + 1, &end, 10);
    }
    return !*end && o->ops >= FUZZ_FIRST_OPS && o->ops <= OP_COUNT;
}

static bool parse(int argc, char **argv, Options *o) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-shrink") == 0) {
            o->shrink = false;
        } else if (strcmp(argv[i], "--show") == 0) {
            o->show = true;
        } else if (strcmp(argv[i], "--invalid") == 0) {
            o->invalid = true;
        } else if (strcmp(argv[i], "--guards") == 0) {
            o->guards = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--count") == 0) {
            o->count = strtoll(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            o->seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--seed") == 0) {
            if (!parse_seed(argv[++i], o)) return false;
        } else if (strcmp(argv[i], "--jobs") == 0) {
            o->jobs = (int32_t)strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--dump") == 0) {
            o->dump = argv[++i];
        } else if (strcmp(argv[i], "--expect-finding") == 0) {
            o->finding = (int32_t)strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--plant") == 0 && o->n_plants < MOST_PLANTS &&
                   plant_known(argv[i + 1])) {
            o->plants[o->n_plants++] = argv[++i];
        } else {
            return false;
        }
    }
    if (o->guards) o->count = (o->count + FUZZ_MOST_CALLS - 1) / FUZZ_MOST_CALLS;
    return o->count > 0 && o->jobs > 0 && o->jobs <= MOST_JOBS;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at) {
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

int main(int argc, char **argv) {
    Options options = {.count = 1000, .seed = 1, .ops = OP_COUNT, .jobs = 2, .shrink = true};
    if (!parse(argc, argv, &options)) return usage();
    if (options.invalid) sn_memory_set_limit(INVALID_MOST_BYTES);
    if (options.show) {
        static FuzzSequence subject;
        make(&options, options.seed, &subject);
        print(&options, &subject);
        return 0;
    }
    static Totals totals;
    char folder[] = "/tmp/sinter-fuzz-XXXXXX";
    bool own = !getenv("SINTER_CACHE_DIR") && mkdtemp(folder);
    if (own) setenv("SINTER_CACHE_DIR", folder, 1); /* each kernel is compiled once a run */
    run_all(&options, &totals);
    if (own) nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    printf("%lld passed, %lld failed\n", (long long)totals.passed, (long long)totals.failed);
    if (!options.finding) return totals.failed ? 1 : 0;
    bool found = totals.failed > 0 && totals.largest <= options.finding;
    printf(found ? "found, as expected\n" : "nothing was found, or it was not cut down\n");
    return found ? 0 : 1;
}
