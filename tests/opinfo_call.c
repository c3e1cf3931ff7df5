/* Arguments of recorded calls as C values; see opinfo_call.h. */
#include "opinfo_call.h"

#include <string.h>

bool call_gives(OpinfoCall *call, sn_tensor *result) {
    call->results[call->n_results++] = result;
    return true;
}

bool call_gives_two(OpinfoCall *call, sn_tensor *first, sn_tensor *second) {
    return call_gives(call, first) && call_gives(call, second);
}

bool call_skip(OpinfoCall *call, const char *reason) {
    call->skip = reason;
    return false;
}

bool opinfo_refuse(OpinfoCall *call, sn_status status, const char *text) {
    return call_gives(call, sn_error_raise(status, __FILE__, __LINE__, "%s", text));
}

/* ---- finding --------------------------------------------------------------------------------- */

const cJSON *call_arg(const OpinfoCall *call, int position, const char *name) {
    const cJSON *node = position < 0 ? NULL : cJSON_GetArrayItem(call->recorded->args, position);
    if (!node) node = cJSON_GetObjectItemCaseSensitive(call->recorded->kwargs, name);
    return cJSON_IsNull(node) ? NULL : node;
}

bool call_is_tensor(const cJSON *node) {
    return cJSON_GetObjectItemCaseSensitive(node, "t") != NULL;
}

static sn_tensor *find_tensor(const OpinfoCall *call, const cJSON *node) {
    for (int32_t i = 0; i < call->recorded->n_inputs; i++)
        if (call->recorded->nodes[i] == node) return call->inputs[i];
    return NULL;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static sn_tensor *scalar(double value, sn_dtype dtype) {
    return sn_full(SN_I0, value, dtype);
}

/* A number takes part in promotion by its category only, as in Python. */
sn_tensor *call_operand(OpinfoCall *call, const cJSON *node) {
    double value;
    bool numbers_only = call->recorded->n_inputs == 0;
    if (call_is_tensor(node)) return find_tensor(call, node);
    if (opinfo_is_float(node, &value)) return numbers_only ? scalar(value, SN_F64) : sn_c(value);
    if (cJSON_IsBool(node)) return scalar(cJSON_IsTrue(node), SN_BOOL);
    if (cJSON_IsNumber(node))
        return numbers_only ? scalar(node->valuedouble, SN_I64) : sn_ci((int64_t)node->valuedouble);
    return sn_error_raise(SN_ERROR_ARGUMENT, NULL, 0, "opinfo: an operand is missing");
}

sn_tensor *call_self(OpinfoCall *call) {
    return call_operand(call, call->recorded->input);
}

sn_tensor *call_tensor(OpinfoCall *call, int position, const char *name) {
    return call_operand(call, call_arg(call, position, name));
}

int32_t call_list(OpinfoCall *call, const cJSON *node, sn_tensor **tensors) {
    int32_t n = cJSON_GetArraySize(node);
    if (n > OPINFO_MOST_TENSORS) n = OPINFO_MOST_TENSORS;
    for (int32_t i = 0; i < n; i++) tensors[i] = call_operand(call, cJSON_GetArrayItem(node, i));
    return n;
}

/* ---- numbers --------------------------------------------------------------------------------- */

double call_number(OpinfoCall *call, const cJSON *node) {
    double value;
    if (opinfo_is_float(node, &value)) return value;
    if (cJSON_IsBool(node)) return cJSON_IsTrue(node);
    if (call_is_tensor(node)) return sn_item(find_tensor(call, node));
    return node->valuedouble;
}

int64_t call_int(OpinfoCall *call, int position, const char *name, int64_t fallback) {
    const cJSON *node = call_arg(call, position, name);
    return node ? (int64_t)call_number(call, node) : fallback;
}

double call_float(OpinfoCall *call, int position, const char *name, double fallback) {
    const cJSON *node = call_arg(call, position, name);
    return node ? call_number(call, node) : fallback;
}

bool call_bool(OpinfoCall *call, int position, const char *name, bool fallback) {
    const cJSON *node = call_arg(call, position, name);
    return node ? call_number(call, node) != 0 : fallback;
}

sn_dtype call_dtype(const OpinfoCall *call, int position, const char *name, sn_dtype fallback) {
    const cJSON *node = call_arg(call, position, name);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(node, "dtype"));
    sn_dtype dtype = fallback;
    if (text) opinfo_dtype(text, &dtype);
    return dtype;
}

const char *call_text(const OpinfoCall *call, int position, const char *name,
                      const char *fallback) {
    const char *text = cJSON_GetStringValue(call_arg(call, position, name));
    return text ? text : fallback;
}

/* The integers of a vector, which are read. */
static int32_t read_ints(sn_tensor *x, int64_t *values) {
    int64_t count = sn_count(x);
    if (count > OPINFO_MOST_TENSORS) return 0;
    return sn_read(x, SN_I64, values, (size_t)count * sizeof *values) ? (int32_t)count : 0;
}

int32_t call_ints(OpinfoCall *call, const cJSON *node, int64_t *values) {
    if (!node) return 0;
    if (call_is_tensor(node)) return read_ints(find_tensor(call, node), values);
    if (!cJSON_IsArray(node)) {
        values[0] = (int64_t)call_number(call, node);
        return 1;
    }
    int32_t n = cJSON_GetArraySize(node);
    if (n > OPINFO_MOST_TENSORS) n = OPINFO_MOST_TENSORS;
    for (int32_t i = 0; i < n; i++)
        values[i] = (int64_t)call_number(call, cJSON_GetArrayItem(node, i));
    return n;
}
