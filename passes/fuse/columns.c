/* Fusion, columns: what only the results of products read, at places that hang on the column alone, is
 * computed inside their kernels, once for all rows of a block. The scale and the shift that a norm makes of
 * its weights are such values: kernels of their own would be launched for some hundred elements. */
#include "base/status.h"
#include "ir/graph/view_graph.h"
#include "passes/fuse/fuser.h"

enum {
    MOST_MEMBERS = 16, /* of such a group */
    FEWEST_COLUMNS = 2 /* one element is no column's */
};

/* A product's group reads a candidate. */
typedef struct Demand {
    uint32_t candidate; /* its group */
    uint32_t product;   /* the product's */
} Demand;

typedef struct Columns {
    Fuser *f;           /* the groups */
    bool *candidate;    /* by group */
    VEC(Demand) demand; /* by product */
} Columns;

static bool is_product(const Group *group) {
    return !group->dead && group->order == REDUCE_CHAIN;
}

/* Is the node pointwise, and its value none that must lie in memory? */
static bool may_hoist(const Fuser *f, NodeId id) {
    return f->fusion->roles[id] == ROLE_MEMBER &&
           op_is((OpCode)graph_node(f->graph, id)->op, CLASS_POINTWISE) &&
           !op_makes_memory((OpCode)graph_node(f->graph, id)->op) &&
           !f->fusion->writes.writes[id] && f->fusion->writes.writer[id] == NODE_NONE;
}

/* A map of a few nodes, of whose operands none is overwritten. */
static bool find_candidate(Columns *c, const Group *group) {
    Fuser *f = c->f;
    if (group->dead || group_has_k(group)) return true;
    if (group->members.count > MOST_MEMBERS) return true;
    for (uint32_t m = 0; m < group->members.count; m++)
        if (!may_hoist(f, group->members.data[m])) return true;
    f->reads.count = 0;
    if (!flat_space(group, &f->space)) return false;
    for (uint32_t m = 0; m < group->members.count; m++)
        if (!reads_of(f->graph, f->fusion, group, group->members.data[m], &f->space, &f->reads))
            return false;
    for (uint32_t i = 0; i < f->reads.count; i++)
        if (f->fusion->writes.writer[f->reads.data[i].node] != NODE_NONE) return true;
    c->candidate[group - f->fusion->groups.data] = true;
    return true;
}

/* Is what a product's member reads one element for each column? */
static bool read_by_column(const Fuser *f, const Group *product, NodeId reader, const Read *read) {
    DimTable *table = f->graph->table;
    if (op_is((OpCode)graph_node(f->graph, reader)->op, CLASS_REDUCE)) return false;
    Level level = group_level(table, product, node_count(f->graph, reader));
    bool by_column = read->index.count == 1 && read->index.terms[0].symbol == AXIS_B;
    return level == LEVEL_ROW && by_column && dim_hint(table, product->b) >= FEWEST_COLUMNS;
}

static bool add_demand(Columns *c, uint32_t candidate, uint32_t product) {
    const Demand *last = c->demand.count ? &vec_last(&c->demand) : NULL;
    if (last && last->candidate == candidate && last->product == product) return true;
    return vec_push(&c->demand, ((Demand){candidate, product}));
}

static bool note_demand(Columns *c, uint32_t number) {
    Fuser *f = c->f;
    const Group *group = &f->fusion->groups.data[number];
    if (group->dead) return true;
    if (!flat_space(group, &f->space)) return false;
    for (uint32_t m = 0; m < group->members.count; m++) {
        NodeId id = group->members.data[m];
        f->reads.count = 0;
        if (!reads_of(f->graph, f->fusion, group, id, &f->space, &f->reads)) return false;
        for (uint32_t i = 0; i < f->reads.count; i++) {
            const Read *read = &f->reads.data[i];
            int32_t from = f->fusion->group_of[read->node];
            if (from == GROUP_NONE || from == (int32_t)number || !c->candidate[from]) continue;
            if (!is_product(group) || !read_by_column(f, group, id, read))
                c->candidate[from] = false;
            else if (!add_demand(c, (uint32_t)from, number))
                return false;
        }
    }
    return true;
}

/* What lies in memory for others is computed by a kernel of its own. */
static void drop_results(Columns *c) {
    const Fuser *f = c->f;
    for (uint32_t i = 0; i < f->graph->outputs.count; i++) {
        int32_t group = f->fusion->group_of[view_base(f->graph, f->graph->outputs.data[i].node)];
        if (group != GROUP_NONE) c->candidate[group] = false;
    }
}

/* All products that read a candidate have room for it, or it stays what it is. */
static void take_room(Columns *c) {
    for (uint32_t i = 0; i < c->demand.count; i++) {
        const Demand *d = &c->demand.data[i];
        if (c->candidate[d->candidate] && !fuser_take_room(c->f, d->product, d->candidate))
            c->candidate[d->candidate] = false;
    }
}

static void compute_in_products(Columns *c) {
    Fusion *fusion = c->f->fusion;
    for (uint32_t i = 0; i < c->demand.count; i++) {
        const Demand *d = &c->demand.data[i];
        Group *group = &fusion->groups.data[d->candidate];
        if (!c->candidate[d->candidate]) continue;
        fusion->groups.data[d->product].hoists = true;
        group->dead = true;
        for (uint32_t m = 0; m < group->members.count; m++) {
            fusion->roles[group->members.data[m]] = ROLE_INLINE;
            fusion->group_of[group->members.data[m]] = GROUP_NONE;
        }
    }
}

static sn_status find_and_move(Columns *c) {
    const Fusion *fusion = c->f->fusion;
    bool products = false, ok = true;
    for (uint32_t g = 0; g < fusion->groups.count; g++)
        products = products || is_product(&fusion->groups.data[g]);
    if (!products) return SN_OK;
    for (uint32_t g = 0; ok && g < fusion->groups.count; g++)
        ok = find_candidate(c, &fusion->groups.data[g]);
    drop_results(c);
    for (uint32_t g = 0; ok && g < fusion->groups.count; g++) ok = note_demand(c, g);
    if (!ok) return error_memory(c->f->context->error);
    take_room(c);
    compute_in_products(c);
    return SN_OK;
}

sn_status fuse_columns(Fuser *f) {
    Columns c = {.f = f,
                 .candidate = arena_zalloc(&f->context->arena, f->fusion->groups.count + 1)};
    if (!c.candidate) return error_memory(f->context->error);
    sn_status status = find_and_move(&c);
    vec_free(&c.demand);
    return status;
}
