/* What the library itself costs, in instructions: calls that hit, calls that record again, eager calls,
 * compiling. benchmarks/compare_instructions runs each case under callgrind, with two builds; counts do
 * not depend on what else the machine does.
 *
 *     instructions            lists the cases
 *     instructions CASE       sets it up, then does it inside of measured(); prints how many units that was
 *
 * Built from this source against either build, it uses public headers alone. */
#include <sinter/sinter.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 16,
    MOST_ARGS = 16,
    CALLS = 200,
    CHAIN = 100,
    SHORT_CHAIN = 10,
    LAYERS = 12,
    WIDTH = 64,
    HANDLES = 128
};

/* Ends the program with the thread's error unless `ok`. */
static void expect(bool ok, const char *what) {
    if (ok && sn_error_status() == SN_OK) return;
    fprintf(stderr, "instructions: %s: %s\n", what, sn_error_text());
    exit(1);
}

/* ---- functions ------------------------------------------------------------------------------- */

/* A function over an array of tensors, as all of them are here. */
typedef sn_tensor *Function(sn_tensor **x, int32_t count);

static sn_tensor *horner(sn_tensor **x, int32_t count) {
    sn_tensor *y = x[0];
    for (int32_t i = 1; i < count; i++) y = sn_add(sn_mul(y, x[i]), sn_c(1));
    return y;
}

static sn_tensor *chain(sn_tensor *x, int32_t ops) {
    static sn_tensor *(*const turns[])(sn_tensor *) = {sn_neg, sn_abs, sn_square, sn_relu};
    for (int32_t i = 0; i < ops; i++) x = i % 2 ? sn_add(x, sn_c(i)) : turns[i / 2 % 4](x);
    return x;
}

static sn_tensor *long_chain(sn_tensor **x, int32_t count) {
    (void)count;
    return chain(x[0], CHAIN);
}

static sn_tensor *short_chain(sn_tensor **x, int32_t count) {
    (void)count;
    return sn_exp(chain(x[0], SHORT_CHAIN - 1));
}

/* Five calls a turn: two views, two writes through them, one op that reads what was written. */
static sn_tensor *views(sn_tensor **x, int32_t count) {
    (void)count;
    sn_tensor *y = sn_clone(x[0]);
    for (int32_t i = 0; i < CHAIN / 5; i++) {
        sn_tensor *part = sn_narrow(y, 0, i % 4, 8);
        sn_mul_(part, sn_c(2));
        sn_tensor *one = sn_select(y, 0, i % SMALL);
        sn_fill_(one, i);
        sn_add(part, sn_c(1));
    }
    return y;
}

/* Without contractions: those are another library's instructions. */
static sn_tensor *layers(sn_tensor **x, int32_t count) {
    (void)count;
    sn_tensor *y = x[0], *gain = x[1], *bias = x[2];
    for (int32_t i = 0; i < LAYERS; i++) {
        sn_tensor *h = sn_layer_norm(y, gain, bias, 1e-5);
        sn_tensor *heads = sn_permute(sn_reshape(h, SN_I(-1, 4, WIDTH / 4)), SN_I(1, 0, 2));
        sn_tensor *mixed = sn_softmax(sn_mul(heads, sn_c(0.125)), -1);
        y = sn_add(y, sn_reshape(sn_permute(mixed, SN_I(1, 0, 2)), SN_I(-1, WIDTH)));
        y = sn_add(y, sn_gelu(sn_mul(sn_rms_norm(y, gain, 1e-6), bias), SN_GELU_TANH));
    }
    return y;
}

/* ---- cases ----------------------------------------------------------------------------------- */

/* What a case has set up. */
typedef struct Bench {
    Function *function;         /* its function */
    sn_compiled *compiled;      /* or NULL */
    sn_tensor *args[MOST_ARGS]; /* of the calls */
    int32_t n_args;             /* how many */
    sn_graph *graph;            /* or NULL */
} Bench;

static void call(Bench *b) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *(*fast)(sn_tensor **, int32_t) = SN_FN(b->compiled, b->function);
    expect(fast && fast(b->args, b->n_args), "call");
    sn_scope_end(scope, NULL);
}

static void call_many(Bench *b) {
    sn_tensor *(*fast)(sn_tensor **, int32_t) = SN_FN(b->compiled, b->function);
    for (int32_t i = 0; i < CALLS; i++) {
        sn_scope scope = sn_scope_begin();
        fast(b->args, b->n_args);
        sn_scope_end(scope, NULL);
    }
    expect(true, "calls");
}

/* A call of each size; the kernels are there already. */
static void call_new_sizes(Bench *b) {
    sn_tensor *(*fast)(sn_tensor **, int32_t) = SN_FN(b->compiled, b->function);
    for (int32_t i = 0; i < CALLS; i++) {
        sn_scope scope = sn_scope_begin();
        sn_tensor *x = sn_narrow(b->args[0], 0, 0, 2 * SMALL + i);
        fast(&x, 1);
        sn_scope_end(scope, NULL);
    }
    expect(true, "calls");
}

static void call_eager(Bench *b) {
    for (int32_t i = 0; i < CALLS; i++) {
        sn_scope scope = sn_scope_begin();
        sn_add(b->args[0], b->args[1]);
        sn_scope_end(scope, NULL);
    }
    expect(true, "eager calls");
}

static void call_eager_views(Bench *b) {
    for (int32_t i = 0; i < CALLS; i++) {
        sn_scope scope = sn_scope_begin();
        sn_narrow(b->args[0], 0, i % 4, 8);
        sn_scope_end(scope, NULL);
    }
    expect(true, "eager views");
}

