/* Comparing the output of two builds; see replay_compare.h. */
#include "tests/replay_compare.h"

#include "tests/replay_words.h"
#include "tests/replay_work.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_BYTES = 1024,
    MOST_STAGES = 32,
    MOST_DIFFS = 2000,
    TITLE_BYTES = 200,
    STAGE_BYTES = 32
};

/* Sections of one stage. */
typedef struct StageCount {
    char name[STAGE_BYTES]; /* the stage */
    int32_t compared;       /* sections */
    int32_t differing;      /* of them */
} StageCount;

/* What was compared so far. */
typedef struct Comparison {
    const ReplayCompare *options;     /* what and how */
    ReplayWords words;                /* that were renamed */
    char *known;                      /* text of known differences, or NULL */
    StageCount stages[MOST_STAGES];   /* by first appearance */
    int32_t n_stages;                 /* how many */
    int32_t items, kernels;           /* in the older build's output */
    int64_t bytes;                    /* of the older build's output */
    int32_t differing;                /* sections */
    int32_t differing_items;          /* items with such sections */
    int32_t n_known;                  /* sections whose difference is known */
    char last_item[TITLE_BYTES];      /* that was counted */
    char last_differing[TITLE_BYTES]; /* likewise */
    FILE *report;                     /* differences.txt */
    char report_path[PATH_BYTES];     /* its name */
    bool unreadable;                  /* a file or folder could not be read */
} Comparison;

/* A section of a file: its title's line, then its text. */
typedef struct Section {
    const char *title;   /* behind "==== " */
    size_t title_length; /* without the line's end */
    const char *text;    /* from the next line on */
    size_t length;       /* up to the next section */
} Section;

/* ---- sections -------------------------------------------------------------------------------- */

static const char mark[] = "==== ";

/* The section that begins at or behind `at`; its title is NULL at the end. */
static Section section_at(const char *at) {
    Section s = {NULL, 0, NULL, 0};
    while (at && *at && strncmp(at, mark, strlen(mark)) != 0) {
        at = strchr(at, '\n');
        if (at) at++;
    }
    if (!at || !*at) return s;
    s.title = at + strlen(mark);
    s.title_length = strcspn(s.title, "\n");
    s.text = s.title + s.title_length;
    if (*s.text) s.text++;
    const char *end = s.text;
    while (*end && strncmp(end, mark, strlen(mark)) != 0) {
        const char *next = strchr(end, '\n');
        end = next ? next + 1 : end + strlen(end);
    }
    s.length = (size_t)(end - s.text);
    return s;
}

static bool same_title(const Section *a, const Section *b) {
    return a->title && b->title && a->title_length == b->title_length &&
           memcmp(a->title, b->title, a->title_length) == 0;
}

/* ---- counting -------------------------------------------------------------------------------- */

static StageCount *stage_of(Comparison *c, const Section *s) {
    size_t at = s->title_length;
    while (at > 0 && s->title[at - 1] != ':') at--;
    char name[STAGE_BYTES];
    snprintf(name, sizeof name, "%.*s", (int)(s->title_length - at), s->title + at);
    for (int32_t i = 0; i < c->n_stages; i++)
        if (strcmp(c->stages[i].name, name) == 0) return &c->stages[i];
    StageCount *stage = &c->stages[c->n_stages < MOST_STAGES ? c->n_stages++ : MOST_STAGES - 1];
    snprintf(stage->name, sizeof stage->name, "%s", name);
    return stage;
}

/* Counts the item of a section once: sections of one item lie together. */
static void count_item(const Section *s, char *last, int32_t *count) {
    char item[TITLE_BYTES];
    size_t length = s->title_length;
    while (length > 0 && s->title[length - 1] != ':') length--;
    snprintf(item, sizeof item, "%.*s", (int)length, s->title);
    if (strcmp(item, last) == 0) return;
    strcpy(last, item);
    ++*count;
}

