/* Making one graph for many sizes from samples, and binding it; see symbolic.h. */
#include "ir/graph/symbolic.h"

#include "base/assert.h"
#include "base/status.h"
#include "ir/graph/build.h"
#include "ir/op/dtype.h"

#include <math.h>

enum { SAMPLES_MOST = 8 };

/* ---- structure ------------------------------------------------------------------------------- */

uint64_t graph_structure_hash(const Graph *graph) {
    uint64_t hash = hash_mix(graph->nodes.count, graph->outputs.count);
    for (uint32_t i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph_node(graph, i);
        hash = hash_mix(hash, (uint64_t)node->op | (uint64_t)node->dtype << 16 |
                                  (uint64_t)node->rank << 24 | (uint64_t)node->n_attrs << 32);
    }
    for (uint32_t i = 0; i < graph->operands.count; i++)
        hash = hash_mix(hash, graph->operands.data[i]);
    return hash;
}

/* ---- samples --------------------------------------------------------------------------------- */

/* What a word came to in each sample. */
typedef struct Values {
    int64_t at[SAMPLES_MOST];
} Values;

/* A scalar of the call, by the first word that it is. */
typedef struct KnownScalar {
    uint64_t kind; /* of what: see share_scalar */
    uint32_t word; /* of the recorded graph */
} KnownScalar;

typedef struct KnownDim {
    Dim dim;       /* an expression */
    Values values; /* of it */
} KnownDim;

/* A symbolic graph on its way. */
typedef struct Maker {
    SymbolicGraph *g;               /* what is made */
    VEC(KnownDim) known;            /* sizes met so far, not constant ones */
    VEC(KnownScalar) scalars;       /* by number */
    Map scalar_map;                 /* hash of kind and samples → number */
    const SymbolicOptions *options; /* the caller's */
    uint32_t at_hand;               /* the sample whose sizes decisions go by */
    NodeId *map;                    /* recorded node → node */
    sn_error *error;                /* the caller's */
} Maker;

/* The word in a sample. */
static int64_t sample(const SymbolicGraph *g, uint32_t number, uint32_t word) {
    SN_ASSERT(number < g->n_samples && word < g->words.count);
    return g->samples.data[(size_t)number * g->words.count + word];
}

static bool varies(const SymbolicGraph *g, uint32_t word) {
    for (uint32_t s = 1; s < g->n_samples; s++)
        if (sample(g, s, word) != sample(g, 0, word)) return true;
    return false;
}

static bool add_sample(SymbolicGraph *g, const int64_t *words, uint32_t count) {
    if (!vec_reserve(&g->samples, count + 1)) return false;
    if (count) memcpy(g->samples.data + g->samples.count, words, sizeof *words * count);
    g->samples.count += count;
    g->n_samples++;
    return true;
}

static void set_rule(Maker *m, uint32_t word, WordRule rule, int64_t value) {
    SN_ASSERT(word < m->g->words.count);
    m->g->words.data[word] = (SymbolicWord){(uint8_t)rule, value};
}

static bool refuse(Maker *m, const char *why, OpCode op) {
    error_set(m->error, SN_ERROR_UNSUPPORTED, "%s: %s", op_info[op].name, why);
    return false;
}

/* Of a word that is a size, stride or position: far from the ends of its type. */
static Values values_of(const SymbolicGraph *g, uint32_t word) {
    Values v = {{0}};
    for (uint32_t s = 0; s < g->n_samples; s++) {
        v.at[s] = sample(g, s, word);
        SN_ASSERT(number_is_dim(v.at[s]));
    }
    return v;
}

static bool all_equal(const SymbolicGraph *g, const Values *a, const Values *b) {
    return memcmp(a->at, b->at, sizeof *a->at * g->n_samples) == 0;
}

/* ---- values as expressions ------------------------------------------------------------------- */

static bool know(Maker *m, const Values *values, Dim dim) {
    if (dim_is_number(dim)) return true;
    for (uint32_t i = 0; i < m->known.count; i++)
        if (dim_same(m->known.data[i].dim, dim)) return true;
    KnownDim known = {dim, *values};
    return vec_push(&m->known, known) || (error_memory(m->error), false);
}

