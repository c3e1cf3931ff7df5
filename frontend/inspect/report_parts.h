/* What the parts of the report share, and what they are. */
#ifndef SN_FRONTEND_INSPECT_REPORT_PARTS_H
#define SN_FRONTEND_INSPECT_REPORT_PARTS_H

#include "frontend/inspect/param_names.h"
#include "frontend/inspect/report.h"
#include "passes/pass.h"

enum { REPORT_PASSES = 16 };

typedef struct Report {
    sn_compiled *compiled;             /* the function */
    const TraceNote *latest;           /* its latest trace, in which an instance ran */
    const ReportOptions *options;      /* how much of it */
    ParamNames names;                  /* of its parameters */
    StrBuf *out;                       /* the page */
    int64_t begin;                     /* nanoseconds, when the pass at hand began */
    const char *passes[REPORT_PASSES]; /* by pass: its name … */
    int64_t pass_ns[REPORT_PASSES];    /* … and how long it took */
    int32_t n_passes;                  /* so far */
    int32_t *step_of; /* by group of the fusion: the step of the program; -1: none */
} Report;

/* The step that carries out a node; -1: none does by itself. */
static inline int32_t report_step(const Report *r, const PassContext *context, NodeId node) {
    int32_t group = context->fusion.group_of[node];
    return group < 0 ? -1 : r->step_of[group];
}

/* Source lines and the kernels that they went to. (report_source.c) */
void report_source(const Report *report, const PassContext *context);
/* Kernels with their times, of what ran, and their code. (report_kernels.c) */
void report_kernels(const Report *report, const PassContext *context);
void report_code(const Report *report, const PassContext *context);
/* Nodes and edges, in the colours of their kernels. (report_picture.c) */
void report_picture(const Report *report, const PassContext *context);

#endif
