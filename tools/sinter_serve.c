/* The measuring server; see sinter_serve.h. */
#include "sinter_serve.h"

#include "sinter_measure.h"
#include "sinter_tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SAMPLES = 501 };

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

/* Answers with the thread's error, which it takes. */
static void answer_error(void) {
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
    ok = function && time_calls(&session->eager, 2) >= 0 && time_calls(&session->fused, 3) >= 0;
    if (ok)
        puts("ok");
    else
        answer_error();
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
    if (sn_error_status() != SN_OK)
        answer_error();
    else
        printf("ok %.9g %lld\n", median(samples, count), (long long)calls * count);
}

int serve(sn_numerics numerics) {
    Session session = {.numerics = numerics};
    char line[256], word[64], name[64];
    double seconds;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "load %63s", name) == 1)
            load(&session, name);
        else if (sscanf(line, "run %63s %lf", word, &seconds) == 2 && session.compiled)
            run(&session, word, seconds);
        else if (strcmp(line, "quit\n") == 0)
            break;
        else
            puts("error not understood, or nothing is loaded");
        fflush(stdout);
    }
    unload(&session);
    return EXIT_FINE;
}
