/* SPDX-License-Identifier: Apache-2.0 */
/* A device's functions: which of them a back end must give, what stands in for those that it need not, and
 * what stands in front. */
#include <string.h>

#include "backend/wrapper.h"

/* What of a table goes together: all of a group, or none; of the first, all. */
enum group { REQUIRED, FUSED, CHAIN, RECORD, LINK };

static const struct function {
    const char *name;
    size_t at;
    enum group group;
} functions[] = {
#define FUNCTION(name, group)                                                                                \
    {                                                                                                        \
#name, offsetof(struct df_backend, name), group                                                      \
    }
    FUNCTION(device_open, REQUIRED),    FUNCTION(device_close, REQUIRED), FUNCTION(buffer_create, REQUIRED),
    FUNCTION(buffer_destroy, REQUIRED), FUNCTION(write, REQUIRED),        FUNCTION(read, REQUIRED),
    FUNCTION(read_f64, REQUIRED),       FUNCTION(layer_create, REQUIRED), FUNCTION(layer_destroy, REQUIRED),
    FUNCTION(layer_bind, REQUIRED),     FUNCTION(run, REQUIRED),          FUNCTION(synchronize, REQUIRED),
    FUNCTION(fused_create, FUSED),      FUNCTION(fused_destroy, FUSED),   FUNCTION(fused_bind, FUSED),
    FUNCTION(fused_run, FUSED),         FUNCTION(record_begin, RECORD),   FUNCTION(record_end, RECORD),
    FUNCTION(chain_create, CHAIN),      FUNCTION(chain_destroy, CHAIN),   FUNCTION(chain_load, CHAIN),
    FUNCTION(chain_store, CHAIN),       FUNCTION(chain_run, CHAIN),       FUNCTION(record_run, RECORD),
    FUNCTION(record_destroy, RECORD),   FUNCTION(link_text, LINK),        FUNCTION(link_id, LINK),
    FUNCTION(link_open, LINK),          FUNCTION(link_close, LINK),       FUNCTION(link_broadcast, LINK),
#undef FUNCTION
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static bool is_there(const struct df_backend *table, const struct function *function)
{
    void (*pointer)(void);
    memcpy(&pointer, (const char *)table + function->at, sizeof pointer);
    return pointer != NULL;
}

static dfal_status check_functions(const struct df_backend *table, const char *name)
{
    bool begun[] = {[REQUIRED] = true, [LINK] = false};
    for (int i = 0; i < FUNCTIONS; i++)
        begun[functions[i].group] = begun[functions[i].group] || is_there(table, &functions[i]);
    for (int i = 0; i < FUNCTIONS; i++)
        if (begun[functions[i].group] && !is_there(table, &functions[i]))
            DF_FAIL(DFAL_E_UNAVAILABLE, "the %s back end is not available: its table has no %s", name,
                    functions[i].name);
    return DFAL_OK;
}

/* ---- Defaults -------------------------------------------------------------------------------- */

static int32_t one_device(struct df_device *device)
{
    (void)device;
    return 1;
}

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

static int64_t fused_scratch_not_told(struct df_device *device, const struct df_fused *fused)
{
    (void)device, (void)fused;
    return -1;
}

dfal_status df_backend_open(struct df_device **out, const struct df_backend *table, const char *name,
                            const struct df_device_options *options)
{
    struct df_device *device = NULL;
    *out = NULL;
    DF_TRY(check_functions(table, name));
    DF_TRY(table->device_open(&device, options));
    device->functions = *table;
    if (table->device_count == NULL)
        device->functions.device_count = one_device;
    if (table->memory_free == NULL)
        device->functions.memory_free = no_memory;
    if (table->layer_text == NULL)
        device->functions.layer_text = no_text;
    if (table->fused_scratch == NULL)
        device->functions.fused_scratch = fused_scratch_not_told;
    if (table->layer_scratch == NULL)
        device->functions.layer_scratch = scratch_not_told;
    device->backend = &device->functions;
    *out = device;
    return DFAL_OK;
}

/* ---- Wrappers -------------------------------------------------------------------------------- */

void df_wrapper_put(struct df_wrapper *wrapper, struct df_device *device)
{
    wrapper->inner = *device;
    wrapper->functions = *device->backend;
    device->backend = &wrapper->functions;
    device->wrapper = wrapper;
}

void df_wrapper_take(struct df_wrapper *wrapper, struct df_device *device)
{
    *device = wrapper->inner;
}

struct df_wrapper *df_wrapper_of(const struct df_device *device, df_run_fn *run)
{
    struct df_wrapper *wrapper = device->wrapper;
    while (wrapper->functions.run != run)
        wrapper = wrapper->inner.wrapper;
    return wrapper;
}

void df_backend_one_by_one(struct df_backend *table)
{
    for (int i = 0; i < FUNCTIONS; i++)
        if (functions[i].group != REQUIRED)
            memset((char *)table + functions[i].at, 0, sizeof(void (*)(void)));
}
