/* Inside the CPU code generator: what its files share while one kernel becomes LLVM IR. Loops,
 * reductions and the spread of values over lanes come from ir/kernel/loops.h and ir/kernel/spread.h;
 * the shape (shape.c) says with how many lanes and accumulators each loop runs. A function (function.c)
 * is a loop over items (items.c), in which the emitter walks the kernel's instructions (emit.c), loop by
 * loop (loop.c), and asks vector.c, address.c, access.c, ops.c, cast.c and reduce.c for the pieces. */
#ifndef SN_CODEGEN_CPU_EMIT_H
#define SN_CODEGEN_CPU_EMIT_H

#include "base/arena.h"
#include "base/assert.h"
#include "codegen/backend.h"
#include "ir/kernel/spread.h"
#include "ir/op/dtype.h"

#include <llvm-c/Core.h>

enum {
    COPIES_MOST = 8,          /* vectors that one instruction of a column loop is emitted for */
    LANES_MOST = 64,          /* bytes in the widest vector */
    STACK_LEVELS = 40,        /* levels of the pairwise tree of chunks */
    STACK_LEVELS_MEMORY = 24, /* the same where a level is 32 vectors: 2^34 elements */
};

/* Parameters of the function: see KernelFn. */
enum { ARG_ARGS, ARG_PARAMS, ARG_BEGIN, ARG_END, ARG_SCRATCH, ARG_ERROR, ARG_COUNT };

/* Where a reduction keeps its states, of reduce_parts values each: in the carry of its loop. */
typedef struct Accumulator {
    const KReduction *of; /* the reduction */
    bool memory;    /* ROW outside a vector loop: its 32 lanes lie in memory, not in the carry */
    bool varying;   /* nested in a vector loop and different between its lanes */
    uint32_t first; /* place in the loop's carry */
} Accumulator;

/* How one loop runs. */
typedef struct LoopShape {
    const KLoop *loop;   /* the loop */
    uint32_t n_carry;    /* values carried from step to step */
    uint32_t weight;     /* instructions inside, costly ones counted several times */
    int32_t lanes;       /* vector loop: lanes of a vector */
    int32_t slots;       /* vector loop: accumulators of a reduction */
    int32_t copies;      /* vector loop: vectors per step of the unmasked loop (interleaving) */
    int32_t tail_copies; /* the same of the masked loop */
    int32_t in_step;     /* of these, how many pass through the body together */
    uint8_t chunk;       /* log2 of the smallest chunk of its reductions */
    bool masked_only;    /* one masked loop instead of an unmasked one and a masked tail */
    bool stream;         /* its stores to OUT arguments may bypass the caches */
    bool once;           /* it does the same for all items: only the call's first one runs it */
    bool shifts; /* its last vectors may overlap those before, whose lanes are not stored again */
} LoopShape;

/* What is chosen for this kernel on this machine. */
typedef struct Shape {
    LoopShape *loops;          /* by loop */
    Accumulator *accumulators; /* by reduction */
    uint32_t *rare;            /* by instruction: the run of rare WHEREs that it is one of, or that
                                * alone needs it (rare.c); KVALUE_NONE: none */
    int32_t copies;            /* most copies of any loop */
    bool runs_once;            /* some loop does: see LoopShape.once */
    bool floats;               /* computes with floats, so the floating point mode matters */
    uint32_t deferred;         /* the loop that runs inside its predecessor, in the next item, or
                                * KLOOP_NONE */
} Shape;

/* A value of the kernel in LLVM IR. */
typedef struct Value {
    LLVMValueRef scalar; /* uniform value, or lane 0 of an affine one */
    LLVMValueRef vector; /* all lanes; for scalars made when first asked for */
    uint32_t epoch;      /* the vector loop that `vector` was made for */
} Value;

/* The last loop of an item, when it runs inside a loop of the next item, and what it uses of its own
 * (defer.c). */
