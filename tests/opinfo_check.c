/* Comparison of results; see opinfo_check.h. */
#include "opinfo_check.h"

#include "ir/op/dtype.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PyTorch's tolerances by dtype; integers and bool have none. */
static const OpinfoTolerance by_dtype[SN_DTYPE_COUNT] = {
    [SN_F16] = {NULL, SN_F16, 1e-3, 1e-5, NULL},
    [SN_BF16] = {NULL, SN_BF16, 1.6e-2, 1e-5, NULL},
    [SN_F32] = {NULL, SN_F32, 1.3e-6, 1e-5, NULL},
    [SN_F64] = {NULL, SN_F64, 1e-7, 1e-7, NULL},
};

/* Operators that need looser ones. */
static const char bf16_sums[] = "PyTorch 1.13 adds products up in bf16 on the CPU, we in f32";
static const char bf16_steps[] = "PyTorch 1.13 rounds each step to bf16, we the result";
static const OpinfoTolerance by_op[] = {
    {"addmv", SN_BF16, 1.6e-2, 0.5, bf16_sums},
    {"addbmm", SN_BF16, 1.6e-2, 2, bf16_sums},
    {"baddbmm", SN_BF16, 1.6e-2, 1, bf16_sums},
    {"bmm", SN_BF16, 1.6e-2, 1.5, bf16_sums},
    {"matmul", SN_BF16, 1.6e-2, 1, bf16_sums},
    {"mm", SN_BF16, 1.6e-2, 1, bf16_sums},
    {"nn.functional._scaled_dot_product_attention", SN_BF16, 1.6e-2, 1, bf16_sums},
    {"einsum", SN_BF16, 1.6e-2, 0.5, bf16_sums},
    {"tensordot", SN_BF16, 1.6e-2, 0.5, bf16_sums},
    {"nn.functional.bilinear", SN_BF16, 1.6e-2, 0.5, bf16_steps},
    {"nn.functional.batch_norm", SN_BF16, 1.6e-2, 2e-2, bf16_steps},
    {"log_softmax", SN_BF16, 1.6e-2, 5e-2, bf16_steps},
    {"native_layer_norm", SN_BF16, 1.6e-2, 6e-2, bf16_steps},
    {"nn.functional.layer_norm", SN_BF16, 1.6e-2, 6e-2, bf16_steps},
    {"nn.functional.layer_norm", SN_F32, 1.3e-6, 2e-4,
     "PyTorch forms x * a + b, where x * a cancels b"},
    {"nn.functional.group_norm", SN_BF16, 1.6e-2, 6e-2, bf16_steps},
    {"nn.functional.instance_norm", SN_BF16, 1.6e-2, 6e-2, bf16_steps},
    {"nn.functional.conv_transpose3d", SN_F32, 1.3e-6, 1e-4, "sums of products in another order"},
    {"nn.functional.gelu", SN_BF16, 6e-2, 3e-3, bf16_steps},
    {"addcdiv", SN_BF16, 3e-2, 1e-5, "written as three ops, each of which rounds to bf16"},
    {"linalg.vector_norm", SN_F16, 2e-3, 1e-5, "PyTorch 1.13 rounds the powers to f16"},
    {"lerp", SN_BF16, 1.6e-2, 5e-3, "a number as weight is a bf16 here, an f32 there"},
};

static OpinfoTolerance tolerance(const char *op, sn_dtype dtype) {
    for (size_t i = 0; i < sizeof by_op / sizeof *by_op; i++)
        if (by_op[i].dtype == dtype && strcmp(by_op[i].op, op) == 0) return by_op[i];
    return by_dtype[dtype];
}

bool opinfo_result_read(OpinfoResult *result, sn_tensor *tensor, char *message) {
    *result = (OpinfoResult){.data = NULL};
    if (!tensor) return false;
    result->dtype = sn_dtype_of(tensor);
    result->rank = sn_shape(tensor, result->dims, result->strides);
    result->count = sn_count(tensor);
    size_t bytes = (size_t)result->count * sn_dtype_size(result->dtype);
    result->data = malloc(bytes ? bytes : 1);
    if (result->data && sn_read(tensor, result->dtype, result->data, bytes)) return true;
    snprintf(message, OPINFO_TEXT, "cannot be read: %s", sn_error_text());
    return false;
}

