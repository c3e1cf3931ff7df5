/* Reductions, scans, norms, softmax, losses and contractions of the oracle: textbook formulas in long
 * double, with bounds of the form n · epsilon · sum of |terms|. */
#include "tests/oracle_reduce.h"

#include "ir/op/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t listed_axes(const OracleCall *call) {
    int32_t count;
    const int64_t *axes = oracle_list(call, ATTR_AXES, &count);
    uint32_t mask = 0;
    for (int32_t i = 0; i < count; i++) mask |= 1u << axes[i];
    return count ? mask : (1u << call->in[0].rank) - 1;
}

/* ---- one bucket at a time -------------------------------------------------------------------- */

/* The elements of one result. */
typedef struct Bucket {
    const OracleCall *call; /* the op */
    const OracleTensor *x;  /* operand 0 */
    const int64_t *at;      /* positions in x */
    int64_t size;           /* how many */
    int64_t out;            /* the result's position */
} Bucket;

typedef void BucketRule(const Bucket *b);

static void bucket_sum(const Bucket *b) {
    OracleTensor *out = b->call->out;
    bool product = b->call->op == OP_PROD;
    if (!out->real) {
        uint64_t total = product;
        for (int64_t i = 0; i < b->size; i++) {
            uint64_t term = (uint64_t)b->x->integer[b->at[i]];
            total = product ? total * term : total + term;
        }
        out->integer[b->out] = (int64_t)total;
        return;
    }
    Sum sum = {.count = 0};
    for (int64_t i = 0; i < b->size; i++) sum_add(&sum, element(b->x, b->at[i]));
    oracle_put_real(out, b->out, sum.value, sum_bound(&sum, out->dtype));
}

/* A partial product may leave the range although the whole does not. */
static void bucket_prod(const Bucket *b) {
    OracleTensor *out = b->call->out;
    if (!out->real) {
        bucket_sum(b);
        return;
    }
    OracleFormat format = oracle_format(oracle_compute(out->dtype));
    long double product = 1, up = 0, down = 0;
    bool plain = true;
    for (int64_t i = 0; i < b->size; i++) {
        long double x = element(b->x, b->at[i]);
        product *= x;
        plain = plain && isfinite(x) && x != 0;
        if (isfinite(x) && x != 0) *(fabsl(x) > 1 ? &up : &down) += fabsl(log2l(fabsl(x)));
    }
    bool leaves = up > -format.least || down > -format.least;
    long double bound = (long double)(b->size + 1) * oracle_epsilon(out->dtype) * fabsl(product);
    if (leaves)
        bound = isnan(product) && up == 0 ? 0 : INFINITY;
    else if (!plain && (product == 0 || !isfinite(product)))
        bound = 0;
    oracle_put_real(out, b->out, product, b->size < 2 ? 0 : bound);
}

static void bucket_mean(const Bucket *b) {
    Sum sum = {.count = 0};
    for (int64_t i = 0; i < b->size; i++) sum_add(&sum, element(b->x, b->at[i]));
    sn_dtype dtype = b->call->out->dtype;
    long double n = (long double)b->size, bound = sum_bound(&sum, dtype) / n + oracle_tiny(dtype);
    if (b->size == 0) bound = 0;
    if (!isfinite(sum.terms)) bound = sum_bound(&sum, dtype);
    oracle_put_real(b->call->out, b->out, sum.value / n, bound);
}

/* Is x before y in the order of max (min: reversed)? NaN comes first, then the larger; +0 > -0 only
 * where the value counts. */
static bool comes_first(long double x, long double y, bool least, bool zeros) {
    if (isnan(y)) return false;
    if (isnan(x)) return true;
    if (x == y)
        return zeros && x == 0 && (least ? signbit(x) && !signbit(y) : !signbit(x) && signbit(y));
    return least ? x < y : x > y;
}

