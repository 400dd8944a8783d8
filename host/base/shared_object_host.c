/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into a shared object, never into libdfal: base/'s errors and memory as far as an object uses them,
 * passed on to the host. */
#include "base/shared_object.h"

#include <stdatomic.h>

#include "base/memory.h"

static const struct df_host *_Atomic host;

void df_object_take_host(const struct df_host *own)
{
    atomic_store(&host, own);
}

dfal_status df_fail(dfal_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    host->fail(status, format, arguments);
    va_end(arguments);
    return status;
}

dfal_status df_fail_prefix(dfal_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    host->fail_prefix(status, format, arguments);
    va_end(arguments);
    return status;
}

void df_message_get(char *text)
{
    host->message_get(text);
}

dfal_status df_alloc(void *out_pointer, int64_t count, size_t size)
{
    return host->alloc(out_pointer, count, size);
}

void df_free(void *pointer)
{
    host->free(pointer);
}
