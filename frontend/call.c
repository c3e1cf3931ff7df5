/* Calls of compiled functions: flatten the arguments, pack the guard key, run the entry it leads to,
 * or trace. */
#include "frontend/compiled.h"
#include "frontend/dispatch.h"

#include "base/log.h"
#include "base/parallel.h"
#include "base/status.h"
#include "ir/dtype.h"

#include <stdio.h>
#include <string.h>

enum { KEY_MOST_WORDS = 8192, KEY_FEW_WORDS = 512, CALL_FEW = 32 };

bool tensors_overlap(const sn_tensor *x, const sn_tensor *y) {
    int64_t first, end;
    if (!x->storage || !y->storage) return false;
    int64_t sx = (int64_t)sn_dtype_size((sn_dtype)x->dtype),
            sy = (int64_t)sn_dtype_size((sn_dtype)y->dtype);
    tensor_extent(x, &first, &end);
    const char *x_first = tensor_data(x) + first * sx, *x_end = tensor_data(x) + end * sx;
    tensor_extent(y, &first, &end);
    const char *y_first = tensor_data(y) + first * sy, *y_end = tensor_data(y) + end * sy;
    return x_first < y_end && y_first < x_end && x_first != x_end && y_first != y_end;
}

/* ---- flattening ---------------------------------------------------------------------------------------------- */

/* Errors of a call carry the function's name and the line where it was compiled: a call through a
 * function pointer has none. */
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

