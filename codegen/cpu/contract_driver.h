/* What the files of contractions share: the loops around tiles (contract.c), what they call
 * (contract_call.c), rows (contract_rows.c), columns (contract_pack.c) and the tiles (contract_tile.c). The
 * loops are emitted for little time in the compiler; what has to be fast is in functions that they call. */
#ifndef SN_CODEGEN_CPU_CONTRACT_DRIVER_H
#define SN_CODEGEN_CPU_CONTRACT_DRIVER_H

#include "codegen/cpu/contract.h"

/* The shapes of tiles. */
typedef enum TileKind {
    TILE_TALL, /* rows that fill it */
    TILE_THIN, /* the same of columns that fill one vector at most */
    TILE_LOW,  /* KCHAIN_TILE, or fewer */
    TILE_PAIR, /* two */
    TILE_WIDE, /* one */
    TILES
} TileKind;

/* One contraction being emitted. Packed columns are panels one after the other, each the steps of a chunk of
 * K, each of these the columns of a tile. */
typedef struct Driver {
    Emit *e;                     /* of the whole */
    const KContract *contract;   /* its loops and values */
    Hoisted hoisted;             /* what is computed once for all rows of a run */
    sn_dtype dtype;              /* of the chain */
    int32_t lanes, panel, group; /* elements: of a vector, of a panel's step, of a group's */
    int32_t row;                 /* elements from one packed row to the next */
    bool across, along; /* columns are memory, where the next one, or next step of K, follows */
    LLVMValueRef parts[CONTRACT_PARTS]; /* functions, each a KernelFn; NULL: not needed */
    LLVMValueRef tiles[TILES];          /* functions: see contract_tile.c */
    LLVMValueRef pack, copy, turn;      /* functions that pack; NULL: a part does it */
    LLVMValueRef point, shift;          /* functions: see contract_rows.c */
    LLVMValueRef args, params;          /* what parts are called with */
    LLVMValueRef packed;                /* all columns, where the caller packed them; else null */
    LLVMValueRef matrix_step; /* elements between the first columns of matrices that were packed */
    LLVMValueRef rows, columns, sums; /* memory: packed ones, and the chunks' sums so far */
    LLVMValueRef places, pointers;    /* memory: addresses of rows, see contract_rows.c */
    LLVMValueRef outside;             /* memory: what rows are outside of memory */
    LLVMValueRef apart;               /* addresses of rows from one segment to the next */
    LLVMValueRef values;              /* memory: those that are hoisted */
    LLVMValueRef points, line;        /* of the grid, of its innermost dimension */
    LLVMValueRef innermost;           /* that dimension's number */
    LLVMValueRef dense;               /* memory: by dimension, points from one index to the next */
    LLVMValueRef shared;              /* points in a row of them that share columns */
    LLVMValueRef rows_lie;            /* i1: rows are read where they lie; NULL: never */
} Driver;

/* Rows that share columns: points that follow one another, of a line or of several. */
typedef struct Run {
    LLVMValueRef point; /* the first one's */
    LLVMValueRef rows;  /* how many */
    /* Elements from the argument's beginning to the columns' matrix, where they are memory; else NULL. */
    LLVMValueRef column_offset;
} Run;

/* A group of columns in a chunk of K. */
typedef struct Group {
    LLVMValueRef first, width;  /* columns; fewer than a group has where there are no more */
    LLVMValueRef chunk, steps;  /* of K */
    LLVMValueRef is_first;      /* i64: 1 where no chunk came before */
    LLVMValueRef direct;        /* so many of its columns are read where they lie */
    LLVMValueRef panels;        /* the others' memory, counted from the group's first */
    LLVMValueRef table;         /* addresses of rows, segment after segment */
    LLVMValueRef begun, length; /* steps in the first segment, in the others */
} Group;

/* ---- calls ----------------------------------------------------------------------------------- */

/* A function of the module: begins it, with its parameters, and ends it. Before the whole is begun. */
typedef enum AsideType { ASIDE_PTR, ASIDE_I64 } AsideType;
LLVMValueRef contract_aside_open(const Driver *d, const char *name, const char *suffix,
                                 const AsideType *types, uint32_t count, LLVMValueRef *params);
void contract_aside_close(const Driver *d);
void contract_aside_call(const Driver *d, LLVMValueRef function, LLVMValueRef *args,
                         uint32_t count);

/* What a part is called for. NULL: nothing of the part. */
typedef struct PartCall {
    ContractPart part;
    LLVMValueRef memory;                /* of its argument, at the first point */
    LLVMValueRef point, points;         /* of the grid: the first, how many */
    LLVMValueRef first_column, columns; /* see CONTRACT_FIRST_COLUMN */
    LLVMValueRef first_k, steps; /* see CONTRACT_FIRST_K; of K in segments, those of several */
} PartCall;

