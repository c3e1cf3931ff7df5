/* Reads IDX files (the format of MNIST and its kin) that are compressed with gzip. */
#ifndef EXAMPLES_IDX_H
#define EXAMPLES_IDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IDX_MOST_DIMS = 4 };

/* An array of bytes as a file holds it. */
typedef struct IdxArray {
    uint8_t *data;               /* row-major; the caller frees it with idx_free */
    size_t count;                /* elements, the product of dims */
    int64_t dims[IDX_MOST_DIMS]; /* sizes, outermost first */
    int32_t rank;                /* how many of them */
} IdxArray;

/* Fills *array from `path`, which must hold unsigned bytes. On failure false, *array empty, and in
 * `error` (of `error_size` bytes) what is wrong with which file. */
bool idx_read(const char *path, IdxArray *array, char *error, size_t error_size);
void idx_free(IdxArray *array);

#endif
