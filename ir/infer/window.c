/* Shapes of convolutions and pools; see window.h. */
#include "ir/infer/window.h"

#include "ir/infer/rule.h"

enum { MOST_NUMBER = INT32_MAX }; /* of stride, padding, dilation, kernel */

/* ORDER: the ops of 1, 2 and 3 axes follow one another. */
#define IN_ORDER(op) _Static_assert(op##2D == op##1D + 1 && op##3D == op##1D + 2, "ORDER of " #op)
IN_ORDER(OP_CONV);
IN_ORDER(OP_CONV_TRANSPOSE);
IN_ORDER(OP_MAX_POOL);
IN_ORDER(OP_AVG_POOL);
_Static_assert(OP_MAX_POOL2D_INDICES == OP_MAX_POOL1D_INDICES + 1 &&
                   OP_MAX_POOL3D_INDICES == OP_MAX_POOL1D_INDICES + 2,
               "ORDER of max_pool_indices");
IN_ORDER(OP_ADAPTIVE_AVG_POOL);
IN_ORDER(OP_ADAPTIVE_MAX_POOL);
_Static_assert(OP_ADAPTIVE_MAX_POOL2D_INDICES == OP_ADAPTIVE_MAX_POOL1D_INDICES + 1 &&
                   OP_ADAPTIVE_MAX_POOL3D_INDICES == OP_ADAPTIVE_MAX_POOL1D_INDICES + 2,
               "ORDER of adaptive_max_pool_indices");

