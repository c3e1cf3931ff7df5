/* The main job of tools/demo: a softmax regression on the 60,000 images of Fashion-MNIST, its
 * gradient written by hand from ops. The training step is one C function; it is run eager and
 * compiled from the same initial weights over the same batches. Then: do both end with the same
 * bits, how well do the weights do on the 10,000 test images, what became of the step, and what did
 * compiling gain. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime under -std=c11, too */
#include "idx.h"

#include <sinter/sinter.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DATA_FOLDER "/usr/share/datasets/fashion-mnist"
#define DATA_PACKAGE "dataset-fashion-mnist"

enum { PIXELS = 28 * 28, CLASSES = 10, BATCH = 3000, EPOCHS = 40, MOST_LAUNCHES = 64 };
enum { EPOCHS_A_LINE = 4 };              /* of the progress that is shown */
static const double first_rate = 0.08;   /* learning rate of the first half */
static const double last_rate = 0.03;    /* and of the second: the same kernels, another scalar */
static const double mean_pixel = 0.2860; /* over the training images, of values 0 to 1 */
static const double deviation = 0.3530;  /* likewise */

/* Images and labels as the files hold them; the memory is lent to tensors. */
typedef struct DataSet {
    IdxArray images;         /* u8 [count, 28, 28] */
    IdxArray labels;         /* u8 [count] */
    sn_tensor *image_tensor; /* u8 [count, 784], of the scope it was made in */
    sn_tensor *label_tensor; /* i64 [count], likewise */
} DataSet;

/* What one way of running the step has to show. */
typedef struct Run {
    const char *name;     /* "eager", "compiled" */
    sn_tensor *w, *b;     /* weights f32 [784, 10] and [10], of the outermost scope */
    double first_call;    /* seconds of its first step: with compiling, where that is done */
    double epoch[EPOCHS]; /* seconds of each epoch */
    int32_t kernels;      /* launched in one step */
    int64_t bytes;        /* moved in one step */
} Run;

/* images u8 [n, 784], labels i64 [n], w f32 [784, 10], b f32 [10]. Returns the loss before the step
 * and moves w and b, in place, against its gradient. */
typedef sn_tensor *StepFunction(sn_tensor *images, sn_tensor *labels, sn_tensor *w, sn_tensor *b,
                                double rate);

/* ---- the model ------------------------------------------------------------------------------- */

static sn_tensor *normalise(sn_tensor *images) {
    sn_tensor *x = sn_div(sn_cast(images, SN_F32), sn_c(255));
    return sn_div(sn_sub(x, sn_c(mean_pixel)), sn_c(deviation));
}

static sn_tensor *train_step(sn_tensor *images, sn_tensor *labels, sn_tensor *w, sn_tensor *b,
                             double rate) {
    sn_tensor *x = normalise(images);
    sn_tensor *logits = sn_add(sn_matmul(x, w), b);
    sn_tensor *wrong = sn_sub(sn_softmax(logits, 1), sn_one_hot(labels, CLASSES));
    sn_tensor *slope = sn_div(wrong, sn_ci(sn_size(images, 0)));
    sn_tensor *w_gradient = sn_matmul(sn_transpose(x, 0, 1), slope);
    sn_tensor *b_gradient = sn_sum(slope, SN_I(0), false);
    sn_sub_(w, sn_mul(w_gradient, sn_c(rate)));
    sn_sub_(b, sn_mul(b_gradient, sn_c(rate)));
    return sn_cross_entropy(logits, labels, SN_REDUCTION_MEAN);
}

/* Share of images whose class is the likeliest one. */
static double accuracy(const DataSet *data, const Run *run) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *logits = sn_add(sn_matmul(normalise(data->image_tensor), run->w), run->b);
    sn_tensor *right = sn_eq(sn_argmax(logits, SN_I(1), false), data->label_tensor);
    double share = sn_item(sn_mean(sn_cast(right, SN_F64), SN_I0, false));
    sn_scope_end(scope, NULL);
    return share;
}

/* ---- data ------------------------------------------------------------------------------------ */

static bool read_file(const char *name, int32_t rank, IdxArray *array) {
    char path[256], error[384];
    snprintf(path, sizeof path, "%s/%s.gz", DATA_FOLDER, name);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "demo: %s is missing: install the Debian package %s (tools/setup does)\n",
                path, DATA_PACKAGE);
        return false;
    }
    if (!idx_read(path, array, error, sizeof error)) {
        fprintf(stderr, "demo: %s; reinstall the Debian package %s\n", error, DATA_PACKAGE);
        return false;
    }
    if (array->rank == rank) return true;
    fprintf(stderr, "demo: %s has %d dimensions instead of %d\n", path, array->rank, rank);
    return false;
}

