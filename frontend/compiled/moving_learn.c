/* What numbers of a graph have to do with the numbers of the call, from calls that were traced; see
 * moving.h. Three values of a number tell a line from two points. */
#include "frontend/compiled/moving.h"

#include "base/small.h"
#include "frontend/compiled/key.h"
#include "ir/op/dtype.h"

#include <math.h>

enum { SAMPLES_MOST = 8, VALUES_LEAST = 3 };

/* One traced call. */
typedef struct Sample {
    Entry *entry;            /* what it came to; a reference */
    const uint64_t *numbers; /* of the call: the end of its key */
    SymbolicBinding binding; /* of the model's graph; its own arrays */
} Sample;

/* Calls that differ in their numbers alone; the last is the model. */
typedef struct Samples {
    const Signature *signature; /* of the handle */
    Sample at[SAMPLES_MOST];    /* oldest first */
    uint32_t count;             /* how many */
} Samples;

/* A number's value in each sample. */
typedef struct Column {
    uint64_t at[SAMPLES_MOST];
} Column;

static const Sample *model_of(const Samples *s) {
    SN_ASSERT(s->count > 0);
    return &s->at[s->count - 1];
}

static const SymbolicGraph *graph_of(const Samples *s) {
    return model_of(s)->entry->instance->graph->symbolic;
}

/* ---- samples --------------------------------------------------------------------------------- */

/* The call as a binding of `graph`; false where it is none. */
static bool open_sample(Sample *sample, CompiledGraph *graph) {
    const GraphInstance *instance = sample->entry->instance;
    if (instance->graph != graph && instance->graph->symbolic) return false;
    Graph recorded;
    bool ok = instance_recorded(instance, &recorded) &&
              graphs_alike(&recorded, compiled_graph_recorded(graph)) &&
              binding_open(graph->symbolic, &recorded, &sample->binding, NULL) == BIND_OK;
    graph_free(&recorded);
    return ok;
}

/* Are the results of the two calls the same, but for where they begin? */
static bool results_alike(const Entry *x, const Entry *y, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        OutputSpec other = y->outputs[i];
        other.offset = x->outputs[i].offset;
        if (!output_spec_equal(&x->outputs[i], &other)) return false;
    }
    return true;
}

static bool calls_alike(const Signature *signature, const Entry *x, const Entry *y) {
    uint32_t n_inputs = entry_graph(x)->inputs.count;
    return entry_graph(y)->inputs.count == n_inputs &&
           memcmp(x->sources, y->sources, sizeof *x->sources * n_inputs) == 0 &&
           memcmp(x->drawn, y->drawn, sizeof *x->drawn * (size_t)signature->n_generators) == 0 &&
           results_alike(x, y, signature->n_outputs);
}

static void close_samples(Samples *s) {
    for (uint32_t i = 0; i < s->count; i++) {
        entry_release(s->at[i].entry);
        binding_close(&s->at[i].binding);
    }
}

/* Takes over the references. */
static void open_samples(Samples *s, const Signature *signature, Entry **entries, uint32_t count,
                         uint32_t stem) {
    *s = (Samples){.signature = signature};
    CompiledGraph *graph = count ? entries[count - 1]->instance->graph : NULL;
    for (uint32_t i = 0; i < count; i++) {
        Sample sample = {.entry = entries[i], .numbers = entries[i]->key + stem};
        if (graph->symbolic && calls_alike(signature, entries[i], entries[count - 1]) &&
            open_sample(&sample, graph))
            s->at[s->count++] = sample;
        else
            entry_release(entries[i]);
    }
}

/* ---- fitting --------------------------------------------------------------------------------- */

static uint32_t count_values(const Samples *s, const Column *column) {
    uint32_t values = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t j = 0;
        while (column->at[j] != column->at[i]) j++;
        values += j == i;
    }
    return values;
}

static Column numbers_of_call(const Samples *s, int32_t argument) {
    Column column = {{0}};
    for (uint32_t i = 0; i < s->count; i++) column.at[i] = s->at[i].numbers[argument];
    return column;
}

/* The value as an integer, if it is one. */
static bool as_integer(sn_dtype dtype, uint64_t bits, int64_t *value) {
    if (!dtype_is_float(dtype)) {
        *value = dtype_bits_to_int(dtype, bits);
        return true;
    }
    double real = dtype_bits_to_double(dtype, bits);
    if (!(fabs(real) <= 0x1p53) || real != trunc(real)) return false;
    *value = (int64_t)real;
    return true;
}

