/* Convolutions and pools by the library's own kernels against the plain C loops of window_loops.h. One bit
 * pattern: eager and compiled, for its own sizes and for any, with the weight where it lies and packed, with
 * any number of threads, in any layout, behind and before other ops.
 *
 *     convolutions [--seed S] [--count N]
 *
 * prints the first failures, cut down, and exits with 1 where there is one. */
#include "tests/fuzz_program.h"
#include "tests/window_loops.h"

#include "runtime/weights.h"

#include <sinter/sinter.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seeds that follow one another share a function, most of whose kernels are compiled by the first of them. */
enum { FAMILY = 10 };
enum { MOST_STEPS = 2000000, MOST_SHOWN = 5, CALLS = 4, MOST_RANK = WINDOW_AXES + 2 };
enum {
    MOST_ELEMENTS = 60000, /* of x, and of the result */
    MOST_TAPS = 31         /* of pools: one chunk of a sum */
};

static FuzzRandom drawn;

static int64_t below(int64_t bound) {
    return fuzz_below(&drawn, bound);
}

/* One of the numbers. */
#define PICK(...)                                                                                  \
    ((const int64_t[]){__VA_ARGS__}[below(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))])

/* Fails for good: it is the test that is wrong, or the library refused. */
static void expect(bool condition) {
    if (condition) return;
    printf("it does not run: %s\n", sn_error_text());
    exit(1);
}

/* ---- the function ---------------------------------------------------------------------------- */

/* What becomes of x. */
typedef enum Before { BEFORE_NONE, BEFORE_HALF, BEFORE_RELU, BEFORES } Before;
static const char *const before_names[BEFORES] = {"x", "x * 0.375", "relu(x)"};

/* What becomes of the result. */
typedef enum Behind {
    BEHIND_NONE,
    BEHIND_RELU,
    BEHIND_GATE, /* of each channel a number */
    BEHIND_NORM, /* batch norm, a tensor of that shape, relu */
    BEHIND_CONV, /* relu, and a convolution of one tap */
    BEHIND_MAX,
    BEHIND_AVERAGE,
    BEHINDS
} Behind;
static const char *const behind_names[BEHINDS] = {"nothing",  "relu",     "a gate",     "norm",
                                                  "one more", "max_pool", "an avg_pool"};

/* What is computed. */
typedef struct Function {
    WindowCall call; /* between the two below */
    int32_t axes;    /* spatial ones that there are, the last ones of `call` */
    bool batched;    /* x has a dim for the batch */
    Before before;   /* what stands in front of it */
    Behind behind;   /* what follows */
    int64_t next;    /* BEHIND_CONV: channels of the result */
} Function;

/* What it is computed of. All but x may be absent. */
typedef enum Operand {
    X,
    W,
    B,
    NUMBERS, /* some for each channel of the result: [NUMBERS_OF_EACH, channels] */
    REST,    /* as large as the result */
    NEXT,    /* the weight of BEHIND_CONV */
    OPERANDS
} Operand;
enum { NUMBERS_OF_EACH = 4 };

static int64_t channels_of(const WindowCall *c) {
    return c->groups * (c->op == WINDOW_CONV ? c->out : c->in);
}

/* The convolution or pool that follows. */
static WindowCall next_call(const Function *f) {
    static const WindowCall of_behind[BEHINDS] = {
        [BEHIND_CONV] = {.op = WINDOW_CONV, .taps[2] = 1, .stride[2] = 1},
        [BEHIND_MAX] = {.op = WINDOW_MAX, .taps[2] = 3, .stride[2] = 2, .padding[2] = 1},
        [BEHIND_AVERAGE] = {
            .op = WINDOW_AVERAGE, .taps[2] = 2, .stride[2] = 3, .padding[2] = 1, .ceil = true}};
    WindowCall next = of_behind[f->behind];
    next.batch = f->call.batch;
    next.groups = 1;
    next.in = channels_of(&f->call);
    next.out = f->behind == BEHIND_CONV ? f->next : next.in;
    for (int32_t i = 0; i < WINDOW_AXES; i++) {
        bool there = i >= WINDOW_AXES - f->axes;
        next.size[i] = window_count(&f->call, i);
        next.taps[i] = there ? next.taps[2] : 1;
        next.stride[i] = there ? next.stride[2] : 1;
        next.padding[i] = there ? next.padding[2] : 0;
        next.dilation[i] = 1;
    }
    return next;
}