static bool read_data(const char *part, DataSet *data) {
    char name[64];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", part);
    if (!read_file(name, 3, &data->images)) return false;
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", part);
    if (!read_file(name, 1, &data->labels)) return false;
    int64_t count = data->images.dims[0];
    if (data->images.dims[1] * data->images.dims[2] != PIXELS || data->labels.dims[0] != count) {
        fprintf(stderr, "demo: the %s images are not 28 x 28, or the labels are not theirs\n",
                part);
        return false;
    }
    data->image_tensor = sn_from_borrow(data->images.data, data->images.count, SN_I(count, PIXELS),
                                        SN_U8, NULL, NULL);
    sn_tensor *labels =
        sn_from_borrow(data->labels.data, data->labels.count, SN_I(count), SN_U8, NULL, NULL);
    data->label_tensor = sn_cast(labels, SN_I64);
    printf("  %-5s %6lld images of 28 x 28\n", part, (long long)count);
    return data->image_tensor && data->label_tensor;
}

static void free_data(DataSet *data) {
    idx_free(&data->images);
    idx_free(&data->labels);
}

/* ---- training -------------------------------------------------------------------------------- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One step on a batch; returns its loss. */
static double run_step(StepFunction *step, const DataSet *data, int64_t batch, Run *run,
                       double rate) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *images = sn_narrow(data->image_tensor, 0, batch * BATCH, BATCH);
    sn_tensor *labels = sn_narrow(data->label_tensor, 0, batch * BATCH, BATCH);
    double loss = sn_item(step(images, labels, run->w, run->b, rate));
    sn_scope_end(scope, NULL);
    return loss;
}

/* Runs all batches once; returns the mean loss. */
static double run_epoch(StepFunction *step, const DataSet *data, int32_t epoch, Run *run) {
    int64_t batches = data->images.dims[0] / BATCH;
    double rate = epoch < EPOCHS / 2 ? first_rate : last_rate;
    double loss = 0, begin = seconds();
    for (int64_t batch = 0; batch < batches; batch++) {
        loss += run_step(step, data, batch, run, rate);
        if (epoch == 0 && batch == 0) run->first_call = seconds() - begin;
    }
    run->epoch[epoch] = seconds() - begin;
    return loss / (double)batches;
}

/* Alternates eager and compiled epochs, so that both meet the same machine. */
static bool train(StepFunction *fast, const DataSet *data, Run *eager, Run *compiled) {
    printf("\ntraining: %d epochs of %lld steps, %d images each, on %d threads\n", EPOCHS,
           (long long)(data->images.dims[0] / BATCH), BATCH, sn_threads());
    printf("  epoch     loss    eager s  compiled s\n");
    for (int32_t epoch = 0; epoch < EPOCHS; epoch++) {
        double loss = run_epoch(train_step, data, epoch, eager);
        double same = run_epoch(fast, data, epoch, compiled);
        if (sn_error_status() != SN_OK) return false;
        if ((epoch + 1) % EPOCHS_A_LINE && loss == same) continue;
        printf("  %5d %8.4f %10.3f %11.3f%s\n", epoch + 1, loss, eager->epoch[epoch],
               compiled->epoch[epoch], loss == same ? "" : "  (the losses differ)");
    }
    return true;
}

/* Launches of one step, as the library's own history lists them. The step is taken on copies. */
static void count_launches(StepFunction *step, const DataSet *data, Run *run) {
    static sn_launch_record records[MOST_LAUNCHES];
    sn_scope scope = sn_scope_begin();
    Run copy = {.w = sn_clone(run->w), .b = sn_clone(run->b)};
    sn_history_begin();
    run_step(step, data, 0, &copy, last_rate);
    int32_t count = sn_history_end(records, MOST_LAUNCHES);
    for (int32_t i = 0; i < count && i < MOST_LAUNCHES; i++) {
        run->kernels++;
        run->bytes += records[i].bytes;
    }
    sn_scope_end(scope, NULL);
}

/* ---- what is shown --------------------------------------------------------------------------- */

static bool same_bits(const Run *x, const Run *y) {
    static float left[(PIXELS + 1) * CLASSES], right[(PIXELS + 1) * CLASSES];
    const size_t w_bytes = PIXELS * CLASSES * sizeof(float), b_bytes = CLASSES * sizeof(float);
    return sn_read(x->w, SN_F32, left, w_bytes) && sn_read(y->w, SN_F32, right, w_bytes) &&
           sn_read(x->b, SN_F32, left + PIXELS * CLASSES, b_bytes) &&
           sn_read(y->b, SN_F32, right + PIXELS * CLASSES, b_bytes) &&
           memcmp(left, right, sizeof left) == 0;
}

