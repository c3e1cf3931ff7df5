/* The graph's container and its one entrance: graph_emit infers, folds, value-numbers and appends.
 * A node is staged behind the last elements of the flat arrays, so that finding it again costs no
 * copy and a failure leaves nothing behind. */
#include "ir/graph/graph.h"

#include "base/status.h"
#include "ir/graph/fold.h"
#include "ir/infer/infer.h"
#include "ir/op/dtype.h"

enum {
    FEW_OPERANDS = 16, /* operands handled without a heap request */
    RECENT_SITES = 4   /* source lines looked at before a new one is added */
};

void graph_init(Graph *graph, const char *name) {
    *graph = (Graph){.name = name};
}

void graph_init_like(Graph *graph, const Graph *other) {
    graph_init(graph, other->name);
    graph->table = other->table;
}

static void free_owned(Graph *graph) {
    for (uint32_t i = 0; i < graph->owned.count; i++) mem_free(graph->owned.data[i]);
    graph->owned.count = 0;
}

void graph_free(Graph *graph) {
    free_owned(graph);
    vec_free(&graph->nodes);
    vec_free(&graph->operands);
    vec_free(&graph->words);
    vec_free(&graph->sites);
    vec_free(&graph->inputs);
    vec_free(&graph->outputs);
    vec_free(&graph->owned);
    map_free(&graph->numbering);
    *graph = (Graph){0};
}

bool graph_copy(const Graph *from, Graph *to) {
    bool ok = true;
    to->name = from->name;
    to->no_fold = from->no_fold;
#define COPY(field)                                                                                \
    ok = ok && vec_reserve(&to->field, from->field.count);                                         \
    if (ok && from->field.count) {                                                                 \
        memcpy(to->field.data, from->field.data, from->field.count * sizeof *from->field.data);    \
        to->field.count = from->field.count;                                                       \
    }
    COPY(nodes)
    COPY(operands)
    COPY(words)
    COPY(sites)
    COPY(inputs)
    COPY(outputs)
#undef COPY
    return ok;
}

void graph_replace(Graph *graph, Graph *made) {
    SN_ASSERT(made->owned.count == 0);
    made->owned = graph->owned;
    memset(&graph->owned, 0, sizeof graph->owned);
    graph_free(graph);
    *graph = *made;
    *made = (Graph){0};
}

void graph_clear(Graph *graph) {
    free_owned(graph);
    graph->nodes.count = 0;
    graph->operands.count = 0;
    graph->words.count = 0;
    graph->sites.count = 0;
    graph->inputs.count = 0;
    graph->outputs.count = 0;
    map_clear(&graph->numbering);
}

/* ---- appending ------------------------------------------------------------------------------- */

/* Everything a new node is made of. */
typedef struct Draft {
    OpCode op;                /* what it computes */
    int32_t n_inputs;         /* operands, absent ones included */
    const NodeId *inputs;     /* operands; not in graph->operands */
    const AttrList *attrs;    /* normalised attributes */
    const TensorType *result; /* its type */
    Site site;                /* its source line */
    bool numbered;            /* an equal node is the same value */
} Draft;

/* A staged node being sought among the graph's. */
typedef struct Probe {
    const Graph *graph; /* where to look, and where it is staged */
    const Node *node;   /* the staged node */
} Probe;

/* Room for one more source line, and the unknown one before the first. */
static bool reserve_site(Graph *graph) {
    if (!vec_reserve(&graph->sites, 2)) return false;
    if (graph->sites.count == 0) graph->sites.data[graph->sites.count++] = (Site){0};
    return true;
}

/* Index of a call in the program; equal ones may have two indices, which costs nothing but room. An op that a
 * pass made is at the call of what it replaces. */
static uint32_t intern_site(Graph *graph, Site site, OpCode op) {
    if (site.op == (int32_t)op) site.op = 0;
    if (!site.file && !site.op) return 0;
    uint32_t count = graph->sites.count;
    SN_ASSERT(count > 0 && count < graph->sites.capacity);
    for (uint32_t i = count, left = RECENT_SITES; i > 1 && left; i--, left--) {
        const Site *known = &graph->sites.data[i - 1];
        if (known->file == site.file && known->line == site.line && known->op == site.op)
            return i - 1;
    }
    graph->sites.data[graph->sites.count++] = site;
    return count;
}

static bool commutes(const Node *node) {
    return op_has((OpCode)node->op, F_COMMUTES) && node->n_inputs >= 2;
}

