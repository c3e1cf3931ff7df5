/* Program: what the passes make of a graph. Kernels and extern calls in order, the buffers they
 * work on, and where the results lie. It holds kernel IR, not code; runtime/executable.c loads it. */
#ifndef SN_IR_PROGRAM_H
#define SN_IR_PROGRAM_H

#include "ir/graph.h"
#include "ir/kernel.h"

typedef enum BufferKind {
    BUFFER_INPUT,  /* memory of graph input `number` */
    BUFFER_OUTPUT, /* new memory that the caller receives; `number` counts them */
    BUFFER_TEMP    /* a piece of the call's one temporary block */
} BufferKind;

typedef struct Buffer {
    uint8_t kind;       /* BufferKind */
    uint8_t dtype;      /* sn_dtype */
    int32_t number;     /* see kind */
    int64_t elements;   /* of a dense buffer */
    int64_t offset;     /* TEMP: bytes from the start of the block */
    NodeId node;        /* the value it holds first, for dumps */
    int32_t first_step; /* TEMP: first and last step that touch it */
    int32_t last_step;
} Buffer;

typedef enum StepKind { STEP_KERNEL, STEP_GEMM } StepKind;

typedef struct ArgRef {
    uint32_t buffer; /* index in Program.buffers */
    int64_t offset;  /* elements from its start */
} ArgRef;

/* One launch of a kernel: no barrier across its items. */
typedef struct Launch {
    Kernel kernel;         /* its text is the key */
    VEC(int64_t) params;   /* all parameter words, fixed part first */
    VEC(ArgRef) args;      /* one for each kernel argument; unused for LOCAL ones */
    int64_t items;         /* grid points × blocks */
    int64_t scratch_bytes; /* for LOCAL buffers, per thread */
    bool stream_stores;    /* see Schedule */
} Launch;

/* C[b] = A[b] B[b] (+ bias) (relu), strides in elements. */
typedef struct GemmStep {
    int64_t batch, m, n, k; /* sizes */
    int64_t a_strides[3];   /* of A[batch][m][k]; 0 = broadcast */
    int64_t b_strides[3];   /* of B[batch][k][n] */
    int64_t c_strides[3];   /* of C[batch][m][n] */
    ArgRef a, b, bias, c;   /* operands; bias.buffer is UINT32_MAX when there is none */
    bool relu;              /* max(x, 0) at the end */
    uint8_t dtype;          /* sn_dtype */
} GemmStep;

typedef struct Step {
    uint8_t kind;         /* StepKind */
    NodeId commit_code;   /* > 0: writes an input; not run once a lower error code was recorded */
    uint32_t site;        /* a source line it came from */
    int64_t bytes;        /* bytes it must move: each buffer element touched, once */
    int64_t bytes_stored; /* those among them that it writes */
    int64_t flops;        /* scalar operations; a multiply-add is two */
    int64_t instructions; /* the same; a multiply-add is one */
    const char *label;    /* for dumps: "softmax+add"; owned by the program's arena strings */
    Launch launch;        /* STEP_KERNEL */
    GemmStep gemm;        /* STEP_GEMM */
} Step;

/* Where a result lies. */
typedef struct ProgramOutput {
    uint32_t buffer;              /* its memory */
    int32_t writes_input;         /* ≥ 0: this input was written; nothing is returned */
    TensorType type;              /* dtype and dims */
    int64_t strides[SN_MAX_RANK]; /* in elements */
    int64_t offset;               /* in elements */
} ProgramOutput;

/* A place that can record a data error; its code is its node's number, so that the least code is
 * the first in program order. */
typedef struct ProgramCheck {
    NodeId code;   /* what CHECK stores */
    uint16_t op;   /* OpCode */
    uint32_t site; /* source line */
    int64_t limit; /* an index must be below this */
} ProgramCheck;

typedef struct Program {
    VEC(Buffer) buffers;        /* inputs first, by number */
    VEC(Step) steps;            /* in order */
    VEC(ProgramOutput) outputs; /* in the graph's order */
    VEC(Site) sites;            /* of the graph */
    VEC(ProgramCheck) checks;   /* where data errors can arise */
    VEC(char *) strings;        /* labels, freed with the program */
    VEC(char *) notes;          /* fusion decisions: "add with softmax: …", for explain */
    int32_t n_inputs;           /* inputs of the graph */
    int32_t n_outputs;          /* new memory blocks to allocate */
    int32_t reorders;           /* kernels that only copy into another layout for an extern call */
    int64_t temp_bytes;         /* size of the temporary block */
    int64_t scratch_bytes;      /* most per-thread scratch of any launch */
    int64_t peak_bytes;         /* temporary block + results */
    bool can_fail;              /* a step can record a data error */
} Program;

void program_init(Program *program);
void program_free(Program *program);
/* Steps, buffers and kernels, readable. */
void program_print(const Program *program, StrBuf *out);

#endif
