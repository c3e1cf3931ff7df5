/* A recorded call on its way through Sinter: its arguments as C values, its tensors real or
 * proxies. The same evaluation runs eager and, inside a payload function, while it is traced. */
#ifndef SN_TESTS_OPINFO_CALL_H
#define SN_TESTS_OPINFO_CALL_H

#include "opinfo_case.h"

#define OPINFO_NOWHERE (-1) /* position of an argument that is passed by name only */

/* A call that is being evaluated. */
typedef struct OpinfoCall {
    const OpinfoCase *recorded;              /* what was called */
    sn_tensor *const *inputs;                /* in place of recorded->inputs */
    sn_tensor *results[OPINFO_MOST_TENSORS]; /* what came out */
    int32_t n_results;                       /* how many */
    bool first_only;    /* they are the first of the recorded ones, the others we have not */
    const char *skip;   /* why there is no such call here, or NULL */
    bool asks_defined;  /* `defined` is wanted */
    sn_tensor *defined; /* where C, and so PyTorch, defines the first result; NULL = all */
} OpinfoCall;

/* The first operand, as a tensor. A call with numbers alone is Python's own arithmetic, in f64 or
 * i64. */
sn_tensor *call_self(OpinfoCall *call);
/* Argument number `position` behind the first operand, or the one of that name; NULL if it is
 * absent or null. */
const cJSON *call_arg(const OpinfoCall *call, int position, const char *name);
/* It as an operand: the tensor, or a number as a weak scalar. */
sn_tensor *call_operand(OpinfoCall *call, const cJSON *node);
sn_tensor *call_tensor(OpinfoCall *call, int position, const char *name);
/* It as a C value; a tensor is read. The fallback where it is absent. */
int64_t call_int(OpinfoCall *call, int position, const char *name, int64_t fallback);
double call_float(OpinfoCall *call, int position, const char *name, double fallback);
bool call_bool(OpinfoCall *call, int position, const char *name, bool fallback);
sn_dtype call_dtype(const OpinfoCall *call, int position, const char *name, sn_dtype fallback);
const char *call_text(const OpinfoCall *call, int position, const char *name, const char *fallback);
/* A list of integers, one, or a tensor of them, which is read; returns how many (at most
 * OPINFO_MOST_TENSORS). */
int32_t call_ints(OpinfoCall *call, const cJSON *node, int64_t *values);
/* The tensors of a list. */
int32_t call_list(OpinfoCall *call, const cJSON *node, sn_tensor **tensors);
bool call_is_tensor(const cJSON *node);
double call_number(OpinfoCall *call, const cJSON *node);

/* How an evaluation ends. */
bool call_gives(OpinfoCall *call, sn_tensor *result);
bool call_gives_two(OpinfoCall *call, sn_tensor *first, sn_tensor *second);
bool call_skip(OpinfoCall *call, const char *reason);
/* The form itself refuses it, as a program's own function may: the error is the program's. */
bool opinfo_refuse(OpinfoCall *call, sn_status status, const char *text);

#endif
