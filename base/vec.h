/* Growable typed arrays. VEC(T) declares the struct; the macros below work on any of them.
 * A failed growth leaves the vector as it was and returns false. */
#ifndef SN_BASE_VEC_H
#define SN_BASE_VEC_H

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *data;           /* elements; NULL while empty */                                        \
        uint32_t count;    /* elements in use */                                                   \
        uint32_t capacity; /* elements allocated */                                                \
    }

/* Makes room for `extra` more elements of `size` bytes; used through the macros. */
static inline bool vec_grow(void **data, uint32_t *capacity, uint32_t count, uint32_t extra,
                            size_t size) {
    SN_ASSERT(count <= *capacity && (!*data) == (*capacity == 0));
    if (extra > UINT32_MAX - count) return false;
    uint32_t need = count + extra;
    uint32_t wanted = *capacity < 8 ? 8 : (*capacity > UINT32_MAX / 2 ? UINT32_MAX : *capacity * 2);
    if (wanted < need) wanted = need;
    void *grown = mem_realloc(*data, (size_t)wanted * size);
    if (!grown) return false;
    *data = grown;
    *capacity = wanted;
    return true;
}

static inline uint32_t vec_last_index(uint32_t count) {
    SN_ASSERT(count > 0);
    return count - 1;
}

#define vec_reserve(v, extra)                                                                      \
    ((extra) <= (v)->capacity - (v)->count ||                                                      \
     vec_grow((void **)&(v)->data, &(v)->capacity, (v)->count, (extra), sizeof *(v)->data))
#define vec_push(v, value) (vec_reserve(v, 1) ? ((v)->data[(v)->count++] = (value), true) : false)
#define vec_last(v) ((v)->data[vec_last_index((v)->count)])
#define vec_free(v) (mem_free((v)->data), (v)->data = NULL, (v)->count = 0, (v)->capacity = 0)

#endif
