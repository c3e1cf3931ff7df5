/* PyTorch operators that are no op here; see opinfo_compose.h. */
#include "opinfo_compose.h"

#include <math.h>
#include <string.h>

static bool is_floating(const sn_tensor *x) {
    return x && sn_dtype_of(x) >= SN_F16;
}

/* ---- element by element ---------------------------------------------------------------------- */

static bool positive(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, call_self(call));
}

static bool float_power(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_pow(sn_cast(call_self(call), SN_F64),
                                   sn_cast(call_tensor(call, 0, "exponent"), SN_F64)));
}

static bool ldexp_by(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *power = sn_pow(sn_c(2), call_tensor(call, 0, "other"));
    return call_gives(call, sn_mul(call_self(call), power));
}

/* fmax, fmin: NaN loses. */
static bool number_extreme(OpinfoCall *call, const OpinfoRow *row) {
    sn_tensor *x = call_self(call), *y = call_tensor(call, 0, "other");
    sn_tensor *both = sn_where(sn_isnan(y), x, row->with.binary(x, y));
    return call_gives(call, sn_where(sn_isnan(x), y, both));
}

static bool heaviside(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *y = call_tensor(call, 0, "values");
    sn_tensor *step = sn_cast(sn_gt(x, sn_ci(0)), x ? sn_dtype_of(x) : SN_F32);
    return call_gives(call, sn_where(sn_eq(x, sn_ci(0)), y, step));
}

/* |x - y| <= atol + rtol |y|; integers are compared as f32, but exactly without tolerances. */
static bool isclose(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *y = call_tensor(call, 0, "other");
    double rtol = call_float(call, 1, "rtol", 1e-5), atol = call_float(call, 2, "atol", 1e-8);
    sn_tensor *close = sn_eq(x, y);
    if (call_bool(call, 3, "equal_nan", false))
        close = sn_logical_or(close, sn_logical_and(sn_isnan(x), sn_isnan(y)));
    if (rtol == 0 && atol == 0) return call_gives(call, close);
    if (!is_floating(y)) y = sn_cast(y, SN_F32);
    sn_tensor *allowed = sn_add(sn_abs(sn_mul(y, sn_c(rtol))), sn_c(atol));
    sn_tensor *distance = sn_abs(sn_sub(x && !is_floating(x) ? sn_cast(x, SN_F32) : x, y));
    sn_tensor *near = sn_logical_and(sn_isfinite(distance), sn_le(distance, allowed));
    return call_gives(call, sn_logical_or(close, near));
}

static bool is_this_infinity(OpinfoCall *call, const OpinfoRow *row) {
    return call_gives(call, sn_eq(call_self(call), sn_c(row->with.number)));
}

static bool threshold(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    sn_tensor *low = sn_le(x, call_tensor(call, 0, "threshold"));
    sn_tensor *value = sn_cast(call_tensor(call, 1, "value"), x ? sn_dtype_of(x) : SN_F32);
    return call_gives(call, sn_where(low, value, x));
}

static bool tanhshrink(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_sub(call_self(call), sn_tanh(call_self(call))));
}

static bool softshrink(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *l = sn_c(call_float(call, 0, "lambd", 0.5));
    sn_tensor *low = sn_where(sn_lt(x, sn_neg(l)), sn_add(x, l), sn_c(0));
    return call_gives(call, sn_where(sn_gt(x, l), sn_sub(x, l), low));
}

static bool hardshrink(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *l = sn_c(call_float(call, 0, "lambd", 0.5));
    sn_tensor *inside = sn_logical_and(sn_ge(x, sn_neg(l)), sn_le(x, l));
    return call_gives(call, sn_where(inside, sn_c(0), x));
}

static bool celu(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *alpha = sn_c(call_float(call, 0, "alpha", 1));
    sn_tensor *low = sn_mul(alpha, sn_expm1(sn_div(x, alpha)));
    return call_gives(call, sn_where(sn_gt(x, sn_ci(0)), x, low));
}

static bool selu(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call, sn_mul(sn_elu(call_self(call), 1.6732632423543772848170429916717),
                                   sn_c(1.0507009873554804934193349852946)));
}

