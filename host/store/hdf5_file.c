/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, creating and publishing HDF5 files under one lock. */
#include "store/hdf5_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/kind.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/parts.h"
#include "store/hdf5_driver.h"
#include "store/hdf5_source.h"

/* HDF5 keeps process-wide state and many builds of it are not thread-safe, hence one process-wide lock. The
 * caller's own error printing and plugin settings are put back when it is let go. */
static struct {
    struct df_lock lock;
    H5E_auto2_t print;
    void *print_data;
    unsigned plugins;
} h5_lock = {.lock = DF_LOCK_STATIC};

void df_h5_lock(void)
{
    df_lock_take(&h5_lock.lock);
    h5_lock.print = NULL;
    h5_lock.print_data = NULL;
    h5_lock.plugins = 0;
    H5Eget_auto2(H5E_DEFAULT, &h5_lock.print, &h5_lock.print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLget_loading_state(&h5_lock.plugins);
    H5PLset_loading_state(0);
}

void df_h5_unlock(void)
{
    H5PLset_loading_state(h5_lock.plugins);
    H5Eset_auto2(H5E_DEFAULT, h5_lock.print, h5_lock.print_data);
    df_lock_release(&h5_lock.lock);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static herr_t refuse_external(const char *parent_file, const char *parent_group, const char *child_file,
                              const char *child_object, unsigned *flags, hid_t access, void *user)
{
    (void)parent_file, (void)parent_group, (void)child_file, (void)child_object, (void)flags, (void)access;
    *(bool *)user = true;
    return -1;
}

static dfal_status check_plain(const char *path, int64_t *size)
{
    struct stat entry;
    if (stat(path, &entry) != 0) {
        const int error = errno;
        if (error == ENOENT && df_parts_are_left(path))
            DF_FAIL(DFAL_E_NOINPUT, "%s is not there yet, its job is unfinished: dfal status %s tells more",
                    path, path);
        return df_fail_errno(error, false, path, "open");
    }
    if (S_ISDIR(entry.st_mode))
        return df_refuse_kind(path, "an HDF5 file");
    if (!S_ISREG(entry.st_mode))
        DF_FAIL(DFAL_E_DATA, "%s is a device or a pipe, expected an HDF5 file", path);
    if (entry.st_size == 0)
        DF_FAIL(DFAL_E_DATA, "%s is empty, expected an HDF5 file", path);
    if (access(path, R_OK) != 0)
        return df_fail_errno(errno, false, path, "open");
    *size = entry.st_size;
    return DFAL_OK;
}

/* Open path read-only with the driver; HDF5's stack stands on failure. No locks: they protect a writer's
 * readers, but a file that appears by rename is never written again, and many network file systems have
 * none. */
static hid_t open_by_driver(const char *path, int fd)
{
    hid_t file = -1, access = H5Pcreate(H5P_FILE_ACCESS);
    H5Eclear2(H5E_DEFAULT);
    if (access < 0 || df_h5_driver_use(access, fd) != DFAL_OK)
        goto done;
    H5Pset_file_locking(access, 0, 1);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    file = df_fault_hits(DF_FAULT_OPEN) ? -1 : H5Fopen(path, H5F_ACC_RDONLY, access);
done:
    if (file < 0) {
        /* H5Pclose would clear the error stack. */
        hid_t stack = H5Eget_current_stack();
        H5Pclose(access);
        H5Eset_current_stack(stack);
    } else {
        H5Pclose(access);
    }
    return file;
}

/* Errors   E_NOINPUT; E_DATA no HDF5 file, or a damaged one; E_IO */
static dfal_status open_read_only(hid_t *file, const char *path)
{
    dfal_status status = DFAL_OK;
    struct stat entry;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *file = -1;
    if (fd < 0 || fstat(fd, &entry) != 0) {
        status = df_fail_errno(errno, false, path, "open");
        goto done;
    }
    if (df_h5_find_superblock(fd, entry.st_size) < 0) {
        status = df_refuse_kind(path, "an HDF5 file");
        if (status == DFAL_OK)
            status = df_fail(DFAL_E_DATA, "%s is not an HDF5 file", path);
        goto done;
    }
    *file = open_by_driver(path, fd);
    if (*file >= 0)
        goto done;
    if (df_h5_driver_open_error())
        status = df_fail_errno(df_h5_driver_open_error(), false, path, "read");
    else
        status = df_h5_fail(DFAL_E_DATA, "%s cannot be opened as HDF5: truncated or damaged", path);
done:
    if (fd >= 0)
        close(fd);
    return status;
}

dfal_status df_h5_open(struct df_h5 *h5, const char *path, bool plugins)
{
    dfal_status status;
    *h5 = DF_H5_NONE;
    h5->plugins = plugins;
    DF_TRY(check_plain(path, &h5->size));
    DF_TRY_TO(done, status, df_strdup(&h5->path, path));
    DF_TRY_TO(done, status, open_read_only(&h5->file, path));
    DF_TRY_TO(done, status, df_file_mark(&h5->mark, df_h5_driver_descriptor(h5->file), path));
    h5->size = h5->mark.size;
    h5->source = df_h5_driver_source(h5->file);
    /* No cache for chunks that are not packed: HDF5 then reads the rows it needs from where the chunk lies.
     * Through the cache it would believe the size that stands beside the chunk's place. */
    h5->access = H5Pcreate(H5P_DATASET_ACCESS);
    if (h5->access < 0 || H5Pset_elink_cb(h5->access, refuse_external, &h5->external) < 0 ||
        H5Pset_chunk_cache(h5->access, DF_H5_CACHE_SLOTS, 0, DF_H5_CACHE_POLICY) < 0)
        status = df_h5_fail(DFAL_E_INTERNAL, "%s: HDF5 refuses a link access list", path);
done:
    if (status != DFAL_OK)
        df_h5_close(h5);
    return status;
}

dfal_status df_h5_unchanged(const struct df_h5 *h5)
{
    return df_file_unchanged(&h5->mark, df_h5_driver_descriptor(h5->file), h5->path, true);
}

dfal_status df_h5_read_end(struct df_h5 *h5, dfal_status status)
{
    if (status == DFAL_OK)
        status = df_h5_unchanged(h5);
    df_h5_close(h5);
    return status;
}

/* ---- Writing -------------------------------------------------------------------------------- */

dfal_status df_h5_create(struct df_h5 *h5, const char *path, bool force)
{
    dfal_status status;
    hid_t access = -1, creation = -1;
    *h5 = DF_H5_NONE;
    DF_TRY(df_file_check_target(path, force));
    df_file_sweep(path);
    DF_TRY_TO(done, status, df_strdup(&h5->path, path));
    DF_TRY_TO(done, status, df_file_temporary(&h5->temporary, &h5->fd, path));
    h5->replace = force;
    access = H5Pcreate(H5P_FILE_ACCESS);
    creation = H5Pcreate(H5P_FILE_CREATE);
    /* The oldest format that can say it: every reader opens it. */
    if (access < 0 || creation < 0 ||
        H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V110) < 0 ||
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0 || H5Pset_obj_track_times(creation, 0) < 0) {
        status = df_h5_fail(DFAL_E_INTERNAL, "%s: HDF5 refuses a property list", path);
        goto done;
    }
    DF_TRY_TO(done, status, df_h5_driver_use(access, -1));
    if (!df_fault_hits(DF_FAULT_OPEN))
        h5->file = H5Fcreate(h5->temporary, H5F_ACC_TRUNC, creation, access);
    h5->access = H5Pcreate(H5P_DATASET_ACCESS);
    if (h5->file < 0 || h5->access < 0)
        status = df_h5_fail(DFAL_E_IO, "%s cannot be created", path);
done:
    if (access >= 0)
        H5Pclose(access);
    if (creation >= 0)
        H5Pclose(creation);
    if (status != DFAL_OK)
        df_h5_close(h5);
    return status;
}

dfal_status df_h5_written(const struct df_h5 *h5)
{
    int error = h5->temporary ? df_h5_driver_error(h5->file) : 0;
    return error ? df_fail_errno(error, true, h5->path, "write") : DFAL_OK;
}

static dfal_status flush(struct df_h5 *h5)
{
    const bool fault = df_fault_hits(DF_FAULT_FLUSH);
    if (H5Fflush(h5->file, H5F_SCOPE_GLOBAL) < 0 || fault)
        return df_h5_fail(DFAL_E_IO, "%s cannot be written: flushing failed", h5->path);
    return df_h5_written(h5);
}

static dfal_status close_file(struct df_h5 *h5)
{
    bool fault = df_fault_hits(DF_FAULT_CLOSE);
    herr_t closed = H5Fclose(h5->file);
    h5->file = -1;
    if (closed < 0 || fault)
        return df_h5_fail(DFAL_E_IO, "%s cannot be written: closing failed", h5->path);
    return DFAL_OK;
}

static herr_t open_each(hid_t root, const char *name, const H5O_info_t *info, void *user)
{
    (void)user;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    hid_t data = H5Dopen2(root, name, H5P_DEFAULT);
    if (data < 0)
        return -1;
    /* Every dataset dfal writes is written whole: contiguous ones have an address, chunked ones a size. */
    hid_t space = H5Dget_space(data);
    herr_t result =
        space >= 0 && (H5Sget_simple_extent_npoints(space) == 0 || H5Dget_storage_size(data) > 0) ? 0 : -1;
    if (space >= 0)
        H5Sclose(space);
    return H5Dclose(data) < 0 ? -1 : result;
}

/* What a disk took is not always what it gives back: opening again compares the end of file that the
 * superblock records with the file, and walks all metadata. */
static dfal_status look_again(const struct df_h5 *h5)
{
    hid_t file;
    if (open_read_only(&file, h5->temporary) != DFAL_OK)
        return df_h5_fail(DFAL_E_IO, "%s cannot be written: what was written cannot be opened again",
                          h5->path);
    herr_t walked = H5Ovisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, open_each, NULL);
    dfal_status status = DFAL_OK;
    if (walked < 0)
        status = df_h5_fail(DFAL_E_IO, "%s cannot be written: what was written is not complete", h5->path);
    H5Fclose(file);
    return status;
}