static int32_t field_count(const sn_field *field, const char *data) {
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
        int32_t count = field_count(field, data);
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

static bool flatten(const sn_compiled *c, const sn_value *values, CallArgs *args) {
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

static bool check_declared(const sn_compiled *c, const CallArgs *args) {
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
        int32_t count = field_count(field, data);
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
static void pack_key(const sn_compiled *c, const CallArgs *args, Key *key) {
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

/* ---- running an entry ------------------------------------------------------------------------------------------------ */

/* Memory of one guarded call. */
typedef struct EntryMemory {
    void *few_inputs[CALL_FEW];               /* addresses of graph inputs */
    Storage *few_storages[CALL_FEW];          /* results by number */
    void *few_outputs[CALL_FEW];              /* their addresses */
    int64_t states[SIGNATURE_MOST_PARAMS][2]; /* generators */
    void **inputs;
    Storage **storages;
    void **outputs;
    void *block; /* allocation behind them when they are many */
} EntryMemory;

static bool entry_memory(EntryMemory *m, uint32_t n_inputs, int32_t n_outputs) {
    m->inputs = m->few_inputs;
    m->storages = m->few_storages;
    m->outputs = m->few_outputs;
    m->block = NULL;
    if (n_inputs <= CALL_FEW && n_outputs <= CALL_FEW) return true;
    size_t count = n_inputs + 2 * (size_t)n_outputs;
    m->block = mem_alloc(count * sizeof(void *));
    if (!m->block) return false;
    m->inputs = m->block;
    m->storages = (Storage **)(m->inputs + n_inputs);
    m->outputs = (void **)(m->storages + n_outputs);
    return true;
}

static const Graph *entry_graph(const Entry *entry) {
    return compiled_recorded(entry->instance->graph);
}

static void resolve_inputs(const Entry *entry, const CallArgs *args, EntryMemory *m) {
    for (uint32_t i = 0; i < entry_graph(entry)->inputs.count; i++) {
        int32_t source = entry->sources[i];
        if (source >= 0) {
            m->inputs[i] = tensor_data(args->tensors[source]);
            continue;
        }
        const sn_rng *generator = args->generators[-1 - source];
        m->states[-1 - source][0] = (int64_t)generator->seed;
        m->states[-1 - source][1] = (int64_t)generator->counter;
        m->inputs[i] = m->states[-1 - source];
    }
}

static int32_t allocate_results(const Executable *executable, EntryMemory *m) {
    const Program *program = executable_program(executable);
    int32_t made = 0;
    for (uint32_t b = (uint32_t)program->n_inputs; made < program->n_outputs; b++, made++) {
        /* OUTPUT buffers follow the inputs, in order of their numbers. */
        Storage *storage = storage_new(executable_buffer_bytes(executable, b));
        if (!storage) break;
        m->storages[made] = storage;
        m->outputs[made] = storage->data;
    }
    return made;
}

static sn_tensor *make_output(const OutputSpec *spec, const Entry *entry, const CallArgs *args,
                              const EntryMemory *m, bool owned) {
    Storage *storage;
    int64_t offset = spec->offset;
    if (spec->input >= 0) {
        const sn_tensor *source = args->tensors[entry->sources[spec->input]];
        storage = source->storage;
        offset += source->offset;
    } else {
        storage = m->storages[spec->output];
    }
    storage_retain(storage);
    sn_tensor *tensor = owned ? tensor_detached(storage, &spec->type, spec->strides, offset)
                              : tensor_real(storage, &spec->type, spec->strides, offset, (Site){0});
    if (!tensor && owned) {
        storage_release(storage);
        error_raise(SN_ERROR_MEMORY, (Site){0}, "out of memory");
    }
    return tensor;
}

static void commit_entry(const Entry *entry, const CallArgs *args) {
    for (int32_t i = 0; i < args->n_generators; i++)
        args->generators[i]->counter += (uint64_t)entry->drawn[i];
    if (!entry->writes) return;
    for (uint32_t i = 0; i < entry_graph(entry)->outputs.count; i++) {
        int32_t written = entry_graph(entry)->outputs.data[i].writes_input;
        if (written < 0) continue;
        Storage *storage = args->tensors[entry->sources[written]]->storage;
        atomic_fetch_add_explicit(&storage->version, 1, memory_order_relaxed);
    }
}

static sn_status run_entry(const sn_compiled *c, const Entry *entry, const CallArgs *args,
                           sn_tensor **outputs, bool owned) {
    const Executable *executable = entry->instance->executable;
    const Program *program = executable_program(executable);
    EntryMemory memory;
    sn_error error;
    error_init(&error);
    uint64_t code = UINT64_MAX;
    if (!entry_memory(&memory, entry_graph(entry)->inputs.count, program->n_outputs)) {
        error_raise(SN_ERROR_MEMORY, c->site, "%s: out of memory", c->name);
        return SN_ERROR_MEMORY;
    }
    resolve_inputs(entry, args, &memory);
    uint32_t first = thread_state()->held.count;
    int32_t made = allocate_results(executable, &memory), handles = 0;
    sn_status status = SN_OK;
    if (made < program->n_outputs)
        status = error_set(&error, SN_ERROR_MEMORY, "%s: out of memory", c->name);
    /* The handles first: behind a run that wrote or drew, nothing may fail. */
    for (; status == SN_OK && handles < c->signature.n_outputs; handles++) {
        const OutputSpec *spec = &entry->outputs[handles];
        bool none = spec->input < 0 && spec->output < 0;
        outputs[handles] = none ? NULL : make_output(spec, entry, args, &memory, owned);
        if (!none && !outputs[handles]) status = SN_ERROR_MEMORY;
    }
    if (status == SN_OK)
        status = executable_run(executable, memory.inputs, memory.outputs, parallel_threads(),
                                &code, &error);
    Site site = c->site;
    if (status == SN_OK && code != UINT64_MAX) status = data_error(executable, code, &error, &site);
    if (status == SN_OK) commit_entry(entry, args);
    for (int32_t i = 0; i < made; i++) storage_release(memory.storages[i]);
    mem_free(memory.block);
    if (status != SN_OK) {
        for (int32_t i = 0; owned && i < handles; i++)
            if (outputs[i]) tensor_unref(outputs[i]);
        handles_release(thread_state(), first);
        error_raise_from(&error, site);
    }
    return status;
}

/* An entry that writes an input must not meet a second tensor in the same memory, unless that was so
 * when it was traced (then the key says so). */
static bool memory_is_apart(const Entry *entry, const CallArgs *args) {
    for (uint32_t i = 0; i < entry_graph(entry)->outputs.count; i++) {
        int32_t written = entry_graph(entry)->outputs.data[i].writes_input;
        if (written < 0) continue;
        const sn_tensor *target = args->tensors[entry->sources[written]];
        for (int32_t j = 0; j < args->n_tensors; j++) {
            const sn_tensor *other = args->tensors[j];
            bool same = other->storage == target->storage && other->offset == target->offset;
            if (j != entry->sources[written] && !same && tensors_overlap(target, other))
                return false;
        }
    }
    return true;
}

/* ---- calling the program's function ------------------------------------------------------------------------------------ */

/* The values of a call with the tensors replaced (by proxies), in memory of this struct. */
typedef struct Substituted {
    sn_value values[SIGNATURE_MOST_PARAMS];    /* for the function */
    sn_tensor *arrays[SIGNATURE_MOST_TENSORS]; /* elements of t* */
    char *structs[SIGNATURE_MOST_PARAMS];      /* described structs: the function's copy, and
                                                   * behind it one to see that it was not written */
} Substituted;

static sn_tensor *const *replace_tree(const sn_tree *tree, char *data, sn_tensor *const *next) {
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        int32_t count = field_count(field, data);
        for (int32_t j = 0; j < count; j++) {
            char *at = data + field->offset + (size_t)j * field->bytes;
            if (field->kind == SN_FIELD_STRUCT) next = replace_tree(field->nested, at, next);
            if (field->kind == SN_FIELD_TENSOR) memcpy(at, next++, sizeof *next);
        }
    }
    return next;
}

static bool substitute(const sn_compiled *c, Trace *trace, const CallArgs *args,
                       sn_tensor *const *tensors, Substituted *s) {
    sn_tensor *const *next = tensors;
    int32_t n_array = 0;
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        const ParamSpec *param = &c->signature.params[i];
        s->values[i] = args->values[i];
        s->structs[i] = NULL;
        if (param->kind == 't' && param->array) {
            s->values[i].as.tensors = s->arrays + n_array;
            for (int32_t j = 0; j < args->values[i].count; j++) s->arrays[n_array++] = *next++;
        } else if (param->kind == 't') {
            s->values[i].kind = SN_VALUE_TENSOR;
            s->values[i].as.tensor = *next++;
        } else if (param->kind == 'S') {
            if (!vec_reserve(&trace->blocks, 1)) return false;
            s->structs[i] = mem_alloc(2 * param->tree->bytes);
            if (!s->structs[i]) return false;
            trace->blocks.data[trace->blocks.count++] = s->structs[i];
            memcpy(s->structs[i], args->values[i].as.pointer, param->tree->bytes);
            next = replace_tree(param->tree, s->structs[i], next);
            memcpy(s->structs[i] + param->tree->bytes, s->structs[i], param->tree->bytes);
            s->values[i].as.pointer = s->structs[i];
        }
    }
    return true;
}

/* The function was given a copy, so what it writes there would be lost. */
static sn_status check_structs(const sn_compiled *c, const Substituted *s) {
    for (int32_t i = 0; i < c->signature.n_params; i++) {
        if (!s->structs[i]) continue;
        size_t bytes = c->signature.params[i].tree->bytes;
        if (memcmp(s->structs[i], s->structs[i] + bytes, bytes) == 0) continue;
        error_raise(
            SN_ERROR_UNSUPPORTED, c->site,
            "%s writes into its described struct (argument %d): pass it as an opaque pointer, p",
            c->name, (int)i + 1);
        return SN_ERROR_UNSUPPORTED;
    }
    return SN_OK;
}

/* C values of the parameters, for libffi. */
typedef union CArgument {
    void *pointer;
    uint8_t boolean;
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
} CArgument;

static void set_argument(CArgument *slot, char kind, const sn_value *value) {
    switch (kind) {
    case 'b':
        slot->boolean = value->as.integer != 0;
        return;
    case 'i':
        slot->i32 = (int32_t)value->as.integer;
        return;
    case 'l':
        slot->i64 = value->as.integer;
        return;
    case 'f':
        slot->f32 = (float)value->as.real;
        return;
    case 'd':
        slot->f64 = value->as.real;
        return;
    case 'r':
        slot->pointer = value->as.generator;
        return;
    case 't':
        slot->pointer = value->kind == SN_VALUE_NONE ? SN_NONE : value->as.tensor;
        return;
    default:
        slot->pointer = value->as.pointer;
        return;
    }
}

static sn_status invoke_function(sn_compiled *c, const sn_value *values, sn_tensor **outputs) {
    const Signature *s = &c->signature;
    CArgument slots[3 * SIGNATURE_MOST_PARAMS];
    void *pointers[3 * SIGNATURE_MOST_PARAMS];
    int32_t at = 0;
    for (int32_t i = 0; i < s->n_params; i++) {
        if (s->params[i].array) {
            slots[at++].pointer = (void *)(uintptr_t)values[i].as.tensors;
            slots[at++].i32 = values[i].count;
        } else {
            set_argument(&slots[at++], s->params[i].kind, &values[i]);
        }
    }
    for (int32_t i = 0; !s->returns_tensor && i < s->n_outputs; i++)
        slots[at++].pointer = &outputs[i];
    for (int32_t i = 0; i < at; i++) pointers[i] = &slots[i];
    union {
        ffi_arg word;
        sn_tensor *tensor;
    } result = {0};
    ffi_call(&c->cif, FFI_FN(c->function), &result, pointers);
    if (s->returns_tensor) outputs[0] = result.tensor;
    return s->returns_tensor ? SN_OK : (sn_status)result.word;
}

sn_status compiled_invoke(sn_compiled *c, const sn_value *values, sn_tensor **outputs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) outputs[i] = NULL;
    sn_status status;
    if (c->payload_function) {
        sn_outputs results = {outputs, c->signature.n_outputs, 0};
        status = c->payload_function(c->payload, values, c->signature.n_params, &results);
    } else {
        status = invoke_function(c, values, outputs);
    }
    if (error_pending(thread_state())) return sn_error_status();
    if (status == SN_OK)
        for (int32_t i = 0; i < c->signature.n_outputs; i++)
            if (!outputs[i])
                return error_raise(SN_ERROR_ARGUMENT, c->site, "%s returned NULL without an error",
                                   c->name),
                       SN_ERROR_ARGUMENT;
    if (status != SN_OK)
        error_raise(status, c->site, "%s returned an error: %s", c->name, sn_status_name(status));
    return status;
}

/* ---- tracing ---------------------------------------------------------------------------------------------------------------- */

/* `difference` (may be NULL) is taken over. */
static void mark_impure(sn_compiled *c, const char *reason, char *difference) {
    if (atomic_exchange(&c->impure, true)) {
        mem_free(difference);
        return;
    }
    pthread_mutex_lock(c->lock);
    c->impure_reason = reason;
    c->impure_detail = difference;
    pthread_mutex_unlock(c->lock);
    LogTopic topic = difference ? LOG_PURITY : LOG_TRACE;
    if (log_on(topic))
        log_write(topic, "%s is run on every call: %s%s%s", c->name, reason, difference ? ": " : "",
                  difference ? difference : "");
}

static bool make_proxies(Trace *trace, const CallArgs *args, sn_tensor **proxies) {
    for (int32_t i = 0; i < args->n_tensors; i++) {
        sn_tensor *own = args->tensors[i];
        if (own->kind == TENSOR_WEAK) /* a scalar is its value, in a handle of the function's own */
            proxies[i] = own->dtype == SN_F64 ? sn_c(dtype_bits_to_double(SN_F64, own->bits))
                                              : sn_ci((int64_t)own->bits);
        else
            proxies[i] = own->kind == TENSOR_NONE ? own : trace_argument(trace, own, i);
        if (!proxies[i]) return false;
    }
    return true;
}

/* Results as a caller gets them: there, and tensors, which a constant becomes of its own. */
static sn_status settle_results(const sn_compiled *c, sn_tensor **outputs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        if (!tensor_check(outputs[i], c->name, "the result", c->site)) return sn_error_status();
        if (outputs[i]->kind != TENSOR_NONE) continue;
        error_raise(SN_ERROR_ARGUMENT, c->site, "%s returned SN_NONE", c->name);
        return SN_ERROR_ARGUMENT;
    }
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        if (outputs[i]->kind != TENSOR_WEAK) continue;
        outputs[i] = sn_clone_at(outputs[i], c->site.file, c->site.line);
        if (!outputs[i]) return sn_error_status();
    }
    return SN_OK;
}

