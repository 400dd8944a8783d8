/* SPDX-License-Identifier: Apache-2.0 */
/* What HDF5 says of a failure, as part of a sentence, and whose fault it is. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "store/hdf5_file.h"
#include "store/hdf5_source.h"

/* The first entry of an upward walk is the innermost: what really happened. */
static herr_t innermost(unsigned n, const H5E_error2_t *entry, void *text)
{
    if (n == 0 && entry->desc)
        snprintf(text, 512, "%s", entry->desc);
    return 0;
}

/* "file write failed: time = ..., errno = 28, error message = 'No space left on device', buf = ..." is cut
 * down to what failed and why. */
static void shorten(char text[512])
{
    char *what = strstr(text, ": time = "), *why = strstr(text, "error message = '");
    if (what && why && what < why) {
        why += strlen("error message = '");
        size_t length = strcspn(why, "'");
        memmove(what + 2, why, length);
        what[2 + length] = '\0';
    }
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

static void stack_text(char text[512])
{
    text[0] = '\0';
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, text);
    H5Eclear2(H5E_DEFAULT);
}

dfal_status df_h5_fail(dfal_status status, const char *format, ...)
{
    char text[DF_MESSAGE_SIZE], inner[512];
    va_list arguments;
    va_start(arguments, format);
    df_vprint(text, sizeof text, format, arguments);
    va_end(arguments);
    stack_text(inner);
    shorten(inner);
    if (inner[0])
        return df_fail(status, "%s (HDF5: %s)", text, inner);
    return df_fail(status, "%s", text);
}

dfal_status df_h5_blame(const struct df_h5 *h5)
{
    const int error = h5->source ? h5->source->error : 0;
    return error == ENOMEM ? DFAL_E_MEMORY : error ? DFAL_E_IO : DFAL_E_DATA;
}
