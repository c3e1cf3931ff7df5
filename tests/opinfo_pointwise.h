/* Operators that work element by element, as they are called here. */
#ifndef SN_TESTS_OPINFO_POINTWISE_H
#define SN_TESTS_OPINFO_POINTWISE_H

#include "opinfo_row.h"

extern const OpinfoTable opinfo_pointwise;

#endif
