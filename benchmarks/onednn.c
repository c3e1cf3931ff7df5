/* One product or one convolution by oneDNN, measured on request: `onednn THREADS` serves the lines of
 * shape_lines.h, in whichever way of oneDNN's takes least time: data in a layout of its choice or with
 * channels last, weights reordered beforehand or as they lie, matmul or inner product. It takes the C API of
 * versions 2 and 3. */
#include "shape_lines.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>

/* oneDNN's threads are libgomp's, whose header is gcc's own. */
void omp_set_num_threads(int threads);

static bool load(const Shape *shape, const Operands *operands, char how[64]);
static bool call(void);
static bool result(const Shape *shape, const Operands *operands);
static void unload(void);
static ShapeLibrary library = {.load = load, .call = call, .result = result, .unload = unload};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

/* What a primitive is of. */
typedef enum Operation { MATMUL, INNER_PRODUCT, CONVOLUTION } Operation;

/* Its operands. */
enum { SOURCE, WEIGHTS, BIAS, RESULT, OPERANDS };
static const struct {
    dnnl_query_t query; /* for the layout */
    int index;          /* of that query */
    int argument;       /* when it runs */
} operand_rows[OPERANDS] = {{dnnl_query_src_md, 0, DNNL_ARG_SRC},
                            {dnnl_query_weights_md, 0, DNNL_ARG_WEIGHTS},
                            {dnnl_query_weights_md, 1, DNNL_ARG_BIAS},
                            {dnnl_query_dst_md, 0, DNNL_ARG_DST}};

/* ---- the two versions of the API ------------------------------------------------------------- */

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t Layout; /* owned */
typedef const_dnnl_memory_desc_t LayoutRef;
#define REFERENCE(layout) (layout)

static dnnl_status_t layout_strided(Layout *layout, int rank, const dnnl_dims_t dims,
                                    const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(layout, rank, dims, dnnl_f32, strides);
}

static dnnl_status_t layout_any(Layout *layout, int rank, const dnnl_dims_t dims) {
    return dnnl_memory_desc_create_with_tag(layout, rank, dims, dnnl_f32, dnnl_format_tag_any);
}

static void layout_free(Layout *layout) {
    if (*layout) dnnl_memory_desc_destroy(*layout);
}

static dnnl_status_t desc_make(dnnl_primitive_desc_t *desc, Operation operation, const Shape *s,
                               Layout *l, dnnl_primitive_attr_t attr) {
    static const dnnl_dims_t no_dilation = {0};
    dnnl_dims_t stride = {s->stride[0], s->stride[1]}, padding = {s->padding[0], s->padding[1]};
    LayoutRef bias = s->bias ? l[BIAS] : NULL;
    if (operation == MATMUL)
        return dnnl_matmul_primitive_desc_create(desc, engine, l[SOURCE], l[WEIGHTS], bias,
                                                 l[RESULT], attr);
    if (operation == INNER_PRODUCT)
        return dnnl_inner_product_forward_primitive_desc_create(
            desc, engine, dnnl_forward_inference, l[SOURCE], l[WEIGHTS], bias, l[RESULT], attr);
    return dnnl_convolution_forward_primitive_desc_create(
        desc, engine, dnnl_forward_inference, dnnl_convolution_direct, l[SOURCE], l[WEIGHTS], bias,
        l[RESULT], stride, no_dilation, padding, padding, attr);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
}

#else

typedef dnnl_memory_desc_t Layout; /* a plain value */
typedef const dnnl_memory_desc_t *LayoutRef;
#define REFERENCE(layout) (&(layout))

static dnnl_status_t layout_strided(Layout *layout, int rank, const dnnl_dims_t dims,
                                    const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(layout, rank, dims, dnnl_f32, strides);
}

static dnnl_status_t layout_any(Layout *layout, int rank, const dnnl_dims_t dims) {
    return dnnl_memory_desc_init_by_tag(layout, rank, dims, dnnl_f32, dnnl_format_tag_any);
}

static void layout_free(Layout *layout) {
    (void)layout;
}

static dnnl_status_t desc_make(dnnl_primitive_desc_t *desc, Operation operation, const Shape *s,
                               Layout *l, dnnl_primitive_attr_t attr) {
    union {
        dnnl_matmul_desc_t matmul;
        dnnl_inner_product_desc_t inner;
        dnnl_convolution_desc_t convolution;
    } of;
    dnnl_dims_t stride = {s->stride[0], s->stride[1]}, padding = {s->padding[0], s->padding[1]};
    LayoutRef bias = s->bias ? &l[BIAS] : NULL;
    dnnl_status_t status;
    if (operation == MATMUL)
        status = dnnl_matmul_desc_init(&of.matmul, &l[SOURCE], &l[WEIGHTS], bias, &l[RESULT]);
    else if (operation == INNER_PRODUCT)
        status = dnnl_inner_product_forward_desc_init(&of.inner, dnnl_forward_inference, &l[SOURCE],
                                                      &l[WEIGHTS], bias, &l[RESULT]);
    else
        status = dnnl_convolution_forward_desc_init(
            &of.convolution, dnnl_forward_inference, dnnl_convolution_direct, &l[SOURCE],
            &l[WEIGHTS], bias, &l[RESULT], stride, padding, padding);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(desc, &of, attr, engine, NULL);
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
}