static void bucket_extremum(const Bucket *b) {
    bool least = b->call->op == OP_MIN || b->call->op == OP_ARGMIN;
    bool value = b->call->op == OP_MAX || b->call->op == OP_MIN;
    int64_t best = 0;
    for (int64_t i = 1; i < b->size; i++) {
        bool first;
        if (b->x->real)
            first = comes_first(b->x->real[b->at[i]], b->x->real[b->at[best]], least, value);
        else
            first = least ? b->x->integer[b->at[i]] < b->x->integer[b->at[best]]
                          : b->x->integer[b->at[i]] > b->x->integer[b->at[best]];
        if (first) best = i;
    }
    if (value)
        oracle_put(b->call->out, b->out, oracle_number(b->x, b->at[best]));
    else
        b->call->out->integer[b->out] = best;
}

static void bucket_any(const Bucket *b) {
    bool all = b->call->op == OP_ALL, result = all;
    for (int64_t i = 0; i < b->size; i++) {
        bool x = element(b->x, b->at[i]) != 0;
        result = all ? result && x : result || x;
    }
    b->call->out->integer[b->out] = result;
}

/* Mean square distance of a bucket from its mean, and its bound. */
typedef struct Spread {
    long double mean;       /* of the elements */
    long double off;        /* how far the mean that the distances are taken from may be from it */
    long double mean_bound; /* how far it may be once the mean of the distances is taken off */
    long double square, square_bound; /* sum of squared distances */
} Spread;

/* How far a distance may be off by its own rounding. */
static long double distance_bound(const Spread *s, sn_dtype dtype, long double distance) {
    return oracle_epsilon(dtype) * (fabsl(distance) + s->off);
}

static Spread spread_of(const Bucket *b) {
    sn_dtype dtype = b->x->dtype;
    long double epsilon = oracle_epsilon(dtype), n = (long double)b->size;
    Sum sum = {.count = 0}, distances = {.count = 0}, squares = {.count = 0};
    for (int64_t i = 0; i < b->size; i++) sum_add(&sum, element(b->x, b->at[i]));
    Spread s = {.mean = sum.value / n};
    s.off = sum_bound(&sum, dtype) / n + epsilon * fabsl(s.mean) + oracle_tiny(dtype);
    for (int64_t i = 0; i < b->size; i++) {
        long double d = element(b->x, b->at[i]) - s.mean, error = distance_bound(&s, dtype, d);
        sum_add(&distances, d);
        sum_add(&squares, d * d);
        s.square_bound += 2 * (fabsl(d) + s.off) * error + error * error;
    }
    s.mean_bound = (n + 2) * epsilon * (distances.terms / n + s.off) + oracle_tiny(dtype);
    s.square = squares.value;
    s.square_bound += products_bound(&squares, dtype) + (n + 4) * epsilon * n * s.off * s.off +
                      n * s.mean_bound * (2 * s.off + s.mean_bound);
    /* Sums may leave the range before what the mean is off by is taken out. */
    long double largest = oracle_format(oracle_compute(dtype)).largest;
    bool in_range = sum.terms <= largest && 2 * (squares.terms + n * s.off * s.off) <= largest;
    if (!in_range) s.square_bound = INFINITY;
    return s;
}

static void bucket_var(const Bucket *b) {
    Spread s = spread_of(b);
    long double divisor = (long double)b->size - oracle_double(b->call, ATTR_CORRECTION);
    if (divisor < 0) divisor = 0;
    long double value = s.square / divisor;
    long double bound = s.square_bound / divisor + 2 * oracle_epsilon(b->x->dtype) * fabsl(value);
    if (b->size == 0 || divisor == 0) bound = INFINITY; /* 0 / 0 or x / 0: no number is meant */
    oracle_put_real(b->call->out, b->out, value, bound);
}

static long double largest_of(const Bucket *b) {
    long double largest = -INFINITY;
    for (int64_t i = 0; i < b->size; i++) {
        long double x = element(b->x, b->at[i]);
        if (isnan(x)) return x;
        if (x > largest) largest = x;
    }
    return largest;
}

/* sum of exp(x - shift); `*bound` relative. */
static long double exponentials(const Bucket *b, long double shift, long double *bound) {
    long double sum = 0, worst = 0;
    for (int64_t i = 0; i < b->size; i++) {
        long double d = element(b->x, b->at[i]) - shift, e = expl(d);
        sum += e;
        if (isfinite(d)) worst += fabsl(d) * e;
    }
    *bound = oracle_epsilon(b->x->dtype) * ((long double)b->size + 4 + worst / (sum > 0 ? sum : 1));
    return sum;
}

