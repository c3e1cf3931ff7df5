/* Kernel IR: one kernel as a tree of loops around scalar SSA instructions.
 *
 * A kernel runs over items. Item = (grid point, block): the grid is up to 8 dimensions whose sizes
 * and strides are run-time parameters; its rank is one too, so it is not part of the text. If the
 * kernel has a split axis, that axis (a top-level loop) is cut in blocks and an item covers one
 * block. Inside an item stand instructions and loops over axes; a loop over an axis may be marked
 * as the vector loop. Loops nest; there is at most one vector loop on any path.
 *
 *   kernel {
 *     params 1
 *     arg a0 f32 in
 *     arg a1 f32 out
 *     axis i p0
 *     access c0 a0 i*1
 *     access c1 a1 i*1
 *     loop i vector
 *       %0 = load c0 : f32
 *       %1 = reduce_max %0 free : f32
 *     end
 *     loop i vector
 *       %2 = load c0 : f32
 *       %3 = sub %2, %1 : f32
 *       store c1 %3
 *     end
 *   }
 *
 * An address is args[a] + element size × (grid offset of a + Σ terms + offset). Sizes, strides,
 * offsets and hoisted scalars are parameter words, so one kernel serves every shape; the literals
 * 0 and 1 are the only strides in the text.
 *
 * A value lives in the loop where its instruction stands. A reduction's value may be used after the
 * loop's end (and only there); a scan's inside. f16 and bf16 are only loaded, stored, cast,
 * bit-cast and constants; bool is 0 or 1 in memory.
 *
 * The schedule (vector width, unrolling, non-temporal stores) is not here and cannot change bits. */
#ifndef SN_IR_KERNEL_KERNEL_H
#define SN_IR_KERNEL_KERNEL_H

#include "base/assert.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "base/vec.h"
#include "ir/op/op.h"
#include "ir/op/order.h"
#include "ir/op/site.h"
#include "ir/op/type.h"

#include <sinter/error.h>

typedef uint32_t KValue;       /* index of an instruction */
#define KVALUE_NONE UINT32_MAX /* no operand */

/* A size, stride or offset: a parameter word, or the literal 0 or 1. */
typedef struct KCoef {
    int32_t param; /* ≥ 0: parameter number; -1: the literal */
    int32_t value; /* the literal, when param is -1 */
} KCoef;
static inline KCoef kcoef_literal(int32_t value) {
    return (KCoef){-1, value};
}
static inline KCoef kcoef_param(int32_t param) {
    return (KCoef){param, 0};
}
static inline bool kcoef_is(KCoef coef, int32_t literal) {
    return coef.param < 0 && coef.value == literal;
}

typedef enum KArgRole {
    KARG_IN,     /* read only */
    KARG_SHARED, /* the same, and no grid strides: all items see the same elements */
    KARG_OUT,    /* written; elements not written keep their content */
    KARG_INOUT,  /* read and written at the same element by the same item */
    KARG_LOCAL /* a buffer of one item (a row): scratch memory, `size` elements, no grid strides */
} KArgRole;

typedef struct KArg {
    uint8_t dtype; /* sn_dtype in memory */
    uint8_t role;  /* KArgRole */
    KCoef size;    /* LOCAL: elements; offset in scratch is assigned in order of arguments */
} KArg;

/* Is the argument only read? */
static inline bool karg_is_input(const KArg *arg) {
    return arg->role == KARG_IN || arg->role == KARG_SHARED;
}

typedef struct KAxis {
    KCoef size; /* trip count */
    bool split; /* items cover blocks of this axis; at most one, and its loop is top-level */
} KAxis;

/* One term of an access: (axis index or i64 value) × coefficient. */
typedef struct KTerm {
    uint32_t axis; /* axis number; KVALUE_NONE when `value` is used */
    KValue value;  /* an i64 instruction; KVALUE_NONE when `axis` is used */
    KCoef coef;    /* elements per step */
} KTerm;

typedef struct KAccess {
    uint32_t arg;        /* which argument */
    uint32_t first_term; /* in Kernel.terms */
    uint32_t n_terms;    /* terms to add */
    KCoef offset;        /* elements to add */
} KAccess;

