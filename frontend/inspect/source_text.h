/* Files of the program's source, where they are at hand. */
#ifndef SN_FRONTEND_INSPECT_SOURCE_TEXT_H
#define SN_FRONTEND_INSPECT_SOURCE_TEXT_H

#include "base/strbuf.h"

/* Reads a whole file, if there is one that is neither large nor anything but a file; false where there is
 * not. The caller frees the text in any case. */
bool source_read(const char *file, StrBuf *text);

#endif
