/* Parsing and loading of recorded calls; see opinfo_case.h. */
#include "opinfo_case.h"

#include "frontend/io/dlpack.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------------------------ */

/* Length of the number token at `text`, 0 if none starts there. */
static size_t number_length(const char *text, bool *is_float) {
    *is_float = false;
    if (*text != '-' && !isdigit((unsigned char)*text)) return 0;
    size_t n = 1;
    for (; text[n] && strchr("0123456789+-.eE", text[n]); n++)
        if (strchr(".eE", text[n])) *is_float = true;
    return n;
}

/* A copy of the line in which 2.5 stands as {"f":"2.5"}: cJSON would not tell 2.0 from 2. */
static char *mark_floats(const char *line) {
    size_t length = strlen(line), at = 0;
    char *text = malloc(length * 5 + 1); /* "1." grows by a factor of 5 */
    bool quoted = false;
    for (const char *p = line; text && *p;) {
        bool is_float;
        size_t n = quoted ? 0 : number_length(p, &is_float);
        if (n && is_float) {
            memcpy(text + at, "{\"f\":\"", 6);
            memcpy(text + at + 6, p, n);
            memcpy(text + at + 6 + n, "\"}", 2);
            at += n + 8;
        } else {
            if (n == 0) n = 1;
            if (*p == '"') quoted = !quoted;
            memcpy(text + at, p, n);
            at += n;
        }
        p += n;
    }
    if (text) text[at] = 0;
    return text;
}

bool opinfo_is_float(const cJSON *node, double *value) {
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(node, "f");
    if (!cJSON_IsString(text)) return false;
    *value = strtod(text->valuestring, NULL);
    return true;
}

bool opinfo_dtype(const char *name, sn_dtype *dtype) {
    static const char *const names[SN_DTYPE_COUNT] = {
        [SN_BOOL] = "BOOL", [SN_U8] = "U8",   [SN_I8] = "I8",   [SN_I16] = "I16",
        [SN_I32] = "I32",   [SN_I64] = "I64", [SN_F16] = "F16", [SN_BF16] = "BF16",
        [SN_F32] = "F32",   [SN_F64] = "F64"};
    for (int d = 0; d < SN_DTYPE_COUNT; d++) {
        if (strcmp(names[d], name) != 0) continue;
        *dtype = (sn_dtype)d;
        return true;
    }
    return false;
}

static const char *text_of(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text ? text : "";
}

/* Notes the tensors below `node`, in order. */
static bool find_tensors(const cJSON *node, const cJSON **nodes, int32_t *count) {
    if (cJSON_GetObjectItemCaseSensitive(node, "t")) {
        if (*count == OPINFO_MOST_TENSORS) return false;
        nodes[(*count)++] = node;
        return true;
    }
    for (const cJSON *child = node ? node->child : NULL; child; child = child->next)
        if (!find_tensors(child, nodes, count)) return false;
    return true;
}

/* The line says it, or the file's name does: min.binary.safetensors. */
static void find_variant(OpinfoCase *c) {
    const char *text = text_of(c->json, "variant");
    size_t length = strlen(c->op), size = strlen(text);
    if (!size && strncmp(c->file, c->op, length) == 0 && c->file[length] == '.') {
        text = c->file + length + 1;
        const char *end = strstr(text, ".safetensors");
        size = end ? (size_t)(end - text) : 0;
    }
    snprintf(c->variant, sizeof c->variant, "%.*s", (int)size, text);
}

bool opinfo_case_parse(OpinfoCase *c, const char *line) {
    *c = (OpinfoCase){.json = NULL};
    char *text = mark_floats(line);
    c->json = text ? cJSON_Parse(text) : NULL;
    free(text);
    if (!c->json) return false;
    c->op = text_of(c->json, "op");
    c->dtype = text_of(c->json, "dtype");
    c->file = text_of(c->json, "file");
    find_variant(c);
    c->input = cJSON_GetObjectItemCaseSensitive(c->json, "input");
    c->args = cJSON_GetObjectItemCaseSensitive(c->json, "args");
    c->kwargs = cJSON_GetObjectItemCaseSensitive(c->json, "kwargs");
    return *c->op && c->args && c->kwargs && find_tensors(c->input, c->nodes, &c->n_inputs) &&
           find_tensors(c->args, c->nodes, &c->n_inputs) &&
           find_tensors(c->kwargs, c->nodes, &c->n_inputs);
}