typedef sn_tensor *Conv(sn_tensor *, sn_tensor *, sn_tensor *, const int64_t *, int32_t,
                        const int64_t *, int32_t, const int64_t *, int32_t, int64_t);
typedef sn_tensor *MaxPool(sn_tensor *, const int64_t *, int32_t, const int64_t *, int32_t,
                           const int64_t *, int32_t, const int64_t *, int32_t, bool);
typedef sn_tensor *AveragePool(sn_tensor *, const int64_t *, int32_t, const int64_t *, int32_t,
                               const int64_t *, int32_t, bool, bool, int64_t);

/* The library's op. */
static sn_tensor *apply(const WindowCall *c, int32_t n, sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    static Conv *const convs[] = {sn_conv1d, sn_conv2d, sn_conv3d};
    static MaxPool *const max_pools[] = {sn_max_pool1d, sn_max_pool2d, sn_max_pool3d};
    static AveragePool *const average_pools[] = {sn_avg_pool1d, sn_avg_pool2d, sn_avg_pool3d};
    int32_t first = WINDOW_AXES - n;
    const int64_t *taps = c->taps + first, *stride = c->stride + first;
    const int64_t *padding = c->padding + first, *dilation = c->dilation + first;
    if (c->op == WINDOW_CONV)
        return convs[n - 1](x, w, b, stride, n, padding, n, dilation, n, c->groups);
    if (c->op == WINDOW_MAX)
        return max_pools[n - 1](x, taps, n, stride, n, padding, n, dilation, n, c->ceil);
    return average_pools[n - 1](x, taps, n, stride, n, padding, n, c->ceil, c->count_pad, 0);
}

static sn_tensor *in_front(const Function *f, sn_tensor *x) {
    if (f->before == BEFORE_HALF) return sn_mul(x, sn_c(0.375));
    return f->before == BEFORE_RELU ? sn_relu(x) : x;
}

static sn_tensor *gate(const Function *f, sn_tensor *y, sn_tensor *numbers) {
    int64_t dims[MOST_RANK] = {sn_size(numbers, 1), 1, 1, 1};
    sn_tensor *of_channel = sn_reshape(sn_select(numbers, 0, 0), dims, 1 + f->axes);
    return sn_sub(sn_mul(sn_sigmoid(y), of_channel), y);
}

static sn_tensor *norm(const Function *f, sn_tensor *y, sn_tensor *numbers, sn_tensor *rest) {
    sn_tensor *of[NUMBERS_OF_EACH];
    for (int32_t i = 0; i < NUMBERS_OF_EACH; i++) of[i] = sn_select(numbers, 0, i);
    if (!f->batched) y = sn_unsqueeze(y, 0);
    y = sn_batch_norm(y, of[0], sn_abs(of[1]), of[2], of[3], 1e-5);
    if (!f->batched) y = sn_select(y, 0, 0);
    return sn_relu(sn_add(y, rest));
}

/* What follows, but for the last convolution or pool. */
static sn_tensor *following(const Function *f, sn_tensor *y, sn_tensor *const *operands) {
    if (f->behind == BEHIND_RELU || f->behind == BEHIND_CONV) return sn_relu(y);
    if (f->behind == BEHIND_GATE) return gate(f, y, operands[NUMBERS]);
    if (f->behind == BEHIND_NORM) return norm(f, y, operands[NUMBERS], operands[REST]);
    return y;
}

static bool has_next(const Function *f) {
    return f->behind >= BEHIND_CONV;
}

/* What `whole` computes: memory that it declares. */
static Function running;

static sn_tensor *whole(sn_tensor *x, sn_tensor *w, sn_tensor *b, sn_tensor *numbers,
                        sn_tensor *rest, sn_tensor *next) {
    const Function *f = &running;
    sn_tensor *y = apply(&f->call, f->axes, in_front(f, x), w, b);
    y = following(f, y, (sn_tensor *[OPERANDS]){x, w, b, numbers, rest, next});
    if (!has_next(f)) return y;
    WindowCall call = next_call(f);
    return apply(&call, f->axes, y, next, SN_NONE);
}

