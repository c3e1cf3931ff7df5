/* The pack of kernels made at build time; see pack.h. */
#include "runtime/kernels/pack.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"

#include <link.h>
#include <pthread.h>
#include <stdlib.h>

typedef struct PackHeader {
    char magic[8];      /* pack_magic */
    uint32_t format;    /* CACHE_FORMAT */
    uint32_t count;     /* entries */
    uint64_t bytes;     /* of the whole pack */
    char compiler[104]; /* cache_compiler(), zero-filled */
} PackHeader;

/* Offsets are from the start of the pack. */
typedef struct PackEntry {
    Hash128 hash;        /* CacheKey.hash */
    uint64_t schedule;   /* CacheKey.schedule */
    uint32_t isa;        /* CacheKey.isa */
    uint32_t text;       /* offset of the kernel's text */
    uint32_t text_bytes; /* its length */
    uint32_t code;       /* offset of the code, a multiple of 64 */
    uint32_t code_bytes; /* its length */
    uint32_t entry;      /* offset of the KernelFn in the code */
} PackEntry;

_Static_assert(sizeof(PackHeader) == 128 && sizeof(PackEntry) == 48, "the layout has no holes");

static const char pack_magic[8] = {'S', 'N', 'P', 'A', 'C', 'K', '0', '1'};

enum { PACK_ALIGN = 64 };

/* Defined by the build, if it has a pack. */
extern const unsigned char sinter_pack_data[] __attribute__((weak, visibility("hidden")));
extern const uint64_t sinter_pack_size __attribute__((weak, visibility("hidden")));

/* The pack in use. */
static struct {
    const uint8_t *data;      /* its first byte; NULL = none */
    size_t bytes;             /* its size */
    const PackEntry *entries; /* sorted by hash */
    uint32_t count;           /* entries */
    bool executable;          /* code runs in place */
} pack;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- looking up ------------------------------------------------------------------------------ */

static int hash_order(Hash128 a, Hash128 b) {
    if (a.high != b.high) return a.high < b.high ? -1 : 1;
    return a.low < b.low ? -1 : a.low > b.low;
}

static bool same_compiler(const PackHeader *header) {
    return strncmp(header->compiler, cache_compiler(), sizeof header->compiler) == 0;
}

/* True when [offset, offset + bytes) lies in a pack of `total` bytes. */
static bool inside(uint64_t offset, uint64_t bytes, uint64_t total) {
    return offset <= total && bytes <= total - offset;
}

static sn_status attach(const void *data, size_t bytes, bool executable, sn_error *error) {
    PackHeader header;
    if (bytes < sizeof header || (uintptr_t)data % PACK_ALIGN != 0)
        return error_set(error, SN_ERROR_FORMAT, "not a pack of kernels");
    memcpy(&header, data, sizeof header);
    if (memcmp(header.magic, pack_magic, sizeof pack_magic) != 0 || header.bytes != bytes ||
        !inside(sizeof header, (uint64_t)header.count * sizeof(PackEntry), bytes))
        return error_set(error, SN_ERROR_FORMAT, "not a pack of kernels");
    if (header.format != CACHE_FORMAT || !same_compiler(&header))
        return error_set(error, SN_ERROR_FORMAT, "the pack of kernels is of another version");
    pack.data = data;
    pack.bytes = bytes;
    pack.entries = (const PackEntry *)(const void *)(pack.data + sizeof header);
    pack.count = header.count;
    pack.executable = executable;
    return SN_OK;
}

/* dl_iterate_phdr: stops with 1 at the executable segment that holds the address `data`. */
static int holds_code(struct dl_phdr_info *object, size_t size, void *data) {
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t offset = (uintptr_t)data - (uintptr_t)(object->dlpi_addr + segment->p_vaddr);
        if (segment->p_type == PT_LOAD && offset < segment->p_memsz)
            return segment->p_flags & PF_X ? 1 : 0;
    }
    return 0;
}

