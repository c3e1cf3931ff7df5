/* Headers of .safetensors files: JSON, read with suspicion and written; see safetensors_header.h. */
#include "frontend/io/safetensors_header.h"

#include "frontend/io/json.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LENGTH_BYTES = 8,              /* the header's length */
    MOST_HEADER_BYTES = 100000000, /* the format's own limit */
    HEADER_ALIGN = 8               /* where elements begin in a file that we write */
};

static const char metadata_key[] = "__metadata__";

static const char *const file_names[SN_DTYPE_COUNT] = {
    [SN_BOOL] = "BOOL", [SN_U8] = "U8",   [SN_I8] = "I8",     [SN_I16] = "I16", [SN_I32] = "I32",
    [SN_I64] = "I64",   [SN_F16] = "F16", [SN_BF16] = "BF16", [SN_F32] = "F32", [SN_F64] = "F64",
};

static uint8_t find_dtype(const char *text) {
    uint8_t d = 0;
    while (d < SN_DTYPE_COUNT && strcmp(file_names[d], text) != 0) d++;
    return d;
}

void safetensors_free_header(SafetensorsHeader *header) {
    arena_free(&header->names);
    vec_free(&header->entries);
    map_free(&header->by_name);
}

/* ---- names ----------------------------------------------------------------------------------- */

static uint64_t hash_name(const char *name) {
    return hash_bytes(name, strlen(name), 0);
}

/* A name that is sought. */
typedef struct NameQuery {
    const SafetensorsHeader *header; /* where */
    const char *name;                /* the name */
} NameQuery;

static bool entry_has_name(const void *context, uint32_t index) {
    const NameQuery *query = context;
    return strcmp(query->header->entries.data[index].name, query->name) == 0;
}

const SafetensorsEntry *safetensors_find(const SafetensorsHeader *header, const char *name) {
    NameQuery query = {header, name};
    int64_t found = map_find(&header->by_name, hash_name(name), entry_has_name, &query);
    return found == MAP_NONE ? NULL : &header->entries.data[found];
}

bool safetensors_add(SafetensorsHeader *header, const SafetensorsEntry *entry) {
    uint32_t index = header->entries.count;
    return vec_push(&header->entries, *entry) &&
           map_insert(&header->by_name, hash_name(entry->name), index);
}

/* Bytes of the character that begins at `text`, 0 if it is no UTF-8 (overlong forms and surrogates
 * are none). */
static size_t utf8_length(const unsigned char *text, size_t left) {
    static const struct {
        uint8_t first, last; /* range of the first byte */
        uint8_t low, high;   /* range of the second */
        uint8_t length;      /* bytes in all */
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
                 {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    if (text[0] < 0x80) return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].last) continue;
        if (left < forms[i].length || text[1] < forms[i].low || text[1] > forms[i].high) return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((text[k] & 0xc0) != 0x80) return 0;
        return forms[i].length;
    }
    return 0;
}

static bool is_utf8(const char *text, size_t length) {
    for (size_t at = 0, step; at < length; at += step) {
        step = utf8_length((const unsigned char *)text + at, length - at);
        if (step == 0) return false;
    }
    return true;
}

bool safetensors_is_utf8(const char *name) {
    return is_utf8(name, strlen(name));
}

const char *safetensors_name_defect(const SafetensorsHeader *header, const char *name) {
    if (!name) return "it is NULL";
    if (!safetensors_is_utf8(name)) return "it is not UTF-8";
    if (strcmp(name, metadata_key) == 0) return "the format keeps this name for itself";
    return safetensors_find(header, name) ? "the name comes twice" : NULL;
}

/* ---- reading: one entry ---------------------------------------------------------------------- */

/* A header that is being read. */
typedef struct Reading {
    const FileReader *file;    /* whence */
    SafetensorsHeader *header; /* where to */
    const char *text;          /* its begin */
    Json json;                 /* how far it is read */
    StrBuf string;             /* the string read last */
} Reading;

