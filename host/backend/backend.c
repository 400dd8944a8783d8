/* SPDX-License-Identifier: Apache-2.0 */
/* Back ends by name. */
#include "backend/backend.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/object.h"
#include "base/log.h"
#include "base/memory.h"

#define CUDA_LIBRARY "libdfal_cuda.so"
#define CUDA_DRIVER  "libcuda.so.1"

dfal_status df_cuda_find(char **path)
{
    static const char here;
    Dl_info own;
    *path = NULL;
    if (dladdr(&here, &own) != 0 && own.dli_fname != NULL) {
        const char *slash = strrchr(own.dli_fname, '/');
        const int folder = slash != NULL ? (int)(slash - own.dli_fname + 1) : 0;
        DF_TRY(df_format(path, "%.*s" CUDA_LIBRARY, folder, own.dli_fname));
        if (folder > 0 && access(*path, R_OK) == 0)
            return DFAL_OK;
        df_free(*path);
    }
    return df_strdup(path, CUDA_LIBRARY);
}

static dfal_status open_cuda(struct df_device **out, const struct df_device_options *options)
{
    for (const char *c = options->spec; *c != '\0'; c++)
        if (*c < '0' || *c > '9' || c - options->spec > 3)
            DF_FAIL(DFAL_E_USAGE, "the device of back end 'cuda:%s' is not a number: expected cuda:0",
                    options->spec);
    char *path = NULL;
    DF_TRY(df_cuda_find(&path));
    const dfal_status status = df_object_open(out, path, "CUDA", options);
    df_free(path);
    return status;
}

/* Without a driver there is no need to load CUDA's libraries, which are a gigabyte. */
static bool is_driver_there(void)
{
    return dlopen(CUDA_DRIVER, RTLD_LAZY | RTLD_LOCAL) != NULL;
}

static dfal_status open_auto(struct df_device **out, const struct df_device_options *options)
{
    if (!is_driver_there())
        (void)df_fail(DFAL_E_UNAVAILABLE, "the CUDA back end is not available: no NVIDIA driver");
    else if (open_cuda(out, options) == DFAL_OK)
        return DFAL_OK;
    return df_backend_open(out, &df_backend_cpu, "cpu", options);
}

static dfal_status open_dlopen(struct df_device **out, const struct df_device_options *options)
{
    struct df_device_options own = *options;
    own.spec = "";
    return df_object_open(out, options->spec, options->spec, &own);
}

enum spec { SPEC_NONE, SPEC_MAY, SPEC_MUST };

/* Names, the function that opens them, and whether something follows behind a colon. */
static const struct {
    const char *name;
    dfal_status (*open)(struct df_device **out, const struct df_device_options *options);
    const struct df_backend *backend; /* when open is NULL */
    enum spec spec;
    const char *form;
} known[] = {
    {"auto", open_auto, NULL, SPEC_NONE, "auto"},
    {"cpu", NULL, &df_backend_cpu, SPEC_NONE, "cpu"},
    {"cuda", open_cuda, NULL, SPEC_MAY, "cuda or cuda:N"},
    {"ref", NULL, &df_backend_ref, SPEC_NONE, "ref"},
    {"ref64", NULL, &df_backend_ref64, SPEC_NONE, "ref64"},
    {"check", df_check_open, NULL, SPEC_MUST, "check:A:B"},
    {"dlopen", open_dlopen, NULL, SPEC_MUST, "dlopen:PATH"},
};
enum { KNOWN = sizeof known / sizeof known[0] };

