/* Flights: work that other threads wait for, though no lock is held meanwhile, such as compiling a graph
 * that several asked for. What goes for locks goes for them: they have a rank, and nothing of the
 * program is called in one. Its log sink would be: what is logged in a flight is kept until its end. */
#ifndef SN_BASE_THREAD_FLIGHT_H
#define SN_BASE_THREAD_FLIGHT_H

#include "base/thread/lock.h"

/* Also for a thread that is to wait for the like. */
void flight_begin(LockRank rank);
void flight_end(LockRank rank);

#endif
