/* The passes, by files: each of tests/passes/NAME.graph says why it is there, holds a graph, and lists what
 * the passes have to make of it. `test_passes --facts FILE` prints all that could be expected. */
#include "pass_file.h"

#include "ir/graph/fold.h"
#include "passes/fuse/fuse.h"
#include "passes/rewrite/decompose.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FEWEST_FILES = 60 };

/* A file and what the passes make of it. */
typedef struct Case {
    char *path;      /* owned */
    char *text;      /* owned */
    PassFile file;   /* refers to the two */
    PassFacts facts; /* of its graph */
} Case;
typedef VEC(Case) CaseList;

static CaseList cases;        /* of tests/passes, by name */
static PassCoverage coverage; /* of all of them */

/* ---- files ----------------------------------------------------------------------------------- */

/* All of a file, with a NUL behind it; NULL if there is none. */
static char *read_all(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    StrBuf text = {0};
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
        strbuf_add_bytes(&text, block, n);
    fclose(file);
    *length = text.length;
    return strbuf_take(&text);
}

/* Reads and runs one file; what is wrong goes to `why`. */
static bool open_case(Case *c, const char *path, StrBuf *why) {
    size_t length = 0;
    sn_error error = {0};
    *c = (Case){.path = mem_strdup(path), .text = read_all(path, &length)};
    if (!c->text) {
        strbuf_addf(why, "%s: there is no such file\n", path);
        return false;
    }
    if (!pass_file_read(&c->file, c->path, c->text, length, why)) return false;
    if (pass_facts_of(c->text, length, &c->file.run, &c->facts, &coverage, &error)) return true;
    strbuf_addf(why, "%s: %s\n", path, error.text);
    return false;
}

static void close_case(Case *c) {
    pass_file_free(&c->file);
    pass_facts_free(&c->facts);
    mem_free(c->path);
    mem_free(c->text);
}

static int is_graph(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 6 && strcmp(entry->d_name + length - 6, ".graph") == 0;
}

/* All files of a folder; false, and why, when one of them is wrong or there are too few. */
static bool open_folder(const char *folder, uint32_t fewest, CaseList *list, StrBuf *why) {
    struct dirent **entries;
    int count = scandir(folder, &entries, is_graph, alphasort);
    if (count < 0) {
        strbuf_addf(why, "%s: there is no such folder\n", folder);
        return false;
    }
    bool ok = true;
    for (int i = 0; i < count; i++) {
        char path[1024];
        Case c;
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        ok = open_case(&c, path, why) && ok;
        if (!vec_push(list, c)) abort();
        free(entries[i]);
    }
    free(entries);
    if (list->count < fewest)
        strbuf_addf(why, "%s: %u files, and there should be %u\n", folder, list->count, fewest);
    return ok && list->count >= fewest;
}

static void close_folder(CaseList *list) {
    for (uint32_t i = 0; i < list->count; i++) close_case(&list->data[i]);
    vec_free(list);
}

/* Fails the test with what was written down, unless that is nothing. */
static void assert_nothing_wrong(StrBuf *why) {
    if (!why->length) return;
    fputs(strbuf_text(why), stderr); /* cmocka cuts its own messages short */
    strbuf_free(why);
    fail();
}

/* ---- the files hold -------------------------------------------------------------------------- */

static void every_file_is_read(void **state) {
    (void)state;
    StrBuf why = {0};
    open_folder(SN_TESTS_DIR "/passes", FEWEST_FILES, &cases, &why);
    assert_nothing_wrong(&why);
}

static void every_expectation_holds(void **state) {
    (void)state;
    StrBuf why = {0};
    for (uint32_t i = 0; i < cases.count; i++)
        pass_file_holds(&cases.data[i].file, &cases.data[i].facts, &why);
    assert_nothing_wrong(&why);
}

/* ---- the files are complete ------------------------------------------------------------------ */

/* Does some file expect a fact of this form? */
static bool is_expected(const char *pattern) {
    bool found = false;
    for (uint32_t i = 0; i < cases.count && !found; i++)
        for (uint32_t j = 0; j < cases.data[i].file.expects.count && !found; j++)
            found = pass_fact_matches(pattern, cases.data[i].file.expects.data[j].fact);
    return found;
}

static void want(bool there, StrBuf *why, const char *what, const char *name) {
    if (!there) strbuf_addf(why, "no file of tests/passes has %s: %s\n", what, name);
}

static void every_pass_is_expected_of(void **state) {
    (void)state;
    StrBuf why = {0}, pattern = {0};
    for (const Pass *pass = pass_pipeline; pass->name; pass++) {
        bool found = false;
        for (const PassFactKind *kind = pass_fact_kinds; kind->word && !found; kind++) {
            strbuf_clear(&pattern);
            if (!kind->pass)
                strbuf_addf(&pattern, "…after %s: …", pass->name);
            else if (strcmp(kind->pass, pass->name) == 0)
                strbuf_addf(&pattern, "%s…", kind->word);
            found = pattern.length && is_expected(strbuf_text(&pattern));
        }
        want(found, &why, "an expectation of the pass", pass->name);
    }
    strbuf_free(&pattern);
    assert_nothing_wrong(&why);
}

