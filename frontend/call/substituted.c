/* Values of a call with other tensors in the place of its own; see substituted.h. */
#include "frontend/call/substituted.h"

#include <string.h>

static sn_tensor *const *replace_tree(const sn_tree *tree, char *data, sn_tensor *const *next) {
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        int32_t count = tree_field_count(field, data);
        for (int32_t j = 0; j < count; j++) {
            char *at = data + field->offset + (size_t)j * field->bytes;
            if (field->kind == SN_FIELD_STRUCT) next = replace_tree(field->nested, at, next);
            if (field->kind == SN_FIELD_TENSOR) memcpy(at, next++, sizeof *next);
        }
    }
    return next;
}

bool substituted_make(const sn_compiled *c, Trace *trace, const CallArgs *args,
                      sn_tensor *const *tensors, Substituted *s) {
    sn_tensor *const *next = tensors;
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        const ParamSpec *param = &c->signature.params[i];
        s->values[i] = args->values[i];
        s->structs[i] = NULL;
        if (param->kind == 't' && param->array) {
            s->values[i].as.tensors = next;
            next += args->values[i].count;
        } else if (param->kind == 't') {
            s->values[i].kind = SN_VALUE_TENSOR;
            s->values[i].as.tensor = *next++;
        } else if (param->kind == 'S') {
            s->structs[i] = mem_alloc(2 * param->tree->bytes);
            if (!s->structs[i] || !trace_owns(trace, s->structs[i]))
                return error_refuse(SN_ERROR_MEMORY, (Site){0}, "out of memory");
            memcpy(s->structs[i], args->values[i].as.pointer, param->tree->bytes);
            next = replace_tree(param->tree, s->structs[i], next);
            memcpy(s->structs[i] + param->tree->bytes, s->structs[i], param->tree->bytes);
            s->values[i].as.pointer = s->structs[i];
        }
    }
    SN_ASSERT(next - tensors == args->n_tensors);
    return true;
}

/* The function was given a copy, so what it writes there would be lost. */
sn_status substituted_check(const sn_compiled *c, const Substituted *s) {
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        if (!s->structs[i]) continue;
        size_t bytes = c->signature.params[i].tree->bytes;
        if (memcmp(s->structs[i], s->structs[i] + bytes, bytes) == 0) continue;
        error_raise(
            SN_ERROR_UNSUPPORTED, (Site){0},
            "%s: its described struct (argument %d) was written: pass it as an opaque pointer, p",
            c->title, (int)i + 1);
        return SN_ERROR_UNSUPPORTED;
    }
    return SN_OK;
}