static bool logit(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    double eps = call_float(call, 0, "eps", -1);
    if (x && !is_floating(x)) x = sn_cast(x, SN_F32);
    if (eps >= 0) x = sn_clamp(x, sn_c(eps), sn_c(1 - eps));
    return call_gives(call, sn_log(sn_div(x, sn_sub(sn_c(1), x))));
}

static bool sinc(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *turned = sn_mul(x, sn_c(3.14159265358979323846));
    sn_tensor *value = sn_div(sn_sin(turned), turned);
    return call_gives(call, sn_where(sn_eq(x, sn_ci(0)), sn_c(1), value));
}

/* The weight is a number or one for each channel, which axis 1 counts. */
static bool prelu(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *weight = call_tensor(call, 0, "weight");
    int64_t dims[SN_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
    int32_t rank = sn_rank(x);
    if (rank > 1) dims[1] = sn_count(weight);
    if (rank > 0) weight = sn_reshape(weight, dims, sn_count(weight) > 1 && rank == 1 ? 1 : rank);
    return call_gives(call, sn_where(sn_gt(x, sn_ci(0)), x, sn_mul(weight, x)));
}

static bool addcdiv(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *ratio = sn_div(call_tensor(call, 0, "tensor1"), call_tensor(call, 1, "tensor2"));
    return call_gives(
        call, sn_add(call_self(call), sn_mul(ratio, sn_c(call_float(call, 2, "value", 1)))));
}

static bool glu(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *half[2];
    int64_t axis = call_int(call, 0, "dim", -1), size = sn_size(x, (int32_t)axis) / 2;
    sn_split(x, (const int64_t[]){size, size}, 2, axis, half);
    return call_gives(call, sn_mul(half[0], sn_sigmoid(half[1])));
}

static bool round_decimals(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t decimals = call_int(call, OPINFO_NOWHERE, "decimals", 0);
    sn_tensor *scale = sn_c(pow(10, fabs((double)decimals))), *x = call_self(call);
    if (decimals < 0) return call_gives(call, sn_mul(sn_round(sn_div(x, scale)), scale));
    return call_gives(call, sn_div(sn_round(sn_mul(x, scale)), scale));
}

static bool nan_to_num(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    static const double largest[SN_DTYPE_COUNT] = {[SN_F16] = 65504,
                                                   [SN_BF16] = 0x1.fep127,
                                                   [SN_F32] = 0x1.fffffep127,
                                                   [SN_F64] = 0x1.fffffffffffffp1023};
    sn_tensor *x = call_self(call);
    if (!is_floating(x)) return call_gives(call, x);
    double most = largest[sn_dtype_of(x)];
    sn_tensor *finite = sn_clamp(x, sn_c(-most), sn_c(most));
    return call_gives(call, sn_where(sn_isnan(x), sn_c(0), finite));
}

/* A loss, reduced as asked. */
static bool give_loss(OpinfoCall *call, sn_tensor *loss) {
    const char *how = call_text(call, OPINFO_NOWHERE, "reduction", "mean");
    if (strcmp(how, "none") == 0) return call_gives(call, loss);
    if (strcmp(how, "sum") != 0 && strcmp(how, "mean") != 0)
        return opinfo_refuse(call, SN_ERROR_ARGUMENT, "no such reduction");
    return call_gives(call, strcmp(how, "sum") == 0 ? sn_sum(loss, SN_I0, false)
                                                    : sn_mean(loss, SN_I0, false));
}

static bool difference_loss(OpinfoCall *call, const OpinfoRow *row) {
    return give_loss(call,
                     row->with.unary(sn_sub(call_self(call), call_tensor(call, 0, "target"))));
}

/* ---- reductions ------------------------------------------------------------------------------ */

/* Axes of "dim", all of them without it; returns how many. */
static int32_t axes_of(OpinfoCall *call, int64_t *axes) {
    return call_ints(call, call_arg(call, 0, "dim"), axes);
}

static bool count_nonzero(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t axes[OPINFO_MOST_TENSORS];
    int32_t count = axes_of(call, axes);
    return call_gives(call, sn_sum(sn_ne(call_self(call), sn_ci(0)), axes, count, false));
}

/* nansum, and with a divisor nanmean. */
static bool nan_sum(OpinfoCall *call, const OpinfoRow *row) {
    int64_t axes[OPINFO_MOST_TENSORS];
    int32_t count = axes_of(call, axes);
    bool keepdim = call_bool(call, 1, "keepdim", false), mean = row->with.number != 0;
    sn_tensor *x = call_self(call), *missing = sn_isnan(x);
    sn_dtype dtype = x ? sn_dtype_of(x) : SN_F32;
    sn_tensor *sum = sn_sum(sn_where(missing, sn_cast(sn_ci(0), dtype), x), axes, count, keepdim);
    if (!mean) return call_gives(call, sum);
    sn_tensor *numbers = sn_sum(sn_logical_not(missing), axes, count, keepdim);
    return call_gives(call, sn_div(sum, numbers));
}

/* The p-norm in f32 or f64, rounded at its end. */
static bool vector_norm(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t axes[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, call_arg(call, 1, "dim"), axes);
    bool keepdim = call_bool(call, 2, "keepdim", false);
    double p = call_float(call, 0, "ord", 2);
    sn_tensor *x = call_self(call);
    sn_dtype dtype = x ? sn_dtype_of(x) : SN_F32;
    sn_tensor *size = sn_abs(dtype < SN_F32 ? sn_cast(x, SN_F32) : x);
    sn_tensor *norm;
    if (isinf(p))
        norm = p > 0 ? sn_max(size, axes, count, keepdim) : sn_min(size, axes, count, keepdim);
    else if (p == 0)
        norm = sn_cast(sn_sum(sn_ne(size, sn_ci(0)), axes, count, keepdim), dtype);
    else
        norm = sn_pow(sn_sum(sn_pow(size, sn_c(p)), axes, count, keepdim), sn_c(1 / p));
    return call_gives(call, sn_cast(norm, dtype));
}

/* How many of the sorted numbers lie before each value. */
static sn_tensor *count_before(OpinfoCall *call, sn_tensor *sorted, sn_tensor *value) {
    bool right = call_bool(call, OPINFO_NOWHERE, "right", false) ||
                 strcmp(call_text(call, OPINFO_NOWHERE, "side", "left"), "right") == 0;
    sn_tensor *row = sn_rank(sorted) > 1 ? sn_unsqueeze(sorted, -2) : sorted;
    sn_tensor *column = sn_unsqueeze(value, -1);
    sn_tensor *before = right ? sn_le(row, column) : sn_lt(row, column);
    sn_tensor *count = sn_sum(before, (const int64_t[]){-1}, 1, false);
    bool narrow = call_bool(call, OPINFO_NOWHERE, "out_int32", false);
    return narrow ? sn_cast(count, SN_I32) : count;
}

static bool searchsorted(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *sorted = call_self(call);
    const cJSON *order = call_arg(call, OPINFO_NOWHERE, "sorter");
    if (order) sorted = sn_gather(sorted, -1, call_operand(call, order));
    return call_gives(call, count_before(call, sorted, call_tensor(call, 0, "values")));
}

static bool bucketize(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    return call_gives(call,
                      count_before(call, call_tensor(call, 0, "boundaries"), call_self(call)));
}

/* ---- moving ---------------------------------------------------------------------------------- */

/* x repeated along an axis. */
static sn_tensor *repeat_axis(sn_tensor *x, int32_t axis, int64_t times) {
    int64_t dims[SN_MAX_RANK + 1], whole[SN_MAX_RANK];
    int32_t rank = sn_shape(x, whole, NULL);
    if (times == 1 || !x) return x;
    for (int32_t i = 0; i < rank; i++) dims[i + (i >= axis)] = whole[i];
    dims[axis] = times;
    whole[axis] *= times;
    return sn_reshape(sn_expand(sn_unsqueeze(x, axis), dims, rank + 1), whole, rank);
}

static bool repeat(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t times[OPINFO_MOST_TENSORS];
    int32_t count = call_ints(call, call_arg(call, 0, "repeats"), times);
    sn_tensor *x = call_self(call);
    while (sn_rank(x) < count && x) x = sn_unsqueeze(x, 0);
    int32_t first = sn_rank(x) - count;
    for (int32_t i = 0; i < count; i++) x = repeat_axis(x, first + i, times[i]);
    return call_gives(call, x ? sn_contiguous(x) : NULL);
}

static bool rot90(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t turns = ((call_int(call, 0, "k", 1) % 4) + 4) % 4, axes[OPINFO_MOST_TENSORS] = {0, 1};
    int32_t n_axes = call_ints(call, call_arg(call, 1, "dims"), axes);
    sn_tensor *x = call_self(call);
    if (n_axes && n_axes != 2) return opinfo_refuse(call, SN_ERROR_ARGUMENT, "rot90: not two axes");
    if (turns == 0) return call_gives(call, sn_clone(x));
    if (turns == 2) return call_gives(call, sn_clone(sn_flip(x, axes, 2)));
    if (turns == 1)
        return call_gives(call, sn_transpose(sn_flip(x, axes + 1, 1), axes[0], axes[1]));
    return call_gives(call, sn_transpose(sn_flip(x, axes, 1), axes[0], axes[1]));
}

static sn_tensor *roll_axis(sn_tensor *x, int64_t axis, int64_t by) {
    int64_t size = sn_size(x, (int32_t)axis);
    if (size == 0) return x;
    by = ((by % size) + size) % size;
    sn_tensor *parts[] = {sn_narrow(x, axis, size - by, by), sn_narrow(x, axis, 0, size - by)};
    return sn_cat(parts, 2, axis);
}

static bool roll(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t shifts[OPINFO_MOST_TENSORS], axes[OPINFO_MOST_TENSORS], dims[SN_MAX_RANK];
    int32_t count = call_ints(call, call_arg(call, 0, "shifts"), shifts);
    int32_t n_axes = call_ints(call, call_arg(call, 1, "dims"), axes);
    sn_tensor *x = call_self(call);
    int32_t rank = sn_shape(x, dims, NULL);
    if (n_axes && n_axes != count)
        return opinfo_refuse(call, SN_ERROR_ARGUMENT, "roll: lists differ in length");
    if (n_axes == 0)
        return call_gives(call,
                          sn_reshape(roll_axis(sn_reshape(x, SN_I(-1)), 0, shifts[0]), dims, rank));
    for (int32_t i = 0; i < count; i++) x = rank ? roll_axis(x, axes[i], shifts[i]) : x;
    return call_gives(call, x);
}

static bool take(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = sn_reshape(call_self(call), SN_I(-1)), *at = call_tensor(call, 0, "index");
    int64_t dims[SN_MAX_RANK];
    int32_t rank = sn_shape(at, dims, NULL);
    sn_tensor *count = sn_ci(sn_count(x));
    at = sn_reshape(sn_where(sn_lt(at, sn_ci(0)), sn_add(at, count), at), SN_I(-1));
    return call_gives(call, sn_reshape(sn_index_select(x, 0, at), dims, rank));
}

static bool take_along_dim(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *at = call_tensor(call, 0, "indices");
    int64_t axis = call_int(call, 1, "dim", 0), from[SN_MAX_RANK], to[SN_MAX_RANK];
    if (!call_arg(call, 1, "dim")) {
        x = sn_reshape(x, SN_I(-1));
        at = sn_reshape(at, SN_I(-1));
    }
    int32_t rank = sn_shape(x, from, NULL);
    sn_shape(at, to, NULL);
    if (axis < 0) axis += rank;
    for (int32_t i = 0; i < rank; i++) {
        if (i == axis) continue;
        if (from[i] == 1) from[i] = to[i];
        to[i] = from[i];
    }
    return call_gives(call, sn_gather(sn_expand(x, from, rank), axis, sn_expand(at, to, rank)));
}

static bool index_add(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *at = call_tensor(call, 1, "index");
    sn_tensor *source = call_tensor(call, 2, "source");
    int64_t axis = call_int(call, 0, "dim", 0), dims[SN_MAX_RANK], line[SN_MAX_RANK];
    int32_t rank = sn_shape(source, dims, NULL);
    const cJSON *alpha = call_arg(call, OPINFO_NOWHERE, "alpha");
    if (alpha && x) source = sn_cast(sn_mul(source, call_operand(call, alpha)), sn_dtype_of(x));
    for (int32_t i = 0; i < rank; i++) line[i] = i == axis ? dims[i] : 1;
    at = sn_expand(sn_reshape(at, line, rank), dims, rank);
    return call_gives(call, sn_scatter_add(x, axis, at, source));
}

static bool index_fill(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call), *at = call_tensor(call, 1, "index");
    int64_t axis = call_int(call, 0, "dim", 0), dims[SN_MAX_RANK];
    int32_t rank = sn_shape(x, dims, NULL);
    if (rank > 0) dims[axis] = sn_count(at);
    sn_tensor *value =
        sn_full(dims, rank, call_float(call, 2, "value", 0), x ? sn_dtype_of(x) : SN_F32);
    return call_gives(call, sn_index_copy(x, axis, at, value));
}

