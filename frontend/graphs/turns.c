/* Turns at compiling; see turns.h. */
#include "frontend/graphs/turns.h"

#include "base/thread/flight.h"

/* Forks between the library's load and this process: a turn that a parent took is nobody's here. */
static uint32_t forks;

static void count_fork(void) {
    forks++;
}
FORK_HOOK(count_fork);

void turn_begin(Turn *turn) {
    SN_ASSERT(turn->ended->lock == turn->lock);
    flight_begin(RANK_TURN);
    lock_take(turn->lock);
    while (turn->taken && turn->forks == forks) condition_wait(turn->ended);
    turn->taken = true;
    turn->forks = forks;
    lock_give(turn->lock);
}

void turn_end(Turn *turn) {
    lock_take(turn->lock);
    SN_ASSERT(turn->taken && turn->forks == forks);
    turn->taken = false;
    condition_wake(turn->ended);
    lock_give(turn->lock);
    flight_end(RANK_TURN);
}
