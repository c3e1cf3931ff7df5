/* Lookup through the tiers, single flight, counters; see kernel_cache.h. */
#include "runtime/kernels/kernel_cache.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/settings.h"
#include "base/status.h"
#include "base/thread/flight.h"
#include "base/thread/lock.h"
#include "base/thread/log.h"
#include "base/thread/parallel.h"
#include "base/vec.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/cache_folder.h"
#include "runtime/kernels/code.h"
#include "runtime/kernels/disk_cache.h"
#include "runtime/kernels/pack.h"

#include <limits.h>
#include <stdatomic.h>

typedef enum RecordState {
    RECORD_PENDING, /* a thread is getting it; others wait */
    RECORD_READY,   /* loaded */
    RECORD_FAILED   /* no longer in the map; kept until the last waiter has read the error */
} RecordState;

/* One kernel in memory. */
typedef struct Record {
    CacheKey key;        /* its text is `text` */
    char *text;          /* owned, NUL-terminated */
    RecordState state;   /* changes under the lock */
    int32_t waiters;     /* threads that wait for a pending one */
    uint32_t index;      /* place in `records` */
    sn_error failure;    /* when FAILED */
    LoadedKernel loaded; /* when READY */
    Code code;           /* its memory; empty when it runs inside the pack */
} Record;

LOCK_DEFINE(lock, RANK_KERNELS);
CONDITION_DEFINE(published, &lock);
static VEC(Record *) records; /* NULL where one failed */
static Map record_index;      /* hash.low → records */
static DiskCache *disk;       /* NULL when there is none */
static bool disk_opened;      /* `disk` was decided */

/* CacheCounters, less what other modules count. */
static struct {
    _Atomic int64_t memory_hits, pack_hits, disk_hits, disk_misses, corrupt_entries, compiles,
        failures, compile_ns, disk_load_ns;
} count;