void opinfo_result_free(OpinfoResult *result) {
    free(result->data);
    *result = (OpinfoResult){.data = NULL};
}

static int shape_text(char *text, size_t n, const OpinfoResult *result) {
    int at = snprintf(text, n, "%s[", sn_dtype_name(result->dtype));
    for (int32_t i = 0; i < result->rank && (size_t)at < n; i++)
        at += snprintf(text + at, n - (size_t)at, i ? ",%lld" : "%lld", (long long)result->dims[i]);
    return at + snprintf(text + at, n - (size_t)at, "]");
}

static bool same_shape(const OpinfoResult *a, const OpinfoResult *b, char *message) {
    if (a->dtype == b->dtype && a->rank == b->rank &&
        memcmp(a->dims, b->dims, sizeof(int64_t) * (size_t)a->rank) == 0)
        return true;
    char left[128], right[128];
    shape_text(left, sizeof left, a);
    shape_text(right, sizeof right, b);
    snprintf(message, OPINFO_TEXT, "is %s, expected %s", left, right);
    return false;
}

static uint64_t element(const OpinfoResult *result, int64_t i) {
    return dtype_load(result->dtype,
                      (const char *)result->data + (size_t)i * sn_dtype_size(result->dtype));
}

static bool close_enough(double ours, double theirs, const OpinfoTolerance *allowed) {
    if (ours == theirs || (isnan(ours) && isnan(theirs))) return true;
    return fabs(ours - theirs) <= allowed->atol + allowed->rtol * fabs(theirs) && isfinite(ours);
}

bool opinfo_agrees(const OpinfoResult *ours, const OpinfoResult *theirs,
                   const OpinfoResult *defined, const char *op, char *message) {
    if (!same_shape(ours, theirs, message)) return false;
    OpinfoTolerance allowed = tolerance(op, ours->dtype);
    bool exact = !dtype_is_float(ours->dtype);
    int64_t wrong = 0, first = 0;
    for (int64_t i = 0; i < ours->count; i++) {
        uint64_t x = element(ours, i), y = element(theirs, i);
        if (defined && !element(defined, i)) continue;
        if (exact ? x == y
                  : close_enough(dtype_bits_to_double(ours->dtype, x),
                                 dtype_bits_to_double(ours->dtype, y), &allowed))
            continue;
        if (wrong++ == 0) first = i;
    }
    if (wrong == 0) return true;
    char shape[128];
    shape_text(shape, sizeof shape, ours);
    snprintf(message, OPINFO_TEXT,
             "%lld of %lld elements of %s are wrong: element %lld is %.9g, "
             "expected %.9g",
             (long long)wrong, (long long)ours->count, shape, (long long)first,
             dtype_bits_to_double(ours->dtype, element(ours, first)),
             dtype_bits_to_double(ours->dtype, element(theirs, first)));
    return false;
}

bool opinfo_identical(const OpinfoResult *a, const OpinfoResult *b, char *message) {
    if (!same_shape(a, b, message)) return false;
    for (int32_t i = 0; i < a->rank; i++) {
        if (a->strides[i] == b->strides[i]) continue;
        snprintf(message, OPINFO_TEXT, "has stride %lld along axis %d, eager's is %lld",
                 (long long)a->strides[i], (int)i, (long long)b->strides[i]);
        return false;
    }
    for (int64_t i = 0; i < a->count; i++) {
        uint64_t x = element(a, i), y = element(b, i);
        if (x == y) continue;
        double left = dtype_bits_to_double(a->dtype, x), right = dtype_bits_to_double(a->dtype, y);
        if (dtype_is_float(a->dtype) && isnan(left) && isnan(right)) continue;
        snprintf(message, OPINFO_TEXT,
                 "differs from eager: element %lld is %.17g (bits %llx), "
                 "eager's %.17g (%llx)",
                 (long long)i, left, (unsigned long long)x, right, (unsigned long long)y);
        return false;
    }
    return true;
}
