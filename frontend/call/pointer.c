/* sn_compiled_fn: a call through a pointer of the function's own type. */
#include "frontend/call/call.h"

#undef sn_compiled_fn

/* The C argument at `argument`, of the type that the letter says. */
static void get_value(char kind, const void *argument, sn_value *value) {
    union {
        uint8_t boolean;
        int32_t i32;
        float f32;
    } small;
    *value = (sn_value){.kind = SN_VALUE_INT};
    switch (kind) {
    case 'b':
        memcpy(&small.boolean, argument, sizeof small.boolean);
        value->kind = SN_VALUE_BOOL;
        value->as.integer = small.boolean != 0;
        return;
    case 'i':
        memcpy(&small.i32, argument, sizeof small.i32);
        value->as.integer = small.i32;
        return;
    case 'l':
        memcpy(&value->as.integer, argument, sizeof value->as.integer);
        return;
    case 'f':
        memcpy(&small.f32, argument, sizeof small.f32);
        value->kind = SN_VALUE_FLOAT;
        value->as.real = (double)small.f32;
        return;
    case 'd':
        value->kind = SN_VALUE_FLOAT;
        memcpy(&value->as.real, argument, sizeof value->as.real);
        return;
    case 't':
        value->kind = SN_VALUE_TENSOR;
        break;
    case 'r':
        value->kind = SN_VALUE_RNG;
        break;
    default:
        value->kind = SN_VALUE_POINTER;
    }
    memcpy(&value->as.pointer, argument, sizeof value->as.pointer);
}

/* What a pointer from sn_compiled_fn runs: C arguments to values, the call, results back. */
static void call_by_pointer(ffi_cif *cif, void *result, void **arguments, void *user) {
    sn_compiled *c = user;
    const Signature *s = &c->signature;
    sn_value values[SIGNATURE_MOST_PARAMS];
    sn_tensor *outputs[SIGNATURE_MOST_PARAMS];
    int32_t at = 0;
    (void)cif;
    for (int32_t i = 0; i < s->n_params; i++) {
        get_value(s->params[i].kind, arguments[at++], &values[i]);
        if (!s->params[i].array) continue;
        values[i].kind = SN_VALUE_TENSORS;
        memcpy(&values[i].count, arguments[at++], sizeof values[i].count);
    }
    int32_t n_outputs = s->n_outputs;
    bool returns_tensor = s->returns_tensor;
    for (int32_t i = 0; i < n_outputs; i++) outputs[i] = NULL;
    sn_status status = compiled_call(c, values, outputs, false);
    /* The handle may be gone: nothing of it is read behind the call. */
    if (returns_tensor) {
        sn_tensor *tensor = status == SN_OK ? outputs[0] : NULL;
        memcpy(result, &tensor, sizeof tensor);
        return;
    }
    for (int32_t i = 0; i < n_outputs; i++) {
        sn_tensor **target;
        memcpy(&target, arguments[at++], sizeof target);
        if (target) *target = status == SN_OK ? outputs[i] : NULL;
    }
    ffi_arg word = (ffi_arg)status;
    memcpy(result, &word, sizeof word);
}

sn_function sn_compiled_fn_at(sn_compiled *c, const char *file, int32_t line) {
    Site site = site_at(file, line);
    if (!compiled_check(c, "compiled_fn", site)) return NULL;
    if (c->callee.payload_function)
        return (sn_function)(uintptr_t)error_raise(
            SN_ERROR_ARGUMENT, site, "compiled_fn: %s is a payload function; use sn_call", c->name);
    void *code = closure_code(&c->closure, &c->callee.cif, call_by_pointer, c);
    if (!code)
        error_raise(
            SN_ERROR_UNSUPPORTED, site,
            "compiled_fn: executable memory is denied on this system; sn_call works without it");
    sn_function function;
    memcpy(&function, &code, sizeof function);
    return function;
}

sn_function sn_compiled_fn(sn_compiled *c) {
    return sn_compiled_fn_at(c, NULL, 0);
}
