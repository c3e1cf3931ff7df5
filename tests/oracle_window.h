/* Convolutions, pools and batch norm of the oracle: their rule is oracle_window_rule in oracle_call.h. */
#ifndef SN_TESTS_ORACLE_WINDOW_H
#define SN_TESTS_ORACLE_WINDOW_H

#include "tests/oracle_reduce.h"

#endif