enum KFlags {
    K_VECTOR = 1,     /* LOOP: this is the vector loop */
    K_PREDICATED = 2, /* LOAD, STORE: in[1] (LOAD: in[0]) is a bool predicate */
    K_RARE = 4 /* WHERE: hardly ever true; what only in[1] needs may be computed where it is */
};

/* Operands by op: pointwise as in the op table; LOAD in[0] = predicate; STORE in[0] = value,
 * in[1] = predicate; STORE_ADD in[0] = value, in[1] = predicate; CHECK in[0] = condition;
 * REDUCE_x and SCAN_SUM in[0] = value. imm by op: CONST bits; PARAM, CHECK parameter number;
 * INDEX_OF, LOOP axis; GRID_INDEX dimension; LOAD, STORE, STORE_ADD access.
 *
 * An absent predicate is no operand: LOAD has then in[0] KVALUE_NONE. GRID_INDEX is 0 for
 * dimensions that the call does not have. STORE_ADD takes a value of the compute type: to f16 and
 * bf16 it widens the element, adds in f32 and rounds; a sum that is NaN is the canonical one. Facts
 * about each op (form, operands, dtypes, how it merges) are the table in ir/kernel/form.h.
 *
 * In which order reductions and scans take in the values of their loop's trips: ir/op/order.h. */
typedef struct KInst {
    uint16_t op;    /* OpCode: F_PRIM rows, CONST, and the KERNEL rows */
    uint8_t dtype;  /* sn_dtype of the result; of the value for STORE */
    uint8_t order;  /* ReduceOrder, for REDUCE_x */
    uint32_t flags; /* KFlags */
    KValue in[3];   /* operands, KVALUE_NONE where there are fewer */
    uint32_t site;  /* source line, in the sites of the graph it came from; not part of the text */
    uint64_t imm;   /* see above */
} KInst;

typedef struct Kernel {
    VEC(KArg) args;        /* arguments in order */
    VEC(KAxis) axes;       /* loop axes */
    VEC(KAccess) accesses; /* addresses */
    VEC(KTerm) terms;      /* terms of all accesses */
    VEC(KInst) insts;      /* instructions and loop brackets in program order */
    int32_t n_params;      /* parameter words after the fixed part */
} Kernel;

/* ---- the call (ABI of compiled kernels) ------------------------------------------------------
 * Runs items [begin, end). Parameter words: [0] blocks per grid point (1 without a split axis),
 * [1] block size in elements of the split axis, [2] grid rank R, [3 … 10] grid sizes, outermost
 * first; then 8 grid strides (in elements) for each argument; then the numbered parameters.
 * item = block × grid points + grid point in row-major order.
 * `args` holds an address for each argument and, where the kernel has a chain, one more: that of its packed
 * columns (contract.h), or NULL.
 * `scratch` holds the LOCAL buffers of one thread, 64-byte aligned, of kernel_local_bytes each, in
 * order. `error` is a word shared by all threads: CHECK lowers it atomically to the
 * least failing code (unsigned); UINT64_MAX means none. A kernel sets the floating point mode that it
 * needs (to nearest, subnormals kept, no traps), and leaves as it found it what is its caller's. */
typedef void KernelFn(void *const *args, const int64_t *params, int64_t begin, int64_t end,
                      void *scratch, uint64_t *error);
enum {
    KPARAM_BLOCKS = 0,
    KPARAM_BLOCK_SIZE = 1,
    KPARAM_RANK = 2,
    KPARAM_SIZES = 3,
    KPARAM_STRIDES = 11 /* argument a, dimension d: KPARAM_STRIDES + 8 * a + d */
};
static inline int32_t kernel_param_word(const Kernel *k, int32_t param) {
    SN_ASSERT(param >= 0 && param < k->n_params);
    return KPARAM_STRIDES + SN_MAX_RANK * (int32_t)k->args.count + param;
}
/* What a kernel with a chain gets of scratch memory, behind its LOCAL buffers: room for columns of a chunk,
 * for rows, where they lie, and their sums, and for values of columns. Items are best given KCHAIN_ROWS at a
 * time. */
