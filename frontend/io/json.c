/* Reading JSON; see json.h. */
#include "frontend/io/json.h"

#include <string.h>

enum { MOST_DEPTH = 128 };

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

char json_next(Json *json) {
    while (json->at < json->end && is_blank(*json->at)) json->at++;
    return json->at < json->end ? *json->at : '\0';
}

bool json_take(Json *json, char wanted) {
    if (json_next(json) != wanted) return false;
    json->at++;
    return true;
}

bool json_element(Json *json, char close, bool first, bool *more) {
    *more = false;
    if (json_take(json, close)) return true;
    if (!first && !json_take(json, ',')) return false;
    *more = true;
    return json_next(json) != close; /* no comma before the end */
}

/* ---- strings --------------------------------------------------------------------------------- */

/* Four hexadecimal digits. */
static bool take_hex(Json *json, uint32_t *code) {
    *code = 0;
    if (json->end - json->at < 4) return false;
    for (int i = 0; i < 4; i++, json->at++) {
        char c = *json->at;
        uint32_t digit = is_digit(c)            ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return false;
        *code = *code * 16 + digit;
    }
    return true;
}

static void add_utf8(StrBuf *out, uint32_t code) {
    if (code < 0x80) {
        strbuf_add_char(out, (char)code);
        return;
    }
    int tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint32_t marks[] = {0, 0xc0, 0xe0, 0xf0};
    strbuf_add_char(out, (char)(marks[tail] | code >> 6 * tail));
    while (tail--) strbuf_add_char(out, (char)(0x80 | (code >> 6 * tail & 0x3f)));
}

/* What is behind \u: a character, or the first half of a pair and the second. */
static bool take_unicode(Json *json, StrBuf *out) {
    uint32_t code, low;
    if (!take_hex(json, &code) || !code || (code >= 0xdc00 && code <= 0xdfff)) return false;
    if (code >= 0xd800 && code <= 0xdbff) {
        if (json->end - json->at < 2 || memcmp(json->at, "\\u", 2) != 0) return false;
        json->at += 2;
        if (!take_hex(json, &low) || low < 0xdc00 || low > 0xdfff) return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    add_utf8(out, code);
    return true;
}

/* What is behind a backslash. */
static bool take_escape(Json *json, StrBuf *out) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (json->at == json->end) return false;
    char c = *json->at++;
    if (c == 'u') return take_unicode(json, out);
    const char *found = c ? strchr(names, c) : NULL;
    if (found) strbuf_add_char(out, meant[found - names]);
    return found != NULL;
}

bool json_string(Json *json, StrBuf *out) {
    strbuf_clear(out);
    if (!json_take(json, '"')) return false;
    while (json->at < json->end && *json->at != '"') {
        const char *from = json->at;
        while (json->at < json->end && *json->at != '"' && *json->at != '\\' &&
               (unsigned char)*json->at >= ' ')
            json->at++;
        strbuf_add_bytes(out, from, (size_t)(json->at - from));
        if (json->at == json->end || *json->at == '"') break;
        if (*json->at != '\\') return false; /* a control character */
        json->at++;
        if (!take_escape(json, out)) return false;
    }
    if (json->at == json->end) return false;
    json->at++;
    return true;
}

bool json_key(Json *json, StrBuf *out) {
    return json_string(json, out) && json_take(json, ':');
}

/* ---- numbers, other values ------------------------------------------------------------------- */

bool json_size(Json *json, int64_t *size) {
    if (!is_digit(json_next(json))) return false;
    const char *from = json->at;
    *size = 0;
    for (; json->at < json->end && is_digit(*json->at); json->at++)
        if (__builtin_mul_overflow(*size, 10, size) ||
            __builtin_add_overflow(*size, *json->at - '0', size))
            return false;
    if (*from == '0' && json->at > from + 1) return false;
    return json->at == json->end || !strchr(".eE", *json->at);
}

static bool skip_digits(Json *json) {
    const char *from = json->at;
    while (json->at < json->end && is_digit(*json->at)) json->at++;
    return json->at > from;
}

static bool skip_number(Json *json) {
    if (*json->at == '-') json->at++;
    const char *first = json->at;
    if (!skip_digits(json) || (*first == '0' && json->at > first + 1)) return false;
    if (json->at < json->end && *json->at == '.') {
        json->at++;
        if (!skip_digits(json)) return false;
    }
    if (json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
        json->at++;
        if (json->at < json->end && (*json->at == '+' || *json->at == '-')) json->at++;
        return skip_digits(json);
    }
    return true;
}

static bool skip_word(Json *json) {
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(json->end - json->at) < length || memcmp(json->at, words[i], length) != 0)
            continue;
        json->at += length;
        return true;
    }
    return false;
}

/* A value that is neither a list nor an object. */
static bool skip_plain(Json *json, StrBuf *text) {
    char c = json_next(json);
    if (c == '"') return json_string(json, text);
    return c == '-' || is_digit(c) ? skip_number(json) : skip_word(json);
}

bool json_skip(Json *json) {
    char closes[MOST_DEPTH]; /* of what is open */
    int depth = 0;
    bool first = false, good = true;
    StrBuf text = {0};
    do {
        bool more = true;
        if (depth) good = json_element(json, closes[depth - 1], first, &more);
        if (!good) break;
        if (!more) {
            depth--;
            first = false;
            continue;
        }
        if (depth && closes[depth - 1] == '}') good = json_key(json, &text);
        char c = good ? json_next(json) : '\0';
        first = c == '{' || c == '[';
        if (!first) {
            good = good && skip_plain(json, &text);
        } else if (depth == MOST_DEPTH) {
            good = false;
        } else {
            closes[depth++] = c == '{' ? '}' : ']';
            json->at++;
        }
    } while (good && depth);
    good = good && !text.failed;
    strbuf_free(&text);
    return good;
}