int32_t window_axes(OpCode op) {
    static const OpCode first[] = {OP_CONV1D,
                                   OP_CONV_TRANSPOSE1D,
                                   OP_MAX_POOL1D,
                                   OP_AVG_POOL1D,
                                   OP_MAX_POOL1D_INDICES,
                                   OP_ADAPTIVE_AVG_POOL1D,
                                   OP_ADAPTIVE_MAX_POOL1D,
                                   OP_ADAPTIVE_MAX_POOL1D_INDICES};
    if (op == OP_UNFOLD || op == OP_FOLD) return 2;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (op >= first[i] && op < first[i] + WINDOW_MOST_AXES) return (int32_t)(op - first[i]) + 1;
    return 0;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* One number for each axis: of a list that has them, or one for all; an empty list means `absent` for each,
 * or, where that is NULL, is refused. */
static sn_status normalise(Infer *call, AttrName name, const char *text, int32_t axes,
                           int64_t least, const int64_t *absent) {
    int32_t count;
    const int64_t *list = infer_list(call, name, &count);
    int64_t values[WINDOW_MOST_AXES];
    if (count != axes && count != 1 && (count != 0 || !absent))
        return infer_refuse(call, SN_ERROR_SHAPE, "%s has %d numbers for %d axes", text, (int)count,
                            (int)axes);
    for (int32_t i = 0; i < axes; i++) {
        values[i] = count ? list[count == 1 ? 0 : i] : absent[i];
        if (values[i] < least || values[i] > MOST_NUMBER)
            return infer_refuse(call, SN_ERROR_ARGUMENT, "%s is %lld", text, (long long)values[i]);
    }
    return infer_set_list(call, name, values, axes);
}

static const int64_t ones[WINDOW_MOST_AXES] = {1, 1, 1}, zeros[WINDOW_MOST_AXES] = {0, 0, 0};

/* Does the op have the attribute? Else the number is that for all axes. */
static int64_t number_of(AttrView attrs, AttrName name, int32_t axis, int64_t absent) {
    int32_t count;
    if (!op_has_attr(attrs.op, name)) return absent;
    return attr_list(attrs, name, &count)[axis];
}

/* ---- windows --------------------------------------------------------------------------------- */

/* Windows of a padded axis; with `ceil` those, too, that begin within it, or the padding before it, and reach
 * beyond its end. */
static Dim count_windows(DimTable *table, const WindowAxis *a, bool ceil) {
    Dim padded = dim_add(table, a->size, dim_of(2 * a->padding));
    if (!ceil) return windows_count(table, padded, a->length, a->step, a->dilation);
    padded = dim_add(table, padded, dim_of(a->step - 1));
    Dim count = windows_count(table, padded, a->length, a->step, a->dilation);
    Dim last = dim_mul(table, dim_sub(table, count, dim_of(1)), dim_of(a->step));
    bool begins = dim_less(table, last, dim_add(table, a->size, dim_of(a->padding)));
    return begins ? count : dim_sub(table, count, dim_of(1));
}

/* Elements behind the axis up to the end of the last window. */
static Dim reach_behind(DimTable *table, const WindowAxis *a) {
    Dim last = dim_mul(table, dim_sub(table, a->count, dim_of(1)), dim_of(a->step));
    Dim within = dim_mul(table, dim_sub(table, a->length, dim_of(1)), dim_of(a->dilation));
    Dim end = dim_add(table, dim_add(table, last, within), dim_of(1 - a->padding));
    return dim_larger(table, dim_sub(table, end, a->size), dim_of(0));
}

void windows_of(DimTable *table, AttrView attrs, const TensorType *x, const TensorType *weight,
                Windows *windows) {
    int32_t axes = window_axes(attrs.op), count;
    bool ceil = op_has_attr(attrs.op, ATTR_CEIL) && attr_bool(attrs, ATTR_CEIL);
    *windows = (Windows){.axes = axes};
    for (int32_t i = 0; i < axes; i++) {
        WindowAxis *a = &windows->axis[i];
        a->size = op_has_attr(attrs.op, ATTR_SIZES) ? attr_dims(attrs, ATTR_SIZES, &count)[i]
                                                    : x->dims[x->rank - axes + i];
        a->length = weight ? weight->dims[2 + i] : dim_of(attr_list(attrs, ATTR_KERNEL, &count)[i]);
        a->step = attr_list(attrs, ATTR_STRIDE, &count)[i];
        a->padding = attr_list(attrs, ATTR_PADDING, &count)[i];
        a->dilation = number_of(attrs, ATTR_DILATION, i, 1);
        a->count = count_windows(table, a, ceil);
        a->behind = a->padding || ceil ? reach_behind(table, a) : dim_of(0);
        windows->padded = windows->padded || a->padding || !dim_is(a->behind, 0);
    }
}

/* Is there a window? */
static sn_status check_windows(const Infer *call, const Windows *windows) {
    for (int32_t i = 0; i < windows->axes; i++) {
        const WindowAxis *a = &windows->axis[i];
        if (!infer_is_number(call, a->size) || !infer_is_number(call, a->length)) continue;
        int64_t reach;
        bool large = a->length.word < 1 ||
                     __builtin_mul_overflow(a->length.word - 1, a->dilation, &reach) ||
                     reach >= a->size.word + 2 * a->padding;
        if (large)
            return infer_refuse_types(call, SN_ERROR_SHAPE,
                                      "the kernel does not fit the padded axis %d of x",
                                      (int)(infer_input(call, 0)->rank - windows->axes + i));
    }
    return SN_OK;
}

/* x has channels in front of the axes, and may have samples in front of those. */
static sn_status check_rank(const Infer *call, int32_t axes) {
    int32_t rank = infer_input(call, 0)->rank;
    if (rank == axes + 1 || rank == axes + 2) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have %d or %d dims", (int)axes + 1,
                              (int)axes + 2);
}

/* x's dims with `channels` and the numbers of windows. */
static sn_status set_result(Infer *call, Dim channels) {
    const TensorType *x = infer_input(call, 0);
    Windows windows;
    bool conv = op_has_attr(call->op, ATTR_GROUPS);
    windows_of(call->table, infer_attrs(call), x, conv ? infer_input(call, 1) : NULL, &windows);
    INFER_TRY(check_windows(call, &windows));
    INFER_TRY(infer_set_same(call));
    int32_t first = x->rank - windows.axes;
    call->result->dims[first - 1] = channels;
    for (int32_t i = 0; i < windows.axes; i++)
        call->result->dims[first + i] = windows.axis[i].count;
    return SN_OK;
}

/* The attribute groups. */
static sn_status read_groups(const Infer *call, int64_t *groups) {
    *groups = attr_int(infer_attrs(call), ATTR_GROUPS);
    if (*groups >= 1 && *groups <= MOST_NUMBER) return SN_OK;
    return infer_refuse(call, SN_ERROR_ARGUMENT, "groups is %lld", (long long)*groups);
}

/* Do the elements make so many groups? */
static bool makes_groups(DimTable *table, Dim size, int64_t groups) {
    Dim each = dim_quotient(table, size, dim_of(groups));
    return dim_equal(table, dim_mul(table, each, dim_of(groups)), size);
}