/* Words are mixed in by twos: each step has to wait for the one before it. */
static uint64_t hash_words(uint64_t hash, const int64_t *words, uint32_t count) {
    uint32_t i = 0;
    for (; i + 1 < count; i += 2) {
        uint64_t second = (uint64_t)words[i + 1];
        hash = hash_mix(hash, (uint64_t)words[i] ^ (second << 32 | second >> 32));
    }
    return i < count ? hash_mix(hash, (uint64_t)words[i]) : hash;
}

/* The two operands of a commutative op count in ascending order, so that a + b finds b + a. */
static uint64_t node_hash(const Node *node, const NodeId *inputs, const int64_t *words) {
    uint64_t head = (uint64_t)node->op | (uint64_t)node->dtype << 16 | (uint64_t)node->rank << 24 |
                    (uint64_t)node->n_inputs << 32 | (uint64_t)node->n_attrs << 48;
    uint64_t hash = hash_mix(head, 0);
    uint32_t i = 0;
    if (commutes(node)) {
        bool swap = inputs[0] > inputs[1];
        hash = hash_mix(hash, (uint64_t)inputs[swap] << 32 | inputs[!swap]);
        i = 2;
    }
    for (; i < node->n_inputs; i++) hash = hash_mix(hash, inputs[i]);
    return hash_words(hash, words, (uint32_t)node->rank + node->n_attrs);
}

static bool same_operands(const Node *node, const NodeId *a, const NodeId *b) {
    if (memcmp(a, b, sizeof *a * node->n_inputs) == 0) return true;
    return commutes(node) && a[0] == b[1] && a[1] == b[0] &&
           memcmp(a + 2, b + 2, sizeof *a * (size_t)(node->n_inputs - 2)) == 0;
}

/* Dims and attributes lie next to each other, so one comparison takes both. */
static bool same_node(const void *context, uint32_t index) {
    const Probe *probe = context;
    const Graph *graph = probe->graph;
    const Node *a = probe->node;
    const Node *b = graph_node(graph, index);
    return a->op == b->op && a->dtype == b->dtype && a->rank == b->rank &&
           a->n_inputs == b->n_inputs && a->n_attrs == b->n_attrs &&
           same_operands(a, node_inputs(graph, a), node_inputs(graph, b)) &&
           memcmp(node_dims(graph, a), node_dims(graph, b),
                  sizeof(int64_t) * ((size_t)a->rank + a->n_attrs)) == 0;
}

/* Writes node, operands, dims and attributes behind the last ones of the graph without counting them.
 * NULL when out of memory. */
static Node *stage(Graph *graph, const Draft *draft) {
    uint32_t n_inputs = (uint32_t)draft->n_inputs;
    uint32_t n_attrs = (uint32_t)draft->attrs->count;
    uint32_t rank = draft->result->rank;
    SN_ASSERT(draft->op < OP_COUNT && draft->result->dtype < SN_DTYPE_COUNT);
    SN_ASSERT(rank <= SN_MAX_RANK && n_attrs <= ATTR_MOST && n_inputs <= UINT16_MAX);
    if (!vec_reserve(&graph->nodes, 1) || !vec_reserve(&graph->operands, n_inputs + 1) ||
        !vec_reserve(&graph->words, SN_MAX_RANK + n_attrs) || !reserve_site(graph))
        return NULL;
    Node *node = &graph->nodes.data[graph->nodes.count];
    *node = (Node){
        .op = (uint16_t)draft->op,
        .dtype = draft->result->dtype,
        .rank = draft->result->rank,
        .n_inputs = (uint16_t)n_inputs,
        .n_attrs = (uint16_t)n_attrs,
        .inputs = graph->operands.count,
        .dims = graph->words.count,
        .attrs = graph->words.count + rank,
    };
    if (n_inputs)
        memcpy(graph->operands.data + node->inputs, draft->inputs, sizeof(NodeId) * n_inputs);
    int64_t *words = graph->words.data + node->dims;
    memcpy(words, draft->result->dims, sizeof draft->result->dims); /* a fixed size is fast */
    memcpy(words + rank, draft->attrs->words, sizeof(int64_t) * n_attrs);
    node->hash = node_hash(node, graph->operands.data + node->inputs, words);
    return node;
}

/* Finds an equal node or appends the draft. Nothing is counted before the last step that can
 * fail. */
