/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into a back end's shared object, never into libdfal: its entry. */
#include "backend/object.h"

DFAL_API df_object_entry dfal_backend_entry;

const void *dfal_backend_entry(const struct df_host *host)
{
    df_object_take_host(host);
    return df_object_table();
}