typedef struct Deferred {
    const KLoop *loop;      /* that loop; NULL when every item runs all its loops itself */
    const LoopShape *shape; /* how it runs */
    const LoopShape *host;  /* the loop it joins */
    KValue *values;         /* values from outside that it uses */
    uint32_t n_values;      /* their number */
    bool *uses;             /* per argument: does it access it? (LOCAL ones are not noted) */
    LLVMValueRef *at_line;  /* phis at the head of a line: values, then addresses by argument */
    LLVMValueRef *at_item;  /* the same at the head of an item */
    Value *kept;            /* by place in `values`: the previous item's */
    LLVMValueRef *base;     /* per argument: address in the previous item, NULL where not used */
    LLVMValueRef *address;  /* as Emit.address, of the previous item */
    uint64_t *folded;       /* as Emit.folded */
    LLVMValueRef pending;   /* i1: there is a previous item */
    LLVMValueRef aligned;   /* i1: its stores may bypass the caches */
} Deferred;

/* The loop being emitted. */
typedef struct Frame {
    const KLoop *loop;      /* the loop */
    const LoopShape *shape; /* how it runs */
    struct Frame *outer;    /* the enclosing loop, NULL at item level */
    LLVMValueRef *carry;    /* current values of what it carries; NULL where nothing is */
    LLVMValueRef *scratch;  /* 4 × n_carry values for the phis of its spans and chunks */
    LLVMValueRef *memory;   /* per reduction: lanes in memory (Accumulator.memory), or NULL */
    LLVMValueRef *stack;    /* per reduction: the tree's levels, or NULL */
    LLVMValueRef begin;     /* first index */
    LLVMValueRef end;       /* one past the last */
    LLVMValueRef index;     /* current index (lane 0) */
    int32_t slot;           /* accumulator that the first copy of a REDUCE uses now */
} Frame;

typedef struct Emit {
    const Kernel *kernel;     /* the input */
    const CpuTarget *target;  /* instruction set */
    const Schedule *schedule; /* choices of the launcher */
    KLoops loops;             /* its loops and reductions */
    KSpread *spread;          /* by instruction: how it differs between lanes */
    Shape shape;              /* see shape.c */
    Arena arena;              /* all arrays above and below */
    sn_error *error;          /* where errors go */
    sn_status status;         /* SN_OK until something failed */

    LLVMContextRef context; /* of this compilation only */
    LLVMModuleRef module;   /* receives the function */
    LLVMBuilderRef b;       /* appends to the current block */
    LLVMBuilderRef entry;   /* appends to the entry block: allocas, loads of parameters */
    LLVMBuilderRef side;    /* inserts elsewhere: broadcasts next to a definition */
    LLVMValueRef function;  /* the KernelFn */
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr; /* common types */

    Value *values;              /* Shape.copies for each instruction */
    LLVMValueRef *params;       /* parameter words loaded so far, by number */
    LLVMValueRef *local_base;   /* per argument: address of a LOCAL one */
    LLVMValueRef *item_base;    /* per argument: address for the current item */
    LLVMValueRef *row_step;     /* per argument: elements to the next point of a line, or NULL */
    LLVMValueRef *ahead;        /* per argument: elements to what is prefetched, or NULL */
    LLVMValueRef *address;      /* per access: address with the terms in `folded` */
    uint64_t *folded;           /* per access: terms already in `address`, as bits */
    LLVMValueRef *index;        /* per axis: current index, NULL when not open */
    LLVMValueRef grid_index;    /* memory of the 8 grid indices */
    LLVMValueRef block;         /* current block of the split axis */
    LLVMValueRef is_first;      /* i1, where loops run once: the item is the call's first one */
    LLVMValueRef zero_slot;     /* 64 bytes of zeros that masked lanes read */
    LLVMValueRef sink_slot;     /* 64 bytes that masked lanes write */
    LLVMValueRef narrow_buffer; /* a vector's worth of memory for tails of narrow types */
    LLVMValueRef mxcsr;         /* memory: the caller's rounding mode */
    Deferred deferred;          /* the loop that runs in the next item */
    bool in_deferred;           /* its instructions are being emitted */

    Frame *frame;                   /* innermost loop */
    const LoopShape *vector;        /* the vector loop we are in, or NULL */
    LLVMBasicBlockRef before;       /* block before that loop: broadcasts go to its end */
    LLVMValueRef mask[COPIES_MOST]; /* by copy: active lanes, NULL when all are */
    bool shifted; /* lanes that are not active are of trips that were run before */
    LLVMValueRef active[COPIES_MOST]; /* by copy: their number, below 1 when there are none */
    int32_t lanes;                    /* of that loop, 1 outside */
    int32_t copies;                   /* vectors that each instruction is emitted for */
    uint32_t epoch;                   /* counts vector loops emitted */
    bool streaming;                   /* stores bypass the caches now */
    bool streamed;                    /* some store did: a fence is needed */
} Emit;