/* Writes through a view of a copy. */
static bool write_view(OpinfoCall *call, sn_tensor *copy, sn_tensor *view, sn_tensor *source) {
    return call_gives(call, sn_copy_(view, source) ? copy : NULL);
}

static bool diagonal_scatter(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *copy = sn_clone(call_self(call));
    sn_tensor *view = sn_diagonal(copy, call_int(call, 1, "offset", 0),
                                  call_int(call, 2, "dim1", 0), call_int(call, 3, "dim2", 1));
    return write_view(call, copy, view, call_tensor(call, 0, "src"));
}

static bool select_scatter(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *copy = sn_clone(call_self(call));
    sn_tensor *view = sn_select(copy, call_int(call, 1, "dim", 0), call_int(call, 2, "index", 0));
    return write_view(call, copy, view, call_tensor(call, 0, "src"));
}

/* The last axis as a diagonal between two new axes. */
static bool diag_embed(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x = call_self(call);
    int64_t offset = call_int(call, 0, "offset", 0), axis0 = call_int(call, 1, "dim1", -2);
    int64_t axis1 = call_int(call, 2, "dim2", -1), own[SN_MAX_RANK], dims[SN_MAX_RANK + 1];
    int32_t rank = sn_shape(x, own, NULL) + 1, next = 0;
    if (axis0 < 0) axis0 += rank;
    if (axis1 < 0) axis1 += rank;
    if (axis0 < 0 || axis0 >= rank || axis1 < 0 || axis1 >= rank || axis0 == axis1)
        return opinfo_refuse(call, SN_ERROR_INDEX,
                             "diag_embed: the axes must be two of the result");
    int64_t side = own[rank - 2] + (offset < 0 ? -offset : offset);
    for (int32_t i = 0; i < rank; i++) dims[i] = i == axis0 || i == axis1 ? side : own[next++];
    sn_tensor *zeros = sn_zeros(dims, rank, x ? sn_dtype_of(x) : SN_F32);
    return write_view(call, zeros, sn_diagonal(zeros, offset, axis0, axis1), x);
}

