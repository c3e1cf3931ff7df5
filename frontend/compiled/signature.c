/* Signature strings and described structs; see signature.h and sinter/compile.h. */
#include "frontend/compiled/signature.h"

#include "base/assert.h"
#include "base/status.h"
#include "frontend/compiled/key.h"

#include <string.h>

/* A letter of the signature. */
typedef struct Letter {
    char letter;    /* as in the string */
    ffi_type *type; /* of the C parameter */
} Letter;

static const Letter letters[] = {
    {'t', &ffi_type_pointer}, {'b', &ffi_type_uint8},   {'i', &ffi_type_sint32},
    {'l', &ffi_type_sint64},  {'f', &ffi_type_float},   {'d', &ffi_type_double},
    {'r', &ffi_type_pointer}, {'S', &ffi_type_pointer}, {'p', &ffi_type_pointer},
};

static const Letter *find_letter(char c) {
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (letters[i].letter == c) return &letters[i];
    return NULL;
}

/* ---- described structs ----------------------------------------------------------------------- */

static sn_status check_tree(const sn_tree *tree, sn_error *error);

static sn_status check_field(const sn_tree *tree, const sn_field *field, size_t from,
                             sn_error *error) {
    const char *name = field->name ? field->name : "?";
    size_t count = field->count ? field->count : 1;
    if (field->offset != from)
        return error_set(error, SN_ERROR_SIGNATURE,
                         "described struct: bytes %zu to %zu before field %s are not described",
                         from, field->offset, name);
    if (!field->bytes || count > (tree->bytes - from) / field->bytes)
        return error_set(error, SN_ERROR_SIGNATURE,
                         "described struct: field %s at %zu goes past the end (%zu bytes)", name,
                         field->offset, tree->bytes);
    if (field->kind == SN_FIELD_TENSOR && field->bytes != sizeof(sn_tensor *))
        return error_set(error, SN_ERROR_SIGNATURE,
                         "described struct: tensor field %s has %zu bytes", name, field->bytes);
    if (field->kind == SN_FIELD_STRUCT && (!field->nested || field->nested->bytes != field->bytes))
        return error_set(error, SN_ERROR_SIGNATURE,
                         "described struct: field %s has no layout of its size", name);
    if (count > INT32_MAX)
        return error_set(error, SN_ERROR_SIGNATURE, "described struct: field %s has %zu elements",
                         name, count);
    if (field->counted &&
        (tree->bytes < sizeof(int32_t) || field->count_offset > tree->bytes - sizeof(int32_t)))
        return error_set(error, SN_ERROR_SIGNATURE, "described struct: the count of %s is outside",
                         name);
    return field->kind == SN_FIELD_STRUCT ? check_tree(field->nested, error) : SN_OK;
}

/* The fields describe every byte, once, in order. */
static sn_status check_tree(const sn_tree *tree, sn_error *error) {
    size_t at = 0;
    if (!tree || (tree->n_fields && !tree->fields) || tree->n_fields < 0)
        return error_set(error, SN_ERROR_SIGNATURE, "described struct: no layout was given");
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        sn_status status = check_field(tree, field, at, error);
        if (status != SN_OK) return status;
        at += field->bytes * (field->count ? field->count : 1);
    }
    if (at == tree->bytes) return SN_OK;
    return error_set(error, SN_ERROR_SIGNATURE,
                     "described struct: bytes %zu to %zu at the end are not described", at,
                     tree->bytes);
}

/* The layout with all that it points to; NULL when out of memory. */
static const sn_tree *copy_tree(Arena *arena, const sn_tree *tree) {
    sn_tree *copy = arena_copy(arena, tree, sizeof *tree);
    sn_field *fields = arena_alloc(arena, sizeof *fields * (size_t)tree->n_fields);
    if (!copy || !fields) return NULL;
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *given = &tree->fields[i];
        bool nests = given->kind == SN_FIELD_STRUCT;
        fields[i] = *given;
        fields[i].name = given->name ? arena_strdup(arena, given->name) : NULL;
        fields[i].nested = nests ? copy_tree(arena, given->nested) : NULL;
        if ((given->name && !fields[i].name) || (nests && !fields[i].nested)) return NULL;
    }
    copy->fields = fields;
    return copy;
}

/* Words that the scalars of a struct take in a key at most. */
static size_t tree_key_words(const sn_tree *tree) {
    size_t words = 0;
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        size_t count = field->count ? field->count : 1;
        words += field->counted;
        if (field->kind == SN_FIELD_SCALAR) words += key_words_of(field->bytes * count);
        if (field->kind == SN_FIELD_STRUCT) words += tree_key_words(field->nested) * count;
    }
    return words;
}

