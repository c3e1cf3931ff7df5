/* The header of a .safetensors file: which tensors are in it, and where. It is read from a file and
 * checked as a whole, or made of tensors and printed. */
#ifndef SN_FRONTEND_IO_SAFETENSORS_HEADER_H
#define SN_FRONTEND_IO_SAFETENSORS_HEADER_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "frontend/io/file.h"

enum {
    SAFETENSORS_NO_DTYPE = SN_DTYPE_COUNT, /* a dtype that Sinter has not */
    SAFETENSORS_DTYPE_TEXT = 16            /* room for the name of a dtype */
};

/* A tensor of the file. */
typedef struct SafetensorsEntry {
    const char *name; /* in the header's arena where it was read, else the caller's */
    TensorType type;  /* dtype may be SAFETENSORS_NO_DTYPE; dims hold the first SN_MAX_RANK */
    int32_t rank;     /* sizes in the file: can be more than a tensor's */
    char dtype_text[SAFETENSORS_DTYPE_TEXT]; /* the dtype's name in the file, cut */
    int64_t begin;                           /* first byte of its elements, from the first of all */
    int64_t end;                             /* one past the last */
} SafetensorsEntry;

typedef struct SafetensorsHeader {
    VEC(SafetensorsEntry) entries; /* in the header's order */
    Map by_name;                   /* hash of the name → entry */
    Arena names;                   /* what was read: strings of the entries */
    int64_t data;                  /* what was read: offset of the elements in the file */
} SafetensorsHeader;

/* Reads a header into one that is zero; false with the error raised. In any case it is freed. */
bool safetensors_read_header(SafetensorsHeader *header, const FileReader *file);
void safetensors_free_header(SafetensorsHeader *header);
const SafetensorsEntry *safetensors_find(const SafetensorsHeader *header, const char *name);

bool safetensors_is_utf8(const char *name);
/* What forbids that a tensor is added under this name, in words; NULL: nothing. */
const char *safetensors_name_defect(const SafetensorsHeader *header, const char *name);
/* False when out of memory. */
bool safetensors_add(SafetensorsHeader *header, const SafetensorsEntry *entry);
/* Adds the first bytes of the file to `out`: the header's length, and the JSON, padded with spaces, so that
 * elements begin aligned. False where the header is longer than the format allows. */
bool safetensors_print_header(const SafetensorsHeader *header, StrBuf *out);

#endif
