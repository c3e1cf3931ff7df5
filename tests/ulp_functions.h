/* The functions that tests/ulp measures, with what they are: as formulas of the C library's double and
 * long double and, where that was found, of MPFR. */
#ifndef SINTER_TESTS_ULP_FUNCTIONS_H
#define SINTER_TESTS_ULP_FUNCTIONS_H

#include <sinter/sinter.h>

#ifdef ULP_MPFR
#include <mpfr.h>
enum { ULP_PRECISION = 256 }; /* bits of a reference */
typedef void UlpExact(mpfr_ptr result, mpfr_srcptr x, mpfr_srcptr y);
#else
typedef void UlpExact(void);
#endif

typedef sn_tensor *UlpApply(sn_tensor *x, sn_tensor *y);

/* One function. */
typedef struct UlpFunction {
    const char *op;                 /* the row of ir/op/op.def */
    const char *label;              /* in the table: the op, and which of its forms */
    UlpApply *apply;                /* the op; y is NULL where it has one operand */
    bool is_binary;                 /* has it two operands */
    double (*wide)(double, double); /* reference for f32 and half types */
    long double (*widest)(long double, long double); /* reference for f64 */
    UlpExact *exact;                                 /* the same by MPFR, or NULL */
    double low, high; /* where half of the f64 arguments lie; of two operands, exponents */
} UlpFunction;

extern const UlpFunction ulp_functions[];
extern const int ulp_function_count;

/* Whether every pointwise op that gives floats has a row or is known to round but once; else a message
 * names the one that lacks it. */
bool ulp_functions_are_complete(void);

#endif
