/* Reductions, scans, norms, losses and contractions of the oracle: their rule is oracle_reduce_rule in
 * oracle_call.h. */
#ifndef SN_TESTS_ORACLE_REDUCE_H
#define SN_TESTS_ORACLE_REDUCE_H

#include "tests/oracle_call.h"

#endif