static void bucket_logsumexp(const Bucket *b) {
    OracleTensor *out = b->call->out;
    long double largest = largest_of(b), shift = isinf(largest) ? 0 : largest, relative;
    long double sum = exponentials(b, shift, &relative), value = logl(sum) + shift;
    long double size = fabsl(logl(sum)) + fabsl(shift);
    long double bound = relative + 4 * oracle_epsilon(out->dtype) * size + oracle_tiny(out->dtype);
    oracle_put_real(out, b->out, value, isfinite(value) ? bound : 0);
}

/* softmax and log_softmax write as many elements as they read. */
static void bucket_softmax(const Bucket *b) {
    OracleTensor *out = b->call->out;
    sn_dtype dtype = out->dtype;
    long double epsilon = oracle_epsilon(dtype), largest = largest_of(b), relative;
    long double sum = exponentials(b, largest, &relative);
    for (int64_t i = 0; i < b->size; i++) {
        long double d = element(b->x, b->at[i]) - largest, value, bound;
        if (b->call->op == OP_SOFTMAX) {
            value = expl(d) / sum;
            bound = fabsl(value) * (relative + epsilon * (6 + fabsl(d))) + oracle_tiny(dtype);
        } else {
            value = d - logl(sum);
            bound = relative + epsilon * (4 * fabsl(d) + 4 * fabsl(logl(sum)) + 4 * fabsl(value));
        }
        bool overflows = isfinite(d) && fabsl(d) > oracle_format(oracle_compute(dtype)).largest;
        if (overflows) bound = INFINITY;
        oracle_put_real(out, b->at[i], value, isfinite(value) || overflows ? bound : 0);
    }
}

static uint32_t norm_axes(const OracleCall *call) {
    int32_t rank = call->in[0].rank, covered = 1;
    for (int32_t i = call->n_in - 1; i > 0; i--)
        if (!oracle_absent(call, i)) covered = call->in[i].rank;
    return ((1u << rank) - 1) & ~((1u << (rank - covered)) - 1);
}

static void bucket_norm(const Bucket *b) {
    const OracleCall *call = b->call;
    bool layer = call->op == OP_LAYER_NORM;
    sn_dtype dtype = call->out->dtype;
    long double epsilon = oracle_epsilon(dtype), n = (long double)b->size;
    long double eps = oracle_round_to(oracle_compute(dtype), oracle_double(call, ATTR_EPS));
    Spread s = {.mean = 0};
    if (layer) {
        s = spread_of(b);
    } else {
        Sum squares = {.count = 0};
        for (int64_t i = 0; i < b->size; i++) {
            long double x = element(b->x, b->at[i]);
            sum_add(&squares, x * x);
        }
        s.square = squares.value;
        s.square_bound = isfinite(squares.terms) ? products_bound(&squares, dtype) : INFINITY;
    }
    long double spread = s.square / n + eps,
                spread_bound = s.square_bound / n + 2 * epsilon * spread;
    bool sound = spread_bound < spread / 4 && isfinite(spread_bound) &&
                 s.square < oracle_format(oracle_compute(dtype)).largest / 2;
    for (int64_t i = 0; i < b->size; i++) {
        long double d = element(b->x, b->at[i]) - s.mean, scale = 1 / sqrtl(spread),
                    value = d * scale;
        long double bound = (s.mean_bound + 2 * distance_bound(&s, dtype, d)) * scale +
                            fabsl(value) * (spread_bound / spread + 8 * epsilon);
        bound += oracle_tiny(dtype);
        if (!oracle_absent(call, 1)) {
            long double weight = element(&call->in[1], i);
            value *= weight;
            bound = bound * fabsl(weight) + 2 * epsilon * fabsl(value);
        }
        if (layer && !oracle_absent(call, 2)) {
            value += element(&call->in[2], i);
            bound += 2 * epsilon * (fabsl(value) + fabsl(element(&call->in[2], i)));
        }
        bound += oracle_tiny(dtype) * 8;
        oracle_put_real(call->out, b->at[i], value, sound ? bound : INFINITY);
    }
}

