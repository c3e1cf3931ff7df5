/* Random programs as data: blocks of memory, views of them as inputs, a list of steps, results. The
 * same list runs eagerly and inside a compiled function, so that the two can be compared; it can be
 * printed, and cut down step by step. A program holds no pointer: it is copied by assignment. */
#ifndef SN_TESTS_FUZZ_PROGRAM_H
#define SN_TESTS_FUZZ_PROGRAM_H

#include "ir/graph.h"

#include <sinter/sinter.h>

#include <stdio.h>

enum {
    FUZZ_MOST_INPUTS = 12, /* also the number of the first step's value */
    FUZZ_MOST_STEPS = 20,
    FUZZ_MOST_VALUES = FUZZ_MOST_INPUTS + FUZZ_MOST_STEPS,
    FUZZ_MOST_OUTPUTS = 6,
    FUZZ_MOST_OPERANDS = 4,
    FUZZ_MOST_WORDS = 36,
    FUZZ_MOST_SCALARS = 3
};

/* A sequence of random numbers (splitmix64). */
typedef struct FuzzRandom {
    uint64_t state; /* advances with every number */
} FuzzRandom;
uint64_t fuzz_next(FuzzRandom *random);
/* Uniform in [0, bound); 0 for a bound below 2. */
int64_t fuzz_below(FuzzRandom *random, int64_t bound);
/* True in `percent` of 100 draws. */
bool fuzz_chance(FuzzRandom *random, int percent);

/* What the elements of a block are. */
typedef enum FuzzFill {
    FUZZ_SPECIAL,   /* any: NaN, infinities, -0, subnormals, extreme integers among them */
    FUZZ_SMALL,     /* moderate numbers of both signs */
    FUZZ_POSITIVE,  /* in (0, 4) */
    FUZZ_INDEX,     /* 0 … bound - 1 */
    FUZZ_BAD_INDEX, /* the same, with one that is out of range */
    FUZZ_FILL_COUNT
} FuzzFill;

/* Memory that inputs look at. */
typedef struct FuzzBlock {
    sn_dtype dtype; /* of its elements */
    int64_t count;  /* how many */
    FuzzFill fill;  /* what they are */
    int64_t bound;  /* INDEX: one past the largest */
    uint64_t seed;  /* they follow from it */
} FuzzBlock;

/* An argument. */
typedef struct FuzzInput {
    int32_t block;                /* whose memory it is */
    int32_t rank;                 /* dims in use */
    int64_t dims[SN_MAX_RANK];    /* sizes */
    int64_t strides[SN_MAX_RANK]; /* in elements; 0 and negative ones too */
    int64_t offset;               /* of element 0 in the block */
} FuzzInput;

typedef enum FuzzKind {
    FUZZ_OP,         /* an op of the table */
    FUZZ_INPLACE,    /* its in-place form */
    FUZZ_COPY,       /* sn_copy_(operand 0, operand 1) */
    FUZZ_FILL,       /* sn_fill_(operand 0, word 0 as a double) */
    FUZZ_INDEX_VIEW, /* sn_index; four words an item */
    FUZZ_SPLIT,      /* sn_split; words: axis, part, sizes */
    FUZZ_CONTIGUOUS, /* sn_contiguous */
    FUZZ_CHOOSE, /* a host read: operand 1 if the first element of operand 0 is above 0, else 2 */
    FUZZ_KIND_COUNT
} FuzzKind;

enum {
    FUZZ_NONE = -1,
    FUZZ_REAL = -2,
    FUZZ_INTEGER = -3,
    FUZZ_SCALAR = -4,
    FUZZ_NULL = -5,    /* what an op that was refused returned */
    FUZZ_RELEASED = -6 /* a handle that died just now */
};

/* An operand of a step. */
typedef struct FuzzOperand {
    int32_t value; /* an input, FUZZ_MOST_INPUTS + a step, or one of those above */
    double real;   /* REAL: sn_c of it; INTEGER: sn_ci of it; SCALAR: the argument's number */
} FuzzOperand;

/* A scalar argument: letter d or l of the signature. */
typedef struct FuzzScalar {
    bool real;    /* d, else l */
    double value; /* a whole number for l */
} FuzzScalar;

