/* Type inference: checks a call against its signature, finds the result's dtype by the op's dtype
 * rule, hands over to the shape rule (op_rules.def), and checks the size of the result. */
#include "ir/infer/rule.h"

#include "ir/op/dtype.h"

/* ---- operands and attributes against the signature ------------------------------------------- */

static sn_status check_input_count(const Infer *call) {
    bool array = call->operands->array >= 0;
    int32_t fixed = call->operands->count - array;
    if (array && call->n_inputs == fixed)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "needs at least one tensor");
    if (array ? call->n_inputs > fixed : call->n_inputs == fixed) return SN_OK;
    return infer_refuse(call, SN_ERROR_ARGUMENT, "takes %d tensors, got %d", (int)fixed,
                        (int)call->n_inputs);
}

static sn_status check_generator(const Infer *call, const TensorType *state) {
    if (state->dtype == SN_I64 && state->rank == 1 && dim_is(state->dims[0], 2)) return SN_OK;
    return infer_refuse(call, SN_ERROR_ARGUMENT, "a generator's state is i64[2], not %s",
                        type_text(state).text);
}

/* One operand, of parameter `param`. */
static sn_status check_input(const Infer *call, const OpParam *param, int32_t input) {
    const TensorType *type = infer_input(call, input);
    if (type_absent(type)) {
        if (param->suffix == '?') return SN_OK;
        return infer_refuse(call, SN_ERROR_ARGUMENT, "%s is absent",
                            infer_input_name(call, input).text);
    }
    if (type->dtype >= SN_DTYPE_COUNT || type->rank > SN_MAX_RANK ||
        type->strength >= STRENGTH_COUNT)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "%s has no valid type",
                            infer_input_name(call, input).text);
    return param->kind == 'r' ? check_generator(call, type) : SN_OK;
}

static sn_status check_inputs(const Infer *call) {
    INFER_TRY(check_input_count(call));
    for (int32_t i = 0; i < call->n_inputs; i++)
        INFER_TRY(check_input(call, infer_param(call, i), i));
    return SN_OK;
}

static sn_status check_attr(const Infer *call, const OpParam *param, int64_t *word) {
    uint32_t number;
    switch (param->kind) {
    case 'b':
        *word = *word != 0;
        return SN_OK;
    case 'y':
        if (*word >= 0 && *word < SN_DTYPE_COUNT) return SN_OK;
        return infer_refuse(call, SN_ERROR_ARGUMENT, "%s %lld is no dtype", param->name,
                            (long long)*word);
    case 'e':
        if (*word >= 0 && *word < attr_enum_count((AttrName)param->attr)) return SN_OK;
        return infer_refuse(call, SN_ERROR_ARGUMENT, "%s %lld is not in 0 to %d", param->name,
                            (long long)*word, (int)attr_enum_count((AttrName)param->attr) - 1);
    case 'd':
        if (param->is_real || !attr_is_scalar(*word, &number)) return SN_OK;
        return infer_refuse(call, SN_ERROR_ARGUMENT, "%s may not be a scalar of the call",
                            param->name);
    default:
        return SN_OK;
    }
}

/* The words of a size or position that `at` stands at, and how many they are. */
static const int64_t *size_words(const AttrWalk *at, int32_t *count) {
    int32_t length = at->param->kind == 'L';
    *count = at->param->is_size ? at->count - length : 0;
    return at->view.words + at->first + length;
}

/* Checks that the words are those of the signature. */
static sn_status check_attrs(Infer *call) {
    AttrList *attrs = call->attrs;
    if (attrs->count < 0 || attrs->count > ATTR_MOST)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "more than %d attribute words", ATTR_MOST);
    AttrWalk at = attr_walk(infer_attrs(call));
    while (attr_next(&at)) {
        if (at.count == 0)
            return infer_refuse(call, SN_ERROR_ARGUMENT, "attribute %s is missing or cut off",
                                at.param->name);
        INFER_TRY(check_attr(call, at.param, &attrs->words[at.first]));
        int32_t n_sizes;
        const int64_t *sizes = size_words(&at, &n_sizes);
        call->far |= !numbers_are_dims(sizes, n_sizes);
    }
    if (at.first == attrs->count) return SN_OK;
    return infer_refuse(call, SN_ERROR_ARGUMENT, "%d attribute words too many",
                        (int)(attrs->count - at.first));
}

static bool word_is_dim(const Infer *call, int64_t word) {
    return number_is_dim(word) || dims_has(call->table, (Dim){word});
}

/* The door: once a shape rule has taken them, and normalised those that cannot matter, the words of
 * sizes and positions are Dims. */
