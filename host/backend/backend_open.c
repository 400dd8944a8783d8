/* SPDX-License-Identifier: Apache-2.0 */
/* A device's slots: which of them a back end must give, what stands in for those that it need not, and
 * what stands in front. */
#include <string.h>

#include "backend/wrapper.h"

/* What of a table goes together: all of a group, or none; of the first, all. */
enum group { REQUIRED, FUSED, RECORD };

static const struct slot {
    const char *name;
    size_t at;
    enum group group;
} slots[] = {
#define SLOT(name, group)                                                                                    \
    {                                                                                                        \
#name, offsetof(struct df_backend, name), group                                                      \
    }
    SLOT(device_open, REQUIRED),    SLOT(device_close, REQUIRED), SLOT(buffer_create, REQUIRED),
    SLOT(buffer_destroy, REQUIRED), SLOT(write, REQUIRED),        SLOT(read, REQUIRED),
    SLOT(read_f64, REQUIRED),       SLOT(layer_create, REQUIRED), SLOT(layer_destroy, REQUIRED),
    SLOT(layer_bind, REQUIRED),     SLOT(run, REQUIRED),          SLOT(synchronize, REQUIRED),
    SLOT(fused_create, FUSED),      SLOT(fused_destroy, FUSED),   SLOT(fused_bind, FUSED),
    SLOT(fused_run, FUSED),         SLOT(record_begin, RECORD),   SLOT(record_end, RECORD),
    SLOT(record_run, RECORD),       SLOT(record_destroy, RECORD),
#undef SLOT
};
enum { SLOTS = sizeof slots / sizeof *slots };

static bool is_there(const struct df_backend *table, const struct slot *slot)
{
    void (*function)(void);
    memcpy(&function, (const char *)table + slot->at, sizeof function);
    return function != NULL;
}

static dfal_status check_slots(const struct df_backend *table, const char *name)
{
    bool begun[] = {[REQUIRED] = true, [FUSED] = false, [RECORD] = false};
    for (int i = 0; i < SLOTS; i++)
        begun[slots[i].group] = begun[slots[i].group] || is_there(table, &slots[i]);
    for (int i = 0; i < SLOTS; i++)
        if (begun[slots[i].group] && !is_there(table, &slots[i]))
            DF_FAIL(DFAL_E_UNAVAILABLE, "the %s back end is not available: its table has no %s", name,
                    slots[i].name);
    return DFAL_OK;
}

/* ---- Defaults -------------------------------------------------------------------------------- */

static int64_t no_memory(struct df_device *device)
{
    (void)device;
    return 0;
}

static void no_text(struct df_device *device, const struct df_layer *layer, enum df_layer_kind kind,
                    char *text, size_t size)
{
    (void)device, (void)layer, (void)kind, (void)size;
    *text = '\0';
}

static int64_t scratch_not_told(struct df_device *device, const struct df_layer *layer,
                                enum df_layer_kind kind, int64_t rows)
{
    (void)device, (void)layer, (void)kind, (void)rows;
    return -1;
}

dfal_status df_backend_open(struct df_device **out, const struct df_backend *table, const char *name,
                            const struct df_device_options *options)
{
    struct df_device *device = NULL;
    *out = NULL;
    DF_TRY(check_slots(table, name));
    DF_TRY(table->device_open(&device, options));
    device->slots = *table;
    if (table->memory_free == NULL)
        device->slots.memory_free = no_memory;
    if (table->layer_text == NULL)
        device->slots.layer_text = no_text;
    if (table->layer_scratch == NULL)
        device->slots.layer_scratch = scratch_not_told;
    device->backend = &device->slots;
    *out = device;
    return DFAL_OK;
}

/* ---- Wrappers -------------------------------------------------------------------------------- */

void df_wrapper_put(struct df_wrapper *wrapper, struct df_device *device)
{
    wrapper->inner = *device;
    wrapper->slots = *device->backend;
    device->backend = &wrapper->slots;
    device->wrapper = wrapper;
}

void df_wrapper_take(struct df_wrapper *wrapper, struct df_device *device)
{
    *device = wrapper->inner;
}

struct df_wrapper *df_wrapper_of(const struct df_device *device, df_run_fn *run)
{
    struct df_wrapper *wrapper = device->wrapper;
    while (wrapper->slots.run != run)
        wrapper = wrapper->inner.wrapper;
    return wrapper;
}

void df_slots_one_by_one(struct df_backend *table)
{
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].group != REQUIRED)
            memset((char *)table + slots[i].at, 0, sizeof(void (*)(void)));
}
