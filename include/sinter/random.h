/** @file random.h
 *  Random numbers are counter-based (Philox 4x32-10): a draw depends on the generator's state only,
 *  never on threads, and compiled functions draw what eager ones draw. The draws themselves are
 *  sn_rand, sn_randn and sn_dropout in ops.h. */
#ifndef SINTER_RANDOM_H
#define SINTER_RANDOM_H

#include <sinter/tensor.h>

SN_BEGIN_DECLS

/** A generator, in the caller's memory; passed explicitly. Each draw advances `counter` by the
 *  number of elements drawn. Not to be shared by threads that run at the same time. */
struct sn_rng {
    uint64_t seed;    /**< the key of the sequence */
    uint64_t counter; /**< the next number */
};

SN_END_DECLS

#endif
