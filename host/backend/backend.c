/* SPDX-License-Identifier: Apache-2.0 */
/* Short ways to a device's functions. */
#include "backend/backend.h"
#include "base/log.h"

dfal_status df_record_begin(struct df_device *device, int32_t queue, bool *on)
{
    *on = false;
    if (device->backend->record_begin == NULL)
        return DFAL_OK;
    const dfal_status status = device->backend->record_begin(device, queue);
    *on = status == DFAL_OK;
    return status == DFAL_E_UNAVAILABLE ? DFAL_OK : status;
}

/* A library may refuse to be recorded although it runs; a device that is really lost says so in the next
 * call. */
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