/* ---- convolutions ---------------------------------------------------------------------------- */

static sn_status check_channels(const Infer *call, Dim channels) {
    const TensorType *weight = infer_input(call, 1), *bias = infer_input(call, 2);
    int64_t groups;
    INFER_TRY(read_groups(call, &groups));
    Dim taken = dim_mul(call->table, weight->dims[1], dim_of(groups));
    if (!dim_equal(call->table, taken, channels))
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "weight is for other channels than x has in %lld groups",
                                  (long long)groups);
    if (!makes_groups(call->table, weight->dims[0], groups))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "weight's rows are not for %lld groups",
                                  (long long)groups);
    bool fits = type_absent(bias) ||
                (bias->rank == 1 && dim_equal(call->table, bias->dims[0], weight->dims[0]));
    if (fits) return SN_OK;
    return infer_refuse_types(call, SN_ERROR_SHAPE,
                              "bias must have a number for each row of weight");
}

/* Ranks, and the numbers that a convolution and a transposed one have. */
static sn_status read_conv(Infer *call, int32_t axes) {
    INFER_TRY(check_rank(call, axes));
    if (infer_input(call, 1)->rank != axes + 2)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "weight must have %d dims", (int)axes + 2);
    INFER_TRY(normalise(call, ATTR_STRIDE, "stride", axes, 1, ones));
    INFER_TRY(normalise(call, ATTR_PADDING, "padding", axes, 0, zeros));
    return normalise(call, ATTR_DILATION, "dilation", axes, 1, ones);
}

sn_status shape_conv(Infer *call) {
    const TensorType *x = infer_input(call, 0), *weight = infer_input(call, 1);
    int32_t axes = window_axes(call->op);
    INFER_TRY(read_conv(call, axes));
    INFER_TRY(check_channels(call, x->dims[x->rank - axes - 1]));
    return set_result(call, weight->dims[0]);
}

/* Places that the elements of an axis reach. */
static Dim count_places(DimTable *table, AttrView attrs, int32_t axis, Dim size, Dim taps) {
    int32_t count;
    int64_t stride = attr_list(attrs, ATTR_STRIDE, &count)[axis];
    int64_t padding = attr_list(attrs, ATTR_PADDING, &count)[axis];
    int64_t more = attr_list(attrs, ATTR_OUT_PADDING, &count)[axis];
    int64_t dilation = attr_list(attrs, ATTR_DILATION, &count)[axis];
    Dim first = dim_mul(table, dim_sub(table, size, dim_of(1)), dim_of(stride));
    Dim reach = dim_mul(table, dim_sub(table, taps, dim_of(1)), dim_of(dilation));
    return dim_add(table, dim_add(table, first, reach), dim_of(more + 1 - 2 * padding));
}

/* Places more at the end than elements reach must be fewer than those between two. */
static sn_status check_out_padding(const Infer *call, int32_t axes) {
    int32_t count;
    AttrView attrs = infer_attrs(call);
    for (int32_t i = 0; i < axes; i++) {
        int64_t more = attr_list(attrs, ATTR_OUT_PADDING, &count)[i];
        int64_t stride = attr_list(attrs, ATTR_STRIDE, &count)[i];
        int64_t dilation = attr_list(attrs, ATTR_DILATION, &count)[i];
        if (more >= stride && more >= dilation)
            return infer_refuse(call, SN_ERROR_ARGUMENT,
                                "out_padding is %lld, not below stride or dilation",
                                (long long)more);
    }
    return SN_OK;
}

