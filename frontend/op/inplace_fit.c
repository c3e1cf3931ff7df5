/* In-place forms: the value of an op as it will lie in the tensor that is written. */
#include "frontend/op/inplace_fit.h"

#include "base/status.h"
#include "ir/op/dtype.h"

static bool same_dims(const TensorType *x, const TensorType *y) {
    return x->rank == y->rank && memcmp(x->dims, y->dims, sizeof(int64_t) * x->rank) == 0;
}

static bool broadcasts_to(const TensorType *from, const TensorType *to) {
    if (from->rank > to->rank) return false;
    for (int32_t i = 0; i < from->rank; i++) {
        Dim dim = from->dims[i], target = to->dims[i + to->rank - from->rank];
        if (!dim_same(dim, target) && !dim_is(dim, 1)) return false;
    }
    return true;
}

static sn_status refuse_shape(OpCode op, const TensorType *type, const TensorType *wanted,
                              sn_error *error) {
    StrBuf text = {0};
    type_print(&text, type);
    strbuf_add(&text, " does not fit into ");
    type_print(&text, wanted);
    error_set(error, SN_ERROR_SHAPE, "%s_: %s", inplace_name(op), strbuf_text(&text));
    strbuf_free(&text);
    return SN_ERROR_SHAPE;
}

NodeId graph_fit(Graph *graph, NodeId value, const TensorType *wanted, OpCode op, Site site,
                 sn_error *error) {
    TensorType type = node_type(graph, value);
    bool copies = inplace_copies(op);
    if (copies ? !broadcasts_to(&type, wanted) : !same_dims(&type, wanted)) {
        refuse_shape(op, &type, wanted, error);
        return NODE_NONE;
    }
    if (!copies && dtype_is_float((sn_dtype)type.dtype) &&
        !dtype_is_float((sn_dtype)wanted->dtype)) {
        error_set(error, SN_ERROR_DTYPE, "%s_: the result is %s and cannot be written into %s",
                  inplace_name(op), sn_dtype_name((sn_dtype)type.dtype),
                  sn_dtype_name((sn_dtype)wanted->dtype));
        return NODE_NONE;
    }
    if (type.dtype != wanted->dtype) {
        AttrList attrs;
        attrs.count = 0;
        attr_add_int(&attrs, wanted->dtype);
        value = graph_emit(graph, OP_CAST, &value, 1, &attrs, site, error);
    }
    if (value != NODE_NONE && !same_dims(&type, wanted)) {
        AttrList attrs;
        attrs.count = 0;
        attr_add_dims(&attrs, wanted->dims, wanted->rank);
        value = graph_emit(graph, OP_EXPAND, &value, 1, &attrs, site, error);
    }
    return value;
}
