/* Hugging Face's .safetensors: the header's length (8 bytes, little endian), a JSON object that
 * gives each tensor's dtype, shape and byte range, and the elements, without gaps. A file is checked
 * as a whole when it is opened; elements are read when a tensor is fetched.
 * Format: huggingface.co/docs/safetensors */
#include "frontend/io/safetensors_header.h"

#include "base/thread/slot_pool.h"

#include <sinter/io.h>

#undef sn_safetensors_open
#undef sn_safetensors_count
#undef sn_safetensors_name
#undef sn_safetensors_get
#undef sn_safetensors_close
#undef sn_safetensors_save

struct sn_safetensors {
    SlotMark mark;            /* until it is closed */
    FileReader file;          /* open; its path lies in the header's arena */
    SafetensorsHeader header; /* what is in it */
};

static const Site no_site = {0};
static SlotPool pool = {.bytes = sizeof(sn_safetensors), .magic = 0x736e7321};

/* Is it a file that is open? Raises. */
static bool check_open(const sn_safetensors *file, const char *op, Site site) {
    return slot_pool_has(&pool, file) ||
           error_refuse(SN_ERROR_HANDLE, site, "%s: file was closed already, or is none", op);
}

/* ---- reading --------------------------------------------------------------------------------- */

static sn_safetensors *open_file(const char *path) {
    static const char op[] = "safetensors_open";
    sn_safetensors *st = slot_pool_new(&pool);
    if (!st) return error_raise(SN_ERROR_MEMORY, no_site, "%s: out of memory", op);
    bool done = file_open(&st->file, op, path);
    char *own_path = done ? arena_strdup(&st->header.names, path) : NULL;
    if (own_path)
        st->file.path = own_path;
    else if (done)
        done = file_raise(&st->file, SN_ERROR_MEMORY, "out of memory");
    if (done && safetensors_read_header(&st->header, &st->file)) return st;
    sn_safetensors_close(st);
    return NULL;
}

sn_safetensors *sn_safetensors_open_at(const char *path, const char *source, int32_t line) {
    if (error_pending(thread_state())) return NULL;
    sn_safetensors *st = open_file(path);
    return st ? st : error_of_call(site_at(source, line), NULL, NULL);
}

sn_safetensors *sn_safetensors_open(const char *path) {
    return sn_safetensors_open_at(path, NULL, 0);
}

void sn_safetensors_close_at(sn_safetensors *file, const char *source, int32_t line) {
    Site site = site_at(source, line);
    if (!file || !check_open(file, "safetensors_close", site) || !slot_pool_release(&pool, file))
        return;
    file_close(&file->file);
    safetensors_free_header(&file->header);
    slot_pool_free(&pool, file);
}

void sn_safetensors_close(sn_safetensors *file) {
    sn_safetensors_close_at(file, NULL, 0);
}

int32_t sn_safetensors_count_at(const sn_safetensors *file, const char *source, int32_t line) {
    bool open = file && check_open(file, "safetensors_count", site_at(source, line));
    return open ? (int32_t)file->header.entries.count : 0;
}

int32_t sn_safetensors_count(const sn_safetensors *file) {
    return sn_safetensors_count_at(file, NULL, 0);
}

const char *sn_safetensors_name_at(const sn_safetensors *file, int32_t i, const char *source,
                                   int32_t line) {
    bool there = file && check_open(file, "safetensors_name", site_at(source, line)) && i >= 0 &&
                 (uint32_t)i < file->header.entries.count;
    return there ? file->header.entries.data[i].name : NULL;
}

const char *sn_safetensors_name(const sn_safetensors *file, int32_t i) {
    return sn_safetensors_name_at(file, i, NULL, 0);
}

