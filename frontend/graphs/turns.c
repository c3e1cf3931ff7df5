/* Turns at compiling; see turns.h. */
#include "frontend/graphs/turns.h"

#include "base/thread/flight.h"

#include <unistd.h>

void turn_begin(Turn *turn) {
    SN_ASSERT(turn->ended->lock == turn->lock);
    flight_begin(RANK_TURN);
    lock_take(turn->lock);
    while (turn->taken && turn->process == getpid()) condition_wait(turn->ended);
    turn->taken = true;
    turn->process = getpid();
    lock_give(turn->lock);
}

void turn_end(Turn *turn) {
    lock_take(turn->lock);
    SN_ASSERT(turn->taken && turn->process == getpid());
    turn->taken = false;
    condition_wake(turn->ended);
    lock_give(turn->lock);
    flight_end(RANK_TURN);
}
