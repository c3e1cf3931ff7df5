/* Helpers of the shape rules: refusals with the op's and operands' names, attributes by name, axes
 * and lists of them, dims. See rule.h. */
#include "ir/infer/rule.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ir/op/dtype.h"

/* ---- refusals -------------------------------------------------------------------------------- */

InputName infer_input_name(const Infer *call, int32_t input) {
    InputName out;
    const OpParam *param = infer_param(call, input);
    if (param->suffix == '*')
        snprintf(out.text, sizeof out.text, "%s[%d]", param->name,
                 (int)(input - call->operands->array));
    else
        snprintf(out.text, sizeof out.text, "%s", param->name);
    return out;
}

TypeText infer_wanted_text(const Infer *call, const TensorType *type) {
    return call->table ? type_text(type) : type_text_as_written(type);
}

/* What fits of an error's text. */
typedef struct Message {
    char text[480]; /* NUL-terminated */
    size_t length;  /* bytes before the NUL */
} Message;

__attribute__((format(printf, 2, 0))) static void message_vadd(Message *message, const char *format,
                                                               va_list args) {
    size_t room = sizeof message->text - message->length;
    int length = vsnprintf(message->text + message->length, room, format, args);
    if (length < 0) return;
    message->length += (size_t)length < room ? (size_t)length : room - 1;
}

SN_PRINTF(2, 3) static void message_add(Message *message, const char *format, ...) {
    va_list args;
    va_start(args, format);
    message_vadd(message, format, args);
    va_end(args);
}

sn_status infer_refuse(const Infer *call, sn_status status, const char *format, ...) {
    SN_ASSERT(status != SN_OK);
    Message message = {.length = 0};
    message_add(&message, "%s: ", op_info[call->op].name);
    va_list args;
    va_start(args, format);
    message_vadd(&message, format, args);
    va_end(args);
    return error_set(call->error, status, "%s", message.text);
}

sn_status infer_refuse_types(const Infer *call, sn_status status, const char *format, ...) {
    Message message = {.length = 0};
    message_add(&message, "%s: ", op_info[call->op].name);
    va_list args;
    va_start(args, format);
    message_vadd(&message, format, args);
    va_end(args);
    const char *before = ":";
    for (int32_t i = 0; i < call->n_inputs; i++) {
        if (type_absent(infer_input(call, i)) || infer_param(call, i)->kind == 'r') continue;
        message_add(&message, "%s %s is %s", before, infer_input_name(call, i).text,
                    type_text(infer_input(call, i)).text);
        before = ",";
        if (message.length + 1 == sizeof message.text) break;
    }
    return error_set(call->error, status, "%s", message.text);
}

/* ---- attributes ------------------------------------------------------------------------------ */

int64_t *infer_attr(const Infer *call, AttrName name) {
    return &call->attrs->words[attr_word(infer_attrs(call), name)];
}

int64_t *infer_list(const Infer *call, AttrName name, int32_t *count) {
    attr_list(infer_attrs(call), name, count);
    return infer_attr(call, name) + 1;
}

Dim *infer_dim(const Infer *call, AttrName name) {
    return (Dim *)infer_attr(call, name); /* see infer_is_number */
}

Dim *infer_dims(const Infer *call, AttrName name, int32_t *count) {
    return (Dim *)infer_list(call, name, count);
}

sn_status infer_set_list(Infer *call, AttrName name, const int64_t *values, int32_t count) {
    AttrList *attrs = call->attrs;
    int32_t old_count;
    int64_t *list = infer_list(call, name, &old_count);
    int32_t begin = (int32_t)(list - attrs->words), shift = count - old_count;
    SN_ASSERT(count >= 0 && count <= SN_MAX_RANK && old_count <= attrs->count - begin);
    if (attrs->count + shift > ATTR_MOST)
        return infer_refuse(call, SN_ERROR_ARGUMENT, "more than %d attribute words", ATTR_MOST);
    int32_t behind = attrs->count - begin - old_count;
    memmove(list + count, list + old_count, (size_t)behind * sizeof *list);
    memcpy(list, values, (size_t)count * sizeof *list);
    list[-1] = count;
    attrs->count += shift;
    return SN_OK;
}

/* ---- axes ------------------------------------------------------------------------------------ */

sn_status infer_axis_of(const Infer *call, int64_t *axis, int32_t rank, int32_t input) {
    int64_t limit = rank > 0 ? rank : 1;
    if (*axis < -limit || *axis >= limit)
        return infer_refuse(call, SN_ERROR_INDEX, "axis %lld is out of range for %s, which is %s",
                            (long long)*axis, infer_input_name(call, input).text,
                            type_text(infer_input(call, input)).text);
    if (*axis < 0) *axis += limit;
    SN_ASSERT(*axis >= 0 && *axis < limit);
    return SN_OK;
}

