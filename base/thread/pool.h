/* The process's helpers: threads that join work which is on offer. A caller offers work, does it, and
 * takes the offer back; who came in time has helped. Nobody waits for a helper that has not begun, so
 * an offer costs no more than the wake-up, however busy the machine is.
 *
 * Helpers are made when an offer first asks for them, and stay. One that finds no work looks around for
 * a while, then sleeps. They are no concern of the program's: signals are blocked in them, nobody joins
 * them, and at the process's end they are where they are. A forked child makes its own. */
#ifndef SN_BASE_THREAD_POOL_H
#define SN_BASE_THREAD_POOL_H

#include <stdint.h>

/* A helper's part in the work; helpers are numbered from 1, in the order in which they come. */
typedef void PoolPart(void *context, int32_t number);

typedef struct PoolOffer PoolOffer;

/* Helpers there are, or are made now, up to so many. Fewer where the process gets no more threads. */
int32_t pool_helpers(int32_t wanted);
/* Offers work to at most so many of them. NULL when too many offers are open at once. */
PoolOffer *pool_offer(PoolPart *part, void *context, int32_t helpers);
/* Takes it back: from now on nobody joins, and those that did are done when it returns. */
void pool_withdraw(PoolOffer *offer);

#endif
