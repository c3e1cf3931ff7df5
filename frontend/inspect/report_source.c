/* The report's source lines, with the kernels that they went to. Where a file is not at hand, the ops
 * that each line recorded stand in its place. */
#include "frontend/inspect/html.h"
#include "frontend/inspect/report_parts.h"
#include "frontend/inspect/source_text.h"

#include <stdlib.h>
#include <string.h>

enum {
    LINES_AROUND = 2, /* source lines shown before and behind those that recorded something */
    OPS_SHOWN = 6     /* of a line whose text is not at hand */
};

typedef enum ItemKind { ITEM_OP, ITEM_STEP } ItemKind;

/* Something that a line came to. */
typedef struct Item {
    Site site;     /* the line */
    ItemKind kind; /* a recorded op, or a step */
    int32_t value; /* its node, or its number; -1: ops without a step of their own */
} Item;

typedef VEC(Item) Items;

static int compare_items(const void *x, const void *y) {
    const Item *a = x, *b = y;
    int files = strcmp(a->site.file, b->site.file);
    if (files) return files;
    if (a->site.line != b->site.line) return a->site.line < b->site.line ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    return (a->value > b->value) - (a->value < b->value);
}

static bool add_item(Items *items, Site site, ItemKind kind, int32_t value) {
    return !site.file || site.line < 1 || vec_push(items, ((Item){site, kind, value}));
}

/* All of them, by file and line. */
static bool find_items(const Report *r, const PassContext *context, Items *items) {
    const Graph *recorded = compiled_graph_recorded(r->latest->instance->graph);
    const Graph *fused = &context->graph;
    bool ok = true;
    for (NodeId i = 0; i < recorded->nodes.count && ok; i++) {
        const Node *node = graph_node(recorded, i);
        bool source = op_is((OpCode)node->op, CLASS_SOURCE);
        ok = source || add_item(items, recorded->sites.data[node->site], ITEM_OP, (int32_t)i);
    }
    for (NodeId i = 0; i < fused->nodes.count && ok; i++) {
        const Node *node = graph_node(fused, i);
        int32_t step = report_step(r, context, i);
        ok = step < 0 || add_item(items, fused->sites.data[node->site], ITEM_STEP, step);
    }
    if (ok && items->count) qsort(items->data, items->count, sizeof *items->data, compare_items);
    return ok;
}

static bool same_line(const Item *x, const Item *y) {
    return x->site.line == y->site.line && strcmp(x->site.file, y->site.file) == 0;
}

/* "matmul f32[3,6], add f32[3,6]": the recorded ops among the items of a line. */
static void write_ops(const Report *r, const Item *items, uint32_t count, StrBuf *out) {
    const Graph *graph = compiled_graph_recorded(r->latest->instance->graph);
    uint32_t ops = 0;
    while (ops < count && items[ops].kind == ITEM_OP) ops++;
    for (uint32_t i = 0; i < ops && i < OPS_SHOWN; i++) {
        StrBuf type = {0};
        node_print_type(&type, graph, (NodeId)items[i].value);
        strbuf_addf(out, "%s%s ", i ? ", " : "",
                    op_info[graph_node(graph, (NodeId)items[i].value)->op].name);
        html_escape_text(out, &type);
        strbuf_free(&type);
    }
    if (ops > OPS_SHOWN) strbuf_addf(out, " and %u more", ops - OPS_SHOWN);
}

static void write_marks(const Item *items, uint32_t count, StrBuf *out) {
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].kind != ITEM_STEP || (i && items[i].value == items[i - 1].value)) continue;
        html_mark(out, items[i].value);
    }
}

static void begin_line(StrBuf *out, int32_t line) {
    strbuf_addf(out, "<div><span class=\"no\">%d</span><code>", (int)line);
}

static void end_line(StrBuf *out) {
    strbuf_add(out, "</span></div>\n");
}

/* Without the file: the lines that recorded something. */
static void write_bare(const Report *r, const Item *items, uint32_t count) {
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && same_line(&items[end], &items[i]); end++) continue;
        begin_line(r->out, items[i].site.line);
        write_ops(r, items + i, end - i, r->out);
        strbuf_add(r->out, "</code><span>");
        write_marks(items + i, end - i, r->out);
        end_line(r->out);
    }
}

/* Is the line close to one that recorded something? `at`: the first item that is not before it. */
static bool is_near(const Item *items, uint32_t count, uint32_t at, int32_t line) {
    return (at < count && items[at].site.line - LINES_AROUND <= line) ||
           (at > 0 && items[at - 1].site.line + LINES_AROUND >= line);
}

/* With it: those lines, and some around them. */
static void write_lines(const Report *r, const Item *items, uint32_t count, const char *text) {
    uint32_t at = 0;
    int32_t shown = 0, last = items[count - 1].site.line;
    for (int32_t line = 1; *text && line <= last + LINES_AROUND; line++) {
        size_t length = strcspn(text, "\n"), bytes = length;
        if (bytes && text[bytes - 1] == '\r') bytes--;
        uint32_t end = at;
        while (end < count && items[end].site.line <= line) end++;
        if (is_near(items, count, at, line)) {
            if (shown && shown != line - 1) strbuf_add(r->out, "<div class=\"gap\">⋯</div>\n");
            begin_line(r->out, line);
            html_escape(r->out, text, bytes);
            strbuf_add(r->out, "</code><span>");
            write_marks(items + at, end - at, r->out);
            end_line(r->out);
            shown = line;
        }
        at = end;
        text += length + (text[length] == '\n');
    }
}

static void write_file(const Report *r, const Item *items, uint32_t count) {
    StrBuf text = {0};
    bool there = source_read(items->site.file, &text);
    strbuf_add(r->out, "<p><code>");
    html_escape(r->out, items->site.file, SIZE_MAX);
    strbuf_add(r->out, there
                           ? "</code></p>\n"
                           : "</code> <span class=\"dim\">is not at hand: the ops that each of its "
                             "lines recorded</span></p>\n");
    strbuf_add(r->out, "<div class=\"src\">\n");
    if (there)
        write_lines(r, items, count, strbuf_text(&text));
    else
        write_bare(r, items, count);
    strbuf_add(r->out, "</div>\n");
    strbuf_free(&text);
}

void report_source(const Report *r, const PassContext *context) {
    Items items = {0};
    html_heading(r->out, "Source");
    if (!find_items(r, context, &items)) r->out->failed = true;
    for (uint32_t i = 0, end; i < items.count; i = end) {
        for (end = i + 1; end < items.count; end++)
            if (strcmp(items.data[end].site.file, items.data[i].site.file) != 0) break;
        write_file(r, items.data + i, end - i);
    }
    if (!items.count) strbuf_add(r->out, "<p>No op has a source line.</p>\n");
    vec_free(&items);
}
