/* Convolutions, pools and batch norm of the oracle: the textbook's loops in long double. */
#include "tests/oracle_window.h"

#include "ir/op/dtype.h"

#include <string.h>

enum { MOST_AXES = 3 };

/* Windows of a call: its numbers by axis. */
typedef struct WindowCall {
    int32_t axes;                                  /* of windows */
    int32_t first;                                 /* of them, in x and the result */
    int64_t taps[MOST_AXES];                       /* elements of a window */
    int64_t stride[MOST_AXES], padding[MOST_AXES]; /* as the op has them */
    int64_t dilation[MOST_AXES];                   /* 1 where it has none */
} WindowCall;

static WindowCall window_call(const OracleCall *call, int32_t axes, const int64_t *taps) {
    int32_t count;
    WindowCall w = {.axes = axes, .first = call->in[0].rank - axes};
    for (int32_t i = 0; i < axes; i++) {
        w.taps[i] = taps[i];
        w.stride[i] = oracle_list(call, ATTR_STRIDE, &count)[i];
        w.padding[i] = oracle_list(call, ATTR_PADDING, &count)[i];
        w.dilation[i] = 1;
        if (op_has_attr(call->op, ATTR_DILATION))
            w.dilation[i] = oracle_list(call, ATTR_DILATION, &count)[i];
    }
    return w;
}

static int64_t count_taps(const WindowCall *w) {
    int64_t taps = 1;
    for (int32_t i = 0; i < w->axes; i++) taps *= w->taps[i];
    return taps;
}

/* Coordinates in x, of which those in front of the windows are set, of a tap of the window at `index`; false
 * where it is padding. */
static bool locate(const OracleCall *call, const WindowCall *w, const int64_t *index, int64_t tap,
                   int64_t *at) {
    int64_t taps[MOST_AXES];
    bool inside = true;
    oracle_unravel(tap, w->taps, w->axes, taps);
    for (int32_t i = 0; i < w->axes; i++) {
        int64_t axis = w->first + i, size = call->in[0].dims[axis];
        at[axis] = index[axis] * w->stride[i] + taps[i] * w->dilation[i] - w->padding[i];
        inside = inside && at[axis] >= 0 && at[axis] < size;
    }
    return inside;
}

/* ---- convolutions ---------------------------------------------------------------------------- */

/* A sum of products, of integers or of floats. */
typedef struct Dot {
    const OracleCall *call; /* the op */
    Sum sum;                /* of floats */
    uint64_t total;         /* of integers */
} Dot;

static void add_product(Dot *dot, const OracleTensor *x, int64_t x_at, const OracleTensor *y,
                        int64_t y_at) {
    sn_dtype dtype = dot->call->out->dtype;
    OracleNumber a = oracle_convert(dtype, x->dtype, oracle_number(x, x_at)), b = {1, 1};
    if (y) b = oracle_convert(dtype, y->dtype, oracle_number(y, y_at));
    if (dot->call->out->real)
        sum_add(&dot->sum, a.real * b.real);
    else
        dot->total += (uint64_t)a.integer * (uint64_t)b.integer;
}

/* Padding is 0, which of an infinite weight makes a NaN. */
static void add_padding(Dot *dot, const OracleTensor *y, int64_t y_at) {
    OracleNumber b = oracle_convert(dot->call->out->dtype, y->dtype, oracle_number(y, y_at));
    if (dot->call->out->real) sum_add(&dot->sum, 0 * b.real);
}

static void put_dot(const Dot *dot, int64_t i) {
    OracleTensor *out = dot->call->out;
    if (!out->real) {
        out->integer[i] = oracle_wrap(out->dtype, dot->total);
        return;
    }
    bool plain = isfinite(dot->sum.terms);
    oracle_put_real(out, i, dot->sum.value,
                    plain ? products_bound(&dot->sum, out->dtype)
                          : sum_bound(&dot->sum, out->dtype));
}

