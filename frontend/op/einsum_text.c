/* Reading of einsum's equations; see einsum_text.h. An axis has a code first: its letter or, below "...", how
 * far it is from the last one there, so that these are aligned at that. Codes become numbers as they come. */
#include "frontend/op/einsum_text.h"

#include "base/mem.h"
#include "ir/op/type.h"

enum {
    CODE_DOTS = 128, /* the last axis of an ellipsis; those before it follow */
    CODE_MOST = CODE_DOTS + SN_MAX_RANK,
    NO_LABEL = LABEL_MOST
};

/* A text on its way to an equation. */
typedef struct Reader {
    const char *text, *at;         /* the equation, and how far it is read */
    Site site;                     /* the program's line */
    uint8_t label_of[CODE_MOST];   /* by code */
    int32_t n_labels;              /* so far */
    uint8_t code[LABEL_MOST];      /* by label */
    int32_t times[LABEL_MOST];     /* how often it occurs in operands */
    int64_t size[LABEL_MOST];      /* the one that is not 1, if there is one */
    int32_t size_from[LABEL_MOST]; /* the operand that has it */
    int32_t dots;                  /* most axes of an ellipsis */
} Reader;

/* A term as it is written. */
typedef struct Letters {
    uint8_t codes[SN_MAX_RANK]; /* the first ones */
    int32_t count;              /* all letters */
    int32_t dots;               /* letters in front of "..."; -1: there is none */
} Letters;

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* How errors call a label. */
static const char *label_name(uint8_t code, char text[2]) {
    if (code >= CODE_DOTS) return "...";
    text[0] = (char)code;
    text[1] = 0;
    return text;
}

/* ---- terms ----------------------------------------------------------------------------------- */

/* What stands there belongs to no equation. False. */
__attribute__((cold)) static bool refuse_character(const Reader *r) {
    if (*r->at == 0 || *r->at == ',' || *r->at == '.' || (unsigned char)*r->at < ' ')
        return error_refuse(SN_ERROR_ARGUMENT, r->site,
                            "einsum: \"%.80s\" is wrong at character %d", r->text,
                            (int)(r->at - r->text) + 1);
    return error_refuse(SN_ERROR_ARGUMENT, r->site,
                        "einsum: \"%.80s\": '%c' at character %d is no label (a to z, A to Z)",
                        r->text, *r->at, (int)(r->at - r->text) + 1);
}

/* Letters and "..." up to what ends the term. */
static bool read_letters(Reader *r, Letters *letters) {
    *letters = (Letters){.dots = -1};
    for (;; r->at++) {
        if (*r->at == ' ') continue;
        if (is_letter(*r->at)) {
            if (letters->count < SN_MAX_RANK) letters->codes[letters->count] = (uint8_t)*r->at;
            letters->count++;
        } else if (strncmp(r->at, "...", 3) == 0 && letters->dots < 0) {
            letters->dots = letters->count;
            r->at += 2;
        } else {
            bool ends = *r->at == 0 || *r->at == ',' || strncmp(r->at, "->", 2) == 0;
            return ends || refuse_character(r);
        }
    }
}

/* The code of axis i of a term whose ellipsis stands for `n` axes. */
static uint8_t code_at(const Letters *letters, int32_t n, int32_t i) {
    if (letters->dots < 0 || i < letters->dots) return letters->codes[i];
    if (i >= letters->dots + n) return letters->codes[i - n];
    return (uint8_t)(CODE_DOTS + letters->dots + n - 1 - i);
}

/* ---- operands -------------------------------------------------------------------------------- */

static TypeText text_of(const sn_tensor *tensor) {
    TensorType type = tensor_type(tensor);
    return type_text(&type);
}

static uint8_t label_of(Reader *r, uint8_t code) {
    if (r->label_of[code] == NO_LABEL) {
        r->code[r->n_labels] = code;
        r->size[r->n_labels] = 1;
        r->label_of[code] = (uint8_t)r->n_labels++;
    }
    return r->label_of[code];
}

/* Has the label one size within the term, and among operands one, or 1? */
static bool check_size(Reader *r, const EquationTerm *term, int32_t axis, const sn_tensor *x,
                       int32_t operand) {
    char name[2];
    uint8_t label = term->labels[axis];
    int64_t size = x->dims[axis];
    for (int32_t i = 0; i < axis; i++)
        if (term->labels[i] == label && x->dims[i] != size)
            return error_refuse(
                SN_ERROR_SHAPE, r->site,
                "einsum: label %s has sizes %lld and %lld in operands[%d], which is %s",
                label_name(r->code[label], name), (long long)x->dims[i], (long long)size,
                (int)operand, text_of(x).text);
    if (size == 1 || size == r->size[label]) return true;
    if (r->size[label] != 1)
        return error_refuse(
            SN_ERROR_SHAPE, r->site,
            "einsum: label %s has size %lld in operands[%d], but %lld in operands[%d]",
            label_name(r->code[label], name), (long long)r->size[label], (int)r->size_from[label],
            (long long)size, (int)operand);
    r->size[label] = size;
    r->size_from[label] = operand;
    return true;
}