#endif

/* ---- operands as the server has them --------------------------------------------------------- */

/* An operand as a primitive sees it, in the server's memory. */
typedef struct Plain {
    int rank; /* dims that count */
    dnnl_dims_t dims, strides;
    float *data; /* its elements */
} Plain;

static Plain plain_product(Operation operation, const Shape *s, const Operands *o, int operand) {
    int64_t k_step = s->turned ? 1 : s->columns, column_step = s->turned ? s->inner : 1;
    bool inner = operation == INNER_PRODUCT;
    if (operand == SOURCE) return (Plain){2, {s->rows, s->inner}, {s->inner, 1}, o->x};
    if (operand == RESULT) return (Plain){2, {s->rows, s->columns}, {s->columns, 1}, o->y};
    if (operand == BIAS)
        return inner ? (Plain){1, {s->columns}, {1}, o->bias}
                     : (Plain){2, {1, s->columns}, {s->columns, 1}, o->bias};
    return inner ? (Plain){2, {s->columns, s->inner}, {column_step, k_step}, o->w}
                 : (Plain){2, {s->inner, s->columns}, {k_step, column_step}, o->w};
}

/* An image with channels last. */
static Plain plain_image(int64_t n, int64_t c, int64_t h, int64_t w, float *data) {
    return (Plain){4, {n, c, h, w}, {h * w * c, 1, w * c, c}, data};
}

static Plain plain_convolution(const Shape *s, const Operands *o, int operand) {
    int64_t taps = s->taps[0] * s->taps[1], in = s->channels / s->groups, out = s->out / s->groups;
    if (operand == SOURCE) return plain_image(s->batch, s->channels, s->height, s->width, o->x);
    if (operand == RESULT)
        return plain_image(s->batch, s->out, shape_size(s, 0), shape_size(s, 1), o->y);
    if (operand == BIAS) return (Plain){1, {s->out}, {1}, o->bias};
    if (s->groups == 1)
        return (Plain){
            4, {out, in, s->taps[0], s->taps[1]}, {in * taps, taps, s->taps[1], 1}, o->w};
    return (Plain){5,
                   {s->groups, out, in, s->taps[0], s->taps[1]},
                   {out * in * taps, in * taps, taps, s->taps[1], 1},
                   o->w};
}

static Plain plain_of(Operation operation, const Shape *s, const Operands *o, int operand) {
    return operation == CONVOLUTION ? plain_convolution(s, o, operand)
                                    : plain_product(operation, s, o, operand);
}

/* Copies between the server's memory and a primitive's. */
static dnnl_status_t reorder(dnnl_memory_t from, LayoutRef from_layout, dnnl_memory_t to,
                             LayoutRef to_layout) {
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&desc, from_layout, engine, to_layout, engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&primitive, desc);
    if (status == dnnl_success) status = dnnl_primitive_execute(primitive, stream, 2, args);
    if (status == dnnl_success) status = dnnl_stream_wait(stream);
    if (primitive) dnnl_primitive_destroy(primitive);
    if (desc) dnnl_primitive_desc_destroy(desc);
    return status;
}

/* ---- ways to compute a shape ----------------------------------------------------------------- */

typedef struct Way {
    const char *name;    /* for people */
    Operation operation; /* the primitive */
    bool any_data;       /* data lie as oneDNN likes them */
    bool any_weights;    /* weights do */
} Way;

static const Way ways[] = {
    {"matmul, packed", MATMUL, false, true},
    {"matmul", MATMUL, false, false},
    {"inner product, packed", INNER_PRODUCT, false, true},
    {"inner product, any layout", INNER_PRODUCT, true, true},
    {"convolution, any layout", CONVOLUTION, true, true},
    {"convolution, channels last", CONVOLUTION, false, true},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

/* A primitive with its operands. */
typedef struct Ready {
    const Way *way;                   /* NULL: there is none */
    dnnl_primitive_desc_t desc;       /* its operands' layouts */
    dnnl_primitive_t primitive;       /* the code */
    dnnl_memory_t memories[OPERANDS]; /* in those layouts; no bias: NULL */
} Ready;

static Ready ready; /* what is loaded */

static void ready_free(Ready *r) {
    for (int i = 0; i < OPERANDS; i++)
        if (r->memories[i]) dnnl_memory_destroy(r->memories[i]);
    if (r->primitive) dnnl_primitive_destroy(r->primitive);
    if (r->desc) dnnl_primitive_desc_destroy(r->desc);
    *r = (Ready){0};
}

static LayoutRef layout_of(const Ready *r, int operand) {
    return dnnl_primitive_desc_query_md(r->desc, operand_rows[operand].query,
                                        operand_rows[operand].index);
}

static dnnl_status_t make_attr(dnnl_primitive_attr_t *attr, bool relu) {
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status != dnnl_success || !relu) return status;
    status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success) status = append_relu(ops);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t make_primitive(Ready *r, const Shape *s, const Operands *o) {
    Layout layouts[OPERANDS] = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = make_attr(&attr, s->relu);
    for (int i = 0; i < OPERANDS && status == dnnl_success; i++) {
        Plain plain = plain_of(r->way->operation, s, o, i);
        bool any = i == WEIGHTS ? r->way->any_weights : i != BIAS && r->way->any_data;
        status = any ? layout_any(&layouts[i], plain.rank, plain.dims)
                     : layout_strided(&layouts[i], plain.rank, plain.dims, plain.strides);
    }
    if (status == dnnl_success) status = desc_make(&r->desc, r->way->operation, s, layouts, attr);
    if (status == dnnl_success) status = dnnl_primitive_create(&r->primitive, r->desc);
    if (attr) dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < OPERANDS; i++) layout_free(&layouts[i]);
    return status;
}

