/* Reductions, scans, contractions and composites, as they are called here. */
#ifndef SN_TESTS_OPINFO_REDUCE_H
#define SN_TESTS_OPINFO_REDUCE_H

#include "opinfo_row.h"

extern const OpinfoTable opinfo_reduce;

#endif