static void bucket_cumsum(const Bucket *b) {
    OracleTensor *out = b->call->out;
    Sum sum = {.count = 0};
    uint64_t total = 0;
    for (int64_t i = 0; i < b->size; i++) {
        if (!out->real) {
            total += (uint64_t)b->x->integer[b->at[i]];
            out->integer[b->at[i]] = (int64_t)total;
            continue;
        }
        sum_add(&sum, element(b->x, b->at[i]));
        oracle_put_real(out, b->at[i], sum.value, sum_bound(&sum, out->dtype));
    }
}

/* ---- rules over buckets ---------------------------------------------------------------------- */

/* Bucket rules, and which axes a bucket holds. */
typedef struct BucketOp {
    BucketRule *rule;                         /* of one bucket */
    uint32_t (*axes)(const OracleCall *call); /* mask */
} BucketOp;

static uint32_t one_axis(const OracleCall *call) {
    return call->in[0].rank ? 1u << oracle_int(call, ATTR_AXIS) : 0;
}

static const BucketOp bucket_ops[OP_COUNT] = {
    [OP_SUM] = {bucket_sum, listed_axes},
    [OP_PROD] = {bucket_prod, listed_axes},
    [OP_MEAN] = {bucket_mean, listed_axes},
    [OP_MAX] = {bucket_extremum, listed_axes},
    [OP_MIN] = {bucket_extremum, listed_axes},
    [OP_ARGMAX] = {bucket_extremum, listed_axes},
    [OP_ARGMIN] = {bucket_extremum, listed_axes},
    [OP_ANY] = {bucket_any, listed_axes},
    [OP_ALL] = {bucket_any, listed_axes},
    [OP_VAR] = {bucket_var, listed_axes},
    [OP_LOGSUMEXP] = {bucket_logsumexp, listed_axes},
    [OP_CUMSUM] = {bucket_cumsum, one_axis},
    [OP_SOFTMAX] = {bucket_softmax, one_axis},
    [OP_LOG_SOFTMAX] = {bucket_softmax, one_axis},
    [OP_LAYER_NORM] = {bucket_norm, norm_axes},
    [OP_RMS_NORM] = {bucket_norm, norm_axes},
};

static OracleStatus by_buckets(const OracleCall *call) {
    const BucketOp *op = &bucket_ops[call->op];
    OracleBuckets buckets;
    if (!oracle_buckets(&call->in[0], op->axes(call), &buckets)) return ORACLE_NO_MEMORY;
    for (int64_t i = 0; i < buckets.count; i++) {
        Bucket b = {call, &call->in[0], buckets.at + i * buckets.size, buckets.size, i};
        op->rule(&b);
    }
    free(buckets.at);
    return ORACLE_OK;
}

/* ---- losses ---------------------------------------------------------------------------------- */

static OracleStatus cross_entropy(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *target = &call->in[1];
    OracleTensor *out = call->out;
    int32_t axis = x->rank > 1 ? 1 : 0;
    int64_t reduction = oracle_int(call, ATTR_REDUCTION), classes = x->dims[axis];
    OracleBuckets buckets;
    for (int64_t i = 0; i < target->count; i++)
        if (target->integer[i] < 0 || target->integer[i] >= classes) return ORACLE_DATA_ERROR;
    if (!oracle_buckets(x, 1u << axis, &buckets)) return ORACLE_NO_MEMORY;
    Sum total = {.count = 0};
    long double bounds = 0;
    for (int64_t i = 0; i < buckets.count; i++) {
        Bucket b = {call, x, buckets.at + i * buckets.size, buckets.size, i};
        long double largest = largest_of(&b), relative, sum = exponentials(&b, largest, &relative);
        long double picked = element(x, b.at[target->integer[i]]), log_sum = logl(sum);
        long double loss = log_sum - (picked - largest);
        long double bound =
            relative + oracle_tiny(x->dtype) +
            4 * oracle_epsilon(x->dtype) * (fabsl(log_sum) + fabsl(picked - largest));
        bool strange = !isfinite(loss) || fabsl(loss) > oracle_format(x->dtype).largest;
        if (reduction == REDUCTION_NONE) oracle_put_real(out, i, loss, strange ? INFINITY : bound);
        sum_add(&total, loss);
        bounds += strange ? INFINITY : bound;
    }
    free(buckets.at);
    if (reduction == 2) return ORACLE_OK;
    long double count = reduction == 0 ? (long double)buckets.count : 1,
                value = total.value / count;
    long double bound = (bounds + sum_bound(&total, x->dtype)) / count +
                        2 * oracle_epsilon(x->dtype) * fabsl(value);
    oracle_put_real(out, 0, value, buckets.count == 0 ? 0 : bound);
    return ORACLE_OK;
}