/* Copies an operand into the primitive's memory, or the result out of it. */
static dnnl_status_t move(const Ready *r, const Shape *s, const Operands *o, int operand) {
    Plain plain = plain_of(r->way->operation, s, o, operand);
    dnnl_memory_t mine = r->memories[operand], theirs = NULL;
    Layout layout = {0};
    dnnl_status_t status = layout_strided(&layout, plain.rank, plain.dims, plain.strides);
    if (status == dnnl_success)
        status = dnnl_memory_create(&theirs, REFERENCE(layout), engine, plain.data);
    if (status == dnnl_success)
        status = operand == RESULT
                     ? reorder(mine, layout_of(r, operand), theirs, REFERENCE(layout))
                     : reorder(theirs, REFERENCE(layout), mine, layout_of(r, operand));
    if (theirs) dnnl_memory_destroy(theirs);
    layout_free(&layout);
    return status;
}

static dnnl_status_t ready_make(Ready *r, const Way *way, const Shape *s, const Operands *o) {
    r->way = way;
    dnnl_status_t status = make_primitive(r, s, o);
    for (int i = 0; i < OPERANDS && status == dnnl_success; i++) {
        if (i == BIAS && !s->bias) continue;
        status = dnnl_memory_create(&r->memories[i], layout_of(r, i), engine, DNNL_MEMORY_ALLOCATE);
        if (status == dnnl_success && i != RESULT) status = move(r, s, o, i);
    }
    return status;
}

/* ---- the server's side ----------------------------------------------------------------------- */

static bool succeeded(dnnl_status_t status) {
    if (status == dnnl_success) return true;
    snprintf(library.error, sizeof library.error, "oneDNN says %d", (int)status);
    return false;
}

static bool call(void) {
    dnnl_exec_arg_t args[OPERANDS];
    int count = 0;
    for (int i = 0; i < OPERANDS; i++)
        if (ready.memories[i])
            args[count++] = (dnnl_exec_arg_t){operand_rows[i].argument, ready.memories[i]};
    dnnl_status_t status = dnnl_primitive_execute(ready.primitive, stream, count, args);
    return succeeded(status == dnnl_success ? dnnl_stream_wait(stream) : status);
}

static bool load(const Shape *s, const Operands *o, char how[64]) {
    static const double trial = 0.03; /* seconds of a way */
    Ready best = {0};
    double least = 0; /* of the best */
    const char *code = "";
    dnnl_status_t status = dnnl_unimplemented;
    for (int i = 0; i < WAYS; i++) {
        if ((s->kind == SHAPE_CONV) != (ways[i].operation == CONVOLUTION)) continue;
        ShapeTime time;
        dnnl_status_t made = ready_make(&ready, &ways[i], s, o);
        bool timed = made == dnnl_success && shape_time(&library, trial, &time);
        if (made != dnnl_success && !best.way) status = made;
        Ready worse = ready;
        if (timed && (!best.way || time.least < least)) {
            worse = best;
            best = ready;
            least = time.least;
        }
        ready = (Ready){0};
        ready_free(&worse);
    }
    ready = best;
    if (!best.way) return succeeded(status);
    dnnl_primitive_desc_query(best.desc, dnnl_query_impl_info_str, 0, (void *)&code);
    snprintf(how, 64, "%s, %.30s", best.way->name, code);
    return true;
}

static bool result(const Shape *s, const Operands *o) {
    return call() && succeeded(move(&ready, s, o, RESULT));
}

static void unload(void) {
    ready_free(&ready);
}

int main(int argc, char **argv) {
    int threads = argc == 2 ? atoi(argv[1]) : 0;
    if (threads < 1) {
        fputs("usage: onednn THREADS\n", stderr);
        return 2;
    }
    omp_set_num_threads(threads);
    dnnl_status_t status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (status != dnnl_success) {
        fprintf(stderr, "onednn: oneDNN says %d\n", (int)status);
        return 1;
    }
    const dnnl_version_t *version = dnnl_version();
    snprintf(library.version, sizeof library.version, "oneDNN %d.%d.%d", version->major,
             version->minor, version->patch);
    int exit_status = shape_serve(&library);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return exit_status;
}
