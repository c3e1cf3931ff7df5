/* Entries for numbers of the call that were never seen; see moving.h. */
#include "frontend/compiled/moving.h"

#include "base/small.h"
#include "frontend/compiled/key.h"
#include "ir/op/dtype.h"

enum {
    MOVING_MOST = 16,    /* stems of a function; then the oldest goes */
    ATTEMPTS_LEAST = 32, /* at learning, though nothing comes of it */
    FEW_WORDS = 512
};

/* ---- values ---------------------------------------------------------------------------------- */

/* As graph_const holds it: one pattern a value. */
static uint64_t canonical(sn_dtype dtype, uint64_t bits) {
    uint64_t element = 0;
    dtype_store(dtype, &element, bits);
    return dtype_load(dtype, &element);
}

/* An integer in this dtype, if it is exact there or rounds as a double does. */
static bool from_integer(sn_dtype dtype, int64_t value, uint64_t *bits) {
    if (dtype_is_float(dtype)) {
        *bits = canonical(dtype, dtype_bits_from_double(dtype, (double)value));
        return value >= -(INT64_C(1) << 53) && value <= INT64_C(1) << 53;
    }
    *bits = canonical(dtype, dtype_bits_from_int(dtype, value));
    return dtype != SN_BOOL && dtype_bits_to_int(dtype, *bits) == value;
}

bool moving_value(const MovingNumber *n, const Signature *signature, const uint64_t *numbers,
                  uint64_t *bits) {
    *bits = n->bits;
    if (n->argument == NUMBER_CONSTANT) return true;
    SN_ASSERT(n->argument < signature->n_moving);
    uint64_t own = numbers[n->argument];
    if (signature_moving_is_real(signature, n->argument)) {
        if (n->factor < 0) own ^= UINT64_C(1) << 63;
        *bits = canonical((sn_dtype)n->dtype, dtype_bits_cast((sn_dtype)n->dtype, SN_F64, own));
        return true;
    }
    int64_t value;
    return !__builtin_mul_overflow((int64_t)own, n->factor, &value) &&
           !__builtin_add_overflow(value, n->constant, &value) &&
           from_integer((sn_dtype)n->dtype, value, bits);
}

static bool values_of(const Moving *m, const MovingNumber *numbers, uint32_t count,
                      const uint64_t *of_call, uint64_t *bits) {
    for (uint32_t i = 0; i < count; i++)
        if (!moving_value(&numbers[i], m->signature, of_call, &bits[i])) return false;
    return true;
}

/* ---- binding --------------------------------------------------------------------------------- */

static const SymbolicGraph *symbolic_of(const Moving *m) {
    return m->model->instance->graph->symbolic;
}

/* Does every argument that was not seen to move by itself follow the others as it did? */
static bool arguments_follow(const Moving *m, const uint64_t *of_call) {
    for (int32_t i = 0; i < m->signature->n_moving; i++) {
        uint64_t bits;
        if (m->arguments[i].argument == i) continue;
        if (!moving_value(&m->arguments[i], m->signature, of_call, &bits) || bits != of_call[i])
            return false;
    }
    return true;
}

static bool alloc_binding(const SymbolicGraph *g, SymbolicBinding *binding) {
    binding->symbols = mem_calloc(g->symbol_words.count + 1, sizeof *binding->symbols);
    binding->scalars = mem_calloc(g->n_scalars + 1, sizeof *binding->scalars);
    binding->values = mem_alloc(sizeof *binding->values * (g->table.expressions.count + 1));
    return binding->symbols && binding->scalars && binding->values;
}

/* Values of symbols, scalars and expressions, within the bounds and guards of the graph. */
static bool bind_numbers(const Moving *m, const uint64_t *of_call, SymbolicBinding *binding) {
    const SymbolicGraph *g = symbolic_of(m);
    for (uint32_t i = 0; i < g->symbol_words.count; i++) {
        uint64_t bits;
        if (!moving_value(&m->symbols[i], m->signature, of_call, &bits)) return false;
        binding->symbols[i] = (int64_t)bits;
        if (!number_is_dim(binding->symbols[i])) return false;
    }
    return values_of(m, m->scalars, g->n_scalars, of_call, binding->scalars) &&
           dims_evaluate(&g->table, binding->symbols, binding->values) &&
           !dims_failing(&g->table, binding->values);
}