/* ---- cases ----------------------------------------------------------------------------------- */

/* The order in which axes lie in memory. */
typedef enum Order {
    ORDER_FIRST, /* as they are */
    ORDER_LAST,  /* axis 1, the channels, behind all others */
    ORDER_TURNED /* axes 0 and 1 behind all others, the other way round */
} Order;
static const char *const order_names[] = {"dense", "channels last", "turned"};

/* What a view takes of the memory along some axes. */
typedef enum Cut {
    CUT_NONE,
    CUT_APART,    /* every second element */
    CUT_BACKWARD, /* all, from the end */
    CUT_REPEATED, /* one, many times */
    CUTS
} Cut;
static const char *const cut_names[CUTS] = {"", ", apart", ", backward", ", repeated"};

typedef struct Layout {
    Order order;   /* of all axes */
    Cut cut;       /* of … */
    uint32_t axes; /* … these: a mask */
} Layout;

typedef struct Case {
    uint64_t seed;      /* of its numbers */
    Function function;  /* what is computed */
    sn_dtype dtype;     /* of all tensors */
    bool bias;          /* the convolution has one */
    Layout x, w;        /* of these operands */
    bool any;           /* it is compiled for any sizes, too */
    bool special;       /* infinities, NaN, zeros of both signs, subnormals among the numbers */
    int32_t threads[2]; /* that it is run with */
} Case;

static Layout draw_layout(void) {
    Layout layout = {.order = (Order)PICK(ORDER_FIRST, ORDER_FIRST, ORDER_LAST, ORDER_TURNED)};
    layout.cut = below(2) ? CUT_NONE : (Cut)below(CUTS);
    layout.axes = 1u << below(MOST_RANK) | 1u << below(MOST_RANK);
    if (layout.cut == CUT_REPEATED && below(2)) layout.axes = 1; /* of x, the batch */
    return layout;
}

static void draw_window(Function *f) {
    WindowCall *c = &f->call;
    bool square = below(2); /* the same along all axes */
    for (int32_t i = WINDOW_AXES - 1; i >= 0; i--) {
        bool there = i >= WINDOW_AXES - f->axes, copied = square && there && i < WINDOW_AXES - 1;
        int64_t taps = PICK(1, 1, 2, 3, 3, 3, 4, 5, 7);
        c->taps[i] = copied ? c->taps[2] : there ? taps : 1;
        c->stride[i] = copied ? c->stride[2] : there ? PICK(1, 1, 1, 2, 3) : 1;
        c->dilation[i] = copied ? c->dilation[2] : there ? PICK(1, 1, 1, 2, 3) : 1;
        c->padding[i] = copied ? c->padding[2] : there ? PICK(0, 0, 1, 1, 2, 3) : 0;
    }
    if (c->op == WINDOW_CONV) return;
    for (int32_t i = 0; window_taps(c) > MOST_TAPS; i = (i + 1) % WINDOW_AXES)
        c->taps[i] -= c->taps[i] > 1;
    for (int32_t i = 0; i < WINDOW_AXES; i++) {
        if (c->padding[i] > c->taps[i] / 2) c->padding[i] = c->taps[i] / 2;
        if (c->op == WINDOW_AVERAGE) c->dilation[i] = 1;
    }
}

/* What cases of a family have in common. */
static void draw_function(Case *c) {
    static const sn_dtype dtypes[] = {SN_F32, SN_F32, SN_F32, SN_F64, SN_BF16, SN_F16};
    Function *f = &c->function;
    f->axes = (int32_t)PICK(1, 1, 2, 2, 2, 3);
    f->call.op = (WindowOp)PICK(WINDOW_CONV, WINDOW_CONV, WINDOW_CONV, WINDOW_CONV, WINDOW_CONV,
                                WINDOW_CONV, WINDOW_MAX, WINDOW_AVERAGE);
    f->before = (Before)PICK(BEFORE_NONE, BEFORE_NONE, BEFORE_HALF, BEFORE_RELU);
    f->behind = (Behind)below(BEHINDS);
    f->batched = below(4) != 0;
    draw_window(f);
    bool conv = f->call.op == WINDOW_CONV;
    f->call.groups = conv ? PICK(1, 1, 1, 1, 2, 3, 8) : 1;
    f->call.ceil = !conv && below(2);
    f->call.count_pad = f->call.op == WINDOW_AVERAGE && below(2);
    if (conv && below(6) == 0) { /* each channel by itself */
        f->call.groups = PICK(2, 5, 8, 16, 17, 33, 64, 100);
        f->call.in = 1;
    }
    c->dtype = dtypes[below(6)];
    c->bias = conv && below(2);
    c->any = below(f->behind < BEHIND_MAX ? 4 : 40) == 0; /* before pools it takes seconds */
    c->x = draw_layout();
    c->w = draw_layout();
}

