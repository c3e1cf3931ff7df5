/* One product or one convolution, described by a line, which programs of several libraries measure on
 * request: what benchmarks/compare.py sets side by side. Requests and answers are lines on standard input
 * and output, as those of `sinter bench --serve`:
 *   version -> ok TEXT
 *   gemm M K N TURNED BIAS RELU                          -> ok HOW
 *   conv N C H W OUT KH KW SH SW PH PW GROUPS BIAS RELU  -> ok HOW
 *   save FILE     -> ok              (the result, raw f32: rows, or with channels last)
 *   compare FILE  -> ok DIFFERENCE   (from what another program saved: its largest, over the largest number)
 *   run S         -> ok MEDIAN CALLS LEAST  (seconds of a call, sampled for about S seconds)
 *   quit
 * A failure is answered with "error TEXT". HOW says in a few words how it is computed. */
#ifndef BENCHMARKS_SHAPE_LINES_H
#define BENCHMARKS_SHAPE_LINES_H

#include <stdbool.h>
#include <stdint.h>

typedef enum ShapeKind { SHAPE_GEMM, SHAPE_CONV } ShapeKind;

/* y = relu(x w + bias). Of a product x is [rows, inner] and w [inner, columns], or its transpose. Of a
 * convolution x is [batch, height, width, channels], and w [out, channels / groups, taps, taps]. */
typedef struct Shape {
    ShapeKind kind;                         /* which members count */
    int64_t rows, inner, columns;           /* of a product */
    bool turned;                            /* its w lies as [columns, inner] */
    int64_t batch, channels, height, width; /* of x */
    int64_t out;                            /* channels of y */
    int64_t taps[2], stride[2], padding[2]; /* down, across */
    int64_t groups;                         /* of channels */
    bool bias, relu;                        /* what follows */
} Shape;

/* Operands of a shape, filled by one rule whatever the program: dense, f32, and as Shape has them. */
typedef struct Operands {
    float *x, *w, *bias; /* bias is there even where it is not asked for */
    float *y;            /* for what comes out: rows, or with channels last */
} Operands;

/* What a library is to the server. Each returns false, with `error` filled in, on failure. */
typedef struct ShapeLibrary {
    /* Makes ready for calls; what was ready before goes. `how` says how it is computed. */
    bool (*load)(const Shape *shape, const Operands *operands, char how[64]);
    /* One call. */
    bool (*call)(void);
    /* Puts the result of a call into operands->y. */
    bool (*result)(const Shape *shape, const Operands *operands);
    void (*unload)(void);
    char version[64]; /* name and version */
    char error[256];  /* what went wrong */
} ShapeLibrary;

/* Size of the convolution's result along an axis: 0 down, 1 across. */
int64_t shape_size(const Shape *shape, int axis);
/* Elements of operands. */
int64_t shape_x_count(const Shape *shape);
int64_t shape_w_count(const Shape *shape);
int64_t shape_y_count(const Shape *shape);
/* Channels, or columns, of the result. */
int64_t shape_channels(const Shape *shape);
/* Seconds of a call. */
typedef struct ShapeTime {
    double median, least; /* of the samples */
    int64_t calls;        /* in all samples */
} ShapeTime;
/* Samples calls for about so long. False on failure. */
bool shape_time(const ShapeLibrary *library, double seconds, ShapeTime *time);
/* Serves until "quit" or the end of the input; returns the exit status. */
int shape_serve(ShapeLibrary *library);

#endif
