/* SPDX-License-Identifier: Apache-2.0 */
#include "base/context.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/backend_name.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sized.h"
#include "base/word.h"

enum { THREAD_LIMIT = 4096, THREADS_PER_CPU = 4 /* more are a slip rather than a wish */ };

void(dfal_context_options_init)(struct dfal_context_options *options, size_t size)
{
    const struct dfal_context_options defaults = {
        .backend = "auto", .isa = "auto", .seed = 1, .command_line = "", .comm = "self"};
    df_sized_init(options, size, &defaults, sizeof defaults);
}

/* A user's check:A:B compares two real back ends. */
static dfal_status check_backend(const char *spec)
{
    struct df_backend_name name, side;
    DF_TRY(df_backend_name_read(&name, spec));
    for (int i = 0; i < 2 && name.kind == DF_BACKEND_check; i++) {
        DF_TRY(df_backend_name_read(&side, i == 0 ? name.first : name.second));
        if (side.kind == DF_BACKEND_auto || side.kind == DF_BACKEND_check)
            DF_FAIL(DFAL_E_USAGE,
                    "back end '%s' does not name two back ends: expected check:A:B with A and B of cpu, "
                    "cuda[:N], ref",
                    spec);
    }
    return DFAL_OK;
}

static dfal_status copy_string(const char **to, const char *from, const char *otherwise)
{
    char *copy;
    DF_TRY(df_strdup(&copy, from ? from : otherwise));
    *to = copy;
    return DFAL_OK;
}

static dfal_status fill(struct dfal_context *context, const struct dfal_context_options *options)
{
    context->options = *options;
    context->options.backend = context->options.isa = context->options.command_line = NULL;
    context->options.comm = NULL;
    DF_TRY(copy_string(&context->options.backend, options->backend, "auto"));
    DF_TRY(copy_string(&context->options.isa, options->isa, "auto"));
    DF_TRY(copy_string(&context->options.command_line, options->command_line, ""));
    DF_TRY(copy_string(&context->options.comm, options->comm, "self"));
    DF_TRY(df_word(NULL, "way of ranks", context->options.comm, DFAL_COMMS));
    DF_TRY(check_backend(context->options.backend));
    DF_TRY(df_word(NULL, "ISA", context->options.isa, DFAL_ISAS));
    if (options->threads < 0 || options->threads > THREAD_LIMIT)
        DF_FAIL(DFAL_E_USAGE, "%" PRId32 " threads asked for: expected 1 to %d, or 0 for all CPUs",
                options->threads, THREAD_LIMIT);
    if (options->memory < 0)
        DF_FAIL(DFAL_E_USAGE, "%" PRId64 " bytes of memory asked for: expected at least 0", options->memory);
    context->threads = options->threads ? options->threads : df_cpu_count();
    context->memory = options->memory ? options->memory : df_memory_held() + df_memory_available() / 2;
    if (context->memory <= 0)
        context->memory = (int64_t)1 << 30; /* the kernel tells nothing: one GiB */
    return DFAL_OK;
}

static void warn_threads(struct dfal_context *context)
{
    if (context->threads <= THREADS_PER_CPU) /* few, whatever files of the system would say */
        return;
    const int32_t cpus = df_cpu_count();
    if (context->threads <= (int64_t)cpus * THREADS_PER_CPU)
        return;
    df_say(context, DFAL_WARNING, "context.threads",
           DF_FIELDS(DF_INT("threads", context->threads), DF_INT("cpus", cpus)),
           "%" PRId32 " threads were asked for and this process may use %" PRId32
           " CPU%s: so many wait for each other; `threads` %" PRId32 " is what it can use",
           context->threads, cpus, cpus == 1 ? "" : "s", cpus);
}

