/* The passes: graph → graph → groups → program. Each pass is one file and one function of the same
 * form; passes/pipeline.c holds them in one array. */
#ifndef SN_PASSES_PASS_H
#define SN_PASSES_PASS_H

#include "base/arena.h"
#include "ir/program.h"
#include "ir/target.h"

/* A set of nodes that become one kernel. Its iteration space is [A, K, B]: K is what is reduced or
 * scanned (1 for a plain map), A the dims in front of it, B the dims behind. A node of the group is
 * FULL (A·K·B elements) or ROW (A·B elements), always in row-major order of the space. */
typedef struct Group {
    VEC(NodeId) members; /* in topological order */
    Dim a, k, b;         /* sizes of the space */
    NodeId shape_of;     /* the node whose dims are the space's finest known form */
    int32_t k_first;     /* K = dims [k_first, k_last) of that node; equal for a map */
    int32_t k_last;
    uint8_t order;   /* ReduceOrder of its reductions; REDUCE_BY_POSITION if there are none */
    bool sequential; /* K runs one element after the other (scan, ordered writes) */
    bool hoists; /* a product whose results need values of columns alone (passes/fuse/columns.c) */
    bool dead;   /* merged into another */
} Group;

enum { GROUP_NONE = -1 };

/* How a node takes part in kernels. */
typedef enum NodeRole {
    ROLE_LEAF,   /* input, constant: no code of its own */
    ROLE_VIEW,   /* index arithmetic in its consumers */
    ROLE_INLINE, /* computed again in each consumer */
    ROLE_MEMBER  /* belongs to a group */
} NodeRole;

/* What writes in place ask of kernels and their order (passes/fuse/writes.c). Each is by node. */
typedef struct WriteOrder {
    NodeId *writer;    /* the node that overwrites it, after all that read it; NODE_NONE */
    NodeId *replaces;  /* the value whose writer it is; NODE_NONE */
    bool *writes;      /* writes an input, if it takes that memory */
    bool *unchecked;   /* can fail, and its index is not known before the first step */
    uint32_t *failing; /* ops that can fail recorded before it; one entry more */
    uint32_t *needed;  /* least `failing` of unchecked ops and writes that it leads to */
} WriteOrder;

typedef struct Fusion {
    VEC(Group) groups;   /* in order of creation */
    uint8_t *roles;      /* NodeRole by node */
    int32_t *group_of;   /* group by node, GROUP_NONE */
    bool *materialized;  /* by node: its value is stored in a buffer */
    bool *turned;        /* by node: a clone in the kernel of what it copies (turned_source) */
    VEC(uint32_t) order; /* live groups in execution order */
    int32_t *stages; /* by member: first of its kernel's loops over K in which it can be computed */
    WriteOrder writes; /* what the order of writes is */
} Fusion;

typedef enum PlanStepKind {
    PLAN_GROUP, /* the members of a group */
    PLAN_COPY,  /* a value into a buffer */
    PLAN_CHECK  /* the index of an op that can fail, ahead of all that is written */
} PlanStepKind;

/* One step before lowering. */
typedef struct PlanStep {
    uint8_t kind;    /* PlanStepKind */
    uint32_t group;  /* GROUP: its number */
    NodeId node;     /* COPY: the value; CHECK: the op that can fail */
    uint32_t target; /* COPY: the buffer it goes to */
    NodeId commit;   /* > 0, writes an input: not run once a lower error code was recorded */
} PlanStep;

enum { NO_BUFFER = -1 };

typedef struct Plan {
    int32_t *buffer_of;  /* by node: its buffer in the program, or NO_BUFFER */
    VEC(PlanStep) steps; /* what is to be lowered, in order */
} Plan;

/* Which points of a grid read the same elements of an argument. */
typedef enum RowReach {
    REACH_ROW,  /* each has its own */
    REACH_LINE, /* those of a line, the innermost dimension */
    REACH_ALL   /* all */
} RowReach;

/* An argument of a launch, as what it hands on to others is concerned. */
typedef struct RowArg {
    uint32_t buffer; /* in the program */
    bool written;    /* by the launch; else it only reads it */
    uint8_t reach;   /* RowReach: whose rows read the same of it */
    Dim bytes;       /* that are read of it in all, each once */
    bool by_row;     /* point p of the grid touches elements [p row, (p + 1) row) alone */
    Dim row;         /* elements of a row */
} RowArg;

/* A step and its arguments. */
typedef struct StepRows {
    Dim points;      /* of its grid */
    uint32_t first;  /* in PassContext.row_args */
    uint32_t count;  /* how many */
    bool alone;      /* no tiling may have it: it can fail, or writes in an order of its own */
    bool is_product; /* it has a chain */
} StepRows;

typedef struct PassContext {
    Arena arena;          /* memory of the passes' own structures */
    Graph graph;          /* the graph, replaced by graph passes */
    Fusion fusion;        /* filled by fuse */
    Plan plan;            /* filled by plan */
    VEC(StepRows) rows;   /* by step of the program; filled by lower */
    VEC(RowArg) row_args; /* theirs */
    Program *program;     /* filled by plan and lower */
    const Target *target; /* what code will be generated for */
    int32_t threads;      /* threads of a parallel region */
    bool fast;            /* numerics mode fast */
    bool explain;         /* keep notes on what was not fused */
    sn_error *error;      /* first error */
} PassContext;

typedef sn_status PassFunction(PassContext *context);

typedef struct Pass {
    const char *name;  /* as in SINTER_DISABLE_PASSES and dumps */
    PassFunction *run; /* the pass */
    bool required;     /* cannot be switched off */
} Pass;

/* The pipeline; ends with a NULL name. */
extern const Pass pass_pipeline[];

PassFunction pass_decompose;
PassFunction pass_simplify;
PassFunction pass_split_reductions;
PassFunction pass_updates;
PassFunction pass_fuse;
PassFunction pass_plan;
PassFunction pass_lower;
PassFunction pass_tile;

/* Called after each pass; may print. */
typedef void PassObserver(void *user, const char *pass, const PassContext *context);

typedef struct PipelineOptions {
    const Target *target;   /* not NULL */
    int32_t threads;        /* ≥ 1 */
    bool fast;              /* numerics mode */
    bool explain;           /* keep notes */
    PassObserver *observer; /* may be NULL */
    void *user;             /* handed to the observer */
} PipelineOptions;

/* Runs all passes on a copy of `graph` and fills an initialised, empty program. */
sn_status pipeline_run(const Graph *graph, const PipelineOptions *options, Program *program,
                       sn_error *error);

#endif