/* Steps of K that lie in one segment, as the part has those. */
typedef struct Piece {
    LLVMValueRef k, steps;        /* the first one, how many */
    LLVMValueRef segment, within; /* see CONTRACT_SEGMENT; NULL where K is in no segments … */
    LLVMValueRef length;          /* … as are the steps of a whole one */
} Piece;
/* Steps of a whole segment; NULL where K is in none. */
LLVMValueRef contract_segment(const Driver *d, ContractPart part);
/* The one that begins with step `k`, and ends before `end` or with its segment. */
Piece contract_piece(const Driver *d, ContractPart part, LLVMValueRef k, LLVMValueRef end);

/* Room for the parts' arguments and words, with those of the call in it: once, before any contract_call. */
void contract_prepare(Driver *d);
void contract_call(const Driver *d, const PartCall *call);
/* The same for one piece, whatever the call says of K. */
void contract_call_piece(const Driver *d, const PartCall *call, const Piece *piece);
/* A parameter of parts that no call changes. */
void contract_set_param(const Driver *d, int32_t which, LLVMValueRef value);
/* Elements from an argument's beginning to the point. */
LLVMValueRef contract_offset(const Driver *d, uint32_t arg, LLVMValueRef point);

/* ---- memory ---------------------------------------------------------------------------------- */

static inline LLVMTypeRef contract_element(const Driver *d) {
    return d->dtype == SN_F64 ? d->e->f64 : d->e->f32;
}
/* Element base + offset of memory. */
static inline LLVMValueRef contract_at(const Driver *d, LLVMValueRef memory, LLVMValueRef base,
                                       int64_t offset) {
    Emit *e = d->e;
    LLVMValueRef place = LLVMBuildAdd(e->b, base, const_i64(e, offset), "");
    return LLVMBuildGEP2(e->b, contract_element(d), memory, &place, 1, "");
}
/* A vector there, which may lie anywhere. */
static inline LLVMValueRef contract_load(const Driver *d, LLVMValueRef memory) {
    LLVMTypeRef vector = type_lanes(contract_element(d), d->lanes);
    LLVMValueRef x = LLVMBuildLoad2(d->e->b, vector, memory, "");
    LLVMSetAlignment(x, (unsigned)sn_dtype_size(d->dtype));
    return x;
}
static inline LLVMValueRef contract_least(Emit *e, LLVMValueRef x, LLVMValueRef y) {
    return emit_select(e, LLVMBuildICmp(e->b, LLVMIntSLT, x, y, ""), x, y);
}
/* Elements of an operand that is memory from step to step of an axis. */
static inline LLVMValueRef contract_step(const Driver *d, const KAccess *access, uint32_t axis) {
    return emit_coef(d->e, kcontract_step(d->e->kernel, access, axis));
}
/* Where the columns' operand, which is memory, lies so many columns into the group. */
LLVMValueRef contract_locate(const Driver *d, const Run *run, const Group *group,
                             LLVMValueRef column);
/* Where a row's operand, which is memory, has a step of K. */
LLVMValueRef contract_locate_row(const Driver *d, const KAccess *access, LLVMValueRef point,
                                 LLVMValueRef k);
/* As many of a vector's elements as are present there, the others 0. */
LLVMValueRef contract_load_present(const Driver *d, LLVMValueRef from, LLVMValueRef present);

/* Elements from one row of that to the next. */
static inline LLVMValueRef contract_row_step(const Driver *d, const KAccess *access) {
    Emit *e = d->e;
    return emit_word(e, e->b, emit_stride_word(e, e->b, d->innermost, access->arg));
}

/* ---- packing and tiles ----------------------------------------------------------------------- */

/* Emit the functions that the others call. */
void contract_pack_functions(Driver *d, const char *name);
void contract_tile_functions(Driver *d, const char *name);
void contract_row_functions(Driver *d, const char *name);
/* Before the first run: whether rows lie, and what does not change from run to run. */
void contract_prepare_rows(Driver *d);
/* Makes the run's rows readable for a chunk of K: fills in where they are, in the group. */
void contract_rows(const Driver *d, const Run *run, Group *group);
/* Emits the function d->turn, see contract_rows.c. */
void contract_turn_function(Driver *d, const char *name);
/* Makes the group's columns readable in panels, but for those that are read where they lie. Fills `direct`
 * and `panels`. */
void contract_pack(const Driver *d, const Run *run, Group *group);
/* The chains of a group's columns and a run's rows for a chunk of K, added to the sums. */
void contract_tiles(const Driver *d, const Run *run, const Group *group);

#endif
