/* Hash map from a 64-bit hash to a 32-bit index into the caller's array: open addressing, linear
 * probing. The caller owns keys and compares them; the map holds (hash, index) pairs only. */
#ifndef SN_BASE_MAP_H
#define SN_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MapSlot {
    uint64_t hash;  /* the key's hash */
    uint32_t value; /* the caller's index + 1; 0 = free slot */
} MapSlot;

typedef struct Map {
    MapSlot *slots;    /* power-of-two table; NULL while empty */
    uint32_t count;    /* occupied slots */
    uint32_t capacity; /* table size */
} Map;

/* True when entry `index` equals the key being sought. */
typedef bool MapEqual(const void *context, uint32_t index);

enum { MAP_NONE = -1 };

/* Index of the entry with this hash for which `equal` holds, or MAP_NONE. */
int64_t map_find(const Map *map, uint64_t hash, MapEqual *equal, const void *context);
/* Adds an entry (the caller has looked that it is new). False when out of memory. */
bool map_insert(Map *map, uint64_t hash, uint32_t index);
/* Removes the pair (hash, index), if there. */
void map_remove(Map *map, uint64_t hash, uint32_t index);
void map_clear(Map *map);
void map_free(Map *map);

/* xxHash (XXH3), 64 and 128 bits. */
typedef struct Hash128 {
    uint64_t low;  /* low 64 bits of XXH3-128 */
    uint64_t high; /* high 64 bits */
} Hash128;
uint64_t hash_bytes(const void *data, size_t bytes, uint64_t seed);
Hash128 hash_bytes128(const void *data, size_t bytes);
static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
    uint64_t x = ((a << 23 | a >> 41) ^ b) * 0xff51afd7ed558ccdu;
    return x ^ (x >> 32);
}

#endif
