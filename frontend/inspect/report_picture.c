/* The picture of a graph as SVG: rows by the longest way from an input, columns in the order of the
 * nodes. */
#include "frontend/inspect/html.h"
#include "frontend/inspect/report_parts.h"

#include <string.h>

enum {
    NODE_WIDTH = 156, /* in pixels, as all of it */
    NODE_HEIGHT = 34,
    COLUMN = 172,     /* from one node to the next … */
    ROW = 66,         /* … and down */
    CHARACTERS = 22,  /* of a line in a node */
    NODES_MOST = 1000 /* that a reader, and a browser, can make something of */
};

/* Where a node is drawn. */
typedef struct Spot {
    int32_t column; /* from the left; -1: not placed yet, or not drawn */
    int32_t row;    /* from the top; -1: it is not drawn */
} Spot;

static bool is_drawn(const PassContext *context, NodeId id) {
    return !node_is_const(graph_node(&context->graph, id));
}

/* Rows by the longest way from an input. */
static void place_rows(const PassContext *context, Spot *spots) {
    const Graph *graph = &context->graph;
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        const Node *node = graph_node(graph, i);
        int32_t row = 0;
        for (uint32_t j = 0; j < node->n_inputs; j++) {
            NodeId input = node_inputs(graph, node)[j];
            if (input != NODE_NONE && spots[input].row >= row) row = spots[input].row + 1;
        }
        spots[i] = (Spot){-1, is_drawn(context, i) ? row : -1};
    }
}

/* Inputs and views come just before what first reads them: readers come later, so that theirs are settled. */
static void pull_down(const PassContext *context, Spot *spots) {
    const Graph *graph = &context->graph;
    for (NodeId i = 0; i < graph->nodes.count; i++)
        spots[i].column = INT32_MAX; /* first reader's row */
    for (NodeId i = graph->nodes.count; i-- > 0;) {
        const Node *node = graph_node(graph, i);
        bool free = context->fusion.group_of[i] == GROUP_NONE && spots[i].column != INT32_MAX;
        if (spots[i].row < 0) continue;
        if (free) spots[i].row = spots[i].column - 1;
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            NodeId input = node_inputs(graph, node)[k];
            if (input != NODE_NONE && spots[i].row < spots[input].column)
                spots[input].column = spots[i].row;
        }
    }
}

/* Columns in the order of the nodes. Returns how many there are; false when out of memory. */
static bool place_columns(const Graph *graph, Spot *spots, int32_t *rows, int32_t *columns) {
    *rows = *columns = 0;
    for (NodeId i = 0; i < graph->nodes.count; i++)
        if (spots[i].row >= *rows) *rows = spots[i].row + 1;
    int32_t *taken = mem_calloc((size_t)*rows + 1, sizeof *taken);
    for (NodeId i = 0; taken && i < graph->nodes.count; i++) {
        if (spots[i].row < 0) continue;
        spots[i].column = taken[spots[i].row]++;
        if (spots[i].column >= *columns) *columns = spots[i].column + 1;
    }
    mem_free(taken);
    return taken != NULL;
}

static void draw_edges(const Graph *graph, const Spot *spots, NodeId id, StrBuf *out) {
    const Node *node = graph_node(graph, id);
    for (uint32_t j = 0; j < node->n_inputs; j++) {
        NodeId input = node_inputs(graph, node)[j];
        if (input == NODE_NONE || spots[input].row < 0) continue;
        int32_t x = spots[input].column * COLUMN + NODE_WIDTH / 2,
                y = spots[input].row * ROW + NODE_HEIGHT + 8,
                to_x = spots[id].column * COLUMN + NODE_WIDTH / 2, to_y = spots[id].row * ROW + 8;
        strbuf_addf(out, "<path d=\"M%d %d C%d %d %d %d %d %d\"/>\n", (int)x, (int)y, (int)x,
                    (int)y + 20, (int)to_x, (int)to_y - 20, (int)to_x, (int)to_y);
    }
}

