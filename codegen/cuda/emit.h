/* Inside the CUDA code generator: what its files share while one kernel becomes CUDA C. The plan
 * (plan.c) says what a thread is and how each loop runs; the emitter walks the instructions
 * (emit.c), loop by loop (loop.c, reduce.c), and asks ops.c and cast.c for expressions. Device
 * functions that the text names are put in front of it (device.c).
 *
 * Launching. A kernel runs over the items [begin, end) with any number of blocks, in one dimension,
 * of 32, 64, … 256 threads; neither number changes a bit. `args` and `params` are device memory as
 * KernelFn has them, `scratch` holds the LOCAL buffers of one block for each block of the grid, and
 * `error` is the error word. */
#ifndef SN_CODEGEN_CUDA_EMIT_H
#define SN_CODEGEN_CUDA_EMIT_H

#include "base/arena.h"
#include "codegen/backend.h"
#include "ir/dtype.h"
#include "ir/kernel_form.h"

enum {
    THREADS_MOST = 256, /* threads of a block */
    LANES_ROW = 32,     /* lanes of a ROW reduction, and threads of a warp */
    CHUNK_ROW = 10,     /* log2 of the elements of a chunk: 1024 */
    CHUNK_COLUMN = 5,   /* 32 */
    CHUNK_TREE = 0,     /* every element is a chunk */
    TREE_LEVELS = 48    /* levels of the pairwise tree of chunks */
};

/* What one thread does. */
typedef enum ThreadMode {
    MODE_ELEMENT, /* one trip of the vector loop of one item */
    MODE_BLOCK,   /* its part of an item, which the threads of a block share */
    MODE_ITEM     /* a whole item */
} ThreadMode;

/* Who runs the trips of a loop. */
typedef enum LoopRun {
    RUN_ALL,    /* every thread that comes here runs them all */
    RUN_ONE,    /* MODE_BLOCK: the first thread runs them all, because they store */
    RUN_SPREAD, /* MODE_BLOCK: thread t runs trips t, t + threads, … */
    RUN_ROWS,   /* MODE_BLOCK: trips in the chunks and lanes of ROW reductions, see reduce.c */
    RUN_ELEMENT /* MODE_ELEMENT: the thread's own trip */
} LoopRun;

typedef enum ReduceKind {
    RK_MERGE, /* any order gives the same bits */
    RK_TREE,  /* float sums and products: chunks of lanes, merged in pairs */
    RK_ARG,   /* best value and its index */
    RK_SCAN   /* SCAN_SUM */
} ReduceKind;

/* A REDUCE or SCAN instruction. */
typedef struct Reduction {
    KValue inst;   /* the instruction */
    uint8_t kind;  /* ReduceKind */
    uint8_t dtype; /* of the values reduced */
    uint8_t chunk; /* RK_TREE: log2 of its chunk */
    uint8_t lanes; /* RK_TREE: accumulators of a chunk, 1 or 32 */
    uint16_t op;   /* merge: OP_ADD, OP_MUL, OP_MAXIMUM…; RK_ARG: OP_GT or OP_LT */
} Reduction;

typedef struct LoopPlan {
    uint32_t begin;           /* the LOOP instruction */
    uint32_t end;             /* its END */
    uint32_t parent;          /* enclosing loop in Plan.loops; KVALUE_NONE at item level */
    uint32_t axis;            /* the axis */
    uint32_t first_reduction; /* in Plan.reductions */
    uint32_t n_reductions;    /* directly in this loop */
    uint8_t run;              /* LoopRun */
    bool spread;              /* a vector loop whose trips may run at the same time */
    bool rows;                /* spread, and holds ROW reductions */
    bool holds_spread;        /* such a loop is inside, however deep */
    bool stores;              /* so is a STORE or STORE_ADD */
    bool together;            /* all threads of the block run its body in step */
} LoopPlan;

typedef struct Plan {
    uint32_t *loop_of;     /* by instruction: enclosing loop, for LOOP and END the loop itself */
    LoopPlan *loops;       /* in program order */
    Reduction *reductions; /* by loop */
    uint32_t n_loops;      /* loops in the kernel */
    uint32_t n_reductions; /* reductions in the kernel */
    uint32_t element_loop; /* MODE_ELEMENT: the loop whose trips the threads are */
    ThreadMode mode;       /* what a thread does */
    int32_t split_axis;    /* the axis cut in blocks, or -1 */
} Plan;

typedef struct Emit {
    const Kernel *kernel;     /* the input */
    const Schedule *schedule; /* choices of the launcher */
    Plan plan;                /* see plan.c */
    Arena arena;              /* arrays of the plan */
    StrBuf body;              /* the item's code */
    bool *param_used;         /* by parameter: named in the body */
    bool grid_used;           /* the body names the grid index */
    uint32_t shared;          /* set of dtypes (bit = sn_dtype) with shared memory */
    bool shared_index;        /* ARG reductions have some too */
    int32_t indent;           /* of the current line */
    int32_t slot;             /* half of the shared memory that the next reduction uses */
    bool together;            /* the current code runs on all threads of a block in step */
    bool synced;              /* no memory was touched since the last barrier */
} Emit;

/* ---- plan.c ---- */
/* Analyses the kernel; arrays from the arena. False when out of memory. */
bool plan_make(Emit *e);

/* ---- emit.c ---- */
/* The whole text. */
sn_status emit_kernel(Emit *e, const char *name, StrBuf *out, sn_error *error);
/* Code of instructions [first, last). */
void emit_range(Emit *e, uint32_t first, uint32_t last);
/* One line at the current indent; one that ends in an opened brace; its closing brace. */
void emit_line(Emit *e, const char *format, ...) SN_PRINTF(2, 3);
void emit_open(Emit *e, const char *format, ...) SN_PRINTF(2, 3);
void emit_close(Emit *e);
/* The beginning of a line whose rest the caller appends to e->body. */
void emit_begin(Emit *e, const char *format, ...) SN_PRINTF(2, 3);
/* Appends `p3`, `0` or `1`. */
void emit_coef(Emit *e, KCoef coef);
/* A barrier of the block, unless the line before was one. */
void emit_barrier(Emit *e);

/* ---- loop.c ---- */
void emit_loop(Emit *e, uint32_t loop);

/* ---- reduce.c ---- */
/* The accumulators, in front of a loop. */
void reduce_open(Emit *e, const LoopPlan *loop);
/* A REDUCE or SCAN instruction. */
void reduce_step(Emit *e, uint32_t inst);
/* RUN_ROWS: end of a chunk. */
void reduce_push(Emit *e, const LoopPlan *loop);
/* The values, behind a loop. */
void reduce_close(Emit *e, const LoopPlan *loop);

/* ---- ops.c, cast.c ---- */
/* C type of a value, and of an element in memory. Half types are their bits. */
const char *ctype_text(sn_dtype dtype);
const char *ctype_memory(sn_dtype dtype);
/* Appends a primitive as an expression over variables (operands may appear several times). */
void op_text(StrBuf *out, OpCode op, sn_dtype dtype, sn_dtype in_dtype, const char *x,
             const char *y, const char *z);
/* Appends a constant. */
void const_text(StrBuf *out, sn_dtype dtype, uint64_t bits);
void cast_text(StrBuf *out, sn_dtype to, sn_dtype from, const char *x);
void bitcast_text(StrBuf *out, sn_dtype to, sn_dtype from, const char *x);

/* ---- device.c ---- */
/* Appends the device functions that `body` names and those that they name. */
void device_functions(StrBuf *out, const char *body);

#endif
