/* String buffer for printers. An append that fails marks the buffer failed and the rest is dropped,
 * so a printer checks once at its end. */
#ifndef SN_BASE_STRBUF_H
#define SN_BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StrBuf {
    char *text;      /* NUL-terminated once anything was appended, else NULL */
    size_t length;   /* bytes before the NUL */
    size_t capacity; /* bytes allocated */
    bool failed;     /* an append ran out of memory */
} StrBuf;

void strbuf_add(StrBuf *buf, const char *text);
void strbuf_add_bytes(StrBuf *buf, const char *text, size_t length);
void strbuf_add_char(StrBuf *buf, char c);
void strbuf_add_int(StrBuf *buf, int64_t value);
void strbuf_addf(StrBuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vaddf(StrBuf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* How many bytes of the text, at most so many, end where a character of UTF-8 does. */
size_t text_fit(const char *text, size_t most);
/* `value` with its last `digits` digits (1 to 18) behind a point, whatever the program's locale: 12345 and 3
 * are "12.345". */
void strbuf_add_fixed(StrBuf *buf, int64_t value, int digits);
/* Spaces up to column `column` of the current line. */
void strbuf_pad_to(StrBuf *buf, size_t column);
/* Hands the text over (free with mem_free); NULL when failed. Never NULL for an empty buffer. */
char *strbuf_take(StrBuf *buf);
/* The text so far, "" when empty. */
const char *strbuf_text(const StrBuf *buf);
void strbuf_clear(StrBuf *buf);
void strbuf_free(StrBuf *buf);

#endif
