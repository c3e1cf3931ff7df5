/* Words and numbers that the printer and the parser of kernel IR share, so that neither can drift
 * from the other. */
#ifndef SN_IR_KERNEL_TEXT_H
#define SN_IR_KERNEL_TEXT_H

#include "ir/kernel/kernel.h"

/* Axes 0 … 7 have letters ('p' is left out: it begins parameters), later ones are x8, x9, … */
enum { AXIS_LETTERS = 8 };
static const char axis_letters[AXIS_LETTERS + 1] = "ijklmnoq";

/* By KArgRole. */
static const char *const role_words[] = {"in", "shared", "out", "inout", "local"};
enum { ROLE_COUNT = sizeof role_words / sizeof *role_words };

/* By ReduceOrder; the first is no word of the text. */
static const char *const order_words[REDUCE_ORDER_COUNT] = {"",     "row",  "column",
                                                            "tree", "free", "chain"};

_Static_assert(KARG_IN == 0 && KARG_LOCAL == ROLE_COUNT - 1, "ORDER role_words");
_Static_assert(REDUCE_ROW == 1 && REDUCE_CHAIN == REDUCE_ORDER_COUNT - 1, "ORDER order_words");

#endif
