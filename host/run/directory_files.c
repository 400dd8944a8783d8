/* SPDX-License-Identifier: Apache-2.0 */
#include "run/directory_files.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

/* What a run writes, in the order in which it is removed: the configuration last. As long as that is there
 * the folder is known for a run directory, also to whoever comes after a kill in the middle. */
static const char *const own_files[] = {"curve.csv",    "queries.csv", "classes.csv",
                                        "transfer.csv", "report.html", "config.yaml"};
static const char *const own_folders[] = {"state", "networks"};
enum {
    OWN_FILES = sizeof own_files / sizeof *own_files,
    OWN_FOLDERS = sizeof own_folders / sizeof *own_folders
};

dfal_status df_run_directory_apart(const char *dir, bool force, const char *const *inputs, int32_t count)
{
    struct df_claim claim = DF_CLAIM_NONE;
    char *paths[OWN_FILES + OWN_FOLDERS + 1] = {NULL};
    int32_t n = 0;
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; i < OWN_FOLDERS; i++, n++) {
        DF_TRY_TO(done, status, df_format(&paths[n], "%s/%s", dir, own_folders[i]));
        DF_TRY_TO(done, status, df_claim_folder(&claim, paths[n], "run directory's folder"));
    }
    for (int32_t i = 0; i <= OWN_FILES; i++, n++) {
        const char *name = i < OWN_FILES ? own_files[i] : DF_RUN_LOG;
        DF_TRY_TO(done, status, df_format(&paths[n], "%s/%s", dir, name));
        /* Who goes on with a run by its own configuration has it replaced by nobody. */
        if (force || strcmp(name, "config.yaml") != 0 || !df_file_exists(paths[n]))
            DF_TRY_TO(done, status, df_claim_output(&claim, paths[n], "run directory's file"));
    }
    status = df_claim_inputs(&claim, inputs, count);
done:
    df_claim_end(&claim);
    for (int32_t i = 0; i < OWN_FILES + OWN_FOLDERS + 1; i++)
        df_free(paths[i]);
    return status;
}

dfal_status df_run_directory_inputs(const struct df_claim *claim, const char *dir)
{
    static const char *const also[] = {DF_RUN_LOG, "state/identity"};
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; i < OWN_FILES + 2 && status == DFAL_OK; i++) {
        const char *name = i < OWN_FILES ? own_files[i] : also[i - OWN_FILES];
        char *path = NULL;
        if (!strcmp(name, "report.html")) /* the usual place for it */
            continue;
        DF_TRY(df_format(&path, "%s/%s", dir, name));
        status = df_claim_input(claim, path);
        df_free(path);
    }
    return status;
}

dfal_status df_run_files_clear(const char *dir, int log)
{
    char *path = NULL;
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; i < OWN_FOLDERS && status == DFAL_OK; i++) {
        DF_TRY(df_format(&path, "%s/%s", dir, own_folders[i]));
        if (df_folder_exists(path)) /* in state/ a trainer works, who may leave folders there */
            status = i == 0 ? df_folder_remove_all(path) : df_folder_remove(path);
        df_free(path);
    }
    if (status == DFAL_OK && ftruncate(log, 0))
        status = df_fail_errno(errno, true, DF_RUN_LOG, "shortening");
    for (int32_t i = 0; i < OWN_FILES && status == DFAL_OK; i++) {
        DF_TRY(df_format(&path, "%s/%s", dir, own_files[i]));
        if (unlink(path) && errno != ENOENT)
            status = df_fail_errno(errno, true, path, "removing");
        df_free(path);
    }
    return status;
}

void df_run_files_sweep(const char *dir)
{
    for (int32_t i = 0; i < OWN_FOLDERS; i++) {
        char *path;
        if (df_format(&path, "%s/%s", dir, own_folders[i]) == DFAL_OK)
            df_folder_sweep(path);
        df_free(path);
    }
}

/* Temporaries of a dead process among it. */
static bool is_own(const char *name)
{
    bool own = !strcmp(name, DF_RUN_LOG) || !strcmp(name, ".") || !strcmp(name, "..");
    for (int32_t i = 0; i < OWN_FOLDERS; i++)
        own = own || !strcmp(name, own_folders[i]);
    for (int32_t i = 0; i < OWN_FILES; i++)
        own = own || !strcmp(name, own_files[i]) || df_file_is_temporary(name, own_files[i]);
    return own;
}

dfal_status df_run_files_alone(const char *dir)
{
    DIR *folder = opendir(dir);
    dfal_status status = DFAL_OK;
    if (!folder)
        return df_fail_errno(errno, false, dir, "opening the folder");
    for (struct dirent *entry; status == DFAL_OK && (entry = readdir(folder));)
        if (!is_own(entry->d_name))
            status = df_fail(DFAL_E_EXISTS, "%s holds %s, expected nothing but what a run writes", dir,
                             entry->d_name);
    closedir(folder);
    return status;
}