/* ---- shape.c --------------------------------------------------------------------------------- */
/* Analyses the kernel and chooses its shape; arrays from the arena. False when out of memory. */
bool shape_make(Emit *e);
/* Lane pattern of an access in vector loop `loop` (NULL: outside). */
static inline Pattern pattern_of(const Emit *e, uint64_t access, const KLoop *loop) {
    SN_ASSERT(access < e->kernel->accesses.count && (!loop || loop->vector));
    return kernel_pattern(e->kernel, e->spread, access, loop);
}
static inline bool is_varying(const Emit *e, KValue value) {
    SN_ASSERT(value < e->kernel->insts.count);
    return e->spread[value].kind == SPREAD_VARYING;
}

/* ---- function.c ------------------------------------------------------------------------------ */
/* Analyses the kernel, chooses its shape, and makes the arrays above. */
sn_status emit_open(Emit *e);
/* Emits the whole function into e->module, item by item. */
sn_status emit_kernel(Emit *e, const char *name);
/* Adds a function without a result to the module, whose body comes next: e->function. */
void function_declare(Emit *e, const char *name, LLVMTypeRef *types, uint32_t count);
/* Gives it an attribute of LLVM's; value NULL: one that has none. */
void function_mark(Emit *e, const char *name, const char *value);
/* Begins the function, in its floating point mode, and ends it; what comes between begins at the block that
 * is returned. */
LLVMBasicBlockRef function_open(Emit *e, const char *name);
void function_close(Emit *e, LLVMBasicBlockRef start);

/* ---- emit.c ---------------------------------------------------------------------------------- */
/* Emits instructions [first, last) at the current place. */
void emit_range(Emit *e, uint32_t first, uint32_t last);
/* Emits instruction `at`, which is no loop, for one of the vectors side by side. */
void emit_inst(Emit *e, uint32_t at, int32_t copy);

/* ---- rare.c ---------------------------------------------------------------------------------- */
/* Finds what rare WHEREs alone need: fills Shape.rare. */
void rare_find(Emit *e);
/* Emits the rare WHEREs that begin at `at`, if it is one; returns the last instruction
 * of its run. */
uint32_t emit_rare(Emit *e, uint32_t at);

/* Is the canonical NaN chosen for several vectors behind one branch? If so, emits that. */
bool nans_share_branch(const Emit *e, uint32_t at);
void emit_nans(Emit *e, uint32_t at);

/* ---- items.c --------------------------------------------------------------------------------- */
/* Emits the loop over items; false when out of memory. */
bool emit_items(Emit *e);

/* ---- defer.c; without a deferred loop these do nothing --------------------------------------- */
/* Finds what the deferred loop uses; false when out of memory. */
bool defer_open(Emit *e);
/* Phis at the heads of a line and of an item, entered from `from` … */
void defer_enter_line(Emit *e, LLVMBasicBlockRef from);
void defer_enter_item(Emit *e, LLVMBasicBlockRef from);
/* … and what they receive when the current item goes on to the next line or item. */
void defer_next_line(Emit *e, LLVMBasicBlockRef from);
void defer_next_item(Emit *e, LLVMBasicBlockRef from);
/* Item `number` begins: what the phis hold belongs to the item before it. */
void defer_open_item(Emit *e, LLVMValueRef number);
/* Loop `loop` opens: where it is the host, addresses of the deferred loop are prepared. */
void defer_open_host(Emit *e, const LoopShape *loop);
/* One vector of the deferred loop, where `loop` is its host. */
void defer_run(Emit *e, const LoopShape *loop);

/* ---- loop.c ---------------------------------------------------------------------------------- */
void emit_loop(Emit *e, uint32_t loop);

