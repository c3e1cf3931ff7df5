/* Scalars as text; see literal.h. printf and strtod do the conversion between binary and decimal;
 * what they do with the locale's decimal point is undone here. */
#include "ir/op/literal.h"

#include "ir/op/dtype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MOST = 64 }; /* bytes for a number; the longest printed has 24 characters */

/* The quiet NaN without payload, sign clear, and the sign bit of each floating dtype. */
typedef struct FloatPattern {
    uint64_t infinity; /* exponent all ones, mantissa 0 */
    uint64_t nan;      /* default NaN */
    uint64_t sign;     /* sign bit */
} FloatPattern;

static FloatPattern float_pattern(sn_dtype dtype) {
    switch (dtype) {
    case SN_F16:
        return (FloatPattern){0x7c00u, 0x7e00u, 0x8000u};
    case SN_BF16:
        return (FloatPattern){0x7f80u, 0x7fc0u, 0x8000u};
    case SN_F32:
        return (FloatPattern){0x7f800000u, 0x7fc00000u, 0x80000000u};
    default:
        return (FloatPattern){0x7ff0000000000000u, 0x7ff8000000000000u, 0x8000000000000000u};
    }
}

/* ---- decimal numbers ------------------------------------------------------------------------- */

/* The locale's decimal point, found by printing a number: localeconv() is not thread safe. */
static void decimal_point(char point[16]) {
    char probe[16] = "";
    snprintf(probe, sizeof probe, "%.1f", 0.5);
    size_t length = strlen(probe);
    size_t inner = length > 2 ? length - 2 : 0;
    memcpy(point, probe + 1, inner);
    point[inner] = 0;
}

/* `value` with `precision` digits, with a '.' whatever the locale. */
static void print_double(char text[NUMBER_MOST], int precision, double value) {
    char raw[NUMBER_MOST];
    snprintf(raw, sizeof raw, "%.*g", precision, value);
    size_t n = 0;
    for (const char *p = raw; *p; p++) {
        if (literal_char(*p) && *p != '.') {
            text[n++] = *p;
        } else if (n == 0 || text[n - 1] != '.') {
            text[n++] = '.';
        }
    }
    text[n] = 0;
}

/* Reads sign, digits, fraction, exponent; nothing else that strtod would take (hex, inf,
 * spaces). */
static bool parse_double(const char *text, size_t length, double *value) {
    char point[16];
    char raw[NUMBER_MOST + sizeof point];
    size_t n = 0;
    bool dotted = false, digit = false;
    if (length == 0 || length >= NUMBER_MOST) return false;
    decimal_point(point);
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '.') {
            if (dotted) return false;
            dotted = true;
            for (const char *p = point; *p; p++) raw[n++] = *p;
            continue;
        }
        if (!(c >= '0' && c <= '9') && c != 'e' && c != '+' && c != '-') return false;
        digit |= c >= '0' && c <= '9';
        raw[n++] = c;
    }
    raw[n] = 0;
    char *end;
    *value = strtod(raw, &end);
    return digit && *end == 0;
}

static void print_float(StrBuf *out, sn_dtype dtype, uint64_t bits) {
    char text[NUMBER_MOST];
    double value = dtype_bits_to_double(dtype, bits);
    for (int precision = 1; precision <= 17; precision++) {
        double again;
        print_double(text, precision, value);
        if (parse_double(text, strlen(text), &again) &&
            dtype_bits_from_double(dtype, again) == bits)
            break;
    }
    strbuf_add(out, text);
    if (!strpbrk(text, ".e")) strbuf_add(out, ".0");
}

/* ---- the dtypes ------------------------------------------------------------------------------ */

void literal_print(StrBuf *out, sn_dtype dtype, uint64_t bits) {
    if (dtype == SN_BOOL) {
        strbuf_add(out, bits ? "true" : "false");
        return;
    }
    if (!dtype_is_float(dtype)) {
        strbuf_add_int(out, dtype_bits_to_int(dtype, bits));
        return;
    }
    FloatPattern pattern = float_pattern(dtype);
    uint64_t magnitude = bits & ~pattern.sign;
    if (magnitude > pattern.infinity && magnitude != pattern.nan) {
        strbuf_addf(out, "nan(0x%llx)", (unsigned long long)bits);
    } else if (magnitude >= pattern.infinity) {
        if (bits & pattern.sign) strbuf_add_char(out, '-');
        strbuf_add(out, magnitude == pattern.infinity ? "inf" : "nan");
    } else {
        print_float(out, dtype, bits);
    }
}

bool literal_parse_int(const char *text, size_t length, int64_t *value) {
    bool negative = length && *text == '-';
    size_t i = length && (*text == '-' || *text == '+');
    if (i == length) return false;
    uint64_t limit = (uint64_t)INT64_MAX + negative;
    uint64_t sum = 0;
    for (; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (sum > (limit - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    *value = (int64_t)(negative ? 0 - sum : sum);
    return true;
}

/* "nan(0x7f800001)": the pattern must be a NaN of this dtype. */
static bool parse_pattern(const char *text, size_t length, FloatPattern pattern, uint64_t *bits) {
    static const char open[] = "nan(0x";
    size_t head = sizeof open - 1;
    if (length < head + 2 || length > head + 17 || memcmp(text, open, head) != 0) return false;
    if (text[length - 1] != ')') return false;
    uint64_t sum = 0;
    for (size_t i = head; i < length - 1; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit) return false;
        sum = sum << 4 | (uint64_t)(digit - digits);
    }
    *bits = sum;
    return (sum & ~pattern.sign) > pattern.infinity && sum <= (pattern.sign | (pattern.sign - 1));
}

static bool parse_float(const char *text, size_t length, sn_dtype dtype, uint64_t *bits) {
    FloatPattern pattern = float_pattern(dtype);
    if (parse_pattern(text, length, pattern, bits)) return true;
    bool negative = length && *text == '-';
    const char *word = text + negative;
    if (length - negative == 3 && (!memcmp(word, "inf", 3) || !memcmp(word, "nan", 3))) {
        *bits = (*word == 'i' ? pattern.infinity : pattern.nan) | (negative ? pattern.sign : 0);
        return true;
    }
    double value;
    if (!parse_double(text, length, &value)) return false;
    *bits = dtype_bits_from_double(dtype, value);
    return true;
}

bool literal_parse(const char *text, size_t length, sn_dtype dtype, uint64_t *bits) {
    if (dtype_is_float(dtype)) return parse_float(text, length, dtype, bits);
    if (dtype == SN_BOOL) {
        *bits = length == 4;
        return (length == 4 && !memcmp(text, "true", 4)) ||
               (length == 5 && !memcmp(text, "false", 5));
    }
    int64_t value;
    if (!literal_parse_int(text, length, &value)) return false;
    *bits = dtype_bits_from_int(dtype, value);
    return dtype_bits_to_int(dtype, *bits) == value;
}