static void count_section(Comparison *c, const Section *s) {
    static const char kernel[] = "\nkernel {";
    count_item(s, c->last_item, &c->items);
    c->bytes += (int64_t)s->length;
    for (const char *at = s->text; (at = strstr(at, kernel)) && at < s->text + s->length; at++)
        c->kernels++;
}

/* ---- differences ----------------------------------------------------------------------------- */

static bool write_section(const char *path, const Comparison *c, const Section *s) {
    FILE *out = fopen(path, "w");
    if (!out) return false;
    replay_words_write(&c->words, s->text, s->length, out);
    return fclose(out) == 0;
}

/* The differing lines, as diff -u has them, to `out`. */
static void write_lines(const Comparison *c, const Section *older, const Section *newer,
                        FILE *out) {
    char paths[2][PATH_BYTES + 16], command[4 * PATH_BYTES], line[4096];
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/section.%s", c->options->folders[1],
                 i ? "new" : "old");
        if (!write_section(paths[i], c, i ? newer : older)) return;
    }
    snprintf(command, sizeof command, "diff -u -b '%s' '%s' | tail -n +3", paths[0], paths[1]);
    FILE *lines = popen(command, "r");
    while (lines && fgets(line, sizeof line, lines)) fputs(line, out);
    if (lines) pclose(lines);
    for (int i = 0; i < 2; i++) unlink(paths[i]);
}

/* What the report has of a section that differs; to be freed. NULL when out of memory. */
static char *describe(const Comparison *c, const Section *older, const Section *newer) {
    const Section *s = older->title ? older : newer;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    fprintf(out, "%s%.*s%s\n", mark, (int)s->title_length, s->title,
            !older->title   ? ", in the newer build only"
            : !newer->title ? ", in the older build only"
                            : "");
    if (older->title && newer->title) write_lines(c, older, newer, out);
    return fclose(out) == 0 ? text : NULL;
}

/* Notes a section that differs, or that one side lacks (its title is NULL). */
static void differ(Comparison *c, const Section *older, const Section *newer) {
    const Section *s = older->title ? older : newer;
    char *text = c->differing < MOST_DIFFS ? describe(c, older, newer) : NULL;
    if (text && c->known && strstr(c->known, text)) {
        c->n_known++;
    } else {
        stage_of(c, s)->differing++;
        count_item(s, c->last_differing, &c->differing_items);
        c->differing++;
        if (text) fputs(text, c->report);
    }
    free(text);
}

static void compare_sections(Comparison *c, const Section *older, const Section *newer) {
    stage_of(c, older)->compared++;
    if (older->length == newer->length && memcmp(older->text, newer->text, older->length) == 0)
        return;
    if (!replay_words_same(&c->words, older->text, older->length, newer->text, newer->length))
        differ(c, older, newer);
}

/* Is there a section of that title at or behind `from`? */
static bool appears(const Section *title, Section from) {
    for (; from.title; from = section_at(from.text + from.length))
        if (same_title(title, &from)) return true;
    return false;
}

static void compare_texts(Comparison *c, const char *older, const char *newer) {
    static const Section none = {NULL, 0, NULL, 0};
    Section a = section_at(older), b = section_at(newer);
    while (a.title || b.title) {
        bool pair = same_title(&a, &b);
        bool skip_newer = !pair && b.title && !(a.title && appears(&b, a));
        if (!skip_newer) count_section(c, &a);
        if (pair)
            compare_sections(c, &a, &b);
        else
            differ(c, skip_newer ? &none : &a, skip_newer ? &b : &none);
        if (!skip_newer) a = section_at(a.text + a.length);
        if (pair || skip_newer) b = section_at(b.text + b.length);
    }
}

/* ---- files and folders ----------------------------------------------------------------------- */

static char *read_side(Comparison *c, int side, const char *name) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", c->options->folders[side], name);
    errno = 0;
    char *text = replay_read_file(path);
    if (text || (side == 1 && c->options->sample && errno == ENOENT)) return text;
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    c->unreadable = true;
    return NULL;
}

static void compare_file(Comparison *c, const char *name) {
    char *older = read_side(c, 0, name), *newer = older ? read_side(c, 1, name) : NULL;
    if (older && newer) compare_texts(c, older, newer);
    free(older);
    free(newer);
}

