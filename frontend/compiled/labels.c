/* Labels of arguments; see labels.h. */
#include "frontend/compiled/labels.h"

#include "frontend/trace/trace.h"

#include <stdlib.h>
#include <string.h>

/* A tensor that is looked for in a struct. */
typedef struct Search {
    int32_t left; /* tensors before it */
    StrBuf path;  /* to it, once it is found */
} Search;

static void add_field(StrBuf *path, const sn_field *field, size_t element) {
    strbuf_addf(path, ".%s", field->name ? field->name : "?");
    if (field->count > 1) strbuf_addf(path, "[%zu]", element);
}

static bool find_in_tree(const sn_tree *tree, const char *data, Search *search) {
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        int32_t count = tree_field_count(field, data);
        for (int32_t j = 0; j < count; j++) {
            size_t before = search->path.length;
            if (field->kind == SN_FIELD_TENSOR && search->left-- == 0) {
                add_field(&search->path, field, (size_t)j);
                return true;
            }
            if (field->kind != SN_FIELD_STRUCT) continue;
            add_field(&search->path, field, (size_t)j);
            const char *at = data + field->offset + (size_t)j * field->bytes;
            if (find_in_tree(field->nested, at, search)) return true;
            if (search->path.failed) return false;
            search->path.length = before;
            search->path.text[before] = 0;
        }
    }
    return false;
}

/* Is it in this parameter? Then its label is added; else those that are were passed by. */
static bool find_in_param(const ParamSpec *param, int32_t number, const sn_value *value,
                          Search *search, StrBuf *out) {
    bool found = false;
    if (param->tree) {
        found = find_in_tree(param->tree, value->as.pointer, search);
        if (found) strbuf_addf(out, "{%d}%s", (int)number, strbuf_text(&search->path));
    } else if (param->array) {
        found = search->left < value->count;
        if (found) strbuf_addf(out, "{%d}[%d]", (int)number, (int)search->left);
        search->left -= value->count;
    } else if (param->kind == 't') {
        found = search->left-- == 0;
        if (found) strbuf_addf(out, "{%d}", (int)number);
    }
    return found;
}

void label_tensor(const Signature *signature, const sn_value *values, int32_t tensor, StrBuf *out) {
    Search search = {.left = tensor};
    bool found = false;
    for (int32_t i = 0; i < signature->n_params && !found; i++) {
        const ParamSpec *param = &signature->params[i];
        if (!values && (param->tree || param->array)) break;
        found = find_in_param(param, i, values ? &values[i] : NULL, &search, out);
    }
    out->failed = out->failed || search.path.failed;
    strbuf_free(&search.path);
    if (!found) strbuf_addf(out, "tensor %d", (int)tensor);
}

void label_source(const Signature *signature, const sn_value *values, int32_t source, StrBuf *out) {
    if (source == SOURCE_CAPTURED) {
        strbuf_add(out, "captured");
        return;
    }
    if (source >= 0) {
        label_tensor(signature, values, source, out);
        return;
    }
    int32_t left = generator_source(source);
    for (int32_t i = 0; i < signature->n_params; i++)
        if (signature->params[i].kind == 'r' && left-- == 0) strbuf_addf(out, "{%d}", (int)i);
}

void labels_fill(const char *text, const char *const *names, int32_t n_names, StrBuf *out) {
    while (*text) {
        size_t plain = strcspn(text, "{");
        strbuf_add_bytes(out, text, plain);
        text += plain;
        if (!*text) return;
        char *end;
        long number = strtol(text + 1, &end, 10);
        if (end == text + 1 || *end != '}') {
            strbuf_add_char(out, *text++);
            continue;
        }
        if (names && number >= 0 && number < n_names && names[number])
            strbuf_add(out, names[number]);
        else
            strbuf_addf(out, "argument %ld", number + 1);
        text = end + 1;
    }
}