static NodeId append(Graph *graph, const Draft *draft, sn_error *error) {
    NodeId id = graph->nodes.count;
    Node *node = stage(graph, draft);
    if (!node) goto failed;
    if (draft->numbered) {
        Probe probe = {graph, node};
        int64_t found = map_find(&graph->numbering, node->hash, same_node, &probe);
        if (found != MAP_NONE) return (NodeId)found;
        if (!map_insert(&graph->numbering, node->hash, id)) goto failed;
    }
    SN_ASSERT(node->inputs == graph->operands.count && node->dims == graph->words.count);
    node->site = intern_site(graph, draft->site, draft->op);
    graph->operands.count += node->n_inputs;
    graph->words.count += (uint32_t)node->rank + node->n_attrs;
    graph->nodes.count++;
    return id;
failed:
    error_memory(error);
    return NODE_NONE;
}

/* ---- emitting -------------------------------------------------------------------------------- */

/* Copies of operands and their types: the caller's array may lie in graph->operands, which
 * moves. */
typedef struct Operands {
    NodeId *ids;                        /* few_ids, or the heap when there are many */
    TensorType *types;                  /* few_types, or the heap */
    NodeId few_ids[FEW_OPERANDS];       /* room for ordinary ops */
    TensorType few_types[FEW_OPERANDS]; /* their types */
} Operands;

static void operands_free(Operands *operands) {
    if (operands->ids != operands->few_ids) mem_free(operands->ids);
    if (operands->types != operands->few_types) mem_free(operands->types);
}

static sn_status operands_fill(Operands *operands, const Graph *graph, OpCode op,
                               const NodeId *inputs, int32_t n_inputs, sn_error *error) {
    operands->ids = operands->few_ids;
    operands->types = operands->few_types;
    if (n_inputs < 0 || n_inputs > UINT16_MAX)
        return error_set(error, SN_ERROR_ARGUMENT, "%s: %d operands", op_info[op].name, n_inputs);
    if (n_inputs > FEW_OPERANDS) {
        operands->ids = mem_alloc(sizeof(NodeId) * (size_t)n_inputs);
        operands->types = mem_alloc(sizeof(TensorType) * (size_t)n_inputs);
        if (!operands->ids || !operands->types) return error_memory(error);
    }
    for (int32_t i = 0; i < n_inputs; i++) {
        NodeId id = inputs[i];
        operands->ids[i] = id;
        if (id == NODE_NONE) {
            operands->types[i] = (TensorType){.rank = RANK_ABSENT};
        } else if (id < graph->nodes.count) {
            node_type_to(graph, id, &operands->types[i]);
        } else {
            return error_set(error, SN_ERROR_ARGUMENT, "%s: operand %d is no node of the graph",
                             op_info[op].name, i);
        }
    }
    return SN_OK;
}

/* Inputs and constants carry a type that is no attribute; kernel ops are not for graphs. */
static sn_status check_op(OpCode op, const AttrList *attrs, sn_error *error) {
    if ((uint32_t)op >= OP_COUNT) return error_set(error, SN_ERROR_ARGUMENT, "no such op");
    if (op_is_given_type(op) || op_is(op, CLASS_KERNEL))
        return error_set(error, SN_ERROR_ARGUMENT, "%s: not an op that graph_emit makes",
                         op_info[op].name);
    if (attrs && (attrs->count < 0 || attrs->count > ATTR_MOST))
        return error_set(error, SN_ERROR_ARGUMENT, "%s: too many attribute values",
                         op_info[op].name);
    return SN_OK;
}

NodeId graph_emit_inferred(Graph *graph, OpCode op, const NodeId *inputs, int32_t n_inputs,
                           const AttrList *attrs, const TensorType *result, Site site,
                           sn_error *error) {
    Draft draft = {
        .op = op,
        .n_inputs = n_inputs,
        .inputs = inputs,
        .attrs = attrs,
        .result = result,
        .site = site,
        .numbered = !op_has(op, F_NO_VN) && !op_is(op, CLASS_RANDOM),
    };
    return append(graph, &draft, error);
}

static NodeId infer_fold_append(Graph *graph, OpCode op, const Operands *operands, int32_t n_inputs,
                                AttrList *attrs, Site site, sn_error *error) {
    TensorType result;
    if (op_infer(graph->table, op, operands->types, n_inputs, attrs, &result, error) != SN_OK)
        return NODE_NONE;
    if (!graph->no_fold) {
        FoldCase c = {graph, op, n_inputs, operands->ids, operands->types, attrs, &result, site};
        NodeId folded = fold_node(&c);
        if (folded != NODE_NONE) return folded;
    }
    return graph_emit_inferred(graph, op, operands->ids, n_inputs, attrs, &result, site, error);
}

