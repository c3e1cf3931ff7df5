/* Program: what the passes make of a graph. Kernels in order, the buffers they work on, and
 * where the results lie. It holds kernel IR, not code; runtime/executable.c loads
 * it, and for running, binding and settling nothing looks into its kernels.
 *
 * Whatever follows from sizes is no field but a place in one array of numbers. Where the graph has
 * symbols, the program knows the expressions behind its numbers: other values of the symbols need
 * another array, and nothing else. */
#ifndef SN_IR_PROGRAM_H
#define SN_IR_PROGRAM_H

#include "base/assert.h"
#include "ir/graph/graph.h"
#include "ir/kernel/kernel.h"

/* A place in the numbers of a program. */
typedef uint32_t Place;
#define PLACE_NONE UINT32_MAX

typedef enum BufferKind {
    BUFFER_INPUT,  /* memory of graph input `number` */
    BUFFER_OUTPUT, /* new memory that the caller receives; `number` counts them */
    BUFFER_TEMP    /* a piece of the call's one temporary block */
} BufferKind;

typedef struct Buffer {
    uint8_t kind;       /* BufferKind */
    uint8_t dtype;      /* sn_dtype */
    int32_t number;     /* see kind */
    Place elements;     /* of a dense buffer */
    Place offset;       /* TEMP: bytes from the start of the block; fitted */
    NodeId node;        /* the value it holds first, for dumps */
    Site call;          /* that made it, for errors */
    int32_t first_step; /* TEMP: first and last step that touch it */
    int32_t last_step;
    uint32_t
        tiling; /* TEMP: 1 + number of the tiling that it is handed on in, and nowhere else; 0: none */
    Place row; /* its elements of one row there */
} Buffer;

typedef struct ArgRef {
    uint32_t buffer; /* index in Program.buffers */
    Place offset;    /* elements from its start */
} ArgRef;

/* One launch of a kernel: no barrier across its items. */
typedef struct Launch {
    uint32_t kernel;   /* in Program.kernels */
    Place params;      /* first of all parameter words, fixed part first; the blocks are fitted */
    uint32_t n_params; /* how many */
    VEC(ArgRef) args;  /* one for each kernel argument; unused for LOCAL ones */
    VEC(uint8_t)
    locals;             /* sn_dtype of each LOCAL argument: a row of k elements in scratch memory */
    Place items;        /* grid points × blocks; fitted */
    Place unit;         /* grid points of a block that a thread takes at a time, at least; fitted */
    Place k;            /* steps of the loop over K, which row buffers are as long as */
    Place streams;      /* 1: see Schedule; fitted */
    int32_t b_param;    /* the word of params that is the size of the loop over B; -1: none */
    bool is_column;     /* B is cut for threads, not for items of a fair length */
    uint8_t chain_size; /* bytes of an element of the chain that it holds; 0: none */
    bool tables;        /* all columns of an item read the same tables: see passes/lower/tables.c */
    bool packs_rows;    /* the chain is a product's, whose rows are not memory as it is */
    bool may_stream;    /* its stores follow one another, so that they may bypass the caches */
} Launch;

/* What a step costs: numbers from Step.costs on. */
typedef enum StepCost {
    COST_BYTES,        /* bytes it must move: each buffer element touched, once */
    COST_BYTES_STORED, /* those among them that it writes */
    COST_FLOPS,        /* scalar operations; a multiply-add is two */
    COST_INSTRUCTIONS, /* the same; a multiply-add is one */
    STEP_COSTS
} StepCost;

typedef struct Step {
    int32_t group;      /* of the fusion that it carries out, for dumps; -1: it copies or checks */
    NodeId commit_code; /* > 0: writes an input; not run once a lower error code was recorded */
    uint32_t site;      /* a source line it came from */
    Place costs;        /* first of STEP_COSTS */
    uint32_t tiling;    /* 1 + number of the one that begins with it; 0: none */
    const char *label;  /* for dumps: "softmax+add"; owned by the program's arena strings */
    Launch launch;      /* of its kernel */
} Step;

/* Steps in a row that run tile by tile: a thread takes some rows (points of the grid, of which all these
 * steps have one number) through all of them before it takes others, so that what they hand on stays in its
 * caches, and is never in memory as a whole. No bit hangs on it. */
typedef struct RowTiling {
    uint32_t first, last; /* steps; at most TILING_STEPS, with TILING_ARGS arguments at most */
    uint32_t
        product; /* one of them, a product: what its columns are made of stays for a line of its grid */
    Place moving, still; /* bytes that tiles read again: see passes/lower/tile.c */
    Place rows;          /* of a tile; 0: with these sizes one step runs after the other; fitted */
    Place line;          /* rows, after which tiles begin anew; fitted */
    Place bytes;         /* of a tile's buffers; fitted */
} RowTiling;
enum { TILING_STEPS = 8, TILING_ARGS = 96 };

/* Where a result lies. */
typedef struct ProgramOutput {
    uint32_t buffer;      /* its memory */
    int32_t writes_input; /* ≥ 0: this input was written; nothing is returned */
    uint8_t dtype;        /* sn_dtype */
    uint8_t rank;         /* dims */
    Place dims;           /* first of them */
    Place strides;        /* first of as many, in elements */
    Place offset;         /* in elements */
} ProgramOutput;

/* A place that can record a data error; its code is its node's number, so that the least code is
 * the first in program order. */
typedef struct ProgramCheck {
    NodeId code; /* what CHECK stores */
    Site call;   /* that it is of */
    Place limit; /* an index must be below this */
} ProgramCheck;

/* A number that follows from symbols. */
typedef struct ProgramSize {
    Place place;   /* where it stands */
    uint8_t dtype; /* sn_dtype that a parameter has it in, as bits; SN_I64: as it is */
    Dim dim;       /* an expression of the graph's table */
} ProgramSize;

