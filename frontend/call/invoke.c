/* The program's function, called through libffi or as a payload, with the tensors of a call or with
 * proxies in their place. */
#include "frontend/call/invoke.h"

#include "base/status.h"

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

bool arguments_substitute(const sn_compiled *c, Trace *trace, const CallArgs *args,
                          sn_tensor *const *tensors, Substituted *s) {
    sn_tensor *const *next = tensors;
    int32_t n_array = 0;
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        const ParamSpec *param = &c->signature.params[i];
        s->values[i] = args->values[i];
        s->structs[i] = NULL;
        if (param->kind == 't' && param->array) {
            s->values[i].as.tensors = s->arrays + n_array;
            for (int32_t j = 0; j < args->values[i].count; j++) s->arrays[n_array++] = *next++;
        } else if (param->kind == 't') {
            s->values[i].kind = SN_VALUE_TENSOR;
            s->values[i].as.tensor = *next++;
        } else if (param->kind == 'S') {
            s->structs[i] = mem_alloc(2 * param->tree->bytes);
            if (!s->structs[i] || !trace_owns(trace, s->structs[i])) return false;
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
            SN_ERROR_UNSUPPORTED, c->site,
            "%s writes into its described struct (argument %d): pass it as an opaque pointer, p",
            c->name, (int)i + 1);
        return SN_ERROR_UNSUPPORTED;
    }
    return SN_OK;
}

/* C values of the parameters, for libffi. */
typedef union CArgument {
    void *pointer;
    uint8_t boolean;
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
} CArgument;

static void set_argument(CArgument *slot, char kind, const sn_value *value) {
    switch (kind) {
    case 'b':
        slot->boolean = value->as.integer != 0;
        return;
    case 'i':
        slot->i32 = (int32_t)value->as.integer;
        return;
    case 'l':
        slot->i64 = value->as.integer;
        return;
    case 'f':
        slot->f32 = (float)value->as.real;
        return;
    case 'd':
        slot->f64 = value->as.real;
        return;
    case 'r':
        slot->pointer = value->as.generator;
        return;
    case 't':
        slot->pointer = value->kind == SN_VALUE_NONE ? SN_NONE : value->as.tensor;
        return;
    default:
        slot->pointer = value->as.pointer;
        return;
    }
}

static sn_status invoke_function(sn_compiled *c, const sn_value *values, sn_tensor **outputs) {
    const Signature *s = &c->signature;
    CArgument slots[3 * SIGNATURE_MOST_PARAMS];
    void *pointers[3 * SIGNATURE_MOST_PARAMS];
    int32_t at = 0;
    for (int32_t i = 0; i < s->n_params; i++) {
        if (s->params[i].array) {
            slots[at++].pointer = (void *)(uintptr_t)values[i].as.tensors;
            slots[at++].i32 = values[i].count;
        } else {
            set_argument(&slots[at++], s->params[i].kind, &values[i]);
        }
    }
    for (int32_t i = 0; !s->returns_tensor && i < s->n_outputs; i++)
        slots[at++].pointer = &outputs[i];
    SN_ASSERT(at == s->n_arguments);
    for (int32_t i = 0; i < at; i++) pointers[i] = &slots[i];
    union {
        ffi_arg word;
        sn_tensor *tensor;
    } result = {0};
    ffi_call(&c->callee.cif, FFI_FN(c->callee.function), &result, pointers);
    if (s->returns_tensor) outputs[0] = result.tensor;
    return s->returns_tensor ? SN_OK : (sn_status)result.word;
}

sn_status compiled_invoke(sn_compiled *c, const sn_value *values, sn_tensor **outputs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) outputs[i] = NULL;
    SN_ASSERT(may_call_program());
    sn_status status;
    if (c->callee.payload_function) {
        sn_outputs results = {outputs, c->signature.n_outputs, 0};
        status =
            c->callee.payload_function(c->callee.payload, values, c->signature.n_params, &results);
    } else {
        status = invoke_function(c, values, outputs);
    }
    if (error_pending(thread_state())) return sn_error_status();
    if (status == SN_OK)
        for (int32_t i = 0; i < c->signature.n_outputs; i++)
            if (!outputs[i])
                return error_raise(SN_ERROR_ARGUMENT, c->site, "%s returned NULL without an error",
                                   c->name),
                       SN_ERROR_ARGUMENT;
    if (status != SN_OK)
        error_raise(status, c->site, "%s returned an error: %s", c->name, sn_status_name(status));
    return status;
}