static OracleStatus conv(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *weight = &call->in[1], *out = call->out;
    WindowCall w = window_call(call, weight->rank - 2, weight->dims + 2);
    int64_t taps = count_taps(&w), channels = weight->dims[1];
    int64_t out_of_group = weight->dims[0] / oracle_int(call, ATTR_GROUPS);
    int32_t axis = w.first - 1; /* of channels */
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK], at[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        memcpy(at, index, sizeof at);
        Dot dot = {.call = call};
        for (int64_t k = 0; k < taps * channels; k++) {
            int64_t tap = k / channels, channel = k % channels;
            int64_t y_at = (index[axis] * channels + channel) * taps + tap;
            at[axis] = index[axis] / out_of_group * channels + channel;
            if (locate(call, &w, index, tap, at))
                add_product(&dot, x, oracle_ravel(at, x->dims, x->rank), weight, y_at);
            else
                add_padding(&dot, weight, y_at);
        }
        if (!oracle_absent(call, 2)) add_product(&dot, &call->in[2], index[axis], NULL, 0);
        put_dot(&dot, i);
    }
    return ORACLE_OK;
}

/* ---- transposed convolutions ------------------------------------------------------------------ */

/* Where in x the tap meets the place `index`: false where it falls between two elements. */
static bool meets(const OracleCall *call, const WindowCall *w, const int64_t *index, int64_t tap,
                  int64_t *at, bool *inside) {
    int64_t taps[MOST_AXES];
    oracle_unravel(tap, w->taps, w->axes, taps);
    *inside = true;
    for (int32_t i = 0; i < w->axes; i++) {
        int64_t axis = w->first + i;
        int64_t ahead = index[axis] + w->padding[i] - taps[i] * w->dilation[i];
        if (ahead % w->stride[i] != 0) return false;
        at[axis] = ahead / w->stride[i];
        *inside = *inside && at[axis] >= 0 && at[axis] < call->in[0].dims[axis];
    }
    return true;
}

static OracleStatus conv_transpose(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *weight = &call->in[1], *out = call->out;
    WindowCall w = window_call(call, weight->rank - 2, weight->dims + 2);
    int64_t taps = count_taps(&w), out_of_group = weight->dims[1];
    int64_t channels = weight->dims[0] / oracle_int(call, ATTR_GROUPS);
    int32_t axis = w.first - 1; /* of channels */
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK], at[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        memcpy(at, index, sizeof at);
        Dot dot = {.call = call};
        for (int64_t k = 0; k < taps * channels; k++) {
            bool inside;
            if (!meets(call, &w, index, k / channels, at, &inside)) continue;
            at[axis] = index[axis] / out_of_group * channels + k % channels;
            int64_t y_at =
                (at[axis] * out_of_group + index[axis] % out_of_group) * taps + k / channels;
            if (inside)
                add_product(&dot, x, oracle_ravel(at, x->dims, x->rank), weight, y_at);
            else
                add_padding(&dot, weight, y_at);
        }
        if (!oracle_absent(call, 2)) add_product(&dot, &call->in[2], index[axis], NULL, 0);
        put_dot(&dot, i);
    }
    return ORACLE_OK;
}

/* ---- pools ----------------------------------------------------------------------------------- */

static WindowCall pool_call(const OracleCall *call) {
    int32_t axes;
    const int64_t *kernel = oracle_list(call, ATTR_KERNEL, &axes);
    return window_call(call, axes, kernel);
}

static bool is_larger(const OracleTensor *x, OracleNumber a, OracleNumber b) {
    if (!x->real) return a.integer > b.integer;
    if (isnan(b.real)) return false;
    return isnan(a.real) || a.real > b.real ||
           (a.real == b.real && signbit(b.real) > signbit(a.real));
}