/* ---- vector.c: types, constants, lanes ------------------------------------------------------- */
void emit_fail(Emit *e, const char *message);
/* Type in registers (bool i1, half types i16) or in memory (bool i8); lanes 1 gives the scalar. */
LLVMTypeRef type_reg(const Emit *e, sn_dtype dtype, int32_t lanes);
LLVMTypeRef type_memory(const Emit *e, sn_dtype dtype, int32_t lanes);
/* An element of an argument in memory. */
LLVMTypeRef type_element(const Emit *e, uint32_t arg);
LLVMTypeRef type_lanes(LLVMTypeRef scalar, int32_t lanes);
/* An integer type of as many bits as the scalar of `dtype`. */
LLVMTypeRef type_bits(const Emit *e, sn_dtype dtype, int32_t lanes);
LLVMValueRef const_i64(const Emit *e, int64_t value);
/* The same value, of which LLVM's passes do not see how it came about. Strength reduction tries every
 * way to compute an address from the parts it knows: without this it is a quarter of a compilation. */
LLVMValueRef emit_opaque(LLVMBuilderRef b, LLVMValueRef x);
LLVMValueRef const_int(LLVMTypeRef type, uint64_t value); /* scalar or vector type */
LLVMValueRef const_float(LLVMTypeRef type, double value);
LLVMValueRef const_bits(const Emit *e, sn_dtype dtype, uint64_t bits, int32_t lanes);
LLVMValueRef const_lane_numbers(const Emit *e, LLVMTypeRef scalar, int32_t lanes, int64_t step);
LLVMValueRef emit_splat(const Emit *e, LLVMBuilderRef b, LLVMValueRef scalar, int32_t lanes);
LLVMValueRef emit_intrinsic(Emit *e, const char *name, LLVMTypeRef *types, uint32_t n_types,
                            LLVMValueRef *args, uint32_t n_args);
LLVMValueRef emit_select(Emit *e, LLVMValueRef condition, LLVMValueRef x, LLVMValueRef y);
/* Elements [first, first + count) of a vector. */
LLVMValueRef emit_part(Emit *e, LLVMValueRef vector, uint32_t first, uint32_t count);
LLVMValueRef emit_lane(Emit *e, LLVMValueRef vector, int32_t lane);
/* i1: is any lane of <n x i1> (or the i1) set? */
LLVMValueRef emit_any(Emit *e, LLVMValueRef mask, int32_t lanes);
LLVMValueRef emit_alloca(Emit *e, LLVMTypeRef type, int64_t count);
/* base + index, in elements of this type. */
LLVMValueRef emit_element(Emit *e, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index);
LLVMBasicBlockRef emit_block(Emit *e);
void emit_at(Emit *e, LLVMBasicBlockRef block);
/* An i64 counter's loop `for (i = from; i < to; i += step)` whose body is straight code. */
typedef struct CountLoop {
    LLVMBasicBlockRef head, exit; /* its blocks */
    LLVMValueRef i;               /* the counter */
    LLVMValueRef to;              /* where it ends */
} CountLoop;
CountLoop count_open(Emit *e, LLVMValueRef from, LLVMValueRef to);
void count_close(Emit *e, const CountLoop *loop, LLVMValueRef step);
LLVMValueRef emit_phi(Emit *e, LLVMTypeRef type, LLVMValueRef value, LLVMBasicBlockRef from);
void phi_add(LLVMValueRef phi, LLVMValueRef value, LLVMBasicBlockRef from);
/* An operand of copy `copy` as scalar (uniform or affine values only) or as vector. */
LLVMValueRef value_scalar(Emit *e, KValue value, int32_t copy);
LLVMValueRef value_vector(Emit *e, KValue value, int32_t copy);
LLVMValueRef value_lanes(Emit *e, KValue value, int32_t copy, int32_t lanes);
void value_set_scalar(Emit *e, KValue value, int32_t copy, LLVMValueRef scalar);
void value_set_vector(Emit *e, KValue value, int32_t copy, LLVMValueRef vector);
/* A word of the call's parameters, read through builder `b`. */
LLVMValueRef emit_word(Emit *e, LLVMBuilderRef b, LLVMValueRef number);
LLVMValueRef emit_param(Emit *e, int32_t param);
LLVMValueRef emit_coef(Emit *e, KCoef coef);