static void every_refusal_is_expected(void **state) {
    (void)state;
    StrBuf why = {0}, pattern = {0};
#define R(id, text)                                                                                \
    strbuf_clear(&pattern);                                                                        \
    strbuf_addf(&pattern, "refused: …: %s", text);                                                 \
    want(REFUSE_##id == REFUSE_NONE || is_expected(strbuf_text(&pattern)), &why, "the refusal",    \
         text);
    FUSE_REFUSALS(R)
#undef R
    strbuf_free(&pattern);
    assert_nothing_wrong(&why);
}

static void every_fold_is_expected(void **state) {
    (void)state;
    StrBuf why = {0}, pattern = {0};
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        if (!fold_functions[op]) continue;
        strbuf_clear(&pattern);
        strbuf_addf(&pattern, "gone after …: %s", op_info[op].name);
        want(is_expected(strbuf_text(&pattern)), &why, "a fold that removes the op",
             op_info[op].name);
    }
    strbuf_free(&pattern);
    assert_nothing_wrong(&why);
}

/* Every op but the pointwise ones, which are all alike, unless they have a rule of their own. */
static void every_kind_of_op_order_and_memory_occurs(void **state) {
    (void)state;
    StrBuf why = {0};
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        bool alike = op_is((OpCode)op, CLASS_POINTWISE) && !decompose_rows[op].rule;
        bool retired = op_info[op].shape_rule == SHAPE_RETIRED;
        if (!alike && !retired && !op_is((OpCode)op, CLASS_KERNEL))
            want(coverage.ops[op], &why, "the op", op_info[op].name);
    }
    for (int role = ROLE_LEAF; role <= ROLE_MEMBER; role++) assert_true(coverage.roles[role]);
    for (int order = 0; order < REDUCE_ORDER_COUNT; order++) assert_true(coverage.orders[order]);
    for (int kind = 0; kind <= BUFFER_TEMP; kind++) assert_true(coverage.buffers[kind]);
    assert_nothing_wrong(&why);
}

/* ---- the runner can fail --------------------------------------------------------------------- */

/* Each expectation, with one character of it another: that holds for no graph. */
static void a_changed_expectation_does_not_hold(void **state) {
    (void)state;
    for (uint32_t i = 0; i < cases.count; i++) {
        PassFile *file = &cases.data[i].file;
        for (uint32_t j = 0; j < file->expects.count; j++) {
            char *fact = file->expects.data[j].fact;
            char *last = fact + strlen(fact) - 1, kept = *last;
            StrBuf why = {0};
            if (kept & 0x80) continue; /* of … */
            *last = '?';
            if (pass_file_holds(file, &cases.data[i].facts, &why))
                fail_msg("%s:%d: holds with a ? at its end", file->name,
                         file->expects.data[j].line);
            *last = kept;
            strbuf_free(&why);
        }
    }
}

#define GRAPH                                                                                      \
    "graph f(%0: f32[4,6]) {\n"                                                                    \
    "  %1 = exp %0  : f32[4,6] ; a.c:1\n"                                                          \
    "  %2 = sum %1 {axes=[0], order=2} : f32[6]\n"                                                 \
    "  return %2\n"                                                                                \
    "}\n"

/* A text and what the runner has to say of it; nothing for one that holds. */
typedef struct Planted {
    const char *text; /* a file */
    const char *why;  /* part of the complaint; NULL: there is none */
} Planted;

static const Planted planted[] = {
    {"; Why.\n" GRAPH "; expect kernels 1\n", NULL},
    {"; Why.\n" GRAPH "; with 2 threads\n\n; expect   stored:  %2 \n", NULL},
    {"; Why.\n" GRAPH "; expect after decompose: %1 = exp … : f32[4,6]", NULL},
    {"; Why.\n" GRAPH "; expect kernels 2\n", "t:7: does not hold: kernels 2\n    kernels 1\n"},
    {"; Why.\n" GRAPH "; expect stored: %1\n", "t:7: does not hold: stored: %1\n"
                                               "    stored: %2\n"},
    {"; Why.\n" GRAPH "; expect gone after simplify: exp\n", "t:7: does not hold: gone after"},
    {"; Why.\n" GRAPH "; expect kernel 0: loop k\n; expect kernel 0: loop j\n", "t:8: "},
    {"; Why.\n" GRAPH "; expect role %2: member\n; expect role %2: member\n",
     "t:8: comes too early"},
    {"; Why.\n" GRAPH "; expect kernls 1\n", "t:7: nothing can be expected of 'kernls 1'"},
    {"; Why.\n" GRAPH "; expect after simplfy: x\n", "t:7: nothing can be expected of 'after"},
    {"; Why.\n" GRAPH "; expect gone simplify: exp\n", "t:7: nothing can be expected of 'gone"},
    {"; Why.\n" GRAPH "; expect stored:\n", "t:7: nothing can be expected of 'stored:'"},
    {"; Why.\n" GRAPH "; expects stored: %2\n", "t:7: '; expects stored: %2' is neither"},
    {"; Why.\n" GRAPH "; with 0 threads\n", "t:7: there is no setting '0 threads'"},
    {"; Why.\n" GRAPH "; with 2 threads\n", "t:1: nothing is expected of the graph"},
    {"; Why.\n" GRAPH, "t:1: nothing is expected of the graph"},
    {"; expect stored: %2\n" GRAPH, "t:1: a directive stands below the graph"},
    {GRAPH "; expect stored: %2\n", "t:1: the file does not say what it is for"},
    {"", "t:1: the file does not say what it is for"},
    {"; Why.\ngraph f() {\n  %0 = add %1 : f32[]\n}\n; expect stored: %0\n", "line 3, column 12"},
};

