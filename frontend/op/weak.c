/* Weak scalars as operands; see weak.h. */
#include "frontend/op/weak.h"

#include "ir/op/dtype.h"

bool weak_promotes(OpCode op) {
    return op_promotes_from(op) >= 0;
}

/* Where nothing is promoted, a scalar takes the dtype of the other operands. */
sn_dtype weak_dtype(const OpCall *call) {
    Promotion promotion = {0};
    bool any = false;
    for (int32_t i = weak_promotes(call->op) ? op_promotes_from(call->op) : 0; i < call->n_inputs;
         i++) {
        const sn_tensor *x = call->inputs[i];
        if (x->kind == TENSOR_NONE) continue;
        TensorType type = tensor_type(x);
        promotion_add(&promotion, (sn_dtype)type.dtype, (DtypeStrength)type.strength);
        any = true;
    }
    sn_dtype dtype = any ? promotion_result(&promotion) : SN_F32;
    /* An op that makes floats of integers takes the scalar as a float, not as a wrapped integer. */
    return op_info[call->op].dtype_rule == DTYPE_FLOAT ? dtype_as_float(dtype) : dtype;
}

sn_dtype weak_operand_dtype(const OpCall *call, int32_t i, sn_dtype meet) {
    SN_ASSERT(call->inputs[i]->kind == TENSOR_WEAK);
    return i < op_promotes_from(call->op) ? (sn_dtype)call->inputs[i]->dtype : meet;
}
