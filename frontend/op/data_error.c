/* Finding the index that is out of range; see data_error.h. */
#include "frontend/op/data_error.h"

#include "base/status.h"
#include "ir/graph/view_graph.h"

#include <stdio.h>

/* What an op's indices must be below. */
static int64_t index_limit(AttrView attrs, const TensorType *x) {
    if (op_has_attr(attrs.op, ATTR_CLASSES)) return attr_int(attrs, ATTR_CLASSES);
    int64_t axis = attrs.op == OP_CROSS_ENTROPY && x->rank > 1; /* of classes */
    if (op_has_attr(attrs.op, ATTR_AXIS)) axis = attr_int(attrs, ATTR_AXIS);
    if (axis < 0) axis += x->rank;
    return x->rank ? x->dims[axis].word : 1;
}

/* The name of a parameter, and the place of one of its elements, by position in row-major order. */
static void print_place(const char *name, const sn_tensor *t, int64_t position, char *out,
                        size_t room) {
    int64_t place[SN_MAX_RANK];
    for (int32_t d = t->rank - 1; d >= 0; position /= t->dims[d--])
        place[d] = position % t->dims[d];
    int length = snprintf(out, room, "%s", name);
    for (int32_t d = 0; d < t->rank; d++)
        length += snprintf(out + length, room - (size_t)length, "%s%lld", d ? "," : "[",
                           (long long)place[d]);
    if (t->rank) snprintf(out + length, room - (size_t)length, "]");
}

static int64_t element_at(const sn_tensor *t, int64_t position) {
    if (t->kind == TENSOR_WEAK)
        return (int64_t)dtype_bits_cast(SN_I64, (sn_dtype)t->dtype, t->bits);
    int64_t offset = 0;
    for (int32_t d = t->rank - 1; d >= 0; position /= t->dims[d--])
        offset += position % t->dims[d] * t->strides[d];
    const char *data = tensor_data(t) + offset * (int64_t)sn_dtype_size((sn_dtype)t->dtype);
    return (int64_t)dtype_bits_cast(SN_I64, (sn_dtype)t->dtype,
                                    dtype_load((sn_dtype)t->dtype, data));
}

bool data_error_look(AttrView attrs, const TensorType *x, const sn_tensor *index, sn_error *error) {
    int64_t count = sizes_count(index->dims, index->rank), limit = index_limit(attrs, x);
    for (int64_t i = 0; i < count; i++) {
        int64_t value = element_at(index, i);
        if (value >= 0 && value < limit) continue;
        char place[32 + 24 * SN_MAX_RANK];
        int32_t n_params, param = op_operands(attrs.op)->params[op_index_operand(attrs.op)];
        print_place(op_params(attrs.op, &n_params)[param].name, index, i, place, sizeof place);
        error_set(error, SN_ERROR_INDEX, "%s: %s is %lld, out of range for an axis of size %lld",
                  op_info[attrs.op].name, place, (long long)value, (long long)limit);
        return false;
    }
    return true;
}

void data_error_name(const OpCall *call, sn_error *error) {
    int32_t operand = op_index_operand(call->op);
    if (!op_has(call->op, F_FAILS) || operand >= call->n_inputs) return;
    TensorType x = tensor_type(call->inputs[0]);
    sn_error found;
    error_init(&found);
    if (!data_error_look(attr_view(call->op, call->attrs), &x, call->inputs[operand], &found))
        *error = found;
}