static void add(_Atomic int64_t *counter, int64_t amount) {
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

/* ---- records --------------------------------------------------------------------------------- */

static void record_free(Record *record) {
    code_free(&record->code);
    mem_free(record->text);
    mem_free(record);
}

/* Takes a record out of the map. Lock held. */
static void forget(Record *record) {
    SN_ASSERT(lock_held(&lock) && records.data[record->index] == record);
    map_remove(&record_index, record->key.hash.low, record->index);
    records.data[record->index] = NULL;
}

/* A forked child has no thread that would finish what was pending. Code that such a thread had mapped
 * stays mapped: it may be half written down. Lock held. */
static void drop_pending(void) {
    for (uint32_t i = 0; i < records.count; i++) {
        Record *record = records.data[i];
        if (!record || record->state != RECORD_PENDING) continue;
        forget(record);
        mem_free(record->text);
        mem_free(record);
    }
}

FORK_HOOK(drop_pending);

static bool same_record(const void *context, uint32_t index) {
    return cache_key_same(context, &records.data[index]->key);
}

/* An unused place in `records`, or its count. Lock held. */
static uint32_t free_place(void) {
    uint32_t place = records.count;
    SN_ASSERT(lock_held(&lock) && record_index.count <= records.count);
    if (record_index.count == records.count) return place;
    while (records.data[place - 1]) place--;
    return place - 1;
}

/* Adds a pending record for `key`, taking `text`. NULL when out of memory. Lock held. */
static Record *add_record(const CacheKey *key, char *text) {
    Record *record = mem_calloc(1, sizeof *record);
    if (!record) return NULL;
    record->index = free_place();
    bool grows = record->index == records.count;
    SN_ASSERT(grows || !records.data[record->index]);
    if ((grows && !vec_reserve(&records, 1)) ||
        !map_insert(&record_index, key->hash.low, record->index)) {
        mem_free(record);
        return NULL;
    }
    if (grows) records.count++;
    records.data[record->index] = record;
    record->key = *key;
    record->text = text;
    return record;
}

/* ---- tiers ----------------------------------------------------------------------------------- */

/* The disk cache, opened at the first need. Two threads may both open it; one is closed again. */
static DiskCache *disk_cache(void) {
    char folder[PATH_MAX];
    lock_take(&lock);
    DiskCache *known = disk;
    bool decided = disk_opened;
    lock_give(&lock);
    if (decided) return known;
    DiskCache *opened = NULL;
    int64_t megabytes = setting_int(SETTING_CACHE_MB, 512);
    if (megabytes > INT64_MAX >> 20) megabytes = INT64_MAX >> 20;
    if (cache_folder_path(folder, sizeof folder))
        opened = disk_cache_open(folder, (megabytes < 0 ? 0 : megabytes) << 20);
    lock_take(&lock);
    if (!disk_opened) {
        disk_opened = true;
        disk = opened;
        opened = NULL;
    }
    known = disk;
    lock_give(&lock);
    disk_cache_close(opened);
    return known;
}

/* Fills in the loaded kernel from code at its final place. */
static void make_callable(Record *record, const CacheCode *code, const uint8_t *at) {
    SN_ASSERT(at && code->entry < code->size);
    const void *entry = at + code->entry;
    LoadedKernel *loaded = &record->loaded;
    _Static_assert(sizeof loaded->fn == sizeof entry, "POSIX: functions have data pointers' size");
    memcpy(&loaded->fn, &entry, sizeof entry);
    loaded->code_bytes = code->size;
}

/* Copies code to executable memory. */
static sn_status map_code(Record *record, const CacheCode *code, sn_error *error) {
    sn_status status = code_map(code->bytes, code->size, &record->code, error);
    if (status == SN_OK) make_callable(record, code, record->code.bytes);
    return status;
}

/* Each tier sets *found when it has the kernel; its status is then the result. */
static sn_status from_pack(Record *record, bool *found, sn_error *error) {
    CacheCode code;
    bool executable;
    *found = strcmp(setting_text(SETTING_PACK), "off") != 0 &&
             pack_find(&record->key, &code, &executable);
    if (!*found) return SN_OK;
    record->loaded.source = CACHE_PACK;
    add(&count.pack_hits, 1);
    if (!executable) return map_code(record, &code, error);
    make_callable(record, &code, code.bytes);
    return SN_OK;
}

static sn_status from_disk(Record *record, bool *found, sn_error *error) {
    DiskCache *cache = disk_cache();
    *found = false;
    if (!cache) return SN_OK;
    DiskEntry entry;
    int64_t start = clock_ns();
    DiskResult result = disk_cache_load(cache, &record->key, &entry);
    add(&count.disk_load_ns, clock_ns() - start);
    if (result == DISK_CORRUPT) add(&count.corrupt_entries, 1);
    add(result == DISK_HIT ? &count.disk_hits : &count.disk_misses, 1);
    if (result != DISK_HIT) return SN_OK;
    *found = true;
    record->loaded.source = CACHE_DISK;
    sn_status status = map_code(record, &entry.code, error);
    mem_free(entry.block);
    return status;
}

/* Compiles for any target; the caller frees code->bytes with mem_free. */
static sn_status compile(const Kernel *kernel, const Target *target, const Schedule *schedule,
                         Hash128 hash, CacheCode *code, sn_error *error) {
    CodeBlob blob = {0};
    char name[CACHE_NAME_LENGTH];
    if (target->kind == TARGET_CPU && target->cpu.isa == ISA_NONE)
        return error_set(error, SN_ERROR_UNSUPPORTED,
                         "compiling needs a processor with AVX2 and FMA (x86-64-v3)");
    const Backend *backend = backend_load(target_backend(target), error);
    if (!backend) return SN_ERROR_UNSUPPORTED;
    cache_key_name(hash, name);
    int64_t start = clock_ns();
    sn_status status = backend_compile(backend, kernel, target, schedule, name, &blob, error);
    add(&count.compile_ns, clock_ns() - start);
    if (status != SN_OK) return status;
    if (blob.entry >= blob.size)
        status = error_set(error, SN_ERROR_INTERNAL, "the code generator made no code");
    /* The module has an allocator of its own: its memory goes back to it. */
    uint8_t *bytes = status == SN_OK ? mem_alloc(blob.size) : NULL;
    if (bytes) {
        memcpy(bytes, blob.bytes, blob.size);
        *code = (CacheCode){bytes, blob.size, blob.entry};
    } else if (status == SN_OK) {
        status = error_memory(error);
    }
    backend->release(&blob);
    return status;
}

static sn_status from_compiler(Record *record, const Kernel *kernel, const Schedule *schedule,
                               sn_error *error) {
    CacheCode code;
    sn_status status = compile(kernel, target_host(), schedule, record->key.hash, &code, error);
    if (status != SN_OK) return status;
    record->loaded.source = CACHE_COMPILED;
    status = map_code(record, &code, error);
    if (status == SN_OK) {
        add(&count.compiles, 1);
        DiskCache *cache = disk_cache();
        if (cache) disk_cache_store(cache, &record->key, &code);
    }
    mem_free((void *)(uintptr_t)code.bytes);
    return status;
}

/* Gets the code of a pending record from the first tier that has it. */
static sn_status fetch(Record *record, const Kernel *kernel, const Schedule *schedule,
                       sn_error *error) {
    bool found;
    int64_t start = clock_ns();
    sn_status status = from_pack(record, &found, error);
    if (!found) status = from_disk(record, &found, error);
    if (!found) status = from_compiler(record, kernel, schedule, error);
    LoadedKernel *loaded = &record->loaded;
    loaded->hash = record->key.hash;
    loaded->text = record->text;
    loaded->load_ns = clock_ns() - start;
    cache_key_name(loaded->hash, loaded->name);
    return status;
}

/* ---- single flight --------------------------------------------------------------------------- */

/* Publishes what fetch brought, or takes the record back; wakes who waits. */
static void publish(Record *record, sn_status status, const sn_error *failure) {
    lock_take(&lock);
    SN_ASSERT(record->state == RECORD_PENDING && records.data[record->index] == record);
    bool unused = false;
    if (status == SN_OK) {
        record->state = RECORD_READY;
    } else {
        forget(record);
        record->state = RECORD_FAILED;
        record->failure = *failure;
        unused = record->waiters == 0;
    }
    condition_wake(&published);
    lock_give(&lock);
    if (unused) record_free(record);
}

/* Waits until the thread that fetches a record has published it. Lock held, but for the wait. */
static sn_status await(Record *record, sn_error *error) {
    SN_ASSERT(lock_held(&lock) && record->waiters >= 0);
    record->waiters++;
    while (record->state == RECORD_PENDING) condition_wait(&published);
    bool last = --record->waiters == 0;
    if (record->state == RECORD_READY) return SN_OK;
    sn_status status = error_set(error, record->failure.status, "%s", record->failure.text);
    /* Its code was never mapped, so that freeing takes no other lock. */
    if (last) record_free(record);
    return status;
}

/* Finds the record of a key, waiting for it if need be (*mine false), or adds one for the caller to
 * fetch (*mine true; it then owns `text`). */
static sn_status find_or_add(const CacheKey *key, char *text, Record **record, bool *mine,
                             sn_error *error) {
    sn_status status = SN_OK;
    lock_take(&lock);
    int64_t index = map_find(&record_index, key->hash.low, same_record, key);
    *mine = index == MAP_NONE;
    *record = *mine ? add_record(key, text) : records.data[index];
    if (!*record)
        status = error_memory(error);
    else if (!*mine)
        status = await(*record, error);
    lock_give(&lock);
    return status;
}

const char *cache_source_name(CacheSource source) {
    static const char *const names[] = {[CACHE_MEMORY] = "memory",
                                        [CACHE_PACK] = "pack",
                                        [CACHE_DISK] = "disk",
                                        [CACHE_COMPILED] = "compiled"};
    SN_ASSERT((size_t)source < sizeof names / sizeof names[0]);
    return names[source];
}

static void log_kernel(const Record *record, sn_status status) {
    const LoadedKernel *k = &record->loaded;
    if (status == SN_OK)
        log_write(LOG_CACHE, "%s %s, %zu bytes of code, %lld us", k->name,
                  cache_source_name(k->source), k->code_bytes, (long long)(k->load_ns / 1000));
    else
        log_write(LOG_CACHE, "%s failed (%s)", k->name, sn_status_name(status));
}

/* The canonical text of a kernel; mem_free. NULL when out of memory. */
static char *kernel_text(const Kernel *kernel, size_t *length) {
    StrBuf text = {0};
    kernel_print(kernel, &text, NULL);
    *length = text.length;
    char *taken = strbuf_take(&text);
    strbuf_free(&text);
    return taken;
}

/* Fetches a record of our own and publishes the outcome. */
static sn_status fetch_and_publish(Record *record, const Kernel *kernel, const Schedule *schedule,
                                   const LoadedKernel **out, CacheSource *source, sn_error *error) {
    sn_error failure = {0};
    sn_status status = fetch(record, kernel, schedule, &failure);
    if (log_on(LOG_CACHE)) log_kernel(record, status);
    if (status == SN_OK) {
        *out = &record->loaded;
        if (source) *source = record->loaded.source;
    } else {
        error_set(&failure, status, "compiling kernel %s failed", record->loaded.name);
        code_free(&record->code);
        add(&count.failures, 1);
        error_set(error, status, "%s", failure.text);
    }
    publish(record, status, &failure);
    return status;
}

/* From memory, from another thread that fetches it now, or fetched. */
static sn_status get(const Kernel *kernel, const Schedule *schedule, const LoadedKernel **out,
                     CacheSource *source, sn_error *error) {
    CacheKey key;
    size_t length;
    Record *record;
    bool mine = false;
    char *text = kernel_text(kernel, &length);
    if (!text || !cache_key_make(text, length, target_host()->cpu.isa, schedule, &key)) {
        mem_free(text);
        return error_memory(error);
    }
    sn_status status = find_or_add(&key, text, &record, &mine, error);
    if (mine && status == SN_OK)
        return fetch_and_publish(record, kernel, schedule, out, source, error);
    mem_free(text);
    add(status == SN_OK ? &count.memory_hits : &count.failures, 1);
    if (status != SN_OK) return status;
    *out = &record->loaded;
    if (source) *source = CACHE_MEMORY;
    return SN_OK;
}

sn_status kernel_cache_get(const Kernel *kernel, const Schedule *schedule, const LoadedKernel **out,
                           CacheSource *source, sn_error *error) {
    *out = NULL;
    flight_begin(RANK_FETCH);
    sn_status status = get(kernel, schedule, out, source, error);
    flight_end(RANK_FETCH);
    return status;
}

void kernel_cache_counters(CacheCounters *c) {
    *c = (CacheCounters){
        .memory_hits = atomic_load(&count.memory_hits),
        .pack_hits = atomic_load(&count.pack_hits),
        .disk_hits = atomic_load(&count.disk_hits),
        .disk_misses = atomic_load(&count.disk_misses),
        .corrupt_entries = atomic_load(&count.corrupt_entries),
        .compiles = atomic_load(&count.compiles),
        .failures = atomic_load(&count.failures),
        .compile_ns = atomic_load(&count.compile_ns),
        .llvm_load_ns = backend_load_ns(),
        .disk_load_ns = atomic_load(&count.disk_load_ns),
    };
}

/* ---- making the pack; forgetting ------------------------------------------------------------- */

/* A kernel of the pack to be. */
typedef struct Export {
    const Record *record; /* whose text is compiled */
    TargetIsa isa;        /* for this instruction set */
    CacheKey key;         /* its key there */
    CacheCode code;       /* what came out, until it is in the pack */
} Export;

/* All of them, while threads share the work. */
typedef struct ExportList {
    VEC(Export) all;  /* by record, then instruction set */
    sn_error *error;  /* of the first failure; under `lock`, as `status` */
    sn_status status; /* SN_OK until one fails */
} ExportList;

static sn_status export_one(Export *one, sn_error *error) {
    Kernel kernel;
    const CacheKey *from = &one->record->key;
    Target target = target_for(one->isa);
    Schedule schedule = schedule_from_word(from->schedule);
    if (!cache_key_make(one->record->text, from->text_bytes, one->isa, &schedule, &one->key))
        return error_memory(error);
    kernel_init(&kernel);
    sn_status status = kernel_parse(&kernel, one->record->text, from->text_bytes, error);
    if (status == SN_OK)
        status = compile(&kernel, &target, &schedule, one->key.hash, &one->code, error);
    kernel_free(&kernel);
    return status;
}

static void export_share(void *context, int64_t begin, int64_t end, int32_t thread) {
    (void)thread;
    ExportList *list = context;
    sn_error error;
    error_init(&error);
    sn_status status = SN_OK;
    for (int64_t i = begin; i < end && status == SN_OK; i++)
        status = export_one(&list->all.data[i], &error);
    if (status == SN_OK) return;
    lock_take(&lock);
    if (list->status == SN_OK) list->status = error_set(list->error, status, "%s", error.text);
    lock_give(&lock);
}

/* The record at `place` if it is ready. Records are never freed while in use, so the pointer may be
 * kept. *more is false past the end. */
static const Record *ready_record(uint32_t place, bool *more) {
    lock_take(&lock);
    *more = place < records.count;
    const Record *record = *more ? records.data[place] : NULL;
    if (record && record->state != RECORD_READY) record = NULL;
    lock_give(&lock);
    return record;
}

static bool list_exports(ExportList *list, const TargetIsa *isas, int32_t n_isas) {
    bool more = true;
    for (uint32_t place = 0; more; place++) {
        const Record *record = ready_record(place, &more);
        for (int32_t i = 0; record && i < n_isas; i++)
            if (!vec_push(&list->all, ((Export){.record = record, .isa = isas[i]}))) return false;
    }
    return true;
}

sn_status kernel_cache_export(const TargetIsa *isas, int32_t n_isas, StrBuf *out, sn_error *error) {
    PackBuilder *builder = pack_builder_new();
    if (!builder) return error_memory(error);
    ExportList list = {.error = error};
    bool fits = list_exports(&list, isas, n_isas);
    if (fits) parallel_for(parallel_threads(), list.all.count, export_share, &list);
    for (uint32_t i = 0; i < list.all.count; i++) {
        Export *one = &list.all.data[i];
        if (fits && list.status == SN_OK) fits = pack_builder_add(builder, &one->key, &one->code);
        mem_free((void *)(uintptr_t)one->code.bytes);
    }
    sn_status status = fits ? list.status : error_memory(error);
    if (status == SN_OK) status = pack_builder_finish(builder, out, error);
    vec_free(&list.all);
    pack_builder_free(builder);
    return status;
}

void kernel_cache_clear(void) {
    lock_take(&lock);
    Record **old = records.data;
    uint32_t n = records.count;
    DiskCache *closed = disk;
    records.data = NULL;
    records.count = records.capacity = 0;
    map_free(&record_index);
    disk = NULL;
    disk_opened = false;
    lock_give(&lock);
    for (uint32_t i = 0; i < n; i++)
        if (old[i]) record_free(old[i]);
    mem_free(old);
    disk_cache_close(closed);
}