/* Runs the function on proxies inside a scope of its own; outputs keep one reference each. */
static sn_status record(sn_compiled *c, Trace *trace, const CallArgs *args, sn_tensor **outputs) {
    ThreadState *state = thread_state();
    sn_tensor *proxies[SIGNATURE_MOST_TENSORS];
    Substituted s = {.structs = {0}};
    trace->outer = state->trace;
    trace->fullgraph = c->fullgraph;
    trace->scope = sn_scope_begin();
    state->trace = trace;
    sn_status status = SN_OK;
    if (!make_proxies(trace, args, proxies))
        status = sn_error_status();
    else if (!substitute(c, trace, args, proxies, &s))
        status = (error_raise(SN_ERROR_MEMORY, c->site, "out of memory"), SN_ERROR_MEMORY);
    if (status == SN_OK) status = compiled_invoke(c, s.values, outputs);
    if (status == SN_OK) status = check_structs(c, &s);
    if (status == SN_OK) status = settle_results(c, outputs);
    for (int32_t i = 0; status == SN_OK && i < c->signature.n_outputs; i++)
        atomic_fetch_add_explicit(&outputs[i]->refs, 1, memory_order_relaxed);
    state->trace = trace->outer;
    sn_scope_end(trace->scope, NULL);
    return status;
}