/* Raises what is wrong with the tensor `name`. Always false. */
static bool entry_defect(const Reading *r, const char *name, const char *defect) {
    file_raise(r->file, SN_ERROR_FORMAT, "tensor \"%.80s\": %s", name, defect);
    return false;
}

static bool no_memory(const Reading *r) {
    return file_raise(r->file, SN_ERROR_MEMORY, "out of memory");
}

/* Raises that the text breaks off, or is none, where it is read. Always false. */
static bool no_json(const Reading *r) {
    if (r->string.failed) return no_memory(r);
    return file_raise(r->file, SN_ERROR_FORMAT, "the header is no JSON object in UTF-8: byte %lld",
                      (long long)(r->json.at - r->text));
}

/* The sizes and, in *count, how many elements they make. All must be sizes, also those beyond what a
 * tensor can have: the byte range is checked against them. */
static bool parse_shape(Reading *r, SafetensorsEntry *entry, int64_t *count) {
    static const char no_list[] = "shape is no list of sizes";
    bool more, empty = false;
    *count = 1;
    entry->rank = 0;
    if (!json_take(&r->json, '[')) return entry_defect(r, entry->name, no_list);
    for (;; entry->rank++) {
        int64_t size;
        if (!json_element(&r->json, ']', !entry->rank, &more))
            return entry_defect(r, entry->name, no_list);
        if (!more) break;
        if (!json_size(&r->json, &size)) return entry_defect(r, entry->name, no_list);
        if (entry->rank < SN_MAX_RANK) entry->type.dims[entry->rank] = dim_of(size);
        empty = empty || size == 0;
        if (__builtin_mul_overflow(*count, size ? size : 1, count) || *count > INT64_MAX / 8)
            return entry_defect(r, entry->name, "the shape's size overflows");
    }
    if (empty) *count = 0;
    entry->type.rank = (uint8_t)(entry->rank < SN_MAX_RANK ? entry->rank : SN_MAX_RANK);
    return true;
}

static bool parse_offsets(Reading *r, SafetensorsEntry *entry) {
    Json *json = &r->json;
    if (!json_take(json, '[') || !json_size(json, &entry->begin) || !json_take(json, ',') ||
        !json_size(json, &entry->end) || !json_take(json, ']') || entry->begin > entry->end)
        return entry_defect(r, entry->name, "data_offsets is no byte range");
    if (entry->end > r->file->size - r->header->data)
        return entry_defect(r, entry->name, "its bytes lie beyond the end of the file");
    return true;
}

static bool parse_dtype(Reading *r, SafetensorsEntry *entry) {
    if (!json_string(&r->json, &r->string))
        return r->string.failed ? no_memory(r) : entry_defect(r, entry->name, "dtype is no string");
    entry->type.dtype = find_dtype(strbuf_text(&r->string));
    snprintf(entry->dtype_text, sizeof entry->dtype_text, "%s", strbuf_text(&r->string));
    return true;
}

enum { MEMBER_DTYPE, MEMBER_SHAPE, MEMBER_OFFSETS, MEMBERS };

/* A member whose name was read last. Those that the format may get later are passed over; a known one
 * must come once. */
static bool parse_member(Reading *r, SafetensorsEntry *entry, int64_t *count, bool seen[MEMBERS]) {
    static const char *const known[MEMBERS] = {"dtype", "shape", "data_offsets"};
    int32_t member = 0;
    while (member < MEMBERS && strcmp(strbuf_text(&r->string), known[member]) != 0) member++;
    if (member == MEMBERS) return json_skip(&r->json) || no_json(r);
    if (seen[member])
        return entry_defect(r, entry->name, "a member of its description comes twice");
    seen[member] = true;
    return member == MEMBER_DTYPE   ? parse_dtype(r, entry)
           : member == MEMBER_SHAPE ? parse_shape(r, entry, count)
                                    : parse_offsets(r, entry);
}