static bool read_operand(Reader *r, const sn_tensor *x, int32_t operand, EquationTerm *term) {
    Letters letters;
    if (!read_letters(r, &letters)) return false;
    int32_t more = x->rank - letters.count;
    if (more < 0 || (more > 0 && letters.dots < 0))
        return error_refuse(SN_ERROR_SHAPE, r->site,
                            "einsum: \"%.80s\" has %d labels for operands[%d], which is %s",
                            r->text, (int)letters.count, (int)operand, text_of(x).text);
    if (letters.dots >= 0 && more > r->dots) r->dots = more;
    term->count = x->rank;
    for (int32_t i = 0; i < x->rank; i++) {
        term->labels[i] = label_of(r, code_at(&letters, more, i));
        r->times[term->labels[i]]++;
        if (!check_size(r, term, i, x, operand)) return false;
    }
    return true;
}

/* ---- the result ------------------------------------------------------------------------------ */

static bool check_rank(const Reader *r, int32_t rank) {
    return rank <= SN_MAX_RANK ||
           error_refuse(SN_ERROR_SHAPE, r->site,
                        "einsum: the result of \"%.80s\" has %d dims, at most %d", r->text,
                        (int)rank, SN_MAX_RANK);
}

/* Ellipses, then letters that occur once. */
static bool imply_result(Reader *r, EquationTerm *result) {
    int32_t rank = 0;
    uint8_t labels[LABEL_MOST];
    for (int32_t i = r->dots; i-- > 0;) labels[rank++] = r->label_of[CODE_DOTS + i];
    for (int32_t code = 0; code < CODE_DOTS; code++) {
        uint8_t label = r->label_of[code];
        if (label != NO_LABEL && r->times[label] == 1) labels[rank++] = label;
    }
    if (!check_rank(r, rank)) return false;
    memcpy(result->labels, labels, (size_t)rank);
    result->count = rank;
    return true;
}

static bool read_result(Reader *r, EquationTerm *result) {
    Letters letters;
    char name[2];
    if (!read_letters(r, &letters)) return false;
    if (*r->at) return refuse_character(r);
    int32_t more = letters.dots < 0 ? 0 : r->dots;
    if (!check_rank(r, letters.count + more)) return false;
    for (int32_t i = 0; i < letters.count + more; i++) {
        uint8_t code = code_at(&letters, more, i), label = r->label_of[code];
        if (label == NO_LABEL)
            return error_refuse(SN_ERROR_ARGUMENT, r->site,
                                "einsum: \"%.80s\": label %s of the result is in no operand",
                                r->text, label_name(code, name));
        if (term_set(result) & label_set(label))
            return error_refuse(SN_ERROR_ARGUMENT, r->site,
                                "einsum: \"%.80s\": the result has label %s twice", r->text,
                                label_name(code, name));
        result->labels[result->count++] = label;
    }
    return true;
}

/* ---- the equation ---------------------------------------------------------------------------- */

bool equation_check_terms(const char *text, int32_t count, Site site) {
    int32_t terms = 1;
    if (!text) return error_refuse(SN_ERROR_ARGUMENT, site, "einsum: equation is NULL");
    const char *end = strstr(text, "->");
    for (const char *at = text; *at && at != end; at++) terms += *at == ',';
    return terms == count ||
           error_refuse(SN_ERROR_ARGUMENT, site, "einsum: \"%.80s\" has %d term%s for %d operand%s",
                        text, (int)terms, terms == 1 ? "" : "s", (int)count, count == 1 ? "" : "s");
}

static bool read_equation(Reader *r, sn_tensor *const *operands, int32_t count, Equation *e) {
    for (int32_t i = 0; i < count; i++) {
        if (!read_operand(r, operands[i], i, &e->operands[i])) return false;
        if (i + 1 == count) break;
        r->at++; /* a comma: they were counted */
    }
    if (*r->at == 0) return imply_result(r, &e->result);
    r->at += 2;
    return read_result(r, &e->result);
}

bool equation_read(Equation *e, const char *text, sn_tensor *const *operands, int32_t count,
                   Site site) {
    Reader r = {.text = text, .at = text, .site = site};
    memset(r.label_of, NO_LABEL, sizeof r.label_of);
    *e = (Equation){.operands = NULL};
    e->operands = mem_alloc((size_t)count * sizeof *e->operands);
    if (!e->operands) return error_refuse(SN_ERROR_MEMORY, site, "einsum: out of memory");
    if (read_equation(&r, operands, count, e)) return true;
    equation_free(e);
    return false;
}

void equation_free(Equation *e) {
    mem_free(e->operands);
    e->operands = NULL;
}
