/* Dispatch of ops; see dispatch.h. */
#include "frontend/op/dispatch.h"

#include "frontend/op/eager.h"
#include "frontend/op/inplace_fit.h"

#include <stdio.h>

/* What is wrong with an operand, which is called "y", or "xs[1]" in an array. False. */
__attribute__((cold)) static bool refuse_input(OpCode op, const OpParam *param, int32_t input,
                                               const sn_tensor *x, Site site) {
    char name[48];
    snprintf(name, sizeof name, param->suffix == '*' ? "%s[%d]" : "%s", param->name, (int)input);
    return tensor_check(x, op_info[op].name, name, site) &&
           error_refuse(SN_ERROR_ARGUMENT, site, "%s: %s is SN_NONE, but is not optional",
                        op_info[op].name, name);
}

static bool check_inputs(OpCode op, sn_tensor *const *inputs, int32_t n_inputs, Site site) {
    int32_t n_params;
    const OpParam *params = op_params(op, &n_params);
    const OpOperands *operands = op_operands(op);
    if (n_inputs < 0 || (n_inputs && !inputs)) {
        const char *array = params[operands->params[0]].name;
        return error_refuse(SN_ERROR_ARGUMENT, site,
                            inputs ? "%s: %s cannot have %d tensors" : "%s: %s is NULL",
                            op_info[op].name, array, (int)n_inputs);
    }
    for (int32_t i = 0; i < n_inputs; i++) {
        const OpParam *param = &params[op_operand_param(operands, i, n_inputs)];
        if (!tensor_is_usable(inputs[i]) ||
            (inputs[i]->kind == TENSOR_NONE && param->suffix != '?'))
            return refuse_input(op, param, i, inputs[i], site);
    }
    return true;
}

/* The operands of copy_, which is no row of the op table. */
static bool check_copy(sn_tensor *const *inputs, Site site) {
    static const char *const names[2] = {"x", "source"};
    for (int32_t i = 0; i < 2; i++)
        if (!tensor_check_present(inputs[i], "copy_", names[i], site)) return false;
    return true;
}

static bool check_generator(OpCode op, const sn_rng *generator, Site site) {
    if (!op_is(op, CLASS_RANDOM) || generator) return true;
    return error_refuse(SN_ERROR_ARGUMENT, site, "%s: generator is NULL", op_info[op].name);
}

static bool attrs_fit(OpCode op, const AttrList *attrs, Site site) {
    int32_t n_params, list = 0;
    if (!attr_is_overlong(attrs)) return true;
    const OpParam *params = op_params(op, &n_params);
    while (list + 1 < n_params && params[list].kind != 'L') list++; /* no public op has two */
    return error_refuse(SN_ERROR_ARGUMENT, site, "%s: %s %s %lld %s", op_info[op].name,
                        params[list].name,
                        attrs->words[ATTR_OVERLONG_PRESENT] ? "cannot have" : "is NULL, but has",
                        (long long)attrs->words[ATTR_OVERLONG_LENGTH],
                        attrs->words[ATTR_OVERLONG_LENGTH] == 1 ? "entry" : "entries");
}

static bool check_target(const OpCall *call) {
    const sn_tensor *target = call->inputs[0];
    if (target->kind == TENSOR_WEAK || target->kind == TENSOR_NONE)
        return error_refuse(SN_ERROR_ARGUMENT, call->site,
                            "%s_: a scalar constant cannot be written", inplace_name(call->op));
    if (target->kind == TENSOR_REAL && storage_is_frozen(target->storage))
        return error_refuse(SN_ERROR_ARGUMENT, call->site, "%s_: the tensor is frozen",
                            inplace_name(call->op));
    return !tensor_overlaps_itself(target) ||
           error_refuse(SN_ERROR_ALIAS, call->site,
                        "%s_: the tensor names one element more than once (it was expanded)",
                        inplace_name(call->op));
}

/* Where the thread's ops go. */
static const OpTable *table_of(const ThreadState *state) {
    return state->recorder ? &state->recorder->table->ops : &eager_ops;
}

sn_tensor *dispatch_op(OpCode op, sn_tensor *const *inputs, int32_t n_inputs, const AttrList *attrs,
                       sn_rng *generator, Site site) {
    ThreadState *state = thread_state();
    if (error_pending(state)) return NULL;
    if (!check_inputs(op, inputs, n_inputs, site) || !check_generator(op, generator, site) ||
        !attrs_fit(op, attrs, site))
        return NULL;
    const OpCall call = {op, n_inputs, inputs, attrs, generator, site};
    const OpTable *table = table_of(state);
    return op_is(op, CLASS_VIEW) ? table->view(state->recorder, &call)
                                 : table->op(state->recorder, &call);
}

/* What is wrong with the call of an op in place is said of "add_", whoever noticed it; what its kernel met is
 * said of the op, as by a compiled function, whose graph knows no other. NULL. */
__attribute__((cold)) static sn_tensor *refuse_in_place(OpCode op, Site site) {
    char name[48];
    sn_status status = sn_error_status();
    if (status == SN_ERROR_INDEX || status == SN_ERROR_MEMORY) return NULL;
    snprintf(name, sizeof name, "%s_", inplace_name(op));
    return error_of_call(site, op_info[op].name, name);
}

static sn_tensor *write_in_place(OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                                 const AttrList *attrs, sn_rng *generator, Site site) {
    ThreadState *state = thread_state();
    if (inplace_copies(op) ? !check_copy(inputs, site) : !check_inputs(op, inputs, n_inputs, site))
        return NULL;
    const OpCall call = {op, n_inputs, inputs, attrs, generator, site};
    bool fits =
        check_generator(op, generator, site) && attrs_fit(op, attrs, site) && check_target(&call);
    return fits ? table_of(state)->inplace(state->recorder, &call) : NULL;
}

sn_tensor *dispatch_inplace(OpCode op, sn_tensor *const *inputs, int32_t n_inputs,
                            const AttrList *attrs, sn_rng *generator, Site site) {
    if (error_pending(thread_state())) return NULL;
    sn_tensor *x = write_in_place(op, inputs, n_inputs, attrs, generator, site);
    return x ? x : refuse_in_place(op, site);
}

sn_tensor *dispatch_list(OpCode op, sn_tensor *x, const int64_t *list, int32_t count, Site site) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_list(&attrs, list, count);
    return dispatch_op(op, &x, 1, &attrs, NULL, site);
}
