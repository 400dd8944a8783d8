/* SPDX-License-Identifier: Apache-2.0 */
/* Shared objects of dfal's own, loaded when they are asked for.
 *
 * An object is linked with shared_object_host.c in place of base/: its errors and its memory are those of the
 * process that loads it, so a caller finds an object's message where it finds any other, and what the object
 * allocates is counted. One name leaves it: its entry, which gives a table whose first member is an int32_t,
 * the ABI that it speaks.
 * Traps    an object has one host: of two libdfal in one process, the last to load it. */
#ifndef DF_BASE_SHARED_OBJECT_H
#define DF_BASE_SHARED_OBJECT_H

#include <stdarg.h>

#include "base/status.h"

/* The process's own df_fail, df_fail_prefix, df_message_get, df_alloc and df_free. */
struct df_host {
    dfal_status (*fail)(dfal_status status, const char *format, va_list arguments);
    dfal_status (*fail_prefix)(dfal_status status, const char *format, va_list arguments);
    void (*message_get)(char *text);
    dfal_status (*alloc)(void *out_pointer, int64_t count, size_t size);
    void (*free)(void *pointer);
};

/* The entry's type. The ABI says whether both mean the same by struct df_host, too: until the host has
 * compared it the object only keeps the pointer. */
typedef const void *df_object_entry(const struct df_host *host);

/* Load the object at path for good (its threads and tables may outlive what was opened of it) and get its
 * table. what: the subject of messages, "the CUDA back end".
 * Errors   E_UNAVAILABLE with the loader's reason; no such entry; another ABI */
dfal_status df_object_load(const void **table, const char *path, const char *what, const char *entry,
                           int32_t abi);

/* The object's side: whose errors and memory are used from now on. Every load gives the host again, so one
 * that was unloaded meanwhile is not called. */
void df_object_take_host(const struct df_host *host);

#endif
