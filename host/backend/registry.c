/* SPDX-License-Identifier: Apache-2.0 */
/* Back ends by name. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/object.h"
#include "base/backend_name.h"
#include "base/beside.h"
#include "base/log.h"
#include "base/memory.h"

#define CUDA_LIBRARY "libdfal_cuda.so"
#define CUDA_DRIVER  "libcuda.so.1"

dfal_status df_cuda_find(char **path)
{
    DF_TRY(df_beside(path, CUDA_LIBRARY));
    return *path ? DFAL_OK : df_strdup(path, CUDA_LIBRARY);
}

static dfal_status open_cuda(struct df_device **out, const struct df_device_options *options)
{
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

static dfal_status open_dlopen(struct df_device **out, const struct df_device_options *options)
{
    struct df_device_options own = *options;
    own.spec = "";
    return df_object_open(out, options->spec, options->spec, &own);
}

static dfal_status open_check(struct df_device **out, const struct df_backend_name *name,
                              const struct df_device_options *options)
{
    struct df_device *a = NULL, *b = NULL;
    DF_TRY(df_device_open(&a, name->first, options->isa, options->queues));
    dfal_status status = df_device_open(&b, name->second, options->isa, options->queues);
    if (status == DFAL_OK)
        status = df_check_put(a, b);
    if (status == DFAL_OK) {
        *out = a;
        return DFAL_OK;
    }
    df_device_close(b);
    df_device_close(a);
    return status;
}

dfal_status df_group_open(struct df_device **out, const char *const *names, int32_t count, const char *isa,
                          int32_t queues)
{
    struct df_device **end = out;
    *out = NULL;
    for (int32_t i = 0; i < count; i++) {
        const dfal_status status = df_device_open(end, names[i], isa, queues);
        if (status != DFAL_OK) {
            df_device_close(*out);
            *out = NULL;
            return status;
        }
        (void)snprintf((*end)->name, sizeof(*end)->name, "%s", names[i]);
        end = &(*end)->next;
    }
    return DFAL_OK;
}

/* cuda:N,N,... */
static dfal_status open_cuda_list(struct df_device **out, const int32_t *device, int32_t count,
                                  const struct df_device_options *options)
{
    char text[DF_BACKEND_DEVICES][DF_DEVICE_NAME];
    const char *names[DF_BACKEND_DEVICES];
    for (int32_t i = 0; i < count; i++) {
        (void)snprintf(text[i], sizeof text[i], "cuda:%" PRId32, device[i]);
        names[i] = text[i];
    }
    return df_group_open(out, names, count, options->isa, options->queues);
}

/* cuda:all: the first tells how many there are. */
static dfal_status open_cuda_all(struct df_device **out, const struct df_device_options *options)
{
    int32_t numbers[DF_BACKEND_DEVICES];
    for (int32_t i = 0; i < DF_BACKEND_DEVICES; i++)
        numbers[i] = i;
    DF_TRY(open_cuda_list(out, numbers, 1, options));
    const int32_t found = (*out)->backend->device_count(*out),
                  count = found < DF_BACKEND_DEVICES ? found : (int32_t)DF_BACKEND_DEVICES;
    const dfal_status status = open_cuda_list(&(*out)->next, numbers + 1, count - 1, options);
    if (status != DFAL_OK) {
        df_device_close(*out);
        *out = NULL;
    }
    return status;
}

/* `cuda` of a rank: of the GPUs that it sees that of its number on its host, counted round. A launcher that
 * gives each rank a GPU shows it that one alone. The own one is asked for first, because a GPU may be closed
 * to a second process. */
static dfal_status open_cuda_of_rank(struct df_device **out, int32_t local_rank,
                                     const struct df_device_options *options)
{
    if (local_rank == 0)
        return open_cuda(out, options);
    if (open_cuda_list(out, &local_rank, 1, options) == DFAL_OK)
        return DFAL_OK;
    DF_TRY(open_cuda(out, options)); /* tells how many there are */
    const int32_t own = local_rank % (*out)->backend->device_count(*out);
    if (own == 0)
        return DFAL_OK;
    df_device_close(*out);
    return open_cuda_list(out, &own, 1, options);
}

static dfal_status open_auto(struct df_device **out, int32_t local_rank,
                             const struct df_device_options *options)
{
    if (!is_driver_there())
        (void)df_fail(DFAL_E_UNAVAILABLE, "the CUDA back end is not available: no NVIDIA driver");
    else if (open_cuda_of_rank(out, local_rank, options) == DFAL_OK)
        return DFAL_OK;
    return df_backend_open(out, &df_backend_cpu, "cpu", options);
}

static dfal_status open_named(struct df_device **out, const char *name, int32_t local_rank, const char *isa,
                              int32_t queues)
{
    struct df_backend_name asked;
    *out = NULL;
    if (queues < 1)
        DF_FAIL(DFAL_E_INTERNAL, "a device needs at least one queue, not %d", queues);
    DF_TRY(df_backend_name_read(&asked, name));
    const struct df_device_options options = {
        .spec = asked.spec, .isa = isa != NULL ? isa : "auto", .queues = queues};
    switch (asked.kind) {
    case DF_BACKEND_auto:
        return open_auto(out, local_rank, &options);
    case DF_BACKEND_cpu:
        return df_backend_open(out, &df_backend_cpu, name, &options);
    case DF_BACKEND_cuda:
        return asked.all                ? open_cuda_all(out, &options)
               : asked.device_count > 1 ? open_cuda_list(out, asked.device, asked.device_count, &options)
               : asked.device_count > 0 ? open_cuda(out, &options)
                                        : open_cuda_of_rank(out, local_rank, &options);
    case DF_BACKEND_ref:
        return df_backend_open(out, &df_backend_ref, name, &options);
    case DF_BACKEND_ref64:
        return df_backend_open(out, &df_backend_ref64, name, &options);
    case DF_BACKEND_check:
        return open_check(out, &asked, &options);
    case DF_BACKEND_dlopen:
        break;
    }
    return open_dlopen(out, &options);
}

dfal_status df_device_open(struct df_device **out, const char *name, const char *isa, int32_t queues)
{
    return open_named(out, name, 0, isa, queues);
}

static dfal_status open_for(struct dfal_context *context, const char *name)
{
    struct df_device *device = NULL;
    struct df_backend_name asked;
    DF_TRY(open_named(&device, name, context->local_rank, context->options.isa,
                      context->threads > 0 ? context->threads : 1));
    const dfal_status status = df_group_check(device, context->options.allow_mixed);
    if (status != DFAL_OK) {
        df_device_close(device);
        return status;
    }
    context->device = device;
    context->device_close = df_device_close;
    DF_TRY(df_backend_name_read(&asked, name));
    if (asked.kind == DF_BACKEND_auto && !device->own_memory)
        /* Most machines have no GPU, which is no news; one that is there and cannot be used is. */
        df_say(context, is_driver_there() ? DFAL_INFO : DFAL_DEBUG, "backend.fallback",
               DF_FIELDS(DF_TEXT("reason", dfal_last_error())), "back end cpu: %s", dfal_last_error());
    return DFAL_OK;
}

dfal_status df_context_device(struct dfal_context *context, struct df_device **out)
{
    const char *name = context->options.backend != NULL ? context->options.backend : "auto";
    *out = NULL;
    if (context->device == NULL)
        DF_TRY(open_for(context, name));
    *out = context->device;
    return DFAL_OK;
}