static bool splits(const Graph *graph, NodeId id) {
    TensorType input = node_type(graph, node_inputs(graph, graph_node(graph, id))[0]);
    TensorType result = node_type(graph, id);
    return reshape_splits(&input, &result);
}

/* A reshape that the trace took for a view whatever the strides must be one of these sizes, too. */
static bool stays_view(const Graph *model, const Graph *now, NodeId id) {
    return graph_node(now, id)->op != OP_RESHAPE || !splits(model, id) || splits(now, id);
}

/* Would the recorded graph of these words be recorded? What did not move is what it was, and inference takes
 * the nodes of which anything moved. */
static bool words_hold(const Moving *m, const SymbolicBinding *binding, int64_t *words) {
    const SymbolicGraph *g = symbolic_of(m);
    memcpy(words, m->words, sizeof *words * g->words.count);
    for (uint32_t i = 0; i < m->sized.count; i++) {
        const MovingWord *at = &m->sized.data[i];
        words[at->word] = symbolic_word(g, binding, at->word);
        if (!at->moves && words[at->word] != m->words[at->word]) return false;
        if (at->moves && at->size && words[at->word] <= 1) return false;
    }
    Graph now = g->recorded, model = g->recorded;
    now.words.data = words;
    model.words.data = m->words;
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        NodeId id = m->nodes.data[i];
        sn_error error = {0};
        if (graph_verify_node(&now, id, &error) != SN_OK || !stays_view(&model, &now, id))
            return false;
    }
    return true;
}

static bool binding_holds(const Moving *m, const uint64_t *of_call, SymbolicBinding *binding) {
    SMALL(int64_t, FEW_WORDS) words;
    if (!bind_numbers(m, of_call, binding)) return false;
    if (!small_open(&words, symbolic_of(m)->words.count)) return false;
    bool holds = words_hold(m, binding, words.data);
    small_close(&words);
    return holds;
}

/* The model's graph at the binding, whose symbols and scalars go to the instance. */
static GraphInstance *bind_instance(const Moving *m, SymbolicBinding *binding) {
    CompiledGraph *graph = m->model->instance->graph;
    Executable *executable = NULL;
    sn_error error = {0};
    if (executable_bind(graph->executable, binding->values, binding->scalars, &executable,
                        &error) != SN_OK)
        return NULL;
    return instance_new(graph, executable, binding);
}

static bool size_at(const Moving *m, const MovingNumber *n, const uint64_t *of_call,
                    int64_t *value) {
    uint64_t bits;
    if (!moving_value(n, m->signature, of_call, &bits)) return false;
    *value = (int64_t)bits;
    return number_is_dim(*value);
}

static bool place_result(const Moving *m, const MovingResult *moving, const uint64_t *of_call,
                         OutputSpec *spec) {
    bool fits = size_at(m, &moving->offset, of_call, &spec->offset);
    for (int32_t i = 0; fits && i < spec->type.rank; i++)
        fits = size_at(m, &moving->dims[i], of_call, &spec->type.dims[i].word) &&
               size_at(m, &moving->strides[i], of_call, &spec->strides[i]);
    return fits;
}

static Entry *make_entry(Moving *m, const Key *key, GraphInstance *instance) {
    int64_t calls = atomic_fetch_add_explicit(&m->calls, 1, memory_order_relaxed);
    Entry *entry = entry_like(m->model, key, instance, calls);
    for (int32_t i = 0; entry && i < m->signature->n_outputs; i++) {
        if (place_result(m, &m->results[i], key->words + key->stem, &entry->outputs[i])) continue;
        entry_release(entry);
        entry = NULL;
    }
    return entry;
}

