/* sn_format: the text of a tensor.
 *
 * - An axis is its items in brackets, separated by ", ". A text of at most 80 columns is one line;
 *   otherwise each row has its own, long rows are wrapped, and blocks of higher axes are set apart by
 *   empty lines.
 * - All elements have one width. Floats have as many digits as tell their values apart from their
 *   neighbours in the dtype, at most 8, and one number of decimals; they are fixed ("1.50") unless
 *   one is ≥ 1e8 or, not being 0, < 1e-4, or they would need more than 12 digits: then all are
 *   scientific ("1.50e+08").
 * - More than 1000 elements: an axis of more than 6 items shows the first 3, "..." and the last 3.
 * - bool is true and false, a tensor without elements is [], one of rank 0 its element alone. */
#include "frontend/tensor/tensor.h"

#include "base/strbuf.h"
#include "ir/op/dtype.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LINE_COLUMNS = 80,           /* width of a line */
    WHOLE_COUNT = 1000,          /* elements up to which all are shown */
    EDGE_ITEMS = 3,              /* items shown at either end of an abbreviated axis */
    AXIS_ITEMS = 2 * EDGE_ITEMS, /* items up to which an axis is not abbreviated */
    MOST_DIGITS = 8,             /* significant digits, and decimals */
    MOST_COLUMN = 12,            /* digits of a fixed number, before and after its point */
    NUMBER_TEXT = 64             /* room for one element */
};

/* How the elements of a tensor are shown. */
typedef struct Format {
    const sn_tensor *tensor;  /* what is shown */
    bool abbreviated;         /* long axes show their edges only */
    bool one_line;            /* no line breaks */
    bool scientific;          /* floats have exponents */
    int32_t decimals;         /* floats: digits behind the point */
    int32_t width;            /* columns of an element */
    size_t line;              /* where the current line begins in out */
    StrBuf out;               /* the text */
    double largest, smallest; /* floats: extremes of |x|, finite and not 0; 0 = there are none */
    int32_t mantissa;         /* floats: most digits behind the point of a scientific number */
    int32_t fraction;         /* floats: most digits behind the point of a fixed one */
} Format;

/* ---- one element ----------------------------------------------------------------------------- */

/* printf's text has the locale's decimal point; ours is always ".", also behind a whole number. */
static void fix_point(char *text, bool scientific) {
    char *at = text + (*text == '-');
    while (*at >= '0' && *at <= '9') at++;
    if (*at == 0 && !scientific) memcpy(at, ".", 2);
    if (*at == 0 || *at == 'e') return;
    char *rest = at + 1;
    while (*rest && (*rest < '0' || *rest > '9')) rest++;
    *at = '.';
    memmove(at + 1, rest, strlen(rest) + 1);
}

static void print_float(const Format *f, double value, char *text) {
    if (isnan(value))
        snprintf(text, NUMBER_TEXT, "nan");
    else if (isinf(value))
        snprintf(text, NUMBER_TEXT, value < 0 ? "-inf" : "inf");
    else {
        snprintf(text, NUMBER_TEXT, f->scientific ? "%.*e" : "%.*f", (int)f->decimals, value);
        fix_point(text, f->scientific);
    }
}

static void print_element(const Format *f, const char *at, char *text) {
    sn_dtype dtype = (sn_dtype)f->tensor->dtype;
    uint64_t bits = dtype_load(dtype, at);
    if (dtype == SN_BOOL)
        snprintf(text, NUMBER_TEXT, "%s", bits ? "true" : "false");
    else if (dtype_is_float(dtype))
        print_float(f, dtype_bits_to_double(dtype, bits), text);
    else
        snprintf(text, NUMBER_TEXT, "%lld", (long long)dtype_bits_to_int(dtype, bits));
}

/* ---- measuring ------------------------------------------------------------------------------- */

/* What is done with each element that is shown. */
typedef void ElementVisit(Format *f, const char *at);

/* Index of the item shown after the i-th of `count`. */
static int64_t next_shown(const Format *f, int64_t i, int64_t count) {
    bool jumps = f->abbreviated && count > AXIS_ITEMS && i == EDGE_ITEMS - 1;
    return jumps ? count - EDGE_ITEMS : i + 1;
}

static void visit_shown(Format *f, int32_t axis, const char *at, ElementVisit *visit) {
    if (axis == f->tensor->rank) {
        visit(f, at);
        return;
    }
    int64_t count = f->tensor->dims[axis];
    int64_t step = f->tensor->strides[axis] * (int64_t)sn_dtype_size((sn_dtype)f->tensor->dtype);
    for (int64_t i = 0; i < count; i = next_shown(f, i, count))
        visit_shown(f, axis + 1, at + i * step, visit);
}

/* The fewest digits that read back as the same element, and its decimal exponent. */
static void note_digits(Format *f, const char *at) {
    sn_dtype dtype = (sn_dtype)f->tensor->dtype;
    uint64_t bits = dtype_load(dtype, at);
    double value = dtype_bits_to_double(dtype, bits), size = fabs(value);
    if (!isfinite(value) || size == 0) return;
    if (size > f->largest) f->largest = size;
    if (f->smallest == 0 || size < f->smallest) f->smallest = size;
    char text[NUMBER_TEXT];
    int32_t digits = 0;
    do snprintf(text, sizeof text, "%.*e", (int)digits++, value);
    while (digits < MOST_DIGITS && dtype_bits_from_double(dtype, strtod(text, NULL)) != bits);
    int32_t exponent = (int32_t)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (digits - 1 > f->mantissa) f->mantissa = digits - 1;
    if (digits - 1 - exponent > f->fraction) f->fraction = digits - 1 - exponent;
}