/* A parameter word that follows from a scalar of the call. */
typedef struct ProgramScalar {
    Place place;     /* where it stands */
    uint32_t scalar; /* number of the scalar */
    uint8_t dtype;   /* sn_dtype of its bits; a half type's parameter is an f32 */
    bool real;       /* the scalar is a double, whatever dtype */
} ProgramScalar;

/* Why an op did not join a kernel, for explanations. */
typedef struct FusionNote {
    uint16_t op;        /* OpCode of what did not join … */
    uint16_t with;      /* … the kernel that ends with one of this OpCode */
    NodeId node;        /* their numbers, as fusing sees them */
    NodeId with_node;   /* likewise */
    uint32_t site;      /* their source lines, in Program.sites */
    uint32_t with_site; /* likewise */
    const char *reason; /* a static text */
} FusionNote;

/* Numbers of the program as a whole, at the head of the array; all are fitted. */
typedef enum ProgramNumber {
    PROGRAM_TEMP_BYTES,    /* size of the temporary block */
    PROGRAM_SCRATCH_BYTES, /* most per-thread scratch of any launch */
    PROGRAM_PEAK_BYTES,    /* temporary block + results */
    PROGRAM_NUMBERS
} ProgramNumber;

typedef struct Program {
    VEC(int64_t) numbers;       /* for the sizes that it was planned with */
    VEC(ProgramSize) sizes;     /* those that follow from symbols */
    VEC(ProgramScalar) scalars; /* those that follow from scalars of the call */
    VEC(Buffer) buffers;        /* inputs first, by number; then OUTPUT ones, by number */
    VEC(Kernel) kernels;        /* what launches run; the text of one is its key in caches */
    VEC(Step) steps;            /* in order */
    VEC(RowTiling) tilings;     /* in order */
    VEC(ProgramOutput) outputs; /* in the graph's order */
    VEC(Site) sites;            /* of the graph */
    VEC(ProgramCheck) checks;   /* where data errors can arise */
    VEC(char *) strings;        /* labels, freed with the program */
    VEC(FusionNote) notes;      /* what was not fused, if asked for */
    int32_t n_inputs;           /* inputs of the graph */
    int32_t n_outputs;          /* new memory blocks to allocate */
    int32_t reorders;           /* kernels that compute nothing: they change a layout */
    int32_t threads;            /* for which columns are cut */
    int64_t cache_bytes;        /* beyond these, stores that may stream do */
    int64_t tile_bytes;         /* that a tile's buffers may have: a part of a core's cache */
} Program;

/* A buffer and a step by their numbers; one of the numbers by its place. */
static inline const Buffer *program_buffer(const Program *program, uint32_t number) {
    SN_ASSERT(number < program->buffers.count);
    return &program->buffers.data[number];
}
static inline const Step *program_step(const Program *program, uint32_t number) {
    SN_ASSERT(number < program->steps.count);
    return &program->steps.data[number];
}
static inline int64_t program_number(const Program *program, const int64_t *numbers, Place place) {
    SN_ASSERT(place < program->numbers.count);
    return numbers[place];
}

/* A source line by number; the unknown one where there is none. */
static inline Site program_site(const Program *program, uint32_t number) {
    return number < program->sites.count ? program->sites.data[number] : (Site){0};
}
/* An error of a call, "pad: out of memory", with its line in the error. Returns the status. */
sn_status program_refuse(Site call, sn_error *error, sn_status status, const char *format, ...)
    SN_PRINTF(4, 5) __attribute__((cold));

/* "add (%3) not with sum (%2): the reason". */
void fusion_note_print(const FusionNote *note, StrBuf *out);

void program_init(Program *program);
void program_free(Program *program);
/* The kernel of a launch. */
static inline const Kernel *program_kernel(const Program *program, const Launch *launch) {
    SN_ASSERT(launch->kernel < program->kernels.count);
    return &program->kernels.data[launch->kernel];
}
/* The buffer of result `number`: OUTPUT ones follow the inputs, by number. */
static inline uint32_t program_output_buffer(const Program *program, int32_t number) {
    return (uint32_t)(program->n_inputs + number);
}
/* Places of new numbers: of sizes, whose expressions are noted, or of 0. PLACE_NONE: out of memory. */
Place program_sizes(Program *program, const DimTable *table, const Dim *dims, int32_t count);
/* The same for one size as a parameter of this dtype. */
Place program_size_as(Program *program, const DimTable *table, Dim dim, sn_dtype dtype);
/* A size as a parameter word: bits of the dtype's compute type. */
int64_t program_size_word(sn_dtype dtype, int64_t size);
Place program_zeros(Program *program, int32_t count);
/* Fits the program to the sizes among `numbers`: cuts launches into items, places temporaries, chooses
 * stores. (ir/program_fit.c) */
sn_status program_fit(const Program *program, int64_t *numbers, sn_error *error);
/* The numbers for other values of the expressions, as dims_evaluate gives them, and of the scalars,
 * as bits of their dtypes. */
sn_status program_bind(const Program *program, const int64_t *values, const uint64_t *scalars,
                       int64_t *numbers, sn_error *error);
/* The tiling in force that the step is one of; NULL. */
const RowTiling *program_tiling(const Program *program, const int64_t *numbers, uint32_t step);
/* Bytes that the step moves between memory and caches: its COST_BYTES, or COST_BYTES_STORED, less what is
 * handed on in tiles. */
int64_t program_step_bytes(const Program *program, const int64_t *numbers, uint32_t step,
                           StepCost cost);
/* Steps and buffers, readable, with these numbers. */
void program_print(const Program *program, const int64_t *numbers, StrBuf *out);

#endif