static void show_text(const char *title, char *text, const sn_error *error) {
    printf("\n==== %s\n%s", title, text ? text : error->text);
    sn_text_free(text);
}

/* Kernels as text, cut behind the first one. */
static char *first_kernel(char *text) {
    char *second = text ? strstr(text + 1, "\n; kernel") : NULL;
    if (second) second[1] = '\0';
    return text;
}

static void show_stages(sn_compiled *step, bool all_kernels) {
    sn_error error = {.size = sizeof error};
    show_text("the step as recorded", sn_dump(step, "graph", &error), &error);
    show_text("the step after fusion", sn_dump(step, "fuse", &error), &error);
    show_text("guards and kernels", sn_explain_text(step), &error);
    char *kernels = sn_dump(step, "kernels", &error);
    if (all_kernels)
        show_text("all kernels", kernels, &error);
    else
        show_text("the first kernel (--kernels shows all)", first_kernel(kernels), &error);
}

static int by_value(const void *x, const void *y) {
    double left = *(const double *)x, right = *(const double *)y;
    return (left > right) - (left < right);
}

static double median_epoch(const Run *run) {
    double sorted[EPOCHS];
    memcpy(sorted, run->epoch, sizeof sorted);
    qsort(sorted, EPOCHS, sizeof sorted[0], by_value);
    return (sorted[(EPOCHS - 1) / 2] + sorted[EPOCHS / 2]) / 2;
}

static void show_run(const Run *run, double steps, double eager_epoch) {
    double epoch = median_epoch(run);
    printf("  %-9s %9.3f s %9.1f us %10.1f ms %8d %11.2f MB %7.2f x\n", run->name, epoch,
           1e6 * epoch / steps, 1e3 * run->first_call, run->kernels, 1e-6 * (double)run->bytes,
           eager_epoch / epoch);
}

static void show_table(const DataSet *data, const Run *eager, const Run *compiled) {
    double steps = (double)(data->images.dims[0] / BATCH);
    printf("\n==== eager against compiled, median of %d epochs\n", EPOCHS);
    printf("  %-9s %11s %12s %13s %8s %14s %9s\n", "", "epoch", "step", "first step", "kernels",
           "bytes a step", "speed-up");
    show_run(eager, steps, median_epoch(eager));
    show_run(compiled, steps, median_epoch(eager));
}

/* ---- the job --------------------------------------------------------------------------------- */

static void start_weights(Run *eager, Run *compiled) {
    sn_rng rng = {.seed = 1};
    eager->w = sn_mul(sn_randn(&rng, SN_I(PIXELS, CLASSES), SN_F32), sn_c(0.01));
    eager->b = sn_zeros(SN_I(CLASSES), SN_F32);
    compiled->w = sn_clone(eager->w);
    compiled->b = sn_clone(eager->b);
}

/* Trains both ways and shows the outcome. True when it is as it has to be. */
static bool run_job(sn_compiled *step, const DataSet *training, const DataSet *test,
                    bool all_kernels) {
    StepFunction *fast = SN_FN(step, train_step);
    Run eager = {.name = "eager"}, compiled = {.name = "compiled"};
    start_weights(&eager, &compiled);
    if (!fast || !train(fast, training, &eager, &compiled)) return false;

    bool same = same_bits(&eager, &compiled);
    double share = accuracy(test, &compiled);
    printf("\ntest accuracy %.4f\n", share);
    printf("weights after eager and compiled training: %s\n", same ? "the same bits" : "DIFFERENT");
    count_launches(train_step, training, &eager);
    count_launches(fast, training, &compiled);
    show_stages(step, all_kernels);
    show_table(training, &eager, &compiled);
    return same && share >= 0.83 && sn_error_status() == SN_OK;
}

int main(int argc, char **argv) {
    bool all_kernels = argc == 2 && strcmp(argv[1], "--kernels") == 0;
    if (argc > 1 && !all_kernels) {
        fprintf(stderr, "usage: fashion_mnist [--kernels]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    DataSet training = {0}, test = {0};
    sn_compiled *step = NULL;
    bool right = false;
    sn_scope scope = sn_scope_begin();
    printf("reading %s\n", DATA_FOLDER);
    if (read_data("train", &training) && read_data("t10k", &test)) {
        step = sn_compile(train_step, "ttttd:t", NULL);
        right = step && run_job(step, &training, &test, all_kernels);
    }
    if (sn_error_status() != SN_OK) fprintf(stderr, "demo: %s\n", sn_error_text());
    sn_compiled_release(step);
    sn_scope_end(scope, NULL);
    free_data(&training);
    free_data(&test);
    printf("\ndemo: %s\n", right ? "passed" : "FAILED");
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
