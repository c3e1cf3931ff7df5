/* sn_apply and sn_op_info: the op table for language bindings; see sinter/binding.h. */
#include "frontend/op/apply.h"
#include "frontend/op/dispatch.h"

#include "base/sized.h"
#include "base/status.h"
#include "base/thread/parallel.h"

bool sn_op_info(int32_t op, sn_op_description *description) {
    if (op < 0 || op >= OP_COUNT || !description) return false;
    const OpInfo *info = &op_info[op];
    *description = (sn_op_description){.name = info->name,
                                       .signature = info->signature,
                                       .about = info->about,
                                       .is_public = op_has((OpCode)op, F_PUBLIC),
                                       .in_place = op_has((OpCode)op, F_INPLACE)};
    return true;
}

sn_status call_options_copy(sn_call_options *options, const sn_call_options *given, const char *op,
                            sn_error *error) {
    *options = (sn_call_options){0};
    if (!given) return SN_OK;
    if (given->size && given->size < sizeof given->size)
        return error_set(error, SN_ERROR_ARGUMENT, "%s: options.size is %zu", op, given->size);
    if (!sized_copy(options, sizeof *options, given, given->size))
        return error_set(error, SN_ERROR_ARGUMENT,
                         "%s: options.size is %zu: %zu are known, and the rest is not zero", op,
                         given->size, sizeof *options);
    if (options->threads < 0)
        return error_set(error, SN_ERROR_ARGUMENT, "%s: options.threads is %d", op,
                         (int)options->threads);
    return SN_OK;
}

void binding_enter(BindingCall *call, int32_t threads) {
    ThreadState *state = thread_state();
    call->pending = error_put_aside(state);
    call->threads = parallel_own_threads(threads);
    if (!threads)
        parallel_own_threads(call->threads); /* a call within a call has the outer one's */
    call->scope = sn_scope_begin();
}

sn_status binding_leave(BindingCall *call, sn_error *error) {
    sn_status status = sn_error_take(error);
    sn_scope_end(call->scope, NULL);
    parallel_own_threads(call->threads);
    thread_state()->error = call->pending;
    return status;
}

/* Operands and attributes of an op as they are collected from values. */
typedef struct ApplyArgs {
    sn_tensor *const *tensors;      /* t*: the caller's array */
    sn_tensor *few[OP_MOST_PARAMS]; /* t, t? */
    int32_t n_tensors;              /* operands */
    AttrList attrs;                 /* attributes */
    sn_rng *generator;              /* r */
} ApplyArgs;

static bool take_tensor(const OpParam *param, const sn_value *value, ApplyArgs *args) {
    if (param->suffix == '*') {
        if (value->kind != SN_VALUE_TENSORS || value->count < 0) return false;
        args->tensors = value->as.tensors;
        args->n_tensors = value->count;
        return true;
    }
    if (value->kind == SN_VALUE_NONE && param->suffix == '?')
        args->few[args->n_tensors++] = SN_NONE;
    else if (value->kind == SN_VALUE_TENSOR)
        args->few[args->n_tensors++] = value->as.tensor;
    else if (value->kind == SN_VALUE_FLOAT)
        args->few[args->n_tensors++] = sn_c(value->as.real);
    else if (value->kind == SN_VALUE_INT || value->kind == SN_VALUE_BOOL)
        args->few[args->n_tensors++] = sn_ci(value->as.integer);
    else
        return false;
    return true;
}

static bool take_value(const OpParam *param, const sn_value *value, ApplyArgs *args) {
    switch (param->kind) {
    case 't':
        return take_tensor(param, value, args);
    case 'd':
        if (value->kind != SN_VALUE_FLOAT) return false;
        attr_add_double(&args->attrs, value->as.real);
        return true;
    case 'L':
        if (value->kind != SN_VALUE_INTS) return false;
        attr_add_list(&args->attrs, value->as.integers, value->count);
        return true;
    case 'r':
        args->generator = value->as.generator;
        return value->kind == SN_VALUE_RNG;
    default:
        if (value->kind != SN_VALUE_INT && value->kind != SN_VALUE_BOOL) return false;
        attr_add_int(&args->attrs, value->as.integer);
        return true;
    }
}

static sn_status collect(OpCode op, const sn_value *inputs, int32_t n_inputs, ApplyArgs *args,
                         sn_error *error) {
    int32_t n_params, at = 0;
    const OpParam *params = op_params(op, &n_params);
    *args = (ApplyArgs){.tensors = args->few};
    for (int32_t i = 0; i < n_params; i++) {
        if (params[i].kind == 'h') {
            attr_add_int(&args->attrs, 0);
            continue;
        }
        if (at >= n_inputs || !take_value(&params[i], &inputs[at], args))
            return error_set(error, SN_ERROR_SIGNATURE,
                             "%s: argument %d (%s) is missing or of another kind", op_info[op].name,
                             (int)at + 1, params[i].name);
        at++;
    }
    if (at == n_inputs) return SN_OK;
    return error_set(error, SN_ERROR_SIGNATURE, "%s: takes %d arguments, %d were given",
                     op_info[op].name, (int)at, (int)n_inputs);
}

static sn_status check_apply(int32_t op, const sn_value *inputs, int32_t n_inputs,
                             sn_tensor *const *outputs, int32_t capacity, sn_error *error) {
    if (op < 0 || op >= OP_COUNT || !op_has((OpCode)op, F_PUBLIC))
        return error_set(error, SN_ERROR_ARGUMENT, "apply: %d is no public op", (int)op);
    if (capacity < 1 || !outputs)
        return error_set(error, SN_ERROR_ARGUMENT, "apply: there is no room for the result of %s",
                         op_info[op].name);
    if (n_inputs > 0 && !inputs)
        return error_set(error, SN_ERROR_ARGUMENT, "apply: %s: inputs is NULL", op_info[op].name);
    return SN_OK;
}

sn_status sn_apply(int32_t op, const sn_value *inputs, int32_t n_inputs, sn_tensor **outputs,
                   int32_t capacity, int32_t *n_outputs, const sn_call_options *options,
                   sn_error *error) {
    sn_error own;
    error_init(&own);
    ApplyArgs args;
    if (n_outputs) *n_outputs = 0;
    sn_call_options known;
    sn_status status = call_options_copy(&known, options, "apply", &own);
    if (status == SN_OK) status = check_apply(op, inputs, n_inputs, outputs, capacity, &own);
    if (status == SN_OK) {
        BindingCall call;
        sn_error wrong;
        error_init(&wrong);
        binding_enter(&call, known.threads); /* numbers are handles of its scope */
        outputs[0] = NULL;
        if (collect((OpCode)op, inputs, n_inputs, &args, &wrong) == SN_OK)
            outputs[0] = dispatch_op((OpCode)op, args.tensors, args.n_tensors, &args.attrs,
                                     args.generator, (Site){0});
        else
            error_raise_from(&wrong, (Site){0});
        sn_retain(outputs[0]);
        status = binding_leave(&call, &own);
        if (status == SN_OK && n_outputs) *n_outputs = 1;
    }
    if (error) *error = own;
    return status;
}