enum {
    KCHAIN_ROWS = 204, /* of items, that share columns: 14 x 14 pixels, or 197 tokens, at once */
    KCHAIN_TILE = 4,   /* rows are rounded up to a multiple of this */
    KCHAIN_PANEL_VECTORS = 2, /* of columns that are packed side by side */
    KCHAIN_PANEL_BYTES = 128, /* these, at most */
    KCHAIN_STEP_BYTES =
        1024,                /* columns in a step of K, multiples of 64 like the others; or fewer */
    KCHAIN_SUM_BYTES = 1024, /* sums of a row */
    KCHAIN_HOISTED = 4, /* values that columns alone make, each as many bytes as a row's sums */
    KCHAIN_ROW_BYTES = 4160,    /* a chunk of a row, or where it lies in each of … */
    KCHAIN_SEGMENTS = 66,       /* … so many segments of a chunk at most */
    KCHAIN_OUTSIDE_BYTES = 4096 /* a chunk of what lies outside of memory */
};
/* Bytes of an element of the kernel's chain; 0 where there is none. */
size_t kernel_chain_size(const Kernel *kernel);
/* Room is there for as many rows as a call has items, and for columns of so many bytes. */
static inline int64_t kchain_rows(int64_t items) {
    int64_t rows = items < KCHAIN_ROWS ? items : KCHAIN_ROWS;
    return (rows + KCHAIN_TILE - 1) / KCHAIN_TILE * KCHAIN_TILE;
}
static inline int64_t kchain_step_bytes(int64_t column_bytes) {
    int64_t bytes = column_bytes < KCHAIN_STEP_BYTES ? column_bytes : KCHAIN_STEP_BYTES;
    return (bytes + KCHAIN_PANEL_BYTES - 1) / KCHAIN_PANEL_BYTES * KCHAIN_PANEL_BYTES;
}
static inline int64_t kchain_scratch_bytes(int64_t items, int64_t k, int64_t column_bytes) {
    int64_t steps = k < ORDER_CHAIN ? k : ORDER_CHAIN;
    return KCHAIN_HOISTED * KCHAIN_SUM_BYTES + steps * kchain_step_bytes(column_bytes) +
           kchain_rows(items) * (KCHAIN_SUM_BYTES + KCHAIN_ROW_BYTES) + KCHAIN_OUTSIDE_BYTES +
           2 * (kchain_rows(items) + KCHAIN_TILE) * (int64_t)sizeof(void *);
}
/* Scratch bytes of a LOCAL argument: of its elements, rounded up to a multiple of ALIGN (a power of
 * two), and GAP more, into which the last whole vector may reach. The code generators emit the same
 * for sizes that are parameters. */
enum { KLOCAL_ALIGN = 64, KLOCAL_GAP = 64 };
static inline int64_t kernel_local_bytes(sn_dtype dtype, int64_t elements) {
    SN_ASSERT(elements >= 0 && elements <= SIZE_MOST / 2);
    int64_t bytes = elements * (int64_t)sn_dtype_size(dtype);
    return ((bytes + KLOCAL_ALIGN - 1) & ~(int64_t)(KLOCAL_ALIGN - 1)) + KLOCAL_GAP;
}

static inline const KInst *kernel_inst(const Kernel *k, KValue number) {
    SN_ASSERT(number < k->insts.count);
    return &k->insts.data[number];
}
/* The access with this number, as instructions have it in `imm`; its argument; one of its terms. */
static inline const KAccess *kernel_access(const Kernel *k, uint64_t number) {
    SN_ASSERT(number < k->accesses.count);
    return &k->accesses.data[number];
}
static inline const KArg *kernel_access_arg(const Kernel *k, uint64_t number) {
    uint32_t arg = kernel_access(k, number)->arg;
    SN_ASSERT(arg < k->args.count);
    return &k->args.data[arg];
}
static inline const KTerm *kernel_term(const Kernel *k, const KAccess *access, uint32_t term) {
    SN_ASSERT(term < access->n_terms && access->first_term + term < k->terms.count);
    return &k->terms.data[access->first_term + term];
}

void kernel_init(Kernel *kernel);
void kernel_free(Kernel *kernel);