sn_status shape_conv_transpose(Infer *call) {
    const TensorType *x = infer_input(call, 0), *weight = infer_input(call, 1);
    const TensorType *bias = infer_input(call, 2);
    int32_t axes = window_axes(call->op);
    INFER_TRY(read_conv(call, axes));
    INFER_TRY(normalise(call, ATTR_OUT_PADDING, "out_padding", axes, 0, zeros));
    INFER_TRY(check_out_padding(call, axes));
    int64_t groups;
    INFER_TRY(read_groups(call, &groups));
    Dim out = dim_mul(call->table, weight->dims[1], dim_of(groups));
    if (!dim_equal(call->table, weight->dims[0], x->dims[x->rank - axes - 1]) ||
        !makes_groups(call->table, weight->dims[0], groups))
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "weight is for other channels than x has in %lld groups",
                                  (long long)groups);
    if (!type_absent(bias) && !(bias->rank == 1 && dim_equal(call->table, bias->dims[0], out)))
        return infer_refuse_types(call, SN_ERROR_SHAPE, "bias must have a number for each channel");
    INFER_TRY(infer_set_same(call));
    int32_t first = x->rank - axes;
    call->result->dims[first - 1] = out;
    for (int32_t i = 0; i < axes; i++) {
        Dim places = count_places(call->table, infer_attrs(call), i, x->dims[first + i],
                                  weight->dims[2 + i]);
        bool none = (infer_is_number(call, places) && places.word < 1) ||
                    dim_is(weight->dims[2 + i], 0) || dim_is(x->dims[first + i], 0);
        if (none)
            return infer_refuse_types(call, SN_ERROR_SHAPE, "axis %d of the result has no places",
                                      (int)(first + i));
        call->result->dims[first + i] = places;
    }
    return SN_OK;
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* A window of padding alone has no elements. */
static sn_status check_padding(const Infer *call, int32_t axes) {
    int32_t count;
    AttrView attrs = infer_attrs(call);
    for (int32_t i = 0; i < axes; i++) {
        int64_t padding = attr_list(attrs, ATTR_PADDING, &count)[i];
        int64_t kernel = attr_list(attrs, ATTR_KERNEL, &count)[i];
        if (padding > kernel / 2)
            return infer_refuse(call, SN_ERROR_ARGUMENT,
                                "padding is %lld, more than half of the kernel's %lld",
                                (long long)padding, (long long)kernel);
    }
    return SN_OK;
}

static sn_status shape_pool(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t axes = window_axes(call->op), count;
    INFER_TRY(check_rank(call, axes));
    INFER_TRY(normalise(call, ATTR_KERNEL, "kernel", axes, 1, NULL));
    INFER_TRY(
        normalise(call, ATTR_STRIDE, "stride", axes, 1, infer_list(call, ATTR_KERNEL, &count)));
    INFER_TRY(normalise(call, ATTR_PADDING, "padding", axes, 0, zeros));
    if (op_has_attr(call->op, ATTR_DILATION))
        INFER_TRY(normalise(call, ATTR_DILATION, "dilation", axes, 1, ones));
    INFER_TRY(check_padding(call, axes));
    return set_result(call, x->dims[x->rank - axes - 1]);
}

sn_status shape_max_pool(Infer *call) {
    return shape_pool(call);
}

sn_status shape_avg_pool(Infer *call) {
    return shape_pool(call);
}

/* ---- adaptive pools -------------------------------------------------------------------------- */

sn_status shape_adaptive_pool(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    int32_t axes = window_axes(call->op), count;
    INFER_TRY(check_rank(call, axes));
    const Dim *given = infer_dims(call, ATTR_SIZES, &count);
    Dim sizes[WINDOW_MOST_AXES];
    if (count != axes && count != 1)
        return infer_refuse(call, SN_ERROR_SHAPE, "sizes has %d numbers for %d axes", (int)count,
                            (int)axes);
    for (int32_t i = 0; i < axes; i++) sizes[i] = given[count == 1 ? 0 : i];
    INFER_TRY(infer_set_same(call));
    for (int32_t i = 0; i < axes; i++) {
        Dim size = x->dims[x->rank - axes + i];
        if (dim_is(sizes[i], -1)) sizes[i] = size;
        if (dim_equal(call->table, size, dim_of(0)))
            return infer_refuse_types(call, SN_ERROR_SHAPE, "axis %d has no elements",
                                      (int)(x->rank - axes + i));
        call->result->dims[x->rank - axes + i] = sizes[i];
    }
    INFER_TRY(infer_check_dims(call, sizes, axes));
    return infer_set_list(call, ATTR_SIZES, words_of_dims(sizes), axes);
}

/* ---- unfold, fold ---------------------------------------------------------------------------- */

/* Numbers of the windows of both. */
static sn_status normalise_fold(Infer *call) {
    INFER_TRY(normalise(call, ATTR_KERNEL, "kernel", 2, 1, NULL));
    INFER_TRY(normalise(call, ATTR_DILATION, "dilation", 2, 1, ones));
    INFER_TRY(normalise(call, ATTR_PADDING, "padding", 2, 0, zeros));
    return normalise(call, ATTR_STRIDE, "stride", 2, 1, ones);
}

