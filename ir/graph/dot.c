/* Graph → Graphviz: a record for each node, an ellipse for each input, a double box for each
 * output. */
#include "ir/graph/graph.h"
#include "ir/op/literal.h"

/* Inside a quoted record label these mean something; control characters have no place there. */
static void add_escaped(StrBuf *out, const char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text < ' ') {
            strbuf_add_char(out, ' ');
            continue;
        }
        if (strchr("\"\\{}|<> ", *text)) strbuf_add_char(out, '\\');
        strbuf_add_char(out, *text);
    }
}

/* The graph's name stands in a plain quoted string. */
static void add_quoted(StrBuf *out, const char *text) {
    strbuf_add_char(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') strbuf_add_char(out, '\\');
        strbuf_add_char(out, *text == '\n' ? ' ' : *text);
    }
    strbuf_add_char(out, '"');
}

/* What the node computes: its op, and of a constant its value. */
static void add_title(StrBuf *out, const Graph *graph, const Node *node) {
    strbuf_add(out, op_info[node->op].name);
    if (node_is_input(node))
        strbuf_addf(out, " %lld", (long long)attr_int(node_attrs(graph, node), ATTR_NUMBER));
    if (!node_is_const(node)) return;
    strbuf_add_char(out, ' ');
    literal_print(out, (sn_dtype)node->dtype, (uint64_t)node_const(graph, node).word);
}

static void add_site(StrBuf *out, const Graph *graph, const Node *node) {
    Site site = graph->sites.data[node->site];
    if (!site.file) return;
    strbuf_add_char(out, '|');
    add_escaped(out, site.file);
    strbuf_addf(out, ":%d", site.line);
}

/* n3 [label="{%3 add|f32[2,3]|model.c:12}"] */
static void add_node(StrBuf *out, const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    bool input = node_is_input(node);
    strbuf_addf(out, "  n%u [%slabel=\"%s%%%u ", id, input ? "shape=ellipse, " : "",
                input ? "" : "{", id);
    add_title(out, graph, node);
    strbuf_add(out, input ? "\\n" : "|");
    node_print_type(out, graph, id);
    if (!input) {
        add_site(out, graph, node);
        strbuf_add_char(out, '}');
    }
    strbuf_add(out, "\"];\n");
}

/* An absent operand has no edge; the others carry their position where there is more than one. */
static void add_edges(StrBuf *out, const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        NodeId input = node_inputs(graph, node)[i];
        if (input == NODE_NONE) continue;
        strbuf_addf(out, "  n%u -> n%u", input, id);
        if (node->n_inputs > 1) strbuf_addf(out, " [headlabel=\"%u\"]", i);
        strbuf_add(out, ";\n");
    }
}

static void add_output(StrBuf *out, const Graph *graph, uint32_t number) {
    GraphOutput output = graph->outputs.data[number];
    strbuf_addf(out, "  out%u [shape=box, peripheries=2, label=\"output %u", number, number);
    if (output.writes_input >= 0) strbuf_addf(out, "\\nwrites input %d", output.writes_input);
    strbuf_addf(out, "\"];\n  n%u -> out%u;\n", output.node, number);
}

void graph_print_dot(const Graph *graph, StrBuf *out) {
    strbuf_add(out, "digraph ");
    add_quoted(out, graph->name ? graph->name : "graph");
    strbuf_add(out, " {\n  node [shape=record, fontname=\"monospace\"];\n");
    for (NodeId id = 0; id < graph->nodes.count; id++) add_node(out, graph, id);
    for (NodeId id = 0; id < graph->nodes.count; id++) add_edges(out, graph, id);
    for (uint32_t i = 0; i < graph->outputs.count; i++) add_output(out, graph, i);
    strbuf_add(out, "}\n");
}