static bool diag(OpinfoCall *call, const OpinfoRow *row) {
    sn_tensor *x = call_self(call);
    if (sn_rank(x) != 2) return diag_embed(call, row);
    return call_gives(call, sn_clone(sn_diagonal(x, call_int(call, 0, "diagonal", 0), 0, 1)));
}

static bool eye(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t rows = (int64_t)call_number(call, call->recorded->input);
    int64_t columns = call_int(call, 0, "m", rows), most = rows > columns ? rows : columns;
    sn_tensor *ones = sn_one_hot(sn_arange(0, (double)rows, 1, SN_I64), most > 0 ? most : 1);
    return call_gives(call, sn_cast(sn_narrow(ones, 1, 0, columns),
                                    call_dtype(call, OPINFO_NOWHERE, "dtype", SN_F32)));
}

static bool meshgrid(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    sn_tensor *x[OPINFO_MOST_TENSORS];
    int64_t dims[SN_MAX_RANK], line[SN_MAX_RANK];
    int32_t count = 0;
    if (cJSON_IsArray(call->recorded->input)) count = call_list(call, call->recorded->input, x);
    if (count == 0) x[count++] = call_self(call);
    if (!cJSON_IsArray(call->recorded->input))
        count += call_list(call, call->recorded->args, x + count);
    bool exchanged =
        count > 1 && strcmp(call_text(call, OPINFO_NOWHERE, "indexing", "ij"), "xy") == 0;
    for (int32_t i = 0; i < count; i++) dims[i] = sn_count(x[i]);
    for (int32_t i = 0; i < count; i++) {
        for (int32_t a = 0; a < count; a++) line[a] = a == i ? dims[i] : 1;
        sn_tensor *grid = sn_expand(sn_reshape(x[i], line, count), dims, count);
        call_gives(call, exchanged ? sn_transpose(grid, 0, 1) : grid);
    }
    return true;
}