/* "g": in a kernel, "v": a view, "i": an input; "s": stored. */
static void draw_box(const PassContext *context, NodeId id, int32_t step, int32_t x, int32_t y,
                     StrBuf *out) {
    bool input = node_is_input(graph_node(&context->graph, id));
    strbuf_addf(out, "<rect class=\"%c%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\"",
                step >= 0 ? 'g'
                : input   ? 'i'
                          : 'v',
                context->fusion.materialized[id] ? " s" : "", (int)x, (int)y, NODE_WIDTH,
                NODE_HEIGHT);
    if (step >= 0) strbuf_addf(out, " style=\"--h:%d\"", (int)html_hue(step));
    strbuf_add(out, "/>");
}

/* An input's name, or an op's number and name. */
static void add_title(const Report *r, const PassContext *context, NodeId id, StrBuf *out) {
    const Graph *graph = &context->graph;
    const Node *node = graph_node(graph, id);
    uint32_t number = 0;
    if (node_is_input(node)) {
        while (graph->inputs.data[number] != id) number++;
        param_names_input(&r->names, r->latest->instance->graph, number, out);
    } else {
        strbuf_addf(out, "%%%u %s", id, op_info[node->op].name);
    }
}

static void draw_text(StrBuf *out, const char *kind, int32_t x, int32_t y, const StrBuf *text) {
    strbuf_addf(out, "<text%s x=\"%d\" y=\"%d\">", kind, (int)x, (int)y);
    out->failed = out->failed || text->failed;
    html_escape(out, strbuf_text(text), CHARACTERS);
    strbuf_add(out, "</text>");
}

static void draw_node(const Report *r, const PassContext *context, const Spot *spots, NodeId id) {
    int32_t x = spots[id].column * COLUMN, y = spots[id].row * ROW + 8;
    int32_t step = report_step(r, context, id);
    StrBuf title = {0}, type = {0};
    add_title(r, context, id, &title);
    if (step >= 0) strbuf_addf(&title, " · %d", (int)step);
    node_print_type(&type, &context->graph, id);
    strbuf_add(r->out, "<g>");
    draw_box(context, id, step, x, y, r->out);
    draw_text(r->out, "", x + 6, y + 14, &title);
    draw_text(r->out, " class=\"t\"", x + 6, y + 28, &type);
    strbuf_add(r->out, "</g>\n");
    strbuf_free(&title);
    strbuf_free(&type);
}

static void draw(const Report *r, const PassContext *context, Spot *spots) {
    const Graph *graph = &context->graph;
    int32_t rows, columns;
    place_rows(context, spots);
    pull_down(context, spots);
    if (!place_columns(graph, spots, &rows, &columns)) {
        r->out->failed = true;
        return;
    }
    strbuf_addf(
        r->out,
        "<p class=\"dim\">A colour and the number behind the dot are a kernel; a strong border "
        "is a value that is stored in memory; views and inputs have no colour.</p>\n"
        "<div class=\"scroll\"><svg width=\"%d\" height=\"%d\">\n",
        (int)columns * COLUMN, (int)rows * ROW + 8);
    for (NodeId i = 0; i < graph->nodes.count; i++)
        if (spots[i].row >= 0) draw_edges(graph, spots, i, r->out);
    for (NodeId i = 0; i < graph->nodes.count; i++)
        if (spots[i].row >= 0) draw_node(r, context, spots, i);
    strbuf_add(r->out, "</svg></div>\n");
}

void report_picture(const Report *r, const PassContext *context) {
    uint32_t count = context->graph.nodes.count;
    html_heading(r->out, "Graph");
    if (count > NODES_MOST) {
        strbuf_addf(r->out,
                    "<p>It has %u nodes, too many for a picture; <code>sn_dump</code> prints it "
                    "(\"graph\", or \"dot\" for Graphviz).</p>\n",
                    count);
        return;
    }
    Spot *spots = mem_alloc(sizeof *spots * (count + 1));
    if (spots)
        draw(r, context, spots);
    else
        r->out->failed = true;
    mem_free(spots);
}
