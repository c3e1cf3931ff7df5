/* The folder of the disk cache: where it is, and that it is the user's own.
 *
 * Code that is loaded is code that runs. So a folder is opened for each look into it, and it is the open
 * folder that is checked and worked in: a path may lead elsewhere a moment later. */
#ifndef SN_RUNTIME_KERNELS_CACHE_FOLDER_H
#define SN_RUNTIME_KERNELS_CACHE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the folder the settings ask for; false when there is none ("off", no home folder, a path
 * that is too long). */
bool cache_folder_path(char *path, size_t capacity);
/* A descriptor of the folder; -1 with *fault, a static text, when it belongs to another user, or others may
 * write to it, or it is not there. With `make` it is made then, with mode 0700, as are folders on the way to
 * it, unless that would be in one that belongs to another user. */
int cache_folder_open(const char *folder, bool make, const char **fault);

#endif