static sn_status check_sizes(const Infer *call) {
    int32_t count;
    for (AttrWalk at = attr_walk(infer_attrs(call)); attr_next(&at);) {
        const int64_t *words = size_words(&at, &count);
        for (int32_t i = 0; i < count; i++)
            if (!word_is_dim(call, words[i]))
                return infer_refuse(call, SN_ERROR_ARGUMENT, "%s %lld is out of range",
                                    at.param->name, (long long)words[i]);
    }
    return SN_OK;
}

/* ---- dtypes ---------------------------------------------------------------------------------- */

/* The one dtype of the operands that the op promotes; absent ones do not count. */
static sn_dtype promoted_dtype(const Infer *call) {
    Promotion promotion = {0};
    SN_ASSERT(op_promotes_from(call->op) >= 0);
    for (int32_t i = op_promotes_from(call->op); i < call->n_inputs; i++) {
        const TensorType *type = infer_input(call, i);
        if (type_absent(type)) continue;
        promotion_add(&promotion, (sn_dtype)type->dtype, (DtypeStrength)type->strength);
    }
    return promotion_result(&promotion);
}

/* A dtype rule gives two types: `operand` is what the op computes with, which the table of demands
 * restricts, and `result`. */
typedef struct DtypePair {
    sn_dtype operand; /* type of the operands after promotion */
    sn_dtype result;  /* type of the result */
} DtypePair;

typedef DtypePair DtypeFn(const Infer *call);

static sn_dtype input0_dtype(const Infer *call) {
    return call->n_inputs > 0 ? (sn_dtype)infer_input(call, 0)->dtype : SN_BOOL;
}

static DtypePair dtype_rule_promote(const Infer *call) {
    sn_dtype d = promoted_dtype(call);
    return (DtypePair){d, d};
}

static DtypePair dtype_rule_float(const Infer *call) {
    sn_dtype d = promoted_dtype(call);
    return (DtypePair){d, dtype_as_float(d)};
}

static DtypePair dtype_rule_bool(const Infer *call) {
    return (DtypePair){promoted_dtype(call), SN_BOOL};
}

static DtypePair dtype_rule_same(const Infer *call) {
    sn_dtype d = input0_dtype(call);
    return (DtypePair){d, d};
}

static DtypePair dtype_rule_sum(const Infer *call) {
    sn_dtype d = input0_dtype(call);
    return (DtypePair){d, dtype_is_float(d) ? d : SN_I64};
}

static DtypePair dtype_rule_numeric(const Infer *call) {
    sn_dtype d = input0_dtype(call);
    return (DtypePair){d, d == SN_BOOL ? SN_I64 : d};
}

static DtypePair dtype_rule_i64(const Infer *call) {
    return (DtypePair){input0_dtype(call), SN_I64};
}

/* Without an attribute `dtype` (input, const) the caller says the type in *result. */
static DtypePair dtype_rule_attr(const Infer *call) {
    bool given = op_has_attr(call->op, ATTR_DTYPE);
    sn_dtype d =
        given ? (sn_dtype)attr_int(infer_attrs(call), ATTR_DTYPE) : (sn_dtype)call->result->dtype;
    return (DtypePair){d, d};
}

static DtypeFn *const dtype_rules[DTYPE_RULE_COUNT] = {
#define DTYPE_RULE(id, function, promotes_from, text) [DTYPE_##id] = dtype_rule_##function,
#include "ir/op/op_rules.def"
};

sn_dtype op_scalar_dtype(OpCode op, sn_dtype meet, sn_dtype own) {
    if (!op_is(op, CLASS_POINTWISE) || op_promotes_from(op) < 0 || op_has(op, F_MOVES)) return meet;
    if (dtype_is_float(meet)) return op_has(op, F_COMPARES) ? meet : dtype_compute(meet);
    bool keeps = op_has(op, F_WRAPS) || op_has(op, F_PICKS) || !dtype_is_int(own);
    return keeps ? meet : dtype_promote(meet, own);
}

enum {
    REFUSE_BOOL = 1,
    REFUSE_INT = 2,
    REFUSE_FLOAT = 4,
};

/* What an op demands of dtypes beyond its rule. Bit i of a mask stands for operand i. */
typedef struct DtypeDemand {
    uint8_t refuse; /* categories that the op does not compute with */
    uint8_t nobool; /* operands of which none may be bool, promoted or not */
    uint8_t index;  /* operands that must be i32 or i64 */
    bool vacant;    /* an index of no elements may have any dtype, as in PyTorch */
    uint8_t same;   /* operands that must have the dtype of operand 0 */
} DtypeDemand;