/* What each result is, before proxies turn real. */
static bool describe_outputs(const sn_compiled *c, const Trace *trace, sn_tensor *const *outputs,
                             OutputSpec *specs, uint32_t *roots) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        const sn_tensor *out = outputs[i];
        if (out->kind != TENSOR_PROXY) return false;
        OutputSpec *spec = &specs[i];
        *spec = (OutputSpec){
            .input = -1, .output = -1, .type = tensor_type(out), .offset = out->offset};
        memcpy(spec->strides, out->strides, sizeof(int64_t) * out->rank);
        roots[i] = trace->views.data[out->record].root;
        spec->input = trace->roots.data[roots[i]].input;
        if (spec->input >= 0) spec->offset -= trace->inputs.data[spec->input].tensor->offset;
    }
    return true;
}

static void number_outputs(const sn_compiled *c, const GraphInstance *graph,
                           const RootOutputs *made, OutputSpec *specs, const uint32_t *roots) {
    if (!graph->executable) return;
    const Program *program = executable_program(graph->executable);
    for (int32_t i = 0; i < c->signature.n_outputs; i++)
        for (uint32_t j = 0; specs[i].input < 0 && j < made->count; j++) {
            if (made->data[j].root != roots[i]) continue;
            uint32_t buffer = program->outputs.data[made->data[j].output].buffer;
            specs[i].output = program->buffers.data[buffer].number;
        }
}

