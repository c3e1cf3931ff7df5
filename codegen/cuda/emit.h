/* Inside the CUDA code generator: what its files share while one kernel becomes CUDA C. The mapping
 * (mapping.c) says what a thread is and who runs each loop; the emitter walks the instructions
 * (emit.c), loop by loop (loop.c, reduce.c), and asks text.c for lines and types, ops.c and cast.c for
 * expressions. Device functions that the text names are put in front of it (device.c).
 *
 * Launching. A kernel runs over the items [begin, end) with any number of blocks, in one dimension,
 * of 32, 64, … 256 threads; neither number changes a bit. `args` and `params` are device memory as
 * KernelFn has them, `scratch` holds the LOCAL buffers of one block for each block of the grid, and
 * `error` is the error word. */
#ifndef SN_CODEGEN_CUDA_EMIT_H
#define SN_CODEGEN_CUDA_EMIT_H

#include "base/arena.h"
#include "base/assert.h"
#include "codegen/backend.h"
#include "ir/kernel/loops.h"
#include "ir/op/dtype.h"

enum {
    WARP = 32,          /* threads of a warp */
    THREADS_MOST = 256, /* threads of a block */
    TREE_LEVELS = 48    /* levels of the pairwise tree of chunks */
};
_Static_assert((int)WARP == (int)ORDER_LANES, "a thread of a warp is a lane of a ROW reduction");

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

typedef struct LoopMapping {
    uint8_t run;   /* LoopRun */
    bool together; /* all threads of the block run its body in step */
} LoopMapping;

typedef struct Mapping {
    LoopMapping *loops;    /* by loop */
    uint32_t element_loop; /* MODE_ELEMENT: the loop whose trips the threads are */
    ThreadMode mode;       /* what a thread does */
} Mapping;

typedef struct Emit {
    const Kernel *kernel;     /* the input */
    const Schedule *schedule; /* choices of the launcher */
    KLoops loops;             /* the kernel's */
    Mapping mapping;          /* see mapping.c */
    Arena arena;              /* arrays of both */
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

static inline const KLoop *loop_at(const Emit *e, uint32_t number) {
    SN_ASSERT(number < e->loops.n_loops);
    return &e->loops.loops[number];
}

/* ---- mapping.c ------------------------------------------------------------------------------- */
/* Finds the loops and chooses who runs them. False when out of memory. */
bool mapping_make(Emit *e);

/* ---- text.c ---------------------------------------------------------------------------------- */
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
/* C type of a value, and of an element in memory. Half types are their bits. */
const char *ctype_text(sn_dtype dtype);
const char *ctype_memory(sn_dtype dtype);
/* Of an integer: the unsigned type that it is computed in, and the one of its width. */
const char *ctype_wide(sn_dtype dtype);
const char *ctype_narrow(sn_dtype dtype);

/* ---- emit.c ---------------------------------------------------------------------------------- */
/* The whole text. */
sn_status emit_kernel(Emit *e, const char *name, StrBuf *out, sn_error *error);
/* Code of instructions [first, last). */
void emit_range(Emit *e, uint32_t first, uint32_t last);

/* ---- loop.c ---------------------------------------------------------------------------------- */
void emit_loop(Emit *e, uint32_t number);

/* ---- reduce.c -------------------------------------------------------------------------------- */
/* The accumulators, in front of a loop. */
void reduce_open(Emit *e, uint32_t loop);
/* A REDUCE or SCAN instruction. */
void reduce_step(Emit *e, uint32_t inst);
/* RUN_ROWS: end of a chunk. */
void reduce_push(Emit *e, uint32_t loop);
/* The values, behind a loop. */
void reduce_close(Emit *e, uint32_t loop);

/* ---- ops.c, cast.c --------------------------------------------------------------------------- */
/* Appends a primitive as an expression over variables (operands may appear several times). */
void op_text(StrBuf *out, OpCode op, sn_dtype dtype, sn_dtype in_dtype, const char *x,
             const char *y, const char *z);
/* Appends a constant. */
void const_text(StrBuf *out, sn_dtype dtype, uint64_t bits);
void cast_text(StrBuf *out, sn_dtype to, sn_dtype from, const char *x);
void bitcast_text(StrBuf *out, sn_dtype to, sn_dtype from, const char *x);

/* ---- device.c -------------------------------------------------------------------------------- */
/* Appends the device functions that `body` names and those that they name. */
void device_functions(StrBuf *out, const char *body);

#endif
