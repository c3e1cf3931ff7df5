/* Pieces of HTML that the parts of the report share. */
#ifndef SN_FRONTEND_INSPECT_HTML_H
#define SN_FRONTEND_INSPECT_HTML_H

#include "base/strbuf.h"

#include <stdint.h>

/* Text as it stands on a page: at most `length` bytes of it. */
void html_escape(StrBuf *out, const char *text, size_t length);
void html_escape_text(StrBuf *out, const StrBuf *text);
void html_heading(StrBuf *out, const char *text);
/* The colour of a kernel, by its number. They go round so that neighbours differ. */
int32_t html_hue(int32_t kernel);

#endif
