/* Hugging Face's .safetensors: the header's length (8 bytes, little endian), a JSON object that
 * gives each tensor's dtype, shape and byte range, and the elements, without gaps. A file is checked
 * as a whole when it is opened; elements are read when a tensor is fetched.
 * Format: huggingface.co/docs/safetensors */
#include "frontend/io/file.h"

#include "base/arena.h"
#include "base/strbuf.h"

#include <sinter/io.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LENGTH_BYTES = 8,              /* the header's length */
    MOST_HEADER_BYTES = 100000000, /* the format's own limit */
    HEADER_ALIGN = 8,              /* where elements begin in a file that we write */
    DTYPE_TEXT = 16,               /* room for the name of a dtype */
    NO_DTYPE = SN_DTYPE_COUNT      /* a dtype that Sinter has not */
};

static const char metadata_key[] = "__metadata__";

/* A tensor of an open file, or of one that is written. */
typedef struct Entry {
    const char *name;            /* in the open file's arena; when writing, the caller's */
    TensorType type;             /* dtype may be NO_DTYPE; dims hold the first SN_MAX_RANK */
    int32_t rank;                /* sizes in the file: can be more than a tensor's */
    char dtype_text[DTYPE_TEXT]; /* the dtype's name in the file, cut */
    int64_t begin;               /* first byte of its elements, from the first of all */
    int64_t end;                 /* one past the last */
} Entry;

struct sn_safetensors {
    FileReader file;    /* open; its path lies in names */
    Arena names;        /* strings of the entries */
    VEC(Entry) entries; /* in the header's order */
    Map by_name;        /* hash of the name → entry */
    int64_t data;       /* offset of the elements */
};

static const Site no_site = {NULL, 0};

static const char *const file_names[SN_DTYPE_COUNT] = {
    [SN_BOOL] = "BOOL", [SN_U8] = "U8",   [SN_I8] = "I8",     [SN_I16] = "I16", [SN_I32] = "I32",
    [SN_I64] = "I64",   [SN_F16] = "F16", [SN_BF16] = "BF16", [SN_F32] = "F32", [SN_F64] = "F64",
};

static uint8_t find_dtype(const char *text) {
    uint8_t d = 0;
    while (d < SN_DTYPE_COUNT && strcmp(file_names[d], text) != 0) d++;
    return d;
}

/* ---- names ---------------------------------------------------------------------------------- */

static uint64_t hash_name(const char *name) {
    return hash_bytes(name, strlen(name), 0);
}

/* A name that is sought among `entries`. */
typedef struct NameQuery {
    const Entry *entries; /* where the map's indices lead */
    const char *name;     /* sought */
} NameQuery;

static bool entry_has_name(const void *context, uint32_t index) {
    const NameQuery *query = context;
    return strcmp(query->entries[index].name, query->name) == 0;
}

static const Entry *find_entry(const sn_safetensors *st, const char *name) {
    NameQuery query = {st->entries.data, name};
    int64_t found = map_find(&st->by_name, hash_name(name), entry_has_name, &query);
    return found == MAP_NONE ? NULL : &st->entries.data[found];
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

/* ---- opening: one entry of the header ------------------------------------------------------- */

/* Raises what is wrong with the tensor `name`. Always false. */
static bool entry_defect(const sn_safetensors *st, const char *name, const char *defect) {
    file_raise(&st->file, SN_ERROR_FORMAT, "tensor \"%.80s\": %s", name, defect);
    return false;
}

/* JSON numbers are doubles to the parser: exact up to 2^53, more than any file has. */
static bool json_size(const cJSON *item, int64_t *size) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53))
        return false;
    *size = (int64_t)item->valuedouble;
    return (double)*size == item->valuedouble;
}

/* The sizes and, in *count, how many elements they make. All must be sizes, also those beyond what a
 * tensor can have: the byte range is checked against them. */
