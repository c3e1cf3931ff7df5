/* Build-time generator: prints, from the op table, the public header <sinter/ops.h> (`header FILE`)
 * and the functions behind it (`source FILE`), which pack their arguments and call the dispatcher
 * of frontend/op/dispatch.h. A new row in ir/op/op.def with the flag F_PUBLIC is all an op needs here. A
 * row that is wrong is named with its line, and nothing is printed. */
#include "tools/generator.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_WIDTH = 100,
    LONG_NAME = 24, /* an op's macro takes two lines from this length on */
    LINE_END = 3    /* columns kept free for what closes a line: ",", ");", ") {" */
};

/* What a parameter kind is in C. */
typedef struct KindInfo {
    char kind;          /* OpParam.kind */
    char suffix;        /* OpParam.suffix; '?' counts as 0 */
    const char *type;   /* C type, ready to be followed by the name; NULL: no parameter */
    bool counted;       /* followed by int32_t NAME_count */
    const char *append; /* call that adds it to the attributes, NULL for what is none */
} KindInfo;

static const KindInfo kinds[] = {
    {'t', 0, "sn_tensor *", false, NULL},
    {'t', '*', "sn_tensor *const *", true, NULL},
    {'r', 0, "sn_rng *", false, NULL},
    {'l', 0, "int64_t ", false, "attr_add_int"},
    {'L', 0, "const int64_t *", true, "attr_add_list"},
    {'d', 0, "double ", false, "attr_add_double"},
    {'b', 0, "bool ", false, "attr_add_int"},
    {'y', 0, "sn_dtype ", false, "attr_add_int"},
    {'e', 0, "int32_t ", false, "attr_add_int"},
    {'h', 0, NULL, false, "attr_add_int"},
};

/* Result dtype by DtypeRule; %s is the first tensor. */
static const char *const dtype_texts[DTYPE_RULE_COUNT] = {
#define DTYPE_RULE(id, function, promotes_from, text) [DTYPE_##id] = text,
#include "ir/op/op_rules.def"
};

/* Result shape by ShapeRule; %s is the first tensor. */
static const char *const shape_texts[SHAPE_RULE_COUNT] = {
#define SHAPE_RULE(id, function, text) [SHAPE_##id] = text,
#include "ir/op/op_rules.def"
};

/* Headings of the header, by OpClass. */
static const char *const class_titles[CLASS_COUNT] = {
#define OP_CLASS(id, heading) [CLASS_##id] = heading,
#include "ir/op/op_rules.def"
};

static const char header_top[] =
    "/** @file ops.h\n"
    " *  The ops. Generated from the op table by tools/gen_ops.c; do not edit.\n"
    " *\n"
    " *  Every op is a macro over sn_NAME_at, which takes the line of the call for messages, "
    "dumps\n"
    " *  and guards, and a plain function of the same name without it (take its address, or write\n"
    " *  (sn_add)(x, y)). The result belongs to the innermost open scope. An op given bad input\n"
    " *  returns NULL and records the thread's error (error.h): SN_ERROR_ARGUMENT for NULL,\n"
    " *  SN_ERROR_SHAPE, SN_ERROR_DTYPE and SN_ERROR_INDEX where shapes, data types or axes do "
    "not\n"
    " *  fit what is said below, SN_ERROR_SCOPE when no scope is open, SN_ERROR_MEMORY. While an\n"
    " *  error is pending every op returns NULL and writes nothing. Axes may be negative and then\n"
    " *  count from the end. sn_NAME_, with an underscore at its end, writes the result into its\n"
    " *  first tensor, keeping dtype and shape, and returns that. */\n"
    "#ifndef SINTER_OPS_H\n"
    "#define SINTER_OPS_H\n"
    "\n"
    "#include <sinter/tensor.h>\n"
    "\n"
    "SN_BEGIN_DECLS\n";

static const char header_bottom[] = "\nSN_END_DECLS\n\n#endif\n";

static const char source_top[] =
    "/* The functions of <sinter/ops.h>. Generated from the op table by tools/gen_ops.c. */\n"
    "#include \"frontend/op/dispatch.h\"\n"
    "#include \"ir/graph/graph.h\"\n"
    "\n"
    "#include <sinter/ops.h>\n";

