/* Views, joining and splitting, as they are called here. */
#ifndef SN_TESTS_OPINFO_VIEW_H
#define SN_TESTS_OPINFO_VIEW_H

#include "opinfo_row.h"

extern const OpinfoTable opinfo_view;

#endif
