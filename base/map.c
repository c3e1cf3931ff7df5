/* Open-addressing hash map of indices, and the hash function; see map.h. */
#include "base/map.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>
#include <xxhash.h>

/* At least half of a table is free, so that every walk ends. */
static bool is_sound(const Map *map) {
    bool power = (map->capacity & (map->capacity - 1)) == 0;
    return power && (!map->slots) == (map->capacity == 0) && map->count <= map->capacity / 2;
}

int64_t map_find(const Map *map, uint64_t hash, MapEqual *equal, const void *context) {
    SN_ASSERT(is_sound(map));
    if (!map->count) return MAP_NONE;
    uint32_t mask = map->capacity - 1;
    for (uint32_t i = (uint32_t)hash & mask; map->slots[i].value; i = (i + 1) & mask) {
        if (map->slots[i].hash == hash && equal(context, map->slots[i].value - 1))
            return (int64_t)map->slots[i].value - 1;
    }
    return MAP_NONE;
}

static void place(MapSlot *slots, uint32_t mask, MapSlot slot) {
    uint32_t i = (uint32_t)slot.hash & mask;
    while (slots[i].value) i = (i + 1) & mask;
    slots[i] = slot;
}

static bool grow(Map *map) {
    SN_ASSERT(map->capacity <= UINT32_MAX / 2);
    uint32_t capacity = map->capacity ? map->capacity * 2 : 16;
    MapSlot *slots = mem_calloc(capacity, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < map->capacity; i++)
        if (map->slots[i].value) place(slots, capacity - 1, map->slots[i]);
    mem_free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return true;
}

bool map_insert(Map *map, uint64_t hash, uint32_t index) {
    SN_ASSERT(index != UINT32_MAX); /* its slot would look free */
    if ((map->count + 1) * 2 > map->capacity && !grow(map)) return false;
    place(map->slots, map->capacity - 1, (MapSlot){hash, index + 1});
    map->count++;
    SN_ASSERT(is_sound(map));
    return true;
}

void map_remove(Map *map, uint64_t hash, uint32_t index) {
    SN_ASSERT(is_sound(map));
    if (!map->count) return;
    uint32_t mask = map->capacity - 1;
    uint32_t i = (uint32_t)hash & mask;
    while (map->slots[i].value && !(map->slots[i].hash == hash && map->slots[i].value == index + 1))
        i = (i + 1) & mask;
    if (!map->slots[i].value) return;
    /* Backward-shift deletion keeps every probe chain unbroken without tombstones. */
    uint32_t hole = i;
    for (uint32_t j = (i + 1) & mask; map->slots[j].value; j = (j + 1) & mask) {
        uint32_t home = (uint32_t)map->slots[j].hash & mask;
        if (((j - home) & mask) >= ((j - hole) & mask)) {
            map->slots[hole] = map->slots[j];
            hole = j;
        }
    }
    map->slots[hole] = (MapSlot){0};
    map->count--;
}

void map_clear(Map *map) {
    if (map->count) memset(map->slots, 0, map->capacity * sizeof *map->slots);
    map->count = 0;
}

void map_free(Map *map) {
    mem_free(map->slots);
    *map = (Map){0};
}

uint64_t hash_bytes(const void *data, size_t bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(data, bytes, seed);
}

Hash128 hash_bytes128(const void *data, size_t bytes) {
    XXH128_hash_t hash = XXH3_128bits(data, bytes);
    return (Hash128){hash.low64, hash.high64};
}
