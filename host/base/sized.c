/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sized.h"

#include <string.h>

/* Far more than a struct of options will have. A struct that nobody has filled mostly begins with something
 * larger, or 0. */
enum { LARGEST = 65536 };

void df_sized_init(void *to, size_t size, const void *defaults, size_t defaults_size)
{
    if (size < sizeof size)
        return;
    memset(to, 0, size);
    memcpy(to, defaults, size < defaults_size ? size : defaults_size);
    memcpy(to, &size, sizeof size);
}

static size_t size_of(const void *given)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

dfal_status df_sized_check(const void *result, const char *name)
{
    if (!result)
        return DFAL_OK;
    const size_t size = size_of(result);
    if (size <= sizeof size || size > LARGEST)
        DF_FAIL(DFAL_E_USAGE, "a struct %s says that it has %zu bytes, expected one filled by %s_init", name,
                size, name);
    return DFAL_OK;
}

dfal_status df_sized_take(void *own, size_t own_size, const void *given, const char *name)
{
    if (!given)
        return DFAL_OK;
    DF_TRY(df_sized_check(given, name));
    const size_t size = size_of(given);
    const unsigned char *bytes = given;
    for (size_t i = own_size; i < size; i++)
        if (bytes[i])
            DF_FAIL(DFAL_E_USAGE,
                    "a struct %s of %zu bytes sets a field that dfal %s does not know, expected at most its "
                    "%zu bytes",
                    name, size, DFAL_VERSION, own_size);
    memcpy(own, given, size < own_size ? size : own_size);
    memcpy(own, &own_size, sizeof own_size);
    return DFAL_OK;
}

void df_sized_give(void *result, const void *own, size_t own_size)
{
    if (!result)
        return;
    const size_t size = size_of(result);
    memcpy((unsigned char *)result + sizeof size, (const unsigned char *)own + sizeof size,
           (size < own_size ? size : own_size) - sizeof size);
}

void dfal_result_init(void *result, size_t size)
{
    df_sized_init(result, size, &size, sizeof size);
}
