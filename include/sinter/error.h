/** @file error.h
 *  Errors. An op given bad input returns NULL and records the thread's error, which stays (is
 *  sticky) until it is taken: while one is pending every op of the thread returns NULL and writes
 *  nothing, so one check at the end of a model is enough. */
#ifndef SINTER_ERROR_H
#define SINTER_ERROR_H

#include <sinter/base.h>

SN_BEGIN_DECLS

/** One error, in the caller's memory. */
typedef struct sn_error {
    size_t size;      /**< sizeof(sn_error), or 0 */
    sn_status status; /**< SN_OK when there is none */
    int32_t line;     /**< line of the call, 0 if unknown */
    const char *file; /**< file of the call, a string of the program, or NULL */
    char text[480];   /**< "mlp.c:12: matmul: …", cut at the buffer's end */
} sn_error;

/** Status of the thread's pending error, SN_OK if none. */
SN_API sn_status sn_error_status(void);
/** Text of the thread's pending error, "" if none; valid until the error is taken. */
SN_API const char *sn_error_text(void);
/** Moves the pending error into `*error` (may be NULL) and clears it. Returns its status. */
SN_API sn_status sn_error_take(sn_error *error);
/** Records an error from user code, as an op does; the first one pending is kept. Returns NULL. */
SN_API void *sn_error_raise(sn_status status, const char *file, int32_t line, const char *format,
                            ...) SN_PRINTF(4, 5);

SN_END_DECLS

#endif
