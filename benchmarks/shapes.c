/* One product or one convolution by Sinter, compiled, measured on request: `shapes THREADS` serves the
 * lines of shape_lines.h. Weights are the same at each call, so that they are packed by the third;
 * channels lie last in x and in the result. */
#include "shape_lines.h"

#include <sinter/sinter.h>

#include <stdio.h>
#include <stdlib.h>

static bool load(const Shape *shape, const Operands *operands, char how[64]);
static bool call(void);
static bool result(const Shape *shape, const Operands *operands);
static void unload(void);
static ShapeLibrary library = {.load = load, .call = call, .result = result, .unload = unload};

/* ---- what is computed ------------------------------------------------------------------------ */

/* Of which shape; it stays the same as long as a function is compiled for it. */
static Shape shape_now;

static sn_tensor *product(sn_tensor *x, sn_tensor *w, sn_tensor *bias) {
    sn_tensor *y = sn_matmul(x, shape_now.turned ? sn_transpose(w, 0, 1) : w);
    if (shape_now.bias) y = sn_add(y, bias);
    return shape_now.relu ? sn_relu(y) : y;
}

static sn_tensor *convolution(sn_tensor *x, sn_tensor *w, sn_tensor *bias) {
    const Shape *s = &shape_now;
    sn_tensor *y = sn_conv2d(sn_permute(x, SN_I(0, 3, 1, 2)), w, s->bias ? bias : SN_NONE,
                             s->stride, 2, s->padding, 2, SN_I0, s->groups);
    return sn_contiguous(sn_permute(s->relu ? sn_relu(y) : y, SN_I(0, 2, 3, 1)));
}

/* ---- the server's side ----------------------------------------------------------------------- */

typedef sn_tensor *Function(sn_tensor *, sn_tensor *, sn_tensor *);

static sn_compiled *compiled;   /* of shape_now */
static Function *function;      /* its entry */
static sn_tensor *x, *w, *bias; /* retained operands */

static bool failed(void) {
    sn_error error = {.size = sizeof error};
    if (sn_error_status() == SN_OK) return false;
    sn_error_take(&error);
    snprintf(library.error, sizeof library.error, "%.250s", error.text);
    return true;
}

static sn_tensor *held(const float *values, int64_t count, const int64_t *dims, int32_t rank) {
    sn_tensor *made = sn_from_copy(values, (size_t)count * sizeof *values, dims, rank, SN_F32);
    return made ? sn_retain(made) : NULL;
}

static void make_operands(const Shape *s, const Operands *o) {
    int64_t x_count = shape_x_count(s), w_count = shape_w_count(s), channels = shape_channels(s);
    bias = held(o->bias, channels, SN_I(channels));
    if (s->kind == SHAPE_GEMM) {
        int64_t rows = s->turned ? s->columns : s->inner;
        x = held(o->x, x_count, SN_I(s->rows, s->inner));
        w = held(o->w, w_count, SN_I(rows, w_count / rows));
    } else {
        int64_t in = s->channels / s->groups;
        x = held(o->x, x_count, SN_I(s->batch, s->height, s->width, s->channels));
        w = held(o->w, w_count, SN_I(s->out, in, s->taps[0], s->taps[1]));
    }
}

static bool load(const Shape *s, const Operands *operands, char how[64]) {
    enum { WARM_CALLS = 4 }; /* compiles, checks, packs, runs */
    sn_explanation explanation = {.size = sizeof explanation};
    shape_now = *s;
    sn_scope scope = sn_scope_begin();
    make_operands(s, operands);
    sn_scope_end(scope, NULL);
    compiled = sn_compile(s->kind == SHAPE_GEMM ? product : convolution, "ttt:t", NULL);
    function = compiled ? SN_FN(compiled, product) : NULL;
    if (failed()) return false;
    for (int i = 0; i < WARM_CALLS; i++)
        if (!call()) return false;
    sn_explain(compiled, &explanation);
    snprintf(how, 64, "%lld kernels", (long long)explanation.kernels);
    return !failed();
}

static bool call(void) {
    sn_scope scope = sn_scope_begin();
    bool ok = function(x, w, bias) != NULL;
    sn_scope_end(scope, NULL);
    return ok || !failed();
}

static bool result(const Shape *s, const Operands *operands) {
    sn_scope scope = sn_scope_begin();
    sn_read(function(x, w, bias), SN_F32, operands->y, (size_t)shape_y_count(s) * sizeof(float));
    sn_scope_end(scope, NULL);
    return !failed();
}

static void unload(void) {
    sn_tensor **held[] = {&x, &w, &bias};
    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++) {
        if (*held[i]) sn_release(*held[i]);
        *held[i] = NULL;
    }
    sn_compiled_release(compiled);
    compiled = NULL;
}

int main(int argc, char **argv) {
    int threads = argc == 2 ? atoi(argv[1]) : 0;
    if (threads < 1) {
        fputs("usage: shapes THREADS\n", stderr);
        return 2;
    }
    sn_set_threads(threads);
    snprintf(library.version, sizeof library.version, "sinter %s", sn_version_text());
    return shape_serve(&library);
}
