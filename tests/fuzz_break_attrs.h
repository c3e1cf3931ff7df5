/* Attributes that are wrong, for fuzz_break.c: axes, sizes, numbers, enumerations, lists. */
#ifndef SN_TESTS_FUZZ_BREAK_ATTRS_H
#define SN_TESTS_FUZZ_BREAK_ATTRS_H

#include "tests/fuzz_break.h"

/* A program that is being broken. */
typedef struct Breaker {
    FuzzProgram *program;                /* is changed in place */
    FuzzRandom random;                   /* all choices */
    sn_tensor *values[FUZZ_MOST_VALUES]; /* of the valid program; NULL where it has none */
    int32_t at;                          /* the step to break */
} Breaker;

/* Each breaks step `at`; false where there is nothing of the kind about it, and then the program may be
 * changed all the same. */
bool break_axis(Breaker *b);
bool break_axes(Breaker *b);
bool break_dims(Breaker *b);
bool break_pads(Breaker *b);
bool break_number(Breaker *b);
bool break_enumeration(Breaker *b);
bool break_list(Breaker *b);
bool break_items(Breaker *b);

#endif
