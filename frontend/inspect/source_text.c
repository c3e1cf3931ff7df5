/* Reading source files; see source_text.h. */
#include "frontend/inspect/source_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SOURCE_MOST = 16 << 20 };

bool source_read(const char *file, StrBuf *text) {
    char piece[4096];
    struct stat about;
    int at = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (at < 0) return false;
    bool fits = fstat(at, &about) == 0 && S_ISREG(about.st_mode) && about.st_size <= SOURCE_MOST;
    ssize_t got = fits ? read(at, piece, sizeof piece) : -1;
    for (; got > 0 && text->length < SOURCE_MOST; got = read(at, piece, sizeof piece))
        strbuf_add_bytes(text, piece, (size_t)got);
    close(at);
    return got == 0 && !text->failed;
}
