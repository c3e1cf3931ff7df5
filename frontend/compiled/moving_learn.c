/* What numbers of a graph have to do with the numbers of the call, from calls that were traced; see
 * moving.h. Three values of a number tell a line from two points. */
#include "frontend/compiled/moving.h"

#include "base/small.h"
#include "frontend/compiled/key.h"
#include "ir/op/dtype.h"

#include <math.h>
#include <stdio.h>

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
    StrBuf *refusal;            /* where it is said what does not follow */
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

/* Are the results of the two calls the same, but for sizes and where they lie? */
static bool results_alike(const Entry *x, const Entry *y, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        const OutputSpec *a = &x->outputs[i], *b = &y->outputs[i];
        if (a->input != b->input || a->output != b->output || a->type.dtype != b->type.dtype ||
            a->type.rank != b->type.rank)
            return false;
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
                         uint32_t stem, StrBuf *refusal) {
    *s = (Samples){.signature = signature, .refusal = refusal};
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

/* ---- refusals -------------------------------------------------------------------------------- */

/* Of the arguments that are free (NULL: all) it is said that `what` does not follow. Returns false. */
static bool refuse(const Samples *s, const MovingNumber *arguments, const char *what, Site site) {
    bool any = false;
    for (int32_t i = 0; i < s->signature->n_moving; i++) {
        if (arguments && arguments[i].argument != i) continue;
        strbuf_addf(s->refusal, "%sargument %d", any ? ", " : "", (int)s->signature->moving[i] + 1);
        any = true;
    }
    strbuf_addf(s->refusal, ": not followed by %s", what);
    if (site.file) strbuf_addf(s->refusal, " (%s:%d)", site.file, (int)site.line);
    return false;
}

static bool refuse_node(const Samples *s, const Moving *m, NodeId id) {
    const Graph *graph = &graph_of(s)->recorded;
    Site call = node_call(graph, graph_node(graph, id));
    return refuse(s, m->arguments, op_info[call.op].name, call);
}

/* The same for the node that has the word. */
static bool refuse_word(const Samples *s, const Moving *m, uint32_t word) {
    const Graph *graph = &graph_of(s)->recorded;
    NodeId id = 0;
    while (id + 1 < graph->nodes.count && graph_node(graph, id + 1)->dims <= word) id++;
    return refuse_node(s, m, id);
}

static bool refuse_result(const Samples *s, const Moving *m, int32_t number) {
    char what[32];
    snprintf(what, sizeof what, "result %d", (int)number + 1);
    return refuse(s, m->arguments, what, (Site){0});
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
            return refuse_word(s, m, graph_of(s)->symbol_words.data[i].word);
    }
    return true;
}

static bool fit_scalar(const Samples *s, Moving *m, uint32_t number, sn_dtype dtype) {
    Column column = {{0}};
    for (uint32_t j = 0; j < s->count; j++) column.at[j] = s->at[j].binding.scalars[number];
    return fit_number(s, m->arguments, s->signature->n_moving, dtype, &column, &m->scalars[number]);
}

/* A size, stride or offset; `values` has one a sample. */
static bool fit_size(const Samples *s, const Moving *m, const Column *values, MovingNumber *n) {
    return fit_number(s, m->arguments, s->signature->n_moving, SN_I64, values, n);
}

static bool fit_result(const Samples *s, Moving *m, int32_t number) {
    MovingResult *result = &m->results[number];
    Column offset = {{0}}, dim = {{0}}, stride = {{0}};
    for (uint32_t j = 0; j < s->count; j++)
        offset.at[j] = (uint64_t)s->at[j].entry->outputs[number].offset;
    if (!fit_size(s, m, &offset, &result->offset)) return false;
    for (int32_t i = 0; i < m->model->outputs[number].type.rank; i++) {
        for (uint32_t j = 0; j < s->count; j++) {
            const OutputSpec *spec = &s->at[j].entry->outputs[number];
            dim.at[j] = (uint64_t)spec->type.dims[i].word;
            stride.at[j] = (uint64_t)spec->strides[i];
        }
        if (!fit_size(s, m, &dim, &result->dims[i]) ||
            !fit_size(s, m, &stride, &result->strides[i]))
            return false;
    }
    return true;
}

static bool fit_results(const Samples *s, Moving *m) {
    for (int32_t i = 0; i < s->signature->n_outputs; i++)
        if (!fit_result(s, m, i)) return refuse_result(s, m, i);
    return true;
}

/* ---- words ----------------------------------------------------------------------------------- */

/* What becomes of a graph's nodes where the numbers of the call move. */
typedef struct Notes {
    const Samples *samples; /* of the calls */
    Moving *m;              /* what is learned */
    bool *moves;            /* by node: its sizes do */
    bool sizes_may;         /* what was recorded does not depend on strides, which sizes change */
} Notes;

