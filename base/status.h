/* Filling an sn_error. Functions below the frontend return a status and fill the caller's error. */
#ifndef SN_BASE_STATUS_H
#define SN_BASE_STATUS_H

#include <sinter/error.h>

#include <stdarg.h>
#include <stdbool.h>

/* No error. Cheaper than zeroing the whole text, which a traced op would do several times. */
static inline void error_init(sn_error *error) {
    error->size = sizeof *error;
    error->status = SN_OK;
    error->file = NULL;
    error->line = 0;
    error->text[0] = 0;
}

/* Sets `error` (may be NULL) unless it already holds one, and returns `status`. */
sn_status error_set(sn_error *error, sn_status status, const char *format, ...) SN_PRINTF(3, 4);
sn_status error_vset(sn_error *error, sn_status status, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
/* The one message for a failed allocation. */
sn_status error_memory(sn_error *error);
/* Is it that message, which names nobody? */
bool error_is_memory(const sn_error *error);
/* error_memory in place of what `error` (may be NULL) says. */
sn_status error_memory_instead(sn_error *error);

#endif
