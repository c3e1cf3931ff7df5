/* Reads the text form of kernel IR. It takes any text: what does not follow the form gives an error
 * with line and column. What the form cannot express is left to kernel_verify. */
#include "base/status.h"
#include "ir/kernel/form.h"
#include "ir/kernel/text.h"
#include "ir/op/literal.h"

enum { PARAMS_MOST = 1 << 20 }; /* parameter words of a kernel */

typedef struct Word {
    const char *text; /* first character */
    size_t length;    /* characters; 0 at the end of a line */
} Word;

typedef struct Parser {
    Kernel *kernel;       /* what is filled */
    const char *next;     /* first character not read */
    const char *end;      /* one past the text */
    const char *line;     /* start of the current line */
    int32_t line_number;  /* of the current line, from 1 */
    Word word;            /* the current word */
    VEC(uint32_t) values; /* instruction of each value number */
    sn_status status;     /* SN_OK until an error was found */
    sn_error *error;      /* where it goes */
} Parser;

/* ---- words ----------------------------------------------------------------------------------- */

static bool fail(Parser *p, const char *message) {
    if (p->status == SN_OK) {
        p->status = error_set(p->error, SN_ERROR_FORMAT, "kernel text %d:%d: %s", p->line_number,
                              (int)(p->word.text - p->line) + 1, message);
    }
    return false;
}

static bool fail_memory(Parser *p) {
    if (p->status == SN_OK) p->status = error_memory(p->error);
    return false;
}

static bool is_word_char(char c) {
    return literal_char(c) || c == '%' || c == '_' || c == '(' || c == ')';
}

/* Moves to the next word of the line: a run of letters, digits and signs, or one other character;
 * a word of length 0 at its end. */
static void advance(Parser *p) {
    while (p->next < p->end && (*p->next == ' ' || *p->next == '\t' || *p->next == '\r')) p->next++;
    if (p->next < p->end && *p->next == ';')
        while (p->next < p->end && *p->next != '\n') p->next++;
    p->word = (Word){p->next, 0};
    if (p->next == p->end || *p->next == '\n') return;
    if (!is_word_char(*p->next)) {
        p->next++;
    } else {
        while (p->next < p->end && is_word_char(*p->next)) p->next++;
    }
    p->word.length = (size_t)(p->next - p->word.text);
}

/* Moves to the first word of the next line that has one; false at the end of the text. */
static bool next_line(Parser *p) {
    do {
        if (p->next == p->end) return false;
        p->line = ++p->next;
        p->line_number++;
        advance(p);
    } while (!p->word.length);
    return true;
}

static bool word_is(const Parser *p, const char *text) {
    return p->word.length == strlen(text) && !memcmp(p->word.text, text, p->word.length);
}

static bool accept(Parser *p, const char *text) {
    if (!word_is(p, text)) return false;
    advance(p);
    return true;
}

static bool expect(Parser *p, const char *text, const char *message) {
    return accept(p, text) || fail(p, message);
}

/* Decimal digits without sign or leading zeros, at most `most`. */
static bool read_number(const char *text, size_t length, uint64_t most, uint64_t *number) {
    if (!length || (length > 1 && *text == '0')) return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        sum = sum * 10 + (uint64_t)(text[i] - '0');
        if (sum > most) return false;
    }
    *number = sum;
    return true;
}

