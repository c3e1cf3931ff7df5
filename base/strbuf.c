/* String buffer; see strbuf.h. */
#include "base/strbuf.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static bool reserve(StrBuf *buf, size_t extra) {
    SN_ASSERT(buf->text ? buf->length < buf->capacity && !buf->text[buf->length] : !buf->length);
    if (buf->failed) return false;
    size_t need = buf->length + extra + 1;
    if (need <= buf->capacity) return true;
    size_t capacity = buf->capacity ? buf->capacity * 2 : 256;
    if (capacity < need) capacity = need;
    char *grown = mem_realloc(buf->text, capacity);
    if (!grown) {
        buf->failed = true;
        return false;
    }
    buf->text = grown;
    buf->capacity = capacity;
    return true;
}

void strbuf_add_bytes(StrBuf *buf, const char *text, size_t length) {
    if (!reserve(buf, length)) return;
    memcpy(buf->text + buf->length, text, length);
    buf->length += length;
    SN_ASSERT(buf->length < buf->capacity);
    buf->text[buf->length] = 0;
}

void strbuf_add(StrBuf *buf, const char *text) {
    strbuf_add_bytes(buf, text, strlen(text));
}

void strbuf_add_char(StrBuf *buf, char c) {
    strbuf_add_bytes(buf, &c, 1);
}

void strbuf_add_int(StrBuf *buf, int64_t value) {
    char digits[24];
    char *p = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0) *--p = '-';
    strbuf_add_bytes(buf, p, (size_t)(digits + sizeof digits - p));
}

void strbuf_vaddf(StrBuf *buf, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length >= 0 && reserve(buf, (size_t)length)) {
        vsnprintf(buf->text + buf->length, (size_t)length + 1, format, again);
        buf->length += (size_t)length;
    }
    va_end(again);
}

void strbuf_addf(StrBuf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    strbuf_vaddf(buf, format, args);
    va_end(args);
}

size_t text_fit(const char *text, size_t most) {
    size_t length = strnlen(text, most);
    if (!text[length]) return length;
    while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) length--;
    return length;
}

void strbuf_add_fixed(StrBuf *buf, int64_t value, int digits) {
    SN_ASSERT(digits >= 1 && digits <= 18);
    const char *sign = value < 0 ? "-" : "";
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value, one = 1;
    for (int i = 0; i < digits; i++) one *= 10;
    strbuf_addf(buf, "%s%llu.%0*llu", sign, (unsigned long long)(size / one), digits,
                (unsigned long long)(size % one));
}

void strbuf_pad_to(StrBuf *buf, size_t column) {
    size_t line = buf->length;
    while (line && buf->text[line - 1] != '\n') line--;
    while (!buf->failed && buf->length - line < column) strbuf_add_char(buf, ' ');
}

char *strbuf_take(StrBuf *buf) {
    if (!buf->text) strbuf_add(buf, "");
    char *text = buf->failed ? NULL : buf->text;
    if (buf->failed) mem_free(buf->text);
    *buf = (StrBuf){0};
    return text;
}

const char *strbuf_text(const StrBuf *buf) {
    return buf->text ? buf->text : "";
}

void strbuf_clear(StrBuf *buf) {
    buf->length = 0;
    buf->failed = false;
    if (buf->text) buf->text[0] = 0;
}

void strbuf_free(StrBuf *buf) {
    mem_free(buf->text);
    *buf = (StrBuf){0};
}
