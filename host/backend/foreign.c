/* SPDX-License-Identifier: Apache-2.0 */
/* A back end in a shared object, behind the same table: calls go straight through; on an error the message,
 * which lives in the object's own copy of base/, becomes this library's. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/memory.h"

struct foreign_device {
    struct df_device base;
    struct df_device *inner;
};

static struct df_device *inner_of(struct df_device *device)
{
    return ((struct foreign_device *)device)->inner;
}

static dfal_status carry(const struct df_backend *backend, dfal_status status)
{
    if (status == DFAL_OK)
        return DFAL_OK;
    const char *text = backend->last_error != NULL ? backend->last_error() : "";
    return df_fail(status, "%s", *text != '\0' ? text : dfal_status_name(status));
}

static dfal_status foreign_open_again(struct df_device **out, const struct df_device_options *options)
{
    return df_foreign_open(out, options->spec, options->spec, options);
}

static void foreign_close(struct df_device *device)
{
    struct df_device *inner = inner_of(device);
    inner->backend->device_close(inner);
    df_free(device); /* the object stays loaded: its threads and tables may outlive a device */
}

static int64_t foreign_memory_free(struct df_device *device)
{
    return df_device_memory_free(inner_of(device));
}

static dfal_status foreign_buffer_create(struct df_device *device, struct df_buffer **out, enum df_type type,
                                         int64_t count)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->buffer_create(inner, out, type, count));
}

static void foreign_buffer_destroy(struct df_device *device, struct df_buffer *buffer)
{
    inner_of(device)->backend->buffer_destroy(inner_of(device), buffer);
}

static dfal_status foreign_write(struct df_device *device, int32_t queue, struct df_span to, const void *from,
                                 int64_t count)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->write(inner, queue, to, from, count));
}

static dfal_status foreign_read(struct df_device *device, int32_t queue, void *to, struct df_span from,
                                int64_t count)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->read(inner, queue, to, from, count));
}

static dfal_status foreign_read_f64(struct df_device *device, int32_t queue, double *to, struct df_span from,
                                    int64_t count)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->read_f64(inner, queue, to, from, count));
}

static dfal_status foreign_layer_create(struct df_device *device, struct df_layer **out,
                                        const struct df_layer_desc *desc)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->layer_create(inner, out, desc));
}

static void foreign_layer_destroy(struct df_device *device, struct df_layer *layer)
{
    inner_of(device)->backend->layer_destroy(inner_of(device), layer);
}

static dfal_status foreign_layer_bind(struct df_device *device, int32_t queue, struct df_layer *layer,
                                      struct df_span weight, struct df_span bias)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->layer_bind(inner, queue, layer, weight, bias));
}

static void foreign_layer_text(struct df_device *device, const struct df_layer *layer,
                               enum df_layer_kind kind, char *text, size_t size)
{
    df_layer_text(inner_of(device), layer, kind, text, size);
}

static int64_t foreign_layer_scratch(struct df_device *device, const struct df_layer *layer,
                                     enum df_layer_kind kind, int64_t rows)
{
    return df_layer_scratch(inner_of(device), layer, kind, rows);
}

static dfal_status foreign_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->run(inner, queue, call));
}

static dfal_status foreign_stack_create(struct df_device *device, struct df_stack **out,
                                        const struct df_stack_desc *desc)
{
    struct df_device *inner = inner_of(device);
    if (inner->backend->stack_create == NULL)
        DF_FAIL(DFAL_E_UNAVAILABLE, "the back end has no fused networks");
    return carry(inner->backend, inner->backend->stack_create(inner, out, desc));
}

static void foreign_stack_destroy(struct df_device *device, struct df_stack *stack)
{
    inner_of(device)->backend->stack_destroy(inner_of(device), stack);
}

static dfal_status foreign_stack_bind(struct df_device *device, int32_t queue, struct df_stack *stack,
                                      struct df_span parameters)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->stack_bind(inner, queue, stack, parameters));
}