/* What no element is below: of a window of padding alone, which dilation can make. */
static OracleNumber least_of(sn_dtype dtype) {
    if (dtype_is_float(dtype)) return (OracleNumber){-INFINITY, 0};
    if (dtype == SN_BOOL || dtype == SN_U8) return (OracleNumber){0, 0};
    return (OracleNumber){0, INT64_MIN >> (64 - 8 * sn_dtype_size(dtype))};
}

static OracleStatus max_pool(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *out = call->out;
    WindowCall w = pool_call(call);
    int64_t taps = count_taps(&w);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK], at[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        memcpy(at, index, sizeof at);
        OracleNumber largest = least_of(x->dtype);
        for (int64_t tap = 0; tap < taps; tap++) {
            if (!locate(call, &w, index, tap, at)) continue;
            OracleNumber is = oracle_number(x, oracle_ravel(at, x->dims, x->rank));
            if (is_larger(x, is, largest)) largest = is;
        }
        oracle_put(call->out, i, largest);
    }
    return ORACLE_OK;
}

/* What a window's sum is divided by: its elements, those of padding too if they count. */
static int64_t count_elements(const OracleCall *call, const WindowCall *w, const int64_t *index) {
    int64_t count = 1;
    bool pads = oracle_bool(call, ATTR_COUNT_PAD);
    for (int32_t i = 0; i < w->axes; i++) {
        int64_t size = call->in[0].dims[w->first + i], elements = 0;
        for (int64_t tap = 0; tap < w->taps[i]; tap++) {
            int64_t at = index[w->first + i] * w->stride[i] + tap - w->padding[i];
            elements += pads ? at < size + w->padding[i] : at >= 0 && at < size;
        }
        count *= elements;
    }
    return count;
}

static OracleStatus avg_pool(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *out = call->out;
    WindowCall w = pool_call(call);
    int64_t taps = count_taps(&w);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK], at[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        memcpy(at, index, sizeof at);
        Sum sum = {.count = 0};
        for (int64_t tap = 0; tap < taps; tap++)
            if (locate(call, &w, index, tap, at))
                sum_add(&sum, element(x, oracle_ravel(at, x->dims, x->rank)));
        int64_t given = oracle_int(call, ATTR_DIVISOR);
        long double n = (long double)(given ? given : count_elements(call, &w, index));
        long double bound = sum_bound(&sum, out->dtype) / fabsl(n) + oracle_tiny(out->dtype);
        if (isfinite(sum.terms)) bound += oracle_epsilon(out->dtype) * fabsl(sum.value / n);
        oracle_put_real(call->out, i, sum.value / n, bound);
    }
    return ORACLE_OK;
}

/* ---- indices --------------------------------------------------------------------------------- */

static OracleStatus pool_indices(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *out = call->out;
    WindowCall w = pool_call(call);
    int64_t taps = count_taps(&w);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK], at[SN_MAX_RANK], best = 0;
        oracle_unravel(i, out->dims, out->rank, index);
        memcpy(at, index, sizeof at);
        OracleNumber largest = {0, 0};
        bool any = false;
        for (int64_t tap = 0; tap < taps; tap++) {
            if (!locate(call, &w, index, tap, at)) continue;
            OracleNumber is = oracle_number(x, oracle_ravel(at, x->dims, x->rank));
            bool same = x->real && is.real == 0 && largest.real == 0; /* +0 equals -0 */
            if (any && (same || !is_larger(x, is, largest))) continue;
            largest = is;
            best = tap;
            any = true;
        }
        if (!any) return ORACLE_UNKNOWN; /* a window of padding alone */
        locate(call, &w, index, best, at);
        for (int32_t j = 0; j < w.axes; j++) {
            int64_t size = x->dims[w.first + j];
            call->out->integer[i] = call->out->integer[i] * (j ? size : 1) + at[w.first + j];
        }
    }
    return ORACLE_OK;
}

/* ---- adaptive pools -------------------------------------------------------------------------- */

/* Begins and ends of a result's elements along the axes of windows. */
typedef struct Box {
    int64_t begin[MOST_AXES], end[MOST_AXES];
} Box;

