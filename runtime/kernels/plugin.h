/* Plugins, which users know as modules: shared objects that are loaded when first needed, because what
 * they link (libLLVM, say) is large or may be absent. Found in SINTER_MODULE_DIR if that is set,
 * else beside the object this code is in, else by the loader's own search. Never unloaded. */
#ifndef SN_RUNTIME_KERNELS_PLUGIN_H
#define SN_RUNTIME_KERNELS_PLUGIN_H

#include <sinter/error.h>

/* A function of no particular type; the caller casts it to the entry's. */
typedef void PluginFn(void);

/* Loads libsinter_NAME.so and returns its function `entry`, or NULL with SN_ERROR_UNSUPPORTED. The
 * error names the path tried, the loader's reason, and `consequence`: what does and does not work
 * without it. A failure is not remembered. Thread-safe. */
PluginFn *plugin_load(const char *name, const char *entry, const char *consequence,
                      sn_error *error);

#endif
