/* Graph → text, in the form that graph_parse reads back; see graph.h. A node's line has three
 * columns, what it computes, its type and its source line; a first walk measures them. */
#include "ir/graph/graph.h"
#include "ir/op/literal.h"

enum {
    WIDEST_CODE = 72, /* lines that are longer do not push the columns of the others */
    WIDEST_TYPE = 32
};

static void print_id(StrBuf *out, NodeId id) {
    if (id == NODE_NONE) {
        strbuf_add(out, "none");
        return;
    }
    strbuf_add_char(out, '%');
    strbuf_add_int(out, id);
}

void node_print_type(StrBuf *out, const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    strbuf_add(out, sn_dtype_name((sn_dtype)node->dtype));
    strbuf_add_char(out, '[');
    for (int32_t i = 0; i < node->rank; i++) {
        if (i) strbuf_add_char(out, ',');
        dim_print(out, graph->table, node_dims(graph, node)[i]);
    }
    strbuf_add_char(out, ']');
}

/* A word of an attribute: a number, or an expression. */
static void print_word(StrBuf *out, const Graph *graph, bool is_size, int64_t word) {
    if (is_size)
        dim_print(out, graph->table, (Dim){word});
    else
        strbuf_add_int(out, word);
}

/* One attribute's value; `word` points at its first word. */
static void print_value(StrBuf *out, const Graph *graph, const OpParam *param,
                        const int64_t *word) {
    uint32_t number;
    switch (param->kind) {
    case 'L':
        strbuf_add_char(out, '[');
        for (int64_t i = 0; i < *word; i++) {
            if (i) strbuf_add_char(out, ',');
            print_word(out, graph, param->is_size, word[1 + i]);
        }
        strbuf_add_char(out, ']');
        break;
    case 'd':
        if (attr_is_scalar(*word, &number))
            strbuf_addf(out, "scalar %u", number);
        else
            literal_print(out, SN_F64, (uint64_t)*word);
        break;
    case 'y':
        strbuf_add(out, sn_dtype_name((sn_dtype)*word));
        break;
    default:
        print_word(out, graph, param->is_size, *word);
        break;
    }
}

/* "0.5", "size s0*4", "scalar 0", "real 0" */
static void print_constant(StrBuf *out, const Graph *graph, const Node *node) {
    GraphConst constant = node_const(graph, node);
    if (constant.kind == CONST_SIZE) {
        strbuf_add(out, "size ");
        dim_print(out, graph->table, (Dim){constant.word});
    } else if (constant.kind == CONST_SCALAR || constant.kind == CONST_REAL) {
        strbuf_add(out, constant.kind == CONST_REAL ? "real " : "scalar ");
        strbuf_add_int(out, constant.word);
    } else {
        literal_print(out, (sn_dtype)node->dtype, (uint64_t)constant.word);
    }
}

/* What is 0 or empty is left out, but for dtypes. A constant's value stands in front of its attributes,
 * and says where it comes from. */
static bool attr_is_shown(const OpParam *param, int64_t word) {
    if (param->attr == ATTR_BITS) return false;
    if (param->attr == ATTR_HOIST) return word == CONST_HOISTED;
    return word != 0 || param->kind == 'y';
}

/* " {axes=[0,1], keepdim=1}" */
static void print_attrs(StrBuf *out, const Graph *graph, const Node *node) {
    bool open = false;
    for (AttrWalk at = attr_walk(node_attrs(graph, node)); attr_next(&at);) {
        const int64_t *word = &at.view.words[at.first];
        if (!attr_is_shown(at.param, *word)) continue;
        strbuf_add(out, open ? ", " : " {");
        strbuf_add(out, at.param->name);
        strbuf_add_char(out, '=');
        print_value(out, graph, at.param, word);
        open = true;
    }
    if (open) strbuf_add_char(out, '}');
}

/* "  %3 = sum %2 {axes=[1]}" */
static void print_code(StrBuf *out, const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    const NodeId *inputs = node_inputs(graph, node);
    strbuf_add(out, "  ");
    print_id(out, id);
    strbuf_add(out, " = ");
    strbuf_add(out, op_info[node->op].name);
    if (node_is_const(node)) {
        strbuf_add_char(out, ' ');
        print_constant(out, graph, node);
    }
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        strbuf_add(out, i ? ", " : " ");
        print_id(out, inputs[i]);
    }
    print_attrs(out, graph, node);
}

