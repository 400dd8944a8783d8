/* SPDX-License-Identifier: Apache-2.0 */
#include "io/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/memory.h"

enum { PACKED_BYTES = 1 << 16, STEP_BYTES = 1 << 30 };

struct df_unpacker {
    z_stream stream;
    bool begun, ended;
    unsigned char packed[PACKED_BYTES];
};

dfal_status df_open_plain(int *fd, int64_t *size, const char *path)
{
    struct stat facts;
    *size = 0;
    *fd = df_fault_hits(DF_FAULT_OPEN) ? -1 : df_descriptor(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (*fd < 0)
        return df_fail_errno(errno ? errno : EIO, false, path, "opening");
    dfal_status status = DFAL_OK;
    if (fstat(*fd, &facts) != 0)
        status = df_fail_errno(errno, false, path, "reading its size");
    else if (!S_ISREG(facts.st_mode))
        status = df_fail(DFAL_E_DATA, "%s is no plain file", path);
    else if (facts.st_size == 0)
        status = df_fail(DFAL_E_DATA, "%s is empty", path);
    if (status == DFAL_OK) {
        *size = facts.st_size;
        return DFAL_OK;
    }
    close(*fd);
    *fd = -1;
    return status;
}

/* Some bytes at an offset: *got 0 at the end of the file. */
static dfal_status read_some(int fd, const char *name, int64_t at, void *bytes, int64_t size, int64_t *got)
{
    ssize_t n;
    do {
        errno = EIO;
        n = df_fault_hits(DF_FAULT_READ)
                ? -1
                : pread(fd, bytes, (size_t)(size < STEP_BYTES ? size : STEP_BYTES), (off_t)at);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        DF_FAIL(DFAL_E_IO, "%s cannot be read: %s", name, strerror(errno));
    *got = n;
    return DFAL_OK;
}

dfal_status df_read_at(int fd, const char *name, int64_t at, void *bytes, int64_t size)
{
    for (int64_t done = 0, got; done < size; done += got) {
        DF_TRY(read_some(fd, name, at + done, (char *)bytes + done, size - done, &got));
        if (got == 0)
            DF_FAIL(DFAL_E_DATA, "%s is truncated: it ends at byte %lld, expected %lld bytes more", name,
                    (long long)(at + done), (long long)(size - done));
    }
    return DFAL_OK;
}

dfal_status df_source_open(struct df_source *source, const char *path)
{
    *source = DF_SOURCE_NONE;
    DF_TRY(df_open_plain(&source->fd, &source->size, path));
    dfal_status status = df_strdup(&source->name, path);
    if (status == DFAL_OK)
        status = df_file_mark(&source->mark, source->fd, path);
    if (status != DFAL_OK)
        df_source_close(source);
    return status;
}

dfal_status df_source_open_member(struct df_source *source, int fd, const char *name, int64_t at,
                                  int64_t stored, int64_t size, uint32_t sum, bool packed)
{
    dfal_status status;
    *source = (struct df_source){.fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1),
                                 .at = at,
                                 .size = size,
                                 .member = true,
                                 .packed = packed,
                                 .left = stored,
                                 .sum_wanted = sum};
    if (source->fd < 0)
        return df_fail_errno(errno, false, name, "opening");
    DF_TRY_TO(fail, status, df_strdup(&source->name, name));
    DF_TRY_TO(fail, status, df_file_mark(&source->mark, source->fd, name));
    if (packed) {
        DF_TRY_TO(fail, status, df_alloc(&source->unpacker, 1, sizeof *source->unpacker));
        if (inflateInit2(&source->unpacker->stream, -MAX_WBITS) != Z_OK) {
            status = df_fail(DFAL_E_MEMORY, "%s: no memory to unpack it", name);
            goto fail;
        }
        source->unpacker->begun = true;
    }
    return DFAL_OK;
fail:
    df_source_close(source);
    return status;
}

void df_source_close(struct df_source *source)
{
    if (source->unpacker && source->unpacker->begun)
        inflateEnd(&source->unpacker->stream);
    df_free(source->unpacker);
    df_free(source->name);
    if (source->fd >= 0)
        close(source->fd);
    *source = DF_SOURCE_NONE;
}

/* A member's name is one for messages. */
static dfal_status check_unchanged(const struct df_source *source)
{
    return df_file_unchanged(&source->mark, source->fd, source->name, !source->member);
}

/* Inflate up to size bytes; *got 0: the stream has ended. */
static dfal_status unpack_some(struct df_source *source, void *bytes, int64_t size, int64_t *got)
{
    struct df_unpacker *unpacker = source->unpacker;
    z_stream *stream = &unpacker->stream;
    *got = 0;
    stream->next_out = bytes;
    stream->avail_out = (uInt)(size < STEP_BYTES ? size : STEP_BYTES);
    const uInt room = stream->avail_out;
    while (!unpacker->ended && stream->avail_out == room) {
        if (stream->avail_in == 0 && source->left > 0) {
            int64_t n, ask = source->left < PACKED_BYTES ? source->left : PACKED_BYTES;
            DF_TRY(read_some(source->fd, source->name, source->at, unpacker->packed, ask, &n));
            if (n == 0)
                DF_TRY(check_unchanged(source));
            if (n == 0)
                DF_FAIL(DFAL_E_DATA, "%s is truncated: its packed bytes end early", source->name);
            source->at += n;
            source->left -= n;
            stream->next_in = unpacker->packed;
            stream->avail_in = (uInt)n;
        }
        int code = inflate(stream, Z_NO_FLUSH);
        unpacker->ended = code == Z_STREAM_END;
        if (code == Z_MEM_ERROR)
            DF_FAIL(DFAL_E_MEMORY, "%s: no memory to unpack it", source->name);
        if (code != Z_OK && code != Z_STREAM_END)
            DF_FAIL(DFAL_E_DATA, "%s: its deflate stream is damaged or truncated%s%s", source->name,
                    stream->msg ? ": " : "", stream->msg ? stream->msg : "");
    }
    *got = room - stream->avail_out;
    return DFAL_OK;
}

static dfal_status take_some(struct df_source *source, void *bytes, int64_t size, int64_t *got)
{
    if (source->packed)
        return unpack_some(source, bytes, size, got);
    if (source->member && size > source->left)
        size = source->left;
    *got = 0;
    if (size > 0)
        DF_TRY(read_some(source->fd, source->name, source->at, bytes, size, got));
    source->at += *got;
    if (source->member)
        source->left -= *got;
    return DFAL_OK;
}

dfal_status df_source_read(struct df_source *source, void *bytes, int64_t size, const char *what)
{
    for (int64_t done = 0, got; done < size; done += got) {
        DF_TRY(take_some(source, (char *)bytes + done, size - done, &got));
        if (got == 0)
            DF_TRY(check_unchanged(source));
        if (got == 0)
            DF_FAIL(DFAL_E_DATA, "%s is truncated: %lld of %lld bytes of its %s are there", source->name,
                    (long long)done, (long long)size, what);
        if (source->member)
            source->sum = (uint32_t)crc32_z(source->sum, (const Bytef *)bytes + done, (size_t)got);
        source->done += got;
    }
    return DFAL_OK;
}

dfal_status df_source_end(struct df_source *source)
{
    char byte;
    int64_t got = 0;
    DF_TRY(check_unchanged(source));
    DF_TRY(take_some(source, &byte, 1, &got));
    if (got > 0 || (source->packed && (source->left || source->unpacker->stream.avail_in)))
        DF_FAIL(DFAL_E_DATA, "%s has trailing bytes behind the %lld that it declares", source->name,
                (long long)source->done);
    if (source->member && source->done != source->size)
        DF_FAIL(DFAL_E_DATA, "%s holds %lld bytes, expected the %lld of the archive's directory",
                source->name, (long long)source->done, (long long)source->size);
    if (source->member && source->sum != source->sum_wanted)
        DF_FAIL(DFAL_E_DATA, "%s has the check sum 0x%08x, expected 0x%08x: it is damaged", source->name,
                source->sum, source->sum_wanted);
    return DFAL_OK;
}