/* The description of a tensor. */
static bool parse_entry(Reading *r, SafetensorsEntry *entry) {
    bool seen[MEMBERS] = {false}, more;
    int64_t count = 0;
    if (!json_take(&r->json, '{'))
        return json_skip(&r->json) ? entry_defect(r, entry->name, "its description is no object")
                                   : no_json(r);
    for (bool first = true;; first = false) {
        if (!json_element(&r->json, '}', first, &more)) return no_json(r);
        if (!more) break;
        if (!json_key(&r->json, &r->string) || r->string.failed) return no_json(r);
        if (!parse_member(r, entry, &count, seen)) return false;
    }
    if (!seen[MEMBER_DTYPE] || !seen[MEMBER_SHAPE] || !seen[MEMBER_OFFSETS])
        return entry_defect(r, entry->name, "it lacks dtype, shape or data_offsets");
    if (entry->type.dtype != SAFETENSORS_NO_DTYPE &&
        count * (int64_t)sn_dtype_size((sn_dtype)entry->type.dtype) != entry->end - entry->begin)
        return entry_defect(r, entry->name, "its byte range does not fit its shape");
    return true;
}

/* The tensor whose name was read last. */
static bool add_entry(Reading *r) {
    SafetensorsEntry entry = {.name = arena_strdup(&r->header->names, strbuf_text(&r->string))};
    if (!entry.name) return no_memory(r);
    if (safetensors_find(r->header, entry.name))
        return entry_defect(r, entry.name, "the name comes twice");
    return parse_entry(r, &entry) && (safetensors_add(r->header, &entry) || no_memory(r));
}

/* What the file says of itself: strings by name, which nobody here asks for. */
static bool pass_metadata(Reading *r) {
    bool more;
    if (!json_take(&r->json, '{')) return no_json(r);
    for (bool first = true;; first = false) {
        if (!json_element(&r->json, '}', first, &more)) return no_json(r);
        if (!more) return true;
        if (!json_key(&r->json, &r->string) || !json_string(&r->json, &r->string))
            return no_json(r);
    }
}

/* ---- reading: the whole header --------------------------------------------------------------- */

/* The byte range of an entry. */
typedef struct Range {
    int64_t begin;  /* first byte */
    int64_t end;    /* one past the last */
    uint32_t entry; /* whose it is */
} Range;

