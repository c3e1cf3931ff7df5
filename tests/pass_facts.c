/* Facts about a run of the passes; see pass_facts.h. */
#include "pass_facts.h"

#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

const PassFactKind pass_fact_kinds[] = {
    {"after", NULL},      {"gone after", NULL}, {"role", "fuse"},   {"stored", "fuse"},
    {"refused", "fuse"},  {"step", "plan"},     {"memory", "plan"}, {"kernels", "lower"},
    {"program", "lower"}, {"kernel", "lower"},  {"guards", "fuse"}, {"tile", "tile"},
    {NULL, NULL},
};

/* What the observer of a run adds to. */
typedef struct Run {
    PassFacts *facts;       /* the result */
    PassCoverage *coverage; /* the same; may be NULL */
    bool had[OP_COUNT];     /* ops of the graph before the pass that just ran */
    bool failed;            /* out of memory */
} Run;

static void add_fact(Run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_fact(Run *run, const char *format, ...) {
    StrBuf text = {0};
    va_list args;
    va_start(args, format);
    strbuf_vaddf(&text, format, args);
    va_end(args);
    char *line = strbuf_take(&text);
    if (line && vec_push(&run->facts->lines, line)) return;
    mem_free(line);
    run->failed = true;
}

/* Each line of a text as a fact "HEAD: line", blanks joined and source lines left out. */
static void add_lines(Run *run, const char *head, const char *text) {
    while (*text) {
        StrBuf line = {0};
        for (; *text && *text != '\n' && *text != ';'; text++) {
            if (*text != ' ')
                strbuf_add_char(&line, *text);
            else if (line.length && text[1] != ' ' && text[1] != '\n' && text[1] != ';')
                strbuf_add_char(&line, ' ');
        }
        while (*text && *text++ != '\n') {
        }
        add_fact(run, "%s: %s", head, strbuf_text(&line));
        strbuf_free(&line);
    }
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static void find_ops(const Graph *graph, bool *ops) {
    for (NodeId i = 0; i < graph->nodes.count; i++) ops[graph_node(graph, i)->op] = true;
}

static void add_graph(Run *run, const char *pass, const Graph *graph) {
    bool has[OP_COUNT] = {0};
    StrBuf text = {0}, head = {0};
    graph_print(graph, &text);
    strbuf_addf(&head, "after %s", pass);
    add_lines(run, strbuf_text(&head), strbuf_text(&text));
    strbuf_free(&text);
    strbuf_free(&head);
    find_ops(graph, has);
    for (uint32_t op = 0; op < OP_COUNT; op++)
        if (run->had[op] && !has[op]) add_fact(run, "gone after %s: %s", pass, op_info[op].name);
    memcpy(run->had, has, sizeof has);
}

/* ---- fuse ------------------------------------------------------------------------------------ */

static void add_roles(Run *run, const PassContext *context) {
    static const char *const words[] = {"leaf", "view", "inline", "member"};
    StrBuf stored = {0};
    for (NodeId i = 0; i < context->graph.nodes.count; i++) {
        uint8_t role = context->fusion.roles[i];
        add_fact(run, "role %%%u: %s", i, words[role]);
        if (context->fusion.materialized[i]) strbuf_addf(&stored, " %%%u", i);
        if (run->coverage) run->coverage->roles[role] = true;
    }
    add_fact(run, "stored:%s", stored.length ? strbuf_text(&stored) : " nothing");
    strbuf_free(&stored);
}

static void add_refusals(Run *run, const Program *program) {
    for (uint32_t i = 0; i < program->notes.count; i++) {
        StrBuf text = {0};
        fusion_note_print(&program->notes.data[i], &text);
        add_fact(run, "refused: %s", strbuf_text(&text));
        strbuf_free(&text);
    }
}

static void add_guards(Run *run, const DimTable *table) {
    if (!table) return;
    if (table->failed) add_fact(run, "guards: sizes cannot vary");
    for (uint32_t i = 0; i < table->guards.count; i++) {
        StrBuf text = {0};
        dim_print_guard(&text, table, &table->guards.data[i]);
        add_fact(run, "guards: %s", strbuf_text(&text));
        strbuf_free(&text);
    }
    if (!table->failed && !table->guards.count) add_fact(run, "guards: nothing");
}

/* ---- plan ------------------------------------------------------------------------------------ */

/* "over [64, 512, 1] row": the iteration space of a group. */
static void print_space(StrBuf *out, const DimTable *table, const Group *group) {
    static const char *const orders[REDUCE_ORDER_COUNT] = {"",      " row",  " column",
                                                           " tree", " free", " chain"};
    const Dim sizes[3] = {group->a, group->k, group->b};
    for (int32_t i = 0; i < 3; i++) {
        strbuf_add(out, i ? ", " : " over [");
        dim_print(out, table, sizes[i]);
    }
    strbuf_addf(out, "]%s%s", orders[group->order], group->sequential ? " sequential" : "");
}

static void add_step(Run *run, const PassContext *context, uint32_t i) {
    const PlanStep *step = &context->plan.steps.data[i];
    StrBuf text = {0};
    if (step->kind == PLAN_GROUP) {
        const Group *group = &context->fusion.groups.data[step->group];
        strbuf_add(&text, "group");
        for (uint32_t m = 0; m < group->members.count; m++)
            strbuf_addf(&text, " %%%u", group->members.data[m]);
        print_space(&text, context->graph.table, group);
        if (run->coverage) run->coverage->orders[group->order] = true;
    } else if (step->kind == PLAN_CHECK) {
        strbuf_addf(&text, "check %%%u", step->node);
    } else {
        strbuf_addf(&text, "copy %%%u to %%%u", step->node,
                    context->program->buffers.data[step->target].node);
    }
    if (step->commit) strbuf_add(&text, " unless an earlier op failed");
    add_fact(run, "step %u: %s", i, strbuf_text(&text));
    strbuf_free(&text);
}

/* Which memory each value lies in: its own, or that of the value that lay there first. */
static void add_memory(Run *run, const PassContext *context) {
    static const char *const kinds[] = {"input", "result", "temporary"};
    for (NodeId i = 0; i < context->graph.nodes.count; i++) {
        int32_t number = context->plan.buffer_of[i];
        if (number == NO_BUFFER) continue;
        const Buffer *buffer = &context->program->buffers.data[number];
        if (run->coverage) run->coverage->buffers[buffer->kind] = true;
        if (buffer->node == i)
            add_fact(run, "memory %%%u: %s", i, kinds[buffer->kind]);
        else
            add_fact(run, "memory %%%u: that of %%%u", i, buffer->node);
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

static void observe(void *user, const char *pass, const PassContext *context) {
    Run *run = user;
    if (strcmp(pass, "plan") == 0) {
        for (uint32_t i = 0; i < context->plan.steps.count; i++) add_step(run, context, i);
        add_memory(run, context);
    } else if (strcmp(pass, "fuse") == 0) {
        add_roles(run, context);
        add_refusals(run, context->program);
        if (!context->program->notes.count) add_fact(run, "refused: nothing");
        if (run->coverage) find_ops(&context->graph, run->coverage->ops);
    } else if (strcmp(pass, "lower") != 0 && strcmp(pass, "tile") != 0) {
        add_graph(run, pass, &context->graph);
    }
}

static void add_program(Run *run, const Program *program) {
    StrBuf text = {0};
    program_print(program, program->numbers.data, &text);
    add_lines(run, "program", strbuf_text(&text) + strlen("program: "));
    for (uint32_t i = 0; i < program->steps.count; i++) {
        const Step *step = &program->steps.data[i];
        StrBuf head = {0};
        strbuf_clear(&text);
        kernel_print(program_kernel(program, &step->launch), &text, NULL);
        strbuf_addf(&head, "kernel %u", i);
        add_lines(run, strbuf_text(&head), strbuf_text(&text));
        strbuf_free(&head);
    }
    add_fact(run, "kernels %u", program->steps.count);
    for (uint32_t i = 0; i < program->tilings.count; i++) {
        const RowTiling *t = &program->tilings.data[i];
        add_fact(run, "tile %u: steps %u to %u, %lld rows of %lld", i, t->first, t->last,
                 (long long)program->numbers.data[t->rows],
                 (long long)program->numbers.data[t->line]);
    }
    if (!program->tilings.count) add_fact(run, "tile: none");
    strbuf_free(&text);
}

static sn_status run_passes(const Graph *graph, const PassRun *how, Run *run, Program *program,
                            sn_error *error) {
    static const Target target = {.cpu = {.isa = ISA_AVX2,
                                          .vector_bits = 256,
                                          .l1_bytes = 32 << 10,
                                          .l2_bytes = 1 << 20,
                                          .l3_bytes = 8 << 20}};
    PipelineOptions options = {.target = &target,
                               .threads = how->threads ? how->threads : 1,
                               .explain = true,
                               .observer = run ? observe : NULL,
                               .user = run};
    return pipeline_run(graph, &options, program, error);
}

/* A graph and its sizes that vary. */
typedef struct Parsed {
    Graph graph;    /* the graph */
    DimTable table; /* its sizes */
} Parsed;

static sn_status parse(Parsed *parsed, const char *text, size_t length, sn_error *error) {
    dims_init(&parsed->table);
    graph_init(&parsed->graph, "graph");
    parsed->graph.table = &parsed->table;
    sn_status status = graph_parse(&parsed->graph, text, length, error);
    if (status == SN_OK && !parsed->table.symbols.count) parsed->graph.table = NULL;
    return status;
}

static void parsed_free(Parsed *parsed) {
    graph_free(&parsed->graph);
    dims_free(&parsed->table);
}

bool pass_facts_of(const char *text, size_t length, const PassRun *how, PassFacts *facts,
                   PassCoverage *coverage, sn_error *error) {
    Run run = {.facts = facts, .coverage = coverage};
    Parsed parsed = {0};
    Program program;
    program_init(&program);
    sn_status status = parse(&parsed, text, length, error);
    if (status == SN_OK) {
        find_ops(&parsed.graph, run.had);
        if (coverage) find_ops(&parsed.graph, coverage->ops);
        status = run_passes(&parsed.graph, how, &run, &program, error);
    }
    if (status == SN_OK) {
        add_guards(&run, parsed.graph.table);
        add_program(&run, &program);
    }
    program_free(&program);
    parsed_free(&parsed);
    if (run.failed) error_memory(error);
    return error->status == SN_OK;
}

void pass_facts_free(PassFacts *facts) {
    for (uint32_t i = 0; i < facts->lines.count; i++) mem_free(facts->lines.data[i]);
    vec_free(&facts->lines);
}
