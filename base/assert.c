/* The end of a process in which a rule was broken; see assert.h. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *file, int line, const char *text) {
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, text);
    abort();
}