static Entry *bind(Moving *m, const Key *key) {
    const uint64_t *of_call = key->words + key->stem;
    SymbolicBinding binding = {0};
    GraphInstance *instance = NULL;
    if (arguments_follow(m, of_call) && alloc_binding(symbolic_of(m), &binding) &&
        binding_holds(m, of_call, &binding))
        instance = bind_instance(m, &binding);
    binding_close(&binding);
    Entry *entry = instance ? make_entry(m, key, instance) : NULL;
    instance_release(instance);
    return entry;
}

/* ---- the list -------------------------------------------------------------------------------- */

static bool has_stem(const Moving *m, const uint64_t *words, uint32_t count, uint32_t stem) {
    return m->stem == stem && m->model->key_words == count &&
           memcmp(m->model->key, words, sizeof *words * stem) == 0;
}

Entry *moving_find(MovingCache *cache, const Key *key) {
    Moving *found = NULL;
    lock_take(cache->lock);
    for (uint32_t i = cache->list.count; !found && i-- > 0;)
        if (has_stem(cache->list.data[i], key->words, key->count, key->stem))
            found = cache->list.data[i];
    if (found) refs_take(&found->refs);
    lock_give(cache->lock);
    if (!found) return NULL;
    Entry *entry = bind(found, key);
    if (entry) atomic_fetch_add_explicit(&cache->served, 1, memory_order_relaxed);
    moving_release(found);
    return entry;
}

bool moving_wanted(MovingCache *cache) {
    int64_t served = atomic_load_explicit(&cache->served, memory_order_relaxed);
    int64_t attempts = atomic_load_explicit(&cache->attempts, memory_order_relaxed);
    if (attempts >= ATTEMPTS_LEAST + served) return false;
    atomic_store_explicit(&cache->attempts, attempts + 1, memory_order_relaxed);
    return true;
}

void moving_add(MovingCache *cache, Moving *m) {
    Moving *before = NULL;
    lock_take(cache->lock);
    uint32_t at = 0, count = cache->list.count;
    while (at < count &&
           !has_stem(cache->list.data[at], m->model->key, m->model->key_words, m->stem))
        at++;
    if (at == count && count == MOVING_MOST) at = 0;
    if (at < count) {
        before = cache->list.data[at];
        cache->list.count--;
        memmove(&cache->list.data[at], &cache->list.data[at + 1],
                sizeof before * (cache->list.count - at));
    }
    bool added = vec_push(&cache->list, m);
    lock_give(cache->lock);
    moving_release(before);
    if (!added) moving_release(m);
}

void moving_refuse(MovingCache *cache, char *refusal) {
    lock_take(cache->lock);
    char *before = cache->refusal;
    cache->refusal = refusal;
    lock_give(cache->lock);
    mem_free(before);
}

void moving_release(Moving *m) {
    if (!m || !refs_drop(&m->refs)) return;
    entry_release(m->model);
    mem_free(m->arguments);
    mem_free(m->symbols);
    mem_free(m->scalars);
    mem_free(m->results);
    mem_free(m->words);
    vec_free(&m->sized);
    vec_free(&m->nodes);
    mem_free(m);
}

static void print_line(const Moving *m, StrBuf *out) {
    strbuf_add(out, "  without a trace:");
    for (int32_t i = 0; i < m->signature->n_moving; i++) {
        int32_t follows = m->arguments[i].argument;
        strbuf_addf(out, "%s argument %d ", i ? "," : "", (int)m->signature->moving[i] + 1);
        if (follows == i)
            strbuf_add(out, "any");
        else if (follows == NUMBER_CONSTANT)
            strbuf_add(out, "as it was");
        else
            strbuf_addf(out, "as it follows argument %d", (int)m->signature->moving[follows] + 1);
    }
    strbuf_add(out, "\n");
}

void moving_print(MovingCache *cache, StrBuf *out) {
    lock_take(cache->lock);
    for (uint32_t i = 0; i < cache->list.count; i++) print_line(cache->list.data[i], out);
    if (cache->refusal) strbuf_addf(out, "  traced: %s\n", cache->refusal);
    lock_give(cache->lock);
}

void moving_close(MovingCache *cache) {
    for (uint32_t i = 0; i < cache->list.count; i++) moving_release(cache->list.data[i]);
    vec_free(&cache->list);
    mem_free(cache->refusal);
}
