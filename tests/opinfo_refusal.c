/* Calls that PyTorch refuses; see opinfo_refusal.h. */
#include "opinfo_refusal.h"

#include "opinfo_check.h"
#include "opinfo_compiled.h"

#include <stdio.h>
#include <string.h>

/* A case with what eager makes of it. */
typedef struct Refused {
    OpinfoCase *recorded;                     /* the call */
    sn_error error;                           /* eager's */
    int32_t n_results;                        /* it would have */
    OpinfoResult before[OPINFO_MOST_TENSORS]; /* the inputs */
    OpinfoResult clone;                       /* what a valid call gives, each time */
} Refused;

static bool read_all(Refused *r, char *message) {
    const OpinfoCase *c = r->recorded;
    bool ok = opinfo_result_read(&r->clone, opinfo_clone(c->inputs, c->n_inputs), message);
    for (int32_t i = 0; ok && i < c->n_inputs; i++)
        ok = opinfo_result_read(&r->before[i], c->inputs[i], message);
    return ok;
}

static void free_all(Refused *r) {
    opinfo_result_free(&r->clone);
    for (int32_t i = 0; i < r->recorded->n_inputs; i++) opinfo_result_free(&r->before[i]);
}

static bool check_inputs(const Refused *r, char *message) {
    bool ok = true;
    for (int32_t i = 0; ok && i < r->recorded->n_inputs; i++) {
        OpinfoResult now;
        ok = opinfo_result_read(&now, r->recorded->inputs[i], message) &&
             opinfo_identical(&now, &r->before[i], message);
        opinfo_result_free(&now);
    }
    return ok;
}

static int32_t entries_of(sn_compiled *compiled) {
    sn_explanation explanation = {.size = sizeof explanation};
    return sn_explain(compiled, &explanation) == SN_OK ? explanation.entries : -1;
}

static bool check_refused_call(const Refused *r, sn_compiled *compiled, char *message) {
    sn_tensor *outputs[OPINFO_MOST_TENSORS] = {NULL};
    sn_error error = {.size = sizeof error};
    int32_t count = 0, entries = entries_of(compiled);
    opinfo_call(compiled, r->recorded, OPINFO_RECORDED, outputs, &count, &error);
    if (error.status != r->error.status || error.line != r->error.line ||
        strcmp(error.text, r->error.text) != 0)
        snprintf(message, OPINFO_TEXT, "%s: %.220s; eager: %s: %.220s",
                 sn_status_name(error.status), error.text, sn_status_name(r->error.status),
                 r->error.text);
    else if (sn_error_status() != SN_OK)
        snprintf(message, OPINFO_TEXT, "left an error pending: %s", sn_error_text());
    else if (count || outputs[0])
        snprintf(message, OPINFO_TEXT, "gave %d results", (int)count);
    else if (entries_of(compiled) != entries)
        snprintf(message, OPINFO_TEXT, "left an entry behind");
    else
        return check_inputs(r, message);
    return false;
}

static bool check_valid_call(const Refused *r, sn_compiled *compiled, char *message) {
    sn_tensor *outputs[OPINFO_MOST_TENSORS] = {NULL};
    sn_error error = {.size = sizeof error};
    int32_t count = 0;
    bool ok = opinfo_call(compiled, r->recorded, OPINFO_CLONES, outputs, &count, &error) == SN_OK;
    if (!ok) snprintf(message, OPINFO_TEXT, "a valid call is refused: %s", error.text);
    for (int32_t i = 0; i < count; i++) {
        OpinfoResult result = {.data = NULL};
        ok = ok && opinfo_result_read(&result, outputs[i], message) &&
             opinfo_identical(&result, &r->clone, message);
        opinfo_result_free(&result);
        sn_release(outputs[i]);
    }
    return ok;
}

/* One handle: 'x' calls it for the refused call, 'v' for a valid one. */
static bool check_order(const Refused *r, const char *order, char *message) {
    sn_error error = {.size = sizeof error};
    sn_compiled *compiled = opinfo_compile(r->recorded, r->n_results, &error);
    if (!compiled) snprintf(message, OPINFO_TEXT, "compile: %s", error.text);
    bool ok = compiled != NULL;
    for (int i = 0; ok && order[i]; i++) {
        char text[OPINFO_TEXT];
        ok = order[i] == 'x' ? check_refused_call(r, compiled, text)
                             : check_valid_call(r, compiled, text);
        if (!ok) snprintf(message, OPINFO_TEXT, "calls %s, call %d: %.500s", order, i + 1, text);
    }
    sn_compiled_release(compiled);
    return ok;
}

OpinfoRefusal opinfo_check_refusal(OpinfoCase *c, char *message) {
    OpinfoCall call = {.recorded = c, .inputs = c->inputs};
    Refused r = {.recorded = c};
    if (cJSON_GetObjectItemCaseSensitive(c->kwargs, "out")) {
        snprintf(message, OPINFO_TEXT, "no results in memory of the caller (out=)");
        return OPINFO_SKIPPED;
    }
    bool evaluated = opinfo_evaluate(&call);
    sn_status status = sn_error_take(&r.error);
    if (!evaluated && status == SN_OK) {
        snprintf(message, OPINFO_TEXT, "%s", call.skip);
        return OPINFO_SKIPPED;
    }
    if (status == SN_OK) return OPINFO_ACCEPTED;
    r.n_results = call.n_results;
    bool ok = read_all(&r, message) && check_order(&r, "xxvvvxv", message) &&
              check_order(&r, "vvvxxv", message);
    free_all(&r);
    sn_error_take(NULL);
    return ok ? OPINFO_REFUSED : OPINFO_DIFFERENT;
}
