/* In-place forms: the value of an op as it will lie in the tensor that is written. */
#include "frontend/op/inplace_fit.h"

#include "base/status.h"
#include "ir/op/dtype.h"

static bool broadcasts_to(const TensorType *from, const TensorType *to) {
    if (from->rank > to->rank) return false;
    for (int32_t i = 0; i < from->rank; i++) {
        Dim dim = from->dims[i], target = to->dims[i + to->rank - from->rank];
        if (!dim_same(dim, target) && !dim_is(dim, 1)) return false;
    }
    return true;
}

static NodeId refuse_shape(GraphBuilder *b, OpCode op, const TensorType *type,
                           const TensorType *wanted) {
    StrBuf text = {0};
    strbuf_add(&text, inplace_copies(op) ? "source is " : "the result is ");
    type_print(&text, type);
    strbuf_add(&text, ", which does not fit into x, which is ");
    type_print(&text, wanted);
    gb_fail(b, SN_ERROR_SHAPE, "%s_: %s", inplace_name(op), strbuf_text(&text));
    strbuf_free(&text);
    return NODE_NONE;
}

NodeId graph_fit(GraphBuilder *b, NodeId value, const TensorType *wanted, OpCode op) {
    TensorType type = gb_type(b, value);
    sn_dtype from = (sn_dtype)type.dtype, to = (sn_dtype)wanted->dtype;
    bool copies = inplace_copies(op);
    if (copies ? !broadcasts_to(&type, wanted) : !type_same_dims(&type, wanted))
        return refuse_shape(b, op, &type, wanted);
    if (!copies && dtype_is_float(from) && !dtype_is_float(to))
        return gb_fail(b, SN_ERROR_DTYPE,
                       "%s_: the result is %s, which is not written into x, which is %s (sn_copy_ "
                       "converts)",
                       inplace_name(op), sn_dtype_name(from), sn_dtype_name(to));
    return gb_expand(b, gb_cast(b, to, value), wanted->dims, wanted->rank);
}
