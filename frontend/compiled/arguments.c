/* The arguments of a call: flattened to tensors and generators, checked against the declared dims, packed into
 * the guard key. */
#include "frontend/compiled/arguments.h"
#include "frontend/compiled/key.h"

#include <stdio.h>
#include <string.h>

/* ---- flattening ---------------------------------------------------------------------------------------------- */

static bool add_tensor(const sn_compiled *c, CallArgs *args, sn_tensor *tensor, bool optional,
                       const char *what) {
    if (!tensor_check(tensor, c->name, what, c->site)) return false;
    if (tensor->kind == TENSOR_NONE && !optional)
        return error_raise(SN_ERROR_ARGUMENT, c->site, "%s: %s is SN_NONE, but is not optional",
                           c->name, what) != NULL;
    if (args->n_tensors == SIGNATURE_MOST_TENSORS)
        return error_raise(SN_ERROR_ARGUMENT, c->site, "%s: more than %d tensors", c->name,
                           SIGNATURE_MOST_TENSORS) != NULL;
    args->tensors[args->n_tensors++] = tensor;
    return true;
}

int32_t tree_field_count(const sn_field *field, const char *data) {
    int32_t count = field->count ? (int32_t)field->count : 1;
    if (!field->counted) return count;
    int32_t used;
    memcpy(&used, data + field->count_offset, sizeof used);
    return used < 0 ? 0 : used < count ? used : count;
}

/* A count in a struct must fit the array it counts: the function itself will believe it. */
static bool count_fits(const sn_compiled *c, const sn_field *field, const char *data) {
    if (!field->counted) return true;
    int32_t used;
    memcpy(&used, data + field->count_offset, sizeof used);
    if (used >= 0 && (size_t)used <= (field->count ? field->count : 1)) return true;
    return error_raise(SN_ERROR_ARGUMENT, c->site,
                       "%s: the count of field %s is %d, it has room for %zu", c->name,
                       field->name ? field->name : "?", (int)used,
                       field->count ? field->count : 1) != NULL;
}

static bool add_tree(const sn_compiled *c, CallArgs *args, const sn_tree *tree, const char *data) {
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        if (!count_fits(c, field, data)) return false;
        int32_t count = tree_field_count(field, data);
        for (int32_t j = 0; j < count; j++) {
            const char *at = data + field->offset + (size_t)j * field->bytes;
            if (field->kind == SN_FIELD_STRUCT && !add_tree(c, args, field->nested, at))
                return false;
            if (field->kind != SN_FIELD_TENSOR) continue;
            sn_tensor *tensor;
            memcpy(&tensor, at, sizeof tensor);
            if (!add_tensor(c, args, tensor, true, field->name ? field->name : "a field"))
                return false;
        }
    }
    return true;
}

/* Might add_tensor have to name it? */
static bool is_doubtful(const sn_tensor *tensor) {
    return !tensor || tensor->magic != TENSOR_ALIVE || tensor->kind != TENSOR_REAL;
}

bool arguments_flatten(const sn_compiled *c, const sn_value *values, CallArgs *args) {
    char name[40];
    args->n_tensors = args->n_generators = 0;
    args->values = values;
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        const ParamSpec *param = &c->signature.params[i];
        const sn_value *value = &values[i];
        if (param->kind == 't' && param->array) {
            if (value->count < 0 || (value->count && !value->as.tensors))
                return error_raise(SN_ERROR_ARGUMENT, c->site,
                                   "%s: argument %d is %s array of %d tensors", c->name, (int)i + 1,
                                   value->as.tensors ? "an" : "a NULL", (int)value->count) != NULL;
            for (int32_t j = 0; j < value->count; j++) {
                sn_tensor *tensor = value->as.tensors[j];
                if (is_doubtful(tensor))
                    snprintf(name, sizeof name, "argument %d[%d]", (int)i + 1, (int)j);
                if (!add_tensor(c, args, tensor, false, name)) return false;
            }
        } else if (param->kind == 't') {
            sn_tensor *tensor = value->kind == SN_VALUE_NONE ? SN_NONE : value->as.tensor;
            if (is_doubtful(tensor)) snprintf(name, sizeof name, "argument %d", (int)i + 1);
            if (!add_tensor(c, args, tensor, param->optional, name)) return false;
        } else if (param->kind == 'r') {
            if (!value->as.generator)
                return error_raise(SN_ERROR_ARGUMENT, c->site,
                                   "%s: argument %d, a generator, is NULL", c->name,
                                   (int)i + 1) != NULL;
            args->generators[args->n_generators++] = value->as.generator;
        } else if (param->kind == 'S') {
            if (!value->as.pointer)
                return error_raise(SN_ERROR_ARGUMENT, c->site, "%s: argument %d, a struct, is NULL",
                                   c->name, (int)i + 1) != NULL;
            if (!add_tree(c, args, param->tree, value->as.pointer)) return false;
        }
    }
    return true;
}

/* ---- declared dims ---------------------------------------------------------------------------------------------- */

static bool breaks_dim(const sn_compiled *c, const sn_dim *d, int64_t size, const char *what,
                       int64_t bound) {
    return error_raise(
               SN_ERROR_SHAPE, c->site,
               "%s: %s (dim %d of tensor argument %d) is %lld, but is declared to be %s %lld",
               c->name, d->name ? d->name : "a size", (int)d->axis, (int)d->tensor, (long long)size,
               what, (long long)bound) != NULL;
}

