/* Contractions by labels, as they are called here. */
#ifndef SN_TESTS_OPINFO_CONTRACT_H
#define SN_TESTS_OPINFO_CONTRACT_H

#include "opinfo_row.h"

extern const OpinfoTable opinfo_contract;

#endif
