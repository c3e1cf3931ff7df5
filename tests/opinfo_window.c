/* Convolutions, pools and batch norm; see opinfo_row.h. Lists of the recorded calls are handed on as they
 * are, empty or with one number for all axes. What PyTorch has and the ops have not (padding by name,
 * averages of integers) is written around them. */
#include "opinfo_window.h"

#include <math.h>
#include <string.h>

enum { MOST_AXES = 3 };

/* Numbers by axis, as recorded. */
typedef struct List {
    int64_t numbers[OPINFO_MOST_TENSORS]; /* one for each axis, or one for all */
    int32_t count;                        /* 0: the operator's own */
} List;

static List read_list(OpinfoCall *call, int position, const char *name) {
    List list = {.count = 0};
    list.count = call_ints(call, call_arg(call, position, name), list.numbers);
    return list;
}

static int64_t number_of(const List *list, int32_t axis, int64_t absent) {
    if (list->count == 0) return absent;
    return list->numbers[list->count == 1 ? 0 : axis];
}

/* Axes of windows, which the operator's name tells: max_pool2d has two. */
static int32_t axes_of(const OpinfoRow *row) {
    return row->op[strlen(row->op) - 2] - '0';
}

/* A tensor that may be absent. */
static sn_tensor *optional(OpinfoCall *call, int position, const char *name) {
    const cJSON *node = call_arg(call, position, name);
    return node ? call_operand(call, node) : SN_NONE;
}

/* ---- convolutions ---------------------------------------------------------------------------- */

/* Padding that leaves the sizes as they are. Of an odd number the larger half is behind x, and the
 * op pads both sides alike: x gets that element beforehand. */
static sn_tensor *pad_to_same(sn_tensor *x, sn_tensor *weight, const List *dilation, int32_t axes,
                              List *padding) {
    int64_t behind[2 * MOST_AXES] = {0};
    bool odd = false;
    padding->count = axes;
    for (int32_t i = 0; i < axes; i++) {
        int64_t all = number_of(dilation, i, 1) * (sn_size(weight, 2 + i) - 1);
        padding->numbers[i] = all / 2;
        behind[2 * (axes - 1 - i) + 1] = all % 2;
        odd = odd || all % 2;
    }
    return odd ? sn_pad(x, behind, 2 * axes, 0) : x;
}

static bool conv(OpinfoCall *call, const OpinfoRow *row) {
    sn_tensor *x = call_self(call), *weight = call_tensor(call, 0, "weight");
    List stride = read_list(call, 2, "stride"), dilation = read_list(call, 4, "dilation");
    List padding = {.count = 0}; /* "valid" */
    const char *name = call_text(call, 3, "padding", NULL);
    if (!name) padding = read_list(call, 3, "padding");
    if (name && strcmp(name, "same") == 0)
        x = pad_to_same(x, weight, &dilation, axes_of(row), &padding);
    return call_gives(call,
                      row->with.conv(x, weight, optional(call, 1, "bias"), stride.numbers,
                                     stride.count, padding.numbers, padding.count, dilation.numbers,
                                     dilation.count, call_int(call, 5, "groups", 1)));
}