/* Two integers from one or two. */
static void pair_of(OpinfoCall *call, int position, const char *name, int64_t fallback,
                    int64_t pair[2]) {
    pair[0] = fallback;
    if (call_ints(call, call_arg(call, position, name), pair) < 2) pair[1] = pair[0];
}

/* Windows of images as columns: slices of the padded image, one for each place in the window. */
static bool unfold(OpinfoCall *call, const OpinfoRow *row) {
    (void)row;
    int64_t kernel[OPINFO_MOST_TENSORS], dilation[OPINFO_MOST_TENSORS], pad[OPINFO_MOST_TENSORS];
    int64_t stride[OPINFO_MOST_TENSORS], out[2];
    pair_of(call, 0, "kernel_size", 1, kernel);
    pair_of(call, 1, "dilation", 1, dilation);
    pair_of(call, 2, "padding", 0, pad);
    pair_of(call, 3, "stride", 1, stride);
    sn_tensor *x = sn_pad(call_self(call), SN_I(pad[1], pad[1], pad[0], pad[0]), 0);
    sn_tensor *parts[OPINFO_MOST_TENSORS];
    int32_t count = 0;
    for (int i = 0; i < 2; i++)
        out[i] = (sn_size(x, 2 + i) - dilation[i] * (kernel[i] - 1) - 1) / stride[i] + 1;
    for (int64_t i = 0; i < kernel[0] * kernel[1] && count < OPINFO_MOST_TENSORS; i++) {
        int64_t top = i / kernel[1] * dilation[0], left = i % kernel[1] * dilation[1];
        parts[count++] = sn_index(
            x, SN_IX(SN_ALL, SN_ALL, SN_STEP(top, top + (out[0] - 1) * stride[0] + 1, stride[0]),
                     SN_STEP(left, left + (out[1] - 1) * stride[1] + 1, stride[1])));
    }
    sn_tensor *stacked = sn_stack(parts, count, 2);
    return call_gives(
        call, sn_reshape(stacked, SN_I(sn_size(x, 0), sn_size(x, 1) * count, out[0] * out[1])));
}

