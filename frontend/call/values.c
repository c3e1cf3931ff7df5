/* sn_call: a call by values that are checked against the signature; see sinter/binding.h. */
#include "frontend/call/call.h"

#include "base/status.h"
#include "frontend/op/apply.h"
#include "frontend/tensor/tensor.h"

/* Does a value have the kind that a signature letter takes? */
static bool value_fits(const ParamSpec *param, const sn_value *value) {
    switch (param->kind) {
    case 't':
        if (param->array)
            return value->kind == SN_VALUE_TENSORS && value->count >= 0 &&
                   (!value->count || value->as.tensors);
        return value->kind == SN_VALUE_TENSOR || (param->optional && value->kind == SN_VALUE_NONE);
    case 'b':
        return value->kind == SN_VALUE_BOOL || value->kind == SN_VALUE_INT;
    case 'i':
        return value->kind == SN_VALUE_INT && value->as.integer >= INT32_MIN &&
               value->as.integer <= INT32_MAX;
    case 'l':
        return value->kind == SN_VALUE_INT;
    case 'f':
    case 'd':
        return value->kind == SN_VALUE_FLOAT;
    case 'r':
        return value->kind == SN_VALUE_RNG;
    default:
        return value->kind == SN_VALUE_POINTER;
    }
}

static sn_status check_values(const sn_compiled *c, const sn_value *inputs, int32_t n_inputs,
                              sn_tensor *const *outputs, int32_t capacity, sn_error *error) {
    if (compiled_check_for(c, "call", error) != SN_OK) return error->status;
    if (n_inputs > 0 && !inputs)
        return error_set(error, SN_ERROR_ARGUMENT, "call: %s: inputs is NULL", c->name);
    if (n_inputs != c->signature.n_params)
        return error_set(error, SN_ERROR_SIGNATURE,
                         "call: %s takes %d arguments (\"%s\"), %d were given", c->name,
                         (int)c->signature.n_params, c->signature_text, (int)n_inputs);
    if (capacity > 0 && !outputs)
        return error_set(error, SN_ERROR_ARGUMENT, "call: %s: outputs is NULL", c->name);
    if (capacity < c->signature.n_outputs)
        return error_set(error, SN_ERROR_ARGUMENT, "call: %s has %d results, there is room for %d",
                         c->name, (int)c->signature.n_outputs, (int)capacity);
    for (int32_t i = 0; i < n_inputs; i++)
        if (!value_fits(&c->signature.params[i], &inputs[i]))
            return error_set(error, SN_ERROR_SIGNATURE,
                             "call: argument %d of %s does not fit the signature's '%c'",
                             (int)i + 1, c->name, c->signature.params[i].kind);
    return SN_OK;
}

sn_status sn_call(sn_compiled *c, const sn_value *inputs, int32_t n_inputs, sn_tensor **outputs,
                  int32_t capacity, int32_t *n_outputs, const sn_call_options *options,
                  sn_error *error) {
    sn_error own;
    error_init(&own);
    if (n_outputs) *n_outputs = 0;
    sn_call_options known;
    sn_status status = call_options_copy(&known, options, "call", &own);
    if (status == SN_OK) status = check_values(c, inputs, n_inputs, outputs, capacity, &own);
    int32_t n_results = status == SN_OK ? c->signature.n_outputs : 0;
    if (status == SN_OK) { /* behind the call the handle may be gone */
        BindingCall call;
        binding_enter(&call, known.threads);
        (void)compiled_call(c, inputs, outputs, true);
        status = binding_leave(&call, &own);
    }
    if (status == SN_OK && n_outputs) *n_outputs = n_results;
    if (error) *error = own;
    return status;
}
