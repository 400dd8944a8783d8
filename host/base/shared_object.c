/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shared_object.h"

#include <dlfcn.h>
#include <string.h>

#include "base/memory.h"

static const struct df_host services = {
    .fail = df_fail_list,
    .fail_prefix = df_fail_prefix_list,
    .message_get = df_message_get,
    .alloc = df_alloc,
    .free = df_free,
};

dfal_status df_object_load(const void **table, const char *path, const char *what, const char *entry,
                           int32_t abi)
{
    *table = NULL;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        DF_FAIL(DFAL_E_UNAVAILABLE, "%s is not available: %s", what, dlerror());
    df_object_entry *open;
    void *symbol = dlsym(object, entry);
    if (symbol == NULL) {
        dlclose(object);
        DF_FAIL(DFAL_E_UNAVAILABLE, "%s is not available: %s does not export %s", what, path, entry);
    }
    memcpy(&open, &symbol, sizeof open);
    const void *found = open(&services);
    int32_t spoken = 0;
    if (found != NULL)
        memcpy(&spoken, found, sizeof spoken);
    if (spoken != abi) {
        dlclose(object);
        DF_FAIL(DFAL_E_UNAVAILABLE, "%s is not available: %s speaks ABI %d, this dfal speaks %d", what, path,
                spoken, abi);
    }
    *table = found;
    return DFAL_OK;
}
