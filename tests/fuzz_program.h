/* Random programs as data: blocks of memory, views of them as inputs, a list of steps, results. The
 * same list runs eagerly and inside a compiled function, so that the two can be compared; it can be
 * printed, and cut down step by step. A program holds no pointer: it is copied by assignment.
 *
 * Steps may take numbers that the host computes from sizes, scalars and values, and be left out where
 * such a number is too small: a C function's arithmetic and branches (see fuzz_adapt.h). */
#ifndef SN_TESTS_FUZZ_PROGRAM_H
#define SN_TESTS_FUZZ_PROGRAM_H

#include "ir/graph/graph.h"

#include <sinter/sinter.h>

#include <stdio.h>

enum {
    FUZZ_MOST_INPUTS = 12, /* also the number of the first step's value */
    FUZZ_MOST_STEPS = 20,
    FUZZ_MOST_VALUES = FUZZ_MOST_INPUTS + FUZZ_MOST_STEPS,
    FUZZ_MOST_OUTPUTS = 6,
    FUZZ_MOST_OPERANDS = 5,
    FUZZ_MOST_WORDS = 36,
    FUZZ_MOST_SCALARS = 3,
    FUZZ_MOST_FOLLOWS = 4
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

/* A seed, which says what its program follows from: a number, and how many ops of the table the program
 * draws from, so that a row at the table's end leaves the programs of older seeds as they were. A
 * number alone stands for the ops that there were when seeds began to say it. */
enum { FUZZ_FIRST_OPS = 162, FUZZ_NUMBER_BITS = 48 };
static inline uint64_t fuzz_seed(int32_t ops, uint64_t number) {
    return (uint64_t)ops << FUZZ_NUMBER_BITS | (number & ((1ULL << FUZZ_NUMBER_BITS) - 1));
}
static inline uint64_t fuzz_seed_number(uint64_t seed) {
    return seed & ((1ULL << FUZZ_NUMBER_BITS) - 1);
}
static inline int32_t fuzz_seed_ops(uint64_t seed) {
    int32_t ops = (int32_t)(seed >> FUZZ_NUMBER_BITS);
    return ops ? ops : FUZZ_FIRST_OPS;
}

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

/* How a function comes by a tensor. */
typedef enum FuzzPlace {
    FUZZ_ARGUMENT, /* it is passed */
    FUZZ_OPTIONAL, /* it is passed, or SN_NONE is; at the end of an array, nothing */
    FUZZ_CAPTURED, /* through C state */
    FUZZ_PLACE_COUNT
} FuzzPlace;

/* An argument. */
typedef struct FuzzInput {
    FuzzPlace place;              /* how it is handed over */
    bool absent;                  /* OPTIONAL: it is not there in this call */
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
    FUZZ_SPLIT,      /* sn_split; words: axis, part, sizes; one may be FUZZ_REST */
    FUZZ_CONTIGUOUS, /* sn_contiguous */
    FUZZ_CHOOSE, /* a host read: operand 1 if the first element of operand 0 is above 0, else 2 */
    FUZZ_LOOP, /* the sum of the first parts of operand 0 along its first axis, added in a C loop */
    FUZZ_EXCHANGE, /* keeps operand 0 for the next call; what the last call kept, if there is some */
    FUZZ_PASS,     /* a step that is left out: operand 0 */
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
enum { FUZZ_REST = -987654321 }; /* a size: what the others leave of the axis */

/* An operand of a step. */
typedef struct FuzzOperand {
    int32_t value; /* an input, FUZZ_MOST_INPUTS + a step, or one of those above */
    double real;   /* REAL: sn_c of it; INTEGER: sn_ci of it; SCALAR: the argument's number */
} FuzzOperand;

/* A scalar: an argument by its letter in the signature (d, f, l, i, b), or w: a double in declared
 * memory. */
typedef struct FuzzScalar {
    char letter;  /* what it is */
    double value; /* a whole number for l, i, b */
} FuzzScalar;

/* Where a number comes from. */
typedef enum FuzzSource {
    FUZZ_FROM_SIZE,   /* the size of an axis */
    FUZZ_FROM_AREA,   /* the sizes of two neighbouring axes, multiplied */
    FUZZ_FROM_COUNT,  /* the number of elements */
    FUZZ_FROM_SCALAR, /* a scalar */
    FUZZ_FROM_REAL,   /* a scalar, with its fraction: of words that are doubles */
    FUZZ_FROM_ITEM,   /* the first element, read on the host */
    FUZZ_FROM_PRESENT /* 1 if the tensor is there, 0 if it is absent */
} FuzzSource;

/* A number that the function's C code computes: source * times / by + plus. */
typedef struct FuzzNumber {
    FuzzSource source; /* where it starts */
    int32_t value;     /* the tensor; SCALAR, REAL: which */
    int32_t axis;      /* SIZE: of the tensor; AREA: the first one */
    int64_t times;     /* ≥ 1 */
    int64_t by;        /* ≥ 1 */
    int64_t plus;      /* of either sign */
} FuzzNumber;

/* An attribute word that is such a number. */
typedef struct FuzzFollow {
    int32_t word;      /* which; its own value is not used */
    bool real;         /* it is stored as a double */
    FuzzNumber number; /* what it is */
} FuzzFollow;

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
    int32_t n_follows;                     /* words that are computed */
    FuzzFollow follows[FUZZ_MOST_FOLLOWS]; /* which, and how */
    bool asks;                             /* it is run on a condition: … */
    FuzzNumber when;                       /* … only where this number … */
    int64_t above;                         /* … is above it; else the step passes operand 0 on */
    bool tries;                            /* so it does where the op is refused */
} FuzzStep;

/* How the tensors and scalars are passed. */
typedef enum FuzzPassing {
    FUZZ_EACH,   /* an argument each */
    FUZZ_ARRAY,  /* the tensors are one argument t* */
    FUZZ_STRUCT, /* all are in one described struct */
    FUZZ_PASSING_COUNT
} FuzzPassing;

/* Attribute words of a step by parameter of its op. */
typedef struct FuzzAttr {
    const OpParam *param; /* its name and kind */
    int32_t at;           /* its word; of a list the count, which its entries follow */
} FuzzAttr;

typedef struct FuzzProgram {
    uint64_t seed;                         /* the number of the seed that it was made from … */
    int32_t ops;                           /* … and the ops: those with numbers below */
    uint64_t counter;                      /* of the generator before the call */
    int32_t n_blocks;                      /* blocks in use */
    FuzzBlock blocks[FUZZ_MOST_INPUTS];    /* memory */
    int32_t n_inputs;                      /* arguments in use */
    FuzzInput inputs[FUZZ_MOST_INPUTS];    /* arguments */
    int32_t n_scalars;                     /* scalar arguments in use */
    FuzzScalar scalars[FUZZ_MOST_SCALARS]; /* behind the tensors in the signature */
    FuzzPassing passing;                   /* how they are passed */
    int32_t n_steps;                       /* steps in use */
    FuzzStep steps[FUZZ_MOST_STEPS];       /* in order */
    int32_t n_outputs;                     /* results in use */
    int32_t outputs[FUZZ_MOST_OUTPUTS];    /* values returned */
} FuzzProgram;

/* Elements of a block, `shift` of them in front; freed with free(). */
void *fuzz_block_data(const FuzzBlock *block, int64_t shift);
/* The inputs, on fresh memory whose blocks begin `shift` elements late; false when out of memory.
 * Equal ones are, in every second program, one handle. Handles belong to the scope. */
bool fuzz_make_inputs(const FuzzProgram *program, int64_t shift, sn_tensor **blocks,
                      sn_tensor **inputs);
/* A handle that was released. Its memory is the next handle's, so it is to be used at once. */
sn_tensor *fuzz_released(void);
/* Adds a dense input with a block of its own; its value, or -1 where there is no room. */
int32_t fuzz_add_input(FuzzProgram *program, FuzzBlock block, int32_t rank, const int64_t *dims);
/* Attribute words of an OP or INPLACE step. */
static inline AttrView fuzz_view(const FuzzStep *step) {
    return (AttrView){step->op, step->n_words, step->words};
}
/* Is that parameter one axis? */
static inline bool fuzz_is_axis(const OpParam *param) {
    return param->attr == ATTR_AXIS || param->attr == ATTR_AXIS0 || param->attr == ATTR_AXIS1;
}
/* Attributes of an OP or INPLACE step, as far as it has words for them; none of other kinds. At most
 * OP_MOST_PARAMS; returns how many. */
int32_t fuzz_attrs(const FuzzStep *step, FuzzAttr *attrs);
/* A number; 0, or whatever is there, with an error pending. */
int64_t fuzz_number(const FuzzProgram *program, const FuzzNumber *number, sn_tensor *const *values);
/* A step with scalars and numbers replaced by their values, or a PASS in its place. */
FuzzStep fuzz_bound_step(const FuzzProgram *program, int32_t number, sn_tensor *const *values);
/* Runs a bound step on the values so far; NULL with the thread's error. An EXCHANGE is a PASS here: see
 * fuzz_run. */
sn_tensor *fuzz_run_step(const FuzzStep *step, int32_t number, sn_tensor *const *values,
                         sn_rng *generator);
/* The program without its steps from `n_steps` on. It returns its last value in place of theirs. */
FuzzProgram fuzz_cut(const FuzzProgram *program, int32_t n_steps);
/* Are they the same elements in the same order? */
bool fuzz_same_input(const FuzzInput *a, const FuzzInput *b);
/* The axes by stride, the innermost first; room for SN_MAX_RANK of them. */
void fuzz_order_axes(const FuzzInput *input, int32_t *order);
/* Is a scalar a real number? */
bool fuzz_is_real(const FuzzScalar *scalar);
/* Does a step write its operand 0? Look at it? Draw numbers? */
bool fuzz_writes(const FuzzStep *step);
bool fuzz_is_view(const FuzzStep *step);
bool fuzz_draws(const FuzzStep *step);
/* Calls `change` on every place in the program that names a value. */
typedef void FuzzRename(int32_t *value, void *context);
void fuzz_rename(FuzzProgram *program, FuzzRename *change, void *context);
/* Is a value used by a step or returned? */
bool fuzz_uses(const FuzzProgram *program, int32_t value);

#endif