static Box box_of(const OracleCall *call, int32_t axes, const int64_t *index) {
    Box box = {.begin = {0}};
    for (int32_t i = 0; i < axes; i++) {
        int32_t axis = call->out->rank - axes + i;
        int64_t size = call->in[0].dims[axis], parts = call->out->dims[axis];
        box.begin[i] = index[axis] * size / parts;
        box.end[i] = ((index[axis] + 1) * size + parts - 1) / parts;
    }
    return box;
}

static OracleStatus adaptive_pool(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *out = call->out;
    bool max = call->op >= OP_ADAPTIVE_MAX_POOL1D && call->op <= OP_ADAPTIVE_MAX_POOL3D;
    int32_t axes;
    oracle_list(call, ATTR_SIZES, &axes);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK], sizes[MOST_AXES], count = 1;
        oracle_unravel(i, out->dims, out->rank, index);
        Box box = box_of(call, axes, index);
        for (int32_t j = 0; j < axes; j++) count *= sizes[j] = box.end[j] - box.begin[j];
        Sum sum = {.count = 0};
        OracleNumber largest = least_of(x->dtype);
        for (int64_t k = 0; k < count; k++) {
            int64_t at[SN_MAX_RANK], within[MOST_AXES];
            memcpy(at, index, sizeof at);
            oracle_unravel(k, sizes, axes, within);
            for (int32_t j = 0; j < axes; j++) at[x->rank - axes + j] = box.begin[j] + within[j];
            OracleNumber is = oracle_number(x, oracle_ravel(at, x->dims, x->rank));
            if (is_larger(x, is, largest)) largest = is;
            if (!max) sum_add(&sum, is.real);
        }
        if (max) {
            oracle_put(call->out, i, largest);
            continue;
        }
        long double n = (long double)count;
        long double bound = sum_bound(&sum, out->dtype) / n + oracle_tiny(out->dtype);
        if (isfinite(sum.terms)) bound += oracle_epsilon(out->dtype) * fabsl(sum.value / n);
        oracle_put_real(call->out, i, sum.value / n, bound);
    }
    return ORACLE_OK;
}

/* Where in a channel the first of the largest elements of a box is. */
static int64_t place_in(const OracleCall *call, const Box *box, int32_t axes, int64_t *at) {
    const OracleTensor *x = &call->in[0];
    int32_t first = x->rank - axes;
    int64_t best = 0, sizes[MOST_AXES], count = 1;
    OracleNumber largest = {0, 0};
    for (int32_t j = 0; j < axes; j++) count *= sizes[j] = box->end[j] - box->begin[j];
    for (int64_t k = 0; k < count; k++) {
        int64_t within[MOST_AXES];
        oracle_unravel(k, sizes, axes, within);
        for (int32_t j = 0; j < axes; j++) at[first + j] = box->begin[j] + within[j];
        OracleNumber is = oracle_number(x, oracle_ravel(at, x->dims, x->rank));
        bool same = x->real && is.real == 0 && largest.real == 0; /* +0 equals -0 */
        if (k && (same || !is_larger(x, is, largest))) continue;
        largest = is;
        best = oracle_ravel(at + first, x->dims + first, axes);
    }
    return best;
}

static OracleStatus adaptive_indices(const OracleCall *call) {
    const OracleTensor *out = call->out;
    int32_t axes;
    oracle_list(call, ATTR_SIZES, &axes);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK], at[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        memcpy(at, index, sizeof at);
        Box box = box_of(call, axes, index);
        out->integer[i] = place_in(call, &box, axes, at);
    }
    return ORACLE_OK;
}

/* ---- unfold, fold ---------------------------------------------------------------------------- */

/* Windows of planes, counted. */
typedef struct Planes {
    WindowCall w;                          /* their windows */
    int64_t sizes[MOST_AXES];              /* of a plane */
    int64_t counts[MOST_AXES];             /* windows along each axis */
    int64_t taps, windows, channels, many; /* of a window; of a plane; of a sample; samples */
} Planes;

