/* The program's function, called through libffi or as a payload. */
#include "frontend/call/invoke.h"

#include "base/status.h"

#include <string.h>

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

/* What the function returned died with the scopes that it unwound. */
static sn_status refuse_unwound(const sn_compiled *c, sn_tensor **outputs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) outputs[i] = NULL;
    error_raise(SN_ERROR_SCOPE, (Site){0}, "%s: it returned after sn_unwind had ended its call",
                c->title);
    return SN_ERROR_SCOPE;
}

sn_status compiled_invoke(sn_compiled *c, const sn_value *values, sn_tensor **outputs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) outputs[i] = NULL;
    SN_ASSERT(may_call_program());
    const Recorder *recorder = thread_state()->recorder;
    sn_status status = c->callee.payload_function ? payload_invoke(c, values, outputs)
                                                  : invoke_function(c, values, outputs);
    if (recorder && !recorder_is_open(recorder)) return refuse_unwound(c, outputs);
    if (error_pending(thread_state())) return sn_error_status();
    if (status != SN_OK)
        error_raise(status, (Site){0}, "%s: an error was returned: %s", c->title,
                    sn_status_name(status));
    for (int32_t i = 0; status == SN_OK && i < c->signature.n_outputs; i++) {
        if (outputs[i]) continue;
        if (c->signature.returns_tensor && !c->callee.payload_function)
            error_raise(SN_ERROR_ARGUMENT, (Site){0}, "%s: NULL was returned without an error",
                        c->title);
        else
            error_raise(SN_ERROR_ARGUMENT, (Site){0}, "%s: output %d was not set", c->title,
                        (int)i + 1);
        status = SN_ERROR_ARGUMENT;
    }
    return status;
}