static void note_width(Format *f, const char *at) {
    char text[NUMBER_TEXT];
    print_element(f, at, text);
    int32_t width = (int32_t)strlen(text);
    if (width > f->width) f->width = width;
}

static void measure(Format *f, const char *data) {
    if (dtype_is_float((sn_dtype)f->tensor->dtype)) {
        visit_shown(f, 0, data, note_digits);
        int32_t fraction = f->fraction < MOST_DIGITS ? f->fraction : MOST_DIGITS;
        int32_t whole = f->largest < 1 ? 1 : (int32_t)log10(f->largest) + 1;
        f->scientific = f->largest >= 1e8 || (f->smallest > 0 && f->smallest < 1e-4) ||
                        whole + fraction > MOST_COLUMN;
        f->decimals = f->scientific ? f->mantissa : fraction;
    }
    visit_shown(f, 0, data, note_width);
}

/* ---- printing -------------------------------------------------------------------------------- */

static void break_line(Format *f, int32_t breaks, int32_t indent) {
    for (int32_t i = 0; i < breaks; i++) strbuf_add_char(&f->out, '\n');
    f->line = f->out.length;
    for (int32_t i = 0; i < indent; i++) strbuf_add_char(&f->out, ' ');
}

/* Between two items of an axis: of the last one, a break only where the next item passes the
 * line's end; of an outer one, one break for each level of brackets that closes. */
static void print_separator(Format *f, int32_t axis, int32_t next_width) {
    int32_t rank = f->tensor->rank;
    bool fits = f->out.length - f->line + (size_t)next_width + 3 <= LINE_COLUMNS;
    strbuf_add_char(&f->out, ',');
    if (f->one_line || (axis == rank - 1 && fits))
        strbuf_add_char(&f->out, ' ');
    else
        break_line(f, axis == rank - 1 ? 1 : rank - 1 - axis, axis + 1);
}

static void print_axis(Format *f, int32_t axis, const char *at) {
    if (axis == f->tensor->rank) {
        char text[NUMBER_TEXT];
        print_element(f, at, text);
        strbuf_addf(&f->out, "%*s", (int)f->width, text);
        return;
    }
    int64_t count = f->tensor->dims[axis];
    int64_t step = f->tensor->strides[axis] * (int64_t)sn_dtype_size((sn_dtype)f->tensor->dtype);
    strbuf_add_char(&f->out, '[');
    for (int64_t i = 0, next; i < count; i = next) {
        next = next_shown(f, i, count);
        print_axis(f, axis + 1, at + i * step);
        if (next != i + 1) {
            print_separator(f, axis, (int32_t)strlen("..."));
            strbuf_add(&f->out, "...");
        }
        if (next < count) print_separator(f, axis, f->width);
    }
    strbuf_add_char(&f->out, ']');
}

/* Elements that are shown. */
static int64_t count_shown(const Format *f) {
    int64_t shown = 1;
    for (int32_t i = 0; i < f->tensor->rank; i++) {
        bool cut = f->abbreviated && f->tensor->dims[i] > AXIS_ITEMS;
        shown *= cut ? AXIS_ITEMS : f->tensor->dims[i];
    }
    return shown;
}

static void print_tensor(Format *f) {
    const char *data = tensor_data(f->tensor);
    measure(f, data);
    f->one_line = count_shown(f) * f->width <= LINE_COLUMNS;
    if (f->one_line) print_axis(f, 0, data);
    if (f->one_line && f->out.length <= LINE_COLUMNS) return;
    f->one_line = false;
    strbuf_clear(&f->out);
    print_axis(f, 0, data);
}

/* ---- entry ----------------------------------------------------------------------------------- */

#undef sn_format

int32_t sn_format_at(sn_tensor *tensor, char *buffer, size_t n, const char *file, int32_t line) {
    Site site = site_at(file, line);
    if (buffer && n) *buffer = 0;
    sn_tensor *real = tensor_realize(tensor, "format", site);
    if (!real) return -1;
    if (!buffer && n) {
        error_raise(SN_ERROR_ARGUMENT, site, "format: buffer is NULL, but n is %zu", n);
        return -1;
    }
    int64_t count = sizes_count(real->dims, real->rank);
    Format f = {.tensor = real, .abbreviated = count > WHOLE_COUNT};
    if (count)
        print_tensor(&f);
    else
        strbuf_add(&f.out, "[]");
    int32_t length = f.out.failed || f.out.length > INT32_MAX ? -1 : (int32_t)f.out.length;
    if (length < 0)
        error_raise(SN_ERROR_MEMORY, site, "format: out of memory");
    else if (n)
        snprintf(buffer, n, "%s", strbuf_text(&f.out));
    strbuf_free(&f.out);
    return length;
}

int32_t sn_format(sn_tensor *tensor, char *buffer, size_t n) {
    return sn_format_at(tensor, buffer, n, NULL, 0);
}