/* ---- address.c ------------------------------------------------------------------------------- */
/* Addresses of all accesses before any loop: argument + offset, from the item's addresses of the
 * arguments (NULL: the argument's own). */
void emit_locate_accesses(Emit *e, LLVMValueRef *const bases, LLVMValueRef *address);
/* Adds to the addresses of all accesses in `loop` the terms known by now. */
void address_fold(Emit *e, const KLoop *loop);
/* Scalar address of lane 0, copy 0 of an access. */
LLVMValueRef emit_address(Emit *e, uint32_t access);
/* Elements from lane to lane: Σ step of the term × coefficient, computed before the loop; NULL for 0. */
LLVMValueRef emit_lane_stride(Emit *e, const KAccess *access);
/* Offsets of all lanes from lane 0's affine address. */
LLVMValueRef emit_lane_offsets(Emit *e, const KAccess *access, LLVMValueRef stride, int32_t copy);
/* Number of the grid's innermost dimension, along which lines run, read in the entry block; 0 where
 * the grid has none. */
LLVMValueRef emit_innermost_dim(Emit *e);
/* Number of the word with an argument's stride in a dimension. */
LLVMValueRef emit_stride_word(Emit *e, LLVMBuilderRef b, LLVMValueRef dim, uint32_t arg);
/* Elements of an argument from one point of a line to the next; read in the entry block. */
LLVMValueRef emit_row_step(Emit *e, uint32_t arg);

/* ---- access.c -------------------------------------------------------------------------------- */
void emit_load(Emit *e, uint32_t inst, int32_t copy);
/* Is it a load and the WHERE behind it that gives what lies outside, where all lanes are inside or outside as
 * one? Emits both, for all vectors side by side, behind one branch; returns the WHERE. */
bool load_is_padded(const Emit *e, uint32_t at);
uint32_t emit_padded_load(Emit *e, uint32_t at);
void emit_store(Emit *e, uint32_t inst, int32_t copy);
void emit_store_add(Emit *e, uint32_t inst, int32_t copy);
void emit_check(Emit *e, uint32_t inst, int32_t copy);
/* True when stores of this instruction may bypass the caches: whole vectors, side by side, to an
 * output, at an address known before the vector loop. *bytes is the alignment they need. */
bool access_streams(const Emit *e, const LoopShape *loop, uint32_t inst, int64_t *bytes);
/* i1, before the loop: do all its stores of that kind begin aligned? */
LLVMValueRef access_aligned(Emit *e, const LoopShape *loop);

/* ---- ops.c, cast.c, divide.c ----------------------------------------------------------------- */
/* A primitive on operands of `lanes` lanes. `inst` may be NULL when no operand is a constant. */
LLVMValueRef emit_prim(Emit *e, OpCode op, sn_dtype dtype, sn_dtype in_dtype, int32_t lanes,
                       const LLVMValueRef in[3], const KInst *inst);
LLVMValueRef emit_cast(Emit *e, sn_dtype to, sn_dtype from, int32_t lanes, LLVMValueRef x);
/* Vectors of i64, y neither 0 nor -1. */
LLVMValueRef emit_quotient_i64(Emit *e, int32_t lanes, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef emit_fmod(Emit *e, sn_dtype dtype, int32_t lanes, LLVMValueRef x, LLVMValueRef y);

/* ---- reduce.c -------------------------------------------------------------------------------- */
/* Values that make up one state of a reduction. */
int32_t reduce_parts(const KReduction *r);
/* Initial carry of a loop, memory and stacks. */
void reduce_open(Emit *e, Frame *frame);
/* A REDUCE or SCAN instruction. */
void reduce_step(Emit *e, uint32_t inst, int32_t copy);
/* End of a chunk: pushes what is complete. `done` = elements so far, a multiple of the chunk. */
void reduce_push(Emit *e, Frame *frame, LLVMValueRef done);
/* After the loop: the values of its reductions. */
void reduce_close(Emit *e, Frame *frame);

#endif
