/* Views, joins, indexing and updates of the oracle: their rule is oracle_move_rule in oracle_call.h. */
#ifndef SN_TESTS_ORACLE_MOVE_H
#define SN_TESTS_ORACLE_MOVE_H

#include "tests/oracle_call.h"

#endif
