/* Weak scalars as operands; see weak.h. */
#include "frontend/op/weak.h"

#include "ir/op/dtype.h"

bool weak_promotes(OpCode op) {
    uint8_t rule = op_info[op].dtype_rule;
    return rule == DTYPE_PROMOTE || rule == DTYPE_FLOAT || rule == DTYPE_BOOL ||
           rule == DTYPE_TAIL || op_info[op].shape_rule == SHAPE_BROADCAST;
}

sn_dtype weak_dtype(const OpCall *call) {
    uint8_t rule = op_info[call->op].dtype_rule;
    Promotion promotion = {0};
    bool any = false;
    for (int32_t i = rule == DTYPE_TAIL ? 1 : 0; i < call->n_inputs; i++) {
        const sn_tensor *x = call->inputs[i];
        if (x->kind == TENSOR_NONE) continue;
        TensorType type = tensor_type(x);
        promotion_add(&promotion, (sn_dtype)type.dtype, (DtypeStrength)type.strength);
        any = true;
    }
    sn_dtype dtype = any ? promotion_result(&promotion) : SN_F32;
    /* An op that makes floats of integers takes the scalar as a float, not as a wrapped integer. */
    return rule == DTYPE_FLOAT && !dtype_is_float(dtype) ? SN_F32 : dtype;
}