static bool conv_transpose(OpinfoCall *call, const OpinfoRow *row) {
    List stride = read_list(call, 2, "stride"), padding = read_list(call, 3, "padding");
    List more = read_list(call, 4, "output_padding"), dilation = read_list(call, 6, "dilation");
    return call_gives(call, row->with.conv_transpose(
                                call_self(call), call_tensor(call, 0, "weight"),
                                optional(call, 1, "bias"), stride.numbers, stride.count,
                                padding.numbers, padding.count, more.numbers, more.count,
                                call_int(call, 5, "groups", 1), dilation.numbers, dilation.count));
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* A recorded pool. */
typedef struct Pool {
    int32_t axes;           /* of windows, the last ones of x */
    List kernel, stride;    /* elements of a window, and between two; no stride = kernel */
    List padding, dilation; /* before and after x; between elements of a window */
} Pool;

static Pool read_pool(OpinfoCall *call, const OpinfoRow *row) {
    return (Pool){.axes = axes_of(row),
                  .kernel = read_list(call, 0, "kernel_size"),
                  .stride = read_list(call, 1, "stride"),
                  .padding = read_list(call, 2, "padding")};
}

/* The op that tells where the largest of a window is. */
static OpinfoMaxPool *places_of(int32_t axes) {
    return axes == 1   ? sn_max_pool1d_indices
           : axes == 2 ? sn_max_pool2d_indices
                       : sn_max_pool3d_indices;
}

static sn_tensor *call_max_pool(OpinfoCall *call, const Pool *p, OpinfoMaxPool *op) {
    return op(call_self(call), p->kernel.numbers, p->kernel.count, p->stride.numbers,
              p->stride.count, p->padding.numbers, p->padding.count, p->dilation.numbers,
              p->dilation.count, call_bool(call, 4, "ceil_mode", false));
}

static bool max_pool(OpinfoCall *call, const OpinfoRow *row) {
    Pool p = read_pool(call, row);
    p.dilation = read_list(call, 3, "dilation");
    sn_tensor *values = call_max_pool(call, &p, row->with.max_pool);
    if (!call_bool(call, 5, "return_indices", false)) return call_gives(call, values);
    return call_gives_two(call, values, call_max_pool(call, &p, places_of(p.axes)));
}

/* Of integers in f64: quotients of sums below 2^53 are right there, and PyTorch cuts off what is
 * behind the point. */
static bool avg_pool(OpinfoCall *call, const OpinfoRow *row) {
    Pool p = read_pool(call, row);
    int64_t divisor = call_int(call, 5, "divisor_override", 0);
    if (call_arg(call, 5, "divisor_override") && divisor == 0)
        return opinfo_refuse(call, SN_ERROR_ARGUMENT, "avg_pool: the divisor is 0");
    sn_tensor *x = call_self(call);
    bool whole = x && sn_dtype_of(x) < SN_F16;
    if (whole) x = sn_cast(x, SN_F64);
    sn_tensor *y = row->with.avg_pool(x, p.kernel.numbers, p.kernel.count, p.stride.numbers,
                                      p.stride.count, p.padding.numbers, p.padding.count,
                                      call_bool(call, 3, "ceil_mode", false),
                                      call_bool(call, 4, "count_include_pad", true), divisor);
    return call_gives(call, whole ? sn_cast(y, sn_dtype_of(call_self(call))) : y);
}

/* ---- batch norm ------------------------------------------------------------------------------ */

/* In training the running statistics of a copy move: they are no result. */
static bool batch_norm(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *mean = optional(call, 0, "running_mean");
    sn_tensor *var = optional(call, 1, "running_var");
    sn_tensor *weight = optional(call, 2, "weight"), *bias = optional(call, 3, "bias");
    double eps = call_float(call, 6, "eps", 1e-5);
    if (x && sn_rank(x) < 2)
        return call_skip(call, "no such op: batch_norm of a vector, which PyTorch takes if empty");
    if (!call_bool(call, 4, "training", false))
        return call_gives(call, sn_batch_norm(x, mean, var, weight, bias, eps));
    if (mean != SN_NONE) mean = sn_clone(mean);
    if (var != SN_NONE) var = sn_clone(var);
    return call_gives(call, sn_batch_norm_training(x, mean, var, weight, bias,
                                                   call_float(call, 5, "momentum", 0.1), eps));
}

/* ---- norms of groups, of neighbours ----------------------------------------------------------- */

static bool group_norm(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_group_norm(call_self(call), call_int(call, 0, "num_groups", 1),
                                          optional(call, 1, "weight"), optional(call, 2, "bias"),
                                          call_float(call, 3, "eps", 1e-5)));
}

/* Without the statistics of the input it is a batch norm of the running ones. */
static bool instance_norm(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *weight = optional(call, 2, "weight"), *bias = optional(call, 3, "bias");
    double eps = call_float(call, 6, "eps", 1e-5);
    if (call_bool(call, 4, "use_input_stats", true))
        return call_gives(call, sn_instance_norm(call_self(call), weight, bias, eps));
    return call_gives(call, sn_batch_norm(call_self(call), call_tensor(call, 0, "running_mean"),
                                          call_tensor(call, 1, "running_var"), weight, bias, eps));
}

