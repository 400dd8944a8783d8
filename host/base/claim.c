/* SPDX-License-Identifier: Apache-2.0 */
#include "base/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/at_work.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/file_mark.h"
#include "base/memory.h"
#include "base/parts.h"

struct df_claim_target {
    const char *path, *what; /* as given */
    char *lock_path;
    int lock; /* -1: not taken */
    bool folder;
};

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The folder that path, which holds a slash, lies in: cut off in place. */
static void cut_base(char *path)
{
    char *slash = strrchr(path, '/');
    slash[slash == path] = 0;
}

static bool stat_folder_of(const char *path, struct stat *facts)
{
    char *folder;
    if (df_format(&folder, "%s%s", strchr(path, '/') ? "" : "./", path) != DFAL_OK)
        return false;
    cut_base(folder);
    bool there = stat(folder, facts) == 0;
    df_free(folder);
    return there;
}

/* ---- Apart ---------------------------------------------------------------------------------- */

/* Two names of one file, be it there or not. */
static bool is_one_file(const char *a, const char *b)
{
    struct stat x, y;
    if (strcmp(a, b) == 0)
        return true;
    const bool there = stat(a, &x) == 0;
    if (there != (stat(b, &y) == 0))
        return false;
    if (there)
        return is_same(&x, &y);
    return strcmp(base_of(a), base_of(b)) == 0 && stat_folder_of(a, &x) && stat_folder_of(b, &y) &&
           is_same(&x, &y);
}

/* Whether real, a path without links, lies in the folder at any depth. */
static bool lies_in(const char *real, const char *folder)
{
    struct stat inside, facts;
    char *at;
    bool found = false;
    if (stat(folder, &facts) != 0 || df_strdup(&at, real) != DFAL_OK)
        return false;
    while (!found && at[1]) {
        cut_base(at);
        found = stat(at, &inside) == 0 && is_same(&inside, &facts);
    }
    df_free(at);
    return found;
}

static bool is_temporary_or_part(const char *real, const struct df_claim_target *target)
{
    struct stat folder, ours;
    char *parts;
    if (df_file_is_temporary(base_of(real), base_of(target->path)) && stat_folder_of(real, &folder) &&
        stat_folder_of(target->path, &ours) && is_same(&folder, &ours))
        return true;
    if (!df_parts_is_own(base_of(real)) || df_format(&parts, "%s" DF_PARTS_SUFFIX, target->path) != DFAL_OK)
        return false;
    const bool is_part = lies_in(real, parts);
    df_free(parts);
    return is_part;
}

static dfal_status check(const struct df_claim_target *target, const char *path, const char *real)
{
    if (target->folder ? lies_in(real, target->path) : is_temporary_or_part(real, target))
        DF_FAIL(DFAL_E_USAGE,
                "%s is read, and as a part of the %s %s it may be replaced or removed, expected it elsewhere",
                path, target->what, target->path);
    if (!target->folder && is_one_file(path, target->path))
        DF_FAIL(DFAL_E_USAGE,
                "%s is read and %s is to be written, which are one file, expected another for the %s", path,
                target->path, target->what);
    return DFAL_OK;
}

dfal_status df_claim_input(const struct df_claim *claim, const char *path)
{
    char *real = path && claim->count ? realpath(path, NULL) : NULL;
    dfal_status status = DFAL_OK;
    for (int32_t i = 0; real && i < claim->count && status == DFAL_OK; i++)
        status = check(&claim->targets[i], path, real);
    free(real);
    return status;
}

dfal_status df_claim_inputs(const struct df_claim *claim, const char *const *paths, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        DF_TRY(df_claim_input(claim, paths[i]));
    return DFAL_OK;
}

dfal_status df_claim_pool(const struct df_claim *claim, const char *path,
                          const struct dfal_pool_options *options)
{
    DF_TRY(df_claim_input(claim, path));
    return options ? df_claim_inputs(claim, options->label_files, options->label_file_count) : DFAL_OK;
}

bool df_claim_may_clash(const struct df_claim *claim)
{
    for (int32_t i = 0; i < claim->count; i++)
        if (claim->targets[i].folder || df_file_exists(claim->targets[i].path))
            return true;
    return false;
}

/* ---- Outputs -------------------------------------------------------------------------------- */

static dfal_status add(struct df_claim *claim, const char *path, const char *what, bool folder)
{
    if (!path)
        return DFAL_OK;
    for (int32_t i = 0; i < claim->count && !folder; i++) {
        const struct df_claim_target *other = &claim->targets[i];
        if (!other->folder && is_one_file(other->path, path))
            DF_FAIL(DFAL_E_USAGE, "%s is named for the %s and for the %s%s%s, expected two files", path,
                    other->what, what, strcmp(path, other->path) ? ", another name of it being " : "",
                    strcmp(path, other->path) ? other->path : "");
    }
    DF_TRY(df_resize(&claim->targets, claim->count, claim->count + 1, sizeof *claim->targets));
    claim->targets[claim->count++] =
        (struct df_claim_target){.path = path, .what = what, .lock = -1, .folder = folder};
    return DFAL_OK;
}

