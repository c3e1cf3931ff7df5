/* Single flight: one thread at a time compiles for a function; others wait for their turn, and look
 * again. */
#ifndef SN_FRONTEND_GRAPHS_TURNS_H
#define SN_FRONTEND_GRAPHS_TURNS_H

#include "base/thread/lock.h"

#include <stdint.h>

typedef struct Turn {
    Lock *lock;       /* of what follows */
    Condition *ended; /* a turn has ended; that of all functions with this lock */
    bool taken;       /* a thread compiles … */
    uint32_t forks;   /* … of the process that so many forks led to: a child has not got it */
} Turn;

/* Waits for the turn. A flight (base/thread/flight.h) of rank RANK_TURN: nothing of the program is called
 * before turn_end, so that no thread comes to wait for itself. */
void turn_begin(Turn *turn);
void turn_end(Turn *turn);

#endif