static dfal_status create(dfal_context **out, const struct dfal_context_options *options)
{
    *out = NULL;
    struct dfal_context_options own;
    struct dfal_context *context;
    dfal_context_options_init(&own);
    DF_TRY(df_sized_take(&own, sizeof own, options, "dfal_context_options"));
    DF_TRY(df_alloc(&context, 1, sizeof *context));
    pthread_mutex_init(&context->event_lock, NULL);
    dfal_status status = fill(context, &own);
    if (status != DFAL_OK) {
        dfal_context_destroy(context);
        return status;
    }
    *out = context;
    return DFAL_OK;
}

dfal_status dfal_context_create(dfal_context **out, const struct dfal_context_options *options)
{
    DF_TRY(create(out, options));
    warn_threads(*out);
    return DFAL_OK;
}

dfal_status df_context_part(struct dfal_context **out, struct dfal_context *parent, const char *backend,
                            int32_t threads)
{
    struct dfal_context_options options = parent->options;
    *out = NULL;
    options.backend = backend;
    options.threads = threads;
    options.memory = parent->memory;
    options.comm = "self";
    DF_TRY(create(out, &options));
    (*out)->parent = parent;
    (*out)->local_rank = parent->local_rank;
    return DFAL_OK;
}

void dfal_context_destroy(dfal_context *context)
{
    if (!context)
        return;
    if (context->device && context->device_close)
        context->device_close(context->device);
    if (context->comm)
        context->comm_close(context->comm);
    df_free((char *)context->options.backend);
    df_free((char *)context->options.isa);
    df_free((char *)context->options.command_line);
    df_free((char *)context->options.comm);
    pthread_mutex_destroy(&context->event_lock);
    df_free(context);
}

dfal_status df_context_check_memory(const struct dfal_context *context, double bytes, const char *what,
                                    const char *instead)
{
    const double mega = 1e6, limit = (double)context->memory, left = limit - (double)df_memory_held();
    if (bytes <= left || bytes <= 0)
        return DFAL_OK;
    DF_FAIL(DFAL_E_MEMORY,
            "%s take %.1f MB, expected at most the %.1f MB that the memory limit of %.0f MB leaves: %s, or "
            "give more `memory`",
            what, bytes / mega, (left > 0 ? left : 0) / mega, limit / mega, instead);
}

void dfal_context_stop(dfal_context *context)
{
    atomic_store(&context->stop, SIGTERM);
}

void dfal_context_stop_by(dfal_context *context, int signal)
{
    atomic_store(&context->stop, signal > 0 ? signal : SIGTERM);
}

bool dfal_context_is_joining(const dfal_context *context)
{
    return atomic_load(&context->joining);
}

int32_t dfal_context_rank(const dfal_context *context)
{
    return context->rank;
}

bool dfal_context_kept_work(const dfal_context *context)
{
    return context->kept_work;
}

int df_context_stop_signal(const struct dfal_context *context)
{
    int signal = atomic_load(&context->stop);
    for (context = context->parent; context && !signal; context = context->parent)
        signal = atomic_load(&context->stop);
    return signal;
}

void df_context_stop_for(struct dfal_context *context, dfal_status status, const char *sentence)
{
    pthread_mutex_lock(&context->event_lock);
    if (context->stop_status == DFAL_OK) {
        context->stop_status = status;
        snprintf(context->stop_text, sizeof context->stop_text, "%s", sentence);
    }
    pthread_mutex_unlock(&context->event_lock);
    dfal_context_stop(context);
}

dfal_status df_context_stop_cause(struct dfal_context *context, char *text)
{
    struct dfal_context *job = df_context_job(context);
    pthread_mutex_lock(&job->event_lock);
    const dfal_status status = job->stop_status;
    snprintf(text, DF_STOP_TEXT, "%s", job->stop_text);
    pthread_mutex_unlock(&job->event_lock);
    return status;
}

dfal_status df_context_check_stop(const struct dfal_context *context)
{
    if (!df_context_stop_signal(context))
        return DFAL_OK;
    char text[DF_STOP_TEXT];
    if (df_context_stop_cause((struct dfal_context *)context, text) != DFAL_OK)
        DF_FAIL(DFAL_E_STOPPED, "%s", text);
    DF_FAIL(DFAL_E_STOPPED, "stopped on request");
}
