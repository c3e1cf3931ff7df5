/* The op table in memory: identifiers, classes, rules and flags, expanded from op.def and
 * op_rules.def. */
#ifndef SN_IR_OP_OP_H
#define SN_IR_OP_OP_H

#include "base/assert.h"

#include <sinter/base.h>

typedef enum OpCode {
#define OP(id, name, klass, signature, dtype_rule, shape_rule, flags, about, elsewhere) OP_##id,
#include "ir/op/op.def"
#undef OP
    OP_COUNT
} OpCode;

typedef enum OpClass {
#define OP_CLASS(id, heading) CLASS_##id,
#include "ir/op/op_rules.def"
    CLASS_COUNT
} OpClass;

typedef enum DtypeRule {
#define DTYPE_RULE(id, function, promotes_from, text) DTYPE_##id,
#include "ir/op/op_rules.def"
    DTYPE_RULE_COUNT
} DtypeRule;

typedef enum ShapeRule {
#define SHAPE_RULE(id, function, text) SHAPE_##id,
#include "ir/op/op_rules.def"
    SHAPE_RULE_COUNT
} ShapeRule;

enum OpFlags {
    F_COMMUTES = 1,   /* inputs 0 and 1 may be exchanged */
    F_PRIM = 2,       /* a scalar primitive: every back end and the evaluator emit it directly */
    F_INPLACE = 4,    /* has a public in-place form, sn_NAME_ */
    F_FAILS = 8,      /* can fail on data: never dead code */
    F_PUBLIC = 16,    /* declared in ops.h */
    F_NO_VN = 32,     /* two equal nodes are not the same value */
    F_CONTRACTS = 64, /* operands reach a matrix product: it is one, or is decomposed into some */
    F_MOVES = 128,    /* its floats are elements of its operands, bit for bit (ir/graph/nan.h) */
    F_SIGN = 256,     /* sees the sign of a NaN in its last operand */
    F_WRAPS = 512,    /* integers: operands reduced to fewer bits give the result reduced to them */
    F_PICKS = 1024,   /* the result is one of the operands, by their order */
    F_COMPARES = 2048 /* says how two operands are ordered */
};

enum {
    OP_MOST_PARAMS = 8,     /* parameters of an op */
    OP_MOST_PARAM_NAME = 13 /* characters of a parameter's name */
};

/* One parameter of an op's signature. */
typedef struct OpParam {
    char name[OP_MOST_PARAM_NAME + 1]; /* its name in C and in dumps */
    char kind;                         /* t l L d b y e h r */
    char suffix;                       /* 0, '?' for t?, '*' for t* */
    bool is_size;                      /* l~, L~, h~: may follow from sizes: its words are Dims */
    bool is_real;                      /* d~: may be a scalar of the call; see attr_scalar */
    uint8_t attr; /* AttrName (ir/op/attr.h); 0 for operands, which are tensors and generators */
} OpParam;

/* The parameters of a signature that are operands, in order. */
typedef struct OpOperands {
    int8_t count;                  /* how many */
    int8_t array;                  /* which of them is an array; -1 = none */
    int8_t params[OP_MOST_PARAMS]; /* the parameter of each */
    bool numbers; /* some other parameter is a number that may be a scalar of the call */
} OpOperands;

/* A signature, parsed. */
typedef struct OpSignature {
    uint16_t first;      /* its first parameter in op_param_list */
    uint8_t n_params;    /* its parameters */
    OpOperands operands; /* which of them are operands */
} OpSignature;

typedef struct OpInfo {
    const char *name;      /* the op's name, and after sn_ the function's */
    const char *signature; /* see op.def */
    const char *about;     /* one line of documentation */
    uint8_t klass;         /* OpClass */
    uint8_t dtype_rule;    /* DtypeRule */
    uint8_t shape_rule;    /* ShapeRule */
    uint16_t flags;        /* OpFlags */
} OpInfo;

/* The table. */
extern const OpInfo op_info[OP_COUNT];
/* By DtypeRule: operands from this one on are brought to one dtype; -1: none are. */
extern const int8_t dtype_promotes_from[DTYPE_RULE_COUNT];
/* What tools/gen_signatures.c makes of it when the library is built: signatures, their parameters one
 * after the other, and the ops (OpCode) in the order of their names. */
extern const OpSignature op_signatures[OP_COUNT];
extern const OpParam op_param_list[];
extern const uint16_t op_by_name[OP_COUNT];

/* The parsed signature; `*count` parameters. */
static inline const OpParam *op_params(OpCode op, int32_t *count) {
    *count = op_signatures[op].n_params;
    return &op_param_list[op_signatures[op].first];
}
static inline const OpOperands *op_operands(OpCode op) {
    return &op_signatures[op].operands;
}
/* The parameter that operand `input` of `n_inputs` is of: an array has what the others leave. */
static inline int32_t op_operand_param(const OpOperands *operands, int32_t input,
                                       int32_t n_inputs) {
    SN_ASSERT(input >= 0 && input < n_inputs);
    if (operands->array < 0 || input <= operands->array) return operands->params[input];
    int32_t behind = input - (n_inputs - operands->count);
    return operands->params[behind > operands->array ? behind : operands->array];
}
/* Op with this name, or OP_COUNT. */
OpCode op_find(const char *name, size_t length);

static inline bool op_is(OpCode op, OpClass klass) {
    SN_ASSERT((uint32_t)op < OP_COUNT);
    return op_info[op].klass == klass;
}
static inline bool op_has(OpCode op, int flags) {
    SN_ASSERT((uint32_t)op < OP_COUNT);
    return (op_info[op].flags & flags) == flags;
}
/* The first of the operands that the op brings to one dtype; -1: each keeps its own. */
static inline int32_t op_promotes_from(OpCode op) {
    SN_ASSERT((uint32_t)op < OP_COUNT);
    return dtype_promotes_from[op_info[op].dtype_rule];
}
/* Is the result memory of its own, whatever else has the same elements: a copy, room for updates? */
static inline bool op_makes_memory(OpCode op) {
    return op_has(op, F_NO_VN) && !op_is(op, CLASS_RANDOM);
}
/* Is the type of a node what its maker says, an argument's or a constant's? Of others it follows. */
static inline bool op_is_given_type(OpCode op) {
    return op_is(op, CLASS_SOURCE) && op_info[op].shape_rule == SHAPE_NONE;
}

#endif