/* Work of its definition, and elements of x and of the result: those of views apart lie in four times the
 * memory. */
static bool is_small(const Function *f) {
    const WindowCall *c = &f->call;
    int64_t results = c->batch * channels_of(c) * window_places(c);
    int64_t places = c->size[0] * c->size[1] * c->size[2];
    int64_t steps = window_taps(c) * (c->op == WINDOW_CONV ? c->in : 1);
    if (f->behind == BEHIND_CONV) steps += f->next;
    return results * steps <= MOST_STEPS && results <= MOST_ELEMENTS &&
           c->batch * c->groups * c->in * places <= MOST_ELEMENTS;
}

/* Makes axes long enough for a window. */
static void fit_sizes(WindowCall *c) {
    for (int32_t i = 0; i < WINDOW_AXES; i++)
        while (window_count(c, i) < 1) c->size[i]++;
}

/* Halves sizes until the case is small; those of a long k stay, so that it has several chunks. */
static void cut_sizes(Function *f, bool is_deep) {
    WindowCall *c = &f->call;
    fit_sizes(c);
    for (int32_t rounds = 0; rounds < 200 && !is_small(f); rounds++) {
        int64_t *const sizes[] = {&c->batch,   &c->out,  &c->size[0], &c->size[1],
                                  &c->size[2], &f->next, &c->in};
        int64_t *size = sizes[below(is_deep ? 6 : 7)];
        *size = (*size + 1) / 2;
        fit_sizes(c);
    }
    if (c->op != WINDOW_CONV) c->out = c->in;
}

static void draw_sizes(Function *f) {
    WindowCall *c = &f->call;
    bool is_each = c->in == 1, few = c->groups > 1;
    bool is_deep = c->op == WINDOW_CONV && !is_each && below(3) == 0;
    int64_t k = PICK(511, 512, 513, 1024, 1025, 1100, 1537), taps = window_taps(c);
    int64_t in = few ? PICK(1, 2, 3, 4, 8, 15, 16, 17, 33)
                     : PICK(1, 2, 3, 4, 8, 15, 16, 17, 31, 32, 33, 57, 64, 100);
    int64_t out = few ? PICK(1, 2, 3, 5, 8, 16, 17, 33, 70)
                      : PICK(1, 3, 5, 8, 15, 16, 17, 32, 33, 48, 64, 70, 128, 256, 260, 300);
    c->batch = f->batched ? PICK(1, 1, 2, 2, 3, 4, 5) : 1;
    c->in = is_each ? 1 : is_deep ? (k + taps - 1) / taps : below(4) ? in : 1 + below(40);
    c->out = is_each ? 1 + below(4) : below(4) ? out : 1 + below(40);
    f->next = PICK(1, 3, 16, 17, 33, 40, 260);
    int64_t *const rarely[] = {&c->batch, &c->in, &c->out, &f->next};
    if (below(50) == 0 && !is_each && f->batched) *rarely[below(4)] = 0;
    for (int32_t i = 0; i < WINDOW_AXES; i++)
        c->size[i] = i >= WINDOW_AXES - f->axes ? 1 + below(14) : 1;
    if (below(4) == 0) c->size[WINDOW_AXES - 1 - below(f->axes)] = 49 + below(160);
    cut_sizes(f, is_deep);
}

static Case make_case(uint64_t seed) {
    static const int32_t threads[] = {1, 2, 3, 5, 8};
    Case c;
    memset(&c, 0, sizeof c); /* cases are compared by bytes */
    c.seed = seed;
    drawn = (FuzzRandom){seed / FAMILY * 0x9e3779b97f4a7c15};
    draw_function(&c);
    drawn = (FuzzRandom){seed};
    draw_sizes(&c.function);
    c.special = below(4) == 0;
    c.threads[0] = 1;
    c.threads[1] = threads[below(5)];
    return c;
}

