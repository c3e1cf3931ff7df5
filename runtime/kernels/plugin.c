/* Loading of plugins; see plugin.h. */
#include "runtime/kernels/plugin.h"

#include "base/settings.h"
#include "base/status.h"
#include "base/thread/lock.h"
#include "base/thread/log.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

LOCK_DEFINE(loading, RANK_PLUGINS);

/* Cuts the file name off, leaving the folder and its slash; "" when there is no slash. */
static void keep_folder(char *path) {
    char *slash = strrchr(path, '/');
    path[slash ? slash - path + 1 : 0] = '\0';
}

/* Folder of the object that holds this function, with its slash; "" when unknown. The loader knows
 * the main program only by the name it was called with, so that one is asked of the kernel. */
static void own_folder(char *path, size_t capacity) {
    static const char anchor; /* an address inside this object */
    Dl_info info;
    path[0] = '\0';
    if (dladdr(&anchor, &info) && info.dli_fname) snprintf(path, capacity, "%s", info.dli_fname);
    if (path[0] != '/') {
        ssize_t length = readlink("/proc/self/exe", path, capacity - 1);
        path[length > 0 ? length : 0] = '\0';
    }
    keep_folder(path);
}

/* The path to load; false when it does not fit. */
static bool find_plugin(const char *name, char *path, size_t capacity) {
    char folder[PATH_MAX];
    const char *chosen = setting_text(SETTING_MODULE_DIR);
    int length;
    if (*chosen) {
        length = snprintf(path, capacity, "%s/libsinter_%s.so", chosen, name);
        return length > 0 && (size_t)length < capacity;
    }
    own_folder(folder, sizeof folder);
    length = snprintf(path, capacity, "%slibsinter_%s.so", folder, name);
    if (*folder && length > 0 && (size_t)length < capacity && access(path, F_OK) == 0) return true;
    length = snprintf(path, capacity, "libsinter_%s.so", name);
    return length > 0 && (size_t)length < capacity;
}

PluginFn *plugin_load(const char *name, const char *entry, const char *consequence,
                      sn_error *error) {
    char path[PATH_MAX];
    if (!find_plugin(name, path, sizeof path)) {
        error_set(error, SN_ERROR_UNSUPPORTED, "the path of module libsinter_%s.so is too long; %s",
                  name, consequence);
        return NULL;
    }
    lock_take(&loading);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = plugin ? dlsym(plugin, entry) : NULL;
    lock_give(&loading);
    if (!symbol) {
        const char *reason = dlerror();
        error_set(error, SN_ERROR_UNSUPPORTED, "cannot load module %s: %s; %s", path,
                  reason ? reason : "unknown reason", consequence);
        return NULL;
    }
    if (log_on(LOG_CODEGEN)) log_write(LOG_CODEGEN, "loaded module %s", path);
    PluginFn *function;
    _Static_assert(sizeof function == sizeof symbol, "POSIX: functions have data pointers' size");
    memcpy(&function, &symbol, sizeof function);
    return function;
}
