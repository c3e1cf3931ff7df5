/* Text → graph: the inverse of graph_print, and the way tests write graphs down. Every node goes
 * through graph_emit (without folding), so what is read is inferred and checked like any other, and
 * the declared types must agree. Text is not trusted: bad input gives an error, never more. */
#include "base/status.h"
#include "ir/graph/graph.h"
#include "ir/op/dtype.h"
#include "ir/op/literal.h"

#include <stdio.h>

/* A node named in the text. */
typedef struct Definition {
    uint32_t number; /* what stands behind the % */
    NodeId node;     /* what it became */
} Definition;

/* An input of the header, made when the text reaches its number. */
typedef struct PendingInput {
    uint32_t number;          /* what stands behind the % */
    const char *at;           /* where in the text, for errors */
    TensorType type;          /* its type */
    bool has_strides;         /* it is not dense */
    Dim strides[SN_MAX_RANK]; /* in elements, when has_strides */
} PendingInput;

typedef struct Parser {
    const char *text;            /* the whole text, for line numbers */
    const char *at;              /* next character */
    const char *end;             /* one past the last */
    Graph *graph;                /* what is built */
    sn_error *error;             /* the caller's */
    sn_status status;            /* of the first error */
    VEC(Definition) definitions; /* ascending by number */
    VEC(PendingInput) pending;   /* inputs of the header, ascending by number */
    uint32_t next_pending;       /* first one not made yet */
    VEC(NodeId) operands;        /* of the line being read */
    const char *file;            /* file of the last source line, owned by the graph */
} Parser;

/* A run of characters of the text. */
typedef struct Word {
    const char *at; /* first */
    size_t length;  /* how many; 0 = none found */
} Word;

/* ---- errors ---------------------------------------------------------------------------------- */

/* Notes the first error, at a place in the text. Always false. */
static bool fail(Parser *p, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool fail(Parser *p, const char *at, const char *format, ...) {
    if (p->status != SN_OK) return false;
    int line = 1, column = 1;
    for (const char *c = p->text; c < at; c++) {
        bool newline = *c == '\n';
        line += newline;
        column = newline ? 1 : column + 1;
    }
    sn_error inner = {0};
    va_list args;
    va_start(args, format);
    error_vset(&inner, SN_ERROR_FORMAT, format, args);
    va_end(args);
    p->status = error_set(p->error, SN_ERROR_FORMAT, "line %d, column %d: %.400s", line, column,
                          inner.text);
    return false;
}

static bool fail_memory(Parser *p) {
    if (p->status == SN_OK) p->status = error_memory(p->error);
    return false;
}

/* An error that came from below, given a place unless it is not the text's fault. */
static bool fail_inner(Parser *p, const char *at, const sn_error *inner) {
    if (inner->status == SN_ERROR_MEMORY) return fail_memory(p);
    return fail(p, at, "%s", inner->text);
}

/* ---- characters and words -------------------------------------------------------------------- */

static char peek(const Parser *p) {
    return p->at < p->end ? *p->at : 0;
}

static void skip_blank(Parser *p) {
    while (peek(p) == ' ' || peek(p) == '\t' || peek(p) == '\r') p->at++;
}

static void skip_line(Parser *p) {
    while (p->at < p->end && *p->at != '\n') p->at++;
}

/* Blanks, ends of lines and comments. */
static void skip_space(Parser *p) {
    for (;;) {
        skip_blank(p);
        if (peek(p) == ';') skip_line(p);
        if (peek(p) != '\n') return;
        p->at++;
    }
}

/* Takes `token` if it comes next. */
static bool accept(Parser *p, const char *token) {
    size_t length = strlen(token);
    skip_blank(p);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, token, length) != 0) return false;
    p->at += length;
    return true;
}

static bool expect(Parser *p, const char *token) {
    return accept(p, token) || fail(p, p->at, "expected '%s'", token);
}

static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
}

static Word read_name(Parser *p) {
    skip_blank(p);
    Word word = {p->at, 0};
    while (p->at < p->end && name_char(*p->at)) p->at++;
    word.length = (size_t)(p->at - word.at);
    return word;
}

