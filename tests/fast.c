/* Fast code against eager: random programs of sums, products and what is made of them, run by eager in f32,
 * compiled with SN_NUMERICS_FAST, and by eager in f64, which stands for the truth. Of each output the largest
 * error of fast code is at most twice eager's and one unit in the last place of the program's largest value;
 * it has no NaN and no infinity that eager has not, and what is 0 in eager because a value cancels with
 * itself is 0 in fast code.
 *
 *     fast [--seed S] [--count N]    prints the first failures and exits with 1 where there is one */
#include "tests/fuzz_program.h"

#include <sinter/sinter.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 3, MOST_STEPS = 9, MOST_VALUES = INPUTS + MOST_STEPS, ROWS = 6, COLUMNS = 67 };
enum { MOST_SHOWN = 5 };

/* ---- programs -------------------------------------------------------------------------------- */

typedef enum Kind {
    ADD,
    SUB,
    MUL,
    ADDCMUL,   /* x + number · y · z */
    LERP,      /* between x and y */
    NEG,       /* the products' signs */
    SQUARE,    /* a product of a value with itself */
    SCALED,    /* x · number */
    SHIFTED,   /* x + number */
    MEAN,      /* of a row, which stays an axis */
    SUM,       /* of a column, which stays an axis */
    ROOT,      /* NaN below 0 */
    DIFFERENCE /* x·y - x·y, each written out: 0 */
} Kind;
enum { KINDS = DIFFERENCE + 1 };
static const char *const kind_names[KINDS] = {"add", "sub",    "mul",       "addcmul", "lerp",
                                              "neg", "square", "scaled",    "shifted", "mean",
                                              "sum", "root",   "difference"};

typedef struct Step {
    Kind kind;     /* what is done */
    int32_t in[3]; /* with which values, inputs first */
    double number; /* SCALED, SHIFTED, ADDCMUL */
} Step;

typedef struct Program {
    uint64_t seed;          /* it follows from this */
    int32_t n_steps;        /* in use */
    Step steps[MOST_STEPS]; /* in order; the last one's value is the output */
} Program;

static FuzzRandom drawn;

static int32_t below(int32_t bound) {
    return (int32_t)fuzz_below(&drawn, bound);
}

static double uniform(void) {
    return (double)(int64_t)fuzz_next(&drawn) * 0x1p-63;
}

static void make(Program *program, uint64_t seed) {
    *program = (Program){.seed = seed};
    drawn.state = seed;
    program->n_steps = 2 + below(MOST_STEPS - 1);
    for (int32_t i = 0; i < program->n_steps; i++) {
        Step *step = &program->steps[i];
        step->kind = (Kind)below(KINDS);
        for (int32_t k = 0; k < 3; k++) /* mostly what was made last */
            step->in[k] = below(3) ? INPUTS + i - 1 - below(2) : below(INPUTS + i);
        for (int32_t k = 0; k < 3; k++)
            if (step->in[k] < 0) step->in[k] = 0;
        step->number = uniform() * 4;
    }
}

static sn_tensor *run_step(const Step *step, sn_tensor *const *values) {
    sn_tensor *x = values[step->in[0]], *y = values[step->in[1]], *z = values[step->in[2]];
    switch (step->kind) {
    case ADD:
        return sn_add(x, y);
    case SUB:
        return sn_sub(x, y);
    case MUL:
        return sn_mul(x, y);
    case ADDCMUL:
        return sn_addcmul(x, y, z, step->number);
    case LERP:
        return sn_lerp(x, y, sn_c(step->number / 4));
    case NEG:
        return sn_neg(x);
    case SQUARE:
        return sn_square(x);
    case SCALED:
        return sn_mul(x, sn_c(step->number));
    case SHIFTED:
        return sn_add(x, sn_c(step->number));
    case MEAN:
        return sn_mean(x, SN_I(-1), true);
    case SUM:
        return sn_sum(x, SN_I(0), true);
    case ROOT:
        return sn_sqrt(x);
    case DIFFERENCE:
        break;
    }
    return sn_sub(sn_mul(x, y), sn_mul(x, y));
}

static const Program *running; /* what `function` does; it is compiled anew for each */

static void run(sn_tensor *const *inputs, sn_tensor **values) {
    memcpy(values, inputs, sizeof *values * INPUTS);
    for (int32_t i = 0; i < running->n_steps; i++)
        values[INPUTS + i] = run_step(&running->steps[i], values);
}

static sn_tensor *function(sn_tensor *a, sn_tensor *b, sn_tensor *c) {
    sn_tensor *values[MOST_VALUES];
    run((sn_tensor *[]){a, b, c}, values);
    return values[INPUTS + running->n_steps - 1];
}