static void planted_mistakes_are_found(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        const char *text = planted[i].text;
        PassFile file;
        PassFacts facts = {0};
        StrBuf why = {0};
        sn_error error = {0};
        if (pass_file_read(&file, "t", text, strlen(text), &why)) {
            if (pass_facts_of(text, strlen(text), &file.run, &facts, NULL, &error))
                pass_file_holds(&file, &facts, &why);
            else
                strbuf_add(&why, error.text);
        }
        const char *said = strbuf_text(&why);
        if (planted[i].why ? !strstr(said, planted[i].why) : *said != 0)
            fail_msg("text %zu: '%s'", i, said);
        pass_file_free(&file);
        pass_facts_free(&facts);
        strbuf_free(&why);
    }
}

static void a_folder_that_is_missing_or_empty_fails(void **state) {
    (void)state;
    static const char *const folders[] = {SN_TESTS_DIR "/no_passes", SN_TESTS_DIR "/outside"};
    for (int i = 0; i < 2; i++) {
        CaseList none = {0};
        StrBuf why = {0};
        assert_false(open_folder(folders[i], 1, &none, &why));
        assert_non_null(strstr(strbuf_text(&why), i ? "0 files" : "no such folder"));
        close_folder(&none);
        strbuf_free(&why);
    }
}

/* ---- passes by themselves -------------------------------------------------------------------- */

/* The name and the files of source lines of a graph that was read from text are its own; they stay while
 * it is replaced by others. */
static void a_pass_keeps_what_a_graph_from_text_owns(void **state) {
    (void)state;
    static const char text[] = "graph model_of_the_text(%0: f32[1048576], %1: f32[4,4]) {\n"
                               "  %2 = sum %0 : f32[] ; a_file_of_the_text.c:7\n"
                               "  %3 = matmul %1, %1 : f32[4,4]\n"
                               "  return %2, %3\n"
                               "}\n";
    sn_error error = {0};
    Program program;
    program_init(&program);
    PassContext context = {.program = &program, .threads = 8, .error = &error};
    graph_init(&context.graph, "graph");
    assert_int_equal(graph_parse(&context.graph, text, strlen(text), &error), SN_OK);
    for (const Pass *pass = pass_pipeline; pass->run != pass_fuse; pass++) {
        StrBuf now = {0};
        assert_int_equal(pass->run(&context), SN_OK);
        graph_print(&context.graph, &now);
        assert_non_null(strstr(strbuf_text(&now), "graph model_of_the_text("));
        assert_non_null(strstr(strbuf_text(&now), "; a_file_of_the_text.c:7"));
        strbuf_free(&now);
    }
    graph_free(&context.graph);
    arena_free(&context.arena);
    program_free(&program);
}

/* What could be expected of the graph in a file, whose directives need not be right yet. */
static int print_facts(const char *path) {
    size_t length = 0;
    char *text = read_all(path, &length);
    PassFile file = {0};
    PassFacts facts = {0};
    StrBuf why = {0};
    sn_error error = {0};
    if (text) pass_file_read(&file, path, text, length, &why);
    if (!text || !pass_facts_of(text, length, &file.run, &facts, NULL, &error))
        fprintf(stderr, "%s: %s\n", path, text ? error.text : "there is no such file");
    for (uint32_t i = 0; i < facts.lines.count; i++) printf("; expect %s\n", facts.lines.data[i]);
    pass_file_free(&file);
    pass_facts_free(&facts);
    strbuf_free(&why);
    mem_free(text);
    return (int)error.status;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_read),
        cmocka_unit_test(every_expectation_holds),
        cmocka_unit_test(every_pass_is_expected_of),
        cmocka_unit_test(every_refusal_is_expected),
        cmocka_unit_test(every_fold_is_expected),
        cmocka_unit_test(every_kind_of_op_order_and_memory_occurs),
        cmocka_unit_test(a_changed_expectation_does_not_hold),
        cmocka_unit_test(planted_mistakes_are_found),
        cmocka_unit_test(a_folder_that_is_missing_or_empty_fails),
        cmocka_unit_test(a_pass_keeps_what_a_graph_from_text_owns),
    };
    if (argc == 3 && strcmp(argv[1], "--facts") == 0) return print_facts(argv[2]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    close_folder(&cases);
    return failed;
}