static Planes planes_of(const OracleCall *call, const int64_t *sizes, int64_t many,
                        int64_t channels) {
    int32_t axes;
    const int64_t *kernel = oracle_list(call, ATTR_KERNEL, &axes);
    Planes p = {.w = window_call(call, axes, kernel), .many = many, .channels = channels};
    p.taps = count_taps(&p.w);
    p.windows = 1;
    for (int32_t i = 0; i < axes; i++) {
        int64_t reach = p.w.dilation[i] * (p.w.taps[i] - 1);
        p.sizes[i] = sizes[i];
        p.counts[i] = (sizes[i] + 2 * p.w.padding[i] - reach - 1) / p.w.stride[i] + 1;
        p.windows *= p.counts[i];
    }
    return p;
}

/* Position in a plane of a window's tap; -1 where it is padding. */
static int64_t position_of(const Planes *p, int64_t window, int64_t tap) {
    int64_t taps[MOST_AXES], places[MOST_AXES], at = 0;
    oracle_unravel(tap, p->w.taps, p->w.axes, taps);
    oracle_unravel(window, p->counts, p->w.axes, places);
    for (int32_t i = 0; i < p->w.axes; i++) {
        int64_t is = places[i] * p->w.stride[i] + taps[i] * p->w.dilation[i] - p->w.padding[i];
        if (is < 0 || is >= p->sizes[i]) return -1;
        at = at * p->sizes[i] + is;
    }
    return at;
}

static OracleStatus unfold(const OracleCall *call) {
    const OracleTensor *x = &call->in[0];
    const int64_t *sizes = x->dims + x->rank - 2;
    Planes p = planes_of(call, sizes, x->rank == 4 ? x->dims[0] : 1, x->dims[x->rank - 3]);
    for (int64_t i = 0; i < call->out->count; i++) {
        int64_t window = i % p.windows, tap = i / p.windows % p.taps,
                plane = i / p.windows / p.taps;
        int64_t at = position_of(&p, window, tap);
        OracleNumber zero = {0, 0};
        oracle_put(call->out, i,
                   at < 0 ? zero : oracle_number(x, plane * sizes[0] * sizes[1] + at));
    }
    return ORACLE_OK;
}

static OracleStatus fold(const OracleCall *call) {
    const OracleTensor *x = &call->in[0];
    OracleTensor *out = call->out;
    const int64_t *sizes = out->dims + out->rank - 2;
    Planes p = planes_of(call, sizes, out->rank == 4 ? out->dims[0] : 1, out->dims[out->rank - 3]);
    int64_t plane = sizes[0] * sizes[1];
    for (int64_t i = 0; i < out->count; i++) {
        Sum sum = {.count = 0};
        uint64_t total = 0;
        if (out->real) sum_add(&sum, 0);
        for (int64_t k = 0; k < p.taps * p.windows; k++) {
            if (position_of(&p, k % p.windows, k / p.windows) != i % plane) continue;
            OracleNumber is = oracle_number(x, i / plane * p.taps * p.windows + k);
            if (out->real)
                sum_add(&sum, is.real);
            else
                total += (uint64_t)is.integer;
        }
        if (out->real)
            oracle_put_real(out, i, sum.value, sum_bound(&sum, out->dtype));
        else
            out->integer[i] = oracle_wrap(out->dtype, total);
    }
    return ORACLE_OK;
}

/* ---- norms ----------------------------------------------------------------------------------- */

