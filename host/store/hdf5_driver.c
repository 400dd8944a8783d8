/* SPDX-License-Identifier: Apache-2.0 */
/* An HDF5 file driver as "sec2", whose writes never fail as HDF5 sees it. */
#include "store/hdf5_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/memory.h"

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

/* What H5Fget_vfd_handle gives: HDF5 expects a POSIX driver's to begin with the descriptor. */
struct handle {
    int fd;
    int error; /* errno of the first failed write; once set nothing more is written */
};

struct driver {
    H5FD_t public_part; /* HDF5's, first */
    struct handle handle;
    haddr_t end;      /* of the addresses HDF5 has given out */
    haddr_t file_end; /* of the bytes written so far */
    size_t waiting;   /* bytes written that the disk was not yet asked to take */
};

static struct driver *from(const H5FD_t *file)
{
    return (struct driver *)file;
}

/* For reading a file that is there, else for writing one that its owner has made. */
static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t limit)
{
    (void)access, (void)limit;
    const bool write = flags & H5F_ACC_RDWR;
    struct driver *driver;
    struct stat facts;
    if (df_alloc(&driver, 1, sizeof *driver) != DFAL_OK)
        return NULL;
    driver->handle.fd = open(name, (write ? O_RDWR | O_TRUNC : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
    if (driver->handle.fd < 0 || fstat(driver->handle.fd, &facts) != 0) {
        if (driver->handle.fd >= 0)
            close(driver->handle.fd);
        df_free(driver);
        return NULL;
    }
    driver->file_end = (haddr_t)facts.st_size;
    return &driver->public_part;
}

static herr_t driver_close(H5FD_t *file)
{
    close(from(file)->handle.fd);
    df_free(file);
    return 0;
}

/* The flags of sec2: the same file, byte for byte. */
static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_POSIX_COMPAT_HANDLE | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
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
    from(file)->end = address;
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

/* Behind the end of the file there are zeros. */
static herr_t driver_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                          void *buffer)
{
    (void)type, (void)transfer;
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(from(file)->handle.fd, (char *)buffer + done, size - done, (off_t)(address + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0) {
            memset((char *)buffer + done, 0, size - done);
            return 0;
        }
        done += (size_t)n;
    }
    return 0;
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

dfal_status df_h5_driver_use(hid_t access)
{
    hid_t id = H5FDregister(&driver_class);
    herr_t set = id < 0 ? -1 : H5Pset_driver(access, id, NULL);
    /* The list, and later the file, keep it alive. */
    if (id >= 0)
        H5FDunregister(id);
    return set < 0 ? df_h5_fail(DFAL_E_INTERNAL, "HDF5 refuses a file driver") : DFAL_OK;
}

static struct handle *handle_of(hid_t file)
{
    void *handle = NULL;
    return H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) >= 0 ? handle : NULL;
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
