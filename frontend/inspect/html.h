/* Pieces of HTML that the pages share. A page is one file, without scripts, and fetches nothing; it is
 * light or dark as the reader's system is, and fits narrow screens. */
#ifndef SN_FRONTEND_INSPECT_HTML_H
#define SN_FRONTEND_INSPECT_HTML_H

#include "base/strbuf.h"

#include <stdint.h>

/* From the beginning to the page's first heading, and its end. */
void html_open(StrBuf *out, const char *title);
void html_close(StrBuf *out);
/* Text as it stands on a page: at most `length` bytes of it, and no half of a character. */
void html_escape(StrBuf *out, const char *text, size_t length);
void html_escape_text(StrBuf *out, const StrBuf *text);
void html_heading(StrBuf *out, const char *text);
/* The mark of a kernel, in its colour: its number goes round the circle so that neighbours differ. */
void html_mark(StrBuf *out, int32_t kernel);
int32_t html_hue(int32_t kernel);
/* One of the figures at the head: its name and its value, which is of the library's making. */
void html_figures_open(StrBuf *out);
void html_figure(StrBuf *out, const char *name, const char *value);
void html_figures_close(StrBuf *out);

/* "12.3 KB", powers of ten as memory's bandwidth is given. */
void html_bytes(StrBuf *out, int64_t bytes);
/* "12.3 M"; small ones as they are. */
void html_count(StrBuf *out, int64_t count);
/* Milliseconds, "0.0123" or "12.345". */
void html_ms(StrBuf *out, int64_t ns);
/* With one digit behind the point. */
void html_tenths(StrBuf *out, double value);

#endif
