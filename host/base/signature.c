/* SPDX-License-Identifier: Apache-2.0 */
#include "base/signature.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/file.h"

dfal_status df_folder_sign(int folder, const char *path, char signature[DF_SIGNATURE])
{
    unsigned char bytes[(DF_SIGNATURE - 1) / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return df_fail_errno(errno, true, path, "drawing its signature");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(signature + 2 * i, 3, "%02x", bytes[i]);
    const int fd = df_file_make(folder, DF_SIGNATURE_NAME, O_WRONLY | O_TRUNC);
    if (fd < 0)
        return df_fail_errno(errno, true, path, "signing the folder");
    const ssize_t length = DF_SIGNATURE - 1, wrote = write(fd, signature, (size_t)length);
    const int error = wrote < 0 ? errno : ENOSPC;
    if (close(fd) != 0 || wrote != length)
        return df_fail_errno(error, true, path, "signing the folder");
    return DFAL_OK;
}

void df_folder_unsign(int folder)
{
    (void)unlinkat(folder, DF_SIGNATURE_NAME, 0);
}

static bool is_signed(int folder, const char signature[DF_SIGNATURE])
{
    char found[DF_SIGNATURE] = "";
    const int fd = openat(folder, DF_SIGNATURE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    const ssize_t got = read(fd, found, sizeof found - 1);
    close(fd);
    return got == DF_SIGNATURE - 1 && memcmp(found, signature, (size_t)got) == 0;
}

dfal_status df_folder_find(int *folder, const char *path, const char signature[DF_SIGNATURE])
{
    enum { TRIES = 50, NAP = 100000 /* microseconds: a network's folder comes into sight late */ };
    for (int i = 0; i < TRIES; i++) {
        *folder = df_descriptor(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (*folder >= 0 && is_signed(*folder, signature))
            return DFAL_OK;
        if (*folder >= 0)
            close(*folder);
        *folder = -1;
        usleep(NAP);
    }
    DF_FAIL(DFAL_E_IO,
            "%s is not the folder that rank 0 works in: expected a file system that all ranks share", path);
}
