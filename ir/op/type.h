/* Types of values: dtype and dims, and what an op makes of those of its operands. */
#ifndef SN_IR_OP_TYPE_H
#define SN_IR_OP_TYPE_H

#include "base/strbuf.h"
#include "ir/op/attr.h"

#include <sinter/error.h>

/* dtype and shape of a value, and how strongly it counts in dtype promotion. */
typedef struct TensorType {
    uint8_t dtype;         /* sn_dtype */
    uint8_t rank;          /* 0 … SN_MAX_RANK */
    uint8_t strength;      /* DtypeStrength */
    Dim dims[SN_MAX_RANK]; /* sizes; [rank …] unused */
} TensorType;

/* Result type of an op, attributes normalised in place; on an error neither means anything. An absent
 * input has rank 255. The error's text begins with the op's name:
 * "matmul: inner sizes differ: x is f32[32,768], w is f32[512,3072]". */
sn_status op_infer(DimTable *table, OpCode op, const TensorType *inputs, int32_t n_inputs,
                   AttrList *attrs, TensorType *result, sn_error *error);
enum { RANK_ABSENT = 255 };
/* Elements of dims; -1 when the product (or its size in bytes for 8-byte elements) overflows. */
int64_t sizes_count(const int64_t *sizes, int32_t rank);
Dim dims_count(DimTable *table, const Dim *dims, int32_t rank);
/* Of types without expressions: the elements, and the sizes. */
int64_t type_count(const TensorType *type);
static inline const int64_t *type_sizes(const TensorType *type) {
    return dims_as_numbers(type->dims, type->rank);
}
static inline bool type_same_dims(const TensorType *a, const TensorType *b) {
    return a->rank == b->rank && dims_same(a->dims, b->dims, a->rank);
}
/* "f32[2,3]" */
void type_print(StrBuf *out, const TensorType *type);

#endif