/* Windows of a plane, and elements of one. */
static void count_plane(DimTable *table, const Windows *w, Dim *count, Dim *taps) {
    *count = dim_mul(table, w->axis[0].count, w->axis[1].count);
    *taps = dim_mul(table, w->axis[0].length, w->axis[1].length);
}

sn_status shape_unfold(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    Windows windows;
    Dim count, taps, dims[SN_MAX_RANK];
    INFER_TRY(check_rank(call, 2));
    INFER_TRY(normalise_fold(call));
    windows_of(call->table, infer_attrs(call), x, NULL, &windows);
    INFER_TRY(check_windows(call, &windows));
    count_plane(call->table, &windows, &count, &taps);
    dims[0] = x->dims[0];
    dims[x->rank - 3] = dim_mul(call->table, x->dims[x->rank - 3], taps);
    dims[x->rank - 2] = count;
    return infer_set_dims(call, dims, x->rank - 1);
}

sn_status shape_fold(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    Windows windows;
    Dim count, taps, dims[SN_MAX_RANK];
    int32_t n_sizes;
    if (x->rank != 2 && x->rank != 3)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have 2 or 3 dims");
    Dim *sizes = infer_dims(call, ATTR_SIZES, &n_sizes);
    if (n_sizes != 2)
        return infer_refuse(call, SN_ERROR_SHAPE, "sizes has %d numbers for 2 axes", (int)n_sizes);
    INFER_TRY(infer_check_dims(call, sizes, 2));
    INFER_TRY(normalise_fold(call));
    windows_of(call->table, infer_attrs(call), x, NULL, &windows);
    INFER_TRY(check_windows(call, &windows));
    count_plane(call->table, &windows, &count, &taps);
    Dim channels = dim_quotient(call->table, x->dims[x->rank - 2], taps);
    if (!dim_equal(call->table, dim_mul(call->table, channels, taps), x->dims[x->rank - 2]) ||
        !dim_equal(call->table, count, x->dims[x->rank - 1]))
        return infer_refuse_types(
            call, SN_ERROR_SHAPE, "x is not of %lld windows of %lld elements each",
            (long long)infer_hint(call, count), (long long)infer_hint(call, taps));
    dims[0] = x->dims[0];
    dims[x->rank - 2] = channels;
    dims[x->rank - 1] = sizes[0];
    dims[x->rank] = sizes[1];
    return infer_set_dims(call, dims, x->rank + 1);
}

/* ---- norms ----------------------------------------------------------------------------------- */

/* Operands behind x have a number for each of its channels. */
static sn_status check_per_channel(const Infer *call, int32_t first) {
    const TensorType *x = infer_input(call, 0);
    for (int32_t i = first; i < call->n_inputs; i++) {
        const TensorType *type = infer_input(call, i);
        bool fits = type_absent(type) ||
                    (type->rank == 1 && dim_equal(call->table, type->dims[0], x->dims[1]));
        if (!fits)
            return infer_refuse_types(call, SN_ERROR_SHAPE,
                                      "%s must have a number for each channel",
                                      infer_input_name(call, i).text);
    }
    return SN_OK;
}

sn_status shape_batch_norm(Infer *call) {
    if (infer_input(call, 0)->rank < 2)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have at least 2 dims");
    INFER_TRY(check_per_channel(call, 1));
    return infer_set_same(call);
}

sn_status shape_group_norm(Infer *call) {
    const TensorType *x = infer_input(call, 0);
    if (x->rank < 2) return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have at least 2 dims");
    if (op_has_attr(call->op, ATTR_GROUPS)) {
        int64_t groups;
        INFER_TRY(read_groups(call, &groups));
        if (!makes_groups(call->table, x->dims[1], groups))
            return infer_refuse_types(call, SN_ERROR_SHAPE, "x's channels do not make %lld groups",
                                      (long long)groups);
    }
    INFER_TRY(check_per_channel(call, 1));
    return infer_set_same(call);
}

sn_status shape_local_norm(Infer *call) {
    int64_t size = attr_int(infer_attrs(call), ATTR_SIZE);
    if (infer_input(call, 0)->rank < 3)
        return infer_refuse_types(call, SN_ERROR_SHAPE, "x must have at least 3 dims");
    if (size < 1 || size > MOST_NUMBER)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "size is %lld", (long long)size);
    return infer_set_same(call);
}