static dfal_status foreign_stack_run(struct df_device *device, int32_t queue,
                                     const struct df_stack_call *call)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->stack_run(inner, queue, call));
}

static dfal_status foreign_record_begin(struct df_device *device, int32_t queue)
{
    struct df_device *inner = inner_of(device);
    if (inner->backend->record_begin == NULL)
        DF_FAIL(DFAL_E_UNAVAILABLE, "the back end has no recordings");
    return carry(inner->backend, inner->backend->record_begin(inner, queue));
}

static dfal_status foreign_record_end(struct df_device *device, int32_t queue, struct df_recording **out)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->record_end(inner, queue, out));
}

static dfal_status foreign_record_run(struct df_device *device, int32_t queue, struct df_recording *recording)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->record_run(inner, queue, recording));
}

static void foreign_record_destroy(struct df_device *device, struct df_recording *recording)
{
    if (recording != NULL)
        inner_of(device)->backend->record_destroy(inner_of(device), recording);
}

static dfal_status foreign_synchronize(struct df_device *device, int32_t queue)
{
    struct df_device *inner = inner_of(device);
    return carry(inner->backend, inner->backend->synchronize(inner, queue));
}

static const struct df_backend backend_foreign = {
    .abi = DF_BACKEND_ABI,
    .name = "foreign",
    .device_open = foreign_open_again,
    .device_close = foreign_close,
    .memory_free = foreign_memory_free,
    .buffer_create = foreign_buffer_create,
    .buffer_destroy = foreign_buffer_destroy,
    .write = foreign_write,
    .read = foreign_read,
    .read_f64 = foreign_read_f64,
    .layer_create = foreign_layer_create,
    .layer_destroy = foreign_layer_destroy,
    .layer_bind = foreign_layer_bind,
    .layer_text = foreign_layer_text,
    .layer_scratch = foreign_layer_scratch,
    .run = foreign_run,
    .stack_create = foreign_stack_create,
    .stack_destroy = foreign_stack_destroy,
    .stack_bind = foreign_stack_bind,
    .stack_run = foreign_stack_run,
    .record_begin = foreign_record_begin,
    .record_end = foreign_record_end,
    .record_run = foreign_record_run,
    .record_destroy = foreign_record_destroy,
    .synchronize = foreign_synchronize,
};

/* Find the table of the object at path. */
static dfal_status load(const struct df_backend **out, const char *path, const char *name)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        DF_FAIL(DFAL_E_UNAVAILABLE, "the %s back end is not available: %s", name, dlerror());
    df_backend_entry *entry;
    void *symbol = dlsym(object, DF_BACKEND_ENTRY);
    if (symbol == NULL) {
        dlclose(object);
        DF_FAIL(DFAL_E_UNAVAILABLE, "the %s back end is not available: %s does not export %s", name, path,
                DF_BACKEND_ENTRY);
    }
    memcpy(&entry, &symbol, sizeof entry);
    const struct df_backend *backend = entry();
    const int32_t abi = backend != NULL ? backend->abi : 0;
    if (abi != DF_BACKEND_ABI) {
        dlclose(object);
        DF_FAIL(DFAL_E_UNAVAILABLE, "the %s back end is not available: %s speaks ABI %d, this dfal speaks %d",
                name, path, abi, DF_BACKEND_ABI);
    }
    *out = backend;
    return DFAL_OK;
}

dfal_status df_foreign_open(struct df_device **out, const char *path, const char *name,
                            const struct df_device_options *options)
{
    *out = NULL;
    const struct df_backend *backend = NULL;
    struct foreign_device *device;
    DF_TRY(load(&backend, path, name));
    DF_TRY(df_alloc(&device, 1, sizeof *device));
    dfal_status status = carry(backend, backend->device_open(&device->inner, options));
    if (status != DFAL_OK) {
        df_free(device);
        return status;
    }
    device->base = *device->inner;
    device->base.backend = &backend_foreign;
    *out = &device->base;
    return DFAL_OK;
}
