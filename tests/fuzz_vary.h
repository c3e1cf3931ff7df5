/* Variations: the same steps called with other arguments, to find out whether guards hold where they
 * should and only there. */
#ifndef SN_TESTS_FUZZ_VARY_H
#define SN_TESTS_FUZZ_VARY_H

#include "tests/fuzz_program.h"

/* What is different. */
typedef enum FuzzVariation {
    FUZZ_VARY_DATA,    /* elements, of the same kind; numbers drawn before */
    FUZZ_VARY_INDEX,   /* an index that is out of range now, or no longer */
    FUZZ_VARY_SIZE,    /* a size, in one input or in all that have it */
    FUZZ_VARY_RANK,    /* an input with one more axis of size 1 */
    FUZZ_VARY_DTYPE,   /* a block's dtype */
    FUZZ_VARY_SCALAR,  /* a scalar argument */
    FUZZ_VARY_STRIDES, /* an input's strides: another order of axes, gaps */
    FUZZ_VARY_ALIAS,   /* two inputs share memory, or no longer do */
    FUZZ_VARY_SIZES,  /* up to three sizes, which come to be equal, multiples, products, 0, 1 … */
    FUZZ_VARY_LAYOUT, /* an input backwards, repeated, sliced, or later in its block */
    FUZZ_VARY_PRESENT, /* an optional input is absent, or no longer */
    FUZZ_VARIATION_COUNT
} FuzzVariation;
extern const char *const fuzz_variation_names[FUZZ_VARIATION_COUNT];

/* Makes the variation; false where the program has nothing of that kind. */
bool fuzz_vary(const FuzzProgram *from, FuzzVariation variation, FuzzRandom *random,
               FuzzProgram *to);
/* Would a guard see no difference between the arguments? */
bool fuzz_same_guards(const FuzzProgram *a, const FuzzProgram *b);

#endif
