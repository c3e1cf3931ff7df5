/* JSON (RFC 8259) read from front to back, strictly, without a tree of it: what it takes in memory is what
 * the reader keeps, however many values there are. The text is UTF-8; the character NUL is refused. */
#ifndef SN_FRONTEND_IO_JSON_H
#define SN_FRONTEND_IO_JSON_H

#include "base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

/* A place in a text. A function that returns false leaves it at what it did not take. */
typedef struct Json {
    const char *at;  /* what comes next */
    const char *end; /* of the text */
} Json;

/* The next character that is no blank, which begins a value or ends one; 0 at the end. */
char json_next(Json *json);
/* Takes this character if it comes next. */
bool json_take(Json *json, char wanted);
/* In a list or an object that was begun: takes the comma, or the end, which is `close`. *more says whether
 * an element follows. `first`: none was read yet. */
bool json_element(Json *json, char close, bool first, bool *more);
/* The characters of a string, in place of what is in `out`; where memory is out, `out` has failed. */
bool json_string(Json *json, StrBuf *out);
/* A string and the colon behind it. */
bool json_key(Json *json, StrBuf *out);
/* A number without sign, fraction or exponent, up to INT64_MAX. */
bool json_size(Json *json, int64_t *size);
/* Any value, checked and passed over; at most 128 lists and objects deep. */
bool json_skip(Json *json);

#endif
