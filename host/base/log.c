/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/context.h"
#include "base/number.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_SIZE = 2048 };

void df_say(struct dfal_context *context, dfal_level level, const char *name, const struct dfal_field *fields,
            int32_t field_count, const char *format, ...)
{
    if (context)
        context = df_context_job(context);
    if (!context || (!context->options.event && !context->tee))
        return;
    if (context->rank > 0 && level != DFAL_WARNING) /* rank 0 says it */
        return;
    char text[LINE_SIZE] = "";
    va_list arguments;
    pthread_mutex_lock(&context->event_lock);
    if (level == DFAL_PROGRESS && context->prefix)
        context->prefix(context->prefix_user, text, sizeof text);
    else if (context->rank > 0)
        snprintf(text, sizeof text, "rank %d on %s: ", context->rank, context->host);
    const size_t used = strlen(text);
    va_start(arguments, format);
    df_vprint(text + used, sizeof text - used, format, arguments);
    va_end(arguments);
    dfal_text_clean(text);
    struct dfal_event event = {level, name, text, fields, field_count};
    if (context->options.event)
        context->options.event(context->options.event_user, &event);
    if (context->tee)
        context->tee(context->tee_user, &event);
    pthread_mutex_unlock(&context->event_lock);
}

dfal_event_fn *df_log_sink(struct dfal_context *context, dfal_event_fn *sink)
{
    pthread_mutex_lock(&context->event_lock);
    dfal_event_fn *before = context->options.event;
    context->options.event = sink;
    pthread_mutex_unlock(&context->event_lock);
    return before;
}

void df_log_tee(struct dfal_context *context, dfal_event_fn *sink, void *user)
{
    pthread_mutex_lock(&context->event_lock);
    context->tee = sink;
    context->tee_user = user;
    pthread_mutex_unlock(&context->event_lock);
}

void df_log_prefix(struct dfal_context *context, df_prefix_fn *prefix, void *user)
{
    pthread_mutex_lock(&context->event_lock);
    context->prefix = prefix;
    context->prefix_user = user;
    pthread_mutex_unlock(&context->event_lock);
}

void df_time_iso(char text[32])
{
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}
