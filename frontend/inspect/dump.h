/* What the passes make of a graph, stage by stage, as text. */
#ifndef SN_FRONTEND_INSPECT_DUMP_H
#define SN_FRONTEND_INSPECT_DUMP_H

#include "ir/graph/graph.h"

/* Adds the text of a stage, as sn_graph_dump names them, to `out`. Passes may add expressions to the
 * graph's table. */
sn_status dump_graph(const Graph *graph, const char *stage, StrBuf *out, sn_error *error);
/* Where a function of the program's puts what went wrong: in its error, or, where that is NULL, in the
 * thread's, which dump_end_error raises. */
sn_error *dump_begin_error(sn_error *given, sn_error *own);
void dump_end_error(const sn_error *given, const sn_error *own);
/* The text as a string of the caller's; NULL, with the text freed, where `status` is an error or
 * memory is out. */
char *dump_finish(StrBuf *text, sn_status status, sn_error *error);

#endif