/* coef × x + constant, or false where that overflows. */
static bool affine(const SymbolicGraph *g, const Values *x, int64_t coef, int64_t constant,
                   Values *result) {
    *result = (Values){{0}};
    for (uint32_t s = 0; s < g->n_samples; s++)
        if (__builtin_mul_overflow(x->at[s], coef, &result->at[s]) ||
            __builtin_add_overflow(result->at[s], constant, &result->at[s]))
            return false;
    return true;
}

/* A known size, or a multiple of one. */
static bool as_multiple(const Maker *m, const Values *wanted, bool exactly, Dim *dim) {
    for (uint32_t i = 0; i < m->known.count; i++) {
        const KnownDim *x = &m->known.data[i];
        int64_t first = x->values.at[0], coef = exactly ? 1 : first ? wanted->at[0] / first : 0;
        Values v;
        if (!coef || !affine(m->g, &x->values, coef, 0, &v) || !all_equal(m->g, &v, wanted))
            continue;
        *dim = dim_mul(&m->g->table, x->dim, dim_of(coef));
        return true;
    }
    return false;
}

static bool as_sum(const Maker *m, const Values *wanted, Dim *dim) {
    for (uint32_t i = 0; i < m->known.count; i++) {
        const KnownDim *x = &m->known.data[i];
        int64_t constant;
        Values v;
        if (__builtin_sub_overflow(wanted->at[0], x->values.at[0], &constant) ||
            !number_is_dim(constant) || !affine(m->g, &x->values, 1, constant, &v) ||
            !all_equal(m->g, &v, wanted))
            continue;
        *dim = dim_add(&m->g->table, x->dim, dim_of(constant));
        return true;
    }
    return false;
}

static bool as_product(const Maker *m, const Values *wanted, Dim *dim) {
    for (uint32_t i = 0; i < m->known.count; i++) {
        for (uint32_t j = i; j < m->known.count; j++) {
            const KnownDim *x = &m->known.data[i], *y = &m->known.data[j];
            bool fits = true;
            for (uint32_t s = 0; fits && s < m->g->n_samples; s++) {
                int64_t product;
                fits = !__builtin_mul_overflow(x->values.at[s], y->values.at[s], &product) &&
                       product == wanted->at[s];
            }
            if (!fits) continue;
            *dim = dim_mul(&m->g->table, x->dim, y->dim);
            return true;
        }
    }
    return false;
}

/* A part of a known size. */
static bool as_part(const Maker *m, const Values *wanted, Dim *dim) {
    for (uint32_t i = 0; i < m->known.count; i++) {
        const KnownDim *x = &m->known.data[i];
        int64_t divisor = wanted->at[0] > 0 ? x->values.at[0] / wanted->at[0] : 0;
        bool fits = divisor > 1;
        for (uint32_t s = 0; fits && s < m->g->n_samples; s++)
            fits = x->values.at[s] >= 0 && x->values.at[s] / divisor == wanted->at[s];
        if (!fits) continue;
        *dim = dim_quotient(&m->g->table, x->dim, dim_of(divisor));
        return true;
    }
    return false;
}

static bool note_symbol(Maker *m, uint32_t word, int64_t divisor) {
    SN_ASSERT(divisor > 0 && m->g->symbol_words.count < m->g->table.symbols.count + 1);
    SymbolWord symbol = {word, divisor};
    if (!m->g->table.failed && vec_push(&m->g->symbol_words, symbol)) return true;
    error_memory(m->error);
    return false;
}

/* A size of its own. */
static bool as_symbol(Maker *m, const Values *wanted, uint32_t word, Dim *dim) {
    SymbolicGraph *g = m->g;
    int64_t bound = 0;
    for (uint32_t s = 0; s < g->n_samples; s++)
        if (wanted->at[s] < 0) bound = INT64_MIN;
    *dim = dim_symbol(&g->table, NULL, wanted->at[m->at_hand], bound, INT64_MAX);
    return note_symbol(m, word, 1);
}

