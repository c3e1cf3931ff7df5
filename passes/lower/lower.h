/* Lowering one step to a kernel: its state, and what the files below say of each other, each of which uses
 * those above it alone. */
#ifndef SN_PASSES_LOWER_LOWER_H
#define SN_PASSES_LOWER_LOWER_H

#include "base/map.h"
#include "passes/fuse/fuse.h"

/* Where a value lives: in the item, in the loop over B (a map's one loop), or in a loop over K. */
enum { DEPTH_ITEM, DEPTH_B, DEPTH_K };

enum { LOWER_NO_AXIS = -1 };

/* An argument of the kernel: a buffer seen with certain strides of the grid. */
typedef struct LowerArg {
    uint32_t buffer;       /* in the program */
    Dim offset;            /* elements from its start */
    Dim grid[SN_MAX_RANK]; /* stride for each grid dimension */
    bool read, written;    /* how it is used */
} LowerArg;

/* An access with the numbers behind its coefficients, for merging axes. */
typedef struct LowerAccess {
    uint32_t arg;  /* argument */
    Dim coef[2];   /* elements per step of the B and the K axis */
    bool indirect; /* has terms of other kinds */
    int32_t depth; /* indirect: deepest loop that it depends on */
} LowerAccess;

typedef enum LowerParamKind { PARAM_SIZE, PARAM_BITS, PARAM_SCALAR } LowerParamKind;

/* A parameter word. */
typedef struct LowerParam {
    uint8_t kind;    /* LowerParamKind */
    uint8_t dtype;   /* SIZE, SCALAR: sn_dtype of its bits */
    uint32_t scalar; /* SCALAR: number among those of the call */
    bool real;       /* SCALAR: it is a double */
    Dim size;        /* SIZE */
    int64_t bits;    /* BITS: a scalar of the compute type */
} LowerParam;

typedef struct Memo {
    NodeId node;      /* the value */
    int32_t stage;    /* loop over K in which it holds; -1 = in all */
    KValue predicate; /* under which it was computed */
    KValue value;     /* the instruction */
    uint32_t index;   /* first of its coordinates in Lower.coordinates */
} Memo;

/* What lower_choose_kept knows of nodes; all groups share it. */
typedef struct KeepTables {
    int32_t *first; /* by node: first loop over K of its group that computes it; -1 */
    int32_t *seen;  /* by node: the last walk that came by; 0 = none */
    int32_t walks;  /* walks so far, one a loop */
} KeepTables;

typedef struct Lower {
    PassContext *context;        /* the pipeline's */
    const Graph *graph;          /* the graph */
    const Fusion *fusion;        /* its groups */
    const Plan *plan;            /* its steps */
    Program *program;            /* what is filled */
    const PlanStep *step;        /* what is lowered */
    const Group *group;          /* the step's; of a copy or check its space, without members */
    Kernel *kernel;              /* the result */
    KBuilder *builder;           /* its code */
    IndexSpace space;            /* symbols: grid dims, then K, then B */
    VEC(uint8_t) depths;         /* by symbol: DEPTH_… */
    int32_t n_grid;              /* grid symbols */
    Dim grid_sizes[SN_MAX_RANK]; /* their sizes */
    bool grid_used[SN_MAX_RANK]; /* by grid dim: its index is a value, so it keeps its place */
    int32_t k_symbol, b_symbol;  /* LOWER_NO_AXIS if there is no such loop */
    int32_t k_axis, b_axis;      /* axes of the kernel */
    bool b_used;                 /* the B index is a value */
    bool k_vector;               /* the loop over K is the vector loop */
    bool packs_rows, tables;     /* see Launch */
    int32_t columns_arg;         /* a product's argument that its columns are; −1: none */
    IndexExpr full, row;         /* row-major positions of FULL and ROW values */
    uint32_t regions[3];         /* by depth: the region being filled */
    int32_t stage;               /* current loop over K; -1 outside */
    KValue predicate;            /* loads happen where this holds; KVALUE_NONE = everywhere */
    VEC(uint8_t) value_depth;    /* by instruction */
    VEC(Memo) memos;             /* values computed so far */
    Map memo_map;                /* hash → memo */
    VEC(IndexExpr) coordinates;  /* of memos */
    KValue *reduced;             /* by node: value of a reduction that was emitted */
    int32_t *kept_from;          /* by node: loop over K that keeps it in a row buffer; -1 = none */
    uint32_t *kept_access;       /* by node: the row buffer's access */
    KeepTables *keep;            /* of lower_choose_kept */
    const bool *told;            /* by node: can its NaNs be told apart? */
    bool *noted;                 /* by node: its check is in the program */
    const bool *read_often;      /* by node, in fast code: several read it, results among them */
    Map *kernels;                /* the program's, by kernel_hash_lines */
    VEC(LowerArg) args;          /* by kernel argument */
    VEC(LowerAccess) accesses;   /* by kernel access */
    VEC(LowerParam) params;      /* numbered parameters */
    VEC(KValue) divisors; /* by symbol: of the first quotient or remainder by it, its instruction */
    bool failed;          /* out of memory or too complex; context->error tells */
} Lower;