/* All passes up to the program, which is printed. */
static void run_passes(Bench *b) {
    sn_error error = {.size = sizeof error};
    char *text = sn_graph_dump(b->graph, "program", &error);
    expect(text != NULL, error.text);
    sn_text_free(text);
}

/* Arguments: `n_args` vectors of SMALL numbers, or layers' ones; the function compiled, and called
 * `calls` times. */
static void set_up(Bench *b, Function *function, int32_t n_args, sn_rerun rerun, int32_t calls) {
    sn_compile_options options = {.size = sizeof options, .rerun = rerun};
    bool wide = function == layers;
    *b = (Bench){.function = function, .n_args = n_args};
    for (int32_t i = 0; i < n_args; i++)
        b->args[i] = wide && i == 0 ? sn_ones(SN_I(SMALL, WIDTH), SN_F32)
                                    : sn_ones(SN_I(wide ? WIDTH : SMALL), SN_F32);
    b->compiled =
        sn_compile_at((sn_function)function, "function", "t*:t", &options, __FILE__, __LINE__);
    expect(b->compiled != NULL, "compile");
    for (int32_t i = 0; i < calls; i++) call(b);
}

static void dispatch_2(Bench *b) {
    set_up(b, horner, 2, SN_RERUN_AUTO, 3);
}

static void dispatch_8(Bench *b) {
    set_up(b, horner, 8, SN_RERUN_AUTO, 3);
}

static void dispatch_16(Bench *b) {
    set_up(b, horner, 16, SN_RERUN_AUTO, 3);
}

static void record_chain(Bench *b) {
    set_up(b, long_chain, 1, SN_RERUN_ALWAYS, 3);
}

static void record_views(Bench *b) {
    set_up(b, views, 1, SN_RERUN_ALWAYS, 3);
}

static void new_sizes(Bench *b) {
    set_up(b, short_chain, 1, SN_RERUN_AUTO, 1);
    sn_tensor *all = sn_ones(SN_I(2 * SMALL + CALLS), SN_F32);
    for (int32_t i = 0; i < 3; i++) { /* static, symbolic, and what that one checks */
        b->args[0] = sn_narrow(all, 0, 0, SMALL + 1 + i);
        call(b);
    }
    b->args[0] = all;
}

static void eager(Bench *b) {
    set_up(b, horner, 2, SN_RERUN_AUTO, 0);
    for (int32_t i = 0; i < 3; i++) sn_add(b->args[0], b->args[1]);
}

/* Another function goes before, so that LLVM is there. */
static void cold_chain(Bench *b) {
    set_up(b, views, 1, SN_RERUN_AUTO, 1);
    set_up(b, short_chain, 1, SN_RERUN_AUTO, 0);
}

static void cold_layers(Bench *b) {
    set_up(b, views, 1, SN_RERUN_AUTO, 1);
    set_up(b, layers, 3, SN_RERUN_AUTO, 0);
}

static void passes_of_layers(Bench *b) {
    sn_error error = {.size = sizeof error};
    set_up(b, layers, 3, SN_RERUN_AUTO, 1);
    char *text = sn_dump(b->compiled, "graph", &error);
    b->graph = text ? sn_graph_parse(text, strlen(text), &error) : NULL;
    expect(b->graph != NULL, error.text);
    sn_text_free(text);
    run_passes(b);
}

static const struct Case {
    const char *name;          /* on the command line */
    void (*prepare)(Bench *b); /* what is not counted */
    void (*run)(Bench *b);     /* what is */
    int32_t units;             /* the count is divided by */
    const char *unit;          /* what one is */
} cases[] = {
    {"dispatch_2", dispatch_2, call_many, CALLS, "call"},
    {"dispatch_8", dispatch_8, call_many, CALLS, "call"},
    {"dispatch_16", dispatch_16, call_many, CALLS, "call"},
    {"new_size", new_sizes, call_new_sizes, CALLS, "call"},
    {"record_chain", record_chain, call_many, CALLS *CHAIN, "op"},
    {"record_views", record_views, call_many, CALLS *CHAIN, "op"},
    {"eager_add", eager, call_eager, CALLS, "call"},
    {"eager_view", eager, call_eager_views, CALLS, "call"},
    {"passes_layers", passes_of_layers, run_passes, 1, "graph"},
    {"cold_chain", cold_chain, call, 1, "function"},
    {"cold_layers", cold_layers, call, 1, "function"},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* Callgrind counts while this is on the stack. */
void measured(const struct Case *c, Bench *b);
__attribute__((noinline)) void measured(const struct Case *c, Bench *b) {
    c->run(b);
}

/* A thread's first handles have to be made, those that follow take the place of dead ones. */
static void make_handles(void) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_full(SN_I(SMALL), 0, SN_F32);
    for (int i = 0; i < HANDLES; i++) expect(sn_narrow(x, 0, 0, SMALL) != NULL, "a handle");
    sn_scope_end(scope, NULL);
}

int main(int argc, char **argv) {
    static Bench bench;
    sn_scope scope = sn_scope_begin();
    for (int i = 0; i < CASES; i++) {
        if (argc == 1) puts(cases[i].name);
        if (argc == 1 || strcmp(argv[1], cases[i].name) != 0) continue;
        make_handles();
        cases[i].prepare(&bench);
        measured(&cases[i], &bench);
        printf("%d %s\n", (int)cases[i].units, cases[i].unit);
        sn_graph_free(bench.graph);
        sn_compiled_release(bench.compiled);
        sn_scope_end(scope, NULL);
        return 0;
    }
    sn_scope_end(scope, NULL);
    return argc == 1 ? 0 : 2;
}
