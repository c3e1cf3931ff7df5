/* The rows of the op table, checked; see op_rows.h. */
#include "tools/op_rows.h"

#include "tools/op_signature.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    MOST_NAME = 40
}; /* characters of an op's name; the generators' lines have room for as many */

const OpRow op_rows[OP_COUNT] = {
#define OP(id, name, klass, signature, dtype_rule, shape_rule, flags, about, elsewhere)            \
    {__LINE__, #id, name, signature, about, elsewhere, CLASS_##klass, DTYPE_##dtype_rule, flags},
#include "ir/op/op.def"
#undef OP
};

const OpEnumeration op_enumerations[] = {
#define ENUMERATION(attr, type, about, values)                                                     \
    {#attr, "sn_" #type " ", about, (const char *const[]){values NULL}},
#define VALUE(id, about) #id, about,
#include "ir/op/op_rules.def"
    {NULL, NULL, NULL, NULL},
};

const OpEnumeration *op_enumeration(const OpParam *param) {
    for (const OpEnumeration *e = op_enumerations; param->kind == 'e' && e->attr; e++)
        if (strcasecmp(e->attr, param->name) == 0) return e;
    return NULL;
}

/* What the public header cannot take as the name of a parameter: words of C11 and C++11, and the two
 * parameters that every function ends with. */
static const char *const taken[] = {
    "alignas",  "alignof",  "and",      "asm",     "auto",    "bool",      "break",    "case",
    "catch",    "char",     "class",    "compl",   "const",   "constexpr", "continue", "decltype",
    "default",  "delete",   "do",       "double",  "else",    "enum",      "explicit", "export",
    "extern",   "false",    "file",     "float",   "for",     "friend",    "goto",     "if",
    "inline",   "int",      "line",     "long",    "mutable", "namespace", "new",      "noexcept",
    "not",      "nullptr",  "operator", "or",      "private", "protected", "public",   "register",
    "restrict", "return",   "short",    "signed",  "sizeof",  "static",    "struct",   "switch",
    "template", "this",     "throw",    "true",    "try",     "typedef",   "typeid",   "typename",
    "union",    "unsigned", "using",    "virtual", "void",    "volatile",  "while",    "xor",
};

static bool is_taken(const char *name) {
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(taken[i], name) == 0) return true;
    return false;
}

/* Appends to `faults` what is wrong with a row. */
typedef struct Check {
    const OpRow *row;    /* which */
    Signature signature; /* its parameters */
    StrBuf *faults;      /* receives a line a fault */
    int32_t count;       /* faults so far */
} Check;

__attribute__((format(printf, 2, 3))) static void wrong(Check *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    strbuf_addf(c->faults, "ir/op/op.def:%d: %s: ", c->row->line, c->row->name);
    strbuf_vaddf(c->faults, format, args);
    strbuf_add_char(c->faults, '\n');
    va_end(args);
    c->count++;
}

static void check_texts(Check *c) {
    const OpRow *row = c->row;
    if (!op_name_is_word(row->name, strlen(row->name)))
        wrong(c, "\"%s\" is no name of letters, digits and _", row->name);
    if (strlen(row->name) > MOST_NAME) wrong(c, "its name has more than %d characters", MOST_NAME);
    if (!row->about[0]) wrong(c, "it does not say what it computes");
    if (strstr(row->about, "*/")) wrong(c, "its documentation ends the comment that it stands in");
    const char *comma = strstr(row->elsewhere, ", ");
    if (row->flags & F_PUBLIC ? !comma || comma == row->elsewhere || !comma[2] : row->elsewhere[0])
        wrong(c, "\"%s\" does not say what PyTorch and NumPy call it", row->elsewhere);
}

/* Parameters that are not tensors are told apart by name in C: x_count belongs to a list x. */
static void check_names(Check *c) {
    for (int32_t i = 0; i < c->signature.count; i++) {
        const OpParam *param = &c->signature.params[i];
        size_t length = strlen(param->name);
        if (is_taken(param->name))
            wrong(c, "parameter \"%s\" has a name that is taken", param->name);
        for (int32_t k = 0; k < c->signature.count; k++) {
            const OpParam *list = &c->signature.params[k];
            bool counted = list->kind == 'L' || list->suffix == '*';
            size_t own = strlen(list->name);
            if (counted && length > own && strncmp(param->name, list->name, own) == 0 &&
                strcmp(param->name + own, "_count") == 0)
                wrong(c, "parameter \"%s\" has the name of the length of \"%s\"", param->name,
                      list->name);
        }
    }
}

/* How many parameters are of a kind (with a suffix, where it is not 0). */
static int32_t count_of(const Check *c, char kind, char suffix) {
    int32_t count = 0;
    for (int32_t i = 0; i < c->signature.count; i++) {
        const OpParam *param = &c->signature.params[i];
        count += param->kind == kind && (!suffix || param->suffix == suffix);
    }
    return count;
}

/* Is there a tensor behind the generator? Its state is the last operand wherever it stands. */
static bool tensor_behind_generator(const Check *c) {
    bool seen = false;
    for (int32_t i = 0; i < c->signature.count; i++) {
        seen = seen || c->signature.params[i].kind == 'r';
        if (seen && c->signature.params[i].kind == 't') return true;
    }
    return false;
}

static void check_operands(Check *c) {
    const OpRow *row = c->row;
    const OpParam *params = c->signature.params;
    int32_t tensors = count_of(c, 't', 0), arrays = count_of(c, 't', '*');
    bool public = row->flags & F_PUBLIC, random = row->klass == CLASS_RANDOM;
    bool takes_first = row->klass == CLASS_POINTWISE || row->klass == CLASS_REDUCE ||
                       row->klass == CLASS_SCAN || row->klass == CLASS_VIEW ||
                       row->klass == CLASS_INDEX || row->klass == CLASS_UPDATE;
    if (arrays && tensors > 1) wrong(c, "an array of tensors stands beside another tensor");
    if (count_of(c, 'r', 0) != random)
        wrong(c, random ? "a random op takes one generator" : "only random ops take a generator");
    if (tensor_behind_generator(c)) wrong(c, "a tensor stands behind the generator");
    if ((takes_first || row->flags & F_INPLACE) && (!c->signature.count || params[0].kind != 't'))
        wrong(c, "its first parameter is no tensor");
    if (row->flags & F_COMMUTES && tensors < 2)
        wrong(c, "it commutes, but has less than two tensors");
    if (public && row->dtype_rule == DTYPE_ATTR && count_of(c, 'y', 0) != 1)
        wrong(c, "its dtype is that of an attribute, but it has not one of kind y");
}

/* Attributes whose kind leaves something to be said elsewhere, which is found by their name. */
static void check_attributes(Check *c) {
    for (int32_t i = 0; i < c->signature.count; i++) {
        const OpParam *param = &c->signature.params[i];
        if (param->kind == 'y' && strcmp(param->name, "dtype") != 0)
            wrong(c, "parameter \"%s\" is of kind y, but not named dtype", param->name);
        if (param->kind == 'e' && !op_enumeration(param))
            wrong(c, "parameter \"%s\" has no ENUMERATION in ir/op/op_rules.def", param->name);
    }
}

static void check_unique(Check *c, const OpRow *rows, int32_t before) {
    for (int32_t i = 0; i < before; i++)
        if (strcmp(rows[i].name, c->row->name) == 0)
            wrong(c, "line %d has an op of this name", rows[i].line);
}

int32_t op_rows_check(const OpRow *rows, int32_t count, StrBuf *faults) {
    int32_t total = 0;
    for (int32_t i = 0; i < count; i++) {
        char fault[OP_MOST_FAULT];
        Check c = {.row = &rows[i], .faults = faults};
        check_texts(&c);
        check_unique(&c, rows, i);
        if (op_signature_parse(rows[i].signature, &c.signature, fault)) {
            check_names(&c);
            check_operands(&c);
            check_attributes(&c);
        } else {
            wrong(&c, "%s", fault);
        }
        total += c.count;
    }
    return total;
}
