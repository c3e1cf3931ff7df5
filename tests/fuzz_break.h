/* Makes valid programs invalid: takes one that eager accepts and breaks one or several of its steps, in
 * all the ways in which a caller can get one wrong. */
#ifndef SN_TESTS_FUZZ_BREAK_H
#define SN_TESTS_FUZZ_BREAK_H

#include "tests/fuzz_program.h"

/* How a step was broken. */
typedef enum FuzzBreak {
    BREAK_NONE,         /* it was not */
    BREAK_NULL,         /* an operand is NULL */
    BREAK_ABSENT,       /* an operand is SN_NONE */
    BREAK_RELEASED,     /* an operand was released */
    BREAK_SCALAR,       /* an operand, or what is written, is a weak scalar */
    BREAK_DTYPE,        /* an operand has another dtype */
    BREAK_SIZE,         /* … another size */
    BREAK_RANK,         /* … a dim more or less */
    BREAK_OTHER,        /* an operand is another value of the program */
    BREAK_AXIS,         /* an axis out of range */
    BREAK_AXES,         /* one in a list, or one that is listed twice */
    BREAK_DIMS,         /* sizes: negative, two -1, other products, too many, too large */
    BREAK_PADS,         /* pads: odd, too many, crops of all, too large */
    BREAK_NUMBER,       /* another number: index, length, classes, probability, step … */
    BREAK_ENUMERATION,  /* a dtype or an enumeration that is none */
    BREAK_LIST,         /* a list that is NULL, negative or too long */
    BREAK_ITEMS,        /* items of an index; sizes of a split */
    BREAK_GENERATOR,    /* no generator */
    BREAK_TARGET,       /* a write through an expanded tensor */
    BREAK_DATA,         /* an index in data that is out of range */
    BREAK_WRITTEN_DATA, /* an index that is in range is used, written, and used again */
    BREAK_NEW_DATA,     /* an index out of range, in a step that was put in */
    BREAK_NEW_STEP,     /* a step was put in: an op with operands and attributes at random */
    BREAK_COUNT
} FuzzBreak;
extern const char *const fuzz_break_names[BREAK_COUNT];

/* Breaks a program in a way that follows from the seed, and puts host reads, writes, draws and inlined
 * functions around the place. False, with the program as it was, where eager takes it in spite of all
 * attempts. Runs eager ops on this thread; leaves no error pending. */
bool fuzz_break(FuzzProgram *program);

#endif