/* ---- contractions ---------------------------------------------------------------------------- */

/* A sum of products, of integers or of floats. */
typedef struct Dot {
    const OracleCall *call; /* the op */
    Sum sum;                /* of floats */
    uint64_t total;         /* of integers */
} Dot;

/* An element after conversion to the result's dtype. */
static OracleNumber converted(const OracleCall *call, const OracleTensor *x, int64_t at) {
    return oracle_convert(call->out->dtype, x->dtype, oracle_number(x, at));
}

static void dot_add(Dot *d, OracleNumber a, OracleNumber b) {
    if (d->call->out->real)
        sum_add(&d->sum, a.real * b.real);
    else
        d->total += (uint64_t)a.integer * (uint64_t)b.integer;
}

/* Element `to` of the result; `more` is what terms were off by before they were products. */
static void dot_put(Dot *d, int64_t to, const OracleTensor *bias, int64_t bias_at,
                    long double more) {
    OracleTensor *out = d->call->out;
    if (bias) dot_add(d, converted(d->call, bias, bias_at), (OracleNumber){1, 1});
    if (!out->real) {
        out->integer[to] = oracle_wrap(out->dtype, d->total);
        return;
    }
    bool plain = isfinite(d->sum.terms);
    long double bound =
        plain ? products_bound(&d->sum, out->dtype) : sum_bound(&d->sum, out->dtype);
    oracle_put_real(out, to, d->sum.value, bound + more);
}

/* One element of a product: both operands as rows of numbers with a stride. */
static void dot(const OracleCall *call, int64_t to, int64_t x_at, int64_t x_step, int64_t y_at,
                int64_t y_step, int64_t count, const OracleTensor *bias, int64_t bias_at) {
    Dot d = {.call = call};
    for (int64_t k = 0; k < count; k++)
        dot_add(&d, converted(call, &call->in[0], x_at + k * x_step),
                converted(call, &call->in[1], y_at + k * y_step));
    dot_put(&d, to, bias, bias_at, 0);
}

static OracleStatus matmul(const OracleCall *call) {
    const OracleTensor *x = &call->in[0], *y = &call->in[1], *out = call->out;
    int32_t at = out->rank;
    int64_t columns = y->rank > 1 ? y->dims[y->rank - 1] : 1, inner = x->dims[x->rank - 1];
    int32_t column_axis = y->rank > 1 ? --at : -1, row_axis = x->rank > 1 ? --at : -1;
    OracleTensor x_batch = {.rank = x->rank > 2 ? x->rank - 2 : 0};
    OracleTensor y_batch = {.rank = y->rank > 2 ? y->rank - 2 : 0};
    memcpy(x_batch.dims, x->dims, sizeof x_batch.dims);
    memcpy(y_batch.dims, y->dims, sizeof y_batch.dims);
    int64_t rows = x->rank > 1 ? x->dims[x->rank - 2] : 1;
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[SN_MAX_RANK];
        oracle_unravel(i, out->dims, out->rank, index);
        int64_t row = row_axis < 0 ? 0 : index[row_axis];
        int64_t column = column_axis < 0 ? 0 : index[column_axis];
        int64_t x_at = (oracle_broadcast(&x_batch, index, at) * rows + row) * inner;
        int64_t y_at = oracle_broadcast(&y_batch, index, at) * inner * columns + column;
        dot(call, i, x_at, 1, y_at, columns, inner, NULL, 0);
    }
    return ORACLE_OK;
}

