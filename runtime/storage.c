/* Storage; see storage.h. */
#include "runtime/storage.h"

#include "base/assert.h"
#include "base/thread/lock.h"
#include "base/thread/program.h"
#include "runtime/memory.h"
#include "runtime/weights.h"

static size_t storage_size(bool borrowed) {
    return sizeof(Storage) + borrowed * sizeof(StorageOwner);
}

static Storage *storage_make(const Device *device, void *data, size_t bytes, bool borrowed) {
    Storage *storage = memory_alloc(storage_size(borrowed));
    if (!storage) return NULL;
    *storage = (Storage){.device = device, .data = data, .bytes = bytes, .borrowed = borrowed};
    refs_init(&storage->refs);
    return storage;
}

Storage *storage_new(const Device *device, size_t bytes) {
    SN_ASSERT(device && device->alloc);
    void *data = device->alloc(bytes);
    if (!data) return NULL;
    Storage *storage = storage_make(device, data, bytes, false);
    if (!storage) device->free(data, bytes);
    return storage;
}

Storage *storage_borrow(void *data, size_t bytes, void (*release)(void *), void *context) {
    Storage *storage = storage_make(&device_cpu, data, bytes, true);
    if (!storage) return NULL;
    storage->owner[0] = (StorageOwner){release, context};
    return storage;
}

Storage *storage_retain(Storage *storage) {
    refs_take(&storage->refs);
    return storage;
}

void storage_unmap(Storage *storage) {
    int32_t maps = atomic_load(&storage->maps);
    storage_written(storage);
    while (maps > 0 && !atomic_compare_exchange_weak(&storage->maps, &maps, maps - 1)) {
    }
}

static void call_release(const Storage *storage) {
    ProgramCall call;
    program_enter(&call);
    storage->owner[0].release(storage->owner[0].context);
    program_leave(&call);
}

void storage_release(Storage *storage) {
    SN_ASSERT(may_call_program());
    if (!storage || !refs_drop(&storage->refs)) return;
    weights_free(storage);
    if (!storage->borrowed)
        storage->device->free(storage->data, storage->bytes);
    else if (storage->owner[0].release)
        call_release(storage);
    memory_free(storage, storage_size(storage->borrowed));
}
