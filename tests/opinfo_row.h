/* Rows of the tables that say how each PyTorch operator is called here. */
#ifndef SN_TESTS_OPINFO_ROW_H
#define SN_TESTS_OPINFO_ROW_H

#include "opinfo_call.h"

typedef sn_tensor *OpinfoUnary(sn_tensor *x);
typedef sn_tensor *OpinfoBinary(sn_tensor *x, sn_tensor *y);
typedef sn_tensor *OpinfoReduce(sn_tensor *x, const int64_t *axes, int32_t count, bool keepdim);
typedef sn_tensor *OpinfoAxis(sn_tensor *x, int64_t axis);
typedef sn_tensor *OpinfoConv(sn_tensor *x, sn_tensor *weight, sn_tensor *bias,
                              const int64_t *stride, int32_t stride_count, const int64_t *padding,
                              int32_t padding_count, const int64_t *dilation,
                              int32_t dilation_count, int64_t groups);
typedef sn_tensor *OpinfoConvTranspose(sn_tensor *x, sn_tensor *weight, sn_tensor *bias,
                                       const int64_t *stride, int32_t stride_count,
                                       const int64_t *padding, int32_t padding_count,
                                       const int64_t *out_padding, int32_t out_padding_count,
                                       int64_t groups, const int64_t *dilation,
                                       int32_t dilation_count);
typedef sn_tensor *OpinfoMaxPool(sn_tensor *x, const int64_t *kernel, int32_t kernel_count,
                                 const int64_t *stride, int32_t stride_count,
                                 const int64_t *padding, int32_t padding_count,
                                 const int64_t *dilation, int32_t dilation_count, bool ceil);
typedef sn_tensor *OpinfoAvgPool(sn_tensor *x, const int64_t *kernel, int32_t kernel_count,
                                 const int64_t *stride, int32_t stride_count,
                                 const int64_t *padding, int32_t padding_count, bool ceil,
                                 bool count_pad, int64_t divisor);

typedef sn_tensor *OpinfoAdaptive(sn_tensor *x, const int64_t *sizes, int32_t sizes_count);

/* An operator: evaluated by `form`, which reads the arguments and leaves the results. It gives
 * false and sets call->skip when there is no such op here; after an error, which is the thread's,
 * results are NULL. */
typedef struct OpinfoRow {
    const char *op;      /* PyTorch's name */
    const char *variant; /* of the recorded calls; NULL = any */
    bool (*form)(OpinfoCall *call, const struct OpinfoRow *row); /* false: skipped */
    union {
        OpinfoUnary *unary;                  /* x */
        OpinfoBinary *binary;                /* x, y */
        OpinfoReduce *reduce;                /* x, axes, keepdim */
        OpinfoAxis *axis;                    /* x, axis */
        OpinfoConv *conv;                    /* x, weight, bias, numbers by axis, groups */
        OpinfoConvTranspose *conv_transpose; /* as conv, in another order */
        OpinfoMaxPool *max_pool;             /* x, numbers by axis, ceil */
        OpinfoAvgPool *avg_pool;             /* x, numbers by axis, ceil, count_pad */
        OpinfoAdaptive *adaptive;            /* x, sizes */
        sn_dtype dtype;                      /* of a cast */
        double number;                       /* a fill value */
    } with;                                  /* what the form works with */
} OpinfoRow;

/* A row whose form needs nothing more. */
#define FORM(name, form)                                                                           \
    {                                                                                              \
        name, NULL, form, {                                                                        \
            .unary = NULL                                                                          \
        }                                                                                          \
    }

/* A table of rows. */
typedef struct OpinfoTable {
    const OpinfoRow *rows; /* rows */
    size_t count;          /* how many */
} OpinfoTable;

#endif