/* Tensors in a struct at most. */
static size_t tree_tensors(const sn_tree *tree) {
    size_t tensors = 0;
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        size_t count = field->count ? field->count : 1;
        if (field->kind == SN_FIELD_TENSOR) tensors += count;
        if (field->kind == SN_FIELD_STRUCT) tensors += tree_tensors(field->nested) * count;
    }
    return tensors;
}

int32_t tree_field_count(const sn_field *field, const char *data) {
    int32_t count = field->count ? (int32_t)field->count : 1;
    if (!field->counted) return count;
    int32_t used;
    memcpy(&used, data + field->count_offset, sizeof used);
    SN_ASSERT(count > 0);
    return used < 0 ? 0 : used < count ? used : count;
}

/* ---- parsing --------------------------------------------------------------------------------- */

static sn_status bad(const char *text, size_t at, const char *what, sn_error *error) {
    return error_set(error, SN_ERROR_SIGNATURE, "signature \"%.80s\": %s at character %zu", text,
                     what, at + 1);
}

static void add_argument(Signature *s, ffi_type *type) {
    SN_ASSERT((size_t)s->n_arguments < sizeof s->types / sizeof s->types[0]);
    s->types[s->n_arguments++] = type;
}

static sn_status parse_inputs(const char *text, size_t *at, const sn_tree *const *trees,
                              int32_t n_trees, Signature *s, sn_error *error) {
    int32_t next_tree = 0;
    for (; text[*at] && text[*at] != ':'; (*at)++) {
        const Letter *letter = find_letter(text[*at]);
        if (!letter) return bad(text, *at, "unknown letter", error);
        if (s->n_params == SIGNATURE_MOST_PARAMS)
            return bad(text, *at, "too many parameters", error);
        ParamSpec *param = &s->params[s->n_params++];
        *param = (ParamSpec){.kind = letter->letter};
        add_argument(s, letter->type);
        if (param->kind == 't' && text[*at + 1] == '?') {
            param->optional = true;
            (*at)++;
        } else if (param->kind == 't' && text[*at + 1] == '*') {
            param->array = true;
            s->n_arrays++;
            add_argument(s, &ffi_type_sint32);
            (*at)++;
        } else if (strchr("ilfd", param->kind) && text[*at + 1] == '~') {
            param->moves = true;
            s->moving[s->n_moving++] = s->n_params - 1;
            (*at)++;
        }
        if (param->kind == 'p') s->opaque = true;
        if (param->kind == 'r') s->n_generators++;
        if (param->kind == 't' && !param->array) s->n_tensors++;
        s->key_words++;
        if (param->kind != 'S') continue;
        if (next_tree >= n_trees)
            return bad(text, *at, "no layout for this S in options.trees", error);
        sn_status status = check_tree(trees[next_tree], error);
        if (status != SN_OK) return status;
        param->tree = copy_tree(&s->layouts, trees[next_tree++]);
        if (!param->tree) return error_memory(error);
        s->key_words += tree_key_words(param->tree);
        s->n_tensors += tree_tensors(param->tree);
    }
    return SN_OK;
}

sn_status signature_parse(const char *text, const sn_tree *const *trees, int32_t n_trees,
                          Signature *s, sn_error *error) {
    size_t at = 0;
    if (!text) return error_set(error, SN_ERROR_SIGNATURE, "the signature is NULL");
    sn_status status = parse_inputs(text, &at, trees, n_trees, s, error);
    if (status != SN_OK) return status;
    if (text[at] != ':') return bad(text, at, "a ':' and the outputs are missing", error);
    for (at++; text[at]; at++) {
        if (text[at] != 't') return bad(text, at, "an output is not t", error);
        if (s->n_outputs == SIGNATURE_MOST_PARAMS) return bad(text, at, "too many outputs", error);
        s->n_outputs++;
    }
    SN_ASSERT(s->n_params <= SIGNATURE_MOST_PARAMS && s->n_outputs <= SIGNATURE_MOST_PARAMS);
    s->returns_tensor = s->n_outputs == 1;
    s->result = s->returns_tensor ? &ffi_type_pointer : &ffi_type_sint32;
    for (int32_t i = 0; !s->returns_tensor && i < s->n_outputs; i++)
        add_argument(s, &ffi_type_pointer);
    return SN_OK;
}

void signature_free(Signature *s) {
    arena_free(&s->layouts);
}
