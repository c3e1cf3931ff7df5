/* Names of parameters; see param_names.h. A definition is the function's name, a list in parentheses and a
 * brace; comments are blanks. The list has to have as many parameters as the signature takes. */
#include "frontend/inspect/param_names.h"

#include "frontend/compiled/labels.h"
#include "frontend/inspect/source_text.h"

#include <ctype.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* Comments, strings and lines of the preprocessor become blanks, in place. */
static void blank_comments(char *text) {
    bool line_begins = true;
    for (char *at = text; *at;) {
        char *end = NULL;
        char quote = *at;
        if (at[0] == '/' && at[1] == '/') {
            end = at + strcspn(at, "\n");
        } else if (at[0] == '/' && at[1] == '*') {
            end = strstr(at + 2, "*/");
            end = end ? end + 2 : at + strlen(at);
        } else if (*at == '#' && line_begins) {
            for (end = at; *end && *end != '\n'; end++)
                if (*end == '\\' && end[1]) end++;
        } else if (quote == '"' || quote == '\'') {
            for (end = at + 1; *end && *end != quote && *end != '\n'; end++)
                if (*end == '\\' && end[1]) end++;
            if (*end == quote) end++;
        }
        if (end) {
            memset(at, ' ', (size_t)(end - at));
            at = end;
        } else {
            line_begins = *at == '\n' || (line_begins && isspace((unsigned char)*at));
            at++;
        }
    }
}

/* The last word of a parameter's declaration, before any brackets, which may be its name. */
static char *name_of(const char *from, const char *end) {
    const char *bracket = memchr(from, '[', (size_t)(end - from));
    if (bracket) end = bracket;
    while (end > from && !is_word(end[-1])) end--;
    const char *begin = end;
    while (begin > from && is_word(begin[-1])) begin--;
    if (begin == end || isdigit((unsigned char)*begin)) return NULL;
    char *name = mem_alloc((size_t)(end - begin) + 1);
    if (!name) return NULL;
    memcpy(name, begin, (size_t)(end - begin));
    name[end - begin] = 0;
    return name;
}

/* Names of the C parameters of a list, at most so many; returns how many there are, -1 where the list has no
 * end. `end` receives what is behind it. */
static int32_t read_list(const char *at, char **names, int32_t most, const char **end) {
    int32_t depth = 0, count = 0;
    const char *from = at;
    for (; *at && *at != ';' && *at != '{'; at++) {
        if (*at == '(') depth++;
        bool ends = *at == ')' && depth == 0;
        if (ends || (*at == ',' && depth == 0)) {
            if (count < most) names[count] = name_of(from, at);
            count++;
            from = at + 1;
        }
        if (ends) {
            *end = at + 1;
            return count;
        }
        if (*at == ')') depth--;
    }
    return -1;
}

static void free_names(char **names, int32_t count) {
    for (int32_t i = 0; i < count; i++) mem_free(names[i]);
    memset(names, 0, sizeof *names * (size_t)count);
}

/* C parameters that the signature's have, without outputs: an array is two. */
static int32_t count_own(const Signature *s) {
    return s->n_params + s->n_arrays;
}

/* From names of C parameters to those of the signature's. */
static void take_names(const Signature *s, char **listed, ParamNames *names) {
    int32_t at = 0;
    for (int32_t i = 0; i < s->n_params; i++) {
        names->names[i] = listed[at];
        listed[at] = NULL;
        at += s->params[i].array ? 2 : 1;
    }
    names->count = s->n_params;
}

/* The definition, if the text has one that fits. */
static void find_definition(const sn_compiled *c, const char *text, ParamNames *names) {
    enum { MOST = 3 * SIGNATURE_MOST_PARAMS };
    char *listed[MOST] = {0};
    size_t length = strlen(c->name);
    for (const char *at = text; length && !names->count && (at = strstr(at, c->name));
         at += length) {
        const char *list = at + length + strspn(at + length, " \t\n\r"), *end = "";
        if ((at > text && is_word(at[-1])) || *list != '(') continue;
        int32_t count = read_list(list + 1, listed, MOST, &end);
        bool fits = count >= count_own(&c->signature) && count <= c->signature.n_arguments &&
                    end[strspn(end, " \t\n\r")] == '{';
        if (fits) take_names(&c->signature, listed, names);
        free_names(listed, MOST);
    }
}

static void look_in(const sn_compiled *c, const char *file, ParamNames *names) {
    StrBuf text = {0};
    if (source_read(file, &text) && text.text) {
        blank_comments(text.text);
        find_definition(c, text.text, names);
    }
    strbuf_free(&text);
}

void param_names_open(const sn_compiled *c, const Graph *graph, ParamNames *names) {
    const char *before = c->site.file;
    *names = (ParamNames){.count = 0};
    if (!c->callee.function) return; /* a binding's has no parameters of C */
    if (before) look_in(c, before, names);
    for (uint32_t i = 0; graph && i < graph->sites.count && !names->count; i++) {
        const char *file = graph->sites.data[i].file;
        if (!file || (before && strcmp(file, before) == 0)) continue;
        look_in(c, file, names);
        before = file;
    }
}

void param_names_close(ParamNames *names) {
    free_names(names->names, SIGNATURE_MOST_PARAMS);
    names->count = 0;
}

/* ---- using them ------------------------------------------------------------------------------ */

void param_names_fill(const ParamNames *names, const char *text, StrBuf *out) {
    labels_fill(text, (const char *const *)names->names, names->count, out);
}

void param_names_input(const ParamNames *names, const CompiledGraph *graph, uint32_t input,
                       StrBuf *out) {
    const char *line = graph->labels;
    for (uint32_t i = 0; line && i < input; i++) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    size_t length = line ? strcspn(line, "\n") : 0;
    StrBuf label = {0};
    if (length) strbuf_add_bytes(&label, line, length);
    if (!length || (*line == '{' && !names->count))
        strbuf_addf(out, "t%u", input);
    else
        param_names_fill(names, strbuf_text(&label), out);
    out->failed = out->failed || label.failed;
    strbuf_free(&label);
}