/* Is the node one of the group that is lowered? */
static inline bool lower_is_member(const Lower *l, NodeId id) {
    return l->step->kind == PLAN_GROUP && l->fusion->group_of[id] == (int32_t)l->step->group;
}
static inline int32_t lower_deeper(int32_t x, int32_t y) {
    return x > y ? x : y;
}

/* ---- emission (emit.c) ----------------------------------------------------------------------- */

/* Reports a failure; returns KVALUE_NONE. */
KValue lower_fail(Lower *l, const char *why);
/* A new parameter word with this value; the same in another dtype; bits of a compute type; a scalar of the
 * call. */
KCoef lower_param(Lower *l, Dim value);
KCoef lower_param_as(Lower *l, Dim value, sn_dtype dtype);
KCoef lower_bits(Lower *l, int64_t bits);
KCoef lower_scalar(Lower *l, uint32_t number, bool real, sn_dtype dtype);
/* The value of a parameter word; of a new one with a size; a constant i64. */
KValue lower_word(Lower *l, sn_dtype dtype, KCoef coef);
KValue lower_size(Lower *l, Dim size);
KValue lower_int(Lower *l, int64_t value);
/* Depth of an instruction with these operands; emission is set to go there. */
int32_t lower_emit_at(Lower *l, const KValue *in, int32_t count);
/* Emission at the depth that the operands require; each notes the result's depth. */
KValue lower_op(Lower *l, OpCode op, KValue x, KValue y, KValue z);
KValue lower_inst(Lower *l, KInst inst, int32_t depth);
int32_t lower_depth(const Lower *l, KValue x);
/* Notes that a value the builder made lives at this depth; returns the value. */
KValue lower_depth_at(Lower *l, KValue value, int32_t depth);

/* ---- indices (index.c) ----------------------------------------------------------------------- */

/* The i64 value of an index expression. */
KValue lower_index_value(Lower *l, const IndexExpr *e);
/* Deepest loop on which an expression depends. */
int32_t lower_index_depth(const Lower *l, const IndexExpr *e);
/* The symbol of an i64 value in [0, size). */
int32_t lower_value_symbol(Lower *l, KValue value, Dim size);
/* Both of two predicates, of which KVALUE_NONE holds everywhere. */
KValue lower_both(Lower *l, KValue x, KValue y);
/* Is an index in [0, size)? */
KValue lower_in_range(Lower *l, KValue index, Dim size);
/* An index from data for an axis of `size` elements: checked, its error coded by `node`; where it
 * is out of range the result is a harmless 0. */
KValue lower_checked_index(Lower *l, NodeId node, KValue index, Dim size);
/* Coordinates at which a member of the group is computed. */
void lower_own_index(Lower *l, NodeId shaped, IndexExpr *index);

/* ---- accesses (access.c) --------------------------------------------------------------------- */

/* The access of `buffer` at an address (in elements); written or read. UINT32_MAX on failure. */
uint32_t lower_access(Lower *l, uint32_t buffer, const IndexExpr *address, bool write);
/* Deepest loop that an access follows. */
int32_t lower_access_depth(const Lower *l, uint32_t access);
/* The access of a new row buffer: one element for each step of K. UINT32_MAX on failure. */
uint32_t lower_row_buffer(Lower *l, NodeId node);

/* ---- values (value.c, random.c, keep.c) ------------------------------------------------------ */

/* The value of `node` at these coordinates (one expression a dim), emitted where its axes live. */
KValue lower_value(Lower *l, NodeId node, const IndexExpr *index);
/* First loop over K in which a value can be computed: one more than that of what it reduces. */
int32_t lower_stage(const Lower *l, NodeId node);
/* Uniform or normal draw number `index` (i64) of a generator's state words. */
KValue lower_random(Lower *l, OpCode op, sn_dtype dtype, KValue seed, KValue counter, KValue index);
/* Chooses the values that a row kernel computes in one loop over K and needs again in a later one. */
void lower_choose_kept(Lower *l, int32_t last_stage);

/* ---- bodies (body.c) ------------------------------------------------------------------------- */

/* The code of a group; of a copy; of the check of an index, without the op that it is of. */
void lower_group(Lower *l);
void lower_copy(Lower *l);
void lower_check(Lower *l);

/* What the finished kernel computes of indices for each column again goes to tables; see tables.c. */
sn_status lower_tables(Lower *l);

/* ---- steps (launch.c) ------------------------------------------------------------------------ */

/* Fills the launch: merged grid, blocks, strides, parameters, argument references. */
sn_status lower_launch(Lower *l, Step *step);

#endif