/* Dims of one name are equal. */
static bool check_name(const sn_compiled *c, const CallArgs *args, int32_t i) {
    const sn_dim *d = &c->dims[i];
    for (int32_t j = 0; d->name && j < i; j++) {
        const sn_dim *other = &c->dims[j];
        if (!other->name || strcmp(other->name, d->name) != 0) continue;
        int64_t size = args->tensors[d->tensor]->dims[d->axis],
                first = args->tensors[other->tensor]->dims[other->axis];
        return size == first ||
               breaks_dim(c, d, size, "that of the first argument that has it,", first);
    }
    return true;
}

bool arguments_check_dims(const sn_compiled *c, const CallArgs *args) {
    for (int32_t i = 0; i < c->n_dims; i++) {
        const sn_dim *d = &c->dims[i];
        const sn_tensor *t = d->tensor < args->n_tensors ? args->tensors[d->tensor] : NULL;
        if (!t || t->kind == TENSOR_NONE) continue; /* absent, or an array is shorter */
        if (d->axis >= t->rank)
            return error_raise(SN_ERROR_SHAPE, c->site,
                               "%s: tensor argument %d has %d dims, but dim %d is declared",
                               c->name, (int)d->tensor, (int)t->rank, (int)d->axis) != NULL;
        int64_t size = t->dims[d->axis];
        if (size < d->min) return breaks_dim(c, d, size, "at least", d->min);
        if (d->max && size > d->max) return breaks_dim(c, d, size, "at most", d->max);
        if (d->multiple_of > 1 && size % d->multiple_of != 0)
            return breaks_dim(c, d, size, "a multiple of", d->multiple_of);
        if (!check_name(c, args, i)) return false;
    }
    return true;
}

/* ---- the guard key --------------------------------------------------------------------------------------------- */

static inline void put(Key *key, uint64_t word) {
    if (key->at < key->capacity) key->words[key->at] = word;
    key->at++;
}

static void put_bytes(Key *key, const void *data, size_t bytes) {
    const char *at = data;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        put(key, word);
    }
    if (!bytes) return;
    uint64_t word = 0;
    memcpy(&word, at, bytes);
    put(key, word);
}

static inline void put_tensor(Key *key, const CallArgs *args, int32_t i) {
    const sn_tensor *t = args->tensors[i];
    uint64_t same = 0; /* 1 + the first earlier tensor that begins at the same element */
    for (int32_t j = 0; t->storage && j < i; j++) {
        const sn_tensor *earlier = args->tensors[j];
        if (earlier->storage != t->storage || earlier->offset != t->offset) continue;
        same = (uint64_t)j + 1;
        break;
    }
    put(key, (uint64_t)t->kind | (uint64_t)t->dtype << 8 | (uint64_t)t->rank << 16 | same << 24);
    if (t->kind == TENSOR_WEAK) put(key, t->bits);
    if (t->kind == TENSOR_NONE) return;
    for (int32_t d = 0; d < t->rank; d++) {
        put(key, (uint64_t)t->dims[d]);
        put(key, (uint64_t)t->strides[d]);
    }
}

/* Scalars of a described struct; its tensors are among the flattened ones. */
static void put_tree(Key *key, const sn_tree *tree, const char *data) {
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        int32_t count = tree_field_count(field, data);
        const char *at = data + field->offset;
        if (field->counted) put(key, (uint64_t)count);
        if (field->kind == SN_FIELD_SCALAR) put_bytes(key, at, field->bytes * (size_t)count);
        for (int32_t j = 0; field->kind == SN_FIELD_STRUCT && j < count; j++)
            put_tree(key, field->nested, at + (size_t)j * field->bytes);
    }
}

static void put_scalar(Key *key, char kind, const sn_value *value, const ParamSpec *param) {
    uint64_t bits;
    switch (kind) {
    case 'b':
    case 'i':
    case 'l':
        put(key, (uint64_t)value->as.integer);
        return;
    case 'f':
    case 'd':
        memcpy(&bits, &value->as.real, sizeof bits);
        put(key, bits);
        return;
    case 'S':
        put_tree(key, param->tree, value->as.pointer);
        return;
    case 't':
        put(key, (uint64_t)value->count);
        return; /* of an array */
    default:
        return;
    }
}

/* Each count stands before what it counts, so that a key can be read in one way only. */
void arguments_pack_key(const sn_compiled *c, const CallArgs *args, Key *key) {
    put(key, (uint64_t)args->n_tensors);
    for (int32_t i = 0; i < args->n_tensors; i++) put_tensor(key, args, i);
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        const ParamSpec *param = &c->signature.params[i];
        if (param->kind == 't' && !param->array) continue;
        put_scalar(key, param->kind, &args->values[i], param);
    }
    for (int32_t i = 0; i < args->n_generators; i++) /* the same one twice? */
        for (int32_t j = 0; j < i; j++) put(key, args->generators[i] == args->generators[j]);
    for (int32_t i = 0; i < c->n_watch; i++) put_bytes(key, c->watch[i].data, c->watch[i].bytes);
}
