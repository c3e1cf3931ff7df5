/* Weak scalars as operands; see weak.h. */
#include "frontend/op/weak.h"

#include "ir/infer/infer.h"
#include "ir/op/dtype.h"

bool weak_promotes(OpCode op) {
    return op_promotes_from(op) >= 0;
}

/* Does it convert its operand to a dtype that it is told? */
static bool converts(OpCode op) {
    return op_is(op, CLASS_POINTWISE) && op_has_attr(op, ATTR_DTYPE);
}

/* Where nothing is promoted, a scalar takes the dtype of the other operands; one that is converted has its
 * own. */
sn_dtype weak_dtype(const OpCall *call) {
    Promotion promotion = {0};
    bool any = false;
    if (converts(call->op)) return (sn_dtype)call->inputs[0]->dtype;
    for (int32_t i = weak_promotes(call->op) ? op_promotes_from(call->op) : 0; i < call->n_inputs;
         i++) {
        const sn_tensor *x = call->inputs[i];
        if (x->kind == TENSOR_NONE || op_takes_index(call->op, i)) continue;
        TensorType type = tensor_type(x);
        promotion_add(&promotion, (sn_dtype)type.dtype, (DtypeStrength)type.strength);
        any = true;
    }
    sn_dtype dtype = any ? promotion_result(&promotion) : SN_F32;
    /* An op that makes floats of integers takes the scalar as a float, not as a wrapped integer. */
    return op_info[call->op].dtype_rule == DTYPE_FLOAT ? dtype_as_float(dtype) : dtype;
}

sn_dtype weak_operand_dtype(const OpCall *call, int32_t i, sn_dtype meet) {
    const sn_tensor *scalar = call->inputs[i];
    sn_dtype own = (sn_dtype)scalar->dtype;
    SN_ASSERT(scalar->kind == TENSOR_WEAK);
    if (i < op_promotes_from(call->op) || op_takes_index(call->op, i)) return own;
    bool fits = dtype_is_int(own) && dtype_holds_int(meet, (int64_t)scalar->bits);
    return fits ? meet : op_scalar_dtype(call->op, meet, own);
}

uint64_t weak_operand_bits(const OpCall *call, int32_t i, sn_dtype dtype) {
    const sn_tensor *scalar = call->inputs[i];
    sn_dtype own = (sn_dtype)scalar->dtype;
    /* By way of a float integers saturate; one that f64 does not hold is beyond all narrower ones. */
    bool nearest = op_has(call->op, F_PICKS) && dtype_is_int(dtype) && dtype != SN_I64;
    if (!nearest) return dtype_bits_cast(dtype, own, scalar->bits);
    return dtype_bits_from_double(dtype, dtype_bits_to_double(own, scalar->bits));
}