/* What a word that may be an expression is: a number where all samples agree, else the simplest
 * expression of sizes met so far that gives it, else a new symbol. */
static bool resolve_values(Maker *m, const Values *values, uint32_t word, WordRule rule,
                           bool is_dim, Dim *dim) {
    bool found = as_multiple(m, values, true, dim) || as_multiple(m, values, false, dim);
    if (!found && !is_dim)
        found = as_sum(m, values, dim) || as_product(m, values, dim) || as_part(m, values, dim);
    if (!found && !as_symbol(m, values, word, dim)) return false;
    set_rule(m, word, rule, dim->word);
    return know(m, values, *dim);
}

/* A word that is the same in all samples may follow from a size that is. */
static bool resolve(Maker *m, uint32_t word, bool is_dim, Dim *dim) {
    Values values = values_of(m->g, word);
    if (varies(m->g, word)) return resolve_values(m, &values, word, WORD_SIZE, is_dim, dim);
    bool may_follow = (m->options->n_dims || m->options->all) && values.at[0] > 1 && !is_dim;
    if (may_follow && (as_multiple(m, &values, true, dim) || as_product(m, &values, dim))) {
        set_rule(m, word, WORD_SIZE, dim->word);
        return true;
    }
    *dim = dim_of(values.at[0]);
    return true;
}

static const DeclaredDim *find_declared(const Maker *m, uint32_t input, int32_t axis) {
    for (int32_t i = 0; i < m->options->n_dims; i++) {
        const DeclaredDim *d = &m->options->dims[i];
        if (d->input == input && d->axis == axis) return d;
    }
    return NULL;
}

/* A symbol for a declared dim, or that of another dim of the same name. */
static bool declared_dim(Maker *m, const DeclaredDim *d, uint32_t word, Dim *dim) {
    SymbolicGraph *g = m->g;
    Values values = values_of(g, word);
    int64_t by = d->multiple_of;
    bool known = false;
    for (uint32_t i = 0; d->name && !known && i < g->table.symbols.count; i++) {
        const DimSymbol *symbol = &g->table.symbols.data[i];
        known = symbol->name && strcmp(symbol->name, d->name) == 0 &&
                g->symbol_words.data[i].divisor == by;
        if (known) *dim = symbol->dim;
    }
    if (!known) {
        int64_t most = d->most == INT64_MAX ? d->most : d->most / by;
        *dim = dim_symbol(&g->table, d->name, values.at[m->at_hand] / by,
                          d->least / by + (d->least % by > 0), most);
        if (!note_symbol(m, word, by)) return false;
    }
    *dim = dim_mul(&g->table, *dim, dim_of(by));
    set_rule(m, word, WORD_SIZE, dim->word);
    return know(m, &values, *dim);
}

