/* Pointwise ops of the oracle: their rule is oracle_pointwise_rule in oracle_call.h. */
#ifndef SN_TESTS_ORACLE_POINTWISE_H
#define SN_TESTS_ORACLE_POINTWISE_H

#include "tests/oracle_call.h"

#endif
