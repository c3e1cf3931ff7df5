/** @file base.h
 *  Types that every other header uses: status codes, data types, versions, C/C++ glue. */
#ifndef SINTER_BASE_H
#define SINTER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define SN_BEGIN_DECLS extern "C" {
#define SN_END_DECLS }
#else
#define SN_BEGIN_DECLS
#define SN_END_DECLS
#endif

#if defined(__GNUC__)
#define SN_API __attribute__((visibility("default")))
#define SN_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define SN_API
#define SN_PRINTF(text, first)
#endif

SN_BEGIN_DECLS

#define SN_VERSION_MAJOR 0
#define SN_VERSION_MINOR 1
#define SN_VERSION_PATCH 0

/** Most dimensions a tensor can have. */
#define SN_MAX_RANK 8

/** Result of a call. Values are part of the ABI and only ever appended. */
typedef enum sn_status {
    SN_OK = 0,
    SN_ERROR_ARGUMENT = 1,     /**< NULL, a wrong count, a value outside its range */
    SN_ERROR_SHAPE = 2,        /**< shapes do not fit each other or the op */
    SN_ERROR_DTYPE = 3,        /**< a data type that the op does not take */
    SN_ERROR_INDEX = 4,        /**< an axis or an index out of range, in metadata or in data */
    SN_ERROR_MEMORY = 5,       /**< out of memory, or a size that overflows */
    SN_ERROR_SCOPE = 6,        /**< no scope is open, or scopes are not nested */
    SN_ERROR_HANDLE = 7,       /**< a released handle, or a release of what was not retained */
    SN_ERROR_SIGNATURE = 8,    /**< a signature string that does not parse or does not match */
    SN_ERROR_UNSUPPORTED = 9,  /**< valid, but not possible on this machine or in this build */
    SN_ERROR_IO = 10,          /**< a file that cannot be read or written */
    SN_ERROR_FORMAT = 11,      /**< a file or text that is malformed */
    SN_ERROR_COMPILE = 12,     /**< code generation failed */
    SN_ERROR_GRAPH_BREAK = 13, /**< a host read inside a full-graph function */
    SN_ERROR_ALIAS = 14,       /**< a write through a view that overlaps itself, a frozen tensor */
    SN_ERROR_CANCELLED = 15,   /**< the progress callback said stop */
    SN_ERROR_INTERNAL = 16     /**< a defect of Sinter; please report it */
} sn_status;

/** Element type of a tensor. Values are part of the ABI and only ever appended. */
typedef enum sn_dtype {
    SN_BOOL = 0, /**< one byte, 0 or 1 */
    SN_U8 = 1,
    SN_I8 = 2,
    SN_I16 = 3,
    SN_I32 = 4,
    SN_I64 = 5,
    SN_F16 = 6,  /**< IEEE binary16 */
    SN_BF16 = 7, /**< bfloat16: the upper half of binary32 */
    SN_F32 = 8,
    SN_F64 = 9
} sn_dtype;

/** Number of data types. */
#define SN_DTYPE_COUNT 10

/** Bytes of one element; 0 for a value that is no dtype. */
SN_API size_t sn_dtype_size(sn_dtype dtype);
/** "f32", "i64", "bool"…; "?" for a value that is no dtype. Static storage. */
SN_API const char *sn_dtype_name(sn_dtype dtype);
/** Short name of a status, such as "shape". Static storage. */
SN_API const char *sn_status_name(sn_status status);
/** Version of the library at run time: major * 10000 + minor * 100 + patch. */
SN_API int32_t sn_version(void);
/** The same as text, "0.1.0". Static storage. */
SN_API const char *sn_version_text(void);

SN_END_DECLS

#endif
