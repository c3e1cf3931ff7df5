/* Fusion, siblings: groups that read the same memory are merged side by side. */
#include "base/status.h"
#include "passes/fuse/fuser.h"

/* The group that `own` merges with for the sake of a value that both read; GROUP_NONE when there is none.
 * `reader` has the first group that reads each value. */
static int32_t merge_with_reader(Fuser *f, int32_t own, const ReadList *reads, int32_t *reader) {
    for (uint32_t i = 0; i < reads->count; i++) {
        NodeId read = reads->data[i].node;
        if (dim_hint(f->graph->table, node_count(f->graph, read)) < 2 ||
            f->fusion->group_of[read] == own)
            continue;
        int32_t other = reader[read];
        Group joined;
        if (other == GROUP_NONE || other == own || f->fusion->groups.data[other].dead)
            reader[read] = own;
        else if (fuser_can_merge(f, other, own, &joined) == REFUSE_NONE &&
                 fuser_merge(f, other, own, &joined))
            return other;
    }
    return GROUP_NONE;
}

/* Merges the group as often as it can be; what comes of it is looked at from its first member on. */
static sn_status fuse_sibling(Fuser *f, int32_t own, int32_t *reader) {
    for (uint32_t m = 0; m < f->fusion->groups.data[own].members.count;) {
        const Group *group = &f->fusion->groups.data[own];
        if (!flat_space(group, &f->space)) return error_memory(f->context->error);
        f->reads.count = 0;
        if (!reads_of(f->graph, f->fusion, group, group->members.data[m++], &f->space, &f->reads))
            continue;
        ReadList reads = f->reads; /* fuser_can_merge reuses the list */
        f->reads = (ReadList){0};
        int32_t merged = merge_with_reader(f, own, &reads, reader);
        vec_free(&f->reads);
        f->reads = reads;
        if (merged == GROUP_NONE) continue;
        own = merged;
        m = 0;
    }
    return SN_OK;
}

sn_status fuse_siblings(Fuser *f) {
    uint32_t count = f->fusion->groups.count;
    int32_t *reader = arena_alloc(&f->context->arena, sizeof *reader * (f->graph->nodes.count + 1));
    if (!reader) return error_memory(f->context->error);
    for (uint32_t i = 0; i < f->graph->nodes.count; i++) reader[i] = GROUP_NONE;
    for (uint32_t g = 0; g < count; g++) {
        if (f->fusion->groups.data[g].dead) continue;
        sn_status status = fuse_sibling(f, (int32_t)g, reader);
        if (status != SN_OK) return status;
    }
    return SN_OK;
}