/* A number, `inf`, `true`…, or a NaN with its pattern in parentheses. */
static Word read_literal(Parser *p) {
    skip_blank(p);
    Word word = {p->at, 0};
    while (p->at < p->end && literal_char(*p->at)) p->at++;
    if (peek(p) == '(') {
        while (p->at < p->end && *p->at != ')' && *p->at != '\n') p->at++;
        if (peek(p) == ')') p->at++;
    }
    word.length = (size_t)(p->at - word.at);
    return word;
}

static int shown(Word word) {
    return word.length > 40 ? 40 : (int)word.length;
}

static bool is_word(Word word, const char *text) {
    return word.length == strlen(text) && memcmp(word.at, text, word.length) == 0;
}

static bool read_int(Parser *p, int64_t *value) {
    Word word = read_literal(p);
    return literal_parse_int(word.at, word.length, value) ||
           fail(p, word.at, "expected an integer, got '%.*s'", shown(word), word.at);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static bool read_dim(Parser *p, Dim *dim);

/* A symbol of the header. */
static bool read_symbol(Parser *p, Dim *dim) {
    Word name = read_name(p);
    DimTable *table = p->graph->table;
    for (uint32_t i = 0; table && i < table->symbols.count; i++) {
        StrBuf text = {0};
        dim_print(&text, table, table->symbols.data[i].dim);
        bool found = is_word(name, strbuf_text(&text));
        strbuf_free(&text);
        if (!found) continue;
        *dim = table->symbols.data[i].dim;
        return true;
    }
    return fail(p, name.at, "'%.*s' is no size", shown(name), name.at);
}

static bool starts_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* "12", "s0", "(s0 + 1)", "max(s0, s1)" */
static bool read_factor(Parser *p, Dim *dim) {
    Dim other;
    if (accept(p, "max(")) {
        if (!read_dim(p, dim) || !expect(p, ",") || !read_dim(p, &other)) return false;
        *dim = dim_larger(p->graph->table, *dim, other);
        return expect(p, ")");
    }
    if (accept(p, "(")) return read_dim(p, dim) && expect(p, ")");
    skip_blank(p);
    if (starts_name(peek(p))) return read_symbol(p, dim);
    const char *at = p->at;
    if (!read_int(p, &dim->word)) return false;
    return dim_is_number(*dim) || fail(p, at, "the size is out of range");
}

/* Factors of a term, from the left. */
static bool read_term(Parser *p, Dim *dim) {
    DimTable *table = p->graph->table;
    if (!read_factor(p, dim)) return false;
    for (;;) {
        Dim other;
        skip_blank(p);
        char sign = peek(p);
        if (sign != '*' && sign != '/' && sign != '%') return true;
        const char *at = p->at++;
        if (!read_factor(p, &other)) return false;
        if (sign != '*' && dim_is(other, 0)) return fail(p, at, "division by 0");
        *dim = sign == '*'   ? dim_mul(table, *dim, other)
               : sign == '/' ? dim_quotient(table, *dim, other)
                             : dim_remainder(table, *dim, other);
    }
}

/* "64", "s0*12 + 3": a number, or an expression of the header's symbols. */
static bool read_dim(Parser *p, Dim *dim) {
    DimTable *table = p->graph->table;
    skip_blank(p);
    bool negative = peek(p) == '-' && p->at + 1 < p->end && !(p->at[1] >= '0' && p->at[1] <= '9');
    if (negative) p->at++;
    const char *at = p->at;
    if (!read_term(p, dim)) return false;
    if (negative) *dim = dim_sub(table, dim_of(0), *dim);
    for (;;) {
        Dim other;
        bool adds = accept(p, "+ ");
        if (!adds && !accept(p, "- ")) break;
        if (!read_term(p, &other)) return false;
        *dim = adds ? dim_add(table, *dim, other) : dim_sub(table, *dim, other);
    }
    return !(table && table->failed) || fail(p, at, "the size is too large or too complex");
}

/* ---- ids and types --------------------------------------------------------------------------- */

/* "%12" */
static bool read_number(Parser *p, uint32_t *number) {
    int64_t value;
    if (!expect(p, "%")) return false;
    Word word = {p->at, 0};
    while (peek(p) >= '0' && peek(p) <= '9') p->at++;
    word.length = (size_t)(p->at - word.at);
    if (!literal_parse_int(word.at, word.length, &value) || value > INT32_MAX)
        return fail(p, word.at, "expected a node's number behind %%");
    *number = (uint32_t)value;
    return true;
}

/* Adds a definition; numbers ascend, so that each is defined once and before its uses. */
static bool define(Parser *p, const char *at, uint32_t number, NodeId node) {
    if (p->definitions.count && vec_last(&p->definitions).number >= number)
        return fail(p, at, "%%%u comes after %%%u", number, vec_last(&p->definitions).number);
    Definition definition = {number, node};
    return vec_push(&p->definitions, definition) || fail_memory(p);
}

/* "%12" for a node that was defined. */
static bool read_node(Parser *p, NodeId *node) {
    uint32_t number = 0;
    skip_blank(p);
    const char *at = p->at;
    if (!read_number(p, &number)) return false;
    uint32_t low = 0, high = p->definitions.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->definitions.data[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == p->definitions.count || p->definitions.data[low].number != number)
        return fail(p, at, "%%%u is not defined", number);
    *node = p->definitions.data[low].node;
    return true;
}

static bool read_dtype(Parser *p, sn_dtype *dtype) {
    Word word = read_name(p);
    return dtype_parse(word.at, word.length, dtype) ||
           fail(p, word.at, "'%.*s' is no dtype", shown(word), word.at);
}

/* "f32[2,3]" */
static bool read_type(Parser *p, TensorType *type) {
    sn_dtype dtype;
    if (!read_dtype(p, &dtype)) return false;
    *type = (TensorType){.dtype = (uint8_t)dtype};
    if (!accept(p, "[") || accept(p, "]")) return true;
    do {
        skip_blank(p);
        const char *at = p->at;
        Dim size;
        if (!read_dim(p, &size)) return false;
        if (dim_is_number(size) && size.word < 0) return fail(p, at, "a size is negative");
        if (type->rank == SN_MAX_RANK) return fail(p, at, "more than %d dims", SN_MAX_RANK);
        type->dims[type->rank++] = size;
    } while (accept(p, ","));
    return expect(p, "]");
}

/* ---- header ---------------------------------------------------------------------------------- */

static bool read_graph_name(Parser *p) {
    Word word = read_name(p);
    if (!word.length) return fail(p, p->at, "expected the graph's name");
    char *name = mem_alloc(word.length + 1);
    if (!name || !vec_push(&p->graph->owned, name)) {
        mem_free(name);
        return fail_memory(p);
    }
    memcpy(name, word.at, word.length);
    name[word.length] = 0;
    p->graph->name = name;
    return true;
}

/* A bound, or what stands for none where there is no number. */
static bool read_bound(Parser *p, int64_t none, int64_t *bound) {
    skip_blank(p);
    Word word = {p->at, 0};
    if (peek(p) == '-') p->at++;
    while (peek(p) >= '0' && peek(p) <= '9') p->at++;
    word.length = (size_t)(p->at - word.at);
    *bound = none;
    return !word.length || literal_parse_int(word.at, word.length, bound) ||
           fail(p, word.at, "'%.*s' is no bound", shown(word), word.at);
}

/* A name that is not "s" and its number, which needs none, is the graph's. */
static bool own_symbol_name(Parser *p, Word word, const char **name) {
    char plain[16];
    snprintf(plain, sizeof plain, "s%u", p->graph->table->symbols.count);
    *name = NULL;
    if (is_word(word, plain)) return true;
    char *copy = mem_alloc(word.length + 1);
    if (!copy || !vec_push(&p->graph->owned, copy)) {
        mem_free(copy);
        return fail_memory(p);
    }
    memcpy(copy, word.at, word.length);
    copy[word.length] = 0;
    *name = copy;
    return true;
}

/* "[s0 = 32 in 1.., T = 4 in 0..1024]" */
static bool read_symbols(Parser *p) {
    if (!accept(p, "[")) return true;
    if (!p->graph->table) return fail(p, p->at, "there is no room for sizes that vary");
    do {
        int64_t hint, least, most;
        const char *name;
        Word word = read_name(p);
        if (!word.length || !starts_name(*word.at))
            return fail(p, word.at, "expected a size's name");
        if (!own_symbol_name(p, word, &name) || !expect(p, "=") || !read_int(p, &hint) ||
            !expect(p, "in") || !read_bound(p, INT64_MIN, &least) || !expect(p, "..") ||
            !read_bound(p, INT64_MAX, &most))
            return false;
        if (hint < least || hint > most) return fail(p, word.at, "the value is out of bounds");
        dim_symbol(p->graph->table, name, hint, least, most);
        if (p->graph->table->failed) return fail_memory(p);
    } while (accept(p, ","));
    return expect(p, "]");
}

/* "{4,1}": one for each dim, where the input is not dense. */
static bool read_strides(Parser *p, PendingInput *input) {
    if (!accept(p, "{")) return true;
    input->has_strides = true;
    for (int32_t i = 0; i < input->type.rank; i++) {
        if (i && !expect(p, ",")) return false;
        if (!read_dim(p, &input->strides[i])) return false;
    }
    return expect(p, "}");
}

static bool read_input(Parser *p) {
    PendingInput input = {0};
    skip_space(p);
    input.at = p->at;
    if (!read_number(p, &input.number) || !expect(p, ":") || !read_type(p, &input.type) ||
        !read_strides(p, &input))
        return false;
    if (p->pending.count && vec_last(&p->pending).number >= input.number)
        return fail(p, input.at, "%%%u comes after %%%u", input.number,
                    vec_last(&p->pending).number);
    skip_space(p);
    return vec_push(&p->pending, input) || fail_memory(p);
}

/* "graph f[s0 = 2 in 1..](%0: f32[s0], %1: i64[]) {" */
static bool read_header(Parser *p) {
    skip_space(p);
    if (!expect(p, "graph") || !read_graph_name(p) || !read_symbols(p) || !expect(p, "("))
        return false;
    skip_space(p);
    if (!accept(p, ")")) {
        do {
            if (!read_input(p)) return false;
        } while (accept(p, ","));
        if (!expect(p, ")")) return false;
    }
    return expect(p, "{");
}

/* Makes the inputs whose number is below `number`: they take their place among the nodes. */
static bool make_inputs(Parser *p, uint32_t number) {
    for (; p->next_pending < p->pending.count; p->next_pending++) {
        const PendingInput *input = &p->pending.data[p->next_pending];
        if (input->number >= number) break;
        sn_error inner = {0};
        NodeId node = graph_input(p->graph, &input->type,
                                  input->has_strides ? input->strides : NULL, (Site){0}, &inner);
        if (node == NODE_NONE) return fail_inner(p, input->at, &inner);
        if (!define(p, input->at, input->number, node)) return false;
    }
    return true;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* Attributes of a line as they come; put into the signature's order afterwards. */
typedef struct AttrText {
    AttrList words;                /* words of all values in the order of the text */
    int32_t first[OP_MOST_PARAMS]; /* by parameter: first of its words */
    int32_t count[OP_MOST_PARAMS]; /* by parameter: how many; 0 = not in the text */
} AttrText;

/* A word of an attribute: an integer, or a size that may be an expression. */
static bool read_word(Parser *p, bool is_size, int64_t *word) {
    Dim dim;
    if (!is_size) return read_int(p, word);
    if (!read_dim(p, &dim)) return false;
    *word = dim.word;
    return true;
}

static bool read_list(Parser *p, bool is_size, AttrList *out) {
    int64_t values[ATTR_MOST];
    int32_t count = 0;
    if (!expect(p, "[")) return false;
    if (!accept(p, "]")) {
        do {
            if (count == ATTR_MOST) return fail(p, p->at, "more than %d values", ATTR_MOST);
            if (!read_word(p, is_size, &values[count++])) return false;
        } while (accept(p, ","));
        if (!expect(p, "]")) return false;
    }
    attr_add_list(out, values, count);
    return true;
}

/* The number of a scalar of the call. */
static bool read_scalar(Parser *p, int64_t *number) {
    const char *at = p->at;
    return read_int(p, number) && ((*number >= 0 && *number <= INT32_MAX) ||
                                   fail(p, at, "a scalar's number is out of range"));
}

/* "0.5", "scalar 0" */
static bool read_real(Parser *p, const OpParam *param, AttrList *out) {
    int64_t number;
    uint64_t bits;
    if (param->is_real && accept(p, "scalar ")) {
        if (!read_scalar(p, &number)) return false;
        attr_add_int(out, attr_scalar((uint32_t)number));
        return true;
    }
    Word word = read_literal(p);
    if (!literal_parse(word.at, word.length, SN_F64, &bits))
        return fail(p, word.at, "'%.*s' is no number", shown(word), word.at);
    attr_add_double(out, dtype_bits_to_double(SN_F64, bits));
    return true;
}

static bool read_value(Parser *p, const OpParam *param, AttrList *out) {
    int64_t value;
    char kind = param->kind;
    if (kind == 'L') return read_list(p, param->is_size, out);
    if (kind == 'y') {
        sn_dtype dtype;
        if (!read_dtype(p, &dtype)) return false;
        value = dtype;
    } else if (kind == 'd') {
        return read_real(p, param, out);
    } else if (!read_word(p, param->is_size, &value)) {
        return false;
    }
    attr_add_int(out, value);
    return true;
}

/* "axes=[0,1]" */
static bool read_attr(Parser *p, OpCode op, AttrText *text) {
    int32_t n_params;
    const OpParam *params = op_params(op, &n_params);
    Word name = read_name(p);
    int32_t i = 0;
    while (i < n_params && !(params[i].attr && is_word(name, params[i].name))) i++;
    if (i == n_params || params[i].attr == ATTR_BITS)
        return fail(p, name.at, "%s has no attribute '%.*s'", op_info[op].name, shown(name),
                    name.at);
    if (text->count[i]) return fail(p, name.at, "'%s' is given twice", params[i].name);
    text->first[i] = text->words.count;
    if (!expect(p, "=") || !read_value(p, &params[i], &text->words)) return false;
    if (text->words.count > ATTR_MOST) return fail(p, name.at, "too many attribute values");
    text->count[i] = text->words.count - text->first[i];
    return true;
}

/* "{axes=[0,1], keepdim=1}", or nothing; fills in what is left out with zeros. */
static bool read_attrs(Parser *p, OpCode op, AttrList *out) {
    int32_t n_params;
    const OpParam *params = op_params(op, &n_params);
    AttrText text;
    text.words.count = 0;
    memset(text.count, 0, sizeof text.count);
    skip_blank(p);
    const char *at = p->at;
    if (accept(p, "{")) {
        do {
            if (!read_attr(p, op, &text)) return false;
        } while (accept(p, ","));
        if (!expect(p, "}")) return false;
    }
    out->count = 0;
    for (int32_t i = 0; i < n_params; i++) {
        if (!params[i].attr) continue;
        if (!text.count[i]) attr_add_int(out, 0);
        for (int32_t j = 0; j < text.count[i]; j++)
            attr_add_int(out, text.words.words[text.first[i] + j]);
    }
    return out->count <= ATTR_MOST || fail(p, at, "too many attribute values");
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* The file's name, shared with the line before where it is the same. NULL when out of memory. */
static const char *own_file(Parser *p, Word word) {
    if (p->file && is_word(word, p->file)) return p->file;
    char *file = mem_alloc(word.length + 1);
    if (!file || !vec_push(&p->graph->owned, file)) {
        mem_free(file);
        return NULL;
    }
    memcpy(file, word.at, word.length);
    file[word.length] = 0;
    return p->file = file;
}

/* Splits "model.c:12"; false when the comment is no source line. */
static bool split_site(Word comment, Word *file, int64_t *line) {
    const char *end = comment.at + comment.length;
    while (end > comment.at && (end[-1] == ' ' || end[-1] == '\r')) end--;
    const char *digits = end;
    while (digits > comment.at && digits[-1] >= '0' && digits[-1] <= '9') digits--;
    if (digits <= comment.at + 1 || digits[-1] != ':') return false;
    *file = (Word){comment.at, (size_t)(digits - 1 - comment.at)};
    for (size_t i = 0; i < file->length; i++)
        if ((unsigned char)file->at[i] < ' ') return false;
    return literal_parse_int(digits, (size_t)(end - digits), line) && *line <= INT32_MAX;
}

/* "; model.c:12" at a line's end, or any other comment, or nothing. */
static bool read_site(Parser *p, Site *site) {
    *site = (Site){0};
    if (accept(p, ";")) {
        skip_blank(p);
        Word comment = {p->at, 0}, file;
        skip_line(p);
        comment.length = (size_t)(p->at - comment.at);
        int64_t line;
        if (split_site(comment, &file, &line)) {
            *site = site_at(own_file(p, file), (int32_t)line);
            if (!site->file) return fail_memory(p);
        }
    }
    skip_blank(p);
    return p->at == p->end || peek(p) == '\n' || fail(p, p->at, "expected the end of the line");
}

/* "%0, none, %2", or nothing. */
static bool read_operands(Parser *p) {
    p->operands.count = 0;
    skip_blank(p);
    if (peek(p) != '%' && peek(p) != 'n') return true;
    do {
        NodeId node = NODE_NONE;
        if (!accept(p, "none") && !read_node(p, &node)) return false;
        if (!vec_push(&p->operands, node)) return fail_memory(p);
    } while (accept(p, ","));
    return true;
}

/* A line's parts between op and source line. */
typedef struct Line {
    const char *at;   /* where the op stands, for errors */
    OpCode op;        /* what is computed */
    int32_t constant; /* kind of a constant: LITERAL (or hoisted), SIZE, SCALAR, REAL */
    Word literal;     /* value of a constant, as text */
    Dim size;         /* a constant's size, or the number of its scalar */
    AttrList attrs;   /* attributes in the signature's order */
    TensorType type;  /* the declared type */
    Site site;        /* source line */
} Line;

static NodeId make_const(Parser *p, const Line *line, sn_error *error) {
    uint64_t bits;
    sn_dtype dtype = (sn_dtype)line->type.dtype;
    AttrView attrs = attr_view(OP_CONST, &line->attrs);
    bool weak = attr_bool(attrs, ATTR_WEAK), hoist = attr_int(attrs, ATTR_HOIST) != CONST_LITERAL;
    if (line->constant == CONST_SIZE)
        return graph_size(p->graph, dtype, line->size, line->site, error);
    if (line->constant == CONST_SCALAR)
        return graph_scalar(p->graph, dtype, (uint32_t)line->size.word, weak, line->site, error);
    if (line->constant == CONST_REAL)
        return graph_real(p->graph, dtype, (uint32_t)line->size.word, line->site, error);
    if (!literal_parse(line->literal.at, line->literal.length, dtype, &bits)) {
        fail(p, line->literal.at, "'%.*s' is no %s", shown(line->literal), line->literal.at,
             sn_dtype_name(dtype));
        return NODE_NONE;
    }
    return graph_const(p->graph, dtype, bits, hoist, weak, line->site, error);
}

/* "0.5", "size s0*4", "scalar 0", "real 0" */
static bool read_constant(Parser *p, Line *line) {
    line->constant = CONST_LITERAL;
    if (accept(p, "size ")) {
        line->constant = CONST_SIZE;
        const char *at = p->at;
        if (!read_dim(p, &line->size)) return false;
        return !dim_is_number(line->size) || fail(p, at, "the size does not vary");
    }
    if (accept(p, "scalar "))
        line->constant = CONST_SCALAR;
    else if (accept(p, "real "))
        line->constant = CONST_REAL;
    if (line->constant != CONST_LITERAL) return read_scalar(p, &line->size.word);
    line->literal = read_literal(p);
    return true;
}

/* The inferred type is the one that counts; the text must agree with it. */
static bool check_type(Parser *p, const Line *line, NodeId node) {
    TensorType type = node_type(p->graph, node);
    if (type.dtype == line->type.dtype && type_same_dims(&type, &line->type)) return true;
    StrBuf text = {0};
    node_print_type(&text, p->graph, node);
    fail(p, line->at, "the type of this %s is %s", op_info[line->op].name, strbuf_text(&text));
    strbuf_free(&text);
    return false;
}

/* "add %0, %1 {…} : f32[2]  ; model.c:12" */
static bool read_line(Parser *p, NodeId *node) {
    Line line;
    Word name = read_name(p);
    line.at = name.at;
    line.op = op_find(name.at, name.length);
    if (line.op == OP_COUNT) return fail(p, name.at, "no op '%.*s'", shown(name), name.at);
    p->operands.count = 0;
    if (line.op == OP_CONST ? !read_constant(p, &line) : !read_operands(p)) return false;
    if (!read_attrs(p, line.op, &line.attrs) || !expect(p, ":") || !read_type(p, &line.type) ||
        !read_site(p, &line.site))
        return false;
    sn_error inner = {0};
    *node = line.op == OP_CONST
                ? make_const(p, &line, &inner)
                : graph_emit(p->graph, line.op, p->operands.data, (int32_t)p->operands.count,
                             &line.attrs, line.site, &inner);
    if (*node == NODE_NONE) return fail_inner(p, line.at, &inner);
    return check_type(p, &line, *node);
}

/* "%3 = …" */
static bool read_definition(Parser *p) {
    uint32_t number = 0;
    NodeId node = NODE_NONE;
    const char *at = p->at;
    if (!read_number(p, &number) || !make_inputs(p, number)) return false;
    if (p->next_pending < p->pending.count && p->pending.data[p->next_pending].number == number)
        return fail(p, at, "%%%u is an input", number);
    return expect(p, "=") && read_line(p, &node) && define(p, at, number, node);
}

/* "return %4, %3 -> %0" */
static bool read_return(Parser *p) {
    skip_blank(p);
    if (peek(p) == '%') {
        do {
            NodeId node, target;
            int32_t writes_input = -1;
            if (!read_node(p, &node)) return false;
            if (accept(p, "->")) {
                skip_blank(p);
                const char *at = p->at;
                if (!read_node(p, &target)) return false;
                const Node *input = graph_node(p->graph, target);
                if (!node_is_input(input)) return fail(p, at, "only inputs are written");
                writes_input = (int32_t)node_attr_int(p->graph, target, ATTR_NUMBER);
            }
            if (!graph_output(p->graph, node, writes_input)) return fail_memory(p);
        } while (accept(p, ","));
    }
    skip_space(p);
    if (!expect(p, "}")) return false;
    skip_space(p);
    return p->at == p->end || fail(p, p->at, "text behind the graph");
}

static bool read_graph(Parser *p) {
    if (!read_header(p)) return false;
    for (;;) {
        skip_space(p);
        if (peek(p) != '%') break;
        if (!read_definition(p)) return false;
    }
    const char *at = p->at;
    if (!expect(p, "return") || !make_inputs(p, UINT32_MAX) || !read_return(p)) return false;
    sn_error inner = {0};
    return graph_verify(p->graph, &inner) == SN_OK || fail_inner(p, at, &inner);
}

sn_status graph_parse(Graph *graph, const char *text, size_t length, sn_error *error) {
    if (!length) text = "";
    Parser parser = {
        .text = text, .at = text, .end = text + length, .graph = graph, .error = error};
    const char *name = graph->name;
    bool no_fold = graph->no_fold;
    graph->no_fold = true;
    if (!read_graph(&parser)) {
        graph_free(graph);
        graph->name = name;
    }
    graph->no_fold = no_fold;
    vec_free(&parser.definitions);
    vec_free(&parser.pending);
    vec_free(&parser.operands);
    return parser.status;
}
