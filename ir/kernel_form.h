/* What each op of kernel IR looks like: its form in the text, how many values it takes and of which
 * dtypes, and the dtype of its result. One table for builder, printer, parser, verifier,
 * interpreter and back ends. */
#ifndef SN_IR_KERNEL_FORM_H
#define SN_IR_KERNEL_FORM_H

#include "ir/dtype.h"
#include "ir/op.h"

typedef enum KForm {
    KFORM_NONE,   /* no op of kernel IR */
    KFORM_PRIM,   /* %r = op %x, %y : dtype */
    KFORM_CONST,  /* %r = const f32 0x1.8p+0 */
    KFORM_PARAM,  /* %r = param p2 : f32 */
    KFORM_INDEX,  /* %r = index i : i64 */
    KFORM_GRID,   /* %r = grid_index 0 : i64 */
    KFORM_LOAD,   /* %r = load c0 if %p : f32 */
    KFORM_STORE,  /* store c1 %x if %p; store_add alike */
    KFORM_CHECK,  /* check %x p5 */
    KFORM_LOOP,   /* loop i vector */
    KFORM_END,    /* end */
    KFORM_REDUCE, /* %r = reduce_sum %x row : f32 */
    KFORM_SCAN    /* %r = scan_sum %x : f32 */
} KForm;

typedef enum KResult {
    KRESULT_NONE, /* no value */
    KRESULT_SAME, /* the dtype of in[0] */
    KRESULT_TAIL, /* the dtype of in[1] (WHERE) */
    KRESULT_BOOL, /* bool */
    KRESULT_I64,  /* i64 */
    KRESULT_OWN   /* as the instruction says */
} KResult;

typedef struct KOpRow {
    uint8_t form;     /* KForm */
    uint8_t n_inputs; /* values it takes, a predicate not counted */
    uint8_t result;   /* KResult */
    uint16_t inputs;  /* set of dtypes (bit = sn_dtype) that the inputs may have */
    uint16_t results; /* set of dtypes that a result of KRESULT_OWN may have */
} KOpRow;

/* Rows of ops outside kernel IR are zero. */
extern const KOpRow kop_rows[OP_COUNT];

/* The row of any opcode, valid or not. */
static inline const KOpRow *kop_row(uint32_t op) {
    return &kop_rows[op < OP_COUNT ? op : OP_INPUT];
}
static inline bool kop_has_value(uint32_t op) {
    return kop_row(op)->result != KRESULT_NONE;
}

/* The one representation of a value's bits (see ir/dtype.h): bytes above the type's size become its
 * sign extension for signed integers and zero for all others; bool is 0 or 1. */
static inline uint64_t scalar_canonical(sn_dtype dtype, uint64_t bits) {
    switch (dtype) {
    case SN_BOOL:
        return bits != 0;
    case SN_U8:
        return (uint8_t)bits;
    case SN_I8:
        return (uint64_t)(int64_t)(int8_t)bits;
    case SN_I16:
        return (uint64_t)(int64_t)(int16_t)bits;
    case SN_I32:
        return (uint64_t)(int64_t)(int32_t)bits;
    case SN_F16:
    case SN_BF16:
        return (uint16_t)bits;
    case SN_F32:
        return (uint32_t)bits;
    case SN_I64:
    case SN_F64:
        break;
    }
    return bits;
}

#endif