static bool fill_sources(Entry *entry, const Trace *trace, const CallArgs *args) {
    for (uint32_t i = 0; i < trace->inputs.count; i++) {
        const TraceInput *input = &trace->inputs.data[i];
        int32_t source = -1;
        bool found = false;
        for (int32_t j = 0; !found && input->tensor && j < args->n_tensors; j++) {
            found = args->tensors[j] == input->tensor;
            source = j;
        }
        for (int32_t j = 0; !found && input->generator && j < args->n_generators; j++) {
            found = args->generators[j] == input->generator;
            source = -1 - j;
        }
        if (!found) return false;
        entry->sources[i] = source;
    }
    return true;
}

/* Remembers what the key leads to. A failure only means that the next call traces again. */
static void keep_entry(sn_compiled *c, const Key *key, const Trace *trace, const CallArgs *args,
                       GraphInstance *instance, const OutputSpec *specs, const int64_t *drawn) {
    Entry *entry = mem_calloc(1, sizeof *entry);
    if (!entry) return;
    atomic_init(&entry->refs, 1);
    entry->hash = hash_bytes(key->words, key->at * sizeof(uint64_t), 0);
    entry->instance = instance_retain(instance);
    entry->key_words = key->at;
    entry->key = mem_alloc(key->at * sizeof(uint64_t) + 1);
    entry->outputs = mem_calloc((size_t)c->signature.n_outputs + 1, sizeof *entry->outputs);
    entry->sources = mem_calloc(trace->inputs.count + 1, sizeof *entry->sources);
    entry->drawn = mem_calloc((size_t)args->n_generators + 1, sizeof *entry->drawn);
    if (!entry->key || !entry->outputs || !entry->sources || !entry->drawn ||
        !fill_sources(entry, trace, args)) {
        entry_release(entry);
        return;
    }
    memcpy(entry->key, key->words, key->at * sizeof(uint64_t));
    memcpy(entry->outputs, specs, sizeof *specs * (size_t)c->signature.n_outputs);
    memcpy(entry->drawn, drawn, sizeof *drawn * (size_t)args->n_generators);
    const Graph *graph = entry_graph(entry);
    for (uint32_t i = 0; i < graph->outputs.count; i++)
        entry->writes = entry->writes || graph->outputs.data[i].writes_input >= 0;
    atomic_init(&entry->calls, 1);
    atomic_init(&entry->used, true);
    entry_add(c, entry);
}

