/* Memory of objects that a program names by their address: tensors, compiled functions.
 *
 * A program may use such a name after the object is gone. So an object's memory waits in a queue before
 * it is another's, and that one lies at the next of SLOT_PLACES places in it: no address is given a second
 * time before SLOT_PLACES objects had the slot. What an old name points at meanwhile is the magic number of
 * a dead object, or the middle of a live one; an object begins with a magic number, which is looked at
 * before anything else. */
#ifndef SN_BASE_SLOTS_H
#define SN_BASE_SLOTS_H

#include "base/assert.h"

#include <stddef.h>
#include <stdint.h>

enum { SLOT_PLACES = 32, SLOT_STEP = 8 };

/* What a slot begins with; the places follow. */
typedef struct Slot {
    struct Slot *next; /* in the queue */
    uint32_t place;    /* of the last object, in steps */
    uint32_t unused;   /* the place, in front of an object at place 0 */
} Slot;

/* Slots without an object, the one that waits longest first. */
typedef struct SlotQueue {
    Slot *first;   /* NULL: none */
    Slot *last;    /* where `first` is there */
    int32_t count; /* how many */
} SlotQueue;

/* Bytes of a slot for objects of this size. */
static inline size_t slot_bytes(size_t object) {
    return sizeof(Slot) + (size_t)(SLOT_PLACES - 1) * SLOT_STEP + object;
}
/* The object's address, which says in front of it how far it is from the slot's begin. */
static inline void *slot_place(Slot *slot) {
    SN_ASSERT(slot->place < SLOT_PLACES);
    char *object = (char *)(slot + 1) + (size_t)slot->place * SLOT_STEP;
    ((uint32_t *)(void *)object)[-1] = slot->place;
    return object;
}
/* A slot in new memory of slot_bytes: its first object. */
static inline void *slot_begin(void *memory) {
    Slot *slot = memory;
    slot->place = 0;
    return slot_place(slot);
}
/* The slot in which the object lies. */
static inline Slot *slot_holding(void *object) {
    uint32_t place = ((const uint32_t *)object)[-1];
    SN_ASSERT(place < SLOT_PLACES);
    return (Slot *)(void *)((char *)object - (size_t)place * SLOT_STEP) - 1;
}

/* The object is dead; its magic number says so. */
static inline void slots_put(SlotQueue *queue, void *object) {
    Slot *slot = slot_holding(object);
    slot->next = NULL;
    if (queue->first)
        queue->last->next = slot;
    else
        queue->first = slot;
    queue->last = slot;
    queue->count++;
}
/* Takes the slot that waited longest out of the queue. */
static inline Slot *slots_pop(SlotQueue *queue) {
    SN_ASSERT(queue->first && queue->count > 0);
    Slot *slot = queue->first;
    queue->first = slot->next;
    queue->count--;
    return slot;
}
/* The address of a new object in that slot. */
static inline void *slots_take(SlotQueue *queue) {
    Slot *slot = slots_pop(queue);
    slot->place = (slot->place + 1) % SLOT_PLACES;
    return slot_place(slot);
}

#endif
