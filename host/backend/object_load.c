/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/object.h"

#include <stdio.h>

dfal_status df_object_open(struct df_device **out, const char *path, const char *name,
                           const struct df_device_options *options)
{
    char what[1024];
    const void *table;
    *out = NULL;
    snprintf(what, sizeof what, "the %s back end", name);
    DF_TRY(df_object_load(&table, path, what, DF_BACKEND_ENTRY, DF_BACKEND_ABI));
    return df_backend_open(out, table, name, options);
}