static bool same_outputs(const sn_compiled *c, const Entry *entry, const OutputSpec *specs) {
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        const OutputSpec *x = &entry->outputs[i], *y = &specs[i];
        if (x->input != y->input || x->output != y->output || x->offset != y->offset ||
            x->type.dtype != y->type.dtype || x->type.rank != y->type.rank ||
            memcmp(x->type.dims, y->type.dims, sizeof(int64_t) * y->type.rank) != 0 ||
            memcmp(x->strides, y->strides, sizeof(int64_t) * y->type.rank) != 0)
            return false;
    }
    return true;
}

void results_hand_over(const sn_compiled *c, sn_tensor **outputs, bool owned) {
    ThreadState *state = thread_state();
    for (int32_t i = 0; i < c->signature.n_outputs; i++) {
        sn_tensor *out = outputs[i];
        if (owned) {
            atomic_fetch_add_explicit(&out->retains, 1, memory_order_relaxed);
            continue;
        }
        out->slot = state->held.count;
        state->held.data[state->held.count++] = out;
    }
}

/* An error of the run: where its op is, or where the function was compiled. */
static void raise_run_error(const sn_compiled *c, const sn_error *error) {
    if (error->file)
        error_raise_from(error, (Site){error->file, error->line});
    else if (error->status == SN_ERROR_MEMORY)
        error_raise(SN_ERROR_MEMORY, c->site, "%s: %s", c->name, error->text);
    else
        error_raise_from(error, c->site);
}

/* Reasons, read off a finished trace, for which the function must be run on every call. */
static const char *impurity(const sn_compiled *c, const Trace *trace) {
    if (trace->host_reads) return "it reads values on the host";
    if (trace->impure) return "it reaches tensors or generators that are not its arguments";
    /* All references but those of the results are gone, unless the program kept one. */
    int32_t refs = 0;
    for (sn_tensor *t = trace->live; t; t = t->next)
        refs += atomic_load_explicit(&t->refs, memory_order_relaxed);
    bool kept = trace->kept > 0 || refs > c->signature.n_outputs;
    return kept ? "a tensor made in it was kept" : NULL;
}

static void note_trace(sn_compiled *c, const Trace *trace, GraphInstance *instance, int64_t ns) {
    pthread_mutex_lock(c->lock);
    c->trace_ns = ns;
    GraphInstance *before = c->latest;
    c->latest = instance_retain(instance);
    c->host_reads = trace->host_reads;
    c->read_site = trace->read_site;
    pthread_mutex_unlock(c->lock);
    instance_release(before);
}

/* Numbers drawn by generator argument; one that was passed twice counts at its first place. */
static void count_draws(const Trace *trace, const CallArgs *args, int64_t *drawn) {
    for (uint32_t i = 0; i < trace->inputs.count; i++)
        for (int32_t j = 0; j < args->n_generators; j++) {
            if (trace->inputs.data[i].generator != args->generators[j]) continue;
            drawn[j] = trace->inputs.data[i].drawn;
            break;
        }
}

