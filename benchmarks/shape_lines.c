/* The server of one shape at a time; see shape_lines.h. */
#include "shape_lines.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_SIZE = 1024, HOW_SIZE = 64, MOST_SAMPLES = 501 };
/* Least length of a sample, far above the clock's grain. */
static const double SAMPLE_SECONDS = 1e-3;

/* ---- sizes ----------------------------------------------------------------------------------- */

int64_t shape_size(const Shape *s, int axis) {
    int64_t size = axis ? s->width : s->height;
    return (size + 2 * s->padding[axis] - s->taps[axis]) / s->stride[axis] + 1;
}

int64_t shape_x_count(const Shape *s) {
    return s->kind == SHAPE_GEMM ? s->rows * s->inner
                                 : s->batch * s->channels * s->height * s->width;
}

int64_t shape_w_count(const Shape *s) {
    return s->kind == SHAPE_GEMM ? s->inner * s->columns
                                 : s->out * (s->channels / s->groups) * s->taps[0] * s->taps[1];
}

int64_t shape_channels(const Shape *s) {
    return s->kind == SHAPE_GEMM ? s->columns : s->out;
}

int64_t shape_y_count(const Shape *s) {
    return s->kind == SHAPE_GEMM ? s->rows * s->columns
                                 : s->batch * shape_size(s, 0) * shape_size(s, 1) * s->out;
}

/* ---- operands -------------------------------------------------------------------------------- */

/* Numbers between -1 and 1, the same in every program. */
static float *filled(int64_t count, uint64_t state) {
    float *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; values && i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
    return values;
}

static void operands_free(Operands *o) {
    free(o->x);
    free(o->w);
    free(o->bias);
    free(o->y);
    *o = (Operands){0};
}

