/* The CPU back end's table of functions, and what lies around the emitter: LLVM's target machines,
 * one context a compilation, object code, and printed stages. LLVM's options and handlers for the
 * whole process stay as they are. */
#include "base/status.h"
#include "codegen/cpu/contract.h"
#include "codegen/cpu/object.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- target machines ------------------------------------------------------------------------- */

enum { IDLE_MOST = 8 };

/* A target machine serves one compilation at a time; idle ones are kept for the next. Without a lock: one
 * of a module's is none that a fork waits for. */
static _Atomic(LLVMTargetMachineRef) idle[ISA_COUNT][IDLE_MOST];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *const cpu_names[ISA_COUNT] = {
    [ISA_AVX2] = "x86-64-v3",
    [ISA_AVX512] = "x86-64-v4",
};

static const char triple[] = "x86_64-unknown-linux-gnu";

static void initialise_llvm(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

static LLVMTargetMachineRef machine_new(TargetIsa isa, sn_error *error) {
    LLVMTargetRef target = NULL;
    char *message = NULL;
    pthread_once(&once, initialise_llvm);
    if (LLVMGetTargetFromTriple(triple, &target, &message)) {
        error_set(error, SN_ERROR_UNSUPPORTED, "LLVM has no x86-64 target: %s", message);
        LLVMDisposeMessage(message);
        return NULL;
    }
    LLVMTargetMachineRef machine =
        LLVMCreateTargetMachine(target, triple, cpu_names[isa], "", LLVMCodeGenLevelDefault,
                                LLVMRelocPIC, LLVMCodeModelSmall);
    if (!machine) error_set(error, SN_ERROR_UNSUPPORTED, "LLVM made no target machine");
    return machine;
}

static LLVMTargetMachineRef machine_take(TargetIsa isa, sn_error *error) {
    SN_ASSERT((uint32_t)isa < ISA_COUNT);
    for (int32_t i = 0; i < IDLE_MOST; i++) {
        LLVMTargetMachineRef machine = atomic_exchange(&idle[isa][i], NULL);
        if (machine) return machine;
    }
    return machine_new(isa, error);
}

static void machine_give(TargetIsa isa, LLVMTargetMachineRef machine) {
    for (int32_t i = 0; i < IDLE_MOST; i++) {
        LLVMTargetMachineRef none = NULL;
        if (atomic_compare_exchange_strong(&idle[isa][i], &none, machine)) return;
    }
    LLVMDisposeTargetMachine(machine);
}

/* ---- one compilation ------------------------------------------------------------------------- */

typedef struct Compilation {
    Emit emit;                    /* the emitter, with context and module */
    LLVMTargetMachineRef machine; /* borrowed from the pool */
    TargetIsa isa;                /* whose pool */
} Compilation;

/* LLVM's default handler prints and may exit. */
static void take_diagnostic(LLVMDiagnosticInfoRef info, void *context) {
    Emit *e = context;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    emit_fail(e, text);
    LLVMDisposeMessage(text);
}

static void compilation_close(Compilation *c) {
    Emit *e = &c->emit;
    if (e->b) LLVMDisposeBuilder(e->b);
    if (e->entry) LLVMDisposeBuilder(e->entry);
    if (e->side) LLVMDisposeBuilder(e->side);
    if (e->module) LLVMDisposeModule(e->module);
    if (e->context) LLVMContextDispose(e->context);
    if (c->machine) machine_give(c->isa, c->machine);
    arena_free(&e->arena);
}

#ifndef NDEBUG
static sn_status verify_module(Emit *e) {
    char *message = NULL;
    sn_status status = SN_OK;
    if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message))
        status = error_set(e->error, SN_ERROR_INTERNAL, "LLVM IR: %s", message);
    LLVMDisposeMessage(message);
    return status;
}
#else
static sn_status verify_module(Emit *e) {
    (void)e;
    return SN_OK;
}
#endif