/* The trace of a call, which takes over the key's memory. */
static Trace *trace_begin(sn_compiled *c, Key *key) {
    Trace *trace = trace_new(c, c->name);
    bool ok = trace && (!key->block || vec_push(&trace->blocks, key->block));
    if (ok) {
        key->block = NULL;
        return trace;
    }
    if (trace) trace_free(trace);
    return error_raise(SN_ERROR_MEMORY, c->site, "%s: out of memory", c->name);
}

/* What runs the recorded graph: that of the entry seen, if the function recorded the same again. */
static GraphInstance *instance_of(sn_compiled *c, const Trace *trace, const Entry *seen,
                                  sn_error *error) {
    if (seen && instance_matches(seen->instance, &trace->graph))
        return instance_retain(seen->instance);
    return instance_get(c, trace, error);
}

/* The first difference between what an entry was recorded as and a trace; NULL when out of memory. */
static char *difference_from(const Entry *seen, const Trace *trace) {
    StrBuf text = {0};
    Graph known;
    if (instance_recorded(seen->instance, &known)) graph_difference(&known, &trace->graph, &text);
    graph_free(&known);
    return strbuf_take(&text);
}

/* The call by way of a trace. `seen` is the entry that the key led to, to be checked, or NULL. */
static sn_status trace_call(sn_compiled *c, const CallArgs *args, Key *key, Entry *seen,
                            sn_tensor **outputs, bool owned) {
    sn_error error;
    error_init(&error);
    RootOutputs made = {0};
    OutputSpec specs[SIGNATURE_MOST_PARAMS];
    uint32_t roots[SIGNATURE_MOST_PARAMS];
    int64_t drawn[SIGNATURE_MOST_PARAMS] = {0};
    Trace *trace = trace_begin(c, key);
    if (!trace) return SN_ERROR_MEMORY;
    COUNT(traces);
    int64_t begin = clock_ns();
    sn_status status = record(c, trace, args, outputs);
    int64_t trace_ns = clock_ns() - begin;
    timeline_add("trace", c->name, timeline_now() ? begin : 0);
    atomic_fetch_add_explicit(&frontend_counters.trace_ns, trace_ns, memory_order_relaxed);
    bool recorded = status == SN_OK;
    if (!recorded && sn_error_status() == status) {
        segment_check_data(trace);
        status = sn_error_status();
    }
    bool pure_outputs = recorded && describe_outputs(c, trace, outputs, specs, roots);
    const char *reason = recorded ? impurity(c, trace) : NULL;
    count_draws(trace, args, drawn);
    GraphInstance *instance = NULL;
    if (recorded && !owned &&
        !vec_reserve(&thread_state()->held, (uint32_t)c->signature.n_outputs)) {
        status = error_memory(&error); /* for results_hand_over: behind the run nothing may fail */
    } else if (recorded && !trace->eager) {
        if (segment_declare(trace, &made, &error)) instance = instance_of(c, trace, seen, &error);
        status = instance ? segment_run(trace, instance, &made, &error) : error.status;
    }
    if (status != SN_OK && recorded) {
        raise_run_error(c, &error);
        for (int32_t i = 0; i < c->signature.n_outputs; i++) tensor_unref(outputs[i]);
    }
    if (status == SN_OK && reason) mark_impure(c, reason, NULL);
    if (status == SN_OK && instance) {
        note_trace(c, trace, instance, trace_ns);
        if (pure_outputs) number_outputs(c, instance, &made, specs, roots);
        bool keeps = !reason && pure_outputs && !atomic_load(&c->impure) && instance->executable;
        if (seen && (!keeps || seen->instance != instance || !same_outputs(c, seen, specs)))
            mark_impure(c, "a second call with equal arguments recorded other ops",
                        difference_from(seen, trace));
        if (seen) atomic_store_explicit(&seen->calls, 2, memory_order_relaxed);
        if (!seen && keeps) keep_entry(c, key, trace, args, instance, specs, drawn);
    }
    instance_release(instance);
    vec_free(&made);
    trace_free(trace);
    for (int32_t i = 0; status != SN_OK && i < c->signature.n_outputs; i++) outputs[i] = NULL;
    if (status == SN_OK) results_hand_over(c, outputs, owned);
    return status;
}