static bool parse_shape(const sn_safetensors *st, Entry *entry, const cJSON *shape,
                        int64_t *count) {
    const cJSON *item;
    if (!cJSON_IsArray(shape)) return entry_defect(st, entry->name, "shape is no list of sizes");
    *count = 1;
    bool empty = false;
    cJSON_ArrayForEach(item, shape) {
        int64_t size;
        if (!json_size(item, &size))
            return entry_defect(st, entry->name, "shape is no list of sizes");
        if (entry->rank < SN_MAX_RANK) entry->type.dims[entry->rank] = dim_of(size);
        entry->rank++;
        empty = empty || size == 0;
        if (__builtin_mul_overflow(*count, size ? size : 1, count) || *count > INT64_MAX / 8)
            return entry_defect(st, entry->name, "the shape's size overflows");
    }
    if (empty) *count = 0;
    entry->type.rank = (uint8_t)(entry->rank < SN_MAX_RANK ? entry->rank : SN_MAX_RANK);
    return true;
}

static bool parse_offsets(const sn_safetensors *st, Entry *entry, const cJSON *offsets) {
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !json_size(cJSON_GetArrayItem(offsets, 0), &entry->begin) ||
        !json_size(cJSON_GetArrayItem(offsets, 1), &entry->end) || entry->begin > entry->end)
        return entry_defect(st, entry->name, "data_offsets is no byte range");
    if (entry->end > st->file.size - st->data)
        return entry_defect(st, entry->name, "its bytes lie beyond the end of the file");
    return true;
}

static bool parse_dtype(const sn_safetensors *st, Entry *entry, const cJSON *dtype) {
    if (!cJSON_IsString(dtype)) return entry_defect(st, entry->name, "dtype is no string");
    entry->type.dtype = find_dtype(dtype->valuestring);
    snprintf(entry->dtype_text, sizeof entry->dtype_text, "%s", dtype->valuestring);
    return true;
}

/* Members that the format may get later are passed over; a known one must come once. */
static bool find_members(const sn_safetensors *st, const char *name, const cJSON *object,
                         const cJSON *members[3]) {
    static const char *const known[3] = {"dtype", "shape", "data_offsets"};
    const cJSON *item;
    if (!cJSON_IsObject(object)) return entry_defect(st, name, "its description is no object");
    cJSON_ArrayForEach(item, object) {
        for (int32_t i = 0; i < 3; i++) {
            if (strcmp(item->string, known[i]) != 0) continue;
            if (members[i])
                return entry_defect(st, name, "a member of its description comes twice");
            members[i] = item;
        }
    }
    for (int32_t i = 0; i < 3; i++)
        if (!members[i]) return entry_defect(st, name, "it lacks dtype, shape or data_offsets");
    return true;
}

static bool add_entry(sn_safetensors *st, const cJSON *object) {
    const cJSON *members[3] = {NULL, NULL, NULL};
    int64_t count = 0;
    Entry entry = {.name = object->string};
    if (!find_members(st, entry.name, object, members)) return false;
    if (find_entry(st, entry.name)) return entry_defect(st, entry.name, "the name comes twice");
    if (!parse_dtype(st, &entry, members[0]) || !parse_shape(st, &entry, members[1], &count) ||
        !parse_offsets(st, &entry, members[2]))
        return false;
    if (entry.type.dtype != NO_DTYPE &&
        count * (int64_t)sn_dtype_size((sn_dtype)entry.type.dtype) != entry.end - entry.begin)
        return entry_defect(st, entry.name, "its byte range does not fit its shape");
    uint32_t index = st->entries.count;
    entry.name = arena_strdup(&st->names, entry.name);
    return (entry.name && vec_push(&st->entries, entry) &&
            map_insert(&st->by_name, hash_name(entry.name), index)) ||
           file_raise(&st->file, SN_ERROR_MEMORY, "out of memory");
}