static const DtypeDemand dtype_demands[OP_COUNT] = {
    [OP_NEG] = {.refuse = REFUSE_BOOL},
    [OP_ABS] = {.refuse = REFUSE_BOOL},
    [OP_RELU] = {.refuse = REFUSE_BOOL},
    [OP_RELU6] = {.refuse = REFUSE_BOOL},
    [OP_SOFTSIGN] = {.refuse = REFUSE_BOOL},
    [OP_HARDTANH] = {.refuse = REFUSE_BOOL},
    [OP_FLOOR] = {.refuse = REFUSE_BOOL},
    [OP_CEIL] = {.refuse = REFUSE_BOOL},
    [OP_ROUND] = {.refuse = REFUSE_BOOL},
    [OP_TRUNC] = {.refuse = REFUSE_BOOL},
    [OP_SUB] = {.nobool = 3},
    [OP_FLOOR_DIVIDE] = {.refuse = REFUSE_BOOL},
    [OP_FMOD] = {.refuse = REFUSE_BOOL},
    [OP_REMAINDER] = {.refuse = REFUSE_BOOL},
    [OP_POW] = {.refuse = REFUSE_BOOL},
    [OP_CLAMP] = {.refuse = REFUSE_BOOL},
    [OP_LERP] = {.refuse = REFUSE_BOOL | REFUSE_INT},
    [OP_ADDCMUL] = {.refuse = REFUSE_BOOL},
    [OP_SHIFT_LEFT] = {.refuse = REFUSE_BOOL},
    [OP_SHIFT_RIGHT] = {.refuse = REFUSE_BOOL},
    [OP_GATHER] = {.index = 2, .vacant = true},
    [OP_INDEX_SELECT] = {.index = 2},
    [OP_EMBEDDING] = {.index = 2},
    [OP_ONE_HOT] = {.index = 1},
    [OP_CROSS_ENTROPY] = {.index = 2},
    [OP_PUT_SLICE] = {.same = 2},
    [OP_PUT_DIAGONAL] = {.same = 2},
    [OP_SCATTER_ADD] = {.index = 2, .same = 4, .vacant = true},
    [OP_INDEX_COPY] = {.index = 2, .same = 4},
    [OP_MATMUL] = {.refuse = REFUSE_BOOL},
    [OP_CONTRACT] = {.same = 2},
    [OP_LINEAR] = {.refuse = REFUSE_BOOL},
    [OP_BILINEAR] = {.refuse = REFUSE_BOOL},
    [OP_ARANGE] = {.refuse = REFUSE_BOOL},
    [OP_RAND] = {.refuse = REFUSE_BOOL | REFUSE_INT},
    [OP_RANDN] = {.refuse = REFUSE_BOOL | REFUSE_INT},
    [OP_LAYER_NORM] = {.same = 6},
    [OP_RMS_NORM] = {.same = 2},
    [OP_ATTENTION] = {.same = 6},
};

bool op_takes_index(OpCode op, int32_t i) {
    SN_ASSERT((uint32_t)op < OP_COUNT && i >= 0);
    return i < 8 && (dtype_demands[op].index >> i & 1) != 0;
}

static uint8_t dtype_category(sn_dtype d) {
    return dtype_is_float(d) ? REFUSE_FLOAT : d == SN_BOOL ? REFUSE_BOOL : REFUSE_INT;
}

/* Categories refused by the dtype rule and by the demands together. */
static uint8_t refused_categories(OpCode op) {
    uint8_t refuse = dtype_demands[op].refuse;
    switch (op_info[op].dtype_rule) {
    case DTYPE_FLOATING:
    case DTYPE_PROMOTE_FLOATING:
        return refuse | REFUSE_BOOL | REFUSE_INT;
    case DTYPE_INTEGRAL:
        return refuse | REFUSE_FLOAT;
    default:
        return refuse;
    }
}

/* By the categories that are refused, what may come instead. */
static const char *const taken_instead[8] = {
    [REFUSE_BOOL] = "numbers",
    [REFUSE_BOOL | REFUSE_INT] = "floats",
    [REFUSE_FLOAT] = "integers and bool",
    [REFUSE_FLOAT | REFUSE_BOOL] = "integers",
};

static sn_status refuse_dtype(const Infer *call, sn_dtype dtype, uint8_t refused) {
    SN_ASSERT(refused < 8 && taken_instead[refused]);
    if (op_has_attr(call->op, ATTR_DTYPE))
        return infer_refuse(call, SN_ERROR_DTYPE, "dtype %s is refused (%s only)",
                            sn_dtype_name(dtype), taken_instead[refused]);
    return infer_refuse_types(call, SN_ERROR_DTYPE, "%s is refused (%s only; sn_cast converts)",
                              sn_dtype_name(dtype), taken_instead[refused]);
}