NodeId graph_emit(Graph *graph, OpCode op, const NodeId *inputs, int32_t n_inputs,
                  const AttrList *attrs, Site site, sn_error *error) {
    if (check_op(op, attrs, error) != SN_OK) return NODE_NONE;
    Operands operands;
    AttrList copy;
    copy.count = 0;
    if (attrs) attr_copy(&copy, attr_view(op, attrs));
    NodeId id = NODE_NONE;
    if (operands_fill(&operands, graph, op, inputs, n_inputs, error) == SN_OK)
        id = infer_fold_append(graph, op, &operands, n_inputs, &copy, site, error);
    operands_free(&operands);
    return id;
}

static bool type_is_valid(DimTable *table, const TensorType *type) {
    if (type->dtype >= SN_DTYPE_COUNT || type->rank > SN_MAX_RANK) return false;
    for (uint32_t i = 0; i < type->rank; i++)
        if (dim_is_number(type->dims[i]) && type->dims[i].word < 0) return false;
    Dim count = dims_count(table, type->dims, type->rank);
    return !dim_is_number(count) || count.word >= 0;
}

static bool strides_are_dims(const DimTable *table, const Dim *strides, int32_t rank) {
    for (int32_t i = 0; i < rank; i++)
        if (!number_is_dim(strides[i].word) && !dims_has(table, strides[i])) return false;
    return true;
}

NodeId graph_input(Graph *graph, const TensorType *type, const Dim *strides, Site site,
                   sn_error *error) {
    if (!type_is_valid(graph->table, type)) {
        error_set(error, SN_ERROR_SHAPE, "input: bad type or too many elements");
        return NODE_NONE;
    }
    if (strides && !strides_are_dims(graph->table, strides, type->rank)) {
        error_set(error, SN_ERROR_ARGUMENT, "input: a stride is out of range");
        return NODE_NONE;
    }
    if (!vec_reserve(&graph->inputs, 1)) {
        error_memory(error);
        return NODE_NONE;
    }
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, graph->inputs.count);
    attr_add_dims(&attrs, strides, strides ? type->rank : 0);
    Draft draft = {.op = OP_INPUT, .attrs = &attrs, .result = type, .site = site};
    NodeId id = append(graph, &draft, error);
    if (id != NODE_NONE) graph->inputs.data[graph->inputs.count++] = id;
    return id;
}

NodeId graph_generator(Graph *graph, Site site, sn_error *error) {
    TensorType type = {.dtype = SN_I64, .rank = 1, .strength = STRENGTH_FULL, .dims = {{2}}};
    return graph_input(graph, &type, NULL, site, error);
}

/* Two hoisted constants with the same bits now may differ in the next call, so they stay apart where the
 * graph is recorded. What is made of the record is for these bits, and they are one. */
NodeId graph_constant(Graph *graph, sn_dtype dtype, GraphConst constant, Site site,
                      sn_error *error) {
    AttrList attrs;
    attrs.count = 0;
    attr_add_int(&attrs, constant.word);
    attr_add_int(&attrs, constant.kind);
    attr_add_int(&attrs, constant.weak);
    TensorType type = {.dtype = (uint8_t)dtype, .rank = 0};
    Draft draft = {.op = OP_CONST,
                   .attrs = &attrs,
                   .result = &type,
                   .site = site,
                   .numbered = constant.kind != CONST_HOISTED || !graph->no_fold};
    return append(graph, &draft, error);
}

NodeId graph_const(Graph *graph, sn_dtype dtype, uint64_t bits, bool hoist, bool weak, Site site,
                   sn_error *error) {
    if ((uint32_t)dtype >= SN_DTYPE_COUNT) {
        error_set(error, SN_ERROR_DTYPE, "const: no such dtype");
        return NODE_NONE;
    }
    uint64_t element = 0; /* through memory and back: one pattern a value */
    dtype_store(dtype, &element, bits);
    GraphConst constant = {(int64_t)dtype_load(dtype, &element), hoist, weak};
    return graph_constant(graph, dtype, constant, site, error);
}

NodeId graph_size(Graph *graph, sn_dtype dtype, Dim size, Site site, sn_error *error) {
    return graph_constant(graph, dtype, (GraphConst){size.word, CONST_SIZE, false}, site, error);
}

