/* SPDX-License-Identifier: Apache-2.0 */
/* Back ends in shared objects (base/shared_object.h). An object's own source gives df_object_table; only
 * object.c's dfal_backend_entry leaves it (cmake/backend.map). */
#ifndef DF_BACKEND_OBJECT_H
#define DF_BACKEND_OBJECT_H

#include "backend/backend.h"
#include "base/shared_object.h"

#define DF_BACKEND_ENTRY "dfal_backend_entry"
const struct df_backend *df_object_table(void);

/* Load the object at path and open its device. *name is what messages call it.
 * Errors   E_UNAVAILABLE with the loader's reason */
dfal_status df_object_open(struct df_device **out, const char *path, const char *name,
                           const struct df_device_options *options);

#endif
