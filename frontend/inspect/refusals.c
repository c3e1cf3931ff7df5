/* Refusals of fusion by kind; see refusals.h. */
#include "frontend/inspect/refusals.h"

#include <string.h>

enum { LINES_SHOWN = 6 };

/* Notes that say the same of the same ops. */
typedef struct Kind {
    const FusionNote *first;     /* the first of them */
    uint32_t count;              /* how many */
    uint32_t sites[LINES_SHOWN]; /* their source lines, each once */
    uint32_t n_sites;            /* of them … */
    bool more;                   /* … which are not all */
} Kind;

static bool same_kind(const FusionNote *x, const FusionNote *y) {
    return x->op == y->op && x->with == y->with && strcmp(x->reason, y->reason) == 0;
}

static bool same_line(const Program *program, uint32_t x, uint32_t y) {
    const Site *a = &program->sites.data[x], *b = &program->sites.data[y];
    return x == y || (a->line == b->line && a->file && b->file && strcmp(a->file, b->file) == 0);
}

static void add_line(const Program *program, Kind *kind, uint32_t site) {
    if (site >= program->sites.count || !program->sites.data[site].file) return;
    for (uint32_t i = 0; i < kind->n_sites; i++)
        if (same_line(program, kind->sites[i], site)) return;
    if (kind->n_sites < LINES_SHOWN)
        kind->sites[kind->n_sites++] = site;
    else
        kind->more = true;
}

static void print_kind(const Program *program, const Kind *kind, StrBuf *out) {
    strbuf_addf(out, "%s not with %s: %s", op_info[kind->first->op].name,
                op_info[kind->first->with].name, kind->first->reason);
    if (kind->count > 1) strbuf_addf(out, "; %u times", kind->count);
    for (uint32_t i = 0; i < kind->n_sites; i++) {
        const Site *site = &program->sites.data[kind->sites[i]];
        strbuf_addf(out, "%s%s:%d",
                    i                 ? ", "
                    : kind->count > 1 ? ": "
                                      : "; ",
                    site->file, (int)site->line);
    }
    if (kind->more) strbuf_add(out, ", …");
}

void refusals_print(const Program *program, const char *prefix, StrBuf *out) {
    VEC(Kind) kinds = {0};
    for (uint32_t i = 0; i < program->notes.count; i++) {
        const FusionNote *note = &program->notes.data[i];
        uint32_t at = 0;
        while (at < kinds.count && !same_kind(kinds.data[at].first, note)) at++;
        if (at == kinds.count && !vec_push(&kinds, ((Kind){.first = note}))) {
            out->failed = true;
            break;
        }
        kinds.data[at].count++;
        add_line(program, &kinds.data[at], note->site);
    }
    for (uint32_t i = 0; i < kinds.count; i++) {
        strbuf_add(out, prefix);
        print_kind(program, &kinds.data[i], out);
        strbuf_add_char(out, '\n');
    }
    vec_free(&kinds);
}
