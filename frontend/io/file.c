/* Reading at offsets and publishing whole files; see file.h. */
#include "frontend/io/file.h"

#include "base/file_limit.h"
#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MOST_NAMES_TRIED = 10000, /* temporary names that may be taken */
    MOST_AT_ONCE = 1 << 30    /* bytes of one read or write call */
};

static bool fail(const char *op, const char *path, sn_status status, const char *defect) {
    return error_refuse(status, (Site){0}, "%s: %.256s: %s", op, path, defect);
}

static bool path_given(const char *op, const char *path) {
    if (path) return true;
    return error_refuse(SN_ERROR_ARGUMENT, (Site){0}, "%s: path is NULL", op);
}

/* ---- reading --------------------------------------------------------------------------------- */

bool file_raise(const FileReader *file, sn_status status, const char *format, ...) {
    sn_error error = {0};
    va_list args;
    va_start(args, format);
    error_vset(&error, status, format, args);
    va_end(args);
    return fail(file->op, file->path, status, error.text);
}

/* O_NONBLOCK: opening a pipe, which is refused below, must not wait for its other end. */
bool file_open(FileReader *file, const char *op, const char *path) {
    *file = (FileReader){.op = op, .path = path, .fd = -1};
    if (!path_given(op, path)) return false;
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0) return fail(op, path, SN_ERROR_IO, strerror(errno));
    struct stat info;
    if (fstat(file->fd, &info) != 0)
        fail(op, path, SN_ERROR_IO, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        fail(op, path, SN_ERROR_IO, "not a regular file");
    else
        file->size = info.st_size;
    if (error_pending(thread_state())) file_close(file);
    return file->fd >= 0;
}

bool file_read(const FileReader *file, int64_t offset, void *buffer, size_t bytes) {
    char *to = buffer;
    while (bytes) {
        ssize_t got = pread(file->fd, to, bytes < MOST_AT_ONCE ? bytes : MOST_AT_ONCE, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(file->op, file->path, SN_ERROR_IO, strerror(errno));
        if (got == 0)
            return file_raise(file, SN_ERROR_IO, "the file ends at byte %lld, %zu bytes too early",
                              (long long)offset, bytes);
        to += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return true;
}

void file_close(FileReader *file) {
    if (file->fd >= 0) close(file->fd);
    file->fd = -1;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Opens a new file beside `path`; its name does not grow with the path's, which may be as long as
 * names can be. */
static int open_temporary(const char *path, char *temporary, size_t room) {
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    for (int i = 0; i < MOST_NAMES_TRIED; i++) {
        snprintf(temporary, room, "%.*s.sinter-%ld-%d.tmp", folder, path, (long)getpid(), i);
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

bool file_create(FileWriter *file, const char *op, const char *path) {
    *file = (FileWriter){.op = op, .path = path, .fd = -1};
    if (!path_given(op, path)) return false;
    struct stat old;
    bool exists = stat(path, &old) == 0;
    if (exists && !S_ISREG(old.st_mode)) return fail(op, path, SN_ERROR_IO, "not a regular file");
    size_t room = strlen(path) + 64;
    file->temporary = mem_alloc(room);
    if (!file->temporary) return fail(op, path, SN_ERROR_MEMORY, "out of memory");
    file->fd = open_temporary(path, file->temporary, room);
    if (file->fd < 0) {
        fail(op, path, SN_ERROR_IO, strerror(errno));
        mem_free(file->temporary);
        return false;
    }
    if (!exists || fchmod(file->fd, old.st_mode & 0777) == 0) return true;
    fail(op, path, SN_ERROR_IO, strerror(errno));
    return file_publish(file, false);
}

bool file_write(FileWriter *file, const void *data, size_t bytes) {
    const char *from = data;
    file->bytes += bytes;
    if (!file_size_allowed(file->bytes))
        return fail(file->op, file->path, SN_ERROR_IO, strerror(EFBIG));
    while (bytes) {
        ssize_t put = write(file->fd, from, bytes < MOST_AT_ONCE ? bytes : MOST_AT_ONCE);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail(file->op, file->path, SN_ERROR_IO, strerror(errno));
        from += put;
        bytes -= (size_t)put;
    }
    return true;
}

bool file_write_tensor(FileWriter *file, sn_tensor *tensor) {
    TensorType type = tensor_type(tensor);
    size_t bytes = elements_bytes(&type);
    if (bytes == 0) return true;
    if (tensor_is_dense(tensor)) return file_write(file, tensor_data(tensor), bytes);
    char *dense = mem_alloc(bytes);
    if (!dense) return fail(file->op, file->path, SN_ERROR_MEMORY, "out of memory");
    bool done =
        sn_read(tensor, (sn_dtype)type.dtype, dense, bytes) && file_write(file, dense, bytes);
    mem_free(dense);
    return done;
}

/* Some file systems know no fsync; that is no reason to lose the file. */
static bool sync_and_close(int fd) {
    bool synced = fsync(fd) == 0 || errno == EINVAL || errno == ENOSYS;
    int reason = errno;
    if (close(fd) != 0) return false;
    errno = reason;
    return synced;
}

bool file_publish(FileWriter *file, bool complete) {
    if (!complete) close(file->fd);
    bool done = complete && sync_and_close(file->fd) && rename(file->temporary, file->path) == 0;
    if (complete && !done) fail(file->op, file->path, SN_ERROR_IO, strerror(errno));
    if (!done) unlink(file->temporary);
    mem_free(file->temporary);
    *file = (FileWriter){.fd = -1};
    return done;
}

/* ---- elements -------------------------------------------------------------------------------- */

size_t elements_bytes(const TensorType *type) {
    return (size_t)type_count(type) * sn_dtype_size((sn_dtype)type->dtype);
}

void elements_normalise_bool(char *data, size_t count) {
    for (size_t i = 0; i < count; i++) data[i] = data[i] != 0;
}
