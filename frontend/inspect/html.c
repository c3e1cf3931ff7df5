/* Pieces of HTML; see html.h. */
#include "frontend/inspect/html.h"

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1f2328;--dim:#59636e;--line:#d1d9e0;--soft:#f6f8fa;"
    "--bar:#4c8bd6;--sat:75%;--lum:87%;--edge:#b5bfca;--strong:#42505e}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#"
    "30363d;"
    "--soft:#161b22;--bar:#4184d6;--sat:42%;--lum:27%;--edge:#4a535e;--strong:#c3ccd6}}\n"
    "*{box-sizing:border-box}\n"
    "body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:74rem;background:var(--bg);"
    "color:var(--fg);padding:1.5rem clamp(.8rem,3vw,2rem) 4rem;overflow-wrap:break-word}\n"
    "h1{font-size:1.6rem;line-height:1.25;margin:.2em 0}\n"
    "h2{font-size:1.15rem;margin:2.4rem 0 .7rem;padding-bottom:.25rem;"
    "border-bottom:1px solid var(--line)}\n"
    "p{margin:.4em 0 .8em}a{color:var(--bar)}.dim{color:var(--dim)}\n"
    "code,pre,.n{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.86em}"
    "\n"
    "h1 code,h2 code{font-size:.7em;font-weight:400;color:var(--dim)}td .dim{font-size:.86em}\n"
    "pre{background:var(--soft);border-radius:6px;padding:.7em .9em;overflow-x:auto;margin:.4em 0;"
    "line-height:1.45}\n"
    ".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.6rem;"
    "margin:1.1rem 0}\n"
    ".figures div{background:var(--soft);border-radius:8px;padding:.5rem .8rem}\n"
    ".figures b{display:block;font-size:1.15rem;font-weight:600}\n"
    ".figures span{color:var(--dim);font-size:.85rem}\n"
    ".k{display:inline-block;border-radius:4px;padding:0 .45em;margin:.05em .35em .05em 0;"
    "white-space:nowrap;font-size:.85em;line-height:1.5;"
    "background:hsl(var(--h) var(--sat) var(--lum))}\n"
    "table{border-collapse:collapse;width:100%}.wide th:first-child{width:1%}\n"
    "th,td{padding:.4em .9em .4em 0;text-align:left;vertical-align:top;"
    "border-bottom:1px solid var(--line)}\n"
    "th{font-weight:600;font-size:.82rem;color:var(--dim);white-space:nowrap}\n"
    ".n{text-align:right;white-space:nowrap}td:last-child,th:last-child{padding-right:0}\n"
    ".of{display:inline-block;width:5.5em;height:.55em;margin-left:.5em;border-radius:3px;"
    "background:var(--line);vertical-align:middle;overflow:hidden}\n"
    ".of i{display:block;height:100%;background:var(--bar)}\n"
    ".src{border:1px solid var(--line);border-radius:6px;overflow:hidden;margin:.4em 0 1em}\n"
    ".src div{display:grid;grid-template-columns:3.2em minmax(0,1fr) "
    "fit-content(45%);column-gap:.8em;"
    "padding:.08em .6em .08em 0}\n"
    ".src div:nth-child(even){background:var(--soft)}\n"
    ".src code{white-space:pre-wrap;overflow-wrap:anywhere;padding-left:2em;text-indent:-2em}\n"
    ".src .no{color:var(--dim);text-align:right;font-size:.8em;padding-top:.1em}\n"
    ".src .gap{color:var(--dim);padding-left:1.6em;display:block}\n"
    "svg text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:var(--fg)}\n"
    "svg .t{opacity:.72}svg path{fill:none;stroke:var(--edge)}\n"
    "svg .g{fill:hsl(var(--h) var(--sat) var(--lum))}svg .v{fill:var(--soft)}svg "
    ".i{fill:var(--bg)}\n"
    "svg .g,svg .v,svg .i{stroke:var(--edge)}svg .s{stroke:var(--strong);stroke-width:1.5}\n"
    "svg .b{fill:var(--bar)}.scroll{overflow-x:auto}summary{cursor:pointer;padding:.15em 0}\n"
    "ul{padding-left:1.2em;margin:.4em 0}li{margin:.2em 0}\n"
    "@media(max-width:640px){\n"
    ".wide thead{display:none}.wide tr{display:grid;grid-template-columns:1fr 1fr;column-gap:1em;"
    "padding:.5em 0;border-bottom:1px solid var(--line)}\n"
    ".wide td{border:0;padding:.1em 0;text-align:left}.wide td.all{grid-column:1/-1}\n"
    ".wide td[data-l]::before{content:attr(data-l);display:block;color:var(--dim);"
    "font:.8rem system-ui,sans-serif}\n"
    ".src div{grid-template-columns:2.4em minmax(0,1fr)}.src div span:last-child{grid-column:2}\n"
    ".figures{grid-template-columns:1fr 1fr}}\n";

void html_open(StrBuf *out, const char *title) {
    strbuf_add(out,
               "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    html_escape(out, title, SIZE_MAX);
    strbuf_add(out, "</title>\n<style>\n");
    strbuf_add(out, style);
    strbuf_add(out, "</style></head><body>\n");
}

void html_close(StrBuf *out) {
    strbuf_add(out, "</body></html>\n");
}

void html_escape(StrBuf *out, const char *text, size_t length) {
    size_t end = text_fit(text, length);
    for (size_t i = 0; i < end; i++) {
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
    return (int32_t)((int64_t)kernel * 137 % 360);
}

void html_heading(StrBuf *out, const char *text) {
    strbuf_addf(out, "<h2>%s</h2>\n", text);
}

void html_mark(StrBuf *out, int32_t kernel) {
    strbuf_addf(out, "<span class=\"k\" style=\"--h:%d\">kernel %d</span>", (int)html_hue(kernel),
                (int)kernel);
}

void html_figures_open(StrBuf *out) {
    strbuf_add(out, "<div class=\"figures\">\n");
}

void html_figure(StrBuf *out, const char *name, const char *value) {
    strbuf_addf(out, "<div><b>%s</b><span>%s</span></div>\n", value, name);
}

void html_figures_close(StrBuf *out) {
    strbuf_add(out, "</div>\n");
}

/* Of a size from 1,000 on: its thousands, millions and so on, with a digit behind the point. Returns
 * which. */
static int add_scaled(StrBuf *out, int64_t size) {
    int scale = 0;
    int64_t tenths = size / 100;
    for (; tenths >= 10000; scale++) tenths /= 1000;
    strbuf_add_fixed(out, tenths, 1);
    strbuf_add_char(out, ' ');
    return scale;
}

void html_bytes(StrBuf *out, int64_t bytes) {
    static const char units[][3] = {"KB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000)
        strbuf_addf(out, "%lld B", (long long)bytes);
    else
        strbuf_add(out, units[add_scaled(out, bytes)]);
}

void html_count(StrBuf *out, int64_t count) {
    static const char units[][4] = {"k", "M", "G", "T", "P", "E"};
    if (count < 10000)
        strbuf_addf(out, "%lld", (long long)count);
    else
        strbuf_add(out, units[add_scaled(out, count)]);
}

void html_ms(StrBuf *out, int64_t ns) {
    if (ns < 100000)
        strbuf_add_fixed(out, ns / 100, 4);
    else
        strbuf_add_fixed(out, ns / 1000, 3);
}

void html_tenths(StrBuf *out, double value) {
    strbuf_add_fixed(out, value < 9e17 ? (int64_t)(value * 10 + 0.5) : 0, 1);
}
