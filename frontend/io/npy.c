/* NumPy's .npy: a magic string, a version, the length of a header that is the literal of a Python
 * dictionary, and the elements. Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#include "frontend/io/file.h"

#include "base/strbuf.h"

#include <sinter/io.h>

#undef sn_npy_load
#undef sn_npy_save

enum {
    MAGIC_BYTES = 6,             /* "\x93NUMPY" */
    START_BYTES = 12,            /* magic, version, the longer form of the header's length */
    MOST_HEADER_BYTES = 1 << 20, /* a header of ours is 128 bytes; larger ones name many fields */
    HEADER_ALIGN = 64            /* where elements begin in a file that we write */
};

static const char magic[] = "\x93NUMPY";

/* What the dictionary says. */
typedef struct NpyHeader {
    TensorType type; /* dtype, dims */
    bool swapped;    /* the elements are big endian */
    bool fortran;    /* the first axis varies fastest */
} NpyHeader;

/* Where the parser is; the first defect stays. */
typedef struct Parser {
    const char *at;     /* next byte */
    const char *end;    /* one past the last */
    sn_status status;   /* of the defect */
    const char *defect; /* NULL = none so far */
    char about[32];     /* what the defect is about, may be "" */
} Parser;

/* ---- element types --------------------------------------------------------------------------- */

/* NumPy's letter and size of our dtypes; NULL where it has none. */
static const char *const numpy_names[SN_DTYPE_COUNT] = {
    [SN_BOOL] = "b1", [SN_U8] = "u1",  [SN_I8] = "i1",  [SN_I16] = "i2", [SN_I32] = "i4",
    [SN_I64] = "i8",  [SN_F16] = "f2", [SN_F32] = "f4", [SN_F64] = "f8",
};

/* "<f4": byte order (< little, > big, = and | the machine's), kind, size. */
static bool find_dtype(const char *text, size_t length, NpyHeader *header) {
    if (length != 3 || !strchr("<>=|", text[0])) return false;
    for (uint8_t d = 0; d < SN_DTYPE_COUNT; d++) {
        if (!numpy_names[d] || memcmp(numpy_names[d], text + 1, 2) != 0) continue;
        header->type.dtype = d;
        header->swapped = text[0] == '>';
        return true;
    }
    return false;
}

/* ---- the dictionary -------------------------------------------------------------------------- */

static bool defect(Parser *p, sn_status status, const char *text) {
    if (p->defect) return false;
    p->status = status;
    p->defect = text;
    return false;
}

static bool malformed(Parser *p, const char *text) {
    return defect(p, SN_ERROR_FORMAT, text);
}

static void skip_space(Parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')) p->at++;
}

/* Takes `c`, and the space before it, if it comes next. */
static bool take(Parser *p, char c) {
    skip_space(p);
    if (p->at == p->end || *p->at != c) return false;
    p->at++;
    return true;
}

static bool take_word(Parser *p, const char *word) {
    skip_space(p);
    size_t length = strlen(word);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0) return false;
    p->at += length;
    return true;
}

static bool parse_string(Parser *p, const char **text, size_t *length) {
    char quote = take(p, '\'') ? '\'' : '"';
    if (quote == '"' && !take(p, '"')) return malformed(p, "the header lacks a string");
    *text = p->at;
    while (p->at < p->end && *p->at != quote && *p->at != '\\') p->at++;
    if (p->at == p->end || *p->at != quote)
        return malformed(p, "a string of the header does not end, or has an escape");
    *length = (size_t)(p->at++ - *text);
    return true;
}

