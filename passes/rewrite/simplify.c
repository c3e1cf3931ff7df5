/* simplify: makes every node again through graph_emit, so that folding and value numbering see it among
 * what decompose made, and leaves dead nodes behind. */
#include "passes/rewrite/rewrite.h"

sn_status pass_simplify(PassContext *context) {
    return rewrite_graph(context, &rewrite_live);
}