/* The size of an input's dim. */
static bool resolve_dim(Maker *m, uint32_t input, int32_t axis, uint32_t word, Dim *dim) {
    const DeclaredDim *declared = find_declared(m, input, axis);
    if (declared) return declared_dim(m, declared, word, dim);
    Values values = values_of(m->g, word);
    if (m->options->all && !varies(m->g, word) && values.at[0] > 1)
        return resolve_values(m, &values, word, WORD_SIZE, true, dim);
    return resolve(m, word, true, dim);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static Site site_of(const Graph *graph, const Node *node) {
    return graph->sites.data[node->site];
}

static bool make_input(Maker *m, NodeId id) {
    const Graph *from = &m->g->recorded;
    const Node *node = graph_node(from, id);
    TensorType type = node_type(from, id);
    Dim strides[SN_MAX_RANK];
    uint32_t number = (uint32_t)node_attr_int(from, id, ATTR_NUMBER);
    for (int32_t i = 0; i < node->rank; i++)
        if (!resolve_dim(m, number, i, node->dims + (uint32_t)i, &type.dims[i])) return false;
    int32_t n_strides;
    node_attr_dims(from, id, ATTR_STRIDES, &n_strides);
    uint32_t first = node_attr_word(from, node, ATTR_STRIDES) + 1;
    for (int32_t i = 0; i < n_strides; i++)
        if (!resolve(m, first + (uint32_t)i, false, &strides[i])) return false;
    m->map[id] =
        graph_input(&m->g->graph, &type, n_strides ? strides : NULL, site_of(from, node), m->error);
    return m->map[id] != NODE_NONE;
}

/* ---- scalars --------------------------------------------------------------------------------- */

/* A word that is looked for among the scalars. */
typedef struct WantedScalar {
    const Maker *m; /* whose */
    KnownScalar as; /* what it is */
} WantedScalar;

static bool is_wanted_scalar(const void *context, uint32_t number) {
    const WantedScalar *wanted = context;
    const KnownScalar *known = &wanted->m->scalars.data[number];
    bool same = known->kind == wanted->as.kind;
    for (uint32_t s = 0; same && s < wanted->m->g->n_samples; s++)
        same = sample(wanted->m->g, s, known->word) == sample(wanted->m->g, s, wanted->as.word);
    return same;
}

/* The number of the scalar that the word is: a new one, or, where all samples agree, one that there is.
 * `kind` tells scalars apart that are nothing to each other. False with the error set. */
static bool share_scalar(Maker *m, uint64_t kind, uint32_t word, uint32_t *number) {
    WantedScalar wanted = {m, {kind, word}};
    uint64_t hash = kind;
    for (uint32_t s = 0; s < m->g->n_samples; s++)
        hash = hash_mix(hash, (uint64_t)sample(m->g, s, word));
    int64_t known = map_find(&m->scalar_map, hash, is_wanted_scalar, &wanted);
    *number = known == MAP_NONE ? m->g->n_scalars : (uint32_t)known;
    set_rule(m, word, known == MAP_NONE ? WORD_SCALAR : WORD_SAME, *number);
    if (known != MAP_NONE) return true;
    if (!vec_push(&m->scalars, wanted.as) || !map_insert(&m->scalar_map, hash, *number))
        return error_memory(m->error), false;
    m->g->n_scalars++;
    return true;
}

/* Of a number that is an attribute; those of constants follow. */
enum { SCALAR_REAL };
static uint64_t constant_kind(sn_dtype dtype, bool weak) {
    return 1 + 2 * (uint64_t)dtype + weak;
}

/* Hoisted constants are scalars of the call from now on, those too that did not vary yet. */
static bool make_const(Maker *m, NodeId id) {
    SymbolicGraph *g = m->g;
    const Node *node = graph_node(&g->recorded, id);
    GraphConst constant = node_const(&g->recorded, node);
    Site site = site_of(&g->recorded, node);
    sn_dtype dtype = (sn_dtype)node->dtype;
    uint32_t bits = node_attr_word(&g->recorded, node, ATTR_BITS);
    if (varies(g, node_attr_word(&g->recorded, node, ATTR_HOIST)) ||
        varies(g, node_attr_word(&g->recorded, node, ATTR_WEAK)) ||
        (constant.kind == CONST_LITERAL && varies(g, bits)))
        return refuse(m, "the constants are of different kinds", OP_CONST);
    if (constant.kind == CONST_LITERAL) {
        m->map[id] = graph_const(&g->graph, dtype, (uint64_t)constant.word, false, constant.weak,
                                 site, m->error);
    } else {
        uint32_t number;
        if (!share_scalar(m, constant_kind(dtype, constant.weak), bits, &number)) return false;
        m->map[id] = graph_scalar(&g->graph, dtype, number, constant.weak, site, m->error);
    }
    return m->map[id] != NODE_NONE;
}

/* The words of one attribute; `out` receives those of the symbolic graph. */
static bool make_attr(Maker *m, const Node *node, const AttrWalk *at, AttrList *out) {
    const OpParam *param = at->param;
    for (int32_t i = 0; i < at->count; i++) {
        uint32_t word = node->attrs + (uint32_t)(at->first + i);
        bool is_count = param->kind == 'L' && i == 0;
        Dim dim = {sample(m->g, 0, word)};
        if (param->is_size && !is_count) {
            if (!resolve(m, word, false, &dim)) return false;
        } else if (param->is_real && varies(m->g, word)) {
            uint32_t number;
            if (!share_scalar(m, SCALAR_REAL, word, &number)) return false;
            dim.word = attr_scalar(number);
        } else if (varies(m->g, word)) {
            return refuse(m, "an attribute varies that is no size", (OpCode)node->op);
        }
        attr_add_int(out, dim.word);
    }
    return true;
}

static bool make_attrs(Maker *m, const Node *node, AttrList *out) {
    out->count = 0;
    for (AttrWalk at = attr_walk(node_attrs(&m->g->recorded, node)); attr_next(&at);)
        if (!make_attr(m, node, &at, out)) return false;
    return true;
}

/* The dims of a node follow from its operands. */
static bool check_dims(Maker *m, NodeId id) {
    SymbolicGraph *g = m->g;
    const Node *node = graph_node(&g->recorded, id), *made = graph_node(&g->graph, m->map[id]);
    if (made->rank != node->rank || made->dtype != node->dtype)
        return refuse(m, "another type comes out", (OpCode)node->op);
    for (uint32_t i = 0; i < node->rank; i++) {
        Dim dim = node_dims(&g->graph, made)[i];
        uint32_t word = node->dims + i;
        if (dim_hint(&g->table, dim) != sample(g, m->at_hand, word))
            return refuse(m, "another size comes out", (OpCode)node->op);
        set_rule(m, word, dim_is_number(dim) ? WORD_STATIC : WORD_SIZE, dim.word);
        Values values = values_of(g, word);
        if (!know(m, &values, dim)) return false;
    }
    return true;
}

static GraphBuilder builder_at(Maker *m, const Node *node) {
    return gb_at(&m->g->graph, site_of(&m->g->recorded, node), m->error);
}

static bool make_op(Maker *m, NodeId id) {
    const Node *node = graph_node(&m->g->recorded, id);
    AttrList attrs;
    if (!make_attrs(m, node, &attrs)) return false;
    GraphBuilder b = builder_at(m, node);
    m->map[id] = gb_copy_op(&b, &m->g->recorded, id, m->map, &attrs);
    return !b.failed && check_dims(m, id);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static double double_of(int64_t word) {
    double value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* Whole numbers of moderate size in all samples? */
static bool whole_values(const SymbolicGraph *g, uint32_t word, Values *values) {
    for (uint32_t s = 0; s < g->n_samples; s++) {
        double value = double_of(sample(g, s, word));
        if (!(fabs(value) < 0x1p53) || value != trunc(value)) return false;
        values->at[s] = (int64_t)value;
    }
    return true;
}

/* arange's numbers are doubles, so that they can be no expressions; but with whole numbers and step 1,
 * a range is an index plus its start. */
static bool is_index_range(const SymbolicGraph *g, const Node *node, Values *starts) {
    if (node->op != OP_ARANGE) return false;
    uint32_t start = node_attr_word(&g->recorded, node, ATTR_START);
    uint32_t end = node_attr_word(&g->recorded, node, ATTR_END);
    uint32_t step = node_attr_word(&g->recorded, node, ATTR_STEP);
    return !varies(g, step) && double_of(sample(g, 0, step)) == 1 &&
           (varies(g, start) || varies(g, end)) && whole_values(g, start, starts);
}

/* iota + start, in i64 or f64 as arange computes it. The end shows in the number of elements. */
static bool make_range(Maker *m, NodeId id, const Values *starts) {
    SymbolicGraph *g = m->g;
    const Node *node = graph_node(&g->recorded, id);
    sn_dtype dtype = (sn_dtype)node->dtype, wide = dtype_is_float(dtype) ? SN_F64 : SN_I64;
    Dim size, start = dim_of(starts->at[0]);
    uint32_t word = node_attr_word(&g->recorded, node, ATTR_START);
    if (varies(g, word) && !resolve_values(m, starts, word, WORD_REAL_SIZE, false, &start))
        return false;
    if (!resolve(m, node->dims, true, &size)) return false;
    GraphBuilder b = builder_at(m, node);
    NodeId index = gb_cast(&b, wide, gb_iota(&b, &size, 1, 0));
    NodeId first = gb_size(&b, wide, start);
    m->map[id] = gb_cast(&b, dtype, gb_op2(&b, OP_ADD, first, index));
    set_rule(m, node_attr_word(&g->recorded, node, ATTR_END), WORD_ANY, 0);
    return !b.failed && check_dims(m, id);
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool make_node(Maker *m, NodeId id) {
    const Node *node = graph_node(&m->g->recorded, id);
    if (node_is_input(node)) return make_input(m, id);
    if (node_is_const(node)) return make_const(m, id);
    Values starts = {{0}};
    if (is_index_range(m->g, node, &starts)) return make_range(m, id, &starts);
    return make_op(m, id);
}

static bool make_nodes(Maker *m) {
    SymbolicGraph *g = m->g;
    for (NodeId i = 0; i < g->recorded.nodes.count; i++) {
        if (!make_node(m, i)) return false;
        if (g->table.failed)
            return refuse(m, "its sizes are too complex", (OpCode)graph_node(&g->recorded, i)->op);
    }
    for (uint32_t i = 0; i < g->recorded.outputs.count; i++) {
        GraphOutput output = g->recorded.outputs.data[i];
        if (!graph_output(&g->graph, m->map[output.node], output.writes_input))
            return error_memory(m->error), false;
    }
    return true;
}

/* Words that no rule was set for are fixed. */
static bool prepare_words(SymbolicGraph *g) {
    const Graph *graph = &g->recorded;
    if (!vec_reserve(&g->words, graph->words.count + 1)) return false;
    for (uint32_t i = 0; i < graph->words.count; i++)
        g->words.data[i] = (SymbolicWord){WORD_STATIC, graph->words.data[i]};
    g->words.count = graph->words.count;
    return true;
}

static bool take_samples(SymbolicGraph *g, const SymbolicGraph *known, const Graph *first) {
    uint32_t count = g->words.count, from = 0;
    SN_ASSERT(!known || known->words.count == count);
    SN_ASSERT(!first || first->words.count == count);
    if (known && known->n_samples >= SAMPLES_MOST) from = known->n_samples - SAMPLES_MOST + 1;
    for (uint32_t s = from; known && s < known->n_samples; s++)
        if (!add_sample(g, known->samples.data + (size_t)s * count, count)) return false;
    if (first && !add_sample(g, first->words.data, count)) return false;
    return add_sample(g, g->recorded.words.data, count);
}

static bool keep_options(SymbolicGraph *g, const SymbolicOptions *options) {
    g->all_dims = options->all;
    for (int32_t i = 0; i < options->n_dims; i++)
        if (!vec_push(&g->declared, options->dims[i])) return false;
    return true;
}

/* The sample with the fewest sizes of 0 and 1, which are special to many an op: where a decision has to
 * be taken, it is taken for the others. Of equals the latest. */
static uint32_t plainest_sample(const SymbolicGraph *g) {
    uint32_t best = 0, least = UINT32_MAX;
    for (uint32_t s = 0; s < g->n_samples; s++) {
        uint32_t special = 0;
        for (uint32_t i = 0; i < g->words.count; i++)
            special += (uint64_t)sample(g, s, i) <= 1 && varies(g, i);
        if (special > least) continue;
        best = s;
        least = special;
    }
    return best;
}

bool symbolic_make(SymbolicGraph *g, const SymbolicGraph *known, const Graph *first,
                   const Graph *latest, const SymbolicOptions *options, sn_error *error) {
    static const SymbolicOptions none = {0};
    *g = (SymbolicGraph){0};
    dims_init(&g->table);
    graph_init(&g->graph, latest->name);
    g->graph.no_fold = true;
    g->graph.table = &g->table;
    Maker m = {.g = g, .options = options ? options : &none, .error = error};
    m.map = mem_alloc(sizeof *m.map * (latest->nodes.count + 1));
    bool ok = m.map && graph_copy(latest, &g->recorded) && prepare_words(g) &&
              take_samples(g, known, first) && keep_options(g, m.options);
    if (ok)
        m.at_hand = plainest_sample(g);
    else
        error_memory(error);
    ok = ok && make_nodes(&m);
    mem_free(m.map);
    vec_free(&m.known);
    vec_free(&m.scalars);
    map_free(&m.scalar_map);
    if (!ok) symbolic_free(g);
    return ok;
}

bool symbolic_copy(SymbolicGraph *copy, const SymbolicGraph *g, sn_error *error) {
    SymbolicOptions options = {g->declared.data, (int32_t)g->declared.count, g->all_dims};
    return symbolic_make(copy, g, NULL, &g->recorded, &options, error);
}

void symbolic_free(SymbolicGraph *g) {
    graph_free(&g->graph);
    graph_free(&g->recorded);
    dims_free(&g->table);
    vec_free(&g->samples);
    vec_free(&g->words);
    vec_free(&g->symbol_words);
    vec_free(&g->declared);
}

/* ---- binding --------------------------------------------------------------------------------- */

static int64_t word_of_real(int64_t value) {
    double real = (double)value;
    int64_t word;
    memcpy(&word, &real, sizeof word);
    return word;
}

static void read_symbols(const SymbolicGraph *g, const int64_t *words, int64_t *symbols) {
    for (uint32_t i = 0; i < g->symbol_words.count; i++) {
        const SymbolWord *at = &g->symbol_words.data[i];
        SN_ASSERT(at->word < g->words.count);
        bool real = g->words.data[at->word].rule == WORD_REAL_SIZE;
        double value = real ? double_of(words[at->word]) : 0;
        /* One that is not whole, or no multiple, does not fit its word. */
        symbols[i] = !real                  ? words[at->word] / at->divisor
                     : fabs(value) < 0x1p53 ? (int64_t)value
                                            : 0;
    }
}

/* Scalars of words before it are in the binding. */
static bool word_fits(const SymbolicWord *w, int64_t word, const SymbolicBinding *binding) {
    const int64_t *values = binding->values;
    switch ((WordRule)w->rule) {
    case WORD_SAME:
        return (uint64_t)word == binding->scalars[w->word];
    case WORD_STATIC:
        return word == w->word;
    case WORD_SIZE:
        return word == dim_value(values, (Dim){w->word});
    case WORD_REAL_SIZE:
        return word == word_of_real(dim_value(values, (Dim){w->word}));
    default:
        return true;
    }
}

BindResult symbolic_bind(const SymbolicGraph *g, const Graph *recorded, SymbolicBinding *binding,
                         const DimGuard **failing) {
    const int64_t *words = recorded->words.data;
    SN_ASSERT(recorded->words.count == g->words.count);
    *failing = NULL;
    read_symbols(g, words, binding->symbols);
    if (!dims_evaluate(&g->table, binding->symbols, binding->values)) return BIND_GUARD;
    for (uint32_t i = 0; i < g->words.count; i++) {
        const SymbolicWord *w = &g->words.data[i];
        if (!word_fits(w, words[i], binding)) return BIND_WORDS;
        if (w->rule == WORD_SCALAR) binding->scalars[w->word] = (uint64_t)words[i];
    }
    *failing = dims_failing(&g->table, binding->values);
    return *failing ? BIND_GUARD : BIND_OK;
}

int64_t symbolic_word(const SymbolicGraph *g, const SymbolicBinding *binding, uint32_t word) {
    SN_ASSERT(word < g->words.count);
    const SymbolicWord *w = &g->words.data[word];
    switch ((WordRule)w->rule) {
    case WORD_STATIC:
        return w->word;
    case WORD_SIZE:
        return dim_value(binding->values, (Dim){w->word});
    case WORD_REAL_SIZE:
        return word_of_real(dim_value(binding->values, (Dim){w->word}));
    case WORD_SCALAR:
    case WORD_SAME:
        return (int64_t)binding->scalars[w->word];
    default:
        return g->recorded.words.data[word];
    }
}

void symbolic_words(const SymbolicGraph *g, const SymbolicBinding *binding, int64_t *words) {
    for (uint32_t i = 0; i < g->words.count; i++) words[i] = symbolic_word(g, binding, i);
}
