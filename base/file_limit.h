/* The limit that the process has on the size of files (RLIMIT_FSIZE). What goes beyond it raises SIGXFSZ,
 * which ends the program: so it is asked first. */
#ifndef SN_BASE_FILE_LIMIT_H
#define SN_BASE_FILE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

/* May a file of so many bytes be written? */
static inline bool file_size_allowed(uint64_t bytes) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= bytes;
}

#endif