/* (x - mean) * scale + bias of one group: what a few roundings of each part come to. */
static void norm_group(const OracleCall *call, int64_t first, int64_t count, int64_t spatial,
                       int32_t weight) {
    const OracleTensor *x = &call->in[0];
    OracleTensor *out = call->out;
    long double epsilon = oracle_epsilon(out->dtype), mean = 0, var = 0, largest = 0;
    long double most = oracle_format(oracle_compute(out->dtype)).largest, n = (long double)count;
    for (int64_t i = 0; i < count; i++) mean += element(x, first + i) / n;
    for (int64_t i = 0; i < count; i++) {
        long double d = element(x, first + i) - mean;
        var += d * d / n;
        largest = fmaxl(largest, fabsl(element(x, first + i)));
    }
    long double eps = oracle_double(call, ATTR_EPS), scale = 1 / sqrtl(var + eps);
    bool strange = !isfinite(var) || !isfinite(scale) || var > most || largest > sqrtl(most) / 4;
    for (int64_t i = 0; i < count; i++) {
        int64_t channel = (first + i) / spatial % x->dims[1];
        bool scaled = !oracle_absent(call, weight), moved = !oracle_absent(call, weight + 1);
        long double times = scaled ? element(&call->in[weight], channel) : 1;
        long double plus = moved ? element(&call->in[weight + 1], channel) : 0;
        long double d = element(x, first + i) - mean, y = d * scale * times;
        long double off = 8 * (n + 8) * epsilon * largest * scale; /* of the mean, and the spread */
        long double bound =
            (off + 16 * (n + 8) * epsilon * fabsl(d * scale) * (1 + off * fabsl(d * scale))) *
                fabsl(times) +
            8 * epsilon * (fabsl(y) + fabsl(plus)) + 8 * oracle_tiny(out->dtype);
        bool wild = strange || off > 0.01L || !isfinite(y + plus) || fabsl(y) > most / 4;
        oracle_put_real(out, first + i, y + plus, wild ? INFINITY : bound);
    }
}

static OracleStatus group_norm(const OracleCall *call) {
    const OracleTensor *x = &call->in[0];
    bool grouped = call->op == OP_GROUP_NORM;
    int64_t groups = grouped ? oracle_int(call, ATTR_GROUPS) : x->dims[1], spatial = 1;
    for (int32_t i = 2; i < x->rank; i++) spatial *= x->dims[i];
    if (x->count == 0) return ORACLE_OK;
    int64_t count = x->dims[1] / groups * spatial;
    for (int64_t first = 0; first < x->count; first += count)
        norm_group(call, first, count, spatial, 1);
    return ORACLE_OK;
}

static OracleStatus local_norm(const OracleCall *call) {
    const OracleTensor *x = &call->in[0];
    OracleTensor *out = call->out;
    int64_t size = oracle_int(call, ATTR_SIZE), spatial = 1;
    long double alpha = oracle_double(call, ATTR_ALPHA), beta = oracle_double(call, ATTR_BETA);
    long double k = oracle_double(call, ATTR_K), epsilon = oracle_epsilon(out->dtype);
    long double most = oracle_format(oracle_compute(out->dtype)).largest;
    for (int32_t i = 2; i < x->rank; i++) spatial *= x->dims[i];
    for (int64_t i = 0; i < x->count; i++) {
        int64_t channel = i / spatial % x->dims[1];
        long double sum = 0;
        for (int64_t j = channel - size / 2; j <= channel + (size - 1) / 2; j++)
            if (j >= 0 && j < x->dims[1]) {
                long double is = element(x, i + (j - channel) * spatial);
                sum += is * is;
            }
        long double mean = sum / (long double)size, base = mean * alpha + k;
        long double terms = fabsl(mean * alpha) + fabsl(k), y = element(x, i) / powl(base, beta);
        long double relative = ((long double)size + 8) * epsilon * terms / fabsl(base);
        bool wild = !isfinite(sum) || sum > most || terms > most || !(base > 0) ||
                    relative > 0.01L || !isfinite(y) || fabsl(y) > most ||
                    powl(base, beta) > most ||
                    powl(base, beta) < 4 * oracle_tiny(out->dtype) / epsilon ||
                    sum < oracle_tiny(out->dtype) / epsilon;
        long double bound =
            fabsl(y) * (4 * fabsl(beta) * relative + 8 * epsilon) + 4 * oracle_tiny(out->dtype);
        oracle_put_real(out, i, y, wild ? INFINITY : bound);
    }
    return ORACLE_OK;
}