dfal_status df_h5_seal(struct df_h5 *h5)
{
    DF_TRY(flush(h5));
    DF_TRY(close_file(h5));
    return look_again(h5);
}

dfal_status df_h5_publish(struct df_h5 *h5)
{
    dfal_status status;
    DF_TRY_TO(done, status, df_h5_seal(h5));
    df_h5_unlock(); /* others work while the disk does */
    status = df_file_publish(h5->temporary, h5->path, h5->replace);
    df_h5_lock();
    df_free(h5->temporary); /* renamed, or removed by df_file_publish */
    h5->temporary = NULL;
done:
    df_h5_close(h5);
    return status;
}

void df_h5_close(struct df_h5 *h5)
{
    if (h5->access >= 0)
        H5Pclose(h5->access);
    if (h5->file >= 0) {
        if (h5->temporary)
            df_h5_driver_stop(h5->file);
        H5Fclose(h5->file);
    }
    if (h5->fd >= 0)
        close(h5->fd);
    if (h5->temporary)
        unlink(h5->temporary);
    df_free(h5->temporary);
    df_free(h5->path);
    *h5 = DF_H5_NONE;
}

/* ---- What kind of file ---------------------------------------------------------------------- */

dfal_status df_h5_format(const struct df_h5 *h5, char format[32])
{
    format[0] = '\0';
    bool there;
    DF_TRY(df_h5_has(h5, "format", &there));
    if (!there)
        return DFAL_OK;
    hid_t attribute = H5Aopen(h5->file, "format", H5P_DEFAULT);
    if (attribute < 0)
        return df_h5_fail(df_h5_blame(h5), "%s: attribute 'format' cannot be read", h5->path);
    hid_t type = H5Aget_type(attribute);
    bool text = type >= 0 && H5Tget_class(type) == H5T_STRING;
    if (type >= 0)
        H5Tclose(type);
    H5Aclose(attribute);
    return text ? df_h5_get_short(h5, "format", format, 32) : DFAL_OK;
}

