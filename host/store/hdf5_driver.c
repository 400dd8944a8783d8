/* SPDX-License-Identifier: Apache-2.0 */
/* An HDF5 file driver as "sec2", whose writes never fail as HDF5 sees it, and whose reads are checked. */
#include "store/hdf5_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "store/hdf5_check.h"
#include "store/hdf5_file.h"

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

/* What H5Fget_vfd_handle gives: HDF5 expects a POSIX driver's to begin with the descriptor. */
struct handle {
    int fd;
    int error; /* errno of the first failed write (then nothing more is written), of the last failed read */
    struct df_h5_source *source; /* NULL: the file is written */
};

/* What an access list carries to driver_open. */
struct open_by {
    int fd; /* -1: by its name, to be written */
};

struct driver {
    H5FD_t public_part; /* HDF5's, first */
    struct handle handle;
    haddr_t end;      /* of the addresses HDF5 has given out */
    haddr_t file_end; /* of the bytes written so far; of a file that is read, its size when it was opened */
    size_t waiting;   /* bytes written that the disk was not yet asked to take */
    struct df_h5_source source;
};

static struct driver *from(const H5FD_t *file)
{
    return (struct driver *)file;
}

/* What HDF5's stack then ends in. */
static herr_t blame(const char *what)
{
    H5Epush2(H5E_DEFAULT, "hdf5_driver.c", __func__, __LINE__, H5E_ERR_CLS, H5E_FILE, H5E_READERROR, "%s",
             what);
    return -1;
}

/* Why a file could not be opened, when its driver is gone again. */
static int open_error;

static herr_t fail_medium(struct driver *driver, int error, const char *what)
{
    open_error = driver->source.error = error;
    return blame(what);
}

static bool open_to_read(struct driver *driver, int fd)
{
    struct stat entry;
    driver->handle.fd = df_descriptor(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (driver->handle.fd < 0 || fstat(driver->handle.fd, &entry) != 0)
        return false;
    df_h5_source_begin(&driver->source, driver->handle.fd, (uint64_t)entry.st_size);
    driver->handle.source = &driver->source;
    driver->file_end = (haddr_t)entry.st_size;
    return true;
}

static bool open_to_write(struct driver *driver, const char *name)
{
    driver->handle.fd = df_descriptor(open(name, O_RDWR | O_TRUNC | O_CLOEXEC | O_NOFOLLOW));
    return driver->handle.fd >= 0;
}

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t limit)
{
    (void)flags, (void)limit;
    struct driver *driver;
    const struct open_by *by = H5Pget_driver_info(access);
    if (!by)
        return NULL;
    if (df_alloc(&driver, 1, sizeof *driver) != DFAL_OK) {
        open_error = ENOMEM;
        return NULL;
    }
    if (by->fd >= 0 ? open_to_read(driver, by->fd) : open_to_write(driver, name))
        return &driver->public_part;
    open_error = errno;
    blame(strerror(errno));
    if (driver->handle.fd >= 0)
        close(driver->handle.fd);
    df_free(driver);
    return NULL;
}

/* HDF5 1.10 keeps half of a file whose closing fails, and crashes over it at exit. Nothing is lost by not
 * telling: what was written is looked at again before it is published. */
static herr_t driver_close(H5FD_t *file)
{
    if (from(file)->handle.source)
        df_h5_source_end(from(file)->handle.source);
    close(from(file)->handle.fd);
    df_free(file);
    return 0;
}

/* The flags of sec2: the same file, byte for byte. A reader gets its metadata a piece at a time, so that
 * pieces can be checked. */
static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_POSIX_COMPAT_HANDLE | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    if (file && from(file)->handle.source)
        *flags &= ~(unsigned long)H5FD_FEAT_ACCUMULATE_METADATA;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return from(file)->end;
}

static herr_t driver_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    struct driver *driver = from(file);
    driver->end = address;
    driver->source.size = address < driver->file_end ? address : driver->file_end;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return from(file)->file_end;
}

static herr_t driver_get_handle(H5FD_t *file, hid_t access, void **handle)
{
    (void)access;
    *handle = &from(file)->handle;
    return 0;
}

