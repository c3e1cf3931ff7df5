/* The measuring server; see sinter_serve.h. */
#include "sinter_serve.h"

#include "sinter_measure.h"
#include "sinter_tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SAMPLES = 501, LINE_SIZE = 1024, NAME_SIZE = 64, FORM_SIZE = 16 };

/* What is loaded. */
typedef struct Session {
    sn_numerics numerics;  /* of compiled functions */
    Inputs inputs;         /* of the workload */
    sn_compiled *compiled; /* NULL: nothing is loaded */
    Subject eager, fused;  /* its two forms */
} Session;

static void unload(Session *session) {
    if (!session->compiled) return;
    sn_compiled_release(session->compiled);
    session->compiled = NULL;
    inputs_release(&session->inputs);
}

/* Answers with what the format says, or with the thread's error, which it takes. */
static __attribute__((format(printf, 1, 2))) void answer(const char *format, ...) {
    if (sn_error_status() == SN_OK) {
        va_list values;
        va_start(values, format);
        vprintf(format, values);
        va_end(values);
        return;
    }
    sn_error error = {.size = sizeof error};
    sn_error_take(&error);
    printf("error %s\n", error.text);
}

static void load(Session *session, const char *name) {
    unload(session);
    const Workload *workload = workload_find(name);
    if (!workload) {
        printf("error there is no workload \"%s\"\n", name);
        return;
    }
    bool ok = inputs_make(workload, false, &session->inputs);
    session->compiled = ok ? workload_compile(workload, session->numerics) : NULL;
    sn_function function = session->compiled ? sn_compiled_fn(session->compiled) : NULL;
    session->eager =
        (Subject){workload->model->function, workload->model->invoke, &session->inputs};
    session->fused = (Subject){function, workload->model->invoke, &session->inputs};
    if (function && time_calls(&session->eager, 2) >= 0) time_calls(&session->fused, 3);
    answer("ok\n");
}

/* The inputs and what a run's first call makes of them. What the function has written into an input by then,
 * the same call writes again. */
static void save(const Session *session, const char *path) {
    const Inputs *inputs = &session->inputs;
    char texts[MOST_INPUTS][16];
    const char *names[MOST_INPUTS + 1];
    sn_tensor *tensors[MOST_INPUTS + 1];
    sn_scope scope = sn_scope_begin();
    for (int32_t i = 0; i < inputs->count; i++) {
        snprintf(texts[i], sizeof texts[i], "x%d", (int)i);
        names[i] = texts[i];
        tensors[i] = inputs->tensors[i];
    }
    names[inputs->count] = "y";
    tensors[inputs->count] =
        session->fused.invoke(session->fused.function, inputs->tensors, inputs->count, 0);
    sn_safetensors_save(path, names, tensors, inputs->count + 1);
    sn_scope_end(scope, NULL);
    answer("ok\n");
}

static void run(const Session *session, const char *form, double seconds) {
    double samples[MOST_SAMPLES];
    const Subject *subject = strcmp(form, "eager") == 0 ? &session->eager : &session->fused;
    int64_t calls = calls_for(subject, 1e-3);
    int32_t count = 0;
    double begin = now_seconds();
    do {
        samples[count] = time_calls(subject, calls);
    } while (samples[count] >= 0 && ++count < MOST_SAMPLES &&
             (count < 3 || now_seconds() - begin < seconds));
    answer("ok %.9g %lld\n", median(samples, count), (long long)calls * count);
}

static void share(const Session *session) {
    double share_of_roof = 0;
    roof_share(&session->fused, session->compiled, &share_of_roof);
    answer("ok %.4f\n", share_of_roof);
}

/* One request about what is loaded. */
static void serve_loaded(const Session *session, const char *line) {
    char word[FORM_SIZE], path[LINE_SIZE];
    double seconds;
    if (sscanf(line, "run %15s %lf", word, &seconds) == 2)
        run(session, word, seconds);
    else if (sscanf(line, "save %1023s", path) == 1)
        save(session, path);
    else if (strcmp(line, "roof\n") == 0)
        share(session);
    else
        puts("error not understood");
}

int serve(sn_numerics numerics) {
    Session session = {.numerics = numerics};
    char line[LINE_SIZE], name[NAME_SIZE];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "quit\n") == 0) break;
        if (sscanf(line, "load %63s", name) == 1)
            load(&session, name);
        else if (session.compiled)
            serve_loaded(&session, line);
        else
            puts("error nothing is loaded");
        fflush(stdout);
    }
    unload(&session);
    return EXIT_FINE;
}
