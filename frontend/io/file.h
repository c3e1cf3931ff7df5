/* Files as the readers and writers of tensor formats use them: reads at offsets that are checked
 * against the size, and writes that are published under their name only when complete. All failures
 * are raised as the thread's error, "op: path: defect". */
#ifndef SN_FRONTEND_IO_FILE_H
#define SN_FRONTEND_IO_FILE_H

#include "frontend/tensor/tensor.h"

/* A regular file, open for reading. */
typedef struct FileReader {
    const char *op;   /* for errors: "npy_load" */
    const char *path; /* for errors; not owned */
    int64_t size;     /* bytes when it was opened */
    int fd;           /* -1 when closed */
} FileReader;

bool file_open(FileReader *file, const char *op, const char *path);
/* Exactly `bytes` bytes from `offset`. The file may have shrunk since it was opened. */
bool file_read(const FileReader *file, int64_t offset, void *buffer, size_t bytes);
void file_close(FileReader *file);
/* Raises "op: path: …". Always false. */
bool file_raise(const FileReader *file, sn_status status, const char *format, ...) SN_PRINTF(3, 4);

/* A file being written under a temporary name in the folder of `path`. An existing file keeps its
 * permissions; a symbolic link at `path` is replaced, not followed. */
typedef struct FileWriter {
    const char *op;   /* for errors */
    const char *path; /* what it will be called; not owned */
    char *temporary;  /* what it is called now */
    uint64_t bytes;   /* written */
    int fd;           /* open for writing */
} FileWriter;

bool file_create(FileWriter *file, const char *op, const char *path);
bool file_write(FileWriter *file, const void *data, size_t bytes);
/* The elements of a real tensor in row-major order. */
bool file_write_tensor(FileWriter *file, sn_tensor *tensor);
/* Ends what file_create began: when `complete`, brings the bytes to the disk and gives the file its
 * name, else removes it. True when it was published. */
bool file_publish(FileWriter *file, bool complete);

/* ---- what both formats need of elements ------------------------------------------------------ */

/* Bytes that the elements of a type take; its dims_count must be valid. */
size_t elements_bytes(const TensorType *type);
/* Makes each byte 0 or 1: a file may hold others, which are no bool to a kernel. */
void elements_normalise_bool(char *data, size_t count);

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "elements go to files as they lie in memory");

#endif