static OracleStatus linear(const OracleCall *call) {
    const OracleTensor *weight = &call->in[1];
    int64_t columns = weight->dims[0], inner = weight->dims[1];
    const OracleTensor *bias = oracle_absent(call, 2) ? NULL : &call->in[2];
    for (int64_t i = 0; i < call->out->count; i++) {
        int64_t row = i / columns, column = i % columns;
        dot(call, i, row * inner, 1, column * inner, 1, inner, bias, column);
    }
    return ORACLE_OK;
}

/* x1[i] x2[j], rounded; what rounding does to the term of this weight is added to `off`. */
static OracleNumber rounded_product(const OracleCall *call, OracleNumber a, OracleNumber b,
                                    long double weight, long double *off) {
    if (!call->out->real)
        return (OracleNumber){0, (int64_t)((uint64_t)a.integer * (uint64_t)b.integer)};
    sn_dtype dtype = oracle_compute(call->out->dtype);
    OracleNumber product = {a.real * b.real, 0};
    long double error = oracle_epsilon(dtype) * fabsl(product.real) + oracle_tiny(dtype);
    bool strange = !isfinite(product.real) || fabsl(product.real) > oracle_format(dtype).largest;
    *off += strange ? INFINITY : isfinite(weight) ? error * fabsl(weight) : 0;
    return product;
}

/* A product that overflows is not what its term is. */
static OracleStatus bilinear(const OracleCall *call) {
    const OracleTensor *x1 = &call->in[0], *x2 = &call->in[1], *weight = &call->in[2];
    const OracleTensor *bias = oracle_absent(call, 3) ? NULL : &call->in[3];
    int64_t columns = weight->dims[0], size1 = weight->dims[1], size2 = weight->dims[2];
    for (int64_t i = 0; i < call->out->count; i++) {
        int64_t row = i / columns, column = i % columns;
        long double off = 0;
        Dot d = {.call = call};
        for (int64_t k = 0; k < size1 * size2; k++) {
            OracleNumber w = converted(call, weight, column * size1 * size2 + k);
            OracleNumber a = converted(call, x1, row * size1 + k / size2);
            OracleNumber b = converted(call, x2, row * size2 + k % size2);
            dot_add(&d, rounded_product(call, a, b, w.real, &off), w);
        }
        dot_put(&d, i, bias, column, off);
    }
    return ORACLE_OK;
}

/* ---- attention ------------------------------------------------------------------------------- */

/* Scores of one query with all keys. */
static void attention_scores(const OracleCall *call, int64_t batch, int64_t row,
                             long double *scores, long double *bounds) {
    const OracleTensor *query = &call->in[0], *key = &call->in[1];
    int32_t rank = query->rank;
    int64_t width = query->dims[rank - 1], keys = key->dims[rank - 2], rows = query->dims[rank - 2];
    double scale = oracle_double(call, ATTR_SCALE);
    if (scale == 0) scale = 1 / sqrt((double)width);
    for (int64_t k = 0; k < keys; k++) {
        Sum sum = {.count = 0};
        for (int64_t d = 0; d < width; d++)
            sum_add(&sum, element(query, (batch * rows + row) * width + d) *
                              element(key, (batch * keys + k) * width + d));
        scores[k] = sum.value * scale;
        bounds[k] = 2 * products_bound(&sum, query->dtype) * fabs(scale);
        if (oracle_bool(call, ATTR_CAUSAL) && k > row) scores[k] = -INFINITY;
        if (oracle_absent(call, 3)) continue;
        int64_t index[SN_MAX_RANK] = {0};
        const OracleTensor *mask = &call->in[3];
        OracleTensor leading = {.rank = rank - 2};
        memcpy(leading.dims, query->dims, sizeof leading.dims);
        oracle_unravel(batch, leading.dims, leading.rank, index);
        index[rank - 2] = row;
        index[rank - 1] = k;
        OracleNumber m = oracle_number(mask, oracle_broadcast(mask, index, rank));
        if (mask->real) {
            scores[k] += m.real; /* rounded: a large number leaves nothing of a small difference */
            if (isfinite(m.real)) bounds[k] += oracle_epsilon(query->dtype) * fabsl(scores[k]);
        } else if (!m.integer) {
            scores[k] = -INFINITY;
        }
    }
}