/* Notes the word; `moves` is set where it differs between samples. */
static bool note_word(const Notes *n, uint32_t word, bool size, bool *moves) {
    const SymbolicGraph *g = graph_of(n->samples);
    const SymbolicWord *rule = &g->words.data[word];
    MovingWord own = {.word = word, .size = size};
    if (rule->rule == WORD_STATIC || rule->rule == WORD_ANY) return true;
    int64_t model = symbolic_word(g, &model_of(n->samples)->binding, word);
    for (uint32_t i = 0; i < n->samples->count; i++)
        own.moves = own.moves || symbolic_word(g, &n->samples->at[i].binding, word) != model;
    *moves = *moves || own.moves;
    return vec_push(&n->m->sized, own);
}

/* May a call move this attribute of a view? Steps change strides by themselves. */
static bool may_move(AttrName name) {
    return name == ATTR_START || name == ATTR_STARTS || name == ATTR_INDEX || name == ATTR_LENGTH ||
           name == ATTR_DIMS;
}

static bool note_attrs(const Notes *n, const Node *node, bool *moves) {
    const Graph *recorded = &graph_of(n->samples)->recorded;
    for (AttrWalk at = attr_walk(node_attrs(recorded, node)); attr_next(&at);) {
        bool own = false;
        for (int32_t i = 0; i < at.count; i++)
            if (!note_word(n, node->attrs + (uint32_t)(at.first + i), false, &own)) return false;
        if (own && op_is((OpCode)node->op, CLASS_VIEW) && !may_move(at.param->attr)) return false;
        *moves = *moves || own;
    }
    return true;
}

/* Is some word of it free, so that inference cannot take the node at its words? */
static bool has_free_word(const SymbolicGraph *g, const Node *node) {
    for (uint32_t i = 0; i < node->n_attrs; i++)
        if (g->words.data[node->attrs + i].rule == WORD_ANY) return true;
    return false;
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

static bool note_node(const Notes *n, NodeId id) {
    const SymbolicGraph *g = graph_of(n->samples);
    const Node *node = graph_node(&g->recorded, id);
    bool moves = false;
    for (uint32_t i = 0; i < node->rank; i++)
        if (!note_word(n, node->dims + i, true, &n->moves[id])) return false;
    if (n->moves[id] && !n->sizes_may) return false;
    if (!note_attrs(n, node, &moves) || !note_scalars(n->samples, n->m, node)) return false;
    moves = moves || n->moves[id];
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(&g->recorded, node)[i];
        moves = moves || (input != NODE_NONE && n->moves[input]);
    }
    bool asked = moves && !op_is_given_type((OpCode)node->op) && !has_free_word(g, node);
    return !asked || vec_push(&n->m->nodes, id);
}

static bool note_nodes(const Samples *s, Moving *m) {
    const SymbolicGraph *g = graph_of(s);
    Notes notes = {.samples = s, .m = m, .sizes_may = true};
    for (uint32_t i = 0; i < s->count; i++)
        notes.sizes_may = notes.sizes_may && !s->at[i].entry->strided;
    m->words = mem_alloc(sizeof *m->words * (g->words.count + 1));
    notes.moves = mem_calloc(g->recorded.nodes.count + 1, sizeof *notes.moves);
    bool ok = m->words && notes.moves;
    if (ok) symbolic_words(g, &model_of(s)->binding, m->words);
    for (NodeId i = 0; ok && i < g->recorded.nodes.count; i++)
        ok = note_node(&notes, i) || refuse_node(s, m, i);
    mem_free(notes.moves);
    return ok;
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
    m->results = mem_calloc((size_t)s->signature->n_outputs + 1, sizeof *m->results);
    if (m->arguments && m->symbols && m->scalars && m->results) return m;
    moving_release(m);
    return NULL;
}

static Moving *learn(const Samples *s, uint32_t stem) {
    if (s->count < VALUES_LEAST) {
        refuse(s, NULL, "one graph for three of its values", (Site){0});
        return NULL;
    }
    Moving *m = moving_new(s, stem);
    if (m && fit_arguments(s, m) && fit_symbols(s, m) && fit_results(s, m) && note_nodes(s, m))
        return m;
    moving_release(m);
    return NULL;
}

Moving *moving_learn(EntryCache *entries, const Signature *signature, const Key *key,
                     StrBuf *refusal) {
    Entry *latest[SAMPLES_MOST];
    Samples samples;
    uint32_t count = entries_of_stem(entries, key, SAMPLES_MOST, latest);
    open_samples(&samples, signature, latest, count, key->stem, refusal);
    Moving *m = count < VALUES_LEAST ? NULL : learn(&samples, key->stem);
    close_samples(&samples);
    return m;
}
