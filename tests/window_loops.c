/* Plain loops of convolutions and pools; see window_loops.h. */
#include "tests/window_loops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 512, PADDING = -1 };

static void *memory(int64_t count, size_t size) {
    void *data = malloc((size_t)(count + 1) * size);
    if (data) return data;
    printf("out of memory\n");
    exit(1);
}

/* ---- windows --------------------------------------------------------------------------------- */

int64_t window_count(const WindowCall *c, int32_t axis) {
    int64_t padded = c->size[axis] + 2 * c->padding[axis], stride = c->stride[axis];
    int64_t rest = padded - c->dilation[axis] * (c->taps[axis] - 1) - 1; /* behind the first */
    if (rest < 0) return 0;
    if (!c->ceil) return rest / stride + 1;
    int64_t last = (rest + stride - 1) / stride; /* which begins within x, or is none */
    return last * stride < c->size[axis] + c->padding[axis] ? last + 1 : last;
}

int64_t window_places(const WindowCall *c) {
    return window_count(c, 0) * window_count(c, 1) * window_count(c, 2);
}

int64_t window_taps(const WindowCall *c) {
    return c->taps[0] * c->taps[1] * c->taps[2];
}

/* Where a tap of a window lies in a channel, or PADDING. */
static int64_t spot_of(const WindowCall *c, int64_t place, int64_t tap) {
    int64_t spot = 0, apart = 1;
    bool inside = true;
    for (int32_t i = WINDOW_AXES - 1; i >= 0; i--) {
        int64_t count = window_count(c, i);
        int64_t at =
            place % count * c->stride[i] + tap % c->taps[i] * c->dilation[i] - c->padding[i];
        inside = inside && at >= 0 && at < c->size[i];
        spot += at * apart;
        apart *= c->size[i];
        place /= count;
        tap /= c->taps[i];
    }
    return inside ? spot : PADDING;
}

/* Those of all taps of all windows. */
static int64_t *all_spots(const WindowCall *c) {
    int64_t places = window_places(c), taps = window_taps(c);
    int64_t *spots = memory(places * taps, sizeof *spots);
    for (int64_t i = 0; i < places * taps; i++) spots[i] = spot_of(c, i / taps, i % taps);
    return spots;
}

static int64_t area(const WindowCall *c) {
    return c->size[0] * c->size[1] * c->size[2];
}

static double one_nan(double y) {
    return isnan(y) ? (double)NAN : y;
}

/* ---- convolutions ---------------------------------------------------------------------------- */

static double add(double x, double y, bool wide) {
    return wide ? x + y : (double)((float)x + (float)y);
}

/* The sum, from the left, of chunk sums, each of which is a chain from +0. */
static double chain(const double *x, const double *w, int64_t k, bool wide) {
    double sum = 0;
    for (int64_t first = 0; first < k; first += CHUNK) {
        double part = 0;
        for (int64_t i = first; i < k && i < first + CHUNK; i++)
            part =
                wide ? fma(x[i], w[i], part) : (double)fmaf((float)x[i], (float)w[i], (float)part);
        sum = first == 0 ? part : add(sum, part, wide);
    }
    return sum;
}

/* w as [groups * out, taps…, in]: in the order of k. */
static double *by_taps(const WindowCall *c, const double *w) {
    int64_t taps = window_taps(c), rows = c->groups * c->out;
    double *turned = memory(rows * taps * c->in, sizeof *turned);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t channel = 0; channel < c->in; channel++)
            for (int64_t tap = 0; tap < taps; tap++)
                turned[(row * taps + tap) * c->in + channel] =
                    w[(row * c->in + channel) * taps + tap];
    return turned;
}

/* What a window sees of the channels of a group, in the order of k; padding is +0. */
static void gather(const WindowCall *c, const int64_t *spots, const double *x, double *seen) {
    for (int64_t tap = 0; tap < window_taps(c); tap++)
        for (int64_t channel = 0; channel < c->in; channel++)
            *seen++ = spots[tap] == PADDING ? 0 : x[channel * area(c) + spots[tap]];
}

static void convolve(const WindowCall *c, bool wide, const double *x, const double *w,
                     const double *b, double *y) {
    int64_t places = window_places(c), taps = window_taps(c), k = taps * c->in;
    int64_t *spots = all_spots(c);
    double *columns = by_taps(c, w), *seen = memory(k, sizeof *seen);
    for (int64_t i = 0; i < c->batch * c->groups; i++)
        for (int64_t place = 0; place < places; place++) {
            gather(c, spots + place * taps, x + i * c->in * area(c), seen);
            for (int64_t j = 0; j < c->out; j++) {
                int64_t out = i % c->groups * c->out + j;
                double sum = chain(seen, columns + out * k, k, wide);
                if (b) sum = add(sum, b[out], wide);
                y[(i * c->out + j) * places + place] = one_nan(sum);
            }
        }
    free(spots), free(columns), free(seen);
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* NaN is above all, and +0 above -0. */
static bool is_above(double x, double y) {
    if (isnan(x) || isnan(y)) return isnan(x);
    return x > y || (x == y && signbit(y) > signbit(x));
}

static double largest(const int64_t *spots, int64_t taps, const double *x) {
    double most = -INFINITY;
    for (int64_t tap = 0; tap < taps; tap++)
        if (spots[tap] != PADDING && is_above(x[spots[tap]], most)) most = x[spots[tap]];
    return most;
}

/* What the sum of a window is divided by. */
static int64_t elements(const WindowCall *c, int64_t place) {
    int64_t product = 1;
    for (int32_t i = WINDOW_AXES - 1; i >= 0; i--) {
        int64_t count = window_count(c, i), size = c->size[i], before = 0;
        if (c->count_pad) before = c->padding[i];
        int64_t first = place % count * c->stride[i] - c->padding[i], last = first + c->taps[i];
        first = first < -before ? -before : first;
        last = last > size + before ? size + before : last;
        product *= last - first;
        place /= count;
    }
    return product;
}

/* Of fewer taps than a chunk of such a sum has. */
static double average(const int64_t *spots, int64_t taps, const double *x, int64_t count,
                      bool wide) {
    double sum = -0.0; /* which no sum sees */
    for (int64_t tap = 0; tap < taps; tap++)
        if (spots[tap] != PADDING) sum = add(sum, x[spots[tap]], wide);
    return wide ? sum / (double)count : (double)((float)sum / (float)count);
}

static void pool(const WindowCall *c, bool wide, const double *x, double *y) {
    int64_t places = window_places(c), taps = window_taps(c), *spots = all_spots(c);
    for (int64_t i = 0; i < c->batch * c->groups * c->in; i++)
        for (int64_t place = 0; place < places; place++) {
            const int64_t *at = spots + place * taps;
            const double *channel = x + i * area(c);
            double value = c->op == WINDOW_MAX
                               ? largest(at, taps, channel)
                               : average(at, taps, channel, elements(c, place), wide);
            y[i * places + place] = one_nan(value);
        }
    free(spots);
}

void window_run(const WindowCall *c, bool wide, const double *x, const double *w, const double *b,
                double *y) {
    if (c->op == WINDOW_CONV)
        convolve(c, wide, x, w, b, y);
    else
        pool(c, wide, x, y);
}