static void print(const Program *program) {
    for (int32_t i = 0; i < program->n_steps; i++) {
        const Step *s = &program->steps[i];
        printf("  %%%d = %s %%%d %%%d %%%d %.17g\n", INPUTS + i, kind_names[s->kind], s->in[0],
               s->in[1], s->in[2], s->number);
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* The library's errors end the run: no program here is wrong. */
static void expect(bool ok) {
    if (ok && sn_error_status() == SN_OK) return;
    fprintf(stderr, "fast: %s\n", sn_error_text());
    exit(2);
}

/* Elements as f64; sn_release and free are the caller's by scope and `free`. */
static double *numbers(sn_tensor *x, int64_t count) {
    double *data = calloc((size_t)count, sizeof *data);
    expect(data && sn_read(sn_cast(x, SN_F64), SN_F64, data, (size_t)count * sizeof *data));
    return data;
}

/* The largest finite one of all values. */
static double largest(sn_tensor *const *values, int32_t count) {
    double most = 0;
    for (int32_t i = 0; i < count; i++) {
        int64_t elements = sn_count(values[i]);
        double *data = numbers(values[i], elements);
        for (int64_t k = 0; k < elements; k++)
            if (isfinite(data[k])) most = fmax(most, fabs(data[k]));
        free(data);
    }
    return most;
}

typedef struct Errors {
    double eager, fast; /* largest distance from f64 */
    bool differ;        /* eager and fast code do, somewhere */
    bool strange;       /* fast code has a NaN or an infinity that eager has not */
} Errors;

static Errors compare(sn_tensor *eager, sn_tensor *fast, sn_tensor *truth) {
    int64_t count = sn_count(eager);
    double *e = numbers(eager, count), *f = numbers(fast, count), *t = numbers(truth, count);
    Errors errors = {0};
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(e[i])) continue;
        if (!isfinite(f[i])) errors.strange = true;
        if (e[i] != f[i]) errors.differ = true;
        if (!isfinite(t[i])) continue; /* 0 in f32 and below 0 in f64, under a root */
        errors.eager = fmax(errors.eager, fabs(e[i] - t[i]));
        errors.fast = fmax(errors.fast, fabs(f[i] - t[i]));
    }
    free(e);
    free(f);
    free(t);
    return errors;
}

static double worst;       /* share of what is allowed that was met */
static uint64_t differing; /* programs of which fast code gives other bits than eager */
static uint64_t better; /* programs of which eager has more than fast code is allowed: to compare */

/* Does fast code keep what was promised? */
static bool check(const Program *program, bool loud) {
    sn_scope scope = sn_scope_begin();
    float data[ROWS * COLUMNS];
    sn_tensor *inputs[INPUTS], *wide[INPUTS], *values[MOST_VALUES], *truth[MOST_VALUES];
    drawn.state = ~program->seed;
    for (int32_t i = 0; i < INPUTS; i++) {
        for (int32_t k = 0; k < ROWS * COLUMNS; k++)
            data[k] = (float)(uniform() * (i == 2 ? 1000 : 4));
        inputs[i] = sn_from_copy(data, sizeof data, SN_I(ROWS, COLUMNS), SN_F32);
        wide[i] = sn_cast(inputs[i], SN_F64);
    }
    running = program;
    run(inputs, values);
    run(wide, truth);
    sn_compile_options options = {.numerics = SN_NUMERICS_FAST};
    sn_compiled *compiled =
        sn_compile_at((sn_function)function, "function", "ttt:t", &options, NULL, 0);
    expect(compiled != NULL);
    sn_tensor *fast = SN_FN(compiled, function)(inputs[0], inputs[1], inputs[2]);
    expect(fast != NULL);
    int32_t count = INPUTS + program->n_steps;
    Errors errors = compare(values[count - 1], fast, truth[count - 1]);
    double most = largest(truth, count);
    double unit = most > 0 ? ldexp(1, ilogb(most) - 23) : 0, allowed = 2 * errors.eager + unit;
    bool zero = program->steps[program->n_steps - 1].kind == DIFFERENCE && errors.fast != 0;
    bool ok = !errors.strange && !zero && errors.fast <= allowed;
    differing += errors.differ;
    better += errors.eager > 2 * errors.fast + unit;
    if (allowed > 0) worst = fmax(worst, errors.fast / allowed);
    if (!ok && loud)
        printf("error %g of fast code, %g of eager, unit %g%s\n", errors.fast, errors.eager, unit,
               errors.strange ? ", not finite" : "");
    sn_compiled_release(compiled);
    sn_scope_end(scope, NULL);
    return ok;
}

/* Leaves out steps, from the last one on, while it fails. */
static void shrink(Program *program) {
    for (int32_t at = program->n_steps; at-- > 0 && program->n_steps > 1;) {
        Program less = *program;
        memmove(&less.steps[at], &less.steps[at + 1],
                sizeof(Step) * (size_t)(less.n_steps - at - 1));
        less.n_steps--;
        for (int32_t i = at; i < less.n_steps; i++)
            for (int32_t k = 0; k < 3; k++)
                if (less.steps[i].in[k] >= INPUTS + at) less.steps[i].in[k]--;
        if (!check(&less, false)) *program = less;
    }
}

int main(int argc, char **argv) {
    uint64_t seed = 1, count = 1000, failed = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--count") == 0) count = strtoull(argv[i + 1], NULL, 10);
    }
    for (uint64_t i = 0; i < count; i++) {
        Program program;
        make(&program, seed + i);
        if (check(&program, false)) continue;
        if (failed++ >= MOST_SHOWN) continue;
        printf("FAILED seed %llu: ", (unsigned long long)(seed + i));
        check(&program, true);
        shrink(&program);
        printf("reduced to %d steps: ", program.n_steps);
        check(&program, true);
        print(&program);
    }
    printf(
        "%llu programs, %llu of them with other bits than eager, %llu failed, at most %.3f of the "
        "error that is allowed; eager would fail %llu, with the two exchanged\n",
        (unsigned long long)count, (unsigned long long)differing, (unsigned long long)failed, worst,
        (unsigned long long)better);
    return failed != 0 || (count >= 100 && !differing); /* then nothing was tried */
}