/* Holds the function that is inlined until the trace ends. */
static bool hold_callee(Trace *trace, sn_compiled *c) {
    for (uint32_t i = 0; i < trace->callees.count; i++)
        if (trace->callees.data[i] == c) return true;
    if (!vec_push(&trace->callees, c)) {
        error_raise(SN_ERROR_MEMORY, c->site, "%s: out of memory", c->name);
        return false;
    }
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return true;
}

/* What the inlined function depends on beyond its arguments, the caller depends on. Arguments and
 * results are checked, and a scalar that is returned becomes a tensor, as in a call of its own. */
sn_status compiled_inline(sn_compiled *c, const sn_value *values, sn_tensor **outputs, bool owned) {
    Trace *trace = thread_state()->trace;
    if (error_pending(thread_state()) || !hold_callee(trace, c)) return sn_error_status();
    CallArgs args;
    Substituted s;
    if (!flatten(c, values, &args) || !check_declared(c, &args)) return sn_error_status();
    if (!substitute(c, trace, &args, args.tensors, &s))
        return error_raise(SN_ERROR_MEMORY, c->site, "out of memory"), SN_ERROR_MEMORY;
    bool fullgraph = trace->fullgraph;
    if (atomic_load(&c->impure) || c->n_watch) trace->impure = true;
    trace->fullgraph = fullgraph || c->fullgraph;
    sn_status status = compiled_invoke(c, s.values, outputs);
    trace->fullgraph = fullgraph;
    if (status == SN_OK) status = check_structs(c, &s);
    if (status == SN_OK) status = settle_results(c, outputs);
    for (int32_t i = 0; owned && status == SN_OK && i < c->signature.n_outputs; i++)
        sn_retain(outputs[i]);
    return status;
}

/* Is this the call of an entry that runs the function again, to compare? */
static bool is_due(const sn_compiled *c, Entry *entry) {
    if (!c->check_every) return atomic_load_explicit(&entry->calls, memory_order_relaxed) < 2;
    int64_t before = atomic_fetch_add_explicit(&entry->calls, 1, memory_order_relaxed);
    return before < 2 || before % c->check_every == 0;
}

sn_status compiled_call(sn_compiled *c, const sn_value *values, sn_tensor **outputs, bool owned) {
    ThreadState *state = thread_state();
    if (error_pending(state)) return state->error.status;
    if (!owned && c->signature.n_outputs && !scope_check(c->site)) return SN_ERROR_SCOPE;
    CallArgs args;
    if (!flatten(c, values, &args)) return sn_error_status();
    if (c->n_dims && !check_declared(c, &args)) return sn_error_status();
    PolicyState policy = {.stance = compiled_stance(c),
                          .called = atomic_load_explicit(&c->called, memory_order_relaxed)};
    if (!policy.called) atomic_store_explicit(&c->called, true, memory_order_relaxed);
    if (policy_call(&policy) == CALL_EAGER) return compiled_call_eagerly(c, values, outputs, owned);
    bool rerun = atomic_load_explicit(&c->impure, memory_order_relaxed);
    uint64_t few[KEY_FEW_WORDS];
    Key key = {few, 0, KEY_FEW_WORDS, NULL};
    if (!rerun) pack_key(c, &args, &key);
    if (key.at > KEY_FEW_WORDS) { /* once more, with room */
        key = (Key){.capacity = key.at, .block = mem_alloc(sizeof(uint64_t) * key.at)};
        key.words = key.block;
        if (!key.words)
            return error_raise(SN_ERROR_MEMORY, c->site, "out of memory"), SN_ERROR_MEMORY;
        pack_key(c, &args, &key);
    }
    sn_status status;
    Entry *entry = rerun ? NULL : entry_find(c, &key);
    if (entry && !is_due(c, entry) && (!entry->writes || memory_is_apart(entry, &args))) {
        COUNT(guard_hits);
        int64_t begin = timeline_now();
        status = run_entry(c, entry, &args, outputs, owned);
        timeline_add("call", c->name, begin);
    } else {
        if (rerun)
            COUNT(reruns);
        else if (!entry)
            COUNT(guard_misses);
        int64_t begin = timeline_now();
        status = trace_call(c, &args, &key, entry, outputs, owned);
        timeline_add("call", c->name, begin);
    }
    mem_free(key.block);
    return status;
}