/* The text files of FOLDER/NAME, or for NAME "" the folders of FOLDER; freed like scandir's. */
static int list(Comparison *c, const char *name, int (*filter)(const struct dirent *),
                struct dirent ***entries) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", c->options->folders[0], name);
    int count = scandir(path, entries, filter, alphasort);
    if (count > 0) return count;
    fprintf(stderr, "replay: %s: nothing to compare\n", path);
    c->unreadable = true;
    return 0;
}

static int is_text(const struct dirent *entry) {
    const char *end = strrchr(entry->d_name, '.');
    return end && strcmp(end, ".txt") == 0;
}

static int is_folder(const struct dirent *entry) {
    return !strchr(entry->d_name, '.') && strcmp(entry->d_name, "tools") != 0 &&
           strcmp(entry->d_name, "done") != 0;
}

static void compare_folder(Comparison *c, const char *folder) {
    struct dirent **files;
    int count = list(c, folder, is_text, &files);
    for (int i = 0; i < count; i++) {
        char name[2 * sizeof files[i]->d_name];
        snprintf(name, sizeof name, "%s/%s", folder, files[i]->d_name);
        compare_file(c, name);
        free(files[i]);
    }
    if (count) free(files);
}

/* ---- the result ------------------------------------------------------------------------------ */

/* The beginning of the report: `show` sections, of each so many lines. */
static void print_beginning(const Comparison *c) {
    enum { LINES = 40 };
    char line[300];
    int32_t sections = 0, lines = 0;
    FILE *report = fopen(c->report_path, "r");
    while (report && fgets(line, sizeof line, report)) {
        if (strncmp(line, mark, strlen(mark)) == 0) {
            lines = 0;
            if (++sections > c->options->show) break;
        }
        if (++lines < LINES) fputs(line, stdout);
        if (lines == LINES) puts("…");
    }
    if (report) fclose(report);
}

static int print_result(const Comparison *c) {
    if (c->differing) print_beginning(c);
    printf("%-10s %9s %9s\n", "stage", "compared", "differing");
    for (int32_t i = 0; i < c->n_stages; i++)
        printf("%-10s %9d %9d\n", c->stages[i].name + strspn(c->stages[i].name, " "),
               (int)c->stages[i].compared, (int)c->stages[i].differing);
    printf("replay: %d programs, %d kernels, %.1f MB compared; %d programs differ\n", (int)c->items,
           (int)c->kernels, (double)c->bytes * 1e-6, (int)c->differing_items);
    if (c->options->known) printf("known differences: %d\n", (int)c->n_known);
    if (c->differing) printf("all differences: %s\n", c->report_path);
    return c->unreadable ? 2 : c->differing > 0;
}

/* The table of words, known differences and the report; false, and why on standard error. */
static bool open_files(Comparison *c) {
    const ReplayCompare *o = c->options;
    if (o->words && !replay_words_read(&c->words, o->words)) return false;
    c->known = o->known ? replay_read_file(o->known) : NULL;
    if (o->known && !c->known) {
        fprintf(stderr, "replay: %s: %s\n", o->known, strerror(errno));
        return false;
    }
    snprintf(c->report_path, sizeof c->report_path, "%s/differences.txt", o->folders[1]);
    c->report = fopen(c->report_path, "w");
    if (!c->report) fprintf(stderr, "replay: %s: %s\n", c->report_path, strerror(errno));
    return c->report;
}

int replay_compare(const ReplayCompare *options) {
    static Comparison comparison;
    Comparison *c = &comparison;
    struct dirent **folders;
    *c = (Comparison){.options = options};
    int status = 2;
    if (open_files(c)) {
        int count = list(c, "", is_folder, &folders);
        for (int i = 0; i < count; i++) {
            compare_folder(c, folders[i]->d_name);
            free(folders[i]);
        }
        if (count) free(folders);
        fclose(c->report);
        status = print_result(c);
    }
    replay_words_free(&c->words);
    free(c->known);
    return status;
}
