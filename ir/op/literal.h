/* Scalars as text that reads back to the same bits; the constants and attributes of both text
 * forms. Independent of the process's locale. */
#ifndef SN_IR_OP_LITERAL_H
#define SN_IR_OP_LITERAL_H

#include "base/strbuf.h"

#include <sinter/base.h>

/* Prints the shortest form: `true`, `-7`, `1.0`, `0.1`, `-0.0`, `inf`, `nan`; a NaN other than the
 * default one of either sign prints its pattern, `nan(0x7f800001)`. */
void literal_print(StrBuf *out, sn_dtype dtype, uint64_t bits);
/* Reads what literal_print wrote, or any decimal number that fits; the whole text must be one
 * literal. False when it is none of this dtype. */
bool literal_parse(const char *text, size_t length, sn_dtype dtype, uint64_t *bits);
/* Decimal integer with an optional sign. */
bool literal_parse_int(const char *text, size_t length, int64_t *value);
/* True for characters that literals are made of, but for the pattern of a NaN. */
static inline bool literal_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '-' || c == '.';
}

#endif