static bool parse_descr(Parser *p, NpyHeader *header) {
    const char *text;
    size_t length;
    if (take(p, '[') || take(p, '('))
        return defect(p, SN_ERROR_DTYPE, "elements are structures, which Sinter has not");
    if (!parse_string(p, &text, &length)) return false;
    if (find_dtype(text, length, header)) return true;
    for (size_t i = 0; i < length && i + 1 < sizeof p->about; i++)
        p->about[i] = (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
    return defect(p, SN_ERROR_DTYPE, "Sinter has no such element type");
}

static bool parse_order(Parser *p, NpyHeader *header) {
    header->fortran = take_word(p, "True");
    return header->fortran || take_word(p, "False") ||
           malformed(p, "fortran_order is neither True nor False");
}

/* A size; Python 2 wrote an L behind it. */
static bool parse_size(Parser *p, int64_t *size) {
    skip_space(p);
    if (p->at < p->end && *p->at == '-') return malformed(p, "a negative size in the shape");
    const char *first = p->at;
    *size = 0;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        if (__builtin_mul_overflow(*size, 10, size) ||
            __builtin_add_overflow(*size, *p->at - '0', size))
            return malformed(p, "a size in the shape is too large");
    if (p->at == first) return malformed(p, "the shape is no tuple of sizes");
    if (p->at < p->end && *p->at == 'L') p->at++;
    return true;
}

/* "()", "(3,)", "(3, 4)"; "(3)" is a number to Python. */
static bool parse_shape(Parser *p, NpyHeader *header) {
    if (!take(p, '(')) return malformed(p, "the shape is no tuple of sizes");
    int32_t rank = 0;
    bool comma = true;
    while (!take(p, ')')) {
        int64_t size;
        if (!comma) return malformed(p, "the shape is no tuple of sizes");
        if (!parse_size(p, &size)) return false;
        if (rank == SN_MAX_RANK) return defect(p, SN_ERROR_SHAPE, "more than 8 dimensions");
        header->type.dims[rank++] = dim_of(size);
        comma = take(p, ',');
    }
    if (rank == 1 && !comma) return malformed(p, "the shape is no tuple of sizes");
    header->type.rank = (uint8_t)rank;
    return type_count(&header->type) >= 0 || malformed(p, "the shape's size overflows");
}

typedef struct NpyKey {
    const char *name;                            /* its text in the dictionary */
    bool (*parse)(Parser *p, NpyHeader *header); /* reads its value */
} NpyKey;

static const NpyKey keys[] = {
    {"descr", parse_descr}, {"fortran_order", parse_order}, {"shape", parse_shape}};
enum { KEYS = sizeof keys / sizeof *keys };

/* One `'key': value`; a bit of *seen stands for a key. */
static bool parse_item(Parser *p, NpyHeader *header, uint32_t *seen) {
    const char *text;
    size_t length;
    if (!parse_string(p, &text, &length)) return false;
    if (!take(p, ':')) return malformed(p, "a key of the header has no value");
    for (uint32_t i = 0; i < KEYS; i++) {
        if (strlen(keys[i].name) != length || memcmp(keys[i].name, text, length) != 0) continue;
        if (*seen & 1u << i) return malformed(p, "a key of the header comes twice");
        *seen |= 1u << i;
        return keys[i].parse(p, header);
    }
    return malformed(p, "the header has a key besides descr, fortran_order and shape");
}

static bool parse_header(Parser *p, NpyHeader *header) {
    uint32_t seen = 0;
    if (!take(p, '{')) return malformed(p, "the header is no dictionary");
    for (bool comma = true; !take(p, '}'); comma = take(p, ',')) {
        if (!comma) return malformed(p, "the header is no dictionary");
        if (!parse_item(p, header, &seen)) return false;
    }
    skip_space(p);
    if (p->at != p->end) return malformed(p, "text follows the header's dictionary");
    return seen == (1u << KEYS) - 1 ||
           malformed(p, "the header lacks one of descr, fortran_order and shape");
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Finds the header's text: its offset and length. */
static bool read_start(const FileReader *file, int64_t *offset, int64_t *length) {
    uint8_t start[START_BYTES] = {0};
    if (file->size < START_BYTES)
        return file_raise(file, SN_ERROR_FORMAT, "%lld bytes are no .npy file",
                          (long long)file->size);
    if (!file_read(file, 0, start, sizeof start)) return false;
    if (memcmp(start, magic, MAGIC_BYTES) != 0)
        return file_raise(file, SN_ERROR_FORMAT, "no .npy file: it does not begin with \\x93NUMPY");
    uint8_t major = start[6], minor = start[7];
    if (major < 1 || major > 3 || minor != 0)
        return file_raise(file, SN_ERROR_FORMAT, "version %d.%d is not one of 1.0, 2.0, 3.0", major,
                          minor);
    *offset = major == 1 ? START_BYTES - 2 : START_BYTES;
    *length = start[8] | start[9] << 8;
    if (major > 1) *length |= (int64_t)start[10] << 16 | (int64_t)start[11] << 24;
    if (*length > file->size - *offset)
        return file_raise(file, SN_ERROR_FORMAT, "truncated within its header");
    if (*length > MOST_HEADER_BYTES)
        return file_raise(file, SN_ERROR_FORMAT, "a header of %lld bytes", (long long)*length);
    return true;
}

static bool read_header(const FileReader *file, NpyHeader *header, int64_t *elements) {
    int64_t offset = 0, length = 0;
    if (!read_start(file, &offset, &length)) return false;
    char *text = mem_alloc((size_t)length);
    if (!text) return file_raise(file, SN_ERROR_MEMORY, "out of memory");
    bool done = file_read(file, offset, text, (size_t)length);
    Parser parser = {.at = text, .end = text + length};
    if (done && !parse_header(&parser, header))
        done = file_raise(file, parser.status, "%s%s%s", parser.about, *parser.about ? ": " : "",
                          parser.defect);
    mem_free(text);
    *elements = offset + length;
    return done;
}

/* Reverses the bytes of each element. */
static void swap_bytes(char *data, size_t bytes, size_t size) {
    for (char *element = data; element < data + bytes; element += size) {
        for (size_t i = 0; i < size / 2; i++) {
            char low = element[i];
            element[i] = element[size - 1 - i];
            element[size - 1 - i] = low;
        }
    }
}

/* Copies elements whose first axis varies fastest to where the last one does. */
static void copy_to_row_major(const TensorType *type, const char *from, char *to) {
    size_t size = sn_dtype_size((sn_dtype)type->dtype);
    int64_t step[SN_MAX_RANK], index[SN_MAX_RANK] = {0};
    int64_t count = 1;
    for (int32_t i = 0; i < type->rank; count *= type->dims[i++].word) step[i] = count;
    for (int64_t done = 0, at = 0; done < count; done++) {
        memcpy(to + (size_t)done * size, from + (size_t)at * size, size);
        for (int32_t d = type->rank - 1; d >= 0; d--) {
            at += step[d];
            if (++index[d] < type->dims[d].word) break;
            at -= step[d] * type->dims[d].word;
            index[d] = 0;
        }
    }
}

/* The elements as the file has them, in this machine's byte order. */
static Storage *read_elements(const FileReader *file, const NpyHeader *header, int64_t offset) {
    size_t bytes = elements_bytes(&header->type);
    if ((uint64_t)bytes > (uint64_t)(file->size - offset)) {
        file_raise(file, SN_ERROR_FORMAT,
                   "the shape needs %zu bytes of elements, the file has %lld", bytes,
                   (long long)(file->size - offset));
        return NULL;
    }
    Storage *storage = storage_new(&device_cpu, bytes);
    if (!storage) {
        file_raise(file, SN_ERROR_MEMORY, "out of memory");
        return NULL;
    }
    if (!file_read(file, offset, storage->data, bytes)) {
        storage_release(storage);
        return NULL;
    }
    if (header->swapped)
        swap_bytes(storage->data, bytes, sn_dtype_size((sn_dtype)header->type.dtype));
    if (header->type.dtype == SN_BOOL) elements_normalise_bool(storage->data, bytes);
    return storage;
}

static sn_tensor *load(const FileReader *file) {
    NpyHeader header = {.swapped = false};
    int64_t offset = 0;
    if (!read_header(file, &header, &offset)) return NULL;
    Storage *storage = read_elements(file, &header, offset);
    if (!storage) return NULL;
    if (header.fortran && header.type.rank > 1) {
        Storage *columns = storage;
        storage = storage_new(&device_cpu, columns->bytes);
        if (storage) copy_to_row_major(&header.type, columns->data, storage->data);
        storage_release(columns);
    }
    if (storage) return tensor_real(storage, &header.type, NULL, 0, (Site){0});
    file_raise(file, SN_ERROR_MEMORY, "out of memory");
    return NULL;
}

sn_tensor *sn_npy_load_at(const char *path, const char *source, int32_t line) {
    if (error_pending(thread_state())) return NULL;
    FileReader file;
    sn_tensor *tensor = file_open(&file, "npy_load", path) ? load(&file) : NULL;
    file_close(&file);
    return tensor ? tensor : error_of_call(site_at(source, line), NULL, NULL);
}

sn_tensor *sn_npy_load(const char *path) {
    return sn_npy_load_at(path, NULL, 0);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Version 1.0: a header of at most 8 sizes is far below its limit of 65,535 bytes. */
static void build_header(const TensorType *type, StrBuf *out) {
    bool single = sn_dtype_size((sn_dtype)type->dtype) == 1;
    strbuf_add_bytes(out, "\x93NUMPY\x01\x00\x00\x00", 10);
    strbuf_addf(out, "{'descr': '%c%s', 'fortran_order': False, 'shape': (", single ? '|' : '<',
                numpy_names[type->dtype]);
    for (int32_t i = 0; i < type->rank; i++) {
        if (i) strbuf_add(out, ", ");
        strbuf_add_int(out, type->dims[i].word);
    }
    strbuf_add(out, type->rank == 1 ? ",), }" : "), }");
    while (!out->failed && (out->length + 1) % HEADER_ALIGN != 0) strbuf_add_char(out, ' ');
    strbuf_add_char(out, '\n');
    if (out->failed) return;
    size_t length = out->length - 10;
    out->text[8] = (char)(length & 255);
    out->text[9] = (char)(length >> 8);
}

static bool save(const char *path, sn_tensor *tensor) {
    static const char op[] = "npy_save";
    sn_tensor *real = tensor_realize(tensor, op, (Site){0});
    if (!real) return false;
    if (!numpy_names[real->dtype])
        return error_refuse(SN_ERROR_DTYPE, (Site){0},
                            "%s: .npy files have no %s (sn_cast converts)", op,
                            sn_dtype_name((sn_dtype)real->dtype));
    TensorType type = tensor_type(real);
    StrBuf header = {0};
    build_header(&type, &header);
    FileWriter file;
    bool done = false;
    if (header.failed)
        error_raise(SN_ERROR_MEMORY, (Site){0}, "%s: out of memory", op);
    else if (file_create(&file, op, path))
        done = file_publish(&file, file_write(&file, header.text, header.length) &&
                                       file_write_tensor(&file, real));
    strbuf_free(&header);
    return done;
}

bool sn_npy_save_at(const char *path, sn_tensor *tensor, const char *source, int32_t line) {
    if (error_pending(thread_state())) return false;
    bool done = save(path, tensor);
    if (!done) error_of_call(site_at(source, line), NULL, NULL);
    return done;
}

bool sn_npy_save(const char *path, sn_tensor *tensor) {
    return sn_npy_save_at(path, tensor, NULL, 0);
}
