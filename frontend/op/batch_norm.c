/* sn_batch_norm_training: the statistics of the batch, a batch norm by them, and the running ones, which move
 * towards them. */
#include "frontend/op/dispatch.h"

#include "ir/op/dtype.h"
#include "ir/op/type.h"

#include <sinter/compose.h>

#undef sn_batch_norm_training

static const char own_name[] = "batch_norm_training";

/* A call, and what of x its statistics are made of. */
typedef struct BatchNorm {
    sn_tensor *x;              /* widened */
    int64_t axes[SN_MAX_RANK]; /* that channels are summed over */
    int32_t n_axes;            /* how many */
    int64_t elements;          /* of a channel */
    Site site;                 /* the program's line */
} BatchNorm;

static TypeText text_of(const sn_tensor *tensor) {
    TensorType type = tensor_type(tensor);
    return type_text(&type);
}

/* Running statistics have a number for each channel, or are absent. */
static bool check_running(const sn_tensor *running, const char *name, const sn_tensor *x,
                          Site site) {
    if (!tensor_check(running, own_name, name, site)) return false;
    if (running->kind == TENSOR_NONE) return true;
    if (running->rank != 1 || running->dims[0] != x->dims[1])
        return error_refuse(SN_ERROR_SHAPE, site,
                            "%s: %s must have a number for each channel: x is %s, %s is %s",
                            own_name, name, text_of(x).text, name, text_of(running).text);
    return dtype_is_float((sn_dtype)running->dtype) ||
           error_refuse(SN_ERROR_DTYPE, site, "%s: %s must be floating point: %s is %s", own_name,
                        name, name, text_of(running).text);
}

static bool read_batch(sn_tensor *x, BatchNorm *n) {
    if (!tensor_check_present(x, own_name, "x", n->site)) return false;
    if (x->rank < 2)
        return error_refuse(SN_ERROR_SHAPE, n->site, "%s: x must have at least 2 dims: x is %s",
                            own_name, text_of(x).text);
    n->elements = 1;
    for (int32_t i = 0; i < x->rank; i++) {
        if (i == 1) continue;
        n->axes[n->n_axes++] = i;
        n->elements *= x->dims[i];
    }
    return n->elements != 1 ||
           error_refuse(SN_ERROR_SHAPE, n->site, "%s: a channel has one element: x is %s", own_name,
                        text_of(x).text);
}

static sn_tensor *var_of(const BatchNorm *n, double correction) {
    return sn_var_at(n->x, n->axes, n->n_axes, false, correction, n->site.file, n->site.line);
}

/* Writes what lies between the running numbers and those of the batch. */
static bool move_running(sn_tensor *running, sn_tensor *batch, double momentum, Site site) {
    sn_tensor *weight = sn_c_at(momentum, site.file, site.line);
    sn_tensor *moved = sn_lerp_at(running, batch, weight, site.file, site.line);
    return sn_copy_at_(running, moved, site.file, site.line) != NULL;
}

static sn_tensor *normalise(BatchNorm *n, sn_tensor *const inputs[5], double momentum, double eps) {
    const char *file = n->site.file;
    int32_t line = n->site.line;
    n->x = inputs[0];
    if (n->x->dtype == SN_F16 || n->x->dtype == SN_BF16)
        n->x = sn_cast_at(n->x, SN_F32, file, line);
    sn_tensor *mean = sn_mean_at(n->x, n->axes, n->n_axes, false, file, line), *var = var_of(n, 0);
    sn_tensor *y = sn_batch_norm_at(inputs[0], mean, var, inputs[3], inputs[4], eps, file, line);
    if (!y || n->elements == 0) return y;
    if (inputs[1]->kind != TENSOR_NONE && !move_running(inputs[1], mean, momentum, n->site))
        return NULL;
    if (inputs[2]->kind != TENSOR_NONE && !move_running(inputs[2], var_of(n, 1), momentum, n->site))
        return NULL;
    return y;
}

/* What an op of it refuses, the program's call has. */
static sn_tensor *refuse_as_own(Site site) {
    static const char *const ops[] = {"mean", "batch_norm", "copy_"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) error_of_call(site, ops[i], own_name);
    return NULL;
}

sn_tensor *sn_batch_norm_training_at(sn_tensor *x, sn_tensor *running_mean, sn_tensor *running_var,
                                     sn_tensor *weight, sn_tensor *bias, double momentum,
                                     double eps, const char *file, int32_t line) {
    BatchNorm n = {.site = site_at(file, line)};
    if (error_pending(thread_state()) || !scope_check(n.site) || !read_batch(x, &n) ||
        !check_running(running_mean, "running_mean", x, n.site) ||
        !check_running(running_var, "running_var", x, n.site))
        return NULL;
    sn_tensor *const inputs[] = {x, running_mean, running_var, weight, bias};
    sn_scope scope = sn_scope_begin();
    sn_tensor *y = sn_scope_end(scope, normalise(&n, inputs, momentum, eps));
    return y ? y : refuse_as_own(n.site);
}

sn_tensor *sn_batch_norm_training(sn_tensor *x, sn_tensor *running_mean, sn_tensor *running_var,
                                  sn_tensor *weight, sn_tensor *bias, double momentum, double eps) {
    return sn_batch_norm_training_at(x, running_mean, running_var, weight, bias, momentum, eps,
                                     NULL, 0);
}