/* "  ; model.c:12"; control characters in a file's name would end the line. */
static void print_site(StrBuf *out, const Graph *graph, const Node *node, size_t column) {
    Site site = graph->sites.data[node->site];
    if (!site.file || !*site.file) return;
    strbuf_pad_to(out, column);
    strbuf_add(out, "  ; ");
    for (const char *p = site.file; *p; p++)
        strbuf_add_char(out, (unsigned char)*p < ' ' ? '?' : *p);
    strbuf_add_char(out, ':');
    strbuf_add_int(out, site.line);
}

/* Columns of the text. */
typedef struct Columns {
    size_t type; /* where " : type" begins */
    size_t site; /* where "  ; site" begins */
} Columns;

static Columns measure(const Graph *graph, StrBuf *out) {
    StrBuf line = {0};
    size_t code = 0, type = 0;
    for (NodeId id = 0; id < graph->nodes.count; id++) {
        if (node_is_input(graph_node(graph, id))) continue;
        strbuf_clear(&line);
        print_code(&line, graph, id);
        if (line.length > code && line.length <= WIDEST_CODE) code = line.length;
        strbuf_clear(&line);
        node_print_type(&line, graph, id);
        if (line.length > type && line.length <= WIDEST_TYPE) type = line.length;
    }
    if (line.failed) out->failed = true;
    strbuf_free(&line);
    return (Columns){code, code + 3 + type};
}

/* The name as one word; characters that would not read back become '_'. */
static void print_name(StrBuf *out, const char *name) {
    if (!name || !*name) name = "graph";
    for (; *name; name++) {
        char c = *name;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '.';
        strbuf_add_char(out, plain ? c : '_');
    }
}

static void print_return(StrBuf *out, const Graph *graph) {
    strbuf_add(out, "  return");
    for (uint32_t i = 0; i < graph->outputs.count; i++) {
        GraphOutput output = graph->outputs.data[i];
        strbuf_add(out, i ? ", " : " ");
        print_id(out, output.node);
        if (output.writes_input >= 0) {
            strbuf_add(out, " -> ");
            print_id(out, graph->inputs.data[output.writes_input]);
        }
    }
    strbuf_add_char(out, '\n');
}

/* "{4,1}" behind the type of an input that is not dense. */
static void print_strides(StrBuf *out, const Graph *graph, NodeId id) {
    int32_t count;
    const Dim *strides = node_attr_dims(graph, id, ATTR_STRIDES, &count);
    if (!count) return;
    for (int32_t i = 0; i < count; i++) {
        strbuf_add_char(out, i ? ',' : '{');
        dim_print(out, graph->table, strides[i]);
    }
    strbuf_add_char(out, '}');
}

/* "[s0 = 32 in 1..]": value at hand and bounds of each symbol. */
static void print_symbols(StrBuf *out, const Graph *graph) {
    const DimTable *table = graph->table;
    for (uint32_t i = 0; table && i < table->symbols.count; i++) {
        Dim symbol = table->symbols.data[i].dim;
        int64_t least = dim_least(table, symbol), most = dim_most(table, symbol);
        strbuf_add(out, i ? ", " : "[");
        dim_print(out, table, symbol);
        strbuf_addf(out, " = %lld in ", (long long)dim_hint(table, symbol));
        if (least != INT64_MIN) strbuf_addf(out, "%lld", (long long)least);
        strbuf_add(out, "..");
        if (most != INT64_MAX) strbuf_addf(out, "%lld", (long long)most);
    }
    if (table && table->symbols.count) strbuf_add_char(out, ']');
}

void graph_print(const Graph *graph, StrBuf *out) {
    Columns columns = measure(graph, out);
    strbuf_add(out, "graph ");
    print_name(out, graph->name);
    print_symbols(out, graph);
    strbuf_add_char(out, '(');
    for (uint32_t i = 0; i < graph->inputs.count; i++) {
        if (i) strbuf_add(out, ", ");
        print_id(out, graph->inputs.data[i]);
        strbuf_add(out, ": ");
        node_print_type(out, graph, graph->inputs.data[i]);
        print_strides(out, graph, graph->inputs.data[i]);
    }
    strbuf_add(out, ") {\n");
    for (NodeId id = 0; id < graph->nodes.count; id++) {
        const Node *node = graph_node(graph, id);
        if (node_is_input(node)) continue;
        print_code(out, graph, id);
        strbuf_pad_to(out, columns.type);
        strbuf_add(out, " : ");
        node_print_type(out, graph, id);
        print_site(out, graph, node, columns.site);
        strbuf_add_char(out, '\n');
    }
    print_return(out, graph);
    strbuf_add(out, "}\n");
}