/* ---- batch_norm ------------------------------------------------------------------------------ */

/* x * scale + shift: each of the four terms of (x - mean) * scale + bias may be rounded some times; and a
 * variance below 0 cancels against eps. */
static OracleStatus batch_norm(const OracleCall *call) {
    const OracleTensor *x = &call->in[0];
    OracleTensor *out = call->out;
    long double eps = oracle_double(call, ATTR_EPS), epsilon = oracle_epsilon(out->dtype);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        long double of[5] = {0, 0, 0, 1, 0};
        for (int32_t j = 1; j < 5; j++)
            if (!oracle_absent(call, j)) of[j] = element(&call->in[j], index[1]);
        long double scale = of[3] / sqrtl(of[2] + eps), value = element(x, i);
        long double y = (value - of[1]) * scale + of[4];
        long double terms = fabsl(value * scale) + fabsl(of[1] * scale) + fabsl(of[4]);
        long double cancelled = (fabsl(of[2]) + fabsl(eps)) / (of[2] + eps);
        long double largest = oracle_format(oracle_compute(out->dtype)).largest;
        bool strange =
            !isfinite(terms) || terms > largest || fabsl(scale) > largest || !(of[2] + eps > 0);
        oracle_put_real(out, i, y,
                        strange ? INFINITY
                                : (7 + cancelled) * epsilon * terms + 4 * oracle_tiny(out->dtype));
    }
    return ORACLE_OK;
}

OracleRule *oracle_window_rule(OpCode op) {
    static OracleRule *const rules[OP_COUNT] = {
        [OP_CONV1D] = conv,
        [OP_CONV2D] = conv,
        [OP_CONV3D] = conv,
        [OP_CONV_TRANSPOSE1D] = conv_transpose,
        [OP_CONV_TRANSPOSE2D] = conv_transpose,
        [OP_CONV_TRANSPOSE3D] = conv_transpose,
        [OP_MAX_POOL1D] = max_pool,
        [OP_MAX_POOL2D] = max_pool,
        [OP_MAX_POOL3D] = max_pool,
        [OP_AVG_POOL1D] = avg_pool,
        [OP_AVG_POOL2D] = avg_pool,
        [OP_AVG_POOL3D] = avg_pool,
        [OP_MAX_POOL1D_INDICES] = pool_indices,
        [OP_MAX_POOL2D_INDICES] = pool_indices,
        [OP_MAX_POOL3D_INDICES] = pool_indices,
        [OP_ADAPTIVE_AVG_POOL1D] = adaptive_pool,
        [OP_ADAPTIVE_AVG_POOL2D] = adaptive_pool,
        [OP_ADAPTIVE_AVG_POOL3D] = adaptive_pool,
        [OP_ADAPTIVE_MAX_POOL1D] = adaptive_pool,
        [OP_ADAPTIVE_MAX_POOL2D] = adaptive_pool,
        [OP_ADAPTIVE_MAX_POOL3D] = adaptive_pool,
        [OP_ADAPTIVE_MAX_POOL1D_INDICES] = adaptive_indices,
        [OP_ADAPTIVE_MAX_POOL2D_INDICES] = adaptive_indices,
        [OP_ADAPTIVE_MAX_POOL3D_INDICES] = adaptive_indices,
        [OP_BATCH_NORM] = batch_norm,
        [OP_UNFOLD] = unfold,
        [OP_FOLD] = fold,
        [OP_GROUP_NORM] = group_norm,
        [OP_INSTANCE_NORM] = group_norm,
        [OP_LOCAL_RESPONSE_NORM] = local_norm,
    };
    return rules[op];
}
