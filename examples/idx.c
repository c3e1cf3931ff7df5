/* IDX: two zero bytes, a type byte (8 = unsigned byte), the number of dims, the dims as 32-bit
 * big-endian numbers, then the elements. Format: http://yann.lecun.com/exdb/mnist. */
#include "idx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* More than any data set of this kind holds; keeps a broken header from asking for all memory. */
static const uint64_t most_bytes = (uint64_t)1 << 31;

static bool read_exactly(gzFile file, void *destination, size_t bytes) {
    char *at = destination;
    while (bytes) {
        unsigned part = bytes < (1u << 30) ? (unsigned)bytes : 1u << 30;
        int got = gzread(file, at, part);
        if (got <= 0) return false;
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

/* Dims and count of *array from the header. Returns what is wrong, or NULL. */
static const char *read_header(gzFile file, IdxArray *array) {
    uint8_t magic[4], dim[4];
    if (!read_exactly(file, magic, sizeof magic)) return "ends within its header";
    if (magic[0] || magic[1]) return "is no IDX file";
    if (magic[2] != 8) return "holds another type than unsigned bytes";
    if (magic[3] < 1 || magic[3] > IDX_MOST_DIMS) return "has an unexpected number of dimensions";
    uint64_t count = 1;
    for (int32_t i = 0; i < magic[3]; i++) {
        if (!read_exactly(file, dim, sizeof dim)) return "ends within its header";
        array->dims[i] = (int64_t)((uint32_t)dim[0] << 24 | (uint32_t)dim[1] << 16 |
                                   (uint32_t)dim[2] << 8 | (uint32_t)dim[3]);
        count *= (uint64_t)array->dims[i];
        if (!count || count > most_bytes) return "has a dimension that is out of bounds";
    }
    array->rank = magic[3];
    array->count = (size_t)count;
    return NULL;
}

static const char *read_elements(gzFile file, IdxArray *array) {
    array->data = malloc(array->count);
    if (!array->data) return "does not fit into memory";
    if (!read_exactly(file, array->data, array->count)) return "is shorter than its header says";
    char more;
    return gzread(file, &more, 1) ? "is longer than its header says, or damaged" : NULL;
}

bool idx_read(const char *path, IdxArray *array, char *error, size_t error_size) {
    *array = (IdxArray){0};
    errno = 0;
    gzFile file = gzopen(path, "rb");
    if (!file) {
        snprintf(error, error_size, "%s: %s", path, errno ? strerror(errno) : "out of memory");
        return false;
    }
    const char *wrong = read_header(file, array);
    if (!wrong) wrong = read_elements(file, array);
    int code = Z_OK;
    (void)gzerror(file, &code);
    if (wrong && code == Z_DATA_ERROR) wrong = "is damaged";
    if (wrong && code == Z_ERRNO) wrong = "cannot be read";
    gzclose(file);
    if (!wrong) return true;
    snprintf(error, error_size, "%s %s", path, wrong);
    idx_free(array);
    return false;
}

void idx_free(IdxArray *array) {
    free(array->data);
    *array = (IdxArray){0};
}
