/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of the file, and their checksums. */
#include "store/hdf5_source.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/number.h"

static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
static const uint64_t piece_limit = (uint64_t)256 << 20;

bool df_h5_refuse(struct df_h5_source *source, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    df_vprint(source->why, sizeof source->why, format, arguments);
    va_end(arguments);
    return false;
}

/* Whole, or false with errno. */
static bool read_at(int fd, uint8_t *bytes, uint64_t size, uint64_t offset)
{
    while (size) {
        ssize_t n = pread(fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        bytes += n, offset += (uint64_t)n, size -= (uint64_t)n;
    }
    return true;
}

int64_t df_h5_find_superblock(int fd, int64_t size)
{
    uint8_t bytes[8];
    for (int64_t at = 0; at <= size - 8; at = at ? 2 * at : 512)
        if (read_at(fd, bytes, 8, (uint64_t)at) && memcmp(bytes, signature, 8) == 0)
            return at;
    return -1;
}

bool df_h5_inside(const struct df_h5_source *source, uint64_t address, uint64_t size)
{
    const uint64_t whole = source->size - source->base;
    return address <= whole && size <= whole - address;
}

bool df_h5_fetch(struct df_h5_source *source, uint64_t address, uint64_t size, uint8_t **bytes)
{
    *bytes = NULL;
    if (size > piece_limit || !df_h5_inside(source, address, size)) {
        (void)df_h5_refuse(source, "%llu bytes of metadata at %llu, beyond the file's end",
                           (unsigned long long)size, (unsigned long long)address);
        return false;
    }
    if (df_alloc(bytes, (int64_t)size + 1, 1) != DFAL_OK) {
        source->error = ENOMEM;
        return false;
    }
    if (read_at(source->fd, *bytes, size, source->base + address))
        return true;
    source->error = errno;
    df_free(*bytes);
    *bytes = NULL;
    return false;
}

/* ---- Checksum ---------------------------------------------------------------------------------- */

static uint32_t turn(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

uint32_t df_h5_checksum(const uint8_t *bytes, uint64_t size)
{
    static const int mix[6] = {4, 6, 8, 16, 19, 4}, last[7] = {14, 11, 25, 16, 4, 14, 24};
    uint32_t s[3];
    s[0] = s[1] = s[2] = 0xdeadbeef + (uint32_t)size;
    for (; size > 0;) {
        const uint64_t part = size < 12 ? size : 12;
        for (uint64_t i = 0; i < part; i++)
            s[i / 4] += (uint32_t)bytes[i] << i % 4 * 8;
        bytes += part, size -= part;
        for (int i = 0; size > 0 && i < 6;
             i++) { /* a -= c, a ^= c turned, c += b; then b and a for a and c, ... */
            uint32_t *a = &s[i % 3], *b = &s[(i + 1) % 3], *c = &s[(i + 2) % 3];
            *a -= *c;
            *a ^= turn(*c, mix[i]);
            *c += *b;
        }
        for (int i = 0; size == 0 && i < 7; i++) { /* c ^= b, c -= b turned; then a and c for c and b, ... */
            uint32_t *c = &s[(i + 2) % 3], *b = &s[(i + 1) % 3];
            *c ^= *b;
            *c -= turn(*b, last[i]);
        }
    }
    return s[2];
}