static void print_axes(const char *name, const int64_t *numbers, int32_t axes) {
    printf(", %s ", name);
    for (int32_t i = WINDOW_AXES - axes; i < WINDOW_AXES; i++)
        printf("%s%lld", i > WINDOW_AXES - axes ? "x" : "", (long long)numbers[i]);
}

static void print_layout(const char *name, const Layout *layout) {
    printf(", %s %s%s", name, order_names[layout->order], cut_names[layout->cut]);
    if (layout->cut) printf(" along mask %#x", (unsigned)layout->axes);
}

static void print_case(const Case *c) {
    static const char *const ops[] = {"conv", "max_pool", "avg_pool"};
    const Function *f = &c->function;
    const WindowCall *w = &f->call;
    printf("seed %llu: %s%dd of %s, %s behind, %s, ", (unsigned long long)c->seed, ops[w->op],
           (int)f->axes, before_names[f->before], behind_names[f->behind], sn_dtype_name(c->dtype));
    if (f->batched) printf("batch %lld, ", (long long)w->batch);
    printf("groups %lld, in %lld, out %lld", (long long)w->groups, (long long)w->in,
           (long long)w->out);
    if (f->behind == BEHIND_CONV) printf(", next %lld", (long long)f->next);
    print_axes("size", w->size, f->axes);
    print_axes("taps", w->taps, f->axes);
    print_axes("stride", w->stride, f->axes);
    print_axes("padding", w->padding, f->axes);
    print_axes("dilation", w->dilation, f->axes);
    print_layout("x", &c->x);
    print_layout("w", &c->w);
    printf("%s%s%s%s%s, threads %d\n", c->bias ? ", bias" : "", w->ceil ? ", ceil" : "",
           w->count_pad ? ", padding counts" : "", c->special ? ", special numbers" : "",
           c->any ? ", for any sizes too" : "", (int)c->threads[1]);
}

/* ---- operands -------------------------------------------------------------------------------- */

/* Of a tensor of so many. A few of a convolution's are special: where each sum has a NaN, no other bit is
 * looked at. Of a pool's many are, so that windows have zeros of both signs. */
static double draw_number(const Case *c, int64_t count) {
    static const double specials[] = {0.0,  -0.0,     INFINITY,  -INFINITY, NAN,
                                      -NAN, 0x1p-149, -0x1p-130, 0x1p-1074, 65504};
    bool is_pool = c->function.call.op != WINDOW_CONV;
    if (c->special && (is_pool ? below(2) : below(count) < 4))
        return specials[below(is_pool && below(3) ? 2 : 10)];
    return ldexp((double)(below(1 << 24) - (1 << 23)), (int)below(8) - 26);
}

/* A dense tensor of random numbers. */
static sn_tensor *numbers(const Case *c, const int64_t *dims, int32_t rank) {
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) count *= dims[i];
    double *data = malloc(sizeof *data * (size_t)(count + 1));
    expect(data != NULL);
    for (int64_t i = 0; i < count; i++) data[i] = draw_number(c, count);
    sn_tensor *x = sn_from_copy(data, sizeof *data * (size_t)count, dims, rank, SN_F64);
    free(data);
    return sn_cast(x, c->dtype);
}

static bool is_cut(const Layout *layout, Cut cut, int32_t axis) {
    return layout->cut == cut && layout->axes >> axis & 1;
}

/* The axes of memory that are those of the tensor. */
static void order_axes(Order order, int32_t rank, int64_t *axes) {
    for (int32_t i = 0; i < rank; i++) {
        axes[i] = i;
        if (order == ORDER_LAST && i) axes[i] = i == 1 ? rank - 1 : i - 1;
        if (order == ORDER_TURNED) axes[i] = i < 2 ? rank - 1 - i : i - 2;
    }
}

