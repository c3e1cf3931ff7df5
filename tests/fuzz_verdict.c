/* Verdicts of the fuzzer; see fuzz_verdict.h. */
#include "tests/fuzz_verdict.h"

#include <stdarg.h>
#include <stdio.h>

const char *const fuzz_failure_names[FUZZ_FAILURE_COUNT] = {
    [FUZZ_FINE] = "fine",
    [FUZZ_CRASH] = "crash",
    [FUZZ_HANG] = "hang",
    [FUZZ_SETUP] = "setup",
    [FUZZ_STATUS] = "status",
    [FUZZ_LAYOUT] = "layout",
    [FUZZ_BITS] = "bits",
    [FUZZ_WRITTEN] = "written",
    [FUZZ_GENERATOR] = "generator",
    [FUZZ_FELL_BACK] = "fell back",
    [FUZZ_NO_HIT] = "no hit",
    [FUZZ_NO_MISS] = "no miss",
    [FUZZ_ORACLE] = "oracle",
    [FUZZ_ORACLE_GRAPH] = "oracle graph",
    [FUZZ_LEFT_BEHIND] = "left behind",
    [FUZZ_ISA] = "instruction set",
};

FuzzVerdict fuzz_fine(void) {
    return (FuzzVerdict){.failure = FUZZ_FINE};
}

FuzzVerdict fuzz_fail(FuzzFailure failure, const char *format, ...) {
    FuzzVerdict verdict = {.failure = failure};
    va_list args;
    va_start(args, format);
    vsnprintf(verdict.text, sizeof verdict.text, format, args);
    va_end(args);
    return verdict;
}
