/* Comparison of results: with PyTorch's within its tolerances, of two runs of ours bit by bit. */
#ifndef SN_TESTS_OPINFO_CHECK_H
#define SN_TESTS_OPINFO_CHECK_H

#include <sinter/sinter.h>

enum { OPINFO_TEXT = 600 }; /* bytes of a message */

/* One result, copied out of its tensor. */
typedef struct OpinfoResult {
    sn_dtype dtype;               /* of the elements */
    int32_t rank;                 /* number of axes */
    int64_t dims[SN_MAX_RANK];    /* sizes */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int64_t count;                /* elements */
    void *data;                   /* dense elements, owned */
} OpinfoResult;

/* Reads a tensor; false and a message on error. Free with opinfo_result_free. */
bool opinfo_result_read(OpinfoResult *result, sn_tensor *tensor, char *message);
void opinfo_result_free(OpinfoResult *result);

/* How far results of an operator may lie from PyTorch's. */
typedef struct OpinfoTolerance {
    const char *op;     /* operator */
    sn_dtype dtype;     /* of the result */
    double rtol, atol;  /* |ours - theirs| <= atol + rtol * |theirs| */
    const char *reason; /* why it is not PyTorch's own tolerance */
} OpinfoTolerance;

/* Does the result agree with PyTorch's in dtype, shape and, where `defined` (bool, may be NULL)
 * says so, values? A message says where not. */
bool opinfo_agrees(const OpinfoResult *ours, const OpinfoResult *theirs,
                   const OpinfoResult *defined, const char *op, char *message);
/* Do two results agree in every bit (the payloads of NaN aside) and in their strides? */
bool opinfo_identical(const OpinfoResult *a, const OpinfoResult *b, char *message);

#endif