/* A number behind a prefix, "c12", below `limit`. */
static bool parse_number(Parser *p, char prefix, uint64_t limit, uint64_t *number,
                         const char *message) {
    if (!p->word.length || *p->word.text != prefix || !limit ||
        !read_number(p->word.text + 1, p->word.length - 1, limit - 1, number))
        return fail(p, message);
    advance(p);
    return true;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static bool parse_dtype(Parser *p, uint8_t *out) {
    sn_dtype dtype;
    if (!p->word.length || !dtype_parse(p->word.text, p->word.length, &dtype))
        return fail(p, "expected a dtype");
    *out = (uint8_t)dtype;
    advance(p);
    return true;
}

static bool parse_param(Parser *p, uint64_t *param) {
    return parse_number(p, 'p', (uint64_t)p->kernel->n_params, param,
                        "expected a parameter below the number of params");
}

static bool parse_coef(Parser *p, KCoef *coef) {
    if (word_is(p, "0") || word_is(p, "1")) {
        *coef = kcoef_literal(*p->word.text - '0');
        advance(p);
        return true;
    }
    uint64_t param;
    if (!parse_param(p, &param)) return false;
    *coef = kcoef_param((int32_t)param);
    return true;
}

/* An axis name; it must be one of the first `count`. */
static bool parse_axis(Parser *p, uint32_t count, uint64_t *axis) {
    static const char message[] = "expected an axis";
    if (p->word.length == 1) {
        const char *letter = memchr(axis_letters, *p->word.text, AXIS_LETTERS);
        if (!letter || letter - axis_letters >= (ptrdiff_t)count) return fail(p, message);
        *axis = (uint64_t)(letter - axis_letters);
        advance(p);
        return true;
    }
    Word word = p->word;
    if (!parse_number(p, 'x', count, axis, message)) return false;
    if (*axis >= AXIS_LETTERS) return true;
    p->word = word;
    return fail(p, "this axis has a letter");
}

/* The number of a value as it is written; instructions are looked up later. */
static bool parse_value_number(Parser *p, uint32_t *value) {
    uint64_t number;
    if (!parse_number(p, '%', KVALUE_NONE, &number, "expected a value")) return false;
    *value = (uint32_t)number;
    return true;
}

static bool parse_value(Parser *p, KValue *value) {
    Word word = p->word;
    uint32_t number;
    if (!parse_value_number(p, &number)) return false;
    if (number < p->values.count) {
        *value = p->values.data[number];
        return true;
    }
    p->word = word;
    return fail(p, "a value that is not yet defined");
}

/* ---- constants ------------------------------------------------------------------------------- */

static bool hex_digit(char c, uint64_t *digit) {
    if (c >= '0' && c <= '9')
        *digit = (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *digit = (uint64_t)(c - 'a') + 10;
    else
        return false;
    return true;
}

/* "-0x1.8p+3" as printed: leading digit 0 or 1, at most 13 more digits. */
static bool read_hex_float(const char *text, size_t length, double *value) {
    const char *at = text, *end = text + length;
    uint64_t bits = 0, digit, power;
    if (at < end && *at == '-') bits = UINT64_C(1) << 63, at++;
    if (end - at < 6 || at[0] != '0' || at[1] != 'x' || (at[2] != '0' && at[2] != '1'))
        return false;
    bool normal = at[2] == '1';
    at += 3;
    if (*at == '.') {
        int32_t shift = 52;
        for (at++; at < end && hex_digit(*at, &digit); at++) {
            shift -= 4;
            if (shift < 0) return false;
            bits |= digit << shift;
        }
    }
    if (end - at < 3 || at[0] != 'p' || (at[1] != '+' && at[1] != '-')) return false;
    if (!read_number(at + 2, (size_t)(end - at) - 2, 1023, &power)) return false;
    if (at[1] == '-' && normal && power > 1022) return false;
    if (normal) bits |= (at[1] == '-' ? 1023 - power : 1023 + power) << 52;
    bool zero = !normal && !(bits << 1);
    if (!normal && power != (zero ? 0 : 1022)) return false;
    memcpy(value, &bits, sizeof *value);
    return true;
}

static bool parse_const(Parser *p, KInst *inst) {
    if (!parse_dtype(p, &inst->dtype)) return false;
    double value;
    bool good;
    if (dtype_is_float(inst->dtype) && read_hex_float(p->word.text, p->word.length, &value)) {
        inst->imm = dtype_bits_from_double(inst->dtype, value);
        double again = dtype_bits_to_double(inst->dtype, inst->imm);
        good = !memcmp(&value, &again, sizeof value);
    } else {
        good = literal_parse(p->word.text, p->word.length, inst->dtype, &inst->imm);
    }
    if (!good) return fail(p, "expected a constant that its dtype holds exactly");
    inst->imm = scalar_canonical(inst->dtype, inst->imm);
    advance(p);
    return true;
}

/* ---- declarations ---------------------------------------------------------------------------- */

static bool parse_params(Parser *p) {
    uint64_t count;
    if (p->kernel->args.count || p->kernel->axes.count || p->kernel->insts.count)
        return fail(p, "params stands first");
    if (!read_number(p->word.text, p->word.length, PARAMS_MOST, &count))
        return fail(p, "expected a number of params");
    p->kernel->n_params = (int32_t)count;
    advance(p);
    return true;
}

static bool parse_word_of(Parser *p, const char *const *words, uint32_t first, uint32_t count,
                          uint8_t *index, const char *message) {
    for (uint32_t i = first; i < count; i++) {
        if (!accept(p, words[i])) continue;
        *index = (uint8_t)i;
        return true;
    }
    return fail(p, message);
}

static bool parse_arg(Parser *p) {
    KArg arg = {.size = {-1, 0}};
    Word word = p->word;
    uint64_t number;
    if (!parse_number(p, 'a', KVALUE_NONE, &number, "expected an argument")) return false;
    if (number != p->kernel->args.count) {
        p->word = word;
        return fail(p, "arguments are numbered in order");
    }
    if (!parse_dtype(p, &arg.dtype)) return false;
    if (!parse_word_of(p, role_words, 0, ROLE_COUNT, &arg.role,
                       "expected in, shared, out, inout or local"))
        return false;
    if (arg.role == KARG_LOCAL && !parse_coef(p, &arg.size)) return false;
    return vec_push(&p->kernel->args, arg) || fail_memory(p);
}

static bool parse_axis_line(Parser *p) {
    KAxis axis = {{-1, 0}, false};
    Word word = p->word;
    uint64_t number;
    uint32_t count = p->kernel->axes.count;
    if (!parse_axis(p, count + 1, &number)) return false;
    if (number != count) {
        p->word = word;
        return fail(p, "axes are named in order");
    }
    if (!parse_coef(p, &axis.size)) return false;
    axis.split = accept(p, "split");
    return vec_push(&p->kernel->axes, axis) || fail_memory(p);
}

/* True at "i*", "%3*": a term, not the offset. Only a term is followed by a star. */
static bool at_term(const Parser *p) {
    return p->next < p->end && *p->next == '*';
}

static bool parse_term(Parser *p) {
    KTerm term = {KVALUE_NONE, KVALUE_NONE, {-1, 0}};
    if (p->word.length && *p->word.text == '%') {
        if (!parse_value_number(p, &term.value)) return false;
    } else {
        uint64_t axis;
        if (!parse_axis(p, p->kernel->axes.count, &axis)) return false;
        term.axis = (uint32_t)axis;
    }
    if (!expect(p, "*", "expected *") || !parse_coef(p, &term.coef)) return false;
    return vec_push(&p->kernel->terms, term) || fail_memory(p);
}

static bool parse_access(Parser *p) {
    Kernel *k = p->kernel;
    KAccess access = {0, k->terms.count, 0, {-1, 0}};
    uint64_t number;
    Word word = p->word;
    if (!parse_number(p, 'c', KVALUE_NONE, &number, "expected an access")) return false;
    if (number != k->accesses.count) {
        p->word = word;
        return fail(p, "accesses are numbered in order");
    }
    if (!parse_number(p, 'a', k->args.count, &number, "expected an argument")) return false;
    access.arg = (uint32_t)number;
    bool more = true;
    while (more && at_term(p)) {
        if (!parse_term(p)) return false;
        more = accept(p, "+");
    }
    if (more && !parse_coef(p, &access.offset)) return false;
    access.n_terms = k->terms.count - access.first_term;
    return vec_push(&k->accesses, access) || fail_memory(p);
}

/* ---- instructions ---------------------------------------------------------------------------- */

static bool parse_immediate(Parser *p, KInst *inst) {
    const Kernel *k = p->kernel;
    switch (kop_row(inst->op)->form) {
    case KFORM_CONST:
        return parse_const(p, inst);
    case KFORM_PARAM:
        return parse_param(p, &inst->imm);
    case KFORM_INDEX:
    case KFORM_LOOP:
        return parse_axis(p, k->axes.count, &inst->imm);
    case KFORM_GRID:
        if (!read_number(p->word.text, p->word.length, SN_MAX_RANK - 1, &inst->imm))
            return fail(p, "expected a grid dimension");
        advance(p);
        return true;
    case KFORM_LOAD:
    case KFORM_STORE:
    case KFORM_ADDRESS:
        return parse_number(p, 'c', k->accesses.count, &inst->imm, "expected an access");
    default:
        return true;
    }
}

static bool parse_values(Parser *p, KInst *inst) {
    const KOpRow *row = kop_row(inst->op);
    for (uint32_t i = 0; i < row->n_inputs; i++) {
        if (i && !expect(p, ",", "expected a comma")) return false;
        if (!parse_value(p, &inst->in[i])) return false;
    }
    if (!(row->flags & K_PREDICATED) || !accept(p, "if")) return true;
    inst->flags |= K_PREDICATED;
    return parse_value(p, &inst->in[row->n_inputs]);
}

static bool parse_tail(Parser *p, KInst *inst) {
    const KOpRow *row = kop_row(inst->op);
    if (row->form == KFORM_CHECK && !parse_param(p, &inst->imm)) return false;
    if (row->form == KFORM_REDUCE && !parse_word_of(p, order_words, 1, REDUCE_ORDER_COUNT,
                                                    &inst->order, "expected a reduction order"))
        return false;
    if (row->flags & K_VECTOR && accept(p, "vector")) inst->flags |= K_VECTOR;
    if (row->flags & K_RARE && accept(p, "rare")) inst->flags |= K_RARE;
    if (row->form == KFORM_STORE) inst->dtype = p->kernel->insts.data[inst->in[0]].dtype;
    if (row->result == KRESULT_NONE || row->form == KFORM_CONST) return true;
    return expect(p, ":", "expected a colon") && parse_dtype(p, &inst->dtype);
}

static OpCode parse_op(Parser *p, bool has_value) {
    OpCode op = p->word.length ? op_find(p->word.text, p->word.length) : OP_COUNT;
    if (op == OP_COUNT || kop_row(op)->form == KFORM_NONE) {
        fail(p, "expected an op of kernel IR");
        return OP_COUNT;
    }
    if (kop_has_value(op) != has_value) {
        fail(p, has_value ? "this op has no value" : "this op has a value");
        return OP_COUNT;
    }
    advance(p);
    return op;
}

static bool parse_inst(Parser *p) {
    KInst inst = {.in = {KVALUE_NONE, KVALUE_NONE, KVALUE_NONE}};
    bool has_value = p->word.length && *p->word.text == '%';
    if (has_value) {
        Word word = p->word;
        uint32_t number;
        if (!parse_value_number(p, &number)) return false;
        if (number != p->values.count) {
            p->word = word;
            return fail(p, "values are numbered in order");
        }
        if (!expect(p, "=", "expected =")) return false;
    }
    OpCode op = parse_op(p, has_value);
    if (op == OP_COUNT) return false;
    inst.op = (uint16_t)op;
    if (!parse_immediate(p, &inst) || !parse_values(p, &inst) || !parse_tail(p, &inst))
        return false;
    if (has_value && !vec_push(&p->values, p->kernel->insts.count)) return fail_memory(p);
    return vec_push(&p->kernel->insts, inst) || fail_memory(p);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Terms name values that come after them; only now are these known. */
static bool resolve_terms(Parser *p) {
    for (uint32_t i = 0; i < p->kernel->terms.count; i++) {
        KTerm *term = &p->kernel->terms.data[i];
        if (term->value == KVALUE_NONE) continue;
        if (term->value >= p->values.count) return fail(p, "an access uses an unknown value");
        term->value = p->values.data[term->value];
    }
    return true;
}

typedef struct Declaration {
    const char *word;        /* first word of the line */
    bool (*parse)(Parser *); /* reads the rest */
} Declaration;

static const Declaration declarations[] = {
    {"params", parse_params},
    {"arg", parse_arg},
    {"axis", parse_axis_line},
    {"access", parse_access},
};

static bool parse_line(Parser *p) {
    bool (*parse)(Parser *) = parse_inst;
    for (size_t i = 0; i < sizeof declarations / sizeof *declarations; i++)
        if (accept(p, declarations[i].word)) parse = declarations[i].parse;
    if (parse != parse_inst && p->kernel->insts.count)
        return fail(p, "a declaration behind instructions");
    if (!parse(p)) return false;
    return !p->word.length || fail(p, "expected the end of the line");
}

static bool parse_kernel(Parser *p) {
    advance(p);
    if (!p->word.length && !next_line(p)) return fail(p, "expected kernel {");
    if (!expect(p, "kernel", "expected kernel {") || !expect(p, "{", "expected kernel {"))
        return false;
    if (p->word.length) return fail(p, "expected the end of the line");
    for (;;) {
        if (!next_line(p)) return fail(p, "expected }");
        if (accept(p, "}")) break;
        if (!parse_line(p)) return false;
    }
    if (p->word.length || next_line(p)) return fail(p, "expected nothing behind the kernel");
    return resolve_terms(p);
}

sn_status kernel_parse(Kernel *kernel, const char *text, size_t length, sn_error *error) {
    Parser p = {.kernel = kernel, .error = error, .line_number = 1};
    p.next = p.line = text;
    p.end = text + length;
    parse_kernel(&p);
    vec_free(&p.values);
    return p.status;
}