sn_status infer_axis(const Infer *call, AttrName name, int64_t *axis) {
    int64_t *word = infer_attr(call, name);
    INFER_TRY(infer_axis_of(call, word, infer_input(call, 0)->rank, 0));
    *axis = *word;
    return SN_OK;
}

sn_status infer_set_axes(Infer *call, AttrName name, uint32_t mask) {
    int64_t axes[SN_MAX_RANK];
    int32_t count = 0;
    for (int32_t axis = 0; axis < SN_MAX_RANK; axis++)
        if (mask >> axis & 1) axes[count++] = axis;
    return infer_set_list(call, name, axes, count);
}

sn_status infer_axes(Infer *call, AttrName name, uint32_t *mask) {
    int32_t count;
    int64_t *axes = infer_list(call, name, &count);
    int32_t rank = infer_input(call, 0)->rank;
    *mask = 0;
    for (int32_t i = 0; i < count; i++) {
        int64_t axis = axes[i];
        INFER_TRY(infer_axis_of(call, &axis, rank, 0));
        if (*mask >> axis & 1)
            return infer_refuse(call, SN_ERROR_ARGUMENT, "axis %lld is listed twice",
                                (long long)axis);
        *mask |= 1u << axis;
    }
    if (rank == 0) *mask = 0;
    return infer_set_axes(call, name, *mask);
}

/* ---- dims ------------------------------------------------------------------------------------ */

static bool is_negative(const Infer *call, Dim d) {
    return infer_is_number(call, d) && d.word < 0;
}

sn_status infer_check_dims(const Infer *call, const Dim *dims, int32_t count) {
    if (count > SN_MAX_RANK)
        return infer_refuse(call, SN_ERROR_SHAPE, "dims has %d sizes, but a tensor has at most %d",
                            (int)count, SN_MAX_RANK);
    for (int32_t i = 0; i < count; i++)
        if (is_negative(call, dims[i]))
            return infer_refuse(call, SN_ERROR_SHAPE, "dims[%d] is %lld, a negative size", (int)i,
                                (long long)dims[i].word);
    return SN_OK;
}

sn_status infer_set_dims(Infer *call, const Dim *dims, int32_t rank) {
    if (rank > SN_MAX_RANK)
        return infer_refuse_types(call, SN_ERROR_SHAPE,
                                  "the result would have %d dims, but a tensor has at most %d",
                                  (int)rank, SN_MAX_RANK);
    call->result->rank = (uint8_t)rank;
    for (int32_t i = 0; i < rank; i++) call->result->dims[i] = dims[i];
    return SN_OK;
}

bool infer_broadcast(Infer *call, const Dim *dims, int32_t rank) {
    TensorType *result = call->result;
    SN_ASSERT(rank <= SN_MAX_RANK && result->rank <= SN_MAX_RANK);
    if (rank > result->rank) { /* make room in front */
        int32_t extra = rank - result->rank;
        memmove(result->dims + extra, result->dims, result->rank * sizeof *dims);
        for (int32_t i = 0; i < extra; i++) result->dims[i] = dim_of(1);
        result->rank = (uint8_t)rank;
    }
    Dim *last = result->dims + (result->rank - rank);
    for (int32_t i = 0; i < rank; i++) {
        if (dim_is(dims[i], 1)) continue;
        if (dim_is(last[i], 1))
            last[i] = dims[i];
        else if (!dim_equal(call->table, last[i], dims[i]))
            return false;
    }
    return true;
}

sn_status infer_set_same(Infer *call) {
    return infer_set_dims(call, infer_input(call, 0)->dims, infer_input(call, 0)->rank);
}

sn_status infer_insert_dim(Infer *call, int64_t axis, Dim size) {
    const TensorType *x = infer_input(call, 0);
    SN_ASSERT(axis >= 0 && axis <= x->rank);
    Dim dims[SN_MAX_RANK + 1];
    for (int32_t i = 0; i <= x->rank; i++)
        dims[i] = i < axis ? x->dims[i] : i == axis ? size : x->dims[i - 1];
    return infer_set_dims(call, dims, x->rank + 1);
}

Dim infer_axis_size(const TensorType *type, int64_t axis) {
    return type->rank ? type->dims[axis] : dim_of(1);
}

int32_t infer_axes_of(const TensorType *type) {
    return type->rank ? type->rank : 1;
}
