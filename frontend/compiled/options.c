/* Checking and copying the options of sn_compile; see options.h. */
#include "frontend/compiled/options.h"

#include "base/mem.h"
#include "base/settings.h"
#include "base/status.h"
#include "frontend/compiled/key.h"

#include <string.h>

enum { GRAPHS_MOST = 64 }; /* of a function, unless it says otherwise */

/* ---- checking -------------------------------------------------------------------------------- */

/* A counted array of the options. */
static sn_status check_array(const void *array, int32_t count, const char *name, sn_error *error) {
    if (count < 0)
        return error_set(error, SN_ERROR_ARGUMENT, "options.n_%s is %d", name, (int)count);
    if (count && !array)
        return error_set(error, SN_ERROR_ARGUMENT, "options.%s is NULL, but n_%s is %d", name, name,
                         (int)count);
    return SN_OK;
}

static sn_status check_dim(const sn_dim *d, int32_t i, sn_error *error) {
    if (d->tensor < 0 || d->axis < 0 || d->axis >= SN_MAX_RANK)
        return error_set(error, SN_ERROR_ARGUMENT, "options.dims[%d] is dim %d of tensor %d",
                         (int)i, (int)d->axis, (int)d->tensor);
    if (d->min < 0 || d->max < 0 || d->multiple_of < 0 || (d->max && d->max < d->min))
        return error_set(error, SN_ERROR_ARGUMENT,
                         "options.dims[%d] is bounded by %lld and %lld, a multiple of %lld", (int)i,
                         (long long)d->min, (long long)d->max, (long long)d->multiple_of);
    return SN_OK;
}

static sn_status check_options(const sn_compile_options *options, sn_error *error) {
    size_t least = offsetof(sn_compile_options, shapes); /* as it was at first */
    if (options->size && options->size < least)
        return error_set(error, SN_ERROR_ARGUMENT, "options.size is %zu, expected %zu or more",
                         options->size, least);
    if ((uint32_t)options->rerun > SN_RERUN_ALWAYS)
        return error_set(error, SN_ERROR_ARGUMENT, "options.rerun is %d", (int)options->rerun);
    if ((uint32_t)options->shapes > SN_SHAPES_DYNAMIC)
        return error_set(error, SN_ERROR_ARGUMENT, "options.shapes is %d", (int)options->shapes);
    if ((uint32_t)options->at_limit > SN_AT_LIMIT_ERROR)
        return error_set(error, SN_ERROR_ARGUMENT, "options.at_limit is %d",
                         (int)options->at_limit);
    if ((uint32_t)options->stance > SN_STANCE_ASYNC)
        return error_set(error, SN_ERROR_ARGUMENT, "options.stance is %d", (int)options->stance);
    if (options->most_graphs < 0 || options->check_every < 0)
        return error_set(
            error, SN_ERROR_ARGUMENT, "options.%s is %d",
            options->most_graphs < 0 ? "most_graphs" : "check_every",
            (int)(options->most_graphs < 0 ? options->most_graphs : options->check_every));
    if ((uint32_t)options->numerics > SN_NUMERICS_FAST)
        return error_set(error, SN_ERROR_ARGUMENT, "options.numerics is %d",
                         (int)options->numerics);
    sn_status status = check_array(options->watch, options->n_watch, "watch", error);
    if (status == SN_OK) status = check_array(options->trees, options->n_trees, "trees", error);
    if (status == SN_OK) status = check_array(options->dims, options->n_dims, "dims", error);
    for (int32_t i = 0; status == SN_OK && i < options->n_dims; i++)
        status = check_dim(&options->dims[i], i, error);
    for (int32_t i = 0; status == SN_OK && i < options->n_watch; i++)
        if (options->watch[i].bytes && !options->watch[i].data)
            status = error_set(error, SN_ERROR_ARGUMENT, "options.watch[%d].data is NULL", (int)i);
    return status;
}

/* ---- copying --------------------------------------------------------------------------------- */

static sn_status copy_dims(CompileOptions *options, const sn_compile_options *given,
                           sn_error *error) {
    if (!given->n_dims) return SN_OK;
    options->dims = mem_calloc((size_t)given->n_dims, sizeof *options->dims);
    if (!options->dims) return error_memory(error);
    for (; options->n_dims < given->n_dims; options->n_dims++) {
        sn_dim *d = &options->dims[options->n_dims];
        *d = given->dims[options->n_dims];
        if (d->name) d->name = mem_strdup(d->name);
        if (!d->name && given->dims[options->n_dims].name) return error_memory(error);
    }
    return SN_OK;
}

static sn_status copy_watch(CompileOptions *options, const sn_compile_options *given,
                            sn_error *error) {
    if (!given->n_watch) return SN_OK;
    size_t bytes = sizeof *options->watch * (size_t)given->n_watch;
    options->watch = mem_alloc(bytes);
    if (!options->watch) return error_memory(error);
    memcpy(options->watch, given->watch, bytes);
    options->n_watch = given->n_watch;
    for (int32_t i = 0; i < given->n_watch; i++)
        options->watch_words += key_words_of(given->watch[i].bytes);
    return SN_OK;
}

sn_status options_copy(CompileOptions *options, const sn_compile_options *given, sn_error *error) {
    options->most_graphs = GRAPHS_MOST;
    options->check_every = (int32_t)setting_int(SETTING_CHECK_EVERY, 0);
    if (options->check_every < 0) options->check_every = 0;
    if (!given) return SN_OK;
    sn_status status = check_options(given, error);
    if (status == SN_OK) status = copy_dims(options, given, error);
    if (status == SN_OK) status = copy_watch(options, given, error);
    if (status != SN_OK) return status;
    options->shapes = given->shapes;
    options->at_limit = given->at_limit;
    options->stance = given->stance;
    if (given->most_graphs) options->most_graphs = (uint32_t)given->most_graphs;
    if (given->check_every) options->check_every = given->check_every;
    options->rerun = given->rerun == SN_RERUN_ALWAYS;
    options->fullgraph = given->fullgraph;
    options->fast = given->numerics == SN_NUMERICS_FAST;
    options->progress = given->progress;
    options->progress_context = given->progress_context;
    return SN_OK;
}

void options_free(CompileOptions *options) {
    for (int32_t i = 0; i < options->n_dims; i++)
        mem_free((void *)(uintptr_t)options->dims[i].name);
    mem_free(options->dims);
    mem_free(options->watch);
}
