/* The picture of a graph as SVG: rows by the longest way from an input, columns in the order of the
 * nodes. */
#include "frontend/inspect/report_picture.h"

#include "frontend/inspect/html.h"

enum {
    NODE_WIDTH = 156, /* in pixels, as all of it */
    NODE_HEIGHT = 34,
    COLUMN = 172, /* from one node to the next … */
    ROW = 66      /* … and down */
};

/* Place of a group in the order of execution; -1: it has none. */
static int32_t place_of(const Fusion *fusion, int32_t group) {
    for (uint32_t i = 0; group >= 0 && i < fusion->order.count; i++)
        if ((int32_t)fusion->order.data[i] == group) return (int32_t)i;
    return -1;
}

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

/* Inputs and views come just before what first reads them. */
static void pull_down(const PassContext *context, Spot *spots) {
    const Graph *graph = &context->graph;
    for (NodeId i = graph->nodes.count; i-- > 0;) {
        int32_t first = INT32_MAX;
        if (spots[i].row < 0 || context->fusion.group_of[i] != GROUP_NONE) continue;
        for (NodeId j = i + 1; j < graph->nodes.count; j++) {
            const Node *user = graph_node(graph, j);
            for (uint32_t k = 0; k < user->n_inputs; k++)
                if (node_inputs(graph, user)[k] == i && spots[j].row >= 0 && spots[j].row < first)
                    first = spots[j].row;
        }
        if (first != INT32_MAX) spots[i].row = first - 1;
    }
}

/* Columns in the order of the nodes. Returns how many there are. */
static int32_t place_columns(const Graph *graph, Spot *spots, int32_t *rows) {
    int32_t widest = 0;
    *rows = 0;
    for (NodeId i = 0; i < graph->nodes.count; i++) {
        int32_t column = 0;
        if (spots[i].row < 0) continue;
        for (NodeId j = 0; j < i; j++) column += spots[j].row == spots[i].row;
        spots[i].column = column;
        if (column >= widest) widest = column + 1;
        if (spots[i].row >= *rows) *rows = spots[i].row + 1;
    }
    return widest;
}

static void draw_edges(const Graph *graph, const Spot *spots, NodeId id, StrBuf *out) {
    const Node *node = graph_node(graph, id);
    for (uint32_t j = 0; j < node->n_inputs; j++) {
        NodeId input = node_inputs(graph, node)[j];
        if (input == NODE_NONE || spots[input].row < 0) continue;
        int32_t x = spots[input].column * COLUMN + NODE_WIDTH / 2,
                y = spots[input].row * ROW + NODE_HEIGHT + 8,
                to_x = spots[id].column * COLUMN + NODE_WIDTH / 2, to_y = spots[id].row * ROW + 8;
        strbuf_addf(out, "<path d=\"M%d %d C%d %d %d %d %d %d\" fill=\"none\" stroke=\"#bbb\"/>\n",
                    (int)x, (int)y, (int)x, (int)y + 20, (int)to_x, (int)to_y - 20, (int)to_x,
                    (int)to_y);
    }
}

static void draw_node(const PassContext *context, const Spot *spots, NodeId id, StrBuf *out) {
    const Graph *graph = &context->graph;
    const Node *node = graph_node(graph, id);
    int32_t x = spots[id].column * COLUMN, y = spots[id].row * ROW + 8;
    int32_t group = place_of(&context->fusion, context->fusion.group_of[id]);
    bool stored = context->fusion.materialized[id];
    StrBuf type = {0};
    node_print_type(&type, graph, id);
    strbuf_addf(out, "<g><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" ", (int)x,
                (int)y, NODE_WIDTH, NODE_HEIGHT);
    if (group >= 0)
        strbuf_addf(out, "fill=\"hsl(%d 70%% 86%%)\" ", (int)html_hue(group));
    else
        strbuf_add(out, node_is_input(node) ? "fill=\"#fff\" " : "fill=\"#f2f2f2\" ");
    strbuf_addf(out, "stroke=\"%s\"/>", stored ? "#333" : "#ccc");
    strbuf_addf(out, "<text x=\"%d\" y=\"%d\">%%%u %s", (int)x + 6, (int)y + 14, id,
                op_info[node->op].name);
    if (group >= 0) strbuf_addf(out, " · %d", (int)group);
    strbuf_addf(out, "</text><text x=\"%d\" y=\"%d\" fill=\"#555\">", (int)x + 6, (int)y + 28);
    out->failed = out->failed || type.failed;
    html_escape(out, strbuf_text(&type), 22);
    strbuf_add(out, "</text></g>\n");
    strbuf_free(&type);
}

void report_picture(const PassContext *context, StrBuf *out) {
    const Graph *graph = &context->graph;
    Spot *spots = mem_alloc(sizeof *spots * (graph->nodes.count + 1));
    html_heading(out, "Graph");
    if (!spots) out->failed = true;
    if (!spots) return;
    place_rows(context, spots);
    pull_down(context, spots);
    int32_t rows, columns = place_columns(graph, spots, &rows);
    strbuf_addf(out,
                "<p>A colour and the number behind the dot are a kernel; a dark border is a value "
                "that is stored in memory; views and inputs have no colour.</p>\n"
                "<div class=\"scroll\"><svg width=\"%d\" height=\"%d\">\n",
                (int)columns * COLUMN, (int)rows * ROW + 8);
    for (NodeId i = 0; i < graph->nodes.count; i++)
        if (spots[i].row >= 0) draw_edges(graph, spots, i, out);
    for (NodeId i = 0; i < graph->nodes.count; i++)
        if (spots[i].row >= 0) draw_node(context, spots, i, out);
    strbuf_add(out, "</svg></div>\n");
    mem_free(spots);
}