static sn_tensor *read_tensor(const FileReader *file, const SafetensorsEntry *entry, int64_t data) {
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

static sn_tensor *get(const sn_safetensors *file, const char *name) {
    static const char op[] = "safetensors_get";
    if (!file || !name)
        return error_raise(SN_ERROR_ARGUMENT, no_site, "%s: %s is NULL", op,
                           file ? "name" : "file");
    if (!check_open(file, op, no_site)) return NULL;
    FileReader reader = file->file;
    reader.op = op;
    const SafetensorsEntry *entry = safetensors_find(&file->header, name);
    if (!entry)
        file_raise(&reader, SN_ERROR_ARGUMENT, "there is no tensor \"%.80s\"", name);
    else if (entry->type.dtype == SAFETENSORS_NO_DTYPE)
        file_raise(&reader, SN_ERROR_DTYPE, "tensor \"%.80s\" is %s, which Sinter has not", name,
                   entry->dtype_text);
    else if (entry->rank > SN_MAX_RANK)
        file_raise(&reader, SN_ERROR_SHAPE,
                   "tensor \"%.80s\" has %d dimensions, at most %d are possible", name,
                   (int)entry->rank, SN_MAX_RANK);
    else
        return read_tensor(&reader, entry, file->header.data);
    return NULL;
}

sn_tensor *sn_safetensors_get_at(const sn_safetensors *file, const char *name, const char *source,
                                 int32_t line) {
    if (error_pending(thread_state())) return NULL;
    sn_tensor *tensor = get(file, name);
    return tensor ? tensor : error_of_call(site_at(source, line), NULL, NULL);
}

sn_tensor *sn_safetensors_get(const sn_safetensors *file, const char *name) {
    return sn_safetensors_get_at(file, name, NULL, 0);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Tensors that are being written. */
typedef struct Writing {
    SafetensorsHeader header; /* name, type and byte range of each */
    sn_tensor **tensors;      /* with memory */
    int32_t *order;           /* in which their elements follow each other */
    int32_t count;            /* of all three */
} Writing;

/* Bytes that are no text are not repeated. */
static bool refuse_name(int32_t i, const char *name, const char *defect) {
    if (!name)
        return error_refuse(SN_ERROR_ARGUMENT, no_site, "safetensors_save: names[%d] is NULL",
                            (int)i);
    const char *shown = safetensors_is_utf8(name) ? name : "";
    return error_refuse(SN_ERROR_ARGUMENT, no_site, "safetensors_save: names[%d] \"%.80s\": %s",
                        (int)i, shown, defect);
}

static bool out_of_memory(void) {
    return error_refuse(SN_ERROR_MEMORY, no_site, "safetensors_save: out of memory");
}

static bool add_names(Writing *w, const char *const *names) {
    for (int32_t i = 0; i < w->count; i++) {
        const char *defect = safetensors_name_defect(&w->header, names[i]);
        if (defect) return refuse_name(i, names[i], defect);
        if (!safetensors_add(&w->header, &(SafetensorsEntry){.name = names[i]}))
            return out_of_memory();
    }
    return true;
}

static bool realize_all(Writing *w, sn_tensor *const *tensors) {
    for (int32_t i = 0; i < w->count; i++) {
        w->tensors[i] = tensor_realize(tensors[i], "safetensors_save", no_site);
        if (!w->tensors[i]) return false;
        w->header.entries.data[i].type = tensor_type(w->tensors[i]);
    }
    return true;
}

/* Elements of wide types come first, so that all are aligned. */
static void place_all(Writing *w) {
    int32_t placed = 0;
    int64_t end = 0;
    for (size_t size = 8; size > 0; size /= 2) {
        for (int32_t i = 0; i < w->count; i++) {
            SafetensorsEntry *entry = &w->header.entries.data[i];
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

static bool write_tensors(const char *path, Writing *w) {
    StrBuf header = {0};
    FileWriter file;
    place_all(w);
    bool fits = safetensors_print_header(&w->header, &header), done = false;
    if (header.failed)
        out_of_memory();
    else if (!fits)
        error_raise(SN_ERROR_ARGUMENT, no_site, "safetensors_save: a header of more than 100 MB");
    else if (file_create(&file, "safetensors_save", path))
        done = file_publish(&file, write_all(w, &header, &file));
    strbuf_free(&header);
    return done;
}

static bool save(const char *path, const char *const *names, sn_tensor *const *tensors,
                 int32_t count) {
    if (count < 0 || (count && (!names || !tensors)))
        return error_refuse(SN_ERROR_ARGUMENT, no_site,
                            "safetensors_save: names or tensors is NULL, or count < 0");
    size_t n = (size_t)count;
    Writing w = {.tensors = mem_calloc(n, sizeof *w.tensors),
                 .order = mem_calloc(n, sizeof *w.order),
                 .count = count};
    bool done = (w.tensors && w.order) || out_of_memory();
    done = done && add_names(&w, names) && realize_all(&w, tensors) && write_tensors(path, &w);
    safetensors_free_header(&w.header);
    mem_free(w.tensors);
    mem_free(w.order);
    return done;
}

bool sn_safetensors_save_at(const char *path, const char *const *names, sn_tensor *const *tensors,
                            int32_t count, const char *source, int32_t line) {
    if (error_pending(thread_state())) return false;
    bool done = save(path, names, tensors, count);
    if (!done) error_of_call(site_at(source, line), NULL, NULL);
    return done;
}

bool sn_safetensors_save(const char *path, const char *const *names, sn_tensor *const *tensors,
                         int32_t count) {
    return sn_safetensors_save_at(path, names, tensors, count, NULL, 0);
}