static void attach_linked(void) {
    if (!&sinter_pack_size || !sinter_pack_data) return;
    void *data = (void *)(uintptr_t)sinter_pack_data;
    bool executable = dl_iterate_phdr(holds_code, data) != 0;
    (void)attach(data, (size_t)sinter_pack_size, executable, NULL);
}

sn_status pack_attach(const void *data, size_t bytes, bool executable, sn_error *error) {
    pthread_once(&once, attach_linked);
    return attach(data, bytes, executable, error);
}

int32_t pack_count(void) {
    pthread_once(&once, attach_linked);
    return (int32_t)pack.count;
}

int64_t pack_bytes(void) {
    pthread_once(&once, attach_linked);
    return (int64_t)pack.bytes;
}

/* First entry whose hash is not below `hash`. */
static uint32_t lower_bound(Hash128 hash) {
    uint32_t low = 0, high = pack.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (hash_order(pack.entries[middle].hash, hash) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool pack_find(const CacheKey *key, CacheCode *code, bool *executable) {
    pthread_once(&once, attach_linked);
    for (uint32_t i = lower_bound(key->hash); i < pack.count; i++) {
        const PackEntry *e = &pack.entries[i];
        if (hash_order(e->hash, key->hash) != 0) return false;
        if (!inside(e->text, e->text_bytes, pack.bytes) ||
            !inside(e->code, e->code_bytes, pack.bytes) || e->entry >= e->code_bytes)
            continue;
        CacheKey stored = {e->hash, e->isa, e->schedule, (const char *)pack.data + e->text,
                           e->text_bytes};
        if (!cache_key_same(&stored, key)) continue;
        *code = (CacheCode){pack.data + e->code, e->code_bytes, e->entry};
        *executable = pack.executable;
        return true;
    }
    return false;
}

/* ---- building -------------------------------------------------------------------------------- */

/* A kernel to be packed. */
typedef struct Item {
    CacheKey key;   /* its text is owned */
    CacheCode code; /* owned */
    uint32_t text;  /* offset of its text among the texts, once placed */
} Item;

struct PackBuilder {
    VEC(Item) items; /* in order of addition; sorted by pack_builder_finish */
};

PackBuilder *pack_builder_new(void) {
    return mem_calloc(1, sizeof(PackBuilder));
}

static void item_free(Item *item) {
    mem_free((void *)(uintptr_t)item->key.text);
    mem_free((void *)(uintptr_t)item->code.bytes);
}

void pack_builder_free(PackBuilder *builder) {
    if (!builder) return;
    for (uint32_t i = 0; i < builder->items.count; i++) item_free(&builder->items.data[i]);
    vec_free(&builder->items);
    mem_free(builder);
}

bool pack_builder_add(PackBuilder *builder, const CacheKey *key, const CacheCode *code) {
    for (uint32_t i = 0; i < builder->items.count; i++)
        if (cache_key_same(&builder->items.data[i].key, key)) return true;
    char *text = mem_alloc(key->text_bytes);
    uint8_t *bytes = mem_alloc(code->size);
    Item item = {*key, *code, 0};
    item.key.text = text;
    item.code.bytes = bytes;
    if (text && bytes && vec_push(&builder->items, item)) {
        memcpy(text, key->text, key->text_bytes);
        memcpy(bytes, code->bytes, code->size);
        return true;
    }
    item_free(&item);
    return false;
}

static int by_hash(const void *a, const void *b) {
    return hash_order(((const Item *)a)->key.hash, ((const Item *)b)->key.hash);
}

/* Collects the texts, each once however many instruction sets share it. */
static bool place_texts(PackBuilder *builder, StrBuf *texts) {
    Item *items = builder->items.data;
    for (uint32_t i = 0; i < builder->items.count; i++) {
        uint32_t same = 0;
        while (same < i &&
               (items[same].key.text_bytes != items[i].key.text_bytes ||
                memcmp(items[same].key.text, items[i].key.text, items[i].key.text_bytes) != 0))
            same++;
        items[i].text = same < i ? items[same].text : (uint32_t)texts->length;
        if (same == i) strbuf_add_bytes(texts, items[i].key.text, items[i].key.text_bytes);
    }
    return !texts->failed;
}

static uint64_t align_up(uint64_t offset) {
    return (offset + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
}

static void pad_to(StrBuf *out, size_t length) {
    static const char zeros[PACK_ALIGN];
    while (out->length < length && !out->failed) {
        size_t missing = length - out->length;
        strbuf_add_bytes(out, zeros, missing < sizeof zeros ? missing : sizeof zeros);
    }
}

static PackHeader make_header(uint32_t count, uint64_t bytes) {
    PackHeader header = {.format = CACHE_FORMAT, .count = count, .bytes = bytes};
    const char *compiler = cache_compiler();
    size_t length = strlen(compiler);
    memcpy(header.magic, pack_magic, sizeof pack_magic);
    memcpy(header.compiler, compiler,
           length < sizeof header.compiler ? length : sizeof header.compiler);
    return header;
}

/* Writes header, entries, texts and code, of `bytes` bytes in all; code starts at `code_at`. */
static void write_pack(const PackBuilder *builder, const StrBuf *texts, uint64_t code_at,
                       uint64_t bytes, StrBuf *out) {
    uint32_t count = builder->items.count;
    size_t start = out->length;
    PackHeader header = make_header(count, bytes);
    uint64_t text_at = sizeof header + (uint64_t)count * sizeof(PackEntry), at = code_at;
    strbuf_add_bytes(out, (const char *)&header, sizeof header);
    for (uint32_t i = 0; i < count; i++) {
        const Item *item = &builder->items.data[i];
        PackEntry entry = {.hash = item->key.hash,
                           .schedule = item->key.schedule,
                           .isa = item->key.isa,
                           .text = (uint32_t)(text_at + item->text),
                           .text_bytes = (uint32_t)item->key.text_bytes,
                           .code = (uint32_t)at,
                           .code_bytes = (uint32_t)item->code.size,
                           .entry = (uint32_t)item->code.entry};
        strbuf_add_bytes(out, (const char *)&entry, sizeof entry);
        at = align_up(at + item->code.size);
    }
    SN_ASSERT(out->failed || out->length - start == text_at);
    strbuf_add_bytes(out, strbuf_text(texts), texts->length);
    pad_to(out, start + (size_t)code_at);
    for (uint32_t i = 0; i < count; i++) {
        const CacheCode *code = &builder->items.data[i].code;
        strbuf_add_bytes(out, (const char *)code->bytes, code->size);
        pad_to(out, start + (size_t)align_up(out->length - start));
    }
    SN_ASSERT(out->failed || out->length - start == bytes);
}

sn_status pack_builder_finish(PackBuilder *builder, StrBuf *out, sn_error *error) {
    StrBuf texts = {0};
    uint32_t count = builder->items.count;
    if (count) qsort(builder->items.data, count, sizeof *builder->items.data, by_hash);
    sn_status status = SN_OK;
    if (!place_texts(builder, &texts)) {
        status = error_memory(error);
        goto out;
    }
    uint64_t code_at =
        align_up(sizeof(PackHeader) + (uint64_t)count * sizeof(PackEntry) + texts.length);
    uint64_t bytes = code_at;
    for (uint32_t i = 0; i < count; i++) bytes = align_up(bytes + builder->items.data[i].code.size);
    if (bytes > UINT32_MAX) {
        status = error_set(error, SN_ERROR_UNSUPPORTED, "a pack of more than 4 GiB");
        goto out;
    }
    write_pack(builder, &texts, code_at, bytes, out);
    if (out->failed) status = error_memory(error);
out:
    strbuf_free(&texts);
    return status;
}