/* pixel_shuffle and its inverse: an axis of channels in exchange for finer rows and columns. */
static bool pixel_shuffle(OpinfoCall *call, const OpinfoRow *row) {
    bool back = row->with.number != 0;
    int64_t r = call_int(call, 0, back ? "downscale_factor" : "upscale_factor", 1);
    sn_tensor *x = call_self(call);
    int64_t dims[SN_MAX_RANK], fine = back ? 1 : r;
    int32_t rank = sn_shape(x, dims, NULL), axis = rank - 3;
    int64_t channels = dims[axis], height = dims[axis + 1], width = dims[axis + 2], images = 1;
    for (int32_t i = 0; i < axis; i++) images *= dims[i];
    if (back) {
        x = sn_reshape(x, SN_I(images, channels, height / r, r, width / r, r));
        x = sn_permute(x, SN_I(0, 1, 3, 5, 2, 4));
        dims[axis] = channels * r * r, dims[axis + 1] = height / r, dims[axis + 2] = width / r;
    } else {
        x = sn_reshape(x, SN_I(images, channels / (r * r), r, r, height, width));
        x = sn_permute(x, SN_I(0, 1, 4, 2, 5, 3));
        dims[axis] = channels / (r * r), dims[axis + 1] = height * fine, dims[axis + 2] = width * r;
    }
    return call_gives(call, sn_reshape(x, dims, rank));
}

/* What stands at place i, behind an edge, of the `size` elements from `first` on. */
static int64_t seen_at(int64_t i, int64_t first, int64_t size, const char *mode) {
    if (strcmp(mode, "circular") == 0) return first + (((i - first) % size) + size) % size;
    if (strcmp(mode, "replicate") == 0) return i < 0 ? 0 : i >= size ? size - 1 : i;
    return i < 0 ? -i : i >= size ? 2 * size - 2 - i : i;
}