static sn_tensor *laid_out(const Case *c, const Layout *layout, const int64_t *dims, int32_t rank) {
    int64_t lying[MOST_RANK], order[MOST_RANK], backward[MOST_RANK];
    sn_index_item apart[MOST_RANK];
    int32_t turned = 0;
    order_axes(layout->order, rank, order);
    for (int32_t i = 0; i < rank; i++) {
        bool second = is_cut(layout, CUT_APART, i);
        lying[order[i]] = is_cut(layout, CUT_REPEATED, i) && dims[i] ? 1
                          : second                                   ? 2 * dims[i]
                                                                     : dims[i];
        apart[i] = (sn_index_item){SN_INDEX_RANGE, second, SN_END, 1 + second};
        if (is_cut(layout, CUT_BACKWARD, i)) backward[turned++] = i;
    }
    sn_tensor *x = sn_permute(numbers(c, lying, rank), order, rank);
    if (layout->cut == CUT_APART) return sn_index(x, apart, rank);
    if (layout->cut == CUT_REPEATED) return sn_expand(x, dims, rank);
    return turned ? sn_flip(x, backward, turned) : x;
}

/* x or what is as large as a result, without the batch where it has none. */
static sn_tensor *samples(const Case *c, int64_t channels, const int64_t *sizes) {
    int32_t axes = c->function.axes;
    int64_t dims[MOST_RANK] = {c->function.call.batch, channels};
    memcpy(dims + 2, sizes + WINDOW_AXES - axes, sizeof *dims * (size_t)axes);
    sn_tensor *x = laid_out(c, &c->x, dims, axes + 2);
    return c->function.batched ? x : sn_select(x, 0, 0);
}

/* The weight of a convolution. */
static sn_tensor *weight(const Case *c, const WindowCall *call) {
    int32_t axes = c->function.axes;
    int64_t dims[MOST_RANK] = {call->groups * call->out, call->in};
    memcpy(dims + 2, call->taps + WINDOW_AXES - axes, sizeof *dims * (size_t)axes);
    return laid_out(c, &c->w, dims, axes + 2);
}

static void make_operands(const Case *c, sn_tensor **operands) {
    const Function *f = &c->function;
    int64_t channels = channels_of(&f->call);
    WindowCall next = next_call(f);
    for (int32_t i = 0; i < OPERANDS; i++) operands[i] = SN_NONE;
    operands[X] = samples(c, f->call.groups * f->call.in, f->call.size);
    if (f->call.op == WINDOW_CONV) operands[W] = weight(c, &f->call);
    if (c->bias) operands[B] = numbers(c, SN_I(channels));
    operands[NUMBERS] = numbers(c, SN_I(NUMBERS_OF_EACH, channels));
    if (f->behind == BEHIND_NORM) operands[REST] = samples(c, channels, next.size);
    if (f->behind == BEHIND_CONV) operands[NEXT] = weight(c, &next);
    for (int32_t i = 0; i < OPERANDS; i++) expect(operands[i] != NULL);
}

/* ---- the definition -------------------------------------------------------------------------- */

/* The numbers of a tensor, or NULL. */
static double *read_numbers(sn_tensor *x) {
    if (x == SN_NONE) return NULL;
    size_t bytes = sizeof(double) * (size_t)sn_count(x);
    double *data = malloc(bytes + 8);
    expect(data && sn_read(x, SN_F64, data, bytes));
    return data;
}

static sn_tensor *define(const Case *c, const WindowCall *call, sn_tensor *x, sn_tensor *w,
                         sn_tensor *b) {
    int32_t axes = c->function.axes, skipped = !c->function.batched;
    int64_t dims[MOST_RANK] = {call->batch, channels_of(call)};
    int64_t count = dims[0] * dims[1] * window_places(call);
    for (int32_t i = 0; i < axes; i++) dims[2 + i] = window_count(call, WINDOW_AXES - axes + i);
    double *x_data = read_numbers(x), *w_data = read_numbers(w), *b_data = read_numbers(b);
    double *y = malloc(sizeof *y * (size_t)(count + 1));
    expect(y != NULL);
    window_run(call, c->dtype == SN_F64, x_data, w_data, b_data, y);
    sn_tensor *result =
        sn_from_copy(y, sizeof *y * (size_t)count, dims + skipped, axes + 2 - skipped, SN_F64);
    free(x_data), free(w_data), free(b_data), free(y);
    return sn_cast(result, c->dtype);
}

