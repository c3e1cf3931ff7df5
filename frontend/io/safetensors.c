/* Hugging Face's .safetensors: the header's length (8 bytes, little endian), a JSON object that
 * gives each tensor's dtype, shape and byte range, and the elements, without gaps. A file is checked
 * as a whole when it is opened; elements are read when a tensor is fetched.
 * Format: huggingface.co/docs/safetensors */
#include "frontend/io/safetensors_header.h"

#include "base/thread/slot_pool.h"

#include <sinter/io.h>

struct sn_safetensors {
    SlotMark mark;            /* until it is closed */
    FileReader file;          /* open; its path lies in the header's arena */
    SafetensorsHeader header; /* what is in it */
};

static const Site no_site = {NULL, 0};
static SlotPool pool = {.bytes = sizeof(sn_safetensors), .magic = 0x736e7321};

/* Is it a file that is open? Raises. */
static bool check_open(const sn_safetensors *file, const char *op) {
    return slot_pool_has(&pool, file) ||
           error_refuse(SN_ERROR_HANDLE, no_site, "%s: the file was closed already, or is none",
                        op);
}

/* ---- reading --------------------------------------------------------------------------------- */

sn_safetensors *sn_safetensors_open(const char *path) {
    static const char op[] = "safetensors_open";
    if (error_pending(thread_state())) return NULL;
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

void sn_safetensors_close(sn_safetensors *file) {
    if (!file || !check_open(file, "safetensors_close") || !slot_pool_release(&pool, file)) return;
    file_close(&file->file);
    safetensors_free_header(&file->header);
    slot_pool_free(&pool, file);
}

int32_t sn_safetensors_count(const sn_safetensors *file) {
    bool open = file && check_open(file, "safetensors_count");
    return open ? (int32_t)file->header.entries.count : 0;
}

const char *sn_safetensors_name(const sn_safetensors *file, int32_t i) {
    bool there = file && check_open(file, "safetensors_name") && i >= 0 &&
                 (uint32_t)i < file->header.entries.count;
    return there ? file->header.entries.data[i].name : NULL;
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

sn_tensor *sn_safetensors_get(const sn_safetensors *file, const char *name) {
    static const char op[] = "safetensors_get";
    if (error_pending(thread_state())) return NULL;
    if (!file || !name)
        return error_raise(SN_ERROR_ARGUMENT, no_site, "%s: %s is NULL", op,
                           file ? "name" : "file");
    if (!check_open(file, op)) return NULL;
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
    const char *shown = !name ? "(NULL)" : safetensors_is_utf8(name) ? name : "";
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

static bool save(const char *path, Writing *w) {
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

bool sn_safetensors_save(const char *path, const char *const *names, sn_tensor *const *tensors,
                         int32_t count) {
    if (error_pending(thread_state())) return false;
    if (count < 0 || (count && (!names || !tensors)))
        return error_refuse(SN_ERROR_ARGUMENT, no_site,
                            "safetensors_save: names or tensors is NULL, or count < 0");
    size_t n = (size_t)count;
    Writing w = {.tensors = mem_calloc(n, sizeof *w.tensors),
                 .order = mem_calloc(n, sizeof *w.order),
                 .count = count};
    bool done = (w.tensors && w.order) || out_of_memory();
    done = done && add_names(&w, names) && realize_all(&w, tensors) && save(path, &w);
    safetensors_free_header(&w.header);
    mem_free(w.tensors);
    mem_free(w.order);
    return done;
}
