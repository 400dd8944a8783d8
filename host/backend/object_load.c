/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of back ends in shared objects. An object stays loaded: its threads and tables may
 * outlive a device. */
#include <dlfcn.h>
#include <string.h>

#include "backend/object.h"
#include "base/memory.h"

static const struct df_host services = {
    .fail = df_fail_list,
    .fail_prefix = df_fail_prefix_list,
    .alloc = df_alloc,
    .free = df_free,
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
    const struct df_backend *backend = entry(&services);
    const int32_t abi = backend != NULL ? backend->abi : 0;
    if (abi != DF_BACKEND_ABI) {
        dlclose(object);
        DF_FAIL(DFAL_E_UNAVAILABLE, "the %s back end is not available: %s speaks ABI %d, this dfal speaks %d",
                name, path, abi, DF_BACKEND_ABI);
    }
    *out = backend;
    return DFAL_OK;
}

dfal_status df_object_open(struct df_device **out, const char *path, const char *name,
                           const struct df_device_options *options)
{
    const struct df_backend *backend = NULL;
    *out = NULL;
    DF_TRY(load(&backend, path, name));
    return df_backend_open(out, backend, name, options);
}