/* What the function gives of these operands: the ops around convolutions and pools eagerly. */
static sn_tensor *define_whole(const Case *c, sn_tensor *const *operands) {
    const Function *f = &c->function;
    sn_tensor *x = in_front(f, operands[X]);
    sn_tensor *y = following(f, define(c, &f->call, x, operands[W], operands[B]), operands);
    if (!has_next(f)) return y;
    WindowCall next = next_call(f);
    return define(c, &next, y, operands[NEXT], SN_NONE);
}

/* ---- checks ---------------------------------------------------------------------------------- */

static bool same_shape(sn_tensor *x, sn_tensor *y) {
    int64_t of_x[SN_MAX_RANK] = {0}, of_y[SN_MAX_RANK] = {0};
    int32_t rank = sn_shape(x, of_x, NULL);
    return sn_shape(y, of_y, NULL) == rank && memcmp(of_x, of_y, sizeof of_x) == 0;
}

static void print_element(sn_tensor *got, sn_tensor *want, int64_t at, const char *who) {
    double *x = read_numbers(got), *y = read_numbers(want);
    printf("%s: element %lld is %a, should be %a\n", who, (long long)at, x[at], y[at]);
    free(x), free(y);
}

/* Bits, those of NaNs too: there is one. */
static bool same_bits(sn_tensor *got, sn_tensor *want, const char *who, bool loud) {
    expect(got != NULL);
    if (!same_shape(got, want)) {
        if (loud) printf("%s: another shape\n", who);
        return false;
    }
    sn_dtype dtype = sn_dtype_of(want);
    size_t size = sn_dtype_size(dtype), count = (size_t)sn_count(want), at = 0;
    char *x = malloc(size * count + 8), *y = malloc(size * count + 8);
    expect(x && y && sn_read(got, dtype, x, size * count) && sn_read(want, dtype, y, size * count));
    while (at < count && memcmp(x + at * size, y + at * size, size) == 0) at++;
    if (at < count && loud) print_element(got, want, (int64_t)at, who);
    free(x), free(y);
    return at == count && sn_dtype_of(got) == dtype;
}

static sn_compiled *any_sizes; /* for sizes that vary */
static int64_t packed;         /* matrices that were packed */

static sn_compiled *compile(sn_shapes shapes) {
    sn_watch watch = {&running, sizeof running};
    sn_compile_options options = {.shapes = shapes, .watch = &watch, .n_watch = 1};
    sn_compiled *c = sn_compile_at((sn_function)whole, "whole", "tt?t?t?t?t?:t", &options, NULL, 0);
    expect(c != NULL);
    return c;
}

/* One call; eager where there is nothing compiled. */
static bool check_call(sn_compiled *compiled, sn_tensor *const *o, sn_tensor *want, const char *who,
                       bool loud) {
    sn_scope scope = sn_scope_begin();
    __typeof__(&whole) function = compiled ? SN_FN(compiled, whole) : whole;
    bool fine =
        same_bits(function(o[X], o[W], o[B], o[NUMBERS], o[REST], o[NEXT]), want, who, loud);
    sn_scope_end(scope, NULL);
    return fine;
}

static bool check_calls(const Case *c, sn_tensor *const *operands, sn_tensor *want, bool loud) {
    static const char *const names[] = {"eager", "compiled for its sizes", "compiled for any"};
    bool fine = true;
    if (!any_sizes) any_sizes = compile(SN_SHAPES_DYNAMIC);
    sn_compiled *const compiled[] = {NULL, compile(SN_SHAPES_STATIC), any_sizes};
    for (int32_t i = 0; fine && i < (c->any ? 3 : 2) * CALLS; i++) {
        char who[64];
        int32_t threads = c->threads[i % 2];
        snprintf(who, sizeof who, "%s, call %d, %d threads", names[i / CALLS], i % CALLS + 1,
                 (int)threads);
        sn_set_threads(threads);
        fine = check_call(compiled[i / CALLS], operands, want, who, loud);
    }
    sn_set_threads(0);
    sn_compiled_release(compiled[1]);
    return fine;
}

static bool check(const Case *c, bool loud) {
    WeightCounters before, after;
    sn_tensor *operands[OPERANDS];
    drawn = (FuzzRandom){~c->seed};
    running = c->function;
    weights_counters(&before);
    sn_scope scope = sn_scope_begin();
    make_operands(c, operands);
    sn_tensor *want = define_whole(c, operands);
    expect(want != NULL);
    bool fine = check_calls(c, operands, want, loud);
    sn_scope_end(scope, NULL);
    weights_counters(&after);
    packed += after.packs - before.packs;
    return fine;
}

