/* Products of labelled tensors; see labels.h. A product over labels is a matmul: of two operands' axes some
 * are in both and in the result (batch), some in one (rows, columns), some in both and summed (inner). Each
 * operand is permuted so that they follow one another, and those of a kind become one axis where a matmul
 * has but one for them. No bit depends on the order of rows and columns, so that of the operand stays: what
 * lies together in memory is one axis without a copy. */
#include "frontend/op/labels.h"

#include "ir/op/type.h"

LabelSet labelled_set(const Labelled *x) {
    LabelSet set = 0;
    for (int32_t i = 0; x->tensor && i < x->tensor->rank; i++) set |= label_set(x->labels[i]);
    return set;
}

/* Where x has the label; -1: nowhere. */
static int32_t axis_of(const Labelled *x, int32_t label) {
    for (int32_t i = 0; i < x->tensor->rank; i++)
        if (x->labels[i] == label) return i;
    return -1;
}

Labelled labelled_sum(const Labelled *x, LabelSet sums, Site site) {
    Labelled y = {.tensor = x->tensor};
    int64_t axes[SN_MAX_RANK];
    int32_t count = 0, kept = 0;
    if (!x->tensor || !sums) return *x;
    for (int32_t i = 0; i < x->tensor->rank; i++) {
        if (sums & label_set(x->labels[i]))
            axes[count++] = i;
        else
            y.labels[kept++] = x->labels[i];
    }
    y.tensor = sn_sum_at(x->tensor, axes, count, false, site.file, site.line);
    return y;
}

sn_tensor *labelled_order(const Labelled *x, const uint8_t *order, int32_t count, Site site) {
    int64_t axes[SN_MAX_RANK];
    bool as_is = true;
    if (!x->tensor) return NULL;
    for (int32_t i = 0; i < count; i++) {
        axes[i] = axis_of(x, order[i]);
        as_is = as_is && axes[i] == i;
    }
    return as_is ? x->tensor : dispatch_list(OP_PERMUTE, x->tensor, axes, count, site);
}

/* ---- kinds of axes --------------------------------------------------------------------------- */

/* Axes of one kind, in the order in which they follow one another. */
typedef struct Axes {
    uint8_t labels[SN_MAX_RANK]; /* what they are called */
    int64_t sizes[SN_MAX_RANK];  /* the larger of both operands' */
    int32_t count;               /* how many */
} Axes;

/* A product on its way. */
typedef struct Product {
    const Labelled *x, *y;     /* operands: rows are x's, columns are y's */
    Axes batch, rows, columns; /* of the result, in this order */
    Axes inner;                /* summed */
    Site site;                 /* the program's line */
} Product;

static int64_t size_of(const Labelled *x, int32_t label) {
    int32_t axis = axis_of(x, label);
    return axis < 0 ? 1 : x->tensor->dims[axis];
}

static void add_axis(Axes *axes, const Labelled *x, const Labelled *y, int32_t label) {
    int64_t size = size_of(x, label);
    axes->labels[axes->count] = (uint8_t)label;
    axes->sizes[axes->count++] = size == 1 ? size_of(y, label) : size;
}

/* Axes of x, in its order, whose labels are in the set. */
static Axes axes_in(const Labelled *x, const Labelled *y, LabelSet set) {
    Axes axes = {.count = 0};
    for (int32_t i = 0; i < x->tensor->rank; i++)
        if (set & label_set(x->labels[i])) add_axis(&axes, x, y, x->labels[i]);
    return axes;
}

/* Rows may be many axes, columns are one: what has more axes is rows. */
static Product product_of(const Labelled *x, const Labelled *y, LabelSet sums, Site site) {
    LabelSet in_x = labelled_set(x), in_y = labelled_set(y), both = in_x & in_y;
    Axes of_x = axes_in(x, y, in_x & ~both), of_y = axes_in(y, x, in_y & ~both);
    Product p = {.x = x, .y = y, .rows = of_x, .columns = of_y, .site = site};
    if (sums && of_y.count > of_x.count)
        p = (Product){.x = y, .y = x, .rows = of_y, .columns = of_x, .site = site};
    p.batch = axes_in(p.x, p.y, both & ~sums);
    for (int32_t label = 0; label < LABEL_MOST; label++)
        if (sums & label_set(label)) add_axis(&p.inner, x, y, label);
    return p;
}

/* ---- operands -------------------------------------------------------------------------------- */

/* An operand as a matmul takes it: its axes kind by kind. */
typedef struct Operand {
    const Labelled *from;       /* whose axes they are */
    uint8_t order[SN_MAX_RANK]; /* labels, in turn */
    int64_t dims[SN_MAX_RANK];  /* what they become */
    int64_t full[SN_MAX_RANK];  /* sizes of the axes in turn, those that are repeated in full */
    int32_t count, rank;        /* axes, dims */
    bool repeats, regroups;     /* are the axes not as `full`, and the dims not as the axes? */
} Operand;