NodeId graph_scalar(Graph *graph, sn_dtype dtype, uint32_t number, bool weak, Site site,
                    sn_error *error) {
    return graph_constant(graph, dtype, (GraphConst){number, CONST_SCALAR, weak}, site, error);
}

NodeId graph_real(Graph *graph, sn_dtype dtype, uint32_t number, Site site, sn_error *error) {
    return graph_constant(graph, dtype, (GraphConst){number, CONST_REAL, false}, site, error);
}

bool graph_output(Graph *graph, NodeId node, int32_t writes_input) {
    if (node >= graph->nodes.count || writes_input < -1) return false;
    if (writes_input >= 0 && (uint32_t)writes_input >= graph->inputs.count) return false;
    GraphOutput output = {node, writes_input};
    return vec_push(&graph->outputs, output);
}

/* ---- reading --------------------------------------------------------------------------------- */

void node_type_to(const Graph *graph, NodeId id, TensorType *type) {
    const Node *node = graph_node(graph, id);
    type->dtype = node->dtype;
    type->rank = node->rank;
    type->strength = STRENGTH_FULL;
    if (node->rank == 0) {
        bool weak = node_is_const(node) && attr_bool(node_attrs(graph, node), ATTR_WEAK);
        type->strength = weak ? STRENGTH_WEAK : STRENGTH_ZERO_DIM;
    }
    const Dim *dims = node_dims(graph, node);
    for (uint32_t i = 0; i < SN_MAX_RANK; i++) type->dims[i] = i < node->rank ? dims[i] : dim_of(0);
}

TensorType node_type(const Graph *graph, NodeId id) {
    TensorType type;
    node_type_to(graph, id, &type);
    return type;
}

Dim node_count(const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    return dims_count(graph->table, node_dims(graph, node), node->rank);
}

bool node_is_empty(const Graph *graph, NodeId id) {
    return dim_is(node_count(graph, id), 0);
}

bool type_is_empty(DimTable *table, const TensorType *type) {
    return dim_is(dims_count(table, type->dims, type->rank), 0);
}

/* ---- equality -------------------------------------------------------------------------------- */

/* Offsets are part of the comparison: nodes are only ever appended, so equal graphs have equal
 * layouts and the flat arrays compare in one go. */
bool graphs_alike(const Graph *a, const Graph *b) {
    if (a->nodes.count != b->nodes.count || a->operands.count != b->operands.count ||
        a->words.count != b->words.count || a->inputs.count != b->inputs.count ||
        a->outputs.count != b->outputs.count)
        return false;
    for (uint32_t i = 0; i < a->nodes.count; i++)
        if (memcmp(&a->nodes.data[i], &b->nodes.data[i], offsetof(Node, site)) != 0) return false;
    for (uint32_t i = 0; i < a->outputs.count; i++) {
        const GraphOutput *x = &a->outputs.data[i], *y = &b->outputs.data[i];
        if (x->node != y->node || x->writes_input != y->writes_input) return false;
    }
    return a->operands.count == 0 ||
           memcmp(a->operands.data, b->operands.data, sizeof(NodeId) * a->operands.count) == 0;
}

bool graph_equal(const Graph *a, const Graph *b) {
    return graphs_alike(a, b) &&
           (a->words.count == 0 ||
            memcmp(a->words.data, b->words.data, sizeof(int64_t) * a->words.count) == 0);
}

bool graphs_same_lines(const Graph *a, const Graph *b) {
    SN_ASSERT(a->nodes.count == b->nodes.count);
    for (NodeId i = 0; i < a->nodes.count; i++) {
        const Node *x = graph_node(a, i), *y = graph_node(b, i);
        if (!op_has((OpCode)x->op, F_FAILS)) continue;
        Site s = a->sites.data[x->site], t = b->sites.data[y->site];
        if (s.line != t.line || strcmp(s.file ? s.file : "", t.file ? t.file : "") != 0)
            return false;
    }
    return true;
}

/* Node hashes hold everything but the outputs: inputs are numbered by an attribute. */
uint64_t graph_hash(const Graph *graph) {
    uint64_t hash = hash_mix(graph->nodes.count, graph->outputs.count);
    for (uint32_t i = 0; i < graph->nodes.count; i++)
        hash = hash_mix(hash, graph->nodes.data[i].hash);
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        GraphOutput output = graph->outputs.data[i];
        hash = hash_mix(hash, (uint64_t)output.node << 32 | (uint32_t)output.writes_input);
    }
    return hash;
}
