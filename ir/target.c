/* Detection of the machine that code is generated for by default: feature bits and cache sizes, read once.
 * Decisions rest on feature bits alone, never on a processor's name. */
#include "ir/target.h"

#include "base/settings.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const isa_names[ISA_COUNT] = {
    [ISA_NONE] = "none",
    [ISA_AVX2] = "avx2",
    [ISA_AVX512] = "avx512",
};

const char *target_isa_name(TargetIsa isa) {
    return isa_names[isa];
}

const char *target_backend(const Target *target) {
    static const char *const backends[] = {[TARGET_CPU] = "cpu", [TARGET_CUDA] = "cuda"};
    return backends[target->kind];
}

#if defined(__x86_64__)

/* Registers of one CPUID leaf, in the order EAX, EBX, ECX, EDX. */
typedef struct Leaf {
    uint32_t reg[4];
} Leaf;

enum { EAX, EBX, ECX, EDX };

static Leaf read_subleaf(uint32_t leaf, uint32_t subleaf) {
    Leaf r = {{0}};
    __get_cpuid_count(leaf, subleaf, &r.reg[EAX], &r.reg[EBX], &r.reg[ECX], &r.reg[EDX]);
    return r;
}

static Leaf read_leaf(uint32_t leaf) {
    return read_subleaf(leaf, 0);
}

/* Register states that the operating system saves (XCR0). */
static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* One required feature: leaf, register, bit. */
typedef struct Feature {
    uint32_t leaf;      /* CPUID leaf */
    uint32_t reg;       /* EAX … EDX */
    uint32_t bit;       /* bit number */
    TargetIsa required; /* lowest ISA that needs it */
} Feature;

/* x86-64-v3 and v4 by the psABI, less what v3 inherits from v2 (no machine has AVX2 without). */
static const Feature features[] = {
    {1, ECX, 12, ISA_AVX2},          /* FMA */
    {1, ECX, 22, ISA_AVX2},          /* MOVBE */
    {1, ECX, 28, ISA_AVX2},          /* AVX */
    {1, ECX, 29, ISA_AVX2},          /* F16C */
    {7, EBX, 3, ISA_AVX2},           /* BMI1 */
    {7, EBX, 5, ISA_AVX2},           /* AVX2 */
    {7, EBX, 8, ISA_AVX2},           /* BMI2 */
    {0x80000001u, ECX, 5, ISA_AVX2}, /* LZCNT */
    {7, EBX, 16, ISA_AVX512},        /* AVX512F */
    {7, EBX, 17, ISA_AVX512},        /* AVX512DQ */
    {7, EBX, 28, ISA_AVX512},        /* AVX512CD */
    {7, EBX, 30, ISA_AVX512},        /* AVX512BW */
    {7, EBX, 31, ISA_AVX512},        /* AVX512VL */
};

static TargetIsa detect_isa(void) {
    const uint32_t osxsave = 1u << 27;
    const uint64_t avx_state = 0x06, avx512_state = 0xe6;
    if (!(read_leaf(1).reg[ECX] & osxsave)) return ISA_NONE;
    uint64_t saved = read_xcr0();
    TargetIsa isa = ISA_AVX512;
    if ((saved & avx512_state) != avx512_state) isa = ISA_AVX2;
    if ((saved & avx_state) != avx_state) isa = ISA_NONE;
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        const Feature *f = &features[i];
        bool present = read_leaf(f->leaf).reg[f->reg] >> f->bit & 1;
        if (!present && f->required <= isa) isa = f->required == ISA_AVX512 ? ISA_AVX2 : ISA_NONE;
    }
    return isa;
}

/* Bytes of the third-level cache that a core can reach: sysconf() tells the whole package's, which
 * may be several caches. The fields of cache subleaves are the same in Intel's leaf and in AMD's. */
static int64_t shared_cache_bytes(void) {
    static const uint32_t leaves[] = {0x8000001d, 4};
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t sub = 0; sub < 8; sub++) {
            Leaf r = read_subleaf(leaves[i], sub);
            uint32_t kind = r.reg[EAX] & 31, level = r.reg[EAX] >> 5 & 7;
            if (kind == 0) break;
            if (level != 3) continue;
            uint32_t ways = (r.reg[EBX] >> 22) + 1, partitions = (r.reg[EBX] >> 12 & 1023) + 1;
            uint32_t line = (r.reg[EBX] & 4095) + 1;
            return (int64_t)ways * partitions * line * ((int64_t)r.reg[ECX] + 1);
        }
    return 0;
}

#else

static TargetIsa detect_isa(void) {
    return ISA_NONE;
}

static int64_t shared_cache_bytes(void) {
    return 0;
}

#endif

static Target host;
static pthread_once_t host_once = PTHREAD_ONCE_INIT;

/* A cache's size; `fallback` where the system does not tell. */
static int64_t cache_bytes(int name, int64_t fallback) {
    long bytes = sysconf(name);
    return bytes > 0 ? (int64_t)bytes : fallback;
}

static void detect_host(void) {
    TargetIsa isa = detect_isa();
    const char *wanted = setting_text(SETTING_ISA);
    for (int i = ISA_NONE; i < (int)isa; i++)
        if (strcmp(wanted, isa_names[i]) == 0) isa = (TargetIsa)i;
    int64_t shared = shared_cache_bytes();
    host.kind = TARGET_CPU;
    host.cpu = (CpuTarget){
        .isa = isa,
        .vector_bits = isa == ISA_AVX512 ? 512 : 256,
        .l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10),
        .l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1 << 20),
        .l3_bytes = shared ? shared : cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20),
    };
}

const Target *target_host(void) {
    pthread_once(&host_once, detect_host);
    return &host;
}

Target target_for(TargetIsa isa) {
    Target target = *target_host();
    target.cpu.isa = isa;
    target.cpu.vector_bits = isa == ISA_AVX512 ? 512 : 256;
    return target;
}

const Target *target_cuda(void) {
    static const Target target = {.kind = TARGET_CUDA, .cuda = {.sm = 90}};
    return &target;
}
