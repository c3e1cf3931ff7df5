/* Errors and the names of status codes; see status.h. */
#include "base/status.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

sn_status error_vset(sn_error *error, sn_status status, const char *format, va_list args) {
    SN_ASSERT(status != SN_OK);
    if (error && error->status == SN_OK) {
        error->status = status;
        vsnprintf(error->text, sizeof error->text, format, args);
    }
    return status;
}

sn_status error_set(sn_error *error, sn_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    error_vset(error, status, format, args);
    va_end(args);
    return status;
}

static const char memory_text[] = "out of memory";

sn_status error_memory(sn_error *error) {
    return error_set(error, SN_ERROR_MEMORY, "%s", memory_text);
}

bool error_is_memory(const sn_error *error) {
    return error->status == SN_ERROR_MEMORY && strcmp(error->text, memory_text) == 0;
}

sn_status error_memory_instead(sn_error *error) {
    if (error) error->status = SN_OK;
    return error_memory(error);
}

const char *sn_status_name(sn_status status) {
    static const char *const names[] = {
        [SN_OK] = "ok",
        [SN_ERROR_ARGUMENT] = "argument",
        [SN_ERROR_SHAPE] = "shape",
        [SN_ERROR_DTYPE] = "dtype",
        [SN_ERROR_INDEX] = "index",
        [SN_ERROR_MEMORY] = "memory",
        [SN_ERROR_SCOPE] = "scope",
        [SN_ERROR_HANDLE] = "handle",
        [SN_ERROR_SIGNATURE] = "signature",
        [SN_ERROR_UNSUPPORTED] = "unsupported",
        [SN_ERROR_IO] = "io",
        [SN_ERROR_FORMAT] = "format",
        [SN_ERROR_COMPILE] = "compile",
        [SN_ERROR_GRAPH_BREAK] = "graph break",
        [SN_ERROR_ALIAS] = "alias",
        [SN_ERROR_CANCELLED] = "cancelled",
        [SN_ERROR_INTERNAL] = "internal",
    };
    size_t count = sizeof names / sizeof names[0];
    return (size_t)status < count ? names[status] : "?";
}