/* The axes as so many dims, whose sizes of 1 the op repeats, or joined to one, in full. */
static void take_axes(Operand *o, const Axes *axes, bool join) {
    for (int32_t i = 0; i < axes->count; i++) {
        int64_t own = size_of(o->from, axes->labels[i]), full = join ? axes->sizes[i] : own;
        o->repeats = o->repeats || full != own;
        o->order[o->count] = axes->labels[i];
        o->full[o->count++] = full;
        if (!join) o->dims[o->rank++] = full;
    }
    if (!join) return;
    o->dims[o->rank++] = sizes_count(axes->sizes, axes->count);
    o->regroups = o->regroups || axes->count != 1;
}

/* Dims of size 1, where some stand in front of them. */
static void take_ones(Operand *o, int32_t count) {
    if (o->count == 0) return;
    for (int32_t i = 0; i < count; i++) o->dims[o->rank++] = 1;
    o->regroups = o->regroups || count > 0;
}

static sn_tensor *make_operand(const Operand *o, Site site) {
    sn_tensor *x = labelled_order(o->from, o->order, o->count, site);
    if (x && o->repeats) x = dispatch_list(OP_EXPAND, x, o->full, o->count, site);
    if (x && o->regroups) x = dispatch_list(OP_RESHAPE, x, o->dims, o->rank, site);
    return x;
}

static sn_tensor *multiply(const Operand *x, const Operand *y, OpCode op, Site site) {
    sn_tensor *of_x = make_operand(x, site), *of_y = of_x ? make_operand(y, site) : NULL;
    return of_y ? dispatch_op(op, (sn_tensor *[]){of_x, of_y}, 2, &no_attrs, NULL, site) : NULL;
}

/* ---- products -------------------------------------------------------------------------------- */

/* [batch…, rows…, 1…] times [batch…, 1…, columns…]. */
static sn_tensor *multiply_all(const Product *p) {
    Operand x = {.from = p->x}, y = {.from = p->y};
    take_axes(&x, &p->batch, false);
    take_axes(&x, &p->rows, false);
    take_ones(&x, p->columns.count);
    take_axes(&y, &p->batch, false);
    take_ones(&y, p->rows.count);
    take_axes(&y, &p->columns, false);
    return multiply(&x, &y, OP_MUL, p->site);
}

/* [rows…, inner] times [inner, columns], or [inner] where there are no columns. With a batch in front of
 * both rows and columns are one axis each, and so is a batch of too many. */
static sn_tensor *multiply_and_sum(const Product *p, const int64_t *dims, int32_t rank) {
    Operand x = {.from = p->x}, y = {.from = p->y};
    bool batched = p->batch.count > 0, join = p->batch.count + 2 > SN_MAX_RANK;
    take_axes(&x, &p->batch, join);
    take_axes(&x, &p->rows, batched);
    take_axes(&x, &p->inner, true);
    take_axes(&y, &p->batch, join);
    take_axes(&y, &p->inner, true);
    if (batched || p->columns.count) take_axes(&y, &p->columns, true);
    sn_tensor *z = multiply(&x, &y, OP_MATMUL, p->site);
    bool as_is =
        batched ? !join && p->rows.count == 1 && p->columns.count == 1 : p->columns.count <= 1;
    return !z || as_is ? z : dispatch_list(OP_RESHAPE, z, dims, rank, p->site);
}

/* Axes of the result, behind those that it has so far. */
static int32_t give_axes(const Axes *axes, uint8_t *labels, int64_t *dims, int32_t rank) {
    memcpy(labels + rank, axes->labels, (size_t)axes->count);
    memcpy(dims + rank, axes->sizes, sizeof *dims * (size_t)axes->count);
    return rank + axes->count;
}

Labelled labelled_product(const Labelled *x, const Labelled *y, LabelSet sums, const char *op,
                          Site site) {
    Labelled z = {.tensor = NULL};
    int64_t dims[SN_MAX_RANK];
    if (!x->tensor || !y->tensor) return z;
    Product p = product_of(x, y, sums, site);
    int32_t rank = p.batch.count + p.rows.count + p.columns.count;
    if (rank > SN_MAX_RANK) {
        error_raise(SN_ERROR_SHAPE, site, "%s: a product of two operands has %d dims, at most %d",
                    op, (int)rank, SN_MAX_RANK);
        return z;
    }
    rank = give_axes(&p.batch, z.labels, dims, 0);
    rank = give_axes(&p.rows, z.labels, dims, rank);
    rank = give_axes(&p.columns, z.labels, dims, rank);
    z.tensor = sums ? multiply_and_sum(&p, dims, rank) : multiply_all(&p);
    return z;
}
