/* Files of tests/passes; see pass_file.h. */
#include "pass_file.h"

#include <stdarg.h>
#include <stdio.h>

static bool wrong(const PassFile *file, int32_t line, StrBuf *why, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static bool wrong(const PassFile *file, int32_t line, StrBuf *why, const char *format, ...) {
    strbuf_addf(why, "%s:%d: ", file->name, line);
    va_list args;
    va_start(args, format);
    strbuf_vaddf(why, format, args);
    va_end(args);
    strbuf_add_char(why, '\n');
    return false;
}

/* Takes `word` and a blank behind it off the text. */
static bool take(const char **text, const char *word) {
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0 || (*text)[length] != ' ') return false;
    *text += length + 1;
    return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Is there a pass of this name at the beginning of the text, with ": " and more behind it? */
static bool names_a_pass(const char *text) {
    size_t length = strcspn(text, ":");
    for (const Pass *pass = pass_pipeline; pass->name; pass++)
        if (strlen(pass->name) == length && memcmp(pass->name, text, length) == 0)
            return text[length] == ':' && text[length + 1] == ' ' && text[length + 2] != 0;
    return false;
}

/* "stored: %6", "after decompose: %4 = …" */
static bool is_fact(const char *text) {
    for (const PassFactKind *kind = pass_fact_kinds; kind->word; kind++) {
        size_t length = strlen(kind->word);
        if (strncmp(text, kind->word, length) != 0 || (text[length] != ' ' && text[length] != ':'))
            continue;
        if (kind->pass) return text[length + 1] != 0;
        return text[length] == ' ' && names_a_pass(text + length + 1);
    }
    return false;
}

static bool read_setting(PassFile *file, int32_t line, const char *text, StrBuf *why) {
    int threads = 0, end = 0;
    sscanf(text, "%d threads%n", &threads, &end);
    if (end == 0 || text[end] != 0 || threads < 1)
        return wrong(file, line, why, "there is no setting '%s'", text);
    file->run.threads = threads;
    return true;
}

static bool read_expectation(PassFile *file, int32_t line, const char *text, StrBuf *why) {
    if (!is_fact(text)) return wrong(file, line, why, "nothing can be expected of '%s'", text);
    Expectation expectation = {line, mem_strdup(text)};
    if (expectation.fact && vec_push(&file->expects, expectation)) return true;
    mem_free(expectation.fact);
    return wrong(file, line, why, "out of memory");
}

/* One line, blanks joined: before the graph a reason, behind it a directive. */
static bool read_line(PassFile *file, int32_t line, bool behind, const char *text, StrBuf *why) {
    bool setting = take(&text, "; with"), expects = take(&text, "; expect");
    if (!behind)
        return !(setting || expects) ||
               wrong(file, line, why, "a directive stands below the graph");
    if (*text == 0) return true;
    if (setting) return read_setting(file, line, text, why);
    if (expects) return read_expectation(file, line, text, why);
    return wrong(file, line, why, "'%s' is neither '; with' nor '; expect'", text);
}

/* Appends the line at *at, blanks joined, and goes on to the next. */
static void next_line(const char **at, const char *end, StrBuf *line) {
    for (; *at < end && **at != '\n'; ++*at) {
        bool last = *at + 1 == end || (*at)[1] == '\n' || (*at)[1] == ' ';
        if (**at != ' ' || (line->length && !last)) strbuf_add_char(line, **at);
    }
    if (*at < end) ++*at;
}

bool pass_file_read(PassFile *file, const char *name, const char *text, size_t length,
                    StrBuf *why) {
    *file = (PassFile){.name = name, .text = text, .length = length};
    bool in_graph = false, behind = false, ok = true;
    const char *at = text, *end = text + length;
    if (*text != ';') return wrong(file, 1, why, "the file does not say what it is for");
    for (int32_t line = 1; at < end && ok; line++) {
        StrBuf words = {0};
        next_line(&at, end, &words);
        const char *now = strbuf_text(&words);
        in_graph = in_graph || strncmp(now, "graph ", 6) == 0;
        if (!in_graph || behind) ok = read_line(file, line, behind, now, why);
        behind = behind || (in_graph && strcmp(now, "}") == 0);
        strbuf_free(&words);
    }
    if (ok && !file->expects.count) return wrong(file, 1, why, "nothing is expected of the graph");
    return ok;
}

void pass_file_free(PassFile *file) {
    for (uint32_t i = 0; i < file->expects.count; i++) mem_free(file->expects.data[i].fact);
    vec_free(&file->expects);
}

/* ---- matching -------------------------------------------------------------------------------- */

static const char anything[] = "…";

bool pass_fact_matches(const char *pattern, const char *text) {
    size_t length = strlen(anything);
    if (*pattern == 0) return *text == 0;
    if (strncmp(pattern, anything, length) != 0)
        return *pattern == *text && pass_fact_matches(pattern + 1, text + 1);
    for (;; text++) {
        if (pass_fact_matches(pattern + length, text)) return true;
        if (*text == 0) return false;
    }
}

/* Bytes of a fact's kind: up to its colon, else its first word. */
static size_t kind_length(const char *fact) {
    size_t length = strcspn(fact, ":");
    return fact[length] ? length + 1 : strcspn(fact, " ");
}

static bool same_kind(const char *x, const char *y) {
    size_t length = kind_length(x);
    return length == kind_length(y) && memcmp(x, y, length) == 0;
}

/* The first fact from number `first` on that the expectation describes; the number of facts if none. */
static uint32_t find_fact(const PassFacts *facts, uint32_t first, const char *wanted) {
    while (first < facts->lines.count && !pass_fact_matches(wanted, facts->lines.data[first]))
        first++;
    return first;
}

/* Facts of the same kind, or of the same first word, or all. */
static void show_instead(const PassFacts *facts, const char *wanted, StrBuf *why) {
    size_t word = strcspn(wanted, ": ");
    for (int near = 2; near >= 0; near--) {
        bool any = false;
        for (uint32_t i = 0; i < facts->lines.count; i++) {
            const char *fact = facts->lines.data[i];
            if (near == 2 && !same_kind(fact, wanted)) continue;
            if (near == 1 && strncmp(fact, wanted, word) != 0) continue;
            strbuf_addf(why, "    %s\n", fact);
            any = true;
        }
        if (any) return;
    }
}

bool pass_file_holds(const PassFile *file, const PassFacts *facts, StrBuf *why) {
    bool holds = true;
    for (uint32_t i = 0; i < file->expects.count; i++) {
        const Expectation *e = &file->expects.data[i];
        /* Behind what the one before it of this kind found. */
        uint32_t first = 0;
        for (uint32_t j = 0; j < i; j++)
            if (same_kind(file->expects.data[j].fact, e->fact))
                first = find_fact(facts, first, file->expects.data[j].fact) + 1;
        if (find_fact(facts, first, e->fact) < facts->lines.count) continue;
        bool early = find_fact(facts, 0, e->fact) < facts->lines.count;
        holds = wrong(file, e->line, why, "%s: %s", early ? "comes too early" : "does not hold",
                      e->fact);
        show_instead(facts, e->fact, why);
    }
    return holds;
}
