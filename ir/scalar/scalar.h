/* Scalar definitions: the one place that says what pointwise ops compute. */
#ifndef SN_IR_SCALAR_SCALAR_H
#define SN_IR_SCALAR_SCALAR_H

#include "ir/kernel/kernel.h"

/* Appends the primitives that `op` is made of: any POINTWISE row but those with double attributes, which
 * decompose replaces. Inputs are in the compute type (f32, f64, integers, bool) already, `dtype` is the
 * result's, attrs are as in the graph. KVALUE_NONE with the error set. */
KValue scalar_expand(KBuilder *b, OpCode op, sn_dtype dtype, const KValue *inputs, int32_t n_inputs,
                     AttrView attrs, sn_error *error);

#endif