/* ---- opening: the whole header -------------------------------------------------------------- */

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
static bool check_ranges(const sn_safetensors *st) {
    uint32_t count = st->entries.count;
    Range *ranges = mem_calloc(count, sizeof *ranges);
    if (!ranges) return file_raise(&st->file, SN_ERROR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < count; i++)
        ranges[i] = (Range){st->entries.data[i].begin, st->entries.data[i].end, i};
    if (count) qsort(ranges, count, sizeof *ranges, compare_ranges);
    int64_t filled = 0;
    bool fits = true;
    for (uint32_t i = 0; i < count && fits; filled = ranges[i++].end) {
        if (ranges[i].begin == filled) continue;
        const char *name = st->entries.data[ranges[i].entry].name;
        fits = entry_defect(st, name,
                            ranges[i].begin < filled ? "its bytes overlap another tensor's"
                                                     : "there is a gap before its bytes");
    }
    mem_free(ranges);
    if (fits && filled != st->file.size - st->data)
        return file_raise(&st->file, SN_ERROR_FORMAT, "%lld bytes after the last tensor's",
                          (long long)(st->file.size - st->data - filled));
    return fits;
}

/* True when a string holds the character NUL, where the parser's strings would end. */
static bool has_nul(const char *text, size_t length) {
    if (memchr(text, 0, length)) return true;
    for (size_t i = 0; i + 6 <= length; i++) {
        if (text[i] != '\\') continue;
        if (memcmp(text + i, "\\u0000", 6) == 0) return true;
        i++; /* what is escaped may be a backslash itself */
    }
    return false;
}

static bool parse_header(sn_safetensors *st, const char *text, size_t length) {
    const char *end = NULL;
    if (text[0] != '{' || !is_utf8(text, length) || has_nul(text, length))
        return file_raise(&st->file, SN_ERROR_FORMAT, "the header is no JSON object in UTF-8");
    cJSON *root = cJSON_ParseWithLengthOpts(text, length, &end, false);
    if (!root)
        return file_raise(&st->file, SN_ERROR_FORMAT, "the header is no JSON: byte %lld",
                          (long long)(end ? end - text : 0));
    while (end < text + length && *end && strchr(" \t\r\n", *end)) end++;
    bool done = end == text + length ||
                file_raise(&st->file, SN_ERROR_FORMAT, "text follows the header's JSON object");
    const cJSON *item;
    cJSON_ArrayForEach(item, root) {
        if (done && strcmp(item->string, metadata_key) != 0) done = add_entry(st, item);
    }
    cJSON_Delete(root);
    return done;
}

static bool read_header(sn_safetensors *st) {
    const FileReader *file = &st->file;
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
    st->data = LENGTH_BYTES + (int64_t)length;
    char *text = mem_alloc((size_t)length);
    if (!text) return file_raise(file, SN_ERROR_MEMORY, "out of memory");
    bool done = file_read(file, LENGTH_BYTES, text, (size_t)length) &&
                parse_header(st, text, (size_t)length) && check_ranges(st);
    mem_free(text);
    return done;
}

sn_safetensors *sn_safetensors_open(const char *path) {
    static const char op[] = "safetensors_open";
    if (error_pending(thread_state())) return NULL;
    sn_safetensors *st = mem_calloc(1, sizeof *st);
    if (!st) return error_raise(SN_ERROR_MEMORY, no_site, "%s: out of memory", op);
    bool done = file_open(&st->file, op, path);
    char *own_path = done ? arena_strdup(&st->names, path) : NULL;
    if (own_path)
        st->file.path = own_path;
    else if (done)
        done = file_raise(&st->file, SN_ERROR_MEMORY, "out of memory");
    if (done && read_header(st)) return st;
    sn_safetensors_close(st);
    return NULL;
}

void sn_safetensors_close(sn_safetensors *file) {
    if (!file) return;
    file_close(&file->file);
    arena_free(&file->names);
    vec_free(&file->entries);
    map_free(&file->by_name);
    mem_free(file);
}

