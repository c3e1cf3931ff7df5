/* `sinter bench --serve`: measures on request, for a comparison that alternates with another program.
 * Requests and answers are lines on standard input and output:
 *   load NAME              -> ok                          (inputs made, compiled, called)
 *   save FILE              -> ok                          (.safetensors: inputs x0, x1 …, result y)
 *   run eager|compiled S   -> ok SECONDS_A_CALL CALLS     (median over samples for about S seconds)
 *   roof                   -> ok SHARE                    (see roof_share)
 *   quit
 * A failure is answered with "error TEXT". */
#ifndef SINTER_SERVE_H
#define SINTER_SERVE_H

#include <sinter/compile.h>

/* Serves until "quit" or the end of the input; returns the exit status. */
int serve(sn_numerics numerics);

#endif
