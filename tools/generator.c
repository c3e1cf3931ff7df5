/* What the build-time generators share; see generator.h. */
#include "tools/generator.h"

#include <stdio.h>
#include <string.h>

static bool table_is_right(void) {
    StrBuf faults = {0};
    bool right = op_rows_check(op_rows, OP_COUNT, &faults) == 0;
    fputs(strbuf_text(&faults), stderr);
    strbuf_free(&faults);
    return right;
}

static bool is_there(const char *path, const StrBuf *text) {
    FILE *file = fopen(path, "r");
    size_t at = 0;
    int c;
    if (!file) return false;
    while ((c = getc(file)) != EOF && at < text->length && (char)c == text->text[at]) at++;
    fclose(file);
    return c == EOF && at == text->length;
}

/* A file that is as it should be keeps its time: what includes it is not compiled again. */
static bool write_file(const char *path, const StrBuf *text) {
    if (is_there(path, text)) return true;
    FILE *file = fopen(path, "w");
    if (!file) return false;
    bool written = fwrite(strbuf_text(text), 1, text->length, file) == text->length;
    return fclose(file) == 0 && written;
}

int generator_main(int argc, char **argv, const GeneratorForm *forms) {
    const GeneratorForm *form = NULL;
    for (int i = 0; argc == 3 && forms[i].name; i++)
        if (strcmp(argv[1], forms[i].name) == 0) form = &forms[i];
    if (!form) {
        for (; forms->name; forms++) fprintf(stderr, "usage: %s %s FILE\n", argv[0], forms->name);
        return 2;
    }
    if (!table_is_right()) return 1;
    StrBuf out = {0};
    form->print(&out);
    bool written = !out.failed && write_file(argv[2], &out);
    strbuf_free(&out);
    if (!written) fprintf(stderr, "%s: cannot write %s\n", argv[0], argv[2]);
    return written ? 0 : 1;
}