static bool check_metadata(struct driver *driver, H5FD_mem_t type, haddr_t address, size_t size,
                           const void *bytes)
{
    static const enum df_h5_piece piece[H5FD_MEM_NTYPES] = {[H5FD_MEM_SUPER] = DF_H5_SUPERBLOCK,
                                                            [H5FD_MEM_BTREE] = DF_H5_TREE,
                                                            [H5FD_MEM_LHEAP] = DF_H5_LOCAL_HEAP,
                                                            [H5FD_MEM_OHDR] = DF_H5_HEADER};
    struct df_h5_source *source = driver->handle.source;
    if (!source || type == H5FD_MEM_DRAW || type == H5FD_MEM_GHEAP)
        return true;
    source->base = driver->public_part.base_addr;
    if (df_h5_check_piece(source, piece[type], address - source->base, bytes, size))
        return true;
    if (source->error)
        fail_medium(driver, source->error, strerror(source->error));
    else
        blame(source->why);
    return false;
}

/* Behind the end of a file that is written there are zeros. One that is read has grown shorter meanwhile. */
static herr_t driver_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                          void *buffer)
{
    (void)transfer;
    struct driver *driver = from(file);
    driver->source.error = 0;
    if (type == H5FD_MEM_DRAW && driver->source.raw_size && size != driver->source.raw_size)
        return blame("the size that stands beside a chunk's place is not a chunk's");
    if (driver->handle.source && (address > driver->file_end || size > driver->file_end - address))
        return blame("the file ends before what was to be read");
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(driver->handle.fd, (char *)buffer + done, size - done, (off_t)(address + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_medium(driver, errno, strerror(errno));
        if (n == 0 && driver->handle.source)
            return fail_medium(driver, EIO, "the file has become shorter");
        if (n == 0) {
            memset((char *)buffer + done, 0, size - done);
            return 0;
        }
        done += (size_t)n;
    }
    return check_metadata(driver, type, address, size, buffer) ? 0 : -1;
}

/* So many bytes of a growing file go to the disk at once: fsync finds little to wait for. */
static const size_t most_waiting = (size_t)8 << 20;

static void push(struct driver *driver, size_t written)
{
    driver->waiting += written;
    if (driver->waiting < most_waiting)
        return;
    (void)sync_file_range(driver->handle.fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* fsync tells what fails */
    driver->waiting = 0;
}

static herr_t driver_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                           const void *buffer)
{
    (void)type, (void)transfer;
    struct driver *driver = from(file);
    for (size_t done = 0; done < size && !driver->handle.error;) {
        ssize_t n =
            pwrite(driver->handle.fd, (const char *)buffer + done, size - done, (off_t)(address + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            driver->handle.error = n == 0 ? EIO : errno;
    }
    if (address + size > driver->file_end)
        driver->file_end = address + size;
    push(driver, size);
    return 0;
}

static herr_t driver_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    (void)transfer, (void)closing;
    struct driver *driver = from(file);
    if (driver->end != driver->file_end && !driver->handle.error &&
        ftruncate(driver->handle.fd, (off_t)driver->end) != 0)
        driver->handle.error = errno;
    driver->file_end = driver->end;
    return 0;
}

static const H5FD_class_t driver_class = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)511, /* the last of those anybody may take without asking */
#endif
    .name = "dfal",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct open_by),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .get_handle = driver_get_handle,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* HDF5 1.10 lets go of a driver before it has called it for the last time (H5FD_close): an id that is given
 * back while files are open ends in freed memory. So it is registered once and stays; the store's lock guards
 * it. A host program that calls H5close takes all ids with it. */
static hid_t driver_id = -1;

dfal_status df_h5_driver_use(hid_t access, int fd)
{
    const struct open_by by = {fd};
    open_error = 0;
    if (driver_id < 0 || H5Iget_type(driver_id) != H5I_VFL)
        driver_id = H5FDregister(&driver_class);
    if (driver_id < 0 || H5Pset_driver(access, driver_id, &by) < 0)
        return df_h5_fail(DFAL_E_INTERNAL, "HDF5 refuses a file driver");
    return DFAL_OK;
}

int df_h5_driver_open_error(void)
{
    return open_error;
}

static struct handle *handle_of(hid_t file)
{
    void *handle = NULL;
    return H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) >= 0 ? handle : NULL;
}

int df_h5_driver_descriptor(hid_t file)
{
    const struct handle *handle = handle_of(file);
    return handle ? handle->fd : -1;
}

int df_h5_driver_error(hid_t file)
{
    const struct handle *handle = handle_of(file);
    return handle ? handle->error : EIO;
}

void df_h5_driver_stop(hid_t file)
{
    struct handle *handle = handle_of(file);
    if (handle && !handle->error)
        handle->error = ECANCELED;
}

struct df_h5_source *df_h5_driver_source(hid_t file)
{
    struct handle *handle = handle_of(file);
    return handle ? handle->source : NULL;
}
