/* Indexing by tensors, and creation, as they are called here. */
#ifndef SN_TESTS_OPINFO_INDEX_H
#define SN_TESTS_OPINFO_INDEX_H

#include "opinfo_row.h"

extern const OpinfoTable opinfo_index;

#endif