dfal_status df_claim_output(struct df_claim *claim, const char *path, const char *what)
{
    return add(claim, path, what, false);
}

dfal_status df_claim_folder(struct df_claim *claim, const char *path, const char *what)
{
    return add(claim, path, what, true);
}

static int open_lock(const char *path)
{
    int fd = df_fault_hits(DF_FAULT_OPEN) ? -1 : df_file_make(AT_FDCWD, path, O_RDWR | O_NONBLOCK);
    /* Another user's, from before a kill. A network file system locks only what is open for writing. */
    return fd < 0 && errno == EACCES ? df_file_make(AT_FDCWD, path, O_RDONLY | O_NONBLOCK) : fd;
}

/* Lock the file that has the name now: whoever held it before has removed his. */
static dfal_status lock(struct df_claim_target *target)
{
    bool ours;
    df_free(target->lock_path);
    DF_TRY(df_format(&target->lock_path, "%s" DF_OWNER_SUFFIX, target->path));
    for (;;) {
        errno = EIO;
        target->lock = open_lock(target->lock_path);
        if (target->lock < 0)
            return df_fail_errno(errno, true, target->lock_path, "creating it");
        const bool locked = df_file_lock(target->lock);
        if (!locked && errno == EWOULDBLOCK) {
            close(target->lock);
            target->lock = -1;
            DF_FAIL(DFAL_E_EXISTS,
                    "%s: another process is working on this output, expected an output of its own",
                    target->path);
        }
        ours = !locked;
        if (locked)
            DF_TRY(df_file_has_name(&ours, target->lock, target->lock_path));
        if (ours) {
            df_at_work_mark(target->lock);
            return DFAL_OK;
        }
        close(target->lock);
        target->lock = -1;
    }
}

/* Own an output, and remove what dead jobs have left beside it. */
static dfal_status own(struct df_claim_target *target)
{
    DF_TRY(lock(target));
    df_file_sweep(target->path);
    df_parts_sweep(target->path);
    return DFAL_OK;
}

static dfal_status take(struct df_claim_target *target, bool force)
{
    const char *path = target->path;
    char message[DF_MESSAGE_SIZE];
    const dfal_status found = df_file_check_target(path, force);
    if (found == DFAL_OK) {
        DF_TRY(own(target));
        return df_file_check_target(path, force); /* again: its last owner may just have finished it */
    }
    if (!df_folder_exists(path) && df_file_exists(path)) {
        df_message_get(message);
        (void)own(target);
        df_message_set(message);
    }
    return found;
}

/* One output is there already, so the job ends: what is left beside the others goes all the same. */
static void clean_others(struct df_claim *claim)
{
    char message[DF_MESSAGE_SIZE];
    df_message_get(message);
    for (int32_t i = 0; i < claim->count; i++) {
        struct df_claim_target *target = &claim->targets[i];
        if (!target->folder && target->lock < 0 && df_file_check_target(target->path, true) == DFAL_OK)
            (void)own(target);
    }
    df_message_set(message);
}

static struct df_claim_target *find(const struct df_claim *claim, const char *path)
{
    for (int32_t i = 0; path && i < claim->count; i++)
        if (!claim->targets[i].folder && strcmp(claim->targets[i].path, path) == 0)
            return &claim->targets[i];
    return NULL;
}

dfal_status df_claim_take(struct df_claim *claim, const char *path, bool force)
{
    struct df_claim_target *target = find(claim, path);
    if (!target)
        return DFAL_OK;
    const dfal_status status = take(target, force);
    if (status != DFAL_OK && target->lock >= 0)
        clean_others(claim);
    return status;
}

bool df_claim_owns(const struct df_claim *claim, const char *path)
{
    const struct df_claim_target *target = find(claim, path);
    return target && target->lock >= 0;
}

dfal_status df_claim_files(struct df_claim *claim, const char *out_path, const char *network,
                           const char *pool_path, const struct dfal_pool_options *options)
{
    DF_TRY(df_claim_output(claim, out_path, "output"));
    DF_TRY(df_claim_input(claim, network));
    return df_claim_pool(claim, pool_path, options);
}

dfal_status df_claim_job(struct df_claim *claim, const char *out_path, const char *network,
                         const char *pool_path, const struct dfal_pool_options *options, bool force)
{
    DF_TRY(df_claim_files(claim, out_path, network, pool_path, options));
    return df_claim_take(claim, out_path, force);
}

void df_claim_end(struct df_claim *claim)
{
    for (int32_t i = 0; i < claim->count; i++) {
        struct df_claim_target *target = &claim->targets[i];
        if (target->lock >= 0) {
            (void)unlink(target->lock_path); /* still held: nobody else's */
            close(target->lock);
        }
        df_free(target->lock_path);
    }
    df_free(claim->targets);
    *claim = DF_CLAIM_NONE;
}