/* Factor and constant of the line through two samples; false where they are no integers. */
static bool line_through(const Samples *s, const Column *x, const Column *y, MovingNumber *n) {
    uint32_t second = 1;
    while (second < s->count && x->at[second] == x->at[0]) second++;
    if (second == s->count) return false;
    int64_t x0 = (int64_t)x->at[0], x1 = (int64_t)x->at[second], y0, y1, dx, dy, part;
    if (!as_integer((sn_dtype)n->dtype, y->at[0], &y0) ||
        !as_integer((sn_dtype)n->dtype, y->at[second], &y1))
        return false;
    if (__builtin_sub_overflow(x1, x0, &dx) || __builtin_sub_overflow(y1, y0, &dy) || dx == -1)
        return false;
    if (dy % dx) return false;
    n->factor = dy / dx;
    return !__builtin_mul_overflow(n->factor, x0, &part) &&
           !__builtin_sub_overflow(y0, part, &n->constant);
}

static bool fits(const Samples *s, const Column *column, const MovingNumber *n) {
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t bits;
        if (!moving_value(n, s->signature, s->at[i].numbers, &bits) || bits != column->at[i])
            return false;
    }
    return true;
}

/* Does it follow this argument? */
static bool fit_argument(const Samples *s, const Column *column, int32_t argument,
                         MovingNumber *n) {
    n->argument = argument;
    if (signature_moving_is_real(s->signature, argument)) {
        for (n->factor = 1; n->factor >= -1; n->factor -= 2)
            if (fits(s, column, n)) return true;
        return false;
    }
    Column x = numbers_of_call(s, argument);
    return line_through(s, &x, column, n) && fits(s, column, n);
}

/* The one argument of those that are free (the first `n_arguments` are known) that it follows. */
static bool fit_number(const Samples *s, const MovingNumber *arguments, int32_t n_arguments,
                       sn_dtype dtype, const Column *column, MovingNumber *n) {
    *n =
        (MovingNumber){.argument = NUMBER_CONSTANT, .dtype = (uint8_t)dtype, .bits = column->at[0]};
    if (count_values(s, column) == 1) return true;
    int32_t found = 0;
    for (int32_t i = 0; i < n_arguments; i++) {
        MovingNumber guess = {.dtype = (uint8_t)dtype};
        if (arguments[i].argument != i || !fit_argument(s, column, i, &guess)) continue;
        *n = guess;
        found++;
    }
    return found == 1;
}

/* Each argument is constant, follows an earlier one, or is free: then it had enough values. */
static bool fit_arguments(const Samples *s, Moving *m) {
    for (int32_t i = 0; i < s->signature->n_moving; i++) {
        Column column = numbers_of_call(s, i);
        sn_dtype dtype = signature_moving_is_real(s->signature, i) ? SN_F64 : SN_I64;
        if (fit_number(s, m->arguments, i, dtype, &column, &m->arguments[i])) continue;
        if (count_values(s, &column) < VALUES_LEAST) return false;
        m->arguments[i] = (MovingNumber){.argument = i, .dtype = (uint8_t)dtype, .factor = 1};
    }
    return true;
}

static bool fit_symbols(const Samples *s, Moving *m) {
    for (uint32_t i = 0; i < graph_of(s)->symbol_words.count; i++) {
        Column column = {{0}};
        for (uint32_t j = 0; j < s->count; j++)
            column.at[j] = (uint64_t)s->at[j].binding.symbols[i];
        if (!fit_number(s, m->arguments, s->signature->n_moving, SN_I64, &column, &m->symbols[i]))
            return false;
    }
    return true;
}

static bool fit_scalar(const Samples *s, Moving *m, uint32_t number, sn_dtype dtype) {
    Column column = {{0}};
    for (uint32_t j = 0; j < s->count; j++) column.at[j] = s->at[j].binding.scalars[number];
    return fit_number(s, m->arguments, s->signature->n_moving, dtype, &column, &m->scalars[number]);
}