static const KindInfo *kind_info(const OpParam *param) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char suffix = param->suffix == '?' ? 0 : param->suffix;
        if (kinds[i].kind == param->kind && kinds[i].suffix == suffix) return &kinds[i];
    }
    fprintf(stderr, "gen_ops: kind %c of parameter %s is not among the kinds\n", param->kind,
            param->name);
    exit(1);
}

static const char *param_type(const OpParam *param) {
    const OpEnumeration *enumeration = op_enumeration(param);
    return enumeration ? enumeration->type : kind_info(param)->type;
}

/* ---- text that wraps ------------------------------------------------------------------------- */

/* Where a line stands and how the next one begins. */
typedef struct Wrap {
    StrBuf *out;        /* receives the text */
    const char *indent; /* put at the start of each further line */
    size_t column;      /* characters on the current line */
} Wrap;

/* Adds a piece that stays in one line, after a blank unless `glued` or at a line's start. */
static void wrap_piece(Wrap *wrap, const char *piece, size_t length, bool glued) {
    bool blank = !glued && wrap->column > 0;
    if (wrap->column + length + blank + LINE_END > LINE_WIDTH &&
        wrap->column > strlen(wrap->indent)) {
        strbuf_add_char(wrap->out, '\n');
        strbuf_add(wrap->out, wrap->indent);
        wrap->column = strlen(wrap->indent);
        blank = false;
    }
    if (blank) strbuf_add_char(wrap->out, ' ');
    strbuf_add_bytes(wrap->out, piece, length);
    wrap->column += length + blank;
}

/* Adds the words of a text. */
static void wrap_words(Wrap *wrap, const char *text) {
    while (*text) {
        size_t length = strcspn(text, " ");
        wrap_piece(wrap, text, length, false);
        text += length;
        text += strspn(text, " ");
    }
}

/* ---- parameters ------------------------------------------------------------------------------ */

/* What to print of each parameter. */
typedef enum ParamForm {
    FORM_DECLARE, /* sn_tensor *x, const int64_t *axes, int32_t axes_count */
    FORM_PASS     /* x, axes, axes_count */
} ParamForm;

static void add_argument(Wrap *wrap, bool *first, const char *type, const char *name,
                         const char *ending) {
    char piece[96];
    if (!*first) {
        strbuf_add_char(wrap->out, ',');
        wrap->column++;
    }
    int length = snprintf(piece, sizeof piece, "%s%s%s", type, name, ending);
    wrap_piece(wrap, piece, (size_t)length, *first);
    *first = false;
}

/* The parameters of an op and, with `site` other than NULL, those two texts after them. */
static void add_params(Wrap *wrap, OpCode op, ParamForm form, const char *const site[2]) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    bool first = true, declare = form == FORM_DECLARE;
    for (int32_t i = 0; i < count; i++) {
        const KindInfo *kind = kind_info(&params[i]);
        if (!kind->type) continue;
        add_argument(wrap, &first, declare ? param_type(&params[i]) : "", params[i].name, "");
        if (kind->counted)
            add_argument(wrap, &first, declare ? "int32_t " : "", params[i].name, "_count");
    }
    for (int i = 0; site && i < 2; i++) add_argument(wrap, &first, "", site[i], "");
}

static const char *const site_params[2] = {"const char *file", "int32_t line"};
static const char *const site_unknown[2] = {"NULL", "0"};

/* "sn_tensor *sn_add_at(sn_tensor *x, sn_tensor *y, const char *file, int32_t line)", or the plain
 * function, whose name stands in parentheses where the macro of that name is known. */
static void add_prototype(StrBuf *out, OpCode op, const char *prefix, const char *tail, bool at,
                          bool parentheses) {
    char start[96];
    int length =
        snprintf(start, sizeof start, "%ssn_tensor *%ssn_%s%s%s%s(", prefix, parentheses ? "(" : "",
                 op_info[op].name, at ? "_at" : "", tail, parentheses ? ")" : "");
    strbuf_add(out, start);
    Wrap wrap = {out, "        ", (size_t)length};
    add_params(&wrap, op, FORM_DECLARE, at ? site_params : NULL);
    strbuf_add_char(out, ')');
}

/* ---- the header ------------------------------------------------------------------------------ */

static const char *first_tensor(OpCode op) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    for (int32_t i = 0; i < count; i++) {
        if (params[i].kind == 't') return params[i].name;
    }
    return "x";
}

