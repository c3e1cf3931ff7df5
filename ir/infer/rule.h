/* Inside inference: the call that op_infer works on, and the helpers that its rules share. infer.c drives
 * and checks dtypes; a shape rule is a function, see op_rules.def. */
#ifndef SN_IR_INFER_RULE_H
#define SN_IR_INFER_RULE_H

#include "base/status.h"
#include "ir/infer/infer.h"

/* One call of op_infer. */
typedef struct Infer {
    DimTable *table;            /* of the dims; NULL: all are numbers */
    OpCode op;                  /* the op */
    int32_t n_inputs;           /* operands */
    const OpParam *params;      /* its signature */
    const OpOperands *operands; /* which of them are operands */
    const TensorType *inputs;   /* types of the operands */
    AttrList *attrs;            /* attributes, normalised in place */
    TensorType *result;         /* dtype first, then rank and dims are filled in */
    sn_error *error;            /* where a refusal goes */
    bool far;                   /* a size or position, as given, is no number that is a Dim */
} Infer;

typedef sn_status InferRule(Infer *call);

/* Returns from the enclosing function when the expression is an error. */
#define INFER_TRY(expression)                                                                      \
    do {                                                                                           \
        sn_status infer_try_status = (expression);                                                 \
        if (infer_try_status != SN_OK) return infer_try_status;                                    \
    } while (0)

/* Refuses the call with "NAME: TEXT"; the second form appends ": x is f32[2,3], y is f32[4]". */
sn_status infer_refuse(const Infer *call, sn_status status, const char *format, ...)
    SN_PRINTF(3, 4);
sn_status infer_refuse_types(const Infer *call, sn_status status, const char *format, ...)
    SN_PRINTF(3, 4);

/* A type as text, of dims that a program wrote, which need not be sizes. */
TypeText infer_wanted_text(const Infer *call, const TensorType *type);
/* Name of an operand: "x", or "xs[2]" in an array. */
typedef struct InputName {
    char text[32]; /* NUL-terminated */
} InputName;
InputName infer_input_name(const Infer *call, int32_t input);

static inline const TensorType *infer_input(const Infer *call, int32_t input) {
    SN_ASSERT(input >= 0 && input < call->n_inputs);
    return &call->inputs[input];
}
/* The parameter that an operand belongs to. */
static inline const OpParam *infer_param(const Infer *call, int32_t input) {
    return &call->params[op_operand_param(call->operands, input, call->n_inputs)];
}

/* Is it a number? Without a table every word is one: also one that looks like an expression, which a
 * program wrote and which is refused as any other number that cannot be. */
static inline bool infer_is_number(const Infer *call, Dim d) {
    return !call->table || dim_is_number(d);
}
/* Its value, for messages: of an expression that at hand. */
static inline int64_t infer_hint(const Infer *call, Dim d) {
    return infer_is_number(call, d) ? d.word : dim_hint(call->table, d);
}
/* A number so far out that how far cannot matter comes this near, where it is a Dim. */
static inline int64_t infer_clamp(int64_t number) {
    return number > SIZE_MOST ? SIZE_MOST : number < -SIZE_MOST ? -SIZE_MOST : number;
}

/* The attributes, to read. */
static inline AttrView infer_attrs(const Infer *call) {
    return attr_view(call->op, call->attrs);
}
/* Word of an attribute, to normalise; the words of a list, and its length. */
int64_t *infer_attr(const Infer *call, AttrName name);
int64_t *infer_list(const Infer *call, AttrName name, int32_t *count);
/* The same for lists and words that may be expressions. */
Dim *infer_dim(const Infer *call, AttrName name);
Dim *infer_dims(const Infer *call, AttrName name, int32_t *count);
/* Replaces a list by another, of at most SN_MAX_RANK words. */
sn_status infer_set_list(Infer *call, AttrName name, const int64_t *values, int32_t count);

/* Makes an axis of operand `input` non-negative, `rank` being the number of axes to choose from.
 * As in PyTorch a rank of 0 has the one axis 0. */
sn_status infer_axis_of(const Infer *call, int64_t *axis, int32_t rank, int32_t input);
/* The same for the attribute `name` and operand 0. */
sn_status infer_axis(const Infer *call, AttrName name, int64_t *axis);
/* Normalises the list of distinct axes `name` of operand 0 to ascending order, and gives it as a bit
 * mask; of rank 0 it leaves nothing. */
sn_status infer_axes(Infer *call, AttrName name, uint32_t *mask);
sn_status infer_set_axes(Infer *call, AttrName name, uint32_t mask);

/* Refuses a negative size and more than SN_MAX_RANK dims. */
sn_status infer_check_dims(const Infer *call, const Dim *dims, int32_t count);
/* result.dims := dims; refuses more than SN_MAX_RANK. */
sn_status infer_set_dims(Infer *call, const Dim *dims, int32_t rank);
/* The same with the dims of operand 0, as they are or with `size` in front of `axis`. */
sn_status infer_set_same(Infer *call);
sn_status infer_insert_dim(Infer *call, int64_t axis, Dim size);
/* Axes of a type, and the size of one, a 0-d tensor counting as one element in one axis. */
int32_t infer_axes_of(const TensorType *type);
Dim infer_axis_size(const TensorType *type, int64_t axis);
/* Broadcasts `dims` into result.dims; false when they do not fit. */
bool infer_broadcast(Infer *call, const Dim *dims, int32_t rank);

/* Shape rules, and the table of them by ShapeRule. */
extern InferRule *const shape_rules[SHAPE_RULE_COUNT];
#define SHAPE_RULE(id, function, text) InferRule shape_##function;
#include "ir/op/op_rules.def"
/* Length of the diagonal of two axes, and the other dims in front of it: of operand 0. */
sn_status infer_diagonal(Infer *call, TensorType *diagonal);
/* Checks starts and steps of a slice of operand 0 with these dims. */
sn_status infer_slice(Infer *call, const Dim *dims);
/* Of operand 1, a look-up's index: no size may be above that of operand `large`, but for axis `except` (-1:
 * none); an index without elements fits anything of its rank. */
sn_status infer_index_within(const Infer *call, int32_t large, int64_t except);
/* Of operand 1: a list of positions along one axis; a 0-d index is a list of one. */
sn_status infer_index_list(const Infer *call);
/* What an op asks for beyond its shape rule; NULL for most. */
InferRule *infer_extra(OpCode op);

#endif
