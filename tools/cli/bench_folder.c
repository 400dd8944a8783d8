/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

dfal_status bench_folder_make(struct bench_folder *folder)
{
    *folder = (struct bench_folder){"/tmp/dfal-bench-XXXXXX"};
    if (mkdtemp(folder->path) == NULL)
        return usage_error(DFAL_E_EXISTS, "%s: cannot make a temporary folder", folder->path);
    return DFAL_OK;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    return remove(path);
}

void bench_folder_remove(const struct bench_folder *folder)
{
    nftw(folder->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *bench_folder_file(char path[BENCH_PATH], const struct bench_folder *folder, const char *name)
{
    snprintf(path, BENCH_PATH, "%s/%s", folder->path, name);
    return path;
}
