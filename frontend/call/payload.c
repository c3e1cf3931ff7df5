/* Functions of bindings: what they are given, and the references that they hand over; see
 * sinter/binding.h. */
#include "frontend/call/invoke.h"

#include "base/vec.h"

#include <string.h>

/* ---- what the program holds of the arguments ------------------------------------------------- */

/* References of the program to an argument, before the function ran. */
typedef struct HeldArgument {
    const sn_tensor *tensor; /* the argument */
    int32_t retains;         /* how many */
} HeldArgument;
typedef VEC(HeldArgument) HeldArguments;

static bool note_tensor(HeldArguments *held, const sn_tensor *tensor) {
    int32_t retains = atomic_load_explicit(&tensor->retains, memory_order_relaxed);
    HeldArgument one = {tensor, retains};
    return !retains || vec_push(held, one);
}

static bool note_struct(HeldArguments *held, const sn_tree *tree, const char *data) {
    bool ok = true;
    for (int32_t i = 0; ok && i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        for (int32_t j = 0; ok && j < tree_field_count(field, data); j++) {
            const char *at = data + field->offset + (size_t)j * field->bytes;
            sn_tensor *tensor;
            if (field->kind == SN_FIELD_STRUCT) ok = note_struct(held, field->nested, at);
            if (field->kind != SN_FIELD_TENSOR) continue;
            memcpy(&tensor, at, sizeof tensor);
            ok = note_tensor(held, tensor);
        }
    }
    return ok;
}

/* False when out of memory. */
static bool note_arguments(HeldArguments *held, const Signature *s, const sn_value *values) {
    bool ok = true;
    for (int32_t i = 0; ok && i < s->n_params; i++) {
        const ParamSpec *param = &s->params[i];
        if (param->tree) ok = note_struct(held, param->tree, values[i].as.pointer);
        if (values[i].kind == SN_VALUE_TENSOR) ok = note_tensor(held, values[i].as.tensor);
        for (int32_t j = 0; ok && param->array && j < values[i].count; j++)
            ok = note_tensor(held, values[i].as.tensors[j]);
    }
    return ok;
}

static int32_t held_before(const HeldArguments *held, const sn_tensor *tensor) {
    for (uint32_t i = 0; i < held->count; i++)
        if (held->data[i].tensor == tensor) return held->data[i].retains;
    return 0;
}

/* ---- results --------------------------------------------------------------------------------- */

/* The reference that was handed over is the innermost scope's. */
static void take_over(sn_tensor *tensor) {
    ThreadState *state = thread_state();
    record_keep(tensor, -1);
    atomic_fetch_sub_explicit(&tensor->retains, 1, memory_order_relaxed);
    tensor_hold(state, tensor);
}

static sn_status take_results(const sn_compiled *c, const HeldArguments *held,
                              const sn_outputs *results) {
    int32_t count = c->signature.n_outputs;
    if (results->count < 0 || results->count > count) {
        error_raise(SN_ERROR_ARGUMENT, (Site){0}, "%s: outputs.count is %d, the signature has %d",
                    c->title, (int)results->count, (int)count);
        return SN_ERROR_ARGUMENT;
    }
    for (int32_t i = results->count; i < count; i++) results->tensors[i] = NULL;
    if (!vec_reserve(&thread_state()->held, (uint32_t)count)) {
        error_raise(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", c->title);
        return SN_ERROR_MEMORY;
    }
    for (int32_t i = 0; i < results->count; i++) {
        sn_tensor *tensor = results->tensors[i];
        if (!tensor || tensor == sn_none_tensor || !tensor_is_alive(tensor)) continue;
        int32_t retains = atomic_load_explicit(&tensor->retains, memory_order_relaxed);
        if (retains > held_before(held, tensor)) take_over(tensor);
    }
    return SN_OK;
}

sn_status payload_invoke(const sn_compiled *c, const sn_value *values, sn_tensor **outputs) {
    HeldArguments held = {0};
    sn_outputs results = {outputs, c->signature.n_outputs, c->signature.n_outputs};
    sn_status status = SN_ERROR_MEMORY;
    if (note_arguments(&held, &c->signature, values))
        status =
            c->callee.payload_function(c->callee.payload, values, c->signature.n_params, &results);
    else
        error_raise(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", c->title);
    if (status == SN_OK && !error_pending(thread_state()))
        status = take_results(c, &held, &results);
    vec_free(&held);
    return status;
}
