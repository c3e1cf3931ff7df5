/* Types of values: dtype and dims. */
#ifndef SN_IR_OP_TYPE_H
#define SN_IR_OP_TYPE_H

#include "base/strbuf.h"
#include "ir/op/attr.h"

/* dtype and shape of a value, and how strongly it counts in dtype promotion. */
typedef struct TensorType {
    uint8_t dtype;         /* sn_dtype */
    uint8_t rank;          /* 0 … SN_MAX_RANK */
    uint8_t strength;      /* DtypeStrength */
    Dim dims[SN_MAX_RANK]; /* sizes; [rank …] unused */
} TensorType;

/* The rank of an operand that is absent. */
enum { RANK_ABSENT = 255 };
static inline bool type_absent(const TensorType *type) {
    return type->rank == RANK_ABSENT;
}
static inline bool type_same_dims(const TensorType *a, const TensorType *b) {
    return a->rank == b->rank && dims_same(a->dims, b->dims, a->rank);
}

/* Elements of sizes, of dims; -1 when the product (or its size in bytes for 8-byte elements) overflows. */
int64_t sizes_count(const int64_t *sizes, int32_t rank);
Dim dims_count(DimTable *table, const Dim *dims, int32_t rank);
/* Of types without expressions: the elements, and the sizes. */
int64_t type_count(const TensorType *type);
static inline const int64_t *type_sizes(const TensorType *type) {
    return dims_as_numbers(type->dims, type->rank);
}

/* A type as text, for messages: "f32[2,3]", "absent". Sizes that are expressions are ?: such types are the
 * compiler's own, and refuse nothing that a user wrote. */
typedef struct TypeText {
    char text[192]; /* NUL-terminated */
} TypeText;
TypeText type_text(const TensorType *type);
/* The same of dims as a program wrote them: all are numbers, also one that no size can be. */
TypeText type_text_as_written(const TensorType *type);
void type_print(StrBuf *out, const TensorType *type);

#endif