static bool fit_offsets(const Samples *s, Moving *m) {
    for (int32_t i = 0; i < s->signature->n_outputs; i++) {
        Column column = {{0}};
        for (uint32_t j = 0; j < s->count; j++)
            column.at[j] = (uint64_t)s->at[j].entry->outputs[i].offset;
        if (!fit_number(s, m->arguments, s->signature->n_moving, SN_I64, &column, &m->offsets[i]))
            return false;
    }
    return true;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* Notes the word; `moves` is set where it differs between samples. */
static bool note_word(const Samples *s, Moving *m, uint32_t word, bool *moves) {
    const SymbolicGraph *g = graph_of(s);
    const SymbolicWord *rule = &g->words.data[word];
    MovingWord own = {.word = word};
    if (rule->rule == WORD_STATIC || rule->rule == WORD_ANY) return true;
    int64_t model = symbolic_word(g, &model_of(s)->binding, word);
    for (uint32_t i = 0; i < s->count; i++)
        own.moves = own.moves || symbolic_word(g, &s->at[i].binding, word) != model;
    *moves = *moves || own.moves;
    return vec_push(&m->sized, own);
}

/* May a call move this attribute of a view? Strides, and with them what is a view and what a copy, do
 * not depend on where one begins. */
static bool is_position(AttrName name) {
    return name == ATTR_START || name == ATTR_STARTS || name == ATTR_INDEX;
}

static bool note_attrs(const Samples *s, Moving *m, const Node *node, bool *moves) {
    for (AttrWalk at = attr_walk(node_attrs(&graph_of(s)->recorded, node)); attr_next(&at);) {
        bool own = false;
        for (int32_t i = 0; i < at.count; i++)
            if (!note_word(s, m, node->attrs + (uint32_t)(at.first + i), &own)) return false;
        if (own && op_is((OpCode)node->op, CLASS_VIEW) && !is_position(at.param->attr))
            return false;
        *moves = *moves || own;
    }
    return true;
}

/* A scalar of the graph, of which a node says the dtype. */
static bool note_scalars(const Samples *s, Moving *m, const Node *node) {
    const SymbolicGraph *g = graph_of(s);
    sn_dtype dtype = node_is_const(node) ? (sn_dtype)node->dtype : SN_F64;
    for (uint32_t i = 0; i < node->n_attrs; i++) {
        const SymbolicWord *rule = &g->words.data[node->attrs + i];
        if (rule->rule == WORD_SCALAR && !fit_scalar(s, m, (uint32_t)rule->word, dtype))
            return false;
    }
    return true;
}

static bool note_node(const Samples *s, Moving *m, NodeId id) {
    const Node *node = graph_node(&graph_of(s)->recorded, id);
    bool resizes = false, moves = false;
    for (uint32_t i = 0; i < node->rank; i++)
        if (!note_word(s, m, node->dims + i, &resizes)) return false;
    if (resizes || !note_attrs(s, m, node, &moves) || !note_scalars(s, m, node)) return false;
    return !moves || op_is_given_type((OpCode)node->op) || vec_push(&m->nodes, id);
}

static bool note_nodes(const Samples *s, Moving *m) {
    const SymbolicGraph *g = graph_of(s);
    m->words = mem_alloc(sizeof *m->words * (g->words.count + 1));
    if (!m->words) return false;
    symbolic_words(g, &model_of(s)->binding, m->words);
    for (NodeId i = 0; i < g->recorded.nodes.count; i++)
        if (!note_node(s, m, i)) return false;
    return true;
}

/* ---- learning -------------------------------------------------------------------------------- */

static Moving *moving_new(const Samples *s, uint32_t stem) {
    Moving *m = mem_calloc(1, sizeof *m);
    if (!m) return NULL;
    const SymbolicGraph *g = graph_of(s);
    refs_init(&m->refs);
    atomic_init(&m->calls, 2);
    m->model = entry_retain(model_of(s)->entry);
    m->stem = stem;
    m->signature = s->signature;
    m->arguments = mem_calloc((size_t)s->signature->n_moving, sizeof *m->arguments);
    m->symbols = mem_calloc(g->symbol_words.count + 1, sizeof *m->symbols);
    m->scalars = mem_calloc(g->n_scalars + 1, sizeof *m->scalars);
    m->offsets = mem_calloc((size_t)s->signature->n_outputs + 1, sizeof *m->offsets);
    if (m->arguments && m->symbols && m->scalars && m->offsets) return m;
    moving_release(m);
    return NULL;
}

static Moving *learn(const Samples *s, uint32_t stem) {
    if (s->count < VALUES_LEAST) return NULL;
    Moving *m = moving_new(s, stem);
    if (m && fit_arguments(s, m) && fit_symbols(s, m) && fit_offsets(s, m) && note_nodes(s, m))
        return m;
    moving_release(m);
    return NULL;
}

Moving *moving_learn(EntryCache *entries, const Signature *signature, const Key *key) {
    Entry *latest[SAMPLES_MOST];
    Samples samples;
    uint32_t count = entries_of_stem(entries, key, SAMPLES_MOST, latest);
    open_samples(&samples, signature, latest, count, key->stem);
    Moving *m = learn(&samples, key->stem);
    close_samples(&samples);
    return m;
}
