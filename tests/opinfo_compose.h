/* PyTorch operators that are no op here, written with ours as a program would write them: they show
 * that the ops do what they say when many of them meet in one graph. */
#ifndef SN_TESTS_OPINFO_COMPOSE_H
#define SN_TESTS_OPINFO_COMPOSE_H

#include "opinfo_row.h"

extern const OpinfoTable opinfo_compose;

#endif
