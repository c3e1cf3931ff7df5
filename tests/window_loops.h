/* Convolutions and pools as plain C loops of their definition (docs/numerics.md, "Order of sums"), rounding
 * by rounding: what the library computes has these bits. */
#ifndef SN_TESTS_WINDOW_LOOPS_H
#define SN_TESTS_WINDOW_LOOPS_H

#include <stdbool.h>
#include <stdint.h>

enum { WINDOW_AXES = 3 };

typedef enum WindowOp { WINDOW_CONV, WINDOW_MAX, WINDOW_AVERAGE } WindowOp;

/* One of x, [batch, channels, spatial…]. It always has three spatial axes: with fewer, the first ones are
 * of one element, in windows of one. */
typedef struct WindowCall {
    WindowOp op;                                       /* what is computed of the windows */
    int64_t batch, groups;                             /* sizes; of pools one group */
    int64_t in, out;                                   /* channels of a group; of pools alike */
    int64_t size[WINDOW_AXES];                         /* of x */
    int64_t taps[WINDOW_AXES], dilation[WINDOW_AXES];  /* of a window, and how far apart they are */
    int64_t stride[WINDOW_AXES], padding[WINDOW_AXES]; /* as the ops have them */
    bool ceil, count_pad;                              /* the same, of pools */
} WindowCall;

/* Windows along an axis; 0: not even one fits. */
int64_t window_count(const WindowCall *call, int32_t axis);
/* The same of all axes together. */
int64_t window_places(const WindowCall *call);
int64_t window_taps(const WindowCall *call);
/* y, [batch, groups * out, places…], of dense x and, of a convolution, w, [groups * out, in, taps…], and
 * b, [groups * out], or NULL. All numbers are those of f64, or, not `wide`, of f32. NaNs are the canonical
 * one. */
void window_run(const WindowCall *call, bool wide, const double *x, const double *w,
                const double *b, double *y);

#endif