/* Appends a text of the tables, %s replaced by `name`. */
static void add_filled(StrBuf *out, const char *text, const char *name) {
    const char *mark = strstr(text, "%s");
    strbuf_add_bytes(out, text, mark ? (size_t)(mark - text) : strlen(text));
    if (!mark) return;
    strbuf_add(out, name);
    strbuf_add(out, mark + 2);
}

/* "low, high may be SN_NONE." */
static void add_optional_note(StrBuf *out, OpCode op) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    bool any = false;
    for (int32_t i = 0; i < count; i++) {
        if (params[i].suffix != '?') continue;
        strbuf_add(out, any ? ", " : " ");
        strbuf_add(out, params[i].name);
        any = true;
    }
    if (any) strbuf_add(out, " may be SN_NONE.");
}

static void add_documentation(StrBuf *out, OpCode op) {
    const OpInfo *info = &op_info[op];
    StrBuf text = {0};
    strbuf_addf(&text, "%s. Result: ", info->about);
    add_filled(&text, dtype_texts[info->dtype_rule], first_tensor(op));
    strbuf_add(&text, ", ");
    add_filled(&text, shape_texts[info->shape_rule], first_tensor(op));
    strbuf_add(&text, ".");
    add_optional_note(&text, op);
    if (op_has(op, F_FAILS))
        strbuf_add(&text, " An index in data that is out of range gives SN_ERROR_INDEX at the next "
                          "host read or at a compiled function's return.");
    if (op_is(op, CLASS_VIEW)) strbuf_add(&text, " Shares the memory of x.");
    if (op_is(op, CLASS_RANDOM)) strbuf_add(&text, " Advances the generator's counter.");
    strbuf_add(&text, " */");
    Wrap wrap = {out, " *  ", 3};
    strbuf_add(out, "\n/**");
    wrap_words(&wrap, strbuf_text(&text));
    strbuf_add_char(out, '\n');
    strbuf_free(&text);
}

/* Both functions and the macro of one form; `tail` is "" or "_". */
static void declare_form(StrBuf *out, OpCode op, const char *tail) {
    const char *name = op_info[op].name;
    add_prototype(out, op, "SN_API ", tail, true, false);
    strbuf_add(out, ";\n");
    add_prototype(out, op, "SN_API ", tail, false, false);
    strbuf_add(out, ";\n");
    strbuf_addf(out, "#define sn_%s%s(...)", name, tail);
    strbuf_add(out, strlen(name) < LONG_NAME ? " " : " \\\n    ");
    strbuf_addf(out, "sn_%s_at%s(__VA_ARGS__, __FILE__, __LINE__)\n", name, tail);
}

/* Columns that a value takes, but for "SN_" and " = 0": all but the last have a comma. */
static size_t value_width(const char *const *value) {
    return strlen(value[0]) + (value[2] != NULL);
}

/* The values, a line each, with their documentation one below the other. */
static void declare_values(StrBuf *out, const char *const *values) {
    size_t widest = 0;
    for (const char *const *v = values; *v; v += 2)
        if (value_width(v) > widest) widest = value_width(v);
    for (int i = 0; values[2 * i]; i++) {
        const char *const *v = &values[2 * i];
        strbuf_addf(out, "    SN_%s = %d%s%*s /**< %s */\n", v[0], i, v[2] ? "," : "",
                    (int)(widest - value_width(v)), "", v[1]);
    }
}

static void declare_enums(StrBuf *out) {
    for (const OpEnumeration *e = op_enumerations; e->attr; e++) {
        int name = (int)strlen(e->type) - 1;
        strbuf_addf(out, "\n/** %s */\ntypedef enum %.*s {\n", e->about, name, e->type);
        declare_values(out, e->values);
        strbuf_addf(out, "} %.*s;\n", name, e->type);
    }
}

static void declare_numbers(StrBuf *out) {
    strbuf_add(out, "\n/** Numbers of the ops, for sn_apply. Part of the ABI. */\n"
                    "typedef enum sn_op {\n");
    const char *separator = "";
    for (int op = 0; op < OP_COUNT; op++) {
        if (!op_has((OpCode)op, F_PUBLIC)) continue;
        strbuf_addf(out, "%s    SN_OP_", separator);
        for (const char *c = op_info[op].name; *c; c++)
            strbuf_add_char(out, (char)toupper((unsigned char)*c));
        strbuf_addf(out, " = %d", op);
        separator = ",\n";
    }
    strbuf_add(out, "\n} sn_op;\n");
}

