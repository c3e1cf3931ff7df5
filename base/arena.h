/* Arena: bump allocation for everything that dies together (a graph, a kernel, a plan). */
#ifndef SN_BASE_ARENA_H
#define SN_BASE_ARENA_H

#include <stddef.h>

typedef struct ArenaBlock ArenaBlock;

typedef struct Arena {
    ArenaBlock *blocks; /* newest first; each holds at least one allocation */
    char *next;         /* first free byte of the newest block */
    char *end;          /* one past the newest block */
} Arena;

/* 16-byte aligned uninitialised memory that lives until arena_free; NULL when out of memory. */
void *arena_alloc(Arena *arena, size_t bytes);
/* The same, zeroed. */
void *arena_zalloc(Arena *arena, size_t bytes);
/* Copy of `bytes` bytes at `data`; of a C string. */
void *arena_copy(Arena *arena, const void *data, size_t bytes);
char *arena_strdup(Arena *arena, const char *text);
/* Frees all blocks; the arena is empty and usable again. */
void arena_free(Arena *arena);

#endif