/* Of integers PyTorch cuts off what is behind the point of means. */
static bool local_response_norm(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    double alpha = call_float(call, 1, "alpha", 1e-4), beta = call_float(call, 2, "beta", 0.75);
    if (x && sn_dtype_of(x) < SN_F16)
        return call_skip(call, "no such op: local_response_norm of integers");
    return call_gives(call, sn_local_response_norm(x, call_int(call, 0, "size", 1), alpha, beta,
                                                   call_float(call, 3, "k", 1)));
}

/* ---- adaptive pools, unfold ------------------------------------------------------------------- */

/* null keeps a size. */
static bool adaptive_pool(OpinfoCall *call, const OpinfoRow *row) {
    int64_t sizes[MOST_AXES] = {0};
    const cJSON *node = call_arg(call, 0, "output_size"), *size;
    int32_t count = 0;
    if (cJSON_IsNumber(node)) sizes[count++] = (int64_t)node->valuedouble;
    cJSON_ArrayForEach(size, node) {
        if (count < MOST_AXES)
            sizes[count++] = cJSON_IsNull(size) ? -1 : (int64_t)size->valuedouble;
    }
    sn_tensor *values = row->with.adaptive(call_self(call), sizes, count);
    if (!call_bool(call, 1, "return_indices", false)) return call_gives(call, values);
    return call_gives_two(call, values,
                          sn_adaptive_max_pool2d_indices(call_self(call), sizes, count));
}

static bool unfold(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    List kernel = read_list(call, 0, "kernel_size"), dilation = read_list(call, 1, "dilation");
    List padding = read_list(call, 2, "padding"), stride = read_list(call, 3, "stride");
    return call_gives(call, sn_unfold(call_self(call), kernel.numbers, kernel.count,
                                      dilation.numbers, dilation.count, padding.numbers,
                                      padding.count, stride.numbers, stride.count));
}

/* ---- the table ------------------------------------------------------------------------------- */

static const OpinfoRow rows[] = {
    {"nn.functional.conv_transpose1d",
     NULL,
     conv_transpose,
     {.conv_transpose = sn_conv_transpose1d}},
    {"nn.functional.conv_transpose2d",
     NULL,
     conv_transpose,
     {.conv_transpose = sn_conv_transpose2d}},
    {"nn.functional.conv_transpose3d",
     NULL,
     conv_transpose,
     {.conv_transpose = sn_conv_transpose3d}},
    {"nn.functional.conv1d", NULL, conv, {.conv = sn_conv1d}},
    {"nn.functional.conv2d", NULL, conv, {.conv = sn_conv2d}},
    {"nn.functional.max_pool1d", NULL, max_pool, {.max_pool = sn_max_pool1d}},
    {"nn.functional.max_pool2d", NULL, max_pool, {.max_pool = sn_max_pool2d}},
    {"nn.functional.max_pool3d", NULL, max_pool, {.max_pool = sn_max_pool3d}},
    {"nn.functional.avg_pool1d", NULL, avg_pool, {.avg_pool = sn_avg_pool1d}},
    {"nn.functional.avg_pool2d", NULL, avg_pool, {.avg_pool = sn_avg_pool2d}},
    {"nn.functional.avg_pool3d", NULL, avg_pool, {.avg_pool = sn_avg_pool3d}},
    FORM("nn.functional.batch_norm", batch_norm),
    FORM("nn.functional.group_norm", group_norm),
    FORM("nn.functional.instance_norm", instance_norm),
    FORM("nn.functional.local_response_norm", local_response_norm),
    FORM("nn.functional.unfold", unfold),
    {"nn.functional.adaptive_avg_pool1d",
     NULL,
     adaptive_pool,
     {.adaptive = sn_adaptive_avg_pool1d}},
    {"nn.functional.adaptive_avg_pool2d",
     NULL,
     adaptive_pool,
     {.adaptive = sn_adaptive_avg_pool2d}},
    {"nn.functional.adaptive_max_pool2d",
     NULL,
     adaptive_pool,
     {.adaptive = sn_adaptive_max_pool2d}},
};

const OpinfoTable opinfo_window = {rows, sizeof rows / sizeof *rows};
