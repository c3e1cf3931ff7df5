/* What differs between two recorded graphs, told as the first place where they part, with the program's
 * line: why something was compiled again, or why a function is not what it was recorded as. */
#include "ir/graph/graph.h"
#include "ir/op/literal.h"

static void add_site(StrBuf *out, const Graph *graph, const Node *node) {
    Site site = graph->sites.data[node->site];
    if (site.file && *site.file) strbuf_addf(out, " (%s:%d)", site.file, (int)site.line);
}

static void add_op(StrBuf *out, const Graph *graph, NodeId id) {
    strbuf_add(out, op_info[graph_node(graph, id)->op].name);
    add_site(out, graph, graph_node(graph, id));
}

static bool same_form(const Graph *a, const Graph *b, NodeId id) {
    const Node *x = graph_node(a, id), *y = graph_node(b, id);
    return x->op == y->op && x->dtype == y->dtype && x->rank == y->rank &&
           x->n_inputs == y->n_inputs && x->n_attrs == y->n_attrs;
}

static void add_value(StrBuf *out, const Node *node, char kind, int64_t word) {
    if (node_is_const(node))
        literal_print(out, (sn_dtype)node->dtype, (uint64_t)word);
    else if (kind == 'd')
        literal_print(out, SN_F64, (uint64_t)word);
    else if (kind == 'y')
        strbuf_add(out, sn_dtype_name((sn_dtype)word));
    else
        strbuf_addf(out, "%lld", (long long)word);
}

/* The parameter that an attribute's word belongs to, and its place in a list (0: its length). */
static const OpParam *param_of(const Graph *graph, const Node *node, uint32_t word,
                               int64_t *place) {
    int32_t wanted = (int32_t)(word - node->attrs);
    AttrWalk at = attr_walk(node_attrs(graph, node));
    while (attr_next(&at) && wanted >= at.first + at.count)
        ;
    *place = wanted - at.first;
    return at.count ? at.param : NULL;
}

/* "%0: size of dim 1 was 128, now 96"; "reshape (model.c:41): dims[0] was 128, now 96" */
static void add_word(StrBuf *out, const Graph *known, const Graph *now, NodeId id, uint32_t word) {
    const Node *node = graph_node(now, id);
    int64_t before = known->words.data[word], after = now->words.data[word], place = 0;
    char kind = 'l';
    if (node_is_input(node))
        strbuf_addf(out, "%%%u", id);
    else
        add_op(out, now, id);
    if (word < node->attrs) {
        strbuf_addf(out, ": size of dim %u", word - node->dims);
    } else if (node_is_const(node)) {
        strbuf_add(out, ": its value");
    } else {
        const OpParam *param = param_of(now, node, word, &place);
        strbuf_addf(out, ": %s", param ? param->name : "an attribute");
        if (param && param->kind == 'L' && place) strbuf_addf(out, "[%lld]", (long long)place - 1);
        if (param) kind = param->kind;
    }
    strbuf_add(out, " was ");
    add_value(out, node, kind, before);
    strbuf_add(out, ", now ");
    add_value(out, node, kind, after);
}

static bool differs_in_words(const Graph *known, const Graph *now, NodeId id, StrBuf *out) {
    const Node *a = graph_node(known, id), *b = graph_node(now, id);
    if (a->dims != b->dims) return false;
    for (uint32_t w = b->dims; w < b->dims + b->rank + b->n_attrs; w++) {
        if (known->words.data[w] == now->words.data[w]) continue;
        add_word(out, known, now, id, w);
        return true;
    }
    return false;
}

static bool differs_in_operands(const Graph *known, const Graph *now, NodeId id, StrBuf *out) {
    const Node *a = graph_node(known, id), *b = graph_node(now, id);
    if (b->n_inputs == 0 ||
        memcmp(node_inputs(known, a), node_inputs(now, b), sizeof(NodeId) * b->n_inputs) == 0)
        return false;
    add_op(out, now, id);
    strbuf_add(out, ": its operands are others");
    return true;
}

void graph_difference(const Graph *known, const Graph *now, StrBuf *out) {
    uint32_t count = known->nodes.count < now->nodes.count ? known->nodes.count : now->nodes.count;
    for (NodeId i = 0; i < count; i++) {
        if (!same_form(known, now, i)) {
            add_op(out, now, i);
            strbuf_add(out, " where ");
            add_op(out, known, i);
            strbuf_add(out, " was");
            return;
        }
        if (differs_in_operands(known, now, i, out) || differs_in_words(known, now, i, out)) return;
    }
    if (now->nodes.count != known->nodes.count) {
        bool more = now->nodes.count > known->nodes.count;
        add_op(out, more ? now : known, count);
        strbuf_add(out, more ? " is new" : " is missing");
        return;
    }
    strbuf_add(out, "other values are returned, written or kept");
}
