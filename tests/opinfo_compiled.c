/* Recorded calls, evaluated and compiled; see opinfo_compiled.h. */
#include "opinfo_compiled.h"

#include "opinfo_compose.h"
#include "opinfo_contract.h"
#include "opinfo_index.h"
#include "opinfo_pointwise.h"
#include "opinfo_reduce.h"
#include "opinfo_view.h"
#include "opinfo_window.h"

#include <string.h>

static const OpinfoRow *find_row(const OpinfoCase *c) {
    const OpinfoTable *tables[] = {&opinfo_pointwise, &opinfo_reduce, &opinfo_view,
                                   &opinfo_index,     &opinfo_window, &opinfo_contract,
                                   &opinfo_compose};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t i = 0; i < tables[t]->count; i++) {
            const OpinfoRow *row = &tables[t]->rows[i];
            if (strcmp(row->op, c->op) == 0 &&
                (!row->variant || strcmp(row->variant, c->variant) == 0))
                return row;
        }
    return NULL;
}

bool opinfo_known(const OpinfoCase *c) {
    return find_row(c) != NULL;
}

bool opinfo_evaluate(OpinfoCall *call) {
    return find_row(call->recorded)->form(call, find_row(call->recorded));
}

sn_tensor *opinfo_clone(sn_tensor *const *inputs, int32_t n_inputs) {
    return n_inputs ? sn_clone(inputs[0]) : sn_ones(SN_I(2, 3), SN_F32);
}

/* What is compiled; the last value says which part. */
static sn_status payload(void *recorded, const sn_value *inputs, int32_t n_inputs,
                         sn_outputs *outputs) {
    sn_tensor *tensors[OPINFO_MOST_TENSORS];
    for (int32_t i = 0; i + 1 < n_inputs; i++) tensors[i] = inputs[i].as.tensor;
    OpinfoCall call = {.recorded = recorded, .inputs = tensors};
    outputs->count = outputs->capacity;
    if (inputs[n_inputs - 1].as.integer == OPINFO_CLONES) {
        for (int32_t i = 0; i < outputs->capacity; i++)
            outputs->tensors[i] = opinfo_clone(tensors, n_inputs - 1);
        return sn_error_status();
    }
    if (!opinfo_evaluate(&call) || call.n_results != outputs->capacity) return SN_ERROR_ARGUMENT;
    for (int32_t i = 0; i < call.n_results; i++) outputs->tensors[i] = call.results[i];
    return sn_error_status();
}

sn_compiled *opinfo_compile(OpinfoCase *c, int32_t n_results, sn_error *error) {
    char signature[2 * OPINFO_MOST_TENSORS + 3];
    int32_t at = 0;
    for (int32_t i = 0; i < c->n_inputs; i++) signature[at++] = 't';
    signature[at++] = 'l';
    signature[at++] = ':';
    for (int32_t i = 0; i < n_results; i++) signature[at++] = 't';
    signature[at] = 0;
    return sn_compile_payload(payload, c, NULL, c->op, signature, NULL, error);
}

sn_status opinfo_call(sn_compiled *compiled, const OpinfoCase *c, OpinfoPart part,
                      sn_tensor **outputs, int32_t *count, sn_error *error) {
    sn_value values[OPINFO_MOST_TENSORS + 1];
    for (int32_t i = 0; i < c->n_inputs; i++)
        values[i] = (sn_value){.kind = SN_VALUE_TENSOR, .as.tensor = c->inputs[i]};
    values[c->n_inputs] = (sn_value){.kind = SN_VALUE_INT, .as.integer = part};
    return sn_call(compiled, values, c->n_inputs + 1, outputs, OPINFO_MOST_TENSORS, count, NULL,
                   error);
}
