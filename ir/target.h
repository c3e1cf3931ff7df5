/* What code is generated for: a processor by instruction set, vector width and caches, or a CUDA
 * device by its architecture. */
#ifndef SN_IR_TARGET_H
#define SN_IR_TARGET_H

#include <sinter/error.h>

typedef enum TargetIsa {
    ISA_NONE,   /* less than x86-64-v3: only what is packed or interpreted */
    ISA_AVX2,   /* x86-64-v3: AVX2, FMA, F16C, BMI */
    ISA_AVX512, /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL */
    ISA_COUNT
} TargetIsa;

typedef struct CpuTarget {
    TargetIsa isa;       /* instruction set, never more than the machine has */
    int32_t vector_bits; /* 256 or 512 */
    int64_t l1_bytes;    /* data cache of a core */
    int64_t l2_bytes;    /* second level of a core */
    int64_t l3_bytes;    /* last level, shared */
} CpuTarget;

typedef struct CudaTarget {
    int32_t sm; /* compute capability × 10: 90 for sm_90 */
} CudaTarget;

typedef enum TargetKind { TARGET_CPU, TARGET_CUDA } TargetKind;

typedef struct Target {
    TargetKind kind; /* which member, and which back end's */
    union {
        CpuTarget cpu;
        CudaTarget cuda;
    };
} Target;

/* The back end that generates code for it: "cpu", "cuda". */
const char *target_backend(const Target *target);
/* "none", "avx2", "avx512": part of cache keys. */
const char *target_isa_name(TargetIsa isa);
/* The machine's, from feature bits only, lowered by SINTER_ISA. Detected once. */
const Target *target_host(void);
/* A target by ISA with this machine's caches, for generating the pack. */
Target target_for(TargetIsa isa);
/* What CUDA C is compiled for where no device is asked: sm_90. */
const Target *target_cuda(void);

#endif