static int compare_ranges(const void *left, const void *right) {
    const Range *a = left, *b = right;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

/* The ranges must follow each other and fill the file: one that overlaps another, or bytes that
 * belong to none, mean that the file is not what it seems. */
static bool check_ranges(const Reading *r) {
    uint32_t count = r->header->entries.count;
    Range *ranges = mem_calloc(count, sizeof *ranges);
    if (!ranges) return file_raise(r->file, SN_ERROR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < count; i++)
        ranges[i] = (Range){r->header->entries.data[i].begin, r->header->entries.data[i].end, i};
    if (count) qsort(ranges, count, sizeof *ranges, compare_ranges);
    int64_t filled = 0;
    bool fits = true;
    for (uint32_t i = 0; i < count && fits; filled = ranges[i++].end) {
        if (ranges[i].begin == filled) continue;
        const char *name = r->header->entries.data[ranges[i].entry].name;
        fits = entry_defect(r, name,
                            ranges[i].begin < filled ? "its bytes overlap another tensor's"
                                                     : "there is a gap before its bytes");
    }
    mem_free(ranges);
    if (fits && filled != r->file->size - r->header->data)
        return file_raise(r->file, SN_ERROR_FORMAT, "%lld bytes after the last tensor's",
                          (long long)(r->file->size - r->header->data - filled));
    return fits;
}

static bool parse_object(Reading *r) {
    bool metadata = false, more;
    if (r->json.at == r->json.end || *r->json.at != '{')
        return no_json(r); /* no blanks before it */
    r->json.at++;
    for (bool first = true;; first = false) {
        if (!json_element(&r->json, '}', first, &more)) return no_json(r);
        if (!more) return true;
        if (!json_key(&r->json, &r->string) || r->string.failed) return no_json(r);
        bool is_metadata = strcmp(strbuf_text(&r->string), metadata_key) == 0;
        if (is_metadata && metadata) return entry_defect(r, metadata_key, "the name comes twice");
        if (!(is_metadata ? pass_metadata(r) : add_entry(r))) return false;
        metadata = metadata || is_metadata;
    }
}

static bool parse_header(Reading *r, const char *text, size_t length) {
    r->text = text;
    r->json = (Json){text, text + length};
    bool done = is_utf8(text, length) ? parse_object(r) : no_json(r);
    strbuf_free(&r->string);
    json_next(&r->json);
    if (!done || r->json.at == r->json.end) return done;
    return file_raise(r->file, SN_ERROR_FORMAT, "text follows the header's JSON object");
}

bool safetensors_read_header(SafetensorsHeader *header, const FileReader *file) {
    Reading reading = {.file = file, .header = header};
    uint8_t bytes[LENGTH_BYTES];
    if (file->size < LENGTH_BYTES)
        return file_raise(file, SN_ERROR_FORMAT, "%lld bytes are no .safetensors file",
                          (long long)file->size);
    if (!file_read(file, 0, bytes, sizeof bytes)) return false;
    uint64_t length = 0;
    for (int32_t i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | bytes[i];
    if (length < 2 || length > MOST_HEADER_BYTES || length > (uint64_t)(file->size - LENGTH_BYTES))
        return file_raise(file, SN_ERROR_FORMAT, "a header of %llu bytes in a file of %lld bytes",
                          (unsigned long long)length, (long long)file->size);
    header->data = LENGTH_BYTES + (int64_t)length;
    char *text = mem_alloc((size_t)length);
    if (!text) return file_raise(file, SN_ERROR_MEMORY, "out of memory");
    bool done = file_read(file, LENGTH_BYTES, text, (size_t)length) &&
                parse_header(&reading, text, (size_t)length) && check_ranges(&reading);
    mem_free(text);
    return done;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void print_string(StrBuf *out, const char *text) {
    strbuf_add_char(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            strbuf_addf(out, "\\%c", *c);
        else if ((unsigned char)*c < ' ')
            strbuf_addf(out, "\\u%04x", (unsigned)*c);
        else
            strbuf_add_char(out, *c);
    }
    strbuf_add_char(out, '"');
}

static void print_entry(StrBuf *out, const SafetensorsEntry *entry) {
    print_string(out, entry->name);
    strbuf_addf(out, ":{\"dtype\":\"%s\",\"shape\":[", file_names[entry->type.dtype]);
    for (int32_t i = 0; i < entry->type.rank; i++) {
        if (i) strbuf_add_char(out, ',');
        strbuf_add_int(out, entry->type.dims[i].word);
    }
    strbuf_addf(out, "],\"data_offsets\":[%lld,%lld]}", (long long)entry->begin,
                (long long)entry->end);
}

bool safetensors_print_header(const SafetensorsHeader *header, StrBuf *out) {
    SN_ASSERT(!out->length);
    strbuf_add_bytes(out, "\0\0\0\0\0\0\0\0", LENGTH_BYTES);
    strbuf_add_char(out, '{');
    for (uint32_t i = 0; i < header->entries.count; i++) {
        if (i) strbuf_add_char(out, ',');
        print_entry(out, &header->entries.data[i]);
    }
    strbuf_add_char(out, '}');
    while (!out->failed && out->length % HEADER_ALIGN != 0) strbuf_add_char(out, ' ');
    if (out->failed) return true;
    size_t length = out->length - LENGTH_BYTES;
    for (int32_t i = 0; i < LENGTH_BYTES; i++)
        out->text[i] = (char)((uint64_t)length >> 8 * i & 255);
    return length <= MOST_HEADER_BYTES;
}