/* ---- reading -------------------------------------------------------------------------------- */

int32_t sn_safetensors_count(const sn_safetensors *file) {
    return file ? (int32_t)file->entries.count : 0;
}

const char *sn_safetensors_name(const sn_safetensors *file, int32_t i) {
    bool there = file && i >= 0 && (uint32_t)i < file->entries.count;
    return there ? file->entries.data[i].name : NULL;
}

static sn_tensor *read_tensor(const FileReader *file, const Entry *entry, int64_t data) {
    size_t bytes = elements_bytes(&entry->type);
    Storage *storage = storage_new(&device_cpu, bytes);
    if (!storage) {
        file_raise(file, SN_ERROR_MEMORY, "out of memory");
        return NULL;
    }
    if (!file_read(file, data + entry->begin, storage->data, bytes)) {
        storage_release(storage);
        return NULL;
    }
    if (entry->type.dtype == SN_BOOL) elements_normalise_bool(storage->data, bytes);
    return tensor_real(storage, &entry->type, NULL, 0, no_site);
}

sn_tensor *sn_safetensors_get(const sn_safetensors *file, const char *name) {
    static const char op[] = "safetensors_get";
    if (error_pending(thread_state())) return NULL;
    if (!file || !name)
        return error_raise(SN_ERROR_ARGUMENT, no_site, "%s: %s is NULL", op,
                           file ? "name" : "file");
    FileReader reader = file->file;
    reader.op = op;
    const Entry *entry = find_entry(file, name);
    if (!entry)
        file_raise(&reader, SN_ERROR_ARGUMENT, "there is no tensor \"%.80s\"", name);
    else if (entry->type.dtype == NO_DTYPE)
        file_raise(&reader, SN_ERROR_DTYPE, "tensor \"%.80s\" is %s, which Sinter has not", name,
                   entry->dtype_text);
    else if (entry->rank > SN_MAX_RANK)
        file_raise(&reader, SN_ERROR_SHAPE,
                   "tensor \"%.80s\" has %d dimensions, at most %d are possible", name,
                   (int)entry->rank, SN_MAX_RANK);
    else
        return read_tensor(&reader, entry, file->data);
    return NULL;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Tensors that are being written. */
typedef struct Writing {
    Entry *entries;      /* name, type and byte range of each */
    sn_tensor **tensors; /* with memory */
    int32_t *order;      /* in which their elements follow each other */
    int32_t count;       /* of all three */
} Writing;

static bool refuse(int32_t i, const char *name, const char *defect) {
    return error_refuse(SN_ERROR_ARGUMENT, no_site, "safetensors_save: names[%d] \"%.80s\": %s",
                        (int)i, name ? name : "(NULL)", defect);
}

static bool out_of_memory(void) {
    return error_refuse(SN_ERROR_MEMORY, no_site, "safetensors_save: out of memory");
}

static bool check_names(const Writing *w) {
    Map seen = {0};
    bool good = true;
    for (int32_t i = 0; i < w->count && good; i++) {
        const char *name = w->entries[i].name;
        NameQuery query = {w->entries, name};
        uint64_t hash = name ? hash_name(name) : 0;
        if (!name)
            good = refuse(i, name, "it is NULL");
        else if (!is_utf8(name, strlen(name)))
            good = refuse(i, "", "it is not UTF-8");
        else if (strcmp(name, metadata_key) == 0)
            good = refuse(i, name, "the format keeps this name for itself");
        else if (map_find(&seen, hash, entry_has_name, &query) != MAP_NONE)
            good = refuse(i, name, "the name comes twice");
        else
            good = map_insert(&seen, hash, (uint32_t)i) || out_of_memory();
    }
    map_free(&seen);
    return good;
}

static bool realize_all(Writing *w, sn_tensor *const *tensors) {
    for (int32_t i = 0; i < w->count; i++) {
        w->tensors[i] = tensor_realize(tensors[i], "safetensors_save", no_site);
        if (!w->tensors[i]) return false;
        w->entries[i].type = tensor_type(w->tensors[i]);
    }
    return true;
}

/* Elements of wide types come first, so that all are aligned. */
static void place_all(Writing *w) {
    int32_t placed = 0;
    int64_t end = 0;
    for (size_t size = 8; size > 0; size /= 2) {
        for (int32_t i = 0; i < w->count; i++) {
            Entry *entry = &w->entries[i];
            if (sn_dtype_size((sn_dtype)entry->type.dtype) != size) continue;
            entry->begin = end;
            end += (int64_t)elements_bytes(&entry->type);
            entry->end = end;
            w->order[placed++] = i;
        }
    }
}

static bool write_all(const Writing *w, const StrBuf *header, FileWriter *file) {
    bool done = file_write(file, header->text, header->length);
    for (int32_t i = 0; i < w->count && done; i++)
        done = file_write_tensor(file, w->tensors[w->order[i]]);
    return done;
}

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

static void print_entry(StrBuf *out, const Entry *entry) {
    print_string(out, entry->name);
    strbuf_addf(out, ":{\"dtype\":\"%s\",\"shape\":[", file_names[entry->type.dtype]);
    for (int32_t i = 0; i < entry->type.rank; i++) {
        if (i) strbuf_add_char(out, ',');
        strbuf_add_int(out, entry->type.dims[i].word);
    }
    strbuf_addf(out, "],\"data_offsets\":[%lld,%lld]}", (long long)entry->begin,
                (long long)entry->end);
}

/* The length, then the JSON, padded with spaces. */
static void build_header(const Writing *w, StrBuf *out) {
    strbuf_add_bytes(out, "\0\0\0\0\0\0\0\0", LENGTH_BYTES);
    strbuf_add_char(out, '{');
    for (int32_t i = 0; i < w->count; i++) {
        if (i) strbuf_add_char(out, ',');
        print_entry(out, &w->entries[i]);
    }
    strbuf_add_char(out, '}');
    while (!out->failed && out->length % HEADER_ALIGN != 0) strbuf_add_char(out, ' ');
    if (out->failed) return;
    for (int32_t i = 0; i < LENGTH_BYTES; i++)
        out->text[i] = (char)((uint64_t)(out->length - LENGTH_BYTES) >> 8 * i & 255);
}

static bool save(const char *path, Writing *w) {
    StrBuf header = {0};
    FileWriter file;
    place_all(w);
    build_header(w, &header);
    bool done = false;
    if (header.failed)
        out_of_memory();
    else if (header.length - LENGTH_BYTES > MOST_HEADER_BYTES)
        error_raise(SN_ERROR_ARGUMENT, no_site, "safetensors_save: a header of more than 100 MB");
    else if (file_create(&file, "safetensors_save", path))
        done = file_publish(&file, write_all(w, &header, &file));
    strbuf_free(&header);
    return done;
}

bool sn_safetensors_save(const char *path, const char *const *names, sn_tensor *const *tensors,
                         int32_t count) {
    if (error_pending(thread_state())) return false;
    if (count < 0 || (count && (!names || !tensors)))
        return error_refuse(SN_ERROR_ARGUMENT, no_site,
                            "safetensors_save: names or tensors is NULL, or count < 0");
    size_t n = (size_t)count;
    Writing w = {mem_calloc(n, sizeof *w.entries), mem_calloc(n, sizeof *w.tensors),
                 mem_calloc(n, sizeof *w.order), count};
    bool done = (w.entries && w.tensors && w.order) || out_of_memory();
    for (int32_t i = 0; i < count && done; i++) w.entries[i].name = names[i];
    done = done && check_names(&w) && realize_all(&w, tensors) && save(path, &w);
    mem_free(w.entries);
    mem_free(w.tensors);
    mem_free(w.order);
    return done;
}
