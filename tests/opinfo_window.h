/* Convolutions, pools and batch norm, as they are called here. */
#ifndef SN_TESTS_OPINFO_WINDOW_H
#define SN_TESTS_OPINFO_WINDOW_H

#include "opinfo_row.h"

extern const OpinfoTable opinfo_window;

#endif