dfal_status df_device_open(struct df_device **out, const char *name, const char *isa, int32_t queues)
{
    *out = NULL;
    const char *colon = strchr(name, ':');
    const size_t length = colon != NULL ? (size_t)(colon - name) : strlen(name);
    const char *spec = colon != NULL ? colon + 1 : "";
    if (queues < 1)
        DF_FAIL(DFAL_E_INTERNAL, "a device needs at least one queue, not %d", queues);
    for (int i = 0; i < KNOWN; i++) {
        if (strlen(known[i].name) != length || memcmp(known[i].name, name, length) != 0)
            continue;
        if ((known[i].spec == SPEC_NONE && colon != NULL) || (known[i].spec == SPEC_MUST && *spec == '\0') ||
            (known[i].spec == SPEC_MAY && colon != NULL && *spec == '\0'))
            DF_FAIL(DFAL_E_USAGE, "bad back end '%s': expected %s", name, known[i].form);
        const struct df_device_options options = {
            .spec = spec, .isa = isa != NULL ? isa : "auto", .queues = queues};
        return known[i].open != NULL ? known[i].open(out, &options)
                                     : df_backend_open(out, known[i].backend, known[i].name, &options);
    }
    return df_fail_backend(name);
}

dfal_status df_record_begin(struct df_device *device, int32_t queue, bool *on)
{
    *on = false;
    if (device->backend->record_begin == NULL)
        return DFAL_OK;
    const dfal_status status = device->backend->record_begin(device, queue);
    *on = status == DFAL_OK;
    return status == DFAL_E_UNAVAILABLE ? DFAL_OK : status;
}

/* A library may refuse to be recorded although it runs; a device that is really lost says so in the next call. */
dfal_status df_record(struct dfal_context *context, struct df_device *device, int32_t queue,
                      struct df_recording **out, dfal_status (*calls)(void *arg), void *arg)
{
    bool on;
    *out = NULL;
    DF_TRY(df_record_begin(device, queue, &on));
    if (!on)
        return DFAL_OK;
    dfal_status status = calls(arg);
    DF_KEEP_FIRST(status, device->backend->record_end(device, queue, out));
    if (status != DFAL_E_UNAVAILABLE && status != DFAL_E_MEMORY)
        return status;
    char reason[DF_MESSAGE_SIZE];
    df_message_get(reason);
    df_say(context, DFAL_WARNING, "device.recording", DF_FIELDS(DF_TEXT("reason", reason)),
           "the device could not record its calls, which run one by one now: %.800s", reason);
    return DFAL_OK;
}

void df_device_close(struct df_device *device)
{
    if (device != NULL)
        device->backend->device_close(device);
}

dfal_status df_context_device(struct dfal_context *context, struct df_device **out)
{
    *out = NULL;
    if (context->device == NULL) {
        const char *name = context->options.backend != NULL ? context->options.backend : "auto";
        DF_TRY(df_device_open(&context->device, name, context->options.isa,
                              context->threads > 0 ? context->threads : 1));
        context->device_close = df_device_close;
        if (strcmp(name, "auto") == 0 && strcmp(context->device->info.backend, "cpu") == 0)
            /* Most machines have no GPU, which is no news; one that is there and cannot be used is. */
            df_say(context, is_driver_there() ? DFAL_INFO : DFAL_DEBUG, "backend.fallback",
                   DF_FIELDS(DF_TEXT("reason", dfal_last_error())), "back end cpu: %s", dfal_last_error());
    }
    *out = context->device;
    return DFAL_OK;
}

void df_device_isa(char text[DF_ISA_TEXT], const struct df_device *device)
{
    const struct df_device_info *info = &device->info;
    if (device->wide)
        (void)snprintf(text, DF_ISA_TEXT, "%s (%s)", info->isa, info->device);
    else
        (void)snprintf(text, DF_ISA_TEXT, "%s", info->isa);
}

dfal_status df_buffer_new(struct df_device *device, struct df_span *out, enum df_type type, int64_t count)
{
    *out = (struct df_span){NULL, 0};
    return device->backend->buffer_create(device, &out->buffer, type, count);
}

void df_buffer_drop(struct df_device *device, struct df_span *span)
{
    if (span->buffer != NULL)
        device->backend->buffer_destroy(device, span->buffer);
    *span = (struct df_span){NULL, 0};
}
