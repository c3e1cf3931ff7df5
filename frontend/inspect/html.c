/* Pieces of HTML; see html.h. */
#include "frontend/inspect/html.h"

void html_escape(StrBuf *out, const char *text, size_t length) {
    for (size_t i = 0; i < length && text[i]; i++) {
        switch (text[i]) {
        case '<':
            strbuf_add(out, "&lt;");
            break;
        case '>':
            strbuf_add(out, "&gt;");
            break;
        case '&':
            strbuf_add(out, "&amp;");
            break;
        case '"':
            strbuf_add(out, "&quot;");
            break;
        default:
            strbuf_add_char(out, text[i]);
        }
    }
}

void html_escape_text(StrBuf *out, const StrBuf *text) {
    out->failed = out->failed || text->failed;
    html_escape(out, strbuf_text(text), text->length);
}

int32_t html_hue(int32_t kernel) {
    return kernel * 137 % 360;
}

void html_heading(StrBuf *out, const char *text) {
    strbuf_addf(out, "<h2>%s</h2>\n", text);
}
