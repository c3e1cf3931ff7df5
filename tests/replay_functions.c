/* Workloads and the functions of the examples, traced and printed; see replay_functions.h. */
#include "tests/replay_functions.h"

#include "tests/replay_work.h"
#include "tools/sinter_tool.h"
#include "tools/sinter_workloads.h"

#include <sinter/sinter.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAUNCHES = 1024, BATCH = 30, PIXELS = 28 * 28, CLASSES = 10, MOST_TENSORS = 4 };

/* "all" is the graph after each pass, and the kernels. */
static const char *const stages[] = {"guards", "all", "program", "llvm", "asm", "cuda", "dot"};
enum { STAGES = sizeof stages / sizeof stages[0] };

/* ---- what tools/sinter_workloads.c asks of its program --------------------------------------- */

int usage_error(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "replay: %s: ", command);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return EXIT_USAGE;
}

int report_error(const char *command, const char *what) {
    sn_error error = {.size = sizeof error};
    sn_error_take(&error);
    fprintf(stderr, "replay: %s: %s: %s\n", command, what, error.text);
    return EXIT_WRONG;
}

/* ---- functions of the examples --------------------------------------------------------------- */

/* Of examples/hello.c. */
static sn_tensor *layer(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return sn_gelu(sn_add(sn_matmul(x, w), b), SN_GELU_TANH);
}

/* Of examples/fashion_mnist.c: the loss before a step that moves w and b. */
static sn_tensor *train_step(sn_tensor *images, sn_tensor *labels, sn_tensor *w, sn_tensor *b,
                             double rate) {
    sn_tensor *pixels = sn_div(sn_cast(images, SN_F32), sn_c(255));
    sn_tensor *x = sn_div(sn_sub(pixels, sn_c(0.2860)), sn_c(0.3530));
    sn_tensor *logits = sn_add(sn_matmul(x, w), b);
    sn_tensor *wrong = sn_sub(sn_softmax(logits, 1), sn_one_hot(labels, CLASSES));
    sn_tensor *slope = sn_div(wrong, sn_ci(sn_size(images, 0)));
    sn_tensor *w_gradient = sn_matmul(sn_transpose(x, 0, 1), slope);
    sn_tensor *b_gradient = sn_sum(slope, SN_I(0), false);
    sn_sub_(w, sn_mul(w_gradient, sn_c(rate)));
    sn_sub_(b, sn_mul(b_gradient, sn_c(rate)));
    return sn_cross_entropy(logits, labels, SN_REDUCTION_MEAN);
}

static void call_layer(sn_compiled *compiled) {
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *) = SN_FN(compiled, layer);
    if (fast)
        fast(sn_zeros(SN_I(2, 768), SN_F32), sn_zeros(SN_I(768, 3), SN_F32),
             sn_ones(SN_I(3), SN_F32));
}

static void call_train_step(sn_compiled *compiled) {
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *, sn_tensor *, double) =
        SN_FN(compiled, train_step);
    sn_tensor *w = sn_zeros(SN_I(PIXELS, CLASSES), SN_F32), *b = sn_zeros(SN_I(CLASSES), SN_F32);
    for (int64_t rows = BATCH; fast && rows <= BATCH + 2; rows++) /* static, then symbolic */
        fast(sn_zeros(SN_I(rows, PIXELS), SN_U8), sn_zeros(SN_I(rows), SN_I64), w, b,
             0.08 / (double)rows);
}

/* A function of an example. */
typedef struct Example {
    const char *name;                    /* of the function */
    sn_function function;                /* eager form */
    const char *signature;               /* as for sn_compile */
    void (*call)(sn_compiled *compiled); /* calls its compiled form */
} Example;

static const Example examples[] = {
    {"layer", (sn_function)layer, "ttt:t", call_layer},
    {"train_step", (sn_function)train_step, "ttttd:t", call_train_step},
};
enum { EXAMPLES = sizeof examples / sizeof examples[0] };

/* ---- printing -------------------------------------------------------------------------------- */

static void print_launches(FILE *out) {
    static sn_launch_record records[MOST_LAUNCHES];
    int32_t count = sn_history_end(records, MOST_LAUNCHES);
    for (int32_t i = 0; i < count && i < MOST_LAUNCHES; i++)
        fprintf(out, "launch %s %s: %lld items, %lld bytes\n", records[i].name, records[i].label,
                (long long)records[i].items, (long long)records[i].bytes);
}

static void print_compiled(FILE *out, const char *item, sn_compiled *compiled) {
    sn_error error = {.size = sizeof error};
    if (sn_error_take(&error) != SN_OK) fprintf(out, "%s\n", error.text);
    for (int i = 0; compiled && i < STAGES; i++) {
        char *text = sn_dump(compiled, stages[i], &error);
        replay_title(out, item, stages[i]);
        fprintf(out, "%s\n", text ? text : error.text);
        sn_text_free(text);
    }
}

static void print_workload(FILE *out, const Workload *workload, sn_numerics numerics) {
    char item[80];
    sn_compiled *compiled = NULL;
    snprintf(item, sizeof item, "%s, %s", workload->name,
             numerics == SN_NUMERICS_FAST ? "fast" : "exact");
    sn_history_begin();
    workload_open("workload", workload->name, numerics, 0, &compiled);
    replay_title(out, item, "call");
    print_launches(out);
    print_compiled(out, item, compiled);
    sn_compiled_release(compiled);
}

static void print_example(FILE *out, const Example *example) {
    sn_compiled *compiled = sn_compile_at(example->function, example->name, example->signature,
                                          NULL, __FILE__, __LINE__);
    sn_scope scope = sn_scope_begin();
    sn_history_begin();
    if (compiled) example->call(compiled);
    replay_title(out, example->name, "call");
    print_launches(out);
    sn_scope_end(scope, NULL);
    print_compiled(out, example->name, compiled);
    sn_compiled_release(compiled);
}

int32_t replay_function_count(void) {
    return EXAMPLES + 2 * workload_count;
}

void replay_function(int32_t number, FILE *out, void *unused) {
    (void)unused;
    if (number < EXAMPLES)
        print_example(out, &examples[number]);
    else
        print_workload(out, &workloads[(number - EXAMPLES) / 2],
                       (number - EXAMPLES) % 2 ? SN_NUMERICS_FAST : SN_NUMERICS_EXACT);
}