/* ---- cutting down ---------------------------------------------------------------------------- */

/* What the ops take. */
static bool is_valid(const Function *f) {
    const WindowCall *c = &f->call;
    bool conv = c->op == WINDOW_CONV;
    if (c->batch < 0 || (!f->batched && c->batch != 1) || f->next < 0) return false;
    if (c->groups < 1 || c->in < 0 || c->out < 0) return false;
    for (int32_t i = 0; i < WINDOW_AXES; i++) {
        if (c->size[i] < 1 || c->taps[i] < 1 || c->stride[i] < 1 || c->dilation[i] < 1)
            return false;
        if (c->padding[i] < 0 || (!conv && c->padding[i] > c->taps[i] / 2)) return false;
        if (window_count(c, i) < 1) return false;
    }
    return true;
}

enum { SINGLE = 5, NUMBERS_CUT = SINGLE + 5 * WINDOW_AXES, PARTS = 11 };

/* A number that may be smaller. */
static int64_t *number_of(Function *f, int32_t which) {
    WindowCall *c = &f->call;
    int64_t *const single[SINGLE] = {&c->batch, &c->groups, &c->in, &c->out, &f->next};
    int64_t *const by_axis[] = {c->size, c->taps, c->stride, c->padding, c->dilation};
    if (which < SINGLE) return single[which];
    return by_axis[(which - SINGLE) / WINDOW_AXES] + (which - SINGLE) % WINDOW_AXES;
}

/* A part that may be missing. */
static void remove_part(Case *c, int32_t which) {
    Function *f = &c->function;
    if (which == 0)
        f->behind = BEHIND_NONE;
    else if (which == 1)
        f->before = BEFORE_NONE;
    else if (which == 2)
        c->x = (Layout){.order = ORDER_FIRST};
    else if (which == 3)
        c->w = (Layout){.order = ORDER_FIRST};
    else if (which == 4)
        c->special = false;
    else if (which == 5)
        c->bias = false;
    else if (which == 6)
        f->call.ceil = false;
    else if (which == 7)
        f->call.count_pad = false;
    else if (which == 8)
        f->batched = false;
    else if (which == 9)
        c->any = false;
    else
        c->threads[1] = 1;
}

/* One part less, or a number cut; false where there is none. */
static bool reduce(Case *c, int32_t way) {
    Case before = *c;
    Function *f = &c->function;
    if (way < NUMBERS_CUT)
        *number_of(f, way) /= 2;
    else if (way < 2 * NUMBERS_CUT)
        --*number_of(f, way - NUMBERS_CUT);
    else
        remove_part(c, way - 2 * NUMBERS_CUT);
    if (f->call.op != WINDOW_CONV) f->call.out = f->call.in;
    return memcmp(&before, c, sizeof before) != 0 && is_valid(f);
}

static void shrink(Case *c) {
    bool shrunk = true;
    for (int32_t rounds = 0; shrunk && rounds < 100; rounds++) {
        shrunk = false;
        for (int32_t way = 0; way < 2 * NUMBERS_CUT + PARTS; way++) {
            Case less = *c;
            if (!reduce(&less, way) || check(&less, false)) continue;
            *c = less;
            shrunk = true;
        }
    }
}

int main(int argc, char **argv) {
    uint64_t seed = 1, count = 1000, failed = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--count") == 0) count = strtoull(argv[i + 1], NULL, 10);
    }
    for (uint64_t i = 0; i < count; i++) {
        Case c = make_case(seed + i);
        if (check(&c, false)) continue;
        if (failed++ >= MOST_SHOWN) continue;
        printf("FAILED ");
        print_case(&c);
        check(&c, true);
        shrink(&c);
        printf("cut down: ");
        print_case(&c);
        check(&c, true);
    }
    sn_compiled_release(any_sizes);
    printf("%llu cases from seed %llu, %lld matrices packed, %llu failed\n",
           (unsigned long long)count, (unsigned long long)seed, (long long)packed,
           (unsigned long long)failed);
    return failed != 0 || (count >= 100 && !packed); /* then weights were not tried */
}
