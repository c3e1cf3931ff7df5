/* Process replay finds what differs between two builds, and only that. Two builds that differ are played
 * by one that prints a graph, and a copy of its output that is changed. */
#include "tests/replay_compare.h"
#include "tests/replay_graphs.h"
#include "tests/replay_work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char program[] = SN_TESTS_DIR "/../examples/rms.graph";

/* The folders of one test. */
typedef struct Folders {
    char root[32];                              /* a new one in /tmp */
    char older[64], newer[64], words[64];       /* two outputs, and a table */
    char old_file[96], new_file[96], spare[96]; /* of the outputs */
} Folders;

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* Prints the program for both builds. */
static int open_folders(void **state) {
    Folders *f = calloc(1, sizeof *f);
    char graphs_path[96], *file = (char *)program;
    ReplayGraphs graphs = {.count = 0};
    assert_non_null(f);
    strcpy(f->root, "/tmp/replay_XXXXXX");
    assert_non_null(mkdtemp(f->root));
    snprintf(f->older, sizeof f->older, "%s/older", f->root);
    snprintf(f->newer, sizeof f->newer, "%s/newer", f->root);
    snprintf(f->words, sizeof f->words, "%s/words.txt", f->root);
    snprintf(f->old_file, sizeof f->old_file, "%s/graphs/0000.txt", f->older);
    snprintf(f->new_file, sizeof f->new_file, "%s/graphs/0000.txt", f->newer);
    snprintf(f->spare, sizeof f->spare, "%s/graphs/0001.txt", f->older);
    assert_true(replay_graphs_read(&graphs, 1, &file));
    assert_int_equal(graphs.count, 1);
    for (int i = 0; i < 2; i++) {
        const char *folder = i ? f->newer : f->older;
        snprintf(graphs_path, sizeof graphs_path, "%s/graphs", folder);
        assert_int_equal(mkdir(folder, 0777) | mkdir(graphs_path, 0777), 0);
        assert_int_equal(replay_work(&(ReplayWork){graphs_path, 1, 1, 1, 1, replay_graph, &graphs}),
                         0);
    }
    replay_graphs_free(&graphs);
    *state = f;
    return 0;
}

static int close_folders(void **state) {
    Folders *f = *state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", f->root);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static int compare(const Folders *f, const char *words, bool sample) {
    return replay_compare(&(ReplayCompare){{f->older, f->newer}, sample, words, NULL, 2});
}

/* Replaces the first `from` of a file, which has to be there. */
static void change(const char *path, const char *from, const char *to) {
    char *text = replay_read_file(path);
    assert_non_null(text);
    char *at = strstr(text, from);
    assert_non_null(at);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_int_equal(fclose(file), 0);
    free(text);
}

/* Does the report have this line's beginning in it? */
static bool reported(const Folders *f, const char *text) {
    char path[96];
    snprintf(path, sizeof path, "%s/differences.txt", f->newer);
    char *report = replay_read_file(path);
    assert_non_null(report);
    bool found = strstr(report, text) != NULL;
    free(report);
    return found;
}

static void test_one_build_prints_the_same_twice(void **state) {
    assert_int_equal(compare(*state, NULL, false), 0);
    assert_false(reported(*state, "===="));
}