dfal_status df_h5_expect(const struct df_h5 *h5, const char *format)
{
    char found[32];
    DF_TRY(df_h5_format(h5, found));
    const char *expected = strncmp(format, "dfal-", 5) == 0 ? format + 5 : format;
    const char *foreign = found[0] ? NULL : df_h5_foreign(h5);
    if (!found[0])
        DF_FAIL(DFAL_E_DATA, "%s has no attribute 'format', expected a dfal %s%s%s", h5->path, expected,
                foreign ? "; " : "", foreign ? foreign : "");
    if (strcmp(found, format) != 0 && strncmp(found, "dfal-", 5) == 0)
        DF_FAIL(DFAL_E_DATA, "%s is a dfal %s, expected a dfal %s", h5->path, found + 5, expected);
    if (strcmp(found, format) != 0)
        DF_FAIL(DFAL_E_DATA, "%s is of format '%s', expected a dfal %s", h5->path, found, expected);
    int64_t version;
    DF_TRY(df_h5_get_one(h5, "version", &version, 0, INT32_MAX));
    if (version != 1)
        DF_FAIL(DFAL_E_DATA, "%s is a dfal %s of version %lld, this dfal reads version 1", h5->path, expected,
                (long long)version);
    return DFAL_OK;
}

dfal_status df_h5_stamp(struct df_h5 *h5, const char *format)
{
    char created[32];
    int64_t version = 1;
    df_time_iso(created);
    DF_TRY(df_h5_put_text(h5, h5->file, "format", format));
    DF_TRY(df_h5_put_ints(h5, h5->file, "version", &version, 1, true));
    return df_h5_put_text(h5, h5->file, "created", created);
}

const char *df_h5_shape(char text[DF_H5_SHAPE_TEXT], const int64_t *dims, int32_t rank)
{
    int used = snprintf(text, DF_H5_SHAPE_TEXT, "[");
    for (int32_t i = 0; i < rank && used < DF_H5_SHAPE_TEXT - 24; i++)
        used +=
            snprintf(text + used, DF_H5_SHAPE_TEXT - (size_t)used, i ? ", %lld" : "%lld", (long long)dims[i]);
    snprintf(text + used, DF_H5_SHAPE_TEXT - (size_t)used, "]");
    return text;
}