void opinfo_case_free(OpinfoCase *c) {
    cJSON_Delete(c->json);
    *c = (OpinfoCase){.json = NULL};
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* A managed tensor and all that it points to. */
typedef struct Strided {
    DLManagedTensor managed;      /* handed over; frees the whole */
    int64_t dims[SN_MAX_RANK];    /* sizes */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    void *memory;                 /* of the elements */
} Strided;

static void strided_free(DLManagedTensor *managed) {
    Strided *strided = (Strided *)managed;
    free(strided->memory);
    free(strided);
}

static DLDataType dlpack_dtype(sn_dtype dtype) {
    static const uint8_t codes[SN_DTYPE_COUNT] = {
        [SN_BOOL] = DLPACK_BOOL, [SN_U8] = DLPACK_UINT,     [SN_I8] = DLPACK_INT,
        [SN_I16] = DLPACK_INT,   [SN_I32] = DLPACK_INT,     [SN_I64] = DLPACK_INT,
        [SN_F16] = DLPACK_FLOAT, [SN_BF16] = DLPACK_BFLOAT, [SN_F32] = DLPACK_FLOAT,
        [SN_F64] = DLPACK_FLOAT};
    return (DLDataType){codes[dtype], (uint8_t)(8 * sn_dtype_size(dtype)), 1};
}

/* Copies dense elements to where the strides put them. */
static void scatter_elements(const Strided *strided, int32_t rank, int64_t count, size_t size,
                             const char *dense) {
    int64_t index[SN_MAX_RANK] = {0};
    for (int64_t i = 0; i < count; i++) {
        int64_t at = 0;
        for (int32_t d = 0; d < rank; d++) at += index[d] * strided->strides[d];
        memcpy((char *)strided->memory + (size_t)at * size, dense + (size_t)i * size, size);
        for (int32_t d = rank - 1; d >= 0 && ++index[d] == strided->dims[d]; d--) index[d] = 0;
    }
}

/* The same elements in memory with these strides (none is negative; 0 repeats an element). */
static sn_tensor *with_strides(sn_tensor *dense, const cJSON *strides) {
    int32_t rank = sn_rank(dense);
    size_t size = sn_dtype_size(sn_dtype_of(dense));
    Strided *strided = calloc(1, sizeof *strided);
    if (!strided || cJSON_GetArraySize(strides) != rank) {
        free(strided);
        return sn_error_raise(SN_ERROR_FORMAT, NULL, 0, "opinfo: strides do not fit the tensor");
    }
    sn_shape(dense, strided->dims, NULL);
    int64_t last = 0;
    for (int32_t d = 0; d < rank; d++) {
        strided->strides[d] = (int64_t)cJSON_GetArrayItem(strides, d)->valuedouble;
        if (strided->dims[d] > 0) last += (strided->dims[d] - 1) * strided->strides[d];
    }
    strided->memory = calloc((size_t)last + 1, size);
    const void *elements = sn_map(dense);
    if (strided->memory && elements)
        scatter_elements(strided, rank, sn_count(dense), size, elements);
    sn_unmap(dense);
    strided->managed = (DLManagedTensor){.dl_tensor = {.data = strided->memory,
                                                       .device = {DLPACK_CPU, 0},
                                                       .ndim = rank,
                                                       .dtype = dlpack_dtype(sn_dtype_of(dense)),
                                                       .shape = strided->dims,
                                                       .strides = strided->strides},
                                         .deleter = strided_free};
    return sn_from_dlpack(&strided->managed);
}

static sn_tensor *load_tensor(const sn_safetensors *file, const cJSON *node, bool dense) {
    sn_tensor *tensor = sn_safetensors_get(file, text_of(node, "t"));
    const cJSON *strides = cJSON_GetObjectItemCaseSensitive(node, "stride");
    if (!tensor || !strides || dense || sn_count(tensor) == 0) return tensor;
    return with_strides(tensor, strides);
}

void opinfo_case_load(OpinfoCase *c, const sn_safetensors *file) {
    for (int32_t i = 0; i < c->n_inputs; i++) c->inputs[i] = load_tensor(file, c->nodes[i], false);
    const cJSON *nodes[OPINFO_MOST_TENSORS];
    c->n_results = 0;
    find_tensors(cJSON_GetObjectItemCaseSensitive(c->json, "out"), nodes, &c->n_results);
    for (int32_t i = 0; i < c->n_results; i++) c->results[i] = load_tensor(file, nodes[i], true);
}