/* Makes the module of a kernel; the caller closes the compilation whatever comes back. */
static sn_status compilation_open(Compilation *c, const Kernel *kernel, const Target *target,
                                  const Schedule *schedule, const char *name, sn_error *error) {
    Emit *e = &c->emit;
    *c = (Compilation){0};
    SN_ASSERT(target->kind == TARGET_CPU);
    if (target->cpu.isa != ISA_AVX2 && target->cpu.isa != ISA_AVX512)
        return error_set(error, SN_ERROR_UNSUPPORTED,
                         "the CPU code generator needs AVX2 and FMA (x86-64-v3)");
    c->isa = target->cpu.isa;
    c->machine = machine_take(c->isa, error);
    if (!c->machine) return SN_ERROR_UNSUPPORTED;
    e->kernel = kernel;
    e->target = &target->cpu;
    e->schedule = schedule;
    e->error = error;
    e->context = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(e->context, take_diagnostic, e);
    e->module = LLVMModuleCreateWithNameInContext(name, e->context);
    LLVMSetTarget(e->module, triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(c->machine);
    LLVMSetModuleDataLayout(e->module, layout);
    LLVMDisposeTargetData(layout);
    e->b = LLVMCreateBuilderInContext(e->context);
    e->entry = LLVMCreateBuilderInContext(e->context);
    e->side = LLVMCreateBuilderInContext(e->context);
    KContract contract;
    sn_status status = emit_open(e);
    if (status == SN_OK)
        status = kernel_contract(kernel, &e->loops, e->spread, &e->arena, &contract)
                     ? emit_contract(e, &contract, name)
                     : emit_kernel(e, name);
    return status == SN_OK ? verify_module(e) : status;
}

/* Machine code of the module as an object file or as assembly. */
static sn_status generate(Compilation *c, LLVMCodeGenFileType kind, LLVMMemoryBufferRef *buffer,
                          sn_error *error) {
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(c->machine, c->emit.module, kind, &message, buffer)) {
        error_set(error, SN_ERROR_COMPILE, "LLVM: %s", message);
        LLVMDisposeMessage(message);
        return SN_ERROR_COMPILE;
    }
    if (c->emit.status == SN_OK) return SN_OK;
    LLVMDisposeMemoryBuffer(*buffer);
    return c->emit.status;
}

/* ---- the table ------------------------------------------------------------------------------- */

static sn_status cpu_compile(const Kernel *kernel, const Target *target, const Schedule *schedule,
                             const char *name, CodeBlob *blob, sn_error *error) {
    Compilation c;
    LLVMMemoryBufferRef object = NULL;
    *blob = (CodeBlob){0};
    sn_status status = compilation_open(&c, kernel, target, schedule, name, error);
    if (status == SN_OK) status = generate(&c, LLVMObjectFile, &object, error);
    if (status == SN_OK) {
        const uint8_t *bytes = (const uint8_t *)LLVMGetBufferStart(object);
        status = object_flatten(bytes, LLVMGetBufferSize(object), name, blob, error);
        LLVMDisposeMemoryBuffer(object);
    }
    compilation_close(&c);
    return status;
}

static sn_status print_assembly(Compilation *c, StrBuf *out, sn_error *error) {
    LLVMMemoryBufferRef text = NULL;
    sn_status status = generate(c, LLVMAssemblyFile, &text, error);
    if (status != SN_OK) return status;
    strbuf_add_bytes(out, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
    LLVMDisposeMemoryBuffer(text);
    return SN_OK;
}

static sn_status cpu_print(const Kernel *kernel, const Target *target, const Schedule *schedule,
                           const char *name, BackendStage stage, StrBuf *out, sn_error *error) {
    Compilation c;
    sn_status status = compilation_open(&c, kernel, target, schedule, name, error);
    if (status == SN_OK && stage == STAGE_ASSEMBLY) {
        status = print_assembly(&c, out, error);
    } else if (status == SN_OK) {
        char *text = LLVMPrintModuleToString(c.emit.module);
        strbuf_add(out, text);
        LLVMDisposeMessage(text);
    }
    compilation_close(&c);
    if (status == SN_OK && out->failed) status = error_memory(error);
    return status;
}

static char version_text[32];

static void write_version(void) {
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    snprintf(version_text, sizeof version_text, "llvm-%u.%u.%u", major, minor, patch);
}

static const char *cpu_version(void) {
    static pthread_once_t version_once = PTHREAD_ONCE_INIT;
    pthread_once(&version_once, write_version);
    return version_text;
}

static void cpu_release(CodeBlob *blob) {
    mem_free(blob->bytes);
    *blob = (CodeBlob){0};
}

static const Backend backend = {
    .abi = BACKEND_ABI,
    .name = "cpu",
    .version = cpu_version,
    .compile = cpu_compile,
    .release = cpu_release,
    .print = cpu_print,
};

SN_API const Backend *sinter_backend(void);

const Backend *sinter_backend(void) {
    return &backend;
}
