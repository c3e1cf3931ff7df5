/* What each op of kernel IR is: its form in the text, how many values it takes and of which dtypes, the
 * dtype of its result, and how it merges values. One table for builder, printer, parser, verifier,
 * interpreter and back ends; they ask for facts, not for ops. */
#ifndef SN_IR_KERNEL_FORM_H
#define SN_IR_KERNEL_FORM_H

#include "ir/op/dtype.h"
#include "ir/op/op.h"

typedef enum KForm {
    KFORM_NONE,    /* no op of kernel IR */
    KFORM_PRIM,    /* %r = op %x, %y : dtype */
    KFORM_CONST,   /* %r = const f32 0x1.8p+0 */
    KFORM_PARAM,   /* %r = param p2 : f32 */
    KFORM_INDEX,   /* %r = index i : i64 */
    KFORM_GRID,    /* %r = grid_index 0 : i64 */
    KFORM_LOAD,    /* %r = load c0 if %p : f32 */
    KFORM_STORE,   /* store c1 %x if %p; store_add alike */
    KFORM_ADDRESS, /* %r = address c0 : i64 */
    KFORM_CHECK,   /* check %x p5 */
    KFORM_LOOP,    /* loop i vector */
    KFORM_END,     /* end */
    KFORM_REDUCE,  /* %r = reduce_sum %x row : f32 */
    KFORM_SCAN     /* %r = scan_sum %x : f32 */
} KForm;

typedef enum KResult {
    KRESULT_NONE, /* no value */
    KRESULT_SAME, /* the dtype of in[0] */
    KRESULT_TAIL, /* the dtype of in[1] (WHERE) */
    KRESULT_BOOL, /* bool */
    KRESULT_I64,  /* i64 */
    KRESULT_OWN,  /* as the instruction says */
    KRESULT_BITS  /* the same, of the size of in[0] */
} KResult;

/* Where an accumulator starts: the value that changes none it merges with. */
typedef enum KStart {
    KSTART_ZERO,   /* 0; -0.0 for floats */
    KSTART_ONE,    /* 1 */
    KSTART_LEAST,  /* the dtype's least value, -inf for floats */
    KSTART_LARGEST /* the dtype's largest, +inf */
} KStart;

/* KOpRow.merge of ops that merge nothing. */
#define KMERGE_NONE OP_INPUT

typedef struct KOpRow {
    uint8_t form;     /* KForm */
    uint8_t n_inputs; /* values it takes, a predicate not counted */
    uint8_t result;   /* KResult */
    uint8_t flags;    /* KFlags that it may carry */
    uint8_t start;    /* REDUCE, SCAN: KStart */
    uint16_t merge;   /* REDUCE, SCAN, a STORE that adds: the op that makes one value of two;
                       * ARGMAX, ARGMIN: the comparison that the better value wins */
    uint16_t inputs;  /* set of dtypes (bit = sn_dtype) that the inputs may have */
    uint16_t results; /* set of dtypes that a result of KRESULT_OWN or BITS may have */
} KOpRow;

/* Rows of ops outside kernel IR are zero. */
extern const KOpRow kop_rows[OP_COUNT];

/* The row of any opcode, valid or not. */
static inline const KOpRow *kop_row(uint32_t op) {
    return &kop_rows[op < OP_COUNT ? op : OP_INPUT];
}
static inline bool kop_is(uint32_t op, KForm form) {
    return kop_row(op)->form == form;
}
static inline bool kop_has_value(uint32_t op) {
    return kop_row(op)->result != KRESULT_NONE;
}
/* Has an access: reads or writes the element that it names, or says where that lies? */
static inline bool kop_is_access(uint32_t op) {
    return kop_is(op, KFORM_LOAD) || kop_is(op, KFORM_STORE) || kop_is(op, KFORM_ADDRESS);
}
/* A store that reads the element too, so that trips have to follow one another? */
static inline bool kop_adds_in_memory(uint32_t op) {
    return kop_is(op, KFORM_STORE) && kop_row(op)->merge != KMERGE_NONE;
}
/* Takes in a value in each trip of its loop? */
static inline bool kop_accumulates(uint32_t op) {
    return kop_is(op, KFORM_REDUCE) || kop_is(op, KFORM_SCAN);
}
/* A reduction of products, which takes in two values in each trip? */
static inline bool kop_is_chain(uint32_t op) {
    return kop_is(op, KFORM_REDUCE) && kop_row(op)->n_inputs == 2;
}
/* Would another order of merging give other bits? A float's extreme is the same in any. */
static inline bool kop_is_ordered(uint32_t op, sn_dtype dtype) {
    const KOpRow *row = kop_row(op);
    bool adds_or_multiplies = row->start == KSTART_ZERO || row->start == KSTART_ONE;
    return kop_accumulates(op) && adds_or_multiplies && dtype_is_float(dtype);
}
/* Does the first operand, a condition, choose between the others? */
static inline bool kop_chooses(uint32_t op) {
    return kop_row(op)->result == KRESULT_TAIL;
}
/* The first operand of the dtype that the op computes in. */
static inline uint32_t kop_first_typed(uint32_t op) {
    return kop_chooses(op) ? 1 : 0;
}

/* The op of kernel IR that carries out a graph's reduction, one of those that decompose leaves. */
OpCode kop_of_reduction(OpCode op);
/* Are the results of parts, reduced alike, the result of the whole? Not the index of the best value. */
static inline bool kop_joins_parts(uint32_t op) {
    return kop_is(op, KFORM_REDUCE) && kop_row(op)->result == KRESULT_SAME && !kop_is_chain(op);
}

/* Bits of where an accumulator of this dtype starts. */
uint64_t kstart_bits(KStart start, sn_dtype dtype);

/* The one representation of a value's bits (see ir/op/dtype.h): bytes above the type's size become its
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
