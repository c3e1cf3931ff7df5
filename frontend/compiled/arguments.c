/* The arguments of a call: flattened to tensors and generators, and checked against the declared
 * dims; see arguments.h. */
#include "frontend/compiled/arguments.h"

#include <stdio.h>
#include <string.h>

/* ---- flattening ------------------------------------------------------------------------------ */

/* Slots of the table for so many tensors. */
static size_t table_slots(size_t tensors) {
    size_t slots = 1;
    while (slots < 2 * tensors) slots *= 2;
    return slots;
}

/* Tensors of the call at most. */
static size_t count_tensors(const sn_compiled *c, const sn_value *values) {
    size_t count = c->signature.n_tensors;
    for (int32_t i = 0; c->signature.n_arrays && i < c->signature.n_params; i++)
        if (c->signature.params[i].array && values[i].count > 0) count += (size_t)values[i].count;
    return count < SIGNATURE_MOST_TENSORS ? count : SIGNATURE_MOST_TENSORS;
}

/* Room for all tensors, what they share, and the table by which that is found, which it returns; NULL
 * where they are few. */
static uint32_t *open_arrays(CallArgs *args, size_t most) {
    args->tensors = args->few;
    args->sharing = args->few_sharing;
    args->most = (int32_t)most;
    args->block = NULL;
    if (most <= ARGUMENTS_FEW) return NULL;
    size_t each = sizeof *args->tensors + sizeof *args->sharing;
    args->block = mem_alloc(most * each + sizeof(uint32_t) * table_slots(most));
    args->tensors = args->block;
    args->sharing = (Sharing *)(void *)(args->tensors + most);
    return args->block ? (uint32_t *)(void *)(args->sharing + most) : NULL;
}

static bool add_tensor(const sn_compiled *c, CallArgs *args, sn_tensor *tensor, bool optional,
                       const char *what) {
    if (!tensor_check(tensor, c->title, what, (Site){0})) return false;
    if (tensor->kind == TENSOR_NONE && !optional)
        return error_refuse(SN_ERROR_ARGUMENT, (Site){0}, "%s: %s is SN_NONE, but is not optional",
                            c->title, what);
    if (args->n_tensors == args->most)
        return error_refuse(SN_ERROR_ARGUMENT, (Site){0}, "%s: more than %d tensors", c->title,
                            SIGNATURE_MOST_TENSORS);
    args->tensors[args->n_tensors++] = tensor;
    return true;
}