/* ---- building (ir/kernel/build.c, ir/kernel/join.c) ---------------------------------------------
 * A builder appends to regions (straight code at one loop level) and joins them at the end, so that
 * a value can be added to an outer level after inner code was begun. Within a region and its
 * enclosing ones equal instructions are found, not repeated, and constants are folded with the
 * scalar evaluator. A builder that fails (out of memory) stays failed. */
typedef struct KBuilder KBuilder;
KBuilder *kbuilder_new(void);
void kbuilder_free(KBuilder *builder);
/* A new region; parent = region that encloses it (UINT32_MAX for the item level itself). */
uint32_t kbuilder_region(KBuilder *builder, uint32_t parent);
/* All later emits go to this region; constants, parameters and grid indices go to the beginning of
 * the item. */
void kbuilder_at(KBuilder *builder, uint32_t region);
uint32_t kbuilder_current(const KBuilder *builder);
KValue kb_const(KBuilder *b, sn_dtype dtype, uint64_t bits);
KValue kb_float(KBuilder *b, sn_dtype dtype, double value);
KValue kb_int(KBuilder *b, sn_dtype dtype, int64_t value);
KValue kb_op1(KBuilder *b, OpCode op, KValue x);
KValue kb_op2(KBuilder *b, OpCode op, KValue x, KValue y);
KValue kb_op3(KBuilder *b, OpCode op, KValue x, KValue y, KValue z);
/* WHERE with the flag K_RARE. Those on one condition should follow each other directly. */
KValue kb_where_rare(KBuilder *b, KValue condition, KValue x, KValue y);
KValue kb_cast(KBuilder *b, sn_dtype dtype, KValue x); /* x itself when it has that dtype */
KValue kb_bitcast(KBuilder *b, sn_dtype dtype, KValue x);
/* Any instruction, as it is: LOAD, STORE, REDUCE, LOOP, END, INDEX_OF, PARAM… */
KValue kb_inst(KBuilder *b, KInst inst);
/* Places region `inner` (with what it holds) at the current end of region `outer`. */
void kb_place(KBuilder *b, uint32_t outer, uint32_t inner);
sn_dtype kb_dtype(const KBuilder *b, KValue x);
/* The instruction that computes x; NULL for none. Until the next one is added. */
const KInst *kb_at(const KBuilder *b, KValue x);
/* The region that x stands in; 0 is that of constants and parameters. */
uint32_t kb_region(const KBuilder *b, KValue x);
/* True when x is a constant; its bits in *bits. */
bool kb_is_const(const KBuilder *b, KValue x, uint64_t *bits);
/* Joins the regions, drops dead values and empty loops, renumbers, and fills kernel->insts, which
 * was empty. Values used in kernel->terms are renumbered too; accesses that nothing uses go. */
sn_status kbuilder_finish(KBuilder *b, Kernel *kernel, sn_error *error);

/* Value of a primitive on constants, bit for bit what every back end computes, whatever floating point
 * mode the program has set. in_dtype: of in[0] (WHERE: of the condition). */
uint64_t scalar_eval(OpCode op, sn_dtype dtype, sn_dtype in_dtype, const uint64_t in[3]);

/* ---- text form (ir/kernel/print.c, parse.c), equality, verifier, interpreter ----------------- */
/* With `sites`, comments give source lines: `; model.c:12` (sites may be NULL). */
void kernel_print(const Kernel *kernel, StrBuf *out, const Site *sites);
sn_status kernel_parse(Kernel *kernel, const char *text, size_t length, sn_error *error);
bool kernel_equal(const Kernel *a, const Kernel *b);
/* Do instructions of equal kernels come from the same source lines? A hash of instructions and lines. */
bool kernel_same_lines(const Kernel *a, const Kernel *b);
uint64_t kernel_hash_lines(const Kernel *kernel);
sn_status kernel_verify(const Kernel *kernel, sn_error *error);

/* Executes the kernel slowly, one scalar at a time with scalar_eval, reduction orders included: the
 * reference for every back end. Same arguments as KernelFn. */
sn_status kernel_interpret(const Kernel *kernel, void *const *args, const int64_t *params,
                           int64_t begin, int64_t end, uint64_t *error_word, sn_error *error);

#endif
