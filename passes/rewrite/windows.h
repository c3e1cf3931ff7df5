/* Inside the rewrite of windows (windows.c): what rules of convolutions and pools share. */
#ifndef SN_PASSES_REWRITE_WINDOWS_H
#define SN_PASSES_REWRITE_WINDOWS_H

#include "ir/infer/window.h"
#include "ir/op/dtype.h"
#include "passes/rewrite/rewrite.h"

/* Of the pass while it runs. */
typedef struct LastChannels {
    /* By node: a permute of what was computed with channels last; nodes that are not there are none. */
    VEC(bool) views;
    /* By node: what was computed with groups as an axis, of which it is such a view; NODE_NONE: nothing. */
    VEC(NodeId) grouped;
} LastChannels;

/* Axes of [n, spatial…, channels] in the order [n, channels, spatial…], and back: permutes. */
NodeId channels_first(GraphBuilder *b, NodeId x);
NodeId channels_last(GraphBuilder *b, NodeId x);
/* Is x, of the new graph, a view of what was computed with channels last? What is it a view of? */
bool windows_last(const Rewrite *r, NodeId x);
NodeId windows_under(const Rewrite *r, NodeId view);
/* y, [n, spatial…, channels], as the program sees it: such a view. */
NodeId windows_view(Rewrite *r, NodeId y);
/* The same of groups: [n, groups, spatial…, channels of a group], and what such a view is of, or NODE_NONE.
 * A reader that does not know of groups finds channels side by side under the view. */
NodeId windows_view_groups(Rewrite *r, NodeId y);
NodeId windows_groups(const Rewrite *r, NodeId view);
/* [n, groups, spatial…, channels] as [n, spatial…, groups, channels]. */
NodeId windows_groups_last(GraphBuilder *b, NodeId y);
/* [n, spatial…, channels], or an operand that repeats along some of these, with groups as an axis. */
NodeId windows_split(GraphBuilder *b, NodeId x, Dim groups, Dim channels);
/* x with axes of size 1 in front, so many in all. */
NodeId windows_rank(GraphBuilder *b, NodeId x, int32_t rank);
/* x, padded, by windows of its axes from `first` on: their elements are new axes behind all others. */
NodeId windows_of_axes(GraphBuilder *b, NodeId x, const Windows *w, int32_t first, double padding);
/* Elements of a window. */
Dim windows_taps(DimTable *table, const Windows *w);

/* windows_conv.c, windows_pool.c, windows_fold.c */
RewriteRule rule_conv, rule_conv_transpose, rule_max_pool, rule_avg_pool, rule_pool_indices,
    rule_adaptive_avg_pool, rule_adaptive_max_pool, rule_adaptive_pool_indices;
RewriteRule rule_unfold, rule_fold;

#endif
