/* Bump allocator; see arena.h. */
#include "base/arena.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdint.h>
#include <string.h>

struct ArenaBlock {
    ArenaBlock *next; /* older block, or NULL */
    size_t bytes;     /* usable bytes after the header */
};

enum { ARENA_ALIGN = 16, ARENA_FIRST_BLOCK = 4096, ARENA_LARGEST_BLOCK = 1 << 20 };

void *arena_alloc(Arena *arena, size_t bytes) {
    SN_ASSERT(arena->next <= arena->end && (!arena->next) == (!arena->blocks));
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t size = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (size == 0) size = ARENA_ALIGN;
    if ((size_t)(arena->end - arena->next) < size || !arena->next) {
        size_t block_bytes = arena->blocks ? arena->blocks->bytes * 2 : ARENA_FIRST_BLOCK;
        if (block_bytes > ARENA_LARGEST_BLOCK) block_bytes = ARENA_LARGEST_BLOCK;
        if (block_bytes < size) block_bytes = size;
        size_t header = (sizeof(ArenaBlock) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
        ArenaBlock *block = mem_alloc(header + block_bytes);
        if (!block) return NULL;
        block->next = arena->blocks;
        block->bytes = block_bytes;
        arena->blocks = block;
        arena->next = (char *)block + header;
        arena->end = arena->next + block_bytes;
    }
    void *result = arena->next;
    arena->next += size;
    SN_ASSERT(arena->next <= arena->end && (uintptr_t)result % ARENA_ALIGN == 0);
    return result;
}

void *arena_zalloc(Arena *arena, size_t bytes) {
    void *result = arena_alloc(arena, bytes);
    if (result) memset(result, 0, bytes);
    return result;
}

void *arena_copy(Arena *arena, const void *data, size_t bytes) {
    void *result = arena_alloc(arena, bytes);
    if (result && bytes) memcpy(result, data, bytes);
    return result;
}

char *arena_strdup(Arena *arena, const char *text) {
    return arena_copy(arena, text, strlen(text) + 1);
}

void arena_free(Arena *arena) {
    ArenaBlock *block = arena->blocks;
    while (block) {
        ArenaBlock *next = block->next;
        mem_free(block);
        block = next;
    }
    *arena = (Arena){0};
}