/* The demands on single operands. */
static sn_status check_input_dtypes(const Infer *call) {
    const DtypeDemand *demand = &dtype_demands[call->op];
    if (!(demand->nobool | demand->index | demand->same)) return SN_OK;
    for (int32_t i = 0; i < call->n_inputs && i < 8; i++) {
        const TensorType *type = infer_input(call, i);
        if (type_absent(type)) continue;
        sn_dtype d = (sn_dtype)type->dtype;
        if ((demand->nobool >> i & 1) && d == SN_BOOL) return refuse_dtype(call, d, REFUSE_BOOL);
        bool counts =
            !demand->vacant || !dim_is(dims_count(call->table, type->dims, type->rank), 0);
        if ((demand->index >> i & 1) && counts && d != SN_I32 && d != SN_I64)
            return infer_refuse(call, SN_ERROR_DTYPE,
                                "%s must be i32 or i64, not %s (sn_cast converts)",
                                infer_input_name(call, i).text, sn_dtype_name(d));
        if ((demand->same >> i & 1) && d != input0_dtype(call))
            return infer_refuse_types(
                call, SN_ERROR_DTYPE, "%s must have the dtype of %s (sn_cast converts)",
                infer_input_name(call, i).text, infer_input_name(call, 0).text);
    }
    return SN_OK;
}

static sn_status infer_dtype(Infer *call) {
    INFER_TRY(check_input_dtypes(call));
    DtypePair dtypes = dtype_rules[op_info[call->op].dtype_rule](call);
    uint8_t refused = refused_categories(call->op);
    if (refused & dtype_category(dtypes.operand))
        return refuse_dtype(call, dtypes.operand, refused);
    if (dtypes.result >= SN_DTYPE_COUNT)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "%d is no dtype", (int)dtypes.result);
    call->result->dtype = (uint8_t)dtypes.result;
    return SN_OK;
}

/* ---- the result ------------------------------------------------------------------------------ */

/* A pointwise op on weak scalars alone is weak itself, but one with an attribute `dtype` asks for that. */
static bool result_is_weak(const Infer *call) {
    if (op_has_attr(call->op, ATTR_WEAK)) return attr_bool(infer_attrs(call), ATTR_WEAK);
    if (!op_is(call->op, CLASS_POINTWISE) || op_has_attr(call->op, ATTR_DTYPE)) return false;
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const TensorType *type = infer_input(call, i);
        if (!type_absent(type) && type->strength != STRENGTH_WEAK) return false;
    }
    return true;
}

static uint8_t result_strength(const Infer *call) {
    if (call->result->rank > 0) return STRENGTH_FULL;
    return result_is_weak(call) ? STRENGTH_WEAK : STRENGTH_ZERO_DIM;
}

/* Of sizes that vary those at hand count: other ones are looked at when they are bound. */
static sn_status check_result_size(const Infer *call) {
    Dim count = dims_count(call->table, call->result->dims, call->result->rank);
    int64_t elements = dim_hint(call->table, count);
    if (elements >= 0 && elements <= SIZE_MOST) return SN_OK;
    return infer_refuse(call, SN_ERROR_MEMORY, "the result %s is too large",
                        type_text(call->result).text);
}

sn_status op_infer(DimTable *table, OpCode op, const TensorType *inputs, int32_t n_inputs,
                   AttrList *attrs, TensorType *result, sn_error *error) {
    if ((uint32_t)op >= OP_COUNT)
        return error_set(error, SN_ERROR_ARGUMENT, "no op has number %d", (int)op);
    Infer call = {.table = table,
                  .op = op,
                  .n_inputs = n_inputs,
                  .inputs = inputs,
                  .operands = op_operands(op),
                  .attrs = attrs,
                  .result = result,
                  .error = error};
    int32_t n_params;
    call.params = op_params(op, &n_params);
    if (op_is(op, CLASS_KERNEL))
        return infer_refuse(&call, SN_ERROR_ARGUMENT, "belongs to kernels, not to graphs");
    if (!op_is_given_type(op)) *result = (TensorType){.dtype = SN_BOOL};
    INFER_TRY(check_inputs(&call));
    INFER_TRY(check_attrs(&call));
    INFER_TRY(infer_dtype(&call));
    INFER_TRY(shape_rules[op_info[op].shape_rule](&call));
    InferRule *extra = infer_extra(op);
    if (extra) INFER_TRY(extra(&call));
    INFER_TRY(check_result_size(&call));
    if (call.far) INFER_TRY(check_sizes(&call));
    SN_ASSERT(check_sizes(&call) == SN_OK);
    SN_ASSERT(result->dtype < SN_DTYPE_COUNT && result->rank <= SN_MAX_RANK);
    result->strength = result_strength(&call);
    SN_ASSERT(attrs->count >= 0 && attrs->count <= ATTR_MOST);
    return SN_OK;
}
