/* Loading of code generators; see backend.h. */
#include "runtime/kernels/backend.h"

#include "base/clock.h"
#include "base/settings.h"
#include "base/status.h"
#include "base/thread/lock.h"
#include "base/thread/log.h"
#include "runtime/kernels/plugin.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { BACKEND_MOST = 4, NAME_LENGTH = 16 };

/* What is known about one back end. */
typedef struct Slot {
    char name[NAME_LENGTH]; /* "cpu"; "" = free */
    const Backend *backend; /* NULL after a failure */
    sn_error failure;       /* why, when backend is NULL */
    char folder[PATH_MAX];  /* SINTER_MODULE_DIR at that time */
} Slot;

LOCK_DEFINE(lock, RANK_BACKENDS);
SECTION_DEFINE(generating); /* a code generator is at work */
static Slot slots[BACKEND_MOST];
static int64_t load_ns;

/* The slot of `name`, a free one for a new name, NULL when there is none. Lock held. */
static Slot *find_slot(const char *name) {
    if (strlen(name) >= NAME_LENGTH) return NULL;
    for (int i = 0; i < BACKEND_MOST; i++) {
        if (!slots[i].name[0]) snprintf(slots[i].name, NAME_LENGTH, "%s", name);
        if (strcmp(slots[i].name, name) == 0) return &slots[i];
    }
    return NULL;
}

static const Backend *load_plugin(const char *name, sn_error *error) {
    PluginFn *function =
        plugin_load(name, "sinter_backend",
                    "kernels that are cached or were generated at build time still run", error);
    if (!function) return NULL;
    const Backend *backend = ((BackendEntry *)function)();
    if (backend && backend->abi == BACKEND_ABI && strcmp(backend->name, name) == 0) return backend;
    error_set(error, SN_ERROR_UNSUPPORTED,
              "module libsinter_%s.so is of another version of the library, or another module",
              name);
    return NULL;
}

/* Fills a slot that holds neither a back end nor a failure that still counts. Lock held. */
static void fill_slot(Slot *slot) {
    const char *folder = setting_text(SETTING_MODULE_DIR);
    if (slot->backend || (slot->failure.status != SN_OK && strcmp(slot->folder, folder) == 0))
        return;
    int64_t start = clock_ns();
    slot->failure = (sn_error){0};
    slot->backend = load_plugin(slot->name, &slot->failure);
    snprintf(slot->folder, sizeof slot->folder, "%s", folder);
    load_ns += clock_ns() - start;
}

const Backend *backend_load(const char *name, sn_error *error) {
    log_hold(); /* loading logs, under the lock */
    lock_take(&lock);
    Slot *slot = find_slot(name);
    if (slot) fill_slot(slot);
    const Backend *backend = slot ? slot->backend : NULL;
    if (!slot)
        error_set(error, SN_ERROR_ARGUMENT, "no back end is called %s", name);
    else if (!backend)
        error_set(error, slot->failure.status, "%s", slot->failure.text);
    lock_give(&lock);
    log_release();
    return backend;
}

sn_status backend_compile(const Backend *backend, const Kernel *kernel, const Target *target,
                          const Schedule *schedule, const char *name, CodeBlob *blob,
                          sn_error *error) {
    section_enter(&generating);
    sn_status status = backend->compile(kernel, target, schedule, name, blob, error);
    section_leave(&generating);
    return status;
}

sn_status backend_print(const Backend *backend, const Kernel *kernel, const Target *target,
                        const Schedule *schedule, const char *name, BackendStage stage, StrBuf *out,
                        sn_error *error) {
    section_enter(&generating);
    sn_status status = backend->print(kernel, target, schedule, name, stage, out, error);
    section_leave(&generating);
    return status;
}

bool backend_register(const Backend *backend) {
    lock_take(&lock);
    Slot *slot = find_slot(backend->name);
    if (slot) slot->backend = backend;
    lock_give(&lock);
    return slot != NULL;
}

int64_t backend_load_ns(void) {
    lock_take(&lock);
    int64_t total = load_ns;
    lock_give(&lock);
    return total;
}