/* A count in a struct must fit the array it counts: the function itself will believe it. */
static bool count_fits(const sn_compiled *c, const sn_field *field, const char *data) {
    if (!field->counted) return true;
    int32_t used;
    memcpy(&used, data + field->count_offset, sizeof used);
    if (used >= 0 && (size_t)used <= (field->count ? field->count : 1)) return true;
    return error_refuse(
        SN_ERROR_ARGUMENT, (Site){0}, "%s: the count of field %s is %d, it has room for %zu",
        c->title, field->name ? field->name : "?", (int)used, field->count ? field->count : 1);
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

/* The usual argument, of which there is nothing to be said. */
static inline bool add_plain(CallArgs *args, sn_tensor *tensor) {
    bool plain =
        tensor_is_alive(tensor) && tensor->kind == TENSOR_REAL && args->n_tensors < args->most;
    if (plain) args->tensors[args->n_tensors++] = tensor;
    return plain;
}

/* The rest: it may be absent, or no tensor. `element` of an array, or -1. Apart, since the usual call pays
 * for no text. */
__attribute__((noinline)) static bool add_unusual(const sn_compiled *c, CallArgs *args,
                                                  sn_tensor *tensor, int32_t i, int32_t element) {
    char name[40];
    if (element < 0)
        snprintf(name, sizeof name, "argument %d", (int)i + 1);
    else
        snprintf(name, sizeof name, "argument %d[%d]", (int)i + 1, (int)element);
    return add_tensor(c, args, tensor, element < 0 && c->signature.params[i].optional, name);
}

static bool add_argument(const sn_compiled *c, CallArgs *args, int32_t i, const sn_value *value) {
    sn_tensor *tensor = value->kind == SN_VALUE_NONE ? SN_NONE : value->as.tensor;
    return add_plain(args, tensor) || add_unusual(c, args, tensor, i, -1);
}

static bool add_array(const sn_compiled *c, CallArgs *args, int32_t i, const sn_value *value) {
    if (value->count < 0 || (value->count && !value->as.tensors))
        return error_refuse(SN_ERROR_ARGUMENT, (Site){0},
                            "%s: argument %d is %s array of %d tensors", c->title, (int)i + 1,
                            value->as.tensors ? "an" : "a NULL", (int)value->count);
    for (int32_t j = 0; j < value->count; j++) {
        sn_tensor *tensor = value->as.tensors[j];
        if (!add_plain(args, tensor) && !add_unusual(c, args, tensor, i, j)) return false;
    }
    return true;
}

static bool add_generator(const sn_compiled *c, CallArgs *args, int32_t i, const sn_value *value) {
    if (!value->as.generator)
        return error_refuse(SN_ERROR_ARGUMENT, (Site){0}, "%s: argument %d, a generator, is NULL",
                            c->title, (int)i + 1);
    SN_ASSERT(args->n_generators < SIGNATURE_MOST_PARAMS);
    args->generators[args->n_generators++] = value->as.generator;
    return true;
}

static bool add_struct(const sn_compiled *c, CallArgs *args, int32_t i, const sn_value *value) {
    if (!value->as.pointer)
        return error_refuse(SN_ERROR_ARGUMENT, (Site){0}, "%s: argument %d, a struct, is NULL",
                            c->title, (int)i + 1);
    return add_tree(c, args, c->signature.params[i].tree, value->as.pointer);
}

bool arguments_flatten(const sn_compiled *c, const sn_value *values, CallArgs *args) {
    args->n_tensors = args->n_generators = 0;
    args->values = values;
    uint32_t *table = open_arrays(args, count_tensors(c, values));
    if (!args->tensors)
        return error_refuse(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", c->title);
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        const ParamSpec *param = &c->signature.params[i];
        bool ok = true;
        if (param->kind == 't')
            ok = param->array ? add_array(c, args, i, &values[i])
                              : add_argument(c, args, i, &values[i]);
        else if (param->kind == 'r')
            ok = add_generator(c, args, i, &values[i]);
        else if (param->kind == 'S')
            ok = add_struct(c, args, i, &values[i]);
        if (!ok) return false;
    }
    SN_ASSERT(args->n_tensors <= args->most);
    arguments_share(args, table);
    return true;
}

/* ---- declared dims --------------------------------------------------------------------------- */

static bool breaks_dim(const sn_compiled *c, const sn_dim *d, int64_t size, const char *what,
                       int64_t bound) {
    return error_refuse(
        SN_ERROR_SHAPE, (Site){0},
        "%s: %s (dim %d of tensor argument %d) is %lld, but is declared to be %s %lld", c->title,
        d->name ? d->name : "a size", (int)d->axis, (int)d->tensor, (long long)size, what,
        (long long)bound);
}

/* The tensor that has the dim; NULL: it is absent, or an array is shorter. */
static const sn_tensor *dim_owner(const CallArgs *args, const sn_dim *d) {
    const sn_tensor *t = d->tensor < args->n_tensors ? args->tensors[d->tensor] : NULL;
    return t && t->kind != TENSOR_NONE ? t : NULL;
}

/* Dims of one name are equal. */
static bool check_name(const sn_compiled *c, const CallArgs *args, int32_t i) {
    const sn_dim *d = &c->options.dims[i];
    for (int32_t j = 0; d->name && j < i; j++) {
        const sn_dim *other = &c->options.dims[j];
        if (!other->name || strcmp(other->name, d->name) != 0 || !dim_owner(args, other)) continue;
        int64_t size = args->tensors[d->tensor]->dims[d->axis],
                first = args->tensors[other->tensor]->dims[other->axis];
        return size == first ||
               breaks_dim(c, d, size, "that of the first argument that has it,", first);
    }
    return true;
}

bool arguments_check_dims(const sn_compiled *c, const CallArgs *args) {
    for (int32_t i = 0; i < c->options.n_dims; i++) {
        const sn_dim *d = &c->options.dims[i];
        SN_ASSERT(d->tensor >= 0 && d->axis >= 0 && d->axis < SN_MAX_RANK);
        const sn_tensor *t = dim_owner(args, d);
        if (!t) continue;
        if (d->axis >= t->rank)
            return error_refuse(SN_ERROR_SHAPE, (Site){0},
                                "%s: tensor argument %d has %d dims, but dim %d is declared",
                                c->title, (int)d->tensor, (int)t->rank, (int)d->axis);
        int64_t size = t->dims[d->axis];
        if (size < d->min) return breaks_dim(c, d, size, "at least", d->min);
        if (d->max && size > d->max) return breaks_dim(c, d, size, "at most", d->max);
        if (d->multiple_of > 1 && size % d->multiple_of != 0)
            return breaks_dim(c, d, size, "a multiple of", d->multiple_of);
        if (!check_name(c, args, i)) return false;
    }
    return true;
}