static bool pad_from_inside(OpinfoCall *call, const OpinfoRow *row) {
    int64_t pads[OPINFO_MOST_TENSORS], at[256];
    int32_t count = call_ints(call, call_arg(call, 0, "pad"), pads);
    sn_tensor *x = call_self(call);
    bool circular = strcmp(row->variant, "circular") == 0;
    for (int32_t i = 0; i + 1 < count; i += 2) {
        int32_t axis = sn_rank(x) - 1 - i / 2;
        int64_t size = sn_size(x, axis), length = 0, first = pads[i] < 0 ? -pads[i] : 0;
        int64_t kept = size - first + (pads[i + 1] < 0 ? pads[i + 1] : 0);
        for (int64_t to = -pads[i]; to < size + pads[i + 1] && length < 256; to++)
            at[length++] = seen_at(to, first, circular ? kept : size, row->variant);
        sn_tensor *index = sn_from_copy(at, (size_t)length * sizeof *at, &length, 1, SN_I64);
        x = sn_index_select(x, axis, index);
    }
    return call_gives(call, x);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const OpinfoRow rows[] = {
    FORM("positive", positive),
    FORM("float_power", float_power),
    FORM("ldexp", ldexp_by),
    {"fmax", NULL, number_extreme, {.binary = sn_maximum}},
    {"fmin", NULL, number_extreme, {.binary = sn_minimum}},
    FORM("heaviside", heaviside),
    FORM("isclose", isclose),
    {"isneginf", NULL, is_this_infinity, {.number = -INFINITY}},
    {"isposinf", NULL, is_this_infinity, {.number = INFINITY}},
    FORM("nn.functional.threshold", threshold),
    FORM("nn.functional.tanhshrink", tanhshrink),
    FORM("nn.functional.softshrink", softshrink),
    FORM("nn.functional.hardshrink", hardshrink),
    FORM("nn.functional.celu", celu),
    FORM("nn.functional.selu", selu),
    FORM("logit", logit),
    FORM("sinc", sinc),
    FORM("nn.functional.prelu", prelu),
    FORM("addcdiv", addcdiv),
    FORM("nn.functional.glu", glu),
    {"round", "decimals_3", round_decimals, {.unary = NULL}},
    {"round", "decimals_neg_3", round_decimals, {.unary = NULL}},
    FORM("nan_to_num", nan_to_num),
    {"nn.functional.mse_loss", NULL, difference_loss, {.unary = sn_square}},
    {"nn.functional.l1_loss", NULL, difference_loss, {.unary = sn_abs}},

    FORM("count_nonzero", count_nonzero),
    {"nansum", NULL, nan_sum, {.number = 0}},
    {"nanmean", NULL, nan_sum, {.number = 1}},
    FORM("linalg.vector_norm", vector_norm),
    FORM("searchsorted", searchsorted),
    FORM("bucketize", bucketize),

    FORM("tile", repeat),
    FORM("repeat", repeat),
    FORM("rot90", rot90),
    FORM("roll", roll),
    FORM("take", take),
    FORM("take_along_dim", take_along_dim),
    FORM("index_add", index_add),
    FORM("index_fill", index_fill),
    FORM("diagonal_scatter", diagonal_scatter),
    FORM("select_scatter", select_scatter),
    FORM("diag_embed", diag_embed),
    FORM("diag", diag),
    FORM("eye", eye),
    FORM("meshgrid", meshgrid),
    FORM("nn.functional.unfold", unfold),
    {"nn.functional.pixel_shuffle", NULL, pixel_shuffle, {.number = 0}},
    {"nn.functional.pixel_unshuffle", NULL, pixel_shuffle, {.number = 1}},
    {"nn.functional.pad", "circular", pad_from_inside, {.unary = NULL}},
    {"nn.functional.pad", "reflect", pad_from_inside, {.unary = NULL}},
    {"nn.functional.pad", "replicate", pad_from_inside, {.unary = NULL}},
};

const OpinfoTable opinfo_compose = {rows, sizeof rows / sizeof *rows};
