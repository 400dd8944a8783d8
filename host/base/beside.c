/* SPDX-License-Identifier: Apache-2.0 */
#include "base/beside.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

dfal_status df_beside(char **path, const char *relative)
{
    static const char here;
    Dl_info own;
    *path = NULL;
    if (dladdr(&here, &own) == 0 || own.dli_fname == NULL)
        return DFAL_OK;
    const char *slash = strrchr(own.dli_fname, '/');
    if (!slash)
        return DFAL_OK;
    DF_TRY(df_format(path, "%.*s%s", (int)(slash - own.dli_fname + 1), own.dli_fname, relative));
    if (access(*path, R_OK) != 0) {
        df_free(*path);
        *path = NULL;
    }
    return DFAL_OK;
}