/* The largest error of the scores of a row; those that are so far below the largest that they have no
 * weight in any dtype do not count. */
static long double attention_worst(const long double *scores, const long double *bounds,
                                   int64_t keys) {
    long double largest = -INFINITY, worst = 0, negligible = 1500;
    for (int64_t k = 0; k < keys; k++)
        if (scores[k] - bounds[k] > largest) largest = scores[k] - bounds[k];
    for (int64_t k = 0; k < keys; k++) {
        bool counts = scores[k] > -INFINITY && scores[k] + bounds[k] > largest - negligible;
        if (counts && bounds[k] > worst) worst = bounds[k];
    }
    return worst;
}

static void attention_row(const OracleCall *call, int64_t batch, int64_t row, long double *scores,
                          long double *bounds) {
    const OracleTensor *value = &call->in[2];
    int32_t rank = value->rank;
    int64_t keys = value->dims[rank - 2], width = value->dims[rank - 1];
    int64_t rows = call->in[0].dims[rank - 2];
    sn_dtype dtype = call->out->dtype;
    long double largest = -INFINITY, sum = 0, epsilon = oracle_epsilon(dtype);
    long double worst = attention_worst(scores, bounds, keys);
    bool strange = false;
    for (int64_t k = 0; k < keys; k++) {
        strange = strange || isnan(scores[k]) || scores[k] == INFINITY;
        if (scores[k] > largest) largest = scores[k];
        if (bounds[k] == INFINITY) strange = true;
    }
    bool unseen = largest == -INFINITY;
    for (int64_t k = 0; k < keys && !unseen; k++) sum += expl(scores[k] - largest);
    for (int64_t d = 0; d < width; d++) {
        Sum mixed = {.count = 0};
        long double lost = 0; /* by weights that are subnormal */
        for (int64_t k = 0; k < keys; k++) {
            long double x = element(value, (batch * keys + k) * width + d);
            sum_add(&mixed, (unseen ? 0 : expl(scores[k] - largest) / sum) * x);
            lost += 2 * oracle_tiny(dtype) * fabsl(x);
        }
        long double relative = 4 * worst + epsilon * (long double)(keys + 200);
        long double bound = products_bound(&mixed, dtype) + relative * mixed.terms + lost;
        if (dtype_is_half(dtype)) bound += oracle_ulp(dtype, mixed.value);
        bool unclear = strange || !isfinite(mixed.terms) || worst > 0.1L;
        oracle_put_real(call->out, (batch * rows + row) * width + d, mixed.value,
                        unclear ? INFINITY : bound);
    }
}

static OracleStatus attention(const OracleCall *call) {
    const OracleTensor *query = &call->in[0], *key = &call->in[1];
    int64_t batches = 1, rows = query->dims[query->rank - 2], keys = key->dims[key->rank - 2];
    for (int32_t i = 0; i < query->rank - 2; i++) batches *= query->dims[i];
    long double *scores = calloc((size_t)(2 * keys) + 1, sizeof *scores);
    if (!scores) return ORACLE_NO_MEMORY;
    for (int64_t b = 0; b < batches; b++)
        for (int64_t row = 0; row < rows; row++) {
            attention_scores(call, b, row, scores, scores + keys);
            attention_row(call, b, row, scores, scores + keys);
        }
    free(scores);
    return ORACLE_OK;
}

OracleRule *oracle_reduce_rule(OpCode op) {
    static OracleRule *const rules[OP_COUNT] = {
        [OP_CROSS_ENTROPY] = cross_entropy, [OP_MATMUL] = matmul,       [OP_LINEAR] = linear,
        [OP_BILINEAR] = bilinear,           [OP_ATTENTION] = attention,
    };
    return bucket_ops[op].rule ? by_buckets : rules[op];
}