static void print_header(StrBuf *out) {
    int klass = -1;
    strbuf_add(out, header_top);
    declare_enums(out);
    declare_numbers(out);
    for (int op = 0; op < OP_COUNT; op++) {
        if (!op_has((OpCode)op, F_PUBLIC)) continue;
        if (op_info[op].klass != klass) {
            klass = op_info[op].klass;
            strbuf_addf(out, "\n/* ---- %s ---- */\n", class_titles[klass]);
        }
        add_documentation(out, (OpCode)op);
        declare_form(out, (OpCode)op, "");
        if (op_has((OpCode)op, F_INPLACE)) declare_form(out, (OpCode)op, "_");
    }
    strbuf_add(out, header_bottom);
}

/* ---- the source ------------------------------------------------------------------------------ */

/* How the dispatcher is told the inputs. */
typedef struct InputTexts {
    char array[64];        /* expression of type sn_tensor *const * */
    char count[64];        /* their number */
    const char *generator; /* the random generator, or NULL */
} InputTexts;

/* Prints the array of input tensors, if there is one, and says how to pass it on. An op has either
 * one array parameter or any number of single tensors. */
static InputTexts define_inputs(StrBuf *out, OpCode op) {
    int32_t count, tensors = 0;
    const OpParam *params = op_params(op, &count);
    InputTexts texts = {"NULL", "0", "NULL"};
    for (int32_t i = 0; i < count; i++) {
        const char *name = params[i].name;
        if (params[i].kind == 'r') texts.generator = name;
        if (params[i].kind != 't') continue;
        if (params[i].suffix == '*') {
            snprintf(texts.array, sizeof texts.array, "%s", name);
            snprintf(texts.count, sizeof texts.count, "%s_count", name);
            continue;
        }
        strbuf_add(out, tensors++ ? ", " : "    sn_tensor *const inputs[] = {");
        strbuf_add(out, name);
    }
    if (tensors) {
        strbuf_add(out, "};\n");
        snprintf(texts.array, sizeof texts.array, "inputs");
        snprintf(texts.count, sizeof texts.count, "%d", tensors);
    }
    return texts;
}

/* Appends each attribute in the order of the signature. The list is not zeroed: only its words in
 * use are ever read. */
static void append_attributes(StrBuf *out, OpCode op) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    strbuf_add(out, "    AttrList attrs;\n    attrs.count = 0;\n");
    for (int32_t i = 0; i < count; i++) {
        const KindInfo *kind = kind_info(&params[i]);
        const char *name = params[i].name;
        if (!kind->append) continue;
        if (kind->counted)
            strbuf_addf(out, "    %s(&attrs, %s, %s_count);\n", kind->append, name, name);
        else
            strbuf_addf(out, "    %s(&attrs, %s);\n", kind->append, kind->type ? name : "0");
    }
}

static void define_form(StrBuf *out, OpCode op, const char *tail, const char *dispatcher) {
    char start[96];
    strbuf_add_char(out, '\n');
    add_prototype(out, op, "", tail, true, false);
    strbuf_add(out, " {\n");
    InputTexts inputs = define_inputs(out, op);
    append_attributes(out, op);
    strbuf_addf(out, "    return %s(OP_%s, %s, %s, &attrs, %s, site_at(file, line));\n", dispatcher,
                op_rows[op].id, inputs.array, inputs.count, inputs.generator);
    strbuf_add(out, "}\n\n");
    add_prototype(out, op, "", tail, false, true);
    int length = snprintf(start, sizeof start, "    return sn_%s_at%s(", op_info[op].name, tail);
    strbuf_addf(out, " {\n%s", start);
    Wrap wrap = {out, "            ", (size_t)length};
    add_params(&wrap, op, FORM_PASS, site_unknown);
    strbuf_add(out, ");\n}\n");
}

static void print_source(StrBuf *out) {
    strbuf_add(out, source_top);
    for (int op = 0; op < OP_COUNT; op++) {
        if (!op_has((OpCode)op, F_PUBLIC)) continue;
        define_form(out, (OpCode)op, "", "dispatch_op");
        if (op_has((OpCode)op, F_INPLACE)) define_form(out, (OpCode)op, "_", "dispatch_inplace");
    }
}

int main(int argc, char **argv) {
    static const GeneratorForm forms[] = {
        {"header", print_header},
        {"source", print_source},
        {NULL, NULL},
    };
    return generator_main(argc, argv, forms);
}
