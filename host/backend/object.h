/* SPDX-License-Identifier: Apache-2.0 */
/* Back ends in shared objects.
 *
 * An object is linked with object.c in place of base/: its errors and its memory are those of the process
 * that loads it, so a caller finds an object's message where it finds any other, and what the object
 * allocates is counted. Its own source gives df_object_table; only object.c's dfal_backend_entry leaves it
 * (cmake/backend.map).
 * Traps    an object has one host: of two libdfal in one process, the last to open it. */
#ifndef DF_BACKEND_OBJECT_H
#define DF_BACKEND_OBJECT_H

#include <stdarg.h>

#include "backend/backend.h"

/* The process's own df_fail, df_fail_prefix, df_alloc and df_free. */
struct df_host {
    dfal_status (*fail)(dfal_status status, const char *format, va_list arguments);
    dfal_status (*fail_prefix)(dfal_status status, const char *format, va_list arguments);
    dfal_status (*alloc)(void *out_pointer, int64_t count, size_t size);
    void (*free)(void *pointer);
};

/* Exported by an object. Its table's abi says whether both mean the same by struct df_host, too: until the
 * host has compared it the object only keeps the pointer. */
typedef const struct df_backend *df_backend_entry(const struct df_host *host);
#define DF_BACKEND_ENTRY "dfal_backend_entry"
const struct df_backend *df_object_table(void);

/* Load the object at path and open its device. *name is what messages call it.
 * Errors   E_UNAVAILABLE with the loader's reason */
dfal_status df_object_open(struct df_device **out, const char *path, const char *name,
                           const struct df_device_options *options);

#endif
