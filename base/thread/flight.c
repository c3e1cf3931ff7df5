/* Flights; see flight.h. */
#include "base/thread/flight.h"

#include "base/thread/log.h"

void flight_begin(LockRank rank) {
    lock_enter(rank);
    log_hold();
}

void flight_end(LockRank rank) {
    lock_leave(rank);
    log_release();
}