/* What a caller gets wrong about a step besides its operands and words. */
typedef enum FuzzFault {
    FUZZ_NO_FAULT,
    FUZZ_LIST_NULL,     /* NULL for the list of attributes, items or sizes, but a count */
    FUZZ_LIST_NEGATIVE, /* a negative count */
    FUZZ_LIST_LONG,     /* more entries than anything takes */
    FUZZ_NO_GENERATOR,  /* NULL for the generator */
    FUZZ_FAULT_COUNT
} FuzzFault;

typedef struct FuzzStep {
    FuzzKind kind;                            /* what is called */
    OpCode op;                                /* OP, INPLACE: which op */
    int32_t n_operands;                       /* operands in use */
    FuzzOperand operands[FUZZ_MOST_OPERANDS]; /* tensors */
    int32_t n_words;                          /* attribute words in use */
    int64_t words[FUZZ_MOST_WORDS];           /* as in AttrList, before they are normalised */
    FuzzFault fault;                          /* what is wrong with how it is called */
    bool inlined;  /* inside the compiled function, it runs in one of its own, which is inlined */
    int8_t broken; /* how fuzz_break made it invalid; 0 = not at all */
} FuzzStep;

/* Attribute words of a step by parameter of its op. */
typedef struct FuzzAttr {
    const OpParam *param; /* its name and kind */
    int32_t at;           /* its word; of a list the count, which its entries follow */
} FuzzAttr;

typedef struct FuzzProgram {
    uint64_t seed;                         /* it was made from */
    int32_t n_blocks;                      /* blocks in use */
    FuzzBlock blocks[FUZZ_MOST_INPUTS];    /* memory */
    int32_t n_inputs;                      /* arguments in use */
    FuzzInput inputs[FUZZ_MOST_INPUTS];    /* arguments */
    int32_t n_scalars;                     /* scalar arguments in use */
    FuzzScalar scalars[FUZZ_MOST_SCALARS]; /* behind the tensors in the signature */
    bool as_array;                         /* the tensors are one argument t* */
    int32_t n_steps;                       /* steps in use */
    FuzzStep steps[FUZZ_MOST_STEPS];       /* in order */
    int32_t n_outputs;                     /* results in use */
    int32_t outputs[FUZZ_MOST_OUTPUTS];    /* values returned */
} FuzzProgram;

/* Elements of a block, `shift` of them in front; freed with free(). */
void *fuzz_block_data(const FuzzBlock *block, int64_t shift);
/* The arguments, on fresh memory whose blocks begin `shift` elements late; false when out of memory.
 * Handles belong to the scope. */
bool fuzz_make_inputs(const FuzzProgram *program, int64_t shift, sn_tensor **blocks,
                      sn_tensor **inputs);
/* A handle that was released. Its memory is the next handle's, so it is to be used at once. */
sn_tensor *fuzz_released(void);
/* Adds a dense input with a block of its own; its value, or -1 where there is no room. */
int32_t fuzz_add_input(FuzzProgram *program, FuzzBlock block, int32_t rank, const int64_t *dims);
/* Attributes of an OP or INPLACE step, as far as it has words for them; none of other kinds. At most
 * OP_MOST_PARAMS; returns how many. */
int32_t fuzz_attrs(const FuzzStep *step, FuzzAttr *attrs);
/* A step with its scalar arguments replaced by their values. */
FuzzStep fuzz_bound_step(const FuzzProgram *program, int32_t number);
/* Runs a bound step on the values so far; NULL with the thread's error. */
sn_tensor *fuzz_run_step(const FuzzStep *step, int32_t number, sn_tensor *const *values,
                         sn_rng *generator);
/* The program without its steps from `n_steps` on. It returns its last value in place of theirs. */
FuzzProgram fuzz_cut(const FuzzProgram *program, int32_t n_steps);
/* "ttdlr:tt" or "t*dlr:tt", the l being the number of steps to run; room for 32 bytes. */
void fuzz_signature(const FuzzProgram *program, char *text);
/* Does a step write its operand 0? Look at it? Draw numbers? */
bool fuzz_writes(const FuzzStep *step);
bool fuzz_is_view(const FuzzStep *step);
bool fuzz_draws(const FuzzStep *step);
/* Is a value used by a step or returned? */
bool fuzz_uses(const FuzzProgram *program, int32_t value);
/* Name of a step for people: "add", "add_", "copy_", "index". */
void fuzz_step_name(const FuzzStep *step, char *text, size_t size);
void fuzz_print(const FuzzProgram *program, FILE *out);

#endif
