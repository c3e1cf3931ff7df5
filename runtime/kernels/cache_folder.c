/* The folder of the disk cache; see cache_folder.h. */
#include "runtime/kernels/cache_folder.h"

#include "base/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool cache_folder_path(char *path, size_t capacity) {
    const char *chosen = setting_text(SETTING_CACHE_DIR);
    const char *shared = setting_text(SETTING_XDG_CACHE_HOME);
    const char *home = setting_text(SETTING_HOME);
    int length = -1;
    if (strcmp(chosen, "off") == 0) return false;
    if (*chosen)
        length = snprintf(path, capacity, "%s", chosen);
    else if (*shared == '/') /* a relative one is to be ignored, says the specification */
        length = snprintf(path, capacity, "%s/sinter", shared);
    else if (*home == '/')
        length = snprintf(path, capacity, "%s/.cache/sinter", home);
    return length > 0 && (size_t)length < capacity;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* May folders be made in this one? Root that has a user's HOME leaves nothing behind there. */
static bool is_ours_to_fill(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && (info.st_uid == geteuid() || info.st_uid == 0);
}

/* mkdir -p, new folders for the user alone; NULL, or why not. */
static const char *make_folders(const char *folder) {
    char path[PATH_MAX], before[PATH_MAX] = ".";
    size_t length = strlen(folder);
    if (length >= sizeof path) return "its name is too long";
    memcpy(path, folder, length + 1);
    if (*path == '/') strcpy(before, "/");
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        char kept = path[i];
        struct stat found;
        path[i] = '\0';
        if (stat(path, &found) != 0) {
            if (errno != ENOENT) return "it cannot be made";
            if (!is_ours_to_fill(before)) return "it would be in another user's folder";
            if (mkdir(path, 0700) != 0 && errno != EEXIST) return "it cannot be made";
        } else if (!S_ISDIR(found.st_mode)) {
            return "it cannot be made";
        }
        memcpy(before, path, i + 1);
        path[i] = kept;
    }
    return NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Why an open folder must not be used, or NULL. */
static const char *folder_fault(int fd) {
    struct stat info;
    if (fstat(fd, &info) != 0) return "it cannot be read";
    if (info.st_uid != geteuid()) return "another user owns it";
    if (info.st_mode & (S_IWGRP | S_IWOTH)) return "other users may write to it";
    return NULL;
}

/* The same of what is no folder, at `path`: a symbolic link is fine if it is the user's own. */
static const char *link_fault(const char *path) {
    struct stat link, target;
    if (lstat(path, &link) != 0 || stat(path, &target) != 0) return "it cannot be read";
    if (!S_ISDIR(target.st_mode)) return "it is not a folder";
    return link.st_uid != geteuid() ? "another user owns it" : NULL;
}

int cache_folder_open(const char *folder, bool make, const char **fault) {
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int fd = open(folder, flags | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        *fault = make ? make_folders(folder) : "it is not there";
        if (*fault) return -1;
        fd = open(folder, flags | O_NOFOLLOW);
    }
    if (fd < 0) { /* a link has ENOTDIR too, as a folder is asked for */
        bool leads = errno == ELOOP || errno == ENOTDIR;
        *fault = leads ? link_fault(folder) : "it cannot be read";
        if (!*fault) fd = open(folder, flags);
        if (fd < 0) return -1;
    }
    *fault = folder_fault(fd);
    if (!*fault) return fd;
    close(fd);
    return -1;
}
