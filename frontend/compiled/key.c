/* Packing the guard key; see key.h. Room for all words is found first, so that packing them only
 * stores: each function below stores at `at` and returns the place behind. */
#include "frontend/compiled/key.h"

#include <string.h>

_Static_assert(SIGNATURE_MOST_TENSORS < 1 << 24, "numbers of tensors have 24 bits in a key");
_Static_assert(SN_DTYPE_COUNT <= 16 && SN_MAX_RANK < 256, "a dtype has 4 bits in a key, a rank 8");

static uint64_t *put_bytes(uint64_t *at, const void *data, size_t bytes) {
    const char *from = data;
    for (; bytes >= 8; bytes -= 8, from += 8) memcpy(at++, from, 8);
    if (!bytes) return at;
    *at = 0;
    memcpy(at, from, bytes);
    return at + 1;
}

/* Which tensors are one, and which begin at the same element, belongs to the key. */
static inline uint64_t *put_tensor(uint64_t *at, const CallArgs *args, int32_t i) {
    const sn_tensor *t = args->tensors[i];
    const Sharing *sharing = &args->sharing[i];
    *at++ = (uint64_t)t->kind | (uint64_t)t->dtype << 4 | (uint64_t)t->rank << 8 |
            (uint64_t)sharing->memory << 16 | (uint64_t)sharing->handle << 40;
    if (t->kind == TENSOR_WEAK) *at++ = t->bits;
    if (t->kind == TENSOR_NONE) return at;
    for (int32_t d = 0; d < t->rank; d++) {
        *at++ = (uint64_t)t->dims[d];
        *at++ = (uint64_t)t->strides[d];
    }
    return at;
}

/* Scalars of a described struct; its tensors are among the flattened ones. */
static uint64_t *put_tree(uint64_t *at, const sn_tree *tree, const char *data) {
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        int32_t count = tree_field_count(field, data);
        const char *from = data + field->offset;
        if (field->counted) *at++ = (uint64_t)count;
        if (field->kind == SN_FIELD_SCALAR) at = put_bytes(at, from, field->bytes * (size_t)count);
        for (int32_t j = 0; field->kind == SN_FIELD_STRUCT && j < count; j++)
            at = put_tree(at, field->nested, from + (size_t)j * field->bytes);
    }
    return at;
}

static uint64_t *put_value(uint64_t *at, const ParamSpec *param, const sn_value *value) {
    switch (param->kind) {
    case 'b':
    case 'i':
    case 'l':
        *at++ = (uint64_t)value->as.integer;
        return at;
    case 'f':
    case 'd':
        memcpy(at++, &value->as.real, sizeof value->as.real);
        return at;
    case 'S':
        return put_tree(at, param->tree, value->as.pointer);
    case 't': /* of an array */
        *at++ = (uint64_t)value->count;
        return at;
    default:
        return at;
    }
}

/* Which generators are one and the same? */
static uint64_t *put_generators(uint64_t *at, const CallArgs *args) {
    for (int32_t i = 0; i < args->n_generators; i++)
        for (int32_t j = 0; j < i; j++) *at++ = args->generators[i] == args->generators[j];
    return at;
}

/* Words that the key of these arguments has at most. */
static size_t room_for(const sn_compiled *c, const CallArgs *args) {
    size_t generators = (size_t)args->n_generators;
    size_t words = 1 + c->signature.key_words + c->options.watch_words + generators * generators;
    for (int32_t i = 0; i < args->n_tensors; i++) words += 2 + 2 * (size_t)args->tensors[i]->rank;
    return words;
}

bool key_pack(Key *key, const sn_compiled *c, const CallArgs *args) {
    SN_ASSERT(!key->count && !key->block);
    size_t room = room_for(c, args);
    key->words = key->few;
    if (room > KEY_FEW_WORDS) key->words = key->block = mem_alloc(sizeof(uint64_t) * room);
    if (!key->words) return error_refuse(SN_ERROR_MEMORY, (Site){0}, "out of memory");
    uint64_t *at = key->words;
    *at++ = (uint64_t)args->n_tensors;
    for (int32_t i = 0; i < args->n_tensors; i++) at = put_tensor(at, args, i);
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        const ParamSpec *param = &c->signature.params[i];
        bool has_own = param->kind != 't' || param->array;
        if (has_own && !param->moves) at = put_value(at, param, &args->values[i]);
    }
    at = put_generators(at, args);
    for (int32_t i = 0; i < c->options.n_watch; i++)
        at = put_bytes(at, c->options.watch[i].data, c->options.watch[i].bytes);
    key->stem = (uint32_t)(at - key->words);
    for (int32_t i = 0; i < c->signature.n_moving; i++) {
        int32_t param = c->signature.moving[i];
        at = put_value(at, &c->signature.params[param], &args->values[param]);
    }
    key->count = (uint32_t)(at - key->words);
    SN_ASSERT(key->count <= room);
    return true;
}
