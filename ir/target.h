/* What code is generated for: instruction set, vector width, caches. */
#ifndef SN_IR_TARGET_H
#define SN_IR_TARGET_H

#include <sinter/error.h>

typedef enum TargetIsa {
    ISA_NONE,   /* less than x86-64-v3: only what is packed or interpreted */
    ISA_AVX2,   /* x86-64-v3: AVX2, FMA, F16C, BMI */
    ISA_AVX512, /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL */
    ISA_COUNT
} TargetIsa;

typedef struct Target {
    TargetIsa isa;       /* instruction set, never more than the machine has */
    int32_t vector_bits; /* 256 or 512 */
    int64_t l1_bytes;    /* data cache of a core */
    int64_t l2_bytes;    /* second level of a core */
    int64_t l3_bytes;    /* last level, shared */
} Target;

/* "avx2", "avx512": part of cache keys. */
const char *target_name(const Target *target);
/* The machine's, from feature bits only, lowered by SINTER_ISA. Detected once. */
const Target *target_host(void);
/* A target by ISA with this machine's caches, for generating the pack. */
Target target_for(TargetIsa isa);

#endif