static bool operands_make(const Shape *shape, Operands *o) {
    *o = (Operands){.x = filled(shape_x_count(shape), 1),
                    .w = filled(shape_w_count(shape), 2),
                    .bias = filled(shape_channels(shape), 3),
                    .y = filled(shape_y_count(shape), 4)};
    return o->x && o->w && o->bias && o->y;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Reads `count` numbers behind the first word; false where there are not just so many. */
static bool read_numbers(const char *line, int64_t *numbers, int count) {
    char *at = strchr(line, ' ');
    for (int i = 0; i < count; i++) {
        char *end = at;
        if (at) numbers[i] = strtoll(at, &end, 10);
        if (!at || end == at || numbers[i] < 0) return false;
        at = end;
    }
    return strcmp(at, "\n") == 0;
}

static bool read_gemm(const char *line, Shape *s) {
    int64_t n[6];
    if (!read_numbers(line, n, 6)) return false;
    *s = (Shape){.kind = SHAPE_GEMM,
                 .rows = n[0],
                 .inner = n[1],
                 .columns = n[2],
                 .turned = n[3],
                 .bias = n[4],
                 .relu = n[5]};
    return s->rows > 0 && s->inner > 0 && s->columns > 0;
}

static bool read_conv(const char *line, Shape *s) {
    int64_t n[14];
    if (!read_numbers(line, n, 14)) return false;
    *s = (Shape){.kind = SHAPE_CONV,
                 .batch = n[0],
                 .channels = n[1],
                 .height = n[2],
                 .width = n[3],
                 .out = n[4],
                 .taps = {n[5], n[6]},
                 .stride = {n[7], n[8]},
                 .padding = {n[9], n[10]},
                 .groups = n[11],
                 .bias = n[12],
                 .relu = n[13]};
    return s->groups > 0 && s->channels % s->groups == 0 && s->out % s->groups == 0 &&
           s->stride[0] > 0 && s->stride[1] > 0 && s->taps[0] > 0 && s->taps[1] > 0 &&
           shape_x_count(s) > 0 && s->out > 0 && shape_size(s, 0) > 0 && shape_size(s, 1) > 0;
}

/* ---- time ------------------------------------------------------------------------------------ */

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Seconds of one call out of so many; negative on failure. */
static double time_calls(const ShapeLibrary *library, int64_t calls) {
    double begin = now_seconds();
    for (int64_t i = 0; i < calls; i++)
        if (!library->call()) return -1;
    return (now_seconds() - begin) / (double)calls;
}

static int compare_doubles(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

bool shape_time(const ShapeLibrary *library, double seconds, ShapeTime *time) {
    double samples[MOST_SAMPLES], first = time_calls(library, 1), once = time_calls(library, 1);
    if (first < 0 || once < 0) return false;
    int64_t calls = once < SAMPLE_SECONDS ? (int64_t)(SAMPLE_SECONDS / (once + 1e-9)) + 1 : 1;
    double begin = now_seconds();
    int count = 0;
    do {
        samples[count] = time_calls(library, calls);
        if (samples[count] < 0) return false;
    } while (++count < MOST_SAMPLES && now_seconds() - begin < seconds);
    qsort(samples, (size_t)count, sizeof *samples, compare_doubles);
    *time = (ShapeTime){samples[count / 2], samples[0], calls * count};
    return true;
}

/* ---- the server ------------------------------------------------------------------------------ */

/* What is loaded. */
typedef struct Session {
    ShapeLibrary *library; /* whose server this is */
    Shape shape;           /* what it computes */
    Operands operands;     /* on what */
    bool loaded;           /* there is a shape */
} Session;

static void unload(Session *session) {
    if (session->loaded) session->library->unload();
    operands_free(&session->operands);
    session->loaded = false;
}

static void load(Session *session, const char *line) {
    char how[HOW_SIZE] = "";
    Shape shape;
    unload(session);
    if (strncmp(line, "gemm ", 5) == 0 ? !read_gemm(line, &shape) : !read_conv(line, &shape)) {
        puts("error no such shape");
        return;
    }
    session->shape = shape;
    if (!operands_make(&shape, &session->operands)) {
        puts("error out of memory");
        return;
    }
    session->loaded = true;
    if (session->library->load(&shape, &session->operands, how))
        printf("ok %s\n", how);
    else
        printf("error %s\n", session->library->error);
}

static void run(const Session *session, double seconds) {
    ShapeTime time;
    if (shape_time(session->library, seconds, &time))
        printf("ok %.9g %lld %.9g\n", time.median, (long long)time.calls, time.least);
    else
        printf("error %s\n", session->library->error);
}

static void save(const Session *session, const char *path) {
    if (!session->library->result(&session->shape, &session->operands)) {
        printf("error %s\n", session->library->error);
        return;
    }
    size_t count = (size_t)shape_y_count(&session->shape);
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(session->operands.y, sizeof(float), count, file) == count;
    if (file) ok = fclose(file) == 0 && ok;
    puts(ok ? "ok" : "error the result cannot be written");
}

/* What is no number differs from all. */
static double largest_difference(const float *x, const float *y, size_t count) {
    double most = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)x[i] - (double)y[i]);
        if (!(difference <= most)) most = difference == difference ? difference : INFINITY;
        if (fabs((double)x[i]) > largest) largest = fabs((double)x[i]);
    }
    return largest > 0 ? most / largest : most;
}

static void compare(const Session *session, const char *path) {
    if (!session->library->result(&session->shape, &session->operands)) {
        printf("error %s\n", session->library->error);
        return;
    }
    size_t count = (size_t)shape_y_count(&session->shape);
    float *theirs = malloc(count * sizeof *theirs);
    FILE *file = fopen(path, "rb");
    if (theirs && file && fread(theirs, sizeof *theirs, count, file) == count)
        printf("ok %.3g\n", largest_difference(session->operands.y, theirs, count));
    else
        puts("error the other result cannot be read");
    if (file) fclose(file);
    free(theirs);
}

int shape_serve(ShapeLibrary *library) {
    Session session = {.library = library};
    char line[LINE_SIZE], path[LINE_SIZE];
    double seconds;
    while (fgets(line, sizeof line, stdin) && strcmp(line, "quit\n") != 0) {
        if (strcmp(line, "version\n") == 0)
            printf("ok %s\n", library->version);
        else if (strncmp(line, "gemm ", 5) == 0 || strncmp(line, "conv ", 5) == 0)
            load(&session, line);
        else if (session.loaded && sscanf(line, "run %lf", &seconds) == 1)
            run(&session, seconds);
        else if (session.loaded && sscanf(line, "save %1023s", path) == 1)
            save(&session, path);
        else if (session.loaded && sscanf(line, "compare %1023s", path) == 1)
            compare(&session, path);
        else
            puts("error not understood, or nothing is loaded");
        fflush(stdout);
    }
    unload(&session);
    return 0;
}