static void test_every_stage_is_printed(void **state) {
    const Folders *f = *state;
    char *text = replay_read_file(f->old_file);
    assert_non_null(text);
    static const char *const wanted[] = {"--- after decompose ---",
                                         "--- after fuse ---",
                                         "--- after plan ---",
                                         "kernel {",
                                         "graph 0: program",
                                         "vmulps",
                                         "__global__"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_non_null(strstr(text, wanted[i]));
    free(text);
}

static void test_a_changed_word_is_found(void **state) {
    const Folders *f = *state;
    change(f->new_file, "rsqrt", "sqrt");
    assert_int_equal(compare(f, NULL, false), 1);
    assert_true(reported(f, "==== graph 0: all"));
    assert_true(reported(f, "\n+  %4 = sqrt %3"));
}

static void test_a_changed_instruction_is_found(void **state) {
    const Folders *f = *state;
    change(f->new_file, "vmulps", "vaddps");
    assert_int_equal(compare(f, NULL, false), 1);
    assert_true(reported(f, "==== graph 0: asm"));
}

static void test_a_renamed_word_is_no_difference(void **state) {
    const Folders *f = *state;
    change(f->new_file, "--- after updates ---", "--- after copied_bases ---");
    write_file(f->words, "# a comment\nupdates copied_bases\nrow line\n");
    assert_int_equal(compare(f, NULL, false), 1);
    assert_int_equal(compare(f, f->words, false), 0);
}

static void test_a_part_of_a_word_is_not_renamed(void **state) {
    const Folders *f = *state;
    change(f->new_file, "rsqrt", "rroot");
    write_file(f->words, "sqrt root\n");
    assert_int_equal(compare(f, f->words, false), 1);
}

static void test_a_known_difference_is_only_counted(void **state) {
    const Folders *f = *state;
    char report[96], known[96];
    snprintf(report, sizeof report, "%s/differences.txt", f->newer);
    snprintf(known, sizeof known, "%s/known.txt", f->root);
    change(f->new_file, "rsqrt", "sqrt");
    assert_int_equal(compare(f, NULL, false), 1);
    assert_int_equal(rename(report, known), 0);
    ReplayCompare again = {{f->older, f->newer}, false, NULL, known, 2};
    assert_int_equal(replay_compare(&again), 0);
    change(f->new_file, "sqrt", "cbrt");
    assert_int_equal(replay_compare(&again), 1);
}

static void test_columns_may_move(void **state) {
    const Folders *f = *state;
    change(f->new_file, " : f32", "     : f32");
    assert_int_equal(compare(f, NULL, false), 0);
}

static void test_a_missing_section_is_found(void **state) {
    const Folders *f = *state;
    change(f->new_file, "==== graph 0: program", "==== graph 0: programme");
    assert_int_equal(compare(f, NULL, false), 1);
    assert_true(reported(f, "==== graph 0: program, in the older build only"));
    assert_true(reported(f, "==== graph 0: programme, in the newer build only"));
}

static void test_a_missing_file_is_found_unless_a_sample_was_printed(void **state) {
    const Folders *f = *state;
    write_file(f->spare, "==== graph 1: all\n");
    assert_int_equal(compare(f, NULL, false), 2);
    assert_int_equal(compare(f, NULL, true), 0);
}

static void test_nothing_to_compare_is_no_success(void **state) {
    const Folders *f = *state;
    assert_int_equal(unlink(f->old_file), 0);
    assert_int_equal(compare(f, NULL, false), 2);
    assert_int_equal(compare(f, NULL, true), 2);
}

/* An item that crashes when it is the second one. */
static void crash_second(int32_t number, FILE *out, void *unused) {
    (void)unused;
    fprintf(out, "item %d\n", (int)number);
    fflush(out);
    if (number == 1) _exit(7);
}

static void test_a_crash_is_output_and_the_rest_goes_on(void **state) {
    const Folders *f = *state;
    char folder[96];
    snprintf(folder, sizeof folder, "%s/graphs", f->newer);
    assert_int_equal(replay_work(&(ReplayWork){folder, 4, 4, 1, 1, crash_second, NULL}), 0);
    char *text = replay_read_file(f->new_file);
    assert_string_equal(text, "item 0\nitem 1\n\n==== item 1: ended the process\nitem 2\nitem 3\n");
    free(text);
}

static void test_ops_that_no_graph_has_are_named(void **state) {
    char *file = (char *)program;
    ReplayGraphs graphs = {.count = 0};
    (void)state;
    assert_true(replay_graphs_read(&graphs, 1, &file));
    assert_false(replay_graphs_cover(&graphs));
    replay_graphs_free(&graphs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, open_folders, close_folders)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(one_build_prints_the_same_twice),
        TEST(every_stage_is_printed),
        TEST(a_changed_word_is_found),
        TEST(a_changed_instruction_is_found),
        TEST(a_renamed_word_is_no_difference),
        TEST(a_part_of_a_word_is_not_renamed),
        TEST(a_known_difference_is_only_counted),
        TEST(columns_may_move),
        TEST(a_missing_section_is_found),
        TEST(a_missing_file_is_found_unless_a_sample_was_printed),
        TEST(nothing_to_compare_is_no_success),
        TEST(a_crash_is_output_and_the_rest_goes_on),
        TEST(ops_that_no_graph_has_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
